//! What holds whatever AWS and its controllers say. The fuzz target and the tests below try it: each
//! function panics where it doesn't hold.

use std::path::Path;

use kfcheck_kube::Ingress;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    Document, Failed, Operation, Role, Stack, StackEvent, StackResource,
    cleanup::{Owned, Stood, journal},
    complaints::{Trouble, denied_action, denied_role, error_in},
    conflict, foreign_inline, is_in_use, shortage,
    sign_in::asked_for,
    trust::Bearer,
};

/// Whatever AWS says in JSON (a stack's events, parts and template, a policy), the text of an
/// annotation, or lines of a controller's log or of a journal.
pub fn said(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    lines(text);
    annotation(text);
    policy(&Document::encoded(text));
    journal_of(text);
    let Ok(value) = serde_json::from_str::<Value>(text) else { return };
    kept::<Vec<Stack>>(text);
    kept::<Vec<StackEvent>>(text);
    kept::<Vec<StackResource>>(text);
    kept::<Role>(text);
    if let Ok(told) = serde_json::from_str::<Vec<StackEvent>>(text) {
        events(&told);
    }
    template(&value);
}

/// Reads a value, writes it and reads that; both have to be the same.
fn kept<T: Serialize + DeserializeOwned>(text: &str) {
    let Ok(value) = serde_json::from_str::<T>(text) else { return };
    let written = serde_json::to_string(&value).unwrap_or_default();
    let again = serde_json::from_str::<T>(&written).map(|again| serde_json::to_string(&again).ok());
    assert_eq!(again.ok().flatten().as_ref(), Some(&written), "{}", std::any::type_name::<T>());
}

/// No event gets lost among the operations, and nothing failed that no event tells of.
fn events(events: &[StackEvent]) {
    let operations = Operation::all(events);
    assert_eq!(operations.iter().map(|operation| operation.0.len()).sum::<usize>(), events.len());
    assert!(operations.iter().all(|operation| !operation.0.is_empty()));
    let failed = Failed::of(events);
    assert!(failed.all().all(|failure| events.contains(failure)));
    assert!(failed.all().count() + failed.cancelled <= events.len());
    let _ = failed.shortage();
}

/// A template doesn't give a role more than it is long.
fn template(template: &Value) {
    let stood = Stood { stack: "s", id: "arn:aws:cloudformation:us-west-2:111122223333:stack/s/1" };
    let length = template.to_string().len();
    for role in
        template["Resources"].as_object().into_iter().flat_map(serde_json::Map::keys).take(8)
    {
        let owned = Owned::of(template, &[], role, &stood);
        assert!(owned.inline.len() + owned.attached.len() + owned.untold.len() <= length);
        let names: Vec<_> = owned.inline.iter().cloned().collect();
        assert!(foreign_inline("s", &[], &names).len() <= names.len());
    }
}

/// A policy is read again as it is written, and whoever it is made to let in is let in.
fn policy(document: &Document) {
    kept::<Document>(&document.0.to_string());
    let bearer = Bearer::new("https://oidc.eks.us-west-2.amazonaws.com/id/AAAA", "kubeflow", "alb");
    let kept_out = bearer.is_kept_out(document);
    let mended = bearer.let_in(document, "111122223333");
    if kept_out.is_some() {
        assert_eq!(bearer.is_kept_out(&Document(mended)), None, "{}", document.0);
    }
}

/// What is quoted of a text is a part of it.
fn lines(text: &str) {
    let _ = (Trouble::of(text), conflict(text), is_in_use(text));
    for quoted in
        [Some(error_in(text)), denied_action(text), denied_role(text)].into_iter().flatten()
    {
        assert!(text.contains(quoted));
    }
    if let Some(short) = shortage(text) {
        let lower = text.to_lowercase();
        let all = short.lacking.iter().chain(&short.offered).chain(&short.machine);
        assert!(all.into_iter().all(|word| lower.contains(&**word)));
    }
}

/// What an Ingress is told of sign-in.
fn annotation(text: &str) {
    let told = json!({ "alb.ingress.kubernetes.io/auth-type": "cognito",
        "alb.ingress.kubernetes.io/auth-idp-cognito": text });
    let ingress = json!({ "metadata": { "name": "a", "annotations": told } });
    let ingress: Result<Ingress, _> = serde_json::from_value(ingress);
    let asked = ingress.ok().and_then(|ingress| asked_for(&ingress));
    assert!(asked.is_none_or(|asked| asked.user_pool_arn.len() <= text.len()));
}

