//! What is changed, one thing at a time.

use serde::{Deserialize, Serialize};

/// A change, and what it is made to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Action {
    /// Deletes an application or network load balancer.
    DeleteLoadBalancer {
        /// Its ARN.
        arn: String,
    },
    /// Deletes a classic load balancer.
    DeleteClassicLoadBalancer {
        /// Its name.
        name: String,
    },
    /// Deletes a target group.
    DeleteTargetGroup {
        /// Its ARN.
        arn: String,
    },
    /// Takes the rules out of a security group that name another one.
    RevokeRules {
        /// The group that has the rules.
        group: String,
        /// The group that they name.
        names: String,
        /// Whether they let in; else they let out.
        ingress: bool,
    },
    /// Deletes a security group.
    DeleteSecurityGroup {
        /// Its id.
        id: String,
    },
    /// Deletes a network interface that nothing uses.
    DeleteNetworkInterface {
        /// Its id.
        id: String,
    },
    /// Deletes a policy inside a role.
    DeleteRolePolicy {
        /// The role.
        role: String,
        /// The policy.
        policy: String,
        /// The SHA-256 of its document.
        sha256: String,
    },
    /// Takes a policy off a role that refers to it.
    DetachRolePolicy {
        /// The role.
        role: String,
        /// The policy's ARN.
        policy_arn: String,
    },
    /// Takes a role out of an instance profile.
    RemoveRoleFromInstanceProfile {
        /// The role.
        role: String,
        /// The instance profile.
        profile: String,
    },
    /// Lifts the termination protection of a stack.
    DisableTerminationProtection {
        /// The stack's ARN.
        stack_id: String,
    },
    /// Deletes a stack, with what it made.
    DeleteStack {
        /// Its ARN.
        stack_id: String,
        /// The parts that are left behind.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        retain: Vec<String>,
        /// Whether parts that can't be deleted are left behind.
        #[serde(skip_serializing_if = "std::ops::Not::not", default)]
        force: bool,
    },
}

impl Action {
    /// What it changes, in words.
    pub fn says(&self) -> String {
        match self {
            Self::DeleteLoadBalancer { arn } => format!("delete load balancer {}", last(arn, 1)),
            Self::DeleteClassicLoadBalancer { name } => {
                format!("delete classic load balancer {name}")
            }
            Self::DeleteTargetGroup { arn } => format!("delete target group {}", last(arn, 1)),
            Self::RevokeRules { group, names, ingress } => {
                let way = if *ingress { "ingress" } else { "egress" };
                format!("take the {way} rules for {names} out of security group {group}")
            }
            Self::DeleteSecurityGroup { id } => format!("delete security group {id}"),
            Self::DeleteNetworkInterface { id } => format!("delete network interface {id}"),
            Self::DeleteRolePolicy { role, policy, .. } => {
                format!("delete policy {policy} inside role {role}")
            }
            Self::DetachRolePolicy { role, policy_arn } => {
                format!("detach policy {policy_arn} from role {role}")
            }
            Self::RemoveRoleFromInstanceProfile { role, profile } => {
                format!("take role {role} out of instance profile {profile}")
            }
            Self::DisableTerminationProtection { stack_id } => {
                format!("lift the termination protection of stack {}", last(stack_id, 1))
            }
            Self::DeleteStack { stack_id, retain, force } => {
                let by_force = if *force { " by force" } else { "" };
                let but = match &retain[..] {
                    [] => String::new(),
                    parts => format!(" but for {}", parts.join(", ")),
                };
                format!("delete stack {}{by_force}{but}", last(stack_id, 1))
            }
        }
    }

    /// Whether it can be undone, and how.
    pub fn undo(&self) -> &'static str {
        match self {
            Self::DeleteRolePolicy { .. }
            | Self::DetachRolePolicy { .. }
            | Self::RemoveRoleFromInstanceProfile { .. } => {
                "can be undone with --restore-policies while the role is there"
            }
            Self::DisableTerminationProtection { .. } => {
                "can be undone with `aws cloudformation update-termination-protection`"
            }
            Self::RevokeRules { .. } => "the journal has the rules, to be added again by hand",
            _ => "can't be undone",
        }
    }
}

/// Of `…/NAME/ID` the name, so many segments from the end.
fn last(arn: &str, from_end: usize) -> &str {
    arn.rsplit('/').nth(from_end).unwrap_or(arn)
}
