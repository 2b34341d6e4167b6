use std::collections::BTreeSet;

use jiff::{Timestamp, ToSpan};
use kfcheck::{Check, Cx, FactError, Findings, Now, Resource, Risk, async_trait, check};

use crate::{
    MutatingWebhook, Pod, Service, ServiceEndpoints, ValidatingWebhook, Webhook,
    WebhookConfiguration, WebhookService, all, find, pem, within,
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
        let (validating, mutating) = futures::future::join(
            cx.get(all::<ValidatingWebhook>()),
            cx.get(all::<MutatingWebhook>()),
        )
        .await;
        let mut configurations: Vec<(Resource, &WebhookConfiguration)> = Vec::new();
        let validating = validating.map_err(|error| out.unseen(error)).unwrap_or_default();
        let mutating = mutating.map_err(|error| out.unseen(error)).unwrap_or_default();
        configurations.extend(validating.iter().map(|w| (Resource::from(&**w), &w.0)));
        configurations.extend(mutating.iter().map(|w| (Resource::from(&**w), &w.0)));
        for (subject, configuration) in configurations {
            examine(cx, &subject, configuration, out).await?;
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
    let Some(bundle) = webhook.client_config.ca_bundle.as_deref().filter(|b| !b.is_empty()) else {
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
