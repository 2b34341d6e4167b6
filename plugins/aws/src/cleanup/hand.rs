//! The only client that changes anything. It is no client of a world's, so no check and no fact can
//! get at it.

use std::error::Error;

use aws_config::SdkConfig;
use aws_sdk_cloudformation::types::DeletionMode;
use aws_sdk_ec2::types::{Filter, SecurityGroupRule};
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use kfcheck::{Cx, Fault};
use serde_json::{Value, json};

use super::{
    action::Action,
    plan::sum,
    whose::{Whose, whose},
};
use crate::{
    Document, NetworkInterface, SecurityGroup, Stack, StackEvent, Tag,
    client::{Aws, fault, is_absent},
    facts::shape::Keep,
};

/// What a change was to be made to, right before it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found {
    /// It is as the plan has it. The value is what the journal keeps of it.
    AsPlanned(Value),
    /// There is nothing left to do.
    Done,
    /// It isn't what the plan was made for.
    Differs(String),
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acted {
    Done,
    /// Something that is going still uses it.
    InUse,
}

/// Clients for what the clean-up changes.
pub(super) struct Hand {
    cluster: String,
    cloudformation: aws_sdk_cloudformation::Client,
    ec2: aws_sdk_ec2::Client,
    eks: aws_sdk_eks::Client,
    elb: aws_sdk_elasticloadbalancing::Client,
    elbv2: aws_sdk_elasticloadbalancingv2::Client,
    iam: aws_sdk_iam::Client,
}

/// The permissions that looking right before a change takes, beyond those of the facts, as IAM calls
/// them.
pub const LOOKS: &[&str] = &["ec2:DescribeSecurityGroupRules", "eks:DescribeCluster"];

/// Those that changing takes.
pub const CHANGES: &[&str] = &[
    "cloudformation:DeleteStack",
    "cloudformation:UpdateTerminationProtection",
    "ec2:DeleteNetworkInterface",
    "ec2:DeleteSecurityGroup",
    "ec2:RevokeSecurityGroupEgress",
    "ec2:RevokeSecurityGroupIngress",
    "elasticloadbalancing:DeleteLoadBalancer",
    "elasticloadbalancing:DeleteTargetGroup",
    "iam:DeleteRolePolicy",
    "iam:DetachRolePolicy",
    "iam:RemoveRoleFromInstanceProfile",
];

/// Those of putting back.
pub const RESTORES: &[&str] =
    &["iam:AddRoleToInstanceProfile", "iam:AttachRolePolicy", "iam:PutRolePolicy"];

/// Those that CloudFormation takes on behalf of whoever deletes a stack of eksctl's. They are the
/// caller's own where the stack has no role (CloudFormation user guide, "Control CloudFormation access
/// with IAM").
pub const BY_STACKS: &[&str] = &[
    "autoscaling:DeleteAutoScalingGroup",
    "autoscaling:UpdateAutoScalingGroup",
    "ec2:DeleteInternetGateway",
    "ec2:DeleteLaunchTemplate",
    "ec2:DeleteNatGateway",
    "ec2:DeleteRoute",
    "ec2:DeleteRouteTable",
    "ec2:DeleteSubnet",
    "ec2:DeleteVpc",
    "ec2:DetachInternetGateway",
    "ec2:DisassociateRouteTable",
    "ec2:ReleaseAddress",
    "ec2:TerminateInstances",
    "eks:DeleteAddon",
    "eks:DeleteCluster",
    "eks:DeleteNodegroup",
    "iam:DeleteInstanceProfile",
    "iam:DeleteRole",
];

impl Hand {
    pub(super) async fn new(cx: &Cx, cluster: &str) -> Result<Self, kfcheck::FactError> {
        let aws = cx.client::<Aws>()?;
        let config: &SdkConfig = aws.config(cx).await;
        Ok(Self {
            cluster: cluster.to_owned(),
            cloudformation: aws_sdk_cloudformation::Client::new(config),
            ec2: aws_sdk_ec2::Client::new(config),
            eks: aws_sdk_eks::Client::new(config),
            elb: aws_sdk_elasticloadbalancing::Client::new(config),
            elbv2: aws_sdk_elasticloadbalancingv2::Client::new(config),
            iam: aws_sdk_iam::Client::new(config),
        })
    }

