//! The API server of a cluster, asked live.

mod access;
mod debug_pod;
mod discovery;
mod exec;
mod forward;
mod groups;
mod kubeconfig_names;
mod list;

use std::{sync::Arc, time::Duration};

use http::{Request, StatusCode, header::ACCEPT};
use http_body_util::BodyExt;
use kfcheck::{Cx, Fault};
use kube::client::Body;
use serde::Deserialize;
use tokio::sync::OnceCell;

pub use access::Access;
pub use debug_pod::DebugPod;
pub(crate) use discovery::{Discovery, installed};
pub(crate) use exec::{run, talk, try_out};
pub(crate) use forward::forward;
pub use groups::{ManagementCluster, list_groups};
pub use kubeconfig_names::KubeconfigNames;
pub(crate) use list::list;

use access::Way;

use crate::Chosen;

/// How long a credential plugin may take.
const PLUGIN: Duration = Duration::from_secs(15);
/// How often a call is made before its failure is believed.
const TRIES: u32 = 5;
/// How long it is waited before the second one; each further one twice as long.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest that a server's `Retry-After` is heeded.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The API server of a cluster, for facts to ask. Nothing is read and nobody is asked before the
/// first of them does.
pub struct KubeClient {
    access: Access,
    connection: OnceCell<Result<Arc<Connection>, Fault>>,
}

/// A cluster that can be asked.
pub(crate) struct Connection {
    pub(crate) client: kube::Client,
    pub(crate) chosen: Chosen,
    timeout: Duration,
}

/// What an API server answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
}

/// What an API server says when it doesn't do what it is asked for.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Refusal {
    pub(crate) message: String,
    pub(crate) reason: String,
    pub(crate) metadata: RefusalMetadata,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct RefusalMetadata {
    /// Where a list that took too long may be taken up again.
    #[serde(rename = "continue")]
    pub(crate) resume: String,
}

impl KubeClient {
    /// A client for the cluster that `access` names.
    pub fn new(access: Access) -> Self {
        Self { access, connection: OnceCell::new() }
    }

    /// Whether commands may be run in containers.
    pub(crate) fn may_exec(&self) -> bool {
        self.access.exec
    }

    /// The cluster, once its kubeconfig is read and its credentials are there.
    pub(crate) async fn connection(&self) -> Result<Arc<Connection>, Fault> {
        self.connection.get_or_init(|| self.connect()).await.clone()
    }

    async fn connect(&self) -> Result<Arc<Connection>, Fault> {
        let Way { config, chosen, timeout } = self.access.way().await?;
        // A credential plugin runs meanwhile.
        let client = tokio::task::spawn_blocking(move || kube::Client::try_from(config));
        let client = tokio::time::timeout(PLUGIN, client).await.map_err(|_| {
            let says = format!(
                "the credential plugin of the kubeconfig gave none within {PLUGIN:?}; `kubectl \
                 config view --minify` shows its command, which may wait for somebody to log in"
            );
            Fault::Unreachable(says)
        })?;
        let client = client.map_err(|_| Fault::Bug("the client panicked".to_owned()))?;
        let client = client.map_err(|error| no_credentials(&error))?;
        Ok(Arc::new(Connection { client, chosen, timeout }))
    }
}

fn no_credentials(error: &kube::Error) -> Fault {
    Fault::Unreachable(format!(
        "no credentials for the API server: {}; `kubectl config view --minify` shows where they \
         come from",
        causes_of(error)
    ))
}

/// An error and what is behind it, each said once.
fn causes_of(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let says = cause.to_string();
        if !said.contains(&says) {
            said = format!("{said}: {says}");
        }
        source = cause.source();
    }
    kfcheck::redact::redact(&said).into_owned()
}

impl Connection {
    /// Asks for `path`, which begins with a slash. What passes by itself is tried again.
    pub(crate) async fn get(&self, cx: &Cx, path: &str, accept: &str) -> Result<Answer, Fault> {
        let mut tries = 0;
        loop {
            tries += 1;
            let asked = cx.call(format!("kubernetes GET {path}"), self.try_get(path, accept)).await;
            let pause = match &asked {
                Ok(Tried { answer, pause }) if is_passing(answer.status) => *pause,
                Err(Fault::Unreachable(says)) if !is_lasting(says) => None,
                _ => return asked.map(|tried| tried.answer),
            };
            if tries == TRIES {
                return asked.map(|tried| tried.answer);
            }
            wait(tries, pause).await;
        }
    }

