//! Objects: one by name, or many page by page.

use std::sync::atomic::Ordering;

use axum::response::Response;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::request::Parts;
use serde_json::{Value, json};

use super::{Cluster, Failure, Query, Resource, json_answer, select::Selectors};

const PARAMETERS: [&str; 8] = [
    "limit",
    "continue",
    "labelSelector",
    "fieldSelector",
    "resourceVersion",
    "resourceVersionMatch",
    "timeoutSeconds",
    "pretty",
];
/// The version of all there is.
const NOW: i64 = 1000;

/// Where a list goes on, as a client carries it around.
struct Token {
    /// The version that the list is of; none after it has expired.
    version: Option<i64>,
    /// The key of the last object before.
    after: String,
}

impl Token {
    fn read(text: &str) -> Option<Self> {
        let text = URL_SAFE_NO_PAD.decode(text).ok()?;
        let token: Value = serde_json::from_slice(&text).ok()?;
        let version = Some(token["rv"].as_i64()?).filter(|version| *version >= 0);
        Some(Self { version, after: token["start"].as_str()?.to_owned() })
    }

    fn write(&self) -> String {
        let version = self.version.unwrap_or(-1);
        let token = json!({ "v": "meta.k8s.io/v1", "rv": version, "start": self.after });
        URL_SAFE_NO_PAD.encode(token.to_string())
    }
}

impl Cluster {
    pub(super) fn get(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
        head: &Parts,
    ) -> Result<Response, Failure> {
        Query::of(head, &["resourceVersion", "pretty"])?;
        self.admit(resource, namespace, Some(name))?;
        let key = format!("{}/{name}", namespace.unwrap_or_default());
        match resource.objects.iter().find(|object| object.key == key) {
            Some(object) => Ok(json_answer(&object.body)),
            None => Err(Failure::not_found(&resource.kind, name)),
        }
    }

    pub(super) fn list(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        head: &Parts,
    ) -> Result<Response, Failure> {
        let query = Query::of(head, &PARAMETERS)?;
        let selectors = Selectors::of(&query, &resource.kind)?;
        let limit = self.limit(&query)?;
        self.admit(resource, namespace, None)?;
        let after = self.resume(&query)?;
        let mut rest: Vec<_> = resource
            .within(namespace)
            .filter(|object| after.as_ref().is_none_or(|after| object.key > *after))
            .filter(|object| selectors.select(&object.body))
            .collect();
        let mut metadata = json!({ "resourceVersion": NOW.to_string() });
        if let Some(limit) = limit.filter(|limit| *limit < rest.len()) {
            let remaining = rest.split_off(limit).len();
            let after = rest.last().map(|object| object.key.clone()).unwrap_or_default();
            metadata["continue"] = json!(Token { version: Some(NOW), after }.write());
            if selectors.is_empty() {
                metadata["remainingItemCount"] = json!(remaining);
            }
        }
        let items: Vec<_> = rest.into_iter().map(|object| resource.as_item(object)).collect();
        Ok(json_answer(&json!({
            "kind": format!("{}List", resource.kind.kind),
            "apiVersion": resource.kind.api_version(),
            "metadata": metadata,
            "items": items,
        })))
    }

    /// How many objects to answer with, if not with all.
    fn limit(&self, query: &Query) -> Result<Option<usize>, Failure> {
        let limit = query.number("limit")?.filter(|limit| *limit > 0);
        // What the server has in memory is not cut into pages (client-go, `reflector.go`).
        let from_memory = query.get("resourceVersion") == Some("0");
        if query.get("continue").is_none() && from_memory {
            return Ok(None);
        }
        Ok(limit.map(|limit| self.page_size.map_or(limit, |largest| largest.clamp(1, limit))))
    }

    /// The key after which a list goes on.
    fn resume(&self, query: &Query) -> Result<Option<String>, Failure> {
        let version = query.get("resourceVersion");
        if query.get("resourceVersionMatch").is_some() && version.is_none() {
            let message = "resourceVersionMatch is forbidden unless resourceVersion is provided";
            return Err(Failure::bad_parameter(message));
        }
        let Some(text) = query.get("continue") else { return Ok(None) };
        if version.is_some_and(|version| version != "0") {
            let message = "specifying resource version is not allowed when using continue";
            return Err(Failure::bad_parameter(message));
        }
        let Some(token) = Token::read(text) else {
            return Err(Failure::bad_parameter("continue key is not valid"));
        };
        let next = |left: usize| left.checked_sub(1);
        let order = Ordering::Relaxed;
        if token.version.is_some() && self.expiring.fetch_update(order, order, next).is_ok() {
            return Err(Failure::expired(Token { version: None, ..token }.write()));
        }
        Ok(Some(token.after))
    }
}
