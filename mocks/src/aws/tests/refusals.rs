//! What is not answered, and how that is said.

use serde_json::{Value, json};

use super::{form, get, inside, known, manifest, manifest_with, serve, target};
use crate::{Server, kubernetes::wire::send};

#[tokio::test]
async fn each_service_denies_in_its_own_words() {
    let denied = |action: &str| json!({ "denied": { "permission": action } });
    let server = serve([
        manifest_with(&json!({
            "aws/iam/list-role-policies#r": denied("iam:ListRolePolicies"),
            "aws/ec2/describe-subnets": denied("ec2:DescribeSubnets"),
            "aws/acm/describe-certificate": denied("acm:DescribeCertificate"),
            "aws/eks/describe-cluster#c": denied("eks:DescribeCluster"),
            "aws/route53/list-hosted-zones": denied("route53:ListHostedZones"),
        })),
        ("aws/sts/get-caller-identity", json!({ "Arn": "arn:aws:iam::1:user/me" })),
    ])
    .await;
    let address = server.address();
    let fields = "ListRolePolicies&RoleName=r";
    let iam = form(address, "us-east-1/iam", "2010-05-08", fields).await;
    assert_eq!((iam.status, inside(&iam.text(), "Code")), (403, vec!["AccessDenied"]));
    assert_eq!(
        inside(&iam.text(), "Message"),
        ["User: arn:aws:iam::1:user/me is not authorized to perform: iam:ListRolePolicies on \
          resource: * because no identity-based policy allows the iam:ListRolePolicies action"]
    );
    let ec2 = form(address, "eu-west-1/ec2", "2016-11-15", "DescribeSubnets").await;
    assert_eq!((ec2.status, inside(&ec2.text(), "Code")), (403, vec!["UnauthorizedOperation"]));
    let arn = json!({ "CertificateArn": "arn:aws:acm:eu-west-1:1:certificate/1" });
    let acm =
        target(address, "eu-west-1/acm", "CertificateManager.DescribeCertificate", &arn).await;
    assert_eq!((acm.status, &acm.json()["__type"]), (400, &json!("AccessDeniedException")));
    let eks = get(address, "eu-west-1/eks", "/clusters/c").await;
    assert_eq!(eks.status, 403);
    assert!(eks.head.contains("x-amzn-errortype: accessdeniedexception"), "{}", eks.head);
    let route53 = get(address, "us-east-1/route53", "/2013-04-01/hostedzone").await;
    assert_eq!((route53.status, inside(&route53.text(), "Code")), (403, vec!["AccessDenied"]));
    known(&server);
}

#[tokio::test]
async fn errors_of_a_bundle_are_told_apart() {
    let server = serve([manifest_with(&json!({
        "aws/eks/describe-cluster#gone": { "absent": "the cluster" },
        "aws/eks/describe-cluster#slow": { "timedOut": { "secs": 1, "nanos": 0 } },
        "aws/eks/describe-cluster#unasked": { "notCollected": { "file": "f", "command": "c" } },
    }))])
    .await;
    for (name, status) in [("gone", 404), ("slow", 503), ("unasked", 501)] {
        let answer = get(server.address(), "eu-west-1/eks", &format!("/clusters/{name}")).await;
        assert_eq!(answer.status, status, "{name}");
    }
    known(&server);
}

/// The status, and what is noted.
async fn noted(server: &Server, fields: &str) -> (u16, Option<String>) {
    let scope = "eu-west-1/elasticloadbalancing";
    let answer = form(server.address(), scope, "2015-12-01", fields).await;
    (answer.status, server.unknown().pop())
}

#[tokio::test]
async fn what_breaks_the_model_is_noted() {
    let many: Vec<_> =
        (1..=21).map(|nth| format!("&ResourceArns.member.{nth}=arn:a:b:c:d:e")).collect();
    for (fields, status, why) in [
        ("DescribeEverything", 501, "no such operation of elbv2"),
        ("CreateListener", 400, "parameter LoadBalancerArn is missing"),
        ("DescribeTags", 400, "parameter ResourceArns is missing"),
        ("DescribeTags&ResourceArn.1=a", 400, "no parameter ResourceArn"),
        ("DescribeTags&ResourceArns.1=a", 400, "parameter ResourceArns is no list"),
        ("DescribeLoadBalancers&PageSize=9999", 400, "'PageSize' can't be 9999"),
        ("DescribeLoadBalancers&PageSize=few", 400, "'PageSize' can't be \"few\""),
        (
            "DescribeTargetHealth&TargetGroupArn=a&Include.member.1=Everything",
            400,
            "'Include' can't be \"Everything\"",
        ),
        (
            "DescribeTargetHealth&TargetGroupArn=a&Include.member.1=All",
            501,
            "Include is not honoured here",
        ),
        (&format!("DescribeTags{}", many.concat()), 400, "no more than 20 at once"),
        ("DescribeListeners", 400, "either LoadBalancerArn or ListenerArns, and not both"),
        ("DescribeSSLPolicies", 501, "no answer to DescribeSSLPolicies here"),
    ] {
        let server = serve([manifest()]).await;
        let (answered, noted) = noted(&server, fields).await;
        let noted = noted.unwrap_or_default();
        assert!(answered == status && noted.ends_with(why), "{fields}: {answered} {noted}");
    }
}

