//! What changed between two reports.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod deployment;

use deployment::{broken, written};
use kfcheck::{Report, Status};
use kfcheck_report::{Change, Changes, Output, Role, State, Style, Threshold, diff};

/// The same deployment, where nothing is wrong any more.
fn mended() -> Report {
    let mut report = broken();
    for result in &mut report.results {
        let about: Vec<_> = result.findings.drain(..).map(|found| found.resource).collect();
        if !about.is_empty() {
            result.status = Status::Pass;
            result.healthy = about;
        }
    }
    report
}

fn changes(before: &Report, after: &Report) -> Changes {
    diff(&written(before), &written(after)).unwrap()
}

/// What became of the finding of a check.
fn became(changes: &Changes, check: &str) -> Change {
    changes.findings.iter().find(|finding| finding.check == check).unwrap().change
}

const FIREWALL: &str = "gcp-firewall-health-check";

#[test]
fn a_report_and_itself_have_nothing_between_them() {
    let changes = changes(&broken(), &broken());
    assert!(!changes.changed);
    assert!(changes.findings.iter().all(|finding| finding.change == Change::Same));
    assert_eq!(changes.list(Style::default()), "");
    let text = changes.text(Style::default());
    assert!(text.contains("Nothing changed.") && text.contains("STILL THERE"), "{text}");
}

#[test]
fn what_was_mended_is_gone_and_what_broke_is_new() {
    let mended_now = changes(&broken(), &mended());
    assert!(mended_now.changed);
    assert_eq!(became(&mended_now, FIREWALL), Change::Gone);
    assert_eq!(mended_now.entrances[0].after, Some(State::Up));
    expect_test::expect_file!["./diff_mended.txt"].assert_eq(&mended_now.text(Style::default()));
    let broken_now = changes(&mended(), &broken());
    assert_eq!(became(&broken_now, FIREWALL), Change::New);
    assert_eq!(broken_now.entrances[0].after, Some(State::Down));
    expect_test::expect_file!["./diff_broken.md"].assert_eq(&broken_now.markdown());
}

#[test]
fn what_cannot_be_seen_any_more_is_not_said_to_be_mended() {
    for status in [Status::Unknown, Status::Skip, Status::Bug] {
        let mut after = mended();
        let firewall = after.results.iter_mut().find(|result| result.id == FIREWALL).unwrap();
        firewall.status = status;
        let changes = changes(&broken(), &after);
        assert_eq!(became(&changes, FIREWALL), Change::NotSeen, "{status:?}");
        assert_eq!(changes.entrances[0].after, Some(State::NotKnown));
        assert!(changes.hides_a_failure(Threshold::Fail));
        let text = changes.text(Style::default());
        assert!(text.contains("NO LONGER SEEN  gcp-firewall-health-check  (root cause)"), "{text}");
        assert!(!text.contains("is not down any more"), "{text}");
        let back = diff(&written(&after), &written(&broken())).unwrap();
        assert_eq!(became(&back, FIREWALL), Change::SeenNow);
    }
}

#[test]
fn a_check_that_was_not_run_or_saw_only_a_part_does_not_say_that_something_is_gone() {
    let mut after = written(&mended());
    after.checks.retain(|check| check.id != FIREWALL);
    let changes = diff(&written(&broken()), &after).unwrap();
    assert_eq!(became(&changes, FIREWALL), Change::NotSeen);
    let mut after = written(&mended());
    let firewall = after.checks.iter_mut().find(|check| check.id == FIREWALL).unwrap();
    (firewall.status, firewall.reason) = (Status::Fail, Some("denied".to_owned()));
    let changes = diff(&written(&broken()), &after).unwrap();
    assert_eq!(became(&changes, FIREWALL), Change::NotSeen);
}

#[test]
fn what_is_off_a_path_with_gaps_may_still_be_there() {
    let mut after = written(&mended());
    after.path.resources.retain(|one| one.resource.name != "kf-net");
    let gone = diff(&written(&broken()), &after).unwrap();
    assert_eq!(became(&gone, FIREWALL), Change::Gone);
    after.path.gaps.push(kfcheck_report::Gap {
        fact: None,
        reason: "denied".to_owned(),
        detail: "no permission".to_owned(),
    });
    let hidden = diff(&written(&broken()), &after).unwrap();
    assert_eq!(became(&hidden, FIREWALL), Change::NotSeen);
}

/// A report that says something else of the firewall.
fn saying(message: &str) -> Output {
    let mut output = written(&broken());
    let finding = output.findings.iter_mut().find(|finding| finding.check == FIREWALL).unwrap();
    message.clone_into(&mut finding.message);
    output
}

#[test]
fn another_message_of_the_same_check_on_the_same_resource_is_a_change() {
    let changes = diff(&saying("drops tcp:31380"), &saying("drops tcp:31381")).unwrap();
    assert_eq!(became(&changes, FIREWALL), Change::Changed);
    let text = changes.text(Style::default());
    assert!(
        text.contains("network kf-net drops tcp:31381\n    was       drops tcp:31380"),
        "{text}"
    );
    let aged = diff(&saying("drops for 5m"), &saying("drops for 2h10m")).unwrap();
    assert!(!aged.changed);
}

#[test]
fn the_numbers_of_findings_in_a_report_do_not_matter() {
    let mut after = written(&broken());
    after.findings.reverse();
    for finding in &mut after.findings {
        finding.id = finding.id.replace('f', "f9");
    }
    after.root_causes[0].finding = after.root_causes[0].finding.replace('f', "f9");
    assert!(!diff(&written(&broken()), &after).unwrap().changed);
}

#[test]
fn a_finding_that_counts_otherwise_is_a_change() {
    let mut after = written(&broken());
    let cause = after.findings.iter_mut().find(|finding| finding.check == FIREWALL).unwrap();
    cause.suppressed = Some("known".to_owned());
    let changes = diff(&written(&broken()), &after).unwrap();
    let change = changes.findings.iter().find(|finding| finding.check == FIREWALL).unwrap();
    assert_eq!(change.change, Change::Changed);
    assert_eq!(change.after.as_ref().unwrap().role, Role::Suppressed);
    assert!(changes.text(Style::default()).contains("(root cause → suppressed)"));
}

#[test]
fn reports_of_different_providers_are_not_compared() {
    let mut other = written(&broken());
    other.provider = "aws".to_owned();
    let error = diff(&written(&broken()), &other).unwrap_err();
    assert!(error.contains("gcp") && error.contains("aws"), "{error}");
}
