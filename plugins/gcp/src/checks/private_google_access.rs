use std::net::{IpAddr, Ipv4Addr};

use kfcheck::{Check, Cx, FactError, Findings, Named, Risk, async_trait, check};
use kfcheck_kube::{UnreachedRegistries, registry};

use crate::{
    RecordSet, Routers, Routes,
    dns::{PrivateZones, ZoneSeen, is_vip},
    ground::{ClusterGround, Ground},
    nat::{Coverage, coverage},
    outside::is_googles,
    routing::{of_network, winner},
};

check! {
    /// ## What it checks
    /// On a cluster whose nodes have no public addresses, whether they reach Google's APIs and
    /// registries: Private Google Access is on for their subnetwork, or NAT serves them; private
    /// DNS zones for `gcr.io`, `pkg.dev` and `googleapis.com`, where there are any, lead to Google's
    /// restricted (199.36.153.4/30) or private (199.36.153.8/30) addresses and are attached to the
    /// network; and a route leads from there to the internet gateway.
    ///
    /// ## Why it matters
    /// Nodes that can't reach `gcr.io` start nothing, and write neither logs nor metrics.
    ///
    /// ## How to fix it
    /// Run the command shown. Packets to these addresses stay within Google's network, whatever
    /// the gateway is called.
    pub(crate) struct PrivateGoogleAccess;
    id: "gcp-private-google-access",
    title: "Nodes without public addresses reach Google's APIs",
}

#[async_trait]
impl Check for PrivateGoogleAccess {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let ground = cx.get(ClusterGround).await?;
        if !ground.is_private {
            out.skip("the nodes have addresses of their own on the internet");
            return Ok(());
        }
        let Some(part) = &ground.subnetwork else {
            let link = ground.cluster.network_config.subnetwork.name();
            let says = format!("the nodes' subnetwork {link} is not among those listed");
            return Err(kfcheck::Fault::Unreachable(says).into());
        };
        let subject = part.resource();
        let unreached = cx.get(UnreachedRegistries).await?;
        for pull in unreached.iter().filter(|pull| is_googles(&pull.image)) {
            out.built_from(&pull.workload, &subject);
        }
        let has_nat = match cx.get(Routers).await {
            Ok(routers) => {
                matches!(coverage(&ground, &routers), Coverage::Both | Coverage::NodesOnly)
            }
            Err(error) if part.private_ip_google_access == Some(true) => {
                // It isn't needed for what goes to Google.
                let _ = error;
                false
            }
            Err(error) => return Err(error),
        };
        if part.private_ip_google_access == Some(false) && !has_nat {
            let Ground { network, region, .. } = &*ground;
            out.fail(&subject, "has Private Google Access off, and no NAT")
                .evidence("so", "nodes reach neither gcr.io nor any API of Google's")
                .fix(
                    Risk::None,
                    "lets nodes reach Google's APIs, and nothing else",
                    format!(
                        "gcloud compute networks subnets update {} --region {region} --project {} \
                         --enable-private-ip-google-access",
                        part.name, network.project
                    ),
                );
            return Ok(());
        }
        let Some(zones) = out.known(&subject, cx.get(PrivateZones).await) else { return Ok(()) };
        let Some(routes) = out.known(&subject, cx.get(Routes).await) else { return Ok(()) };
        let routes = of_network(&ground, &routes);
        let before = out.is_clean();
        for zone in zones.iter() {
            for pull in unreached.iter().filter(|pull| is_in(&pull.image, &zone.zone.dns_name)) {
                out.built_from(&pull.workload, zone.zone.resource());
                out.built_from(&pull.workload, &ground.network);
            }
            judge(&ground, zone, &routes, out);
        }
        let by_name =
            |name: &str| zones.iter().any(|zone| zone.zone.dns_name == name && zone.is_attached);
        let default = winner(&routes, [0, 0, 0, 0].into());
        let blind = !routes.is_empty() && default.is_none();
        for name in ["gcr.io.", "pkg.dev.", "googleapis.com."] {
            let wanted = name == "googleapis.com."
                || unreached.iter().any(|pull| pull.image.contains(name.trim_end_matches('.')));
            if blind && wanted && !by_name(name) && !by_name(".") {
                let message = format!(
                    "has no way to {}: no default route, and no private zone",
                    name.trim_end_matches('.')
                );
                // Other ways to answer for a name, like response policies, aren't seen here.
                let is_stuck = unreached.iter().any(|pull| is_googles(&pull.image));
                let finding = if is_stuck {
                    out.fail(&subject, message)
                } else {
                    out.warn(&subject, message)
                };
                finding.fix(
                    Risk::None,
                    "makes a zone for it; records that lead to 199.36.153.8/30 have to follow",
                    format!(
                        "gcloud dns managed-zones create {} --dns-name {name} --visibility private \
                         --networks {} --project {} --description private-google-access",
                        name.trim_end_matches('.').replace('.', "-"),
                        ground.network.name,
                        ground.network.project
                    ),
                );
            }
        }
        if before && out.is_clean() {
            out.ok(&subject);
        }
        Ok(())
    }
}

