use std::sync::Arc;

use kfcheck::{Check, Cx, FactError, Findings, Named, Risk, async_trait, check};
use kfcheck_kube::{Ingress, covers};

use crate::{
    GceIngresses, GoogleEntrances, ManagedCertificate,
    gateway_certificates::examine_certificates,
    ingress::{certificates_of, managed_certificates},
    mapped_certificates::examine_maps,
};

check! {
    /// ## What it checks
    /// That every Ingress names the ManagedCertificate for its host, that this exists, is for that
    /// host, and that Google has issued it. Of a Gateway, that the certificates which its listeners
    /// name are there and issued. Of a certificate map, at a Gateway or at the load balancer's proxy,
    /// that it is there, and that what it shows for the host is issued, for that host and not expired.
    ///
    /// ## Why it matters
    /// Without its certificate the load balancer doesn't answer HTTPS at all. Google issues one only
    /// when the certificate is attached and the name leads to the load balancer.
    ///
    /// ## How to fix it
    /// Name the ManagedCertificate object, not its file, in the annotation. `FailedNotVisible` goes
    /// away by itself, within an hour, once the name leads to the load balancer; `FailedCaaChecking`
    /// once the domain's CAA record allows `pki.goog`. Certificate Manager says `CONFIG` where the name,
    /// or the `_acme-challenge` record of a DNS authorization, doesn't lead where it should.
    pub(crate) struct ManagedCertificateActive;
    id: "gcp-managed-certificate",
    title: "The host's managed certificate is attached and issued",
}

/// The annotation that names them.
const ANNOTATION: &str = "networking.gke.io/managed-certificates";

#[async_trait]
impl Check for ManagedCertificateActive {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        for ingress in cx.get(GceIngresses).await?.iter() {
            let certificates = certificates_of(cx, ingress).await;
            let Some(certificates) = out.known(&**ingress, certificates) else { continue };
            examine_annotation(ingress, &certificates, out);
            // A leftover beside the one that is attached is of no concern.
            let named: Vec<_> = managed_certificates(ingress).collect();
            let is_named = |c: &&Arc<ManagedCertificate>| named.contains(&&*c.metadata.name);
            let any_named = certificates.iter().any(|certificate| is_named(&certificate));
            for certificate in certificates.iter().filter(|c| !any_named || is_named(c)) {
                examine(ingress, certificate, out);
            }
        }
        for entrance in cx.get(GoogleEntrances).await?.iter() {
            examine_certificates(cx, entrance, out).await?;
            examine_maps(cx, entrance, out).await?;
        }
        Ok(())
    }
}

fn examine_annotation(
    ingress: &Ingress,
    certificates: &[Arc<ManagedCertificate>],
    out: &mut Findings,
) {
    let named: Vec<_> = managed_certificates(ingress).collect();
    let there: Vec<_> = certificates.iter().map(|c| c.metadata.name.as_str()).collect();
    let missing = named.iter().find(|name| !there.contains(name));
    let attached = named.iter().any(|name| there.contains(name));
    let others: Vec<_> = there.iter().filter(|name| !named.contains(name)).copied().collect();
    let message = match missing {
        Some(name) => format!("names ManagedCertificate {name}, which does not exist"),
        None if !attached && !others.is_empty() => {
            format!("does not name ManagedCertificate {}", others.join(", "))
        }
        None => {
            if attached {
                out.ok(ingress);
            }
            return;
        }
    };
    let finding = out.fail(ingress, message);
    let shown = if others.is_empty() { "none for its host".to_owned() } else { others.join(", ") };
    finding.evidence("there is", shown);
    if !others.is_empty() {
        let kept: Vec<_> = named.iter().filter(|name| there.contains(name)).copied().collect();
        let names = [kept, others].concat().join(",");
        let (namespace, name) = (ingress.metadata.namespace(), &ingress.metadata.name);
        finding.fix(
            Risk::None,
            "attaches the one for its host",
            format!(
                "kubectl annotate ingress {name} -n {namespace} --overwrite {ANNOTATION}={names}"
            ),
        );
    }
}

