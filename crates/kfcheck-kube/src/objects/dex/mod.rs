//! Dex's configuration, as far as checks read it and without what is secret in it.

mod expand;
mod hash;
mod keys;
mod read;

use serde::{Deserialize, Serialize};

pub use self::{
    expand::{Expansion, expand_env},
    hash::{Cost, PasswordHash},
    keys::{CONNECTORS, STORAGES},
};
use super::{Hidden, Sealed};

/// What Dex is told (dexidp/dex, `cmd/dex/config.go`).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DexConfig {
    /// The entry of the ConfigMap or Secret that it stands in.
    #[serde(skip)]
    pub entry: String,
    /// Why nothing of it can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken: Option<BrokenYaml>,
    /// Whether values are put in before Dex reads it: its container may start it by way of gomplate.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_template: bool,
    /// Who it says it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Where it keeps what it must not forget.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<String>,
    /// The values of where that is in which Dex puts variables of its environment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub storage_expansions: Vec<Expansion>,
    /// Where it listens.
    pub web: DexWeb,
    /// Whether it has users of its own.
    pub enable_password_db: bool,
    /// Where users come from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connectors: Vec<DexConnector>,
    /// Who sends users to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub static_clients: Vec<DexClient>,
    /// Its own users.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub static_passwords: Vec<DexPassword>,
    /// What Dex reads otherwise than it was meant, or not at all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub slips: Vec<Slip>,
}

/// Where the YAML of a configuration ends to be YAML.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BrokenYaml {
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1.
    pub column: u64,
    /// The key on that line, if there is one: a value may be a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// Where Dex listens.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DexWeb {
    /// Without TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// With TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub https: Option<String>,
    /// The file of its certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<String>,
    /// The file of its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<String>,
}

/// One place where users come from.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DexConnector {
    /// For example `ldap`.
    pub r#type: String,
    /// Unique among them.
    pub id: String,
    /// What users see.
    pub name: String,
    /// What it is told, where it is an LDAP connector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ldap: Option<DexLdap>,
    /// The values in which Dex puts variables of its environment for what follows a `$`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expansions: Vec<Expansion>,
}

/// What an LDAP connector is told (dexidp/dex, `connector/ldap/ldap.go`).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DexLdap {
    /// The server, as it is written: a port may be missing.
    pub host: String,
    /// Whether it is asked without TLS.
    #[serde(rename = "insecureNoSSL")]
    pub insecure_no_ssl: bool,
    /// Whether any certificate will do.
    pub insecure_skip_verify: bool,
    /// Whether TLS begins within a plain connection.
    #[serde(rename = "startTLS")]
    pub start_tls: bool,
    /// The file of the certificate authorities to trust.
    #[serde(rename = "rootCA", skip_serializing_if = "Option::is_none")]
    pub root_ca: Option<String>,
    /// The certificate authorities to trust, which are public, as PEM.
    #[serde(rename = "rootCAData", skip_serializing_if = "Option::is_none")]
    pub root_ca_data: Option<String>,
    /// The file of the certificate that Dex shows for being itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_cert: Option<String>,
    /// As whom Dex searches; empty: as nobody.
    #[serde(rename = "bindDN")]
    pub bind_dn: String,
    /// With which password.
    #[serde(rename = "bindPW")]
    pub bind_pw: Sealed,
    /// The password itself, for whoever asks the server.
    #[serde(skip)]
    pub password: Hidden,
    /// How users are found.
    pub user_search: DexUserSearch,
    /// How their groups are found; nothing: nobody has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_search: Option<DexGroupSearch>,
}

/// How users are found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DexUserSearch {
    /// Where to look.
    #[serde(rename = "baseDN")]
    pub base_dn: String,
    /// What users are besides.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filter: String,
    /// `sub`, which is also meant where nothing is said, or `one`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// The attributes with what users type, comma between them.
    pub username: String,
    /// The attribute with what tells them apart.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id_attr: String,
    /// The attribute with their address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub email_attr: String,
    /// What makes an address of a name, in place of that.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub email_suffix: String,
    /// The attribute with their name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name_attr: String,
    /// The attribute with what they like to be called.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub preferred_username_attr: String,
}

