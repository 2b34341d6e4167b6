//! The query protocol: STS, both kinds of load balancers, CloudFormation and IAM.

use serde_json::{Value, json};

use super::{form, inside, known, manifest, mock, serve};
use crate::Server;

const BALANCER: &str = "arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/app/a/1";
const LISTENER: &str = "arn:aws:elasticloadbalancing:eu-west-1:1:listener/app/a/1/2";

/// What is answered; nothing goes unknown.
async fn ask(server: &Server, service: &str, fields: &str) -> (u16, String) {
    let (scope, version) = match service {
        "elb" => ("eu-west-1/elasticloadbalancing", "2012-06-01"),
        "elbv2" => ("eu-west-1/elasticloadbalancing", "2015-12-01"),
        "cloudformation" => ("eu-west-1/cloudformation", "2010-05-15"),
        "iam" => ("us-east-1/iam", "2010-05-08"),
        _ => ("eu-west-1/sts", "2011-06-15"),
    };
    let answer = form(server.address(), scope, version, fields).await;
    known(server);
    (answer.status, answer.text())
}

#[tokio::test]
async fn an_answer_is_wrapped_as_the_model_says() {
    let caller = json!({ "UserId": "U", "Account": "1", "Arn": "arn:aws:iam::1:user/<a>" });
    let server = serve([manifest(), ("aws/sts/get-caller-identity", caller)]).await;
    let (status, xml) = ask(&server, "sts", "GetCallerIdentity").await;
    assert_eq!(status, 200);
    let start = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
                 <GetCallerIdentityResult>";
    assert!(xml.contains(start), "{xml}");
    assert!(xml.contains("<Arn>arn:aws:iam::1:user/&lt;a&gt;</Arn>"), "{xml}");
    assert!(xml.contains("</GetCallerIdentityResult><ResponseMetadata><RequestId>"), "{xml}");
    assert_eq!(server.asked(), ["sts GetCallerIdentity eu-west-1 {}"]);
}

fn balancers() -> (&'static str, Value) {
    let of = |name: &str| json!({ "LoadBalancerArn": BALANCER.replace("/a/1", name) });
    let first = json!({ "LoadBalancerArn": BALANCER, "LoadBalancerName": "a", "Type": "application",
        "CreatedTime": "2020-01-01T00:00:00+00:00", "SecurityGroups": ["sg-1", "sg-2"],
        "State": { "Code": "active" }, "AvailabilityZones": [], "FromTheFuture": 1 });
    let all = json!({ "LoadBalancers": [first, of("/b/1"), of("/c/1")] });
    ("aws/elbv2/describe-load-balancers", all)
}

#[tokio::test]
async fn a_load_balancer_is_written_as_the_model_says() {
    let server = serve([manifest(), balancers()]).await;
    let (_, xml) = ask(&server, "elbv2", "DescribeLoadBalancers&Names.member.1=a").await;
    assert_eq!(inside(&xml, "CreatedTime"), ["2020-01-01T00:00:00Z"]);
    let groups = "<SecurityGroups><member>sg-1</member><member>sg-2</member></SecurityGroups>";
    assert!(xml.contains(groups), "{xml}");
    assert!(xml.contains("<State><Code>active</Code></State>"), "{xml}");
    assert!(xml.contains("<AvailabilityZones></AvailabilityZones>"), "{xml}");
    assert!(!xml.contains("FromTheFuture"), "{xml}");
    let (status, xml) = ask(&server, "elbv2", "DescribeLoadBalancers&Names.member.1=z").await;
    assert_eq!((status, inside(&xml, "Code")), (400, vec!["LoadBalancerNotFound"]));
}

#[tokio::test]
async fn lists_are_given_page_by_page() {
    let server = mock([manifest(), balancers()]).pages_of(2).start().await.unwrap();
    let (_, first) = ask(&server, "elbv2", "DescribeLoadBalancers&PageSize=400").await;
    let marker = inside(&first, "NextMarker")[0];
    let next = format!("DescribeLoadBalancers&Marker={marker}");
    let (_, second) = ask(&server, "elbv2", &next).await;
    let count = |xml: &str| inside(xml, "LoadBalancerArn").len();
    assert_eq!((count(&first), count(&second)), (2, 1));
    assert!(!second.contains("NextMarker"), "{second}");
    let (_, one) = ask(&server, "elbv2", "DescribeLoadBalancers&PageSize=1").await;
    assert_eq!(count(&one), 1);
}

