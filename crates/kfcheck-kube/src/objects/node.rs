use serde::{Deserialize, Serialize};

use super::{Metadata, null_is_empty};
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
