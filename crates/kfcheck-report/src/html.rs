use askama::Template;
use base64::{Engine, prelude::BASE64_STANDARD};
use kfcheck::{Risk, Severity, Status};
use sha2::{Digest, Sha256};

use crate::{
    CheckOut, FindingOut, Output, PathResource, Unseen,
    drawing::{Drawing, legend, pictures},
    graph::{Health, class},
    headline::{Headline, status_word},
    picture::Picture,
    text::command_lines,
};

const STYLE: &str = include_str!("../templates/report.css");
const SCRIPT: &str = include_str!("../templates/report.js");

/// The report as one page that asks nobody for anything: the root causes, the request path as a
/// picture of which each part leads to what was found there, and all the rest.
pub fn html(output: &Output) -> Result<String, String> {
    let (verdict, counts) = Headline::of(output).parts();
    let picture = Picture::of(output);
    let page = Page {
        style: STYLE,
        style_hash: hash(STYLE),
        script: SCRIPT,
        script_hash: hash(SCRIPT),
        tone: tone(output),
        verdict,
        counts,
        about: about(output),
        causes: output.causes().map(|(_, finding)| Card::of(output, finding)).collect(),
        symptoms: output.others(Severity::Fail).map(|finding| Card::of(output, finding)).collect(),
        warnings: output.others(Severity::Warn).map(|finding| Card::of(output, finding)).collect(),
        suppressed: output.suppressed().map(|(finding, _)| Card::of(output, finding)).collect(),
        configuration: configuration(output),
        pictures: pictures(output, &picture),
        legend: legend(&picture),
        gaps: output.path.gaps.iter().map(|gap| gap.detail.as_str()).collect(),
        unseen: output.unseen.iter().map(Missing::of).collect(),
        filters: filters(output),
        checks: checks(output),
        resources: output.path.resources.iter().map(|r| Row::of(output, r)).collect(),
        edges: output.path.edges.len(),
        tool: format!("{} {}", output.tool.name, output.tool.version),
    };
    page.render().map_err(|error| error.to_string())
}

/// What the page's policy names a part of it by, so that nothing else is run or applied.
fn hash(text: &str) -> String {
    BASE64_STANDARD.encode(Sha256::digest(text))
}

#[derive(Template)]
#[template(path = "report.html", whitespace = "minimize")]
struct Page<'a> {
    style: &'static str,
    style_hash: String,
    script: &'static str,
    script_hash: String,
    tone: &'static str,
    verdict: String,
    counts: String,
    about: Vec<(&'static str, String)>,
    causes: Vec<Card<'a>>,
    symptoms: Vec<Card<'a>>,
    warnings: Vec<Card<'a>>,
    suppressed: Vec<Card<'a>>,
    configuration: Vec<(String, &'a str)>,
    pictures: Vec<Drawing>,
    legend: Vec<(&'static str, &'static str)>,
    gaps: Vec<&'a str>,
    unseen: Vec<Missing<'a>>,
    filters: Vec<Filter>,
    checks: Vec<Check<'a>>,
    resources: Vec<Row<'a>>,
    edges: usize,
    tool: String,
}

/// A finding with all that goes with it.
struct Card<'a> {
    finding: &'a FindingOut,
    name: String,
    kind: String,
    label: &'static str,
    suppression: Option<String>,
    fixes: Vec<Fix<'a>>,
    explains: Vec<Link<'a>>,
    explained_by: Vec<Link<'a>>,
}

struct Fix<'a> {
    why: &'a str,
    risk: &'static str,
    command: String,
}

/// A finding that another one names.
struct Link<'a> {
    id: &'a str,
    text: String,
}

