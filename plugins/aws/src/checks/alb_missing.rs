use kfcheck::{Check, Cx, FactError, Findings, Named, Now, Risk, async_trait, check};
use kfcheck_kube::{Ingress, Thresholds, is_new};

use crate::{
    AlbIngresses, FrontLoadBalancers, LoadBalancer, Scope, complaints::complaint,
    facts::certificate_resource, fronts::annotation,
};

check! {
    /// ## What it checks
    /// That every Ingress of class `alb` that leads to Kubeflow has an address, that the load balancer
    /// of that name exists, and that AWS has finished it.
    ///
    /// ## Why it matters
    /// The Ingress only asks for a load balancer. Without one nobody reaches the gateway from
    /// outside, whatever DNS says.
    ///
    /// ## How to fix it
    /// The controller for load balancers makes it, and tries again by itself: mend what its events
    /// name. One that was deleted by hand comes back when the controller is restarted.
    pub(crate) struct AlbMissing;
    id: "aws-alb-missing",
    title: "Every Ingress of class alb has its load balancer",
}

/// How long a load balancer may take, in minutes.
const PATIENCE: i64 = 5;

#[async_trait]
impl Check for AlbMissing {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let ingresses = cx.get(AlbIngresses).await?;
        if ingresses.is_empty() {
            out.skip("no Ingress here is for an application load balancer");
        }
        for ingress in ingresses.iter() {
            match ingress.addresses().next() {
                None => examine_address(cx, ingress, out).await,
                Some(address) => examine_balancer(cx, ingress, address, out).await?,
            }
        }
        Ok(())
    }
}

async fn examine_address(cx: &Cx, ingress: &Ingress, out: &mut Findings) {
    let minutes = cx.setting::<Thresholds>().load_balancer_minutes(PATIENCE);
    let since = ingress.metadata.creation_timestamp;
    let is_new = cx.get(Now).await.is_ok_and(|now| is_new(since, minutes, *now));
    let said = complaint(cx, ingress).await;
    let finding = match &said {
        Ok(None) | Err(_) if is_new => out.warn(ingress, "has no load balancer yet"),
        _ => out.unbuilt(ingress, "has no load balancer"),
    };
    if let Ok(Some(event)) = said {
        finding.evidence("says", format!("{}: {}", event.reason, event.message));
    }
    finding.fix(Risk::None, "shows what the controller says", describe(ingress));
    // A certificate that can't be shown keeps it from being finished.
    let certificates = annotation(ingress, "certificate-arn").unwrap_or_default();
    for arn in certificates.split(',').map(str::trim).filter(|arn| !arn.is_empty()) {
        out.built_from(ingress, certificate_resource(arn));
    }
}

async fn examine_balancer(
    cx: &Cx,
    ingress: &Ingress,
    address: &str,
    out: &mut Findings,
) -> Result<(), FactError> {
    let scope = cx.get(Scope).await?;
    // What another region has, or another cloud, can't be looked at.
    if !address.contains(&format!(".{}.", scope.region)) || !address.contains(".elb.") {
        return Ok(());
    }
    let fronts = cx.get(FrontLoadBalancers).await;
    let Some(fronts) = out.known(ingress, fronts) else { return Ok(()) };
    let of_this = ingress.resource();
    let ours: Vec<_> = fronts.iter().filter(|front| front.entrance == of_this).collect();
    if ours.is_empty() {
        out.fail(ingress, format!("names load balancer {address}, which does not exist")).fix(
            Risk::None,
            "shows the load balancers that there are",
            format!(
                "aws elbv2 describe-load-balancers --region {} --query LoadBalancers[].DNSName",
                scope.region
            ),
        );
    }
    for front in ours {
        examine_state(&front.balancer, &scope.region, out);
    }
    Ok(())
}

fn examine_state(balancer: &LoadBalancer, region: &str, out: &mut Findings) {
    let state = balancer.state.as_ref();
    let finding = match state.map_or("", |state| state.code.as_str()) {
        "failed" => out.fail(balancer, "could not be set up"),
        "provisioning" => out.warn(balancer, "is not set up yet"),
        "active_impaired" => out.warn(balancer, "lacks what it needs to scale"),
        _ => {
            out.ok(balancer);
            return;
        }
    };
    if let Some(reason) = state.map(|state| &state.reason).filter(|reason| !reason.is_empty()) {
        finding.evidence("because", reason);
    }
    finding.fix(
        Risk::None,
        "shows its state",
        format!(
            "aws elbv2 describe-load-balancers --region {region} --names {}",
            balancer.load_balancer_name
        ),
    );
}

