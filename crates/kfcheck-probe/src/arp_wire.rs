//! ARP on the wire (RFC 826), where the system lets us; otherwise what the kernel hears.

use kfcheck::{Fault, async_trait};

use crate::{ArpAnswer, AskArp};

/// Asks on the wire that this machine is on. For want of CAP_NET_RAW it has the kernel ask, by
/// trying to connect.
#[derive(Clone, Debug, Default)]
pub struct ArpWire {
    /// The interface to ask through; without it, the one whose network holds the address.
    pub interface: Option<String>,
}

#[async_trait]
impl AskArp for ArpWire {
    async fn ask(&self, address: &str) -> Result<ArpAnswer, Fault> {
        let address = address.parse().map_err(|_| {
            Fault::Unreachable(format!(
                "{address} is no address of IPv4, and ARP asks for no others"
            ))
        })?;
        ask(address, self.interface.as_deref()).await
    }
}

#[cfg(not(target_os = "linux"))]
async fn ask(address: std::net::Ipv4Addr, _: Option<&str>) -> Result<ArpAnswer, Fault> {
    Err(Fault::Unreachable(format!(
        "ARP is asked on Linux only; `arping -c 3 {address}` on a Linux machine of that network shows \
         who answers"
    )))
}

#[cfg(target_os = "linux")]
use linux::ask;

#[cfg(target_os = "linux")]
pub(crate) mod linux {
    use std::{
        cmp::Reverse,
        collections::BTreeSet,
        io,
        net::{IpAddr, Ipv4Addr, SocketAddr},
        time::{Duration, Instant},
    };

    use kfcheck::Fault;
    use pnet_datalink::{Channel, ChannelType, Config, MacAddr, NetworkInterface, channel};
    use tokio::net::TcpStream;

    use crate::{ArpAnswer, ArpReply, Asked};

    /// How often the question is asked.
    const QUESTIONS: u32 = 3;
    /// How long it is listened after each. All of it, since a second answer may come last.
    const WINDOW: Duration = Duration::from_secs(1);
    /// How long it is waited for one message.
    const PATIENCE: Duration = Duration::from_millis(50);
    /// How many who answer are told apart; a wire with more is broken as it is.
    const MOST: usize = 16;
    /// How often listening may fail.
    const FAILURES: u32 = 10;
    /// How long the kernel may take to give up: three questions, one second each.
    const KERNEL: Duration = Duration::from_secs(5);
    /// What the kernel asks for: any port will do.
    const PORT: u16 = 443;

    /// The type of ARP among the protocols on Ethernet.
    const ARP: u16 = 0x0806;
    const BROADCAST: MacAddr = MacAddr(0xff, 0xff, 0xff, 0xff, 0xff, 0xff);
    /// Ethernet and IPv4, with addresses of 6 and 4 bytes.
    const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
    const REQUEST: [u8; 2] = [0, 1];

    /// Where the question goes out.
    struct Way {
        interface: NetworkInterface,
        mac: MacAddr,
        /// Who asks: this machine's own address there, if it has one.
        own: Ipv4Addr,
    }

    pub(super) async fn ask(address: Ipv4Addr, named: Option<&str>) -> Result<ArpAnswer, Fault> {
        let way = Way::to(address, named, pnet_datalink::interfaces())?;
        let name = way.interface.name.clone();
        let listened = tokio::task::spawn_blocking(move || way.listen(address)).await;
        let heard = listened.map_err(|error| Fault::Bug(format!("listening: {error}")))?;
        let answer = ArpAnswer {
            address: address.to_string(),
            interface: Some(name.clone()),
            ..ArpAnswer::default()
        };
        match heard {
            Ok(macs) => {
                let reply =
                    |mac: MacAddr| ArpReply { mac: mac.to_string(), interface: Some(name.clone()) };
                let replies: Vec<_> = macs.into_iter().map(reply).collect();
                let error =
                    replies.is_empty().then(|| format!("no reply to {QUESTIONS} questions"));
                Ok(ArpAnswer { replies, error, ..answer })
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                ask_kernel(address, ArpAnswer { asked: Asked::Kernel, ..answer }).await
            }
            Err(error) => Err(Fault::Unreachable(format!(
                "cannot ask who has {address} through {name}: {error}"
            ))),
        }
    }

