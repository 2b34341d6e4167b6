//! The clean-up from the command line, on an account of moto's behind a CloudFormation that deletes as
//! AWS does.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use futures::{FutureExt, StreamExt, stream};
use kfcheck_aws::cleanup::{Entry, entries};
use kfcheck_mocks::{
    CloudFormation, CloudFormationMock, Fault, Moment, Then, Times, World, Worlds,
};
use kfcheck_tests::{models, program, root};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The account of `tests/moto/orphan.py`, as it was made.
fn world() -> World {
    static ALL: OnceLock<Worlds> = OnceLock::new();
    let python = root().join("target/tools/moto/bin/python");
    let start = || Worlds::start(&python, &root().join("tests/moto/orphan.py")).unwrap();
    ALL.get_or_init(start).another().expect("moto; scripts/setup --tests installs it")
}

fn before(world: &World) -> CloudFormationMock {
    CloudFormationMock::before(&world.endpoint, models()).stacks(world.stacks.clone())
}

/// The program, led to an account, in a folder of its own.
fn cleanup(cloud: &str, folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(["aws", "cleanup", "--region", "us-west-2", "--look-every", "1"]).args(args);
    command.env_clear().current_dir(folder).env("HOME", folder);
    command.env("AWS_ENDPOINT_URL", cloud).env("AWS_EC2_METADATA_DISABLED", "true");
    command.env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE").env("AWS_SECRET_ACCESS_KEY", "not-a-secret");
    command
}

