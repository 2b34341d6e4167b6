use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use regex::Regex;
use serde::{Deserialize, Serialize};

use super::{AddressPools, DexConfig, KubeProxyConfiguration, Metadata, ProxyFile, ProxySettings};
use crate::object;

/// A ConfigMap, of which only what is known to be public is kept: people put passwords in them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "OnWire", into = "OnWire")]
pub struct ConfigMap {
    /// Its name.
    pub metadata: Metadata,
    /// The audiences of Identity-Aware Proxy's that its text names.
    pub audiences: BTreeSet<String>,
    /// The domains that Knative's `config-domain` gives to what it serves.
    pub domains: BTreeSet<String>,
    /// Who Dex says it is, where this is its configuration.
    pub issuer: Option<String>,
    /// Dex's configuration, where this is it.
    pub dex: Option<Box<DexConfig>>,
    /// What a proxy that signs users in is told as variables.
    pub proxy: ProxySettings,
    /// The file of oauth2-proxy, where this has it.
    pub proxy_file: Option<ProxyFile>,
    /// How kube-proxy works, where this is its configuration.
    pub kube_proxy: Option<KubeProxyConfiguration>,
    /// MetalLB's pools, where this is its configuration; since 0.13 it has objects for them.
    pub address_pools: Option<AddressPools>,
}

/// What Knative's list of domains is called.
const DOMAINS: &str = "config-domain";

object!(ConfigMap, core, "configmaps", "ConfigMap", true);

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct OnWire {
    metadata: Metadata,
    data: Option<BTreeMap<String, String>>,
}

impl From<OnWire> for ConfigMap {
    fn from(OnWire { metadata, data }: OnWire) -> Self {
        static AUDIENCE: LazyLock<Option<Regex>> =
            LazyLock::new(|| Regex::new(r"/projects/[0-9]+/global/backendServices/[0-9]+").ok());
        static ISSUER: LazyLock<Option<Regex>> =
            LazyLock::new(|| Regex::new(r#"(?m)^issuer:\s*["']?(https?://[^\s"'@]+)"#).ok());
        let texts = data.iter().flat_map(BTreeMap::values);
        let found = texts.flat_map(|text| AUDIENCE.iter().flat_map(|re| re.find_iter(text)));
        let audiences = found.map(|audience| audience.as_str().to_owned()).collect();
        let names = data.iter().flat_map(BTreeMap::keys).filter(|_| metadata.name == DOMAINS);
        // What begins so is for people to read.
        let domains = names.filter(|name| !name.starts_with('_')).cloned().collect();
        let entries = || data.iter().flatten();
        let dex = entries().find(|(entry, text)| DexConfig::is_in(&metadata.name, entry, text));
        let issuer = dex.and_then(|(_, text)| ISSUER.as_ref()?.captures(text)?.get(1));
        let issuer = issuer.map(|issuer| issuer.as_str().to_owned());
        let dex = dex.map(|(entry, text)| Box::new(DexConfig::read(entry, text)));
        let issuer = dex.as_ref().and_then(|dex| dex.issuer.clone()).or(issuer);
        let proxy = ProxySettings::read(entries());
        let proxy_file = entries().find_map(|(entry, text)| ProxyFile::read(entry, text));
        let kube_proxy = data.as_ref().and_then(KubeProxyConfiguration::of);
        let pools = data.as_ref().and_then(|entries| AddressPools::of(&metadata, entries));
        Self {
            audiences,
            domains,
            issuer,
            dex,
            proxy,
            proxy_file,
            kube_proxy,
            address_pools: pools,
            metadata,
        }
    }
}

impl From<ConfigMap> for OnWire {
    fn from(map: ConfigMap) -> Self {
        let ConfigMap { metadata, audiences, domains, dex, proxy, proxy_file, .. } = map;
        if metadata.name == DOMAINS {
            let data = domains.into_iter().map(|name| (name, String::new())).collect();
            return Self { metadata, data: Some(data) };
        }
        let text = audiences.into_iter().collect::<Vec<_>>().join("\n");
        let mut data = BTreeMap::from([("audiences".to_owned(), text)]);
        if let Some(dex) = dex {
            data.insert(dex.entry.clone(), dex.write());
        }
        if let Some(file) = proxy_file {
            data.insert(file.entry.clone(), file.write());
        }
        data.extend(proxy.0);
        data.extend(map.kube_proxy.map(KubeProxyConfiguration::into_entry));
        data.extend(map.address_pools.map(AddressPools::into_entry));
        Self { metadata, data: Some(data) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::ConfigMap;

    #[test]
    fn of_dexs_configuration_only_the_issuer_is_kept() {
        let text = "issuer: https://kf.example.com/dex\nstorage:\n  type: memory\n\
                    connectors:\n- config:\n    bindPW: hunter2\n";
        let wire = json!({ "metadata": { "name": "dex" }, "data": { "config.yaml": text } });
        let map: ConfigMap = serde_json::from_value(wire).unwrap();
        assert_eq!(map.issuer.as_deref(), Some("https://kf.example.com/dex"));
        let written = serde_json::to_string(&map).unwrap();
        assert!(!written.contains("hunter2"), "{written}");
        let again: ConfigMap = serde_json::from_str(&written).unwrap();
        assert_eq!(again.issuer, map.issuer);
        assert_eq!(serde_json::to_string(&again).unwrap(), written);
    }

    #[test]
    fn dexs_configuration_is_read_again_whatever_its_entry_is_called() {
        let text = "issuer: https://kf.example.com/dex\nstorage:\n  type: memory\n";
        let wire = json!({ "metadata": { "name": "a" }, "data": { "settings": text } });
        let map: ConfigMap = serde_json::from_value(wire).unwrap();
        let written = serde_json::to_string(&map).unwrap();
        let again: ConfigMap = serde_json::from_str(&written).unwrap();
        assert_eq!(again.dex.unwrap().storage.as_deref(), Some("memory"));
    }
}
