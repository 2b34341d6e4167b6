//! What the documentation shows is what there is.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use clap::Parser;
use kubectl_kfcheck::Args;

const PAGES: [&str; 4] = ["README.md", "docs/gcp.md", "docs/aws.md", "docs/onprem.md"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Whether this program was built with what a command line is for.
fn is_built_in(words: &[String]) -> bool {
    let named = |name: &str| words.iter().any(|word| word == name);
    let has_aws = cfg!(feature = "aws") || !named("aws");
    has_aws
        && (cfg!(feature = "gcp") || !named("gcp"))
        && (cfg!(feature = "onprem") || !named("onprem"))
}

/// A line as a shell takes it apart, up to what leads elsewhere; of quotes the single ones.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (nth, part) in line.split('\'').enumerate() {
        if nth % 2 == 1 {
            words.push(part.to_owned());
            continue;
        }
        for word in part.split_whitespace() {
            if ["#", ">", "|", ";"].contains(&word) {
                return words;
            }
            words.push(word.to_owned());
        }
    }
    words
}

#[test]
fn the_program_takes_every_command_that_the_documentation_shows() {
    let mut tried = 0;
    for page in PAGES {
        let text = read(page);
        let lines = text.lines().filter_map(|line| line.strip_prefix("    kubectl kfcheck "));
        for line in lines {
            let words = words(line);
            if is_built_in(&words) {
                let taken = Args::try_parse_from([vec!["kfcheck".to_owned()], words].concat());
                assert!(taken.is_ok(), "{page}: {line}: {}", taken.unwrap_err());
                tried += 1;
            }
        }
    }
    assert!(tried > 10, "{tried}");
}

#[test]
fn a_scenario_prints_what_the_documentation_shows_of_it() {
    let mut tried = 0;
    for page in PAGES {
        let text = read(page);
        let blocks = text.split("\n    kubectl kfcheck ").skip(1);
        for (line, rest) in blocks.filter_map(|block| block.split_once('\n')) {
            let words = words(line);
            let Some(shown) = rest.strip_prefix("\n    ROOT CAUSE") else { continue };
            if !is_built_in(&words) {
                continue;
            }
            let shown: String = shown
                .lines()
                .take_while(|line| !line.is_empty())
                .fold("ROOT CAUSE".to_owned(), |all, line| {
                    all + line.strip_prefix("    ").unwrap_or(line) + "\n"
                });
            let program = env!("CARGO_BIN_EXE_kubectl-kfcheck");
            let ended = Command::new(program).args(&words).current_dir(root()).output().unwrap();
            let printed = String::from_utf8(ended.stdout).unwrap();
            assert!(printed.contains(&shown), "{page}: {line}\n{shown}\n{printed}");
            tried += 1;
        }
    }
    assert_eq!(tried > 0, cfg!(any(feature = "gcp", feature = "aws", feature = "onprem")));
}

#[test]
fn the_readme_shows_the_examples_as_they_are_compiled() {
    let readme = read("README.md");
    for file in
        ["examples/own-checks/src/main.rs", "crates/kubectl-kfcheck/examples/root_causes.rs"]
    {
        let code = read(file);
        let code = &code[code.find("use std").unwrap()..];
        let indented = code.lines().map(|line| match line {
            "" => "\n".to_owned(),
            line => format!("    {line}\n"),
        });
        let indented: String = indented.collect();
        assert!(readme.contains(&indented), "README.md should show {file}:\n{indented}");
    }
}

#[test]
fn every_link_leads_somewhere() {
    for page in PAGES {
        let text = read(page);
        let folder = Path::new(page).parent().unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        for (link, _) in links.filter(|(link, _)| !link.starts_with("https://")) {
            let file = root().join(folder).join(link);
            assert!(file.exists(), "{page} links to {link}");
        }
    }
}

#[test]
#[cfg(feature = "onprem")]
fn the_cron_job_runs_a_command_that_there_is() {
    let text = read("examples/cronjob.yaml");
    let job = text.split("\n---\n").nth(1).unwrap();
    let job: serde_json::Value = serde_saphyr::from_str(job).unwrap();
    let container = "/spec/jobTemplate/spec/template/spec/containers/0";
    let args = job.pointer(&format!("{container}/args")).and_then(|args| args.as_array()).unwrap();
    let args = args.iter().map(|arg| arg.as_str().unwrap());
    let taken = Args::try_parse_from(["kubectl-kfcheck"].into_iter().chain(args));
    assert!(taken.is_ok(), "{}", taken.unwrap_err());
}

#[test]
#[cfg(feature = "onprem")]
fn a_library_names_the_root_causes_of_a_bundle() {
    let program = Path::new(env!("CARGO_BIN_EXE_kubectl-kfcheck"));
    let example = program.parent().unwrap().join("examples/root_causes");
    let bundle = "tests/scenarios/onprem-ldap-bind-refused/bundle";
    let ended = Command::new(example).args(["onprem", bundle]).current_dir(root()).output();
    let ended = ended.expect("cargo builds examples before tests");
    let said = String::from_utf8(ended.stdout).unwrap();
    assert!(said.starts_with("onprem-ldap-bind: ConfigMap auth/dex has Dex bind as"), "{said}");
    assert!(said.contains("takes down host 10.20.30.43"), "{said}");
}
