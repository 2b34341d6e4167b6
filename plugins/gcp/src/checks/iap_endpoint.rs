use kfcheck::{Check, Cx, FactError, Finding, Findings, Resource, Risk, async_trait, check};
use kfcheck_kube::host_resource;
use kfcheck_probe::{HttpAnswer, HttpProbe};
use url::Url;

use crate::{BackendsInUse, Iap, entrances::HostsInUse, sign_in::is_expected};

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
        for host in cx.get(HostsInUse).await?.iter() {
            let subject = host_resource(host);
            let url = format!("https://{host}/");
            let answers = cx.get(HttpProbe { url: url.clone() }).await;
            let Some(answers) = out.known(&subject, answers) else { continue };
            let Some(answer) = HttpAnswer::anonymous(&answers) else { continue };
            let expected = is_expected(cx).await;
            let Some(expected) = out.known(&subject, expected) else { continue };
            let Some(finding) = judge(cx, &subject, answer, expected, out).await? else {
                out.answers(subject);
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
    if let Some(line) = first_words(body) {
        finding.evidence("says", line);
    }
    Ok(Some(finding))
}

/// The first line of a page that says something to people.
fn first_words(body: &str) -> Option<String> {
    let mut words = String::new();
    let mut in_tag = false;
    for c in body.chars() {
        match c {
            '<' => in_tag = true,
            '>' => {
                in_tag = false;
                words.push('\n');
            }
            c if !in_tag => words.push(c),
            _ => (),
        }
    }
    words.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

async fn judge_redirect<'a>(
    cx: &Cx,
    subject: &Resource,
    location: &str,
    expected: bool,
    out: &'a mut Findings,
) -> Result<Option<&'a mut Finding>, FactError> {
    let base = Url::parse(&format!("https://{}/", subject.name)).ok();
    let Some(url) = base.and_then(|base| base.join(location).ok()) else { return Ok(None) };
    if url.host_str() != Some("accounts.google.com") {
        if !expected {
            return Ok(None);
        }
        let finding = out.symptom(subject, "does not lead to Google's sign-in");
        let leads = format!("{}://{}{}", url.scheme(), url.authority(), url.path());
        finding.evidence("leads to", leads);
        return Ok(Some(finding));
    }
    let asked =
        url.query_pairs().find(|(name, _)| name == "client_id").map(|(_, id)| id.into_owned());
    let used = cx.get(BackendsInUse).await?;
    let ids: Vec<_> =
        used.iter().map(|used| used.backend.iap.as_ref().and_then(Iap::client)).collect();
    // A client that Google manages may be any.
    let right: Vec<_> = ids.iter().flatten().copied().collect();
    let managed = right.len() < ids.len();
    match asked {
        Some(asked) if !managed && !right.is_empty() && !right.contains(&&*asked) => {
            let finding = out.symptom(subject, "signs in with another OAuth client");
            finding.evidence("client", asked).evidence("right is", right.join(", "));
            Ok(Some(finding))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::IapEndpoint;
    use crate::testing::Deployment;

    /// A BackendConfig asks for sign-in, by this client, and the host answers so.
    fn answering(client: &str, mut answer: Value) -> Deployment {
        answer["url"] = "https://kf.example.com/".into();
        let mut deployment = Deployment::healthy();
        let named = json!({ "cloud.google.com/backend-config": r#"{"default": "iap"}"# });
        deployment.object("Service")["metadata"]["annotations"] = named;
        deployment.add(json!({ "apiVersion": "cloud.google.com/v1", "kind": "BackendConfig",
            "metadata": { "namespace": "istio-system", "name": "iap" },
            "spec": { "iap": { "enabled": true } } }));
        deployment.file("gcp/compute/backendServices")[0]["iap"] =
            json!({ "enabled": true, "oauth2ClientId": client });
        *deployment.file("probes/http") = json!([answer]);
        deployment
    }

    fn to_sign_in(client: &str) -> Value {
        let location = format!("https://accounts.google.com/o/oauth2/v2/auth?client_id={client}");
        json!({ "status": 302, "headers": { "location": location } })
    }

    #[tokio::test]
    async fn any_client_will_do_where_google_manages_it() {
        let report = answering("", to_sign_in("9-z")).report(&IapEndpoint).await;
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     gcp-iap-endpoint
                     The host answers with Google's sign-in
        "#]]
        .assert_eq(&report);
    }

    #[tokio::test]
    async fn the_sign_in_of_another_client_is_wrong() {
        let report = answering("1-a", to_sign_in("9-z")).report(&IapEndpoint).await;
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-iap-endpoint
              host kf.example.com signs in with another OAuth client
                client    9-z
                right is  1-a
                fix       asks again
                          curl -sSv -o /dev/null https://kf.example.com/
              kubectl kfcheck explain gcp-iap-endpoint

            FAIL     gcp-iap-endpoint
                     The host answers with Google's sign-in
        "#]]
        .assert_eq(&report);
    }

    #[tokio::test]
    async fn an_answer_to_everybody_is_wrong_where_sign_in_is_asked_for() {
        let report = answering("1-a", json!({ "status": 200 })).report(&IapEndpoint).await;
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-iap-endpoint
              host kf.example.com answers without sign-in: it is not protected
                fix       asks again
                          curl -sSv -o /dev/null https://kf.example.com/
              kubectl kfcheck explain gcp-iap-endpoint

            FAIL     gcp-iap-endpoint
                     The host answers with Google's sign-in
        "#]]
        .assert_eq(&report);
    }
}
