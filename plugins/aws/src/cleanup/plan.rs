//! What is to be done about what a cluster left behind, worked out from what was read.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    action::Action,
    estate::{Estate, RoleLeft, StackLeft},
    whose::{Whose, whose},
};
use crate::{Document, NetworkInterface, SecurityGroup};

/// What is wished beyond what a plan does by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Wishes {
    /// The stacks whose termination protection is to be lifted.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub unprotect: BTreeSet<String>,
    /// The parts to leave behind, by their logical ids, of stacks that could not be deleted.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub retain: BTreeMap<String, BTreeSet<String>>,
    /// The stacks to delete by force, which leaves behind what can't be deleted.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub force: BTreeSet<String>,
}

/// What is to be done, in this order, and what is left alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// `kfcheck/cleanup/v1`.
    pub schema: String,
    /// The account's number.
    pub account_id: String,
    /// The region.
    pub region: String,
    /// The cluster that is gone.
    pub cluster: String,
    /// What was wished.
    pub wishes: Wishes,
    /// What is done.
    pub steps: Vec<Step>,
    /// What is not touched.
    pub kept: Vec<Kept>,
    /// The SHA-256 of all of this but itself, so that an edited plan is noticed.
    pub digest: String,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What is changed.
    #[serde(flatten)]
    pub action: Action,
    /// The stack that it is done for; nothing where it is for what no stack made.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stack: Option<String>,
    /// Why it is needed.
    pub because: String,
}

/// What is not touched, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Kept {
    /// What.
    pub what: String,
    /// Why.
    pub because: String,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The cluster is there.
    #[error("cluster {0} exists, so nothing of it is left behind")]
    Alive(String),
    /// Somebody is making it.
    #[error("stack {0} is being created, so its cluster may be on its way")]
    OnItsWay(String),
    /// A wish that can't be fulfilled.
    #[error("{0}")]
    Wish(String),
}

const SCHEMA: &str = "kfcheck/cleanup/v1";

impl Plan {
    /// The plan for an estate. It asks nobody.
    pub fn of(estate: &Estate, wishes: &Wishes) -> Result<Self, Refusal> {
        if estate.living.contains(&estate.cluster) {
            return Err(Refusal::Alive(estate.cluster.clone()));
        }
        let mut stacks = estate.stacks.iter();
        if let Some(made) = stacks.find(|left| left.stack.stack_status == "CREATE_IN_PROGRESS") {
            return Err(Refusal::OnItsWay(made.name().to_owned()));
        }
        check(estate, wishes)?;
        let mut plan = Self {
            schema: SCHEMA.to_owned(),
            account_id: estate.account_id.clone(),
            region: estate.region.clone(),
            cluster: estate.cluster.clone(),
            wishes: wishes.clone(),
            ..Self::default()
        };
        // Without a stack of the cluster's, what bears its name may be anybody's.
        if !estate.stacks.is_empty() {
            plan.clear_network(estate);
            plan.delete_stacks(estate);
        }
        plan.digest = plan.sum();
        Ok(plan)
    }

    /// Whether it is as it was when it was made.
    pub fn is_untouched(&self) -> bool {
        self.digest == self.sum()
    }

    fn sum(&self) -> String {
        let bare = Self { digest: String::new(), ..self.clone() };
        sha256(&serde_json::to_vec(&bare).unwrap_or_default())
    }

    fn step(&mut self, action: Action, stack: Option<&str>, because: impl Into<String>) {
        self.steps.push(Step { action, stack: stack.map(str::to_owned), because: because.into() });
    }

    fn keep(&mut self, what: impl Into<String>, because: impl Into<String>) {
        self.kept.push(Kept { what: what.into(), because: because.into() });
    }