    /// Whether EKS says that it has no such cluster.
    pub(super) async fn is_gone(&self) -> Result<bool, Fault> {
        let call = self.eks.describe_cluster().name(&self.cluster).send();
        Ok(there(call, "eks:DescribeCluster").await?.is_none())
    }

    /// A stack by its ARN; nothing where it is deleted.
    pub(super) async fn stack(&self, id: &str) -> Result<Option<Stack>, Fault> {
        let call = self.cloudformation.describe_stacks().stack_name(id).send();
        let answer = match Box::pin(call).await {
            Err(error) if does_not_exist(&error) => return Ok(None),
            answer => answer.map_err(|e| fault(&e, "cloudformation:DescribeStacks"))?,
        };
        let stack = answer.stacks.unwrap_or_default().into_iter().next().map(Stack::from);
        Ok(stack.filter(|stack| stack.stack_status != "DELETE_COMPLETE"))
    }

    /// What was said of a stack, the newest first.
    pub(super) async fn events(&self, id: &str) -> Result<Vec<StackEvent>, Fault> {
        let call = self.cloudformation.describe_stack_events().stack_name(id);
        let pages = Box::pin(call.into_paginator().items().send().collect::<Result<Vec<_>, _>>());
        match pages.await {
            Err(error) if does_not_exist(&error) => Ok(Vec::new()),
            answer => {
                let all = answer.map_err(|e| fault(&e, "cloudformation:DescribeStackEvents"))?;
                Ok(all.keep())
            }
        }
    }

    /// What a change is to be made to, as it is now.
    pub(super) async fn look(&self, action: &Action, token: &str) -> Result<Found, Fault> {
        match action {
            Action::DeleteLoadBalancer { arn } => {
                let call = self.elbv2.describe_load_balancers().load_balancer_arns(arn).send();
                let answer = there(call, "elasticloadbalancing:DescribeLoadBalancers").await?;
                let Some(found) = answer.filter(|answer| !answer.load_balancers().is_empty())
                else {
                    return Ok(Found::Done);
                };
                let name = found.load_balancers().first().and_then(|lb| lb.load_balancer_name());
                Ok(self.owned(&self.tags(arn).await?, json!({ "name": name })))
            }
            Action::DeleteTargetGroup { arn } => {
                let call = self.elbv2.describe_target_groups().target_group_arns(arn).send();
                let answer = there(call, "elasticloadbalancing:DescribeTargetGroups").await?;
                if answer.is_none_or(|answer| answer.target_groups().is_empty()) {
                    return Ok(Found::Done);
                }
                Ok(self.owned(&self.tags(arn).await?, json!({ "arn": arn })))
            }
            Action::DeleteClassicLoadBalancer { name } => {
                let call = self.elb.describe_tags().load_balancer_names(name).send();
                let answer = there(call, "elasticloadbalancing:DescribeTags").await?;
                let Some(of) = answer.and_then(|answer| answer.tag_descriptions) else {
                    return Ok(Found::Done);
                };
                let tags = of.into_iter().next().and_then(|of| of.tags).keep();
                Ok(self.owned(&tags, json!({ "name": name })))
            }
            Action::RevokeRules { group, names, ingress } => {
                let rules = self.rules(group, names, *ingress).await?;
                let whole: Vec<_> = rules.iter().map(record).collect();
                Ok(if rules.is_empty() { Found::Done } else { Found::AsPlanned(json!(whole)) })
            }
            Action::DeleteSecurityGroup { id } => {
                let Some(group) = self.group(id).await? else { return Ok(Found::Done) };
                Ok(self.owned(&group.tags, json!(group)))
            }
            Action::DeleteNetworkInterface { id } => self.look_at_interface(id).await,
            Action::DeleteRolePolicy { role, policy, sha256 } => {
                let call = self.iam.get_role_policy().role_name(role).policy_name(policy).send();
                let answer = there(call, "iam:GetRolePolicy").await?;
                let Some(answer) = answer else { return Ok(Found::Done) };
                let document = Document::encoded(&answer.policy_document);
                if sum(&document) != *sha256 {
                    let says = format!("policy {policy} was changed since the plan was made");
                    return Ok(Found::Differs(says));
                }
                Ok(Found::AsPlanned(json!({ "document": document })))
            }
            Action::DetachRolePolicy { role, policy_arn } => {
                let pages = self.iam.list_attached_role_policies().role_name(role).into_paginator();
                let pages = pages.items().send().collect::<Result<Vec<_>, _>>();
                let all = there(pages, "iam:ListAttachedRolePolicies").await?.unwrap_or_default();
                let is_it = |p: &aws_sdk_iam::types::AttachedPolicy| {
                    p.policy_arn.as_deref() == Some(policy_arn)
                };
                let is_there = all.iter().any(is_it);
                Ok(if is_there { Found::AsPlanned(json!({})) } else { Found::Done })
            }
            Action::RemoveRoleFromInstanceProfile { role, profile } => {
                let pages =
                    self.iam.list_instance_profiles_for_role().role_name(role).into_paginator();
                let pages = pages.items().send().collect::<Result<Vec<_>, _>>();
                let all = there(pages, "iam:ListInstanceProfilesForRole").await?;
                let all = all.unwrap_or_default();
                let is_there = all.iter().any(|p| p.instance_profile_name == *profile);
                Ok(if is_there { Found::AsPlanned(json!({})) } else { Found::Done })
            }
            Action::DisableTerminationProtection { stack_id } => {
                let Some(stack) = self.stack(stack_id).await? else { return Ok(Found::Done) };
                let is_on = stack.enable_termination_protection;
                Ok(if is_on { Found::AsPlanned(json!({})) } else { Found::Done })
            }
            Action::DeleteStack { stack_id, .. } => self.look_at_stack(stack_id, token).await,
        }
    }

