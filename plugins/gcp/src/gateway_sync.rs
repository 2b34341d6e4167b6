//! What Google's controller says of a Gateway and its routes.

use jiff::Timestamp;
use kfcheck::{Cx, FactError, Findings, Named, Now, Resource, Risk};
use kfcheck_kube::{ApiGateway, ApiRoute, Condition, Entrance, RoutedGateway, Thresholds};

use crate::{
    events::{Complaint, complaint},
    quota_resource,
};

/// How long the controller takes to look at something new, in minutes.
const PATIENCE: i64 = 10;

/// Reasons that say "not yet".
const WAITING: [&str; 2] = ["NotReconciled", "Pending"];

/// Says whether the controller could build what a Gateway asks for, and bind the routes to it.
/// `remedy` is what to do about a complaint in a namespace, or else to look again.
pub(crate) async fn examine_gateway(
    cx: &Cx,
    entrance: &Entrance,
    remedy: impl Fn(&Complaint, &str, String) -> (&'static str, String),
    out: &mut Findings,
) -> Result<(), FactError> {
    let Entrance::Gateway(RoutedGateway { gateway, routes }) = entrance else { return Ok(()) };
    let now = *cx.get(Now).await?;
    let said = match refusal(gateway) {
        Some(condition) => Some((condition.says(), condition.last_transition_time)),
        None if is_programmed(gateway) => None,
        // Before it is decided, there are events only.
        None => {
            let event = complaint(cx, &gateway.resource(), false, &[]).await;
            let Some(event) = out.known(&**gateway, event) else { return Ok(()) };
            if event.is_none() && !is_new(cx, gateway.metadata.creation_timestamp, now) {
                out.unbuilt(&**gateway, "was not taken up by any controller")
                    .evidence("class", &gateway.spec.gateway_class_name)
                    .fix(Risk::None, "shows what is known of it", entrance.describe());
            }
            event.map(|event| (format!("{}: {}", event.reason, event.message), event.last_seen()))
        }
    };
    match said {
        Some((says, since)) => {
            let describe = entrance.describe();
            report(&gateway.resource(), "can't be synced", (&says, since), describe, &remedy, out);
        }
        None if is_programmed(gateway) => out.ok(&**gateway),
        None => (),
    }
    for route in routes {
        let is_new = is_new(cx, route.metadata.creation_timestamp, now);
        examine_route(route, gateway, is_new, &remedy, out);
    }
    Ok(())
}

fn examine_route(
    route: &ApiRoute,
    gateway: &ApiGateway,
    is_new: bool,
    remedy: &impl Fn(&Complaint, &str, String) -> (&'static str, String),
    out: &mut Findings,
) {
    let conditions: Vec<_> = route.came_of(gateway).collect();
    let (namespace, name) = (route.metadata.namespace(), &route.metadata.name);
    let describe = format!("kubectl describe httproute -n {namespace} {name}");
    if let Some(bad) = worst(conditions.iter().copied()) {
        let message = match bad.kind.as_str() {
            "Accepted" => "is not accepted",
            "ResolvedRefs" => "names what can't be found",
            _ => "can't be synced",
        };
        let since = bad.last_transition_time;
        report(&route.resource(), message, (&bad.says(), since), describe, remedy, out);
    } else if conditions.iter().any(|c| c.kind == "Accepted" && c.status == "True") {
        out.ok(route);
    } else if is_programmed(gateway) && !is_new {
        out.fail(route, format!("is not bound to Gateway {}", gateway.metadata.name))
            .evidence("because", "the Gateway is programmed, and its controller says nothing of it")
            .fix(
                Risk::None,
                "shows which routes the Gateway's listeners allow",
                format!(
                    "kubectl get gateways.gateway.networking.k8s.io -n {} {} -o yaml",
                    gateway.metadata.namespace(),
                    gateway.metadata.name
                ),
            )
            .fix(Risk::None, "shows what is known of the route", describe);
    }
}

fn report(
    subject: &Resource,
    message: &str,
    (says, since): (&str, Option<Timestamp>),
    describe: String,
    remedy: &impl Fn(&Complaint, &str, String) -> (&'static str, String),
    out: &mut Findings,
) {
    let about = Complaint::of(says);
    let finding = out.fail(subject, format!("{message}{}", about.clause()));
    finding.evidence("says", says);
    if let Some(since) = since {
        finding.evidence("since", since);
    }
    let namespace = subject.namespace.as_deref().unwrap_or_default();
    let (why, command) = remedy(&about, namespace, describe);
    finding.fix(Risk::None, why, command);
    if matches!(about, Complaint::Address(_)) {
        finding.hearsay();
    }
    if let Complaint::Quota(metric, region) = &about {
        out.built_from(subject, quota_resource(metric, region.as_deref()));
    }
}

/// Whether the load balancer is as the Gateway asks. Before it was called so, it was called ready.
fn is_programmed(gateway: &ApiGateway) -> bool {
    let is = |kind| gateway.condition(kind).map(|condition| condition.status == "True");
    is("Programmed").or(is("Ready")).unwrap_or(false)
}

/// Why a Gateway is not built, as its controller says it.
fn refusal(gateway: &ApiGateway) -> Option<&Condition> {
    let of_listeners = gateway.status.listeners.iter().flat_map(|listener| &listener.conditions);
    worst(gateway.status.conditions.iter().chain(of_listeners))
}

/// The one that says most of what is wrong, of those aspects that are in the way.
fn worst<'a>(conditions: impl Iterator<Item = &'a Condition> + Clone) -> Option<&'a Condition> {
    let kinds = ["Accepted", "ResolvedRefs", "Programmed", "ReconciliationSucceeded"];
    let bad = conditions.filter(|c| {
        kinds.contains(&c.kind.as_str())
            && c.status == "False"
            && !WAITING.contains(&c.reason.as_deref().unwrap_or_default())
    });
    let clear = |c: &&Condition| Complaint::of(&c.says()) != Complaint::Other;
    let speaks = |c: &&Condition| c.message.as_ref().is_some_and(|message| !message.is_empty());
    bad.clone().find(clear).or_else(|| bad.clone().find(speaks)).or_else(|| bad.clone().next())
}

fn is_new(cx: &Cx, since: Option<Timestamp>, now: Timestamp) -> bool {
    let minutes = cx.setting::<Thresholds>().load_balancer_minutes(PATIENCE);
    kfcheck_kube::is_new(since, minutes, now)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use crate::{checks::ingress_sync::IngressSync, testing::Deployment};

    #[tokio::test]
    async fn a_gateway_that_is_programmed_is_fine_whatever_was_said_before() {
        let mut deployment = Deployment::behind_gateway();
        deployment.add(json!({ "apiVersion": "v1", "kind": "Event",
            "metadata": { "namespace": "istio-system", "name": "front.1" },
            "involvedObject": { "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
                "namespace": "istio-system", "name": "front" },
            "type": "Warning", "reason": "SYNC", "message": "is not ready",
            "source": { "component": "sc-gateway-controller" },
            "lastTimestamp": "2026-11-21T11:58:00Z" }));
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     gcp-ingress-sync
                     Google's controllers can build what an Ingress or Gateway asks for
        "#]]
        .assert_eq(&deployment.report(&IngressSync).await);
    }

    #[tokio::test]
    async fn a_route_that_no_listener_takes_is_not_bound() {
        let mut deployment = Deployment::behind_gateway();
        deployment.object("HTTPRoute")["status"] = json!({ "parents": [] });
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-ingress-sync
              HTTPRoute istio-system/front is not bound to Gateway front
                because   the Gateway is programmed, and its controller says nothing of it
                fix       shows which routes the Gateway's listeners allow
                          kubectl get gateways.gateway.networking.k8s.io \
                            -n istio-system front -o yaml
                fix       shows what is known of the route
                          kubectl describe httproute -n istio-system front
              kubectl kfcheck explain gcp-ingress-sync

            FAIL     gcp-ingress-sync
                     Google's controllers can build what an Ingress or Gateway asks for
        "#]]
        .assert_eq(&deployment.report(&IngressSync).await);
    }

    #[tokio::test]
    async fn a_route_that_is_refused_explains_its_gateway() {
        let mut deployment = Deployment::behind_gateway();
        let says = "Error GWCER104: HTTPRoute \"istio-system/front\" is misconfigured, err: \
                    Timeouts are not supported.";
        let refused = |kind: &str| json!([{ "type": kind, "status": "False", "reason": "Invalid", "message": says }]);
        deployment.object("HTTPRoute")["status"]["parents"][0]["conditions"] =
            refused("ReconciliationSucceeded");
        deployment.object("Gateway")["status"]["conditions"] = refused("Programmed");
        expect![[r#"
            kf.example.com is down. 1 root cause, 1 symptom; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-ingress-sync
              HTTPRoute istio-system/front can't be synced
                says      Invalid: Error GWCER104: HTTPRoute "istio-system/front" is
                          misconfigured, err: Timeouts are not supported.
                fix       shows whether it is still so
                          kubectl describe httproute -n istio-system front
                explains  ApiGateway istio-system/front can't be synced
              kubectl kfcheck explain gcp-ingress-sync

            FAIL     gcp-ingress-sync
                     Google's controllers can build what an Ingress or Gateway asks for
        "#]]
        .assert_eq(&deployment.report(&IngressSync).await);
    }

    #[tokio::test]
    async fn before_it_is_decided_the_events_count() {
        let mut deployment = Deployment::behind_gateway();
        deployment.object("Gateway")["status"] = json!({ "conditions": [
            { "type": "Programmed", "status": "False", "reason": "Pending" }] });
        let nobody = deployment.report(&IngressSync).await;
        assert!(nobody.contains("was not taken up by any controller"), "{nobody}");
        deployment.add(json!({ "apiVersion": "v1", "kind": "Event",
            "metadata": { "namespace": "istio-system", "name": "front.1" },
            "involvedObject": { "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
                "namespace": "istio-system", "name": "front" },
            "type": "Warning", "reason": "Other", "message": "about Istio's",
            "lastTimestamp": "2026-11-21T11:59:00Z" }));
        deployment.add(json!({ "apiVersion": "v1", "kind": "Event",
            "metadata": { "namespace": "istio-system", "name": "front.2" },
            "involvedObject": { "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
                "namespace": "istio-system", "name": "front" },
            "type": "Warning", "reason": "SYNC",
            "message": "error ensuring load balancer: Insert: Quota 'BACKEND_SERVICES' exceeded.",
            "source": { "component": "sc-gateway-controller" },
            "lastTimestamp": "2026-11-21T11:58:00Z" }));
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-ingress-sync
              ApiGateway istio-system/front can't be synced: quota BACKEND_SERVICES is used
                up
                says      SYNC: error ensuring load balancer: Insert: Quota
                          'BACKEND_SERVICES' exceeded.
                since     2026-11-21T11:58:00Z
                fix       shows the quotas; ask for more of the one that is used up
                          gcloud compute project-info describe
              kubectl kfcheck explain gcp-ingress-sync

            FAIL     gcp-ingress-sync
                     Google's controllers can build what an Ingress or Gateway asks for
        "#]]
        .assert_eq(&deployment.report(&IngressSync).await);
    }
}
