use std::time::{Duration, Instant};

use kfcheck::Bundle;
use serde_json::json;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    task::yield_now,
};

use super::{Fault, FaultProxy, Proxy, Times};
use crate::{
    KubernetesMock, Served, Server,
    kubernetes::wire::{Answer, get, messages, send, talk},
};

const PODS: &str = "/api/v1/pods?limit=500";

async fn upstream() -> Server {
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "namespace": "kf", "name": "a" } });
    let sockets = json!([{ "address": "::", "port": 80 }]);
    let bundle = Bundle::default()
        .with("kubernetes/pods.json", pod)
        .with("probes/listen.json", json!([{ "namespace": "kf", "pod": "a", "sockets": sockets }]));
    KubernetesMock::new(Served::of(&bundle)).start().await.expect("a free port")
}

async fn before(server: &Server, route: &str, times: Times, fault: Fault) -> Proxy {
    FaultProxy::before(&server.url()).fault(route, times, fault).start().await.expect("a free port")
}

async fn statuses(proxy: &Proxy, calls: usize) -> Vec<u16> {
    let mut all = Vec::new();
    for _ in 0..calls {
        all.push(get(proxy.address(), PODS).await.status);
    }
    all
}

#[tokio::test]
async fn without_a_fault_nothing_changes() {
    let server = upstream().await;
    let proxy = FaultProxy::before(&server.url()).start().await.unwrap();
    let (direct, through) = (get(server.address(), PODS).await, get(proxy.address(), PODS).await);
    assert_eq!((direct.status, direct.body), (through.status, through.body));
    assert_eq!(proxy.calls(), [server.calls()[0].clone()]);
    assert_eq!((proxy.count("GET /api/v1/pods?limit"), proxy.count("POST")), (1, 0));
}

#[tokio::test]
async fn a_websocket_passes() {
    let server = upstream().await;
    let proxy = FaultProxy::before(&server.url()).start().await.unwrap();
    let exec = "/api/v1/namespaces/kf/pods/a/exec?stdout=true&command=cat&command=/proc/net/tcp6";
    let answer = talk(proxy.address(), exec).await;
    assert_eq!(answer.status, 101);
    let all = messages(&answer.body);
    let printed = String::from_utf8_lossy(&all[1].1).into_owned();
    assert!(printed.contains("00000000000000000000000000000000:0050"), "{printed}");
    assert_eq!(proxy.calls()[0].status, 101);
}

#[tokio::test]
async fn a_fault_comes_as_often_as_was_said() {
    let server = upstream().await;
    let status = || Fault::Status(500);
    let proxy = before(&server, "GET /api/v1/pods", Times::First(2), status()).await;
    assert_eq!(statuses(&proxy, 4).await, [500, 500, 200, 200]);
    let proxy = before(&server, "", Times::Every(2), status()).await;
    assert_eq!(statuses(&proxy, 4).await, [200, 500, 200, 500]);
    let proxy = before(&server, "POST", Times::Always, status()).await;
    assert_eq!(statuses(&proxy, 1).await, [200]);
}

#[tokio::test]
async fn the_fault_named_first_counts() {
    let server = upstream().await;
    let proxy = FaultProxy::before(&server.url())
        .fault("pods", Times::First(1), Fault::RetryAfter(429, 7))
        .fault("", Times::First(2), Fault::Status(503))
        .start()
        .await
        .unwrap();
    let first = get(proxy.address(), PODS).await;
    assert!(first.status == 429 && first.head.contains("retry-after: 7"), "{}", first.head);
    assert_eq!(statuses(&proxy, 2).await, [503, 200]);
}

#[tokio::test]
async fn errors_look_like_those_of_their_cloud() {
    let server = upstream().await;
    let reason = "Forbidden";
    let fault = Fault::Kubernetes { status: 403, reason, message: "no".to_owned() };
    let proxy = before(&server, "", Times::Always, fault).await;
    let denied = get(proxy.address(), PODS).await.json();
    assert_eq!((&denied["kind"], &denied["reason"]), (&json!("Status"), &json!("Forbidden")));
    let proxy = before(&server, "", Times::Always, Fault::Malformed).await;
    let odd = get(proxy.address(), PODS).await;
    assert_eq!((odd.status, odd.json().is_null()), (200, true));
    assert_eq!(server.calls().len(), 0);
}

#[tokio::test]
async fn half_an_answer_promises_the_whole() {
    let server = upstream().await;
    let proxy = before(&server, "", Times::Always, Fault::Truncate).await;
    let whole = get(server.address(), PODS).await.body;
    let Answer { status, head, body } = get(proxy.address(), PODS).await;
    assert_eq!((status, &*body), (200, &whole[..whole.len() / 2]));
    assert!(head.contains(&format!("content-length: {}", whole.len())), "{head}");
}

#[tokio::test]
async fn a_reset_is_one() {
    let server = upstream().await;
    let proxy = before(&server, "", Times::First(1), Fault::Reset).await;
    let request = format!("GET {PODS} HTTP/1.1\r\nConnection: close\r\n");
    let error = send(proxy.address(), &request, "").await.err().expect("no answer");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(statuses(&proxy, 1).await, [200]);
    assert_eq!(proxy.calls()[0].status, 0);
}

#[tokio::test]
async fn a_call_that_hangs_is_counted_and_not_answered() {
    let server = upstream().await;
    let proxy = before(&server, "", Times::Always, Fault::Hang).await;
    let address = proxy.address();
    let call = tokio::spawn(async move { get(address, PODS).await.status });
    while proxy.count("pods") == 0 {
        yield_now().await;
    }
    assert_eq!((call.is_finished(), proxy.calls()[0].status), (false, 0));
    drop(proxy);
    assert!(call.await.is_ok_and(|status| status == 0));
}

#[tokio::test]
async fn delays_add_up() {
    let server = upstream().await;
    let by = Duration::from_millis(10);
    let proxy = FaultProxy::before(&server.url()).delay(by);
    let proxy = proxy.fault("pods", Times::Always, Fault::Delay(by)).start().await.unwrap();
    let start = Instant::now();
    assert_eq!(statuses(&proxy, 1).await, [200]);
    assert!(start.elapsed() >= 2 * by);
}

#[tokio::test]
async fn a_body_passes_bit_by_bit() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/base/", listener.local_addr().unwrap());
    let proxy = FaultProxy::before(&url).start().await.unwrap();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    client.write_all(b"GET /x?y HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    server.write_all(head.as_bytes()).await.unwrap();
    for chunk in ["one", "two"] {
        server.write_all(format!("3\r\n{chunk}\r\n").as_bytes()).await.unwrap();
        // The answer is not over, and this much of it is there.
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains(chunk) {
            client.readable().await.unwrap();
            assert_ne!(client.try_read_buf(&mut seen).ok(), Some(0), "it ended");
        }
    }
    assert_eq!(proxy.calls()[0].query, "y");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_bad_gateway() {
    let gone = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let proxy = FaultProxy::before(&url).start().await.unwrap();
    assert_eq!(statuses(&proxy, 1).await, [502]);
    assert!(FaultProxy::before("https://127.0.0.1").start().await.is_err());
}
