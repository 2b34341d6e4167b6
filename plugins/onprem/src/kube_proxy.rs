//! How kube-proxy works, wherever it is told.

use std::collections::BTreeMap;

use kfcheck::{Cx, Fact, FactError, Fault, Named, Resource};
use kfcheck_kube::{ConfigMap, DaemonSet, Pod, find, within};
use serde::Serialize;

/// kube-proxy, where the cluster has one that can be seen.
#[derive(Clone, Serialize)]
pub struct KubeProxy;

/// What kube-proxy is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyMode {
    /// What tells it.
    pub told_by: Resource,
    /// Whether it is its ConfigMap that does; otherwise it is flags.
    pub by_config_map: bool,
    /// Whether it balances with IPVS.
    pub is_ipvs: bool,
    /// Whether nodes answer ARP for their own addresses only; None: nothing is said, which is no.
    pub strict_arp: Option<bool>,
}

impl ProxyMode {
    /// Whether every node answers ARP for the addresses of all Services.
    pub fn is_loose(&self) -> bool {
        self.is_ipvs && self.strict_arp != Some(true)
    }
}

impl Fact for KubeProxy {
    const NAME: &'static str = "onprem.kubeProxy";
    type Value = Option<ProxyMode>;

    async fn fetch(&self, cx: &Cx) -> Result<Option<ProxyMode>, FactError> {
        cx.begin(within::<Pod>("kube-system"));
        let map = find::<ConfigMap>(cx, "kube-system", "kube-proxy").await;
        if let Ok(Some(map)) = &map
            && let Some(told) = &map.kube_proxy
        {
            let mode = ProxyMode {
                told_by: map.resource(),
                by_config_map: true,
                is_ipvs: told.mode == "ipvs",
                strict_arp: told.ipvs.strict_arp,
            };
            // What took its place may have left it there.
            let is_believed = !mode.is_loose() || is_running(cx).await?;
            return Ok(is_believed.then_some(mode));
        }
        // Distributions that start it by themselves give it flags.
        let pods = cx.get(within::<Pod>("kube-system")).await;
        if let Some(pod) = pods.iter().flat_map(|all| all.iter()).find(|pod| is_one(pod)) {
            let told = |name: &str| pod.spec.containers.iter().find_map(|c| c.told(name));
            return Ok(Some(ProxyMode {
                told_by: pod.workload(),
                by_config_map: false,
                is_ipvs: told("--proxy-mode") == Some("ipvs"),
                strict_arp: told("--ipvs-strict-arp").map(|value| value != "false"),
            }));
        }
        match (map, pods) {
            (Err(error), _) | (_, Err(error)) if !matches!(error.fault, Fault::Absent(_)) => {
                Err(error)
            }
            _ => Ok(None),
        }
    }
}

/// Whether labels are those of kube-proxy's pods.
fn is_kube_proxy(labels: &BTreeMap<String, String>) -> bool {
    let names = ["k8s-app", "component", "app"].map(|name| labels.get(name));
    names.into_iter().flatten().any(|name| name == "kube-proxy")
}

fn is_one(pod: &Pod) -> bool {
    is_kube_proxy(&pod.metadata.labels) && !pod.is_over()
}

/// Whether kube-proxy runs on nodes of this cluster.
async fn is_running(cx: &Cx) -> Result<bool, FactError> {
    let pods = cx.get(within::<Pod>("kube-system")).await;
    if pods.iter().flat_map(|all| all.iter()).any(|pod| is_one(pod)) {
        return Ok(true);
    }
    let sets = cx.get(within::<DaemonSet>("kube-system")).await;
    let runs = |set: &DaemonSet| {
        is_kube_proxy(&set.spec.template.metadata.labels)
            && set.status.desired_number_scheduled > Some(0)
    };
    if sets.iter().flat_map(|all| all.iter()).any(|set| runs(set)) {
        return Ok(true);
    }
    match (pods, sets) {
        (Err(error), _) | (_, Err(error)) => Err(error),
        _ => Ok(false),
    }
}
