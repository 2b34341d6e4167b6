use kfcheck::{Check, Cx, FactError, Findings, Named, Risk, async_trait, check};
use kfcheck_kube::{Service, within};

use crate::{AlbIngresses, FrontClassics};

check! {
    /// ## What it checks
    /// Whether Kubeflow's gateway stands on a classic load balancer of its own. Where a proxy in the
    /// cluster signs users in, that is fine.
    ///
    /// ## Why it matters
    /// A classic load balancer can't sign users in; with Cognito they come in unasked. Beside an
    /// Ingress with sign-in it is a second door without one.
    ///
    /// ## How to fix it
    /// Give the gateway's Service type `NodePort`, and have an Ingress of class `alb` lead to it.
    pub(crate) struct ElbClassic;
    id: "aws-elb-classic",
    title: "The gateway doesn't stand on a classic load balancer",
}

/// Proxies that sign users in inside the cluster, and where they are.
const PROXIES: [(&str, &str); 2] =
    [("istio-system", "authservice"), ("oauth2-proxy", "oauth2-proxy")];

#[async_trait]
impl Check for ElbClassic {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let fronts = cx.get(FrontClassics).await?;
        if fronts.is_empty() {
            out.skip("no classic load balancer is at the entrance");
            return Ok(());
        }
        let ingresses = cx.get(AlbIngresses).await?;
        let signs_in = ingresses.is_empty() && has_proxy(cx).await;
        for front in fronts.iter() {
            if signs_in {
                out.ok(&front.balancer);
                continue;
            }
            let message = "is a classic load balancer, which can't sign users in";
            let finding = out.warn(&front.balancer, message);
            finding.evidence("made for", &front.entrance);
            if let [ingress, ..] = &ingresses[..] {
                finding.evidence("meant to be", ingress.resource());
            }
            let namespace = front.entrance.namespace.as_deref().unwrap_or_default();
            let patch = r#"'{"spec":{"type":"NodePort"}}'"#;
            finding.fix(
                Risk::Deletes,
                "takes the classic load balancer away; do so once an Ingress of class alb leads there",
                format!(
                    "kubectl patch service {} -n {namespace} -p {patch}",
                    front.entrance.name
                ),
            );
        }
        Ok(())
    }
}

/// Whether a proxy in the cluster signs users in.
async fn has_proxy(cx: &Cx) -> bool {
    for (namespace, name) in PROXIES {
        let services = cx.get(within::<Service>(namespace)).await;
        let mut services = services.iter().flat_map(|all| all.iter());
        if services.any(|service| service.metadata.name == name) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::ElbClassic;
    use crate::testing::Deployment;

    #[tokio::test]
    async fn a_gateway_on_a_classic_load_balancer_is_a_warning() {
        let deployment = Deployment::classic();
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            WARNING  aws-elb-classic
              load balancer aclassic is a classic load balancer, which can't sign users in
                made for  Service istio-system/istio-ingressgateway
                fix       takes the classic load balancer away; do so once an Ingress of
                          class alb leads there
                          kubectl patch service istio-ingressgateway -n istio-system \
                            -p '{"spec":{"type":"NodePort"}}'

            warn     aws-elb-classic
                     The gateway doesn't stand on a classic load balancer
        "#]]
        .assert_eq(&deployment.report(&ElbClassic).await);
    }

    #[tokio::test]
    async fn where_a_proxy_signs_users_in_it_is_fine() {
        let mut deployment = Deployment::classic();
        deployment.add(json!({ "apiVersion": "v1", "kind": "Service",
            "metadata": { "namespace": "istio-system", "name": "authservice" } }));
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     aws-elb-classic
                     The gateway doesn't stand on a classic load balancer
        "#]]
        .assert_eq(&deployment.report(&ElbClassic).await);
    }

    #[tokio::test]
    async fn without_the_list_it_is_open() {
        let mut deployment = Deployment::classic();
        deployment.without("aws/elb/describe-load-balancers");
        expect![[r#"
            kf and istio-ingressgateway: nothing broken found. 0 root causes, 0 symptoms; 0
            checks passed, 1 not seen.

            NOT SEEN, so a cause may hide there
              request path, aws-elb-classic
                not collected: aws/elb/describe-load-balancers.json
                  aws elb describe-load-balancers

            unknown  aws-elb-classic
                     The gateway doesn't stand on a classic load balancer
                     (not collected: aws/elb/describe-load-balancers.json; `aws elb
                     describe-load-balancers` prints it (asking for
                     aws.classicLoadBalancers))
        "#]]
        .assert_eq(&deployment.report(&ElbClassic).await);
    }

    #[tokio::test]
    async fn an_ingress_has_none() {
        let deployment = Deployment::healthy();
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            skip     aws-elb-classic
                     The gateway doesn't stand on a classic load balancer
                     (no classic load balancer is at the entrance)
        "#]]
        .assert_eq(&deployment.report(&ElbClassic).await);
    }
}
