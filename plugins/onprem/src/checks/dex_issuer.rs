use kfcheck::{Check, Cx, FactError, Fault, Findings, Named, Resource, Risk, async_trait, check};
use kfcheck_kube::{DexConfig, RequestAuthentication, host_resource, on_path};

use super::auth_proxy::is_meant;
use crate::{
    AuthProxies, AuthProxy, Dex, Dexes, Doors, ProxyKind, Told,
    discovery::{Published, ask, at_service, is_in_cluster, of_issuer},
};

check! {
    /// ## What it checks
    /// What Dex publishes at `/.well-known/openid-configuration`: that it answers, that it says it is
    /// who its configuration says, and, where Dex has a name of its own, that the certificate there is
    /// one that clients trust; and that Istio's rules on tokens name the same issuer.
    ///
    /// ## Why it matters
    /// Everybody who takes Dex's tokens (the auth proxy, Istio's RequestAuthentication, the API server)
    /// compares the issuer letter by letter and fetches Dex's keys by this document.
    ///
    /// ## How to fix it
    /// Let `issuer` be the address at which Dex is reached, path included, and give the same to everybody
    /// who takes its tokens. A certificate of one's own authority has to be given to them as well.
    pub(crate) struct DexIssuer;
    id: "onprem-dex-issuer",
    title: "Dex publishes itself as who it is",
}

#[async_trait]
impl Check for DexIssuer {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let dexes = cx.get(Dexes).await?;
        if dexes.is_empty() {
            out.skip("there is no Dex here");
        }
        for dex in dexes.iter() {
            let Some((told, config)) = out.known(dex.workload(), dex.readable()) else { continue };
            // That there is none is found elsewhere.
            let Some(issuer) = &config.issuer else { continue };
            examine_rules(cx, dex, issuer, out).await;
            let seen = published(cx, dex, config, issuer).await;
            let Some(seen) = out.known(service_of(dex), seen) else { continue };
            let proxies = cx.get(AuthProxies).await;
            let mut proxies = proxies.iter().flat_map(|all| all.iter());
            let is_taken = !proxies.any(|proxy| must_trust(proxy, issuer));
            judge(dex, told, issuer, &seen, is_taken, out);
        }
        Ok(())
    }
}

/// The rules on tokens at the gateway that are meant for Dex's.
async fn examine_rules(cx: &Cx, dex: &Dex, issuer: &str, out: &mut Findings) {
    let rules = cx.get(on_path::<RequestAuthentication>()).await;
    let doors = cx.get(Doors).await;
    for rule in rules.iter().flat_map(|rules| rules.objects()) {
        let named: Vec<_> = rule.spec.jwt_rules.iter().map(|jwt| jwt.issuer.as_str()).collect();
        let meant = named.iter().find(|named| is_meant(named, dex));
        let Some(meant) = meant.filter(|_| !named.contains(&issuer)) else { continue };
        for door in doors.iter().flat_map(|all| all.iter()) {
            out.set_up_by(host_resource(&door.host), &**rule);
        }
        let finding = out.fail(&**rule, "takes tokens of another issuer than Dex");
        finding.evidence("takes", meant).evidence("Dex is", issuer);
        let metadata = &rule.metadata;
        finding.fix(
            Risk::None,
            "lets you name Dex's issuer",
            format!(
                "kubectl edit requestauthentication -n {} {}",
                metadata.namespace(),
                metadata.name
            ),
        );
    }
}

/// What Dex answers with: at its Service, or else at its own name. A host that leads to the whole
/// deployment is looked at by others.
async fn published(
    cx: &Cx,
    dex: &Dex,
    config: &DexConfig,
    issuer: &str,
) -> Result<Published, FactError> {
    let doors = cx.get(Doors).await;
    let hosts = doors.iter().flat_map(|all| all.iter()).map(|door| door.host.clone());
    let named = url::Url::parse(issuer).ok().and_then(|url| url.host_str().map(str::to_owned));
    let is_own = !is_in_cluster(issuer) && !hosts.into_iter().any(|host| Some(host) == named);
    let inside = match at_service(dex, config) {
        Some(url) => ask(cx, url).await,
        None => Err(Fault::Unreachable("Dex has no Service".to_owned()).into()),
    };
    match inside {
        Ok(inside) if inside.document().is_none() || !is_own => Ok(inside),
        inside => {
            if is_in_cluster(issuer) {
                return inside;
            }
            let outside = ask(cx, of_issuer(issuer)).await;
            outside.or(inside)
        }
    }
}

fn service_of(dex: &Dex) -> Resource {
    dex.services.first().map_or_else(|| dex.workload(), |service| service.resource())
}

