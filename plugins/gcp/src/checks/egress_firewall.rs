use ipnet::IpNet;
use kfcheck::{Check, Cx, FactError, Fault, Findings, Risk, async_trait, check};
use kfcheck_kube::UnreachedRegistries;

use crate::{
    firewall::{Attempt, Direction, Verdict, judge_egress, levels},
    ground::{ClusterGround, Ground},
    guards::{guards_of, policies_first},
    outside::needs_internet,
};

check! {
    /// ## What it checks
    /// What the firewalls do to connections from the cluster's nodes: to the control plane, and to
    /// the internet where something is needed from there. A rule that denies wins over one that
    /// allows at the same priority.
    ///
    /// ## Why it matters
    /// Everything goes out until somebody writes "deny all egress"; then what was forgotten to be
    /// allowed, or was allowed at too low a priority, ends in time-outs.
    ///
    /// ## How to fix it
    /// Allow what is needed, and no more, at a priority above the rule that denies.
    pub(crate) struct EgressFirewall;
    id: "gcp-egress-firewall",
    title: "The firewall lets nodes reach what they need",
}

#[async_trait]
impl Check for EgressFirewall {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let ground = cx.get(ClusterGround).await?;
        let network = &ground.network;
        let Some(instance) = ground.nodes.first() else {
            out.skip("no node of the cluster is among the machines listed");
            return Ok(());
        };
        let unreached = cx.get(UnreachedRegistries).await?;
        for pull in unreached.iter() {
            out.built_from(&pull.workload, network);
        }
        let Some((guards, unseen)) = out.known(network, guards_of(cx, network).await) else {
            return Ok(());
        };
        let levels = levels(&guards, policies_first(cx, network).await, Direction::Egress);
        let to = |range: IpNet| {
            judge_egress(&levels, Attempt { source: range, instance, network, port: 443 })
        };
        let config = ground.cluster.private_cluster_config.as_ref();
        let control_plane = config.and_then(|c| c.master_ipv4_cidr_block.as_ref()?.parse().ok());
        let mut judged = Vec::new();
        judged.extend(
            control_plane.map(|range: IpNet| ("the control plane", range, to(range), true)),
        );
        let needed = needs_internet(cx).await;
        if let Ok(everywhere) = "0.0.0.0/0".parse::<IpNet>()
            && (!needed.is_empty() || !unreached.is_empty())
        {
            let stuck = !unreached.is_empty();
            let tried = unreached.iter().find_map(|pull| pull.address).map(IpNet::from);
            let range = tried.unwrap_or(everywhere);
            judged.push(("the internet", everywhere, to(range), stuck));
        }
        let before = out.is_clean();
        for (what, range, verdict, is_sure) in &judged {
            report(&ground, (what, *range), verdict, *is_sure, out);
        }
        if let (true, Some(error)) = (before && out.is_clean() && !unreached.is_empty(), unseen) {
            // What is above the rules that were read may keep the nodes in.
            out.known::<()>(network, Err(error));
        } else if before && out.is_clean() {
            out.ok(network);
        }
        Ok(())
    }
}

fn report(
    ground: &Ground,
    (what, range): (&str, IpNet),
    verdict: &Verdict,
    is_sure: bool,
    out: &mut Findings,
) {
    let network = &ground.network;
    // What is let out to private addresses is not let out to there.
    let outside = |net: &&IpNet| range.prefix_len() > 0 || !is_private(net);
    if verdict.allowed.iter().any(|net| outside(&net)) {
        return;
    }
    let Some((_, Some(rule))) = verdict.denied.first() else {
        if let (Some((_, rule)), true) = (verdict.undecided.first(), is_sure) {
            let says = format!(
                "rule {} of {} decides by what can't be seen here",
                rule.priority, rule.name
            );
            out.known::<()>(network, Err(Fault::Unreachable(says).into()));
        }
        return;
    };
    let message = format!("keeps the nodes from {what}");
    let finding = if is_sure { out.fail(network, message) } else { out.warn(network, message) };
    finding.evidence("because", format!("{} (priority {}) denies", rule.name, rule.priority));
    let Some(priority) = rule.priority.checked_sub(1).filter(|_| !rule.policy) else {
        finding.evidence("to decide", "whoever keeps that rule has to change it");
        return;
    };
    finding.fix(
        Risk::Opens,
        "lets the nodes out to there, and nobody in",
        format!(
            "gcloud compute firewall-rules create kubeflow-egress --project {} --network {} \
             --direction EGRESS --priority {priority} --allow tcp:443 --destination-ranges {range}",
            network.project, network.name
        ),
    );
}

