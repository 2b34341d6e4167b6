//! A bundle, served as a live world.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    process::Command,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use kfcheck::{Bundle, Clock, Cx, FactError, ObjectKind, World, async_trait};
use kfcheck_aws::{Aws, AwsAccess};
use kfcheck_gcp::{BackendConfig, CloudEndpoint, Google, GoogleAccess, IapToken};
use kfcheck_gcp::{BackendPolicy, HealthCheckPolicy};
use kfcheck_gcp::{ManagedCertificate, ServiceNetworkEndpointGroup};
use kfcheck_kube::{
    Access, Certificate, ConfigMap, CustomResourceDefinition, DaemonSet, Deployment, EndpointSlice,
    Endpoints, Event,
};
use kfcheck_kube::{ApiGateway, ApiRoute, AuthorizationPolicy, EnvoyFilter};
use kfcheck_kube::{Gateway, InferenceService, Ingress, KubeClient, MutatingWebhook, Namespace};
use kfcheck_kube::{Node, Object, Pod, Policy};
use kfcheck_kube::{PortForward, Target, VirtualService};
use kfcheck_kube::{RequestAuthentication, Secret, Service, StatefulSet, ValidatingWebhook};
use kfcheck_mocks::{
    AwsMock, Documents, Fault, FaultProxy, GoogleMock, Kind, KubernetesMock, Models, Outside,
    OutsideMock,
};
use kfcheck_mocks::{Proxy, Served, Server, Times, kubeconfig};
use kfcheck_onprem::{AddressPool, BgpAdvertisement, BgpPeer, ConfigurationState, IpAddressPool};
use kfcheck_onprem::{L2Advertisement, ServiceL2Status, Whereabouts};
use kfcheck_probe::{ArpAnswer, AskArp, BindPassword, BindPasswords, Dial, Ldap, Through};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::{gcp, provider, root};

/// The kinds that a run may ask for.
fn kinds() -> Vec<ObjectKind> {
    fn kind<K: Object>() -> ObjectKind {
        K::KIND
    }
    vec![
        kind::<AddressPool>(),
        kind::<ApiGateway>(),
        kind::<ApiRoute>(),
        kind::<AuthorizationPolicy>(),
        kind::<BackendConfig>(),
        kind::<BackendPolicy>(),
        kind::<BgpAdvertisement>(),
        kind::<BgpPeer>(),
        kind::<Certificate>(),
        kind::<CloudEndpoint>(),
        kind::<ConfigMap>(),
        kind::<ConfigurationState>(),
        kind::<CustomResourceDefinition>(),
        kind::<DaemonSet>(),
        kind::<Deployment>(),
        kind::<EndpointSlice>(),
        kind::<Endpoints>(),
        kind::<EnvoyFilter>(),
        kind::<Event>(),
        kind::<Gateway>(),
        kind::<HealthCheckPolicy>(),
        kind::<InferenceService>(),
        kind::<Ingress>(),
        kind::<IpAddressPool>(),
        kind::<L2Advertisement>(),
        kind::<ManagedCertificate>(),
        kind::<MutatingWebhook>(),
        kind::<Namespace>(),
        kind::<Node>(),
        kind::<Pod>(),
        kind::<Policy>(),
        kind::<RequestAuthentication>(),
        kind::<Secret>(),
        kind::<Service>(),
        kind::<ServiceL2Status>(),
        kind::<ServiceNetworkEndpointGroup>(),
        kind::<StatefulSet>(),
        kind::<ValidatingWebhook>(),
        kind::<VirtualService>(),
    ]
}