/// Whether the registry of an image is a name in a zone.
fn is_in(image: &str, zone: &str) -> bool {
    let (host, zone) = (registry(image), zone.trim_end_matches('.'));
    host == zone || host.ends_with(&format!(".{zone}"))
}

/// What is wrong with one private zone for a name of Google's.
fn judge(ground: &Ground, seen: &ZoneSeen, routes: &[&crate::Route], out: &mut Findings) {
    let ZoneSeen { zone, is_attached, records } = seen;
    if !is_attached || zone.is_forwarded() {
        return;
    }
    let subject = zone.resource();
    let Some(records) = out.known(&subject, records.clone()) else { return };
    let addresses = addresses(&records, &zone.dns_name);
    let strays: Vec<_> = addresses.iter().filter(|address| !is_vip(**address)).collect();
    if addresses.is_empty() || !strays.is_empty() {
        let message = match strays.first() {
            Some(stray) => format!(
                "leads {} to {stray}, which is none of Google's private addresses",
                zone.dns_name
            ),
            None => format!("has no address for {}", zone.dns_name),
        };
        out.fail(&subject, message)
            .evidence("expected", "199.36.153.8 to .11 (private) or .4 to .7 (restricted)")
            .fix(
                Risk::None,
                "shows the records",
                format!(
                    "gcloud dns record-sets list --zone {} --project {}",
                    zone.name, ground.network.project
                ),
            );
        return;
    }
    let lost = addresses.iter().find_map(|address| match address {
        IpAddr::V4(v4) => {
            let route = winner(routes, *v4);
            (!routes.is_empty() && !route.is_some_and(crate::Route::to_internet))
                .then_some((*v4, route))
        }
        IpAddr::V6(_) => None,
    });
    match lost {
        Some((address, route)) => report_route(ground, seen, address, route, out),
        None => out.ok(&subject),
    }
}

fn report_route(
    ground: &Ground,
    seen: &ZoneSeen,
    address: Ipv4Addr,
    route: Option<&crate::Route>,
    out: &mut Findings,
) {
    let network = &ground.network;
    let message = match route {
        Some(route) => format!(
            "sends packets for {address} by route {}, not to the internet gateway",
            route.name
        ),
        None => format!("has no route to {address}"),
    };
    let finding = out.fail(network, message);
    finding.evidence("needed for", format!("{} by zone {}", seen.zone.dns_name, seen.zone.name));
    let range = if u32::from(address) % 16 < 8 { "199.36.153.4/30" } else { "199.36.153.8/30" };
    finding.fix(
        Risk::None,
        "leads packets for Google's private addresses to Google",
        format!(
            "gcloud compute routes create google-apis --project {} --network {} \
             --destination-range {range} --next-hop-gateway default-internet-gateway",
            network.project, network.name
        ),
    );
}

