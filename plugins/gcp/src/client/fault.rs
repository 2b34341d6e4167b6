//! What an error of Google's means, and what to do about it.

use google_cloud_auth::errors::CredentialsError;
use google_cloud_gax::error::Error;
use kfcheck::{Fault, redact::redact};
use serde_json::Value;

use super::{CALL, retry};

/// Why a call failed. `permission` is what it takes, `api` its short name.
pub(crate) fn fault(error: &Error, api: &str, project: &str, permission: &str) -> Fault {
    if error.is_timeout() {
        return Fault::TimedOut(CALL);
    }
    if error.is_authentication() {
        return no_credentials(&refusal(error));
    }
    let says = says(error);
    let any = |words: &[&str]| retry::reasons(error).any(|reason| words.contains(&reason));
    let unreachable = |detail: String| Fault::Unreachable(detail);
    if any(&["SERVICE_DISABLED", "accessNotConfigured"]) {
        return unreachable(format!(
            "{api}.googleapis.com is not enabled in project {project}; `gcloud services enable \
             {api}.googleapis.com --project {project}` enables it"
        ));
    }
    if any(&["BILLING_DISABLED", "billingNotEnabled", "UREQ_PROJECT_BILLING_NOT_OPEN"]) {
        return unreachable(format!(
            "project {project} has no billing account, so {api}.googleapis.com answers nothing; \
             link one under https://console.cloud.google.com/billing/projects"
        ));
    }
    if any(&["USER_PROJECT_DENIED"]) {
        return unreachable(format!(
            "the credentials may not use the quota of the project that the calls are billed to: \
             {says}; name another one with --billing-project"
        ));
    }
    if retry::is_too_fast(error) {
        return unreachable(format!(
            "{api}.googleapis.com says that it is asked too often: {says}"
        ));
    }
    if says.contains("insufficient authentication scopes") {
        return no_credentials(&format!("they are not for reading {api}.googleapis.com"));
    }
    match error.http_status_code() {
        Some(401) => no_credentials(&says),
        Some(403) => {
            Fault::Denied { permission: named_permission(&says).unwrap_or(permission).to_owned() }
        }
        Some(404) if says.contains(&format!("projects/{project}'")) => unreachable(format!(
            "project {project} does not exist, or the credentials can't see it; name another one \
             with --project"
        )),
        Some(status) => unreachable(format!("{api}.googleapis.com answered {status}: {says}")),
        None if error.is_deserialization() => {
            Fault::Malformed { file: format!("the answer of {api}.googleapis.com"), detail: says }
        }
        None => unreachable(format!("{api}.googleapis.com does not answer: {says}")),
    }
}

pub(super) fn no_credentials(says: &str) -> Fault {
    Fault::Unreachable(format!(
        "no valid Google credentials: {says}; `gcloud auth application-default login` gets some"
    ))
}

/// Why there is no token. `account` is the one that is impersonated, if one is.
pub(super) fn no_token(error: &CredentialsError, account: Option<&str>) -> Fault {
    let says = refusal(error);
    match account {
        Some(account) if says.contains("iam.serviceAccounts.getAccessToken") => {
            Fault::Unreachable(format!(
                "the credentials may not impersonate {account}: {says} \
                 roles/iam.serviceAccountTokenCreator on it grants that"
            ))
        }
        _ => no_credentials(&says),
    }
}

/// What a token server says, which stands in the body of its answer, or else what is behind it all.
fn refusal(error: &(dyn std::error::Error + 'static)) -> String {
    let mut all = std::iter::successors(Some(error), |error| error.source());
    let said = all.find_map(|error| {
        if let Some(status) = error.downcast_ref::<Error>().and_then(Error::status) {
            return Some(status.message.clone());
        }
        let text = error.to_string();
        let body = text.split_once("body=<")?.1.rsplit_once('>')?.0;
        let body: Value = serde_json::from_str(body).ok()?;
        let words = [&body["error_description"], &body["error"]["message"], &body["error"]];
        words.into_iter().find_map(Value::as_str).map(str::to_owned)
    });
    tidied(&said.unwrap_or_else(|| causes(error)))
}

/// The permission that an API names: `Required 'compute.firewalls.list' permission for …`.
fn named_permission(says: &str) -> Option<&str> {
    let named = says.split_once("equired ")?.1.trim_start_matches(['\'', '"']);
    let named = named.split(['\'', '"', ' ']).next()?;
    (named.contains('.') && named.is_ascii()).then_some(named)
}

/// What the API says, or else what kept it from saying anything; never a whole body.
fn says(error: &Error) -> String {
    let says = match (error.status(), error.http_status_code()) {
        (Some(status), _) => status.message.clone(),
        (None, Some(status)) => format!("status {status}, and no error of Google's"),
        (None, None) => causes(error),
    };
    tidied(&says)
}

fn tidied(says: &str) -> String {
    let says: String = says.lines().next().unwrap_or_default().chars().take(300).collect();
    redact(&says).into_owned()
}

/// What is behind it all; what stands before that names URLs.
fn causes(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}
