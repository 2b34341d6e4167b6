//! How Istio's gateway learns who signed in.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{Metadata, null_is_empty};
use crate::object;

/// An `EnvoyFilter` of Istio's.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EnvoyFilter {
    /// Its name.
    pub metadata: Metadata,
    /// What it speaks of that has to do with signing in.
    pub spec: Mentions,
}

object!(EnvoyFilter, ["networking.istio.io"], "v1alpha3", "envoyfilters", "EnvoyFilter", true);

/// An `AuthorizationPolicy` of Istio's.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthorizationPolicy {
    /// Its name.
    pub metadata: Metadata,
    /// What it asks for.
    #[serde(deserialize_with = "null_is_empty")]
    pub spec: AuthorizationPolicySpec,
}

object!(
    AuthorizationPolicy,
    ["security.istio.io"],
    "v1",
    "authorizationpolicies",
    "AuthorizationPolicy",
    true
);

/// What an `AuthorizationPolicy` asks for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthorizationPolicySpec {
    /// `CUSTOM`: somebody else is asked, who may also say who the user is.
    #[serde(deserialize_with = "null_is_empty")]
    pub action: String,
    /// Who is asked.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "ExtAuthProvider::is_none")]
    pub provider: ExtAuthProvider,
}

/// Somebody who is asked, as the mesh's configuration calls him.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ExtAuthProvider {
    /// Its name: `oauth2-proxy`.
    #[serde(deserialize_with = "null_is_empty")]
    pub name: String,
}

impl ExtAuthProvider {
    fn is_none(&self) -> bool {
        self.name.is_empty()
    }
}

/// The words of a text that checks look for; the rest, which may be whole programs, is not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Mentions(pub Vec<String>);

/// What a filter speaks of that turns what the load balancer says of a user into what Kubeflow reads,
/// or asks somebody else who it is.
const WORDS: [&str; 4] = ["x-amzn-oidc", "kubeflow-userid", "ext_authz", "wasm"];

/// Whom it may ask.
const ASKED: [&str; 2] = ["authservice", "oauth2-proxy"];

impl Mentions {
    /// Whether it has to do with who the user is, whomever it asks.
    pub fn is_of_users(&self) -> bool {
        self.0.iter().any(|word| WORDS.contains(&word.as_str()))
    }

    /// Whether it has a word.
    pub fn has(&self, word: &str) -> bool {
        self.0.iter().any(|known| known == word)
    }
}

impl<'de> Deserialize<'de> for Mentions {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Value::deserialize(from)?.to_string().to_lowercase();
        let found = WORDS.iter().chain(&ASKED).filter(|word| text.contains(**word));
        Ok(Self(found.map(|word| (*word).to_owned()).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::EnvoyFilter;

    #[test]
    fn a_filter_says_the_same_when_it_was_written_down() {
        let filter = serde_json::json!({ "metadata": { "name": "a" }, "spec": { "configPatches": [
            { "patch": { "value": { "inlineCode": "headers:get('X-Amzn-Oidc-Data')" } } }] } });
        let filter: EnvoyFilter = serde_json::from_value(filter).unwrap();
        assert_eq!(filter.spec.0, ["x-amzn-oidc"]);
        let again = serde_json::to_value(&filter).unwrap();
        let again: EnvoyFilter = serde_json::from_value(again).unwrap();
        assert_eq!(again.spec, filter.spec);
        assert!(filter.spec.is_of_users() && !filter.spec.has("authservice"));
    }
}
