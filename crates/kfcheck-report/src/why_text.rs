use anstyle::AnsiColor::{Cyan, Red, Yellow};
use kfcheck::{Severity, Status};

use crate::{
    Style,
    headline::count,
    paint::{paint, paragraph},
    text::wrap,
    tree::{line, tree},
    why::{Direction, Verdict, Why},
};

const NOTHING: &str = "nothing that is known";

impl Why<'_> {
    /// For a person.
    pub fn text(&self, style: Style) -> String {
        let mut out = wrap(&self.sentence(), "", "");
        for cause in &self.causes {
            let heading = paint("ROOT CAUSE", Some(Red), style);
            out.push_str(&format!("\n{heading}  {}\n", cause.finding.check));
            out.push_str(&paragraph(cause.finding));
            if cause.way.len() > 1 {
                out.push_str("    the way there\n");
            }
            for (nth, one) in cause.way.iter().enumerate().take_while(|_| cause.way.len() > 1) {
                let indent = "  ".repeat(nth.saturating_sub(1));
                let twig = if nth == 0 { "" } else { "└ " };
                out.push_str(&format!("      {indent}{twig}{}\n", line(self.output, one, style)));
            }
            out.push_str(&format!("  kubectl kfcheck explain {}\n", cause.finding.check));
        }
        for finding in &self.findings {
            if self.causes.iter().any(|cause| cause.finding.id == finding.id) {
                continue;
            }
            let (word, colour) = match (finding.severity, &finding.suppressed) {
                (_, Some(_)) => ("SUPPRESSED", Cyan),
                (Severity::Fail, None) => ("SYMPTOM", Red),
                (Severity::Warn, None) => ("WARNING", Yellow),
            };
            out.push_str(&format!("\n{}  {}\n", paint(word, Some(colour), style), finding.check));
            out.push_str(&paragraph(finding));
        }
        let entrance = self.output.path.entrances.contains(&self.resource.id);
        let above = if entrance { "nothing: requests come in here" } else { NOTHING };
        for (heading, to, nothing) in [
            ("WHAT IT DEPENDS ON", Direction::Below, NOTHING),
            ("WHAT DEPENDS ON IT", Direction::Above, above),
        ] {
            let tree = tree(self.output, self.resource, to, style, "  ");
            let tree = if tree.is_empty() { format!("  {nothing}\n") } else { tree };
            out.push_str(&format!("\n{}\n{tree}", paint(heading, Some(Cyan), style)));
        }
        if !self.output.path.gaps.is_empty() {
            let says = format!(
                "Not all of the request path was seen; `kubectl kfcheck {}` says why.",
                self.output.provider
            );
            out.push_str(&format!("\n{}", wrap(&says, "", "")));
        }
        out
    }

    /// What comes first: whether it works, and why not.
    pub(crate) fn sentence(&self) -> String {
        let name = &self.resource.resource;
        let causes: Vec<_> = self.causes.iter().map(|cause| &cause.finding.resource).collect();
        match (self.verdict, &causes[..]) {
            (Verdict::Broken, [cause, ..]) if *cause == name => {
                format!("{name} does not work, and is a root cause itself.")
            }
            (Verdict::Broken, []) if self.is_suppressed() => {
                format!("{name} does not work, for a root cause that is suppressed.")
            }
            (Verdict::Broken, []) => format!("{name} does not work; no root cause is known."),
            (Verdict::Broken, causes) => {
                let mut causes: Vec<_> = causes.iter().map(ToString::to_string).collect();
                causes.dedup();
                let found = if self.resource.status == Status::Pass {
                    "is in order itself, and cannot work"
                } else {
                    "does not work"
                };
                let verb = if causes.len() == 1 { "is" } else { "are" };
                format!("{name} {found}: {} {verb} broken.", causes.join(" and "))
            }
            (Verdict::Works, _) => {
                format!("{name} is in order, and nothing that it depends on is broken.")
            }
            (Verdict::NotKnown, _) => {
                format!("It is not known whether {name} works: {}.", self.reason())
            }
        }
    }

    /// Why it is not known.
    fn reason(&self) -> String {
        let gaps = !self.output.path.gaps.is_empty();
        match self.resource.status {
            _ if self.suppressed > 0 => {
                "what is wrong with it, or with what it depends on, is suppressed".to_owned()
            }
            Status::Unknown | Status::Bug => "it could not be looked at".to_owned(),
            _ if self.unseen > 0 => {
                format!("{} that it depends on could not be looked at", count(self.unseen, "thing"))
            }
            Status::Skip => {
                "no check looked at it; nothing that it depends on is broken".to_owned()
            }
            _ if gaps => "not all of the request path was seen".to_owned(),
            _ => "nothing was found to be broken".to_owned(),
        }
    }

    /// Whether what explains the findings on it is suppressed.
    fn is_suppressed(&self) -> bool {
        let by = self.findings.iter().flat_map(|finding| &finding.caused_by);
        by.filter_map(|id| self.output.finding(id)).any(|cause| cause.suppressed.is_some())
    }
}
