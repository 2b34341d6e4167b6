use std::{collections::BTreeMap, sync::Arc};

use kfcheck::{Check, Cx, FactError, Findings, Named, Resource, Risk, async_trait, check};
use kfcheck_kube::{ContainerStatus, DaemonSet, Pod, Stopped};

use crate::{Installation, MetalLb, Part};

check! {
    /// ## What it checks
    /// MetalLB's two parts: that its controller has a pod that is ready, and that a speaker is ready
    /// on every node that is to have one.
    ///
    /// ## Why it matters
    /// Without the controller no Service gets an address, and without speakers nobody answers for
    /// the addresses that there are. A node without a speaker announces nothing, so a Service with
    /// `externalTrafficPolicy: Local` can't be reached by way of its pods there.
    ///
    /// ## How to fix it
    /// Look at what the cluster says of the pods. Speakers need a Secret `memberlist` in their
    /// namespace, which old manifests leave to whoever installs them.
    pub(crate) struct MetalLbPods;
    id: "onprem-metallb-pods",
    title: "MetalLB's controller and its speakers are ready",
}

#[async_trait]
impl Check for MetalLbPods {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let Some(metallb) = &*cx.get(MetalLb).await? else {
            out.skip("MetalLB is not installed here");
            return Ok(());
        };
        if let Err(error) = &metallb.pods {
            return Err(error.clone());
        }
        examine_controller(metallb, out);
        examine_speakers(metallb, out);
        Ok(())
    }
}

fn examine_controller(metallb: &Installation, out: &mut Findings) {
    let namespace = &metallb.namespace;
    let pods: Vec<_> = metallb.pods_of(Part::Controller).collect();
    let declared = metallb.controllers.iter().flatten().map(|found| found.resource());
    let subjects = subjects(declared, &pods);
    if subjects.is_empty() {
        let speaker = metallb.speakers.iter().flatten().next();
        if let (Ok(_), Some(speaker)) = (&metallb.controllers, speaker) {
            out.fail(&**speaker, "has no controller beside it: no Service gets an address").fix(
                Risk::None,
                "shows what there is of MetalLB",
                format!("kubectl get deployments,daemonsets -n {namespace}"),
            );
        }
        return;
    }
    for (subject, own) in subjects {
        if own.iter().any(|pod| pod.is_ready()) {
            out.ok(subject);
            continue;
        }
        let message = "has no pod ready, so no Service gets an address";
        let show = describe(&subject, &own);
        let finding = out.fail(subject, message).serving().hearsay();
        finding.evidence("pods", own.len());
        if let Some(says) = reason(&own) {
            finding.evidence("because", says);
        }
        finding.fix(Risk::None, "shows what the cluster says of it", show);
    }
}

fn examine_speakers(metallb: &Installation, out: &mut Findings) {
    let namespace = &metallb.namespace;
    let pods: Vec<_> = metallb.pods_of(Part::Speaker).collect();
    let declared = metallb.speakers.iter().flatten().map(|set| set.resource());
    let subjects = subjects(declared, &pods);
    if subjects.is_empty() {
        let controller = metallb.controllers.iter().flatten().next();
        if let (Ok(_), Some(controller)) = (&metallb.speakers, controller) {
            out.fail(&**controller, "has no speakers beside it: nobody announces an address").fix(
                Risk::None,
                "shows what there is of MetalLB",
                format!("kubectl get deployments,daemonsets -n {namespace}"),
            );
        }
        return;
    }
    for (subject, own) in subjects {
        let set = metallb.speakers.iter().flatten().find(|set| set.resource() == subject);
        examine_set(&subject, &own, set.map(|set| &**set), namespace, out);
    }
}

/// The workloads of a part, each with its pods; where none is declared, whatever keeps the pods.
fn subjects<'a>(
    declared: impl Iterator<Item = Resource>,
    pods: &[&'a Arc<Pod>],
) -> BTreeMap<Resource, Vec<&'a Pod>> {
    let mut all: BTreeMap<_, Vec<&Pod>> = declared.map(|found| (found, Vec::new())).collect();
    let only = all.keys().next().cloned().filter(|_| all.len() == 1);
    for pod in pods {
        all.entry(only.clone().unwrap_or_else(|| pod.workload())).or_default().push(pod);
    }
    for pods in all.values_mut() {
        pods.sort_by_key(|pod| (&pod.spec.node_name, &pod.metadata.name));
    }
    all
}

fn examine_set(
    subject: &Resource,
    pods: &[&Pod],
    set: Option<&DaemonSet>,
    namespace: &str,
    out: &mut Findings,
) {
    let wanted = set.and_then(|set| set.status.desired_number_scheduled).unwrap_or_default();
    let wanted = pods.len().max(wanted as usize);
    let (ready, unready): (Vec<&Pod>, Vec<&Pod>) = pods.iter().partition(|pod| pod.is_ready());
    if wanted == 0 {
        out.fail(subject, "is for no node, so nobody announces an address").fix(
            Risk::None,
            "shows which nodes it is for, and their labels",
            format!(
                "kubectl get {} -n {namespace} {} -o jsonpath='{{.spec.template.spec.nodeSelector}}'; \
                 kubectl get nodes --show-labels",
                subject.kind.to_lowercase(),
                subject.name
            ),
        );
        return;
    }
    if ready.len() >= wanted {
        out.ok(subject);
        return;
    }
    let finding = if ready.is_empty() {
        let message = "has no pod ready, so nobody announces an address";
        out.fail(subject, message).serving().hearsay()
    } else {
        let message = format!("has {} of {wanted} pods ready", ready.len());
        out.warn(subject, message + ": the other nodes announce nothing")
    };
    let on: Vec<_> = unready.iter().filter_map(|pod| pod.spec.node_name.as_deref()).collect();
    if !on.is_empty() {
        finding.evidence("not on", on.join(", "));
    }
    if let Some(says) = reason(pods) {
        finding.evidence("because", says);
    }
    finding.fix(Risk::None, "shows what the cluster says of it", describe(subject, pods));
}

