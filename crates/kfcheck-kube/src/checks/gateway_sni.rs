use std::{collections::BTreeSet, sync::Arc};

use kfcheck::{Check, Cx, FactError, Findings, Risk, async_trait, check};

use crate::{
    Entrance, Entrances, FrontServices, Gateway, GatewayServer, Ingress, RoutedGateway, Service,
    ServicePort, on_path,
};

check! {
    /// ## What it checks
    /// Where a load balancer speaks TLS to Istio's gateway, that a server of a Gateway takes
    /// connections that name no host. Google's and AWS's load balancers name none; nor does nginx,
    /// unless it is told to.
    ///
    /// ## Why it matters
    /// A server that is bound to hosts takes only connections that name one of them (SNI). The
    /// gateway closes all others, so the load balancer answers 502, and its health checks fail.
    ///
    /// ## How to fix it
    /// Let the server take every host (`hosts: ["*"]`), or let the load balancer speak HTTP.
    pub(crate) struct GatewaySni;
    id: "istio-gateway-sni",
    title: "The gateway takes connections of load balancers that name no host",
}

#[async_trait]
impl Check for GatewaySni {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let found = cx.get(on_path::<Gateway>()).await?;
        let gateways = found.seen(out);
        let entrances = cx.get(Entrances).await?;
        let path = cx.path().await?;
        for service in cx.get(FrontServices).await?.iter() {
            let behind: Vec<_> = path.below(&**service, gateways.iter().map(|g| &**g));
            for (entrance, port) in encrypted(&entrances, service) {
                let servers = behind.iter().flat_map(|gateway| {
                    let servers = gateway.spec.servers.iter();
                    let ends = |s: &&GatewayServer| s.ends_tls().is_some() && s.is_on(port);
                    servers.filter(ends).map(move |server| (*gateway, server))
                });
                examine(entrance, &servers.collect::<Vec<_>>(), out);
            }
        }
        Ok(())
    }
}

fn examine(entrance: &Entrance, servers: &[(&Gateway, &GatewayServer)], out: &mut Findings) {
    let is_open = |server: &GatewayServer| {
        server.hosts.iter().any(|host| host.rsplit('/').next() == Some("*"))
    };
    if let Some((gateway, _)) = servers.iter().find(|(_, server)| is_open(server)) {
        out.ok(*gateway);
        return;
    }
    let Some((gateway, server)) = servers.first() else { return };
    let hosts: BTreeSet<_> = servers.iter().flat_map(|(_, server)| &server.hosts).collect();
    let hosts: Vec<_> = hosts.into_iter().map(String::as_str).collect();
    let number = server.port.number;
    let nth = gateway.spec.servers.iter().position(|other| std::ptr::eq(other, *server));
    let patch = serde_json::json!([{ "op": "replace",
        "path": format!("/spec/servers/{}/hosts", nth.unwrap_or_default()), "value": ["*"] }]);
    let (namespace, name) = (gateway.metadata.namespace(), &gateway.metadata.name);
    let from = kfcheck::Named::resource(entrance);
    let message = format!("takes on port {number} only connections that name its hosts");
    out.fail(*gateway, message)
        .evidence("hosts", hosts.join(", "))
        .evidence("without", format!("the load balancer of {from} names none"))
        .fix(
            Risk::None,
            "takes every host there",
            format!(
                "kubectl patch gateways.networking.istio.io {name} -n {namespace} --type json \
                 -p '{patch}'"
            ),
        );
}

/// The ports of a Service that a load balancer speaks TLS to without naming a host.
fn encrypted<'a>(
    entrances: &'a Arc<Vec<Entrance>>,
    service: &'a Service,
) -> impl Iterator<Item = (&'a Entrance, &'a ServicePort)> {
    entrances.iter().flat_map(move |entrance| {
        let ports = entrance.ports_of(service);
        let ports = ports.into_iter().filter_map(|to| service.port(&to.port));
        let speaks = move |port: &&ServicePort| match entrance {
            Entrance::Ingress(ingress) => speaks_tls(ingress, service, port),
            Entrance::Gateway(RoutedGateway { gateway, .. }) => {
                gateway.spec.gateway_class_name.starts_with("gke-") && is_tls(service, port)
            }
            Entrance::Service(_) => false,
        };
        ports.filter(speaks).map(move |port| (entrance, port))
    })
}

