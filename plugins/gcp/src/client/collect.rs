//! Lists, page by page.

use kfcheck::Fault;
use serde::{Serialize, de::DeserializeOwned};

/// What checks read of a thing, from the client library's model of it.
pub(crate) fn convert<M: Serialize, T: DeserializeOwned>(model: M, what: &str) -> Result<T, Fault> {
    let malformed =
        |detail: String| Fault::Malformed { file: format!("the answer to {what}"), detail };
    let value = serde_json::to_value(model).map_err(|error| malformed(error.to_string()))?;
    serde_json::from_value(value).map_err(|error| malformed(error.to_string()))
}

/// What is missing of a list that a part of Google's locations didn't answer to, by location:
/// `regions/europe-west1`.
pub(crate) fn location(unreachable: &str) -> &str {
    let from = ["regions/", "zones/", "global"].iter().find_map(|part| unreachable.find(part));
    &unreachable[from.unwrap_or(0)..]
}

/// Whether a location says that it could not be asked. From version 2026-09-01 of the API on, the
/// others answer all the same (google-cloud-go, release notes of `compute`).
pub(crate) fn is_unreachable<W: Serialize>(warning: Option<&W>) -> bool {
    let warning = serde_json::to_value(warning).unwrap_or_default();
    warning["code"] == "UNREACHABLE"
}

/// All things of a collection, from every region and zone.
macro_rules! aggregated {
    ($cx:expr, $project:expr, $client:ident.$field:ident, $collection:literal) => {{
        let google = $cx.client::<$crate::client::Google>()?;
        let builder = google_cloud_compute_v1::client::$client::builder();
        let client = google.set_up("compute", builder).await?.build().await;
        let client = client.map_err($crate::client::unusable)?;
        let permission = concat!("compute.", $collection, ".list");
        let what = format!(concat!("compute.", $collection, ".aggregatedList {}"), $project);
        let (mut all, mut missing, mut token) = (Vec::new(), Vec::new(), String::new());
        loop {
            let request =
                client.aggregated_list().set_project($project.clone()).set_page_token(token);
            let asked = async {
                let answer = request.send().await;
                answer.map_err(|e| $crate::client::fault(&e, "compute", &$project, permission))
            };
            let page = $cx.call(what.clone(), asked).await?;
            for (scope, scoped) in page.items {
                if $crate::client::is_unreachable(scoped.warning.as_ref()) {
                    missing.push(scope);
                }
                for item in scoped.$field {
                    all.push($crate::client::convert(item, &what)?);
                }
            }
            missing.extend(page.unreachables);
            token = page.next_page_token.unwrap_or_default();
            if token.is_empty() {
                break;
            }
        }
        (all, missing)
    }};
}

/// All things of a collection that is not divided.
macro_rules! listed {
    ($cx:expr, $project:expr, $client:ident, $collection:literal) => {{
        let google = $cx.client::<$crate::client::Google>()?;
        let builder = google_cloud_compute_v1::client::$client::builder();
        let client = google.set_up("compute", builder).await?.build().await;
        let client = client.map_err($crate::client::unusable)?;
        let permission = concat!("compute.", $collection, ".list");
        let what = format!(concat!("compute.", $collection, ".list {}"), $project);
        let (mut all, mut token) = (Vec::new(), String::new());
        loop {
            let request = client.list().set_project($project.clone()).set_page_token(token);
            let asked = async {
                let answer = request.send().await;
                answer.map_err(|e| $crate::client::fault(&e, "compute", &$project, permission))
            };
            let page = $cx.call(what.clone(), asked).await?;
            for item in page.items {
                all.push($crate::client::convert(item, &what)?);
            }
            token = page.next_page_token.unwrap_or_default();
            if token.is_empty() {
                break;
            }
        }
        (all, Vec::<String>::new())
    }};
}

pub(crate) use {aggregated, listed};
