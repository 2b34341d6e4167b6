//! EC2's filters.

use serde_json::Value;

use super::{super::request::Call, Failure};

/// The filters that differ from the field that they look at: the list, the filter, the field.
const FIELDS: [(&str, &str, &str); 17] = [
    ("DescribeSubnets", "cidr-block", "CidrBlock"),
    ("DescribeInstances", "instance-state-name", "State.Name"),
    ("DescribeInstances", "availability-zone", "Placement.AvailabilityZone"),
    ("DescribeInstances", "private-dns-name", "PrivateDnsName"),
    ("DescribeInstances", "group-id", "SecurityGroups.GroupId"),
    ("DescribeInstances", "instance.group-id", "SecurityGroups.GroupId"),
    ("DescribeInstances", "iam-instance-profile.arn", "IamInstanceProfile.Arn"),
    (
        "DescribeInstances",
        "network-interface.network-interface-id",
        "NetworkInterfaces.NetworkInterfaceId",
    ),
    ("DescribeNetworkInterfaces", "group-id", "Groups.GroupId"),
    ("DescribeNetworkInterfaces", "group-name", "Groups.GroupName"),
    ("DescribeNetworkInterfaces", "attachment.instance-id", "Attachment.InstanceId"),
    ("DescribeNetworkInterfaces", "attachment.attachment-id", "Attachment.AttachmentId"),
    ("DescribeNetworkInterfaces", "attachment.status", "Attachment.Status"),
    ("DescribeNetworkInterfaces", "attachment.instance-owner-id", "Attachment.InstanceOwnerId"),
    ("DescribeNetworkInterfaces", "association.public-ip", "Association.PublicIp"),
    ("DescribeSecurityGroups", "ip-permission.group-id", "IpPermissions.UserIdGroupPairs.GroupId"),
    ("DescribeSecurityGroups", "ip-permission.cidr", "IpPermissions.IpRanges.CidrIp"),
];

/// The filters that are named as the field.
const PLAIN: [&str; 18] = [
    "allocation-id",
    "association-id",
    "availability-zone",
    "description",
    "group-id",
    "group-name",
    "instance-id",
    "interface-type",
    "network-interface-id",
    "owner-id",
    "private-ip-address",
    "public-ip",
    "requester-id",
    "state",
    "status",
    "subnet-id",
    "vpc-id",
    "zone-name",
];

/// Keeps the items that every filter of a call lets through.
pub(super) fn retain(call: &Call<'_>, items: &mut Vec<Value>) -> Result<(), Failure> {
    for filter in call.input["Filters"].as_array().into_iter().flatten() {
        let name = filter["Name"].as_str().unwrap_or_default();
        let texts = filter["Values"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let wanted: Vec<_> = texts.collect();
        let wanted = |value: &str| wanted.iter().any(|pattern| matches(pattern, value));
        if let Some(key) = name.strip_prefix("tag:") {
            items.retain(|item| {
                tags(item).any(|tag| tag["Key"] == key && tag["Value"].as_str().is_some_and(wanted))
            });
        } else if name == "tag-key" {
            items.retain(|item| tags(item).any(|tag| tag["Key"].as_str().is_some_and(wanted)));
        } else {
            let field = field(&call.operation.name, name)?;
            items.retain(|item| values(item, &field).into_iter().any(|value| wanted(&value)));
        }
    }
    Ok(())
}

/// The field that a filter looks at.
fn field(operation: &str, filter: &str) -> Result<String, Failure> {
    let own = FIELDS.iter().find(|(of, name, _)| *of == operation && *name == filter);
    match own {
        Some((.., field)) => Ok((*field).to_owned()),
        None if PLAIN.contains(&filter) => Ok(filter.split('-').map(capitalized).collect()),
        None => Err(Failure::unknown(format!("the filter {filter} is not known here"))),
    }
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

fn tags(item: &Value) -> impl Iterator<Item = &Value> {
    item["Tags"].as_array().into_iter().flatten()
}

/// The texts at a path of fields, in all items of the lists on the way.
fn values(item: &Value, path: &str) -> Vec<String> {
    if let Value::Array(items) = item {
        return items.iter().flat_map(|item| values(item, path)).collect();
    }
    if !path.is_empty() {
        let (first, rest) = path.split_once('.').unwrap_or((path, ""));
        return values(&item[first], rest);
    }
    match item {
        Value::String(text) => vec![text.clone()],
        Value::Bool(_) | Value::Number(_) => vec![item.to_string()],
        _ => Vec::new(),
    }
}

/// Whether a value fits a pattern, in which a star stands for anything and a question mark for one
/// character.
fn matches(pattern: &str, value: &str) -> bool {
    let mut letters = pattern.chars();
    match (letters.next(), value.chars().next()) {
        (None, None) => true,
        (Some('*'), _) => {
            let rest = letters.as_str();
            (0..=value.len())
                .filter(|at| value.is_char_boundary(*at))
                .any(|at| matches(rest, &value[at..]))
        }
        (Some(wanted), Some(found)) if wanted == '?' || wanted == found => {
            matches(letters.as_str(), &value[found.len_utf8()..])
        }
        _ => false,
    }
}
