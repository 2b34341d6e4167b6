//! Kubernetes objects, from whatever files they are in.
//!
//! A cluster prints more than a run asks for. A file is cut into its objects, each is brought into
//! JSON, which shows that it is well formed and what it is, and only those asked for are read.

use std::{borrow::Cow, collections::BTreeMap, num::NonZero, ops::Range, sync::Arc, thread};

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{
    file::{File, is_yaml, parse_all_yaml},
    yaml::to_json,
};
use crate::{Fault, ObjectKind, Selection};

/// What the files under `kubernetes/` hold.
#[derive(Debug)]
pub(super) struct Manifests {
    objects: Vec<Object>,
    sources: Vec<Source>,
}

/// A file, and which of the objects are from it.
#[derive(Debug)]
struct Source {
    /// Below `kubernetes/` and without its extension: `istio-system`, `logs/pods`.
    path: String,
    objects: Range<usize>,
}

#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) header: Header,
    text: Arc<String>,
    range: Range<usize>,
}

/// What an object is.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Header {
    pub(super) api_version: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) metadata: Name,
    /// It is a list of objects rather than one.
    #[serde(skip)]
    pub(super) is_list: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Name {
    pub(super) name: Option<String>,
    pub(super) namespace: Option<String>,
}

impl Manifests {
    /// Reads every file under `kubernetes/`. One that is broken may have held anything.
    pub(super) fn read(files: &BTreeMap<String, File>) -> Result<Self, Fault> {
        let mut all = Self { objects: Vec::new(), sources: Vec::new() };
        for (name, file) in files {
            let Some((stem, "json" | "yaml" | "yml")) = name.rsplit_once('.') else { continue };
            let Some(path) = stem.strip_prefix("kubernetes/") else { continue };
            let broken = |detail| Fault::Malformed { file: name.clone(), detail };
            let text = file.text(name)?;
            let found = if is_yaml(name) { in_yaml(&text) } else { in_json(&Arc::new(text)) };
            let start = all.objects.len();
            all.objects.extend(found.map_err(broken)?);
            all.sources.push(Source { path: path.to_owned(), objects: start..all.objects.len() });
        }
        Ok(all)
    }

    /// The objects meant; nothing where no file speaks of the kind, or of a namespace that there is.
    pub(super) fn objects(&self, kind: &ObjectKind, selection: &Selection) -> Option<Vec<&Object>> {
        let mut found = self.objects.iter().filter(|object| object.header.is(kind)).peekable();
        // An empty list is of the kind that its file names.
        let is_named = self.sources.iter().any(|source| kind.is_named(source.name()));
        let is_left_out =
            || selection.namespace.as_ref().is_some_and(|name| self.left_out(kind, name));
        if !is_named && (found.peek().is_none() || is_left_out()) {
            return None;
        }
        let is =
            |wanted: &Option<String>, field: &Option<String>| wanted.is_none() || wanted == field;
        let meant = |object: &&Object| {
            let Name { name, namespace } = &object.header.metadata;
            is(&selection.name, name) && is(&selection.namespace, namespace)
        };
        Some(found.filter(meant).collect())
    }

    /// Whether a namespace is known, by itself or by what is in it, and nothing is kept that tells what
    /// else is. Events and custom resources are often listed for all namespaces at once, into files of
    /// their own; one of them says nothing of the pods and Services beside it.
    fn left_out(&self, kind: &ObjectKind, namespace: &str) -> bool {
        let is_custom = kind.groups[0].contains('.');
        let is_itself = |header: &Header| {
            header.kind.as_deref() == Some("Namespace")
                && header.metadata.name.as_deref() == Some(namespace)
        };
        let mut is_known = false;
        for source in &self.sources {
            let headers = self.objects[source.objects.clone()].iter().map(|object| &object.header);
            let mut is_dump = source.path.split('/').any(|part| part == namespace);
            let (mut has_any, mut has_built_in) = (false, false);
            for header in headers.filter(|header| header.kind.as_deref() != Some("Event")) {
                let is_inside = header.metadata.namespace.as_deref() == Some(namespace);
                is_known |= is_inside || is_itself(header);
                is_dump |= header.metadata.namespace.is_some() && header.is_built_in();
                has_any |= is_inside;
                has_built_in |= is_inside && header.is_built_in();
            }
            if has_built_in || has_any && (is_custom || is_dump) {
                return false;
            }
        }
        is_known
    }
}

