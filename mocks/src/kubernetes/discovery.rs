//! What is installed, in both forms in which servers say it.

use axum::response::Response;
use http::{header::ACCEPT, request::Parts};
use serde_json::{Value, json};

use super::{Cluster, Failure, Query, Resource, json_answer, no_such_page, typed_answer};

const VERBS: [&str; 8] =
    ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// How all of discovery fits into two answers, as a server from 1.26 on offers it.
#[derive(Clone, Copy)]
enum Aggregated {
    V2,
    V2Beta1,
}

impl Aggregated {
    /// The form that the client would rather have than the plain one.
    fn wanted(head: &Parts) -> Option<Self> {
        let accept = head.headers.get(ACCEPT)?.to_str().ok()?;
        for media_type in accept.split(',') {
            let mut parts = media_type.split(';').map(str::trim);
            let essence = parts.next().unwrap_or_default();
            let parts: Vec<_> = parts.collect();
            let is = |part| parts.contains(&part);
            if essence != "application/json" {
                continue;
            }
            if !is("as=APIGroupDiscoveryList") || !is("g=apidiscovery.k8s.io") {
                return None;
            }
            if is("v=v2") {
                return Some(Self::V2);
            }
            if is("v=v2beta1") {
                return Some(Self::V2Beta1);
            }
        }
        None
    }

    fn answer(self, groups: &[Value]) -> Response {
        let (version, content_type) = match self {
            Self::V2 => {
                ("v2", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
            }
            Self::V2Beta1 => (
                "v2beta1",
                "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
            ),
        };
        let body = json!({
            "kind": "APIGroupDiscoveryList",
            "apiVersion": format!("apidiscovery.k8s.io/{version}"),
            "metadata": {},
            "items": groups,
        });
        typed_answer(content_type, body.to_string())
    }
}

impl Cluster {
    /// `/api`.
    pub(super) fn core(&self, head: &Parts) -> Result<Response, Failure> {
        Query::of(head, &["timeout"])?;
        if let Some(form) = self.aggregated(head) {
            return Ok(form.answer(&[self.aggregated_group("")]));
        }
        Ok(json_answer(&json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [],
        })))
    }

    /// `/apis`.
    pub(super) fn groups(&self, head: &Parts) -> Result<Response, Failure> {
        Query::of(head, &["timeout"])?;
        let groups = self.installed.groups().into_iter();
        if let Some(form) = self.aggregated(head) {
            let groups: Vec<_> = groups.map(|group| self.aggregated_group(group)).collect();
            return Ok(form.answer(&groups));
        }
        let groups: Vec<_> = groups.map(|group| self.plain_group(group)).collect();
        Ok(json_answer(&json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })))
    }

    /// `/apis/GROUP`.
    pub(super) fn group(&self, head: &Parts, group: &str) -> Result<Response, Failure> {
        Query::of(head, &["timeout"])?;
        if !self.installed.groups().contains(group) {
            return Ok(no_such_page());
        }
        let mut answer = self.plain_group(group);
        answer["kind"] = json!("APIGroup");
        answer["apiVersion"] = json!("v1");
        Ok(json_answer(&answer))
    }

    /// `/api/v1` and `/apis/GROUP/VERSION`.
    pub(super) fn resources(
        &self,
        head: &Parts,
        group: &str,
        version: &str,
    ) -> Result<Response, Failure> {
        Query::of(head, &["timeout"])?;
        if !self.installed.has(group, version) {
            return Ok(no_such_page());
        }
        let mut resources = Vec::new();
        for Resource { kind, .. } in self.installed.in_version(group, version) {
            resources.push(json!({
                "name": kind.plural,
                "singularName": kind.kind.to_lowercase(),
                "namespaced": kind.namespaced,
                "kind": kind.kind,
                "verbs": VERBS,
                "categories": categories(group),
            }));
            if group.is_empty() && kind.plural == "pods" {
                resources.extend(subresources_of_pods().map(|(name, kind, verbs)| {
                    json!({
                        "name": format!("pods/{name}"),
                        "singularName": "",
                        "namespaced": true,
                        "kind": kind,
                        "verbs": verbs,
                    })
                }));
            }
        }
        let group_version =
            if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        Ok(json_answer(&json!({
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": group_version,
            "resources": resources,
        })))
    }

    fn aggregated(&self, head: &Parts) -> Option<Aggregated> {
        Aggregated::wanted(head).filter(|_| self.aggregated)
    }

    fn plain_group(&self, group: &str) -> Value {
        let version = |v: &&str| json!({ "groupVersion": format!("{group}/{v}"), "version": v });
        let versions: Vec<_> = self.installed.versions(group).iter().map(version).collect();
        let preferred = versions.first().cloned();
        json!({ "name": group, "versions": versions, "preferredVersion": preferred })
    }

    fn aggregated_group(&self, group: &str) -> Value {
        let mut versions = self.installed.versions(group);
        if group.is_empty() {
            // It is there even if nothing is in it.
            versions = vec!["v1"];
        }
        let version = |version: &&str| {
            let resources = self.installed.in_version(group, version).map(aggregated_resource);
            let resources: Vec<_> = resources.collect();
            json!({ "version": version, "freshness": "Current", "resources": resources })
        };
        let versions: Vec<_> = versions.iter().map(version).collect();
        let metadata = if group.is_empty() { json!({}) } else { json!({ "name": group }) };
        json!({ "metadata": metadata, "versions": versions })
    }
}

fn aggregated_resource(Resource { kind, .. }: &Resource) -> Value {
    let mut resource = json!({
        "resource": kind.plural,
        "responseKind": { "group": kind.group, "version": kind.version, "kind": kind.kind },
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.kind.to_lowercase(),
        "verbs": VERBS,
        "categories": categories(&kind.group),
    });
    if kind.group.is_empty() && kind.plural == "pods" {
        let subresources = subresources_of_pods().map(|(name, kind, verbs)| {
            let kind = json!({ "group": "", "version": "v1", "kind": kind });
            json!({ "subresource": name, "responseKind": kind, "verbs": verbs })
        });
        resource["subresources"] = json!(subresources);
    }
    resource
}

/// Under which other names `kubectl get` finds the kinds of a group: Config Connector's definitions
/// name one.
fn categories(group: &str) -> &'static [&'static str] {
    if group.ends_with(".cnrm.cloud.google.com") { &["gcp"] } else { &[] }
}

fn subresources_of_pods() -> [(&'static str, &'static str, &'static [&'static str]); 2] {
    [("exec", "PodExecOptions", &["create", "get"]), ("log", "Pod", &["get"])]
}
