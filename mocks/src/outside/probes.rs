use jiff::Timestamp;
use serde_json::Value;
use url::Url;

use crate::Served;

/// Headers that belong to one connection or to the encoding of a body, not to the answer.
const OF_THE_CONNECTION: [&str; 5] =
    ["connection", "content-encoding", "content-length", "keep-alive", "transfer-encoding"];

/// The requests that a bundle knows the answers to.
pub(super) struct Probes {
    pub(super) all: Vec<Probe>,
    /// When they were made.
    pub(super) collected_at: Timestamp,
}

/// One request and its answer, made from outside.
pub(super) struct Probe {
    pub(super) url: Url,
    method: String,
    /// Whether the request carried a token.
    credentials: bool,
    /// None: no answer came.
    pub(super) status: Option<u16>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
    /// Why no answer came, its layer first.
    error: String,
    /// What was seen of the handshake.
    pub(super) tls: Value,
}

impl Probes {
    pub(super) fn of(served: &Served) -> Self {
        let file = served.json("probes/http").unwrap_or_default();
        let collected_at = served.manifest()["collectedAt"].as_str().and_then(|at| at.parse().ok());
        Self {
            all: file.as_array().into_iter().flatten().filter_map(Probe::of).collect(),
            collected_at: collected_at.unwrap_or_else(Timestamp::now),
        }
    }

    /// The answer to a request: that of the same URL, otherwise that of the longest one that it
    /// begins with.
    pub(super) fn find(&self, method: &str, url: &Url, credentials: bool) -> Option<&Probe> {
        let alike = self.all.iter().filter(|probe| {
            probe.method.eq_ignore_ascii_case(method) && probe.credentials == credentials
        });
        let fitting = alike.filter(|probe| url.as_str().starts_with(probe.url.as_str()));
        // Of two with the same URL, the first.
        fitting.rev().max_by_key(|probe| probe.url.as_str().len())
    }

    /// The hosts asked over TLS, each once.
    pub(super) fn tls_hosts(&self) -> Vec<&str> {
        let secure = self.all.iter().filter(|probe| probe.url.scheme() == "https");
        let mut hosts: Vec<_> = secure.map(Probe::host).collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }

    /// The probe that tells how a host's handshake goes; none: it doesn't come to one.
    pub(super) fn handshake(&self, host: &str) -> Option<&Probe> {
        let secure = |probe: &&Probe| probe.url.scheme() == "https" && probe.host() == host;
        let reached = self.all.iter().filter(secure).filter(|probe| probe.reaches_tls());
        // Of two that say as much, the first.
        reached.rev().max_by_key(|probe| probe.tls.is_object())
    }
}

impl Probe {
    /// None: it wasn't made from outside, or it names nothing.
    pub(super) fn of(entry: &Value) -> Option<Self> {
        if entry["note"].is_string() {
            return None;
        }
        let text = |name: &str| entry[name].as_str().unwrap_or_default();
        let sent = entry["requestHeaders"].as_object().into_iter().flatten();
        let got = entry["headers"].as_object().into_iter().flatten();
        let got = got.filter(|(name, _)| !OF_THE_CONNECTION.contains(&&*name.to_ascii_lowercase()));
        Some(Self {
            url: Url::parse(text("url").trim_end_matches('*')).ok()?,
            method: entry["method"].as_str().unwrap_or("GET").to_owned(),
            credentials: { sent }.any(|(name, _)| carries_credentials(name)),
            status: entry["status"].as_u64().and_then(|status| status.try_into().ok()),
            headers: got.flat_map(|(name, value)| values(name, value)).collect(),
            body: text("bodySnippet").to_owned(),
            error: text("error").to_owned(),
            tls: entry["tls"].clone(),
        })
    }

    pub(super) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Whether the name was not found.
    pub(super) fn has_no_name(&self) -> bool {
        self.error.starts_with("dns")
    }

    /// Whether a handshake was made, be it one that did not convince.
    fn reaches_tls(&self) -> bool {
        let certificate = self.tls["subject"].is_string() || self.tls["dnsNames"].is_array();
        self.status.is_some() || self.error.starts_with("http") || certificate
    }
}

/// Whether a header of that name carries a token.
pub(super) fn carries_credentials(name: &str) -> bool {
    ["authorization", "proxy-authorization"].contains(&&*name.to_ascii_lowercase())
}

/// A header as often as it came.
fn values<'a>(name: &'a str, value: &'a Value) -> impl Iterator<Item = (String, String)> + 'a {
    let several = value.as_array().into_iter().flatten().filter_map(Value::as_str);
    value.as_str().into_iter().chain(several).map(|value| (name.to_owned(), value.to_owned()))
}
