//! What an error of AWS's means, and what to do about it.

use std::error::Error;

use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use kfcheck::{Cx, FactError, Fault, redact::redact};

use super::OPERATION;

/// One call, or the pages of one. `what` names it for who watches, `action` is what IAM calls it.
pub(crate) fn asked<T, E, R>(
    cx: &Cx,
    what: String,
    action: &str,
    call: impl Future<Output = Result<T, SdkError<E, R>>>,
) -> impl Future<Output = Result<T, FactError>>
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug + 'static,
{
    // The client library's are of tens of kilobytes each.
    let call = Box::pin(call);
    async move {
        let call = async { call.await.map_err(|error| fault(&error, action)) };
        Ok(cx.call(format!("aws {what}"), call).await?)
    }
}

/// AWS's word for what went wrong, where it came to that.
pub(crate) fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> &str {
    error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default()
}

/// Whether AWS says that what was asked for by name does not exist.
pub(crate) fn is_absent<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    let words = [
        "ResourceNotFoundException",
        "NoSuchEntity",
        "LoadBalancerNotFound",
        "AccessPointNotFound",
        "TargetGroupNotFound",
        "NoSuchHostedZone",
        "InvalidGroup.NotFound",
        "InvalidNetworkInterfaceID.NotFound",
    ];
    words.contains(&code(error))
}

pub(crate) fn fault<E, R>(error: &SdkError<E, R>, action: &str) -> Fault
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug + 'static,
{
    let service = action.split(':').next().unwrap_or(action);
    match error {
        SdkError::TimeoutError(_) => Fault::TimedOut(OPERATION),
        SdkError::ServiceError(said) => {
            let message = said.err().message().unwrap_or_default();
            let code = said.err().code().unwrap_or_default();
            of_code(code, message, service, action)
        }
        SdkError::DispatchFailure(failure) => {
            let says = failure.as_connector_error().map(|error| causes(error)).unwrap_or_default();
            if failure.is_timeout() {
                Fault::TimedOut(OPERATION)
            } else if failure.is_io() {
                Fault::Unreachable(format!("{service} does not answer: {says}"))
            } else {
                no_credentials(&says)
            }
        }
        SdkError::ResponseError(_) => Fault::Malformed {
            file: format!("the answer to {action}"),
            detail: short(&causes(error)),
        },
        other => Fault::Unreachable(format!("{action} can't be asked: {}", short(&causes(other)))),
    }
}

/// By the words that the services have for it (IAM documentation, "Troubleshoot access denied error
/// messages"; each service's "Common errors").
fn of_code(code: &str, message: &str, service: &str, action: &str) -> Fault {
    match code {
        "AccessDenied"
        | "AccessDeniedException"
        | "UnauthorizedOperation"
        | "NotAuthorized"
        | "AuthorizationError" => Fault::Denied { permission: action.to_owned() },
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => {
            no_credentials("the ones in use have expired")
        }
        "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "AuthFailure"
        | "SignatureDoesNotMatch"
        | "InvalidSignatureException"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "OptInRequired" => no_credentials(&short(message)),
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "RequestThrottled"
        | "PriorRequestNotComplete" => Fault::Unreachable(format!(
            "{service} says that it is asked too often ({code}, asking for {action})"
        )),
        "" => Fault::Unreachable(format!("{service} answered {action} with no error of AWS's")),
        code => Fault::Unreachable(format!(
            "{service} answered {action} with {code}: {}",
            short(message)
        )),
    }
}

pub(super) fn no_credentials(says: &str) -> Fault {
    let says = short(says);
    Fault::Unreachable(format!(
        "no valid AWS credentials: {says}; `aws sts get-caller-identity` shows whose are in use, \
         `aws sso login` or `aws configure` gets some"
    ))
}

/// What is behind it all, never a whole body.
pub(super) fn causes(error: &dyn Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

fn short(says: &str) -> String {
    let says: String = says.lines().next().unwrap_or_default().chars().take(300).collect();
    redact(&says).into_owned()
}
