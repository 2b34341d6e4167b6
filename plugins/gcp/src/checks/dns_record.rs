use kfcheck::{Check, Cx, FactError, Fault, Findings, Risk, async_trait, check};
use kfcheck_kube::{Entrance, Target, host_resource};
use kfcheck_probe::{DnsAnswer, DnsProbe, HttpAnswer, HttpProbe};

use crate::{GoogleEntrances, entrances::hosts_of};

check! {
    /// ## What it checks
    /// That the name that users type leads to the address of the load balancer.
    ///
    /// ## Why it matters
    /// Requests go nowhere, or to something else; and Google issues no certificate for a name that
    /// doesn't lead to its load balancer.
    ///
    /// ## How to fix it
    /// Set the name's A record to the address of the Ingress or the Gateway. A name under `cloud.goog` is kept by the
    /// Cloud Endpoints controller of the cluster, which needs the address first.
    pub(crate) struct DnsRecord;
    id: "gcp-dns-record",
    title: "The host's name leads to the load balancer",
}

#[async_trait]
impl Check for DnsRecord {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let target = cx.setting::<Target>();
        for entrance in cx.get(GoogleEntrances).await?.iter() {
            for host in hosts_of(&target, entrance) {
                examine(cx, entrance, &host, out).await;
            }
        }
        Ok(())
    }
}

async fn examine(cx: &Cx, entrance: &Entrance, host: &str, out: &mut Findings) {
    let subject = host_resource(host);
    let answers = cx.get(DnsProbe { name: host.to_owned() }).await;
    let Some(answers) = out.known(&subject, answers) else { return };
    if DnsAnswer::is_undecided(&answers) {
        let detail = format!("{host}: {}", DnsAnswer::errors(&answers).join(", "));
        out.known::<()>(&subject, Err(Fault::Unreachable(detail).into()));
        return;
    }
    let found = DnsAnswer::addresses(&answers);
    let ours = entrance.addresses();
    if found.is_empty() {
        let errors = DnsAnswer::errors(&answers).join(", ");
        let is_kept = host.ends_with(".cloud.goog");
        let finding = if ours.is_empty() || is_kept {
            out.unbuilt(&subject, "does not resolve")
        } else {
            out.fail(&subject, "does not resolve")
        };
        if !errors.is_empty() {
            finding.evidence("answer", errors);
        }
        if let Some(address) = ours.first() {
            finding.evidence("should be", *address);
        }
        finding.fix(Risk::None, "asks again", format!("dig +short {host}"));
        if ours.is_empty() {
            // Whoever keeps the record waits for the address.
            out.built_from(&subject, entrance);
        }
        return;
    }
    let there = found.iter().any(|address| ours.contains(address));
    // A proxy of somebody's may stand in front, and pass requests on.
    let others: Vec<_> = found.iter().filter(|address| !ours.contains(address)).collect();
    if there && !others.is_empty() && !others.iter().all(|address| address.contains(':')) {
        let others: Vec<_> = others.into_iter().copied().collect();
        out.warn(&subject, format!("leads to {} as well", others.join(", ")))
            .evidence("should be", ours.join(", "));
        return;
    }
    if there || reaches_sign_in(cx, host).await {
        out.ok(&subject);
        return;
    }
    // There is nothing to compare with before there is an address.
    if ours.is_empty() {
        return;
    }
    out.fail(&subject, format!("leads to {}, not to the load balancer", found.join(", ")))
        .evidence("should be", ours.join(", "))
        .fix(
            Risk::None,
            "asks again; the record is to be changed where it is kept",
            format!("dig +short {host}"),
        );
}

/// Whether a request to the host ends at Google's sign-in, by whatever way.
async fn reaches_sign_in(cx: &Cx, host: &str) -> bool {
    let answers = cx.get(HttpProbe { url: format!("https://{host}/") }).await;
    let answer = answers.as_ref().ok().and_then(|answers| HttpAnswer::anonymous(answers));
    let leads = answer.and_then(HttpAnswer::redirect);
    leads.is_some_and(|to| to.starts_with("https://accounts.google.com/"))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::DnsRecord;
    use crate::testing::Deployment;

    /// What DNS answers, and where a request to the host is sent on to.
    async fn with(answer: Value, redirect: &str) -> String {
        let mut deployment = Deployment::healthy();
        let mut answers = json!({ "name": "kf.example.com", "type": "A" });
        answers.as_object_mut().unwrap().extend(answer.as_object().unwrap().clone());
        *deployment.file("probes/dns") = json!([answers]);
        *deployment.file("probes/http") = json!([{ "url": "https://kf.example.com/",
            "status": 302, "headers": { "location": redirect } }]);
        deployment.report(&DnsRecord).await
    }

    #[tokio::test]
    async fn a_proxy_in_front_may_pass_requests_on_to_googles_sign_in() {
        let sign_in = "https://accounts.google.com/o/oauth2/v2/auth";
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     gcp-dns-record
                     The host's name leads to the load balancer
        "#]]
        .assert_eq(&with(json!({ "answers": ["104.16.0.1"] }), sign_in).await);
    }

    #[tokio::test]
    async fn an_address_of_somebody_elses_is_not_the_load_balancer() {
        let answer = json!({ "answers": ["203.0.113.9"] });
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-dns-record
              host kf.example.com leads to 203.0.113.9, not to the load balancer
                should be 34.1.2.3
                fix       asks again; the record is to be changed where it is kept
                          dig +short kf.example.com
              kubectl kfcheck explain gcp-dns-record

            FAIL     gcp-dns-record
                     The host's name leads to the load balancer
        "#]]
        .assert_eq(&with(answer, "https://parked.example/").await);
    }

    #[tokio::test]
    async fn a_resolver_that_fails_says_nothing_of_the_name() {
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 1 not seen.

            NOT SEEN, so a cause may hide there
              gcp-dns-record
                unreachable: kf.example.com: SERVFAIL

            unknown  gcp-dns-record
                     The host's name leads to the load balancer
                     (unreachable: kf.example.com: SERVFAIL)
        "#]]
        .assert_eq(&with(json!({ "error": "SERVFAIL" }), "").await);
    }
}