/// The bundle with a word on every kind that it has none on: the cluster has no such kind. A live
/// world either has something or not; that somebody didn't look is a bundle's own matter.
pub fn completed(bundle: Bundle) -> Bundle {
    let served = Served::of(&bundle);
    let (objects, mut manifest) = (served.objects(), served.manifest());
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": [] });
    let mut bundle = match (unasked(&served), sign_in_page(&served)) {
        (Some(Value::Array(mut web)), Some((name, page))) => {
            let mut names = served.json("probes/dns").unwrap_or_default();
            names.as_array_mut().into_iter().for_each(|names| names.push(name.clone()));
            web.push(page);
            bundle.with("probes/http.json", web.into()).with("probes/dns.json", names)
        }
        (Some(probes), _) => bundle.with("probes/http.json", probes),
        (None, _) => bundle,
    };
    if let Some(probes) = undiscovered(&Served::of(&bundle)) {
        bundle = bundle.with("probes/http.json", probes);
    }
    let text = |object: &'_ Value, field: &str| object[field].as_str().unwrap_or("").to_owned();
    for kind in kinds() {
        let is = |object: &Value| kind.matches(&text(object, "apiVersion"), &text(object, "kind"));
        let resource = kind.resource();
        let named = served.object_files().any(|stem| stem == resource || stem == kind.plural);
        let place = format!("kubernetes/{resource}");
        let is_said = named || objects.iter().any(is);
        let failed = served.error(&place).or(served.error(&format!("kubernetes/{}", kind.plural)));
        if !is_said && failed.is_none() && silence(&served).is_none() {
            if kind.groups[0].is_empty() {
                // Every cluster has the kind, if none of it.
                bundle = bundle.with(&format!("kubernetes/{resource}.json"), list.clone());
                continue;
            }
            manifest["errors"][place] =
                json!({ "absent": format!("the cluster has no {resource}") });
        }
    }
    let bundle = match undumped(&objects) {
        fillers if fillers.is_empty() => bundle,
        fillers => {
            bundle.with("kubernetes/fillers.json", json!({ "kind": "List", "items": fillers }))
        }
    };
    bundle.with("bundle.yaml", manifest)
}

/// An object for each namespace that is known and that the bundle has nothing from: nobody looked
/// there, and a live world has nothing there.
fn undumped(objects: &[Value]) -> Vec<Value> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let namespaces = objects.iter().filter(|object| object["kind"] == "Namespace");
    let names: BTreeSet<_> = namespaces.map(|object| text(&object["metadata"]["name"])).collect();
    let dumped = objects.iter().filter(|object| object["kind"] != "Event");
    let dumped: BTreeSet<_> = dumped.map(|o| text(&o["metadata"]["namespace"])).collect();
    let filler = |name: &String| {
        json!({ "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "namespace": name, "name": "kube-root-ca.crt" } })
    };
    names.difference(&dumped).map(filler).collect()
}

/// The bundle with Dex told to trust `authority`, as nobody has the keys of those that it names.
fn trusting(served: Served, authority: &str) -> Served {
    let coded = BASE64.encode(authority);
    let is_code = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    served.with_texts(|text| {
        let mut parts = text.split("rootCAData: ");
        let mut whole = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            whole += &format!("rootCAData: {coded}{}", part.trim_start_matches(is_code));
        }
        whole
    })
}

/// How long it was waited for an API server that said nothing at all, if it did.
fn silence(served: &Served) -> Option<Duration> {
    let waited = &served.manifest()["errors"]["bundle#kubernetes"]["timedOut"]["secs"];
    waited.as_u64().map(Duration::from_secs)
}

/// The answers to requests, with one for each name that was resolved and not asked: it is closed.
fn unasked(served: &Served) -> Option<Value> {
    let (names, web) = (served.json("probes/dns")?, served.json("probes/http"));
    let mut web = web.unwrap_or_else(|| json!([]));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for answer in names.as_array()? {
        let name = text(&answer["name"]);
        let resolves = answer["answers"].as_array().is_some_and(|all| !all.is_empty());
        let error = if resolves { "connect: connection refused" } else { "dns: NXDOMAIN" };
        let start = format!("https://{name}/");
        let web = web.as_array_mut()?;
        if !web.iter().any(|answer| text(&answer["url"]).starts_with(&start)) {
            web.push(json!({ "url": start, "error": error }));
        }
    }
    Some(web)
}

