//! Certificates, as Secrets and webhook configurations hold them.

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use x509_parser::{extensions::GeneralName, pem::Pem, prelude::X509Certificate};

/// What checks read of a certificate.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    /// The names and addresses it is for.
    pub(crate) names: Vec<String>,
    /// Until when it is good.
    pub(crate) not_after: Timestamp,
}

/// The first certificate in PEM text, if it can be read.
pub(crate) fn leaf(text: &str) -> Option<Leaf> {
    let pem = certificates(text.as_bytes()).into_iter().next()?;
    let certificate = pem.parse_x509().ok()?;
    Some(Leaf { names: names(&certificate), not_after: not_after(&certificate)? })
}

/// When the last of the certificates ends that base64 of PEM text holds.
pub(crate) fn last_expiry(coded: &str) -> Option<Timestamp> {
    let text = STANDARD.decode(coded.trim()).ok()?;
    let ends = certificates(&text).into_iter();
    ends.filter_map(|pem| not_after(&pem.parse_x509().ok()?)).max()
}

/// Whether base64 of PEM text holds nothing, as placeholders do.
pub(crate) fn is_blank(coded: &str) -> bool {
    STANDARD.decode(coded.trim()).is_ok_and(|text| text.trim_ascii().is_empty())
}

fn certificates(text: &[u8]) -> Vec<Pem> {
    let all = Pem::iter_from_buffer(text).filter_map(Result::ok);
    all.filter(|pem| pem.label == "CERTIFICATE").collect()
}

fn not_after(certificate: &X509Certificate<'_>) -> Option<Timestamp> {
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let general = alternative.iter().flat_map(|extension| &extension.value.general_names);
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|b| std::net::IpAddr::from(b).to_string()),
            16 => <[u8; 16]>::try_from(*bytes).ok().map(|b| std::net::IpAddr::from(b).to_string()),
            _ => None,
        },
        _ => None,
    };
    general.filter_map(name).collect()
}
