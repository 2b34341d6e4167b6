use serde::{Deserialize, Serialize};

use super::{Condition, Metadata, lean, null_is_empty};
use crate::object;

/// One node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Its name.
    pub metadata: Metadata,
    /// What the cloud calls it.
    #[serde(deserialize_with = "null_is_empty")]
    pub spec: NodeSpec,
    /// How it goes.
    #[serde(deserialize_with = "null_is_empty")]
    pub status: NodeStatus,
}

object!(Node, core, "nodes", "Node", false);

/// What the cloud calls a node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeSpec {
    /// For example `gce://project/zone/instance`.
    #[serde(rename = "providerID", skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
}

/// How a node goes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    /// Where it is.
    #[serde(deserialize_with = "lean", skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<NodeAddress>,
    /// For example `Ready`, `NetworkUnavailable`.
    #[serde(deserialize_with = "lean", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Where a node is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeAddress {
    /// `InternalIP`, `ExternalIP`, `Hostname`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// The address or the name.
    pub address: String,
}

impl Node {
    /// Its addresses of a kind: `InternalIP`, `ExternalIP`.
    pub fn addresses<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a str> {
        let all = self.status.addresses.iter().filter(move |address| address.kind == kind);
        all.map(|address| address.address.as_str())
    }

    /// Whether its kubelet says that it is ready; None: it says nothing of it.
    pub fn is_ready(&self) -> Option<bool> {
        self.condition("Ready").map(|condition| condition.status == "True")
    }

    /// One aspect of how it goes.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.status.conditions.iter().find(|condition| condition.kind == kind)
    }
}
