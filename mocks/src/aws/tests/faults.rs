//! Faults on the way to AWS.

use serde_json::json;

use super::{form, get, inside, manifest, serve, target};
use crate::{Fault, FaultProxy, Times};

#[tokio::test]
async fn a_fault_comes_for_one_action_of_one_service() {
    let server = serve([
        manifest(),
        ("aws/elbv2/describe-load-balancers", json!({ "LoadBalancers": [] })),
        ("aws/elb/describe-load-balancers", json!({ "LoadBalancerDescriptions": [] })),
    ])
    .await;
    let proxy = FaultProxy::before(&server.url())
        .fault("elbv2:DescribeLoadBalancers", Times::First(1), Fault::AwsThrottling)
        .start()
        .await
        .unwrap();
    let ask = async |version: &str| {
        let scope = "eu-west-1/elasticloadbalancing";
        form(proxy.address(), scope, version, "DescribeLoadBalancers").await
    };
    assert_eq!(ask("2012-06-01").await.status, 200);
    let throttled = ask("2015-12-01").await;
    assert_eq!((throttled.status, inside(&throttled.text(), "Code")), (400, vec!["Throttling"]));
    assert_eq!(ask("2015-12-01").await.status, 200);
    assert_eq!((proxy.count("elb:"), proxy.count("elbv2:Describe")), (1, 2));
    assert_eq!(server.calls().len(), 2);
}

#[tokio::test]
async fn every_so_many_th_call_goes_wrong_in_the_words_of_its_service() {
    let server = serve([manifest(), ("aws/eks/list-clusters", json!({ "clusters": [] }))]).await;
    let proxy = FaultProxy::before(&server.url())
        .fault("", Times::Every(2), Fault::AwsThrottling)
        .start()
        .await
        .unwrap();
    let address = proxy.address();
    assert_eq!(get(address, "eu-west-1/eks", "/clusters").await.status, 200);
    let eks = get(address, "eu-west-1/eks", "/clusters").await;
    assert!(
        eks.status == 429 && eks.head.contains("errortype: throttlingexception"),
        "{}",
        eks.head
    );
    assert_eq!(get(address, "eu-west-1/eks", "/clusters").await.status, 200);
    let ec2 = form(address, "eu-west-1/ec2", "2016-11-15", "DescribeSubnets").await;
    assert_eq!((ec2.status, inside(&ec2.text(), "Code")), (503, vec!["RequestLimitExceeded"]));
}

#[tokio::test]
async fn credentials_run_out_and_rights_are_taken_away() {
    let server = serve([manifest()]).await;
    let proxy = FaultProxy::before(&server.url())
        .fault("acm:", Times::Always, Fault::AwsExpiredToken)
        .fault("GET /clusters eks:", Times::Always, Fault::AwsAccessDenied)
        .fault("", Times::Always, Fault::AwsExpiredToken)
        .start()
        .await
        .unwrap();
    let address = proxy.address();
    let acm = target(address, "eu-west-1/acm", "CertificateManager.Any", &json!({})).await;
    assert_eq!((acm.status, &acm.json()["__type"]), (400, &json!("ExpiredTokenException")));
    let eks = get(address, "eu-west-1/eks", "/clusters").await;
    assert!(eks.status == 403 && eks.head.contains("errortype: accessdenied"), "{}", eks.head);
    let sts = form(address, "eu-west-1/sts", "2011-06-15", "GetCallerIdentity").await;
    assert_eq!((sts.status, inside(&sts.text(), "Code")), (403, vec!["ExpiredToken"]));
    assert_eq!(server.calls().len(), 0);
}
