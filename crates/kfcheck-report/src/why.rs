//! Why one resource does not work: what was found on it, the root cause that explains it and the way
//! there, and its part of the graph.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use kfcheck::{Severity, Status};
use serde::Serialize;

use crate::{
    FindingOut, Output, PathEdge, PathOut, PathResource, RootCause, Threshold,
    graph::{Health, reach},
};

/// Whether a resource works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// It was examined, and nothing that it depends on is broken or was left unseen.
    Works,
    /// It does not answer, or not as it should.
    Broken,
    /// Nobody looked at it, or at all that it depends on.
    NotKnown,
}

/// What a report says of one resource.
#[derive(Clone, Debug)]
pub struct Why<'a> {
    pub(crate) output: &'a Output,
    pub(crate) resource: &'a PathResource,
    /// Whether it works.
    pub verdict: Verdict,
    /// What is wrong with it, or was not taken for wrong.
    pub(crate) findings: Vec<&'a FindingOut>,
    pub(crate) causes: Vec<Explanation<'a>>,
    /// What it depends on that was not seen.
    pub(crate) unseen: usize,
    /// How much of that, itself included, is broken where somebody suppressed it.
    pub(crate) suppressed: usize,
}

/// A root cause that keeps the resource from working.
#[derive(Clone, Debug)]
pub(crate) struct Explanation<'a> {
    pub(crate) finding: &'a FindingOut,
    /// From the resource down to what the cause is about, both included.
    pub(crate) way: Vec<&'a PathResource>,
}

/// The same for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WhyOut<'a> {
    schema: &'static str,
    provider: &'a str,
    resource: &'a PathResource,
    verdict: Verdict,
    findings: &'a [&'a FindingOut],
    root_causes: Vec<CauseOut>,
    path: PathOut,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CauseOut {
    finding: FindingOut,
    way: Vec<String>,
}

/// What the report says of a resource that is on its path.
pub fn why<'a>(output: &'a Output, resource: &'a PathResource) -> Why<'a> {
    let causes = output.causes().filter_map(|(cause, finding)| {
        let affected = affected(output, cause);
        let suffers = affected.contains(resource.id.as_str());
        suffers.then(|| Explanation { finding, way: way(output, resource, finding, &affected) })
    });
    let causes: Vec<_> = causes.collect();
    let below = reached(output, resource, Direction::Below);
    let hidden = |one: &&PathResource| Health::of(output, one) == Health::Unseen;
    let below = output.path.resources.iter().filter(|one| below.contains(one.id.as_str()));
    let unseen = below.filter(hidden).count();
    let suppressed = suppressed(output, resource);
    let is_all_seen = unseen == 0 && suppressed == 0 && output.path.gaps.is_empty();
    let verdict = match resource.status {
        _ if !causes.is_empty() => Verdict::Broken,
        Status::Fail => Verdict::Broken,
        Status::Pass | Status::Warn if is_all_seen => Verdict::Works,
        _ => Verdict::NotKnown,
    };
    let findings = resource.findings.iter().filter_map(|id| output.finding(id)).collect();
    Why { output, resource, verdict, findings, causes, unseen, suppressed }
}

/// How much of what a resource depends on, itself included, is broken where somebody suppressed it.
pub(crate) fn suppressed(output: &Output, resource: &PathResource) -> usize {
    let below = reached(output, resource, Direction::Below);
    let is_hidden = |one: &&PathResource| {
        let mut found = one.findings.iter().filter_map(|id| output.finding(id));
        below.contains(one.id.as_str()) && found.any(FindingOut::is_hidden_failure)
    };
    output.path.resources.iter().filter(is_hidden).count()
}

