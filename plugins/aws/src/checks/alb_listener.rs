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
