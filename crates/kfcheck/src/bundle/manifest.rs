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
    /// The files, without folder and extension: an empty list is of the kind that its file names.
    names: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Object {
    pub(super) header: Header,
    text: Arc<String>,
    range: Range<usize>,
}

/// What an object is.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Header {
    pub(super) api_version: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) metadata: Name,
    /// It is a list of objects rather than one.
    #[serde(skip)]
    pub(super) is_list: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Name {
    pub(super) name: Option<String>,
    pub(super) namespace: Option<String>,
}

impl Manifests {
    /// Reads every file under `kubernetes/`. One that is broken may have held anything.
    pub(super) fn read(files: &BTreeMap<String, File>) -> Result<Self, Fault> {
        let mut all = Self { objects: Vec::new(), names: Vec::new() };
        for (name, file) in files {
            let Some((stem, "json" | "yaml" | "yml")) = name.rsplit_once('.') else { continue };
            let Some(stem) = stem.strip_prefix("kubernetes/") else { continue };
            all.names.push(stem.rsplit('/').next().unwrap_or(stem).to_owned());
            let broken = |detail| Fault::Malformed { file: name.clone(), detail };
            let text = file.text(name)?;
            let found = if is_yaml(name) { in_yaml(&text) } else { in_json(&Arc::new(text)) };
            all.objects.extend(found.map_err(broken)?);
        }
        Ok(all)
    }

    /// The objects meant, each with its name and its JSON; nothing where no file speaks of the kind,
    /// or of a namespace that there is.
    pub(super) fn objects(
        &self,
        kind: &ObjectKind,
        selection: &Selection,
    ) -> Option<Vec<(String, &str)>> {
        let mut found = self.objects.iter().filter(|object| object.header.is(kind)).peekable();
        let is_named = self.names.iter().any(|name| kind.is_named(name));
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
        Some(found.filter(meant).map(|object| (object.header.shown(), object.json())).collect())
    }

    /// Whether a namespace is known, by itself or by what is in it, and nothing is kept that tells what
    /// else is. Events and custom resources are often dumped for all namespaces at once, so that one of
    /// them says nothing of the pods and Services beside it.
    fn left_out(&self, kind: &ObjectKind, name: &str) -> bool {
        let is = |field: &Option<String>, text: &str| field.as_deref() == Some(text);
        let is_custom = |group: &str| group.contains('.');
        let inside =
            |header: &Header| is(&header.metadata.namespace, name) && !is(&header.kind, "Event");
        let tells = |header: &Header| {
            let version = header.api_version.as_deref().unwrap_or_default();
            let group = version.split_once('/').map_or("", |(group, _)| group);
            inside(header) && (is_custom(kind.groups[0]) || !is_custom(group))
        };
        let itself =
            |header: &Header| is(&header.kind, "Namespace") && is(&header.metadata.name, name);
        let mut headers = self.objects.iter().map(|object| &object.header);
        headers.clone().any(|header| itself(header) || inside(header)) && !headers.any(tells)
    }
}

impl Manifests {
    /// Whether no file is there at all.
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The objects of every group that ends so; nothing where no file speaks of any.
    pub(super) fn of_groups(&self, suffix: &str) -> Option<Vec<(String, &str)>> {
        let is = |object: &&Object| {
            let version = object.header.api_version.as_deref().unwrap_or_default();
            version.split_once('/').is_some_and(|(group, _)| group.ends_with(suffix))
        };
        let found = self.objects.iter().filter(is);
        let all: Vec<_> = found.map(|object| (object.header.shown(), object.json())).collect();
        let bare = suffix.trim_start_matches('.');
        let is_named = |name: &String| name == bare || name.ends_with(suffix);
        (!all.is_empty() || self.names.iter().any(is_named)).then_some(all)
    }
}

impl Object {
    /// Its JSON.
    pub(super) fn json(&self) -> &str {
        &self.text[self.range.clone()]
    }
}

impl Header {
    fn is(&self, kind: &ObjectKind) -> bool {
        let text = |field: &'_ Option<String>| field.clone().unwrap_or_default();
        kind.matches(&text(&self.api_version), &text(&self.kind))
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
    fn shown(&self) -> String {
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
    let items = match document.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => vec![document],
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
            is_head &= is_preamble(line);
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
    use super::cut;

    #[test]
    fn however_many_lists_seem_to_begin_a_text_is_gone_through_once() {
        let text = "metadata:\n".repeat(200_000) + "x: 1\n" + &"items:\n".repeat(200_000);
        assert_eq!(cut(&text), std::slice::from_ref(&(0..text.len())));
    }
}
