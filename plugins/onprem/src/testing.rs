//! Small worlds for the tests of checks.

use kfcheck::{Bundle, Check, Runner, World};
use kfcheck_kube::{BareServices, CloudView, Target};
use kfcheck_report::{Style, text};
use serde_json::{Value, json};

/// The address of the gateway's Service.
pub(crate) const ADDRESS: &str = "10.64.140.43";

/// The node that announces it.
pub(crate) const ANNOUNCER: &str = "worker-1";

/// A deployment of which a test changes what it is about: Service `istio-system/istio-ingressgateway`
/// of type LoadBalancer with an address of MetalLB's pool `default`, announced by ARP from one of
/// `worker-1` and `worker-2`; behind it Kubeflow's Gateway, which speaks HTTP, and the dashboard; and
/// kube-proxy with iptables. All of it is healthy.
#[derive(Clone)]
pub(crate) struct Deployment {
    /// The objects of the cluster.
    pub(crate) objects: Vec<Value>,
    /// The other files of the bundle.
    pub(crate) files: Vec<(String, Value)>,
    /// Logs, by `NAMESPACE/POD/CONTAINER`.
    pub(crate) logs: Vec<(String, String)>,
    /// Where the user says that the deployment is.
    pub(crate) target: Target,
}

/// A pod that is ready, on a node.
pub(crate) fn pod(namespace: &str, name: &str, node: &str, labels: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Pod",
        "metadata": { "namespace": namespace, "name": name, "labels": labels },
        "spec": { "nodeName": node, "containers": [{ "name": "main", "image": "main:1" }] },
        "status": { "phase": "Running", "podIP": "10.244.1.31",
            "conditions": [{ "type": "Ready", "status": "True" }] } })
}

/// A node that is ready.
pub(crate) fn node(name: &str, address: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name } },
        "status": { "addresses": [{ "type": "InternalIP", "address": address }],
            "conditions": [{ "type": "Ready", "status": "True" }] } })
}

/// An event about the gateway's Service.
pub(crate) fn event(reason: &str, kind: &str, message: &str, time: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Event",
        "metadata": { "namespace": "istio-system", "name": format!("{reason}.{time}") },
        "involvedObject": { "kind": "Service", "namespace": "istio-system",
            "name": "istio-ingressgateway" },
        "reason": reason, "type": kind, "message": message, "lastTimestamp": time,
        "source": { "component": "metallb" } })
}

