//! AWS's services, routed and checked by the models in which AWS describes them.

pub(crate) mod failure;
mod fit;
mod form;
mod holdings;
mod json;
mod models;
mod operations;
pub(crate) mod page;
pub(crate) mod request;
mod shape;
#[cfg(test)]
mod tests;
mod tokens;
mod validate;
pub(crate) mod wire;
pub(crate) mod words;
mod xml;

use std::{io, sync::Arc};

use axum::{body::Body, extract::Request, response::Response};
use http::StatusCode;
use serde_json::{Value, json};

use crate::{Served, Server, server::Seen};

use failure::Failure;
use fit::Fit;
use holdings::Holdings;
pub use models::Models;
use models::Protocol;
use request::{Asked, Call};
pub use tokens::{KEYS, TOKENS};
use wire::REQUEST_ID;
use xml::element;

/// More than any request of ours; a larger one is taken for an empty one.
const LARGEST_BODY: usize = 1 << 20;

/// A bundle as AWS's services, all on one port: their requests differ.
pub struct AwsMock {
    served: Served,
    models: Arc<Models>,
    page_size: usize,
}

impl AwsMock {
    /// Answers from a bundle, as the models say.
    pub fn new(served: Served, models: Arc<Models>) -> Self {
        Self { served, models, page_size: usize::MAX }
    }

    /// Puts no more than so many items on a page, also where more are asked for.
    #[must_use]
    pub fn pages_of(self, page_size: usize) -> Self {
        Self { page_size: page_size.max(1), ..self }
    }

    /// Starts to serve.
    pub async fn start(self) -> io::Result<Server> {
        let seen = Arc::new(Seen::default());
        let cloud = Arc::new(Cloud {
            holdings: Holdings::of(self.served),
            models: self.models,
            page_size: self.page_size,
            seen: Arc::clone(&seen),
        });
        let answer = move |request| {
            let cloud = Arc::clone(&cloud);
            async move { cloud.answer(request).await.map(Body::from) }
        };
        Server::start(seen, answer).await
    }
}

/// What is behind the port.
struct Cloud {
    holdings: Holdings,
    models: Arc<Models>,
    page_size: usize,
    seen: Arc<Seen>,
}

impl Cloud {
    async fn answer(&self, request: Request<Body>) -> Response<String> {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, LARGEST_BODY).await.unwrap_or_default();
        let asked = Asked::of(head, body);
        if let Some(credentials) = asked.credentials_for_token() {
            return credentials;
        }
        let route = asked.route(&self.models);
        let (service, operation) = match &route {
            Ok(route) => (Some(route.service), Some(route.operation)),
            Err(_) => (None, None),
        };
        let call = route.and_then(|route| asked.check(route));
        match call.and_then(|call| self.respond(&call)) {
            Ok(response) => response,
            Err(failure) => {
                if let Some(why) = failure.unknown_because() {
                    self.seen.note_unknown(format!("{}: {why}", asked.named()));
                }
                failure.answer(service, operation)
            }
        }
    }

    fn respond(&self, call: &Call<'_>) -> Result<Response<String>, Failure> {
        let Call { service, operation, region, input } = call;
        self.seen.note_asked(format!("{} {} {region} {input}", service.name, operation.name));
        let given = operations::answer(self, call)?;
        Ok(write(call, given, &self.seen))
    }
}

/// An answer on the wire, as the model of the call's service has it. What doesn't fit is noted.
pub(crate) fn write(call: &Call<'_>, given: Value, seen: &Seen) -> Response<String> {
    let Call { service, operation, .. } = call;
    let shape = service.output(operation);
    let mut fit = Fit { encoded: service.name == "iam", wrong: Vec::new() };
    let given = fit.fit(shape, given, &operation.name).unwrap_or_else(|| json!({}));
    for wrong in fit.wrong {
        seen.note_unknown(format!("the bundle's {wrong}"));
    }
    let xml = || {
        let inside = xml::content(shape, &given);
        let wrapper = &operation.wrapper;
        if wrapper.is_empty() { inside } else { element(wrapper, &inside) }
    };
    let (content_type, body) = match service.protocol {
        Protocol::Json => ("application/x-amz-json-1.1", json::write(shape, given).to_string()),
        Protocol::RestJson => ("application/json", json::write(shape, given).to_string()),
        Protocol::Query => {
            let id = element("ResponseMetadata", &element("RequestId", REQUEST_ID));
            ("text/xml", self::document(call, &(xml() + &id)))
        }
        Protocol::Ec2 => {
            let id = element("requestId", REQUEST_ID);
            ("text/xml;charset=UTF-8", self::document(call, &(id + &xml())))
        }
        Protocol::RestXml => ("text/xml", self::document(call, &xml())),
    };
    wire::answer(StatusCode::OK, content_type, body)
}

/// The whole document, with what is inside its outermost element.
fn document(call: &Call<'_>, inside: &str) -> String {
    let (name, namespace) = (&call.operation.name, &call.service.namespace);
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <{name}Response xmlns=\"{namespace}\">{inside}</{name}Response>"
    )
}

/// The text that a bundle's item has under a name; empty where it has none.
fn text<'a>(item: &'a Value, name: &str) -> &'a str {
    item[name].as_str().unwrap_or_default()
}
