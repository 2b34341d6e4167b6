//! Whom Cloud NAT serves (Cloud NAT documentation, "Subnet ranges").

use crate::{Nat, Network, Router, ground::Ground};

/// Which of the cluster's addresses NAT serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Coverage {
    /// None of them.
    None,
    /// Those of the nodes.
    NodesOnly,
    /// Those of the nodes and of the pods.
    Both,
    /// It is said in a word that isn't known here.
    Unsaid(String),
}

/// The routers in the cluster's network and region.
pub(crate) fn in_region<'a>(
    ground: &'a Ground,
    routers: &'a [Router],
) -> impl Iterator<Item = &'a Router> {
    let Ground { network, region, .. } = ground;
    routers.iter().filter(move |router| {
        let of = Network::of(&router.network, router.self_link.project());
        let project = of.project.is_empty() || of.project == network.project;
        project && of.name == network.name && router.region.name() == region
    })
}

/// What all NAT gateways of the cluster's network and region serve together.
pub(crate) fn coverage(ground: &Ground, routers: &[Router]) -> Coverage {
    let (mut nodes, mut pods, mut unsaid) = (false, ground.pod_range().is_none(), None);
    for nat in in_region(ground, routers).flat_map(|router| &router.nats) {
        if nat.kind.as_deref() == Some("PRIVATE") {
            continue;
        }
        match nat.source_subnetwork_ip_ranges_to_nat.as_str() {
            "ALL_SUBNETWORKS_ALL_IP_RANGES" => (nodes, pods) = (true, true),
            "ALL_SUBNETWORKS_ALL_PRIMARY_IP_RANGES" => nodes = true,
            "LIST_OF_SUBNETWORKS" => {
                let (own, secondary) = listed(ground, nat);
                nodes |= own;
                pods |= secondary;
            }
            other => unsaid = Some(other.to_owned()),
        }
    }
    match (nodes, pods, unsaid) {
        (true, true, _) => Coverage::Both,
        (_, _, Some(word)) => Coverage::Unsaid(word),
        (true, false, None) => Coverage::NodesOnly,
        (false, _, None) => Coverage::None,
    }
}

/// Whether a gateway that lists what it serves serves the nodes' range, and the pods'.
fn listed(ground: &Ground, nat: &Nat) -> (bool, bool) {
    let (mut nodes, mut pods) = (false, false);
    let Some(part) = &ground.subnetwork else { return (nodes, pods) };
    let pod_range = ground.pod_range().map(|(name, _)| name);
    for entry in nat.subnetworks.iter().filter(|entry| entry.name.same(&part.self_link)) {
        for ranges in &entry.source_ip_ranges_to_nat {
            match ranges.as_str() {
                "ALL_IP_RANGES" => (nodes, pods) = (true, true),
                "PRIMARY_IP_RANGE" => nodes = true,
                "LIST_OF_SECONDARY_IP_RANGES" => {
                    let names = &entry.secondary_ip_range_names;
                    pods |= names.iter().any(|name| Some(name.as_str()) == pod_range);
                }
                _ => (),
            }
        }
    }
    (nodes, pods)
}
