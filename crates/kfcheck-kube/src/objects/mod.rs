//! Kubernetes objects, as far as checks read them. The fields are spelled as the API spells them.

mod certificate;
mod config_map;
mod crd;
mod dex;
mod event;
mod external_auth;
mod gateway_api;
mod inference_service;
mod ingress;
mod istio;
mod kube_proxy;
mod metallb;
mod namespace;
mod node;
mod pod;
mod proxy;
mod sealed;
mod secret;
mod service;
mod webhook;
mod workload;

use std::{collections::BTreeMap, marker::PhantomData, sync::Arc};

use jiff::Timestamp;
use kfcheck::{
    Cx, Fact, FactError, Named, ObjectKind, Place, Resource, Selection,
    redact::{REDACTED, redact},
};
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};

pub use self::{
    certificate::*, config_map::*, crd::*, dex::*, event::*, external_auth::*, gateway_api::*,
    inference_service::*, ingress::*, istio::*, kube_proxy::*, metallb::*, namespace::*, node::*,
    pod::*, proxy::*, sealed::*, secret::*, service::*, webhook::*, workload::*,
};

/// A kind of objects, as far as checks read it. [`object!`](crate::object) implements it.
pub trait Object: Named + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Which kind.
    const KIND: ObjectKind;
    /// What reports call the kind, where two groups have one of the same name.
    const CALLED: &'static str = Self::KIND.kind;
    /// The name of the fact.
    const FACT: &'static str;
    /// The name of the fact that has those on the request path.
    const ON_PATH: &'static str;
    /// The permission that listing takes.
    const NEEDS: &'static [&'static str];
}

/// Objects of a kind: [`all`] of them, those [`within`] a namespace, or [`one`].
#[derive(Serialize)]
pub struct Objects<K> {
    #[serde(flatten)]
    selection: Selection,
    #[serde(skip)]
    kind: PhantomData<fn() -> K>,
}

/// All objects of a kind.
pub fn all<K: Object>() -> Objects<K> {
    Objects { selection: Selection::default(), kind: PhantomData }
}

/// The objects of a kind in one namespace.
pub fn within<K: Object>(namespace: &str) -> Objects<K> {
    let selection = Selection { namespace: Some(namespace.to_owned()), name: None };
    Objects { selection, kind: PhantomData }
}

/// The object of a kind that has this name: a list with at most one member.
pub fn one<K: Object>(namespace: &str, name: &str) -> Objects<K> {
    let selection =
        Selection { namespace: Some(namespace.to_owned()), name: Some(name.to_owned()) };
    Objects { selection, kind: PhantomData }
}

impl<K> Clone for Objects<K> {
    fn clone(&self) -> Self {
        Self { selection: self.selection.clone(), kind: PhantomData }
    }
}

impl<K: Object> Fact for Objects<K> {
    const NAME: &'static str = K::FACT;
    const NEEDS: &'static [&'static str] = K::NEEDS;
    type Value = Vec<Arc<K>>;

    fn place(&self) -> Option<Place<Vec<Arc<K>>>> {
        Some(Place::objects(K::KIND, self.selection.clone()))
    }

    async fn fetch(&self, cx: &Cx) -> Result<Self::Value, FactError> {
        let wider = match &self.selection {
            Selection { namespace: Some(namespace), name: Some(_) } => {
                vec![within::<K>(namespace), all()]
            }
            Selection { namespace: Some(_), name: None } => vec![all()],
            _ => Vec::new(),
        };
        // A list that is asked for anyway has the answer.
        for wider in wider.into_iter().filter(|wider| cx.is_asked(wider)) {
            if let Ok(objects) = cx.get(wider).await {
                let meant = |object: &&Arc<K>| self.selection.means(&object.resource());
                return Ok(objects.iter().filter(meant).cloned().collect());
            }
        }
        crate::client::list(cx, &self.selection).await
    }
}

