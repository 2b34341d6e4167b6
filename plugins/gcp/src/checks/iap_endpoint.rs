use std::collections::BTreeSet;

use kfcheck::{Check, Cx, FactError, Finding, Findings, Resource, Risk, async_trait, check};
use kfcheck_kube::{Target, host_resource};
use kfcheck_probe::{HttpAnswer, HttpProbe};
use url::Url;

use crate::{BackendsInUse, GceIngresses, sign_in::is_expected};

check! {
    /// ## What it checks
    /// What `https://HOST/` answers to somebody who is not signed in: a redirect to Google's sign-in
    /// with the right client, where Identity-Aware Proxy is counted on.
    ///
    /// ## Why it matters
    /// It is what users see. 502 means that no backend is healthy, 404 that the load balancer isn't
    /// complete, a TLS error that there is no certificate yet, 200 that everybody gets in.
    ///
    /// ## How to fix it
    /// The root cause above it is what to mend. On its own, look at the certificate, then at the
    /// backend services.
    pub(crate) struct IapEndpoint;
    id: "gcp-iap-endpoint",
    title: "The host answers with Google's sign-in",
}

#[async_trait]
impl Check for IapEndpoint {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let target = cx.setting::<Target>();
        let mut hosts = BTreeSet::new();
        for ingress in cx.get(GceIngresses).await?.iter() {
            match &target.host {
                Some(host) => drop(hosts.insert(host.clone())),
                None => hosts.extend(ingress.hosts().map(str::to_owned)),
            }
        }
        for host in hosts.iter().filter(|host| !host.contains('*')) {
            let subject = host_resource(host);
            let url = format!("https://{host}/");
            let answers = cx.get(HttpProbe { url: url.clone() }).await;
            let Some(answers) = out.known(&subject, answers) else { continue };
            let Some(answer) = HttpAnswer::anonymous(&answers) else { continue };
            let expected = is_expected(cx).await;
            let Some(expected) = out.known(&subject, expected) else { continue };
            let Some(finding) = judge(cx, &subject, answer, expected, out).await? else {
                out.ok(subject);
                continue;
            };
            finding.fix(Risk::None, "asks again", format!("curl -sSv -o /dev/null {url}"));
        }
        Ok(())
    }
}

async fn judge<'a>(
    cx: &Cx,
    subject: &Resource,
    answer: &HttpAnswer,
    expected: bool,
    out: &'a mut Findings,
) -> Result<Option<&'a mut Finding>, FactError> {
    let tls = answer.tls.as_ref();
    if tls.is_some_and(|tls| tls.verified == Some(false)) {
        let finding = out.symptom(subject, "shows a certificate that clients don't trust");
        if let Some(error) = tls.and_then(|tls| tls.error.as_deref()) {
            finding.evidence("because", error);
        }
        return Ok(Some(finding));
    }
    let Some(status) = answer.status else {
        let error = answer.error.as_deref().or(tls.and_then(|tls| tls.error.as_deref()));
        let error = error.unwrap_or("no answer");
        let lower = error.to_lowercase();
        let what = if lower.contains("tls") || lower.contains("handshake") || lower.contains("ssl")
        {
            "does not complete a TLS handshake"
        } else {
            "does not answer"
        };
        let finding = out.symptom(subject, what);
        finding.evidence("because", error);
        return Ok(Some(finding));
    };
    if let Some(location) = answer.redirect() {
        return judge_redirect(cx, subject, location, expected, out).await;
    }
    let body = answer.body_snippet.as_deref().unwrap_or_default();
    let by_iap = answer.header("x-goog-iap-generated-response").is_some();
    let message = match status {
        200..=299 if expected => "answers without sign-in: it is not protected".to_owned(),
        200..=299 => return Ok(None),
        401 | 403 if by_iap => return Ok(None),
        401 | 403 if !expected => return Ok(None),
        404 => "answers 404".to_owned(),
        status => format!("answers {status}"),
    };
    let finding = out.symptom(subject, message);
    if let Some(line) = body.lines().find(|line| !line.trim().is_empty()) {
        finding.evidence("says", line.trim());
    }
    Ok(Some(finding))
}

async fn judge_redirect<'a>(
    cx: &Cx,
    subject: &Resource,
    location: &str,
    expected: bool,
    out: &'a mut Findings,
) -> Result<Option<&'a mut Finding>, FactError> {
    let Ok(url) = Url::parse(location) else { return Ok(None) };
    if url.host_str() != Some("accounts.google.com") {
        if !expected || url.host_str() == Some(subject.name.as_str()) {
            return Ok(None);
        }
        let finding = out.symptom(subject, "does not lead to Google's sign-in");
        finding
            .evidence("leads to", format!("{}://{}{}", url.scheme(), url.authority(), url.path()));
        return Ok(Some(finding));
    }
    let asked =
        url.query_pairs().find(|(name, _)| name == "client_id").map(|(_, id)| id.into_owned());
    let used = cx.get(BackendsInUse).await?;
    let right: Vec<_> = used
        .iter()
        .filter_map(|used| used.backend.iap.as_ref()?.oauth2_client_id.clone())
        .collect();
    match asked {
        Some(asked)
            if !right.is_empty() && !right.iter().any(|id| id.is_empty() || *id == asked) =>
        {
            let finding = out.symptom(subject, "signs in with another OAuth client");
            finding.evidence("client", asked).evidence("right is", right.join(", "));
            Ok(Some(finding))
        }
        _ => Ok(None),
    }
}
