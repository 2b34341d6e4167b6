use google_cloud_compute_v1::{client, model::ResourceGroupReference};
use google_cloud_gax::options::RequestOptionsBuilder;
use kfcheck::{Cx, Fact, FactError, Fault, Place, wire};
use kfcheck_kube::Service;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Link, compute, named};
use crate::client::{Google, convert, fault, unusable};

compute! {
    /// The project's backend services.
    BackendServices, "backendServices", "backend-services" => BackendService, OurProject, aggregated BackendServices.backend_services
}

/// One backend service.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendService {
    /// Unique in the project.
    pub name: String,
    /// Its number, which IAP's tokens name as their audience.
    #[serde(deserialize_with = "wire::text")]
    pub id: String,
    /// Itself.
    pub self_link: Link,
    /// None: global.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<Link>,
    /// What is spoken to the backends: `HTTP`, `HTTPS`, `HTTP2`.
    pub protocol: String,
    /// Where instances listen; without meaning for network endpoints.
    #[serde(deserialize_with = "wire::number", skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// `EXTERNAL`, `EXTERNAL_MANAGED`, `INTERNAL_MANAGED`.
    pub load_balancing_scheme: String,
    /// Its health checks.
    pub health_checks: Vec<Link>,
    /// The groups of machines or endpoints.
    pub backends: Vec<Backend>,
    /// Who signs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iap: Option<Iap>,
    description: String,
}

/// A group of machines or endpoints.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Backend {
    /// An instance group or a network endpoint group.
    pub group: Link,
}

/// How Identity-Aware Proxy is set up. The hash of the client's secret, which the API shows, is
/// left out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Iap {
    /// Whether it asks at all.
    pub enabled: bool,
    /// The OAuth client; none: one that Google manages.
    #[serde(rename = "oauth2ClientId", skip_serializing_if = "Option::is_none")]
    pub oauth2_client_id: Option<String>,
}

impl Iap {
    /// The OAuth client that users sign in with; none: one that Google manages, which is also what
    /// a blank one means.
    pub fn client(&self) -> Option<&str> {
        self.oauth2_client_id.as_deref().map(str::trim).filter(|id| !id.is_empty())
    }
}

impl BackendService {
    /// Whether its endpoints are pods rather than nodes.
    pub fn reaches_pods(&self) -> bool {
        self.backends.iter().any(|b| b.group.after("networkEndpointGroups").is_some())
    }

    /// The Service that the cluster made it for, as `namespace/name`, where it says so.
    pub fn service_name(&self) -> Option<String> {
        let description: Value = serde_json::from_str(&self.description).ok()?;
        description["kubernetes.io/service-name"].as_str().map(str::to_owned)
    }

    /// Whether the cluster made it for `service`. Clusters share projects, so two may answer yes.
    pub fn is_for(&self, service: &Service) -> bool {
        let name = format!("{}/{}", service.metadata.namespace(), service.metadata.name);
        self.service_name().is_some_and(|named| named == name)
    }

    /// The node port that its name stands for, as in `k8s-be-31380--uid`.
    pub fn node_port(&self) -> Option<u16> {
        let rest = self.name.strip_prefix("k8s-be-")?;
        rest.split("--").next()?.parse().ok()
    }
}

/// The health of one backend service, as the load balancer sees it.
#[derive(Clone, Serialize)]
pub struct BackendHealth {
    /// Its name.
    pub service: String,
    /// Its region; none: global.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// The health of one group of endpoints.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupHealth {
    /// The group.
    pub backend: Link,
    status: GroupStatus,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct GroupStatus {
    /// May be left out altogether, which says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    health_status: Option<Vec<EndpointHealth>>,
}

/// The health of one endpoint.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointHealth {
    /// `HEALTHY`, `UNHEALTHY` or what else the API says.
    pub health_state: String,
    /// Where it is.
    pub ip_address: String,
    /// On which port.
    #[serde(deserialize_with = "wire::number", skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// What the load balancer knows of a backend service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// So many endpoints of all are healthy, one at least.
    Healthy(usize, usize),
    /// None of so many is.
    Unhealthy(usize),
    /// The load balancer doesn't say.
    Unsaid,
}

impl GroupHealth {
    /// Every endpoint of all `groups`.
    pub fn endpoints(groups: &[Self]) -> impl Iterator<Item = &EndpointHealth> {
        groups.iter().flat_map(|group| group.status.health_status.iter().flatten())
    }

    /// What is known of all `groups` together.
    pub fn judge(groups: &[Self]) -> Health {
        let all = Self::endpoints(groups).count();
        let state = |state| Self::endpoints(groups).filter(|e| e.health_state == state).count();
        match (state("HEALTHY"), state("UNHEALTHY")) {
            (healthy @ 1.., _) => Health::Healthy(healthy, all),
            (0, 1..) => Health::Unhealthy(all),
            (0, 0) => Health::Unsaid,
        }
    }
}

impl BackendHealth {
    /// The health of `backend`.
    pub fn of(backend: &BackendService) -> Self {
        let region = backend.region.as_ref().map(|region| region.name().to_owned());
        Self { service: backend.name.clone(), region }
    }

    /// The command that shows it.
    pub fn command(&self) -> String {
        let scope = match &self.region {
            Some(region) => format!("--region {region}"),
            None => "--global".to_owned(),
        };
        format!("gcloud compute backend-services get-health {} {scope}", self.service)
    }
}

