use std::collections::BTreeMap;

use axum::body::Bytes;
use http::{HeaderMap, request::Parts};
use serde_json::{Map, Value, json};

use super::{
    failure::Failure,
    form,
    models::{Models, Operation, Protocol, Service},
    shape::Kind,
    validate,
    wire::Scope,
};

/// A request as it came.
pub(crate) struct Asked {
    pub(crate) method: String,
    /// The segments of its path, decoded.
    path: Vec<String>,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
}

/// The operation that a request is for.
#[derive(Clone, Copy)]
pub(crate) struct Route<'a> {
    pub(crate) service: &'a Service,
    pub(crate) operation: &'a Operation,
}

/// A request that a real service would take.
pub(crate) struct Call<'a> {
    pub(crate) service: &'a Service,
    pub(crate) operation: &'a Operation,
    /// The region that it is signed for.
    pub(crate) region: String,
    /// What it says, by the names of the model's members.
    pub(crate) input: Value,
}

impl Asked {
    pub(crate) fn of(head: Parts, body: Bytes) -> Self {
        let path = head.uri.path().trim_start_matches('/').split('/').map(decoded);
        Self {
            path: path.collect(),
            query: pairs(head.uri.query().unwrap_or_default().as_bytes()),
            method: head.method.to_string(),
            headers: head.headers,
            body,
        }
    }

    /// What it is for, as far as it can be told.
    pub(crate) fn named(&self) -> String {
        let form = self.form();
        let field = |name: &str| form.iter().find(|(field, _)| field == name);
        let action = field("Action").map(|(_, action)| action.as_str());
        let name = action.or_else(|| self.target());
        format!("{} /{} {}", self.method, self.path.join("/"), name.unwrap_or_default())
    }

    fn target(&self) -> Option<&str> {
        self.headers.get("x-amz-target")?.to_str().ok()
    }

    pub(super) fn form(&self) -> Vec<(String, String)> {
        pairs(&self.body)
    }

