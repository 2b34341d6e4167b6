//! Which cluster, and as whom: read as kubectl reads it.

use std::{collections::HashMap, env, path::PathBuf, time::Duration};

use hyper_util::client::proxy::matcher::Matcher;
use kfcheck::Fault;
use kube::config::{Config, ExecInteractiveMode, KubeConfigOptions, Kubeconfig};

use crate::Chosen;

/// How long one call may take where nothing else is said.
const CALL: Duration = Duration::from_secs(15);
/// How long it may take until the API server takes a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Which cluster, and as whom: kubectl's own flags. It hands none of them to a plugin.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// `--kubeconfig`: this file and no other.
    pub kubeconfig: Option<PathBuf>,
    /// `--context`.
    pub context: Option<String>,
    /// `--namespace`.
    pub namespace: Option<String>,
    /// `--cluster`; one that the kubeconfig doesn't have is left to the provider.
    pub cluster: Option<String>,
    /// `--user`.
    pub user: Option<String>,
    /// `--as`.
    pub impersonate: Option<String>,
    /// `--as-uid`.
    pub impersonate_uid: Option<String>,
    /// `--as-group`.
    pub impersonate_groups: Vec<String>,
    /// `--request-timeout`: how long one call may take.
    pub request_timeout: Option<Duration>,
    /// Whether commands may be run in containers.
    pub exec: bool,
}

/// An [`Access`] with the files read.
pub(super) struct Way {
    pub(super) config: Config,
    pub(super) chosen: Chosen,
    /// How long one call may take.
    pub(super) timeout: Duration,
}

impl Access {
    /// Reads the kubeconfig, or else what a pod is given.
    pub(super) async fn way(&self) -> Result<Way, Fault> {
        let kubeconfig = self.kubeconfig()?;
        let timeout = self.request_timeout.unwrap_or(CALL);
        let (mut config, mut chosen) = match kubeconfig {
            Some(kubeconfig) => self.of_kubeconfig(kubeconfig).await?,
            None => (Config::incluster().map_err(|_| nothing_there())?, Chosen::default()),
        };
        chosen.server = config.cluster_url.to_string();
        chosen.namespace = self.namespace.clone().unwrap_or(config.default_namespace.clone());
        config.connect_timeout = Some(CONNECT.min(timeout));
        config.read_timeout = Some(timeout);
        // How often a call is tried again is said in one place, for every error.
        config.default_retry = false;
        let who = &mut config.auth_info;
        who.impersonate = self.impersonate.clone().or(who.impersonate.take());
        who.impersonate_uid = self.impersonate_uid.clone().or(who.impersonate_uid.take());
        if !self.impersonate_groups.is_empty() {
            who.impersonate_groups = Some(self.impersonate_groups.clone());
        }
        if let Some(exec) = &mut who.exec {
            let told = exec.args.iter().flatten().cloned();
            chosen.plugin = exec.command.iter().cloned().chain(told).collect();
            let is_profile = |entry: &&HashMap<String, String>| {
                entry.get("name").is_some_and(|name| name == "AWS_PROFILE")
            };
            let entry = exec.env.iter().flatten().find(is_profile);
            chosen.plugin_profile = entry.and_then(|entry| entry.get("value").cloned());
            // It would wait for an answer that nobody is asked for.
            exec.interactive_mode = Some(ExecInteractiveMode::Never);
        }
        Ok(Way { config, chosen, timeout })
    }

