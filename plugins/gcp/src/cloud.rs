use std::collections::BTreeSet;

use kfcheck::{Cx, FactError, Resource, async_trait};
use kfcheck_kube::{Cloud, Unreached};

use crate::{
    BackendHealth, BackendInUse, BackendsInUse, GroupHealth, Health, HealthChecks,
    backends::pods_of,
    health::{asked_on_pod, examine},
    reach::ProbeReach,
};

/// Google Cloud, for the checks of the cluster.
pub struct GoogleCloud;

#[async_trait]
impl Cloud for GoogleCloud {
    async fn token_audiences(&self, cx: &Cx) -> Result<Vec<(String, Resource)>, FactError> {
        let used = cx.get(BackendsInUse).await?;
        let audience = |used: &BackendInUse| {
            let BackendInUse { backend, .. } = used;
            let place = backend.region.as_ref().map_or("global", |region| region.name());
            (format!("/projects/…/{place}/backendServices/{}", backend.id), backend.into())
        };
        let known = used.iter().filter(|used| !used.backend.id.is_empty());
        Ok(known.map(audience).collect())
    }

    async fn unreached(&self, cx: &Cx) -> Result<Vec<Unreached>, FactError> {
        let path = cx.path().await?;
        let checks = cx.get(HealthChecks).await?;
        let reach = cx.get(ProbeReach).await?;
        let kept_out: BTreeSet<_> = reach
            .iter()
            .filter(|reach| !reach.ports.is_empty() || !reach.undecided.is_empty())
            .flat_map(|reach| &reach.backends)
            .collect();
        let mut unreached = Vec::new();
        for used in cx.get(BackendsInUse).await?.iter() {
            let health = cx.get(BackendHealth::of(&used.backend)).await?;
            let Health::Unhealthy(all) = GroupHealth::judge(&health) else { continue };
            let pods = pods_of(cx, &used.service).await?;
            let of_backend = path.below(&used.backend, checks.iter());
            let wrong = of_backend.iter().any(|check| examine(used, check, &pods).is_some());
            let reached = reach.iter().any(|reach| reach.backends.contains(&used.backend.name));
            if of_backend.is_empty() || wrong || !reached || kept_out.contains(&used.backend.name) {
                continue;
            }
            let ready = pods.iter().find(|pod| pod.is_ready());
            let port = of_backend.iter().find_map(|check| asked_on_pod(used, check, &pods));
            let (Some(pod), Some(port)) = (ready, port) else { continue };
            // The kubelet comes from outside of the pod as well: what it reaches is not local.
            if pod.http_probes().any(|(probed, _)| probed == port) {
                continue;
            }
            let because = format!(
                "the pods are ready, the health check asks what they serve, the firewall lets it \
                 in, and 0 of {all} endpoints of {} are healthy",
                used.backend.name
            );
            unreached.push(Unreached { workload: pod.workload(), port, because });
        }
        Ok(unreached)
    }
}
