//! The page as a browser shows it: Chromium, driven by Selenium, which `scripts/setup --tests`
//! installs. What it looked like is in `target/tmp/browser`, to be looked at.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod deployment;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use deployment::{big, broken, called, written};
use kfcheck_report::{Output, html};
use serde_json::json;

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Has a browser try the page of a report; fails with what it says is wrong.
#[track_caller]
fn look(name: &str, output: &Output, looks: &[&str]) {
    let page = folder().join(name).with_extension("html");
    fs::write(&page, html(output).unwrap()).unwrap();
    let found = output.findings.iter().map(|finding| {
        let resource = &finding.resource;
        let namespace = resource.namespace.iter().map(|namespace| format!("{namespace}/"));
        let name = namespace.collect::<String>() + &resource.name;
        json!({ "id": finding.id, "check": finding.check, "name": name,
            "message": finding.message, "evidence": finding.evidence,
            "remedies": finding.remedies })
    });
    let expected = json!({
        "findings": found.collect::<Vec<_>>(),
        "cause": output.root_causes.first().map(|cause| &cause.finding),
        "checks": output.checks,
    });
    let expectations = folder().join(name).with_extension("json");
    fs::write(&expectations, expected.to_string()).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tried = Command::new(root.join("../../target/tools/browser/bin/python"))
        .arg(root.join("tests/browser.py"))
        .args([&page, &expectations])
        .args(looks)
        .output()
        .expect("Selenium; scripts/setup --tests installs it");
    let says = String::from_utf8_lossy(&tried.stderr);
    assert!(tried.status.success(), "{}: {says}", page.display());
}

#[test]
fn the_page_leads_from_the_broken_hop_to_its_evidence_at_two_widths_in_light_and_dark() {
    look("broken", &written(&broken()), &["1280-light", "1280-dark", "390-light", "390-dark"]);
}

#[test]
fn the_page_of_hundreds_of_pods_is_as_easy_to_use() {
    look("big", &written(&big(40, 10)), &["1280-light", "390-dark"]);
}

#[test]
fn nothing_that_a_resource_is_called_is_run() {
    let harm = "</script></style>\"'><img src=x onerror=document.title='hurt'>\
        <script>document.title='hurt'</script><svg onload=document.title='hurt'>";
    look("hostile", &written(&called(harm)), &["1280-dark", "390-light"]);
}
