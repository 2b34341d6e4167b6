use std::collections::BTreeSet;

use kfcheck::{Check, Cx, FactError, Findings, Named, Resource, Risk, async_trait, check};

use crate::{
    Firewalls, Instance, Link, Network, Networks, Routes, Subnetworks,
    ground::{ClusterGround, Ground},
};

check! {
    /// ## What it checks
    /// That firewall rules which name the cluster's nodes by their tag are of the network that the
    /// nodes are in, that the cluster's network exists, and its part of it; where nodes have no
    /// addresses on the internet, that routes which name them are of their network as well.
    ///
    /// ## Why it matters
    /// A rule or a route of another network does nothing for these nodes, and looks right in a list:
    /// the console shows those of all networks together, and `gcloud` puts a new one into `default`
    /// where no network is said.
    ///
    /// ## How to fix it
    /// The network of a rule or a route can't be changed: make it anew in the right one, then delete
    /// this one.
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
        let part = &ground.cluster.network_config.subnetwork;
        if let Some(parts) = out.known(network, cx.get(Subnetworks).await) {
            let place =
                |link: &Link| (link.project().to_owned(), link.after("regions").map(str::to_owned));
            // A region that isn't listed says nothing of its parts either.
            let is_listed = parts.iter().any(|other| place(&other.self_link) == place(part));
            let is_there = parts.iter().any(|other| other.self_link.same(part));
            if is_listed && !is_there && !part.project().is_empty() {
                out.fail(
                    ground.cluster.resource(),
                    format!("is in subnetwork {}, which does not exist", part.name()),
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
        if let Some(firewalls) = out.known(network, cx.get(Firewalls).await) {
            for rule in firewalls.iter() {
                let named = rule.target_tags.iter().find(|tag| tags.contains(tag));
                let Some(tag) = named else { continue };
                examine(&ground, rule.resource(), &rule.network, tag, "firewall-rules", out);
            }
        }
        // Others have no need of routes of their own.
        if ground.is_private
            && let Some(routes) = out.known(network, cx.get(Routes).await)
        {
            for route in routes.iter() {
                let named = route.tags.iter().find(|tag| tags.contains(tag));
                let Some(tag) = named else { continue };
                examine(&ground, route.resource(), &route.network, tag, "routes", out);
            }
        }
        Ok(())
    }
}

/// Says of something that names the nodes by their tag whether it is of their network.
fn examine(
    ground: &Ground,
    subject: Resource,
    link: &Link,
    tag: &str,
    gcloud: &str,
    out: &mut Findings,
) {
    let network = &ground.network;
    let of = Network::of(link, &network.project);
    if link.is_empty() || (of.name == network.name && of.project == network.project) {
        out.ok(subject);
        return;
    }
    let describe =
        format!("gcloud compute {gcloud} describe {} --project {}", subject.name, of.project);
    let message =
        format!("is of network {}, and the nodes that it names are in {}", of.name, network.name);
    out.warn(subject, message).evidence("names", tag).fix(
        Risk::None,
        "shows it, to be made anew in the right network",
        describe,
    );
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::NetworkReference;
    use crate::testing::Deployment;

    fn with(network: &str) -> Deployment {
        let mut deployment = Deployment::healthy();
        deployment.make_private();
        *deployment.file("gcp/compute/routes") = json!([]);
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

    #[tokio::test]
    async fn a_route_for_private_nodes_in_another_network_does_nothing_either() {
        let mut deployment = with("net");
        *deployment.file("gcp/compute/routes") = json!([{ "name": "to-nat", "tags": ["gke-c-1234-node"],
            "network": "projects/p/global/networks/default", "destRange": "0.0.0.0/0" }]);
        let report = deployment.report(&NetworkReference).await;
        assert!(report.contains("route to-nat is of network default"), "{report}");
    }

    #[tokio::test]
    async fn a_subnetwork_that_is_not_among_those_of_its_project_does_not_exist() {
        let mut deployment = with("net");
        let config = &mut deployment.file("gcp/container/clusters")[0]["networkConfig"];
        config["subnetwork"] = "projects/p/regions/r/subnetworks/gone".into();
        let report = deployment.report(&NetworkReference).await;
        assert!(report.contains("is in subnetwork gone, which does not exist"), "{report}");
        let config = &mut deployment.file("gcp/container/clusters")[0]["networkConfig"];
        config["subnetwork"] = "projects/p/regions/unlisted/subnetworks/theirs".into();
        let report = deployment.report(&NetworkReference).await;
        assert!(!report.contains("does not exist"), "{report}");
    }
}
