use kfcheck::{Check, Cx, FactError, Findings, Risk, async_trait, check};

use crate::{
    BackendHealth, BackendsInUse, GroupHealth, Health, HealthChecks, LogEntries, LogEntry,
};

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
                if !matches!(GroupHealth::judge(&health), Health::Unhealthy(_)) {
                    out.ok(check);
                    continue;
                }
                if !check.logs() {
                    out.warn(check, "doesn't log why it fails").fix(
                        Risk::None,
                        "turns logging on",
                        format!("{} --enable-logging", check.update()),
                    );
                    continue;
                }
                let Some(entries) = out.known(check, cx.get(LogEntries).await) else { continue };
                let ips: Vec<_> =
                    GroupHealth::endpoints(&health).map(|endpoint| &*endpoint.ip_address).collect();
                let about = |result: &crate::ProbeResult| {
                    ips.contains(&&*result.ip_address) || ips.contains(&&*result.target_ip)
                };
                let results = LogEntry::probes(&entries, about);
                if results.is_empty() {
                    out.warn(check, "has logged nothing about its endpoints in the last hour");
                    continue;
                }
                let finding = out.warn(check, "has logged why it fails");
                for result in results.iter().take(QUOTED) {
                    let port = result.target_port.map(|port| format!(":{port}"));
                    let (ip, port) = (&result.ip_address, port.unwrap_or_default());
                    let text = format!(
                        "{ip}{port}{} → {}",
                        result.probe_request, result.probe_result_text
                    );
                    finding.evidence("log", text);
                }
            }
        }
        Ok(())
    }
}
