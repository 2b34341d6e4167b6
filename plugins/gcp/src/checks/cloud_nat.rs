use kfcheck::{Check, Cx, FactError, Fault, Findings, Resource, Risk, async_trait, check};
use kfcheck_kube::UnreachedRegistries;

use crate::{
    NatStatus, Network, Router, RouterStatus, Routers, Routes,
    ground::{ClusterGround, Ground},
    nat::{Coverage, coverage, in_region},
    outside::{is_googles, needs_internet},
    routing::{of_network, winner},
};

check! {
    /// ## What it checks
    /// On a cluster whose nodes have no addresses on the internet, whether Cloud NAT gives them a
    /// way out: a router in the nodes' network and region with a NAT gateway that serves the
    /// nodes' own range and the pods' secondary one, and that has addresses enough.
    ///
    /// ## Why it matters
    /// Without it nothing is pulled from docker.io, quay.io or ghcr.io, and nobody gets the keys
    /// that sign-in tokens are verified with. It shows as `i/o timeout` on a public address.
    ///
    /// ## How to fix it
    /// Run the command shown. Where the nodes are not to reach the internet, mirror the images
    /// into Artifact Registry instead.
    pub(crate) struct CloudNat;
    id: "gcp-cloud-nat",
    title: "Nodes without public addresses have a way to the internet",
}

#[async_trait]
impl Check for CloudNat {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let ground = cx.get(ClusterGround).await?;
        if !ground.is_private {
            out.skip("the nodes have addresses of their own on the internet");
            return Ok(());
        }
        let way_out = ground.way_out();
        let unreached = cx.get(UnreachedRegistries).await?;
        let stuck: Vec<_> = unreached.iter().filter(|u| !is_googles(&u.image)).collect();
        for pull in &stuck {
            out.built_from(&pull.workload, &way_out);
        }
        let routers = cx.get(Routers).await;
        let Some(routers) = out.known(&way_out, routers) else { return Ok(()) };
        match coverage(&ground, &routers) {
            Coverage::Both => exhaustion(cx, &ground, &routers, !stuck.is_empty(), out).await,
            Coverage::NodesOnly => {
                out.warn(&way_out, "has NAT for the nodes and not for the pods' own addresses")
                    .evidence(
                        "so",
                        "pods whose traffic is not masked as their node's get no answer",
                    )
                    .fix(Risk::None, "shows which ranges are served", show(&ground, &routers));
                exhaustion(cx, &ground, &routers, !stuck.is_empty(), out).await;
            }
            Coverage::Unsaid(says) => {
                let fault =
                    Fault::Unreachable(format!("whom a NAT gateway serves is not known: {says}"));
                out.known::<()>(&way_out, Err(fault.into()));
            }
            Coverage::None => {
                let needed = needs_internet(cx).await;
                if stuck.is_empty() && needed.is_empty() {
                    out.skip(
                        "there is no NAT, and nothing that runs here is got from the internet",
                    );
                    return Ok(());
                }
                if leads_elsewhere(cx, &ground).await {
                    out.skip("the default route leads to something else than the internet gateway");
                    return Ok(());
                }
                let message = "has no NAT for the nodes, which have no addresses of their own on \
                               the internet";
                let finding = if stuck.is_empty() {
                    out.warn(&way_out, message)
                } else {
                    out.fail(&way_out, message)
                };
                if let Some(pull) = stuck.first() {
                    let address = pull.address.map_or(String::new(), |a| format!(", at {a}"));
                    finding.evidence("so", format!("{} can't be pulled{address}", pull.image));
                } else {
                    finding.evidence("needs it", needed.into_iter().collect::<Vec<_>>().join(", "));
                }
                let elsewhere = in_other_networks(&ground, &routers);
                let routers: Vec<_> = in_region(&ground, &routers).collect();
                let served = routers.iter().flat_map(|router| &router.nats);
                for nat in served {
                    finding.evidence("there is", format!("{}, for other addresses", nat.name));
                }
                for (nat, network) in elsewhere {
                    finding.evidence("there is", format!("{nat}, in network {network}"));
                }
                let at = format!("--region {} --project {}", ground.region, ground.network.project);
                let router = routers.first().map_or("nat-router", |router| &router.name);
                if routers.is_empty() {
                    finding.fix(
                        Risk::None,
                        "makes a router for it",
                        format!(
                            "gcloud compute routers create {router} --network {} {at}",
                            ground.network.name
                        ),
                    );
                }
                finding.fix(
                    Risk::None,
                    "gives nodes and pods a way out, and nobody a way in",
                    format!(
                        "gcloud compute routers nats create nat --router {router} {at} \
                         --auto-allocate-nat-external-ips --nat-all-subnet-ip-ranges"
                    ),
                );
            }
        }
        Ok(())
    }
}

