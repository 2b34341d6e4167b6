use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{LoadBalancer, Metadata, Pod, Port, null_is_empty, selects};
use crate::object;

/// One Service.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Its name and what controllers are told.
    pub metadata: Metadata,
    /// What it asks for.
    #[serde(deserialize_with = "null_is_empty")]
    pub spec: ServiceSpec,
    /// What it got.
    #[serde(deserialize_with = "null_is_empty")]
    pub status: ServiceStatus,
}

object!(Service, core, "services", "Service", true);

/// What a Service asks for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    /// `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The labels of its pods.
    #[serde(deserialize_with = "null_is_empty")]
    pub selector: BTreeMap<String, String>,
    /// Its ports.
    #[serde(deserialize_with = "null_is_empty")]
    pub ports: Vec<ServicePort>,
    /// `Local`: a node sends requests from outside to its own pods only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_traffic_policy: Option<String>,
    /// The address that its load balancer is to have.
    #[serde(rename = "loadBalancerIP", skip_serializing_if = "Option::is_none")]
    pub load_balancer_ip: Option<String>,
    /// Whose load balancer it is to be; None: the cluster's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer_class: Option<String>,
    /// Addresses that somebody else leads to the nodes.
    #[serde(
        rename = "externalIPs",
        deserialize_with = "null_is_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub external_ips: Vec<String>,
}

/// What a Service got.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceStatus {
    /// Its load balancer.
    #[serde(deserialize_with = "null_is_empty")]
    pub load_balancer: LoadBalancer,
}

/// One port of a Service.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    /// Needed where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Inside the cluster.
    pub port: u16,
    /// On the pod; None: the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_port: Option<Port>,
    /// On every node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_port: Option<u16>,
    /// What is spoken, where that is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<String>,
}

impl Service {
    /// The Service port that somebody means.
    pub fn port(&self, port: &Port) -> Option<&ServicePort> {
        self.spec.ports.iter().find(|p| match port {
            Port::Number(number) => p.port == *number,
            Port::Name(name) => p.name.as_deref() == Some(name),
        })
    }

    /// Whether it sends requests to `pod`.
    pub fn selects(&self, pod: &Pod) -> bool {
        self.metadata.namespace == pod.metadata.namespace
            && selects(&self.spec.selector, &pod.metadata.labels)
    }

    /// Whether it asks for a load balancer that ends TLS. Every cloud has its own annotation:
    /// `service.beta.kubernetes.io/aws-load-balancer-ssl-cert`, `…/do-loadbalancer-certificate-id`,
    /// `…/oci-load-balancer-tls-secret`.
    pub fn asks_to_end_tls(&self) -> bool {
        let asks = |name: &String| {
            let name = name.replace('-', "");
            let tls = ["ssl", "tls", "cert"].iter().any(|word| name.contains(word));
            tls && name.contains("loadbalancer")
        };
        self.metadata.annotations.keys().any(asks)
    }

    /// Whether a node sends requests from outside to its own pods only.
    pub fn is_local(&self) -> bool {
        self.spec.external_traffic_policy.as_deref() == Some("Local")
    }

    /// The labels of its pods, as `kubectl -l` takes them.
    pub fn selector(&self) -> String {
        let labels = self.spec.selector.iter().map(|(name, value)| format!("{name}={value}"));
        labels.collect::<Vec<_>>().join(",")
    }
}

impl ServicePort {
    /// The port of `pod` behind it.
    pub fn on(&self, pod: &Pod) -> Option<u16> {
        match &self.target_port {
            None | Some(Port::Number(0)) => Some(self.port),
            Some(Port::Number(number)) => Some(*number),
            Some(Port::Name(name)) => pod.port_named(name),
        }
    }
}

/// The endpoints of a Service, or a part of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointSlice {
    /// Its labels name the Service.
    pub metadata: Metadata,
    /// Where requests go.
    #[serde(deserialize_with = "null_is_empty")]
    pub endpoints: Vec<SliceEndpoint>,
    /// On which ports.
    #[serde(deserialize_with = "null_is_empty")]
    pub ports: Vec<EndpointPort>,
}

object!(EndpointSlice, ["discovery.k8s.io"], "v1", "endpointslices", "EndpointSlice", true);

/// Where requests go.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SliceEndpoint {
    /// All of them reach the same pod.
    #[serde(deserialize_with = "null_is_empty")]
    pub addresses: Vec<String>,
    /// How it goes.
    #[serde(deserialize_with = "null_is_empty")]
    pub conditions: EndpointConditions,
    /// The pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_ref: Option<TargetRef>,
    /// Where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
}

/// How an endpoint goes.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct EndpointConditions {
    /// None counts as ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
}

/// A port of every endpoint.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointPort {
    /// The Service port's name.
    pub name: Option<String>,
    /// Its number.
    pub port: Option<u16>,
}

/// The pod behind an endpoint.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TargetRef {
    /// `Pod`, as a rule.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// The endpoints of a Service as Kubernetes before 1.17 has them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Endpoints {
    /// Its name is the Service's.
    pub metadata: Metadata,
    /// Groups that share their ports.
    #[serde(deserialize_with = "null_is_empty")]
    pub subsets: Vec<Subset>,
}

object!(Endpoints, core, "endpoints", "Endpoints", true);

/// Endpoints that share their ports.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Subset {
    /// Those that requests go to.
    #[serde(deserialize_with = "null_is_empty")]
    pub addresses: Vec<EndpointAddress>,
    /// Those that they don't.
    #[serde(deserialize_with = "null_is_empty")]
    pub not_ready_addresses: Vec<EndpointAddress>,
    /// On which ports.
    #[serde(deserialize_with = "null_is_empty")]
    pub ports: Vec<EndpointPort>,
}

/// One endpoint.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointAddress {
    /// Its address.
    pub ip: String,
    /// The pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_ref: Option<TargetRef>,
    /// Where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
}
