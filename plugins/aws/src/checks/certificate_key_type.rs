use kfcheck::{Check, Cx, FactError, Findings, Risk, async_trait, check};
use kfcheck_kube::Ingress;

use crate::{
    AlbController, AlbControllers, AlbIngresses, Certificate, Certificates, CognitoSignIns, Doors,
    RegionCertificates, Scope, UserPoolDomains,
    complaints::{Trouble, complaint, logged},
    facts::resource,
    fronts::annotation,
    region_in,
};

check! {
    /// ## What it checks
    /// The kind of key of every certificate in use: that a network load balancer or Cognito takes it;
    /// and where the controller finds no certificate for a host by itself, whether there is one whose
    /// kind of key it doesn't look for.
    ///
    /// ## Why it matters
    /// Before 2.6.0, the controller asks ACM for certificates in a way that leaves out all but RSA keys
    /// of 1024 and 2048 bits. It then says that there is none, and makes no load balancer.
    ///
    /// ## How to fix it
    /// Name the certificate in `alb.ingress.kubernetes.io/certificate-arn`, or use a controller of
    /// version 2.6.0 or later. Network load balancers take RSA keys of up to 3072 bits, Cognito's
    /// domains of the elliptic curves only P-256.
    pub(crate) struct CertificateKeyType;
    id: "aws-certificate-key-type",
    title: "The certificates' kinds of key are taken where they are used",
}

/// The kinds that ACM lists where none are asked for (API reference, "ListCertificates").
const LISTED: [&str; 2] = ["RSA_1024", "RSA_2048"];

#[async_trait]
impl Check for CertificateKeyType {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        examine_discovery(cx, out).await?;
        for door in cx.get(Doors).await?.iter() {
            for shown in &door.listener.certificates {
                let arn = shown.certificate_arn.clone();
                if !arn.contains(":acm:") {
                    continue;
                }
                let found = cx.get(Certificates { arn }).await;
                let Some(found) = out.known(&door.listener, found) else { continue };
                let Some(certificate) = found.first() else { continue };
                let kind = kind(certificate);
                if door.balancer.r#type == "network" && kind == "RSA_4096" {
                    let name = &door.balancer.load_balancer_name;
                    report(certificate, &format!("network load balancer {name}"), out);
                } else {
                    out.ok(certificate);
                }
            }
        }
        examine_sign_in(cx, out).await?;
        if out.is_clean() && cx.get(Doors).await?.is_empty() {
            out.skip("no listener at the entrance shows a certificate");
        }
        Ok(())
    }
}

/// `RSA-2048` and `RSA_2048` are the same.
fn kind(certificate: &Certificate) -> String {
    certificate.key_algorithm.replace('-', "_")
}

fn report(certificate: &Certificate, by: &str, out: &mut Findings) {
    let region = region_in(&certificate.certificate_arn);
    out.fail(
        certificate,
        format!("has a key of type {}, which {by} does not take", certificate.key_algorithm),
    )
    .evidence("is for", certificate.names().collect::<Vec<_>>().join(", "))
    .fix(
        Risk::None,
        "asks for one with a key that it takes",
        format!(
            "aws acm request-certificate --region {region} --domain-name {} \
                 --validation-method DNS --key-algorithm RSA_2048",
            certificate.domain_name
        ),
    );
}

/// Cognito's own domains stand on CloudFront, which takes P-256 only of the curves.
async fn examine_sign_in(cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
    for sign_in in cx.get(CognitoSignIns).await?.iter() {
        let (region, domain) = (sign_in.region().to_owned(), sign_in.domain().to_owned());
        if !domain.contains('.') {
            continue;
        }
        let subject = resource("UserPoolDomain", &domain);
        let found = cx.get(UserPoolDomains { region, domain }).await;
        let Some(found) = out.known(&subject, found) else { continue };
        let config = found.first().and_then(|found| found.custom_domain_config.as_ref());
        let arn = config.map(|config| config.certificate_arn.clone()).unwrap_or_default();
        if !arn.contains(":acm:") {
            continue;
        }
        let found = cx.get(Certificates { arn }).await;
        let Some(found) = out.known(&subject, found) else { continue };
        for certificate in found.iter() {
            if ["EC_secp384r1", "EC_secp521r1"].contains(&&*kind(certificate)) {
                report(certificate, "Cognito", out);
                out.depends(&subject, certificate);
            } else {
                out.ok(certificate);
            }
        }
    }
    Ok(())
}

