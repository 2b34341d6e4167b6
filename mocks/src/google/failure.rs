use http::StatusCode;
use serde_json::{Value, json};

/// Why a call has no answer, said as Google's APIs say it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// No server of Google's, or not this one, would know what to do with it. It is noted.
    Unknown(String),
    /// The request breaks the API's schema. It is noted.
    Malformed(String),
    /// The request makes no sense for what is there.
    Invalid(String),
    /// The bundle doesn't hold the answer.
    NotHeld(String),
    /// There is no such thing; its path, from `projects/` on.
    NotFound(String),
    /// The permission that is missing.
    Denied(String),
    /// The token in use is not for this method.
    OutOfScope,
    /// The service is out of order.
    Unavailable,
}

impl Failure {
    pub(super) fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown(why.into())
    }

    /// What a place's entry in `errors` stands for.
    pub(super) fn of_fault(place: &str, fault: &Value) -> Self {
        if let Some(permission) = fault["denied"]["permission"].as_str() {
            Self::Denied(permission.to_owned())
        } else if let Some(what) = fault.get("absent") {
            Self::NotFound(what.as_str().unwrap_or(place).to_owned())
        } else if fault.get("notCollected").is_some() {
            Self::NotHeld(place.to_owned())
        } else {
            Self::Unavailable
        }
    }

    /// What to note, where the caller is to blame.
    pub(super) fn unknown_because(&self) -> Option<&str> {
        match self {
            Self::Unknown(why) | Self::Malformed(why) => Some(why),
            _ => None,
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Unknown(_) | Self::NotHeld(_) => StatusCode::NOT_IMPLEMENTED,
            Self::Malformed(_) | Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Denied(_) | Self::OutOfScope => StatusCode::FORBIDDEN,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The body. Compute Engine gives a reason and no status, Cloud Logging and Certificate Manager
    /// a status and details, the others a reason and a status.
    pub(super) fn body(&self, api: &str, project: &str) -> Value {
        let (reason, status) = match self {
            Self::Unknown(_) | Self::NotHeld(_) => ("notImplemented", "UNIMPLEMENTED"),
            Self::Malformed(_) | Self::Invalid(_) => ("invalid", "INVALID_ARGUMENT"),
            Self::NotFound(_) => ("notFound", "NOT_FOUND"),
            Self::Denied(_) => ("forbidden", "PERMISSION_DENIED"),
            Self::OutOfScope => ("insufficientPermissions", "PERMISSION_DENIED"),
            Self::Unavailable => ("backendError", "UNAVAILABLE"),
        };
        let message = self.message(api, project);
        let mut error = json!({ "code": self.status().as_u16(), "message": message });
        let has_details = ["certificatemanager", "logging"].contains(&api);
        if !has_details {
            error["errors"] = json!([{ "message": message, "domain": "global", "reason": reason }]);
        }
        if api != "compute" {
            error["status"] = json!(status);
        }
        if let (Self::Denied(permission), true) = (self, has_details) {
            error["details"] = json!([{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "IAM_PERMISSION_DENIED",
                "domain": "iam.googleapis.com",
                "metadata": { "permission": permission },
            }]);
        }
        json!({ "error": error })
    }

    fn message(&self, api: &str, project: &str) -> String {
        match (self, api) {
            (Self::Unknown(why) | Self::Malformed(why) | Self::Invalid(why), _) => why.clone(),
            (Self::NotHeld(place), _) => format!("the bundle holds no {place}"),
            (Self::NotFound(path), _) => format!("The resource '{path}' was not found"),
            (Self::Denied(permission), "compute") => {
                format!("Required '{permission}' permission for 'projects/{project}'")
            }
            (Self::Denied(permission), "container") => {
                format!("Required \"{permission}\" permission(s) for \"projects/{project}\".")
            }
            (Self::Denied(_), "dns") => "Forbidden".to_owned(),
            (Self::Denied(permission), _) => {
                format!("Permission '{permission}' denied on resource (or it may not exist).")
            }
            (Self::OutOfScope, _) => "Request had insufficient authentication scopes.".to_owned(),
            (Self::Unavailable, _) => "The service is currently unavailable.".to_owned(),
        }
    }
}
