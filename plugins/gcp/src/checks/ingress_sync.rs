use kfcheck::{Check, Cx, FactError, Findings, Named, Risk, async_trait, check};
use kfcheck_kube::{Entrance, FrontServices, Service};

use crate::{
    GoogleEntrances,
    events::{Complaint, complaint},
    gateway_sync::examine_gateway,
    quota_resource,
};

check! {
    /// ## What it checks
    /// The warnings of Google's controllers about every Ingress that leads to Kubeflow and about
    /// the Services behind it. One that a later success has answered doesn't count. Of a Gateway of
    /// the Gateway API and its HTTPRoutes, what their conditions say.
    ///
    /// ## Why it matters
    /// A controller that can't make sense of an Ingress leaves the load balancer as it is: unbuilt,
    /// or as it was before the last change.
    ///
    /// ## How to fix it
    /// Mend what the message names; the controller tries again by itself within minutes.
    pub(crate) struct IngressSync;
    id: "gcp-ingress-sync",
    title: "Google's controllers can build what an Ingress or Gateway asks for",
}

#[async_trait]
impl Check for IngressSync {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let entrances = cx.get(GoogleEntrances).await?;
        for entrance in entrances.iter() {
            let Entrance::Ingress(ingress) = entrance else {
                examine_gateway(cx, entrance, remedy, out).await?;
                continue;
            };
            let is_up = ingress.addresses().next().is_some();
            let said = complaint(cx, &ingress.resource(), is_up, &[]).await;
            let Some(said) = out.known(&**ingress, said) else { continue };
            let Some(event) = said else {
                out.ok(&**ingress);
                continue;
            };
            let about = Complaint::of(&event.message);
            let finding = out.fail(&**ingress, format!("can't be synced{}", about.clause()));
            finding.evidence("says", format!("{}: {}", event.reason, event.message));
            if let Some(last) = event.last_seen() {
                finding.evidence("last", last);
            }
            let namespace = ingress.metadata.namespace();
            let (why, command) = remedy(&about, namespace, entrance.describe());
            finding.fix(Risk::None, why, command);
            if matches!(about, Complaint::Address(_)) {
                finding.hearsay();
            }
            if let Complaint::Quota(metric, region) = &about {
                out.built_from(&**ingress, quota_resource(metric, region.as_deref()));
            }
        }
        if entrances.is_empty() {
            return Ok(());
        }
        for service in cx.get(FrontServices).await?.iter() {
            let reasons = ["ProcessServiceFailed", "SyncNetworkEndpointGroupFailed", "Sync"];
            let said = complaint(cx, &service.resource(), true, &reasons).await;
            let Some(said) = out.known(&**service, said) else { continue };
            match said {
                Some(event) => report_service(service, &event.reason, &event.message, out),
                None => out.ok(&**service),
            }
        }
        Ok(())
    }
}

fn report_service(service: &Service, reason: &str, message: &str, out: &mut Findings) {
    let (namespace, name) = (service.metadata.namespace(), &service.metadata.name);
    out.fail(service, "can't be given its network endpoint groups")
        .evidence("says", format!("{reason}: {message}"))
        .fix(
            Risk::None,
            "shows what the controller says",
            format!("kubectl describe service -n {namespace} {name}"),
        );
}

fn remedy(about: &Complaint, namespace: &str, describe: String) -> (&'static str, String) {
    match about {
        Complaint::Quota(_, region) => (
            "shows the quotas; ask for more of the one that is used up",
            match region {
                Some(region) => format!("gcloud compute regions describe {region}"),
                None => "gcloud compute project-info describe".to_owned(),
            },
        ),
        Complaint::BackendConfig => (
            "shows the BackendConfigs that there are",
            format!("kubectl get backendconfigs.cloud.google.com -n {namespace}"),
        ),
        Complaint::Service(_) | Complaint::Port(_) => (
            "shows the Services that there are, and their ports",
            format!("kubectl get services -n {namespace}"),
        ),
        Complaint::Secret(_) => {
            ("shows the Secrets that there are", format!("kubectl get secrets -n {namespace}"))
        }
        Complaint::Address(_) => {
            ("shows the addresses that there are", "gcloud compute addresses list".into())
        }
        _ => ("shows whether it is still so", describe),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::IngressSync;
    use crate::testing::Deployment;

    const QUOTA: &str = "googleapi: Error 403: Quota 'BACKEND_SERVICES' exceeded. Limit: 5.0 \
                         globally., quotaExceeded";

    /// The controller said this about the Ingress, at these times.
    fn said(events: &[(&str, &str, &str, &str)]) -> Deployment {
        let mut deployment = Deployment::healthy();
        for (time, kind, reason, message) in events {
            deployment.add(json!({ "apiVersion": "v1", "kind": "Event",
                "metadata": { "namespace": "istio-system", "name": format!("front.{time}") },
                "involvedObject": { "kind": "Ingress", "namespace": "istio-system",
                    "name": "front" },
                "type": kind, "reason": reason, "message": message,
                "lastTimestamp": format!("2026-11-21T{time}:00Z") }));
        }
        deployment
    }

    #[tokio::test]
    async fn a_later_success_or_half_an_hour_of_silence_answers_an_error() {
        let events =
            [("11:50", "Warning", "Sync", QUOTA), ("11:55", "Normal", "Sync", "UrlMap updated")];
        let report = said(&events).report(&IngressSync).await;
        let silence = [("11:20", "Warning", "Sync", QUOTA)];
        assert_eq!(report, said(&silence).report(&IngressSync).await);
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     gcp-ingress-sync
                     Google's controllers can build what an Ingress or Gateway asks for
        "#]]
        .assert_eq(&report);
    }

    #[tokio::test]
    async fn a_promise_answers_nothing() {
        let events = [
            ("11:50", "Warning", "Sync", QUOTA),
            ("11:55", "Normal", "Sync", "Scheduled for sync"),
        ];
        let mut deployment = said(&events);
        deployment.object("Ingress")["status"] = json!({});
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-ingress-sync
              Ingress istio-system/front can't be synced: quota BACKEND_SERVICES is used up
                says      Sync: googleapi: Error 403: Quota 'BACKEND_SERVICES' exceeded.
                          Limit: 5.0 globally., quotaExceeded
                last      2026-11-21T11:50:00Z
                fix       shows the quotas; ask for more of the one that is used up
                          gcloud compute project-info describe
              kubectl kfcheck explain gcp-ingress-sync

            FAIL     gcp-ingress-sync
                     Google's controllers can build what an Ingress or Gateway asks for
        "#]]
        .assert_eq(&deployment.report(&IngressSync).await);
    }
}
