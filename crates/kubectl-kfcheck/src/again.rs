//! Inspections that are made again: until nothing fails, or as long as somebody watches.

use std::{
    io::{self, Write},
    pin::pin,
    time::Duration,
};

use clap::ArgGroup;
use futures::future::{Either, select};
use kfcheck_report::{Output, Threshold, diff, headline, json_line, seen_at};
use tokio::time::{Instant, sleep};

use crate::{
    Provider,
    args::{Format, Inspect, duration},
    inspect::{Seen, look, render, stopped, style, threshold},
    provider::CloudArgs,
    write::print_to_reader,
};

const AGAIN: &str = "Again and again";

/// Whether to inspect again.
#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("repeated").args(["wait", "watch"])))]
pub struct Again {
    /// Inspect again until nothing fails, at most so long (10m, if not said); print the last report.
    #[arg(
        long, value_name = "DURATION", num_args = 0..=1, require_equals = true,
        default_missing_value = "10m", value_parser = duration,
        conflicts_with_all = ["bundle", "watch"], help_heading = AGAIN
    )]
    pub wait: Option<Duration>,
    /// Inspect again until Ctrl-C; print the report, and then what changed since the run before.
    #[arg(long, conflicts_with_all = ["bundle", "output_file", "save"], help_heading = AGAIN)]
    pub watch: bool,
    /// How long to rest between two inspections.
    #[arg(
        long, value_name = "DURATION", default_value = "15s", value_parser = duration,
        requires = "repeated", help_heading = AGAIN
    )]
    pub interval: Duration,
}

/// Inspects until nothing fails, or for so long. What it says is the last report.
pub(crate) async fn wait<C: CloudArgs>(
    args: &Inspect<C>,
    provider: &Provider,
    limit: Duration,
) -> Result<Seen, String> {
    let mut waiting =
        Waiting::new(limit, args.again.interval, threshold(args.fail_on.unwrap_or_default()));
    let look = async || look(args, provider).await;
    repeat(look, stopped(), |seen| {
        let output = seen.output(provider);
        let _ = writeln!(io::stderr(), "{}  {}", seen_at(&output), headline(&output));
        Ok(waiting.next(seen.exit_code(args.fail_on.unwrap_or_default()), output))
    })
    .await
}

/// Inspects until Ctrl-C, and prints the report and then what changed. The exit code is that of the
/// last report.
pub(crate) async fn watch<C: CloudArgs>(
    args: &Inspect<C>,
    provider: &Provider,
) -> Result<u8, String> {
    if !matches!(args.output, Format::Text | Format::Json | Format::Markdown) {
        return Err("--watch writes text, json or markdown; the others have no changes".to_owned());
    }
    let mut before: Option<Output> = None;
    let look = async || look(args, provider).await;
    let last = repeat(look, stopped(), |seen| {
        let output = seen.output(provider);
        let text = match &before {
            Some(before) => changed(args, before, &output)?,
            None if matches!(args.output, Format::Json) => json_line(&output)?,
            None => render(args, provider, seen)?,
        };
        before = Some(output);
        let read = print_to_reader(&text)?;
        Ok(read.then_some(args.again.interval))
    });
    Ok(last.await?.exit_code(args.fail_on.unwrap_or_default()))
}

/// What is printed of a run: nothing, where nothing changed.
fn changed<C: CloudArgs>(
    args: &Inspect<C>,
    before: &Output,
    after: &Output,
) -> Result<String, String> {
    let changes = diff(before, after)?;
    Ok(match args.output {
        _ if !changes.changed => String::new(),
        Format::Json => changes.json_line()?,
        Format::Markdown => format!("\n{}", changes.markdown()),
        _ => format!("\n{}  {}\n{}", seen_at(after), headline(after), changes.list(style(args))),
    })
}

/// Looks, and again after the rest that `next` says, until it says none or it is stopped. What it
/// says is what was seen last; what was seen while it was stopped counts only where there is nothing
/// else.
async fn repeat<T>(
    mut look: impl AsyncFnMut() -> Result<T, String>,
    stopped: impl Future<Output = ()>,
    mut next: impl FnMut(&T) -> Result<Option<Duration>, String>,
) -> Result<T, String> {
    let mut stopped = pin!(stopped);
    let mut last = None;
    loop {
        let seen = match select(pin!(look()), &mut stopped).await {
            Either::Left((seen, _)) => seen?,
            // An inspection ends by itself then, with what is known.
            Either::Right(((), looking)) => {
                let seen = looking.await?;
                return Ok(last.unwrap_or(seen));
            }
        };
        let Some(rest) = next(&seen)? else { return Ok(seen) };
        if let Either::Right(_) = select(pin!(sleep(rest)), &mut stopped).await {
            return Ok(seen);
        }
        last = Some(seen);
    }
}

/// Until when to wait.
struct Waiting {
    deadline: Instant,
    interval: Duration,
    threshold: Threshold,
    /// The last report with something broken.
    failing: Option<Output>,
}

impl Waiting {
    fn new(limit: Duration, interval: Duration, threshold: Threshold) -> Self {
        Self { deadline: Instant::now() + limit, interval, threshold, failing: None }
    }

