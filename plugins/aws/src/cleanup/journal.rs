//! What was done, written down before and after each call, so that it can be gone on with and told.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::plan::{Plan, Step};

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Entry {
    /// Somebody agreed to a plan.
    Begun {
        /// The plan.
        plan: Box<Plan>,
        /// Whose credentials were in use, as an ARN.
        caller: String,
        /// The version of kfcheck.
        version: String,
    },
    /// Somebody goes on with it.
    Resumed {
        /// Whose credentials are in use, as an ARN.
        caller: String,
    },
    /// A step is about to be done; the call comes after this is on disk.
    Doing {
        /// Which of the steps, from 0; those that were added count.
        step: usize,
        /// What it is done to, whole: a policy's document, a group's rules.
        found: Value,
    },
    /// A step is done, and that was seen.
    Done {
        /// Which.
        step: usize,
        /// Whether there was nothing left to do.
        already: bool,
    },
    /// A step was left out.
    Skipped {
        /// Which.
        step: usize,
        /// Why.
        because: String,
    },
    /// What CloudFormation said while a stack was deleted.
    Event {
        /// The part of the stack, or the stack.
        part: String,
        /// `DELETE_IN_PROGRESS` and the like.
        status: String,
        /// Why.
        #[serde(skip_serializing_if = "String::is_empty", default)]
        reason: String,
    },
    /// A stack could not be deleted.
    Failed {
        /// Which step.
        step: usize,
        /// What failed, in CloudFormation's words.
        because: Vec<String>,
    },
    /// What is done before that step is tried again.
    Added {
        /// The step.
        before: usize,
        /// What comes before it now.
        steps: Vec<Step>,
    },
    /// It was stopped.
    Stopped {
        /// Why.
        because: String,
    },
    /// Nothing is left to do.
    Ended {
        /// Whether every step was done.
        complete: bool,
    },
    /// What a step took off was put back.
    Restored {
        /// Which step.
        step: usize,
    },
}

#[derive(Serialize, Deserialize)]
struct Line {
    at: Timestamp,
    #[serde(flatten)]
    entry: Entry,
}

/// A file of lines of JSON, to which only its owner has access. Every line is on disk before anything
/// else happens.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// A new file.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.append(true).create_new(true);
        for_owner(&mut options);
        let file = options.open(path)?;
        // The name is on disk only when its folder is.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// One that is there, to be gone on with. A last line that was not written to its end is cut off:
    /// what it was to tell didn't happen.
    pub fn open(path: &Path) -> io::Result<Self> {
        let text = std::fs::read(path)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let file = OpenOptions::new().append(true).open(path)?;
        if whole < text.len() {
            file.set_len(u64::try_from(whole).unwrap_or_default())?;
            file.sync_all()?;
        }
        Ok(Self { path: path.to_owned(), file })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a line, and returns when it is on disk.
    pub fn write(&mut self, entry: Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Line { at: Timestamp::now(), entry })?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.sync_data()
    }
}

/// The entries of a journal, in order. A last line that was not written to its end is left out.
pub fn entries(path: &Path) -> io::Result<Vec<Entry>> {
    read(BufReader::new(File::open(path)?), path)
}

/// The same of what comes from `path`.
pub(crate) fn read(mut reader: impl BufRead, path: &Path) -> io::Result<Vec<Entry>> {
    let mut all = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        reader.read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Ok(all);
        }
        let number = all.len() + 1;
        let entry: Line = serde_json::from_slice(&line).map_err(|error| {
            let says = format!("{} line {number} is no entry: {error}", path.display());
            io::Error::new(io::ErrorKind::InvalidData, says)
        })?;
        all.push(entry.entry);
    }
}

#[cfg(unix)]
fn for_owner(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600);
}

#[cfg(not(unix))]
fn for_owner(_options: &mut OpenOptions) {}

/// How far a journal has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    pub(super) plan: Plan,
    /// The plan's, and those that were added, each where it is done.
    pub(super) steps: Vec<State>,
    /// Whether nothing is left to do.
    pub(super) ended: bool,
}

/// A step, and what became of it.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) id: usize,
    pub(super) step: Step,
    pub(super) outcome: Option<Outcome>,
    /// How often it failed.
    pub(super) failures: usize,
    /// What it was done to.
    pub(super) found: Option<Value>,
    pub(super) restored: bool,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    Skipped,
}

impl Progress {
    pub(super) fn of(entries: &[Entry]) -> Option<Self> {
        let mut entries = entries.iter();
        let Some(Entry::Begun { plan, .. }) = entries.next() else { return None };
        let mut progress = Self { plan: (**plan).clone(), ..Self::default() };
        progress.add(None, &plan.steps);
        entries.for_each(|entry| progress.take(entry));
        Some(progress)
    }

    /// Adds steps before another, or at the end.
    pub(super) fn add(&mut self, before: Option<usize>, steps: &[Step]) {
        let at = before.and_then(|id| self.steps.iter().position(|state| state.id == id));
        let at = at.unwrap_or(self.steps.len());
        let next = self.steps.len();
        let new = steps.iter().enumerate().map(|(nth, step)| State {
            id: next + nth,
            step: step.clone(),
            outcome: None,
            failures: 0,
            found: None,
            restored: false,
        });
        self.steps.splice(at..at, new.collect::<Vec<_>>());
    }

    /// What an entry tells.
    pub(super) fn take(&mut self, entry: &Entry) {
        let mut of = |id: &usize, set: &dyn Fn(&mut State)| {
            self.steps.iter_mut().filter(|state| state.id == *id).for_each(set);
        };
        match entry {
            Entry::Doing { step, found } => of(step, &|state| {
                // The first look has it whole.
                state.found.get_or_insert_with(|| found.clone());
            }),
            Entry::Done { step, .. } => of(step, &|state| state.outcome = Some(Outcome::Done)),
            Entry::Skipped { step, because } => of(step, &|state| {
                state.outcome = Some(Outcome::Skipped);
                because.clone_into(&mut state.step.because);
            }),
            Entry::Failed { step, .. } => of(step, &|state| state.failures += 1),
            Entry::Restored { step } => of(step, &|state| state.restored = true),
            Entry::Added { before, steps } => self.add(Some(*before), steps),
            Entry::Ended { .. } => self.ended = true,
            Entry::Begun { .. }
            | Entry::Resumed { .. }
            | Entry::Event { .. }
            | Entry::Stopped { .. } => (),
        }
    }
}

/// What holds whatever stands in a journal.
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing {
    use super::{Entry, Progress};

    /// There are as many steps as were planned and added, each with a number of its own.
    pub(crate) fn progress(entries: &[Entry]) {
        let Some(progress) = Progress::of(entries) else { return };
        let added = entries.iter().map(|entry| match entry {
            Entry::Added { steps, .. } => steps.len(),
            _ => 0,
        });
        assert_eq!(progress.steps.len(), progress.plan.steps.len() + added.sum::<usize>());
        let mut ids: Vec<_> = progress.steps.iter().map(|state| state.id).collect();
        ids.sort_unstable();
        assert!(ids.into_iter().eq(0..progress.steps.len()));
    }
}
