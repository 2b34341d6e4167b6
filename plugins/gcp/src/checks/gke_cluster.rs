use jiff::{SignedDuration, Timestamp};
use kfcheck::{Check, Cx, FactError, Finding, Findings, Now, Resource, Risk, async_trait, check};
use kfcheck_kube::{FrontServices, Pod, within};

use crate::{
    Cluster, NodePool, Operation, Operations, OurCluster, Scope, StatusCondition,
    operations::{current, limit, spoken},
    pool_resource,
};

check! {
    /// ## What it checks
    /// What Google Kubernetes Engine says of the cluster and of its node pools: that none is in
    /// error, degraded, or longer at being created, changed or deleted than that takes.
    ///
    /// ## Why it matters
    /// A cluster that was not built to the end may have an API server and no nodes. Everything that
    /// is deployed then waits, and says nothing about why.
    ///
    /// ## How to fix it
    /// The conditions quoted say what is missing: room in a quota, machines in a zone, addresses,
    /// a service account. The operation says at which step it stands.
    pub(crate) struct GkeCluster;
    id: "gcp-gke-cluster",
    title: "The cluster and its node pools run",
}

/// The longest that each state lasts, going by the operations that lead out of it.
const STATES: [(&str, &str, &str); 3] = [
    ("PROVISIONING", "CREATE_CLUSTER", "CREATE_NODE_POOL"),
    ("RECONCILING", "UPDATE_CLUSTER", "UPGRADE_NODES"),
    ("STOPPING", "DELETE_CLUSTER", "DELETE_NODE_POOL"),
];

#[async_trait]
impl Check for GkeCluster {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let cluster = cx.get(OurCluster).await?;
        let now = *cx.get(Now).await?;
        let operations = cx.get(Operations).await;
        let operations = operations.as_ref().map_or(&[][..], |all| all);
        let show = show(cx, &cluster).await;
        let operation = current(operations, &cluster, None);
        let subject = Subject {
            resource: (&*cluster).into(),
            status: &cluster.status,
            message: &cluster.status_message,
            conditions: &cluster.conditions,
            created: cluster.create_time,
            operation,
            kind: |(_, kind, _)| kind,
        };
        judge(&subject, now, &show, out);
        for pool in &cluster.node_pools {
            let subject = Subject {
                resource: pool_resource(&pool.name),
                status: &pool.status,
                message: &pool.status_message,
                conditions: &pool.conditions,
                created: None,
                operation: current(operations, &cluster, Some(&pool.name)),
                kind: |(_, _, kind)| kind,
            };
            out.built_from(&subject.resource, &*cluster);
            let show = format!("{} --cluster {}", pools(&show, &pool.name), cluster.name);
            if judge(&subject, now, &show, out) {
                waiting(cx, pool, out).await;
            }
        }
        Ok(())
    }
}

