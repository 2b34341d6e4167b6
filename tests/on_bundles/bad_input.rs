//! Nothing that a bundle may hold makes the program panic, hang, or pass what it could not see.

use std::{collections::BTreeMap, fs, path::Path, sync::LazyLock};

use kfcheck::{Bundle, Report, Runner, Status};
use kfcheck_report::{
    Scope, Style, Tool, dot, html, json, junit, markdown, mermaid, output, prometheus, sarif, text,
};
use kfcheck_tests::{gcp, replay, root, scenarios};
use proptest::prelude::*;
use serde_json::Value;

type Files = BTreeMap<String, String>;

/// The files of some deployments: a broken one, and one of each healthy shape.
static DEPLOYMENTS: LazyLock<Vec<Files>> = LazyLock::new(|| {
    let healthy = scenarios().into_iter().filter(|f| f.to_string_lossy().contains("healthy"));
    let folders = healthy.map(|folder| folder.join("bundle"));
    folders.chain([root().join("examples/gke-iap-502")]).map(|folder| read(&folder)).collect()
});

fn read(root: &Path) -> Files {
    fn list(root: &Path, folder: &Path, files: &mut Files) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                list(root, &path, files);
            } else {
                let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                files.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut files = Files::new();
    list(root, root, &mut files);
    files
}

fn inspect(files: &Files) -> Report {
    let with =
        |bundle: Bundle, (name, text): (&String, &String)| bundle.with_text(name, text.clone());
    let world = replay(files.iter().fold(Bundle::default(), with));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let report = runtime.block_on(Runner::default().run(&world, &gcp().checks));
    // Every output has to take whatever was found.
    let _ = text(&report, Style { verbose: true, colour: true });
    let tool = Tool { name: "kubectl-kfcheck", version: "0" };
    let output = output(&report, tool, "gcp", &Scope::default(), 0);
    let _ = (markdown(&output), prometheus(&output), dot(&output), mermaid(&output));
    for written in [json(&output), html(&output), junit(&output), sarif(&output, |_| None)] {
        written.unwrap();
    }
    report
}

#[track_caller]
fn assert_sound(report: &Report, what: &str) {
    for result in &report.results {
        assert_ne!(result.status, Status::Bug, "{what}: {} {:?}", result.id, result.unknown);
        let passed = result.status == Status::Pass;
        assert!(!passed || !result.healthy.is_empty(), "{what}: {} passed on nothing", result.id);
    }
}

#[test]
fn a_file_that_is_missing_truncated_or_of_another_type_spoils_nothing_else() {
    let files = &DEPLOYMENTS[0];
    let whole = inspect(files);
    for name in files.keys() {
        for how in [
            "missing",
            "empty",
            "truncated",
            "[]",
            "{}",
            "7",
            "null",
            "\"text\"",
            "[7]",
            "[null]",
            "{\"items\": 7}",
        ] {
            let mut broken = files.clone();
            match how {
                "missing" => drop(broken.remove(name)),
                "empty" => drop(broken.insert(name.clone(), String::new())),
                "truncated" => {
                    let text = &files[name];
                    broken.insert(name.clone(), text[..text.len() / 2].to_owned());
                }
                other => drop(broken.insert(name.clone(), other.to_owned())),
            }
            let what = format!("{name} {how}");
            let report = inspect(&broken);
            assert_sound(&report, &what);
            let is_manifest = name.starts_with("kubernetes/") || name == "bundle.yaml";
            if is_manifest || ["[]", "{}", "{\"items\": 7}"].contains(&how) {
                continue;
            }
            // Whatever did not need that file answers as before.
            let place = name.trim_end_matches(".json");
            for (before, after) in whole.results.iter().zip(&report.results) {
                // Whether to send a token is the user's choice, so none is missing.
                if after.id == "gcp-iap-token" {
                    continue;
                }
                let concerned = after.unknown.iter().any(|(_, e)| e.to_string().contains(place))
                    || report.path.gaps.iter().any(|e| e.to_string().contains(place));
                let same = before.status == after.status;
                assert!(
                    same || concerned,
                    "{what}: {} {:?} {:?}",
                    after.id,
                    after.status,
                    after.unknown
                );
            }
        }
    }
}

#[test]
fn every_value_of_every_file_may_be_of_another_type() {
    std::thread::scope(|scope| {
        for files in DEPLOYMENTS.iter() {
            scope.spawn(|| assert_any_type_is_survived(files));
        }
    });
}

fn assert_any_type_is_survived(files: &Files) {
    for (name, text) in files.iter().filter(|(name, _)| name.ends_with(".json")) {
        let whole: Value = serde_json::from_str(text).unwrap();
        for odd in [Value::Null, Value::from(-1), Value::from("text"), Value::from(vec![1])] {
            let mut value = whole.clone();
            replace_leaves(&mut value, &odd);
            let mut broken = files.clone();
            broken.insert(name.clone(), value.to_string());
            assert_sound(&inspect(&broken), &format!("{name} with {odd}"));
        }
    }
}

fn replace_leaves(value: &mut Value, by: &Value) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(|value| replace_leaves(value, by)),
        Value::Object(all) => all.values_mut().for_each(|value| replace_leaves(value, by)),
        leaf => *leaf = by.clone(),
    }
}

/// A change somewhere in the text of a bundle.
#[derive(Clone, Debug)]
struct Change {
    file: prop::sample::Index,
    at: prop::sample::Index,
    length: usize,
    by: String,
}

fn change() -> impl Strategy<Value = Change> {
    let odd = prop::sample::select(vec![
        "",
        "0",
        "-1",
        "99999999999999999999",
        "null",
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "'",
        "\n",
        "---\n",
        "- ",
        "*a",
        "&a ",
        "\t",
        "é",
        "\u{0}",
        "true",
        "1e999",
        "2026-13-45T99:99:99Z",
    ]);
    let by = prop_oneof![odd.prop_map(str::to_owned), "[ -~]{0,12}"];
    let place = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0_usize..40, by);
    place.prop_map(|(file, at, length, by)| Change { file, at, length, by })
}

fn apply(files: &mut Files, change: &Change) {
    let name = change.file.get(&files.keys().cloned().collect::<Vec<_>>()).clone();
    let Some(text) = files.get_mut(&name) else { return };
    let mut chars: Vec<char> = text.chars().collect();
    let at = change.at.index(chars.len() + 1).min(chars.len());
    let end = (at + change.length).min(chars.len());
    chars.splice(at..end, change.by.chars());
    *text = chars.into_iter().collect();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_change_to_a_bundle_is_survived(
        deployment in 0_usize..4,
        changes in prop::collection::vec(change(), 1..6),
    ) {
        let mut files = DEPLOYMENTS[deployment].clone();
        for change in &changes {
            apply(&mut files, change);
        }
        assert_sound(&inspect(&files), "changed");
    }
}
