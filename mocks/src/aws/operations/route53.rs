//! Route 53.

use serde_json::{Value, json};

use crate::aws::text;

use super::{Ask, Failure, take};

/// Answers what is asked of hosted zones and of the records in them.
pub(super) fn answer(ask: &Ask<'_>) -> Result<Value, Failure> {
    match ask.operation() {
        "ListHostedZones" => {
            ask.call.takes_only(&["Marker", "MaxItems"])?;
            let zones = ask.list("list-hosted-zones", "HostedZones")?;
            let page = ask.page("MaxItems", "Marker");
            let mut answer = page.listed("HostedZones", zones, "NextMarker")?;
            answer["IsTruncated"] = json!(answer["NextMarker"].is_string());
            answer["Marker"] = ask.call.input["Marker"].clone();
            Ok(with_most(ask, answer))
        }
        "ListHostedZonesByName" => zones_by_name(ask),
        "ListResourceRecordSets" => records(ask),
        _ => Err(ask.call.unanswered()),
    }
}

/// The zones from a name on, and from an id on where several have the name.
fn zones_by_name(ask: &Ask<'_>) -> Result<Value, Failure> {
    let call = ask.call;
    let id = |zone: &Value| text(zone, "Id").trim_start_matches("/hostedzone/").to_owned();
    let place = |zone: &Value| (labels(text(zone, "Name")), id(zone));
    let mut zones = ask.list("list-hosted-zones", "HostedZones")?;
    zones.sort_by_key(place);
    if let Some(name) = call.text("DNSName") {
        let from = (labels(name), call.text("HostedZoneId").unwrap_or_default().to_owned());
        zones.retain(|zone| place(zone) >= from);
    }
    let (page, next) = cut(ask, zones);
    let (name, next_id) = (next.as_ref().map(|zone| zone["Name"].clone()), next.as_ref().map(id));
    Ok(with_most(
        ask,
        json!({
            "HostedZones": page, "IsTruncated": next.is_some(), "DNSName": call.input["DNSName"],
            "HostedZoneId": call.input["HostedZoneId"], "NextDNSName": name,
            "NextHostedZoneId": next_id,
        }),
    ))
}

/// The records of a zone, from a name and a type on.
fn records(ask: &Ask<'_>) -> Result<Value, Failure> {
    let call = ask.call;
    let zone = call.text("HostedZoneId").unwrap_or_default().trim_start_matches("/hostedzone/");
    if let Ok(zones) = ask.list("list-hosted-zones", "HostedZones") {
        let known = |each: &Value| text(each, "Id").trim_start_matches("/hostedzone/") == zone;
        if !zones.iter().any(known) {
            let message = format!("No hosted zone found with ID: {zone}");
            return Err(Failure::Said("NoSuchHostedZone", message));
        }
    }
    let mut found = ask.entry("list-resource-record-sets", zone)?;
    let mut records = take(&mut found, "ResourceRecordSets");
    let place = |record: &Value| {
        let [name, kind, id] = ["Name", "Type", "SetIdentifier"].map(|field| text(record, field));
        (labels(name), kind.to_owned(), id.to_owned())
    };
    records.sort_by_key(place);
    let from = ["StartRecordName", "StartRecordType", "StartRecordIdentifier"];
    match from.map(|name| call.text(name)) {
        [Some(name), kind, id] => {
            let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
            let from = (labels(name), text(kind), text(id));
            records.retain(|record| place(record) >= from);
        }
        [None, None, None] => {}
        _ => {
            let message = "The type of a record needs its name".to_owned();
            return Err(Failure::Said("InvalidInput", message));
        }
    }
    let (page, next) = cut(ask, records);
    let field = |name: &str| next.as_ref().map_or(Value::Null, |next| next[name].clone());
    Ok(with_most(
        ask,
        json!({
            "ResourceRecordSets": page, "IsTruncated": next.is_some(),
            "NextRecordName": field("Name"), "NextRecordType": field("Type"),
            "NextRecordIdentifier": field("SetIdentifier"),
        }),
    ))
}

/// As many as are asked for, and the one that follows.
fn cut(ask: &Ask<'_>, mut all: Vec<Value>) -> (Vec<Value>, Option<Value>) {
    let rest = all.split_off(all.len().min(most(ask)));
    (all, rest.into_iter().next())
}

/// How many are on a page: no more than 300 ever (the API's reference).
fn most(ask: &Ask<'_>) -> usize {
    ask.call.number("MaxItems").unwrap_or(300).min(300).min(ask.cloud.page_size)
}

fn with_most(ask: &Ask<'_>, mut answer: Value) -> Value {
    answer["MaxItems"] = json!(most(ask).to_string());
    answer
}

/// A name as Route 53 sorts it: its labels from behind.
fn labels(name: &str) -> Vec<String> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name.rsplit('.').map(str::to_owned).collect()
}
