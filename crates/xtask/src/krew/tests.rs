//! What krew and its index ask of a manifest and an archive (krew, `internal/index/validation`; krew
//! documentation, "Plugin naming guide").

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use regex::Regex;
use serde_json::Value;

use super::{PLATFORMS, TEMPLATE, manifest_of, pack, platform, sum};
use crate::root;

const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"));
const URL: &str = "https://example.com/kfcheck/releases/download/v0.1.0";

fn parsed(manifest: &str) -> Value {
    serde_saphyr::from_str(manifest).unwrap()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn matches(pattern: &str, text: &str) -> bool {
    Regex::new(pattern).unwrap().is_match(text)
}

/// What krew finds wrong, in its order.
fn wrong(manifest: &Value) -> Option<&'static str> {
    if text(manifest, "/apiVersion") != "krew.googlecontainertools.github.com/v1alpha2" {
        return Some("apiVersion");
    }
    if text(manifest, "/kind") != "Plugin" {
        return Some("kind");
    }
    if !matches(r"^[\w-]+$", text(manifest, "/metadata/name")) {
        return Some("name");
    }
    let short = text(manifest, "/spec/shortDescription");
    if short.is_empty() || short.contains(['\r', '\n']) {
        return Some("shortDescription");
    }
    let platforms = manifest.pointer("/spec/platforms").and_then(Value::as_array);
    let Some(platforms) = platforms.filter(|all| !all.is_empty()) else { return Some("platforms") };
    if !matches(r"^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$", text(manifest, "/spec/version")) {
        return Some("version");
    }
    platforms.iter().find_map(wrong_platform)
}

fn wrong_platform(platform: &Value) -> Option<&'static str> {
    if text(platform, "/uri").is_empty() {
        return Some("uri");
    }
    if !matches("^[a-f0-9]{64}$", text(platform, "/sha256")) {
        return Some("sha256");
    }
    if text(platform, "/bin").is_empty() {
        return Some("bin");
    }
    let files = platform.pointer("/files").and_then(Value::as_array);
    let is_whole = |file: &Value| !text(file, "/from").is_empty() && !text(file, "/to").is_empty();
    if files.is_some_and(|files| files.is_empty() || !files.iter().all(is_whole)) {
        return Some("files");
    }
    let labels = platform.pointer("/selector/matchLabels").and_then(Value::as_object);
    let is_known = |key: &String| key == "os" || key == "arch";
    if !labels.is_some_and(|labels| !labels.is_empty() && labels.keys().all(is_known)) {
        return Some("selector");
    }
    None
}

