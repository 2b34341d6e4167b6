//! Answers in XML.

use serde_json::Value;

use super::shape::{Kind, Shape};

/// An element of what `inside` writes.
pub(crate) fn element(name: &str, inside: &str) -> String {
    format!("<{name}>{inside}</{name}>")
}

/// A text without what XML would take for markup.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// What is inside the element of a value that fits its shape.
pub(super) fn content(shape: Shape<'_>, value: &Value) -> String {
    match (shape.kind(), value) {
        (Kind::Structure, Value::Object(fields)) => {
            let known = fields.iter().filter_map(|(name, value)| {
                let member = shape.member(name)?;
                Some(named(member.wire_name().unwrap_or(name), member, value))
            });
            known.collect()
        }
        (Kind::List, Value::Array(items)) => {
            let name = shape.item().wire_name().unwrap_or("member");
            items.iter().map(|item| element(name, &content(shape.item(), item))).collect()
        }
        (Kind::Map, Value::Object(fields)) => {
            let entry = |(name, value): (&String, &Value)| {
                let key = element(shape.key().wire_name().unwrap_or("key"), &escape(name));
                let value = content(shape.value(), value);
                let value = element(shape.value().wire_name().unwrap_or("value"), &value);
                element("entry", &(key + &value))
            };
            fields.iter().map(entry).collect()
        }
        (_, Value::String(text)) => escape(text),
        (_, value) => value.to_string(),
    }
}

fn named(name: &str, shape: Shape<'_>, value: &Value) -> String {
    match value {
        Value::Array(items) if shape.flattened() => {
            let name = shape.item().wire_name().unwrap_or(name);
            items.iter().map(|item| element(name, &content(shape.item(), item))).collect()
        }
        value => element(name, &content(shape, value)),
    }
}
