use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Metadata, null_is_empty};
use crate::object;

/// What checks read of a validating or mutating webhook configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "OnWire")]
pub struct WebhookConfiguration {
    /// Its name.
    pub metadata: Metadata,
    /// The webhooks in it.
    pub webhooks: Vec<Webhook>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct OnWire {
    api_version: String,
    metadata: Metadata,
    #[serde(deserialize_with = "null_is_empty")]
    webhooks: Vec<Webhook>,
}

impl From<OnWire> for WebhookConfiguration {
    fn from(OnWire { api_version, metadata, mut webhooks }: OnWire) -> Self {
        let default = if api_version.ends_with("/v1beta1") { "Ignore" } else { "Fail" };
        for webhook in &mut webhooks {
            webhook.failure_policy.get_or_insert_with(|| default.to_owned());
        }
        Self { metadata, webhooks }
    }
}

/// One webhook.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Webhook {
    /// Its name.
    pub name: String,
    /// `Fail` or `Ignore`. Where nothing is said, that was `Ignore` in `v1beta1` and is `Fail` in
    /// `v1` (Kubernetes documentation, "Dynamic Admission Control").
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_policy: Option<String>,
    /// The namespaces that it is for.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "LabelSelector::is_empty")]
    pub namespace_selector: LabelSelector,
    /// Whom the API server asks.
    #[serde(deserialize_with = "null_is_empty")]
    pub client_config: WebhookClient,
}

/// Some objects, by their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    /// Labels that they have.
    #[serde(deserialize_with = "null_is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// What else their labels have to be like.
    #[serde(deserialize_with = "null_is_empty")]
    pub match_expressions: Vec<LabelRule>,
}

/// What a label has to be like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LabelRule {
    /// The label.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// Which values.
    #[serde(deserialize_with = "null_is_empty")]
    pub values: Vec<String>,
}

/// Why an object is not among those selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// It lacks a label: its name, and a value that would do.
    Lacks(String, String),
    /// It has a label that keeps it out.
    Has(String),
}

impl LabelSelector {
    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }

    /// Why something with these labels is not selected, if it isn't.
    pub fn misses(&self, labels: &BTreeMap<String, String>) -> Option<Miss> {
        let lacks = |name: &str, value: Option<&String>| {
            Some(Miss::Lacks(name.to_owned(), value.cloned().unwrap_or_default()))
        };
        let wrong = self.match_labels.iter().find(|(name, value)| labels.get(*name) != Some(value));
        if let Some((name, value)) = wrong {
            return lacks(name, Some(value));
        }
        self.match_expressions.iter().find_map(|LabelRule { key, operator, values }| {
            let has = labels.get(key);
            let listed = has.is_some_and(|value| values.contains(value));
            match operator.as_str() {
                "In" if !listed => lacks(key, values.first()),
                "Exists" if has.is_none() => lacks(key, None),
                "NotIn" if listed => Some(Miss::Has(key.clone())),
                "DoesNotExist" if has.is_some() => Some(Miss::Has(key.clone())),
                _ => None,
            }
        })
    }
}

/// Whom the API server asks.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WebhookClient {
    /// A Service of the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<WebhookService>,
    /// Whom the API server trusts there: base64 of PEM. It is public.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<String>,
}

/// The Service behind a webhook.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WebhookService {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// None: 443.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

impl Webhook {
    /// Whether requests are refused when it can't be asked.
    pub fn refuses(&self) -> bool {
        self.failure_policy.as_deref() == Some("Fail")
    }
}

macro_rules! webhooks {
    ($($(#[$doc:meta])+ $type:ident, $plural:literal, $kind:literal);+) => { $(
        $(#[$doc])+
        #[derive(Clone, Debug, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(pub WebhookConfiguration);

        impl std::ops::Deref for $type {
            type Target = WebhookConfiguration;

            fn deref(&self) -> &WebhookConfiguration {
                &self.0
            }
        }

        object!($type, ["admissionregistration.k8s.io"], "v1", $plural, $kind, false);
    )+ };
}

webhooks! {
    /// Webhooks that may refuse an object.
    ValidatingWebhook, "validatingwebhookconfigurations", "ValidatingWebhookConfiguration";
    /// Webhooks that may change an object.
    MutatingWebhook, "mutatingwebhookconfigurations", "MutatingWebhookConfiguration"
}
