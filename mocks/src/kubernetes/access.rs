//! Who may what, and what else keeps the bundle from having an answer.

use axum::{body::Body, response::Response};
use http::{StatusCode, request::Parts};
use serde_json::{Value, json};

use super::{Cluster, Failure, Kind, Query, Resource, installed::error, json_answer};

impl Cluster {
    /// Refuses a call about objects if the bundle says why it has none. What it says of the whole
    /// kind does not concern those that it does have.
    pub(super) fn admit(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> Result<(), Failure> {
        let kind = &resource.kind;
        let errors = &self.manifest["errors"];
        let nearest = match (namespace, name) {
            (Some(namespace), Some(name)) => Some(format!("{namespace}/{name}")),
            (namespace, name) => namespace.or(name).map(str::to_owned),
        };
        let near = [nearest.as_deref(), namespace];
        let near = near.iter().flatten().find_map(|of| error(errors, kind, Some(of)));
        let is_held = match (namespace, name) {
            (None, None) => false,
            (None, Some(name)) => {
                resource.objects.iter().any(|object| object.key == format!("/{name}"))
            }
            (namespace, _) => resource.within(namespace).next().is_some(),
        };
        let whole = error(errors, kind, None).filter(|_| !is_held);
        if let Some(fault) = near.or(whole) {
            let verb = if name.is_some() { "get" } else { "list" };
            let denied = || Failure::forbidden(kind, verb, &kind.plural, namespace, name);
            return Err(failure_of(fault, denied, &kind.plural));
        }
        if resource.is_collected { Ok(()) } else { Err(Failure::not_held(&kind.plural)) }
    }

    /// Refuses a call about a pod's log or processes if the bundle says why it has no answer.
    pub(super) fn admit_to_pod(
        &self,
        places: &[String],
        verb: &str,
        subresource: &str,
        (namespace, pod): (&str, &str),
    ) -> Result<(), Failure> {
        let errors = &self.manifest["errors"];
        let Some(fault) = places.iter().find_map(|place| errors.get(place)) else { return Ok(()) };
        let kind = pods();
        let resource = format!("pods/{subresource}");
        let denied = || Failure::forbidden(&kind, verb, &resource, Some(namespace), Some(pod));
        Err(failure_of(fault, denied, &resource))
    }

    /// Whether the client may do what it asks about: all but what the bundle says is denied.
    pub(super) async fn review(&self, head: &Parts, body: Body) -> Result<Response, Failure> {
        Query::of(head, &[])?;
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap_or_default();
        let mut review: Value = serde_json::from_slice(&body).unwrap_or_default();
        let asked = &review["spec"]["resourceAttributes"];
        let text = |field: &str| asked[field].as_str().unwrap_or_default().to_owned();
        if review["kind"] != "SelfSubjectAccessReview" || !review["spec"].is_object() {
            return Err(Failure::bad_parameter("the body is no SelfSubjectAccessReview"));
        }
        let kind = Kind { group: text("group"), plural: text("resource"), ..pods() };
        let reads = ["get", "list", "watch"].contains(&&*text("verb"));
        let namespace = Some(text("namespace")).filter(|namespace| !namespace.is_empty());
        let is_denied = [namespace.as_deref(), None].iter().any(|of| {
            let fault = error(&self.manifest["errors"], &kind, *of);
            fault.is_some_and(|fault| fault.get("denied").is_some())
        });
        let is_allowed = !(reads && text("subresource").is_empty() && is_denied);
        review["status"] = json!({ "allowed": is_allowed });
        let mut response = json_answer(&review);
        *response.status_mut() = StatusCode::CREATED;
        Ok(response)
    }
}

/// What a server says where a run has met this fault.
fn failure_of(fault: &Value, denied: impl FnOnce() -> Failure, what: &str) -> Failure {
    if fault.get("denied").is_some() {
        return denied();
    }
    if fault.get("absent").is_some() {
        return Failure::no_such_resource();
    }
    let unreachable = fault.get("unreachable").map(|says| says.as_str().unwrap_or_default());
    match unreachable {
        Some(says) => Failure::unavailable(says),
        None if fault.get("timedOut").is_some() => Failure::unavailable("timed out"),
        None => Failure::not_held(what),
    }
}

/// The kind that has subresources here.
pub(super) fn pods() -> Kind {
    Kind {
        group: String::new(),
        version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        plural: "pods".to_owned(),
        namespaced: true,
    }
}
