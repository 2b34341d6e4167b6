mod ec2;
mod faults;
mod json;
mod query;
mod refusals;
mod rest;

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, OnceLock},
};

use serde_json::{Value, json};

use super::{AwsMock, Models};
use crate::{
    Served, Server,
    kubernetes::wire::{Answer, send},
};

const REGION: &str = "eu-west-1";

fn models() -> Arc<Models> {
    static MODELS: OnceLock<Arc<Models>> = OnceLock::new();
    let open = || {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/aws-api");
        let models = Models::open(&folder)
            .unwrap_or_else(|error| panic!("no models; run scripts/moto first: {error}"));
        Arc::new(models)
    };
    Arc::clone(MODELS.get_or_init(open))
}

fn mock<const N: usize>(files: [(&str, Value); N]) -> AwsMock {
    AwsMock::new(Served::holding(files), models())
}

async fn serve<const N: usize>(files: [(&str, Value); N]) -> Server {
    mock(files).start().await.unwrap()
}

fn manifest() -> (&'static str, Value) {
    ("bundle", json!({ "aws": { "accountId": "1", "region": REGION } }))
}

fn manifest_with(errors: &Value) -> (&'static str, Value) {
    let (name, mut manifest) = manifest();
    manifest["errors"] = errors.clone();
    (name, manifest)
}

/// What says who asks whom: `eu-west-1/eks`.
fn signed(scope: &str) -> String {
    format!(
        "Connection: close\r\nAuthorization: AWS4-HMAC-SHA256 Credential=AKID/20260101/{scope}/\
         aws4_request, SignedHeaders=host, Signature=0\r\n"
    )
}

/// A form for a service with that version of its API.
async fn form(address: SocketAddr, scope: &str, version: &str, fields: &str) -> Answer {
    let head = signed(scope);
    let kind = "Content-Type: application/x-www-form-urlencoded\r\n";
    let body = format!("Version={version}&Action={fields}");
    send(address, &format!("POST / HTTP/1.1\r\n{head}{kind}"), &body).await.unwrap()
}

async fn target(address: SocketAddr, scope: &str, target: &str, body: &Value) -> Answer {
    let head = format!("POST / HTTP/1.1\r\n{}X-Amz-Target: {target}\r\n", signed(scope));
    send(address, &head, &body.to_string()).await.unwrap()
}

async fn get(address: SocketAddr, scope: &str, path: &str) -> Answer {
    send(address, &format!("GET {path} HTTP/1.1\r\n{}", signed(scope)), "").await.unwrap()
}

/// The contents of all elements of that name, none of which is in another one.
fn inside<'a>(xml: &'a str, name: &str) -> Vec<&'a str> {
    let (start, end) = (format!("<{name}>"), format!("</{name}>"));
    xml.split(start.as_str()).skip(1).filter_map(|rest| rest.split(end.as_str()).next()).collect()
}

fn known(server: &Server) {
    assert_eq!(server.unknown(), Vec::<String>::new());
}
