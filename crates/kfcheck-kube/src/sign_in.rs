//! Whom the gateway asks who a user is, within the cluster.

use std::sync::Arc;

use kfcheck::{Cx, Fact, FactError, Fault, Path, Resource};
use serde::Serialize;

use crate::{
    AuthorizationPolicy, EnvoyFilter, FrontServices, Names, Service, path::draw_pods, within,
};

/// The proxies that sign users in, by the name that their Services have, and Istio's providers in
/// theirs: Kubeflow's until 1.8, and since 1.9 (kubeflow/manifests, `common/oidc-client`).
pub const SIGN_IN_PROXIES: [&str; 2] = ["authservice", "oauth2-proxy"];

/// Where Istio looks for what holds at its gateways.
const ISTIO: &str = "istio-system";

/// Which of the proxies the gateway asks: one of two sorts may be left over.
#[derive(Clone, Serialize)]
pub struct AskedProxies;

/// Those that the gateway's filters and policies name.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    names: Vec<&'static str>,
    /// Whether all that may ask was seen.
    is_whole: bool,
}

impl Asked {
    /// Whether the gateway asks it; nothing where that can't be told.
    pub fn is(&self, proxy: &str) -> Option<bool> {
        if self.names.contains(&proxy) {
            return Some(true);
        }
        // Where nobody is known to be asked, somebody is by a way that isn't looked at.
        (self.is_whole && !self.names.is_empty()).then_some(false)
    }
}

impl Fact for AskedProxies {
    const NAME: &'static str = "kube.askedProxies";
    type Value = Asked;

    async fn fetch(&self, cx: &Cx) -> Result<Asked, FactError> {
        cx.begin(within::<AuthorizationPolicy>(ISTIO));
        let filters = cx.get(within::<EnvoyFilter>(ISTIO)).await;
        let policies = cx.get(within::<AuthorizationPolicy>(ISTIO)).await;
        let custom = policies.iter().flat_map(|all| all.iter());
        let custom: Vec<_> = custom.filter(|policy| policy.spec.action == "CUSTOM").collect();
        let asks = |name: &&str| {
            let mut filters = filters.iter().flat_map(|all| all.iter());
            filters.any(|filter| filter.spec.has(name))
                || custom.iter().any(|policy| policy.spec.provider.name.contains(*name))
        };
        let absent = |error: &FactError| matches!(error.fault, Fault::Absent(_));
        let is_whole =
            filters.as_ref().err().is_none_or(absent) && policies.as_ref().err().is_none_or(absent);
        Ok(Asked { names: SIGN_IN_PROXIES.into_iter().filter(asks).collect(), is_whole })
    }
}

/// Host, gateway → the proxy that the gateway asks, as a Service with its pods. Without it the gateway
/// answers all the same, and lets nobody in. Dex is not drawn: what the proxy is told isn't read, and
/// where people sign in with another provider, nobody misses a Dex that was left over.
pub async fn draw_sign_in(cx: &Cx, path: &mut Path, hosts: &[Resource]) -> Result<(), FactError> {
    let names = cx.setting::<Names>();
    let mut proxies = Vec::new();
    for name in SIGN_IN_PROXIES {
        let found = services_called(cx, name, &names.auth_proxy()).await?;
        proxies.extend(found.into_iter().map(|service| (name, service)));
    }
    let several = proxies.iter().any(|(name, _)| *name != proxies[0].0);
    let asked = cx.get(AskedProxies).await?;
    proxies.retain(|(name, _)| match asked.is(name) {
        Some(is) => is,
        None => !several,
    });
    if proxies.is_empty() {
        return Ok(());
    }
    let fronts = cx.get(FrontServices).await?;
    for (_, proxy) in &proxies {
        for host in hosts {
            path.asks(host, &**proxy);
        }
        for front in fronts.iter() {
            path.needs(&**front, &**proxy);
        }
        draw_pods(cx, path, proxy).await;
    }
    Ok(())
}

/// The Services of one name in any of some namespaces.
async fn services_called(
    cx: &Cx,
    name: &str,
    namespaces: &[&str],
) -> Result<Vec<Arc<Service>>, FactError> {
    for namespace in namespaces {
        cx.begin(within::<Service>(namespace));
    }
    let mut found = Vec::new();
    for namespace in namespaces {
        let services = cx.get(within::<Service>(namespace)).await?;
        found.extend(services.iter().filter(|service| service.metadata.name == name).cloned());
    }
    Ok(found)
}
