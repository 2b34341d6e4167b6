use serde_json::Value;

use super::{Failure, Kind, Query};

/// Which objects a list is about.
pub(super) struct Selectors {
    labels: Vec<Requirement>,
    fields: Vec<Requirement>,
}

/// What one label, or one field, has to be.
#[derive(Debug, PartialEq, Eq)]
struct Requirement {
    name: String,
    is: Is,
}

#[derive(Debug, PartialEq, Eq)]
enum Is {
    OneOf(Vec<String>),
    NoneOf(Vec<String>),
    There,
    NotThere,
}

impl Selectors {
    pub(super) fn of(query: &Query, kind: &Kind) -> Result<Self, Failure> {
        let wrong = |text| move || Failure::bad_parameter(format!("unable to parse: {text}"));
        let labels = query.get("labelSelector").unwrap_or_default();
        let labels = requirements(labels).ok_or_else(wrong(labels))?;
        let fields = query.get("fieldSelector").unwrap_or_default();
        let fields = requirements(fields).ok_or_else(wrong(fields))?;
        let known = fields_of(kind);
        match fields.iter().find(|field| !known.contains(&&*field.name)) {
            Some(field) => {
                let message = format!("field label not supported: {}", field.name);
                Err(Failure::bad_parameter(message))
            }
            None => Ok(Self { labels, fields }),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub(super) fn select(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        let label = |name: &str| labels.get(name).and_then(Value::as_str);
        // A field that is not there is an empty one.
        let field = |name: &str| {
            let value = name.split('.').try_fold(object, |value, part| value.get(part));
            Some(value.and_then(Value::as_str).unwrap_or_default())
        };
        self.labels.iter().all(|requirement| requirement.admits(label(&requirement.name)))
            && self.fields.iter().all(|requirement| requirement.admits(field(&requirement.name)))
    }
}

impl Requirement {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(name) = text.strip_prefix('!') {
            return Self::of(name, Is::NotThere);
        }
        if let Some((head, values)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) {
            let values = values.split(',').map(|value| value.trim().to_owned()).collect();
            let (name, operator) = head.trim().rsplit_once(' ')?;
            return match operator {
                "in" => Self::of(name, Is::OneOf(values)),
                "notin" => Self::of(name, Is::NoneOf(values)),
                _ => None,
            };
        }
        for operator in ["!=", "==", "="] {
            if let Some((name, value)) = text.split_once(operator) {
                let value = vec![value.trim().to_owned()];
                let is = if operator == "!=" { Is::NoneOf(value) } else { Is::OneOf(value) };
                return Self::of(name, is);
            }
        }
        Self::of(text, Is::There)
    }

    fn of(name: &str, is: Is) -> Option<Self> {
        let name = name.trim();
        let fits = |c: char| c.is_ascii_alphanumeric() || ['.', '-', '_', '/'].contains(&c);
        let is_name = !name.is_empty() && name.chars().all(fits);
        is_name.then(|| Self { name: name.to_owned(), is })
    }

    fn admits(&self, value: Option<&str>) -> bool {
        let among = |all: &[String]| value.is_some_and(|value| all.iter().any(|one| one == value));
        match &self.is {
            Is::OneOf(values) => among(values),
            Is::NoneOf(values) => !among(values),
            Is::There => value.is_some(),
            Is::NotThere => value.is_none(),
        }
    }
}

/// The requirements of a selector; nothing if it is none.
fn requirements(text: &str) -> Option<Vec<Requirement>> {
    let (mut all, mut start, mut depth) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                all.push(&text[start..at]);
                start = at + 1;
            }
            _ => (),
        }
    }
    if !text.is_empty() {
        all.push(&text[start..]);
    }
    all.into_iter().map(Requirement::read).collect()
}

/// The fields that objects of a kind can be selected by, as far as they are of use here (Kubernetes
/// documentation, "Field Selectors").
fn fields_of(kind: &Kind) -> Vec<&'static str> {
    let mut fields = vec!["metadata.name", "metadata.namespace"];
    match &*kind.kind {
        "Pod" => fields.extend(["spec.nodeName", "status.phase"]),
        "Event" => fields.extend([
            "involvedObject.kind",
            "involvedObject.name",
            "involvedObject.namespace",
            "involvedObject.uid",
            "reason",
            "type",
        ]),
        "Secret" => fields.push("type"),
        _ => (),
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn selects(labels: &str, of: &Value) -> bool {
        let labels = requirements(labels).expect("a selector");
        let object = json!({ "metadata": { "labels": of } });
        Selectors { labels, fields: Vec::new() }.select(&object)
    }

    #[test]
    fn every_form_of_a_label_selector_is_understood() {
        let of = json!({ "app": "gateway", "tier": "front" });
        for all in ["app=gateway", "app==gateway,tier", "app in (dex, gateway),tier!=back"] {
            assert!(selects(all, &of), "{all}");
        }
        for none in ["app=dex", "app!=gateway", "!app", "app notin (gateway,dex)", "zone"] {
            assert!(!selects(none, &of), "{none}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_equal() {
        assert!(selects("zone!=a,zone notin (b),!zone", &json!({})));
    }

    #[test]
    fn a_broken_selector_is_refused() {
        for broken in ["app in gateway)", "=a", "a b", "app,,tier", "app in (a"] {
            assert_eq!(requirements(broken), None, "{broken}");
        }
    }
}
