//! Identity and Access Management.

use serde_json::{Value, json};

use super::{Ask, Failure, chosen, take};

/// Answers what is asked of roles and their policies.
pub(super) fn answer(ask: &Ask<'_>) -> Result<Value, Failure> {
    let call = ask.call;
    let role = call.text("RoleName").unwrap_or_default();
    match ask.operation() {
        "ListRoles" => {
            let mut roles = ask.list("list-roles", "Roles")?;
            if let Some(prefix) = call.text("PathPrefix") {
                let below = |path: &str| path.starts_with(prefix);
                roles.retain(|role| role["Path"].as_str().is_some_and(below));
            }
            paged(ask, "Roles", roles)
        }
        "GetRole" => {
            let found = chosen(ask.list("list-roles", "Roles")?, "RoleName", &[role]).pop();
            Ok(json!({ "Role": found.ok_or_else(|| no_role(role))? }))
        }
        "ListRolePolicies" => of_role(ask, "list-role-policies", "PolicyNames"),
        "ListAttachedRolePolicies" => {
            of_role(ask, "list-attached-role-policies", "AttachedPolicies")
        }
        "ListInstanceProfilesForRole" => {
            of_role(ask, "list-instance-profiles-for-role", "InstanceProfiles")
        }
        "GetRolePolicy" => {
            check_role(ask, role)?;
            let policy = call.text("PolicyName").unwrap_or_default();
            let found = ask.entry("get-role-policy", &format!("{role}/{policy}"));
            let listed = ask.entry("list-role-policies", role).unwrap_or_default();
            match (found, listed["PolicyNames"].as_array()) {
                (Err(Failure::NotHeld(_)), Some(names)) if !names.contains(&json!(policy)) => {
                    let message = format!("The role policy with name {policy} cannot be found.");
                    Err(Failure::Said("NoSuchEntityException", message))
                }
                (found, _) => found,
            }
        }
        _ => Err(call.unanswered()),
    }
}

/// What a role has of a kind.
fn of_role(ask: &Ask<'_>, command: &str, name: &str) -> Result<Value, Failure> {
    ask.call.takes_only(&["RoleName", "Marker", "MaxItems"])?;
    let role = ask.call.text("RoleName").unwrap_or_default();
    check_role(ask, role)?;
    let mut all = ask.entry(command, role)?;
    paged(ask, name, take(&mut all, name))
}

fn paged(ask: &Ask<'_>, name: &str, all: Vec<Value>) -> Result<Value, Failure> {
    let mut answer = ask.page("MaxItems", "Marker").listed(name, all, "Marker")?;
    answer["IsTruncated"] = json!(answer["Marker"].is_string());
    Ok(answer)
}

/// Whether there is such a role, where the bundle knows of roles.
fn check_role(ask: &Ask<'_>, role: &str) -> Result<(), Failure> {
    let Ok(roles) = ask.list("list-roles", "Roles") else { return Ok(()) };
    let known = roles.iter().any(|found| found["RoleName"] == role);
    if known { Ok(()) } else { Err(no_role(role)) }
}

fn no_role(role: &str) -> Failure {
    let message = format!("The role with name {role} cannot be found.");
    Failure::Said("NoSuchEntityException", message)
}
