use std::collections::BTreeMap;

use futures::future::join_all;
use kfcheck::{Check, Cx, FactError, Fault, Findings, Risk, async_trait, check};
use kfcheck_kube::{Node, all};
use kfcheck_probe::{ArpAnswer, ArpProbe};

use crate::{
    Announcer, Announcers, KubeProxy, MetalLbFronts, ProxyMode, address_resource,
    announcers::unreachable, reached::is_answering,
};

check! {
    /// ## What it checks
    /// Who answers on the wire when the gateway's address is asked for by ARP: one machine, and where
    /// the nodes' own hardware addresses are known, the node that announces the address.
    ///
    /// ## Why it matters
    /// This is what the network does, whatever the cluster says. Where nobody answers, nobody reaches
    /// the address; where two do, it is chance which of them gets a connection.
    ///
    /// ## How to fix it
    /// Two answers from nodes mean that kube-proxy answers beside MetalLB, in IPVS mode without
    /// `strictARP`; another machine's means that the address is in use already, and belongs into no
    /// pool. Asking takes a place on the same network, and CAP_NET_RAW to hear a second answer.
    pub(crate) struct MetalLbArp;
    id: "onprem-metallb-arp",
    title: "One machine answers for the gateway's address on the wire",
}

/// How many nodes are asked for their own addresses.
const NODES: usize = 32;

#[async_trait]
impl Check for MetalLbArp {
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
        // Nothing announces a pool that nothing advertises, and that is what the wire shows.
        let by_arp = |announcer: &&Announcer| {
            announcer.address.is_ipv4()
                && (announcer.is_layer2 || announcer.advertisements.is_empty())
                && announcer.pool.protocol.as_deref() != Some("bgp")
        };
        let mut asked = announcers.iter().filter(by_arp).peekable();
        if asked.peek().is_none() {
            out.skip("no address at the entrance is announced by ARP");
        }
        for announcer in asked {
            examine(cx, announcer, out).await;
        }
        Ok(())
    }
}

async fn examine(cx: &Cx, announcer: &Announcer, out: &mut Findings) {
    let subject = address_resource(announcer.address);
    let address = announcer.address.to_string();
    // All are asked at the same time.
    for (_, address) in own_addresses(cx).await {
        cx.begin(ArpProbe { address });
    }
    let answers = cx.get(ArpProbe { address: address.clone() }).await;
    let Some(answers) = out.known(&subject, answers) else { return };
    if let Some(why) = ArpAnswer::undecided(&answers) {
        let error = unreachable(format!("{address} could not be asked for by ARP: {why}"));
        out.known::<()>(&subject, Err(error));
        return;
    }
    let macs = ArpAnswer::macs(&answers);
    let at = answers.iter().find_map(|answer| answer.interface.as_deref());
    let from = answers.iter().find_map(|answer| answer.from.as_deref());
    let ask = match at {
        Some(interface) => format!("sudo arping -c 3 -I {interface} {address}"),
        None => format!("sudo arping -c 3 {address}"),
    };
    if macs.is_empty() {
        // Nobody hears their own question.
        if let Some(node) = from.filter(|node| announcer.expected().is_none_or(|it| it == *node)) {
            let says = format!(
                "node {node} may be the one that announces {address}, and can't ask itself; name \
                 another with --arp-from-node"
            );
            out.known::<()>(&subject, Err(unreachable(says)));
            return;
        }
        if is_answering(cx).await {
            let says =
                format!("nobody answers ARP for {address}, and the host answers all the same");
            out.known::<()>(&subject, Err(unreachable(says)));
            return;
        }
        let finding = out.symptom(&subject, "is answered for by nobody on the wire");
        if let Some(interface) = at {
            let asked = from.map_or(interface.to_owned(), |node| format!("{interface} of {node}"));
            finding.evidence("asked on", asked);
        }
        finding.fix(Risk::None, "asks again", ask);
        return;
    }
    let nodes = nodes_by_mac(cx).await;
    let named = |mac: &str| match nodes.get(mac) {
        Some(node) => format!("{mac}, node {node}"),
        None => mac.to_owned(),
    };
    if macs.len() > 1 {
        // Where kube-proxy is why, the address is what suffers; otherwise it should not have been given.
        let proxy = cx.get(KubeProxy).await;
        let by_proxy = proxy.is_ok_and(|p| p.as_ref().as_ref().is_some_and(ProxyMode::is_loose));
        let finding = if by_proxy {
            let message = format!("is answered for by {} machines", macs.len());
            out.fail(&subject, message).serving()
        } else {
            let message = format!("has an address that {} machines answer for", macs.len());
            let finding = out.fail(&*announcer.service, message).serving();
            finding.evidence("address", &address)
        };
        for mac in &macs {
            finding.evidence("answers", named(mac));
        }
        if let Some(node) = announcer.expected() {
            finding.evidence("should", format!("node {node} alone"));
        }
        if let Some(node) = from {
            finding.evidence("asked from", format!("node {node}"));
        }
        finding.fix(Risk::None, "asks again", ask);
        return;
    }
    if !ArpAnswer::would_show_conflict(&answers) {
        // The kernel keeps one answer and drops the others.
        let permission = "CAP_NET_RAW".to_owned();
        out.known::<()>(&subject, Err(Fault::Denied { permission }.into()));
        return;
    }
    let answering = macs.first().and_then(|mac| nodes.get(*mac));
    match (answering, announcer.expected()) {
        (Some(node), Some(expected)) if node != expected => {
            let message = format!("is answered for by node {node}, which does not announce it");
            let finding = if announcer.is_said() {
                out.fail(&subject, message).serving()
            } else {
                out.warn(&subject, message)
            };
            finding.evidence("announces", format!("node {expected}"));
            finding.fix(Risk::None, "asks again", ask);
        }
        _ => out.ok(&subject),
    }
}

