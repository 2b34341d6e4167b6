use kfcheck::{Check, Cx, FactError, Findings, Risk, async_trait, check};

use crate::{
    PodGroup, Workloads,
    pulls::{PullTrouble, public_address, waits_for_image},
};

check! {
    /// ## What it checks
    /// That no workload of the endpoint waits for an image, and if one does, whether the registry
    /// refuses the credentials, has no such image, limits the rate, or can't be reached.
    ///
    /// ## Why it matters
    /// Without its image a pod never starts, and every new node hits the same wall.
    ///
    /// ## How to fix it
    /// Correct the image's name or tag where it doesn't exist; give the pod's service account a
    /// pull secret, or the node's service account a role on the registry, where it is refused.
    /// Where the registry can't be reached, the nodes have no way out: look at NAT, routes and
    /// egress rules, and on private clusters at the address that the registry's name leads to.
    pub(crate) struct ImagePull;
    id: "kube-image-pull",
    title: "Every image can be pulled",
}

#[async_trait]
impl Check for ImagePull {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let workloads = cx.get(Workloads).await?;
        for group in workloads.seen(out) {
            let waiting = group.pods.iter().find_map(|pod| waits_for_image(pod));
            let Some((status, says)) = waiting else {
                if !group.pods.is_empty() {
                    out.ok(&group.resource);
                }
                continue;
            };
            let trouble = PullTrouble::of(&says);
            let message = format!("can't pull {}: {}", status.image, words(trouble));
            let finding = match (group.is_vital && group.ready() == 0, trouble) {
                (false, _) => out.warn(&group.resource, message),
                // What keeps the nodes from the registry is somebody else's to say.
                (true, PullTrouble::Network) => out.unbuilt(&group.resource, message),
                (true, _) => out.fail(&group.resource, message),
            };
            finding.evidence("because", &says);
            if let (PullTrouble::Network, Some(address)) = (trouble, public_address(&says)) {
                finding.evidence("went to", format!("{address}, a public address"));
            }
            let namespace = group.resource.namespace.as_deref().unwrap_or("default");
            let show = remedy(trouble, group, namespace);
            finding.fix(Risk::None, show.0, show.1);
        }
        Ok(())
    }
}

fn words(trouble: PullTrouble) -> &'static str {
    match trouble {
        PullTrouble::Refused => "the registry refuses",
        PullTrouble::Missing => "the registry has no such image",
        PullTrouble::Rate => "the registry limits the rate",
        PullTrouble::Network => "the nodes can't reach the registry",
        PullTrouble::Name => "its name is not valid",
        PullTrouble::Unsaid => "see what the kubelet says",
    }
}

fn remedy(trouble: PullTrouble, group: &PodGroup, namespace: &str) -> (&'static str, String) {
    let pod = group.pods.first().map_or("", |pod| &pod.metadata.name);
    match trouble {
        PullTrouble::Refused => (
            "shows the pull secrets that the pod has",
            format!(
                "kubectl get pod -n {namespace} {pod} -o jsonpath='{{.spec.imagePullSecrets}}'"
            ),
        ),
        _ => ("shows every attempt", group.show()),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::ImagePull;
    use crate::testing::report;

    fn pod(name: &str, reason: &str, message: &str) -> Value {
        json!({ "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": "auth", "name": name,
                "ownerReferences": [{ "kind": "StatefulSet", "name": "dex" }] },
            "status": { "containerStatuses": [{ "name": "dex", "image": "ghcr.io/dexidp/dex:v2",
                "state": { "waiting": { "reason": reason, "message": message } } }] } })
    }

    async fn with(pods: &[Value]) -> String {
        let none = ["deployments.apps", "ingresses.networking.k8s.io", "services"]
            .map(|name| format!("kubernetes/{name}.json"));
        let files = none.each_ref().map(|name| (name.as_str(), json!({ "items": [] })));
        report(&ImagePull, pods, &files).await
    }

    #[tokio::test]
    async fn a_pod_that_is_just_starting_waits_for_no_image() {
        expect![[r#"
            No entrance to a deployment was found. 0 root causes, 0 symptoms; 1 check
            passed, 0 not seen.

            pass     kube-image-pull
                     Every image can be pulled
        "#]]
        .assert_eq(&with(&[pod("dex-0", "ContainerCreating", "")]).await);
    }

    #[tokio::test]
    async fn while_another_pod_is_ready_it_is_a_warning() {
        let message = "failed to resolve reference: ghcr.io/dexidp/dex:v2: not found";
        let mut ready = pod("dex-1", "", "");
        ready["status"] = json!({ "conditions": [{ "type": "Ready", "status": "True" }] });
        expect![[r#"
            No entrance to a deployment was found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            WARNING  kube-image-pull
              StatefulSet auth/dex can't pull ghcr.io/dexidp/dex:v2: the registry has no
                such image
                because   ErrImagePull: failed to resolve reference: ghcr.io/dexidp/dex:v2:
                          not found
                fix       shows every attempt
                          kubectl describe pod -n auth dex-0

            warn     kube-image-pull
                     Every image can be pulled
        "#]]
        .assert_eq(&with(&[pod("dex-0", "ErrImagePull", message), ready]).await);
    }

    #[tokio::test]
    async fn a_registry_that_refuses_is_asked_with_what_the_pod_has() {
        let message = "failed to fetch anonymous token: unexpected status: 403 Forbidden";
        expect![[r#"
            Something is broken; no entrance to a deployment was found. 1 root cause, 0
            symptoms; 0 checks passed, 0 not seen.

            BROKEN  kube-image-pull
              StatefulSet auth/dex can't pull ghcr.io/dexidp/dex:v2: the registry refuses
                because   ImagePullBackOff: failed to fetch anonymous token: unexpected
                          status: 403 Forbidden
                fix       shows the pull secrets that the pod has
                          kubectl get pod -n auth dex-0 \
                            -o jsonpath='{.spec.imagePullSecrets}'
              kubectl kfcheck explain kube-image-pull

            FAIL     kube-image-pull
                     Every image can be pulled
        "#]]
        .assert_eq(&with(&[pod("dex-0", "ImagePullBackOff", message)]).await);
    }
}