/// Declares that a struct is what checks read of a kind: its API groups, newest first, the version
/// to write, its plural, its kind, and whether its objects are in namespaces. Where another group has
/// a kind of the same name, `called` says what reports call this one.
#[macro_export]
macro_rules! object {
    ($type:ident, [$group:literal $(, $older:literal)*], $version:literal, $plural:literal, $kind:literal, $namespaced:literal) => {
        $crate::object!($type, [$group $(, $older)*], $version, $plural, $kind, $namespaced, called $kind);
    };
    ($type:ident, [$group:literal $(, $older:literal)*], $version:literal, $plural:literal, $kind:literal, $namespaced:literal, called $called:literal) => {
        impl $crate::Object for $type {
            const KIND: kfcheck::ObjectKind = kfcheck::ObjectKind {
                groups: &[$group $(, $older)*],
                version: $version,
                kind: $kind,
                plural: $plural,
                namespaced: $namespaced,
            };
            const CALLED: &'static str = $called;
            const FACT: &'static str = concat!("kube.", $plural, ".", $group);
            const ON_PATH: &'static str = concat!("kube.onPath.", $plural, ".", $group);
            const NEEDS: &'static [&'static str] = &[
                concat!("list ", $plural, ".", $group)
                $(, concat!("list ", $plural, ".", $older))*
            ];
        }

        $crate::object!(@named $type, $called);
    };
    ($type:ident, core $(or $older:literal)*, $plural:literal, $kind:literal, $namespaced:literal) => {
        impl $crate::Object for $type {
            const KIND: kfcheck::ObjectKind = kfcheck::ObjectKind {
                groups: &["" $(, $older)*],
                version: "v1",
                kind: $kind,
                plural: $plural,
                namespaced: $namespaced,
            };
            const FACT: &'static str = concat!("kube.", $plural);
            const ON_PATH: &'static str = concat!("kube.onPath.", $plural);
            const NEEDS: &'static [&'static str] =
                &[concat!("list ", $plural) $(, concat!("list ", $plural, ".", $older))*];
        }

        $crate::object!(@named $type, $kind);
    };
    (@named $type:ident, $kind:literal) => {
        impl kfcheck::Named for $type {
            fn resource(&self) -> kfcheck::Resource {
                self.metadata.named($kind)
            }
        }
    };
}

/// What every object has.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// Unique among its kind in its namespace.
    pub name: String,
    /// Its namespace, if its kind has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// What selectors look at.
    #[serde(deserialize_with = "without_secrets", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What controllers are told, and write down. Secrets are taken out.
    #[serde(deserialize_with = "without_secrets", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Since when it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<Timestamp>,
    /// Since when it is being deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<Timestamp>,
    /// What keeps it.
    #[serde(deserialize_with = "lean", skip_serializing_if = "Vec::is_empty")]
    pub owner_references: Vec<Owner>,
    /// When its data was written last, where it is a ConfigMap or a Secret and that was collected.
    #[serde(rename = "managedFields", skip_serializing_if = "DataChange::is_unknown")]
    pub data_changed: DataChange,
}

/// When the data of a ConfigMap or a Secret was written last. Of `managedFields` nothing else is
/// kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Option<Vec<Managed>>", into = "Vec<Managed>")]
pub struct DataChange {
    /// When.
    pub at: Option<Timestamp>,
    /// Whether it must have been the data: whoever wrote then wrote nothing else.
    pub is_sure: bool,
}

impl DataChange {
    fn is_unknown(&self) -> bool {
        self.at.is_none()
    }
}

/// What one writer wrote last (Kubernetes API reference, "ObjectMeta": its time moves on when it
/// changes a value that it owns).
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Managed {
    time: Option<String>,
    #[serde(rename = "fieldsV1")]
    fields: Option<ManagedFields>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct ManagedFields {
    #[serde(rename = "f:data", skip_serializing_if = "Option::is_none")]
    data: Option<Ignored>,
    #[serde(rename = "f:metadata", skip_serializing_if = "Option::is_none")]
    metadata: Option<Ignored>,
}

/// Something that is there, whatever it is.
#[derive(Default)]
struct Ignored;

impl<'de> Deserialize<'de> for Ignored {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(from).map(|_| Self)
    }
}

