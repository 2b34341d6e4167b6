//! How a GKE cluster is set up and how it goes, as far as checks read it.

use google_cloud_container_v1::model;
use kfcheck_kube::null_is_empty;
use serde::{Deserialize, Deserializer, Serialize};

use super::{
    Link,
    wire::{is_false, word, words},
};

words! {
    pool_status: model::node_pool::Status,
    condition_code: model::status_condition::Code,
}

fn canonical_code<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    word(from, |number| Some(google_cloud_gax::error::rpc::Code::from(number).name().to_owned()))
}

impl super::Cluster {
    /// Whether its nodes have no addresses on the internet, as far as it says.
    pub fn has_private_nodes(&self) -> bool {
        let config = self.private_cluster_config.as_ref();
        let networks = || self.node_pools.iter().filter_map(|pool| pool.network_config.as_ref());
        config.is_some_and(|config| config.enable_private_nodes)
            || self.network_config.default_enable_private_nodes == Some(true)
            || networks().any(|network| network.enable_private_nodes == Some(true))
    }
}

/// Which network a cluster is in.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkConfig {
    /// The network, maybe another project's.
    pub network: Link,
    /// The part of it that the nodes are in.
    #[serde(skip_serializing_if = "Link::is_empty")]
    pub subnetwork: Link,
    /// Whether nodes have no public addresses, where their pool doesn't say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_enable_private_nodes: Option<bool>,
}

/// How pods get their addresses.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IpAllocationPolicy {
    /// From the network itself, rather than by routes.
    pub use_ip_aliases: bool,
    /// The pods' addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_ipv4_cidr_block: Option<String>,
    /// What the subnetwork calls them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_secondary_range_name: Option<String>,
}

/// What of a cluster has no public address, in the older of two spellings.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PrivateClusterConfig {
    /// The nodes haven't.
    #[serde(skip_serializing_if = "is_false")]
    pub enable_private_nodes: bool,
    /// The API server is not asked at its public address.
    #[serde(skip_serializing_if = "is_false")]
    pub enable_private_endpoint: bool,
    /// The addresses of the control plane in the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master_ipv4_cidr_block: Option<String>,
    /// The API server's address in the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_endpoint: Option<String>,
    /// Its address for everybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_endpoint: Option<String>,
}

/// Where the API server can be asked, in the newer spelling.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ControlPlaneEndpointsConfig {
    /// By a name of Google's, to which authorized networks don't apply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_endpoint_config: Option<DnsEndpointConfig>,
    /// By address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_endpoints_config: Option<IpEndpointsConfig>,
}

/// The API server's name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DnsEndpointConfig {
    /// `gke-….REGION.gke.goog`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Whether it can be asked from outside of Google Cloud.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_external_traffic: Option<bool>,
}

/// The API server's addresses.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IpEndpointsConfig {
    /// Whether there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Whether there is one for everybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_public_endpoint: Option<bool>,
    /// That one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_endpoint: Option<String>,
    /// The one in the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_endpoint: Option<String>,
    /// Who is answered there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorized_networks_config: Option<AuthorizedNetworks>,
}

/// Whose calls to the API server's addresses are answered.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuthorizedNetworks {
    /// Not everybody's.
    #[serde(skip_serializing_if = "is_false")]
    pub enabled: bool,
    /// Those from these addresses.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub cidr_blocks: Vec<CidrBlock>,
    /// Those from whatever is at work in Google Cloud, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gcp_public_cidrs_access_enabled: Option<bool>,
}

/// A range of addresses.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CidrBlock {
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The range.
    #[serde(deserialize_with = "null_is_empty")]
    pub cidr_block: String,
}

/// Whether Google keeps the nodes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Autopilot {
    /// It does.
    #[serde(skip_serializing_if = "is_false")]
    pub enabled: bool,
}

/// What Google says of a cluster or a node pool that isn't right.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatusCondition {
    /// In one word: `GCE_STOCKOUT`.
    #[serde(deserialize_with = "condition_code", skip_serializing_if = "String::is_empty")]
    pub code: String,
    /// In one word of another list: `RESOURCE_EXHAUSTED`.
    #[serde(deserialize_with = "canonical_code", skip_serializing_if = "String::is_empty")]
    pub canonical_code: String,
    /// In full.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "String::is_empty")]
    pub message: String,
}

impl StatusCondition {
    /// Word and message, as far as there are any.
    pub fn says(&self) -> String {
        let meant = |word: &&str| !["", "UNKNOWN", "OK"].contains(word);
        let words = [self.code.as_str(), self.canonical_code.as_str()];
        let word = words.into_iter().find(meant);
        let message = Some(self.message.as_str()).filter(|text| !text.is_empty());
        word.into_iter().chain(message).collect::<Vec<_>>().join(": ")
    }
}

/// Nodes that are alike.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodePool {
    /// Unique in the cluster.
    pub name: String,
    /// `RUNNING`, `RUNNING_WITH_ERROR`, `ERROR`, …
    #[serde(deserialize_with = "pool_status", skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// Why it is not as it should be.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "String::is_empty")]
    pub status_message: String,
    /// The same, one by one.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<StatusCondition>,
    /// The addresses of nodes and pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_config: Option<NodeNetworkConfig>,
}

/// The addresses of the nodes and pods of a pool.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeNetworkConfig {
    /// The nodes have no public ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_private_nodes: Option<bool>,
    /// The pods'.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_ipv4_cidr_block: Option<String>,
    /// What the subnetwork calls them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_range: Option<String>,
}
