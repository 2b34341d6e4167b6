//! The program's outputs, over every deployment that this build of it can inspect.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output as Ended, Stdio},
};

use kfcheck_report::{Output, dot, html, json, junit, markdown, mermaid, prometheus, sarif, yaml};

const FORMATS: [&str; 10] =
    ["text", "json", "yaml", "html", "markdown", "junit", "sarif", "prometheus", "dot", "mermaid"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-kfcheck"));
    command.args(args).current_dir(root());
    command
}

fn run(args: &[&str]) -> Ended {
    command(args).output().unwrap()
}

/// The bundles of all providers that were built in, each with its provider.
fn bundles() -> Vec<(&'static str, String)> {
    let built_in = [
        ("aws", cfg!(feature = "aws")),
        ("gcp", cfg!(feature = "gcp")),
        ("onprem", cfg!(feature = "onprem")),
    ];
    let folders = fs::read_dir(root().join("tests/scenarios")).unwrap();
    let mut names: Vec<_> =
        folders.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let bundle = |name: &String| {
        let of = |(provider, built): &&(&str, bool)| *built && name.starts_with(provider);
        let (provider, _) = built_in.iter().find(of)?;
        Some((*provider, format!("tests/scenarios/{name}/bundle")))
    };
    names.iter().filter_map(bundle).collect()
}

fn report(provider: &str, bundle: &str) -> Output {
    let ended = run(&[provider, "--bundle", bundle, "-o", "json"]);
    serde_json::from_slice(&ended.stdout).unwrap()
}

/// What a format makes of a report; without the text, which isn't made from the JSON.
fn rendered(format: &str, output: &Output) -> String {
    match format {
        "json" => json(output).unwrap(),
        "yaml" => yaml(output).unwrap(),
        "html" => html(output).unwrap(),
        "markdown" => markdown(output),
        "junit" => junit(output).unwrap(),
        "sarif" => sarif(output, |_| None).unwrap(),
        "prometheus" => prometheus(output),
        "dot" => dot(output),
        _ => mermaid(output),
    }
}

#[test]
fn every_output_of_every_deployment_names_what_its_json_names() {
    let bundles = bundles();
    assert!(!bundles.is_empty());
    let mut largest = 0;
    for (provider, bundle) in bundles {
        let output = report(provider, &bundle);
        let picture = mermaid(&output);
        for down in output.root_causes.iter().flat_map(|cause| &cause.takes_down) {
            let mut boxes = picture.lines().map(str::trim);
            let drawn = boxes.find(|line| line.starts_with(&format!("{down}["))).unwrap();
            let is_bad = drawn.contains("(affected)") || drawn.contains("(root cause)");
            assert!(is_bad, "{bundle} draws what is down as {drawn}");
        }
        for format in &FORMATS[1..] {
            let text = rendered(format, &output);
            // As plain as Markdown, XML and HTML write it.
            let text = text.replace('\\', "").replace("&apos;", "'").replace("&quot;", "\"");
            for finding in &output.findings {
                let name = finding.resource.name.replace('\\', "");
                assert!(text.contains(&name), "{bundle} as {format} lacks {name}");
                let is_picture = matches!(*format, "dot" | "mermaid");
                assert!(is_picture || text.contains(&finding.check), "{bundle} as {format}");
            }
            if *format == "html" {
                largest = largest.max(text.len());
            }
        }
    }
    assert!(largest < 500_000, "the largest page has {largest} bytes");
}

#[cfg(feature = "onprem")]
#[test]
fn every_format_ends_with_the_same_code_and_is_what_its_json_makes() {
    let bundle = |name: &str| format!("tests/scenarios/onprem-{name}/bundle");
    let (healthy, broken) = (bundle("healthy-ldap"), bundle("01-metallb-no-l2advertisement"));
    let unseen = ["--check", "kube-webhook-endpoints"];
    for (bundle, some, code) in
        [(healthy, &[][..], 0), (broken.clone(), &[], 1), (broken, &unseen, 3)]
    {
        let args = |format| [&["onprem", "--bundle", &bundle, "-o", format], some].concat();
        let output: Output = serde_json::from_slice(&run(&args("json")).stdout).unwrap();
        for format in FORMATS {
            let ended = run(&args(format));
            assert_eq!(ended.status.code(), Some(code), "{bundle} {format}");
            assert!(ended.stderr.is_empty(), "{bundle} {format}");
            // The others say how long it took, or take the pages of the checks.
            if matches!(format, "html" | "markdown" | "dot" | "mermaid") {
                let text = String::from_utf8(ended.stdout).unwrap();
                assert_eq!(text, rendered(format, &output), "{bundle} {format}");
            }
        }
    }
}

#[test]
fn verbose_changes_nothing_that_a_machine_reads() {
    let (provider, bundle) = bundles().remove(0);
    for format in ["html", "markdown", "dot", "mermaid"] {
        let plain = run(&[provider, "--bundle", &bundle, "-o", format]);
        let verbose = run(&[provider, "--bundle", &bundle, "-o", format, "-v"]);
        assert_eq!(plain.stdout, verbose.stdout, "{format}");
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_error_in_any_format() {
    let (provider, bundle) = bundles().remove(0);
    let expected = run(&[provider, "--bundle", &bundle]).status.code();
    for format in FORMATS {
        let mut child = command(&[provider, "--bundle", &bundle, "-o", format])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), expected, "{format}");
        assert!(ended.stderr.is_empty(), "{format}: {}", String::from_utf8_lossy(&ended.stderr));
    }
}

#[test]
fn a_report_goes_to_a_file_as_it_goes_to_a_reader() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report");
    let path = file.to_str().unwrap();
    let (provider, bundle) = bundles().remove(0);
    for format in ["text", "html", "markdown"] {
        let printed = run(&[provider, "--bundle", &bundle, "-o", format]);
        let saved = run(&[provider, "--bundle", &bundle, "-o", format, "--output-file", path]);
        assert_eq!(fs::read(&file).unwrap(), printed.stdout, "{format}");
        assert_eq!(saved.status.code(), printed.status.code());
        assert!(saved.stdout.is_empty() && saved.stderr.is_empty());
    }
    let nowhere = folder.path().join("none/report");
    let nowhere = nowhere.to_str().unwrap();
    let failed = run(&[provider, "--bundle", &bundle, "--output-file", nowhere]);
    assert_eq!(failed.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&failed.stderr).contains("none/report"));
}
