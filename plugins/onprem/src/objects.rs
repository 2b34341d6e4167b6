//! MetalLB's own objects, as far as checks read them (MetalLB documentation, "API reference").

use std::collections::BTreeMap;

use kfcheck_kube::{Condition, LabelSelector, Metadata, null_is_empty, object};
use serde::{Deserialize, Serialize};

/// A pool of addresses.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct IpAddressPool {
    /// Its name and labels.
    pub metadata: Metadata,
    /// What it asks for.
    #[serde(deserialize_with = "null_is_empty")]
    pub spec: PoolSpec,
    /// How much of it is left, since MetalLB 0.15.
    #[serde(deserialize_with = "null_is_empty")]
    pub status: PoolStatus,
}

object!(IpAddressPool, ["metallb.io"], "v1beta1", "ipaddresspools", "IPAddressPool", true);

/// A pool as MetalLB 0.13 took it over from its ConfigMap: it says by itself how it is announced.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AddressPool {
    /// Its name.
    pub metadata: Metadata,
    /// What it asks for.
    #[serde(deserialize_with = "null_is_empty")]
    pub spec: PoolSpec,
}

object!(AddressPool, ["metallb.io"], "v1beta1", "addresspools", "AddressPool", true);

/// What a pool asks for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PoolSpec {
    /// Ranges, as `10.0.0.1-10.0.0.9` or `10.0.0.0/29`.
    #[serde(deserialize_with = "null_is_empty")]
    pub addresses: Vec<String>,
    /// Whether Services get its addresses without asking for them; None: yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_assign: Option<bool>,
    /// Whether addresses that end in 0 or 255 are left out.
    #[serde(rename = "avoidBuggyIPs", skip_serializing_if = "Option::is_none")]
    pub avoid_buggy_ips: Option<bool>,
    /// `layer2` or `bgp`, of an [`AddressPool`] only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The Services that it is for; None: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_allocation: Option<ServiceAllocation>,
}

/// The Services that a pool is for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceAllocation {
    /// Those in these namespaces.
    #[serde(deserialize_with = "null_is_empty")]
    pub namespaces: Vec<String>,
    /// Those in namespaces with such labels.
    #[serde(deserialize_with = "null_is_empty")]
    pub namespace_selectors: Vec<LabelSelector>,
    /// Those with such labels.
    #[serde(deserialize_with = "null_is_empty")]
    pub service_selectors: Vec<LabelSelector>,
}

/// How much of a pool is left.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PoolStatus {
    /// IPv4 addresses that are left.
    #[serde(rename = "availableIPv4", skip_serializing_if = "Option::is_none")]
    pub available_v4: Option<u64>,
    /// IPv6 addresses that are left.
    #[serde(rename = "availableIPv6", skip_serializing_if = "Option::is_none")]
    pub available_v6: Option<u64>,
}

/// That pools are announced by ARP.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct L2Advertisement {
    /// Its name.
    pub metadata: Metadata,
    /// What it asks for.
    #[serde(deserialize_with = "null_is_empty")]
    pub spec: AdvertisementSpec,
}

object!(L2Advertisement, ["metallb.io"], "v1beta1", "l2advertisements", "L2Advertisement", true);

/// That pools are announced to routers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BgpAdvertisement {
    /// Its name.
    pub metadata: Metadata,
    /// What it asks for.
    #[serde(deserialize_with = "null_is_empty")]
    pub spec: AdvertisementSpec,
}

object!(BgpAdvertisement, ["metallb.io"], "v1beta1", "bgpadvertisements", "BGPAdvertisement", true);

/// Which pools are announced, and from which nodes. A list that is empty means all.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AdvertisementSpec {
    /// Pools by name.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub ip_address_pools: Vec<String>,
    /// Pools by label.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub ip_address_pool_selectors: Vec<LabelSelector>,
    /// The nodes that announce.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub node_selectors: Vec<LabelSelector>,
    /// The interfaces that they announce on.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<String>,
    /// The routers that are told, by the names of their BGPPeers.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<String>,
}

/// Whether one of `all` selects something with these labels; none selects everything.
pub(crate) fn one_selects(all: &[LabelSelector], labels: &BTreeMap<String, String>) -> bool {
    all.is_empty() || all.iter().any(|selector| selector.misses(labels).is_none())
}

/// A router that routes are told to. Its password is not kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BgpPeer {
    /// Its name.
    pub metadata: Metadata,
    /// Where it is, and who talks to it.
    #[serde(deserialize_with = "null_is_empty")]
    pub spec: BgpPeerSpec,
}

object!(BgpPeer, ["metallb.io"], "v1beta2", "bgppeers", "BGPPeer", true);

/// Where a router is, and who talks to it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BgpPeerSpec {
    /// Where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_address: Option<String>,
    /// The nodes that talk to it.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub node_selectors: Vec<LabelSelector>,
}

/// Which node announces a Service's address, since MetalLB 0.14.6.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceL2Status {
    /// Its name, which is of no meaning.
    pub metadata: Metadata,
    /// The node and the Service.
    #[serde(deserialize_with = "null_is_empty")]
    pub status: Announcement,
}

object!(ServiceL2Status, ["metallb.io"], "v1beta1", "servicel2statuses", "ServiceL2Status", true);

/// Which node announces which Service's address.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Announcement {
    /// The node.
    #[serde(deserialize_with = "null_is_empty")]
    pub node: String,
    /// The Service.
    #[serde(deserialize_with = "null_is_empty")]
    pub service_name: String,
    /// Its namespace.
    #[serde(deserialize_with = "null_is_empty")]
    pub service_namespace: String,
    /// The interfaces that it answers on; none said: all.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<Interface>,
}

/// A network interface of a node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Interface {
    /// For example `eth0`.
    pub name: String,
}

/// Whether a part of MetalLB takes its configuration, since MetalLB 0.15.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfigurationState {
    /// Its labels say which part of which node.
    pub metadata: Metadata,
    /// What it says.
    #[serde(deserialize_with = "null_is_empty")]
    pub status: ConfigurationStatus,
}

object!(
    ConfigurationState,
    ["metallb.io"],
    "v1beta1",
    "configurationstates",
    "ConfigurationState",
    true
);

/// Whether a part of MetalLB takes its configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigurationStatus {
    /// `Valid`, `Invalid` or `Unknown`.
    #[serde(deserialize_with = "null_is_empty")]
    pub result: String,
    /// Why not.
    #[serde(deserialize_with = "null_is_empty")]
    pub last_error: String,
    /// The same, part by part.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
