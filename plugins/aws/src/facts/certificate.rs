//! ACM.

use aws_sdk_acm::{Client, types};
use kfcheck::{Named, Place, Resource};

use super::{
    Time, about, fact, found, listed,
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
        let there = answer.map(|answer| about(answer, Self::NEEDS[0], |answer| answer.certificate));
        Ok(there.transpose()?.map(Into::into).into_iter().collect())
    }
}

/// How many certificates that aren't listed by default are looked at.
const LOOKED_AT: usize = 50;

fact! {
    /// The certificates of the region that ACM lists only to who asks for their kind of key.
    RegionCertificates, "certificates", "acm:ListCertificates" => Vec<Certificate>,
    Place::listed("aws/acm/describe-certificate", "Certificates", [],
        "aws acm describe-certificate --certificate-arn ARN"),
    |cx, aws| {
        let client = Client::new(aws.config(cx).await);
        let kinds = types::KeyAlgorithm::values().iter().map(|kind| types::KeyAlgorithm::from(*kind));
        let kinds = kinds.filter(|kind| ![types::KeyAlgorithm::Rsa1024, types::KeyAlgorithm::Rsa2048].contains(kind));
        let kinds = types::Filters::builder().set_key_types(Some(kinds.collect())).build();
        let call = client.list_certificates().includes(kinds).into_paginator().send();
        let pages = call.collect::<Result<Vec<_>, _>>();
        let pages = asked(cx, "acm list-certificates".to_owned(), Self::NEEDS[0], pages).await?;
        let all = listed(pages, Self::NEEDS[0], |page| page.certificate_summary_list)?;
        let arns = all.into_iter().filter_map(|summary| summary.certificate_arn).take(LOOKED_AT);
        let all = futures::future::try_join_all(arns.map(|arn| cx.get(Certificates { arn }))).await?;
        Ok(all.iter().flat_map(|found| found.iter().cloned()).collect())
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
