use std::collections::BTreeSet;

use ipnet::IpNet;
use kfcheck::{Check, Cx, FactError, Fault, Findings, Resource, Risk, async_trait, check};
use kfcheck_kube::{
    CustomResourceDefinition, Pod, Port, Service, Webhook, WebhookConfiguration, Webhooks, all,
    find, within,
};

use crate::{
    firewall::{Attempt, Direction, Rule, judge, levels},
    ground::{ClusterGround, Ground},
    guards::{guards_of, policies_first},
};

check! {
    /// ## What it checks
    /// On a private cluster, for every webhook that the API server asks at a Service: whether the
    /// firewall lets the control plane's addresses reach the port that the webhook's pods listen
    /// on, which is the Service's target port and not its own.
    ///
    /// ## Why it matters
    /// GKE's own rule lets the control plane reach ports 443 and 10250 of the nodes. A webhook at
    /// another one, like 8443, 9443 or Istio's 15017, times out, and with it every object that it
    /// has a say in: `failed calling webhook … context deadline exceeded`.
    ///
    /// ## How to fix it
    /// Run the command shown; it opens one port to the control plane alone.
    pub(crate) struct FirewallWebhook;
    id: "gcp-firewall-webhook",
    title: "The control plane reaches every webhook",
}

#[async_trait]
impl Check for FirewallWebhook {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let ground = cx.get(ClusterGround).await?;
        let config = ground.cluster.private_cluster_config.as_ref();
        let range = config.and_then(|config| config.master_ipv4_cidr_block.as_deref());
        let Some(range) = range.and_then(|range| range.parse::<IpNet>().ok()) else {
            out.skip(
                "the control plane has no addresses in the network, or reaches pods by a tunnel",
            );
            return Ok(());
        };
        let Some(instance) = ground.nodes.first() else {
            out.skip("no node of the cluster is among the machines listed");
            return Ok(());
        };
        let network = &ground.network;
        let (guards, unseen) = guards_of(cx, network).await?;
        let levels = levels(&guards, policies_first(cx, network).await, Direction::Ingress);
        // Control planes behind Private Service Connect come from elsewhere, and have no such rule.
        if !levels.iter().flatten().any(|rule: &Rule<'_>| rule.names(range)) {
            out.skip("no firewall rule is about the control plane's addresses");
            return Ok(());
        }
        let webhooks = cx.get(Webhooks).await?;
        let mut asked: Vec<_> = webhooks.seen(out).to_vec();
        match cx.get(all::<CustomResourceDefinition>()).await {
            Ok(kinds) => asked.extend(kinds.iter().filter_map(|kind| converter(kind))),
            // Hardly any is converted by a webhook, and a list of all of them is long.
            Err(FactError { fault: Fault::NotCollected { .. }, .. }) => (),
            Err(error) => out.unseen(error),
        }
        for (subject, configuration) in asked {
            let mut shut: BTreeSet<(u16, String, bool)> = BTreeSet::new();
            let mut reached = false;
            for webhook in &configuration.webhooks {
                let ports = ports_of(cx, webhook).await;
                let Some(ports) = out.known(&subject, ports) else { continue };
                for port in ports {
                    let attempt = Attempt { source: range, instance, network, port };
                    let verdict = judge(&levels, attempt);
                    if let Some((_, rule)) = verdict.undecided.first() {
                        let says = format!(
                            "rule {} of {} decides by what can't be seen here",
                            rule.priority, rule.name
                        );
                        out.known::<()>(&subject, Err(Fault::Unreachable(says).into()));
                    } else if let Some((_, rule)) = verdict.denied.first() {
                        let by = rule.as_ref().map_or_else(
                            || "no rule lets it in".to_owned(),
                            |rule| format!("{} (priority {}) denies", rule.name, rule.priority),
                        );
                        shut.insert((port, by, webhook.refuses()));
                    } else {
                        reached = true;
                    }
                }
            }
            if let Some((port, by, refuses)) = shut.iter().max_by_key(|(_, _, refuses)| *refuses) {
                report(&ground, &subject, range, (*port, by, *refuses), out);
            } else if reached && unseen.is_none() {
                out.ok(&subject);
            } else if let (true, Some(error)) = (reached, &unseen) {
                out.known::<()>(&subject, Err(error.clone()));
            }
        }
        Ok(())
    }
}

/// A kind whose objects are converted by a webhook, as if that were one of its own.
fn converter(kind: &CustomResourceDefinition) -> Option<(Resource, WebhookConfiguration)> {
    let webhook = Webhook {
        name: format!("conversion of {}", kind.metadata.name),
        failure_policy: Some("Fail".to_owned()),
        client_config: kind.converter()?.clone(),
        ..Webhook::default()
    };
    let metadata = kind.metadata.clone();
    Some((kind.into(), WebhookConfiguration { metadata, webhooks: vec![webhook] }))
}

