//! Dex: what it is told, where it runs, and what its variables hold.

use std::{collections::BTreeSet, sync::Arc};

use futures::future::join_all;
use jiff::Timestamp;
use kfcheck::{Cx, Fact, FactError, Fault, Named, Resource};
use kfcheck_kube::{
    ConfigMap, Container, DexClient, DexConfig, Metadata, Names, PasswordHash, Pod, Sealed, Secret,
    Service, VirtualService, all, within,
};
use serde::Serialize;
use url::Url;

use crate::AuthProxies;
use crate::environment::{Environment, kubectl_name, workload};

/// A Dex of this cluster's.
#[derive(Clone, Debug)]
pub struct Dex {
    /// Its namespace.
    pub namespace: String,
    /// Where its configuration stands; an error says why that isn't known.
    pub told: Result<Told, FactError>,
    /// Its pods, without those that are done.
    pub pods: Vec<Arc<Pod>>,
    /// The Services that lead to its pods.
    pub services: Vec<Arc<Service>>,
    /// What its variables hold.
    pub environment: Environment,
}

/// What holds a configuration of Dex's.
#[derive(Clone, Debug)]
pub enum Told {
    /// A ConfigMap.
    Map(Arc<ConfigMap>),
    /// A Secret.
    Secret(Arc<Secret>),
}

impl Told {
    /// The configuration.
    pub fn config(&self) -> Option<&DexConfig> {
        match self {
            Self::Map(map) => map.dex.as_deref(),
            Self::Secret(secret) => secret.dex.as_deref(),
        }
    }

    /// The name of the object and when it was written.
    pub fn metadata(&self) -> &Metadata {
        match self {
            Self::Map(map) => &map.metadata,
            Self::Secret(secret) => &secret.metadata,
        }
    }
}

impl Named for Told {
    fn resource(&self) -> Resource {
        match self {
            Self::Map(map) => map.resource(),
            Self::Secret(secret) => secret.resource(),
        }
    }
}

impl Dex {
    /// What it is told; an error where that isn't known.
    pub fn config(&self) -> Result<(&Told, &DexConfig), FactError> {
        let told = self.told.as_ref().map_err(Clone::clone)?;
        let config = told.config().ok_or_else(|| Fault::Bug("no configuration".to_owned()))?;
        Ok((told, config))
    }

    /// The same where it can be read.
    pub fn readable(&self) -> Result<(&Told, &DexConfig), FactError> {
        let (told, config) = self.config()?;
        if config.is_template {
            return Err(is_template(told).into());
        }
        if config.broken.is_some() {
            let says = format!("{} is not YAML", told.resource());
            return Err(Fault::Unreachable(says).into());
        }
        Ok((told, config))
    }

    /// The Deployment or whatever keeps it running.
    pub fn workload(&self) -> Resource {
        let pod = self.pods.first().map(|pod| pod.workload());
        pod.unwrap_or_else(|| workload("Deployment", &self.namespace, "dex"))
    }

    /// Since when the oldest of its containers runs.
    pub fn started_at(&self) -> Option<Timestamp> {
        let statuses = self.pods.iter().flat_map(|pod| {
            let name = container(pod).map(|container| &container.name);
            pod.status.container_statuses.iter().filter(move |status| Some(&status.name) == name)
        });
        statuses.filter_map(|status| status.state.running.as_ref()?.started_at).min()
    }

    /// A client's name for programs.
    pub fn id_of(&self, client: &DexClient) -> Result<Option<String>, FactError> {
        if client.id_env.is_empty() {
            return Ok(Some(client.id.clone()).filter(|id| !id.is_empty()));
        }
        let variable = self.environment.known(&client.id_env)?;
        Ok(variable.and_then(|variable| variable.value.clone()))
    }

    /// What a client shows for being itself, and where that stands.
    pub fn secret_of(&self, client: &DexClient) -> Option<(Sealed, Resource)> {
        if client.secret_env.is_empty() {
            let told = self.told.as_ref().ok()?.resource();
            return Some((client.secret, told)).filter(|(secret, _)| secret.is_set());
        }
        let variable = self.environment.get(&client.secret_env)?;
        Some((variable.client_secret()?, variable.from.clone()?))
    }

    /// The hash that is in a variable, and where that stands.
    pub fn hash_in(&self, name: &str) -> Result<Option<(PasswordHash, Resource)>, FactError> {
        let Some(variable) = self.environment.known(name)? else { return Ok(None) };
        let Some((secret, key)) = variable.entry() else { return Ok(None) };
        Ok(secret.hash(key).map(|hash| (hash.clone(), secret.resource())))
    }

