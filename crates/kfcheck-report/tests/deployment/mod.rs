//! Deployments to report on, made up.

#![allow(dead_code, reason = "each test takes some of it")]

use std::{collections::BTreeSet, sync::Arc};

use kfcheck::{
    Aspect, CheckResult, FactError, Fault, Finding, Path, Remedy, Report, Resource, Risk, Severity,
    Status,
};
use kfcheck_report::{Output, Scope, Tool, output};

pub(crate) fn resource(kind: &'static str, name: &str) -> Resource {
    let (namespace, name) = match name.split_once('/') {
        Some((namespace, name)) => (Some(namespace.to_owned()), name),
        None => (None, name),
    };
    let provider = match kind {
        "Host" => "dns",
        "Address" | "BackendService" | "Network" | "HealthCheck" => "gcp",
        _ => "kubernetes",
    };
    Resource { kind, namespace, name: name.to_owned(), provider }
}

pub(crate) fn finding(severity: Severity, resource: Resource, message: &str) -> Finding {
    Finding {
        severity,
        resource,
        aspect: Aspect::Serving,
        message: message.to_owned(),
        symptom: false,
        hearsay: false,
        evidence: Vec::new(),
        remedies: Vec::new(),
        suppressed: None,
        suppressed_until: None,
    }
}

pub(crate) fn remedy(why: &str, command: &str) -> Remedy {
    Remedy { command: command.to_owned(), why: why.to_owned(), risk: Risk::None }
}

pub(crate) fn result(id: &'static str, title: &'static str, status: Status) -> CheckResult {
    CheckResult {
        id,
        title,
        status,
        findings: Vec::new(),
        healthy: Vec::new(),
        answering: BTreeSet::new(),
        edges: BTreeSet::new(),
        skipped: None,
        unknown: Vec::new(),
        facts: Vec::new(),
    }
}

pub(crate) fn written(report: &Report) -> Output {
    let scope = Scope {
        context: Some("prod".to_owned()),
        project: Some("ml-prod".to_owned()),
        cluster: Some("kf".to_owned()),
        ..Scope::default()
    };
    output(report, Tool { name: "kubectl-kfcheck", version: "0.1.0" }, "gcp", &scope, 1234)
}

pub(crate) fn missing(file: &str) -> FactError {
    let command = format!("gcloud compute {file} list --format json");
    FactError::from(Fault::NotCollected { file: format!("gcp/{file}.json"), command })
}