/// The answers to requests, with one for an issuer that only the cluster knows and that nobody asked
/// from inside of it: its name is found nowhere else.
fn undiscovered(served: &Served) -> Option<Value> {
    let mut web = served.json("probes/http")?;
    let is_map = |object: &&Value| object["kind"] == "ConfigMap";
    let objects = served.objects();
    let maps = objects.iter().filter(is_map).filter_map(|map| map["data"].as_object());
    let lines = maps.flat_map(|data| data.values()).filter_map(Value::as_str).flat_map(str::lines);
    let issuers = lines.filter_map(|line| line.strip_prefix("issuer:"));
    let issuers = issuers.map(|issuer| issuer.trim().trim_matches('"').trim_end_matches('/'));
    for issuer in issuers.filter(|issuer| issuer.contains(".svc.cluster.local")) {
        let url = format!("{issuer}/.well-known/openid-configuration");
        let web = web.as_array_mut()?;
        if !web.iter().any(|answer| answer["url"] == *url) {
            web.push(json!({ "url": url, "error": "dns: NXDOMAIN" }));
        }
    }
    Some(web)
}

/// Cognito's answer to who is sent there, and its name, where nobody recorded that.
fn sign_in_page(served: &Served) -> Option<(Value, Value)> {
    let (names, web) = (served.json("probes/dns")?, served.json("probes/http")?);
    let web = web.as_array()?;
    let leads = web.iter().filter_map(|answer| answer["headers"]["location"].as_str());
    let url = leads.into_iter().find(|url| url.contains("/oauth2/authorize?"))?;
    let host = url::Url::parse(url).ok()?.host_str()?.to_owned();
    let known = names.as_array()?.iter().any(|name| name["name"] == *host);
    if known || web.iter().any(|answer| answer["url"] == url) {
        return None;
    }
    let name = json!({ "name": host, "type": "A", "answers": ["13.224.1.2"] });
    let login = format!("https://{host}/login?client_id=x");
    Some((name, json!({ "url": url, "status": 302, "headers": { "location": login } })))
}

/// What a cluster has beside what the bundle holds.
fn installed(kind: &ObjectKind) -> Kind {
    Kind {
        group: kind.groups[0].to_owned(),
        version: kind.version.to_owned(),
        kind: kind.kind.to_owned(),
        plural: kind.plural.to_owned(),
        namespaced: kind.namespaced,
    }
}

/// Google's discovery documents, which `scripts/setup --tests` fetches.
fn documents() -> Arc<Documents> {
    static ALL: OnceLock<Arc<Documents>> = OnceLock::new();
    let open = || {
        let folder = root().join("target/tools/google-api");
        let opened = Documents::open(&folder);
        Arc::new(opened.expect("Google's discovery documents; scripts/setup --tests fetches them"))
    };
    Arc::clone(ALL.get_or_init(open))
}

/// The models of AWS's services, which `scripts/setup --tests` fetches.
pub fn models() -> Arc<Models> {
    static ALL: OnceLock<Arc<Models>> = OnceLock::new();
    let open = || {
        let opened = Models::open(&root().join("target/tools/aws-api"));
        Arc::new(opened.expect("the models of AWS's services; scripts/setup --tests fetches them"))
    };
    Arc::clone(ALL.get_or_init(open))
}

/// Leads every connection to this machine, but those that nothing takes.
struct Dialer {
    through: Through,
    closed: BTreeSet<SocketAddr>,
    silent: BTreeSet<SocketAddr>,
    /// Addresses that nobody has.
    missing: BTreeSet<SocketAddr>,
    /// Ports beside 80 on which no TLS is spoken.
    plain: BTreeSet<u16>,
    /// Where directories are dialled, and whether they let one wait; none: they are not there.
    directories: BTreeMap<SocketAddr, (Option<SocketAddr>, bool)>,
    delay: Duration,
}

#[async_trait]
impl Dial for Dialer {
    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        tokio::time::sleep(self.delay).await;
        match self.directories.get(&address) {
            Some((Some(at), _)) => return TcpStream::connect(at).await,
            Some((None, true)) => return std::future::pending().await,
            Some((None, false)) => return Err(io::ErrorKind::ConnectionRefused.into()),
            None => {}
        }
        if self.silent.contains(&address) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if self.missing.contains(&address) {
            return Err(io::ErrorKind::HostUnreachable.into());
        }
        if self.closed.contains(&address) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        if self.plain.contains(&address.port()) {
            return TcpStream::connect(self.through.plain).await;
        }
        self.through.dial(address).await
    }
}

