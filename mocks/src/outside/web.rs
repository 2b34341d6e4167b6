use std::{collections::BTreeMap, io, sync::Arc};

use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header::HOST};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rustls::{ServerConfig, server::Acceptor};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::LazyConfigAcceptor;
use url::Url;

use super::{
    Notes,
    certificates::Authority,
    probes::{Probe, Probes, carries_credentials},
};

/// All the web servers there are.
pub(super) struct Web {
    probes: Probes,
    /// How each host makes its handshake; none: it closes the connection.
    hosts: BTreeMap<String, Option<Arc<ServerConfig>>>,
    notes: Arc<Notes>,
}

impl Web {
    pub(super) fn of(probes: Probes, authority: &Authority, notes: Arc<Notes>) -> io::Result<Self> {
        let configure = |host: &str| {
            let config = probes.handshake(host).map(|probe| authority.configure(probe));
            let config = config.transpose().map_err(io::Error::other)?;
            Ok((host.to_owned(), config.map(Arc::new)))
        };
        let hosts = probes.tls_hosts().into_iter().map(configure).collect::<io::Result<_>>()?;
        Ok(Self { probes, hosts, notes })
    }

    /// Takes connections without TLS.
    pub(super) async fn serve_plain(self: Arc<Self>, listener: TcpListener) {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let web = Arc::clone(&self);
            tokio::spawn(async move { web.answer("http", stream).await });
        }
    }

    /// Takes connections with TLS.
    pub(super) async fn serve_tls(self: Arc<Self>, listener: TcpListener) {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let web = Arc::clone(&self);
            tokio::spawn(async move { web.shake_hands(stream).await });
        }
    }

    async fn shake_hands(&self, stream: TcpStream) {
        let Ok(start) = LazyConfigAcceptor::new(Acceptor::default(), stream).await else { return };
        let host = start.client_hello().server_name().unwrap_or_default().to_owned();
        match self.hosts.get(&host) {
            Some(Some(config)) => {
                // A client that isn't convinced leaves in the middle of it.
                if let Ok(stream) = start.into_stream(Arc::clone(config)).await {
                    self.answer("https", stream).await;
                }
            }
            Some(None) => {}
            None => self.notes.note_unasked(format!("https://{host}/")),
        }
    }

    /// Answers one request.
    async fn answer<S>(&self, scheme: &str, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let service = service_fn(|request| std::future::ready(self.respond(scheme, &request)));
        let mut server = http1::Builder::new();
        server.keep_alive(false).auto_date_header(false);
        // The error is the one that `respond` asks for, or the client's.
        let _ = server.serve_connection(TokioIo::new(stream), service).await;
    }

    /// The answer; an error: the connection is to be closed.
    fn respond(
        &self,
        scheme: &str,
        request: &Request<Incoming>,
    ) -> io::Result<Response<Full<Bytes>>> {
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let url = format!("{scheme}://{}{path}", host.unwrap_or_default());
        let credentials = request.headers().keys().any(|name| carries_credentials(name.as_str()));
        let method = request.method().as_str();
        let found = Url::parse(&url).ok();
        let found = found.and_then(|url| self.probes.find(method, &url, credentials));
        let Some(probe) = found else {
            let with = if credentials { " with credentials" } else { "" };
            self.notes.note_unasked(format!("{method} {url}{with}"));
            self.notes.note_call(method, &url, StatusCode::NOT_IMPLEMENTED.as_u16());
            let mut response = Response::new(Full::from("no probe of the bundle asks this\n"));
            *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
            return Ok(response);
        };
        self.notes.note_call(method, &url, probe.status.unwrap_or_default());
        probe.response().ok_or_else(|| io::ErrorKind::ConnectionReset.into())
    }
}

impl Probe {
    /// None: it got no answer.
    fn response(&self) -> Option<Response<Full<Bytes>>> {
        let mut response = Response::new(Full::from(self.body.clone()));
        *response.status_mut() = StatusCode::from_u16(self.status?).ok()?;
        for (name, value) in &self.headers {
            let header = (name.parse::<HeaderName>(), HeaderValue::from_str(value));
            if let (Ok(name), Ok(value)) = header {
                response.headers_mut().append(name, value);
            }
        }
        Some(response)
    }
}
