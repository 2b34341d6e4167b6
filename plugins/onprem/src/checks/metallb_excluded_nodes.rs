use kfcheck::{Check, Cx, FactError, Findings, Risk, async_trait, check};
use kfcheck_kube::{Container, Node, all, resource};

use crate::{
    Announcer, Announcers, Installation, MetalLbFronts, Nodes, Part, address_resource,
    announcers::{EXCLUDED, Why, honours_exclusion, unreachable},
};

check! {
    /// ## What it checks
    /// The label `node.kubernetes.io/exclude-from-external-load-balancers`: that not every node that
    /// could announce the gateway's address has it, where MetalLB keeps to it.
    ///
    /// ## Why it matters
    /// Since 0.14.3, MetalLB announces nothing from such a node. kubeadm gives the label to every
    /// control-plane node, so on a cluster of one node, or of control planes only, addresses are
    /// given and nobody answers for them.
    ///
    /// ## How to fix it
    /// Take the label off a node, or start the speakers with `--ignore-exclude-lb` (in the chart,
    /// `speaker.ignoreExcludeLB: true`).
    pub(crate) struct MetalLbExcludedNodes;
    id: "onprem-metallb-excluded-nodes",
    title: "A node that could announce is not excluded from load balancers",
}

#[async_trait]
impl Check for MetalLbExcludedNodes {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let fronts = cx.get(MetalLbFronts).await?;
        let Some(fronts) = &*fronts else {
            out.skip("MetalLB is not installed here");
            return Ok(());
        };
        let metallb = &fronts.metallb;
        if let Err(error) = &metallb.pools {
            return Err(error.clone());
        }
        let announcers = cx.get(Announcers).await?;
        let honours = honours_exclusion(cx, metallb).await;
        if announcers.is_empty() {
            out.skip("no address at the entrance is of a pool of MetalLB's");
        } else if honours == Some(false) {
            out.skip("MetalLB here does not look at the label");
            return Ok(());
        }
        for announcer in announcers.iter().filter(|announcer| announcer.is_layer2) {
            let subject = address_resource(announcer.address);
            let Some(nodes) = out.known(&subject, announcer.nodes.clone()) else { continue };
            if honours.is_none() {
                examine_doubt(cx, metallb, announcer, &nodes, out).await;
            } else {
                examine(metallb, announcer, &nodes, out);
            }
        }
        Ok(())
    }
}

fn examine(metallb: &Installation, announcer: &Announcer, nodes: &Nodes, out: &mut Findings) {
    let excluded = nodes.unable.iter().filter(|(_, why)| *why == Why::Excluded);
    let excluded: Vec<_> = excluded.map(|(node, _)| node.as_str()).collect();
    // That others can't for reasons of their own is said elsewhere.
    let others = nodes.unable.iter().any(|(_, why)| [Why::Unready, Why::NoNetwork].contains(why));
    let (Some(first), true, false) = (excluded.first(), nodes.able.is_empty(), others) else {
        if let Some(node) = nodes.able.first() {
            out.ok(resource("Node", None, node));
        } else if excluded.is_empty() {
            out.ok(address_resource(announcer.address));
        }
        return;
    };
    let node = resource("Node", None, first);
    out.depends(address_resource(announcer.address), &node);
    let message = "is excluded from load balancers, and no other node can announce";
    let finding = out.fail(&node, message).serving();
    finding.evidence("label", EXCLUDED);
    if excluded.len() > 1 {
        finding.evidence("so are", excluded[1..].join(", "));
    }
    finding.evidence("address", announcer.address);
    finding.fix(
        Risk::None,
        "takes the label off",
        format!("kubectl label node {first} {EXCLUDED}-"),
    );
    let set = metallb.speakers.iter().flatten().next();
    if let (Some(set), Some(at)) = (set, speaker_at(metallb)) {
        let patch = serde_json::json!([{ "op": "add",
            "path": format!("/spec/template/spec/containers/{at}/args/-"),
            "value": "--ignore-exclude-lb=true" }]);
        finding.fix(
            Risk::Restarts,
            "or has the speakers ignore it",
            format!(
                "kubectl patch daemonset {} -n {} --type=json -p '{patch}'",
                set.metadata.name, metallb.namespace
            ),
        );
    }
}

/// Which of its pods' containers the speaker is; others may stand beside it.
fn speaker_at(metallb: &Installation) -> Option<usize> {
    let pod = metallb.pods_of(Part::Speaker).next()?;
    let containers = &pod.spec.containers;
    let is =
        |container: &Container| container.name == "speaker" || container.image.contains("/speaker");
    containers.iter().position(is).or((containers.len() == 1).then_some(0))
}