    /// How long to rest before the next inspection; nothing where there is none. The last one is at
    /// the deadline.
    fn next(&mut self, code: u8, output: Output) -> Option<Duration> {
        let is_hidden = |failing: &Output| {
            diff(failing, &output).is_ok_and(|changes| changes.hides_a_failure(self.threshold))
        };
        // What failed and can't be seen now may still be broken; what was never seen is no reason.
        let fails = code == 1 || code == 3 && self.failing.as_ref().is_some_and(is_hidden);
        if code == 1 {
            self.failing = Some(output);
        }
        let left = self.deadline.saturating_duration_since(Instant::now());
        (fails && !left.is_zero()).then(|| left.min(self.interval))
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, future};

    use serde_json::{Value, json};

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(15);

    /// A report with one check, which ended so and, where it failed, found something.
    fn report(status: &str) -> Output {
        let resource = json!({ "kind": "Network", "namespace": null, "name": "kf-net",
            "provider": "gcp" });
        let failed = status == "fail";
        let findings = json!([{ "id": "f1", "check": "gcp-firewall", "severity": "fail",
            "resource": resource, "message": "drops", "evidence": [], "remedies": [],
            "symptom": false, "causedBy": [], "suppressed": null }]);
        let causes = json!([{ "finding": "f1", "check": "gcp-firewall", "resource": resource,
            "explains": [] }]);
        let none = || Value::Array(Vec::new());
        let reason = (status == "unknown").then_some("denied");
        let report = json!({
            "schema": "kfcheck/v1", "tool": { "name": "t", "version": "1" }, "provider": "gcp",
            "scope": {}, "startedAt": null, "durationMs": 1,
            "summary": { "status": status, "rootCauses": 0, "fail": 0, "warn": 0, "pass": 0,
                "skip": 0, "unknown": 0, "bug": 0 },
            "rootCauses": if failed { causes } else { none() },
            "findings": if failed { findings } else { none() },
            "checks": [{ "id": "gcp-firewall", "title": "t", "status": status, "reason": reason,
                "facts": [] }],
            "unseen": [],
        });
        serde_json::from_value(report).unwrap()
    }

    fn code(status: &str) -> u8 {
        match status {
            "fail" => 1,
            "unknown" => 3,
            _ => 0,
        }
    }

    /// Waits for at most so long over runs that end so, and the last again and again; gives how many
    /// runs there were, how the last one ended and how long all took.
    async fn waited(limit: u64, runs: &[&'static str]) -> (usize, &'static str, u64) {
        let start = Instant::now();
        let limit = Duration::from_secs(limit);
        let mut waiting = Waiting::new(limit, INTERVAL, Threshold::Fail);
        let count = RefCell::new(0);
        let look = async || {
            let nth = count.replace_with(|nth| *nth + 1);
            Ok(runs[nth.min(runs.len() - 1)])
        };
        let next = |status: &&'static str| Ok(waiting.next(code(status), report(status)));
        let last = repeat(look, future::pending(), next).await.unwrap();
        let runs = *count.borrow();
        (runs, last, start.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_until_nothing_fails() {
        assert_eq!(waited(600, &["fail", "fail", "pass"]).await, (3, "pass", 30));
        assert_eq!(waited(600, &["pass"]).await, (1, "pass", 0));
    }

    #[tokio::test(start_paused = true)]
    async fn it_looks_a_last_time_at_the_deadline() {
        assert_eq!(waited(40, &["fail"]).await, (4, "fail", 40));
        assert_eq!(waited(5, &["fail", "pass"]).await, (2, "pass", 5));
    }

    #[tokio::test(start_paused = true)]
    async fn what_failed_and_cannot_be_seen_is_waited_for_and_what_was_never_seen_is_not() {
        assert_eq!(waited(600, &["fail", "unknown", "unknown", "pass"]).await, (4, "pass", 45));
        assert_eq!(waited(600, &["unknown"]).await, (1, "unknown", 0));
        assert_eq!(waited(20, &["fail", "unknown"]).await, (3, "unknown", 20));
    }

    #[tokio::test(start_paused = true)]
    async fn told_to_stop_it_ends_with_the_last_report() {
        let runs = RefCell::new(0);
        let look = async || Ok(runs.replace_with(|nth| *nth + 1));
        let stopped = sleep(Duration::from_secs(100));
        let last = repeat(look, stopped, |_| Ok(Some(INTERVAL))).await.unwrap();
        assert_eq!(last, 6, "one every 15 seconds, the first at once");
    }

    #[tokio::test(start_paused = true)]
    async fn an_inspection_that_was_cut_short_counts_only_where_there_is_no_other() {
        for (whole, expected) in [(0, "cut short"), (1, "whole")] {
            let runs = RefCell::new(0);
            let look = async || {
                if runs.replace_with(|nth| *nth + 1) < whole {
                    return Ok("whole");
                }
                sleep(Duration::from_mins(1)).await;
                Ok("cut short")
            };
            let stopped = sleep(Duration::from_secs(30));
            let last = repeat(look, stopped, |_| Ok(Some(INTERVAL))).await.unwrap();
            assert_eq!(last, expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_inspected_ends_it() {
        let look = async || Err::<(), _>("no check is called so".to_owned());
        let ended = repeat(look, future::pending(), |()| Ok(Some(INTERVAL))).await;
        assert_eq!(ended.unwrap_err(), "no check is called so");
    }
}
