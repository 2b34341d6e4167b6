use jiff::Timestamp;
use kfcheck::{Cx, Fact, FactError, Fault, Named, Place, Resource};
use kfcheck_kube::null_is_empty;
use serde::{Deserialize, Serialize};

use super::{
    AuthorizedNetworks, Autopilot, ControlPlaneEndpointsConfig, IpAllocationPolicy, Link,
    NetworkConfig, NodePool, PrivateClusterConfig, StatusCondition, compute, container, named,
    wire::{time, words},
};
use crate::client::{Google, GoogleAccess, GoogleCredentials};

/// The project and the cluster in it.
#[derive(Clone, Serialize)]
pub struct Scope;

/// Where the cluster is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Location {
    /// The project that the cluster is in.
    pub project: String,
    /// The project that its network is in, where that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_project: Option<String>,
    /// A zone or a region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The cluster's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
}

impl Fact for Scope {
    const NAME: &'static str = "gcp.scope";
    type Value = Location;

    fn place(&self) -> Option<Place<Location>> {
        Some(Place::entry("bundle", "gcp", "gcloud config list"))
    }

    async fn fetch(&self, cx: &Cx) -> Result<Location, FactError> {
        let access = cx.client::<Google>()?.access.clone();
        let GoogleAccess { project, network_project, location, cluster, .. } = access;
        let chosen = cx.get(kfcheck_kube::Context).await.map(|chosen| (*chosen).clone());
        let chosen = chosen.unwrap_or_default();
        let names = [&chosen.cluster, &chosen.context];
        let guessed = names.into_iter().flatten().find_map(|name| Location::named(name));
        let guessed = guessed.unwrap_or_default();
        // One of the kubeconfig's is GKE's only if it is called so.
        let cluster = cluster.filter(|name| chosen.cluster.as_ref() != Some(name));
        let mut here = Location {
            project: project.unwrap_or(guessed.project),
            network_project,
            location: location.or(guessed.location),
            cluster: cluster.or(guessed.cluster),
        };
        if here.project.is_empty() {
            here.project = project_of_nodes(cx).await?;
        }
        Ok(here)
    }
}

impl Location {
    /// What `gcloud container clusters get-credentials` calls a context:
    /// `gke_PROJECT_LOCATION_CLUSTER`.
    fn named(context: &str) -> Option<Self> {
        let mut parts = context.strip_prefix("gke_")?.splitn(3, '_');
        Some(Self {
            project: parts.next()?.to_owned(),
            network_project: None,
            location: Some(parts.next()?.to_owned()),
            cluster: Some(parts.next()?.to_owned()),
        })
    }
}

/// The project whose machines the nodes are, as `gce://PROJECT/ZONE/INSTANCE` says.
async fn project_of_nodes(cx: &Cx) -> Result<String, FactError> {
    let nodes = cx.get(kfcheck_kube::all::<kfcheck_kube::Node>()).await?;
    let said = nodes.iter().filter_map(|node| {
        node.spec.provider_id.as_deref()?.strip_prefix("gce://")?.split('/').next()
    });
    said.map(str::to_owned).next().ok_or_else(|| {
        let says = "neither the context nor the nodes say which Google Cloud project the cluster \
                    is in; name it with --project";
        Fault::Unreachable(says.to_owned()).into()
    })
}

/// The project that the cluster is in, once there are credentials for it.
#[derive(Clone, Serialize)]
pub struct OurProject;

impl Fact for OurProject {
    const NAME: &'static str = "gcp.ourProject";
    type Value = Vec<String>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<String>, FactError> {
        cx.get(GoogleCredentials).await?;
        Ok(vec![cx.get(Scope).await?.project.clone()])
    }
}

/// The project that the cluster is in, and the one that its network is in.
#[derive(Clone, Serialize)]
pub struct OurProjects;

