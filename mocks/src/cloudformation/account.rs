use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::stack::{Event, Resource, Stack};

/// What there is of CloudFormation.
#[derive(Default)]
pub(super) struct Account {
    pub(super) stacks: Vec<Stack>,
    /// The deletions that are under way, by the ARNs of the stacks.
    pub(super) deletions: BTreeMap<String, Deletion>,
    serial: u32,
    latest: Timestamp,
}

/// A deletion that is under way.
#[derive(Clone, Debug)]
pub(super) struct Deletion {
    /// How many reads still show it so.
    pub(super) reads_left: usize,
    pub(super) token: Option<String>,
    pub(super) retained: Vec<String>,
    pub(super) forced: bool,
    /// The status from which it began.
    pub(super) from: String,
}

impl Account {
    /// With these stacks. An event that doesn't say what it is about is about its stack.
    pub(super) fn of(mut stacks: Vec<Stack>) -> Self {
        for stack in &mut stacks {
            for event in &mut stack.events {
                if event.logical_id.is_empty() {
                    event.logical_id.clone_from(&stack.name);
                    event.physical_id.clone_from(&stack.id);
                    "AWS::CloudFormation::Stack".clone_into(&mut event.kind);
                }
            }
        }
        Self { stacks, ..Self::default() }
    }

    /// The stack that a request means, in its region.
    pub(super) fn find(&self, meant: &str, region: &str) -> Option<usize> {
        let mut found = self.stacks.iter().enumerate();
        found.find(|(_, stack)| stack.region() == region && stack.is(meant)).map(|(at, _)| at)
    }

    /// A new id, of the kind that AWS gives to requests and events.
    pub(super) fn id(&mut self) -> String {
        self.serial += 1;
        format!("{:08x}-0000-4000-8000-{:012x}", self.serial, self.serial)
    }

    /// A later moment than all before.
    pub(super) fn moment(&mut self) -> String {
        let next = self.latest.saturating_add(SignedDuration::from_millis(1));
        let next = next.unwrap_or(Timestamp::MAX);
        self.latest = Timestamp::now().max(next);
        format!("{:.3}", self.latest)
    }

    /// Gives a stack a status, and says so in its events.
    pub(super) fn set(
        &mut self,
        at: usize,
        status: &str,
        reason: Option<String>,
        token: Option<String>,
    ) {
        let time = self.moment();
        let stack = &mut self.stacks[at];
        status.clone_into(&mut stack.status);
        stack.status_reason.clone_from(&reason);
        stack.events.push(Event {
            logical_id: stack.name.clone(),
            physical_id: stack.id.clone(),
            kind: "AWS::CloudFormation::Stack".to_owned(),
            status: status.to_owned(),
            reason,
            time,
            client_request_token: token,
        });
    }

    /// Gives a part of a stack a status, and says so in the stack's events.
    pub(super) fn set_resource(
        &mut self,
        (at, part): (usize, usize),
        status: &str,
        reason: Option<String>,
        token: Option<String>,
    ) {
        let time = self.moment();
        let stack = &mut self.stacks[at];
        let resource = &mut stack.resources[part];
        status.clone_into(&mut resource.status);
        resource.status_reason.clone_from(&reason);
        let Resource { logical_id, physical_id, kind, .. } = resource.clone();
        let status = status.to_owned();
        let client_request_token = token;
        stack.events.push(Event {
            logical_id,
            physical_id,
            kind,
            status,
            reason,
            time,
            client_request_token,
        });
    }

    /// Of each export: its name, what it says, and the ARN of the stack that gives it away.
    pub(super) fn exports<'a>(
        &'a self,
        region: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str, &'a str)> {
        let here = move |stack: &&Stack| stack.region() == region && !stack.is_deleted();
        let each = |stack: &'a Stack| {
            stack.exports().map(|(name, value)| (name, value, stack.id.as_str()))
        };
        self.stacks.iter().filter(here).flat_map(each)
    }

    /// The names of the stacks that use an export.
    pub(super) fn importers(&self, export: &str, region: &str) -> Vec<&str> {
        let uses = |stack: &&Stack| {
            let imports = stack.imports.iter().any(|name| name == export);
            imports && stack.region() == region && !stack.is_deleted()
        };
        self.stacks.iter().filter(uses).map(|stack| stack.name.as_str()).collect()
    }
}
