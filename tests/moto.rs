//! Amazon's APIs as moto keeps them: a server that knows nothing of this program.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use kfcheck::{Bundle, Report, Runner, Status};
use kfcheck_report::{Style, text};
use kfcheck_tests::{Sky, provider, root};
use serde_json::{Value, json};

/// The world of `tests/moto/world.py`, which lasts as long as this.
struct Moto {
    server: Child,
    says: Value,
}

impl Moto {
    fn start() -> Self {
        let python = root().join("target/tools/moto/bin/python");
        let mut server = Command::new(python)
            .arg(root().join("tests/moto/world.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto; scripts/setup --tests installs it");
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let says = serde_json::from_str(&line).expect("moto's world");
        Self { server, says }
    }

    fn says(&self, name: &str) -> &str {
        self.says[name].as_str().unwrap()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The cluster that goes with it: Kubeflow behind an ALB that signs users in.
fn cluster(moto: &Moto) -> Bundle {
    let labels = json!({ "app": "istio-ingressgateway", "istio": "ingressgateway" });
    let ready = json!([{ "type": "Ready", "status": "True" }]);
    let sign_in = json!({ "userPoolARN": moto.says("pool"), "userPoolClientID": moto.says("client"),
        "userPoolDomain": "auth.example.com" });
    let objects = json!([
        { "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": { "namespace": "istio-system", "name": "front", "annotations": {
                "kubernetes.io/ingress.class": "alb",
                "alb.ingress.kubernetes.io/listen-ports": "[{\"HTTPS\":443}]",
                "alb.ingress.kubernetes.io/certificate-arn": moto.says("certificate"),
                "alb.ingress.kubernetes.io/auth-type": "cognito",
                "alb.ingress.kubernetes.io/auth-idp-cognito": sign_in.to_string() } },
            "spec": { "rules": [{ "http": { "paths": [{ "path": "/*", "backend": {
                "service": { "name": "istio-ingressgateway", "port": { "number": 80 } } } }] } }] },
            "status": { "loadBalancer": { "ingress": [{ "hostname": moto.says("alb") }] } } },
        { "apiVersion": "v1", "kind": "Service",
            "metadata": { "namespace": "istio-system", "name": "istio-ingressgateway" },
            "spec": { "type": "NodePort", "selector": labels, "ports": [
                { "name": "http2", "port": 80, "targetPort": 8080, "nodePort": 31380 },
                { "name": "https", "port": 443, "targetPort": 8443, "nodePort": 31390 }] } },
        { "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "namespace": "istio-system", "name": "istio-ingressgateway" },
            "spec": { "template": { "metadata": { "labels": labels } } },
            "status": { "readyReplicas": 1 } },
        { "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": "istio-system", "name": "gateway-0", "labels": labels },
            "spec": { "containers": [{ "name": "istio-proxy", "image": "proxy:1",
                "ports": [{ "containerPort": 8080 }, { "containerPort": 8443 }] }] },
            "status": { "phase": "Running", "podIP": "10.0.0.9", "conditions": ready } },
        { "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "namespace": "kube-system", "name": "aws-load-balancer-controller" },
            "spec": { "template": { "metadata": { "labels": { "app": "controller" } } } },
            "status": { "readyReplicas": 1 } },
        { "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": "kube-system", "name": "controller-0",
                "labels": { "app": "controller" } },
            "spec": { "containers": [{ "name": "controller", "image": "controller:v2",
                "args": ["--cluster-name=kf"] }] },
            "status": { "phase": "Running", "conditions": ready } },
    ]);
    let location = format!(
        "https://auth.example.com/oauth2/authorize?client_id={}&redirect_uri=https%3A%2F%2F\
         kf.example.com%2Foauth2%2Fidpresponse&response_type=code&scope=openid&state=x",
        moto.says("client")
    );
    Bundle::default()
        .with("bundle.yaml", json!({ "provider": "aws", "collectedAt": "2026-11-21T12:00:00Z",
            "aws": { "accountId": moto.says("account"), "region": "us-west-2", "cluster": "kf" },
            "kubernetes": { "context": "test", "serverVersion": "v1.30.1" } }))
        .with("kubernetes/all.json", json!({ "kind": "List", "items": objects }))
        .with("probes/dns.json", json!([
            { "name": "kf.example.com", "type": "A", "answers": ["44.230.1.10"] },
            { "name": moto.says("alb"), "type": "A", "answers": ["44.230.1.10"] },
            { "name": "auth.example.com", "type": "A", "answers": ["13.224.1.1"] }]))
        .with("probes/http.json", json!([
            { "url": "https://kf.example.com/", "status": 302, "headers": { "location": location } },
            { "url": location, "status": 302, "headers": {
                "location": "https://auth.example.com/login?client_id=x" } }]))
}

async fn run(moto: &Moto, bundle: Bundle) -> Report {
    let sky = Sky::of(bundle, |mock| mock).await;
    let world = sky.aws_world(moto.says("endpoint"));
    Runner::default().run(&world, &provider("aws").checks).await
}

fn shown(report: &Report) -> String {
    text(report, Style { verbose: true, colour: false })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_works_is_read_through_and_only_what_others_left_is_named() {
    let moto = Moto::start();
    let report = run(&moto, cluster(&moto)).await;
    let says = shown(&report);
    println!("{says}");
    assert_eq!(report.count(Status::Bug), 0, "{says}");
    assert!(!says.contains(moto.says("secret")), "{says}");
}
