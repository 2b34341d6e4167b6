use kfcheck::{Check, Cx, FactError, Findings, Risk, async_trait, check};
use kfcheck_probe::{ArpAnswer, ArpProbe};

use crate::{Announcer, Announcers, KubeProxy, MetalLbFronts, ProxyMode, address_resource};

check! {
    /// ## What it checks
    /// kube-proxy's configuration, where it balances with IPVS and MetalLB announces the gateway's
    /// address by ARP: that `strictARP` is on.
    ///
    /// ## Why it matters
    /// In IPVS mode every node has the addresses of all Services on an interface of its own. Without
    /// `strictARP` every node answers ARP for them, so connections land on nodes that MetalLB didn't
    /// choose; with `externalTrafficPolicy: Local` most of them are refused.
    ///
    /// ## How to fix it
    /// Set `ipvs.strictARP: true` in the ConfigMap `kube-proxy` and start its pods again.
    pub(crate) struct KubeProxyStrictArp;
    id: "onprem-kube-proxy-strict-arp",
    title: "kube-proxy leaves ARP for Services to MetalLB",
}

#[async_trait]
impl Check for KubeProxyStrictArp {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let fronts = cx.get(MetalLbFronts).await?;
        let Some(fronts) = &*fronts else {
            out.skip("MetalLB is not installed here");
            return Ok(());
        };
        if let Err(error) = &fronts.metallb.pools {
            return Err(error.clone());
        }
        let announcers = cx.get(Announcers).await?;
        let by_arp: Vec<_> = announcers.iter().filter(|announcer| announcer.is_layer2).collect();
        if by_arp.is_empty() {
            out.skip("no address at the entrance is announced by ARP");
            return Ok(());
        }
        let Some(proxy) = &*cx.get(KubeProxy).await? else {
            out.skip("no kube-proxy is seen here");
            return Ok(());
        };
        if !proxy.is_loose() {
            out.ok(&proxy.told_by);
            return Ok(());
        }
        report(cx, proxy, &by_arp, out).await;
        Ok(())
    }
}

