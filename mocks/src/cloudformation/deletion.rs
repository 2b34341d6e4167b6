//! Deletions, as they go.

use std::collections::BTreeSet;

use futures::future::{BoxFuture, FutureExt};
use serde_json::{Value, json};

use crate::aws::{failure::Failure, request::Call};

use super::{
    Cloud,
    account::{Account, Deletion},
    reads::absent,
    removal::Removal,
    stack::Stack,
};

impl Cloud {
    /// Begins to delete a stack, or refuses to. Of a stack that isn't there, nothing is said.
    pub(super) async fn delete(
        &self,
        account: &mut Account,
        call: &Call<'_>,
    ) -> Result<Value, Failure> {
        let meant = call.text("StackName").unwrap_or_default();
        let found = account.find(meant, &call.region);
        let Some(at) = found.filter(|at| !account.stacks[*at].is_deleted()) else {
            return Ok(json!({}));
        };
        let stack = &account.stacks[at];
        if stack.status == "DELETE_IN_PROGRESS" {
            return Ok(json!({}));
        }
        let retained = call.texts("RetainResources");
        let forced = call.text("DeletionMode") == Some("FORCE_DELETE_STACK");
        if let Some(why) = refusal(stack, meant, &retained, forced) {
            return Err(Failure::Refused("ValidationError", why));
        }
        let role = call.text("RoleARN").or(stack.role_arn.as_deref()).map(str::to_owned);
        if let Some(arn) = &role {
            let name = arn.rsplit('/').next().unwrap_or_default();
            let named = [("RoleName", name)];
            let asked = self.moto.ask(("iam", &call.region), "GetRole", &named).await;
            if !asked.is_ok_and(|answer| answer.is_good()) {
                let why = format!("Role {arn} is invalid or cannot be assumed");
                return Err(Failure::Refused("ValidationError", why));
            }
        }
        let retained = retained.into_iter().map(str::to_owned).collect();
        let token = call.text("ClientRequestToken").map(str::to_owned);
        account.stacks[at].role_arn = role;
        self.begin(account, at, token, retained, forced);
        Ok(json!({}))
    }

    /// Sets or lifts the protection of a stack.
    pub(super) fn protect(account: &mut Account, call: &Call<'_>) -> Result<Value, Failure> {
        let meant = call.text("StackName").unwrap_or_default();
        let found = account.find(meant, &call.region);
        let at = found.filter(|at| !account.stacks[*at].is_deleted());
        let stack = &mut account.stacks[at.ok_or_else(|| absent(meant))?];
        stack.termination_protection = call.input["EnableTerminationProtection"] == true;
        Ok(json!({ "StackId": stack.id }))
    }

    fn begin(
        &self,
        account: &mut Account,
        at: usize,
        token: Option<String>,
        retained: Vec<String>,
        forced: bool,
    ) {
        let (id, from) = (account.stacks[at].id.clone(), account.stacks[at].status.clone());
        account.stacks[at].deletion_time = Some(account.moment());
        let reason = Some("User Initiated".to_owned());
        account.set(at, "DELETE_IN_PROGRESS", reason, token.clone());
        let reads_left = self.reads_in_progress;
        account.deletions.insert(id, Deletion { reads_left, token, retained, forced, from });
    }

    /// Lets the deletions that a read can see come further.
    pub(super) async fn go_on(&self, account: &mut Account, call: &Call<'_>) {
        let meant = call.text("StackName");
        for at in 0..account.stacks.len() {
            let stack = &account.stacks[at];
            if stack.region() != call.region || !meant.is_none_or(|meant| stack.is(meant)) {
                continue;
            }
            match account.deletions.get_mut(&stack.id) {
                Some(Deletion { reads_left: 0, .. }) => self.conclude(account, at).await,
                Some(deletion) => deletion.reads_left -= 1,
                None => {}
            }
        }
    }

    /// Ends a deletion: with all gone that can go, and the reasons of the rest.
    fn conclude<'a>(&'a self, account: &'a mut Account, at: usize) -> BoxFuture<'a, ()> {
        async move {
            let stack = account.stacks[at].clone();
            let Some(deletion) = account.deletions.remove(&stack.id) else { return };
            let token = || deletion.token.clone();
            if let Some(why) = canceled_because(account, &stack) {
                account.set(at, &deletion.from, Some(why), token());
                return;
            }
            let mut failed = BTreeSet::new();
            for part in in_order(&stack) {
                let resource = &stack.resources[part];
                if ["DELETE_COMPLETE", "DELETE_SKIPPED"].contains(&resource.state()) {
                    continue;
                }
                if resource.retain || deletion.retained.contains(&resource.logical_id) {
                    account.set_resource((at, part), "DELETE_SKIPPED", None, token());
                    continue;
                }
                account.set_resource((at, part), "DELETE_IN_PROGRESS", None, token());
                let done = if resource.slow && !failed.is_empty() {
                    Err("Resource deletion cancelled".to_owned())
                } else {
                    self.remove(account, (at, part), &deletion).await
                };
                match done {
                    Ok(()) => account.set_resource((at, part), "DELETE_COMPLETE", None, token()),
                    Err(why) => {
                        account.set_resource((at, part), "DELETE_FAILED", Some(why), token());
                        failed.insert(resource.logical_id.as_str());
                        if deletion.forced {
                            account.set_resource((at, part), "DELETE_SKIPPED", None, token());
                        }
                    }
                }
            }
            if failed.is_empty() || deletion.forced {
                account.set(at, "DELETE_COMPLETE", None, token());
            } else {
                let names = failed.into_iter().collect::<Vec<_>>().join(", ");
                let why = format!("The following resource(s) failed to delete: [{names}]. ");
                account.set(at, "DELETE_FAILED", Some(why), token());
            }
        }
        .boxed()
    }

