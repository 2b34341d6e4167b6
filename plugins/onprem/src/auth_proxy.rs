//! What stands before Kubeflow and sends users to Dex: OIDC AuthService, or oauth2-proxy.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::future::join_all;
use kfcheck::{Cx, Fact, FactError, Fault, Named, Resource};
use kfcheck_kube::{
    AskedProxies, ConfigMap, Container, Names, Pod, SIGN_IN_PROXIES, Sealed, Service, within,
};
use serde::Serialize;

use crate::environment::{Environment, workload};

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyKind {
    /// Kubeflow until 1.8.
    AuthService,
    /// Kubeflow since 1.9.
    OAuth2Proxy,
}

impl ProxyKind {
    /// What its Service is called.
    fn service(self) -> &'static str {
        match self {
            Self::AuthService => SIGN_IN_PROXIES[0],
            Self::OAuth2Proxy => SIGN_IN_PROXIES[1],
        }
    }
}

/// A proxy that sends users to Dex.
#[derive(Clone, Debug)]
pub struct AuthProxy {
    /// Which of them.
    pub kind: ProxyKind,
    /// The StatefulSet or Deployment.
    pub workload: Resource,
    /// Its pods, without those that are done.
    pub pods: Vec<Arc<Pod>>,
    /// The Services that lead to its pods.
    pub services: Vec<Arc<Service>>,
    /// The file that it reads, where that is no TOML: the ConfigMap, its entry and the line.
    pub broken: Option<(Resource, String, usize)>,
    /// Whether the gateway asks it; None: that can't be told, and there is another sort of proxy.
    pub asked: Option<bool>,
    /// What could not be seen of what it is told.
    pub missing: Option<FactError>,
    told: BTreeMap<&'static str, Setting>,
    /// What it is told of which the value is not known, and why.
    unclear: BTreeMap<&'static str, FactError>,
    secret: Option<(Sealed, Resource)>,
}

/// Something that a proxy is told.
#[derive(Clone, Debug)]
pub struct Setting {
    /// What.
    pub value: String,
    /// What it is called where it stands: `OIDC_PROVIDER`, `oidc_issuer_url`.
    pub name: String,
    /// The object that it stands in.
    pub at: Resource,
}

/// The settings that checks read: what oauth2-proxy calls them, and AuthService.
const SETTINGS: [(&str, &str); 16] = [
    ("oidc_issuer_url", "OIDC_PROVIDER"),
    ("client_id", "CLIENT_ID"),
    ("redirect_url", "REDIRECT_URL"),
    ("login_url", "OIDC_AUTH_URL"),
    ("proxy_prefix", "AUTHSERVICE_URL_PREFIX"),
    ("ca_bundle", "CA_BUNDLE"),
    ("provider", ""),
    ("provider_ca_files", ""),
    ("redeem_url", ""),
    ("oidc_jwks_url", ""),
    ("alpha_config", ""),
    ("relative_redirect_url", ""),
    ("insecure_oidc_skip_issuer_verification", ""),
    ("skip_oidc_discovery", ""),
    ("skip_provider_button", ""),
    ("ssl_insecure_skip_verify", ""),
];

impl AuthProxy {
    /// Something that it is told, by oauth2-proxy's name for it.
    pub fn told(&self, name: &str) -> Option<&Setting> {
        self.told.get(name)
    }

    /// Why the value of something that it is told isn't known.
    pub fn unclear(&self, name: &str) -> Option<&FactError> {
        self.unclear.get(name)
    }

    /// Whether a setting of oauth2-proxy's is on, or may be.
    pub fn is_on(&self, name: &str) -> bool {
        self.unclear(name).is_some()
            || self.told(name).is_some_and(|told| ["true", "1", "t"].contains(&&*told.value))
    }

    /// Who it believes Dex is.
    pub fn issuer(&self) -> Option<&Setting> {
        self.told("oidc_issuer_url")
    }

    /// As which client it comes to Dex.
    pub fn client(&self) -> Option<&Setting> {
        self.told("client_id")
    }

