use kfcheck::{Check, Cx, FactError, Fault, Findings, Risk, async_trait, check};
use kfcheck_kube::{Context, FrontServices, Pod, within};

use super::availability_zone::{is_of, short_of};
use crate::{
    Cluster, Nodegroup, OurCluster, OurStacks, Scope, Stack,
    facts::cluster_resource,
    stacks::{is_gone, our_name, our_nodegroups},
};

check! {
    /// ## What it checks
    /// What EKS says of the cluster and of its node groups: that the cluster is there and active, that
    /// it has no health issues, that its API server is the one that the kubeconfig's context asks, and
    /// that no node group is degraded or could not be created.
    ///
    /// ## Why it matters
    /// Without the cluster there is nothing. Without its nodes, pods wait, and say nothing about why.
    ///
    /// ## How to fix it
    /// The issues quoted say what is missing. Where the context asks another API server, which was
    /// there before under the same name, write it again.
    pub struct EksCluster;
    id: "aws-eks-cluster",
    title: "The cluster and its node groups are active",
}

#[async_trait]
impl Check for EksCluster {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let scope = cx.get(Scope).await?;
        let name = our_name(cx).await?;
        let stacks = cx.get(OurStacks).await;
        let stacks = stacks.as_ref().map_or(&[][..], |stacks| stacks);
        let found = cx.get(OurCluster).await?;
        let Some(cluster) = found.as_ref() else {
            if is_gone(cx, &name).await? {
                absent(&name, &scope.region, stacks, out);
            } else {
                let says = format!("EKS lists cluster {name} and doesn't describe it");
                out.known::<()>(cluster_resource(&name), Err(Fault::Unreachable(says).into()));
            }
            return Ok(());
        };
        judge(cx, cluster, &scope.region, out).await;
        let Some(groups) = out.known(cluster, our_nodegroups(cx).await) else { return Ok(()) };
        for group in &groups {
            if judge_group(group, &scope.region, stacks, out) {
                waiting(cx, group, out).await;
            }
        }
        Ok(())
    }
}

/// EKS has no such cluster. Where stacks of it are there, they say why.
fn absent(name: &str, region: &str, stacks: &[Stack], out: &mut Findings) {
    let cluster = cluster_resource(name);
    let message = format!("does not exist in {region}");
    let finding = if stacks.is_empty() {
        out.fail(&cluster, message)
    } else {
        out.unbuilt(&cluster, message)
    };
    for stack in stacks {
        finding.evidence("stack", format!("{} {}", stack.stack_name, stack.stack_status));
    }
    finding.fix(
        Risk::None,
        "shows which clusters there are",
        format!("aws eks list-clusters --region {region}"),
    );
    for stack in stacks {
        out.built_from(&cluster, stack);
    }
}

async fn judge(cx: &Cx, cluster: &Cluster, region: &str, out: &mut Findings) {
    let show = format!("aws eks describe-cluster --name {} --region {region}", cluster.name);
    let issues = cluster.health.iter().flat_map(|health| &health.issues);
    let issues: Vec<_> = issues.map(|issue| format!("{}: {}", issue.code, issue.message)).collect();
    let finding = match cluster.status.as_str() {
        "CREATING" | "PENDING" => Some(out.unbuilt(cluster, "is still being created")),
        "DELETING" => Some(out.fail(cluster, "is being deleted")),
        "FAILED" => Some(out.fail(cluster, "could not be created")),
        _ if !issues.is_empty() => Some(out.fail(cluster, "has health issues, as EKS says")),
        "ACTIVE" | "UPDATING" => None,
        // A word that came after this program says nothing.
        _ => return,
    };
    if let Some(finding) = finding {
        for issue in issues {
            finding.evidence("issue", issue);
        }
        finding.fix(Risk::None, "shows all that EKS says of it", show);
        return;
    }
    // A bundle has no context.
    let chosen = cx.get(Context).await;
    let server = chosen.as_ref().map_or("", |chosen| &chosen.server);
    if is_another(&cluster.endpoint, server) {
        out.fail(cluster, "is not what the kubeconfig's context asks")
            .evidence("endpoint", &cluster.endpoint)
            .evidence("context", server)
            .fix(
                Risk::None,
                "writes the context again",
                format!("aws eks update-kubeconfig --name {} --region {region}", cluster.name),
            );
        return;
    }
    out.ok(cluster);
}

/// Whether a context asks another API server of EKS's. One that isn't EKS's own may be a way to it.
fn is_another(endpoint: &str, server: &str) -> bool {
    let host = |url: &str| {
        let url = url::Url::parse(url).ok()?;
        url.host_str().map(str::to_lowercase)
    };
    let (Some(endpoint), Some(server)) = (host(endpoint), host(server)) else { return false };
    let of_eks = [".eks.amazonaws.com", ".eks.amazonaws.com.cn"];
    endpoint != server && of_eks.iter().any(|end| server.ends_with(end))
}

