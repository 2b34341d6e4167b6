//! Amazon's APIs as moto keeps them: a server that knows nothing of this program.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use kfcheck::{Bundle, Report, Runner, Severity, Status};
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

/// A Deployment and its only pod, which is ready.
fn workload(namespace: &str, name: &str, labels: &Value, container: &Value) -> [Value; 2] {
    let mut of_pod = labels.clone();
    of_pod["pod-template-hash"] = "1".into();
    [
        json!({ "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "namespace": namespace, "name": name },
            "spec": { "template": { "metadata": { "labels": labels } } },
            "status": { "readyReplicas": 1 } }),
        json!({ "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": namespace, "name": format!("{name}-1-x"), "labels": of_pod,
                "ownerReferences": [{ "kind": "ReplicaSet", "name": format!("{name}-1") }] },
            "spec": { "containers": [container] },
            "status": { "phase": "Running", "podIP": "10.0.0.9",
                "conditions": [{ "type": "Ready", "status": "True" }] } }),
    ]
}

/// The cluster that goes with it: Kubeflow's gateway, and AWS's controller.
fn cluster(moto: &Moto, entrance: Vec<Value>) -> Bundle {
    let gateway = json!({ "name": "istio-proxy", "image": "proxy:1",
        "ports": [{ "containerPort": 8080 }, { "containerPort": 8443 }] });
    let controller =
        json!({ "name": "controller", "image": "controller:v2", "args": ["--cluster-name=kf"] });
    let label = json!({ "app": "controller" });
    let mut objects = entrance;
    objects.push(json!({ "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": { "namespace": "istio-system", "name": "istio-ingressgateway-1",
            "labels": { "kubernetes.io/service-name": "istio-ingressgateway" } },
        "endpoints": [{ "addresses": ["10.0.0.9"], "conditions": { "ready": true },
            "targetRef": { "kind": "Pod", "name": "istio-ingressgateway-1-x" } }],
        "ports": [{ "name": "http2", "port": 8080 }, { "name": "https", "port": 8443 }] }));
    objects.extend(workload("istio-system", "istio-ingressgateway", &labels(), &gateway));
    objects.extend(workload("kube-system", "aws-load-balancer-controller", &label, &controller));
    Bundle::default()
        .with("bundle.yaml", json!({ "provider": "aws",
            "aws": { "accountId": moto.says("account"), "region": "us-west-2", "cluster": "kf" },
            "kubernetes": { "context": "test", "serverVersion": "v1.30.1" } }))
        .with("kubernetes/all.json", json!({ "kind": "List", "items": objects }))
        .with("probes/listen.json", json!([{ "namespace": "istio-system",
            "pod": "istio-ingressgateway-1-x", "container": "istio-proxy",
            "sockets": [{ "address": "0.0.0.0", "port": 8080 }, { "address": "0.0.0.0", "port": 8443 }] }]))
}

fn labels() -> Value {
    json!({ "app": "istio-ingressgateway", "istio": "ingressgateway" })
}

/// The gateway's Service.
fn service(kind: &str, status: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Service",
        "metadata": { "namespace": "istio-system", "name": "istio-ingressgateway" },
        "spec": { "type": kind, "selector": labels(), "ports": [
            { "name": "http2", "port": 80, "targetPort": 8080, "nodePort": 31380 },
            { "name": "https", "port": 443, "targetPort": 8443, "nodePort": 31390 }] },
        "status": status })
}

