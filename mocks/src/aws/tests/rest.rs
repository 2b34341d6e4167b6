//! REST: EKS in JSON, Route 53 in XML.

use serde_json::{Value, json};

use super::{get, inside, known, manifest, mock, serve};
use crate::Server;

async fn eks(server: &Server, path: &str) -> (u16, Value) {
    let answer = get(server.address(), "eu-west-1/eks", path).await;
    known(server);
    (answer.status, answer.json())
}

async fn route53(server: &Server, path: &str) -> (u16, String) {
    let answer = get(server.address(), "us-east-1/route53", &format!("/2013-04-01/{path}")).await;
    known(server);
    (answer.status, answer.text())
}

#[tokio::test]
async fn clusters_and_what_they_have_are_found_by_path() {
    let server = mock([
        manifest(),
        ("aws/eks/list-clusters", json!({ "clusters": ["a", "b"] })),
        (
            "aws/eks/describe-cluster",
            json!({ "cluster":
            { "name": "a", "createdAt": "2020-01-01T00:00:00Z", "health": { "issues": [] } } }),
        ),
        (
            "aws/eks/describe-nodegroup",
            json!({ "nodegroups": [
            { "clusterName": "a", "nodegroupName": "n", "scalingConfig": { "minSize": 0 } },
            { "clusterName": "b", "nodegroupName": "m" },
        ] }),
        ),
    ])
    .pages_of(1)
    .start()
    .await
    .unwrap();
    let (_, first) = eks(&server, "/clusters?maxResults=100").await;
    assert_eq!(first["clusters"], json!(["a"]));
    let next = first["nextToken"].as_str().unwrap();
    let (_, second) = eks(&server, &format!("/clusters?nextToken={next}")).await;
    assert_eq!(second, json!({ "clusters": ["b"] }));
    let (_, cluster) = eks(&server, "/clusters/a").await;
    assert_eq!(cluster["cluster"]["createdAt"], 1_577_836_800);
    assert_eq!(eks(&server, "/clusters/a/node-groups").await.1["nodegroups"], json!(["n"]));
    let (_, group) = eks(&server, "/clusters/a/node-groups/n").await;
    assert_eq!(group["nodegroup"]["scalingConfig"]["minSize"], 0);
    let gone = get(server.address(), "eu-west-1/eks", "/clusters/c").await;
    assert_eq!(gone.json(), json!({ "message": "No cluster found for name: c." }));
    assert!(
        gone.status == 404 && gone.head.contains("errortype: resourcenotfound"),
        "{}",
        gone.head
    );
    assert_eq!(eks(&server, "/clusters/a/node-groups/m").await.0, 404);
    let elsewhere = get(server.address(), "us-east-1/eks", "/clusters").await;
    assert_eq!(elsewhere.json(), json!({ "clusters": [] }));
}

#[tokio::test]
async fn records_come_in_the_order_of_their_labels_from_behind() {
    let record = |name: &str, kind: &str| {
        json!({ "Name": name, "Type": kind, "TTL": 60,
        "ResourceRecords": [{ "Value": "192.0.2.1" }] })
    };
    let sets = json!([
        record("b.example.com.", "A"),
        record("example.com.", "NS"),
        record("z.a.example.com.", "A"),
        record("example.com.", "A"),
    ]);
    let zones = json!({ "HostedZones": [
        { "Id": "/hostedzone/Z1", "Name": "example.com.", "CallerReference": "c" },
        { "Id": "/hostedzone/Z2", "Name": "example.org.", "CallerReference": "c" },
    ] });
    let server = mock([
        manifest(),
        ("aws/route53/list-hosted-zones", zones),
        ("aws/route53/list-resource-record-sets", json!({ "Z1": { "ResourceRecordSets": sets } })),
    ])
    .pages_of(3)
    .start()
    .await
    .unwrap();
    let (_, first) = route53(&server, "hostedzone/Z1/rrset").await;
    let start = "<ListResourceRecordSetsResponse \
                 xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><IsTruncated>true";
    assert!(first.contains(start), "{first}");
    assert_eq!(inside(&first, "Name"), ["example.com.", "example.com.", "z.a.example.com."]);
    assert_eq!(inside(&first, "Type"), ["A", "NS", "A"]);
    assert_eq!(inside(&first, "ResourceRecord")[0], "<Value>192.0.2.1</Value>");
    assert_eq!(inside(&first, "NextRecordName"), ["b.example.com."]);
    let (_, next) = route53(&server, "hostedzone/Z1/rrset?name=b.example.com.&type=A").await;
    assert_eq!(inside(&next, "Name"), ["b.example.com."]);
    assert_eq!(inside(&next, "IsTruncated"), ["false"]);
    let (_, one) = route53(&server, "hostedzone/Z1/rrset?name=a.example.com&maxitems=1").await;
    assert_eq!(
        (inside(&one, "Name"), inside(&one, "MaxItems")),
        (vec!["z.a.example.com."], vec!["1"])
    );
    let (status, gone) = route53(&server, "hostedzone/Z3/rrset").await;
    assert_eq!((status, inside(&gone, "Code")), (404, vec!["NoSuchHostedZone"]));
    // The zone is known, and nothing of its records.
    assert_eq!(route53(&server, "hostedzone/Z2/rrset").await.0, 501);
    let (_, zones) = route53(&server, "hostedzonesbyname?dnsname=example.org").await;
    assert_eq!(inside(&zones, "Id"), ["/hostedzone/Z2"]);
    let (_, zones) = route53(&server, "hostedzone?maxitems=1").await;
    assert_eq!(
        (inside(&zones, "Id"), inside(&zones, "IsTruncated")),
        (vec!["/hostedzone/Z1"], vec!["true"])
    );
}

#[tokio::test]
async fn a_zone_may_be_anywhere() {
    let zones = json!({ "HostedZones": [] });
    let server = serve([manifest(), ("aws/route53/list-hosted-zones", zones)]).await;
    let (status, xml) = route53(&server, "hostedzone").await;
    assert_eq!((status, inside(&xml, "HostedZones")), (200, vec![""]));
}
