//! What an inspection may do is what it needs: no permission too few, none too many.

#![allow(clippy::print_stdout, reason = "figures are for whoever runs it")]

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    sync::Arc,
};

use expect_test::expect_file;
use futures::{StreamExt, stream};
use kfcheck::{Report, Runner, Status};
use kfcheck_mocks::{Api, FaultProxy, Proxy};
use kfcheck_report::{Style, text};
use kfcheck_tests::{Sky, covering, program, provider, provider_of, root, scenarios};
use serde_json::Value;

const VERBOSE: Style = Style { verbose: true, colour: false };

fn printed(args: &[&str]) -> String {
    let output = Command::new(program()).arg("permissions").args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap()
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

/// What a printed policy grants.
fn granted(api: Api, args: &[&str]) -> BTreeSet<String> {
    let text = printed(args);
    match api {
        Api::Google => texts(&documents(&text)[0]["includedPermissions"]).into_iter().collect(),
        Api::Aws => {
            let policy: Value = serde_json::from_str(&text).unwrap();
            texts(&policy["Statement"][0]["Action"]).into_iter().collect()
        }
        Api::Kubernetes => documents(&text)
            .iter()
            .flat_map(|role| role["rules"].as_array().unwrap().clone())
            .flat_map(|rule| {
                let verbs = texts(&rule["verbs"]);
                let resources = if rule["nonResourceURLs"].is_array() {
                    texts(&rule["nonResourceURLs"])
                } else {
                    let group = texts(&rule["apiGroups"])[0].clone();
                    let dot = if group.is_empty() { "" } else { "." };
                    let plurals = texts(&rule["resources"]).into_iter();
                    plurals.map(|plural| format!("{plural}{dot}{group}")).collect()
                };
                let both = move |resource: String| {
                    verbs.clone().into_iter().map(move |verb| format!("{verb} {resource}"))
                };
                resources.into_iter().flat_map(both)
            })
            .collect(),
    }
}

/// A scenario behind gates that let through what is granted.
struct Gated {
    cluster: Proxy,
    cloud: Option<Proxy>,
    report: Report,
}

async fn gated(
    sky: &Sky,
    name: &str,
    cluster: &BTreeSet<String>,
    cloud: &BTreeSet<String>,
) -> Gated {
    let before = |url: &str, api| FaultProxy::before(url).noting(api);
    // Config Connector brings a role of its own, which nobody else can write down.
    let own = |granted: &BTreeSet<String>| {
        let listed = sky.kubernetes.calls().into_iter().map(|call| call.path);
        let groups = listed.filter_map(|path| {
            let mut parts = path.split('/').skip(2);
            let (group, plural) = (parts.next()?.to_owned(), path.rsplit('/').next()?.to_owned());
            group.ends_with(".cnrm.cloud.google.com").then(|| format!("list {plural}.{group}"))
        });
        granted.iter().cloned().chain(groups).collect()
    };
    let gate = before(&sky.kubernetes.url(), Api::Kubernetes);
    let gate = gate.granting(Api::Kubernetes, own(cluster)).start().await.unwrap();
    let access = sky.access(&gate.url());
    let (world, cloud) = match name {
        "gcp" => {
            let proxy = before(&sky.google.url(), Api::Google).granting(Api::Google, cloud.clone());
            let proxy = proxy.start().await.unwrap();
            let google = sky.google_access(&proxy.url());
            (sky.world_of(access, google), Some(proxy))
        }
        "aws" => {
            let proxy = before(&sky.amazon.url(), Api::Aws).granting(Api::Aws, cloud.clone());
            let proxy = proxy.start().await.unwrap();
            (sky.aws_world_of(access, &proxy.url()), Some(proxy))
        }
        _ => (sky.onprem_world_of(access), None),
    };
    let report = Runner::default().run(&world, &provider(name).checks).await;
    Gated { cluster: gate, cloud, report }
}

fn statuses(report: &Report) -> Vec<Status> {
    report.results.iter().map(|result| result.status).collect()
}

async fn plain(sky: &Sky, name: &str) -> String {
    let report = Runner::default().run(&sky.world(), &provider(name).checks).await;
    text(&report, VERBOSE)
}

/// What no live scenario goes through, and whose own tests do.
const ELSEWHERE: [(&str, &str); 4] = [
    ("pods/portforward", "crates/kfcheck-kube/tests/ldap.rs, a directory inside of a cluster"),
    ("cloudformation:DescribeStackEvents", "aws-stack-failed, where there is no cluster to ask"),
    ("authorizationpolicies.security.istio.io", "aws-authz-adaptor, where nothing else decides"),
    (
        "customresourcedefinitions.apiextensions.k8s.io",
        "gcp-firewall-webhook, webhooks that convert",
    ),
];

/// What is known of permissions: those that are printed, and those without which something is missed.
#[derive(Default)]
struct Tried {
    granted: BTreeSet<String>,
    needed: BTreeSet<String>,
}

impl Tried {
    fn is_settled(&self, permission: &str) -> bool {
        // RBAC is granted by kind.
        let is_same = |other: &String| other.contains(' ') && kind(other) == kind(permission);
        self.needed.contains(permission)
            || permission.contains(' ') && self.needed.iter().any(is_same)
            || ELSEWHERE.iter().any(|(kind, _)| permission.ends_with(kind))
    }

    fn left(&self) -> Vec<&String> {
        self.granted.iter().filter(|permission| !self.is_settled(permission)).collect()
    }
}

/// Tries the policies of a provider: with all that is granted nothing is missed.
async fn try_out(name: &str, api: Api, tried: &mut Tried) {
    let cloud = if name == "onprem" { BTreeSet::new() } else { granted(api, &[name]) };
    let cluster = granted(Api::Kubernetes, &["kubernetes", "--for", name, "--exec"]);
    println!("{name}: {} permissions of the cloud, {} of the cluster", cloud.len(), cluster.len());
    tried.granted.extend(cloud.union(&cluster).cloned());
    // Those that ask for everything first, then whatever else may ask for what is left.
    let chosen: Vec<_> = covering(name).await.into_iter().map(|one| one.folder).collect();
    let others = scenarios().into_iter().filter(|folder| {
        provider_of(folder).name == name
            && folder.join("bundle/kubernetes").exists()
            && !chosen.contains(folder)
    });
    for (nth, folder) in chosen.iter().cloned().chain(others).enumerate() {
        if nth >= chosen.len() && tried.left().is_empty() {
            break;
        }
        let shown = folder.display();
        let sky = Arc::new(Sky::over(&folder.join("bundle")).await);
        let expected = plain(&sky, name).await;
        let full = gated(&sky, name, &cluster, &cloud).await;
        let taken = full.cloud.as_ref().map(Proxy::taken).unwrap_or_default();
        let taken: BTreeSet<_> = taken.union(&full.cluster.taken()).cloned().collect();
        let is_lacking = |one: &&String| {
            !cloud.contains(*one) && !cluster.contains(*one) && !one.contains(".cnrm.")
        };
        let lacking: Vec<_> = taken.iter().filter(is_lacking).collect();
        assert!(lacking.is_empty(), "{shown}: not granted: {lacking:?}");
        assert_eq!(text(&full.report, VERBOSE), expected, "{shown}: something is denied");
        let unsettled: Vec<_> =
            taken.iter().filter(|one| tried.left().contains(one)).cloned().collect();
        let withdrawn = unsettled.into_iter().map(|permission| {
            let without = |all: &BTreeSet<String>| {
                all.iter().filter(|one| **one != permission).cloned().collect::<BTreeSet<_>>()
            };
            let (cluster, cloud) = (without(&cluster), without(&cloud));
            let (sky, name) = (Arc::clone(&sky), name.to_owned());
            tokio::spawn(async move {
                let less = gated(&sky, &name, &cluster, &cloud).await;
                (permission, less.report)
            })
        });
        let withdrawn: Vec<_> = stream::iter(withdrawn).buffer_unordered(8).collect().await;
        for one in withdrawn {
            let (permission, less) = one.unwrap();
            let said = text(&less, VERBOSE);
            let words: String = said.split_whitespace().collect::<Vec<_>>().join(" ");
            // What only adds to a finding need not be named: the finding is there without it.
            if statuses(&less) != statuses(&full.report) {
                assert!(words.contains(permission.as_str()), "{permission} is not named: {said}");
            }
            if said != expected {
                tried.needed.insert(permission);
            }
        }
    }
}

fn kind(permission: &str) -> &str {
    let resource = permission.split_once(' ').map_or(permission, |(_, resource)| resource);
    // Older servers have a kind in an older group.
    if permission.contains(' ') {
        resource.split('.').next().unwrap_or(resource)
    } else {
        permission
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_is_enough_and_none_of_it_is_too_much() {
    let mut tried = Tried::default();
    try_out("onprem", Api::Kubernetes, &mut tried).await;
    try_out("gcp", Api::Google, &mut tried).await;
    try_out("aws", Api::Aws, &mut tried).await;
    assert!(tried.left().is_empty(), "nothing is missed without {:#?}", tried.left());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inspection_changes_nothing() {
    // Questions that have a body, and what --exec and a port-forward are asked for with.
    let asks = ["getHealth", "listNetworkEndpoints", "entries:list", "selfsubjectaccessreviews"];
    let mut seen = 0;
    for name in ["gcp", "aws", "onprem"] {
        for one in covering(name).await {
            let sky = one.sky().await;
            Runner::default().run(&sky.world(), &provider(name).checks).await;
            for call in [sky.kubernetes.calls(), sky.google.calls()].concat() {
                let asks = call.method == "POST" && asks.iter().any(|ask| call.path.ends_with(ask));
                assert!(call.method == "GET" || asks, "{}: {call:?}", one.name());
                seen += 1;
            }
            for asked in sky.amazon.asked() {
                let action = asked.split(' ').nth(1).unwrap();
                let reads = ["Describe", "Get", "List"].iter().any(|verb| action.starts_with(verb));
                assert!(reads, "{}: {asked}", one.name());
                seen += 1;
            }
        }
    }
    assert!(seen > 500, "{seen}");
}

#[tokio::test]
async fn which_facts_each_check_asks_for_is_written_down() {
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for folder in scenarios() {
        let (provider, world) =
            (provider_of(&folder), kfcheck_tests::world(&folder.join("bundle")));
        Runner::default().run(&world, &provider.checks).await;
        let asking: BTreeSet<_> = provider.facts.iter().map(|fact| fact.name).collect();
        let mut add = |who: String, asker: &str| {
            let mut below = world.facts_below(asker);
            if asker != "report" {
                // What the path takes is the provider's, and another's has another.
                below = below.difference(&world.facts_below("report")).cloned().collect();
            }
            let below = below.into_iter().filter(|name| asking.contains(&**name));
            known.entry(who).or_default().extend(below);
        };
        for check in &provider.checks {
            add(check.meta().id.to_owned(), check.meta().id);
        }
        add(format!("path {}", provider.name), "report");
    }
    let text = serde_json::to_string_pretty(&known).unwrap() + "\n";
    expect_file![root().join("crates/kubectl-kfcheck/src/facts_of_checks.json")].assert_eq(&text);
}

#[test]
fn the_fewest_permissions_are_those_of_the_selected_checks() {
    let all = granted(Api::Aws, &["aws"]);
    let few = granted(Api::Aws, &["aws", "--minimal", "--check", "aws-cognito-*"]);
    assert!(few.is_subset(&all) && few.len() < all.len(), "{few:?}");
    assert!(few.contains("cognito-idp:DescribeUserPool"), "{few:?}");
    assert!(!few.contains("cloudformation:DescribeStackEvents"), "{few:?}");
    let role = printed(&["kubernetes", "--for", "onprem", "--arp-from-node"]);
    assert_eq!(documents(&role).len(), 2, "{role}");
    assert!(!printed(&["kubernetes", "--for", "gcp"]).contains("pods/exec"));
    let mut wrong = Command::new(program());
    let output = wrong.args(["permissions", "kubernetes", "--for", "azure"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("gcp, aws, onprem"));
}
