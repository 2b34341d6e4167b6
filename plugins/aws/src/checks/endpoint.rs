use kfcheck::{Check, Cx, FactError, Fault, Finding, Findings, Resource, Risk, async_trait, check};
use kfcheck_kube::host_resource;
use kfcheck_probe::{DnsAnswer, DnsProbe, HttpAnswer, HttpProbe};
use url::Url;

use crate::{
    AuthenticateCognito, CognitoSignIns, FrontClassics, FrontLoadBalancers, FrontTargetGroups,
    Hosts, TargetHealthDescription, TargetsHealth,
    redirect::{Leads, said, target},
    sign_in::{SignInAsked, sign_in_asked},
};

check! {
    /// ## What it checks
    /// What `https://HOST/` answers to somebody who is not signed in: a redirect to the sign-in that
    /// the load balancer was told of, with the right application, and what Cognito says to that; or
    /// else what the deployment's own sign-in answers.
    ///
    /// ## Why it matters
    /// It is what users see. A time-out or 503 means that nothing stands behind the name, a TLS error
    /// that the certificate is wrong, 200 that everybody gets in, `redirect_mismatch` that nobody does.
    ///
    /// ## How to fix it
    /// The root cause above it is what to mend. On its own, look at the load balancer's listener and at
    /// its targets, then at the application that signs users in.
    pub(crate) struct Endpoint;
    id: "aws-endpoint",
    title: "The host answers with a sign-in",
}

#[async_trait]
impl Check for Endpoint {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let hosts = cx.get(Hosts).await?;
        if hosts.is_empty() {
            out.skip("nothing says which host leads here; name it with --host");
        }
        for host in hosts.iter() {
            let subject = host_resource(host);
            let url = format!("https://{host}/");
            let answers = cx.get(HttpProbe { url: url.clone() }).await;
            let Some(answers) = out.known(&subject, answers) else { continue };
            let Some(answer) = HttpAnswer::anonymous(&answers) else { continue };
            let judged = judge(cx, &subject, answer, out).await;
            let Some(finding) = out.known(&subject, judged).flatten() else { continue };
            let finding = finding.show(out, &subject);
            finding.fix(Risk::None, "asks again", format!("curl -sSv -o /dev/null {url}"));
        }
        Ok(())
    }
}

/// What is wrong with an answer, and what shows it.
struct Wrong(String, Vec<(&'static str, String)>);

impl Wrong {
    fn new(message: impl Into<String>) -> Self {
        Self(message.into(), Vec::new())
    }

    fn because(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.1.push((name, value.into()));
        self
    }

    fn show<'a>(self, out: &'a mut Findings, subject: &Resource) -> &'a mut Finding {
        let finding = out.symptom(subject, self.0);
        for (name, value) in self.1 {
            finding.evidence(name, value);
        }
        finding
    }
}

type Judged = Result<Option<Wrong>, FactError>;

async fn judge(cx: &Cx, subject: &Resource, answer: &HttpAnswer, out: &mut Findings) -> Judged {
    if let Some(wrong) = judge_tls(answer) {
        return Ok(Some(wrong));
    }
    let Some(status) = answer.status else {
        return judge_silence(cx, &subject.name, answer).await;
    };
    let by_balancer = answer.header("server").is_some_and(|name| name.starts_with("awselb"));
    let wrong = match (status, answer.redirect()) {
        (_, Some(location)) => judge_redirect(cx, answer, location).await?,
        (200..=299, None) => judge_open(cx, answer, out, subject).await?,
        (401 | 403, None) => {
            let says = first_words(answer);
            says.filter(|says| says.contains("RBAC: access denied"))
                .map(|says| Wrong::new(format!("answers {status}")).because("says", says))
        }
        (429, None) => {
            let says = format!("{} was asked too often: 429", answer.url);
            return Err(Fault::Unreachable(says).into());
        }
        (status, None) => Some(judge_status(status, by_balancer, answer)),
    };
    if wrong.is_none() {
        // What the load balancer answers by itself says nothing of what is behind it.
        if by_balancer && !are_reached(cx).await {
            out.ok(subject);
        } else {
            out.answers(subject);
        }
    }
    Ok(wrong)
}