impl Fact for OurProjects {
    const NAME: &'static str = "gcp.ourProjects";
    type Value = Vec<String>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<String>, FactError> {
        let mut projects = cx.get(OurProject).await?.to_vec();
        let network = match cx.get(Scope).await?.network_project.clone() {
            Some(project) => Some(project),
            None => network_project(cx).await?,
        };
        let is_other = |project: &String| !project.is_empty() && !projects.contains(project);
        let other: Vec<_> = network.into_iter().filter(is_other).collect();
        projects.extend(other);
        Ok(projects)
    }
}

/// The project of the cluster's network, or else of the machines' networks.
async fn network_project(cx: &Cx) -> Result<Option<String>, FactError> {
    if let Ok(cluster) = cx.get(OurCluster).await
        && let link = &cluster.network_config.network
        && !link.project().is_empty()
    {
        return Ok(Some(link.project().to_owned()));
    }
    let nodes = cx.get(kfcheck_kube::all::<kfcheck_kube::Node>()).await?;
    let instances = cx.get(Instances).await?;
    let ours = |instance: &&Instance| nodes.iter().any(|node| node.metadata.name == instance.name);
    Ok(instances.iter().filter(ours).find_map(Instance::network).map(|network| network.project))
}

container! {
    /// The GKE clusters of the project.
    Clusters, "clusters" => Cluster, list_clusters.clusters
}

/// One GKE cluster.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cluster {
    /// Unique at its location.
    pub name: String,
    /// A zone or a region.
    pub location: String,
    /// Itself.
    #[serde(skip_serializing_if = "Link::is_empty")]
    pub self_link: Link,
    /// `RUNNING`, `PROVISIONING`, `ERROR`, …
    #[serde(deserialize_with = "cluster_status", skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// Why it is not as it should be.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "String::is_empty")]
    pub status_message: String,
    /// The same, one by one.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<StatusCondition>,
    /// Since when it is there.
    #[serde(deserialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub create_time: Option<Timestamp>,
    /// The name of its network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// The name of the part of it that the nodes are in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnetwork: Option<String>,
    /// The addresses of its pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_ipv4_cidr: Option<String>,
    /// The addresses of its Services.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub services_ipv4_cidr: Option<String>,
    /// How pods get their addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_allocation_policy: Option<IpAllocationPolicy>,
    /// What of it has no public address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_cluster_config: Option<PrivateClusterConfig>,
    /// Where its API server can be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control_plane_endpoints_config: Option<ControlPlaneEndpointsConfig>,
    /// Whose calls its API server answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master_authorized_networks_config: Option<AuthorizedNetworks>,
    /// Whether Google keeps its nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autopilot: Option<Autopilot>,
    /// Its nodes.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub node_pools: Vec<NodePool>,
    /// Where its API server is.
    #[serde(deserialize_with = "null_is_empty")]
    pub endpoint: String,
    /// Which network it is in.
    #[serde(deserialize_with = "null_is_empty")]
    pub network_config: NetworkConfig,
}

words! {
    cluster_status: google_cloud_container_v1::model::cluster::Status,
}

named!(Cluster);

/// The GKE cluster that is inspected.
#[derive(Clone, Serialize)]
pub struct OurCluster;

impl Fact for OurCluster {
    const NAME: &'static str = "gcp.cluster";
    type Value = Cluster;

    async fn fetch(&self, cx: &Cx) -> Result<Cluster, FactError> {
        let clusters = cx.get(Clusters).await?;
        let scope = cx.get(Scope).await?;
        let ours = |cluster: &&Cluster| {
            let named = scope.cluster.as_ref().is_none_or(|name| *name == cluster.name);
            named && scope.location.as_ref().is_none_or(|location| *location == cluster.location)
        };
        let mut found: Vec<_> = clusters.iter().filter(ours).collect();
        if found.len() > 1
            && let Ok(chosen) = cx.get(kfcheck_kube::Context).await
        {
            let is_it = |cluster: &&Cluster| {
                !cluster.endpoint.is_empty() && chosen.server.contains(&cluster.endpoint)
            };
            let same: Vec<_> = found.iter().copied().filter(is_it).collect();
            if !same.is_empty() {
                found = same;
            }
        }
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (Some(cluster), None) => Ok(cluster.clone()),
            (None, _) => {
                let Location { project, location, cluster, .. } = &*scope;
                let name = cluster.as_deref().unwrap_or("the cluster");
                let at = location.iter().map(|location| format!(" at {location}"));
                let at = at.collect::<String>();
                let says = format!(
                    "{name}{at} is not among the clusters of project {project}; say where it is \
                     with --project, --location and --cluster"
                );
                Err(Fault::Unreachable(says).into())
            }
            (Some(_), Some(_)) => {
                let detail = format!(
                    "project {} has several clusters; say which one with --cluster and --location",
                    scope.project
                );
                Err(Fault::Unreachable(detail).into())
            }
        }
    }
}

