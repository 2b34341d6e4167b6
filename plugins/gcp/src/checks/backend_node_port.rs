use std::collections::BTreeSet;

use kfcheck::{Check, Cx, FactError, Findings, Risk, async_trait, check};

use crate::{BackendInUse, BackendsInUse};

check! {
    /// ## What it checks
    /// That every backend service on the request path that goes by node ports stands for one that
    /// the Service still has.
    ///
    /// ## Why it matters
    /// A Service that is deleted and made anew gets other node ports. Until the controller follows,
    /// the load balancer knocks where nobody is.
    ///
    /// ## How to fix it
    /// Give the Service its node port back, or wait for the controller to make new backend services;
    /// if it doesn't within ten minutes, its events say why. Fix node ports in the Service's
    /// manifest so that they stay.
    pub(crate) struct BackendNodePort;
    id: "gcp-backend-node-port",
    title: "Backend services stand for node ports that exist",
}

#[async_trait]
impl Check for BackendNodePort {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let mut seen = BTreeSet::new();
        for used in cx.get(BackendsInUse).await?.iter() {
            let BackendInUse { backend, service, service_port, .. } = used;
            if !seen.insert(&backend.name) {
                continue;
            }
            let Some(port) = backend.node_port().filter(|_| !backend.reaches_pods()) else {
                continue;
            };
            let has = |port| service.spec.ports.iter().any(|p| p.node_port == Some(port));
            if has(port) {
                out.ok(backend);
                continue;
            }
            let (namespace, name) = (service.metadata.namespace(), &service.metadata.name);
            let message =
                format!("stands for node port {port}, which Service {name} does not have");
            let finding = out.fail(backend, message);
            let now = service.spec.ports.iter().filter_map(|p| Some((p.port, p.node_port?)));
            let now: Vec<_> = now.map(|(port, node)| format!("{port} is at {node}")).collect();
            finding.evidence("now", if now.is_empty() { "none".into() } else { now.join(", ") });
            let ports = &service.spec.ports;
            let meant =
                service_port.as_ref().and_then(|p| ports.iter().position(|q| q.port == p.port));
            // Any other type of Service can't have one.
            if let (Some(at), "NodePort" | "LoadBalancer") = (meant, &*service.spec.kind) {
                let patch = serde_json::json!([
                    { "op": "add", "path": format!("/spec/ports/{at}/nodePort"), "value": port }
                ]);
                finding.fix(
                    Risk::None,
                    "gives the Service its node port back",
                    format!("kubectl patch service {name} -n {namespace} --type json -p '{patch}'"),
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::BackendNodePort;
    use crate::testing::Deployment;

    #[tokio::test]
    async fn one_that_the_controller_has_not_removed_yet_is_not_in_use() {
        let mut deployment = Deployment::healthy();
        deployment.object("Ingress")["metadata"]["annotations"]["ingress.kubernetes.io/backends"] =
            r#"{"k8s-be-30000--u": "UNHEALTHY", "k8s-be-31380--u": "HEALTHY"}"#.into();
        let services = deployment.file("gcp/compute/backendServices").as_array_mut().unwrap();
        let mut old = services[0].clone();
        old["name"] = "k8s-be-30000--u".into();
        services.push(old);
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     gcp-backend-node-port
                     Backend services stand for node ports that exist
        "#]]
        .assert_eq(&deployment.report(&BackendNodePort).await);
    }

    #[tokio::test]
    async fn a_service_that_was_made_anew_gets_its_port_back() {
        let mut deployment = Deployment::healthy();
        deployment.object("Service")["spec"]["ports"][0]["nodePort"] = 31999.into();
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-backend-node-port
              backend service k8s-be-31380--u stands for node port 31380, which Service
                gateway does not have
                now       80 is at 31999
                fix       gives the Service its node port back
                          kubectl patch service gateway -n istio-system --type json \
                            -p '[{"op":"add","path":"/spec/ports/0/nodePort","value":31380}]'
              kubectl kfcheck explain gcp-backend-node-port

            FAIL     gcp-backend-node-port
                     Backend services stand for node ports that exist
        "#]]
        .assert_eq(&deployment.report(&BackendNodePort).await);
    }

    #[tokio::test]
    async fn a_service_without_node_ports_is_not_patched() {
        let mut deployment = Deployment::healthy();
        deployment.object("Service")["spec"] = json!({ "type": "ClusterIP",
            "selector": { "app": "gateway" }, "ports": [{ "port": 80, "targetPort": 8080 }] });
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-backend-node-port
              backend service k8s-be-31380--u stands for node port 31380, which Service
                gateway does not have
                now       none
              kubectl kfcheck explain gcp-backend-node-port

            FAIL     gcp-backend-node-port
                     Backend services stand for node ports that exist
        "#]]
        .assert_eq(&deployment.report(&BackendNodePort).await);
    }
}
