use std::{collections::BTreeSet, sync::Arc};

use kfcheck::{Check, Cx, FactError, Findings, Resource, Risk, async_trait, check};
use kfcheck_kube::{ContainerLog, Deployment, Pod, StatefulSet, Workload, within};

use crate::GoogleEntrances;

check! {
    /// ## What it checks
    /// Kubeflow's own helpers for Identity-Aware Proxy, where they are installed: `backend-updater`
    /// (writes the health check and the audience), `iap-enabler` (the same, older) and
    /// `cloud-endpoints-controller` (keeps the DNS name): that each has a ready pod, and what it
    /// last complained of.
    ///
    /// ## Why it matters
    /// They mend what the Ingress controller leaves at its defaults. Without them a backend service
    /// that is made anew gets the wrong health check and no audience.
    ///
    /// ## How to fix it
    /// Bring them up, and mend what their log names; most often their service account lacks a role.
    pub(crate) struct IapPods;
    id: "gcp-iap-pods",
    title: "Kubeflow's helpers for the load balancer run",
}

/// What they are called; a kustomization may have put a prefix before it.
const HELPERS: [&str; 4] =
    ["backend-updater", "iap-enabler", "cloud-endpoints-controller", "cloud-endpoints-enabler"];

#[async_trait]
impl Check for IapPods {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let entrances = cx.get(GoogleEntrances).await?;
        if entrances.is_empty() {
            return Ok(());
        }
        let mut namespaces: BTreeSet<&str> =
            entrances.iter().map(|entrance| entrance.metadata().namespace()).collect();
        namespaces.insert("kubeflow");
        for namespace in namespaces {
            let mut helpers: Vec<(Resource, Workload)> = Vec::new();
            match cx.get(within::<Deployment>(namespace)).await {
                Ok(all) => helpers.extend(all.iter().map(|d| ((&**d).into(), d.0.clone()))),
                Err(error) => out.unseen(error),
            }
            // A cluster without any has nobody to collect them.
            let sets = cx.get(within::<StatefulSet>(namespace)).await;
            let sets = sets.iter().flat_map(|all| all.iter());
            helpers.extend(sets.map(|set| ((&**set).into(), set.0.clone())));
            helpers
                .retain(|(resource, _)| HELPERS.iter().any(|name| resource.name.ends_with(name)));
            if helpers.is_empty() {
                continue;
            }
            let pods = cx.get(within::<Pod>(namespace)).await?;
            for (resource, workload) in helpers {
                examine(cx, &resource, &workload, &pods, out).await;
            }
        }
        Ok(())
    }
}

async fn examine(
    cx: &Cx,
    subject: &Resource,
    workload: &Workload,
    pods: &[Arc<Pod>],
    out: &mut Findings,
) {
    let namespace = subject.namespace.as_deref().unwrap_or("default");
    let (kind, name) = (subject.kind.to_lowercase(), &subject.name);
    if workload.replicas() == 0 {
        out.warn(subject, "is scaled to 0, so nothing mends the load balancer's settings").fix(
            Risk::None,
            "starts it",
            format!("kubectl scale {kind} {name} -n {namespace} --replicas=1"),
        );
        return;
    }
    let ours: Vec<_> =
        pods.iter().filter(|pod| pod.workload() == *subject && !pod.is_over()).collect();
    let complaint = last_complaint(cx, &ours).await;
    if ours.iter().any(|pod| pod.is_ready()) {
        match complaint {
            Some(line) => drop(out.warn(subject, "runs and complains").evidence("log", line)),
            None => out.ok(subject),
        }
        return;
    }
    let finding = out.fail(subject, "has no ready pod").serving();
    let statuses = ours.iter().flat_map(|pod| pod.statuses());
    let waiting = statuses.filter_map(|status| status.state.waiting.as_ref());
    for stopped in waiting.take(1) {
        finding.evidence("because", stopped.says());
    }
    if let Some(line) = complaint {
        finding.evidence("log", line);
    }
    finding.fix(
        Risk::None,
        "shows what the cluster says of it",
        format!("kubectl describe {kind} -n {namespace} {name}"),
    );
}

/// What the newest lines of a pod's log complain of; nothing where there is no log.
async fn last_complaint(cx: &Cx, pods: &[&Arc<Pod>]) -> Option<String> {
    let pod = pods.first()?;
    let container = pod.spec.containers.first()?.name.clone();
    let namespace = pod.metadata.namespace().to_owned();
    let log = cx.get(ContainerLog { namespace, pod: pod.metadata.name.clone(), container }).await;
    let log = log.ok()?;
    let line = log.last_error()?;
    let newest: Vec<_> = log.lines().rev().take(5).collect();
    newest.contains(&line).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::IapPods;
    use crate::testing::Deployment;

    /// A `backend-updater` of so many replicas, with one pod.
    fn with_updater(replicas: u32, pod_status: &serde_json::Value) -> Deployment {
        let mut deployment = Deployment::healthy();
        let labels = json!({ "app": "updater" });
        deployment.add(json!({ "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": { "namespace": "istio-system", "name": "backend-updater" },
            "spec": { "replicas": replicas, "template": { "metadata": { "labels": labels } } } }));
        deployment.add(json!({ "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": "istio-system", "name": "backend-updater-0",
                "ownerReferences": [{ "kind": "StatefulSet", "name": "backend-updater" }] },
            "spec": { "containers": [{ "name": "updater", "image": "updater:1" }] },
            "status": pod_status }));
        deployment
    }

    #[tokio::test]
    async fn where_none_is_installed_none_is_missed() {
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            skip     gcp-iap-pods
                     Kubeflow's helpers for the load balancer run
                     (there is nothing of the kind here)
        "#]]
        .assert_eq(&Deployment::healthy().report(&IapPods).await);
    }

    #[tokio::test]
    async fn one_that_is_ready_is_fine_without_its_log() {
        let ready = json!({ "phase": "Running",
            "conditions": [{ "type": "Ready", "status": "True" }] });
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     gcp-iap-pods
                     Kubeflow's helpers for the load balancer run
        "#]]
        .assert_eq(&with_updater(1, &ready).report(&IapPods).await);
    }

    #[tokio::test]
    async fn one_that_cannot_start_is_said_with_the_reason() {
        let stuck = json!({ "phase": "Pending", "containerStatuses": [{ "name": "updater",
            "state": { "waiting": { "reason": "ImagePullBackOff",
                "message": "Back-off pulling image \"updater:1\"" } } }] });
        expect![[r#"
            kf.example.com: nothing broken on the way; something beside it is. 1 root cause,
            0 symptoms; 0 checks passed, 0 not seen.

            BROKEN  gcp-iap-pods
              StatefulSet istio-system/backend-updater has no ready pod
                because   ImagePullBackOff: Back-off pulling image "updater:1"
                fix       shows what the cluster says of it
                          kubectl describe statefulset -n istio-system backend-updater
              kubectl kfcheck explain gcp-iap-pods

            FAIL     gcp-iap-pods
                     Kubeflow's helpers for the load balancer run
        "#]]
        .assert_eq(&with_updater(1, &stuck).report(&IapPods).await);
    }
}
