use kfcheck::{Fact, Place, Resource};
use serde::{Deserialize, Serialize};

use super::compute;

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
}

compute! {
    /// The regions, for their quotas.
    Regions, "regions", "regions" => Region
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
