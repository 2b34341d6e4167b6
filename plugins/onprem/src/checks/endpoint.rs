use kfcheck::{Check, Cx, FactError, Findings, Resource, Risk, async_trait, check};
use kfcheck_kube::{covers, host_resource};
use kfcheck_probe::HttpAnswer;

use crate::{DoorAnswer, DoorAnswers, Known, announcers::unreachable};

check! {
    /// ## What it checks
    /// What the address that users reach answers to somebody who is not signed in: whether there is a
    /// connection, whether TLS comes about with a certificate for the name, and whether Istio's gateway
    /// sends the request anywhere.
    ///
    /// ## Why it matters
    /// It is what users see. "No route to host" means that nobody has the address; a connection that
    /// is refused, that nothing listens behind it; 404, that the gateway has no route; 503, that what
    /// it sends requests to is down.
    ///
    /// ## How to fix it
    /// The root cause above it is what to mend. Ask from where users are: from a node of the cluster
    /// the address is reached though nobody outside reaches it.
    pub(crate) struct Endpoint;
    id: "onprem-endpoint",
    title: "The address that users reach answers",
}

#[async_trait]
impl Check for Endpoint {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let answers = cx.get(DoorAnswers).await?;
        if answers.is_empty() {
            out.skip("nothing says where users come in; name it with --host or --address");
        }
        for DoorAnswer { door, url, answer } in answers.iter() {
            let subject = host_resource(&door.host);
            let Some(answer) = out.known(&subject, answer.clone()) else { continue };
            let wrong = match judge(&answer, url, door.known) {
                Ok(None) => {
                    out.answers(&subject);
                    if let Some(why) = is_for_another(&answer, &door.host) {
                        let message = "shows a certificate for another name, which browsers refuse";
                        let finding = out.warn(&subject, message);
                        finding.evidence("asked", url).evidence("because", why);
                    }
                    continue;
                }
                Ok(Some(wrong)) => wrong,
                Err(error) => {
                    out.known::<()>(&subject, Err(error));
                    continue;
                }
            };
            report(&subject, url, wrong, out);
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
}

fn report(subject: &Resource, url: &str, wrong: Wrong, out: &mut Findings) {
    let finding = out.symptom(subject, wrong.0);
    finding.evidence("asked", url);
    for (name, value) in wrong.1 {
        finding.evidence(name, value);
    }
    finding.fix(Risk::None, "asks again", format!("curl -sSkv -o /dev/null {url}"));
}

fn judge(answer: &HttpAnswer, url: &str, known: Known) -> Result<Option<Wrong>, FactError> {
    let Some(status) = answer.status else { return judge_silence(answer, url, known) };
    let tls = answer.tls.as_ref();
    let distrust =
        tls.filter(|tls| tls.verified == Some(false)).and_then(|tls| tls.error.as_deref());
    if let Some(error) = distrust.filter(|error| error.to_lowercase().contains("expired")) {
        // One that nobody but its owner signed is common here; one that has run out is a mistake.
        let wrong = Wrong::new("shows a certificate that has expired");
        return Ok(Some(wrong.because("because", error)));
    }
    let wrong = match status {
        404 => Wrong::new("answers 404: the gateway has no route for it"),
        502..=504 => {
            let by = answer.header("server").unwrap_or_default();
            let by_gateway = by.contains("envoy");
            let why = if by_gateway { ": what the gateway sends requests to is down" } else { "" };
            Wrong::new(format!("answers {status}{why}"))
        }
        500.. => Wrong::new(format!("answers {status}")),
        // Whether it leads to a sign-in is not asked here.
        _ => return Ok(None),
    };
    let says = answer.body_snippet.as_deref().and_then(first_words);
    Ok(Some(match says {
        Some(says) => wrong.because("says", says),
        None => wrong,
    }))
}

/// What shows that a certificate isn't for the name that users type, if that can be told.
fn is_for_another(answer: &HttpAnswer, host: &str) -> Option<String> {
    // Nobody has a certificate for the address of a network's own.
    if host.parse::<std::net::IpAddr>().is_ok() {
        return None;
    }
    let tls = answer.tls.as_ref()?;
    let error = tls.error.as_deref().filter(|_| tls.verified == Some(false));
    if let Some(error) = error.filter(|error| error.contains("not valid for name")) {
        return Some(error.to_owned());
    }
    let names = tls.dns_names.as_deref().filter(|names| !names.is_empty())?;
    (!names.iter().any(|name| covers(name, host)))
        .then(|| format!("it is for {}", names.join(", ")))
}

/// There was no answer.
fn judge_silence(answer: &HttpAnswer, url: &str, known: Known) -> Result<Option<Wrong>, FactError> {
    let of_tls = answer.tls.as_ref().and_then(|tls| tls.error.as_deref());
    let error = answer.error.as_deref().or(of_tls).unwrap_or("no answer");
    let lower = error.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let is_dns = lower.starts_with("dns:") || has(&["no such host", "nxdomain"]);
    if is_dns {
        let decided = has(&["nxdomain", "nodata", "no data", "no such host"]);
        // A name of the gateway's own need not be one of the name servers'.
        if !decided || known == Known::Declared {
            return Err(unreachable(format!("{url} could not be asked: {error}")));
        }
    }
    if has(&["permission denied", "operation not permitted", "too many open files"]) {
        return Err(unreachable(format!("{url} could not be asked: {error}")));
    }
    let what = if is_dns {
        "does not resolve"
    } else if has(&["refused"]) {
        "refuses connections"
    } else if has(&["no route", "unreachable"]) {
        "is not there: nobody on the network has it"
    } else if has(&["reset", "eof", "closed", "broken pipe"]) {
        "breaks connections off"
    } else if has(&["tls", "handshake", "ssl", "certificate"]) {
        "does not complete a TLS handshake"
    } else if has(&["timed out", "timeout", "time-out", "no answer within"]) {
        "does not answer in time"
    } else {
        "does not answer"
    };
    Ok(Some(Wrong::new(what).because("because", error)))
}

/// The first line of a page that says something to people.
pub(crate) fn first_words(body: &str) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::Endpoint;
    use crate::testing::Deployment;

