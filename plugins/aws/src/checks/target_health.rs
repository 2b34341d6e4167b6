use kfcheck::{Check, Cx, FactError, Findings, Risk, async_trait, check};
use kfcheck_kube::Port;

use crate::{
    AlbIngresses, FrontTargetGroup, FrontTargetGroups, Scope, TargetHealth,
    TargetHealthDescription, TargetsHealth, fronts::service_resource, targets::machines_of,
};

check! {
    /// ## What it checks
    /// The health of every target, a node or a pod, that the load balancer at the entrance sends
    /// requests to, and the reason that AWS gives for one that isn't healthy.
    ///
    /// ## Why it matters
    /// With no healthy target a load balancer answers 502, 503 or 504, or not at all.
    ///
    /// ## How to fix it
    /// `Target.ResponseCodeMismatch`: the pods answer, and the health check doesn't take the answer;
    /// say what it is to ask and to take in the annotations of the Ingress. `Target.Timeout`: nothing
    /// comes back, mostly for a security group. `Target.FailedHealthChecks`: nobody listens there.
    pub(crate) struct TargetHealthy;
    id: "aws-target-health",
    title: "The targets of the load balancer are healthy",
}

#[async_trait]
impl Check for TargetHealthy {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let groups = cx.get(FrontTargetGroups).await?;
        if groups.is_empty() {
            out.skip("no load balancer at the entrance has target groups");
        }
        for used in groups.iter() {
            let target_group = used.group.target_group_arn.clone();
            let health = cx.get(TargetsHealth { target_group }).await;
            let Some(health) = out.known(&used.group, health) else { continue };
            examine(cx, used, &health.target_health_descriptions, out).await;
        }
        Ok(())
    }
}

async fn examine(
    cx: &Cx,
    used: &FrontTargetGroup,
    all: &[TargetHealthDescription],
    out: &mut Findings,
) {
    let states = |target: &TargetHealthDescription| target.target_health.clone();
    let there: Vec<_> = all.iter().filter(|target| state(target) != "draining").collect();
    let healthy = there.iter().filter(|target| is_healthy(target)).count();
    let sick: Vec<_> = there.iter().filter(|target| !is_healthy(target)).copied().collect();
    let Some(first) = sick.iter().find_map(|target| states(target)) else {
        if healthy > 0 {
            out.ok(&used.group);
            return;
        }
        let finding = if used.is_vital() {
            out.symptom(&used.group, "has no target to send requests to")
        } else {
            out.warn(&used.group, "has no target to send requests to")
        };
        if let Some(service) = &used.service {
            finding.evidence("behind it", service_resource(service));
        }
        let (why, command) = show(cx, used).await;
        finding.fix(Risk::None, why, command);
        return;
    };
    if healthy == 0 && sick.iter().all(|target| state(target) == "initial") {
        out.warn(&used.group, "has targets that were not asked yet")
            .evidence("reason", &first.reason);
        return;
    }
    if healthy > 0 {
        examine_some(cx, used, &sick, there.len(), out).await;
        return;
    }
    report_all(cx, used, &first, there.len(), out).await;
}

fn state(target: &TargetHealthDescription) -> &str {
    target.target_health.as_ref().map_or("", |health| health.state.as_str())
}

/// `unavailable` is what isn't asked, as nobody wants it to be.
fn is_healthy(target: &TargetHealthDescription) -> bool {
    ["healthy", "unavailable", ""].contains(&state(target))
}

/// Some are healthy; the others get no requests.
async fn examine_some(
    cx: &Cx,
    used: &FrontTargetGroup,
    sick: &[&TargetHealthDescription],
    there: usize,
    out: &mut Findings,
) {
    // A Service may be such that only nodes with a pod of it answer, and then the others shall not.
    let with_pods = match &used.service {
        Some(service) if used.group.target_type == "instance" => machines_of(cx, service).await,
        _ => sick.iter().filter_map(|t| Some(t.target.as_ref()?.id.clone())).collect(),
    };
    let matters = |target: &&&TargetHealthDescription| {
        let id = target.target.as_ref().map(|target| &target.id);
        state(target) == "unhealthy" && id.is_some_and(|id| with_pods.contains(id))
    };
    let matter: Vec<_> = sick.iter().filter(matters).collect();
    let Some(health) = matter.first().and_then(|target| target.target_health.as_ref()) else {
        out.ok(&used.group);
        return;
    };
    let (why, command) = show(cx, used).await;
    out.warn(&used.group, format!("has {} of {there} targets that are not healthy", matter.len()))
        .evidence("reason", says(health))
        .fix(Risk::None, why, command);
}

