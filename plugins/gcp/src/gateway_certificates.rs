//! The certificates that a Gateway's listeners name.

use kfcheck::{Cx, FactError, Findings, Named, Risk};
use kfcheck_kube::{Entrance, RoutedGateway};

use crate::{SslCertificate, SslCertificates, entrances::shared_certificates};

/// Says of the certificates of Compute Engine's that a Gateway names whether they are there and
/// issued.
pub(crate) async fn examine_certificates(
    cx: &Cx,
    entrance: &Entrance,
    out: &mut Findings,
) -> Result<(), FactError> {
    let Entrance::Gateway(RoutedGateway { gateway, .. }) = entrance else { return Ok(()) };
    let named = shared_certificates(gateway);
    if !named.is_empty() {
        let all = cx.get(SslCertificates).await;
        if let Some(all) = out.known(&**gateway, all) {
            for name in named {
                let is = |certificate: &&SslCertificate| certificate.name == name;
                if let Some(certificate) = all.iter().find(is) {
                    examine(entrance, certificate, out);
                    continue;
                }
                out.fail(&**gateway, format!("names certificate {name}, which does not exist"))
                    .fix(
                        Risk::None,
                        "shows the certificates that there are",
                        "gcloud compute ssl-certificates list",
                    );
            }
        }
    }
    Ok(())
}

fn examine(entrance: &Entrance, certificate: &SslCertificate, out: &mut Findings) {
    let Some(managed) = &certificate.managed else {
        out.ok(certificate);
        return;
    };
    out.depends(entrance, certificate);
    let show = format!("gcloud compute ssl-certificates describe {}", certificate.name);
    let mut domains = managed.domain_status.iter();
    let failed = domains.find(|(_, status)| status.starts_with("FAILED"));
    match (managed.status.as_str(), failed) {
        ("ACTIVE", _) => out.ok(certificate),
        (_, Some((domain, status))) => {
            let message = format!("is not issued for {domain}: {status}");
            // That a name isn't visible has a reason elsewhere; these are the domain's own.
            let own = ["FAILED_CAA_CHECKING", "FAILED_CAA_FORBIDDEN", "FAILED_RATE_LIMITED"];
            let finding = if own.contains(&status.as_str()) {
                out.fail(certificate, message)
            } else {
                out.unbuilt(certificate, message)
            };
            finding.evidence("status", &managed.status);
            finding.fix(Risk::None, "shows whether it is still so", show);
        }
        ("PROVISIONING" | "", None) => {
            out.warn(certificate.resource(), "is not issued yet").fix(
                Risk::None,
                "shows how far it is",
                show,
            );
        }
        (status, None) => {
            out.unbuilt(certificate, format!("is not issued: {status}")).fix(
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

    use crate::{checks::managed_certificate::ManagedCertificateActive, testing::Deployment};

    #[tokio::test]
    async fn certificates_that_listeners_name_have_to_be_there() {
        let mut deployment = Deployment::behind_gateway();
        deployment.object("Gateway")["spec"]["listeners"][0]["tls"] =
            json!({ "options": { "networking.gke.io/pre-shared-certs": "good, gone" } });
        *deployment.file("gcp/compute/sslCertificates") =
            json!([{ "name": "good", "type": "MANAGED", "managed": { "status": "ACTIVE" } }]);
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-managed-certificate
              ApiGateway istio-system/front names certificate gone, which does not exist
                fix       shows the certificates that there are
                          gcloud compute ssl-certificates list
              kubectl kfcheck explain gcp-managed-certificate

            FAIL     gcp-managed-certificate
                     The host's managed certificate is attached and issued
        "#]]
        .assert_eq(&deployment.report(&ManagedCertificateActive).await);
    }
}
