use kfcheck::{Check, Cx, FactError, Fault, Findings, async_trait, check};
use kfcheck_kube::host_resource;
use kfcheck_probe::{HttpAnswer, HttpProbe};
use url::Url;

use crate::{entrances::HostsInUse, facts::resource};

check! {
    /// ## What it checks
    /// Follows the redirect to Google's sign-in and reads whether Google takes the address that it
    /// is to send users back to.
    ///
    /// ## Why it matters
    /// `redirect_uri_mismatch` is a page of Google's that every user ends at. Only the sign-in
    /// itself knows: no API shows what an OAuth client is registered with.
    ///
    /// ## How to fix it
    /// Add the address shown to the client's "Authorized redirect URIs", under APIs & Services,
    /// Credentials. There is no command for it.
    pub(crate) struct IapRedirectUri;
    id: "gcp-iap-redirect-uri",
    title: "Google takes the address to send users back to",
}

const SIGN_IN: &str = "https://accounts.google.com/";

#[async_trait]
impl Check for IapRedirectUri {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        for host in cx.get(HostsInUse).await?.iter() {
            let subject = host_resource(host);
            let answers = cx.get(HttpProbe { url: format!("https://{host}/") }).await;
            let Some(answers) = out.known(&subject, answers) else { continue };
            let location = HttpAnswer::anonymous(&answers).and_then(HttpAnswer::redirect);
            let Some(location) = location.filter(|to| to.starts_with(SIGN_IN)) else {
                continue; // it doesn't come to the sign-in, and another check says so
            };
            let query = |name: &str| {
                let url = Url::parse(location).ok()?;
                url.query_pairs().find(|(n, _)| n == name).map(|(_, value)| value.into_owned())
            };
            let client = query("client_id").unwrap_or_else(|| "of this host".to_owned());
            let subject = resource("OAuthClient", &client);
            let Some(answer) = out.known(&subject, follow(cx, location).await) else { continue };
            let Some(answer) = answer else { continue };
            if is_unknown_client(&answer) {
                out.set_up_by(host_resource(host), &subject);
                out.fail(&subject, "is not known to Google").evidence("says", "deleted_client");
                continue;
            }
            if !is_mismatch(&answer) {
                match answer.status {
                    Some(200..=399) => out.ok(&subject),
                    // It didn't come to an answer that says anything about the address.
                    status => {
                        let what = status
                            .map_or_else(|| "did not answer".into(), |s| format!("answered {s}"));
                        let fault = Fault::Unreachable(format!("Google's sign-in {what}"));
                        out.known::<()>(&subject, Err(fault.into()));
                    }
                }
                continue;
            }
            let uri = query("redirect_uri").unwrap_or_else(|| {
                format!("https://iap.googleapis.com/v1/oauth/clientIds/{client}:handleRedirect")
            });
            out.set_up_by(host_resource(host), &subject);
            out.fail(&subject, "does not know the address to send users back to")
                .evidence("says", "redirect_uri_mismatch")
                .evidence("to add", uri)
                .evidence("where", "the console's APIs & Services, Credentials");
        }
        Ok(())
    }
}

/// What Google answers to the sign-in. Its address is another one each time, so that a recorded
/// answer to any is taken.
async fn follow(cx: &Cx, location: &str) -> Result<Option<HttpAnswer>, FactError> {
    let answers = match cx.get(HttpProbe { url: location.to_owned() }).await {
        Ok(answers) => answers,
        Err(error) => cx.get(HttpProbe { url: format!("{SIGN_IN}*") }).await.map_err(|_| error)?,
    };
    Ok(HttpAnswer::anonymous(&answers).cloned())
}

fn is_unknown_client(answer: &HttpAnswer) -> bool {
    let told = |text: &str| text.contains("deleted_client") || text.contains("invalid_client");
    let body = answer.body_snippet.as_deref().is_some_and(told);
    body || answer.header("location").is_some_and(told)
}

fn is_mismatch(answer: &HttpAnswer) -> bool {
    // In the address of the error page it is base64 of a message that begins so.
    let coded = "redirect_uri_mismatch";
    let told = |text: &str| text.contains(coded) || text.contains("ChVyZWRpcmVjdF91cmlfbWlzbWF0Y2");
    let body = answer.body_snippet.as_deref().is_some_and(told);
    body || answer.header("location").is_some_and(told)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::IapRedirectUri;
    use crate::testing::Deployment;

    /// The host leads to Google's sign-in, which answers so.
    fn answering(mut answer: Value) -> Deployment {
        let back = "https://iap.googleapis.com/v1/oauth/clientIds/1-a:handleRedirect";
        let sign_in = format!(
            "https://accounts.google.com/o/oauth2/v2/auth?client_id=1-a&redirect_uri={back}"
        );
        let mut deployment = Deployment::healthy();
        answer["url"] = sign_in.as_str().into();
        *deployment.file("probes/http") = json!([{ "url": "https://kf.example.com/",
            "status": 302, "headers": { "location": sign_in } }, answer]);
        deployment
    }

    #[tokio::test]
    async fn a_sign_in_that_asks_who_it_is_knows_the_address() {
        let page = json!({ "status": 302, "headers": {
            "location": "https://accounts.google.com/v3/signin/identifier" } });
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     gcp-iap-redirect-uri
                     Google takes the address to send users back to
        "#]]
        .assert_eq(&answering(page).report(&IapRedirectUri).await);
    }

    #[tokio::test]
    async fn a_mismatch_says_which_address_to_add() {
        let page = json!({ "status": 400, "bodySnippet": "Error 400: redirect_uri_mismatch" });
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-iap-redirect-uri
              oauth client 1-a does not know the address to send users back to
                says      redirect_uri_mismatch
                to add    https://iap.googleapis.com/v1/oauth/clientIds/1-a:handleRedirect
                where     the console's APIs & Services, Credentials
              kubectl kfcheck explain gcp-iap-redirect-uri

            FAIL     gcp-iap-redirect-uri
                     Google takes the address to send users back to
        "#]]
        .assert_eq(&answering(page).report(&IapRedirectUri).await);
    }

    #[tokio::test]
    async fn a_host_without_sign_in_has_no_address_to_ask_about() {
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            skip     gcp-iap-redirect-uri
                     Google takes the address to send users back to
                     (there is nothing of the kind here)
        "#]]
        .assert_eq(&Deployment::healthy().report(&IapRedirectUri).await);
    }
}
