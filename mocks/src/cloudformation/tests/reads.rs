use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::cloudformation::Event;

#[tokio::test(flavor = "multi_thread")]
async fn stacks_come_page_by_page_and_the_deleted_by_arn_only() {
    let mut stacks: Vec<_> = (1..=5).map(|n| stack(&format!("s{n}"), Vec::new())).collect();
    "DELETE_COMPLETE".clone_into(&mut stacks[1].status);
    stacks[2].tags = BTreeMap::from([("team".to_owned(), "a & b".to_owned())]);
    let gone = stacks[1].id.clone();
    let cloud = mock(stacks).pages_of(2).start().await.unwrap();
    let names = |said: &Value, list: &str| -> Vec<String> {
        let all = said[list].as_array().unwrap().iter();
        all.map(|stack| stack["StackName"].as_str().unwrap().to_owned()).collect()
    };
    let first = cloud.cfn("describe_stacks", &json!({})).unwrap();
    assert_eq!(names(&first, "Stacks"), ["s1", "s3"]);
    assert_eq!(first["Stacks"][1]["Tags"], json!([{ "Key": "team", "Value": "a & b" }]));
    let next = json!({ "NextToken": first["NextToken"] });
    let second = cloud.cfn("describe_stacks", &next).unwrap();
    assert_eq!(names(&second, "Stacks"), ["s4", "s5"]);
    assert_eq!(second.get("NextToken"), None);
    let filter = json!({ "StackStatusFilter": ["DELETE_COMPLETE"] });
    let listed = cloud.cfn("list_stacks", &filter).unwrap();
    assert_eq!(names(&listed, "StackSummaries"), ["s2"]);
    assert_eq!(cloud.status(&gone).0, "DELETE_COMPLETE");
    for method in ["describe_stacks", "list_stack_resources", "get_template"] {
        let message = refused(cloud.cfn(method, &json!({ "StackName": "s2" })));
        assert_eq!(message, "Stack with id s2 does not exist");
    }
    let message = refused(cloud.cfn("describe_stack_events", &json!({ "StackName": "s2" })));
    assert_eq!(message, "Stack [s2] does not exist");
    cloud.known();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_is_seen_in_its_region() {
    let cloud = mock(vec![stack("here", Vec::new())]).start().await.unwrap();
    let there =
        Boto::get().ask_in("eu-west-1", &cloud.url(), "cloudformation describe_stacks", &json!({}));
    assert_eq!(there.unwrap()["Stacks"], json!([]));
    assert_eq!(cloud.status("here").0, "CREATE_COMPLETE");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_newest_first_and_resources_and_templates_as_they_are() {
    let event = |status: &str, time: &str| Event {
        status: status.to_owned(),
        time: time.to_owned(),
        ..Event::default()
    };
    let own = Stack {
        events: vec![
            event("CREATE_IN_PROGRESS", "2025-03-01T10:00:00Z"),
            event("CREATE_COMPLETE", "2025-03-01T10:05:00Z"),
        ],
        template: json!({ "Resources": { "A": { "Type": "AWS::SNS::Topic" } } }),
        ..stack("told", vec![topic("A"), topic("B")])
    };
    let cloud = mock(vec![own]).pages_of(1).start().await.unwrap();
    let named = json!({ "StackName": "told" });
    let events = cloud.cfn("describe_stack_events", &named).unwrap();
    let newest = &events["StackEvents"][0];
    assert_eq!(newest["ResourceStatus"], "CREATE_COMPLETE");
    assert_eq!(newest["LogicalResourceId"], "told");
    assert_eq!(newest["ResourceType"], "AWS::CloudFormation::Stack");
    let next = json!({ "StackName": "told", "NextToken": events["NextToken"] });
    let older = cloud.cfn("describe_stack_events", &next).unwrap();
    assert_eq!(older["StackEvents"][0]["ResourceStatus"], "CREATE_IN_PROGRESS");
    let resources = cloud.cfn("list_stack_resources", &named).unwrap();
    assert_eq!(resources["StackResourceSummaries"][0]["LogicalResourceId"], "A");
    assert!(resources["NextToken"].is_string());
    let all = cloud.cfn("describe_stack_resources", &named).unwrap();
    assert_eq!(all["StackResources"].as_array().unwrap().len(), 2);
    let template = cloud.cfn("get_template", &named).unwrap();
    assert_eq!(template["TemplateBody"]["Resources"]["A"]["Type"], "AWS::SNS::Topic");
    cloud.known();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_cloudformations_is_motos() {
    role("passed-on", "all");
    let cloud = mock(Vec::new()).start().await.unwrap();
    let listed = cloud.ask("iam list_role_policies", &json!({ "RoleName": "passed-on" }));
    assert_eq!(listed.unwrap()["PolicyNames"], json!(["all"]));
    let clusters = cloud.ask("eks list_clusters", &json!({})).unwrap();
    assert_eq!(clusters["clusters"], json!([]));
    let said: Vec<_> = cloud.calls().iter().map(ToString::to_string).collect();
    assert_eq!(said, ["iam:ListRolePolicies RoleName=passed-on", "eks:GET /clusters"]);
    assert_eq!(cloud.changes(), []);
}
