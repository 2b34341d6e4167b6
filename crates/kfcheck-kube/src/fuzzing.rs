//! What holds whatever a cluster says. The fuzz targets and the tests below try it: each function panics
//! where it doesn't hold.

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    ApiGateway, ApiRoute, Certificate, ConfigMap, CustomResourceDefinition, DaemonSet, Deployment,
    DexConfig, EndpointSlice, Endpoints, Event, Gateway, InferenceService, Ingress, LogLines,
    MutatingWebhook, Namespace, Node, Object, Pod, Policy, Port, RequestAuthentication, Secret,
    Service, Socket, StatefulSet, ValidatingWebhook, VirtualService, covers, expand_env, pem,
    pulls::{PullTrouble, public_address},
    registry,
};

/// Reads an object.
type Reader = fn(&str);

/// What the kinds are called, each with how one of its objects is read.
const KINDS: [(&str, Reader); 24] = [
    (ApiGateway::KIND.kind, kept::<ApiGateway>),
    (ApiRoute::KIND.kind, kept::<ApiRoute>),
    (Certificate::KIND.kind, kept::<Certificate>),
    (ConfigMap::KIND.kind, kept::<ConfigMap>),
    (CustomResourceDefinition::KIND.kind, kept::<CustomResourceDefinition>),
    (DaemonSet::KIND.kind, kept::<DaemonSet>),
    (Deployment::KIND.kind, kept::<Deployment>),
    (EndpointSlice::KIND.kind, kept::<EndpointSlice>),
    (Endpoints::KIND.kind, kept::<Endpoints>),
    (Event::KIND.kind, kept::<Event>),
    (Gateway::KIND.kind, kept::<Gateway>),
    (InferenceService::KIND.kind, kept::<InferenceService>),
    (Ingress::KIND.kind, kept::<Ingress>),
    (MutatingWebhook::KIND.kind, kept::<MutatingWebhook>),
    (Namespace::KIND.kind, kept::<Namespace>),
    (Node::KIND.kind, kept::<Node>),
    (Pod::KIND.kind, kept::<Pod>),
    (Policy::KIND.kind, kept::<Policy>),
    (RequestAuthentication::KIND.kind, kept::<RequestAuthentication>),
    (Secret::KIND.kind, kept::<Secret>),
    (Service::KIND.kind, kept::<Service>),
    (StatefulSet::KIND.kind, kept::<StatefulSet>),
    (ValidatingWebhook::KIND.kind, kept::<ValidatingWebhook>),
    (VirtualService::KIND.kind, kept::<VirtualService>),
];

/// An object: what is kept of it is read again as it is written.
pub fn objects(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(value) = serde_json::from_str::<Value>(text) else { return };
    let Some(kind) = value["kind"].as_str() else { return };
    KINDS.iter().filter(|(known, _)| *known == kind).for_each(|(_, kept)| kept(text));
    if kind == Service::KIND.kind {
        for said in serde_json::from_str::<Service>(text)
            .iter()
            .flat_map(|s| s.metadata.annotations.values())
        {
            assert_eq!(Port::parse(said).to_string().parse::<u16>(), said.parse());
        }
    }
}

/// Reads a value, writes it and reads that; both have to be the same.
fn kept<T: Serialize + DeserializeOwned>(text: &str) {
    let Ok(value) = serde_json::from_str::<T>(text) else { return };
    let written = serde_json::to_string(&value).unwrap_or_default();
    let again = serde_json::from_str::<T>(&written).map(|again| serde_json::to_string(&again).ok());
    assert_eq!(again.ok().flatten().as_ref(), Some(&written), "{}", std::any::type_name::<T>());
}

/// A text that Dex, a proxy before it, kube-proxy or MetalLB is told: what is kept of it is read again
/// as it is written, and a password is not among it.
pub fn settings(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let entries = json!({ "config.yaml": text, "oauth2_proxy.cfg": text, "config.conf": text,
        "config": text, "OIDC_PROVIDER": text, "tls.crt": text, "CLIENT_SECRET": text });
    kept::<ConfigMap>(&json!({ "metadata": { "name": "dex" }, "data": entries }).to_string());
    kept::<Secret>(&json!({ "metadata": { "name": "dex" }, "stringData": entries }).to_string());
    kept::<Secret>(&json!({ "metadata": {}, "stringData": { "ldap": text } }).to_string());
    let dex = DexConfig::read("config.yaml", text);
    let written = dex.write();
    for connector in &dex.connectors {
        let _ = connector.server();
        let password = connector.ldap.as_ref().and_then(|ldap| ldap.password.reveal());
        if let Some(password) = password.filter(|password| password.len() > 8)
            && text.matches(password).count() == 1
        {
            assert!(!written.contains(password), "{written}");
        }
    }
    let named = |name: &str| format!("<{name}>");
    assert_eq!(expand_env(text, |name| Some(named(name))), expanded(text, named));
}