/// Where a zone leads its own name, or any name in it.
fn addresses(records: &[RecordSet], name: &str) -> Vec<IpAddr> {
    let wildcard = format!("*.{name}");
    let of_google = records.iter().filter(|set| set.kind == "A");
    let own = of_google.clone().filter(|set| set.name == name || set.name == wildcard);
    let found: Vec<_> = own.flat_map(|set| &set.rrdatas).filter_map(|r| r.parse().ok()).collect();
    if !found.is_empty() {
        return found;
    }
    // As for googleapis.com, whose names are aliases of one in it.
    of_google.flat_map(|set| &set.rrdatas).filter_map(|record| record.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::PrivateGoogleAccess;
    use crate::testing::Deployment;

    const GATEWAY: &str = "projects/p/global/gateways/default-internet-gateway";

    fn private(zones: Value, records: Value, routes: &[(&str, &str)]) -> Deployment {
        let mut deployment = Deployment::healthy();
        deployment.make_private();
        *deployment.file("gcp/compute/routers") = json!([]);
        *deployment.file("gcp/dns/managedZones") = zones;
        *deployment.file("gcp/dns/resourceRecordSets") = records;
        let route = |(range, hop): &(&str, &str)| {
            let network = "projects/p/global/networks/net";
            let hop = if hop.is_empty() { json!(null) } else { json!(hop) };
            json!({ "name": format!("route-{range}"), "network": network, "destRange": range,
                "nextHopGateway": hop })
        };
        *deployment.file("gcp/compute/routes") = routes.iter().map(route).collect();
        deployment
    }

    fn zone(network: &str) -> Value {
        json!([{ "name": "gcr", "dnsName": "gcr.io.", "visibility": "private",
            "privateVisibilityConfig": { "networks": [
                { "networkUrl": format!("https://compute/v1/projects/p/global/networks/{network}") }] } }])
    }

    fn records(address: &str) -> Value {
        json!({ "gcr": [{ "name": "gcr.io.", "type": "A", "rrdatas": [address] },
            { "name": "*.gcr.io.", "type": "CNAME", "rrdatas": ["gcr.io."] }] })
    }

    async fn status(deployment: &Deployment) -> String {
        let report = deployment.report(&PrivateGoogleAccess).await;
        let line = report.lines().rfind(|line| line.ends_with("  gcp-private-google-access"));
        let line = line.map_or("", |line| line.split_whitespace().next().unwrap_or(""));
        format!("{line}\n{report}")
    }

    #[tokio::test]
    async fn without_zones_the_flag_and_a_default_route_are_enough() {
        let deployment = private(json!([]), json!({}), &[("0.0.0.0/0", GATEWAY)]);
        let status = status(&deployment).await;
        assert!(status.starts_with("pass"), "{status}");
    }

    #[tokio::test]
    async fn the_flag_off_and_no_nat_keeps_nodes_from_google() {
        let mut deployment = private(json!([]), json!({}), &[("0.0.0.0/0", GATEWAY)]);
        deployment.file("gcp/compute/subnetworks")[0]["privateIpGoogleAccess"] = json!(false);
        let status = status(&deployment).await;
        assert!(
            status.starts_with("FAIL") && status.contains("--enable-private-ip-google-access"),
            "{status}"
        );
    }

    #[tokio::test]
    async fn a_zone_leads_to_googles_private_addresses_by_a_route() {
        let vip = &[("0.0.0.0/0", GATEWAY), ("10.0.0.0/8", "")][..];
        for (address, routes, expected) in [
            ("199.36.153.9", vip, "pass"),
            // Nothing is seen to lead to googleapis.com.
            ("199.36.153.5", &[("199.36.153.4/30", GATEWAY)][..], "warn"),
            ("203.0.113.9", vip, "FAIL"),
            ("199.36.153.9", &[("10.0.0.0/8", "")][..], "FAIL"),
        ] {
            let status = status(&private(zone("net"), records(address), routes)).await;
            assert!(status.starts_with(expected), "{address} {routes:?}: {status}");
        }
    }

    #[tokio::test]
    async fn a_zone_of_another_network_says_nothing() {
        let deployment = private(zone("other"), records("203.0.113.9"), &[("0.0.0.0/0", GATEWAY)]);
        let status = status(&deployment).await;
        assert!(status.starts_with("pass"), "{status}");
    }
}
