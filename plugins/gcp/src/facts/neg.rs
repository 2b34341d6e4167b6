use std::collections::BTreeMap;

use google_cloud_compute_v1::{client, model::NetworkEndpointGroupsListEndpointsRequest};
use google_cloud_gax::options::RequestOptionsBuilder;
use kfcheck::{Cx, Fact, FactError, Place, wire};
use kfcheck_kube::{Port, Service};
use serde::{Deserialize, Serialize};

use super::{Link, compute, named};
use crate::client::{Google, convert, fault, unusable};

compute! {
    /// The project's network endpoint groups.
    NetworkEndpointGroups, "networkEndpointGroups", "network-endpoint-groups"
        => NetworkEndpointGroup, OurProject, aggregated NetworkEndpointGroups.network_endpoint_groups
}

/// One network endpoint group, in one zone.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkEndpointGroup {
    /// Shared with its twins in other zones.
    pub name: String,
    /// Itself.
    pub self_link: Link,
    /// Where it is.
    pub zone: Link,
    /// How many endpoints it has.
    #[serde(deserialize_with = "wire::number", skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
}

/// The endpoints of a network endpoint group, those of its twins in other zones included.
#[derive(Clone, Serialize)]
pub struct NetworkEndpoints {
    /// Its name.
    pub group: String,
    /// Where one of them is.
    pub zone: String,
}

/// One endpoint.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkEndpointEntry {
    /// Where requests go.
    pub network_endpoint: NetworkEndpoint,
}

/// Where requests go.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkEndpoint {
    /// A pod's address.
    pub ip_address: String,
    /// Its port.
    #[serde(deserialize_with = "wire::number", skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

impl NetworkEndpoints {
    async fn of_zone(
        &self,
        cx: &Cx,
        project: &str,
        zone: &Link,
    ) -> Result<Vec<NetworkEndpointEntry>, FactError> {
        let google = cx.client::<Google>()?;
        let builder = client::NetworkEndpointGroups::builder();
        let client = google.set_up("compute", builder).await?.build().await.map_err(unusable)?;
        let (group, zone) = (&self.group, zone.name());
        let what = format!("compute.networkEndpointGroups.listNetworkEndpoints {zone}/{group}");
        let (mut all, mut token) = (Vec::new(), String::new());
        loop {
            let request = client.list_network_endpoints().set_project(project).set_zone(zone);
            let request = request.set_network_endpoint_group(group).set_page_token(token);
            let request = request
                .set_body(NetworkEndpointGroupsListEndpointsRequest::new())
                .with_idempotency(true);
            let asked = async {
                let answer = request.send().await;
                answer.map_err(|e| fault(&e, "compute", project, Self::NEEDS[0]))
            };
            let page = cx.call(what.clone(), asked).await?;
            for endpoint in page.items {
                all.push(convert(endpoint, &what)?);
            }
            token = page.next_page_token.unwrap_or_default();
            if token.is_empty() {
                return Ok(all);
            }
        }
    }
}

impl Fact for NetworkEndpoints {
    const NAME: &'static str = "gcp.networkEndpoints";
    const NEEDS: &'static [&'static str] = &["compute.networkEndpointGroups.get"];
    type Value = Vec<NetworkEndpointEntry>;

    fn place(&self) -> Option<Place<Vec<NetworkEndpointEntry>>> {
        let Self { group, zone } = self;
        let command = format!(
            "gcloud compute network-endpoint-groups list-network-endpoints {group} --zone {zone} \
             --format=json"
        );
        Some(Place::entry("gcp/compute/networkEndpoints", group, command))
    }

    async fn fetch(&self, cx: &Cx) -> Result<Vec<NetworkEndpointEntry>, FactError> {
        let groups = cx.get(NetworkEndpointGroups).await?;
        let twins = groups.iter().filter(|group| group.name == self.group);
        let asked = twins.map(|group| self.of_zone(cx, group.self_link.project(), &group.zone));
        Ok(futures::future::try_join_all(asked).await?.concat())
    }
}

named!(NetworkEndpointGroup);

/// What a Service asks for in `cloud.google.com/neg` (GKE documentation, "Container-native load
/// balancing through standalone NEGs").
#[derive(Clone, Debug, Default, Deserialize)]
pub struct NegAnnotation {
    /// For its Ingress.
    #[serde(default)]
    pub ingress: Option<bool>,
    /// For these Service ports, each by name or number, on their own.
    #[serde(default)]
    pub exposed_ports: Option<BTreeMap<String, serde_json::Value>>,
}

/// What the controller wrote down in `cloud.google.com/neg-status`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct NegStatus {
    /// Service port to network endpoint group.
    #[serde(default)]
    pub network_endpoint_groups: BTreeMap<String, String>,
    /// Where they are.
    #[serde(default)]
    pub zones: Vec<String>,
}

impl NegAnnotation {
    /// Reads the annotation, if there is one.
    pub fn of(service: &Service) -> Option<serde_json::Result<Self>> {
        let text = service.metadata.annotation(&["cloud.google.com/neg"])?;
        Some(serde_json::from_str(text))
    }

    /// Whether it asks for any group at all.
    pub fn asks(&self) -> bool {
        self.ingress == Some(true) || self.ports().next().is_some()
    }

    /// The Service ports that groups are asked for on their own.
    pub fn ports(&self) -> impl Iterator<Item = Port> {
        self.exposed_ports.iter().flatten().map(|(port, _)| Port::parse(port))
    }
}

impl NegStatus {
    /// Reads the annotation, if there is one.
    pub fn of(service: &Service) -> Option<serde_json::Result<Self>> {
        let text = service.metadata.annotation(&["cloud.google.com/neg-status"])?;
        Some(serde_json::from_str(text))
    }
}
