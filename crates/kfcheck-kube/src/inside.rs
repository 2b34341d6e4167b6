//! Services of the cluster, reached from outside of it.

use kfcheck::{Cx, FactError, Fault, async_trait};
use kfcheck_probe::{ReachServices, Way};

use crate::{
    Container, KubeClient, Pod, Service, ServiceEndpoints,
    client::{forward, talk, try_out},
    one, within,
};

/// The ways through the API server: to a Service a port-forward to a pod behind it, to any other host
/// the `nc` of Dex's container, where `--exec` allows that.
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
        let Some(named) = NamedService::of(host, namespace) else {
            return Ok(from_dex(cx, namespace, host, port).await);
        };
        let asking = namespace;
        let NamedService { namespace, name, is_certain } = named;
        let services = match cx.get(one::<Service>(&namespace, &name)).await {
            // What looks like a host in no namespace of ours is one.
            Err(error) if !is_certain && matches!(error.fault, Fault::Denied { .. }) => {
                let way = from_dex(cx, asking, host, port).await;
                return if way.is_some() || host.contains('.') { Ok(way) } else { Err(error) };
            }
            asked => asked?,
        };
        let closed = |why: String| Ok(Some(Way::Closed { why, through: None }));
        let Some(service) = services.first() else {
            let why = format!("dns: there is no Service {namespace}/{name}");
            if is_certain {
                return closed(why);
            }
            return Ok(from_dex(cx, asking, host, port).await);
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
                Ok(Some(Way::Open { stream, through, is_sure: true }))
            }
            None if ready.is_empty() => {
                closed(format!("connect: Service {namespace}/{name} has no ready endpoint"))
            }
            None => Err(elsewhere().into()),
        }
    }
}

/// The way from a pod of Dex's, through busybox's `nc`, which its image has. None: there is none.
async fn from_dex(cx: &Cx, namespace: &str, host: &str, port: u16) -> Option<Way> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
    if host.is_empty() || host.starts_with('-') || !host.chars().all(is_plain) {
        return None;
    }
    if !cx.client::<KubeClient>().ok()?.may_exec() {
        return None;
    }
    let pods = cx.get(within::<Pod>(namespace)).await.ok()?;
    let running = pods.iter().filter(|pod| pod.is_ready());
    let found = running.filter_map(|pod| {
        let of_dex = |c: &&Container| c.name == "dex" || c.image.contains("/dex:");
        let container = pod.spec.containers.iter().find(of_dex)?;
        Some((&*pod.metadata.name, &*container.name))
    });
    let (pod, container) = found.min()?;
    let through = Some(format!("nc in pod {namespace}/{pod}"));
    let port = port.to_string();
    let place = (namespace, pod, Some(container));
    let tried = try_out(cx, place, &["nc", "-z", "-w", "5", host, &port]).await.ok()?;
    if !tried.is_well {
        // What it says is known of busybox's; otherwise there may be no nc.
        let says: String = tried.says.lines().last()?.chars().take(200).collect();
        let layer = if says.contains("bad address") {
            "dns"
        } else if ["refused", "timed out", "unreachable"].iter().any(|word| says.contains(word)) {
            "connect"
        } else {
            return None;
        };
        return Some(Way::Closed { why: format!("{layer}: {says}"), through });
    }
    let stream = Box::new(talk(cx, place, &["nc", host, &port]).await.ok()?);
    Some(Way::Open { stream, through, is_sure: false })
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
