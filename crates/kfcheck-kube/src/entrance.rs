//! What all sorts of entrances have: names, addresses, and Services behind them.

use std::sync::Arc;

use kfcheck::{Cx, FactError, Named, Resource};

use crate::{
    ApiGateway, ApiRoute, EntranceBackend, Ingress, Metadata, Service, all, covers, within,
};

/// Where requests enter the cluster.
#[derive(Clone, Debug)]
pub enum Entrance {
    /// An Ingress.
    Ingress(Arc<Ingress>),
    /// A Gateway of the Gateway API.
    Gateway(RoutedGateway),
    /// A Service with an address of its own.
    Service(Arc<Service>),
}

/// A Gateway of the Gateway API, with those of its routes that are meant.
#[derive(Clone, Debug)]
pub struct RoutedGateway {
    /// The Gateway.
    pub gateway: Arc<ApiGateway>,
    /// Its routes that lead to the target.
    pub routes: Vec<Arc<ApiRoute>>,
}

impl Named for Entrance {
    fn resource(&self) -> Resource {
        match self {
            Self::Ingress(ingress) => ingress.resource(),
            Self::Gateway(RoutedGateway { gateway, .. }) => gateway.resource(),
            Self::Service(service) => service.resource(),
        }
    }
}

impl Entrance {
    /// Its name, and what its controller wrote down.
    pub fn metadata(&self) -> &Metadata {
        match self {
            Self::Ingress(ingress) => &ingress.metadata,
            Self::Gateway(RoutedGateway { gateway, .. }) => &gateway.metadata,
            Self::Service(service) => &service.metadata,
        }
    }

    /// The hosts it serves.
    pub fn hosts(&self) -> Vec<String> {
        match self {
            Self::Ingress(ingress) => ingress.hosts().map(str::to_owned).collect(),
            Self::Gateway(RoutedGateway { gateway, routes }) => {
                routes.iter().flat_map(|route| route.hosts(gateway)).collect()
            }
            Self::Service(_) => Vec::new(),
        }
    }

    /// The addresses that it got.
    pub fn addresses(&self) -> Vec<&str> {
        match self {
            Self::Ingress(ingress) => ingress.addresses().collect(),
            Self::Gateway(RoutedGateway { gateway, .. }) => gateway.addresses().collect(),
            Self::Service(service) => service.status.load_balancer.addresses().collect(),
        }
    }

    /// Where it sends requests to. A Service sends them to its own pods.
    pub fn backends(&self) -> Vec<EntranceBackend> {
        match self {
            Self::Ingress(ingress) => {
                let backends = ingress.backends().map(|backend| EntranceBackend {
                    namespace: ingress.metadata.namespace().to_owned(),
                    service: backend.service.clone(),
                    port: backend.port.clone(),
                    shared: false,
                });
                backends.collect()
            }
            Self::Gateway(RoutedGateway { routes, .. }) => {
                routes.iter().flat_map(|route| route.backends()).collect()
            }
            Self::Service(_) => Vec::new(),
        }
    }

    /// The ports of `service` that it sends requests to.
    pub fn ports_of(&self, service: &Service) -> Vec<EntranceBackend> {
        let Metadata { name, .. } = &service.metadata;
        let mut all = self.backends();
        all.retain(|to| to.service == *name && to.namespace == service.metadata.namespace());
        all
    }

    /// The command that shows what its controller says.
    pub fn describe(&self) -> String {
        let (kind, metadata) = match self {
            Self::Ingress(_) => ("ingress", self.metadata()),
            Self::Gateway(_) => ("gateway.gateway.networking.k8s.io", self.metadata()),
            Self::Service(_) => ("service", self.metadata()),
        };
        format!("kubectl describe {kind} -n {} {}", metadata.namespace(), metadata.name)
    }
}

impl RoutedGateway {
    /// Every Gateway of the Gateway API, or those of one namespace, with all of their routes.
    pub(crate) async fn all(cx: &Cx, namespace: Option<&str>) -> Result<Vec<Self>, FactError> {
        cx.begin(all::<ApiRoute>());
        let gateways = match namespace {
            Some(namespace) => cx.get(within::<ApiGateway>(namespace)).await?,
            None => cx.get(all::<ApiGateway>()).await?,
        };
        if gateways.is_empty() {
            return Ok(Vec::new());
        }
        let routes = cx.get(all::<ApiRoute>()).await?;
        let with_routes = |gateway: &Arc<ApiGateway>| {
            let ours = routes.iter().filter(|route| route.parents(gateway).next().is_some());
            Self { gateway: Arc::clone(gateway), routes: ours.cloned().collect() }
        };
        Ok(gateways.iter().map(with_routes).collect())
    }