    /// Whether a change is seen to be made, also by those who only list.
    pub(super) async fn is_seen(&self, action: &Action, token: &str) -> Result<bool, Fault> {
        if self.look(action, token).await? != Found::Done {
            return Ok(false);
        }
        let Action::DeleteRolePolicy { role, policy, .. } = action else { return Ok(true) };
        let pages = self.iam.list_role_policies().role_name(role).into_paginator();
        let pages = pages.items().send().collect::<Result<Vec<_>, _>>();
        let listed = there(pages, "iam:ListRolePolicies").await?.unwrap_or_default();
        Ok(!listed.contains(policy))
    }

    async fn look_at_stack(&self, id: &str, token: &str) -> Result<Found, Fault> {
        let Some(stack) = self.stack(id).await? else { return Ok(Found::Done) };
        if stack.eksctl_cluster() != Some(&self.cluster) {
            return Ok(Found::Differs("its tags name another cluster now".to_owned()));
        }
        if stack.enable_termination_protection {
            return Ok(Found::Differs("it is protected from termination now".to_owned()));
        }
        if stack.is_under_way() {
            let events = self.events(id).await?;
            let last = events.iter().find(|event| event.is_of_stack());
            let is_ours = last.is_some_and(|event| event.client_request_token == token);
            if !is_ours {
                let says = format!("somebody is at it: {}", stack.stack_status);
                return Ok(Found::Differs(says));
            }
        }
        Ok(Found::AsPlanned(json!({ "status": stack.stack_status })))
    }

    async fn look_at_interface(&self, id: &str) -> Result<Found, Fault> {
        let call = self.ec2.describe_network_interfaces().network_interface_ids(id).send();
        let answer = there(call, "ec2:DescribeNetworkInterfaces").await?;
        let all: Vec<NetworkInterface> = answer.and_then(|a| a.network_interfaces).keep();
        let Some(interface) = all.into_iter().next() else { return Ok(Found::Done) };
        if interface.status != "available" {
            return Ok(Found::Differs(format!("it is {} now", interface.status)));
        }
        let is_plugins = interface.description.starts_with("aws-K8S-");
        if is_plugins && whose(&self.cluster, &interface.tag_set) == Whose::Nobodys {
            return Ok(Found::AsPlanned(json!(interface)));
        }
        Ok(self.owned(&interface.tag_set, json!(interface)))
    }

