use serde_json::json;

use super::*;
use crate::cloudformation::Worlds;

#[tokio::test(flavor = "multi_thread")]
async fn a_role_with_a_foreign_policy_is_kept_until_that_is_gone() {
    let name = "kept-NodeInstanceRole-1";
    let mut node_role = role(name, "declared");
    node_role.owns.inline_policies = vec!["declared".to_owned()];
    let boto = Boto::get();
    let foreign =
        json!({ "RoleName": name, "PolicyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess" });
    boto.moto("iam attach_role_policy", &foreign);
    let late = Resource { slow: true, ..topic("Late") };
    let own = stack("kept", vec![late, node_role, topic("Topic")]);
    let cloud = mock(vec![own.clone()]).in_progress_for(2).start().await.unwrap();
    let begin = json!({ "StackName": "kept", "ClientRequestToken": "try-1" });
    cloud.cfn("delete_stack", &begin).unwrap();
    let statuses: Vec<_> = (0..3).map(|_| cloud.status("kept").0).collect();
    assert_eq!(statuses, ["DELETE_IN_PROGRESS", "DELETE_IN_PROGRESS", "DELETE_FAILED"]);
    let failed = cloud.status("kept").1;
    assert_eq!(failed, "The following resource(s) failed to delete: [Late, NodeInstanceRole]. ");

    let said = cloud.cfn("describe_stack_events", &json!({ "StackName": "kept" })).unwrap();
    let events = said["StackEvents"].as_array().unwrap();
    assert!(events.iter().all(|event| event["ClientRequestToken"] == "try-1"));
    let short = |event: &Value| {
        let text = |name: &str| event[name].as_str().unwrap_or_default();
        let reason = text("ResourceStatusReason").split(" (Service").next().unwrap_or_default();
        format!("{} {} {reason}", text("LogicalResourceId"), text("ResourceStatus"))
    };
    let told: Vec<_> = events.iter().rev().map(short).collect();
    assert_eq!(
        told,
        [
            "kept DELETE_IN_PROGRESS User Initiated",
            "Topic DELETE_IN_PROGRESS ",
            "Topic DELETE_COMPLETE ",
            "NodeInstanceRole DELETE_IN_PROGRESS ",
            "NodeInstanceRole DELETE_FAILED Cannot delete entity, must detach all policies first.",
            "Late DELETE_IN_PROGRESS ",
            "Late DELETE_FAILED Resource deletion cancelled",
            "kept DELETE_FAILED The following resource(s) failed to delete: [Late, NodeInstanceRole]. ",
        ]
    );

    boto.moto("iam detach_role_policy", &foreign);
    cloud.cfn("delete_stack", &json!({ "StackName": "kept" })).unwrap();
    let statuses: Vec<_> = (0..3).map(|_| cloud.status(&own.id).0).collect();
    assert_eq!(statuses, ["DELETE_IN_PROGRESS", "DELETE_IN_PROGRESS", "DELETE_COMPLETE"]);
    let gone = boto.ask_in(REGION, &boto.url, "iam get_role", &json!({ "RoleName": name }));
    assert_eq!(gone.unwrap_err().0, "NoSuchEntity");
    // What went the first time is not deleted twice.
    let events = cloud.stacks().await.remove(0).events;
    assert_eq!(events.iter().filter(|event| event.logical_id == "Topic").count(), 2);
    cloud.known();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_retained_stays_and_what_is_forced_is_left_behind() {
    let failed = |name: &str| {
        let own = stack(name, vec![role(&format!("{name}-role"), "foreign"), topic("Topic")]);
        Stack { status: "DELETE_FAILED".to_owned(), ..own }
    };
    let (retained, forced) = (failed("retained"), failed("forced"));
    let cloud = mock(vec![retained.clone(), forced.clone()]).start().await.unwrap();
    for (own, how, topic) in [
        (retained, json!({ "RetainResources": ["NodeInstanceRole", "Topic"] }), "DELETE_SKIPPED"),
        (forced, json!({ "DeletionMode": "FORCE_DELETE_STACK" }), "DELETE_COMPLETE"),
    ] {
        let mut how = how;
        how["StackName"] = json!(own.name);
        cloud.cfn("delete_stack", &how).unwrap();
        cloud.status(&own.id);
        assert_eq!(cloud.status(&own.id).0, "DELETE_COMPLETE");
        let role = json!({ "RoleName": format!("{}-role", own.name) });
        Boto::get().moto("iam get_role", &role);
        let now = cloud.stack(&own.id).await.unwrap();
        assert_eq!(now.resources[0].status, "DELETE_SKIPPED");
        assert_eq!(now.resources[1].status, topic);
    }
    cloud.known();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_around_another_fails_with_it() {
    let mut inner = stack("inner", vec![role("inner-role", "foreign")]);
    let outer_id = stack("outer", Vec::new()).id;
    inner.parent = Some(outer_id);
    let outer = stack("outer", vec![part("Inner", "AWS::CloudFormation::Stack", &inner.id)]);
    let cloud = mock(vec![outer.clone(), inner.clone()]).start().await.unwrap();
    assert_eq!(cloud.delete(&outer).0, "DELETE_FAILED");
    assert_eq!(cloud.status("inner").0, "DELETE_FAILED");
    let taken = json!({ "RoleName": "inner-role", "PolicyName": "foreign" });
    cloud.ask("iam delete_role_policy", &taken).unwrap();
    assert_eq!(cloud.delete(&outer).0, "DELETE_COMPLETE");
    assert_eq!(cloud.status(&inner.id).0, "DELETE_COMPLETE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_cloudformation_copes_and_a_part_fails_if_it_is_told_to() {
    let odd = "Internal Failure".to_owned();
    let odd = Resource { fails: Some(odd), ..part("Odd", "Custom::Odd", "odd-1") };
    let own = stack("newer", vec![role("newer-role", "foreign"), odd]);
    let cloud = mock(vec![own.clone()]).copes_with_policies().start().await.unwrap();
    let failed = "The following resource(s) failed to delete: [Odd]. ".to_owned();
    assert_eq!(cloud.delete(&own), ("DELETE_FAILED".to_owned(), failed));
    let now = cloud.stack("newer").await.unwrap();
    assert_eq!(now.resource("NodeInstanceRole").unwrap().status, "DELETE_COMPLETE");
    let reason = now.resource("Odd").unwrap().status_reason.as_deref();
    assert_eq!(reason, Some("Internal Failure"));
    cloud.change(|stacks| stacks[0].resources[1].fails = None).await;
    assert_eq!(cloud.delete(&own).0, "DELETE_COMPLETE");
}

/// By hand, what has to be done before the stacks of the deleted cluster go.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_deleted_cluster_left_goes_in_the_right_order_and_in_no_other() {
    let worlds = Worlds::start(&root().join(PYTHON), &root().join("tests/moto/orphan.py")).unwrap();
    let world = worlds.another().unwrap();
    let cloud = CloudFormationMock::before(&world.endpoint, models()).stacks(world.stacks.clone());
    let cloud = cloud.start().await.unwrap();
    let id = |name: &str| world.id(&format!("/orphan/{name}")).to_owned();
    let named = |name: &str| {
        let found = json!({ "StackName": name });
        let said = cloud.cfn("describe_stacks", &found).unwrap();
        said["Stacks"][0]["StackId"].as_str().unwrap().to_owned()
    };
    let (cluster, nodes) = (named("eksctl-kf-old-cluster"), named("eksctl-kf-old-nodegroup-ng-1"));
    let deleted = |id: &str| {
        cloud.cfn("delete_stack", &json!({ "StackName": id })).unwrap();
        cloud.status(id);
        cloud.status(id)
    };

    assert!(deleted(&cluster).1.contains("in use by eksctl-kf-old-nodegroup-ng-1"));
    // A rule for it is in the group of the machines.
    let rest = json!({ "GroupId": id("albSecurityGroup") });
    let kept = cloud.ask("ec2 delete_security_group", &rest).unwrap_err();
    assert_eq!(kept.0, "DependencyViolation");
    let both = "The following resource(s) failed to delete: [NodeInstanceRole, SG]. ";
    assert_eq!(deleted(&nodes), ("DELETE_FAILED".to_owned(), both.to_owned()));

    let role = id("nodeRole");
    let inline = json!({ "RoleName": role, "PolicyName": "iam_alb_ingress_policy" });
    cloud.ask("iam delete_role_policy", &inline).unwrap();
    let attached = json!({ "RoleName": role, "PolicyArn": id("foreignPolicy") });
    cloud.ask("iam detach_role_policy", &attached).unwrap();
    assert!(deleted(&nodes).1.ends_with("[SG]. "));
    let left = json!({ "NetworkInterfaceId": id("networkInterface") });
    cloud.ask("ec2 delete_network_interface", &left).unwrap();
    assert_eq!(deleted(&nodes).0, "DELETE_COMPLETE");

    let (status, why) = deleted(&cluster);
    assert_eq!(status, "DELETE_FAILED");
    for part in ["InternetGateway", "SubnetPublicUSWEST2A", "VPC", "VPCGatewayAttachment"] {
        assert!(why.contains(part), "{why}");
    }
    let group =
        |name: &str| cloud.ask("ec2 delete_security_group", &json!({ "GroupId": id(name) }));
    assert_eq!(group("classicSecurityGroup").unwrap_err().0, "DependencyViolation");
    let classic = json!({ "LoadBalancerName": id("classic") });
    cloud.ask("elb delete_load_balancer", &classic).unwrap();
    cloud.ask("elbv2 delete_load_balancer", &json!({ "LoadBalancerArn": id("alb") })).unwrap();
    for name in ["classicSecurityGroup", "albSecurityGroup", "leftSecurityGroup"] {
        group(name).unwrap();
    }
    let account = named("eksctl-kf-old-addon-iamserviceaccount-kubeflow-profiles-controller");
    assert_eq!(deleted(&account).0, "DELETE_COMPLETE");
    assert_eq!(deleted(&cluster), ("DELETE_COMPLETE".to_owned(), String::new()));
    let gone = cloud.ask("ec2 describe_vpcs", &json!({ "VpcIds": [id("vpc")] }));
    assert_eq!(gone.unwrap_err().0, "InvalidVpcID.NotFound");

    // The neighbour is as it was.
    let neighbour = &world.ids["neighbour"];
    let profiles = json!({ "RoleName": neighbour["nodeRole"] });
    let profiles = cloud.ask("iam list_instance_profiles_for_role", &profiles).unwrap();
    let profile = &profiles["InstanceProfiles"][0]["InstanceProfileName"];
    assert_eq!(profile, &neighbour["instanceProfile"]);
    cloud.ask("ec2 describe_vpcs", &json!({ "VpcIds": [neighbour["vpc"]] })).unwrap();

    // Somebody makes the cluster anew.
    let role = format!("arn:aws:iam::{}:role/any", world.account);
    let anew = json!({ "name": "kf-old", "roleArn": role,
        "resourcesVpcConfig": { "subnetIds": neighbour["subnets"] } });
    world.ask_eks("POST", "/clusters", &anew).await.unwrap();
    let seen = cloud.ask("eks describe_cluster", &json!({ "name": "kf-old" })).unwrap();
    assert_eq!(seen["cluster"]["status"], "ACTIVE");
    let missing = world.ask("iam", "GetRole", &[("RoleName", &id("nodeRole"))]).await;
    assert!(missing.unwrap_err().to_string().contains("NoSuchEntity"));

    // In another world nothing has happened.
    let other = worlds.another().unwrap();
    assert_eq!((other.id("/orphan/vpc"), &other.stacks), (world.id("/orphan/vpc"), &world.stacks));
    let vpc = json!({ "VpcIds": [id("vpc")] });
    Boto::get().ask_in(REGION, &other.endpoint, "ec2 describe_vpcs", &vpc).unwrap();
    cloud.known();
}
