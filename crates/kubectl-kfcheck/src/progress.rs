//! What is going on, for people: on standard error, a line on a terminal and nothing in a pipe.

use std::{
    io::{self, IsTerminal, Write},
    sync::Mutex,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kfcheck::Event;

/// How often the line is drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// A line that says what is asked and what is answered; and each call, where that is wanted.
pub(crate) struct Progress {
    line: ProgressBar,
    calls: Mutex<(usize, usize)>,
    verbose: bool,
}

impl Progress {
    pub(crate) fn new(verbose: bool) -> Self {
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let line = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            line.set_style(style);
        }
        line.enable_steady_tick(TICK);
        Self { line, calls: Mutex::default(), verbose }
    }

    pub(crate) fn note(&self, event: &Event) {
        let Ok(mut calls) = self.calls.lock() else { return };
        match event {
            Event::CallStarted(_) => calls.0 += 1,
            Event::CallDone(what, took, error) => {
                calls.1 += 1;
                if self.verbose {
                    self.say(what, *took, error.as_deref());
                }
            }
            _ => return,
        }
        let (asked, answered) = *calls;
        let what = match event {
            Event::CallStarted(what) | Event::CallDone(what, ..) => what.as_str(),
            _ => "",
        };
        self.line.set_message(format!("{asked} asked, {answered} answered: {what}"));
    }

    fn say(&self, what: &str, took: Duration, error: Option<&str>) {
        let error = error.map_or_else(String::new, |error| format!("  ({error})"));
        let text = format!("{:6.2}s  {what}{error}", took.as_secs_f64());
        self.line.suspend(|| {
            // Where even that can't be said, the report is what counts.
            let _ = writeln!(io::stderr(), "{text}");
        });
    }

    pub(crate) fn clear(&self) {
        self.line.finish_and_clear();
    }
}
