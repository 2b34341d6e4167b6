//! Who announces the addresses of the gateway's Service.

use std::{collections::BTreeSet, fmt, net::IpAddr, sync::Arc};

use kfcheck::{Cx, Fact, FactError, Fault, Resource};
use kfcheck_kube::{Event, Node, Service, ServiceEndpoints, all, within};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    Advertisement, Advertisements, FrontBalancers, Installation, MetalLb, Part, Pool,
    ServiceL2Status, addresses, reached::is_silent,
};

/// The label that keeps a node out of load balancers (Kubernetes documentation, "Well-Known Labels,
/// Annotations and Taints").
pub const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// Where MetalLB writes which pool an address is of.
const ALLOCATED: [&str; 2] =
    ["metallb.io/ip-allocated-from-pool", "metallb.universe.tf/ip-allocated-from-pool"];

/// MetalLB, and the Services at the entrance whose load balancer it is. None: it isn't here.
#[derive(Clone, Serialize)]
pub struct MetalLbFronts;

/// MetalLB, and the Services at the entrance whose load balancer it is.
#[derive(Clone, Debug)]
pub struct Fronts {
    /// MetalLB.
    pub metallb: Installation,
    /// The Services.
    pub services: Vec<Arc<Service>>,
}

impl Fact for MetalLbFronts {
    const NAME: &'static str = "onprem.metalLbFronts";
    type Value = Option<Fronts>;

    async fn fetch(&self, cx: &Cx) -> Result<Option<Fronts>, FactError> {
        let Some(metallb) = (*cx.get(MetalLb).await?).clone() else { return Ok(None) };
        let balancers = cx.get(FrontBalancers).await?;
        let ours = balancers.iter().filter(|service| is_ours(&metallb, service));
        Ok(Some(Fronts { services: ours.cloned().collect(), metallb }))
    }
}

/// Whether MetalLB gives a Service its address, rather than another load balancer.
fn is_ours(metallb: &Installation, service: &Service) -> bool {
    // A Service of another class is left alone (MetalLB documentation, "Using another load
    // balancer").
    let class = service.spec.load_balancer_class.as_deref();
    let handled = metallb.told(Part::Controller, "--lb-class").filter(|class| !class.is_empty());
    if metallb.pods.is_ok() && class != handled {
        return false;
    }
    let given = addresses(service);
    let by_metallb = service.metadata.annotation(&ALLOCATED).is_some();
    given.is_empty()
        || by_metallb
        || metallb.pools.is_err()
        || given.iter().any(|address| metallb.pool_of(*address).is_some())
}

/// Why a node doesn't announce an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// Its speaker isn't ready.
    Unready,
    /// No advertisement selects it.
    NotSelected,
    /// It is excluded from load balancers.
    Excluded,
    /// Its network is not set up.
    NoNetwork,
    /// It has no pod of the Service, which keeps to its own node's.
    NoPod,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unready => "its speaker is not ready",
            Self::NotSelected => "no advertisement selects it",
            Self::Excluded => "it is excluded from load balancers",
            Self::NoNetwork => "its network is not available",
            Self::NoPod => "it has no pod of the Service that is ready",
        })
    }
}

/// Who announces an address.
#[derive(Clone, Debug)]
pub struct Announcer {
    /// The Service that has it.
    pub service: Arc<Service>,
    /// The address.
    pub address: IpAddr,
    /// The pool that it is of.
    pub pool: Pool,
    /// What announces the pool.
    pub advertisements: Vec<Advertisement>,
    /// Whether that is by ARP, at least among other ways.
    pub is_layer2: bool,
    /// The nodes that can, by ARP; who can't and why.
    pub nodes: Result<Nodes, FactError>,
    /// The node that does, where MetalLB says so by a speaker that still speaks.
    pub said: Result<BTreeSet<String>, FactError>,
}

/// The nodes that can announce an address by ARP.
#[derive(Clone, Debug, Default)]
pub struct Nodes {
    /// Those that can, the one that does first.
    pub able: Vec<String>,
    /// The others.
    pub unable: Vec<(String, Why)>,
}

