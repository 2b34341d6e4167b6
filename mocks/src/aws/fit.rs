//! What a bundle has, as a model says it.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use url::form_urlencoded::byte_serialize;

use super::shape::{Kind, Shape};

/// Brings an answer into the shape that a service gives it.
pub(super) struct Fit {
    /// Whether JSON in a text is written as in a URL, as IAM does with policies.
    pub(super) encoded: bool,
    /// The values that have no such type.
    pub(super) wrong: Vec<String>,
}

impl Fit {
    /// A value without what the model doesn't know, and without what it can't be.
    pub(super) fn fit(&mut self, shape: Shape<'_>, value: Value, at: &str) -> Option<Value> {
        let below = |name: &str| format!("{at}.{name}");
        let fitting = match (shape.kind(), value) {
            (_, Value::Null) => return None,
            (Kind::Structure, Value::Object(fields)) => {
                let known = fields.into_iter().filter_map(|(name, value)| {
                    let value = self.fit(shape.member(&name)?, value, &below(&name))?;
                    Some((name, value))
                });
                Ok(Value::Object(known.collect()))
            }
            (Kind::List, Value::Array(items)) => {
                let fitting = items.into_iter().filter_map(|item| self.fit(shape.item(), item, at));
                Ok(fitting.collect())
            }
            (Kind::Map, Value::Object(fields)) => {
                let fitting = fields.into_iter().filter_map(|(name, value)| {
                    let value = self.fit(shape.value(), value, &below(&name))?;
                    Some((name, value))
                });
                Ok(Value::Object(fitting.collect::<Map<_, _>>()))
            }
            // The AWS CLI shows what is in a policy or a template.
            (Kind::Text, value @ (Value::Object(_) | Value::Array(_))) => {
                Ok(json!(self.document(&value.to_string())))
            }
            (Kind::Time, value) => moment(&value).map(|at| json!(at.to_string())).ok_or(value),
            (Kind::Whole, value) if value.is_i64() || value.is_u64() => Ok(value),
            (Kind::Text | Kind::Bytes, value @ Value::String(_))
            | (Kind::Number, value @ Value::Number(_))
            | (Kind::Boolean, value @ Value::Bool(_))
            | (Kind::Document, value) => Ok(value),
            (_, value) => Err(value),
        };
        fitting.map_err(|value| self.wrong.push(format!("{at} can't be {value}"))).ok()
    }

    fn document(&self, text: &str) -> String {
        if self.encoded {
            // In RFC 3986, which IAM follows, a space is no plus.
            return byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20");
        }
        text.to_owned()
    }
}

/// A point in time; older versions of the AWS CLI print some as seconds.
fn moment(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => text.parse().ok(),
        #[allow(clippy::cast_possible_truncation, reason = "no date is that far away")]
        value => {
            let milliseconds = (value.as_f64()? * 1000.0).round() as i64;
            Timestamp::from_millisecond(milliseconds).ok()
        }
    }
}
