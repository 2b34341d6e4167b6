use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
};

use serde_json::{Value, json};

use super::Kind;
use crate::Served;

/// The groups whose objects, in a list, do not say what they are: the API server has types for them.
/// All others are custom resources.
const BUILT_IN: [&str; 18] = [
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "extensions",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
];

/// The kinds that the server has.
pub(super) struct Installed(Vec<Resource>);

/// A kind that the server has, with its objects.
pub(super) struct Resource {
    pub(super) kind: Kind,
    /// In the order of their keys, as a server lists them.
    pub(super) objects: Vec<Object>,
    /// Whether the bundle knows which there are.
    pub(super) is_collected: bool,
}

pub(super) struct Object {
    /// `NAMESPACE/NAME`.
    pub(super) key: String,
    pub(super) body: Value,
}

impl Installed {
    /// The kinds of the bundle's objects, and more where nothing speaks against it.
    pub(super) fn of(served: &Served, errors: &Value, more: Vec<Kind>) -> Self {
        let files: BTreeSet<_> = served.object_files().collect();
        let mut held: BTreeMap<(String, String), Vec<Value>> = BTreeMap::new();
        for object in served.objects() {
            let (group, _) = group_version(&object);
            let kind = object["kind"].as_str().unwrap_or_default();
            held.entry((group.to_owned(), kind.to_owned())).or_default().push(object);
        }
        let mut all: Vec<_> =
            held.into_iter().map(|(of, objects)| Resource::held(&of, objects, &more)).collect();
        let with_objects = all.len();
        for kind in more {
            let is_named = files.contains(&*kind.resource());
            let is_held = all[..with_objects].iter().any(|other| {
                let other = &other.kind;
                let same_group = other.group == kind.group;
                // A kind that has moved to another group is where its objects are. Only the API
                // server's own kinds share a name with others, like Knative's Service.
                let moved = !is_named && is_built_in(&other.group) == is_built_in(&kind.group);
                other.kind == kind.kind && (same_group || moved && other.plural == kind.plural)
            });
            let is_absent = error(errors, &kind, None).is_some_and(|e| e.get("absent").is_some());
            if !is_held && !is_absent && !all.iter().any(|known| known.kind == kind) {
                all.push(Resource { kind, objects: Vec::new(), is_collected: is_named });
            }
        }
        all.sort_by(|a, b| {
            let order = |r: &Resource| (r.kind.group.clone(), r.kind.plural.clone());
            order(a).cmp(&order(b))
        });
        Self(all)
    }

    pub(super) fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Resource> {
        self.in_version(group, version).find(|resource| resource.kind.plural == plural)
    }

    pub(super) fn has(&self, group: &str, version: &str) -> bool {
        (group.is_empty() && version == "v1") || self.in_version(group, version).next().is_some()
    }

    pub(super) fn in_version(&self, group: &str, version: &str) -> impl Iterator<Item = &Resource> {
        let is = move |kind: &Kind| kind.group == group && kind.version == version;
        self.0.iter().filter(move |resource| is(&resource.kind))
    }

    /// The groups except for the first one, which has no name.
    pub(super) fn groups(&self) -> BTreeSet<&str> {
        let groups = self.0.iter().map(|resource| &*resource.kind.group);
        groups.filter(|group| !group.is_empty()).collect()
    }

    /// The versions of a group, the preferred one first.
    pub(super) fn versions(&self, group: &str) -> Vec<&str> {
        let of_group = self.0.iter().filter(|resource| resource.kind.group == group);
        let versions: BTreeSet<_> = of_group.map(|resource| &*resource.kind.version).collect();
        let mut versions: Vec<_> = versions.into_iter().collect();
        versions.sort_by_key(|version| Reverse(priority(version)));
        versions
    }
}

impl Resource {
    /// A kind with its objects, in the version that most of them have.
    fn held((group, kind): &(String, String), objects: Vec<Value>, known: &[Kind]) -> Self {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for object in &objects {
            *counts.entry(group_version(object).1.to_owned()).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(version, count)| (*count, priority(version)));
        let version = most.map(|(version, _)| version).unwrap_or_default();
        let known = known.iter().find(|known| known.group == *group && known.kind == *kind);
        let in_namespace = |object: &Value| object["metadata"]["namespace"].is_string();
        let kind = Kind {
            group: group.clone(),
            version,
            kind: kind.clone(),
            plural: known.map_or_else(|| plural(kind), |known| known.plural.clone()),
            namespaced: known
                .map_or_else(|| objects.iter().any(in_namespace), |known| known.namespaced),
        };
        let object = |body| Object { key: key(&body), body: complete(body, &kind) };
        let mut objects: Vec<_> = objects.into_iter().map(object).collect();
        objects.sort_by(|a, b| a.key.cmp(&b.key));
        objects.dedup_by(|a, b| a.key == b.key);
        Self { kind, objects, is_collected: true }
    }