#[tokio::test]
async fn rules_are_those_of_the_listener() {
    let rule = |path: &str| {
        let arn = format!("arn:aws:elasticloadbalancing:eu-west-1:1:listener-rule/app/{path}");
        json!({ "RuleArn": arn, "IsDefault": false })
    };
    let listener = json!({ "ListenerArn": LISTENER, "LoadBalancerArn": BALANCER, "Port": 443 });
    let server = serve([
        manifest(),
        balancers(),
        ("aws/elbv2/describe-listeners", json!({ "Listeners": [listener] })),
        ("aws/elbv2/describe-rules", json!({ "Rules": [rule("a/1/2/3"), rule("a/1/22/3")] })),
    ])
    .await;
    let of_balancer = format!("DescribeListeners&LoadBalancerArn={BALANCER}");
    assert_eq!(inside(&ask(&server, "elbv2", &of_balancer).await.1, "Port"), ["443"]);
    let (_, xml) = ask(&server, "elbv2", &format!("DescribeRules&ListenerArn={LISTENER}")).await;
    let arns = inside(&xml, "RuleArn");
    assert!(arns.len() == 1 && arns[0].ends_with("/app/a/1/2/3"), "{arns:?}");
    let (_, xml) = ask(&server, "elbv2", &format!("DescribeRules&ListenerArn={LISTENER}9")).await;
    assert_eq!(inside(&xml, "Code"), ["ListenerNotFound"]);
}

#[tokio::test]
async fn target_groups_have_health_and_balancers() {
    let arn = "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/t/1";
    let group = json!({ "TargetGroupArn": arn, "LoadBalancerArns": [BALANCER] });
    let health = json!({ "TargetHealthDescriptions": [
        { "Target": { "Id": "i-1", "Port": 80 }, "TargetHealth": { "State": "unhealthy" } },
    ] });
    let server = serve([
        manifest(),
        balancers(),
        ("aws/elbv2/describe-target-groups", json!({ "TargetGroups": [group] })),
        ("aws/elbv2/describe-target-health", json!({ arn: health })),
        (
            "aws/elbv2/describe-tags",
            json!({ "TagDescriptions": [
            { "ResourceArn": arn, "Tags": [{ "Key": "k", "Value": "v" }] },
        ] }),
        ),
    ])
    .await;
    let of_balancer = format!("DescribeTargetGroups&LoadBalancerArn={BALANCER}");
    assert_eq!(inside(&ask(&server, "elbv2", &of_balancer).await.1, "TargetGroupArn"), [arn]);
    let (_, xml) =
        ask(&server, "elbv2", &format!("DescribeTargetHealth&TargetGroupArn={arn}")).await;
    assert_eq!(inside(&xml, "State"), ["unhealthy"]);
    let tags = format!("DescribeTags&ResourceArns.member.1={arn}");
    assert_eq!(inside(&ask(&server, "elbv2", &tags).await.1, "Value"), ["v"]);
    let (_, xml) =
        ask(&server, "elbv2", &format!("DescribeTags&ResourceArns.member.1={arn}0")).await;
    assert_eq!(inside(&xml, "Code"), ["TargetGroupNotFound"]);
}

#[tokio::test]
async fn classic_load_balancers_are_told_by_the_version() {
    let server = serve([
        manifest(),
        (
            "aws/elb/describe-load-balancers",
            json!({ "LoadBalancerDescriptions": [
            { "LoadBalancerName": "old", "Instances": [{ "InstanceId": "i-1" }] },
        ] }),
        ),
        (
            "aws/elb/describe-instance-health",
            json!({ "old": { "InstanceStates": [
            { "InstanceId": "i-1", "State": "InService" },
        ] } }),
        ),
    ])
    .await;
    let (_, xml) = ask(&server, "elb", "DescribeLoadBalancers").await;
    assert_eq!(inside(&xml, "LoadBalancerName"), ["old"]);
    let (_, xml) = ask(&server, "elb", "DescribeInstanceHealth&LoadBalancerName=old").await;
    assert_eq!(inside(&xml, "State"), ["InService"]);
    let named = "DescribeTags&LoadBalancerNames.member.1=new";
    let (status, xml) =
        ask(&server, "elb", "DescribeLoadBalancers&LoadBalancerNames.member.1=new").await;
    assert_eq!((status, inside(&xml, "Code")), (400, vec!["LoadBalancerNotFound"]));
    let answer =
        form(server.address(), "eu-west-1/elasticloadbalancing", "2012-06-01", named).await;
    assert_eq!(answer.status, 501);
    assert!(server.unknown().is_empty(), "that nobody collected it is no mistake of who asks");
}