/// Whether the load balancer reaches something behind it, or may. Where no target is healthy it sends
/// requests to all of them (Elastic Load Balancing documentation, "Target group health"): those whose
/// answer the health check doesn't take have answered, and one on another port says nothing of theirs.
async fn are_reached(cx: &Cx) -> bool {
    for used in cx.get(FrontTargetGroups).await.iter().flat_map(|groups| groups.iter()) {
        let target_group = used.group.target_group_arn.clone();
        let Ok(health) = cx.get(TargetsHealth { target_group }).await else { continue };
        let reached = |target: &TargetHealthDescription| {
            target.target_health.as_ref().is_some_and(|health| {
                health.state == "healthy" || health.reason == "Target.ResponseCodeMismatch"
            })
        };
        let asks_elsewhere = !["", "traffic-port"].contains(&&*used.group.health_check_port)
            && used.group.port.map(|port| port.to_string()).as_ref()
                != Some(&used.group.health_check_port);
        let targets = &health.target_health_descriptions;
        if targets.iter().any(reached) || asks_elsewhere && !targets.is_empty() {
            return true;
        }
    }
    false
}

fn judge_tls(answer: &HttpAnswer) -> Option<Wrong> {
    let tls = answer.tls.as_ref()?;
    let wrong = Wrong::new("shows a certificate that clients don't trust");
    (tls.verified == Some(false)).then(|| match tls.error.as_deref() {
        Some(error) => wrong.because("because", error),
        None => wrong,
    })
}

/// There was no answer; where none was to be expected, nothing is known.
async fn judge_silence(cx: &Cx, host: &str, answer: &HttpAnswer) -> Judged {
    let of_tls = answer.tls.as_ref().and_then(|tls| tls.error.as_deref());
    let error = answer.error.as_deref().or(of_tls).unwrap_or("no answer");
    let lower = error.to_lowercase();
    let unknown =
        |why: &str| Err(Fault::Unreachable(format!("https://{host}/ {why}: {error}")).into());
    if is_undecided(&lower) {
        return unknown("could not be asked");
    }
    let what = if lower.starts_with("dns:") || lower.contains("no such host") {
        "does not resolve"
    } else if ["reset", "eof", "closed", "broken pipe"].iter().any(|word| lower.contains(word)) {
        // Also in the middle of a handshake: an alert would say what is wrong with it.
        "breaks connections off"
    } else if ["tls", "handshake", "ssl"].iter().any(|word| lower.contains(word)) {
        "does not complete a TLS handshake"
    } else if lower.contains("refused") {
        "refuses connections"
    } else if is_internal(cx, host).await {
        return unknown("is for its own network only, and was asked from outside");
    } else if ["timed out", "timeout", "time-out", "no answer within"]
        .iter()
        .any(|w| lower.contains(w))
    {
        "does not answer in time"
    } else {
        "does not answer"
    };
    Ok(Some(Wrong::new(what).because("because", error)))
}

/// Whether an error is the name servers', who couldn't tell.
fn is_undecided(error: &str) -> bool {
    let decided = ["nxdomain", "nodata", "no data", "no such host"];
    error.starts_with("dns:") && !decided.iter().any(|word| error.contains(word))
}

/// Whether the host is reached from within the load balancer's network only.
async fn is_internal(cx: &Cx, host: &str) -> bool {
    let (fronts, classics) = (cx.get(FrontLoadBalancers).await, cx.get(FrontClassics).await);
    let fronts = fronts.iter().flat_map(|all| all.iter()).map(|front| &front.balancer.scheme);
    let classics = classics.iter().flat_map(|all| all.iter()).map(|front| &front.balancer.scheme);
    if fronts.chain(classics).any(|scheme| scheme == "internal") {
        return true;
    }
    let answers = cx.get(DnsProbe { name: host.to_owned() }).await;
    let answers = answers.as_ref().map(|answers| answers.as_slice()).unwrap_or_default();
    let addresses = DnsAnswer::addresses(answers);
    let is_private = |address: &&str| {
        address.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_private())
    };
    !addresses.is_empty() && addresses.iter().all(is_private)
}

