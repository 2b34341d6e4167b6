use kfcheck::{Check, Cx, FactError, Findings, Named, Risk, async_trait, check};
use kfcheck_kube::Ingress;
use kfcheck_probe::{HttpAnswer, HttpProbe};

use crate::{
    AlbIngresses, Door, Front, FrontLoadBalancers, Hosts, LoadBalancer, Scope,
    facts::certificate_resource,
    fronts::annotation,
    sign_in::{asks_for_sign_in, doors_of},
};

check! {
    /// ## What it checks
    /// The listeners of every application load balancer that leads to Kubeflow: that one is HTTPS
    /// with a certificate, and that plain HTTP is sent on to it.
    ///
    /// ## Why it matters
    /// A load balancer signs users in on HTTPS listeners only. Where there is none, the controller
    /// leaves the annotations for sign-in out without a word, and everybody gets in.
    ///
    /// ## How to fix it
    /// Name HTTPS in `alb.ingress.kubernetes.io/listen-ports` and a certificate in
    /// `alb.ingress.kubernetes.io/certificate-arn`. Without the first, the controller listens on
    /// HTTP:80, or on HTTPS:443 where a certificate is named.
    pub(crate) struct AlbListener;
    id: "aws-alb-listener",
    title: "The load balancer listens on HTTPS with a certificate",
}

#[async_trait]
impl Check for AlbListener {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let fronts = cx.get(FrontLoadBalancers).await?;
        let ingresses = cx.get(AlbIngresses).await?;
        let scope = cx.get(Scope).await?;
        let mut any = false;
        for front in fronts.iter().filter(|front| front.balancer.r#type == "application") {
            any = true;
            let doors = doors_of(cx, &front.balancer).await;
            let Some(doors) = out.known(&front.balancer, doors) else { continue };
            let ingress = ingresses.iter().find(|ingress| ingress.resource() == front.entrance);
            let secure = doors.iter().any(|door| door.listener.protocol == "HTTPS");
            if secure {
                for door in &doors {
                    examine(door, ingress.map(|ingress| &**ingress), &scope.region, out);
                }
            } else {
                report(cx, front, &doors, ingress.map(|ingress| &**ingress), out).await;
            }
        }
        if !any {
            out.skip("no application load balancer is at the entrance");
        }
        Ok(())
    }
}

fn examine(door: &Door, ingress: Option<&Ingress>, region: &str, out: &mut Findings) {
    let listener = &door.listener;
    match listener.protocol.as_str() {
        "HTTPS" if listener.certificates.is_empty() => {
            out.fail(listener, "has no certificate").fix(
                Risk::None,
                "lists the certificates that there are; the one for the host is to be named as \
                 certificate-arn",
                list_certificates(region),
            );
        }
        "HTTP" if !door.only_redirects() && door.forwards().next().is_some() => {
            let finding = out.warn(listener, "lets requests through that are not encrypted");
            if let Some(ingress) = ingress {
                let redirect = "alb.ingress.kubernetes.io/ssl-redirect=443";
                finding.fix(Risk::None, "sends them on to HTTPS", annotate(ingress, redirect));
            }
        }
        _ => out.ok(listener),
    }
}

/// Nobody gets in by HTTPS.
async fn report(
    cx: &Cx,
    front: &Front<LoadBalancer>,
    doors: &[Door],
    ingress: Option<&Ingress>,
    out: &mut Findings,
) {
    let balancer = &front.balancer;
    let region = cx.get(Scope).await.map(|scope| scope.region.clone()).unwrap_or_default();
    let ports: Vec<_> = doors
        .iter()
        .map(|door| {
            let port = door.listener.port.map(|port| port.to_string()).unwrap_or_default();
            format!("{}:{port}", door.listener.protocol)
        })
        .collect();
    let listens = if ports.is_empty() { "nothing".to_owned() } else { ports.join(", ") };
    let ports_asked = ingress.and_then(|ingress| annotation(ingress, "listen-ports"));
    let certificates = ingress.and_then(|ingress| annotation(ingress, "certificate-arn"));
    let is_asked = match ports_asked {
        Some(ports) => ports.to_uppercase().contains("HTTPS"),
        None => certificates.is_some(),
    };
    let signs_in = ingress.is_some_and(asks_for_sign_in);
    let finding = if is_asked {
        // What keeps the controller from making it another finding says.
        for arn in certificates.unwrap_or_default().split(',').map(str::trim) {
            out.built_from(balancer, certificate_resource(arn));
        }
        let from = &front.entrance;
        out.unbuilt(balancer, format!("listens on {listens}, and not on HTTPS as {from} asks"))
    } else if signs_in {
        let message = format!(
            "listens on {listens} only, so the sign-in that {} asks for is left out",
            front.entrance
        );
        out.fail(balancer, message)
    } else if doors.is_empty() || is_wanted(cx).await {
        out.fail(balancer, format!("listens on {listens}, and not on HTTPS"))
    } else {
        out.warn(balancer, format!("listens on {listens} only, so requests are not encrypted"))
    };
    let Some(ingress) = ingress else { return };
    finding.evidence("listen-ports", ports_asked.unwrap_or("(not said)"));
    if is_asked {
        let (namespace, name) = (ingress.metadata.namespace(), &ingress.metadata.name);
        finding.fix(
            Risk::None,
            "shows what the controller says",
            format!("kubectl describe ingress -n {namespace} {name}"),
        );
        return;
    }
    if certificates.is_none() {
        finding.fix(
            Risk::None,
            "lists the certificates that there are; the one for the host is to be named as \
             certificate-arn as well",
            list_certificates(&region),
        );
    }
    let listen = r#"'alb.ingress.kubernetes.io/listen-ports=[{"HTTPS":443}]'"#;
    finding.fix(Risk::None, "listens on HTTPS", annotate(ingress, listen));
}

