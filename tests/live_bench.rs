//! What a live run costs: calls, the longest chain of them, and time when every call is slow.

#![allow(clippy::print_stdout, clippy::cast_precision_loss, reason = "it prints figures")]

use std::{
    io,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use kfcheck::{Bundle, Event, Runner};
use kfcheck_mocks::{FaultProxy, Served};
use kfcheck_tests::{Sky, gcp, release, root};
use serde_json::{Value, json};

/// What every call takes longer.
const DELAY: Duration = Duration::from_millis(100);

fn main() -> io::Result<()> {
    let program = release()?;
    let runtime = tokio::runtime::Runtime::new()?;
    for shape in ["instance-groups", "negs", "private", "shared-vpc"] {
        let bundle = root().join(format!("tests/scenarios/gcp-healthy-{shape}/bundle"));
        runtime.block_on(measure(shape, &bundle));
        let opened = || Bundle::open(&bundle).map_err(io::Error::other);
        let alone = runtime.block_on(cost(&program, opened()?))?;
        println!("  the program: {alone}");
        let crowd = runtime.block_on(cost(&program, crowded(opened()?)))?;
        println!("  in a crowd:  {crowd}");
    }
    Ok(())
}

/// The same deployment among 20,000 more pods, 5,000 more Services and 2,000 more Ingresses in a
/// namespace of somebody else, and 2,000 more backend services and firewall rules in the project.
fn crowded(bundle: Bundle) -> Bundle {
    let object = |api_version: &str, kind: &str, n: usize, spec: &Value| {
        json!({ "apiVersion": api_version, "kind": kind, "spec": spec,
            "metadata": { "namespace": "elsewhere", "name": format!("other-{n}"),
                "labels": { "app": format!("other-{n}") } },
            "status": { "phase": "Running", "podIP": "10.9.9.9" } })
    };
    let many = |api_version: &str, kind: &str, count: usize, spec: &Value| {
        json!({ "apiVersion": "v1", "kind": "List", "items": (0..count)
            .map(|n| object(api_version, kind, n, spec)).collect::<Vec<_>>() })
    };
    let pod = json!({ "containers": [{ "name": "notebook", "image": "registry/notebook:1" }] });
    let service = json!({ "selector": { "app": "x" }, "ports": [{ "port": 80 }] });
    let ingress = json!({ "rules": [{ "host": "other.example.com", "http": { "paths": [] } }] });
    let served = Served::of(&bundle);
    let is_old = served.objects().iter().any(|o| o["apiVersion"] == "extensions/v1beta1");
    let api = if is_old { "extensions/v1beta1" } else { "networking.k8s.io/v1" };
    let more = |collection: &str, sample: &Value| {
        let there = served.json(&format!("gcp/compute/{collection}")).unwrap_or_else(|| json!([]));
        let mut all = there.as_array().cloned().unwrap_or_default();
        all.extend((0..2000).map(|n| {
            let name = format!("other-{n}");
            let mut one = sample.clone();
            one["selfLink"] = format!(
                "https://www.googleapis.com/compute/v1/projects/ml-prod/global/{collection}/{name}"
            )
            .into();
            one["name"] = name.into();
            one
        }));
        Value::from(all)
    };
    let backend = json!({ "protocol": "HTTP", "port": 30000, "loadBalancingScheme": "EXTERNAL",
        "description": "{\"kubernetes.io/service-name\":\"elsewhere/other\"}" });
    let firewall = json!({ "network": "projects/ml-prod/global/networks/other", "priority": 1000,
        "direction": "INGRESS", "allowed": [{ "IPProtocol": "tcp", "ports": ["80"] }],
        "sourceRanges": ["10.0.0.0/8"] });
    let (backends, firewalls) = (more("backendServices", &backend), more("firewalls", &firewall));
    bundle
        .with("kubernetes/elsewhere/pods.json", many("v1", "Pod", 20_000, &pod))
        .with("kubernetes/elsewhere/services.json", many("v1", "Service", 5_000, &service))
        .with("kubernetes/elsewhere/ingresses.json", many(api, "Ingress", 2_000, &ingress))
        .with("gcp/compute/backendServices.json", backends)
        .with("gcp/compute/firewalls.json", firewalls)
}

/// What one run of the program costs.
struct Cost {
    kubernetes: usize,
    google: usize,
    took: Duration,
    kilobytes: u64,
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kubernetes, google, took, kilobytes } = self;
        let (took, megabytes) = (millis(*took), kilobytes / 1024);
        write!(f, "{kubernetes} + {google} calls, {took:.0} ms, {megabytes} MB")
    }
}

