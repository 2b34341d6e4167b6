use kfcheck::{Check, Cx, FactError, Finding, Findings, Risk, async_trait, check};
use kfcheck_kube::{ContainerLog, Event, within};

use crate::{
    AlbControllers, AlbIngresses, AttachedRolePolicies, Conflict, RolePolicyNames, Roles,
    StackResources, conflict,
    facts::role_resource,
    foreign_inline, is_of_eksctl,
    node_roles::{NodeRole, NodeRoles},
    stacks::{is_gone, our_name, why},
};

check! {
    /// ## What it checks
    /// The roles that the cluster's nodes run as: that they have the policies that nodes need, that
    /// they allow what AWS's load balancer controller asks for with them, and that a stack which
    /// makes one can delete it again. Policies that somebody else put on a role keep its stack from
    /// being deleted.
    ///
    /// ## Why it matters
    /// Nodes without their policies don't join the cluster. And where the stack can't be deleted, the
    /// cluster can't be created again under its name.
    ///
    /// ## How to fix it
    /// Give the role what it lacks. Before a stack is deleted, take off what it doesn't own, and
    /// nothing earlier: Kubeflow's own policies are on the role because its controllers need them.
    pub struct IamNodeRole;
    id: "aws-iam-node-role",
    title: "The roles of nodes have what nodes need, and nothing that keeps them",
}

#[async_trait]
impl Check for IamNodeRole {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let seen = cx.get(NodeRoles).await?;
        seen.missing.iter().for_each(|error| out.unseen(error.clone()));
        let refused = refused(cx).await;
        // Nodes of a cluster that is gone need nothing.
        let is_there = !is_gone(cx, &our_name(cx).await?).await.unwrap_or_default();
        for role in &seen.roles {
            let subject = role_resource(&role.name);
            let on_role = OnRole::of(cx, &role.name).await;
            let Some(on_role) = out.known(&subject, on_role) else { continue };
            let Some(on_role) = on_role else { continue };
            let blocked = out.known(&subject, blocked(cx, role).await);
            let Some(blocked) = blocked else { continue };
            if let Some((says, conflict)) = blocked {
                keeps(role, &on_role, &says, conflict, out);
                continue;
            }
            if !role.is_of_nodes || role.is_to_go() {
                continue;
            }
            if let Some(refused) = refused.iter().find(|refused| refused.role == role.name) {
                refuses(role, refused, out);
                // What the controller can't do with it is not there for the Ingress.
                let controllers = cx.get(AlbControllers).await;
                for found in controllers.iter().flat_map(|all| all.iter()) {
                    out.built_from(&*found.deployment, &subject);
                }
                continue;
            }
            if is_there && role.is_in_use() && lacks(role, &on_role, out) {
                role.nodegroups.iter().for_each(|group| out.built_from(group, &subject));
                // Nodes that didn't join are what such a stack failed for.
                for stack in role.stack.iter().filter(|stack| stack.never_was()) {
                    out.built_from(stack, &subject);
                }
                continue;
            }
            if !may_keep(cx, role, &on_role, out).await {
                out.ok(&subject);
            }
        }
        Ok(())
    }
}

/// What is on a role.
struct OnRole {
    /// The policies that it refers to: name and ARN.
    attached: Vec<(String, String)>,
    inline: Vec<String>,
}

impl OnRole {
    /// Nothing where there is no such role any more.
    async fn of(cx: &Cx, role: &str) -> Result<Option<Self>, FactError> {
        if cx.get(Roles { name: role.to_owned() }).await?.is_empty() {
            return Ok(None);
        }
        let attached = cx.get(AttachedRolePolicies { role: role.to_owned() }).await?;
        let attached = attached.attached_policies.iter();
        let attached = attached.map(|p| (p.policy_name.clone(), p.policy_arn.clone())).collect();
        let inline = cx.get(RolePolicyNames { role: role.to_owned() }).await?;
        Ok(Some(Self { attached, inline: inline.policy_names.clone() }))
    }
}

