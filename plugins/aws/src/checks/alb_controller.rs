use std::sync::Arc;

use kfcheck::{Check, Cx, FactError, Findings, Named, Risk, async_trait, check, redact::redact};
use kfcheck_kube::{Ingress, Pod};

use crate::{
    AlbController, AlbControllers, AlbIngresses, ClusterNames, FrontLoadBalancers, OurCluster,
    OurVpc, Roles, Scope, Subnets,
    complaints::{Trouble, complaint, denied_action, denied_role, error_in, logged},
    controller::ToldCluster,
    facts::{resource, role_name},
    fronts::annotation,
    shape::tag,
    trust::{Bearer, Mistrust},
};

check! {
    /// ## What it checks
    /// The controller that makes load balancers for Ingresses of class `alb`, the AWS Load Balancer
    /// Controller or the ALB Ingress Controller before it: that it is there and runs, that it is
    /// told the name that EKS has for this cluster, and that neither its log nor the events of an
    /// Ingress without load balancer speak of something that AWS denies it or that it doesn't find.
    ///
    /// ## Why it matters
    /// By the name it finds the subnets and what it has made before. Without it, or with another
    /// name, no load balancer is made, and nothing says so but its log.
    ///
    /// ## How to fix it
    /// Run the command shown. The name is that of `aws eks list-clusters`; Kubeflow's manifests have
    /// a placeholder there. What is denied has to be allowed to the role of its service account, or
    /// of the nodes where it has none.
    pub(crate) struct AlbControllerWorks;
    id: "aws-alb-controller",
    title: "The controller for load balancers works for this cluster",
}

#[async_trait]
impl Check for AlbControllerWorks {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let ingresses = cx.get(AlbIngresses).await?;
        if ingresses.is_empty() {
            out.skip("no Ingress here is for an application load balancer");
            return Ok(());
        }
        let mut unserved = Vec::new();
        for ingress in ingresses.iter() {
            if !is_served(cx, ingress).await {
                unserved.push(Arc::clone(ingress));
            }
        }
        let controllers = cx.get(AlbControllers).await?;
        if controllers.is_empty() {
            return missing(cx, &unserved, out).await;
        }
        let any_ready = controllers.iter().any(AlbController::is_ready);
        for controller in controllers.iter() {
            // One that another has taken the place of is of no concern.
            if any_ready && !controller.is_ready() {
                continue;
            }
            let mut is_fine = examine_name(cx, controller, &unserved, out).await;
            is_fine &= examine_pods(controller, out);
            if is_fine && !unserved.is_empty() {
                is_fine = examine_trouble(cx, controller, &unserved, out).await?;
            }
            if is_fine {
                out.ok(&*controller.deployment);
            }
        }
        Ok(())
    }
}

/// Whether an Ingress has its load balancer, as far as that can be seen.
async fn is_served(cx: &Cx, ingress: &Ingress) -> bool {
    let of_this = ingress.resource();
    let fronts = cx.get(FrontLoadBalancers).await;
    let is_there =
        |all: Arc<Vec<_>>| all.iter().any(|front: &crate::Front<_>| front.entrance == of_this);
    ingress.addresses().next().is_some() && fronts.map_or(true, is_there)
}

/// There is no controller; EKS may be one itself.
async fn missing(cx: &Cx, unserved: &[Arc<Ingress>], out: &mut Findings) -> Result<(), FactError> {
    let cluster = cx.get(OurCluster).await;
    for ingress in unserved {
        let Some(cluster) = out.known(&**ingress, cluster.clone()) else { continue };
        let network = cluster.as_ref().as_ref().and_then(|c| c.kubernetes_network_config.as_ref());
        let balancing = network.and_then(|network| network.elastic_load_balancing.as_ref());
        if balancing.is_some_and(|balancing| balancing.enabled) {
            continue;
        }
        let name = cluster.as_ref().as_ref().map_or("CLUSTER", |cluster| &cluster.name);
        out.fail(&**ingress, "is for AWS's controller for load balancers, and there is none").fix(
            Risk::None,
            "installs it; its service account needs a role that may make load balancers",
            format!(
                "helm upgrade --install aws-load-balancer-controller aws-load-balancer-controller \
                 --repo https://aws.github.io/eks-charts --namespace kube-system \
                 --set clusterName={name}"
            ),
        );
    }
    Ok(())
}

