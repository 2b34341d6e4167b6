//! The entrances that Google builds a load balancer for, and what it wrote down about them.

use std::collections::BTreeSet;

use kfcheck::{Cx, Fact, FactError};
use kfcheck_kube::{ApiGateway, Entrance, Entrances, RoutedGateway, Service, Target};
use serde::Serialize;

use crate::{
    Link,
    ingress::{self, is_gce, listed, regional_address},
};

/// The Ingresses and Gateways at the entrance that Google's controllers are for.
#[derive(Clone, Serialize)]
pub struct GoogleEntrances;

impl Fact for GoogleEntrances {
    const NAME: &'static str = "gcp.entrances";
    type Value = Vec<Entrance>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<Entrance>, FactError> {
        let entrances = cx.get(Entrances).await?;
        let ours = |entrance: &&Entrance| match entrance {
            Entrance::Ingress(ingress) => is_gce(ingress),
            Entrance::Gateway(RoutedGateway { gateway, .. }) => is_gke(gateway),
            Entrance::Service(_) => false,
        };
        Ok(entrances.iter().filter(ours).cloned().collect())
    }
}

/// Whether a Gateway is of one of Google's classes. Its controller also writes into others, and
/// what it says there means nothing (nginx/nginx-gateway-fabric, issue 4645).
fn is_gke(gateway: &ApiGateway) -> bool {
    gateway.spec.gateway_class_name.starts_with("gke-l7-")
}

/// Whether a Gateway's load balancer is one of a region.
fn is_regional(gateway: &ApiGateway) -> bool {
    let class = gateway.spec.gateway_class_name.as_str();
    ["gke-l7-regional-", "gke-l7-rilb", "gke-l7-cross-regional-"]
        .iter()
        .any(|start| class.starts_with(start))
}

/// Whether an entrance is a Gateway.
pub(crate) fn is_gateway(entrance: &Entrance) -> bool {
    matches!(entrance, Entrance::Gateway(_))
}

/// Whether an entrance sends requests to a Service.
pub(crate) fn is_behind(entrance: &Entrance, service: &Service) -> bool {
    !entrance.ports_of(service).is_empty()
}

/// Whether Gateways alone send requests to a Service: what is said to Ingresses has no effect then.
pub(crate) async fn is_behind_gateways(cx: &Cx, service: &Service) -> Result<bool, FactError> {
    let entrances = cx.get(GoogleEntrances).await?;
    let mut before = entrances.iter().filter(|entrance| is_behind(entrance, service)).peekable();
    Ok(before.peek().is_some() && before.all(is_gateway))
}

/// The reserved address that an entrance asks for, by name, and whether it has to be a regional
/// one.
pub(crate) fn static_address(entrance: &Entrance) -> Option<(&str, bool)> {
    match entrance {
        Entrance::Ingress(ingress) => {
            let wanted = ingress::static_address(ingress)?;
            let regional = ingress.metadata.annotation(&[regional_address()]) == Some(wanted);
            Some((wanted, regional))
        }
        Entrance::Gateway(RoutedGateway { gateway, .. }) => {
            let named = |kind: &Option<String>| kind.as_deref() == Some("NamedAddress");
            let wanted = gateway.spec.addresses.iter().find(|address| named(&address.kind))?;
            // It may be a whole path.
            let name = wanted.value.rsplit('/').next().filter(|name| !name.is_empty())?;
            Some((name, is_regional(gateway)))
        }
        Entrance::Service(_) => None,
    }
}

/// What Google's controller wrote down in one of its annotations at a Gateway: paths of resources,
/// which name the project by its number.
fn said<'a>(gateway: &'a ApiGateway, what: &str) -> Vec<&'a str> {
    let annotation = format!("networking.gke.io/{what}");
    let text = gateway.metadata.annotations.get(&annotation);
    let paths = listed(text.map(String::as_str));
    paths.map(|path| path.rsplit('/').next().unwrap_or(path)).collect()
}

/// The backend services that the controller says it made for an entrance, by name.
pub(crate) fn backends_said(entrance: &Entrance) -> BTreeSet<String> {
    match entrance {
        Entrance::Ingress(ingress) => ingress::backends_said(ingress),
        Entrance::Gateway(RoutedGateway { gateway, .. }) => {
            said(gateway, "backend-services").into_iter().map(str::to_owned).collect()
        }
        Entrance::Service(_) => BTreeSet::new(),
    }
}