/// What IAM said when the role's stack was to be deleted, where that failed.
async fn blocked(cx: &Cx, role: &NodeRole) -> Result<Option<(String, Conflict)>, FactError> {
    let Some(stack) = role.stack.as_ref().filter(|stack| stack.stack_status == "DELETE_FAILED")
    else {
        return Ok(None);
    };
    // Its events are gone after a while; the part itself says it as well, where it is asked.
    if let Some((says, conflict)) =
        role.says.as_ref().and_then(|says| Some((says, conflict(says)?)))
    {
        return Ok(Some((says.clone(), conflict)));
    }
    let failed = why(cx, stack).await?;
    let of_role = failed.all().find(|part| part.physical_resource_id == role.name);
    let says = of_role.map(|part| part.resource_status_reason.to_string()).unwrap_or_default();
    Ok(conflict(&says).map(|conflict| (says, conflict)))
}

/// Says what on a role keeps its stack from being deleted.
fn keeps(role: &NodeRole, on_role: &OnRole, says: &str, conflict: Conflict, out: &mut Findings) {
    let subject = role_resource(&role.name);
    let OnRole { attached, inline } = on_role;
    let (name, stack) = (&role.name, role.stack.as_ref().map_or("", |stack| &stack.stack_name));
    let finding = match conflict {
        Conflict::InstanceProfiles => {
            let message =
                format!("is still in an instance profile, so stack {stack} can't delete it");
            out.fail(&subject, message)
        }
        // It was mended since.
        _ if attached.is_empty() && inline.is_empty() => {
            out.ok(&subject);
            return;
        }
        _ => out.fail(&subject, format!("still has policies, so stack {stack} can't delete it")),
    };
    let names: Vec<_> = attached.iter().map(|(name, _)| name.as_str()).collect();
    evidence(finding, "attached", &names);
    let names: Vec<_> = inline.iter().map(String::as_str).collect();
    evidence(finding, "inline", &names);
    finding.evidence("says", says);
    if conflict == Conflict::InstanceProfiles {
        finding.fix(
            Risk::None,
            "shows which; the role is to be taken out of it",
            format!("aws iam list-instance-profiles-for-role --role-name {name}"),
        );
        return;
    }
    for (_, arn) in attached {
        finding.fix(
            Risk::Deletes,
            "takes off what the stack doesn't own; then delete the stack again",
            format!("aws iam detach-role-policy --role-name {name} --policy-arn {arn}"),
        );
    }
    for policy in inline {
        finding.fix(
            Risk::Deletes,
            "takes off what the stack doesn't own; then delete the stack again",
            format!("aws iam delete-role-policy --role-name {name} --policy-name {policy}"),
        );
    }
}

fn evidence(finding: &mut Finding, name: &'static str, values: &[&str]) {
    if !values.is_empty() {
        finding.evidence(name, values.join(", "));
    }
}

/// Without it, or one like it, there are no nodes.
const WORKER: &str = "AmazonEKSWorkerNodePolicy";

/// Whether nodes with this role can't join, or can't get images: said only where it is known what
/// every policy on it allows.
fn lacks(role: &NodeRole, on_role: &OnRole, out: &mut Findings) -> bool {
    let subject = role_resource(&role.name);
    let known = |(_, arn): &(String, String)| is_of_eksctl(arn);
    if !on_role.inline.is_empty() || !on_role.attached.iter().all(known) {
        return false;
    }
    let has = |begins: &str| on_role.attached.iter().any(|(name, _)| name.starts_with(begins));
    let (policy, what) = if !has("AmazonEKSWorkerNode") {
        (WORKER, "nodes join the cluster with")
    } else if !has("AmazonEC2ContainerRegistry") {
        ("AmazonEC2ContainerRegistryReadOnly", "nodes get their own images with")
    } else {
        return false;
    };
    let message = format!("lacks {policy}, which {what}");
    let finding =
        if policy == WORKER { out.fail(&subject, message) } else { out.warn(&subject, message) };
    let names: Vec<_> = on_role.attached.iter().map(|(name, _)| name.as_str()).collect();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    finding.evidence("attached", names);
    finding.fix(
        Risk::None,
        "gives nodes what they need",
        format!(
            "aws iam attach-role-policy --role-name {} --policy-arn arn:aws:iam::aws:policy/{policy}",
            role.name
        ),
    );
    true
}