    async fn of_kubeconfig(&self, kubeconfig: Kubeconfig) -> Result<(Config, Chosen), Fault> {
        let wrong = |says: String| {
            Fault::Unreachable(format!(
                "the kubeconfig leads to no cluster: {says}; `kubectl config get-contexts` lists \
                 what there is"
            ))
        };
        let context = self.context.clone().or_else(|| kubeconfig.current_context.clone());
        let context = context.filter(|name| !name.is_empty());
        if context.is_none() {
            return Err(wrong("no context is current, and --context names none".to_owned()));
        }
        // GKE has names for clusters as well, and the same flag for them.
        let is_known =
            |name: &&String| kubeconfig.clusters.iter().any(|named| named.name == **name);
        let flag = self.cluster.as_ref().filter(is_known).cloned();
        let of_context = kubeconfig
            .contexts
            .iter()
            .find(|named| Some(&named.name) == context.as_ref())
            .and_then(|named| named.context.as_ref());
        let cluster = flag.as_ref().or(of_context.map(|context| &context.cluster));
        let proxy = kubeconfig
            .clusters
            .iter()
            .find(|named| Some(&named.name) == cluster)
            .and_then(|named| named.cluster.as_ref()?.proxy_url.clone())
            .filter(|url| !url.is_empty());
        let options = KubeConfigOptions {
            context: context.clone(),
            cluster: flag.clone(),
            user: self.user.clone(),
        };
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        let mut config = config.map_err(|error| wrong(error.to_string()))?;
        // kube-client 5.0 compares NO_PROXY with the proxy's own address; and a proxy that the
        // kubeconfig names is used whatever the environment says (client-go, `getConfig`).
        config.proxy_url = match proxy {
            Some(url) => Some(url.parse().map_err(|_| wrong(format!("{url} is no proxy")))?),
            None => proxy_of_environment(&config.cluster_url, |name| env::var(name).ok()),
        };
        Ok((config, Chosen { context, cluster: flag, ..Chosen::default() }))
    }

    /// The files of `KUBECONFIG` merged, those left out that aren't there; none where no file is.
    pub(super) fn kubeconfig(&self) -> Result<Option<Kubeconfig>, Fault> {
        let files = match (&self.kubeconfig, env::var_os("KUBECONFIG")) {
            (Some(file), _) => {
                if !file.exists() {
                    let says = format!("{} does not exist; --kubeconfig names it", file.display());
                    return Err(Fault::Unreachable(says));
                }
                vec![file.clone()]
            }
            (None, Some(list)) if !list.is_empty() => env::split_paths(&list).collect(),
            (None, _) => env::home_dir().iter().map(|home| home.join(".kube/config")).collect(),
        };
        let mut merged: Option<Kubeconfig> = None;
        for file in files.iter().filter(|file| file.is_file()) {
            let broken = |error: String| {
                Fault::Unreachable(format!("cannot read kubeconfig {}: {error}", file.display()))
            };
            let next = Kubeconfig::read_from(file).map_err(|error| broken(error.to_string()))?;
            merged = Some(match merged {
                Some(all) => all.merge(next).map_err(|error| broken(error.to_string()))?,
                None => next,
            });
        }
        Ok(merged)
    }
}

fn nothing_there() -> Fault {
    let says = "there is no kubeconfig; name one with --kubeconfig or KUBECONFIG";
    Fault::Unreachable(says.to_owned())
}

/// The proxy that `HTTPS_PROXY` or `HTTP_PROXY` names and `NO_PROXY` doesn't rule out. Loopback
/// addresses are never asked through one (Go, `net/http` `ProxyFromEnvironment`).
fn proxy_of_environment(
    url: &http::Uri,
    variable: impl Fn(&str) -> Option<String>,
) -> Option<http::Uri> {
    let host = url.host()?.trim_matches(['[', ']']);
    let is_loopback = host
        .parse::<std::net::IpAddr>()
        .map_or(host == "localhost", |address| address.is_loopback());
    if is_loopback {
        return None;
    }
    let said = |names: [&str; 2]| names.iter().find_map(|name| variable(name)).unwrap_or_default();
    let matcher = Matcher::builder()
        .https(said(["HTTPS_PROXY", "https_proxy"]))
        .http(said(["HTTP_PROXY", "http_proxy"]))
        .no(said(["NO_PROXY", "no_proxy"]))
        .build();
    Some(matcher.intercept(url)?.uri().clone())
}

#[cfg(test)]
mod tests {
    use super::proxy_of_environment;

    #[test]
    fn a_proxy_is_used_unless_the_cluster_is_among_the_exceptions_or_on_this_machine() {
        let variable = |name: &str| match name {
            "HTTPS_PROXY" => Some("http://proxy.corp:3128".to_owned()),
            "NO_PROXY" => Some(".corp,10.0.0.0/8".to_owned()),
            _ => None,
        };
        for (url, is_used) in [
            ("https://34.1.2.3", true),
            ("https://k8s.corp:6443", false),
            ("https://10.1.2.3", false),
            ("https://127.0.0.1:6443", false),
            ("https://localhost:6443", false),
            ("https://[::1]:6443", false),
            ("http://34.1.2.3", false),
        ] {
            let proxy = proxy_of_environment(&url.parse().unwrap(), variable);
            assert_eq!(proxy.is_some(), is_used, "{url}");
        }
    }
}
