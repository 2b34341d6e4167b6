//! Small worlds for the tests of checks.

use kfcheck::{Bundle, Check, Runner, World};
use kfcheck_kube::CloudView;
use kfcheck_report::{Style, text};
use serde_json::{Value, json};

/// A deployment of which a test changes what it is about: an Ingress `istio-system/front` for
/// kf.example.com at 34.1.2.3, which goes by the node port 31380 of Service `gateway`, port 80, to
/// one pod at 10.8.0.5:8080 on a machine in network `net`. All of it is healthy.
pub(crate) struct Deployment {
    /// The objects of the cluster, by what tests call them.
    pub(crate) objects: Vec<Value>,
    /// The other files of the bundle.
    pub(crate) files: Vec<(String, Value)>,
}

impl Deployment {
    /// The healthy one.
    pub(crate) fn healthy() -> Self {
        let link = |kind: &str, name: &str| format!("projects/p/global/{kind}/{name}");
        let (be, hc) =
            (link("backendServices", "k8s-be-31380--u"), link("healthChecks", "k8s-be-31380--u"));
        let group = "projects/p/zones/z/instanceGroups/k8s-ig--u";
        let front = "k8s-fw-istio-system-front--u";
        let objects = vec![
            json!({ "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
                "metadata": { "namespace": "istio-system", "name": "front", "annotations": {
                    "ingress.kubernetes.io/backends": "{\"k8s-be-31380--u\": \"HEALTHY\"}",
                    "ingress.kubernetes.io/forwarding-rule": front,
                    "ingress.kubernetes.io/url-map": "k8s-um--u" } },
                "spec": { "rules": [{ "host": "kf.example.com", "http": { "paths": [
                    { "path": "/*", "backend": { "service": { "name": "gateway", "port": { "number": 80 } } } }
                ] } }] },
                "status": { "loadBalancer": { "ingress": [{ "ip": "34.1.2.3" }] } } }),
            json!({ "apiVersion": "v1", "kind": "Service",
                "metadata": { "namespace": "istio-system", "name": "gateway", "annotations": {} },
                "spec": { "type": "NodePort", "selector": { "app": "gateway" }, "ports": [
                    { "name": "http", "port": 80, "targetPort": 8080, "nodePort": 31380 }] } }),
            json!({ "apiVersion": "v1", "kind": "Pod",
                "metadata": { "namespace": "istio-system", "name": "gateway-0", "labels": { "app": "gateway" } },
                "spec": { "nodeName": "node-1", "containers": [{ "name": "server", "image": "server:1",
                    "ports": [{ "containerPort": 8080 }],
                    "readinessProbe": { "httpGet": { "path": "/ready", "port": 8080 } } }] },
                "status": { "phase": "Running", "podIP": "10.8.0.5",
                    "conditions": [{ "type": "Ready", "status": "True" }] } }),
            json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "node-1" } }),
        ];
        let files = [
            (
                "bundle",
                json!({ "collectedAt": "2026-11-21T12:00:00Z",
                "gcp": { "project": "p", "location": "z", "cluster": "c" },
                "kubernetes": { "context": "test", "serverVersion": "v1.30.1" } }),
            ),
            ("kubernetes/events", json!({ "items": [] })),
            ("kubernetes/deployments.apps", json!({ "items": [] })),
            ("kubernetes/managedcertificates.networking.gke.io", json!({ "items": [] })),
            ("gcp/compute/addresses", json!([])),
            (
                "gcp/compute/forwardingRules",
                json!([{ "name": front, "IPAddress": "34.1.2.3",
                "portRange": "80-80", "target": link("targetHttpProxies", "k8s-tp--u") }]),
            ),
            (
                "gcp/compute/targetHttpProxies",
                json!([{ "name": "k8s-tp--u",
                "selfLink": link("targetHttpProxies", "k8s-tp--u"), "urlMap": link("urlMaps", "k8s-um--u") }]),
            ),
            ("gcp/compute/targetHttpsProxies", json!([])),
            ("gcp/compute/sslCertificates", json!([])),
            (
                "gcp/compute/urlMaps",
                json!([{ "name": "k8s-um--u", "selfLink": link("urlMaps", "k8s-um--u"),
                "defaultService": be, "hostRules": [{ "hosts": ["kf.example.com"], "pathMatcher": "m" }],
                "pathMatchers": [{ "name": "m", "defaultService": be,
                    "pathRules": [{ "paths": ["/*"], "service": be }] }] }]),
            ),
            (
                "gcp/compute/backendServices",
                json!([{ "name": "k8s-be-31380--u", "id": "77", "selfLink": be,
                "protocol": "HTTP", "port": 31380, "healthChecks": [hc], "backends": [{ "group": group }],
                "description": "{\"kubernetes.io/service-name\": \"istio-system/gateway\"}" }]),
            ),
            (
                "gcp/compute/backendServiceHealth",
                json!({ "k8s-be-31380--u": [{ "backend": group, "status": {
                "healthStatus": [{ "healthState": "HEALTHY", "ipAddress": "10.0.0.2", "port": 31380 }] } }] }),
            ),
            (
                "gcp/compute/healthChecks",
                json!([{ "name": "k8s-be-31380--u", "selfLink": hc, "type": "HTTP",
                "httpHealthCheck": { "port": 31380, "requestPath": "/ready" } }]),
            ),
            ("gcp/compute/networkEndpointGroups", json!([])),
            (
                "gcp/compute/instances",
                json!([{ "name": "node-1", "selfLink": "projects/p/zones/z/instances/node-1",
                "tags": { "items": ["nodes"] },
                "networkInterfaces": [{ "network": link("networks", "net") }] }]),
            ),
            ("gcp/compute/networks", json!([])),
            (
                "gcp/compute/firewalls",
                json!([{ "name": "probes", "network": link("networks", "net"),
                "direction": "INGRESS", "priority": 1000, "sourceRanges": ["35.191.0.0/16", "130.211.0.0/22"],
                "allowed": [{ "IPProtocol": "tcp", "ports": ["30000-32767"] }], "targetTags": ["nodes"] }]),
            ),
            ("gcp/compute/effectiveFirewalls", json!({ "net": {} })),
            (
                "gcp/compute/project",
                json!({ "quotas": [
                { "metric": "BACKEND_SERVICES", "limit": 50.0, "usage": 2.0 }] }),
            ),
            ("gcp/compute/regions", json!([])),
            (
                "gcp/container/clusters",
                json!([{ "name": "c", "location": "z",
                "ipAllocationPolicy": { "useIpAliases": true } }]),
            ),
            ("gcp/logging/entries", json!([])),
            (
                "probes/dns",
                json!([{ "name": "kf.example.com", "type": "A", "answers": ["34.1.2.3"] }]),
            ),
            ("probes/http", json!([{ "url": "https://kf.example.com/", "status": 200 }])),
        ];
        let files = files.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { objects, files }
    }

    /// The same behind a Gateway `istio-system/front` with an `HTTPRoute` of that name, by a network
    /// endpoint group.
    pub(crate) fn behind_gateway() -> Self {
        let mut deployment = Self::healthy();
        let metadata = json!({ "namespace": "istio-system", "name": "front",
            "creationTimestamp": "2026-11-01T00:00:00Z" });
        let parent = json!({ "name": "front" });
        let good = |kind: &str| json!({ "type": kind, "status": "True", "reason": kind });
        *deployment.object("Ingress") = json!({ "kind": "Gateway",
            "apiVersion": "gateway.networking.k8s.io/v1", "metadata": metadata,
            "spec": { "gatewayClassName": "gke-l7-global-external-managed",
                "listeners": [{ "name": "https", "port": 443, "protocol": "HTTPS" }] },
            "status": { "addresses": [{ "type": "IPAddress", "value": "34.1.2.3" }],
                "conditions": [good("Accepted"), good("Programmed")] } });
        let annotations = [
            ("backend-services", "/projects/1/global/backendServices/k8s-be-31380--u"),
            ("forwarding-rules", "/projects/1/global/forwardingRules/k8s-fw-istio-system-front--u"),
            ("url-maps", "/projects/1/global/urlMaps/k8s-um--u"),
        ];
        for (what, path) in annotations {
            let name = format!("networking.gke.io/{what}");
            deployment.object("Gateway")["metadata"]["annotations"][name] = path.into();
        }
        deployment.add(json!({ "kind": "HTTPRoute",
            "apiVersion": "gateway.networking.k8s.io/v1", "metadata": metadata,
            "spec": { "parentRefs": [parent], "hostnames": ["kf.example.com"], "rules": [
                { "backendRefs": [{ "name": "gateway", "port": 80 }] }] },
            "status": { "parents": [{ "parentRef": parent,
                "conditions": [good("Accepted"), good("ResolvedRefs")] }] } }));
        let group = "projects/p/zones/z/networkEndpointGroups/k8s1-front";
        deployment.object("Service")["metadata"]["annotations"]["cloud.google.com/neg-status"] =
            json!({ "network_endpoint_groups": { "80": "k8s1-front" } }).to_string().into();
        deployment.file("gcp/compute/backendServices")[0]["backends"] = json!([{ "group": group }]);
        let files = ["ingresses.networking.k8s.io", "gcpbackendpolicies.networking.gke.io"];
        let others =
            ["healthcheckpolicies.networking.gke.io", "requestauthentications.security.istio.io"];
        for name in files.iter().chain(&others) {
            *deployment.file(&format!("kubernetes/{name}")) = json!({ "items": [] });
        }
        deployment
    }

    /// The object of this kind; the first where there are several.
    pub(crate) fn object(&mut self, kind: &str) -> &mut Value {
        self.objects.iter_mut().find(|object| object["kind"] == kind).unwrap()
    }

    /// Adds an object.
    pub(crate) fn add(&mut self, object: Value) {
        self.objects.push(object);
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

    /// Takes the nodes' public addresses away: the control plane is at 172.16.0.0/28, the nodes are
    /// in subnetwork `part` of region `r`, and nothing is in the way of what they ask for.
    pub(crate) fn make_private(&mut self) {
        let (network, part) =
            ("projects/p/global/networks/net", "projects/p/regions/r/subnetworks/part");
        *self.file("gcp/container/clusters") = json!([{ "name": "c", "location": "z",
            "selfLink": "https://container/v1/projects/p/zones/z/clusters/c",
            "networkConfig": { "network": network, "subnetwork": part },
            "ipAllocationPolicy": { "useIpAliases": true, "clusterIpv4CidrBlock": "10.8.0.0/14",
                "clusterSecondaryRangeName": "pods" },
            "privateClusterConfig": { "enablePrivateNodes": true,
                "masterIpv4CidrBlock": "172.16.0.0/28" } }]);
        *self.file("gcp/compute/subnetworks") = json!([{ "name": "part", "selfLink": part,
            "network": network, "region": "projects/p/regions/r", "ipCidrRange": "10.0.0.0/20",
            "privateIpGoogleAccess": true, "secondaryIpRanges": [
                { "rangeName": "pods", "ipCidrRange": "10.8.0.0/14" }] }]);
        *self.file("gcp/compute/networks") = json!([{ "name": "net", "selfLink": network }]);
        let node = &mut self.file("gcp/compute/instances")[0];
        node["tags"]["items"] = json!(["nodes", "gke-c-1234-node"]);
        node["networkInterfaces"] = json!([{ "network": network, "subnetwork": part,
            "networkIP": "10.0.0.2", "accessConfigs": [] }]);
    }

    /// Makes every endpoint unhealthy.
    pub(crate) fn unhealthy(&mut self) {
        let health = self.file("gcp/compute/backendServiceHealth");
        for groups in health.as_object_mut().unwrap().values_mut() {
            for group in groups.as_array_mut().unwrap() {
                for endpoint in group["status"]["healthStatus"].as_array_mut().unwrap() {
                    endpoint["healthState"] = "UNHEALTHY".into();
                }
            }
        }
    }

    /// What `check` reports, every line of it.
    pub(crate) async fn report(&self, check: &'static dyn Check) -> String {
        self.report_of(&[check]).await
    }

    /// The same of several.
    pub(crate) async fn report_of(&self, checks: &[&'static dyn Check]) -> String {
        let objects = json!({ "kind": "List", "items": self.objects });
        let bundle = Bundle::default().with("kubernetes/all.json", objects);
        let bundle = self.files.iter().fold(bundle, |bundle, (name, value)| {
            bundle.with(&format!("{name}.json"), value.clone())
        });
        let path = [kfcheck_kube::PATH, crate::PATH].concat();
        let world = World::replay(bundle).path(&path).setting(CloudView(Some(&crate::GoogleCloud)));
        let report = Runner::default().run(&world, checks).await;
        text(&report, Style { verbose: true, colour: false })
    }
}
