//! LDAP servers in and out of a cluster, reached over the real wire: a recorded world is served, and
//! what is seen of it is what was recorded.

use std::{collections::BTreeMap, io, net::SocketAddr};

use kfcheck::{Bundle, Cx, FactError, Fault, World, async_trait};
use kfcheck_kube::{Access, KubeClient, PortForward};
use kfcheck_mocks::{KubernetesMock, Outside, OutsideMock, Served, Server, kubeconfig};
use kfcheck_probe::{
    BindPassword, BindPasswords, Dial, Ldap, LdapAnswer, LdapFound, LdapMatcher, LdapProbe,
    LdapPurpose, LdapSearch, LdapSecurity,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// Where each address leads on this machine; to others nobody gets.
struct Dialer(BTreeMap<SocketAddr, SocketAddr>);

#[async_trait]
impl Dial for Dialer {
    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let at = self.0.get(&address).ok_or(io::ErrorKind::ConnectionRefused)?;
        TcpStream::connect(at).await
    }
}

/// The passwords' sources, by connector, as recorded.
struct Recorded(Served);

#[async_trait]
impl BindPasswords for Recorded {
    async fn password(&self, _cx: &Cx, connector: &str) -> Result<BindPassword, FactError> {
        let all = self.0.json("probes/ldap").unwrap_or_default();
        let entry = all.as_array().into_iter().flatten().find(|one| one["connector"] == connector);
        let source = entry.and_then(|entry| entry["binds"][0]["passwordSource"].as_str());
        Ok(BindPassword::new("not-a-secret", source.unwrap_or_default()))
    }
}

struct Sky {
    kubernetes: Server,
    outside: Outside,
    served: Served,
    folder: tempfile::TempDir,
}

impl Sky {
    async fn of(bundle: &Bundle) -> Self {
        let served = Served::of(bundle);
        let outside = OutsideMock::new(served.clone()).start().await.expect("a port");
        let pods = outside.directories().iter().filter_map(|d| Some((d.pod.as_deref()?, d.at?)));
        let kubernetes = KubernetesMock::new(served.clone()).forwarding(pods).start().await;
        let folder = tempfile::tempdir().expect("a folder");
        Self { kubernetes: kubernetes.expect("a port"), outside, served, folder }
    }

    fn world(&self) -> World {
        self.world_with(false)
    }

    /// The same, where commands may be run in pods.
    fn world_with(&self, exec: bool) -> World {
        let kubeconfig = kubeconfig(&self.kubernetes.url(), "t");
        let file = self.folder.path().join("kubeconfig");
        std::fs::write(&file, kubeconfig.to_string()).expect("a file");
        let access = Access { kubeconfig: Some(file), exec, ..Access::default() };
        let directories = self.outside.directories().iter();
        let leads =
            directories.flat_map(|d| d.dialled.iter().filter_map(|from| Some((*from, d.at?))));
        let authority = CertificateDer::from_pem_slice(self.outside.ca_pem().as_bytes());
        let outside = kfcheck_probe::Outside::new(Some(self.outside.dns_address()));
        let outside = outside.expect("a resolver").dialer(Dialer(leads.collect()));
        let outside = outside.trusting(authority.expect("a certificate").into_owned());
        World::live()
            .client(Ok(KubeClient::new(access)))
            .client(Ok(outside))
            .client(Ok(Ldap::new(Recorded(self.served.clone()), PortForward)))
    }
}

const USERS: &str = "ou=people,dc=example,dc=com";

fn probe(connector: &str, host: &str, security: LdapSecurity) -> LdapProbe {
    let attributes = ["uid", "mail", "cn"].map(str::to_owned).into();
    let matcher = LdapMatcher { user_attr: "DN".to_owned(), group_attr: "member".to_owned() };
    LdapProbe {
        connector: connector.to_owned(),
        host: host.to_owned(),
        namespace: "auth".to_owned(),
        security,
        bind_dn: "cn=admin,dc=example,dc=com".to_owned(),
        user_search: Some(LdapSearch {
            base_dn: USERS.to_owned(),
            filter: "(objectClass=person)".to_owned(),
            attributes,
            ..LdapSearch::default()
        }),
        group_search: Some(LdapSearch {
            base_dn: "ou=groups,dc=example,dc=com".to_owned(),
            scope: "one".to_owned(),
            attributes: vec!["cn".to_owned()],
            matchers: vec![matcher],
            ..LdapSearch::default()
        }),
        ..LdapProbe::default()
    }
}

