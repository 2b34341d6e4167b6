use kfcheck_kube::{Condition, Metadata, Reference, Service, null_is_empty, object};
use serde::{Deserialize, Serialize};

use super::HealthCheck;

/// How a Gateway's load balancer treats a Service.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BackendPolicy {
    /// Its name.
    pub metadata: Metadata,
    /// What it asks for.
    #[serde(deserialize_with = "null_is_empty")]
    pub spec: BackendPolicySpec,
    /// What came of it.
    #[serde(deserialize_with = "null_is_empty")]
    pub status: PolicyStatus,
}

object!(BackendPolicy, ["networking.gke.io"], "v1", "gcpbackendpolicies", "GCPBackendPolicy", true);

/// What a `GCPBackendPolicy` asks for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendPolicySpec {
    /// For which Service.
    #[serde(deserialize_with = "null_is_empty")]
    pub target_ref: Reference,
    /// What.
    #[serde(deserialize_with = "null_is_empty")]
    pub default: BackendPolicyDefault,
}

/// The settings of a `GCPBackendPolicy`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BackendPolicyDefault {
    /// Who signs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iap: Option<PolicyIap>,
}

/// How Identity-Aware Proxy is to be set up.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyIap {
    /// Whether it asks at all.
    #[serde(deserialize_with = "null_is_empty")]
    pub enabled: bool,
    /// The OAuth client; none: one that Google manages.
    #[serde(rename = "clientID", skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The Secret with the client's secret, in the same namespace.
    #[serde(rename = "oauth2ClientSecret", skip_serializing_if = "Option::is_none")]
    pub secret: Option<Reference>,
}

/// What became of a policy.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PolicyStatus {
    /// `Attached`.
    #[serde(deserialize_with = "null_is_empty")]
    pub conditions: Vec<Condition>,
}

impl PolicyStatus {
    /// What keeps a policy from taking effect, as its controller says it.
    pub fn refused(&self) -> Option<&Condition> {
        self.conditions.iter().find(|c| c.kind == "Attached" && c.status == "False")
    }
}

/// What the health check of a Gateway's load balancer asks of a Service.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthCheckPolicy {
    /// Its name.
    pub metadata: Metadata,
    /// What it asks for.
    #[serde(deserialize_with = "null_is_empty")]
    pub spec: HealthCheckPolicySpec,
    /// What came of it.
    #[serde(deserialize_with = "null_is_empty")]
    pub status: PolicyStatus,
}

object!(
    HealthCheckPolicy,
    ["networking.gke.io"],
    "v1",
    "healthcheckpolicies",
    "HealthCheckPolicy",
    true
);

/// What a `HealthCheckPolicy` asks for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthCheckPolicySpec {
    /// For which Service.
    #[serde(deserialize_with = "null_is_empty")]
    pub target_ref: Reference,
    /// What.
    #[serde(deserialize_with = "null_is_empty")]
    pub default: HealthCheckPolicyDefault,
}

/// The settings of a `HealthCheckPolicy`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthCheckPolicyDefault {
    /// What it asks; spelled as the load balancer spells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<HealthCheck>,
}

/// Whatever a policy is attached to.
pub trait Policy {
    /// Its name.
    fn metadata(&self) -> &Metadata;
    /// What it is for.
    fn target(&self) -> &Reference;
    /// What came of it.
    fn status(&self) -> &PolicyStatus;

    /// Whether it is for `service`, be that here alone or in several clusters.
    fn is_for(&self, service: &Service) -> bool {
        let target = self.target();
        ["Service", "ServiceImport"].contains(&target.kind.as_deref().unwrap_or("Service"))
            && target.name == service.metadata.name
            && self.metadata().namespace() == service.metadata.namespace()
    }
}

impl Policy for BackendPolicy {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn target(&self) -> &Reference {
        &self.spec.target_ref
    }

    fn status(&self) -> &PolicyStatus {
        &self.status
    }
}

impl Policy for HealthCheckPolicy {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn target(&self) -> &Reference {
        &self.spec.target_ref
    }

    fn status(&self) -> &PolicyStatus {
        &self.status
    }
}

impl BackendPolicy {
    /// How Identity-Aware Proxy is to be set up, if it is to ask at all.
    pub fn iap(&self) -> Option<&PolicyIap> {
        self.spec.default.iap.as_ref().filter(|iap| iap.enabled)
    }
}
