use jiff::Timestamp;
use kfcheck::{
    Check, Cx, FactError, Finding, Findings, Now, Risk, async_trait, check, redact::redact,
};

use crate::{ContainerLog, Pod, PodGroup, Thresholds, Workloads, is_new};

check! {
    /// ## What it checks
    /// The pods behind every Service on the request path, and those in the namespaces of Kubeflow
    /// and of what it stands on: that each workload has a pod that is ready. A workload that the
    /// endpoint does without is a warning.
    ///
    /// ## Why it matters
    /// A Service sends no request to a pod that isn't ready.
    ///
    /// ## How to fix it
    /// Do what the container's reason asks for: more room on the nodes for a pod that can't be
    /// scheduled, more memory for one that was `OOMKilled`, the last lines of the log for one that
    /// crashes. Several workloads at once point to what they share.
    pub(crate) struct WorkloadReady;
    id: "kube-workload-ready",
    title: "Every workload that serves the endpoint has a ready pod",
}

/// What a container waits for that is about to start.
const STARTING: [&str; 3] = ["ContainerCreating", "PodInitializing", ""];

#[async_trait]
impl Check for WorkloadReady {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let workloads = cx.get(Workloads).await?;
        // Without a clock, nothing counts as new.
        let now = cx.get(Now).await.map_or(Timestamp::MAX, |now| *now);
        for group in workloads.seen(out) {
            let (all, ready) = (group.pods.len(), group.ready());
            let wanted = group.deployment.as_ref().map_or(all, |d| d.replicas() as usize);
            if wanted == 0 && all == 0 {
                if group.is_vital {
                    out.warn(&group.resource, "is scaled to 0, so nothing runs").fix(
                        Risk::None,
                        "starts one pod",
                        scale(group),
                    );
                }
                continue;
            }
            let stuck = group.pods.iter().find_map(|pod| Some((pod, stuck(cx, pod, now)?)));
            if ready > 0 && stuck.is_none() {
                out.ok(&group.resource);
                continue;
            }
            let message = format!("has {ready} of {} pods ready", wanted.max(all));
            let finding = if ready == 0 && group.is_vital {
                out.symptom(&group.resource, message)
            } else {
                out.warn(&group.resource, message)
            };
            match stuck {
                Some((pod, reason)) => explain(cx, finding, pod, &reason).await,
                None => explain_absence(finding, group),
            }
            finding.fix(Risk::None, "shows what the cluster says of it", group.show());
        }
        Ok(())
    }
}

/// Why a pod is not going to be ready, in the cluster's own words, and the container.
pub(crate) struct Reason {
    says: String,
    container: Option<String>,
}

/// Why `pod` doesn't get ready by itself. One that is about to start is not stuck.
pub(crate) fn stuck(cx: &Cx, pod: &Pod, now: Timestamp) -> Option<Reason> {
    let failed =
        |kind: &str| pod.status.conditions.iter().find(|c| c.kind == kind && c.status == "False");
    if let Some(condition) = failed("PodScheduled") {
        return Some(Reason { says: redact(&condition.says()).into_owned(), container: None });
    }
    for status in pod.statuses().filter(|status| !status.ready) {
        let waiting = status.state.waiting.as_ref();
        let waiting = waiting.filter(|waiting| !STARTING.contains(&waiting.reason()));
        let ended = status.state.terminated.as_ref().filter(|ended| ended.exit_code != Some(0));
        let before = status.last_state.terminated.as_ref();
        let Some(now) = waiting.or(ended) else { continue };
        let mut says = now.says();
        if let Some(before) = before {
            let code = before.exit_code.unwrap_or_default();
            says += &format!("; ended before with {} (exit code {code})", before.reason());
        }
        return Some(Reason { says, container: Some(status.name.clone()) });
    }
    let minutes = cx.setting::<Thresholds>().pod_minutes();
    let is_new = is_new(pod.metadata.creation_timestamp, minutes, now);
    let mut waiting = pod.statuses().filter_map(|status| status.state.waiting.as_ref());
    if pod.is_ready() || is_new || waiting.any(|w| STARTING.contains(&w.reason())) {
        return None;
    }
    let unready = failed("Ready").or_else(|| failed("ContainersReady"))?;
    Some(Reason { says: redact(&unready.says()).into_owned(), container: None })
}

