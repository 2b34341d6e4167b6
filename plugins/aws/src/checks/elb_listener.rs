use std::sync::Arc;

use kfcheck::{Check, Cx, FactError, Finding, Findings, Named, Risk, async_trait, check};
use kfcheck_kube::{FrontServices, Gateway, Port, Service, ServicePort, all, selects};
use kfcheck_probe::{HttpAnswer, HttpProbe};

use crate::{
    ClassicListener, ClassicLoadBalancer, Front, FrontClassics, Hosts, Scope,
    fronts::are_classics_beside, hosts::shown_certificates, targets::pods_of,
};

check! {
    /// ## What it checks
    /// What every classic load balancer of the gateway does on ports 80 and 443: that somebody ends
    /// TLS on 443, the load balancer with a certificate or the Gateway behind it, that both agree on
    /// what is spoken between them, and that plain HTTP is sent on to HTTPS.
    ///
    /// ## Why it matters
    /// TLS that nobody ends fails at the handshake; and a Gateway that waits for TLS answers plain
    /// requests with a reset, or the reverse.
    ///
    /// ## How to fix it
    /// Annotate the Service as shown, so that Kubernetes keeps the listener so; the command for the
    /// load balancer itself holds until the Service is changed.
    pub(crate) struct ElbListener;
    id: "aws-elb-listener",
    title: "Somebody ends TLS behind the classic load balancer's port 443",
}

#[async_trait]
impl Check for ElbListener {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let fronts = cx.get(FrontClassics).await?;
        if fronts.is_empty() {
            out.skip("no classic load balancer is at the entrance");
        }
        let is_beside = are_classics_beside(cx).await?;
        let services = cx.get(FrontServices).await?;
        for front in fronts.iter() {
            let service = services.iter().find(|service| service.resource() == front.entrance);
            let Some(service) = service else { continue };
            let listens = listens(cx, service).await;
            let Some(listens) = out.known(&front.balancer, listens) else { continue };
            let door = Door { front, service, listens: &listens, is_beside };
            let mut is_fine = true;
            for listener in front.balancer.listeners() {
                is_fine &= match listener.load_balancer_port {
                    443 => door.examine_secure(cx, listener, out).await,
                    80 => door.examine_plain(cx, listener, out).await,
                    _ => true,
                };
            }
            if is_fine {
                out.ok(&front.balancer);
            }
        }
        Ok(())
    }
}

/// What Istio's Gateways listen for behind a Service; nothing where somebody else is behind it.
type Listens = Option<Vec<(u16, String)>>;

async fn listens(cx: &Cx, service: &Service) -> Result<Listens, FactError> {
    let gateways = cx.get(all::<Gateway>()).await?;
    let pods = pods_of(cx, service).await?;
    let is_bound = |gateway: &&Arc<Gateway>| {
        let selector = &gateway.spec.selector;
        pods.iter().any(|pod| selects(selector, &pod.metadata.labels))
            || pods.is_empty() && selects(selector, &service.spec.selector)
    };
    let bound: Vec<_> = gateways.iter().filter(is_bound).collect();
    if bound.is_empty() {
        return Ok(None);
    }
    let servers = bound.iter().flat_map(|gateway| &gateway.spec.servers);
    let said = servers.map(|server| (server.port.number, server.port.protocol.to_uppercase()));
    Ok(Some(said.collect()))
}

/// A classic load balancer, and what is behind it.
struct Door<'a> {
    front: &'a Front<ClassicLoadBalancer>,
    service: &'a Service,
    listens: &'a Listens,
    is_beside: bool,
}

