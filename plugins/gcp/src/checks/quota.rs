use std::collections::BTreeSet;

use kfcheck::{Check, Cx, FactError, Findings, Named, Risk, async_trait, check};

use crate::{
    ComputeProject, GoogleEntrances, ProjectQuotas, Quota, Scope,
    events::{Complaint, complaint},
    quota_resource,
};

check! {
    /// ## What it checks
    /// The project's quotas of what a load balancer is made of: that none is used up while an
    /// Ingress or a Gateway waits for it or its controller says so. One that is nearly used up is a warning.
    ///
    /// ## Why it matters
    /// Every deployment takes backend services, health checks and addresses of the same project; the
    /// one that comes after the last gets no load balancer, and says so in an event only.
    ///
    /// ## How to fix it
    /// Delete what former deployments left behind, or ask for more on the console's quota page.
    pub(crate) struct QuotaLeft;
    id: "gcp-quota",
    title: "The project's quotas leave room for the load balancer",
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

#[async_trait]
impl Check for QuotaLeft {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let entrances = cx.get(GoogleEntrances).await?;
        let project = cx.get(ProjectQuotas).await;
        let mut exceeded = BTreeSet::new();
        let mut waits = false;
        for entrance in entrances.iter() {
            let is_up = !entrance.addresses().is_empty();
            waits |= !is_up;
            // Without events, the numbers have to do.
            let said = complaint(cx, &entrance.resource(), is_up, &[]).await.ok().flatten();
            let Some(event) = said else { continue };
            let Complaint::Quota(metric, region) = Complaint::of(&event.message) else { continue };
            // Room was made since.
            if region.is_none() && has_room(project.as_deref().ok(), &metric) {
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
        let project = project?;
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
                for entrance in entrances.iter() {
                    out.built_from(entrance, &quota);
                }
                let finding = out.fail(&quota, format!("is used up ({numbers})"));
                finding.fix(Risk::None, "shows what takes it", show(cx, metric).await);
            } else if *usage >= limit * 0.9 {
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
fn has_room(project: Option<&ComputeProject>, metric: &str) -> bool {
    let quotas = project.iter().flat_map(|project| &project.quotas);
    let mut ours = quotas.filter(|quota| quota.metric == metric);
    ours.any(|quota| quota.usage < quota.limit)
}

/// The command that lists what counts towards a quota.
async fn show(cx: &Cx, metric: &str) -> String {
    let what = match metric {
        "BACKEND_SERVICES" => "backend-services",
        "FIREWALLS" => "firewall-rules",
        "FORWARDING_RULES" => "forwarding-rules",
        "HEALTH_CHECKS" => "health-checks",
        "IN_USE_ADDRESSES" | "STATIC_ADDRESSES" => "addresses",
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
                     The project's quotas leave room for the load balancer
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
                     The project's quotas leave room for the load balancer
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
                     The project's quotas leave room for the load balancer
        "#]]
        .assert_eq(&deployment.report(&QuotaLeft).await);
    }
}
