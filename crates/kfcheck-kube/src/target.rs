//! Where the request path begins.

use std::sync::Arc;

use kfcheck::{Cx, Fact, FactError, Fault, Named, Resource};
use serde::Serialize;

use crate::{Context, Ingress, Service, all, one, within};

/// Which endpoint the user asks about. Where nothing is said, Kubeflow's usual one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The name that users type.
    pub host: Option<String>,
    /// An Ingress, as namespace and name.
    pub ingress: Option<(String, String)>,
    /// A Service, as namespace and name.
    pub service: Option<(String, String)>,
    /// Where to look; a name without a namespace is here, or else where the kubeconfig says.
    pub namespace: Option<String>,
}

impl Target {
    /// The namespace that goes with a name: the one said with it, or else the one chosen.
    async fn namespace(&self, cx: &Cx, said: &str) -> String {
        match (said, &self.namespace) {
            ("", Some(namespace)) => namespace.clone(),
            ("", None) => {
                let chosen = cx.get(Context).await.map(|chosen| chosen.namespace.clone());
                chosen.ok().filter(|n| !n.is_empty()).unwrap_or_else(|| "default".to_owned())
            }
            (said, _) => said.to_owned(),
        }
    }
}

/// Where Kubeflow's front doors usually are.
const USUAL: [&str; 2] = ["istio-system", "kubeflow"];

/// The Services that usually stand behind them: Istio's gateway, and the proxies before it.
const GATEWAYS: [&str; 4] = ["istio-ingressgateway", "istio-ingress", "envoy", "ambassador"];

/// Where requests enter the cluster.
#[derive(Clone, Debug)]
pub enum Entrance {
    /// An Ingress.
    Ingress(Arc<Ingress>),
    /// A Service with an address of its own.
    Service(Arc<Service>),
}

impl Named for Entrance {
    fn resource(&self) -> Resource {
        match self {
            Self::Ingress(ingress) => ingress.resource(),
            Self::Service(service) => service.resource(),
        }
    }
}

/// The entrances that lead to the [`Target`].
#[derive(Clone, Serialize)]
pub struct Entrances;

impl Fact for Entrances {
    const NAME: &'static str = "kube.entrances";
    type Value = Vec<Entrance>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<Entrance>, FactError> {
        let target = cx.setting::<Target>();
        if let Some((namespace, name)) = &target.ingress {
            let namespace = &target.namespace(cx, namespace).await;
            let found = cx.get(one::<Ingress>(namespace, name)).await?;
            return named("Ingress", namespace, name, found.iter().cloned().map(Entrance::Ingress));
        }
        if let Some((namespace, name)) = &target.service {
            let namespace = &target.namespace(cx, namespace).await;
            let found = cx.get(one::<Service>(namespace, name)).await?;
            return named("Service", namespace, name, found.iter().cloned().map(Entrance::Service));
        }
        let ingresses = match &target.host {
            Some(host) => match &target.namespace {
                Some(namespace) => serving(&cx.get(within::<Ingress>(namespace)).await?, host),
                None => serving(&cx.get(all::<Ingress>()).await?, host),
            },
            None => usual(cx, target.namespace.as_deref()).await?,
        };
        if !ingresses.is_empty() {
            return Ok(ingresses.into_iter().map(Entrance::Ingress).collect());
        }
        // Without an Ingress, a load balancer may stand for the gateway's Service itself.
        let namespace = target.namespace.as_deref().unwrap_or(USUAL[0]);
        let services = cx.get(within::<Service>(namespace)).await?;
        let gateway = |service: &&Arc<Service>| {
            service.spec.kind == "LoadBalancer" && is_gateway(&service.metadata.name)
        };
        Ok(services.iter().filter(gateway).cloned().map(Entrance::Service).collect())
    }
}

fn named(
    kind: &str,
    namespace: &str,
    name: &str,
    found: impl Iterator<Item = Entrance>,
) -> Result<Vec<Entrance>, FactError> {
    let found: Vec<_> = found.collect();
    if found.is_empty() {
        // Not "absent": what the user asked about can't be skipped.
        let detail = format!(
            "{kind} {namespace}/{name} does not exist; look for its name with `kubectl get {} -A`",
            kind.to_lowercase()
        );
        return Err(Fault::Unreachable(detail).into());
    }
    Ok(found)
}

/// The Ingresses that serve a host: by name, or else those that serve any.
fn serving(all: &[Arc<Ingress>], host: &str) -> Vec<Arc<Ingress>> {
    let named = |ingress: &&Arc<Ingress>| ingress.hosts().any(|h| crate::covers(h, host));
    let any = |ingress: &&Arc<Ingress>| ingress.hosts().next().is_none();
    let found: Vec<_> = all.iter().filter(named).cloned().collect();
    if found.is_empty() { all.iter().filter(any).cloned().collect() } else { found }
}

/// The Ingresses in the usual namespaces that lead to a gateway, or else all of those there, or
/// else all that there are.
async fn usual(cx: &Cx, namespace: Option<&str>) -> Result<Vec<Arc<Ingress>>, FactError> {
    let namespaces = namespace.map_or(USUAL.to_vec(), |namespace| vec![namespace]);
    let lists = cx.get_all(namespaces.into_iter().map(within::<Ingress>)).await?;
    let here: Vec<_> = lists.iter().flat_map(|list| list.iter()).cloned().collect();
    let to_gateway =
        |ingress: &&Arc<Ingress>| ingress.backends().any(|backend| is_gateway(&backend.service));
    let gateways: Vec<_> = here.iter().filter(to_gateway).cloned().collect();
    match (gateways.is_empty(), here.is_empty()) {
        (false, _) => Ok(gateways),
        (true, false) => Ok(here),
        (true, true) if namespace.is_some() => Ok(here),
        (true, true) => Ok(cx.get(all::<Ingress>()).await?.to_vec()),
    }
}

fn is_gateway(service: &str) -> bool {
    GATEWAYS.iter().any(|gateway| service == *gateway || service.ends_with(&format!("-{gateway}")))
}

/// The Ingresses among the [`Entrances`].
#[derive(Clone, Serialize)]
pub struct EntranceIngresses;

impl Fact for EntranceIngresses {
    const NAME: &'static str = "kube.entranceIngresses";
    type Value = Vec<Arc<Ingress>>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<Arc<Ingress>>, FactError> {
        let entrances = cx.get(Entrances).await?;
        let ingresses = entrances.iter().filter_map(|entrance| match entrance {
            Entrance::Ingress(ingress) => Some(Arc::clone(ingress)),
            Entrance::Service(_) => None,
        });
        Ok(ingresses.collect())
    }
}

/// The Services that the [`Entrances`] lead to directly.
#[derive(Clone, Serialize)]
pub struct FrontServices;

impl Fact for FrontServices {
    const NAME: &'static str = "kube.frontServices";
    type Value = Vec<Arc<Service>>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<Arc<Service>>, FactError> {
        let mut front: Vec<Arc<Service>> = Vec::new();
        for entrance in cx.get(Entrances).await?.iter() {
            let ingress = match entrance {
                Entrance::Ingress(ingress) => ingress,
                Entrance::Service(service) => {
                    front.push(Arc::clone(service));
                    continue;
                }
            };
            let services = cx.get(within::<Service>(ingress.metadata.namespace())).await?;
            let used = |service: &&Arc<Service>| {
                ingress.backends().any(|backend| backend.service == service.metadata.name)
            };
            front.extend(services.iter().filter(used).cloned());
        }
        front.sort_by_key(|service| service.resource());
        front.dedup_by_key(|service| service.resource());
        Ok(front)
    }
}
