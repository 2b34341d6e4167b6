use jiff::Timestamp;
use kfcheck::{Check, Cx, FactError, Finding, Findings, Now, Resource, Risk, async_trait, check};

use crate::{
    Cluster, Operation, Operations, OurCluster, Scope,
    events::Complaint,
    operations::{by_target, is_stuck, limit, running_for, spoken, unresolved},
    pool_resource, quota_resource,
};

check! {
    /// ## What it checks
    /// The operations of Google Kubernetes Engine on the cluster and its node pools: that none runs
    /// longer than its kind takes, and that the last one on each did what it was to do. A failure
    /// that a later operation on the same made good is over.
    ///
    /// ## Why it matters
    /// GKE works on a cluster in steps. One that gets no machines, no addresses or no answer from
    /// its nodes holds everything that comes after, other operations included.
    ///
    /// ## How to fix it
    /// The error quoted says what was missing: room in a quota, machines in a zone, addresses in a
    /// range, a way from the nodes to the control plane. Once it is there, start the operation
    /// again.
    pub(crate) struct GkeOperations;
    id: "gcp-gke-operations",
    title: "GKE has done what it was asked to do with the cluster",
}

/// What leaves something unbuilt or broken when it fails. After other failures there is what was
/// there before.
const BUILDING: [&str; 3] = ["CREATE_CLUSTER", "CREATE_NODE_POOL", "REPAIR_CLUSTER"];

#[async_trait]
impl Check for GkeOperations {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let operations = cx.get(Operations).await?;
        let cluster = cx.get(OurCluster).await?;
        let now = *cx.get(Now).await?;
        for (pool, operations) in by_target(operations.iter(), &cluster) {
            let is_up = is_up(&cluster, pool);
            let target = pool.map_or_else(|| (&*cluster).into(), pool_resource);
            let failed = unresolved(&operations);
            for operation in &operations {
                let finding = if is_stuck(operation, now) {
                    stuck(operation, now, out)
                } else if failed.is_some_and(|failed| std::ptr::eq(failed, *operation)) {
                    failure(operation, &target, is_up, out)
                } else {
                    if operation.succeeded() || running_for(operation, now).is_some() {
                        out.ok(*operation);
                    }
                    continue;
                };
                for says in operation.says() {
                    finding.evidence("says", says);
                }
                finding.fix(
                    Risk::None,
                    "shows each of its steps",
                    describe(cx, &cluster, operation).await,
                );
                link(operation, &target, is_up, out);
            }
        }
        Ok(())
    }
}

/// Whether the cluster, or a node pool of it, is as it should be; not if that isn't known.
fn is_up(cluster: &Cluster, pool: Option<&str>) -> bool {
    let status = match pool {
        None => Some(&cluster.status),
        Some(name) => cluster.node_pools.iter().find(|p| p.name == name).map(|p| &p.status),
    };
    status.is_some_and(|status| status == "RUNNING")
}

fn stuck<'a>(operation: &Operation, now: Timestamp, out: &'a mut Findings) -> &'a mut Finding {
    let lasts = running_for(operation, now).map(spoken).unwrap_or_default();
    let finding = out.fail(operation, format!("({}) runs for {lasts}", operation.operation_type));
    if let Some(minutes) = limit(&operation.operation_type) {
        finding.evidence("usual", format!("{minutes} min at most"));
    }
    for stage in operation.open_stages() {
        finding.evidence("step", stage);
    }
    finding
}

fn failure<'a>(
    operation: &Operation,
    target: &Resource,
    is_up: bool,
    out: &'a mut Findings,
) -> &'a mut Finding {
    let kind = &operation.operation_type;
    if is_up && !BUILDING.contains(&kind.as_str()) {
        return out.warn(operation, format!("({kind}) failed, and {target} is as it was before"));
    }
    let finding = out.fail(operation, format!("({kind}) failed"));
    finding.evidence("on", target);
    finding
}

/// What the operation was to build needs it, and it may have needed room in a quota.
fn link(operation: &Operation, target: &Resource, is_up: bool, out: &mut Findings) {
    if !is_up {
        out.built_from(target, operation);
    }
    for says in operation.says() {
        if let Complaint::Quota(metric, region) = Complaint::of(&says) {
            out.built_from(operation, quota_resource(&metric, region.as_deref()));
        }
    }
}

