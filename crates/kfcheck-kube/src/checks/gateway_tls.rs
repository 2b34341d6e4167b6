use std::sync::Arc;

use kfcheck::{Check, Cx, FactError, Fault, Findings, Named, Risk, async_trait, check};

use crate::{
    CloudView, ContainerLog, Entrance, Entrances, FrontServices, Gateway, GatewayServer,
    GatewayTls, Pod, Secret, Service, Target, find, on_path, selects, within,
};

check! {
    /// ## What it checks
    /// Kubeflow's Gateway, for those ports that requests come in by: that the certificate is there,
    /// as a Secret (`credentialName`) or as files in the gateway's pods. Where no load balancer ends
    /// TLS in front of it, that port 443 speaks TLS, and that port 80 sends browsers there.
    ///
    /// ## Why it matters
    /// Without its certificate, the gateway opens no listener on the port, or closes every
    /// connection; the pods are ready all the same. Istio mounts the Secret
    /// `istio-ingressgateway-certs` as an optional one: that it is missing is said only in the log.
    ///
    /// ## How to fix it
    /// Create the Secret in the namespace of the gateway's pods, with `tls.crt` and `tls.key`. Where
    /// a load balancer is to end TLS, let it send requests to a port that speaks HTTP.
    pub(crate) struct GatewayTlsEnds;
    id: "istio-gateway-tls",
    title: "TLS can end at the gateway where it has to",
}

/// What browsers take for TLS, and what they take for none.
const HTTPS: u16 = 443;
const HTTP: u16 = 80;

/// A gateway's Service, and what is known of who sends requests to it.
struct Front {
    service: Arc<Service>,
    /// The ports that requests come in by.
    ports: Vec<crate::ServicePort>,
    /// Whether what is in front of it passes TLS on as it comes.
    is_open: bool,
    pods: Vec<Arc<Pod>>,
}

#[async_trait]
impl Check for GatewayTlsEnds {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let found = cx.get(on_path::<Gateway>()).await?;
        let gateways = found.seen(out);
        let path = cx.path().await?;
        // Others may have Gateways at the same pods; what becomes of those is not asked.
        let ours = |gateway: &&Arc<Gateway>| {
            let own = gateway.resource();
            gateway.metadata.namespace() == "kubeflow" || path.edges.iter().any(|e| e.upper == own)
        };
        let ours: Vec<_> = gateways.iter().filter(ours).collect();
        if ours.is_empty() {
            return Ok(());
        }
        let entrances = cx.get(Entrances).await?;
        let mut hosts: Vec<_> = entrances.iter().flat_map(Entrance::hosts).collect();
        hosts.extend(cx.setting::<Target>().host.clone());
        let mut judged = false;
        for service in cx.get(FrontServices).await?.iter() {
            let behind = path.below(&**service, ours.iter().map(|gateway| &***gateway));
            let Some(first) = behind.first() else { continue };
            let Some(front) = out.known(*first, Front::of(cx, service).await) else { continue };
            for gateway in behind {
                let good = examine(cx, gateway, &front, &hosts, out).await;
                judged |= good.is_some();
                if good == Some(true) {
                    out.ok(gateway);
                }
            }
        }
        if !judged {
            out.skip("no Gateway of Kubeflow's ends TLS for users");
        }
        Ok(())
    }
}

impl Front {
    async fn of(cx: &Cx, service: &Arc<Service>) -> Result<Self, FactError> {
        let entrances = cx.get(Entrances).await?;
        let own = service.resource();
        let is_entrance = entrances.iter().any(|entrance| entrance.resource() == own);
        let named: Vec<_> = entrances.iter().flat_map(|e| e.ports_of(service)).collect();
        let comes_in = |port: &&crate::ServicePort| {
            let is = |to: &crate::EntranceBackend| {
                service.port(&to.port).is_some_and(|named| named.port == port.port)
            };
            is_entrance || named.iter().any(is)
        };
        let ends_before = match cx.setting::<CloudView>().0 {
            Some(cloud) if is_entrance => cloud.ends_tls(cx, service).await?,
            _ => None,
        };
        let ends_before = ends_before.unwrap_or_else(|| service.asks_to_end_tls());
        let pods = cx.get(within::<Pod>(service.metadata.namespace())).await?;
        let pods = pods.iter().filter(|pod| service.selects(pod) && !pod.is_over());
        Ok(Self {
            ports: service.spec.ports.iter().filter(comes_in).cloned().collect(),
            is_open: is_entrance && !ends_before,
            pods: pods.cloned().collect(),
            service: Arc::clone(service),
        })
    }
}

