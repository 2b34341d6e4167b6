use std::net::IpAddr;

use kfcheck::{Fact, Place};
use serde::{Deserialize, Serialize};

/// On which addresses the containers of a pod listen.
#[derive(Clone, Debug, Serialize)]
pub struct ListenProbe {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod.
    pub pod: String,
}

/// On which addresses one container listens. Containers of a pod share its network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Listening {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// The container asked.
    #[serde(default)]
    pub container: Option<String>,
    /// What it listens on.
    #[serde(default)]
    pub sockets: Vec<Socket>,
}

/// One listening socket.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Socket {
    /// `0.0.0.0`, `::` or `*`: everywhere.
    pub address: String,
    /// The port.
    pub port: u16,
}

impl Socket {
    /// Whether only the pod itself can reach it.
    pub fn is_local(&self) -> bool {
        let address = self.address.trim_matches(['[', ']']);
        match address.parse::<IpAddr>() {
            Ok(IpAddr::V6(v6)) => {
                v6.is_loopback() || v6.to_ipv4_mapped().is_some_and(|v4| v4.is_loopback())
            }
            Ok(IpAddr::V4(v4)) => v4.is_loopback(),
            Err(_) => address == "localhost",
        }
    }
}

impl Fact for ListenProbe {
    const NAME: &'static str = "probe.listen";
    const NEEDS: &'static [&'static str] = &["create pods/exec"];
    type Value = Vec<Listening>;

    fn place(&self) -> Option<Place<Vec<Listening>>> {
        let Self { namespace, pod } = self;
        let command =
            format!("kubectl exec -n {namespace} {pod} -- cat /proc/net/tcp /proc/net/tcp6");
        Some(Place::members("probes/listen", [("namespace", &**namespace), ("pod", pod)], command))
    }
}
