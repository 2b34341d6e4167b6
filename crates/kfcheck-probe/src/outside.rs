//! The way to the outside: who answers for names, who makes connections, whom TLS trusts.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig},
    lookup::Lookup,
    net::{DnsError, NetError, NoRecords, runtime::TokioRuntimeProvider},
    proto::{op::ResponseCode, rr::RData, rr::RecordType},
};
use jiff::Timestamp;
use kfcheck::{Fault, async_trait};
use rustls::{RootCertStore, pki_types::CertificateDer};
use tokio::net::TcpStream;

use crate::{ArpAnswer, ArpWire, DnsAnswer, ReachServices};

/// How long one layer may take: a name, a connection, a handshake.
pub(crate) const LAYER: Duration = Duration::from_secs(5);
/// How long a name server may take, and how often it is asked.
const NAME_SERVER: (Duration, usize) = (Duration::from_secs(2), 2);

/// What looks at a deployment from outside. Resolver, dialer, who asks on the wire and the way into
/// the cluster are replaceable.
pub struct Outside {
    pub(crate) arp: Arc<dyn AskArp>,
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) dialer: Arc<dyn Dial>,
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) clock: Option<Timestamp>,
    pub(crate) inside: Option<Arc<dyn ReachServices>>,
}

/// Answers for names.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// The records of a name, by type.
    async fn resolve(&self, name: &str) -> Vec<DnsAnswer>;
}

/// Makes connections.
#[async_trait]
pub trait Dial: Send + Sync {
    /// A connection to `address`.
    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream>;
}

/// Asks on the wire who has an address.
#[async_trait]
pub trait AskArp: Send + Sync {
    /// Who answers for `address`; or why nobody can be asked.
    async fn ask(&self, address: &str) -> Result<ArpAnswer, Fault>;
}

impl Outside {
    /// This machine's name servers, or the one given; direct connections; the certificate
    /// authorities that this machine trusts.
    pub fn new(name_server: Option<SocketAddr>) -> Result<Self, Fault> {
        let resolver = NameServers::new(name_server).map_err(|error| {
            Fault::Unreachable(format!(
                "this machine's name servers can't be found: {error}; name one with --dns-server"
            ))
        })?;
        let mut roots = RootCertStore::empty();
        // What can't be read is not trusted; with none at all, no verdict is given.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Ok(Self {
            arp: Arc::new(ArpWire::default()),
            resolver: Arc::new(resolver),
            dialer: Arc::new(Direct),
            roots: Arc::new(roots),
            clock: None,
            inside: None,
        })
    }

    /// Asks another resolver.
    #[must_use]
    pub fn resolver(mut self, resolver: impl Resolve + 'static) -> Self {
        self.resolver = Arc::new(resolver);
        self
    }

    /// Has another dialer make the connections.
    #[must_use]
    pub fn dialer(mut self, dialer: impl Dial + 'static) -> Self {
        self.dialer = Arc::new(dialer);
        self
    }

    /// Has another one ask on the wire.
    #[must_use]
    pub fn arp(mut self, arp: impl AskArp + 'static) -> Self {
        self.arp = Arc::new(arp);
        self
    }

    /// Reaches what only a cluster knows by name through that cluster.
    #[must_use]
    pub fn inside(mut self, inside: impl ReachServices + 'static) -> Self {
        self.inside = Some(Arc::new(inside));
        self
    }

    /// Judges certificates as at this time.
    #[must_use]
    pub fn at(mut self, time: Timestamp) -> Self {
        self.clock = Some(time);
        self
    }

    /// Trusts a certificate authority as well.
    #[must_use]
    pub fn trusting(mut self, authority: CertificateDer<'static>) -> Self {
        let mut roots = (*self.roots).clone();
        roots.add_parsable_certificates([authority]);
        self.roots = Arc::new(roots);
        self
    }
}

struct Direct;

#[async_trait]
impl Dial for Direct {
    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(address).await
    }
}

