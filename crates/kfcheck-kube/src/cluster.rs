use std::collections::BTreeMap;

use kfcheck::{Cx, Fact, FactError, Fault, Place};
use serde::{Deserialize, Serialize};

use crate::client::{Discovery, KubeClient};

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

    async fn fetch(&self, cx: &Cx) -> Result<Version, FactError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct OnWire {
            git_version: String,
        }
        cx.get(Discovery).await?;
        let connection = cx.client::<KubeClient>()?.connection().await?;
        let answer = connection.get(cx, "/version", "application/json").await?;
        let body = answer.body("/version", "get /version")?;
        let wire: OnWire = serde_json::from_slice(&body).map_err(|error| Fault::Malformed {
            file: "the API server's answer to GET /version".to_owned(),
            detail: error.to_string(),
        })?;
        let context = connection.chosen.context.clone();
        Ok(Version { context, server_version: Some(wire.git_version) })
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

/// What the kubeconfig says of the cluster. Nobody is asked for it.
#[derive(Clone, Serialize)]
pub struct Context;

impl Fact for Context {
    const NAME: &'static str = "kube.context";
    type Value = Chosen;

    async fn fetch(&self, cx: &Cx) -> Result<Chosen, FactError> {
        Ok(cx.client::<KubeClient>()?.connection().await?.chosen.clone())
    }
}

/// What was chosen of the kubeconfig, by flags or by its current context.
#[derive(Clone, Debug, Default)]
pub struct Chosen {
    /// The name of the context; none inside of a pod.
    pub context: Option<String>,
    /// The kubeconfig's cluster, where a flag names one that it has.
    pub cluster: Option<String>,
    /// Where what is named without a namespace is.
    pub namespace: String,
    /// Where the API server is, as a URL.
    pub server: String,
    /// The credential plugin and what it is told. Never written down.
    pub plugin: Vec<String>,
    /// The AWS profile that the plugin runs with, where the kubeconfig says one.
    pub plugin_profile: Option<String>,
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

    async fn fetch(&self, cx: &Cx) -> Result<Self::Value, FactError> {
        let faults = cx.faults().await?.into_iter();
        Ok(faults.map(|(place, fault)| (place, Recorded::Known(fault))).collect())
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
