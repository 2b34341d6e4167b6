//! What holds whatever a bundle is made of. The fuzz targets and the tests below try it: each function
//! panics where it doesn't hold.

use std::{
    collections::BTreeMap,
    io::Read,
    path::{Component, Path},
};

use flate2::read::GzDecoder;
use serde_json::Value;

use super::{
    Bundle, BundleError, archive,
    manifest::{Object, converted, cut, documents, in_json},
};
use crate::{Fact, Now, Place};

/// An archive, packed or not: what is read of it stays inside, and once written it is read again as it
/// was.
pub fn archive(bytes: &[u8]) {
    let is_packed = bytes.starts_with(&[0x1f, 0x8b]);
    let opened =
        if is_packed { read(GzDecoder::new(bytes)) } else { read(&*with_checksums(bytes)) };
    let Ok(bundle) = opened else { return };
    assert!(is_packed || bundle.files.len() <= bytes.len() / BLOCK);
    for name in bundle.files.keys().filter(|name| !bundle.refused.contains(name)) {
        let mut parts = Path::new(name).components();
        assert!(
            !name.is_empty() && parts.all(|part| matches!(part, Component::Normal(_))),
            "{name:?}"
        );
    }
    answers(&bundle);
    let texts: Option<BTreeMap<_, _>> = texts(&bundle);
    let Some(texts) = texts else { return };
    let mut packed = Vec::new();
    let written = bundle.pack(&mut packed);
    assert!(written.is_ok(), "{written:?}");
    let again = read(GzDecoder::new(&*packed)).map(|again| self::texts(&again));
    assert_eq!(again.ok().flatten(), Some(texts));
}

fn read(tar: impl Read) -> Result<Bundle, BundleError> {
    archive::read(tar, Path::new("bundle.tar.gz"))
}

/// The text of every file, if each has one.
fn texts(bundle: &Bundle) -> Option<BTreeMap<String, String>> {
    bundle.texts().map(|(name, text)| Some((name.to_owned(), text.ok()?))).collect()
}

const BLOCK: usize = 512;

/// The archive with the checksums that its headers should have, so that changes to them are tried.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while let Some(block) = bytes.get_mut(at..at + BLOCK) {
        let mut header = tar::Header::new_old();
        header.as_mut_bytes().copy_from_slice(block);
        let size = header.entry_size().ok().and_then(|size| usize::try_from(size).ok());
        if block.iter().any(|byte| *byte != 0) {
            header.set_cksum();
            block.copy_from_slice(header.as_bytes());
        }
        let content = size.and_then(|size| size.checked_next_multiple_of(BLOCK));
        at = content
            .and_then(|content| at.checked_add(BLOCK + content))
            .unwrap_or(usize::MAX - BLOCK);
    }
    bytes
}

/// Asks for something of each sort.
fn answers(bundle: &Bundle) {
    let _ = bundle.manifests();
    let some: [Place<Vec<Value>>; 3] = [
        Place::file("gcp/logging/entries", ""),
        Place::members("probes/dns", [("name", "kf.example.com")], ""),
        Place::listed("aws/cloudformation/describe-stacks", "Stacks", [], ""),
    ];
    for place in some {
        let _ = bundle.read(&place.spot, place.decode);
        let _ = bundle.missing_parts(&place.spot);
    }
    let text: Place<String> = Place::text("kubernetes/logs/a/b/c.log".to_owned(), "");
    let _ = bundle.read(&text.spot, text.decode);
    if let Some(now) = Now.place() {
        let _ = bundle.read(&now.spot, now.decode);
    }
}

/// The text of a file under `kubernetes/`, as YAML and as JSON: whatever is found in it is JSON, and
/// what is read the quick way is what the full parser reads.
pub fn manifests(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let quick = converted(text, &cut(text));
    let whole = documents(text);
    let json = in_json(&text.to_owned().into());
    for object in quick.iter().flatten().chain(whole.iter().flatten()).chain(json.iter().flatten())
    {
        if let Err(error) = parsed(object) {
            // It is told when the object is asked for.
            assert!(error.contains("recursion limit"), "{error} in {}", object.json());
        }
    }
    if let (Some(quick), Ok(whole)) = (&quick, &whole) {
        let (quick, whole) = (told(quick), told(whole));
        assert_eq!(quick.len(), whole.len(), "{quick:?} {whole:?}");
        for (one, other) in quick.iter().zip(&whole) {
            assert!(is_same(one, other), "{one}\n{other}");
        }
    }
}

fn parsed(object: &Object) -> Result<Value, String> {
    serde_json::from_str(object.json()).map_err(|error| error.to_string())
}

/// The objects that say what they are; nothing else is ever asked for.
fn told(objects: &[Object]) -> Vec<Value> {
    let is_one = |object: &&Object| {
        object.header.kind.as_deref().is_some_and(|kind| !kind.ends_with("List"))
    };
    objects.iter().filter(is_one).filter_map(|object| parsed(object).ok()).collect()
}

