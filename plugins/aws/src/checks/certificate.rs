use std::collections::BTreeSet;

use jiff::{Timestamp, ToSpan};
use kfcheck::{Check, Cx, FactError, Finding, Findings, Named, Now, Risk, async_trait, check};
use kfcheck_kube::Thresholds;
use kfcheck_probe::{HttpAnswer, HttpProbe};

use crate::{
    AlbIngresses, Certificate, Certificates, CognitoSignIns, DomainValidation, Hosts, RecordSets,
    Scope, UserPoolDomains,
    facts::{certificate_resource, resource},
    fronts::annotation,
    hosts::{shown_certificates, zone_of},
    region_in,
};

check! {
    /// ## What it checks
    /// The certificates of ACM that load balancers at the entrance show, or are asked to show, and that
    /// of the sign-in page where it has a domain of its own: that they exist in the region where they
    /// are used, are issued and in force, are for the host, and will be renewed.
    ///
    /// ## Why it matters
    /// A load balancer takes only certificates that are issued, of its own region; Cognito only those
    /// of us-east-1. Browsers refuse one that is expired or for another name.
    ///
    /// ## How to fix it
    /// One that waits for validation is issued within minutes after the records shown exist. One that
    /// was imported has to be imported again before it expires: nobody else renews it. A name can't be
    /// added to a certificate: ask for another one.
    pub(crate) struct CertificateGood;
    id: "aws-certificate",
    title: "The certificates are issued, for the host, and will be renewed",
}

/// Where certificates for Cognito's own domains are.
const OF_COGNITO: &str = "us-east-1";
/// How many days before its end a certificate should have been renewed.
const SOON: i64 = 30;

/// A certificate in use, and what for.
struct Use {
    arn: String,
    /// Where it has to be; nothing where that isn't said.
    region: String,
    /// The domain of the sign-in page, where it is for that.
    sign_in: Option<String>,
}

#[async_trait]
impl Check for CertificateGood {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let region = cx.get(Scope).await?.region.clone();
        let shown = shown_certificates(cx).await?;
        // IAM has certificates as well, and says nothing of them.
        let shown: BTreeSet<_> = shown.into_iter().filter(|arn| arn.contains(":acm:")).collect();
        let mut uses: Vec<_> = shown
            .iter()
            .map(|arn| Use { arn: arn.clone(), region: region.clone(), sign_in: None })
            .collect();
        uses.extend(of_sign_in(cx, out).await);
        if uses.is_empty() {
            out.skip("no load balancer at the entrance shows a certificate of ACM");
            return Ok(());
        }
        let now = *cx.get(Now).await?;
        let mut names = Vec::new();
        let mut all_seen = true;
        for used in &uses {
            let found = cx.get(Certificates { arn: used.arn.clone() }).await;
            let subject = certificate_resource(&used.arn);
            if let Some(domain) = &used.sign_in {
                out.depends(resource("UserPoolDomain", domain), &subject);
            }
            let Some(found) = out.known(&subject, found) else {
                all_seen = false;
                continue;
            };
            if used.sign_in.is_none() {
                names.extend(found.iter().cloned());
            }
            examine(cx, used, found.first(), now, out).await;
        }
        if all_seen && !names.is_empty() {
            examine_hosts(cx, &names, out).await;
        }
        Ok(())
    }
}

/// The certificates of the domains of sign-in pages.
async fn of_sign_in(cx: &Cx, out: &mut Findings) -> Vec<Use> {
    let mut uses = Vec::new();
    let sign_ins = cx.get(CognitoSignIns).await;
    for sign_in in sign_ins.iter().flat_map(|all| all.iter()) {
        let (region, domain) = (sign_in.region().to_owned(), sign_in.domain().to_owned());
        if !domain.contains('.') {
            continue;
        }
        let found = cx.get(UserPoolDomains { region, domain: domain.clone() }).await;
        let Some(found) = out.known(resource("UserPoolDomain", &domain), found) else { continue };
        let config = found.first().and_then(|found| found.custom_domain_config.as_ref());
        uses.extend(config.filter(|config| config.certificate_arn.contains(":acm:")).map(
            |config| {
                let (arn, region) = (config.certificate_arn.clone(), OF_COGNITO.to_owned());
                Use { arn, region, sign_in: Some(domain) }
            },
        ));
    }
    uses
}