    /// Whether it still is the cluster's, by its tags.
    fn owned(&self, tags: &[Tag], record: Value) -> Found {
        match whose(&self.cluster, tags) {
            Whose::Ours => Found::AsPlanned(record),
            _ => Found::Differs("its tags don't say any more that it is the cluster's".to_owned()),
        }
    }

    async fn tags(&self, arn: &str) -> Result<Vec<Tag>, Fault> {
        let call = self.elbv2.describe_tags().resource_arns(arn).send();
        let answer = there(call, "elasticloadbalancing:DescribeTags").await?;
        let of = answer.and_then(|answer| answer.tag_descriptions).unwrap_or_default();
        Ok(of.into_iter().next().and_then(|of| of.tags).keep())
    }

    async fn group(&self, id: &str) -> Result<Option<SecurityGroup>, Fault> {
        let call = self.ec2.describe_security_groups().group_ids(id).send();
        let answer = there(call, "ec2:DescribeSecurityGroups").await?;
        let all: Vec<SecurityGroup> = answer.and_then(|answer| answer.security_groups).keep();
        Ok(all.into_iter().next())
    }

    /// The rules of a group, of one direction, that name another one.
    async fn rules(
        &self,
        group: &str,
        named: &str,
        ingress: bool,
    ) -> Result<Vec<SecurityGroupRule>, Fault> {
        let filter = Filter::builder().name("group-id").values(group).build();
        let call = self.ec2.describe_security_group_rules().filters(filter).into_paginator();
        let pages = call.items().send().collect::<Result<Vec<_>, _>>();
        let all = there(pages, "ec2:DescribeSecurityGroupRules").await?.unwrap_or_default();
        let is_it = |rule: &SecurityGroupRule| {
            let names = rule.referenced_group_info().and_then(|info| info.group_id());
            rule.is_egress() == Some(!ingress) && names == Some(named)
        };
        Ok(all.into_iter().filter(is_it).collect())
    }

    /// Makes a change.
    pub(super) async fn act(&self, action: &Action, token: &str) -> Result<Acted, Fault> {
        match action {
            Action::DeleteLoadBalancer { arn } => {
                let call = self.elbv2.delete_load_balancer().load_balancer_arn(arn).send();
                change(call, "elasticloadbalancing:DeleteLoadBalancer").await
            }
            Action::DeleteClassicLoadBalancer { name } => {
                let call = self.elb.delete_load_balancer().load_balancer_name(name).send();
                change(call, "elasticloadbalancing:DeleteLoadBalancer").await
            }
            Action::DeleteTargetGroup { arn } => {
                let call = self.elbv2.delete_target_group().target_group_arn(arn).send();
                change(call, "elasticloadbalancing:DeleteTargetGroup").await
            }
            Action::RevokeRules { group, names, ingress } => {
                let rules = self.rules(group, names, *ingress).await?;
                if rules.is_empty() {
                    return Ok(Acted::Done);
                }
                let ids = Some(rules.into_iter().filter_map(|rule| rule.security_group_rule_id));
                let ids = ids.map(Iterator::collect);
                if *ingress {
                    let call = self.ec2.revoke_security_group_ingress().group_id(group);
                    let call = call.set_security_group_rule_ids(ids).send();
                    change(call, "ec2:RevokeSecurityGroupIngress").await
                } else {
                    let call = self.ec2.revoke_security_group_egress().group_id(group);
                    let call = call.set_security_group_rule_ids(ids).send();
                    change(call, "ec2:RevokeSecurityGroupEgress").await
                }
            }
            Action::DeleteSecurityGroup { id } => {
                let call = self.ec2.delete_security_group().group_id(id).send();
                change(call, "ec2:DeleteSecurityGroup").await
            }
            Action::DeleteNetworkInterface { id } => {
                let call = self.ec2.delete_network_interface().network_interface_id(id).send();
                change(call, "ec2:DeleteNetworkInterface").await
            }
            Action::DeleteRolePolicy { role, policy, .. } => {
                let call = self.iam.delete_role_policy().role_name(role).policy_name(policy).send();
                change(call, "iam:DeleteRolePolicy").await
            }
            Action::DetachRolePolicy { role, policy_arn } => {
                let call = self.iam.detach_role_policy().role_name(role).policy_arn(policy_arn);
                change(call.send(), "iam:DetachRolePolicy").await
            }
            Action::RemoveRoleFromInstanceProfile { role, profile } => {
                let call = self.iam.remove_role_from_instance_profile().role_name(role);
                let call = call.instance_profile_name(profile).send();
                change(call, "iam:RemoveRoleFromInstanceProfile").await
            }
            Action::DisableTerminationProtection { stack_id } => {
                let call = self.cloudformation.update_termination_protection();
                let call = call.stack_name(stack_id).enable_termination_protection(false).send();
                change(call, "cloudformation:UpdateTerminationProtection").await
            }
            Action::DeleteStack { stack_id, retain, force } => {
                let retain = (!retain.is_empty()).then(|| retain.clone());
                let mode = force.then_some(DeletionMode::ForceDeleteStack);
                let call = self.cloudformation.delete_stack().stack_name(stack_id);
                let call = call.client_request_token(token).set_retain_resources(retain);
                change(call.set_deletion_mode(mode).send(), "cloudformation:DeleteStack").await
            }
        }
    }

