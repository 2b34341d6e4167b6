use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Metadata, Port, ServicePort, null_is_empty};
use crate::object;

/// A Gateway of Istio's.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Gateway {
    /// Its name.
    pub metadata: Metadata,
    /// What it asks for.
    #[serde(deserialize_with = "null_is_empty")]
    pub spec: GatewaySpec,
}

object!(Gateway, ["networking.istio.io"], "v1", "gateways", "Gateway", true);

/// What a Gateway asks for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GatewaySpec {
    /// The labels of the pods that it configures, in whatever namespace.
    #[serde(deserialize_with = "null_is_empty")]
    pub selector: BTreeMap<String, String>,
    /// What they listen for.
    #[serde(deserialize_with = "null_is_empty")]
    pub servers: Vec<GatewayServer>,
}

/// One listener of a Gateway.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GatewayServer {
    /// Which hosts, each maybe behind `NAMESPACE/`.
    #[serde(deserialize_with = "null_is_empty")]
    pub hosts: Vec<String>,
    /// Which port of the gateway's Service.
    #[serde(deserialize_with = "null_is_empty")]
    pub port: GatewayPort,
    /// How TLS ends here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<GatewayTls>,
}

/// A port of a Gateway.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GatewayPort {
    /// Its number.
    pub number: u16,
    /// What is spoken there.
    pub protocol: String,
}

/// How TLS ends at a Gateway.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayTls {
    /// `SIMPLE`, `MUTUAL`, `OPTIONAL_MUTUAL`, `PASSTHROUGH`, `AUTO_PASSTHROUGH` or `ISTIO_MUTUAL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Whether requests are sent to the HTTPS port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub https_redirect: Option<bool>,
    /// The Secret that holds the certificate, in the namespace of the gateway's pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential_name: Option<String>,
    /// The certificate, as a file in the gateway's pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_certificate: Option<String>,
    /// Its key, as a file in the gateway's pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_key: Option<String>,
    /// Whose certificates clients have to show, as a file in the gateway's pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_certificates: Option<String>,
}

impl GatewayServer {
    /// How TLS ends here; nothing where it is passed on, or isn't spoken at all.
    pub fn ends_tls(&self) -> Option<&GatewayTls> {
        let ends = |tls: &&GatewayTls| {
            tls.mode.as_deref().is_none_or(|mode| mode == "SIMPLE" || mode.ends_with("MUTUAL"))
        };
        let speaks = ["HTTPS", "TLS"].contains(&&*self.port.protocol.to_ascii_uppercase());
        self.tls.as_ref().filter(ends).filter(|_| speaks)
    }

    /// Whether requests for `host` are for it.
    pub fn takes(&self, host: &str) -> bool {
        let mut names = self.hosts.iter().map(|name| name.rsplit('/').next().unwrap_or(name));
        names.any(|name| name == "*" || is_within(host, name))
    }

    /// Whether it listens on `port` of the gateway's Service: Istio takes either number.
    pub fn is_on(&self, port: &ServicePort) -> bool {
        let number = Port::Number(self.port.number);
        port.port == self.port.number || port.target_port.as_ref() == Some(&number)
    }
}

/// Whether Istio takes `host` for one of `name`, whose `*` stands for as many labels as there are.
fn is_within(host: &str, name: &str) -> bool {
    match name.strip_prefix('*') {
        Some(end) => host.to_ascii_lowercase().ends_with(&end.to_ascii_lowercase()),
        None => name.eq_ignore_ascii_case(host),
    }
}

impl GatewayTls {
    /// The files that it takes, in the gateway's pods.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        let asks_back = self.mode.as_deref().is_some_and(|mode| mode.ends_with("MUTUAL"));
        let clients = self.ca_certificates.as_ref().filter(|_| asks_back);
        let files = [&self.server_certificate, &self.private_key].into_iter().flatten();
        files.chain(clients).map(String::as_str).filter(|file| !file.is_empty())
    }
}

/// A VirtualService of Istio's.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct VirtualService {
    /// Its name.
    pub metadata: Metadata,
    /// What it asks for.
    #[serde(deserialize_with = "null_is_empty")]
    pub spec: VirtualServiceSpec,
}

object!(VirtualService, ["networking.istio.io"], "v1", "virtualservices", "VirtualService", true);

/// What a VirtualService asks for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct VirtualServiceSpec {
    /// For which hosts.
    #[serde(deserialize_with = "null_is_empty")]
    pub hosts: Vec<String>,
    /// At which Gateways: `NAME`, `NAMESPACE/NAME` or `mesh`.
    #[serde(deserialize_with = "null_is_empty")]
    pub gateways: Vec<String>,
    /// Which requests go where.
    #[serde(deserialize_with = "null_is_empty")]
    pub http: Vec<HttpRoute>,
}

