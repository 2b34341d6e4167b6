use kfcheck::{Severity, Status};

use crate::{Output, PathResource};

/// What the headline is made of.
pub(crate) struct Headline<'a> {
    /// The names that requests come in by.
    pub(crate) entrances: Vec<&'a str>,
    /// Those of them that do not answer, or not as they should.
    pub(crate) down: Vec<&'a str>,
    /// Whether anything is broken that counts.
    pub(crate) is_broken: bool,
    /// Whether anything is broken that does not.
    pub(crate) hides: bool,
    pub(crate) causes: usize,
    pub(crate) symptoms: usize,
    pub(crate) passed: usize,
    pub(crate) unseen: usize,
    pub(crate) suppressed: usize,
}

impl Headline<'_> {
    /// What is said of the whole, in a sentence or two.
    pub(crate) fn say(&self) -> String {
        format!("{} {}", self.verdict(), self.counts())
    }

    fn verdict(&self) -> String {
        match (&self.down[..], &self.entrances[..]) {
            ([host], _) => format!("{host} is down."),
            ([_, _, ..], _) => format!("{} are down.", self.down.join(" and ")),
            ([], []) if !self.is_broken => "No entrance to a deployment was found.".to_owned(),
            ([], names) if !self.is_broken => {
                let but = if self.hides { " but what is suppressed" } else { "" };
                format!("{}: nothing broken found{but}.", names.join(" and "))
            }
            ([], []) => "Something is broken; no entrance to a deployment was found.".to_owned(),
            ([], names) => {
                format!(
                    "{}: nothing broken on the way; something beside it is.",
                    names.join(" and ")
                )
            }
        }
    }

    fn counts(&self) -> String {
        let suppressed = match self.suppressed {
            0 => String::new(),
            some => format!(", {some} suppressed"),
        };
        format!(
            "{}, {}; {} passed, {} not seen{suppressed}.",
            count(self.causes, "root cause"),
            count(self.symptoms, "symptom"),
            count(self.passed, "check"),
            self.unseen,
        )
    }

    /// The headline of a report for programs.
    pub(crate) fn of(output: &Output) -> Headline<'_> {
        let path = &output.path;
        let entrances = path.resources.iter().filter(|r| path.entrances.contains(&r.id));
        let entrances: Vec<_> = entrances.collect();
        let down = entrances.iter().filter(|entrance| is_down(output, entrance));
        let summary = &output.summary;
        Headline {
            down: down.map(|entrance| entrance.resource.name.as_str()).collect(),
            entrances: entrances.iter().map(|entrance| entrance.resource.name.as_str()).collect(),
            is_broken: output.causes().next().is_some(),
            hides: output.suppressed().any(|(finding, _)| finding.severity == Severity::Fail),
            causes: summary.root_causes,
            symptoms: output.others(Severity::Fail).count(),
            passed: summary.pass,
            unseen: summary.unknown + summary.bug,
            suppressed: summary.suppressed,
        }
    }

    /// The verdict and the counts, each for a line of its own.
    pub(crate) fn parts(&self) -> (String, String) {
        (self.verdict(), self.counts())
    }
}

/// Whether a root cause keeps an entrance from working.
pub(crate) fn is_down(output: &Output, entrance: &PathResource) -> bool {
    output.causes().any(|(cause, _)| cause.takes_down.contains(&entrance.id))
}

/// A time without what is smaller than a second.
pub(crate) fn to_the_second(time: Option<&str>) -> String {
    match time.map(|time| time.split_once('.').ok_or(time)) {
        Some(Ok((seconds, _))) => format!("{seconds}Z"),
        Some(Err(time)) => time.to_owned(),
        None => "at an unknown time".to_owned(),
    }
}

/// So many of something, in words.
pub(crate) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// How a check ended, in a word.
pub(crate) fn status_word(status: Status) -> &'static str {
    match status {
        Status::Skip => "skip",
        Status::Pass => "pass",
        Status::Warn => "warn",
        Status::Bug => "bug",
        Status::Unknown => "unknown",
        Status::Fail => "fail",
    }
}
