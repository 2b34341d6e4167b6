//! EC2: machines and what is between them.

use aws_sdk_ec2::{
    Client,
    types::{self, Filter},
};
use kfcheck::{Named, Place, Resource};

use super::{
    Tag, fact,
    shape::{Keep, Words, shape},
};
use crate::client::asked;

shape! {
    /// A part of a network.
    pub struct Subnet of types::Subnet in "PascalCase" {
        subnet_id: String,
        vpc_id: String,
        availability_zone: String,
        cidr_block: String,
        map_public_ip_on_launch: bool,
        available_ip_address_count: Option<i32>,
        tags: Vec<Tag>,
    }

    /// Who may connect to whom.
    pub struct SecurityGroup of types::SecurityGroup in "PascalCase" {
        group_id: String,
        group_name: String,
        description: Words,
        vpc_id: String,
        ip_permissions: Vec<Permission>,
        ip_permissions_egress: Vec<Permission>,
        tags: Vec<Tag>,
    }

    /// What is let in.
    pub struct Permission of types::IpPermission in "PascalCase" {
        ip_protocol: String,
        from_port: Option<i32>,
        to_port: Option<i32>,
        ip_ranges: Vec<IpRange>,
        ipv6_ranges: Vec<Ipv6Range>,
        user_id_group_pairs: Vec<GroupPair>,
        prefix_list_ids: Vec<PrefixList>,
    }

    /// Addresses that are let in.
    pub struct IpRange of types::IpRange in "PascalCase" {
        cidr_ip: String,
    }

    /// Addresses of IPv6 that are let in.
    pub struct Ipv6Range of types::Ipv6Range in "PascalCase" {
        cidr_ipv6: String,
    }

    /// A group whose members are let in.
    pub struct GroupPair of types::UserIdGroupPair in "PascalCase" {
        group_id: String,
    }

    /// A list of addresses that are let in.
    pub struct PrefixList of types::PrefixListId in "PascalCase" {
        prefix_list_id: String,
    }

    /// Machines, as EC2 lists them.
    pub struct Reservations in "PascalCase" {
        reservations: Vec<Reservation>,
    }

    /// Machines that were started together.
    pub struct Reservation of types::Reservation in "PascalCase" {
        instances: Vec<Instance>,
    }

    /// A machine.
    pub struct Instance of types::Instance in "PascalCase" {
        instance_id: String,
        state: Option<InstanceState>,
        private_ip_address: String,
        private_dns_name: String,
        vpc_id: String,
        subnet_id: String,
        security_groups: Vec<GroupName>,
        iam_instance_profile: Option<ProfileLink>,
        metadata_options: Option<MetadataOptions>,
        tags: Vec<Tag>,
    }

    /// How a machine goes.
    pub struct InstanceState of types::InstanceState in "PascalCase" {
        name: String,
    }

    /// A security group that a machine is in.
    pub struct GroupName of types::GroupIdentifier in "PascalCase" {
        group_id: String,
        group_name: String,
    }

    /// The instance profile of a machine.
    pub struct ProfileLink of types::IamInstanceProfile in "PascalCase" {
        arn: String,
    }

    /// How a machine's own metadata is asked for.
    pub struct MetadataOptions of types::InstanceMetadataOptionsResponse in "PascalCase" {
        http_tokens: String,
        http_put_response_hop_limit: Option<i32>,
        http_endpoint: String,
    }

    /// An address of a network.
    pub struct NetworkInterface of types::NetworkInterface in "PascalCase" {
        network_interface_id: String,
        description: Words,
        status: String,
        interface_type: String,
        requester_id: String,
        subnet_id: String,
        vpc_id: String,
        groups: Vec<GroupName>,
        private_ip_addresses: Vec<PrivateAddress>,
        ipv4_prefixes: Vec<Prefix>,
        tag_set: Vec<Tag>,
    }

    /// One address of an interface.
    pub struct PrivateAddress of types::NetworkInterfacePrivateIpAddress in "PascalCase" {
        private_ip_address: String,
    }

    /// Addresses of an interface that pods are given (Amazon EKS documentation, "Assign more IP
    /// addresses to nodes with prefixes").
    pub struct Prefix of types::Ipv4PrefixSpecification in "PascalCase" {
        ipv4_prefix: String,
    }

    /// A zone of the region.
    pub struct Zone of types::AvailabilityZone in "PascalCase" {
        zone_name: String,
        zone_id: String,
        state: String,
        zone_type: String,
    }
}

fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