/// Where the controller is to find the certificate by itself and says that there is none.
async fn examine_discovery(cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
    let here = cx.get(Scope).await?.region.clone();
    for ingress in cx.get(AlbIngresses).await?.iter() {
        if annotation(ingress, "certificate-arn").is_some() {
            continue;
        }
        let Some(host) = unfound(cx, ingress).await else { continue };
        let all = cx.get(RegionCertificates).await;
        let Some(all) = out.known(&**ingress, all) else { continue };
        let passed_over = all.iter().find(|certificate| {
            region_in(&certificate.certificate_arn) == here
                && certificate.covers(&host)
                && certificate.status == "ISSUED"
                && !LISTED.contains(&&*kind(certificate))
        });
        let Some(certificate) = passed_over else { continue };
        let (namespace, name) = (ingress.metadata.namespace(), &ingress.metadata.name);
        let key = &certificate.key_algorithm;
        let message =
            format!("has a key of type {key}, so the controller doesn't find it for {host}");
        let finding = out.fail(certificate, message);
        let controllers = cx.get(AlbControllers).await;
        let versions =
            controllers.iter().flat_map(|all| all.iter()).find_map(AlbController::version);
        if let Some((major, minor)) = versions {
            finding.evidence("controller", format!("{major}.{minor}"));
        }
        finding.fix(
            Risk::None,
            "names it, so that nobody has to find it",
            format!(
                "kubectl annotate ingress {name} -n {namespace} --overwrite \
                 alb.ingress.kubernetes.io/certificate-arn={}",
                certificate.certificate_arn
            ),
        );
        out.built_from(&**ingress, certificate);
    }
    Ok(())
}

/// The host that the controller says it finds no certificate for, as its events or its log have it.
async fn unfound(cx: &Cx, ingress: &std::sync::Arc<Ingress>) -> Option<String> {
    let said = complaint(cx, ingress).await.ok().flatten().map(|event| event.message.clone());
    let said = said.filter(|message| Trouble::of(message) == Some(Trouble::Certificate));
    let said = match said {
        Some(said) => said,
        None => in_logs(cx, ingress).await?,
    };
    // "multiple certificates found for host" is another matter.
    let (before, host) = said.split_once("certificate found for host: ")?;
    let none = before.trim_end();
    let host = host.split([' ', '"', ',', ';', '\\']).next()?.trim_end_matches('.');
    (none.ends_with("no") || none.ends_with("none")).then(|| host.to_lowercase())
}

