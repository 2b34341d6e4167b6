use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{LabelSelector, Metadata, null_is_empty};

/// The entry of a ConfigMap that MetalLB until 0.12 reads.
const ENTRY: &str = "config";

/// What checks read of MetalLB's configuration until 0.12 (MetalLB documentation of that time,
/// "Configuration"). Passwords of BGP sessions are not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct AddressPools {
    /// The pools.
    #[serde(deserialize_with = "null_is_empty")]
    pub address_pools: Vec<AddressPoolEntry>,
    /// The routers that routes are told to.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<PeerEntry>,
    /// Why nothing could be read: where the text is wrong, not what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}

/// A pool of the time when MetalLB had a ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct AddressPoolEntry {
    /// Its name.
    #[serde(deserialize_with = "null_is_empty")]
    pub name: String,
    /// `layer2` or `bgp`.
    #[serde(deserialize_with = "null_is_empty")]
    pub protocol: String,
    /// Ranges, as `10.0.0.1-10.0.0.9` or `10.0.0.0/29`.
    #[serde(deserialize_with = "null_is_empty")]
    pub addresses: Vec<String>,
    /// Whether Services get its addresses without asking for them; None: yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_assign: Option<bool>,
    /// Whether addresses that end in 0 or 255 are left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avoid_buggy_ips: Option<bool>,
}

/// A router of the time when MetalLB had a ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct PeerEntry {
    /// Where it is.
    #[serde(deserialize_with = "null_is_empty")]
    pub peer_address: String,
    /// The nodes that talk to it; none said: all.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub node_selectors: Vec<PeerNodes>,
}

/// Some nodes, by their labels, as MetalLB's ConfigMap spells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct PeerNodes {
    /// Labels that they have.
    #[serde(deserialize_with = "null_is_empty")]
    pub match_labels: BTreeMap<String, String>,
}

impl From<&PeerNodes> for LabelSelector {
    fn from(nodes: &PeerNodes) -> Self {
        Self { match_labels: nodes.match_labels.clone(), ..Self::default() }
    }
}

impl AddressPools {
    /// Reads them from a ConfigMap's entries; nothing where they are something else's.
    pub(super) fn of(metadata: &Metadata, entries: &BTreeMap<String, String>) -> Option<Self> {
        let text = entries.get(ENTRY)?;
        // Other programs call an entry so as well.
        let is_ours = text.contains("address-pools")
            || metadata.name == "config" && metadata.namespace().contains("metallb");
        is_ours.then(|| match serde_saphyr::from_str::<Self>(text) {
            Ok(pools) => pools,
            Err(error) => {
                let at = error.location().map(|at| format!("line {}: ", at.line()));
                let unreadable = format!("{}not the YAML of pools", at.unwrap_or_default());
                Self { unreadable: Some(unreadable), ..Self::default() }
            }
        })
    }

    /// What is kept of them, as an entry.
    pub(super) fn into_entry(self) -> (String, String) {
        // JSON is YAML.
        (ENTRY.to_owned(), serde_json::json!(self).to_string())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::ConfigMap;

    fn map(text: &str) -> ConfigMap {
        let metadata = json!({ "name": "config", "namespace": "metallb-system" });
        serde_json::from_value(json!({ "metadata": metadata, "data": { "config": text } })).unwrap()
    }

    #[test]
    fn pools_are_kept_and_passwords_are_not() {
        let map = map("peers:\n- peer-address: 10.0.0.1\n  peer-asn: 64501\n  password: hunter2\n\
             address-pools:\n- name: default\n  protocol: layer2\n  addresses:\n  - 10.0.0.240/28\n  auto-assign: false\n");
        let kept = map.address_pools.clone().unwrap();
        assert_eq!(kept.address_pools[0].addresses, ["10.0.0.240/28"]);
        assert_eq!(kept.address_pools[0].auto_assign, Some(false));
        assert_eq!(kept.peers[0].peer_address, "10.0.0.1");
        let written = serde_json::to_string(&map).unwrap();
        assert!(!written.contains("hunter2"), "{written}");
        let again: ConfigMap = serde_json::from_str(&written).unwrap();
        assert_eq!(again.address_pools, map.address_pools);
    }

    #[test]
    fn what_is_no_yaml_says_where_and_not_what() {
        for (broken, says) in [
            ("address-pools:\n- name: [hunter2\n", "not the YAML of pools"),
            ("address-pools: hunter2\n", "line 1: not the YAML of pools"),
            ("address-pools:\n- name: a\n  addresses: hunter2\n", "line 3: not the YAML of pools"),
        ] {
            let map = map(broken);
            let kept = map.address_pools.clone().unwrap();
            let unreadable = kept.unreadable.clone().unwrap();
            assert!(unreadable.ends_with(says), "{unreadable}");
            let written = serde_json::to_string(&map).unwrap();
            assert!(!written.contains("hunter2"), "{written}");
            let again: ConfigMap = serde_json::from_str(&written).unwrap();
            assert_eq!(again.address_pools, Some(kept));
        }
    }

    #[test]
    fn an_entry_of_something_else_is_left_alone() {
        let wire = json!({ "metadata": { "name": "config", "namespace": "shop" },
            "data": { "config": "token: hunter2" } });
        let map: ConfigMap = serde_json::from_value(wire).unwrap();
        assert!(map.address_pools.is_none());
    }
}
