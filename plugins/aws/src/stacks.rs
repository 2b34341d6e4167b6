//! What became of the stacks of a cluster: what failed first, and what keeps one from being deleted.

use std::collections::BTreeSet;

use kfcheck::{Cx, Fact, FactError};
use serde::Serialize;

use crate::{
    ClusterNames, Clusters, NetworkInterfaces, Nodegroup, Nodegroups, OurCluster, OurVpc, Scope,
    SecurityGroups, Stack, StackEvent, StackEvents, StackResource, StackResources, Stacks,
    shape::tag,
};

impl Stack {
    /// Whether something is being done to it right now.
    pub fn is_under_way(&self) -> bool {
        self.stack_status.ends_with("_IN_PROGRESS")
    }

    /// Whether what was done to it last has failed.
    pub fn has_failed(&self) -> bool {
        self.stack_status.ends_with("_FAILED") || self.stack_status.contains("ROLLBACK")
    }

    /// Whether it is deleted, being deleted, or failed to be.
    pub fn is_to_go(&self) -> bool {
        self.stack_status.starts_with("DELETE_")
    }

    /// Whether it was never made to the end.
    pub fn never_was(&self) -> bool {
        self.stack_status == "CREATE_FAILED" || self.stack_status.starts_with("ROLLBACK_")
    }

    /// The node group that eksctl made it for.
    pub fn nodegroup(&self) -> Option<&str> {
        let keys = [
            "alpha.eksctl.io/nodegroup-name",
            "eksctl.io/v1alpha2/nodegroup-name",
            "eksctl.cluster.k8s.io/v1alpha1/nodegroup-id",
        ];
        keys.iter().find_map(|key| tag(&self.tags, key)).filter(|name| !name.is_empty())
    }

    /// Whether it is the one that the cluster itself comes of.
    pub fn is_clusters(&self) -> bool {
        self.stack_name.ends_with("-cluster") && self.nodegroup().is_none()
    }
}

impl StackEvent {
    /// Whether it is about the stack as a whole.
    pub fn is_of_stack(&self) -> bool {
        self.resource_type == "AWS::CloudFormation::Stack"
            && (self.physical_resource_id == self.stack_id
                || self.logical_resource_id == self.stack_name)
    }

    /// Whether it only says that another part failed first: "Resource creation cancelled".
    pub fn is_cancellation(&self) -> bool {
        let says = self.resource_status_reason.to_lowercase();
        let says = says.trim_end_matches('.');
        says.starts_with("resource ") && (says.ends_with("cancelled") || says.ends_with("canceled"))
    }

    fn is_failure(&self) -> bool {
        self.resource_status.ends_with("_FAILED")
    }

    /// Whether it begins something that somebody wants of the stack.
    fn is_beginning(&self) -> bool {
        let begins = ["CREATE", "UPDATE", "DELETE", "IMPORT"];
        let begins = begins.map(|what| format!("{what}_IN_PROGRESS"));
        self.is_of_stack()
            && begins.contains(&self.resource_status)
            && self.resource_status_reason.to_lowercase().contains("user initiated")
    }
}

/// What was done to a stack at once: its events, the oldest first.
#[derive(Clone, Debug, Default)]
pub struct Operation<'a>(pub Vec<&'a StackEvent>);

impl<'a> Operation<'a> {
    /// Every operation that events tell of, the oldest first. Those of one bear one token, where
    /// there is any; else each begins where the user wanted it.
    pub fn all(events: &'a [StackEvent]) -> Vec<Self> {
        let mut events: Vec<_> = events.iter().collect();
        // The API has the newest first.
        if events.first().map(|e| e.timestamp) >= events.last().map(|e| e.timestamp) {
            events.reverse();
        }
        events.sort_by_key(|event| event.timestamp);
        let mut all: Vec<Self> = Vec::new();
        for event in events {
            let last = all.last().and_then(|operation| operation.0.last());
            let begins = last.is_none_or(|last| {
                let tokens = [&last.client_request_token, &event.client_request_token];
                let both = tokens.iter().all(|token| !token.is_empty());
                event.is_beginning() || both && tokens[0] != tokens[1]
            });
            if begins {
                all.push(Self::default());
            }
            if let Some(operation) = all.last_mut() {
                operation.0.push(event);
            }
        }
        all
    }

