use std::{collections::BTreeMap, io, path::Path};

use serde_json::{Map, Value};

use super::shape::Shape;

/// The services whose models are read, by the names that botocore gives them.
const NAMES: [&str; 10] =
    ["acm", "cloudformation", "cognito-idp", "ec2", "eks", "elb", "elbv2", "iam", "route53", "sts"];

/// The models in which AWS describes its services: their operations, what they take and what they
/// give, and how it is written.
pub struct Models {
    services: Vec<Service>,
}

/// One service.
pub(crate) struct Service {
    /// As the AWS CLI calls it: `elbv2`.
    pub(crate) name: &'static str,
    /// As signatures call it: `elasticloadbalancing`.
    pub(super) signing_name: String,
    /// `2015-12-01`.
    pub(super) version: String,
    pub(super) protocol: Protocol,
    /// What is before the operation's name in `X-Amz-Target`; empty where there is no such header.
    pub(super) target_prefix: String,
    /// The namespace of its XML.
    pub(super) namespace: String,
    pub(super) operations: BTreeMap<String, Operation>,
    shapes: Map<String, Value>,
}

/// How requests and answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Query,
    Ec2,
    Json,
    RestJson,
    RestXml,
}

/// One operation of a service.
pub(crate) struct Operation {
    /// `DescribeTags`.
    pub(crate) name: String,
    /// `POST`.
    pub(super) method: String,
    /// `/clusters/{name}`, in its segments.
    pub(super) path: Vec<String>,
    /// The shapes of what it takes and gives; empty: none.
    input: String,
    output: String,
    /// The element around the answer in the query protocol; empty: none.
    pub(super) wrapper: String,
    /// The shapes of its errors.
    pub(super) errors: Vec<String>,
}

impl Models {
    /// Reads the models in a folder: `elbv2.json` and its like. It takes a while, so do it once.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let read = |name: &&'static str| {
            let path = folder.join(format!("{name}.json"));
            let wrong = |what: String| io::Error::other(format!("{}: {what}", path.display()));
            let bytes = std::fs::read(&path).map_err(|error| wrong(error.to_string()))?;
            let model = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
            Service::of(name, model).ok_or_else(|| wrong("it has no protocol known here".into()))
        };
        Ok(Self { services: NAMES.iter().map(read).collect::<io::Result<_>>()? })
    }

    pub(super) fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.iter()
    }
}

impl Service {
    fn of(name: &'static str, mut model: Value) -> Option<Self> {
        let metadata = model["metadata"].take();
        let (version, prefix) = (text(&metadata["apiVersion"]), text(&metadata["endpointPrefix"]));
        let signing_name = metadata["signingName"].as_str().unwrap_or(&prefix).to_owned();
        // Route 53's model has its namespace at each operation; it is this one.
        let namespace = || format!("https://{prefix}.amazonaws.com/doc/{version}/");
        let protocol = match metadata["protocol"].as_str()? {
            "query" => Protocol::Query,
            "ec2" => Protocol::Ec2,
            "json" => Protocol::Json,
            "rest-json" => Protocol::RestJson,
            "rest-xml" => Protocol::RestXml,
            _ => return None,
        };
        let operations = object(&mut model["operations"]).into_values().map(Operation::of);
        Some(Self {
            name,
            signing_name,
            protocol,
            target_prefix: text(&metadata["targetPrefix"]),
            namespace: metadata["xmlNamespace"].as_str().map_or_else(namespace, str::to_owned),
            version,
            operations: operations.map(|operation| (operation.name.clone(), operation)).collect(),
            shapes: object(&mut model["shapes"]),
        })
    }

    /// What an operation takes.
    pub(super) fn input(&self, operation: &Operation) -> Shape<'_> {
        Shape::named(&self.shapes, &operation.input)
    }

    /// What an operation gives.
    pub(super) fn output(&self, operation: &Operation) -> Shape<'_> {
        Shape::named(&self.shapes, &operation.output)
    }

    /// The code and the status of an error that has a shape.
    pub(super) fn error<'a>(&'a self, shape: &'a str) -> (&'a str, u16) {
        let error = self.shapes.get(shape).map_or(&Value::Null, |shape| &shape["error"]);
        let status = error["httpStatusCode"].as_u64().and_then(|status| status.try_into().ok());
        (error["code"].as_str().unwrap_or(shape), status.unwrap_or(400))
    }
}

impl Operation {
    fn of(mut operation: Value) -> Self {
        let uri = text(&operation["http"]["requestUri"]);
        let path = uri.split('?').next().unwrap_or_default().trim_start_matches('/');
        let errors = operation["errors"].take();
        let errors = errors.as_array().into_iter().flatten().map(|error| text(&error["shape"]));
        Self {
            name: text(&operation["name"]),
            method: text(&operation["http"]["method"]),
            path: path.split('/').map(str::to_owned).collect(),
            input: text(&operation["input"]["shape"]),
            output: text(&operation["output"]["shape"]),
            wrapper: text(&operation["output"]["resultWrapper"]),
            errors: errors.collect(),
        }
    }

    /// `describe-tags`, as the AWS CLI calls it.
    pub(super) fn command(&self) -> String {
        let mut command = String::new();
        for letter in self.name.chars() {
            if letter.is_ascii_uppercase() && !command.is_empty() {
                command.push('-');
            }
            command.push(letter.to_ascii_lowercase());
        }
        command
    }

    /// What the variables of its path stand for, if the path is one of its own.
    pub(super) fn take(&self, asked: &[String]) -> Option<BTreeMap<&str, String>> {
        if asked.len() != self.path.len() {
            return None;
        }
        let mut values = BTreeMap::new();
        for (segment, asked) in self.path.iter().zip(asked) {
            match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
                Some(name) if !asked.is_empty() => values.insert(name, asked.clone()),
                None if segment == asked => None,
                _ => return None,
            };
        }
        Some(values)
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
