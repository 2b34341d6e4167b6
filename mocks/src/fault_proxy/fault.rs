use std::time::Duration;

use http::{Response, header::CONTENT_TYPE};
use serde_json::{Value, json};

use super::{Api, Body, whole};
use crate::aws::{
    wire::{Errand, error},
    words,
};

/// What goes wrong with a call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The answer takes longer.
    Delay(Duration),
    /// A status, and nothing else.
    Status(u16),
    /// An error of Google's REST APIs.
    Google {
        /// The status.
        status: u16,
        /// As Google spells it: `forbidden`, `rateLimitExceeded`, `accessNotConfigured`,
        /// `BILLING_DISABLED`, …
        reason: &'static str,
        /// For people.
        message: String,
    },
    /// An error of a Kubernetes API server: a `Status`.
    Kubernetes {
        /// The status.
        status: u16,
        /// As Kubernetes spells it: `Forbidden`, `TooManyRequests`, …
        reason: &'static str,
        /// For people.
        message: String,
    },
    /// An error of AWS's, written as the service that is asked writes it.
    Aws {
        /// The status.
        status: u16,
        /// As AWS spells it: `AccessDenied`, `AccessDeniedException`, …
        code: &'static str,
        /// For people.
        message: String,
    },
    /// The AWS service that is asked says to slow down, in its own words.
    AwsThrottling,
    /// The AWS service that is asked says that the credentials are no longer good.
    AwsExpiredToken,
    /// The AWS service that is asked says that this may not be asked.
    AwsAccessDenied,
    /// The API says that this may not be asked, in its own words.
    Denied(Api),
    /// Status 200, and a page for people.
    Page,
    /// Status 200, and a good document that is of something else.
    WrongShape,
    /// Status 200, and a good document of so many bytes that is of something else.
    Huge(usize),
    /// A status, and after how many seconds to ask again.
    RetryAfter(u16, u32),
    /// The true answer, cut off in the middle of its body.
    Truncate,
    /// Status 200, and a body that is no JSON although it says so.
    Malformed,
    /// No answer ever.
    Hang,
    /// The connection is reset instead of an answer.
    Reset,
}

impl Fault {
    /// How an API says that whoever asks lacks a permission.
    pub(super) fn denial(api: Api, permission: &str) -> Self {
        match api {
            Api::Aws => Self::AwsAccessDenied,
            Api::Google => Self::Google {
                status: 403,
                reason: "forbidden",
                message: format!("Required '{permission}' permission for 'projects/ml-prod'"),
            },
            Api::Kubernetes => {
                let (verb, resource) = permission.split_once(' ').unwrap_or((permission, ""));
                let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
                let message = format!(
                    "{resource} is forbidden: User \"kfcheck\" cannot {verb} resource \"{plural}\" \
                     in API group \"{group}\" at the cluster scope"
                );
                Self::Kubernetes { status: 403, reason: "Forbidden", message }
            }
        }
    }

    /// The answer of a fault that is one, to somebody on that errand at AWS.
    pub(super) fn answer(self, errand: &Errand) -> http::Result<Response<Body>> {
        let (status, content_type, body) = match self {
            Self::Google { status, reason, message } => {
                (status, "application/json; charset=UTF-8", google(status, reason, &message))
            }
            Self::Kubernetes { status, reason, message } => {
                (status, "application/json", kubernetes(status, reason, &message))
            }
            Self::Aws { status, code, message } => {
                return Ok(error(errand.format(), status, code, &message).map(whole));
            }
            Self::AwsThrottling => return Ok(said(errand, words::throttled(errand))),
            Self::AwsExpiredToken => return Ok(said(errand, words::expired(errand))),
            Self::AwsAccessDenied => {
                let (status, code) = words::denied(errand.format());
                let user = "arn:aws:iam::123456789012:user/kfcheck";
                let message = words::denial(errand.format(), &errand.to_string(), user);
                return Ok(said(errand, (status, code, &message)));
            }
            Self::Page => (
                200,
                "text/html; charset=utf-8",
                "<!doctype html><title>Sign in</title><p>Sign in to go on.".to_owned(),
            ),
            Self::WrongShape => return Ok(of_something_else(errand, "")),
            Self::Huge(size) => return Ok(of_something_else(errand, &"x".repeat(size))),
            Self::Malformed => (200, "application/json", r#"{"items": [{"#.to_owned()),
            Self::RetryAfter(status, seconds) => {
                let retry = Response::builder().status(status).header("retry-after", seconds);
                return retry.body(whole(""));
            }
            Self::Status(status) => return Response::builder().status(status).body(whole("")),
            Self::Delay(_) | Self::Truncate | Self::Hang | Self::Reset | Self::Denied(_) => {
                return Response::builder().body(whole(""));
            }
        };
        Response::builder().status(status).header(CONTENT_TYPE, content_type).body(whole(body))
    }
}

/// As in <https://cloud.google.com/apis/design/errors>; the list `errors` is what compute and other
/// older APIs have, the reasons in `details` are those of `google/api/error_reason.proto`.
fn google(status: u16, reason: &str, message: &str) -> String {
    let (domain, older, newer) = match reason {
        "accessNotConfigured" | "SERVICE_DISABLED" => {
            ("usageLimits", "accessNotConfigured", Some("SERVICE_DISABLED"))
        }
        "rateLimitExceeded" | "RATE_LIMIT_EXCEEDED" => {
            ("usageLimits", "rateLimitExceeded", Some("RATE_LIMIT_EXCEEDED"))
        }
        "userRateLimitExceeded" | "quotaExceeded" | "dailyLimitExceeded" => {
            ("usageLimits", reason, None)
        }
        "BILLING_DISABLED" => ("global", "forbidden", Some("BILLING_DISABLED")),
        _ => ("global", reason, None),
    };
    let mut error = json!({
        "code": status,
        "message": message,
        "errors": [{ "message": message, "domain": domain, "reason": older }],
    });
    if let Some(code) = google_status(status) {
        error["status"] = json!(code);
    }
    if let Some(reason) = newer {
        error["details"] = json!([{
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": reason,
            "domain": "googleapis.com",
            "metadata": { "service": "compute.googleapis.com", "consumer": "projects/ml-prod" },
        }]);
    }
    json!({ "error": error }).to_string()
}

/// The code that goes with a status, as in `google/rpc/code.proto`.
fn google_status(status: u16) -> Option<&'static str> {
    Some(match status {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        500 => "INTERNAL",
        501 => "UNIMPLEMENTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => return None,
    })
}

