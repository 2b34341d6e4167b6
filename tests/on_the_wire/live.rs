//! Every scenario once more, live: served by stand-ins for the clouds, seen through real clients.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use futures::{StreamExt, stream};
use kfcheck::{Bundle, Report, Runner, Status, World};
use kfcheck_mocks::{KubernetesMock, Served};
use kfcheck_report::{Style, text};
use kfcheck_tests::{Sky, completed, gcp, provider_of, replay, replay_as, root, scenarios};
use kubectl_kfcheck::Provider;
use serde_json::{Value, json};

const VERBOSE: Style = Style { verbose: true, colour: false };

async fn run(world: &World) -> Report {
    run_as(&gcp(), world).await
}

async fn run_as(provider: &Provider, world: &World) -> Report {
    Runner::default().run(world, &provider.checks).await
}

/// The report without the reasons for what wasn't seen: a bundle says that nobody looked, and
/// servers that there is nothing.
fn without_reasons(report: &str) -> String {
    let mut kept = String::new();
    let (mut unseen, mut reason) = (false, false);
    for line in report.lines() {
        unseen = line.starts_with("NOT SEEN") || unseen && line.starts_with("  ");
        reason = line.starts_with("         (") || reason && line.starts_with("         ");
        if !unseen && !reason {
            kept += line;
            kept += "\n";
        }
    }
    kept
}

/// What a bundle holds, but for what two looks at the same thing spell in different words.
fn essence(bundle: &Bundle) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for (name, text) in bundle.texts() {
        let mut text = text.unwrap();
        if name == "kubernetes/configmaps.json" {
            text = without_certificates(&text);
        }
        let mut value = match name.rsplit_once('.') {
            Some((_, "json")) => serde_json::from_str(&text).unwrap(),
            Some((_, "yaml")) => serde_saphyr::from_str(&text).unwrap(),
            _ => Value::String(text),
        };
        // That there is nothing to be had is known by another word for it.
        if let Some(errors) = value.get_mut("errors").and_then(Value::as_object_mut) {
            let denied = errors.iter().filter(|(_, fault)| fault.get("denied").is_some());
            // What is denied as a whole is denied in every namespace.
            let whole = |place: &String| place.split('#').next().unwrap().to_owned();
            *errors = denied.map(|(place, fault)| (whole(place), fault.clone())).collect();
        }
        if value["errors"] == json!({}) {
            keep(Some(&mut value), |field| field != "errors");
        }
        if let ("probes/http.json", Some(answers)) = (name, value.as_array_mut()) {
            // What only the cluster reaches is asked live, and seldom by who wrote it down.
            let inside =
                |answer: &Value| answer["url"].as_str().is_some_and(|u| u.contains(".svc"));
            answers.retain(|answer| !(inside(answer) && answer["status"].is_null()));
        }
        for answer in value.as_array_mut().into_iter().flatten() {
            let Some(answer) = answer.as_object_mut() else { continue };
            match name {
                "probes/http.json" => {
                    // A handshake is always seen live, and not always written down.
                    answer.retain(|field, value| {
                        !["error", "tls"].contains(&&**field) && value != &json!("")
                    });
                    let of_the_server = ["content-length", "date", "connection"];
                    keep(answer.get_mut("headers"), |header| !of_the_server.contains(&header));
                    answer.entry("method").or_insert("GET".into());
                }
                // How a connection is protected is always seen live, and not always written down.
                "probes/ldap.json" => {
                    keep(answer.get_mut("connect"), |field| ["ok", "through"].contains(&field));
                }
                "probes/dns.json" => answer.retain(|_, value| value != &json!([])),
                "probes/listen.json" => answer.retain(|field, _| field != "container"),
                _ => (),
            }
            answer.retain(|_, value| !value.is_null());
        }
        sort(&mut value);
        all.insert(name.to_owned(), value);
    }
    all
}

/// What is written down, but for the certificates in it: the stand-ins have their own authorities.
fn without_certificates(text: &str) -> String {
    let mut parts = text.split("-----BEGIN CERTIFICATE-----");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        whole += part.split_once("-----END CERTIFICATE-----").map_or("", |(_, rest)| rest);
    }
    whole
}

fn keep(fields: Option<&mut Value>, which: impl Fn(&str) -> bool) {
    if let Some(fields) = fields.and_then(Value::as_object_mut) {
        fields.retain(|name, _| which(name));
    }
}

/// What is named as a cause: each check, and how what it says begins.
fn causes(report: &str) -> Vec<(&str, &str)> {
    let words = ["ROOT CAUSE  ", "BROKEN  "];
    let cause =
        |(line, next)| Some((words.iter().find_map(|word| str::strip_prefix(line, word))?, next));
    report.lines().zip(report.lines().skip(1)).filter_map(cause).collect()
}

