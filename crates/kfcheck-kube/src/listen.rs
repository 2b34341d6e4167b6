use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use kfcheck::{Cx, Fact, FactError, Place};
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
    /// A line of `/proc/net/tcp` or `tcp6`, where it is about a socket that listens (Linux, proc(5):
    /// addresses in the machine's byte order, words of 32 bits; state `0A`).
    pub(crate) fn listening(line: &str) -> Option<Self> {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (local, state) = (fields.get(1)?, fields.get(3)?);
        let (address, port) = local.split_once(':').filter(|_| *state == "0A")?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let words: Option<Vec<u32>> = (0..address.len() / 8)
            .map(|n| u32::from_str_radix(address.get(8 * n..8 * n + 8)?, 16).ok())
            .collect();
        let bytes: Vec<u8> = words?.iter().flat_map(|word| word.to_le_bytes()).collect();
        let address = match bytes.len() {
            4 => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
            16 => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
            _ => return None,
        };
        Some(Self { address: address.to_string(), port })
    }

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

impl ListenProbe {
    /// The command that shows it.
    pub fn command(&self) -> String {
        let Self { namespace, pod } = self;
        format!("kubectl exec -n {namespace} {pod} -- cat /proc/net/tcp /proc/net/tcp6")
    }
}

impl Fact for ListenProbe {
    const NAME: &'static str = "probe.listen";
    const NEEDS: &'static [&'static str] = &["create pods/exec"];
    type Value = Vec<Listening>;

    fn place(&self) -> Option<Place<Vec<Listening>>> {
        let (Self { namespace, pod }, command) = (self, self.command());
        Some(Place::members("probes/listen", [("namespace", &**namespace), ("pod", pod)], command))
    }

    async fn fetch(&self, cx: &Cx) -> Result<Vec<Listening>, FactError> {
        let Self { namespace, pod } = self.clone();
        let command = ["cat", "/proc/net/tcp", "/proc/net/tcp6"];
        let printed = crate::client::run(cx, &namespace, &pod, &command).await?;
        let mut sockets: Vec<_> = printed.lines().filter_map(Socket::listening).collect();
        sockets.sort_by_key(|socket| (socket.port, socket.address.clone()));
        sockets.dedup_by_key(|socket| (socket.port, socket.address.clone()));
        Ok(vec![Listening { namespace, pod, container: None, sockets }])
    }
}

#[cfg(test)]
mod tests {
    use super::Socket;

    fn read(line: &str) -> Option<(String, u16)> {
        Socket::listening(line).map(|socket| (socket.address, socket.port))
    }

    #[test]
    fn what_the_kernel_prints_is_read() {
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt";
        assert_eq!(read(head), None);
        let local = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000";
        assert_eq!(read(local), Some(("127.0.0.1".to_owned(), 8080)));
        let six =
            "   1: 00000000000000000000000001000000:1F91 00000000000000000000000000000000:0000 0A";
        assert_eq!(read(six), Some(("::1".to_owned(), 8081)));
        let connected =
            "   2: 0100007F:1F90 0100007F:A000 01 00000000:00000000 00:00000000 00000000";
        assert_eq!(read(connected), None);
        assert_eq!(read("0: ÄÖ:1 x 0A"), None);
    }
}
