use std::{collections::BTreeMap, io, path::Path};

use serde_json::{Map, Value};

use super::schema::Schemas;

/// The documents that are read, by the names that google-api-python-client gives them.
/// A path that two of them have is the first one's.
const NAMES: [&str; 5] =
    ["compute.v1", "container.v1", "dns.v1", "logging.v2", "certificatemanager.v1"];

/// Google's discovery documents: the methods of its APIs, what they take and what they give.
pub struct Documents {
    apis: Vec<Api>,
}

/// One API.
pub(super) struct Api {
    /// `compute`.
    pub(super) name: String,
    /// The query parameters that every method takes.
    pub(super) parameters: Map<String, Value>,
    pub(super) schemas: Schemas,
    methods: Vec<Method>,
}

/// One method of an API.
pub(super) struct Method {
    /// `compute.firewalls.list`.
    pub(super) id: String,
    /// What it takes in its query.
    pub(super) parameters: Map<String, Value>,
    /// The schema of its request; empty: it takes none.
    pub(super) request: String,
    /// The schema of its answer.
    pub(super) response: String,
    /// Any of these makes a token good for it.
    pub(super) scopes: Vec<String>,
    /// Whether it takes `$apiVersion`.
    pub(super) versioned: bool,
    http: String,
    path: Vec<Segment>,
}

enum Segment {
    Literal(String),
    /// `{name}:verb`; the verb is empty where there is none.
    Variable(String, String),
}

/// A method that a request is for.
pub(super) struct Route<'a> {
    pub(super) api: &'a Api,
    pub(super) method: &'a Method,
    values: BTreeMap<&'a str, String>,
}

impl Documents {
    /// Reads the documents in a folder: `compute.v1.json` and its like. It takes a while, so do it
    /// once.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let read = |name: &&str| {
            let path = folder.join(format!("{name}.json"));
            let wrong = |what: String| io::Error::other(format!("{}: {what}", path.display()));
            let bytes = std::fs::read(&path).map_err(|error| wrong(error.to_string()))?;
            let document = serde_json::from_slice(&bytes).map_err(|e| wrong(e.to_string()))?;
            Ok(Api::of(document))
        };
        Ok(Self { apis: NAMES.iter().map(read).collect::<io::Result<_>>()? })
    }

    /// The method that a request is for. Where several fit, the one that leaves least open.
    pub(super) fn find(&self, http: &str, path: &str) -> Option<Route<'_>> {
        let asked: Vec<_> = path.trim_start_matches('/').split('/').collect();
        let all = self.apis.iter().flat_map(|api| api.methods.iter().map(move |m| (api, m)));
        let fitting = all.filter(|(_, method)| method.http == http).filter_map(|(api, method)| {
            let values = method.take(&asked)?;
            Some(Route { api, method, values })
        });
        fitting.min_by_key(|route| route.values.len())
    }
}

impl Api {
    fn of(mut document: Value) -> Self {
        let mut methods = Vec::new();
        let service = text(&document["servicePath"]);
        collect_methods(&mut document, &service, &mut methods);
        Self {
            name: text(&document["name"]),
            parameters: object(&mut document["parameters"]),
            schemas: Schemas::of(object(&mut document["schemas"])),
            methods,
        }
    }
}

/// The methods of a resource and of those below it.
fn collect_methods(resource: &mut Value, service: &str, all: &mut Vec<Method>) {
    let methods = object(&mut resource["methods"]);
    all.extend(methods.into_values().map(|method| Method::of(method, service)));
    for mut child in object(&mut resource["resources"]).into_values() {
        collect_methods(&mut child, service, all);
    }
}

impl Method {
    fn of(mut method: Value, service: &str) -> Self {
        let path = [&method["flatPath"], &method["path"]].into_iter().find(|path| path.is_string());
        let path = format!("{service}{}", text(path.unwrap_or(&Value::Null)));
        Self {
            id: text(&method["id"]),
            request: text(&method["request"]["$ref"]),
            response: text(&method["response"]["$ref"]),
            scopes: serde_json::from_value(method["scopes"].take()).unwrap_or_default(),
            versioned: method["apiVersion"].is_string(),
            http: text(&method["httpMethod"]),
            path: path.split('/').map(Segment::of).collect(),
            parameters: object(&mut method["parameters"])
                .into_iter()
                .filter(|(_, parameter)| parameter["location"] == "query")
                .collect(),
        }
    }

    /// What the variables of its path stand for, if the path is one of its own.
    fn take(&self, asked: &[&str]) -> Option<BTreeMap<&str, String>> {
        if asked.len() != self.path.len() {
            return None;
        }
        let mut values = BTreeMap::new();
        for (segment, asked) in self.path.iter().zip(asked) {
            match segment {
                Segment::Literal(literal) if literal == asked => {}
                Segment::Literal(_) => return None,
                Segment::Variable(name, verb) => {
                    let value = asked.strip_suffix(verb.as_str()).filter(|v| !v.is_empty())?;
                    values.insert(name.as_str(), value.to_owned());
                }
            }
        }
        Some(values)
    }
}

impl Segment {
    fn of(segment: &str) -> Self {
        match segment.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            Some((name, verb)) => Self::Variable(name.to_owned(), verb.to_owned()),
            None => Self::Literal(segment.to_owned()),
        }
    }
}

impl Route<'_> {
    /// The project in its path.
    pub(super) fn project(&self) -> Option<&str> {
        let names = ["project", "projectsId", "projectId"];
        names.iter().find_map(|name| self.values.get(name)).map(String::as_str)
    }

    /// The last part of the method's id: `list`.
    pub(super) fn verb(&self) -> &str {
        self.method.id.rsplit('.').next().unwrap_or_default()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn object(value: &mut Value) -> Map<String, Value> {
    match value.take() {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