#[tokio::test]
async fn ids_and_a_size_of_pages_exclude_each_other() {
    let instances = json!({ "Reservations": [{ "Instances": [{ "InstanceId": "i-1" }] }] });
    let server = serve([manifest(), ("aws/ec2/describe-instances", instances)]).await;
    let fields = "DescribeInstances&InstanceId.1=i-1&MaxResults=5";
    assert_eq!(form(server.address(), "eu-west-1/ec2", "2016-11-15", fields).await.status, 400);
    assert!(server.unknown()[0].ends_with("InstanceIds and MaxResults at once"));
}

#[tokio::test]
async fn what_is_worked_out_from_another_answer_has_its_errors() {
    let fault = json!({ "denied": { "permission": "cloudformation:DescribeStackResources" } });
    let errors = json!({ "aws/cloudformation/describe-stack-resources#s": fault });
    let server = serve([
        manifest_with(&errors),
        (
            "aws/cloudformation/describe-stack-resources",
            json!({ "StackResources": [
            { "StackName": "t", "LogicalResourceId": "l" },
        ] }),
        ),
    ])
    .await;
    for (stack, status) in [("s", 403), ("t", 200)] {
        let fields = format!("ListStackResources&StackName={stack}");
        let scope = "eu-west-1/cloudformation";
        let answer = form(server.address(), scope, "2010-05-15", &fields).await;
        assert_eq!(answer.status, status, "{stack}");
    }
    known(&server);
}

#[tokio::test]
async fn a_filter_that_nobody_knows_is_noted() {
    let subnets = json!({ "Subnets": [] });
    let server = serve([manifest(), ("aws/ec2/describe-subnets", subnets)]).await;
    let fields = "DescribeSubnets&Filter.1.Name=vpcid&Filter.1.Value.1=v";
    assert_eq!(form(server.address(), "eu-west-1/ec2", "2016-11-15", fields).await.status, 501);
    assert!(server.unknown()[0].contains("the filter vpcid"), "{:?}", server.unknown());
}

#[tokio::test]
async fn a_request_is_signed_for_the_service_that_it_asks() {
    let server = serve([manifest(), ("aws/eks/list-clusters", json!({ "clusters": [] }))]).await;
    let other = get(server.address(), "eu-west-1/iam", "/clusters").await;
    assert!(other.status == 501 && server.unknown()[0].ends_with("it is signed for iam"));
    let bare = "GET /clusters HTTP/1.1\r\nConnection: close\r\n";
    assert_eq!(send(server.address(), bare, "").await.unwrap().status, 403);
    assert!(server.unknown()[1].ends_with("it is not signed"), "{:?}", server.unknown());
    assert_eq!(get(server.address(), "eu-west-1/eks", "/nowhere").await.status, 501);
    assert!(server.unknown()[2].ends_with("no such service"), "{:?}", server.unknown());
}

#[tokio::test]
async fn what_a_bundle_says_in_the_wrong_type_is_noted() {
    let clusters = json!({ "clusters": [
        { "name": "a", "health": { "issues": "none" }, "createdAt": "yesterday", "version": null },
    ] });
    let server = serve([manifest(), ("aws/eks/describe-cluster", clusters)]).await;
    let answer = get(server.address(), "eu-west-1/eks", "/clusters/a").await;
    assert_eq!(answer.json(), json!({ "cluster": { "name": "a", "health": {} } }));
    let noted = server.unknown();
    assert_eq!(noted.len(), 2, "{noted:?}");
    let why = "the bundle's DescribeCluster.cluster.health.issues can't be \"none\"";
    assert!(noted.contains(&why.to_owned()), "{noted:?}");
}

#[tokio::test]
async fn what_a_bundle_holds_of_others_alone_is_not_the_callers_fault() {
    let policies: Value = json!({ "r": { "PolicyNames": [] } });
    let server = serve([manifest(), ("aws/iam/list-role-policies", policies)]).await;
    let fields = "ListRolePolicies&RoleName=q";
    let answer = form(server.address(), "us-east-1/iam", "2010-05-08", fields).await;
    assert_eq!(answer.status, 501);
    known(&server);
}
