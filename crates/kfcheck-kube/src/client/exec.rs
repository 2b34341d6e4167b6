//! What a container's own tools print.

use k8s_openapi::api::core::v1::Pod;
use kfcheck::{Cx, FactError, Fault};
use kube::{Api, api::AttachParams};
use tokio::io::AsyncReadExt;

use super::{Discovery, KubeClient, TRIES, may_pass, refused, wait};

/// No more of an output is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// What `command` prints in a container of a pod; the first one where none is named. Runs only
/// where that was asked for with `--exec`.
pub(crate) async fn run(
    cx: &Cx,
    namespace: &str,
    pod: &str,
    command: &[&str],
) -> Result<String, FactError> {
    let client = cx.client::<KubeClient>()?;
    let what = format!("exec in {namespace}/{pod}: {}", command.join(" "));
    if !client.may_exec() {
        let says = "no command was run in the pod; --exec allows it".to_owned();
        return Err(Fault::Unreachable(says).into());
    }
    cx.get(Discovery).await?;
    let connection = client.connection().await?;
    let running = async {
        let pods: Api<Pod> = Api::namespaced(connection.client.clone(), namespace);
        let parameters = AttachParams::default().stdin(false).stderr(false);
        let mut tries = 0;
        let mut process = loop {
            tries += 1;
            match pods.exec(pod, command.iter().copied(), &parameters).await {
                Err(error) if tries < TRIES && may_pass(&error) => wait(tries, None).await,
                started => {
                    break started.map_err(|error| refused(&error, &what, "create pods/exec"))?;
                }
            }
        };
        let mut printed = String::new();
        if let Some(out) = process.stdout() {
            let read = out.take(LARGEST).read_to_string(&mut printed).await;
            read.map_err(|error| Fault::Unreachable(format!("{what}: {error}")))?;
        }
        let ended = match process.take_status() {
            Some(status) => status.await,
            None => None,
        };
        match ended {
            Some(status) if status.status.as_deref() == Some("Success") => Ok(printed),
            ended => {
                let says = ended.and_then(|status| status.message).unwrap_or_default();
                Err(Fault::Unreachable(format!("{what} failed: {says}")))
            }
        }
    };
    Ok(cx.call(format!("kubernetes {what}"), running).await?)
}
