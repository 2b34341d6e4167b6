//! CloudFormation.

use serde_json::{Value, json};

use super::{Ask, Failure};

/// More resources than this, `DescribeStackResources` leaves out without a word.
const MOST_RESOURCES: usize = 100;

/// Answers what is asked of stacks, their events, resources and templates.
pub(super) fn answer(ask: &Ask<'_>) -> Result<Value, Failure> {
    let call = ask.call;
    let stack = call.text("StackName");
    match ask.operation() {
        "DescribeStacks" => {
            let mut stacks = ask.list("describe-stacks", "Stacks")?;
            stacks.retain(|each| match stack {
                Some(stack) => is(each, stack),
                None => each["StackStatus"] != "DELETE_COMPLETE",
            });
            match stack {
                Some(stack) if stacks.is_empty() => Err(absent(stack)),
                _ => ask.page("", "NextToken").listed("Stacks", stacks, "NextToken"),
            }
        }
        "DescribeStackEvents" => {
            let mut events = ask.list("describe-stack-events", "StackEvents")?;
            let stack = stack.unwrap_or_default();
            let known = known(ask, stack);
            events.retain(|event| of(ask, event, stack));
            if known == Some(false) || (known.is_none() && events.is_empty()) {
                let message = format!("Stack [{stack}] does not exist");
                return Err(Failure::Refused("ValidationError", message));
            }
            ask.page("", "NextToken").listed("StackEvents", events, "NextToken")
        }
        "ListStackResources" => {
            let mut summaries = resources(ask)?;
            for summary in summaries.iter_mut().filter_map(Value::as_object_mut) {
                let changed = summary.remove("Timestamp").unwrap_or_default();
                summary.insert("LastUpdatedTimestamp".to_owned(), changed);
            }
            let page = ask.page("", "NextToken");
            page.listed("StackResourceSummaries", summaries, "NextToken")
        }
        "DescribeStackResources" => {
            let mut resources = resources(ask)?;
            for field in ["LogicalResourceId", "PhysicalResourceId"] {
                if let Some(id) = call.text(field) {
                    resources.retain(|resource| resource[field] == id);
                }
            }
            resources.truncate(MOST_RESOURCES);
            Ok(json!({ "StackResources": resources }))
        }
        "GetTemplate" => {
            call.takes_only(&["StackName"])?;
            let stack = stack.unwrap_or_default();
            if known(ask, stack) == Some(false) {
                return Err(absent(stack));
            }
            ask.entry("get-template", stack)
        }
        _ => Err(call.unanswered()),
    }
}

/// The resources of the stack that is asked about.
fn resources(ask: &Ask<'_>) -> Result<Vec<Value>, Failure> {
    let mut all = ask.list("describe-stack-resources", "StackResources")?;
    if let Some(stack) = ask.call.text("StackName") {
        let known = known(ask, stack);
        all.retain(|resource| of(ask, resource, stack));
        if known == Some(false) || (known.is_none() && all.is_empty()) {
            return Err(absent(stack));
        }
    }
    Ok(all)
}

/// Whether there is such a stack; none where the bundle knows of no stacks.
fn known(ask: &Ask<'_>, stack: &str) -> Option<bool> {
    let stacks = ask.list("describe-stacks", "Stacks").ok()?;
    Some(stacks.iter().any(|each| is(each, stack)))
}

/// Whether a stack is the one meant. One that is deleted has no name any more.
fn is(stack: &Value, meant: &str) -> bool {
    let named = stack["StackName"] == meant && stack["StackStatus"] != "DELETE_COMPLETE";
    named || stack["StackId"] == meant
}

/// Whether something is of the stack meant. Where its stack's id is not said, the name counts.
fn of(ask: &Ask<'_>, part: &Value, stack: &str) -> bool {
    let stacks = ask.list_if_any("describe-stacks", "Stacks");
    let meant = stacks.into_iter().find(|each| is(each, stack));
    let meant = meant.unwrap_or_else(|| json!({ "StackName": stack, "StackId": stack }));
    let said = |id: &Value| id.as_str().is_some_and(|id| id.starts_with("arn:"));
    if said(&part["StackId"]) && said(&meant["StackId"]) {
        return part["StackId"] == meant["StackId"];
    }
    part["StackName"] == meant["StackName"]
}

fn absent(stack: &str) -> Failure {
    let message = format!("Stack with id {stack} does not exist");
    Failure::Refused("ValidationError", message)
}