/// What comes of it, where somebody types this.
async fn typing(mut command: Command, typed: &'static str) -> Output {
    let run = move || {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It may have ended before.
        let _ = child.stdin.take().unwrap().write_all(typed.as_bytes());
        child.wait_with_output().unwrap()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

struct Ran {
    says: String,
    shows: String,
    code: Option<i32>,
}

async fn run(cloud: &CloudFormation, folder: &TempDir, args: &[&str]) -> Ran {
    let output = typing(cleanup(&cloud.url(), folder.path(), args), "kf-old\n").await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { says: text(output.stdout), shows: text(output.stderr), code: output.status.code() }
}

/// A policy that somebody puts on a role.
const POLICY: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;

const APPLY: [&str; 3] = ["--cluster", "kf-old", "--apply"];
const JOURNAL: &str = "kfcheck-cleanup-kf-old.jsonl";

/// The stacks of a cluster that are left.
async fn left(cloud: &CloudFormation, cluster: &str) -> Vec<String> {
    let stacks = cloud.stacks().await;
    let is_of = |tags: &BTreeMap<String, String>| {
        tags.get("alpha.eksctl.io/cluster-name").is_some_and(|name| name == cluster)
    };
    let left = stacks.into_iter().filter(|stack| !stack.is_deleted() && is_of(&stack.tags));
    left.map(|stack| stack.name).collect()
}

/// What there is at moto of the kinds that are changed, in AWS's words.
async fn holdings(world: &World) -> Vec<String> {
    let all = [
        ("iam", "ListRoles"),
        ("iam", "ListInstanceProfiles"),
        ("ec2", "DescribeSecurityGroups"),
        ("ec2", "DescribeNetworkInterfaces"),
        ("ec2", "DescribeVpcs"),
        ("elb", "DescribeLoadBalancers"),
        ("elbv2", "DescribeLoadBalancers"),
        ("elbv2", "DescribeTargetGroups"),
    ];
    let mut held = Vec::new();
    for (service, action) in all {
        let answer = world.ask(service, action, &[]).await.unwrap();
        held.push(without_request_id(&answer));
    }
    held
}

fn without_request_id(answer: &str) -> String {
    let id = |tag: &str, text: String| match (
        text.find(&format!("<{tag}>")),
        text.find(&format!("</{tag}>")),
    ) {
        (Some(from), Some(to)) => format!("{}{}", &text[..from], &text[to..]),
        _ => text,
    };
    id("RequestId", id("requestId", answer.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_is_listed_and_nothing_changed() {
    let world = world();
    let cloud = before(&world).pages_of(2).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let Ran { says, code, .. } = run(&cloud, &folder, &[]).await;
    assert_eq!(code, Some(0), "{says}");
    let expected = "\
Left behind in account 123456789012, us-west-2:

kf-old
  eksctl-kf-old-cluster (CREATE_COMPLETE)
  eksctl-kf-old-nodegroup-ng-1 (DELETE_FAILED)
  eksctl-kf-old-addon-iamserviceaccount-kubeflow-profiles-controller
    (CREATE_COMPLETE)
  kubectl kfcheck aws cleanup --cluster kf-old

kf-older
  eksctl-kf-older-cluster (CREATE_COMPLETE, protected)
  kubectl kfcheck aws cleanup --cluster kf-older
";
    assert_eq!(says, expected);
    assert!(cloud.changes().is_empty() && cloud.unknown().is_empty(), "{:?}", cloud.unknown());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_apply_takes_all_of_it_away_and_nothing_else() {
    let world = world();
    let cloud = before(&world).pages_of(3).in_progress_for(2).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ran = run(&cloud, &folder, &APPLY).await;
    assert_eq!(ran.code, Some(0), "{}{}", ran.says, ran.shows);
    assert!(left(&cloud, "kf-old").await.is_empty(), "{}", ran.shows);
    assert!(ran.says.contains("All is done: "), "{}", ran.says);
    // Nothing of what was not of the cluster is named in any call that changed something.
    let changes: Vec<_> = cloud.changes().iter().map(ToString::to_string).collect();
    let strange = |value: &Value| {
        let text = value.as_str().filter(|text| *text != "kf").map(str::to_owned);
        text.into_iter().collect::<Vec<_>>()
    };
    let neighbours = world.ids["neighbour"].as_object().unwrap();
    for id in neighbours.values().flat_map(strange) {
        assert!(!changes.iter().any(|change| change.contains(&id)), "{id}: {changes:#?}");
    }
    assert_eq!(left(&cloud, "kf").await.len(), 2);
    assert_eq!(left(&cloud, "kf-older").await.len(), 1);
    for role in ["nodeRole", "serviceRole", "serviceAccountRole"] {
        let name = world.id(&format!("/orphan/{role}")).to_owned();
        assert!(world.ask("iam", "GetRole", &[("RoleName", &name)]).await.is_err(), "{name}");
    }
    assert!(cloud.unknown().is_empty(), "{:?}", cloud.unknown());

    let journal = folder.path().join(JOURNAL);
    assert_eq!(fs::metadata(&journal).unwrap().permissions().mode() & 0o777, 0o600);
    let told = entries(&journal).unwrap();
    assert!(matches!(told.first(), Some(Entry::Begun { .. })));
    assert_eq!(told.last(), Some(&Entry::Ended { complete: true }));
    let text = fs::read_to_string(&journal).unwrap();
    assert!(text.contains("elasticloadbalancing:*"), "the document of the policy: {text}");
    assert!(text.contains("DELETE_COMPLETE") || text.contains("DELETE_IN_PROGRESS"), "{text}");

    let again = run(&cloud, &folder, &["--cluster", "kf-old"]).await;
    assert!(again.says.starts_with("Nothing of cluster kf-old is to be deleted"), "{}", again.says);
}

/// The same with ids that moto drew replaced by their order, as long as they were.
fn numbered(says: &str) -> String {
    let mut text = says.to_owned();
    for kind in ["sg-", "eni-"] {
        let mut ids: Vec<String> = Vec::new();
        for (at, _) in says.match_indices(kind) {
            let id: String = says[at + kind.len()..].chars().take(17).collect();
            if id.chars().all(|c| c.is_ascii_hexdigit()) && id.len() == 17 && !ids.contains(&id) {
                ids.push(id);
            }
        }
        for (nth, id) in ids.iter().enumerate() {
            text = text.replace(&format!("{kind}{id}"), &format!("{kind}{:017}", nth + 1));
        }
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_says_what_why_and_what_stays() {
    let world = world();
    let cloud = before(&world).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let Ran { says, code, .. } = run(&cloud, &folder, &["--cluster", "kf-old"]).await;
    assert_eq!(code, Some(0), "{says}");
    expect_test::expect_file![root().join("tests/moto/plan.txt")].assert_eq(&numbered(&says));
    assert!(cloud.changes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_a_while_is_waited_for() {
    let world = world();
    let cloud = before(&world)
        .stale_reads(3)
        .lingering_for(2)
        .in_progress_for(3)
        .fault("", Times::Every(9), Fault::AwsThrottling)
        .start()
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ran = run(&cloud, &folder, &APPLY).await;
    assert_eq!(ran.code, Some(0), "{}{}", ran.says, ran.shows);
    assert!(left(&cloud, "kf-old").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_in_between_is_planned_for_once_more() {
    let world = Arc::new(world());
    let (role, asked) = (world.id("/orphan/nodeRole").to_owned(), Arc::clone(&world));
    let once = Arc::new(AtomicUsize::new(0));
    let cloud = before(&world)
        .on_call(move |call, moment| {
            let (role, world, once) = (role.clone(), Arc::clone(&asked), Arc::clone(&once));
            async move {
                let is_it = call.action == "DeleteStack" && moment == Moment::Before;
                if is_it && once.fetch_add(1, Ordering::SeqCst) == 0 {
                    let with = [
                        ("RoleName", role.as_str()),
                        ("PolicyName", "just-now"),
                        ("PolicyDocument", POLICY),
                    ];
                    world.ask("iam", "PutRolePolicy", &with).await.unwrap();
                }
                Then::GoOn
            }
            .boxed()
        })
        .start()
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ran = run(&cloud, &folder, &APPLY).await;
    assert_eq!(ran.code, Some(0), "{}{}", ran.says, ran.shows);
    assert!(left(&cloud, "kf-old").await.is_empty());
    let told = entries(&folder.path().join(JOURNAL)).unwrap();
    assert!(told.iter().any(|entry| matches!(entry, Entry::Failed { .. })));
    assert!(told.iter().any(|entry| matches!(entry, Entry::Added { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_name_typed_changes_nothing() {
    let world = world();
    let cloud = before(&world).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let output = typing(cleanup(&cloud.url(), folder.path(), &APPLY), "kf\n").await;
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8(output.stderr).unwrap().contains("nothing was changed"));
    assert!(cloud.changes().is_empty() && !folder.path().join(JOURNAL).exists());
}

/// Writes the plan to a file.
async fn planned(cloud: &CloudFormation, folder: &TempDir) -> Value {
    let ran = run(cloud, folder, &["--cluster", "kf-old", "--plan-out", "p.json"]).await;
    assert_eq!(ran.code, Some(0), "{}{}", ran.says, ran.shows);
    serde_json::from_slice(&fs::read(folder.path().join("p.json")).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_was_looked_at_is_applied_by_a_pipeline() {
    let world = world();
    let cloud = before(&world).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    planned(&cloud, &folder).await;
    let ran = run(&cloud, &folder, &["--apply", "p.json", "--yes"]).await;
    assert_eq!(ran.code, Some(0), "{}{}", ran.says, ran.shows);
    assert!(left(&cloud, "kf-old").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_does_not_fit_is_refused() {
    let world = world();
    let cloud = before(&world).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut plan = planned(&cloud, &folder).await;
    let refused = async |args: &[&str], why: &str| {
        let ran = run(&cloud, &folder, args).await;
        let words = ran.shows.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("nothing was changed") && words.contains(why), "{words}");
        assert_eq!(ran.code, Some(3), "{words}");
        assert!(cloud.changes().is_empty() && !folder.path().join(JOURNAL).exists());
    };
    // For another region.
    let there = ["--apply", "p.json", "--yes", "--region", "eu-west-1"];
    let mut elsewhere = cleanup(&cloud.url(), folder.path(), &[]);
    elsewhere = {
        let mut command = Command::new(elsewhere.get_program());
        command.args(["aws", "cleanup"]).args(there).env_clear().current_dir(folder.path());
        for (name, value) in elsewhere.get_envs() {
            command.env(name, value.unwrap());
        }
        command
    };
    let output = typing(elsewhere, "").await;
    let shows = String::from_utf8(output.stderr).unwrap();
    assert!(shows.contains("eu-west-1"), "{shows}");
    assert_eq!(output.status.code(), Some(3), "{shows}");
    // Older than what there is.
    let role = world.id("/orphan/nodeRole");
    let with = [("RoleName", role), ("PolicyName", "later"), ("PolicyDocument", POLICY)];
    world.ask("iam", "PutRolePolicy", &with).await.unwrap();
    refused(&["--apply", "p.json", "--yes"], "the plan is out of date").await;
    // Edited by hand.
    plan["steps"].as_array_mut().unwrap().pop();
    fs::write(folder.path().join("p.json"), plan.to_string()).unwrap();
    refused(&["--apply", "p.json", "--yes"], "the plan was edited").await;
    // The cluster is there again.
    let arn = format!("arn:aws:iam::{}:role/{}", world.account, world.id("/orphan/serviceRole"));
    let body = json!({ "name": "kf-old", "roleArn": arn,
        "resourcesVpcConfig": { "subnetIds": world.ids["orphan"]["subnets"] } });
    world.ask_eks("POST", "/clusters", &body).await.unwrap();
    refused(&APPLY, "cluster kf-old exists").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_comes_back_stops_it() {
    let world = Arc::new(world());
    let asked = Arc::clone(&world);
    let cloud = before(&world)
        .on_call(move |call, moment| {
            let world = Arc::clone(&asked);
            async move {
                if call.index == 3 && moment == Moment::After {
                    let role = world.id("/orphan/serviceRole");
                    let arn = format!("arn:aws:iam::{}:role/{role}", world.account);
                    let body = json!({ "name": "kf-old", "roleArn": arn,
                        "resourcesVpcConfig": { "subnetIds": world.ids["orphan"]["subnets"] } });
                    world.ask_eks("POST", "/clusters", &body).await.unwrap();
                }
                Then::GoOn
            }
            .boxed()
        })
        .start()
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ran = run(&cloud, &folder, &APPLY).await;
    assert!(ran.shows.contains("cluster kf-old exists again"), "{}", ran.shows);
    assert_eq!((ran.code, cloud.changes().len()), (Some(1), 3), "{}", ran.shows);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_expire_on_the_way_are_no_end() {
    let world = world();
    let expired = "cloudformation:DeleteStack";
    let cloud = before(&world)
        .fault(expired, Times::Only(2), Fault::AwsExpiredToken)
        .start()
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ran = run(&cloud, &folder, &APPLY).await;
    let words = ran.shows.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("the ones in use have expired"), "{words}");
    assert!(words.contains(&format!("--resume {JOURNAL}")), "{words}");
    assert_eq!(ran.code, Some(1));
    let ran = run(&cloud, &folder, &["--resume", JOURNAL]).await;
    assert_eq!(ran.code, Some(0), "{}{}", ran.says, ran.shows);
    assert!(left(&cloud, "kf-old").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_decides_and_is_not_known_leaves_no_plan() {
    for (route, fault) in [
        ("eks:", Fault::AwsAccessDenied),
        ("cloudformation:DescribeStacks", Fault::AwsAccessDenied),
        ("cloudformation:ListStackResources", Fault::AwsAccessDenied),
        ("cloudformation:GetTemplate", Fault::AwsAccessDenied),
        ("cloudformation:ListImports", Fault::AwsAccessDenied),
        ("iam:ListAttachedRolePolicies", Fault::AwsAccessDenied),
        ("ec2:DescribeNetworkInterfaces", Fault::AwsAccessDenied),
        ("elbv2:DescribeTags", Fault::AwsAccessDenied),
        ("elb:DescribeLoadBalancers", Fault::AwsExpiredToken),
    ] {
        let world = world();
        let cloud = before(&world).fault(route, Times::Always, fault).start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ran = run(&cloud, &folder, &APPLY).await;
        let words = ran.shows.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("not everything that decides could be read"), "{route}: {words}");
        assert_eq!(ran.code, Some(3), "{route}: {words}");
        assert!(cloud.changes().is_empty(), "{route}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn protection_is_only_lifted_where_that_is_said() {
    let world = world();
    let cloud = before(&world).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ran = run(&cloud, &folder, &["--cluster", "kf-older"]).await;
    assert!(ran.says.contains("it is protected from termination"), "{}", ran.says);
    let name = "eksctl-kf-older-cluster";
    let args = ["--cluster", "kf-older", "--disable-termination-protection", name, "--apply"];
    let output = typing(cleanup(&cloud.url(), folder.path(), &args), "kf-older\n").await;
    let shows = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{shows}");
    assert!(left(&cloud, "kf-older").await.is_empty(), "{shows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_failed_can_be_left_behind() {
    let world = world();
    let cloud = before(&world).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let stack = "eksctl-kf-old-nodegroup-ng-1";
    let plan = async |flag: &str, value: &str| {
        run(&cloud, &folder, &["--cluster", "kf-old", flag, value]).await
    };
    let refused = plan("--retain", "eksctl-kf-old-cluster/VPC").await;
    assert!(refused.shows.contains("only what could not be deleted"), "{}", refused.shows);
    let refused = plan("--force-delete-stack", "eksctl-kf-old-cluster").await;
    assert!(refused.shows.contains("only a stack that could not be deleted"), "{}", refused.shows);
    let kept = plan("--retain", &format!("{stack}/NodeInstanceRole")).await;
    assert!(kept.says.contains("leaves behind NodeInstanceRole"), "{}", kept.says);
    assert!(!kept.says.contains("iam_alb_ingress_policy"), "{}", kept.says);
    let forced = plan("--force-delete-stack", stack).await;
    assert!(forced.says.contains("by force"), "{}", forced.says);
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_put_back_from_the_journal() {
    let world = world();
    let cloud = before(&world)
        .fault("cloudformation:DeleteStack", Times::Always, Fault::AwsAccessDenied)
        .start()
        .await
        .unwrap();
    let role = world.id("/orphan/nodeRole").to_owned();
    let on_role = async || {
        let inline = world.ask("iam", "ListRolePolicies", &[("RoleName", &role)]).await.unwrap();
        let attached =
            world.ask("iam", "ListAttachedRolePolicies", &[("RoleName", &role)]).await.unwrap();
        let named = [("RoleName", &*role), ("PolicyName", "iam_alb_ingress_policy")];
        let document = world.ask("iam", "GetRolePolicy", &named).await.unwrap_or_default();
        let names = |text: &str, tag: &str| -> BTreeSet<String> {
            let tag = format!("<{tag}>");
            let parts = text.split(&tag).skip(1);
            parts.map(|part| part.split('<').next().unwrap().to_owned()).collect()
        };
        let document = names(&document, "PolicyDocument");
        let document = document.iter().next().map(|text| {
            let text = url::form_urlencoded::parse(format!("d={text}").as_bytes())
                .next()
                .map(|(_, value)| value.into_owned());
            serde_json::from_str::<Value>(&text.unwrap()).unwrap()
        });
        (names(&inline, "member"), names(&attached, "PolicyArn"), document)
    };
    let at_first = on_role().await;
    let folder = tempfile::tempdir().unwrap();
    let ran = run(&cloud, &folder, &APPLY).await;
    assert_eq!(ran.code, Some(1), "{}", ran.shows);
    assert!(on_role().await.2.is_none(), "{}", ran.shows);
    let ran = run(&cloud, &folder, &["--restore-policies", JOURNAL]).await;
    assert_eq!(ran.code, Some(0), "{}{}", ran.says, ran.shows);
    assert_eq!(on_role().await, at_first);
}

/// Runs it until a call has come so far, kills it there, and goes on. What was changed, each once, and
/// what is left.
async fn killed_at(nth: usize, moment: Moment) -> Option<(BTreeSet<String>, Vec<String>)> {
    let world = world();
    let victim: Arc<Mutex<Option<Child>>> = Arc::default();
    let killed = Arc::new(AtomicBool::new(false));
    let (held, is_killed) = (Arc::clone(&victim), Arc::clone(&killed));
    let count = Arc::new(AtomicUsize::new(0));
    let cloud = before(&world)
        .on_call(move |_, at| {
            // Reads count as well.
            let so_far = match at {
                Moment::Before => count.fetch_add(1, Ordering::SeqCst) + 1,
                Moment::After => count.load(Ordering::SeqCst),
            };
            if so_far == nth && at == moment && !is_killed.swap(true, Ordering::SeqCst) {
                let mut held = held.lock().unwrap();
                let child = held.as_mut().unwrap();
                child.kill().unwrap();
                child.wait().unwrap();
            }
            async { Then::GoOn }.boxed()
        })
        .start()
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut command = cleanup(&cloud.url(), folder.path(), &APPLY);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut output = {
        // Held, so that it can't be killed before it is there.
        let mut held = victim.lock().unwrap();
        let mut child = command.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(b"kf-old\n");
        let output = child.stdout.take().unwrap();
        *held = Some(child);
        output
    };
    // It ends when the process does.
    let end = move || output.read_to_end(&mut Vec::new()).unwrap();
    tokio::task::spawn_blocking(end).await.unwrap();
    if !killed.load(Ordering::SeqCst) {
        return None;
    }
    let args: &[&str] =
        if folder.path().join(JOURNAL).exists() { &["--resume", JOURNAL] } else { &APPLY };
    let ran = run(&cloud, &folder, args).await;
    assert_eq!(ran.code, Some(0), "killed at {nth} {moment:?}: {}{}", ran.says, ran.shows);
    assert!(left(&cloud, "kf-old").await.is_empty(), "killed at {nth} {moment:?}");
    let changes = cloud.changes().iter().map(ToString::to_string).collect();
    Some((changes, holdings(&world).await))
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_call_it_comes_to_the_same_end() {
    let whole = world();
    let cloud = before(&whole).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ran = run(&cloud, &folder, &APPLY).await;
    assert_eq!(ran.code, Some(0), "{}", ran.shows);
    let expected: BTreeSet<_> = cloud.changes().iter().map(ToString::to_string).collect();
    assert_eq!(expected.len(), cloud.changes().len(), "each is done once");
    let at_the_end = holdings(&whole).await;
    let calls = cloud.calls();
    // Every call that changes something, before and after. What only reads comes to the same, and is
    // tried where there is time for it.
    let all = std::env::var_os("KFCHECK_KILL_AT_READS").is_some();
    let mut points = Vec::new();
    for (at, call) in calls.iter().enumerate() {
        match (call.changes(), all) {
            (true, _) => points.extend([(at + 1, Moment::Before), (at + 1, Moment::After)]),
            (false, true) => points.push((at + 1, Moment::After)),
            (false, false) => (),
        }
    }
    let mut tried = 0;
    let killed = points.into_iter().map(|(nth, moment)| {
        tokio::spawn(async move { (nth, moment, killed_at(nth, moment).await) })
    });
    let mut killed = stream::iter(killed).buffer_unordered(3);
    while let Some(one) = killed.next().await {
        let (nth, moment, Some((changes, end))) = one.unwrap() else { continue };
        tried += 1;
        assert_eq!(changes, expected, "killed at {nth} {moment:?}");
        assert_eq!(end, at_the_end, "killed at {nth} {moment:?}");
    }
    eprintln!("killed at {tried} points of {} calls", calls.len());
    assert_eq!(tried, if all { tried } else { 2 * expected.len() });
}
