use kfcheck::{Check, Cx, FactError, Findings, Risk, async_trait, check};
use kfcheck_kube::{FrontServices, Service, within};

use crate::{GoogleEntrances, NegAnnotation, NegStatus, ServiceNetworkEndpointGroup};

check! {
    /// ## What it checks
    /// For every Service at the front door that asks for network endpoint groups, that the
    /// controller wrote down which ones it made, and that each is initialized and in sync.
    ///
    /// ## Why it matters
    /// Without its group the load balancer has nowhere to send requests to; one that is not in sync
    /// sends them to pods that are gone.
    ///
    /// ## How to fix it
    /// The condition's message and the Service's events say what holds the controller. It takes
    /// pods that run, a VPC-native cluster, and the HTTP load balancing add-on.
    pub(crate) struct NegReady;
    id: "gcp-neg-status",
    title: "Network endpoint groups are made and in sync",
}

#[async_trait]
impl Check for NegReady {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        if cx.get(GoogleEntrances).await?.is_empty() {
            return Ok(());
        }
        for service in cx.get(FrontServices).await?.iter() {
            let asks = NegAnnotation::of(service).and_then(Result::ok).is_some_and(|a| a.asks());
            if !asks {
                continue;
            }
            let namespace = service.metadata.namespace();
            let show = format!("kubectl describe service -n {namespace} {}", service.metadata.name);
            match NegStatus::of(service) {
                None => {
                    out.unbuilt(&**service, "has no network endpoint group yet").fix(
                        Risk::None,
                        "shows what the controller says",
                        show,
                    );
                }
                Some(Err(error)) => {
                    out.fail(&**service, "has a neg-status annotation that can't be read")
                        .evidence("because", error);
                }
                Some(Ok(status)) if status.network_endpoint_groups.is_empty() => {
                    out.unbuilt(&**service, "has no network endpoint group yet").fix(
                        Risk::None,
                        "shows what the controller says",
                        show,
                    );
                }
                Some(Ok(status)) => examine(cx, service, &status, out).await,
            }
        }
        Ok(())
    }
}

async fn examine(cx: &Cx, service: &Service, status: &NegStatus, out: &mut Findings) {
    let objects = cx.get(within::<ServiceNetworkEndpointGroup>(service.metadata.namespace())).await;
    let Some(objects) = out.known(service, objects) else { return };
    for name in status.network_endpoint_groups.values() {
        let Some(object) = objects.iter().find(|object| object.metadata.name == *name) else {
            out.unbuilt(
                service,
                format!("names network endpoint group {name}, which is not there"),
            );
            continue;
        };
        let conditions = object.status.conditions.iter();
        let mut known = conditions.filter(|c| ["Initialized", "Synced"].contains(&c.kind.as_str()));
        if known.clone().next().is_none() {
            out.unbuilt(&**object, "has no conditions yet: nobody works on it");
            continue;
        }
        match known.find(|condition| condition.status != "True") {
            Some(condition) => {
                out.depends(service, &**object);
                out.unbuilt(&**object, format!("is not {}", condition.kind.to_lowercase()))
                    .evidence("because", condition.says());
            }
            None => out.ok(&**object),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::NegReady;
    use crate::testing::Deployment;

    /// A Service that asks for a group; the controller noted one, `neg`, whose object says so.
    fn synced(status: &str) -> Deployment {
        let mut deployment = Deployment::healthy();
        deployment.object("Service")["metadata"]["annotations"] = json!({
            "cloud.google.com/neg": r#"{"ingress": true}"#,
            "cloud.google.com/neg-status":
                r#"{"network_endpoint_groups": {"80": "neg"}, "zones": ["y", "z"]}"# });
        deployment.add(json!({ "apiVersion": "networking.gke.io/v1beta1",
            "kind": "ServiceNetworkEndpointGroup",
            "metadata": { "namespace": "istio-system", "name": "neg" },
            "status": { "conditions": [
                { "type": "Initialized", "status": "True" },
                { "type": "Synced", "status": status, "reason": "NegSyncFailed",
                    "message": "quota exceeded" }] } }));
        deployment
    }

    #[tokio::test]
    async fn one_group_on_several_zones_is_one_that_is_in_sync() {
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     gcp-neg-status
                     Network endpoint groups are made and in sync
        "#]]
        .assert_eq(&synced("True").report(&NegReady).await);
    }

    #[tokio::test]
    async fn a_service_that_asks_for_none_needs_none() {
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            skip     gcp-neg-status
                     Network endpoint groups are made and in sync
                     (there is nothing of the kind here)
        "#]]
        .assert_eq(&Deployment::healthy().report(&NegReady).await);
    }

    #[tokio::test]
    async fn one_that_is_out_of_sync_says_why() {
        let mut deployment = synced("False");
        deployment.unhealthy();
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-neg-status
              ServiceNetworkEndpointGroup istio-system/neg is not synced
                because   NegSyncFailed: quota exceeded
              kubectl kfcheck explain gcp-neg-status

            FAIL     gcp-neg-status
                     Network endpoint groups are made and in sync
        "#]]
        .assert_eq(&deployment.report(&NegReady).await);
    }
}