impl Serialize for Ignored {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        serde::ser::SerializeMap::end(to.serialize_map(Some(0))?)
    }
}

impl From<Option<Vec<Managed>>> for DataChange {
    fn from(managed: Option<Vec<Managed>>) -> Self {
        let wrote = managed.into_iter().flatten().filter_map(|one| {
            let fields = one.fields.filter(|fields| fields.data.is_some())?;
            Some((one.time?.parse::<Timestamp>().ok()?, fields.metadata.is_none()))
        });
        let last = wrote.max_by_key(|(at, _)| *at);
        last.map_or_else(Self::default, |(at, is_sure)| Self { at: Some(at), is_sure })
    }
}

impl From<DataChange> for Vec<Managed> {
    fn from(change: DataChange) -> Self {
        let metadata = (!change.is_sure).then_some(Ignored);
        let fields = Some(ManagedFields { data: Some(Ignored), metadata });
        change.at.map(|at| Managed { time: Some(at.to_string()), fields }).into_iter().collect()
    }
}

/// What keeps an object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Owner {
    /// Its kind.
    pub kind: String,
    /// Its name, in the same namespace.
    pub name: String,
}

impl Metadata {
    /// The name of an object of this `kind` across layers.
    pub fn named(&self, kind: &'static str) -> Resource {
        resource(kind, self.namespace.as_deref(), &self.name)
    }

    /// Its namespace, which is `default` where none is said.
    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }

    /// The first of these annotations that is there.
    pub fn annotation(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.annotations.get(*name)).map(String::as_str)
    }
}

/// The name of an object across layers.
pub fn resource(kind: &'static str, namespace: Option<&str>, name: &str) -> Resource {
    let namespace = namespace.map(str::to_owned);
    Resource { provider: "kubernetes", kind, namespace, name: name.to_owned() }
}

/// The name of a host across layers.
pub fn host_resource(host: &str) -> Resource {
    Resource { provider: "dns", kind: "Host", namespace: None, name: host.to_owned() }
}

/// Whether every label that is asked for is there; nothing asked for selects nothing.
pub fn selects(selector: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    !selector.is_empty() && selector.iter().all(|(name, value)| labels.get(name) == Some(value))
}

/// What is null in a list or a map that kubectl prints is an empty one.
pub fn null_is_empty<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// A list that is null is an empty one; and none holds more memory than it takes, as there are tens
/// of thousands of them.
fn lean<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    let mut all: Vec<T> = null_is_empty(from)?;
    all.shrink_to_fit();
    Ok(all)
}

/// How annotations and labels end that have a secret for a value, and not the name of one.
const SECRETS: [&str; 6] = ["token", "password", "passwd", "apikey", "api-key", "credentials"];

fn without_secrets<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let all: Option<BTreeMap<String, String>> = Option::deserialize(from)?;
    let mut all = all.unwrap_or_default();
    all.remove("kubectl.kubernetes.io/last-applied-configuration");
    for (key, value) in &mut all {
        let called = key.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        let is_secret = SECRETS.iter().any(|word| called.ends_with(word));
        *value = if is_secret { REDACTED.to_owned() } else { redact(value).into_owned() };
    }
    Ok(all)
}

/// A port by number or by name. A number may come as text, as annotations spell it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Port {
    /// By number.
    Number(u16),
    /// By name.
    Name(String),
}

impl Port {
    /// What is written in an annotation.
    pub fn parse(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Number)
    }
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// One aspect of how an object goes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// Which aspect.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// In one word.
    pub reason: Option<String>,
    /// In full.
    pub message: Option<String>,
    /// Since when.
    pub last_transition_time: Option<Timestamp>,
}

impl Condition {
    /// Reason and message, as far as there are any.
    pub fn says(&self) -> String {
        let parts = [&self.reason, &self.message].into_iter().flatten();
        parts.map(String::as_str).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
    }
}
