use kfcheck::{Check, Cx, FactError, Fault, Findings, Resource, Risk, async_trait, check};
use kfcheck_probe::{HttpAnswer, HttpProbe};

use crate::{CloudView, ConfigMap, JwtRule, Policy, RequestAuthentication, on_path};

check! {
    /// ## What it checks
    /// The rules on tokens at the gateway (RequestAuthentication, Policy before Istio 1.6, and the
    /// ConfigMap of Kubeflow's first proxy):
    /// that the issuer's keys can be fetched and are JSON, and that an audience of Identity-Aware
    /// Proxy's is the number of a backend service that requests go through.
    ///
    /// ## Why it matters
    /// Without the keys no token is good, and every request ends with 401. A backend service that
    /// is made anew gets another number, and the tokens for it are refused until the rule follows.
    ///
    /// ## How to fix it
    /// Let the rule name the audience that the sign-in writes. In Kubeflow on Google Cloud that is
    /// the task of `iap-enabler` or `backend-updater`: restart it, and see that it runs.
    pub(crate) struct Jwks;
    id: "istio-jwks",
    title: "Tokens at the gateway can be verified",
}

/// Google's own keys: they are where they are.
const GOOGLE_KEYS: &str = "https://www.gstatic.com/iap/verify/";

#[async_trait]
impl Check for Jwks {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let rules = cx.get(on_path::<RequestAuthentication>()).await?;
        let policies = cx.get(on_path::<Policy>()).await?;
        let mut found: Vec<(Resource, &JwtRule)> = Vec::new();
        for rule in rules.seen(out) {
            found.extend(rule.spec.jwt_rules.iter().map(|jwt| (Resource::from(&**rule), jwt)));
        }
        for policy in policies.seen(out) {
            found.extend(policy.spec.origins.iter().map(|o| (Resource::from(&**policy), &o.jwt)));
        }
        let maps = cx.get(on_path::<ConfigMap>()).await?;
        let old: Vec<_> =
            maps.objects().iter().map(|map| (Resource::from(&**map), audiences_in(map))).collect();
        found.extend(old.iter().map(|(resource, rule)| (resource.clone(), rule)));
        for (subject, rule) in found {
            let audiences = examine_audiences(cx, &subject, rule, out).await;
            let keys = examine_keys(cx, &subject, rule, out).await;
            // What nobody looked at is no reason to pass.
            let looked = [audiences, keys];
            if looked.contains(&Some(true)) && !looked.contains(&Some(false)) {
                out.ok(subject);
            }
        }
        Ok(())
    }
}

/// The rule of Kubeflow's first proxy, as far as its ConfigMap shows it.
fn audiences_in(map: &ConfigMap) -> JwtRule {
    JwtRule { audiences: map.audiences.iter().cloned().collect(), ..JwtRule::default() }
}

/// Whether the audiences are good; nothing where they aren't the provider's.
async fn examine_audiences(
    cx: &Cx,
    subject: &Resource,
    rule: &JwtRule,
    out: &mut Findings,
) -> Option<bool> {
    let ours = |audience: &&String| audience.contains("/backendServices/");
    let named: Vec<_> = rule.audiences.iter().filter(ours).collect();
    let (false, Some(cloud)) = (named.is_empty(), cx.setting::<CloudView>().0) else { return None };
    let right = out.known(subject, cloud.token_audiences(cx).await)?;
    let number = |audience: &str| audience.rsplit('/').next().unwrap_or_default().to_owned();
    let known = |audience: &&String| right.iter().any(|(a, _)| number(a) == number(audience));
    // Without a backend service there is nothing yet that the rule could name.
    let (audience, backend) = right.first()?;
    if named.iter().any(known) {
        return Some(true);
    }
    out.fail(subject, "takes tokens for a backend service that requests don't go through")
        .serving()
        .evidence("audience", named[0])
        .evidence("right is", format!("{audience} ({backend})"))
        .fix(
            Risk::Restarts,
            "lets Kubeflow's own controller write the audience again",
            format!(
                "kubectl rollout restart deployment/iap-enabler -n {}",
                subject.namespace.as_deref().unwrap_or("istio-system")
            ),
        );
    Some(false)
}

/// Whether the issuer's keys can be had, where somebody looked.
async fn examine_keys(
    cx: &Cx,
    subject: &Resource,
    rule: &JwtRule,
    out: &mut Findings,
) -> Option<bool> {
    let url = rule.jwks_uri.clone().filter(|url| !url.starts_with(GOOGLE_KEYS))?;
    // What only the cluster can reach is not to be asked from here.
    if is_in_cluster(&url) {
        return None;
    }
    let answers = cx.get(HttpProbe { url: url.clone() }).await;
    let answers = out.known(subject, answers)?;
    let answer = HttpAnswer::anonymous(&answers)?;
    let tls = answer.tls.as_ref().filter(|tls| tls.verified == Some(false));
    let tls_error = tls.and_then(|tls| tls.error.as_deref());
    let error = answer.error.as_deref().or(tls_error);
    let wrong = match answer.status {
        // Who fetches them asks from elsewhere, and goes where it is led.
        None | Some(300..=399) => {
            let why = match (answer.status, error) {
                (Some(status), _) => format!("{status}"),
                (None, error) => error.unwrap_or("no answer").to_owned(),
            };
            let says = format!("the keys at {url} were not had from here: {why}");
            out.known::<()>(subject, Err(Fault::Unreachable(says).into()));
            return None;
        }
        Some(200) if is_key_set(answer.body_snippet.as_deref()) => None,
        Some(200) => Some("fetches keys where there are none".to_owned()),
        Some(status) => Some(format!("fetches keys and is answered {status}")),
    };
    let finding = match (wrong, tls) {
        (None, None) => return Some(true),
        (Some(wrong), _) => out.fail(subject, wrong).serving(),
        // It may have been given an authority that isn't known here.
        (None, Some(_)) => {
            out.warn(subject, "fetches keys from a server whose certificate is not trusted here")
        }
    };
    finding.evidence("address", &url);
    if let Some(error) = error {
        finding.evidence("because", error);
    }
    finding.fix(Risk::None, "shows the answer", format!("curl -sv '{url}'"));
    Some(false)
}

