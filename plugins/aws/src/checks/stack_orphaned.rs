use std::collections::BTreeSet;

use kfcheck::{Check, Cx, FactError, Findings, Risk, async_trait, check};

use super::stack_failed::SHOWN;
use crate::{
    RolePolicyNames, Scope, Stack, StackResources, Stacks,
    facts::cluster_resource,
    foreign_inline,
    stacks::{is_gone, leftovers, network_of, our_name},
};

check! {
    /// ## What it checks
    /// The stacks that eksctl made, by their tags: that the cluster that each was made for is there.
    /// Stacks of anybody else are of no concern. Where a cluster is gone, it says what will keep its
    /// stacks from being deleted.
    ///
    /// ## Why it matters
    /// What a stack made is paid for and counts against quotas, and a cluster can't be created again
    /// under the same name while its stacks are there.
    ///
    /// ## How to fix it
    /// `kubectl kfcheck aws cleanup --cluster NAME` plans what is to be done, and does it with
    /// `--apply`: takes away what keeps each stack, and deletes them in eksctl's order: node groups,
    /// roles of service accounts and add-ons, the cluster's own last.
    pub struct StackOrphaned;
    id: "aws-stack-orphaned",
    title: "No stack is left of a cluster that is gone",
}

#[async_trait]
impl Check for StackOrphaned {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let all = cx.get(Stacks).await?;
        let ours = our_name(cx).await?;
        let region = cx.get(Scope).await?.region.clone();
        let clusters: BTreeSet<_> = all.iter().filter_map(Stack::eksctl_cluster).collect();
        for cluster in clusters {
            let stacks = all.iter().filter(|stack| stack.eksctl_cluster() == Some(cluster));
            let stacks = stacks.filter(|stack| stack.stack_status != "DELETE_COMPLETE");
            let stacks: Vec<_> = stacks.cloned().collect();
            // It is being created, or deleted.
            if stacks.is_empty() || stacks.iter().any(Stack::is_under_way) {
                continue;
            }
            let gone = is_gone(cx, cluster).await;
            let Some(gone) = out.known(cluster_resource(cluster), gone) else { continue };
            if !gone {
                stacks.iter().filter(|_| cluster == ours).for_each(|stack| out.ok(stack));
                continue;
            }
            let blocks = blocks(cx, &stacks, out).await;
            let shown = if cluster == ours { &stacks[..] } else { others(&stacks) };
            for stack in shown {
                let message = format!("is left of cluster {cluster}, which does not exist");
                let finding = if cluster != ours {
                    out.warn(stack, message)
                } else if stack.never_was() {
                    // What went wrong when it was created says why.
                    out.unbuilt(stack, message)
                } else {
                    out.fail(stack, message)
                };
                finding.evidence("status", &stack.stack_status);
                let more = stacks.iter().map(|stack| &stack.stack_name);
                let more = more.filter(|name| cluster != ours && **name != stack.stack_name);
                for name in more {
                    finding.evidence("as is", name);
                }
                for (of, block) in &blocks {
                    if cluster != ours || *of == stack.stack_name {
                        finding.evidence("kept by", block);
                    }
                }
                finding.fix(
                    Risk::None,
                    "plans how all of it goes, each step with its reason; --apply does that",
                    format!("kubectl kfcheck aws cleanup --cluster {cluster} --region {region}"),
                );
            }
        }
        Ok(())
    }
}

/// Of the stacks of another cluster one stands for all.
fn others(stacks: &[Stack]) -> &[Stack] {
    let at = stacks.iter().position(Stack::is_clusters).unwrap_or(0);
    stacks.get(at..=at).unwrap_or_default()
}