    impl Way {
        fn to(
            address: Ipv4Addr,
            named: Option<&str>,
            interfaces: Vec<NetworkInterface>,
        ) -> Result<Self, Fault> {
            let failed = |says: String| Err(Fault::Unreachable(says));
            let has = |interface: &&NetworkInterface| {
                interface.ips.iter().any(|network| network.ip() == IpAddr::V4(address))
            };
            if let Some(NetworkInterface { name, .. }) = interfaces.iter().find(has) {
                return failed(format!(
                    "{address} is this machine's own address, on {name}, and it can't ask itself; ask \
                     from another machine of that network"
                ));
            }
            let chosen = match named {
                Some(name) => by_name(name, interfaces)?,
                None => by_network(address, interfaces)?,
            };
            let Some(mac) = chosen.mac.filter(|_| chosen.is_up() && has_mac(&chosen)) else {
                let name = chosen.name;
                return failed(format!("the interface {name} is down or has no hardware address"));
            };
            let addresses = chosen.ips.iter().filter_map(|network| match network.ip() {
                IpAddr::V4(own) => Some((network.contains(IpAddr::V4(address)), own)),
                IpAddr::V6(_) => None,
            });
            // Without one, the question is asked as RFC 5227 has it.
            let own = addresses
                .max_by_key(|(near, _)| *near)
                .map_or(Ipv4Addr::UNSPECIFIED, |(_, own)| own);
            Ok(Self { interface: chosen, mac, own })
        }

        /// Who says that the address is its, within all of the window. Others' floods cost time, of
        /// which there is no more than that.
        fn listen(&self, address: Ipv4Addr) -> io::Result<BTreeSet<MacAddr>> {
            let Channel::Ethernet(_, mut listener) = self.open(ChannelType::Layer3(ARP))? else {
                return Err(io::Error::other("no such sort of socket"));
            };
            let mut heard = BTreeSet::new();
            let mut failures = 0;
            for _ in 0..QUESTIONS {
                self.question(address)?;
                let end = Instant::now() + WINDOW;
                while Instant::now() < end {
                    match listener.next() {
                        Ok(message) if heard.len() < MOST => heard.extend(holder(message, address)),
                        Ok(_) => {}
                        Err(error) if is_passing(&error) => {}
                        Err(error) => {
                            failures += 1;
                            if failures > FAILURES {
                                return Err(error);
                            }
                        }
                    }
                }
            }
            Ok(heard)
        }

        fn question(&self, address: Ipv4Addr) -> io::Result<()> {
            let Channel::Ethernet(mut sender, _) = self.open(ChannelType::Layer2)? else {
                return Err(io::Error::other("no such sort of socket"));
            };
            let sent = sender.send_to(&frame(self.mac, self.own, address), None);
            sent.unwrap_or_else(|| Err(io::Error::other("the question was not sent")))
        }

        fn open(&self, channel_type: ChannelType) -> io::Result<Channel> {
            let config = Config {
                channel_type,
                promiscuous: false,
                read_timeout: Some(PATIENCE),
                write_timeout: Some(WINDOW),
                ..Config::default()
            };
            channel(&self.interface, config)
        }
    }

    /// The question, with the head that Ethernet takes.
    pub(crate) fn frame(mac: MacAddr, own: Ipv4Addr, address: Ipv4Addr) -> Vec<u8> {
        [
            &BROADCAST.octets()[..],
            &mac.octets(),
            &ARP.to_be_bytes(),
            &ETHERNET_IPV4,
            &REQUEST,
            &mac.octets(),
            &own.octets(),
            &[0; 6],
            &address.octets(),
        ]
        .concat()
    }

    fn by_name(name: &str, interfaces: Vec<NetworkInterface>) -> Result<NetworkInterface, Fault> {
        let known: Vec<_> = interfaces.iter().map(|interface| interface.name.clone()).collect();
        let found = interfaces.into_iter().find(|interface| interface.name == name);
        found.ok_or_else(|| {
            let known = known.join(", ");
            Fault::Unreachable(format!("there is no interface {name} here; there are {known}"))
        })
    }

