use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// A stack, as the stand-in keeps it. In JSON its fields are in camel case.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Stack {
    /// Its name.
    pub name: String,
    /// Its ARN. The region in it is the one where it is seen.
    pub id: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// `CREATE_COMPLETE`, `DELETE_FAILED`, …
    pub status: String,
    /// Why it has that status.
    pub status_reason: Option<String>,
    /// When it was made.
    pub creation_time: String,
    /// When its deletion began last.
    pub deletion_time: Option<String>,
    /// The ARN of the stack in which it is nested.
    pub parent: Option<String>,
    /// Whether it can't be deleted before that is taken back.
    pub termination_protection: bool,
    /// The role that CloudFormation takes on for it; it must be there for a deletion.
    #[serde(rename = "roleARN")]
    pub role_arn: Option<String>,
    /// What it is made of, in the order in which it was made. Deletion goes the other way.
    pub resources: Vec<Resource>,
    /// What its template says: a text, or an object that is shown as JSON.
    pub template: Value,
    /// What it gives away.
    pub outputs: Vec<Output>,
    /// The names of the exports of other stacks that it uses.
    pub imports: Vec<String>,
    /// What has happened to it, the oldest first.
    pub events: Vec<Event>,
}

/// One part of a stack.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Resource {
    /// Its name in the template: `NodeInstanceRole`.
    pub logical_id: String,
    /// `AWS::IAM::Role`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is called where it is: a role's name, `sg-…`, an ARN.
    pub physical_id: String,
    /// `CREATE_COMPLETE`, …; that is what it is if it is empty.
    pub status: String,
    /// Why it has that status.
    pub status_reason: Option<String>,
    /// The parts that it needs: these are deleted after it.
    pub depends_on: Vec<String>,
    /// Whether its deletion policy is to keep it.
    pub retain: bool,
    /// Whether its deletion still goes on when another one fails. Then it is cancelled.
    pub slow: bool,
    /// Why its deletion fails, whatever else is true.
    pub fails: Option<String>,
    /// Of a role: what of it the template declares.
    pub owns: Owned,
    /// What else a deletion has to know: the `RouteTableId` of an association, the `GroupId` of a
    /// rule, …, as the template's properties call it.
    pub properties: Map<String, Value>,
}

/// What a template declares of a role. All else on the role came from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Owned {
    /// The names of its inline policies.
    pub inline_policies: Vec<String>,
    /// The ARNs of the policies attached to it.
    pub attached_policies: Vec<String>,
    /// The names of its instance profiles.
    pub instance_profiles: Vec<String>,
}

/// One output of a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Output {
    /// Its name in the stack.
    pub key: String,
    /// What it says.
    pub value: String,
    /// Its name for other stacks, if they may use it.
    pub export: Option<String>,
}

/// Something that happened to a stack or a part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Event {
    /// The part's name in the template; empty, or the stack's own name, where it is about the stack.
    pub logical_id: String,
    /// What that is called where it is.
    pub physical_id: String,
    /// `AWS::CloudFormation::Stack`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// `DELETE_FAILED`, …
    pub status: String,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub time: String,
    /// What the operation was begun with.
    pub client_request_token: Option<String>,
}

impl Stack {
    /// Whether it is gone. Then it has no name any more, only an ARN.
    pub fn is_deleted(&self) -> bool {
        self.status == "DELETE_COMPLETE"
    }

    /// Whether a request that names `meant` is about this stack.
    pub(super) fn is(&self, meant: &str) -> bool {
        self.id == meant || (self.name == meant && !self.is_deleted())
    }

    /// The region that its ARN names.
    pub(super) fn region(&self) -> &str {
        self.id.split(':').nth(3).unwrap_or_default()
    }

    /// The names under which other stacks use what it gives away.
    pub(super) fn exports<'a>(&'a self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let exported =
            |output: &'a Output| Some((output.export.as_deref()?, output.value.as_str()));
        self.outputs.iter().filter_map(exported)
    }

    /// One of its parts.
    pub fn resource(&self, logical_id: &str) -> Option<&Resource> {
        self.resources.iter().find(|resource| resource.logical_id == logical_id)
    }

    /// The parts in the order of their deletion: none before those that need it.
    pub(super) fn deletion_order(&self) -> Vec<usize> {
        let mut left: Vec<usize> = (0..self.resources.len()).collect();
        let mut order = Vec::new();
        while !left.is_empty() {
            let needed = |one: usize| {
                let id = &self.resources[one].logical_id;
                left.iter()
                    .any(|other| *other != one && self.resources[*other].depends_on.contains(id))
            };
            // Where all need each other, no order is right, and any will do.
            let next = left.iter().rposition(|one| !needed(*one)).unwrap_or(left.len() - 1);
            order.push(left.remove(next));
        }
        order
    }
}

impl Resource {
    /// Its status, also where none was given.
    pub(super) fn state(&self) -> &str {
        if self.status.is_empty() { "CREATE_COMPLETE" } else { &self.status }
    }

    /// A property that is a text; empty where there is none.
    pub(super) fn property(&self, name: &str) -> &str {
        self.properties.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}
