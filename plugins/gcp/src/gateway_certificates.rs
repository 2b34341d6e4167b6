//! The certificates that a Gateway shows.

use kfcheck::{Cx, FactError, Fault, Findings, Named, Risk};
use kfcheck_kube::{Entrance, RoutedGateway, Target};
use kfcheck_probe::{HttpAnswer, HttpProbe};

use crate::{
    SslCertificate, SslCertificates,
    entrances::{certificate_map, hosts_of, shared_certificates},
};

/// Says of the certificates of Google's that a Gateway names whether they are there and issued. A
/// certificate map is judged by what the host shows: Certificate Manager isn't asked.
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
    let Some(map) = certificate_map(gateway) else { return Ok(()) };
    let target = cx.setting::<Target>();
    for host in hosts_of(&target, entrance) {
        let answers = cx.get(HttpProbe { url: format!("https://{host}/") }).await;
        let Some(answers) = out.known(&**gateway, answers) else { continue };
        let answer = HttpAnswer::anonymous(&answers);
        let verified = answer.is_some_and(|answer| {
            let refused = answer.tls.as_ref().is_some_and(|tls| tls.verified == Some(false));
            answer.status.is_some() && !refused
        });
        if verified {
            out.ok(&**gateway);
            continue;
        }
        let detail = format!(
            "certificate map {map} is not read, and {host} shows no good certificate; `gcloud \
             certificate-manager maps entries list --map {map}` lists what is in it"
        );
        out.known::<()>(&**gateway, Err(Fault::Unreachable(detail).into()));
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
    async fn a_certificate_map_is_good_if_the_host_shows_a_good_certificate() {
        let mut deployment = Deployment::behind_gateway();
        deployment.object("Gateway")["metadata"]["annotations"]["networking.gke.io/certmap"] =
            "map".into();
        let good = deployment.report(&ManagedCertificateActive).await;
        assert!(good.contains("pass     gcp-managed-certificate"), "{good}");
        *deployment.file("probes/http") = json!([{ "url": "https://kf.example.com/",
            "error": "handshake failure", "tls": { "verified": false } }]);
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 1 not seen.

            NOT SEEN, so a cause may hide there
              gcp-managed-certificate
                unreachable: certificate map map is not read, and kf.example.com shows no
                  good certificate; `gcloud certificate-manager maps entries list --map map`
                  lists what is in it

            unknown  gcp-managed-certificate
                     The host's managed certificate is attached and issued
                     (unreachable: certificate map map is not read, and kf.example.com shows
                     no good certificate; `gcloud certificate-manager maps entries list
                     --map map` lists what is in it)
        "#]]
        .assert_eq(&deployment.report(&ManagedCertificateActive).await);
    }

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