fn kubernetes(status: u16, reason: &str, message: &str) -> String {
    let body: Value = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": status,
    });
    body.to_string()
}

fn said(errand: &Errand, (status, code, message): (u16, &str, &str)) -> Response<Body> {
    error(errand.format(), status, code, message).map(whole)
}

/// What answers in JSON have their contents in.
const LISTS: [&str; 22] = [
    "Certificate",
    "CertificateSummaryList",
    "DomainDescription",
    "UserPool",
    "UserPoolClient",
    "certificateMapEntries",
    "certificateMaps",
    "certificates",
    "cluster",
    "clusters",
    "entries",
    "firewalls",
    "healthStatus",
    "items",
    "kind",
    "managedZones",
    "metadata",
    "nodegroup",
    "nodegroups",
    "operations",
    "result",
    "rrsets",
];

/// A document that none of the APIs would send: its lists are none.
fn of_something_else(errand: &Errand, filler: &str) -> Response<Body> {
    let (content_type, body) = if errand.is_xml() {
        ("text/xml", format!("<SomethingElse><it>{filler}</it></SomethingElse>"))
    } else {
        let fields = LISTS.map(|field| format!("\"{field}\": 7,"));
        ("application/json", format!("{{ {} \"it\": \"{filler}\" }}", fields.concat()))
    };
    let mut response = Response::new(whole(body));
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn google_names_a_disabled_api_in_both_ways() {
        let body: Value =
            serde_json::from_str(&google(403, "accessNotConfigured", "not used before")).unwrap();
        let error = &body["error"];
        assert_eq!(error["errors"][0]["domain"], "usageLimits");
        assert_eq!(error["errors"][0]["reason"], "accessNotConfigured");
        assert_eq!(error["details"][0]["reason"], "SERVICE_DISABLED");
        assert_eq!(error["status"], "PERMISSION_DENIED");
    }

    #[test]
    fn a_lack_of_permission_has_no_details_in_compute() {
        let body: Value = serde_json::from_str(&google(403, "forbidden", "no")).unwrap();
        assert_eq!(body["error"]["errors"][0]["domain"], "global");
        assert_eq!(body["error"].get("details"), None);
    }

    #[test]
    fn each_service_of_aws_has_its_own_words() {
        let said = |service: &str, fault: Fault| {
            let errand = Errand { service: service.to_owned(), action: "Ask".to_owned() };
            let answer = fault.answer(&errand).unwrap();
            let header = answer.headers().get("x-amzn-errortype").cloned();
            (answer.status().as_u16(), header.map(|code| code.to_str().unwrap().to_owned()))
        };
        assert_eq!(said("iam", Fault::AwsThrottling), (400, None));
        assert_eq!(said("ec2", Fault::AwsThrottling), (503, None));
        let named = |status, code: &str| (status, Some(code.to_owned()));
        assert_eq!(said("acm", Fault::AwsThrottling), named(400, "ThrottlingException"));
        assert_eq!(
            said("cognito-idp", Fault::AwsThrottling),
            named(400, "TooManyRequestsException")
        );
        assert_eq!(said("eks", Fault::AwsThrottling), named(429, "ThrottlingException"));
        assert_eq!(said("eks", Fault::AwsExpiredToken), named(403, "ExpiredTokenException"));
        assert_eq!(said("acm", Fault::AwsAccessDenied), named(400, "AccessDeniedException"));
        let own = Fault::Aws { status: 418, code: "Own", message: "no".to_owned() };
        assert_eq!(said("acm", own), named(418, "Own"));
    }
}
