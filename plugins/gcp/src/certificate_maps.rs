//! The certificate maps of Certificate Manager that load balancers show certificates of.

use std::collections::BTreeSet;

use kfcheck::{Cx, Fact, FactError};
use kfcheck_kube::{Entrance, RoutedGateway, covers};
use serde::Serialize;

use crate::{
    CertificateMapEntry, ForwardingRules, GoogleEntrances, Link, TargetHttpsProxies,
    entrances::certificate_map, path::is_rule_of,
};

/// The names of all certificate maps at the entrance.
#[derive(Clone, Serialize)]
pub(crate) struct CertificateMapsInUse;

impl Fact for CertificateMapsInUse {
    const NAME: &'static str = "gcp.certificateMapsInUse";
    type Value = BTreeSet<String>;

    async fn fetch(&self, cx: &Cx) -> Result<BTreeSet<String>, FactError> {
        let mut all = BTreeSet::new();
        for entrance in cx.get(GoogleEntrances).await?.iter() {
            all.extend(maps_of(cx, entrance).await);
        }
        Ok(all)
    }
}

/// The certificate maps of one entrance: the one that a Gateway names, and those of its proxies.
pub(crate) async fn maps_of(cx: &Cx, entrance: &Entrance) -> BTreeSet<String> {
    let mut maps = BTreeSet::new();
    if let Entrance::Gateway(RoutedGateway { gateway, .. }) = entrance {
        maps.extend(certificate_map(gateway).map(str::to_owned));
    }
    // Proxies that can't be read are said to be missing by others.
    let rules = cx.get(ForwardingRules).await;
    let proxies = cx.get(TargetHttpsProxies).await;
    let (Ok(rules), Ok(proxies)) = (rules, proxies) else { return maps };
    let ours = rules.iter().filter(|rule| is_rule_of(entrance, &rule.name, &rule.ip_address));
    for rule in ours {
        let named = proxies.iter().filter(|proxy| proxy.self_link.same(&rule.target));
        let named = named.filter_map(|proxy| proxy.certificate_map.as_deref());
        maps.extend(named.map(|map| Link::from(map).name().to_owned()));
    }
    maps
}

/// The entry of a map that is for a host: the one of that name, otherwise the wildcard, otherwise
/// the one that is for all (Certificate Manager documentation, "Certificate selection logic").
pub(crate) fn entry_for<'a>(
    entries: &[&'a CertificateMapEntry],
    host: &str,
) -> Option<&'a CertificateMapEntry> {
    let named = |is: fn(&str, &str) -> bool| {
        let mut entries = entries.iter();
        entries.find(|entry| entry.hostname.as_deref().is_some_and(|name| is(name, host)))
    };
    let primary = || entries.iter().find(|entry| entry.matcher == "PRIMARY");
    named(str::eq_ignore_ascii_case).or_else(|| named(covers)).or_else(primary).copied()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::entry_for;
    use crate::CertificateMapEntry;

    fn chosen(entries: Value, host: &str) -> Option<String> {
        let entries: Vec<CertificateMapEntry> = serde_json::from_value(entries).unwrap();
        let entries: Vec<_> = entries.iter().collect();
        entry_for(&entries, host).map(|entry| entry.name.name().to_owned())
    }

    #[test]
    fn the_nearest_name_wins_and_the_primary_entry_is_for_the_rest() {
        let all = json!([{ "name": "primary", "matcher": "PRIMARY" },
            { "name": "wild", "hostname": "*.example.com" },
            { "name": "exact", "hostname": "kf.example.com" }]);
        assert_eq!(chosen(all.clone(), "KF.example.com").as_deref(), Some("exact"));
        assert_eq!(chosen(all.clone(), "other.example.com").as_deref(), Some("wild"));
        assert_eq!(chosen(all.clone(), "a.b.example.com").as_deref(), Some("primary"));
        assert_eq!(chosen(json!([all[1]]), "example.com"), None);
    }

    #[test]
    fn a_number_of_the_client_library_is_the_word_of_gcloud() {
        assert_eq!(
            chosen(json!([{ "name": "primary", "matcher": 1 }]), "kf").as_deref(),
            Some("primary")
        );
    }
}
