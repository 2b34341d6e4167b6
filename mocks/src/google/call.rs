use std::collections::BTreeMap;

use serde_json::Value;

use super::{documents::Route, failure::Failure};

/// A request that a real server would take.
pub(super) struct Call<'a> {
    pub(super) route: Route<'a>,
    /// The path's segments from behind the project on.
    pub(super) path: Vec<&'a str>,
    query: BTreeMap<String, String>,
    /// Null where the method takes none.
    pub(super) body: Value,
}

impl<'a> Call<'a> {
    /// Checks a request against the documents.
    pub(super) fn check(
        route: Route<'a>,
        path: &'a str,
        query: &str,
        body: &[u8],
    ) -> Result<Self, Failure> {
        let query = check_query(&route, query)?;
        let body = check_body(&route, body)?;
        let behind = path.split_once("/projects/").map_or(path, |(_, rest)| rest);
        let path = behind.split('/').skip(1).collect();
        Ok(Self { route, path, query, body })
    }

    /// A query parameter.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// The project in its path.
    pub(super) fn project(&self) -> &str {
        self.route.project().unwrap_or_default()
    }

    /// What it is about, from `projects/` on.
    pub(super) fn resource(&self) -> String {
        format!("projects/{}/{}", self.project(), self.path.join("/"))
    }

    /// The method is the API's, and nothing here answers it.
    pub(super) fn unanswered(&self) -> Failure {
        Failure::unknown(format!("no answer to {} here", self.route.method.id))
    }

    /// Refuses what would have to change the answer and doesn't.
    pub(super) fn refuse(&self, names: &[&str]) -> Result<(), Failure> {
        let is_said = |name: &&&str| self.query(name).is_some_and(|value| !value.is_empty());
        match names.iter().find(is_said) {
            Some(name) => Err(Failure::unknown(format!("{name} is not honoured here"))),
            None => Ok(()),
        }
    }
}

fn check_query(route: &Route<'_>, query: &str) -> Result<BTreeMap<String, String>, Failure> {
    let (own, general) = (&route.method.parameters, &route.api.parameters);
    let mut found = BTreeMap::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        // Every system parameter may also be written with a dollar sign; the version is one that
        // the documents keep elsewhere (Google Cloud documentation, "System parameters").
        let bare = name.strip_prefix('$').filter(|bare| general.contains_key(*bare));
        let versioned = name == "$apiVersion" && route.method.versioned;
        match own.get(&*name) {
            Some(parameter) => check_value(&name, parameter, &value)?,
            None if versioned || bare.is_some() || general.contains_key(&*name) => {}
            None => return Err(Failure::Unknown(format!("no query parameter {name}"))),
        }
        found.insert(name.into_owned(), value.into_owned());
    }
    let required = own.iter().filter(|(_, parameter)| parameter["required"] == true);
    match required.map(|(name, _)| name).find(|name| !found.contains_key(*name)) {
        Some(name) => Err(Failure::Unknown(format!("query parameter {name} is missing"))),
        None => Ok(found),
    }
}

fn check_value(name: &str, parameter: &Value, value: &str) -> Result<(), Failure> {
    let bound = |end: &str| parameter[end].as_str().and_then(|bound| bound.parse::<i64>().ok());
    let fits = match parameter["type"].as_str() {
        Some("integer") => value.parse::<i64>().is_ok_and(|number| {
            bound("minimum").is_none_or(|least| least <= number)
                && bound("maximum").is_none_or(|most| number <= most)
        }),
        Some("boolean") => ["true", "false"].contains(&value),
        _ => true,
    };
    let invalid = || format!("Invalid value for field '{name}': '{value}'.");
    if fits { Ok(()) } else { Err(Failure::Malformed(invalid())) }
}

fn check_body(route: &Route<'_>, body: &[u8]) -> Result<Value, Failure> {
    let schema = &route.method.request;
    if body.is_empty() {
        return Ok(Value::Null);
    }
    if schema.is_empty() {
        return Err(Failure::Unknown(format!("{} takes no body", route.method.id)));
    }
    let request = serde_json::from_slice(body)
        .map_err(|error| Failure::Malformed(format!("Invalid JSON payload received: {error}")))?;
    match route.api.schemas.fault(schema, &request) {
        Some(fault) => Err(Failure::Malformed(fault)),
        None => Ok(request),
    }
}