/// Behind an ALB that signs users in.
fn behind_alb(moto: &Moto) -> Bundle {
    let sign_in = json!({ "userPoolARN": moto.says("pool"), "userPoolClientID": moto.says("client"),
        "userPoolDomain": "auth.example.com" });
    let ingress = json!({ "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": { "namespace": "istio-system", "name": "front", "annotations": {
            "kubernetes.io/ingress.class": "alb",
            "alb.ingress.kubernetes.io/listen-ports": "[{\"HTTPS\":443}]",
            "alb.ingress.kubernetes.io/certificate-arn": moto.says("certificate"),
            "alb.ingress.kubernetes.io/auth-type": "cognito",
            "alb.ingress.kubernetes.io/auth-idp-cognito": sign_in.to_string() } },
        "spec": { "rules": [{ "http": { "paths": [{ "path": "/*", "backend": {
            "service": { "name": "istio-ingressgateway", "port": { "number": 80 } } } }] } }] },
        "status": { "loadBalancer": { "ingress": [{ "hostname": moto.says("alb") }] } } });
    let location = format!(
        "https://auth.example.com/oauth2/authorize?client_id={}&redirect_uri=https%3A%2F%2F\
         kf.example.com%2Foauth2%2Fidpresponse&response_type=code&scope=openid&state=x",
        moto.says("client")
    );
    cluster(moto, vec![ingress, service("NodePort", &json!({}))])
        .with("probes/dns.json", json!([
            { "name": "kf.example.com", "type": "A", "answers": ["44.230.1.10"] },
            { "name": moto.says("alb"), "type": "A", "answers": ["44.230.1.10"] },
            { "name": "auth.example.com", "type": "A", "answers": ["13.224.1.1"] }]))
        .with("probes/http.json", json!([
            { "url": "https://kf.example.com/", "status": 302, "headers": { "location": location } },
            { "url": location, "status": 302, "headers": {
                "location": "https://auth.example.com/login?client_id=x" } }]))
}

/// On a classic load balancer with nine listeners, as Istio 1.1 had it.
fn on_classic(moto: &Moto) -> Bundle {
    let at = json!({ "loadBalancer": { "ingress": [{ "hostname": moto.says("aclassic") }] } });
    cluster(moto, vec![service("LoadBalancer", &at)])
        .with("kubernetes/ingresses.networking.k8s.io.json", json!({ "kind": "List", "items": [] }))
        .with(
            "probes/dns.json",
            json!([
            { "name": moto.says("aclassic"), "type": "A", "answers": ["44.230.1.11"] }]),
        )
}

async fn run(moto: &Moto, bundle: Bundle) -> Report {
    let sky = Sky::of(bundle, |mock| mock).await;
    let world = sky.aws_world(moto.says("endpoint"));
    Runner::default().run(&world, &provider("aws").checks).await
}

fn shown(report: &Report) -> String {
    text(report, Style { verbose: true, colour: false })
}

/// Each finding, as check and resource.
fn findings(report: &Report) -> BTreeSet<String> {
    let all = report.findings();
    all.map(|(check, finding)| format!("{check} {}", finding.resource.name)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_works_is_read_through_and_only_what_others_left_is_named() {
    let moto = Moto::start();
    let report = run(&moto, behind_alb(&moto)).await;
    let says = shown(&report);
    assert_eq!(report.count(Status::Bug) + report.count(Status::Unknown), 0, "{says}");
    let expected = [
        format!("aws-elb-orphan {}", "aorphan"),
        format!("aws-iam-node-role {}", moto.says("role")),
        "aws-stack-orphaned eksctl-old-nodegroup-cpu".to_owned(),
    ];
    assert_eq!(findings(&report), BTreeSet::from(expected), "{says}");
    assert!(report.findings().all(|(_, found)| found.severity == Severity::Warn), "{says}");
    let passed = |id: &str| report.results.iter().any(|r| r.id == id && r.status == Status::Pass);
    for id in [
        "eks-cluster",
        "alb-listener",
        "alb-auth",
        "target-health",
        "certificate",
        "cognito-app-client",
        "cognito-domain",
        "dns-record",
        "endpoint",
        "node-security-group",
    ] {
        assert!(passed(&format!("aws-{id}")), "{id}: {says}");
    }
    assert!(!says.contains(moto.says("secret")), "{says}");
    // The neighbour's load balancer leads to a Service of the same name.
    assert!(!says.contains("aneighbour"), "{says}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_classic_load_balancer_is_read_through_with_its_nine_listeners() {
    let moto = Moto::start();
    let report = run(&moto, on_classic(&moto)).await;
    let says = shown(&report);
    assert_eq!(report.count(Status::Bug), 0, "{says}");
    let found = findings(&report);
    assert!(found.contains("aws-elb-classic aclassic"), "{says}");
    // Seven of the nine lead to ports that the Service no longer has.
    assert!(found.contains("aws-elb-node-port aclassic"), "{says}");
    assert!(says.contains("31031") && !says.contains("aneighbour"), "{says}");
}
