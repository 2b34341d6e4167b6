use std::sync::Arc;

use kfcheck::{Check, Cx, FactError, Fault, Findings, Named, Risk, async_trait, check};
use kfcheck_kube::{LabelSelector, Node, all, within};

use crate::{
    Advertisement, Advertisements, AdvertisementsSeen, Announcer, Announcers, BgpPeer, Fronts,
    Installation, MetalLbFronts, announcers::last_event, reached::is_silent,
};

check! {
    /// ## What it checks
    /// That the pool which the gateway's address is of is announced: by an L2Advertisement or a
    /// BGPAdvertisement in MetalLB's namespace that is for this pool, from at least one node, and for
    /// BGP to a router that is there.
    ///
    /// ## Why it matters
    /// A pool only says which addresses may be given away. Without an advertisement a Service gets
    /// its address, and nobody answers for it: MetalLB says nothing of it in logs or events.
    ///
    /// ## How to fix it
    /// Create an L2Advertisement that names the pool; one with an empty `spec` is for all pools. It has
    /// to be in MetalLB's own namespace.
    pub(crate) struct MetalLbAdvertisement;
    id: "onprem-metallb-advertisement",
    title: "The pool of the gateway's address is announced from a node",
}

#[async_trait]
impl Check for MetalLbAdvertisement {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let fronts = cx.get(MetalLbFronts).await?;
        let Some(Fronts { metallb, .. }) = &*fronts else {
            out.skip("MetalLB is not installed here");
            return Ok(());
        };
        let announcers = cx.get(Announcers).await?;
        if announcers.is_empty() {
            if let Err(error) = &metallb.pools {
                return Err(error.clone());
            }
            out.skip("no address at the entrance is of a pool of MetalLB's");
        }
        let known = cx.get(Advertisements).await?;
        for announcer in announcers.iter() {
            examine(cx, metallb, announcer, &known, out).await;
        }
        Ok(())
    }
}

async fn examine(
    cx: &Cx,
    metallb: &Installation,
    announcer: &Announcer,
    known: &AdvertisementsSeen,
    out: &mut Findings,
) {
    let pool = &announcer.pool;
    if let Some(protocol) = &pool.protocol {
        let peers = metallb.told_pools().map(|told| told.peers.len());
        if protocol != "layer2" && protocol != "bgp" {
            let message =
                format!("announces pool {} by a protocol that is none: {protocol}", pool.name);
            out.fail(&pool.resource, message).serving().fix(
                Risk::None,
                "opens it; the protocol is layer2 or bgp",
                edit(metallb, &pool.resource),
            );
        } else if protocol == "bgp" && peers == Some(0) {
            let message = format!("announces pool {} by BGP, and has no peer to tell", pool.name);
            out.fail(&pool.resource, message).serving().fix(
                Risk::None,
                "opens it",
                edit(metallb, &pool.resource),
            );
        } else {
            out.ok(&pool.resource);
        }
        return;
    }
    if announcer.advertisements.is_empty() {
        report_none(cx, metallb, announcer, known, out).await;
        return;
    }
    let nodes = cx.get(all::<Node>()).await;
    let Some(nodes) = out.known(&pool.resource, nodes) else { return };
    let mut reasons = Vec::new();
    for advertisement in &announcer.advertisements {
        match judge(cx, metallb, advertisement, &nodes).await {
            Ok(None) => {
                out.ok(&pool.resource);
                return;
            }
            Ok(Some(wrong)) => reasons.push((advertisement, wrong)),
            Err(error) => {
                out.known::<()>(&advertisement.resource, Err(error));
                return;
            }
        }
    }
    for (advertisement, wrong) in reasons {
        out.depends(&pool.resource, &advertisement.resource);
        let finding = out.fail(&advertisement.resource, wrong.0);
        for (name, value) in wrong.1 {
            finding.evidence(name, value);
        }
        finding.fix(Risk::None, "opens it", edit(metallb, &advertisement.resource));
    }
}

