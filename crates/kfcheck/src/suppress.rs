use globset::{Glob, GlobBuilder, GlobMatcher};
use jiff::{Timestamp, civil::Date, tz::TimeZone};

use crate::{CheckResult, Finding, Report, Resource, Status, spoken_kind};

/// That somebody knows of a finding and says that it doesn't count, why, and until when.
#[derive(Clone, Debug)]
pub struct Suppression {
    check: GlobMatcher,
    resource: GlobMatcher,
    reason: String,
    expires: Date,
    place: Option<String>,
}

impl Suppression {
    /// Of what the checks of a glob find on the resources of a glob, up to the end of that day in
    /// UTC. `check` is matched with a check's id, `resource` with `KIND/NAMESPACE/NAME`, or
    /// `KIND/NAME` for what has no namespace, whatever the case; `*` also stands for a slash.
    ///
    /// An error says which of the two is no glob.
    pub fn new(check: &str, resource: &str, reason: &str, expires: Date) -> Result<Self, String> {
        let reason = reason.to_owned();
        let (check, resource) = (check_glob(check)?, resource_glob(resource)?);
        Ok(Self { check, resource, reason, expires, place: None })
    }

    /// Says where it is written, for warnings about it: `FILE:LINE:COLUMN`.
    #[must_use]
    pub fn written_at(self, place: impl Into<String>) -> Self {
        Self { place: Some(place.into()), ..self }
    }

    fn is_about(&self, check: &str, finding: &Finding) -> bool {
        let names = names(&finding.resource);
        self.check.is_match(check) && names.iter().any(|name| self.resource.is_match(name))
    }

    fn warning(&self, says: &str) -> Warning {
        let (check, resource) = (self.check.glob(), self.resource.glob());
        Warning {
            about: format!("the suppression of {check} on {resource}"),
            message: says.to_owned(),
            place: self.place.clone(),
        }
    }
}

/// What is wrong with how the inspection was set up, rather than with the deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What it is about.
    pub about: String,
    /// A clause that continues it.
    pub message: String,
    /// Where that is written: `FILE:LINE:COLUMN`.
    pub place: Option<String>,
}

/// Marks the findings that don't count, and warns of suppressions that have expired or match
/// nothing. What day it is, the report says, or else `now`; `left_out` are the checks that could
/// have run and were not to: what they would have found, nobody knows.
///
/// A check of which all findings are suppressed has examined nothing that counts: it ends as
/// [`Status::Skip`], or as unknown where it could not see all.
pub fn suppress(report: &mut Report, all: &[Suppression], left_out: &[&str], now: Timestamp) {
    let now = report.at.as_deref().copied().unwrap_or(now);
    let today = TimeZone::UTC.to_datetime(now).date();
    for one in all {
        if one.expires < today {
            let says = format!("expired on {} and suppresses nothing any more", one.expires);
            report.warnings.push(one.warning(&says));
            continue;
        }
        let mut matches = 0;
        for result in &mut report.results {
            let id = result.id;
            for finding in result.findings.iter_mut().filter(|finding| one.is_about(id, finding)) {
                matches += 1;
                // The first one is the reason; another has matched all the same.
                if finding.suppressed.is_none() {
                    finding.suppressed = Some(one.reason.clone());
                    finding.suppressed_until = Some(one.expires);
                }
            }
        }
        if matches == 0 && would_have_matched(report, one, left_out) {
            report.warnings.push(one.warning("matches nothing that was found; take it out"));
        }
    }
    report.results.iter_mut().for_each(CheckResult::judge_what_counts);
}

/// Whether the checks in question have looked, and at everything.
fn would_have_matched(report: &Report, one: &Suppression, left_out: &[&str]) -> bool {
    let asked: Vec<_> =
        report.results.iter().filter(|result| one.check.is_match(result.id)).collect();
    asked.iter().any(|result| result.status != Status::Skip)
        && asked.iter().all(|result| result.unknown.is_empty())
        && !left_out.iter().any(|id| one.check.is_match(id))
}

impl CheckResult {
    fn judge_what_counts(&mut self) {
        let mut reasons: Vec<_> =
            self.findings.iter().filter_map(|finding| finding.suppressed.as_deref()).collect();
        if reasons.is_empty() {
            return;
        }
        reasons.dedup();
        let reasons = reasons.join("; ");
        self.status = self.judged();
        if self.status == Status::Skip {
            self.skipped = Some(format!("all it found is suppressed: {reasons}"));
        }
    }
}

/// A resource as globs have it: with the kind as the API spells it, and as reports do.
fn names(resource: &Resource) -> [String; 2] {
    let namespace = resource.namespace.iter().map(|namespace| format!("{namespace}/"));
    let name = namespace.collect::<String>() + &resource.name;
    let spoken = spoken_kind(resource.provider, resource.kind);
    [format!("{}/{name}", resource.kind), format!("{spoken}/{name}")]
}

fn check_glob(text: &str) -> Result<GlobMatcher, String> {
    let glob = Glob::new(text).map_err(|error| format!("'{text}' is no glob: {}", error.kind()))?;
    Ok(glob.compile_matcher())
}

fn resource_glob(text: &str) -> Result<GlobMatcher, String> {
    let glob = GlobBuilder::new(text).case_insensitive(true).build();
    let glob = glob.map_err(|error| format!("'{text}' is no glob: {}", error.kind()))?;
    Ok(glob.compile_matcher())
}
