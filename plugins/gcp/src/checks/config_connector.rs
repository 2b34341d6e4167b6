use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use kfcheck::{
    Check, Cx, FactError, Fault, Finding, Findings, Named, Now, Resource, Risk, async_trait, check,
};
use kfcheck_kube::{Condition, ManagementCluster, Pod, within};

use crate::{
    ConfigConnectorObject, ConfigConnectorObjects, OurCluster, Reference, operations::spoken,
    pool_resource,
};

check! {
    /// ## What it checks
    /// Every object of Config Connector's, whatever its kind: that it is ready, and that the
    /// controller runs. Of objects that wait for each other, the one that holds the rest is the
    /// cause. They are read from the cluster of `--config-connector-context` where they are kept in
    /// another one.
    ///
    /// ## Why it matters
    /// Networks, addresses, clusters and permissions of a deployment are made from these objects,
    /// one after the other. A single one that can't be made holds all that refer to it.
    ///
    /// ## How to fix it
    /// Mend what the condition of the holding object says; Config Connector then goes on by itself.
    pub(crate) struct ConfigConnectorReady;
    id: "gcp-config-connector",
    title: "Config Connector has made what its objects ask for",
}

/// Where its controller runs.
const NAMESPACE: &str = "cnrm-system";
const CONTROLLER: &str = "cnrm-controller-manager";
/// How long a new object may have no status, or wait for others, in minutes.
const NEW: i64 = 10;
/// How long a change takes at most, in minutes: databases and clusters need some forty.
const CHANGE: i64 = 60;

/// How an object goes.
enum State<'a> {
    Ready,
    /// Nothing is known, or it has not had its time yet.
    Open,
    /// It waits for another one that is not ready.
    Waits(Resource, &'a Condition),
    /// Something is wrong with it.
    Broken(Broken<'a>),
}

/// What is wrong with an object.
struct Broken<'a> {
    message: String,
    condition: Option<&'a Condition>,
    /// The controller would have said or done something by now.
    ignored: bool,
}

#[async_trait]
impl Check for ConfigConnectorReady {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let objects = cx.get(ConfigConnectorObjects).await?;
        let now = *cx.get(Now).await?;
        let mut managed: Vec<_> = objects.iter().filter(|object| object.is_managed()).collect();
        managed.sort_by_key(|object| object.resource());
        let states: BTreeMap<_, _> =
            managed.iter().map(|o| (o.resource(), state(o, &managed, now))).collect();
        let waiting = waiting(&states);
        let controllers = controllers(cx, &managed, out).await;
        for object in managed {
            let subject = object.resource();
            match &states[&subject] {
                State::Ready => out.ok(&subject),
                State::Open => (),
                State::Waits(holder, condition) => {
                    let root = root(&states, holder);
                    if root == subject {
                        let message = format!("waits for {holder}, which waits for it in turn");
                        says(out.fail(&subject, message), condition);
                    } else if matches!(states.get(&root), Some(State::Broken(_) | State::Waits(..)))
                    {
                        out.built_from(&subject, holder);
                        let finding = out.unbuilt(&subject, format!("waits for {holder}"));
                        says(finding, condition);
                    }
                }
                State::Broken(broken) => {
                    let finding = out.fail(&subject, &*broken.message);
                    broken.condition.iter().for_each(|condition| says(finding, condition));
                    if let Some(all) = waiting.get(&subject) {
                        finding.evidence("holds", listed(all));
                    }
                    finding.fix(Risk::None, "shows its events", describe(object));
                    for controller in controllers.iter().filter(|_| broken.ignored) {
                        out.built_from(&subject, controller);
                    }
                    stands_for(cx, object, out).await;
                }
            }
        }
        Ok(())
    }
}

