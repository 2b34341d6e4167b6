//! Whether a request is one that a service would take.

use serde_json::Value;

use super::shape::{Kind, Shape};

/// What is wrong with a request, if anything is.
pub(super) fn fault(shape: Shape<'_>, value: &Value, at: &str) -> Option<String> {
    let below = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    match (shape.kind(), value) {
        (Kind::Structure, Value::Object(fields)) => {
            let missing = shape.required().find(|name| !fields.contains_key(*name));
            if let Some(name) = missing {
                return Some(format!("parameter {} is missing", below(name)));
            }
            fields.iter().find_map(|(name, value)| match shape.member(name) {
                Some(member) => fault(member, value, &below(name)),
                None => Some(format!("no parameter {}", below(name))),
            })
        }
        (Kind::List, Value::Array(items)) => {
            if !admits(shape, items.len()) {
                return Some(format!("'{at}': {} are too many or too few", items.len()));
            }
            items.iter().find_map(|item| fault(shape.item(), item, at))
        }
        (Kind::Map, Value::Object(fields)) => {
            fields.iter().find_map(|(name, value)| fault(shape.value(), value, &below(name)))
        }
        (kind, value) => {
            let fits = match (kind, value) {
                (Kind::Text, Value::String(text)) => {
                    let known = shape.values().is_none_or(|all| all.iter().any(|one| one == text));
                    known && admits(shape, text.chars().count())
                }
                (Kind::Whole, value) => value.as_i64().is_some_and(|number| shape.admits(number)),
                (Kind::Number, value) => value.is_number(),
                (Kind::Boolean, value) => value.is_boolean(),
                (Kind::Time, value) => value.is_number() || value.is_string(),
                (Kind::Bytes, value) => value.is_string(),
                (Kind::Document, _) => true,
                _ => false,
            };
            (!fits).then(|| format!("'{at}' can't be {value}"))
        }
    }
}

fn admits(shape: Shape<'_>, count: usize) -> bool {
    i64::try_from(count).is_ok_and(|count| shape.admits(count))
}
