use jiff::Timestamp;
use kfcheck::redact::redact;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::{Condition, Metadata, null_is_empty};
use crate::{is_new, object};

/// A model that KServe serves, or KFServing, as it was called before.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct InferenceService {
    /// Its name.
    pub metadata: Metadata,
    /// Of what it asks for, where its models are.
    #[serde(deserialize_with = "models", skip_serializing_if = "Value::is_null")]
    pub spec: Value,
    /// How it goes.
    #[serde(deserialize_with = "null_is_empty")]
    pub status: InferenceServiceStatus,
}

object!(
    InferenceService,
    ["serving.kserve.io", "serving.kubeflow.org"],
    "v1beta1",
    "inferenceservices",
    "InferenceService",
    true
);

/// How an InferenceService goes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct InferenceServiceStatus {
    /// Where it is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// `Ready` and others.
    #[serde(deserialize_with = "null_is_empty")]
    pub conditions: Vec<Condition>,
}

/// Whether somebody waits for an InferenceService.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It answers.
    Ready,
    /// It is new, was stopped, or is being deleted.
    Pending,
    /// It should answer and doesn't.
    Stuck,
}

impl InferenceService {
    /// Its condition of this type.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.status.conditions.iter().find(|condition| condition.kind == kind)
    }

    /// Whether it says that it is ready.
    pub fn is_ready(&self) -> bool {
        self.condition("Ready").is_some_and(|ready| ready.status == "True")
    }

    /// How far it has got; it may take so many minutes to get ready.
    pub fn progress(&self, now: Timestamp, minutes: i64) -> Progress {
        let is = |kind, status| self.condition(kind).is_some_and(|c| c.status == status);
        if self.is_ready() {
            return Progress::Ready;
        }
        let told = self.metadata.annotations.get("serving.kserve.io/stop");
        let is_stopped = told.is_some_and(|told| told == "true") || is("Stopped", "True");
        let ready = self.condition("Ready").and_then(|ready| ready.last_transition_time);
        let is_new = is_new(ready.or(self.metadata.creation_timestamp), minutes, now);
        if is_stopped || is_new || self.metadata.deletion_timestamp.is_some() {
            return Progress::Pending;
        }
        Progress::Stuck
    }

    /// The host at which it is asked, once it has one.
    pub fn host(&self) -> Option<&str> {
        let (_, rest) = self.status.url.as_deref()?.split_once("://")?;
        rest.split(['/', ':']).next().filter(|host| !host.is_empty())
    }

    /// Whether a model has to be fetched for it.
    pub fn fetches_models(&self) -> bool {
        !self.spec.is_null()
    }

    /// Whether Kubernetes' own Deployments serve it, rather than Knative.
    pub fn is_raw(&self) -> bool {
        let mode = self.metadata.annotations.get("serving.kserve.io/deploymentMode");
        mode.is_some_and(|mode| mode != "Serverless" && mode != "Knative")
    }

    /// The pods that serve it have one of these labels.
    pub fn labels(&self) -> [(&'static str, &str); 2] {
        let name = self.metadata.name.as_str();
        ["serving.kserve.io/inferenceservice", "serving.kubeflow.org/inferenceservice"]
            .map(|label| (label, name))
    }
}

/// What is said of where models are, wherever it is said.
fn models<'de, D: Deserializer<'de>>(from: D) -> Result<Value, D::Error> {
    Ok(keep(Value::deserialize(from)?).unwrap_or_default())
}

fn keep(value: Value) -> Option<Value> {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter_map(|(name, value)| match (&*name, value) {
                ("storageUri" | "modelUri", Value::String(uri)) => {
                    Some((name, redact(&uri).into_owned().into()))
                }
                (_, value) => Some((name, keep(value)?)),
            });
            let kept: Map<String, Value> = kept.collect();
            (!kept.is_empty()).then_some(kept.into())
        }
        Value::Array(all) => {
            let kept: Vec<_> = all.into_iter().filter_map(keep).collect();
            (!kept.is_empty()).then_some(kept.into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::InferenceService;

    #[test]
    fn of_a_spec_only_the_places_of_models_are_kept() {
        let wire = json!({ "metadata": { "name": "iris" }, "spec": { "predictor": {
            "model": { "storageUri": "gs://models/iris", "args": ["--key=hunter2"] },
            "containers": [{ "env": [{ "name": "PASSWORD", "value": "hunter2" }] }] } } });
        let model: InferenceService = serde_json::from_value(wire).unwrap();
        let kept = json!({ "predictor": { "model": { "storageUri": "gs://models/iris" } } });
        assert_eq!(model.spec, kept);
        assert!(model.fetches_models());
    }

    #[test]
    fn the_host_of_an_address_is_without_its_path() {
        let mut model = InferenceService::default();
        model.status.url = Some("http://iris.team.example.com/v1/models/iris".to_owned());
        assert_eq!(model.host(), Some("iris.team.example.com"));
    }
}
