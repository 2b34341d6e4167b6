use std::collections::BTreeMap;

use kfcheck::{Check, Cx, FactError, Findings, Resource, Risk, async_trait, check};

use crate::{CloudView, Entrances, FrontServices, ListenProbe, Pod, Service, Socket, within};

check! {
    /// ## What it checks
    /// On which addresses the pods at the front door listen: the port that the load balancer asks
    /// must not be bound to 127.0.0.1 or ::1 only. Where that was not looked up in the pods, and
    /// everything else is right and the load balancer still doesn't reach them, it says so as a
    /// suspicion.
    ///
    /// ## Why it matters
    /// Such a server answers its own readiness probe by `exec`, and `kubectl port-forward`, and
    /// nobody else. It looks like a firewall that drops packets.
    ///
    /// ## How to fix it
    /// Let the server listen on 0.0.0.0 or `::`; most have a flag `--host`, `--bind` or `--address`.
    pub(crate) struct ServerBindsLocalhost;
    id: "kube-server-binds-localhost",
    title: "Servers listen where others can reach them",
}

#[async_trait]
impl Check for ServerBindsLocalhost {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let mut unseen: BTreeMap<Resource, (ListenProbe, FactError)> = BTreeMap::new();
        for service in cx.get(FrontServices).await?.iter() {
            let pods = cx.get(within::<Pod>(service.metadata.namespace())).await;
            let Some(pods) = out.known(&**service, pods) else { continue };
            let named = named_ports(cx, service).await?;
            let ports = if named.is_empty() { &service.spec.ports } else { &named };
            for pod in pods.iter().filter(|pod| service.selects(pod) && pod.is_ready()) {
                let (namespace, name) = (pod.metadata.namespace(), &pod.metadata.name);
                let probe = ListenProbe { namespace: namespace.to_owned(), pod: name.clone() };
                let listening = match cx.get(probe.clone()).await {
                    Ok(listening) => listening,
                    Err(error) => {
                        unseen.insert(pod.workload(), (probe, error));
                        continue;
                    }
                };
                let sockets: Vec<_> = listening.iter().flat_map(|l| &l.sockets).collect();
                let asked: Vec<_> = ports.iter().filter_map(|port| port.on(pod)).collect();
                let is_deaf = |port: &u16| !sockets.iter().any(|socket| socket.port == *port);
                // A Service of Istio's has ports that no Gateway asks it to listen on.
                let hears = named.is_empty() && !asked.iter().all(is_deaf);
                let deaf = asked.iter().find(|port| !hears && is_deaf(port));
                match (asked.iter().find_map(|port| only_local(&sockets, *port)), deaf) {
                    (Some(socket), _) => report(out, pod, socket),
                    (None, Some(port)) => {
                        let message = format!("does not listen on port {port}");
                        out.symptom(pod.workload(), message).evidence("pod", name);
                    }
                    (None, None) if asked.is_empty() => (),
                    (None, None) => out.ok(pod.workload()),
                }
            }
        }
        infer(cx, unseen, out).await
    }
}

fn report(out: &mut Findings, pod: &Pod, socket: &Socket) {
    let (namespace, name) = (pod.metadata.namespace(), &pod.metadata.name);
    let Socket { address, port } = socket;
    let message = format!("listens on {address}:{port} only, where nobody else can reach it");
    out.fail(pod.workload(), message).serving().evidence("pod", name).fix(
        Risk::None,
        "shows the flags that the server is started with; let it listen on 0.0.0.0",
        format!("kubectl get pod -n {namespace} {name} -o jsonpath='{{.spec.containers[*].args}}'"),
    );
}

/// The socket of `port` if all there are, and there is one, are local.
fn only_local<'a>(sockets: &[&'a Socket], port: u16) -> Option<&'a Socket> {
    let mut ours = sockets.iter().filter(|socket| socket.port == port).peekable();
    let first = **ours.peek()?;
    ours.all(|socket| socket.is_local()).then_some(first)
}

/// The ports of `service` that an entrance names; nothing where it is the entrance itself.
async fn named_ports(cx: &Cx, service: &Service) -> Result<Vec<crate::ServicePort>, FactError> {
    let entrances = cx.get(Entrances).await?;
    let asked = entrances.iter().flat_map(|entrance| entrance.ports_of(service));
    Ok(asked.filter_map(|to| service.port(&to.port).cloned()).collect())
}

