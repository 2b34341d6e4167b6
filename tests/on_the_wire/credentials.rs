//! The program with Google's credentials, and Google's APIs under their own names.

use std::{
    fs,
    process::{Command, Output},
};

use kfcheck_mocks::{Server, TokenMock, Tunnel};
use kfcheck_tests::{Sky, program, root};
use serde_json::{Value, json};

const GOOD: &str = "not-a-secret-refresh";
const READER: &str = "reader@ml-prod.iam.gserviceaccount.com";
const READING: [&str; 4] = [
    "https://www.googleapis.com/auth/compute.readonly",
    "https://www.googleapis.com/auth/container.read-only",
    "https://www.googleapis.com/auth/logging.read",
    "https://www.googleapis.com/auth/ndev.clouddns.readonly",
];
/// Those of a user, who is asked once for all that the user's programs may do.
const ALL: &str = "https://www.googleapis.com/auth/cloud-platform";

/// A served deployment, Google's token servers, and the way to both.
struct Google {
    sky: Sky,
    tokens: Server,
    tunnel: Tunnel,
    folder: tempfile::TempDir,
}

impl Google {
    async fn of(scenario: &str) -> Self {
        let sky = Sky::over(&root().join("tests/scenarios").join(scenario).join("bundle")).await;
        let tokens = TokenMock::of_user(GOOD).acting_as(READER).start().await.unwrap();
        let apis =
            kfcheck_gcp::APIS.map(|api| (format!("{api}.googleapis.com"), sky.google.address()));
        let servers = ["oauth2", "iamcredentials"];
        let servers = servers.map(|api| (format!("{api}.googleapis.com"), tokens.address()));
        let hosts = apis.iter().chain(&servers).map(|(host, server)| (host.as_str(), *server));
        let tunnel = Tunnel::to(hosts).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let trusted = format!("{}{}", sky.outside.ca_pem(), tunnel.pem());
        fs::write(folder.path().join("authorities.pem"), trusted).unwrap();
        Self { sky, tokens, tunnel, folder }
    }

