use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, stream};

use crate::{
    Check, CheckResult, Fact, FactError, FactKey, Fault, Findings, Now, Path, Report, Status,
    World, path::Joined, world::within,
};

/// What happens during a run, for whoever shows progress.
#[derive(Clone, Debug)]
pub enum Event {
    /// A question goes out.
    FactStarted(FactKey),
    /// It was answered, or not.
    FactDone(FactKey, Option<FactError>),
    /// A call goes out to the outside world; one question may take several.
    CallStarted(String),
    /// It came back, after so long, and maybe with an error.
    CallDone(String, Duration, Option<String>),
    /// A check starts.
    CheckStarted(&'static str),
    /// It is done.
    CheckDone(&'static str, Status),
}

/// Runs checks over a world.
#[derive(Clone, Debug)]
pub struct Runner {
    /// How many checks run at a time.
    pub jobs: usize,
    /// How long one check may take, waiting for facts included.
    pub timeout: Duration,
}

impl Default for Runner {
    fn default() -> Self {
        Self { jobs: 64, timeout: Duration::from_mins(1) }
    }
}

impl Runner {
    /// Runs `checks` and reports in their order, whichever ends first.
    pub async fn run(&self, world: &World, checks: &[&'static dyn Check]) -> Report {
        let cx = world.cx("report");
        let at = cx.get(Now).await;
        for _ in checks {
            world.count_running(true);
        }
        // In boxes, so that a run can be spawned as a task.
        let running = checks.iter().map(|check| self.run_one(world, *check).boxed());
        let running = stream::iter(running.collect::<Vec<_>>());
        let results = running.buffered(self.jobs).collect().await;
        let refused = world.refused().iter().map(|name| {
            let detail = "it is a link, or leaves the bundle; put a plain copy in its place";
            Fault::Malformed { file: name.clone(), detail: detail.to_owned() }.into()
        });
        let path = cx.path().await.unwrap_or_else(|error| {
            let mut path = Path::default();
            path.gap(error);
            Arc::new(path)
        });
        let path = match &world.missing_for("report")[..] {
            [] => path,
            missing => {
                let mut path = (*path).clone();
                for error in missing {
                    path.gap(error.clone());
                }
                Arc::new(path)
            }
        };
        Report { at, path, refused: refused.collect(), results, warnings: Vec::new() }
    }

    async fn run_one(&self, world: &World, check: &'static dyn Check) -> CheckResult {
        let meta = check.meta();
        let cx = world.cx(meta.id);
        let mut out = Findings::default();
        world.emit(Event::CheckStarted(meta.id));
        let running = AssertUnwindSafe(check.run(&cx, &mut out)).catch_unwind();
        let ended = match within(self.timeout, running).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(_panic)) => Err(Fault::Bug("panicked".to_owned()).into()),
            Err(timed_out) => Err(timed_out),
        };
        world.count_running(false);
        let facts = world.asked_by(meta.id);
        let on_path = world.leans_on(meta.id, Joined::NAME);
        if let (true, true, Ok(path)) = (on_path, out.is_empty(), cx.path().await) {
            out.unknown.extend(path.gaps.iter().map(|gap| (None, gap.clone())));
        }
        if out.is_empty() {
            let missing = world.missing_for(meta.id).into_iter();
            out.unknown.extend(missing.map(|error| (None, error)));
        }
        let result = CheckResult::new(meta, out, ended.err(), facts);
        world.emit(Event::CheckDone(meta.id, result.status));
        result
    }
}