impl Door<'_> {
    /// The port of the Service that a listener leads to.
    fn port(&self, listener: &ClassicListener) -> Option<&ServicePort> {
        let is =
            |port: &&ServicePort| port.node_port.map(i32::from) == Some(listener.instance_port);
        self.service.spec.ports.iter().find(is)
    }

    /// What is spoken at a port of the Service; Gateways name the Service's number or the pods'.
    fn spoken(&self, port: &ServicePort) -> Option<Vec<&str>> {
        let target = match &port.target_port {
            Some(Port::Number(number)) => *number,
            _ => port.port,
        };
        let is = |(number, _): &&(u16, String)| *number == port.port || *number == target;
        let said = self.listens.as_ref()?.iter().filter(is);
        Some(said.map(|(_, protocol)| protocol.as_str()).collect())
    }

    fn complain<'f>(&self, out: &'f mut Findings, message: String) -> &'f mut Finding {
        let finding = if self.is_beside {
            out.warn(&self.front.balancer, message)
        } else {
            out.fail(&self.front.balancer, message)
        };
        finding.evidence("made for", &self.front.entrance)
    }

    async fn examine_secure(
        &self,
        cx: &Cx,
        listener: &ClassicListener,
        out: &mut Findings,
    ) -> bool {
        let ends_tls = ["HTTPS", "SSL"].contains(&&*listener.protocol.to_uppercase());
        let sends_tls = ["HTTPS", "SSL"].contains(&&*listener.instance_protocol.to_uppercase());
        let leads = format!(
            "{}:{} to {}:{}",
            listener.protocol,
            listener.load_balancer_port,
            listener.instance_protocol,
            listener.instance_port
        );
        if ends_tls && listener.ssl_certificate_id.is_empty() {
            let finding = self.complain(out, "has no certificate for port 443".to_owned());
            finding.evidence("listener", leads);
            self.end_tls(cx, finding).await;
            return false;
        }
        // Where a listener leads to nobody's port, another check says so.
        let Some(port) = self.port(listener) else { return true };
        let Some(spoken) = self.spoken(port) else { return true };
        let takes_tls = spoken.iter().any(|protocol| ["HTTPS", "TLS"].contains(protocol));
        let takes_plain = spoken.iter().any(|protocol| !["HTTPS", "TLS"].contains(protocol));
        let message = match (ends_tls, sends_tls) {
            (false, false) if !takes_tls => {
                "forwards port 443 as plain TCP, and no Gateway behind it ends TLS there"
            }
            (true, true) if !takes_tls => {
                "speaks TLS to the nodes for port 443, and no Gateway behind it ends that"
            }
            (true, false) if spoken.is_empty() => {
                "forwards port 443 to a port that no Gateway behind it listens on"
            }
            (true, false) if !takes_plain => {
                "speaks plain HTTP to the nodes for port 443, and the Gateway behind it waits for TLS"
            }
            _ => return true,
        };
        let said = if spoken.is_empty() { "nothing".to_owned() } else { spoken.join(", ") };
        let (port, name) = (port.port, port.name.clone().unwrap_or_default());
        let finding = self.complain(out, message.to_owned());
        finding.evidence("listener", leads);
        finding.evidence("Gateways listen", format!("{said} on Service port {port} {name}"));
        if ends_tls && !sends_tls && !spoken.is_empty() {
            let annotation = "aws-load-balancer-backend-protocol=https";
            finding.fix(Risk::None, "speaks TLS to the Gateway", self.annotate(&[annotation]));
        } else {
            self.end_tls(cx, finding).await;
        }
        false
    }

    /// Has the load balancer end TLS.
    async fn end_tls(&self, cx: &Cx, finding: &mut Finding) {
        let region = cx.get(Scope).await.map(|scope| scope.region.clone()).unwrap_or_default();
        let arns = shown_certificates(cx).await.unwrap_or_default();
        let Some(arn) = arns.iter().find(|arn| crate::region_in(arn) == region) else {
            finding.fix(
                Risk::None,
                "lists the certificates; annotate the Service with the host's as \
                 service.beta.kubernetes.io/aws-load-balancer-ssl-cert, and ssl-ports 443, or have \
                 the Gateway end TLS",
                format!("aws acm list-certificates --region {region}"),
            );
            return;
        };
        let plain = self.service.spec.ports.iter().find(|port| self.is_plain(port));
        if let Some(node_port) = plain.and_then(|port| port.node_port) {
            let name = &self.front.balancer.load_balancer_name;
            finding.fix(
                Risk::Restarts,
                "leads HTTPS to the port where a Gateway speaks HTTP, at once",
                format!(
                    "aws elb delete-load-balancer-listeners --region {region} \
                     --load-balancer-name {name} --load-balancer-ports 443 && \
                     aws elb create-load-balancer-listeners --region {region} \
                     --load-balancer-name {name} --listeners \
                     Protocol=HTTPS,LoadBalancerPort=443,InstanceProtocol=HTTP,\
                     InstancePort={node_port},SSLCertificateId={arn}"
                ),
            );
        }
        let speaks = self.service.spec.ports.iter().any(|p| p.port == 443 && self.is_plain(p));
        let why = if speaks {
            "has Kubernetes set the listener up so that it ends TLS"
        } else {
            "has Kubernetes keep it so; the Gateway has to speak HTTP on port 443 as well then"
        };
        finding.fix(
            Risk::None,
            why,
            self.annotate(&[
                &format!("aws-load-balancer-ssl-cert={arn}"),
                "aws-load-balancer-ssl-ports=443",
                "aws-load-balancer-backend-protocol=http",
            ]),
        );
    }

    /// Whether a Gateway speaks plain HTTP behind a port of the Service that nodes have.
    fn is_plain(&self, port: &ServicePort) -> bool {
        let spoken = self.spoken(port).unwrap_or_default();
        port.node_port.is_some() && spoken.iter().any(|p| p.starts_with("HTTP") && *p != "HTTPS")
    }

    fn annotate(&self, annotations: &[&str]) -> String {
        let (namespace, name) = (self.service.metadata.namespace(), &self.service.metadata.name);
        let all: String = annotations
            .iter()
            .flat_map(|annotation| [" service.beta.kubernetes.io/", *annotation])
            .collect();
        format!("kubectl annotate service {name} -n {namespace} --overwrite{all}")
    }

    /// Whether port 80 is seen to send requests on to HTTPS, where there is HTTPS.
    async fn examine_plain(&self, cx: &Cx, listener: &ClassicListener, out: &mut Findings) -> bool {
        let mut others = self.front.balancer.listeners();
        if !others.any(|other| other.load_balancer_port == 443) || self.is_beside {
            return true;
        }
        let listens = self.port(listener).and_then(|port| self.spoken(port));
        if listens.is_some_and(|spoken| spoken.is_empty()) {
            return true;
        }
        let mut is_fine = true;
        for host in cx.get(Hosts).await.iter().flat_map(|hosts| hosts.iter()) {
            let answers = cx.get(HttpProbe { url: format!("http://{host}/") }).await;
            let Some(answers) = out.known(&self.front.balancer, answers) else { continue };
            let answer = HttpAnswer::anonymous(&answers);
            let status = answer.and_then(|answer| answer.status);
            let leads = answer.and_then(HttpAnswer::redirect);
            // What isn't answered isn't open.
            if status.is_none_or(|status| status >= 500)
                || leads.is_some_and(|to| to.starts_with("https://"))
            {
                continue;
            }
            is_fine = false;
            out.warn(&self.front.balancer, "lets requests in on port 80 that are not encrypted")
                .evidence("answers", format!("http://{host}/: {}", status.unwrap_or_default()))
                .fix(
                    Risk::None,
                    "shows the Gateways; one that sends requests on has tls.httpsRedirect: true at \
                     its server for port 80",
                    "kubectl get gateways.networking.istio.io -A -o yaml",
                );
        }
        is_fine
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::ElbListener;
    use crate::testing::{CERTIFICATE, Deployment};

    /// Kubeflow's Gateway listens so, and port 443 is led so.
    fn with(servers: &serde_json::Value, listener: &[(&str, &str)]) -> Deployment {
        let mut deployment = Deployment::classic();
        deployment.add(json!({ "apiVersion": "networking.istio.io/v1alpha3", "kind": "Gateway",
            "metadata": { "namespace": "kubeflow", "name": "kubeflow-gateway" },
            "spec": { "selector": { "istio": "ingressgateway" }, "servers": servers } }));
        deployment.without("kubernetes/gateways.networking.istio.io");
        let balancers = deployment.file("aws/elb/describe-load-balancers");
        let all = &mut balancers["LoadBalancerDescriptions"][0]["ListenerDescriptions"];
        for (name, value) in listener {
            all[1]["Listener"][name] = (*value).into();
        }
        let probes = deployment.file("probes/http").as_array_mut().unwrap();
        probes.push(json!({ "url": "http://kf.example.com/", "status": 301,
            "headers": { "location": "https://kf.example.com/" } }));
        deployment
    }

    fn http() -> serde_json::Value {
        json!([{ "hosts": ["*"], "port": { "number": 80, "protocol": "HTTP" } }])
    }

    fn https() -> serde_json::Value {
        json!([{ "hosts": ["*"], "port": { "number": 443, "protocol": "HTTPS" } }])
    }

    #[tokio::test]
    async fn tls_that_nobody_ends_is_named() {
        let deployment = with(&http(), &[]);
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-elb-listener
              load balancer aclassic forwards port 443 as plain TCP, and no Gateway behind
                it ends TLS there
                made for  Service istio-system/istio-ingressgateway
                listener  TCP:443 to TCP:31390
                Gateways listen
                          nothing on Service port 443 https
                fix       lists the certificates; annotate the Service with the host's as
                          service.beta.kubernetes.io/aws-load-balancer-ssl-cert, and
                          ssl-ports 443, or have the Gateway end TLS
                          aws acm list-certificates --region us-west-2
              kubectl kfcheck explain aws-elb-listener

            FAIL     aws-elb-listener
                     Somebody ends TLS behind the classic load balancer's port 443
        "#]]
        .assert_eq(&deployment.report(&ElbListener).await);
    }

    #[tokio::test]
    async fn with_a_certificate_the_load_balancer_can_end_it() {
        let mut deployment = with(&http(), &[]);
        deployment.object("Service")["metadata"]["annotations"] =
            json!({ "service.beta.kubernetes.io/aws-load-balancer-ssl-cert": CERTIFICATE });
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-elb-listener
              load balancer aclassic forwards port 443 as plain TCP, and no Gateway behind
                it ends TLS there
                made for  Service istio-system/istio-ingressgateway
                listener  TCP:443 to TCP:31390
                Gateways listen
                          nothing on Service port 443 https
                fix       leads HTTPS to the port where a Gateway speaks HTTP, at once
                          aws elb delete-load-balancer-listeners --region us-west-2 \
                            --load-balancer-name aclassic \
                            --load-balancer-ports 443 && aws elb create-load-balancer-listeners \
                            --region us-west-2 --load-balancer-name aclassic \
                            --listeners Protocol=HTTPS,LoadBalancerPort=443,InstanceProtocol=HTTP,InstancePort=31380,SSLCertificateId=arn:aws:acm:us-west-2:111122223333:certificate/shown
                fix       has Kubernetes keep it so; the Gateway has to speak HTTP on port
                          443 as well then
                          kubectl annotate service istio-ingressgateway -n istio-system \
                            --overwrite service.beta.kubernetes.io/aws-load-balancer-ssl-cert=arn:aws:acm:us-west-2:111122223333:certificate/shown service.beta.kubernetes.io/aws-load-balancer-ssl-ports=443 service.beta.kubernetes.io/aws-load-balancer-backend-protocol=http
              kubectl kfcheck explain aws-elb-listener

            FAIL     aws-elb-listener
                     Somebody ends TLS behind the classic load balancer's port 443
        "#]].assert_eq(&deployment.report(&ElbListener).await);
    }

    #[tokio::test]
    async fn https_without_certificate_is_none() {
        let listener = [("Protocol", "HTTPS"), ("InstanceProtocol", "HTTP")];
        let deployment = with(&http(), &listener);
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-elb-listener
              load balancer aclassic has no certificate for port 443
                made for  Service istio-system/istio-ingressgateway
                listener  HTTPS:443 to HTTP:31390
                fix       lists the certificates; annotate the Service with the host's as
                          service.beta.kubernetes.io/aws-load-balancer-ssl-cert, and
                          ssl-ports 443, or have the Gateway end TLS
                          aws acm list-certificates --region us-west-2
              kubectl kfcheck explain aws-elb-listener

            FAIL     aws-elb-listener
                     Somebody ends TLS behind the classic load balancer's port 443
        "#]]
        .assert_eq(&deployment.report(&ElbListener).await);
    }

    #[tokio::test]
    async fn plain_http_to_a_gateway_that_waits_for_tls_is_reset() {
        let listener = [
            ("Protocol", "HTTPS"),
            ("InstanceProtocol", "HTTP"),
            ("SSLCertificateId", CERTIFICATE),
        ];
        let deployment = with(&https(), &listener);
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-elb-listener
              load balancer aclassic speaks plain HTTP to the nodes for port 443, and the
                Gateway behind it waits for TLS
                made for  Service istio-system/istio-ingressgateway
                listener  HTTPS:443 to HTTP:31390
                Gateways listen
                          HTTPS on Service port 443 https
                fix       speaks TLS to the Gateway
                          kubectl annotate service istio-ingressgateway -n istio-system \
                            --overwrite service.beta.kubernetes.io/aws-load-balancer-backend-protocol=https
              kubectl kfcheck explain aws-elb-listener

            FAIL     aws-elb-listener
                     Somebody ends TLS behind the classic load balancer's port 443
        "#]].assert_eq(&deployment.report(&ElbListener).await);
    }

    #[tokio::test]
    async fn plain_requests_that_are_answered_are_a_warning() {
        let servers = json!([http()[0], https()[0]]);
        let mut deployment = with(&servers, &[]);
        let probes = deployment.file("probes/http").as_array_mut().unwrap();
        probes[1] = json!({ "url": "http://kf.example.com/", "status": 200 });
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            WARNING  aws-elb-listener
              load balancer aclassic lets requests in on port 80 that are not encrypted
                answers   http://kf.example.com/: 200
                fix       shows the Gateways; one that sends requests on has
                          tls.httpsRedirect: true at its server for port 80
                          kubectl get gateways.networking.istio.io -A -o yaml

            warn     aws-elb-listener
                     Somebody ends TLS behind the classic load balancer's port 443
        "#]]
        .assert_eq(&deployment.report(&ElbListener).await);
    }

    #[tokio::test]
    async fn a_gateway_that_ends_tls_is_fine() {
        let deployment = with(&https(), &[]);
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     aws-elb-listener
                     Somebody ends TLS behind the classic load balancer's port 443
        "#]]
        .assert_eq(&deployment.report(&ElbListener).await);
    }

    #[tokio::test]
    async fn without_the_gateways_it_is_open() {
        let mut deployment = Deployment::classic();
        deployment.without("kubernetes/gateways.networking.istio.io");
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 1 not seen.

            NOT SEEN, so a cause may hide there
              request path, aws-elb-listener
                not collected: kubernetes/gateways.networking.istio.io.json
                  kubectl get gateways.networking.istio.io -A -o yaml

            unknown  aws-elb-listener
                     Somebody ends TLS behind the classic load balancer's port 443
                     (not collected: kubernetes/gateways.networking.istio.io.json; `kubectl
                     get gateways.networking.istio.io -A -o yaml` prints it (asking for
                     kube.gateways.networking.istio.io {}))
        "#]]
        .assert_eq(&deployment.report(&ElbListener).await);
    }

    #[tokio::test]
    async fn an_ingress_has_none() {
        let deployment = Deployment::healthy();
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            skip     aws-elb-listener
                     Somebody ends TLS behind the classic load balancer's port 443
                     (no classic load balancer is at the entrance)
        "#]]
        .assert_eq(&deployment.report(&ElbListener).await);
    }
}
