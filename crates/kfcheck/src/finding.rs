use std::{
    collections::BTreeSet,
    fmt::{self, Display},
};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::{Aspect, FactError, Fault, path::Edge};

/// Names one thing in the world, across all layers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Resource {
    /// The API's own kind: `Ingress`, `BackendService`, …
    pub kind: &'static str,
    /// Its namespace; for a cloud, the project or region where that isn't the cluster's own.
    pub namespace: Option<String>,
    /// Unique among its kind there.
    pub name: String,
    /// Who has it: `kubernetes`, `gcp`, …
    pub provider: &'static str,
}

/// Whatever has a name across layers.
pub trait Named {
    /// Its name across layers.
    fn resource(&self) -> Resource;
}

impl<T: Named> From<&T> for Resource {
    fn from(thing: &T) -> Self {
        thing.resource()
    }
}

impl From<&Resource> for Resource {
    fn from(resource: &Resource) -> Self {
        resource.clone()
    }
}

impl Display for Resource {
    /// As a person says it: `Ingress kubeflow/front` and `backend service be-1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespace = self.namespace.iter().flat_map(|namespace| [namespace, "/"]);
        let kind = spoken_kind(self.provider, self.kind);
        write!(f, "{kind} {}{}", namespace.collect::<String>(), self.name)
    }
}

/// A kind as a person says it: `Ingress`, but `backend service`, since Kubernetes alone spells its
/// kinds so in its own texts.
pub fn spoken_kind(provider: &str, kind: &str) -> String {
    let mut spoken = String::new();
    let mut before = ' ';
    for c in kind.chars() {
        match c {
            _ if provider == "kubernetes" => spoken.push(c),
            c if c.is_uppercase() && before.is_lowercase() => {
                spoken.push(' ');
                spoken.extend(c.to_lowercase());
            }
            c => spoken.extend(c.to_lowercase()),
        }
        before = c;
    }
    spoken
}

/// How much a finding matters to the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Can hurt it later.
    Warn,
    /// Takes it down.
    Fail,
}

/// What running a remedy can do besides helping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Risk {
    /// It only looks, or changes what is broken anyway.
    None,
    /// It lets somebody in.
    Opens,
    /// Something restarts.
    Restarts,
    /// Something is gone afterwards.
    Deletes,
}

/// A command that fixes a finding, or shows more of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remedy {
    /// Can be pasted.
    pub command: String,
    /// What it does.
    pub why: String,
    /// What else it can do.
    pub risk: Risk,
}

/// Something wrong with one thing.
#[derive(Clone, Debug)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What it is about.
    pub resource: Resource,
    /// Which side of it: that it is there as declared, or that it answers.
    pub aspect: Aspect,
    /// A clause that continues the resource: "has no healthy backend".
    pub message: String,
    /// It says that something does not work rather than what is wrong with it.
    pub symptom: bool,
    /// It passes on what somebody else says is wrong.
    pub hearsay: bool,
    /// What was seen, in the words of the API.
    pub evidence: Vec<(&'static str, String)>,
    /// What to do about it.
    pub remedies: Vec<Remedy>,
    /// Why somebody said that it doesn't count.
    pub suppressed: Option<String>,
    /// The last day on which it doesn't.
    pub suppressed_until: Option<Date>,
}

impl Finding {
    /// Adds what was seen.
    pub fn evidence(&mut self, name: &'static str, value: impl Display) -> &mut Self {
        self.evidence.push((name, value.to_string()));
        self
    }

    /// Adds a command.
    pub fn fix(&mut self, risk: Risk, why: &str, command: impl Into<String>) -> &mut Self {
        self.remedies.push(Remedy { command: command.into(), why: why.to_owned(), risk });
        self
    }

    /// It keeps the resource from answering; that it is there and can be built on is not in doubt.
    pub fn serving(&mut self) -> &mut Self {
        self.aspect = Aspect::Serving;
        self
    }

    /// It passes on what a controller says, and another check may know better what is wrong.
    pub fn hearsay(&mut self) -> &mut Self {
        self.hearsay = true;
        self
    }

    /// How far it is from what is wrong; the less explains the more.
    pub(crate) fn depth(&self) -> u8 {
        if self.symptom { 2 } else { u8::from(self.hearsay) }
    }

    /// The resource answers, and not as it should: what stands above it suffers, it itself doesn't.
    pub fn manner(&mut self) -> &mut Self {
        self.aspect = Aspect::Manner;
        self
    }
}