    /// Puts back what an action took off a role. Nothing happens where it is there.
    pub(super) async fn put_back(&self, action: &Action, record: &Value) -> Result<(), Fault> {
        match action {
            Action::DeleteRolePolicy { role, policy, .. } => {
                let document = record["document"].to_string();
                let call = self.iam.put_role_policy().role_name(role).policy_name(policy);
                change(call.policy_document(document).send(), "iam:PutRolePolicy").await?;
            }
            Action::DetachRolePolicy { role, policy_arn } => {
                let call = self.iam.attach_role_policy().role_name(role).policy_arn(policy_arn);
                change(call.send(), "iam:AttachRolePolicy").await?;
            }
            Action::RemoveRoleFromInstanceProfile { role, profile } => {
                let call = self.iam.add_role_to_instance_profile().role_name(role);
                let call = call.instance_profile_name(profile).send();
                change(call, "iam:AddRoleToInstanceProfile").await?;
            }
            _ => (),
        }
        Ok(())
    }

    /// Whether a role is there.
    pub(super) async fn has_role(&self, role: &str) -> Result<bool, Fault> {
        let call = self.iam.get_role().role_name(role).send();
        Ok(there(call, "iam:GetRole").await?.is_some())
    }
}

/// A rule as the journal keeps it, with what it takes to add it again.
fn record(rule: &SecurityGroupRule) -> Value {
    let named = rule.referenced_group_info().and_then(|info| info.group_id());
    json!({ "SecurityGroupRuleId": rule.security_group_rule_id(), "IpProtocol": rule.ip_protocol(),
        "FromPort": rule.from_port(), "ToPort": rule.to_port(), "ReferencedGroupId": named,
        "Description": rule.description() })
}

/// The answer, or nothing where what was asked for by name does not exist.
async fn there<T, E, R>(
    call: impl Future<Output = Result<T, SdkError<E, R>>>,
    action: &str,
) -> Result<Option<T>, Fault>
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug + 'static,
{
    match Box::pin(call).await {
        Err(error) if is_absent(&error) => Ok(None),
        answer => answer.map(Some).map_err(|error| fault(&error, action)),
    }
}

async fn change<T, E, R>(
    call: impl Future<Output = Result<T, SdkError<E, R>>>,
    action: &str,
) -> Result<Acted, Fault>
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug + 'static,
{
    let in_use = ["DependencyViolation", "ResourceInUse", "InvalidNetworkInterface.InUse"];
    match Box::pin(call).await {
        Ok(_) => Ok(Acted::Done),
        // Somebody else was faster, or a call before was not heard the answer of.
        Err(error) if is_absent(&error) => Ok(Acted::Done),
        Err(error) => {
            let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
            if code.is_some_and(|code| in_use.contains(&code)) {
                return Ok(Acted::InUse);
            }
            Err(fault(&error, action))
        }
    }
}

/// CloudFormation's word for it is a validation error of this wording.
fn does_not_exist<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    let said = error.as_service_error();
    let is_validation = said.and_then(ProvideErrorMetadata::code) == Some("ValidationError");
    let message = said.and_then(ProvideErrorMetadata::message).unwrap_or_default();
    is_validation && message.contains("does not exist")
}
