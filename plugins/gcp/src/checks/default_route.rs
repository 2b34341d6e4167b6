use kfcheck::{Check, Cx, FactError, Fault, Findings, Risk, async_trait, check};
use kfcheck_kube::UnreachedRegistries;

use crate::{
    Routes,
    ground::{ClusterGround, is_way_out_in_doubt},
    outside::needs_internet,
    routing::{of_network, winner},
};

check! {
    /// ## What it checks
    /// Where the nodes have no public addresses, or can't reach a registry: that the network's
    /// default route leads to Google's internet gateway, or anywhere at all.
    ///
    /// ## Why it matters
    /// Cloud NAT works on what takes the default route to the internet gateway, and on nothing
    /// else. Without such a route, or with one to an appliance that drops it, packets end unseen.
    ///
    /// ## How to fix it
    /// Put the route back with the command shown, or mend what the default route leads to.
    pub(crate) struct DefaultRoute;
    id: "gcp-default-route",
    title: "The network has a default route where nodes need the internet",
}

#[async_trait]
impl Check for DefaultRoute {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let ground = cx.get(ClusterGround).await?;
        if !is_way_out_in_doubt(cx, &ground).await {
            out.skip("the nodes have addresses of their own on the internet, and images come");
            return Ok(());
        }
        let network = &ground.network;
        let unreached = cx.get(UnreachedRegistries).await?;
        for pull in unreached.iter() {
            out.built_from(&pull.workload, network);
        }
        let routes = cx.get(Routes).await;
        let Some(routes) = out.known(network, routes) else { return Ok(()) };
        let ours = of_network(&ground, &routes);
        if ours.is_empty() {
            // Every network has routes to its own parts.
            let says = format!("no route of network {} is among those listed", network.name);
            out.known::<()>(network, Err(Fault::Unreachable(says).into()));
            return Ok(());
        }
        let default = winner(&ours, [0, 0, 0, 0].into());
        let is_stuck = !unreached.is_empty();
        match default {
            Some(route) if route.to_internet() || !is_stuck => out.ok(network),
            Some(route) => {
                let hop = route.other_hop().unwrap_or("another hop");
                out.fail(network, format!("has a default route that leads elsewhere ({hop})"))
                    .evidence("route", format!("{} wins over all others", route.name))
                    .fix(
                        Risk::None,
                        "shows where it leads",
                        format!(
                            "gcloud compute routes describe {} --project {}",
                            route.name, network.project
                        ),
                    );
            }
            None => {
                let needed = needs_internet(cx).await;
                if !is_stuck && needed.is_empty() {
                    out.ok(network);
                    return Ok(());
                }
                let message = "has no default route, so nothing gets to the internet";
                let finding =
                    if is_stuck { out.fail(network, message) } else { out.warn(network, message) };
                if let Some(pull) = unreached.first() {
                    finding.evidence("so", format!("{} can't be pulled", pull.image));
                } else {
                    finding.evidence("needs it", needed.into_iter().collect::<Vec<_>>().join(", "));
                }
                finding.fix(
                    Risk::None,
                    "leads what has no other way to the internet gateway",
                    format!(
                        "gcloud compute routes create default-internet --project {} --network {} \
                         --destination-range 0.0.0.0/0 --next-hop-gateway default-internet-gateway",
                        network.project, network.name
                    ),
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::DefaultRoute;
    use crate::testing::Deployment;

    fn with(routes: &[Value]) -> Deployment {
        let mut deployment = Deployment::healthy();
        deployment.make_private();
        *deployment.file("gcp/compute/routes") = routes.into();
        deployment.objects[2]["status"] = json!({ "containerStatuses": [{ "name": "server",
            "image": "quay.io/x/server:1", "state": { "waiting": { "reason": "ErrImagePull",
                "message": "dial tcp 44.206.77.171:443: i/o timeout" } } }] });
        deployment
    }

    fn route(range: &str, hop: &str, to: &str) -> Value {
        json!({ "name": "route", "network": "projects/p/global/networks/net", "destRange": range,
            "priority": 1000, hop: to })
    }

    #[tokio::test]
    async fn a_route_to_the_internet_gateway_will_do() {
        let gateway = "projects/p/global/gateways/default-internet-gateway";
        let report =
            with(&[route("0.0.0.0/0", "nextHopGateway", gateway)]).report(&DefaultRoute).await;
        assert!(report.contains("pass     gcp-default-route"), "{report}");
    }

    #[tokio::test]
    async fn without_one_nothing_is_pulled() {
        let local = route("10.0.0.0/20", "nextHopNetwork", "projects/p/global/networks/net");
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-default-route
              network net has no default route, so nothing gets to the internet
                so        quay.io/x/server:1 can't be pulled
                fix       leads what has no other way to the internet gateway
                          gcloud compute routes create default-internet --project p \
                            --network net --destination-range 0.0.0.0/0 \
                            --next-hop-gateway default-internet-gateway
              kubectl kfcheck explain gcp-default-route

            FAIL     gcp-default-route
                     The network has a default route where nodes need the internet
        "#]]
        .assert_eq(&with(&[local]).report(&DefaultRoute).await);
    }

    #[tokio::test]
    async fn one_to_an_appliance_is_named() {
        let report =
            with(&[route("0.0.0.0/0", "nextHopIp", "10.0.0.9")]).report(&DefaultRoute).await;
        assert!(report.contains("leads elsewhere (Ip)"), "{report}");
    }

    #[tokio::test]
    async fn routes_of_other_networks_and_broken_ones_say_nothing() {
        let report = with(&[json!({}), json!({ "name": "x", "destRange": "what" })])
            .report(&DefaultRoute)
            .await;
        assert!(report.contains("unknown  gcp-default-route"), "{report}");
    }
}
