//! Judges one certificate of Certificate Manager's for one host.

use jiff::Timestamp;
use kfcheck::{Finding, Findings, Risk};
use kfcheck_kube::{covers, host_resource};

use crate::{AuthorizationAttempt, CertificateManagerCertificate, ManagedByCertificateManager};

/// Whether a client that asks for the host takes the certificate.
pub(crate) fn is_good(
    certificate: &CertificateManagerCertificate,
    host: &str,
    now: Timestamp,
) -> bool {
    let is_issued = certificate.managed.as_ref().is_none_or(|managed| managed.state == "ACTIVE");
    is_for(certificate, host) && certificate.expire_time.map_or(is_issued, |end| now < end)
}

fn is_for(certificate: &CertificateManagerCertificate, host: &str) -> bool {
    certificate.hosts().iter().any(|name| covers(name, host))
}

/// Says how it stands with a certificate.
pub(crate) fn examine(
    certificate: &CertificateManagerCertificate,
    host: &str,
    now: Timestamp,
    out: &mut Findings,
) {
    let attempt = certificate.managed.as_ref().and_then(|managed| failed(managed, host));
    let name = certificate.name.name();
    let show = format!("gcloud certificate-manager certificates describe {name}");
    let finding = match (&certificate.managed, certificate.expire_time) {
        _ if !is_for(certificate, host) => {
            let names = certificate.hosts().join(", ");
            out.fail(certificate, format!("is not for {host}")).evidence("is for", names)
        }
        (Some(managed), Some(end))
            if now < end && (attempt.is_some() || managed.state == "FAILED") =>
        {
            out.warn(certificate, "could not be renewed").evidence("expires", end)
        }
        _ if is_good(certificate, host, now) => return out.ok(certificate),
        (_, Some(end)) => out.fail(certificate, format!("expired on {end}")),
        (Some(managed), None) => unissued(certificate, managed, host, out),
        (None, None) => return,
    };
    if let Some(attempt) = attempt {
        if !attempt.details.is_empty() {
            finding.evidence("says", &attempt.details);
        }
        let records = certificate.managed.iter().flat_map(|managed| &managed.dns_authorizations);
        for record in records.filter(|_| attempt.failure_reason == "CONFIG") {
            let record = record.name();
            let describe =
                format!("gcloud certificate-manager dns-authorizations describe {record}");
            finding.fix(Risk::None, "shows the record that proves the domain", describe);
        }
    }
    finding.fix(Risk::None, "shows whether it is still so", show);
}

/// The last attempt to prove a domain, if that failed; of several, the one for the host.
fn failed<'a>(
    managed: &'a ManagedByCertificateManager,
    host: &str,
) -> Option<&'a AuthorizationAttempt> {
    let attempts = managed.authorization_attempt_info.iter();
    let failed: Vec<_> = attempts.filter(|attempt| attempt.state == "FAILED").collect();
    let ours = failed.iter().find(|attempt| covers(&attempt.domain, host));
    ours.or(failed.first()).copied()
}

fn unissued<'a>(
    certificate: &CertificateManagerCertificate,
    managed: &ManagedByCertificateManager,
    host: &str,
    out: &'a mut Findings,
) -> &'a mut Finding {
    let issue = managed.provisioning_issue.as_ref().map(|issue| issue.reason.as_str());
    let (message, reason) = match failed(managed, host) {
        Some(AuthorizationAttempt { domain, failure_reason, .. }) => {
            let message = format!("is not issued for {domain}: {failure_reason}");
            (message, failure_reason.as_str())
        }
        None => match (issue, managed.state.as_str()) {
            (Some(reason), _) => (format!("is not issued: {reason}"), reason),
            (None, "PROVISIONING") => return out.warn(certificate, "is not issued yet"),
            (None, state) => (format!("is not issued: {state}"), state),
        },
    };
    // By the load balancer a domain is proven only if its name leads there, and why it doesn't has a
    // finding of its own; a record made for the proof, or what the domain forbids, has none.
    let is_proven_by_name = managed.dns_authorizations.is_empty();
    if is_proven_by_name && !["CAA", "RATE_LIMITED"].contains(&reason) {
        out.built_from(certificate, host_resource(host));
        return out.unbuilt(certificate, message);
    }
    out.fail(certificate, message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::is_good;
    use crate::CertificateManagerCertificate;

    fn is_good_for(host: &str, certificate: Value) -> bool {
        let certificate: CertificateManagerCertificate =
            serde_json::from_value(certificate).unwrap();
        is_good(&certificate, host, "2026-11-21T12:00:00Z".parse().unwrap())
    }

    #[test]
    fn one_that_somebody_brought_is_good_until_it_expires() {
        let until = |end: &str| json!({ "sanDnsnames": ["*.example.com"], "expireTime": end });
        assert!(is_good_for("kf.example.com", until("2026-11-21T12:00:01Z")));
        assert!(!is_good_for("kf.example.com", until("2026-11-21T12:00:00Z")));
        assert!(!is_good_for("example.com", until("2027-01-01T00:00:00Z")));
    }

    #[test]
    fn a_managed_one_is_good_once_it_is_active() {
        let state = |state: Value| json!({ "managed": { "domains": ["kf"], "state": state } });
        assert!(is_good_for("kf", state("ACTIVE".into())));
        assert!(is_good_for("kf", state(3.into())), "as the client library writes it");
        assert!(!is_good_for("kf", state("PROVISIONING".into())));
        assert!(!is_good_for("kf", state("SOMETHING_NEW".into())));
    }
}
