//! EC2, as far as it is about networks and what is in them.

use serde_json::{Value, json};

use super::{Ask, Failure, chosen, filter, missing, take};

/// A list that can be narrowed down by ids and by filters.
struct Listing {
    command: &'static str,
    /// The name of the list.
    name: &'static str,
    /// What an item is told by: the parameter, the field, and what is said where there is none.
    ids: &'static [Id],
}

struct Id {
    parameter: &'static str,
    field: &'static str,
    code: &'static str,
    what: &'static str,
}

const SUBNETS: Listing = Listing {
    command: "describe-subnets",
    name: "Subnets",
    ids: &[id("SubnetIds", "SubnetId", "InvalidSubnetID.NotFound", "subnet ID")],
};
const GROUPS: Listing = Listing {
    command: "describe-security-groups",
    name: "SecurityGroups",
    ids: &[
        id("GroupIds", "GroupId", "InvalidGroup.NotFound", "security group"),
        id("GroupNames", "GroupName", "InvalidGroup.NotFound", "security group"),
    ],
};
const INTERFACES: Listing = Listing {
    command: "describe-network-interfaces",
    name: "NetworkInterfaces",
    ids: &[id(
        "NetworkInterfaceIds",
        "NetworkInterfaceId",
        "InvalidNetworkInterfaceID.NotFound",
        "networkInterface ID",
    )],
};
const ZONES: Listing = Listing {
    command: "describe-availability-zones",
    name: "AvailabilityZones",
    ids: &[
        id("ZoneNames", "ZoneName", "InvalidParameterValue", "availability zone"),
        id("ZoneIds", "ZoneId", "InvalidParameterValue", "availability zone ID"),
    ],
};
const ADDRESSES: Listing = Listing {
    command: "describe-addresses",
    name: "Addresses",
    ids: &[
        id("AllocationIds", "AllocationId", "InvalidAllocationID.NotFound", "allocation ID"),
        id("PublicIps", "PublicIp", "InvalidAddress.NotFound", "address"),
    ],
};
const INSTANCE: Id = id("InstanceIds", "InstanceId", "InvalidInstanceID.NotFound", "instance ID");

const fn id(
    parameter: &'static str,
    field: &'static str,
    code: &'static str,
    what: &'static str,
) -> Id {
    Id { parameter, field, code, what }
}

/// Answers what is asked of subnets, security groups, instances, network interfaces, zones and
/// addresses.
pub(super) fn answer(ask: &Ask<'_>) -> Result<Value, Failure> {
    match ask.operation() {
        "DescribeSubnets" => list(ask, &SUBNETS),
        "DescribeSecurityGroups" => list(ask, &GROUPS),
        "DescribeNetworkInterfaces" => list(ask, &INTERFACES),
        "DescribeAvailabilityZones" => list(ask, &ZONES),
        "DescribeAddresses" => list(ask, &ADDRESSES),
        "DescribeInstances" => instances(ask),
        _ => Err(ask.call.unanswered()),
    }
}

fn list(ask: &Ask<'_>, listing: &Listing) -> Result<Value, Failure> {
    let parameters = listing.ids.iter().map(|id| id.parameter);
    let paging = ["Filters", "MaxResults", "NextToken"];
    ask.call.takes_only(&parameters.chain(paging).collect::<Vec<_>>())?;
    let mut all = ask.list(listing.command, listing.name)?;
    for id in listing.ids {
        check(ask, id, &all)?;
        all = chosen(all, id.field, &ask.call.texts(id.parameter));
    }
    filter::retain(ask.call, &mut all)?;
    let paged = ask.call.service.output(ask.call.operation).member("NextToken").is_some();
    if !paged {
        return Ok(json!({ listing.name: all }));
    }
    ask.page("MaxResults", "NextToken").listed(listing.name, all, "NextToken")
}

/// Instances come with those that were started together.
fn instances(ask: &Ask<'_>) -> Result<Value, Failure> {
    ask.call.takes_only(&["InstanceIds", "Filters", "MaxResults", "NextToken"])?;
    let mut reservations = ask.list("describe-instances", "Reservations")?;
    let instances = reservations.iter().filter_map(|each| each["Instances"].as_array()).flatten();
    check(ask, &INSTANCE, &instances.cloned().collect::<Vec<_>>())?;
    for reservation in &mut reservations {
        let ids = ask.call.texts("InstanceIds");
        let mut instances = chosen(take(reservation, "Instances"), "InstanceId", &ids);
        filter::retain(ask.call, &mut instances)?;
        reservation["Instances"] = json!(instances);
    }
    reservations.retain(|each| each["Instances"].as_array().is_some_and(|all| !all.is_empty()));
    ask.page("MaxResults", "NextToken").listed("Reservations", reservations, "NextToken")
}

fn check(ask: &Ask<'_>, id: &Id, all: &[Value]) -> Result<(), Failure> {
    // The reference of MaxResults says so for these two.
    let whole = ["InstanceIds", "NetworkInterfaceIds"].contains(&id.parameter);
    if whole
        && ask.call.number("MaxResults").is_some()
        && ask.call.input.get(id.parameter).is_some()
    {
        return Err(Failure::Malformed(format!("{} and MaxResults at once", id.parameter)));
    }
    match missing(all, id.field, &ask.call.texts(id.parameter)) {
        Some(value) => {
            let message = format!("The {} '{value}' does not exist", id.what);
            Err(Failure::Refused(id.code, message))
        }
        None => Ok(()),
    }
}
