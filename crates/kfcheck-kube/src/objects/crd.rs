use serde::{Deserialize, Serialize};

use super::{Metadata, WebhookClient, null_is_empty};
use crate::object;

/// A kind that somebody has added, as far as its objects are converted by a webhook.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CustomResourceDefinition {
    /// Its name.
    pub metadata: Metadata,
    /// What it asks for.
    #[serde(deserialize_with = "null_is_empty")]
    pub spec: CustomResourceDefinitionSpec,
}

object!(
    CustomResourceDefinition,
    ["apiextensions.k8s.io"],
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    false
);

/// What a kind asks for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CustomResourceDefinitionSpec {
    /// How its objects get from one version to another.
    #[serde(deserialize_with = "null_is_empty")]
    pub conversion: Conversion,
}

/// How objects get from one version to another.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Conversion {
    /// `None` or `Webhook`.
    pub strategy: String,
    /// Who does it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<ConversionWebhook>,
    /// The same before `v1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_client_config: Option<WebhookClient>,
}

/// Who converts objects.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConversionWebhook {
    /// Whom the API server asks.
    #[serde(deserialize_with = "null_is_empty")]
    pub client_config: WebhookClient,
}

impl CustomResourceDefinition {
    /// Whom the API server asks to convert its objects, if anybody.
    pub fn converter(&self) -> Option<&WebhookClient> {
        let Conversion { strategy, webhook, webhook_client_config } = &self.spec.conversion;
        let asked = webhook.as_ref().map(|webhook| &webhook.client_config);
        asked.or(webhook_client_config.as_ref()).filter(|_| strategy == "Webhook")
    }
}
