//! Certificate Manager.

use serde_json::Value;

use super::{Cloud, call::Call, failure::Failure, listed, page::Page};

/// Answers `certificatemanager.projects.locations.{certificates,certificateMaps}.list` and that of a
/// map's entries.
pub(super) fn answer(cloud: &Cloud, call: &Call<'_>) -> Result<Value, Failure> {
    call.refuse(&["filter", "orderBy"])?;
    let size = call.query("pageSize").and_then(|size| size.parse().ok());
    let page = Page::of(size, call.query("pageToken"), cloud.page_size);
    let items = |collection: &str| {
        let place = format!("gcp/certificatemanager/{collection}");
        cloud.holdings.items(&place, call.project())
    };
    match (call.route.verb(), &call.path[..]) {
        ("list", ["locations", "global", collection @ ("certificates" | "certificateMaps")]) => {
            Ok(listed(collection, page.cut(items(collection)?)?))
        }
        ("list", ["locations", "global", "certificateMaps", map, entries]) => {
            let mut found = items(entries)?;
            let of_map = format!("/certificateMaps/{map}/");
            found.retain(|entry| entry["name"].as_str().is_some_and(|name| name.contains(&of_map)));
            if found.is_empty() && !has_map(items("certificateMaps"), map) {
                return Err(Failure::NotFound(call.resource()));
            }
            Ok(listed(entries, page.cut(found)?))
        }
        _ => Err(call.unanswered()),
    }
}

/// Whether there is a map. One of which nothing is known is taken to be there, and empty.
fn has_map(maps: Result<Vec<Value>, Failure>, name: &str) -> bool {
    let end = format!("/certificateMaps/{name}");
    let is = |map: &Value| map["name"].as_str().is_some_and(|name| name.ends_with(&end));
    maps.map_or(true, |maps| maps.iter().any(is))
}