async fn cost(program: &Path, bundle: Bundle) -> io::Result<Cost> {
    let sky = Sky::of(bundle, |mock| mock).await;
    let mut command = Command::new(program);
    command.arg("gcp");
    sky.lead(&mut command, &sky.kubernetes.url(), &sky.google.url());
    let start = Instant::now();
    let mut child = command.stdout(Stdio::null()).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut kilobytes = 0;
    while child.try_wait()?.is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        kilobytes = kilobytes.max(peak.unwrap_or_default());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = start.elapsed();
    let (kubernetes, google) = (sky.kubernetes.calls().len(), sky.google.calls().len());
    Ok(Cost { kubernetes, google, took, kilobytes })
}

async fn measure(name: &str, bundle: &Path) {
    let sky = Sky::over(bundle).await;
    let quick = run(&sky, Duration::ZERO).await;
    let slow = run(&sky, DELAY).await;
    let chain = longest_chain(&slow.calls);
    let bound = 1.3 * chain.len() as f64 * millis(DELAY) + 300.0;
    println!(
        "{name}: {} calls; {:.0} ms, and {:.0} ms with {:.0} ms more each; the longest chain has \
         {}, which allows {bound:.0} ms: {:.2} of it",
        slow.calls.len(),
        millis(quick.took),
        millis(slow.took),
        millis(DELAY),
        chain.len(),
        millis(slow.took) / bound,
    );
    for what in chain {
        println!("    then {what}");
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// A call: its name, and when it began and ended, in milliseconds.
type Span = (String, f64, f64);

struct Run {
    calls: Vec<Span>,
    took: Duration,
}

/// The longest row of calls each of which began after the one before had ended. Read it: a call
/// that did not need the one before is one that could have been made earlier.
fn longest_chain(calls: &[Span]) -> Vec<&str> {
    let mut calls: Vec<_> = calls.iter().collect();
    calls.sort_by(|a, b| a.2.total_cmp(&b.2));
    let mut chains: Vec<Vec<usize>> = Vec::new();
    for (nth, call) in calls.iter().enumerate() {
        let before = (0..nth).filter(|other| calls[*other].2 <= call.1);
        let best = before.max_by_key(|other| chains[*other].len());
        let mut chain = best.map(|best| chains[best].clone()).unwrap_or_default();
        chain.push(nth);
        chains.push(chain);
    }
    let longest = chains.into_iter().max_by_key(Vec::len).unwrap_or_default();
    longest.into_iter().map(|nth| calls[nth].0.as_str()).collect()
}

async fn run(sky: &Sky, delay: Duration) -> Run {
    let kubernetes = FaultProxy::before(&sky.kubernetes.url()).delay(delay).start();
    let google = FaultProxy::before(&sky.google.url()).delay(delay).start();
    let (kubernetes, google) = (kubernetes.await.expect("a port"), google.await.expect("a port"));
    let (access, google_access) = (sky.access(&kubernetes.url()), sky.google_access(&google.url()));
    let calls: Arc<Mutex<Vec<Span>>> = Arc::default();
    let start = Instant::now();
    let noted = Arc::clone(&calls);
    let world = sky.slow_world_of(access, google_access, delay).observe(move |event| {
        if let (Event::CallDone(what, took, _), Ok(mut noted)) = (event, noted.lock()) {
            let end = millis(start.elapsed());
            noted.push((what, end - millis(took), end));
        }
    });
    Runner::default().run(&world, &gcp().checks).await;
    let took = start.elapsed();
    let calls = calls.lock().map(|calls| calls.clone()).unwrap_or_default();
    Run { calls, took }
}
