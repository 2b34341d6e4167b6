use std::{collections::BTreeSet, sync::Arc};

use kfcheck::{Check, Cx, FactError, Fault, Findings, Risk, async_trait, check};

use crate::{ConfigMap, Container, Event, Names, Pod, Workloads, within};

check! {
    /// ## What it checks
    /// The API servers of a cluster that manages itself, which run as static pods in `kube-system`:
    /// that they can sign the tokens that Istio asks for, with `--service-account-issuer` and
    /// `--service-account-signing-key-file`; and that `--oidc-issuer-url`, where it leads to Dex,
    /// names the issuer that Dex has.
    ///
    /// ## Why it matters
    /// Istio's pods wait for a token of theirs as a volume, which an API server of before 1.20 does
    /// not give without the flags; so neither control plane nor gateway starts. With another issuer
    /// than Dex's, `kubectl` is refused with 401 whoever signs in.
    ///
    /// ## How to fix it
    /// Add the flags to `/etc/kubernetes/manifests/kube-apiserver.yaml` on every control-plane node;
    /// the kubelet starts the API server again.
    pub(crate) struct ApiServerFlags;
    id: "kube-apiserver-flags",
    title: "The API server signs tokens for pods and trusts Dex",
}

/// What it takes to give pods tokens.
const SIGNING: [&str; 2] = ["--service-account-issuer", "--service-account-signing-key-file"];

/// What kubeadm gives them.
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
const KEY: &str = "/etc/kubernetes/pki/sa.key";

/// A flag that every API server has: where it was not kept, nor were the others.
const WITNESS: &str = "--service-cluster-ip-range";

#[async_trait]
impl Check for ApiServerFlags {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let pods = cx.get(within::<Pod>("kube-system")).await?;
        let is = |pod: &&Arc<Pod>| {
            let component = pod.metadata.labels.get("component");
            component.is_some_and(|name| name == "kube-apiserver") && !pod.is_over()
        };
        for pod in pods.iter().filter(is) {
            let Some(server) = pod.spec.containers.first() else { continue };
            if server.told(WITNESS).is_none() {
                let fault = Fault::NotCollected {
                    file: format!("the flags of {}", pod.metadata.name),
                    command: format!(
                        "kubectl get pods -n kube-system {} -o yaml",
                        pod.metadata.name
                    ),
                };
                out.known::<()>(&**pod, Err(fault.into()));
                continue;
            }
            let signs = examine_signing(cx, pod, server, out).await;
            let trusts = examine_dex(cx, pod, server, out).await;
            if signs && trusts {
                out.ok(&**pod);
            }
        }
        Ok(())
    }
}

async fn examine_signing(cx: &Cx, pod: &Pod, server: &Container, out: &mut Findings) -> bool {
    let missing: Vec<_> = SIGNING.into_iter().filter(|flag| server.told(flag).is_none()).collect();
    if missing.is_empty() {
        return true;
    }
    let waiting = waiting(cx).await;
    for (event, workload) in &waiting {
        out.depends(workload, pod);
        if workload != &event_pod(event) {
            out.depends(event_pod(event), pod);
        }
    }
    let message = format!("runs without {}", missing.join(" and "));
    let finding = match waiting.first() {
        Some((event, workload)) => {
            let finding = out.fail(pod, message);
            finding.evidence("so", format!("{workload} waits: {}", event.message))
        }
        // Nobody asks for a token.
        None => out.warn(pod, message),
    };
    let lines = missing.iter().map(|flag| {
        let value = if *flag == SIGNING[0] { ISSUER } else { KEY };
        format!("\\    - {flag}={value}")
    });
    finding.fix(
        Risk::Restarts,
        "adds what is missing, on the node",
        format!(
            "sudo sed -i '/- kube-apiserver$/a {}' /etc/kubernetes/manifests/kube-apiserver.yaml",
            lines.collect::<Vec<_>>().join("\\n")
        ),
    );
    false
}

