//! Kubernetes Engine.

use serde_json::{Value, json};

use super::{Cloud, after, call::Call, failure::Failure};

/// Answers `container.projects.{locations,zones}.{clusters,operations}.{list,get}`.
pub(super) fn answer(cloud: &Cloud, call: &Call<'_>) -> Result<Value, Failure> {
    let (verb, project) = (call.route.verb(), call.project());
    let at = |collection: &str, place: &str| {
        let mut items = cloud.holdings.items(&format!("gcp/container/{collection}"), project)?;
        items.retain(|item| place == "-" || location(item) == Some(place));
        Ok(items)
    };
    match (verb, &call.path[..]) {
        ("list", ["locations" | "zones", place, collection @ ("clusters" | "operations")]) => {
            Ok(json!({ *collection: at(collection, place)? }))
        }
        ("get", ["locations" | "zones", place, collection @ ("clusters" | "operations"), name]) => {
            let found = at(collection, place)?.into_iter().find(|item| item["name"] == **name);
            found.ok_or_else(|| Failure::NotFound(call.resource()))
        }
        _ => Err(call.unanswered()),
    }
}

/// A zone or a region.
fn location(item: &Value) -> Option<&str> {
    let named = ["location", "zone"].into_iter().find_map(|field| item[field].as_str());
    let link = item["selfLink"].as_str();
    named.or_else(|| ["/locations/", "/zones/"].into_iter().find_map(|part| after(link?, part)))
}
