//! EC2's own way of asking and answering.

use serde_json::json;

use super::{form, inside, known, manifest, mock, serve};
use crate::Server;

async fn ask(server: &Server, fields: &str) -> (u16, String) {
    let answer = form(server.address(), "eu-west-1/ec2", "2016-11-15", fields).await;
    known(server);
    (answer.status, answer.text())
}

async fn subnets(server: &Server, filters: &str) -> Vec<String> {
    let (_, xml) = ask(server, &format!("DescribeSubnets{filters}")).await;
    inside(&xml, "subnetId").into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn filters_narrow_down_what_is_listed() {
    let subnet = |id: &str, vpc: &str, tag: &str| {
        json!({ "SubnetId": id, "VpcId": vpc,
        "MapPublicIpOnLaunch": true, "Tags": [{ "Key": tag, "Value": "1" }] })
    };
    let all = json!({ "Subnets": [
        subnet("subnet-1", "vpc-1", "kubernetes.io/role/elb"),
        subnet("subnet-2", "vpc-1", "kubernetes.io/role/internal-elb"),
        subnet("subnet-3", "vpc-2", "kubernetes.io/role/elb"),
    ] });
    let server =
        mock([manifest(), ("aws/ec2/describe-subnets", all)]).pages_of(2).start().await.unwrap();
    let (_, xml) = ask(&server, "DescribeSubnets&MaxResults=1000").await;
    let start =
        "<DescribeSubnetsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15\"><requestId>";
    assert!(xml.contains(start), "{xml}");
    assert!(
        xml.contains("<tagSet><item><key>kubernetes.io/role/elb</key><value>1</value></item>"),
        "{xml}"
    );
    assert_eq!(inside(&xml, "subnetId"), ["subnet-1", "subnet-2"]);
    let next = format!("&NextToken={}", inside(&xml, "nextToken")[0]);
    assert_eq!(subnets(&server, &next).await, ["subnet-3"]);

    let vpc = "&Filter.1.Name=vpc-id&Filter.1.Value.1=vpc-1&Filter.1.Value.2=vpc-9";
    assert_eq!(subnets(&server, vpc).await, ["subnet-1", "subnet-2"]);
    let tag = "&Filter.2.Name=tag:kubernetes.io/role/elb&Filter.2.Value.1=1";
    assert_eq!(subnets(&server, &format!("{vpc}{tag}")).await, ["subnet-1"]);
    let key = "&Filter.1.Name=tag-key&Filter.1.Value.1=*/internal-*";
    assert_eq!(subnets(&server, key).await, ["subnet-2"]);
    assert_eq!(subnets(&server, "&SubnetId.1=subnet-3").await, ["subnet-3"]);
    let (status, xml) = ask(&server, "DescribeSubnets&SubnetId.1=subnet-9").await;
    assert_eq!((status, inside(&xml, "Code")), (400, vec!["InvalidSubnetID.NotFound"]));
    assert!(xml.starts_with("<Response><Errors><Error><Code>"), "{xml}");
    let elsewhere = form(server.address(), "us-east-1/ec2", "2016-11-15", "DescribeSubnets").await;
    assert!(elsewhere.text().contains("<subnetSet></subnetSet>"), "{}", elsewhere.text());
}

#[tokio::test]
async fn instances_are_filtered_within_their_reservations() {
    let instance = |id: &str, state: &str, group: &str| {
        json!({ "InstanceId": id,
        "State": { "Code": 16, "Name": state }, "SecurityGroups": [{ "GroupId": group }] })
    };
    let all = json!({ "Reservations": [
        { "ReservationId": "r-1", "Instances": [
            instance("i-1", "running", "sg-1"), instance("i-2", "terminated", "sg-1"),
        ] },
        { "ReservationId": "r-2", "Instances": [instance("i-3", "running", "sg-2")] },
    ] });
    let server = serve([manifest(), ("aws/ec2/describe-instances", all)]).await;
    let (_, xml) = ask(
        &server,
        "DescribeInstances&Filter.1.Name=instance-state-name&Filter.1.Value.1=running\
         &Filter.2.Name=instance.group-id&Filter.2.Value.1=sg-1",
    )
    .await;
    assert_eq!(inside(&xml, "instanceId"), ["i-1"]);
    assert_eq!(inside(&xml, "reservationId"), ["r-1"]);
    let (_, xml) = ask(&server, "DescribeInstances&InstanceId.1=i-3").await;
    assert_eq!(inside(&xml, "instanceId"), ["i-3"]);
}

#[tokio::test]
async fn interfaces_are_found_by_what_they_are_attached_to() {
    let interfaces = json!({ "NetworkInterfaces": [
        { "NetworkInterfaceId": "eni-1", "VpcId": "vpc-1", "Status": "in-use",
          "Groups": [{ "GroupId": "sg-1" }], "Attachment": { "InstanceId": "i-1" } },
        { "NetworkInterfaceId": "eni-2", "VpcId": "vpc-1", "Status": "available" },
    ] });
    let addresses =
        json!({ "Addresses": [{ "AllocationId": "eipalloc-1", "PublicIp": "192.0.2.1" }] });
    let server = serve([
        manifest(),
        ("aws/ec2/describe-network-interfaces", interfaces),
        ("aws/ec2/describe-addresses", addresses),
    ])
    .await;
    for (filter, id) in [
        ("status&Filter.1.Value.1=available", "eni-2"),
        ("attachment.instance-id&Filter.1.Value.1=i-?", "eni-1"),
        ("group-id&Filter.1.Value.1=sg-1", "eni-1"),
    ] {
        let (_, xml) =
            ask(&server, &format!("DescribeNetworkInterfaces&Filter.1.Name={filter}")).await;
        assert_eq!(inside(&xml, "networkInterfaceId"), [id], "{filter}");
    }
    let (_, xml) = ask(&server, "DescribeAddresses&AllocationId.1=eipalloc-1").await;
    assert_eq!(inside(&xml, "publicIp"), ["192.0.2.1"]);
}
