use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use kfcheck::{Check, Cx, FactError, Findings, Risk, async_trait, check};

use crate::{
    Denied, Firewall, LogEntries, LogEntry, Network,
    ends::{End, end_of},
    ground::{ClusterGround, Ground},
    guards::guards_of,
    reach::ProbeReach,
};

check! {
    /// ## What it checks
    /// Which firewall rules of the cluster's network log. Where some do, the connections to and
    /// from the cluster that were denied in the last hour, by source, destination and port, with
    /// what each end is. Where a rule keeps health checks out, whether it logs that.
    ///
    /// ## Why it matters
    /// A connection that is dropped leaves no other trace. The log says which one, and which rule.
    ///
    /// ## How to fix it
    /// Allow what should get through, before the rule that is named; turn logging on with the
    /// command shown. The denial that every network ends with can't be logged: a rule of the lowest
    /// priority, 65535, that denies all and logs can stand in for it.
    pub(crate) struct FirewallLogging;
    id: "gcp-firewall-logging",
    title: "The firewall's log shows nothing of the cluster's denied",
}

/// How many sorts of denied connections are quoted.
const QUOTED: usize = 5;

/// Denied connections of one sort: from, to, protocol and port, the rule.
type Sort = (IpAddr, IpAddr, String, String);

#[async_trait]
impl Check for FirewallLogging {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let ground = cx.get(ClusterGround).await?;
        let network = &ground.network;
        let Some((guards, _)) = out.known(network, guards_of(cx, network).await) else {
            return Ok(());
        };
        let ours =
            |rule: &&Firewall| Network::of(&rule.network, &network.project).name == network.name;
        let rules: Vec<_> = guards.firewalls.iter().filter(ours).collect();
        let mute = mute_rules(cx, &rules).await;
        for rule in &mute {
            out.warn(*rule, "doesn't log what it keeps out").fix(
                Risk::None,
                "turns logging on, which costs by the connection",
                format!(
                    "gcloud compute firewall-rules update {} --project {} --enable-logging",
                    rule.name, network.project
                ),
            );
        }
        if !rules.iter().any(|rule| rule.logs()) {
            out.skip("no firewall rule of the network logs");
            return Ok(());
        }
        let Some(entries) = out.known(network, cx.get(LogEntries).await) else { return Ok(()) };
        let sorts = denied(&ground, &entries);
        if sorts.is_empty() {
            out.ok(network);
            return Ok(());
        }
        let all: usize = sorts.values().sum();
        let message = format!("denied {all} connections of the cluster in the last hour");
        let finding = out.warn(network, message);
        let mut sorts: Vec<_> = sorts.into_iter().collect();
        sorts.sort_by_key(|(sort, times)| (std::cmp::Reverse(*times), sort.clone()));
        for ((from, to, port, rule), times) in sorts.iter().take(QUOTED) {
            let (a, b) = (end_of(&ground, *from), end_of(&ground, *to));
            finding.evidence(
                "denied",
                format!("{from} ({a}) → {to} ({b}) {port}, {times} times, by {rule}"),
            );
        }
        if let Some(((from, to, port, rule), _)) = sorts.first() {
            finding.evidence("to allow", format!("{port} from {from} to {to}, before {rule}"));
        }
        Ok(())
    }
}

/// The rules that keep health checks out and don't say so anywhere.
async fn mute_rules<'a>(cx: &Cx, rules: &[&'a Firewall]) -> Vec<&'a Firewall> {
    let Ok(reach) = cx.get(ProbeReach).await else { return Vec::new() };
    let decisive = reach.iter().flat_map(|reach| &reach.rules).filter(|rule| !rule.policy);
    let names: BTreeSet<_> = decisive.map(|rule| rule.name.as_str()).collect();
    let mute = rules.iter().filter(|rule| names.contains(rule.name.as_str()) && !rule.logs());
    mute.copied().collect()
}

/// How often connections of each sort were denied to or from what is the cluster's. What anybody
/// on the internet tries is left out.
fn denied(ground: &Ground, entries: &[LogEntry]) -> BTreeMap<Sort, usize> {
    let mut sorts = BTreeMap::new();
    for Denied { from, to, protocol, port, rule } in entries.iter().filter_map(LogEntry::denied) {
        let (a, b) = (end_of(ground, from), end_of(ground, to));
        let is_ours = |end: End| matches!(end, End::Node | End::Pod);
        if is_ours(a) || is_ours(b) && a != End::Outside {
            let port = port.map_or_else(|| protocol.clone(), |port| format!("{protocol}:{port}"));
            *sorts.entry((from, to, port, rule)).or_default() += 1;
        }
    }
    sorts
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::FirewallLogging;
    use crate::testing::Deployment;

    fn with(logs: bool, entries: Value) -> Deployment {
        let mut deployment = Deployment::healthy();
        deployment.make_private();
        *deployment.file("gcp/compute/effectiveFirewalls") = json!({ "net": { "firewalls": [
            { "name": "deny-all", "network": "projects/p/global/networks/net", "direction": "EGRESS",
              "priority": 65000, "destinationRanges": ["0.0.0.0/0"],
              "denied": [{ "IPProtocol": "all" }], "logConfig": { "enable": logs } }] } });
        *deployment.file("gcp/logging/entries") = entries;
        deployment
    }

    fn entry(from: &str, to: &str, port: u16) -> Value {
        json!({ "logName": "projects/p/logs/compute.googleapis.com%2Ffirewall",
            "jsonPayload": { "disposition": "DENIED", "connection": { "src_ip": from,
                "dest_ip": to, "dest_port": port, "protocol": 6 },
                "rule_details": { "reference": "network:net/firewall:deny-all",
                    "priority": 65000 } } })
    }

    #[tokio::test]
    async fn what_was_denied_is_named_by_what_it_is_and_strangers_are_left_out() {
        let entries = json!([
            entry("10.0.0.2", "172.16.0.2", 8132),
            entry("10.0.0.2", "172.16.0.2", 8132),
            entry("203.0.113.7", "10.0.0.2", 22),
            { "jsonPayload": { "disposition": "DENIED" } },
            { "jsonPayload": { "connection": { "src_ip": "what" } } }
        ]);
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            WARNING  gcp-firewall-logging
              network net denied 2 connections of the cluster in the last hour
                denied    10.0.0.2 (node) → 172.16.0.2 (control plane) tcp:8132, 2 times, by
                          deny-all (priority 65000)
                to allow  tcp:8132 from 10.0.0.2 to 172.16.0.2, before deny-all (priority
                          65000)

            warn     gcp-firewall-logging
                     The firewall's log shows nothing of the cluster's denied
        "#]]
        .assert_eq(&with(true, entries).report(&FirewallLogging).await);
    }

    #[tokio::test]
    async fn a_log_without_denials_is_fine_and_no_log_is_nothing_to_go_by() {
        let report = with(true, json!([])).report(&FirewallLogging).await;
        assert!(report.contains("pass     gcp-firewall-logging"), "{report}");
        let report = with(false, json!([])).report(&FirewallLogging).await;
        assert!(report.contains("skip     gcp-firewall-logging"), "{report}");
    }
}
