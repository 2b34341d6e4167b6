//! Compute Engine.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{Cloud, after, call::Call, failure::Failure, listed, page::Page};

/// Answers every collection's `list`, `aggregatedList` and `get`, and what is asked of backend
/// services, network endpoint groups, networks and routers besides.
pub(super) fn answer(cloud: &Cloud, call: &Call<'_>) -> Result<Value, Failure> {
    let compute = Compute { cloud, call };
    let (scope, rest) = scope(&call.path);
    match (call.route.verb(), rest) {
        ("get", []) => compute.project(),
        ("aggregatedList", ["aggregated", collection]) => compute.aggregated(collection),
        ("list", [collection]) => compute.list(collection, scope.as_deref()),
        ("get", [collection, name]) => compute.get(collection, scope.as_deref(), name),
        ("getEffectiveFirewalls", ["networks", name, _]) => {
            cloud.holdings.entry("gcp/compute/effectiveFirewalls", name)
        }
        ("getHealth", ["backendServices", name, _]) => compute.health(name),
        ("listNetworkEndpoints", ["networkEndpointGroups", name, _]) => {
            compute.endpoints(scope.as_deref().unwrap_or_default(), name)
        }
        ("getRouterStatus", ["routers", name, _]) => {
            let region = scope.as_deref().and_then(|scope| scope.strip_prefix("regions/"));
            let name = format!("{}/{name}", region.unwrap_or_default());
            cloud.holdings.entry("gcp/compute/routerStatus", &name)
        }
        _ => Err(call.unanswered()),
    }
}

/// Where in the project: `global`, `regions/R`, `zones/Z`; and what is asked for there. Regions and
/// zones themselves are nowhere.
fn scope<'a, 'b>(path: &'b [&'a str]) -> (Option<String>, &'b [&'a str]) {
    match path {
        ["global", rest @ ..] => (Some("global".to_owned()), rest),
        [kind @ ("regions" | "zones"), name, rest @ ..] if !rest.is_empty() => {
            (Some(format!("{kind}/{name}")), rest)
        }
        _ => (None, path),
    }
}

/// Where an item is: `global`, `regions/R`, `zones/Z`.
fn scope_of(item: &Value) -> String {
    for kind in ["zone", "region"] {
        let marker = format!("/{kind}s/");
        let link = item["selfLink"].as_str().and_then(|link| after(link, &marker));
        let named = item[kind].as_str().and_then(|named| named.rsplit('/').next());
        if let Some(name) = link.or(named) {
            return format!("{kind}s/{name}");
        }
    }
    "global".to_owned()
}

/// What of a URL stays the same, whatever name the API goes by.
fn resource(url: &str) -> &str {
    url.split_once("/projects/").map_or(url, |(_, rest)| rest)
}

/// One call.
struct Compute<'a> {
    cloud: &'a Cloud,
    call: &'a Call<'a>,
}

