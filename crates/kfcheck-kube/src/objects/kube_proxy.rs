use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::null_is_empty;

/// The entry of a ConfigMap that kube-proxy reads.
const ENTRY: &str = "config.conf";

/// What checks read of kube-proxy's configuration (Kubernetes documentation, "kube-proxy
/// Configuration (v1alpha1)").
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KubeProxyConfiguration {
    kind: String,
    /// `iptables`, `ipvs` or `nftables`; nothing: what the system has.
    #[serde(deserialize_with = "null_is_empty")]
    pub mode: String,
    /// What only IPVS mode knows.
    #[serde(deserialize_with = "null_is_empty")]
    pub ipvs: Ipvs,
}

/// How kube-proxy uses IPVS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ipvs {
    /// Whether a node answers ARP for addresses of its own interfaces only, not for those of all
    /// Services; None: nothing is said, which is no.
    #[serde(rename = "strictARP", skip_serializing_if = "Option::is_none")]
    pub strict_arp: Option<bool>,
}

impl KubeProxyConfiguration {
    /// Reads it from a ConfigMap's entries; nothing where it isn't kube-proxy's, or can't be read.
    pub(super) fn of(entries: &BTreeMap<String, String>) -> Option<Self> {
        let found: Self = serde_saphyr::from_str(entries.get(ENTRY)?).ok()?;
        (found.kind == "KubeProxyConfiguration").then_some(found)
    }

    /// What is kept of it, as an entry.
    pub(super) fn into_entry(self) -> (String, String) {
        // JSON is YAML.
        (ENTRY.to_owned(), serde_json::json!(self).to_string())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::ConfigMap;

    #[test]
    fn mode_and_strict_arp_are_kept_and_nothing_else() {
        let text = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n\
                    clusterCIDR: 10.244.0.0/16\nmode: \"ipvs\"\nipvs:\n  strictARP: true\n  scheduler: \"\"\n";
        let wire = json!({ "metadata": { "name": "kube-proxy" },
            "data": { "config.conf": text, "kubeconfig.conf": "password: hunter2" } });
        let map: ConfigMap = serde_json::from_value(wire).unwrap();
        let kept = map.kube_proxy.clone().unwrap();
        assert_eq!((kept.mode.as_str(), kept.ipvs.strict_arp), ("ipvs", Some(true)));
        let written = serde_json::to_string(&map).unwrap();
        assert!(!written.contains("hunter2") && !written.contains("10.244"), "{written}");
        let again: ConfigMap = serde_json::from_str(&written).unwrap();
        assert_eq!(again.kube_proxy, map.kube_proxy);
    }

    #[test]
    fn what_nobody_chose_is_null() {
        let text = "kind: KubeProxyConfiguration\nmode: null\nipvs: null\n";
        let wire = json!({ "metadata": { "name": "kube-proxy" }, "data": { "config.conf": text } });
        let map: ConfigMap = serde_json::from_value(wire).unwrap();
        assert_eq!(map.kube_proxy.unwrap().mode, "");
        for broken in ["kind: Another\nmode: ipvs\n", "- a\n", "mode: [\n", ""] {
            let wire = json!({ "metadata": { "name": "a" }, "data": { "config.conf": broken } });
            let map: ConfigMap = serde_json::from_value(wire).unwrap();
            assert!(map.kube_proxy.is_none(), "{broken}");
        }
    }
}