/// What waits for a token that the API server does not give, with the event that says so.
async fn waiting(cx: &Cx) -> Vec<(Arc<Event>, kfcheck::Resource)> {
    let workloads = cx.get(Workloads).await;
    let unready = workloads.iter().flat_map(|seen| seen.workloads());
    let unready: Vec<_> = unready.filter(|group| group.ready() < group.wanted()).collect();
    let namespaces: BTreeSet<_> =
        unready.iter().filter_map(|group| group.resource.namespace.as_deref()).collect();
    let mut found = Vec::new();
    for namespace in namespaces {
        let events = cx.get(within::<Event>(namespace)).await;
        for event in events.iter().flat_map(|all| all.iter()) {
            if !event.message.contains("TokenRequest endpoints") {
                continue;
            }
            let pod = event_pod(event);
            let of = |group: &&&crate::PodGroup| {
                group.pods.iter().any(|other| kfcheck::Named::resource(&**other) == pod)
            };
            if let Some(group) = unready.iter().find(of) {
                found.push((Arc::clone(event), group.resource.clone()));
            }
        }
    }
    found
}

fn event_pod(event: &Event) -> kfcheck::Resource {
    let about = &event.involved_object;
    crate::resource("Pod", about.namespace.as_deref(), &about.name)
}

async fn examine_dex(cx: &Cx, pod: &Pod, server: &Container, out: &mut Findings) -> bool {
    // Another issuer than Dex is somebody's own choice.
    let Some(told) = server.told("--oidc-issuer-url").filter(|url| url.contains("dex")) else {
        return true;
    };
    let Some(issuers) = out.known(pod, issuers_of_dex(cx, told).await) else { return false };
    let Some((_, right)) = issuers.first() else { return true };
    if issuers.iter().any(|(_, issuer)| issuer == told) {
        return true;
    }
    if issuers.iter().any(|(_, issuer)| issuer != right) {
        let names: Vec<_> = issuers.iter().map(|(map, _)| map.as_str()).collect();
        let says = format!("which configuration Dex reads isn't known: {}", names.join(", "));
        out.known::<()>(pod, Err(Fault::Unreachable(says).into()));
        return false;
    }
    if told == right {
        return true;
    }
    out.fail(pod, "trusts another issuer than Dex")
        .serving()
        .evidence("trusts", told)
        .evidence("Dex is", right)
        .fix(
            Risk::Restarts,
            "names Dex's issuer, on the node",
            format!(
                "sudo sed -i 's|--oidc-issuer-url=.*|--oidc-issuer-url={right}|' \
                 /etc/kubernetes/manifests/kube-apiserver.yaml"
            ),
        );
    false
}