/// It can't be told whether MetalLB looks at the label; where every node has it, that matters.
async fn examine_doubt(
    cx: &Cx,
    metallb: &Installation,
    announcer: &Announcer,
    nodes: &Nodes,
    out: &mut Findings,
) {
    let subject = address_resource(announcer.address);
    let Some(known) = out.known(&subject, cx.get(all::<Node>()).await) else { return };
    let is_free = |name: &&String| {
        let node = known.iter().find(|node| node.metadata.name == **name);
        node.is_some_and(|node| !node.metadata.labels.contains_key(EXCLUDED))
    };
    if let Some(free) = nodes.able.iter().find(is_free) {
        out.ok(resource("Node", None, free));
    } else if !nodes.able.is_empty() {
        let image = metallb.pods_of(Part::Speaker).next();
        let image = image.and_then(|pod| pod.spec.containers.first());
        let image = image.map_or("its speakers", |container| &container.image);
        let says = format!(
            "every node that could announce is excluded from load balancers, and it can't be told \
             whether {image} looks at that; MetalLB does since 0.14.3"
        );
        out.known::<()>(&subject, Err(unreachable(says)));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::MetalLbExcludedNodes;
    use crate::testing::Deployment;

    const LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

    /// Both nodes are excluded.
    fn excluded() -> Deployment {
        let mut deployment = Deployment::healthy();
        for name in ["worker-1", "worker-2"] {
            deployment.named("Node", name)["metadata"]["labels"][LABEL] = "".into();
        }
        deployment
    }

    #[tokio::test]
    async fn one_node_that_is_not_excluded_is_enough() {
        let mut deployment = excluded();
        deployment.named("Node", "worker-2")["metadata"]["labels"] = json!({});
        let says = deployment.report(&MetalLbExcludedNodes).await;
        assert!(says.contains("pass     onprem-metallb-excluded-nodes"), "{says}");
    }

    #[tokio::test]
    async fn where_every_node_is_excluded_nobody_announces() {
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-metallb-excluded-nodes
              Node worker-1 is excluded from load balancers, and no other node can announce
                label     node.kubernetes.io/exclude-from-external-load-balancers
                so are    worker-2
                address   10.64.140.43
                fix       takes the label off
                          kubectl label node worker-1 node.kubernetes.io/exclude-from-external-load-balancers-
                fix       or has the speakers ignore it
                          kubectl patch daemonset speaker -n metallb-system --type=json \
                            -p '[{"op":"add","path":"/spec/template/spec/containers/0/args/-","value":"--ignore-exclude-lb=true"}]'
              kubectl kfcheck explain onprem-metallb-excluded-nodes

            FAIL     onprem-metallb-excluded-nodes
                     A node that could announce is not excluded from load balancers
        "#]].assert_eq(&excluded().report(&MetalLbExcludedNodes).await);
    }

    #[tokio::test]
    async fn the_speaker_is_told_and_not_what_is_beside_it() {
        let mut deployment = excluded();
        for name in ["speaker-1", "speaker-2"] {
            deployment.named("Pod", name)["spec"]["containers"] = json!([
                { "name": "reloader", "image": "frr:9" }, { "name": "speaker", "image": "s:1" }]);
        }
        let says = deployment.report(&MetalLbExcludedNodes).await;
        assert!(says.contains("/spec/template/spec/containers/1/args/-"), "{says}");
    }

    #[tokio::test]
    async fn speakers_may_be_told_to_ignore_it() {
        let mut deployment = excluded();
        for name in ["speaker-1", "speaker-2"] {
            deployment.named("Pod", name)["spec"]["containers"][0]["args"] =
                json!(["--port=7472", "--ignore-exclude-lb=true"]);
        }
        let says = deployment.report(&MetalLbExcludedNodes).await;
        assert!(says.contains("skip     onprem-metallb-excluded-nodes"), "{says}");
    }

    #[tokio::test]
    async fn where_it_is_not_sure_when_it_began_silence_decides() {
        let mut deployment = excluded();
        deployment.objects.retain(|object| object["kind"] != "ServiceL2Status");
        for name in ["speaker-1", "speaker-2"] {
            deployment.named("Pod", name)["spec"]["containers"][0]["image"] =
                "quay.io/metallb/speaker:v0.13.12".into();
        }
        deployment.file("probes/arp")[0]["replies"] = json!([]);
        deployment.file("probes/http")[0] =
            json!({ "url": "http://10.64.140.43/", "error": "connect: no route to host" });
        let says = deployment.report(&MetalLbExcludedNodes).await;
        assert!(says.contains("FAIL     onprem-metallb-excluded-nodes"), "{says}");
    }

    #[tokio::test]
    async fn old_ones_do_not_look_at_it() {
        let mut deployment = excluded();
        deployment.objects.retain(|object| object["kind"] != "ServiceL2Status");
        for (image, says) in [
            ("quay.io/metallb/speaker:v0.13.12", "skip     "),
            ("quay.io/metallb/speaker:v0.14.3", "FAIL     "),
            ("registry.example.com/speaker@sha256:ab", "unknown  "),
        ] {
            for name in ["speaker-1", "speaker-2"] {
                deployment.named("Pod", name)["spec"]["containers"][0]["image"] = image.into();
            }
            let report = deployment.report(&MetalLbExcludedNodes).await;
            assert!(report.contains(&format!("{says}onprem-metallb-excluded-nodes")), "{report}");
        }
        let mut deployment = Deployment::old();
        for name in ["worker-1", "worker-2"] {
            deployment.named("Node", name)["metadata"]["labels"][LABEL] = "".into();
        }
        let says = deployment.report(&MetalLbExcludedNodes).await;
        assert!(says.contains("skip     onprem-metallb-excluded-nodes"), "{says}");
    }
}
