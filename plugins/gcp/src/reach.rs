//! Whether the firewalls let health checks and requests through.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use kfcheck::{Cx, Fact, FactError};
use serde::Serialize;

use crate::{
    BackendInUse, BackendsInUse, EffectiveFirewalls, GoogleEntrances, Guards, HealthCheck,
    HealthChecks, Instance, Instances, Network, Networks, Subnetworks,
    backends::{pods_of, port_on_pods},
    firewall::{Attempt, Decisive, Direction, judge, levels},
    guards::{guards_of, policies_first},
};

/// Where Google's health checks and load balancers come from (Load Balancing documentation,
/// "Health checks overview", "Probe IP ranges and firewall rules").
const PROBERS: [([u8; 4], u8); 2] = [([35, 191, 0, 0], 16), ([130, 211, 0, 0], 22)];

/// A setting: where Google's health checks and load balancers come from. Universes of other owners
/// have other ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probers(pub Vec<IpNet>);

impl Default for Probers {
    fn default() -> Self {
        let range = |(address, length): ([u8; 4], u8)| IpNet::new(address.into(), length).ok();
        Self(PROBERS.into_iter().filter_map(range).collect())
    }
}

/// How the firewall treats the load balancer's health checks and requests, by network.
#[derive(Clone, Serialize)]
pub(crate) struct ProbeReach;

/// How the firewall of one network does.
#[derive(Clone, Debug)]
pub(crate) struct NetworkReach {
    /// The network.
    pub(crate) network: Network,
    /// The ports that something is kept from.
    pub(crate) ports: BTreeSet<u16>,
    /// From where.
    pub(crate) sources: BTreeSet<IpNet>,
    /// Whether some of it gets through all the same.
    pub(crate) is_partial: bool,
    /// The tags of the machines.
    pub(crate) tags: BTreeSet<String>,
    /// The rules that keep it out.
    pub(crate) rules: BTreeSet<Decisive>,
    /// The rules that decide by what can't be seen.
    pub(crate) undecided: BTreeSet<Decisive>,
    /// Why the policies of organization and folders weren't looked at, if they weren't.
    pub(crate) unseen: Option<FactError>,
    /// The backend services behind it.
    pub(crate) backends: BTreeSet<String>,
}

impl Fact for ProbeReach {
    const NAME: &'static str = "gcp.probeReach";
    type Value = Vec<NetworkReach>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<NetworkReach>, FactError> {
        if !cx.get(GoogleEntrances).await?.is_empty() {
            cx.begin(Networks);
        }
        let used = cx.get(BackendsInUse).await?;
        if used.is_empty() {
            // Where the path has gaps, there may be more.
            cx.path().await?;
            return Ok(Vec::new());
        }
        // The nodes of a cluster are in one network.
        for network in cx.get(Instances).await?.iter().filter_map(Instance::network).take(1) {
            cx.begin(EffectiveFirewalls { project: network.project, network: network.name });
        }
        let path = cx.path().await?;
        let checks = cx.get(HealthChecks).await?;
        let instances = cx.get(Instances).await?;
        let mut reach: BTreeMap<Network, NetworkReach> = BTreeMap::new();
        let mut guards: BTreeMap<Network, (Guards, bool)> = BTreeMap::new();
        for used in used.iter() {
            let backend = &used.backend;
            let probed = path.below(backend, checks.iter()).into_iter();
            let mut ports: BTreeSet<_> = probed.filter_map(HealthCheck::port).collect();
            ports.extend(serving_port(cx, used).await?);
            for instance in alike(&path.below(backend, instances.iter())) {
                let Some(network) = instance.network() else { continue };
                if !guards.contains_key(&network) {
                    let (found, unseen) = guards_of(cx, &network).await?;
                    let policies_first = policies_first(cx, &network).await;
                    guards.insert(network.clone(), (found, policies_first));
                    reach.insert(network.clone(), NetworkReach::new(&network, unseen));
                }
                let (Some((guards, first)), Some(reach)) =
                    (guards.get(&network), reach.get_mut(&network))
                else {
                    continue;
                };
                reach.backends.insert(backend.name.clone());
                let levels = levels(guards, *first, Direction::Ingress);
                for source in sources(cx, used, &network).await? {
                    for &port in &ports {
                        let attempt = Attempt { source, instance, network: &network, port };
                        reach.add(attempt, judge(&levels, attempt));
                    }
                }
            }
        }
        Ok(reach.into_values().collect())
    }
}

impl NetworkReach {
    fn new(network: &Network, unseen: Option<FactError>) -> Self {
        Self {
            network: network.clone(),
            ports: BTreeSet::new(),
            sources: BTreeSet::new(),
            is_partial: false,
            tags: BTreeSet::new(),
            rules: BTreeSet::new(),
            undecided: BTreeSet::new(),
            unseen,
            backends: BTreeSet::new(),
        }
    }

    fn add(&mut self, attempt: Attempt<'_>, verdict: crate::firewall::Verdict) {
        self.is_partial |= !verdict.allowed.is_empty();
        self.undecided.extend(verdict.undecided.into_iter().map(|(_, rule)| rule));
        for (part, rule) in verdict.denied {
            self.ports.insert(attempt.port);
            self.sources.insert(part);
            self.tags.extend(attempt.instance.tags().iter().cloned());
            self.rules.extend(rule);
        }
    }
}

/// One of each sort: firewall rules tell machines by network, tags and accounts.
fn alike<'a>(instances: &[&'a Instance]) -> Vec<&'a Instance> {
    let mut seen = BTreeSet::new();
    let sort = |instance: &&&'a Instance| {
        let accounts: Vec<_> = instance.service_accounts().map(str::to_owned).collect();
        seen.insert((instance.network(), instance.tags().to_vec(), accounts))
    };
    instances.iter().filter(sort).copied().collect()
}

/// The port that requests are sent to.
async fn serving_port(cx: &Cx, used: &BackendInUse) -> Result<Option<u16>, FactError> {
    if !used.backend.reaches_pods() {
        return Ok(used.backend.port);
    }
    let pods = pods_of(cx, &used.service).await?;
    Ok(used.service_port.as_ref().and_then(|port| port_on_pods(port, &pods)))
}

/// Where health checks and requests come from. Load balancers that are made of Envoy send requests
/// from a subnetwork of their own as well.
async fn sources(cx: &Cx, used: &BackendInUse, network: &Network) -> Result<Vec<IpNet>, FactError> {
    let mut sources = cx.setting::<Probers>().0.clone();
    let Some(region) = &used.backend.region else { return Ok(sources) };
    for subnetwork in cx.get(Subnetworks).await?.iter() {
        let here = Network::of(&subnetwork.network, &network.project) == *network
            || subnetwork.network.name() == network.name;
        let proxies = ["REGIONAL_MANAGED_PROXY", "INTERNAL_HTTPS_LOAD_BALANCER"];
        if here
            && subnetwork.region.name() == region.name()
            && proxies.contains(&subnetwork.purpose.as_str())
        {
            sources.extend(subnetwork.ip_cidr_range.parse::<IpNet>().ok());
        }
    }
    Ok(sources)
}