/// Whether the servers of a Gateway that requests come to are good; nothing where TLS is no matter
/// of theirs.
async fn examine(
    cx: &Cx,
    gateway: &Gateway,
    front: &Front,
    hosts: &[String],
    out: &mut Findings,
) -> Option<bool> {
    let for_users = |server: &&GatewayServer| {
        let port = front.ports.iter().any(|port| server.is_on(port));
        port && (hosts.is_empty() || hosts.iter().any(|host| server.takes(host)))
    };
    let servers: Vec<_> = gateway.spec.servers.iter().filter(for_users).collect();
    let mut good = None;
    for server in &servers {
        let number = server.port.number;
        if let Some(tls) = server.ends_tls() {
            let shown = is_shown(cx, gateway, number, tls, front, out).await;
            good = Some(good.unwrap_or(true) && shown);
        } else if number == HTTPS && front.is_open && speaks_http(server) {
            good = Some(false);
            let (namespace, name) = (gateway.metadata.namespace(), &gateway.metadata.name);
            out.fail(gateway, "speaks HTTP on port 443, where browsers speak TLS").fix(
                Risk::None,
                "opens it; the server takes `protocol: HTTPS` and `tls` with a credentialName",
                format!("kubectl edit gateways.networking.istio.io {name} -n {namespace}"),
            );
        }
    }
    let ends_here = front.is_open && servers.iter().any(|s| s.ends_tls().is_some());
    let sends_on = |server: &GatewayServer| {
        server.tls.as_ref().is_some_and(|tls| tls.https_redirect == Some(true))
    };
    let open = servers.iter().position(|s| s.port.number == HTTP && speaks_http(s) && !sends_on(s));
    if let (true, Some(true), Some(server)) = (ends_here, good, open) {
        good = Some(false);
        let at = gateway.spec.servers.iter().position(|s| std::ptr::eq(s, servers[server]));
        let patch = serde_json::json!([{ "op": "add",
            "path": format!("/spec/servers/{}/tls", at.unwrap_or_default()),
            "value": { "httpsRedirect": true } }]);
        let (namespace, name) = (gateway.metadata.namespace(), &gateway.metadata.name);
        out.warn(gateway, "serves port 80 without sending browsers to HTTPS").fix(
            Risk::None,
            "sends them there",
            format!(
                "kubectl patch gateways.networking.istio.io {name} -n {namespace} --type json \
                 -p '{patch}'"
            ),
        );
    }
    good
}

fn speaks_http(server: &GatewayServer) -> bool {
    ["HTTP", "HTTP2"].contains(&&*server.port.protocol.to_ascii_uppercase())
}