    /// What failed by itself, the first first. Where no part did, the stack as a whole may have.
    pub fn failures(&self) -> Vec<&'a StackEvent> {
        let failed = self.0.iter().copied().filter(|e| e.is_failure() && !e.is_cancellation());
        let (whole, parts): (Vec<_>, Vec<_>) = failed.partition(|event| event.is_of_stack());
        if parts.is_empty() { whole } else { parts }
    }

    /// How many parts were given up because another one failed.
    pub fn cancelled(&self) -> usize {
        let cancelled = self.0.iter().filter(|e| e.is_failure() && e.is_cancellation());
        cancelled.map(|event| &event.logical_resource_id).collect::<BTreeSet<_>>().len()
    }
}

/// Why a stack is not as it was meant to be.
#[derive(Clone, Debug, Default)]
pub struct Failed {
    /// What failed first; none where no event tells.
    pub first: Option<StackEvent>,
    /// What else could not be deleted. In other operations it only follows from the first.
    pub others: Vec<StackEvent>,
    /// How many parts were given up because of it.
    pub cancelled: usize,
}

impl Failed {
    /// What events, the newest first, tell of the last operation that failed.
    pub fn of(events: &[StackEvent]) -> Self {
        let operations = Operation::all(events);
        let failed = operations.iter().rev().find(|operation| !operation.failures().is_empty());
        let Some(operation) = failed else { return Self::default() };
        let mut failures = operation.failures().into_iter();
        let first = failures.next().cloned();
        let deleting = first.as_ref().is_some_and(|first| first.resource_status == "DELETE_FAILED");
        let mut others: Vec<StackEvent> = Vec::new();
        for other in failures.filter(|_| deleting) {
            let is_it = |known: &StackEvent| known.logical_resource_id == other.logical_resource_id;
            if !first.iter().chain(&others).any(is_it) {
                others.push(other.clone());
            }
        }
        Self { first, others, cancelled: operation.cancelled() }
    }

    /// Every failure that doesn't follow from another.
    pub fn all(&self) -> impl Iterator<Item = &StackEvent> {
        self.first.iter().chain(&self.others)
    }

    /// The parts that were given up, in words.
    pub(crate) fn follow(&self) -> String {
        match self.cancelled {
            1 => "1 other part, which only follows".to_owned(),
            count => format!("{count} other parts, which only follow"),
        }
    }

    /// Whether there were no machines to be had.
    pub fn shortage(&self) -> Option<Shortage> {
        self.first.as_ref().and_then(|first| shortage(&first.resource_status_reason))
    }
}

/// The stacks that eksctl made for the cluster that is inspected, by their tags.
#[derive(Clone, Serialize)]
pub struct OurStacks;

impl Fact for OurStacks {
    const NAME: &'static str = "aws.ourStacks";
    type Value = Vec<Stack>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<Stack>, FactError> {
        let name = our_name(cx).await?;
        let stacks = cx.get(Stacks).await?;
        let ours = stacks.iter().filter(|stack| stack.stack_status != "DELETE_COMPLETE");
        let ours = ours.filter(|stack| !name.is_empty() && stack.eksctl_cluster() == Some(&name));
        Ok(ours.cloned().collect())
    }
}

/// The name of the cluster that is inspected; nothing where there is none.
pub(crate) async fn our_name(cx: &Cx) -> Result<String, FactError> {
    let scope = cx.get(Scope).await?;
    if !scope.cluster.is_empty() {
        return Ok(scope.cluster.clone());
    }
    let cluster = cx.get(OurCluster).await?;
    Ok(cluster.as_ref().as_ref().map(|cluster| cluster.name.clone()).unwrap_or_default())
}

