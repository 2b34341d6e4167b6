use jiff::ToSpan;
use kfcheck::{Check, Cx, FactError, Findings, Named, Risk, async_trait, check};
use kfcheck_kube::{Event, ServiceEndpoints};

use crate::{
    Announcer, Announcers, Installation, MetalLbFronts, Nodes, address_resource,
    announcers::{Why, last_event},
    reached::{is_answering, is_reached},
};

check! {
    /// ## What it checks
    /// For every address of the gateway's that MetalLB announces by ARP: that a node can announce it,
    /// which takes a speaker that is ready, an advertisement that selects the node, and, with
    /// `externalTrafficPolicy: Local`, a pod of the gateway on it; that not two nodes say that they
    /// do, and that no speaker says that it could not.
    ///
    /// ## Why it matters
    /// Where no node announces an address, it looks like one that nobody has. Where two do, half of
    /// the connections end at the wrong one.
    ///
    /// ## How to fix it
    /// The evidence says of each node why it doesn't announce. Events are kept for an hour only, so
    /// that there are none says nothing.
    pub(crate) struct MetalLbAnnounce;
    id: "onprem-metallb-announce",
    title: "One node can announce the gateway's address",
}

/// How many nodes are shown.
const SHOWN: usize = 8;

/// How long what a speaker says at once may take, in seconds.
const MOMENT: i64 = 10;

#[async_trait]
impl Check for MetalLbAnnounce {
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
        let mut judged = false;
        for announcer in announcers.iter() {
            // What is told to routers is not seen from here.
            let by_routes = announcer.pool.protocol.as_deref() == Some("bgp")
                || announcer.advertisements.iter().any(|a| !a.is_layer2);
            if announcer.is_layer2 || !by_routes {
                judged = true;
                examine(cx, &fronts.metallb, announcer, out).await;
            }
        }
        if !judged {
            out.skip("no address at the entrance is announced by ARP");
        }
        Ok(())
    }
}

async fn examine(cx: &Cx, metallb: &Installation, announcer: &Announcer, out: &mut Findings) {
    let subject = address_resource(announcer.address);
    let service = announcer.service.resource();
    let show = format!(
        "kubectl describe service -n {} {}",
        announcer.service.metadata.namespace(),
        announcer.service.metadata.name
    );
    // Who is gone has said so, too.
    if let (Ok(said), Ok(_)) = (&announcer.said, &announcer.nodes)
        && said.len() > 1
    {
        let message = format!("has an address that {} nodes announce at once", said.len());
        let nodes: Vec<_> = said.iter().map(String::as_str).collect();
        let finding = out.fail(&service, message).serving();
        finding.evidence("address", announcer.address);
        finding.evidence("nodes", nodes.join(", "));
        finding.fix(
            Risk::None,
            "shows who announces what",
            "kubectl get servicel2statuses -A -o wide",
        );
        return;
    }
    let Some(nodes) = out.known(&subject, announcer.nodes.clone()) else { return };
    if nodes.able.is_empty() {
        let endpoints = cx.get(ServiceEndpoints::of(&announcer.service)).await;
        let has_pods = endpoints.is_ok_and(|all| all.iter().any(|endpoint| endpoint.ready));
        report_nobody(announcer, &nodes, has_pods, &show, out);
        return;
    }
    let said = async |reason: &str| {
        let last = last_event(cx, &service, |event| event.reason == reason).await;
        last.ok().flatten()
    };
    // A speaker says that it announces also where none of its interfaces is meant.
    let is_current = |failed: &Event, assigned: Option<&Event>| {
        let (failed, assigned) = (failed.last_seen(), assigned.and_then(Event::last_seen));
        let until = failed.and_then(|at| at.checked_add(MOMENT.seconds()).ok());
        until.zip(assigned).is_none_or(|(until, assigned)| assigned <= until)
    };
    let (failed, assigned) = (said("announceFailed").await, said("nodeAssigned").await);
    if let Some(event) = failed.filter(|failed| is_current(failed, assigned.as_deref())) {
        let mut named = announcer.advertisements.iter();
        let named = named.find(|advertisement| !advertisement.spec.interfaces.is_empty());
        let finding = match named {
            Some(named) => {
                out.depends(&subject, &named.resource);
                let message = "names interfaces that the node which is to announce doesn't have";
                let finding = out.fail(&named.resource, message);
                finding.evidence("names", named.spec.interfaces.join(", "))
            }
            None => out.fail(&subject, "could not be announced").serving().hearsay(),
        };
        finding.evidence("says", &event.message);
        finding.fix(Risk::None, "shows what MetalLB says of it", show);
        return;
    }
    // Since 0.14.6, who announces says so as long as it does.
    let nobody_says = announcer.said.as_ref().is_ok_and(std::collections::BTreeSet::is_empty);
    if nobody_says && !is_reached(cx, announcer.address).await && !is_answering(cx).await {
        let speaker = metallb.speakers.iter().flatten().next();
        let finding = out.fail(&subject, "is announced by no node").serving().hearsay();
        finding.evidence("could be", nodes.able.join(", "));
        finding.fix(
            Risk::None,
            "shows what the speakers say",
            format!(
                "kubectl logs -n {} daemonset/{} --all-pods --tail=50",
                metallb.namespace,
                speaker.map_or("speaker", |set| &set.metadata.name)
            ),
        );
        return;
    }
    out.ok(&subject);
}