/// `Target.Timeout: Request timed out`.
fn says(health: &TargetHealth) -> String {
    if health.description.is_empty() {
        return health.reason.clone();
    }
    format!("{}: {}", health.reason, &*health.description)
}

async fn report_all(
    cx: &Cx,
    used: &FrontTargetGroup,
    health: &TargetHealth,
    there: usize,
    out: &mut Findings,
) {
    let group = &used.group;
    let answer = answered(health);
    let is_taken_amiss = answer.is_some_and(|code| code < 500);
    let (why, command) = match (is_taken_amiss, answer) {
        (true, Some(code)) => mend(cx, used, code).await,
        _ => show(cx, used).await,
    };
    let none = format!("has no healthy target (0 of {there})");
    let finding = match answer {
        _ if !used.is_vital() => out.warn(group, none),
        Some(code) if is_taken_amiss => {
            let message =
                format!("has no healthy target: they answer {code}, which it doesn't take");
            out.fail(group, message).serving()
        }
        _ => out.symptom(group, none),
    };
    finding.evidence("reason", says(health));
    let asks = format!(
        "{} port {}, path {}",
        group.health_check_protocol, group.health_check_port, group.health_check_path
    );
    if !group.health_check_path.is_empty() {
        finding.evidence("it asks", asks);
    }
    if let Some(matcher) = group.matcher.as_ref().filter(|matcher| !matcher.http_code.is_empty()) {
        finding.evidence("and takes", &matcher.http_code);
    }
    if let Some(service) = &used.service {
        finding.evidence("behind it", service_resource(service));
    }
    finding.fix(Risk::None, why, command);
}

/// The status that targets answer and that isn't taken: `Health checks failed with these codes: [302]`.
fn answered(health: &TargetHealth) -> Option<u16> {
    if health.reason != "Target.ResponseCodeMismatch" {
        return None;
    }
    let (_, codes) = health.description.split_once('[')?;
    codes.split([',', ']']).next()?.trim().parse().ok()
}

async fn show(cx: &Cx, used: &FrontTargetGroup) -> (&'static str, String) {
    let region = cx.get(Scope).await.map(|scope| scope.region.clone()).unwrap_or_default();
    let arn = &used.group.target_group_arn;
    (
        "asks again",
        format!("aws elbv2 describe-target-health --region {region} --target-group-arn {arn}"),
    )
}

