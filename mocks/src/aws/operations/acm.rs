//! AWS Certificate Manager.

use serde_json::{Value, json};

use super::{Ask, Failure};

/// The kinds of key that are listed where none are asked for.
const LISTED: [&str; 2] = ["RSA_1024", "RSA_2048"];

/// Answers what is asked of certificates. One is seen in its own region alone.
pub(super) fn answer(ask: &Ask<'_>) -> Result<Value, Failure> {
    let mut all = ask.list("describe-certificate", "Certificates")?;
    all.retain(|certificate| region(certificate) == Some(ask.call.region.as_str()));
    match ask.operation() {
        "DescribeCertificate" => {
            let arn = ask.call.text("CertificateArn").unwrap_or_default();
            all.retain(|certificate| certificate["CertificateArn"] == arn);
            let says = || format!("Could not find certificate {arn}.");
            let found = all.pop();
            let found = found.ok_or_else(|| Failure::Said("ResourceNotFoundException", says()))?;
            Ok(json!({ "Certificate": found }))
        }
        "ListCertificates" => {
            let kinds = &ask.call.input["Includes"]["keyTypes"];
            let kinds: Vec<_> = match kinds.as_array() {
                Some(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
                None => LISTED.to_vec(),
            };
            all.retain(|certificate| {
                let kind = certificate["KeyAlgorithm"].as_str().unwrap_or_default();
                kinds.contains(&&*kind.replace('-', "_"))
            });
            let summary = |certificate: &Value| {
                json!({ "CertificateArn": certificate["CertificateArn"],
                    "DomainName": certificate["DomainName"] })
            };
            let summaries: Vec<_> = all.iter().map(summary).collect();
            Ok(json!({ "CertificateSummaryList": summaries }))
        }
        _ => Err(ask.call.unanswered()),
    }
}

fn region(certificate: &Value) -> Option<&str> {
    certificate["CertificateArn"].as_str()?.split(':').nth(3)
}