/// A cluster or a node pool.
struct Subject<'a> {
    resource: Resource,
    status: &'a str,
    message: &'a str,
    conditions: &'a [StatusCondition],
    created: Option<Timestamp>,
    operation: Option<&'a Operation>,
    /// Which operation leads out of a state.
    kind: fn((&'static str, &'static str, &'static str)) -> &'static str,
}

/// Says what is wrong with a cluster or a node pool, and whether anything is.
fn judge(subject: &Subject<'_>, now: Timestamp, show: &str, out: &mut Findings) -> bool {
    let Subject { resource, status, created, operation, .. } = subject;
    let finding = match *status {
        "ERROR" => out.fail(resource, "is in error"),
        "DEGRADED" => out.fail(resource, "is degraded"),
        "RUNNING_WITH_ERROR" => out.fail(resource, "runs, and not all of its nodes do"),
        "RUNNING" => {
            out.ok(resource);
            return false;
        }
        status => {
            let Some(state) = STATES.into_iter().find(|(known, ..)| *known == status) else {
                // A word that came after this program says nothing.
                return false;
            };
            let since = match operation {
                Some(operation) => operation.start_time,
                // What is changed or deleted was created long ago.
                None => created.filter(|_| status == "PROVISIONING"),
            };
            let kind = operation.map_or((subject.kind)(state), |o| &*o.operation_type);
            let allowed = limit(kind).map(SignedDuration::from_mins);
            let lasts = since.map(|since| now.duration_since(since));
            let Some((lasts, allowed)) = lasts.zip(allowed) else { return false };
            if lasts <= allowed {
                if status != "STOPPING" {
                    out.ok(resource);
                }
                return false;
            }
            if let Some(operation) = operation {
                out.built_from(resource, *operation);
            }
            let message = format!("is {status} for {}", spoken(lasts));
            out.unbuilt(resource, message).evidence("usual", format!("{} at most", spoken(allowed)))
        }
    };
    explain(subject, finding);
    finding.fix(Risk::None, "shows all that GKE says of it", show);
    true
}

fn explain(subject: &Subject<'_>, finding: &mut Finding) {
    let words = subject.conditions.iter().map(StatusCondition::says);
    let words: Vec<_> = words.filter(|words| !words.is_empty()).collect();
    // It is the conditions once more, where there are any.
    if !subject.message.is_empty() && !words.iter().any(|w| subject.message.contains(w.as_str())) {
        finding.evidence("status", subject.message);
    }
    for words in words {
        finding.evidence("condition", words);
    }
}

/// Pods without a node wait for the nodes of a pool that is broken.
async fn waiting(cx: &Cx, pool: &NodePool, out: &mut Findings) {
    let services = cx.get(FrontServices).await;
    for service in services.iter().flat_map(|all| all.iter()) {
        let pods = cx.get(within::<Pod>(service.metadata.namespace())).await;
        for pod in pods.iter().flat_map(|all| all.iter()) {
            if service.selects(pod) && pod.spec.node_name.is_none() && !pod.is_over() {
                out.depends(&**pod, pool_resource(&pool.name));
                out.depends(pod.workload(), pool_resource(&pool.name));
            }
        }
    }
}

async fn show(cx: &Cx, cluster: &Cluster) -> String {
    let project = cx.get(Scope).await.map(|scope| format!(" --project {}", scope.project));
    let Cluster { name, location, .. } = cluster;
    format!(
        "gcloud container clusters describe {name} --location {location}{}",
        project.unwrap_or_default()
    )
}

/// The same for a node pool.
fn pools(show: &str, pool: &str) -> String {
    let flags = show.find(" --").map_or("", |at| &show[at..]);
    format!("gcloud container node-pools describe {pool}{flags}")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::GkeCluster;
    use crate::testing::Deployment;

    fn with(fields: &Value, operations: &Value) -> Deployment {
        let mut deployment = Deployment::healthy();
        let cluster = &mut deployment.file("gcp/container/clusters")[0];
        for (name, value) in fields.as_object().unwrap() {
            cluster[name] = value.clone();
        }
        *deployment.file("gcp/container/operations") = operations.clone();
        deployment
    }

    #[tokio::test]
    async fn words_that_nobody_knows_yet_are_no_finding() {
        let odd = json!({ "status": "SOMETHING_NEW", "nodePools": [{ "name": "a", "status": 99 },
            { "name": "b", "status": null, "conditions": null }] });
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            skip     gcp-gke-cluster
                     The cluster and its node pools run
                     (there is nothing of the kind here)
        "#]]
        .assert_eq(&with(&odd, &json!([])).report(&GkeCluster).await);
    }

    #[tokio::test]
    async fn a_pool_without_machines_says_why() {
        let pools = json!({ "status": "RUNNING", "nodePools": [
            { "name": "default", "status": "RUNNING" },
            { "name": "gpu", "status": "ERROR", "conditions": [
                { "code": "GCE_STOCKOUT", "canonicalCode": "RESOURCE_EXHAUSTED",
                  "message": "The zone does not have enough resources" }] }] });
        expect![[r#"
            kf.example.com: nothing broken on the way; something beside it is. 1 root cause,
            0 symptoms; 0 checks passed, 0 not seen.

            BROKEN  gcp-gke-cluster
              node pool gpu is in error
                condition GCE_STOCKOUT: The zone does not have enough resources
                fix       shows all that GKE says of it
                          gcloud container node-pools describe gpu --location z \
                            --project p --cluster c
              kubectl kfcheck explain gcp-gke-cluster

            FAIL     gcp-gke-cluster
                     The cluster and its node pools run
        "#]]
        .assert_eq(&with(&pools, &json!([])).report(&GkeCluster).await);
    }

    #[tokio::test]
    async fn a_change_is_too_long_only_if_it_is_known_since_when_it_goes_on() {
        let old = json!({ "status": "RECONCILING", "createTime": "2020-01-01T00:00:00Z" });
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            skip     gcp-gke-cluster
                     The cluster and its node pools run
                     (there is nothing of the kind here)
        "#]]
        .assert_eq(&with(&old, &json!([])).report(&GkeCluster).await);
        let operations = json!([{ "name": "operation-1", "operationType": "UPDATE_CLUSTER",
            "status": "RUNNING", "startTime": "2026-11-21T10:30:00Z",
            "targetLink": "projects/p/zones/z/clusters/c" }]);
        expect![[r#"
            kf.example.com: nothing broken on the way; something beside it is. 1 root cause,
            0 symptoms; 0 checks passed, 0 not seen.

            BROKEN  gcp-gke-cluster
              cluster c is RECONCILING for 1 h 30 min
                usual     1 h at most
                fix       shows all that GKE says of it
                          gcloud container clusters describe c --location z --project p
              kubectl kfcheck explain gcp-gke-cluster

            FAIL     gcp-gke-cluster
                     The cluster and its node pools run
        "#]]
        .assert_eq(&with(&old, &operations).report(&GkeCluster).await);
    }

    #[tokio::test]
    async fn a_cluster_that_is_being_created_for_ever_is_not_there() {
        let new = json!({ "status": "PROVISIONING", "createTime": "2026-11-21T11:40:00+00:00" });
        assert!(with(&new, &json!([])).report(&GkeCluster).await.contains("pass "));
        let old = json!({ "status": 1, "createTime": "2026-11-21T09:00:00+00:00",
            "statusMessage": "waiting for the control plane" });
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-gke-cluster
              cluster c is PROVISIONING for 3 h
                usual     40 min at most
                status    waiting for the control plane
                fix       shows all that GKE says of it
                          gcloud container clusters describe c --location z --project p
              kubectl kfcheck explain gcp-gke-cluster

            FAIL     gcp-gke-cluster
                     The cluster and its node pools run
        "#]]
        .assert_eq(&with(&old, &json!([])).report(&GkeCluster).await);
    }
}
