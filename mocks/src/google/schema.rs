use serde_json::{Map, Value, json};

/// The schemas of an API, by name.
pub(super) struct Schemas {
    all: Map<String, Value>,
}

impl Schemas {
    pub(super) fn of(all: Map<String, Value>) -> Self {
        Self { all }
    }

    /// The schema of that name; null if there is none.
    fn named(&self, name: &str) -> &Value {
        self.all.get(name).unwrap_or(&Value::Null)
    }

    /// The schema itself, where it refers to another one.
    fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(name) => self.named(name),
            None => schema,
        }
    }

    /// In the schema of an aggregated list, the field of each scope that holds the items.
    pub(super) fn scope_field(&self, aggregated: &str) -> Option<&str> {
        let scope = &self.named(aggregated)["properties"]["items"]["additionalProperties"];
        let fields = self.resolve(scope)["properties"].as_object()?;
        let array = |(_, schema): &(&String, &Value)| schema["type"] == "array";
        fields.iter().find(array).map(|(name, _)| name.as_str())
    }

    /// An answer as the API gives it: nothing but what its schema has, spelled as the schema says,
    /// its `kind` included.
    pub(super) fn fit_response(&self, name: &str, answer: Value) -> Value {
        let schema = self.named(name);
        let mut answer = self.fit(schema, answer);
        if let (Value::Object(fields), Value::String(kind)) =
            (&mut answer, &schema["properties"]["kind"]["default"])
        {
            fields.entry("kind").or_insert_with(|| json!(kind));
        }
        answer
    }

    /// A value without what the schema doesn't know; what is left has the types that the schema
    /// says, as far as it can be given them.
    fn fit(&self, schema: &Value, value: Value) -> Value {
        let schema = self.resolve(schema);
        match (schema["type"].as_str(), value) {
            (Some("object"), Value::Object(fields)) => {
                Value::Object(self.fit_fields(schema, fields))
            }
            (Some("array"), Value::Array(items)) => {
                items.into_iter().map(|item| self.fit(&schema["items"], item)).collect()
            }
            (Some("string"), value @ (Value::Number(_) | Value::Bool(_))) => {
                json!(value.to_string())
            }
            (Some("integer" | "number"), Value::String(text)) => number(&text),
            (Some("integer"), Value::Number(number)) => whole(number),
            (Some("boolean"), Value::String(text)) => match text.as_str() {
                "true" | "True" => json!(true),
                "false" | "False" => json!(false),
                _ => json!(text),
            },
            (_, value) => value,
        }
    }

    fn fit_fields(&self, schema: &Value, fields: Map<String, Value>) -> Map<String, Value> {
        let (known, others) = (schema["properties"].as_object(), &schema["additionalProperties"]);
        let fitted = fields.into_iter().filter(|(_, value)| !value.is_null());
        let fitted = fitted.filter_map(|(name, value)| {
            let schema = match known.and_then(|known| known.get(&name)) {
                Some(schema) => schema,
                None if known.is_none() || others.is_object() => others,
                None => return None,
            };
            let value = self.fit(schema, value);
            Some((name, value))
        });
        fitted.collect()
    }

    /// What is wrong with a request, as its schema has it.
    pub(super) fn fault(&self, name: &str, request: &Value) -> Option<String> {
        self.fault_at(self.named(name), request, "")
    }

    fn fault_at(&self, schema: &Value, value: &Value, at: &str) -> Option<String> {
        let schema = self.resolve(schema);
        let below =
            |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
        let fits = match (schema["type"].as_str(), value) {
            (Some("object"), Value::Object(fields)) => {
                return fields.iter().find_map(|(name, value)| {
                    let known = &schema["properties"][name];
                    let others = &schema["additionalProperties"];
                    match [known, others].into_iter().find(|schema| schema.is_object()) {
                        Some(schema) => self.fault_at(schema, value, &below(name)),
                        None => Some(format!(
                            "Invalid JSON payload received. Unknown name \"{name}\" at '{at}': \
                             Cannot find field."
                        )),
                    }
                });
            }
            (Some("array"), Value::Array(items)) => {
                return items.iter().enumerate().find_map(|(nth, item)| {
                    self.fault_at(&schema["items"], item, &format!("{at}[{nth}]"))
                });
            }
            (Some("string"), Value::String(text)) => match schema["format"].as_str() {
                Some("int64") => text.parse::<i64>().is_ok(),
                Some("uint64") => text.parse::<u64>().is_ok(),
                _ => true,
            },
            // Google's servers take numbers and texts of numbers for each other.
            (Some("string"), Value::Number(_)) => schema["format"].is_string(),
            (Some("integer"), value) => number_of(value).is_some_and(|n| n.fract() == 0.0),
            (Some("number"), value) => number_of(value).is_some(),
            (Some("boolean"), value) => value.is_boolean(),
            (Some("any") | None, _) => true,
            (Some(_), _) => false,
        };
        let shown = schema["type"].as_str().unwrap_or_default();
        (!fits).then(|| format!("Invalid value at '{at}': {value} is no {shown}"))
    }
}

