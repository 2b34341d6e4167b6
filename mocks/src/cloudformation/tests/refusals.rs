use serde_json::json;

use super::*;
use crate::cloudformation::Output;

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_stack_is_kept_until_the_protection_is_lifted() {
    let own = Stack { termination_protection: true, ..stack("kept", vec![topic("Topic")]) };
    let cloud = mock(vec![own.clone()]).start().await.unwrap();
    let message = refused(cloud.cfn("delete_stack", &json!({ "StackName": "kept" })));
    assert_eq!(message, "Stack [kept] cannot be deleted while TerminationProtection is enabled");
    assert_eq!(cloud.status("kept").0, "CREATE_COMPLETE");
    let lift = json!({ "StackName": "kept", "EnableTerminationProtection": false });
    let said = cloud.cfn("update_termination_protection", &lift).unwrap();
    assert_eq!(said["StackId"], own.id);
    assert_eq!(cloud.delete(&own).0, "DELETE_COMPLETE");
    cloud.known();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_retained_or_forced_before_a_deletion_failed() {
    let own = stack("whole", vec![topic("Topic")]);
    let cloud = mock(vec![own.clone()]).start().await.unwrap();
    let retain = json!({ "StackName": "whole", "RetainResources": ["Topic"] });
    assert_eq!(
        refused(cloud.cfn("delete_stack", &retain)),
        format!(
            "Invalid operation on stack [{}]. When you delete a stack, specify which resources to \
             retain only when the stack is in the DELETE_FAILED state.",
            own.id
        )
    );
    let force = json!({ "StackName": "whole", "DeletionMode": "FORCE_DELETE_STACK" });
    let message = refused(cloud.cfn("delete_stack", &force));
    assert!(message.starts_with(&format!("Invalid operation on stack [{}].", own.id)), "{message}");
    let gone = Resource { status: "DELETE_COMPLETE".to_owned(), ..topic("Topic") };
    cloud
        .change(|stacks| {
            "DELETE_FAILED".clone_into(&mut stacks[0].status);
            stacks[0].resources = vec![gone];
        })
        .await;
    let message = refused(cloud.cfn("delete_stack", &retain));
    assert!(message.contains("must be in a valid state"), "{message}");
    cloud.known();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_is_not_interrupted_and_a_deletion_not_begun_twice() {
    let own = |status: &str| Stack { status: status.to_owned(), ..stack("busy", Vec::new()) };
    let cloud = mock(vec![own("UPDATE_IN_PROGRESS")]).start().await.unwrap();
    let delete = json!({ "StackName": "busy" });
    let message = refused(cloud.cfn("delete_stack", &delete));
    assert_eq!(message, "Stack [busy] cannot be deleted while in status UPDATE_IN_PROGRESS");
    cloud.change(|stacks| stacks[0] = own("DELETE_IN_PROGRESS")).await;
    cloud.cfn("delete_stack", &delete).unwrap();
    assert_eq!(cloud.stack("busy").await.unwrap().events.len(), 0);
    // Of what isn't there, AWS says nothing.
    cloud.cfn("delete_stack", &json!({ "StackName": "none" })).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_whose_export_is_used_goes_back_to_what_it_was() {
    let export = Output {
        key: "VPC".to_owned(),
        value: "vpc-1".to_owned(),
        export: Some("network::VPC".to_owned()),
    };
    let network = Stack {
        outputs: vec![export],
        status: "UPDATE_COMPLETE".to_owned(),
        ..stack("network", vec![topic("Topic")])
    };
    let nodes = Stack { imports: vec!["network::VPC".to_owned()], ..stack("nodes", Vec::new()) };
    let cloud = mock(vec![network.clone(), nodes.clone()]).start().await.unwrap();
    let name = json!({ "ExportName": "network::VPC" });
    assert_eq!(cloud.cfn("list_imports", &name).unwrap()["Imports"], json!(["nodes"]));
    let (status, why) = cloud.delete(&network);
    assert_eq!(status, "UPDATE_COMPLETE");
    let expected = "Delete canceled. Cannot delete export network::VPC as it is in use by nodes.";
    assert_eq!(why, expected);
    assert_eq!(cloud.stack("network").await.unwrap().resources, network.resources);
    assert_eq!(cloud.delete(&nodes).0, "DELETE_COMPLETE");
    let message = refused(cloud.cfn("list_imports", &name));
    assert_eq!(message, "Export 'network::VPC' is not imported by any stack.");
    assert_eq!(cloud.delete(&network).0, "DELETE_COMPLETE");
    assert_eq!(cloud.cfn("list_exports", &json!({})).unwrap()["Exports"], json!([]));
    cloud.known();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_role_that_is_gone_stops_a_deletion() {
    let arn = "arn:aws:iam::123456789012:role/gone";
    let own = Stack { role_arn: Some(arn.to_owned()), ..stack("served", Vec::new()) };
    let cloud = mock(vec![own]).start().await.unwrap();
    let message = refused(cloud.cfn("delete_stack", &json!({ "StackName": "served" })));
    assert_eq!(message, format!("Role {arn} is invalid or cannot be assumed"));
    role("deleter", "all");
    let with = "arn:aws:iam::123456789012:role/deleter";
    cloud.cfn("delete_stack", &json!({ "StackName": "served", "RoleARN": with })).unwrap();
    assert_eq!(cloud.stack("served").await.unwrap().role_arn.as_deref(), Some(with));
}