pub(crate) async fn explain(cx: &Cx, finding: &mut Finding, pod: &Pod, reason: &Reason) {
    finding.evidence("pod", &pod.metadata.name).evidence("because", &reason.says);
    let Some(container) = reason.container.clone() else { return };
    let namespace = pod.metadata.namespace().to_owned();
    let log = ContainerLog { namespace, pod: pod.metadata.name.clone(), container };
    // Without a log, the reason has to do.
    if let Ok(log) = cx.get(log).await
        && let Some(line) = log.last_error().or_else(|| log.last())
    {
        finding.evidence("log", line);
    }
}

fn explain_absence(finding: &mut Finding, group: &PodGroup) {
    let conditions = group.deployment.iter().flat_map(|d| &d.status.conditions);
    let failure = |kind: &str, status: &str| kind == "ReplicaFailure" && status == "True";
    for condition in conditions.filter(|c| failure(&c.kind, &c.status)) {
        finding.evidence("because", redact(&condition.says()));
    }
}

fn scale(group: &PodGroup) -> String {
    let namespace = group.resource.namespace.as_deref().unwrap_or("default");
    let kind = group.resource.kind.to_lowercase();
    format!("kubectl scale {kind} {} -n {namespace} --replicas=1", group.resource.name)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::WorkloadReady;
    use crate::testing::report;

    fn pod(name: &str, status: &Value) -> Value {
        json!({ "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": "auth", "name": name,
                "ownerReferences": [{ "kind": "StatefulSet", "name": "dex" }] },
            "status": status })
    }

    fn waits(reason: &str) -> Value {
        json!({ "containerStatuses": [
            { "name": "dex", "state": { "waiting": { "reason": reason } } }] })
    }

    async fn with(pods: &[Value]) -> String {
        let names = ["deployments.apps", "ingresses.networking.k8s.io", "services"];
        let names = names.map(|name| format!("kubernetes/{name}.json"));
        let files = names.each_ref().map(|name| (name.as_str(), json!({ "items": [] })));
        let log = json!("listening\nerror: connect to ldap with bindPW: hunter2 failed\nbye\n");
        let log = ("kubernetes/logs/auth/dex-0/dex.log", log);
        report(&WorkloadReady, pods, &[&files[..], &[log]].concat()).await
    }

    #[tokio::test]
    async fn a_pod_that_has_failed_for_good_is_not_waited_for() {
        let ready = json!({ "conditions": [{ "type": "Ready", "status": "True" }] });
        let evicted = json!({ "phase": "Failed", "reason": "Evicted" });
        expect![[r#"
            No entrance to a deployment was found. 0 root causes, 0 symptoms; 1 check
            passed, 0 not seen.

            pass     kube-workload-ready
                     Every workload that serves the endpoint has a ready pod
        "#]]
        .assert_eq(&with(&[pod("dex-0", &ready), pod("dex-1", &evicted)]).await);
    }

    #[tokio::test]
    async fn beside_a_ready_pod_one_that_crashes_is_a_warning() {
        let ready = json!({ "conditions": [{ "type": "Ready", "status": "True" }] });
        let pods = [pod("dex-0", &waits("CrashLoopBackOff")), pod("dex-1", &ready)];
        expect![[r#"
            No entrance to a deployment was found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            WARNING  kube-workload-ready
              StatefulSet auth/dex has 1 of 2 pods ready
                pod       dex-0
                because   CrashLoopBackOff
                log       error: connect to ldap with bindPW: (redacted) failed
                fix       shows what the cluster says of it
                          kubectl describe pod -n auth dex-0

            warn     kube-workload-ready
                     Every workload that serves the endpoint has a ready pod
        "#]]
        .assert_eq(&with(&pods).await);
    }
}