/// Whether it is told the cluster's name, or may be.
async fn examine_name(
    cx: &Cx,
    controller: &AlbController,
    unserved: &[Arc<Ingress>],
    out: &mut Findings,
) -> bool {
    let deployment = &*controller.deployment;
    let told = controller.told_cluster();
    let (ToldCluster::Flag(name) | ToldCluster::Variable(name)) = told else { return true };
    let ours = cx.get(OurCluster).await;
    if name.is_empty() {
        let right = ours.as_ref().ok().and_then(|ours| ours.as_ref().as_ref());
        let right = right.map_or("CLUSTER", |cluster| &cluster.name);
        let finding = out.fail(deployment, "is told no cluster name");
        let (why, command) = rename(controller, &told, right);
        finding.fix(Risk::Restarts, why, command);
        return false;
    }
    let Some(ours) = out.known(deployment, ours) else { return false };
    // Whether the cluster is there is another question.
    let Some(ours) = ours.as_ref() else { return true };
    if ours.name == name {
        return true;
    }
    let names = cx.get(ClusterNames).await;
    let is_known = names.as_ref().is_ok_and(|names| names.iter().any(|known| known == name));
    let what = if is_known || names.is_err() { "" } else { ", which EKS doesn't know" };
    let message = format!("is told that its cluster is {name}{what}; this one is {}", ours.name);
    // What it has found its way to all the same isn't down for that.
    let finding = if unserved.is_empty() {
        out.warn(deployment, message)
    } else {
        out.fail(deployment, message)
    };
    if !unserved.is_empty()
        && let Ok(Some((_, says))) = logged(cx, controller, unserved).await
    {
        finding.evidence("log", says);
    }
    let (why, command) = rename(controller, &told, &ours.name);
    finding.fix(Risk::Restarts, why, command);
    false
}

/// Tells it the right name.
fn rename(
    controller: &AlbController,
    told: &ToldCluster<'_>,
    right: &str,
) -> (&'static str, String) {
    let metadata = &controller.deployment.metadata;
    let (namespace, name) = (metadata.namespace(), &metadata.name);
    let command = match told {
        ToldCluster::Variable(_) => {
            format!("kubectl set env deployment/{name} -n {namespace} CLUSTER_NAME={right}")
        }
        ToldCluster::Flag(wrong) => format!(
            "kubectl get deployment {name} -n {namespace} -o yaml | \
             sed 's/--cluster-name={wrong}/--cluster-name={right}/' | kubectl replace -f -"
        ),
        ToldCluster::Unseen => format!("kubectl edit deployment {name} -n {namespace}"),
    };
    ("tells it the cluster's name; say the same where it is installed from", command)
}

/// Whether it runs.
fn examine_pods(controller: &AlbController, out: &mut Findings) -> bool {
    let deployment = &*controller.deployment;
    let (namespace, name) = (deployment.metadata.namespace(), &deployment.metadata.name);
    if controller.is_ready() {
        return true;
    }
    if deployment.replicas() == 0 {
        out.fail(deployment, "is scaled to 0, so nobody makes load balancers").fix(
            Risk::None,
            "starts one pod",
            format!("kubectl scale deployment {name} -n {namespace} --replicas=1"),
        );
        return false;
    }
    let finding =
        out.unbuilt(deployment, "has no pod that is ready, so nobody makes load balancers");
    if let Some(says) = controller.pods.iter().find_map(|pod| stopped(pod)) {
        finding.evidence("because", says);
    }
    finding.fix(
        Risk::None,
        "shows what it says last",
        format!("kubectl logs -n {namespace} deployment/{name} --tail=50"),
    );
    false
}

