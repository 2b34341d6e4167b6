use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Condition, Metadata, null_is_empty};
use crate::object;

/// What checks read of a Deployment, a StatefulSet or a DaemonSet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Workload {
    /// Its name and labels.
    pub metadata: Metadata,
    /// What it asks for.
    #[serde(deserialize_with = "null_is_empty")]
    pub spec: WorkloadSpec,
    /// How it goes.
    #[serde(deserialize_with = "null_is_empty")]
    pub status: WorkloadStatus,
}

/// What a workload asks for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkloadSpec {
    /// How many pods; None: one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// What its pods are like.
    #[serde(deserialize_with = "null_is_empty")]
    pub template: Template,
}

/// What the pods of a workload are like.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Template {
    /// What selectors look at.
    #[serde(deserialize_with = "null_is_empty")]
    pub metadata: TemplateMetadata,
}

/// What selectors look at.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TemplateMetadata {
    /// The labels of the pods.
    #[serde(deserialize_with = "null_is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// How a workload goes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadStatus {
    /// How many of its pods are ready.
    #[serde(alias = "numberReady")]
    pub ready_replicas: u32,
    /// How many pods a DaemonSet is to have: one on every node that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired_number_scheduled: Option<u32>,
    /// For example `Available`, `ReplicaFailure`.
    #[serde(deserialize_with = "null_is_empty")]
    pub conditions: Vec<Condition>,
}

impl Workload {
    /// How many pods are asked for.
    pub fn replicas(&self) -> u32 {
        self.spec.replicas.unwrap_or(1)
    }
}

macro_rules! workload {
    ($($(#[$doc:meta])+ $type:ident, [$group:literal, $older:literal], $plural:literal, $kind:literal);+) => { $(
        $(#[$doc])+
        #[derive(Clone, Debug, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(pub Workload);

        impl std::ops::Deref for $type {
            type Target = Workload;

            fn deref(&self) -> &Workload {
                &self.0
            }
        }

        object!($type, [$group, $older], "v1", $plural, $kind, true);
    )+ };
}

workload! {
    /// One Deployment.
    Deployment, ["apps", "extensions"], "deployments", "Deployment";
    /// One StatefulSet.
    StatefulSet, ["apps", "extensions"], "statefulsets", "StatefulSet";
    /// One DaemonSet.
    DaemonSet, ["apps", "extensions"], "daemonsets", "DaemonSet"
}
