use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Condition, Metadata, null_is_empty};
use crate::object;

/// A Certificate of cert-manager's.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Certificate {
    /// Its name.
    pub metadata: Metadata,
    /// What it asks for.
    #[serde(deserialize_with = "null_is_empty")]
    pub spec: CertificateSpec,
    /// How it goes.
    #[serde(deserialize_with = "null_is_empty")]
    pub status: CertificateStatus,
}

object!(
    Certificate,
    ["cert-manager.io", "certmanager.k8s.io"],
    "v1",
    "certificates",
    "Certificate",
    true
);

/// What a Certificate asks for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CertificateSpec {
    /// Where it is put.
    pub secret_name: String,
    /// For which hosts.
    #[serde(deserialize_with = "null_is_empty")]
    pub dns_names: Vec<String>,
    /// For which addresses.
    #[serde(deserialize_with = "null_is_empty")]
    pub ip_addresses: Vec<String>,
    /// For which host, in the old way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub common_name: Option<String>,
}

/// How a Certificate goes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CertificateStatus {
    /// `Ready` and others.
    #[serde(deserialize_with = "null_is_empty")]
    pub conditions: Vec<Condition>,
    /// Until when it is good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
}

impl Certificate {
    /// The names it is for.
    pub fn names(&self) -> Vec<&str> {
        let spec = &self.spec;
        let all = spec.dns_names.iter().chain(&spec.ip_addresses).chain(&spec.common_name);
        all.map(String::as_str).collect()
    }
}

/// Whether a certificate for `name`, which may begin with `*.`, is good for `host` (RFC 6125).
pub fn covers(name: &str, host: &str) -> bool {
    let (name, host) = (name.trim_end_matches('.'), host.trim_end_matches('.'));
    match (name.strip_prefix("*."), host.split_once('.')) {
        (Some(domain), Some((_, rest))) => domain.eq_ignore_ascii_case(rest),
        (Some(_), None) => false,
        (None, _) => name.eq_ignore_ascii_case(host),
    }
}
