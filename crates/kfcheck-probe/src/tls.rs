//! The handshake: it is gone through whatever the certificate is, and judged beside.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client::TlsStream};
use x509_parser::{extensions::GeneralName, prelude::parse_x509_certificate};

use crate::Tls;

/// A stream over TLS and what was seen of the handshake; or why there is none.
pub(crate) async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    host: &str,
    roots: &Arc<RootCertStore>,
    clock: Option<Timestamp>,
) -> Result<(TlsStream<S>, Tls), (String, Option<Tls>)> {
    let failed = |error: String| (error, None);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let witness = Arc::new(Witness::new(roots, &provider, clock));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&witness) as _)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|_| failed(format!("{host} is no name for TLS")))?;
    let shaken = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    match shaken {
        Ok(stream) => {
            let version = stream.get_ref().1.protocol_version();
            let mut seen = witness.seen().unwrap_or_default();
            seen.version = version.and_then(|v| v.as_str()).map(|v| v.replace('_', "."));
            Ok((stream, seen))
        }
        Err(error) => Err((error.to_string(), witness.seen())),
    }
}

/// Looks at certificates, remembers what a client would say of them, and lets them pass.
#[derive(Debug)]
struct Witness {
    /// None: this machine trusts nobody, so it can't tell.
    judge: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
    clock: Option<Timestamp>,
    seen: Mutex<Option<Tls>>,
}

impl Witness {
    fn new(
        roots: &Arc<RootCertStore>,
        provider: &Arc<CryptoProvider>,
        clock: Option<Timestamp>,
    ) -> Self {
        let (roots, provider) = (Arc::clone(roots), Arc::clone(provider));
        let judge = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider));
        Self { judge: judge.build().ok(), provider, clock, seen: Mutex::default() }
    }

    fn seen(&self) -> Option<Tls> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let at = self.clock.and_then(|at| at.as_second().try_into().ok()).map(Duration::from_secs);
        let now = at.map_or(now, UnixTime::since_unix_epoch);
        let judged = self
            .judge
            .as_ref()
            .map(|judge| judge.verify_server_cert(leaf, chain, name, ocsp, now).map(|_| ()));
        let mut tls = read(leaf).unwrap_or_default();
        tls.chain = chain.iter().filter_map(|certificate| read(certificate)?.subject).collect();
        tls.verified = judged.as_ref().map(Result::is_ok);
        tls.error = judged.and_then(Result::err).map(|error| verdict(&error, name, &tls));
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(tls);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// What a certificate says.
pub(crate) fn read(certificate: &CertificateDer<'_>) -> Option<Tls> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    let names = parsed.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|names| &names.value.general_names);
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    });
    Some(Tls {
        subject: Some(parsed.subject().to_string()).filter(|subject| !subject.is_empty()),
        dns_names: Some(names.collect()),
        not_after: Timestamp::from_second(parsed.validity().not_after.timestamp()).ok(),
        ..Tls::default()
    })
}

fn address(bytes: &[u8]) -> Option<String> {
    let four = <[u8; 4]>::try_from(bytes).map(std::net::IpAddr::from);
    let six = || <[u8; 16]>::try_from(bytes).map(std::net::IpAddr::from);
    Some(four.or_else(|_| six()).ok()?.to_string())
}

/// Why a client would not trust it, in words.
fn verdict(error: &Error, name: &ServerName<'_>, tls: &Tls) -> String {
    let Error::InvalidCertificate(why) = error else { return error.to_string() };
    let host = name.to_str();
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            let since = tls.not_after.map_or_else(String::new, |at| format!(" since {at}"));
            format!("certificate expired{since}")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "certificate is not valid yet".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("certificate not valid for name {host}")
        }
        CertificateError::UnknownIssuer if tls.chain.is_empty() => {
            "certificate signed by an unknown authority, or self-signed".to_owned()
        }
        CertificateError::UnknownIssuer => "certificate signed by an unknown authority".to_owned(),
        // The names of issuer and authority are the same, their keys aren't.
        CertificateError::BadSignature => {
            "certificate signed by an authority of a trusted name, with another key".to_owned()
        }
        other if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "the certificate of an authority (isCA) is used as a server's".to_owned()
        }
        other => other.to_string(),
    }
}