/// What Go's `os.Expand` makes of a text (golang/go, `src/os/env.go`).
fn expanded(text: &str, variable: impl Fn(&str) -> String) -> String {
    let is_special = |byte: u8| b"*#$@!?-0123456789".contains(&byte);
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let mut done = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$').filter(|(_, after)| !after.is_empty()) {
        done += before;
        let (name, length) = match after.as_bytes() {
            [b'{', special, b'}', ..] if is_special(*special) => (&after[1..2], 3),
            [b'{', ..] => match after.find('}') {
                Some(1) => ("", 2),
                Some(end) => (&after[1..end], end + 1),
                None => ("", 1),
            },
            [special, ..] if is_special(*special) => (&after[..1], 1),
            bytes => {
                let length = bytes.iter().take_while(|byte| is_name(byte)).count();
                (&after[..length], length)
            }
        };
        match (name, length) {
            ("", 0) => done.push('$'),
            ("", _) => {}
            (name, _) => done += &variable(name),
        }
        rest = &after[length..];
    }
    done + rest
}

/// What programs in pods print: lines of a log, or of `/proc/net/tcp`.
pub fn printed(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let lines = LogLines::from(text.clone());
    assert!(lines.lines().count() <= text.lines().count());
    let error = lines.last_error().map(str::to_owned);
    let written = String::from(lines);
    let again = LogLines::from(written.clone());
    assert_eq!(again.last_error(), error.as_deref());
    assert_eq!(String::from(again), written);
    for line in text.lines() {
        let _ = PullTrouble::of(line);
        assert!(public_address(line).is_none_or(|address| line.contains(&address.to_string())));
        assert!(registry(line) == "docker.io" || line.starts_with(registry(line)));
        if let Some(socket) = Socket::listening(line) {
            let again = socket_line(&socket).and_then(|line| Socket::listening(&line));
            let is_same =
                |again: &Socket| (&again.address, again.port) == (&socket.address, socket.port);
            assert!(again.as_ref().is_some_and(is_same), "{line}");
            let _ = socket.is_local();
        }
    }
}

/// A socket that listens, as the kernel prints it.
fn socket_line(socket: &Socket) -> Option<String> {
    let bytes = match socket.address.parse().ok()? {
        std::net::IpAddr::V4(address) => address.octets().to_vec(),
        std::net::IpAddr::V6(address) => address.octets().to_vec(),
    };
    let words = bytes.chunks(4).map(|word| word.iter().rev().map(|byte| format!("{byte:02X}")));
    let address: String = words.flatten().collect();
    Some(format!("0: {address}:{:04X} 0:0 0A", socket.port))
}

/// A certificate in DER, or PEM of some: how many names it is for, and until when it is good.
pub fn certificates(bytes: &[u8]) -> Option<(Vec<String>, Timestamp)> {
    let text = String::from_utf8_lossy(bytes);
    let coded = STANDARD.encode(&*text);
    let last = pem::last_expiry(&coded);
    assert!(pem::leaf(&text).is_none_or(|leaf| last >= Some(leaf.not_after)));
    assert_eq!(pem::is_blank(&coded), text.trim_ascii().is_empty());
    let body = STANDARD.encode(bytes);
    let packed = format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
    let leaf = pem::leaf(&packed)?;
    assert_eq!(pem::last_expiry(&STANDARD.encode(packed)), Some(leaf.not_after));
    for name in &leaf.names {
        let _ = covers(name, "kf.example.com");
    }
    Some((leaf.names, leaf.not_after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    const DEX: &str = "\
issuer: https://kf.example.com/dex
storage: {type: kubernetes, config: {inCluster: true}}
web: {http: 0.0.0.0:5556}
enablePasswordDB: true
connectors:
- type: ldap
  id: ldap
  name: LDAP
  config:
    host: ldap.example.com:389
    insecureNoSSL: true
    bindDN: cn=admin,dc=example,dc=com
    bindPW: hunter2hunter2
    userSearch: {baseDN: 'ou=people,dc=example,dc=com', filter: (a=$b), username: uid}
    groupSearch:
      baseDN: ou=groups,dc=example,dc=com
      userMatchers:
      - {userAttr: DN, groupAttr: member}
- {type: oidc, id: o, config: {clientSecret: ${OIDC_SECRET}}}
staticClients:
- idEnv: OIDC_CLIENT_ID
  redirectURIs: [/oauth2/callback]
  name: Kubeflow
  secret: hunter3
staticPasswords:
- email: user@example.com
  hash: $2y$12$4K/VkmDd1q1Orb3xAt82zu8gk7Ad6ReFR4LCP9UeYE90NLiN9Df72
";

    const PROXY: &str = "provider = \"oidc\"\nskip_auth_routes = [\n  \"^/dex/\",\n]\n\
        oidc_issuer_url = \"http://dex.auth.svc:5556/dex\"\nrelative_redirect_url = true\n\
        client_secret = \"hunter2\"\n";

    const KUBE_PROXY: &str =
        "kind: KubeProxyConfiguration\nmode: \"ipvs\"\nipvs: {strictARP: true}\n";

    const POOLS: &str = "address-pools:\n- name: default\n  protocol: layer2\n  addresses:\n\
        \x20 - 10.0.0.240/28\n  auto-assign: false\npeers:\n- peer-address: 10.0.0.1\n  password: hunter2\n";

    const SERVICE: &str = r#"{ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "a",
        "annotations": { "cloud.google.com/neg": "{\"ingress\": true}",
            "cloud.google.com/backend-config": "{\"default\": \"iap\"}", "a/port": "8080",
            "b": "token: abcdefgh1" },
        "managedFields": [{ "time": "2026-11-21T12:00:00Z", "fieldsV1": { "f:data": {} } }],
        "labels": null, "creationTimestamp": "2026-11-21T12:00:00Z" },
        "spec": { "type": "LoadBalancer", "selector": { "a": "b" }, "externalIPs": ["10.0.0.1"],
            "ports": [{ "name": "http", "port": 80, "targetPort": "http", "nodePort": 31380 }] },
        "status": { "loadBalancer": { "ingress": [{ "ip": "10.0.0.1" }] } } }"#;

    const POD: &str = r#"{ "kind": "Pod", "metadata": { "name": "a", "ownerReferences": [{ "kind": "ReplicaSet",
        "name": "a-1" }] }, "spec": { "containers": [{ "name": "dex", "image": "dex:v2", "args": ["--config",
        "a", "--oidc-issuer-url=b"], "env": [{ "name": "A", "valueFrom": { "secretKeyRef": { "name": "s",
        "key": "k" } } }], "ports": [{ "containerPort": 80 }], "readinessProbe": { "httpGet": { "port": "x" } } }],
        "volumes": [{ "name": "v", "secret": { "secretName": "s" } }, { "name": "dex", "configMap": null }] },
        "status": { "phase": "Running", "containerStatuses": [{ "name": "dex", "state": { "waiting": {
        "reason": "ErrImagePull", "message": "dial tcp 54.1.2.3:443: i/o timeout" } } }] } }"#;

    const SOCKETS: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0
   1: 00000000000000000000000001000000:1F91 00000000000000000000000000000000:0000 0A