/// The nodes, each with an address of its own.
async fn own_addresses(cx: &Cx) -> Vec<(String, String)> {
    let nodes = cx.get(all::<Node>()).await;
    let nodes = nodes.iter().flat_map(|all| all.iter()).take(NODES);
    let own = nodes.filter_map(|node| {
        let mut addresses = node.addresses("InternalIP");
        let address = addresses.find(|at| at.parse::<std::net::Ipv4Addr>().is_ok())?;
        Some((node.metadata.name.clone(), address.to_owned()))
    });
    own.collect()
}

/// The nodes by the hardware address that answers for their own addresses, where only one does.
async fn nodes_by_mac(cx: &Cx) -> BTreeMap<String, String> {
    let asked = own_addresses(cx).await.into_iter().map(async |(name, address)| {
        let answers = cx.get(ArpProbe { address }).await.ok()?;
        match ArpAnswer::macs(&answers)[..] {
            [mac] => Some((mac.to_owned(), name)),
            _ => None,
        }
    });
    join_all(asked).await.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::MetalLbArp;
    use crate::testing::Deployment;

    async fn answered(by: &[&str], add: &[Value]) -> String {
        let mut deployment = Deployment::healthy();
        let replies: Vec<_> = by.iter().map(|mac| json!({ "mac": mac })).collect();
        let answers = deployment.file("probes/arp").as_array_mut().unwrap();
        answers[0]["replies"] = replies.into();
        answers.extend(add.iter().cloned());
        deployment.file("probes/http")[0] =
            json!({ "url": "http://10.64.140.43/", "error": "connect: no route to host" });
        deployment.report(&MetalLbArp).await
    }

    fn own(address: &str, mac: &str) -> Value {
        json!({ "address": address, "replies": [{ "mac": mac }] })
    }

    #[tokio::test]
    async fn one_answer_passes() {
        for deployment in [Deployment::healthy(), Deployment::old()] {
            let says = deployment.report(&MetalLbArp).await;
            assert!(says.contains("pass     onprem-metallb-arp"), "{says}");
        }
    }

    #[tokio::test]
    async fn silence_is_a_symptom() {
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-metallb-arp
              address 10.64.140.43 is answered for by nobody on the wire
                asked on  eth0
                fix       asks again
                          sudo arping -c 3 -I eth0 10.64.140.43
              kubectl kfcheck explain onprem-metallb-arp

            FAIL     onprem-metallb-arp
                     One machine answers for the gateway's address on the wire
        "#]]
        .assert_eq(&answered(&[], &[]).await);
    }

    #[tokio::test]
    async fn two_answers_are_a_conflict() {
        let nodes = [own("10.64.140.12", "52:54:00:12:35:0c")];
        let macs = ["52:54:00:12:35:0c", "de:ad:be:ef:00:01"];
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-metallb-arp
              Service istio-system/istio-ingressgateway has an address that 2 machines
                answer for
                address   10.64.140.43
                answers   52:54:00:12:35:0c, node worker-1
                answers   de:ad:be:ef:00:01
                should    node worker-1 alone
                fix       asks again
                          sudo arping -c 3 -I eth0 10.64.140.43
              kubectl kfcheck explain onprem-metallb-arp

            FAIL     onprem-metallb-arp
                     One machine answers for the gateway's address on the wire
        "#]]
        .assert_eq(&answered(&macs, &nodes).await);
    }

    #[tokio::test]
    async fn the_answer_of_another_node_is_told_where_nodes_are_known() {
        let nodes =
            [own("10.64.140.12", "52:54:00:12:35:0c"), own("10.64.140.13", "52:54:00:12:35:0d")];
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-metallb-arp
              address 10.64.140.43 is answered for by node worker-2, which does not announce
                it
                announces node worker-1
                fix       asks again
                          sudo arping -c 3 -I eth0 10.64.140.43
              kubectl kfcheck explain onprem-metallb-arp

            FAIL     onprem-metallb-arp
                     One machine answers for the gateway's address on the wire
        "#]]
        .assert_eq(&answered(&["52:54:00:12:35:0d"], &nodes).await);
        let says = answered(&["52:54:00:12:35:0c"], &nodes).await;
        assert!(says.contains("pass     onprem-metallb-arp"), "{says}");
        // A machine that isn't known may be another interface of the node's.
        let says = answered(&["52:54:00:12:35:ff"], &nodes).await;
        assert!(says.contains("pass     onprem-metallb-arp"), "{says}");
    }

    #[tokio::test]
    async fn silence_on_the_announcing_node_itself_says_nothing() {
        let mut deployment = Deployment::healthy();
        deployment.file("probes/http")[0] =
            json!({ "url": "http://10.64.140.43/", "error": "connect: no route to host" });
        let mut silent_on = async |node: &str| {
            deployment.file("probes/arp")[0] = json!({ "address": "10.64.140.43", "from": node,
                "interface": "eth0", "replies": [], "error": "no reply to 3 questions" });
            deployment.report(&MetalLbArp).await
        };
        let says = silent_on("worker-1").await;
        assert!(says.contains("unknown  onprem-metallb-arp"), "{says}");
        assert!(says.contains("name another with"), "{says}");
        let says = silent_on("worker-2").await;
        assert!(says.contains("is answered for by nobody on the wire"), "{says}");
        assert!(says.contains("asked on  eth0 of worker-2"), "{says}");
    }

    #[tokio::test]
    async fn who_could_not_ask_has_seen_nothing() {
        let mut deployment = Deployment::healthy();
        deployment.file("probes/arp")[0] = json!({ "address": "10.64.140.43", "replies": [],
            "error": "socket: operation not permitted" });
        expect![[r#"
            10.64.140.43: nothing broken found. 0 root causes, 0 symptoms; 0 checks passed,
            1 not seen.

            NOT SEEN, so a cause may hide there
              onprem-metallb-arp
                unreachable: 10.64.140.43 could not be asked for by ARP: socket: operation
                  not permitted

            unknown  onprem-metallb-arp
                     One machine answers for the gateway's address on the wire
                     (unreachable: 10.64.140.43 could not be asked for by ARP: socket:
                     operation not permitted)
        "#]]
        .assert_eq(&deployment.report(&MetalLbArp).await);
        deployment.file("probes/arp")[0] = json!({ "address": "10.64.140.43", "asked": "kernel",
            "replies": [{ "mac": "52:54:00:12:35:0c" }] });
        let says = deployment.report(&MetalLbArp).await;
        assert!(says.contains("permission CAP_NET_RAW denied"), "{says}");
        deployment.without("probes/arp");
        let says = deployment.report(&MetalLbArp).await;
        assert!(says.contains("unknown  onprem-metallb-arp"), "{says}");
    }
}