impl Why<'_> {
    /// 0: it works. 1: it does not; for [`Threshold::Warn`] also: something may be wrong with it.
    /// 3: that is not known.
    pub fn exit_code(&self, threshold: Threshold) -> u8 {
        let warns = |finding: &&FindingOut| {
            finding.severity == Severity::Warn && finding.suppressed.is_none()
        };
        let warned = || threshold == Threshold::Warn && self.findings.iter().any(warns);
        match self.verdict {
            Verdict::Broken => 1,
            _ if warned() => 1,
            Verdict::Works => 0,
            Verdict::NotKnown => 3,
        }
    }

    /// For programs: `kfcheck.why/v1`.
    pub fn json(&self) -> Result<String, String> {
        let text = serde_json::to_string_pretty(&self.out()).map_err(|error| error.to_string())?;
        Ok(text + "\n")
    }

    /// The same as YAML.
    pub fn yaml(&self) -> Result<String, String> {
        let value = serde_json::to_value(self.out()).map_err(|error| error.to_string())?;
        serde_saphyr::to_string(&value).map_err(|error| error.to_string())
    }

    /// The report with the resource's part of the path alone, to be drawn.
    pub fn part(&self) -> Output {
        Output { path: self.path(), ..self.output.clone() }
    }

    fn out(&self) -> WhyOut<'_> {
        let cause = |cause: &Explanation<'_>| CauseOut {
            finding: cause.finding.clone(),
            way: cause.way.iter().map(|one| one.id.clone()).collect(),
        };
        WhyOut {
            schema: "kfcheck.why/v1",
            provider: &self.output.provider,
            resource: self.resource,
            verdict: self.verdict,
            findings: &self.findings,
            root_causes: self.causes.iter().map(cause).collect(),
            path: self.path(),
        }
    }

    fn path(&self) -> PathOut {
        let path = &self.output.path;
        let below = reached(self.output, self.resource, Direction::Below);
        let above = reached(self.output, self.resource, Direction::Above);
        let near = |id: &str| below.contains(id) || above.contains(id);
        let within = |edge: &&PathEdge| {
            let both = |all: &BTreeSet<&str>| all.contains(&*edge.from) && all.contains(&*edge.to);
            both(&below) || both(&above)
        };
        PathOut {
            entrances: path.entrances.iter().filter(|id| near(id)).cloned().collect(),
            resources: path.resources.iter().filter(|one| near(&one.id)).cloned().collect(),
            edges: path.edges.iter().filter(within).cloned().collect(),
            gaps: path.gaps.clone(),
        }
    }
}

/// Which way to go from a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To what it depends on.
    Below,
    /// To what depends on it.
    Above,
}

/// The edges that way, each from its beginning to its end.
pub(crate) fn edges(output: &Output, to: Direction) -> Vec<(&str, &str)> {
    let edges = output.path.edges.iter().map(|edge| (edge.from.as_str(), edge.to.as_str()));
    match to {
        Direction::Below => edges.collect(),
        Direction::Above => edges.map(|(from, to)| (to, from)).collect(),
    }
}

/// All that lies that way, with the resource itself.
fn reached<'a>(output: &'a Output, from: &'a PathResource, to: Direction) -> BTreeSet<&'a str> {
    reach(&BTreeSet::from([from.id.as_str()]), &edges(output, to))
}

/// The names of what a root cause keeps from working.
fn affected<'a>(output: &'a Output, cause: &'a RootCause) -> BTreeSet<&'a str> {
    let about = |id: &String| {
        let finding = output.finding(id);
        let all = output.path.resources.iter();
        all.filter(move |one| finding.is_some_and(|finding| finding.resource == one.resource))
    };
    // Older reports say only what it explains.
    let known =
        cause.explains.iter().chain([&cause.finding]).flat_map(about).map(|one| one.id.as_str());
    let said = cause.affects.iter().chain(&cause.takes_down).map(String::as_str);
    if cause.affects.is_empty() { said.chain(known).collect() } else { said.collect() }
}

/// The shortest way down to what a cause is about, by way of what it keeps from working where there
/// is one such.
fn way<'a>(
    output: &'a Output,
    from: &'a PathResource,
    finding: &FindingOut,
    affected: &BTreeSet<&str>,
) -> Vec<&'a PathResource> {
    let all = &output.path.resources;
    let Some(end) = all.iter().find(|one| one.resource == finding.resource) else {
        return vec![from];
    };
    let edges = edges(output, Direction::Below);
    let suffers: Vec<_> = edges
        .iter()
        .copied()
        .filter(|(from, to)| affected.contains(from) && affected.contains(to))
        .collect();
    let way = shortest(&suffers, &from.id, &end.id).or_else(|| shortest(&edges, &from.id, &end.id));
    let way = way.unwrap_or_else(|| vec![&from.id]);
    way.into_iter().filter_map(|id| all.iter().find(|one| one.id == id)).collect()
}

fn shortest<'a>(edges: &[(&'a str, &'a str)], from: &'a str, to: &str) -> Option<Vec<&'a str>> {
    let mut before = BTreeMap::from([(from, from)]);
    let mut queue = VecDeque::from([from]);
    while let Some(at) = queue.pop_front() {
        if at == to {
            let mut way = vec![at];
            while way[way.len() - 1] != from {
                way.push(before[way[way.len() - 1]]);
            }
            way.reverse();
            return Some(way);
        }
        for (_, next) in edges.iter().filter(|(from, _)| *from == at) {
            before.entry(next).or_insert_with(|| {
                queue.push_back(next);
                at
            });
        }
    }
    None
}