    pub(super) fn is_path(&self, path: &[&str]) -> bool {
        self.path == path
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Services are told by the target, by the version of a form, or by the path.
    pub(crate) fn route<'a>(&self, models: &'a Models) -> Result<Route<'a>, Failure> {
        let (service, operation) = if let Some(target) = self.target() {
            let (prefix, name) = target.rsplit_once('.').unwrap_or(("", target));
            let mut services = models.services();
            let service =
                services.find(|s| s.protocol == Protocol::Json && s.target_prefix == prefix);
            (service, service.and_then(|service| service.operations.get(name)))
        } else if self.method == "POST" && self.path == [""] {
            let form: BTreeMap<_, _> = self.form().into_iter().collect();
            let field = |name: &str| form.get(name).map_or("", String::as_str);
            let of_form = |service: &&Service| {
                let form = [Protocol::Query, Protocol::Ec2].contains(&service.protocol);
                form && service.version == field("Version")
            };
            let service = models.services().find(of_form);
            (service, service.and_then(|service| service.operations.get(field("Action"))))
        } else {
            let rest = models.services().filter(|service| {
                [Protocol::RestJson, Protocol::RestXml].contains(&service.protocol)
            });
            let all = rest.flat_map(|s| s.operations.values().map(move |operation| (s, operation)));
            let fitting = all.filter_map(|(service, operation)| {
                let variables =
                    operation.take(&self.path).filter(|_| operation.method == self.method)?;
                Some((variables.len(), service, operation))
            });
            let found = fitting.min_by_key(|(variables, ..)| *variables);
            (found.map(|(_, service, _)| service), found.map(|(.., operation)| operation))
        };
        match (service, operation) {
            (Some(service), Some(operation)) => Ok(Route { service, operation }),
            (None, _) => Err(Failure::unknown("no such service")),
            (Some(service), None) => {
                Err(Failure::unknown(format!("no such operation of {}", service.name)))
            }
        }
    }

    /// Checks the request against the model.
    pub(crate) fn check<'a>(&self, route: Route<'a>) -> Result<Call<'a>, Failure> {
        let Route { service, operation } = route;
        let scope = Scope::of(&self.headers).ok_or(Failure::Unsigned)?;
        if scope.service != service.signing_name {
            return Err(Failure::unknown(format!("it is signed for {}", scope.service)));
        }
        let shape = service.input(operation);
        let input = match service.protocol {
            Protocol::Query | Protocol::Ec2 => form::read(shape, service.protocol, &self.form()),
            Protocol::Json => self.json(),
            Protocol::RestJson | Protocol::RestXml => self.rest(route),
        };
        let input = input.map_err(Failure::Malformed)?;
        match validate::fault(shape, &input, "") {
            Some(fault) => Err(Failure::Malformed(fault)),
            None => Ok(Call { service, operation, region: scope.region.to_owned(), input }),
        }
    }

    fn json(&self) -> Result<Value, String> {
        serde_json::from_slice(&self.body).map_err(|error| error.to_string())
    }

    /// What is in path and query; of what is only read, there is no body.
    fn rest(&self, route: Route<'_>) -> Result<Value, String> {
        if !self.body.is_empty() {
            return Err(format!("{} takes no body here", route.operation.name));
        }
        let shape = route.service.input(route.operation);
        let variables = route.operation.take(&self.path).unwrap_or_default();
        let member = |location: &str, wire_name: &str| {
            shape.members().find(|(name, member)| {
                member.location() == Some(location)
                    && member.wire_name().unwrap_or(name) == wire_name
            })
        };
        let mut found = Map::new();
        for (wire_name, text) in variables {
            if let Some((name, member)) = member("uri", wire_name) {
                found.insert(name.to_owned(), scalar(member.kind(), &text));
            }
        }
        for (wire_name, text) in &self.query {
            let member = member("querystring", wire_name);
            let (name, member) = member.ok_or_else(|| format!("no parameter {wire_name}"))?;
            if member.kind() == Kind::List {
                let items = found.entry(name).or_insert_with(|| json!([]));
                if let Value::Array(items) = items {
                    items.push(scalar(member.item().kind(), text));
                }
            } else if found.insert(name.to_owned(), scalar(member.kind(), text)).is_some() {
                return Err(format!("parameter {wire_name} twice"));
            }
        }
        Ok(Value::Object(found))
    }
}

impl Call<'_> {
    /// A parameter that is a text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.input[name].as_str()
    }

    /// A parameter that is a list of texts; empty where there is none.
    pub(crate) fn texts(&self, name: &str) -> Vec<&str> {
        self.input[name].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// A parameter that is a number, or a text of one.
    pub(crate) fn number(&self, name: &str) -> Option<usize> {
        let value = &self.input[name];
        let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
        usize::try_from(number).ok()
    }

    /// Refuses what would have to change the answer and doesn't.
    pub(super) fn takes_only(&self, names: &[&str]) -> Result<(), Failure> {
        let mut said = self.input.as_object().into_iter().flatten();
        match said.find(|(name, _)| !names.contains(&name.as_str())) {
            Some((name, _)) => Err(Failure::unknown(format!("{name} is not honoured here"))),
            None => Ok(()),
        }
    }

    /// The operation is the service's, and nothing here answers it.
    pub(crate) fn unanswered(&self) -> Failure {
        Failure::unknown(format!("no answer to {} here", self.operation.name))
    }
}

/// What a text of a form, a path or a query stands for; the text itself if it can't be that.
pub(super) fn scalar(kind: Kind, text: &str) -> Value {
    let number = || text.parse::<serde_json::Number>().ok().map(Value::Number);
    let found = match (kind, text) {
        (Kind::Whole | Kind::Number, _) => number(),
        (Kind::Boolean, "true") => Some(json!(true)),
        (Kind::Boolean, "false") => Some(json!(false)),
        _ => None,
    };
    found.unwrap_or_else(|| json!(text))
}

fn pairs(form: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(form).into_owned().collect()
}

/// A segment of a path, in which a plus is one.
fn decoded(segment: &str) -> String {
    let whole = format!("s={}", segment.replace('+', "%2B").replace('&', "%26"));
    pairs(whole.as_bytes()).into_iter().map(|(_, segment)| segment).collect()
}
