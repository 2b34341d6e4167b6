use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{Router, body::Body, extract::Request, response::Response};
use tokio::{net::TcpListener, task::JoinHandle};

/// One call that a server got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// `GET`, `POST`, …
    pub method: String,
    /// The path.
    pub path: String,
    /// The query, as it came; empty where there is none.
    pub query: String,
    /// The status of the answer.
    pub status: u16,
}

/// The headers of one call, names in lower case.
pub type Headers = Vec<(String, String)>;

/// A server on a port of the loopback interface that ends when it is dropped.
pub struct Server {
    address: SocketAddr,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

/// What a server has noted.
#[derive(Default)]
pub(crate) struct Seen {
    calls: Mutex<Vec<Call>>,
    headers: Mutex<Vec<Headers>>,
    asked: Mutex<Vec<String>>,
    unknown: Mutex<Vec<String>>,
}

impl Seen {
    /// Notes what a call asks for, where method and path don't say it.
    pub(crate) fn note_asked(&self, what: impl Into<String>) {
        lock(&self.asked).push(what.into());
    }

    /// Notes a call that no real server would have been sent: an unknown route or parameter, a body
    /// that breaks the API's schema.
    pub(crate) fn note_unknown(&self, what: impl Into<String>) {
        lock(&self.unknown).push(what.into());
    }
}

impl Server {
    /// Starts on a free port. Every call goes to `answer`, and is noted.
    pub(crate) async fn start<F, A>(seen: Arc<Seen>, answer: F) -> std::io::Result<Self>
    where
        F: Fn(Request<Body>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let noted = Arc::clone(&seen);
        let service = move |request: Request<Body>| {
            let noted = Arc::clone(&noted);
            let (method, uri) = (request.method().to_string(), request.uri().clone());
            let headers = request.headers().iter();
            let text = |value: &http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
            let headers = headers.map(|(name, value)| (name.to_string(), text(value))).collect();
            lock(&noted.headers).push(headers);
            let answer = answer(request);
            async move {
                let response = answer.await;
                let (path, query) = (uri.path().to_owned(), uri.query().unwrap_or_default());
                let status = response.status().as_u16();
                let call = Call { method, path, query: query.to_owned(), status };
                lock(&noted.calls).push(call);
                response
            }
        };
        let app = Router::new().fallback(service);
        let task = tokio::spawn(async move {
            // It ends by being dropped.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { address, seen, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as the beginning of a URL, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The calls so far, in the order of their answers.
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.seen.calls).clone()
    }

    /// The headers of the calls so far.
    pub fn headers(&self) -> Vec<Headers> {
        lock(&self.seen.headers).clone()
    }

    /// What AWS was asked so far: `elbv2 DescribeTags us-west-2 {"ResourceArns":[…]}`.
    pub fn asked(&self) -> Vec<String> {
        lock(&self.seen.asked).clone()
    }

    /// What was asked that a real server would not know: a test fails if there is any.
    pub fn unknown(&self) -> Vec<String> {
        lock(&self.seen.unknown).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
