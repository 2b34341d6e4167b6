//! CloudFormation.

use serde_json::{Value, json};

use crate::aws::text;

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
            let message = format!("Stack [{stack}] does not exist");
            let absent = || Failure::Refused("ValidationError", message);
            Stack::named(ask, stack).keep_own(&mut events).ok_or_else(absent)?;
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
            if stack.is_some() == call.text("PhysicalResourceId").is_some() {
                let why = "either StackName or PhysicalResourceId, and not both".to_owned();
                return Err(Failure::Malformed(why));
            }
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
            if Stack::named(ask, stack).known == Some(false) {
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
    if let Some(name) = ask.call.text("StackName") {
        Stack::named(ask, name).keep_own(&mut all).ok_or_else(|| absent(name))?;
    }
    Ok(all)
}

/// The stack that a request names.
struct Stack {
    /// Whether there is one; none where the bundle knows of no stacks.
    known: Option<bool>,
    name: String,
    id: String,
}

impl Stack {
    fn named(ask: &Ask<'_>, meant: &str) -> Self {
        let stacks = ask.list("describe-stacks", "Stacks").ok();
        let known = stacks.as_ref().map(|all| all.iter().any(|stack| is(stack, meant)));
        let found = stacks.into_iter().flatten().find(|stack| is(stack, meant));
        let found = found.unwrap_or_else(|| json!({ "StackName": meant, "StackId": meant }));
        let (name, id) = (text(&found, "StackName").to_owned(), text(&found, "StackId").to_owned());
        Self { known, name, id }
    }

    /// Keeps what is of the stack; none if there is no such stack. Where the bundle has no stacks,
    /// there is one of which it has something.
    fn keep_own(&self, parts: &mut Vec<Value>) -> Option<()> {
        parts.retain(|part| self.owns(part));
        self.known.unwrap_or(!parts.is_empty()).then_some(())
    }

    /// Whether something is of the stack. Where one of the ids is not known, the name counts.
    fn owns(&self, part: &Value) -> bool {
        let id = text(part, "StackId");
        if id.starts_with("arn:") && self.id.starts_with("arn:") {
            return id == self.id;
        }
        text(part, "StackName") == self.name
    }
}

/// Whether a stack is the one meant. One that is deleted has no name any more.
fn is(stack: &Value, meant: &str) -> bool {
    let named = stack["StackName"] == meant && stack["StackStatus"] != "DELETE_COMPLETE";
    named || stack["StackId"] == meant
}

fn absent(stack: &str) -> Failure {
    let message = format!("Stack with id {stack} does not exist");
    Failure::Refused("ValidationError", message)
}