/// Why a container doesn't run, in the kubelet's words.
fn reason(pods: &[&Pod]) -> Option<String> {
    let statuses = pods.iter().flat_map(|pod| pod.statuses()).filter(|status| !status.ready);
    let stopped = |status: &ContainerStatus| {
        status.state.waiting.as_ref().or(status.state.terminated.as_ref()).map(Stopped::says)
    };
    { statuses }.find_map(stopped).filter(|says| !says.is_empty())
}

/// The command that shows what the cluster says of a workload, or of its first pod that isn't ready.
fn describe(subject: &Resource, pods: &[&Pod]) -> String {
    let namespace = subject.namespace.as_deref().unwrap_or("default");
    match pods.iter().find(|pod| !pod.is_ready()) {
        Some(pod) => format!("kubectl describe pod -n {namespace} {}", pod.metadata.name),
        None => format!(
            "kubectl describe {} -n {namespace} {}",
            subject.kind.to_lowercase(),
            subject.name
        ),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::MetalLbPods;
    use crate::testing::Deployment;

    #[tokio::test]
    async fn parts_that_are_ready_pass() {
        for deployment in [Deployment::healthy(), Deployment::old()] {
            let says = deployment.report(&MetalLbPods).await;
            assert!(says.contains("pass     onprem-metallb-pods"), "{says}");
        }
    }

    #[tokio::test]
    async fn a_controller_without_a_pod_that_is_ready_gives_no_address() {
        let mut deployment = Deployment::healthy();
        deployment.named("Pod", "controller-0")["status"]["conditions"] = json!([]);
        expect![[r#"
            10.64.140.43: nothing broken on the way; something beside it is. 1 root cause, 0
            symptoms; 0 checks passed, 0 not seen.

            BROKEN  onprem-metallb-pods
              Deployment metallb-system/controller has no pod ready, so no Service gets an
                address
                pods      1
                fix       shows what the cluster says of it
                          kubectl describe pod -n metallb-system controller-0
              kubectl kfcheck explain onprem-metallb-pods

            FAIL     onprem-metallb-pods
                     MetalLB's controller and its speakers are ready
        "#]]
        .assert_eq(&deployment.report(&MetalLbPods).await);
    }

    #[tokio::test]
    async fn a_node_whose_speaker_is_not_ready_is_named() {
        let mut deployment = Deployment::healthy();
        deployment.named("Pod", "speaker-2")["status"]["conditions"] = json!([]);
        expect![[r#"
            10.64.140.43: nothing broken found. 0 root causes, 0 symptoms; 0 checks passed,
            0 not seen.

            WARNING  onprem-metallb-pods
              DaemonSet metallb-system/speaker has 1 of 2 pods ready: the other nodes
                announce nothing
                not on    worker-2
                fix       shows what the cluster says of it
                          kubectl describe pod -n metallb-system speaker-2

            warn     onprem-metallb-pods
                     MetalLB's controller and its speakers are ready
        "#]]
        .assert_eq(&deployment.report(&MetalLbPods).await);
    }

    #[tokio::test]
    async fn without_a_speaker_nobody_announces() {
        let mut deployment = Deployment::healthy();
        for name in ["speaker-1", "speaker-2"] {
            deployment.named("Pod", name)["status"]["conditions"] = json!([]);
        }
        let says = deployment.report(&MetalLbPods).await;
        assert!(says.contains("speaker has no pod ready, so nobody announces"), "{says}");
        deployment.no("DaemonSet", "daemonsets.apps");
        deployment.objects.retain(|o| !o["metadata"]["name"].to_string().contains("speaker"));
        let says = deployment.report(&MetalLbPods).await;
        assert!(says.contains("controller has no speakers beside it"), "{says}");
    }

    #[tokio::test]
    async fn a_cluster_without_metallb_is_not_asked() {
        expect![[r#"
            10.64.140.12: nothing broken found. 0 root causes, 0 symptoms; 0 checks passed,
            0 not seen.

            skip     onprem-metallb-pods
                     MetalLB's controller and its speakers are ready
                     (MetalLB is not installed here)
        "#]]
        .assert_eq(&Deployment::node_port().report(&MetalLbPods).await);
    }

    #[tokio::test]
    async fn pods_that_were_not_collected_are_not_seen() {
        let mut deployment = Deployment::healthy();
        deployment.objects.retain(|object| object["kind"] != "Pod");
        let says = deployment.report(&MetalLbPods).await;
        assert!(says.contains("unknown  onprem-metallb-pods"), "{says}");
    }
}
