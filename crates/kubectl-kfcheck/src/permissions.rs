//! The permissions that a run takes, as the clouds' own policies.

use crate::args::Permissions;

/// The policy, as text.
pub(crate) fn policy(of: &Permissions) -> Result<String, String> {
    match *of {
        #[cfg(feature = "aws")]
        Permissions::Aws { cleanup } => {
            let text = serde_json::to_string_pretty(&amazon(cleanup));
            text.map(|text| text + "\n").map_err(|error| error.to_string())
        }
    }
}

#[cfg(feature = "aws")]
fn amazon(cleanup: bool) -> serde_json::Value {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use kfcheck_aws::cleanup::{self, BY_STACKS, CHANGES, LOOKS, RESTORES};

    fn statement(sid: &str, actions: impl IntoIterator<Item = &'static str>) -> Value {
        // What has no colon is Kubernetes' permission.
        let actions: BTreeSet<_> =
            actions.into_iter().filter(|action| action.contains(':')).collect();
        json!({ "Sid": sid, "Effect": "Allow", "Action": actions, "Resource": "*" })
    }
    let facts = kfcheck_aws::FACTS.iter().flat_map(|fact| fact.needs).copied();
    let mut statements = Vec::new();
    if cleanup {
        let own = cleanup::FACTS.iter().flat_map(|fact| fact.needs).copied();
        let read = LOOKS.iter().copied().chain(["eks:ListClusters"]);
        let begins = ["cloudformation:", "ec2:Describe", "elasticloadbalancing:", "iam:"];
        let inspected = facts.filter(|action| begins.iter().any(|begin| action.starts_with(begin)));
        statements.push(statement("Reads", inspected.chain(own).chain(read)));
        statements.push(statement("Changes", CHANGES.iter().copied()));
        statements.push(statement("PutsBack", RESTORES.iter().copied()));
        statements.push(statement("ByStacksWithoutRole", BY_STACKS.iter().copied()));
    } else {
        statements.push(statement("Reads", facts.chain(["eks:ListNodegroups"])));
    }
    json!({ "Version": "2012-10-17", "Statement": statements })
}