/// Lists in one order, as servers have their own.
fn sort(value: &mut Value) {
    match value {
        Value::Array(all) => {
            all.iter_mut().for_each(sort);
            all.sort_by_key(Value::to_string);
        }
        Value::Object(all) => all.values_mut().for_each(sort),
        _ => (),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_scenario_reports_live_what_its_bundle_reports() {
    let all = scenarios().into_iter().map(|folder| tokio::spawn(assert_same_live(folder)));
    let mut running = stream::iter(all).buffer_unordered(3);
    while let Some(ended) = running.next().await {
        ended.unwrap();
    }
}

async fn assert_same_live(folder: PathBuf) {
    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
    let provider = provider_of(&folder);
    let bundle = folder.join("bundle");
    let sky = Sky::over(&bundle).await;
    let live = sky.world();
    let report = run_as(&provider, &live).await;
    let replayed = replay_as(&provider, completed(Bundle::open(&bundle).unwrap()));
    let expected = text(&run_as(&provider, &replayed).await, VERBOSE);
    let report = text(&report, VERBOSE);
    if !bundle.join("kubernetes").exists() {
        // Where no cluster was looked at, a live world has one that says nothing.
        let live = causes(&report);
        assert!(causes(&expected).iter().all(|cause| live.contains(cause)), "{name}: {live:?}");
        return;
    }
    assert_eq!(without_reasons(&report), without_reasons(&expected), "{name}");
    assert!(sky.unknown().is_empty(), "{name}: {:#?}", sky.unknown());
    // What is not seen has its reason in the bundle alone.
    let written = fs::read_to_string(folder.join("report.txt")).unwrap();
    if !written.contains("NOT SEEN") {
        assert_eq!(report, written, "{name}");
    }

    let collected = replay_as(&provider, live.bundle());
    let again = text(&run_as(&provider, &collected).await, VERBOSE);
    assert_eq!(without_reasons(&again), without_reasons(&report), "{name}, collected");
    let (collected, served) = (essence(&collected.bundle()), essence(&replayed.bundle()));
    for file in collected.keys().chain(served.keys()) {
        assert_eq!(collected.get(file), served.get(file), "{name}: {file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_expire_and_old_servers_give_the_same_report() {
    let folder = root().join("tests/scenarios/gcp-healthy-negs");
    let expected = fs::read_to_string(folder.join("report.txt")).unwrap();
    let bundle = || Bundle::open(&folder.join("bundle")).unwrap();
    let small = Sky::of(bundle(), |mock| mock.page_size(1).expiring(3)).await;
    assert_eq!(text(&run(&small.world()).await, VERBOSE), expected);
    assert!(small.kubernetes.calls().iter().any(|call| call.status == 410));
    assert!(small.unknown().is_empty(), "{:#?}", small.unknown());

    let old = Sky::of(bundle(), KubernetesMock::without_aggregated_discovery).await;
    assert_eq!(text(&run(&old.world()).await, VERBOSE), expected);
    assert!(old.kubernetes.calls().iter().any(|call| call.path == "/apis/networking.k8s.io/v1"));
    assert!(old.unknown().is_empty(), "{:#?}", old.unknown());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_list_is_asked_for_once() {
    for shape in ["gateway", "instance-groups", "negs", "private", "shared-vpc"] {
        let bundle = root().join(format!("tests/scenarios/gcp-healthy-{shape}/bundle"));
        let sky = Sky::over(&bundle).await;
        run(&sky.world()).await;
        let mut seen = BTreeSet::new();
        for call in [sky.kubernetes.calls(), sky.google.calls()].concat() {
            // The groups of a backend service are asked about one by one, by their names.
            let by_body = call.path.ends_with("/getHealth");
            let new = seen.insert((call.method, call.path.clone(), call.query));
            assert!(new || by_body, "{shape}: {} twice", call.path);
        }
        let lists = seen.iter().filter(|(_, path, _)| {
            path.contains("/networking.istio.io/") && path.ends_with("/gateways")
        });
        assert_eq!(lists.count(), 1, "{shape}: a namespace's gateways are among all of them");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_does_not_answer_is_unknown_and_the_others_are_judged() {
    let folder = root().join("tests/scenarios/gcp-healthy-negs/bundle");
    for (region, ours) in [("us-central1", true), ("europe-west4", false)] {
        let served = Served::open(&folder).unwrap();
        let mut manifest = served.manifest();
        let place = format!("gcp/compute/healthChecks#regions/{region}");
        manifest["errors"][place] = json!({ "unreachable": "down" });
        let bundle = Bundle::open(&folder).unwrap().with("bundle.yaml", manifest);
        let sky = Sky::of(bundle, |mock| mock).await;
        let live = sky.world();
        let report = run(&live).await;
        assert_eq!(report.is_complete(), !ours, "{region}");
        let is = |result: &&kfcheck::CheckResult| result.id == "gcp-health-check-config";
        let judged = report.results.iter().find(is).unwrap();
        assert_eq!(judged.status, Status::Pass, "{region}: the global ones answer");
        let says = text(&report, VERBOSE);
        assert_eq!(says.contains("Google's regions/us-central1 did not answer"), ours, "{says}");

        let again = run(&replay(live.bundle())).await;
        assert_eq!(text(&again, VERBOSE), says, "{region}, collected");
    }
}
