//! Whether health checks ask what pods serve, and whether they get there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ipnet::IpNet;
use kfcheck::{Cx, Fact, FactError, Fault, Resource, async_trait};
use kfcheck_kube::{Cloud, Pod, Unreached};
use serde::Serialize;

use crate::{
    BackendHealth, BackendInUse, BackendsInUse, EffectiveFirewalls, Firewalls, GroupHealth, Guards,
    Health, HealthCheck, HealthChecks, Instance, Instances, Network, Networks, Subnetworks,
    firewall::{Attempt, Decisive, judge, levels},
    path::{pods_of, port_on_pods},
};

/// Where Google's health checks and load balancers come from (Load Balancing documentation,
/// "Health checks overview", "Probe IP ranges and firewall rules").
pub(crate) const PROBERS: [&str; 2] = ["35.191.0.0/16", "130.211.0.0/22"];

/// What is wrong with a health check.
pub(crate) struct Wrong {
    /// A clause that continues its name.
    pub(crate) message: String,
    /// What says so.
    pub(crate) because: String,
    /// What `gcloud compute health-checks update` mends it with.
    pub(crate) flags: Option<String>,
}

/// Compares what a health check asks with what the pods serve; nothing is wrong, or nothing can be
/// told, where the pods say nothing about it.
pub(crate) fn examine(
    used: &BackendInUse,
    check: &HealthCheck,
    pods: &[Arc<Pod>],
) -> Option<Wrong> {
    let pod = pods.first()?;
    let BackendInUse { backend, service, service_port, .. } = used;
    let (ports, name) = (&service.spec.ports, &service.metadata.name);
    let by_pod = backend.reaches_pods();
    let asked = match check.port() {
        Some(port) => port,
        None if by_pod => port_on_pods(service_port.as_ref()?, pods)?,
        None => backend.port?,
    };
    // That all of it stands for a port that is gone is another check's to say.
    if !by_pod
        && backend.node_port() == Some(asked)
        && !ports.iter().any(|p| p.node_port == Some(asked))
    {
        return None;
    }
    let on_pod = if by_pod {
        let declared = pod.spec.containers.iter().flat_map(|c| &c.ports).map(|p| p.container_port);
        let known: BTreeSet<_> =
            ports.iter().filter_map(|port| port.on(pod)).chain(declared).collect();
        let probed = pod.http_probes().any(|(port, _)| port == asked);
        (known.contains(&asked) || probed).then_some(asked)
    } else {
        ports.iter().find(|port| port.node_port == Some(asked)).and_then(|port| port.on(pod))
    };
    let Some(on_pod) = on_pod else {
        let message = if by_pod {
            format!("asks the pods on port {asked}, which they don't serve")
        } else {
            format!("asks the nodes on port {asked}, which is no node port of Service {name}")
        };
        let node_port = ports.iter().find(|port| port.node_port == Some(asked));
        let because = match (node_port, ports.iter().find(|port| port.port == asked)) {
            (Some(port), _) => {
                format!("{asked} is the node port of port {} of Service {name}", port.port)
            }
            (None, Some(port)) => format!(
                "{asked} is the port of Service {name}; its pods serve {}",
                port.on(pod).map_or("another".to_owned(), |port| port.to_string())
            ),
            (None, None) => format!("Service {name} knows no port {asked}"),
        };
        let serving = service_port.as_ref().and_then(|port| port.node_port);
        let flags = match (by_pod, serving) {
            (true, _) => Some("--use-serving-port".to_owned()),
            (false, Some(port)) => Some(format!("--port {port}")),
            (false, None) => None,
        };
        return Some(Wrong { message, because, flags });
    };
    let probed: Vec<_> = pod.http_probes().collect();
    if let Some((_, probe)) = probed.iter().find(|(port, _)| *port == on_pod) {
        let (speaks, asks) = (probe.scheme().to_uppercase(), &check.protocol);
        let tls = |protocol: &str| ["HTTPS", "HTTP2", "SSL"].contains(&protocol);
        if ["HTTP", "HTTPS", "HTTP2"].contains(&asks.as_str()) && tls(asks) != tls(&speaks) {
            return Some(Wrong {
                message: format!("speaks {asks} to pods that serve {speaks} on port {on_pod}"),
                because: format!("their readiness probe asks {speaks} on port {on_pod}"),
                flags: None,
            });
        }
    }
    let path = check.path()?;
    let there = |port: u16, probe_path: &str| port == on_pod && probe_path == path;
    if probed.is_empty() || probed.iter().any(|(port, probe)| there(*port, probe.path())) {
        return None;
    }
    if let Some((port, probe)) = probed.iter().find(|(port, _)| *port == on_pod) {
        let right = probe.path();
        return Some(Wrong {
            message: format!("asks {path} on port {on_pod} of the pods, not {right}"),
            because: format!("their readiness probe asks {right} on port {port}"),
            flags: Some(format!("--request-path {right}")),
        });
    }
    let (right, _) = probed.iter().find(|(_, probe)| probe.path() == path && path != "/")?;
    let reachable = ports.iter().find(|port| port.on(pod) == Some(*right));
    let port = if by_pod { Some(*right) } else { reachable.and_then(|p| p.node_port) };
    Some(Wrong {
        message: format!("asks {path} on port {on_pod} of the pods, which serve it on {right}"),
        because: format!("their readiness probe asks {path} on port {right}"),
        flags: port.map(|port| format!("--port {port}")),
    })
}

