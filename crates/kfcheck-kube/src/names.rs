//! What somebody calls otherwise than Kubeflow's manifests do.

use crate::Gateway;

/// A setting: the namespaces and names of this deployment, where they are not the usual ones.
/// Nothing said means the usual ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The namespaces of the front door: an Ingress, a Gateway, or the gateway's Service.
    pub front: Vec<String>,
    /// The names of the Services that stand behind it.
    pub services: Vec<String>,
    /// Istio's Gateway that Kubeflow's routes are bound to, as namespace and name.
    pub gateway: Option<(String, String)>,
    /// The namespaces of Dex.
    pub dex: Vec<String>,
    /// The namespaces of what asks users to sign in: oauth2-proxy or the OIDC AuthService.
    pub auth_proxy: Vec<String>,
    /// The namespace of MetalLB, where its DaemonSets don't say.
    pub metallb: Option<String>,
}

/// Where Kubeflow's front doors usually are.
const FRONT: [&str; 2] = ["istio-system", "kubeflow"];

/// The Services that usually stand behind them: Istio's gateway, and the proxies before it.
const SERVICES: [&str; 4] = ["istio-ingressgateway", "istio-ingress", "envoy", "ambassador"];

/// Where Dex usually is: Kubeflow's manifests, deployKF, and its own chart.
const DEX: [&str; 3] = ["auth", "deploykf-auth", "dex"];

/// Where the proxies before Kubeflow usually are.
const AUTH_PROXY: [&str; 5] = ["auth", "deploykf-auth", "istio-system", "kubeflow", "oauth2-proxy"];

impl Names {
    /// The namespaces of the front door.
    pub fn front(&self) -> Vec<&str> {
        or_usual(&self.front, &FRONT)
    }

    /// Where a Service that is an entrance by itself is looked for.
    pub fn bare_front(&self) -> Vec<&str> {
        or_usual(&self.front, &FRONT[..1])
    }

    /// The namespaces of Dex.
    pub fn dex(&self) -> Vec<&str> {
        or_usual(&self.dex, &DEX)
    }

    /// The namespaces of what asks users to sign in.
    pub fn auth_proxy(&self) -> Vec<&str> {
        or_usual(&self.auth_proxy, &AUTH_PROXY)
    }

    /// The namespace of MetalLB.
    pub fn metallb(&self) -> &str {
        self.metallb.as_deref().unwrap_or("metallb-system")
    }

    /// Whether a Service of this name stands at the front door. What a chart puts before the name
    /// doesn't matter.
    pub fn is_front(&self, service: &str) -> bool {
        or_usual(&self.services, &SERVICES).iter().any(|name| {
            let before = service.strip_suffix(name);
            before.is_some_and(|before| before.is_empty() || before.ends_with('-'))
        })
    }

    /// Whether this is Istio's Gateway of Kubeflow.
    pub fn is_kubeflows(&self, gateway: &Gateway) -> bool {
        let usual = ("kubeflow", "kubeflow-gateway");
        let (namespace, name) =
            self.gateway.as_ref().map_or(usual, |(namespace, name)| (namespace, name));
        gateway.metadata.namespace() == namespace && gateway.metadata.name == name
    }

    /// Whether this is one of Istio's Gateways of Kubeflow: where none was named, any in its
    /// namespace.
    pub fn is_one_of_kubeflows(&self, gateway: &Gateway) -> bool {
        let unnamed = self.gateway.is_none() && gateway.metadata.namespace() == "kubeflow";
        unnamed || self.is_kubeflows(gateway)
    }

    /// All namespaces that are said.
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        let gateway = self.gateway.iter().map(|(namespace, _)| namespace);
        let lists = [&self.front, &self.dex, &self.auth_proxy].into_iter().flatten();
        lists.chain(gateway).chain(&self.metallb).map(String::as_str)
    }
}

fn or_usual<'a>(said: &'a [String], usual: &[&'a str]) -> Vec<&'a str> {
    if said.is_empty() { usual.to_vec() } else { said.iter().map(String::as_str).collect() }
}

#[cfg(test)]
mod tests {
    use super::Names;

    #[test]
    fn a_service_is_at_the_front_door_by_its_name_or_the_end_of_it() {
        let usual = Names::default();
        assert!(usual.is_front("istio-ingressgateway") && usual.is_front("prod-envoy"));
        assert!(!usual.is_front("myenvoy") && !usual.is_front("kf-gateway"));
        let own = Names { services: vec!["kf-gateway".to_owned()], ..Names::default() };
        assert!(own.is_front("kf-gateway") && !own.is_front("istio-ingressgateway"));
    }
}
