use kfcheck::{Check, Cx, FactError, Findings, Named, Risk, async_trait, check};
use kfcheck_kube::{FrontServices, Service};

use crate::{
    ClassicListener, ClassicLoadBalancer, FrontClassics, InstanceStates, InstancesHealth, Scope,
    fronts::are_classics_beside,
};

check! {
    /// ## What it checks
    /// That every listener of a classic load balancer at the entrance leads to a node port of the
    /// Service that it was made for, and that its health check asks one of them.
    ///
    /// ## Why it matters
    /// Nobody listens on a node's other ports. A Service that was made anew has other node ports, and
    /// listeners that were changed by hand still lead to the old ones.
    ///
    /// ## How to fix it
    /// Lead the listener to the node port as shown, or fix the number as `nodePort` in the Service.
    pub(crate) struct ElbNodePort;
    id: "aws-elb-node-port",
    title: "The classic load balancer leads to the Service's node ports",
}

#[async_trait]
impl Check for ElbNodePort {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let fronts = cx.get(FrontClassics).await?;
        if fronts.is_empty() {
            out.skip("no classic load balancer is at the entrance");
        }
        let is_beside = are_classics_beside(cx).await?;
        let services = cx.get(FrontServices).await?;
        let region = cx.get(Scope).await?.region.clone();
        for front in fronts.iter() {
            let service = services.iter().find(|service| service.resource() == front.entrance);
            let Some(service) = service else { continue };
            let balancer = &front.balancer;
            let mut is_fine = true;
            for listener in balancer.listeners() {
                is_fine &= examine(balancer, listener, service, &region, is_beside, out);
            }
            let load_balancer = balancer.load_balancer_name.clone();
            let health = cx.get(InstancesHealth { load_balancer }).await;
            is_fine &=
                examine_asking(balancer, service, health.ok().as_deref(), &region, is_beside, out);
            if is_fine {
                out.ok(balancer);
            }
        }
        Ok(())
    }
}

fn is_node_port(service: &Service, port: i32) -> bool {
    let mut ports = service.spec.ports.iter().filter_map(|port| port.node_port);
    ports.any(|known| i32::from(known) == port)
}

fn examine(
    balancer: &ClassicLoadBalancer,
    listener: &ClassicListener,
    service: &Service,
    region: &str,
    is_beside: bool,
    out: &mut Findings,
) -> bool {
    let (from, to) = (listener.load_balancer_port, listener.instance_port);
    // A Service can be set up without node ports; then the load balancer isn't led to by them.
    if is_node_port(service, to) || service.spec.ports.iter().all(|p| p.node_port.is_none()) {
        return true;
    }
    let message =
        format!("forwards port {from} to {to}, which is no node port of {}", service.resource());
    let finding = match from {
        80 | 443 if !is_beside => out.fail(balancer, message),
        _ => out.warn(balancer, message),
    };
    let known = service
        .spec
        .ports
        .iter()
        .filter_map(|port| Some(format!("{} for {}", port.node_port?, port.port)));
    finding.evidence("node ports", known.collect::<Vec<_>>().join(", "));
    let right = service.spec.ports.iter().find(|port| i32::from(port.port) == from);
    let name = &balancer.load_balancer_name;
    match right.and_then(|port| port.node_port) {
        Some(right) => {
            let certificate = match listener.ssl_certificate_id.as_str() {
                "" => String::new(),
                arn => format!(",SSLCertificateId={arn}"),
            };
            finding.fix(
                Risk::Restarts,
                "leads it to the node port for it",
                format!(
                    "aws elb delete-load-balancer-listeners --region {region} \
                     --load-balancer-name {name} --load-balancer-ports {from} && \
                     aws elb create-load-balancer-listeners --region {region} \
                     --load-balancer-name {name} --listeners Protocol={},LoadBalancerPort={from},\
                     InstanceProtocol={},InstancePort={right}{certificate}",
                    listener.protocol, listener.instance_protocol
                ),
            )
        }
        None => finding.fix(
            Risk::None,
            "shows the Service's ports; none of them is for this listener",
            format!(
                "kubectl get service {} -n {} -o yaml",
                service.metadata.name,
                service.metadata.namespace()
            ),
        ),
    };
    false
}

