//! What the services call the same things. It differs by the way in which they write errors.

use super::wire::{Errand, Format};

/// The code of a request that makes no sense.
pub(super) fn validation(format: Format) -> &'static str {
    match format {
        Format::Xml => "ValidationError",
        Format::Ec2 => "InvalidParameterValue",
        Format::Json => "ValidationException",
        Format::RestJson => "InvalidParameterException",
    }
}

/// The code of a service that is out of order.
pub(super) fn unavailable(format: Format) -> &'static str {
    match format {
        Format::Xml => "ServiceUnavailable",
        Format::Ec2 => "Unavailable",
        Format::Json | Format::RestJson => "ServiceUnavailableException",
    }
}

/// The status and the code with which a service refuses somebody who may not ask.
pub(crate) fn denied(format: Format) -> (u16, &'static str) {
    match format {
        Format::Xml => (403, "AccessDenied"),
        Format::Ec2 => (403, "UnauthorizedOperation"),
        Format::Json => (400, "AccessDeniedException"),
        Format::RestJson => (403, "AccessDeniedException"),
    }
}

/// What it says then.
pub(crate) fn denial(format: Format, action: &str, user: &str) -> String {
    let who = format!("User: {user} is not authorized to perform: {action}");
    let why = format!("because no identity-based policy allows the {action} action");
    match format {
        Format::Ec2 => format!("You are not authorized to perform this operation. {who} {why}"),
        _ => format!("{who} on resource: * {why}"),
    }
}

/// The status, the code and the words with which a service asks for fewer calls.
pub(crate) fn throttled(errand: &Errand) -> (u16, &'static str, &'static str) {
    match errand.format() {
        Format::Ec2 => (503, "RequestLimitExceeded", "Request limit exceeded."),
        Format::Xml => (400, "Throttling", "Rate exceeded"),
        Format::Json if errand.service == "cognito-idp" => {
            (400, "TooManyRequestsException", "Rate exceeded")
        }
        Format::Json => (400, "ThrottlingException", "Rate exceeded"),
        Format::RestJson => (429, "ThrottlingException", "Rate exceeded"),
    }
}

/// The same for credentials that are no longer good.
pub(crate) fn expired(errand: &Errand) -> (u16, &'static str, &'static str) {
    let token = "The security token included in the request is expired";
    match errand.format() {
        Format::Ec2 => (400, "RequestExpired", "Request has expired."),
        Format::Xml => (403, "ExpiredToken", token),
        Format::Json => (400, "ExpiredTokenException", token),
        Format::RestJson => (403, "ExpiredTokenException", token),
    }
}