    /// Runs the program with what a file of credentials says, or without one.
    async fn inspect(&self, credentials: Option<&Value>, args: &[&str]) -> Output {
        let mut command = Command::new(program());
        command.arg("gcp");
        self.sky.lead_to_all_but_google(&mut command, &self.sky.kubernetes.url());
        command.args(args).env("HTTPS_PROXY", self.tunnel.url());
        command.env("SSL_CERT_FILE", self.folder.path().join("authorities.pem"));
        // Nothing listens there: this is no machine of Google's.
        command.env("GCE_METADATA_HOST", "127.0.0.1:1");
        if let Some(credentials) = credentials {
            let file = self.folder.path().join("credentials.json");
            fs::write(&file, credentials.to_string()).unwrap();
            command.env("GOOGLE_APPLICATION_CREDENTIALS", file);
        }
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// What every call to an API carried under a name, each once.
    fn carried(&self, name: &str) -> Vec<String> {
        let headers = self.sky.google.headers();
        assert!(!headers.is_empty(), "nothing was asked");
        let of_call = |call: &Vec<(String, String)>| {
            let value = call.iter().find(|(header, _)| header == name);
            value.map_or_else(String::new, |(_, value)| value.clone())
        };
        let mut all: Vec<_> = headers.iter().map(of_call).collect();
        all.sort();
        all.dedup();
        all
    }

    /// Nobody was asked anything that a real server would not have been.
    fn check_asked(&self) {
        assert!(self.sky.unknown().is_empty(), "{:#?}", self.sky.unknown());
        assert!(self.tokens.unknown().is_empty(), "{:#?}", self.tokens.unknown());
        assert!(self.tunnel.refused().is_empty(), "{:#?}", self.tunnel.refused());
    }
}

/// What `gcloud auth application-default login` writes.
fn user(refresh_token: &str) -> Value {
    json!({ "type": "authorized_user", "client_id": "1.apps.googleusercontent.com",
        "client_secret": "not-a-secret-client", "refresh_token": refresh_token })
}

fn bearer(token: &str) -> Vec<String> {
    vec![format!("Bearer {token}")]
}

/// What it printed. Nothing of it is secret.
fn said(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8(both).unwrap();
    for secret in ["not-a-secret", "ya29.", "PRIVATE KEY", "Bearer"] {
        assert!(!said.contains(secret), "{said}");
    }
    said
}

#[track_caller]
fn finds_nothing_broken(output: &Output) {
    let said = said(output);
    assert!(said.contains(": nothing broken found. 0 root causes"), "{said}");
    assert_eq!(output.status.code(), Some(0), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_s_token_goes_with_every_call() {
    let google = Google::of("gcp-healthy-negs").await;
    finds_nothing_broken(&google.inspect(Some(&user(GOOD)), &["-v"]).await);
    assert_eq!(google.carried("authorization"), bearer(&TokenMock::access_token("user", &[ALL])));
    assert_eq!(google.carried("x-goog-user-project"), [""]);
    google.check_asked();
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_billed_to_the_project_named() {
    let google = Google::of("gcp-healthy-negs").await;
    let args = ["--billing-project", "ml-billing"];
    finds_nothing_broken(&google.inspect(Some(&user(GOOD)), &args).await);
    assert_eq!(google.carried("x-goog-user-project"), ["ml-billing"]);
    google.check_asked();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_impersonated_may_read_and_nothing_else() {
    let google = Google::of("gcp-healthy-negs").await;
    let args = ["--impersonate-service-account", READER, "--billing-project", "ml-billing"];
    finds_nothing_broken(&google.inspect(Some(&user(GOOD)), &args).await);
    let token = TokenMock::access_token(READER, &READING);
    assert_eq!(google.carried("authorization"), bearer(&token));
    assert_eq!(google.carried("x-goog-user-project"), ["ml-billing"]);
    google.check_asked();
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_manager_alone_gets_a_token_for_everything() {
    let google = Google::of("gcp-healthy-gateway").await;
    let args = ["--impersonate-service-account", READER];
    finds_nothing_broken(&google.inspect(Some(&user(GOOD)), &args).await);
    let everything = bearer(&TokenMock::access_token(READER, &[ALL]));
    let mut both =
        [bearer(&TokenMock::access_token(READER, &READING)), everything.clone()].concat();
    both.sort();
    assert_eq!(google.carried("authorization"), both);
    let calls = google.sky.google.calls();
    let certificates = calls.iter().filter(|call| call.path.contains("/locations/global/"));
    let headers = google.sky.google.headers();
    let carries = |call: &&Vec<(String, String)>| call.iter().any(|(_, v)| *v == everything[0]);
    assert_eq!(headers.iter().filter(carries).count(), certificates.count());
    google.check_asked();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_signs_for_reading_and_asks_no_token_server() {
    let google = Google::of("gcp-healthy-negs").await;
    finds_nothing_broken(&google.inspect(Some(&TokenMock::key_of(READER)), &[]).await);
    assert!(google.tokens.calls().is_empty());
    google.check_asked();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_has_expired_is_named_once() {
    let google = Google::of("gcp-healthy-negs").await;
    let output = google.inspect(Some(&user("not-a-secret-expired")), &[]).await;
    let said = said(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    expect_once(&said, "no valid Google credentials: Token has been expired or revoked");
    expect_once(&said, "gcloud auth application-default login");
    assert!(google.sky.google.calls().is_empty());
    google.check_asked();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_may_not_be_impersonated_is_named() {
    let google = Google::of("gcp-healthy-negs").await;
    let account = "owner@ml-prod.iam.gserviceaccount.com";
    let args = ["--impersonate-service-account", account];
    let output = google.inspect(Some(&user(GOOD)), &args).await;
    let said = said(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    expect_once(&said, &format!("may not impersonate {account}"));
    assert!(!said.contains("application-default login"), "{said}");
    google.check_asked();
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_missing_are_named_once() {
    let google = Google::of("gcp-healthy-negs").await;
    let output = google.inspect(None, &[]).await;
    let said = said(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    expect_once(&said, "gcloud auth application-default login");
    google.check_asked();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_identity_aware_proxy_is_made_for_the_account_impersonated() {
    let google = Google::of("gcp-healthy-instance-groups").await;
    let client = "521076400318-kf1.apps.googleusercontent.com";
    let args = ["-v", "--impersonate-service-account", READER, "--iap-audience", client];
    let output = google.inspect(Some(&user(GOOD)), &args).await;
    finds_nothing_broken(&output);
    let said = said(&output);
    assert!(said.contains("pass     gcp-iap-token"), "{said}");
    google.check_asked();
}

#[track_caller]
fn expect_once(said: &str, what: &str) {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words(said).matches(what).count(), 1, "{said}");
}
