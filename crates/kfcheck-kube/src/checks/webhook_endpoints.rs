use std::collections::BTreeSet;

use jiff::{Timestamp, ToSpan};
use kfcheck::{Check, Cx, FactError, Findings, Now, Resource, Risk, async_trait, check};

use crate::{
    Pod, Service, ServiceEndpoints, Webhook, WebhookConfiguration, WebhookService, Webhooks, find,
    pem, within,
};

check! {
    /// ## What it checks
    /// For every validating and mutating webhook that the API server asks inside the cluster and
    /// can't do without (`failurePolicy: Fail`), that its Service exists and has a ready endpoint;
    /// and that the certificate it is trusted by is there and good.
    ///
    /// ## Why it matters
    /// The API server refuses every object that such a webhook is for, so nothing can be mended
    /// either: pods don't come back, and `kubectl apply` ends with a timeout.
    ///
    /// ## How to fix it
    /// Bring the webhook's pods back. Where the component is gone for good, its configuration has
    /// to go, too; that is yours to decide.
    pub(crate) struct WebhookEndpoints;
    id: "kube-webhook-endpoints",
    title: "Every webhook that can refuse an object answers",
}

#[async_trait]
impl Check for WebhookEndpoints {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let webhooks = cx.get(Webhooks).await?;
        for (subject, configuration) in webhooks.seen(out) {
            examine(cx, subject, configuration, out).await?;
        }
        Ok(())
    }
}

async fn examine(
    cx: &Cx,
    subject: &Resource,
    configuration: &WebhookConfiguration,
    out: &mut Findings,
) -> Result<(), FactError> {
    let mut asked: BTreeSet<(&str, &str)> = BTreeSet::new();
    let mut healthy = false;
    for webhook in configuration.webhooks.iter().filter(|webhook| webhook.refuses()) {
        let Some(WebhookService { namespace, name, .. }) = &webhook.client_config.service else {
            continue;
        };
        if !asked.insert((namespace, name)) {
            continue;
        }
        let service = find::<Service>(cx, namespace, name).await;
        let Some(service) = out.known(subject, service) else { continue };
        let Some(service) = service else {
            out.fail(subject, format!("asks Service {namespace}/{name}, which does not exist"))
                .evidence("webhook", &webhook.name)
                .fix(
                    Risk::None,
                    "shows what it refuses meanwhile",
                    format!("kubectl get {} {} -o yaml", subject.kind.to_lowercase(), subject.name),
                );
            continue;
        };
        let endpoints = cx.get(ServiceEndpoints::of(&service)).await;
        let Some(endpoints) = out.known(subject, endpoints) else { continue };
        out.depends(subject, &*service);
        if endpoints.iter().any(|endpoint| endpoint.ready) {
            warn_of_bundle(cx, subject, webhook, out).await?;
            healthy = true;
            continue;
        }
        // Without the pods it is a root cause of its own.
        let pods = cx.get(within::<Pod>(namespace)).await;
        for pod in pods.iter().flat_map(|pods| pods.iter()).filter(|pod| service.selects(pod)) {
            out.depends(&*service, pod.workload());
        }
        out.symptom(
            subject,
            format!("asks Service {namespace}/{name}, which has no ready endpoint"),
        )
        .evidence("webhook", &webhook.name)
        .fix(
            Risk::None,
            "shows the pods that should answer",
            format!("kubectl get pods -n {namespace} -l {}", service.selector()),
        );
    }
    if healthy {
        out.ok(subject);
    }
    Ok(())
}

async fn warn_of_bundle(
    cx: &Cx,
    subject: &Resource,
    webhook: &Webhook,
    out: &mut Findings,
) -> Result<(), FactError> {
    let Some(bundle) = webhook.client_config.ca_bundle.as_deref().filter(|b| !pem::is_blank(b))
    else {
        out.warn(subject, format!("has no caBundle for {}", webhook.name));
        return Ok(());
    };
    // One that was cut out of the bundle, or is of a sort not known here, says nothing.
    let Some(expiry) = pem::last_expiry(bundle) else { return Ok(()) };
    let now = cx.get(Now).await?;
    let words = match expiry {
        expiry if expiry <= *now => "ended",
        expiry if expiry <= soon(*now) => "ends",
        _ => return Ok(()),
    };
    out.warn(subject, format!("trusts a certificate for {} that {words} {expiry}", webhook.name));
    Ok(())
}

fn soon(now: Timestamp) -> Timestamp {
    now.checked_add((21 * 24).hours()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::WebhookEndpoints;
    use crate::testing::report;

    /// A webhook that says this about failures.
    async fn with(policy: Value, objects: &[Value]) -> String {
        let service = json!({ "namespace": "kubeflow", "name": "admission" });
        let kind = "MutatingWebhookConfiguration";
        let webhook = json!({ "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind, "metadata": { "name": "poddefaults" }, "webhooks": [
                { "name": "poddefaults.kubeflow.org", "failurePolicy": policy,
                  "clientConfig": { "service": service, "caBundle": "LS0t" } }] });
        let name = "validatingwebhookconfigurations.admissionregistration.k8s.io";
        let none = [name, "ingresses.networking.k8s.io", "services"];
        let none = none.map(|name| format!("kubernetes/{name}.json"));
        let files = none.each_ref().map(|name| (&**name, json!({ "items": [] })));
        report(&WebhookEndpoints, &[objects, &[webhook]].concat(), &files).await
    }

    fn behind() -> [Value; 2] {
        let service = json!({ "apiVersion": "v1", "kind": "Service",
            "metadata": { "namespace": "kubeflow", "name": "admission" },
            "spec": { "selector": { "app": "a" }, "ports": [{ "port": 443 }] } });
        let pod = json!({ "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": "kubeflow", "name": "a", "labels": { "app": "a" } },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }] } });
        [service, pod]
    }

    #[tokio::test]
    async fn one_that_may_fail_refuses_nothing() {
        expect![[r#"
            No entrance to a deployment was found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            skip     kube-webhook-endpoints
                     Every webhook that can refuse an object answers
                     (there is nothing of the kind here)
        "#]]
        .assert_eq(&with(json!("Ignore"), &[]).await);
    }

    #[tokio::test]
    async fn one_whose_service_has_a_ready_pod_answers() {
        expect![[r#"
            No entrance to a deployment was found. 0 root causes, 0 symptoms; 1 check
            passed, 0 not seen.

            pass     kube-webhook-endpoints
                     Every webhook that can refuse an object answers
        "#]]
        .assert_eq(&with(json!("Fail"), &behind()).await);
    }

    #[tokio::test]
    async fn one_that_says_nothing_about_failures_refuses() {
        expect![[r#"
            Something is broken; no entrance to a deployment was found. 1 root cause, 0
            symptoms; 0 checks passed, 0 not seen.

            BROKEN  kube-webhook-endpoints
              MutatingWebhookConfiguration poddefaults asks Service kubeflow/admission,
                which does not exist
                webhook   poddefaults.kubeflow.org
                fix       shows what it refuses meanwhile
                          kubectl get mutatingwebhookconfiguration poddefaults -o yaml
              kubectl kfcheck explain kube-webhook-endpoints

            FAIL     kube-webhook-endpoints
                     Every webhook that can refuse an object answers
        "#]]
        .assert_eq(&with(Value::Null, &[]).await);
    }
}