fn number_of(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

/// The number that a text stands for; the text itself if it is none.
fn number(text: &str) -> Value {
    match text.parse::<serde_json::Number>() {
        Ok(number) => Value::Number(number),
        Err(_) => json!(text),
    }
}

/// `50.0` as `50`.
fn whole(number: serde_json::Number) -> Value {
    let text = number.to_string();
    match text.strip_suffix(".0").map(str::parse::<i64>) {
        Some(Ok(whole)) => json!(whole),
        _ => Value::Number(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schemas() -> Schemas {
        let all = json!({
            "List": { "type": "object", "properties": {
                "kind": { "type": "string", "default": "a#list" },
                "items": { "type": "array", "items": { "$ref": "Item" } },
            } },
            "Item": { "type": "object", "properties": {
                "id": { "type": "string", "format": "uint64" },
                "port": { "type": "integer", "format": "int32" },
                "share": { "type": "number" },
                "on": { "type": "boolean" },
                "state": { "type": "string", "enum": ["UP"] },
                "labels": { "type": "object", "additionalProperties": { "type": "string" } },
                "payload": { "type": "object", "additionalProperties": { "type": "any" } },
                "parts": { "type": "array", "items": { "$ref": "Item" } },
            } },
        });
        let Value::Object(all) = all else { panic!("an object") };
        Schemas::of(all)
    }

    #[test]
    fn an_answer_is_spelled_as_the_schema_says() {
        let given = json!({ "items": [{
            "id": 7, "port": "80", "share": "0.5", "on": "true", "state": "NEW", "gone": 1,
            "labels": { "a": 1 }, "payload": { "n": 1 }, "parts": [{ "port": 81.0, "gone": 1 }],
        }] });
        let expected = json!({ "kind": "a#list", "items": [{
            "id": "7", "port": 80, "share": 0.5, "on": true, "state": "NEW",
            "labels": { "a": "1" }, "payload": { "n": 1 }, "parts": [{ "port": 81 }],
        }] });
        assert_eq!(schemas().fit_response("List", given), expected);
    }

    #[test]
    fn what_has_no_such_type_is_left_alone() {
        let given = json!({ "items": [{ "port": "http", "labels": "none", "on": 1 }] });
        let mut expected = given.clone();
        expected["kind"] = json!("a#list");
        assert_eq!(schemas().fit_response("List", given), expected);
    }

    #[test]
    fn a_request_has_known_fields_of_the_right_type() {
        let fault = |request| schemas().fault("List", &request);
        let fine = json!({ "items": [{ "id": 7, "port": "80", "payload": { "x": [1] } }] });
        assert_eq!(fault(fine), None);
        let unknown = fault(json!({ "items": [{ "prot": 80 }] })).unwrap();
        assert!(unknown.contains("Unknown name \"prot\" at 'items[0]'"), "{unknown}");
        let wrong = fault(json!({ "items": [{ "port": "http" }] })).unwrap();
        assert!(wrong.contains("items[0].port"), "{wrong}");
        assert!(fault(json!({ "items": [{ "id": "a" }] })).is_some());
        assert!(fault(json!([])).is_some());
    }
}