async fn examine(
    cx: &Cx,
    used: &Use,
    found: Option<&Certificate>,
    now: Timestamp,
    out: &mut Findings,
) {
    let subject = certificate_resource(&used.arn);
    let here = region_in(&used.arn);
    let who = used.sign_in.as_ref().map_or("the load balancer", |_| "Cognito");
    if !used.region.is_empty() && here != used.region {
        let message = format!("is in {here}; {who} takes only one of {}", used.region);
        let list = format!("aws acm list-certificates --region {}", used.region);
        out.fail(subject, message).fix(
            Risk::None,
            "lists those that are there; ask for one there if there is none",
            list,
        );
        return;
    }
    let Some(certificate) = found else {
        out.fail(subject, "does not exist").fix(
            Risk::None,
            "lists those that there are",
            format!("aws acm list-certificates --region {here}"),
        );
        return;
    };
    if certificate.status != "ISSUED" && !certificate.status.is_empty() {
        report_unissued(cx, certificate, out).await;
        return;
    }
    let name = certificate.domain_name.as_str();
    if let Some(end) = certificate.not_after.filter(|end| end.0 <= now) {
        let finding = out.fail(certificate, format!("for {name} has expired"));
        finding.evidence("until", end.0);
        renew(finding, certificate);
        return;
    }
    if let Some(begin) = certificate.not_before.filter(|begin| begin.0 > now) {
        out.fail(certificate, format!("for {name} is not in force yet")).evidence("from", begin.0);
        return;
    }
    if let Some(domain) = used.sign_in.as_deref().filter(|domain| !certificate.covers(domain)) {
        let names: Vec<_> = certificate.names().collect();
        out.fail(certificate, format!("is not for {domain}"))
            .evidence("is for", names.join(", "))
            .fix(Risk::None, "asks for one that is", request(domain, OF_COGNITO));
        return;
    }
    let days = cx.setting::<Thresholds>().certificate_days(SOON);
    let soon = now.checked_add((days * 24).hours()).unwrap_or(now);
    if !examine_renewal(certificate, used, soon, out) {
        out.ok(certificate);
    }
}

fn request(domain: &str, region: &str) -> String {
    format!(
        "aws acm request-certificate --region {region} --domain-name {domain} \
         --validation-method DNS"
    )
}

fn describe(certificate: &Certificate) -> String {
    let arn = &certificate.certificate_arn;
    format!("aws acm describe-certificate --region {} --certificate-arn {arn}", region_in(arn))
}

fn renew(finding: &mut Finding, certificate: &Certificate) {
    let (arn, region) = (&certificate.certificate_arn, region_in(&certificate.certificate_arn));
    if certificate.r#type == "IMPORTED" {
        finding.fix(
            Risk::None,
            "imports its successor in its place; these are the new certificate's files",
            format!(
                "aws acm import-certificate --region {region} --certificate-arn {arn} \
                 --certificate fileb://cert.pem --private-key fileb://key.pem \
                 --certificate-chain fileb://chain.pem"
            ),
        );
    } else {
        finding.fix(Risk::None, "shows why it was not renewed", describe(certificate));
    }
}

