//! Deployments that sign people in, for the tests of checks.

use serde_json::{Value, json};

use crate::testing::Deployment;

/// When Dex was started.
const STARTED: &str = "2026-11-20T08:00:00Z";

/// Dex's configuration, of which a test changes what it is about.
pub(crate) const CONFIG: &str = "\
issuer: http://dex.auth.svc.cluster.local:5556/dex
storage:
  type: kubernetes
  config:
    inCluster: true
web:
  http: 0.0.0.0:5556
oauth2:
  skipApprovalScreen: true
staticClients:
- idEnv: OIDC_CLIENT_ID
  redirectURIs: [/oauth2/callback]
  name: Kubeflow
  secretEnv: OIDC_CLIENT_SECRET
enablePasswordDB: true
staticPasswords:
- email: user@example.com
  hashFromEnv: DEX_USER_PASSWORD
  username: user
  userID: '1'
connectors:
- type: ldap
  id: ldap
  name: LDAP
  config:
    host: ldap.example.com:636
    bindDN: cn=dex,dc=example,dc=com
    bindPW: hunter2
    userSearch:
      baseDN: ou=people,dc=example,dc=com
      filter: (objectClass=inetOrgPerson)
      username: uid
      idAttr: uid
      emailAttr: mail
      nameAttr: cn
    groupSearch:
      baseDN: ou=groups,dc=example,dc=com
      filter: (objectClass=groupOfNames)
      userMatchers:
      - userAttr: DN
        groupAttr: member
      nameAttr: cn
";

/// What oauth2-proxy reads.
pub(crate) const PROXY: &str = "\
provider = \"oidc\"
oidc_issuer_url = \"http://dex.auth.svc.cluster.local:5556/dex\"
upstreams = [ \"static://200\" ]
skip_oidc_discovery = true
login_url = \"/dex/auth\"
redirect_url = \"/oauth2/callback\"
relative_redirect_url = true
";

/// A hash as bcrypt writes one, of a password that nobody knows.
const HASH: &str = "$2y$10$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyz01234";

fn pod(namespace: &str, name: &str, labels: &Value, container: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Pod",
        "metadata": { "namespace": namespace, "name": format!("{name}-7d9f-x1"),
            "labels": { "app": labels["app"], "pod-template-hash": "7d9f" },
            "ownerReferences": [{ "kind": "ReplicaSet", "name": format!("{name}-7d9f") }] },
        "spec": { "nodeName": "worker-1", "containers": [container] },
        "status": { "phase": "Running", "podIP": "10.244.1.50",
            "conditions": [{ "type": "Ready", "status": "True" }],
            "containerStatuses": [{ "name": container["name"], "ready": true,
                "state": { "running": { "startedAt": STARTED } } }] } })
}

fn workload(namespace: &str, name: &str, labels: &Value) -> [Value; 2] {
    let metadata = json!({ "namespace": namespace, "name": name });
    [
        json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
            "spec": { "template": { "metadata": { "labels": labels } } },
            "status": { "readyReplicas": 1 } }),
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": { "type": "ClusterIP", "selector": labels,
                "ports": [{ "name": "http", "port": if name == "dex" { 5556 } else { 4180 } }] } }),
    ]
}

