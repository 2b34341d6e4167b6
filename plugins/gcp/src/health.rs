//! What health checks ask, what pods serve, and what came of it.

use std::{collections::BTreeSet, sync::Arc};

use kfcheck::{Cx, Fact, FactError, Fault};
use kfcheck_kube::Pod;
use serde::Serialize;

use crate::{
    BackendHealth, BackendInUse, BackendsInUse, EndpointHealth, GroupHealth, Health, HealthCheck,
    HealthChecks, LogEntries, LogEntry, ProbeResult, backends::port_on_pods,
};

/// The health checks of the backend services on the path, and what came of them.
#[derive(Clone, Serialize)]
pub(crate) struct HealthChecksInUse;

/// A health check, for whom it asks, and what came of it.
pub(crate) struct CheckInUse {
    pub(crate) used: BackendInUse,
    pub(crate) check: HealthCheck,
    /// What the load balancer says; where it says nothing, that is an error as well.
    pub(crate) health: Result<Health, FactError>,
    endpoints: Vec<EndpointHealth>,
}

impl Fact for HealthChecksInUse {
    const NAME: &'static str = "gcp.healthChecksInUse";
    type Value = Vec<CheckInUse>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<CheckInUse>, FactError> {
        let used = cx.get(BackendsInUse).await?;
        for used in used.iter() {
            cx.begin(BackendHealth::of(&used.backend));
        }
        let path = cx.path().await?;
        let mut all = Vec::new();
        if used.is_empty() {
            return Ok(all);
        }
        let checks = cx.get(HealthChecks).await?;
        for used in used.iter() {
            let groups = cx.get(BackendHealth::of(&used.backend)).await;
            let endpoints = groups.iter().flat_map(|groups| GroupHealth::endpoints(groups));
            let endpoints: Vec<_> = endpoints.cloned().collect();
            let health = groups.and_then(|groups| said(used, GroupHealth::judge(&groups)));
            for check in path.below(&used.backend, checks.iter()) {
                all.push(CheckInUse {
                    used: used.clone(),
                    check: check.clone(),
                    health: health.clone(),
                    endpoints: endpoints.clone(),
                });
            }
        }
        Ok(all)
    }
}

/// What the load balancer says, if it does.
pub(crate) fn said(used: &BackendInUse, health: Health) -> Result<Health, FactError> {
    match health {
        Health::Unsaid => {
            let detail = format!("the load balancer doesn't say how {} is", used.backend.name);
            Err(Fault::Unreachable(detail).into())
        }
        known => Ok(known),
    }
}

impl CheckInUse {
    /// The latest result of its probes of each endpoint. Backend services share machines, so that
    /// the port has to be its own.
    pub(crate) async fn probes(&self, cx: &Cx) -> Result<Vec<ProbeResult>, FactError> {
        let entries = cx.get(LogEntries).await?;
        let about = |result: &ProbeResult| {
            let here = |endpoint: &EndpointHealth| {
                let ip = [&result.ip_address, &result.target_ip].contains(&&endpoint.ip_address);
                let port = self.check.port().or(endpoint.port);
                ip && (result.target_port.is_none() || port.is_none() || result.target_port == port)
            };
            self.endpoints.iter().any(here)
        };
        Ok(LogEntry::probes(&entries, about).into_iter().cloned().collect())
    }
}

/// What is wrong with a health check.
pub(crate) struct Wrong {
    /// A clause that continues its name.
    pub(crate) message: String,
    /// What says so.
    pub(crate) because: String,
    /// What `gcloud compute health-checks update` mends it with.
    pub(crate) flags: Option<String>,
}

