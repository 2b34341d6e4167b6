//! EKS.

use aws_sdk_eks::{Client, types};
use kfcheck::{Cx, Fact, FactError, Fault, Named, Place, Resource};
use serde::Serialize;

use super::{
    Scope, about, fact, found, listed,
    shape::{Words, shape},
};
use crate::client::asked;

shape! {
    /// A cluster of EKS.
    pub struct Cluster of types::Cluster in "camelCase" {
        name: String,
        arn: String,
        status: String,
        version: String,
        endpoint: String,
        role_arn: String,
        health: Option<ClusterHealth>,
        identity: Option<Identity>,
        resources_vpc_config: Option<VpcConfig>,
        kubernetes_network_config: Option<KubernetesNetworkConfig>,
    }

    /// What EKS itself does about the network.
    pub struct KubernetesNetworkConfig of types::KubernetesNetworkConfigResponse in "camelCase" {
        elastic_load_balancing: Option<ElasticLoadBalancing>,
    }

    /// Whether EKS itself makes load balancers.
    pub struct ElasticLoadBalancing of types::ElasticLoadBalancing in "camelCase" {
        enabled: bool,
    }

    /// What is wrong with a cluster.
    pub struct ClusterHealth of types::ClusterHealth in "camelCase" {
        issues: Vec<ClusterIssue>,
    }

    /// One thing that is wrong with a cluster.
    pub struct ClusterIssue of types::ClusterIssue in "camelCase" {
        code: String,
        message: Words,
        resource_ids: Vec<String>,
    }

    /// Who signs the tokens of its service accounts.
    pub struct Identity of types::Identity in "camelCase" {
        oidc: Option<Oidc>,
    }

    /// The issuer of these tokens.
    pub struct Oidc of types::Oidc in "camelCase" {
        issuer: String,
    }

    /// Which network it is in.
    pub struct VpcConfig of types::VpcConfigResponse in "camelCase" {
        vpc_id: String,
        subnet_ids: Vec<String>,
        security_group_ids: Vec<String>,
        cluster_security_group_id: String,
        endpoint_public_access: bool,
        endpoint_private_access: bool,
        public_access_cidrs: Vec<String>,
    }

    /// Machines that EKS keeps.
    pub struct Nodegroup of types::Nodegroup in "camelCase" {
        nodegroup_name: String,
        cluster_name: String,
        status: String,
        node_role: String,
        subnets: Vec<String>,
        health: Option<NodegroupHealth>,
    }

    /// What is wrong with a node group.
    pub struct NodegroupHealth of types::NodegroupHealth in "camelCase" {
        issues: Vec<NodegroupIssue>,
    }

    /// One thing that is wrong with a node group.
    pub struct NodegroupIssue of types::Issue in "camelCase" {
        code: String,
        message: Words,
        resource_ids: Vec<String>,
    }
}

fact! {
    /// The names of the region's clusters.
    ClusterNames, "clusterNames", "eks:ListClusters" => Vec<String>,
    Place::listed("aws/eks/list-clusters", "clusters", [], "aws eks list-clusters"),
    |cx, aws| {
        let client = Client::new(aws.config(cx).await);
        let pages = client.list_clusters().into_paginator().send().collect::<Result<Vec<_>, _>>();
        let pages = asked(cx, "eks list-clusters".to_owned(), Self::NEEDS[0], pages).await?;
        listed(pages, Self::NEEDS[0], |page| page.clusters)
    }
}

fact! {
    /// The cluster of a name, or none where EKS says that it has none.
    Clusters { name }, "cluster", "eks:DescribeCluster" => Vec<Cluster>,
    Place::listed("aws/eks/describe-cluster", "clusters", [("name", name)],
        format!("aws eks describe-cluster --name {name}")),
    |cx, aws| {
        let client = Client::new(aws.config(cx).await);
        let call = found(client.describe_cluster().name(name).send());
        let answer = asked(cx, format!("eks describe-cluster {name}"), Self::NEEDS[0], call).await?;
        let there = answer.map(|answer| about(answer, Self::NEEDS[0], |answer| answer.cluster));
        Ok(there.transpose()?.map(Into::into).into_iter().collect())
    }
}