/// The ports of the pods that a webhook is asked at. None where there are no pods, as somebody
/// else says.
async fn ports_of(cx: &Cx, webhook: &Webhook) -> Result<BTreeSet<u16>, FactError> {
    let Some(asked) = &webhook.client_config.service else { return Ok(BTreeSet::new()) };
    let Some(service) = find::<Service>(cx, &asked.namespace, &asked.name).await? else {
        return Ok(BTreeSet::new());
    };
    let pods = cx.get(within::<Pod>(&asked.namespace)).await?;
    let Some(port) = service.port(&Port::Number(asked.port.unwrap_or(443))) else {
        return Ok(BTreeSet::new());
    };
    let behind = pods.iter().filter(|pod| service.selects(pod) && !pod.is_over());
    Ok(behind.filter_map(|pod| port.on(pod)).collect())
}

fn report(
    ground: &Ground,
    subject: &Resource,
    range: IpNet,
    (port, by, refuses): (u16, &str, bool),
    out: &mut Findings,
) {
    let message = format!("is asked at tcp:{port}, where the control plane can't get through");
    let finding = if refuses { out.fail(subject, message) } else { out.warn(subject, message) };
    let network = &ground.network;
    finding.evidence("from", range);
    finding.evidence("network", &network.name);
    finding.evidence("because", by);
    let tags: BTreeSet<_> = ground.nodes.iter().flat_map(crate::Instance::tags).collect();
    let node = tags.iter().find(|tag| tag.starts_with("gke-") && tag.ends_with("-node"));
    let target = node.map_or_else(String::new, |tag| format!(" --target-tags {tag}"));
    finding.fix(
        Risk::Opens,
        "lets the control plane in at that port, and nobody else",
        format!(
            "gcloud compute firewall-rules create {}-webhook-{port} --project {} --network {} \
             --direction INGRESS --allow tcp:{port} --source-ranges {range}{target}",
            ground.cluster.name, network.project, network.name
        ),
    );
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::FirewallWebhook;
    use crate::testing::Deployment;

    /// A webhook at port 443 of Service `gateway`, whose pods listen on 8080; GKE's own rule, and
    /// one more for these ports.
    fn with(policy: &str, more: &[&str]) -> Deployment {
        let mut deployment = Deployment::healthy();
        deployment.make_private();
        deployment.objects[1]["spec"]["ports"][0]["port"] = 443.into();
        deployment.objects.push(json!({ "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration", "metadata": { "name": "gatekeeper" },
            "webhooks": [{ "name": "a.b", "failurePolicy": policy, "clientConfig": { "service": {
                "namespace": "istio-system", "name": "gateway" } } }] }));
        *deployment.file("kubernetes/mutatingwebhookconfigurations.admissionregistration.k8s.io") =
            json!({ "items": [] });
        let rule = |name: &str, ports: &[&str]| -> Value {
            json!({ "name": name, "network": "projects/p/global/networks/net",
                "direction": "INGRESS", "priority": 1000, "sourceRanges": ["172.16.0.0/28"],
                "allowed": [{ "IPProtocol": "tcp", "ports": ports }] })
        };
        let mut rules = vec![rule("gke-c-master", &["443", "10250"])];
        if !more.is_empty() {
            rules.push(rule("more", more));
        }
        *deployment.file("gcp/compute/effectiveFirewalls") =
            json!({ "net": { "firewalls": rules } });
        deployment
    }

    #[tokio::test]
    async fn the_port_of_the_pods_has_to_be_open_and_not_the_services() {
        expect![[r#"
            kf.example.com: nothing broken on the way; something beside it is. 1 root cause,
            0 symptoms; 0 checks passed, 0 not seen.

            BROKEN  gcp-firewall-webhook
              ValidatingWebhookConfiguration gatekeeper is asked at tcp:8080, where the
                control plane can't get through
                from      172.16.0.0/28
                network   net
                because   no rule lets it in
                fix       lets the control plane in at that port, and nobody else
                          gcloud compute firewall-rules create c-webhook-8080 --project p \
                            --network net --direction INGRESS --allow tcp:8080 \
                            --source-ranges 172.16.0.0/28 --target-tags gke-c-1234-node
              kubectl kfcheck explain gcp-firewall-webhook

            FAIL     gcp-firewall-webhook
                     The control plane reaches every webhook
        "#]]
        .assert_eq(&with("Fail", &[]).report(&FirewallWebhook).await);
    }

    #[tokio::test]
    async fn one_that_may_be_left_out_is_a_warning() {
        let report = with("Ignore", &[]).report(&FirewallWebhook).await;
        assert!(report.contains("WARNING  gcp-firewall-webhook"), "{report}");
    }

    #[tokio::test]
    async fn a_rule_for_the_port_lets_it_through() {
        let report = with("Fail", &["8000-8100"]).report(&FirewallWebhook).await;
        assert!(report.contains("pass     gcp-firewall-webhook"), "{report}");
    }

    #[tokio::test]
    async fn without_any_rule_for_the_control_plane_it_comes_another_way() {
        let mut deployment = with("Fail", &[]);
        *deployment.file("gcp/compute/effectiveFirewalls") = json!({ "net": { "firewalls": [
            { "name": "x", "network": "projects/p/global/networks/net", "direction": "INGRESS",
              "sourceRanges": ["10.0.0.0/8"], "allowed": [{ "IPProtocol": "all" }] }] } });
        let report = deployment.report(&FirewallWebhook).await;
        assert!(report.contains("skip     gcp-firewall-webhook"), "{report}");
    }
}