/// How the groups of a user are found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DexGroupSearch {
    /// Where to look.
    #[serde(rename = "baseDN")]
    pub base_dn: String,
    /// What groups are besides.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filter: String,
    /// As for users.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// What a user has that a group has as well. One pair may stand outside of this list, as before
    /// Dex 2.24.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub user_matchers: Vec<UserMatcher>,
    /// The attribute with the group's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name_attr: String,
}

/// What a user has that a group has as well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UserMatcher {
    /// The user's attribute; `DN` is its name in the directory.
    pub user_attr: String,
    /// The group's attribute.
    pub group_attr: String,
}

/// Somebody who sends users to Dex, and to whom it sends them back.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DexClient {
    /// Its name for programs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// The variable that has this name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id_env: String,
    /// Its name for people.
    pub name: String,
    /// What it shows for being itself.
    pub secret: Sealed,
    /// The variable that has this secret.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub secret_env: String,
    /// Where users may be sent back to, letter by letter.
    #[serde(rename = "redirectURIs", skip_serializing_if = "Vec::is_empty")]
    pub redirect_uris: Vec<String>,
    /// Whether it does without a secret.
    pub public: bool,
}

/// A user of Dex's own.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DexPassword {
    /// What it signs in with.
    pub email: String,
    /// What it is called.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// What is kept of its password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<PasswordHash>,
    /// The variable that has the hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash_from_env: Option<String>,
}

/// Something in a configuration that Dex reads otherwise than it was meant, or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Slip {
    /// Which key, with those around it: `connectors[0].insecureNoSSL`.
    pub path: String,
    /// What is wrong with it.
    pub wrong: Wrong,
}

/// What is wrong with a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Wrong {
    /// Dex knows none of this name here, and ignores it.
    Unknown,
    /// Dex ignores it here, and would read it there.
    Belongs(String),
    /// Dex ignores it, and knows one that is written almost like it.
    Misspelt(String),
    /// It is of one sort, and Dex takes another: it does not start.
    IsNot {
        /// What it is: `a number`.
        is: String,
        /// What Dex takes: `text`.
        wants: String,
    },
}

impl DexConnector {
    /// The server of an LDAP connector as Dex dials it: without a port 389, or 636 unless it is told
    /// not to use TLS, whatever `startTLS` says.
    pub fn server(&self) -> Option<String> {
        let ldap = self.ldap.as_ref()?;
        let port = if ldap.insecure_no_ssl { 389 } else { 636 };
        let rest = ldap.host.rsplit(']').next().unwrap_or_default();
        let has_port =
            rest.contains(':') && (ldap.host.starts_with('[') || rest.matches(':').count() == 1);
        Some(if has_port { ldap.host.clone() } else { format!("{}:{port}", ldap.host) })
    }
}

impl DexUserSearch {
    /// The attribute with what tells users apart.
    pub fn id_attr(&self) -> &str {
        if self.id_attr.is_empty() { "uid" } else { &self.id_attr }
    }

    /// The attribute with their address.
    pub fn email_attr(&self) -> &str {
        if self.email_attr.is_empty() { "mail" } else { &self.email_attr }
    }
}

/// What is written before a configuration of which the secrets are taken out.
const READ: &str = "# As kfcheck read it; what is secret was taken out.\n";

impl DexConfig {
    /// Whether a text may be Dex's configuration, going by its name and how it begins.
    pub(crate) fn is_in(object: &str, entry: &str, text: &str) -> bool {
        let is_yaml = [".yaml", ".yml"].iter().any(|end| entry.ends_with(end));
        let named = is_yaml && object.split('-').any(|part| part == "dex");
        let has = |key: &str| text.lines().any(|line| line.starts_with(key));
        let own = ["issuer:", "storage:", "staticClients:", "connectors:", "enablePasswordDB:"];
        text.starts_with(READ)
            || named && (own.into_iter().any(has) || entry == "config.yaml")
            || has("issuer:") && has("storage:")
    }

    /// Reads it, be it Dex's own or what was written down of it.
    pub(crate) fn read(entry: &str, text: &str) -> Self {
        let written = text.strip_prefix(READ).and_then(|text| serde_json::from_str(text).ok());
        Self { entry: entry.to_owned(), ..written.unwrap_or_else(|| read::config(text)) }
    }

    /// What is written down of it.
    pub(crate) fn write(&self) -> String {
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        format!("{READ}{text}\n")
    }
}
