use kfcheck::{Cx, Fact, FactError, Fault, Named, Place, Resource};
use serde::{Deserialize, Serialize};

use super::{Link, compute, named};

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
}

/// The GKE clusters of the project.
#[derive(Clone, Serialize)]
pub struct Clusters;

/// One GKE cluster.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cluster {
    /// Unique at its location.
    pub name: String,
    /// A zone or a region.
    pub location: String,
    /// How pods get their addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_allocation_policy: Option<IpAllocationPolicy>,
}

/// How pods get their addresses.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IpAllocationPolicy {
    /// From the network itself, rather than by routes.
    pub use_ip_aliases: bool,
}

impl Fact for Clusters {
    const NAME: &'static str = "gcp.clusters";
    const NEEDS: &'static [&'static str] = &["container.clusters.list"];
    type Value = Vec<Cluster>;

    fn place(&self) -> Option<Place<Vec<Cluster>>> {
        Some(Place::file("gcp/container/clusters", "gcloud container clusters list --format=json"))
    }
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
        let mut found = clusters.iter().filter(ours);
        match (found.next(), found.next()) {
            (Some(cluster), None) => Ok(cluster.clone()),
            (None, _) => {
                let name = scope.cluster.as_deref().unwrap_or("the cluster");
                Err(Fault::Absent(format!("{name} is not in project {}", scope.project)).into())
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
    Instances, "instances", "instances" => Instance
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
    network_interfaces: Vec<Interface>,
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

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Interface {
    network: Link,
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

named!(Instance);

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
    Subnetworks, "subnetworks", "networks subnets" => Subnetwork
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
    /// Its addresses.
    pub ip_cidr_range: String,
    /// `PRIVATE`, `REGIONAL_MANAGED_PROXY`, …
    pub purpose: String,
}
