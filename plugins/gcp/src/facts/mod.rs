//! What Google Cloud's APIs answer, as far as checks read it.

mod backend;
mod certificate_manager;
mod cluster;
mod cluster_config;
mod config_connector;
mod firewall;
mod frontend;
mod iap;
mod link;
mod log;
mod neg;
mod network;
mod objects;
mod operations;
mod policy;
mod quota;
mod wire;

pub use self::{
    backend::*, certificate_manager::*, cluster::*, cluster_config::*, config_connector::*,
    firewall::*, frontend::*, iap::*, link::Link, log::*, neg::*, network::*, objects::*,
    operations::*, policy::*, quota::*,
};

use kfcheck::{Cx, FactError, Fault, Resource};

/// Declares a fact that lists one collection of the Compute API: of the cluster's project, or of
/// the network's as well, and by regions and zones or not.
macro_rules! compute {
    ($(#[$doc:meta])+ $fact:ident, $collection:literal, $gcloud:literal => $item:ty,
        $projects:ident, aggregated $client:ident.$field:ident) => {
        $crate::facts::compute!(@fact [$(#[$doc])+], $fact, $collection, $gcloud, $item, $projects,
            |cx, project| $crate::client::aggregated!(cx, project, $client.$field, $collection));
    };
    ($(#[$doc:meta])+ $fact:ident, $collection:literal, $gcloud:literal => $item:ty,
        $projects:ident, listed $client:ident) => {
        $crate::facts::compute!(@fact [$(#[$doc])+], $fact, $collection, $gcloud, $item, $projects,
            |cx, project| $crate::client::listed!(cx, project, $client, $collection));
    };
    (@fact [$(#[$doc:meta])+], $fact:ident, $collection:literal, $gcloud:literal, $item:ty,
        $projects:ident, |$cx:ident, $project:ident| $ask:expr) => {
        $(#[$doc])+
        #[derive(Clone, Serialize)]
        pub struct $fact;

        impl kfcheck::Fact for $fact {
            const NAME: &'static str = concat!("gcp.", $collection);
            const NEEDS: &'static [&'static str] = &[concat!("compute.", $collection, ".list")];
            type Value = Vec<$item>;

            fn place(&self) -> Option<kfcheck::Place<Vec<$item>>> {
                let command = concat!("gcloud compute ", $gcloud, " list --format=json");
                Some(kfcheck::Place::file(concat!("gcp/compute/", $collection), command))
            }

            async fn fetch(&self, $cx: &kfcheck::Cx) -> Result<Vec<$item>, kfcheck::FactError> {
                let projects = $cx.get($crate::facts::$projects).await?;
                let own = projects.first().map_or("", String::as_str);
                let asked = projects.iter().map(async |$project| {
                    let asked = async {
                        let answer: (Vec<$item>, Vec<String>) = $ask;
                        Ok::<_, kfcheck::FactError>(answer)
                    };
                    asked.await.map_err(|error| $crate::facts::say_where(error, own, $project))
                });
                let (mut all, mut missing) = (Vec::new(), Vec::new());
                for (items, unreachable) in futures::future::try_join_all(asked).await? {
                    all.extend(items);
                    missing.extend(unreachable);
                }
                $crate::facts::note_missing($cx, &missing).await?;
                Ok(all)
            }
        }
    };
}

/// Declares a fact that lists one collection of GKE's API, of the cluster's project in all locations.
macro_rules! container {
    ($(#[$doc:meta])+ $fact:ident, $collection:literal => $item:ty, $list:ident.$field:ident) => {
        $(#[$doc])+
        #[derive(Clone, Serialize)]
        pub struct $fact;

        impl kfcheck::Fact for $fact {
            const NAME: &'static str = concat!("gcp.", $collection);
            const NEEDS: &'static [&'static str] = &[concat!("container.", $collection, ".list")];
            type Value = Vec<$item>;

            fn place(&self) -> Option<kfcheck::Place<Vec<$item>>> {
                let command = concat!("gcloud container ", $collection, " list --format=json");
                Some(kfcheck::Place::file(concat!("gcp/container/", $collection), command))
            }

            async fn fetch(&self, cx: &kfcheck::Cx) -> Result<Vec<$item>, kfcheck::FactError> {
                use $crate::client::{Google, convert, fault, unusable};
                let projects = cx.get($crate::facts::OurProject).await?;
                let builder = google_cloud_container_v1::client::ClusterManager::builder();
                let ready = cx.client::<Google>()?.set_up("container", builder).await?;
                let client = ready.build().await.map_err(unusable)?;
                let mut all = Vec::new();
                for project in projects.iter() {
                    let what = format!(concat!("container.", $collection, ".list {}"), project);
                    let parent = format!("projects/{project}/locations/-");
                    let request = client.$list().set_parent(parent);
                    let asked = async {
                        let answer = request.send().await;
                        answer.map_err(|e| fault(&e, "container", project, Self::NEEDS[0]))
                    };
                    let answer = cx.call(what.clone(), asked).await?;
                    for item in answer.$field {
                        all.push(convert(item, &what)?);
                    }
                    let missing = answer.missing_zones.iter();
                    let places: Vec<_> = missing.map(|zone| format!("zones/{zone}")).collect();
                    $crate::facts::note_missing(cx, &places).await?;
                }
                Ok(all)
            }
        }
    };
}

/// A denial, with the project that it is of where that is the network's.
pub(crate) fn say_where(mut error: FactError, own: &str, project: &str) -> FactError {
    if let (Fault::Denied { permission }, true) = (&mut error.fault, own != project) {
        *permission = format!(
            "{permission} on project {project} (roles/compute.networkViewer there grants it)"
        );
    }
    error
}

/// Notes the locations that did not answer, as far as the cluster is there.
pub(crate) async fn note_missing(cx: &Cx, unreachable: &[String]) -> Result<(), FactError> {
    if unreachable.is_empty() {
        return Ok(());
    }
    let scope = cx.get(Scope).await?;
    for part in unreachable.iter().map(|part| crate::client::location(part)) {
        let name = part.rsplit('/').next().unwrap_or(part);
        // A zone's name begins with its region's.
        let ours = |location: &String| location.starts_with(name) || name.starts_with(&**location);
        if scope.location.as_ref().is_none_or(ours) {
            cx.missing(part, Fault::Unreachable(format!("Google's {part} did not answer")));
        }
    }
    Ok(())
}

/// Declares that things of a type go by their name, and by their project and region where that
/// isn't the cluster's own.
macro_rules! named {
    ($($type:ident),+) => { $(
        impl kfcheck::Named for $type {
            fn resource(&self) -> kfcheck::Resource {
                $crate::facts::resource(stringify!($type), &self.name)
            }
        }
    )+ };
}

pub(crate) use {compute, container, named};

/// The name of a thing of this project's across layers.
pub(crate) fn resource(kind: &'static str, name: &str) -> Resource {
    Resource { provider: "gcp", kind, namespace: None, name: name.to_owned() }
}
