use std::collections::BTreeSet;

use kfcheck::{Check, Cx, FactError, Findings, Named, Risk, async_trait, check};

use crate::{Firewalls, Instance, Network, Networks, ground::ClusterGround};

check! {
    /// ## What it checks
    /// That firewall rules which name the cluster's nodes by their tag are of the network that the
    /// nodes are in, and that the cluster's network exists.
    ///
    /// ## Why it matters
    /// A rule of another network does nothing for these nodes, and looks right in a list: the
    /// console shows rules of all networks together, and `gcloud` puts a new rule into `default`
    /// where no network is said.
    ///
    /// ## How to fix it
    /// A rule's network can't be changed: make it anew in the right one, then delete this one.
    pub(crate) struct NetworkReference;
    id: "gcp-network-reference",
    title: "What is about the cluster's nodes is of their network",
}

#[async_trait]
impl Check for NetworkReference {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let ground = cx.get(ClusterGround).await?;
        let network = &ground.network;
        if let Some(networks) = out.known(network, cx.get(Networks).await) {
            let of_project =
                |other: &&crate::NetworkOrder| other.self_link.project() == network.project;
            let listed: Vec<_> = networks.iter().filter(of_project).collect();
            // A project that isn't listed says nothing of its networks.
            if !listed.is_empty() && !listed.iter().any(|other| other.name == network.name) {
                out.fail(
                    ground.cluster.resource(),
                    format!("is in network {}, which does not exist", network.name),
                );
            }
        }
        let tags: BTreeSet<_> = ground.nodes.iter().flat_map(Instance::tags).collect();
        // GKE makes this one for this cluster alone.
        let tags: BTreeSet<_> = tags
            .into_iter()
            .filter(|tag| tag.starts_with("gke-") && tag.ends_with("-node"))
            .collect();
        if tags.is_empty() {
            out.skip("no node of the cluster has a tag that is its own");
            return Ok(());
        }
        let Some(firewalls) = out.known(network, cx.get(Firewalls).await) else { return Ok(()) };
        for rule in firewalls.iter() {
            let Some(tag) = rule.target_tags.iter().find(|tag| tags.contains(tag)) else {
                continue;
            };
            let of = Network::of(&rule.network, &network.project);
            if rule.network.is_empty() || (of.name == network.name && of.project == network.project)
            {
                out.ok(rule);
                continue;
            }
            let finding = out.warn(
                rule,
                format!(
                    "is of network {}, and the nodes that it names are in {}",
                    of.name, network.name
                ),
            );
            finding.evidence("names", tag).fix(
                Risk::None,
                "shows it, to be made anew in the right network",
                format!(
                    "gcloud compute firewall-rules describe {} --project {}",
                    rule.name, of.project
                ),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::NetworkReference;
    use crate::testing::Deployment;

    fn with(network: &str) -> Deployment {
        let mut deployment = Deployment::healthy();
        deployment.make_private();
        *deployment.file("gcp/compute/firewalls") = json!([{ "name": "webhook",
            "network": format!("https://compute/v1/projects/p/global/networks/{network}"),
            "targetTags": ["gke-c-1234-node"], "allowed": [{ "IPProtocol": "tcp" }] }, {}]);
        deployment
    }

    #[tokio::test]
    async fn a_rule_of_the_nodes_network_is_fine() {
        let report = with("net").report(&NetworkReference).await;
        assert!(report.contains("pass     gcp-network-reference"), "{report}");
    }

    #[tokio::test]
    async fn a_rule_for_the_nodes_in_another_network_does_nothing() {
        let report = with("default").report(&NetworkReference).await;
        assert!(
            report.contains("is of network default, and the nodes that it names are in net"),
            "{report}"
        );
    }
}
