use std::{collections::BTreeMap, path::Path};

use kfcheck::{Bundle, BundleError};
use serde_json::{Value, json};

/// A bundle as the servers read it: text by file, nothing modelled.
#[derive(Clone, Debug, Default)]
pub struct Served {
    files: BTreeMap<String, String>,
}

impl Served {
    /// The bundle in a folder or a `.tar.gz`.
    pub fn open(root: &Path) -> Result<Self, BundleError> {
        Ok(Self::of(&Bundle::open(root)?))
    }

    /// What a bundle holds. A file that can't be read is left out.
    pub fn of(bundle: &Bundle) -> Self {
        let files = bundle.texts().filter_map(|(name, text)| Some((name.to_owned(), text.ok()?)));
        Self { files: files.collect() }
    }

    /// The same with other texts.
    #[must_use]
    pub fn with_texts(mut self, other: impl Fn(&str) -> String) -> Self {
        for text in self.files.values_mut() {
            *text = other(text);
        }
        self
    }

    /// A bundle of these files, named without their extension.
    #[cfg(test)]
    pub(crate) fn holding<const N: usize>(files: [(&str, Value); N]) -> Self {
        let files = files.map(|(name, value)| (format!("{name}.json"), value.to_string()));
        Self { files: files.into() }
    }

    /// A file of JSON or YAML that is named without its extension.
    pub fn json(&self, path: &str) -> Option<Value> {
        let json = self.files.get(&format!("{path}.json"));
        if let Some(text) = json {
            return serde_json::from_str(text).ok();
        }
        let yaml = ["yaml", "yml"].iter().find_map(|end| self.files.get(&format!("{path}.{end}")));
        documents(yaml?).into_iter().next()
    }

    /// A file of text, its extension included.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// The texts of all files in a folder, whose name ends in a slash.
    pub(crate) fn texts<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a str> {
        let inside = self.files.iter().filter(move |(name, _)| name.starts_with(folder));
        inside.map(|(_, text)| text.as_str())
    }

    /// What is said in `bundle.yaml`.
    pub fn manifest(&self) -> Value {
        self.json("bundle").unwrap_or_default()
    }

    /// Why there is no answer at a place, as `errors` in `bundle.yaml` has it: `kubernetes/pods`,
    /// `gcp/compute/firewalls`; for example `{"denied": {"permission": "compute.firewalls.list"}}`.
    pub fn error(&self, place: &str) -> Option<Value> {
        self.manifest()["errors"].get(place).cloned()
    }

    /// Every object under `kubernetes/`, whatever its kind, with `apiVersion` and `kind`.
    pub fn objects(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for (name, text) in &self.files {
            if !name.starts_with("kubernetes/") || name.starts_with("kubernetes/logs/") {
                continue;
            }
            let found = match name.rsplit_once('.') {
                Some((_, "json")) => serde_json::from_str(text).into_iter().collect(),
                Some((_, "yaml" | "yml")) => documents(text),
                _ => Vec::new(),
            };
            for document in found {
                unwrap(document, &mut all);
            }
        }
        all
    }

    /// The names of the files under `kubernetes/`, without folder and extension: an empty list is
    /// of the kind that its file names, as `backendconfigs.cloud.google.com`.
    pub fn object_files(&self) -> impl Iterator<Item = &str> {
        let names = self.files.keys().filter_map(|name| name.strip_prefix("kubernetes/"));
        let named = names.filter_map(|name| match name.rsplit_once('.') {
            Some((stem, "json" | "yaml" | "yml")) => stem.rsplit('/').next(),
            _ => None,
        });
        named.filter(|stem| !stem.is_empty())
    }
}

fn documents(text: &str) -> Vec<Value> {
    let size = text.len().max(1000);
    // A cluster is more than the parser's own limits, made for configuration, let through.
    let options = serde_saphyr::options! {
        strict_booleans: true,
        budget: serde_saphyr::budget! {
            max_documents: size,
            max_events: 4 * size,
            max_nodes: size,
            max_total_scalar_bytes: 2 * size,
        },
    };
    serde_saphyr::from_multiple_with_options(text, options).expect("a bundle's YAML is well formed")
}

/// The object itself, or what a List holds: in a `PodList`, the pods say nothing themselves.
fn unwrap(mut document: Value, all: &mut Vec<Value>) {
    let Some(items) = document.get_mut("items").map(Value::take) else {
        if document.get("kind").is_some() {
            all.push(document);
        }
        return;
    };
    let of = document["kind"].as_str().and_then(|kind| kind.strip_suffix("List")).unwrap_or("");
    let Value::Array(items) = items else { return };
    for mut item in items {
        if item.get("kind").is_none() && !of.is_empty() {
            item["kind"] = json!(of);
            item["apiVersion"] = document["apiVersion"].clone();
        }
        unwrap(item, all);
    }
}
