use http::Response;
use serde_json::Value;

use super::{
    models::{Operation, Protocol, Service},
    wire::{Format, error},
    words::{denial, denied, unavailable, validation},
};

/// Why a call has no answer, said as AWS's services say it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No service, or none here, would know what to do with it. It is noted.
    Unknown(String),
    /// The request breaks the service's model. It is noted.
    Malformed(String),
    /// It has no signature. It is noted.
    Unsigned,
    /// The bundle has no such file.
    NoFile(String),
    /// The bundle doesn't hold the answer, and says so or has others like it.
    NotHeld(String),
    /// There is no such thing, whatever the service calls that.
    Absent(String),
    /// An error that the model has a shape for, and what is said.
    Said(&'static str, String),
    /// An error that the model has no shape for, and what is said.
    Refused(&'static str, String),
    /// The action that may not be taken, and by whom.
    Denied { action: String, user: String },
    /// The service is out of order.
    Unavailable,
}

impl Failure {
    pub(super) fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown(why.into())
    }

    /// What a place's entry in `errors` stands for.
    pub(super) fn of_fault(place: &str, fault: &Value, user: &str) -> Self {
        if let Some(action) = fault["denied"]["permission"].as_str() {
            Self::Denied { action: action.to_owned(), user: user.to_owned() }
        } else if let Some(what) = fault.get("absent") {
            Self::Absent(what.as_str().unwrap_or(place).to_owned())
        } else if fault.get("notCollected").is_some() {
            Self::NotHeld(place.to_owned())
        } else {
            Self::Unavailable
        }
    }

    /// What to note, where the caller or the bundle is to blame.
    pub(crate) fn unknown_because(&self) -> Option<String> {
        match self {
            Self::Unknown(why) | Self::Malformed(why) => Some(why.clone()),
            Self::Unsigned => Some("it is not signed".to_owned()),
            _ => None,
        }
    }

    /// The answer of a service; of none, if it is not known which.
    pub(crate) fn answer(
        self,
        service: Option<&Service>,
        operation: Option<&Operation>,
    ) -> Response<String> {
        let format = service.map_or(Format::Xml, |service| format_of(service.protocol));
        let (status, code, message) = match self {
            Self::Unknown(why) => (501, "NotImplemented", why),
            Self::Malformed(why) => (400, validation(format), why),
            Self::Unsigned => (
                403,
                "MissingAuthenticationToken",
                "Request is missing Authentication Token".into(),
            ),
            Self::NoFile(place) | Self::NotHeld(place) => {
                (501, "NotImplemented", format!("the bundle holds no {place}"))
            }
            Self::Absent(what) => {
                let errors = operation.map(|operation| &operation.errors[..]).unwrap_or_default();
                let absent = errors.iter().find(|e| e.contains("NotFound") || e.contains("NoSuch"));
                let (code, status) =
                    absent.map_or((validation(format), 400), |e| of_shape(service, e));
                return error(format, status, code, &format!("{what} does not exist"));
            }
            Self::Said(name, message) => {
                let (code, status) = of_shape(service, name);
                return error(format, status, code, &message);
            }
            Self::Refused(code, message) => (400, code, message),
            Self::Denied { action, user } => {
                let (status, code) = denied(format);
                (status, code, denial(format, &action, &user))
            }
            Self::Unavailable => {
                (503, unavailable(format), "The service is unavailable. Please try again.".into())
            }
        };
        error(format, status, code, &message)
    }
}

/// The code and the status of an error that has a shape.
fn of_shape<'a>(service: Option<&'a Service>, shape: &'a str) -> (&'a str, u16) {
    service.map_or((shape, 400), |service| service.error(shape))
}

fn format_of(protocol: Protocol) -> Format {
    match protocol {
        Protocol::Query | Protocol::RestXml => Format::Xml,
        Protocol::Ec2 => Format::Ec2,
        Protocol::Json => Format::Json,
        Protocol::RestJson => Format::RestJson,
    }
}