fn report_nobody(
    announcer: &Announcer,
    nodes: &Nodes,
    has_pods: bool,
    show: &str,
    out: &mut Findings,
) {
    let subject = address_resource(announcer.address);
    // There are pods, and not where it could be announced from.
    let is_misplaced = has_pods && nodes.unable.iter().any(|(_, why)| *why == Why::NoPod);
    let finding = if is_misplaced {
        let message = "keeps to the pods of the node that announces its address, and none that may \
                       has one";
        out.fail(&*announcer.service, message).serving()
    } else {
        // Of silence on the wire it is the reason; what keeps the nodes from it is found elsewhere.
        out.fail(&subject, "is announced by no node: none can").serving().hearsay()
    };
    if is_misplaced {
        finding.evidence("policy", "externalTrafficPolicy: Local");
        finding.evidence("address", announcer.address);
    } else {
        finding.evidence("of", announcer.service.resource());
    }
    for (node, why) in nodes.unable.iter().take(SHOWN) {
        finding.evidence("node", format!("{node}: {why}"));
    }
    if is_misplaced {
        let (namespace, name) =
            (announcer.service.metadata.namespace(), &announcer.service.metadata.name);
        let patch = r#"'{"spec":{"externalTrafficPolicy":"Cluster"}}'"#;
        finding.fix(
            Risk::None,
            "has every node send requests on; the gateway then sees the node's address for the client's",
            format!("kubectl patch service {name} -n {namespace} -p {patch}"),
        );
    } else {
        finding.fix(Risk::None, "shows what MetalLB says of it", show);
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::MetalLbAnnounce;
    use crate::testing::{Deployment, event};

    #[tokio::test]
    async fn an_address_that_a_node_can_announce_passes() {
        for deployment in [Deployment::healthy(), Deployment::old()] {
            let says = deployment.report(&MetalLbAnnounce).await;
            assert!(says.contains("pass     onprem-metallb-announce"), "{says}");
        }
    }

    #[tokio::test]
    async fn where_no_node_can_each_says_why() {
        let mut deployment = Deployment::healthy();
        deployment.object("L2Advertisement")["spec"]["nodeSelectors"] =
            json!([{ "matchLabels": { "kubernetes.io/hostname": "worker-1" } }]);
        deployment.named("Pod", "speaker-1")["status"]["conditions"] = json!([]);
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-metallb-announce
              address 10.64.140.43 is announced by no node: none can
                of        Service istio-system/istio-ingressgateway
                node      worker-1: its speaker is not ready
                node      worker-2: no advertisement selects it
                fix       shows what MetalLB says of it
                          kubectl describe service -n istio-system istio-ingressgateway
              kubectl kfcheck explain onprem-metallb-announce

            FAIL     onprem-metallb-announce
                     One node can announce the gateway's address
        "#]]
        .assert_eq(&deployment.report(&MetalLbAnnounce).await);
    }

    #[tokio::test]
    async fn a_service_that_keeps_to_the_nodes_pods_needs_one_there() {
        let mut deployment = Deployment::healthy();
        deployment.object("Service")["spec"]["externalTrafficPolicy"] = "Local".into();
        let says = deployment.report(&MetalLbAnnounce).await;
        assert!(says.contains("pass     onprem-metallb-announce"), "{says}");
        deployment.object("L2Advertisement")["spec"]["nodeSelectors"] =
            json!([{ "matchLabels": { "kubernetes.io/hostname": "worker-2" } }]);
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-metallb-announce
              Service istio-system/istio-ingressgateway keeps to the pods of the node that
                announces its address, and none that may has one
                policy    externalTrafficPolicy: Local
                address   10.64.140.43
                node      worker-1: no advertisement selects it
                node      worker-2: it has no pod of the Service that is ready
                fix       has every node send requests on; the gateway then sees the node's
                          address for the client's
                          kubectl patch service istio-ingressgateway -n istio-system \
                            -p '{"spec":{"externalTrafficPolicy":"Cluster"}}'
              kubectl kfcheck explain onprem-metallb-announce

            FAIL     onprem-metallb-announce
                     One node can announce the gateway's address
        "#]]
        .assert_eq(&deployment.report(&MetalLbAnnounce).await);
    }

    #[tokio::test]
    async fn without_a_pod_anywhere_it_is_not_about_the_place() {
        let mut deployment = Deployment::healthy();
        deployment.object("Service")["spec"]["externalTrafficPolicy"] = "Local".into();
        deployment.object("EndpointSlice")["endpoints"][0]["conditions"]["ready"] = false.into();
        let says = deployment.report(&MetalLbAnnounce).await;
        assert!(says.contains("address 10.64.140.43 is announced by no node: none can"), "{says}");
    }

    #[tokio::test]
    async fn an_interface_that_no_node_has_is_the_advertisements() {
        let mut deployment = Deployment::healthy();
        deployment.object("L2Advertisement")["spec"]["interfaces"] = json!(["bond0"]);
        let says =
            "the interfaces specified by LB IP \"10.64.140.43\" doesn't exist in assigned node";
        deployment.add(event("announceFailed", "Warning", says, "2026-11-21T11:59:00Z"));
        let says = deployment.report(&MetalLbAnnounce).await;
        assert!(says.contains("L2Advertisement metallb-system/default names interfaces"), "{says}");
    }

    #[tokio::test]
    async fn two_nodes_are_one_too_many() {
        let mut deployment = Deployment::healthy();
        let mut second = deployment.object("ServiceL2Status").clone();
        second["metadata"]["name"] = "l2-b".into();
        second["status"]["node"] = "worker-2".into();
        deployment.add(second);
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-metallb-announce
              Service istio-system/istio-ingressgateway has an address that 2 nodes announce
                at once
                address   10.64.140.43
                nodes     worker-1, worker-2
                fix       shows who announces what
                          kubectl get servicel2statuses -A -o wide
              kubectl kfcheck explain onprem-metallb-announce

            FAIL     onprem-metallb-announce
                     One node can announce the gateway's address
        "#]]
        .assert_eq(&deployment.report(&MetalLbAnnounce).await);
    }

    #[tokio::test]
    async fn a_speaker_that_could_not_is_heard() {
        let mut deployment = Deployment::healthy();
        let says = "the interfaces specified by LB IP \"10.64.140.43\" doesn't exist in assigned node \"worker-1\" with protocol \"layer2\"";
        deployment.add(event("announceFailed", "Warning", says, "2026-11-21T11:59:00Z"));
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-metallb-announce
              address 10.64.140.43 could not be announced
                says      the interfaces specified by LB IP "10.64.140.43" doesn't exist in
                          assigned node "worker-1" with protocol "layer2"
                fix       shows what MetalLB says of it
                          kubectl describe service -n istio-system istio-ingressgateway
              kubectl kfcheck explain onprem-metallb-announce

            FAIL     onprem-metallb-announce
                     One node can announce the gateway's address
        "#]]
        .assert_eq(&deployment.report(&MetalLbAnnounce).await);
        let says = "announcing from node \"worker-1\" with protocol \"layer2\"";
        deployment.add(event("nodeAssigned", "Normal", says, "2026-11-21T11:59:01Z"));
        let report = deployment.report(&MetalLbAnnounce).await;
        assert!(report.contains("FAIL     onprem-metallb-announce"), "{report}");
        deployment.add(event("nodeAssigned", "Normal", says, "2026-11-21T11:59:30Z"));
        let says = deployment.report(&MetalLbAnnounce).await;
        assert!(says.contains("pass     onprem-metallb-announce"), "{says}");
    }

    #[tokio::test]
    async fn where_nobody_says_so_and_nobody_answers_nobody_does() {
        let mut deployment = Deployment::healthy();
        deployment.no("ServiceL2Status", "servicel2statuses.metallb.io");
        let says = deployment.report(&MetalLbAnnounce).await;
        assert!(says.contains("pass     onprem-metallb-announce"), "{says}");
        deployment.without("probes/arp");
        deployment.without("probes/http");
        let says = deployment.report(&MetalLbAnnounce).await;
        assert!(says.contains("address 10.64.140.43 is announced by no node"), "{says}");
    }
}
