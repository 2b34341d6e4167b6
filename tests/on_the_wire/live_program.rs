//! The program as people run it on a live cluster.

use std::{
    fs,
    io::Read,
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use kfcheck_mocks::{Fault, FaultProxy, Times};
use kfcheck_tests::{Sky, all_texts, program, root};
use serde_json::Value;

async fn healthy() -> Sky {
    Sky::over(&scenario("gcp-healthy-negs").join("bundle")).await
}

fn scenario(name: &str) -> PathBuf {
    root().join("tests/scenarios").join(name)
}

/// Runs the program against a served world, and leaves the servers alone meanwhile.
async fn run(sky: &Sky, args: &[&str], more: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.args(args);
    sky.lead(&mut command, &sky.kubernetes.url(), &sky.google.url());
    command.args(more);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_deployment_is_inspected_and_nothing_else_is_said_in_a_pipe() {
    let sky = healthy().await;
    let output = run(&sky, &["gcp"], &[]).await;
    assert_eq!(stderr(&output), "");
    let said = stdout(&output);
    assert!(said.starts_with("kubeflow.example.com: nothing broken found."), "{said}");
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(sky.unknown().is_empty(), "{:#?}", sky.unknown());
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_runs_it_as_a_plugin() {
    let sky = healthy().await;
    let mut command = Command::new("kubectl");
    command.args(["kfcheck", "gcp"]);
    sky.lead(&mut command, &sky.kubernetes.url(), &sky.google.url());
    let path = format!("{}:{}", program().parent().unwrap().display(), env!("PATH"));
    command.env("PATH", path);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = stdout(&output);
    assert!(
        said.starts_with("kubeflow.example.com: nothing broken found."),
        "{said}{}",
        stderr(&output)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn verbose_shows_each_call_with_its_time() {
    let sky = healthy().await;
    let output = run(&sky, &["gcp", "-v"], &[]).await;
    let said = stderr(&output);
    let line = said.lines().find(|line| line.contains("compute.backendServices.aggregatedList"));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    let (seconds, _) = line.trim().split_once("s  ").unwrap();
    assert!(seconds.parse::<f64>().is_ok(), "{line}");
    assert!(said.contains("kubernetes GET /apis/networking.k8s.io/v1/namespaces/istio-system/"));
    assert!(said.contains("probe GET https://kubeflow.example.com/"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_collected_gives_the_same_cause_and_holds_no_secret() {
    for name in ["gcp-oauth-secret-missing", "gcp-18-shared-vpc-no-health-check-firewall"] {
        let folder = scenario(name);
        let sky = Sky::over(&folder.join("bundle")).await;
        let place = tempfile::tempdir().unwrap();
        for file in ["evidence.tar.gz", "evidence"] {
            let path = place.path().join(file);
            let shown = path.display().to_string();
            let output = run(&sky, &["collect", "gcp"], &["-o", &shown]).await;
            let said = stderr(&output);
            assert!(
                said.contains(&format!("kubectl kfcheck gcp --bundle {shown} inspects it")),
                "{said}"
            );
            let again = Command::new(program()).args(["gcp", "--bundle", &shown]).output().unwrap();
            let cause = |text: &str| {
                let from = text.find("ROOT CAUSE").unwrap();
                text[from..].lines().take(2).collect::<Vec<_>>().join(" ")
            };
            let written = fs::read_to_string(folder.join("report.txt")).unwrap();
            assert_eq!(cause(&stdout(&again)), cause(&written), "{name}");
        }
        let all = all_texts(&place.path().join("evidence"));
        assert!(all.contains("collectedAt") && all.contains("provider: gcp"), "{name}");
        assert!(!all.contains("not-a-secret") && !all.contains("managedFields"), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn collecting_survives_a_sick_target_and_says_what_is_missing() {
    let sky = healthy().await;
    let google = FaultProxy::before(&sky.google.url()).fault("", Times::Always, Fault::Status(403));
    let google = google.start().await.unwrap();
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("evidence");
    let mut command = Command::new(program());
    command.args(["collect", "gcp", "-o"]).arg(&path);
    sky.lead(&mut command, &sky.kubernetes.url(), &google.url());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = stderr(&output);
    assert!(said.contains("permission compute.backendServices.list denied"), "{said}");
    let manifest = fs::read_to_string(path.join("bundle.yaml")).unwrap();
    assert!(manifest.contains("permission: compute.backendServices.list"), "{manifest}");
    assert!(path.join("kubernetes/pods.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_probes_nothing_is_dialled_and_what_they_show_is_not_seen() {
    let sky = healthy().await;
    let output = run(&sky, &["gcp"], &["--no-probes"]).await;
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("--no-probes says that nothing is tried from here"), "{said}");
    assert!(sky.outside.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_prints_what_is_known_within_a_second() {
    let sky = healthy().await;
    let google =
        FaultProxy::before(&sky.google.url()).fault("/aggregated", Times::Always, Fault::Hang);
    let google = google.start().await.unwrap();
    let mut command = Command::new(program());
    command.args(["gcp", "-v"]);
    sky.lead(&mut command, &sky.kubernetes.url(), &google.url());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    let mut told = std::io::BufReader::new(child.stderr.take().unwrap());
    let ended = tokio::task::spawn_blocking(move || {
        // It is at work once the first answers are shown.
        let mut line = String::new();
        while !line.contains("namespaces/istio-system/services") {
            line.clear();
            std::io::BufRead::read_line(&mut told, &mut line).unwrap();
        }
        let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(interrupt.unwrap().success());
        let start = Instant::now();
        let mut said = String::new();
        child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        (child.wait().unwrap().code(), said, start.elapsed())
    });
    let (code, said, took) = ended.await.unwrap();
    assert!(said.contains("cancelled"), "{said}");
    assert_eq!(code, Some(3), "{said}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_plugin_is_run_without_standard_input_and_acts_as_somebody_else() {
    let sky = healthy().await;
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("plugin");
    // With standard input it would wait for ever.
    let script = "#!/bin/sh\ncat >/dev/null\necho '{\"apiVersion\":\
                  \"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\
                  \"status\":{\"token\":\"tok\"}}'\n";
    fs::write(&plugin, script).unwrap();
    assert!(Command::new("chmod").arg("+x").arg(&plugin).status().unwrap().success());
    let kubeconfig = serde_json::json!({ "apiVersion": "v1", "kind": "Config",
        "clusters": [{ "name": "gke_ml-prod_us-central1_kf-negs",
            "cluster": { "server": sky.kubernetes.url() } }],
        "users": [{ "name": "u", "user": { "exec": { "command": "./plugin",
            "apiVersion": "client.authentication.k8s.io/v1" } } }],
        "contexts": [{ "name": "prod", "context": {
            "cluster": "gke_ml-prod_us-central1_kf-negs", "user": "u" } }] });
    let file = folder.path().join("config");
    fs::write(&file, kubeconfig.to_string()).unwrap();
    let mut command = Command::new(program());
    command.args([
        "gcp",
        "--context",
        "prod",
        "--as",
        "jane",
        "--as-group",
        "ops",
        "--as-uid",
        "7",
    ]);
    command.arg("--no-probes").env_clear().env("PATH", env!("PATH"));
    // A file of the list that isn't there is no error, for kubectl either.
    command.env("KUBECONFIG", format!("/no/such/file:{}", file.display()));
    command.env("HTTPS_PROXY", "http://127.0.0.1:1").env("HTTP_PROXY", "http://127.0.0.1:1");
    for (api, path) in [
        ("COMPUTE", "/compute/v1/"),
        ("CONTAINER", "/"),
        ("LOGGING", ""),
        ("DNS", ""),
        ("CERTIFICATEMANAGER", ""),
    ] {
        let variable = format!("CLOUDSDK_API_ENDPOINT_OVERRIDES_{api}");
        command.env(variable, sky.google.url() + path);
    }
    command.stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let open = child.stdin.take();
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    let output = output.await.unwrap();
    drop(open);
    let said = stdout(&output);
    assert!(said.starts_with("kubeflow.example.com: nothing broken found."), "{said}");
    assert!(!said.contains("Google credentials"), "{said}");
    let headers = sky.kubernetes.headers();
    let has = |name: &str, value: &str| {
        headers.iter().all(|all| all.iter().any(|(n, v)| n == name && v == value))
    };
    assert!(!headers.is_empty() && has("authorization", "Bearer tok"), "{headers:?}");
    assert!(has("impersonate-user", "jane") && has("impersonate-group", "ops"), "{headers:?}");
    assert!(has("impersonate-uid", "7"), "{headers:?}");
}

/// Answers what the script asks `gcloud` with what a bundle holds.
const GCLOUD: &str = r#"#!/bin/sh
list() { cat "$BUNDLE/gcp/$1.json"; }
entry() { jq -e --arg name "$2" '.[$name]' "$BUNDLE/gcp/compute/$1.json"; }
case "$*" in
  *"--project ml-host"*list*) echo '[]' ;;
  "certificate-manager maps entries list"*) list certificatemanager/certificateMapEntries ;;
  "certificate-manager maps list"*) list certificatemanager/certificateMaps ;;
  "certificate-manager certificates list"*) list certificatemanager/certificates ;;
  "compute addresses list"*) list compute/addresses ;;
  "compute backend-services list"*) list compute/backendServices ;;
  "compute backend-services get-health"*) entry backendServiceHealth "$4" ;;
  "compute firewall-rules list"*) list compute/firewalls ;;
  "compute forwarding-rules list"*) list compute/forwardingRules ;;
  "compute health-checks list"*) list compute/healthChecks ;;
  "compute instances list"*) list compute/instances ;;
  "compute network-endpoint-groups list-network-endpoints"*) entry networkEndpoints "$4" ;;
  "compute network-endpoint-groups list"*) list compute/networkEndpointGroups ;;
  "compute networks get-effective-firewalls"*) entry effectiveFirewalls "$4" ;;
  "compute networks list"*) list compute/networks ;;
  "compute networks subnets list"*) list compute/subnetworks ;;
  "compute project-info describe"*) list compute/project ;;
  "compute routers get-status"*) entry routerStatus "us-central1/$4" ;;
  "compute routers list"*) [ -e "$BUNDLE/gcp/compute/routers.json" ] && list compute/routers || echo '[]' ;;
  "compute routes list"*) [ -e "$BUNDLE/gcp/compute/routes.json" ] && list compute/routes || echo '[]' ;;
  "dns managed-zones list"*) echo '[]' ;;
  "compute regions list"*) list compute/regions ;;
  "compute ssl-certificates list"*) list compute/sslCertificates ;;
  "compute target-http-proxies list"*) list compute/targetHttpProxies ;;
  "compute target-https-proxies list"*) list compute/targetHttpsProxies ;;
  "compute url-maps list"*) list compute/urlMaps ;;
  "container clusters list"*) list container/clusters ;;
  "container operations list"*) list container/operations ;;
  "logging read"*) echo "ERROR: PERMISSION_DENIED: Permission denied" >&2; exit 1 ;;
  *) echo "gcloud $*: nobody should ask this" >&2; exit 9 ;;