fn bound() -> Value {
    json!([{ "dn": "cn=admin,dc=example,dc=com", "passwordSource": "bindPW", "ok": true,
        "resultCode": 0, "error": null }])
}

fn found() -> Value {
    let jane = format!("uid=jane,{USERS}");
    json!([
        { "purpose": "userSearch", "baseDN": USERS, "scope": "sub", "filter": "(objectClass=person)",
          "baseExists": true, "resultCode": 4, "error": null, "entries": [{ "dn": jane,
            "attributes": { "cn": ["(redacted)"], "uid": ["jane"], "objectClass": ["person"] } }] },
        { "purpose": "groupSearch", "baseDN": "ou=groups,dc=example,dc=com", "scope": "one",
          "filter": "", "baseExists": true, "resultCode": 0, "error": null,
          "entries": [{ "dn": "cn=admins", "attributes": { "member": [jane] } }] },
    ])
}

fn cluster() -> Value {
    let metadata = |name: &str| json!({ "namespace": "directory", "name": name });
    let service = |name: &str| {
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": metadata(name), "spec": {
            "selector": { "app": name },
            "ports": [{ "name": "ldap", "port": 389, "targetPort": 1389 }] } })
    };
    let slice = |name: &str, ready: bool| {
        json!({ "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": { "namespace": "directory", "name": name,
                "labels": { "kubernetes.io/service-name": name } },
            "ports": [{ "name": "ldap", "port": 1389 }],
            "endpoints": [{ "addresses": ["10.1.1.1"], "conditions": { "ready": ready },
                "targetRef": { "kind": "Pod", "name": format!("{name}-0") } }] })
    };
    let outside = json!({ "apiVersion": "v1", "kind": "Service", "metadata": metadata("elsewhere"),
        "spec": { "type": "ExternalName", "ports": [{ "port": 389 }] } });
    let dex = json!({ "apiVersion": "v1", "kind": "Pod",
        "metadata": { "namespace": "auth", "name": "dex-1" },
        "spec": { "containers": [{ "name": "istio-proxy", "image": "istio/proxyv2:1.2" },
            { "name": "dex", "image": "ghcr.io/dexidp/dex:v2.41.1" }] },
        "status": { "conditions": [{ "type": "Ready", "status": "True" }] } });
    json!({ "apiVersion": "v1", "kind": "List", "items": [
        dex, service("openldap"), slice("openldap", true), service("starting"), slice("starting", false),
        service("deaf"), slice("deaf", true), outside ] })
}

fn bundle(ldap: &Value) -> Bundle {
    Bundle::default().with("kubernetes/all.json", cluster()).with("probes/ldap.json", ldap.clone())
}

async fn ask(world: &World, probe: LdapProbe) -> LdapAnswer {
    world.cx("test").get(probe).await.expect("an answer")[0].clone()
}

