//! How Google's answers spell what Rust has types for.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

/// A word of an enum. gcloud prints the word, Google's client library its number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Word {
    Text(String),
    Number(i32),
}

/// The word that is meant; `name` knows those that have a number.
pub(crate) fn word<'de, D: Deserializer<'de>>(
    from: D,
    name: impl FnOnce(i32) -> Option<String>,
) -> Result<String, D::Error> {
    Ok(match Option::<Word>::deserialize(from)? {
        Some(Word::Text(text)) => text,
        Some(Word::Number(number)) => name(number).unwrap_or_else(|| number.to_string()),
        None => String::new(),
    })
}

/// Declares how the words of an enum of the client library are read.
macro_rules! words {
    ($($name:ident: $type:path),+ $(,)?) => { $(
        fn $name<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
            $crate::facts::wire::word(from, |number| {
                <$type>::from(number).name().map(str::to_owned)
            })
        }
    )+ };
}

pub(crate) use words;

/// A time; what isn't one is none, as what hangs on it is better not judged than wrongly.
pub(crate) fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.and_then(|text| text.parse().ok()))
}

/// For `skip_serializing_if`.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks like that")]
pub(crate) fn is_false(value: &bool) -> bool {
    !value
}
