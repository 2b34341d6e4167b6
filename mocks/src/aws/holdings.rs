use serde_json::{Value, json};

use crate::Served;

use super::failure::Failure;

/// A bundle as an account sees it: what is in its files, and what can't be read.
pub(super) struct Holdings {
    served: Served,
    errors: Value,
    /// Where what is of a region is; none: everywhere.
    region: Option<String>,
    /// Who asks.
    user: String,
}

impl Holdings {
    pub(super) fn of(served: Served) -> Self {
        let manifest = served.manifest();
        let caller = served.json("aws/sts/get-caller-identity").unwrap_or_default();
        let account = manifest["aws"]["accountId"].as_str().unwrap_or("123456789012");
        let nobody = || format!("arn:aws:iam::{account}:user/kfcheck");
        let user = caller["Arn"].as_str().map_or_else(nobody, str::to_owned);
        let region = manifest["aws"]["region"].as_str().map(str::to_owned);
        Self { served, errors: manifest["errors"].clone(), region, user }
    }

    /// Whether the bundle says why a place could not be read.
    pub(super) fn check(&self, place: &str) -> Result<(), Failure> {
        let fault = |fault| Err(Failure::of_fault(place, fault, &self.user));
        self.errors.get(place).map_or(Ok(()), fault)
    }

    /// The same for whatever a request names.
    pub(super) fn check_named(&self, place: &str, input: &Value) -> Result<(), Failure> {
        match input {
            Value::String(name) => self.check(&format!("{place}#{name}")),
            Value::Array(all) => all.iter().try_for_each(|each| self.check_named(place, each)),
            Value::Object(all) => all.values().try_for_each(|each| self.check_named(place, each)),
            _ => Ok(()),
        }
    }

    /// What is in a file, unless the bundle says why it could not be read.
    pub(super) fn file(&self, place: &str) -> Result<Value, Failure> {
        self.check(place)?;
        self.served.json(place).ok_or_else(|| Failure::NoFile(place.to_owned()))
    }

    /// The same as somebody in a region sees it, where there may be nothing.
    pub(super) fn file_in(&self, region: &str, place: &str) -> Result<Value, Failure> {
        let file = self.file(place)?;
        if self.region.as_ref().is_none_or(|own| own == region) {
            return Ok(file);
        }
        let emptied = |(name, value): (String, Value)| match value {
            Value::Array(_) => Some((name, json!([]))),
            _ => None,
        };
        Ok(match file {
            Value::Object(fields) => {
                Value::Object(fields.into_iter().filter_map(emptied).collect())
            }
            _ => json!({}),
        })
    }
}
