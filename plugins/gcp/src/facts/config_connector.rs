//! Config Connector: objects in a cluster that stand for things in Google Cloud.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kfcheck::{Cx, Fact, FactError, Fault, Named, Place, Resource, redact::redact};
use kfcheck_kube::{Condition, Metadata, list_groups, null_is_empty, resource};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::client::Google;

/// What the groups of its objects end in.
const SUFFIX: &str = ".cnrm.cloud.google.com";

/// All objects of Config Connector's, whatever their kind.
#[derive(Clone, Serialize)]
pub struct ConfigConnectorObjects;

/// One of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigConnectorObject {
    /// Group and version.
    pub api_version: String,
    /// What it stands for.
    pub kind: String,
    /// Its name.
    pub metadata: Metadata,
    /// What it refers to, and nothing else of what it asks for.
    #[serde(deserialize_with = "references", skip_serializing_if = "Value::is_null")]
    pub spec: Value,
    /// How it goes.
    #[serde(deserialize_with = "null_is_empty")]
    pub status: ConfigConnectorStatus,
}

/// How an object of Config Connector's goes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfigConnectorStatus {
    /// `Ready`, and with newer kinds others.
    #[serde(deserialize_with = "conditions", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// What an object says that it refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The kind, or an end of it in lower case where only the field's name tells: `network`.
    pub kind: Result<String, String>,
    /// The namespace; none is the object's own.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

impl Fact for ConfigConnectorObjects {
    const NAME: &'static str = "gcp.configConnectorObjects";
    const NEEDS: &'static [&'static str] = &["list *.cnrm.cloud.google.com"];
    /// There are hundreds of kinds.
    const TIMEOUT: Duration = Duration::from_secs(45);
    type Value = Vec<Arc<ConfigConnectorObject>>;

    fn place(&self) -> Option<Place<Self::Value>> {
        // Config Connector's kinds are in this category.
        Some(Place::groups(SUFFIX, "kubectl get gcp -A -o yaml"))
    }

    async fn fetch(&self, cx: &Cx) -> Result<Self::Value, FactError> {
        list_groups(cx, SUFFIX).await
    }
}

impl Named for ConfigConnectorObject {
    fn resource(&self) -> Resource {
        resource(interned(&self.kind), self.metadata.namespace.as_deref(), &self.metadata.name)
    }
}

/// A kind that is known at run time only, for as long as the program runs. There are some hundred.
fn interned(kind: &str) -> &'static str {
    static KINDS: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut kinds = KINDS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = kinds.get(kind) {
        return known;
    }
    let new: &'static str = Box::leak(kind.to_owned().into_boxed_str());
    kinds.insert(new);
    new
}

impl ConfigConnectorObject {
    /// The condition that says whether it is as asked for.
    pub fn ready(&self) -> Option<&Condition> {
        self.status.conditions.iter().find(|condition| condition.kind == "Ready")
    }

    /// Whether it stands for something in Google Cloud rather than setting Config Connector up.
    pub fn is_managed(&self) -> bool {
        let group = self.api_version.split('/').next().unwrap_or_default();
        !format!(".{group}").ends_with(".core.cnrm.cloud.google.com")
    }

    /// Everything that it refers to.
    pub fn references(&self) -> Vec<Reference> {
        let mut all = Vec::new();
        collect(&self.spec, &mut all);
        all
    }
}

impl Reference {
    /// Whether `object` is what one in `namespace` refers to.
    pub fn is(&self, object: &ConfigConnectorObject, namespace: &str) -> bool {
        let kind = match &self.kind {
            Ok(kind) => object.kind == *kind,
            Err(end) => object.kind.to_lowercase().ends_with(end),
        };
        let there = self.namespace.as_deref().unwrap_or(namespace);
        kind && object.metadata.name == self.name && object.metadata.namespace() == there
    }

    /// Reads `reference Kind namespace/name is not ready`, in Config Connector's words.
    pub fn said(message: &str) -> Option<Self> {
        let mut words = message.split_once("reference ")?.1.split_whitespace();
        let kind = words.next()?;
        let (namespace, name) = words.next()?.split_once('/')?;
        let namespace = Some(namespace.to_owned()).filter(|namespace| !namespace.is_empty());
        let name = name.trim_end_matches([':', ',', '.']).to_owned();
        Some(Self { kind: Ok(kind.to_owned()), namespace, name })
    }
}

fn collect(spec: &Value, all: &mut Vec<Reference>) {
    match spec {
        Value::Array(items) => items.iter().for_each(|item| collect(item, all)),
        Value::Object(fields) => {
            for (field, value) in fields {
                let Some(end) = stem(field) else {
                    collect(value, all);
                    continue;
                };
                let one = std::slice::from_ref(value);
                for target in value.as_array().map_or(one, Vec::as_slice) {
                    let text = |field: &str| target[field].as_str().map(str::to_owned);
                    let Some(name) = text("name") else { continue };
                    let kind = text("kind").ok_or_else(|| end.to_lowercase());
                    all.push(Reference { kind, namespace: text("namespace"), name });
                }
            }
        }
        _ => (),
    }
}

