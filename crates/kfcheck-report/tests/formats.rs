//! Every format says what the JSON says.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod deployment;

use std::collections::BTreeSet;

use deployment::{big, broken, called, written};
use expect_test::expect;
use kfcheck::{Report, Severity, Status, Suppression, suppress};
use kfcheck_report::{
    Output, Style, Threshold, diff, dot, exit_code, find, html, json, junit, markdown, mermaid,
    prometheus, sarif, text, why, yaml,
};
use proptest::prelude::*;
use serde_json::Value;

fn page(check: &str) -> Option<String> {
    (check == "gcp-quota").then(|| "# gcp-quota\n\nLook {there} [here](x).\n".to_owned())
}

/// Each format that reports findings, by name.
fn all(output: &Output) -> Vec<(&'static str, String)> {
    vec![
        ("json", json(output).unwrap()),
        ("yaml", yaml(output).unwrap()),
        ("html", html(output).unwrap()),
        ("markdown", markdown(output)),
        ("junit", junit(output).unwrap()),
        ("sarif", sarif(output, page).unwrap()),
        ("prometheus", prometheus(output)),
    ]
}

fn suppressed() -> Output {
    let mut output = written(&broken());
    let warning = output.findings.iter_mut().find(|f| f.severity == Severity::Warn).unwrap();
    warning.suppressed = Some("known, until March".to_owned());
    output
}

#[test]
fn every_format_names_each_finding_of_the_json() {
    let output = written(&broken());
    assert_eq!(output.findings.len(), 4);
    for (format, text) in all(&output) {
        for finding in &output.findings {
            assert!(text.contains(&finding.check), "{format} lacks {}", finding.check);
            let name = &finding.resource.name;
            let known = text.contains(name) || text.contains(&name.replace("--", "\\-\\-"));
            assert!(known, "{format} lacks {name}");
        }
    }
    let pictures = [("dot", dot(&output)), ("mermaid", mermaid(&output))];
    for (format, text) in pictures {
        for resource in &output.path.resources {
            assert!(text.contains(&resource.resource.name), "{format}: {}", resource.resource.name);
        }
        assert!(text.contains("root cause"), "{format}");
    }
}

#[test]
fn every_format_for_people_says_the_headline_of_the_text() {
    let report = broken();
    let first = text(&report, Style::default());
    let first = first.split("\n\n").next().unwrap().replace('\n', " ");
    let output = written(&report);
    let page = html(&output).unwrap();
    let ticket = markdown(&output);
    for part in ["kf.example.com is down.", "1 root cause, 2 symptoms; 1 check passed, 1 not seen."]
    {
        assert!(first.contains(part), "{first}");
        assert!(page.contains(part), "{part}");
        assert!(ticket.contains(part), "{ticket}");
    }
}

#[test]
fn a_report_that_was_written_down_is_read_back_the_same() {
    for report in [broken(), big(3, 2), called("é \"<&\n")] {
        let output = written(&report);
        let read: Output = serde_json::from_str(&json(&output).unwrap()).unwrap();
        assert_eq!(read, output);
        assert_eq!(html(&read).unwrap(), html(&output).unwrap());
    }
}

#[test]
fn a_report_of_another_version_is_read_without_what_is_not_known() {
    let mut value = serde_json::to_value(written(&broken())).unwrap();
    value["inspectedBy"] = "somebody".into();
    value["findings"][0]["mood"] = "good".into();
    value.as_object_mut().unwrap().remove("path");
    value["rootCauses"][0].as_object_mut().unwrap().remove("takesDown");
    value["unseen"][0].as_object_mut().unwrap().remove("command");
    let read: Output = serde_json::from_value(value).unwrap();
    assert!(read.path.resources.is_empty());
    for (_, text) in all(&read) {
        assert!(text.contains("kf-net"), "{text}");
    }
}