    /// Deletes one part, or says why it stays.
    async fn remove(
        &self,
        account: &mut Account,
        (at, part): (usize, usize),
        deletion: &Deletion,
    ) -> Result<(), String> {
        let stack = &account.stacks[at];
        let (region, resource) = (stack.region().to_owned(), stack.resources[part].clone());
        if let Some(why) = resource.fails {
            return Err(why);
        }
        if resource.kind == "AWS::CloudFormation::Stack" {
            return self.remove_nested(account, &resource.physical_id, deletion).await;
        }
        let removal = Removal {
            moto: &self.moto,
            stale: &self.stale,
            lingering: &self.lingering,
            region: &region,
            copes: self.copes,
        };
        let done = removal.remove(&resource).await;
        let ids = (account.id(), account.id());
        done.map_err(|refusal| refusal.said(self.wording, (&ids.0, &ids.1)))
    }

    async fn remove_nested(
        &self,
        account: &mut Account,
        id: &str,
        deletion: &Deletion,
    ) -> Result<(), String> {
        let found = account.stacks.iter().position(|stack| stack.id == id);
        let Some(nested) = found.filter(|nested| !account.stacks[*nested].is_deleted()) else {
            return Ok(());
        };
        self.begin(account, nested, deletion.token.clone(), Vec::new(), deletion.forced);
        self.conclude(account, nested).await;
        let stack = &account.stacks[nested];
        if stack.is_deleted() {
            return Ok(());
        }
        let why = stack.status_reason.as_deref().unwrap_or_default();
        Err(format!("Embedded stack {id} was not successfully deleted: {why}"))
    }
}

/// Why a deletion doesn't begin, if so.
fn refusal(stack: &Stack, meant: &str, retained: &[&str], forced: bool) -> Option<String> {
    let Stack { id, status, .. } = stack;
    let failed = status == "DELETE_FAILED";
    let retained = retained.iter().map(|id| stack.resource(id));
    let gone = |part: &super::Resource| part.state() == "DELETE_COMPLETE";
    // A stack that is still being made can be given up.
    let busy = status.ends_with("_IN_PROGRESS")
        && !["CREATE_IN_PROGRESS", "REVIEW_IN_PROGRESS"].contains(&status.as_str());
    if stack.termination_protection {
        Some(format!("Stack [{meant}] cannot be deleted while TerminationProtection is enabled"))
    } else if busy {
        Some(format!("Stack [{meant}] cannot be deleted while in status {status}"))
    } else if retained.len() > 0 && !failed {
        Some(format!(
            "Invalid operation on stack [{id}]. When you delete a stack, specify which resources \
             to retain only when the stack is in the DELETE_FAILED state."
        ))
    } else if forced && !failed {
        Some(format!(
            "Invalid operation on stack [{id}]. You can activate DeletionMode FORCE_DELETE_STACK \
             in a delete stack operation only when the stack is in the DELETE_FAILED state."
        ))
    } else if retained.into_iter().any(|part| part.is_none_or(gone)) {
        Some(
            "The specified resources to retain must be in a valid state. Do not specify resources \
             that are in the DELETE_COMPLETE state."
                .to_owned(),
        )
    } else {
        None
    }
}

/// What another stack still uses is kept: the stack goes back to the status that it had, which is
/// no `DELETE_FAILED`: <https://github.com/boto/botocore/issues/2590>.
fn canceled_because(account: &Account, stack: &Stack) -> Option<String> {
    let used = stack.exports().find_map(|(name, _)| {
        let importers = account.importers(name, stack.region());
        (!importers.is_empty()).then(|| (name, importers.join(" and ")))
    });
    used.map(|(name, by)| {
        format!("Delete canceled. Cannot delete export {name} as it is in use by {by}.")
    })
}

/// The parts in the order of their deletion; those that take long, and what these need, last.
fn in_order(stack: &Stack) -> Vec<usize> {
    let order = stack.deletion_order();
    let mut late = BTreeSet::new();
    // What needs a part comes before it.
    for part in &order {
        let resource = &stack.resources[*part];
        if resource.slow || late.contains(resource.logical_id.as_str()) {
            late.insert(resource.logical_id.as_str());
            late.extend(resource.depends_on.iter().map(String::as_str));
        }
    }
    let is_late = |part: &usize| late.contains(stack.resources[*part].logical_id.as_str());
    let (late, early): (Vec<_>, Vec<_>) = order.into_iter().partition(is_late);
    early.into_iter().chain(late).collect()
}
