//! Whom the API server asks before it takes an object.

use futures::future::join;
use kfcheck::{Cx, Fact, FactError, Findings, Resource};
use serde::Serialize;

use crate::{MutatingWebhook, ValidatingWebhook, WebhookConfiguration, all};

/// The configurations of validating and mutating webhooks.
#[derive(Clone, Serialize)]
pub struct Webhooks;

/// Webhook configurations, and why there may be more of them.
pub struct WebhooksSeen {
    configurations: Vec<(Resource, WebhookConfiguration)>,
    missing: Vec<FactError>,
}

impl WebhooksSeen {
    /// The configurations; what could not be seen is noted in `out`.
    pub fn seen(&self, out: &mut Findings) -> &[(Resource, WebhookConfiguration)] {
        self.missing.iter().for_each(|error| out.unseen(error.clone()));
        &self.configurations
    }
}

impl Fact for Webhooks {
    const NAME: &'static str = "kube.webhooks";
    type Value = WebhooksSeen;

    async fn fetch(&self, cx: &Cx) -> Result<WebhooksSeen, FactError> {
        let (validating, mutating) =
            join(cx.get(all::<ValidatingWebhook>()), cx.get(all::<MutatingWebhook>())).await;
        let mut seen = WebhooksSeen { configurations: Vec::new(), missing: Vec::new() };
        match validating {
            Ok(all) => seen.configurations.extend(all.iter().map(|w| ((&**w).into(), w.0.clone()))),
            Err(error) => seen.missing.push(error),
        }
        match mutating {
            Ok(all) => seen.configurations.extend(all.iter().map(|w| ((&**w).into(), w.0.clone()))),
            Err(error) => seen.missing.push(error),
        }
        Ok(seen)
    }
}