#[tokio::test]
async fn what_was_recorded_of_directories_is_what_is_seen_of_them() {
    let ok = json!({ "ok": true, "tls": true, "verified": true, "error": null });
    let inside = "openldap.directory.svc.cluster.local:389";
    let recorded = json!([
        { "connector": "company", "host": "ldap.example.com:636", "connect": ok, "binds": bound(),
          "searches": found() },
        { "connector": "cluster", "host": inside, "connect": { "ok": true, "tls": false,
            "error": null, "through": "port-forward to pod directory/openldap-0" },
          "binds": bound(), "searches": found() },
        { "connector": "started", "host": "tls.example.com:389", "connect": ok, "searches": [],
          "binds": [{ "dn": "cn=admin,dc=example,dc=com", "passwordSource": "bindPW", "ok": false,
            "resultCode": 49, "error": "invalidCredentials (49): go away" }] },
        { "connector": "strange", "host": "other.example.com:636", "binds": [], "searches": [],
          "connect": { "ok": false, "tls": true, "verified": false,
            "error": "tls: certificate signed by an unknown authority, or self-signed" } },
        { "connector": "refusing", "host": "old.example.com:389", "binds": [], "searches": [],
          "connect": { "ok": false, "tls": false,
            "error": "starttls: protocolError (2): unsupported extended operation" } },
        { "connector": "nameless", "host": "gone.example.com:636", "binds": [], "searches": [],
          "connect": { "ok": false, "tls": null, "error": "dns: NXDOMAIN",
            "through": "this machine" } },
        { "connector": "closed", "host": "198.51.100.77:636", "binds": [], "searches": [],
          "connect": { "ok": false, "tls": null,
            "error": "connect: 198.51.100.77:636: connection refused",
            "through": "this machine" } },
        { "connector": "empty", "host": "starting.directory:389", "binds": [], "searches": [],
          "connect": { "ok": false, "tls": null,
            "error": "connect: Service directory/starting has no ready endpoint" } },
        { "connector": "missing", "host": "nothing.directory.svc:389", "binds": [], "searches": [],
          "connect": { "ok": false, "tls": null,
            "error": "dns: there is no Service directory/nothing" } },
        { "connector": "rude", "host": "rude.example.com:389", "binds": [], "searches": [],
          "connect": { "ok": false, "tls": false,
            "error": "ldap: the server closed the connection instead of an answer" } },
    ]);
    let sky = Sky::of(&bundle(&recorded)).await;
    let world = sky.world();
    for (connector, host, security) in [
        ("company", "ldap.example.com", LdapSecurity::Ldaps),
        ("cluster", inside, LdapSecurity::Plain),
        ("started", "tls.example.com:389", LdapSecurity::StartTls),
        ("strange", "other.example.com:636", LdapSecurity::Ldaps),
        ("refusing", "old.example.com:389", LdapSecurity::StartTls),
        ("nameless", "gone.example.com", LdapSecurity::Ldaps),
        ("closed", "198.51.100.77", LdapSecurity::Ldaps),
        ("empty", "starting.directory:389", LdapSecurity::Plain),
        ("missing", "nothing.directory.svc", LdapSecurity::Plain),
        ("rude", "rude.example.com", LdapSecurity::Plain),
    ] {
        let seen = ask(&world, probe(connector, host, security)).await;
        let of = |one: &&Value| one["connector"] == connector;
        let known = recorded.as_array().unwrap().iter().find(of).unwrap();
        assert_eq!(serde_json::to_value(&seen).unwrap(), *known, "{connector}");
    }
    assert_eq!(sky.outside.unasked(), [""; 0]);
    assert_eq!(sky.kubernetes.unknown(), [""; 0]);

    // And once more from what was written down of it.
    let again = World::replay(world.bundle());
    for known in recorded.as_array().unwrap() {
        let connector = known["connector"].as_str().unwrap();
        let host = known["host"].as_str().unwrap();
        let seen = ask(&again, probe(connector, host, LdapSecurity::Plain)).await;
        assert_eq!(serde_json::to_value(&seen).unwrap(), *known, "{connector}");
    }
}

#[tokio::test]
async fn with_exec_a_host_is_reached_from_where_dex_is() {
    let through = "nc in pod auth/dex-1";
    let ok = json!({ "ok": true, "tls": true, "verified": true, "error": null,
        "through": through });
    let failed = |why: &str| json!({ "ok": false, "tls": null, "error": why, "through": through });
    let recorded = json!([
        { "connector": "company", "host": "ldap.corp.example:636", "connect": ok, "binds": bound(),
          "searches": found() },
        { "connector": "name", "host": "gone.corp.example:636", "binds": [], "searches": [],
          "connect": failed("dns: nc: bad address 'gone.corp.example'") },
        { "connector": "port", "host": "10.9.9.9:389", "binds": [], "searches": [],
          "connect": failed("connect: nc: 10.9.9.9 (10.9.9.9:389): Connection refused") },
        // From this machine, as the image has no nc for all that is known.
        { "connector": "direct", "host": "ldap.example.com:389", "binds": bound(),
          "connect": { "ok": true, "tls": false, "error": null }, "searches": found() },
    ]);
    let sky = Sky::of(&bundle(&recorded)).await;
    let world = sky.world_with(true);
    for (connector, host, security) in [
        ("company", "ldap.corp.example", LdapSecurity::Ldaps),
        ("name", "gone.corp.example", LdapSecurity::Ldaps),
        ("port", "10.9.9.9", LdapSecurity::Plain),
        ("direct", "ldap.example.com:389", LdapSecurity::Plain),
    ] {
        let seen = ask(&world, probe(connector, host, security)).await;
        let of = |one: &&Value| one["connector"] == connector;
        let known = recorded.as_array().unwrap().iter().find(of).unwrap();
        assert_eq!(serde_json::to_value(&seen).unwrap(), *known, "{connector}");
    }
    assert_eq!(sky.kubernetes.unknown(), [""; 0]);

    // Without, nothing is run in a pod.
    let seen = ask(&sky.world(), probe("name", "gone.corp.example", LdapSecurity::Ldaps)).await;
    assert_eq!(seen.connect.through.as_deref(), Some("this machine"));
}

