//! The configuration file: what it changes, and what is said of one that is wrong.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs the program in a folder that has this configuration.
fn run(config: &str, args: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(".kfcheck.yaml"), config).unwrap();
    command(args).current_dir(folder.path()).output().unwrap()
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-kfcheck"));
    command.args(args).env_remove("KFCHECK_CONFIG");
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What is said of a configuration that is wrong.
fn complaint(config: &str) -> String {
    let output = run(config, &["config", "check"]);
    assert_eq!(output.status.code(), Some(2), "{config}\n{}", stdout(&output));
    assert!(output.stdout.is_empty());
    stderr(&output).trim_end().to_owned()
}

fn schema() -> Value {
    serde_json::from_slice(&run("", &["config", "schema"]).stdout).unwrap()
}

fn example() -> String {
    let page = fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let (_, rest) = page.split_once("```yaml\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

#[test]
fn what_is_wrong_is_named_with_line_and_column_and_what_was_expected() {
    let rule = |check: &str, resource: &str, expires: &str| {
        format!(
            "suppressions:\n  - check: '{check}'\n    resource: '{resource}'\n    reason: known\n    \
             expires: {expires}\n"
        )
    };
    for (config, expected) in [
        (
            "threshold: {}\n".to_owned(),
            "1:1: `threshold` is no key here; did you mean thresholds?; expected schema, scope,",
        ),
        (
            "failOn: fail\nthresholds:\n  certificateDay: 3\n".to_owned(),
            "3:3: `certificateDay` is no key here; did you mean certificateDays?; expected",
        ),
        (
            rule("kube-*", "*", "2027-02-30"),
            "5:14: '2027-02-30' won't do; expected a day, for example",
        ),
        (rule("kube-*", "*", "soon"), "5:14: 'soon' won't do; expected a day"),
        (
            rule("kube-*", "*", "2027-01-31T10:00"),
            "5:14: '2027-01-31T10:00' won't do; expected a day",
        ),
        (rule("kube-[", "*", "2027-01-31"), "2:12: 'kube-[' is no glob: "),
        (rule("kube-*", "pod/{a", "2027-01-31"), "3:15: 'pod/{a' is no glob: "),
        (
            rule("kube-workload-redy", "*", "2027-01-31"),
            "2:12: no check matches 'kube-workload-redy'; did you mean kube-workload-ready?; `kubectl",
        ),
        (
            "suppressions:\n- check: 'kube-*'\n  resource: '*'\n  expires: 2027-01-31\n".to_owned(),
            "4:3: a `reason` is missing beside this",
        ),
        (
            "suppressions:\n- check: '*'\n  resource: '*'\n  reason: ' '\n".to_owned(),
            "4:11: it is empty; expected some text",
        ),
        ("checks:\n  skip: [kube-webhok-endpoints]\n".to_owned(), "2:10: no check matches"),
        (
            "timeout: forever\n".to_owned(),
            "1:10: 'forever' won't do; expected a duration of 1s to 24h",
        ),
        ("failOn: never\n".to_owned(), "1:9: 'never' won't do; expected fail or warn"),
        ("schema: kfcheck.config/v2\n".to_owned(), "1:9: 'kfcheck.config/v2' is not known here"),
        ("names:\n  dex: auth\n".to_owned(), "2:8: expected a list, each item after a hyphen"),
        ("names:\n  dex: ['$(id)']\n".to_owned(), "2:9: '$(id)' won't do; expected a name of Kub"),
        (
            "names: {gateway: {istio: gw}}\n".to_owned(),
            "1:26: 'gw' won't do; expected NAMESPACE/NAME",
        ),
        (
            "thresholds: {quotaPercent: 101}\n".to_owned(),
            "1:28: '101' won't do; expected a whole num",
        ),
        ("probes: {dnsServer: dns}\n".to_owned(), "1:21: 'dns' won't do; expected an address"),
        ("probes: {googleRanges: [10]}\n".to_owned(), "1:25: '10' won't do; expected a range of"),
        (
            "scope: {onprem: {address: here}}\n".to_owned(),
            "1:27: 'here' won't do; expected an address",
        ),
        (
            "scope: {host: a, ingress: b/c}\n".to_owned(),
            "1:27: `ingress` beside `host`; expected one",
        ),
        ("scope:\n".to_owned(), "1:6: expected keys and values"),
        ("timeout: 1m\ntimeout: 2m\n".to_owned(), "2:1: `timeout` is there twice; expected once"),
        ("timeout: 1m\n---\ntimeout: 2m\n".to_owned(), "3:1: a second document; expected one"),
        ("- a\n".to_owned(), "1:1: expected keys and values"),
        ("timeout: [1]\n".to_owned(), "1:10: expected some text"),
        (
            "suppressions:\n- check: a\n  resource: *\n".to_owned(),
            "3:13: while scanning an anchor or alias; quote what begins with an asterisk, as '*'",
        ),
    ] {
        let says = complaint(&config);
        let expected = format!("kfcheck: .kfcheck.yaml:{expected}");
        assert!(says.starts_with(&expected), "{config}\n{says}\n{expected}");
    }
    let says = complaint("a: [\n");
    assert!(says.starts_with("kfcheck: .kfcheck.yaml:"), "{says}");
}

#[test]
fn a_configuration_that_cannot_be_read_is_named() {
    for args in [&["config", "check", "none.yaml"][..], &["config", "check", "."]] {
        let output = run("", args);
        let says = stderr(&output);
        assert_eq!(output.status.code(), Some(2));
        assert!(says.starts_with("kfcheck: cannot read the configuration "), "{says}");
    }
    let folder = tempfile::tempdir().unwrap();
    let output = command(&["config", "check"]).current_dir(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("there is no .kfcheck.yaml here"), "{}", stderr(&output));
}

#[test]
fn the_example_of_the_documentation_is_read_has_every_key_and_fits_the_schema() {
    let example = example();
    let output = run(&example, &["config", "check"]);
    assert_eq!(stdout(&output), ".kfcheck.yaml is in order; it has 2 suppressions.\n");
    let value: Value = serde_saphyr::from_str(&example).unwrap();
    let schema = schema();
    let validator = jsonschema::draft202012::options().build(&schema).unwrap();
    let wrong: Vec<_> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    for (path, keys) in objects(&schema) {
        let there = path.iter().fold(&value, |value, key| &value[key.as_str()]);
        let there = there.as_array().map_or(there, |items| &items[0]);
        for key in keys {
            // A host stands for all entrances.
            let other = ["ingress", "gateway", "service"].contains(&&*key) && path == ["scope"];
            assert!(other || there.get(&key).is_some(), "{path:?} lacks {key}");
        }
    }
}

/// The objects of the schema, each with its keys; those in lists as the lists.
fn objects(schema: &Value) -> Vec<(Vec<String>, BTreeSet<String>)> {
    fn walk(at: &Value, path: &[String], all: &mut Vec<(Vec<String>, BTreeSet<String>)>) {
        let at = at.get("items").unwrap_or(at);
        let Some(keys) = at["properties"].as_object() else { return };
        assert_eq!(at["additionalProperties"], false, "{path:?} is not strict");
        all.push((path.to_vec(), keys.keys().cloned().collect()));
        for (key, value) in keys {
            walk(value, &[path, std::slice::from_ref(key)].concat(), all);
        }
    }
    let mut all = Vec::new();
    walk(schema, &[], &mut all);
    all
}

#[test]
fn schema_and_reader_know_the_same_keys() {
    let all = objects(&schema());
    assert_eq!(all.len(), 11);
    for (path, keys) in all {
        // One that nobody knows is told with those that are known.
        let mut config = "{nobody: 1}".to_owned();
        for key in path.iter().rev() {
            let is_list = key == "suppressions";
            config = if is_list {
                format!("{{{key}: [{config}]}}")
            } else {
                format!("{{{key}: {config}}}")
            };
        }
        let says = complaint(&config);
        let (_, known) = says.split_once("expected ").unwrap();
        let known: BTreeSet<_> =
            known.replace(" or ", ", ").split(", ").map(str::to_owned).collect();
        assert_eq!(known, keys, "{path:?}");
    }
}

#[cfg(feature = "onprem")]
mod onprem {
    use super::{Path, Value, command, fs, root, run, stderr, stdout};

    fn bundle(name: &str) -> String {
        root().join(format!("tests/scenarios/onprem-{name}/bundle")).to_str().unwrap().to_owned()
    }

    /// What an inspection says as JSON under a configuration, with its exit code.
    fn report(config: &str, name: &str, more: &[&str]) -> (Value, i32) {
        let bundle = bundle(name);
        let output = run(config, &[&["onprem", "--bundle", &bundle, "-o", "json"], more].concat());
        assert!(output.stderr.is_empty(), "{}", stderr(&output));
        (serde_json::from_slice(&output.stdout).unwrap(), output.status.code().unwrap())
    }

    fn suppression(check: &str, resource: &str, expires: &str) -> String {
        format!(
            "suppressions:\n- check: '{check}'\n  resource: '{resource}'\n  reason: known\n  expires: \
             {expires}\n"
        )
    }

    const BROKEN: &str = "01-metallb-no-l2advertisement";

    #[test]
    fn what_is_suppressed_does_not_make_the_exit_code_and_is_told() {
        let (before, code) = report("", BROKEN, &[]);
        assert_eq!(code, 1);
        let all = before["findings"].as_array().unwrap().len();
        let (after, code) = report(&suppression("*", "*", "2099-12-31"), BROKEN, &[]);
        let unseen = after["summary"]["unknown"].as_u64().unwrap() > 0
            || !after["unseen"].as_array().unwrap().is_empty();
        assert_eq!(code, if unseen { 3 } else { 0 });
        assert_eq!(after["summary"]["suppressed"], all);
        assert_eq!(after["summary"]["fail"], 0);
        assert_eq!(after["summary"]["rootCauses"], 0);
        assert!(after["rootCauses"].as_array().unwrap().is_empty());
        for finding in after["findings"].as_array().unwrap() {
            assert_eq!(finding["suppressed"], "known");
            assert_eq!(finding["suppressedUntil"], "2099-12-31");
        }
        let bundle = bundle(BROKEN);
        let text = run(&suppression("*", "*", "2099-12-31"), &["onprem", "--bundle", &bundle]);
        let text = stdout(&text);
        assert!(text.contains("nothing broken found but what is suppressed."), "{text}");
        assert!(text.contains(&format!(", {all} suppressed.")), "{text}");
        assert!(text.contains("SUPPRESSED  onprem-") && text.contains("known (until 2099-12-31)"));
        assert!(!text.contains("ROOT CAUSE"), "{text}");
    }

    #[test]
    fn a_root_cause_that_explains_what_counts_is_told_as_suppressed() {
        let (before, _) = report("", BROKEN, &[]);
        let root = &before["rootCauses"][0];
        assert!(!root["explains"].as_array().unwrap().is_empty(), "{root}");
        let check = root["check"].as_str().unwrap();
        let config = suppression(check, "*", "2099-12-31");
        let (after, code) = report(&config, BROKEN, &[]);
        assert_eq!(code, 1, "what it explains counts");
        assert_eq!(after["rootCauses"][0]["check"], check);
        assert_eq!(after["summary"]["rootCauses"], 0);
        let bundle = bundle(BROKEN);
        let text = stdout(&run(&config, &["onprem", "--bundle", &bundle]));
        assert!(text.contains(&format!("ROOT CAUSE  {check}")), "{text}");
        assert!(text.contains("suppressed\n              known (until 2099-12-31)"), "{text}");
        assert!(!text.contains("SUPPRESSED"), "{text}");
    }

    #[test]
    fn an_expired_and_a_never_matching_suppression_are_warnings_with_their_place() {
        let config = suppression("onprem-*", "*", "2001-01-31")
            + "- {check: onprem-metallb-advertisement, resource: pod/x, reason: a, expires: 2099-12-31}\n";
        let (report, code) = report(&config, BROKEN, &[]);
        assert_eq!(code, 1);
        let warnings = report["warnings"].as_array().unwrap();
        let said: Vec<_> = warnings
            .iter()
            .map(|warning| {
                let part = |key: &str| warning[key].as_str().unwrap().to_owned();
                format!("{} {} {}", part("place"), part("about"), part("message"))
            })
            .collect();
        assert_eq!(
            said,
            [
                ".kfcheck.yaml:2:10 the suppression of onprem-* on * expired on 2001-01-31 and suppresses \
             nothing any more",
                ".kfcheck.yaml:6:11 the suppression of onprem-metallb-advertisement on pod/x matches \
             nothing that was found; take it out",
            ]
        );
        let bundle = bundle(BROKEN);
        let text = stdout(&run(&config, &["onprem", "--bundle", &bundle]));
        assert!(text.contains("WARNING  .kfcheck.yaml:6:11\n"), "{text}");
    }

    #[test]
    fn a_warning_makes_the_exit_code_where_warnings_do() {
        let config = suppression("onprem-*", "*", "2001-01-31");
        let (_, code) = report(&config, "healthy-ldap", &[]);
        assert_eq!(code, 0);
        let (_, code) = report(&config, "healthy-ldap", &["--fail-on", "warn"]);
        assert_eq!(code, 1);
        let (_, code) = report(&format!("failOn: warn\n{config}"), "healthy-ldap", &[]);
        assert_eq!(code, 1);
        let (_, code) =
            report(&format!("failOn: warn\n{config}"), "healthy-ldap", &["--fail-on", "fail"]);
        assert_eq!(code, 0, "the flag wins");
    }

    #[test]
    fn flags_choose_checks_before_the_file_does() {
        let ids = |config: &str, more: &[&str]| {
            let (report, _) = report(config, BROKEN, more);
            let checks = report["checks"].as_array().unwrap().iter();
            checks.map(|check| check["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let config = "checks: {only: ['onprem-dex-*', 'gcp-*'], skip: [onprem-dex-issuer]}";
        let chosen = ids(config, &[]);
        assert!(chosen.contains(&"onprem-dex-config".to_owned()), "{chosen:?}");
        assert!(chosen.iter().all(|id| id.starts_with("onprem-dex-") && id != "onprem-dex-issuer"));
        assert_eq!(ids(config, &["--check", "onprem-dex-issuer"]), ["onprem-dex-issuer"]);
        let chosen = ids(config, &["--skip", "onprem-dex-config"]);
        assert!(chosen.contains(&"onprem-dex-issuer".to_owned()), "{chosen:?}");
        assert!(ids(config, &["--no-config"]).len() > 20);
        let bundle = bundle(BROKEN);
        let nothing = run("checks: {only: ['gcp-*']}", &["onprem", "--bundle", &bundle]);
        assert_eq!(nothing.status.code(), Some(2));
        assert!(stderr(&nothing).contains("names no check of onprem"), "{}", stderr(&nothing));
    }

    #[test]
    fn the_entrance_is_the_flags_or_else_the_files() {
        let entrances = |config: &str, more: &[&str]| {
            let (report, _) = report(config, "healthy-ldap", more);
            let ids = report["path"]["entrances"].as_array().unwrap().clone();
            let all = report["path"]["resources"].as_array().unwrap().iter();
            let names = all.filter(|resource| ids.contains(&resource["id"]));
            names.map(|one| one["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let config = "scope: {host: from.the.file}";
        assert_eq!(entrances(config, &[]), ["from.the.file"]);
        assert_eq!(entrances(config, &["--host", "from.the.flag"]), ["from.the.flag"]);
        let none = ["--service", "istio-system/none"];
        assert!(!entrances(config, &none).contains(&"from.the.file".to_owned()));
    }

    /// The bundle of a scenario, with other texts, and folders that are called otherwise.
    fn changed(name: &str, folders: (&str, &str), texts: &[(&str, &str)]) -> tempfile::TempDir {
        fn copy(from: &Path, into: &Path, folders: (&str, &str), texts: &[(&str, &str)]) {
            fs::create_dir_all(into).unwrap();
            for entry in fs::read_dir(from).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap();
                let name = if name == folders.0 { folders.1 } else { name };
                if path.is_dir() {
                    copy(&path, &into.join(name), folders, texts);
                    continue;
                }
                let text = fs::read_to_string(&path).unwrap();
                let text = texts.iter().fold(text, |text, (from, to)| text.replace(from, to));
                fs::write(into.join(name), text).unwrap();
            }
        }
        let folder = tempfile::tempdir().unwrap();
        copy(Path::new(&bundle(name)), &folder.path().join("bundle"), folders, texts);
        folder
    }

    /// How the first check ended, and how many root causes there are.
    fn ended(folder: &Path, config: &str, check: &str) -> (String, u64) {
        let path = folder.join("bundle");
        let path = path.to_str().unwrap();
        let args = ["onprem", "--bundle", path, "--check", check, "-o", "json"];
        let report: Value = serde_json::from_slice(&run(config, &args).stdout).unwrap();
        let status = report["checks"][0]["status"].as_str().unwrap().to_owned();
        (status, report["summary"]["rootCauses"].as_u64().unwrap())
    }

    #[test]
    fn a_dex_in_another_namespace_is_found_where_the_file_says_it_is() {
        let texts = [
            ("\"namespace\": \"auth\"", "\"namespace\": \"identity\""),
            ("namespace: auth\n", "namespace: identity\n"),
            ("name: auth\n", "name: identity\n"),
        ];
        let folder = changed("healthy-ldap", ("auth", "identity"), &texts);
        let status = |config: &str| ended(folder.path(), config, "onprem-dex-config").0;
        assert_ne!(status(""), "pass", "nothing else leads there");
        assert_eq!(status("names: {dex: [identity]}"), "pass");
    }

    #[test]
    fn a_gateway_of_another_name_is_found_where_the_file_says_how_it_is_called() {
        let texts = [("istio-ingressgateway", "kf-door")];
        let folder = changed("healthy-ldap", ("", ""), &texts);
        let config = "names: {gateway: {namespaces: [istio-system], services: [kf-door]}}";
        let check = "onprem-gateway-service";
        let (before, after) =
            (ended(folder.path(), "", check), ended(folder.path(), config, check));
        assert_ne!(before.0, "pass");
        assert_eq!(after, ("pass".to_owned(), 0));
    }

    #[test]
    fn a_threshold_says_from_when_on_a_certificate_is_a_warning() {
        let warned = |config: &str| {
            let more = ["--check", "kube-certificate-ready"];
            let (report, _) = report(config, "address-taken-by-another-machine", &more);
            report["summary"]["warn"].as_u64().unwrap()
        };
        assert_eq!(warned(""), 0);
        assert_eq!(warned("thresholds: {certificateDays: 10000}"), 1);
    }

    #[test]
    fn a_file_is_named_by_flag_or_variable_and_need_not_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("own.yaml");
        fs::write(&file, "checks: {only: [onprem-dex-config]}").unwrap();
        fs::write(folder.path().join(".kfcheck.yaml"), "wrong: true").unwrap();
        let bundle = bundle("healthy-ldap");
        let args = ["onprem", "--bundle", &bundle, "-v"];
        let run = |more: &[&str], variable: Option<&str>| {
            let mut command = command(&[&args[..], more].concat());
            command.current_dir(folder.path());
            if let Some(variable) = variable {
                command.env("KFCHECK_CONFIG", variable);
            }
            command.output().unwrap()
        };
        assert_eq!(run(&[], None).status.code(), Some(2), "the one here is wrong");
        for ended in [run(&["--config", "own.yaml"], Some("none")), run(&[], Some("own.yaml"))] {
            assert_eq!(ended.status.code(), Some(0), "{}", stderr(&ended));
            assert!(stderr(&ended).contains("configuration  own.yaml"), "{}", stderr(&ended));
            assert!(!stdout(&ended).contains("onprem-endpoint"));
        }
        let ended = run(&["--no-config"], Some("own.yaml"));
        assert!(stdout(&ended).contains("onprem-endpoint"));
        assert_eq!(run(&[], Some("none")).status.code(), Some(2));
    }

    #[test]
    fn every_format_agrees_on_what_is_suppressed() {
        let config = suppression("*", "*", "2099-12-31");
        let bundle = bundle(BROKEN);
        let (_, code) = report(&config, BROKEN, &[]);
        for format in ["text", "yaml", "html", "markdown", "junit", "sarif", "prometheus"] {
            let ended = run(&config, &["onprem", "--bundle", &bundle, "-o", format]);
            assert_eq!(ended.status.code(), Some(code), "{format}");
            let text = stdout(&ended);
            assert!(text.contains("suppress"), "{format}");
            match format {
                "junit" => assert!(text.contains("failures=\"0\""), "{text}"),
                "prometheus" => assert!(!text.contains("suppressed=\"false\""), "{text}"),
                "html" => assert!(!text.contains("<h2 id=\"causes-title\">"), "{text}"),
                _ => (),
            }
        }
    }
}