/// Who announces the addresses of the gateway's Services, as far as they are MetalLB's.
#[derive(Clone, Serialize)]
pub struct Announcers;

impl Fact for Announcers {
    const NAME: &'static str = "onprem.announcers";
    type Value = Vec<Announcer>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<Announcer>, FactError> {
        let fronts = cx.get(MetalLbFronts).await?;
        let Some(Fronts { metallb, services }) = &*fronts else { return Ok(Vec::new()) };
        let known = cx.get(Advertisements).await?;
        let statuses = cx.get(within::<ServiceL2Status>(&metallb.namespace)).await;
        let mut found = Vec::new();
        for service in services {
            for address in addresses(service) {
                let Some(pool) = metallb.pool_of(address) else { continue };
                let advertisements: Vec<_> =
                    known.own.iter().filter(|a| a.is_for(pool)).cloned().collect();
                let by_itself = pool.protocol.as_deref() == Some("layer2");
                let is_layer2 = by_itself || advertisements.iter().any(|a| a.is_layer2);
                let own = |status: &&Arc<ServiceL2Status>| {
                    status.status.service_name == service.metadata.name
                        && status.status.service_namespace == service.metadata.namespace()
                };
                let said = statuses.as_ref().map_err(Clone::clone).map(|all| {
                    let own = all.iter().filter(own);
                    own.map(|status| status.status.node.clone()).collect()
                });
                let mut announcer = Announcer {
                    service: Arc::clone(service),
                    address,
                    pool: pool.clone(),
                    advertisements,
                    is_layer2,
                    nodes: Ok(Nodes::default()),
                    said,
                };
                announcer.nodes = nodes(cx, metallb, &announcer).await;
                announcer.forget_silent();
                found.push(announcer);
            }
        }
        Ok(found)
    }
}

/// Which nodes can announce an address by ARP.
async fn nodes(cx: &Cx, metallb: &Installation, of: &Announcer) -> Result<Nodes, FactError> {
    if let Err(error) = &metallb.pods {
        return Err(error.clone());
    }
    let known = cx.get(all::<Node>()).await?;
    let endpoints = cx.get(ServiceEndpoints::of(&of.service)).await;
    let endpoints = match endpoints {
        Err(error) if of.service.is_local() => return Err(error),
        endpoints => endpoints.ok(),
    };
    let excludes = honours_exclusion(cx, metallb).await == Some(true);
    let judge = |name: &str, is_ready: bool| {
        let node = known.iter().find(|node| node.metadata.name == name);
        let selected = |node: &Arc<Node>| {
            let mut layer2 = of.advertisements.iter().filter(|a| a.is_layer2);
            of.pool.protocol.is_some() || layer2.any(|a| a.is_from(&node.metadata.labels))
        };
        let has_pod = |name: &str| {
            endpoints.as_ref().is_none_or(|endpoints| {
                endpoints.iter().any(|e| e.ready && e.node.as_deref() == Some(name))
            })
        };
        let cut_off = |node: &&Arc<Node>| {
            node.condition("NetworkUnavailable").is_some_and(|c| c.status == "True")
        };
        if node.is_some_and(|node| !selected(node)) {
            Some(Why::NotSelected)
        } else if excludes && node.is_some_and(|node| node.metadata.labels.contains_key(EXCLUDED)) {
            Some(Why::Excluded)
        } else if !is_ready {
            Some(Why::Unready)
        } else if node.as_ref().is_some_and(cut_off) {
            Some(Why::NoNetwork)
        } else if of.service.is_local() && !has_pod(name) {
            Some(Why::NoPod)
        } else {
            None
        }
    };
    let mut nodes = Nodes::default();
    let mut speakers: Vec<_> = metallb.pods_of(Part::Speaker).collect();
    speakers.sort_by_key(|pod| (&pod.spec.node_name, &pod.metadata.name));
    for pod in speakers {
        let Some(name) = &pod.spec.node_name else { continue };
        match judge(name, pod.is_ready()) {
            Some(why) => nodes.unable.push((name.clone(), why)),
            None => nodes.able.push(name.clone()),
        }
    }
    nodes.able.dedup();
    // One node announces all addresses of a Service: it is chosen by the first of them.
    let first = addresses(&of.service).first().copied().unwrap_or(of.address);
    nodes.able.sort_by_cached_key(|name| rank(name, first));
    Ok(nodes)
}