    /// The same with only those routes that are `meant`; nothing where none is.
    pub(crate) fn only(&self, meant: impl Fn(&ApiRoute) -> bool) -> Option<Self> {
        let routes: Vec<_> = self.routes.iter().filter(|route| meant(route)).cloned().collect();
        (!routes.is_empty()).then(|| Self { gateway: Arc::clone(&self.gateway), routes })
    }

    /// The same with the routes that serve a host by name, or else with those that serve any.
    pub(crate) fn serving(&self, host: &str) -> Option<Self> {
        let hosts = |route: &ApiRoute| route.hosts(&self.gateway);
        let named = self.only(|route| hosts(route).iter().any(|known| covers(known, host)));
        named.or_else(|| self.only(|route| hosts(route).is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use crate::{
        checks::service_endpoints::ServiceEndpointsReady,
        testing::{ingress, report},
    };

    /// What is said of a Gateway whose route leads to Istio's gateway, beside these objects.
    async fn beside(objects: &[Value]) -> String {
        let metadata = json!({ "namespace": "infra", "name": "front" });
        let route = json!({ "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": metadata, "spec": { "parentRefs": [{ "name": "front" }],
                "hostnames": ["kf.example.com"], "rules": [{ "backendRefs": [
                    { "namespace": "istio-system", "name": "istio-ingressgateway", "port": 80 }
                ] }] } });
        let gateway = json!({ "apiVersion": "gateway.networking.k8s.io/v1beta1", "kind": "Gateway",
            "metadata": metadata, "spec": { "gatewayClassName": "any" } });
        let service = json!({ "apiVersion": "v1", "kind": "Service",
            "metadata": { "namespace": "shop", "name": "shop" } });
        let objects = [&[gateway, route, service], objects].concat();
        report(&ServiceEndpointsReady, &objects, &[]).await
    }

    #[tokio::test]
    async fn an_ingress_to_something_else_gives_way_to_a_gateway() {
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  kube-service-endpoints
              HTTPRoute infra/front sends requests to Service istio-ingressgateway, which
                does not exist
                fix       shows the Services that there are, and their ports
                          kubectl get services -n istio-system
              kubectl kfcheck explain kube-service-endpoints

            FAIL     kube-service-endpoints
                     Every Service on the path has a ready endpoint
        "#]]
        .assert_eq(&beside(&[ingress("grafana")]).await);
    }

    #[tokio::test]
    async fn an_ingress_to_kubeflow_comes_first() {
        let says = beside(&[ingress("istio-ingressgateway")]).await;
        assert!(says.contains("Ingress kubeflow/front") && !says.contains("HTTPRoute"), "{says}");
    }

    #[tokio::test]
    async fn a_load_balancer_of_the_gateways_own_is_one_though_ingresses_were_not_collected() {
        let service = json!({ "apiVersion": "v1", "kind": "Service",
            "metadata": { "namespace": "istio-system", "name": "istio-ingressgateway" },
            "spec": { "type": "LoadBalancer", "selector": { "app": "gateway" } } });
        let none = ["deployments.apps", "pods"].map(|name| format!("kubernetes/{name}.json"));
        let none = none.each_ref().map(|name| (name.as_str(), json!({ "items": [] })));
        expect![[r#"
            Something is broken; no entrance to a deployment was found. 1 root cause, 0
            symptoms; 0 checks passed, 0 not seen.

            BROKEN  kube-service-endpoints
              Service istio-system/istio-ingressgateway selects no pod
                selector  app=gateway
                fix       shows the labels that there are
                          kubectl get pods -n istio-system --show-labels
              kubectl kfcheck explain kube-service-endpoints

            NOT SEEN, so another cause may hide there
              request path
                not collected: kubernetes/ingresses.networking.k8s.io.json
                  kubectl get ingresses.networking.k8s.io -n istio-system -o yaml

            FAIL     kube-service-endpoints
                     Every Service on the path has a ready endpoint
        "#]]
        .assert_eq(&report(&ServiceEndpointsReady, &[service], &none).await);
    }
}
