use std::collections::BTreeMap;

use kfcheck::{Fact, Fault, Place};
use serde::{Deserialize, Serialize};

/// The cluster asked.
#[derive(Clone, Serialize)]
pub struct Cluster;

/// Which cluster was asked.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Version {
    /// The context of the kubeconfig.
    pub context: Option<String>,
    /// What the API server says it is.
    pub server_version: Option<String>,
}

impl Fact for Cluster {
    const NAME: &'static str = "kube.cluster";
    type Value = Version;

    fn place(&self) -> Option<Place<Version>> {
        Some(Place::entry("bundle", "kubernetes", "kubectl version"))
    }
}

impl Version {
    /// Major and minor number, as in `v1.15.11-gke.3`.
    pub fn number(&self) -> Option<(u32, u32)> {
        let version = self.server_version.as_deref()?.trim_start_matches('v');
        let mut parts = version.split(['.', '+', '-']);
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }
}

/// What could not be collected, and why: [`Fault`]s by the place of the answer.
#[derive(Clone, Serialize)]
pub struct CollectionErrors;

impl Fact for CollectionErrors {
    const NAME: &'static str = "bundle.errors";
    type Value = BTreeMap<String, Recorded>;

    fn place(&self) -> Option<Place<BTreeMap<String, Recorded>>> {
        Some(Place::entry("bundle", "errors", "kubectl kfcheck collect"))
    }
}

/// A fault as it was written down; one that this version doesn't know is kept as it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Recorded {
    /// One of ours.
    Known(Fault),
    /// Something else.
    Other(serde_json::Value),
}
