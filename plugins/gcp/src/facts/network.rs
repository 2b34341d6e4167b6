//! What leads out of a network: routes, NAT, private DNS.

use google_cloud_compute_v1::client as compute_client;
use google_cloud_dns_v1::client as dns_client;
use kfcheck::{Cx, Fact, FactError, Place, wire};
use kfcheck_kube::null_is_empty;
use serde::{Deserialize, Serialize};

use super::{Link, OurProjects, compute, named};
use crate::client::{Google, convert, fault, unusable};

compute! {
    /// The routes of the networks.
    Routes, "routes", "routes" => Route, OurProjects, listed Routes
}

/// One route.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// The network that it is of.
    pub network: Link,
    /// For which addresses.
    pub dest_range: String,
    /// Among equally long ranges the lowest wins.
    #[serde(deserialize_with = "wire::number", skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// For machines with these tags; none: all.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// `…/gateways/default-internet-gateway`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_hop_gateway: Option<Link>,
    /// Another way: an instance, an address, a tunnel, a load balancer, a peering.
    #[serde(flatten)]
    pub others: std::collections::BTreeMap<String, serde_json::Value>,
}

impl Route {
    /// Whether it leads to the internet, and to Google's APIs, by Google's own gateway.
    pub fn to_internet(&self) -> bool {
        let gateway = self.next_hop_gateway.as_ref();
        gateway.is_some_and(|gateway| gateway.name() == "default-internet-gateway")
    }

    /// Where else it leads.
    pub fn other_hop(&self) -> Option<&str> {
        let hops = self.others.iter().filter(|(name, _)| name.starts_with("nextHop"));
        let text = |value: &'_ serde_json::Value| value.as_str().map(ToOwned::to_owned);
        let hop = hops.filter(|(_, value)| text(value).is_some()).map(|(name, _)| name).next()?;
        hop.strip_prefix("nextHop")
    }
}

compute! {
    /// The Cloud Routers, which carry NAT.
    Routers, "routers", "routers" => Router, OurProjects, aggregated Routers.routers
}

/// One Cloud Router.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Router {
    /// Its name.
    pub name: String,
    /// Itself.
    pub self_link: Link,
    /// The network that it is in.
    pub network: Link,
    /// Where it is.
    pub region: Link,
    /// Its NAT gateways.
    #[serde(deserialize_with = "null_is_empty")]
    pub nats: Vec<Nat>,
}

/// One NAT gateway.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Nat {
    /// Its name.
    pub name: String,
    /// `PUBLIC`, which is the default, or `PRIVATE`, which leads to other networks.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Whose addresses: `ALL_SUBNETWORKS_ALL_IP_RANGES`, `ALL_SUBNETWORKS_ALL_PRIMARY_IP_RANGES`,
    /// `LIST_OF_SUBNETWORKS`.
    pub source_subnetwork_ip_ranges_to_nat: String,
    /// Which subnetworks, where they are listed.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub subnetworks: Vec<NatSubnetwork>,
    /// How many ports a machine gets at least.
    #[serde(deserialize_with = "wire::number", skip_serializing_if = "Option::is_none")]
    pub min_ports_per_vm: Option<u32>,
}

/// Which addresses of a subnetwork a NAT gateway serves.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NatSubnetwork {
    /// The subnetwork.
    pub name: Link,
    /// `ALL_IP_RANGES`, `PRIMARY_IP_RANGE`, `LIST_OF_SECONDARY_IP_RANGES`.
    #[serde(deserialize_with = "null_is_empty")]
    pub source_ip_ranges_to_nat: Vec<String>,
    /// Which secondary ranges, by name.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub secondary_ip_range_names: Vec<String>,
}

named!(Route, Router, ManagedZone);

/// How a Cloud Router goes.
#[derive(Clone, Serialize)]
pub struct RouterStatus {
    /// The project that it is in.
    pub project: String,
    /// Where it is.
    pub region: String,
    /// Its name.
    pub router: String,
}

/// How a Cloud Router goes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RouterState {
    /// The state itself.
    pub result: RouterResult,
}

/// How a Cloud Router goes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouterResult {
    /// Its NAT gateways.
    #[serde(deserialize_with = "null_is_empty")]
    pub nat_status: Vec<NatStatus>,
}

/// How a NAT gateway goes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NatStatus {
    /// Its name.
    pub name: String,
    /// How many addresses it lacks, by its own account.
    #[serde(deserialize_with = "wire::number", skip_serializing_if = "Option::is_none")]
    pub min_extra_nat_ips_needed: Option<u32>,
    /// The addresses that it took itself.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub auto_allocated_nat_ips: Vec<String>,
    /// The addresses that it was given.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub user_allocated_nat_ips: Vec<String>,
}

