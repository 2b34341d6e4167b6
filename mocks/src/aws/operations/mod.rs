//! What the operations of the services mean.

mod acm;
mod cloudformation;
mod cognito;
mod ec2;
mod eks;
mod elb;
mod elbv2;
mod filter;
mod iam;
mod route53;

use serde_json::Value;

use super::{Cloud, failure::Failure, page::Page, request::Call};

/// The answer to a call, by the names of the model's members.
pub(super) fn answer(cloud: &Cloud, call: &Call<'_>) -> Result<Value, Failure> {
    let ask = Ask { cloud, call };
    let place = ask.place(&call.operation.command());
    cloud.holdings.check(&place)?;
    cloud.holdings.check_named(&place, &call.input)?;
    match call.service.name {
        "acm" => acm::answer(&ask),
        "cloudformation" => cloudformation::answer(&ask),
        "cognito-idp" => cognito::answer(&ask),
        "ec2" => ec2::answer(&ask),
        "eks" => eks::answer(&ask),
        "elb" => elb::answer(&ask),
        "elbv2" => elbv2::answer(&ask),
        "iam" => iam::answer(&ask),
        "route53" => route53::answer(&ask),
        "sts" if call.operation.name == "GetCallerIdentity" => ask.file("get-caller-identity"),
        _ => Err(call.unanswered()),
    }
}

/// One call, and what there is to answer it from.
struct Ask<'a> {
    cloud: &'a Cloud,
    call: &'a Call<'a>,
}

impl Ask<'_> {
    fn operation(&self) -> &str {
        &self.call.operation.name
    }

    /// Where in a bundle the answer to a command of the service is.
    fn place(&self, command: &str) -> String {
        format!("aws/{}/{command}", self.call.service.name)
    }

    /// What the bundle has of a command, as the region shows it. The items of ACM and Cognito tell
    /// their regions themselves.
    fn file(&self, command: &str) -> Result<Value, Failure> {
        let place = self.place(command);
        self.cloud.holdings.check_named(&place, &self.call.input)?;
        match self.call.service.name {
            "acm" | "cognito-idp" | "iam" | "route53" | "sts" => self.cloud.holdings.file(&place),
            _ => self.cloud.holdings.file_in(&self.call.region, &place),
        }
    }

    /// What is listed in that; one alone is called the same without an s.
    fn list(&self, command: &str, name: &str) -> Result<Vec<Value>, Failure> {
        let mut file = self.file(command)?;
        let alone = file.get_mut(name.trim_end_matches('s')).map(Value::take);
        let mut items = take(&mut file, name);
        items.extend(alone.filter(Value::is_object));
        Ok(items)
    }

    /// The answer for one owner in a file that holds one for each.
    fn entry(&self, command: &str, owner: &str) -> Result<Value, Failure> {
        let place = format!("{}#{owner}", self.place(command));
        self.cloud.holdings.check(&place)?;
        let entry = self.file(command)?.get_mut(owner).map(Value::take);
        entry.ok_or(Failure::NotHeld(place))
    }

    fn page<'b>(&'b self, size: &str, token: &str) -> Page<'b> {
        Page::of(self.call, size, token, self.cloud.page_size)
    }
}

/// What is listed under a name.
fn take(answer: &mut Value, name: &str) -> Vec<Value> {
    match answer.get_mut(name).map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

/// The items whose field is one of `values`; all, if there are none of these.
fn chosen(mut items: Vec<Value>, field: &str, values: &[&str]) -> Vec<Value> {
    if !values.is_empty() {
        items.retain(|item| item[field].as_str().is_some_and(|value| values.contains(&value)));
    }
    items
}

/// The first of `values` that no item has in its field.
fn missing<'a>(items: &[Value], field: &str, values: &[&'a str]) -> Option<&'a str> {
    values.iter().copied().find(|value| items.iter().all(|item| item[field] != **value))
}
