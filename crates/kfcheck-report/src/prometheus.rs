use std::{collections::BTreeMap, fmt::Display};

use kfcheck::{Severity, Status};

use crate::{Output, headline::status_word};

/// One labelled value; the labels are in the order in which they are written.
type Series<'a> = (Vec<(&'a str, String)>, String);

/// The report in Prometheus's text format, for a textfile collector or a push gateway. Every series
/// says which deployment it is about, so that the files of several go beside each other.
pub fn prometheus(output: &Output) -> String {
    let mut page = Page { out: String::new(), deployment: deployment(output) };
    page.family("kfcheck_status", "Whether the run ended so, as its worst check did.", {
        let is = |status| u8::from(status == output.summary.status);
        series(STATUSES.map(|status| (vec![("status", word(status))], is(status))))
    });
    page.family("kfcheck_checks", "How many checks ended so.", {
        series(output.summary.counts().map(|(status, n)| (vec![("status", word(status))], n)))
    });
    page.family("kfcheck_root_causes", "How many findings no other finding explains.", {
        series([(Vec::new(), output.summary.root_causes)])
    });
    page.family("kfcheck_finding", "What is wrong, as so many findings on one resource.", {
        counted(output.findings.iter().map(|finding| {
            let severity = match finding.severity {
                Severity::Fail => "fail",
                Severity::Warn => "warn",
            };
            vec![
                ("check", finding.check.clone()),
                ("severity", severity.to_owned()),
                ("kind", finding.resource.kind.clone()),
                ("namespace", finding.resource.namespace.clone().unwrap_or_default()),
                ("name", finding.resource.name.clone()),
                ("root_cause", output.cause(finding).is_some().to_string()),
                ("suppressed", finding.suppressed.is_some().to_string()),
            ]
        }))
    });
    page.family("kfcheck_unseen", "What could not be seen, and so may hide a cause.", {
        counted(output.unseen.iter().map(|unseen| {
            let fact = unseen.fact.clone().unwrap_or_default();
            vec![("fact", fact), ("reason", unseen.reason.clone())]
        }))
    });
    page.family("kfcheck_configuration_warnings", "What is wrong with the configuration.", {
        series([(Vec::new(), output.warnings.len())])
    });
    let started = output.started_at.as_ref().and_then(|at| at.parse::<jiff::Timestamp>().ok());
    if let Some(at) = started {
        page.family("kfcheck_run_timestamp_seconds", "When the deployment was seen.", {
            series([(Vec::new(), at.as_second())])
        });
    }
    page.family("kfcheck_run_duration_seconds", "How long the inspection took.", {
        let (whole, part) = (output.duration_ms / 1000, output.duration_ms % 1000);
        series([(Vec::new(), format!("{whole}.{part:03}"))])
    });
    page.out
}

const STATUSES: [Status; 6] =
    [Status::Pass, Status::Warn, Status::Fail, Status::Unknown, Status::Skip, Status::Bug];

fn word(status: Status) -> String {
    status_word(status).to_owned()
}

fn deployment(output: &Output) -> Vec<(&'static str, String)> {
    let scope = &output.scope;
    let cluster = scope.cluster.clone().or_else(|| scope.context.clone());
    vec![("provider", output.provider.clone()), ("cluster", cluster.unwrap_or_default())]
}

fn series<'a, V: Display>(
    all: impl IntoIterator<Item = (Vec<(&'a str, String)>, V)>,
) -> Vec<Series<'a>> {
    all.into_iter().map(|(labels, value)| (labels, value.to_string())).collect()
}

/// A series must not be there twice: those of the same labels are counted.
fn counted<'a>(all: impl Iterator<Item = Vec<(&'a str, String)>>) -> Vec<Series<'a>> {
    let mut counts: BTreeMap<_, usize> = BTreeMap::new();
    for labels in all {
        *counts.entry(labels).or_default() += 1;
    }
    series(counts)
}

struct Page {
    out: String,
    deployment: Vec<(&'static str, String)>,
}

impl Page {
    fn family(&mut self, name: &str, help: &str, all: Vec<Series<'_>>) {
        self.out.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n"));
        for (labels, value) in all {
            let labels = self.deployment.iter().cloned().chain(labels);
            let labels = labels.map(|(name, value)| format!("{name}=\"{}\"", escaped(&value)));
            let labels = labels.collect::<Vec<_>>().join(",");
            self.out.push_str(&format!("{name}{{{labels}}} {value}\n"));
        }
    }
}

/// A label's value, as the format wants it between its quotes.
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
}