async fn report_unissued(cx: &Cx, certificate: &Certificate, out: &mut Findings) {
    let message = format!("for {} is not issued", certificate.domain_name);
    let mut missing = Vec::new();
    for validation in waiting(certificate) {
        missing.extend(missing_record(cx, validation).await);
    }
    let finding = out.fail(certificate, message);
    finding.evidence("status", &certificate.status);
    if !certificate.failure_reason.is_empty() {
        finding.evidence("because", &certificate.failure_reason);
    }
    if certificate.status != "PENDING_VALIDATION" {
        let region = region_in(&certificate.certificate_arn);
        let command = request(&certificate.domain_name, region);
        finding.fix(Risk::None, "asks for another one", command);
        return;
    }
    let by_mail = waiting(certificate).find(|v| v.validation_method == "EMAIL");
    if let Some(validation) = by_mail {
        finding.evidence("waits for an answer to mail of", &validation.domain_name);
    }
    for (zone, validation) in &missing {
        let Some(record) = &validation.resource_record else { continue };
        let is_missing = if zone.is_some() { "missing" } else { "has to be there" };
        finding.evidence(is_missing, format!("{} {} {}", record.name, record.r#type, record.value));
        if let Some(zone) = zone {
            let change = serde_json::json!({ "Changes": [{ "Action": "UPSERT",
                "ResourceRecordSet": { "Name": record.name, "Type": record.r#type, "TTL": 300,
                    "ResourceRecords": [{ "Value": record.value }] } }] });
            finding.fix(
                Risk::None,
                "makes the record that shows whose the name is",
                format!(
                    "aws route53 change-resource-record-sets --hosted-zone-id {zone} \
                     --change-batch '{change}'"
                ),
            );
        }
    }
    finding.fix(Risk::None, "shows whether it is issued by now", describe(certificate));
}

/// The names for which it waits to be shown whose they are.
fn waiting(certificate: &Certificate) -> impl Iterator<Item = &DomainValidation> {
    let all = certificate.domain_validation_options.iter();
    all.filter(|validation| validation.validation_status != "SUCCESS")
}

/// The record that a validation lacks, with the zone that it belongs in where the account has it.
async fn missing_record<'a>(
    cx: &Cx,
    validation: &'a DomainValidation,
) -> Option<(Option<String>, &'a DomainValidation)> {
    let record = validation.resource_record.as_ref()?;
    let name = record.name.trim_end_matches('.').to_lowercase();
    let zone = match zone_of(cx, &name).await {
        Ok(Some((zone, _))) => zone.short_id().to_owned(),
        // Somebody else has the zone, or it isn't known who.
        _ => return Some((None, validation)),
    };
    let records = cx.get(RecordSets { zone: zone.clone(), names: vec![name.clone()] }).await;
    match records {
        Ok(records) if records.resource_record_sets.iter().any(|set| set.host() == name) => None,
        Ok(_) => Some((Some(zone), validation)),
        Err(_) => Some((None, validation)),
    }
}

/// Whether something was said of what comes when it ends.
fn examine_renewal(
    certificate: &Certificate,
    used: &Use,
    soon: Timestamp,
    out: &mut Findings,
) -> bool {
    let name = certificate.domain_name.as_str();
    let renewal = certificate.renewal_summary.as_ref();
    let status = renewal.map_or("", |renewal| renewal.renewal_status.as_str());
    let ends = certificate.not_after.filter(|end| end.0 < soon);
    let is_imported = certificate.r#type == "IMPORTED";
    let message = match (status, ends) {
        ("FAILED", _) => format!("for {name} could not be renewed"),
        ("PENDING_VALIDATION", _) => {
            format!("for {name} can't be renewed before it is shown whose the names are")
        }
        (_, Some(_)) if is_imported => format!("for {name} ends soon, and nobody renews it"),
        (_, Some(_)) if certificate.renewal_eligibility == "INELIGIBLE" => {
            format!("for {name} ends soon, and won't be renewed")
        }
        (_, Some(_)) => format!("for {name} ends soon and is not renewed yet"),
        _ if is_imported && used.sign_in.is_some() => {
            format!("for {name} was imported; Cognito takes it only with its whole chain")
        }
        _ => return false,
    };
    let finding = out.warn(certificate, message);
    if let Some(end) = certificate.not_after {
        finding.evidence("until", end.0);
    }
    if let Some(renewal) = renewal.filter(|renewal| !renewal.renewal_status_reason.is_empty()) {
        finding.evidence("because", &renewal.renewal_status_reason);
    }
    for validation in waiting(certificate) {
        if let Some(record) = &validation.resource_record {
            let record = format!("{} {} {}", record.name, record.r#type, record.value);
            finding.evidence("has to be there", record);
        }
    }
    renew(finding, certificate);
    true
}

/// Whether some certificate is for every host.
async fn examine_hosts(cx: &Cx, certificates: &[Certificate], out: &mut Findings) {
    let Ok(hosts) = cx.get(Hosts).await else { return };
    let ingresses = cx.get(AlbIngresses).await;
    let mut ingresses = ingresses.iter().flat_map(|all| all.iter());
    let is_whole = ingresses.any(|ingress| annotation(ingress, "certificate-arn").is_some());
    for host in hosts.iter() {
        if certificates.iter().any(|certificate| certificate.covers(host)) {
            continue;
        }
        // A listener may have more certificates than the one that its description shows.
        let answers = cx.get(HttpProbe { url: format!("https://{host}/") }).await;
        let tls = answers.as_ref().ok().and_then(|answers| HttpAnswer::anonymous(answers));
        let verified = tls.and_then(|answer| answer.tls.as_ref()).and_then(|tls| tls.verified);
        if verified == Some(true) || verified.is_none() && !is_whole {
            continue;
        }
        let Some(certificate) = certificates.first() else { return };
        let names: Vec<_> = certificates.iter().flat_map(Certificate::names).collect();
        let region = region_in(&certificate.certificate_arn);
        out.fail(certificate.resource(), format!("is not for {host}"))
            .evidence("is for", names.join(", "))
            .fix(Risk::None, "asks for one that is", request(host, region));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::CertificateGood;
    use crate::testing::{CERTIFICATE, Deployment};

    /// The load balancer's certificate is so.
    fn with(fields: &serde_json::Value) -> Deployment {
        let mut deployment = Deployment::healthy();
        let certificates = deployment.file("aws/acm/describe-certificate");
        let certificate = certificates["Certificates"][0].as_object_mut().unwrap();
        certificate.extend(fields.as_object().unwrap().clone());
        deployment
    }

    #[tokio::test]
    async fn one_that_waits_for_a_record_has_it_made() {
        let deployment =
            with(&json!({ "Status": "PENDING_VALIDATION", "DomainValidationOptions": [
            { "DomainName": "kf.example.com", "ValidationStatus": "PENDING_VALIDATION",
                "ValidationMethod": "DNS", "ResourceRecord": { "Name": "_a.kf.example.com.",
                    "Type": "CNAME", "Value": "_b.acm-validations.aws." } }] }));
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-certificate
              certificate arn:aws:acm:us-west-2:111122223333:certificate/shown for
                kf.example.com is not issued
                status    PENDING_VALIDATION
                missing   _a.kf.example.com. CNAME _b.acm-validations.aws.
                fix       makes the record that shows whose the name is
                          aws route53 change-resource-record-sets --hosted-zone-id Z1 \
                            --change-batch '{"Changes":[{"Action":"UPSERT","ResourceRecordSet":{"Name":"_a.kf.example.com.","ResourceRecords":[{"Value":"_b.acm-validations.aws."}],"TTL":300,"Type":"CNAME"}}]}'
                fix       shows whether it is issued by now
                          aws acm describe-certificate --region us-west-2 \
                            --certificate-arn arn:aws:acm:us-west-2:111122223333:certificate/shown
              kubectl kfcheck explain aws-certificate

            FAIL     aws-certificate
                     The certificates are issued, for the host, and will be renewed
        "#]].assert_eq(&deployment.report(&CertificateGood).await);
    }

    #[tokio::test]
    async fn one_that_has_expired_is_imported_again() {
        let deployment = with(&json!({ "NotAfter": "2026-11-01T00:00:00Z", "Type": "IMPORTED" }));
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-certificate
              certificate arn:aws:acm:us-west-2:111122223333:certificate/shown for
                kf.example.com has expired
                until     2026-11-01T00:00:00Z
                fix       imports its successor in its place; these are the new
                          certificate's files
                          aws acm import-certificate --region us-west-2 \
                            --certificate-arn arn:aws:acm:us-west-2:111122223333:certificate/shown \
                            --certificate fileb://cert.pem --private-key fileb://key.pem \
                            --certificate-chain fileb://chain.pem
              kubectl kfcheck explain aws-certificate

            FAIL     aws-certificate
                     The certificates are issued, for the host, and will be renewed
        "#]]
        .assert_eq(&deployment.report(&CertificateGood).await);
    }

    #[tokio::test]
    async fn one_that_ends_soon_is_a_warning() {
        let deployment = with(&json!({ "NotAfter": "2026-12-01T00:00:00Z" }));
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            WARNING  aws-certificate
              certificate arn:aws:acm:us-west-2:111122223333:certificate/shown for
                kf.example.com ends soon and is not renewed yet
                until     2026-12-01T00:00:00Z
                fix       shows why it was not renewed
                          aws acm describe-certificate --region us-west-2 \
                            --certificate-arn arn:aws:acm:us-west-2:111122223333:certificate/shown

            warn     aws-certificate
                     The certificates are issued, for the host, and will be renewed
        "#]]
        .assert_eq(&deployment.report(&CertificateGood).await);
    }

    #[tokio::test]
    async fn one_for_another_host_is_not_for_this_one() {
        let mut deployment = with(&json!({ "DomainName": "other.example.com",
            "SubjectAlternativeNames": ["other.example.com"] }));
        deployment.file("probes/http")[0]["tls"] = json!({ "verified": false });
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-certificate
              certificate arn:aws:acm:us-west-2:111122223333:certificate/shown is not for
                kf.example.com
                is for    other.example.com
                fix       asks for one that is
                          aws acm request-certificate --region us-west-2 \
                            --domain-name kf.example.com --validation-method DNS
              kubectl kfcheck explain aws-certificate

            FAIL     aws-certificate
                     The certificates are issued, for the host, and will be renewed
        "#]]
        .assert_eq(&deployment.report(&CertificateGood).await);
    }

    #[tokio::test]
    async fn one_that_a_browser_trusts_may_be_another() {
        let mut deployment = Deployment::healthy();
        let certificates = deployment.file("aws/acm/describe-certificate");
        certificates["Certificates"][0]["DomainName"] = "other.example.com".into();
        certificates["Certificates"][0]["SubjectAlternativeNames"] = json!([]);
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     aws-certificate
                     The certificates are issued, for the host, and will be renewed
        "#]]
        .assert_eq(&deployment.report(&CertificateGood).await);
    }

    #[tokio::test]
    async fn one_of_another_region_is_not_taken() {
        let mut deployment = Deployment::healthy();
        let arn = "arn:aws:acm:us-east-1:111122223333:certificate/there";
        deployment.object("Ingress")["metadata"]["annotations"]["alb.ingress.kubernetes.io/certificate-arn"] =
            arn.into();
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-certificate
              certificate arn:aws:acm:us-east-1:111122223333:certificate/there is in
                us-east-1; the load balancer takes only one of us-west-2
                fix       lists those that are there; ask for one there if there is none
                          aws acm list-certificates --region us-west-2
              kubectl kfcheck explain aws-certificate

            FAIL     aws-certificate
                     The certificates are issued, for the host, and will be renewed
        "#]]
        .assert_eq(&deployment.report(&CertificateGood).await);
    }

    #[tokio::test]
    async fn one_of_the_sign_in_page_has_to_be_in_us_east_1() {
        let mut deployment = Deployment::healthy();
        let domains = deployment.file("aws/cognito-idp/describe-user-pool-domain");
        domains["DomainDescriptions"][0]["CustomDomainConfig"]["CertificateArn"] =
            CERTIFICATE.into();
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-certificate
              certificate arn:aws:acm:us-west-2:111122223333:certificate/shown is in
                us-west-2; Cognito takes only one of us-east-1
                fix       lists those that are there; ask for one there if there is none
                          aws acm list-certificates --region us-east-1
              kubectl kfcheck explain aws-certificate

            FAIL     aws-certificate
                     The certificates are issued, for the host, and will be renewed
        "#]]
        .assert_eq(&deployment.report(&CertificateGood).await);
    }

    #[tokio::test]
    async fn one_that_does_not_exist_is_named() {
        let mut deployment = Deployment::healthy();
        let certificates = deployment.file("aws/acm/describe-certificate");
        certificates["Certificates"].as_array_mut().unwrap().remove(0);
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-certificate
              certificate arn:aws:acm:us-west-2:111122223333:certificate/shown does not
                exist
                fix       lists those that there are
                          aws acm list-certificates --region us-west-2
              kubectl kfcheck explain aws-certificate

            FAIL     aws-certificate
                     The certificates are issued, for the host, and will be renewed
        "#]]
        .assert_eq(&deployment.report(&CertificateGood).await);
    }

    #[tokio::test]
    async fn without_them_it_is_open() {
        let mut deployment = Deployment::healthy();
        deployment.without("aws/acm/describe-certificate");
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 1 not seen.

            NOT SEEN, so a cause may hide there
              aws-certificate
                not collected: arn:aws:acm:us-west-2:111122223333:certificate/shown in
                  aws/acm/describe-certificate.json
                  aws acm describe-certificate \
                    --certificate-arn arn:aws:acm:us-west-2:111122223333:certificate/shown \
                    --region us-west-2
                not collected: arn:aws:acm:us-east-1:111122223333:certificate/sign-in in
                  aws/acm/describe-certificate.json
                  aws acm describe-certificate \
                    --certificate-arn arn:aws:acm:us-east-1:111122223333:certificate/sign-in \
                    --region us-east-1

            unknown  aws-certificate
                     The certificates are issued, for the host, and will be renewed
                     (not collected: arn:aws:acm:us-west-2:111122223333:certificate/shown in
                     aws/acm/describe-certificate.json; `aws acm describe-certificate
                     --certificate-arn arn:aws:acm:us-west-2:111122223333:certificate/shown
                     --region us-west-2` prints it (asking for aws.certificate
                     {"arn":"arn:aws:acm:us-west-2:111122223333:certificate/shown"}))
        "#]]
        .assert_eq(&deployment.report(&CertificateGood).await);
    }

    #[tokio::test]
    async fn issued_ones_for_the_host_are_fine() {
        let deployment = Deployment::healthy();
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     aws-certificate
                     The certificates are issued, for the host, and will be renewed
        "#]]
        .assert_eq(&deployment.report(&CertificateGood).await);
    }

    #[tokio::test]
    async fn a_load_balancer_without_certificate_has_none() {
        let deployment = Deployment::classic();
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            skip     aws-certificate
                     The certificates are issued, for the host, and will be renewed
                     (no load balancer at the entrance shows a certificate of ACM)
        "#]]
        .assert_eq(&deployment.report(&CertificateGood).await);
    }
}
