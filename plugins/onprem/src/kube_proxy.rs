//! How kube-proxy works, wherever it is told.

use std::sync::Arc;

use kfcheck::{Cx, Fact, FactError, Fault, Named, Resource};
use kfcheck_kube::{ConfigMap, Pod, find, within};
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
    /// Whether nodes answer ARP for their own addresses only.
    pub strict_arp: bool,
}

impl ProxyMode {
    /// Whether every node answers ARP for the addresses of all Services.
    pub fn is_loose(&self) -> bool {
        self.is_ipvs && !self.strict_arp
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
            return Ok(Some(ProxyMode {
                told_by: map.resource(),
                by_config_map: true,
                is_ipvs: told.mode == "ipvs",
                strict_arp: told.ipvs.strict_arp,
            }));
        }
        // Distributions that start it by themselves give it flags.
        let pods = cx.get(within::<Pod>("kube-system")).await;
        let is = |pod: &&Arc<Pod>| {
            let labels = &pod.metadata.labels;
            let names = ["k8s-app", "component", "app"].map(|name| labels.get(name));
            names.into_iter().flatten().any(|name| name == "kube-proxy") && !pod.is_over()
        };
        if let Some(pod) = pods.iter().flat_map(|all| all.iter()).find(is) {
            let told = |name: &str| pod.spec.containers.iter().find_map(|c| c.told(name));
            return Ok(Some(ProxyMode {
                told_by: pod.workload(),
                by_config_map: false,
                is_ipvs: told("--proxy-mode") == Some("ipvs"),
                strict_arp: told("--ipvs-strict-arp").is_some_and(|value| value != "false"),
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
