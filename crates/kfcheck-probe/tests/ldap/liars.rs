//! Servers that are no LDAP servers, or bad ones.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::directory::PASSWORD;

/// What a server does once something is said to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Nothing.
    Silent,
    /// It speaks HTTP.
    Web,
    /// It sends what could be a message and is none.
    Garbage,
    /// It sends values within values, a hundred thousand deep.
    Nested,
    /// It says that a message of two gigabytes follows.
    Huge,
    /// It closes the connection.
    HangsUp,
    /// It closes the connection in the middle of a message.
    HangsUpInside,
    /// It says that it closes the connection.
    Goodbye,
    /// It lets everybody in, and never stops to find users.
    Endless,
    /// It lets nobody in, and says with which password.
    Parrot,
}

/// Starts on a free port.
pub(crate) async fn serve(sort: Sort) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("a port");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(lie(stream, sort));
        }
    });
    address
}

async fn lie(mut stream: TcpStream, sort: Sort) {
    let mut said = [0; 1024];
    let Ok(1..) = stream.read(&mut said).await else { return };
    let bound = |code: u8, says: &str| {
        let outcome = [vec![0x0a, 1, code], tlv(4, b""), tlv(4, says.as_bytes())].concat();
        tlv(0x30, &[vec![2, 1, 1], tlv(0x61, &outcome)].concat())
    };
    let sent = match sort {
        Sort::Silent => Vec::new(),
        Sort::Web => b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        Sort::Garbage => tlv(0x30, &[0xff; 100]),
        Sort::Nested => tlv(0x30, &[0x30, 0x80].repeat(100_000)),
        Sort::Huge => vec![0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 2, 1, 1],
        Sort::HangsUp => return,
        Sort::HangsUpInside => bound(0, "welcome")[..8].to_vec(),
        Sort::Goodbye => {
            let outcome = [vec![0x0a, 1, 52], tlv(4, b""), tlv(4, b"shutting down")].concat();
            tlv(0x30, &[vec![2, 1, 0], tlv(0x78, &outcome)].concat())
        }
        Sort::Parrot => bound(49, &format!("wrong: {PASSWORD}!")),
        Sort::Endless => bound(0, ""),
    };
    let _ = stream.write_all(&sent).await;
    match sort {
        Sort::HangsUpInside => return,
        Sort::Endless => {
            // The answers to the second question, for as long as somebody listens.
            let entry = [tlv(4, b"uid=a,dc=example,dc=com"), tlv(0x30, b"")].concat();
            let entries = tlv(0x30, &[vec![2, 1, 2], tlv(0x64, &entry)].concat()).repeat(1000);
            let Ok(1..) = stream.read(&mut said).await else { return };
            while stream.write_all(&entries).await.is_ok() {}
        }
        _ => {}
    }
    // Until the other side goes.
    while let Ok(1..) = stream.read(&mut said).await {}
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("a length").to_be_bytes();
    [&[tag, 0x84][..], &length, content].concat()
}