/// What the load balancer says itself it says for reasons of its own (Elastic Load Balancing
/// documentation, "Troubleshoot your Application Load Balancers").
fn judge_status(status: u16, by_balancer: bool, answer: &HttpAnswer) -> Wrong {
    let why = match status {
        500 if by_balancer => ": the load balancer finds no way to the identity provider",
        502 if by_balancer => ": what stands behind the load balancer broke the connection off",
        503 if by_balancer => ": the load balancer has no target for it",
        504 if by_balancer => ": what stands behind the load balancer doesn't answer it",
        561 if by_balancer => ": the load balancer got an error from the identity provider",
        404 if by_balancer => ": none of the load balancer's rules is for it",
        _ => "",
    };
    let wrong = Wrong::new(format!("answers {status}{why}"));
    match first_words(answer) {
        Some(says) => wrong.because("says", says),
        None => wrong,
    }
}

async fn judge_open(
    cx: &Cx,
    answer: &HttpAnswer,
    out: &mut Findings,
    subject: &Resource,
) -> Judged {
    if sign_in_asked(cx).await? != SignInAsked::No {
        return Ok(Some(Wrong::new("answers without sign-in: it is not protected")));
    }
    // A page that asks for a password may be all that it shows.
    let body = answer.body_snippet.as_deref().unwrap_or_default();
    if body.contains("Kubeflow Central Dashboard") && !is_internal(cx, &subject.name).await {
        out.warn(subject, "shows the dashboard to everybody: nothing asks for sign-in")
            .evidence("answer", answer.status.unwrap_or_default());
    }
    Ok(None)
}

async fn judge_redirect(cx: &Cx, answer: &HttpAnswer, location: &str) -> Judged {
    let Ok(asked) = Url::parse(&answer.url) else { return Ok(None) };
    let Some(to) = target(&answer.url, location) else { return Ok(None) };
    let leads = Leads::of(&asked, &to);
    let page = format!("{}://{}{}", to.scheme(), to.authority(), to.path());
    // What comes back with a cookie may be answered otherwise the second time.
    if leads == Leads::Back && answer.header("set-cookie").is_none() {
        return Ok(Some(Wrong::new("sends browsers back to itself, without end")));
    }
    // Another name for the same is judged by itself.
    let hosts = cx.get(Hosts).await?;
    if to.host_str() != asked.host_str() && hosts.iter().any(|host| to.host_str() == Some(host)) {
        return Ok(None);
    }
    let expected = sign_in_asked(cx).await?;
    let Leads::Cognito { host, client } = &leads else {
        let is_right = match expected {
            SignInAsked::Cognito => false,
            SignInAsked::Oidc => matches!(leads, Leads::Provider { .. }),
            SignInAsked::No => true,
        };
        let sign_in = if expected == SignInAsked::Cognito { "Cognito's" } else { "the provider's" };
        let wrong = Wrong::new(format!("does not lead to {sign_in} sign-in"));
        return Ok((!is_right).then(|| wrong.because("leads to", page)));
    };
    // Another provider's page may be called as Cognito's is.
    if expected == SignInAsked::Cognito {
        let sign_ins = cx.get(CognitoSignIns).await?;
        if let Some(wrong) = judge_client(&sign_ins, host, client) {
            return Ok(Some(wrong));
        }
    }
    let url = if location.starts_with("https://") { location.to_owned() } else { to.to_string() };
    // One that nobody asked is judged by the first answer alone.
    let Ok(answers) = cx.get(HttpProbe { url }).await else { return Ok(None) };
    match HttpAnswer::anonymous(&answers) {
        Some(answer) => judge_page(host, answer),
        None => Ok(None),
    }
}

fn judge_client(sign_ins: &[AuthenticateCognito], host: &str, client: &str) -> Option<Wrong> {
    let at: Vec<_> = sign_ins.iter().filter(|sign_in| sign_in.is_at(host)).collect();
    if sign_ins.is_empty() || at.iter().any(|sign_in| sign_in.user_pool_client_id == client) {
        return None;
    }
    if at.is_empty() {
        let right: Vec<_> = sign_ins.iter().map(AuthenticateCognito::sign_in_host).collect();
        let wrong = Wrong::new("signs in at another domain").because("domain", host);
        return Some(wrong.because("right is", right.join(", ")));
    }
    let right: Vec<_> = at.iter().map(|sign_in| sign_in.user_pool_client_id.as_str()).collect();
    let wrong = Wrong::new("signs in with another application").because("client", client);
    Some(wrong.because("right is", right.join(", ")))
}