/// Whether what is answered, or its beginning, is a set of keys (RFC 7517, section 5).
fn is_key_set(body: Option<&str>) -> bool {
    let Some(body) = body.map(str::trim_start) else { return true };
    match serde_json::from_str::<serde_json::Value>(body) {
        Ok(whole) => whole.get("keys").is_some_and(serde_json::Value::is_array),
        Err(error) => body.starts_with('{') && error.is_eof(),
    }
}

/// Whether an address is one that only the cluster knows: a Service, by whatever part of its name.
fn is_in_cluster(url: &str) -> bool {
    let rest = url.split("://").nth(1).unwrap_or(url);
    let host = rest.split(['/', ':']).next().unwrap_or(rest);
    let labels: Vec<_> = host.split('.').collect();
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    // `dex.auth:5556` may be either, and is not asked.
    let short = labels.len() < 2 || labels.len() == 2 && rest.contains(':');
    !is_address && (short || labels.get(2) == Some(&"svc"))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::Jwks;
    use crate::testing::{ingress, report};

    const KEYS: &str = "https://login.example.com/keys";

    /// A rule at the gateway that fetches keys, and what is answered there.
    async fn with(answer: Value) -> String {
        let pod = json!({ "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": "kubeflow", "name": "gateway", "labels": { "istio": "a" } },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }] } });
        let service = json!({ "apiVersion": "v1", "kind": "Service",
            "metadata": { "namespace": "kubeflow", "name": "gateway" },
            "spec": { "selector": { "istio": "a" }, "ports": [{ "port": 80 }] } });
        let rule = json!({ "apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication",
            "metadata": { "namespace": "kubeflow", "name": "login" }, "spec": { "jwtRules": [
                { "issuer": "https://login.example.com", "jwksUri": KEYS }] } });
        let none = ["deployments.apps", "gateways.networking.istio.io"];
        let none = none.map(|name| format!("kubernetes/{name}.json"));
        let [deployments, gateways] = none.each_ref().map(|name| (&**name, json!({ "items": [] })));
        let routes = "kubernetes/virtualservices.networking.istio.io.json";
        let routes = (routes, json!({ "items": [] }));
        let files = [deployments, gateways, routes, ("probes/http.json", json!([answer]))];
        report(&Jwks, &[ingress("gateway"), service, pod, rule], &files).await
    }

    #[tokio::test]
    async fn keys_that_are_json_are_good() {
        let body = "\n{ \"keys\": [] }";
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     istio-jwks
                     Tokens at the gateway can be verified
        "#]]
        .assert_eq(&with(json!({ "url": KEYS, "status": 200, "bodySnippet": body })).await);
    }

    #[tokio::test]
    async fn a_page_for_people_is_no_keys() {
        let body = "<!DOCTYPE html>";
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  istio-jwks
              RequestAuthentication kubeflow/login fetches keys where there are none
                address   https://login.example.com/keys
                fix       shows the answer
                          curl -sv 'https://login.example.com/keys'
              kubectl kfcheck explain istio-jwks

            FAIL     istio-jwks
                     Tokens at the gateway can be verified
        "#]]
        .assert_eq(&with(json!({ "url": KEYS, "status": 200, "bodySnippet": body })).await);
    }

    #[tokio::test]
    async fn why_a_certificate_is_not_trusted_is_shown_though_others_may_trust_it() {
        let tls = json!({ "verified": false, "error": "UnknownIssuer" });
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            WARNING  istio-jwks
              RequestAuthentication kubeflow/login fetches keys from a server whose
                certificate is not trusted here
                address   https://login.example.com/keys
                because   UnknownIssuer
                fix       shows the answer
                          curl -sv 'https://login.example.com/keys'

            warn     istio-jwks
                     Tokens at the gateway can be verified
        "#]]
        .assert_eq(&with(json!({ "url": KEYS, "status": 200, "tls": tls })).await);
    }

    #[tokio::test]
    async fn no_answer_from_here_says_nothing() {
        for answer in [
            json!({ "url": KEYS, "error": "connect: 10.0.0.7:443: no answer within 5s" }),
            json!({ "url": KEYS, "status": 302 }),
        ] {
            let says = with(answer).await;
            assert!(says.contains("unknown  istio-jwks"), "{says}");
        }
    }

    #[test]
    fn a_set_of_keys_is_told_by_its_beginning() {
        let is = |body| super::is_key_set(Some(body));
        assert!(is(" {\"keys\": []}") && is("{\"keys\": [{\"kty\": \"RS"));
        assert!(!is("{\"error\": \"no\"}") && !is("<html>") && !is("[1"));
        assert!(super::is_key_set(None));
    }
}