/// What the health check asks, where no machine passes it.
fn examine_asking(
    balancer: &ClassicLoadBalancer,
    service: &Service,
    health: Option<&InstanceStates>,
    region: &str,
    is_beside: bool,
    out: &mut Findings,
) -> bool {
    let passes = health.is_none_or(|health| {
        health.instance_states.is_empty()
            || health.instance_states.iter().any(|machine| machine.state == "InService")
    });
    let asks = balancer.health_check.as_ref().map_or("", |check| check.target.as_str());
    // Paths are asked of kube-proxy, on ports of its own.
    let Some(port) = asks.strip_prefix("TCP:").and_then(|port| port.parse::<i32>().ok()) else {
        return true;
    };
    let right = service.spec.ports.iter().find_map(|port| port.node_port);
    let Some(right) = right.filter(|_| !passes && !is_node_port(service, port)) else {
        return true;
    };
    let message = format!("asks {asks} whether nodes are well, which is no node port");
    let finding = if is_beside { out.warn(balancer, message) } else { out.fail(balancer, message) };
    finding.evidence("made for", service.resource()).fix(
        Risk::None,
        "asks a node port of the Service",
        format!(
            "aws elb configure-health-check --region {region} --load-balancer-name {} \
                 --health-check Target=TCP:{right},Interval=10,Timeout=5,UnhealthyThreshold=6,\
                 HealthyThreshold=2",
            balancer.load_balancer_name
        ),
    );
    false
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::ElbNodePort;
    use crate::testing::Deployment;

    #[tokio::test]
    async fn a_port_that_the_service_does_not_have_is_named() {
        let mut deployment = Deployment::classic();
        deployment.object("Service")["spec"]["ports"][1]["nodePort"] = 32000.into();
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-elb-node-port
              load balancer aclassic forwards port 443 to 31390, which is no node port of
                Service istio-system/istio-ingressgateway
                node ports
                          31380 for 80, 32000 for 443
                fix       leads it to the node port for it
                          aws elb delete-load-balancer-listeners --region us-west-2 \
                            --load-balancer-name aclassic \
                            --load-balancer-ports 443 && aws elb create-load-balancer-listeners \
                            --region us-west-2 --load-balancer-name aclassic \
                            --listeners Protocol=TCP,LoadBalancerPort=443,InstanceProtocol=TCP,InstancePort=32000
              kubectl kfcheck explain aws-elb-node-port

            FAIL     aws-elb-node-port
                     The classic load balancer leads to the Service's node ports
        "#]].assert_eq(&deployment.report(&ElbNodePort).await);
    }

    #[tokio::test]
    async fn another_port_of_the_service_will_do() {
        let mut deployment = Deployment::classic();
        let balancers = deployment.file("aws/elb/describe-load-balancers");
        let all = &mut balancers["LoadBalancerDescriptions"][0]["ListenerDescriptions"];
        all[1]["Listener"]["InstancePort"] = 31380.into();
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     aws-elb-node-port
                     The classic load balancer leads to the Service's node ports
        "#]]
        .assert_eq(&deployment.report(&ElbNodePort).await);
    }

    #[tokio::test]
    async fn a_health_check_of_an_old_port_keeps_all_machines_out() {
        let mut deployment = Deployment::classic();
        let balancers = deployment.file("aws/elb/describe-load-balancers");
        balancers["LoadBalancerDescriptions"][0]["HealthCheck"]["Target"] = "TCP:30999".into();
        *deployment.file("aws/elb/describe-instance-health") = json!({ "aclassic": {
            "InstanceStates": [{ "InstanceId": "i-1", "State": "OutOfService" }] } });
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-elb-node-port
              load balancer aclassic asks TCP:30999 whether nodes are well, which is no node
                port
                made for  Service istio-system/istio-ingressgateway
                fix       asks a node port of the Service
                          aws elb configure-health-check --region us-west-2 \
                            --load-balancer-name aclassic \
                            --health-check Target=TCP:31380,Interval=10,Timeout=5,UnhealthyThreshold=6,HealthyThreshold=2
              kubectl kfcheck explain aws-elb-node-port

            FAIL     aws-elb-node-port
                     The classic load balancer leads to the Service's node ports
        "#]].assert_eq(&deployment.report(&ElbNodePort).await);
    }

    #[tokio::test]
    async fn the_services_own_are_fine() {
        let deployment = Deployment::classic();
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     aws-elb-node-port
                     The classic load balancer leads to the Service's node ports
        "#]]
        .assert_eq(&deployment.report(&ElbNodePort).await);
    }

    #[tokio::test]
    async fn an_ingress_has_none() {
        let deployment = Deployment::healthy();
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            skip     aws-elb-node-port
                     The classic load balancer leads to the Service's node ports
                     (no classic load balancer is at the entrance)
        "#]]
        .assert_eq(&deployment.report(&ElbNodePort).await);
    }
}
