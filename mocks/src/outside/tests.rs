use std::{net::Ipv4Addr, sync::Arc};

use hickory_proto::{
    op::{Message, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};
use rustls::{
    ClientConfig, ProtocolVersion, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Outside, OutsideMock};
use crate::Served;

async fn outside(http: Value, dns: Value) -> Outside {
    let manifest = json!({ "collectedAt": "2024-01-01T00:00:00Z" });
    let files = [("bundle", manifest), ("probes/http", http), ("probes/dns", dns)];
    OutsideMock::new(Served::holding(files)).start().await.unwrap()
}

async fn look_up(outside: &Outside, name: &str, kind: RecordType) -> (ResponseCode, Vec<RData>) {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
    let mut request = Message::query();
    request.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    socket.send_to(&request.to_vec().unwrap(), outside.dns_address()).await.unwrap();
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).await.unwrap();
    let response = Message::from_vec(&buffer[..length]).unwrap();
    assert_eq!((response.metadata.id, &response.queries), (request.metadata.id, &request.queries));
    let answers = response.answers.into_iter().map(|record| record.data);
    (response.metadata.response_code, answers.collect())
}

async fn shake_hands(outside: &Outside, host: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(outside.ca_pem().as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(outside.https_address()).await.unwrap();
    let name = ServerName::try_from(host.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// The whole answer, or nothing where the connection was closed.
async fn exchange<S>(mut stream: S, host: &str, path: &str, header: &str) -> String
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{header}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A connection that is cut is no error here.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

async fn get_plain(outside: &Outside, host: &str, path: &str) -> String {
    exchange(TcpStream::connect(outside.http_address()).await.unwrap(), host, path, "").await
}

async fn get(outside: &Outside, host: &str, path: &str, header: &str) -> String {
    exchange(shake_hands(outside, host).await.unwrap(), host, path, header).await
}

#[tokio::test]
async fn names_are_answered_as_recorded() {
    let dns = json!([
        { "name": "a.example.com", "type": "A", "answers": ["192.0.2.7"], "error": null },
        { "name": "b.example.com", "type": "A", "answers": [], "error": "NXDOMAIN" },
        { "name": "c.example.com", "type": "A", "answers": [], "error": "timeout" },
        { "name": "d.example.com", "type": "A", "answers": [], "error": "NODATA" },
        { "name": "e.example.com", "type": "CNAME", "answers": ["a.example.com."] },
        { "name": "f.example.com", "type": "A", "answers": ["a.example.com.", "192.0.2.7"] },
        { "name": "g.example.com", "type": "AAAA", "answers": ["2001:db8::1"] },
    ]);
    let http = json!([
        { "url": "https://h.example.com/", "status": 200 },
        { "url": "https://i.example.com/", "error": "dns: no such host" },
    ]);
    let outside = outside(http, dns).await;
    let expected = [
        ("A.example.com.", RecordType::A, ResponseCode::NoError, 1),
        ("a.example.com.", RecordType::AAAA, ResponseCode::NoError, 0),
        ("b.example.com.", RecordType::A, ResponseCode::NXDomain, 0),
        ("b.example.com.", RecordType::AAAA, ResponseCode::NXDomain, 0),
        ("c.example.com.", RecordType::A, ResponseCode::ServFail, 0),
        ("d.example.com.", RecordType::A, ResponseCode::NoError, 0),
        ("e.example.com.", RecordType::CNAME, ResponseCode::NoError, 1),
        ("f.example.com.", RecordType::A, ResponseCode::NoError, 2),
        ("g.example.com.", RecordType::AAAA, ResponseCode::NoError, 1),
        ("h.example.com.", RecordType::A, ResponseCode::NoError, 1),
        ("h.example.com.", RecordType::AAAA, ResponseCode::NoError, 0),
        ("i.example.com.", RecordType::A, ResponseCode::NXDomain, 0),
    ];
    for (name, kind, code, count) in expected {
        let (found, records) = look_up(&outside, name, kind).await;
        assert_eq!((found, records.len()), (code, count), "{name} {kind}");
    }
    assert_eq!(outside.unasked(), Vec::<String>::new());
    let (_, records) = look_up(&outside, "f.example.com.", RecordType::A).await;
    assert!(matches!(records[0], RData::CNAME(_)), "{records:?}");
    let address = RData::A(Ipv4Addr::new(192, 0, 2, 7).into());
    assert_eq!(records[1], address);

    let (code, _) = look_up(&outside, "z.example.com.", RecordType::A).await;
    assert_eq!(code, ResponseCode::ServFail);
    assert_eq!(outside.unasked(), ["z.example.com A"]);
}

#[tokio::test]
async fn requests_are_answered_as_recorded() {
    let http = json!([
        { "url": "https://kf.example.com", "status": 302, "bodySnippet": "moved",
          "headers": { "Location": "https://accounts.google.com/", "X-Two": ["1", "2"],
                       "transfer-encoding": "chunked", "content-length": "9" } },
        { "url": "https://kf.example.com/", "status": 200, "bodySnippet": "welcome",
          "requestHeaders": { "Authorization": "Bearer (redacted)" } },
        { "url": "https://kf.example.com/api/*", "status": 404 },
        { "url": "http://kf.example.com:8080/x", "status": 200, "bodySnippet": "plain" },
        { "url": "http://kf.example.com:8080/y", "status": 200, "note": "port-forward" },
    ]);
    let outside = outside(http, json!([])).await;
    let host = "kf.example.com";
    let answer = get(&outside, host, "/", "").await;
    assert!(answer.starts_with("HTTP/1.1 302 Found\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nmoved"), "{answer}");
    for header in ["location: https://accounts.google.com/", "x-two: 1", "x-two: 2"] {
        assert!(answer.contains(&format!("{header}\r\n")), "{answer}");
    }
    assert!(!answer.contains("chunked") && !answer.contains("length: 9"), "{answer}");
    for header in ["Authorization: Bearer a\r\n", "Proxy-Authorization: Bearer a\r\n"] {
        assert!(get(&outside, host, "/", header).await.ends_with("welcome"));
    }
    assert!(get(&outside, host, "/api/v1?q=1", "").await.contains(" 404 "));
    assert!(get(&outside, host, "/other", "").await.ends_with("moved"));
    assert!(get_plain(&outside, "kf.example.com:8080", "/x?a=b").await.ends_with("plain"));
    assert_eq!(outside.unasked(), Vec::<String>::new());

    assert!(get_plain(&outside, "kf.example.com:8080", "/y").await.contains(" 501 "));
    assert!(get_plain(&outside, host, "/x").await.contains(" 501 "));
    let unasked = ["GET http://kf.example.com:8080/y", "GET http://kf.example.com/x"];
    assert_eq!(outside.unasked(), unasked);
    let calls = outside.calls();
    assert_eq!(calls.len(), 8);
    let first = (calls[0].path.as_str(), calls[0].status);
    assert_eq!(first, ("https://kf.example.com/", 302));
}

#[tokio::test]
async fn certificates_are_as_recorded() {
    let probe = |host: &str, tls: Value| json!({ "url": format!("https://{host}/"), "status": 200, "tls": tls });
    let http = json!([
        probe(
            "good.example.com",
            json!({ "version": "TLSv1.3", "verified": true,
            "subject": "CN=good.example.com", "dnsNames": ["*.example.com"] })
        ),
        probe(
            "old.example.com",
            json!({ "version": "TLSv1.2", "notAfter": "2999-01-01T00:00:00Z" })
        ),
        probe(
            "other.example.com",
            json!({ "verified": false, "dnsNames": ["x.example.com"],
            "error": "certificate is for another name" })
        ),
        probe("late.example.com", json!({ "verified": false, "notAfter": "2023-01-01T00:00:00Z" })),
        probe("strange.example.com", json!({ "verified": false })),
        probe("own.example.com", json!({ "verified": false, "error": "self-signed certificate" })),
    ]);
    let outside = outside(http, json!([])).await;
    let version = |stream: &TlsStream<TcpStream>| stream.get_ref().1.protocol_version();
    let good = shake_hands(&outside, "good.example.com").await.unwrap();
    assert_eq!(version(&good), Some(ProtocolVersion::TLSv1_3));
    let old = shake_hands(&outside, "old.example.com").await.unwrap();
    assert_eq!(version(&old), Some(ProtocolVersion::TLSv1_2));
    let refused = [
        ("other", "NotValidForName"),
        ("late", "Expired"),
        ("strange", "UnknownIssuer"),
        ("own", "UnknownIssuer"),
    ];
    for (name, why) in refused {
        let error = shake_hands(&outside, &format!("{name}.example.com")).await.unwrap_err();
        assert!(format!("{error:?}").contains(why), "{name}: {error:?}");
    }
}

#[tokio::test]
async fn connections_fail_as_recorded() {
    let http = json!([
        { "url": "https://a.example.com/", "error": "connect: connection refused" },
        { "url": "https://b.example.com/", "error": "tls: handshake failure", "tls": null },
        { "url": "https://c.example.com/", "error": "http: closed" },
        { "url": "https://d.example.com/", "error": "tls: not for d.example.com",
          "tls": { "verified": false, "dnsNames": ["e.example.com"] } },
        { "url": "http://192.0.2.9/", "error": "dial tcp 192.0.2.9:80: connect: no route to host" },
    ]);
    let outside = outside(http, json!([])).await;
    for host in ["a.example.com", "b.example.com"] {
        let error = shake_hands(&outside, host).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{host}");
    }
    let error = shake_hands(&outside, "d.example.com").await.unwrap_err();
    assert!(format!("{error:?}").contains("NotValidForName"), "{error:?}");
    assert_eq!(get(&outside, "c.example.com", "/", "").await, "");
    assert_eq!(get_plain(&outside, "192.0.2.9", "/").await, "");
    assert_eq!(outside.calls().iter().map(|call| call.status).collect::<Vec<_>>(), [0, 0]);
    assert_eq!(outside.unasked(), Vec::<String>::new());
    assert!(shake_hands(&outside, "z.example.com").await.is_err());
    assert_eq!(outside.unasked(), ["https://z.example.com/"]);
}
