//! Ports of pods, reached through the API server.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use k8s_openapi::api::core::v1::Pod;
use kfcheck::{Cx, FactError, Fault};
use kube::Api;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use super::{Discovery, KubeClient, TRIES, may_pass, refused, wait};

/// How long it may take until a port can be spoken to.
const OPENING: Duration = Duration::from_secs(10);

/// A connection to a port of a pod.
pub(crate) struct PodPort {
    stream: DuplexStream,
    /// What the kubelet says where it can't reach the port.
    failed: BoxFuture<'static, Option<String>>,
}

/// A connection to `port` of a pod. Whether somebody listens there shows with the first answer.
pub(crate) async fn forward(
    cx: &Cx,
    namespace: &str,
    pod: &str,
    port: u16,
) -> Result<PodPort, FactError> {
    let what = format!("port-forward to {namespace}/{pod}: {port}");
    cx.get(Discovery).await?;
    let connection = cx.client::<KubeClient>()?.connection().await?;
    let opening = async {
        let pods: Api<Pod> = Api::namespaced(connection.client.clone(), namespace);
        let mut tries = 0;
        let mut opened = loop {
            tries += 1;
            match pods.portforward(pod, &[port]).await {
                Err(error) if tries < TRIES && may_pass(&error) => wait(tries, None).await,
                opened => {
                    break opened
                        .map_err(|error| refused(&error, &what, "create pods/portforward"))?;
                }
            }
        };
        match (opened.take_stream(port), opened.take_error(port)) {
            (Some(stream), Some(failed)) => Ok(PodPort { stream, failed: failed.boxed() }),
            _ => Err(Fault::Bug(format!("{what}: there is no stream"))),
        }
    };
    let opening = async {
        let late = |_| Fault::TimedOut(OPENING);
        tokio::time::timeout(OPENING, opening).await.map_err(late)?
    };
    Ok(cx.call(format!("kubernetes {what}"), opening).await?)
}

impl AsyncRead for PodPort {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let is_over = matches!(read, Poll::Ready(Ok(()))) && buffer.filled().len() == before;
        // The kubelet says why before it closes the stream.
        if is_over && let Poll::Ready(Some(says)) = self.failed.poll_unpin(cx) {
            self.failed = futures::future::pending().boxed();
            return Poll::Ready(Err(io::Error::other(says)));
        }
        read
    }
}

impl AsyncWrite for PodPort {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
