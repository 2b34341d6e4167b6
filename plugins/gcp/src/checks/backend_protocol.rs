use std::collections::BTreeMap;

use kfcheck::{Check, Cx, FactError, Findings, Risk, async_trait, check};
use kfcheck_kube::{Pod, Port, Service, ServicePort};

use crate::{
    BackendHealth, BackendInUse, BackendsInUse, GroupHealth, Health, backends::pods_of,
    entrances::is_behind_gateways,
};

check! {
    /// ## What it checks
    /// That the load balancer speaks to each backend service what the pods serve: HTTP or HTTPS,
    /// going by the Service's annotation, by the scheme of the pods' readiness probe, and by the
    /// names of the ports.
    ///
    /// ## Why it matters
    /// A server for HTTPS answers plain HTTP with 400 or nothing, and the other way round; the load
    /// balancer says 502.
    ///
    /// ## How to fix it
    /// Name the protocol for the Service's port in `cloud.google.com/app-protocols`. It is a map
    /// from the port's *name*. Behind a Gateway, it is the port's `appProtocol`.
    pub(crate) struct BackendProtocol;
    id: "gcp-backend-protocol",
    title: "The load balancer speaks what the pods serve",
}

const ANNOTATIONS: [&str; 2] =
    ["cloud.google.com/app-protocols", "service.alpha.kubernetes.io/app-protocols"];

#[async_trait]
impl Check for BackendProtocol {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        for used in cx.get(BackendsInUse).await?.iter() {
            let BackendInUse { backend, service, service_port, .. } = used;
            let Some(port) = service_port else { continue };
            let health = cx.get(BackendHealth::of(backend)).await;
            let Some(health) = out.known(backend, health) else { continue };
            // What works is not wrong, whatever it looks like.
            if let Health::Healthy(..) = GroupHealth::judge(&health) {
                out.ok(backend);
                continue;
            }
            let asked = match protocols(service) {
                Ok(asked) => asked,
                Err(error) => {
                    out.fail(&**service, "has an app-protocols annotation that can't be read")
                        .evidence("because", error);
                    continue;
                }
            };
            if let Some(name) = asked.keys().find(|name| service.port(&Port::parse(name)).is_none())
            {
                let names = service.spec.ports.iter().filter_map(|port| port.name.as_deref());
                let names: Vec<_> = names.collect();
                out.fail(&**service, format!("names a protocol for port {name}, which it lacks"))
                    .evidence("has ports", names.join(", "));
                continue;
            }
            let by_gateway = is_behind_gateways(cx, service).await?;
            let asked = if by_gateway {
                port.app_protocol.as_deref().map(secured).map(str::to_owned)
            } else {
                port.name.as_ref().and_then(|name| asked.get(name)).cloned()
            };
            let Some(pods) = out.known(backend, pods_of(cx, service).await) else { continue };
            let speaks = backend.protocol.to_uppercase();
            let tls = |protocol: &str| ["HTTPS", "HTTP2"].contains(&protocol);
            let probed = pods.first().and_then(|pod| probed(pod, port));
            // What somebody wrote down counts for more than what a port is called.
            let (right, because) = match (probed, asked) {
                (Some((probed, because)), _) => (probed.to_owned(), because),
                (None, Some(asked)) => {
                    let name = &service.metadata.name;
                    let what = if by_gateway { "appProtocol" } else { "annotation" };
                    let because = format!("the {what} of Service {name} says {asked}");
                    (asked, because)
                }
                (None, None) => match pods.first().and_then(|pod| called(pod, port)) {
                    Some((called, because)) => (called.to_owned(), because),
                    // Nothing says what the pods serve.
                    None => continue,
                },
            };
            if tls(&right) == tls(&speaks) {
                out.ok(backend);
                continue;
            }
            let message = format!("speaks {speaks} to pods that serve {right}");
            let finding = out.fail(backend, message);
            finding.evidence("because", because);
            let at = service.spec.ports.iter().position(|other| other.port == port.port);
            if let (true, Some(at)) = (by_gateway, at) {
                let path = format!("/spec/ports/{at}/appProtocol");
                let value = if tls(&right) { "HTTPS" } else { "HTTP" };
                let patch = serde_json::json!([{ "op": "add", "path": path, "value": value }]);
                finding.fix(
                    Risk::None,
                    "lets the load balancer speak what the pods serve",
                    format!(
                        "kubectl patch service {} -n {} --type json -p '{patch}'",
                        service.metadata.name,
                        service.metadata.namespace(),
                    ),
                );
            } else if let Some(name) = &port.name {
                let value = serde_json::json!({ name.as_str(): right });
                finding.fix(
                    Risk::None,
                    "lets the load balancer speak what the pods serve",
                    format!(
                        "kubectl annotate service {} -n {} --overwrite {}='{value}'",
                        service.metadata.name,
                        service.metadata.namespace(),
                        ANNOTATIONS[0]
                    ),
                );
            }
        }
        Ok(())
    }
}

