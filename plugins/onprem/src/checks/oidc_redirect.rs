use kfcheck::{Check, Cx, FactError, Fault, Findings, Named, Resource, Risk, async_trait, check};
use kfcheck_kube::host_resource;
use kfcheck_probe::{HttpAnswer, HttpProbe};
use url::{Url, form_urlencoded::Serializer};

use crate::{AuthProxies, Dex, Dexes, DoorAnswer, DoorAnswers, ProxyKind};

check! {
    /// ## What it checks
    /// What somebody who is not signed in is answered, where a proxy or Dex is there to sign people in:
    /// a redirect to Dex (`/dex/auth`), to oauth2-proxy (`/oauth2/start`), or oauth2-proxy's own 401 or
    /// 403; that Dex has the client and the address to come back to that the redirect names; and what
    /// Dex answers to it.
    ///
    /// ## Why it matters
    /// It is the first step of every sign-in. `RBAC: access denied` means that the gateway refuses
    /// people before they are sent to sign in; a page of Dex's that says "Unregistered redirect_uri" or
    /// "Invalid client_id", that it doesn't know who sent them.
    ///
    /// ## How to fix it
    /// The root cause above it is what to mend. On its own, look at the AuthorizationPolicies of the
    /// gateway, and compare what the proxy is told with Dex's `staticClients`.
    pub(crate) struct OidcRedirect;
    id: "onprem-oidc-redirect",
    title: "Who is not signed in is sent to sign in",
}

#[async_trait]
impl Check for OidcRedirect {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let (proxies, dexes) = (cx.get(AuthProxies).await, cx.get(Dexes).await);
        let no_proxy = proxies.as_ref().is_ok_and(|all| all.is_empty());
        let no_dex = dexes.as_ref().is_ok_and(|all| all.is_empty());
        if no_proxy && no_dex {
            out.skip("nothing here signs people in");
            return Ok(());
        }
        let signs_in = SignsIn {
            with_dialog: proxies
                .iter()
                .flat_map(|all| all.iter())
                .any(|proxy| proxy.kind == ProxyKind::OAuth2Proxy),
            with_redirect: proxies
                .iter()
                .flat_map(|all| all.iter())
                .any(|proxy| proxy.kind == ProxyKind::AuthService),
            dexes: dexes.as_ref().map(|all| all.as_slice()).unwrap_or_default(),
        };
        let answers = cx.get(DoorAnswers).await?;
        // What keeps a host from answering is another check's to say.
        let is_answered = |seen: &DoorAnswer| match &seen.answer {
            Ok(answer) => matches!(answer.status, Some(..=403)),
            Err(_) => true,
        };
        if !answers.is_empty() && !answers.iter().any(is_answered) {
            out.skip("nobody gets as far as signing in: the host doesn't answer");
            return Ok(());
        }
        for seen in answers.iter().filter(|seen| is_answered(seen)) {
            let subject = host_resource(&seen.door.host);
            let Some(answer) = out.known(&subject, seen.answer.as_ref().map_err(Clone::clone))
            else {
                continue;
            };
            judge(cx, &subject, &seen.url, answer, &signs_in, out).await;
        }
        Ok(())
    }
}

/// Who signs people in here, and how that shows.
struct SignsIn<'a> {
    /// oauth2-proxy may answer with a page of its own.
    with_dialog: bool,
    /// AuthService always redirects.
    with_redirect: bool,
    dexes: &'a [Dex],
}