fn examine(ingress: &Ingress, certificate: &ManagedCertificate, out: &mut Findings) {
    let status = &certificate.status;
    let (namespace, name) = (certificate.metadata.namespace(), &certificate.metadata.name);
    let show = format!("kubectl describe managedcertificate -n {namespace} {name}");
    let domains = &certificate.spec.domains;
    let uncovered: Vec<_> =
        ingress.hosts().filter(|host| !domains.iter().any(|d| covers(d, host))).collect();
    // Several may share the hosts among them.
    let is_only = managed_certificates(ingress).count() <= 1;
    if let (true, [host, ..]) = (is_only, &uncovered[..]) {
        out.fail(certificate, format!("is not for {host}")).evidence("is for", domains.join(", "));
        return;
    }
    let failed = status.domain_status.iter().find(|domain| domain.status.starts_with("Failed"));
    let overall = status.certificate_status.as_deref().unwrap_or_default();
    if let Some(domain) = failed {
        let message = format!("is not issued for {}: {}", domain.domain, domain.status);
        // That a name isn't visible has a reason elsewhere; these are the domain's own.
        let own = ["FailedCaaChecking", "FailedCaaForbidden", "FailedRateLimited"];
        let finding = if own.contains(&domain.status.as_str()) {
            out.fail(certificate, message)
        } else {
            out.unbuilt(certificate, message)
        };
        finding.evidence("status", overall).fix(Risk::None, "shows whether it is still so", show);
        return;
    }
    match overall {
        "Active" | "Renewing" => out.ok(certificate),
        "RenewalFailed" => {
            out.warn(certificate, "could not be renewed").fix(Risk::None, "shows why", show);
        }
        "" | "Provisioning" => {
            let since = certificate.metadata.creation_timestamp;
            let state = if overall.is_empty() { "not begun" } else { overall };
            let finding = out.warn(certificate.resource(), format!("is not issued yet ({state})"));
            if let Some(since) = since {
                finding.evidence("since", since);
            }
            finding.fix(Risk::None, "shows how far it is", show);
        }
        other => {
            out.unbuilt(certificate, format!("is not issued: {other}")).fix(
                Risk::None,
                "shows what is wrong",
                show,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::{ANNOTATION, ManagedCertificateActive};
    use crate::testing::Deployment;

    /// The Ingress names these certificates, and these there are, in these states.
    fn with(named: &str, certificates: &[(&str, &str)]) -> Deployment {
        let mut deployment = Deployment::healthy();
        if !named.is_empty() {
            deployment.object("Ingress")["metadata"]["annotations"][ANNOTATION] = named.into();
        }
        for (name, status) in certificates {
            let overall = if status.starts_with("Failed") { "Provisioning" } else { status };
            deployment.add(json!({ "apiVersion": "networking.gke.io/v1",
                "kind": "ManagedCertificate",
                "metadata": { "namespace": "istio-system", "name": name },
                "spec": { "domains": ["kf.example.com"] },
                "status": { "certificateStatus": overall, "domainStatus": [
                    { "domain": "kf.example.com", "status": status }] } }));
        }
        deployment
    }

    #[tokio::test]
    async fn one_that_is_named_and_active_is_fine() {
        let report = with("kf", &[("kf", "Active")]).report(&ManagedCertificateActive).await;
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     gcp-managed-certificate
                     The host's managed certificate is attached and issued
        "#]]
        .assert_eq(&report);
    }

    #[tokio::test]
    async fn one_that_is_not_named_is_attached_by_the_command_shown() {
        let deployment = with("kf-cert.yaml", &[("kf", "Provisioning")]);
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-managed-certificate
              Ingress istio-system/front names ManagedCertificate kf-cert.yaml, which does
                not exist
                there is  kf
                fix       attaches the one for its host
                          kubectl annotate ingress front -n istio-system \
                            --overwrite networking.gke.io/managed-certificates=kf
              kubectl kfcheck explain gcp-managed-certificate

            WARNING  gcp-managed-certificate
              ManagedCertificate istio-system/kf is not issued yet (Provisioning)
                fix       shows how far it is
                          kubectl describe managedcertificate -n istio-system kf

            FAIL     gcp-managed-certificate
                     The host's managed certificate is attached and issued
        "#]]
        .assert_eq(&deployment.report(&ManagedCertificateActive).await);
    }
}