/// Whether an error says that nobody has the address.
fn is_missing(error: &str) -> bool {
    error.contains("no route") || error.contains("unreachable")
}

/// Who answers for addresses, as recorded: nobody on this machine's own wire is asked.
struct Wire(Served);

#[async_trait]
impl AskArp for Wire {
    async fn ask(&self, address: &str) -> Result<ArpAnswer, kfcheck::Fault> {
        let unknown = || kfcheck::Fault::Unreachable(format!("nobody has asked for {address}"));
        if let Some(fault) = self.0.error(&format!("probes/arp#{address}")) {
            return Err(serde_json::from_value(fault).unwrap_or_else(|_| unknown()));
        }
        let all = self.0.json("probes/arp").unwrap_or_default();
        let known = all.as_array().into_iter().flatten().find(|one| one["address"] == address);
        let known = known.ok_or_else(unknown)?;
        kfcheck::wire::read(known.clone()).map_err(kfcheck::Fault::Bug)
    }
}

/// A password for each connector of which was recorded how signing in went.
struct Passwords(Served);

#[async_trait]
impl BindPasswords for Passwords {
    async fn password(&self, _cx: &Cx, connector: &str) -> Result<BindPassword, FactError> {
        let all = self.0.json("probes/ldap").unwrap_or_default();
        let mut all = all.as_array().into_iter().flatten();
        let ours = all.find(|one| one["connector"] == connector);
        let binds = ours.and_then(|one| one["binds"].as_array()).into_iter().flatten();
        let sources = binds.map(|bind| bind["passwordSource"].as_str().unwrap_or_default());
        let (literal, plain): (Vec<_>, Vec<_>) = sources.partition(|s| s.contains("literal"));
        match (plain.first(), literal.first()) {
            (Some(plain), None) => Ok(BindPassword::new("not-a-secret", *plain)),
            (Some(plain), Some(literal)) => Ok(BindPassword::new("not-a-secret", *plain)
                .written("not-a-secret, literal", *literal)),
            (None, Some(literal)) => Ok(BindPassword::new("not-a-secret, literal", *literal)),
            (None, None) => {
                Err(kfcheck::Fault::Unreachable("nobody has signed in".to_owned()).into())
            }
        }
    }
}

/// The servers that stand for a cluster, Google Cloud and the rest of the internet.
pub struct Sky {
    /// The API server.
    pub kubernetes: Server,
    /// Google's APIs.
    pub google: Server,
    /// Amazon's APIs.
    pub amazon: Server,
    /// Name servers and web servers.
    pub outside: Outside,
    /// What stands before an API server that says nothing.
    silent: Option<Proxy>,
    served: Served,
    folder: tempfile::TempDir,
    kubeconfigs: AtomicUsize,
}

impl Sky {
    /// Serves the bundle in a folder.
    pub async fn over(bundle: &Path) -> Self {
        Self::of(Bundle::open(bundle).expect("a bundle"), |mock| mock).await
    }

    /// Serves a bundle, by an API server that is set up further.
    pub async fn of(bundle: Bundle, set_up: impl FnOnce(KubernetesMock) -> KubernetesMock) -> Self {
        let served = Served::of(&completed(bundle));
        let kinds: Vec<_> = kinds().iter().map(installed).collect();
        let outside = OutsideMock::new(served.clone()).start().await.expect("a port");
        let served = trusting(served, outside.ca_pem());
        let pods = outside.directories().iter().filter_map(|d| Some((d.pod.as_deref()?, d.at?)));
        let kubernetes = KubernetesMock::new(served.clone()).installing(kinds).forwarding(pods);
        let kubernetes = set_up(kubernetes);
        let kubernetes = kubernetes.start().await.expect("a port");
        let silent = FaultProxy::before(&kubernetes.url()).fault("", Times::Always, Fault::Hang);
        let silent = match silence(&served) {
            Some(_) => Some(silent.start().await.expect("a port")),
            None => None,
        };
        Self {
            kubernetes,
            silent,
            google: GoogleMock::new(served.clone(), documents()).start().await.expect("a port"),
            amazon: AwsMock::new(served.clone(), models()).start().await.expect("a port"),
            outside,
            served,
            folder: tempfile::tempdir().expect("a folder"),
            kubeconfigs: AtomicUsize::new(0),
        }
    }