/// Without a look into the pods, what the load balancer says has to do.
async fn infer(
    cx: &Cx,
    unseen: BTreeMap<Resource, (ListenProbe, FactError)>,
    out: &mut Findings,
) -> Result<(), FactError> {
    if unseen.is_empty() {
        return Ok(());
    }
    let suspects = match cx.setting::<CloudView>().0 {
        Some(cloud) => cloud.unreached(cx).await,
        None => Ok(Vec::new()),
    };
    let suspects = suspects.unwrap_or_else(|error| {
        out.unseen(error);
        Vec::new()
    });
    for (workload, (probe, error)) in unseen {
        match suspects.iter().find(|suspect| suspect.workload == workload) {
            Some(suspect) => {
                let port = suspect.port;
                out.warn(&workload, format!("probably listens on localhost only (port {port})"))
                    .evidence("because", &suspect.because)
                    .fix(Risk::None, "shows on which addresses it listens", probe.command());
            }
            None => {
                out.known::<()>(&workload, Err(error));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::ServerBindsLocalhost;
    use crate::testing::{ingress, report};

    /// A ready pod behind port 80 that takes requests on 8080, and where it listens.
    async fn with(sockets: &[(&str, u16)]) -> String {
        let service = json!({ "apiVersion": "v1", "kind": "Service",
            "metadata": { "namespace": "kubeflow", "name": "front" },
            "spec": { "selector": { "app": "a" }, "ports": [
                { "port": 80, "targetPort": 8080 }] } });
        let pod = json!({ "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": "kubeflow", "name": "front-0", "labels": { "app": "a" } },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }] } });
        let socket = |(address, port): &(&str, u16)| json!({ "address": address, "port": port });
        let sockets: Vec<Value> = sockets.iter().map(socket).collect();
        let listening = json!([{ "namespace": "kubeflow", "pod": "front-0", "sockets": sockets }]);
        let none = json!({ "items": [] });
        let files = [("kubernetes/deployments.apps.json", none), ("probes/listen.json", listening)];
        report(&ServerBindsLocalhost, &[ingress("front"), service, pod], &files).await
    }

    #[tokio::test]
    async fn an_admin_port_may_be_local() {
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     kube-server-binds-localhost
                     Servers listen where others can reach them
        "#]]
        .assert_eq(&with(&[("127.0.0.1", 15000), ("0.0.0.0", 8080)]).await);
    }

    /// The same where the Service, which has ports for other things as well, is the entrance itself.
    async fn without_ingress(sockets: &[(&str, u16)]) -> String {
        let service = json!({ "apiVersion": "v1", "kind": "Service",
            "metadata": { "namespace": "istio-system", "name": "istio-ingressgateway" },
            "spec": { "type": "LoadBalancer", "selector": { "app": "a" }, "ports": [
                { "port": 80, "targetPort": 8080 }, { "port": 31400 }] } });
        let pod = json!({ "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": "istio-system", "name": "gateway-0", "labels": { "app": "a" } },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }] } });
        let socket = |(address, port): &(&str, u16)| json!({ "address": address, "port": port });
        let sockets: Vec<Value> = sockets.iter().map(socket).collect();
        let listening =
            json!([{ "namespace": "istio-system", "pod": "gateway-0", "sockets": sockets }]);
        let none = || json!({ "items": [] });
        let files = [
            ("kubernetes/ingresses.networking.k8s.io.json", none()),
            ("kubernetes/gateways.gateway.networking.k8s.io.json", none()),
            ("kubernetes/deployments.apps.json", none()),
            ("probes/listen.json", listening),
        ];
        report(&ServerBindsLocalhost, &[service, pod], &files).await
    }

    #[tokio::test]
    async fn a_gateway_need_not_listen_on_every_port_of_its_service() {
        let says = without_ingress(&[("0.0.0.0", 8080)]).await;
        assert!(says.contains("pass     kube-server-binds-localhost"), "{says}");
        let says = without_ingress(&[("127.0.0.1", 8080)]).await;
        assert!(says.contains("listens on 127.0.0.1:8080 only"), "{says}");
        let says = without_ingress(&[("127.0.0.1", 15000)]).await;
        assert!(says.contains("does not listen on port 8080"), "{says}");
    }

    #[tokio::test]
    async fn one_socket_for_all_addresses_is_enough() {
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     kube-server-binds-localhost
                     Servers listen where others can reach them
        "#]]
        .assert_eq(&with(&[("127.0.0.1", 8080), ("::", 8080)]).await);
    }

    #[tokio::test]
    async fn a_loopback_address_is_found_however_it_is_spelled() {
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  kube-server-binds-localhost
              Pod kubeflow/front-0 listens on ::ffff:127.0.0.1:8080 only, where nobody else
                can reach it
                pod       front-0
                fix       shows the flags that the server is started with; let it listen on
                          0.0.0.0
                          kubectl get pod -n kubeflow front-0 \
                            -o jsonpath='{.spec.containers[*].args}'
              kubectl kfcheck explain kube-server-binds-localhost

            FAIL     kube-server-binds-localhost
                     Servers listen where others can reach them
        "#]]
        .assert_eq(&with(&[("::ffff:127.0.0.1", 8080)]).await);
    }
}
