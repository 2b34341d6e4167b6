use std::sync::Arc;

use kfcheck::{Check, Cx, FactError, Findings, Now, Risk, async_trait, check, redact::redact};

use super::workload_ready::{explain, stuck};
use crate::{
    Condition, InferenceService, MutatingWebhook, Pod, Progress, Thresholds, Workloads, all, within,
};

check! {
    /// ## What it checks
    /// That every InferenceService, of KServe or of KFServing before it, is `Ready`. One that is
    /// younger than ten minutes, was stopped or is being deleted is not waited for.
    ///
    /// ## Why it matters
    /// A model that isn't ready answers nobody: requests to it end with 404 or 503.
    ///
    /// ## How to fix it
    /// Do what the failing condition or the pod's own reason asks for: a storage address or a
    /// credential for the model, an image, more memory, a GPU.
    pub(crate) struct InferenceServiceReady;
    id: "kserve-inferenceservice-ready",
    title: "Every model that is served is ready",
}

/// Where what serves models runs.
const SERVING: [&str; 4] = ["knative-serving", "kserve", "kfserving-system", "kubeflow"];

#[async_trait]
impl Check for InferenceServiceReady {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let models = cx.get(all::<InferenceService>()).await?;
        if models.is_empty() {
            return Ok(());
        }
        let now = *cx.get(Now).await?;
        let minutes = cx.setting::<Thresholds>().model_minutes();
        for model in models.iter() {
            match model.progress(now, minutes) {
                Progress::Ready => out.ok(&**model),
                Progress::Pending => (),
                Progress::Stuck => examine(cx, model, now, out).await,
            }
        }
        Ok(())
    }
}

async fn examine(cx: &Cx, model: &InferenceService, now: jiff::Timestamp, out: &mut Findings) {
    stand(cx, model, out).await;
    let namespace = model.metadata.namespace();
    // Without the pods, what the conditions say has to do.
    let pods = cx.get(within::<Pod>(namespace)).await;
    let ours = |pod: &&Arc<Pod>| {
        let label = |(label, name): &(&str, &str)| {
            pod.metadata.labels.get(*label).map(String::as_str) == Some(*name)
        };
        !pod.is_over() && model.labels().iter().any(label)
    };
    let pods: Vec<_> = pods.iter().flat_map(|all| all.iter()).filter(ours).collect();
    for pod in &pods {
        out.depends(model, pod.workload());
    }
    let message = match model.condition("Ready") {
        Some(_) => "is not ready",
        None => "has no status: its controller has not looked at it",
    };
    let finding = out.symptom(model, message);
    let failed = |c: &&Condition| c.status == "False" && !c.says().is_empty();
    let ready = model.condition("Ready").filter(|ready| !ready.says().is_empty());
    if let Some(condition) = model.status.conditions.iter().find(failed).or(ready) {
        let says = condition.says();
        finding.evidence("condition", format!("{}: {}", condition.kind, redact(&says)));
    }
    if let Some((pod, reason)) = pods.iter().find_map(|pod| Some((pod, stuck(cx, pod, now)?))) {
        explain(cx, finding, pod, &reason).await;
    }
    let name = &model.metadata.name;
    finding.fix(
        Risk::None,
        "shows what the cluster says of it",
        format!("kubectl describe inferenceservice -n {namespace} {name}"),
    );
}

/// What serves models, as far as it does not run.
async fn stand(cx: &Cx, model: &InferenceService, out: &mut Findings) {
    let workloads = cx.get(Workloads).await;
    for group in workloads.iter().flat_map(|seen| seen.workloads()) {
        let namespace = group.resource.namespace.as_deref().unwrap_or_default();
        let ours = match namespace {
            "kubeflow" => ["kserve", "kfserving"].iter().any(|n| group.resource.name.contains(n)),
            other => SERVING.contains(&other),
        };
        if ours && group.ready() == 0 {
            out.depends(model, &group.resource);
        }
    }
    let webhooks = cx.get(all::<MutatingWebhook>()).await;
    for webhook in webhooks.iter().flat_map(|all| all.iter()) {
        if webhook.metadata.name.starts_with("inferenceservice.serving.") {
            out.depends(model, &**webhook);
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::InferenceServiceReady;
    use crate::{models::testing::model, testing::report};

    async fn with(objects: &[Value]) -> String {
        report(&InferenceServiceReady, objects, &[]).await
    }

    #[tokio::test]
    async fn what_holds_a_model_is_shown_with_its_pod() {
        let pod = json!({ "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": "team", "name": "iris-1",
                "labels": { "serving.kserve.io/inferenceservice": "iris" } },
            "status": { "initContainerStatuses": [{ "name": "storage-initializer", "state": {
                "terminated": { "exitCode": 1, "reason": "Error",
                    "message": "no such bucket: models" } } }] } });
        expect![[r#"
            Something is broken; no entrance to a deployment was found. 1 root cause, 0
            symptoms; 0 checks passed, 0 not seen.

            BROKEN  kserve-inferenceservice-ready
              InferenceService team/iris is not ready
                condition PredictorReady: RevisionFailed: Revision "iris-1" failed: exit
                          code 1
                pod       iris-1
                because   Error: no such bucket: models
                fix       shows what the cluster says of it
                          kubectl describe inferenceservice -n team iris
              kubectl kfcheck explain kserve-inferenceservice-ready

            NOT SEEN, so another cause may hide there
              request path
                not collected: kubernetes/ingresses.networking.k8s.io.json
                  kubectl get ingresses.networking.k8s.io -n istio-system -o yaml

            FAIL     kserve-inferenceservice-ready
                     Every model that is served is ready
        "#]]
        .assert_eq(&with(&[model("False"), pod]).await);
    }

    #[tokio::test]
    async fn a_model_that_answers_is_well() {
        expect![[r#"
            No entrance to a deployment was found. 0 root causes, 0 symptoms; 1 check
            passed, 0 not seen.

            NOT SEEN, so a cause may hide there
              request path
                not collected: kubernetes/ingresses.networking.k8s.io.json
                  kubectl get ingresses.networking.k8s.io -n istio-system -o yaml

            pass     kserve-inferenceservice-ready
                     Every model that is served is ready
        "#]]
        .assert_eq(&with(&[model("True")]).await);
    }

    #[tokio::test]
    async fn a_new_model_is_waited_for() {
        let mut new = model("Unknown");
        let ready = &mut new["status"]["conditions"][1];
        ready["lastTransitionTime"] = "2026-11-21T11:55:00Z".into();
        assert!(with(&[new]).await.contains("skip     "));
    }

    #[tokio::test]
    async fn a_model_that_was_stopped_is_not_waited_for() {
        let mut stopped = model("False");
        stopped["metadata"]["annotations"] = json!({ "serving.kserve.io/stop": "true" });
        assert!(with(&[stopped]).await.contains("skip     "));
    }

    #[tokio::test]
    async fn models_of_the_older_group_are_judged_as_well() {
        let mut old = model("False");
        old["apiVersion"] = "serving.kubeflow.org/v1alpha2".into();
        assert!(with(&[old]).await.contains("InferenceService team/iris is not ready"));
    }

    #[tokio::test]
    async fn where_nobody_looked_for_models_nothing_is_known() {
        assert!(with(&[]).await.contains("unknown  "));
    }
}
