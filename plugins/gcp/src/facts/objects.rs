//! Objects of Google's in the cluster.

use std::collections::BTreeMap;

use kfcheck_kube::{Condition, Metadata, Service, null_is_empty, object};
use serde::{Deserialize, Serialize};

/// How Google's load balancer treats a Service.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BackendConfig {
    /// Its name.
    pub metadata: Metadata,
    /// What it asks for.
    #[serde(deserialize_with = "null_is_empty")]
    pub spec: BackendConfigSpec,
}

object!(BackendConfig, ["cloud.google.com"], "v1", "backendconfigs", "BackendConfig", true);

/// What a BackendConfig asks for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendConfigSpec {
    /// Who signs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iap: Option<IapSpec>,
    /// What the health check asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheckSpec>,
}

/// How Identity-Aware Proxy is to be set up.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IapSpec {
    /// Whether it asks at all.
    pub enabled: bool,
    /// The OAuth client.
    #[serde(rename = "oauthclientCredentials", skip_serializing_if = "Option::is_none")]
    pub credentials: Option<OauthCredentials>,
}

/// Where the OAuth client is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OauthCredentials {
    /// The Secret with `client_id` and `client_secret`, in the same namespace.
    pub secret_name: String,
}

/// What the health check is to ask. Fields that the API doesn't have are kept: it drops them
/// without a word.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthCheckSpec {
    /// On which port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// For which path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_path: Option<String>,
    /// How: `HTTP`, `HTTPS`, `HTTP2`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// What else there is in it.
    #[serde(flatten)]
    pub others: BTreeMap<String, serde_json::Value>,
}

impl HealthCheckSpec {
    /// The other fields that a BackendConfig's health check has (GKE documentation, "Ingress
    /// configuration").
    const KNOWN: [&str; 4] =
        ["checkIntervalSec", "timeoutSec", "healthyThreshold", "unhealthyThreshold"];

    /// The fields that mean nothing.
    pub fn unknown(&self) -> Vec<&str> {
        let known = |name: &&str| Self::KNOWN.contains(name);
        self.others.keys().map(String::as_str).filter(|name| !known(name)).collect()
    }
}

/// What a Service says about BackendConfigs: by port, and for the other ports.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct BackendConfigNames {
    /// Port name or number to BackendConfig.
    #[serde(default)]
    pub ports: BTreeMap<String, String>,
    /// For all other ports.
    pub default: Option<String>,
}

impl BackendConfigNames {
    /// Reads the annotation, if there is one.
    pub fn of(service: &Service) -> Option<serde_json::Result<Self>> {
        Self::annotation(service).map(|(_, text)| serde_json::from_str(text))
    }

    /// The annotation, if there is one: its name and what it says.
    pub fn annotation(service: &Service) -> Option<(&'static str, &str)> {
        let keys = ["cloud.google.com/backend-config", "beta.cloud.google.com/backend-config"];
        keys.into_iter().find_map(|key| Some((key, service.metadata.annotation(&[key])?)))
    }

    /// Every BackendConfig that it names.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.ports.values().chain(&self.default).map(String::as_str).filter(|name| !name.is_empty())
    }
}

/// A certificate that Google is to get and renew.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ManagedCertificate {
    /// Its name.
    pub metadata: Metadata,
    /// What it asks for.
    #[serde(deserialize_with = "null_is_empty")]
    pub spec: ManagedCertificateSpec,
    /// How it goes.
    #[serde(deserialize_with = "null_is_empty")]
    pub status: ManagedCertificateStatus,
}

object!(
    ManagedCertificate,
    ["networking.gke.io"],
    "v1",
    "managedcertificates",
    "ManagedCertificate",
    true
);

/// What a ManagedCertificate asks for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ManagedCertificateSpec {
    /// For which names.
    #[serde(deserialize_with = "null_is_empty")]
    pub domains: Vec<String>,
}

/// How a ManagedCertificate goes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ManagedCertificateStatus {
    /// The certificate on the load balancer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_name: Option<String>,
    /// `Active`, `Provisioning`, `ProvisioningFailed`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_status: Option<String>,
    /// The same for each name.
    #[serde(deserialize_with = "null_is_empty")]
    pub domain_status: Vec<DomainStatus>,
}

/// How a name of a certificate goes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DomainStatus {
    /// The name.
    pub domain: String,
    /// `Active`, `Provisioning`, `FailedNotVisible`, `FailedCaaChecking`, …
    pub status: String,
}

/// A DNS name of Cloud Endpoints, which a controller in the cluster keeps.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CloudEndpoint {
    /// Its name.
    pub metadata: Metadata,
    /// What it asks for.
    #[serde(deserialize_with = "null_is_empty")]
    pub spec: CloudEndpointSpec,
    /// How it goes.
    #[serde(deserialize_with = "null_is_empty")]
    pub status: CloudEndpointStatus,
}

object!(CloudEndpoint, ["ctl.isla.solutions"], "v1", "cloudendpoints", "CloudEndpoint", true);

/// What a CloudEndpoint asks for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CloudEndpointSpec {
    /// The project whose name it is.
    pub project: String,
    /// The Ingress whose address it gets.
    #[serde(deserialize_with = "null_is_empty")]
    pub target_ingress: TargetIngress,
}

/// The Ingress behind a CloudEndpoint.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TargetIngress {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

/// How a CloudEndpoint goes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CloudEndpointStatus {
    /// The whole name.
    pub endpoint: String,
    /// The address that it was given.
    #[serde(rename = "ingressIP")]
    pub ingress_ip: String,
    /// What the controller is about: `IDLE`, `ENDPOINT_CREATE`, …
    pub state_current: String,
}

impl CloudEndpoint {
    /// The whole name, also while the controller hasn't written it down.
    pub fn host(&self) -> String {
        if !self.status.endpoint.is_empty() {
            return self.status.endpoint.clone();
        }
        format!("{}.endpoints.{}.cloud.goog", self.metadata.name, self.spec.project)
    }
}

/// What the controller knows of the network endpoint groups of one Service port.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceNetworkEndpointGroup {
    /// Its name is the group's.
    pub metadata: Metadata,
    /// How it goes.
    #[serde(deserialize_with = "null_is_empty")]
    pub status: ServiceNetworkEndpointGroupStatus,
}

object!(
    ServiceNetworkEndpointGroup,
    ["networking.gke.io"],
    "v1beta1",
    "servicenetworkendpointgroups",
    "ServiceNetworkEndpointGroup",
    true
);

/// How the groups of a Service port go.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceNetworkEndpointGroupStatus {
    /// `Initialized` and `Synced`.
    #[serde(deserialize_with = "null_is_empty")]
    pub conditions: Vec<Condition>,
}