/// The port of the pods that a health check ends at, where they say that they have it.
fn asked_on_pod(used: &BackendInUse, check: &HealthCheck, pods: &[Arc<Pod>]) -> Option<u16> {
    let BackendInUse { backend, service, service_port, .. } = used;
    let pod = pods.first()?;
    let port = match (check.port(), backend.reaches_pods()) {
        (Some(port), true) => port,
        (None, true) => port_on_pods(service_port.as_ref()?, pods)?,
        (port, false) => {
            let asked = port.or(backend.port)?;
            service.spec.ports.iter().find(|port| port.node_port == Some(asked))?.on(pod)?
        }
    };
    let declared: Vec<_> = pod.spec.containers.iter().flat_map(|c| &c.ports).collect();
    let has = declared.is_empty() || declared.iter().any(|d| d.container_port == port);
    has.then_some(port)
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
        let path = cx.path().await?;
        let used = cx.get(BackendsInUse).await?;
        if used.is_empty() {
            return Ok(Vec::new());
        }
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
                let levels = levels(guards, *first);
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

/// What guards a network, and why that isn't all, if it isn't.
async fn guards_of(cx: &Cx, network: &Network) -> Result<(Guards, Option<FactError>), FactError> {
    let Network { project, name, .. } = network;
    let all = EffectiveFirewalls { project: project.clone(), network: name.clone() };
    let (mut guards, unseen) = match cx.get(all).await {
        Ok(guards) => ((*guards).clone(), None),
        Err(error) => (Guards::default(), Some(error)),
    };
    if guards.firewalls.is_empty() {
        guards.firewalls.clone_from(&*cx.get(Firewalls).await?);
        let of_project = |rule: &crate::Firewall| rule.network.project() == project;
        if network.shared && !guards.firewalls.iter().any(of_project) {
            let detail = format!(
                "no firewall rule of host project {project} is among those listed; list them \
                 there, which takes compute.firewalls.list on {project}"
            );
            return Err(Fault::Unreachable(detail).into());
        }
    }
    Ok((guards, unseen))
}

async fn policies_first(cx: &Cx, network: &Network) -> bool {
    let networks = cx.get(Networks).await;
    let ours = |order: &&crate::NetworkOrder| {
        order.name == network.name && order.self_link.project() == network.project
    };
    let order = networks.iter().flat_map(|all| all.iter()).find(ours);
    order.is_some_and(|order| {
        order.network_firewall_policy_enforcement_order.as_deref()
            == Some("BEFORE_CLASSIC_FIREWALL")
    })
}

/// Where health checks and requests come from. Load balancers that are made of Envoy send requests
/// from a subnetwork of their own as well.
async fn sources(cx: &Cx, used: &BackendInUse, network: &Network) -> Result<Vec<IpNet>, FactError> {
    let mut sources: Vec<IpNet> = PROBERS.iter().filter_map(|range| range.parse().ok()).collect();
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

/// Google Cloud, for the checks of the cluster.
pub struct GoogleCloud;

#[async_trait]
impl Cloud for GoogleCloud {
    async fn token_audiences(&self, cx: &Cx) -> Result<Vec<(String, Resource)>, FactError> {
        let used = cx.get(BackendsInUse).await?;
        let audience = |used: &BackendInUse| {
            let BackendInUse { backend, .. } = used;
            (format!("/projects/…/global/backendServices/{}", backend.id), backend.into())
        };
        let known = used.iter().filter(|used| !used.backend.id.is_empty());
        Ok(known.map(audience).collect())
    }

    async fn unreached(&self, cx: &Cx) -> Result<Vec<Unreached>, FactError> {
        let path = cx.path().await?;
        let checks = cx.get(HealthChecks).await?;
        let reach = cx.get(ProbeReach).await?;
        let kept_out: BTreeSet<_> = reach
            .iter()
            .filter(|reach| !reach.ports.is_empty() || !reach.undecided.is_empty())
            .flat_map(|reach| &reach.backends)
            .collect();
        let mut unreached = Vec::new();
        for used in cx.get(BackendsInUse).await?.iter() {
            let health = cx.get(BackendHealth::of(&used.backend)).await?;
            let Health::Unhealthy(all) = GroupHealth::judge(&health) else { continue };
            let pods = pods_of(cx, &used.service).await?;
            let of_backend = path.below(&used.backend, checks.iter());
            let wrong = of_backend.iter().any(|check| examine(used, check, &pods).is_some());
            let reached = reach.iter().any(|reach| reach.backends.contains(&used.backend.name));
            if of_backend.is_empty() || wrong || !reached || kept_out.contains(&used.backend.name) {
                continue;
            }
            let ready = pods.iter().find(|pod| pod.is_ready());
            let port = of_backend.iter().find_map(|check| asked_on_pod(used, check, &pods));
            let (Some(pod), Some(port)) = (ready, port) else { continue };
            // The kubelet comes from outside of the pod as well: what it reaches is not local.
            if pod.http_probes().any(|(probed, _)| probed == port) {
                continue;
            }
            let because = format!(
                "the pods are ready, the health check asks what they serve, the firewall lets it \
                 in, and 0 of {all} endpoints of {} are healthy",
                used.backend.name
            );
            unreached.push(Unreached { workload: pod.workload(), port, because });
        }
        Ok(unreached)
    }
}