/// How an object goes, going by its condition `Ready`.
fn state<'a>(
    object: &'a ConfigConnectorObject,
    all: &[&'a Arc<ConfigConnectorObject>],
    now: Timestamp,
) -> State<'a> {
    let older = |time: Option<Timestamp>, minutes| {
        time.is_some_and(|at| now.duration_since(at) > SignedDuration::from_mins(minutes))
    };
    let is_old = older(object.metadata.creation_timestamp, NEW);
    let broken =
        |message: String, condition, ignored| State::Broken(Broken { message, condition, ignored });
    let Some(condition) = object.ready() else {
        return if is_old && object.status.conditions.is_empty() {
            broken("was never looked at by Config Connector".to_owned(), None, true)
        } else {
            State::Open
        };
    };
    let reason = condition.reason.as_deref().unwrap_or_default();
    match (condition.status.as_str(), reason) {
        ("True", _) => State::Ready,
        ("False", "Updating" | "Deleting" | "DeletionInProgress" | "") | ("Unknown", _) => {
            let since = condition.last_transition_time;
            if !older(since, CHANGE) {
                return State::Open;
            }
            let lasts = since.map(|since| spoken(now.duration_since(since))).unwrap_or_default();
            broken(format!("is {} for {lasts}", in_words(reason)), Some(condition), true)
        }
        ("False", _) if reason.starts_with("Dependency") && !is_old => State::Open,
        ("False", "DependencyNotReady") => match holder(object, condition, all) {
            Some(holder) => State::Waits(holder, condition),
            None => broken(message(reason, condition), Some(condition), false),
        },
        ("False", _) => broken(message(reason, condition), Some(condition), false),
        _ => State::Open,
    }
}

/// The object that one waits for: what the message names, or else the first that it refers to and
/// that is not ready.
fn holder(
    object: &ConfigConnectorObject,
    condition: &Condition,
    all: &[&Arc<ConfigConnectorObject>],
) -> Option<Resource> {
    let namespace = object.metadata.namespace();
    let said = condition.message.as_deref().and_then(Reference::said);
    let find = |reference: &Reference| {
        let is = |other: &&&Arc<ConfigConnectorObject>| {
            reference.is(other, namespace) && other.resource() != object.resource()
        };
        all.iter().find(is).map(|other| (other.resource(), other.ready()))
    };
    if let Some(found) = said.as_ref().and_then(find) {
        return Some(found.0);
    }
    let is_ready = |ready: Option<&Condition>| ready.is_some_and(|c| c.status == "True");
    let references = object.references();
    let found = references.iter().filter_map(find).find(|(_, ready)| !is_ready(*ready));
    found.map(|(other, _)| other)
}

/// The object at the end of a row of those that wait; where they wait in a circle, the first by name.
fn root(states: &BTreeMap<Resource, State<'_>>, from: &Resource) -> Resource {
    let (mut at, mut seen): (_, Vec<&Resource>) = (from, Vec::new());
    while let Some(State::Waits(next, _)) = states.get(at) {
        if let Some(start) = seen.iter().position(|before| *before == at) {
            return seen[start..].iter().min().map_or(at, |first| *first).clone();
        }
        seen.push(at);
        at = next;
    }
    at.clone()
}

/// What waits for each object that holds others.
fn waiting(states: &BTreeMap<Resource, State<'_>>) -> BTreeMap<Resource, Vec<Resource>> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (resource, state) in states {
        if let State::Waits(holder, _) = state {
            all.entry(root(states, holder)).or_default().push(resource.clone());
        }
    }
    all
}

