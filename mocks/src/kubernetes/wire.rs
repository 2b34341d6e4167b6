//! Calls byte by byte, so that a test sees what is really sent.

use std::{io::Result, net::SocketAddr};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends a request and reads until the connection ends.
pub(crate) async fn send(address: SocketAddr, request: &str, body: &str) -> Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    let length = body.len();
    let request = format!("{request}Host: localhost\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await?;
    read(stream).await
}

async fn read(mut stream: TcpStream) -> Result<Answer> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(answer.len());
    let body = answer.split_off((end + 4).min(answer.len()));
    let head = String::from_utf8_lossy(&answer).to_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok(Answer { status: status.unwrap_or(0), head, body })
}

/// Opens a WebSocket (RFC 6455, section 1.2), listens until the end and says nothing but goodbye.
pub(crate) async fn talk(address: SocketAddr, target: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: v5.channel.k8s.io, v4.channel.k8s.io\r\n\r\n"
    );
    // A frame that closes, with a mask of zeros, may come at any time.
    let goodbye = [0x88, 0x80, 0, 0, 0, 0];
    stream.write_all(request.as_bytes()).await.expect("a request");
    stream.write_all(&goodbye).await.expect("a goodbye");
    read(stream).await.expect("an answer")
}

/// Asks for something, with more headers.
pub(crate) async fn get_with(address: SocketAddr, target: &str, headers: &str) -> Answer {
    let request = format!("GET {target} HTTP/1.1\r\nConnection: close\r\n{headers}");
    send(address, &request, "").await.expect("an answer")
}

/// Asks for something.
pub(crate) async fn get(address: SocketAddr, target: &str) -> Answer {
    get_with(address, target, "").await
}

/// The messages of a WebSocket up to its end, none of them longer than 65,535 bytes: opcode and
/// content (RFC 6455, section 5.2).
pub(crate) fn messages(mut frames: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut all = Vec::new();
    while let [first, second, rest @ ..] = frames {
        let (length, rest) = match (second, rest) {
            (126, [high, low, rest @ ..]) => (usize::from(*high) << 8 | usize::from(*low), rest),
            _ => (usize::from(*second), rest),
        };
        let (content, rest) = rest.split_at(length);
        all.push((first & 0x0f, content.to_vec()));
        frames = rest;
    }
    all
}
