//! Answers in JSON.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::shape::{Kind, Shape};

/// A value that fits its shape, as the JSON protocols write it.
pub(super) fn write(shape: Shape<'_>, value: Value) -> Value {
    match (shape.kind(), value) {
        (Kind::Structure, Value::Object(fields)) => {
            let fields = fields.into_iter().filter_map(|(name, value)| {
                let member = shape.member(&name)?;
                let wire_name = member.wire_name().unwrap_or(&name).to_owned();
                Some((wire_name, write(member, value)))
            });
            Value::Object(fields.collect())
        }
        (Kind::List, Value::Array(items)) => {
            items.into_iter().map(|item| write(shape.item(), item)).collect()
        }
        (Kind::Map, Value::Object(fields)) => {
            let write = |(name, value)| (name, write(shape.value(), value));
            Value::Object(fields.into_iter().map(write).collect())
        }
        (Kind::Time, Value::String(text)) => match text.parse::<Timestamp>() {
            Ok(at) if at.subsec_nanosecond() == 0 => json!(at.as_second()),
            #[allow(clippy::cast_precision_loss, reason = "milliseconds of our time fit")]
            Ok(at) => json!(at.as_millisecond() as f64 / 1000.0),
            Err(_) => json!(text),
        },
        (_, value) => value,
    }
}
