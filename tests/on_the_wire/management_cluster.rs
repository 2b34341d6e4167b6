//! Config Connector's objects in another cluster than the one that is inspected.

use kfcheck::{CheckResult, Runner, Status, World};
use kfcheck_kube::{KubeClient, ManagementCluster};
use kfcheck_tests::{Sky, gcp, replay, root};

async fn judged(world: &World) -> CheckResult {
    let report = Runner::default().run(world, &gcp().checks).await;
    let is = |result: &CheckResult| result.id == "gcp-config-connector";
    report.results.into_iter().find(is).unwrap()
}

async fn sky(scenario: &str) -> Sky {
    Sky::over(&root().join("tests/scenarios").join(scenario).join("bundle")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_read_where_they_are_kept() {
    let here = sky("gcp-healthy-negs").await;
    assert_eq!(judged(&here.world()).await.status, Status::Skip, "there are none here");

    let there = sky("gcp-config-connector-dependency").await;
    let other = KubeClient::new(there.access(&there.kubernetes.url()));
    let live = here.world().client(Ok(ManagementCluster(other)));
    let found = judged(&live).await;
    assert_eq!(found.status, Status::Fail);
    let about = |result: &CheckResult| {
        let all = result.findings.iter().map(|finding| finding.resource.to_string());
        all.collect::<Vec<_>>()
    };
    assert_eq!(about(&found).len(), 5, "{:?}", about(&found));

    let again = judged(&replay(live.bundle())).await;
    assert_eq!(about(&again), about(&found), "collected");
    let asked = there.kubernetes.calls();
    assert!(asked.iter().all(|call| !call.path.contains("/pods")), "only what is wanted of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_lists_each_version_on_its_own_has_the_same_objects() {
    let bundle = root().join("tests/scenarios/gcp-config-connector-dependency/bundle");
    let bundle = kfcheck::Bundle::open(&bundle).unwrap();
    let old = Sky::of(bundle, kfcheck_mocks::KubernetesMock::without_aggregated_discovery).await;
    assert_eq!(judged(&old.world()).await.findings.len(), 5);
    assert!(old.unknown().is_empty(), "{:#?}", old.unknown());
}
