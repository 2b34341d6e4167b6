//! What a cluster left behind, as far as it decides what may be deleted.

use std::collections::{BTreeMap, BTreeSet};

use kfcheck::{Cx, FactError, Fault};

use super::{
    facts::{BalancersIn, ClassicsIn, GroupNamed, Importers, StackTemplates, TaggedBalancer},
    owned::{Owned, Stood},
};
use crate::{
    AttachedRolePolicies, CallerIdentity, ClassicLoadBalancer, ClusterNames, Clusters, Document,
    NetworkInterface, NetworkInterfaces, RoleInstanceProfiles, RolePolicies, RolePolicyNames,
    Roles, Scope, SecurityGroup, SecurityGroups, Stack, StackResource, StackResources, Stacks, Tag,
    facts::role_name,
};

/// All of it was read: what could not be is an error, and then there is no estate.
#[derive(Clone, Debug, Default)]
pub struct Estate {
    /// The account's number.
    pub account_id: String,
    /// For example `us-west-2`.
    pub region: String,
    /// Who asks, as an ARN.
    pub caller: String,
    /// The cluster's name, as eksctl's tags have it.
    pub cluster: String,
    /// The clusters that EKS has, of those that the stacks are about: the one of the tags, and those
    /// that their own parts name.
    pub living: BTreeSet<String>,
    /// The stacks that bear the cluster's tag.
    pub stacks: Vec<StackLeft>,
    /// The cluster's network, where its stacks tell which it is.
    pub network: Option<NetworkLeft>,
}

/// A stack, and what may keep it.
#[derive(Clone, Debug, Default)]
pub struct StackLeft {
    /// The stack.
    pub stack: Stack,
    /// Its parts.
    pub parts: Vec<StackResource>,
    /// Its roles that are there.
    pub roles: Vec<RoleLeft>,
    /// The stacks that import what it exports.
    pub importers: BTreeSet<String>,
    /// Whether the role that CloudFormation is to work with is there; it is where there is none.
    pub has_service_role: bool,
}

/// A role of a stack, and what is on it.
#[derive(Clone, Debug, Default)]
pub struct RoleLeft {
    /// Its name.
    pub name: String,
    /// What the template calls it.
    pub logical_id: String,
    /// The policies inside it.
    pub inline: Vec<(String, Document)>,
    /// The ARNs of the policies that it refers to.
    pub attached: Vec<String>,
    /// The instance profiles that it is in.
    pub profiles: Vec<String>,
    /// What of that is the stack's own. Nothing where its template can't be read.
    pub owned: Option<Owned>,
}

/// What is in the network.
#[derive(Clone, Debug, Default)]
pub struct NetworkLeft {
    /// Its id.
    pub vpc: String,
    /// Whether one of the stacks made it.
    pub is_ours: bool,
    /// Its security groups.
    pub groups: Vec<SecurityGroup>,
    /// Its interfaces.
    pub interfaces: Vec<NetworkInterface>,
    /// Its application and network load balancers.
    pub balancers: Vec<TaggedBalancer>,
    /// Its classic load balancers.
    pub classics: Vec<(ClassicLoadBalancer, Vec<Tag>)>,
}

impl Estate {
    /// Reads it. It fails where anything that decides can't be read, and where EKS doesn't say itself
    /// which clusters there are.
    pub async fn survey(cx: &Cx, cluster: &str) -> Result<Self, FactError> {
        let scope = cx.get(Scope).await?;
        let caller = cx.get(CallerIdentity).await?;
        let all = cx.get(Stacks).await?;
        let ours = all.iter().filter(|stack| {
            stack.eksctl_cluster() == Some(cluster) && stack.stack_status != "DELETE_COMPLETE"
        });
        let mut stacks = Vec::new();
        for stack in ours {
            stacks.push(StackLeft::survey(cx, stack).await?);
        }
        let mut living = BTreeSet::new();
        let named = stacks.iter().flat_map(StackLeft::clusters).map(str::to_owned);
        let names: BTreeSet<_> = named.chain([cluster.to_owned()]).collect();
        for name in names {
            if is_there(cx, &name).await? {
                living.insert(name);
            }
        }
        let network = NetworkLeft::survey(cx, &stacks).await?;
        Ok(Self {
            account_id: caller.account.clone(),
            region: scope.region.clone(),
            caller: caller.arn.clone(),
            cluster: cluster.to_owned(),
            living,
            stacks,
            network,
        })
    }

    /// What the stacks made, by its id.
    pub(crate) fn made(&self) -> BTreeMap<&str, &str> {
        let parts = self.stacks.iter().flat_map(|left| {
            left.parts.iter().map(move |part| (&*part.physical_resource_id, left.name()))
        });
        parts.filter(|(id, _)| !id.is_empty()).collect()
    }
}

/// Whether EKS has a cluster of this name; only its own word that it has none is a no.
async fn is_there(cx: &Cx, name: &str) -> Result<bool, FactError> {
    let listed = cx.get(ClusterNames).await?.iter().any(|known| known == name);
    let described = !cx.get(Clusters { name: name.to_owned() }).await?.is_empty();
    if listed != described {
        let says = format!(
            "EKS lists cluster {name} and does not describe it, or the other way round; try again \
             when it agrees with itself"
        );
        return Err(Fault::Unreachable(says).into());
    }
    Ok(listed)
}

