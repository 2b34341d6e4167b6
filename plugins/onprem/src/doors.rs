//! How users come in: by which names and addresses, and what is answered there.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use futures::future::join_all;
use kfcheck::{Cx, Fact, FactError, Fault, Named, Resource};
use kfcheck_kube::{
    Entrance, Entrances, Gateway, Names, Node, Pod, Service, ServiceEndpoints, Target, all,
    selects, within,
};
use kfcheck_probe::{HttpAnswer, HttpProbe};
use serde::Serialize;
use url::Url;

use crate::Scope;

/// What an address on the network is called.
pub fn address_resource(address: IpAddr) -> Resource {
    Resource { provider: "onprem", kind: "Address", namespace: None, name: address.to_string() }
}

/// The addresses that a Service got.
pub fn addresses(service: &Service) -> Vec<IpAddr> {
    let all = service.status.load_balancer.addresses();
    all.filter_map(|address| address.parse().ok()).collect()
}

/// The Services of type LoadBalancer that requests enter by: the gateway's own, or that of the
/// controller that an Ingress is for.
#[derive(Clone, Serialize)]
pub struct FrontBalancers;

impl Fact for FrontBalancers {
    const NAME: &'static str = "onprem.frontBalancers";
    type Value = Vec<Arc<Service>>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<Arc<Service>>, FactError> {
        let mut found: Vec<Arc<Service>> = Vec::new();
        let mut lent = BTreeSet::new();
        for entrance in cx.get(Entrances).await?.iter() {
            match entrance {
                Entrance::Service(service) if service.spec.kind == "LoadBalancer" => {
                    found.push(Arc::clone(service));
                }
                Entrance::Service(_) => (),
                entrance => lent.extend(entrance.addresses().into_iter().map(str::to_owned)),
            }
        }
        if !lent.is_empty() {
            let services = cx.get(all::<Service>()).await?;
            let has = |service: &&Arc<Service>| {
                service.spec.kind == "LoadBalancer"
                    && service.status.load_balancer.addresses().any(|at| lent.contains(at))
            };
            found.extend(services.iter().filter(has).cloned());
        }
        found.sort_by_key(|service| service.resource());
        found.dedup_by_key(|service| service.resource());
        Ok(found)
    }
}

/// A way in, as users take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// The name or the address that users type.
    pub host: String,
    /// What they ask for, the likeliest first.
    pub urls: Vec<String>,
    /// The Ingress, Gateway or Service that it leads to.
    pub entrance: Resource,
    /// How it is known.
    pub known: Known,
}

/// How a door is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Somebody said so.
    Said,
    /// The entrance is for this host.
    Declared,
    /// The entrance got this address.
    Given,
    /// It is a port of a node.
    NodePort,
}

/// The ways in.
#[derive(Clone, Serialize)]
pub struct Doors;

impl Fact for Doors {
    const NAME: &'static str = "onprem.doors";
    type Value = Vec<Door>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<Door>, FactError> {
        let mut doors: Vec<Door> = Vec::new();
        for entrance in cx.get(Entrances).await?.iter() {
            doors.extend(doors_of(cx, entrance).await);
        }
        doors.sort_by(|a, b| (&a.entrance, &a.host).cmp(&(&b.entrance, &b.host)));
        doors.dedup();
        Ok(doors)
    }
}

/// How many hosts of an entrance are asked.
const HOSTS: usize = 5;