/// Why a container of a pod doesn't run, in the kubelet's words.
fn stopped(pod: &Pod) -> Option<String> {
    let stopped = pod
        .statuses()
        .find_map(|status| status.state.waiting.as_ref().or(status.state.terminated.as_ref()));
    stopped.map(kfcheck_kube::Stopped::says).filter(|says| !says.is_empty())
}

/// Whether nothing is known to keep it from its work.
async fn examine_trouble(
    cx: &Cx,
    controller: &AlbController,
    unserved: &[Arc<Ingress>],
    out: &mut Findings,
) -> Result<bool, FactError> {
    let mut found = None;
    let mut unseen = None;
    for ingress in unserved {
        match complaint(cx, ingress).await {
            Ok(Some(event)) => {
                let trouble = Trouble::of(&event.message);
                found = found.or(trouble.map(|trouble| (trouble, event.message.clone())));
            }
            Ok(None) => (),
            Err(error) => unseen = Some(error),
        }
    }
    if found.is_none() {
        match logged(cx, controller, unserved).await {
            Ok(said) => found = said,
            Err(error) => unseen = Some(error),
        }
    }
    let deployment = &*controller.deployment;
    let Some((trouble, says)) = found else {
        return Ok(match unseen {
            Some(error) => out.known::<()>(deployment, Err(error)).is_some(),
            None => true,
        });
    };
    let says = redact(error_in(&says)).into_owned();
    let (namespace, name) = (deployment.metadata.namespace(), &deployment.metadata.name);
    match trouble {
        // Which certificate, and what is wrong with it, isn't the controller's.
        Trouble::Certificate => return Ok(true),
        Trouble::Subnets => {
            let advice = subnets_to_tag(cx, unserved).await;
            out.fail(deployment, "finds no subnets to put a load balancer in")
                .evidence("says", says)
                .fix(Risk::None, advice.0, advice.1);
        }
        Trouble::Denied => {
            let action = denied_action(&says).map_or("what it has to".to_owned(), str::to_owned);
            let role = denied_role(&says).map(str::to_owned);
            let finding = out.fail(deployment, format!("is not allowed {action}"));
            finding.evidence("says", says);
            match &role {
                Some(role) => finding.fix(
                    Risk::None,
                    "shows what its role may do; the controller's own policy has to be among it",
                    format!("aws iam list-attached-role-policies --role-name {role}"),
                ),
                None => finding.fix(
                    Risk::None,
                    "shows which service account and role it runs as",
                    format!("kubectl get serviceaccounts -n {namespace} -o yaml"),
                ),
            };
            if let Some(role) = role {
                out.built_from(deployment, resource("Role", &role));
            }
        }
        Trouble::Credentials => match known_cause(cx, controller).await {
            Some(cause) => {
                let finding = out.fail(deployment, cause.message);
                finding.evidence("role", cause.role);
                if !cause.trusts.is_empty() {
                    finding.evidence("trusts", cause.trusts.join(", "));
                }
                finding.evidence("says", says).fix(Risk::None, cause.fix.0, cause.fix.1);
            }
            None => {
                out.fail(deployment, "has no credentials for AWS")
                    .evidence("says", says)
                    .fix(
                        Risk::None,
                        "shows which service account it runs as; that names the role",
                        format!("kubectl get deployment {name} -n {namespace} -o yaml"),
                    )
                    .hearsay();
            }
        },
    }
    Ok(false)
}

