//! `why`, `diff`, `explain`, `--wait` and `--watch`, as people run them.

#![cfg(feature = "onprem")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Command, Output as Ended, Stdio},
};

use serde_json::Value;

const BROKEN: &str = "tests/scenarios/onprem-01-metallb-no-l2advertisement/bundle";
const HEALTHY: &str = "tests/scenarios/onprem-healthy-authservice/bundle";

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-kfcheck"));
    command.args(args).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    command
}

fn run(args: &[&str]) -> Ended {
    command(args).output().unwrap()
}

fn stdout(ended: &Ended) -> String {
    String::from_utf8(ended.stdout.clone()).unwrap()
}

fn stderr(ended: &Ended) -> String {
    String::from_utf8(ended.stderr.clone()).unwrap()
}

/// Runs with this on standard input.
fn piped(args: &[&str], input: &[u8]) -> Ended {
    let pipes = || Stdio::piped();
    let mut command = command(args);
    let mut child = command.stdin(pipes()).stdout(pipes()).stderr(pipes()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn report(bundle: &str, format: &str) -> Vec<u8> {
    run(&["onprem", "--bundle", bundle, "-o", format]).stdout
}

/// A file in a folder that lives as long as it is held.
fn file(name: &str, text: &[u8]) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join(name);
    fs::write(&path, text).unwrap();
    (folder, path.to_str().unwrap().to_owned())
}

#[test]
fn why_says_whether_a_resource_works_and_ends_so() {
    for (bundle, resource, code, says) in [
        (BROKEN, "ipaddresspool/metallb-system/ip-pool", 1, "is a root cause itself."),
        (BROKEN, "host/10.64.140.43", 1, "└ ✖ IPAddressPool metallb-system/ip-pool"),
        (BROKEN, "deploy/auth/dex", 3, "it could not be looked at."),
        (HEALTHY, "svc/istio-ingressgateway", 0, "nothing that it\ndepends on is broken."),
    ] {
        for provider in [&["onprem"][..], &[]] {
            let args = [&["why"], provider, &[resource, "--bundle", bundle]].concat();
            let ended = run(&args);
            let text = stdout(&ended);
            assert_eq!(ended.status.code(), Some(code), "{args:?}: {text}{}", stderr(&ended));
            assert!(text.contains(says), "{args:?}: {text}");
            assert!(ended.stderr.is_empty() && !text.contains('\u{1b}'), "{args:?}");
            let long = text.lines().filter(|line| line.chars().count() > 80);
            let long: Vec<_> = long.filter(|line| !line.contains("echo '{")).collect();
            assert!(long.is_empty(), "{long:?}");
        }
    }
}

#[test]
fn why_says_the_same_in_every_format_and_of_a_report() {
    let (_folder, path) = file("report.json", &report(BROKEN, "json"));
    let yaml = report(BROKEN, "yaml");
    let text = stdout(&run(&["why", "ip-pool", "--bundle", BROKEN]));
    assert_eq!(stdout(&run(&["why", "ip-pool", "--report", &path])), text);
    assert_eq!(stdout(&piped(&["why", "ip-pool", "--report", "-"], &yaml)), text);
    for format in ["text", "json", "yaml", "dot", "mermaid"] {
        let ended = run(&["why", "ip-pool", "--bundle", BROKEN, "-o", format]);
        assert_eq!(ended.status.code(), Some(1), "{format}");
        assert!(stdout(&ended).contains("ip-pool"), "{format}");
        assert!(!stdout(&ended).contains("kubeflow-gateway"), "{format}: not its part of the path");
    }
}

#[test]
fn a_name_that_why_cannot_place_is_no_answer() {
    for (args, says) in [
        (&["why", "ipaddresspool/metallb-system/ip-pol"][..], "did you mean ipaddresspool/"),
        (&["why", "10.64.140.43"], "address/10.64.140.43\n  host/10.64.140.43"),
        (&["why", "ip-pool", "-o", "sarif"], "text, json, yaml, dot and mermaid"),
        (&["why", "ip-pool", "--context", "prod"], "cannot be used with"),
        (&["why", "ip-pool", "--wait"], "cannot be used with"),
        (&["why"], "RESOURCE"),
    ] {
        let ended = run(&[args, &["--bundle", BROKEN]].concat());
        assert_eq!(ended.status.code(), Some(2), "{args:?}");
        assert!(stderr(&ended).contains(says), "{args:?}: {}", stderr(&ended));
        assert!(ended.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn without_a_provider_or_a_cluster_why_says_to_name_it() {
    let ended = run(&["why", "x", "--kubeconfig", "no/such/config"]);
    assert_eq!(ended.status.code(), Some(2));
    assert!(stderr(&ended).contains("kubectl kfcheck why gcp|aws|onprem"), "{}", stderr(&ended));
    let copy = tempfile::tempdir().unwrap();
    fs::create_dir(copy.path().join("kubernetes")).unwrap();
    fs::write(copy.path().join("kubernetes/services.json"), "{}").unwrap();
    let ended = run(&["why", "x", "--bundle", copy.path().to_str().unwrap()]);
    assert_eq!(ended.status.code(), Some(2));
    assert!(stderr(&ended).contains("names no provider"), "{}", stderr(&ended));
}

#[test]
fn diff_says_what_changed_and_ends_so() {
    let same = run(&["diff", BROKEN, BROKEN]);
    assert_eq!(same.status.code(), Some(0), "{}", stderr(&same));
    assert!(stdout(&same).contains("Nothing changed."));
    let mended = run(&["diff", BROKEN, HEALTHY]);
    assert_eq!(mended.status.code(), Some(1), "{}", stderr(&mended));
    assert!(stdout(&mended).contains("GONE  onprem-metallb-advertisement  (root cause)"));
    let broken = run(&["diff", HEALTHY, BROKEN, "--provider", "onprem", "-o", "json"]);
    let changes: Value = serde_json::from_slice(&broken.stdout).unwrap();
    assert_eq!((broken.status.code(), &changes["changed"]), (Some(1), &true.into()));
    let first = &changes["findings"][0];
    assert_eq!(first["change"], "new");
    assert_eq!(first["after"]["role"], "rootCause");
    let markdown = run(&["diff", HEALTHY, BROKEN, "-o", "markdown"]);
    assert_eq!(markdown.status.code(), Some(1));
    assert!(stdout(&markdown).contains("### New\n\n- IPAddressPool"), "{}", stdout(&markdown));
}

#[test]
fn a_bundle_its_report_and_a_report_in_a_pipe_are_the_same() {
    let (_folder, json) = file("report.json", &report(BROKEN, "json"));
    let yaml = report(BROKEN, "yaml");
    for args in [["diff", BROKEN, &json], ["diff", &json, "-"], ["diff", "-", BROKEN]] {
        let ended = piped(&args, &yaml);
        assert_eq!(ended.status.code(), Some(0), "{args:?}: {}{}", stdout(&ended), stderr(&ended));
    }
}

#[test]
fn what_is_no_bundle_and_no_report_is_named() {
    let (_a, list) = file("list.json", br#"{ "kind": "List", "items": [] }"#);
    let (_b, cut) = file("cut.json", &report(BROKEN, "json")[..200]);
    let (_c, text) = file("notes.txt", b"all is well");
    let (_d, bytes) = file("image.png", &[0x89, 0x50, 0xff, 0xfe]);
    let (_e, archive) = file("evidence.tar.gz", &[0x1f, 0x8b, 8, 0, 0, 0]);
    let gcp = String::from_utf8(report(BROKEN, "json")).unwrap();
    let gcp = gcp.replace(
        r#""provider": "onprem",
  "scope""#,
        r#""provider": "gcp",
  "scope""#,
    );
    let (_f, gcp) = file("gcp.json", gcp.as_bytes());
    let later = String::from_utf8(report(BROKEN, "json")).unwrap();
    let (_g, later) = file("v2.json", later.replace("kfcheck/v1", "kfcheck/v2").as_bytes());
    for (args, says) in [
        (&[BROKEN, &list][..], "list.json is no report: missing field"),
        (&[BROKEN, &cut], "cut.json is no report: EOF while parsing"),
        (&[BROKEN, &text], "notes.txt is no report"),
        (&[BROKEN, &bytes], "image.png is no report: invalid utf-8"),
        (&[BROKEN, &archive], "evidence.tar.gz"),
        (&[BROKEN, &gcp], "is of onprem and"),
        (&[BROKEN, &later], "its schema is 'kfcheck/v2'"),
        (&[BROKEN, "docs"], "docs is not a bundle"),
        (&["no/such/file", BROKEN], "cannot read no/such/file"),
        (&["-", "-"], "standard input can't be both"),
        (&[BROKEN, HEALTHY, "--provider", "azure"], "without azure"),
        (&[BROKEN], "<B>"),
    ] {
        let ended = run(&[&["diff"], args].concat());
        assert_eq!(ended.status.code(), Some(2), "{args:?}: {}", stdout(&ended));
        assert!(stderr(&ended).contains(says), "{args:?}: {}", stderr(&ended));
        assert!(ended.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn explain_is_read_by_people_and_markdown_is_the_page_itself() {
    let page = run(&["explain", "onprem-metallb-pool", "-o", "markdown"]);
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/checks/onprem-metallb-pool.md");
    assert_eq!(stdout(&page), fs::read_to_string(file).unwrap());
    let text = stdout(&run(&["explain", "onprem-metallb-pool"]));
    assert!(text.contains("\nWhat it checks\n  "), "{text}");
    assert!(!text.contains(['#', '`', '\u{1b}']), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn what_does_not_change_is_not_watched() {
    for (args, says) in [
        (&["--bundle", BROKEN, "--wait"][..], "cannot be used with"),
        (&["--bundle", BROKEN, "--watch"], "cannot be used with"),
        (&["--wait", "--watch"], "cannot be used with"),
        (&["--interval", "5s"], "--wait"),
        (&["--wait=soon"], "for example 90s"),
        (&["--watch", "--kubeconfig", "no/such/config", "-o", "html"], "text, json or markdown"),
        (&["--watch", "--output-file", "x"], "cannot be used with"),
    ] {
        let ended = run(&[&["onprem"], args].concat());
        assert_eq!(ended.status.code(), Some(2), "{args:?}: {}", stdout(&ended));
        assert!(stderr(&ended).contains(says), "{args:?}: {}", stderr(&ended));
    }
}

#[test]
fn wait_says_each_look_on_standard_error_and_the_last_report_alone_on_standard_output() {
    let cluster = ["--kubeconfig", "no/such/config", "--no-probes"];
    let once = run(&[&["onprem"], &cluster[..]].concat());
    let waited = run(&[&["onprem", "--wait=1s", "--interval", "1s"], &cluster[..]].concat());
    assert_eq!(waited.status.code(), once.status.code());
    assert_eq!(stdout(&waited), stdout(&once));
    let lines = stderr(&waited).lines().count();
    assert!((1..=2).contains(&lines), "{}", stderr(&waited));
}

#[cfg(unix)]
#[test]
fn watch_prints_the_report_and_ends_with_its_code_at_ctrl_c() {
    let args = ["onprem", "--watch", "--kubeconfig", "no/such/config", "--no-probes", "-o", "json"];
    let mut child = command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    let report: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(report["schema"], "kfcheck/v1");
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.is_empty(), "{}", stderr(&ended));
    line.clear();
    out.read_to_string(&mut line).unwrap();
    assert_eq!(line, "", "nothing changed");
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    for (args, code) in [
        (&["why", "ip-pool", "--bundle", BROKEN][..], 1),
        (&["diff", BROKEN, HEALTHY], 1),
        (&["explain", "onprem-metallb-pool"], 0),
        (&["onprem", "--watch", "--kubeconfig", "no/such/config", "--no-probes", "-o", "json"], 1),
    ] {
        let pipes = || Stdio::piped();
        let mut child = command(args).stdout(pipes()).stderr(pipes()).spawn().unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        assert!(ended.stderr.is_empty(), "{args:?}: {}", stderr(&ended));
        assert_eq!(ended.status.code(), Some(code), "{args:?}");
    }
}

#[test]
fn help_has_examples_and_exit_codes() {
    for args in [&["why", "--help"][..], &["why", "onprem", "--help"], &["diff", "--help"]] {
        let ended = run(args);
        let text = stdout(&ended);
        assert_eq!(ended.status.code(), Some(0));
        assert!(text.contains("Examples:") && text.contains("Exit codes: 0"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