impl Fact for RouterStatus {
    const NAME: &'static str = "gcp.routerStatus";
    const NEEDS: &'static [&'static str] = &["compute.routers.get"];
    type Value = RouterState;

    fn place(&self) -> Option<Place<RouterState>> {
        let Self { project, region, router } = self;
        let command = format!(
            "gcloud compute routers get-status {router} --region {region} --project {project} \
             --format=json"
        );
        let name = format!("{region}/{router}");
        Some(Place::entry("gcp/compute/routerStatus", &name, command))
    }

    async fn fetch(&self, cx: &Cx) -> Result<RouterState, FactError> {
        let Self { project, region, router } = self;
        let google = cx.client::<Google>()?;
        let builder = compute_client::Routers::builder();
        let client = google.set_up("compute", builder).await?.build().await.map_err(unusable)?;
        let request = client.get_router_status().set_project(project).set_region(region);
        let request = request.set_router(router);
        let what = format!("compute.routers.getRouterStatus {region}/{router}");
        let asked = async {
            let answer = request.send().await;
            answer.map_err(|e| fault(&e, "compute", project, Self::NEEDS[0]))
        };
        Ok(convert(cx.call(what.clone(), asked).await?, &what)?)
    }
}

/// The DNS zones of the projects.
#[derive(Clone, Serialize)]
pub struct ManagedZones;

/// One DNS zone.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ManagedZone {
    /// Its name in the project.
    pub name: String,
    /// What it is for, with a dot at the end: `gcr.io.`.
    pub dns_name: String,
    /// `public` or `private`.
    pub visibility: String,
    /// Who sees a private one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_visibility_config: Option<ZoneVisibility>,
    /// Other zones answer, in another network or on other servers.
    #[serde(flatten)]
    pub others: std::collections::BTreeMap<String, serde_json::Value>,
}

/// Who sees a private zone.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ZoneVisibility {
    /// The networks.
    #[serde(deserialize_with = "null_is_empty")]
    pub networks: Vec<ZoneNetwork>,
}

/// A network that sees a private zone.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ZoneNetwork {
    /// The network.
    pub network_url: Link,
}

impl ManagedZone {
    /// Whether its answers are others', so that its records say nothing.
    pub fn is_forwarded(&self) -> bool {
        let set = |name: &str| self.others.get(name).is_some_and(|value| !value.is_null());
        set("forwardingConfig") || set("peeringConfig")
    }
}

impl Fact for ManagedZones {
    const NAME: &'static str = "gcp.managedZones";
    const NEEDS: &'static [&'static str] = &["dns.managedZones.list"];
    type Value = Vec<ManagedZone>;

    fn place(&self) -> Option<Place<Vec<ManagedZone>>> {
        let command = "gcloud dns managed-zones list --format=json";
        Some(Place::file("gcp/dns/managedZones", command))
    }

    async fn fetch(&self, cx: &Cx) -> Result<Vec<ManagedZone>, FactError> {
        let google = cx.client::<Google>()?;
        let builder = dns_client::ManagedZones::builder();
        let mut all = Vec::new();
        let projects = cx.get(OurProjects).await?;
        let client = google.set_up("dns", builder).await?.build().await.map_err(unusable)?;
        for project in projects.iter() {
            let what = format!("dns.managedZones.list {project}");
            let mut token = String::new();
            loop {
                let request = client.list().set_project(project).set_page_token(token);
                let asked = async {
                    let answer = request.send().await;
                    answer.map_err(|e| fault(&e, "dns", project, Self::NEEDS[0]))
                };
                let page = cx.call(what.clone(), asked).await?;
                for zone in page.managed_zones {
                    all.push(convert(zone, &what)?);
                }
                token = page.next_page_token.unwrap_or_default();
                if token.is_empty() {
                    break;
                }
            }
        }
        Ok(all)
    }
}

/// The records of a DNS zone.
#[derive(Clone, Serialize)]
pub struct RecordSets {
    /// The project that the zone is in.
    pub project: String,
    /// The zone.
    pub zone: String,
}

/// The records of a name, of one type.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordSet {
    /// The name, with a dot at the end.
    pub name: String,
    /// `A`, `CNAME`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// The records.
    #[serde(deserialize_with = "null_is_empty")]
    pub rrdatas: Vec<String>,
}

impl Fact for RecordSets {
    const NAME: &'static str = "gcp.recordSets";
    const NEEDS: &'static [&'static str] = &["dns.resourceRecordSets.list"];
    type Value = Vec<RecordSet>;

    fn place(&self) -> Option<Place<Vec<RecordSet>>> {
        let Self { project, zone } = self;
        let command =
            format!("gcloud dns record-sets list --zone {zone} --project {project} --format=json");
        Some(Place::entry("gcp/dns/resourceRecordSets", zone, command))
    }

    async fn fetch(&self, cx: &Cx) -> Result<Vec<RecordSet>, FactError> {
        let Self { project, zone } = self;
        let google = cx.client::<Google>()?;
        let builder = dns_client::ResourceRecordSets::builder();
        let client = google.set_up("dns", builder).await?.build().await.map_err(unusable)?;
        let what = format!("dns.resourceRecordSets.list {project}/{zone}");
        let (mut all, mut token) = (Vec::new(), String::new());
        loop {
            let request = client.list().set_project(project).set_managed_zone(zone);
            let request = request.set_page_token(token);
            let asked = async {
                let answer = request.send().await;
                answer.map_err(|e| fault(&e, "dns", project, Self::NEEDS[0]))
            };
            let page = cx.call(what.clone(), asked).await?;
            for records in page.rrsets {
                all.push(convert(records, &what)?);
            }
            token = page.next_page_token.unwrap_or_default();
            if token.is_empty() {
                return Ok(all);
            }
        }
    }
}