impl Deployment {
    /// The healthy one with Dex in `auth`, which has an LDAP connector and a user of its own, and
    /// oauth2-proxy before it. All of it is right.
    pub(crate) fn signing_in() -> Self {
        let mut deployment = Self::healthy();
        let (dex, proxy) = (json!({ "app": "dex" }), json!({ "app": "oauth2-proxy" }));
        deployment.objects.extend(workload("auth", "dex", &dex));
        let container = json!({ "name": "dex", "image": "ghcr.io/dexidp/dex:v2.45.0",
            "envFrom": [{ "secretRef": { "name": "dex-oidc-client" } },
                { "secretRef": { "name": "dex-passwords" } }] });
        let mut pod_of_dex = pod("auth", "dex", &dex, &container);
        pod_of_dex["spec"]["volumes"] =
            json!([{ "name": "config", "configMap": { "name": "dex" } }]);
        deployment.add(pod_of_dex);
        deployment.add(json!({ "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "namespace": "auth", "name": "dex",
                "creationTimestamp": "2026-11-01T08:00:00Z",
                "managedFields": [{ "manager": "kubectl", "operation": "Update",
                    "time": "2026-11-02T08:00:00Z", "fieldsV1": { "f:data": { "f:config.yaml": {} } } }] },
            "data": { "config.yaml": CONFIG } }));
        let secret = |namespace: &str, name: &str, data: Value| {
            json!({ "apiVersion": "v1", "kind": "Secret",
                "metadata": { "namespace": namespace, "name": name }, "stringData": data })
        };
        deployment.add(secret(
            "auth",
            "dex-oidc-client",
            json!({ "OIDC_CLIENT_ID": "kubeflow-oidc-authservice", "OIDC_CLIENT_SECRET": "hunter3" }),
        ));
        deployment.add(secret("auth", "dex-passwords", json!({ "DEX_USER_PASSWORD": HASH })));
        deployment.objects.extend(workload("oauth2-proxy", "oauth2-proxy", &proxy));
        let from = |key: &str| json!({ "secretKeyRef": { "name": "oauth2-proxy", "key": key } });
        let container = json!({ "name": "oauth2-proxy", "image": "quay.io/oauth2-proxy/oauth2-proxy:v7",
            "args": ["--http-address=0.0.0.0:4180", "--config=/etc/oauth2_proxy/oauth2_proxy.cfg"],
            "env": [{ "name": "OAUTH2_PROXY_CLIENT_ID", "valueFrom": from("client-id") },
                { "name": "OAUTH2_PROXY_CLIENT_SECRET", "valueFrom": from("client-secret") }] });
        deployment.add(pod("oauth2-proxy", "oauth2-proxy", &proxy, &container));
        deployment.add(secret(
            "oauth2-proxy",
            "oauth2-proxy",
            json!({ "client-id": "kubeflow-oidc-authservice", "client-secret": "hunter3",
                "cookie-secret": "hunter4" }),
        ));
        deployment.add(json!({ "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "namespace": "oauth2-proxy", "name": "oauth2-proxy" },
            "data": { "oauth2_proxy.cfg": PROXY } }));
        let dex = "http://dex.auth.svc.cluster.local:5556/dex";
        *deployment.file("probes/http") = json!([
            { "url": "http://10.64.140.43/", "status": 302, "headers": { "location":
                "/dex/auth?client_id=kubeflow-oidc-authservice&redirect_uri=%2Foauth2%2Fcallback&response_type=code&scope=openid&state=abc" } },
            { "url": "http://10.64.140.43/dex/auth?client_id=kubeflow-oidc-authservice&redirect_uri=%2Foauth2%2Fcallback&response_type=code&scope=openid",
                "status": 302, "headers": { "location": "/dex/auth/local?req=abc" } },
            { "url": format!("{dex}/.well-known/openid-configuration"), "status": 200,
                "bodySnippet": format!("{{\"issuer\": \"{dex}\"}}") }]);
        *deployment.file("probes/ldap") = json!([{ "connector": "ldap", "host": "ldap.example.com:636",
            "connect": { "ok": true, "tls": true, "verified": true },
            "binds": [{ "dn": "cn=dex,dc=example,dc=com", "passwordSource": "bindPW", "ok": true,
                "resultCode": 0 }],
            "searches": [
                { "purpose": "userSearch", "baseDN": "ou=people,dc=example,dc=com", "scope": "sub",
                    "filter": "(objectClass=inetOrgPerson)", "baseExists": true, "resultCode": 0,
                    "entries": [{ "dn": "uid=jane,ou=people,dc=example,dc=com", "attributes": {
                        "uid": ["jane"], "mail": ["jane@example.com"], "cn": ["Jane"] } }] },
                { "purpose": "groupSearch", "baseDN": "ou=groups,dc=example,dc=com", "scope": "sub",
                    "filter": "(objectClass=groupOfNames)", "baseExists": true, "resultCode": 0,
                    "entries": [{ "dn": "cn=ml,ou=groups,dc=example,dc=com", "attributes": {
                        "cn": ["ml"], "member": ["uid=jane,ou=people,dc=example,dc=com"] } }] }] }]);
        deployment
    }

    /// Dex's configuration with a text in place of another.
    pub(crate) fn told(&mut self, from: &str, to: &str) {
        let map = self.in_namespace("ConfigMap", "auth", "dex");
        let text = map["data"]["config.yaml"].as_str().unwrap();
        assert!(text.contains(from), "{from}");
        map["data"]["config.yaml"] = text.replace(from, to).into();
    }

    /// What oauth2-proxy reads with a text in place of another.
    pub(crate) fn proxy_told(&mut self, from: &str, to: &str) {
        let map = self.in_namespace("ConfigMap", "oauth2-proxy", "oauth2-proxy");
        let text = map["data"]["oauth2_proxy.cfg"].as_str().unwrap();
        assert!(text.contains(from), "{from}");
        map["data"]["oauth2_proxy.cfg"] = text.replace(from, to).into();
    }

    /// The object of this kind and name in a namespace.
    pub(crate) fn in_namespace(&mut self, kind: &str, namespace: &str, name: &str) -> &mut Value {
        let is = |object: &&mut Value| {
            let metadata = &object["metadata"];
            object["kind"] == kind && metadata["name"] == name && metadata["namespace"] == namespace
        };
        self.objects.iter_mut().find(is).unwrap()
    }
}
