use kfcheck::{Check, Cx, FactError, Fault, Findings, Risk, async_trait, check};
use kfcheck_probe::HttpAnswer;

use crate::{IapProbe, entrances::HostsInUse, facts::resource};

check! {
    /// ## What it checks
    /// Where a token was given for it, what the host answers to a request that carries one: that
    /// Identity-Aware Proxy lets it through.
    ///
    /// ## Why it matters
    /// It tells a wrong audience (401) from an account that has no access (403), which a browser's
    /// sign-in page hides.
    ///
    /// ## How to fix it
    /// For 401, mint the token for the client id of the backend service. For 403, grant the account
    /// the role "IAP-secured Web App User".
    pub(crate) struct IapToken;
    id: "gcp-iap-token",
    title: "Identity-Aware Proxy takes the token given",
}

#[async_trait]
impl Check for IapToken {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let mut given = false;
        for host in cx.get(HostsInUse).await?.iter() {
            // The token is the asker's; whoever signs in may well get in.
            let subject = resource("IdentityToken", host);
            let answers = match cx.get(IapProbe { url: format!("https://{host}/") }).await {
                // Asking is up to the user, so that nothing is missing where nobody asked.
                Err(FactError { fault: Fault::NotCollected { .. }, .. }) => continue,
                answers => answers?,
            };
            let Some(answer) = HttpAnswer::with_token(&answers) else { continue };
            given = true;
            let leads = answer.redirect().unwrap_or_default();
            let (message, command) = match answer.status {
                Some(300..=399) if leads.starts_with("https://accounts.google.com/") => {
                    ("is sent to the sign-in all the same", CLIENT)
                }
                Some(200..=399) => {
                    out.ok(subject);
                    continue;
                }
                Some(401) => ("is refused (401)", CLIENT),
                Some(403) => ("is for an account that has no access (403)", ACCESS),
                // Whatever else it is, the token is not to blame.
                _ => continue,
            };
            let finding = out.fail(&subject, message);
            if let Some(says) = answer.body_snippet.as_deref().filter(|says| !says.is_empty()) {
                finding.evidence("says", says);
            }
            finding.fix(command.0, command.1, command.2);
        }
        if !given {
            out.skip("no token was given");
        }
        Ok(())
    }
}

const CLIENT: (Risk, &str, &str) = (
    Risk::None,
    "shows the client id that the token has to be for",
    "gcloud compute backend-services list --format='table(name,iap.oauth2ClientId)'",
);

const ACCESS: (Risk, &str, &str) = (
    Risk::Opens,
    "lets the account in; put it in place of ACCOUNT",
    "gcloud iap web add-iam-policy-binding --member=ACCOUNT \
     --role=roles/iap.httpsResourceAccessor",
);

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::IapToken;
    use crate::testing::Deployment;

    /// A request with a token is answered so.
    fn answering(mut answer: Value) -> Deployment {
        answer["url"] = "https://kf.example.com/".into();
        answer["requestHeaders"] = json!({ "Proxy-Authorization": "Bearer hunter2hunter2" });
        let mut deployment = Deployment::healthy();
        *deployment.file("probes/http") = json!([answer]);
        deployment
    }

    #[tokio::test]
    async fn a_page_means_that_it_is_taken() {
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     gcp-iap-token
                     Identity-Aware Proxy takes the token given
        "#]]
        .assert_eq(&answering(json!({ "status": 200 })).report(&IapToken).await);
    }

    #[tokio::test]
    async fn without_a_token_there_is_nothing_to_judge() {
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            skip     gcp-iap-token
                     Identity-Aware Proxy takes the token given
                     (no token was given)
        "#]]
        .assert_eq(&Deployment::healthy().report(&IapToken).await);
    }
}
