//! Ports of pods, as far as something stands in for them.

use axum::{
    extract::{
        FromRequestParts,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    response::Response,
};
use futures::{SinkExt, StreamExt};
use http::request::Parts;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Cluster, Failure, Query, exec::PROTOCOLS};

/// The first port's channels (Kubernetes, `pkg/kubelet/cri/streaming/portforward/websocket.go`).
const DATA: u8 = 0;
const ERROR: u8 = 1;

impl Cluster {
    /// Leads to what stands in for a pod; other pods listen nowhere.
    pub(super) async fn forward(
        &self,
        namespace: &str,
        pod: &str,
        head: &mut Parts,
    ) -> Result<Response, Failure> {
        let query = Query::of(head, &["ports"])?;
        let Some(port) = query.get("ports").and_then(|port| port.parse::<u16>().ok()) else {
            return Err(Failure::bad_parameter("exactly one of ports is served here"));
        };
        let errors = self.manifest["errors"].as_object().into_iter().flatten();
        let places: Vec<_> = errors
            .filter(|(place, fault)| {
                place.starts_with("probes/ldap")
                    && fault["denied"]["permission"] == "create pods/portforward"
            })
            .map(|(place, _)| place.clone())
            .collect();
        self.admit_to_pod(&places, "create", "portforward", (namespace, pod))?;
        let target = self.forwarding.get(&format!("{namespace}/{pod}")).copied();
        let upgrade = WebSocketUpgrade::from_request_parts(head, &()).await;
        let upgrade = upgrade.map_err(|_| Failure::bad_request("Upgrade request required"))?;
        let upgrade = upgrade.protocols(PROTOCOLS);
        let refusal = format!(
            "error forwarding port {port} to pod {namespace}/{pod}: dial tcp4 127.0.0.1:{port}: \
             connect: connection refused"
        );
        Ok(upgrade.on_upgrade(async move |mut socket| {
            // The client may go away whenever it likes.
            let _ = begin(&mut socket, port).await;
            let Some(target) = target else {
                let says = [&[ERROR], refusal.as_bytes()].concat();
                let _ = socket.send(Message::Binary(says.into())).await;
                let _ = socket.send(Message::Close(None)).await;
                while let Some(Ok(_)) = socket.recv().await {}
                return;
            };
            if let Ok(stream) = TcpStream::connect(target).await {
                lead(socket, stream, DATA, DATA).await;
            }
        }))
    }
}

/// Says on both channels which port they are of.
async fn begin(socket: &mut WebSocket, port: u16) -> Result<(), axum::Error> {
    let [low, high] = port.to_le_bytes();
    for channel in [DATA, ERROR] {
        socket.send(Message::Binary(vec![channel, low, high].into())).await?;
    }
    Ok(())
}

/// Carries what one side says to the other, until one of them ends: what comes by one channel, and
/// what goes by another.
pub(super) async fn lead(socket: WebSocket, stream: TcpStream, from: u8, to: u8) {
    let (mut to_client, mut from_client) = socket.split();
    let (mut from_pod, mut to_pod) = stream.into_split();
    let there = async {
        while let Some(Ok(message)) = from_client.next().await {
            let bytes = match &message {
                Message::Binary(bytes) if bytes.first() == Some(&from) => &bytes[1..],
                Message::Close(_) => return,
                _ => continue,
            };
            if to_pod.write_all(bytes).await.is_err() {
                return;
            }
        }
    };
    let back = async {
        let mut buffer = vec![0; 8192];
        while let Ok(read @ 1..) = from_pod.read(&mut buffer).await {
            let bytes = [&[to], &buffer[..read]].concat();
            if to_client.send(Message::Binary(bytes.into())).await.is_err() {
                return;
            }
        }
        let _ = to_client.send(Message::Close(None)).await;
    };
    tokio::pin!(there, back);
    futures::future::select(there, back).await;
}
