use serde::{Deserialize, Serialize};

use super::{Metadata, Port, null_is_empty};
use crate::object;

/// One Ingress.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Ingress {
    /// Its name and what its controller wrote down.
    pub metadata: Metadata,
    /// What it asks for.
    #[serde(deserialize_with = "null_is_empty")]
    pub spec: IngressSpec,
    /// What it got.
    #[serde(deserialize_with = "null_is_empty")]
    pub status: IngressStatus,
}

object!(Ingress, ["networking.k8s.io", "extensions"], "v1", "ingresses", "Ingress", true);

/// What an Ingress asks for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IngressSpec {
    /// Which controller it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress_class_name: Option<String>,
    /// Where requests go that no rule is for.
    #[serde(alias = "backend", skip_serializing_if = "Option::is_none")]
    pub default_backend: Option<IngressBackend>,
    /// Which requests go where.
    #[serde(deserialize_with = "null_is_empty")]
    pub rules: Vec<IngressRule>,
    /// The certificates.
    #[serde(deserialize_with = "null_is_empty")]
    pub tls: Vec<IngressTls>,
}

/// The certificate for some hosts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IngressTls {
    /// None: all.
    #[serde(deserialize_with = "null_is_empty")]
    pub hosts: Vec<String>,
    /// The Secret that holds it.
    pub secret_name: Option<String>,
}

/// Which requests for a host go where.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct IngressRule {
    /// None: any.
    pub host: Option<String>,
    /// What follows the host.
    #[serde(deserialize_with = "null_is_empty")]
    pub http: IngressPaths,
}

/// Which paths go where.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct IngressPaths {
    /// Which paths go where.
    #[serde(deserialize_with = "null_is_empty")]
    pub paths: Vec<IngressPath>,
}

/// Where a path goes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IngressPath {
    /// The path, with `/*` for all below on Google's controller.
    pub path: Option<String>,
    /// A Service and a port of it.
    pub backend: IngressBackend,
}

/// A Service and a port of it; before `networking.k8s.io/v1` it was spelled another way. A backend
/// that is a resource instead has no Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BackendOnWire", into = "BackendOnWire")]
pub struct IngressBackend {
    /// The Service, in the namespace of the Ingress; empty where it isn't one.
    pub service: String,
    /// The port of the Service.
    pub port: Port,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum BackendOnWire {
    Now {
        service: ServiceOnWire,
    },
    #[serde(rename_all = "camelCase")]
    Old {
        service_name: String,
        service_port: Port,
    },
    Other(serde_json::Value),
}

#[derive(Clone, Serialize, Deserialize)]
struct ServiceOnWire {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<PortOnWire>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum PortOnWire {
    Number(u16),
    Name(String),
}

impl From<BackendOnWire> for IngressBackend {
    fn from(wire: BackendOnWire) -> Self {
        let (service, port) = match wire {
            BackendOnWire::Old { service_name, service_port } => (service_name, service_port),
            BackendOnWire::Now { service: ServiceOnWire { name, port } } => match port {
                Some(PortOnWire::Number(port)) => (name, Port::Number(port)),
                Some(PortOnWire::Name(port)) => (name, Port::Name(port)),
                None => (name, Port::Name(String::new())),
            },
            BackendOnWire::Other(_) => (String::new(), Port::Name(String::new())),
        };
        // The old spelling allowed a number as text.
        let port = match port {
            Port::Name(name) => Port::parse(&name),
            number @ Port::Number(_) => number,
        };
        Self { service, port }
    }
}

impl From<IngressBackend> for BackendOnWire {
    fn from(IngressBackend { service: name, port }: IngressBackend) -> Self {
        let port = match port {
            Port::Number(port) => PortOnWire::Number(port),
            Port::Name(port) => PortOnWire::Name(port),
        };
        Self::Now { service: ServiceOnWire { name, port: Some(port) } }
    }
}

impl Ingress {
    /// The hosts it serves.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.spec.rules.iter().filter_map(|rule| rule.host.as_deref()).filter(|h| !h.is_empty())
    }

    /// Where its requests go.
    pub fn backends(&self) -> impl Iterator<Item = &IngressBackend> {
        let paths = self.spec.rules.iter().flat_map(|rule| &rule.http.paths);
        let all = paths.map(|path| &path.backend).chain(&self.spec.default_backend);
        all.filter(|backend| !backend.service.is_empty())
    }

    /// The addresses that it got.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.status.load_balancer.addresses()
    }

    /// Which controller it is for, where that is said.
    pub fn class(&self) -> Option<&str> {
        let annotation = self.metadata.annotation(&["kubernetes.io/ingress.class"]);
        annotation.or(self.spec.ingress_class_name.as_deref()).filter(|class| !class.is_empty())
    }
}

/// What an Ingress got.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IngressStatus {
    /// Its load balancer.
    #[serde(deserialize_with = "null_is_empty")]
    pub load_balancer: LoadBalancer,
}

/// A load balancer, seen from the cluster.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LoadBalancer {
    /// Its addresses.
    #[serde(deserialize_with = "null_is_empty")]
    pub ingress: Vec<LoadBalancerAddress>,
}

impl LoadBalancer {
    /// Its addresses, be they numbers or names.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        let all = self.ingress.iter().filter_map(|at| at.ip.as_deref().or(at.hostname.as_deref()));
        all.filter(|address| !address.is_empty())
    }
}

/// One address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoadBalancerAddress {
    /// Either this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// Or this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
}