/// Whether two values are the same. The quick way knows the numbers that JSON knows, and the full
/// parser those of YAML.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(key, one)| other.get(key).is_some_and(|other| is_same(one, other)))
        }
        (Value::Number(_), _) | (_, Value::Number(_)) => true,
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIST: &str = "\
apiVersion: v1
items:
- apiVersion: v1
  kind: Service
  metadata:
    annotations: {cloud.google.com/neg: '{\"ingress\": true}'}
    managedFields:
    - manager: kubectl
      fieldsV1: {\"f:spec\": {}}
    name: gateway
    namespace: istio-system
  spec:
    ports:
    - {name: http2, port: 80, targetPort: 8080}
    note: |
      two
      lines
- apiVersion: v1
  kind: Namespace
  metadata:
    name: \"kubeflow\"
kind: List
metadata:
  resourceVersion: \"\"
---
kind: Pod
metadata: {name: a, labels: {n: 007, x: ~, y: yes, z: 1e3}}
";

    /// As kubectl prints it.
    const PRINTED: &str = "\
apiVersion: v1
items:
- apiVersion: v1
  data:
    config.yaml: |
      issuer: https://kf.example.com/dex

      storage:
        type: memory
    none: ''
  kind: ConfigMap
  metadata:
    annotations:
      last-applied: |
        {\"kind\":\"ConfigMap\"}
      said: 'it''s: {\"a\": 1}'
    labels: {}
    name: dex
    namespace: auth
- apiVersion: v1
  kind: Pod
  metadata:
    creationTimestamp: null
    name: a
  spec:
    containers:
    - args:
      - --a=b
      - \"1\"
      env:
      - name: B
        value: \"c\\n\"
      image: x/y:1
    tolerations:
    -
  status:
kind: List
metadata:
  resourceVersion: \"\"
";

    const JSON: &str = r#"{ "apiVersion": "v1", "kind": "PodList", "items": [
        { "metadata": { "name": "a", "namespace": "b" }, "spec": { "n": 1.5 } }, { "kind": "Pod" }] }"#;

    /// A change somewhere in a text.
    fn change() -> impl Strategy<Value = (prop::sample::Index, usize, String)> {
        let odd = prop::sample::select(vec![
            "",
            "- ",
            "\n",
            "---\n",
            "items:\n",
            "? ",
            ": ",
            "[",
            "{",
            "}",
            "'",
            "\"",
            "|\n",
            ">-\n",
            "&a ",
            "*a",
            "<<: ",
            "!!str ",
            "#",
            "%",
            "\t",
            "é",
            "\u{feff}",
            "\r",
            "...\n",
            "kind: List\n",
            "  ",
        ]);
        let by = prop_oneof![odd.prop_map(str::to_owned), "[ -~\n]{0,6}"];
        (any::<prop::sample::Index>(), 0_usize..12, by)
    }

    fn changed(text: &str, changes: &[(prop::sample::Index, usize, String)]) -> String {
        let mut chars: Vec<char> = text.chars().collect();
        for (at, length, by) in changes {
            let at = at.index(chars.len() + 1);
            let end = (at + length).min(chars.len());
            chars.splice(at..end, by.chars());
        }
        chars.into_iter().collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_read_the_quick_way_is_what_the_full_parser_reads(
            changes in prop::collection::vec(change(), 0..4),
        ) {
            manifests(changed(LIST, &changes).as_bytes());
            manifests(changed(PRINTED, &changes).as_bytes());
            manifests(changed(JSON, &changes).as_bytes());
        }

        #[test]
        fn any_text_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[-:? a{}\\[\\]\n]{0,30}") {
            manifests(&bytes);
            manifests(text.as_bytes());
            archive(&bytes);
            archive(&[&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0], &*bytes].concat());
        }

        #[test]
        fn what_is_read_of_an_archive_stays_inside_and_is_read_again(
            names in prop::collection::vec("(\\./|\\.\\./|/|a/|b/){0,3}(bundle.yaml|gcp|x.json|)", 0..5),
            contents in prop::collection::vec("[a-z: \\[\\]\n]{0,20}", 5),
            changes in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 0..4),
        ) {
            let mut tar = Vec::new();
            for (name, content) in names.iter().zip(&contents) {
                let mut header = tar::Header::new_gnu();
                header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
                header.set_size(content.len() as u64);
                tar.extend_from_slice(header.as_bytes());
                let filled = content.bytes().chain(std::iter::repeat(0));
                tar.extend(filled.take(content.len().next_multiple_of(BLOCK)));
            }
            archive(&tar);
            tar.push(0);
            for (at, byte) in &changes {
                let at = at.index(tar.len());
                tar[at] = *byte;
            }
            archive(&tar);
        }
    }
}
