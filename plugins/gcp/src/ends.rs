//! What an address is, seen from the cluster.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;

use crate::{dns::is_vip, ground::Ground};

/// What an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A node of the cluster.
    Node,
    /// A pod of the cluster.
    Pod,
    /// The control plane.
    ControlPlane,
    /// A health check or a load balancer of Google's.
    Probe,
    /// Google's APIs, at their private addresses.
    Google,
    /// Another private address.
    Inside,
    /// The internet.
    Outside,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node => "node",
            Self::Pod => "pod",
            Self::ControlPlane => "control plane",
            Self::Probe => "load balancer",
            Self::Google => "Google's APIs",
            Self::Inside => "inside",
            Self::Outside => "outside",
        })
    }
}

/// What an address is, seen from the cluster.
pub(crate) fn end_of(ground: &Ground, address: IpAddr) -> End {
    let within = |range: Option<&str>| {
        range.and_then(|range| range.parse::<IpNet>().ok()).is_some_and(|r| r.contains(&address))
    };
    let cluster = &ground.cluster;
    let policy = cluster.ip_allocation_policy.as_ref();
    let pods = policy.and_then(|policy| policy.cluster_ipv4_cidr_block.as_deref());
    let control_plane = cluster.private_cluster_config.as_ref();
    let text = address.to_string();
    let mut interfaces = ground.nodes.iter().flat_map(|node| &node.network_interfaces);
    if interfaces.any(|interface| interface.network_ip == text) {
        End::Node
    } else if within(pods) || within(cluster.cluster_ipv4_cidr.as_deref()) {
        End::Pod
    } else if within(control_plane.and_then(|c| c.master_ipv4_cidr_block.as_deref())) {
        End::ControlPlane
    } else if ground.probers.0.iter().any(|range| range.contains(&address)) {
        End::Probe
    } else if is_vip(address) {
        End::Google
    } else if is_private(address) {
        End::Inside
    } else {
        End::Outside
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_loopback(),
    }
}
