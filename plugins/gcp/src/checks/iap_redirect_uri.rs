use kfcheck::{Check, Cx, FactError, Findings, Risk, async_trait, check};
use kfcheck_kube::{EntranceIngresses, Target, host_resource};
use kfcheck_probe::{HttpAnswer, HttpProbe};
use url::Url;

use crate::{GceIngresses, facts::resource};

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
        if cx.get(GceIngresses).await?.is_empty() {
            return Ok(());
        }
        let target = cx.setting::<Target>();
        let ingresses = cx.get(EntranceIngresses).await?;
        let hosts = ingresses.iter().flat_map(|ingress| ingress.hosts());
        let hosts: Vec<_> = match &target.host {
            Some(host) => vec![host.as_str()],
            None => hosts.filter(|host| !host.contains('*')).collect(),
        };
        for host in hosts {
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
            if !is_mismatch(&answer) {
                out.ok(&subject);
                continue;
            }
            let uri = query("redirect_uri").unwrap_or_else(|| {
                format!("https://iap.googleapis.com/v1/oauth/clientIds/{client}:handleRedirect")
            });
            out.depends(host_resource(host), &subject);
            out.fail(&subject, "does not know the address to send users back to")
                .evidence("says", "redirect_uri_mismatch")
                .evidence("to add", uri)
                .fix(
                    Risk::None,
                    "opens the page where it is to be added",
                    "xdg-open https://console.cloud.google.com/apis/credentials",
                );
        }
        Ok(())
    }
}

/// What Google answers to the sign-in. Its address is another one each time, so that a recorded
/// answer to any is taken.
async fn follow(cx: &Cx, location: &str) -> Result<Option<HttpAnswer>, FactError> {
    let answers = match cx.get(HttpProbe { url: location.to_owned() }).await {
        Ok(answers) => answers,
        Err(_) => cx.get(HttpProbe { url: format!("{SIGN_IN}*") }).await?,
    };
    Ok(HttpAnswer::anonymous(&answers).cloned())
}

fn is_mismatch(answer: &HttpAnswer) -> bool {
    // In the address of the error page it is base64 of a message that begins so.
    let coded = "redirect_uri_mismatch";
    let told = |text: &str| text.contains(coded) || text.contains("ChVyZWRpcmVjdF91cmlfbWlzbWF0Y2");
    let body = answer.body_snippet.as_deref().is_some_and(told);
    body || answer.header("location").is_some_and(told)
}
