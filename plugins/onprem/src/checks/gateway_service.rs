use std::sync::Arc;

use kfcheck::{Check, Cx, FactError, Findings, Named, Now, Risk, async_trait, check};
use kfcheck_kube::{Entrance, Entrances, Pod, Service, Target, Thresholds, is_new, within};

use crate::{MetalLbFronts, Scope, announcers::last_event, reached::is_answering};

check! {
    /// ## What it checks
    /// The Service of Istio's gateway, where no Ingress stands before it: that users can come in by
    /// it from outside, by a load balancer's address, a port of the nodes, an external address, or a
    /// port that its pods have on their node.
    ///
    /// ## Why it matters
    /// A Service of type LoadBalancer stays `<pending>` where nothing gives it an address, as on
    /// one's own machines without MetalLB or the like. One of type ClusterIP, as Kubeflow's manifests
    /// have it today, is reached from inside, or by `kubectl port-forward`.
    ///
    /// ## How to fix it
    /// Give the Service the type NodePort, or install a load balancer and give it the type
    /// LoadBalancer, or put an Ingress before it.
    pub(crate) struct GatewayService;
    id: "onprem-gateway-service",
    title: "The gateway's Service is reached from outside",
}

/// How long a load balancer may take, in minutes.
const PATIENCE: i64 = 2;

#[async_trait]
impl Check for GatewayService {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let entrances = cx.get(Entrances).await?;
        if entrances.is_empty() {
            out.skip("no Service of Istio's gateway was found; name it with --service");
        }
        for entrance in entrances.iter() {
            let Entrance::Service(service) = entrance else {
                out.skip("an Ingress or a Gateway stands before the gateway's Service");
                continue;
            };
            match service.spec.kind.as_str() {
                "LoadBalancer" => examine_balanced(cx, service, out).await,
                "NodePort" => examine_node_ports(service, out),
                _ => examine_bare(cx, service, out).await,
            }
        }
        Ok(())
    }
}

async fn examine_balanced(cx: &Cx, service: &Service, out: &mut Findings) {
    let has_address = service.status.load_balancer.addresses().next().is_some();
    if has_address || is_led_to(cx, service).await {
        out.ok(service);
        return;
    }
    let own = service.resource();
    let fronts = cx.get(MetalLbFronts).await;
    let Some(fronts) = out.known(service, fronts) else { return };
    let is_metallbs = fronts.iter().flat_map(|all| &all.services).any(|s| s.resource() == own);
    if is_metallbs {
        out.skip("MetalLB is to give it an address, which another check looks at");
        return;
    }
    let said = last_event(cx, &own, |_| true).await.ok().flatten();
    let since = service.metadata.creation_timestamp;
    let minutes = cx.setting::<Thresholds>().load_balancer_minutes(PATIENCE);
    let is_new = cx.get(Now).await.is_ok_and(|now| is_new(since, minutes, *now));
    let finding = if is_new {
        out.warn(service, "has no address yet")
    } else {
        let message = "is of type LoadBalancer, and nothing here gives it an address";
        out.fail(service, message).serving().hearsay()
    };
    if let Some(class) = &service.spec.load_balancer_class {
        finding.evidence("waits for", format!("class {class}"));
    }
    if let Some(event) = said {
        finding.evidence("says", format!("{}: {}", event.reason, event.message));
    }
    let (namespace, name) = (service.metadata.namespace(), &service.metadata.name);
    let ports = node_ports(service);
    if ports.is_empty() {
        let patch = r#"'{"spec":{"type":"NodePort"}}'"#;
        finding.fix(
            Risk::None,
            "opens a port of every node for it instead",
            format!("kubectl patch service {name} -n {namespace} -p {patch}"),
        );
    } else {
        finding.evidence("ports", ports.join(", "));
        finding.fix(
            Risk::None,
            "shows what is said of it",
            format!("kubectl describe service {name} -n {namespace}"),
        );
    }
}

fn examine_node_ports(service: &Service, out: &mut Findings) {
    if node_ports(service).is_empty() && service.spec.external_ips.is_empty() {
        let (namespace, name) = (service.metadata.namespace(), &service.metadata.name);
        out.fail(service, "is of type NodePort, and has no port of the nodes").fix(
            Risk::None,
            "shows its ports",
            format!("kubectl get service {name} -n {namespace} -o yaml"),
        );
    } else {
        out.ok(service);
    }
}

async fn examine_bare(cx: &Cx, service: &Service, out: &mut Findings) {
    if !service.spec.external_ips.is_empty() || is_led_to(cx, service).await {
        out.ok(service);
        return;
    }
    let message =
        "is reached from inside the cluster only: it has no load balancer and no port of the nodes";
    // Where nobody expects it at an address, a port-forward may be all there is to it.
    let is_expected = Scope::said(cx).await != crate::Whereabouts::default()
        || cx.setting::<Target>().host.is_some();
    let finding =
        if is_expected { out.fail(service, message).serving() } else { out.warn(service, message) };
    let kind = Some(service.spec.kind.as_str()).filter(|kind| !kind.is_empty());
    finding.evidence("type", kind.unwrap_or("ClusterIP"));
    let (namespace, name) = (service.metadata.namespace(), &service.metadata.name);
    let patch = r#"'{"spec":{"type":"NodePort"}}'"#;
    finding.fix(
        Risk::Opens,
        "opens a port of every node for it",
        format!("kubectl patch service {name} -n {namespace} -p {patch}"),
    );
}

