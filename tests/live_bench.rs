//! What a live run costs: calls, the longest chain of them, and time when every call is slow.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use kfcheck::{Event, Runner};
use kfcheck_mocks::FaultProxy;
use kfcheck_tests::{Sky, checks, root};

/// What every call takes longer.
const DELAY: Duration = Duration::from_millis(100);

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let shapes = ["instance-groups", "negs", "shared-vpc"];
    for shape in shapes {
        let bundle = root().join(format!("tests/scenarios/gcp-healthy-{shape}/bundle"));
        runtime.block_on(measure(shape, &bundle));
    }
}

async fn measure(name: &str, bundle: &Path) {
    let sky = Sky::over(bundle).await;
    let quick = run(&sky, Duration::ZERO, false).await;
    let slow = run(&sky, DELAY, std::env::var("TIMELINE").is_ok()).await;
    let before = sky.kubernetes.calls().len() / 2;
    println!(
        "{name}: {} calls, {before} of them to the API server; {:.0} ms, and {:.0} ms with {} ms \
         more each: a depth of {:.1}",
        slow.calls,
        millis(quick.took),
        millis(slow.took),
        millis(DELAY),
        (millis(slow.took) - millis(quick.took)) / millis(DELAY),
    );
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

struct Run {
    calls: usize,
    took: Duration,
}

async fn run(sky: &Sky, delay: Duration, shown: bool) -> Run {
    let kubernetes = FaultProxy::before(&sky.kubernetes.url()).delay(delay).start();
    let google = FaultProxy::before(&sky.google.url()).delay(delay).start();
    let (kubernetes, google) = (kubernetes.await.expect("a port"), google.await.expect("a port"));
    let (access, google_access) = (sky.access(&kubernetes.url()), sky.google_access(&google.url()));
    let calls: Arc<Mutex<(usize, BTreeMap<String, f64>)>> = Arc::default();
    let start = Instant::now();
    let noted = Arc::clone(&calls);
    let world = sky.slow_world_of(access, google_access, delay).observe(move |event| {
        let Ok(mut noted) = noted.lock() else { return };
        match event {
            Event::CallStarted(what) => {
                noted.0 += 1;
                noted.1.insert(what, millis(start.elapsed()));
            }
            Event::CallDone(what, ..) if shown => {
                let from = noted.1.get(&what).copied().unwrap_or_default();
                println!("    {from:6.0} to {:6.0} ms  {what}", millis(start.elapsed()));
            }
            _ => (),
        }
    });
    Runner::default().run(&world, &checks()).await;
    let calls = calls.lock().map_or(0, |calls| calls.0);
    Run { calls, took: start.elapsed() }
}
