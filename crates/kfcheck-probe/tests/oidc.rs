//! A provider to sign in at that others have written: what it says of itself is read by the probe.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use kfcheck::World;
use kfcheck_probe::{HttpAnswer, HttpProbe, Outside};

/// It ends when this is dropped.
struct Provider {
    server: Child,
    address: SocketAddr,
}

impl Provider {
    fn start() -> Self {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools");
        let program = tools.join("oidc-provider/bin/oidc-provider-mock");
        // Somebody else may take a port that was free a moment ago.
        for _ in 0..5 {
            let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|l| l.local_addr());
            let address = free.expect("a port");
            let mut server = Command::new(&program)
                .args(["--host", "127.0.0.1", "--port", &address.port().to_string()])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("oidc-provider-mock, which scripts/setup --tests installs");
            let late = Instant::now() + Duration::from_secs(30);
            while server.try_wait().expect("it is ours").is_none() && Instant::now() < late {
                if TcpStream::connect(address).is_ok() {
                    return Self { server, address };
                }
                std::thread::yield_now();
            }
            let _ = server.kill();
            let _ = server.wait();
        }
        panic!("{} does not listen", program.display());
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[tokio::test]
async fn what_a_provider_says_of_itself_is_read_whole() {
    let provider = Provider::start();
    let issuer = format!("http://{}", provider.address);
    let outside = Outside::new(None).expect("this machine has name servers");
    let world = World::live().client(Ok(outside));
    let ask = async |path: &str| {
        let url = format!("{issuer}{path}");
        let answers = world.cx("test").get(HttpProbe { url }).await.unwrap();
        HttpAnswer::anonymous(&answers).cloned().unwrap()
    };
    let known = ask("/.well-known/openid-configuration").await;
    assert_eq!(known.status, Some(200));
    let body: serde_json::Value =
        serde_json::from_str(known.body_snippet.as_deref().unwrap()).unwrap();
    assert_eq!(body["issuer"], *issuer);
    assert_eq!(body["jwks_uri"], format!("{issuer}/jwks"));

    let keys = ask("/jwks").await;
    assert!(keys.body_snippet.unwrap().contains("\"keys\""));
    let wrong = ask("/oauth2/authorize?client_id=x&response_type=code").await;
    assert_eq!(wrong.status, Some(400), "it wants to know where to lead back to");
}