    /// What it shows Dex for being itself, and where that stands.
    pub fn secret(&self) -> Option<(Sealed, &Resource)> {
        self.secret.as_ref().map(|(secret, at)| (*secret, at))
    }

    /// Where it has Dex send users back to, as it says so itself: a path, or a whole address
    /// (arrikto/oidc-authservice, `settings.go`; oauth2-proxy, "redirect-url", "relative-redirect-url").
    pub fn sends_back_to(&self) -> Back {
        let settings = ["redirect_url", "proxy_prefix", "relative_redirect_url"];
        if settings.iter().any(|name| self.unclear(name).is_some()) {
            return Back::Unknown;
        }
        let said = self.told("redirect_url").map(|told| told.value.as_str());
        match (self.kind, said) {
            (ProxyKind::AuthService, Some(url)) => Back::Exactly(url.to_owned()),
            (ProxyKind::AuthService, None) => match self.told("proxy_prefix") {
                Some(prefix) => {
                    let prefix = prefix.value.trim_end_matches('/');
                    Back::Exactly(format!("{prefix}/oidc/callback"))
                }
                None => Back::Unknown,
            },
            (ProxyKind::OAuth2Proxy, said) => {
                let prefix = self.told("proxy_prefix").map_or("/oauth2", |told| &told.value);
                let mut url = said.unwrap_or_default().to_owned();
                let host = url.split_once("://").map(|(_, host)| host);
                // What has no path gets its own.
                if url.is_empty() || host.is_some_and(|host| !host.contains('/')) {
                    url += &format!("{prefix}/callback");
                }
                if self.is_on("relative_redirect_url") || url.contains("://") {
                    Back::Exactly(url)
                } else {
                    Back::SomeHost(url)
                }
            }
        }
    }

    /// The objects that what it is told stands in.
    pub fn sources(&self) -> impl Iterator<Item = &Resource> {
        self.told.values().map(|told| &told.at).chain(self.secret.iter().map(|(_, at)| at))
    }
}

/// Where Dex is to send users back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Back {
    /// To this, letter by letter.
    Exactly(String),
    /// To this path of the host that they came to.
    SomeHost(String),
    /// That isn't known.
    Unknown,
}

/// What follows the host in an address.
pub(crate) fn path_of(url: &str) -> &str {
    match url.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => url,
    }
}

/// Every proxy where one usually is.
#[derive(Clone, Serialize)]
pub struct AuthProxies;

impl Fact for AuthProxies {
    const NAME: &'static str = "onprem.authProxies";
    type Value = Vec<AuthProxy>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<AuthProxy>, FactError> {
        let names = cx.setting::<Names>();
        let namespaces = names.auth_proxy();
        for &namespace in &namespaces {
            cx.begin(within::<Pod>(namespace));
            cx.begin(within::<Service>(namespace));
        }
        let found = namespaces.into_iter().map(async |namespace| proxies_in(cx, namespace).await);
        let found = join_all(found).await;
        let mut proxies = Vec::new();
        let mut failed = None;
        for some in found {
            match some {
                Ok(some) => proxies.extend(some),
                Err(error) => drop(failed.get_or_insert(error)),
            }
        }
        let first = proxies.first().map(|proxy: &AuthProxy| proxy.kind);
        if proxies.iter().any(|proxy| Some(proxy.kind) != first) {
            let asked = cx.get(AskedProxies).await?;
            for proxy in &mut proxies {
                proxy.asked = asked.is(proxy.kind.service());
            }
        }
        match failed {
            Some(error) if proxies.is_empty() => Err(error),
            _ => Ok(proxies),
        }
    }
}

/// The container that is one, and which.
pub(crate) fn container(pod: &Pod) -> Option<(ProxyKind, &Container)> {
    pod.spec.containers.iter().find_map(|container| {
        let is = |name: &str| container.image.contains(name) || container.name == name;
        let kind = if is("oauth2-proxy") || is("oauth2_proxy") {
            ProxyKind::OAuth2Proxy
        } else if is("oidc-authservice") || is("authservice") {
            ProxyKind::AuthService
        } else {
            return None;
        };
        Some((kind, container))
    })
}

