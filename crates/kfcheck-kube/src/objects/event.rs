use jiff::Timestamp;
use kfcheck::{Resource, redact::redact};
use serde::{Deserialize, Deserializer, Serialize};

use super::{ApiGateway, Metadata, null_is_empty};
use crate::{Object, object};

/// Something that a controller said about an object, in either of the two shapes that there are.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Event {
    /// Its name.
    pub metadata: Metadata,
    /// What it is about.
    #[serde(alias = "regarding", deserialize_with = "null_is_empty")]
    pub involved_object: Involved,
    /// `Normal` or `Warning`.
    #[serde(rename = "type")]
    pub kind: String,
    /// In one word.
    #[serde(deserialize_with = "null_is_empty")]
    pub reason: String,
    /// In full, secrets taken out.
    #[serde(alias = "note", deserialize_with = "clean")]
    pub message: String,
    #[serde(deserialize_with = "null_is_empty")]
    source: Source,
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "String::is_empty")]
    reporting_component: String,
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "String::is_empty")]
    reporting_controller: String,
    last_timestamp: Option<Timestamp>,
    #[serde(alias = "deprecatedLastTimestamp", skip_serializing)]
    deprecated: Option<Timestamp>,
    #[serde(rename = "eventTime")]
    time: Option<Timestamp>,
    series: Option<Series>,
}

object!(Event, core or "events.k8s.io", "events", "Event", true);

/// What an event is about.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Involved {
    /// Its group and version, where they are said.
    #[serde(rename = "apiVersion", skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl Involved {
    /// Whether reports call its kind so. Two groups have a Gateway.
    fn is_called(&self, kind: &str) -> bool {
        let here = ApiGateway::KIND;
        if self.kind != here.kind {
            return self.kind == kind;
        }
        match &self.api_version {
            Some(version) if here.matches(version, &self.kind) => kind == ApiGateway::CALLED,
            Some(_) => kind == self.kind,
            None => kind == self.kind || kind == ApiGateway::CALLED,
        }
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Source {
    component: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Series {
    last_observed_time: Option<Timestamp>,
}

fn clean<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(redact(&null_is_empty::<String, D>(from)?).into_owned())
}

impl Event {
    /// When it was last so.
    pub fn last_seen(&self) -> Option<Timestamp> {
        let series = self.series.as_ref().and_then(|series| series.last_observed_time);
        let last = series.or(self.last_timestamp).or(self.deprecated).or(self.time);
        last.or(self.metadata.creation_timestamp)
    }

    /// Who says so; nothing where that isn't said.
    pub fn by(&self) -> &str {
        let all = [&self.source.component, &self.reporting_component, &self.reporting_controller];
        all.into_iter().find(|name| !name.is_empty()).map_or("", String::as_str)
    }

    /// Whether it is about `resource`.
    pub fn is_about(&self, resource: &Resource) -> bool {
        let Involved { namespace, name, .. } = &self.involved_object;
        self.involved_object.is_called(resource.kind)
            && *namespace == resource.namespace
            && *name == resource.name
    }

    /// Whether it speaks of trouble.
    pub fn is_warning(&self) -> bool {
        self.kind == "Warning"
    }
}
