use std::sync::Arc;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    version::{TLS12, TLS13},
};
use serde_json::Value;
use time::OffsetDateTime;

use super::probes::Probe;

/// Who signs the certificates.
pub(super) struct Authority {
    certificate: Certificate,
    trusted: Issuer<'static, KeyPair>,
    /// One that nobody trusts.
    other: Issuer<'static, KeyPair>,
    /// The key of all servers.
    key: KeyPair,
    /// What has run out by then had run out when it was probed.
    now: Timestamp,
}

impl Authority {
    pub(super) fn new(now: Timestamp) -> Result<Self, rcgen::Error> {
        let (key, other) = (KeyPair::generate()?, KeyPair::generate()?);
        let params = authority_params("A trusted authority");
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            certificate,
            trusted: Issuer::new(params, key),
            other: Issuer::new(authority_params("Another authority"), other),
            key: KeyPair::generate()?,
            now,
        })
    }

    /// The certificate of the one that is to be trusted.
    pub(super) fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// What a server needs to make the handshake that a probe saw.
    pub(super) fn configure(&self, probe: &Probe) -> Result<ServerConfig, BoxError> {
        let certificate = self.certify(probe)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let versions: &[_] =
            if probe.tls["version"] == "TLSv1.2" { &[&TLS12] } else { &[&TLS13, &TLS12] };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider);
        let config = config.with_protocol_versions(versions)?.with_no_client_auth();
        Ok(config.with_single_cert(vec![certificate.der().clone()], key)?)
    }

    /// A certificate as the probe describes it. One that convinced nobody is signed by an authority
    /// that nobody knows, unless something else is wrong with it already.
    fn certify(&self, probe: &Probe) -> Result<Certificate, BoxError> {
        let (tls, host) = (&probe.tls, probe.host());
        let names = tls["dnsNames"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let mut names: Vec<_> = names.map(str::to_owned).collect();
        if !tls["dnsNames"].is_array() {
            names.push(host.to_owned());
        }
        let until = tls["notAfter"].as_str().and_then(|until| until.parse::<Timestamp>().ok());
        let expired = until.is_some_and(|until| until < self.now);
        let for_another = !names.iter().any(|name| covers(name, host));

        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = common_name(tls["subject"].as_str().map_or(host, subject_name));
        if let Some(until) = until {
            params.not_after = OffsetDateTime::from_unix_timestamp(until.as_second())?;
        }
        let error =
            tls["error"].as_str().unwrap_or_default().to_lowercase().replace([' ', '-'], "");
        let certificate = if tls["verified"] != false {
            params.signed_by(&self.key, &self.trusted)
        } else if error.contains("selfsigned") {
            params.self_signed(&self.key)
        } else if expired || for_another {
            params.signed_by(&self.key, &self.trusted)
        } else {
            params.signed_by(&self.key, &self.other)
        };
        Ok(certificate?)
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// The common name in `CN=kf.example.com, O=Example`; the whole where there is none.
fn subject_name(subject: &str) -> &str {
    let mut parts = subject.split([',', '/']).map(str::trim);
    parts.find_map(|part| part.strip_prefix("CN=")).unwrap_or(subject)
}

/// Whether a certificate for `name` is good for `host` (RFC 6125, section 6.4.3).
fn covers(name: &str, host: &str) -> bool {
    let wildcard = || Some(name.strip_prefix("*.")? == host.split_once('.')?.1);
    name.eq_ignore_ascii_case(host) || wildcard().unwrap_or(false)
}
