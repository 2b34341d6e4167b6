//! A request, layer by layer, so that what fails names its layer: `dns`, `connect`, `tls`, `http`.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use http_body_util::{BodyExt, Empty};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use kfcheck::{Cx, FactError, Fault, wire};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use url::{Host, Url};

use crate::{DnsAnswer, HttpAnswer, Outside, Way, outside::LAYER, tls::shake_hands};

/// How long the answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// How much of a body is kept, in bytes.
const SNIPPET: usize = 1024;
/// How many addresses of a name are tried.
const ADDRESSES: usize = 3;

/// A request to make.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The whole URL.
    pub url: String,
    /// Headers beside `Host` and `User-Agent`.
    pub headers: BTreeMap<String, String>,
    /// Where to connect instead of where the name leads.
    pub address: Option<IpAddr>,
}

impl Ask {
    /// A plain request for `url`.
    pub fn get(url: &str) -> Self {
        Self { url: url.to_owned(), headers: BTreeMap::new(), address: None }
    }
}

impl Outside {
    /// Makes the request. It follows no redirect, and an answer that never came is an answer that
    /// says why.
    pub async fn ask(&self, ask: &Ask) -> Result<HttpAnswer, Fault> {
        let (url, port) = parse(ask)?;
        let connecting = async {
            let addresses = match (ask.address, url.host()) {
                (Some(address), _) => vec![address],
                (None, Some(Host::Ipv4(address))) => vec![IpAddr::from(address)],
                (None, Some(Host::Ipv6(address))) => vec![IpAddr::from(address)],
                (None, Some(Host::Domain(name))) => self.addresses(name).await?,
                (None, None) => Vec::new(),
            };
            self.connect(&addresses, port).await
        };
        self.answer(ask, &url, connecting, None).await
    }

    /// The same from where it can be made: what only the cluster knows by name is reached through
    /// the cluster, where there is a way.
    pub(crate) async fn ask_anywhere(&self, cx: &Cx, ask: &Ask) -> Result<HttpAnswer, FactError> {
        let (url, port) = parse(ask)?;
        let host = url.host_str().unwrap_or_default();
        let way = match &self.inside {
            Some(inside) if is_service(host) => inside.reach(cx, "", host, port).await?,
            _ => None,
        };
        let (stream, through) = match way {
            None => return Ok(self.ask(ask).await?),
            Some(Way::Open { stream, through, .. }) => (Ok(stream), through),
            Some(Way::Closed { why, through }) => (Err(why), through),
        };
        Ok(self.answer(ask, &url, async { stream }, through).await?)
    }

    /// What is answered over a connection, or why there is none.
    async fn answer<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        ask: &Ask,
        url: &Url,
        connecting: impl Future<Output = Result<S, String>>,
        note: Option<String>,
    ) -> Result<HttpAnswer, Fault> {
        let mut answer = json!({ "url": ask.url, "method": "GET", "requestHeaders": ask.headers,
            "note": note });
        let outcome = async {
            let stream = connecting.await?;
            if url.scheme() == "http" {
                return send(stream, url, ask).await;
            }
            let name = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
            let shaken =
                tokio::time::timeout(LAYER, shake_hands(stream, name, &self.roots, self.clock))
                    .await;
            match shaken {
                Ok(Ok((stream, tls))) => {
                    answer["tls"] = json!(tls);
                    send(stream, url, ask).await
                }
                Ok(Err((error, tls))) => {
                    answer["tls"] = tls.map_or(json!(null), |tls| json!(tls));
                    Err(format!("tls: {error}"))
                }
                Err(_) => Err(format!("tls: no answer within {LAYER:?}")),
            }
        };
        match outcome.await {
            Ok(Got { status, headers, body }) => {
                answer["status"] = status.into();
                answer["headers"] = json!(headers);
                answer["bodySnippet"] = body.map_or(json!(null), Into::into);
            }
            Err(error) => answer["error"] = error.into(),
        }
        // Read as a bundle is, so that secrets are taken out in one place.
        wire::read(answer).map_err(|error| Fault::Bug(format!("a probe's answer: {error}")))
    }

    pub(crate) async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        let answers = self.resolver.resolve(name).await;
        let addresses: Vec<_> =
            DnsAnswer::addresses(&answers).iter().filter_map(|text| text.parse().ok()).collect();
        if addresses.is_empty() {
            return Err(format!("dns: {}", DnsAnswer::errors(&answers).join(", ")));
        }
        Ok(addresses)
    }

    pub(crate) async fn connect(
        &self,
        addresses: &[IpAddr],
        port: u16,
    ) -> Result<tokio::net::TcpStream, String> {
        let mut failed = String::new();
        for address in addresses.iter().take(ADDRESSES) {
            let address = SocketAddr::new(*address, port);
            match tokio::time::timeout(LAYER, self.dialer.dial(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failed = format!("connect: {address}: {error}"),
                Err(_) => failed = format!("connect: {address}: no answer within {LAYER:?}"),
            }
        }
        Err(failed)
    }
}

