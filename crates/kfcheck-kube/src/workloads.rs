//! The pods that matter to the endpoint, by what keeps them running.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::future::{join, join_all};
use kfcheck::{Cx, Fact, FactError, Findings, Named, Resource};
use serde::Serialize;

use crate::{Deployment, Pod, resource, within};

/// Where Kubeflow and what it stands on usually run.
pub const NAMESPACES: [&str; 8] = [
    "auth",
    "cert-manager",
    "istio-system",
    "knative-serving",
    "kube-system",
    "kubeflow",
    "metallb-system",
    "oauth2-proxy",
];

/// Of these, where every workload serves the endpoint in one way or another.
const VITAL: [&str; 5] =
    ["auth", "cert-manager", "knative-serving", "metallb-system", "oauth2-proxy"];

/// The workloads in the namespaces on the request path and in the usual ones, without those that
/// the endpoint does without and that are well.
#[derive(Clone, Serialize)]
pub struct Workloads;

/// Workloads, and why there may be more of them.
pub struct WorkloadsSeen {
    workloads: Vec<PodGroup>,
    missing: Vec<FactError>,
}

/// A workload and its pods.
#[derive(Clone, Debug)]
pub struct PodGroup {
    /// The Deployment, StatefulSet, … or a pod on its own.
    pub resource: Resource,
    /// Its pods, without those that are done or being deleted.
    pub pods: Vec<Arc<Pod>>,
    /// Whether the endpoint is down when it is.
    pub is_vital: bool,
    /// The Deployment itself, where it is one.
    pub deployment: Option<Arc<Deployment>>,
}

impl WorkloadsSeen {
    /// The workloads; what could not be seen is noted in `out`.
    pub fn seen(&self, out: &mut Findings) -> &[PodGroup] {
        self.missing.iter().for_each(|error| out.unseen(error.clone()));
        &self.workloads
    }
}

impl WorkloadsSeen {
    /// The workloads, for whoever has noted already what could not be seen.
    pub fn workloads(&self) -> &[PodGroup] {
        &self.workloads
    }
}

impl PodGroup {
    /// Its pods that requests may go to.
    pub fn ready(&self) -> usize {
        self.pods.iter().filter(|pod| pod.is_ready()).count()
    }

    /// How many pods it is to have.
    pub fn wanted(&self) -> usize {
        let asked = self.deployment.as_ref().map_or(0, |d| d.replicas() as usize);
        asked.max(self.pods.len())
    }

    /// The command that shows its pods.
    pub fn show(&self) -> String {
        let namespace = self.resource.namespace.as_deref().unwrap_or("default");
        if let Some(pod) = self.pods.first() {
            format!("kubectl describe pod -n {namespace} {}", pod.metadata.name)
        } else {
            let kind = self.resource.kind.to_lowercase();
            format!("kubectl describe {kind} -n {namespace} {}", self.resource.name)
        }
    }
}

impl Fact for Workloads {
    const NAME: &'static str = "kube.workloads";
    type Value = WorkloadsSeen;

    async fn fetch(&self, cx: &Cx) -> Result<WorkloadsSeen, FactError> {
        for namespace in NAMESPACES {
            cx.begin(within::<Pod>(namespace));
            cx.begin(within::<Deployment>(namespace));
        }
        let path = cx.path().await?;
        let services = path.of_kind("kubernetes", "Service");
        let on_path = services.iter().filter_map(|service| service.namespace.as_deref());
        let namespaces: BTreeSet<_> = on_path.chain(NAMESPACES).collect();
        let mut seen = WorkloadsSeen { workloads: Vec::new(), missing: Vec::new() };
        let asked = join_all(namespaces.into_iter().map(|namespace| async move {
            join(cx.get(within::<Pod>(namespace)), cx.get(within::<Deployment>(namespace))).await
        }));
        for (pods, deployments) in asked.await {
            let mut groups: BTreeMap<Resource, PodGroup> = BTreeMap::new();
            let new = |resource: &Resource| PodGroup {
                is_vital: path.contains(resource) || is_vital(resource),
                resource: resource.clone(),
                pods: Vec::new(),
                deployment: None,
            };
            let pods_seen = pods.is_ok();
            match pods {
                Ok(pods) => {
                    for pod in pods.iter().filter(|pod| !pod.is_over()) {
                        let workload = pod.workload();
                        // A Job's pods come and go; nobody is served by them.
                        if workload.kind != "Job" {
                            let group = new(&workload);
                            let group = groups.entry(workload).or_insert(group);
                            group.pods.push(Arc::clone(pod));
                        }
                    }
                }
                Err(error) => seen.missing.push(error),
            }
            match deployments {
                // Without its pods, a Deployment would look as if it had none.
                Ok(_) if !pods_seen => (),
                Ok(all) => {
                    for deployment in all.iter() {
                        let resource = deployment.resource();
                        let group = new(&resource);
                        let group = groups.entry(resource).or_insert(group);
                        group.deployment = Some(Arc::clone(deployment));
                    }
                }
                Err(error) => seen.missing.push(error),
            }
            // Whichever comes first in the list, the same one is looked at more closely.
            for group in groups.values_mut() {
                group.pods.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
            }
            // Thousands of others are fine, which is of no concern.
            let concerns = |group: &PodGroup| group.is_vital || group.ready() < group.wanted();
            seen.workloads.extend(groups.into_values().filter(concerns));
        }
        seen.missing.sort();
        seen.missing.dedup();
        Ok(seen)
    }
}

/// Whether the endpoint is down when a workload is, going by its name alone.
fn is_vital(workload: &Resource) -> bool {
    let namespace = workload.namespace.as_deref().unwrap_or_default();
    let control_plane = ["istiod", "istio-pilot", "istio-galley", "istio-ingressgateway"];
    VITAL.contains(&namespace)
        || namespace == "istio-system" && control_plane.contains(&&*workload.name)
        || *workload == resource("Deployment", Some("kube-system"), "kube-dns")
        || *workload == resource("Deployment", Some("kube-system"), "coredns")
}
