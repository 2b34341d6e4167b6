use std::collections::BTreeMap;

use kfcheck::{Check, Cx, FactError, Findings, Named, Risk, async_trait, check};
use kfcheck_kube::{FrontServices, Secret, Service, find, within};

use crate::{
    BackendConfig, BackendConfigNames, BackendInUse, BackendsInUse, GoogleEntrances,
    entrances::{is_behind_gateways, scope},
    policies::{examine_client, for_another, retarget},
    sign_in::IapExpected,
};

check! {
    /// ## What it checks
    /// Where something in the cluster counts on Identity-Aware Proxy: that the backend service has
    /// it on, that the Secret with the OAuth client is there and filled in, and that both name the
    /// same client.
    ///
    /// ## Why it matters
    /// With it off, everybody gets in, or nobody: the gateway refuses whoever comes without its
    /// token ("Required JWT token is missing").
    ///
    /// ## How to fix it
    /// Where a BackendConfig asks for it, mend that and its Secret: the controller turns it on.
    /// Behind a Gateway it is a GCPBackendPolicy that asks. A client that Google manages is fine and
    /// needs no Secret.
    pub(crate) struct IapEnabled;
    id: "gcp-iap-enabled",
    title: "Identity-Aware Proxy is on where it is counted on",
}

#[async_trait]
impl Check for IapEnabled {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        if cx.get(GoogleEntrances).await?.is_empty() {
            return Ok(());
        }
        let mut clients = BTreeMap::new();
        for service in cx.get(FrontServices).await?.iter() {
            let client = if is_behind_gateways(cx, service).await? {
                examine_client(cx, service, out).await?
            } else {
                examine_secret(cx, service, out).await?
            };
            if let Some(client) = client {
                clients.insert(service.resource(), client);
            }
        }
        for used in cx.get(BackendsInUse).await?.iter() {
            let BackendInUse { backend, service, .. } = used;
            let expected = cx.get(IapExpected::of(service)).await;
            let Some(expected) = out.known(backend, expected) else { continue };
            let Some(because) = &*expected else { continue };
            let iap = backend.iap.clone().unwrap_or_default();
            if !iap.enabled {
                let scope = scope(backend.region.as_ref());
                let other = for_another(cx, service).await;
                let finding = out.fail(backend, "has Identity-Aware Proxy off").manner();
                finding.evidence("because", because);
                if let Some(policy) = other {
                    let (name, target) = (&policy.metadata.name, &policy.spec.target_ref.name);
                    finding
                        .evidence("there is", format!("GCPBackendPolicy {name}, for {target}"))
                        .fix(
                            Risk::None,
                            "attaches that policy to this Service instead",
                            retarget(&policy, &service.metadata.name),
                        );
                    continue;
                }
                finding.fix(
                    Risk::None,
                    "turns it on with a client that Google manages; name your own with \
                     oauth2-client-id and oauth2-client-secret",
                    format!(
                        "gcloud compute backend-services update {} {scope} --iap=enabled",
                        backend.name
                    ),
                );
                continue;
            }
            match (clients.get(&service.resource()), iap.client()) {
                (Some(secret), Some(used)) if secret != used => {
                    out.fail(
                        backend,
                        "signs users in with another OAuth client than the Secret names",
                    )
                    .manner()
                    .evidence("uses", used)
                    .evidence("right is", secret);
                }
                _ => out.ok(backend),
            }
        }
        Ok(())
    }
}

