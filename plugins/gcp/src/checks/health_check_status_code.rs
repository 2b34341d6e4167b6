use kfcheck::{Check, Cx, FactError, Findings, Risk, async_trait, check};

use crate::{
    BackendHealth, BackendsInUse, GroupHealth, Health, HealthChecks, LogEntries, LogEntry,
};

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
        let path = cx.path().await?;
        let used = cx.get(BackendsInUse).await?;
        if used.is_empty() {
            return Ok(());
        }
        let checks = cx.get(HealthChecks).await?;
        for used in used.iter() {
            for check in path.below(&used.backend, checks.iter()) {
                let health = cx.get(BackendHealth::of(&used.backend)).await;
                let Some(health) = out.known(check, health) else { continue };
                match GroupHealth::judge(&health) {
                    Health::Healthy(..) => {
                        out.ok(check);
                        continue;
                    }
                    // Without a log there is nothing to go by, and another check says so.
                    Health::Unhealthy(_) if check.logs() => (),
                    Health::Unhealthy(_) | Health::Unsaid => continue,
                }
                let Some(entries) = out.known(check, cx.get(LogEntries).await) else { continue };
                let endpoints: Vec<_> = GroupHealth::endpoints(&health).collect();
                let about = |result: &crate::ProbeResult| {
                    let here =
                        |ip: &str| endpoints.iter().any(|endpoint| endpoint.ip_address == ip);
                    here(&result.ip_address) || here(&result.target_ip)
                };
                let results = LogEntry::probes(&entries, about);
                let odd = |status: u16| status != 200 && (200..400).contains(&status);
                let answered = results.iter().find_map(|result| {
                    Some((result, result.status().filter(|status| odd(*status))?))
                });
                match answered {
                    Some((result, status)) => {
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
                    }
                    None if results.is_empty() => (),
                    None => out.ok(check),
                }
            }
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