    /// Load balancers and what goes with them, which Kubernetes made and nobody deletes any more.
    fn clear_network(&mut self, estate: &Estate) {
        let Some(network) = &estate.network else {
            let what = "load balancers, security groups and network interfaces";
            self.keep(what, "no stack tells which network the cluster was in");
            return;
        };
        if let Some(alive) = estate.living.first() {
            let because = format!("cluster {alive} exists, and is in the same network");
            self.keep("load balancers, security groups and network interfaces", because);
            return;
        }
        let made = estate.made();
        let cluster = &*estate.cluster;
        for left in &network.balancers {
            let name = &left.balancer.load_balancer_name;
            match whose(cluster, &left.tags) {
                Whose::Ours => {
                    let arn = left.balancer.load_balancer_arn.clone();
                    let because = format!("load balancer {name} is tagged as the cluster's");
                    self.step(Action::DeleteLoadBalancer { arn }, None, because);
                    for (group, tags) in &left.target_groups {
                        let name = &group.target_group_name;
                        if whose(cluster, tags) == Whose::Ours {
                            let arn = group.target_group_arn.clone();
                            let because = format!("target group {name} is tagged as the cluster's");
                            self.step(Action::DeleteTargetGroup { arn }, None, because);
                        }
                    }
                }
                other => self.keep_other(format!("load balancer {name}"), &other),
            }
        }
        for (balancer, tags) in &network.classics {
            let name = &balancer.load_balancer_name;
            match whose(cluster, tags) {
                Whose::Ours => {
                    let action = Action::DeleteClassicLoadBalancer { name: name.clone() };
                    let because =
                        format!("classic load balancer {name} is tagged as the cluster's");
                    self.step(action, None, because);
                }
                other => self.keep_other(format!("classic load balancer {name}"), &other),
            }
        }
        let is_made = |group: &SecurityGroup| made.contains_key(&*group.group_id);
        let leftover: Vec<_> = network
            .groups
            .iter()
            .filter(|group| !is_made(group) && group.group_name != "default")
            .filter(|group| match whose(cluster, &group.tags) {
                Whose::Ours => true,
                other => {
                    let what = format!("security group {} ({})", group.group_id, group.group_name);
                    self.keep_other(what, &other);
                    false
                }
            })
            .collect();
        let (mut going, mut staying): (Vec<&SecurityGroup>, Vec<&SecurityGroup>) =
            (leftover, Vec::new());
        // One that others name stays until their rules are gone, which are ours to take out only where
        // the groups are.
        let is_ours =
            |group: &SecurityGroup| is_made(group) || whose(cluster, &group.tags) == Whose::Ours;
        going.retain(|group| {
            let named = network.groups.iter().filter(|other| other.group_id != group.group_id);
            let stranger = named.filter(|other| !is_ours(other)).find(|other| {
                names(other, &group.group_id, true) || names(other, &group.group_id, false)
            });
            if let Some(stranger) = stranger {
                let what = format!("security group {} ({})", group.group_id, group.group_name);
                let because = format!("security group {} has rules for it", stranger.group_id);
                self.kept.push(Kept { what, because });
                staying.push(group);
            }
            stranger.is_none()
        });
        for group in &going {
            for other in network.groups.iter().filter(|other| other.group_id != group.group_id) {
                for ingress in [true, false] {
                    if names(other, &group.group_id, ingress) {
                        let (id, named) = (other.group_id.clone(), group.group_id.clone());
                        let action = Action::RevokeRules { group: id, names: named, ingress };
                        let because = format!(
                            "rules of security group {} keep group {} from being deleted",
                            other.group_id, group.group_id
                        );
                        self.step(action, None, because);
                    }
                }
            }
        }
        for interface in &network.interfaces {
            self.clear_interface(estate, interface, network.is_ours);
        }
        for group in going {
            let id = group.group_id.clone();
            let because =
                format!("security group {} ({}) is tagged as the cluster's", id, group.group_name);
            self.step(Action::DeleteSecurityGroup { id }, None, because);
        }
    }

    fn clear_interface(&mut self, estate: &Estate, interface: &NetworkInterface, is_ours: bool) {
        let id = &interface.network_interface_id;
        let says = interface.description.trim();
        let what = match says {
            "" => format!("network interface {id}"),
            says => format!("network interface {id} ({says})"),
        };
        if estate.made().contains_key(id.as_str()) || interface.interface_type == "nat_gateway" {
            return;
        }
        if interface.status != "available" {
            self.keep(what, "it is in use, and goes with what uses it");
            return;
        }
        // The network plugin of EKS leaves them behind when its machine is deleted first
        // (amazon-vpc-cni-k8s, `pkg/awsutils`).
        let of_plugin = is_ours && says.starts_with("aws-K8S-");
        match whose(&estate.cluster, &interface.tag_set) {
            Whose::Ours => (),
            Whose::Nobodys if of_plugin => (),
            other => {
                self.keep_other(what, &other);
                return;
            }
        }
        let because = format!("{what} is left of a machine of the cluster's, and nothing uses it");
        self.step(Action::DeleteNetworkInterface { id: id.clone() }, None, because);
    }

    fn keep_other(&mut self, what: String, other: &Whose) {
        let because = match other {
            Whose::Ours => return,
            Whose::Nobodys => "no tag says that it is the cluster's".to_owned(),
            Whose::Another(cluster) => format!("it is tagged for cluster {cluster}"),
            Whose::Stack(stack) => format!("stack {stack} made it"),
        };
        self.keep(what, because);
    }