/// Sends every connection to one address, whatever it is for: a tunnel, or a stand-in.
pub struct Through {
    /// Where connections for TLS go.
    pub tls: SocketAddr,
    /// Where the others go.
    pub plain: SocketAddr,
}

#[async_trait]
impl Dial for Through {
    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let is_plain = address.port() == 80;
        TcpStream::connect(if is_plain { self.plain } else { self.tls }).await
    }
}

struct NameServers(TokioResolver);

impl NameServers {
    fn new(name_server: Option<SocketAddr>) -> Result<Self, NetError> {
        let mut builder = match name_server {
            None => TokioResolver::builder_tokio()?,
            Some(address) => {
                let at_port = |mut connection: ConnectionConfig| {
                    connection.port = address.port();
                    connection
                };
                let mut server = NameServerConfig::udp_and_tcp(address.ip());
                server.connections = server.connections.into_iter().map(at_port).collect();
                let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let options = builder.options_mut();
        (options.timeout, options.attempts) = NAME_SERVER;
        // What this machine alone believes is not what users see.
        options.use_hosts_file = ResolveHosts::Never;
        options.preserve_intermediates = true;
        Ok(Self(builder.build()?))
    }

    async fn lookup(&self, name: &str, kind: RecordType) -> Result<Lookup, NetError> {
        // A dot at the end keeps the machine's search domains out of it.
        let whole = format!("{}.", name.trim_end_matches('.'));
        self.0.lookup(whole, kind).await
    }
}

#[async_trait]
impl Resolve for NameServers {
    async fn resolve(&self, name: &str) -> Vec<DnsAnswer> {
        let (four, six) = futures::future::join(
            self.lookup(name, RecordType::A),
            self.lookup(name, RecordType::AAAA),
        )
        .await;
        let mut aliases = Vec::new();
        for lookup in [&four, &six].into_iter().flatten() {
            let found = lookup.answers().iter().filter_map(|record| match &record.data {
                RData::CNAME(target) => Some(target.to_string().trim_end_matches('.').to_owned()),
                _ => None,
            });
            aliases.extend(found.filter(|target| !aliases.contains(target)).collect::<Vec<_>>());
        }
        let mut all = vec![answer(name, "A", &four)];
        let six = answer(name, "AAAA", &six);
        // Most names have none, which is worth no word.
        if six.answers.is_some() || all[0].answers.is_none() && six.error != all[0].error {
            all.push(six);
        }
        if !aliases.is_empty() {
            let kind = "CNAME".to_owned();
            let name = name.to_owned();
            all.push(DnsAnswer { name, kind, answers: Some(aliases), error: None });
        }
        all
    }
}

fn answer(name: &str, kind: &str, lookup: &Result<Lookup, NetError>) -> DnsAnswer {
    let (name, kind) = (name.to_owned(), kind.to_owned());
    let records = match lookup {
        Ok(lookup) => lookup.answers().iter(),
        Err(error) => return DnsAnswer { name, kind, answers: None, error: Some(word(error)) },
    };
    let mut answers: Vec<_> = records
        .filter_map(|record| match &record.data {
            RData::A(address) => Some(address.to_string()),
            RData::AAAA(address) => Some(address.to_string()),
            _ => None,
        })
        .collect();
    answers.sort();
    let error = answers.is_empty().then(|| "NODATA".to_owned());
    DnsAnswer { name, kind, answers: Some(answers).filter(|all| !all.is_empty()), error }
}

/// Why there are no records, in the words of name servers.
fn word(error: &NetError) -> String {
    match error {
        NetError::Timeout => "timeout".to_owned(),
        NetError::Dns(DnsError::NoRecordsFound(NoRecords { response_code, .. })) => {
            match response_code {
                ResponseCode::NoError => "NODATA".to_owned(),
                code => code_word(*code),
            }
        }
        NetError::Dns(DnsError::ResponseCode(code)) => code_word(*code),
        other => other.to_string(),
    }
}

fn code_word(code: ResponseCode) -> String {
    match code {
        ResponseCode::NXDomain => "NXDOMAIN".to_owned(),
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        other => other.to_string(),
    }
}
