//! What stands before Kubeflow and sends users to Dex: OIDC AuthService, or oauth2-proxy.

use std::{collections::BTreeMap, sync::Arc};

use futures::future::join_all;
use kfcheck::{Cx, Fact, FactError, Named, Resource};
use kfcheck_kube::{ConfigMap, Container, Pod, Sealed, Service, within};
use serde::Serialize;

use crate::environment::{Environment, workload};

/// Where they usually are.
pub(crate) const NAMESPACES: [&str; 5] =
    ["auth", "deploykf-auth", "istio-system", "kubeflow", "oauth2-proxy"];

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyKind {
    /// Kubeflow until 1.8.
    AuthService,
    /// Kubeflow since 1.9.
    OAuth2Proxy,
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
    /// What could not be seen of what it is told.
    pub missing: Option<FactError>,
    told: BTreeMap<&'static str, Setting>,
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
const SETTINGS: [(&str, &str); 13] = [
    ("oidc_issuer_url", "OIDC_PROVIDER"),
    ("client_id", "CLIENT_ID"),
    ("redirect_url", "REDIRECT_URL"),
    ("login_url", "OIDC_AUTH_URL"),
    ("proxy_prefix", "AUTHSERVICE_URL_PREFIX"),
    ("ca_bundle", "CA_BUNDLE"),
    ("provider", ""),
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

    /// Whether a setting of oauth2-proxy's is on.
    pub fn is_on(&self, name: &str) -> bool {
        self.told(name).is_some_and(|told| ["true", "1", "t"].contains(&&*told.value))
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
                let url = said.map_or_else(|| format!("{prefix}/callback"), str::to_owned);
                let path = path_of(&url).to_owned();
                if self.is_on("relative_redirect_url") {
                    Back::Exactly(path)
                } else if url.contains("://") {
                    Back::Exactly(url)
                } else {
                    Back::SomeHost(path)
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
        for namespace in NAMESPACES {
            cx.begin(within::<Pod>(namespace));
            cx.begin(within::<Service>(namespace));
        }
        let found =
            join_all(NAMESPACES.map(async |namespace| proxies_in(cx, namespace).await)).await;
        let mut proxies = Vec::new();
        let mut failed = None;
        for some in found {
            match some {
                Ok(some) => proxies.extend(some),
                Err(error) => drop(failed.get_or_insert(error)),
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
        let mut proxy = proxy_of(cx, namespace, kind, container, workload).await;
        let services = cx.get(within::<Service>(namespace)).await;
        let services = services.iter().flat_map(|all| all.iter());
        let leads = |service: &&Arc<Service>| pods.iter().any(|pod| service.selects(pod));
        proxy.services = services.filter(leads).cloned().collect();
        proxy.pods = pods;
        proxies.push(proxy);
    }
    if proxies.is_empty() {
        proxies.extend(without_pods(cx, namespace).await);
    }
    Ok(proxies)
}

async fn proxy_of(
    cx: &Cx,
    namespace: &str,
    kind: ProxyKind,
    container: &Container,
    workload: Resource,
) -> AuthProxy {
    let environment = Environment::of(cx, namespace, container).await;
    let mut proxy = AuthProxy::new(kind, workload.clone());
    proxy.missing = environment.missing().cloned();
    if kind == ProxyKind::OAuth2Proxy {
        match cx.get(within::<ConfigMap>(namespace)).await {
            Ok(maps) => {
                let map = maps.iter().find(|map| map.proxy_file.is_some());
                if let Some(map) = map {
                    proxy.read_file(map);
                }
            }
            Err(error) => drop(proxy.missing.get_or_insert(error)),
        }
    }
    // A flag comes before a variable, and both before the file.
    for (name, old) in SETTINGS {
        let variable = match kind {
            ProxyKind::AuthService => old.to_owned(),
            ProxyKind::OAuth2Proxy => format!("OAUTH2_PROXY_{}", name.to_uppercase()),
        };
        if let Some(held) = environment.get(&variable)
            && let Some(value) = held.value.clone().filter(|value| !value.is_empty())
        {
            let at = held.from.clone().unwrap_or_else(|| workload.clone());
            proxy.told.insert(name, Setting { value, name: variable.clone(), at });
        }
        let flag = name.replace('_', "-");
        let flags = [format!("--{flag}"), format!("-{flag}")];
        let told = flags.iter().find_map(|flag| container.told(flag));
        if let (ProxyKind::OAuth2Proxy, Some(value)) = (kind, told) {
            let value = if value.is_empty() { "true" } else { value }.to_owned();
            let name_there = format!("--{flag}");
            proxy.told.insert(name, Setting { value, name: name_there, at: workload.clone() });
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
    let map = maps.iter().find(|map| map.proxy_file.is_some())?;
    let workload = workload("Deployment", namespace, "oauth2-proxy");
    let mut proxy = AuthProxy::new(ProxyKind::OAuth2Proxy, workload);
    proxy.read_file(map);
    Some(proxy)
}

impl AuthProxy {
    fn new(kind: ProxyKind, workload: Resource) -> Self {
        Self {
            kind,
            workload,
            pods: Vec::new(),
            services: Vec::new(),
            broken: None,
            missing: None,
            told: BTreeMap::new(),
            secret: None,
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
