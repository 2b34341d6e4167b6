use std::sync::Arc;

use kfcheck::{Check, Cx, FactError, Fault, Findings, Named, Risk, async_trait, check};
use kfcheck_kube::{ContainerLog, Ingress, Pod, host_resource, within};
use kfcheck_probe::{DnsAnswer, DnsProbe};

use crate::{CloudEndpoint, GceIngresses};

check! {
    /// ## What it checks
    /// For a host under `endpoints.PROJECT.cloud.goog`, that the Cloud Endpoints controller could
    /// make the name; and where it couldn't, what its log says.
    ///
    /// ## Why it matters
    /// A name that was deleted stays taken for 30 days: a deployment of the same name gets no DNS
    /// record until then.
    ///
    /// ## How to fix it
    /// Undelete the service, or deploy under another name. Where the log speaks of permissions, the
    /// controller's service account needs `roles/servicemanagement.admin`.
    pub(crate) struct CloudEndpointsService;
    id: "gcp-cloud-endpoints-service",
    title: "The Cloud Endpoints name of the host can be made",
}

#[async_trait]
impl Check for CloudEndpointsService {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        for ingress in cx.get(GceIngresses).await?.iter() {
            let mut hosts = ingress.hosts().filter(|host| host.ends_with(".cloud.goog"));
            if hosts.next().is_none() {
                continue;
            }
            let endpoints = cx.get(within::<CloudEndpoint>(ingress.metadata.namespace())).await?;
            for endpoint in endpoints.iter() {
                if ingress.hosts().any(|host| host == endpoint.host()) {
                    examine(cx, ingress, endpoint, out).await?;
                }
            }
        }
        Ok(())
    }
}

async fn examine(
    cx: &Cx,
    ingress: &Ingress,
    endpoint: &CloudEndpoint,
    out: &mut Findings,
) -> Result<(), FactError> {
    let host = endpoint.host();
    let answers = cx.get(DnsProbe { name: host.clone() }).await;
    let Some(answers) = out.known(host_resource(&host), answers) else { return Ok(()) };
    if DnsAnswer::is_undecided(&answers) {
        let detail = format!("{host}: {}", DnsAnswer::errors(&answers).join(", "));
        out.known::<()>(endpoint, Err(Fault::Unreachable(detail).into()));
        return Ok(());
    }
    if !DnsAnswer::addresses(&answers).is_empty() {
        out.ok(endpoint);
        return Ok(());
    }
    let said = complaint(cx, endpoint).await?;
    if let Some(line) = said {
        let lower = line.to_lowercase();
        let deleted = lower.contains("has been deleted")
            || lower.contains("was deleted")
            || lower.contains("30 days");
        let message = if deleted {
            format!("can't have {host}: it was deleted within the last 30 days")
        } else {
            format!("can't make {host}")
        };
        let finding = out.fail(endpoint, message);
        finding.evidence("log", line);
        if deleted {
            let project = &endpoint.spec.project;
            finding.fix(
                Risk::None,
                "brings the name back; the controller then goes on",
                format!("gcloud endpoints services undelete {host} --project {project}"),
            );
        }
        return Ok(());
    }
    // Without an address it has nothing to write down.
    let state = endpoint.status.state_current.as_str();
    if ingress.addresses().next().is_some() && !["", "IDLE"].contains(&state) {
        out.unbuilt(endpoint, format!("has not made {host} yet ({state})"));
        out.built_from(endpoint.resource(), ingress);
    }
    Ok(())
}

/// What the controller last complained of that concerns this name.
async fn complaint(cx: &Cx, endpoint: &CloudEndpoint) -> Result<Option<String>, FactError> {
    let host = endpoint.host();
    for namespace in [endpoint.metadata.namespace(), "kubeflow"] {
        let pods = cx.get(within::<Pod>(namespace)).await?;
        let controller = |pod: &&Arc<Pod>| pod.metadata.name.contains("cloud-endpoints-controller");
        for pod in pods.iter().filter(controller) {
            for container in &pod.spec.containers {
                let log = ContainerLog {
                    namespace: namespace.to_owned(),
                    pod: pod.metadata.name.clone(),
                    container: container.name.clone(),
                };
                // Without a log there is nothing that it could have said.
                let Ok(log) = cx.get(log).await else { continue };
                let words = ["error", "fail", "denied", "deleted", "not found", "exception"];
                // What it said last about this name counts; it may have got over the rest.
                let Some(line) = log.lines().rev().find(|line| line.contains(&host)) else {
                    continue;
                };
                let lower = line.to_lowercase();
                if words.iter().any(|word| lower.contains(word)) {
                    return Ok(Some(line.to_owned()));
                }
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::CloudEndpointsService;
    use crate::testing::Deployment;

    const HOST: &str = "kf.endpoints.p.cloud.goog";

    /// A name of Cloud Endpoints, what its controller is about, and what DNS answers.
    fn with(state: &str, answers: &Value) -> Deployment {
        let mut deployment = Deployment::healthy();
        deployment.object("Ingress")["spec"]["rules"][0]["host"] = HOST.into();
        deployment.add(json!({ "apiVersion": "ctl.isla.solutions/v1", "kind": "CloudEndpoint",
            "metadata": { "namespace": "istio-system", "name": "kf" },
            "spec": { "project": "p" }, "status": { "stateCurrent": state } }));
        *deployment.file("probes/dns") = json!([{ "name": HOST, "type": "A", "answers": answers,
            "error": if answers.is_null() { Some("NXDOMAIN") } else { None } }]);
        deployment
    }

    #[tokio::test]
    async fn a_name_that_resolves_is_made_whatever_its_controller_is_about() {
        let deployment = with("ENDPOINT_CREATE", &json!(["34.1.2.3"]));
        expect![[r#"
            kf.endpoints.p.cloud.goog: nothing broken found. 0 root causes, 0 symptoms; 1
            check passed, 0 not seen.

            pass     gcp-cloud-endpoints-service
                     The Cloud Endpoints name of the host can be made
        "#]]
        .assert_eq(&deployment.report(&CloudEndpointsService).await);
    }

    #[tokio::test]
    async fn a_name_in_a_domain_of_ones_own_is_made_elsewhere() {
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            skip     gcp-cloud-endpoints-service
                     The Cloud Endpoints name of the host can be made
                     (there is nothing of the kind here)
        "#]]
        .assert_eq(&Deployment::healthy().report(&CloudEndpointsService).await);
    }

    #[tokio::test]
    async fn a_name_that_is_not_made_yet_is_found() {
        let deployment = with("ENDPOINT_CREATE", &Value::Null);
        expect![[r#"
            kf.endpoints.p.cloud.goog is down. 1 root cause, 0 symptoms; 0 checks passed, 0
            not seen.

            ROOT CAUSE  gcp-cloud-endpoints-service
              CloudEndpoint istio-system/kf has not made kf.endpoints.p.cloud.goog yet
                (ENDPOINT_CREATE)
              kubectl kfcheck explain gcp-cloud-endpoints-service

            FAIL     gcp-cloud-endpoints-service
                     The Cloud Endpoints name of the host can be made
        "#]]
        .assert_eq(&deployment.report(&CloudEndpointsService).await);
    }
}