/// Why a stack failed, as its events tell.
pub(crate) async fn why(cx: &Cx, stack: &Stack) -> Result<Failed, FactError> {
    let events = cx.get(StackEvents { stack: stack.stack_id.clone() }).await?;
    Ok(Failed::of(&events))
}

/// Whether EKS says that it has no cluster of this name, in this account and region.
pub(crate) async fn is_gone(cx: &Cx, name: &str) -> Result<bool, FactError> {
    let names = cx.get(ClusterNames).await;
    if names.as_ref().is_ok_and(|names| names.iter().any(|known| known == name)) {
        return Ok(false);
    }
    if !cx.get(Clusters { name: name.to_owned() }).await?.is_empty() {
        return Ok(false);
    }
    // Of others than the one inspected, a bundle may just not have asked.
    if our_name(cx).await? != name {
        names?;
    }
    Ok(true)
}

/// The node groups of EKS's; none where there is no cluster.
pub(crate) async fn our_nodegroups(cx: &Cx) -> Result<Vec<Nodegroup>, FactError> {
    let cluster = our_name(cx).await?;
    if cluster.is_empty() || is_gone(cx, &cluster).await? {
        return Ok(Vec::new());
    }
    Ok(cx.get(Nodegroups { cluster }).await?.to_vec())
}

/// A zone, or some, without room for what was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shortage {
    /// The zones that have none.
    pub lacking: Vec<String>,
    /// The zones that AWS offers instead.
    pub offered: Vec<String>,
    /// The kind of machine that is short; none where it is the control plane that has no room.
    pub machine: Option<String>,
}

/// What AWS says when a zone has no room: EKS for a control plane ("UnsupportedAvailabilityZone"),
/// EC2 for machines ("InsufficientInstanceCapacity", and machines that a zone never has).
pub fn shortage(says: &str) -> Option<Shortage> {
    let lower = says.to_lowercase();
    let marks = [
        "unsupportedavailabilityzone",
        "sufficient capacity to support the cluster",
        "does not support creating control plane instances in",
        "insufficientinstancecapacity",
        "currently do not have sufficient",
        "not supported in your requested availability zone",
    ];
    if !marks.iter().any(|mark| lower.contains(mark)) {
        return None;
    }
    let offers = ["availability zones: ", "or choosing "];
    let offer = offers.iter().filter_map(|o| Some(lower.find(o)? + o.len())).min();
    let (before, after) = lower.split_at(offer.unwrap_or(lower.len()));
    let after = after.split(['.', '(', '"', '\\', '\n']).next().unwrap_or_default();
    let machine = before.split([' ', '(', ')', ',']).find(|word| is_machine(word));
    let mut lacking = zones(before);
    lacking.dedup();
    Some(Shortage { lacking, offered: zones(after), machine: machine.map(str::to_owned) })
}

/// `us-east-1e`, and also `us-west-2-lax-1a`.
fn zones(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let is_zone = |word: &&str| {
        let parts: Vec<_> = word.split('-').collect();
        let Some(last) = parts.last() else { return false };
        let digits = last.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let is_last = digits.len() + 1 == last.len()
            && !digits.is_empty()
            && digits.chars().all(|c| c.is_ascii_digit());
        parts.len() > 2 && parts.first().is_some_and(|first| first.len() == 2) && is_last
    };
    words.filter(is_zone).map(str::to_owned).collect()
}

/// `p3.8xlarge`.
fn is_machine(word: &str) -> bool {
    let sizes = ["nano", "micro", "small", "medium", "large", "metal"];
    let family = |family: &str| {
        family.starts_with(|c: char| c.is_ascii_alphabetic())
            && family.contains(|c: char| c.is_ascii_digit())
    };
    word.split_once('.').is_some_and(|(name, size)| {
        family(name) && sizes.iter().any(|known| size.contains(known)) && !size.contains('.')
    })
}

/// What IAM says is to be taken off a role before it can be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// Policies that it refers to.
    AttachedPolicies,
    /// Policies inside it.
    InlinePolicies,
    /// Instance profiles that it is in.
    InstanceProfiles,
}