/// What is asked, and the port to ask at.
fn parse(ask: &Ask) -> Result<(Url, u16), Fault> {
    let wrong = |says: &str| Fault::Bug(format!("{} is no URL to ask: {says}", ask.url));
    let url = Url::parse(&ask.url).map_err(|error| wrong(&error.to_string()))?;
    if url.host().is_none() {
        return Err(wrong("it has no host"));
    }
    let port = url.port_or_known_default().ok_or_else(|| wrong("it has no port"))?;
    Ok((url, port))
}

/// Whether a host is a Service's name beyond doubt, which this machine does not know (Kubernetes
/// documentation, "DNS for Services and Pods").
fn is_service(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    host.ends_with(".svc") || host.contains(".svc.")
}

struct Got {
    status: u16,
    headers: BTreeMap<String, Vec<String>>,
    body: Option<String>,
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    url: &Url,
    ask: &Ask,
) -> Result<Got, String> {
    let exchange = async {
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| said(&error))?;
        // It ends with the answer, or is dropped with it.
        let connection = tokio::spawn(connection);
        let got = exchange(&mut sender, url, ask).await;
        connection.abort();
        got
    };
    let late = |_| format!("http: no answer within {ANSWER:?}");
    tokio::time::timeout(ANSWER, exchange).await.map_err(late)?
}

async fn exchange(
    sender: &mut http1::SendRequest<Empty<Bytes>>,
    url: &Url,
    ask: &Ask,
) -> Result<Got, String> {
    let authority = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
        None => url.host_str().unwrap_or_default().to_owned(),
    };
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let mut request = Request::get(target)
        .header("host", authority)
        .header("user-agent", concat!("kfcheck/", env!("CARGO_PKG_VERSION")))
        .header("accept", "*/*");
    for (name, value) in &ask.headers {
        request = request.header(name, value);
    }
    let request = request.body(Empty::new()).map_err(|error| format!("http: {error}"))?;
    let answer = sender.send_request(request).await.map_err(|error| said(&error))?;
    let (parts, mut body) = answer.into_parts();
    let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in &parts.headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers.entry(name.as_str().to_owned()).or_default().push(value);
    }
    let mut bytes = Vec::new();
    // What comes of a body that breaks off is worth more than the break.
    while let Some(Ok(frame)) = body.frame().await
        && bytes.len() < SNIPPET
    {
        bytes.extend(frame.data_ref().into_iter().flatten());
    }
    bytes.truncate(SNIPPET);
    let body = String::from_utf8_lossy(&bytes).into_owned();
    let body = Some(body).filter(|body| !body.is_empty());
    Ok(Got { status: parts.status.as_u16(), headers, body })
}

fn said(error: &hyper::Error) -> String {
    let source = std::error::Error::source(error);
    let source = source.map_or_else(String::new, |source| format!(": {source}"));
    format!("http: {error}{source}")
}