async fn proxies_in(cx: &Cx, namespace: &str) -> Result<Vec<AuthProxy>, FactError> {
    let pods = cx.get(within::<Pod>(namespace)).await?;
    let mut by_workload: BTreeMap<Resource, Vec<Arc<Pod>>> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| container(pod).is_some() && !pod.is_over()) {
        by_workload.entry(pod.workload()).or_default().push(Arc::clone(pod));
    }
    let mut proxies = Vec::new();
    for (workload, pods) in by_workload {
        let Some((kind, container)) = pods.first().and_then(|pod| container(pod)) else { continue };
        let mut proxy = proxy_of(cx, namespace, kind, container, &pods, workload).await;
        let services = cx.get(within::<Service>(namespace)).await;
        let services = services.iter().flat_map(|all| all.iter());
        let leads = |service: &&Arc<Service>| pods.iter().any(|pod| service.selects(pod));
        proxy.services = services.filter(leads).cloned().collect();
        proxy.pods = pods;
        proxies.push(proxy);
    }
    if proxies.is_empty()
        && let Some(mut proxy) = without_pods(cx, namespace).await
    {
        let services = cx.get(within::<Service>(namespace)).await;
        let services = services.iter().flat_map(|all| all.iter());
        let name = proxy.kind.service();
        proxy.services = services.filter(|s| s.metadata.name == name).cloned().collect();
        proxies.push(proxy);
    }
    Ok(proxies)
}

async fn proxy_of(
    cx: &Cx,
    namespace: &str,
    kind: ProxyKind,
    container: &Container,
    pods: &[Arc<Pod>],
    workload: Resource,
) -> AuthProxy {
    let environment = Environment::of(cx, namespace, container).await;
    let mut proxy = AuthProxy::new(kind, workload.clone());
    proxy.missing = environment.missing().cloned();
    if kind == ProxyKind::OAuth2Proxy {
        let maps = cx.get(within::<ConfigMap>(namespace)).await;
        let file = maps.as_ref().map_err(Clone::clone).and_then(|maps| {
            let volumes = pods.iter().flat_map(|pod| &pod.spec.volumes);
            let mounted = volumes.filter_map(|volume| Some(&*volume.config_map.as_ref()?.name));
            file_among(maps, &mounted.collect())
        });
        match file {
            Ok(map) => map.into_iter().for_each(|map| proxy.read_file(map)),
            Err(error) => drop(proxy.missing.get_or_insert(error)),
        }
    }
    // A flag comes before a variable, and both before the file.
    for (name, old) in SETTINGS {
        let variable = match kind {
            ProxyKind::AuthService => old.to_owned(),
            ProxyKind::OAuth2Proxy => format!("OAUTH2_PROXY_{}", name.to_uppercase()),
        };
        if let Some(held) = environment.get(&variable) {
            match held.value.clone() {
                Some(value) if value.is_empty() => (),
                Some(value) => {
                    let at = held.from.clone().unwrap_or_else(|| workload.clone());
                    proxy.tell(name, Ok(value), &variable, at);
                }
                None => {
                    let says = format!("the value of variable {variable} was not kept");
                    let error = environment.missing().cloned();
                    let error = error.unwrap_or_else(|| Fault::Unreachable(says).into());
                    proxy.tell(name, Err(error), &variable, workload.clone());
                }
            }
        }
        // Of this one the flag is called otherwise.
        let flag = name.replace("_files", "_file").replace('_', "-");
        let flags = [format!("--{flag}"), format!("-{flag}")];
        let told = flags.iter().find_map(|flag| container.told(flag));
        if let (ProxyKind::OAuth2Proxy, Some(value)) = (kind, told) {
            let value = if value.is_empty() { "true" } else { value };
            let value = environment.resolve(value);
            proxy.tell(name, value, &format!("--{flag}"), workload.clone());
        }
    }
    let variable = match kind {
        ProxyKind::AuthService => "CLIENT_SECRET",
        ProxyKind::OAuth2Proxy => "OAUTH2_PROXY_CLIENT_SECRET",
    };
    if let Some(held) = environment.get(variable)
        && let (Some(secret), Some(at)) = (held.client_secret(), held.from.clone())
    {
        proxy.secret = Some((secret, at));
    }
    proxy
}

