//! IAM tells everybody of a change a while after it was made:
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency>.

use std::{collections::BTreeMap, sync::Mutex};

use axum::body::{Body, Bytes};
use http::{Response, header::CONTENT_TYPE};

use crate::server::lock;

use super::call::AwsCall;

/// What is listed of roles, as it was before.
#[derive(Default)]
pub(super) struct Stale {
    /// By role and by the action that lists it.
    before: Mutex<BTreeMap<(String, &'static str), Listed>>,
}

struct Listed {
    document: Bytes,
    /// How often it is still shown.
    left: usize,
}

impl Stale {
    /// The action that lists what a call takes away from a role.
    pub(super) fn list_of(call: &AwsCall) -> Option<&'static str> {
        match (call.service.as_str(), call.action.as_str()) {
            ("iam", "DeleteRolePolicy") => Some("ListRolePolicies"),
            ("iam", "DetachRolePolicy") => Some("ListAttachedRolePolicies"),
            ("iam", "RemoveRoleFromInstanceProfile") => Some("ListInstanceProfilesForRole"),
            _ => None,
        }
    }

    /// Keeps what was listed before a change, to be shown so often. What is shown already, stays.
    pub(super) fn keep(&self, role: &str, list: &'static str, document: String, reads: usize) {
        let mut before = lock(&self.before);
        let listed = Listed { document: document.into(), left: 0 };
        before.entry((role.to_owned(), list)).or_insert(listed).left = reads;
    }

    /// The answer to a call that is not told of a change yet.
    pub(super) fn answer(&self, call: &AwsCall) -> Option<Response<Body>> {
        if call.service != "iam" || call.parameter("Marker").is_some() {
            return None;
        }
        let (role, list) = (call.parameter("RoleName")?, call.action.as_str());
        let document = self.take(|key| key.0 == role && key.1 == list)?.1;
        let answer = Response::builder().header(CONTENT_TYPE, "text/xml");
        answer.body(Body::from(document)).ok()
    }

    /// What IAM still says to a deletion of the role.
    pub(super) fn conflict(&self, role: &str) -> Option<&'static str> {
        Some(match self.take(|key| key.0 == role)?.0 {
            "ListRolePolicies" => "Cannot delete entity, must delete policies first.",
            "ListAttachedRolePolicies" => "Cannot delete entity, must detach all policies first.",
            _ => "Cannot delete entity, must remove roles from instance profile first.",
        })
    }

    /// Shows one once more.
    fn take(&self, wanted: impl Fn(&(String, &str)) -> bool) -> Option<(&'static str, Bytes)> {
        let mut before = lock(&self.before);
        let (key, listed) = before.iter_mut().find(|(key, _)| wanted(key))?;
        let (key, document) = (key.clone(), listed.document.clone());
        listed.left = listed.left.saturating_sub(1);
        if listed.left == 0 {
            before.remove(&key);
        }
        Some((key.1, document))
    }
}