/// Whether the certificate is where a server looks for it.
async fn is_shown(
    cx: &Cx,
    gateway: &Gateway,
    port: u16,
    tls: &GatewayTls,
    front: &Front,
    out: &mut Findings,
) -> bool {
    // Gateways take Secrets from the namespace of their pods.
    let namespace = front.service.metadata.namespace();
    if let Some(name) = &tls.credential_name {
        let Some(secret) = out.known(gateway, find::<Secret>(cx, namespace, name).await) else {
            return false;
        };
        let has = |entry: &str| secret.as_ref().is_some_and(|secret| secret.has(entry));
        // Those of type `kubernetes.io/tls`, and the generic ones of Istio's.
        let lacks = match (has("tls.crt") || has("cert"), has("tls.key") || has("key")) {
            (true, true) => return true,
            _ if secret.is_none() => "does not exist".to_owned(),
            (false, _) => "has no tls.crt".to_owned(),
            (true, false) => "has no tls.key".to_owned(),
        };
        let of = format!("Secret {namespace}/{name}");
        report(gateway, port, (&of, &lacks), (namespace, name), out);
        return false;
    }
    let selected = |pod: &&Arc<Pod>| {
        let selector = &gateway.spec.selector;
        selector.is_empty() || selects(selector, &pod.metadata.labels)
    };
    // Where none is selected, another check says so.
    let Some(pod) = front.pods.iter().find(selected) else { return false };
    for file in tls.files() {
        let source = pod.secret_of(file);
        let secret = match source {
            Some((name, _)) => find::<Secret>(cx, namespace, name).await.map(Some),
            None => Ok(None),
        };
        let log = refusal(cx, pod, file).await;
        let (of, lacks) = match (source, secret, &log) {
            (Some((name, entry)), Ok(Some(secret)), _) => {
                let of = format!("{file} of Secret {namespace}/{name}");
                match secret {
                    Some(secret) if secret.has(entry) => continue,
                    Some(_) => (of, format!("has no {entry}")),
                    None => (of, "does not exist".to_owned()),
                }
            }
            (_, _, Some(_)) => (file.to_owned(), "is not there".to_owned()),
            (_, secret, None) => {
                let nobody = || Fault::Unreachable(format!("what is mounted at {file} is unseen"));
                let unseen = secret.err().unwrap_or_else(|| nobody().into());
                out.known::<()>(gateway, Err(unseen));
                return false;
            }
        };
        let name = source.map_or("istio-ingressgateway-certs", |(name, _)| name);
        let finding = report(gateway, port, (&of, &lacks), (namespace, name), out);
        if let Some(line) = log {
            finding.evidence("log", line);
        }
        return false;
    }
    true
}

fn report<'a>(
    gateway: &Gateway,
    port: u16,
    (of, lacks): (&str, &str),
    (namespace, secret): (&str, &str),
    out: &'a mut Findings,
) -> &'a mut kfcheck::Finding {
    out.fail(gateway, format!("shows on port {port} the certificate of {of}, which {lacks}")).fix(
        Risk::None,
        "puts a certificate there, from two files",
        format!(
            "kubectl create secret tls {secret} -n {namespace} --cert=tls.crt --key=tls.key \
             --dry-run=client -o yaml | kubectl apply -f -"
        ),
    )
}

