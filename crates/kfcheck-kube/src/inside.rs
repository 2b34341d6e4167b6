//! Services of the cluster, reached from outside of it.

use kfcheck::{Cx, FactError, Fault, async_trait};
use kfcheck_probe::{ReachServices, Way};

use crate::{Service, ServiceEndpoints, client::forward, one};

/// The way to Services through the API server: a port-forward to a pod behind them.
#[derive(Clone, Copy, Debug, Default)]
pub struct PortForward;

/// The Service that a host name means to a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedService {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whether the name can mean nothing else.
    pub is_certain: bool,
}

impl NamedService {
    /// The Service that `host` would be for a pod in `namespace` (Kubernetes documentation, "DNS for
    /// Services and Pods"). None: it is no name of a Service's.
    pub fn of(host: &str, namespace: &str) -> Option<Self> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        if host.parse::<std::net::IpAddr>().is_ok() {
            return None;
        }
        let labels: Vec<_> = host.split('.').collect();
        if labels.iter().any(|label| label.is_empty()) {
            return None;
        }
        let (namespace, name, is_certain) = match &labels[..] {
            [name] if !namespace.is_empty() => (namespace, *name, false),
            [name, namespace] => (*namespace, *name, false),
            // Of a StatefulSet's pod, it is its Service that counts.
            [.., name, namespace, "svc"] | [.., name, namespace, "svc", "cluster", "local"] => {
                (*namespace, *name, true)
            }
            [name, namespace, "svc", ..] => (*namespace, *name, true),
            _ => return None,
        };
        Some(Self { namespace: namespace.to_owned(), name: name.to_owned(), is_certain })
    }
}

#[async_trait]
impl ReachServices for PortForward {
    async fn reach(
        &self,
        cx: &Cx,
        namespace: &str,
        host: &str,
        port: u16,
    ) -> Result<Option<Way>, FactError> {
        let Some(named) = NamedService::of(host, namespace) else { return Ok(None) };
        let NamedService { namespace, name, is_certain } = named;
        let services = match cx.get(one::<Service>(&namespace, &name)).await {
            // What looks like a host in no namespace of ours is one.
            Err(error) if !is_certain && matches!(error.fault, Fault::Denied { .. }) => {
                return if host.contains('.') { Ok(None) } else { Err(error) };
            }
            asked => asked?,
        };
        let closed = |why: String| Ok(Some(Way::Closed(why)));
        let Some(service) = services.first() else {
            let why = format!("dns: there is no Service {namespace}/{name}");
            return if is_certain { closed(why) } else { Ok(None) };
        };
        let elsewhere = || {
            let says = "leads out of the cluster, where it can't be followed from here";
            Fault::Unreachable(format!("Service {namespace}/{name} {says}"))
        };
        if service.spec.kind == "ExternalName" {
            return Err(elsewhere().into());
        }
        let Some(wanted) = service.spec.ports.iter().find(|wanted| wanted.port == port) else {
            return closed(format!("connect: Service {namespace}/{name} has no port {port}"));
        };
        let endpoints = cx.get(ServiceEndpoints::of(service)).await?;
        let ready: Vec<_> = endpoints.iter().filter(|endpoint| endpoint.ready).collect();
        let wanted = wanted.name.as_deref().unwrap_or_default();
        let places = ready.iter().filter_map(|endpoint| {
            let mut ports = endpoint.ports.iter();
            let (_, port) = ports.find(|(name, _)| name == wanted)?;
            Some((endpoint.pod.as_deref()?, *port))
        });
        match places.min() {
            Some((pod, port)) => {
                let stream = Box::new(forward(cx, &namespace, pod, port).await?);
                let through = Some(format!("port-forward to pod {namespace}/{pod}"));
                Ok(Some(Way::Open { stream, through }))
            }
            None if ready.is_empty() => {
                closed(format!("connect: Service {namespace}/{name} has no ready endpoint"))
            }
            None => Err(elsewhere().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::NamedService;

    #[test]
    fn a_host_is_a_service_as_a_pod_would_take_it() {
        let of = |host: &str| {
            let named = NamedService::of(host, "auth")?;
            Some((format!("{}/{}", named.namespace, named.name), named.is_certain))
        };
        for (host, service, is_certain) in [
            ("ldap", "auth/ldap", false),
            ("openldap.ldap", "ldap/openldap", false),
            ("openldap.ldap.svc", "ldap/openldap", true),
            ("OpenLDAP.ldap.svc.cluster.local.", "ldap/openldap", true),
            ("openldap.ldap.svc.my.own.domain", "ldap/openldap", true),
            ("openldap-0.openldap.ldap.svc.cluster.local", "ldap/openldap", true),
        ] {
            assert_eq!(of(host), Some((service.to_owned(), is_certain)), "{host}");
        }
        for host in ["ldap.example.com", "10.0.0.1", "::1", "", "a..b", "dc1.corp.example.com"] {
            assert_eq!(of(host), None, "{host}");
        }
        assert_eq!(NamedService::of("ldap", ""), None);
    }
}
