use http::request::Parts;
use url::form_urlencoded;

use super::Failure;

/// The parameters of a call.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the parameters, which must be among those known.
    pub(super) fn of(head: &Parts, known: &[&str]) -> Result<Self, Failure> {
        let query = head.uri.query().unwrap_or_default();
        let all: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        match all.iter().find(|(name, _)| !known.contains(&&**name)) {
            Some((name, _)) => Err(Failure::unknown(format!("no such parameter: {name}"))),
            None => Ok(Self(all)),
        }
    }

    /// One that is there and not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next().filter(|value| !value.is_empty())
    }

    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(of, _)| of == name).map(|(_, value)| &**value)
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<usize>, Failure> {
        let wrong = |_| Failure::bad_parameter(format!("{name} is not a number"));
        self.get(name).map(|text| text.parse().map_err(wrong)).transpose()
    }

    pub(super) fn is_set(&self, name: &str) -> bool {
        matches!(self.get(name), Some("true" | "1"))
    }
}