/// Compares what a health check asks with what the pods serve; nothing is wrong, or nothing can be
/// told, where the pods say nothing about it.
pub(crate) fn examine(
    used: &BackendInUse,
    check: &HealthCheck,
    pods: &[Arc<Pod>],
) -> Option<Wrong> {
    let pod = pods.first()?;
    let BackendInUse { backend, service, service_port, .. } = used;
    let (ports, name) = (&service.spec.ports, &service.metadata.name);
    let by_pod = backend.reaches_pods();
    let asked = match check.port() {
        Some(port) => port,
        None if by_pod => port_on_pods(service_port.as_ref()?, pods)?,
        None => backend.port?,
    };
    // That all of it stands for a port that is gone is another check's to say.
    if !by_pod
        && backend.node_port() == Some(asked)
        && !ports.iter().any(|p| p.node_port == Some(asked))
    {
        return None;
    }
    let on_pod = if by_pod {
        let declared = pod.spec.containers.iter().flat_map(|c| &c.ports).map(|p| p.container_port);
        let known: BTreeSet<_> =
            ports.iter().filter_map(|port| port.on(pod)).chain(declared).collect();
        let probed = pod.http_probes().any(|(port, _)| port == asked);
        (known.contains(&asked) || probed).then_some(asked)
    } else {
        ports.iter().find(|port| port.node_port == Some(asked)).and_then(|port| port.on(pod))
    };
    let Some(on_pod) = on_pod else {
        let message = if by_pod {
            format!("asks the pods on port {asked}, which they don't serve")
        } else {
            format!("asks the nodes on port {asked}, which is no node port of Service {name}")
        };
        let node_port = ports.iter().find(|port| port.node_port == Some(asked));
        let because = match (node_port, ports.iter().find(|port| port.port == asked)) {
            (Some(port), _) => {
                format!("{asked} is the node port of port {} of Service {name}", port.port)
            }
            (None, Some(port)) => format!(
                "{asked} is the port of Service {name}; its pods serve {}",
                port.on(pod).map_or("another".to_owned(), |port| port.to_string())
            ),
            (None, None) => format!("Service {name} knows no port {asked}"),
        };
        let serving = service_port.as_ref().and_then(|port| port.node_port);
        let flags = match (by_pod, serving) {
            (true, _) => Some("--use-serving-port".to_owned()),
            (false, Some(port)) => Some(format!("--port {port}")),
            (false, None) => None,
        };
        return Some(Wrong { message, because, flags });
    };
    let probed: Vec<_> = pod.http_probes().collect();
    if let Some((_, probe)) = probed.iter().find(|(port, _)| *port == on_pod) {
        let (speaks, asks) = (probe.scheme().to_uppercase(), &check.protocol);
        let tls = |protocol: &str| ["HTTPS", "HTTP2", "SSL"].contains(&protocol);
        if ["HTTP", "HTTPS", "HTTP2"].contains(&asks.as_str()) && tls(asks) != tls(&speaks) {
            return Some(Wrong {
                message: format!("speaks {asks} to pods that serve {speaks} on port {on_pod}"),
                because: format!("their readiness probe asks {speaks} on port {on_pod}"),
                flags: None,
            });
        }
    }
    let path = check.path()?;
    let there = |port: u16, probe_path: &str| port == on_pod && probe_path == path;
    if probed.is_empty() || probed.iter().any(|(port, probe)| there(*port, probe.path())) {
        return None;
    }
    if let Some((port, probe)) = probed.iter().find(|(port, _)| *port == on_pod) {
        let right = probe.path();
        return Some(Wrong {
            message: format!("asks {path} on port {on_pod} of the pods, not {right}"),
            because: format!("their readiness probe asks {right} on port {port}"),
            flags: Some(format!("--request-path {right}")),
        });
    }
    let (right, _) = probed.iter().find(|(_, probe)| probe.path() == path && path != "/")?;
    let reachable = ports.iter().find(|port| port.on(pod) == Some(*right));
    let port = if by_pod { Some(*right) } else { reachable.and_then(|p| p.node_port) };
    Some(Wrong {
        message: format!("asks {path} on port {on_pod} of the pods, which serve it on {right}"),
        because: format!("their readiness probe asks {path} on port {right}"),
        flags: port.map(|port| format!("--port {port}")),
    })
}

/// The port of the pods that a health check ends at, where they say that they have it.
pub(crate) fn asked_on_pod(
    used: &BackendInUse,
    check: &HealthCheck,
    pods: &[Arc<Pod>],
) -> Option<u16> {
    let BackendInUse { backend, service, service_port, .. } = used;
    let pod = pods.first()?;
    let port = match (check.port(), backend.reaches_pods()) {
        (Some(port), true) => port,
        (None, true) => port_on_pods(service_port.as_ref()?, pods)?,
        (port, false) => {
            let asked = port.or(backend.port)?;
            service.spec.ports.iter().find(|port| port.node_port == Some(asked))?.on(pod)?
        }
    };
    let declared: Vec<_> = pod.spec.containers.iter().flat_map(|c| &c.ports).collect();
    let has = declared.is_empty() || declared.iter().any(|d| d.container_port == port);
    has.then_some(port)
}
