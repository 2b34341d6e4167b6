//! Kubernetes objects, from whatever files they are in.
//!
//! A cluster prints more than a run asks for, so a file is cut into its objects, each is looked at
//! just far enough to know that it is well formed and what it is, and only those asked for are read.

use std::{collections::BTreeMap, num::NonZero, ops::Range, sync::Arc, thread};

use granit_parser::{Event, Parser};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::file::{File, is_yaml, parse_all_yaml, parse_yaml};
use crate::{Fault, ObjectKind, Selection};

/// What the files under `kubernetes/` hold.
#[derive(Debug)]
pub(super) struct Manifests {
    objects: Vec<Object>,
    /// The files, without folder and extension: an empty list is of the kind that its file names.
    names: Vec<String>,
}

#[derive(Debug)]
struct Object {
    header: Header,
    file: Arc<str>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Json(Arc<str>, Range<usize>),
    Yaml(Arc<str>, Range<usize>),
    Parsed(Value),
}

/// What an object is.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Header {
    api_version: Option<String>,
    kind: Option<String>,
    metadata: Name,
    /// It is a list of objects rather than one.
    #[serde(skip)]
    is_list: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Name {
    name: Option<String>,
    namespace: Option<String>,
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
            let text: Arc<str> = file.text(name)?.into();
            let found = if is_yaml(name) { in_yaml(name, &text) } else { in_json(name, &text) };
            all.objects.extend(found.map_err(broken)?);
        }
        Ok(all)
    }

    /// The objects meant; nothing where no file speaks of the kind.
    pub(super) fn objects(
        &self,
        kind: &ObjectKind,
        selection: &Selection,
    ) -> Result<Option<Value>, Fault> {
        let of_kind = |object: &&Object| object.header.is(kind);
        let mut found = self.objects.iter().filter(of_kind).peekable();
        if found.peek().is_none() && !self.names.iter().any(|name| kind.is_named(name)) {
            return Ok(None);
        }
        let is = |wanted: &Option<String>, field: &Option<String>| {
            wanted.is_none() || wanted == field
        };
        let meant = |object: &&Object| {
            let Name { name, namespace } = &object.header.metadata;
            is(&selection.name, name) && is(&selection.namespace, namespace)
        };
        found.filter(meant).map(Object::read).collect::<Result<Vec<_>, _>>().map(|o| Some(o.into()))
    }
}

impl Header {
    fn is(&self, kind: &ObjectKind) -> bool {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        kind.matches(&text(&self.api_version), &text(&self.kind))
    }
}

impl Object {
    fn read(&self) -> Result<Value, Fault> {
        let value = match &self.source {
            Source::Json(text, range) => {
                serde_json::from_str(&text[range.clone()]).map_err(|e| e.to_string())
            }
            Source::Yaml(text, range) => parse_yaml(&undent(&text[range.clone()])),
            Source::Parsed(value) => Ok(value.clone()),
        };
        value.map_err(|detail| Fault::Malformed { file: self.file.to_string(), detail })
    }
}

#[derive(Deserialize)]
struct JsonList<'a> {
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

fn in_json(name: &str, text: &Arc<str>) -> Result<Vec<Object>, String> {
    let list: JsonList<'_> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let whole = [text.trim()];
    let items = list.items.map(|items| items.into_iter().map(RawValue::get).collect::<Vec<_>>());
    let items = items.as_deref().unwrap_or(&whole);
    let start = text.as_ptr() as usize;
    items
        .iter()
        .enumerate()
        .map(|(nth, item)| {
            let header = serde_json::from_str(item).map_err(|e| format!("object {nth}: {e}"))?;
            let from = item.as_ptr() as usize - start;
            let source = Source::Json(Arc::clone(text), from..from + item.len());
            Ok(Object { header, file: name.into(), source })
        })
        .collect()
}

fn in_yaml(name: &str, text: &Arc<str>) -> Result<Vec<Object>, String> {
    let file: Arc<str> = name.into();
    let pieces = cut(text);
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    let share = pieces.len().div_ceil(workers).max(64);
    let headers: Vec<Option<Header>> = thread::scope(|scope| {
        let look = |share: &[Range<usize>]| -> Vec<_> {
            share.iter().map(|piece| header(&undent(&text[piece.clone()]))).collect()
        };
        let running: Vec<_> =
            pieces.chunks(share).map(|share| scope.spawn(move || look(share))).collect();
        running.into_iter().flat_map(|done| done.join().unwrap_or_else(|_| vec![None])).collect()
    });
    let split = headers.len() == pieces.len()
        && headers.iter().all(|header| header.as_ref().is_some_and(|header| !header.is_list));
    if !split {
        // Written otherwise than kubectl does, or broken; the parser then says where.
        let documents = parse_all_yaml(text)?.into_iter().filter(|document| !document.is_null());
        let objects: Result<Vec<_>, _> = documents.map(|document| parsed(&file, document)).collect();
        return Ok(objects?.into_iter().flatten().collect());
    }
    let object = |(header, range)| {
        Object { header, file: Arc::clone(&file), source: Source::Yaml(Arc::clone(text), range) }
    };
    Ok(headers.into_iter().flatten().zip(pieces).map(object).collect())
}