/// The NAT gateways of the region in other networks of the project, and these.
fn in_other_networks(ground: &Ground, routers: &[Router]) -> Vec<(String, String)> {
    let others = routers.iter().filter(|router| {
        let of = Network::of(&router.network, router.self_link.project());
        of.name != ground.network.name && router.region.name() == ground.region
    });
    let named = others.flat_map(|router| {
        let network = router.network.name();
        let public = router.nats.iter().filter(|nat| nat.kind.as_deref() != Some("PRIVATE"));
        public.map(move |nat| (nat.name.clone(), network.to_owned()))
    });
    named.collect()
}

/// Whether what goes to the internet goes by something of the user's own, which NAT has no part in.
async fn leads_elsewhere(cx: &Cx, ground: &Ground) -> bool {
    let Ok(routes) = cx.get(Routes).await else { return false };
    let default = winner(&of_network(ground, &routes), [0, 0, 0, 0].into());
    default.is_some_and(|route| !route.to_internet())
}

/// Whether a NAT gateway that serves the nodes lacks addresses.
async fn exhaustion(cx: &Cx, ground: &Ground, routers: &[Router], stuck: bool, out: &mut Findings) {
    let way_out = ground.way_out();
    let mut lacks = Vec::new();
    for router in in_region(ground, routers).filter(|router| !router.nats.is_empty()) {
        let asked = RouterStatus {
            project: ground.network.project.clone(),
            region: ground.region.clone(),
            router: router.name.clone(),
        };
        let Some(status) = out.known(&way_out, cx.get(asked).await) else { return };
        for nat in &status.result.nat_status {
            if let Some(missing @ 1..) = nat.min_extra_nat_ips_needed {
                lacks.push((router.name.clone(), nat.clone(), missing));
            }
        }
    }
    let [(router, nat, missing), ..] = &lacks[..] else {
        out.ok(&way_out);
        return;
    };
    report_exhaustion(ground, &way_out, (router, nat, *missing), stuck, out);
}

fn report_exhaustion(
    ground: &Ground,
    way_out: &Resource,
    (router, nat, missing): (&str, &NatStatus, u32),
    stuck: bool,
    out: &mut Findings,
) {
    let message = format!("has too few addresses for NAT: {} lacks {missing}", nat.name);
    let finding = if stuck { out.fail(way_out, message) } else { out.warn(way_out, message) };
    let has = nat.auto_allocated_nat_ips.len() + nat.user_allocated_nat_ips.len();
    finding.evidence("has", format!("{has} addresses, at router {router}"));
    let Ground { network, region, .. } = ground;
    finding.fix(
        Risk::None,
        "lets it take as many addresses as it needs",
        format!(
            "gcloud compute routers nats update {} --router {router} --region {region} --project {} \
             --auto-allocate-nat-external-ips",
            nat.name, network.project
        ),
    );
}

