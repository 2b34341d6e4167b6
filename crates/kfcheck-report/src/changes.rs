//! What became of a report: the contract `kfcheck.diff/v1`.

use kfcheck::Status;
use serde::Serialize;

use crate::{ResourceOut, Threshold, Unseen};

/// What changed from one report to another: `kfcheck.diff/v1`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    /// `kfcheck.diff/v1`.
    pub schema: &'static str,
    /// Of which provider both are.
    pub provider: String,
    /// Whether anything changed; what is still there doesn't count.
    pub changed: bool,
    /// The report before.
    pub before: Side,
    /// The report after.
    pub after: Side,
    /// The entrances that came up or went down, appeared or are gone.
    pub entrances: Vec<EntranceChange>,
    /// What was found in either, the worst first.
    pub findings: Vec<FindingChange>,
    /// The checks that ended in another way.
    pub checks: Vec<CheckChange>,
    /// What was seen before and is not seen now.
    pub unseen: Vec<Unseen>,
    /// What was not seen before; nothing keeps it from being seen now.
    pub seen: Vec<Unseen>,
}

/// One of the two reports, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Side {
    /// When the deployment was seen.
    pub started_at: Option<String>,
    /// How the run ended.
    pub status: Status,
    /// What it says of the whole.
    pub says: String,
}

/// An entrance that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EntranceChange {
    /// Which one.
    pub resource: ResourceOut,
    /// How it was; null where it was not there.
    pub before: Option<State>,
    /// How it is; null where it is not there any more.
    pub after: Option<State>,
}

/// How an entrance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// It does not answer, or not as it should.
    Down,
    /// Nothing takes it down.
    Up,
    /// What took it down can't be seen any more, or it can't itself.
    NotKnown,
}

/// A finding of either report, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FindingChange {
    /// What became of it.
    pub change: Change,
    /// The check that found it.
    pub check: String,
    /// What it is about.
    pub resource: ResourceOut,
    /// What was said of it before.
    pub before: Option<Said>,
    /// What is said of it now.
    pub after: Option<Said>,
    /// Why its check does not see it now (`notSeen`), or did not before (`seenNow`).
    pub reason: Option<String>,
}

/// What became of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// It was looked for before, and was not there.
    New,
    /// It is there, and nobody could see it before.
    SeenNow,
    /// Something else is said of it, or it counts otherwise.
    Changed,
    /// Nobody can see it now; it may be there.
    NotSeen,
    /// It was looked for, and is not there any more.
    Gone,
    /// It is there as it was.
    Same,
}

/// What a report says of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Said {
    /// What it counts as.
    pub role: Role,
    /// A clause that continues the resource.
    pub message: String,
}

/// What a finding counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Nothing else explains it.
    RootCause,
    /// Something else explains it.
    Symptom,
    /// It may hurt later.
    Warning,
    /// Somebody said that it doesn't count.
    Suppressed,
}

/// A check that ended in another way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckChange {
    /// Which one.
    pub id: String,
    /// How it ended; null where it was not run.
    pub before: Option<Status>,
    /// How it ends now; null where it was not run.
    pub after: Option<Status>,
}

impl Changes {
    /// For programs, over several lines.
    pub fn json(&self) -> Result<String, String> {
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        Ok(text + "\n")
    }

    /// The same in one line.
    pub fn json_line(&self) -> Result<String, String> {
        serde_json::to_string(self).map(|text| text + "\n").map_err(|error| error.to_string())
    }

    /// The findings of which this became.
    pub(crate) fn of(&self, change: Change) -> impl Iterator<Item = &FindingChange> {
        self.findings.iter().filter(move |finding| finding.change == change)
    }

    /// Whether something that counted as broken can't be seen any more.
    pub fn hides_a_failure(&self, threshold: Threshold) -> bool {
        let broken = |said: &Said| match said.role {
            Role::RootCause | Role::Symptom => true,
            Role::Warning => threshold == Threshold::Warn,
            Role::Suppressed => false,
        };
        self.of(Change::NotSeen).any(|finding| finding.before.as_ref().is_some_and(broken))
    }
}
