//! How Kubeflow learns who signed in at the load balancer.

use kfcheck_kube::{Metadata, object};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

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
    #[serde(deserialize_with = "kfcheck_kube::null_is_empty")]
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
    #[serde(deserialize_with = "kfcheck_kube::null_is_empty")]
    pub action: String,
}

/// The words of a text that checks look for; the rest, which may be whole programs, is not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Mentions(pub Vec<String>);

/// What a filter speaks of that turns what the load balancer says of a user into what Kubeflow reads,
/// or asks somebody else who it is.
const WORDS: [&str; 4] = ["x-amzn-oidc", "kubeflow-userid", "ext_authz", "wasm"];

impl<'de> Deserialize<'de> for Mentions {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Value::deserialize(from)?.to_string().to_lowercase();
        let found = WORDS.iter().filter(|word| text.contains(**word));
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
    }
}
