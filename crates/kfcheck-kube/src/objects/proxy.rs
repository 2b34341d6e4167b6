//! What the proxies are told that sign users in: OIDC AuthService and oauth2-proxy.

use std::collections::BTreeMap;

use kfcheck::redact::redact;

use super::Sealed;

/// The variables of both that checks read, and that are never a secret (arrikto/oidc-authservice,
/// `settings.go`; oauth2-proxy documentation, "Environment variables").
pub const PROXY_VARIABLES: [&str; 34] = [
    "OIDC_PROVIDER",
    "OIDC_AUTH_URL",
    "OIDC_SCOPES",
    "REDIRECT_URL",
    "AUTHSERVICE_URL_PREFIX",
    "SKIP_AUTH_URI",
    "SKIP_AUTH_URLS",
    "CLIENT_ID",
    "OIDC_CLIENT_ID",
    "CA_BUNDLE",
    "FORCE_HTTPS",
    "ALLOW_SELF_SIGNED_ISSUER",
    "ENABLE_M2M_TOKENS",
    "EXTRA_JWT_ISSUERS",
    "DEX_EXPAND_ENV",
    "OAUTH2_PROXY_CLIENT_ID",
    "OAUTH2_PROXY_CONFIG",
    "OAUTH2_PROXY_ALPHA_CONFIG",
    "OAUTH2_PROXY_COOKIE_SECURE",
    "OAUTH2_PROXY_EXTRA_JWT_ISSUERS",
    "OAUTH2_PROXY_INSECURE_OIDC_SKIP_ISSUER_VERIFICATION",
    "OAUTH2_PROXY_LOGIN_URL",
    "OAUTH2_PROXY_OIDC_ISSUER_URL",
    "OAUTH2_PROXY_OIDC_JWKS_URL",
    "OAUTH2_PROXY_PROVIDER",
    "OAUTH2_PROXY_PROVIDER_CA_FILES",
    "OAUTH2_PROXY_PROXY_PREFIX",
    "OAUTH2_PROXY_REDEEM_URL",
    "OAUTH2_PROXY_REDIRECT_URL",
    "OAUTH2_PROXY_RELATIVE_REDIRECT_URL",
    "OAUTH2_PROXY_SCOPE",
    "OAUTH2_PROXY_SKIP_OIDC_DISCOVERY",
    "OAUTH2_PROXY_SKIP_PROVIDER_BUTTON",
    "OAUTH2_PROXY_SSL_INSECURE_SKIP_VERIFY",
];

/// The settings of oauth2-proxy's file, and flags, that checks read and that are never a secret
/// (oauth2-proxy documentation, "Config Options").
pub const PROXY_SETTINGS: [&str; 19] = [
    "alpha_config",
    "client_id",
    "config",
    "cookie_secure",
    "insecure_oidc_skip_issuer_verification",
    "login_url",
    "oidc_issuer_url",
    "oidc_jwks_url",
    "provider",
    "provider_ca_file",
    "provider_ca_files",
    "proxy_prefix",
    "redeem_url",
    "redirect_url",
    "relative_redirect_url",
    "scope",
    "skip_oidc_discovery",
    "skip_provider_button",
    "ssl_insecure_skip_verify",
];

/// The entries of a ConfigMap that are variables of a proxy's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxySettings(pub BTreeMap<String, String>);

impl ProxySettings {
    pub(super) fn read<'a>(entries: impl Iterator<Item = (&'a String, &'a String)>) -> Self {
        let known = entries.filter(|(name, _)| PROXY_VARIABLES.contains(&name.as_str()));
        Self(known.map(|(name, value)| (name.clone(), redact(value).into_owned())).collect())
    }
}

/// The file that oauth2-proxy reads.
#[derive(Clone, Debug, Default)]
pub struct ProxyFile {
    /// The entry of the ConfigMap that it stands in.
    pub entry: String,
    /// Those of its settings that checks read.
    pub settings: BTreeMap<String, String>,
    /// What it shows Dex for being itself.
    pub client_secret: Sealed,
    /// The line where it ends to be TOML, from 1.
    pub broken: Option<usize>,
}

impl ProxyFile {
    /// Reads it, if it is one.
    pub(super) fn read(entry: &str, text: &str) -> Option<Self> {
        if !entry.contains("oauth2") || ![".cfg", ".toml"].iter().any(|end| entry.ends_with(end)) {
            return None;
        }
        let mut file = Self { entry: entry.to_owned(), ..Self::default() };
        let table: toml::Table = match text.parse() {
            Ok(table) => table,
            Err(error) => {
                let error: toml::de::Error = error;
                let start = error.span().map_or(0, |span| span.start);
                let before = text.get(..start).unwrap_or_default();
                file.broken = Some(before.matches('\n').count() + 1);
                return Some(file);
            }
        };
        for (name, value) in table {
            let value = match value {
                toml::Value::String(text) => text,
                toml::Value::Boolean(flag) => flag.to_string(),
                toml::Value::Array(all) => {
                    let texts: Vec<_> = all.iter().filter_map(toml::Value::as_str).collect();
                    texts.join(",")
                }
                _ => continue,
            };
            if name == "client_secret" {
                file.client_secret = Sealed::read(&value);
            } else if PROXY_SETTINGS.contains(&name.as_str()) {
                file.settings.insert(name, redact(&value).into_owned());
            }
        }
        Some(file)
    }

    /// What is written down of it.
    pub(super) fn write(&self) -> String {
        if let Some(line) = self.broken {
            return "\n".repeat(line - 1) + "= not TOML from here on\n";
        }
        let secret: Option<String> = self.client_secret.into();
        let secret = secret.map(|secret| ("client_secret".to_owned(), secret));
        let lines = self.settings.clone().into_iter().chain(secret).map(|(name, value)| {
            // A text of JSON's is one of TOML's.
            format!("{name} = {}\n", serde_json::Value::from(value))
        });
        lines.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::ProxyFile;

    #[test]
    fn of_a_file_only_what_is_public_is_kept() {
        let text = "provider = \"oidc\"\nskip_auth_routes = [\n  \"^/dex/\",\n]\n\
                    oidc_issuer_url = \"http://dex.auth.svc.cluster.local:5556/dex\"\n\
                    relative_redirect_url = true\nprovider_ca_files = [\"/ca/a\", \"/ca/b\"]\nclient_secret = \"hunter2\"\n\
                    cookie_secret = \"hunter3\"\ncookie_refresh = 0\n";
        let file = ProxyFile::read("oauth2_proxy.cfg", text).unwrap();
        let written = file.write();
        assert!(!written.contains("hunter"), "{written}");
        let again = ProxyFile::read("oauth2_proxy.cfg", &written).unwrap();
        assert_eq!(again.settings, file.settings);
        assert_eq!(again.client_secret.is_same(file.client_secret), Some(true));
        assert_eq!(again.settings["relative_redirect_url"], "true");
        assert_eq!(again.settings["provider_ca_files"], "/ca/a,/ca/b");
    }

    #[test]
    fn a_file_that_is_no_toml_is_broken_where_it_is() {
        let file =
            ProxyFile::read("oauth2_proxy.cfg", "provider = \"oidc\"\nclient_secret = hunter2\n");
        let file = file.unwrap();
        assert_eq!(file.broken, Some(2));
        assert!(!file.write().contains("hunter"));
        assert_eq!(ProxyFile::read("oauth2_proxy.cfg", &file.write()).unwrap().broken, Some(2));
        assert!(ProxyFile::read("nginx.cfg", "a = 1").is_none());
    }
}
