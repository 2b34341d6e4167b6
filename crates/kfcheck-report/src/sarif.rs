use std::collections::BTreeMap;

use kfcheck::{Severity, Status};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{FindingOut, Output, ResourceOut, Unseen, WarningOut, plain};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// The report as SARIF 2.1.0, for what collects the findings of many tools. The checks are its
/// rules, with `page` of each as the help; what could not be seen is a notification of the run.
pub fn sarif(output: &Output, page: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let log = Log { schema: SCHEMA, version: "2.1.0", runs: [run(output, &page)] };
    let text = serde_json::to_string_pretty(&log).map_err(|error| error.to_string())?;
    Ok(text + "\n")
}

#[derive(Serialize)]
struct Log {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    tool: Value,
    automation_details: Value,
    invocations: [Invocation; 1],
    results: Vec<SarifResult>,
    properties: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    id: String,
    short_description: Message,
    help: Message,
}

#[derive(Serialize)]
struct Message {
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    markdown: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    execution_successful: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time_utc: Option<String>,
    tool_execution_notifications: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_configuration_notifications: Vec<Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SarifResult {
    rule_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule_index: Option<usize>,
    kind: &'static str,
    level: &'static str,
    message: Message,
    locations: [Value; 1],
    partial_fingerprints: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    suppressions: Vec<Value>,
    properties: Value,
}

fn run(output: &Output, page: &dyn Fn(&str) -> Option<String>) -> Run {
    let rules: Vec<_> =
        output.checks.iter().map(|check| rule(&check.id, &check.title, page)).collect();
    let driver = json!({
        "name": output.tool.name,
        "version": output.tool.version,
        "semanticVersion": output.tool.version,
        "rules": rules,
    });
    let place = output.scope.known().first().map_or("", |(_, name)| *name);
    let bug = output.summary.bug > 0 || output.unseen.iter().any(|unseen| unseen.reason == "bug");
    Run {
        tool: json!({ "driver": driver }),
        // What follows the last slash names a run, what stands before it the series of runs.
        automation_details: json!({
            "id": format!("kfcheck/{}/{}/", output.provider, place.replace('/', "-"))
        }),
        invocations: [Invocation {
            execution_successful: !bug,
            start_time_utc: output.started_at.clone(),
            tool_execution_notifications: output
                .unseen
                .iter()
                .map(|unseen| notification(output, unseen))
                .collect(),
            tool_configuration_notifications: output.warnings.iter().map(configuration).collect(),
        }],
        results: output.findings.iter().map(|finding| result(output, finding)).collect(),
        properties: json!({
            "provider": output.provider,
            "scope": output.scope,
            "summary": output.summary,
            "durationMs": output.duration_ms,
            "checks": output
                .checks
                .iter()
                .map(|check| json!({
                    "id": check.id, "status": check.status, "reason": check.reason
                }))
                .collect::<Vec<_>>(),
        }),
    }
}

fn rule(id: &str, title: &str, page: &dyn Fn(&str) -> Option<String>) -> Rule {
    let page = page(id);
    let markdown = page.as_deref().map(literal);
    let explain = format!("{title}.\n\n`kubectl kfcheck explain {id}` says more.");
    Rule {
        id: id.to_owned(),
        short_description: Message { text: format!("{title}."), markdown: None },
        help: Message { text: literal(page.as_deref().unwrap_or(&explain)), markdown },
    }
}

fn result(output: &Output, finding: &FindingOut) -> SarifResult {
    // Where one cause is mended, what it explains is gone as well.
    let level = match finding.severity {
        Severity::Warn => "warning",
        Severity::Fail if finding.caused_by.is_empty() => "error",
        Severity::Fail => "note",
    };
    let mut fingerprints = BTreeMap::new();
    fingerprints.insert("kfcheck/v1", fingerprint(finding));
    let suppression = |reason: String| json!({ "kind": "external", "justification": reason });
    SarifResult {
        rule_id: finding.check.clone(),
        rule_index: output.checks.iter().position(|check| check.id == finding.check),
        kind: "fail",
        level,
        message: Message { text: literal(&plain::finding(output, finding)), markdown: None },
        locations: [json!({ "logicalLocations": [location(&finding.resource)] })],
        partial_fingerprints: fingerprints,
        suppressions: finding.suppression().into_iter().map(suppression).collect(),
        properties: json!({
            "id": finding.id,
            "severity": finding.severity,
            "rootCause": output.cause(finding).is_some(),
            "symptom": finding.symptom,
            "causedBy": finding.caused_by,
            "explains": output.cause(finding).map(|cause| &cause.explains),
            "evidence": finding.evidence,
            "remedies": finding.remedies,
        }),
    }
}

/// A message's text in which nothing is a placeholder or a link.
fn literal(text: &str) -> String {
    text.replace('{', "{{").replace('}', "}}").replace("](", r"\](")
}

/// What stays the same from run to run; the message often counts something.
fn fingerprint(finding: &FindingOut) -> String {
    format!("{} {}", finding.check, qualified(&finding.resource))
}

fn location(resource: &ResourceOut) -> Value {
    json!({
        "name": resource.name,
        "fullyQualifiedName": qualified(resource),
        "kind": "resource",
        "properties": resource,
    })
}

fn qualified(resource: &ResourceOut) -> String {
    format!("{}/{}/{}", resource.provider, resource.kind, resource.full_name())
}

fn configuration(warning: &WarningOut) -> Value {
    json!({
        "descriptor": { "id": "configuration" },
        "level": "warning",
        "message": { "text": literal(&warning.sentence()) },
        "properties": warning,
    })
}

fn notification(output: &Output, unseen: &Unseen) -> Value {
    let level = if unseen.reason == "bug" { "error" } else { "warning" };
    let misses = |name: &&String| {
        output.checks.iter().any(|check| check.id == **name && check.status != Status::Skip)
    };
    let mut notification = json!({
        "descriptor": { "id": unseen.reason },
        "level": level,
        "message": { "text": literal(&format!("not seen: {}", unseen.detail)) },
        "properties": unseen,
    });
    if let Some(check) = unseen.wanted_by.iter().find(misses) {
        notification["associatedRule"] = json!({ "id": check });
    }
    notification
}