impl Deployment {
    /// The healthy one.
    pub(crate) fn healthy() -> Self {
        let gateway = json!({ "app": "istio-ingressgateway", "istio": "ingressgateway" });
        let controller = json!({ "app": "metallb", "component": "controller" });
        let speaker = json!({ "app": "metallb", "component": "speaker" });
        let metallb = |name: &str| json!({ "namespace": "metallb-system", "name": name });
        let mut gateway_pod = pod("istio-system", "gateway-0", "worker-1", &gateway);
        gateway_pod["spec"]["containers"] = json!([{ "name": "istio-proxy", "image": "proxy:1",
            "ports": [{ "containerPort": 8080 }, { "containerPort": 8443 }] }]);
        let objects = vec![
            node("worker-1", "10.64.140.12"),
            node("worker-2", "10.64.140.13"),
            json!({ "apiVersion": "v1", "kind": "Service",
                "metadata": { "namespace": "istio-system", "name": "istio-ingressgateway" },
                "spec": { "type": "LoadBalancer", "selector": gateway,
                    "externalTrafficPolicy": "Cluster", "ports": [
                        { "name": "http2", "port": 80, "targetPort": 8080, "nodePort": 31380 },
                        { "name": "https", "port": 443, "targetPort": 8443, "nodePort": 31390 }] },
                "status": { "loadBalancer": { "ingress": [{ "ip": ADDRESS }] } } }),
            json!({ "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": { "namespace": "istio-system", "name": "istio-ingressgateway-1",
                    "labels": { "kubernetes.io/service-name": "istio-ingressgateway" } },
                "endpoints": [{ "addresses": ["10.244.1.31"], "conditions": { "ready": true },
                    "nodeName": "worker-1", "targetRef": { "kind": "Pod", "name": "gateway-0" } }],
                "ports": [{ "name": "http2", "port": 8080 }, { "name": "https", "port": 8443 }] }),
            gateway_pod,
            json!({ "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
                "metadata": { "namespace": "kubeflow", "name": "kubeflow-gateway" },
                "spec": { "selector": { "istio": "ingressgateway" }, "servers": [
                    { "hosts": ["*"], "port": { "name": "http", "number": 80, "protocol": "HTTP" } }] } }),
            json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metallb("controller"),
                "spec": { "template": { "metadata": { "labels": controller } } },
                "status": { "readyReplicas": 1 } }),
            pod("metallb-system", "controller-0", "worker-1", &controller),
            json!({ "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metallb("speaker"),
                "spec": { "template": { "metadata": { "labels": speaker } } },
                "status": { "desiredNumberScheduled": 2, "numberReady": 2 } }),
            pod("metallb-system", "speaker-1", "worker-1", &speaker),
            pod("metallb-system", "speaker-2", "worker-2", &speaker),
            json!({ "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
                "metadata": metallb("default"),
                "spec": { "addresses": ["10.64.140.43-10.64.140.49"] } }),
            json!({ "apiVersion": "metallb.io/v1beta1", "kind": "L2Advertisement",
                "metadata": metallb("default"), "spec": { "ipAddressPools": ["default"] } }),
            json!({ "apiVersion": "metallb.io/v1beta1", "kind": "ServiceL2Status",
                "metadata": metallb("l2-a"), "status": { "node": ANNOUNCER,
                    "serviceName": "istio-ingressgateway", "serviceNamespace": "istio-system" } }),
            json!({ "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": { "namespace": "kube-system", "name": "kube-proxy" },
                "data": { "config.conf": "kind: KubeProxyConfiguration\nmode: iptables\n" } }),
        ];
        let none = json!({ "items": [] });
        let files = [
            (
                "bundle",
                json!({ "collectedAt": "2026-11-21T12:00:00Z", "provider": "onprem",
                    "onprem": { "address": ADDRESS },
                    "kubernetes": { "context": "test", "serverVersion": "v1.30.1" } }),
            ),
            ("kubernetes/addresspools.metallb.io", none.clone()),
            ("kubernetes/bgpadvertisements.metallb.io", none.clone()),
            ("kubernetes/bgppeers.metallb.io", none.clone()),
            ("kubernetes/configurationstates.metallb.io", none.clone()),
            ("kubernetes/events", none.clone()),
            ("kubernetes/ingresses.networking.k8s.io", none.clone()),
            ("kubernetes/gateways.gateway.networking.k8s.io", none.clone()),
            ("kubernetes/virtualservices.networking.istio.io", none),
            (
                "probes/http",
                json!([{ "url": "http://10.64.140.43/", "status": 302,
                    "headers": { "location": "/dex/auth?client_id=kubeflow-oidc-authservice" } }]),
            ),
            (
                "probes/arp",
                json!([{ "address": ADDRESS, "interface": "eth0",
                    "replies": [{ "mac": "52:54:00:12:35:0c", "interface": "eth0" }] }]),
            ),
        ];
        let files = files.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { objects, files, logs: Vec::new(), target: Target::default() }
    }

    /// The same with MetalLB as it was until 0.12: its pool is in a ConfigMap.
    pub(crate) fn old() -> Self {
        let mut deployment = Self::healthy();
        deployment.objects.retain(|object| object["apiVersion"] != "metallb.io/v1beta1");
        deployment.add(json!({ "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "namespace": "metallb-system", "name": "config" },
            "data": { "config": "address-pools:\n- name: default\n  protocol: layer2\n  \
                addresses:\n  - 10.64.140.43-10.64.140.49\n" } }));
        deployment.files.retain(|(name, _)| !name.ends_with(".metallb.io"));
        deployment
    }

    /// The same without MetalLB: the gateway is at a port of the nodes.
    pub(crate) fn node_port() -> Self {
        let mut deployment = Self::healthy();
        let is_metallb = |object: &Value| object["metadata"]["namespace"] == "metallb-system";
        deployment.objects.retain(|object| !is_metallb(object));
        let service = deployment.object("Service");
        service["spec"]["type"] = "NodePort".into();
        service["status"] = json!({ "loadBalancer": {} });
        deployment.file("bundle")["onprem"] = json!({});
        deployment.file("probes/http")[0]["url"] = "http://10.64.140.12:31380/".into();
        deployment.without("probes/arp");
        for kind in ["daemonsets.apps", "deployments.apps", "ipaddresspools.metallb.io"] {
            *deployment.file(&format!("kubernetes/{kind}")) = json!({ "items": [] });
        }
        deployment
    }

    /// The object of this kind; the first where there are several.
    pub(crate) fn object(&mut self, kind: &str) -> &mut Value {
        self.objects.iter_mut().find(|object| object["kind"] == kind).unwrap()
    }

    /// The object of this kind and name.
    pub(crate) fn named(&mut self, kind: &str, name: &str) -> &mut Value {
        let is = |object: &&mut Value| object["kind"] == kind && object["metadata"]["name"] == name;
        self.objects.iter_mut().find(is).unwrap()
    }

    /// Adds an object.
    pub(crate) fn add(&mut self, object: Value) {
        self.objects.push(object);
    }

    /// Takes the objects of a kind away, and has it known that there are none.
    pub(crate) fn no(&mut self, kind: &str, list: &str) {
        self.objects.retain(|object| object["kind"] != kind);
        *self.file(&format!("kubernetes/{list}")) = json!({ "items": [] });
    }

    /// A file by its name without extension.
    pub(crate) fn file(&mut self, name: &str) -> &mut Value {
        if !self.files.iter().any(|(known, _)| known == name) {
            self.files.push((name.to_owned(), Value::Null));
        }
        self.files.iter_mut().find(|(known, _)| known == name).map(|(_, value)| value).unwrap()
    }

    /// Leaves a file out, so that it is not collected.
    pub(crate) fn without(&mut self, name: &str) {
        self.files.retain(|(known, _)| known != name);
    }

    /// The world that it is, from a bundle.
    pub(crate) fn world(&self) -> World {
        let objects = json!({ "kind": "List", "items": self.objects });
        let bundle = Bundle::default().with("kubernetes/all.json", objects);
        let bundle = self.files.iter().fold(bundle, |bundle, (name, value)| {
            bundle.with(&format!("{name}.json"), value.clone())
        });
        let bundle = self.logs.iter().fold(bundle, |bundle, (container, lines)| {
            bundle.with_text(&format!("kubernetes/logs/{container}.log"), lines)
        });
        self.over(bundle)
    }

    /// The world of another bundle, seen as this one is.
    pub(crate) fn over(&self, bundle: Bundle) -> World {
        let path = [kfcheck_kube::PATH, crate::PATH].concat();
        World::replay(bundle)
            .path(&path)
            .setting(CloudView(Some(&crate::OnPremises)))
            .setting(BareServices(true))
            .setting(self.target.clone())
    }

    /// What `checks` report together, every line of it.
    pub(crate) async fn reports(&self, checks: &[&'static dyn Check]) -> String {
        let report = Runner::default().run(&self.world(), checks).await;
        text(&report, Style { verbose: true, colour: false })
    }

    /// What `check` reports, every line of it.
    pub(crate) async fn report(&self, check: &'static dyn Check) -> String {
        self.reports(&[check]).await
    }
}