/// In whichever of CloudFormation's formats it is quoted (IAM API reference, "`DeleteRole`").
pub fn conflict(says: &str) -> Option<Conflict> {
    let says = says.to_lowercase();
    let texts = [
        ("must detach all policies first", Conflict::AttachedPolicies),
        ("must delete policies first", Conflict::InlinePolicies),
        ("must remove roles from instance profile first", Conflict::InstanceProfiles),
    ];
    texts.into_iter().find(|(text, _)| says.contains(text)).map(|(_, conflict)| conflict)
}

/// Whether a part can't be deleted because something else still uses it.
pub fn is_in_use(says: &str) -> bool {
    let says = says.to_lowercase();
    let texts = ["dependencyviolation", "has a dependent object", "has dependencies and cannot be"];
    texts.iter().any(|text| says.contains(text))
}

/// The network that one of the stacks of a cluster made; none where they were given one.
pub(crate) async fn network_of(cx: &Cx, stacks: &[Stack]) -> Result<Option<String>, FactError> {
    for stack in stacks.iter().filter(|stack| stack.is_clusters()) {
        let parts = cx.get(StackResources { stack: stack.stack_name.clone() }).await?;
        let network = parts.iter().find(|part| part.resource_type == "AWS::EC2::VPC");
        if let Some(network) = network.filter(|part| part.resource_status != "DELETE_COMPLETE") {
            return Ok(Some(network.physical_resource_id.clone()));
        }
    }
    Ok(None)
}

/// What still uses a part of a network that can't be deleted, in words.
pub(crate) async fn users_of(
    cx: &Cx,
    part: &StackEvent,
    stacks: &[Stack],
) -> Result<Vec<String>, FactError> {
    let id = &part.physical_resource_id;
    let network = match part.resource_type.as_str() {
        "AWS::EC2::VPC" => Some(id.clone()),
        _ => network_of(cx, stacks).await?,
    };
    let network = match network {
        Some(network) => network,
        None => (*cx.get(OurVpc).await?).clone(),
    };
    if network.is_empty() {
        return Ok(Vec::new());
    }
    leftovers(cx, &network, &part.resource_type, id, stacks).await
}

/// What is left in a network, or in one part of it, that its stacks did not make.
pub(crate) async fn leftovers(
    cx: &Cx,
    network: &str,
    kind: &str,
    id: &str,
    stacks: &[Stack],
) -> Result<Vec<String>, FactError> {
    let interfaces = cx.get(NetworkInterfaces { vpc: network.to_owned() }).await?;
    let is_there = |interface: &&crate::NetworkInterface| match kind {
        "AWS::EC2::Subnet" => interface.subnet_id == id,
        "AWS::EC2::SecurityGroup" => interface.groups.iter().any(|group| group.group_id == id),
        _ => true,
    };
    // A gateway of the stack's own has one as well.
    let foreign = interfaces.iter().filter(|i| i.interface_type != "nat_gateway").filter(is_there);
    let mut left: Vec<_> = foreign
        .map(|interface| match interface.description.trim() {
            "" => format!("network interface {}", interface.network_interface_id),
            says => format!("network interface {} ({says})", interface.network_interface_id),
        })
        .collect();
    if kind == "AWS::EC2::VPC" {
        let mut made = BTreeSet::new();
        for stack in stacks {
            let parts = cx.get(StackResources { stack: stack.stack_name.clone() }).await?;
            made.extend(parts.iter().map(|part| part.physical_resource_id.clone()));
        }
        let groups = cx.get(SecurityGroups { vpc: network.to_owned() }).await?;
        let foreign = groups.iter().filter(|group| {
            group.group_name != "default" && !made.contains(group.group_id.as_str())
        });
        left.extend(foreign.map(|g| format!("security group {} ({})", g.group_id, g.group_name)));
    }
    Ok(left)
}

