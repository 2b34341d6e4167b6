use futures::FutureExt;
use serde_json::json;

use super::*;
use crate::{
    Fault, Times,
    cloudformation::{Moment, Then, Wording},
};

fn policies(cloud: &CloudFormation, role: &str) -> Value {
    let listed = cloud.ask("iam list_role_policies", &json!({ "RoleName": role }));
    listed.unwrap()["PolicyNames"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_from_a_role_is_listed_for_a_while() {
    let own = stack("late", vec![role("late", "foreign")]);
    let cloud =
        mock(vec![own.clone()]).stale_reads(3).wording(Wording::Handler).start().await.unwrap();
    let take = json!({ "RoleName": "late", "PolicyName": "foreign" });
    cloud.ask("iam delete_role_policy", &take).unwrap();
    assert_eq!(policies(&cloud, "late"), json!(["foreign"]));
    // CloudFormation isn't told earlier than others.
    assert_eq!(cloud.delete(&own).0, "DELETE_FAILED");
    let failed = cloud.stack("late").await.unwrap();
    let why = failed.resources[0].status_reason.as_deref().unwrap();
    let begin = "Resource handler returned message: \"Cannot delete entity, must delete policies \
                 first. (Service: Iam, Status Code: 409, Request ID: ";
    assert!(why.starts_with(begin), "{why}");
    assert_eq!(policies(&cloud, "late"), json!(["foreign"]));
    assert_eq!(policies(&cloud, "late"), json!([]));
    assert_eq!(cloud.delete(&own).0, "DELETE_COMPLETE");
    // It was gone all the time.
    let again = cloud.ask("iam delete_role_policy", &take);
    assert_eq!(again.unwrap_err().0, "NoSuchEntity");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_can_go_wrong_once_and_then_go_on() {
    role("flaky", "foreign");
    let denied = Fault::AwsAccessDenied;
    let cloud = mock(vec![stack("flaky", Vec::new())])
        .fault("iam:DeleteRolePolicy", Times::Only(1), Fault::AwsThrottling)
        .fault("iam:DeleteRolePolicy", Times::Only(2), Fault::AwsExpiredToken)
        .fault("cloudformation:DeleteStack", Times::Always, denied)
        .start()
        .await
        .unwrap();
    let take = json!({ "RoleName": "flaky", "PolicyName": "foreign" });
    let codes = || cloud.ask("iam delete_role_policy", &take).unwrap_err().0;
    assert_eq!([codes(), codes()], ["Throttling", "ExpiredToken"]);
    assert_eq!(cloud.changes(), []);
    cloud.ask("iam delete_role_policy", &take).unwrap();
    assert_eq!(cloud.count("iam:DeleteRolePolicy"), 3);
    assert_eq!(cloud.changes().len(), 1);
    let refused = cloud.cfn("delete_stack", &json!({ "StackName": "flaky" }));
    assert_eq!(refused.unwrap_err().0, "AccessDenied");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_told_before_and_after_and_can_be_lost_at_both() {
    role("watched", "foreign");
    let told = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&told);
    let cloud = mock(Vec::new())
        .on_call(move |call, moment| {
            let lost = (1, Moment::Before) == (call.index, moment)
                || (2, Moment::After) == (call.index, moment);
            if call.changes() {
                lock(&notes).push((call.index, moment));
            }
            async move { if lost { Then::Lose } else { Then::GoOn } }.boxed()
        })
        .start()
        .await
        .unwrap();
    let take = json!({ "RoleName": "watched", "PolicyName": "foreign" });
    let lost = || {
        let said = cloud.ask("iam delete_role_policy, impatiently", &take);
        assert_eq!(said.unwrap_err().0, "ReadTimeoutError");
    };
    lost();
    assert_eq!(policies(&cloud, "watched"), json!(["foreign"]));
    lost();
    assert_eq!(policies(&cloud, "watched"), json!([]));
    let expected = [(1, Moment::Before), (2, Moment::Before), (2, Moment::After)];
    assert_eq!(*lock(&told), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_its_way_though_its_sender_is_killed() {
    for (name, at, then, left) in [
        ("killed-early", Moment::Before, Then::Lose, json!(["foreign"])),
        ("killed-sending", Moment::Before, Then::GoOn, json!([])),
        ("killed-late", Moment::After, Then::GoOn, json!([])),
    ] {
        role(name, "foreign");
        let client: Arc<Mutex<Option<Child>>> = Arc::default();
        let victim = Arc::clone(&client);
        let killed = Arc::new(tokio::sync::Notify::new());
        let tell = Arc::clone(&killed);
        let cloud = mock(Vec::new())
            .on_call(move |call, moment| {
                let (victim, tell) = (Arc::clone(&victim), Arc::clone(&tell));
                let meant = call.index == 1 && moment == at;
                let done = call.index == 1 && (moment == Moment::After || then == Then::Lose);
                async move {
                    if meant {
                        let mut client = lock(&victim).take().unwrap();
                        client.kill().unwrap();
                        client.wait().unwrap();
                    }
                    if done {
                        tell.notify_one();
                    }
                    if meant { then } else { Then::GoOn }
                }
                .boxed()
            })
            .start()
            .await
            .unwrap();
        let form = format!(
            "Action=DeleteRolePolicy&Version=2010-05-08&RoleName={name}&PolicyName=foreign"
        );
        let program = format!(
            "import urllib.request as u; u.urlopen(u.Request('{}', b'{form}', {{'Authorization': \
             'AWS4-HMAC-SHA256 Credential=a/20260101/us-west-2/iam/aws4_request'}}))",
            cloud.url()
        );
        let mut python = Command::new(root().join(PYTHON));
        python.args(["-c", &program]).stderr(Stdio::null());
        // Held, so that it can't be asked for before it is there.
        {
            let mut held = lock(&client);
            *held = Some(python.spawn().unwrap());
        }
        killed.notified().await;
        assert_eq!(policies(&cloud, name), left, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_depend_on_is_not_let_go_by_ec2() {
    let boto = Boto::get();
    let vpc = boto.moto("ec2 create_vpc", &json!({ "CidrBlock": "10.9.0.0/16" }));
    let vpc = vpc["Vpc"]["VpcId"].as_str().unwrap();
    let group = |name: &str| {
        let made = json!({ "GroupName": name, "Description": name, "VpcId": vpc });
        let made = boto.moto("ec2 create_security_group", &made);
        made["GroupId"].as_str().unwrap().to_owned()
    };
    let (front, nodes) = (group("front"), group("nodes"));
    let rule = json!([{ "IpProtocol": "tcp", "FromPort": 80, "ToPort": 80,
        "UserIdGroupPairs": [{ "GroupId": front }] }]);
    let rule = json!({ "GroupId": nodes, "IpPermissions": rule });
    boto.moto("ec2 authorize_security_group_ingress", &rule);
    let cloud = mock(Vec::new()).lingering_for(2).start().await.unwrap();
    let delete = |id: &str| cloud.ask("ec2 delete_security_group", &json!({ "GroupId": id }));
    let (code, message) = delete(&front).unwrap_err();
    assert_eq!(code, "DependencyViolation");
    assert_eq!(message, format!("resource {front} has a dependent object"));
    let delete_vpc = || cloud.ask("ec2 delete_vpc", &json!({ "VpcId": vpc }));
    assert_eq!(delete_vpc().unwrap_err().0, "DependencyViolation");
    cloud.ask("ec2 revoke_security_group_ingress", &rule).unwrap();
    let subnet = json!({ "VpcId": vpc, "CidrBlock": "10.9.0.0/24" });
    let subnet = boto.moto("ec2 create_subnet", &subnet)["Subnet"]["SubnetId"].take();
    let listener = json!({ "Protocol": "TCP", "LoadBalancerPort": 80, "InstancePort": 8080 });
    let balancer = json!({ "LoadBalancerName": "held", "Listeners": [listener],
        "Subnets": [subnet], "SecurityGroups": [front] });
    boto.moto("elb create_load_balancer", &balancer);
    let held = |said: Said| assert_eq!(said.unwrap_err().0, "DependencyViolation");
    held(delete(&front));
    let named = json!({ "LoadBalancerName": "held" });
    cloud.ask("elb delete_load_balancer", &named).unwrap();
    let delete_subnet = || cloud.ask("ec2 delete_subnet", &json!({ "SubnetId": subnet }));
    held(delete(&front));
    held(delete_subnet());
    delete(&front).unwrap();
    delete(&nodes).unwrap();
    delete_subnet().unwrap();
    delete_vpc().unwrap();
}