compute! {
    /// The project's machines.
    Instances, "instances", "instances" => Instance, OurProject, aggregated Instances.instances
}

/// One machine.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Instance {
    /// What the cluster calls the node, too.
    pub name: String,
    /// Itself.
    pub self_link: Link,
    tags: Tags,
    service_accounts: Vec<ServiceAccount>,
    /// Its links to networks; the first is the one that nodes use.
    pub network_interfaces: Vec<Interface>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Tags {
    items: Vec<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct ServiceAccount {
    email: String,
}

/// A machine's link to a network.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Interface {
    /// The network.
    pub network: Link,
    /// The part of it.
    #[serde(skip_serializing_if = "Link::is_empty")]
    pub subnetwork: Link,
    /// The address there.
    #[serde(rename = "networkIP", skip_serializing_if = "String::is_empty")]
    pub network_ip: String,
}

impl Instance {
    /// What firewall rules may be aimed at.
    pub fn tags(&self) -> &[String] {
        &self.tags.items
    }

    /// What else firewall rules may be aimed at.
    pub fn service_accounts(&self) -> impl Iterator<Item = &str> {
        self.service_accounts.iter().map(|account| account.email.as_str())
    }

    /// The network it is in.
    pub fn network(&self) -> Option<Network> {
        let link = &self.network_interfaces.first()?.network;
        Some(Network::of(link, self.self_link.project()))
    }
}

named!(Instance, Subnetwork);

/// A network, maybe another project's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    /// The project that it belongs to.
    pub project: String,
    /// Its name there.
    pub name: String,
    /// It isn't the cluster's own project.
    pub shared: bool,
}

impl Network {
    /// The network that a link of `project` refers to.
    pub fn of(link: &Link, project: &str) -> Self {
        let owner = match link.project() {
            "" => project,
            owner => owner,
        };
        Self { shared: owner != project, name: link.name().to_owned(), project: owner.to_owned() }
    }
}

impl Named for Network {
    fn resource(&self) -> Resource {
        let namespace = self.shared.then(|| self.project.clone());
        Resource { provider: "gcp", kind: "Network", namespace, name: self.name.clone() }
    }
}

compute! {
    /// The parts of the networks.
    Subnetworks, "subnetworks", "networks subnets" => Subnetwork, OurProjects, aggregated Subnetworks.subnetworks
}

/// A range of addresses beside a subnetwork's own.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecondaryRange {
    /// Its name.
    pub range_name: String,
    /// Its addresses.
    pub ip_cidr_range: String,
}

/// One part of a network.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Subnetwork {
    /// Its name.
    pub name: String,
    /// The whole.
    pub network: Link,
    /// Where it is.
    pub region: Link,
    /// Itself.
    #[serde(skip_serializing_if = "Link::is_empty")]
    pub self_link: Link,
    /// Its addresses.
    pub ip_cidr_range: String,
    /// Ranges beside its own: of pods and Services.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub secondary_ip_ranges: Vec<SecondaryRange>,
    /// Whether machines without an address on the internet reach Google's APIs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_ip_google_access: Option<bool>,
    /// `PRIVATE`, `REGIONAL_MANAGED_PROXY`, …
    pub purpose: String,
}