    /// The interface with the smallest network that holds the address.
    fn by_network(
        address: Ipv4Addr,
        interfaces: Vec<NetworkInterface>,
    ) -> Result<NetworkInterface, Fault> {
        let prefix = |interface: &NetworkInterface| {
            let networks = interface.ips.iter().filter(|n| n.contains(IpAddr::V4(address)));
            networks.map(ipnetwork::IpNetwork::prefix).filter(|prefix| *prefix < 32).max()
        };
        let able = |i: &NetworkInterface| i.is_up() && has_mac(i) && prefix(i).is_some();
        let able = interfaces.into_iter().filter(able);
        able.max_by_key(|i| (prefix(i), Reverse(i.index))).ok_or_else(|| {
            Fault::Unreachable(format!(
                "{address} is on no network of this machine's, so it can't be asked for from here; \
                 ask from a machine of that network, or name the interface with --arp-interface"
            ))
        })
    }

    fn has_mac(interface: &NetworkInterface) -> bool {
        interface.mac.is_some_and(|mac| mac != MacAddr::zero()) && !interface.is_loopback()
    }

    fn is_passing(error: &io::Error) -> bool {
        use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
        matches!(error.kind(), TimedOut | WouldBlock | Interrupted)
    }

    /// Who says in a message that the address is its: in an answer, or by asking in its name (RFC
    /// 5227, section 2.1.1).
    pub(crate) fn holder(message: &[u8], address: Ipv4Addr) -> Option<MacAddr> {
        let (head, rest) = message.split_first_chunk::<8>()?;
        let (mac, rest) = rest.split_first_chunk::<6>()?;
        let (sender, _) = rest.split_first_chunk::<4>()?;
        let is_arp = head[..6] == ETHERNET_IPV4 && matches!(head[6..], [0, 1 | 2]);
        (is_arp && Ipv4Addr::from(*sender) == address).then_some(MacAddr::from(*mac))
    }

    /// Has the kernel ask, by trying to connect, and reads what it heard. It keeps one answer only.
    async fn ask_kernel(address: Ipv4Addr, answer: ArpAnswer) -> Result<ArpAnswer, Fault> {
        let interface = answer.interface.clone().unwrap_or_default();
        let trying = TcpStream::connect(SocketAddr::from((address, PORT)));
        let tried = tokio::time::timeout(KERNEL, trying).await;
        let table = std::fs::read_to_string("/proc/net/arp").unwrap_or_default();
        let neighbour = neighbour(&table, address, &interface);
        let unreachable = |error: &io::Error| error.kind() == io::ErrorKind::HostUnreachable;
        match (tried, neighbour) {
            // What somebody answered came from who the kernel knows.
            (Ok(Ok(_)), Some(Neighbour::Known(mac))) => {
                let replies = vec![ArpReply { mac, interface: answer.interface.clone() }];
                Ok(ArpAnswer { replies, ..answer })
            }
            (Ok(Err(error)), Some(Neighbour::Known(mac)))
                if error.kind() == io::ErrorKind::ConnectionRefused =>
            {
                let replies = vec![ArpReply { mac, interface: answer.interface.clone() }];
                Ok(ArpAnswer { replies, ..answer })
            }
            (Ok(Err(error)), Some(Neighbour::Silent)) if unreachable(&error) => {
                let error = Some("no reply to the kernel's questions".to_owned());
                Ok(ArpAnswer { error, ..answer })
            }
            // An old answer that the kernel still has may be the one of somebody who is gone.
            _ => Err(Fault::Denied { permission: "CAP_NET_RAW".to_owned() }),
        }
    }

    /// What the kernel knows of somebody on the wire.
    #[derive(Debug, PartialEq, Eq)]
    pub(crate) enum Neighbour {
        /// This is its hardware address, or was.
        Known(String),
        /// It does not answer.
        Silent,
    }