/// Whether users are known to come by HTTPS, and don't get in.
async fn is_wanted(cx: &Cx) -> bool {
    for host in cx.get(Hosts).await.iter().flat_map(|hosts| hosts.iter()) {
        let answers = cx.get(HttpProbe { url: format!("https://{host}/") }).await;
        let answer = answers.as_ref().ok().and_then(|answers| HttpAnswer::anonymous(answers));
        if answer.is_some_and(|answer| answer.status.is_none()) {
            return true;
        }
    }
    false
}

fn list_certificates(region: &str) -> String {
    format!("aws acm list-certificates --region {region}")
}

fn annotate(ingress: &Ingress, annotation: &str) -> String {
    let (namespace, name) = (ingress.metadata.namespace(), &ingress.metadata.name);
    format!("kubectl annotate ingress {name} -n {namespace} --overwrite {annotation}")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::AlbListener;
    use crate::testing::{BALANCER, Deployment};

    /// The load balancer listens on HTTP:80 only, and the Ingress says this.
    fn plain(annotations: &[(&str, &str)]) -> Deployment {
        let mut deployment = Deployment::healthy();
        let ingress = &mut deployment.object("Ingress")["metadata"]["annotations"];
        *ingress = json!({ "kubernetes.io/ingress.class": "alb" });
        for (name, value) in annotations {
            ingress[format!("alb.ingress.kubernetes.io/{name}")] = (*value).into();
        }
        let listener = &mut deployment.file("aws/elbv2/describe-listeners")["Listeners"][0];
        listener["Protocol"] = "HTTP".into();
        listener["Port"] = 80.into();
        listener["Certificates"] = json!([]);
        let rule = &mut deployment.file("aws/elbv2/describe-rules")["Rules"][0];
        rule["Actions"].as_array_mut().unwrap().remove(0);
        deployment
    }

    #[tokio::test]
    async fn sign_in_that_is_asked_for_is_left_out_without_https() {
        let cognito =
            r#"{"UserPoolArn":"arn:aws:cognito-idp:us-west-2:1:userpool/us-west-2_pool"}"#;
        let deployment = plain(&[("auth-type", "cognito"), ("auth-idp-cognito", cognito)]);
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-alb-listener
              load balancer k8s-front listens on HTTP:80 only, so the sign-in that Ingress
                istio-system/front asks for is left out
                listen-ports
                          (not said)
                fix       lists the certificates that there are; the one for the host is to
                          be named as certificate-arn as well
                          aws acm list-certificates --region us-west-2
                fix       listens on HTTPS
                          kubectl annotate ingress front -n istio-system \
                            --overwrite 'alb.ingress.kubernetes.io/listen-ports=[{"HTTPS":443}]'
              kubectl kfcheck explain aws-alb-listener

            FAIL     aws-alb-listener
                     The load balancer listens on HTTPS with a certificate
        "#]]
        .assert_eq(&deployment.report(&AlbListener).await);
    }

    #[tokio::test]
    async fn https_that_was_asked_for_and_is_not_there_is_for_others_to_explain() {
        let deployment = plain(&[("listen-ports", r#"[{"HTTP":80},{"HTTPS":443}]"#)]);
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-alb-listener
              load balancer k8s-front listens on HTTP:80, and not on HTTPS as Ingress
                istio-system/front asks
                listen-ports
                          [{"HTTP":80},{"HTTPS":443}]
                fix       shows what the controller says
                          kubectl describe ingress -n istio-system front
              kubectl kfcheck explain aws-alb-listener

            FAIL     aws-alb-listener
                     The load balancer listens on HTTPS with a certificate
        "#]]
        .assert_eq(&deployment.report(&AlbListener).await);
    }

    #[tokio::test]
    async fn plain_http_that_nobody_asked_more_of_is_a_warning() {
        let deployment = plain(&[]);
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            WARNING  aws-alb-listener
              load balancer k8s-front listens on HTTP:80 only, so requests are not encrypted
                listen-ports
                          (not said)
                fix       lists the certificates that there are; the one for the host is to
                          be named as certificate-arn as well
                          aws acm list-certificates --region us-west-2
                fix       listens on HTTPS
                          kubectl annotate ingress front -n istio-system \
                            --overwrite 'alb.ingress.kubernetes.io/listen-ports=[{"HTTPS":443}]'

            warn     aws-alb-listener
                     The load balancer listens on HTTPS with a certificate
        "#]]
        .assert_eq(&deployment.report(&AlbListener).await);
    }

    #[tokio::test]
    async fn without_certificate_https_is_none() {
        let mut deployment = Deployment::healthy();
        let listener = &mut deployment.file("aws/elbv2/describe-listeners")["Listeners"][0];
        listener["Certificates"] = json!([]);
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-alb-listener
              listener k8s-front HTTPS:443 has no certificate
                fix       lists the certificates that there are; the one for the host is to
                          be named as certificate-arn
                          aws acm list-certificates --region us-west-2
              kubectl kfcheck explain aws-alb-listener

            FAIL     aws-alb-listener
                     The load balancer listens on HTTPS with a certificate
        "#]]
        .assert_eq(&deployment.report(&AlbListener).await);
    }

    #[tokio::test]
    async fn plain_http_beside_https_is_sent_on() {
        let mut deployment = Deployment::healthy();
        let arn = "arn:aws:elasticloadbalancing:us-west-2:111122223333:listener/app/k8s-front/50dc6c495c0c9188/80";
        deployment.file("aws/elbv2/describe-listeners")["Listeners"].as_array_mut().unwrap().push(
            json!({ "ListenerArn": arn, "LoadBalancerArn": BALANCER, "Port": 80, "Protocol": "HTTP" }),
        );
        deployment.file("aws/elbv2/describe-rules")["Rules"].as_array_mut().unwrap().push(
            json!({ "RuleArn": arn.replace(":listener/", ":listener-rule/") + "/r3",
                "Priority": "default", "IsDefault": true,
                "Actions": [{ "Type": "forward", "TargetGroupArn": "arn:x" }] }),
        );
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            WARNING  aws-alb-listener
              listener k8s-front HTTP:80 lets requests through that are not encrypted
                fix       sends them on to HTTPS
                          kubectl annotate ingress front -n istio-system \
                            --overwrite alb.ingress.kubernetes.io/ssl-redirect=443

            warn     aws-alb-listener
                     The load balancer listens on HTTPS with a certificate
        "#]]
        .assert_eq(&deployment.report(&AlbListener).await);
    }

    #[tokio::test]
    async fn without_the_listeners_it_is_open() {
        let mut deployment = Deployment::healthy();
        deployment.without("aws/elbv2/describe-listeners");
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 1 not seen.

            NOT SEEN, so a cause may hide there
              request path, aws-alb-listener
                not collected:
                  arn:aws:elasticloadbalancing:us-west-2:111122223333:loadbalancer/app/k8s-front/50dc6c495c0c9188
                  in aws/elbv2/describe-listeners.json
                  aws elbv2 describe-listeners \
                    --load-balancer-arn arn:aws:elasticloadbalancing:us-west-2:111122223333:loadbalancer/app/k8s-front/50dc6c495c0c9188

            unknown  aws-alb-listener
                     The load balancer listens on HTTPS with a certificate
                     (not collected:
                     arn:aws:elasticloadbalancing:us-west-2:111122223333:loadbalancer/app/k8s-front/50dc6c495c0c9188
                     in aws/elbv2/describe-listeners.json; `aws elbv2 describe-listeners
                     --load-balancer-arn
                     arn:aws:elasticloadbalancing:us-west-2:111122223333:loadbalancer/app/k8s-front/50dc6c495c0c9188`
                     prints it (asking for aws.listeners
                     {"load_balancer":"arn:aws:elasticloadbalancing:us-west-2:111122223333:loadbalancer/app/k8s-front/50dc6c495c0c9188"}))
        "#]].assert_eq(&deployment.report(&AlbListener).await);
    }

    #[tokio::test]
    async fn https_with_a_certificate_is_fine() {
        let deployment = Deployment::healthy();
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     aws-alb-listener
                     The load balancer listens on HTTPS with a certificate
        "#]]
        .assert_eq(&deployment.report(&AlbListener).await);
    }

    #[tokio::test]
    async fn a_classic_one_is_of_no_concern() {
        let deployment = Deployment::classic();
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            skip     aws-alb-listener
                     The load balancer listens on HTTPS with a certificate
                     (no application load balancer is at the entrance)
        "#]]
        .assert_eq(&deployment.report(&AlbListener).await);
    }
}
