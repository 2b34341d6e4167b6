use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Condition, Metadata, Port, null_is_empty};
use crate::object;

/// The group of the Kubernetes Gateway API.
const GROUP: &str = "gateway.networking.k8s.io";

/// A Gateway of the Kubernetes Gateway API. Reports call it by another kind than the API does, as
/// Istio's Gateways are on the same path.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ApiGateway {
    /// Its name and what its controller wrote down.
    pub metadata: Metadata,
    /// What it asks for.
    #[serde(deserialize_with = "null_is_empty")]
    pub spec: ApiGatewaySpec,
    /// What it got.
    #[serde(deserialize_with = "null_is_empty")]
    pub status: ApiGatewayStatus,
}

object!(
    ApiGateway,
    ["gateway.networking.k8s.io"],
    "v1",
    "gateways",
    "Gateway",
    true,
    called "ApiGateway"
);

/// What a Gateway asks for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ApiGatewaySpec {
    /// What sort of load balancer.
    pub gateway_class_name: String,
    /// Under which addresses.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<GatewayAddress>,
    /// What it listens for.
    #[serde(deserialize_with = "null_is_empty")]
    pub listeners: Vec<Listener>,
}

/// An address, or the name of one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GatewayAddress {
    /// `IPAddress`, `NamedAddress`, …; none: `IPAddress`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Which.
    #[serde(deserialize_with = "null_is_empty")]
    pub value: String,
}

/// What a Gateway listens for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Listener {
    /// Unique in its Gateway.
    pub name: String,
    /// For which host; none: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// On which port.
    pub port: u16,
    /// `HTTP` or `HTTPS`.
    pub protocol: String,
    /// How TLS ends here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTls>,
}

/// How TLS ends at a listener.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerTls {
    /// The Secrets that hold certificates.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub certificate_refs: Vec<Reference>,
    /// What only its controller understands.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// A reference to an object. What it leaves out depends on who refers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Reference {
    /// Its group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Its kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its namespace; none: that of who refers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// A part of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
    /// A port of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// What a Gateway got.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ApiGatewayStatus {
    /// Its addresses.
    #[serde(deserialize_with = "null_is_empty")]
    pub addresses: Vec<GatewayAddress>,
    /// `Accepted`, `Programmed` and what its controller adds.
    #[serde(deserialize_with = "null_is_empty")]
    pub conditions: Vec<Condition>,
    /// The same for each listener.
    #[serde(deserialize_with = "null_is_empty")]
    pub listeners: Vec<ListenerStatus>,
}

/// How a listener goes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ListenerStatus {
    /// Which.
    pub name: String,
    /// `Accepted`, `Programmed`, `ResolvedRefs`.
    #[serde(deserialize_with = "null_is_empty")]
    pub conditions: Vec<Condition>,
}

impl ApiGateway {
    /// The addresses that it got, be they numbers or names.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.status.addresses.iter().map(|at| at.value.as_str()).filter(|at| !at.is_empty())
    }

    /// The aspect of this name, if its controller has said anything about it.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.status.conditions.iter().find(|condition| condition.kind == kind)
    }
}

/// Which requests at which Gateways go to which Services.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ApiRoute {
    /// Its name.
    pub metadata: Metadata,
    /// What it asks for.
    #[serde(deserialize_with = "null_is_empty")]
    pub spec: ApiRouteSpec,
    /// What came of it.
    #[serde(deserialize_with = "null_is_empty")]
    pub status: ApiRouteStatus,
}

object!(ApiRoute, ["gateway.networking.k8s.io"], "v1", "httproutes", "HTTPRoute", true);

/// What an HTTPRoute asks for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ApiRouteSpec {
    /// At which Gateways.
    #[serde(deserialize_with = "null_is_empty")]
    pub parent_refs: Vec<Reference>,
    /// For which hosts; none at all: those of the listeners.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// Which requests go where.
    #[serde(deserialize_with = "null_is_empty")]
    pub rules: Vec<ApiRouteRule>,
}

/// Where some requests go.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ApiRouteRule {
    /// To which Services.
    #[serde(deserialize_with = "null_is_empty")]
    pub backend_refs: Vec<Reference>,
}

/// What came of an HTTPRoute.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ApiRouteStatus {
    /// At each Gateway.
    #[serde(deserialize_with = "null_is_empty")]
    pub parents: Vec<RouteParent>,
}

/// What came of an HTTPRoute at one Gateway.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteParent {
    /// Which Gateway.
    #[serde(deserialize_with = "null_is_empty")]
    pub parent_ref: Reference,
    /// `Accepted`, `ResolvedRefs` and what the controller adds.
    #[serde(deserialize_with = "null_is_empty")]
    pub conditions: Vec<Condition>,
}

/// A Service and a port of it that requests are sent to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntranceBackend {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub service: String,
    /// Its port.
    pub port: Port,
    /// Other clusters may have it as well, and this one need not.
    pub shared: bool,
}

