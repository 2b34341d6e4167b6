//! What somebody says that doesn't count.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use jiff::{Timestamp, civil::Date};
use kfcheck::{
    Check, Clock, Cx, FactError, Fault, Findings, Report, Resource, Runner, Status, Suppression,
    World, async_trait, causes, check, suppress,
};

fn pod(name: &str) -> Resource {
    let namespace = Some("kubeflow".to_owned());
    Resource { provider: "kubernetes", kind: "Pod", namespace, name: name.to_owned() }
}

fn backend() -> Resource {
    Resource {
        provider: "gcp",
        kind: "BackendService",
        namespace: None,
        name: "k8s-be-1".to_owned(),
    }
}

/// What the checks are to say: `fail`, `warn`, `ok` or `unseen`, of a resource.
#[derive(Default)]
struct Says(Vec<(&'static str, Resource)>);

fn say(cx: &Cx, out: &mut Findings) {
    for (how, of) in &cx.setting::<Says>().0 {
        match *how {
            "fail" => drop(out.fail(of, "is wrong").evidence("seen", "it")),
            "warn" => drop(out.warn(of, "is odd").evidence("seen", "it")),
            "ok" => out.ok(of),
            _ => drop(out.known::<()>(of, Err(Fault::Unreachable("silence".to_owned()).into()))),
        }
    }
}

check! {
    /// Says what it is told to.
    struct Told;
    id: "test-told",
    title: "Nothing is told",
}

#[async_trait]
impl Check for Told {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        say(cx, out);
        Ok(())
    }
}

check! {
    /// Has nothing to examine.
    struct Idle;
    id: "test-idle",
    title: "Nothing is there",
}

#[async_trait]
impl Check for Idle {
    async fn run(&self, _: &Cx, _: &mut Findings) -> Result<(), FactError> {
        Ok(())
    }
}

/// The report of the 31st of January 2027, one second before it ends.
async fn told(says: Vec<(&'static str, Resource)>) -> Report {
    let at: Timestamp = "2027-01-31T23:59:59Z".parse().unwrap();
    let world = World::live().setting(Says(says)).setting(Clock(Some(at)));
    Runner::default().run(&world, &[&Told, &Idle]).await
}

fn known(check: &str, resource: &str, expires: &str) -> Suppression {
    let expires: Date = expires.parse().unwrap();
    Suppression::new(check, resource, "known", expires).unwrap().written_at("f.yaml:3:5")
}

fn apply(report: &mut Report, all: &[Suppression]) {
    suppress(report, all, &[], Timestamp::now());
}

fn warnings(report: &Report) -> Vec<String> {
    let all = report.warnings.iter();
    all.map(|warning| format!("{} {}", warning.about, warning.message)).collect()
}

#[tokio::test]
async fn what_is_suppressed_is_kept_with_the_reason_and_the_day() {
    let mut report = told(vec![("fail", pod("a")), ("fail", pod("b"))]).await;
    apply(&mut report, &[known("test-*", "pod/kubeflow/a", "2027-12-31")]);
    let (_, finding) = report.findings().next().unwrap();
    assert_eq!(finding.suppressed.as_deref(), Some("known"));
    assert_eq!(finding.suppressed_until.unwrap().to_string(), "2027-12-31");
    assert_eq!(report.counted().count(), 1);
    assert_eq!(report.status(), Status::Fail);
    assert!(report.warnings.is_empty());
}

#[tokio::test]
async fn a_check_of_which_all_is_suppressed_does_not_pass_and_does_not_fail() {
    let mut report = told(vec![("fail", pod("a")), ("ok", pod("b"))]).await;
    apply(&mut report, &[known("*", "*", "2027-12-31")]);
    assert_eq!(report.status(), Status::Skip);
    let reason = report.results[0].reason().unwrap();
    assert_eq!(reason, "all it found is suppressed: known");
}

#[tokio::test]
async fn a_check_that_could_not_see_all_stays_unknown() {
    let mut report = told(vec![("fail", pod("a")), ("unseen", pod("b"))]).await;
    apply(&mut report, &[known("*", "*", "2027-12-31")]);
    assert_eq!(report.status(), Status::Unknown);
}

#[tokio::test]
async fn a_warning_that_is_left_is_what_the_check_ends_as() {
    let mut report = told(vec![("fail", pod("a")), ("warn", pod("b"))]).await;
    apply(&mut report, &[known("*", "Pod/*/a", "2027-12-31")]);
    assert_eq!(report.status(), Status::Warn);
}

#[tokio::test]
async fn a_resource_is_named_as_its_api_or_as_the_report_has_it() {
    for glob in [
        "*",
        "backendservice/*",
        "backend service/k8s-be-1",
        "BackendService/k8s-be-[0-9]",
        "{pod,backendservice}/*",
    ] {
        let mut report = told(vec![("fail", backend())]).await;
        apply(&mut report, &[known("test-told", glob, "2027-12-31")]);
        assert_eq!(report.counted().count(), 0, "{glob}");
    }
    for glob in ["k8s-be-1", "pod/*", "backendservice/k8s-be", "*/*/*"] {
        let mut report = told(vec![("fail", backend())]).await;
        apply(&mut report, &[known("test-told", glob, "2027-12-31")]);
        assert_eq!(report.counted().count(), 1, "{glob}");
    }
}

#[tokio::test]
async fn a_suppression_holds_on_its_last_day_and_is_a_warning_the_day_after() {
    let mut report = told(vec![("fail", pod("a"))]).await;
    apply(&mut report, &[known("test-told", "*", "2027-01-31")]);
    assert_eq!((report.counted().count(), report.warnings.len()), (0, 0));
    let mut report = told(vec![("fail", pod("a"))]).await;
    apply(&mut report, &[known("test-told", "*", "2027-01-30")]);
    assert_eq!(report.counted().count(), 1);
    assert_eq!(
        warnings(&report),
        ["the suppression of test-told on * expired on 2027-01-30 and suppresses nothing any more"]
    );
    assert_eq!(report.warnings[0].place.as_deref(), Some("f.yaml:3:5"));
}

#[tokio::test]
async fn what_day_it_is_the_caller_says_where_the_report_does_not() {
    let now = "2027-02-01T00:00:00Z".parse().unwrap();
    let mut report = told(vec![("fail", pod("a"))]).await;
    report.at = Err(Fault::Unreachable("no clock".to_owned()).into());
    suppress(&mut report, &[known("*", "*", "2027-01-31")], &[], now);
    assert_eq!(report.warnings.len(), 1);
}

#[tokio::test]
async fn a_suppression_that_matches_nothing_is_a_warning() {
    for says in [vec![("ok", pod("a"))], vec![("fail", pod("b"))]] {
        let mut report = told(says).await;
        apply(&mut report, &[known("test-told", "pod/*/a", "2027-12-31")]);
        assert_eq!(
            warnings(&report),
            ["the suppression of test-told on pod/*/a matches nothing that was found; take it out"]
        );
    }
}

#[tokio::test]
async fn nobody_can_say_that_it_matches_nothing_where_not_everything_was_looked_at() {
    let glob = known("test-*", "pod/*/a", "2027-12-31");
    let mut report = told(vec![("ok", pod("b")), ("unseen", pod("c"))]).await;
    apply(&mut report, std::slice::from_ref(&glob));
    assert!(report.warnings.is_empty(), "something was not seen");
    let mut report = told(Vec::new()).await;
    apply(&mut report, std::slice::from_ref(&glob));
    assert!(report.warnings.is_empty(), "nothing was there to examine");
    let mut report = told(vec![("ok", pod("b"))]).await;
    apply(&mut report, &[known("gcp-*", "*", "2027-12-31")]);
    assert!(report.warnings.is_empty(), "no such check ran");
    let mut report = told(vec![("ok", pod("b"))]).await;
    suppress(&mut report, &[glob], &["test-left-out"], Timestamp::now());
    assert!(report.warnings.is_empty(), "another one was left out");
}

#[tokio::test]
async fn one_that_another_has_forestalled_has_matched_all_the_same() {
    let mut report = told(vec![("fail", pod("a"))]).await;
    apply(&mut report, &[known("*", "*", "2027-12-31"), known("test-told", "*", "2027-06-30")]);
    assert!(report.warnings.is_empty());
}

#[tokio::test]
async fn a_root_cause_is_told_if_it_or_what_it_explains_counts() {
    let mut report = told(vec![("fail", pod("a")), ("fail", backend())]).await;
    apply(&mut report, &[known("*", "pod/*", "2027-12-31")]);
    let told: Vec<_> =
        causes(&report).iter().map(|c| (c.finding.resource.kind, c.is_told())).collect();
    assert!(told.contains(&("Pod", false)) && told.contains(&("BackendService", true)), "{told:?}");
}

#[test]
fn what_is_no_glob_is_named() {
    let date: Date = "2027-01-31".parse().unwrap();
    let error = Suppression::new("test-[", "*", "known", date).unwrap_err();
    assert!(error.starts_with("'test-[' is no glob: "), "{error}");
    let error = Suppression::new("*", "pod/{a", "known", date).unwrap_err();
    assert!(error.starts_with("'pod/{a' is no glob: "), "{error}");
}
