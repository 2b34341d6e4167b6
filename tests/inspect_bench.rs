//! How long the program takes and how much memory, on bundles small and large.
//!
//! `cargo bench -p kfcheck-tests` prints a line a case: the median of several runs of the release
//! build, process start included, and the most memory that it held.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use kfcheck_tests::root;

const MEGABYTE: usize = 1 << 20;
const RUNS: usize = 5;

fn main() -> io::Result<()> {
    let program = build()?;
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
    for (name, bundle) in cases {
        let mut runs: Vec<_> =
            (0..RUNS).map(|_| run(&program, &bundle)).collect::<Result<_, _>>()?;
        runs.sort();
        let memory = runs.iter().map(|(_, memory)| *memory).max().unwrap_or_default();
        let (time, _) = runs[RUNS / 2];
        writeln!(out, "{name:36} {:>6} ms {:>6} MB", time.as_millis(), memory / 1024)?;
    }
    Ok(())
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
fn run(program: &Path, bundle: &Path) -> io::Result<(Duration, u64)> {
    let start = Instant::now();
    let mut child = Command::new(program)
        .args(["gcp", "-o", "json", "--bundle"])
        .arg(bundle)
        .stdout(Stdio::null())
        .spawn()?;
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
