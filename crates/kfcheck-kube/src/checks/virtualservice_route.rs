use kfcheck::{Check, Cx, FactError, Findings, Risk, async_trait, check};

use crate::{Gateway, Names, Service, VirtualService, all, find, on_path};

check! {
    /// ## What it checks
    /// For every VirtualService of Kubeflow's at the gateway, that the Gateway it is bound to
    /// exists, and the Services and ports that it sends requests to; and that one of them leads to
    /// the dashboard.
    ///
    /// ## Why it matters
    /// The gateway answers 404 where no VirtualService is bound to it, and 503 where one leads to a
    /// Service that isn't there.
    ///
    /// ## How to fix it
    /// Correct the reference, or bring back what it refers to. A VirtualService names a Gateway of
    /// another namespace as `NAMESPACE/NAME`.
    pub(crate) struct VirtualServiceRoute;
    id: "istio-virtualservice-route",
    title: "Every route at the gateway leads somewhere",
}

#[async_trait]
impl Check for VirtualServiceRoute {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let found = cx.get(on_path::<VirtualService>()).await?;
        let services = found.seen(out);
        let gateways = cx.get(on_path::<Gateway>()).await?;
        let names = cx.setting::<Names>();
        let kubeflow =
            gateways.seen(out).iter().find(|gateway| names.is_one_of_kubeflows(gateway)).cloned();
        for service in services {
            examine(cx, service, out).await?;
        }
        let Some(gateway) = kubeflow else { return Ok(()) };
        let dashboard = |service: &VirtualService| {
            let host = |host: &str| host.split('.').next() == Some("centraldashboard");
            service.destinations().any(|destination| host(&destination.host))
        };
        if services.iter().any(|service| dashboard(service)) {
            return Ok(());
        }
        if find::<Service>(cx, "kubeflow", "centraldashboard").await?.is_some() {
            out.fail(&*gateway, "has no VirtualService that leads to the dashboard").serving().fix(
                Risk::None,
                "shows what is bound to it",
                "kubectl get virtualservices.networking.istio.io -n kubeflow",
            );
        }
        Ok(())
    }
}

async fn examine(cx: &Cx, service: &VirtualService, out: &mut Findings) -> Result<(), FactError> {
    let known = cx.get(all::<Gateway>()).await?;
    let exists = |(namespace, name): (&str, &str)| {
        let is = |g: &Gateway| g.metadata.name == name && g.metadata.namespace() == namespace;
        known.iter().any(|gateway| is(gateway))
    };
    let bound: Vec<_> = service.gateways().collect();
    if !bound.is_empty() && !bound.iter().any(|name| exists(*name)) {
        let (namespace, name) = bound[0];
        let there: Vec<_> = known
            .iter()
            .map(|g| format!("{}/{}", g.metadata.namespace(), g.metadata.name))
            .collect();
        out.fail(service, format!("is bound to Gateway {namespace}/{name}, which does not exist"))
            .evidence("there is", if there.is_empty() { "none".into() } else { there.join(", ") });
        return Ok(());
    }
    let own = service.metadata.namespace();
    for destination in service.destinations() {
        let Some((namespace, name)) = destination.service(own) else { continue };
        let found = find::<Service>(cx, namespace, name).await;
        let Some(found) = out.known(service, found) else { continue };
        let show = format!("kubectl get services -n {namespace}");
        let port = destination.port.map(|port| port.number).filter(|number| *number != 0);
        let message = match found {
            None => format!("sends requests to Service {namespace}/{name}, which does not exist"),
            Some(found) => {
                let has = |number| found.spec.ports.iter().any(|p| p.port == number);
                match port.filter(|number| !has(*number)) {
                    Some(number) => format!(
                        "sends requests to port {number} of Service {namespace}/{name}, which has \
                         no such port"
                    ),
                    None => continue,
                }
            }
        };
        out.fail(service, message).fix(Risk::None, "shows the Services that there are", show);
        return Ok(());
    }
    out.ok(service);
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::VirtualServiceRoute;
    use crate::testing::{ingress, report};

    fn service(name: &str, port: u16) -> Value {
        json!({ "apiVersion": "v1", "kind": "Service",
            "metadata": { "namespace": "kubeflow", "name": name },
            "spec": { "selector": { "istio": name }, "ports": [{ "port": port }] } })
    }

    /// A route from a Gateway to a host, where there is a Service for the dashboard at port 80.
    async fn with(gateway: &str, host: &str, port: u16) -> String {
        let bound = json!({ "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
            "metadata": { "namespace": "kubeflow", "name": "kubeflow-gateway" } });
        let route = json!({ "destination": { "host": host, "port": { "number": port } } });
        let route = json!({ "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": { "namespace": "kubeflow", "name": "dashboard" },
            "spec": { "gateways": [gateway], "http": [{ "route": [route] }] } });
        let (front, dashboard) = (service("gateway", 80), service("centraldashboard", 80));
        let objects = [ingress("gateway"), front, dashboard, bound, route];
        let none = ["deployments.apps", "pods"].map(|name| format!("kubernetes/{name}.json"));
        let files = none.each_ref().map(|name| (name.as_str(), json!({ "items": [] })));
        report(&VirtualServiceRoute, &objects, &files).await
    }

    #[tokio::test]
    async fn the_old_spelling_of_a_gateway_is_understood() {
        let gateway = "kubeflow-gateway.kubeflow.svc.cluster.local";
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     istio-virtualservice-route
                     Every route at the gateway leads somewhere
        "#]]
        .assert_eq(&with(gateway, "centraldashboard", 80).await);
    }

    #[tokio::test]
    async fn a_gateway_that_does_not_exist_binds_nothing() {
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  istio-virtualservice-route
              VirtualService kubeflow/dashboard is bound to Gateway istio-system/main, which
                does not exist
                there is  kubeflow/kubeflow-gateway
              kubectl kfcheck explain istio-virtualservice-route

            FAIL     istio-virtualservice-route
                     Every route at the gateway leads somewhere
        "#]]
        .assert_eq(&with("istio-system/main", "centraldashboard", 80).await);
    }

    #[tokio::test]
    async fn no_route_leads_to_the_dashboard() {
        let host = "login.example.com";
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  istio-virtualservice-route
              Gateway kubeflow/kubeflow-gateway has no VirtualService that leads to the
                dashboard
                fix       shows what is bound to it
                          kubectl get virtualservices.networking.istio.io -n kubeflow
              kubectl kfcheck explain istio-virtualservice-route

            FAIL     istio-virtualservice-route
                     Every route at the gateway leads somewhere
        "#]]
        .assert_eq(&with("kubeflow-gateway", host, 443).await);
    }
}