/// Why its own role isn't given to the controller.
struct Cause {
    message: String,
    role: String,
    trusts: Vec<String>,
    fix: (&'static str, String),
}

/// What the role of its service account says, where it has one and that was read.
async fn known_cause(cx: &Cx, controller: &AlbController) -> Option<Cause> {
    let (arn, pod) = controller.role()?;
    let account_id = arn.split(':').nth(4)?;
    // What another account has isn't asked for.
    if cx.get(Scope).await.ok()?.account_id != account_id {
        return None;
    }
    let namespace = pod.metadata.namespace();
    let account = pod.spec.service_account_name.as_deref().unwrap_or("default");
    let name = role_name(arn);
    let roles = cx.get(Roles { name: name.to_owned() }).await.ok()?;
    let Some(role) = roles.first() else {
        return Some(Cause {
            message: format!("is to have role {name}, which does not exist"),
            role: arn.to_owned(),
            trusts: Vec::new(),
            fix: (
                "shows what names the role: an annotation of its service account",
                format!("kubectl get serviceaccount {account} -n {namespace} -o yaml"),
            ),
        });
    };
    let ours = cx.get(OurCluster).await.ok()?;
    let cluster = ours.as_ref().as_ref()?;
    let issuer = &cluster.identity.as_ref()?.oidc.as_ref()?.issuer;
    let bearer = Bearer::new(issuer, namespace, account);
    let trust = &role.assume_role_policy_document;
    let (whom, trusts) = match bearer.is_kept_out(trust)? {
        Mistrust::NoTokens => ("no service account of any cluster", Vec::new()),
        Mistrust::OtherIssuer(all) => ("another cluster's tokens, and not this one's", all),
        Mistrust::OtherAccount(all) => ("another service account, and not the controller's", all),
    };
    let policy = bearer.let_in(trust, account_id);
    Some(Cause {
        message: format!("is not given its role {name}, which trusts {whom}"),
        role: arn.to_owned(),
        trusts,
        fix: (
            "lets its service account in as well",
            format!(
                "aws iam update-assume-role-policy --role-name {name} --policy-document '{policy}'"
            ),
        ),
    })
}

/// The subnets that could be tagged so that the controller finds them, as the command that does, or
/// else the one that shows all.
async fn subnets_to_tag(cx: &Cx, unserved: &[Arc<Ingress>]) -> (&'static str, String) {
    let vpc = cx.get(OurVpc).await.map(|vpc| (*vpc).clone()).unwrap_or_default();
    let region = cx.get(Scope).await.map(|scope| scope.region.clone()).unwrap_or_default();
    let scheme = unserved.iter().find_map(|ingress| annotation(ingress, "scheme"));
    let is_public = scheme == Some("internet-facing");
    let role = if is_public { "kubernetes.io/role/elb" } else { "kubernetes.io/role/internal-elb" };
    let subnets = cx.get(Subnets { vpc: vpc.clone() }).await;
    let all: Vec<_> = subnets.iter().flat_map(|all| all.iter()).collect();
    let fit = all.iter().filter(|subnet| subnet.map_public_ip_on_launch == is_public);
    let untagged: Vec<_> = fit
        .filter(|subnet| tag(&subnet.tags, role).is_none())
        .map(|subnet| subnet.subnet_id.as_str())
        .collect();
    if vpc.is_empty() || untagged.is_empty() {
        return (
            "shows the subnets and their tags; at least two zones need one that is tagged",
            format!(
                "aws ec2 describe-subnets --region {region} --filters Name=vpc-id,Values={vpc}"
            ),
        );
    }
    (
        "tags the subnets that look meant for it",
        format!(
            "aws ec2 create-tags --region {region} --resources {} --tags Key={role},Value=1",
            untagged.join(" ")
        ),
    )
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::AlbControllerWorks;
    use crate::testing::Deployment;

    /// The Ingress has no load balancer.
    fn unserved() -> Deployment {
        let mut deployment = Deployment::healthy();
        deployment.object("Ingress")["status"] = json!({ "loadBalancer": {} });
        *deployment.file("aws/elbv2/describe-load-balancers") = json!({ "LoadBalancers": [] });
        deployment
    }

    /// The controller, told so, says this.
    fn with(args: &[&str], log: &str) -> Deployment {
        let mut deployment = unserved();
        let pod = deployment.named("Pod", "controller-0");
        pod["spec"]["containers"][0]["args"] = json!(args);
        deployment.logs.push(("kube-system/controller-0/controller".to_owned(), log.to_owned()));
        deployment
    }

    #[tokio::test]
    async fn a_placeholder_for_the_name_is_to_blame_for_the_missing_load_balancer() {
        let says = r#"{"level":"error","name":"front","error":"couldn't auto-discover subnets"}"#;
        let deployment = with(&["--cluster-name=deploy"], says);
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-alb-controller
              Deployment kube-system/aws-load-balancer-controller is told that its cluster
                is deploy, which EKS doesn't know; this one is kf
                log       couldn't auto-discover subnets
                fix       tells it the cluster's name; say the same where it is installed
                          from
                          kubectl get deployment aws-load-balancer-controller \
                            -n kube-system \
                            -o yaml | sed 's/--cluster-name=deploy/--cluster-name=kf/' | kubectl replace \
                            -f -
              kubectl kfcheck explain aws-alb-controller

            FAIL     aws-alb-controller
                     The controller for load balancers works for this cluster
        "#]].assert_eq(&deployment.report(&AlbControllerWorks).await);
    }

    #[tokio::test]
    async fn another_name_that_works_all_the_same_is_a_warning() {
        let mut deployment = Deployment::healthy();
        let pod = deployment.named("Pod", "controller-0");
        pod["spec"]["containers"][0]["args"] = json!(["--cluster-name", "other"]);
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            WARNING  aws-alb-controller
              Deployment kube-system/aws-load-balancer-controller is told that its cluster
                is other, which EKS doesn't know; this one is kf
                fix       tells it the cluster's name; say the same where it is installed
                          from
                          kubectl get deployment aws-load-balancer-controller \
                            -n kube-system \
                            -o yaml | sed 's/--cluster-name=other/--cluster-name=kf/' | kubectl replace \
                            -f -

            warn     aws-alb-controller
                     The controller for load balancers works for this cluster
        "#]].assert_eq(&deployment.report(&AlbControllerWorks).await);
    }

    #[tokio::test]
    async fn a_variable_without_value_is_mended_where_it_is_set() {
        let mut deployment = with(&[], "");
        let pod = deployment.named("Pod", "controller-0");
        pod["spec"]["containers"][0]["env"] = json!([{ "name": "CLUSTER_NAME", "value": "" }]);
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-alb-controller
              Deployment kube-system/aws-load-balancer-controller is told no cluster name
                fix       tells it the cluster's name; say the same where it is installed
                          from
                          kubectl set env deployment/aws-load-balancer-controller \
                            -n kube-system CLUSTER_NAME=kf
              kubectl kfcheck explain aws-alb-controller

            FAIL     aws-alb-controller
                     The controller for load balancers works for this cluster
        "#]]
        .assert_eq(&deployment.report(&AlbControllerWorks).await);
    }

    #[tokio::test]
    async fn what_aws_denies_is_said_with_the_role() {
        let says = "AccessDenied: User: arn:aws:sts::1:assumed-role/alb/17 is not authorized to \
                    perform: elasticloadbalancing:CreateLoadBalancer on resource: x";
        let deployment = with(&["--cluster-name=kf"], says);
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-alb-controller
              Deployment kube-system/aws-load-balancer-controller is not allowed
                elasticloadbalancing:CreateLoadBalancer
                says      AccessDenied: User: arn:aws:sts::1:assumed-role/alb/17 is not
                          authorized to perform: elasticloadbalancing:CreateLoadBalancer on
                          resource: x
                fix       shows what its role may do; the controller's own policy has to be
                          among it
                          aws iam list-attached-role-policies --role-name alb
              kubectl kfcheck explain aws-alb-controller

            FAIL     aws-alb-controller
                     The controller for load balancers works for this cluster
        "#]]
        .assert_eq(&deployment.report(&AlbControllerWorks).await);
    }

    #[tokio::test]
    async fn a_role_that_trusts_another_service_account_is_named() {
        let says = "WebIdentityErr: failed to retrieve credentials caused by: AccessDenied: Not \
                    authorized to perform sts:AssumeRoleWithWebIdentity";
        let mut deployment = with(&["--cluster-name=kf"], says);
        let issuer = "oidc.eks.us-west-2.amazonaws.com/id/0A1B";
        let role = "arn:aws:iam::111122223333:role/alb";
        let pod = &mut deployment.named("Pod", "controller-0")["spec"];
        pod["serviceAccountName"] = "alb".into();
        pod["containers"][0]["env"] = json!([{ "name": "AWS_ROLE_ARN", "value": role }]);
        deployment.file("aws/eks/describe-cluster")["clusters"][0]["identity"] =
            json!({ "oidc": { "issuer": format!("https://{issuer}") } });
        let trust = json!({ "Statement": [{ "Effect": "Allow",
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Principal": { "Federated": format!("arn:aws:iam::111122223333:oidc-provider/{issuer}") },
            "Condition": { "StringEquals": {
                format!("{issuer}:sub"): "system:serviceaccount:kubeflow:alb" } } }] });
        deployment.file("aws/iam/list-roles")["Roles"]
            .as_array_mut()
            .unwrap()
            .push(json!({ "RoleName": "alb", "Arn": role, "AssumeRolePolicyDocument": trust }));
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-alb-controller
              Deployment kube-system/aws-load-balancer-controller is not given its role alb,
                which trusts another service account, and not the controller's
                role      arn:aws:iam::111122223333:role/alb
                trusts    system:serviceaccount:kubeflow:alb
                says      WebIdentityErr: failed to retrieve credentials caused by:
                          AccessDenied: Not authorized to perform
                          sts:AssumeRoleWithWebIdentity
                fix       lets its service account in as well
                          aws iam update-assume-role-policy --role-name alb \
                            --policy-document '{"Statement":[{"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"oidc.eks.us-west-2.amazonaws.com/id/0A1B:sub":"system:serviceaccount:kubeflow:alb"}},"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/oidc.eks.us-west-2.amazonaws.com/id/0A1B"}},{"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"oidc.eks.us-west-2.amazonaws.com/id/0A1B:aud":"sts.amazonaws.com","oidc.eks.us-west-2.amazonaws.com/id/0A1B:sub":"system:serviceaccount:kube-system:alb"}},"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/oidc.eks.us-west-2.amazonaws.com/id/0A1B"}}],"Version":"2012-10-17"}'
              kubectl kfcheck explain aws-alb-controller

            FAIL     aws-alb-controller
                     The controller for load balancers works for this cluster
        "#]].assert_eq(&deployment.report(&AlbControllerWorks).await);
        let roles = deployment.file("aws/iam/list-roles")["Roles"].as_array_mut().unwrap();
        roles.pop();
        let report = deployment.report(&AlbControllerWorks).await;
        let words = report.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("is to have role alb, which does not exist"), "{report}");
    }

