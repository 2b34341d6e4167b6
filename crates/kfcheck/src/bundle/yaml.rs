//! Plain YAML, as Kubernetes' own printer writes it, brought into JSON in one go.
//!
//! What a cluster prints is tens of megabytes; as JSON it can be read in part. Aliases, tags and
//! keys that aren't text are left to the full parser.

use granit_parser::{Event, Parser, ScalarStyle};

use super::manifest::Header;

/// Where the parser is: in a sequence, or in a mapping with a key read or yet to come. With it,
/// whether something stands before the next value.
enum Frame {
    Sequence { begun: bool },
    Mapping { begun: bool, key: Option<String> },
}

/// Writes the only document of `text` to `json` and tells what it is; nothing where it is broken or
/// isn't one plain mapping.
pub(super) fn to_json(text: &str, json: &mut String) -> Option<Header> {
    let mut header = Header::default();
    let mut frames: Vec<Frame> = Vec::new();
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        match event.ok()?.0 {
            Event::DocumentStart(..) => documents += 1,
            Event::MappingStart(_, _, tag) => {
                (tag.is_none() && !is_key(&frames)).then_some(())?;
                before_value(&mut frames, json);
                json.push('{');
                frames.push(Frame::Mapping { begun: false, key: None });
            }
            Event::SequenceStart(_, _, tag) => {
                if let [Frame::Mapping { key: Some(key), .. }] = &frames[..] {
                    header.is_list |= key == "items";
                }
                (tag.is_none() && !is_key(&frames)).then_some(())?;
                before_value(&mut frames, json);
                json.push('[');
                frames.push(Frame::Sequence { begun: false });
            }
            Event::MappingEnd | Event::SequenceEnd => {
                let is_mapping = matches!(frames.pop(), Some(Frame::Mapping { .. }));
                json.push(if is_mapping { '}' } else { ']' });
                after_value(&mut frames);
            }
            Event::Alias(_) => return None,
            Event::Scalar(value, style, _, tag) => {
                tag.is_none().then_some(())?;
                let is_deep = frames.len() > 2;
                if let Some(Frame::Mapping { begun, key: key @ None }) = frames.last_mut() {
                    if value == "<<" {
                        return None;
                    }
                    if *begun {
                        json.push(',');
                    }
                    *begun = true;
                    push_text(&value, json);
                    json.push(':');
                    // Deeper down, that there is one is all that matters.
                    *key = Some(if is_deep { String::new() } else { value.into_owned() });
                    continue;
                }
                let literal = (style == ScalarStyle::Plain).then(|| literal(&value)).flatten();
                if let Some(field) = noted(&mut header, &frames) {
                    // Why it may not be anything but text, the full parser says.
                    literal.is_none().then_some(())?;
                    *field = Some(value.as_ref().to_owned());
                }
                before_value(&mut frames, json);
                match literal {
                    Some(literal) => json.push_str(literal),
                    None => push_text(&value, json),
                }
                after_value(&mut frames);
            }
            _ => (),
        }
    }
    // One document that is a mapping: nothing else is an object.
    (documents == 1 && json.ends_with('}')).then_some(header)
}

/// Whether what begins is a key.
fn is_key(frames: &[Frame]) -> bool {
    matches!(frames.last(), Some(Frame::Mapping { key: None, .. }))
}

/// Where what tells an object from others is kept, if the next value is that.
fn noted<'a>(header: &'a mut Header, frames: &[Frame]) -> Option<&'a mut Option<String>> {
    let key = |frame: &'_ Frame| match frame {
        Frame::Mapping { key: Some(key), .. } => Some(key.clone()),
        _ => None,
    };
    let keys: Vec<_> = match frames.len() {
        1 | 2 => frames.iter().filter_map(key).collect(),
        _ => return None,
    };
    match keys.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["apiVersion"] => Some(&mut header.api_version),
        ["kind"] => Some(&mut header.kind),
        ["metadata", "name"] => Some(&mut header.metadata.name),
        ["metadata", "namespace"] => Some(&mut header.metadata.namespace),
        _ => None,
    }
}

fn before_value(frames: &mut [Frame], json: &mut String) {
    if let Some(Frame::Sequence { begun }) = frames.last_mut() {
        if *begun {
            json.push(',');
        }
        *begun = true;
    }
}

fn after_value(frames: &mut [Frame]) {
    if let Some(Frame::Mapping { key, .. }) = frames.last_mut() {
        *key = None;
    }
}

/// What JSON writes for a plain scalar, by the core schema of YAML 1.2: null, true and false, numbers.
/// Nothing: it is text.
fn literal(value: &str) -> Option<&str> {
    match value {
        "" | "~" | "null" | "Null" | "NULL" => Some("null"),
        "true" | "True" | "TRUE" => Some("true"),
        "false" | "False" | "FALSE" => Some("false"),
        _ => is_number(value).then_some(value),
    }
}

/// Whether JSON writes this number the same way.
fn is_number(value: &str) -> bool {
    let starts = value.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    starts && serde_json::from_str::<serde_json::Number>(value).is_ok()
}

fn push_text(value: &str, json: &mut String) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if value.bytes().all(plain) {
        json.push('"');
        json.push_str(value);
        json.push('"');
    } else {
        json.push_str(&serde_json::Value::from(value).to_string());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::to_json;

    fn converted(text: &str) -> Option<Value> {
        let mut json = String::new();
        to_json(text, &mut json)?;
        Some(serde_json::from_str(&json).unwrap())
    }

    #[test]
    fn values_are_what_the_core_schema_says() {
        let text = "a: 1\nb: '1'\nc: true\nd: yes\ne:\nf: 1.5\ng: 007\nh: \"x\\ny\"\ni: |\n  two\n  lines\nj: [1, {k: ~}]\nl: .5\nm: 1e3\nn: -x\n";
        let expected = json!({ "a": 1, "b": "1", "c": true, "d": "yes", "e": null, "f": 1.5,
            "g": "007", "h": "x\ny", "i": "two\nlines\n", "j": [1, { "k": null }], "l": ".5",
            "m": 1e3, "n": "-x" });
        assert_eq!(converted(text), Some(expected));
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_full_parser() {
        for text in [
            "a: &x 1\nb: *x\n",
            "a: !!str 1\n",
            "{}:\n",
            "kind: ~\n",
            "metadata: {name: 7}\n",
            "? [a]\n: b\n",
            "- a\n",
            "a: [\n",
            "",
            "# only\n",
            "a: 1\n---\nb: 2\n",
        ] {
            assert_eq!(converted(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_an_object_is_is_noted() {
        let text =
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  namespace: y\nspec:\n  kind: x\n";
        let header = to_json(text, &mut String::new()).unwrap();
        assert_eq!(header.kind.as_deref(), Some("Pod"));
        assert_eq!(header.metadata.namespace.as_deref(), Some("y"));
        assert!(!header.is_list);
    }
}
