//! What all services have in common on the wire, and how they say that something went wrong.

use std::{collections::HashMap, fmt};

use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde_json::json;

use super::xml::{element, escape};

/// The id of every request.
pub(super) const REQUEST_ID: &str = "00000000-0000-0000-0000-000000000000";

/// What a signature is for: <https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scope<'a> {
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
}

impl<'a> Scope<'a> {
    /// As the header says it; none where the request has no signature.
    pub(crate) fn of(headers: &'a HeaderMap) -> Option<Self> {
        let authorization = headers.get(AUTHORIZATION)?.to_str().ok()?;
        let parts = authorization.strip_prefix("AWS4-HMAC-SHA256 ")?.split(',');
        let mut credentials = parts.filter_map(|part| part.trim().strip_prefix("Credential="));
        match *credentials.next()?.split('/').collect::<Vec<_>>() {
            [.., _date, region, service, "aws4_request"] => Some(Self { region, service }),
            _ => None,
        }
    }
}

/// What a request is for, as far as it says so itself, without the models.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Errand {
    /// As the AWS CLI calls it: `elbv2`.
    pub(crate) service: String,
    /// Empty where the path alone says it.
    pub(crate) action: String,
}

impl Errand {
    /// None where the request has no signature.
    pub(crate) fn of(headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        let service = Scope::of(headers)?.service;
        let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let form = || url::form_urlencoded::parse(body).collect::<HashMap<_, _>>();
        let form = if target.is_some() { HashMap::new() } else { form() };
        let action = target.and_then(|target| target.rsplit('.').next());
        let action = action.or_else(|| Some(form.get("Action")?)).unwrap_or_default();
        let service = match (service, form.get("Version").map(AsRef::as_ref)) {
            ("elasticloadbalancing", Some("2012-06-01")) => "elb",
            ("elasticloadbalancing", _) => "elbv2",
            (service, _) => service,
        };
        Some(Self { service: service.to_owned(), action: action.to_owned() })
    }

    /// How the service writes errors.
    pub(crate) fn format(&self) -> Format {
        match self.service.as_str() {
            "ec2" => Format::Ec2,
            "acm" | "cognito-idp" => Format::Json,
            "eks" => Format::RestJson,
            _ => Format::Xml,
        }
    }
}

impl Errand {
    /// Whether it is at a service of AWS's that answers in XML.
    pub(crate) fn is_xml(&self) -> bool {
        !self.service.is_empty() && matches!(self.format(), Format::Xml | Format::Ec2)
    }
}

impl fmt::Display for Errand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.service, self.action)
    }
}

/// The ways in which errors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// In XML, by the query protocol and by Route 53.
    Xml,
    Ec2,
    Json,
    RestJson,
}

/// An error as a service writes it.
pub(crate) fn error(format: Format, status: u16, code: &str, message: &str) -> Response<String> {
    let said = || element("Code", &escape(code)) + &element("Message", &escape(message));
    let (content_type, body) = match format {
        Format::Xml => {
            let blame = if status < 500 { "Sender" } else { "Receiver" };
            let error = element("Error", &(element("Type", blame) + &said()));
            let id = element("RequestId", REQUEST_ID);
            ("text/xml", element("ErrorResponse", &(error + &id)))
        }
        Format::Ec2 => {
            let errors = element("Errors", &element("Error", &said()));
            let id = element("RequestID", REQUEST_ID);
            ("text/xml;charset=UTF-8", element("Response", &(errors + &id)))
        }
        Format::Json => {
            let body = json!({ "__type": code, "message": message });
            ("application/x-amz-json-1.1", body.to_string())
        }
        Format::RestJson => ("application/json", json!({ "message": message }).to_string()),
    };
    let mut response = answer(StatusCode::OK, content_type, body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    if let (Format::Json | Format::RestJson, Ok(code)) = (format, HeaderValue::from_str(code)) {
        response.headers_mut().insert("x-amzn-errortype", code);
    }
    response
}

/// An answer, with the headers that all have.
pub(super) fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: String,
) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert("x-amzn-requestid", HeaderValue::from_static(REQUEST_ID));
    response
}