/// What the gateway has written about a file that it can't read.
async fn refusal(cx: &Cx, pod: &Pod, file: &str) -> Option<String> {
    let log = ContainerLog {
        namespace: pod.metadata.namespace().to_owned(),
        pod: pod.metadata.name.clone(),
        container: pod.spec.containers.first()?.name.clone(),
    };
    let log = cx.get(log).await.ok()?;
    let refused = |line: &&str| line.contains(&format!("nvalid path: {file}"));
    log.lines().rev().find(refused).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::GatewayTlsEnds;
    use crate::testing::{ingress, report};

    const FILE: &str = "/etc/istio/ingressgateway-certs/tls.crt";

    /// A gateway with these servers behind a load balancer of its own, or behind an Ingress.
    fn world(servers: &Value, kind: &str) -> Vec<Value> {
        let named = |name| json!({ "namespace": "istio-system", "name": name });
        let service = json!({ "apiVersion": "v1", "kind": "Service",
            "metadata": named("istio-ingressgateway"),
            "spec": { "type": kind, "selector": { "istio": "ingressgateway" },
                "ports": [{ "port": 80 }, { "port": 443 }] } });
        let mut pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": named("gateway-0"),
            "spec": { "containers": [{ "name": "istio-proxy", "volumeMounts": [
                    { "name": "certs", "mountPath": "/etc/istio/ingressgateway-certs" }] }],
                "volumes": [{ "name": "certs",
                    "secret": { "secretName": "istio-ingressgateway-certs" } }] },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }] } });
        pod["metadata"]["labels"] = json!({ "istio": "ingressgateway" });
        let gateway = json!({ "apiVersion": "networking.istio.io/v1alpha3", "kind": "Gateway",
            "metadata": { "namespace": "kubeflow", "name": "kubeflow-gateway" },
            "spec": { "selector": { "istio": "ingressgateway" }, "servers": servers } });
        vec![service, pod, gateway]
    }

    fn plain(number: u16, redirect: bool) -> Value {
        json!({ "hosts": ["*"], "port": { "number": number, "protocol": "HTTP" },
            "tls": { "httpsRedirect": redirect } })
    }

    fn secure(tls: &Value) -> Value {
        json!({ "hosts": ["*"], "port": { "number": 443, "protocol": "HTTPS" }, "tls": tls })
    }

    fn named() -> Value {
        secure(&json!({ "mode": "SIMPLE", "credentialName": "kf-tls" }))
    }

    fn by_file() -> Value {
        secure(&json!({ "mode": "SIMPLE", "serverCertificate": FILE }))
    }

    fn secret(name: &str) -> Value {
        json!({ "apiVersion": "v1", "kind": "Secret",
            "metadata": { "namespace": "istio-system", "name": name },
            "data": { "tls.crt": "Y2VydA==", "tls.key": "a2V5" } })
    }

    async fn says(objects: &[Value], files: &[(&str, Value)]) -> String {
        let none = ["deployments.apps", "virtualservices.networking.istio.io"];
        let none = none.map(|name| format!("kubernetes/{name}.json"));
        let none = none.each_ref().map(|name| (name.as_str(), json!({ "items": [] })));
        let ingresses = ("kubernetes/ingresses.networking.k8s.io.json", json!({ "items": [] }));
        report(&GatewayTlsEnds, objects, &[&none[..], &[ingresses], files].concat()).await
    }

    const NO_SECRETS: &str = "kubernetes/secrets.json";

    #[tokio::test]
    async fn a_secret_that_is_there_is_enough() {
        let mut objects = world(&json!([plain(80, true), named()]), "LoadBalancer");
        objects.push(secret("kf-tls"));
        expect![[r#"
            istio-ingressgateway: nothing broken found. 0 root causes, 0 symptoms; 1 check
            passed, 0 not seen.

            pass     istio-gateway-tls
                     TLS can end at the gateway where it has to
        "#]]
        .assert_eq(&says(&objects, &[]).await);
    }

    #[tokio::test]
    async fn a_secret_that_is_missing_is_named() {
        let objects = world(&json!([plain(80, true), named()]), "LoadBalancer");
        let none = (NO_SECRETS, json!({ "items": [] }));
        expect![[r#"
            istio-ingressgateway is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not
            seen.

            ROOT CAUSE  istio-gateway-tls
              Gateway kubeflow/kubeflow-gateway shows on port 443 the certificate of Secret
                istio-system/kf-tls, which does not exist
                fix       puts a certificate there, from two files
                          kubectl create secret tls kf-tls -n istio-system --cert=tls.crt \
                            --key=tls.key --dry-run=client -o yaml | kubectl apply -f -
              kubectl kfcheck explain istio-gateway-tls

            FAIL     istio-gateway-tls
                     TLS can end at the gateway where it has to
        "#]]
        .assert_eq(&says(&objects, &[none]).await);
    }

    #[tokio::test]
    async fn files_come_from_the_secret_that_is_mounted() {
        let mut objects = world(&json!([plain(80, true), by_file()]), "LoadBalancer");
        let none = (NO_SECRETS, json!({ "items": [] }));
        let missing = says(&objects, &[none]).await;
        expect![[r#"
            istio-ingressgateway is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not
            seen.

            ROOT CAUSE  istio-gateway-tls
              Gateway kubeflow/kubeflow-gateway shows on port 443 the certificate of
                /etc/istio/ingressgateway-certs/tls.crt of Secret
                istio-system/istio-ingressgateway-certs, which does not exist
                fix       puts a certificate there, from two files
                          kubectl create secret tls istio-ingressgateway-certs \
                            -n istio-system --cert=tls.crt --key=tls.key --dry-run=client \
                            -o yaml | kubectl apply -f -
              kubectl kfcheck explain istio-gateway-tls

            FAIL     istio-gateway-tls
                     TLS can end at the gateway where it has to
        "#]]
        .assert_eq(&missing);
        objects.push(secret("istio-ingressgateway-certs"));
        assert!(says(&objects, &[]).await.contains("pass     istio-gateway-tls"));
    }

    #[tokio::test]
    async fn where_secrets_are_not_seen_the_log_tells() {
        let objects = world(&json!([plain(80, true), by_file()]), "LoadBalancer");
        let log = "kubernetes/logs/istio-system/gateway-0/istio-proxy.log";
        let line = format!("Error adding/updating listener(s) 0.0.0.0_443: Invalid path: {FILE}");
        expect![[r#"
            istio-ingressgateway is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not
            seen.

            ROOT CAUSE  istio-gateway-tls
              Gateway kubeflow/kubeflow-gateway shows on port 443 the certificate of
                /etc/istio/ingressgateway-certs/tls.crt, which is not there
                log       Error adding/updating listener(s) 0.0.0.0_443: Invalid path:
                          /etc/istio/ingressgateway-certs/tls.crt
                fix       puts a certificate there, from two files
                          kubectl create secret tls istio-ingressgateway-certs \
                            -n istio-system --cert=tls.crt --key=tls.key --dry-run=client \
                            -o yaml | kubectl apply -f -
              kubectl kfcheck explain istio-gateway-tls

            FAIL     istio-gateway-tls
                     TLS can end at the gateway where it has to
        "#]]
        .assert_eq(&says(&objects, &[(log, json!(line))]).await);
        expect![[r#"
            istio-ingressgateway: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 1 not seen.

            NOT SEEN, so a cause may hide there
              istio-gateway-tls
                not collected: kubernetes/secrets.json
                  kubectl get secrets istio-ingressgateway-certs -n istio-system -o yaml

            unknown  istio-gateway-tls
                     TLS can end at the gateway where it has to
                     (not collected: kubernetes/secrets.json; `kubectl get secrets
                     istio-ingressgateway-certs -n istio-system -o yaml` prints it (asking
                     for kube.secrets
                     {"name":"istio-ingressgateway-certs","namespace":"istio-system"}))
        "#]]
        .assert_eq(&says(&objects, &[(log, json!("all is well"))]).await);
    }

    #[tokio::test]
    async fn port_443_has_to_speak_tls_where_nobody_else_does() {
        let mut objects = world(&json!([plain(80, false), plain(443, false)]), "LoadBalancer");
        expect![[r#"
            istio-ingressgateway is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not
            seen.

            ROOT CAUSE  istio-gateway-tls
              Gateway kubeflow/kubeflow-gateway speaks HTTP on port 443, where browsers
                speak TLS
                fix       opens it; the server takes `protocol: HTTPS` and `tls` with a
                          credentialName
                          kubectl edit gateways.networking.istio.io kubeflow-gateway \
                            -n kubeflow
              kubectl kfcheck explain istio-gateway-tls

            FAIL     istio-gateway-tls
                     TLS can end at the gateway where it has to
        "#]]
        .assert_eq(&says(&objects, &[]).await);
        objects[0]["metadata"]["annotations"] =
            json!({ "service.beta.kubernetes.io/aws-load-balancer-ssl-cert": "arn:aws:acm:…" });
        expect![[r#"
            istio-ingressgateway: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            skip     istio-gateway-tls
                     TLS can end at the gateway where it has to
                     (no Gateway of Kubeflow's ends TLS for users)
        "#]]
        .assert_eq(&says(&objects, &[]).await);
    }

    #[tokio::test]
    async fn port_80_should_send_browsers_to_https() {
        let mut objects = world(&json!([plain(80, false), named()]), "LoadBalancer");
        objects.push(secret("kf-tls"));
        expect![[r#"
            istio-ingressgateway: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            WARNING  istio-gateway-tls
              Gateway kubeflow/kubeflow-gateway serves port 80 without sending browsers to
                HTTPS
                fix       sends them there
                          kubectl patch gateways.networking.istio.io kubeflow-gateway \
                            -n kubeflow --type json \
                            -p '[{"op":"add","path":"/spec/servers/0/tls","value":{"httpsRedirect":true}}]'

            warn     istio-gateway-tls
                     TLS can end at the gateway where it has to
        "#]].assert_eq(&says(&objects, &[]).await);
    }

    #[tokio::test]
    async fn what_an_ingress_does_not_send_requests_to_is_not_asked() {
        let mut front = ingress("istio-ingressgateway");
        front["metadata"]["namespace"] = "istio-system".into();
        let mut objects = world(&json!([plain(80, false), named()]), "NodePort");
        objects.push(front);
        let none = (NO_SECRETS, json!({ "items": [] }));
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            skip     istio-gateway-tls
                     TLS can end at the gateway where it has to
                     (no Gateway of Kubeflow's ends TLS for users)
        "#]]
        .assert_eq(&says(&objects, &[none]).await);
    }
}
