//! From when on something is said.

use jiff::{Timestamp, ToSpan};

/// A setting: from when on checks say something. Where nothing is said, each check has a limit of
/// its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Thresholds {
    /// How many days before its end a certificate that is not renewed is a warning.
    pub certificate_days: Option<u16>,
    /// How much of a quota may be used before it is a warning, in percent.
    pub quota_percent: Option<u8>,
    /// How many minutes a pod may take to get ready.
    pub pod_minutes: Option<u16>,
    /// How many minutes a model may take to get ready.
    pub model_minutes: Option<u16>,
    /// How many minutes a load balancer, or its address, may take to be there.
    pub load_balancer_minutes: Option<u16>,
    /// For how many days a stack that failed and was undone is broken; then it is a warning.
    pub stack_days: Option<u16>,
}

impl Thresholds {
    /// The days before a certificate's end, where `usual` ones are a check's own.
    pub fn certificate_days(&self, usual: i64) -> i64 {
        self.certificate_days.map_or(usual, i64::from)
    }

    /// The part of a quota that may be used.
    pub fn quota(&self) -> f64 {
        f64::from(self.quota_percent.unwrap_or(90)) / 100.0
    }

    /// A pod's minutes.
    pub fn pod_minutes(&self) -> i64 {
        self.pod_minutes.map_or(5, i64::from)
    }

    /// A model's minutes; Knative's `progress-deadline` is 600 seconds.
    pub fn model_minutes(&self) -> i64 {
        self.model_minutes.map_or(10, i64::from)
    }

    /// A load balancer's minutes, where `usual` ones are a check's own.
    pub fn load_balancer_minutes(&self, usual: i64) -> i64 {
        self.load_balancer_minutes.map_or(usual, i64::from)
    }

    /// The days of a stack that failed.
    pub fn stack_days(&self) -> i64 {
        self.stack_days.map_or(7, i64::from)
    }
}

/// Whether what began then may still take so many minutes.
pub fn is_new(since: Option<Timestamp>, minutes: i64, now: Timestamp) -> bool {
    since.and_then(|since| since.checked_add(minutes.minutes()).ok()).is_some_and(|t| t > now)
}

#[cfg(test)]
mod tests {
    use super::{Thresholds, is_new};

    #[test]
    fn what_is_said_takes_the_place_of_what_is_usual() {
        let usual = Thresholds::default();
        assert_eq!((usual.certificate_days(21), usual.pod_minutes()), (21, 5));
        let own = Thresholds { certificate_days: Some(3), pod_minutes: Some(0), ..usual };
        assert_eq!((own.certificate_days(21), own.pod_minutes()), (3, 0));
    }

    #[test]
    fn what_began_long_ago_is_not_new_and_neither_is_what_nobody_knows_the_age_of() {
        let now = "2027-01-31T12:00:00Z".parse().unwrap();
        let since = "2027-01-31T11:55:00Z".parse().ok();
        assert!(is_new(since, 6, now) && !is_new(since, 5, now) && !is_new(None, 6, now));
    }
}
