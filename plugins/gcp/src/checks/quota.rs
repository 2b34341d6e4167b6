use std::collections::BTreeSet;

use kfcheck::{Check, Cx, FactError, Findings, Named, Now, Resource, Risk, async_trait, check};
use kfcheck_kube::Thresholds;

use crate::{
    GoogleEntrances, Operations, OurCluster, ProjectQuotas, Quota, Regions, Scope,
    events::{Complaint, complaint},
    operations::{by_target, is_stuck, unresolved},
    quota_resource,
};

check! {
    /// ## What it checks
    /// The project's quotas of what a load balancer is made of, and those of the cluster's region
    /// for what nodes are made of: that none is used up while an Ingress or a Gateway waits for it, its controller
    /// says so, or an operation of GKE's came to nothing for it. One that is nearly used up is a
    /// warning.
    ///
    /// ## Why it matters
    /// Every deployment takes backend services, health checks and addresses of the same project; the
    /// one that comes after the last gets no load balancer, and says so in an event only.
    ///
    /// ## How to fix it
    /// Delete what former deployments left behind, or ask for more on the console's quota page.
    pub(crate) struct QuotaLeft;
    id: "gcp-quota",
    title: "The project's quotas leave room for the load balancer and the nodes",
}

/// What a load balancer is made of.
const NEEDED: [&str; 11] = [
    "BACKEND_SERVICES",
    "FIREWALLS",
    "FORWARDING_RULES",
    "HEALTH_CHECKS",
    "IN_USE_ADDRESSES",
    "INSTANCE_GROUPS",
    "NETWORK_ENDPOINT_GROUPS",
    "SSL_CERTIFICATES",
    "TARGET_HTTP_PROXIES",
    "TARGET_HTTPS_PROXIES",
    "URL_MAPS",
];

/// What the load balancer and the nodes take of a region's quotas.
const NEEDED_THERE: [&str; 6] =
    ["CPUS", "DISKS_TOTAL_GB", "IN_USE_ADDRESSES", "INSTANCES", "INSTANCE_GROUPS", "SSD_TOTAL_GB"];

#[async_trait]
impl Check for QuotaLeft {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        // What GKE says of quotas counts without them too.
        let seen = cx.get(GoogleEntrances).await;
        let entrances = seen.as_deref().map_or(&[][..], Vec::as_slice);
        let project = cx.get(ProjectQuotas).await;
        let regions = cx.get(Regions).await;
        let quotas = |region: Option<&str>| match region {
            None => project.as_ref().ok().map(|project| &*project.quotas),
            Some(name) => {
                let mut all = regions.iter().flat_map(|all| all.iter());
                all.find(|region| region.name == name).map(|region| &*region.quotas)
            }
        };
        let mut exceeded = BTreeSet::new();
        let mut waits = false;
        for entrance in entrances {
            let is_up = !entrance.addresses().is_empty();
            waits |= !is_up;
            // Without events, the numbers have to do.
            let said = complaint(cx, &entrance.resource(), is_up, &[]).await.ok().flatten();
            let Some(event) = said else { continue };
            let Complaint::Quota(metric, region) = Complaint::of(&event.message) else { continue };
            // Room was made since.
            if has_room(quotas(region.as_deref()), &metric) {
                continue;
            }
            let quota = quota_resource(&metric, region.as_deref());
            out.built_from(entrance, &quota);
            if exceeded.insert(quota.clone()) {
                let finding = out.fail(&quota, "is used up");
                finding.evidence("event", &event.message);
                finding.fix(Risk::None, "shows what takes it", show(cx, &metric).await);
            }
        }
        for (operation, says, metric, region) in short_operations(cx).await {
            let quota = quota_resource(&metric, region.as_deref());
            out.built_from(operation, &quota);
            if exceeded.insert(quota.clone()) {
                let finding = out.fail(&quota, "is used up");
                finding.evidence("says", says);
                finding.fix(Risk::None, "shows what takes it", show(cx, &metric).await);
            }
        }
        let here = region(cx).await;
        for Quota { metric, limit, usage } in quotas(here.as_deref()).into_iter().flatten() {
            let quota = quota_resource(metric, here.as_deref());
            let is_meant = NEEDED_THERE.contains(&metric.as_str()) && *limit > 0.0;
            if here.is_none() || !is_meant || exceeded.contains(&quota) {
                continue;
            }
            if *usage >= limit * 0.9 {
                let state = if usage >= limit { "has no room left" } else { "is nearly used up" };
                let finding = out.warn(&quota, format!("{state} ({usage} of {limit})"));
                finding.fix(Risk::None, "shows what takes it", show(cx, metric).await);
            } else {
                out.ok(&quota);
            }
        }
        seen.as_ref().err().into_iter().for_each(|error| out.unseen(error.clone()));
        regions.err().into_iter().for_each(|error| out.unseen(error));
        let project = project?;
        let nearly = cx.setting::<Thresholds>().quota();
        for Quota { metric, limit, usage } in &project.quotas {
            if !NEEDED.contains(&metric.as_str()) || *limit <= 0.0 {
                continue;
            }
            let quota = quota_resource(metric, None);
            if exceeded.contains(&quota) {
                continue;
            }
            let numbers = format!("{usage} of {limit}");
            if usage >= limit && waits {
                for entrance in entrances {
                    out.built_from(entrance, &quota);
                }
                let finding = out.fail(&quota, format!("is used up ({numbers})"));
                finding.fix(Risk::None, "shows what takes it", show(cx, metric).await);
            } else if *usage >= limit * nearly {
                let state = if usage >= limit { "has no room left" } else { "is nearly used up" };
                let finding = out.warn(&quota, format!("{state} ({numbers})"));
                finding.fix(Risk::None, "shows what takes it", show(cx, metric).await);
            } else {
                out.ok(&quota);
            }
        }
        Ok(())
    }
}