impl BackendHealth {
    async fn of_group(
        &self,
        cx: &Cx,
        project: &str,
        group: &Link,
    ) -> Result<GroupStatus, FactError> {
        let google = cx.client::<Google>()?;
        let group_of = ResourceGroupReference::new().set_group(group.as_str());
        let what = format!("compute.backendServices.getHealth {} {}", self.service, group.name());
        let failed = |e| fault(&e, "compute", project, Self::NEEDS[0]);
        let answer = if let Some(region) = &self.region {
            let builder = client::RegionBackendServices::builder();
            let client =
                google.set_up("compute", builder).await?.build().await.map_err(unusable)?;
            let request = client.get_health().set_project(project).set_region(region);
            let request = request.set_backend_service(&self.service).set_body(group_of);
            let request = request.with_idempotency(true);
            let asked = async { request.send().await.map_err(failed) };
            cx.call(what.clone(), asked).await?
        } else {
            let builder = client::BackendServices::builder();
            let client =
                google.set_up("compute", builder).await?.build().await.map_err(unusable)?;
            let request = client.get_health().set_project(project);
            let request = request.set_backend_service(&self.service).set_body(group_of);
            let request = request.with_idempotency(true);
            let asked = async { request.send().await.map_err(failed) };
            cx.call(what.clone(), asked).await?
        };
        Ok(convert(answer, &what)?)
    }
}

impl Fact for BackendHealth {
    const NAME: &'static str = "gcp.backendServiceHealth";
    const NEEDS: &'static [&'static str] = &["compute.backendServices.get"];
    type Value = Vec<GroupHealth>;

    fn place(&self) -> Option<Place<Vec<GroupHealth>>> {
        let command = self.command() + " --format=json";
        Some(Place::entry("gcp/compute/backendServiceHealth", &self.service, command))
    }

    async fn fetch(&self, cx: &Cx) -> Result<Vec<GroupHealth>, FactError> {
        let services = cx.get(BackendServices).await?;
        let is_it = |backend: &&BackendService| {
            let region = backend.region.as_ref().map(Link::name);
            backend.name == self.service && region == self.region.as_deref()
        };
        let Some(backend) = services.iter().find(is_it) else {
            let says = format!("backend service {} is not there", self.service);
            return Err(Fault::Unreachable(says).into());
        };
        let asked = backend.backends.iter().map(|Backend { group }| async move {
            let status = self.of_group(cx, backend.self_link.project(), group).await?;
            Ok::<_, FactError>(GroupHealth { backend: group.clone(), status })
        });
        futures::future::try_join_all(asked).await
    }
}

compute! {
    /// The project's health checks.
    HealthChecks, "healthChecks", "health-checks" => HealthCheck, OurProject, aggregated HealthChecks.health_checks
}

/// One health check.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthCheck {
    /// Its name; none in a policy.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Itself; none in a policy.
    #[serde(skip_serializing_if = "Link::is_empty")]
    pub self_link: Link,
    /// `HTTP`, `HTTPS`, `HTTP2`, `TCP`, …
    #[serde(rename = "type")]
    pub protocol: String,
    /// Whether probe results are logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_config: Option<LogConfig>,
    #[serde(rename = "httpHealthCheck", skip_serializing_if = "Option::is_none")]
    http: Option<Request>,
    #[serde(rename = "httpsHealthCheck", skip_serializing_if = "Option::is_none")]
    https: Option<Request>,
    #[serde(rename = "http2HealthCheck", skip_serializing_if = "Option::is_none")]
    http2: Option<Request>,
    #[serde(rename = "tcpHealthCheck", skip_serializing_if = "Option::is_none")]
    tcp: Option<Request>,
}

/// Whether something is logged.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LogConfig {
    /// Whether it is.
    pub enable: bool,
}

/// What a health check asks.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Request {
    #[serde(deserialize_with = "wire::number", skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port_specification: Option<String>,
    #[serde(rename = "requestPath", skip_serializing_if = "Option::is_none")]
    path: Option<String>,
}

impl HealthCheck {
    fn over_http(&self) -> Option<&Request> {
        self.http.as_ref().or(self.https.as_ref()).or(self.http2.as_ref())
    }

    /// The port asked, where it isn't each endpoint's own.
    pub fn port(&self) -> Option<u16> {
        let request = self.over_http().or(self.tcp.as_ref())?;
        let serving = request.port_specification.as_deref() == Some("USE_SERVING_PORT");
        request.port.filter(|_| !serving)
    }

    /// The path asked, where it speaks HTTP.
    pub fn path(&self) -> Option<&str> {
        Some(self.over_http()?.path.as_deref().unwrap_or("/"))
    }

    /// Whether probe results are logged.
    pub fn logs(&self) -> bool {
        self.log_config.is_some_and(|config| config.enable)
    }

    /// The command that changes it, up to the flags that say how.
    pub fn update(&self) -> String {
        format!(
            "gcloud compute health-checks update {} {}",
            self.protocol.to_lowercase(),
            self.named()
        )
    }

    /// The command that shows it.
    pub fn describe(&self) -> String {
        format!("gcloud compute health-checks describe {}", self.named())
    }

    /// Its name, with the flags that tell it from others.
    fn named(&self) -> String {
        let region = self.self_link.after("regions");
        let scope =
            region.map_or_else(|| "--global".to_owned(), |region| format!("--region {region}"));
        let project = match self.self_link.project() {
            "" => String::new(),
            project => format!(" --project {project}"),
        };
        format!("{}{project} {scope}", self.name)
    }
}

named!(BackendService, HealthCheck);