/// Where some requests go.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRoute {
    /// Which; none at all: every one.
    #[serde(rename = "match", deserialize_with = "null_is_empty")]
    pub matches: Vec<HttpMatch>,
    /// Where to.
    #[serde(deserialize_with = "null_is_empty")]
    pub route: Vec<RouteDestination>,
}

/// Which requests a route is for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HttpMatch {
    /// By path: `prefix`, `exact` or `regex`.
    #[serde(deserialize_with = "null_is_empty")]
    pub uri: BTreeMap<String, String>,
}

/// Where a route goes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteDestination {
    /// Which Service.
    #[serde(deserialize_with = "null_is_empty")]
    pub destination: Destination,
}

/// A Service as Istio names it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Destination {
    /// A short name is in the VirtualService's namespace.
    pub host: String,
    /// None: its only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<DestinationPort>,
}

/// A port of a destination.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DestinationPort {
    /// Its number.
    pub number: u16,
}

impl VirtualService {
    /// The Gateways it is bound to, each as namespace and name; the mesh itself is none.
    pub fn gateways(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = self.metadata.namespace();
        let bound = self.spec.gateways.iter().filter(|name| *name != "mesh");
        bound.map(move |name| match name.split_once('/') {
            Some((".", name)) => (own, name),
            Some((namespace, name)) => (namespace, name),
            None => old_gateway_name(name).unwrap_or((own, name)),
        })
    }

    /// Where its requests go.
    pub fn destinations(&self) -> impl Iterator<Item = &Destination> {
        self.spec.http.iter().flat_map(|http| &http.route).map(|route| &route.destination)
    }

    /// Whether it answers a request for `/`.
    pub fn takes_root(&self) -> bool {
        let root = |m: &HttpMatch| {
            m.uri.is_empty() || m.uri.iter().any(|(how, path)| how != "regex" && path == "/")
        };
        let routes = &self.spec.http;
        routes.iter().any(|http| http.matches.is_empty() || http.matches.iter().any(root))
    }
}

/// `gateway.namespace.svc.cluster.local`, as Istio before 1.2 spelled it.
fn old_gateway_name(name: &str) -> Option<(&str, &str)> {
    let (name, namespace) = name.strip_suffix(".svc.cluster.local")?.split_once('.')?;
    Some((namespace, name))
}

impl Destination {
    /// The Service in this cluster, as namespace and name, if it is one. Istio completes only names
    /// without a dot; another one may be a ServiceEntry's.
    pub fn service<'a>(&'a self, namespace: &'a str) -> Option<(&'a str, &'a str)> {
        let parts: Vec<_> = self.host.trim_end_matches('.').split('.').collect();
        match parts[..] {
            [""] => None,
            [name] => Some((namespace, name)),
            [name, namespace, "svc", ..] => Some((namespace, name)),
            _ => None,
        }
    }
}

/// Who must show which token, in Istio from 1.5 on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestAuthentication {
    /// Its name.
    pub metadata: Metadata,
    /// What it asks for.
    #[serde(deserialize_with = "null_is_empty")]
    pub spec: RequestAuthenticationSpec,
}

object!(
    RequestAuthentication,
    ["security.istio.io"],
    "v1",
    "requestauthentications",
    "RequestAuthentication",
    true
);

/// What a RequestAuthentication asks for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestAuthenticationSpec {
    /// The pods that it is for; none at all: the whole namespace.
    #[serde(deserialize_with = "null_is_empty")]
    pub selector: WorkloadSelector,
    /// Whose tokens.
    #[serde(deserialize_with = "null_is_empty")]
    pub jwt_rules: Vec<JwtRule>,
}

/// Some pods.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadSelector {
    /// Their labels.
    #[serde(deserialize_with = "null_is_empty")]
    pub match_labels: BTreeMap<String, String>,
}

/// Whose tokens are taken.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JwtRule {
    /// Who wrote them.
    pub issuer: String,
    /// For whom.
    #[serde(deserialize_with = "null_is_empty")]
    pub audiences: Vec<String>,
    /// Where the issuer's keys are.
    #[serde(alias = "jwks_uri", skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
}

/// Who must show which token, in Istio before 1.6.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// Its name.
    pub metadata: Metadata,
    /// What it asks for.
    #[serde(deserialize_with = "null_is_empty")]
    pub spec: PolicySpec,
}

object!(Policy, ["authentication.istio.io"], "v1alpha1", "policies", "Policy", true);

/// What a Policy asks for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PolicySpec {
    /// Whose tokens.
    #[serde(deserialize_with = "null_is_empty")]
    pub origins: Vec<Origin>,
}

/// Whose tokens a Policy takes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// Whose.
    #[serde(deserialize_with = "null_is_empty")]
    pub jwt: JwtRule,
}