/// What is wrong with an advertisement, and what shows it.
struct Wrong(String, Vec<(&'static str, String)>);

/// Why an advertisement announces nothing, if so.
async fn judge(
    cx: &Cx,
    metallb: &Installation,
    advertisement: &Advertisement,
    nodes: &[Arc<Node>],
) -> Result<Option<Wrong>, FactError> {
    let from: Vec<_> =
        nodes.iter().filter(|node| advertisement.is_from(&node.metadata.labels)).collect();
    if from.is_empty() {
        let selectors = advertisement.spec.node_selectors.iter().map(words);
        let selectors = selectors.collect::<Vec<_>>().join(" or ");
        let shown = vec![("selects", selectors), ("nodes", nodes.len().to_string())];
        return Ok(Some(Wrong("selects no node to announce from".to_owned(), shown)));
    }
    if advertisement.is_layer2 {
        return Ok(None);
    }
    let peers = match cx.get(within::<BgpPeer>(&metallb.namespace)).await {
        Err(FactError { fault: Fault::Absent(_), .. }) => Arc::default(),
        peers => peers?,
    };
    let wanted = &advertisement.spec.peers;
    let told = |peer: &&Arc<BgpPeer>| wanted.is_empty() || wanted.contains(&peer.metadata.name);
    let told: Vec<_> = peers.iter().filter(told).collect();
    if told.is_empty() {
        let message = if wanted.is_empty() {
            "has no router to tell: there is no BGPPeer".to_owned()
        } else {
            format!("tells {}, which does not exist", wanted.join(" and "))
        };
        return Ok(Some(Wrong(message, Vec::new())));
    }
    let talks = |peer: &&Arc<BgpPeer>| {
        let selectors = &peer.spec.node_selectors;
        from.iter().any(|node| crate::objects::one_selects(selectors, &node.metadata.labels))
    };
    if !told.iter().any(talks) {
        let names: Vec<_> = told.iter().map(|peer| peer.metadata.name.as_str()).collect();
        let message = format!("is from nodes that don't talk to {}", names.join(" and "));
        return Ok(Some(Wrong(message, Vec::new())));
    }
    Ok(None)
}

/// Nothing announces the pool, as far as can be seen.
async fn report_none(
    cx: &Cx,
    metallb: &Installation,
    announcer: &Announcer,
    known: &AdvertisementsSeen,
    out: &mut Findings,
) {
    let pool = &announcer.pool;
    // Who prints all of a namespace leaves no trace of what there is none of; that nobody answers
    // for the address, and nobody says that he does, is the trace.
    for error in &known.missing {
        let is_trace = matches!(error.fault, Fault::NotCollected { .. });
        if !is_trace || is_announced(cx, announcer).await || !is_silent(cx, announcer.address).await
        {
            out.known::<()>(&pool.resource, Err(error.clone()));
            return;
        }
    }
    let finding = out.fail(&pool.resource, "is announced by nothing").serving();
    finding.evidence("address", announcer.address);
    finding.evidence("is of", announcer.service.resource());
    let others = known.own.iter().map(|other| other.resource.to_string());
    let others: Vec<_> = others.collect();
    if !others.is_empty() {
        finding.evidence("others", others.join(", "));
    }
    let strays = known.strays.iter().filter(|stray| stray.is_for(pool));
    let strays: Vec<_> = strays.map(|stray| stray.resource.to_string()).collect();
    if !strays.is_empty() {
        finding.evidence("elsewhere", strays.join(", "));
        finding.evidence("looks in", &metallb.namespace);
    }
    finding.fix(
        Risk::None,
        "announces it by ARP, from every node",
        format!(
            "echo '{{\"apiVersion\":\"metallb.io/v1beta1\",\"kind\":\"L2Advertisement\",\
             \"metadata\":{{\"namespace\":\"{}\",\"name\":\"{}\"}},\
             \"spec\":{{\"ipAddressPools\":[\"{}\"]}}}}' | kubectl create -f -",
            metallb.namespace, pool.name, pool.name
        ),
    );
}

/// Whether a speaker says that it announces the address.
async fn is_announced(cx: &Cx, announcer: &Announcer) -> bool {
    let by_status = announcer.said.as_ref().is_ok_and(|said| !said.is_empty());
    let service = announcer.service.resource();
    let event = last_event(cx, &service, |event| event.reason == "nodeAssigned").await;
    by_status || event.is_ok_and(|event| event.is_some())
}

/// A selector, as people write it.
fn words(selector: &LabelSelector) -> String {
    let labels = selector.match_labels.iter().map(|(name, value)| format!("{name}={value}"));
    let rules = selector.match_expressions.iter();
    let rules = rules.map(|rule| {
        format!("{} {} {}", rule.key, rule.operator, rule.values.join(",")).trim().to_owned()
    });
    labels.chain(rules).collect::<Vec<_>>().join(",")
}

fn edit(metallb: &Installation, what: &kfcheck::Resource) -> String {
    format!("kubectl edit {} {} -n {}", what.kind.to_lowercase(), what.name, metallb.namespace)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::MetalLbAdvertisement;
    use crate::testing::{Deployment, event};

    #[tokio::test]
    async fn an_advertisement_for_the_pool_or_for_all_passes() {
        let mut deployment = Deployment::healthy();
        for spec in [
            json!({ "ipAddressPools": ["default"] }),
            json!({}),
            serde_json::Value::Null,
            json!({ "ipAddressPoolSelectors": [{ "matchLabels": { "zone": "a" } }],
                "nodeSelectors": [{ "matchLabels": { "kubernetes.io/hostname": "worker-2" } }] }),
        ] {
            deployment.object("L2Advertisement")["spec"] = spec;
            deployment.object("IPAddressPool")["metadata"]["labels"] = json!({ "zone": "a" });
            let says = deployment.report(&MetalLbAdvertisement).await;
            assert!(says.contains("pass     onprem-metallb-advertisement"), "{says}");
        }
        let says = Deployment::old().report(&MetalLbAdvertisement).await;
        assert!(says.contains("pass     onprem-metallb-advertisement"), "{says}");
    }

    #[tokio::test]
    async fn a_pool_that_nothing_announces_is_a_cause() {
        let mut deployment = Deployment::healthy();
        deployment.no("L2Advertisement", "l2advertisements.metallb.io");
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-metallb-advertisement
              IPAddressPool metallb-system/default is announced by nothing
                address   10.64.140.43
                is of     Service istio-system/istio-ingressgateway
                fix       announces it by ARP, from every node
                          echo '{"apiVersion":"metallb.io/v1beta1","kind":"L2Advertisement","metadata":{"namespace":"metallb-system","name":"default"},"spec":{"ipAddressPools":["default"]}}' | kubectl create \
                            -f -
              kubectl kfcheck explain onprem-metallb-advertisement

            FAIL     onprem-metallb-advertisement
                     The pool of the gateway's address is announced from a node
        "#]].assert_eq(&deployment.report(&MetalLbAdvertisement).await);
    }

    #[tokio::test]
    async fn one_for_another_pool_or_in_another_namespace_is_none() {
        let mut deployment = Deployment::healthy();
        deployment.object("L2Advertisement")["spec"]["ipAddressPools"] = json!(["other"]);
        let says = deployment.report(&MetalLbAdvertisement).await;
        assert!(says.contains("others    L2Advertisement metallb-system/default"), "{says}");
        let mut deployment = Deployment::healthy();
        deployment.object("L2Advertisement")["metadata"]["namespace"] = "default".into();
        let says = deployment.report(&MetalLbAdvertisement).await;
        assert!(says.contains("elsewhere L2Advertisement default/default"), "{says}");
    }

    #[tokio::test]
    async fn what_was_not_collected_is_judged_only_where_nobody_answers() {
        let mut deployment = Deployment::healthy();
        deployment.objects.retain(|object| object["kind"] != "L2Advertisement");
        let says = deployment.report(&MetalLbAdvertisement).await;
        assert!(says.contains("unknown  onprem-metallb-advertisement"), "{says}");
        deployment.objects.retain(|object| object["kind"] != "ServiceL2Status");
        deployment.file("probes/arp")[0]["replies"] = json!([]);
        deployment.file("probes/http")[0] =
            json!({ "url": "http://10.64.140.43/", "error": "connect: no route to host" });
        let says = deployment.report(&MetalLbAdvertisement).await;
        assert!(
            says.contains("IPAddressPool metallb-system/default is announced by nothing"),
            "{says}"
        );
        deployment.add(event(
            "nodeAssigned",
            "Normal",
            "announcing from node \"worker-1\" with protocol \"layer2\"",
            "2026-11-21T11:59:00Z",
        ));
        let says = deployment.report(&MetalLbAdvertisement).await;
        assert!(says.contains("unknown  onprem-metallb-advertisement"), "{says}");
    }

    #[tokio::test]
    async fn one_that_selects_no_node_announces_nothing() {
        let mut deployment = Deployment::healthy();
        deployment.object("L2Advertisement")["spec"]["nodeSelectors"] =
            json!([{ "matchLabels": { "node-role.kubernetes.io/edge": "" } }]);
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-metallb-advertisement
              L2Advertisement metallb-system/default selects no node to announce from
                selects   node-role.kubernetes.io/edge=
                nodes     2
                fix       opens it
                          kubectl edit l2advertisement default -n metallb-system
              kubectl kfcheck explain onprem-metallb-advertisement

            FAIL     onprem-metallb-advertisement
                     The pool of the gateway's address is announced from a node
        "#]]
        .assert_eq(&deployment.report(&MetalLbAdvertisement).await);
    }

    #[tokio::test]
    async fn routes_are_told_to_a_router() {
        let mut deployment = Deployment::healthy();
        deployment.no("L2Advertisement", "l2advertisements.metallb.io");
        deployment.add(json!({ "apiVersion": "metallb.io/v1beta1", "kind": "BGPAdvertisement",
            "metadata": { "namespace": "metallb-system", "name": "bgp" } }));
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-metallb-advertisement
              BGPAdvertisement metallb-system/bgp has no router to tell: there is no BGPPeer
                fix       opens it
                          kubectl edit bgpadvertisement bgp -n metallb-system
              kubectl kfcheck explain onprem-metallb-advertisement

            FAIL     onprem-metallb-advertisement
                     The pool of the gateway's address is announced from a node
        "#]]
        .assert_eq(&deployment.report(&MetalLbAdvertisement).await);
        deployment.add(json!({ "apiVersion": "metallb.io/v1beta2", "kind": "BGPPeer",
            "metadata": { "namespace": "metallb-system", "name": "tor" },
            "spec": { "peerAddress": "10.64.140.1", "password": "hunter2" } }));
        let says = deployment.report(&MetalLbAdvertisement).await;
        assert!(says.contains("pass     onprem-metallb-advertisement"), "{says}");
        deployment.object("BGPPeer")["spec"]["nodeSelectors"] =
            json!([{ "matchLabels": { "rack": "b" } }]);
        let says = deployment.report(&MetalLbAdvertisement).await;
        assert!(says.contains("is from nodes that don't talk to tor"), "{says}");
    }

    #[tokio::test]
    async fn an_old_pool_says_how_itself() {
        let mut deployment = Deployment::old();
        let map = deployment.named("ConfigMap", "config");
        map["data"]["config"] =
            "address-pools:\n- name: default\n  protocol: bgp\n  addresses: [10.64.140.0/24]\n"
                .into();
        let says = deployment.report(&MetalLbAdvertisement).await;
        assert!(says.contains("announces pool default by BGP, and has no peer"), "{says}");
    }
}