async fn in_logs(cx: &Cx, ingress: &std::sync::Arc<Ingress>) -> Option<String> {
    // A log outlives what it says; what has its load balancer has its certificate.
    if ingress.addresses().next().is_some() {
        return None;
    }
    for controller in cx.get(AlbControllers).await.ok()?.iter() {
        let said = logged(cx, controller, std::slice::from_ref(ingress)).await.ok().flatten();
        if let Some((Trouble::Certificate, says)) = said {
            return Some(says);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::CertificateKeyType;
    use crate::testing::Deployment;

    /// The controller is to find the certificate, says that it finds none, and there is this one.
    fn with(key: &str) -> Deployment {
        let mut deployment = Deployment::healthy();
        let ingress = deployment.object("Ingress");
        ingress["status"] = json!({ "loadBalancer": {} });
        let annotations = ingress["metadata"]["annotations"].as_object_mut().unwrap();
        annotations.remove("alb.ingress.kubernetes.io/certificate-arn");
        *deployment.file("aws/elbv2/describe-load-balancers") = json!({ "LoadBalancers": [] });
        let certificates = deployment.file("aws/acm/describe-certificate");
        certificates["Certificates"][0]["KeyAlgorithm"] = key.into();
        deployment.add(json!({ "apiVersion": "v1", "kind": "Event",
            "metadata": { "namespace": "istio-system", "name": "front.1" },
            "involvedObject": { "kind": "Ingress", "namespace": "istio-system", "name": "front" },
            "type": "Warning", "reason": "FailedBuildModel", "message": "Failed build model due to \
                ingress: istio-system/front: no certificate found for host: kf.example.com",
            "lastTimestamp": "2026-11-21T11:59:00Z" }));
        deployment
    }

    #[tokio::test]
    async fn a_key_that_the_controller_does_not_look_for_is_named() {
        let deployment = with("EC-prime256v1");
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-certificate-key-type
              certificate arn:aws:acm:us-west-2:111122223333:certificate/shown has a key of
                type EC-prime256v1, so the controller doesn't find it for kf.example.com
                fix       names it, so that nobody has to find it
                          kubectl annotate ingress front -n istio-system \
                            --overwrite alb.ingress.kubernetes.io/certificate-arn=arn:aws:acm:us-west-2:111122223333:certificate/shown
              kubectl kfcheck explain aws-certificate-key-type

            FAIL     aws-certificate-key-type
                     The certificates' kinds of key are taken where they are used
        "#]].assert_eq(&deployment.report(&CertificateKeyType).await);
    }

    #[tokio::test]
    async fn one_that_it_would_find_is_not_to_blame() {
        let deployment = with("RSA-2048");
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     aws-certificate-key-type
                     The certificates' kinds of key are taken where they are used
        "#]]
        .assert_eq(&deployment.report(&CertificateKeyType).await);
    }

    #[tokio::test]
    async fn the_sign_in_page_takes_one_curve_only() {
        let mut deployment = Deployment::healthy();
        let certificates = deployment.file("aws/acm/describe-certificate");
        certificates["Certificates"][1]["KeyAlgorithm"] = "EC_secp384r1".into();
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-certificate-key-type
              certificate arn:aws:acm:us-east-1:111122223333:certificate/sign-in has a key
                of type EC_secp384r1, which Cognito does not take
                is for    auth.example.com
                fix       asks for one with a key that it takes
                          aws acm request-certificate --region us-east-1 \
                            --domain-name auth.example.com --validation-method DNS \
                            --key-algorithm RSA_2048
              kubectl kfcheck explain aws-certificate-key-type

            FAIL     aws-certificate-key-type
                     The certificates' kinds of key are taken where they are used
        "#]]
        .assert_eq(&deployment.report(&CertificateKeyType).await);
    }

    #[tokio::test]
    async fn without_the_certificates_it_is_open() {
        let mut deployment = with("EC-prime256v1");
        deployment.without("aws/acm/describe-certificate");
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 1 not seen.

            NOT SEEN, so a cause may hide there
              aws-certificate-key-type
                not collected: aws/acm/describe-certificate.json
                  aws acm describe-certificate --certificate-arn ARN
                not collected: arn:aws:acm:us-east-1:111122223333:certificate/sign-in in
                  aws/acm/describe-certificate.json
                  aws acm describe-certificate \
                    --certificate-arn arn:aws:acm:us-east-1:111122223333:certificate/sign-in \
                    --region us-east-1

            unknown  aws-certificate-key-type
                     The certificates' kinds of key are taken where they are used
                     (not collected: aws/acm/describe-certificate.json; `aws acm
                     describe-certificate --certificate-arn ARN` prints it (asking for
                     aws.certificates))
        "#]]
        .assert_eq(&deployment.report(&CertificateKeyType).await);
    }

    #[tokio::test]
    async fn usual_keys_are_fine() {
        let deployment = Deployment::healthy();
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     aws-certificate-key-type
                     The certificates' kinds of key are taken where they are used
        "#]]
        .assert_eq(&deployment.report(&CertificateKeyType).await);
    }

    #[tokio::test]
    async fn a_load_balancer_without_certificate_has_none() {
        let deployment = Deployment::classic();
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            skip     aws-certificate-key-type
                     The certificates' kinds of key are taken where they are used
                     (no listener at the entrance shows a certificate)
        "#]]
        .assert_eq(&deployment.report(&CertificateKeyType).await);
    }
}
