//! ARP on a wire of the kernel's own: hosts are network namespaces, joined by a bridge. Where no
//! namespace can be made, these tests say so and are skipped.
#![cfg(target_os = "linux")]

use std::{
    env,
    io::{self, Write},
    process::{Command, Output},
    time::{Duration, Instant},
};

use kfcheck_probe::{ArpAnswer, ArpWire, AskArp, Asked};
use pnet_datalink::{Channel, Config, MacAddr};

/// Who asks, with a bridge and an address of its own; `neighbour N ADDRESS` is a host on it.
const WIRE: &str = r#"
set -e
ip link set lo up
ip link add br0 type bridge
ip addr add 10.77.0.1/24 dev br0
ip link set br0 up
neighbour() {
  unshare --net sleep 60 &
  pid=$!
  while [ "$(readlink /proc/$pid/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do :; done
  ip link add v$1 type veth peer name eth0 address 02:00:00:00:00:0$1
  ip link set v$1 master br0 up
  ip link set eth0 netns $pid
  inside="nsenter --target $pid --net"
  $inside ip addr add $2 dev eth0
  $inside ip link set eth0 up
}
"#;

/// Runs a script in a network of its own that ends with it. None: that can't be done here.
fn on_a_wire(script: &str) -> Option<Output> {
    let own = ["--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let as_root = ["--user", "--map-root-user"];
    for options in [&own[..], &[&own[..], &as_root].concat()] {
        let able = Command::new("unshare").args(options).args(["ip", "link"]).output();
        if able.is_ok_and(|tried| tried.status.success()) {
            let mut all = Command::new("unshare");
            all.args(options).args(["sh", "-c", &format!("{WIRE}\n{script}")]);
            let ended = all.env("EXE", env::current_exe().expect("a test has a file")).output();
            let ended = ended.expect("it ran before");
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
            return Some(ended);
        }
    }
    // Past what the test runner keeps to itself.
    let says = b"SKIPPED: no network namespace can be made here, so ARP was not tried\n";
    io::stderr().write_all(says).expect("somebody listens");
    None
}

/// What is answered to somebody on the wire, and how long it took.
fn asked(
    neighbours: &str,
    address: &str,
    run: &str,
) -> Option<(Result<ArpAnswer, String>, Duration)> {
    let script = format!(
        "{neighbours}\nADDRESS={address} {run} \"$EXE\" who_asks --exact --ignored --nocapture"
    );
    let start = Instant::now();
    let ended = on_a_wire(&script)?;
    let printed = String::from_utf8_lossy(&ended.stdout).into_owned();
    let mut lines = printed.lines().filter_map(|line| line.split_once("ANSWER "));
    let (_, answer) = lines.next().unwrap_or_else(|| panic!("{printed}"));
    Some((serde_json::from_str(answer).expect("an answer"), start.elapsed()))
}

fn macs(answer: &ArpAnswer) -> Vec<&str> {
    ArpAnswer::macs(std::slice::from_ref(answer))
}

/// What runs in a network of its own.
#[tokio::test]
#[ignore = "the other tests run it"]
async fn who_asks() {
    let Ok(address) = env::var("ADDRESS") else { return };
    let wire = ArpWire { interface: env::var("INTERFACE").ok() };
    let answer = wire.ask(&address).await;
    let answer = answer.map_err(|fault| fault.to_string());
    writeln!(io::stdout(), "\nANSWER {}", serde_json::to_string(&answer).unwrap()).unwrap();
}

/// Says all the time, in the name of ever others, that it has an address.
#[test]
#[ignore = "the other tests run it"]
fn who_floods() {
    // Nowhere but in a network of its own.
    let Ok("10.77.0.100") = env::var("FLOOD").as_deref() else { return };
    let all = pnet_datalink::interfaces();
    let interface = all.iter().find(|interface| interface.name == "eth0").unwrap();
    let opened = pnet_datalink::channel(interface, Config::default()).unwrap();
    let Channel::Ethernet(mut sender, _) = opened else { panic!() };
    for n in 0u32.. {
        let [_, b, c, d] = n.to_be_bytes();
        let mac = MacAddr(2, 1, 0, b, c, d).octets();
        let ours = if n % 2 == 0 { [10, 77, 0, 100] } else { [10, 77, c, d] };
        let arp = [0, 1, 8, 0, 6, 4, 0, 2];
        let frame = [&[0xff; 6][..], &mac, &[8, 6], &arp, &mac, &ours, &[0xff; 6], &ours].concat();
        // A full queue is no reason to stop.
        let _ = sender.send_to(&frame, None);
    }
}

#[test]
fn the_one_host_that_has_an_address_answers() {
    let neighbours = "neighbour 1 10.77.0.100/24; neighbour 2 10.77.0.101/24";
    let Some((answer, took)) = asked(neighbours, "10.77.0.100", "") else { return };
    let answer = answer.unwrap();
    assert_eq!(macs(&answer), ["02:00:00:00:00:01"]);
    assert_eq!(answer.interface.as_deref(), Some("br0"));
    assert_eq!(answer.replies[0].interface.as_deref(), Some("br0"));
    assert_eq!((answer.asked, answer.error), (Asked::Wire, None));
    assert!(took > Duration::from_secs(3), "it was listened for all of the window, not {took:?}");
}

#[test]
fn where_nobody_has_an_address_nobody_answers() {
    let Some((answer, _)) = asked("neighbour 1 10.77.0.101/24", "10.77.0.100", "") else { return };
    let answer = answer.unwrap();
    assert!(ArpAnswer::is_silent(std::slice::from_ref(&answer)));
    assert_eq!(answer.error.as_deref(), Some("no reply to 3 questions"));
}

#[test]
fn both_hosts_that_have_an_address_answer() {
    let neighbours = "neighbour 1 10.77.0.100/24; neighbour 2 10.77.0.100/24";
    let Some((answer, _)) = asked(neighbours, "10.77.0.100", "") else { return };
    assert_eq!(macs(&answer.unwrap()), ["02:00:00:00:00:01", "02:00:00:00:00:02"]);
}

#[test]
fn an_address_of_another_network_is_not_asked_for() {
    let neighbours = "neighbour 1 10.88.0.100/24";
    let Some((answer, took)) = asked(neighbours, "10.88.0.100", "") else { return };
    let says = answer.unwrap_err();
    assert!(says.contains("10.88.0.100 is on no network of this machine's"), "{says}");
    assert!(took < Duration::from_secs(3), "{took:?}");

    // Unless somebody knows better. Linux answers also who asks from another network.
    let Some((answer, _)) = asked(neighbours, "10.88.0.100", "INTERFACE=br0") else { return };
    assert_eq!(macs(&answer.unwrap()), ["02:00:00:00:00:01"]);
}

#[test]
fn ones_own_address_is_not_asked_for() {
    let Some((answer, _)) = asked("neighbour 1 10.77.0.1/24", "10.77.0.1", "") else { return };
    let says = answer.unwrap_err();
    assert!(says.contains("10.77.0.1 is this machine's own address, on br0"), "{says}");
}

#[test]
fn a_flood_takes_no_longer_and_no_more_room() {
    let neighbours = "neighbour 1 10.77.0.101/24
        FLOOD=10.77.0.100 $inside \"$EXE\" who_floods --exact --ignored &";
    let Some((answer, took)) = asked(neighbours, "10.77.0.100", "") else { return };
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(macs(&answer.unwrap()).len(), 16);
}

#[test]
fn without_the_right_to_ask_the_kernel_tells_one_from_none_and_no_more() {
    let without = "setpriv --bounding-set=-net_raw --inh-caps=-net_raw";
    let neighbours = "neighbour 1 10.77.0.100/24; neighbour 2 10.77.0.100/24";
    let Some((answer, _)) = asked(neighbours, "10.77.0.100", without) else { return };
    let answer = answer.unwrap();
    assert_eq!((answer.asked, macs(&answer).len()), (Asked::Kernel, 1));
    assert!(!ArpAnswer::would_show_conflict(&[answer]), "it can't be known to be the only one");

    let Some((answer, _)) = asked("", "10.77.0.100", without) else { return };
    let answer = answer.unwrap();
    assert_eq!(answer.asked, Asked::Kernel);
    assert!(ArpAnswer::is_silent(&[answer]));

    // One that drops what it doesn't like is there, and the kernel's table alone doesn't say since
    // when.
    let drops = "neighbour 1 10.77.0.100/24; $inside ip route add blackhole 10.77.0.1/32";
    let Some((answer, _)) = asked(drops, "10.77.0.100", without) else { return };
    assert_eq!(answer.unwrap_err(), "permission CAP_NET_RAW denied");
}
