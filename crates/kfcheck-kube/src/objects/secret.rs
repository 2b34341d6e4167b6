use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use kfcheck::redact::REDACTED;
use serde::{Deserialize, Serialize};

use super::Metadata;
use crate::object;

/// The entries of a Secret that are public by nature: certificates, and the OAuth client id, which
/// stands in every sign-in address.
const PUBLIC: [&str; 4] = ["tls.crt", "ca.crt", "client_id", "clientId"];

/// A Secret without what is secret in it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "OnWire", into = "OnWire")]
pub struct Secret {
    /// Its name.
    pub metadata: Metadata,
    /// What sort it says it is.
    pub kind: String,
    /// Its entries.
    pub entries: BTreeMap<String, Entry>,
}

object!(Secret, core, "secrets", "Secret", true);

/// One entry of a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// There is nothing in it.
    Empty,
    /// There is something in it, which was not kept.
    Filled,
    /// It is public by nature.
    Public(String),
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct OnWire {
    metadata: Metadata,
    #[serde(rename = "type")]
    kind: String,
    data: Option<BTreeMap<String, Option<String>>>,
    #[serde(rename = "stringData", skip_serializing)]
    string_data: Option<BTreeMap<String, Option<String>>>,
}

impl From<OnWire> for Secret {
    fn from(wire: OnWire) -> Self {
        let decode = |text: String| {
            let bytes = STANDARD.decode(text.trim()).ok();
            bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or(text)
        };
        let coded = wire.data.into_iter().flatten();
        let coded = coded.map(|(key, text)| (key, decode(text.unwrap_or_default())));
        let plain = wire.string_data.into_iter().flatten();
        let plain = plain.map(|(key, text)| (key, text.unwrap_or_default()));
        let entries = coded.chain(plain).map(|(key, text)| {
            let entry = match text.trim() {
                "" => Entry::Empty,
                text if PUBLIC.contains(&&*key) && !text.contains("PRIVATE KEY") => {
                    Entry::Public(text.to_owned())
                }
                _ => Entry::Filled,
            };
            (key, entry)
        });
        Self { kind: wire.kind, entries: entries.collect(), metadata: wire.metadata }
    }
}

impl From<Secret> for OnWire {
    fn from(secret: Secret) -> Self {
        let data = secret.entries.into_iter().map(|(key, entry)| {
            let text = match entry {
                Entry::Empty => String::new(),
                Entry::Filled => REDACTED.to_owned(),
                Entry::Public(text) => text,
            };
            (key, Some(STANDARD.encode(text)))
        });
        let data = Some(data.collect());
        Self { metadata: secret.metadata, kind: secret.kind, data, string_data: None }
    }
}

impl Secret {
    /// Whether there is something in this entry.
    pub fn has(&self, key: &str) -> bool {
        self.entries.get(key).is_some_and(|entry| *entry != Entry::Empty)
    }

    /// What is in this entry, if that is public.
    pub fn public(&self, key: &str) -> Option<&str> {
        match self.entries.get(key) {
            Some(Entry::Public(text)) => Some(text),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Entry, Secret};

    #[test]
    fn what_is_secret_is_neither_kept_nor_written() {
        let wire = json!({ "metadata": { "name": "oauth" }, "type": "Opaque", "data": {
            "client_id": "aWQ=", "client_secret": "aHVudGVyMg==", "empty": "" } });
        let secret: Secret = serde_json::from_value(wire).unwrap();
        assert_eq!(secret.public("client_id"), Some("id"));
        assert_eq!(secret.entries["client_secret"], Entry::Filled);
        assert!(!secret.has("empty"));
        let written = serde_json::to_string(&secret).unwrap();
        assert!(!written.contains("aHVudGVyMg") && !written.contains("hunter2"), "{written}");
        let again: Secret = serde_json::from_str(&written).unwrap();
        assert_eq!(again.entries, secret.entries);
    }
}
