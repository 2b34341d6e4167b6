use kfcheck::{Check, Cx, FactError, Findings, Risk, async_trait, check};
use kfcheck_kube::{ContainerLog, LogLines, Node, Pod, all};

use crate::{AlbControllers, AlbIngresses, Instance, Instances, Scope, stacks::our_name};

check! {
    /// ## What it checks
    /// The machines that AWS's load balancer controller runs on: where they give credentials only to
    /// who is one network hop away, that the controller doesn't say that it gets none.
    ///
    /// ## Why it matters
    /// A pod is two hops away. Without a role of its own service account it then has no credentials,
    /// and no load balancer is made or kept.
    ///
    /// ## How to fix it
    /// Best give the controller's service account a role (IRSA or EKS Pod Identity). Or let pods be
    /// two hops away, which gives every pod there the role of the node.
    pub struct ImdsHopLimit;
    id: "aws-imds-hop-limit",
    title: "The load balancer controller gets credentials where it runs",
}

#[async_trait]
impl Check for ImdsHopLimit {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let controllers = cx.get(AlbControllers).await?;
        let pods = || controllers.iter().flat_map(|found| &found.pods);
        if pods().all(|pod| pod.spec.node_name.is_none()) {
            out.skip("no controller of AWS's runs here");
            return Ok(());
        }
        let region = cx.get(Scope).await?.region.clone();
        let cluster = our_name(cx).await?;
        let ingresses = cx.get(AlbIngresses).await;
        let mut ingresses = ingresses.iter().flat_map(|all| all.iter());
        // Those that have a load balancer keep it as it is.
        let waits = ingresses.any(|ingress| ingress.addresses().next().is_none());
        let nodes = cx.get(all::<Node>()).await?;
        let machines = cx.get(Instances { cluster: cluster.clone() }).await?;
        for found in controllers.iter() {
            for pod in &found.pods {
                let node =
                    nodes.iter().find(|n| Some(&n.metadata.name) == pod.spec.node_name.as_ref());
                // aws:///us-west-2a/i-0123
                let id = node.and_then(|node| node.spec.provider_id.as_deref());
                let id = id.and_then(|id| id.rsplit('/').next());
                let mut machines = machines.instances();
                let Some(machine) = machines.find(|m| Some(&*m.instance_id) == id) else {
                    continue;
                };
                let is_of_its_own = found.role().is_some();
                if !is_near_only(machine) || is_of_its_own || is_machines_own(pod, machine) {
                    out.ok(machine);
                    continue;
                }
                let Some(says) = out.known(machine, complaint(cx, pod).await) else { continue };
                // It gets them elsewhere.
                let Some(says) = says else {
                    out.ok(machine);
                    continue;
                };
                if waits {
                    out.built_from(&*found.deployment, machine);
                }
                let finding = out.fail(machine, "gives no credentials to pods");
                finding
                    .evidence("because", "it wants tokens (IMDSv2) and lets them go one hop only")
                    .evidence("says", says);
                finding.fix(
                    Risk::None,
                    "shows which service accounts have a role; the controller's is to get one",
                    format!("eksctl get iamserviceaccount --cluster {cluster} --region {region}"),
                );
                finding.fix(
                    Risk::Opens,
                    "lets all pods on this machine have its role; new machines take it from their \
                     launch template",
                    format!(
                        "aws ec2 modify-instance-metadata-options --instance-id {} \
                         --http-put-response-hop-limit 2 --region {region}",
                        machine.instance_id
                    ),
                );
            }
        }
        Ok(())
    }
}

/// Whether only who is one hop away gets credentials. Without the need of a token, the hops don't
/// matter (EC2 documentation, "Configure the instance metadata options").
fn is_near_only(machine: &Instance) -> bool {
    machine.metadata_options.as_ref().is_some_and(|options| {
        options.http_tokens == "required"
            && options.http_put_response_hop_limit == Some(1)
            && options.http_endpoint != "disabled"
    })
}

/// Whether a pod shares its machine's network, so that it is no hop further away.
fn is_machines_own(pod: &Pod, machine: &Instance) -> bool {
    pod.status.pod_ip.as_deref().is_some_and(|ip| ip == machine.private_ip_address)
}