impl Manifests {
    /// Whether no file is there at all.
    pub(super) fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// The objects of every group that ends so; nothing where no file speaks of any.
    pub(super) fn of_groups(&self, suffix: &str) -> Option<Vec<&Object>> {
        let is = |object: &&Object| {
            let version = object.header.api_version.as_deref().unwrap_or_default();
            version.split_once('/').is_some_and(|(group, _)| group.ends_with(suffix))
        };
        let all: Vec<_> = self.objects.iter().filter(is).collect();
        let bare = suffix.trim_start_matches('.');
        let is_named = |name: &str| name == bare || name.ends_with(suffix);
        let mut names = self.sources.iter().map(Source::name);
        (!all.is_empty() || names.any(is_named)).then_some(all)
    }
}

impl Source {
    /// The file's own name.
    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

impl Object {
    /// Its JSON.
    pub(crate) fn json(&self) -> &str {
        &self.text[self.range.clone()]
    }
}

impl Header {
    fn is(&self, kind: &ObjectKind) -> bool {
        let version = self.api_version.as_deref().unwrap_or_default();
        kind.matches(version, self.kind.as_deref().unwrap_or_default())
    }

    /// Whether every cluster has its kind, as far as its group tells.
    fn is_built_in(&self) -> bool {
        let version = self.api_version.as_deref().unwrap_or_default();
        !version.split_once('/').is_some_and(|(group, _)| group.contains('.'))
    }

    /// With what its list says of it: in the API's own `PodList`, the pods say nothing themselves.
    fn of_list(mut self, api_version: Option<&String>, kind: Option<&String>) -> Self {
        let of_list = kind.and_then(|kind| kind.strip_suffix("List")).filter(|k| !k.is_empty());
        if let (None, Some(kind)) = (&self.kind, of_list) {
            self.kind = Some(kind.to_owned());
            self.api_version = self.api_version.or_else(|| api_version.cloned());
        }
        self
    }

