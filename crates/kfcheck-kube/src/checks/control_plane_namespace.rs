use kfcheck::{Check, Cx, FactError, Findings, async_trait, check};

use crate::{Miss, models::judge};

check! {
    /// ## What it checks
    /// That namespaces with InferenceServices have no label by which the webhook of KServe or
    /// KFServing passes them by. As a rule that is `control-plane`, whatever its value.
    ///
    /// ## Why it matters
    /// The webhook adds to a pod what fetches the model. Without it the server starts, finds no
    /// model under `/mnt/models`, and ends. Kubeflow's own namespace has the label.
    ///
    /// ## How to fix it
    /// Let models run in a namespace of their own, or take the label away.
    pub(crate) struct ControlPlaneNamespace;
    id: "kserve-control-plane-namespace",
    title: "No namespace with models is kept from serving",
}

#[async_trait]
impl Check for ControlPlaneNamespace {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let meant = |miss: &Miss| match miss {
            Miss::Has(label) => Some((
                format!("has the label {label}, so nobody fetches its models"),
                format!("{label}-"),
            )),
            Miss::Lacks(..) => None,
        };
        judge(cx, out, meant).await
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::ControlPlaneNamespace;
    use crate::{
        models::testing::{model, mutator, none, team},
        testing::report,
    };

    async fn with(labels: Value, ready: &str) -> String {
        let rule = json!({ "key": "control-plane", "operator": "DoesNotExist" });
        let selector = json!({ "matchExpressions": [rule] });
        let objects = [model(ready), team(&labels), mutator(&selector)];
        report(&ControlPlaneNamespace, &objects, &[]).await
    }

    #[tokio::test]
    async fn the_label_of_control_planes_keeps_models_from_being_fetched() {
        expect![[r#"
            Something is broken; no entrance to a deployment was found. 1 root cause, 0
            symptoms; 0 checks passed, 0 not seen.

            BROKEN  kserve-control-plane-namespace
              Namespace team has the label control-plane, so nobody fetches its models
                webhook   inferenceservice.kserve-webhook-server.pod-mutator
                models    iris
                fix       lets the webhook see to pods that start from now on
                          kubectl label namespace team control-plane-
              kubectl kfcheck explain kserve-control-plane-namespace

            NOT SEEN, so another cause may hide there
              request path
                not collected: kubernetes/ingresses.networking.k8s.io.json
                  kubectl get ingresses.networking.k8s.io -n istio-system -o yaml

            FAIL     kserve-control-plane-namespace
                     No namespace with models is kept from serving
        "#]]
        .assert_eq(&with(json!({ "control-plane": "kubeflow" }), "False").await);
    }

    #[tokio::test]
    async fn without_the_label_models_are_fetched() {
        expect![[r#"
            No entrance to a deployment was found. 0 root causes, 0 symptoms; 1 check
            passed, 0 not seen.

            NOT SEEN, so a cause may hide there
              request path
                not collected: kubernetes/ingresses.networking.k8s.io.json
                  kubectl get ingresses.networking.k8s.io -n istio-system -o yaml

            pass     kserve-control-plane-namespace
                     No namespace with models is kept from serving
        "#]]
        .assert_eq(&with(json!({ "owner": "team" }), "False").await);
    }

    #[tokio::test]
    async fn without_models_no_namespace_matters() {
        let files = none(["inferenceservices.serving.kserve.io"]);
        let files: Vec<_> = files.iter().map(|(name, none)| (&**name, none.clone())).collect();
        assert!(report(&ControlPlaneNamespace, &[], &files).await.contains("skip     "));
    }

    #[tokio::test]
    async fn without_the_namespaces_nothing_is_known() {
        let objects = [model("False"), mutator(&json!({}))];
        assert!(report(&ControlPlaneNamespace, &objects, &[]).await.contains("unknown  "));
    }
}
