use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::{Timestamp, ToSpan};
use kfcheck::{Check, Cx, FactError, Fault, Findings, Named, Now, Risk, async_trait, check};

use crate::{
    Certificate, CloudView, Entrance, EntranceIngresses, Entrances, FrontServices, Gateway,
    Reference, RoutedGateway, Secret, Service, Target, Thresholds, covers, find, on_path, pem,
    within,
};

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
const CONCERN: i64 = 21;

#[async_trait]
impl Check for CertificateReady {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        // The Secrets with a certificate, and the hosts that each is shown to.
        let mut shown: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        let ingresses = cx.get(EntranceIngresses).await?;
        let entrances = cx.get(Entrances).await?;
        let mut all: BTreeSet<_> = entrances.iter().flat_map(Entrance::hosts).collect();
        all.extend(cx.setting::<Target>().host.clone());
        let cloud = cx.setting::<CloudView>().0;
        if let Some(cloud) = cloud {
            all.extend(cloud.host(cx).await);
        }
        // Nobody has a certificate for the address of a network's own.
        all.retain(|host| host.parse::<std::net::IpAddr>().is_err());
        for (secret, hosts) in entrances.iter().flat_map(shown_by_listeners) {
            shown.entry(secret).or_default().extend(hosts);
        }
        for ingress in ingresses.iter() {
            for tls in &ingress.spec.tls {
                let Some(secret) = tls.secret_name.clone() else { continue };
                let namespace = ingress.metadata.namespace().to_owned();
                let hosts: Vec<_> = match &tls.hosts[..] {
                    [] => ingress.hosts().map(str::to_owned).collect(),
                    hosts => hosts.to_vec(),
                };
                shown.entry((namespace, secret)).or_default().extend(hosts);
            }
        }
        let gateways = cx.get(on_path::<Gateway>()).await?;
        for gateway in gateways.objects() {
            let above = above(cx, gateway).await;
            // Where TLS comes as users sent it, a Gateway's own names are theirs.
            let mut is_open = false;
            for service in &above {
                let ends_before = match cloud {
                    Some(cloud) => cloud.ends_tls(cx, service).await.ok().flatten(),
                    None => None,
                };
                let ends_before = ends_before.unwrap_or_else(|| service.asks_to_end_tls());
                let own = service.resource();
                is_open |= entrances.iter().any(|at| at.resource() == own) && !ends_before;
            }
            let mut namespaces: BTreeSet<_> =
                above.iter().map(|service| service.metadata.namespace().to_owned()).collect();
            if namespaces.is_empty() {
                namespaces.insert("istio-system".to_owned());
            }
            for server in &gateway.spec.servers {
                let credential = server.tls.as_ref().and_then(|tls| tls.credential_name.clone());
                let Some(secret) = credential else { continue };
                let names = server.hosts.iter().map(|name| name.rsplit('/').next().unwrap_or(name));
                let names: Vec<_> = names.collect();
                let takes =
                    |host: &&String| names.iter().any(|name| *name == "*" || covers(name, host));
                let mut hosts: Vec<_> = all.iter().filter(takes).cloned().collect();
                let is_name = |name: &&&str| name.contains('.') && !name.contains('*');
                let own = names.iter().filter(is_name).filter(|_| is_open);
                hosts.extend(own.map(|name| (*name).to_owned()));
                // Gateways take Secrets from the namespace of their pods.
                for namespace in &namespaces {
                    let at = (namespace.clone(), secret.clone());
                    shown.entry(at).or_default().extend(hosts.iter().cloned());
                }
            }
        }
        if shown.is_empty() {
            out.skip("neither Ingress nor gateway shows a certificate from a Secret");
            return Ok(());
        }
        let now = *cx.get(Now).await?;
        for ((namespace, secret), hosts) in &shown {
            let certificates = match cx.get(within::<Certificate>(namespace)).await {
                Ok(all) => all,
                // Without cert-manager, somebody else sees to the Secret.
                Err(FactError { fault: Fault::Absent(_), .. }) => continue,
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
                for entrance in entrances.iter() {
                    let at = (namespace.clone(), secret.clone());
                    if shown_by_listeners(entrance).iter().any(|(known, _)| *known == at) {
                        out.depends(entrance, &**certificate);
                    }
                }
                for gateway in gateways.objects() {
                    let mut tls = gateway.spec.servers.iter().filter_map(|s| s.tls.as_ref());
                    if tls.any(|tls| tls.credential_name.as_ref() == Some(secret)) {
                        out.depends(&**gateway, &**certificate);
                    }
                }
                examine(cx, certificate, hosts, now, out).await?;
            }
        }
        Ok(())
    }
}

