//! Google's REST APIs, routed and checked by the documents in which Google describes them.

mod call;
mod certificatemanager;
mod compute;
mod container;
mod dns;
mod documents;
mod failure;
mod holdings;
mod logging;
mod page;
mod schema;
#[cfg(test)]
mod tests;
mod tokens;

use std::{io, sync::Arc};

use axum::{body::Body, extract::Request, response::Response};
use http::{StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};

use crate::{Served, Server, server::Seen};

use call::Call;
pub use documents::Documents;
use failure::Failure;
use holdings::Holdings;
pub use tokens::TokenMock;

/// More than any request of ours; a larger one is taken for an empty one.
const LARGEST_BODY: usize = 1 << 20;

/// A bundle as Google's APIs of Compute Engine, Kubernetes Engine, Cloud Logging, Cloud DNS and
/// Certificate Manager, all on one port: their paths differ.
pub struct GoogleMock {
    served: Served,
    documents: Arc<Documents>,
    page_size: usize,
}

impl GoogleMock {
    /// Answers from a bundle, as the documents say.
    pub fn new(served: Served, documents: Arc<Documents>) -> Self {
        Self { served, documents, page_size: usize::MAX }
    }

    /// Puts no more than so many items on a page, also where more are asked for.
    #[must_use]
    pub fn page_size(self, page_size: usize) -> Self {
        Self { page_size: page_size.max(1), ..self }
    }

    /// Starts to serve.
    pub async fn start(self) -> io::Result<Server> {
        let seen = Arc::new(Seen::default());
        let cloud = Arc::new(Cloud {
            holdings: Holdings::of(self.served),
            documents: self.documents,
            page_size: self.page_size,
            seen: Arc::clone(&seen),
        });
        let answer = move |request| {
            let cloud = Arc::clone(&cloud);
            async move { cloud.answer(request).await }
        };
        Server::start(seen, answer).await
    }
}

/// What is behind the port.
struct Cloud {
    holdings: Holdings,
    documents: Arc<Documents>,
    page_size: usize,
    seen: Arc<Seen>,
}

impl Cloud {
    async fn answer(&self, request: Request<Body>) -> Response {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, LARGEST_BODY).await.unwrap_or_default();
        let (method, path) = (head.method.as_str(), head.uri.path());
        let asked = || format!("{method} {}", head.uri);
        let Some(route) = self.documents.find(method, path) else {
            self.seen.note_unknown(format!("{}: no such method", asked()));
            let failure = Failure::unknown("no API has this method");
            return reply(failure.status(), &failure.body("", ""));
        };
        let project = route.project().unwrap_or_default().to_owned();
        let api = &route.api.name;
        let query = head.uri.query().unwrap_or_default();
        // Calls without a token come over plain HTTP, where none is to be shown.
        let allowed = match TokenMock::scopes(&head.headers) {
            Some(scopes) if !route.method.scopes.iter().any(|scope| scopes.contains(scope)) => {
                Err(Failure::OutOfScope)
            }
            _ => Ok(()),
        };
        let checked = allowed.and_then(|()| Call::check(route, path, query, &body));
        match checked.and_then(|call| self.respond(&call)) {
            Ok(value) => reply(StatusCode::OK, &value),
            Err(failure) => {
                if let Some(why) = failure.unknown_because() {
                    self.seen.note_unknown(format!("{}: {why}", asked()));
                }
                reply(failure.status(), &failure.body(api, &project))
            }
        }
    }

    fn respond(&self, call: &Call<'_>) -> Result<Value, Failure> {
        if let Some(project) = call.route.project() {
            self.holdings.check_project(project)?;
        }
        let answer = match call.route.api.name.as_str() {
            "certificatemanager" => certificatemanager::answer(self, call),
            "compute" => compute::answer(self, call),
            "container" => container::answer(self, call),
            "dns" => dns::answer(self, call),
            "logging" => logging::answer(self, call),
            _ => Err(call.unanswered()),
        };
        Ok(call.route.api.schemas.fit_response(&call.route.method.response, answer?))
    }
}

fn reply(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json; charset=UTF-8");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// What follows `marker` in a URL, up to the next slash.
fn after<'a>(url: &'a str, marker: &str) -> Option<&'a str> {
    let rest = &url[url.find(marker)? + marker.len()..];
    rest.split('/').next().filter(|found| !found.is_empty())
}

/// An answer that lists `items` under a name, page by page.
fn listed(name: &str, (items, next): (Vec<Value>, Option<String>)) -> Value {
    let mut answer = json!({ name: items });
    if let Some(next) = next {
        answer["nextPageToken"] = json!(next);
    }
    answer
}