/// What one check has learned so far.
#[derive(Debug, Default)]
pub struct Findings {
    pub(crate) found: Vec<Finding>,
    pub(crate) healthy: Vec<Resource>,
    pub(crate) answering: BTreeSet<Resource>,
    pub(crate) unknown: Vec<(Option<Resource>, FactError)>,
    pub(crate) edges: BTreeSet<Edge>,
    pub(crate) skipped: Option<String>,
}

impl Findings {
    /// `subject` was examined and is healthy.
    pub fn ok(&mut self, subject: impl Into<Resource>) {
        self.healthy.push(subject.into());
    }

    /// `subject` was asked and answered: what would keep it from answering does not, and only what
    /// spoils its manner takes it down.
    pub fn answers(&mut self, subject: impl Into<Resource>) {
        let subject = subject.into();
        self.answering.insert(subject.clone());
        self.healthy.push(subject);
    }

    /// Something is wrong with `subject` itself; `message` continues the sentence.
    ///
    /// What is built from it suffers as well as what is served by it, unless the finding is said
    /// to concern [`Finding::serving`] only.
    pub fn fail(
        &mut self,
        subject: impl Into<Resource>,
        message: impl Into<String>,
    ) -> &mut Finding {
        self.push(Severity::Fail, Aspect::Being, subject.into(), message.into())
    }

    /// `subject` does not answer; what is wrong, maybe with `subject` itself, another finding says.
    pub fn symptom(
        &mut self,
        subject: impl Into<Resource>,
        message: impl Into<String>,
    ) -> &mut Finding {
        let finding = self.push(Severity::Fail, Aspect::Serving, subject.into(), message.into());
        finding.symptom = true;
        finding
    }

    /// `subject` was not built, or not all of it; what keeps it from that another finding says.
    pub fn unbuilt(
        &mut self,
        subject: impl Into<Resource>,
        message: impl Into<String>,
    ) -> &mut Finding {
        let finding = self.push(Severity::Fail, Aspect::Being, subject.into(), message.into());
        finding.symptom = true;
        finding
    }

    /// `subject` works and may not for long, or helps less than it could; `message` continues the
    /// sentence.
    pub fn warn(
        &mut self,
        subject: impl Into<Resource>,
        message: impl Into<String>,
    ) -> &mut Finding {
        self.push(Severity::Warn, Aspect::Being, subject.into(), message.into())
    }

    /// The answer, or a note that without it nothing is known about `subject`; the others go on.
    /// Where there is no such thing here, nothing is missing.
    pub fn known<T>(
        &mut self,
        subject: impl Into<Resource>,
        answer: Result<T, FactError>,
    ) -> Option<T> {
        let missing = |error: &FactError| !matches!(error.fault, Fault::Absent(_));
        match answer {
            Ok(answer) => return Some(answer),
            Err(error) if missing(&error) => self.unknown.push((Some(subject.into()), error)),
            Err(_absent) => (),
        }
        None
    }

    /// Something that had to be known is not; what is known is judged all the same.
    pub fn unseen(&mut self, error: FactError) {
        if !matches!(error.fault, Fault::Absent(_)) {
            self.unknown.push((None, error));
        }
    }

    /// There is nothing here to check, and why.
    pub fn skip(&mut self, reason: impl Into<String>) {
        self.skipped = Some(reason.into());
    }

    /// `upper` answers only while `lower` does, which the path doesn't say.
    pub fn depends(&mut self, upper: impl Into<Resource>, lower: impl Into<Resource>) {
        self.edges.insert(Edge::new(upper.into(), lower.into(), Aspect::Serving));
    }

    /// `upper` is there only if `lower` is there as declared, which the path doesn't say.
    pub fn built_from(&mut self, upper: impl Into<Resource>, lower: impl Into<Resource>) {
        self.edges.insert(Edge::new(upper.into(), lower.into(), Aspect::Being));
    }

    /// `upper` answers as it should only if `lower` is there as declared, which the path doesn't
    /// say.
    pub fn set_up_by(&mut self, upper: impl Into<Resource>, lower: impl Into<Resource>) {
        self.edges.insert(Edge::new(upper.into(), lower.into(), Aspect::Manner));
    }

    /// Whether nothing was found to be wrong so far.
    pub fn is_clean(&self) -> bool {
        self.found.is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty() && self.healthy.is_empty() && self.unknown.is_empty()
    }

    fn push(
        &mut self,
        severity: Severity,
        aspect: Aspect,
        resource: Resource,
        message: String,
    ) -> &mut Finding {
        let (evidence, remedies, symptom) = (Vec::new(), Vec::new(), false);
        let at = self.found.len();
        self.found.push(Finding {
            severity,
            resource,
            aspect,
            message,
            symptom,
            hearsay: false,
            evidence,
            remedies,
            suppressed: None,
            suppressed_until: None,
        });
        &mut self.found[at]
    }
}
