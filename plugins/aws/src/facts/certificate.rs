//! ACM.

use aws_sdk_acm::{Client, types};
use kfcheck::{Named, Place, Resource};

use super::{
    Time, fact, found,
    shape::{Keep, shape},
};
use crate::client::asked;

shape! {
    /// A certificate.
    pub struct Certificate of types::CertificateDetail in "PascalCase" {
        certificate_arn: String,
        domain_name: String,
        subject_alternative_names: Vec<String>,
        status: String,
        r#type: String,
        key_algorithm: String,
        failure_reason: String,
        not_before: Option<Time>,
        not_after: Option<Time>,
        renewal_eligibility: String,
        renewal_summary: Option<RenewalSummary>,
        domain_validation_options: Vec<DomainValidation>,
        in_use_by: Vec<String>,
    }

    /// How its renewal goes.
    pub struct RenewalSummary of types::RenewalSummary in "PascalCase" {
        renewal_status: String,
        renewal_status_reason: String,
    }

    /// How it is shown whose a name is.
    pub struct DomainValidation of types::DomainValidation in "PascalCase" {
        domain_name: String,
        validation_status: String,
        validation_method: String,
        resource_record: Option<ValidationRecord>,
    }

    /// The record that shows it.
    pub struct ValidationRecord of types::ResourceRecord in "PascalCase" {
        name: String,
        r#type: String,
        value: String,
    }
}

impl Keep<String> for types::RenewalStatus {
    fn keep(self) -> String {
        self.as_str().to_owned()
    }
}

impl Keep<String> for types::RecordType {
    fn keep(self) -> String {
        self.as_str().to_owned()
    }
}

fact! {
    /// The certificate of an ARN, or none where ACM has none.
    Certificates { arn }, "certificate", "acm:DescribeCertificate" => Vec<Certificate>,
    Place::listed("aws/acm/describe-certificate", "Certificates", [("CertificateArn", arn)],
        format!("aws acm describe-certificate --certificate-arn {arn} --region {}", region_in(arn))),
    |cx, aws| {
        let client = Client::new(&aws.config_in(cx, region_in(arn)).await);
        let call = found(client.describe_certificate().certificate_arn(arn).send());
        let what = format!("acm describe-certificate {arn}");
        let answer = asked(cx, what, Self::NEEDS[0], call).await?;
        Ok(answer.and_then(|answer| answer.certificate).map(Into::into).into_iter().collect())
    }
}

impl Named for Certificate {
    fn resource(&self) -> Resource {
        certificate_resource(&self.certificate_arn)
    }
}

/// A certificate's name across layers, be it there or not.
pub(crate) fn certificate_resource(arn: &str) -> Resource {
    super::resource("Certificate", arn)
}

/// The region that an ARN is of.
pub(crate) fn region_in(arn: &str) -> &str {
    arn.split(':').nth(3).unwrap_or_default()
}

impl Certificate {
    /// Every name that it is for.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let others =
            self.subject_alternative_names.iter().filter(|name| **name != self.domain_name);
        std::iter::once(&self.domain_name).chain(others).map(String::as_str)
    }

    /// Whether it is for `host`.
    pub fn covers(&self, host: &str) -> bool {
        self.names().any(|name| kfcheck_kube::covers(name, host))
    }
}
