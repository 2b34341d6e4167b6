use std::collections::BTreeMap;

use kfcheck::{Named, Resource};
use serde::{Deserialize, Serialize};

use super::{Link, compute, named, resource};

compute! {
    /// The addresses that the project has reserved.
    Addresses, "addresses", "addresses" => Address, OurProject, aggregated Addresses.addresses
}

/// One reserved address.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Address {
    /// What an Ingress calls it.
    pub name: String,
    /// The address itself.
    pub address: String,
    /// None: global.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<Link>,
    /// `RESERVED` or `IN_USE`.
    pub status: String,
    /// What stands behind it.
    pub users: Vec<Link>,
}

compute! {
    /// Which address and port go to which proxy.
    ForwardingRules, "forwardingRules", "forwarding-rules" => ForwardingRule, OurProject, aggregated ForwardingRules.forwarding_rules
}

/// Which address and port go to which proxy.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ForwardingRule {
    /// Its name.
    pub name: String,
    /// The address.
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    /// `EXTERNAL`, `EXTERNAL_MANAGED`, `INTERNAL_MANAGED`.
    pub load_balancing_scheme: String,
    /// From and to, as in `443-443`.
    pub port_range: String,
    /// The proxy.
    pub target: Link,
    /// The network, of an internal one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Link>,
}

impl ForwardingRule {
    /// Whether it listens on this port.
    pub fn listens_on(&self, port: u16) -> bool {
        let (first, last) = self.port_range.split_once('-').unwrap_or((&self.port_range, ""));
        let last = if last.is_empty() { first } else { last };
        match (first.parse::<u16>(), last.parse::<u16>()) {
            (Ok(first), Ok(last)) => (first..=last).contains(&port),
            _ => false,
        }
    }
}

compute! {
    /// The proxies that end TLS.
    TargetHttpsProxies, "targetHttpsProxies", "target-https-proxies" => Proxy, OurProject, aggregated TargetHttpsProxies.target_https_proxies
}

compute! {
    /// The proxies for plain HTTP.
    TargetHttpProxies, "targetHttpProxies", "target-http-proxies" => Proxy, OurProject, aggregated TargetHttpProxies.target_http_proxies
}

/// A proxy of either sort.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Proxy {
    /// Its name.
    pub name: String,
    /// Itself.
    pub self_link: Link,
    /// Where it looks up what to do with a request.
    pub url_map: Link,
    /// What it shows to clients.
    pub ssl_certificates: Vec<Link>,
    /// What it shows to clients, by a map of Certificate Manager's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_map: Option<String>,
}

impl Named for Proxy {
    fn resource(&self) -> Resource {
        let tls = self.self_link.after("targetHttpsProxies").is_some();
        let kind = if tls { "TargetHttpsProxy" } else { "TargetHttpProxy" };
        resource(kind, &self.name)
    }
}

compute! {
    /// Which requests go to which backend service.
    UrlMaps, "urlMaps", "url-maps" => UrlMap, OurProject, aggregated UrlMaps.url_maps
}

/// Which requests go to which backend service.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UrlMap {
    /// Its name.
    pub name: String,
    /// Itself.
    pub self_link: Link,
    /// For all other requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_service: Option<Link>,
    host_rules: Vec<HostRule>,
    path_matchers: Vec<PathMatcher>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct HostRule {
    hosts: Vec<String>,
    path_matcher: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PathMatcher {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_service: Option<Link>,
    path_rules: Vec<PathRule>,
    route_rules: Vec<RouteRule>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PathRule {
    paths: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<Link>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route_action: Option<RouteAction>,
}

/// Where some requests go, on the load balancers that are made of Envoy.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RouteRule {
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<Link>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route_action: Option<RouteAction>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RouteAction {
    weighted_backend_services: Vec<WeightedBackend>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WeightedBackend {
    backend_service: Link,
}

impl PathMatcher {
    /// The backend services that its rules name.
    fn named(&self) -> impl Iterator<Item = &Link> {
        let paths = self.path_rules.iter().map(|rule| (&rule.service, &rule.route_action));
        let routes = self.route_rules.iter().map(|rule| (&rule.service, &rule.route_action));
        paths.chain(routes).flat_map(|(service, action)| {
            let weighted = action.iter().flat_map(|action| &action.weighted_backend_services);
            service.iter().chain(weighted.map(|to| &to.backend_service))
        })
    }
}

impl UrlMap {
    /// The backend services that requests for `host` can reach.
    pub fn services(&self, host: &str) -> Vec<&Link> {
        let takes = |pattern: &String| pattern == "*" || kfcheck_kube::covers(pattern, host);
        let exact = self.host_rules.iter().find(|rule| rule.hosts.iter().any(|h| h == host));
        let rule = exact.or_else(|| self.host_rules.iter().find(|r| r.hosts.iter().any(takes)));
        let matcher =
            rule.and_then(|r| self.path_matchers.iter().find(|m| m.name == r.path_matcher));
        let Some(matcher) = matcher else { return self.default_service.iter().collect() };
        let everything = matcher.path_rules.iter().any(|r| r.paths.iter().any(|path| path == "/*"));
        let default = matcher.default_service.iter().filter(|_| !everything);
        matcher.named().chain(default).collect()
    }

    /// Every backend service that it names.
    pub fn all_services(&self) -> Vec<&Link> {
        let matchers = self.path_matchers.iter();
        let in_matchers =
            matchers.flat_map(|matcher| matcher.named().chain(&matcher.default_service));
        in_matchers.chain(&self.default_service).collect()
    }
}

compute! {
    /// The certificates of the project's load balancers.
    SslCertificates, "sslCertificates", "ssl-certificates" => SslCertificate, OurProject, aggregated SslCertificates.ssl_certificates
}

/// One certificate of a load balancer. Google keeps the key; the certificate itself isn't read.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SslCertificate {
    /// Its name.
    pub name: String,
    /// Itself.
    pub self_link: Link,
    /// `MANAGED` or `SELF_MANAGED`.
    #[serde(rename = "type")]
    pub kind: String,
    /// How a managed one goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed: Option<Managed>,
    /// The names it is for.
    pub subject_alternative_names: Vec<String>,
    /// Until when, as the API spells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expire_time: Option<String>,
}

/// How a managed certificate goes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Managed {
    /// `ACTIVE`, `PROVISIONING`, `PROVISIONING_FAILED`, …
    pub status: String,
    /// The names it is for.
    pub domains: Vec<String>,
    /// The same for each name.
    pub domain_status: BTreeMap<String, String>,
}

named!(Address, ForwardingRule, UrlMap, SslCertificate);