fn show(ground: &Ground, routers: &[Router]) -> String {
    let router = in_region(ground, routers).find(|router| !router.nats.is_empty());
    format!(
        "gcloud compute routers nats list --router {} --region {} --project {}",
        router.map_or("ROUTER", |router| &router.name),
        ground.region,
        ground.network.project
    )
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::CloudNat;
    use crate::testing::Deployment;

    /// Private nodes, these routers, and an image that is pulled from there.
    fn private(routers: Value, image: &str) -> Deployment {
        let mut deployment = Deployment::healthy();
        deployment.make_private();
        *deployment.file("gcp/compute/routers") = routers;
        let status = json!({ "result": { "natStatus": [{ "name": "nat" }] } });
        *deployment.file("gcp/compute/routerStatus") = json!({ "r/router": status });
        deployment.objects[2]["status"]["containerStatuses"] =
            json!([{ "name": "server", "image": image, "ready": true }]);
        deployment.objects[2]["spec"]["containers"][0]["image"] = image.into();
        deployment
    }

    fn router(ranges: &str) -> Value {
        json!([{ "name": "router", "region": "projects/p/regions/r",
            "network": "projects/p/global/networks/net",
            "nats": [{ "name": "nat", "sourceSubnetworkIpRangesToNat": ranges }] }])
    }

    fn stuck(deployment: &mut Deployment) {
        let says = "dial tcp 44.206.77.171:443: i/o timeout";
        deployment.objects[2]["status"] = json!({ "containerStatuses": [{ "name": "server",
            "image": "quay.io/x/server:1", "state": { "waiting": {
                "reason": "ErrImagePull", "message": says } } }] });
    }

    #[tokio::test]
    async fn nat_for_all_ranges_is_a_way_out() {
        let deployment = private(router("ALL_SUBNETWORKS_ALL_IP_RANGES"), "quay.io/x/server:1");
        let report = deployment.report(&CloudNat).await;
        assert!(report.contains("pass     gcp-cloud-nat"), "{report}");
    }

    #[tokio::test]
    async fn nat_in_another_network_is_shown_beside_the_lack_of_it() {
        let mut routers = router("ALL_SUBNETWORKS_ALL_IP_RANGES");
        routers[0]["network"] = "projects/p/global/networks/default".into();
        let mut deployment = private(routers, "quay.io/x/server:1");
        stuck(&mut deployment);
        let report = deployment.report(&CloudNat).await;
        assert!(report.contains("there is  nat, in network default"), "{report}");
    }

    #[tokio::test]
    async fn without_nat_an_image_that_is_not_pulled_is_its_doing() {
        let mut deployment = private(json!([]), "quay.io/x/server:1");
        stuck(&mut deployment);
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-cloud-nat
              network net (r) has no NAT for the nodes, which have no addresses of their own
                on the internet
                so        quay.io/x/server:1 can't be pulled, at 44.206.77.171
                fix       makes a router for it
                          gcloud compute routers create nat-router --network net \
                            --region r --project p
                fix       gives nodes and pods a way out, and nobody a way in
                          gcloud compute routers nats create nat --router nat-router \
                            --region r --project p --auto-allocate-nat-external-ips \
                            --nat-all-subnet-ip-ranges
              kubectl kfcheck explain gcp-cloud-nat

            FAIL     gcp-cloud-nat
                     Nodes without public addresses have a way to the internet
        "#]]
        .assert_eq(&deployment.report(&CloudNat).await);
    }

    #[tokio::test]
    async fn nodes_that_need_nothing_from_the_internet_need_no_nat() {
        let deployment = private(json!([]), "us-docker.pkg.dev/p/x/server:1");
        let report = deployment.report(&CloudNat).await;
        assert!(report.contains("skip     gcp-cloud-nat"), "{report}");
    }

    #[tokio::test]
    async fn a_gateway_that_lacks_addresses_says_how_many() {
        let mut deployment = private(router("ALL_SUBNETWORKS_ALL_IP_RANGES"), "quay.io/x/server:1");
        let nat =
            json!({ "name": "nat", "minExtraNatIpsNeeded": 2, "autoAllocatedNatIps": ["1.2.3.4"] });
        *deployment.file("gcp/compute/routerStatus") =
            json!({ "r/router": { "result": { "natStatus": [nat] } } });
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            WARNING  gcp-cloud-nat
              network net (r) has too few addresses for NAT: nat lacks 2
                has       1 addresses, at router router
                fix       lets it take as many addresses as it needs
                          gcloud compute routers nats update nat --router router \
                            --region r --project p --auto-allocate-nat-external-ips

            warn     gcp-cloud-nat
                     Nodes without public addresses have a way to the internet
        "#]]
        .assert_eq(&deployment.report(&CloudNat).await);
    }

    #[tokio::test]
    async fn nodes_that_go_by_an_appliance_need_no_nat() {
        let mut deployment = private(json!([]), "quay.io/x/server:1");
        *deployment.file("gcp/compute/routes") = json!([{ "name": "appliance",
            "network": "projects/p/global/networks/net", "destRange": "0.0.0.0/0",
            "nextHopIp": "10.0.0.9" }]);
        let report = deployment.report(&CloudNat).await;
        assert!(report.contains("skip     gcp-cloud-nat"), "{report}");
    }

    #[tokio::test]
    async fn a_router_without_nat_and_words_nobody_knows_are_no_failure() {
        for routers in [router("SOME_NEW_WORD"), json!([{ "name": "bare" }, {}])] {
            let report = private(routers, "us-docker.pkg.dev/p/x:1").report(&CloudNat).await;
            assert!(!report.contains("FAIL"), "{report}");
        }
    }
}
