//! What a cluster stands on: its machines, their network, and the way out of it.

use std::sync::Arc;

use ipnet::IpNet;
use kfcheck::{Cx, Fact, FactError, Fault, Resource};
use kfcheck_kube::{Node, UnreachedRegistries, all};
use serde::Serialize;

use crate::{
    Cluster, Instance, Instances, Network, OurCluster, Subnetwork, Subnetworks, reach::Probers,
};

/// Where the cluster's machines are.
#[derive(Clone, Serialize)]
pub(crate) struct ClusterGround;

/// Where the cluster's machines are.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    /// The cluster.
    pub(crate) cluster: Cluster,
    /// The network that its machines are in.
    pub(crate) network: Network,
    /// The region of its part of the network.
    pub(crate) region: String,
    /// That part; none where it isn't among those listed.
    pub(crate) subnetwork: Option<Subnetwork>,
    /// The machines that are its nodes.
    pub(crate) nodes: Vec<Instance>,
    /// Where Google's health checks come from.
    pub(crate) probers: Arc<Probers>,
    /// Whether its nodes have no addresses on the internet.
    pub(crate) is_private: bool,
}

impl Fact for ClusterGround {
    const NAME: &'static str = "gcp.clusterGround";
    type Value = Ground;

    async fn fetch(&self, cx: &Cx) -> Result<Ground, FactError> {
        cx.begin(Instances);
        cx.begin(Subnetworks);
        cx.begin(all::<Node>());
        let cluster = (*cx.get(OurCluster).await?).clone();
        // All are waited for: what one that fails leaves unasked would be missing in the bundle.
        let subnetworks = cx.get(Subnetworks).await;
        let instances = cx.get(Instances).await;
        let (nodes, instances, subnetworks) =
            (cx.get(all::<Node>()).await?, instances?, subnetworks?);
        let ours = |instance: &&Instance| nodes.iter().any(|n| n.metadata.name == instance.name);
        let nodes: Vec<_> = instances.iter().filter(ours).cloned().collect();
        let project = cluster.self_link.project().to_owned();
        let network = nodes
            .iter()
            .find_map(Instance::network)
            .unwrap_or_else(|| Network::of(&cluster.network_config.network, &project));
        let part = nodes.iter().find_map(|node| {
            let interface = node.network_interfaces.first()?;
            Some(&interface.subnetwork).filter(|link| !link.is_empty())
        });
        let part = part.unwrap_or(&cluster.network_config.subnetwork);
        if network.name.is_empty() {
            // Its bare name doesn't say whether the network is another project's.
            return Err(Fault::Malformed {
                file: format!("cluster {}", cluster.name),
                detail: "neither networkConfig.network nor its machines say which network it is in"
                    .into(),
            }
            .into());
        }
        let subnetwork = subnetworks.iter().find(|s| s.self_link.same(part)).cloned();
        let region = part
            .after("regions")
            .map_or_else(|| region_of(&cluster.location).to_owned(), ToOwned::to_owned);
        let is_private = cluster.has_private_nodes();
        let probers = cx.setting::<Probers>();
        Ok(Ground { cluster, network, region, subnetwork, nodes, probers, is_private })
    }
}

/// The region of a location, which may be one of its zones.
fn region_of(location: &str) -> &str {
    match location.rsplit_once('-') {
        Some((region, zone)) if zone.len() == 1 => region,
        _ => location,
    }
}

impl Ground {
    /// The network as far as it is in the cluster's region, where NAT is.
    pub(crate) fn way_out(&self) -> Resource {
        let namespace = self.network.shared.then(|| self.network.project.clone());
        let name = format!("{} ({})", self.network.name, self.region);
        Resource { provider: "gcp", kind: "Network", namespace, name }
    }

    /// The name of the range that pods have addresses of, and the range, where it is one beside the
    /// machines' own.
    pub(crate) fn pod_range(&self) -> Option<(&str, IpNet)> {
        let policy = self.cluster.ip_allocation_policy.as_ref()?;
        let ranges = self.subnetwork.iter().flat_map(|part| &part.secondary_ip_ranges);
        let named = policy.cluster_secondary_range_name.as_deref();
        let pods =
            policy.cluster_ipv4_cidr_block.as_deref().or(self.cluster.cluster_ipv4_cidr.as_deref());
        let mut found = ranges.filter(|range| {
            Some(&*range.range_name) == named || Some(&*range.ip_cidr_range) == pods
        });
        let range = found.next()?;
        Some((&range.range_name, range.ip_cidr_range.parse().ok()?))
    }
}

/// Whether what gets the nodes to the internet is worth a look: they have no addresses of their own
/// there, or some image can't be reached.
pub(crate) async fn is_way_out_in_doubt(cx: &Cx, ground: &Ground) -> bool {
    let unreached = cx.get(UnreachedRegistries).await;
    ground.is_private || unreached.is_ok_and(|all| !all.is_empty())
}