impl StackLeft {
    async fn survey(cx: &Cx, stack: &Stack) -> Result<Self, FactError> {
        let parts = cx.get(StackResources { stack: stack.stack_name.clone() }).await?.to_vec();
        let template = cx.get(StackTemplates { stack: stack.stack_id.clone() }).await?;
        let mut roles = Vec::new();
        for part in parts.iter().filter(|part| {
            part.resource_type == "AWS::IAM::Role"
                && part.resource_status != "DELETE_COMPLETE"
                && !part.physical_resource_id.is_empty()
        }) {
            let stood = Stood { stack: &stack.stack_name, id: &stack.stack_id };
            let owned = template.as_ref().as_ref();
            let owned = owned.map(|all| Owned::of(all, &parts, &part.logical_resource_id, &stood));
            roles.extend(RoleLeft::survey(cx, part, owned).await?);
        }
        let mut importers = BTreeSet::new();
        for output in stack.outputs.iter().filter(|output| !output.export_name.is_empty()) {
            let export = output.export_name.clone();
            importers.extend(cx.get(Importers { export }).await?.iter().cloned());
        }
        let has_service_role = match stack.role_arn.as_str() {
            "" => true,
            arn => !cx.get(Roles { name: role_name(arn).to_owned() }).await?.is_empty(),
        };
        Ok(Self { stack: stack.clone(), parts, roles, importers, has_service_role })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.stack.stack_name
    }

    /// The parts that are there.
    pub(crate) fn standing(&self) -> impl Iterator<Item = &StackResource> {
        self.parts.iter().filter(|part| part.resource_status != "DELETE_COMPLETE")
    }

    /// Whether it has a part of this type that is there.
    pub(crate) fn has(&self, resource_type: &str) -> bool {
        self.standing().any(|part| part.resource_type == resource_type)
    }

    /// The clusters that it made, or made something for.
    fn clusters(&self) -> impl Iterator<Item = &str> {
        let kinds = ["AWS::EKS::Cluster", "AWS::EKS::Nodegroup", "AWS::EKS::Addon"];
        let of_cluster = move |part: &&StackResource| kinds.contains(&part.resource_type.as_str());
        let standing = self.parts.iter().filter(|part| part.resource_status != "DELETE_COMPLETE");
        // CLUSTER/NODEGROUP, CLUSTER|ADDON
        standing
            .filter(of_cluster)
            .filter_map(|part| part.physical_resource_id.split(['/', '|']).next())
            .filter(|name| !name.is_empty())
    }
}

impl RoleLeft {
    async fn survey(
        cx: &Cx,
        part: &StackResource,
        owned: Option<Owned>,
    ) -> Result<Option<Self>, FactError> {
        let name = part.physical_resource_id.clone();
        if cx.get(Roles { name: name.clone() }).await?.is_empty() {
            return Ok(None);
        }
        let role = name.clone();
        let names = cx.get(RolePolicyNames { role: role.clone() }).await?;
        let mut inline = Vec::new();
        for policy in &names.policy_names {
            let asked = RolePolicies { role: role.clone(), policy: policy.clone() };
            match cx.get(asked).await {
                Ok(found) => inline.push((policy.clone(), found.policy_document.clone())),
                // Lists show for a while what is gone.
                Err(FactError { fault: Fault::Absent(_), .. }) => (),
                Err(error) => return Err(error),
            }
        }
        let attached = cx.get(AttachedRolePolicies { role: role.clone() }).await?;
        let attached = attached.attached_policies.iter().map(|p| p.policy_arn.clone()).collect();
        let profiles = cx.get(RoleInstanceProfiles { role }).await?;
        let profiles =
            profiles.instance_profiles.iter().map(|p| p.instance_profile_name.clone()).collect();
        let logical_id = part.logical_resource_id.clone();
        Ok(Some(Self { name, logical_id, inline, attached, profiles, owned }))
    }
}

impl NetworkLeft {
    async fn survey(cx: &Cx, stacks: &[StackLeft]) -> Result<Option<Self>, FactError> {
        let parts = || stacks.iter().flat_map(StackLeft::standing);
        let made = parts().find(|part| part.resource_type == "AWS::EC2::VPC");
        let made = made.map(|part| part.physical_resource_id.clone()).filter(|id| !id.is_empty());
        let is_ours = made.is_some();
        let mut vpc = made;
        for part in parts().filter(|part| part.resource_type == "AWS::EC2::SecurityGroup") {
            if vpc.is_some() {
                break;
            }
            let group = cx.get(GroupNamed { id: part.physical_resource_id.clone() }).await?;
            vpc = group.as_ref().as_ref().map(|group| group.vpc_id.clone());
        }
        let Some(vpc) = vpc.filter(|vpc| !vpc.is_empty()) else { return Ok(None) };
        Ok(Some(Self {
            groups: cx.get(SecurityGroups { vpc: vpc.clone() }).await?.to_vec(),
            interfaces: cx.get(NetworkInterfaces { vpc: vpc.clone() }).await?.to_vec(),
            balancers: cx.get(BalancersIn { vpc: vpc.clone() }).await?.to_vec(),
            classics: cx.get(ClassicsIn { vpc: vpc.clone() }).await?.to_vec(),
            is_ours,
            vpc,
        }))
    }
}