impl Compute<'_> {
    /// The items of a file that belong to the project.
    fn items(&self, collection: &str) -> Result<Vec<Value>, Failure> {
        self.cloud.holdings.items(&format!("gcp/compute/{collection}"), self.call.project())
    }

    fn page(&self) -> Page<'_> {
        let size = self.call.query("maxResults").and_then(|size| size.parse().ok());
        Page::of(size, self.call.query("pageToken"), self.cloud.page_size)
    }

    /// The answer with what every list says of itself.
    fn enveloped(&self, mut answer: Value) -> Value {
        let path = self.call.resource();
        answer["selfLink"] = json!(format!("https://www.googleapis.com/compute/v1/{path}"));
        answer["id"] = json!(path);
        answer
    }

    fn project(&self) -> Result<Value, Failure> {
        let project = self.cloud.holdings.file("gcp/compute/project")?;
        let owner = || self.cloud.holdings.owner(&project);
        let name = project["name"].as_str().unwrap_or_else(owner);
        if name == self.call.project() {
            return Ok(project);
        }
        Err(Failure::NotHeld(format!("gcp/compute/project of {}", self.call.project())))
    }

    fn list(&self, collection: &str, scope: Option<&str>) -> Result<Value, Failure> {
        self.call.refuse(&["filter", "orderBy"])?;
        let mut items = self.items(collection)?;
        if let Some(scope) = scope {
            self.cloud.holdings.check(&format!("gcp/compute/{collection}#{scope}"))?;
            items.retain(|item| scope_of(item) == scope);
        }
        Ok(self.enveloped(listed("items", self.page().cut(items)?)))
    }

    fn get(&self, collection: &str, scope: Option<&str>, name: &str) -> Result<Value, Failure> {
        let named = |item: &Value| {
            item["name"] == name && scope.is_none_or(|scope| scope_of(item) == scope)
        };
        let found = self.items(collection)?.into_iter().find(named);
        found.ok_or_else(|| Failure::NotFound(self.call.resource()))
    }

    /// Items by scope. A scope that has none on the page says so in a warning. One that doesn't
    /// answer is named, as if `returnPartialSuccess` were asked for: since version 2026-09-01 of the
    /// API it always is (release notes of google-cloud-go, compute v1.71.0).
    fn aggregated(&self, collection: &str) -> Result<Value, Failure> {
        self.call.refuse(&["filter", "orderBy"])?;
        let schemas = &self.call.route.api.schemas;
        let Some(field) = schemas.scope_field(&self.call.route.method.response) else {
            return Err(self.call.unanswered());
        };
        let items = self.items(collection)?;
        let unreachable = self.cloud.holdings.unreachable(&format!("gcp/compute/{collection}"));
        let mut items: Vec<_> = items.into_iter().map(|item| (scope_of(&item), item)).collect();
        items.retain(|(scope, _)| !unreachable.contains(scope));
        items.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut scopes: BTreeSet<_> = items.iter().map(|(scope, _)| scope.clone()).collect();
        scopes.extend(self.scopes(collection).into_iter().filter(|s| !unreachable.contains(s)));

        let (page, next) = self.page().cut(items)?;
        let mut by_scope: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (scope, item) in page {
            by_scope.entry(scope).or_default().push(item);
        }
        let mut answer = Map::new();
        for scope in scopes {
            let part = match by_scope.remove(&scope) {
                Some(items) => json!({ field: items }),
                None => warning(&scope),
            };
            answer.insert(scope, part);
        }
        let mut answer = json!({ "items": answer });
        if let Some(next) = next {
            answer["nextPageToken"] = json!(next);
        }
        if !unreachable.is_empty() {
            answer["unreachables"] = json!(unreachable);
        }
        Ok(self.enveloped(answer))
    }

    /// Scopes that a collection may have items in: it is listed there, too.
    fn scopes(&self, collection: &str) -> Vec<String> {
        let location = self.cloud.holdings.location.as_deref().unwrap_or("us-central1-a");
        let region = match location.rsplit_once('-') {
            Some((region, zone)) if zone.len() == 1 => region,
            _ => location,
        };
        let zone = if region == location { format!("{region}-a") } else { location.to_owned() };
        let scopes = ["global".to_owned(), format!("regions/{region}"), format!("zones/{zone}")];
        let listed = |scope: &String| {
            let path = format!("/compute/v1/projects/{}/{scope}/{collection}", self.call.project());
            let route = self.cloud.documents.find("GET", &path);
            route.is_some_and(|route| route.verb() == "list")
        };
        scopes.into_iter().filter(listed).collect()
    }

    /// The health of the group that the request names. Where nothing is known, Google's answer has
    /// no list.
    fn health(&self, name: &str) -> Result<Value, Failure> {
        let groups = self.cloud.holdings.entry("gcp/compute/backendServiceHealth", name)?;
        let asked = self.call.body["group"].as_str().map(resource);
        let same = |url: &Value| asked.is_some() && url.as_str().map(resource) == asked;
        let mut groups = groups.as_array().into_iter().flatten();
        if let Some(group) = groups.find(|group| same(&group["backend"])) {
            let status = &group["status"];
            return Ok(if status.is_object() { status.clone() } else { json!({}) });
        }
        let services = self.items("backendServices").unwrap_or_default();
        let service = services.into_iter().filter(|service| service["name"] == name);
        let backends = service.flat_map(|mut service| match service["backends"].take() {
            Value::Array(backends) => backends,
            _ => Vec::new(),
        });
        if backends.into_iter().any(|backend| same(&backend["group"])) {
            return Ok(json!({}));
        }
        Err(Failure::Invalid("Invalid value for field 'resource.group'.".to_owned()))
    }

    /// The endpoints of a group. The file has those of all its twins, one in every zone, together:
    /// the first has them all.
    fn endpoints(&self, scope: &str, name: &str) -> Result<Value, Failure> {
        self.call.refuse(&["filter", "orderBy"])?;
        let endpoints = self.cloud.holdings.entry("gcp/compute/networkEndpoints", name)?;
        let mut endpoints = endpoints.as_array().cloned().unwrap_or_default();
        if let Ok(groups) = self.items("networkEndpointGroups") {
            let twins = groups.iter().filter(|group| group["name"] == name);
            let scopes: BTreeSet<_> = twins.map(scope_of).collect();
            if !scopes.contains(scope) {
                let group = format!("{scope}/networkEndpointGroups/{name}");
                let project = self.call.project();
                return Err(Failure::NotFound(format!("projects/{project}/{group}")));
            }
            if scopes.first().is_some_and(|first| first != scope) {
                endpoints.clear();
            }
        }
        Ok(self.enveloped(listed("items", self.page().cut(endpoints)?)))
    }
}

/// What a scope says in place of items.
fn warning(scope: &str) -> Value {
    json!({ "warning": {
        "code": "NO_RESULTS_ON_PAGE",
        "message": format!("There are no results for scope '{scope}' on this page."),
        "data": [{ "key": "scope", "value": scope }],
    } })
}
