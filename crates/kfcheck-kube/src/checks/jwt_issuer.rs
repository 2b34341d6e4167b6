use kfcheck::{Check, Cx, FactError, Fault, Findings, Risk, async_trait, check};

use crate::{JwtRule, RequestAuthentication, TokenIssuer, on_path};

check! {
    /// ## What it checks
    /// That a RequestAuthentication at the gateway that is for the tokens of this cluster's own
    /// service accounts names the issuer that the API server writes into them.
    ///
    /// ## Why it matters
    /// Kubeflow lets pods and pipelines in by such tokens, with a rule for
    /// `https://kubernetes.default.svc.cluster.local`, or for an issuer of EKS's with a region and an
    /// id to fill in, which change with the cluster. Managed clusters have another issuer: EKS
    /// `https://oidc.eks.…`, GKE `https://container.googleapis.com/…`. Then every one of these
    /// tokens is refused with 401, while people sign in as ever.
    ///
    /// ## How to fix it
    /// Write the API server's issuer into the rule.
    pub(crate) struct JwtIssuer;
    id: "istio-jwt-issuer",
    title: "Tokens of this cluster are taken by their issuer",
}

#[async_trait]
impl Check for JwtIssuer {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let found = cx.get(on_path::<RequestAuthentication>()).await?;
        let rules = found.seen(out);
        let issuers = || rules.iter().flat_map(|rule| &rule.spec.jwt_rules).map(|jwt| &jwt.issuer);
        for rule in rules {
            let mut ours = rule.spec.jwt_rules.iter().enumerate().filter(|(_, jwt)| is_own(jwt));
            let Some((nth, jwt)) = ours.next() else { continue };
            let Some(right) = out.known(&**rule, cx.get(TokenIssuer).await) else { continue };
            let right = &right.issuer;
            if right.is_empty() {
                let file = "the API server's /.well-known/openid-configuration".to_owned();
                let fault = Fault::Malformed { file, detail: "it names no issuer".to_owned() };
                out.known::<()>(&**rule, Err(fault.into()));
                continue;
            }
            // Beside one for this cluster, tokens of another may be wanted as well.
            if issuers().any(|issuer| issuer == right) {
                out.ok(&**rule);
                continue;
            }
            let patch = serde_json::json!([{ "op": "replace",
                "path": format!("/spec/jwtRules/{nth}/issuer"), "value": right }]);
            let (namespace, name) = (rule.metadata.namespace(), &rule.metadata.name);
            out.fail(&**rule, "is for tokens of this cluster and names another issuer")
                .serving()
                .evidence("issuer", &jwt.issuer)
                .evidence("right is", right)
                .fix(
                    Risk::None,
                    "names the API server's issuer",
                    format!(
                        "kubectl patch requestauthentications.security.istio.io {name} \
                         -n {namespace} --type json -p '{patch}'"
                    ),
                );
        }
        Ok(())
    }
}

