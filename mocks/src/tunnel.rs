//! A way to servers that are reached by their real names.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::server::lock;

/// Longer than any request to be let through.
const LONGEST_HEAD: usize = 8 << 10;

/// A proxy as `HTTPS_PROXY` names one. It makes the handshake of the hosts that it knows, hands what
/// they are asked to servers on this machine, and lets nobody through to any other.
pub struct Tunnel {
    address: SocketAddr,
    certificate: String,
    refused: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

struct Hosts {
    servers: BTreeMap<String, SocketAddr>,
    handshake: TlsAcceptor,
    refused: Arc<Mutex<Vec<String>>>,
}

impl Tunnel {
    /// Starts on a free port, for these hosts, each with the server that answers for it.
    pub async fn to<'a>(
        servers: impl IntoIterator<Item = (&'a str, SocketAddr)>,
    ) -> io::Result<Self> {
        let servers: BTreeMap<_, _> =
            servers.into_iter().map(|(host, server)| (host.to_owned(), server)).collect();
        let (handshake, certificate) = handshake(&servers).map_err(io::Error::other)?;
        let refused = Arc::default();
        let hosts = Arc::new(Hosts { servers, handshake, refused: Arc::clone(&refused) });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let hosts = Arc::clone(&hosts);
                // A client that leaves in the middle needs no answer.
                tokio::spawn(async move { hosts.let_through(stream).await.ok() });
            }
        });
        Ok(Self { address, certificate, refused, task })
    }

    /// Where it listens, as `HTTPS_PROXY` has it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The certificate of all hosts, which is to be trusted.
    pub fn pem(&self) -> &str {
        &self.certificate
    }

    /// To whom else somebody wanted to be let through.
    pub fn refused(&self) -> Vec<String> {
        lock(&self.refused).clone()
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hosts {
    async fn let_through(&self, mut client: TcpStream) -> io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") && head.len() < LONGEST_HEAD {
            head.push(client.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head);
        let asked = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
        let host = asked.and_then(|asked| asked.strip_suffix(":443")).unwrap_or_default();
        let Some(server) = self.servers.get(host) else {
            lock(&self.refused).push(head.lines().next().unwrap_or_default().to_owned());
            return client.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
        };
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
        let mut client = self.handshake.accept(client).await?;
        let mut server = TcpStream::connect(server).await?;
        copy_bidirectional(&mut client, &mut server).await.map(|_| ())
    }
}

fn handshake(
    hosts: &BTreeMap<String, SocketAddr>,
) -> Result<(TlsAcceptor, String), Box<dyn std::error::Error + Send + Sync>> {
    let key = KeyPair::generate()?;
    let names: Vec<_> = hosts.keys().cloned().collect();
    let certificate = CertificateParams::new(names)?.self_signed(&key)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions()?.with_no_client_auth();
    let config = config.with_single_cert(vec![certificate.der().clone()], key)?;
    Ok((TlsAcceptor::from(Arc::new(config)), certificate.pem()))
}
