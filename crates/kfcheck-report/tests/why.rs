//! What is said of one resource.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod deployment;

use deployment::{big, broken, written};
use kfcheck::{Severity, Status};
use kfcheck_report::{Output, Style, Threshold, Verdict, find, why};
use serde_json::Value;

fn said(output: &Output, typed: &str) -> String {
    why(output, find(output, typed).unwrap()).text(Style::default())
}

fn verdict(output: &Output, typed: &str) -> (Verdict, u8) {
    let why = why(output, find(output, typed).unwrap());
    (why.verdict, why.exit_code(Threshold::Fail))
}

#[test]
fn the_way_to_the_root_cause_is_shown_with_its_evidence_and_its_fix() {
    let output = written(&broken());
    expect_test::expect_file!["./why_host.txt"].assert_eq(&said(&output, "kf.example.com"));
}

#[test]
fn what_a_root_cause_is_about_is_one_itself() {
    let text = said(&written(&broken()), "network/kf-net");
    assert!(
        text.starts_with("network kf-net does not work, and is a root cause itself."),
        "{text}"
    );
    assert!(!text.contains("the way there"), "{text}");
    assert!(text.contains("└ ✗ backend service k8s-be-31380"), "{text}");
}

#[test]
fn what_is_in_order_itself_and_stands_above_something_broken_does_not_work() {
    let output = written(&broken());
    assert_eq!(verdict(&output, "address/kf-ip"), (Verdict::Broken, 1));
    let text = said(&output, "address/kf-ip");
    let first = "address kf-ip is in order itself, and cannot work: network kf-net is broken.";
    assert!(text.starts_with(first), "{text}");
}

#[test]
fn what_was_not_seen_is_not_said_to_work() {
    let output = written(&broken());
    assert_eq!(verdict(&output, "gateway/kubeflow-gateway"), (Verdict::NotKnown, 3));
    let above = said(&output, "svc/istio-ingressgateway");
    assert_eq!(verdict(&output, "svc/istio-ingressgateway"), (Verdict::NotKnown, 3));
    assert!(above.contains("1 thing\nthat it depends on could not be looked at."), "{above}");
    let nobody = said(&output, "pod/istio-ingressgateway-5f6d");
    assert!(nobody.contains("no\ncheck looked at it"), "{nobody}");
    assert_eq!(verdict(&output, "svc/centraldashboard"), (Verdict::Works, 0));
}

#[test]
fn a_warning_makes_the_exit_code_1_only_where_that_is_asked_for() {
    let output = written(&broken());
    let why = why(&output, find(&output, "healthcheck/k8s-be-31380").unwrap());
    assert_eq!((why.exit_code(Threshold::Fail), why.exit_code(Threshold::Warn)), (0, 1));
    assert!(why.text(Style::default()).contains("WARNING  gcp-health-check-logging"));
}

#[test]
fn a_root_cause_that_is_suppressed_is_said_to_be() {
    let mut output = written(&broken());
    let suppress = |finding: &mut kfcheck_report::FindingOut| {
        finding.suppressed = Some("known, until March".to_owned());
    };
    let fails = |finding: &&mut kfcheck_report::FindingOut| finding.severity == Severity::Fail;
    output.findings.iter_mut().filter(fails).filter(|f| !f.symptom).for_each(suppress);
    let text = said(&output, "kf.example.com");
    assert!(text.starts_with("host kf.example.com does not work: network kf-net is"), "{text}");
    assert!(text.contains("    suppressed\n              known, until March\n"), "{text}");

    output.findings.iter_mut().filter(fails).for_each(suppress);
    let text = said(&output, "kf.example.com");
    assert!(text.starts_with("host kf.example.com does not work, for a root cause that"), "{text}");
}

#[test]
fn a_report_of_before_says_what_it_knew() {
    let mut output = written(&broken());
    output.root_causes[0].affects.clear();
    assert_eq!(verdict(&output, "kf.example.com").0, Verdict::Broken);
    assert_eq!(verdict(&output, "network/kf-net").0, Verdict::Broken);
    assert!(said(&output, "kf.example.com").contains("the way there"));
}

#[test]
fn programs_get_the_part_of_the_path_that_it_is_on() {
    let output = written(&broken());
    let why = why(&output, find(&output, "gateway/kubeflow-gateway").unwrap());
    let said: Value = serde_json::from_str(&why.json().unwrap()).unwrap();
    assert_eq!(said["schema"], "kfcheck.why/v1");
    assert_eq!(said["verdict"], "notKnown");
    let names = said["path"]["resources"].as_array().unwrap().iter();
    let names: Vec<_> = names.map(|one| one["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"kf.example.com") && names.contains(&"centraldashboard"), "{names:?}");
    assert!(!names.contains(&"kf-net"), "{names:?}");
    let yaml: Value = serde_saphyr::from_str(&why.yaml().unwrap()).unwrap();
    assert_eq!(yaml, said);
    assert_eq!(why.part().path.resources.len(), names.len());
}

#[test]
fn a_crowd_in_which_nothing_is_wrong_is_counted() {
    let output = written(&big(40, 10));
    let text = said(&output, "host/kf.example.com");
    assert!(text.lines().count() < 60, "{text}");
    assert!(text.contains("… 41, healthy or not examined"), "{text}");
    let all = why(&output, find(&output, "host/kf.example.com").unwrap());
    let all = all.text(Style { verbose: true, ..Style::default() });
    assert!(all.contains("model-number-39-predictor"), "{all}");
    let long: Vec<_> = text.lines().filter(|line| line.chars().count() > 80).collect();
    assert!(long.is_empty(), "{long:?}");
}

#[test]
fn a_path_that_goes_round_in_a_report_from_elsewhere_comes_to_an_end() {
    let mut output = written(&broken());
    let turned: Vec<_> = output.path.edges.clone();
    output.path.edges.extend(turned.into_iter().map(|mut edge| {
        std::mem::swap(&mut edge.from, &mut edge.to);
        edge
    }));
    output.path.edges[0].to = "r99".to_owned();
    for one in output.path.resources.clone() {
        let typed = format!("{}/{}", one.resource.kind, one.resource.name);
        assert!(said(&output, &typed).len() < 10_000);
    }
}

#[test]
fn a_name_that_is_not_on_the_path_gets_those_that_are_like_it() {
    let output = written(&broken());
    let error = find(&output, "svc/istio-system/istio-ingresgateway").unwrap_err();
    assert!(error.contains("is not on the request path"), "{error}");
    assert!(error.contains("did you mean service/istio-system/istio-ingressgateway"), "{error}");
    let error = find(&output, "ingressg").unwrap_err();
    assert!(error.contains("service/istio-system/istio-ingressgateway"), "{error}");
    let error = find(&output, "qqqqqqqqqqqqqqqq").unwrap_err();
    assert!(error.contains("-o dot"), "{error}");
}

#[test]
fn a_name_of_several_gets_all_of_them() {
    let mut output = written(&broken());
    let mut other = output.path.resources[0].clone();
    other.id = "r99".to_owned();
    other.status = Status::Pass;
    other.resource.namespace = Some("elsewhere".to_owned());
    let name = other.resource.name.clone();
    output.path.resources.push(other);
    let error = find(&output, &name).unwrap_err();
    assert!(error.contains("several") && error.contains("/elsewhere/"), "{error}");
}
