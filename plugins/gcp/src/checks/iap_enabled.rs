use kfcheck::{Check, Cx, FactError, Findings, Risk, async_trait, check};
use kfcheck_kube::{FrontServices, Secret, Service, find, within};

use crate::{
    BackendConfig, BackendConfigNames, BackendInUse, BackendsInUse, GceIngresses,
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
    /// Where a BackendConfig asks for it, mend that and its Secret: the controller turns it on. A
    /// client that Google manages is fine and needs no Secret.
    pub(crate) struct IapEnabled;
    id: "gcp-iap-enabled",
    title: "Identity-Aware Proxy is on where it is counted on",
}

#[async_trait]
impl Check for IapEnabled {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        if cx.get(GceIngresses).await?.is_empty() {
            return Ok(());
        }
        let mut client = None;
        for service in cx.get(FrontServices).await?.iter() {
            client = client.or(examine_secret(cx, service, out).await?);
        }
        for used in cx.get(BackendsInUse).await?.iter() {
            let BackendInUse { backend, service, .. } = used;
            let expected = cx.get(IapExpected::of(service)).await;
            let Some(expected) = out.known(backend, expected) else { continue };
            let Some(because) = &*expected else { continue };
            let iap = backend.iap.clone().unwrap_or_default();
            if !iap.enabled {
                let scope = match &backend.region {
                    Some(region) => format!("--region {}", region.name()),
                    None => "--global".to_owned(),
                };
                out.fail(backend, "has Identity-Aware Proxy off")
                    .manner()
                    .evidence("because", because)
                    .fix(
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
            match (&client, iap.oauth2_client_id.filter(|id| !id.is_empty())) {
                (Some(secret), Some(used)) if *secret != used => {
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