async fn judge(
    cx: &Cx,
    subject: &Resource,
    url: &str,
    answer: &HttpAnswer,
    signs_in: &SignsIn<'_>,
    out: &mut Findings,
) {
    let unknown = |says: String, out: &mut Findings| {
        out.known::<()>(subject, Err(Fault::Unreachable(says).into()));
    };
    let body = answer.body_snippet.as_deref().unwrap_or_default();
    let asked = format!("curl -sSv -o /dev/null '{url}'");
    match (answer.status, answer.redirect()) {
        (_, Some(location)) => {
            let target = Url::parse(url).ok().and_then(|url| url.join(location).ok());
            let Some(target) = target else {
                return unknown(format!("{url} leads to {location}"), out);
            };
            judge_redirect(cx, subject, url, answer, &target, signs_in, out).await;
        }
        (Some(status @ (401 | 403)), None) if body.contains("RBAC: access denied") => {
            let message = format!("answers {status} instead of leading to a sign-in");
            let finding = out.symptom(subject, message);
            finding.manner().evidence("says", "RBAC: access denied");
            finding.fix(
                Risk::None,
                "shows who is let in at the gateway",
                "kubectl get authorizationpolicies -n istio-system -o yaml",
            );
        }
        // oauth2-proxy shows its page with 403, and 401 to programs.
        (Some(401 | 403), None) if signs_in.with_dialog || !signs_in.with_redirect => {
            out.answers(subject);
        }
        (Some(status @ (401 | 403)), None) => {
            let finding =
                out.symptom(subject, format!("answers {status} instead of leading to a sign-in"));
            finding.manner().fix(Risk::None, "asks again", asked);
        }
        (Some(200), None) if is_dashboard(body) => {
            let finding = out.fail(subject, "shows the dashboard to who is not signed in");
            finding.manner().fix(
                Risk::None,
                "shows what the gateway asks before it lets somebody in",
                "kubectl get envoyfilters,authorizationpolicies -n istio-system",
            );
        }
        (Some(200), None) if is_sign_in(body) => out.answers(subject),
        (Some(status), None) => {
            unknown(format!("{url} answers {status}, which says nothing of a sign-in"), out);
        }
        (None, None) => {
            let error = answer.error.as_deref().unwrap_or("no answer");
            unknown(format!("{url} does not answer: {error}"), out);
        }
    }
}

fn is_dashboard(body: &str) -> bool {
    body.contains("Kubeflow Central Dashboard")
}

fn is_sign_in(body: &str) -> bool {
    let lower = body.to_lowercase();
    ["sign in", "log in", "login", "password"].iter().any(|word| lower.contains(word))
}

async fn judge_redirect(
    cx: &Cx,
    subject: &Resource,
    url: &str,
    answer: &HttpAnswer,
    target: &Url,
    signs_in: &SignsIn<'_>,
    out: &mut Findings,
) {
    let path = target.path();
    if target.as_str() == url && answer.header("set-cookie").is_none() {
        let finding = out.symptom(subject, "sends browsers back to itself, without end");
        finding.manner().evidence("leads to", target);
        return;
    }
    if !is_dex(path) {
        // oauth2-proxy's own pages, or another provider's.
        let own = ["/oauth2/start", "/oauth2/sign_in", "/authservice/"];
        if own.iter().any(|own| path.contains(own)) || said(target, "client_id").is_some() {
            out.answers(subject);
        } else {
            let says =
                format!("{url} leads to {}, which is no sign-in that is known", page(target));
            out.known::<()>(subject, Err(Fault::Unreachable(says).into()));
        }
        return;
    }
    let (client, back) = (said(target, "client_id"), said(target, "redirect_uri"));
    if let Some(client) = &client
        && let Some(known) = clients(signs_in.dexes)
        && !known.iter().any(|(id, _)| id == client)
    {
        let finding = out.symptom(subject, "sends people to Dex as a client that it doesn't have");
        let ids: Vec<_> = known.into_iter().map(|(id, _)| id).collect();
        finding.manner().evidence("client", client).evidence("Dex has", ids.join(", "));
        return;
    }
    if let (Some(client), Some(back)) = (&client, &back)
        && let Some(known) = clients(signs_in.dexes)
        && let Some((_, uris)) = known.into_iter().find(|(id, _)| id == client)
        && !uris.contains(back)
    {
        let finding =
            out.symptom(subject, "has people come back to an address that Dex doesn't list");
        finding.manner().evidence("address", back).evidence("Dex has", uris.join(", "));
        return;
    }
    match dex_answers(cx, target, client.as_deref(), back.as_deref()).await {
        Ok(answer) => judge_dex(subject, signs_in, &answer, out),
        // One that nobody asked is judged by the first answer alone.
        Err(_) => out.answers(subject),
    }
}