    #[tokio::test]
    async fn subnets_that_are_not_tagged_are_tagged() {
        let says = r#""error"="failed to resolve 2 qualified subnets"  "Name":"front""#;
        let mut deployment = with(&["--cluster-name=kf"], says);
        deployment.object("Ingress")["metadata"]["annotations"]["alb.ingress.kubernetes.io/scheme"] =
            "internet-facing".into();
        for subnet in deployment.file("aws/ec2/describe-subnets")["Subnets"].as_array_mut().unwrap()
        {
            subnet["MapPublicIpOnLaunch"] = true.into();
        }
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-alb-controller
              Deployment kube-system/aws-load-balancer-controller finds no subnets to put a
                load balancer in
                says      failed to resolve 2 qualified subnets
                fix       tags the subnets that look meant for it
                          aws ec2 create-tags --region us-west-2 \
                            --resources subnet-1 subnet-2 \
                            --tags Key=kubernetes.io/role/elb,Value=1
              kubectl kfcheck explain aws-alb-controller

            FAIL     aws-alb-controller
                     The controller for load balancers works for this cluster
        "#]]
        .assert_eq(&deployment.report(&AlbControllerWorks).await);
    }

    #[tokio::test]
    async fn one_that_does_not_run_makes_nothing() {
        let mut deployment = unserved();
        let pod = deployment.named("Pod", "controller-0");
        pod["status"] = json!({ "phase": "Running", "containerStatuses": [{ "name": "controller",
            "state": { "waiting": { "reason": "CrashLoopBackOff" } } }] });
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-alb-controller
              Deployment kube-system/aws-load-balancer-controller has no pod that is ready,
                so nobody makes load balancers
                because   CrashLoopBackOff
                fix       shows what it says last
                          kubectl logs \
                            -n kube-system deployment/aws-load-balancer-controller \
                            --tail=50
              kubectl kfcheck explain aws-alb-controller

            FAIL     aws-alb-controller
                     The controller for load balancers works for this cluster
        "#]]
        .assert_eq(&deployment.report(&AlbControllerWorks).await);
    }