#[tokio::test]
async fn what_is_of_a_stack_is_found_by_its_name_or_id() {
    let id = |name: &str| format!("arn:aws:cloudformation:eu-west-1:1:stack/{name}/1");
    let event =
        |nth: usize| json!({ "StackId": id("a"), "EventId": nth.to_string(), "StackName": "a" });
    let resource = |stack: &str| {
        json!({ "StackName": stack, "LogicalResourceId": stack,
        "Timestamp": "2020-01-01T00:00:00Z", "ResourceStatus": "CREATE_COMPLETE" })
    };
    let resources = json!([resource("a"), resource("b")]);
    let server = mock([
        manifest(),
        (
            "aws/cloudformation/describe-stacks",
            json!({ "Stacks": [
            { "StackName": "a", "StackId": id("a"), "StackStatus": "DELETE_FAILED" },
            { "StackName": "b", "StackId": id("b"), "StackStatus": "DELETE_COMPLETE" },
        ] }),
        ),
        (
            "aws/cloudformation/describe-stack-events",
            json!({ "StackEvents": [event(3), event(2), event(1)] }),
        ),
        ("aws/cloudformation/describe-stack-resources", json!({ "StackResources": resources })),
    ])
    .pages_of(2)
    .start()
    .await
    .unwrap();
    let (_, all) = ask(&server, "cloudformation", "DescribeStacks").await;
    assert_eq!(inside(&all, "StackName"), ["a"]);
    let by_id = format!("DescribeStacks&StackName={}", id("b"));
    assert_eq!(inside(&ask(&server, "cloudformation", &by_id).await.1, "StackName"), ["b"]);
    let (status, xml) = ask(&server, "cloudformation", "DescribeStacks&StackName=b").await;
    assert_eq!((status, inside(&xml, "Code")), (400, vec!["ValidationError"]));
    assert_eq!(inside(&xml, "Message"), ["Stack with id b does not exist"]);

    let (_, first) = ask(&server, "cloudformation", "DescribeStackEvents&StackName=a").await;
    assert_eq!(inside(&first, "EventId"), ["3", "2"]);
    let next =
        format!("DescribeStackEvents&StackName=a&NextToken={}", inside(&first, "NextToken")[0]);
    assert_eq!(inside(&ask(&server, "cloudformation", &next).await.1, "EventId"), ["1"]);

    let (_, xml) = ask(&server, "cloudformation", "ListStackResources&StackName=a").await;
    assert_eq!(inside(&xml, "LogicalResourceId"), ["a"]);
    assert_eq!(inside(&xml, "LastUpdatedTimestamp"), ["2020-01-01T00:00:00Z"]);
    let (_, xml) = ask(&server, "cloudformation", "DescribeStackResources&StackName=a").await;
    assert_eq!(inside(&xml, "Timestamp"), ["2020-01-01T00:00:00Z"]);
}

#[tokio::test]
async fn policies_are_written_as_in_a_url() {
    let policy = json!({ "Action": "a b" });
    let server = serve([
        manifest(),
        (
            "aws/iam/list-roles",
            json!({ "Roles": [
            { "RoleName": "r", "Path": "/", "AssumeRolePolicyDocument": policy },
        ] }),
        ),
        (
            "aws/iam/get-role-policy",
            json!({ "r/p": { "RoleName": "r", "PolicyName": "p",
            "PolicyDocument": policy } }),
        ),
        ("aws/iam/list-role-policies", json!({ "r": { "PolicyNames": ["p"] } })),
    ])
    .await;
    let encoded = "%7B%22Action%22%3A%22a%20b%22%7D";
    let (_, xml) = ask(&server, "iam", "GetRole&RoleName=r").await;
    assert_eq!(inside(&xml, "AssumeRolePolicyDocument"), [encoded]);
    let (_, xml) = ask(&server, "iam", "GetRolePolicy&RoleName=r&PolicyName=p").await;
    assert_eq!(inside(&xml, "PolicyDocument"), [encoded]);
    let (_, xml) = ask(&server, "iam", "ListRolePolicies&RoleName=r").await;
    assert_eq!((inside(&xml, "member"), inside(&xml, "IsTruncated")), (vec!["p"], vec!["false"]));
    for gone in ["GetRole&RoleName=q", "GetRolePolicy&RoleName=r&PolicyName=q"] {
        let (status, xml) = ask(&server, "iam", gone).await;
        assert_eq!((status, inside(&xml, "Code")), (404, vec!["NoSuchEntity"]), "{gone}");
    }
}