    /// What the bundle says of itself, at `provider` and `name` there.
    fn said(&self, of: &str, name: &str) -> Option<String> {
        self.served.manifest()[of][name].as_str().map(str::to_owned)
    }

    /// How the cluster is reached, with its API server at `server`.
    pub fn access(&self, server: &str) -> Access {
        let context = self.said("kubernetes", "context").unwrap_or_else(|| "test".to_owned());
        let kubeconfig = kubeconfig(server, &context);
        // One for each, as it is read when the first call is made.
        let nth = self.kubeconfigs.fetch_add(1, Ordering::Relaxed);
        let file = self.folder.path().join(format!("kubeconfig-{nth}"));
        std::fs::write(&file, kubeconfig.to_string()).expect("a file");
        let request_timeout = silence(&self.served);
        Access { kubeconfig: Some(file), exec: true, request_timeout, ..Access::default() }
    }

    /// How Google is reached, with its APIs at `server`.
    pub fn google_access(&self, server: &str) -> GoogleAccess {
        GoogleAccess {
            project: self.said("gcp", "project"),
            network_project: self.said("gcp", "networkProject"),
            location: self.said("gcp", "location"),
            cluster: self.said("gcp", "cluster"),
            endpoints: kfcheck_gcp::APIS.map(|api| (api.to_owned(), server.to_owned())).into(),
            iap_token: self.iap_token(),
            caller_address: self.said("caller", "address").and_then(|at| at.parse().ok()),
            ..GoogleAccess::default()
        }
    }

    /// The way to the outside: every name and every connection leads to this machine, after a while.
    pub fn way_out(&self, delay: Duration) -> kfcheck_probe::Outside {
        let authority = CertificateDer::from_pem_slice(self.outside.ca_pem().as_bytes());
        let (tls, plain) = (self.outside.https_address(), self.outside.http_address());
        let outside = kfcheck_probe::Outside::new(Some(self.outside.dns_address()))
            .expect("a resolver")
            .dialer(Dialer {
                through: Through { tls, plain },
                closed: self.answering_with(|error| !error.contains("time") && !is_missing(error)),
                silent: self.answering_with(|error| error.contains("time")),
                missing: self.answering_with(is_missing),
                plain: self.plain_ports(),
                directories: self.directories(),
                delay,
            })
            .arp(Wire(self.served.clone()))
            .trusting(authority.expect("a certificate").into_owned());
        match self.time() {
            Some(time) => outside.at(time),
            None => outside,
        }
    }

    /// Where each directory is dialled, and what stands in for it.
    fn directories(&self) -> BTreeMap<SocketAddr, (Option<SocketAddr>, bool)> {
        let all = self.outside.directories().iter();
        all.flat_map(|one| one.dialled.iter().map(|from| (*from, (one.at, one.is_silent))))
            .collect()
    }

    /// The ports beside 80 on which no TLS is spoken, as recorded.
    fn plain_ports(&self) -> BTreeSet<u16> {
        let web = self.served.json("probes/http").unwrap_or_default();
        let urls = web.as_array().into_iter().flatten();
        let urls = urls.filter_map(|answer| url::Url::parse(answer["url"].as_str()?).ok());
        urls.filter(|url| url.scheme() == "http").filter_map(|url| url.port()).collect()
    }