async fn doors_of(cx: &Cx, entrance: &Entrance) -> Vec<Door> {
    let said = Scope::said(cx).await;
    let listened = match entrance {
        Entrance::Service(service) => Listened::at(cx, service).await,
        Entrance::Ingress(ingress) => Listened::before(!ingress.spec.tls.is_empty()),
        Entrance::Gateway(_) => Listened::before(false),
    };
    let service = match entrance {
        Entrance::Service(service) => Some(service),
        _ => None,
    };
    let is_bare = service.is_some_and(|service| service.spec.kind != "LoadBalancer");
    let door = |host: &str, ports: &[Ports], known| Door {
        host: host.to_owned(),
        urls: ports.iter().flat_map(|ports| listened.urls(host, *ports)).collect(),
        entrance: entrance.resource(),
        known,
    };
    // Behind a name may be a proxy of one's own, or just the nodes.
    let by_name: &[Ports] = if is_bare { &[Ports::Front, Ports::Node] } else { &[Ports::Front] };
    if let Some(host) = cx.setting::<Target>().host.as_ref().or(said.hostname.as_ref()) {
        return vec![door(&host.to_lowercase(), by_name, Known::Said)];
    }
    let mut declared = entrance.hosts();
    if service.is_some() {
        declared.extend(listened.hosts.iter().cloned());
    }
    let declared: BTreeSet<_> = declared.into_iter().filter(|host| is_host(host)).collect();
    if !declared.is_empty() {
        let declared = declared.iter().take(HOSTS);
        return declared.map(|host| door(host, by_name, Known::Declared)).collect();
    }
    let nodes = match service {
        Some(service) if listened.has_node_ports() => nodes_of(cx, service).await,
        _ => Vec::new(),
    };
    if let Some(address) = said.ip() {
        let is_node = nodes.iter().any(|node| node.contains(&address));
        let given = entrance.addresses().iter().any(|given| *given == address.to_string());
        let order: &[Ports] = match (is_node && !given, is_bare) {
            (true, _) => &[Ports::Node, Ports::Front],
            (false, true) => by_name,
            (false, false) => &[Ports::Front],
        };
        return vec![door(&address.to_string(), order, Known::Said)];
    }
    let given = entrance.addresses().into_iter().map(str::to_owned);
    let given: Vec<_> =
        given.chain(service.iter().flat_map(|s| s.spec.external_ips.clone())).collect();
    let has_four = given.iter().any(|address| address.parse::<std::net::Ipv4Addr>().is_ok());
    // Who is asked from here may have no way to the others.
    let given = given.iter().filter(|address| !has_four || !address.contains(':'));
    let given: Vec<_> = given.map(|host| door(host, &[Ports::Front], Known::Given)).collect();
    if !given.is_empty() || !is_bare {
        return given;
    }
    let node = nodes.first().and_then(|addresses| addresses.first());
    let door = node.map(|node| door(&node.to_string(), &[Ports::Node], Known::NodePort));
    door.into_iter().collect()
}

/// A whole name of the internet's or of a network's own, no pattern.
fn is_host(name: &str) -> bool {
    name.contains('.') && !name.contains('*') && !name.ends_with(".svc.cluster.local")
}

/// The addresses of the nodes whose ports lead to a Service, those of each together.
async fn nodes_of(cx: &Cx, service: &Service) -> Vec<Vec<IpAddr>> {
    let Ok(nodes) = cx.get(all::<Node>()).await else { return Vec::new() };
    let holding =
        if service.is_local() { cx.get(ServiceEndpoints::of(service)).await.ok() } else { None };
    let leads = |node: &&Arc<Node>| match &holding {
        Some(endpoints) => {
            let name = Some(&node.metadata.name);
            endpoints.iter().any(|endpoint| endpoint.ready && endpoint.node.as_ref() == name)
        }
        None => node.is_ready() != Some(false),
    };
    let mut nodes: Vec<_> = nodes.iter().filter(leads).collect();
    nodes.sort_by_key(|node| &node.metadata.name);
    let all = nodes.into_iter().map(|node| {
        let outside = node.addresses("ExternalIP").chain(node.addresses("InternalIP"));
        outside.filter_map(|address| address.parse().ok()).collect()
    });
    all.filter(|addresses: &Vec<IpAddr>| !addresses.is_empty()).collect()
}

/// Which ports are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ports {
    /// Those of the Service, or of what stands before it.
    Front,
    /// Those of the nodes.
    Node,
}

/// What the gateway listens for at an entrance.
#[derive(Debug, Default)]
struct Listened {
    /// By scheme: the port of the Service, and that of the nodes. TLS first.
    ports: Vec<(&'static str, u16, Option<u16>)>,
    /// The hosts that it is for.
    hosts: Vec<String>,
}

impl Listened {
    /// What stands before the gateway, by itself.
    fn before(ends_tls: bool) -> Self {
        let mut ports = vec![("http", 80, None), ("https", 443, None)];
        if ends_tls {
            ports.reverse();
        }
        Self { ports, hosts: Vec::new() }
    }

    async fn at(cx: &Cx, service: &Service) -> Self {
        let mut listened = Self::default();
        let gateways = gateways_at(cx, service).await;
        let servers: Vec<_> = gateways.iter().flat_map(|gateway| &gateway.spec.servers).collect();
        for (scheme, protocols) in [("https", &["HTTPS", "TLS"][..]), ("http", &["HTTP", "HTTP2"])]
        {
            let speaks = |protocol: &str| protocols.contains(&&*protocol.to_ascii_uppercase());
            for port in &service.spec.ports {
                let here = |server: &&&kfcheck_kube::GatewayServer| {
                    server.is_on(port) && speaks(&server.port.protocol)
                };
                let here: Vec<_> = servers.iter().filter(here).collect();
                if !here.is_empty() {
                    listened.ports.push((scheme, port.port, port.node_port));
                }
            }
        }
        let names = servers.iter().flat_map(|server| &server.hosts);
        // A namespace may stand before a name.
        let names = names.map(|name| name.rsplit('/').next().unwrap_or(name).to_lowercase());
        listened.hosts = names.collect();
        if listened.ports.is_empty() {
            // Nothing listens, or nothing is known of it: this is where users look.
            let at = |scheme, number| {
                let port = service.spec.ports.iter().find(|port| port.port == number)?;
                Some((scheme, port.port, port.node_port))
            };
            listened.ports = [at("http", 80), at("https", 443)].into_iter().flatten().collect();
        }
        listened
    }