/// The URL maps that the controller says it made for an entrance, by name.
pub(crate) fn url_maps_said(entrance: &Entrance) -> Vec<&str> {
    match entrance {
        Entrance::Ingress(ingress) => {
            ingress.metadata.annotation(&["ingress.kubernetes.io/url-map"]).into_iter().collect()
        }
        Entrance::Gateway(RoutedGateway { gateway, .. }) => said(gateway, "url-maps"),
        Entrance::Service(_) => Vec::new(),
    }
}

/// Whether the controller says that it made a forwarding rule for an entrance.
pub(crate) fn has_rule(entrance: &Entrance, name: &str) -> bool {
    match entrance {
        Entrance::Ingress(ingress) => {
            let rules = ["forwarding-rule", "https-forwarding-rule"].map(|which| {
                let annotation = format!("ingress.kubernetes.io/{which}");
                ingress.metadata.annotations.get(&annotation).map(String::as_str)
            });
            rules.contains(&Some(name))
        }
        Entrance::Gateway(RoutedGateway { gateway, .. }) => {
            said(gateway, "forwarding-rules").contains(&name)
        }
        Entrance::Service(_) => false,
    }
}

/// Whether a backend service was made for a port of `service` by the controller of Gateways, going
/// by its name: `gkegw1-CLUSTER-NAMESPACE-SERVICE-PORT-HASH`, `gkemcg1-NAMESPACE-…` for those of
/// several clusters.
pub(crate) fn is_named_for(backend: &str, service: &Service) -> bool {
    let of_gateway = ["gkegw", "gkemcg"].iter().any(|start| backend.starts_with(start));
    let (namespace, name) = (service.metadata.namespace(), &service.metadata.name);
    let mut ports = service.spec.ports.iter().map(|port| port.port);
    of_gateway && ports.any(|port| backend.contains(&format!("-{namespace}-{name}-{port}-")))
}

/// The certificates of the load balancer that a Gateway's listeners name.
pub(crate) fn shared_certificates(gateway: &ApiGateway) -> BTreeSet<&str> {
    let tls = gateway.spec.listeners.iter().filter_map(|listener| listener.tls.as_ref());
    let named = tls.filter_map(|tls| tls.options.get("networking.gke.io/pre-shared-certs"));
    named.flat_map(|names| listed(Some(names))).collect()
}

/// The certificate map of Certificate Manager that a Gateway names.
pub(crate) fn certificate_map(gateway: &ApiGateway) -> Option<&str> {
    gateway.metadata.annotation(&["networking.gke.io/certmap"]).filter(|name| !name.is_empty())
}

/// The names by which users reach one entrance: the one asked about, or its own. A wildcard is
/// none.
pub(crate) fn hosts_of(target: &Target, entrance: &Entrance) -> BTreeSet<String> {
    let hosts: BTreeSet<_> = match &target.host {
        Some(host) => BTreeSet::from([host.clone()]),
        None => entrance.hosts().into_iter().collect(),
    };
    hosts.into_iter().filter(|host| !host.contains('*')).collect()
}

/// The names by which users reach the entrance.
#[derive(Clone, Serialize)]
pub(crate) struct HostsInUse;

impl Fact for HostsInUse {
    const NAME: &'static str = "gcp.hosts";
    type Value = BTreeSet<String>;

    async fn fetch(&self, cx: &Cx) -> Result<BTreeSet<String>, FactError> {
        let entrances = cx.get(GoogleEntrances).await?;
        let target = cx.setting::<Target>();
        Ok(entrances.iter().flat_map(|entrance| hosts_of(&target, entrance)).collect())
    }
}

/// The flag that says where a regional or a global resource is.
pub(crate) fn scope(region: Option<&Link>) -> String {
    region.map_or_else(|| "--global".to_owned(), |region| format!("--region {}", region.name()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::is_named_for;

    #[test]
    fn names_of_backend_services_say_for_whom_they_are() {
        let service = serde_json::from_value(json!({
            "metadata": { "namespace": "kf", "name": "front" },
            "spec": { "ports": [{ "port": 80 }] } }))
        .unwrap();
        assert!(is_named_for("gkegw1-nv9e-kf-front-80-t9htdxlbxe5i", &service));
        assert!(is_named_for("gkemcg1-kf-front-80-t9htdxlbxe5i", &service));
        assert!(!is_named_for("gkegw1-nv9e-kf-front-8080-t9htdxlbxe5i", &service));
        assert!(!is_named_for("k8s1-kf-front-80-t9htdxlb", &service));
    }
}