/// Says what is wrong with a node group, and whether that keeps nodes from being there.
fn judge_group(group: &Nodegroup, region: &str, stacks: &[Stack], out: &mut Findings) -> bool {
    let Nodegroup { cluster_name, nodegroup_name, status, health, .. } = group;
    let issues = health.iter().flat_map(|health| &health.issues);
    let issues: Vec<_> = issues.map(|issue| format!("{}: {}", issue.code, issue.message)).collect();
    let message = match status.as_str() {
        "CREATE_FAILED" => "could not be created",
        "DELETE_FAILED" => "could not be deleted",
        "DEGRADED" => "is degraded",
        "ACTIVE" | "UPDATING" if issues.is_empty() => {
            out.ok(group);
            return false;
        }
        "ACTIVE" | "UPDATING" => "has health issues, as EKS says",
        _ => return false,
    };
    let stack = stacks.iter().find(|stack| stack.has_failed() && is_of(stack, group));
    if let Some(stack) = stack {
        out.built_from(group, stack);
    }
    let finding = if stack.is_some() || short_of(group).is_some() {
        out.unbuilt(group, message)
    } else if matches!(status.as_str(), "ACTIVE" | "UPDATING" | "DELETE_FAILED") {
        out.warn(group, message)
    } else {
        out.fail(group, message)
    };
    for issue in &issues {
        finding.evidence("issue", issue);
    }
    finding.fix(
        Risk::None,
        "shows all that EKS says of it",
        format!(
            "aws eks describe-nodegroup --cluster-name {cluster_name} --nodegroup-name \
             {nodegroup_name} --region {region}"
        ),
    );
    true
}

/// Pods without a node wait for the nodes of a group that is broken.
async fn waiting(cx: &Cx, group: &Nodegroup, out: &mut Findings) {
    let services = cx.get(FrontServices).await;
    for service in services.iter().flat_map(|all| all.iter()) {
        let pods = cx.get(within::<Pod>(service.metadata.namespace())).await;
        for pod in pods.iter().flat_map(|all| all.iter()) {
            if service.selects(pod) && pod.spec.node_name.is_none() && !pod.is_over() {
                out.depends(&**pod, group);
                out.depends(pod.workload(), group);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::{EksCluster, is_another};
    use crate::testing::Deployment;

    #[tokio::test]
    async fn an_active_cluster_with_active_nodes_is_fine() {
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     aws-eks-cluster
                     The cluster and its node groups are active
        "#]]
        .assert_eq(&Deployment::healthy().report(&EksCluster).await);
    }

    #[tokio::test]
    async fn issues_are_quoted() {
        let mut deployment = Deployment::healthy();
        deployment.file("aws/eks/describe-cluster")["clusters"][0]["health"] = json!({ "issues": [
            { "code": "Ec2SubnetNotFound", "message": "subnet-1 is gone", "resourceIds": ["subnet-1"] }] });
        let group = &mut deployment.file("aws/eks/describe-nodegroup")["nodegroups"][0];
        group["status"] = "CREATE_FAILED".into();
        group["health"] = json!({ "issues": [{ "code": "NodeCreationFailure",
            "message": "Instances failed to join the kubernetes cluster" }] });
        expect![[r#"
            kf.example.com: nothing broken on the way; something beside it is. 2 root
            causes, 0 symptoms; 0 checks passed, 0 not seen.

            BROKEN  aws-eks-cluster
              cluster kf has health issues, as EKS says
                issue     Ec2SubnetNotFound: subnet-1 is gone
                fix       shows all that EKS says of it
                          aws eks describe-cluster --name kf --region us-west-2
              kubectl kfcheck explain aws-eks-cluster

            BROKEN  aws-eks-cluster
              nodegroup kf/cpu could not be created
                issue     NodeCreationFailure: Instances failed to join the kubernetes
                          cluster
                fix       shows all that EKS says of it
                          aws eks describe-nodegroup --cluster-name kf \
                            --nodegroup-name cpu --region us-west-2
              kubectl kfcheck explain aws-eks-cluster

            FAIL     aws-eks-cluster
                     The cluster and its node groups are active
        "#]]
        .assert_eq(&deployment.report(&EksCluster).await);
    }

    #[tokio::test]
    async fn a_cluster_that_eks_does_not_have_is_absent() {
        let mut deployment = Deployment::healthy();
        *deployment.file("aws/eks/list-clusters") = json!({ "clusters": ["kf-2"] });
        *deployment.file("aws/eks/describe-cluster") = json!({ "clusters": [] });
        *deployment.file("aws/cloudformation/describe-stacks") = json!({ "Stacks": [] });
        expect![[r#"
            kf.example.com: nothing broken on the way; something beside it is. 1 root cause,
            0 symptoms; 0 checks passed, 0 not seen.

            BROKEN  aws-eks-cluster
              cluster kf does not exist in us-west-2
                fix       shows which clusters there are
                          aws eks list-clusters --region us-west-2
              kubectl kfcheck explain aws-eks-cluster

            FAIL     aws-eks-cluster
                     The cluster and its node groups are active
        "#]]
        .assert_eq(&deployment.report(&EksCluster).await);
    }

    #[tokio::test]
    async fn what_eks_does_not_tell_is_not_absent() {
        let mut deployment = Deployment::healthy();
        deployment.without("aws/eks/describe-cluster");
        let report = deployment.report(&EksCluster).await;
        assert!(report.contains("unknown  aws-eks-cluster"), "{report}");
    }

    #[test]
    fn a_context_asks_another_server_only_if_that_is_eks_own() {
        let (a, b) = (
            "https://ABC.gr7.us-west-2.eks.amazonaws.com",
            "https://xyz.gr7.us-west-2.eks.amazonaws.com",
        );
        assert!(is_another(a, b));
        assert!(!is_another(a, "https://abc.gr7.us-west-2.eks.amazonaws.com:443/"));
        assert!(!is_another(a, "https://127.0.0.1:8443"));
        assert!(!is_another(a, "https://api.internal.example.com"));
        assert!(!is_another("", b));
    }
}
