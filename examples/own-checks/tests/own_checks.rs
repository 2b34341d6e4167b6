//! The check of one's own is one like all others.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
#![cfg(feature = "onprem")]

use std::process::{Command, Output};

fn run(args: &[&str]) -> Output {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    Command::new(env!("CARGO_BIN_EXE_own-checks")).args(args).current_dir(root).output().unwrap()
}

fn said(args: &[&str]) -> String {
    String::from_utf8(run(args).stdout).unwrap()
}

const BUNDLE: &str = "tests/scenarios/onprem-healthy-oauth2-proxy/bundle";

#[test]
fn it_finds_what_it_looks_for_beside_the_others() {
    let ended = run(&["onprem", "--bundle", BUNDLE]);
    let text = String::from_utf8(ended.stdout).unwrap();
    assert_eq!(ended.status.code(), Some(0), "{text}");
    assert!(text.contains("acme-image-registry"), "{text}");
    assert!(text.contains("quay.io/metallb/speaker:v0.15.2"), "{text}");
    assert!(text.contains("registry.acme.example/metallb/speaker:v0.15.2"), "{text}");
    let strict = run(&["onprem", "--bundle", BUNDLE, "--check", "acme-*", "--fail-on", "warn"]);
    assert_eq!(strict.status.code(), Some(1));
    let without = said(&["onprem", "--bundle", BUNDLE, "--skip", "acme-*"]);
    assert!(!without.contains("acme"), "{without}");
}

#[test]
fn it_is_listed_explained_completed_and_given_its_permissions() {
    assert!(said(&["checks"]).contains("acme-image-registry  "));
    assert!(said(&["explain", "acme-image-registry"]).contains("Mirror the image"));
    assert!(
        said(&["__complete", "onprem", "--check", "acme"]).starts_with("acme-image-registry\t")
    );
    let sarif = said(&["onprem", "--bundle", BUNDLE, "-o", "sarif"]);
    assert!(sarif.contains("Mirror the image"), "{sarif}");
    let role = said(&["permissions", "kubernetes", "--minimal", "--check", "acme-*"]);
    assert!(role.contains("pods"), "{role}");
}
