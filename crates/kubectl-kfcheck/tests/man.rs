//! The manual pages.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::{fs, process::Command};

fn written() -> (tempfile::TempDir, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("share/man1");
    let program = env!("CARGO_BIN_EXE_kubectl-kfcheck");
    let ended = Command::new(program).arg("man").arg(&pages).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let entries = fs::read_dir(pages).unwrap();
    let mut files: Vec<_> =
        entries.map(|entry| entry.unwrap().path().to_str().unwrap().to_owned()).collect();
    files.sort();
    (folder, files)
}

#[test]
fn every_command_has_a_page_and_every_page_that_is_named_is_there() {
    let (_folder, files) = written();
    let names: Vec<_> =
        files.iter().map(|file| file.rsplit('/').next().unwrap().to_owned()).collect();
    for page in ["kubectl-kfcheck.1", "kubectl-kfcheck-explain.1", "kubectl-kfcheck-man.1"] {
        assert!(names.contains(&page.to_owned()), "{page} is not among {names:?}");
    }
    for file in &files {
        let text = fs::read_to_string(file).unwrap();
        for named in text.lines().filter_map(|line| line.strip_suffix("(1)")) {
            let page = format!("{}.1", named.replace('\\', ""));
            assert!(names.contains(&page), "{file} names {page}");
        }
    }
}

#[test]
fn pages_are_free_of_faults_and_examples_keep_their_lines() {
    let (_folder, files) = written();
    let linted = Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).args(&files).output();
    let linted = linted.expect("mandoc is installed by scripts/setup --tests");
    let said = String::from_utf8_lossy(&linted.stdout);
    // A page is the same whenever it is made, and so has no date.
    let faults: Vec<_> = said.lines().filter(|line| !line.contains("missing date")).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    let page = files.iter().find(|file| file.ends_with("/kubectl-kfcheck.1")).unwrap();
    let shown = Command::new("mandoc").args(["-T", "ascii", "-O", "width=90", page]).output();
    // Without what it prints over itself to make it bold.
    let shown = String::from_utf8_lossy(&shown.unwrap().stdout).into_owned();
    assert!(shown.contains("  kubectl kfcheck gcp --bundle evidence.tar.gz "), "{shown}");
    assert!(shown.contains("0 nothing is broken; 1 something is"), "{shown}");
}
