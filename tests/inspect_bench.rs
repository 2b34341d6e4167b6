//! How long the program takes and how much memory, on bundles small and large, and how large it and
//! its pages are.
//!
//! `cargo bench -p kfcheck-tests --bench inspect` prints a line a case: the median of several runs of
//! the release build, process start included, the most memory that it held, and which part of what is
//! allowed that is. `KFCHECK_PROGRAM` names another build to measure.

use std::{
    env,
    ffi::OsStr,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use kfcheck_tests::{provider_of, root, scenarios};

const MEGABYTE: usize = 1 << 20;
const RUNS: usize = 5;

/// What is allowed, in milliseconds or megabytes.
const HELP: f64 = 15.0;
const LARGE_BUNDLE: f64 = 1000.0;
const PROGRAM: f64 = 40.0;
const PAGE: f64 = 0.5;

fn main() -> io::Result<()> {
    let program = match env::var_os("KFCHECK_PROGRAM") {
        Some(program) => program.into(),
        None => build()?,
    };
    let folder = tempfile::tempdir()?;
    let mut cases = vec![
        ("the example".to_owned(), root().join("examples/gke-iap-502")),
        ("healthy, NEGs".to_owned(), root().join("tests/scenarios/gcp-healthy-negs/bundle")),
    ];
    for (name, format, namespace) in [
        ("30 MB more pods elsewhere, YAML", "yaml", "elsewhere"),
        ("30 MB more pods elsewhere, JSON", "json", "elsewhere"),
        ("30 MB more pods in kubeflow, YAML", "yaml", "kubeflow"),
        ("30 MB more pods in kubeflow, JSON", "json", "kubeflow"),
    ] {
        let copy = folder.path().join(name.replace([' ', ','], "-"));
        copy_folder(&root().join("examples/gke-iap-502"), &copy)?;
        let text = if format == "yaml" { pods_yaml(namespace) } else { pods_json(namespace) };
        fs::write(copy.join(format!("kubernetes/more.{format}")), text)?;
        cases.push((name.to_owned(), copy));
    }
    let mut out = io::stdout().lock();
    let (time, memory) = median(&program, &["--help".as_ref()])?;
    line(&mut out, "--help", time, memory, Some(HELP))?;
    for (name, bundle) in cases {
        let inspect = ["gcp", "-o", "json", "--bundle"].map(OsStr::new);
        let args = [&inspect[..], &[bundle.as_os_str()]].concat();
        let (time, memory) = median(&program, &args)?;
        line(&mut out, &name, time, memory, name.starts_with("30 MB").then_some(LARGE_BUNDLE))?;
    }
    size(&mut out, "the program", fs::metadata(&program)?.len(), PROGRAM)?;
    let (page, name) = largest_page(&program)?;
    size(&mut out, &format!("the largest page, of {name}"), page, PAGE)
}

/// The median of several runs, and the most memory.
fn median(program: &Path, args: &[&OsStr]) -> io::Result<(Duration, u64)> {
    let mut runs: Vec<_> = (0..RUNS).map(|_| run(program, args)).collect::<Result<_, _>>()?;
    runs.sort();
    let memory = runs.iter().map(|(_, memory)| *memory).max().unwrap_or_default();
    Ok((runs[RUNS / 2].0, memory))
}

fn line(
    out: &mut impl io::Write,
    name: &str,
    time: Duration,
    memory: u64,
    limit: Option<f64>,
) -> io::Result<()> {
    let time = time.as_secs_f64() * 1000.0;
    let ratio =
        limit.map_or_else(String::new, |limit| format!("{:>6.2} of {limit} ms", time / limit));
    writeln!(out, "{name:36} {time:>7.1} ms {:>6} MB {ratio}", memory / 1024)
}

#[allow(clippy::cast_precision_loss, reason = "no file is that large")]
fn size(out: &mut impl io::Write, name: &str, bytes: u64, limit: f64) -> io::Result<()> {
    let size = bytes as f64 / MEGABYTE as f64;
    writeln!(out, "{name:60} {size:>7.2} MB {:>6.2} of {limit} MB", size / limit)
}

/// The largest HTML page of all scenarios, in bytes, and whose it is.
fn largest_page(program: &Path) -> io::Result<(u64, String)> {
    let mut largest = (0, String::new());
    for folder in scenarios() {
        let provider = provider_of(&folder).name;
        let mut command = Command::new(program);
        command
            .args([provider, "-o", "html", "--no-config", "--bundle"])
            .arg(folder.join("bundle"));
        let page = command.output()?.stdout.len() as u64;
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        largest = largest.max((page, name));
    }
    Ok(largest)
}

fn build() -> io::Result<PathBuf> {
    let args = ["build", "--release", "--package", "kubectl-kfcheck"];
    let status = Command::new(env!("CARGO")).args(args).current_dir(root()).status()?;
    if !status.success() {
        return Err(io::Error::other("the release build failed"));
    }
    // target/release/deps/THIS_BENCH
    let here = std::env::current_exe()?;
    let folder = here.parent().and_then(Path::parent).unwrap_or(Path::new("."));
    Ok(folder.join("kubectl-kfcheck"))
}

/// How long one run took, and the most memory it held, in kilobytes.
fn run(program: &Path, args: &[&OsStr]) -> io::Result<(Duration, u64)> {
    let start = Instant::now();
    let mut child = Command::new(program).args(args).stdout(Stdio::null()).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    while child.try_wait()?.is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        most = most.max(peak.unwrap_or_default());
        std::thread::yield_now();
    }
    Ok((start.elapsed(), most))
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Thirty megabytes of pods, as `kubectl get pods -o yaml` prints them.
fn pods_yaml(namespace: &str) -> String {
    let mut text = String::from("apiVersion: v1\nitems:\n");
    let mut nth = 0;
    while text.len() < 30 * MEGABYTE {
        nth += 1;
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "- apiVersion: v1\n  kind: Pod\n  metadata:\n    name: notebook-{nth}\n    \
             namespace: {namespace}\n    creationTimestamp: \"2020-10-20T08:00:00Z\"\n    labels:\n      \
             app: notebook\n      pod-template-hash: 7d9f8b6c5d\n    ownerReferences:\n    \
             - apiVersion: apps/v1\n      kind: StatefulSet\n      name: notebook-{nth}\n  spec:\n    \
             nodeName: node-{nth}\n    containers:\n    - name: notebook\n      image: registry.example.com/notebook:1\n      \
             env:\n      - name: NB_PREFIX\n        value: /notebook/{namespace}/notebook-{nth}\n      \
             ports:\n      - containerPort: 8888\n        protocol: TCP\n      volumeMounts:\n      \
             - mountPath: /home/jovyan\n        name: workspace\n    volumes:\n    - name: workspace\n      \
             persistentVolumeClaim:\n        claimName: workspace-{nth}\n  status:\n    phase: Running\n    \
             podIP: 10.8.0.1\n    conditions:\n    - type: Ready\n      status: \"True\"\n      \
             lastTransitionTime: \"2020-10-20T08:00:00Z\"\n    containerStatuses:\n    - name: notebook\n      \
             image: registry.example.com/notebook:1\n      ready: true\n      restartCount: 0\n      \
             state:\n        running:\n          startedAt: \"2020-10-20T08:00:00Z\"\n"
        );
    }
    text + "kind: List\nmetadata:\n  resourceVersion: \"\"\n"
}

/// The same as JSON.
fn pods_json(namespace: &str) -> String {
    let mut text = String::from("{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[");
    let mut nth = 0;
    while text.len() < 30 * MEGABYTE {
        nth += 1;
        let pod = serde_json::json!({ "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": format!("notebook-{nth}"), "namespace": namespace,
                "labels": { "app": "notebook" }, "managedFields": [{ "manager": "kubelet",
                "fieldsV1": { "f:status": { "f:conditions": { "f:type": {}, "f:status": {} } } } }] },
            "spec": { "containers": [{ "name": "notebook", "image": "registry.example.com/notebook:1",
                "ports": [{ "containerPort": 8888 }], "env": [{ "name": "A", "value": "b" }] }] },
            "status": { "phase": "Running", "podIP": "10.8.0.1",
                "conditions": [{ "type": "Ready", "status": "True" }] } });
        let _ = write!(text, "{}{pod:#}", if nth == 1 { "" } else { "," });
    }
    text + "]}"
}