/// Warns of policies that will keep a stack from being deleted, and says whether there are any.
async fn may_keep(cx: &Cx, role: &NodeRole, on_role: &OnRole, out: &mut Findings) -> bool {
    let subject = role_resource(&role.name);
    let Some(stack) = &role.stack else { return false };
    let parts = cx.get(StackResources { stack: stack.stack_name.clone() }).await;
    let Some(parts) = out.known(&subject, parts) else { return false };
    let inline = foreign_inline(&stack.stack_name, &parts, &on_role.inline);
    let attached = on_role.attached.iter().filter(|(_, arn)| !is_of_eksctl(arn));
    let attached: Vec<_> = attached.map(|(name, _)| name.as_str()).collect();
    if inline.is_empty() && attached.is_empty() {
        return false;
    }
    let (name, stack) = (&role.name, &stack.stack_name);
    let whose = if inline.is_empty() { "may not own" } else { "does not own" };
    let message = format!("may keep stack {stack} from being deleted, by policies that it {whose}");
    let finding = out.warn(&subject, message);
    evidence(finding, "inline", &inline);
    evidence(finding, "attached", &attached);
    finding.fix(
        Risk::None,
        "shows them; take them off just before the stack is deleted, and not earlier",
        format!("aws iam list-role-policies --role-name {name}"),
    );
    true
}

/// That AWS refused something to who had a role.
struct Refused {
    role: String,
    action: String,
    says: String,
}

/// What was refused to AWS's controller: by its log, and by the events of Ingresses that still have
/// no load balancer.
async fn refused(cx: &Cx) -> Vec<Refused> {
    let mut lines: Vec<String> = Vec::new();
    let ingresses = cx.get(AlbIngresses).await;
    let waiting = ingresses.iter().flat_map(|all| all.iter());
    let waiting: Vec<_> = waiting.filter(|ingress| ingress.addresses().next().is_none()).collect();
    if waiting.is_empty() {
        return Vec::new();
    }
    for ingress in &waiting {
        let events = cx.get(within::<Event>(ingress.metadata.namespace())).await;
        let events = events.iter().flat_map(|all| all.iter());
        let about = kfcheck::Named::resource(&***ingress);
        lines.extend(events.filter(|e| e.is_about(&about)).map(|event| event.message.clone()));
    }
    let controllers = cx.get(AlbControllers).await;
    for pod in controllers.iter().flat_map(|all| all.iter()).flat_map(|found| &found.pods) {
        for container in &pod.spec.containers {
            let (namespace, pod) = (pod.metadata.namespace(), &pod.metadata.name);
            let log = cx.get(ContainerLog {
                namespace: namespace.to_owned(),
                pod: pod.clone(),
                container: container.name.clone(),
            });
            let log = log.await;
            lines.extend(log.iter().flat_map(|log| log.lines()).map(str::to_owned));
        }
    }
    lines.iter().rev().filter_map(|line| refusal(line)).collect()
}

/// `User: arn:aws:sts::1:assumed-role/ROLE/i-1 is not authorized to perform: ACTION …`
fn refusal(line: &str) -> Option<Refused> {
    let (_, who) = line.split_once(":assumed-role/")?;
    let (role, rest) = who.split_once('/')?;
    let (_, what) = rest.split_once("is not authorized to perform: ")?;
    let action = what.split([' ', '\\', '"', '\n']).next()?.trim_end_matches(['.', ',']);
    let says = format!("{role} is not authorized to perform {action}");
    Some(Refused { role: role.to_owned(), action: action.to_owned(), says })
}

