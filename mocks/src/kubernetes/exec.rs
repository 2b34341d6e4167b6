//! Commands in containers, as far as the bundle knows what they print.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::{
    extract::{
        FromRequestParts,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code},
    },
    response::Response,
};
use http::request::Parts;
use serde_json::{Value, json};

use tokio::net::TcpStream;

use super::{Cluster, Failure, Query, forward::lead};

const PARAMETERS: [&str; 6] = ["command", "container", "stdin", "stdout", "stderr", "tty"];
/// The newest first (Kubernetes, `k8s.io/apimachinery/pkg/util/remotecommand`).
pub(super) const PROTOCOLS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
/// No message of a server's is longer.
const CHUNK: usize = 8192;

const TCP: &str = "/proc/net/tcp";
const TCP6: &str = "/proc/net/tcp6";

impl Cluster {
    /// Runs `cat` on the kernel's tables of sockets, and `nc`.
    pub(super) async fn exec(
        &self,
        namespace: &str,
        pod: &str,
        head: &mut Parts,
    ) -> Result<Response, Failure> {
        let query = Query::of(head, &PARAMETERS)?;
        let command: Vec<_> = query.all("command").collect();
        if let ["nc", arguments @ ..] = &*command {
            return self.nc(namespace, pod, arguments, head).await;
        }
        let tables = match &*command {
            ["cat", files @ ..] if !files.is_empty() => files,
            _ => return Err(Failure::unknown(format!("no such command: {}", command.join(" ")))),
        };
        if let Some(other) = tables.iter().find(|file| ![TCP, TCP6].contains(file)) {
            return Err(Failure::unknown(format!("no such file: {other}")));
        }
        if !["stdin", "stdout", "stderr"].iter().any(|stream| query.is_set(stream)) {
            let message = "you must specify at least one of stdin, stdout, stderr";
            return Err(Failure::bad_parameter(message));
        }
        let places = [format!("probes/listen#{namespace} {pod}"), "probes/listen".to_owned()];
        let Some(sockets) = self.sockets(namespace, pod, query.get("container")) else {
            self.admit_to_pod(&places, "create", "exec", (namespace, pod))?;
            let message = format!("the bundle holds no sockets of {namespace}/{pod}");
            return Err(Failure::silent_kubelet(message));
        };
        let is_wanted = query.is_set("stdout");
        let printed: String = tables.iter().map(|file| table(&sockets, *file == TCP6)).collect();
        let upgrade = WebSocketUpgrade::from_request_parts(head, &()).await;
        let upgrade = upgrade.map_err(|_| Failure::bad_request("Upgrade request required"))?;
        let upgrade = upgrade.protocols(PROTOCOLS);
        if upgrade.selected_protocol().is_none() {
            let message = format!("none of the protocols asked for is one of {PROTOCOLS:?}");
            return Err(Failure::bad_parameter(message));
        }
        Ok(upgrade.on_upgrade(async move |mut socket| {
            // The client may go away whenever it likes.
            let _ = send(&mut socket, if is_wanted { &printed } else { "" }).await;
        }))
    }

    /// Connects, as far as it was recorded that this pod did; other images have no `nc`.
    async fn nc(
        &self,
        namespace: &str,
        pod: &str,
        arguments: &[&str],
        head: &mut Parts,
    ) -> Result<Response, Failure> {
        let (is_try, host, port) = match *arguments {
            ["-z", "-w", "5", host, port] => (true, host, port),
            [host, port] => (false, host, port),
            _ => return Err(Failure::unknown(format!("no such use of nc: {arguments:?}"))),
        };
        let server = format!("{host}:{port}");
        let known = self.served.json("probes/ldap").unwrap_or_default();
        let ours = known.as_array().into_iter().flatten().find(|entry| {
            let host = entry["host"].as_str().unwrap_or_default().replace(['[', ']'], "");
            entry["connect"]["through"] == format!("nc in pod {namespace}/{pod}") && host == server
        });
        let failed = ours.and_then(|entry| entry["connect"]["error"].as_str());
        let failed = failed.and_then(|error| {
            let layers = ["dns: ", "connect: "];
            layers.into_iter().find_map(|layer| error.strip_prefix(layer))
        });
        let lead_to = self.forwarding.get(&format!("{namespace}/{pod} {server}")).copied();
        let (is_known, failed) = (ours.is_some(), failed.map(str::to_owned));
        let upgrade = WebSocketUpgrade::from_request_parts(head, &()).await;
        let upgrade = upgrade.map_err(|_| Failure::bad_request("Upgrade request required"))?;
        Ok(upgrade.protocols(PROTOCOLS).on_upgrade(async move |mut socket| {
            let missing = "exec: \"nc\": executable file not found in $PATH: unknown".to_owned();
            // The client may go away whenever it likes.
            let _ = match (is_known, failed, lead_to) {
                (false, _, _) => end(&mut socket, Err(missing)).await,
                (true, Some(says), _) => {
                    let says = message(STDERR, format!("{says}\n").as_bytes());
                    let _ = socket.send(says).await;
                    end(&mut socket, Err("command terminated with exit code 1".to_owned())).await
                }
                (true, None, Some(target)) if !is_try => {
                    if let Ok(stream) = TcpStream::connect(target).await {
                        lead(socket, stream, STDIN, STDOUT).await;
                    }
                    Ok(())
                }
                (true, None, _) => end(&mut socket, Ok(())).await,
            };
        }))
    }