fn listed(all: &[Resource]) -> String {
    let shown: Vec<_> = all.iter().take(3).map(ToString::to_string).collect();
    let more = all.len().saturating_sub(shown.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

/// What a reason means, continuing the name of the object.
fn message(reason: &str, condition: &Condition) -> String {
    let named = condition.message.as_deref().and_then(Reference::said);
    let named = named.and_then(|Reference { kind, namespace, name }| {
        let namespace = namespace.map(|namespace| format!("{namespace}/")).unwrap_or_default();
        Some(format!("{} {namespace}{name}", kind.ok()?))
    });
    let named = named.unwrap_or_else(|| "something".to_owned());
    match reason {
        "UpdateFailed" => "can't be brought to what it asks for".to_owned(),
        "DeleteFailed" | "DeletionFailed" => "can't be deleted".to_owned(),
        "DependencyNotReady" => format!("waits for {named}, which is not ready"),
        "DependencyNotFound" => format!("refers to {named}, which does not exist"),
        "DependencyInvalid" => format!("refers to {named}, which can't be used"),
        "ManagementConflict" => "is managed from elsewhere as well".to_owned(),
        "Unmanaged" => "is in a namespace that no controller looks after".to_owned(),
        reason => format!("is not ready ({reason})"),
    }
}

/// What is going on, continuing "is".
fn in_words(reason: &str) -> &'static str {
    match reason {
        "Updating" => "being changed",
        "Deleting" | "DeletionInProgress" => "being deleted",
        _ => "not ready",
    }
}

fn says(finding: &mut Finding, condition: &Condition) {
    let says = condition.says();
    if !says.is_empty() {
        finding.evidence("says", says);
    }
}

fn describe(object: &ConfigConnectorObject) -> String {
    let group = object.api_version.split('/').next().unwrap_or_default();
    let kind = object.kind.to_lowercase();
    let name = &object.metadata.name;
    let namespace = object.metadata.namespace.iter().map(|namespace| format!(" -n {namespace}"));
    format!("kubectl describe {kind}.{group} {name}{}", namespace.collect::<String>())
}

/// An object is ready only if what it stands for is.
async fn stands_for(cx: &Cx, object: &ConfigConnectorObject, out: &mut Findings) {
    let Ok(cluster) = cx.get(OurCluster).await else { return };
    match object.kind.as_str() {
        "ContainerCluster" if object.metadata.name == cluster.name => {
            out.built_from(object, &*cluster);
        }
        "ContainerNodePool" => out.built_from(object, pool_resource(&object.metadata.name)),
        _ => (),
    }
}

/// What keeps the controllers running, where they don't. Nobody sees those of another cluster, and
/// where there is no pod of one, it may be elsewhere.
async fn controllers(
    cx: &Cx,
    managed: &[&Arc<ConfigConnectorObject>],
    out: &mut Findings,
) -> BTreeSet<Resource> {
    let mut down = BTreeSet::new();
    if managed.is_empty() || cx.client::<ManagementCluster>().is_ok() {
        return down;
    }
    let pods = match cx.get(within::<Pod>(NAMESPACE)).await {
        Ok(pods) => pods,
        Err(error) => {
            if !matches!(error.fault, Fault::NotCollected { .. }) {
                out.unseen(error);
            }
            return down;
        }
    };
    let ours = pods.iter().filter(|pod| pod.metadata.name.starts_with(CONTROLLER));
    for pod in ours.filter(|pod| !pod.is_over()) {
        if pod.is_ready() {
            out.ok(&**pod);
            continue;
        }
        let subject = pod.workload();
        if !down.insert(subject.clone()) {
            continue;
        }
        let finding = out.fail(&subject, "does not run, and Config Connector does nothing");
        for status in pod.statuses().filter(|status| !status.ready) {
            let waits = status.state.waiting.as_ref().or(status.state.terminated.as_ref());
            if let Some(waits) = waits {
                finding.evidence("container", waits.says());
            }
        }
        let show = format!("kubectl describe pod {} -n {NAMESPACE}", pod.metadata.name);
        finding.fix(Risk::None, "shows why", show);
    }
    down
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::ConfigConnectorReady;
    use crate::testing::Deployment;

    const OLD: &str = "2026-11-21T08:00:00Z";

    #[expect(clippy::needless_pass_by_value, reason = "tests make it on the spot")]
    fn object(kind: &str, name: &str, ready: Value) -> Value {
        json!({ "apiVersion": "compute.cnrm.cloud.google.com/v1beta1", "kind": kind,
            "metadata": { "namespace": "infra", "name": name, "creationTimestamp": OLD },
            "spec": { "networkRef": { "name": "kf-net" } },
            "status": { "conditions": [ready] } })
    }

    fn not_ready(reason: &str, message: &str) -> Value {
        json!({ "type": "Ready", "status": "False", "reason": reason, "message": message,
            "lastTransitionTime": "2026-11-21T11:50:00Z" })
    }

    fn ready() -> Value {
        json!({ "type": "Ready", "status": "True", "reason": "UpToDate" })
    }

    async fn report(objects: Vec<Value>) -> String {
        let mut deployment = Deployment::healthy();
        deployment.objects.extend(objects);
        deployment.report(&ConfigConnectorReady).await
    }

    #[tokio::test]
    async fn where_there_is_no_config_connector_there_is_nothing_to_say() {
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            skip     gcp-config-connector
                     Config Connector has made what its objects ask for
                     (the cluster has no objects of *.cnrm.cloud.google.com)
        "#]]
        .assert_eq(&report(Vec::new()).await);
    }

    #[tokio::test]
    async fn what_is_new_or_odd_is_no_finding() {
        let mut new = object("ComputeNetwork", "new", Value::Null);
        new["metadata"]["creationTimestamp"] = json!("2026-11-21T11:55:00Z");
        new["status"] = Value::Null;
        let mut ageless = new.clone();
        ageless["metadata"] = json!({ "name": "ageless" });
        let set_up = json!({ "apiVersion": "core.cnrm.cloud.google.com/v1beta1",
            "kind": "ConfigConnector", "metadata": { "name": "c", "creationTimestamp": OLD } });
        let all = vec![
            new,
            ageless,
            set_up,
            object("ComputeAddress", "odd", json!({ "type": "Ready", "status": "Perhaps" })),
            object("ComputeRouter", "busy", not_ready("Updating", "Update in progress")),
            object("ComputeSubnetwork", "good", ready()),
        ];
        let report = report(all).await;
        assert!(report.contains("pass     gcp-config-connector"), "{report}");
    }

    #[tokio::test]
    async fn those_that_wait_are_symptoms_of_the_one_that_holds_them() {
        let waits = |kind: &str, name: &str, holder: &str| {
            let says = format!("reference {holder} is not ready");
            object(kind, name, not_ready("DependencyNotReady", &says))
        };
        let says = "Update call failed: googleapi: Error 403: Quota 'NETWORKS' exceeded.";
        let all = vec![
            object("ComputeNetwork", "kf-net", not_ready("UpdateFailed", says)),
            waits("ComputeSubnetwork", "nodes", "ComputeNetwork infra/kf-net"),
            waits("ComputeRouter", "out", "ComputeNetwork infra/kf-net"),
            waits("ContainerCluster", "c", "ComputeSubnetwork infra/nodes"),
            object("ComputeAddress", "ip", ready()),
        ];
        expect![[r#"
            kf.example.com: nothing broken on the way; something beside it is. 1 root cause,
            3 symptoms; 0 checks passed, 0 not seen.

            BROKEN  gcp-config-connector
              ComputeNetwork infra/kf-net can't be brought to what it asks for
                says      UpdateFailed: Update call failed: googleapi: Error 403: Quota
                          'NETWORKS' exceeded.
                holds     ComputeRouter infra/out, ComputeSubnetwork infra/nodes,
                          ContainerCluster infra/c
                fix       shows its events
                          kubectl describe computenetwork.compute.cnrm.cloud.google.com kf-net \
                            -n infra
                explains  ComputeRouter infra/out waits for ComputeNetwork infra/kf-net
                          └ ComputeSubnetwork infra/nodes waits for ComputeNetwork
                          infra/kf-net
                          └ ContainerCluster infra/c waits for ComputeSubnetwork infra/nodes
              kubectl kfcheck explain gcp-config-connector

            FAIL     gcp-config-connector
                     Config Connector has made what its objects ask for
        "#]]
        .assert_eq(&report(all).await);
    }

    #[tokio::test]
    async fn the_holder_is_found_by_the_references_where_the_message_does_not_name_it() {
        let all = vec![
            object("ComputeNetwork", "kf-net", not_ready("ManagementConflict", "leased")),
            object("ComputeSubnetwork", "nodes", not_ready("DependencyNotReady", "")),
        ];
        expect![[r#"
            kf.example.com: nothing broken on the way; something beside it is. 1 root cause,
            1 symptom; 0 checks passed, 0 not seen.

            BROKEN  gcp-config-connector
              ComputeNetwork infra/kf-net is managed from elsewhere as well
                says      ManagementConflict: leased
                holds     ComputeSubnetwork infra/nodes
                fix       shows its events
                          kubectl describe computenetwork.compute.cnrm.cloud.google.com kf-net \
                            -n infra
                explains  ComputeSubnetwork infra/nodes waits for ComputeNetwork
                          infra/kf-net
              kubectl kfcheck explain gcp-config-connector

            FAIL     gcp-config-connector
                     Config Connector has made what its objects ask for
        "#]]
        .assert_eq(&report(all).await);
    }

    #[tokio::test]
    async fn what_waits_for_something_that_has_its_time_left_waits_rightly() {
        let waits =
            not_ready("DependencyNotReady", "reference ComputeNetwork infra/kf-net is not ready");
        let all = vec![
            object("ComputeNetwork", "kf-net", not_ready("Updating", "Update in progress")),
            object("ComputeSubnetwork", "nodes", waits.clone()),
            object("ComputeAddress", "ip", ready()),
        ];
        let report_ = report(all).await;
        assert!(report_.contains("pass     gcp-config-connector"), "{report_}");
        let circle = vec![
            object(
                "ComputeSubnetwork",
                "nodes",
                not_ready(
                    "DependencyNotReady",
                    "reference ComputeNetwork infra/kf-net is not ready",
                ),
            ),
            object(
                "ComputeNetwork",
                "kf-net",
                not_ready(
                    "DependencyNotReady",
                    "reference ComputeSubnetwork infra/nodes is not ready",
                ),
            ),
        ];
        let report = report(circle).await;
        let says = "ComputeNetwork infra/kf-net waits for ComputeSubnetwork infra/nodes, which";
        assert!(report.contains(says), "{report}");
    }

    #[tokio::test]
    async fn without_its_controller_nothing_is_looked_at() {
        let mut forgotten = object("ComputeNetwork", "kf-net", Value::Null);
        forgotten["status"] = json!({});
        let pod = json!({ "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": "cnrm-system", "name": "cnrm-controller-manager-0",
                "ownerReferences": [{ "kind": "StatefulSet", "name": "cnrm-controller-manager" }] },
            "status": { "phase": "Running", "containerStatuses": [{ "name": "manager", "ready": false,
                "state": { "waiting": { "reason": "CrashLoopBackOff" } } }] } });
        expect![[r#"
            kf.example.com: nothing broken on the way; something beside it is. 1 root cause,
            1 symptom; 0 checks passed, 0 not seen.

            BROKEN  gcp-config-connector
              StatefulSet cnrm-system/cnrm-controller-manager does not run, and Config
                Connector does nothing
                container CrashLoopBackOff
                fix       shows why
                          kubectl describe pod cnrm-controller-manager-0 -n cnrm-system
                explains  ComputeNetwork infra/kf-net was never looked at by Config
                          Connector
              kubectl kfcheck explain gcp-config-connector

            FAIL     gcp-config-connector
                     Config Connector has made what its objects ask for
        "#]]
        .assert_eq(&report(vec![forgotten, pod]).await);
    }
}
