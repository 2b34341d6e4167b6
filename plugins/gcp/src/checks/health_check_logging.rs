use kfcheck::{Check, Cx, FactError, Findings, Risk, async_trait, check};

use crate::{Health, ProbeResult, health::HealthChecksInUse};

check! {
    /// ## What it checks
    /// For every backend service without a healthy endpoint, whether its health check logs what it
    /// is answered; and if so, what it was answered last.
    ///
    /// ## Why it matters
    /// The load balancer says "unhealthy" and nothing more. Only the log says whether a probe ran
    /// into a timeout, was refused, or got another status than 200.
    ///
    /// ## How to fix it
    /// Turn logging on, wait for a probe or two, and look again. A BackendConfig can't do it.
    pub(crate) struct HealthCheckLogging;
    id: "gcp-health-check-logging",
    title: "Health checks that fail log why",
}

/// How many results are quoted.
const QUOTED: usize = 3;

#[async_trait]
impl Check for HealthCheckLogging {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        for in_use in cx.get(HealthChecksInUse).await?.iter() {
            let check = &in_use.check;
            match out.known(check, in_use.health.clone()) {
                None => continue,
                Some(Health::Unhealthy(_)) => (),
                Some(_) => {
                    out.ok(check);
                    continue;
                }
            }
            if !check.logs() {
                out.warn(check, "doesn't log why it fails").fix(
                    Risk::None,
                    "turns logging on",
                    format!("{} --enable-logging", check.update()),
                );
                continue;
            }
            let Some(results) = out.known(check, in_use.probes(cx).await) else { continue };
            if results.is_empty() {
                out.warn(check, "has logged nothing about its endpoints in the last hour");
                continue;
            }
            let finding = out.warn(check, "has logged why it fails");
            for result in results.iter().take(QUOTED) {
                let ProbeResult { ip_address, probe_request, probe_result_text, .. } = result;
                let port = result.target_port.map_or(String::new(), |port| format!(":{port}"));
                let text = format!("{ip_address}{port}{probe_request} → {probe_result_text}");
                finding.evidence("log", text);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::HealthCheckLogging;
    use crate::testing::Deployment;

    #[tokio::test]
    async fn a_health_check_that_succeeds_has_nothing_to_log() {
        let report = Deployment::healthy().report(&HealthCheckLogging).await;
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     gcp-health-check-logging
                     Health checks that fail log why
        "#]]
        .assert_eq(&report);
    }

    #[tokio::test]
    async fn one_that_fails_should() {
        let mut deployment = Deployment::healthy();
        deployment.unhealthy();
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            WARNING  gcp-health-check-logging
              health check k8s-be-31380--u doesn't log why it fails
                fix       turns logging on
                          gcloud compute health-checks update http k8s-be-31380--u \
                            --project p --global --enable-logging

            warn     gcp-health-check-logging
                     Health checks that fail log why
        "#]]
        .assert_eq(&deployment.report(&HealthCheckLogging).await);
    }

    #[tokio::test]
    async fn what_it_logged_of_its_endpoints_is_quoted() {
        let mut deployment = Deployment::healthy();
        deployment.unhealthy();
        deployment.file("gcp/compute/healthChecks")[0]["logConfig"] = json!({ "enable": true });
        let entry = |ip: &str| {
            json!({ "timestamp": "2026-11-21T11:58:00Z", "jsonPayload": {
            "healthCheckProbeResult": { "healthState": "UNHEALTHY", "ipAddress": ip,
                "targetIp": ip, "targetPort": 31380, "probeRequest": "/ready",
                "probeResultText": "HTTP response: , Error: Timeout waiting for connect" } } })
        };
        *deployment.file("gcp/logging/entries") = json!([entry("10.9.9.9"), entry("10.0.0.2")]);
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            WARNING  gcp-health-check-logging
              health check k8s-be-31380--u has logged why it fails
                log       10.0.0.2:31380/ready → HTTP response: , Error: Timeout waiting for
                          connect

            warn     gcp-health-check-logging
                     Health checks that fail log why
        "#]]
        .assert_eq(&deployment.report(&HealthCheckLogging).await);
    }
}
