//! The program as people and other programs run it.

use std::{
    fs,
    process::{Command, Output, Stdio},
};

use kfcheck_tests::{program, root, scenarios};
use serde_json::Value;

fn kfcheck(args: &[&str]) -> Output {
    Command::new(program()).args(args).current_dir(root()).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

const FORMATS: [&str; 10] =
    ["text", "json", "yaml", "html", "markdown", "junit", "sarif", "prometheus", "dot", "mermaid"];

const EXAMPLE: &str = "examples/gke-iap-502";
const HEALTHY: &str = "tests/scenarios/gcp-healthy-negs/bundle";
const DENIED: &str = "tests/scenarios/gcp-permissions-missing/bundle";

#[test]
fn the_example_names_one_root_cause_in_80_columns_without_colour_in_a_pipe() {
    let output = kfcheck(&["gcp", "--bundle", EXAMPLE]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text.matches("ROOT CAUSE").count(), 1, "{text}");
    assert!(text.starts_with("kf.endpoints.ml-prod.cloud.goog is down. 1 root cause,"), "{text}");
    assert!(text.contains("deny-all-ingress (priority 900) denies"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    let long = text.lines().filter(|line| line.chars().count() > 80);
    // A name that is longer than the line can't be broken.
    let long: Vec<_> = long.filter(|line| !line.contains("k8s-be-")).collect();
    assert!(long.is_empty(), "{long:?}");
    assert!(stderr(&output).is_empty(), "{}", stderr(&output));
}

#[test]
fn the_exit_code_is_the_same_in_every_format() {
    for (bundle, code) in [(EXAMPLE, 1), (HEALTHY, 0), (DENIED, 1)] {
        for format in FORMATS {
            let output = kfcheck(&["gcp", "--bundle", bundle, "-o", format]);
            assert_eq!(output.status.code(), Some(code), "{bundle} {format}");
            assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{bundle} {format}");
        }
    }
    let partly = ["gcp", "--bundle", DENIED, "--skip", "kube-api-access"];
    assert_eq!(kfcheck(&partly).status.code(), Some(3), "nothing broken, not everything seen");
    let warned = ["gcp", "--bundle", EXAMPLE, "--check", "gcp-health-check-logging"];
    assert_eq!(kfcheck(&warned).status.code(), Some(0));
    let strict = [&warned[..], &["--fail-on", "warn"]].concat();
    assert_eq!(kfcheck(&strict).status.code(), Some(1));
}

#[test]
fn json_follows_its_schema_and_yaml_says_the_same() {
    let schema = fs::read_to_string(root().join("crates/kfcheck-report/kfcheck.v1.schema.json"));
    let schema: Value = serde_json::from_str(&schema.unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for folder in scenarios() {
        let bundle = folder.join("bundle");
        let bundle = bundle.to_str().unwrap();
        let json = stdout(&kfcheck(&["gcp", "--bundle", bundle, "-o", "json"]));
        let mut report: Value = serde_json::from_str(&json).unwrap();
        let errors: Vec<_> = validator.iter_errors(&report).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{bundle}: {errors:?}");

        let yaml = stdout(&kfcheck(&["gcp", "--bundle", bundle, "-o", "yaml"]));
        let mut same: Value = serde_saphyr::from_str(&yaml).unwrap();
        for report in [&mut report, &mut same] {
            report["durationMs"] = Value::Null;
        }
        assert_eq!(report, same, "{bundle}");
    }
}

#[test]
fn references_within_a_report_hold() {
    let json = stdout(&kfcheck(&["gcp", "--bundle", EXAMPLE, "-o", "json"]));
    let report: Value = serde_json::from_str(&json).unwrap();
    let cause = &report["rootCauses"][0];
    let finding = |id: &Value| {
        let all = report["findings"].as_array().unwrap();
        all.iter().find(|finding| finding["id"] == *id).unwrap().clone()
    };
    assert_eq!(finding(&cause["finding"])["check"], cause["check"]);
    for explained in cause["explains"].as_array().unwrap() {
        assert_eq!(finding(explained)["causedBy"][0], cause["finding"]);
    }
    assert_eq!(report["scope"]["project"], "ml-prod");
    assert_eq!(report["startedAt"], "2020-10-23T15:00:00Z");
    assert_eq!(report["summary"]["rootCauses"], 1);
}

#[test]
fn usage_errors_say_what_to_do_and_exit_2() {
    for (args, says) in [
        (&["gcp", "--bundle", "no/such/folder"][..], "no/such/folder"),
        (&["gcp", "--bundle", EXAMPLE, "--context", "prod"], "cannot be used with"),
        (&["gcp", "--bundle", "docs"], "is not a bundle"),
        (&["gcp", "--bundle", EXAMPLE, "--check", "gcp-nothing"], "no check matches 'gcp-nothing'"),
        (&["gcp", "--bundle", EXAMPLE, "--check", "gcp-["], "is no glob"),
        (&["gcp", "--bundle", EXAMPLE, "--skip", "*"], "no check is left to run"),
        (&["gcp", "--bundle", EXAMPLE, "--timeout", "soon"], "for example 90s"),
        (&["gcp", "--bundle", EXAMPLE, "--ingress", "a/"], "NAMESPACE/NAME"),
        (&["gcp", "--endpoint", "compute"], "compute=https://"),
        (&["gcp", "--dns-server", "dns"], "for example 8.8.8.8"),
        (&["collect", "gcp", "-o", "docs"], "is not empty"),
        (&["gcp", "--bundle", EXAMPLE, "-o", "xml"], "possible values"),
        (&["aws", "--bundle", "no/such/folder"], "no/such/folder"),
        (&["aws", "--bundle", EXAMPLE, "--profile", "prod"], "cannot be used with"),
        (&["collect", "aws", "--script"], "there is no script"),
        (&["onprem", "--address", "here"], "invalid IP address"),
        (&["explain", "gcp-backend-helth"], "did you mean gcp-backend-"),
    ] {
        let output = kfcheck(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains(says), "{args:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn checks_are_chosen_by_globs() {
    let args =
        ["gcp", "--bundle", EXAMPLE, "--check", "gcp-iap-*,kube-*", "--skip", "*-endpoint*", "-v"];
    let text = stdout(&kfcheck(&args));
    assert!(text.contains("gcp-iap-enabled") && text.contains("kube-workload-ready"), "{text}");
    assert!(!text.contains("gcp-iap-endpoint") && !text.contains("gcp-backend-health"), "{text}");
    let listed = stdout(&kfcheck(&["checks", "--check", "gcp-neg-*"]));
    assert_eq!(listed.lines().count(), 4, "{listed}");
}

#[test]
fn an_entrance_can_be_named() {
    let ingress = ["gcp", "--bundle", HEALTHY, "--ingress", "istio-system/envoy-ingress"];
    assert_eq!(kfcheck(&ingress).status.code(), Some(0));
    let service = ["gcp", "--bundle", HEALTHY, "--service", "kubeflow/centraldashboard", "-v"];
    assert!(stdout(&kfcheck(&service)).contains("pass     kube-service-endpoints"));
    let host = ["gcp", "--bundle", HEALTHY, "--host", "kubeflow.example.com"];
    assert!(stdout(&kfcheck(&host)).starts_with("kubeflow.example.com: nothing broken found."));
    let bundle = "tests/scenarios/gcp-healthy-gateway/bundle";
    for entrance in [["--gateway", "istio-system/kubeflow"], ["--host", "kubeflow.example.com"]] {
        let gateway = kfcheck(&[["gcp", "--bundle"], [bundle, "-v"], entrance].concat());
        assert!(stdout(&gateway).contains("pass     gcp-backend-health"), "{entrance:?}");
        assert_eq!(gateway.status.code(), Some(0), "{entrance:?}");
    }
    let other = kfcheck(&["gcp", "--bundle", bundle, "--gateway", "kubeflow/kubeflow-gateway"]);
    assert!(stdout(&other).contains("Gateway kubeflow/kubeflow-gateway does not exist"));
    let missing = kfcheck(&["gcp", "--bundle", HEALTHY, "--ingress", "kubeflow/gone"]);
    assert!(stdout(&missing).contains("Ingress kubeflow/gone does not exist"));
    assert_eq!(missing.status.code(), Some(3), "what was asked about was not seen");
}

#[test]
fn explain_prints_the_page_and_help_has_examples() {
    let page = stdout(&kfcheck(&["explain", "gcp-backend-health", "-o", "markdown"]));
    let file = fs::read_to_string(root().join("docs/checks/gcp-backend-health.md")).unwrap();
    assert_eq!(page, file);
    let read = stdout(&kfcheck(&["explain", "gcp-backend-health"]));
    assert!(read.starts_with("gcp-backend-health\n") && !read.contains("##"), "{read}");
    for args in [&["--help"][..], &["gcp", "--help"], &["explain", "--help"]] {
        let help = stdout(&kfcheck(args));
        assert!(help.contains("kubectl kfcheck gcp") || help.contains("kubectl kfcheck explain"));
        assert!(help.contains("Example"), "{help}");
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let mut child = Command::new(program())
        .args(["gcp", "--bundle", EXAMPLE, "-o", "json"])
        .current_dir(root())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(output.stderr.is_empty(), "{}", stderr(&output));
}

#[test]
fn what_was_left_out_of_an_archive_is_named_and_not_everything_was_seen() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    let status = Command::new("cp").arg("-r").arg(root().join(HEALTHY)).arg(&copy).status();
    assert!(status.unwrap().success());
    std::os::unix::fs::symlink("/etc/passwd", copy.join("kubernetes/extra.txt")).unwrap();
    let output = kfcheck(&["gcp", "--bundle", copy.to_str().unwrap()]);
    assert!(stdout(&output).contains("kubernetes/extra.txt"), "{}", stdout(&output));
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn kubectl_finds_and_runs_it_as_a_plugin() {
    let folder = program().parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let run = |args: &[&str]| {
        let mut kubectl = Command::new("kubectl");
        let output = kubectl.args(args).env("PATH", &path).current_dir(root()).output();
        output.expect("kubectl is installed by scripts/test")
    };
    let output = run(&["kfcheck", "gcp", "--bundle", EXAMPLE]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stdout(&output).contains("ROOT CAUSE  gcp-firewall-health-check"));
    let listed = run(&["plugin", "list"]);
    assert!(stdout(&listed).contains("kubectl-kfcheck"), "{}", stdout(&listed));
}