    fn has_node_ports(&self) -> bool {
        self.ports.iter().any(|(_, _, node)| node.is_some())
    }

    fn urls(&self, host: &str, ports: Ports) -> Vec<String> {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let mut urls = Vec::new();
        for (scheme, port, node) in &self.ports {
            let port = match ports {
                Ports::Front => Some(*port),
                Ports::Node => *node,
            };
            let Some(port) = port else { continue };
            let is_usual = (*scheme, port) == ("http", 80) || (*scheme, port) == ("https", 443);
            let at = if is_usual { String::new() } else { format!(":{port}") };
            urls.push(format!("{scheme}://{host}{at}/"));
        }
        // What ends TLS, or doesn't, may stand before it.
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}/");
            if ports == Ports::Front && !urls.contains(&url) {
                urls.push(url);
            }
        }
        urls
    }
}

/// Istio's Gateways for Kubeflow at a Service: Kubeflow's own, or else those that select its pods.
async fn gateways_at(cx: &Cx, service: &Service) -> Vec<Arc<Gateway>> {
    let Ok(gateways) = cx.get(all::<Gateway>()).await else { return Vec::new() };
    let pods = cx.get(within::<Pod>(service.metadata.namespace())).await;
    let pods: Vec<_> = pods.iter().flat_map(|all| all.iter()).collect();
    let at = |gateway: &&Arc<Gateway>| {
        let selector = &gateway.spec.selector;
        let mut ours = pods.iter().filter(|pod| service.selects(pod));
        selector.is_empty()
            || selects(selector, &service.spec.selector)
            || ours.any(|pod| selects(selector, &pod.metadata.labels))
    };
    let names = cx.setting::<Names>();
    let is_kubeflow = |gateway: &&Arc<Gateway>| names.is_one_of_kubeflows(gateway);
    let ours: Vec<_> = gateways.iter().filter(is_kubeflow).cloned().collect();
    if ours.is_empty() { gateways.iter().filter(at).cloned().collect() } else { ours }
}

/// What is answered at a door.
#[derive(Clone, Debug)]
pub struct DoorAnswer {
    /// The door.
    pub door: Door,
    /// What was asked for.
    pub url: String,
    /// What came of it.
    pub answer: Result<HttpAnswer, FactError>,
}

/// What is answered at the [`Doors`] to somebody who is not signed in.
#[derive(Clone, Serialize)]
pub struct DoorAnswers;

impl Fact for DoorAnswers {
    const NAME: &'static str = "onprem.doorAnswers";
    type Value = Vec<DoorAnswer>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<DoorAnswer>, FactError> {
        let doors = cx.get(Doors).await?;
        Ok(join_all(doors.iter().map(async |door| knock(cx, door).await)).await)
    }
}

async fn knock(cx: &Cx, door: &Door) -> DoorAnswer {
    let mut failed = None;
    for url in &door.urls {
        match ask(cx, url).await {
            Ok(Some(answer)) => {
                let (url, answer) = follow(cx, url, answer).await;
                return DoorAnswer { door: door.clone(), url, answer: Ok(answer) };
            }
            Ok(None) => (),
            // Who collected the bundle may have asked otherwise.
            Err(error @ FactError { fault: Fault::NotCollected { .. }, .. }) => {
                failed.get_or_insert((url.clone(), error));
            }
            Err(error) => {
                failed = Some((url.clone(), error));
                break;
            }
        }
    }
    let nobody = || {
        let says = format!("nobody asked {} without credentials", door.host);
        (door.host.clone(), FactError::from(Fault::Unreachable(says)))
    };
    let (url, error) = failed.unwrap_or_else(nobody);
    DoorAnswer { door: door.clone(), url, answer: Err(error) }
}

async fn ask(cx: &Cx, url: &str) -> Result<Option<HttpAnswer>, FactError> {
    let answers = cx.get(HttpProbe { url: url.to_owned() }).await?;
    Ok(HttpAnswer::anonymous(&answers).cloned())
}

/// The answer at the place that the same host speaks TLS at, where it sends browsers there.
async fn follow(cx: &Cx, url: &str, answer: HttpAnswer) -> (String, HttpAnswer) {
    let to = answer.redirect().and_then(|to| Url::parse(url).ok()?.join(to).ok());
    let from = Url::parse(url).ok();
    if let (Some(to), Some(from)) = (to, from)
        && (from.scheme(), to.scheme()) == ("http", "https")
        && from.host() == to.host()
        && from.path() == to.path()
        && let Ok(Some(answer)) = ask(cx, to.as_str()).await
    {
        return (to.to_string(), answer);
    }
    (url.to_owned(), answer)
}