fn filled(platforms: &[&'static str]) -> String {
    let template = fs::read_to_string(root().join(TEMPLATE)).unwrap();
    let archives: Vec<_> = platforms.iter().map(|one| (*one, sum(one.as_bytes()))).collect();
    manifest_of(&template, VERSION, URL, &archives)
}

#[test]
fn a_manifest_of_all_platforms_is_one_that_krew_takes() {
    let manifest = filled(&PLATFORMS);
    let parsed = parsed(&manifest);
    assert_eq!(wrong(&parsed), None, "{manifest}");
    let all = parsed.pointer("/spec/platforms").and_then(Value::as_array).unwrap();
    assert_eq!(all.len(), 4);
    for (platform, named) in all.iter().zip(PLATFORMS) {
        let labels = |key: &str| text(platform, &format!("/selector/matchLabels/{key}")).to_owned();
        assert_eq!(format!("{}-{}", labels("os"), labels("arch")), named);
        let archive = format!("{URL}/kubectl-kfcheck-{VERSION}-{named}.tar.gz");
        assert_eq!(text(platform, "/uri"), archive);
        assert_eq!(text(platform, "/sha256"), sum(named.as_bytes()));
    }
    assert_eq!(text(&parsed, "/spec/homepage"), "https://example.com/kfcheck");
    // A word of the template's that nothing was filled in for.
    assert!(!matches("SHA256|VERSION|URL|HOMEPAGE", &manifest), "{manifest}");
}

#[test]
fn the_rules_find_what_is_wrong() {
    let right = parsed(&filled(&PLATFORMS));
    for (pointer, value, named) in [
        ("/apiVersion", "v1", "apiVersion"),
        ("/kind", "Plug", "kind"),
        ("/metadata/name", "kf/check", "name"),
        ("/spec/shortDescription", "two\nlines", "shortDescription"),
        ("/spec/version", "0.1.0", "version"),
        ("/spec/platforms/1/uri", "", "uri"),
        ("/spec/platforms/2/sha256", "SHA256-darwin-amd64", "sha256"),
        ("/spec/platforms/0/bin", "", "bin"),
        ("/spec/platforms/3/files/0/to", "", "files"),
    ] {
        let mut other = right.clone();
        *other.pointer_mut(pointer).unwrap() = value.into();
        assert_eq!(wrong(&other), Some(named));
    }
}

#[test]
fn the_name_is_one_that_the_index_takes() {
    let manifest = parsed(&filled(&PLATFORMS));
    let name = text(&manifest, "/metadata/name");
    // The file is called as the plugin is.
    assert!(TEMPLATE.ends_with(&format!("/{name}.yaml")));
    assert!(matches("^[a-z][a-z0-9-]*$", name));
    assert!(!name.starts_with("kubectl") && !name.starts_with("kube-"), "{name}");
    // Its list shows no more than this on a terminal, and what is a plugin there needs no saying.
    let short = text(&manifest, "/spec/shortDescription");
    assert!(short.len() <= 60 && !short.contains("kubectl") && !short.ends_with('.'), "{short}");
}

/// A program that writes a manual, as far as packing needs it.
fn program(folder: &Path) -> String {
    let file = folder.join("program");
    let text = "#!/bin/sh\nmkdir -p \"$2\" && echo page > \"$2/kubectl-kfcheck.1\"\n";
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn an_archive_is_packed_and_installed_as_krew_does() {
    let folder = tempfile::tempdir().unwrap();
    let (program, to) = (program(folder.path()), folder.path().join("dist"));
    let to = to.to_str().unwrap();
    let said = pack(&root(), VERSION, to, URL, Some(&program)).unwrap();
    let manifest = parsed(&fs::read_to_string(format!("{to}/kfcheck.yaml")).unwrap());
    assert_eq!(wrong(&manifest), None);
    let platforms = manifest.pointer("/spec/platforms").and_then(Value::as_array).unwrap();
    assert_eq!(platforms.len(), 1, "{said}");
    assert!(said.contains("missing "), "{said}");

    let here = platform().unwrap();
    let archive = format!("{to}/kubectl-kfcheck-{VERSION}-{here}.tar.gz");
    assert_eq!(text(&platforms[0], "/sha256"), sum(&fs::read(&archive).unwrap()));
    let (unpacked, installed) = (folder.path().join("unpacked"), folder.path().join("installed"));
    fs::create_dir_all(&unpacked).unwrap();
    fs::create_dir_all(&installed).unwrap();
    let tar = Command::new("tar").args(["-xzf", &archive, "-C"]).arg(&unpacked).status().unwrap();
    assert!(tar.success());
    let files = platforms[0].pointer("/files").and_then(Value::as_array).unwrap();
    for file in files {
        let (from, to) = (text(file, "/from"), text(file, "/to"));
        assert!(!from.contains("..") && to == ".", "{file}");
        fs::rename(unpacked.join(from), installed.join(from)).unwrap();
    }
    let bin = installed.join(text(&platforms[0], "/bin"));
    assert!(fs::metadata(bin).unwrap().permissions().mode() & 0o111 != 0);
    assert!(installed.join("LICENSE").is_file(), "the index asks for it");
    assert!(unpacked.join("man/man1/kubectl-kfcheck.1").is_file());

    // The same program makes the same archive.
    let before = fs::read(&archive).unwrap();
    pack(&root(), VERSION, to, URL, Some(&program)).unwrap();
    assert_eq!(fs::read(&archive).unwrap(), before);
}

#[test]
fn archives_of_other_platforms_that_are_there_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (program, to) = (program(folder.path()), folder.path().to_str().unwrap().to_owned());
    for platform in PLATFORMS {
        let file = format!("{to}/kubectl-kfcheck-{VERSION}-{platform}.tar.gz");
        fs::write(file, platform).unwrap();
    }
    let said = pack(&root(), VERSION, &to, URL, Some(&program)).unwrap();
    assert!(!said.contains("missing"), "{said}");
    let manifest = parsed(&fs::read_to_string(format!("{to}/kfcheck.yaml")).unwrap());
    assert_eq!(wrong(&manifest), None);
    assert_eq!(manifest.pointer("/spec/platforms").and_then(Value::as_array).unwrap().len(), 4);
}

#[test]
fn what_cannot_be_released_is_refused() {
    let refused =
        |version: &str, url: &str| pack(&root(), version, "/none", url, None).unwrap_err();
    assert!(refused("v9.9.9", URL).contains(&format!("it says {VERSION}")));
    assert!(refused(VERSION, "example.com").contains("begins with https://"));
}