/// The document itself, or what a List holds.
fn parsed(file: &Arc<str>, mut document: Value) -> Result<Vec<Object>, String> {
    let items = match document.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => vec![document],
    };
    let object = |(nth, value): (usize, Value)| {
        let header = Header::deserialize(&value).map_err(|e| format!("object {nth}: {e}"))?;
        Ok(Object { header, file: Arc::clone(file), source: Source::Parsed(value) })
    };
    items.into_iter().enumerate().map(object).collect()
}

/// The documents of a text, and of a List its items, as far as their first column tells.
fn cut(text: &str) -> Vec<Range<usize>> {
    let (mut pieces, mut start, mut at, mut in_items) = (Vec::new(), 0, 0, false);
    for line in text.split_inclusive('\n') {
        let end = at + line.len();
        let bare = line.trim_end();
        if bare == "---" {
            pieces.push(start..at);
            (start, in_items) = (end, false);
        } else if bare == "items:" && text[start..at].lines().all(is_preamble) {
            (start, in_items) = (end, true);
        } else if in_items && line.starts_with("- ") {
            pieces.push(start..at);
            start = at;
        } else if in_items && !line.starts_with([' ', '\n']) {
            // After the items come `kind: List` and the list's own metadata.
            pieces.push(start..at);
            let rest = &text[end..];
            let next = rest.find("\n---").map_or(text.len(), |next| end + next + 1);
            start = next;
            in_items = false;
            if !text[at..next].lines().all(is_preamble) {
                return vec![0..text.len()];
            }
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
    own.contains(&line.trim_end())
        || line.starts_with("  resourceVersion:")
        || line.starts_with("  selfLink:")
        || line.starts_with("  continue:")
        || line.starts_with("  remainingItemCount:")
}

/// An item of a list as a document of its own: `- ` is as wide as what follows it is deep.
fn undent(piece: &str) -> std::borrow::Cow<'_, str> {
    match piece.strip_prefix("- ") {
        Some(rest) => format!("  {rest}").into(),
        None => piece.into(),
    }
}

/// Where the parser is: in a sequence, or in a mapping with a key read or yet to come.
enum Frame {
    Sequence,
    Mapping { key: Option<String> },
}

/// What the only document of `text` is; nothing where it is broken or isn't one plain document.
fn header(text: &str) -> Option<Header> {
    let mut header = Header::default();
    let mut frames: Vec<Frame> = Vec::new();
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        match event.ok()?.0 {
            Event::DocumentStart(..) => documents += 1,
            Event::MappingStart(..) => frames.push(Frame::Mapping { key: None }),
            Event::SequenceStart(..) => {
                if let [Frame::Mapping { key: Some(key) }] = &frames[..] {
                    header.is_list |= key == "items";
                }
                frames.push(Frame::Sequence);
            }
            Event::MappingEnd | Event::SequenceEnd => {
                frames.pop();
                end_value(&mut frames);
            }
            Event::Alias(_) => end_value(&mut frames),
            Event::Scalar(value, ..) => match &mut frames[..] {
                [.., Frame::Mapping { key: key @ None }] => *key = Some(value.into_owned()),
                [Frame::Mapping { key: Some(key) }] => {
                    match key.as_str() {
                        "apiVersion" => header.api_version = Some(value.into_owned()),
                        "kind" => header.kind = Some(value.into_owned()),
                        _ => (),
                    }
                    end_value(&mut frames);
                }
                [Frame::Mapping { key: Some(outer) }, Frame::Mapping { key: Some(key) }] => {
                    match (outer.as_str(), key.as_str()) {
                        ("metadata", "name") => header.metadata.name = Some(value.into_owned()),
                        ("metadata", "namespace") => {
                            header.metadata.namespace = Some(value.into_owned());
                        }
                        _ => (),
                    }
                    end_value(&mut frames);
                }
                _ => end_value(&mut frames),
            },
            _ => (),
        }
    }
    (documents == 1).then_some(header)
}

/// A value is over: in a mapping, a key comes next.
fn end_value(frames: &mut [Frame]) {
    if let Some(Frame::Mapping { key }) = frames.last_mut() {
        *key = None;
    }
}
