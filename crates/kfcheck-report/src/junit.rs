use std::time::Duration;

use kfcheck::{Severity, Status};
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use crate::{
    CheckOut, FindingOut, Output, Unseen,
    headline::{Headline, status_word},
    plain,
};

/// The report as JUnit's XML, for build servers: a check is a test case. One that found something
/// broken fails, one that could not look is an error, one that had nothing to examine is skipped.
pub fn junit(output: &Output) -> Result<String, String> {
    let duration = Duration::from_millis(output.duration_ms);
    let mut suite = TestSuite::new(format!("kfcheck {}", output.provider));
    suite.set_time(duration);
    suite.add_properties(properties(output));
    let warnings =
        output.warnings.iter().map(|warning| format!("\nwarning: {}", warning.sentence()));
    suite.set_system_out(Headline::of(output).say() + &warnings.collect::<String>());
    suite.add_test_cases(output.checks.iter().map(|check| case(output, check)));
    suite.add_test_cases(gaps(output));
    let mut report = Report::new(output.tool.name.as_str());
    report.set_time(duration).add_test_suite(suite);
    report.to_string().map_err(|error| error.to_string())
}

fn properties(output: &Output) -> Vec<Property> {
    let scope = output.scope.known().into_iter();
    let rest = [
        ("status", Some(status_word(output.summary.status))),
        ("startedAt", output.started_at.as_deref()),
        ("version", Some(output.tool.version.as_str())),
    ];
    let rest = rest.into_iter().filter_map(|(name, value)| Some((name, value?)));
    scope.chain(rest).map(|(name, value)| Property::new(name, value)).collect()
}

fn case(output: &Output, check: &CheckOut) -> TestCase {
    let found: Vec<_> = output.found_by(&check.id).collect();
    let counts =
        |finding: &&&FindingOut| finding.severity == Severity::Fail && finding.suppressed.is_none();
    let broken: Vec<_> = found.iter().filter(counts).collect();
    let reason = check.reason.clone().unwrap_or_else(|| "nothing was examined".to_owned());
    let mut status = match check.status {
        _ if !broken.is_empty() => {
            let mut failure = TestCaseStatus::non_success(NonSuccessKind::Failure);
            let said: Vec<_> = broken.iter().map(|finding| finding.sentence()).collect();
            failure.set_type("fail").set_message(said.join("; "));
            failure
        }
        Status::Unknown | Status::Bug => {
            let mut error = TestCaseStatus::non_success(NonSuccessKind::Error);
            error.set_type(status_word(check.status)).set_message(reason);
            error
        }
        Status::Skip => {
            let mut skipped = TestCaseStatus::skipped();
            skipped.set_type("skip").set_message(reason);
            skipped
        }
        Status::Pass | Status::Warn | Status::Fail => TestCaseStatus::success(),
    };
    let told = plain::findings(output, &found);
    let failed = matches!(status, TestCaseStatus::NonSuccess { .. });
    if failed && !told.is_empty() {
        status.set_description(told.as_str());
    }
    let mut case = TestCase::new(check.id.as_str(), status);
    case.set_classname(format!("kfcheck.{}", output.provider));
    case.add_property(Property::new("title", check.title.as_str()));
    if !failed && !told.is_empty() {
        case.set_system_out(told);
    }
    case
}

/// What nobody saw, where it is no check that misses it: the request path or the bundle.
fn gaps(output: &Output) -> Vec<TestCase> {
    let is_check = |name: &String| output.checks.iter().any(|check| check.id == *name);
    let wanted = output.unseen.iter().flat_map(|unseen| &unseen.wanted_by);
    let mut names: Vec<_> = wanted.filter(|name| !is_check(name)).collect();
    names.sort();
    names.dedup();
    let by = |name: &String, unseen: &&Unseen| unseen.wanted_by.contains(name);
    let case = |name: &String| {
        let missing = output.unseen.iter().filter(|unseen| by(name, unseen));
        let missing: Vec<_> = missing.map(|unseen| unseen.detail.as_str()).collect();
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status
            .set_type("unknown")
            .set_message("not seen whole")
            .set_description(missing.join("\n"));
        let mut case = TestCase::new(name.as_str(), status);
        case.set_classname(format!("kfcheck.{}", output.provider));
        case
    };
    names.into_iter().map(case).collect()
}