/// Whether a proxy asks an issuer over TLS and trusts nobody but the well-known authorities.
fn must_trust(proxy: &AuthProxy, issuer: &str) -> bool {
    let asks = proxy.issuer().is_some_and(|told| told.value == issuer);
    let own = match proxy.kind {
        ProxyKind::AuthService => "ca_bundle",
        ProxyKind::OAuth2Proxy => "provider_ca_files",
    };
    let is_stated = proxy.told(own).is_some();
    let is_unclear = proxy.unclear(own).is_some();
    // Who is told where to ask has no need to ask the issuer.
    let plain = |name: &str| {
        proxy.unclear(name).is_some()
            || proxy
                .told(name)
                .is_some_and(|told| is_in_cluster(&told.value) || told.value.starts_with("http://"))
    };
    let asks_others =
        proxy.is_on("skip_oidc_discovery") && plain("redeem_url") && plain("oidc_jwks_url");
    asks && !asks_others && !proxy.is_on("ssl_insecure_skip_verify") && !is_stated && !is_unclear
}

fn judge(
    dex: &Dex,
    told: &Told,
    issuer: &str,
    seen: &Published,
    is_taken: bool,
    out: &mut Findings,
) {
    let (answer, subject) = (&seen.answer, service_of(dex));
    // Nobody but this program asks the Service where the issuer is another name.
    let is_asked = seen.url == of_issuer(issuer);
    let untrusted = answer.tls.as_ref().filter(|tls| is_asked && tls.verified == Some(false));
    if let Some(tls) = untrusted {
        let finding = if is_taken {
            out.warn(told, "names an issuer whose certificate is not trusted everywhere")
        } else {
            out.fail(told, "names an issuer whose certificate the auth proxy doesn't trust")
        };
        finding.evidence("address", &seen.url);
        if let Some(error) = &tls.error {
            finding.evidence("because", error);
        }
        finding.fix(Risk::None, "shows the certificate", format!("curl -sv '{}'", seen.url));
        return;
    }
    if let Some(document) = seen.document() {
        if document.issuer == issuer {
            out.ok(&subject);
            return;
        }
        let finding =
            out.fail(dex.workload(), "publishes another issuer than its configuration has");
        // Why it does so, somebody else may know.
        finding.hearsay();
        finding.evidence("publishes", document.issuer).evidence("is told", issuer);
        finding.fix(Risk::Restarts, "starts it again, with what is there", dex.restart());
        return;
    }
    let message = match (answer.status, &answer.error) {
        (Some(404), _) => "has nothing where its issuer leads".to_owned(),
        // A sign-in that stands before it says nothing of Dex.
        (Some(300..=399 | 401 | 403), _) => {
            let says = format!("{} leads to a sign-in before it comes to Dex", seen.url);
            out.known::<()>(&subject, Err(Fault::Unreachable(says).into()));
            return;
        }
        (Some(200), _) => "publishes nothing that is an OpenID configuration".to_owned(),
        (Some(status), _) => format!("answers {status} to whoever asks who it is"),
        (None, _) => "does not answer to whoever asks who it is".to_owned(),
    };
    let finding = out.symptom(&subject, message);
    finding.evidence("address", &seen.url);
    if let Some(error) = &answer.error {
        finding.evidence("because", error);
    }
    let (kind, name) = (dex.workload().kind.to_lowercase(), dex.workload().name);
    let show = format!("kubectl logs -n {} {kind}/{name} --tail=50", dex.namespace);
    finding.fix(Risk::None, "shows what Dex says", show);
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::DexIssuer;
    use crate::testing::Deployment;

    async fn answered(answer: serde_json::Value) -> String {
        let mut deployment = Deployment::signing_in();
        let asked = &mut deployment.file("probes/http")[2];
        asked.as_object_mut().unwrap().remove("bodySnippet");
        asked.as_object_mut().unwrap().extend(answer.as_object().unwrap().clone());
        deployment.report(&DexIssuer).await
    }

    #[tokio::test]
    async fn who_publishes_what_it_is_told_passes() {
        expect![[r#"
            10.64.140.43: nothing broken found. 0 root causes, 0 symptoms; 1 check passed, 0
            not seen.

            pass     onprem-dex-issuer
                     Dex publishes itself as who it is
        "#]]
        .assert_eq(&Deployment::signing_in().report(&DexIssuer).await);
    }

    #[tokio::test]
    async fn another_issuer_than_the_configurations_is_said() {
        let other = json!({ "bodySnippet": "{\"issuer\": \"https://kf.example.com/dex\", \"auth" });
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-dex-issuer
              Deployment auth/dex publishes another issuer than its configuration has
                publishes https://kf.example.com/dex
                is told   http://dex.auth.svc.cluster.local:5556/dex
                fix       starts it again, with what is there
                          kubectl rollout restart deployment/dex -n auth
              kubectl kfcheck explain onprem-dex-issuer

            FAIL     onprem-dex-issuer
                     Dex publishes itself as who it is
        "#]]
        .assert_eq(&answered(other).await);
    }

    #[tokio::test]
    async fn a_dex_that_does_not_answer_as_one_is_no_issuer() {
        let says = answered(json!({ "status": 404, "bodySnippet": "404 page not found" })).await;
        assert!(says.contains("has nothing where its issuer leads"), "{says}");
        let says = answered(json!({ "status": 503 })).await;
        assert!(says.contains("answers 503 to whoever asks who it is"), "{says}");
    }

    #[tokio::test]
    async fn a_rule_on_tokens_has_to_name_dex_as_it_is() {
        let mut deployment = Deployment::signing_in();
        deployment.add(
            json!({ "apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication",
            "metadata": { "namespace": "istio-system", "name": "dex-jwt" },
            "spec": { "jwtRules": [{ "issuer": "https://kf.example.com/dex" },
                { "issuer": "https://kubernetes.default.svc.cluster.local" }] } }),
        );
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-dex-issuer
              RequestAuthentication istio-system/dex-jwt takes tokens of another issuer than
                Dex
                takes     https://kf.example.com/dex
                Dex is    http://dex.auth.svc.cluster.local:5556/dex
                fix       lets you name Dex's issuer
                          kubectl edit requestauthentication -n istio-system dex-jwt
              kubectl kfcheck explain onprem-dex-issuer

            FAIL     onprem-dex-issuer
                     Dex publishes itself as who it is
        "#]]
        .assert_eq(&deployment.report(&DexIssuer).await);
    }

    #[tokio::test]
    async fn a_proxy_that_is_given_the_authority_or_asks_elsewhere_is_not_kept_out() {
        let mut deployment = Deployment::signing_in();
        let issuer = "https://dex.example.com/dex";
        deployment.told("http://dex.auth.svc.cluster.local:5556/dex", issuer);
        deployment.proxy_told("http://dex.auth.svc.cluster.local:5556/dex", issuer);
        deployment.file("probes/http")[2] = json!({ "status": 200,
            "url": format!("{issuer}/.well-known/openid-configuration"),
            "bodySnippet": format!("{{\"issuer\": \"{issuer}\"}}"),
            "tls": { "verified": false, "error": "UnknownIssuer" } });
        assert!(deployment.report(&DexIssuer).await.contains("FAIL"));
        let inside = "redeem_url = \"http://dex.auth.svc:5556/dex/token\"\n\
                      oidc_jwks_url = \"http://dex.auth.svc:5556/dex/keys\"\nupstreams";
        for setting in ["provider_ca_files = [\"/ca/ca.crt\"]\nupstreams", inside] {
            let mut deployment = deployment.clone();
            deployment.proxy_told("upstreams", setting);
            let says = deployment.report(&DexIssuer).await;
            assert!(says.contains("WARNING  onprem-dex-issuer"), "{says}");
        }
        let pod = deployment.in_namespace("Pod", "oauth2-proxy", "oauth2-proxy-7d9f-x1");
        pod["spec"]["containers"][0]["args"] = json!(["--provider-ca-file=/ca/ca.crt"]);
        let says = deployment.report(&DexIssuer).await;
        assert!(says.contains("WARNING  onprem-dex-issuer"), "{says}");
    }

    #[tokio::test]
    async fn what_only_the_cluster_reaches_is_unknown_from_outside() {
        let says = answered(json!({ "status": null, "error": "dns: NXDOMAIN" })).await;
        assert!(says.contains("unknown  onprem-dex-issuer"), "{says}");
        assert!(!says.contains("FAIL"), "{says}");
    }

    #[tokio::test]
    async fn a_certificate_that_nobody_trusts_keeps_tokens_from_being_taken() {
        let mut deployment = Deployment::signing_in();
        let issuer = "https://dex.example.com/dex";
        deployment.told("http://dex.auth.svc.cluster.local:5556/dex", issuer);
        deployment.file("probes/http")[2] = json!({ "status": 200,
            "url": format!("{issuer}/.well-known/openid-configuration"),
            "bodySnippet": format!("{{\"issuer\": \"{issuer}\"}}"),
            "tls": { "verified": false, "error": "UnknownIssuer" } });
        let says = deployment.report(&DexIssuer).await;
        assert!(says.contains("WARNING  onprem-dex-issuer"), "{says}");
        deployment.proxy_told("http://dex.auth.svc.cluster.local:5556/dex", issuer);
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-dex-issuer
              ConfigMap auth/dex names an issuer whose certificate the auth proxy doesn't
                trust
                address   https://dex.example.com/dex/.well-known/openid-configuration
                because   UnknownIssuer
                fix       shows the certificate
                          curl \
                            -sv 'https://dex.example.com/dex/.well-known/openid-configuration'
              kubectl kfcheck explain onprem-dex-issuer

            FAIL     onprem-dex-issuer
                     Dex publishes itself as who it is
        "#]]
        .assert_eq(&deployment.report(&DexIssuer).await);
    }
}