/// Whether a path is Dex's own, at which it begins to sign people in.
fn is_dex(path: &str) -> bool {
    path.ends_with("/auth") && (path.contains("dex") || path == "/auth")
}

fn page(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), url.authority(), url.path())
}

fn said(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

/// The clients that Dex has, each with the addresses to come back to; nothing where not all of them are
/// known.
fn clients(dexes: &[Dex]) -> Option<Vec<(String, Vec<String>)>> {
    let mut found = Vec::new();
    for dex in dexes {
        let (_, config) = dex.readable().ok()?;
        for client in &config.static_clients {
            found.push((dex.id_of(client).ok()??, client.redirect_uris.clone()));
        }
    }
    (!found.is_empty()).then_some(found)
}

/// What Dex answers to somebody who is sent there: asked anew, without the other's state.
async fn dex_answers(
    cx: &Cx,
    target: &Url,
    client: Option<&str>,
    back: Option<&str>,
) -> Result<HttpAnswer, FactError> {
    let url = format!("{}?{}", page(target), query(client, back));
    let answers = cx.get(HttpProbe { url: url.clone() }).await?;
    let nobody = || Fault::Unreachable(format!("nobody asked {url}")).into();
    HttpAnswer::anonymous(&answers).cloned().ok_or_else(nobody)
}

fn query(client: Option<&str>, back: Option<&str>) -> String {
    let mut query = Serializer::new(String::new());
    for (name, value) in [("client_id", client), ("redirect_uri", back)] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    query.append_pair("response_type", "code").append_pair("scope", "openid");
    query.finish()
}

fn judge_dex(subject: &Resource, signs_in: &SignsIn<'_>, answer: &HttpAnswer, out: &mut Findings) {
    let body = answer.body_snippet.as_deref().unwrap_or_default();
    let refused = ["Unregistered redirect_uri", "Invalid client_id"].into_iter();
    let refused = refused.into_iter().find(|words| body.contains(words));
    let message = match (answer.status, refused) {
        (_, Some(words)) => format!("leads to Dex, which refuses who comes: {words}"),
        (Some(status @ (400 | 404 | 500..)), None) => {
            format!("leads to Dex, which answers {status}")
        }
        _ => {
            out.answers(subject);
            return;
        }
    };
    let finding = out.symptom(subject, message);
    finding.manner().evidence("address", answer.url.split('?').next().unwrap_or_default());
    if let Some(dex) = signs_in.dexes.first() {
        let workload = dex.workload();
        let name = format!("{}/{}", workload.kind.to_lowercase(), workload.name);
        let show = format!("kubectl logs -n {} {name} --tail=50", dex.namespace);
        finding.fix(Risk::None, "shows what Dex says", show);
        // Dex is not there, or not as it should be.
        for service in &dex.services {
            out.set_up_by(subject, service.resource());
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::OidcRedirect;
    use crate::testing::Deployment;

    async fn answered(answer: serde_json::Value) -> String {
        let mut deployment = Deployment::signing_in();
        let asked = &mut deployment.file("probes/http")[0];
        *asked = json!({ "url": "http://10.64.140.43/" });
        asked.as_object_mut().unwrap().extend(answer.as_object().unwrap().clone());
        deployment.report(&OidcRedirect).await
    }

    fn leads(to: &str) -> serde_json::Value {
        json!({ "status": 302, "headers": { "location": to } })
    }

    #[tokio::test]
    async fn every_healthy_first_answer_passes() {
        expect![[r#"
            10.64.140.43: nothing broken found. 0 root causes, 0 symptoms; 1 check passed, 0
            not seen.

            pass     onprem-oidc-redirect
                     Who is not signed in is sent to sign in
        "#]]
        .assert_eq(&Deployment::signing_in().report(&OidcRedirect).await);
        for healthy in [
            leads("/oauth2/start?rd=%2F"),
            json!({ "status": 403, "bodySnippet": "<!DOCTYPE html>Sign in with Dex" }),
            json!({ "status": 401, "bodySnippet": "Unauthorized" }),
            leads("https://login.example.com/authorize?client_id=x"),
        ] {
            let says = answered(healthy).await;
            assert!(says.contains("pass     onprem-oidc-redirect"), "{says}");
        }
    }

    #[tokio::test]
    async fn who_is_refused_before_signing_in_is_told_from_who_is_asked_to() {
        let refused = json!({ "status": 403, "bodySnippet": "RBAC: access denied" });
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-oidc-redirect
              host 10.64.140.43 answers 403 instead of leading to a sign-in
                says      RBAC: access denied
                fix       shows who is let in at the gateway
                          kubectl get authorizationpolicies -n istio-system -o yaml
              kubectl kfcheck explain onprem-oidc-redirect

            FAIL     onprem-oidc-redirect
                     Who is not signed in is sent to sign in
        "#]]
        .assert_eq(&answered(refused).await);
    }

    #[tokio::test]
    async fn a_client_or_an_address_that_dex_does_not_know_is_said() {
        let says =
            answered(leads("/dex/auth?client_id=kubeflow&redirect_uri=%2Foauth2%2Fcallback")).await;
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-oidc-redirect
              host 10.64.140.43 sends people to Dex as a client that it doesn't have
                client    kubeflow
                Dex has   kubeflow-oidc-authservice
              kubectl kfcheck explain onprem-oidc-redirect

            FAIL     onprem-oidc-redirect
                     Who is not signed in is sent to sign in
        "#]]
        .assert_eq(&says);
        let back = "/dex/auth?client_id=kubeflow-oidc-authservice&redirect_uri=%2Flogin%2Foidc";
        let says = answered(leads(back)).await;
        assert!(
            says.contains("has people come back to an address that Dex doesn't list"),
            "{says}"
        );
    }

    #[tokio::test]
    async fn what_dex_says_to_who_is_sent_there_counts() {
        let mut deployment = Deployment::signing_in();
        deployment.file("probes/http")[1] = json!({ "status": 400,
            "url": deployment.file("probes/http")[1]["url"],
            "bodySnippet": "Bad Request Unregistered redirect_uri (&#34;/oauth2/callback&#34;)." });
        let says = deployment.report(&OidcRedirect).await;
        assert!(says.contains("leads to Dex, which refuses who comes"), "{says}");
    }

    #[tokio::test]
    async fn a_redirect_to_itself_has_no_end() {
        let says = answered(leads("http://10.64.140.43/")).await;
        assert!(says.contains("sends browsers back to itself"), "{says}");
    }

    #[tokio::test]
    async fn a_dashboard_without_sign_in_is_open() {
        let open =
            json!({ "status": 200, "bodySnippet": "<title>Kubeflow Central Dashboard</title>" });
        let says = answered(open).await;
        assert!(says.contains("shows the dashboard to who is not signed in"), "{says}");
    }

    #[tokio::test]
    async fn an_error_says_nothing_of_sign_in() {
        for answer in [json!({ "status": 503 }), json!({ "error": "connect: refused" })] {
            let says = answered(answer).await;
            assert!(says.contains("skip     onprem-oidc-redirect"), "{says}");
        }
        let says = answered(json!({ "status": 200, "bodySnippet": "It works!" })).await;
        assert!(says.contains("unknown  onprem-oidc-redirect"), "{says}");
    }
}
