//! A Kubernetes API server that serves a bundle, for clients that only read; but for a pod of their
//! own to ask ARP from.

mod access;
mod discovery;
mod exec;
mod failure;
mod forward;
mod installed;
mod list;
mod log;
mod made;
mod query;
mod select;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod wire;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, atomic::AtomicUsize},
};

use axum::{body::Body, extract::Request, response::Response};
use http::{HeaderValue, Method, StatusCode, header::CONTENT_TYPE, request::Parts};
use serde_json::{Value, json};

use crate::{Served, Server, server::Seen};
use failure::Failure;
use installed::{Installed, Resource};
use made::Made;
use query::Query;

/// A kubeconfig of one context that leads to the API server at `server`, without credentials.
pub fn kubeconfig(server: &str, context: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Config",
        "clusters": [{ "name": "c", "cluster": { "server": server } }],
        "users": [{ "name": "u", "user": {} }],
        "contexts": [{ "name": context, "context": { "cluster": "c", "user": "u" } }],
        "current-context": context })
}

/// A kind that an API server has installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its API group; empty for Pods, Services and what else there was from the beginning.
    pub group: String,
    /// Its version in this group, for example `v1beta1`.
    pub version: String,
    /// For example `Ingress`.
    pub kind: String,
    /// For example `ingresses`.
    pub plural: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

/// Serves a bundle as a Kubernetes API server, over plain HTTP.
pub struct KubernetesMock {
    served: Served,
    kinds: Vec<Kind>,
    page_size: Option<usize>,
    expiring: usize,
    aggregated: bool,
    server_version: Option<String>,
    forwarding: BTreeMap<String, SocketAddr>,
}

/// What every call is answered from.
struct Cluster {
    served: Served,
    /// What `bundle.yaml` says.
    manifest: Value,
    installed: Installed,
    page_size: Option<usize>,
    /// How many tokens for a next page are still to be refused.
    expiring: AtomicUsize,
    aggregated: bool,
    server_version: Option<String>,
    /// What stands in for pods, by namespace and name.
    forwarding: BTreeMap<String, SocketAddr>,
    /// The pods that were made here.
    made: Made,
}

impl Kind {
    /// What objects of this kind have as `apiVersion`.
    fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Its name among all groups, as bundles name files and places after it.
    fn resource(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }
}

impl KubernetesMock {
    /// Has the kinds installed of which the bundle holds objects, and no others.
    pub fn new(served: Served) -> Self {
        Self {
            served,
            kinds: Vec::new(),
            page_size: None,
            expiring: 0,
            aggregated: true,
            server_version: None,
            forwarding: BTreeMap::new(),
        }
    }

    /// Has more kinds installed. One of which the bundle holds objects in another version stays in
    /// that version alone; the same goes for a former group, as `Ingress` of `extensions`.
    #[must_use]
    pub fn installing(mut self, kinds: impl IntoIterator<Item = Kind>) -> Self {
        self.kinds.extend(kinds);
        self
    }

    /// Serves no more objects at a time to clients that ask for pages.
    #[must_use]
    pub fn page_size(mut self, largest: usize) -> Self {
        self.page_size = Some(largest);
        self
    }

    /// Lets so many tokens for a next page have expired.
    #[must_use]
    pub fn expiring(mut self, tokens: usize) -> Self {
        self.expiring = tokens;
        self
    }

    /// Says what is installed one group version at a time only, like a server before 1.26.
    #[must_use]
    pub fn without_aggregated_discovery(mut self) -> Self {
        self.aggregated = false;
        self
    }

    /// Says that it is this version, for example `v1.29.3-gke.1`, whatever the bundle says.
    #[must_use]
    pub fn server_version(mut self, version: &str) -> Self {
        self.server_version = Some(version.to_owned());
        self
    }

    /// Has port-forwards to pods lead to what stands in for them, each named `namespace/name`, and what
    /// `nc` in a pod connects to, named `namespace/name host:port`. Others find nobody who listens.
    #[must_use]
    pub fn forwarding<'a>(mut self, pods: impl IntoIterator<Item = (&'a str, SocketAddr)>) -> Self {
        self.forwarding.extend(pods.into_iter().map(|(pod, at)| (pod.to_owned(), at)));
        self
    }

    /// Starts on a free port.
    pub async fn start(self) -> std::io::Result<Server> {
        let manifest = self.served.manifest();
        let of_bundle = manifest["kubernetes"]["serverVersion"].as_str().map(str::to_owned);
        let cluster = Arc::new(Cluster {
            installed: Installed::of(&self.served, &manifest["errors"], self.kinds),
            page_size: self.page_size,
            expiring: AtomicUsize::new(self.expiring),
            aggregated: self.aggregated,
            server_version: self.server_version.or(of_bundle),
            forwarding: self.forwarding,
            made: Made::default(),
            served: self.served,
            manifest,
        });
        let seen = Arc::<Seen>::default();
        let noted = Arc::clone(&seen);
        Server::start(seen, move |request| {
            let (cluster, noted) = (Arc::clone(&cluster), Arc::clone(&noted));
            async move {
                let call = format!("{} {}", request.method(), request.uri());
                let answer = cluster.answer(request).await;
                answer.unwrap_or_else(|failure| {
                    if failure.is_unknown {
                        noted.note_unknown(format!("{call}: {}", failure.message));
                    }
                    failure.into_response()
                })
            }
        })
        .await
    }
}