/// A host that a firewall keeps from answering, with a warning and something that nobody saw.
pub(crate) fn broken() -> Report {
    let host = resource("Host", "kf.example.com");
    let address = resource("Address", "kf-ip");
    let backend = resource("BackendService", "k8s-be-31380--7a1c9e2b4d6f8035");
    let network = resource("Network", "kf-net");
    let service = resource("Service", "istio-system/istio-ingressgateway");
    let pod = resource("Pod", "istio-system/istio-ingressgateway-5f6d");
    let gateway = resource("Gateway", "kubeflow/kubeflow-gateway");
    let dashboard = resource("Service", "kubeflow/centraldashboard");
    let probe = resource("HealthCheck", "k8s-be-31380");
    let mut path = Path::default();
    path.needs(host.clone(), address.clone());
    path.needs(address.clone(), backend.clone());
    path.needs(host.clone(), backend.clone());
    path.needs(backend.clone(), network.clone());
    path.needs(backend.clone(), probe.clone());
    path.needs(backend.clone(), service.clone());
    path.needs(service.clone(), pod.clone());
    path.needs(service.clone(), gateway.clone());
    path.needs(gateway.clone(), dashboard.clone());
    path.set_up_by(host.clone(), resource("Secret", "istio-system/oauth"));

    let mut firewall =
        result("gcp-firewall-health-check", "Health checks get through", Status::Fail);
    let mut cause = finding(Severity::Fail, network, "drops health checks on tcp:31380");
    cause.evidence.push(("from", "130.211.0.0/22,35.191.0.0/16".to_owned()));
    cause.evidence.push(("because", "deny-all-ingress (priority 900) denies".to_owned()));
    cause.remedies.push(Remedy {
        risk: Risk::Opens,
        ..remedy(
            "lets Google's probes in, and nobody else",
            "gcloud compute firewall-rules create kubeflow-health-checks --project ml-prod \
             --network kf-net --allow tcp:31380 --source-ranges 130.211.0.0/22,35.191.0.0/16",
        )
    });
    firewall.findings.push(cause);

    let mut health = result("gcp-backend-health", "Every backend is healthy", Status::Fail);
    let mut symptom = finding(Severity::Fail, backend, "has no healthy endpoint (0 of 2)");
    symptom.symptom = true;
    symptom.evidence.push(("behind it", "Service istio-system/istio-ingressgateway:80".to_owned()));
    health.findings.push(symptom);

    let mut endpoint = result("gcp-iap-endpoint", "The host asks users to sign in", Status::Fail);
    let mut answers = finding(Severity::Fail, host, "answers 502");
    answers.symptom = true;
    endpoint.findings.push(answers);

    let mut logging = result("gcp-health-check-logging", "Health checks are logged", Status::Warn);
    let mut warning = finding(Severity::Warn, probe, "doesn't log why it fails");
    warning.aspect = Aspect::Being;
    warning.remedies.push(remedy("turns logging on", "gcloud compute health-checks update http x"));
    logging.findings.push(warning);

    let mut ready = result("kube-service-endpoints", "Every Service has endpoints", Status::Pass);
    ready.healthy = vec![service, address, dashboard];
    let mut routes =
        result("istio-gateway-selector", "Every Gateway selects pods", Status::Unknown);
    routes.unknown = vec![(Some(gateway), missing("forwardingRules"))];
    let mut quota = result("gcp-quota", "No quota is exhausted", Status::Skip);
    quota.skipped = Some("there is no quota here".to_owned());

    Report {
        at: Ok(Arc::new("2026-11-21T12:00:00Z".parse().unwrap())),
        path: Arc::new(path),
        refused: Vec::new(),
        results: vec![health, firewall, endpoint, logging, ready, routes, quota],
        warnings: Vec::new(),
    }
}

/// The same, where everything that comes from outside is called `text`.
pub(crate) fn called(text: &str) -> Report {
    let mut report = broken();
    let mut path = Path::default();
    let named = |resource: &Resource| Resource {
        name: format!("{text}{}", resource.name),
        namespace: resource.namespace.as_ref().map(|_| text.to_owned()),
        ..resource.clone()
    };
    for edge in &report.path.edges {
        path.needs(named(&edge.upper), named(&edge.lower));
    }
    let error = Fault::NotCollected { file: text.to_owned(), command: text.to_owned() };
    path.gap(FactError::from(error.clone()));
    for result in &mut report.results {
        result.healthy = result.healthy.iter().map(named).collect();
        result.unknown.iter_mut().for_each(|(_, unknown)| unknown.fault = error.clone());
        for finding in &mut result.findings {
            finding.resource = named(&finding.resource);
            finding.message = format!("says {text}");
            finding.evidence.push(("said", text.to_owned()));
            finding.remedies.push(remedy(text, &format!("echo {text}")));
        }
    }
    report.path = Arc::new(path);
    report
}

/// A healthy deployment with many pods and models.
pub(crate) fn big(services: usize, pods: usize) -> Report {
    let mut report = broken();
    let mut path = (*report.path).clone();
    let gateway = resource("Gateway", "kubeflow/kubeflow-gateway");
    for service in 0..services {
        let of = resource("Service", &format!("models/model-number-{service}-predictor"));
        path.needs(gateway.clone(), of.clone());
        for pod in 0..pods {
            let pod = resource("Pod", &format!("models/model-{service}-predictor-{pod}-x7f9k"));
            path.needs(of.clone(), pod.clone());
            let name = format!("models/model-{service}-predictor");
            path.needs(pod, resource("Deployment", &name));
        }
    }
    report.path = Arc::new(path);
    report
}
