//! The backend services on the path, and the pods behind them.

use std::{collections::BTreeSet, sync::Arc};

use kfcheck::{Cx, Fact, FactError, Named, Resource};
use kfcheck_kube::{Entrance, FrontServices, Pod, Port, Service, ServicePort, within};
use serde::Serialize;

use crate::{
    BackendService, BackendServices, NegStatus, UrlMap, UrlMaps,
    entrances::{GoogleEntrances, backends_said, is_behind, is_named_for, url_maps_said},
};

/// The backend services that requests to the entrance are sent to.
#[derive(Clone, Serialize)]
pub struct BackendsInUse;

/// A backend service, and for which Service of the cluster it stands.
#[derive(Clone, Debug)]
pub struct BackendInUse {
    /// The backend service.
    pub backend: BackendService,
    /// The Ingress or Gateway it was made for.
    pub entrance: Resource,
    /// The Service behind it.
    pub service: Arc<Service>,
    /// The port of the Service that the entrance sends requests to.
    pub service_port: Option<ServicePort>,
}

impl Fact for BackendsInUse {
    const NAME: &'static str = "gcp.backendsInUse";
    type Value = Vec<BackendInUse>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<BackendInUse>, FactError> {
        let entrances = cx.get(GoogleEntrances).await?;
        let mut used = Vec::new();
        if entrances.is_empty() {
            return Ok(used);
        }
        let services = cx.get(FrontServices).await?;
        let backends = cx.get(BackendServices).await?;
        // Without URL maps, what the controller says has to do.
        let maps = cx.get(UrlMaps).await;
        for entrance in entrances.iter() {
            let said = backends_said(entrance);
            let routed: Vec<_> = match &maps {
                Ok(maps) => routed(entrance, maps),
                Err(_) => Vec::new(),
            };
            for service in services.iter().filter(|service| is_behind(entrance, service)) {
                let groups = NegStatus::of(service).and_then(Result::ok).unwrap_or_default();
                let named = |backend: &&BackendService| {
                    let name = &backend.name;
                    // Clusters share projects: that it is for a Service of this name is not enough.
                    let ours = said.contains(name)
                        || routed.contains(name)
                        || groups
                            .network_endpoint_groups
                            .values()
                            .any(|group| backend.backends.iter().any(|b| b.group.name() == group));
                    let stands_for = match backend.service_name() {
                        Some(_) => backend.is_for(service),
                        None => {
                            has_port_of(backend, service, &groups)
                                || is_named_for(&backend.name, service)
                        }
                    };
                    ours && stands_for
                };
                let all: Vec<_> = backends.iter().filter(named).collect();
                // A controller leaves the old ones in its annotation for a while.
                let live = |backend: &&&BackendService| routed.contains(&backend.name);
                let live_ones: Vec<_> = all.iter().filter(live).copied().collect();
                // Without URL maps, those at a port that the Service has are the ones.
                let at_port = |backend: &&&BackendService| {
                    let ports = &service.spec.ports;
                    ports
                        .iter()
                        .any(|p| p.node_port.is_some() && p.node_port == backend.node_port())
                };
                let at_ports: Vec<_> = all.iter().filter(at_port).copied().collect();
                let chosen = [live_ones, at_ports, all].into_iter().find(|some| !some.is_empty());
                for backend in chosen.unwrap_or_default() {
                    used.push(BackendInUse {
                        backend: backend.clone(),
                        entrance: entrance.resource(),
                        service: Arc::clone(service),
                        service_port: port_in_use(entrance, service, backend),
                    });
                }
            }
        }
        Ok(used)
    }
}

/// The backend services that the URL maps of an entrance send its hosts' requests to, by name.
fn routed(entrance: &Entrance, maps: &[UrlMap]) -> Vec<String> {
    let names = url_maps_said(entrance);
    let ours = maps.iter().filter(|map| names.contains(&&*map.name));
    let services = ours.flat_map(|map| {
        let hosts = entrance.hosts();
        if hosts.is_empty() {
            map.all_services()
        } else {
            hosts.iter().flat_map(|host| map.services(host)).collect()
        }
    });
    services.map(|link| link.name().to_owned()).collect()
}

/// Whether a backend service that doesn't say for whom it was made has a port of `service`.
fn has_port_of(backend: &BackendService, service: &Service, groups: &NegStatus) -> bool {
    let in_group = |group: &String| backend.backends.iter().any(|b| b.group.name() == group);
    let port = backend.node_port().or(backend.port);
    groups.network_endpoint_groups.values().any(in_group)
        || port.is_some() && service.spec.ports.iter().any(|p| p.node_port == port)
}

/// The port of `service` that `backend` stands for: the one with its node port or its group, or
/// else the only one that the entrance names.
fn port_in_use(
    entrance: &Entrance,
    service: &Service,
    backend: &BackendService,
) -> Option<ServicePort> {
    let asked = entrance.ports_of(service);
    let named: Vec<_> = asked.iter().filter_map(|to| service.port(&to.port)).collect();
    let groups = NegStatus::of(service).and_then(Result::ok).unwrap_or_default();
    let of_group = |port: &&&ServicePort| {
        let group = groups.network_endpoint_groups.get(&port.port.to_string());
        group.is_some_and(|group| backend.backends.iter().any(|b| b.group.name() == group))
    };
    let node_port = backend.node_port();
    let by_node_port = named.iter().find(|port| node_port.is_some() && port.node_port == node_port);
    let found = by_node_port.or_else(|| named.iter().find(of_group)).or_else(|| named.first());
    found.map(|port| (*port).clone())
}

/// Where a Service port is reached on a pod, as far as one answer holds for all of `pods`.
pub(crate) fn port_on_pods(port: &ServicePort, pods: &[Arc<Pod>]) -> Option<u16> {
    let ports: BTreeSet<_> = pods.iter().filter_map(|pod| port.on(pod)).collect();
    match (ports.len(), &port.target_port) {
        (1, _) => ports.into_iter().next(),
        (0, None) => Some(port.port),
        (0, Some(Port::Number(number))) => Some(*number),
        _ => None,
    }
}

/// The pods behind a Service that are or should be up.
pub(crate) async fn pods_of(cx: &Cx, service: &Service) -> Result<Vec<Arc<Pod>>, FactError> {
    let pods = cx.get(within::<Pod>(service.metadata.namespace())).await?;
    Ok(pods.iter().filter(|pod| service.selects(pod) && !pod.is_over()).cloned().collect())
}