    async fn answering(mut answer: Value) -> String {
        let mut deployment = Deployment::healthy();
        answer["url"] = "http://10.64.140.43/".into();
        deployment.file("probes/http")[0] = answer;
        deployment.report(&Endpoint).await
    }

    #[tokio::test]
    async fn an_answer_is_one() {
        for answer in [
            json!({ "status": 302, "headers": { "location": "/dex/auth" } }),
            json!({ "status": 302, "headers": { "location": "/", "set-cookie": "a=b" } }),
            json!({ "status": 403, "bodySnippet": "<html>Sign in" }),
            json!({ "status": 200 }),
        ] {
            let says = answering(answer).await;
            assert!(says.contains("pass     onprem-endpoint"), "{says}");
        }
        let says = Deployment::node_port().report(&Endpoint).await;
        assert!(says.contains("10.64.140.12: nothing broken found"), "{says}");
    }

    #[tokio::test]
    async fn no_connection_says_how_so() {
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-endpoint
              host 10.64.140.43 refuses connections
                asked     http://10.64.140.43/
                because   dial tcp 10.64.140.43:80: connect: connection refused
                fix       asks again
                          curl -sSkv -o /dev/null http://10.64.140.43/
              kubectl kfcheck explain onprem-endpoint

            FAIL     onprem-endpoint
                     The address that users reach answers
        "#]]
        .assert_eq(
            &answering(json!({ "error": "dial tcp 10.64.140.43:80: connect: connection refused" }))
                .await,
        );
        for (error, says) in [
            ("dial tcp 10.64.140.43:80: connect: no route to host", "nobody on the network has it"),
            ("connect: 10.64.140.43:80: no answer within 5s", "does not answer in time"),
            ("http: connection closed before message completed", "breaks connections off"),
            ("tls: received fatal alert: HandshakeFailure", "does not complete a TLS handshake"),
        ] {
            let report = answering(json!({ "error": error })).await;
            assert!(report.contains(says), "{report}");
        }
    }