#[test]
fn the_path_is_in_the_json_and_its_names_hold() {
    let output = written(&broken());
    let ids: BTreeSet<_> = output.path.resources.iter().map(|resource| &resource.id).collect();
    assert_eq!(ids.len(), output.path.resources.len());
    let ends = output.path.edges.iter().flat_map(|edge| [&edge.from, &edge.to]);
    let down = output.root_causes.iter().flat_map(|cause| &cause.takes_down);
    for id in ends.chain(&output.path.entrances).chain(down) {
        assert!(ids.contains(id), "{id}");
    }
    let state = |name: &str| {
        let all = &output.path.resources;
        let resource = all.iter().find(|resource| resource.resource.name == name).unwrap();
        serde_json::to_value((resource.status, &resource.findings)).unwrap().to_string()
    };
    expect![[r#"["fail",["f2"]]"#]].assert_eq(&state("kf-net"));
    expect![[r#"["pass",[]]"#]].assert_eq(&state("istio-ingressgateway"));
    expect![[r#"["unknown",[]]"#]].assert_eq(&state("kubeflow-gateway"));
    expect![[r#"["skip",[]]"#]].assert_eq(&state("istio-ingressgateway-5f6d"));
    expect![[r#"["warn",["f4"]]"#]].assert_eq(&state("k8s-be-31380"));
}

#[test]
fn prometheus_says_what_is_wrong_as_numbers() {
    let text = prometheus(&suppressed());
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let some = |name: &str| {
        let all = lines.iter().filter(|line| line.starts_with(name) && !line.ends_with("} 0"));
        all.copied().collect::<Vec<_>>().join("\n")
    };
    expect![[r#"kfcheck_status{provider="gcp",cluster="kf",status="fail"} 1"#]]
        .assert_eq(&some("kfcheck_status"));
    expect![[r#"
        kfcheck_finding{provider="gcp",cluster="kf",check="gcp-backend-health",severity="fail",kind="BackendService",namespace="",name="k8s-be-31380--7a1c9e2b4d6f8035",root_cause="false",suppressed="false"} 1
        kfcheck_finding{provider="gcp",cluster="kf",check="gcp-firewall-health-check",severity="fail",kind="Network",namespace="",name="kf-net",root_cause="true",suppressed="false"} 1
        kfcheck_finding{provider="gcp",cluster="kf",check="gcp-health-check-logging",severity="warn",kind="HealthCheck",namespace="",name="k8s-be-31380",root_cause="false",suppressed="true"} 1
        kfcheck_finding{provider="gcp",cluster="kf",check="gcp-iap-endpoint",severity="fail",kind="Host",namespace="",name="kf.example.com",root_cause="false",suppressed="false"} 1"#]]
    .assert_eq(&some("kfcheck_finding"));
    expect![[r#"
        kfcheck_run_timestamp_seconds{provider="gcp",cluster="kf"} 1795262400
        kfcheck_run_duration_seconds{provider="gcp",cluster="kf"} 1.234"#]]
    .assert_eq(&some("kfcheck_run"));
}

#[test]
fn markdown_is_a_ticket() {
    expect_test::expect_file!["./ticket.md"].assert_eq(&markdown(&suppressed()));
}

#[test]
fn mermaid_and_dot_show_the_broken_way() {
    let output = written(&broken());
    expect_test::expect_file!["./path.mmd"].assert_eq(&mermaid(&output));
    expect_test::expect_file!["./path.dot"].assert_eq(&dot(&output));
}

#[test]
fn junit_has_a_test_case_a_check_and_fails_where_something_is_broken() {
    let read = quick_junit::Report::deserialize_from_str(&junit(&suppressed()).unwrap()).unwrap();
    assert_eq!((read.tests, read.failures, read.errors), (7, 3, 1));
    let cases = &read.test_suites[0].test_cases;
    let case = |name: &str| cases.iter().find(|case| case.name.as_str() == name).unwrap();
    let told = |name: &str| match &case(name).status {
        quick_junit::TestCaseStatus::Success { .. } => "passed".to_owned(),
        quick_junit::TestCaseStatus::Skipped { message, .. } => {
            format!("skipped: {}", message.as_ref().unwrap().as_str())
        }
        quick_junit::TestCaseStatus::NonSuccess { kind, message, .. } => {
            format!("{kind:?}: {}", message.as_ref().unwrap().as_str())
        }
    };
    expect!["Failure: network kf-net drops health checks on tcp:31380"]
        .assert_eq(&told("gcp-firewall-health-check"));
    expect!["passed"].assert_eq(&told("gcp-health-check-logging"));
    expect!["skipped: there is no quota here"].assert_eq(&told("gcp-quota"));
    assert!(told("istio-gateway-selector").starts_with("Error: not collected"));
    let out = case("gcp-health-check-logging").system_out.as_ref().unwrap().as_str();
    assert!(out.contains("suppressed: known, until March"), "{out}");
}

#[test]
fn sarif_has_a_rule_a_check_and_a_result_a_finding() {
    let text = sarif(&suppressed(), page).unwrap();
    let log: Value = serde_json::from_str(&text).unwrap();
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    assert_eq!((log["version"].as_str(), rules.len()), (Some("2.1.0"), 7));
    let results = run["results"].as_array().unwrap();
    for result in results {
        let rule = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[rule]["id"], result["ruleId"]);
        assert!(result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"].is_string());
    }
    let told = |result: &Value| {
        let suppressed = &result["suppressions"][0]["justification"];
        format!("{} {} {suppressed}", result["ruleId"], result["level"])
    };
    let told: Vec<_> = results.iter().map(told).collect();
    expect![[r#"
        "gcp-backend-health" "note" null
        "gcp-firewall-health-check" "error" null
        "gcp-iap-endpoint" "note" null
        "gcp-health-check-logging" "warning" "known, until March""#]]
    .assert_eq(&told.join("\n"));
    let help = rules.iter().find(|rule| rule["id"] == "gcp-quota").unwrap();
    // Braces are placeholders in a message of SARIF's, and are doubled where they are none.
    assert!(help["help"]["text"].as_str().unwrap().contains("{{there}}"), "{help}");
    let invocation = &run["invocations"][0];
    assert_eq!(invocation["executionSuccessful"], true);
    let notes = invocation["toolExecutionNotifications"].as_array().unwrap();
    assert_eq!(notes[0]["associatedRule"]["id"], "istio-gateway-selector");
}

/// The same deployment, of which some checks' findings are suppressed.
fn known(checks: &[&str]) -> Report {
    let mut report = broken();
    let day: jiff::civil::Date = "2027-01-31".parse().unwrap();
    let known = |check: &&str| Suppression::new(check, "*", "known", day).unwrap();
    let all: Vec<_> = checks.iter().map(known).collect();
    suppress(&mut report, &all, &[], jiff::Timestamp::now());
    report
}

#[test]
fn a_suppressed_root_cause_of_what_counts_is_told_once_and_marked() {
    let report = known(&["gcp-firewall-health-check"]);
    let output = written(&report);
    assert_eq!(exit_code(&report, Threshold::Fail), 1);
    assert_eq!((output.summary.root_causes, output.summary.suppressed), (0, 1));
    assert_eq!(output.root_causes.len(), 1);
    let kf_net = output.path.resources.iter().find(|one| one.resource.name == "kf-net").unwrap();
    assert_eq!(kf_net.status, Status::Fail);
    for text in [text(&report, Style::default()), markdown(&output), html(&output).unwrap()] {
        let text = text.replace('\n', " ");
        assert!(text.contains("kf.example.com is down."), "{text}");
        assert!(
            text.contains("0 root causes, 2 symptoms; 1 check passed, 1 not seen, 1 suppressed.")
        );
        assert!(text.contains("known (until 2027-01-31)"), "{text}");
        assert!(!text.contains("SUPPRESSED") && !text.contains("## Suppressed"), "{text}");
        assert!(!text.contains("suppressed-title"), "{text}");
    }
    for picture in [dot(&output), mermaid(&output)] {
        assert!(picture.contains("(root cause)"), "{picture}");
    }
    let page = html(&output).unwrap();
    assert_eq!(page.matches("id=\"f2\"").count(), 1, "no name is there twice");
}

#[test]
fn what_is_suppressed_is_not_healthy_nor_in_order_nor_mended() {
    let (before, after) = (written(&broken()), written(&known(&["*"])));
    for resource in &after.path.resources {
        let mut found = resource.findings.iter();
        let fails = found
            .any(|id| after.findings.iter().any(|f| f.id == *id && f.severity == Severity::Fail));
        assert!(!fails || resource.status != Status::Pass, "{}", resource.resource);
    }
    for name in ["kf.example.com", "kf-net"] {
        let why = why(&after, find(&after, name).unwrap());
        assert_eq!(why.exit_code(Threshold::Fail), 3);
        let text = why.text(Style::default()).replace('\n', " ");
        assert!(text.contains("It is not known whether"), "{text}");
        assert!(text.contains("with it, or with what it depends on, is suppressed."), "{text}");
    }
    let text = diff(&before, &after).unwrap().text(Style::default()).replace('\n', " ");
    assert!(text.contains("it is not known whether it is: what took it down"), "{text}");
    assert!(!text.contains("not down any more"), "{text}");
}

#[test]
fn what_is_suppressed_as_a_whole_is_told_beside_the_rest() {
    let report = known(&["gcp-backend-*", "gcp-firewall-*", "gcp-iap-*"]);
    let output = written(&report);
    assert_eq!(exit_code(&report, Threshold::Fail), 3, "something was not seen");
    assert_eq!(exit_code(&report, Threshold::Warn), 1);
    assert!(output.root_causes.is_empty());
    assert_eq!((output.summary.fail, output.summary.suppressed), (0, 3));
    let said = text(&report, Style::default());
    expect![[r"
        kf.example.com: nothing broken found but what is suppressed. 0 root causes, 0
        symptoms; 1 check passed, 1 not seen, 3 suppressed.

        WARNING  gcp-health-check-logging
          health check k8s-be-31380 doesn't log why it fails
            fix       turns logging on
                      gcloud compute health-checks update http x

        NOT SEEN, so a cause may hide there
          istio-gateway-selector
            not collected: gcp/forwardingRules.json
              gcloud compute forwardingRules list --format json

        SUPPRESSED  gcp-backend-health
          backend service k8s-be-31380--7a1c9e2b4d6f8035 has no healthy endpoint (0 of
            2)
            because   known (until 2027-01-31)

        SUPPRESSED  gcp-firewall-health-check
          network kf-net drops health checks on tcp:31380
            because   known (until 2027-01-31)

        SUPPRESSED  gcp-iap-endpoint
          host kf.example.com answers 502
            because   known (until 2027-01-31)
    "]]
    .assert_eq(&said);
    let read = quick_junit::Report::deserialize_from_str(&junit(&output).unwrap()).unwrap();
    assert_eq!((read.failures, read.errors), (0, 1));
    assert!(prometheus(&output).contains("kfcheck_root_causes{provider=\"gcp\",cluster=\"kf\"} 0"));
    assert!(!dot(&output).contains("root cause"));
    assert!(markdown(&output).contains("1 check had nothing to examine"), "only the quota's");
}

#[test]
fn what_is_wrong_with_the_configuration_is_in_every_format_that_reports() {
    let mut report = broken();
    let day = "2020-01-31".parse().unwrap();
    let old = Suppression::new("gcp-*", "*", "known", day).unwrap().written_at("f.yaml:3:5");
    suppress(&mut report, &[old], &[], jiff::Timestamp::now());
    let output = written(&report);
    for (format, text) in all(&output) {
        let is_counted = text.contains("kfcheck_configuration_warnings{") && text.contains("} 1\n");
        assert!(is_counted || text.contains("expired on 2020-01-31"), "{format}: {text}");
    }
    let text = text(&report, Style::default());
    assert!(
        text.contains("\nWARNING  f.yaml:3:5\n  the suppression of gcp-* on * expired"),
        "{text}"
    );
    let read: Output = serde_json::from_str(&json(&output).unwrap()).unwrap();
    assert_eq!(read, output);
}

#[test]
fn a_picture_of_hundreds_of_pods_is_small_and_shows_what_is_broken() {
    let output = written(&big(40, 10));
    assert!(output.path.resources.len() > 400);
    let page = html(&output).unwrap();
    assert!(page.len() < 500_000, "{}", page.len());
    let boxes = page.matches("<a class=\"hop").count();
    assert!(boxes < 60, "{boxes} boxes in two pictures");
    assert_eq!(page.matches("<a class=\"hop broken").count(), 2, "one a picture");
}

#[test]
fn a_path_in_circles_is_drawn() {
    let mut output = written(&broken());
    let turned = output.path.edges.iter().cloned().map(|mut edge| {
        std::mem::swap(&mut edge.from, &mut edge.to);
        edge
    });
    let turned: Vec<_> = turned.collect();
    output.path.edges.extend(turned);
    assert!(html(&output).unwrap().contains("hop broken"));
    assert!(mermaid(&output).contains("root cause"));
}

/// What somebody may have called something, to do harm.
fn nasty() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "<script>alert(1)</script>",
        "</script>",
        "</style>",
        "<!--",
        "-->",
        "]]>",
        "\" onclick=\"alert(1)",
        "' x='",
        "&lt;",
        "```",
        "````\n# out",
        "|",
        "\\|",
        "\\",
        "\n",
        "\r\n",
        "\"} 1\nkfcheck_status 1",
        "{{",
        "{0}",
        "](javascript:alert(1))",
        "@everyone",
        "\u{0}",
        "\u{1b}[31m",
        "\u{fffe}",
        "\u{202e}",
        "é✓😀",
        "x",
        "a-b.c",
        " ",
    ]);
    prop::collection::vec(words, 1..6).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_that_a_resource_is_called_breaks_out_of_a_format(text in nasty()) {
        let output = written(&called(&text));
        prop_assert_eq!(&serde_json::from_str::<Output>(&json(&output).unwrap()).unwrap(), &output);

        let xml = quick_junit::Report::deserialize_from_str(&junit(&output).unwrap());
        let xml = xml.unwrap();
        prop_assert_eq!(xml.tests, 8, "the checks and the request path");

        let log: Value = serde_json::from_str(&sarif(&output, page).unwrap()).unwrap();
        prop_assert_eq!(log["runs"][0]["results"].as_array().unwrap().len(), output.findings.len());

        let mut series = BTreeSet::new();
        for line in prometheus(&output).lines().filter(|line| !line.starts_with('#')) {
            prop_assert!(is_series(line), "{}", line);
            let (name, _) = line.rsplit_once(' ').unwrap();
            prop_assert!(series.insert(name.to_owned()), "twice: {}", name);
        }

        let plain = html(&written(&called("plain"))).unwrap();
        let page = html(&output).unwrap();
        prop_assert_eq!(tags(&page), tags(&plain), "no tag and no attribute is added");

        let ticket = markdown(&output);
        let plain = markdown(&written(&called("plain")));
        prop_assert_eq!(headings(&ticket), headings(&plain), "{}", ticket);
        prop_assert!(!ticket.contains("<script") || in_code(&ticket, "<script"), "{}", ticket);

        let plain = written(&called("plain"));
        prop_assert_eq!(mermaid(&output).lines().count(), mermaid(&plain).lines().count());
        prop_assert_eq!(dot(&output).lines().count(), dot(&plain).lines().count());
        for line in dot(&output).lines() {
            let quotes = line.replace("\\\\", "").replace("\\\"", "").matches('"').count();
            prop_assert!(quotes % 2 == 0, "{}", line);
        }
    }
}

/// `name{label="value",…} number`, as the text format has it.
fn is_series(line: &str) -> bool {
    let Some((head, number)) = line.rsplit_once("} ") else { return false };
    let Some((name, labels)) = head.split_once('{') else { return false };
    let named = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let mut rest = labels;
    loop {
        let Some((label, value)) = rest.split_once("=\"") else { return false };
        let mut end = None;
        let mut escaped = false;
        for (at, c) in value.char_indices() {
            match c {
                _ if escaped && !matches!(c, '\\' | '"' | 'n') => return false,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => {
                    end = Some(at);
                    break;
                }
                _ => (),
            }
        }
        let Some(end) = end.filter(|_| named(label)) else { return false };
        match value[end + 1..].strip_prefix(',') {
            Some(next) => rest = next,
            None => {
                return value[end + 1..].is_empty() && named(name) && number.parse::<f64>().is_ok();
            }
        }
    }
}

/// How often each tag is opened, and with which attributes.
fn tags(page: &str) -> Vec<String> {
    let body = page.split("<body>").nth(1).unwrap();
    let (body, _) = body.rsplit_once("<script>").unwrap();
    let mut tags = Vec::new();
    for part in body.split('<').skip(1) {
        let tag = part.split('>').next().unwrap();
        let mut names = Vec::new();
        for (nth, piece) in tag.split('"').enumerate() {
            if nth % 2 == 0 {
                names.push(piece.trim().to_owned());
            }
        }
        tags.push(names.join(" "));
    }
    // A box has a line more where its name is long.
    tags.retain(|tag| !tag.starts_with("text") && tag != "/text");
    tags
}

/// The headings outside of fences.
fn headings(ticket: &str) -> Vec<String> {
    let mut fence: Option<String> = None;
    let mut found = Vec::new();
    for line in ticket.split('\n') {
        let ticks: String = line.chars().take_while(|c| *c == '`').collect();
        match &fence {
            Some(open) if line.trim_end() == *open => fence = None,
            None if ticks.len() >= 3 => fence = Some(ticks),
            None if line.starts_with('#') => {
                let level = line.split(' ').next().unwrap();
                found.push(level.to_owned());
            }
            _ => (),
        }
    }
    assert!(fence.is_none(), "a fence stays open: {ticket}");
    found
}

/// Whether a text is there only between backticks or in fences.
fn in_code(ticket: &str, text: &str) -> bool {
    let mut fence: Option<String> = None;
    for line in ticket.split('\n') {
        let ticks: String = line.chars().take_while(|c| *c == '`').collect();
        match &fence {
            Some(open) if line.trim_end() == *open => fence = None,
            None if ticks.len() >= 3 => fence = Some(ticks),
            None if line.contains(text) => {
                let before = line.split(text).next().unwrap();
                if !before.contains('`') {
                    return false;
                }
            }
            _ => (),
        }
    }
    true
}
