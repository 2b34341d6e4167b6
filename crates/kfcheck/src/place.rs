use std::{num::NonZero, thread};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Fault, bundle::Object};

/// Where a bundle keeps an answer of type `V`, and the command that prints it in that form.
pub struct Place<V> {
    pub(crate) spot: Spot,
    pub(crate) encode: fn(&V) -> Value,
    pub(crate) decode: fn(Kept<'_>) -> Result<V, String>,
}

/// What a bundle has at a place.
pub(crate) enum Kept<'a> {
    /// One value.
    Value(Value),
    /// Objects. They are not parsed any further than they are read: a cluster prints more than fits
    /// into memory as values.
    Objects(Vec<&'a Object>),
}

/// A place, whatever is kept there.
#[derive(Clone, Debug)]
pub(crate) struct Spot {
    pub(crate) at: At,
    pub(crate) command: String,
}

#[derive(Clone, Debug)]
pub(crate) enum At {
    /// A whole file.
    File(&'static str),
    /// One entry of a file that holds an object by name.
    Entry(&'static str, String),
    /// The members of a list that are about one thing.
    Members(&'static str, Vec<(&'static str, String)>),
    /// The members of the list under a key that are about one thing.
    Listed(&'static str, &'static str, Vec<(&'static str, String)>),
    /// Kubernetes objects of a kind.
    Objects(ObjectKind, Selection),
    /// Kubernetes objects of every group that ends so, whatever their kind.
    Groups(&'static str),
    /// A file of text, its extension included.
    Text(String),
}

/// Which objects of a kind are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Selection {
    /// Only those in this namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Only the one of this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Selection {
    /// Whether an object is among those that are meant.
    pub fn means(&self, object: &crate::Resource) -> bool {
        let is = |wanted: &Option<String>, has: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| has == Some(wanted))
        };
        is(&self.namespace, object.namespace.as_deref()) && is(&self.name, Some(&object.name))
    }
}

impl<V> Place<V> {
    /// The command that prints the answer.
    pub fn command(&self) -> &str {
        &self.spot.command
    }

    /// The file that `collect` writes it to.
    pub fn file_name(&self) -> String {
        self.spot.file_name()
    }

    /// The place in words, as `errors` in `bundle.yaml` spells it.
    pub fn address(&self) -> String {
        self.spot.address()
    }
}

/// A kind of Kubernetes objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectKind {
    /// The API groups that have had it, newest first.
    pub groups: &'static [&'static str],
    /// The version to write.
    pub version: &'static str,
    /// For example `Ingress`.
    pub kind: &'static str,
    /// For example `ingresses`.
    pub plural: &'static str,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

impl ObjectKind {
    /// Its name for kubectl, group included.
    pub fn resource(&self) -> String {
        match self.groups[0] {
            "" => self.plural.to_owned(),
            group => format!("{}.{group}", self.plural),
        }
    }

