//! Where a Service's requests go, whichever objects say so.

use kfcheck::{Cx, Fact, FactError, Fault};
use serde::Serialize;

use crate::{EndpointSlice, Endpoints, Pod, Service, one, selects, within};

/// Where the requests of a Service go.
#[derive(Clone, Serialize)]
pub struct ServiceEndpoints {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub service: String,
}

/// One endpoint of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Its address.
    pub ip: String,
    /// On which ports, by the name of the Service's port.
    pub ports: Vec<(String, u16)>,
    /// Whether requests go there.
    pub ready: bool,
    /// The pod.
    pub pod: Option<String>,
    /// The node that it is on.
    pub node: Option<String>,
}

impl Fact for ServiceEndpoints {
    const NAME: &'static str = "kube.serviceEndpoints";
    type Value = Vec<Endpoint>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<Endpoint>, FactError> {
        let missing =
            |fault: &Fault| matches!(fault, Fault::NotCollected { .. } | Fault::Absent(_));
        let sliced = match cx.get(within::<EndpointSlice>(&self.namespace)).await {
            Ok(slices) if slices.iter().any(|slice| self.is_of(slice)) => {
                return Ok(self.of_slices(slices.iter().map(|slice| &**slice)));
            }
            Ok(_) => true,
            // Before Kubernetes 1.17 there are none.
            Err(error) if missing(&error.fault) => false,
            Err(error) => return Err(error),
        };
        // The older form, which may be all that somebody wrote down.
        match cx.get(within::<Endpoints>(&self.namespace)).await {
            Ok(all) => return Ok(self.of_endpoints(all.iter().map(|endpoints| &**endpoints))),
            Err(error) if missing(&error.fault) && !sliced => (),
            Err(_) if sliced => return Ok(Vec::new()),
            Err(error) => return Err(error),
        }
        let services = cx.get(one::<Service>(&self.namespace, &self.service)).await?;
        let pods = cx.get(within::<Pod>(&self.namespace)).await?;
        let service = services.first().map(|service| &**service);
        let behind = |pod: &&std::sync::Arc<Pod>| {
            service.is_some_and(|s| selects(&s.spec.selector, &pod.metadata.labels))
                && !pod.is_over()
        };
        let behind = pods.iter().filter(behind);
        Ok(service.map(|s| behind.map(|pod| of_pod(s, pod)).collect()).unwrap_or_default())
    }
}

impl ServiceEndpoints {
    /// The endpoints of `service`.
    pub fn of(service: &Service) -> Self {
        let namespace = service.metadata.namespace().to_owned();
        Self { namespace, service: service.metadata.name.clone() }
    }

    fn is_of(&self, slice: &EndpointSlice) -> bool {
        slice.metadata.labels.get("kubernetes.io/service-name") == Some(&self.service)
    }

    fn of_slices<'a>(&self, slices: impl Iterator<Item = &'a EndpointSlice>) -> Vec<Endpoint> {
        let ours = |slice: &&EndpointSlice| self.is_of(slice);
        let mut all = Vec::new();
        for slice in slices.filter(ours) {
            let ports = slice.ports.iter();
            let ports: Vec<_> =
                ports.filter_map(|p| Some((p.name.clone().unwrap_or_default(), p.port?))).collect();
            for endpoint in &slice.endpoints {
                let pod = endpoint.target_ref.as_ref().filter(|target| target.kind == "Pod");
                all.extend(endpoint.addresses.iter().map(|ip| Endpoint {
                    ip: ip.clone(),
                    ports: ports.clone(),
                    ready: endpoint.conditions.ready.unwrap_or(true),
                    pod: pod.map(|pod| pod.name.clone()),
                    node: endpoint.node_name.clone(),
                }));
            }
        }
        all
    }

    fn of_endpoints<'a>(&self, all: impl Iterator<Item = &'a Endpoints>) -> Vec<Endpoint> {
        let ours = all.filter(|endpoints| endpoints.metadata.name == self.service);
        let mut found = Vec::new();
        for subset in ours.flat_map(|endpoints| &endpoints.subsets) {
            let ports = subset.ports.iter();
            let ports: Vec<_> =
                ports.filter_map(|p| Some((p.name.clone().unwrap_or_default(), p.port?))).collect();
            let ready = subset.addresses.iter().map(|address| (address, true));
            let others = subset.not_ready_addresses.iter().map(|address| (address, false));
            found.extend(ready.chain(others).map(|(address, ready)| Endpoint {
                ip: address.ip.clone(),
                ports: ports.clone(),
                ready,
                pod: address.target_ref.as_ref().map(|target| target.name.clone()),
                node: address.node_name.clone(),
            }));
        }
        found
    }
}

fn of_pod(service: &Service, pod: &Pod) -> Endpoint {
    let ports = service.spec.ports.iter();
    let ports = ports.filter_map(|p| Some((p.name.clone().unwrap_or_default(), p.on(pod)?)));
    Endpoint {
        ip: pod.status.pod_ip.clone().unwrap_or_default(),
        ports: ports.collect(),
        ready: pod.is_ready(),
        pod: Some(pod.metadata.name.clone()),
        node: pod.spec.node_name.clone(),
    }
}
