//! ARP asked from another machine, by a shell there that has `ip` and `arping`.

use kfcheck::Fault;

use crate::{ArpAnswer, ArpReply};

/// Asks who has the address that is its first argument. busybox is enough; it takes CAP_NET_RAW.
/// [`read_arp`] reads what it prints.
pub const ARP_SCRIPT: &str = r#"
way=$(ip -4 route get "$1" 2>&1) || { echo "failed $way"; exit; }
echo "way $(echo $way)"
set -- "$1" $way
address=$1
shift
[ "$1" = local ] && exit
while [ $# -gt 1 ]; do
  [ "$1" = via ] && exit
  if [ "$1" = dev ]; then
    arping -b -c 3 -w 4 -I "$2" "$address" 2>&1
    exit
  fi
  shift
done
"#;

/// What [`ARP_SCRIPT`] printed on `node` about `address`.
pub fn read_arp(printed: &str, address: &str, node: &str) -> Result<ArpAnswer, Fault> {
    let failed = |says: String| Err(Fault::Unreachable(format!("node {node}: {says}")));
    let mut lines = printed.lines();
    let words: Vec<_> = lines.next().unwrap_or_default().split_whitespace().collect();
    let after = |word: &str| words.iter().position(|w| *w == word).and_then(|at| words.get(at + 1));
    let (Some(&"way"), Some(interface)) = (words.first(), after("dev")) else {
        return failed(format!("there is no way to {address}: {}", words.join(" ")));
    };
    if words.get(1) == Some(&"local") {
        return failed(format!(
            "it has {address} itself, on {interface}, and can't ask itself; ask from another node"
        ));
    }
    if let Some(router) = after("via") {
        return failed(format!(
            "{address} is on none of its networks, but behind {router}; ask from a node of that \
             network"
        ));
    }
    let mut replies = Vec::new();
    let mut is_done = false;
    for line in lines {
        is_done |= line.starts_with("Sent ");
        let Some((_, reply)) = line.split_once(" reply from ") else { continue };
        let mac = reply.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
        let Some((mac, _)) = mac else { continue };
        let reply =
            ArpReply { mac: mac.to_ascii_lowercase(), interface: Some((*interface).to_owned()) };
        if !replies.contains(&reply) {
            replies.push(reply);
        }
    }
    if !is_done {
        let says = printed.lines().nth(1).unwrap_or("it said nothing");
        return failed(format!("arping -I {interface} {address} failed: {says}"));
    }
    let error = replies.is_empty().then(|| "no reply to 3 questions".to_owned());
    Ok(ArpAnswer {
        address: address.to_owned(),
        interface: Some((*interface).to_owned()),
        from: Some(node.to_owned()),
        replies,
        error,
        ..ArpAnswer::default()
    })
}

#[cfg(test)]
mod tests {
    use super::read_arp;

    const WAY: &str = "way 10.0.0.9 dev eth1 src 10.0.0.2";

    fn read(printed: &str) -> Result<Vec<String>, String> {
        let answer = read_arp(printed, "10.0.0.9", "worker-1").map_err(|e| e.to_string())?;
        assert_eq!(answer.interface.as_deref(), Some("eth1"));
        Ok(answer.replies.into_iter().map(|reply| reply.mac).collect())
    }

    #[test]
    fn each_who_answers_is_named_once_whichever_arping_it_is() {
        let busybox = format!(
            "{WAY}\nARPING 10.0.0.9 from 10.0.0.2 eth1\n\
             Unicast reply from 10.0.0.9 [52:54:00:12:35:0c] 0.046ms\n\
             Unicast reply from 10.0.0.9 [52:54:00:12:35:0d] 0.051ms\n\
             Unicast reply from 10.0.0.9 [52:54:00:12:35:0c] 0.046ms\n\
             Sent 3 probe(s) (3 broadcast(s))\nReceived 3 response(s)\n"
        );
        let both = ["52:54:00:12:35:0c", "52:54:00:12:35:0d"].map(str::to_owned).to_vec();
        assert_eq!(read(&busybox), Ok(both));
        let iputils = format!(
            "{WAY}\nARPING 10.0.0.9 from 10.0.0.2 eth1\n\
             Unicast reply from 10.0.0.9 [52:54:00:12:35:0C]  0.712ms\n\
             Sent 3 probes (3 broadcast(s))\nReceived 1 response(s)\n"
        );
        assert_eq!(read(&iputils), Ok(vec!["52:54:00:12:35:0c".to_owned()]));
    }

    #[test]
    fn silence_is_an_answer_and_a_question_that_was_not_asked_is_none() {
        let silence = format!("{WAY}\nARPING 10.0.0.9\nSent 3 probe(s) (3 broadcast(s))\n");
        assert_eq!(read(&silence), Ok(vec![]));
        let refused = format!("{WAY}\narping: socket: Operation not permitted\n");
        assert!(read(&refused).unwrap_err().contains("Operation not permitted"));
        for (printed, says) in [
            ("way local 10.0.0.9 dev lo src 10.0.0.9", "can't ask itself"),
            ("way 10.0.0.9 via 10.0.0.1 dev eth1 src 10.0.0.2", "behind 10.0.0.1"),
            ("failed RTNETLINK answers: Network is unreachable", "Network is unreachable"),
            ("sh: ip: not found", "ip: not found"),
            ("", "there is no way"),
        ] {
            let error = read(printed).unwrap_err();
            assert!(error.contains(says) && error.contains("worker-1"), "{error}");
        }
    }
}
