use anstyle::AnsiColor::{self, Cyan, Green, Red, Yellow};

use crate::{
    Style, Unseen,
    changes::{Change, Changes, CheckChange, EntranceChange, FindingChange, Role, State},
    headline::{count, status_word, to_the_second},
    paint::{labelled, paint},
    text::wrap,
};

impl Changes {
    /// For a person.
    pub fn text(&self, style: Style) -> String {
        let mut out = String::new();
        for (name, side) in [("before", &self.before), ("after", &self.after)] {
            let at = to_the_second(side.started_at.as_deref());
            out.push_str(&wrap(&format!("{at}  {}", side.says), &format!("{name:8}"), INDENT));
        }
        out.push('\n');
        out.push_str(&self.list(style));
        let same: Vec<_> = self.of(Change::Same).collect();
        if !self.changed {
            out.push_str("Nothing changed.\n");
        }
        if !same.is_empty() {
            gap(&mut out);
            out.push_str(&format!("{}\n", paint("STILL THERE", Some(Cyan), style)));
        }
        for finding in same {
            let text = format!("{} {} ({})", finding.resource, now(finding), role(finding));
            out.push_str(&wrap(&text, "  ", "    "));
        }
        out
    }

    /// Only what changed; nothing where nothing did.
    pub fn list(&self, style: Style) -> String {
        let mut out = String::new();
        for entrance in &self.entrances {
            out.push_str(&wrap(&said_of_entrance(entrance), "", "  "));
        }
        for change in CHANGES {
            for finding in self.of(change) {
                let label = paint(word(change), Some(tint(change)), style);
                gap(&mut out);
                out.push_str(&format!("{label}  {}  ({})\n", finding.check, role(finding)));
                out.push_str(&self::finding(finding));
            }
        }
        for (heading, unseen) in [("NOT SEEN NOW", &self.unseen), ("NOT SEEN BEFORE", &self.seen)] {
            if !unseen.is_empty() {
                gap(&mut out);
                out.push_str(&format!("{}\n", paint(heading, Some(Cyan), style)));
            }
            for one in unseen {
                out.push_str(&said_of_unseen(one));
            }
        }
        if !self.checks.is_empty() {
            gap(&mut out);
            out.push_str(&format!("{}\n", paint("CHECKS", Some(Cyan), style)));
        }
        let width = self.checks.iter().map(|check| check.id.len()).max().unwrap_or_default();
        for CheckChange { id, before, after } in &self.checks {
            let [before, after] = [before, after].map(|one| one.map_or("not run", status_word));
            out.push_str(&format!("  {id:width$}  {before} → {after}\n"));
        }
        out
    }
}

const INDENT: &str = "        ";

/// The changes in the order they are told in.
pub(crate) const CHANGES: [Change; 5] =
    [Change::New, Change::SeenNow, Change::Changed, Change::NotSeen, Change::Gone];

pub(crate) fn word(change: Change) -> &'static str {
    match change {
        Change::New => "NEW",
        Change::SeenNow => "SEEN NOW",
        Change::Changed => "CHANGED",
        Change::NotSeen => "NO LONGER SEEN",
        Change::Gone => "GONE",
        Change::Same => "STILL THERE",
    }
}

fn tint(change: Change) -> AnsiColor {
    match change {
        Change::New | Change::SeenNow => Red,
        Change::Changed => Yellow,
        Change::Gone => Green,
        Change::NotSeen | Change::Same => Cyan,
    }
}

/// What a finding counts as, and counted as where that is something else.
pub(crate) fn role(finding: &FindingChange) -> String {
    let name = |role| match role {
        Role::RootCause => "root cause",
        Role::Symptom => "symptom",
        Role::Warning => "warning",
        Role::Suppressed => "suppressed",
    };
    let [was, is] = [&finding.before, &finding.after].map(|said| said.as_ref().map(|s| s.role));
    match (was, is) {
        (Some(was), Some(is)) if was != is => format!("{} → {}", name(was), name(is)),
        (Some(role), _) | (None, Some(role)) => name(role).to_owned(),
        (None, None) => String::new(),
    }
}

/// What is said of it now, or was said last.
pub(crate) fn now(finding: &FindingChange) -> &str {
    let said = finding.after.as_ref().or(finding.before.as_ref());
    said.map(|said| said.message.as_str()).unwrap_or_default()
}

fn finding(finding: &FindingChange) -> String {
    let mut out = wrap(&format!("{} {}", finding.resource, now(finding)), "  ", "    ");
    if let (Some(was), Some(is)) = (&finding.before, &finding.after)
        && was.message != is.message
    {
        out.push_str(&labelled("was", &was.message));
    }
    match (&finding.reason, finding.change) {
        (Some(reason), Change::NotSeen) => {
            out.push_str(&labelled("because", &format!("{reason}; it may still be there")));
        }
        (Some(reason), _) => out.push_str(&labelled("before", &format!("not seen: {reason}"))),
        _ => (),
    }
    out
}

pub(crate) fn said_of_entrance(entrance: &EntranceChange) -> String {
    let name = &entrance.resource.name;
    match (entrance.before, entrance.after) {
        (_, None) => format!("{name} is no entrance any more."),
        (None, Some(State::Down)) => format!("{name} is a new entrance, and is down."),
        (None, Some(_)) => format!("{name} is a new entrance."),
        (_, Some(State::Down)) => format!("{name} is down now."),
        (Some(State::Down), Some(State::Up)) => format!("{name} is not down any more."),
        (Some(State::Down), Some(State::NotKnown)) => format!(
            "{name} was down, and it is not known whether it is: what took it down is not seen, or \
             suppressed."
        ),
        (_, Some(State::NotKnown)) => format!("It is not known now whether {name} is up."),
        (_, Some(State::Up)) => format!("{name} can be looked at again."),
    }
}

fn said_of_unseen(unseen: &Unseen) -> String {
    let wanted = match &unseen.wanted_by[..] {
        [first, second, rest @ ..] if rest.len() > 1 => {
            format!("{first}, {second} and {}", count(rest.len(), "other check"))
        }
        all => all.join(", "),
    };
    wrap(&unseen.detail, "  ", "    ") + &wrap(&format!("wanted by {wanted}"), "    ", "    ")
}

fn gap(out: &mut String) {
    if !out.is_empty() {
        out.push('\n');
    }
}