/// A proxy of which only its ConfigMap is there.
async fn without_pods(cx: &Cx, namespace: &str) -> Option<AuthProxy> {
    let maps = cx.get(within::<ConfigMap>(namespace)).await.ok()?;
    if let Some(map) = maps.iter().find(|map| map.proxy.0.contains_key("OIDC_PROVIDER")) {
        let workload = workload("StatefulSet", namespace, "authservice");
        let mut proxy = AuthProxy::new(ProxyKind::AuthService, workload);
        for (name, old) in SETTINGS {
            if let Some(value) = map.proxy.0.get(old) {
                let setting =
                    Setting { value: value.clone(), name: old.to_owned(), at: map.resource() };
                proxy.told.insert(name, setting);
            }
        }
        return Some(proxy);
    }
    let file = file_among(&maps, &BTreeSet::new());
    let workload = workload("Deployment", namespace, "oauth2-proxy");
    let mut proxy = AuthProxy::new(ProxyKind::OAuth2Proxy, workload);
    match file {
        Ok(map) => proxy.read_file(map?),
        Err(error) => proxy.missing = Some(error),
    }
    Some(proxy)
}

/// The ConfigMap with the file that oauth2-proxy reads: one that its pods have, or else the only one.
/// Those of before, with another hash in their names, may still be there.
fn file_among<'a>(
    maps: &'a [Arc<ConfigMap>],
    mounted: &BTreeSet<&str>,
) -> Result<Option<&'a ConfigMap>, FactError> {
    let mut all: Vec<_> = maps.iter().filter(|map| map.proxy_file.is_some()).collect();
    if all.iter().any(|map| mounted.contains(&*map.metadata.name)) {
        all.retain(|map| mounted.contains(&*map.metadata.name));
    }
    match &all[..] {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        several => {
            let names: Vec<_> = several.iter().map(|map| map.metadata.name.as_str()).collect();
            let says = format!("which file oauth2-proxy reads isn't known: {}", names.join(", "));
            Err(Fault::Unreachable(says).into())
        }
    }
}

impl AuthProxy {
    fn new(kind: ProxyKind, workload: Resource) -> Self {
        Self {
            kind,
            workload,
            pods: Vec::new(),
            services: Vec::new(),
            broken: None,
            asked: Some(true),
            missing: None,
            told: BTreeMap::new(),
            unclear: BTreeMap::new(),
            secret: None,
        }
    }

    /// What comes later takes the place of what was there.
    fn tell(
        &mut self,
        name: &'static str,
        value: Result<String, FactError>,
        called: &str,
        at: Resource,
    ) {
        match value {
            Ok(value) => {
                self.unclear.remove(name);
                self.told.insert(name, Setting { value, name: called.to_owned(), at });
            }
            Err(error) => {
                self.told.remove(name);
                self.unclear.insert(name, error);
            }
        }
    }

    fn read_file(&mut self, map: &ConfigMap) {
        let Some(file) = &map.proxy_file else { return };
        if let Some(line) = file.broken {
            self.broken = Some((map.resource(), file.entry.clone(), line));
            return;
        }
        for (name, _) in SETTINGS {
            if let Some(value) = file.settings.get(name) {
                let setting =
                    Setting { value: value.clone(), name: name.to_owned(), at: map.resource() };
                self.told.insert(name, setting);
            }
        }
        if file.client_secret.is_set() {
            self.secret = Some((file.client_secret, map.resource()));
        }
    }
}
