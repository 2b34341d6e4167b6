//! What in a bundle says whose it is.

use std::{collections::BTreeSet, sync::LazyLock};

use regex::Regex;
use serde_json::Value;

/// The fields whose values are host names, in lower case.
const HOST_FIELDS: [&str; 22] = [
    "aliases",
    "cname",
    "commonname",
    "dnsname",
    "dnsnames",
    "domain",
    "domainname",
    "domains",
    "host",
    "hostname",
    "hostnames",
    "hosts",
    "inusedomains",
    "manageddomains",
    "nonauthoritativedomains",
    "rrdatas",
    "servername",
    "servernames",
    "sni",
    "subjectalternativenames",
    "sslhosts",
    "values",
];

/// Domains of clouds and of projects, which say nothing of who uses them, and what nobody can own
/// (RFC 2606, RFC 6761).
const COMMON: [&str; 41] = [
    "amazonaws.com",
    "amazoncognito.com",
    "aws.amazon.com",
    "aws.dev",
    "cert-manager.io",
    "cilium.io",
    "cloud.goog",
    "cluster.local",
    "cnrm.cloud.google.com",
    "coreos.com",
    "docker.io",
    "eks.aws",
    "eksctl.io",
    "example",
    "example.com",
    "example.net",
    "example.org",
    "gcr.io",
    "ghcr.io",
    "github.com",
    "gke.io",
    "google.com",
    "googleapis.com",
    "googleusercontent.com",
    "gserviceaccount.com",
    "gstatic.com",
    "internal",
    "invalid",
    "istio.io",
    "k8s.io",
    "knative.dev",
    "kserve.io",
    "kubeflow.org",
    "letsencrypt.org",
    "localhost",
    "metallb.io",
    "nip.io",
    "pkg.dev",
    "quay.io",
    "sslip.io",
    "svc",
];

/// What of it was found.
#[derive(Default)]
pub(super) struct Names {
    /// The domains of whoever it is, each with all below it.
    pub(super) domains: BTreeSet<String>,
    pub(super) projects: BTreeSet<String>,
    /// Accounts and projects, by number.
    pub(super) numbers: BTreeSet<String>,
}

pattern!(URL, r"(?i)\b[a-z][a-z0-9+.-]*(?:://|%3a%2f%2f)(?:[^/@\s]*@)?([a-z0-9._-]+)");
pattern!(MAIL, r"[A-Za-z0-9_.+-]+(?:@|%40)([A-Za-z0-9.-]+)");
pattern!(
    SAID,
    r"(?im)(?:\bhosts?|hostname|domain|image|\blookup|\bdial|\btcp)[\\\x22']*(?::|=| )\s*-?\s*[\\\x22']*(?:\*\.)?([a-z0-9_-]+(?:\.[a-z0-9_-]+)+)"
);
pattern!(ARN, r"\barn:[a-z-]+:[a-z0-9-]*:[a-z0-9-]*:([0-9]{12}):");
pattern!(
    NUMBER,
    r"\b(?:projects|organizations|folders)/([0-9]{6,})\b|\b([0-9]{6,})-compute@|\b([0-9]{12})\.dkr\.ecr\."
);
pattern!(
    PROJECT,
    r"\bprojects/([a-z][a-z0-9-]{4,28}[a-z0-9])\b|@([a-z][a-z0-9-]{4,28}[a-z0-9])\.iam\.gserviceaccount\.com|\.endpoints\.([a-z][a-z0-9-]{4,28}[a-z0-9])\.cloud\.goog|\b([a-z][a-z0-9-]{4,28}[a-z0-9])\.svc\.id\.goog"
);

fn found<'t>(pattern: &'static LazyLock<Option<Regex>>, text: &'t str) -> Vec<&'t str> {
    let all = pattern.iter().flat_map(|pattern| pattern.captures_iter(text));
    all.filter_map(|captures| Some(captures.iter().skip(1).flatten().next()?.as_str())).collect()
}

impl Names {
    /// Learns what stands in a text.
    pub(super) fn learn_text(&mut self, text: &str) {
        for pattern in [&URL, &MAIL, &SAID] {
            for host in found(pattern, text) {
                self.learn_host(host);
            }
        }
        for pattern in [&ARN, &NUMBER] {
            self.numbers.extend(found(pattern, text).into_iter().map(str::to_owned));
        }
        self.projects.extend(found(&PROJECT, text).into_iter().map(str::to_owned));
    }

    /// Learns what stands in fields; `key` is that of the value.
    pub(super) fn learn(&mut self, value: &Value, key: &str, of_dns: bool) {
        match value {
            Value::Object(fields) => {
                fields.iter().for_each(|(key, value)| self.learn(value, key, of_dns));
            }
            Value::Array(all) => all.iter().for_each(|one| self.learn(one, key, of_dns)),
            Value::Number(number) => self.learn_number(key, &number.to_string()),
            Value::String(text) => {
                let key = key.to_ascii_lowercase();
                if HOST_FIELDS.contains(&&*key) || of_dns && key == "name" {
                    self.learn_host(text);
                }
                if ["project", "projectid", "networkproject"].contains(&&*key) && is_project(text) {
                    self.projects.insert(text.clone());
                }
                self.learn_number(&key, text);
            }
            _ => {}
        }
    }

    fn learn_number(&mut self, key: &str, text: &str) {
        let key = key.to_ascii_lowercase();
        let says = ["account", "accountid", "ownerid", "projectnumber", "owner"];
        let is_number = text.len() >= 6 && text.bytes().all(|byte| byte.is_ascii_digit());
        if says.contains(&&*key) && is_number {
            self.numbers.insert(text.to_owned());
        }
    }

    fn learn_host(&mut self, host: &str) {
        let host = host.trim_start_matches("*.").trim_end_matches('.').to_ascii_lowercase();
        let labels: Vec<_> = host.split('.').collect();
        let is_label = |label: &&str| {
            !label.is_empty()
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        let is_top = labels.last().is_some_and(|top| top.bytes().all(|b| b.is_ascii_alphabetic()));
        if labels.len() < 2 || !labels.iter().all(is_label) || !is_top || is_common(&host) {
            return;
        }
        // Below `co.uk` and `com.au`, everybody has three.
        let own = if labels.len() > 2 && labels[labels.len() - 2].len() <= 3 { 3 } else { 2 };
        self.domains.insert(labels[labels.len() - own..].join("."));
    }
}

/// Whether it is in a domain that says nothing of who uses it.
pub(super) fn is_common(host: &str) -> bool {
    COMMON.iter().any(|common| {
        host.strip_suffix(common).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

fn is_project(text: &str) -> bool {
    let is_own = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (6..=30).contains(&text.len()) && text.bytes().all(is_own)
}
