//! What holds whatever the outside world answers. The fuzz targets and the tests try it: each function
//! panics where it doesn't hold.

use rustls::pki_types::CertificateDer;
use serde::{Serialize, de::DeserializeOwned};

use crate::{ArpAnswer, DnsAnswer, HttpAnswer, LdapAnswer, Tls, ldap_wire, tls};

/// What an LDAP server sends, or, where it begins with a parenthesis, a filter.
pub fn ldap(bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.starts_with('(') => ldap_wire::fuzzing::filter(text),
        _ => ldap_wire::fuzzing::messages(bytes),
    }
}

/// A certificate in DER, and what was read of it.
pub fn certificate(bytes: &[u8]) -> Option<Tls> {
    let read = tls::read(&CertificateDer::from(bytes))?;
    assert!(read.dns_names.iter().flatten().count() <= bytes.len());
    Some(read)
}

/// The answers of one file of a bundle, whosoever they are: what is kept of them is read again as it is
/// written.
pub fn answers(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    kept::<ArpAnswer>(text);
    kept::<DnsAnswer>(text);
    kept::<HttpAnswer>(text);
    kept::<LdapAnswer>(text);
}

/// Reads a value, writes it and reads that; both have to be the same.
fn kept<T: Serialize + DeserializeOwned>(text: &str) {
    let Ok(value) = serde_json::from_str::<T>(text) else { return };
    let written = serde_json::to_string(&value).unwrap_or_default();
    let again = serde_json::from_str::<T>(&written).map(|again| serde_json::to_string(&again).ok());
    assert_eq!(again.ok().flatten().as_ref(), Some(&written), "{}", std::any::type_name::<T>());
}

/// What comes from the wire in answer to a question for the address in the first four bytes.
#[cfg(target_os = "linux")]
pub fn arp(bytes: &[u8]) {
    use crate::arp_wire::linux::{Neighbour, frame, holder, neighbour};
    use pnet_datalink::MacAddr;
    use std::net::Ipv4Addr;

    let Some((address, message)) = bytes.split_first_chunk::<4>() else { return };
    let address = Ipv4Addr::from(*address);
    if let Some(mac) = holder(message, address) {
        assert_eq!((&mac.octets()[..], &address.octets()[..]), (&message[8..14], &message[14..18]));
    }
    if let Some((mac, _)) = message.split_first_chunk::<6>() {
        // Who asks for an address in its own name has it.
        let asked = frame(MacAddr::from(*mac), address, Ipv4Addr::UNSPECIFIED);
        assert_eq!(holder(&asked[14..], address), Some(MacAddr::from(*mac)));
    }
    if let Ok(table) = std::str::from_utf8(message)
        && let Some(Neighbour::Known(mac)) = neighbour(table, address, "eth0")
    {
        assert!(table.contains(&mac) && table.contains(&address.to_string()));
    }
}

/// There is none.
#[cfg(not(target_os = "linux"))]
pub fn arp(_: &[u8]) {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    /// A few bytes in other places than they were.
    fn changed(bytes: &[u8], changes: &[(prop::sample::Index, u8)]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        bytes
    }

    const ANSWER: &str = r#"{ "url": "https://kf.example.com/", "status": 302,
        "requestHeaders": { "Authorization": "Bearer abcdefghijkl" },
        "headers": { "location": "/dex/auth?state=1", "set-cookie": ["a=b", "c=d"] },
        "bodySnippet": "token: abcdefgh1", "error": null, "name": "kf.example.com", "type": "A",
        "answers": ["10.0.0.1"], "address": "10.0.0.1", "replies": [{ "mac": "02-FC-00-00-00-05" }],
        "asked": "kernel", "connector": "ldap", "connect": { "ok": true, "tls": "StartTLS" },
        "binds": [{ "dn": "cn=a", "resultCode": "invalidCredentials (49)", "error": "no" }],
        "searches": [{ "purpose": "userSearch", "baseDN": "dc=a", "entries": [{ "dn": "uid=a",
            "attributes": { "mail": "a@example.com", "sn": ["x", null], "uidNumber": 7 } }] }],
        "tls": { "version": "TLSv1.3", "dnsNames": ["a"], "notAfter": "2026-12-01T00:00:00Z",
            "verified": true, "chain": ["CN=x", 7] } }"#;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_certificate_with_bytes_changed_is_read_or_not(
            changes in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 0..5),
        ) {
            let names = ["kf.example.com".to_owned(), "10.0.0.1".to_owned()];
            let key = KeyPair::generate().unwrap();
            let der = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
            prop_assert_eq!(certificate(der.der()).unwrap().dns_names.unwrap().len(), 2);
            certificate(&changed(der.der(), &changes));
        }

        #[test]
        fn what_is_kept_of_an_answer_is_read_again_as_it_is_written(
            changes in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 0..4),
            texts in prop::collection::vec("[ -~]{0,30}", 3),
        ) {
            answers(ANSWER.as_bytes());
            answers(&changed(ANSWER.as_bytes(), &changes));
            let quoted = |nth: usize| serde_json::json!(texts[nth]).to_string();
            let other = ANSWER.replace("\"token: abcdefgh1\"", &quoted(0)).replace("\"CN=x\"", &quoted(1));
            answers(other.replace("null, \"name\"", &format!("{}, \"name\"", quoted(2))).as_bytes());
        }

        #[test]
        fn any_frame_is_survived(
            bytes in prop::collection::vec(any::<u8>(), 0..60),
            changes in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 0..3),
        ) {
            arp(&bytes);
            let frame = [10, 0, 0, 1, 0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 9, 10, 0, 0, 1, 0, 0, 0, 0];
            arp(&changed(&frame, &changes));
            let table = "IP address HW type Flags HW address Mask Device\n\
                49.48.46.48 0x1 0x2 02:fc:00:00:00:05 * eth0\n";
            arp(&changed(&[b"10.0", table.as_bytes()].concat(), &changes));
        }
    }
}