/// The policies inside a role that the stack which made the role did not make. eksctl gives those of
/// its own the stack's name and their logical id (eksctl, `pkg/cfn/builder/iam.go`).
pub fn foreign_inline<'a>(
    stack: &str,
    parts: &[StackResource],
    inline: &'a [String],
) -> Vec<&'a str> {
    let is_own = |name: &str| {
        let of_part = parts.iter().any(|part| {
            let physical = part.physical_resource_id.split('|').next().unwrap_or_default();
            physical == name || name == format!("{stack}-{}", part.logical_resource_id)
        });
        of_part || name.starts_with(&format!("{stack}-Policy"))
    };
    inline.iter().map(String::as_str).filter(|name| !is_own(name)).collect()
}

/// The managed policies that eksctl itself refers to from the roles of nodes (eksctl,
/// `pkg/cfn/builder/iam_helper.go`).
const OF_EKSCTL: [&str; 8] = [
    "AmazonEKSWorkerNodePolicy",
    "AmazonEKSWorkerNodeMinimalPolicy",
    "AmazonEKS_CNI_Policy",
    "AmazonEC2ContainerRegistryReadOnly",
    "AmazonEC2ContainerRegistryPullOnly",
    "AmazonEC2ContainerRegistryPowerUser",
    "AmazonSSMManagedInstanceCore",
    "CloudWatchAgentServerPolicy",
];