    /// The `apiVersion` to write.
    pub fn api_version(&self) -> String {
        match self.groups[0] {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// Whether an object is of this kind, in whatever version.
    pub fn matches(&self, api_version: &str, kind: &str) -> bool {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        kind == self.kind && self.groups.contains(&group)
    }

    /// Whether a file under `kubernetes/` is named after this kind, with or without its group.
    pub(crate) fn is_named(&self, stem: &str) -> bool {
        self.groups.iter().any(|group| match (*group, stem.split_once('.')) {
            ("", None) => stem == self.plural,
            (group, Some((plural, named))) => plural == self.plural && named == group,
            _ => false,
        })
    }
}

impl<V: Serialize + DeserializeOwned> Place<V> {
    /// A whole file, named without its extension.
    pub fn file(path: &'static str, command: impl Into<String>) -> Self {
        Self::new(At::File(path), command.into())
    }

    /// One entry of a file that holds an object by name.
    pub fn entry(path: &'static str, name: &str, command: impl Into<String>) -> Self {
        Self::new(At::Entry(path, name.to_owned()), command.into())
    }

    /// Those members of a list whose fields have these values, or begin with them where a value
    /// ends in `*`; the answer is a list itself.
    pub fn members<const N: usize>(
        path: &'static str,
        fields: [(&'static str, &str); N],
        command: impl Into<String>,
    ) -> Self {
        let fields = fields.map(|(field, value)| (field, value.to_owned()));
        Self::new(At::Members(path, fields.into()), command.into())
    }

    /// Those members of the list that a file has under `key` whose fields have these values, or
    /// begin with them where a value ends in `*`, or are lists that hold them. A list without any is
    /// an answer as well: there are none.
    pub fn listed<const N: usize>(
        path: &'static str,
        key: &'static str,
        fields: [(&'static str, &str); N],
        command: impl Into<String>,
    ) -> Self {
        let fields = fields.map(|(field, value)| (field, value.to_owned()));
        Self::new(At::Listed(path, key, fields.into()), command.into())
    }

    /// A file of text.
    pub fn text(path: String, command: impl Into<String>) -> Self {
        Self::new(At::Text(path), command.into())
    }

    fn new(at: At, command: String) -> Self {
        Self { spot: Spot { at, command }, encode, decode }
    }
}

impl<T: Serialize + DeserializeOwned + Send> Place<Vec<T>> {
    /// Kubernetes objects of a kind, from whatever files under `kubernetes/`.
    pub fn objects(kind: ObjectKind, selection: Selection) -> Self {
        let mut command = format!("kubectl get {}", kind.resource());
        command += &selection.name.iter().flat_map(|name| [" ", name]).collect::<String>();
        command += &match (&selection.namespace, kind.namespaced) {
            (Some(namespace), true) => format!(" -n {namespace}"),
            (None, true) => " -A".to_owned(),
            (_, false) => String::new(),
        };
        let spot = Spot { at: At::Objects(kind, selection), command: command + " -o yaml" };
        Self { spot, encode, decode: decode_objects }
    }

    /// Kubernetes objects of every group that ends in `suffix`, which begins with a dot, whatever
    /// their kind. Each of them says what it is.
    pub fn groups(suffix: &'static str, command: impl Into<String>) -> Self {
        let spot = Spot { at: At::Groups(suffix), command: command.into() };
        Self { spot, encode, decode: decode_objects }
    }
}

fn encode<V: Serialize>(value: &V) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

fn decode<V: DeserializeOwned>(kept: Kept<'_>) -> Result<V, String> {
    let Kept::Value(value) = kept else { return Err("expected one value".to_owned()) };
    serde_path_to_error::deserialize(value).map_err(|error| error.to_string())
}

fn decode_objects<T: DeserializeOwned + Send>(kept: Kept<'_>) -> Result<Vec<T>, String> {
    let Kept::Objects(objects) = kept else { return Err("expected objects".to_owned()) };
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    // A few are read sooner than a thread is started.
    let share = objects.len().div_ceil(workers).max(1_000);
    if objects.len() <= share {
        return objects.into_iter().map(decode_object).collect();
    }
    let read = |share: &[&Object]| share.iter().copied().map(decode_object).collect();
    let shares: Vec<Result<Vec<T>, String>> = thread::scope(|scope| {
        let running: Vec<_> =
            objects.chunks(share).map(|share| scope.spawn(move || read(share))).collect();
        let panicked = |_| Err("reading the objects panicked".to_owned());
        running.into_iter().map(|worker| worker.join().unwrap_or_else(panicked)).collect()
    });
    let mut all = Vec::with_capacity(objects.len());
    for share in shares {
        all.extend(share?);
    }
    Ok(all)
}

fn decode_object<T: DeserializeOwned>(object: &Object) -> Result<T, String> {
    let text = object.json();
    // Keeping track of where it is takes as long as reading, and only an error is told where it is.
    if let Ok(read) = serde_json::from_str(text) {
        return Ok(read);
    }
    let mut json = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let inner = error.inner().to_string();
        let what = inner.split(" at line ").next().unwrap_or_default();
        format!("{}: {}: {what}", object.header.shown(), error.path())
    })
}

impl Spot {
    /// The file that `collect` writes it to.
    pub(crate) fn file_name(&self) -> String {
        match &self.at {
            At::File("bundle") | At::Entry("bundle", _) => "bundle.yaml".to_owned(),
            At::File(path) | At::Entry(path, _) | At::Members(path, _) | At::Listed(path, ..) => {
                format!("{path}.json")
            }
            At::Objects(kind, _) => format!("kubernetes/{}.json", kind.resource()),
            At::Groups(_) => format!("{}.json", self.address()),
            At::Text(path) => path.clone(),
        }
    }

    /// The place that its faults concern besides its own, from near to far: one namespace that
    /// can't be read is not the whole cluster.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let own = self.address();
        let mut all = vec![own.clone()];
        if let At::Objects(kind, selection) = &self.at {
            let whole = format!("kubernetes/{}", kind.resource());
            all.extend(selection.namespace.iter().map(|namespace| format!("{whole}#{namespace}")));
            all.extend([whole, format!("kubernetes/{}", kind.plural)]);
        } else if let Some((whole, _)) = own.split_once('#') {
            all.push(whole.to_owned());
        }
        all.dedup();
        all
    }

    /// The place in words, as `errors` in `bundle.yaml` spells it.
    pub(crate) fn address(&self) -> String {
        match &self.at {
            At::File(path) => (*path).to_owned(),
            At::Entry(path, name) => format!("{path}#{name}"),
            At::Listed(path, _, fields) if fields.is_empty() => (*path).to_owned(),
            At::Members(path, fields) | At::Listed(path, _, fields) => {
                let values: Vec<_> = fields.iter().map(|(_, value)| value.as_str()).collect();
                format!("{path}#{}", values.join(" "))
            }
            At::Objects(kind, Selection { namespace, name }) => {
                let of = [namespace, name].into_iter().flatten().cloned().collect::<Vec<_>>();
                let of = if of.is_empty() { String::new() } else { format!("#{}", of.join("/")) };
                format!("kubernetes/{}{of}", kind.resource())
            }
            At::Groups(suffix) => format!("kubernetes/{}", suffix.trim_start_matches('.')),
            At::Text(path) => path.clone(),
        }
    }

    /// The place without what it is about, for people.
    pub(crate) fn shown(&self) -> String {
        match &self.at {
            At::Objects(kind, _) => format!("kubernetes/{}", kind.resource()),
            _ => self.address(),
        }
    }

    /// Nothing is kept here.
    pub(crate) fn empty(&self) -> Fault {
        let file = match (&self.at, self.address().split_once('#')) {
            (At::Entry(..) | At::Members(..) | At::Listed(..), Some((_, name))) => {
                format!("{name} in {}", self.file_name())
            }
            _ => self.file_name(),
        };
        Fault::NotCollected { file, command: self.command.clone() }
    }
}
