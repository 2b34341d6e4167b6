use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::{Kind, json_answer};

/// Why a call is not answered as hoped: a Kubernetes `Status`.
#[derive(Debug)]
pub(super) struct Failure {
    code: StatusCode,
    reason: &'static str,
    pub(super) message: String,
    details: Value,
    /// The token with which an expired list goes on.
    resume: Option<String>,
    /// A call that no right client makes.
    pub(super) is_unknown: bool,
}

impl Failure {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        let (message, details) = (message.into(), json!({}));
        Self { code, reason, message, details, resume: None, is_unknown: false }
    }

    /// A route or a parameter that this server does not know.
    pub(super) fn unknown(what: impl Into<String>) -> Self {
        let failure = Self::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", what);
        Self { is_unknown: true, ..failure }
    }

    /// A parameter that a real server would not take either.
    pub(super) fn bad_parameter(what: impl Into<String>) -> Self {
        Self { is_unknown: true, ..Self::bad_request(what) }
    }

    /// The bundle doesn't hold the answer.
    pub(super) fn not_held(what: &str) -> Self {
        let message = format!("the bundle holds no {what}");
        Self::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", message)
    }

    /// The bundle doesn't hold what the kubelet would have said.
    pub(super) fn silent_kubelet(what: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", what)
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
    }

    pub(super) fn not_found(kind: &Kind, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", kind.resource());
        let details = details(kind, Some(name));
        Self { details, ..Self::new(StatusCode::NOT_FOUND, "NotFound", message) }
    }

    /// The group version is there, and nothing of that name in it.
    pub(super) fn no_such_resource() -> Self {
        let message = "the server could not find the requested resource";
        Self::new(StatusCode::NOT_FOUND, "NotFound", message)
    }

    /// As the API server's RBAC authorizer says it: `verb` is of `resource`, which is the plural or a
    /// subresource of it.
    pub(super) fn forbidden(
        kind: &Kind,
        verb: &str,
        resource: &str,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> Self {
        let what = match name {
            Some(name) => format!("{} \"{name}\"", kind.resource()),
            None => kind.resource(),
        };
        let place = match namespace {
            Some(namespace) => format!("in the namespace \"{namespace}\""),
            None => "at the cluster scope".to_owned(),
        };
        let message = format!(
            "{what} is forbidden: User \"kfcheck\" cannot {verb} resource \"{resource}\" in API \
             group \"{}\" {place}",
            kind.group
        );
        let details = details(kind, name);
        Self { details, ..Self::new(StatusCode::FORBIDDEN, "Forbidden", message) }
    }

    /// The token is too old; the other one goes on from there (Kubernetes documentation, "Kubernetes
    /// API Concepts").
    pub(super) fn expired(resume: String) -> Self {
        let message = "The provided continue parameter is too old to display a consistent list \
                       result. You can start a new list without the continue parameter, or use the \
                       continue token in this response to retrieve the remainder of the results.";
        let failure = Self::new(StatusCode::GONE, "Expired", message);
        Self { resume: Some(resume), ..failure }
    }

    pub(super) fn into_response(self) -> Response {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": self.details,
            "code": self.code.as_u16(),
        });
        if let Some(resume) = self.resume {
            status["metadata"]["continue"] = json!(resume);
        }
        let mut response = json_answer(&status);
        *response.status_mut() = self.code;
        response
    }
}

fn details(kind: &Kind, name: Option<&str>) -> Value {
    let mut details = json!({ "kind": kind.plural });
    if !kind.group.is_empty() {
        details["group"] = json!(kind.group);
    }
    if let Some(name) = name {
        details["name"] = json!(name);
    }
    details
}
