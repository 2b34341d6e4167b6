//! What holds whatever Google Cloud and its controllers say. The fuzz target and the tests below try it:
//! each function panics where it doesn't hold.

use kfcheck_kube::{Ingress, Service};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::{
    BackendConfig, BackendConfigNames, BackendService, LogEntry, NegAnnotation, NegStatus,
    ProbeResult, checks::backend_protocol, events::Complaint, firewall, ingress,
};

/// The text of an annotation, the words of a controller, the ports of a firewall rule, or what is kept
/// of a log.
pub fn said(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    annotations(text);
    kept::<Vec<LogEntry>>(text);
    kept::<BackendConfig>(text);
    kept::<Vec<BackendService>>(text);
    if let Ok(entries) = serde_json::from_str::<Vec<LogEntry>>(text) {
        assert!(LogEntry::probes(&entries, |_| true).len() <= entries.len());
        for entry in &entries {
            let _ = entry.denied();
            let _ =
                entry.json_payload.health_check_probe_result.as_ref().and_then(ProbeResult::status);
        }
    }
    let clause = Complaint::of(text).clause();
    assert!(clause.is_empty() || clause.starts_with(": "));
    // Both ends are among the ports.
    if let Some((first, last)) = text.split_once('-')
        && let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>())
    {
        assert_eq!(firewall::within(text, first) && firewall::within(text, last), first <= last);
    }
}

fn annotations(text: &str) {
    let told = json!({ "cloud.google.com/neg": text, "cloud.google.com/neg-status": text,
        "cloud.google.com/backend-config": text, "cloud.google.com/app-protocols": text,
        "ingress.kubernetes.io/backends": text, "networking.gke.io/managed-certificates": text,
        "ingress.gcp.kubernetes.io/pre-shared-cert": text });
    let object = json!({ "metadata": { "name": "a", "annotations": told } });
    let (Ok(service), Ok(ingress)) = (
        serde_json::from_value::<Service>(object.clone()),
        serde_json::from_value::<Ingress>(object),
    ) else {
        return;
    };
    if let Some(Ok(neg)) = NegAnnotation::of(&service) {
        assert!(neg.ports().count() <= text.len() && (neg.asks() || neg.ports().next().is_none()));
    }
    if let Some(Ok(status)) = NegStatus::of(&service) {
        assert!(status.network_endpoint_groups.len() + status.zones.len() <= text.len());
    }
    if let Some(Ok(names)) = BackendConfigNames::of(&service) {
        assert!(names.all().count() <= text.len() && names.all().all(|name| !name.is_empty()));
    }
    if let Ok(protocols) = backend_protocol::protocols(&service) {
        assert!(protocols.len() <= text.len());
    }
    assert!(ingress::backends_said(&ingress).len() <= text.len());
    let listed =
        ingress::managed_certificates(&ingress).chain(ingress::shared_certificates(&ingress));
    assert!(listed.count() <= 2 * (text.len() + 1));
}

/// Reads a value, writes it and reads that; both have to be the same.
fn kept<T: Serialize + DeserializeOwned>(text: &str) {
    let Ok(value) = serde_json::from_str::<T>(text) else { return };
    let written = serde_json::to_string(&value).unwrap_or_default();
    let again = serde_json::from_str::<T>(&written).map(|again| serde_json::to_string(&again).ok());
    assert_eq!(again.ok().flatten().as_ref(), Some(&written), "{}", std::any::type_name::<T>());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SAID: [&str; 6] = [
        r#"{"ingress": true, "exposed_ports": {"80": {"name": "a"}, "http": {}}}"#,
        r#"{"network_endpoint_groups": {"80": "k8s1-a"}, "zones": ["us-east1-b"]}"#,
        r#"{"ports": {"http2": "iap", "80": "x"}, "default": "iap"}"#,
        r#"[{ "logName": "a", "timestamp": "2026-11-21T12:00:00Z", "jsonPayload": { "disposition": "DENIED",
            "connection": { "src_ip": "10.0.0.1", "dest_ip": "10.0.0.2", "dest_port": "443", "protocol": 6 },
            "rule_details": { "reference": "network:n/firewall:f", "priority": 1000 },
            "healthCheckProbeResult": { "probeResultText": "HTTP response: 204, Error: x", "targetPort": 80 } } }]"#,
        "Error during sync: googleapi: Error 403: Quota 'IN_USE_ADDRESSES' exceeded.  Limit: 8.0 in region us-east1.",
        "could not find port \"80\" in service \"a/b\"; secrets a/c not found; 8000-9000",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_google_says_may_be_changed_anywhere(
            changes in prop::collection::vec(
                (any::<prop::sample::Index>(), 0_usize..9, r#"[ -~]{0,5}|null|\[\]|\{\}|"|1e999|é|İ"#), 0..4,
            ),
        ) {
            for text in SAID {
                let mut chars: Vec<char> = text.chars().collect();
                for (at, length, by) in &changes {
                    let at = at.index(chars.len() + 1);
                    let end = (at + length).min(chars.len());
                    chars.splice(at..end, by.chars());
                }
                said(chars.into_iter().collect::<String>().as_bytes());
            }
        }

        #[test]
        fn any_text_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), ports in "[0-9]{1,5}-[0-9]{1,5}") {
            said(&bytes);
            said(ports.as_bytes());
        }
    }
}