fn describe(ingress: &Ingress) -> String {
    let (namespace, name) = (ingress.metadata.namespace(), &ingress.metadata.name);
    format!("kubectl describe ingress -n {namespace} {name}")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::AlbMissing;
    use crate::testing::Deployment;

    #[tokio::test]
    async fn an_ingress_without_address_has_none() {
        let mut deployment = Deployment::healthy();
        deployment.object("Ingress")["status"] = json!({ "loadBalancer": {} });
        deployment.add(json!({ "apiVersion": "v1", "kind": "Event",
            "metadata": { "namespace": "istio-system", "name": "front.1" },
            "involvedObject": { "kind": "Ingress", "namespace": "istio-system", "name": "front" },
            "type": "Warning", "reason": "FailedBuildModel", "message": "no certificate found",
            "lastTimestamp": "2026-11-21T11:59:00Z" }));
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-alb-missing
              Ingress istio-system/front has no load balancer
                says      FailedBuildModel: no certificate found
                fix       shows what the controller says
                          kubectl describe ingress -n istio-system front
              kubectl kfcheck explain aws-alb-missing

            FAIL     aws-alb-missing
                     Every Ingress of class alb has its load balancer
        "#]]
        .assert_eq(&deployment.report(&AlbMissing).await);
    }

    #[tokio::test]
    async fn a_new_ingress_is_waited_for() {
        let mut deployment = Deployment::healthy();
        let ingress = deployment.object("Ingress");
        ingress["status"] = json!({ "loadBalancer": {} });
        ingress["metadata"]["creationTimestamp"] = "2026-11-21T11:58:00Z".into();
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            WARNING  aws-alb-missing
              Ingress istio-system/front has no load balancer yet
                fix       shows what the controller says
                          kubectl describe ingress -n istio-system front

            warn     aws-alb-missing
                     Every Ingress of class alb has its load balancer
        "#]]
        .assert_eq(&deployment.report(&AlbMissing).await);
    }

    #[tokio::test]
    async fn an_address_of_nobodys_is_named() {
        let mut deployment = Deployment::healthy();
        *deployment.file("aws/elbv2/describe-load-balancers") = json!({ "LoadBalancers": [] });
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-alb-missing
              Ingress istio-system/front names load balancer
                k8s-front-1.us-west-2.elb.amazonaws.com, which does not exist
                fix       shows the load balancers that there are
                          aws elbv2 describe-load-balancers --region us-west-2 \
                            --query LoadBalancers[].DNSName
              kubectl kfcheck explain aws-alb-missing

            FAIL     aws-alb-missing
                     Every Ingress of class alb has its load balancer
        "#]]
        .assert_eq(&deployment.report(&AlbMissing).await);
    }

    #[tokio::test]
    async fn one_that_could_not_be_set_up_says_why() {
        let mut deployment = Deployment::healthy();
        let balancers = deployment.file("aws/elbv2/describe-load-balancers");
        balancers["LoadBalancers"][0]["State"] = json!({ "Code": "failed", "Reason": "no room" });
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-alb-missing
              load balancer k8s-front could not be set up
                because   no room
                fix       shows its state
                          aws elbv2 describe-load-balancers --region us-west-2 \
                            --names k8s-front
              kubectl kfcheck explain aws-alb-missing

            FAIL     aws-alb-missing
                     Every Ingress of class alb has its load balancer
        "#]]
        .assert_eq(&deployment.report(&AlbMissing).await);
    }

    #[tokio::test]
    async fn without_the_list_of_load_balancers_it_is_open() {
        let mut deployment = Deployment::healthy();
        deployment.without("aws/elbv2/describe-load-balancers");
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 1 not seen.

            NOT SEEN, so a cause may hide there
              request path, aws-alb-missing
                not collected: aws/elbv2/describe-load-balancers.json
                  aws elbv2 describe-load-balancers

            unknown  aws-alb-missing
                     Every Ingress of class alb has its load balancer
                     (not collected: aws/elbv2/describe-load-balancers.json; `aws elbv2
                     describe-load-balancers` prints it (asking for aws.loadBalancers))
        "#]]
        .assert_eq(&deployment.report(&AlbMissing).await);
    }

    #[tokio::test]
    async fn one_that_is_active_is_fine() {
        let deployment = Deployment::healthy();
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     aws-alb-missing
                     Every Ingress of class alb has its load balancer
        "#]]
        .assert_eq(&deployment.report(&AlbMissing).await);
    }

    #[tokio::test]
    async fn a_classic_one_is_of_no_concern() {
        let deployment = Deployment::classic();
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            skip     aws-alb-missing
                     Every Ingress of class alb has its load balancer
                     (no Ingress here is for an application load balancer)
        "#]]
        .assert_eq(&deployment.report(&AlbMissing).await);
    }
}