    /// Whether it puts variables of its environment for what follows a `$` (dexidp/dex,
    /// `pkg/featureflags`; whatever is no truth value is as good as nothing).
    pub fn expands(&self) -> bool {
        let value = self.environment.value("DEX_EXPAND_ENV");
        !value.is_some_and(|value| ["0", "f", "F", "false", "FALSE", "False"].contains(&value))
    }
}

impl Dex {
    /// The commands that change what it is told and start it again.
    pub(crate) fn edit(&self, told: &Told) -> String {
        let object = kubectl_name(&told.resource());
        match told {
            Told::Map(_) => format!("kubectl edit {object} && {}", self.restart()),
            Told::Secret(_) => {
                let entry = told.config().map_or("config.yaml", |config| &config.entry);
                // What is secret in it is in a file of one's own for as long as it is edited, and the
                // Secret's other entries stay.
                format!(
                    "f=$(mktemp) && kubectl get {object} \
                     -o go-template='{{{{index .data \"{entry}\" | base64decode}}}}' > \"$f\" && \
                     ${{EDITOR:-vi}} \"$f\" && printf '{{\"data\":{{\"{entry}\":\"%s\"}}}}' \
                     \"$(base64 < \"$f\" | tr -d '\\n')\" | kubectl patch {object} --type merge \
                     --patch-file /dev/stdin && {}; rm -f \"$f\"",
                    self.restart()
                )
            }
        }
    }

    /// The command that starts it again.
    pub(crate) fn restart(&self) -> String {
        let workload = self.workload();
        let kind = workload.kind.to_lowercase();
        match kind.as_str() {
            "pod" => format!("kubectl delete pod -n {} {}", self.namespace, workload.name),
            _ => format!("kubectl rollout restart {kind}/{} -n {}", workload.name, self.namespace),
        }
    }
}

/// What Dex reads is made of a template when it is started, so it isn't known.
pub(crate) fn is_template(told: &Told) -> Fault {
    Fault::Unreachable(format!(
        "{} is a template; what is put into it is not in it",
        told.resource()
    ))
}

/// The container that Dex is.
pub(crate) fn container(pod: &Pod) -> Option<&Container> {
    pod.spec.containers.iter().find(|container| {
        let path = container.image.split(['@', ':']).next().unwrap_or_default();
        path.ends_with("/dex") || path == "dex" || container.name == "dex"
    })
}

/// Every Dex where one usually is.
#[derive(Clone, Serialize)]
pub struct Dexes;

impl Fact for Dexes {
    const NAME: &'static str = "onprem.dexes";
    type Value = Vec<Dex>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<Dex>, FactError> {
        let names = cx.setting::<Names>();
        let usual: Vec<_> = names.dex().into_iter().map(str::to_owned).collect();
        let (mut dexes, mut failed) = dexes_in(cx, &usual).await;
        let mut named = named_by_proxies(cx).await;
        if dexes.is_empty() && named.iter().all(|namespace| usual.contains(namespace)) {
            named = named_by_routes(cx).await;
        }
        let named: Vec<_> = named.into_iter().filter(|name| !usual.contains(name)).collect();
        let (more, error) = dexes_in(cx, &named).await;
        dexes.extend(more);
        failed = failed.or(error);
        match failed {
            Some(error) if dexes.is_empty() => Err(error),
            _ => Ok(dexes),
        }
    }
}

/// The Dexes in some namespaces, and why there may be more.
async fn dexes_in(cx: &Cx, namespaces: &[String]) -> (Vec<Dex>, Option<FactError>) {
    for namespace in namespaces {
        cx.begin(within::<Pod>(namespace));
        cx.begin(within::<ConfigMap>(namespace));
        cx.begin(within::<Service>(namespace));
    }
    let found = namespaces.iter().map(async |namespace| dex_in(cx, namespace).await);
    let (mut dexes, mut failed) = (Vec::new(), None);
    for dex in join_all(found).await {
        match dex {
            Ok(dex) => dexes.extend(dex),
            Err(error) => drop(failed.get_or_insert(error)),
        }
    }
    (dexes, failed)
}

/// The namespaces of the Services that proxies ask within the cluster.
async fn named_by_proxies(cx: &Cx) -> BTreeSet<String> {
    let proxies = cx.get(AuthProxies).await;
    let proxies = proxies.iter().flat_map(|all| all.iter());
    let asked = ["oidc_issuer_url", "redeem_url", "oidc_jwks_url"];
    let urls = proxies.flat_map(|proxy| asked.into_iter().filter_map(|name| proxy.told(name)));
    urls.filter_map(|told| service_in(&told.value).map(|(_, namespace)| namespace)).collect()
}