/// What an `appProtocol` means: those with TLS are named, and all others have none.
fn secured(protocol: &str) -> &'static str {
    match protocol.to_lowercase().as_str() {
        "https" | "http2" | "kubernetes.io/wss" => "HTTPS",
        _ => "HTTP",
    }
}

/// What the Service says is spoken, by the names of its ports.
pub(crate) fn protocols(service: &Service) -> serde_json::Result<BTreeMap<String, String>> {
    let Some(text) = service.metadata.annotation(&ANNOTATIONS) else { return Ok(BTreeMap::new()) };
    let all: BTreeMap<String, String> = serde_json::from_str(text)?;
    Ok(all.into_iter().map(|(name, protocol)| (name, protocol.to_uppercase())).collect())
}

/// What the readiness probe of `pod` speaks behind a Service port.
fn probed(pod: &Pod, port: &ServicePort) -> Option<(&'static str, String)> {
    let number = port.on(pod)?;
    let (_, probe) = pod.http_probes().find(|(probed, _)| *probed == number)?;
    let scheme = if probe.scheme().eq_ignore_ascii_case("HTTPS") { "HTTPS" } else { "HTTP" };
    Some((scheme, format!("the readiness probe asks {scheme} on port {number}")))
}

/// What the ports are called.
fn called(pod: &Pod, port: &ServicePort) -> Option<(&'static str, String)> {
    let number = port.on(pod)?;
    let ports = pod.spec.containers.iter().flat_map(|container| &container.ports);
    let named = ports.filter(|p| p.container_port == number).filter_map(|p| p.name.as_deref());
    let names: Vec<_> = named.chain(port.name.as_deref()).collect();
    let is = |what: &str| {
        names.iter().any(|name| *name == what || name.starts_with(&format!("{what}-")))
    };
    let protocol = match (is("https"), is("http") || is("http2")) {
        (true, false) => "HTTPS",
        (false, true) => "HTTP",
        _ => return None,
    };
    Some((protocol, format!("port {number} is called {}", names.join(" and "))))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::BackendProtocol;
    use crate::testing::Deployment;

    /// Pods whose readiness probe asks over this.
    fn probed_by(scheme: &str) -> Deployment {
        let mut deployment = Deployment::healthy();
        let container = &mut deployment.object("Pod")["spec"]["containers"][0];
        container["readinessProbe"]["httpGet"]["scheme"] = scheme.into();
        deployment
    }

    #[tokio::test]
    async fn what_works_is_not_wrong_whatever_it_looks_like() {
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     gcp-backend-protocol
                     The load balancer speaks what the pods serve
        "#]]
        .assert_eq(&probed_by("HTTPS").report(&BackendProtocol).await);
    }

    #[tokio::test]
    async fn an_old_port_name_does_not_outweigh_the_probe() {
        let mut deployment = probed_by("HTTP");
        deployment.unhealthy();
        deployment.object("Service")["spec"]["ports"][0]["name"] = "https".into();
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     gcp-backend-protocol
                     The load balancer speaks what the pods serve
        "#]]
        .assert_eq(&deployment.report(&BackendProtocol).await);
    }

    #[tokio::test]
    async fn a_server_for_https_is_not_asked_over_http() {
        let mut deployment = probed_by("HTTPS");
        deployment.unhealthy();
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-backend-protocol
              backend service k8s-be-31380--u speaks HTTP to pods that serve HTTPS
                because   the readiness probe asks HTTPS on port 8080
                fix       lets the load balancer speak what the pods serve
                          kubectl annotate service gateway -n istio-system \
                            --overwrite cloud.google.com/app-protocols='{"http":"HTTPS"}'
              kubectl kfcheck explain gcp-backend-protocol

            FAIL     gcp-backend-protocol
                     The load balancer speaks what the pods serve
        "#]]
        .assert_eq(&deployment.report(&BackendProtocol).await);
    }
}
