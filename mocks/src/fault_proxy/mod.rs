//! What stands before a server and lets calls go wrong.

mod fault;
pub(crate) mod forward;
mod permission;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    future,
    io::{Error, ErrorKind, Result},
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time::sleep,
};
use url::Url;

use crate::{Call, aws::wire::Errand};
pub use fault::Fault;
use forward::{Upstream, cut_off};
pub use permission::Api;
use permission::needed;

pub(crate) type Body = UnsyncBoxBody<Bytes, Error>;

/// Which calls on a route go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// All.
    Always,
    /// So many, and then no more.
    First(usize),
    /// Each so-and-so-many-th.
    Every(usize),
    /// That one alone; the first is 1.
    Only(usize),
}

/// Stands before a server that speaks HTTP/1.1, counts its calls and lets some go wrong.
pub struct FaultProxy {
    upstream: String,
    delay: Duration,
    rules: Vec<Rule>,
    api: Option<Api>,
}

/// A [`FaultProxy`] on a port of the loopback interface that ends when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    way: Arc<Way>,
    task: JoinHandle<()>,
}

struct Rule {
    calls_meant: Meant,
    times: Times,
    fault: Fault,
    calls: AtomicUsize,
}

/// Which calls a rule is about.
enum Meant {
    /// Those that have this in their route.
    Route(String),
    /// Those that take one of these permissions.
    Taking(Api, Vec<String>),
    /// Those that take another permission than these.
    TakingMore(Api, BTreeSet<String>),
}

/// What happens to every call.
struct Way {
    upstream: Upstream,
    delay: Duration,
    rules: Vec<Rule>,
    calls: Mutex<Vec<(Call, String)>>,
    /// What all calls so far have taken, by the API that it would be.
    taken: Mutex<BTreeSet<String>>,
    api: Option<Api>,
}

impl FaultProxy {
    /// Before the server at a URL, whose path goes before those of the calls.
    pub fn before(upstream_url: &str) -> Self {
        let (delay, rules, api) = (Duration::ZERO, Vec::new(), None);
        Self { upstream: upstream_url.to_owned(), delay, rules, api }
    }

    /// Notes which permissions calls take, as those of this API.
    #[must_use]
    pub fn noting(mut self, api: Api) -> Self {
        self.api = Some(api);
        self
    }

    /// Lets every call take longer.
    #[must_use]
    pub fn delay(mut self, by: Duration) -> Self {
        self.delay = by;
        self
    }

    /// Lets calls go wrong if `METHOD /path?query` contains `route`. For AWS, ` SERVICE:ACTION` is
    /// behind that, with the CLI's name of the service: `elbv2:DescribeTags`, `GET /clusters eks:`.
    /// Of several faults of a call, the one that was named first counts.
    #[must_use]
    pub fn fault(self, route: impl Into<String>, times: Times, fault: Fault) -> Self {
        self.add(Meant::Route(route.into()), times, fault)
    }

    /// Lets calls go wrong that take one of these permissions.
    #[must_use]
    pub fn fault_on(self, api: Api, permissions: &[&str], times: Times, fault: Fault) -> Self {
        let permissions = permissions.iter().map(|&permission| permission.to_owned()).collect();
        self.add(Meant::Taking(api, permissions), times, fault)
    }

    /// Denies, in the API's own words, every call that takes another permission than these.
    #[must_use]
    pub fn granting(self, api: Api, permissions: BTreeSet<String>) -> Self {
        self.add(Meant::TakingMore(api, permissions), Times::Always, Fault::Denied(api))
    }

    fn add(mut self, calls_meant: Meant, times: Times, fault: Fault) -> Self {
        self.rules.push(Rule { calls_meant, times, fault, calls: AtomicUsize::new(0) });
        self
    }

