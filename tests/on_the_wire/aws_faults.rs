//! What a run on AWS makes of APIs that fail.

use std::{collections::BTreeSet, process::Command};

use kfcheck::{Report, Runner, Status};
use kfcheck_mocks::{Fault, FaultProxy, KEYS, TOKENS, Times};
use kfcheck_report::{Style, text};
use kfcheck_tests::{Sky, program, provider, root};

const VERBOSE: Style = Style { verbose: true, colour: false };

async fn healthy() -> Sky {
    Sky::over(&root().join("tests/scenarios/aws-healthy-cognito/bundle")).await
}

/// What is reported with this between the program and Amazon.
async fn behind(sky: &Sky, proxy: FaultProxy) -> Report {
    let proxy = proxy.start().await.unwrap();
    let world = sky.aws_world(&proxy.url());
    Runner::default().run(&world, &provider("aws").checks).await
}

/// What a run over the healthy deployment asks for, as IAM calls it, each with the mocks' name for it.
async fn asked() -> BTreeSet<(String, String)> {
    let sky = healthy().await;
    Runner::default().run(&sky.world(), &provider("aws").checks).await;
    let calls = sky.amazon.asked();
    let action = |call: &String| {
        let (service, action) = (call.split(' ').next().unwrap(), call.split(' ').nth(1).unwrap());
        let called = match service {
            "elb" | "elbv2" => "elasticloadbalancing",
            service => service,
        };
        (format!("{called}:{action}"), format!("{service}:{action}"))
    };
    calls.iter().map(action).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn being_asked_to_slow_down_every_tenth_time_changes_nothing() {
    let sky = healthy().await;
    let plain = Runner::default().run(&sky.world(), &provider("aws").checks).await;
    let proxy = FaultProxy::before(&sky.amazon.url());
    let slowed = proxy.fault("", Times::Every(10), Fault::AwsThrottling);
    let report = behind(&sky, slowed).await;
    assert_eq!(text(&report, VERBOSE), text(&plain, VERBOSE));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_may_not_be_asked_is_named_and_the_rest_is_judged() {
    let sky = healthy().await;
    let plain = Runner::default().run(&sky.world(), &provider("aws").checks).await;
    let plain = text(&plain, VERBOSE);
    let mut needed = 0;
    for (action, call) in asked().await {
        // It takes no permission.
        if action == "sts:GetCallerIdentity" {
            continue;
        }
        let sky = healthy().await;
        let proxy = FaultProxy::before(&sky.amazon.url());
        let report = behind(&sky, proxy.fault(&call, Times::Always, Fault::AwsAccessDenied)).await;
        let says = text(&report, VERBOSE);
        // What only adds to a finding is not missed where there is none.
        if says == plain {
            continue;
        }
        needed += 1;
        assert!(says.contains(&format!("permission {action} denied")), "{action}: {says}");
        assert_eq!(report.findings().count(), 0, "{action}: {says}");
        assert_eq!(report.count(Status::Bug), 0, "{action}: {says}");
        assert!(report.count(Status::Unknown) > 0 || !report.is_complete(), "{action}: {says}");
        assert!(report.count(Status::Pass) > 8, "{action}: {says}");
        assert!(!says.contains("<Error") && !says.contains("RequestId"), "{action}: {says}");
    }
    assert!(needed >= 15, "{needed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_have_expired_are_said_once_and_the_cluster_is_judged() {
    let sky = healthy().await;
    let proxy = FaultProxy::before(&sky.amazon.url());
    let report = behind(&sky, proxy.fault("", Times::Always, Fault::AwsExpiredToken)).await;
    let says = text(&report, Style { verbose: false, colour: false });
    assert_eq!(says.matches("the ones in use have expired").count(), 1, "{says}");
    assert!(says.contains("aws sso login"), "{says}");
    assert_eq!(report.findings().count(), 0, "{says}");
    let judged = |id: &str| report.results.iter().find(|r| r.id == id).unwrap().status;
    assert_eq!(judged("kube-workload-ready"), Status::Pass, "{says}");
    assert_eq!(judged("aws-credentials"), Status::Unknown, "{says}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_always_too_busy_is_named() {
    let sky = healthy().await;
    let proxy = FaultProxy::before(&sky.amazon.url());
    let proxy = proxy.fault("elbv2:DescribeListeners", Times::Always, Fault::AwsThrottling);
    let report = behind(&sky, proxy).await;
    let says = text(&report, VERBOSE);
    let words = says.split_whitespace().collect::<Vec<_>>().join(" ");
    let busy = "asked too often (Throttling, asking for elasticloadbalancing:DescribeListeners)";
    assert!(words.contains(busy), "{says}");
    assert_eq!(report.findings().count(), 0, "{says}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_answer_is_asked_for_once() {
    let sky = healthy().await;
    Runner::default().run(&sky.world(), &provider("aws").checks).await;
    let calls = sky.amazon.asked();
    let different: BTreeSet<_> = calls.iter().collect();
    assert_eq!(different.len(), calls.len(), "{calls:#?}");
    assert!(calls.len() <= 60, "{calls:#?}");
}

/// What the program says, and its exit code, with these variables set otherwise.
async fn run(sky: &Sky, set_up: impl FnOnce(&mut Command)) -> (String, Option<i32>) {
    let mut command = Command::new(program());
    command.arg("aws");
    sky.lead_to_amazon(&mut command, &sky.amazon.url());
    set_up(&mut command);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_finds_everything_by_the_environment_of_the_aws_cli() {
    let sky = healthy().await;
    let (says, code) = run(&sky, |_| ()).await;
    assert!(says.starts_with("kubeflow.acme.example.com: nothing broken found."), "{says}");
    assert_eq!(code, Some(0), "{says}");
    assert!(sky.unknown().is_empty(), "{:#?}", sky.unknown());
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_credentials_are_said_once_with_what_gets_some() {
    let sky = healthy().await;
    let (says, code) = run(&sky, |command| {
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    })
    .await;
    assert_eq!(says.matches("no valid AWS credentials").count(), 1, "{says}");
    assert!(says.contains("aws configure"), "{says}");
    assert_eq!(code, Some(3), "{says}");
    assert!(sky.amazon.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_is_read_from_the_files_of_the_aws_cli() {
    let sky = healthy().await;
    let folder = tempfile::tempdir().unwrap();
    let (keys, config) = (folder.path().join("credentials"), folder.path().join("config"));
    let secret = "aws_access_key_id = AKIDPROFILE\naws_secret_access_key = hunter2\n";
    std::fs::write(&keys, format!("[prod]\n{secret}")).unwrap();
    std::fs::write(&config, "[profile prod]\nregion = us-west-2\n").unwrap();
    let (says, code) = run(&sky, |command| {
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        command.env("AWS_SHARED_CREDENTIALS_FILE", &keys).env("AWS_CONFIG_FILE", &config);
        command.args(["--profile", "prod"]);
    })
    .await;
    assert_eq!(code, Some(0), "{says}");
    let signed = |headers: &Vec<(String, String)>| {
        headers.iter().any(|(name, value)| name == "authorization" && value.contains("AKIDPROFILE"))
    };
    assert!(sky.amazon.headers().iter().all(signed));
    assert!(!says.contains("hunter2"), "{says}");
}

/// Whether every request was signed with the key of these credentials.
fn are_signed_with(sky: &Sky, key: &str) -> bool {
    let is_signed = |headers: &Vec<(String, String)>| {
        headers.iter().any(|(name, value)| name == "authorization" && value.contains(key))
    };
    let all = sky.amazon.headers();
    // The one that asks for the credentials has no signature.
    let signed =
        |headers: &&Vec<(String, String)>| headers.iter().any(|(name, _)| name == "authorization");
    let signed: Vec<_> = all.iter().filter(signed).collect();
    !signed.is_empty() && signed.into_iter().all(is_signed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_accounts_role_is_taken_by_its_token() {
    let sky = healthy().await;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, TOKENS[0]).unwrap();
    let (says, code) = run(&sky, |command| {
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        command.env("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/kfcheck");
        command.env("AWS_WEB_IDENTITY_TOKEN_FILE", &token);
    })
    .await;
    assert_eq!(code, Some(0), "{says}");
    assert!(are_signed_with(&sky, KEYS[0]), "{:?}", sky.amazon.headers());
    assert!(!says.contains(TOKENS[0]), "{says}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_of_the_aws_cli_is_taken_up() {
    let sky = healthy().await;
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join(".aws/sso/cache");
    std::fs::create_dir_all(&cache).unwrap();
    // Named by the SHA-1 of the session's name.
    let session = "0ad374308c5a4e22f723adf10145eafad7c4031c.json";
    let kept = serde_json::json!({ "accessToken": TOKENS[1], "expiresAt": "2099-01-01T00:00:00Z",
        "region": "us-west-2", "startUrl": "https://example.awsapps.com/start" });
    std::fs::write(cache.join(session), kept.to_string()).unwrap();
    let config = folder.path().join("config");
    let profile = "[profile prod]\nregion = us-west-2\nsso_session = my-sso\n\
                   sso_account_id = 111122223333\nsso_role_name = Ops\n\
                   [sso-session my-sso]\nsso_region = us-west-2\n\
                   sso_start_url = https://example.awsapps.com/start\n";
    std::fs::write(&config, profile).unwrap();
    let home = folder.path().to_owned();
    let (says, code) = run(&sky, |command| {
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        command.env("HOME", &home).env("AWS_CONFIG_FILE", &config).args(["--profile", "prod"]);
    })
    .await;
    assert_eq!(code, Some(0), "{says}");
    assert!(are_signed_with(&sky, KEYS[1]), "{:?}", sky.amazon.headers());
    assert!(!says.contains(TOKENS[1]), "{says}");
}