/// The ports of the nodes that lead to a Service.
fn node_ports(service: &Service) -> Vec<String> {
    let all = &service.spec.ports;
    let has_usual = all.iter().any(|port| [80, 443].contains(&port.port));
    let usual = all.iter().filter(|port| !has_usual || [80, 443].contains(&port.port));
    let ports = usual.filter_map(|port| Some((port.node_port?, port.port)));
    ports.map(|(node, port)| format!("{node} for {port}")).collect()
}

/// Whether somebody leads requests to the gateway in his own way: something answers where users go,
/// or its pods have ports of their nodes.
async fn is_led_to(cx: &Cx, service: &Service) -> bool {
    let pods = cx.get(within::<Pod>(service.metadata.namespace())).await;
    let mut pods = pods.iter().flat_map(|all| all.iter()).filter(|pod| service.selects(pod));
    let is_open = |pod: &Arc<Pod>| {
        let mut ports = pod.spec.containers.iter().flat_map(|container| &container.ports);
        pod.spec.host_network == Some(true) || ports.any(|port| port.host_port.is_some())
    };
    pods.any(is_open) || is_answering(cx).await
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::GatewayService;
    use crate::testing::Deployment;

    /// Nothing leads to the gateway.
    fn of_type(kind: &str) -> Deployment {
        let mut deployment = Deployment::node_port();
        deployment.object("Service")["spec"]["type"] = kind.into();
        deployment.without("probes/http");
        deployment
    }

    #[tokio::test]
    async fn an_address_or_a_port_of_the_nodes_is_a_way_in() {
        for deployment in [Deployment::healthy(), Deployment::node_port()] {
            let says = deployment.report(&GatewayService).await;
            assert!(says.contains("pass     onprem-gateway-service"), "{says}");
        }
    }

    #[tokio::test]
    async fn a_load_balancer_that_nobody_gives_an_address_stays_pending() {
        expect![[r#"
            istio-ingressgateway is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not
            seen.

            ROOT CAUSE  onprem-gateway-service
              Service istio-system/istio-ingressgateway is of type LoadBalancer, and nothing
                here gives it an address
                ports     31380 for 80, 31390 for 443
                fix       shows what is said of it
                          kubectl describe service istio-ingressgateway -n istio-system
              kubectl kfcheck explain onprem-gateway-service

            FAIL     onprem-gateway-service
                     The gateway's Service is reached from outside
        "#]]
        .assert_eq(&of_type("LoadBalancer").report(&GatewayService).await);
    }

    #[tokio::test]
    async fn what_is_metallbs_is_left_to_its_own_check() {
        let mut deployment = Deployment::healthy();
        deployment.object("Service")["status"] = json!({});
        deployment.without("probes/http");
        let says = deployment.report(&GatewayService).await;
        assert!(says.contains("skip     onprem-gateway-service"), "{says}");
    }

    #[tokio::test]
    async fn one_for_the_cluster_alone_is_a_warning_until_somebody_expects_it_outside() {
        let mut deployment = of_type("ClusterIP");
        for port in deployment.object("Service")["spec"]["ports"].as_array_mut().unwrap() {
            port["nodePort"] = Value::Null;
        }
        expect![[r#"
            istio-ingressgateway: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            WARNING  onprem-gateway-service
              Service istio-system/istio-ingressgateway is reached from inside the cluster
                only: it has no load balancer and no port of the nodes
                type      ClusterIP
                fix       opens a port of every node for it
                          kubectl patch service istio-ingressgateway -n istio-system \
                            -p '{"spec":{"type":"NodePort"}}'

            warn     onprem-gateway-service
                     The gateway's Service is reached from outside
        "#]]
        .assert_eq(&deployment.report(&GatewayService).await);
        deployment.target.host = Some("kf.example.com".to_owned());
        let says = deployment.report(&GatewayService).await;
        assert!(says.contains("FAIL     onprem-gateway-service"), "{says}");
    }

    #[tokio::test]
    async fn somebody_may_lead_to_it_in_his_own_way() {
        let mut deployment = of_type("ClusterIP");
        deployment.file("bundle")["onprem"] = json!({ "hostname": "kf.example.com" });
        *deployment.file("probes/http") =
            json!([{ "url": "https://kf.example.com/", "status": 302 }]);
        let says = deployment.report(&GatewayService).await;
        assert!(says.contains("pass     onprem-gateway-service"), "{says}");
        let mut deployment = of_type("ClusterIP");
        deployment.named("Pod", "gateway-0")["spec"]["hostNetwork"] = true.into();
        let says = deployment.report(&GatewayService).await;
        assert!(says.contains("pass     onprem-gateway-service"), "{says}");
    }
}