    async fn try_get(&self, path: &str, accept: &str) -> Result<Tried, Fault> {
        let request = Request::get(path).header(ACCEPT, accept).body(Body::empty());
        let request = request.map_err(|error| Fault::Bug(format!("GET {path}: {error}")))?;
        let asking = async {
            let response = self.client.send(request).await.map_err(|error| self.silent(&error))?;
            let status = response.status();
            let pause = response
                .headers()
                .get("retry-after")
                .and_then(|value| Some(Duration::from_secs(value.to_str().ok()?.parse().ok()?)));
            let body = response.into_body().collect().await;
            let body = body.map_err(|error| self.silent(&error))?.to_bytes().to_vec();
            Ok(Tried { answer: Answer { status, body }, pause })
        };
        let late = |_| Fault::TimedOut(self.timeout);
        tokio::time::timeout(self.timeout, asking).await.map_err(late)?
    }

    fn silent(&self, error: &dyn std::error::Error) -> Fault {
        Fault::Unreachable(format!(
            "the API server at {} does not answer: {}",
            self.chosen.server,
            causes_of(error)
        ))
    }
}

struct Tried {
    answer: Answer,
    /// How long the server asks to wait.
    pause: Option<Duration>,
}

/// Waits before another try: as long as the server asks, within reason, and a little at least.
pub(crate) async fn wait(tries: u32, asked: Option<Duration>) {
    let pause = asked.unwrap_or_default().max(PAUSE * 2u32.pow(tries.saturating_sub(1)));
    tokio::time::sleep(pause.min(LONGEST_PAUSE)).await;
}

/// Why an upgrade to a stream was refused.
fn refused(error: &kube::Error, what: &str, permission: &str) -> Fault {
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            Fault::Denied { permission: permission.to_owned() }
        }
        kube::Error::Api(status) if status.code == 404 => Fault::Absent(status.message.clone()),
        kube::Error::Api(status) => {
            Fault::Unreachable(format!("{what}: {} ({})", status.message, status.code))
        }
        other => Fault::Unreachable(format!("{what}: {}", causes_of(other))),
    }
}

/// Whether a stream that was not opened may be opened later.
fn may_pass(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => matches!(status.code, 429 | 502 | 503 | 504),
        kube::Error::HyperError(_) | kube::Error::Service(_) => true,
        _ => false,
    }
}

/// Whether another try may get another answer.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// Whether a call that failed will fail again.
fn is_lasting(says: &str) -> bool {
    let words = ["certificate", "dns error", "credential", "auth", "exec"];
    words.iter().any(|word| says.contains(word))
}

impl Answer {
    /// The body, if the call did what it was asked for; or why not. `permission` names what it
    /// takes, `what` what was asked for.
    pub(crate) fn body(self, what: &str, permission: &str) -> Result<Vec<u8>, Fault> {
        match self.status.as_u16() {
            200..=299 => Ok(self.body),
            401 => Err(Fault::Unreachable(format!(
                "the API server does not take the credentials: {}; log in again with what made \
                 them",
                self.says()
            ))),
            403 => Err(Fault::Denied { permission: permission.to_owned() }),
            404 => Err(Fault::Absent(what.to_owned())),
            status => {
                let says = self.says();
                Err(Fault::Unreachable(format!("{what}: the API server answered {status}: {says}")))
            }
        }
    }

    /// What it says in words.
    fn says(&self) -> String {
        let Refusal { message, reason, .. } = self.refusal();
        let plain = || String::from_utf8_lossy(&self.body).lines().take(1).collect::<String>();
        let says = [message, reason].into_iter().find(|text| !text.is_empty());
        let says: String = says.unwrap_or_else(plain).chars().take(200).collect();
        kfcheck::redact::redact(&says).into_owned()
    }

    pub(crate) fn refusal(&self) -> Refusal {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}
