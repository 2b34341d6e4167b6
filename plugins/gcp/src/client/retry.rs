//! What is asked again, how often and how soon.

use std::time::Duration;

use google_cloud_gax::{
    error::{Error, rpc::StatusDetails},
    exponential_backoff::{ExponentialBackoff, ExponentialBackoffBuilder},
    retry_policy::{RetryPolicy, RetryPolicyExt},
    retry_result::RetryResult,
    retry_state::RetryState,
    retry_throttler::RetryThrottler,
};

/// How often a call is made before its failure is believed.
const TRIES: u32 = 5;
/// How long all of them may take together.
const LONGEST: Duration = Duration::from_secs(15);

/// Reads, which may be asked again whatever HTTP verb they have.
#[derive(Clone, Copy, Debug)]
struct Reads;

pub(super) fn policy() -> impl RetryPolicy + 'static {
    Reads.with_attempt_limit(TRIES).with_time_limit(LONGEST)
}

pub(super) fn backoff() -> Option<ExponentialBackoff> {
    let builder = ExponentialBackoffBuilder::new()
        .with_initial_delay(Duration::from_millis(100))
        .with_maximum_delay(Duration::from_secs(2));
    builder.build().ok()
}

impl RetryPolicy for Reads {
    fn on_error(&self, _: &RetryState, error: Error) -> RetryResult {
        if may_pass(&error) { RetryResult::Continue(error) } else { RetryResult::Permanent(error) }
    }
}

/// Whether another try may get another answer.
fn may_pass(error: &Error) -> bool {
    match error.http_status_code() {
        Some(429 | 500 | 502 | 503 | 504) => true,
        Some(_) => is_too_fast(error),
        None => {
            !error.is_authentication()
                && (error.is_io() || error.is_connect() || error.is_transport())
                && !error.is_timeout()
        }
    }
}

/// Compute's 403 says two things: this may not be read, and not so fast (Compute Engine
/// documentation, "Rate quotas").
pub(super) fn is_too_fast(error: &Error) -> bool {
    let slow = ["rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED"];
    reasons(error).any(|reason| slow.contains(&reason))
}

/// The reasons that the API gives in one word each.
pub(super) fn reasons(error: &Error) -> impl Iterator<Item = &str> {
    let details = error.status().into_iter().flat_map(|status| &status.details);
    details.filter_map(|detail| match detail {
        StatusDetails::ErrorInfo(info) => Some(info.reason.as_str()),
        _ => None,
    })
}

/// A run makes some dozens of calls: a budget for tries would only hide what one answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unthrottled;

impl RetryThrottler for Unthrottled {
    fn throttle_retry_attempt(&self) -> bool {
        false
    }

    fn on_retry_failure(&mut self, _: &RetryResult) {}

    fn on_success(&mut self) {}
}
