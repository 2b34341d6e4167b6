//! Where the request path begins.

use std::{collections::BTreeSet, sync::Arc};

use kfcheck::{Cx, Fact, FactError, Fault, Named};
use serde::Serialize;

use crate::{
    ApiRoute, Context, Entrance, EntranceBackend, Ingress, Names, RoutedGateway, Service, all, one,
    within,
};

/// Which endpoint the user asks about. Where nothing is said, Kubeflow's usual one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The name that users type.
    pub host: Option<String>,
    /// An Ingress, as namespace and name.
    pub ingress: Option<(String, String)>,
    /// A Gateway of the Gateway API, as namespace and name.
    pub gateway: Option<(String, String)>,
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

/// Whether the gateway's Service is an entrance also where no load balancer stands for it: on one's
/// own machines, users reach its node ports, or what somebody put before them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BareServices(pub bool);

/// The entrances that lead to the [`Target`].
#[derive(Clone, Serialize)]
pub struct Entrances;

impl Fact for Entrances {
    const NAME: &'static str = "kube.entrances";
    type Value = Vec<Entrance>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<Entrance>, FactError> {
        let target = cx.setting::<Target>();
        let names = cx.setting::<Names>();
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
        if let Some((namespace, name)) = &target.gateway {
            let namespace = &target.namespace(cx, namespace).await;
            let mut found = match RoutedGateway::all(cx, Some(namespace)).await {
                // What was asked for can't be skipped.
                Err(FactError { fault: Fault::Absent(_), .. }) => Vec::new(),
                found => found?,
            };
            found.retain(|found| found.gateway.metadata.name == *name);
            let found =
                found.into_iter().map(|gateway| Entrance::Gateway(meant(gateway, &target, &names)));
            return named("Gateway", namespace, name, found);
        }
        let namespace = target.namespace.as_deref();
        let ingresses = match (&target.host, namespace) {
            (Some(host), Some(namespace)) => {
                cx.get(within::<Ingress>(namespace)).await.map(|all| serving(&all, host))
            }
            (Some(host), None) => cx.get(all::<Ingress>()).await.map(|all| serving(&all, host)),
            (None, namespace) => usual(cx, namespace).await,
        };
        let ingresses = match ingresses {
            Ok(ingresses) => ingresses,
            Err(error) => {
                // Requests enter by such a Service, whatever else there is.
                let services = balanced(cx, namespace).await.unwrap_or_default();
                if services.is_empty() {
                    return Err(error);
                }
                cx.missing("ingresses", error.fault);
                return Ok(services.into_iter().map(Entrance::Service).collect());
            }
        };
        let is_sure = |ingress: &Arc<Ingress>| match &target.host {
            Some(host) => ingress.hosts().any(|known| crate::covers(known, host)),
            None => ingress.backends().any(|backend| names.is_front(&backend.service)),
        };
        let mut gateways = Ok(Vec::new());
        if !ingresses.iter().any(is_sure) {
            gateways = RoutedGateway::all(cx, namespace).await;
            let leading = gateways.iter().flatten();
            let leading = leading.filter_map(|all| leading_to(all, &target, &names)).collect();
            let leading = in_usual(leading, &names);
            if !leading.is_empty() {
                return Ok(leading.into_iter().map(Entrance::Gateway).collect());
            }
            // Another Ingress beside it is another's.
            if cx.setting::<BareServices>().0 {
                let services = balanced(cx, namespace).await?;
                if !services.is_empty() {
                    return Ok(services.into_iter().map(Entrance::Service).collect());
                }
            }
        }
        if !ingresses.is_empty() {
            return Ok(ingresses.into_iter().map(Entrance::Ingress).collect());
        }
        // Without either, a load balancer may stand for the gateway's Service itself.
        let services = balanced(cx, namespace).await?;
        if !services.is_empty() || target.host.is_some() {
            return Ok(services.into_iter().map(Entrance::Service).collect());
        }
        let others = match gateways {
            Err(FactError { fault: Fault::Absent(_), .. }) => Vec::new(),
            others => others?,
        };
        let here = |found: &RoutedGateway| {
            let here = found.gateway.metadata.namespace();
            namespace.map_or(names.front().contains(&here), |namespace| namespace == here)
        };
        Ok(others.into_iter().filter(here).map(Entrance::Gateway).collect())
    }
}