#[tokio::test]
async fn a_host_that_is_an_option_of_nc_is_not_given_to_it() {
    let sky = Sky::of(&bundle(&json!([]))).await;
    for host in ["-e", "a;b", "$(id)"] {
        let seen = ask(&sky.world_with(true), probe("x", host, LdapSecurity::Ldaps)).await;
        assert_eq!(seen.connect.through.as_deref(), Some("this machine"), "{host}");
    }
    let execs = sky.kubernetes.calls().into_iter().filter(|call| call.path.ends_with("/exec"));
    assert_eq!(execs.count(), 0);
}

#[tokio::test]
async fn a_pod_where_nobody_listens_is_an_answer_in_the_kubelets_words() {
    let sky = Sky::of(&bundle(&json!([]))).await;
    let world = sky.world();
    let seen = ask(&world, probe("deaf", "deaf.directory:389", LdapSecurity::Plain)).await;
    let error = seen.connect.error.unwrap();
    assert!(error.starts_with("ldap: cannot read: error forwarding port 1389 to pod"), "{error}");
    assert!(error.ends_with("connection refused"), "{error}");
    assert_eq!(seen.connect.through.as_deref(), Some("port-forward to pod directory/deaf-0"));

    let seen = ask(&world, probe("port", "deaf.directory:390", LdapSecurity::Plain)).await;
    let error = seen.connect.error.as_deref();
    assert_eq!(error, Some("connect: Service directory/deaf has no port 390"));
}

#[tokio::test]
async fn a_service_that_leads_elsewhere_is_not_judged() {
    let sky = Sky::of(&bundle(&json!([]))).await;
    let probe = probe("elsewhere", "elsewhere.directory.svc:389", LdapSecurity::Plain);
    let error = sky.world().cx("test").get(probe).await.unwrap_err();
    let says = "Service directory/elsewhere leads out of the cluster, where it can't be followed from here";
    assert_eq!(error.fault, Fault::Unreachable(says.to_owned()));
}

#[tokio::test]
async fn who_may_not_forward_ports_is_told_which_permission_that_takes() {
    let denied = json!({ "denied": { "permission": "create pods/portforward" } });
    let manifest = json!({ "schemaVersion": 1, "errors": { "probes/ldap#cluster": denied } });
    let sky = Sky::of(&bundle(&json!([])).with("bundle.yaml", manifest)).await;
    let probe = probe("cluster", "openldap.directory:389", LdapSecurity::Plain);
    let error = sky.world().cx("test").get(probe).await.unwrap_err();
    assert_eq!(error.fault, Fault::Denied { permission: "create pods/portforward".to_owned() });
    assert_eq!(sky.kubernetes.unknown(), [""; 0]);
}

#[tokio::test]
async fn what_was_not_recorded_is_noted_by_the_stand_in() {
    let ok = json!({ "ok": true, "tls": false, "error": null });
    let recorded = json!([{ "connector": "company", "host": "ldap.example.com:389", "connect": ok,
        "binds": bound(), "searches": [found()[0]] }]);
    let sky = Sky::of(&bundle(&recorded)).await;
    let seen = ask(&sky.world(), probe("company", "ldap.example.com", LdapSecurity::Plain)).await;
    let failed: Vec<&LdapFound> = seen.found(LdapPurpose::GroupSearch).collect();
    let error = failed[0].error.as_deref();
    assert_eq!(error, Some("unwillingToPerform (53): no such search was recorded"));
    assert_eq!(sky.outside.unasked().len(), 1);
}