    /// The addresses that take no connection, as recorded, for a reason.
    fn answering_with(&self, reason: impl Fn(&str) -> bool) -> BTreeSet<SocketAddr> {
        let (names, web) = (self.served.json("probes/dns"), self.served.json("probes/http"));
        let all = |list: &Option<Value>| list.as_ref().and_then(Value::as_array).cloned();
        let (names, web) = (all(&names).unwrap_or_default(), all(&web).unwrap_or_default());
        let said = |answer: &Value| answer["error"].as_str().unwrap_or_default().to_owned();
        let dialled = |error: &str| ["connect:", "dial"].iter().any(|e| error.starts_with(e));
        let is_refused = |answer: &Value| {
            let error = said(answer);
            answer["status"].is_null() && dialled(&error) && reason(&error)
        };
        let place = |answer: &Value| {
            let url = url::Url::parse(answer["url"].as_str()?).ok()?;
            Some((url.host_str()?.to_owned(), url.port_or_known_default()?))
        };
        let at = |(host, port): (String, u16)| {
            let ours = names.iter().filter(|name| name["name"] == *host);
            let answers = ours.flat_map(|n| n["answers"].as_array().cloned().unwrap_or_default());
            let addresses: Vec<IpAddr> =
                answers.filter_map(|address| address.as_str()?.parse().ok()).collect();
            // What is asked by its address needs no name.
            let itself = host.trim_matches(['[', ']']).parse().ok();
            addresses.into_iter().chain(itself).map(move |address| SocketAddr::new(address, port))
        };
        let those = |which: &dyn Fn(&Value) -> bool| -> BTreeSet<SocketAddr> {
            let places = web.iter().filter(|answer| which(answer)).filter_map(place);
            places.flat_map(at).collect()
        };
        // A load balancer answers by one name, also where nobody asked by another.
        let open = those(&|answer| !answer["status"].is_null() || !dialled(&said(answer)));
        those(&is_refused).difference(&open).copied().collect()
    }

    /// A token for Identity-Aware Proxy, where the bundle has what became of one.
    fn iap_token(&self) -> Option<IapToken> {
        let web = self.served.json("probes/http")?;
        let carries = |answer: &Value| {
            let headers = answer["requestHeaders"].as_object();
            headers.is_some_and(|h| h.keys().any(|name| name.ends_with("uthorization")))
        };
        let is_given = web.as_array()?.iter().any(carries);
        is_given.then(|| IapToken("not-a-secret".to_owned()))
    }

    /// The arguments that lead the program here, and the environment that it needs.
    pub fn lead(&self, program: &mut Command, kubernetes: &str, google: &str) {
        self.lead_to_all_but_google(program, kubernetes);
        let access = self.google_access(google);
        for (api, url) in &access.endpoints {
            program.arg("--endpoint").arg(format!("{api}={url}"));
        }
        if let Some(IapToken(token)) = access.iap_token {
            program.args(["--iap-token", &token]);
        }
    }

    /// The same, with Google's APIs where Google has them, and nothing that stands for credentials.
    pub fn lead_to_all_but_google(&self, program: &mut Command, kubernetes: &str) {
        let kubeconfig = self.access(kubernetes).kubeconfig.expect("it was just written");
        let authority = self.folder.path().join("authority.pem");
        std::fs::write(&authority, self.outside.ca_pem()).expect("a file");
        let (tls, plain) = (self.outside.https_address(), self.outside.http_address());
        program.env_clear().env("SSL_CERT_FILE", authority).env("HOME", self.folder.path());
        program.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        program.arg("--kubeconfig").arg(kubeconfig).arg("--exec");
        program.args(["--dns-server", &self.outside.dns_address().to_string()]);
        program.arg("--connect-to").arg(format!("{tls},{plain}"));
        let access = self.google_access("");
        let said = [
            ("--project", access.project),
            ("--location", access.location),
            ("--cluster", access.cluster),
            ("--network-project", access.network_project),
            ("--caller-address", access.caller_address.map(|address| address.to_string())),
        ];
        for (flag, value) in said {
            if let Some(value) = value {
                program.args([flag, &value]);
            }
        }
    }

    /// The same for a deployment on AWS, with its APIs at `amazon`.
    pub fn lead_to_amazon(&self, program: &mut Command, amazon: &str) {
        let kubeconfig = self.access(&self.kubernetes.url()).kubeconfig.expect("just written");
        let authority = self.folder.path().join("authority.pem");
        std::fs::write(&authority, self.outside.ca_pem()).expect("a file");
        let (tls, plain) = (self.outside.https_address(), self.outside.http_address());
        program.env_clear().env("SSL_CERT_FILE", authority).env("HOME", self.folder.path());
        program.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        program.env("AWS_ENDPOINT_URL", amazon).env("AWS_EC2_METADATA_DISABLED", "true");
        program.env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE");
        program.env("AWS_SECRET_ACCESS_KEY", "not-a-secret");
        program.arg("--kubeconfig").arg(kubeconfig).arg("--exec");
        program.args(["--dns-server", &self.outside.dns_address().to_string()]);
        program.arg("--connect-to").arg(format!("{tls},{plain}"));
        for (flag, name) in [("--region", "region"), ("--cluster", "cluster")] {
            program.args([flag.to_owned(), self.said("aws", name).unwrap_or_default()]);
        }
    }