/// The gateway's Services that have load balancers of their own; bare ones, where those count.
async fn balanced(cx: &Cx, namespace: Option<&str>) -> Result<Vec<Arc<Service>>, FactError> {
    let names = cx.setting::<Names>();
    let namespaces = namespace.map_or_else(|| names.bare_front(), |namespace| vec![namespace]);
    let services = cx.get_all(namespaces.into_iter().map(within::<Service>)).await;
    let services: Result<Vec<_>, _> =
        services.map(|lists| lists.iter().flat_map(|list| list.iter().cloned()).collect());
    let gateways = |all: &[Arc<Service>]| -> Vec<Arc<Service>> {
        all.iter().filter(|service| names.is_front(&service.metadata.name)).cloned().collect()
    };
    if !cx.setting::<BareServices>().0 {
        let mut found = gateways(&services?);
        found.retain(|service| service.spec.kind == "LoadBalancer");
        return Ok(found);
    }
    let mut found = services.as_ref().map(|all| gateways(all)).unwrap_or_default();
    if found.is_empty() && namespace.is_none() {
        // Istio's charts put it into a namespace of its own.
        found = gateways(&cx.get(all::<Service>()).await?);
        found.retain(|service| service.spec.selector.contains_key("istio"));
    } else if found.is_empty() {
        services?;
    }
    // One that is reached from outside leaves no doubt.
    let is_outside = |service: &&Arc<Service>| !["ClusterIP", ""].contains(&&*service.spec.kind);
    let outside: Vec<_> = found.iter().filter(is_outside).cloned().collect();
    Ok(if outside.is_empty() { found } else { outside })
}

/// A Gateway with its routes to Kubeflow, if it has any.
fn leading_to(gateway: &RoutedGateway, target: &Target, names: &Names) -> Option<RoutedGateway> {
    match &target.host {
        Some(host) => gateway.serving(host),
        None => gateway.only(|route| leads_to_gateway(route, names)),
    }
}

/// The same, or else with all of its routes.
fn meant(gateway: RoutedGateway, target: &Target, names: &Names) -> RoutedGateway {
    leading_to(&gateway, target, names).unwrap_or(gateway)
}

/// The Gateways in the usual namespaces, or else all.
fn in_usual(all: Vec<RoutedGateway>, names: &Names) -> Vec<RoutedGateway> {
    let front = names.front();
    let is = |found: &&RoutedGateway| front.contains(&found.gateway.metadata.namespace());
    let usual: Vec<_> = all.iter().filter(is).cloned().collect();
    if usual.is_empty() { all } else { usual }
}

fn leads_to_gateway(route: &ApiRoute, names: &Names) -> bool {
    route.backends().any(|backend| names.is_front(&backend.service))
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
    let names = cx.setting::<Names>();
    let namespaces = namespace.map_or_else(|| names.front(), |namespace| vec![namespace]);
    let lists = cx.get_all(namespaces.into_iter().map(within::<Ingress>)).await?;
    let here: Vec<_> = lists.iter().flat_map(|list| list.iter()).cloned().collect();
    let to_gateway = |ingress: &&Arc<Ingress>| {
        ingress.backends().any(|backend| names.is_front(&backend.service))
    };
    let gateways: Vec<_> = here.iter().filter(to_gateway).cloned().collect();
    match (gateways.is_empty(), here.is_empty()) {
        (false, _) => Ok(gateways),
        (true, false) => Ok(here),
        (true, true) if namespace.is_some() => Ok(here),
        (true, true) => Ok(cx.get(all::<Ingress>()).await?.to_vec()),
    }
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
            Entrance::Gateway(_) | Entrance::Service(_) => None,
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
            if let Entrance::Service(service) = entrance {
                front.push(Arc::clone(service));
                continue;
            }
            let backends = entrance.backends();
            let namespaces: BTreeSet<_> = backends.iter().map(|to| &*to.namespace).collect();
            for namespace in namespaces {
                let services = cx.get(within::<Service>(namespace)).await?;
                let used = |service: &&Arc<Service>| {
                    let named = |to: &EntranceBackend| {
                        to.namespace == namespace && to.service == service.metadata.name
                    };
                    backends.iter().any(named)
                };
                front.extend(services.iter().filter(used).cloned());
            }
        }
        front.sort_by_key(|service| service.resource());
        front.dedup_by_key(|service| service.resource());
        Ok(front)
    }
}