esac
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_script_writes_a_bundle_with_the_same_cause_and_no_secret() {
    for name in [
        "gcp-healthy-negs",
        "gcp-oauth-secret-missing",
        "gcp-private-no-nat",
        "gcp-gateway-certificate-not-authorized",
    ] {
        let bundle = scenario(name).join("bundle");
        let sky = Sky::over(&bundle).await;
        let place = tempfile::tempdir().unwrap();
        let tools = place.path().join("tools");
        fs::create_dir(&tools).unwrap();
        fs::write(tools.join("gcloud"), GCLOUD).unwrap();
        let chmod = Command::new("chmod").arg("+x").arg(tools.join("gcloud")).status();
        assert!(chmod.unwrap().success());

        let args = ["collect", "gcp", "--script", "--no-probes", "--project", "ml-prod"];
        let script = Command::new(program()).args(args).output().unwrap();
        assert!(script.status.success(), "{}", stderr(&script));
        let file = place.path().join("collect.sh");
        fs::write(&file, &script.stdout).unwrap();
        let kubeconfig = sky.access(&sky.kubernetes.url()).kubeconfig.unwrap();
        let out = place.path().join("evidence");
        let mut sh = Command::new("sh");
        sh.arg(&file).arg(&out).env("KUBECONFIG", kubeconfig).env("BUNDLE", bundle.join(""));
        sh.env("PATH", format!("{}:{}", tools.display(), env!("PATH"))).env("HOME", place.path());
        let ran = tokio::task::spawn_blocking(move || sh.output().unwrap()).await.unwrap();
        let told = stderr(&ran);
        assert!(ran.status.success(), "{name}: {told}");
        assert!(!told.contains("nobody should ask this"), "{name}: {told}");
        assert!(told.contains("not collected: gcp/logging/entries"), "{name}: {told}");

        // The deployment is as it was when it was recorded.
        let file = out.join("bundle.yaml");
        let mut manifest: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let recorded = fs::read_to_string(bundle.join("bundle.yaml")).unwrap();
        let recorded: Value = serde_saphyr::from_str(&recorded).unwrap();
        assert!(manifest["collectedAt"].is_string(), "{manifest}");
        manifest["collectedAt"] = recorded["collectedAt"].clone();
        fs::write(&file, manifest.to_string()).unwrap();
        let shown = out.display().to_string();
        let again = Command::new(program()).args(["gcp", "--bundle", &shown]).output().unwrap();
        let said = stdout(&again);
        let written = fs::read_to_string(scenario(name).join("report.txt")).unwrap();
        let causes = |text: &str| {
            let lines = text.lines().skip_while(|line| !line.starts_with("ROOT CAUSE"));
            lines.take(2).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(causes(&said), causes(&written), "{name}: {said}\n{told}");
        // Whatever kinds Config Connector has, by the category that they share.
        let of_config_connector = out.join("kubernetes/cnrm.cloud.google.com.json");
        assert_eq!(of_config_connector.exists(), name == "gcp-healthy-shared-vpc", "{told}");
        let all = all_texts(&out);
        assert!(all.contains("KHJlZGFjdGVkKQ==") || !all.contains("kubeflow-oauth\""), "{name}");
        assert!(!all.contains("managedFields") && !all.contains("\"env\""), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn arp_is_asked_from_a_node_and_the_pod_for_it_is_gone_afterwards() {
    let folder = scenario("onprem-address-taken-by-another-machine").join("bundle");
    let sky = Sky::over(&folder).await;
    let ask = async |more: &[&str]| {
        let mut command = Command::new(program());
        command.arg("onprem");
        sky.lead_to_all_but_google(&mut command, &sky.kubernetes.url());
        command.args(["--check", "onprem-metallb-arp", "-v"]).args(more);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    };
    let made = || {
        let calls = sky.kubernetes.calls().into_iter();
        let calls = calls.filter(|call| call.method == "POST" || call.method == "DELETE");
        calls.map(|call| (call.method, call.path)).collect::<Vec<_>>()
    };

    let said = stdout(&ask(&[]).await);
    assert!(said.contains("--connect-to leads elsewhere"), "{said}");
    assert_eq!(made(), []);

    let node = "worker-2";
    let output = ask(&["--arp-from-node", node]).await;
    let said = stdout(&output).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("2 machines answer for"), "{said}\n{}", stderr(&output));
    let calls = made();
    let (method, path) = &calls[1];
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert_eq!(calls[0], ("POST".to_owned(), "/api/v1/namespaces/kube-system/pods".to_owned()));
    assert_eq!(method, "DELETE");
    assert!(path.starts_with("/api/v1/namespaces/kube-system/pods/kfcheck-arp-"), "{path}");
    assert!(sky.unknown().is_empty(), "{:#?}", sky.unknown());
}
