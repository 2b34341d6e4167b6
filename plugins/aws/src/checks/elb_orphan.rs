use std::collections::BTreeSet;

use kfcheck::{Check, Cx, FactError, Findings, Named, Resource, Risk, async_trait, check};

use crate::{
    ClassicLoadBalancerTags, ClassicLoadBalancers, Instances, LoadBalancerTags, LoadBalancers,
    Scope, Stack, Stacks, Tag, fronts::owners, shape::tag, stacks::is_gone,
};

check! {
    /// ## What it checks
    /// The load balancers of the region, of all kinds: that the cluster which each was made for, as its
    /// tags say, is there. One that is only shared with a cluster is not the cluster's.
    ///
    /// ## Why it matters
    /// Nobody deletes it, nobody uses it, and it costs by the hour, with its addresses. It also keeps
    /// the network that it is in from being deleted.
    ///
    /// ## How to fix it
    /// Delete it, once you know that nothing else was put behind it.
    pub struct ElbOrphan;
    id: "aws-elb-orphan",
    title: "No load balancer is left of a cluster that is gone",
}

#[async_trait]
impl Check for ElbOrphan {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let region = cx.get(Scope).await?.region.clone();
        let all = cx.get(LoadBalancers).await;
        if let Some(all) = seen(all, out).filter(|all| !all.is_empty()) {
            let tags = seen(cx.get(LoadBalancerTags).await, out);
            for tags in tags.iter().flat_map(|tags| tags.iter()) {
                let is_it = |arn: &str| arn == tags.resource_arn;
                let Some(found) = all.iter().find(|lb| is_it(&lb.load_balancer_arn)) else {
                    continue;
                };
                let arn = &found.load_balancer_arn;
                let delete = format!(
                    "aws elbv2 delete-load-balancer --load-balancer-arn {arn} --region {region}"
                );
                judge(cx, found.resource(), &tags.tags, &found.vpc_id, delete, out).await;
            }
        }
        let all = cx.get(ClassicLoadBalancers).await;
        if let Some(all) = seen(all, out).filter(|all| !all.is_empty()) {
            let tags = seen(cx.get(ClassicLoadBalancerTags).await, out);
            for tags in tags.iter().flat_map(|tags| tags.iter()) {
                let name = &tags.load_balancer_name;
                let Some(found) = all.iter().find(|lb| lb.load_balancer_name == *name) else {
                    continue;
                };
                let delete = format!(
                    "aws elb delete-load-balancer --load-balancer-name {name} --region {region}"
                );
                judge(cx, found.resource(), &tags.tags, &found.vpc_id, delete, out).await;
            }
        }
        Ok(())
    }
}

/// The answer, or a note that it is missing.
fn seen<T>(answer: Result<T, FactError>, out: &mut Findings) -> Option<T> {
    answer.map_err(|error| out.unseen(error)).ok()
}

async fn judge(
    cx: &Cx,
    subject: Resource,
    tags: &[Tag],
    network: &str,
    delete: String,
    out: &mut Findings,
) {
    let owners: BTreeSet<_> = owners(tags).into_iter().filter(|name| is_of_eks(name)).collect();
    if owners.is_empty() {
        return;
    }
    for owner in &owners {
        match out.known(&subject, is_lost(cx, owner).await) {
            None => return,
            Some(false) => {
                out.ok(&subject);
                return;
            }
            Some(true) => (),
        }
    }
    let names: Vec<_> = owners.into_iter().collect();
    let message = format!("is left of cluster {}, which EKS doesn't have", names.join(" and "));
    let finding = out.warn(&subject, message);
    let made_for = ["ingress.k8s.aws/stack", "service.k8s.aws/stack", "kubernetes.io/service-name"];
    if let Some(made_for) = made_for.iter().find_map(|key| tag(tags, key)) {
        finding.evidence("made for", made_for);
    }
    finding.evidence("costs", "every hour that it stands there, and so do its addresses");
    if !network.is_empty() {
        finding.evidence("keeps", format!("network {network} from being deleted"));
    }
    finding.fix(Risk::Deletes, "deletes it, once you know that nothing else is behind it", delete);
}

/// Whether EKS could have a cluster of this name. Those of others, which bear the same tags, are often
/// called like a domain (EKS API reference, "`CreateCluster`").
fn is_of_eks(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
}