fn speaks_tls(ingress: &Ingress, service: &Service, port: &ServicePort) -> bool {
    let told = |name: &str| ingress.metadata.annotation(&[name]).unwrap_or_default();
    match ingress.class() {
        Some(class) if class.contains("nginx") => {
            told("nginx.ingress.kubernetes.io/backend-protocol").eq_ignore_ascii_case("HTTPS")
                && told("nginx.ingress.kubernetes.io/proxy-ssl-server-name") != "on"
        }
        Some("alb") => {
            told("alb.ingress.kubernetes.io/backend-protocol").eq_ignore_ascii_case("HTTPS")
        }
        // GKE's own has no class, or one of these.
        None | Some("gce" | "gce-internal") => is_tls(service, port),
        Some(_) => false,
    }
}

/// Whether GKE's load balancers speak TLS to a port.
fn is_tls(service: &Service, port: &ServicePort) -> bool {
    let names = ["cloud.google.com/app-protocols", "service.alpha.kubernetes.io/app-protocols"];
    let told = service.metadata.annotation(&names).unwrap_or("{}");
    let told: std::collections::BTreeMap<String, String> =
        serde_json::from_str(told).unwrap_or_default();
    let name = port.name.as_deref().unwrap_or_default();
    let protocol = told.get(name).or(port.app_protocol.as_ref()).map_or("", String::as_str);
    ["HTTPS", "HTTP2"].contains(&&*protocol.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::GatewaySni;
    use crate::testing::{ingress, report};

    /// A gateway behind an ALB that speaks a protocol to port 80, where these hosts are served by
    /// TLS; and what is said of Gateways.
    async fn with(hosts: Value, protocol: &str, seen: bool) -> String {
        let named = |name: &str| json!({ "namespace": "kubeflow", "name": name });
        let mut front = ingress("gateway");
        front["spec"]["ingressClassName"] = "alb".into();
        front["metadata"]["annotations"] =
            json!({ "alb.ingress.kubernetes.io/backend-protocol": protocol });
        let service = json!({ "apiVersion": "v1", "kind": "Service", "metadata": named("gateway"),
            "spec": { "selector": { "istio": "a" }, "ports": [{ "port": 80 }] } });
        let server = json!({ "hosts": hosts, "port": { "number": 80, "protocol": "HTTPS" },
            "tls": { "mode": "SIMPLE", "credentialName": "kf-tls" } });
        let gateway = json!({ "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
            "metadata": named("kubeflow-gateway"),
            "spec": { "selector": { "istio": "a" }, "servers": [server] } });
        let mut objects = vec![front, service];
        objects.extend(seen.then_some(gateway));
        let none = ["deployments.apps", "pods", "virtualservices.networking.istio.io"];
        let none = none.map(|name| format!("kubernetes/{name}.json"));
        let none = none.each_ref().map(|name| (name.as_str(), json!({ "items": [] })));
        report(&GatewaySni, &objects, &none).await
    }

    #[tokio::test]
    async fn a_load_balancer_that_names_no_host_is_refused() {
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  istio-gateway-sni
              Gateway kubeflow/kubeflow-gateway takes on port 80 only connections that name
                its hosts
                hosts     kf.example.com
                without   the load balancer of Ingress kubeflow/front names none
                fix       takes every host there
                          kubectl patch gateways.networking.istio.io kubeflow-gateway \
                            -n kubeflow --type json \
                            -p '[{"op":"replace","path":"/spec/servers/0/hosts","value":["*"]}]'
              kubectl kfcheck explain istio-gateway-sni

            FAIL     istio-gateway-sni
                     The gateway takes connections of load balancers that name no host
        "#]]
        .assert_eq(&with(json!(["kf.example.com"]), "HTTPS", true).await);
    }

    #[tokio::test]
    async fn a_server_for_every_host_takes_whatever_comes() {
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     istio-gateway-sni
                     The gateway takes connections of load balancers that name no host
        "#]]
        .assert_eq(&with(json!(["kubeflow/*"]), "HTTPS", true).await);
    }

    #[tokio::test]
    async fn who_speaks_http_names_no_host_either() {
        let says = with(json!(["kf.example.com"]), "HTTP", true).await;
        assert!(says.contains("skip     "), "{says}");
    }

    #[tokio::test]
    async fn without_the_gateways_nothing_is_known() {
        let says = with(json!([]), "HTTPS", false).await;
        assert!(says.contains("unknown  "), "{says}");
    }
}
