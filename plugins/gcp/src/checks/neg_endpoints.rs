use std::collections::{BTreeMap, BTreeSet};

use kfcheck::{Check, Cx, FactError, Findings, Risk, async_trait, check};
use kfcheck_kube::ServiceEndpoints;

use crate::{
    BackendHealth, BackendInUse, BackendsInUse, GroupHealth, Health, NetworkEndpointGroup,
    NetworkEndpointGroups, NetworkEndpoints,
};

check! {
    /// ## What it checks
    /// That the endpoints of every network endpoint group on the request path are the addresses and
    /// ports of the pods that the Service has.
    ///
    /// ## Why it matters
    /// A controller that stands still leaves the load balancer with pods that are long gone.
    ///
    /// ## How to fix it
    /// The Service's events say what holds the controller. Touching the Service, for example by an
    /// annotation, lets it try again.
    pub(crate) struct NegEndpoints;
    id: "gcp-neg-endpoints",
    title: "Network endpoint groups hold the pods that there are",
}

#[async_trait]
impl Check for NegEndpoints {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let used = cx.get(BackendsInUse).await?;
        let with_groups: Vec<_> = used.iter().filter(|used| used.backend.reaches_pods()).collect();
        if with_groups.is_empty() {
            return Ok(());
        }
        let groups = cx.get(NetworkEndpointGroups).await?;
        for used in with_groups {
            let BackendInUse { backend, service, service_port, .. } = used;
            let endpoints = cx.get(ServiceEndpoints::of(service)).await;
            let Some(endpoints) = out.known(backend, endpoints) else { continue };
            // Another check says that the Ingress names a port that isn't there.
            let Some(port) = service_port else { continue };
            let name = port.name.clone().unwrap_or_default();
            let health = cx.get(BackendHealth::of(backend)).await;
            let healthy = matches!(health.map(|h| GroupHealth::judge(&h)), Ok(Health::Healthy(..)));
            let mut ready = BTreeSet::new();
            let mut all = BTreeSet::new();
            // The groups hold one address of a pod, and the load balancer asks by IPv4.
            for endpoint in endpoints.iter().filter(|endpoint| !endpoint.ip.contains(':')) {
                for (_, port) in endpoint.ports.iter().filter(|(port, _)| *port == name) {
                    let at = format!("{}:{port}", endpoint.ip);
                    if endpoint.ready {
                        ready.insert(at.clone());
                    }
                    all.insert(at);
                }
            }
            let ours = groups
                .iter()
                .filter(|group| backend.backends.iter().any(|b| b.group.same(&group.self_link)));
            let mut by_name: BTreeMap<&str, Vec<&NetworkEndpointGroup>> = BTreeMap::new();
            ours.for_each(|group| by_name.entry(&group.name).or_default().push(group));
            if by_name.is_empty() {
                out.unbuilt(backend, "names network endpoint groups that are not there");
            }
            for (name, zones) in by_name {
                let group = zones[0];
                let zone = group.zone.name().to_owned();
                let asked = cx.get(NetworkEndpoints { group: name.to_owned(), zone }).await;
                let Some(there) = out.known(group, asked) else { continue };
                let size: u32 = zones.iter().filter_map(|group| group.size).sum();
                // The command lists one zone at a time, and the others may be missing.
                let is_whole = zones.len() == 1 || there.len() >= size as usize;
                let there: BTreeSet<_> = there
                    .iter()
                    .map(|entry| &entry.network_endpoint)
                    .map(|e| format!("{}:{}", e.ip_address, e.port.unwrap_or_default()))
                    .collect();
                let gone: Vec<_> = there.difference(&all).cloned().collect();
                let missing = ready.difference(&there).filter(|_| is_whole);
                let missing: Vec<_> = missing.cloned().collect();
                if gone.is_empty() && missing.is_empty() {
                    out.ok(group);
                    continue;
                }
                let message = "holds other endpoints than the Service has";
                let finding =
                    if healthy { out.warn(group, message) } else { out.fail(group, message) };
                if !gone.is_empty() {
                    finding.evidence("has extra", gone.join(", "));
                }
                if !missing.is_empty() {
                    finding.evidence("lacks", missing.join(", "));
                }
                let (namespace, service) = (service.metadata.namespace(), &service.metadata.name);
                finding.fix(
                    Risk::None,
                    "shows what the controller says",
                    format!("kubectl describe service -n {namespace} {service}"),
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::NegEndpoints;
    use crate::testing::Deployment;

    /// The backend service reaches pods by one group in two zones, which holds these pods.
    fn holding(ips: &[&str]) -> Deployment {
        let link = |zone: &str| format!("projects/p/zones/{zone}/networkEndpointGroups/neg");
        let group = |zone: &str| json!({ "name": "neg", "zone": zone, "selfLink": link(zone) });
        let mut deployment = Deployment::healthy();
        let status = r#"{"network_endpoint_groups": {"80": "neg"}, "zones": ["y", "z"]}"#;
        deployment.object("Service")["metadata"]["annotations"] =
            json!({ "cloud.google.com/neg-status": status });
        deployment.file("gcp/compute/backendServices")[0]["backends"] =
            json!([{ "group": link("y") }, { "group": link("z") }]);
        *deployment.file("gcp/compute/networkEndpointGroups") = json!([group("y"), group("z")]);
        let endpoint = |ip| json!({ "networkEndpoint": { "ipAddress": ip, "port": 8080 } });
        let endpoints: Vec<_> = ips.iter().map(endpoint).collect();
        *deployment.file("gcp/compute/networkEndpoints") = json!({ "neg": endpoints });
        deployment
    }

    #[tokio::test]
    async fn a_pod_that_is_not_ready_may_be_in_it_or_not() {
        let report = async |held: &[&str]| {
            let mut deployment = holding(held);
            let mut pod = deployment.object("Pod").clone();
            pod["metadata"]["name"] = "gateway-1".into();
            pod["status"]["podIP"] = "10.8.0.6".into();
            pod["status"]["conditions"][0]["status"] = "False".into();
            deployment.add(pod);
            deployment.report(&NegEndpoints).await
        };
        let within = report(&["10.8.0.5", "10.8.0.6"]).await;
        assert_eq!(within, report(&["10.8.0.5"]).await);
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     gcp-neg-endpoints
                     Network endpoint groups hold the pods that there are
        "#]]
        .assert_eq(&within);
    }

    #[tokio::test]
    async fn pods_that_are_gone_or_missing_are_named() {
        let mut deployment = holding(&["10.8.0.9"]);
        deployment.unhealthy();
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-neg-endpoints
              network endpoint group neg holds other endpoints than the Service has
                has extra 10.8.0.9:8080
                lacks     10.8.0.5:8080
                fix       shows what the controller says
                          kubectl describe service -n istio-system gateway
              kubectl kfcheck explain gcp-neg-endpoints

            FAIL     gcp-neg-endpoints
                     Network endpoint groups hold the pods that there are
        "#]]
        .assert_eq(&deployment.report(&NegEndpoints).await);
    }
}