    fn time(&self) -> Option<kfcheck_gcp::Timestamp> {
        self.served.manifest()["collectedAt"].as_str()?.parse().ok()
    }

    /// A world that asks these servers, set up as the program does.
    pub fn world(&self) -> World {
        match self.served.manifest()["provider"].as_str() {
            Some("aws") => return self.aws_world(&self.amazon.url()),
            Some("onprem") => return self.onprem_world(),
            _ => {}
        }
        let kubernetes = self.silent.as_ref().map_or(self.kubernetes.url(), Proxy::url);
        self.world_of(self.access(&kubernetes), self.google_access(&self.google.url()))
    }

    /// The same, reached in another way.
    pub fn world_of(&self, access: Access, google: GoogleAccess) -> World {
        self.slow_world_of(access, google, Duration::ZERO)
    }

    /// The same, where every connection to the outside takes this long to make.
    pub fn slow_world_of(&self, access: Access, google: GoogleAccess, delay: Duration) -> World {
        let provider = gcp();
        let world = World::live()
            .path(&provider.path)
            .client(Ok(KubeClient::new(access)))
            .client(Ok(Google::new(google)))
            .client(Ok(self.way_out(delay)))
            .setting(Clock(self.time()))
            .setting(Target::default());
        (provider.prepare)(world)
    }

    /// A world of Amazon's, with its APIs at `endpoint`, set up as the program does.
    pub fn aws_world(&self, endpoint: &str) -> World {
        let kubernetes = self.silent.as_ref().map_or(self.kubernetes.url(), Proxy::url);
        self.aws_world_of(self.access(&kubernetes), endpoint)
    }

    /// The same, with the cluster reached in another way.
    pub fn aws_world_of(&self, access: Access, endpoint: &str) -> World {
        let aws = AwsAccess {
            region: self.said("aws", "region"),
            cluster: self.said("aws", "cluster"),
            endpoint: Some(endpoint.to_owned()),
            credentials: Some(SharedCredentialsProvider::new(Credentials::new(
                "AKIDEXAMPLE",
                "not-a-secret",
                None,
                None,
                "tests",
            ))),
            ..AwsAccess::default()
        };
        let provider = provider("aws");
        let world = World::live()
            .path(&provider.path)
            .client(Ok(KubeClient::new(access)))
            .client(Ok(Aws::new(aws)))
            .client(Ok(self.way_out(Duration::ZERO)))
            .setting(Clock(self.time()))
            .setting(Target::default());
        (provider.prepare)(world)
    }

    /// A world without a cloud, set up as the program does.
    pub fn onprem_world(&self) -> World {
        let kubernetes = self.silent.as_ref().map_or(self.kubernetes.url(), Proxy::url);
        self.onprem_world_of(self.access(&kubernetes))
    }

    /// The same, with the cluster reached in another way.
    pub fn onprem_world_of(&self, access: Access) -> World {
        let provider = provider("onprem");
        let world = World::live()
            .path(&provider.path)
            .client(Ok(KubeClient::new(access)))
            .client(Ok(self.way_out(Duration::ZERO)))
            .client(Ok(Ldap::new(Passwords(self.served.clone()), PortForward)))
            .setting(Whereabouts {
                address: self.said("onprem", "address"),
                hostname: self.said("onprem", "hostname"),
            })
            .setting(Clock(self.time()))
            .setting(Target::default());
        (provider.prepare)(world)
    }

    /// What a real server would not have known.
    pub fn unknown(&self) -> BTreeMap<&str, Vec<String>> {
        let all = [
            ("kubernetes", self.kubernetes.unknown()),
            ("google", self.google.unknown()),
            ("amazon", self.amazon.unknown()),
            ("outside", self.outside.unasked()),
        ];
        all.into_iter().filter(|(_, unknown)| !unknown.is_empty()).collect()
    }
}
