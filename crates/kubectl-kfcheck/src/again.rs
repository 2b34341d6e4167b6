//! Inspections that are made again: until nothing fails, or as long as somebody watches.

use std::{
    io::{self, Write},
    pin::pin,
    time::Duration,
};

use clap::ArgGroup;
use futures::future::{Either, select};
use kfcheck_report::{Output, diff, headline, json_line, seen_at};
use tokio::time::{Instant, sleep};

use crate::{
    Provider,
    args::{Format, Inspect, duration},
    inspect::{Seen, look, render, stopped, style},
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
    let mut waiting = Waiting::new(limit, args.again.interval);
    let look = async || look(args, provider).await;
    repeat(look, stopped(), |seen| {
        let output = seen.output(provider);
        let _ = writeln!(io::stderr(), "{}  {}", seen_at(&output), headline(&output));
        Ok(waiting.next(seen.exit_code(args.fail_on), output))
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
    Ok(last.await?.exit_code(args.fail_on))
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
    /// The last report with something broken.
    failing: Option<Output>,
}

impl Waiting {
    fn new(limit: Duration, interval: Duration) -> Self {
        Self { deadline: Instant::now() + limit, interval, failing: None }
    }

    /// How long to rest before the next inspection; nothing where there is none. The last one is at
    /// the deadline.
    fn next(&mut self, code: u8, output: Output) -> Option<Duration> {
        let is_hidden = |failing: &Output| {
            diff(failing, &output).is_ok_and(|changes| changes.hides_a_failure())
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