/// The Services at the front that lead to the pods of a Gateway of Istio's.
async fn above(cx: &Cx, gateway: &Arc<Gateway>) -> Vec<Arc<Service>> {
    let (fronts, path) = (cx.get(FrontServices).await, cx.path().await);
    let Ok(path) = path else { return Vec::new() };
    let fronts = fronts.iter().flat_map(|fronts| fronts.iter());
    let leads = |service: &&Arc<Service>| !path.below(&***service, [&**gateway]).is_empty();
    fronts.filter(leads).cloned().collect()
}

/// The Secrets that the listeners of a Gateway of the Gateway API show, each with the hosts that it
/// has to be for. Where a listener has several, each may be for another host.
fn shown_by_listeners(entrance: &Entrance) -> Vec<((String, String), Vec<String>)> {
    let Entrance::Gateway(RoutedGateway { gateway, .. }) = entrance else { return Vec::new() };
    let mut shown = Vec::new();
    for listener in &gateway.spec.listeners {
        let Some(tls) = &listener.tls else { continue };
        let is_secret = |to: &&Reference| to.kind.as_deref().unwrap_or("Secret") == "Secret";
        for to in tls.certificate_refs.iter().filter(is_secret) {
            let namespace = to.namespace.as_deref().unwrap_or(gateway.metadata.namespace());
            let takes = |host: &String| {
                tls.certificate_refs.len() == 1
                    && listener.hostname.as_ref().is_none_or(|name| covers(name, host))
            };
            let hosts = entrance.hosts().into_iter().filter(takes).collect();
            shown.push(((namespace.to_owned(), to.name.clone()), hosts));
        }
    }
    shown
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
    let secret = find::<Secret>(cx, namespace, &certificate.spec.secret_name).await;
    let leaf = secret.ok().flatten().and_then(|secret| pem::leaf(secret.public("tls.crt")?));
    let end = leaf.as_ref().map(|leaf| leaf.not_after).or(certificate.status.not_after);
    let ready = certificate.status.conditions.iter().find(|c| c.kind == "Ready");
    if ready.is_none_or(|condition| condition.status != "True") {
        let says = ready.map(super::super::Condition::says).unwrap_or_default();
        let finding = match end.filter(|end| *end > now) {
            Some(end) => out.warn(certificate, format!("is not renewed; the old one ends {end}")),
            None => out.unbuilt(certificate, "is not ready"),
        };
        if !says.is_empty() {
            finding.evidence("because", says);
        }
        finding.fix(Risk::None, "shows what holds it", show);
        return Ok(());
    }
    let mut names: Vec<_> = certificate.names().into_iter().map(str::to_owned).collect();
    names.extend(leaf.iter().flat_map(|leaf| leaf.names.clone()));
    let missing = hosts.iter().find(|host| !names.iter().any(|name| covers(name, host)));
    let days = cx.setting::<Thresholds>().certificate_days(CONCERN);
    let concern = now.checked_add((days * 24).hours()).unwrap_or(now);
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

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::CertificateReady;
    use crate::testing::{ingress, report};

    fn certificate(name: &str, not_after: &str) -> Value {
        json!({ "apiVersion": "cert-manager.io/v1", "kind": "Certificate",
            "metadata": { "namespace": "kubeflow", "name": "front" },
            "spec": { "secretName": "front-tls", "dnsNames": [name] },
            "status": { "notAfter": not_after, "conditions": [
                { "type": "Ready", "status": "True" }] } })
    }

    async fn with(certificate: Value) -> String {
        let mut front = ingress("gateway");
        front["spec"]["tls"] = json!([{ "secretName": "front-tls" }]);
        let none = json!({ "items": [] });
        let files = ["deployments.apps", "pods", "secrets", "services"]
            .map(|name| (format!("kubernetes/{name}.json"), none.clone()));
        let files = files.each_ref().map(|(name, none)| (name.as_str(), none.clone()));
        report(&CertificateReady, &[front, certificate], &files).await
    }

    #[tokio::test]
    async fn a_wildcard_is_good_for_the_host() {
        let certificate = certificate("*.example.com", "2027-01-21T00:00:00Z");
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     kube-certificate-ready
                     The certificates that users see are good
        "#]]
        .assert_eq(&with(certificate).await);
    }

    #[tokio::test]
    async fn one_that_ends_soon_still_works() {
        let certificate = certificate("kf.example.com", "2026-11-28T00:00:00Z");
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            WARNING  kube-certificate-ready
              Certificate kubeflow/front ends 2026-11-28T00:00:00Z
                fix       shows when it is renewed
                          kubectl describe certificate -n kubeflow front

            warn     kube-certificate-ready
                     The certificates that users see are good
        "#]]
        .assert_eq(&with(certificate).await);
    }

    #[tokio::test]
    async fn a_gateways_certificate_is_for_its_own_names() {
        let certificate = |names: Value| {
            json!({ "apiVersion": "cert-manager.io/v1", "kind": "Certificate",
                "metadata": { "namespace": "istio-system", "name": "gateway" },
                "spec": { "secretName": "gateway-tls", "dnsNames": names },
                "status": { "notAfter": "2027-01-21T00:00:00Z", "conditions": [
                    { "type": "Ready", "status": "True" }] } })
        };
        let labels = json!({ "istio": "ingressgateway" });
        let objects = |names: Value| {
            [
                json!({ "apiVersion": "v1", "kind": "Service",
                    "metadata": { "namespace": "istio-system", "name": "istio-ingressgateway" },
                    "spec": { "type": "LoadBalancer", "selector": labels,
                        "ports": [{ "port": 443 }] } }),
                json!({ "apiVersion": "v1", "kind": "Pod",
                    "metadata": { "namespace": "istio-system", "name": "gateway-0", "labels": labels } }),
                json!({ "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
                    "metadata": { "namespace": "kubeflow", "name": "kubeflow-gateway" },
                    "spec": { "selector": labels, "servers": [{ "hosts": ["kf.example.com"],
                        "port": { "name": "https", "number": 443, "protocol": "HTTPS" },
                        "tls": { "mode": "SIMPLE", "credentialName": "gateway-tls" } }] } }),
                certificate(names),
            ]
        };
        let none = json!({ "items": [] });
        let files = [
            "deployments.apps",
            "ingresses.networking.k8s.io",
            "secrets",
            "virtualservices.networking.istio.io",
        ]
        .map(|name| (format!("kubernetes/{name}.json"), none.clone()));
        let files = files.each_ref().map(|(name, none)| (name.as_str(), none.clone()));
        let says = report(&CertificateReady, &objects(json!(["old.example.com"])), &files).await;
        assert!(says.contains("istio-system/gateway is not for kf.example.com"), "{says}");
        let says = report(&CertificateReady, &objects(json!(["*.example.com"])), &files).await;
        assert!(says.contains("pass     "), "{says}");
    }

    #[tokio::test]
    async fn a_wildcard_is_not_good_for_the_domain_itself() {
        let certificate = certificate("*.kf.example.com", "2027-01-21T00:00:00Z");
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  kube-certificate-ready
              Certificate kubeflow/front is not for kf.example.com
                is for    *.kf.example.com
              kubectl kfcheck explain kube-certificate-ready

            FAIL     kube-certificate-ready
                     The certificates that users see are good
        "#]]
        .assert_eq(&with(certificate).await);
    }
}