/// What Cognito says to the request for its page.
fn judge_page(host: &str, answer: &HttpAnswer) -> Judged {
    if let Some(Wrong(_, shown)) = judge_tls(answer) {
        let wrong =
            format!("sends browsers to {host}, which shows a certificate that they don't trust");
        return Ok(Some(Wrong(wrong, shown)));
    }
    let Some(status) = answer.status else {
        let error = answer.error.as_deref().unwrap_or("no answer");
        let lower = error.to_lowercase();
        if is_undecided(&lower) {
            return Err(Fault::Unreachable(format!("{host} could not be asked: {error}")).into());
        }
        let what = if lower.starts_with("dns:") || lower.contains("no such host") {
            "does not resolve"
        } else {
            "does not answer"
        };
        let wrong = Wrong::new(format!("sends browsers to {host}, which {what}"));
        return Ok(Some(wrong.because("because", error)));
    };
    if let Some(to) = answer.redirect().and_then(|location| target(&answer.url, location)) {
        let wrong = said(&to, "error").map(|error| {
            let wrong = Wrong::new(format!("leads to a sign-in that Cognito refuses: {error}"));
            match said(&to, "error_description") {
                Some(says) => wrong.because("says", says),
                None => wrong,
            }
        });
        return Ok(wrong);
    }
    match status {
        // A firewall before Cognito may not like who asks.
        403 | 429 => {
            Err(Fault::Unreachable(format!("{host} turned the request away: {status}")).into())
        }
        400.. => {
            let wrong = Wrong::new(format!("leads to a sign-in that Cognito refuses: {status}"));
            Ok(Some(match first_words(answer) {
                Some(says) => wrong.because("says", says),
                None => wrong,
            }))
        }
        _ => Ok(None),
    }
}

