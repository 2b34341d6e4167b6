use kfcheck::{Cx, Fact, FactError, Place, Resource};
use serde::{Deserialize, Serialize};

use super::{OurProject, compute};
use crate::client::{Google, convert, fault, unusable};

/// The project, for its quotas.
#[derive(Clone, Serialize)]
pub struct ProjectQuotas;

/// The quotas of the project as a whole.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ComputeProject {
    /// The quotas.
    pub quotas: Vec<Quota>,
}

impl Fact for ProjectQuotas {
    const NAME: &'static str = "gcp.project";
    const NEEDS: &'static [&'static str] = &["compute.projects.get"];
    type Value = ComputeProject;

    fn place(&self) -> Option<Place<ComputeProject>> {
        let command = "gcloud compute project-info describe --format=json";
        Some(Place::file("gcp/compute/project", command))
    }

    async fn fetch(&self, cx: &Cx) -> Result<ComputeProject, FactError> {
        let projects = cx.get(OurProject).await?;
        let project = projects.first().cloned().unwrap_or_default();
        let google = cx.client::<Google>()?;
        let builder = google_cloud_compute_v1::client::Projects::builder();
        let client = google.set_up("compute", builder).await?.build().await.map_err(unusable)?;
        let what = format!("compute.projects.get {project}");
        let asked = async {
            let answer = client.get().set_project(&project).send().await;
            answer.map_err(|e| fault(&e, "compute", &project, Self::NEEDS[0]))
        };
        Ok(convert(cx.call(what.clone(), asked).await?, &what)?)
    }
}

compute! {
    /// The regions, for their quotas.
    Regions, "regions", "regions" => Region, OurProject, listed Regions
}

/// The quotas of a region.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Region {
    /// Its name.
    pub name: String,
    /// The quotas.
    pub quotas: Vec<Quota>,
}

/// How much of something may be used, and is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Quota {
    /// Of what: `BACKEND_SERVICES`.
    pub metric: String,
    /// How much.
    pub limit: f64,
    /// How much is used.
    pub usage: f64,
}

/// The name of a quota across layers.
pub fn quota_resource(metric: &str, region: Option<&str>) -> Resource {
    let name = format!("{metric} ({})", region.unwrap_or("global"));
    Resource { provider: "gcp", kind: "Quota", namespace: None, name }
}
