//! Cloud DNS.

use serde_json::Value;

use super::{Cloud, call::Call, failure::Failure, listed, page::Page};

/// Answers `dns.managedZones.{list,get}` and `dns.resourceRecordSets.list`.
pub(super) fn answer(cloud: &Cloud, call: &Call<'_>) -> Result<Value, Failure> {
    let zones = || cloud.holdings.items("gcp/dns/managedZones", call.project());
    let size = call.query("maxResults").and_then(|size| size.parse().ok());
    let page = Page::of(size, call.query("pageToken"), cloud.page_size);
    let asked = |item: &Value, field: &str, name: &str| {
        call.query(name).is_none_or(|value| item[field] == value)
    };
    match (call.route.verb(), &call.path[..]) {
        ("list", ["managedZones"]) => {
            let mut zones = zones()?;
            zones.retain(|zone| asked(zone, "dnsName", "dnsName"));
            Ok(listed("managedZones", page.cut(zones)?))
        }
        ("get", ["managedZones", zone]) => find(zones()?, zone, call),
        ("list", ["managedZones", zone, "rrsets"]) => {
            call.refuse(&["filter"])?;
            let zones = zones().ok();
            // A zone goes by its number, too.
            let found = zones.map(|zones| find(zones, zone, call)).transpose()?;
            let name = found.as_ref().and_then(|found| found["name"].as_str()).unwrap_or(zone);
            let sets = cloud.holdings.entry("gcp/dns/resourceRecordSets", name)?;
            let mut sets = sets.as_array().cloned().unwrap_or_default();
            sets.retain(|set| asked(set, "name", "name") && asked(set, "type", "type"));
            Ok(listed("rrsets", page.cut(sets)?))
        }
        _ => Err(call.unanswered()),
    }
}

fn find(zones: Vec<Value>, name: &str, call: &Call<'_>) -> Result<Value, Failure> {
    let is =
        |zone: &Value| zone["name"] == name || zone["id"].to_string().trim_matches('"') == name;
    let path = || format!("projects/{}/managedZones/{name}", call.project());
    zones.into_iter().find(is).ok_or_else(|| Failure::NotFound(path()))
}