/// What will keep stacks from being deleted: each with the stack's name.
async fn blocks(cx: &Cx, stacks: &[Stack], out: &mut Findings) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    for stack in stacks {
        let name = &stack.stack_name;
        if stack.enable_termination_protection {
            blocks.push((name.clone(), "its protection from termination".to_owned()));
        }
        let parts = cx.get(StackResources { stack: name.clone() }).await;
        let Some(parts) = out.known(stack, parts) else { continue };
        let roles = parts.iter().filter(|part| {
            part.resource_type == "AWS::IAM::Role" && part.resource_status != "DELETE_COMPLETE"
        });
        for role in roles.map(|part| &part.physical_resource_id).filter(|role| !role.is_empty()) {
            let inline = cx.get(RolePolicyNames { role: role.clone() }).await;
            let Some(inline) = out.known(stack, inline) else { continue };
            let foreign = foreign_inline(name, &parts, &inline.policy_names);
            if !foreign.is_empty() {
                blocks.push((name.clone(), format!("{} on role {role}", foreign.join(", "))));
            }
        }
    }
    if let Some(stack) = stacks.iter().find(|stack| stack.is_clusters()) {
        let left = async {
            match network_of(cx, stacks).await? {
                Some(network) => leftovers(cx, &network, "AWS::EC2::VPC", &network, stacks).await,
                None => Ok(Vec::new()),
            }
        };
        let left = out.known(stack, left.await).unwrap_or_default();
        let shown = left.into_iter().take(SHOWN);
        blocks.extend(shown.map(|left| (stack.stack_name.clone(), left)));
    }
    blocks
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::StackOrphaned;
    use crate::testing::Deployment;

    /// EKS has these clusters only.
    fn with_clusters(names: &[&str]) -> Deployment {
        let mut deployment = Deployment::healthy();
        *deployment.file("aws/eks/list-clusters") = json!({ "clusters": names });
        let described: Vec<Value> =
            names.iter().map(|name| json!({ "name": name, "status": "ACTIVE" })).collect();
        *deployment.file("aws/eks/describe-cluster") = json!({ "clusters": described });
        *deployment.file("aws/ec2/describe-network-interfaces") =
            json!({ "NetworkInterfaces": [] });
        deployment
    }

    #[tokio::test]
    async fn what_keeps_the_stacks_of_a_cluster_that_is_gone_is_named() {
        let mut deployment = with_clusters(&[]);
        let stacks = &mut deployment.file("aws/cloudformation/describe-stacks")["Stacks"];
        stacks[0]["EnableTerminationProtection"] = true.into();
        *deployment.file("aws/iam/list-role-policies") =
            json!({ "kf-nodes": { "PolicyNames": ["iam_alb_ingress_policy"] } });
        expect![[r#"
            kf.example.com: nothing broken on the way; something beside it is. 2 root
            causes, 0 symptoms; 0 checks passed, 0 not seen.

            BROKEN  aws-stack-orphaned
              stack eksctl-kf-cluster is left of cluster kf, which does not exist
                status    CREATE_COMPLETE
                kept by   its protection from termination
                fix       plans how all of it goes, each step with its reason; --apply does
                          that
                          kubectl kfcheck aws cleanup --cluster kf --region us-west-2
              kubectl kfcheck explain aws-stack-orphaned

            BROKEN  aws-stack-orphaned
              stack eksctl-kf-nodegroup-cpu is left of cluster kf, which does not exist
                status    CREATE_COMPLETE
                kept by   iam_alb_ingress_policy on role kf-nodes
                fix       plans how all of it goes, each step with its reason; --apply does
                          that
                          kubectl kfcheck aws cleanup --cluster kf --region us-west-2
              kubectl kfcheck explain aws-stack-orphaned

            FAIL     aws-stack-orphaned
                     No stack is left of a cluster that is gone
        "#]]
        .assert_eq(&deployment.report(&StackOrphaned).await);
    }

    #[tokio::test]
    async fn one_stack_stands_for_all_of_another_cluster_that_is_gone() {
        let mut deployment = with_clusters(&["kf"]);
        let stacks = deployment.file("aws/cloudformation/describe-stacks")["Stacks"].as_array_mut();
        let stacks = stacks.unwrap();
        let old = "eksctl.cluster.k8s.io/v1alpha1/cluster-name";
        for name in ["eksctl-kf-2-nodegroup-a", "eksctl-kf-2-cluster"] {
            stacks.push(json!({ "StackName": name, "StackId": format!("arn:{name}"),
                "StackStatus": "CREATE_COMPLETE", "Tags": [{ "Key": old, "Value": "kf-2" }] }));
        }
        // Nobody says that eksctl made this one.
        stacks.push(json!({ "StackName": "eksctl-kf-3-cluster", "StackId": "arn:3",
            "StackStatus": "CREATE_COMPLETE" }));
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            WARNING  aws-stack-orphaned
              stack eksctl-kf-2-cluster is left of cluster kf-2, which does not exist
                status    CREATE_COMPLETE
                as is     eksctl-kf-2-nodegroup-a
                fix       plans how all of it goes, each step with its reason; --apply does
                          that
                          kubectl kfcheck aws cleanup --cluster kf-2 --region us-west-2

            warn     aws-stack-orphaned
                     No stack is left of a cluster that is gone
        "#]]
        .assert_eq(&deployment.report(&StackOrphaned).await);
    }

    #[tokio::test]
    async fn a_cluster_that_is_being_created_is_not_gone() {
        let mut deployment = with_clusters(&[]);
        deployment.file("aws/cloudformation/describe-stacks")["Stacks"][0]["StackStatus"] =
            "CREATE_IN_PROGRESS".into();
        let report = deployment.report(&StackOrphaned).await;
        assert!(report.contains("skip     aws-stack-orphaned"), "{report}");
    }

    #[tokio::test]
    async fn a_cluster_that_eks_does_not_tell_of_is_not_gone() {
        let mut deployment = with_clusters(&[]);
        deployment.file("bundle")["errors"] = json!({ "aws/eks/describe-cluster":
            { "denied": { "permission": "eks:DescribeCluster" } } });
        deployment.without("aws/eks/describe-cluster");
        let report = deployment.report(&StackOrphaned).await;
        assert!(report.contains("unknown  aws-stack-orphaned"), "{report}");
    }

    #[tokio::test]
    async fn stacks_of_a_cluster_that_is_there_are_fine() {
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     aws-stack-orphaned
                     No stack is left of a cluster that is gone
        "#]]
        .assert_eq(&Deployment::healthy().report(&StackOrphaned).await);
    }
}
