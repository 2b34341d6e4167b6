//! The models that are served, and the namespaces they are in.

use std::sync::Arc;

use kfcheck::{Cx, FactError, Findings, Now};

use crate::{InferenceService, Miss, MutatingWebhook, Namespace, Progress, Thresholds, all};

/// A namespace with models.
pub(crate) struct ModelNamespace {
    pub(crate) namespace: Arc<Namespace>,
    /// Its models, each with how far it has got.
    pub(crate) models: Vec<(Arc<InferenceService>, Progress)>,
    /// Why the webhook that lets pods fetch their models passes the namespace by, and its name.
    pub(crate) miss: Option<(Miss, String)>,
}

impl ModelNamespace {
    /// The models that wait for somebody to fetch them.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &InferenceService> {
        let waits = |(model, progress): &&(Arc<InferenceService>, Progress)| {
            *progress == Progress::Stuck && model.fetches_models()
        };
        self.models.iter().filter(waits).map(|(model, _)| &**model)
    }
}

/// The namespaces with models; none where no webhook lets pods fetch them.
pub(crate) async fn namespaces(cx: &Cx) -> Result<Vec<ModelNamespace>, FactError> {
    let models = cx.get(all::<InferenceService>()).await?;
    if models.is_empty() {
        return Ok(Vec::new());
    }
    let now = *cx.get(Now).await?;
    let webhooks = cx.get(all::<MutatingWebhook>()).await?;
    // `inferenceservice.kserve-webhook-server.pod-mutator`, or KFServing's.
    let is = |name: &str| name.starts_with("inferenceservice.") && name.ends_with(".pod-mutator");
    let webhooks: Vec<_> = webhooks
        .iter()
        .flat_map(|configuration| &configuration.webhooks)
        .filter(|webhook| is(&webhook.name))
        .collect();
    if webhooks.is_empty() {
        return Ok(Vec::new());
    }
    let minutes = cx.setting::<Thresholds>().model_minutes();
    let mut found = Vec::new();
    for namespace in cx.get(all::<Namespace>()).await?.iter() {
        let here =
            |model: &&Arc<InferenceService>| model.metadata.namespace() == namespace.metadata.name;
        let models: Vec<_> =
            models.iter().filter(here).map(|m| (Arc::clone(m), m.progress(now, minutes))).collect();
        if models.is_empty() {
            continue;
        }
        let labels = &namespace.metadata.labels;
        let misses = webhooks.iter().map(|webhook| {
            webhook.namespace_selector.misses(labels).map(|miss| (miss, webhook.name.clone()))
        });
        // One of several is enough.
        let miss = misses.collect::<Option<Vec<_>>>().and_then(|misses| misses.into_iter().next());
        found.push(ModelNamespace { namespace: Arc::clone(namespace), models, miss });
    }
    Ok(found)
}

/// Judges each namespace: passed by for a reason that is `meant`, it keeps its models from starting,
/// as `message` says.
pub(crate) async fn judge(
    cx: &Cx,
    out: &mut Findings,
    meant: impl Fn(&Miss) -> Option<(String, String)>,
) -> Result<(), FactError> {
    for found in namespaces(cx).await? {
        let why = found.miss.as_ref().and_then(|(miss, webhook)| Some((meant(miss)?, webhook)));
        let waiting: Vec<_> = found.waiting().collect();
        // Where every model is ready, none was to be fetched by the webhook.
        let (Some(((message, patch), webhook)), false) = (why, waiting.is_empty()) else {
            out.ok(&*found.namespace);
            continue;
        };
        for model in &waiting {
            out.depends(*model, &*found.namespace);
        }
        let names: Vec<_> = waiting.iter().map(|model| model.metadata.name.as_str()).collect();
        let namespace = &found.namespace.metadata.name;
        out.fail(&*found.namespace, message)
            .evidence("webhook", webhook)
            .evidence("models", names.join(", "))
            .fix(
                kfcheck::Risk::None,
                "lets the webhook see to pods that start from now on",
                format!("kubectl label namespace {namespace} {patch}"),
            );
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod testing {
    use serde_json::{Value, json};

    /// A model in the namespace `team`, which is ready or not.
    pub(crate) fn model(ready: &str) -> Value {
        json!({ "apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService",
            "metadata": { "namespace": "team", "name": "iris" },
            "spec": { "predictor": { "model": { "storageUri": "gs://models/iris" } } },
            "status": { "url": "http://iris.team.example.com", "conditions": [
                { "type": "PredictorReady", "status": ready, "reason": "RevisionFailed",
                    "message": "Revision \"iris-1\" failed: exit code 1" },
                { "type": "Ready", "status": ready,
                    "lastTransitionTime": "2026-11-21T09:00:00Z" }] } })
    }

    /// The namespace `team`.
    pub(crate) fn team(labels: &Value) -> Value {
        json!({ "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": "team", "labels": labels } })
    }

    /// The webhook that lets pods fetch models, for these namespaces.
    pub(crate) fn mutator(selector: &Value) -> Value {
        json!({ "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": { "name": "inferenceservice.serving.kserve.io" },
            "webhooks": [{ "name": "inferenceservice.kserve-webhook-server.pod-mutator",
                "namespaceSelector": selector }] })
    }

    /// Files that say that there is nothing of these kinds.
    pub(crate) fn none<const N: usize>(kinds: [&str; N]) -> Vec<(String, Value)> {
        kinds.map(|kind| (format!("kubernetes/{kind}.json"), json!({ "items": [] }))).into()
    }
}
