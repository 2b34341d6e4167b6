use kfcheck::{Check, Cx, FactError, Findings, Risk, async_trait, check};

use crate::{Health, health::HealthChecksInUse};

check! {
    /// ## What it checks
    /// For every backend service without a healthy endpoint whose health check logs, whether the
    /// probes are answered with 204 or a redirect.
    ///
    /// ## Why it matters
    /// The kubelet takes any status from 200 to 399 for a yes, so the pods are ready; Google's
    /// health check takes 200 and nothing else.
    ///
    /// ## How to fix it
    /// Point the health check to a path that answers 200, by a BackendConfig, or let the server
    /// answer 200 where it is asked. A redirect to HTTPS means that the health check should speak
    /// HTTPS.
    pub(crate) struct HealthCheckStatusCode;
    id: "gcp-health-check-status-code",
    title: "Health checks are answered 200",
}

#[async_trait]
impl Check for HealthCheckStatusCode {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        for in_use in cx.get(HealthChecksInUse).await?.iter() {
            let check = &in_use.check;
            match out.known(check, in_use.health.clone()) {
                Some(Health::Healthy(..)) => {
                    out.ok(check);
                    continue;
                }
                Some(Health::Unhealthy(_)) if check.logs() => (),
                // Without a log there is nothing to go by, and another check says so.
                _ => continue,
            }
            let Some(results) = out.known(check, in_use.probes(cx).await) else { continue };
            let odd = |status: &u16| *status != 200 && (200..400).contains(status);
            let mut answered = results.iter().filter_map(|r| Some((r, r.status().filter(odd)?)));
            if let Some((result, status)) = answered.next() {
                let message = format!(
                    "is answered {status}, which the kubelet takes for a yes and Google doesn't"
                );
                out.fail(check, message)
                    .evidence("log", &result.probe_result_text)
                    .evidence("asks", &result.probe_request)
                    .fix(
                        Risk::None,
                        "asks another path; put one that answers 200 in place of /PATH",
                        format!("{} --request-path /PATH", check.update()),
                    );
            } else if results.iter().any(|result| result.status() == Some(200)) {
                out.ok(check);
            }
        }
        if out.is_clean() {
            out.skip("no health check that fails has logged a status");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::HealthCheckStatusCode;
    use crate::testing::Deployment;

    /// Nothing is healthy, and the last probe was answered so.
    fn answered(text: &str) -> Deployment {
        let mut deployment = Deployment::healthy();
        deployment.unhealthy();
        deployment.file("gcp/compute/healthChecks")[0]["logConfig"] = json!({ "enable": true });
        *deployment.file("gcp/logging/entries") = json!([{ "timestamp": "2026-11-21T11:58:00Z",
            "jsonPayload": { "healthCheckProbeResult": { "healthState": "UNHEALTHY",
                "ipAddress": "10.0.0.2", "targetIp": "10.0.0.2", "targetPort": 31380,
                "probeRequest": "/ready",
                "probeResultText": text } } }]);
        deployment
    }

    #[tokio::test]
    async fn a_redirect_is_no_200() {
        let text = "HTTP response: 302, Error: N/A";
        let report = answered(text).report(&HealthCheckStatusCode).await;
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-health-check-status-code
              health check k8s-be-31380--u is answered 302, which the kubelet takes for a
                yes and Google doesn't
                log       HTTP response: 302, Error: N/A
                asks      /ready
                fix       asks another path; put one that answers 200 in place of /PATH
                          gcloud compute health-checks update http k8s-be-31380--u \
                            --project p --global --request-path /PATH
              kubectl kfcheck explain gcp-health-check-status-code

            FAIL     gcp-health-check-status-code
                     Health checks are answered 200
        "#]]
        .assert_eq(&report);
    }

    #[tokio::test]
    async fn an_answer_before_it_got_healthy_is_over() {
        let text = "HTTP response: 204, Error: N/A";
        let mut deployment = answered(text);
        let health = deployment.file("gcp/compute/backendServiceHealth");
        health["k8s-be-31380--u"][0]["status"]["healthStatus"][0]["healthState"] = "HEALTHY".into();
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     gcp-health-check-status-code
                     Health checks are answered 200
        "#]]
        .assert_eq(&deployment.report(&HealthCheckStatusCode).await);
    }
}