/// A journal: there are no more entries than lines, and as many steps as were planned and added.
fn journal_of(text: &str) {
    if let Ok(entries) = journal::read(text.as_bytes(), Path::new("a.jsonl")) {
        assert!(entries.len() <= text.lines().count());
        journal::fuzzing::progress(&entries);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EVENTS: &str = r#"[{ "StackId": "arn:s", "EventId": "3", "StackName": "s",
        "LogicalResourceId": "s", "PhysicalResourceId": "arn:s",
        "ResourceType": "AWS::CloudFormation::Stack", "Timestamp": "2020-08-07T08:00:03Z",
        "ResourceStatus": "DELETE_FAILED", "ResourceStatusReason": "The following resource(s) failed to delete: [Role]." },
      { "StackId": "arn:s", "StackName": "s", "LogicalResourceId": "Role", "Timestamp": 1596787201.5,
        "ResourceStatus": "DELETE_FAILED", "ResourceStatusReason": "Cannot delete entity, must detach all policies first. password=hunter2" },
      { "StackId": "arn:s", "StackName": "s", "LogicalResourceId": "s", "PhysicalResourceId": "arn:s",
        "ResourceType": "AWS::CloudFormation::Stack", "Timestamp": null, "ClientRequestToken": "t",
        "ResourceStatus": "DELETE_IN_PROGRESS", "ResourceStatusReason": "User Initiated" }]"#;

    const TEMPLATE: &str = r#"{ "Resources": { "Role": { "Type": "AWS::IAM::Role", "Properties": {
        "ManagedPolicyArns": [{ "Fn::Sub": "arn:${AWS::Partition}:iam::aws:policy/A" }, "b"],
        "Policies": [{ "PolicyName": { "Fn::Join": ["-", [{ "Ref": "AWS::StackName" }, "x"]] } }] } },
        "P": { "Type": "AWS::IAM::Policy", "Properties": { "PolicyName": "p", "Roles": [{ "Ref": "Role" }] } } } }"#;

    const POLICY: &str = r#"{ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow",
        "Action": "sts:AssumeRoleWithWebIdentity", "Principal": { "Federated":
        "arn:aws:iam::1:oidc-provider/oidc.eks.us-west-2.amazonaws.com/id/AAAA" }, "Condition": {
        "StringLike": { "oidc.eks.us-west-2.amazonaws.com/id/AAAA:sub": "system:serviceaccount:*:a?b" } } }] }"#;

    const JOURNAL: &str = concat!(
        r#"{"at":"2026-11-21T12:00:00Z","entry":"begun","plan":{"schema":"kfcheck/cleanup/v1","accountId":"1","region":"r","cluster":"c","wishes":{},"steps":[],"kept":[],"digest":""},"caller":"a","version":"0"}"#,
        "\n",
        r#"{"at":"2026-11-21T12:00:01Z","entry":"doing","step":0,"found":null}"#,
        "\n",
        r#"{"at":"2026-11-21T12:00:02Z","entry":"added","before":0,"steps":[]}"#,
        "\n",
    );

    const LINE: &str = r#"E1 controller "error"="AccessDenied: arn:aws:sts::1:assumed-role/alb/1 is not authorized to perform: elasticloadbalancing:AddTags, p3.8xlarge is not supported in your requested Availability Zone (us-east-1e). Please retry by not specifying one or choosing us-east-1a, us-east-1b""#;

    fn changed(text: &str, changes: &[(prop::sample::Index, usize, String)]) -> String {
        let mut chars: Vec<char> = text.chars().collect();
        for (at, length, by) in changes {
            let at = at.index(chars.len() + 1);
            let end = (at + length).min(chars.len());
            chars.splice(at..end, by.chars());
        }
        chars.into_iter().collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_aws_says_may_be_changed_anywhere(
            changes in prop::collection::vec(
                (any::<prop::sample::Index>(), 0_usize..9, r#"[ -~]{0,5}|null|\[\]|\{\}|\*|1e999|é"#), 0..4,
            ),
        ) {
            for text in [EVENTS, TEMPLATE, POLICY, JOURNAL, LINE] {
                said(changed(text, &changes).as_bytes());
            }
        }

        #[test]
        fn any_text_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), text in any::<String>()) {
            said(&bytes);
            said(text.as_bytes());
        }
    }
}