fact! {
    /// The node groups of a cluster that EKS keeps.
    Nodegroups { cluster }, "nodegroups", "eks:DescribeNodegroup" and "eks:ListNodegroups" => Vec<Nodegroup>,
    Place::listed("aws/eks/describe-nodegroup", "nodegroups", [("clusterName", cluster)],
        format!("aws eks describe-nodegroup --cluster-name {cluster} --nodegroup-name NAME")),
    |cx, aws| {
        let client = Client::new(aws.config(cx).await);
        let pages = client.list_nodegroups().cluster_name(cluster).into_paginator().send();
        let pages = pages.collect::<Result<Vec<_>, _>>();
        let what = format!("eks list-nodegroups {cluster}");
        let pages = asked(cx, what, "eks:ListNodegroups", pages).await?;
        let names = listed(pages, "eks:ListNodegroups", |page| page.nodegroups)?;
        let all = names.iter().map(async |name| {
            let call = client.describe_nodegroup().cluster_name(cluster).nodegroup_name(name);
            let what = format!("eks describe-nodegroup {cluster} {name}");
            asked(cx, what, Self::NEEDS[0], call.send()).await
        });
        let all = futures::future::try_join_all(all).await?;
        let all = all.into_iter().map(|answer| about(answer, Self::NEEDS[0], |answer| answer.nodegroup));
        Ok(all.collect::<Result<Vec<_>, _>>()?.into_iter().map(Into::into).collect())
    }
}

impl Named for Cluster {
    fn resource(&self) -> Resource {
        cluster_resource(&self.name)
    }
}

impl Named for Nodegroup {
    fn resource(&self) -> Resource {
        super::resource("Nodegroup", &format!("{}/{}", self.cluster_name, self.nodegroup_name))
    }
}

/// A cluster's name across layers, be it there or not.
pub(crate) fn cluster_resource(name: &str) -> Resource {
    super::resource("Cluster", name)
}

/// The cluster that is inspected; none where EKS says that there is none of its name.
#[derive(Clone, Serialize)]
pub struct OurCluster;

impl Fact for OurCluster {
    const NAME: &'static str = "aws.ourCluster";
    type Value = Option<Cluster>;

    async fn fetch(&self, cx: &Cx) -> Result<Option<Cluster>, FactError> {
        let scope = cx.get(Scope).await?;
        let name = match scope.cluster.as_str() {
            "" => &only_cluster(cx).await?,
            name => name,
        };
        let found = cx.get(Clusters { name: name.to_owned() }).await?;
        Ok(found.first().cloned())
    }
}

/// The name of the region's only cluster, where nobody says which one.
async fn only_cluster(cx: &Cx) -> Result<String, FactError> {
    let names = cx.get(ClusterNames).await?;
    if let [name] = &names[..] {
        return Ok(name.clone());
    }
    let says = "the context doesn't say which of EKS's clusters it is; name it with --cluster, as \
                `aws eks list-clusters` has it";
    Err(Fault::Unreachable(says.to_owned()).into())
}

/// The network that the cluster is in; nothing where there is no cluster.
#[derive(Clone, Serialize)]
pub struct OurVpc;

impl Fact for OurVpc {
    const NAME: &'static str = "aws.ourVpc";
    type Value = String;

    async fn fetch(&self, cx: &Cx) -> Result<String, FactError> {
        let cluster = cx.get(OurCluster).await?;
        let config = cluster.as_ref().as_ref().and_then(|c| c.resources_vpc_config.as_ref());
        Ok(config.map(|config| config.vpc_id.clone()).unwrap_or_default())
    }
}
