use kfcheck::{Check, Cx, FactError, Findings, async_trait, check};
use kfcheck_kube::FrontServices;

use crate::{GoogleEntrances, NegAnnotation};

check! {
    /// ## What it checks
    /// That the `cloud.google.com/neg` annotation of every Service at the front door is JSON, and
    /// that the ports in it are ports of the Service.
    ///
    /// ## Why it matters
    /// The controller ignores an annotation that it can't read, and makes no network endpoint group
    /// for a port that isn't there.
    ///
    /// ## How to fix it
    /// For an Ingress it is `{"ingress": true}`. `exposed_ports` takes the Service's ports, not the
    /// pods'.
    pub(crate) struct NegAnnotated;
    id: "gcp-neg-annotation",
    title: "Services ask for network endpoint groups that can be made",
}

#[async_trait]
impl Check for NegAnnotated {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        if cx.get(GoogleEntrances).await?.is_empty() {
            return Ok(());
        }
        for service in cx.get(FrontServices).await?.iter() {
            let asked = match NegAnnotation::of(service) {
                None => continue,
                Some(Err(error)) => {
                    out.fail(&**service, "has a neg annotation that can't be read")
                        .evidence("because", error);
                    continue;
                }
                Some(Ok(asked)) => asked,
            };
            let ports: Vec<_> = asked.ports().collect();
            match ports.into_iter().find(|port| service.port(port).is_none()) {
                Some(port) => {
                    let there: Vec<_> =
                        service.spec.ports.iter().map(|port| port.port.to_string()).collect();
                    let message = format!(
                        "asks for a network endpoint group for port {port}, which it lacks"
                    );
                    out.fail(&**service, message).evidence("has ports", there.join(", "));
                }
                None => out.ok(&**service),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::NegAnnotated;
    use crate::testing::Deployment;

    fn asking(annotation: &str) -> Deployment {
        let mut deployment = Deployment::healthy();
        let named = json!({ "cloud.google.com/neg": annotation });
        deployment.object("Service")["metadata"]["annotations"] = named;
        deployment
    }

    #[tokio::test]
    async fn the_port_of_the_service_is_right_though_pods_serve_another() {
        let deployment = asking(r#"{"ingress": true, "exposed_ports": {"80": {}}}"#);
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     gcp-neg-annotation
                     Services ask for network endpoint groups that can be made
        "#]]
        .assert_eq(&deployment.report(&NegAnnotated).await);
    }

    #[tokio::test]
    async fn the_port_of_the_pods_is_wrong() {
        let mut deployment = asking(r#"{"ingress": true, "exposed_ports": {"8080": {}}}"#);
        deployment.unhealthy();
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-neg-annotation
              Service istio-system/gateway asks for a network endpoint group for port 8080,
                which it lacks
                has ports 80
              kubectl kfcheck explain gcp-neg-annotation

            FAIL     gcp-neg-annotation
                     Services ask for network endpoint groups that can be made
        "#]]
        .assert_eq(&deployment.report(&NegAnnotated).await);
    }

    #[tokio::test]
    async fn what_is_not_json_is_wrong() {
        let mut deployment = asking("{'ingress': true}");
        deployment.unhealthy();
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-neg-annotation
              Service istio-system/gateway has a neg annotation that can't be read
                because   key must be a string at line 1 column 2
              kubectl kfcheck explain gcp-neg-annotation

            FAIL     gcp-neg-annotation
                     Services ask for network endpoint groups that can be made
        "#]]
        .assert_eq(&deployment.report(&NegAnnotated).await);
    }
}
