use kfcheck::{Check, Cx, FactError, Findings, Resource, Risk, async_trait, check};
use kfcheck_probe::{HttpAnswer, HttpProbe};

use crate::{CloudView, JwtRule, Policy, RequestAuthentication, on_path};

check! {
    /// ## What it checks
    /// The rules on tokens at the gateway (RequestAuthentication, and Policy before Istio 1.6):
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
        for (subject, rule) in found {
            let audiences = examine_audiences(cx, &subject, rule, out).await;
            let keys = examine_keys(cx, &subject, rule, out).await;
            if audiences && keys {
                out.ok(subject);
            }
        }
        Ok(())
    }
}

/// Whether the audiences are good, as far as they are the provider's.
async fn examine_audiences(
    cx: &Cx,
    subject: &Resource,
    rule: &JwtRule,
    out: &mut Findings,
) -> bool {
    let ours = |audience: &&String| audience.contains("/backendServices/");
    let named: Vec<_> = rule.audiences.iter().filter(ours).collect();
    let (false, Some(cloud)) = (named.is_empty(), cx.setting::<CloudView>().0) else { return true };
    let Some(right) = out.known(subject, cloud.token_audiences(cx).await) else { return false };
    let number = |audience: &str| audience.rsplit('/').next().unwrap_or_default().to_owned();
    let known = |audience: &&String| right.iter().any(|(a, _)| number(a) == number(audience));
    // Without a backend service there is nothing yet that the rule could name.
    let Some((audience, backend)) = right.first() else { return false };
    if named.iter().any(known) {
        return true;
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
    false
}

/// Whether the issuer's keys can be had, where somebody looked.
async fn examine_keys(cx: &Cx, subject: &Resource, rule: &JwtRule, out: &mut Findings) -> bool {
    let Some(url) = rule.jwks_uri.clone().filter(|url| !url.starts_with(GOOGLE_KEYS)) else {
        return true;
    };
    // What only the cluster can reach is not to be asked from here.
    if url.contains(".svc.") || url.contains(".svc/") || url.contains(".svc:") {
        return true;
    }
    let answers = cx.get(HttpProbe { url: url.clone() }).await;
    let Some(answers) = out.known(subject, answers) else { return false };
    let Some(answer) = HttpAnswer::anonymous(&answers) else { return false };
    let tls = answer.tls.as_ref().filter(|tls| tls.verified == Some(false));
    let body = answer.body_snippet.as_deref().unwrap_or("{");
    let message = match (answer.status, tls) {
        (_, Some(_)) => "fetches keys from a server whose certificate is not trusted".to_owned(),
        (None, None) => "fetches keys from a server that does not answer".to_owned(),
        (Some(200), None) if body.trim_start().starts_with('{') => return true,
        (Some(200), None) => "fetches keys where there is no JSON".to_owned(),
        (Some(status), None) => format!("fetches keys and is answered {status}"),
    };
    let finding = out.fail(subject, message).serving().evidence("address", &url);
    let tls_error = tls.and_then(|tls| tls.error.as_deref());
    if let Some(error) = answer.error.as_deref().or(tls_error) {
        finding.evidence("because", error);
    }
    finding.fix(Risk::None, "shows the answer", format!("curl -sv {url}"));
    false
}
