//! How long GKE's operations take, and what is known of those on the cluster.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::{Cluster, Operation};

/// How long an operation takes at most, in minutes, by its kind: as long as HashiCorp's provider
/// waits (terraform-provider-google, "Timeouts" of `google_container_cluster` and
/// `google_container_node_pool`). How long nodes take to be replaced hangs on how many there are and
/// on the pods on them, so there is no limit for those; nor is there one for kinds not listed. A repair is taken for a change.
const LIMITS: [(&str, i64); 12] = [
    ("CREATE_CLUSTER", 40),
    ("DELETE_CLUSTER", 40),
    ("REPAIR_CLUSTER", 60),
    ("UPDATE_CLUSTER", 60),
    ("UPGRADE_MASTER", 60),
    ("SET_LABELS", 60),
    ("SET_MASTER_AUTH", 60),
    ("SET_NETWORK_POLICY", 60),
    ("SET_MAINTENANCE_POLICY", 60),
    ("CREATE_NODE_POOL", 60),
    ("DELETE_NODE_POOL", 60),
    ("SET_NODE_POOL_MANAGEMENT", 60),
];

/// How long an operation of this kind takes at most, in minutes, where that is known.
pub(crate) fn limit(kind: &str) -> Option<i64> {
    LIMITS.iter().find(|(known, _)| *known == kind).map(|(_, minutes)| *minutes)
}

/// How long an operation runs already, if it is still running and says since when.
pub(crate) fn running_for(operation: &Operation, now: Timestamp) -> Option<SignedDuration> {
    let since = operation.start_time.filter(|_| operation.is_running())?;
    Some(now.duration_since(since))
}

/// Whether it runs longer than its kind takes.
pub(crate) fn is_stuck(operation: &Operation, now: Timestamp) -> bool {
    let allowed = limit(&operation.operation_type).map(SignedDuration::from_mins);
    running_for(operation, now).zip(allowed).is_some_and(|(runs, allowed)| runs > allowed)
}

/// The operation that the cluster, or one of its node pools, is in: the one that began first.
pub(crate) fn current<'a>(
    operations: impl IntoIterator<Item = &'a Operation>,
    cluster: &Cluster,
    pool: Option<&str>,
) -> Option<&'a Operation> {
    let ours = |operation: &&Operation| {
        operation.is_running() && operation.is_on(cluster) && operation.pool() == pool
    };
    operations.into_iter().filter(ours).min_by_key(|operation| operation.start_time)
}

/// A time as a person says it: `2 h 5 min`.
pub(crate) fn spoken(duration: SignedDuration) -> String {
    let minutes = duration.as_mins();
    match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, 0) => format!("{hours} h"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, 0, _) => format!("{days} d"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// The newest failure among operations on the same thing, unless a later one succeeded or is still
/// trying. Without times nobody knows which was first.
pub(crate) fn unresolved<'a>(operations: &[&'a Operation]) -> Option<&'a Operation> {
    let failed = operations.iter().filter(|operation| operation.failure().is_some());
    let newest = failed.filter(|o| o.last_seen().is_some()).max_by_key(|o| o.last_seen())?;
    let mends = |operation: &&&Operation| {
        (operation.succeeded() || operation.is_running())
            && operation.last_seen().is_none_or(|at| Some(at) >= newest.last_seen())
    };
    operations.iter().find(mends).is_none().then_some(newest)
}

/// The operations on the cluster, by the node pool that they are about, or none.
pub(crate) fn by_target<'a>(
    operations: impl IntoIterator<Item = &'a Operation>,
    cluster: &Cluster,
) -> BTreeMap<Option<&'a str>, Vec<&'a Operation>> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for operation in operations.into_iter().filter(|operation| operation.is_on(cluster)) {
        all.entry(operation.pool()).or_default().push(operation);
    }
    all
}
