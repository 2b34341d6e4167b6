use kfcheck::{Check, Cx, FactError, Findings, async_trait, check};
use kfcheck_kube::FrontServices;

use crate::{
    BackendHealth, BackendsInUse, GoogleEntrances, GroupHealth, Health, NegAnnotation, OurCluster,
    entrances::is_behind_gateways,
};

check! {
    /// ## What it checks
    /// Where a Service at the front door asks for network endpoint groups, or stands behind a
    /// Gateway, that the cluster is VPC-native: that its pods have addresses of the network.
    ///
    /// ## Why it matters
    /// On a routes-based cluster the load balancer has no way to a pod's address: no endpoint ever
    /// gets healthy.
    ///
    /// ## How to fix it
    /// Take the annotation off, so that the load balancer goes by node ports; the Service then has
    /// to be of type NodePort; behind a Gateway there is no such way. A cluster can't be made
    /// VPC-native later.
    pub(crate) struct NegNeedsVpcNative;
    id: "gcp-neg-needs-vpc-native",
    title: "Network endpoint groups are used on a VPC-native cluster",
}

#[async_trait]
impl Check for NegNeedsVpcNative {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        if cx.get(GoogleEntrances).await?.is_empty() {
            return Ok(());
        }
        for service in cx.get(FrontServices).await?.iter() {
            let asks = NegAnnotation::of(service).and_then(Result::ok).is_some_and(|a| a.asks());
            let by_gateway = is_behind_gateways(cx, service).await?;
            if !asks && !by_gateway {
                continue;
            }
            let Some(cluster) = out.known(&**service, cx.get(OurCluster).await) else { continue };
            let native = cluster.ip_allocation_policy.as_ref().is_some_and(|p| p.use_ip_aliases);
            if native || is_healthy(cx, &service.metadata.name).await {
                out.ok(&**service);
                continue;
            }
            let message = if by_gateway {
                "is behind a Gateway, and the cluster is routes-based"
            } else {
                "asks for network endpoint groups, and the cluster is routes-based"
            };
            let finding = out.fail(&**service, message).evidence(
                "cluster",
                format!("{} has no ipAllocationPolicy.useIpAliases", cluster.name),
            );
            // A Gateway knows no other way.
            if !by_gateway {
                finding.fix(
                    kfcheck::Risk::None,
                    "goes back to node ports",
                    format!(
                        "kubectl annotate service {} -n {} cloud.google.com/neg-",
                        service.metadata.name,
                        service.metadata.namespace()
                    ),
                );
            }
        }
        Ok(())
    }
}

/// Whether an endpoint behind this Service is healthy, which is all the proof there can be.
async fn is_healthy(cx: &Cx, service: &str) -> bool {
    let used = cx.get(BackendsInUse).await;
    for used in used.iter().flat_map(|used| used.iter()) {
        let health = cx.get(BackendHealth::of(&used.backend)).await;
        let judged = health.map(|health| GroupHealth::judge(&health));
        if used.service.metadata.name == service && matches!(judged, Ok(Health::Healthy(..))) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::NegNeedsVpcNative;
    use crate::testing::Deployment;

    /// A Service with this annotation, on a cluster that isn't VPC-native.
    fn by_routes(annotation: &str) -> Deployment {
        let mut deployment = Deployment::healthy();
        let named = json!({ "cloud.google.com/neg": annotation });
        deployment.object("Service")["metadata"]["annotations"] = named;
        *deployment.file("gcp/container/clusters") = json!([{ "name": "c", "location": "z" }]);
        deployment
    }

    #[tokio::test]
    async fn an_annotation_that_asks_for_nothing_is_fine() {
        let deployment = by_routes(r#"{"ingress": false, "exposed_ports": {}}"#);
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            skip     gcp-neg-needs-vpc-native
                     Network endpoint groups are used on a VPC-native cluster
                     (there is nothing of the kind here)
        "#]]
        .assert_eq(&deployment.report(&NegNeedsVpcNative).await);
    }

    #[tokio::test]
    async fn a_healthy_endpoint_is_proof_enough() {
        let deployment = by_routes(r#"{"ingress": true}"#);
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     gcp-neg-needs-vpc-native
                     Network endpoint groups are used on a VPC-native cluster
        "#]]
        .assert_eq(&deployment.report(&NegNeedsVpcNative).await);
    }

    #[tokio::test]
    async fn without_one_the_groups_are_to_blame() {
        let mut deployment = by_routes(r#"{"ingress": true}"#);
        deployment.unhealthy();
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-neg-needs-vpc-native
              Service istio-system/gateway asks for network endpoint groups, and the cluster
                is routes-based
                cluster   c has no ipAllocationPolicy.useIpAliases
                fix       goes back to node ports
                          kubectl annotate service gateway \
                            -n istio-system cloud.google.com/neg-
              kubectl kfcheck explain gcp-neg-needs-vpc-native

            FAIL     gcp-neg-needs-vpc-native
                     Network endpoint groups are used on a VPC-native cluster
        "#]]
        .assert_eq(&deployment.report(&NegNeedsVpcNative).await);
    }
}