/// Whether eksctl gives roles of nodes this policy; somebody else may have done so all the same.
pub fn is_of_eksctl(policy_arn: &str) -> bool {
    let name = policy_arn.rsplit('/').next().unwrap_or_default();
    policy_arn.contains(":iam::aws:policy/") && OF_EKSCTL.contains(&name)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Conflict, Failed, Operation, conflict, foreign_inline, shortage};
    use crate::StackEvent;

    fn events(all: &[Value]) -> Vec<StackEvent> {
        serde_json::from_value(all.into()).unwrap()
    }

    fn of_stack(at: &str, status: &str, reason: &str) -> Value {
        json!({ "StackId": "arn:s", "StackName": "s", "LogicalResourceId": "s",
            "PhysicalResourceId": "arn:s", "ResourceType": "AWS::CloudFormation::Stack",
            "Timestamp": at, "ResourceStatus": status, "ResourceStatusReason": reason })
    }

    fn of_part(at: &str, part: &str, status: &str, reason: &str) -> Value {
        json!({ "StackId": "arn:s", "StackName": "s", "LogicalResourceId": part,
            "ResourceType": "AWS::EC2::Thing", "Timestamp": at, "ResourceStatus": status,
            "ResourceStatusReason": reason })
    }

    #[test]
    fn an_operation_begins_where_the_user_wanted_it() {
        let told = events(&[
            of_stack("2026-01-01T02:00:09Z", "DELETE_FAILED", "failed to delete: [Role]"),
            of_part("2026-01-01T02:00:02Z", "Role", "DELETE_FAILED", "second"),
            of_stack("2026-01-01T02:00:00Z", "DELETE_IN_PROGRESS", "User Initiated"),
            of_stack("2026-01-01T01:00:09Z", "DELETE_FAILED", "failed to delete: [Role]"),
            of_part("2026-01-01T01:00:02Z", "Role", "DELETE_FAILED", "first"),
            of_stack("2026-01-01T01:00:00Z", "DELETE_IN_PROGRESS", "User Initiated"),
        ]);
        assert_eq!(Operation::all(&told).len(), 2);
        assert_eq!(&*Failed::of(&told).first.unwrap().resource_status_reason, "second");
    }

    #[test]
    fn a_token_tells_operations_apart() {
        let mut all = [
            of_part("2026-01-01T02:00:02Z", "A", "UPDATE_FAILED", "now"),
            of_part("2026-01-01T01:00:02Z", "B", "CREATE_FAILED", "then"),
        ];
        all[0]["ClientRequestToken"] = "t2".into();
        all[1]["ClientRequestToken"] = "t1".into();
        assert_eq!(&*Failed::of(&events(&all)).first.unwrap().resource_status_reason, "now");
    }

    #[test]
    fn what_was_cancelled_is_counted_and_explains_nothing() {
        let told = events(&[
            of_stack("2026-01-01T01:00:09Z", "ROLLBACK_IN_PROGRESS", "failed to create: [A, B]"),
            of_part("2026-01-01T01:00:03Z", "B", "CREATE_FAILED", "Resource creation cancelled"),
            of_part("2026-01-01T01:00:03Z", "C", "CREATE_FAILED", "Resource creation cancelled"),
            of_part("2026-01-01T01:00:03Z", "A", "CREATE_FAILED", "no such thing"),
            of_stack("2026-01-01T01:00:00Z", "CREATE_IN_PROGRESS", "User Initiated"),
        ]);
        let failed = Failed::of(&told);
        assert_eq!(
            (failed.first.unwrap().logical_resource_id.as_str(), failed.cancelled),
            ("A", 2)
        );
        assert!(failed.others.is_empty());
    }

    #[test]
    fn the_zones_that_are_offered_are_read_from_every_wording() {
        let read = |says: &str| {
            let found = shortage(says).unwrap();
            (found.lacking.join(" "), found.offered.join(" "), found.machine.unwrap_or_default())
        };
        let is = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(
            read(
                "Cannot create cluster 'a' because us-east-1e, the targeted availability zone, does \
                 not currently have sufficient capacity to support the cluster. Retry and choose \
                 from these availability zones: us-east-1a, us-east-1b (Service: AmazonEKS; Status \
                 Code: 400; Error Code: UnsupportedAvailabilityZoneException; Request ID: 1-2-3a)"
            ),
            is("us-east-1e", "us-east-1a us-east-1b", "")
        );
        assert_eq!(
            read(
                "Resource handler returned message: \"Cannot create cluster 'a' because EKS does not \
                 support creating control plane instances in us-east-1e, the targeted availability \
                 zone. Retry cluster creation using control plane subnets that span at least two of \
                 these availability zones: us-east-1a, us-east-1b. Note, post cluster creation\""
            ),
            is("us-east-1e", "us-east-1a us-east-1b", "")
        );
        assert_eq!(
            read(
                "Could not launch On-Demand Instances. InsufficientInstanceCapacity - We currently do \
                 not have sufficient p2.xlarge capacity in the Availability Zone you requested \
                 (us-west-2b). Our system will be working on provisioning additional capacity. You \
                 can currently get p2.xlarge capacity by not specifying an Availability Zone in your \
                 request or choosing us-west-2a, us-west-2c. Launching EC2 instance failed."
            ),
            is("us-west-2b", "us-west-2a us-west-2c", "p2.xlarge")
        );
        assert_eq!(shortage("AccessDenied"), None);
    }

    #[test]
    fn every_conflict_is_read_in_both_formats() {
        let old = "Cannot delete entity, must detach all policies first. (Service: \
                   AmazonIdentityManagement; Status Code: 409; Error Code: DeleteConflict; …)";
        let new = "Resource handler returned message: \"Cannot delete entity, must delete policies \
                   first. (Service: Iam, Status Code: 409, Request ID: 1)\"";
        assert_eq!(conflict(old), Some(Conflict::AttachedPolicies));
        assert_eq!(conflict(new), Some(Conflict::InlinePolicies));
        let profile = "Cannot delete entity, must remove roles from instance profile first.";
        assert_eq!(conflict(profile), Some(Conflict::InstanceProfiles));
        assert_eq!(conflict("Access denied"), None);
    }

    #[test]
    fn what_eksctl_puts_inside_a_role_is_its_own() {
        let inline = ["s-PolicyALBIngress", "s-Extra", "iam_alb_ingress_policy"];
        let inline = inline.map(str::to_owned);
        let parts = json!([{ "LogicalResourceId": "Extra", "PhysicalResourceId": "s-Extr-1",
            "ResourceType": "AWS::IAM::Policy" }]);
        let parts: Vec<_> = serde_json::from_value(parts).unwrap();
        assert_eq!(foreign_inline("s", &parts, &inline), ["iam_alb_ingress_policy"]);
    }
}