/// Whether the numbers say that there is room.
fn has_room(quotas: Option<&[Quota]>, metric: &str) -> bool {
    let mut ours = quotas.into_iter().flatten().filter(|quota| quota.metric == metric);
    ours.any(|quota| quota.usage < quota.limit)
}

/// The operations on the cluster that came to nothing for want of a quota: what they say, its metric,
/// and its region if it is one's.
async fn short_operations(cx: &Cx) -> Vec<(Resource, String, String, Option<String>)> {
    let (operations, cluster) = (cx.get(Operations).await, cx.get(OurCluster).await);
    let (Ok(operations), Ok(cluster), Ok(now)) = (operations, cluster, cx.get(Now).await) else {
        return Vec::new();
    };
    let mut short = Vec::new();
    for operations in by_target(operations.iter(), &cluster).values() {
        let stuck = operations.iter().copied().filter(|operation| is_stuck(operation, *now));
        for operation in stuck.chain(unresolved(operations)) {
            for says in operation.says() {
                if let Complaint::Quota(metric, region) = Complaint::of(&says) {
                    short.push((operation.resource(), says, metric, region));
                }
            }
        }
    }
    short
}

/// The region of the cluster, which may be in one zone of it.
async fn region(cx: &Cx) -> Option<String> {
    let scope = cx.get(Scope).await.ok()?;
    let location = scope.location.as_deref()?;
    let region = match location.rsplit_once('-') {
        Some((region, zone)) if zone.len() == 1 => region,
        _ => location,
    };
    Some(region.to_owned())
}

/// The command that lists what counts towards a quota.
async fn show(cx: &Cx, metric: &str) -> String {
    let what = match metric {
        "BACKEND_SERVICES" => "backend-services",
        "FIREWALLS" => "firewall-rules",
        "FORWARDING_RULES" => "forwarding-rules",
        "HEALTH_CHECKS" => "health-checks",
        "IN_USE_ADDRESSES" | "STATIC_ADDRESSES" => "addresses",
        "DISKS_TOTAL_GB" | "SSD_TOTAL_GB" => "disks",
        "INSTANCE_GROUPS" => "instance-groups",
        "NETWORK_ENDPOINT_GROUPS" => "network-endpoint-groups",
        "SSL_CERTIFICATES" => "ssl-certificates",
        "TARGET_HTTP_PROXIES" => "target-http-proxies",
        "TARGET_HTTPS_PROXIES" => "target-https-proxies",
        "URL_MAPS" => "url-maps",
        _ => "instances",
    };
    let scope = cx.get(Scope).await;
    let project = scope.as_ref().ok().map(|scope| format!(" --project {}", scope.project));
    format!("gcloud compute {what} list{}", project.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::QuotaLeft;
    use crate::testing::Deployment;

    fn using(metric: &str, usage: f64) -> Deployment {
        let mut deployment = Deployment::healthy();
        *deployment.file("gcp/compute/project") =
            json!({ "quotas": [{ "metric": metric, "limit": 50.0, "usage": usage }] });
        deployment
    }

    #[tokio::test]
    async fn what_no_load_balancer_is_made_of_may_be_used_up() {
        let report = using("ROUTES", 50.0).report(&QuotaLeft).await;
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            skip     gcp-quota
                     The project's quotas leave room for the load balancer and the nodes
                     (there is nothing of the kind here)
        "#]]
        .assert_eq(&report);
    }

    #[tokio::test]
    async fn what_is_nearly_used_up_is_a_warning() {
        let report = using("BACKEND_SERVICES", 45.0).report(&QuotaLeft).await;
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            WARNING  gcp-quota
              quota BACKEND_SERVICES (global) is nearly used up (45 of 50)
                fix       shows what takes it
                          gcloud compute backend-services list --project p

            warn     gcp-quota
                     The project's quotas leave room for the load balancer and the nodes
        "#]]
        .assert_eq(&report);
    }

    #[tokio::test]
    async fn what_is_used_up_while_an_ingress_waits_is_the_cause() {
        let mut deployment = using("BACKEND_SERVICES", 50.0);
        deployment.object("Ingress")["status"] = json!({});
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-quota
              quota BACKEND_SERVICES (global) is used up (50 of 50)
                fix       shows what takes it
                          gcloud compute backend-services list --project p
              kubectl kfcheck explain gcp-quota

            FAIL     gcp-quota
                     The project's quotas leave room for the load balancer and the nodes
        "#]]
        .assert_eq(&deployment.report(&QuotaLeft).await);
    }
}
