use kfcheck::{Check, Cx, FactError, Findings, Risk, async_trait, check};

use crate::{ConfigMap, InferenceService, Metadata, all, find};

check! {
    /// ## What it checks
    /// Where InferenceServices got no address but one inside the cluster, and did not ask for
    /// that, that Knative's `config-domain` names a domain to give them others.
    ///
    /// ## Why it matters
    /// Without a domain every route is local to the cluster: no gateway takes requests for it, and
    /// from outside a model is answered 404.
    ///
    /// ## How to fix it
    /// Name the domain whose names lead to the gateway. A model that is for the cluster only takes
    /// the label `networking.knative.dev/visibility: cluster-local`.
    pub(crate) struct Domain;
    id: "knative-domain",
    title: "Models get addresses that can be reached from outside",
}

/// What makes a model one for the cluster only.
const VISIBILITY: [&str; 2] =
    ["networking.knative.dev/visibility", "serving.knative.dev/visibility"];

#[async_trait]
impl Check for Domain {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let models = cx.get(all::<InferenceService>()).await?;
        if models.is_empty() {
            return Ok(());
        }
        let asks = |model: &InferenceService| {
            let Metadata { labels, annotations, .. } = &model.metadata;
            let local = |name: &&str| {
                let said = labels.get(*name).or(annotations.get(*name));
                said.is_some_and(|said| said == "cluster-local")
            };
            !model.is_raw() && !VISIBILITY.iter().any(local)
        };
        let (mut local, mut public) = (Vec::new(), 0);
        for model in models.iter().filter(|m| asks(m) && m.is_ready()) {
            match model.host() {
                Some(host) if is_local(host) => local.push(model),
                Some(_) => public += 1,
                None => (),
            }
        }
        if local.is_empty() && public == 0 {
            return Ok(());
        }
        let Some(map) = find::<ConfigMap>(cx, "knative-serving", "config-domain").await? else {
            return Ok(());
        };
        // Where some have a public address, a domain was given to those that are to have one.
        if local.is_empty() || public > 0 || map.domains.iter().any(|domain| !is_local(domain)) {
            out.ok(&*map);
            return Ok(());
        }
        for model in &local {
            out.depends(&***model, &*map);
        }
        let names: Vec<_> = local.iter().map(|model| model.metadata.name.as_str()).collect();
        let message = "names no domain, so models have addresses only inside the cluster";
        out.fail(&*map, message).evidence("models", names.join(", ")).fix(
            Risk::None,
            "gives every model a name under your domain",
            "kubectl patch configmap config-domain -n knative-serving --type merge \
             -p '{\"data\":{\"models.example.com\":\"\"}}'",
        );
        Ok(())
    }
}

/// Whether a name is known inside the cluster only. One that ends in `.local` may well be the
/// network's own.
pub(crate) fn is_local(host: &str) -> bool {
    ["svc.cluster.local", "cluster.local"].contains(&host)
        || host.ends_with(".svc")
        || host.contains(".svc.")
        || host.ends_with(".cluster.local")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::Domain;
    use crate::{models::testing::model, testing::report};

    fn domains(data: &Value) -> Value {
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "data": data,
            "metadata": { "namespace": "knative-serving", "name": "config-domain" } })
    }

    fn local() -> Value {
        let mut model = model("True");
        model["status"]["url"] = "http://iris.team.svc.cluster.local".into();
        model
    }

    #[tokio::test]
    async fn without_a_domain_models_are_local() {
        let data = json!({ "_example": "example.org: |" });
        expect![[r#"
            Something is broken; no entrance to a deployment was found. 1 root cause, 0
            symptoms; 0 checks passed, 0 not seen.

            BROKEN  knative-domain
              ConfigMap knative-serving/config-domain names no domain, so models have
                addresses only inside the cluster
                models    iris
                fix       gives every model a name under your domain
                          kubectl patch configmap config-domain -n knative-serving \
                            --type merge -p '{"data":{"models.example.com":""}}'
              kubectl kfcheck explain knative-domain

            NOT SEEN, so another cause may hide there
              request path
                not collected: kubernetes/ingresses.networking.k8s.io.json
                  kubectl get ingresses.networking.k8s.io -n istio-system -o yaml

            FAIL     knative-domain
                     Models get addresses that can be reached from outside
        "#]]
        .assert_eq(&report(&Domain, &[local(), domains(&data)], &[]).await);
    }

    #[tokio::test]
    async fn a_domain_gives_models_public_names() {
        let data = json!({ "example.com": "" });
        expect![[r#"
            No entrance to a deployment was found. 0 root causes, 0 symptoms; 1 check
            passed, 0 not seen.

            NOT SEEN, so a cause may hide there
              request path
                not collected: kubernetes/ingresses.networking.k8s.io.json
                  kubectl get ingresses.networking.k8s.io -n istio-system -o yaml

            pass     knative-domain
                     Models get addresses that can be reached from outside
        "#]]
        .assert_eq(&report(&Domain, &[model("True"), domains(&data)], &[]).await);
    }

    #[test]
    fn a_domain_of_the_networks_own_is_known_outside() {
        for host in ["svc.cluster.local", "a.b.svc.cluster.local", "a.b.svc", "a.svc.corp.internal"]
        {
            assert!(super::is_local(host), "{host}");
        }
        for host in ["models.corp.local", "iris.team.models.corp.local", "svc.example.com"] {
            assert!(!super::is_local(host), "{host}");
        }
    }

    #[tokio::test]
    async fn a_model_may_ask_to_be_local() {
        let mut asks = local();
        asks["metadata"]["labels"] =
            json!({ "networking.knative.dev/visibility": "cluster-local" });
        let objects = [asks, domains(&json!({}))];
        assert!(report(&Domain, &objects, &[]).await.contains("skip     "));
    }

    #[tokio::test]
    async fn without_the_config_map_nothing_is_known() {
        assert!(report(&Domain, &[local()], &[]).await.contains("unknown  "));
    }
}