/// Whether a rule is for the tokens of a cluster, and so of this one: by the issuers that clusters
/// have, or by the keys. Kubeflow's manifests have the form of EKS's with nothing filled in.
fn is_own(rule: &JwtRule) -> bool {
    let keys = rule.jwks_uri.as_deref().unwrap_or_default();
    let at = keys.split("://").nth(1).unwrap_or_default();
    let issuers = [
        "https://kubernetes.default",
        "https://oidc.eks.",
        "https://container.googleapis.com/v1/projects/",
    ];
    issuers.iter().any(|issuer| rule.issuer.starts_with(issuer))
        || at.starts_with("kubernetes.default")
        || at.starts_with("cluster-jwks-proxy.")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use kfcheck::{Bundle, Runner, World};
    use kfcheck_report::{Style, text};
    use serde_json::{Value, json};

    use super::JwtIssuer;
    use crate::testing::ingress;

    const OWN: &str = "https://kubernetes.default.svc.cluster.local";

    /// A rule at the gateway for an issuer, in a cluster whose API server says this of its tokens.
    async fn with(issuer: &str, says: Option<&str>) -> String {
        let metadata = json!({ "namespace": "kubeflow", "name": "gateway",
            "labels": { "istio": "a" } });
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata });
        let service = json!({ "apiVersion": "v1", "kind": "Service",
            "metadata": { "namespace": "kubeflow", "name": "gateway" },
            "spec": { "selector": { "istio": "a" }, "ports": [{ "port": 80 }] } });
        let rule = json!({ "apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication",
            "metadata": { "namespace": "kubeflow", "name": "m2m-token-issuer" },
            "spec": { "jwtRules": [{ "issuer": issuer }] } });
        let objects = [ingress("gateway"), service, pod, rule];
        let mut manifest: Value = json!({ "collectedAt": "2026-11-21T12:00:00Z" });
        if let Some(says) = says {
            manifest["serviceAccountIssuer"] = json!({ "issuer": says });
        }
        let none = [
            "deployments.apps",
            "gateways.networking.istio.io",
            "virtualservices.networking.istio.io",
        ];
        let bundle = Bundle::default()
            .with("bundle.json", manifest)
            .with("kubernetes/all.json", json!({ "kind": "List", "items": objects }));
        let bundle = none.iter().fold(bundle, |bundle, kind| {
            bundle.with(&format!("kubernetes/{kind}.json"), json!({ "items": [] }))
        });
        let world = World::replay(bundle).path(crate::PATH);
        let report = Runner::default().run(&world, &[&JwtIssuer]).await;
        text(&report, Style { verbose: true, colour: false })
    }

    #[tokio::test]
    async fn a_managed_cluster_has_an_issuer_of_its_own() {
        let issuer = "https://oidc.eks.eu-west-1.amazonaws.com/id/0A1B";
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  istio-jwt-issuer
              RequestAuthentication kubeflow/m2m-token-issuer is for tokens of this cluster
                and names another issuer
                issuer    https://kubernetes.default.svc.cluster.local
                right is  https://oidc.eks.eu-west-1.amazonaws.com/id/0A1B
                fix       names the API server's issuer
                          kubectl patch requestauthentications.security.istio.io m2m-token-issuer \
                            -n kubeflow --type json \
                            -p '[{"op":"replace","path":"/spec/jwtRules/0/issuer","value":"https://oidc.eks.eu-west-1.amazonaws.com/id/0A1B"}]'
              kubectl kfcheck explain istio-jwt-issuer

            FAIL     istio-jwt-issuer
                     Tokens of this cluster are taken by their issuer
        "#]].assert_eq(&with(OWN, Some(issuer)).await);
    }

    #[tokio::test]
    async fn a_form_that_nobody_filled_in_is_no_issuer() {
        let form = "https://oidc.eks.AWS_REGION.amazonaws.com/id/CLUSTER_ID";
        let right = "https://oidc.eks.eu-west-1.amazonaws.com/id/0A1B";
        let says = with(form, Some(right)).await;
        assert!(says.contains(&format!("issuer    {form}")), "{says}");
        assert!(says.contains(&format!("right is  {right}")), "{says}");
        // The same of a cluster that this one took the place of.
        let former = "https://oidc.eks.eu-west-1.amazonaws.com/id/FFFF";
        assert!(with(former, Some(right)).await.contains("FAIL     istio-jwt-issuer"));
        assert!(with(right, Some(right)).await.contains("pass     istio-jwt-issuer"));
    }

    #[tokio::test]
    async fn the_usual_issuer_is_right_where_the_api_server_has_it() {
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     istio-jwt-issuer
                     Tokens of this cluster are taken by their issuer
        "#]]
        .assert_eq(&with(OWN, Some(OWN)).await);
    }

    #[tokio::test]
    async fn a_rule_for_people_is_no_concern() {
        let says = with("https://login.example.com", Some(OWN)).await;
        assert!(says.contains("skip     "), "{says}");
    }

    #[tokio::test]
    async fn an_api_server_that_names_no_issuer_has_said_nothing() {
        let says = with(OWN, Some("")).await;
        assert!(says.contains("unknown  istio-jwt-issuer"), "{says}");
        assert!(says.contains("openid-configuration: it names no\n"), "{says}");
    }

    #[tokio::test]
    async fn without_the_api_servers_word_nothing_is_known() {
        assert!(with(OWN, None).await.contains("unknown  "));
    }
}
