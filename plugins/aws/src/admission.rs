//! Whom security groups let in.

use std::{collections::BTreeMap, sync::Arc};

use ipnet::Ipv4Net;
use kfcheck::{Cx, FactError};

use crate::{
    OurCluster, OurVpc, Permission, Scope, SecurityGroup, SecurityGroups, Subnets, shape::tag,
};

/// The security groups of the cluster's network, and the addresses of its subnets.
pub(crate) struct Network {
    groups: Arc<Vec<SecurityGroup>>,
    subnets: BTreeMap<String, Ipv4Net>,
}

/// Who connects to a machine: the groups of a load balancer, and the addresses that it may have.
pub(crate) struct Source {
    pub(crate) groups: Vec<String>,
    /// Nothing where they aren't known.
    ranges: Vec<Ipv4Net>,
}

impl Network {
    pub(crate) async fn of(cx: &Cx) -> Result<Self, FactError> {
        let vpc = (*cx.get(OurVpc).await?).clone();
        let groups = cx.get(SecurityGroups { vpc: vpc.clone() }).await?;
        // Without them, a rule for addresses may be for any.
        let subnets = cx.get(Subnets { vpc }).await;
        let subnets = subnets
            .iter()
            .flat_map(|all| all.iter())
            .filter_map(|subnet| Some((subnet.subnet_id.clone(), subnet.cidr_block.parse().ok()?)));
        Ok(Self { subnets: subnets.collect(), groups })
    }

    /// A load balancer in these subnets, with these groups.
    pub(crate) fn source<'a>(
        &self,
        groups: &[String],
        subnets: impl Iterator<Item = &'a str>,
    ) -> Source {
        let ranges: Option<Vec<_>> = subnets.map(|id| self.subnets.get(id).copied()).collect();
        let mut groups = groups.to_vec();
        // The controller's rules for targets name the group that it shares among load balancers.
        groups.sort_by_key(|id| !self.groups.iter().any(|g| g.group_id == *id && is_shared(g)));
        Source { groups, ranges: ranges.unwrap_or_default() }
    }

    /// The groups of these ids, where all of them are here.
    pub(crate) fn groups<'a>(
        &self,
        ids: impl Iterator<Item = &'a str>,
    ) -> Option<Vec<&SecurityGroup>> {
        let find = |id| self.groups.iter().find(|group| group.group_id == id);
        let found: Vec<_> = ids.map(find).collect::<Option<_>>()?;
        (!found.is_empty()).then_some(found)
    }
}

/// Whether a group is the one that the controller gives all its load balancers for what is behind
/// them (AWS Load Balancer Controller documentation, "Security groups for load balancers").
fn is_shared(group: &SecurityGroup) -> bool {
    tag(&group.tags, "elbv2.k8s.aws/resource") == Some("backend-sg")
        || group.group_name.starts_with("k8s-traffic-")
}

/// Whether one of the groups lets anybody at all in.
pub(crate) fn admits_anybody(groups: &[&SecurityGroup], port: u16) -> bool {
    let permissions = groups.iter().flat_map(|group| &group.ip_permissions);
    permissions.filter(|permission| permission.is_for(port)).any(|permission| {
        !permission.ip_ranges.is_empty()
            || !permission.ipv6_ranges.is_empty()
            || !permission.user_id_group_pairs.is_empty()
            || !permission.prefix_list_ids.is_empty()
    })
}

/// Whether one of a machine's groups lets the source in, or may.
pub(crate) fn admits(groups: &[&SecurityGroup], source: &Source, port: u16) -> bool {
    let permissions = groups.iter().flat_map(|group| &group.ip_permissions);
    permissions.filter(|permission| permission.is_for(port)).any(|permission| {
        let by_group = |pair: &crate::GroupPair| source.groups.contains(&pair.group_id);
        // What is on a list isn't known.
        permission.user_id_group_pairs.iter().any(by_group)
            || !permission.prefix_list_ids.is_empty()
            || permission.ip_ranges.iter().any(|range| source.is_in(&range.cidr_ip))
    })
}

impl Source {
    fn is_in(&self, range: &str) -> bool {
        let Ok(range) = range.parse::<Ipv4Net>() else { return true };
        let meets = |own: &Ipv4Net| range.contains(own) || own.contains(&range);
        self.ranges.is_empty() || self.ranges.iter().any(meets)
    }

    /// The flag that lets it in: by its group, or by its addresses.
    pub(crate) fn flag(&self) -> Option<String> {
        let by_range = || self.ranges.first().map(|range| format!("--cidr {range}"));
        let by_group = self.groups.first().map(|group| format!("--source-group {group}"));
        by_group.or_else(by_range)
    }
}

impl Permission {
    fn is_for(&self, port: u16) -> bool {
        let port = i32::from(port);
        match self.ip_protocol.as_str() {
            "-1" => true,
            "tcp" | "6" => {
                self.from_port.is_none_or(|from| from <= port)
                    && self.to_port.is_none_or(|to| port <= to)
            }
            _ => false,
        }
    }
}

/// The cluster's name, as its machines and groups are tagged.
pub(crate) async fn cluster_name(cx: &Cx) -> Result<String, FactError> {
    let scope = cx.get(Scope).await?;
    if !scope.cluster.is_empty() {
        return Ok(scope.cluster.clone());
    }
    let ours = cx.get(OurCluster).await?;
    Ok(ours.as_ref().as_ref().map(|cluster| cluster.name.clone()).unwrap_or_default())
}

/// Of a machine's groups, the one that Kubernetes adds rules to: the one tagged for the cluster, or
/// else the first.
pub(crate) fn ours<'a>(groups: &[&'a SecurityGroup], cluster: &str) -> Option<&'a SecurityGroup> {
    let key = format!("kubernetes.io/cluster/{cluster}");
    let tagged = groups.iter().find(|group| group.tags.iter().any(|tag| tag.key == key));
    tagged.or(groups.first()).copied()
}