/// Whether a cluster is gone. One that EKS doesn't have may be one that isn't EKS's: it has machines,
/// and eksctl never made a stack for it.
async fn is_lost(cx: &Cx, cluster: &str) -> Result<bool, FactError> {
    if !is_gone(cx, cluster).await? {
        return Ok(false);
    }
    let stacks = cx.get(Stacks).await;
    let of_it = |stack: &Stack| stack.eksctl_cluster() == Some(cluster);
    if stacks.is_ok_and(|stacks| stacks.iter().any(of_it)) {
        return Ok(true);
    }
    let machines = cx.get(Instances { cluster: cluster.to_owned() }).await?;
    let key = format!("kubernetes.io/cluster/{cluster}");
    let mut running = machines.instances().filter(|machine| {
        let state = machine.state.as_ref().map_or("", |state| &state.name);
        tag(&machine.tags, &key).is_some() && !["terminated", "shutting-down"].contains(&state)
    });
    Ok(running.next().is_none())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::ElbOrphan;
    use crate::testing::{BALANCER, Deployment};

    /// The load balancer's tags.
    fn tagged(tags: &[(&str, &str)]) -> Deployment {
        let mut deployment = Deployment::healthy();
        let tags = tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value }));
        let tags: Vec<_> = tags.collect();
        *deployment.file("aws/elbv2/describe-tags") =
            json!({ "TagDescriptions": [{ "ResourceArn": BALANCER, "Tags": tags }] });
        deployment
    }

    #[tokio::test]
    async fn one_of_a_cluster_that_is_gone_is_named() {
        let tags =
            [("elbv2.k8s.aws/cluster", "kf-old"), ("ingress.k8s.aws/stack", "istio-system/a")];
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            WARNING  aws-elb-orphan
              load balancer k8s-front is left of cluster kf-old, which EKS doesn't have
                made for  istio-system/a
                costs     every hour that it stands there, and so do its addresses
                keeps     network vpc-1 from being deleted
                fix       deletes it, once you know that nothing else is behind it
                          aws elbv2 delete-load-balancer \
                            --load-balancer-arn arn:aws:elasticloadbalancing:us-west-2:111122223333:loadbalancer/app/k8s-front/50dc6c495c0c9188 \
                            --region us-west-2

            warn     aws-elb-orphan
                     No load balancer is left of a cluster that is gone
        "#]].assert_eq(&tagged(&tags).report(&ElbOrphan).await);
    }

    #[tokio::test]
    async fn classic_ones_are_looked_at_as_well() {
        let mut deployment = Deployment::classic();
        deployment.file("aws/elb/describe-tags")["TagDescriptions"][0]["Tags"] =
            json!([{ "Key": "kubernetes.io/cluster/kf-old", "Value": "owned" }]);
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            WARNING  aws-elb-orphan
              load balancer aclassic is left of cluster kf-old, which EKS doesn't have
                costs     every hour that it stands there, and so do its addresses
                keeps     network vpc-1 from being deleted
                fix       deletes it, once you know that nothing else is behind it
                          aws elb delete-load-balancer --load-balancer-name aclassic \
                            --region us-west-2

            warn     aws-elb-orphan
                     No load balancer is left of a cluster that is gone
        "#]]
        .assert_eq(&deployment.report(&ElbOrphan).await);
    }

    #[tokio::test]
    async fn one_that_is_shared_or_anothers_is_left_alone() {
        for tags in [
            &[("kubernetes.io/cluster/kf-old", "shared")][..],
            &[("kubernetes.io/cluster/old.k8s.example.com", "owned")],
            &[("Name", "kf-old")],
        ] {
            let report = tagged(tags).report(&ElbOrphan).await;
            assert!(report.contains("skip     aws-elb-orphan"), "{report}");
        }
    }

    #[tokio::test]
    async fn one_of_a_cluster_that_runs_without_eks_is_no_orphan() {
        let mut deployment = tagged(&[("kubernetes.io/cluster/own", "owned")]);
        let machine = &mut deployment.file("aws/ec2/describe-instances")["Reservations"][0];
        machine["Instances"][0]["Tags"] =
            json!([{ "Key": "kubernetes.io/cluster/own", "Value": "owned" }]);
        let report = deployment.report(&ElbOrphan).await;
        assert!(report.contains("pass     aws-elb-orphan"), "{report}");
    }

    #[tokio::test]
    async fn without_eks_answer_nothing_is_gone() {
        let mut deployment = tagged(&[("elbv2.k8s.aws/cluster", "kf-old")]);
        deployment.without("aws/eks/list-clusters");
        let report = deployment.report(&ElbOrphan).await;
        assert!(report.contains("unknown  aws-elb-orphan"), "{report}");
    }

    #[tokio::test]
    async fn the_clusters_own_is_fine() {
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     aws-elb-orphan
                     No load balancer is left of a cluster that is gone
        "#]]
        .assert_eq(&Deployment::healthy().report(&ElbOrphan).await);
    }
}