fact! {
    /// The subnets of a network.
    Subnets { vpc }, "subnets", "ec2:DescribeSubnets" => Vec<Subnet>,
    Place::listed("aws/ec2/describe-subnets", "Subnets", [("VpcId", vpc)],
        format!("aws ec2 describe-subnets --filters Name=vpc-id,Values={vpc}")),
    |cx, aws| {
        let client = Client::new(aws.config(cx).await);
        let call = client.describe_subnets().filters(filter("vpc-id", vpc)).into_paginator();
        let pages = call.items().send().collect::<Result<Vec<_>, _>>();
        Ok(asked(cx, format!("ec2 describe-subnets {vpc}"), Self::NEEDS[0], pages).await?.keep())
    }
}

fact! {
    /// The security groups of a network.
    SecurityGroups { vpc }, "securityGroups", "ec2:DescribeSecurityGroups" => Vec<SecurityGroup>,
    Place::listed("aws/ec2/describe-security-groups", "SecurityGroups", [("VpcId", vpc)],
        format!("aws ec2 describe-security-groups --filters Name=vpc-id,Values={vpc}")),
    |cx, aws| {
        let client = Client::new(aws.config(cx).await);
        let call = client.describe_security_groups().filters(filter("vpc-id", vpc));
        let pages = call.into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        let what = format!("ec2 describe-security-groups {vpc}");
        Ok(asked(cx, what, Self::NEEDS[0], pages).await?.keep())
    }
}

fact! {
    /// The machines of a cluster, by its tag.
    Instances { cluster }, "instances", "ec2:DescribeInstances" => Reservations,
    Place::file("aws/ec2/describe-instances", format!(
        "aws ec2 describe-instances --filters Name=tag-key,Values=kubernetes.io/cluster/{cluster}"
    )),
    |cx, aws| {
        let client = Client::new(aws.config(cx).await);
        let tag = format!("kubernetes.io/cluster/{cluster}");
        let call = client.describe_instances().filters(filter("tag-key", &tag));
        let pages = call.into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        let what = format!("ec2 describe-instances of {cluster}");
        Ok(Reservations { reservations: asked(cx, what, Self::NEEDS[0], pages).await?.keep() })
    }
}

fact! {
    /// The addresses of a network that are in use, or left behind.
    NetworkInterfaces { vpc }, "networkInterfaces",
    "ec2:DescribeNetworkInterfaces" => Vec<NetworkInterface>,
    Place::listed("aws/ec2/describe-network-interfaces", "NetworkInterfaces", [("VpcId", vpc)],
        format!("aws ec2 describe-network-interfaces --filters Name=vpc-id,Values={vpc}")),
    |cx, aws| {
        let client = Client::new(aws.config(cx).await);
        let call = client.describe_network_interfaces().filters(filter("vpc-id", vpc));
        let pages = call.into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        let what = format!("ec2 describe-network-interfaces {vpc}");
        Ok(asked(cx, what, Self::NEEDS[0], pages).await?.keep())
    }
}

fact! {
    /// The zones of the region.
    Zones, "zones", "ec2:DescribeAvailabilityZones" => Vec<Zone>,
    Place::listed("aws/ec2/describe-availability-zones", "AvailabilityZones", [],
        "aws ec2 describe-availability-zones"),
    |cx, aws| {
        let client = Client::new(aws.config(cx).await);
        let what = "ec2 describe-availability-zones".to_owned();
        let call = client.describe_availability_zones().send();
        Ok(asked(cx, what, Self::NEEDS[0], call).await?.availability_zones.keep())
    }
}

impl NetworkInterface {
    /// Whether a pod at this address is reached by it.
    pub fn has(&self, address: &str) -> bool {
        let own = self.private_ip_addresses.iter().any(|own| own.private_ip_address == address);
        let Ok(address) = address.parse::<std::net::Ipv4Addr>() else { return own };
        let prefixes = self.ipv4_prefixes.iter();
        own || prefixes
            .filter_map(|prefix| prefix.ipv4_prefix.parse::<ipnet::Ipv4Net>().ok())
            .any(|prefix| prefix.contains(&address))
    }
}

impl Reservations {
    /// Every machine.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.reservations.iter().flat_map(|reservation| &reservation.instances)
    }
}

impl Named for Instance {
    fn resource(&self) -> Resource {
        super::resource("Instance", &self.instance_id)
    }
}

impl Named for SecurityGroup {
    fn resource(&self) -> Resource {
        super::resource("SecurityGroup", &self.group_id)
    }
}
