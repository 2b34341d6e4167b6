use std::time::Duration;

use http::{Response, header::CONTENT_TYPE};
use serde_json::{Value, json};

use super::{Body, whole};

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
    /// An error of AWS's services that answer in XML, like IAM, STS and ELB.
    AwsQuery {
        /// The status.
        status: u16,
        /// As AWS spells it: `AccessDenied`, `Throttling`, …
        code: &'static str,
        /// For people.
        message: String,
    },
    /// An error of AWS's services that answer in JSON, like EKS, ACM and Cognito.
    AwsJson {
        /// The status.
        status: u16,
        /// As AWS spells it: `AccessDeniedException`, `ThrottlingException`, …
        code: &'static str,
        /// For people.
        message: String,
    },
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
    /// The answer of a fault that is one.
    pub(super) fn answer(self) -> http::Result<Response<Body>> {
        let (status, content_type, body) = match self {
            Self::Google { status, reason, message } => {
                (status, "application/json; charset=UTF-8", google(status, reason, &message))
            }
            Self::Kubernetes { status, reason, message } => {
                (status, "application/json", kubernetes(status, reason, &message))
            }
            Self::AwsQuery { status, code, message } => {
                (status, "text/xml", aws_query(status, code, &message))
            }
            Self::AwsJson { status, code, message } => {
                let body = json!({ "__type": code, "message": message }).to_string();
                return Response::builder()
                    .status(status)
                    .header(CONTENT_TYPE, "application/x-amz-json-1.1")
                    .header("x-amzn-errortype", code)
                    .body(whole(body));
            }
            Self::Malformed => (200, "application/json", r#"{"items": [{"#.to_owned()),
            Self::RetryAfter(status, seconds) => {
                let retry = Response::builder().status(status).header("retry-after", seconds);
                return retry.body(whole(""));
            }
            Self::Status(status) => return Response::builder().status(status).body(whole("")),
            Self::Delay(_) | Self::Truncate | Self::Hang | Self::Reset => {
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

/// As in <https://smithy.io/2.0/aws/protocols/aws-query-protocol.html>.
fn aws_query(status: u16, code: &str, message: &str) -> String {
    let blame = if status < 500 { "Sender" } else { "Receiver" };
    let message = message.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!(
        "<ErrorResponse><Error><Type>{blame}</Type><Code>{code}</Code><Message>{message}</Message>\
         </Error><RequestId>00000000-0000-0000-0000-000000000000</RequestId></ErrorResponse>"
    )
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
    fn a_message_does_not_break_xml() {
        let xml = aws_query(403, "AccessDenied", "<user> & role");
        assert!(xml.contains("<Message>&lt;user&gt; &amp; role</Message>"), "{xml}");
        assert!(xml.contains("<Type>Sender</Type><Code>AccessDenied</Code>"), "{xml}");
    }

    #[test]
    fn aws_names_the_error_in_a_header_too() {
        let denied =
            Fault::AwsJson { status: 400, code: "AccessDeniedException", message: "no".into() };
        let answer = denied.answer().unwrap();
        assert_eq!(answer.status(), 400);
        assert_eq!(answer.headers()["x-amzn-errortype"], "AccessDeniedException");
    }
}