impl Cluster {
    async fn answer(&self, request: Request<Body>) -> Result<Response, Failure> {
        let (mut head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let segments: Vec<_> = path.split('/').skip(1).collect();
        let review = ["apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"];
        if head.method == Method::POST && segments == review {
            return self.review(&head, body).await;
        }
        if let ["api", "v1", "namespaces", namespace, "pods", rest @ ..] = &*segments
            && let Some(answered) = self.made(namespace, rest, &mut head, body).await
        {
            return answered;
        }
        if head.method != Method::GET {
            return Err(Failure::unknown("this server only reads"));
        }
        match &*segments {
            ["version"] => self.version(&head),
            [".well-known", "openid-configuration"] => self.issuer(&head),
            ["api"] => self.core(&head),
            ["api", "v1"] => self.resources(&head, "", "v1"),
            ["api", "v1", "namespaces", namespace, "pods", pod, "exec"] => {
                self.exec(namespace, pod, &mut head).await
            }
            ["api", "v1", "namespaces", namespace, "pods", pod, "portforward"] => {
                self.forward(namespace, pod, &mut head).await
            }
            ["api", "v1", "namespaces", namespace, "pods", pod, "log"] => {
                self.log(namespace, pod, &head)
            }
            ["api", "v1", rest @ ..] => self.objects(&head, "", "v1", rest),
            ["apis"] => self.groups(&head),
            ["apis", group] => self.group(&head, group),
            ["apis", group, version] => self.resources(&head, group, version),
            ["apis", group, version, rest @ ..] => self.objects(&head, group, version, rest),
            ["api", ..] => Ok(no_such_page()),
            _ => Err(Failure::unknown("no such route")),
        }
    }

    /// Answers what is asked about objects of a group version.
    fn objects(
        &self,
        head: &Parts,
        group: &str,
        version: &str,
        rest: &[&str],
    ) -> Result<Response, Failure> {
        if !self.installed.has(group, version) {
            return Ok(no_such_page());
        }
        let find = |plural: &str| {
            let found = self.installed.find(group, version, plural);
            found.ok_or_else(Failure::no_such_resource)
        };
        let find_in = |plural: &str, namespaced: bool| {
            let found = find(plural)?;
            let fits = found.kind.namespaced == namespaced;
            if fits { Ok(found) } else { Err(Failure::no_such_resource()) }
        };
        match *rest {
            [plural] => self.list(find(plural)?, None, head),
            [plural, name] => self.get(find_in(plural, false)?, None, name, head),
            ["namespaces", namespace, plural] => {
                self.list(find_in(plural, true)?, Some(namespace), head)
            }
            ["namespaces", namespace, plural, name] => {
                self.get(find_in(plural, true)?, Some(namespace), name, head)
            }
            _ => Err(Failure::unknown("no such route")),
        }
    }

    /// What the API server publishes about the tokens of service accounts.
    fn issuer(&self, head: &Parts) -> Result<Response, Failure> {
        Query::of(head, &["timeout"])?;
        match &self.manifest["serviceAccountIssuer"] {
            Value::Null => Ok(no_such_page()),
            known => Ok(json_answer(known)),
        }
    }

    fn version(&self, head: &Parts) -> Result<Response, Failure> {
        Query::of(head, &["timeout"])?;
        let Some(version) = &self.server_version else {
            return Err(Failure::not_held("kubernetes.serverVersion"));
        };
        let mut numbers = version.trim_start_matches('v').split(['.', '-', '+']);
        let mut number = || numbers.next().unwrap_or_default();
        let (major, minor) = (number(), number());
        Ok(json_answer(&json!({
            "major": major,
            "minor": minor,
            "gitVersion": version,
            "gitCommit": "0000000000000000000000000000000000000000",
            "gitTreeState": "clean",
            "buildDate": "2024-01-01T00:00:00Z",
            "goVersion": "go1.21.8",
            "compiler": "gc",
            "platform": "linux/amd64",
        })))
    }
}

fn json_answer(body: &Value) -> Response {
    typed_answer("application/json", body.to_string())
}

fn typed_answer(content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// What a server says where nothing is installed: no `Status`.
fn no_such_page() -> Response {
    let mut response = typed_answer("text/plain; charset=utf-8", "404 page not found\n");
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}
