//! What changed between two reports of a deployment.

use std::{borrow::Cow, collections::BTreeMap, sync::LazyLock};

use kfcheck::{Severity, Status};
use regex::Regex;

use crate::{
    FindingOut, Output, PathResource, ResourceOut, Unseen,
    changes::{
        Change, Changes, CheckChange, EntranceChange, FindingChange, Role, Said, Side, State,
    },
    headline::Headline,
    why::suppressed,
};

/// What changed from `before` to `after`.
///
/// # Errors
/// They are of different providers.
pub fn diff(before: &Output, after: &Output) -> Result<Changes, String> {
    if before.provider != after.provider {
        return Err(format!(
            "one is of {} and the other of {}, and nothing of them can be compared",
            before.provider, after.provider
        ));
    }
    let findings = findings(before, after);
    let entrances = entrances(before, after, &findings);
    let checks = checks(before, after);
    let unseen = without(&after.unseen, &before.unseen);
    let seen = without(&before.unseen, &after.unseen);
    let found = findings.iter().any(|finding| finding.change != Change::Same);
    let changed = found
        || !(entrances.is_empty() && checks.is_empty() && unseen.is_empty() && seen.is_empty());
    Ok(Changes {
        schema: "kfcheck.diff/v1",
        provider: after.provider.clone(),
        changed,
        before: side(before),
        after: side(after),
        entrances,
        findings,
        checks,
        unseen,
        seen,
    })
}

fn side(output: &Output) -> Side {
    Side {
        started_at: output.started_at.clone(),
        status: output.summary.status,
        says: Headline::of(output).say(),
    }
}

fn said(output: &Output, finding: &FindingOut) -> Said {
    let role = match finding.severity {
        _ if finding.suppressed.is_some() => Role::Suppressed,
        Severity::Warn => Role::Warning,
        Severity::Fail if output.cause(finding).is_some() => Role::RootCause,
        Severity::Fail => Role::Symptom,
    };
    Said { role, message: finding.message.clone() }
}

/// What names a finding across reports.
type Key<'a> = (&'a str, &'a str, &'a str, Option<&'a str>, &'a str);

fn key(finding: &FindingOut) -> Key<'_> {
    let ResourceOut { kind, namespace, name, provider } = &finding.resource;
    (&finding.check, provider, kind, namespace.as_deref(), name)
}

fn findings(before: &Output, after: &Output) -> Vec<FindingChange> {
    let mut groups: BTreeMap<Key<'_>, (Vec<&FindingOut>, Vec<&FindingOut>)> = BTreeMap::new();
    for finding in &before.findings {
        groups.entry(key(finding)).or_default().0.push(finding);
    }
    for finding in &after.findings {
        groups.entry(key(finding)).or_default().1.push(finding);
    }
    let pairs = groups.into_values().flat_map(|(old, new)| pairs(old, new));
    let change = |(old, new)| change((before, old), (after, new));
    let mut changes: Vec<_> = pairs.filter_map(change).collect();
    let worst = |change: &FindingChange| {
        let now = change.after.as_ref().or(change.before.as_ref());
        now.map(|said| said.role)
    };
    changes.sort_by_key(|change| (change.change, worst(change)));
    changes
}

/// The findings of one check on one resource, each with what it is in the other report: the one that
/// says the same, or else the next that is left.
fn pairs<'a>(
    old: Vec<&'a FindingOut>,
    mut new: Vec<&'a FindingOut>,
) -> Vec<(Option<&'a FindingOut>, Option<&'a FindingOut>)> {
    let mut pairs = Vec::new();
    let mut left = Vec::new();
    for finding in old {
        let same = new.iter().position(|other| is_alike(&finding.message, &other.message));
        match same {
            Some(at) => pairs.push((Some(finding), Some(new.remove(at)))),
            None => left.push(finding),
        }
    }
    let mut new = new.into_iter();
    pairs.extend(left.into_iter().map(|finding| (Some(finding), new.next())));
    pairs.extend(new.map(|finding| (None, Some(finding))));
    pairs
}

fn change(
    (before, old): (&Output, Option<&FindingOut>),
    (after, new): (&Output, Option<&FindingOut>),
) -> Option<FindingChange> {
    let finding = old.or(new)?;
    let was = old.map(|finding| said(before, finding));
    let is = new.map(|finding| said(after, finding));
    let mut reason = None;
    let change = match (&was, &is) {
        (Some(was), Some(is)) if was.role == is.role && is_alike(&was.message, &is.message) => {
            Change::Same
        }
        (Some(_), Some(_)) => Change::Changed,
        (Some(_), None) => {
            reason = blind(after, finding);
            if reason.is_some() { Change::NotSeen } else { Change::Gone }
        }
        (None, _) => {
            reason = blind(before, finding);
            if reason.is_some() { Change::SeenNow } else { Change::New }
        }
    };
    let (check, resource) = (finding.check.clone(), finding.resource.clone());
    Some(FindingChange { change, check, resource, before: was, after: is, reason })
}

