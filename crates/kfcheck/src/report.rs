use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Edge, FactError, FactKey, Fault, Finding, Findings, Meta, Path, Resource, Severity, Warning,
};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    /// There was nothing to examine.
    Skip,
    /// It examined something and all of it is healthy.
    Pass,
    /// It found something that can hurt later.
    Warn,
    /// It is itself broken.
    Bug,
    /// It could not look, or not everywhere, and found nothing where it could.
    Unknown,
    /// It found something broken.
    Fail,
}

/// What one check reports.
#[derive(Clone, Debug)]
pub struct CheckResult {
    /// The check.
    pub id: &'static str,
    /// The healthy state it looks for.
    pub title: &'static str,
    /// How it ended.
    pub status: Status,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What is healthy.
    pub healthy: Vec<Resource>,
    /// What was seen to answer as it should.
    pub answering: BTreeSet<Resource>,
    /// What it adds to the path.
    pub edges: BTreeSet<Edge>,
    /// Why there was nothing to examine.
    pub skipped: Option<String>,
    /// What it could not see.
    pub unknown: Vec<(Option<Resource>, FactError)>,
    /// The facts it asked for.
    pub facts: Vec<FactKey>,
}

impl CheckResult {
    pub(crate) fn new(
        meta: &'static Meta,
        out: Findings,
        ended: Option<FactError>,
        facts: Vec<FactKey>,
    ) -> Self {
        let Findings { found: findings, healthy, answering, unknown, edges, skipped } = out;
        let Meta { id, title, .. } = *meta;
        let status = Status::Skip;
        let mut result = Self {
            id,
            title,
            status,
            findings,
            healthy,
            answering,
            edges,
            skipped,
            unknown,
            facts,
        };
        match ended {
            Some(FactError { fault: Fault::Absent(what), .. }) => result.skipped = Some(what),
            ended => result.unknown.extend(ended.map(|error| (None, error))),
        }
        result.status = result.judged();
        result
    }

    /// How it ended, by the findings that count. Where somebody suppressed all of them, nothing is
    /// left that it could pass by.
    pub(crate) fn judged(&self) -> Status {
        let counted = self.findings.iter().filter(|finding| finding.suppressed.is_none());
        let is_suppressed = self.findings.iter().any(|finding| finding.suppressed.is_some());
        let bug = |(_, error): &(_, FactError)| matches!(error.fault, Fault::Bug(_));
        match counted.map(|finding| finding.severity).max() {
            Some(Severity::Fail) => Status::Fail,
            _ if self.unknown.iter().any(bug) => Status::Bug,
            _ if !self.unknown.is_empty() => Status::Unknown,
            Some(Severity::Warn) => Status::Warn,
            None if is_suppressed || self.healthy.is_empty() => Status::Skip,
            None => Status::Pass,
        }
    }
}

impl CheckResult {
    /// Why it did not examine all, or anything.
    pub fn reason(&self) -> Option<String> {
        if let Some((_, error)) = self.unknown.first() {
            return Some(error.to_string());
        }
        let nothing = || "there is nothing of the kind here".to_owned();
        let skipped = self.skipped.clone();
        (self.status == Status::Skip).then(|| skipped.unwrap_or_else(nothing))
    }
}

/// What a run reports: plain data, from which every output is rendered.
#[derive(Clone, Debug)]
pub struct Report {
    /// When the deployment was seen.
    pub at: Result<Arc<Timestamp>, FactError>,
    /// What requests go through.
    pub path: Arc<Path>,
    /// What was there to be read and was not.
    pub refused: Vec<FactError>,
    /// In the order of the registry.
    pub results: Vec<CheckResult>,
    /// What is wrong with how the inspection was set up.
    pub warnings: Vec<Warning>,
}

impl Report {
    /// What is wrong, with the check that found it.
    pub fn findings(&self) -> impl Iterator<Item = (&'static str, &Finding)> {
        self.results.iter().flat_map(|r| r.findings.iter().map(|f| (r.id, f)))
    }

    /// What is wrong and nobody suppressed, with the check that found it.
    pub fn counted(&self) -> impl Iterator<Item = (&'static str, &Finding)> {
        self.findings().filter(|(_, finding)| finding.suppressed.is_none())
    }

    /// Why facts could not be had, each reason once, with the checks that wanted them.
    pub fn unseen(&self) -> Vec<(&FactError, Vec<&'static str>)> {
        let mut unseen: Vec<(&FactError, Vec<_>)> = Vec::new();
        let wanted = self.results.iter().flat_map(|r| r.unknown.iter().map(|(_, e)| (e, r.id)));
        let gaps = self.path.gaps.iter().map(|error| (error, "request path"));
        let refused = self.refused.iter().map(|error| (error, "bundle"));
        for (error, by) in gaps.chain(wanted).chain(refused) {
            match unseen.iter_mut().find(|(e, _)| e.fault == error.fault) {
                Some((_, all)) if all.contains(&by) => (),
                Some((_, all)) => all.push(by),
                None => unseen.push((error, vec![by])),
            }
        }
        unseen
    }

    /// How many checks ended so.
    pub fn count(&self, status: Status) -> usize {
        self.results.iter().filter(|result| result.status == status).count()
    }

    /// Whether everything was seen that a check wanted to.
    pub fn is_complete(&self) -> bool {
        let seen = self.results.iter().all(|result| result.unknown.is_empty());
        seen && self.path.gaps.is_empty() && self.refused.is_empty()
    }

    /// How the run ended: as its worst check did.
    pub fn status(&self) -> Status {
        let gaps = self.path.gaps.len() + self.refused.len();
        let gap = (gaps > 0).then_some(Status::Unknown);
        self.results.iter().map(|r| r.status).chain(gap).max().unwrap_or(Status::Skip)
    }
}