failed to pull registry.example.com:5000/a: dial tcp 54.1.2.3:443: i/o timeout, Authorization: Bearer abcdefghijkl
";

    fn change() -> impl Strategy<Value = (prop::sample::Index, usize, String)> {
        let by = r#"[ -~]{0,6}|\n|- |: |\$|\$\{|\}|"|\[|null|-1|99999999999|\t|é|&a|\*a|!!|\{\{"#;
        (any::<prop::sample::Index>(), 0_usize..10, by)
    }

    fn changed(text: &str, changes: &[(prop::sample::Index, usize, String)]) -> Vec<u8> {
        let mut chars: Vec<char> = text.chars().collect();
        for (at, length, by) in changes {
            let at = at.index(chars.len() + 1);
            let end = (at + length).min(chars.len());
            chars.splice(at..end, by.chars());
        }
        chars.into_iter().collect::<String>().into_bytes()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_kept_is_read_again_as_it_is_written(changes in prop::collection::vec(change(), 0..4)) {
            for text in [DEX, PROXY, KUBE_PROXY, POOLS] {
                settings(&changed(text, &changes));
            }
            for text in [SERVICE, POD] {
                objects(&changed(text, &changes));
            }
        }

        #[test]
        fn what_dex_makes_of_a_text_is_what_go_makes_of_it(text in r"[$a{}1_ é*]{0,20}") {
            settings(text.as_bytes());
        }

        #[test]
        fn any_text_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), text in any::<String>()) {
            for bytes in [&*bytes, text.as_bytes()] {
                settings(bytes);
                objects(bytes);
                printed(bytes);
                certificates(bytes);
            }
        }

        #[test]
        fn what_programs_print_may_be_changed_anywhere(changes in prop::collection::vec(change(), 0..4)) {
            printed(&changed(SOCKETS, &changes));
        }

        #[test]
        fn a_socket_is_read_as_the_kernel_prints_it(address in any::<std::net::IpAddr>(), port in any::<u16>()) {
            let line = socket_line(&Socket { address: address.to_string(), port }).unwrap();
            let socket = Socket::listening(&line).unwrap();
            prop_assert_eq!((socket.address, socket.port), (address.to_string(), port));
        }

        #[test]
        fn a_certificate_with_bytes_changed_is_read_or_not(
            changes in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 0..5),
        ) {
            let names = ["kf.example.com".to_owned(), "10.0.0.1".to_owned()];
            let key = KeyPair::generate().unwrap();
            let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
            prop_assert_eq!(certificates(certificate.der()).unwrap().0, ["kf.example.com", "10.0.0.1"]);
            for original in [certificate.der().to_vec(), certificate.pem().into_bytes()] {
                let mut bytes = original;
                for (at, byte) in &changes {
                    let at = at.index(bytes.len());
                    bytes[at] = *byte;
                }
                certificates(&bytes);
            }
        }
    }
}