    /// An object as it stands in a list.
    pub(super) fn as_item(&self, object: &Object) -> Value {
        let mut item = object.body.clone();
        if is_built_in(&self.kind.group)
            && let Some(fields) = item.as_object_mut()
        {
            fields.remove("apiVersion");
            fields.remove("kind");
        }
        item
    }

    /// The objects in a namespace, or all.
    pub(super) fn within<'a>(
        &'a self,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Object> {
        self.objects.iter().filter(move |object| {
            namespace.is_none() || object.body["metadata"]["namespace"].as_str() == namespace
        })
    }
}

/// What the bundle has instead of objects of a kind: `of` is a namespace, a name, or both.
pub(super) fn error<'a>(errors: &'a Value, kind: &Kind, of: Option<&str>) -> Option<&'a Value> {
    let of = of.map(|of| format!("#{of}")).unwrap_or_default();
    let places = [kind.resource(), kind.plural.clone()];
    places.iter().find_map(|place| errors.get(format!("kubernetes/{place}{of}")))
}

fn is_built_in(group: &str) -> bool {
    BUILT_IN.contains(&group)
}

fn group_version(object: &Value) -> (&str, &str) {
    let api_version = object["apiVersion"].as_str().unwrap_or("v1");
    api_version.split_once('/').unwrap_or(("", api_version))
}

fn key(object: &Value) -> String {
    let of = |field| object["metadata"][field].as_str().unwrap_or_default();
    format!("{}/{}", of("namespace"), of("name"))
}

/// With what every object of a server has, also if it was left out of the bundle.
fn complete(mut object: Value, kind: &Kind) -> Value {
    let api_version = kind.api_version();
    if kind.group == "admissionregistration.k8s.io" && group_version(&object).1 == "v1beta1" {
        // Servers write defaults down when an object is made (`v1beta1` `defaults.go`).
        for webhook in object["webhooks"].as_array_mut().into_iter().flatten() {
            if webhook["failurePolicy"].is_null() {
                webhook["failurePolicy"] = json!("Ignore");
            }
        }
    }
    object["apiVersion"] = json!(api_version);
    object["kind"] = json!(kind.kind);
    let key = key(&object);
    let metadata = &mut object["metadata"];
    if metadata["uid"].is_null() {
        metadata["uid"] = json!(uid(kind, &key));
    }
    if metadata["resourceVersion"].is_null() {
        metadata["resourceVersion"] = json!("1");
    }
    // Clients must leave it out: it is half of what a server sends, and says nothing of the object.
    let entry = json!({
        "manager": "kubectl-client-side-apply",
        "operation": "Update",
        "apiVersion": api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": { "f:metadata": { "f:labels": { ".": {} } } },
    });
    match metadata["managedFields"].as_array_mut() {
        Some(entries) => entries.push(entry),
        None => metadata["managedFields"] = json!([entry]),
    }
    object
}

fn uid(kind: &Kind, key: &str) -> String {
    let mut hasher = DefaultHasher::new();
    (&kind.group, &kind.kind, key).hash(&mut hasher);
    let digits = format!("{:016x}", hasher.finish());
    format!("{}-{}-4{}-8000-000000000000", &digits[..8], &digits[8..12], &digits[13..])
}

/// A version's place among others: `v2` before `v1` before `v1beta2` before `v1alpha1` (Kubernetes
/// documentation, "Versions in CustomResourceDefinitions").
fn priority(version: &str) -> (u8, u32, u32) {
    let number = |text: &str| text.parse().unwrap_or(0);
    let Some(rest) = version.strip_prefix('v') else { return (0, 0, 0) };
    if let Some((major, minor)) = rest.split_once("beta") {
        (2, number(major), number(minor))
    } else if let Some((major, minor)) = rest.split_once("alpha") {
        (1, number(major), number(minor))
    } else {
        (3, number(rest), 0)
    }
}

/// What a kind is called in paths, where nobody has said it.
fn plural(kind: &str) -> String {
    let one = kind.to_lowercase();
    if one.ends_with("endpoints") {
        return one;
    }
    if let Some(stem) = one.strip_suffix('y')
        && !stem.ends_with(['a', 'e', 'i', 'o', 'u'])
    {
        return format!("{stem}ies");
    }
    let end = if ["s", "x", "ch", "sh"].iter().any(|end| one.ends_with(end)) { "es" } else { "s" };
    one + end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plurals_are_english() {
        let all = ["Ingress", "Gateway", "Policy", "Endpoints", "EndpointSlice", "Pod"].map(plural);
        let expected = ["ingresses", "gateways", "policies", "endpoints", "endpointslices", "pods"];
        assert_eq!(all, expected);
    }

    #[test]
    fn finished_versions_come_before_unfinished_ones() {
        let mut all = ["v1alpha3", "v1", "v1beta1", "v2", "v1beta2", "odd"];
        all.sort_by_key(|version| Reverse(priority(version)));
        assert_eq!(all, ["v2", "v1", "v1beta2", "v1beta1", "v1alpha3", "odd"]);
    }
}