/// Has the health check take what the pods answer, or ask what they answer well.
async fn mend(cx: &Cx, used: &FrontTargetGroup, code: u16) -> (&'static str, String) {
    let ingresses = cx.get(AlbIngresses).await;
    let ours = ingresses.iter().flat_map(|all| all.iter()).find(|ingress| {
        let leads =
            |name: &str| used.service.as_ref().is_some_and(|service| service.metadata.name == name);
        ingress.backends().any(|backend| leads(&backend.service))
    });
    let Some(ingress) = ours else { return show(cx, used).await };
    let (namespace, name) = (ingress.metadata.namespace(), &ingress.metadata.name);
    let annotate = format!("kubectl annotate ingress {name} -n {namespace} --overwrite");
    let prefix = "alb.ingress.kubernetes.io";
    if (300..400).contains(&code) {
        let command = format!("{annotate} {prefix}/success-codes=200-399");
        return ("takes redirects, which are its answer without sign-in", command);
    }
    // Istio's gateway says on a port of its own how it goes.
    let status = used.service.iter().flat_map(|service| &service.spec.ports).find(|port| {
        port.name.as_deref() == Some("status-port") || [15020, 15021].contains(&port.port)
    });
    let port = status.and_then(|port| match used.group.target_type.as_str() {
        "ip" => match &port.target_port {
            Some(Port::Number(number)) => Some(*number),
            _ => Some(port.port),
        },
        _ => port.node_port,
    });
    match port {
        Some(port) => (
            "asks Istio's gateway how it goes",
            format!(
                "{annotate} {prefix}/healthcheck-port={port} \
                 {prefix}/healthcheck-path=/healthz/ready"
            ),
        ),
        None => (
            "has the health check ask a path that answers 200; put yours there",
            format!("{annotate} {prefix}/healthcheck-path=/PATH"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::TargetHealthy;
    use crate::testing::{Deployment, TARGETS};

    /// The targets are so.
    fn with(health: &[(&str, &str, &str)]) -> Deployment {
        let mut deployment = Deployment::healthy();
        let targets = health.iter().enumerate().map(|(at, (state, reason, description))| {
            json!({ "Target": { "Id": format!("i-{}", at + 1), "Port": 31380 },
                "TargetHealth": { "State": state, "Reason": reason, "Description": description } })
        });
        let targets: Vec<_> = targets.collect();
        *deployment.file("aws/elbv2/describe-target-health") =
            json!({ TARGETS: { "TargetHealthDescriptions": targets } });
        deployment
    }

    const TIMEOUT: (&str, &str, &str) = ("unhealthy", "Target.Timeout", "Request timed out");
    const HEALTHY: (&str, &str, &str) = ("healthy", "", "");

    fn mismatch(says: &str) -> Deployment {
        with(&[("unhealthy", "Target.ResponseCodeMismatch", says)])
    }

    #[tokio::test]
    async fn a_redirect_that_is_not_taken_is_the_health_checks_fault() {
        let deployment = mismatch("Health checks failed with these codes: [302]");
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-target-health
              target group k8s-gateway has no healthy target: they answer 302, which it
                doesn't take
                reason    Target.ResponseCodeMismatch: Health checks failed with these
                          codes: [302]
                it asks   HTTP port traffic-port, path /
                and takes 200-399
                behind it Service istio-system/istio-ingressgateway
                fix       takes redirects, which are its answer without sign-in
                          kubectl annotate ingress front -n istio-system \
                            --overwrite alb.ingress.kubernetes.io/success-codes=200-399
              kubectl kfcheck explain aws-target-health

            FAIL     aws-target-health
                     The targets of the load balancer are healthy
        "#]]
        .assert_eq(&deployment.report(&TargetHealthy).await);
    }

    #[tokio::test]
    async fn another_answer_is_asked_for_elsewhere() {
        let mut deployment = mismatch("Health checks failed with these codes: [404]");
        deployment.object("Service")["spec"]["ports"]
            .as_array_mut()
            .unwrap()
            .push(json!({ "name": "status-port", "port": 15021, "nodePort": 31021 }));
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-target-health
              target group k8s-gateway has no healthy target: they answer 404, which it
                doesn't take
                reason    Target.ResponseCodeMismatch: Health checks failed with these
                          codes: [404]
                it asks   HTTP port traffic-port, path /
                and takes 200-399
                behind it Service istio-system/istio-ingressgateway
                fix       asks Istio's gateway how it goes
                          kubectl annotate ingress front -n istio-system \
                            --overwrite alb.ingress.kubernetes.io/healthcheck-port=31021 alb.ingress.kubernetes.io/healthcheck-path=/healthz/ready
              kubectl kfcheck explain aws-target-health

            FAIL     aws-target-health
                     The targets of the load balancer are healthy
        "#]].assert_eq(&deployment.report(&TargetHealthy).await);
    }

    #[tokio::test]
    async fn what_fails_or_does_not_answer_is_a_symptom() {
        let deployment = with(&[TIMEOUT]);
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-target-health
              target group k8s-gateway has no healthy target (0 of 1)
                reason    Target.Timeout: Request timed out
                it asks   HTTP port traffic-port, path /
                and takes 200-399
                behind it Service istio-system/istio-ingressgateway
                fix       asks again
                          aws elbv2 describe-target-health --region us-west-2 \
                            --target-group-arn arn:aws:elasticloadbalancing:us-west-2:111122223333:targetgroup/k8s-gateway/73e2d6bc24d8a067
              kubectl kfcheck explain aws-target-health

            FAIL     aws-target-health
                     The targets of the load balancer are healthy
        "#]].assert_eq(&deployment.report(&TargetHealthy).await);
    }

    #[tokio::test]
    async fn nodes_without_a_pod_need_not_be_healthy() {
        let deployment = with(&[HEALTHY, TIMEOUT]);
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     aws-target-health
                     The targets of the load balancer are healthy
        "#]]
        .assert_eq(&deployment.report(&TargetHealthy).await);
    }

    #[tokio::test]
    async fn a_node_with_a_pod_should_be_healthy() {
        let deployment = with(&[TIMEOUT, HEALTHY]);
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            WARNING  aws-target-health
              target group k8s-gateway has 1 of 2 targets that are not healthy
                reason    Target.Timeout: Request timed out
                fix       asks again
                          aws elbv2 describe-target-health --region us-west-2 \
                            --target-group-arn arn:aws:elasticloadbalancing:us-west-2:111122223333:targetgroup/k8s-gateway/73e2d6bc24d8a067

            warn     aws-target-health
                     The targets of the load balancer are healthy
        "#]].assert_eq(&deployment.report(&TargetHealthy).await);
    }

    #[tokio::test]
    async fn without_targets_nobody_answers() {
        let deployment = with(&[]);
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-target-health
              target group k8s-gateway has no target to send requests to
                behind it Service istio-system/istio-ingressgateway
                fix       asks again
                          aws elbv2 describe-target-health --region us-west-2 \
                            --target-group-arn arn:aws:elasticloadbalancing:us-west-2:111122223333:targetgroup/k8s-gateway/73e2d6bc24d8a067
              kubectl kfcheck explain aws-target-health

            FAIL     aws-target-health
                     The targets of the load balancer are healthy
        "#]].assert_eq(&deployment.report(&TargetHealthy).await);
    }

    #[tokio::test]
    async fn without_their_health_it_is_open() {
        let mut deployment = Deployment::healthy();
        deployment.without("aws/elbv2/describe-target-health");
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 1 not seen.

            NOT SEEN, so a cause may hide there
              aws-target-health
                not collected:
                  arn:aws:elasticloadbalancing:us-west-2:111122223333:targetgroup/k8s-gateway/73e2d6bc24d8a067
                  in aws/elbv2/describe-target-health.json
                  aws elbv2 describe-target-health \
                    --target-group-arn arn:aws:elasticloadbalancing:us-west-2:111122223333:targetgroup/k8s-gateway/73e2d6bc24d8a067

            unknown  aws-target-health
                     The targets of the load balancer are healthy
                     (not collected:
                     arn:aws:elasticloadbalancing:us-west-2:111122223333:targetgroup/k8s-gateway/73e2d6bc24d8a067
                     in aws/elbv2/describe-target-health.json; `aws elbv2
                     describe-target-health --target-group-arn
                     arn:aws:elasticloadbalancing:us-west-2:111122223333:targetgroup/k8s-gateway/73e2d6bc24d8a067`
                     prints it (asking for aws.targetHealth
                     {"target_group":"arn:aws:elasticloadbalancing:us-west-2:111122223333:targetgroup/k8s-gateway/73e2d6bc24d8a067"}))
        "#]].assert_eq(&deployment.report(&TargetHealthy).await);
    }

    #[tokio::test]
    async fn healthy_ones_are_fine() {
        let deployment = Deployment::healthy();
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     aws-target-health
                     The targets of the load balancer are healthy
        "#]]
        .assert_eq(&deployment.report(&TargetHealthy).await);
    }

    #[tokio::test]
    async fn a_classic_one_has_none() {
        let deployment = Deployment::classic();
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            skip     aws-target-health
                     The targets of the load balancer are healthy
                     (no load balancer at the entrance has target groups)
        "#]]
        .assert_eq(&deployment.report(&TargetHealthy).await);
    }
}