/// What the controller says of having no credentials.
async fn complaint(cx: &Cx, pod: &Pod) -> Result<Option<String>, FactError> {
    for container in &pod.spec.containers {
        let log = cx.get(ContainerLog {
            namespace: pod.metadata.namespace().to_owned(),
            pod: pod.metadata.name.clone(),
            container: container.name.clone(),
        });
        if let Some(says) = last_complaint(&*log.await?) {
            return Ok(Some(says.to_owned()));
        }
    }
    Ok(None)
}

/// Of AWS's client libraries, of both versions.
const WORDS: [&str; 7] = [
    "NoCredentialProviders",
    "EC2RoleRequestError",
    "EC2MetadataError",
    "EC2MetadataRequestError",
    "no EC2 IMDS role found",
    "no EC2 instance role found",
    "ec2imds: GetMetadata",
];

fn last_complaint(log: &LogLines) -> Option<&str> {
    log.lines().rev().find(|line| WORDS.iter().any(|word| line.contains(word)))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::ImdsHopLimit;
    use crate::testing::Deployment;

    const LOG: &str = "kubernetes/logs/kube-system/controller-0/controller.log";

    /// The controller runs on a machine with these options.
    fn with(tokens: &str, hops: u8) -> Deployment {
        let mut deployment = Deployment::healthy();
        deployment.named("Pod", "controller-0")["spec"]["nodeName"] = "ip-10-0-0-5".into();
        let machines = &mut deployment.file("aws/ec2/describe-instances")["Reservations"];
        machines[0]["Instances"][0]["MetadataOptions"] = json!({ "HttpTokens": tokens,
            "HttpPutResponseHopLimit": hops, "HttpEndpoint": "enabled" });
        deployment
    }

    #[tokio::test]
    async fn a_controller_without_credentials_is_too_far_away() {
        let log = "{\"msg\":\"Reconciler error\",\"error\":\"get credentials: failed to refresh cached \
                   credentials, no EC2 IMDS role found, operation error ec2imds: GetMetadata\"}\n";
        let mut deployment = with("required", 1);
        deployment.object("Ingress")["status"] = json!({});
        *deployment.file(LOG) = log.into();
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-imds-hop-limit
              instance i-1 gives no credentials to pods
                because   it wants tokens (IMDSv2) and lets them go one hop only
                says      {"msg":"Reconciler error","error":"get credentials: failed to
                          refresh cached credentials, no EC2 IMDS role found, operation
                          error ec2imds: GetMetadata"}
                fix       shows which service accounts have a role; the controller's is to
                          get one
                          eksctl get iamserviceaccount --cluster kf --region us-west-2
                fix       lets all pods on this machine have its role; new machines take it
                          from their launch template
                          aws ec2 modify-instance-metadata-options --instance-id i-1 \
                            --http-put-response-hop-limit 2 --region us-west-2
              kubectl kfcheck explain aws-imds-hop-limit

            FAIL     aws-imds-hop-limit
                     The load balancer controller gets credentials where it runs
        "#]]
        .assert_eq(&deployment.report(&ImdsHopLimit).await);
    }

    #[tokio::test]
    async fn one_that_does_not_complain_has_a_role_of_its_own() {
        let mut deployment = with("required", 1);
        *deployment.file(LOG) = "all is well\n".into();
        let report = deployment.report(&ImdsHopLimit).await;
        assert!(report.contains("pass     aws-imds-hop-limit"), "{report}");
    }

    #[tokio::test]
    async fn its_log_has_to_be_seen_where_it_matters() {
        let report = with("required", 1).report(&ImdsHopLimit).await;
        assert!(report.contains("unknown  aws-imds-hop-limit"), "{report}");
        for fine in [with("required", 2), with("optional", 1)] {
            let report = fine.report(&ImdsHopLimit).await;
            assert!(report.contains("pass     aws-imds-hop-limit"), "{report}");
        }
    }

    #[tokio::test]
    async fn a_controller_that_is_not_there_gets_nothing() {
        let mut deployment = Deployment::healthy();
        let other = deployment.named("Deployment", "aws-load-balancer-controller");
        other["metadata"]["name"] = "coredns".into();
        other["spec"]["template"]["metadata"]["labels"] = json!({ "k8s-app": "kube-dns" });
        deployment.add(json!({ "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "namespace": "kubeflow", "name": "centraldashboard" } }));
        let report = deployment.report(&ImdsHopLimit).await;
        assert!(report.contains("skip     aws-imds-hop-limit"), "{report}");
    }
}