impl<'a> Card<'a> {
    fn of(output: &'a Output, finding: &'a FindingOut) -> Self {
        let link =
            |id: &'a String| Some(Link { id, text: output.finding(id).map(FindingOut::sentence)? });
        let cause = output.cause(finding);
        let label = match (cause, finding.severity) {
            _ if !output.is_told(finding) => "Suppressed",
            (Some(cause), _) if cause.takes_down.is_empty() => "Broken",
            (Some(_), _) => "Root cause",
            (None, Severity::Fail) => "Symptom",
            (None, Severity::Warn) => "Warning",
        };
        Self {
            finding,
            name: finding.resource.full_name(),
            kind: finding.resource.kind(),
            label,
            suppression: finding.suppression(),
            fixes: finding
                .remedies
                .iter()
                .map(|remedy| Fix {
                    why: &remedy.why,
                    risk: match remedy.risk {
                        Risk::None => "",
                        Risk::Opens => "lets somebody in",
                        Risk::Restarts => "restarts something",
                        Risk::Deletes => "deletes something",
                    },
                    command: command_lines(&remedy.command),
                })
                .collect(),
            explains: cause.into_iter().flat_map(|c| &c.explains).filter_map(link).collect(),
            explained_by: finding.caused_by.iter().filter_map(link).collect(),
        }
    }
}

/// What could not be seen, with the command that would have collected it.
struct Missing<'a> {
    what: &'a str,
    command: Option<&'a str>,
    wanted_by: &'a [String],
}

impl<'a> Missing<'a> {
    fn of(unseen: &'a Unseen) -> Self {
        let command = unseen.command.as_deref();
        let told = command.map(|command| format!("; `{command}` prints it"));
        let what = told.and_then(|told| unseen.detail.strip_suffix(&told));
        Self { what: what.unwrap_or(&unseen.detail), command, wanted_by: &unseen.wanted_by }
    }
}

/// A button that leaves the checks that ended so.
struct Filter {
    status: &'static str,
    count: usize,
}

fn filters(output: &Output) -> Vec<Filter> {
    let counts = output.summary.counts().into_iter().filter(|(_, count)| *count > 0);
    counts.map(|(status, count)| Filter { status: status_word(status), count }).collect()
}

struct Check<'a> {
    of: &'a CheckOut,
    status: &'static str,
    found: Vec<Link<'a>>,
}

impl<'a> Check<'a> {
    fn of(output: &'a Output, check: &'a CheckOut) -> Self {
        let found = output.found_by(&check.id);
        Self {
            of: check,
            status: status_word(check.status),
            found: found.map(|f| Link { id: &f.id, text: f.sentence() }).collect(),
        }
    }
}

/// What needs attention comes first.
fn checks(output: &Output) -> Vec<Check<'_>> {
    let order = output.summary.counts().map(|(status, _)| status);
    let mut checks: Vec<_> = output.checks.iter().collect();
    checks.sort_by_key(|check| order.iter().position(|status| *status == check.status));
    checks.into_iter().map(|check| Check::of(output, check)).collect()
}

/// A resource in the list of all that is on the path.
struct Row<'a> {
    id: &'a str,
    kind: String,
    name: String,
    class: &'static str,
    word: &'static str,
    found: Vec<Link<'a>>,
}

impl<'a> Row<'a> {
    fn of(output: &'a Output, resource: &'a PathResource) -> Self {
        let health = Health::of(output, resource);
        let found = resource.findings.iter().filter_map(|id| output.finding(id));
        Self {
            id: &resource.id,
            kind: resource.resource.kind(),
            name: resource.resource.full_name(),
            class: class(health),
            word: health.word(),
            found: found.map(|f| Link { id: &f.id, text: f.message.clone() }).collect(),
        }
    }
}

/// The colour of the headline.
fn tone(output: &Output) -> &'static str {
    match output.summary.status {
        _ if output.causes().next().is_some() => "broken",
        Status::Fail | Status::Warn => "warned",
        Status::Unknown | Status::Bug | Status::Skip => "unseen",
        Status::Pass => "healthy",
    }
}

/// What is wrong with how the inspection was set up, and where that is written.
fn configuration(output: &Output) -> Vec<(String, &str)> {
    output.warnings.iter().map(|w| (w.sentence(), w.place.as_deref().unwrap_or(""))).collect()
}

fn about(output: &Output) -> Vec<(&'static str, String)> {
    let scope = output.scope.known().into_iter();
    let mut about = vec![("provider", output.provider.clone())];
    about.extend(scope.map(|(name, value)| (name, value.to_owned())));
    about.extend(output.started_at.clone().map(|at| ("seen at", at)));
    about
}