/// The node with the lowest rank announces (MetalLB's source, speaker/layer2_controller.go).
fn rank(node: &str, address: IpAddr) -> Vec<u8> {
    Sha256::digest(format!("{node}#{address}")).to_vec()
}

/// Whether speakers leave out the nodes that are excluded from load balancers: since 0.14.3 at the
/// latest, unless they are told to ignore that. None: it can't be told.
pub(crate) async fn honours_exclusion(cx: &Cx, metallb: &Installation) -> Option<bool> {
    if metallb.told(Part::Speaker, "--ignore-exclude-lb").is_some_and(|told| told != "false") {
        return Some(false);
    }
    if metallb.reads_config_map {
        return Some(false);
    }
    // Younger than the label's meaning.
    if cx.get(within::<ServiceL2Status>(&metallb.namespace)).await.is_ok() {
        return Some(true);
    }
    let version = metallb.version(Part::Speaker)?;
    if !((0, 13, 4)..(0, 14, 3)).contains(&version) {
        return Some(version >= (0, 14, 3));
    }
    // MetalLB says of two versions that it began there (metallb/metallb 2285): silence decides.
    for address in cx.get(FrontBalancers).await.ok()?.iter().flat_map(|service| addresses(service))
    {
        if is_silent(cx, address).await {
            return Some(true);
        }
    }
    Some(false)
}

impl Announcer {
    /// The node that is to announce: the one that MetalLB names, or else the one that it would
    /// choose, where it chooses by the address as it does since it has objects.
    pub fn expected(&self) -> Option<&str> {
        if let Ok(said) = &self.said
            && let (1, Some(node)) = (said.len(), said.first())
        {
            return Some(node);
        }
        let chosen = self.nodes.as_ref().ok()?.able.first()?;
        self.pool.protocol.is_none().then_some(chosen)
    }

    /// Leaves out who can't say any more that it stopped: of a node that is gone, what its speaker
    /// last said stays.
    fn forget_silent(&mut self) {
        if let (Ok(nodes), Ok(said)) = (&self.nodes, &mut self.said) {
            let speaks = |node: &String| {
                let ready = |(name, why): &(String, Why)| name == node && *why != Why::Unready;
                nodes.able.contains(node) || nodes.unable.iter().any(ready)
            };
            said.retain(speaks);
        }
    }

    /// Whether MetalLB itself names the node.
    pub fn is_said(&self) -> bool {
        self.said.as_ref().is_ok_and(|said| said.len() == 1)
    }
}

/// What was last said about an object, of what is meant.
pub(crate) async fn last_event(
    cx: &Cx,
    about: &Resource,
    is_meant: impl Fn(&Event) -> bool,
) -> Result<Option<Arc<Event>>, FactError> {
    let namespace = about.namespace.as_deref().unwrap_or("default");
    let events = cx.get(within::<Event>(namespace)).await?;
    let meant = events.iter().filter(|event| event.is_about(about) && is_meant(event));
    Ok(meant.max_by_key(|event| event.last_seen()).cloned())
}

/// Why something is not known, in words.
pub(crate) fn unreachable(says: impl Into<String>) -> FactError {
    Fault::Unreachable(says.into()).into()
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::rank;

    #[test]
    fn the_node_with_the_lowest_hash_announces() {
        let address: IpAddr = "10.64.140.43".parse().unwrap();
        let mut nodes = ["worker-1", "worker-2", "master-1"];
        nodes.sort_by_cached_key(|node| rank(node, address));
        assert_eq!(nodes[0], crate::testing::ANNOUNCER);
    }
}