/// The issuers in configurations of Dex's that are in the namespace that has one, each with what holds
/// it: those that its pods have as files, or else all.
async fn issuers_of_dex(cx: &Cx, told: &str) -> Result<Vec<(String, String)>, FactError> {
    // A name within the cluster says where its Service is.
    let host = told.split_once("://").map_or(told, |(_, rest)| rest);
    let named = host.split(['/', ':']).next().and_then(|host| {
        let mut labels = host.split('.').skip(1);
        Some((labels.next()?, labels.next()?)).filter(|(_, svc)| *svc == "svc")
    });
    let names = cx.setting::<Names>();
    let namespaces = named.map(|(namespace, _)| namespace).into_iter().chain(names.dex());
    let mut missing = None;
    for namespace in namespaces {
        let maps = match cx.get(within::<ConfigMap>(namespace)).await {
            Ok(maps) => maps,
            Err(error) => {
                missing.get_or_insert(error);
                continue;
            }
        };
        let mut all: Vec<_> = maps.iter().filter(|map| map.issuer.is_some()).collect();
        if all.is_empty() {
            continue;
        }
        let pods = cx.get(within::<Pod>(namespace)).await;
        let volumes = pods.iter().flat_map(|pods| pods.iter()).filter(|pod| !pod.is_over());
        let volumes = volumes.flat_map(|pod| &pod.spec.volumes);
        let mounted: BTreeSet<_> =
            volumes.filter_map(|volume| Some(volume.config_map.as_ref()?.name.as_str())).collect();
        if all.iter().any(|map| mounted.contains(&*map.metadata.name)) {
            all.retain(|map| mounted.contains(&*map.metadata.name));
        }
        let name = |map: &ConfigMap| format!("{namespace}/{}", map.metadata.name);
        return Ok(all.iter().filter_map(|map| Some((name(map), map.issuer.clone()?))).collect());
    }
    missing.map_or(Ok(Vec::new()), Err)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::ApiServerFlags;
    use crate::testing::report;

    const SIGNS: [&str; 2] = [
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        "--service-account-signing-key-file=/etc/kubernetes/pki/sa.key",
    ];

    /// An API server with these flags and some that every one has.
    fn server(flags: &[&str]) -> Value {
        let command = [
            "kube-apiserver",
            "--etcd-servers=https://127.0.0.1:2379",
            "--service-cluster-ip-range=10.96.0.0/12",
        ];
        let command = [&command[..], flags].concat();
        json!({ "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": "kube-system", "name": "kube-apiserver-one",
                "labels": { "component": "kube-apiserver" } },
            "spec": { "containers": [
                { "name": "kube-apiserver", "command": command }] },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }] } })
    }

    async fn with(objects: &[Value]) -> String {
        let none =
            ["configmaps", "deployments.apps", "events", "ingresses.networking.k8s.io", "services"];
        let none = none.map(|name| format!("kubernetes/{name}.json"));
        let none = none.each_ref().map(|name| (name.as_str(), json!({ "items": [] })));
        report(&ApiServerFlags, objects, &none).await
    }

    #[tokio::test]
    async fn with_both_flags_tokens_are_signed() {
        expect![[r#"
            No entrance to a deployment was found. 0 root causes, 0 symptoms; 1 check
            passed, 0 not seen.

            pass     kube-apiserver-flags
                     The API server signs tokens for pods and trusts Dex
        "#]]
        .assert_eq(&with(&[server(&SIGNS)]).await);
    }

    #[tokio::test]
    async fn without_them_nothing_happens_until_somebody_asks_for_a_token() {
        expect![[r#"
            No entrance to a deployment was found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            WARNING  kube-apiserver-flags
              Pod kube-system/kube-apiserver-one runs without
                --service-account-signing-key-file
                fix       adds what is missing, on the node
                          sudo sed \
                            -i '/- kube-apiserver$/a \    - --service-account-signing-key-file=/etc/kubernetes/pki/sa.key' /etc/kubernetes/manifests/kube-apiserver.yaml

            warn     kube-apiserver-flags
                     The API server signs tokens for pods and trusts Dex
        "#]].assert_eq(&with(&[server(&SIGNS[..1])]).await);
    }

    #[tokio::test]
    async fn what_waits_for_a_token_makes_it_a_cause() {
        let pod = json!({ "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": "istio-system", "name": "istiod-0" } });
        let event = json!({ "apiVersion": "v1", "kind": "Event", "type": "Warning",
            "metadata": { "namespace": "istio-system", "name": "istiod-0.1" },
            "involvedObject": { "kind": "Pod", "namespace": "istio-system", "name": "istiod-0" },
            "reason": "FailedMount", "message": "MountVolume.SetUp failed for volume \
                \"istio-token\" : failed to fetch token: the API server does not have TokenRequest \
                endpoints enabled" });
        expect![[r#"
            Something is broken; no entrance to a deployment was found. 1 root cause, 0
            symptoms; 0 checks passed, 0 not seen.

            BROKEN  kube-apiserver-flags
              Pod kube-system/kube-apiserver-one runs without --service-account-issuer and
                --service-account-signing-key-file
                so        Pod istio-system/istiod-0 waits: MountVolume.SetUp failed for
                          volume "istio-token" : failed to fetch token: the API server does
                          not have TokenRequest endpoints enabled
                fix       adds what is missing, on the node
                          sudo sed \
                            -i '/- kube-apiserver$/a \    - --service-account-issuer=https://kubernetes.default.svc.cluster.local\n\    - --service-account-signing-key-file=/etc/kubernetes/pki/sa.key' /etc/kubernetes/manifests/kube-apiserver.yaml
              kubectl kfcheck explain kube-apiserver-flags

            FAIL     kube-apiserver-flags
                     The API server signs tokens for pods and trusts Dex
        "#]].assert_eq(&with(&[server(&[]), pod, event]).await);
    }

    #[tokio::test]
    async fn dex_is_trusted_by_the_name_it_has() {
        let dex = json!({ "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "namespace": "auth", "name": "dex" },
            "data": { "config.yaml": "issuer: https://kf.example.com/dex\nstorage: {}\n" } });
        let told = |issuer| server(&[SIGNS[0], SIGNS[1], issuer]);
        let wrong = told("--oidc-issuer-url=https://dex.example.com:32000");
        expect![[r#"
            Something is broken; no entrance to a deployment was found. 1 root cause, 0
            symptoms; 0 checks passed, 0 not seen.

            BROKEN  kube-apiserver-flags
              Pod kube-system/kube-apiserver-one trusts another issuer than Dex
                trusts    https://dex.example.com:32000
                Dex is    https://kf.example.com/dex
                fix       names Dex's issuer, on the node
                          sudo sed \
                            -i 's|--oidc-issuer-url=.*|--oidc-issuer-url=https://kf.example.com/dex|' /etc/kubernetes/manifests/kube-apiserver.yaml
              kubectl kfcheck explain kube-apiserver-flags

            FAIL     kube-apiserver-flags
                     The API server signs tokens for pods and trusts Dex
        "#]].assert_eq(&with(&[wrong, dex.clone()]).await);
        let right = told("--oidc-issuer-url=https://kf.example.com/dex");
        assert!(with(&[right, dex.clone()]).await.contains("pass     "));
        let other = told("--oidc-issuer-url=https://login.example.com");
        assert!(with(&[other, dex]).await.contains("pass     "));
    }

    #[tokio::test]
    async fn of_several_configurations_the_one_counts_that_dex_has() {
        let map = |namespace: &str, name: &str, issuer: &str| {
            json!({ "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": { "namespace": namespace, "name": name },
                "data": { "config.yaml": format!("issuer: {issuer}\nstorage: {{}}\n") } })
        };
        let (old, new) = ("https://old.example.com/dex", "https://dex.example.com/dex");
        let server = server(&[SIGNS[0], SIGNS[1], "--oidc-issuer-url=https://dex.example.com"]);
        let maps = [map("auth", "dex-5k", old), map("auth", "dex-9t", new)];
        let objects = [&maps[..], std::slice::from_ref(&server)].concat();
        assert!(with(&objects).await.contains("unknown  "));
        let pod = json!({ "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": "auth", "name": "dex-0" },
            "spec": { "volumes": [{ "name": "config", "configMap": { "name": "dex-9t" } }] } });
        let says = with(&[&objects[..], &[pod]].concat()).await;
        assert!(says.contains("Dex is    https://dex.example.com/dex"), "{says}");
        let elsewhere = map("dex", "dex", new);
        let says = with(&[elsewhere, server]).await;
        assert!(says.contains("Dex is    https://dex.example.com/dex"), "{says}");
    }

    #[tokio::test]
    async fn a_managed_cluster_does_not_show_its_api_server() {
        let pod = json!({ "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": "kube-system", "name": "kube-dns" } });
        assert!(with(&[pod]).await.contains("skip     "));
    }

    #[tokio::test]
    async fn flags_that_were_left_out_are_not_missing() {
        let mut server = server(&[]);
        server["spec"]["containers"][0]["command"] = json!(null);
        assert!(with(&[server]).await.contains("unknown  "));
    }
}
