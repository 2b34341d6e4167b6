//! Web servers that only a cluster knows by name, asked through its API server.

use std::{io, net::SocketAddr};

use kfcheck::{Bundle, Fault, World, async_trait};
use kfcheck_kube::{Access, KubeClient, PortForward};
use kfcheck_mocks::{KubernetesMock, Outside, OutsideMock, Served, Server, kubeconfig};
use kfcheck_probe::{Dial, HttpAnswer, HttpProbe};
use serde_json::{Value, json};
use tokio::net::TcpStream;

const DEX: &str = "http://dex.auth.svc.cluster.local:5556/dex/.well-known/openid-configuration";

/// Nobody gets anywhere from this machine.
struct Nowhere;

#[async_trait]
impl Dial for Nowhere {
    async fn dial(&self, _: SocketAddr) -> io::Result<TcpStream> {
        Err(io::ErrorKind::ConnectionRefused.into())
    }
}

fn bundle() -> Bundle {
    let named = |name: &str| json!({ "namespace": "auth", "name": name });
    let ports = json!([{ "name": "http", "port": 5556, "targetPort": 5556 }]);
    let reference = json!({ "kind": "Pod", "namespace": "auth", "name": "dex-1" });
    let of = |service: &str, subsets: Value| {
        json!({ "apiVersion": "v1", "kind": "Endpoints", "metadata": named(service),
            "subsets": subsets })
    };
    let subsets = json!([{ "addresses": [{ "ip": "10.1.0.7", "targetRef": reference }],
        "ports": [{ "name": "http", "port": 5556 }] }]);
    let service = |name: &str| {
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": named(name),
            "spec": { "ports": ports, "selector": { "app": name } } })
    };
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": named("dex-1"),
        "spec": { "containers": [{ "name": "dex", "image": "dexidp/dex:v2.41.1" }] } });
    let items = json!([
        service("dex"),
        service("starting"),
        pod,
        of("dex", subsets),
        of("starting", json!([]))
    ]);
    let answer = json!([{ "url": DEX, "status": 200, "headers": {},
        "bodySnippet": "{\"issuer\": \"http://dex.auth.svc.cluster.local:5556/dex\"}" }]);
    Bundle::default()
        .with("kubernetes/all.json", json!({ "apiVersion": "v1", "kind": "List", "items": items }))
        .with("probes/http.json", answer)
}

struct Sky {
    kubernetes: Server,
    outside: Outside,
    folder: tempfile::TempDir,
}

impl Sky {
    async fn of(bundle: Bundle) -> Self {
        let served = Served::of(&bundle);
        let outside = OutsideMock::new(served.clone()).start().await.expect("a port");
        let pods = [("auth/dex-1", outside.http_address())];
        let kubernetes = KubernetesMock::new(served).forwarding(pods).start().await;
        let folder = tempfile::tempdir().expect("a folder");
        Self { kubernetes: kubernetes.expect("a port"), outside, folder }
    }

    fn world(&self) -> World {
        let kubeconfig = kubeconfig(&self.kubernetes.url(), "t");
        let file = self.folder.path().join("kubeconfig");
        std::fs::write(&file, kubeconfig.to_string()).expect("a file");
        let access = Access { kubeconfig: Some(file), ..Access::default() };
        let outside = kfcheck_probe::Outside::new(Some(self.outside.dns_address()));
        let outside = outside.expect("a resolver").dialer(Nowhere).inside(PortForward);
        World::live().client(Ok(KubeClient::new(access))).client(Ok(outside))
    }
}

async fn ask(world: &World, url: &str) -> HttpAnswer {
    let answers = world.cx("test").get(HttpProbe { url: url.to_owned() }).await;
    answers.expect("an answer").first().expect("one").clone()
}

#[tokio::test]
async fn a_service_is_asked_through_a_port_forward_to_its_pod() {
    let sky = Sky::of(bundle()).await;
    let world = sky.world();
    let seen = ask(&world, DEX).await;
    assert_eq!((seen.status, seen.error.as_deref()), (Some(200), None));
    assert!(seen.body_snippet.as_deref().unwrap_or_default().contains("\"issuer\""));
    assert_eq!(seen.note.as_deref(), Some("port-forward to pod auth/dex-1"));
    assert_eq!(sky.kubernetes.unknown(), [""; 0]);

    let again = ask(&World::replay(world.bundle()), DEX).await;
    assert_eq!(json!(again), json!(seen), "and once more from what was written down of it");
}

#[tokio::test]
async fn a_service_that_nothing_stands_behind_says_so() {
    let sky = Sky::of(bundle()).await;
    let world = sky.world();
    for (host, why) in [
        ("starting.auth.svc:5556", "connect: Service auth/starting has no ready endpoint"),
        ("gone.auth.svc:5556", "dns: there is no Service auth/gone"),
        ("dex.auth.svc:80", "connect: Service auth/dex has no port 80"),
    ] {
        let seen = ask(&world, &format!("http://{host}/")).await;
        assert_eq!((seen.status, seen.error.as_deref()), (None, Some(why)));
    }
    let seen = ask(&world, "http://other.example.com/").await;
    assert_eq!(seen.note, None, "what is no Service's name is asked from here");
}

#[tokio::test]
async fn who_may_not_forward_ports_is_told_which_permission_it_takes() {
    let denied = json!({ "denied": { "permission": "create pods/portforward" } });
    let manifest = json!({ "schemaVersion": 1, "errors": { "probes/ldap": denied } });
    let sky = Sky::of(bundle().with("bundle.yaml", manifest)).await;
    let error = sky.world().cx("test").get(HttpProbe { url: DEX.to_owned() }).await.unwrap_err();
    assert_eq!(error.fault, Fault::Denied { permission: "create pods/portforward".to_owned() });
}