/// The first line of a page that says something to people.
fn first_words(answer: &HttpAnswer) -> Option<String> {
    let mut words = String::new();
    let mut in_tag = false;
    for c in answer.body_snippet.as_deref()?.chars() {
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

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::Endpoint;
    use crate::testing::Deployment;

    const AUTHORIZE: &str = "https://auth.example.com/oauth2/authorize?client_id=client&redirect_uri=https%3A%2F%2Fkf.example.com%2Foauth2%2Fidpresponse&response_type=code&scope=openid&state=abc";

    async fn answering(answer: Value) -> String {
        let mut deployment = Deployment::healthy();
        deployment.file("probes/http")[0] = answer;
        deployment.report(&Endpoint).await
    }

    async fn answered_by_cognito(mut answer: Value) -> String {
        let mut deployment = Deployment::healthy();
        answer["url"] = AUTHORIZE.into();
        deployment.file("probes/http").as_array_mut().unwrap().push(answer);
        deployment.report(&Endpoint).await
    }

    #[tokio::test]
    async fn a_redirect_to_cognito_is_right() {
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     aws-endpoint
                     The host answers with a sign-in
        "#]]
        .assert_eq(&Deployment::healthy().report(&Endpoint).await);
    }

    #[tokio::test]
    async fn what_cognito_says_to_the_redirect_counts() {
        let to = "https://auth.example.com/error?error=redirect_mismatch&client_id=client";
        let answer = json!({ "status": 302, "headers": { "location": to } });
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-endpoint
              host kf.example.com leads to a sign-in that Cognito refuses: redirect_mismatch
                fix       asks again
                          curl -sSv -o /dev/null https://kf.example.com/
              kubectl kfcheck explain aws-endpoint

            FAIL     aws-endpoint
                     The host answers with a sign-in
        "#]]
        .assert_eq(&answered_by_cognito(answer).await);
        let answer = json!({ "status": 302, "headers": { "location": "/login?client_id=client" } });
        let says = answered_by_cognito(answer).await;
        assert!(says.contains("nothing broken"), "{says}");
        let says = answered_by_cognito(json!({ "error": "dns: NXDOMAIN" })).await;
        assert!(says.contains("auth.example.com, which does not resolve"), "{says}");
        let says = answered_by_cognito(json!({ "status": 403 })).await;
        assert!(says.contains("NOT SEEN") && says.contains("turned the request away"), "{says}");
    }

    #[tokio::test]
    async fn an_answer_to_everybody_is_wrong_where_sign_in_is_asked_for() {
        let answer = json!({ "url": "https://kf.example.com/", "status": 200 });
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-endpoint
              host kf.example.com answers without sign-in: it is not protected
                fix       asks again
                          curl -sSv -o /dev/null https://kf.example.com/
              kubectl kfcheck explain aws-endpoint

            FAIL     aws-endpoint
                     The host answers with a sign-in
        "#]]
        .assert_eq(&answering(answer).await);
        let says = Deployment::classic().report(&Endpoint).await;
        assert!(says.contains("pass     aws-endpoint"), "{says}");
    }

    #[tokio::test]
    async fn the_sign_in_of_another_application_is_wrong() {
        let location = AUTHORIZE.replace("client_id=client", "client_id=other");
        let answer = json!({ "url": "https://kf.example.com/", "status": 302,
            "headers": { "location": location } });
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-endpoint
              host kf.example.com signs in with another application
                client    other
                right is  client
                fix       asks again
                          curl -sSv -o /dev/null https://kf.example.com/
              kubectl kfcheck explain aws-endpoint

            FAIL     aws-endpoint
                     The host answers with a sign-in
        "#]]
        .assert_eq(&answering(answer).await);
    }

    #[tokio::test]
    async fn what_the_load_balancer_says_itself_is_explained() {
        let answer = json!({ "url": "https://kf.example.com/", "status": 503,
            "headers": { "server": "awselb/2.0" },
            "bodySnippet": "<html><head><title>503 Service Temporarily Unavailable</title>" });
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-endpoint
              host kf.example.com answers 503: the load balancer has no target for it
                says      503 Service Temporarily Unavailable
                fix       asks again
                          curl -sSv -o /dev/null https://kf.example.com/
              kubectl kfcheck explain aws-endpoint

            FAIL     aws-endpoint
                     The host answers with a sign-in
        "#]]
        .assert_eq(&answering(answer).await);
    }

    #[tokio::test]
    async fn a_host_that_is_not_for_who_asks_is_unknown() {
        let mut deployment = Deployment::healthy();
        deployment.file("aws/elbv2/describe-load-balancers")["LoadBalancers"][0]["Scheme"] =
            "internal".into();
        deployment.file("probes/http")[0] = json!({ "url": "https://kf.example.com/",
            "error": "connect: 10.0.0.9:443: no answer within 5s" });
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 1 not seen.

            NOT SEEN, so a cause may hide there
              aws-endpoint
                unreachable: https://kf.example.com/ is for its own network only, and was
                  asked from outside: connect: 10.0.0.9:443: no answer within 5s

            unknown  aws-endpoint
                     The host answers with a sign-in
                     (unreachable: https://kf.example.com/ is for its own network only, and
                     was asked from outside: connect: 10.0.0.9:443: no answer within 5s)
        "#]]
        .assert_eq(&deployment.report(&Endpoint).await);
        let silent = json!({ "url": "https://kf.example.com/", "error": "dial tcp: i/o timeout" });
        let says = answering(silent).await;
        assert!(says.contains("does not answer in time"), "{says}");
    }

    #[tokio::test]
    async fn a_certificate_that_nobody_trusts_is_seen() {
        let answer = json!({ "url": "https://kf.example.com/", "status": 302,
            "headers": { "location": AUTHORIZE },
            "tls": { "verified": false, "error": "certificate not valid for name kf.example.com" } });
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-endpoint
              host kf.example.com shows a certificate that clients don't trust
                because   certificate not valid for name kf.example.com
                fix       asks again
                          curl -sSv -o /dev/null https://kf.example.com/
              kubectl kfcheck explain aws-endpoint

            FAIL     aws-endpoint
                     The host answers with a sign-in
        "#]]
        .assert_eq(&answering(answer).await);
    }

    #[tokio::test]
    async fn a_request_that_nobody_made_is_not_seen() {
        let mut deployment = Deployment::healthy();
        deployment.without("probes/http");
        let says = deployment.report(&Endpoint).await;
        assert!(says.contains("NOT SEEN") && says.contains("curl -sv"), "{says}");
    }
}
