//! The operations that only read.

use serde_json::{Value, json};

use crate::aws::{failure::Failure, page::Page, request::Call};

use super::{
    account::Account,
    stack::{Event, Resource, Stack},
};

/// More resources than this, `DescribeStackResources` leaves out without a word.
const MOST_RESOURCES: usize = 100;

/// Answers an operation that reads, by the names of the model's members.
pub(super) fn answer(
    account: &Account,
    call: &Call<'_>,
    page_size: usize,
) -> Result<Value, Failure> {
    let named = call.text("StackName");
    let stack = || {
        let meant = named.unwrap_or_default();
        let found = account.find(meant, &call.region).map(|at| &account.stacks[at]);
        found.ok_or_else(|| absent(meant))
    };
    let here = || account.stacks.iter().filter(|stack| stack.region() == call.region);
    let page = Page::of(call, "", "NextToken", page_size);
    match call.operation.name.as_str() {
        "DescribeStacks" => {
            let stacks = match named {
                Some(_) => vec![described(account, stack()?)],
                None => here().filter(|s| !s.is_deleted()).map(|s| described(account, s)).collect(),
            };
            page.listed("Stacks", stacks, "NextToken")
        }
        "ListStacks" => {
            let wanted = call.texts("StackStatusFilter");
            let shown =
                |stack: &&Stack| wanted.is_empty() || wanted.contains(&stack.status.as_str());
            let all = here().filter(shown).map(|stack| described(account, stack)).collect();
            page.listed("StackSummaries", all, "NextToken")
        }
        "DescribeStackEvents" => {
            let meant = named.unwrap_or_default();
            let message = format!("Stack [{meant}] does not exist");
            let stack = stack().map_err(|_| Failure::Refused("ValidationError", message))?;
            let events = stack.events.iter().enumerate().rev();
            let events = events.map(|(nth, event)| happened(stack, nth, event)).collect();
            page.listed("StackEvents", events, "NextToken")
        }
        "ListStackResources" => {
            let stack = stack()?;
            let all = stack.resources.iter().map(|resource| part(stack, resource)).collect();
            page.listed("StackResourceSummaries", all, "NextToken")
        }
        "DescribeStackResources" => {
            let physical = call.text("PhysicalResourceId");
            if named.is_some() == physical.is_some() {
                let why = "Either StackName or PhysicalResourceId must be specified".to_owned();
                return Err(Failure::Refused("ValidationError", why));
            }
            let stack = match physical {
                None => stack()?,
                Some(id) => {
                    let has = |stack: &&Stack| stack.resources.iter().any(|r| r.physical_id == id);
                    let message = format!("Stack for {id} does not exist");
                    let found = here().filter(|stack| !stack.is_deleted()).find(has);
                    found.ok_or(Failure::Refused("ValidationError", message))?
                }
            };
            let logical = call.text("LogicalResourceId");
            let wanted = |r: &&Resource| logical.is_none_or(|id| r.logical_id == id);
            let all = stack.resources.iter().filter(wanted).map(|resource| part(stack, resource));
            Ok(json!({ "StackResources": all.take(MOST_RESOURCES).collect::<Vec<_>>() }))
        }
        "GetTemplate" => {
            let stack = stack()?;
            Ok(json!({ "TemplateBody": stack.template,
                "StagesAvailable": ["Original", "Processed"] }))
        }
        "ListExports" => {
            let entry =
                |(name, value, id)| json!({ "Name": name, "Value": value, "ExportingStackId": id });
            let all = account.exports(&call.region).map(entry).collect();
            page.listed("Exports", all, "NextToken")
        }
        "ListImports" => {
            let name = call.text("ExportName").unwrap_or_default();
            let all = account.importers(name, &call.region);
            if all.is_empty() {
                let message = format!("Export '{name}' is not imported by any stack.");
                return Err(Failure::Refused("ValidationError", message));
            }
            page.listed("Imports", all.into_iter().map(Value::from).collect(), "NextToken")
        }
        _ => Err(call.unanswered()),
    }
}

/// There is no such stack.
pub(super) fn absent(stack: &str) -> Failure {
    let message = format!("Stack with id {stack} does not exist");
    Failure::Refused("ValidationError", message)
}

/// A stack, with what `DescribeStacks` and `ListStacks` have of it.
fn described(account: &Account, stack: &Stack) -> Value {
    let tags = stack.tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value }));
    let outputs = stack.outputs.iter().map(|output| {
        json!({ "OutputKey": output.key, "OutputValue": output.value, "ExportName": output.export })
    });
    json!({
        "StackId": stack.id,
        "StackName": stack.name,
        "CreationTime": stack.creation_time,
        "DeletionTime": stack.deletion_time,
        "StackStatus": stack.status,
        "StackStatusReason": stack.status_reason,
        "EnableTerminationProtection": stack.termination_protection,
        "RoleARN": stack.role_arn,
        "ParentId": stack.parent,
        "RootId": root(account, stack),
        "DisableRollback": false,
        "Capabilities": ["CAPABILITY_IAM"],
        "NotificationARNs": [],
        "RollbackConfiguration": {},
        "DriftInformation": { "StackDriftStatus": "NOT_CHECKED" },
        "Tags": tags.collect::<Vec<_>>(),
        "Outputs": outputs.collect::<Vec<_>>(),
    })
}

/// The ARN of the outermost stack around one that is nested.
fn root<'a>(account: &'a Account, stack: &'a Stack) -> Option<&'a str> {
    let mut root = stack.parent.as_deref()?;
    for _ in &account.stacks {
        let above = account.stacks.iter().find(|stack| stack.id == root);
        match above.and_then(|stack| stack.parent.as_deref()) {
            Some(parent) => root = parent,
            None => break,
        }
    }
    Some(root)
}

fn part(stack: &Stack, resource: &Resource) -> Value {
    let last = stack.events.iter().rev().find(|event| event.logical_id == resource.logical_id);
    let time = last.map_or(&stack.creation_time, |event| &event.time);
    json!({
        "StackId": stack.id,
        "StackName": stack.name,
        "LogicalResourceId": resource.logical_id,
        "PhysicalResourceId": Some(&resource.physical_id).filter(|id| !id.is_empty()),
        "ResourceType": resource.kind,
        "ResourceStatus": resource.state(),
        "ResourceStatusReason": resource.status_reason,
        "Timestamp": time,
        "LastUpdatedTimestamp": time,
        "DriftInformation": { "StackResourceDriftStatus": "NOT_CHECKED" },
    })
}

fn happened(stack: &Stack, nth: usize, event: &Event) -> Value {
    let tail = stack.id.rsplit('/').next().unwrap_or_default();
    json!({
        "StackId": stack.id,
        "StackName": stack.name,
        "EventId": format!("{}-{}-{nth}-{tail}", event.logical_id, event.status),
        "LogicalResourceId": event.logical_id,
        "PhysicalResourceId": event.physical_id,
        "ResourceType": event.kind,
        "Timestamp": event.time,
        "ResourceStatus": event.status,
        "ResourceStatusReason": event.reason,
        "ClientRequestToken": event.client_request_token,
    })
}
