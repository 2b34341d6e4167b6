//! What a container's own tools print, and what they are told.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use k8s_openapi::api::core::v1::Pod;
use kfcheck::{Cx, FactError, Fault};
use kube::{
    Api,
    api::{AttachParams, AttachedProcess},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::{Discovery, KubeClient, TRIES, may_pass, refused, wait};

/// No more of an output is read, in bytes.
const LARGEST: u64 = 1 << 20;
/// How long it may take until a command runs that is talked to.
const STARTING: Duration = Duration::from_secs(10);

/// How a command went.
pub(crate) struct Ended {
    /// Whether it says that it went well.
    pub(crate) is_well: bool,
    /// What it printed for whoever mends it, or else why it didn't run.
    pub(crate) says: String,
}

/// A command in a container that is being talked to.
pub(crate) struct Talk {
    input: Box<dyn AsyncWrite + Send + Unpin>,
    output: Box<dyn AsyncRead + Send + Unpin>,
    /// It ends with this.
    _process: AttachedProcess,
}

/// What `command` prints in a container of a pod; the first one where none is named. Runs only
/// where that was asked for with `--exec`.
pub(crate) async fn run(
    cx: &Cx,
    namespace: &str,
    pod: &str,
    command: &[&str],
) -> Result<String, FactError> {
    let what = format!("exec in {namespace}/{pod}: {}", command.join(" "));
    let running = async {
        let parameters = AttachParams::default().stdin(false).stderr(false);
        let mut process = start(cx, (namespace, pod, None), command, parameters, &what).await?;
        let mut printed = String::new();
        if let Some(out) = process.stdout() {
            let read = out.take(LARGEST).read_to_string(&mut printed).await;
            read.map_err(|error| Fault::Unreachable(format!("{what}: {error}")))?;
        }
        let Ended { is_well, says } = end(&mut process).await;
        let failed = || Fault::Unreachable(format!("{what} failed: {says}")).into();
        if is_well { Ok(printed) } else { Err(failed()) }
    };
    cx.call(format!("kubernetes {what}"), running).await
}

/// How `command` goes in a container of a pod.
pub(crate) async fn try_out(
    cx: &Cx,
    place: (&str, &str, Option<&str>),
    command: &[&str],
) -> Result<Ended, FactError> {
    let what = format!("exec in {}/{}: {}", place.0, place.1, command.join(" "));
    let running = async {
        let parameters = AttachParams::default().stdin(false).stdout(false);
        let mut process = start(cx, place, command, parameters, &what).await?;
        let mut printed = String::new();
        if let Some(out) = process.stderr() {
            let read = out.take(LARGEST).read_to_string(&mut printed).await;
            read.map_err(|error| Fault::Unreachable(format!("{what}: {error}")))?;
        }
        let ended = end(&mut process).await;
        let says = printed.trim().to_owned();
        Ok(if says.is_empty() { ended } else { Ended { says, ..ended } })
    };
    let running = async {
        let late = |_| FactError::from(Fault::TimedOut(STARTING));
        tokio::time::timeout(STARTING, running).await.map_err(late)?
    };
    cx.call(format!("kubernetes {what}"), running).await
}

/// Talks to `command` in a container of a pod.
pub(crate) async fn talk(
    cx: &Cx,
    place: (&str, &str, Option<&str>),
    command: &[&str],
) -> Result<Talk, FactError> {
    let what = format!("exec in {}/{}: {}", place.0, place.1, command.join(" "));
    let starting = async {
        let parameters = AttachParams::default().stdin(true).stderr(false);
        let mut process = start(cx, place, command, parameters, &what).await?;
        match (process.stdin(), process.stdout()) {
            (Some(input), Some(output)) => {
                Ok(Talk { input: Box::new(input), output: Box::new(output), _process: process })
            }
            _ => Err(Fault::Bug(format!("{what}: there is no stream")).into()),
        }
    };
    let starting = async {
        let late = |_| FactError::from(Fault::TimedOut(STARTING));
        tokio::time::timeout(STARTING, starting).await.map_err(late)?
    };
    cx.call(format!("kubernetes {what}"), starting).await
}

async fn start(
    cx: &Cx,
    (namespace, pod, container): (&str, &str, Option<&str>),
    command: &[&str],
    mut parameters: AttachParams,
    what: &str,
) -> Result<AttachedProcess, FactError> {
    let client = cx.client::<KubeClient>()?;
    if !client.may_exec() {
        let says = "no command was run in the pod; --exec allows it".to_owned();
        return Err(Fault::Unreachable(says).into());
    }
    cx.get(Discovery).await?;
    let connection = client.connection().await?;
    let pods: Api<Pod> = Api::namespaced(connection.client.clone(), namespace);
    parameters.container = container.map(str::to_owned);
    let mut tries = 0;
    loop {
        tries += 1;
        match pods.exec(pod, command.iter().copied(), &parameters).await {
            Err(error) if tries < TRIES && may_pass(&error) => wait(tries, None).await,
            started => {
                return Ok(started.map_err(|error| refused(&error, what, "create pods/exec"))?);
            }
        }
    }
}

async fn end(process: &mut AttachedProcess) -> Ended {
    let ended = match process.take_status() {
        Some(status) => status.await,
        None => None,
    };
    let is_well = ended.as_ref().is_some_and(|ended| ended.status.as_deref() == Some("Success"));
    Ended { is_well, says: ended.and_then(|status| status.message).unwrap_or_default() }
}

impl AsyncRead for Talk {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Talk {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.input).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_shutdown(cx)
    }
}