/// Whether a range is within those that networks have for themselves (RFC 1918), or of Google's
/// private addresses.
fn is_private(net: &IpNet) -> bool {
    let ranges = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "199.36.153.0/24"];
    let mut ranges = ranges.iter().filter_map(|range| range.parse::<IpNet>().ok());
    ranges.any(|range| range.contains(net))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::EgressFirewall;
    use crate::testing::Deployment;

    fn with(rules: &[(u32, &str, &str)]) -> Deployment {
        let mut deployment = Deployment::healthy();
        deployment.make_private();
        deployment.objects[2]["status"] = json!({ "containerStatuses": [{ "name": "server",
            "image": "quay.io/x/server:1", "state": { "waiting": { "reason": "ErrImagePull",
                "message": "dial tcp 44.206.77.171:443: i/o timeout" } } }] });
        let rule = |(priority, action, range): &(u32, &str, &str)| -> Value {
            let mut rule = json!({ "name": format!("{action}-{priority}"), "direction": "EGRESS",
                "network": "projects/p/global/networks/net", "priority": priority,
                "destinationRanges": [range] });
            rule[action] = json!([{ "IPProtocol": "all" }]);
            rule
        };
        let rules: Vec<_> = rules.iter().map(rule).collect();
        *deployment.file("gcp/compute/effectiveFirewalls") =
            json!({ "net": { "firewalls": rules } });
        deployment
    }

    #[tokio::test]
    async fn without_rules_everything_goes_out() {
        let report = with(&[(1000, "allowed", "10.0.0.0/8")]).report(&EgressFirewall).await;
        assert!(report.contains("pass     gcp-egress-firewall"), "{report}");
    }

    #[tokio::test]
    async fn deny_all_at_the_same_priority_wins() {
        let rules = [(1000, "denied", "0.0.0.0/0"), (1000, "allowed", "0.0.0.0/0")];
        expect![[r#"
            kf.example.com is down. 2 root causes, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-egress-firewall
              network net keeps the nodes from the control plane
                because   denied-1000 (priority 1000) denies
                fix       lets the nodes out to there, and nobody in
                          gcloud compute firewall-rules create kubeflow-egress --project p \
                            --network net --direction EGRESS --priority 999 \
                            --allow tcp:443 --destination-ranges 172.16.0.0/28
              kubectl kfcheck explain gcp-egress-firewall

            ROOT CAUSE  gcp-egress-firewall
              network net keeps the nodes from the internet
                because   denied-1000 (priority 1000) denies
                fix       lets the nodes out to there, and nobody in
                          gcloud compute firewall-rules create kubeflow-egress --project p \
                            --network net --direction EGRESS --priority 999 \
                            --allow tcp:443 --destination-ranges 0.0.0.0/0
              kubectl kfcheck explain gcp-egress-firewall

            FAIL     gcp-egress-firewall
                     The firewall lets nodes reach what they need
        "#]]
        .assert_eq(&with(&rules).report(&EgressFirewall).await);
    }

    #[tokio::test]
    async fn what_is_allowed_above_it_goes_out() {
        let rules = [(1000, "denied", "0.0.0.0/0"), (900, "allowed", "0.0.0.0/0")];
        let report = with(&rules).report(&EgressFirewall).await;
        assert!(report.contains("pass     gcp-egress-firewall"), "{report}");
    }
}