/// What a field is called without saying that it refers to something.
fn stem(field: &str) -> Option<&str> {
    field.strip_suffix("Ref").or_else(|| field.strip_suffix("Refs"))
}

/// The references of a spec, where they are. All else may hold a secret, and nobody reads it.
fn references<'de, D: Deserializer<'de>>(from: D) -> Result<Value, D::Error> {
    Ok(pruned(&Value::deserialize(from)?).unwrap_or_default())
}

fn pruned(spec: &Value) -> Option<Value> {
    match spec {
        Value::Array(items) => {
            let kept: Vec<_> = items.iter().filter_map(pruned).collect();
            (!kept.is_empty()).then(|| kept.into())
        }
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| {
                let kept = match (stem(name), value) {
                    (None, value) => pruned(value)?,
                    (Some(_), Value::Array(all)) => all.iter().filter_map(target).collect(),
                    (Some(_), one) => target(one)?,
                };
                Some((name.clone(), kept))
            };
            let kept: Map<_, _> = fields.iter().filter_map(field).collect();
            (!kept.is_empty()).then(|| kept.into())
        }
        _ => None,
    }
}

/// What is kept of one reference.
fn target(reference: &Value) -> Option<Value> {
    let fields = reference.as_object()?.iter();
    let meant = |(name, value): &(&String, &Value)| {
        ["kind", "name", "namespace"].contains(&name.as_str()) && value.is_string()
    };
    let kept: Map<_, _> = fields.filter(meant).map(|(n, v)| (n.clone(), v.clone())).collect();
    (!kept.is_empty()).then(|| kept.into())
}

fn conditions<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Condition>, D::Error> {
    let mut all: Vec<Condition> = null_is_empty(from)?;
    for message in all.iter_mut().filter_map(|condition| condition.message.as_mut()) {
        *message = redact(message).into_owned();
    }
    Ok(all)
}

/// Where calls from here come from, as the outside sees it. Only the user knows: nobody is asked.
#[derive(Clone, Serialize)]
pub struct CallerAddress;

/// An address that calls come from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Caller {
    /// The address.
    pub address: IpAddr,
}

impl Fact for CallerAddress {
    const NAME: &'static str = "gcp.callerAddress";
    type Value = Caller;

    fn place(&self) -> Option<Place<Caller>> {
        let command = "dig +short TXT o-o.myaddr.l.google.com @ns1.google.com";
        Some(Place::entry("bundle", "caller", command))
    }

    async fn fetch(&self, cx: &Cx) -> Result<Caller, FactError> {
        let said = cx.client::<Google>()?.access.caller_address;
        let missing = || Fault::Absent("--caller-address says no address".to_owned());
        Ok(Caller { address: said.ok_or_else(missing)? })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{ConfigConnectorObject, Reference};

    #[test]
    fn of_a_spec_only_the_references_are_kept() {
        let spec = json!({ "region": "us-east1", "password": { "value": "hunter2" },
            "networkRef": { "name": "kf-net", "external": "projects/p/x" },
            "nodeConfig": { "serviceAccountRef": { "name": "sa", "namespace": "iam" }, "tags": ["a"] },
            "resourceRef": { "kind": "Project", "name": "p" }, "targetRefs": [{ "name": "t" }] });
        let object: ConfigConnectorObject =
            serde_json::from_value(json!({ "kind": "X", "spec": spec, "status": null })).unwrap();
        assert_eq!(
            object.spec,
            json!({ "networkRef": { "name": "kf-net" },
                "nodeConfig": { "serviceAccountRef": { "name": "sa", "namespace": "iam" } },
                "resourceRef": { "kind": "Project", "name": "p" }, "targetRefs": [{ "name": "t" }] })
        );
        let names: Vec<_> = object.references().into_iter().map(|r| (r.kind, r.name)).collect();
        assert!(names.contains(&(Err("network".into()), "kf-net".into())), "{names:?}");
        assert!(names.contains(&(Ok("Project".into()), "p".into())), "{names:?}");
        assert_eq!(names.len(), 4);
    }

    #[test]
    fn what_is_waited_for_is_read_off_the_message() {
        let said = |message| Reference::said(message);
        let expected = Reference {
            kind: Ok("ComputeNetwork".into()),
            namespace: Some("net".into()),
            name: "kf".into(),
        };
        assert_eq!(said("reference ComputeNetwork net/kf is not ready"), Some(expected.clone()));
        assert_eq!(said("reference ComputeNetwork net/kf is not found"), Some(expected));
        assert_eq!(said("Update call failed: googleapi: Error 403"), None);
        assert_eq!(said("the reference is odd"), None);
    }
}