    /// The stacks in eksctl's order, each after those that import from it, and before it what would
    /// keep it.
    fn delete_stacks(&mut self, estate: &Estate) {
        let mut staying: BTreeMap<&str, String> = BTreeMap::new();
        for left in &estate.stacks {
            if let Some(because) = stays(estate, left, &self.wishes) {
                staying.insert(left.name(), because);
            }
        }
        // What is imported stays as long as who imports it.
        let ours: BTreeSet<_> = estate.stacks.iter().map(StackLeft::name).collect();
        loop {
            let next = estate.stacks.iter().find_map(|left| {
                let by = left.importers.iter().find(|importer| {
                    importer.as_str() != left.name()
                        && (!ours.contains(importer.as_str())
                            || staying.contains_key(importer.as_str()))
                })?;
                (!staying.contains_key(left.name())).then(|| {
                    (left.name(), format!("stack {by}, which stays, imports what it exports"))
                })
            });
            match next {
                Some((name, because)) => drop(staying.insert(name, because)),
                None => break,
            }
        }
        for (name, because) in &staying {
            self.kept.push(Kept { what: format!("stack {name}"), because: because.clone() });
        }
        let mut left: Vec<_> =
            estate.stacks.iter().filter(|left| !staying.contains_key(left.name())).collect();
        left.sort_by_key(|left| (rank(left), left.name().to_owned()));
        while !left.is_empty() {
            let is_free = |one: &&StackLeft| {
                let others = left.iter().filter(|other| other.name() != one.name());
                !others.into_iter().any(|other| one.importers.contains(other.name()))
            };
            // Imports can't go round in circles.
            let at = left.iter().position(is_free).unwrap_or(0);
            let next = left.remove(at);
            self.delete_stack(next);
        }
    }

    fn delete_stack(&mut self, left: &StackLeft) {
        let (name, stack_id) = (left.name(), left.stack.stack_id.clone());
        let retain = self.wishes.retain.get(name).cloned().unwrap_or_default();
        let force = self.wishes.force.contains(name);
        if left.stack.enable_termination_protection {
            let action = Action::DisableTerminationProtection { stack_id: stack_id.clone() };
            self.step(
                action,
                Some(name),
                "it is protected from termination, and that is to be lifted",
            );
        }
        for role in left.roles.iter().filter(|role| !retain.contains(&role.logical_id)) {
            self.free(role, name);
        }
        let because = match (&retain, force) {
            (_, true) => {
                let failed = failed_parts(left);
                format!(
                    "it is left of the cluster; by force, which may leave behind {}",
                    failed.join(", ")
                )
            }
            (retain, _) if !retain.is_empty() => {
                let kept: Vec<_> = retain.iter().map(String::as_str).collect();
                format!("it is left of the cluster; leaves behind {}", kept.join(", "))
            }
            _ => "it is left of the cluster".to_owned(),
        };
        let retain = retain.into_iter().collect();
        self.step(Action::DeleteStack { stack_id, retain, force }, Some(name), because);
    }

    /// Takes off a role what its stack doesn't own.
    fn free(&mut self, role: &RoleLeft, stack: &str) {
        let Some(owned) = &role.owned else { return };
        let name = &role.name;
        for (policy, document) in role.inline.iter().filter(|(p, _)| !owned.inline.contains(p)) {
            let action = Action::DeleteRolePolicy {
                role: name.clone(),
                policy: policy.clone(),
                sha256: sum(document),
            };
            let because = format!("the stack didn't put policy {policy} into role {name}");
            self.step(action, Some(stack), because);
        }
        for arn in role.attached.iter().filter(|arn| !owned.attached.contains(*arn)) {
            let action = Action::DetachRolePolicy { role: name.clone(), policy_arn: arn.clone() };
            let policy = arn.rsplit('/').next().unwrap_or(arn);
            let because = format!("the stack didn't attach policy {policy} to role {name}");
            self.step(action, Some(stack), because);
        }
        for profile in role.profiles.iter().filter(|profile| !owned.profiles.contains(*profile)) {
            let action = Action::RemoveRoleFromInstanceProfile {
                role: name.clone(),
                profile: profile.clone(),
            };
            let because = format!("the stack didn't put role {name} into {profile}");
            self.step(action, Some(stack), because);
        }
    }
}

/// Whether wishes can be fulfilled.
fn check(estate: &Estate, wishes: &Wishes) -> Result<(), Refusal> {
    let find = |name: &str| {
        let found = estate.stacks.iter().find(|left| left.name() == name);
        found.ok_or_else(|| {
            let cluster = &estate.cluster;
            Refusal::Wish(format!("{name} is no stack that cluster {cluster} left behind"))
        })
    };
    for name in &wishes.unprotect {
        find(name)?;
    }
    for (name, parts) in &wishes.retain {
        let failed = failed_parts(find(name)?);
        if let Some(part) = parts.iter().find(|part| !failed.contains(&part.as_str())) {
            return Err(Refusal::Wish(format!(
                "only what could not be deleted can be left behind, and {part} of {name} is not \
                 among that: {}",
                if failed.is_empty() { "nothing failed".to_owned() } else { failed.join(", ") }
            )));
        }
    }
    for name in &wishes.force {
        let left = find(name)?;
        if left.stack.stack_status != "DELETE_FAILED" {
            return Err(Refusal::Wish(format!(
                "only a stack that could not be deleted is deleted by force, and {name} is {}",
                left.stack.stack_status
            )));
        }
    }
    Ok(())
}