    /// What a pod listens on. Its containers share their network, so one that was not asked gives
    /// the same answer as one that was.
    fn sockets(
        &self,
        namespace: &str,
        pod: &str,
        container: Option<&str>,
    ) -> Option<Vec<(IpAddr, u16)>> {
        let all = self.served.json("probes/listen")?;
        let all = all.as_array()?.iter();
        let of_pod: Vec<_> =
            all.filter(|entry| entry["namespace"] == namespace && entry["pod"] == pod).collect();
        let of_container = of_pod.iter().find(|entry| entry["container"].as_str() == container);
        let entry = of_container.or(of_pod.first())?;
        let sockets = entry["sockets"].as_array().into_iter().flatten();
        Some(sockets.filter_map(socket).collect())
    }
}

fn socket(of: &Value) -> Option<(IpAddr, u16)> {
    let address = match of["address"].as_str()?.trim_matches(['[', ']']) {
        "*" => Ipv6Addr::UNSPECIFIED.into(),
        "localhost" => Ipv4Addr::LOCALHOST.into(),
        other => other.parse().ok()?,
    };
    Some((address, u16::try_from(of["port"].as_u64()?).ok()?))
}

/// Sends what a command has printed, and that it ended well.
async fn send(socket: &mut WebSocket, printed: &str) -> Result<(), axum::Error> {
    // The API server says in this way that the container is there.
    socket.send(message(STDOUT, b"")).await?;
    for chunk in printed.as_bytes().chunks(CHUNK) {
        socket.send(message(STDOUT, chunk)).await?;
    }
    end(socket, Ok(())).await
}

fn message(channel: u8, content: &[u8]) -> Message {
    Message::Binary([&[channel], content].concat().into())
}

/// Says how a command ended.
async fn end(socket: &mut WebSocket, how: Result<(), String>) -> Result<(), axum::Error> {
    let status = match how {
        Ok(()) => json!({ "metadata": {}, "status": "Success" }),
        Err(says) => json!({ "metadata": {}, "status": "Failure", "message": says }),
    };
    socket.send(message(STATUS, status.to_string().as_bytes())).await?;
    // kubectl takes the end for a failure if it has no code.
    let well = CloseFrame { code: close_code::NORMAL, reason: Utf8Bytes::default() };
    socket.send(Message::Close(Some(well))).await?;
    // Closed with something of the client's unread, the connection would lose what was sent.
    while let Some(Ok(_)) = socket.recv().await {}
    Ok(())
}

/// A table as the kernel prints it (Linux, `net/ipv4/tcp_ipv4.c` and `net/ipv6/tcp_ipv6.c`).
fn table(sockets: &[(IpAddr, u16)], is_v6: bool) -> String {
    let (head, width) = if is_v6 {
        let gap = " ".repeat(24);
        (format!("  sl  local_address {gap}remote_address{gap}"), 0)
    } else {
        ("  sl  local_address rem_address   ".to_owned(), 149)
    };
    let head = head + "st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
    let mut lines = vec![head];
    for (address, port) in sockets.iter().filter(|(address, _)| address.is_ipv6() == is_v6) {
        let none = if is_v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        let (local, remote) = (hex(*address, *port), hex(none, 0));
        lines.push(row(lines.len() - 1, &local, &remote, "0A"));
    }
    if let (false, Some(first)) = (is_v6, lines.get(1)) {
        // There always are connections too, and they are not what is looked for.
        let local = first.split_whitespace().nth(1).unwrap_or_default().to_owned();
        let remote = hex(Ipv4Addr::new(10, 0, 0, 1).into(), 40_000);
        lines.push(row(lines.len() - 1, &local, &remote, "01"));
    }
    lines.iter().fold(String::new(), |table, line| table + &format!("{line:<width$}\n"))
}

fn row(nth: usize, local: &str, remote: &str, state: &str) -> String {
    let inode = 20_000 + nth;
    format!(
        "{nth:4}: {local} {remote} {state} 00000000:00000000 00:00000000 00000000     0        0 \
         {inode} 1 0000000000000000 100 0 0 10 0"
    )
}

/// Upgrades, and prints what a command printed that went well.
pub(super) async fn print(printed: String, head: &mut Parts) -> Result<Response, Failure> {
    let upgrade = WebSocketUpgrade::from_request_parts(head, &()).await;
    let upgrade = upgrade.map_err(|_| Failure::bad_request("Upgrade request required"))?;
    Ok(upgrade.protocols(PROTOCOLS).on_upgrade(async move |mut socket| {
        // The client may go away whenever it likes.
        let _ = send(&mut socket, &printed).await;
    }))
}

/// An address as four bytes in the order of the machine's, or as four times that.
fn hex(address: IpAddr, port: u16) -> String {
    let bytes = match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let words = bytes.chunks(4).map(|word| word.iter().rev().map(|byte| format!("{byte:02X}")));
    format!("{}:{port:04X}", words.flatten().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_the_kernel_writes_them() {
        assert_eq!(hex([127, 0, 0, 1].into(), 8080), "0100007F:1F90");
        let local = hex(Ipv6Addr::LOCALHOST.into(), 8081);
        assert_eq!(local, "00000000000000000000000001000000:1F91");
        let mapped = hex("::ffff:127.0.0.1".parse().unwrap(), 1);
        assert_eq!(mapped, "0000000000000000FFFF00000100007F:0001");
    }

    #[test]
    fn a_socket_is_in_the_table_of_its_family() {
        let sockets = [("127.0.0.1".parse().unwrap(), 80), ("::".parse().unwrap(), 81)];
        let (v4, v6) = (table(&sockets, false), table(&sockets, true));
        assert!(v4.contains("0100007F:0050 00000000:0000 0A"), "{v4}");
        assert!(!v4.contains(":0051") && !v6.contains(":0050"), "{v4}{v6}");
        assert_eq!(v6.lines().count(), 2);
        assert!(v4.lines().all(|line| line.len() == 149), "{v4}");
    }
}
