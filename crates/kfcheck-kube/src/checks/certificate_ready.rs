use std::{collections::BTreeSet, sync::Arc};

use jiff::{Timestamp, ToSpan};
use kfcheck::{Check, Cx, FactError, Findings, Now, Risk, async_trait, check};

use crate::{Certificate, EntranceIngresses, Gateway, Secret, covers, find, on_path, pem, within};

check! {
    /// ## What it checks
    /// The certificates of cert-manager that the Ingress or the gateway shows to users: that each
    /// is `Ready`, has not ended, and is for the name that users type.
    ///
    /// ## Why it matters
    /// Browsers refuse the page, and so do clients that fetch keys or models.
    ///
    /// ## How to fix it
    /// `kubectl describe certificate` names the order or challenge that holds it. A name that is
    /// missing goes into `dnsNames`.
    pub(crate) struct CertificateReady;
    id: "kube-certificate-ready",
    title: "The certificates that users see are good",
}

/// How long before its end a certificate is a matter of concern, in hours: three weeks.
const CONCERN: i64 = 21 * 24;

#[async_trait]
impl Check for CertificateReady {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let mut hosts = BTreeSet::new();
        let mut shown: BTreeSet<(String, String)> = BTreeSet::new();
        let ingresses = cx.get(EntranceIngresses).await?;
        for ingress in ingresses.iter() {
            hosts.extend(ingress.hosts().map(str::to_owned));
            for secret in ingress.spec.tls.iter().filter_map(|tls| tls.secret_name.clone()) {
                shown.insert((ingress.metadata.namespace().to_owned(), secret));
            }
        }
        let gateways = cx.get(on_path::<Gateway>()).await?;
        // Gateways take Secrets from the namespace of their pods, which is this one as a rule.
        let servers = gateways.objects().iter().flat_map(|gateway| &gateway.spec.servers);
        let credentials = servers.filter_map(|server| server.tls.as_ref()?.credential_name.clone());
        shown.extend(credentials.map(|secret| ("istio-system".to_owned(), secret)));
        if shown.is_empty() {
            out.skip("neither Ingress nor gateway shows a certificate from a Secret");
            return Ok(());
        }
        let now = *cx.get(Now).await?;
        for (namespace, secret) in &shown {
            let certificates = match cx.get(within::<Certificate>(namespace)).await {
                Ok(all) => all,
                Err(error) => {
                    out.unseen(error);
                    continue;
                }
            };
            let ours = |certificate: &&Arc<Certificate>| certificate.spec.secret_name == *secret;
            for certificate in certificates.iter().filter(ours) {
                for ingress in ingresses.iter() {
                    if ingress.spec.tls.iter().any(|tls| tls.secret_name.as_ref() == Some(secret)) {
                        out.depends(&**ingress, &**certificate);
                    }
                }
                for gateway in gateways.objects() {
                    let mut tls = gateway.spec.servers.iter().filter_map(|s| s.tls.as_ref());
                    if tls.any(|tls| tls.credential_name.as_ref() == Some(secret)) {
                        out.depends(&**gateway, &**certificate);
                    }
                }
                examine(cx, certificate, &hosts, now, out).await?;
            }
        }
        Ok(())
    }
}

async fn examine(
    cx: &Cx,
    certificate: &Certificate,
    hosts: &BTreeSet<String>,
    now: Timestamp,
    out: &mut Findings,
) -> Result<(), FactError> {
    let (namespace, name) = (certificate.metadata.namespace(), &certificate.metadata.name);
    let show = format!("kubectl describe certificate -n {namespace} {name}");
    let ready = certificate.status.conditions.iter().find(|c| c.kind == "Ready");
    if ready.is_none_or(|condition| condition.status != "True") {
        let says = ready.map(super::super::Condition::says).unwrap_or_default();
        let finding = out.unbuilt(certificate, "is not ready");
        if !says.is_empty() {
            finding.evidence("because", says);
        }
        finding.fix(Risk::None, "shows what holds it", show);
        return Ok(());
    }
    let secret = find::<Secret>(cx, namespace, &certificate.spec.secret_name).await;
    let leaf = secret.ok().flatten().and_then(|secret| pem::leaf(secret.public("tls.crt")?));
    let mut names: Vec<_> = certificate.names().into_iter().map(str::to_owned).collect();
    names.extend(leaf.iter().flat_map(|leaf| leaf.names.clone()));
    let missing = hosts.iter().find(|host| !names.iter().any(|name| covers(name, host)));
    let end = leaf.map(|leaf| leaf.not_after).or(certificate.status.not_after);
    let concern = now.checked_add(CONCERN.hours()).unwrap_or(now);
    match (end, missing) {
        (Some(end), _) if end <= now => {
            out.fail(certificate, format!("ended {end}")).fix(
                Risk::None,
                "shows why it was not renewed",
                show,
            );
        }
        (_, Some(host)) => {
            out.fail(certificate, format!("is not for {host}"))
                .evidence("is for", names.join(", "));
        }
        (Some(end), None) if end <= concern => {
            out.warn(certificate, format!("ends {end}")).fix(
                Risk::None,
                "shows when it is renewed",
                show,
            );
        }
        _ => out.ok(certificate),
    }
    Ok(())
}