/// The parts that could not be deleted, where the stack could not for that.
fn failed_parts(left: &StackLeft) -> Vec<&str> {
    if left.stack.stack_status != "DELETE_FAILED" {
        return Vec::new();
    }
    let failed = left.parts.iter().filter(|part| part.resource_status == "DELETE_FAILED");
    failed.map(|part| part.logical_resource_id.as_str()).collect()
}

/// Why a stack is not to be touched, if there is a reason.
fn stays(estate: &Estate, left: &StackLeft, wishes: &Wishes) -> Option<String> {
    let Estate { living, .. } = estate;
    let stack = &left.stack;
    let of = |kind: &str| {
        let mut parts = left.standing().filter(|part| part.resource_type == kind);
        let name = |id: &str| id.split(['/', '|']).next().unwrap_or_default().to_owned();
        parts.find_map(|part| Some(name(&part.physical_resource_id)).filter(|n| living.contains(n)))
    };
    if let Some(alive) = of("AWS::EKS::Cluster").or_else(|| of("AWS::EKS::Nodegroup")) {
        return Some(format!("its cluster {alive} exists"));
    }
    if stack.is_under_way() {
        return Some(format!("something is being done to it: {}", stack.stack_status));
    }
    if !stack.parent_id.is_empty() {
        return Some("it is part of another stack, and goes with that".to_owned());
    }
    if stack.enable_termination_protection && !wishes.unprotect.contains(left.name()) {
        let says = "it is protected from termination; --disable-termination-protection lifts that";
        return Some(says.to_owned());
    }
    if !left.has_service_role {
        let role = &stack.role_arn;
        return Some(format!("the role that CloudFormation is to delete it with is gone: {role}"));
    }
    left.roles.iter().find_map(|role| untold(left, role))
}

/// Why it can't be told what on a role is the stack's own, where that matters.
fn untold(left: &StackLeft, role: &RoleLeft) -> Option<String> {
    let name = &role.name;
    let bare = role.inline.is_empty() && role.attached.is_empty() && role.profiles.is_empty();
    let Some(owned) = &role.owned else {
        let says =
            format!("its template can't be read, so what on role {name} is its own is not known");
        return (!bare).then_some(says);
    };
    let foreign = role.inline.iter().any(|(policy, _)| !owned.inline.contains(policy))
        || role.attached.iter().any(|arn| !owned.attached.contains(arn))
        || role.profiles.iter().any(|profile| !owned.profiles.contains(profile));
    (foreign && !owned.untold.is_empty()).then(|| {
        format!(
            "what on role {name} is its own can't be told from its template: {} of {}",
            owned.untold.join(", "),
            left.name()
        )
    })
}

/// eksctl's order (eksctl, `pkg/actions/cluster`).
fn rank(left: &StackLeft) -> u8 {
    let stack = &left.stack;
    let name = left.name();
    if name.ends_with("-fargate") {
        0
    } else if stack.nodegroup().is_some() || name.contains("-nodegroup-") {
        1
    } else if left.has("AWS::EKS::Cluster") || stack.is_clusters() {
        5
    } else if name.ends_with("-karpenter") {
        6
    } else if name.contains("-addon-") {
        2
    } else if name.contains("-podidentityrole-") {
        3
    } else {
        4
    }
}

/// Whether a security group has rules, of one direction, that name another.
fn names(group: &SecurityGroup, other: &str, ingress: bool) -> bool {
    let rules = if ingress { &group.ip_permissions } else { &group.ip_permissions_egress };
    let mut pairs = rules.iter().flat_map(|rule| &rule.user_id_group_pairs);
    pairs.any(|pair| pair.group_id == other)
}

/// The SHA-256 of a policy's document, whatever the order of its fields.
pub(crate) fn sum(document: &Document) -> String {
    sha256(&serde_json::to_vec(&sorted(&document.0)).unwrap_or_default())
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(all) => {
            let all: BTreeMap<_, _> = all.iter().map(|(k, v)| (k.clone(), sorted(v))).collect();
            all.into_iter().collect()
        }
        Value::Array(all) => all.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(bytes) {
        text += &format!("{byte:02x}");
    }
    text
}