fn refuses(role: &NodeRole, refused: &Refused, out: &mut Findings) {
    let subject = role_resource(&role.name);
    let message = format!("does not allow {}, which the controller asks for", refused.action);
    out.fail(&subject, message).evidence("says", &refused.says).fix(
        Risk::None,
        "shows what it allows; the controller's own policy is in its documentation, and goes best \
         to a role of its service account",
        format!("aws iam list-attached-role-policies --role-name {}", role.name),
    );
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::IamNodeRole;
    use crate::testing::Deployment;

    const GROUP: &str =
        "arn:aws:cloudformation:us-west-2:111122223333:stack/eksctl-kf-nodegroup-cpu/2";

    /// The node group's stack could not be deleted, for what IAM says.
    fn undeletable(says: &str, attached: &Value) -> Deployment {
        let mut deployment = Deployment::healthy();
        deployment.file("aws/cloudformation/describe-stacks")["Stacks"][1]["StackStatus"] =
            "DELETE_FAILED".into();
        *deployment.file("aws/cloudformation/describe-stack-events") = json!({ "StackEvents": [
            { "StackId": GROUP, "StackName": "eksctl-kf-nodegroup-cpu",
                "LogicalResourceId": "NodeInstanceRole", "PhysicalResourceId": "kf-nodes",
                "ResourceType": "AWS::IAM::Role", "ResourceStatus": "DELETE_FAILED",
                "ResourceStatusReason": says, "Timestamp": "2026-11-21T11:00:01Z" }] });
        *deployment.file("aws/iam/list-attached-role-policies") =
            json!({ "kf-nodes": { "AttachedPolicies": attached } });
        deployment
    }

    fn policies(names: &[&str]) -> Value {
        let policy = |name: &&str| json!({ "PolicyName": name, "PolicyArn": format!("arn:aws:iam::aws:policy/{name}") });
        names.iter().map(policy).collect()
    }

    #[tokio::test]
    async fn what_is_left_on_a_role_keeps_its_stack() {
        let says = "Cannot delete entity, must detach all policies first. (Service: \
                    AmazonIdentityManagement; Status Code: 409; Error Code: DeleteConflict)";
        let left = policies(&["AmazonSSMManagedInstanceCore"]);
        expect![[r#"
            kf.example.com: nothing broken on the way; something beside it is. 1 root cause,
            0 symptoms; 0 checks passed, 0 not seen.

            BROKEN  aws-iam-node-role
              role kf-nodes still has policies, so stack eksctl-kf-nodegroup-cpu can't
                delete it
                attached  AmazonSSMManagedInstanceCore
                says      Cannot delete entity, must detach all policies first. (Service:
                          AmazonIdentityManagement; Status Code: 409; Error Code:
                          DeleteConflict)
                fix       takes off what the stack doesn't own; then delete the stack again
                          aws iam detach-role-policy --role-name kf-nodes \
                            --policy-arn arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore
              kubectl kfcheck explain aws-iam-node-role

            FAIL     aws-iam-node-role
                     The roles of nodes have what nodes need, and nothing that keeps them
        "#]]
        .assert_eq(&undeletable(says, &left).report(&IamNodeRole).await);
        // It may have been taken off since.
        let report = undeletable(says, &json!([])).report(&IamNodeRole).await;
        assert!(report.contains("pass     aws-iam-node-role"), "{report}");
    }

    #[tokio::test]
    async fn an_instance_profile_keeps_a_role_as_well() {
        let says = "Resource handler returned message: \"Cannot delete entity, must remove roles from \
                    instance profile first. (Service: Iam, Status Code: 409, Request ID: 1)\"";
        let mut deployment = undeletable("", &json!([]));
        let part = deployment.file("aws/cloudformation/describe-stack-resources");
        part["StackResources"][0]["ResourceStatusReason"] = says.into();
        let report = deployment.report(&IamNodeRole).await;
        assert!(report.contains("role kf-nodes is still in an instance profile"), "{report}");
    }

    #[tokio::test]
    async fn kubeflows_policies_are_a_warning() {
        let mut deployment = Deployment::healthy();
        *deployment.file("aws/iam/list-role-policies") = json!({ "kf-nodes": { "PolicyNames": [
            "eksctl-kf-nodegroup-cpu-PolicyAutoScaling", "iam_alb_ingress_policy",
            "iam_csi_fsx_policy"] } });
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            WARNING  aws-iam-node-role
              role kf-nodes may keep stack eksctl-kf-nodegroup-cpu from being deleted, by
                policies that it does not own
                inline    iam_alb_ingress_policy, iam_csi_fsx_policy
                fix       shows them; take them off just before the stack is deleted, and
                          not earlier
                          aws iam list-role-policies --role-name kf-nodes

            warn     aws-iam-node-role
                     The roles of nodes have what nodes need, and nothing that keeps them
        "#]]
        .assert_eq(&deployment.report(&IamNodeRole).await);
    }

    #[tokio::test]
    async fn nodes_without_their_policy_do_not_join() {
        let mut deployment = Deployment::healthy();
        let left = policies(&["AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryReadOnly"]);
        *deployment.file("aws/iam/list-attached-role-policies") =
            json!({ "kf-nodes": { "AttachedPolicies": left } });
        expect![[r#"
            kf.example.com: nothing broken on the way; something beside it is. 1 root cause,
            0 symptoms; 0 checks passed, 0 not seen.

            BROKEN  aws-iam-node-role
              role kf-nodes lacks AmazonEKSWorkerNodePolicy, which nodes join the cluster
                with
                attached  AmazonEKS_CNI_Policy, AmazonEC2ContainerRegistryReadOnly
                fix       gives nodes what they need
                          aws iam attach-role-policy --role-name kf-nodes \
                            --policy-arn arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy
              kubectl kfcheck explain aws-iam-node-role

            FAIL     aws-iam-node-role
                     The roles of nodes have what nodes need, and nothing that keeps them
        "#]]
        .assert_eq(&deployment.report(&IamNodeRole).await);
        // Their stack, which waited for them, failed for the same.
        let stack = &mut deployment.file("aws/cloudformation/describe-stacks")["Stacks"];
        for stack in stack.as_array_mut().unwrap() {
            stack["StackStatus"] = "CREATE_FAILED".into();
        }
        let report = deployment.report(&IamNodeRole).await;
        assert!(report.contains("role kf-nodes lacks AmazonEKSWorkerNodePolicy"), "{report}");
        // A policy of somebody's own may allow the same.
        *deployment.file("aws/iam/list-role-policies") =
            json!({ "kf-nodes": { "PolicyNames": ["nodes"] } });
        let report = deployment.report(&IamNodeRole).await;
        assert!(report.contains("warn     aws-iam-node-role"), "{report}");
    }

    #[tokio::test]
    async fn what_a_role_refuses_the_controller_is_named() {
        let mut deployment = Deployment::healthy();
        deployment.object("Ingress")["status"] = json!({});
        *deployment.file("kubernetes/events") = json!({ "items": [{ "apiVersion": "v1", "kind": "Event",
            "metadata": { "namespace": "istio-system", "name": "front.1" }, "type": "Warning",
            "involvedObject": { "kind": "Ingress", "namespace": "istio-system", "name": "front" },
            "message": "AccessDenied: User: arn:aws:sts::111122223333:assumed-role/kf-nodes/i-1 is not \
                authorized to perform: elasticloadbalancing:CreateLoadBalancer on resource: *" }] });
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-iam-node-role
              role kf-nodes does not allow elasticloadbalancing:CreateLoadBalancer, which
                the controller asks for
                says      kf-nodes is not authorized to perform
                          elasticloadbalancing:CreateLoadBalancer
                fix       shows what it allows; the controller's own policy is in its
                          documentation, and goes best to a role of its service account
                          aws iam list-attached-role-policies --role-name kf-nodes
              kubectl kfcheck explain aws-iam-node-role

            FAIL     aws-iam-node-role
                     The roles of nodes have what nodes need, and nothing that keeps them
        "#]]
        .assert_eq(&deployment.report(&IamNodeRole).await);
    }

    #[tokio::test]
    async fn a_role_with_what_eksctl_gives_it_is_fine() {
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     aws-iam-node-role
                     The roles of nodes have what nodes need, and nothing that keeps them
        "#]]
        .assert_eq(&Deployment::healthy().report(&IamNodeRole).await);
    }

    #[tokio::test]
    async fn policies_that_can_not_be_listed_are_not_absent() {
        let mut deployment = Deployment::healthy();
        deployment.file("bundle")["errors"] = json!({ "aws/iam/list-attached-role-policies":
            { "denied": { "permission": "iam:ListAttachedRolePolicies" } } });
        deployment.without("aws/iam/list-attached-role-policies");
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 1 not seen.

            NOT SEEN, so a cause may hide there
              aws-iam-node-role
                permission iam:ListAttachedRolePolicies denied

            unknown  aws-iam-node-role
                     The roles of nodes have what nodes need, and nothing that keeps them
                     (permission iam:ListAttachedRolePolicies denied (asking for
                     aws.attachedRolePolicies {"role":"kf-nodes"}))
        "#]]
        .assert_eq(&deployment.report(&IamNodeRole).await);
    }
}