    /// Starts on a free port.
    pub async fn start(self) -> Result<Proxy> {
        let invalid = |error| Error::new(ErrorKind::InvalidInput, error);
        let upstream = Url::parse(&self.upstream).map_err(invalid)?;
        let way = Arc::new(Way {
            upstream: Upstream::at(&upstream)?,
            delay: self.delay,
            rules: self.rules,
            calls: Mutex::default(),
            taken: Mutex::default(),
            api: self.api,
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(accept(listener, Arc::clone(&way)));
        Ok(Proxy { address, way, task })
    }
}

impl Proxy {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as the beginning of a URL, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The calls so far, in the order in which they came. The status of one that was not answered,
    /// or not yet, is 0.
    pub fn calls(&self) -> Vec<Call> {
        self.way.calls().iter().map(|(call, _)| call.clone()).collect()
    }

    /// The permissions that the calls so far have taken, where they are [noted](FaultProxy::noting).
    pub fn taken(&self) -> BTreeSet<String> {
        self.way.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many calls have had `route` in theirs, as for a [fault](FaultProxy::fault).
    pub fn count(&self, route: &str) -> usize {
        self.way.calls().iter().filter(|(_, of)| of.contains(route)).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Rule {
    /// Whether this call goes wrong, which counts it.
    fn applies(&self, route: &str, call: &Call, errand: Option<&Errand>) -> bool {
        let is_meant = match &self.calls_meant {
            Meant::Route(part) => route.contains(part),
            Meant::Taking(api, permissions) => needed(*api, call, errand)
                .is_some_and(|needed| permissions.iter().any(|one| is_same(one, &needed))),
            Meant::TakingMore(api, permissions) => {
                needed(*api, call, errand).is_some_and(|needed| !permissions.contains(&needed))
            }
        };
        if !is_meant {
            return false;
        }
        let nth = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        match self.times {
            Times::Always => true,
            Times::First(first) => nth <= first,
            Times::Every(every) => every > 0 && nth.is_multiple_of(every),
            Times::Only(only) => nth == only,
        }
    }
}

/// Whether two permissions are of the same: who asks for objects may ask for them one by one.
fn is_same(one: &str, other: &str) -> bool {
    let read = |permission: &str| match permission.split_once(' ') {
        Some(("get" | "list", resource)) => Some(resource.to_owned()),
        _ => None,
    };
    let suffix = one.strip_prefix("list *");
    one == other
        || suffix.is_some_and(|suffix| other.ends_with(suffix))
        || read(one).is_some() && read(one) == read(other)
}

impl Way {
    fn calls(&self) -> MutexGuard<'_, Vec<(Call, String)>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a call that came over `socket`.
    async fn answer(
        &self,
        request: Request<Incoming>,
        socket: &TcpStream,
    ) -> Result<Response<Body>> {
        let call = Call {
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().unwrap_or_default().to_owned(),
            status: 0,
        };
        let (request, errand) = understood(request).await?;
        if let Some(taken) = self.api.and_then(|api| needed(api, &call, errand.as_ref())) {
            self.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(taken);
        }
        let route = route_of(&call, errand.as_ref());
        let nth = {
            let mut calls = self.calls();
            calls.push((call.clone(), route.clone()));
            calls.len() - 1
        };
        // Every rule counts the call, whichever of them is the one that counts.
        let applies = |rule: &&Rule| rule.applies(&route, &call, errand.as_ref());
        let mut faults: Vec<_> = self.rules.iter().filter(applies).collect();
        faults.truncate(1);
        pause(self.delay).await;
        let response = match faults.pop().map(|rule| rule.fault.clone()) {
            None => self.upstream.call(request).await?,
            Some(Fault::Delay(by)) => {
                pause(by).await;
                self.upstream.call(request).await?
            }
            Some(Fault::Truncate) => cut_off(self.upstream.call(request).await?).await?,
            Some(Fault::Hang) => future::pending().await,
            Some(Fault::Reset) => {
                socket.set_zero_linger()?;
                return Err(Error::other("reset"));
            }
            Some(Fault::Denied(api)) => {
                let needed = needed(api, &call, errand.as_ref()).unwrap_or_default();
                let fault = Fault::denial(api, &needed);
                fault.answer(&errand.unwrap_or_default()).map_err(Error::other)?
            }
            Some(fault) => fault.answer(&errand.unwrap_or_default()).map_err(Error::other)?,
        };
        self.calls()[nth].0.status = response.status().as_u16();
        Ok(response)
    }
}

fn route_of(call: &Call, errand: Option<&Errand>) -> String {
    let Call { method, path, query, .. } = call;
    let mark = if query.is_empty() { "" } else { "?" };
    let errand = errand.map(|errand| format!(" {errand}")).unwrap_or_default();
    format!("{method} {path}{mark}{query}{errand}")
}

/// The request, and what it is for at AWS. That is in the body only of forms, which are read.
async fn understood(request: Request<Incoming>) -> Result<(Request<Body>, Option<Errand>)> {
    let (head, body) = request.into_parts();
    let kind = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if !kind.starts_with(b"application/x-www-form-urlencoded") {
        let errand = Errand::of(&head.headers, &[]);
        let body = body.map_err(Error::other).boxed_unsync();
        return Ok((Request::from_parts(head, body), errand));
    }
    let body = body.collect().await.map_err(Error::other)?.to_bytes();
    let errand = Errand::of(&head.headers, &body);
    Ok((Request::from_parts(head, whole(body)), errand))
}

async fn pause(by: Duration) {
    if !by.is_zero() {
        sleep(by).await;
    }
}

async fn accept(listener: TcpListener, way: Arc<Way>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let way = Arc::clone(&way);
        connections.spawn(async move {
            // A client that goes away, and a connection that was cut on purpose, are no matter.
            let _ = serve(stream, way).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, way: Arc<Way>) -> Result<()> {
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    // hyper keeps the one for itself; with the other, how it ends can still be said.
    let socket = Arc::new(TcpStream::from_std(stream.try_clone()?)?);
    let stream = TcpStream::from_std(stream)?;
    let service = service_fn(move |request| {
        let (way, socket) = (Arc::clone(&way), Arc::clone(&socket));
        async move { way.answer(request, &socket).await }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    connection.with_upgrades().await.map_err(Error::other)
}

pub(crate) fn whole(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).map_err(|never| match never {}).boxed_unsync()
}
