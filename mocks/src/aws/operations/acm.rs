//! AWS Certificate Manager.

use serde_json::{Value, json};

use super::{Ask, Failure};

/// Answers `DescribeCertificate`. A certificate is seen in its own region alone.
pub(super) fn answer(ask: &Ask<'_>) -> Result<Value, Failure> {
    if ask.operation() != "DescribeCertificate" {
        return Err(ask.call.unanswered());
    }
    let arn = ask.call.text("CertificateArn").unwrap_or_default();
    let mut all = ask.list("describe-certificate", "Certificates")?;
    all.retain(|certificate| certificate["CertificateArn"] == arn);
    let here = arn.split(':').nth(3) == Some(ask.call.region.as_str());
    match all.pop().filter(|_| here) {
        Some(certificate) => Ok(json!({ "Certificate": certificate })),
        None => Err(Failure::Said(
            "ResourceNotFoundException",
            format!("Could not find certificate {arn}."),
        )),
    }
}