/// Why a report would not have such a finding even if there were reason for it.
fn blind(output: &Output, finding: &FindingOut) -> Option<String> {
    let Some(check) = output.checks.iter().find(|check| check.id == finding.check) else {
        return Some(format!("{} was not run", finding.check));
    };
    if let Some(reason) = &check.reason {
        return Some(reason.clone());
    }
    if matches!(check.status, Status::Skip | Status::Unknown | Status::Bug) {
        return Some(format!("{} had nothing to look at", finding.check));
    }
    let on_path = output.path.resources.iter().any(|one| one.resource == finding.resource);
    let gap = output.path.gaps.first().filter(|_| !on_path)?;
    Some(format!("not all of the request path was seen: {}", gap.detail))
}

fn entrances(before: &Output, after: &Output, findings: &[FindingChange]) -> Vec<EntranceChange> {
    let (old, new) = (states(before), states(after));
    let hidden = |resource: &ResourceOut| {
        let lost = findings.iter().filter(|finding| finding.change == Change::NotSeen);
        let mut lost = lost.map(|finding| (&finding.check, &finding.resource));
        lost.any(|(check, about)| {
            let mut causes = before.root_causes.iter();
            let took_down = |id: &String| before.resource(id) == Some(resource);
            causes.any(|cause| {
                (&cause.check, &cause.resource) == (check, about)
                    && cause.takes_down.iter().any(took_down)
            })
        })
    };
    let mut changes = Vec::new();
    for (resource, was) in &old {
        let is = new.iter().find(|(other, _)| other == resource).map(|(_, state)| *state);
        let is = match (was, is) {
            (State::Down, Some(State::Up)) if hidden(resource) => Some(State::NotKnown),
            _ => is,
        };
        if is != Some(*was) {
            let resource = (*resource).clone();
            changes.push(EntranceChange { resource, before: Some(*was), after: is });
        }
    }
    for (resource, is) in new {
        if !old.iter().any(|(other, _)| *other == resource) {
            let resource = resource.clone();
            changes.push(EntranceChange { resource, before: None, after: Some(is) });
        }
    }
    changes
}

/// How each entrance is.
fn states(output: &Output) -> Vec<(&ResourceOut, State)> {
    let path = &output.path;
    let entrances = path.resources.iter().filter(|one| path.entrances.contains(&one.id));
    let state = |one: &PathResource| {
        let down = output.causes().any(|(cause, _)| cause.takes_down.contains(&one.id));
        match one.status {
            _ if down => State::Down,
            Status::Unknown | Status::Bug => State::NotKnown,
            _ if suppressed(output, one) > 0 => State::NotKnown,
            _ => State::Up,
        }
    };
    entrances.map(|one| (&one.resource, state(one))).collect()
}

fn checks(before: &Output, after: &Output) -> Vec<CheckChange> {
    let status = |output: &Output, id: &str| {
        output.checks.iter().find(|check| check.id == id).map(|check| check.status)
    };
    let added = after.checks.iter().filter(|check| status(before, &check.id).is_none());
    let all = before.checks.iter().chain(added);
    let change = |id: &str| CheckChange {
        id: id.to_owned(),
        before: status(before, id),
        after: status(after, id),
    };
    all.map(|check| change(&check.id)).filter(|change| change.before != change.after).collect()
}

/// Those of `all` that are not among `others`.
fn without(all: &[Unseen], others: &[Unseen]) -> Vec<Unseen> {
    let same = |a: &Unseen, b: &Unseen| a.fact == b.fact && is_alike(&a.detail, &b.detail);
    all.iter().filter(|one| !others.iter().any(|other| same(one, other))).cloned().collect()
}

/// Whether two messages say the same: how long something lasts changes by itself.
fn is_alike(a: &str, b: &str) -> bool {
    a == b || timeless(a) == timeless(b)
}

fn timeless(text: &str) -> Cow<'_, str> {
    static LASTING: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let unit = "(?:ms|s|m|h|d|min|sec|seconds?|minutes?|hours?|days?|weeks?|times?)";
        Regex::new(&format!(r"\b\d+(?:\.\d+)?\s?{unit}(?:\d+(?:\.\d+)?{unit})*\b")).ok()
    });
    match LASTING.as_ref() {
        Some(lasting) => lasting.replace_all(text, "…"),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::is_alike;

    #[test]
    fn how_long_something_lasts_changes_nothing() {
        for (a, b) in [
            ("is pending for 12m", "is pending for 13m"),
            ("expires in 9 days", "expires in 8 days"),
            ("restarted 9 times in 1h30m", "restarted 10 times in 2h"),
        ] {
            assert!(is_alike(a, b), "{a}");
        }
        for (a, b) in [
            ("has no healthy endpoint (0 of 2)", "has no healthy endpoint (0 of 3)"),
            ("drops tcp:31380", "drops tcp:31381"),
            ("answers 502", "answers 404"),
        ] {
            assert!(!is_alike(a, b), "{a}");
        }
    }
}