async fn describe(cx: &Cx, cluster: &Cluster, operation: &Operation) -> String {
    let location = operation.location.as_ref().or(operation.zone.as_ref());
    let location = location.unwrap_or(&cluster.location);
    let project = cx.get(Scope).await.map(|scope| format!(" --project {}", scope.project));
    let project = project.unwrap_or_default();
    format!(
        "gcloud container operations describe {} --location {location}{project}",
        operation.name
    )
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::GkeOperations;
    use crate::testing::Deployment;

    const CLUSTER: &str = "projects/p/zones/z/clusters/c";

    async fn report(status: &str, operations: Value) -> String {
        let mut deployment = Deployment::healthy();
        deployment.file("gcp/container/clusters")[0]["status"] = json!(status);
        *deployment.file("gcp/container/operations") = operations;
        deployment.report(&GkeOperations).await
    }

    fn failed(kind: &str, target: &str, at: &str) -> Value {
        json!({ "name": format!("operation-{kind}"), "operationType": kind, "status": "DONE",
            "startTime": at, "endTime": at, "targetLink": target,
            "error": { "code": 8, "message": "[GCE_STOCKOUT]: the zone has no such machine left" } })
    }

    fn succeeded(target: &str, at: &str) -> Value {
        json!({ "name": "operation-good", "operationType": "UPDATE_CLUSTER", "status": "DONE",
            "startTime": at, "endTime": at, "targetLink": target })
    }

    #[tokio::test]
    async fn a_failure_that_was_made_good_is_over_and_one_elsewhere_is_not_ours() {
        let operations = json!([
            failed("UPDATE_CLUSTER", CLUSTER, "2026-11-21T10:00:00Z"),
            succeeded(CLUSTER, "2026-11-21T11:00:00Z"),
            failed("CREATE_CLUSTER", "projects/p/zones/z/clusters/other", "2026-11-21T11:30:00Z"),
            { "name": "operation-odd", "status": null, "operationType": "NEW", "targetLink": CLUSTER,
              "startTime": "not a time" },
        ]);
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     gcp-gke-operations
                     GKE has done what it was asked to do with the cluster
        "#]]
        .assert_eq(&report("RUNNING", operations).await);
    }

    #[tokio::test]
    async fn a_success_of_the_cluster_does_not_mend_a_node_pool() {
        let pool = format!("{CLUSTER}/nodePools/gpu");
        let operations = json!([
            failed("CREATE_NODE_POOL", &pool, "2026-11-21T10:00:00Z"),
            succeeded(CLUSTER, "2026-11-21T11:00:00Z"),
        ]);
        expect![[r#"
            kf.example.com: nothing broken on the way; something beside it is. 1 root cause,
            0 symptoms; 0 checks passed, 0 not seen.

            BROKEN  gcp-gke-operations
              operation operation-CREATE_NODE_POOL (CREATE_NODE_POOL) failed
                on        node pool gpu
                says      [GCE_STOCKOUT]: the zone has no such machine left
                fix       shows each of its steps
                          gcloud container operations describe operation-CREATE_NODE_POOL \
                            --location z --project p
              kubectl kfcheck explain gcp-gke-operations

            FAIL     gcp-gke-operations
                     GKE has done what it was asked to do with the cluster
        "#]]
        .assert_eq(&report("RUNNING", operations).await);
    }

    #[tokio::test]
    async fn a_change_that_failed_leaves_what_was_there() {
        let operations = json!([failed("UPDATE_CLUSTER", CLUSTER, "2026-11-21T10:00:00Z")]);
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            WARNING  gcp-gke-operations
              operation operation-UPDATE_CLUSTER (UPDATE_CLUSTER) failed, and cluster c is
                as it was before
                says      [GCE_STOCKOUT]: the zone has no such machine left
                fix       shows each of its steps
                          gcloud container operations describe operation-UPDATE_CLUSTER \
                            --location z --project p

            warn     gcp-gke-operations
                     GKE has done what it was asked to do with the cluster
        "#]]
        .assert_eq(&report("RUNNING", operations).await);
    }

    #[tokio::test]
    async fn without_times_nothing_is_said() {
        let mut operation = failed("CREATE_CLUSTER", CLUSTER, "");
        operation["name"] = Value::Null;
        let running = json!({ "name": "r", "operationType": "CREATE_CLUSTER", "status": "RUNNING",
            "targetLink": CLUSTER });
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            skip     gcp-gke-operations
                     GKE has done what it was asked to do with the cluster
                     (there is nothing of the kind here)
        "#]]
        .assert_eq(&report("ERROR", json!([operation, running])).await);
    }

    #[tokio::test]
    async fn one_that_is_stuck_says_at_which_step_and_why() {
        let operations = json!([{ "name": "operation-1", "operationType": "CREATE_CLUSTER",
            "status": "RUNNING", "startTime": "2026-11-21T10:55:00Z", "zone": "z",
            "targetLink": "https://container.googleapis.com/v1/projects/7/zones/z/clusters/c",
            "detail": "waiting for nodes to register",
            "progress": { "status": "RUNNING", "stages": [
                { "name": "CLUSTER_CONFIGURE", "status": "DONE" },
                { "name": "CLUSTER_HEALTHCHECKING", "status": "RUNNING" }] },
            "clusterConditions": [{ "code": "GCE_QUOTA_EXCEEDED", "canonicalCode": "RESOURCE_EXHAUSTED",
                "message": "Quota 'CPUS' exceeded. Limit: 24.0 in region us-east1." }] }]);
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-gke-operations
              operation operation-1 (CREATE_CLUSTER) runs for 1 h 5 min
                usual     40 min at most
                step      CLUSTER_HEALTHCHECKING
                says      GCE_QUOTA_EXCEEDED: Quota 'CPUS' exceeded. Limit: 24.0 in region
                          us-east1.
                says      waiting for nodes to register
                fix       shows each of its steps
                          gcloud container operations describe operation-1 --location z \
                            --project p
              kubectl kfcheck explain gcp-gke-operations

            FAIL     gcp-gke-operations
                     GKE has done what it was asked to do with the cluster
        "#]]
        .assert_eq(&report("PROVISIONING", operations).await);
    }
}
