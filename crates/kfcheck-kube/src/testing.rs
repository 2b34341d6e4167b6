//! Small worlds for the tests of checks.

use kfcheck::{Bundle, Check, Runner, World};
use kfcheck_report::{Style, text};
use serde_json::{Value, json};

/// What `check` reports, every line of it, on a cluster with these objects and these other files.
pub(crate) async fn report(
    check: &'static dyn Check,
    objects: &[Value],
    files: &[(&str, Value)],
) -> String {
    let manifest = json!({ "collectedAt": "2026-11-21T12:00:00Z",
        "kubernetes": { "context": "test", "serverVersion": "v1.30.1" } });
    let bundle = Bundle::default()
        .with("bundle.json", manifest)
        .with("kubernetes/gateways.gateway.networking.k8s.io.json", json!({ "items": [] }))
        .with("kubernetes/all.json", json!({ "kind": "List", "items": objects }));
    let bundle =
        files.iter().fold(bundle, |bundle, (name, value)| bundle.with(name, value.clone()));
    let world = World::replay(bundle).path(crate::PATH);
    let report = Runner::default().run(&world, &[check]).await;
    text(&report, Style { verbose: true, colour: false })
}

/// An Ingress `kubeflow/front` for kf.example.com that sends requests to port 80 of a Service.
pub(crate) fn ingress(service: &str) -> Value {
    json!({ "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": { "namespace": "kubeflow", "name": "front" },
        "spec": { "rules": [{ "host": "kf.example.com", "http": { "paths": [
            { "backend": { "service": { "name": service, "port": { "number": 80 } } } }
        ] } }] } })
}