    #[tokio::test]
    async fn without_any_an_ingress_stays_as_it_is() {
        let mut deployment = unserved();
        deployment.objects.retain(|object| object["metadata"]["namespace"] != "kube-system");
        deployment.add(json!({ "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "namespace": "kube-system", "name": "coredns" } }));
        *deployment.file("kubernetes/deployments.apps") = json!({ "items": [] });
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-alb-controller
              Ingress istio-system/front is for AWS's controller for load balancers, and
                there is none
                fix       installs it; its service account needs a role that may make load
                          balancers
                          helm upgrade \
                            --install aws-load-balancer-controller aws-load-balancer-controller \
                            --repo https://aws.github.io/eks-charts \
                            --namespace kube-system --set clusterName=kf
              kubectl kfcheck explain aws-alb-controller

            FAIL     aws-alb-controller
                     The controller for load balancers works for this cluster
        "#]]
        .assert_eq(&deployment.report(&AlbControllerWorks).await);
    }

    #[tokio::test]
    async fn a_log_that_was_not_collected_leaves_it_open() {
        let mut deployment = unserved();
        deployment.without("kubernetes/events");
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 1 not seen.

            NOT SEEN, so a cause may hide there
              aws-alb-controller
                not collected: kubernetes/logs/kube-system/controller-0/controller.log
                  kubectl logs -n kube-system controller-0 -c controller --tail=200

            unknown  aws-alb-controller
                     The controller for load balancers works for this cluster
                     (not collected:
                     kubernetes/logs/kube-system/controller-0/controller.log; `kubectl logs
                     -n kube-system controller-0 -c controller --tail=200` prints it (asking
                     for kube.log
                     {"container":"controller","namespace":"kube-system","pod":"controller-0"}))
        "#]]
        .assert_eq(&deployment.report(&AlbControllerWorks).await);
    }

    #[tokio::test]
    async fn one_that_is_told_the_right_name_is_fine() {
        let deployment = Deployment::healthy();
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     aws-alb-controller
                     The controller for load balancers works for this cluster
        "#]]
        .assert_eq(&deployment.report(&AlbControllerWorks).await);
    }

    #[tokio::test]
    async fn without_an_ingress_for_it_nobody_needs_it() {
        let deployment = Deployment::classic();
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            skip     aws-alb-controller
                     The controller for load balancers works for this cluster
                     (no Ingress here is for an application load balancer)
        "#]]
        .assert_eq(&deployment.report(&AlbControllerWorks).await);
    }
}