    /// A line of `/proc/net/arp` (Linux, proc(5)): address, hardware type, flags, hardware address,
    /// mask, interface. The flag 2: complete.
    pub(crate) fn neighbour(table: &str, address: Ipv4Addr, interface: &str) -> Option<Neighbour> {
        let of = |line: &str| {
            let fields: Vec<_> = line.split_whitespace().collect();
            let &[ip, _, flags, mac, _, device] = &fields[..] else { return None };
            if ip.parse() != Ok(address) || device != interface {
                return None;
            }
            let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).ok()?;
            Some(if flags & 2 == 0 { Neighbour::Silent } else { Neighbour::Known(mac.to_owned()) })
        };
        table.lines().find_map(of)
    }

    #[cfg(test)]
    mod tests {
        use pnet_datalink::MacAddr;

        use super::*;

        const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);

        fn interface(name: &str, ips: &[&str]) -> NetworkInterface {
            NetworkInterface {
                name: name.to_owned(),
                description: String::new(),
                index: 1,
                mac: Some(MacAddr(2, 0, 0, 0, 0, 1)),
                ips: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
                // IFF_UP
                flags: 1,
            }
        }

        fn chosen(
            named: Option<&str>,
            interfaces: Vec<NetworkInterface>,
        ) -> Result<String, String> {
            let way = Way::to(ADDRESS, named, interfaces);
            way.map(|way| format!("{} {}", way.interface.name, way.own)).map_err(|e| e.to_string())
        }

        #[test]
        fn the_interface_whose_network_is_the_smallest_is_asked_through() {
            let near = || interface("near", &["fe80::1/64", "10.0.0.1/24"]);
            let all = || {
                vec![interface("wide", &["10.9.9.9/8"]), near(), interface("far", &["10.1.0.1/24"])]
            };
            assert_eq!(chosen(None, all()).unwrap(), "near 10.0.0.1");
            assert_eq!(chosen(Some("far"), all()).unwrap(), "far 10.1.0.1");
            assert_eq!(chosen(Some("bare"), vec![interface("bare", &[])]).unwrap(), "bare 0.0.0.0");
            let none = chosen(Some("eth7"), all()).unwrap_err();
            assert_eq!(
                none,
                "unreachable: there is no interface eth7 here; there are wide, near, far"
            );
        }

        #[test]
        fn an_address_elsewhere_or_of_ones_own_is_not_asked_for() {
            let far = chosen(None, vec![interface("far", &["10.1.0.1/24"])]).unwrap_err();
            assert!(far.contains("is on no network of this machine's"), "{far}");
            let dummy = interface("kube-ipvs0", &["10.0.0.100/32"]);
            let own = chosen(None, vec![interface("eth0", &["10.0.0.1/24"]), dummy]).unwrap_err();
            assert!(own.contains("this machine's own address, on kube-ipvs0"), "{own}");
            let mut down = interface("eth0", &["10.0.0.1/24"]);
            down.flags = 0;
            assert!(chosen(None, vec![down.clone()]).is_err());
            let says = chosen(Some("eth0"), vec![down]).unwrap_err();
            assert!(says.contains("is down or has no hardware address"), "{says}");
        }

        #[test]
        fn who_says_that_the_address_is_its_holds_it() {
            let message = |operation: u8, sender: [u8; 4]| {
                let head = [&ETHERNET_IPV4[..], &[0, operation], &[2, 0, 0, 0, 0, 9]].concat();
                [&head[..], &sender, &[0; 10]].concat()
            };
            let mac = Some(MacAddr(2, 0, 0, 0, 0, 9));
            assert_eq!(holder(&message(2, ADDRESS.octets()), ADDRESS), mac);
            assert_eq!(holder(&message(1, ADDRESS.octets()), ADDRESS), mac);
            assert_eq!(holder(&message(2, [10, 0, 0, 7]), ADDRESS), None);
            assert_eq!(holder(&message(3, ADDRESS.octets()), ADDRESS), None);
            for length in 0..28 {
                let cut = &message(2, ADDRESS.octets())[..length];
                assert_eq!(holder(cut, ADDRESS).is_some(), length >= 18);
            }
        }

        #[test]
        fn the_kernels_table_is_read() {
            let table = "\
IP address       HW type     Flags       HW address            Mask     Device
10.0.0.100       0x1         0x0         00:00:00:00:00:00     *        eth1
10.0.0.100       0x1         0x2         02:fc:00:00:00:05     *        eth0
";
            let known = Neighbour::Known("02:fc:00:00:00:05".to_owned());
            assert_eq!(neighbour(table, ADDRESS, "eth0"), Some(known));
            assert_eq!(neighbour(table, ADDRESS, "eth1"), Some(Neighbour::Silent));
            assert_eq!(neighbour(table, ADDRESS, "eth2"), None);
            assert_eq!(neighbour("10.0.0.100 x", ADDRESS, "eth0"), None);
        }
    }
}
