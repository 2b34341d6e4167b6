use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use kfcheck::redact::REDACTED;
use serde::{Deserialize, Serialize};

use super::{DexConfig, Hidden, Metadata, PasswordHash, Sealed};
use crate::object;

/// The entries of a Secret that are public by nature: certificates, and the OAuth client id, which
/// stands in every sign-in address.
const PUBLIC: [&str; 7] =
    ["tls.crt", "ca.crt", "client_id", "clientId", "client-id", "CLIENT_ID", "OIDC_CLIENT_ID"];

/// How the entries end that hold what an OAuth client shows for being itself, whatever their case and
/// what stands between the words: two of them have to be the same.
const CLIENT_SECRET: &str = "clientsecret";

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
    /// Dex's configuration, where it is one of them.
    pub dex: Option<Box<DexConfig>>,
    /// The entries that Dex may sign in to a directory with, by their names.
    pub ldap: BTreeMap<String, Hidden>,
}

object!(Secret, core, "secrets", "Secret", true);

/// One entry of a Secret.
#[derive(Clone, Debug)]
pub enum Entry {
    /// There is nothing in it.
    Empty,
    /// There is something in it, which was not kept.
    Filled,
    /// It is public by nature.
    Public(String),
    /// What an OAuth client shows for being itself.
    ClientSecret(Sealed),
    /// The hash of a password.
    Hash(PasswordHash),
    /// Dex's configuration.
    Dex,
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
        let (mut dex, mut ldap) = (None, BTreeMap::new());
        let mut entries = BTreeMap::new();
        for (key, text) in coded.chain(plain) {
            // Programs use all of it, be it white space at its end.
            let entry = match text.trim() {
                "" => Entry::Empty,
                _ if is_client_secret(&key) => Entry::ClientSecret(Sealed::read(&text)),
                text if PUBLIC.contains(&&*key) && !text.contains("PRIVATE KEY") => {
                    Entry::Public(text.to_owned())
                }
                text if PasswordHash::is_one(text) => Entry::Hash(PasswordHash::read(text)),
                _ if dex.is_none() && DexConfig::is_in(&wire.metadata.name, &key, &text) => {
                    dex = Some(Box::new(DexConfig::read(&key, &text)));
                    Entry::Dex
                }
                _ => {
                    let name = key.to_ascii_lowercase();
                    if name.contains("ldap") || name.contains("bind") {
                        ldap.insert(key.clone(), Hidden::keep(&text));
                    }
                    Entry::Filled
                }
            };
            entries.insert(key, entry);
        }
        Self { kind: wire.kind, entries, metadata: wire.metadata, dex, ldap }
    }
}

impl From<Secret> for OnWire {
    fn from(secret: Secret) -> Self {
        let data = secret.entries.into_iter().map(|(key, entry)| {
            let text = match entry {
                Entry::Empty => String::new(),
                Entry::Filled => REDACTED.to_owned(),
                Entry::Public(text) => text,
                Entry::ClientSecret(secret) => Option::from(secret).unwrap_or_default(),
                Entry::Hash(hash) => hash.into(),
                Entry::Dex => secret.dex.as_ref().map(|dex| dex.write()).unwrap_or_default(),
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
        self.entries.get(key).is_some_and(|entry| !matches!(entry, Entry::Empty))
    }

    /// What is in this entry, if that is public.
    pub fn public(&self, key: &str) -> Option<&str> {
        match self.entries.get(key) {
            Some(Entry::Public(text)) => Some(text),
            _ => None,
        }
    }

    /// What an OAuth client shows for being itself, if it is in this entry.
    pub fn client_secret(&self, key: &str) -> Option<Sealed> {
        match self.entries.get(key)? {
            Entry::ClientSecret(secret) => Some(*secret),
            Entry::Empty => Some(Sealed::Empty),
            Entry::Public(_) | Entry::Filled | Entry::Hash(_) | Entry::Dex => None,
        }
    }

    /// The hash of a password that is in this entry.
    pub fn hash(&self, key: &str) -> Option<&PasswordHash> {
        match self.entries.get(key)? {
            Entry::Hash(hash) => Some(hash),
            _ => None,
        }
    }
}

fn is_client_secret(key: &str) -> bool {
    let bare: String = key.chars().filter(char::is_ascii_alphanumeric).collect();
    bare.to_ascii_lowercase().ends_with(CLIENT_SECRET)
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde_json::json;

    use super::{Entry, Secret};

    #[test]
    fn what_is_secret_is_neither_kept_nor_written() {
        let wire = json!({ "metadata": { "name": "oauth" }, "type": "Opaque", "data": {
            "client_id": "aWQ=", "client_secret": "aHVudGVyMg==", "empty": "" } });
        let secret: Secret = serde_json::from_value(wire).unwrap();
        assert_eq!(secret.public("client_id"), Some("id"));
        assert!(matches!(secret.entries["client_secret"], Entry::ClientSecret(_)));
        assert!(!secret.has("empty"));
        let written = serde_json::to_string(&secret).unwrap();
        assert!(!written.contains("aHVudGVyMg") && !written.contains("hunter2"), "{written}");
        let again: Secret = serde_json::from_str(&written).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), written);
        let (one, other) =
            (secret.client_secret("client_secret"), again.client_secret("client_secret"));
        assert_eq!(one.unwrap().is_same(other.unwrap()), Some(true));
    }

    #[test]
    fn white_space_at_the_end_of_a_secret_is_a_part_of_it() {
        let wire = json!({ "metadata": { "name": "oauth" }, "stringData": {
            "client-secret": "hunter2", "CLIENT_SECRET": "hunter2\n", "LDAP_BIND_PW": "hunter3\n" } });
        let secret: Secret = serde_json::from_value(wire).unwrap();
        let one = secret.client_secret("client-secret").unwrap();
        assert!(one.differs_by_space(secret.client_secret("CLIENT_SECRET").unwrap()));
        assert_eq!(secret.ldap["LDAP_BIND_PW"].reveal(), Some("hunter3\n"));
    }

    #[test]
    fn a_hash_and_a_configuration_of_dexs_are_read_and_not_written() {
        let hash = bcrypt::hash("12341234", 4).unwrap();
        let config = "issuer: https://kf.example.com/dex\nconnectors:\n- type: ldap\n  config:\n    bindPW: hunter2\n";
        let wire = json!({ "metadata": { "name": "dex" }, "stringData": {
            "DEX_USER_PASSWORD": hash, "config.yaml": config, "other": "hunter3" } });
        let secret: Secret = serde_json::from_value(wire).unwrap();
        assert_eq!(secret.hash("DEX_USER_PASSWORD").unwrap().is_of(&["12341234"]), Some(true));
        assert_eq!(
            secret.dex.as_ref().unwrap().issuer.as_deref(),
            Some("https://kf.example.com/dex")
        );
        let written = serde_json::to_value(&secret).unwrap();
        let again: Secret = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(serde_json::to_value(&again).unwrap(), written);
        for (key, text) in written["data"].as_object().unwrap() {
            let plain = STANDARD.decode(text.as_str().unwrap()).unwrap();
            let plain = String::from_utf8(plain).unwrap();
            assert!(!plain.contains("hunter") && !plain.contains("$2"), "{key}: {plain}");
        }
    }
}