/// The client id in the Secret that the BackendConfig of `service` names, if it has one.
async fn examine_secret(
    cx: &Cx,
    service: &Service,
    out: &mut Findings,
) -> Result<Option<String>, FactError> {
    let namespace = service.metadata.namespace();
    let names = BackendConfigNames::of(service).and_then(Result::ok).unwrap_or_default();
    if names.all().next().is_none() {
        return Ok(None);
    }
    let mut client = None;
    for config in cx.get(within::<BackendConfig>(namespace)).await?.iter() {
        if !names.all().any(|name| name == config.metadata.name) {
            continue;
        }
        let iap = config.spec.iap.as_ref().filter(|iap| iap.enabled);
        let credentials = iap.and_then(|iap| iap.credentials.as_ref());
        let Some(name) = credentials.map(|c| &c.secret_name).filter(|name| !name.is_empty()) else {
            continue;
        };
        let Some(secret) = out.known(&**config, find::<Secret>(cx, namespace, name).await) else {
            continue;
        };
        let show = format!("kubectl describe secret -n {namespace} {name}");
        let Some(secret) = secret else {
            out.fail(&**config, format!("names Secret {name}, which does not exist")).fix(
                Risk::None,
                "makes it; put your client's id and secret in",
                format!(
                    "kubectl create secret generic {name} -n {namespace} \
                     --from-literal=client_id=CLIENT_ID --from-file=client_secret=FILE"
                ),
            );
            continue;
        };
        let lacks: Vec<_> =
            ["client_id", "client_secret"].into_iter().filter(|key| !secret.has(key)).collect();
        if lacks.is_empty() {
            out.ok(&**config);
        } else {
            out.fail(
                &**config,
                format!("names Secret {name}, which lacks {}", lacks.join(" and ")),
            )
            .fix(Risk::None, "shows what is in it", show);
        }
        // What was cut out of a bundle can't be compared.
        let id =
            secret.public("client_id").filter(|id| id.ends_with(".apps.googleusercontent.com"));
        client = client.or(id.map(str::to_owned));
    }
    Ok(client)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::IapEnabled;
    use crate::testing::Deployment;

    /// A BackendConfig asks for sign-in with the client of a Secret, and this is what there is.
    fn signing_in(iap: Value, client_secret: &str) -> Deployment {
        let mut deployment = Deployment::healthy();
        let named = json!({ "cloud.google.com/backend-config": r#"{"default": "iap"}"# });
        deployment.object("Service")["metadata"]["annotations"] = named;
        let metadata = |name: &str| json!({ "namespace": "istio-system", "name": name });
        deployment.add(json!({ "apiVersion": "cloud.google.com/v1", "kind": "BackendConfig",
            "metadata": metadata("iap"), "spec": { "iap": { "enabled": true,
                "oauthclientCredentials": { "secretName": "client" } } } }));
        deployment.add(json!({ "apiVersion": "v1", "kind": "Secret",
            "metadata": metadata("client"), "stringData": {
                "client_id": "1-a.apps.googleusercontent.com",
                "client_secret": client_secret } }));
        deployment.file("gcp/compute/backendServices")[0]["iap"] = iap;
        deployment
    }

    #[tokio::test]
    async fn a_client_that_google_manages_has_no_id() {
        let deployment = signing_in(json!({ "enabled": true, "oauth2ClientId": "" }), "hunter2");
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     gcp-iap-enabled
                     Identity-Aware Proxy is on where it is counted on
        "#]]
        .assert_eq(&deployment.report(&IapEnabled).await);
    }

    #[tokio::test]
    async fn off_where_a_backendconfig_asks_for_it_is_wrong() {
        let deployment = signing_in(json!({ "enabled": false }), "hunter2");
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-iap-enabled
              backend service k8s-be-31380--u has Identity-Aware Proxy off
                because   BackendConfig iap asks for it
                fix       turns it on with a client that Google manages; name your own with
                          oauth2-client-id and oauth2-client-secret
                          gcloud compute backend-services update k8s-be-31380--u --global \
                            --iap=enabled
              kubectl kfcheck explain gcp-iap-enabled

            FAIL     gcp-iap-enabled
                     Identity-Aware Proxy is on where it is counted on
        "#]]
        .assert_eq(&deployment.report(&IapEnabled).await);
    }

    #[tokio::test]
    async fn a_secret_without_the_clients_secret_is_wrong() {
        let iap = json!({ "enabled": true, "oauth2ClientId": "1-a.apps.googleusercontent.com" });
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-iap-enabled
              BackendConfig istio-system/iap names Secret client, which lacks client_secret
                fix       shows what is in it
                          kubectl describe secret -n istio-system client
              kubectl kfcheck explain gcp-iap-enabled

            FAIL     gcp-iap-enabled
                     Identity-Aware Proxy is on where it is counted on
        "#]]
        .assert_eq(&signing_in(iap, "").report(&IapEnabled).await);
    }
}
