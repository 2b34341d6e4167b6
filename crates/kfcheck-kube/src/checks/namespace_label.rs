use kfcheck::{Check, Cx, FactError, Findings, async_trait, check};

use crate::{Miss, models::judge};

check! {
    /// ## What it checks
    /// That namespaces with InferenceServices have the labels that the webhook of KServe or
    /// KFServing asks for, where it asks for any: `serving.kubeflow.org/inferenceservice: enabled`
    /// in Kubeflow up to 1.2, which gives it to the namespaces of profiles.
    ///
    /// ## Why it matters
    /// The webhook adds to a pod what fetches the model. Without it the server starts, finds no
    /// model under `/mnt/models`, and ends.
    ///
    /// ## How to fix it
    /// Label the namespace, or let models run in one that a profile made. Pods that are there
    /// already have to be deleted.
    pub(crate) struct NamespaceLabel;
    id: "kserve-namespace-label",
    title: "Namespaces with models have the labels that serving asks for",
}

#[async_trait]
impl Check for NamespaceLabel {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let meant = |miss: &Miss| match miss {
            Miss::Lacks(label, value) => Some((
                format!("lacks the label {label}, so nobody fetches its models"),
                format!("{label}={value} --overwrite"),
            )),
            Miss::Has(_) => None,
        };
        judge(cx, out, meant).await
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::NamespaceLabel;
    use crate::{
        models::testing::{model, mutator, none, team},
        testing::report,
    };

    async fn with(labels: Value, ready: &str) -> String {
        let selector = json!({
            "matchLabels": { "serving.kubeflow.org/inferenceservice": "enabled" } });
        let objects = [model(ready), team(&labels), mutator(&selector)];
        report(&NamespaceLabel, &objects, &[]).await
    }

    #[tokio::test]
    async fn a_label_that_is_missing_keeps_models_from_being_fetched() {
        expect![[r#"
            Something is broken; no entrance to a deployment was found. 1 root cause, 0
            symptoms; 0 checks passed, 0 not seen.

            BROKEN  kserve-namespace-label
              Namespace team lacks the label serving.kubeflow.org/inferenceservice, so
                nobody fetches its models
                webhook   inferenceservice.kserve-webhook-server.pod-mutator
                models    iris
                fix       lets the webhook see to pods that start from now on
                          kubectl label namespace team serving.kubeflow.org/inferenceservice=enabled \
                            --overwrite
              kubectl kfcheck explain kserve-namespace-label

            NOT SEEN, so another cause may hide there
              request path
                not collected: kubernetes/ingresses.networking.k8s.io.json
                  kubectl get ingresses.networking.k8s.io -n istio-system -o yaml

            FAIL     kserve-namespace-label
                     Namespaces with models have the labels that serving asks for
        "#]].assert_eq(&with(json!({}), "False").await);
    }

    #[tokio::test]
    async fn with_the_label_models_are_fetched() {
        let labels = json!({ "serving.kubeflow.org/inferenceservice": "enabled" });
        expect![[r#"
            No entrance to a deployment was found. 0 root causes, 0 symptoms; 1 check
            passed, 0 not seen.

            NOT SEEN, so a cause may hide there
              request path
                not collected: kubernetes/ingresses.networking.k8s.io.json
                  kubectl get ingresses.networking.k8s.io -n istio-system -o yaml

            pass     kserve-namespace-label
                     Namespaces with models have the labels that serving asks for
        "#]]
        .assert_eq(&with(labels, "False").await);
    }

    #[tokio::test]
    async fn a_model_that_is_ready_was_fetched_whatever_the_labels() {
        assert!(with(json!({}), "True").await.contains("pass     kserve-namespace-label"));
    }

    #[tokio::test]
    async fn without_models_no_label_is_asked_for() {
        let files = none(["inferenceservices.serving.kserve.io"]);
        let files: Vec<_> = files.iter().map(|(name, none)| (&**name, none.clone())).collect();
        assert!(report(&NamespaceLabel, &[], &files).await.contains("skip     "));
    }

    #[tokio::test]
    async fn without_the_webhooks_nothing_is_known() {
        let objects = [model("False"), team(&json!({}))];
        assert!(report(&NamespaceLabel, &objects, &[]).await.contains("unknown  "));
    }
}
