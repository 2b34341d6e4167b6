//! The roles that nodes run as.

use std::collections::BTreeMap;

use kfcheck::{Cx, Fact, FactError};
use serde::Serialize;

use crate::{
    Nodegroup, OurStacks, Stack, StackResource, StackResources, facts::role_name,
    stacks::our_nodegroups,
};

/// A role that nodes run as, or another one whose stack could not delete it.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeRole {
    /// Its name.
    pub(crate) name: String,
    /// The stack that made it.
    pub(crate) stack: Option<Stack>,
    /// What its stack says of it.
    pub(crate) says: Option<String>,
    /// The node groups of EKS's that use it.
    pub(crate) nodegroups: Vec<Nodegroup>,
    /// Whether nodes run as it.
    pub(crate) is_of_nodes: bool,
}

impl NodeRole {
    /// Whether its stack is being deleted, or was to be.
    pub(crate) fn is_to_go(&self) -> bool {
        let is_taken_back = |stack: &Stack| stack.stack_status.starts_with("ROLLBACK_");
        self.stack.as_ref().is_some_and(|stack| stack.is_to_go() || is_taken_back(stack))
    }

    /// Whether nodes are made with it.
    pub(crate) fn is_in_use(&self) -> bool {
        let living = |group: &Nodegroup| {
            ["ACTIVE", "DEGRADED", "CREATE_FAILED", "UPDATING"].contains(&&*group.status)
        };
        self.nodegroups.iter().any(living)
            || self.stack.as_ref().is_some_and(|stack| {
                // Nodes may be what it failed for.
                stack.stack_status.ends_with("_COMPLETE") || stack.stack_status == "CREATE_FAILED"
            })
    }
}

/// The roles, and why there may be more of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct RolesSeen {
    pub(crate) roles: Vec<NodeRole>,
    pub(crate) missing: Vec<FactError>,
}

/// The roles that the cluster's nodes run as: by EKS's node groups, and by the stacks that eksctl
/// made for them.
#[derive(Clone, Serialize)]
pub(crate) struct NodeRoles;

impl Fact for NodeRoles {
    const NAME: &'static str = "aws.nodeRoles";
    type Value = RolesSeen;

    async fn fetch(&self, cx: &Cx) -> Result<RolesSeen, FactError> {
        let mut roles: BTreeMap<String, NodeRole> = BTreeMap::new();
        let mut missing = Vec::new();
        let stacks = cx.get(OurStacks).await;
        for stack in stacks.iter().flat_map(|stacks| stacks.iter()) {
            let makes_nodes =
                stack.nodegroup().is_some() || stack.stack_name.contains("-nodegroup-");
            if !makes_nodes && stack.stack_status != "DELETE_FAILED" {
                continue;
            }
            match cx.get(StackResources { stack: stack.stack_name.clone() }).await {
                Ok(parts) => {
                    // What is half made has its own reason.
                    let is_made = |part: &&StackResource| {
                        !stack.never_was() || part.resource_status == "CREATE_COMPLETE"
                    };
                    for part in parts.iter().filter(|part| is_there(part)).filter(is_made) {
                        let role = NodeRole {
                            name: part.physical_resource_id.clone(),
                            stack: Some(stack.clone()),
                            says: Some(part.resource_status_reason.to_string()),
                            nodegroups: Vec::new(),
                            is_of_nodes: part.logical_resource_id == "NodeInstanceRole",
                        };
                        roles.insert(role.name.clone(), role);
                    }
                }
                Err(error) => missing.push(error),
            }
        }
        missing.extend(stacks.err());
        match our_nodegroups(cx).await {
            Ok(groups) => {
                for group in groups.iter().filter(|group| !group.node_role.is_empty()) {
                    let name = role_name(&group.node_role);
                    let role = roles.entry(name.to_owned()).or_insert_with(|| NodeRole {
                        name: name.to_owned(),
                        ..NodeRole::default()
                    });
                    role.is_of_nodes = true;
                    role.nodegroups.push(group.clone());
                }
            }
            Err(error) => missing.push(error),
        }
        Ok(RolesSeen { roles: roles.into_values().collect(), missing })
    }
}

fn is_there(part: &StackResource) -> bool {
    part.resource_type == "AWS::IAM::Role"
        && part.resource_status != "DELETE_COMPLETE"
        && !part.physical_resource_id.is_empty()
}