    /// As a person says it: `Pod kubeflow/a`.
    pub(crate) fn shown(&self) -> String {
        let Name { name, namespace } = &self.metadata;
        let namespace = namespace.iter().flat_map(|namespace| [namespace, "/"]);
        let kind = self.kind.as_deref().unwrap_or_default();
        format!("{kind} {}{}", namespace.collect::<String>(), name.as_deref().unwrap_or_default())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonList<'a> {
    #[serde(default)]
    api_version: Option<String>,
    #[serde(default)]
    kind: Option<String>,
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

pub(super) fn in_json(text: &Arc<String>) -> Result<Vec<Object>, String> {
    let list: JsonList<'_> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let whole = [text.trim()];
    let items = list.items.as_ref();
    let items = items.map(|items| items.iter().map(|item| item.get()).collect::<Vec<_>>());
    let items = items.as_deref().unwrap_or(&whole);
    let start = text.as_ptr() as usize;
    let object = |(nth, item): (usize, &&str)| {
        let header: Header =
            serde_json::from_str(item).map_err(|e| format!("object {nth}: {e}"))?;
        let header = header.of_list(list.api_version.as_ref(), list.kind.as_ref());
        let from = item.as_ptr() as usize - start;
        Ok(Object { header, text: Arc::clone(text), range: from..from + item.len() })
    };
    items.iter().enumerate().map(object).collect()
}

fn in_yaml(text: &str) -> Result<Vec<Object>, String> {
    let pieces = cut(text);
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    // Finer than one share a worker, so that what comes of them is given back bit by bit.
    let share = pieces.len().div_ceil(8 * workers).max(32);
    let shares: Vec<_> = pieces.chunks(share).collect();
    let convert = |worker: usize| -> Option<Vec<(usize, Vec<Object>)>> {
        let mine = shares.iter().enumerate().skip(worker).step_by(workers);
        mine.map(|(nth, share)| Some((nth, converted(text, share)?))).collect()
    };
    let convert = &convert;
    let done: Option<Vec<_>> = thread::scope(|scope| {
        let running: Vec<_> =
            (0..workers).map(|worker| scope.spawn(move || convert(worker))).collect();
        running.into_iter().map(|worker| worker.join().ok().flatten()).collect()
    });
    let Some(done) = done else {
        // Written otherwise than kubectl does, or broken; the parser then says where.
        return documents(text);
    };
    let mut all: Vec<_> = done.into_iter().flatten().collect();
    all.sort_by_key(|(nth, _)| *nth);
    Ok(all.into_iter().flat_map(|(_, objects)| objects).collect())
}

/// The objects of any YAML.
pub(super) fn documents(text: &str) -> Result<Vec<Object>, String> {
    let documents = parse_all_yaml(text)?.into_iter().filter(|document| !document.is_null());
    let objects: Result<Vec<_>, _> = documents.map(parsed).collect();
    Ok(objects?.into_iter().flatten().collect())
}

/// The objects of some pieces; nothing if one of them is not plain enough.
pub(super) fn converted(text: &str, pieces: &[Range<usize>]) -> Option<Vec<Object>> {
    let mut json = String::new();
    let mut found = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let from = json.len();
        let piece = undent(&text[piece.clone()]);
        let headers = if let Some(header) = to_json(&piece, &mut json) {
            vec![(header, from..json.len())]
        } else {
            json.truncate(from);
            not_plain(&piece, &mut json)?
        };
        if headers.iter().any(|(header, _)| header.is_list) {
            return None;
        }
        found.extend(headers);
    }
    json.shrink_to_fit();
    let text = Arc::new(json);
    let object = |(header, range)| Object { header, text: Arc::clone(&text), range };
    Some(found.into_iter().map(object).collect())
}

/// Writes the objects of a piece that the full parser has to read to `json`.
fn not_plain(piece: &str, json: &mut String) -> Option<Vec<(Header, Range<usize>)>> {
    let documents = parse_all_yaml(piece).ok()?.into_iter().filter(|document| !document.is_null());
    let object = |document: Value| {
        let mut header = Header::deserialize(&document).ok()?;
        header.is_list = document.get("items").is_some_and(Value::is_array);
        let from = json.len();
        json.push_str(&document.to_string());
        document.is_object().then_some((header, from..json.len()))
    };
    documents.map(object).collect()
}

/// The document itself, or what a List holds.
fn parsed(mut document: Value) -> Result<Vec<Object>, String> {
    let list = Header::deserialize(&document).unwrap_or_default();
    let items = if let Some(Value::Array(items)) = document.get_mut("items") {
        std::mem::take(items)
    } else {
        vec![document]
    };
    let object = |(nth, value): (usize, Value)| {
        let header = Header::deserialize(&value).map_err(|e| format!("object {nth}: {e}"))?;
        let header = header.of_list(list.api_version.as_ref(), list.kind.as_ref());
        let text = Arc::new(value.to_string());
        Ok(Object { header, range: 0..text.len(), text })
    };
    items.into_iter().enumerate().map(object).collect()
}

/// The documents of a text, and of a List its items, as far as their first column tells.
pub(super) fn cut(text: &str) -> Vec<Range<usize>> {
    let (mut pieces, mut start, mut at, mut in_items) = (Vec::new(), 0, 0, false);
    // Whether nothing but the beginning of a List has come since the last cut.
    let mut is_head = true;
    for line in text.split_inclusive('\n') {
        let end = at + line.len();
        let bare = line.trim_end();
        if bare == "---" {
            pieces.push(start.min(at)..at);
            (start, in_items, is_head) = (end, false, true);
        } else if bare == "items:" && is_head {
            (start, in_items) = (end, true);
        } else if in_items && line.starts_with("- ") {
            pieces.push(start..at);
            (start, is_head) = (at, false);
        } else if in_items && !line.starts_with([' ', '\n', '\r']) {
            // After the items come `kind: List` and the list's own metadata.
            pieces.push(start..at);
            let next = text[end..].find("\n---").map_or(text.len(), |next| end + next + 1);
            if !text[at..next].lines().all(is_preamble) {
                pieces.clear();
                pieces.push(0..text.len());
                return pieces;
            }
            (start, in_items, is_head) = (next, false, true);
        } else {
            is_head = is_head && is_preamble(line);
        }
        at = end;
    }
    pieces.push(start.min(text.len())..text.len());
    pieces.retain(|piece| text[piece.clone()].lines().any(|line| !line.trim().is_empty()));
    pieces
}

/// Whether a line belongs to a List rather than to what it holds.
fn is_preamble(line: &str) -> bool {
    let own = ["apiVersion: v1", "kind: List", "metadata:", "metadata: {}", "", "---"];
    let of_metadata = ["resourceVersion:", "selfLink:", "continue:", "remainingItemCount:"];
    own.contains(&line.trim_end())
        || line.strip_prefix("  ").is_some_and(|l| of_metadata.iter().any(|of| l.starts_with(of)))
}

/// An item of a list as a document of its own: `- ` is as wide as what follows it is deep.
fn undent(piece: &str) -> Cow<'_, str> {
    match piece.strip_prefix("- ") {
        Some(rest) => format!("  {rest}").into(),
        None => piece.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::{cut, documents};

    #[test]
    fn items_that_are_no_list_stay_as_they_are() {
        let found = documents("items:\n\r api\n  data:s  \nkind: Other\n").unwrap();
        let [only] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(only.json(), r#"{"items":"api data:s","kind":"Other"}"#);
    }

    #[test]
    fn however_many_lists_seem_to_begin_a_text_is_gone_through_once() {
        let text = "metadata:\n".repeat(200_000) + "x: 1\n" + &"items:\n".repeat(200_000);
        assert_eq!(cut(&text), std::slice::from_ref(&(0..text.len())));
    }
}