async fn report(cx: &Cx, proxy: &ProxyMode, by_arp: &[&Announcer], out: &mut Findings) {
    let mut alone = !by_arp.is_empty();
    let mut answers = Vec::new();
    for announcer in by_arp {
        out.depends(address_resource(announcer.address), &proxy.told_by);
        let asked = cx.get(ArpProbe { address: announcer.address.to_string() }).await;
        let asked = asked.as_ref().map(|all| all.as_slice()).unwrap_or_default();
        let macs = ArpAnswer::macs(asked);
        alone &= macs.len() == 1 && ArpAnswer::would_show_conflict(asked);
        if macs.len() > 1 {
            answers.push(format!("{} machines answer for {}", macs.len(), announcer.address));
        }
    }
    let message = "runs IPVS without strictARP, so every node answers for the gateway's address";
    // The nodes' own settings may keep them from it.
    let finding = if alone {
        let message = "runs IPVS without strictARP; so far one machine answers";
        out.warn(&proxy.told_by, message)
    } else {
        out.fail(&proxy.told_by, message)
    };
    finding.evidence("mode", "ipvs").evidence("strictARP", "false");
    for seen in answers {
        finding.evidence("wire", seen);
    }
    if proxy.by_config_map && proxy.strict_arp.is_none() {
        let name = &proxy.told_by.name;
        finding.fix(
            Risk::Restarts,
            "lets you put `strictARP: true` below `ipvs`, and starts kube-proxy again",
            format!(
                "kubectl edit configmap {name} -n kube-system && \
                 kubectl rollout restart daemonset kube-proxy -n kube-system"
            ),
        );
    } else if proxy.by_config_map {
        let name = &proxy.told_by.name;
        finding.fix(
            Risk::Restarts,
            "turns it on, and starts kube-proxy again",
            format!(
                "kubectl get configmap {name} -n kube-system -o yaml | \
                 sed 's/strictARP: false/strictARP: true/' | kubectl apply -f - && \
                 kubectl rollout restart daemonset kube-proxy -n kube-system"
            ),
        );
    } else {
        finding.fix(
            Risk::None,
            "shows its flags, to which --ipvs-strict-arp=true belongs",
            "kubectl get pods -n kube-system -o yaml | grep -B2 -A20 proxy-mode",
        );
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::KubeProxyStrictArp;
    use crate::testing::{Deployment, pod};

    fn configured(config: &str, macs: &[&str]) -> Deployment {
        let mut deployment = Deployment::healthy();
        deployment.named("ConfigMap", "kube-proxy")["data"]["config.conf"] = config.into();
        let labels = json!({ "k8s-app": "kube-proxy" });
        deployment.add(pod("kube-system", "kube-proxy-0", "worker-1", &labels));
        let replies: Vec<Value> = macs.iter().map(|mac| json!({ "mac": mac })).collect();
        deployment.file("probes/arp")[0]["replies"] = replies.into();
        deployment
    }

    const LOOSE: &str = "kind: KubeProxyConfiguration\nmode: ipvs\nipvs:\n  strictARP: false\n";

    #[tokio::test]
    async fn ipvs_without_strict_arp_has_every_node_answer() {
        let deployment = configured(LOOSE, &["52:54:00:12:35:0c", "52:54:00:12:35:0d"]);
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-kube-proxy-strict-arp
              ConfigMap kube-system/kube-proxy runs IPVS without strictARP, so every node
                answers for the gateway's address
                mode      ipvs
                strictARP false
                wire      2 machines answer for 10.64.140.43
                fix       turns it on, and starts kube-proxy again
                          kubectl get configmap kube-proxy -n kube-system \
                            -o yaml | sed 's/strictARP: false/strictARP: true/' | kubectl apply \
                            -f - && kubectl rollout restart daemonset kube-proxy \
                            -n kube-system
              kubectl kfcheck explain onprem-kube-proxy-strict-arp

            FAIL     onprem-kube-proxy-strict-arp
                     kube-proxy leaves ARP for Services to MetalLB
        "#]]
        .assert_eq(&deployment.report(&KubeProxyStrictArp).await);
    }

    #[tokio::test]
    async fn where_one_machine_answers_all_the_same_it_is_a_warning() {
        let deployment = configured(LOOSE, &["52:54:00:12:35:0c"]);
        let says = deployment.report(&KubeProxyStrictArp).await;
        assert!(says.contains("warn     onprem-kube-proxy-strict-arp"), "{says}");
    }

    #[tokio::test]
    async fn other_modes_and_strict_ones_pass() {
        for config in [
            "kind: KubeProxyConfiguration\nmode: \"\"\nipvs:\n  strictARP: false\n",
            "kind: KubeProxyConfiguration\nmode: nftables\n",
            "kind: KubeProxyConfiguration\nmode: ipvs\nipvs:\n  strictARP: true\n",
        ] {
            let deployment = configured(config, &["52:54:00:12:35:0c"]);
            let says = deployment.report(&KubeProxyStrictArp).await;
            assert!(says.contains("pass     onprem-kube-proxy-strict-arp"), "{says}");
        }
    }

    #[tokio::test]
    async fn flags_count_where_there_is_no_config_map() {
        let mut deployment = configured(LOOSE, &[]);
        deployment.no("ConfigMap", "configmaps");
        deployment.objects.retain(|object| object["metadata"]["name"] != "kube-proxy-0");
        let says = deployment.report(&KubeProxyStrictArp).await;
        assert!(says.contains("skip     onprem-kube-proxy-strict-arp"), "{says}");
        let mut proxy =
            pod("kube-system", "kube-proxy-1", "worker-1", &json!({ "k8s-app": "kube-proxy" }));
        proxy["spec"]["containers"][0]["command"] = json!(["kube-proxy", "--proxy-mode=ipvs"]);
        deployment.add(proxy);
        let says = deployment.report(&KubeProxyStrictArp).await;
        assert!(
            says.contains("Pod kube-system/kube-proxy-1 runs IPVS without strictARP"),
            "{says}"
        );
        deployment.named("Pod", "kube-proxy-1")["spec"]["containers"][0]["command"] =
            json!(["kube-proxy", "--proxy-mode=ipvs", "--ipvs-strict-arp"]);
        let says = deployment.report(&KubeProxyStrictArp).await;
        assert!(says.contains("pass     onprem-kube-proxy-strict-arp"), "{says}");
    }

    #[tokio::test]
    async fn a_config_map_without_kube_proxy_is_left_over() {
        let mut deployment = configured(LOOSE, &["52:54:00:12:35:0c", "52:54:00:12:35:0d"]);
        deployment.objects.retain(|object| object["metadata"]["name"] != "kube-proxy-0");
        let says = deployment.report(&KubeProxyStrictArp).await;
        assert!(says.contains("skip     onprem-kube-proxy-strict-arp"), "{says}");
        deployment.add(json!({ "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": { "namespace": "kube-system", "name": "kube-proxy" },
            "spec": { "template": { "metadata": { "labels": { "k8s-app": "kube-proxy" } } } },
            "status": { "desiredNumberScheduled": 2 } }));
        let says = deployment.report(&KubeProxyStrictArp).await;
        assert!(says.contains("FAIL     onprem-kube-proxy-strict-arp"), "{says}");
    }

    #[tokio::test]
    async fn a_key_that_is_not_there_is_put_there_by_hand() {
        let config = "kind: KubeProxyConfiguration\nmode: ipvs\n";
        let says = configured(config, &[]).report(&KubeProxyStrictArp).await;
        assert!(says.contains("kubectl edit configmap kube-proxy"), "{says}");
    }

    #[tokio::test]
    async fn without_metallb_it_is_of_no_concern() {
        let says = Deployment::node_port().report(&KubeProxyStrictArp).await;
        assert!(says.contains("skip     onprem-kube-proxy-strict-arp"), "{says}");
    }
}