impl ApiRoute {
    /// Its references to `gateway`, if it has any.
    pub fn parents<'a>(&'a self, gateway: &'a ApiGateway) -> impl Iterator<Item = &'a Reference> {
        self.spec.parent_refs.iter().filter(|parent| self.is_to(parent, gateway))
    }

    /// What came of it at `gateway`, as far as that is said.
    pub fn came_of<'a>(&'a self, gateway: &'a ApiGateway) -> impl Iterator<Item = &'a Condition> {
        let parents = self.status.parents.iter();
        let here = parents.filter(|parent| self.is_to(&parent.parent_ref, gateway));
        here.flat_map(|parent| &parent.conditions)
    }

    fn is_to(&self, parent: &Reference, gateway: &ApiGateway) -> bool {
        let Metadata { name, .. } = &gateway.metadata;
        let namespace = parent.namespace.as_deref().unwrap_or(self.metadata.namespace());
        parent.group.as_deref().unwrap_or(GROUP) == GROUP
            && parent.kind.as_deref().unwrap_or("Gateway") == "Gateway"
            && namespace == gateway.metadata.namespace()
            && parent.name == *name
    }

    /// The hosts it serves at `gateway`: its own, or else those of the listeners that it is at. A
    /// listener's host is more exact than a wildcard of its own.
    pub fn hosts(&self, gateway: &ApiGateway) -> Vec<String> {
        let parents: Vec<_> = self.parents(gateway).collect();
        let at = |listener: &&Listener| {
            parents.iter().any(|parent| {
                parent.section_name.as_ref().is_none_or(|name| *name == listener.name)
                    && parent.port.is_none_or(|port| port == listener.port)
            })
        };
        let listeners = gateway.spec.listeners.iter().filter(at);
        let theirs: Vec<_> = listeners.filter_map(|listener| listener.hostname.clone()).collect();
        if self.spec.hostnames.is_empty() {
            return theirs;
        }
        let own = self.spec.hostnames.iter().cloned();
        let inner = theirs
            .into_iter()
            .filter(|host| self.spec.hostnames.iter().any(|own| super::covers(own, host)));
        let mut all: Vec<_> = own.chain(inner).collect();
        all.sort();
        all.dedup();
        all
    }

    /// Where its requests go. A reference to anything but a Service is none.
    pub fn backends(&self) -> impl Iterator<Item = EntranceBackend> {
        let all = self.spec.rules.iter().flat_map(|rule| &rule.backend_refs);
        all.filter_map(|to| {
            let shared = match to.kind.as_deref() {
                None | Some("Service") => false,
                Some("ServiceImport") => true,
                Some(_) => return None,
            };
            let namespace = to.namespace.as_deref().unwrap_or(self.metadata.namespace());
            Some(EntranceBackend {
                namespace: namespace.to_owned(),
                service: to.name.clone(),
                port: to.port.map_or_else(|| Port::Name(String::new()), Port::Number),
                shared,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{ApiGateway, ApiRoute};

    fn gateway() -> ApiGateway {
        serde_json::from_value(json!({ "metadata": { "namespace": "infra", "name": "front" },
            "spec": { "gatewayClassName": "c", "listeners": [
                { "name": "web", "port": 80, "protocol": "HTTP" },
                { "name": "tls", "port": 443, "protocol": "HTTPS", "hostname": "kf.example.com" }
            ] } }))
        .unwrap()
    }

    fn route(parent: &serde_json::Value, hostnames: &[&str]) -> ApiRoute {
        serde_json::from_value(json!({ "metadata": { "namespace": "kubeflow", "name": "r" },
            "spec": { "parentRefs": [parent], "hostnames": hostnames, "rules": [] } }))
        .unwrap()
    }

    #[test]
    fn a_parent_without_a_namespace_is_in_the_routes_own() {
        assert_eq!(route(&json!({ "name": "front" }), &[]).parents(&gateway()).count(), 0);
        let there = route(&json!({ "name": "front", "namespace": "infra" }), &[]);
        assert_eq!(there.parents(&gateway()).count(), 1);
        let service =
            json!({ "name": "front", "namespace": "infra", "kind": "Service", "group": "" });
        assert_eq!(route(&service, &[]).parents(&gateway()).count(), 0);
    }

    #[test]
    fn hosts_are_the_routes_or_else_the_listeners() {
        let at = |section: &str, hosts: &[&str]| {
            let parent = json!({ "name": "front", "namespace": "infra", "sectionName": section });
            route(&parent, hosts).hosts(&gateway())
        };
        assert_eq!(at("tls", &["a.example.com"]), ["a.example.com"]);
        assert_eq!(at("tls", &[]), ["kf.example.com"]);
        assert_eq!(at("web", &[]), [""; 0]);
        assert_eq!(at("tls", &["*.example.com"]), ["*.example.com", "kf.example.com"]);
    }
}