    #[tokio::test]
    async fn what_the_gateway_says_itself_is_explained() {
        let answer = json!({ "status": 503, "headers": { "server": "istio-envoy" },
            "bodySnippet": "no healthy upstream" });
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-endpoint
              host 10.64.140.43 answers 503: what the gateway sends requests to is down
                asked     http://10.64.140.43/
                says      no healthy upstream
                fix       asks again
                          curl -sSkv -o /dev/null http://10.64.140.43/
              kubectl kfcheck explain onprem-endpoint

            FAIL     onprem-endpoint
                     The address that users reach answers
        "#]]
        .assert_eq(&answering(answer).await);
        let says = answering(json!({ "status": 404 })).await;
        assert!(says.contains("answers 404: the gateway has no route for it"), "{says}");
    }

    #[tokio::test]
    async fn the_place_that_speaks_tls_is_asked_where_it_is_sent_to() {
        let mut deployment = Deployment::healthy();
        *deployment.file("probes/http") = json!([
            { "url": "http://10.64.140.43/", "status": 301,
                "headers": { "location": "https://10.64.140.43/" } },
            { "url": "https://10.64.140.43/", "status": 302, "headers": { "location": "/dex/auth" },
                "tls": { "verified": false, "error": "certificate expired: verification time 1" } }]);
        let says = deployment.report(&Endpoint).await;
        assert!(says.contains("shows a certificate that has expired"), "{says}");
        deployment.file("probes/http")[1]["tls"]["error"] = "self-signed certificate".into();
        let says = deployment.report(&Endpoint).await;
        assert!(says.contains("pass     onprem-endpoint"), "{says}");
    }

    #[tokio::test]
    async fn a_certificate_for_another_name_is_refused_by_browsers() {
        let mut deployment = Deployment::healthy();
        deployment.file("bundle")["onprem"]["hostname"] = "kf.example.com".into();
        let tls = |names: serde_json::Value, error: &str| {
            json!([{ "url": "https://kf.example.com/", "status": 302,
                "headers": { "location": "/dex/auth" },
                "tls": { "verified": false, "error": error, "dnsNames": names } }])
        };
        let named = tls(json!([]), "certificate not valid for name kf.example.com");
        let own = tls(json!(["old.example.com"]), "certificate signed by an unknown authority");
        for answers in [named, own] {
            *deployment.file("probes/http") = answers;
            let says = deployment.report(&Endpoint).await;
            assert!(says.contains("WARNING  onprem-endpoint"), "{says}");
        }
        *deployment.file("probes/http") = tls(json!(["*.example.com"]), "unknown authority");
        let says = deployment.report(&Endpoint).await;
        assert!(says.contains("pass     onprem-endpoint"), "{says}");
    }

    #[tokio::test]
    async fn who_asked_by_another_scheme_has_asked() {
        let mut deployment = Deployment::healthy();
        deployment.file("probes/http")[0]["url"] = "https://10.64.140.43/".into();
        let says = deployment.report(&Endpoint).await;
        assert!(says.contains("pass     onprem-endpoint"), "{says}");
        deployment.without("probes/http");
        let says = deployment.report(&Endpoint).await;
        assert!(says.contains("unknown  onprem-endpoint"), "{says}");
    }

    #[tokio::test]
    async fn a_name_that_name_servers_do_not_know_is_missing_where_somebody_said_it() {
        let mut deployment = Deployment::healthy();
        deployment.file("bundle")["onprem"]["hostname"] = "kf.example.com".into();
        *deployment.file("probes/http") =
            json!([{ "url": "http://kf.example.com/", "error": "dns: NXDOMAIN" }]);
        let says = deployment.report(&Endpoint).await;
        assert!(says.contains("host kf.example.com does not resolve"), "{says}");
        deployment.file("bundle")["onprem"] = json!({});
        deployment.object("Gateway")["spec"]["servers"][0]["hosts"] = json!(["kf.example.com"]);
        let says = deployment.report(&Endpoint).await;
        assert!(says.contains("unknown  onprem-endpoint"), "{says}");
    }
}