/// The Service that an address within the cluster is of, with its namespace.
pub(crate) fn service_in(url: &str) -> Option<(String, String)> {
    let url = Url::parse(url).ok()?;
    let mut labels = url.host_str()?.split('.');
    let (name, namespace, next) = (labels.next()?, labels.next()?, labels.next());
    // A name of two parts may be anybody's, unless a port is written behind it.
    let is_one = next == Some("svc") || next.is_none() && url.port().is_some();
    is_one.then(|| (name.to_owned(), namespace.to_owned()))
}

/// The namespaces of Services called `dex` that routes lead to.
async fn named_by_routes(cx: &Cx) -> BTreeSet<String> {
    let routes = cx.get(all::<VirtualService>()).await;
    let routes = routes.iter().flat_map(|all| all.iter());
    let named = routes.flat_map(|route| {
        let own = route.metadata.namespace();
        route.destinations().filter_map(move |to| {
            let (name, rest) = to.host.split_once('.').unwrap_or((&to.host, own));
            let namespace = rest.split('.').next().unwrap_or(own);
            (name == "dex").then(|| namespace.to_owned())
        })
    });
    named.collect()
}

/// The Dex in a namespace, if there is one.
async fn dex_in(cx: &Cx, namespace: &str) -> Result<Option<Dex>, FactError> {
    let pods = cx.get(within::<Pod>(namespace)).await;
    let ours = |pod: &&Arc<Pod>| container(pod).is_some() && !pod.is_over();
    let seen: Vec<_> = pods.iter().flat_map(|all| all.iter()).filter(ours).cloned().collect();
    let told = told_in(cx, namespace, &seen).await;
    let told = match told {
        Ok(Some(told)) => Ok(told),
        Ok(None) if seen.is_empty() => {
            pods?;
            return Ok(None);
        }
        Ok(None) => {
            let says = format!("no ConfigMap or Secret in {namespace} has Dex's configuration");
            Err(Fault::Unreachable(says).into())
        }
        Err(error) if seen.is_empty() => return Err(error),
        Err(error) => Err(error),
    };
    let environment = match seen.first().and_then(|pod| container(pod)) {
        Some(container) => Environment::of(cx, namespace, container).await,
        None => Environment::default(),
    };
    let services = cx.get(within::<Service>(namespace)).await;
    let services = services.iter().flat_map(|all| all.iter());
    let leads = |service: &&Arc<Service>| {
        seen.iter().any(|pod| service.selects(pod)) || service.metadata.name == "dex"
    };
    let services = services.filter(leads).cloned().collect();
    Ok(Some(Dex { namespace: namespace.to_owned(), told, pods: seen, services, environment }))
}

/// What holds the configuration: what Dex's pods have as files, or else what looks like it.
async fn told_in(cx: &Cx, namespace: &str, pods: &[Arc<Pod>]) -> Result<Option<Told>, FactError> {
    let volumes = || pods.iter().flat_map(|pod| &pod.spec.volumes);
    let maps: BTreeSet<_> =
        volumes().filter_map(|volume| Some(volume.config_map.as_ref()?.name.as_str())).collect();
    let secrets: BTreeSet<_> = volumes().map(|volume| volume.secret.secret_name.as_str()).collect();
    let by_map = cx.get(within::<ConfigMap>(namespace)).await;
    let mut of_maps: Vec<_> =
        by_map.iter().flat_map(|all| all.iter()).filter(|map| map.dex.is_some()).collect();
    let rank = |name: &str, mounted: &BTreeSet<&str>| (!mounted.contains(name), name != "dex");
    of_maps.sort_by_key(|map| rank(&map.metadata.name, &maps));
    if let Some(map) = of_maps.first()
        && (secrets.iter().all(|name| name.is_empty()) || maps.contains(&*map.metadata.name))
    {
        return Ok(Some(Told::Map(Arc::clone(map))));
    }
    let by_secret = cx.get(within::<Secret>(namespace)).await;
    let mut of_secrets: Vec<_> =
        by_secret.iter().flat_map(|all| all.iter()).filter(|secret| secret.dex.is_some()).collect();
    of_secrets.sort_by_key(|secret| rank(&secret.metadata.name, &secrets));
    match (of_secrets.first(), of_maps.first()) {
        (Some(secret), _) => Ok(Some(Told::Secret(Arc::clone(secret)))),
        (None, Some(map)) => Ok(Some(Told::Map(Arc::clone(map)))),
        (None, None) => {
            by_map?;
            // Who may not read Secrets doesn't know that there is no Dex, if something looks like one.
            if !pods.is_empty() {
                by_secret?;
            }
            Ok(None)
        }
    }
}
