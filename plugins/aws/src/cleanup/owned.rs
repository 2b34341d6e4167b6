//! What a template gives its roles, so that what is on a role beside that is somebody else's.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::StackResource;

/// What a stack puts on one of its roles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owned {
    /// The names of the policies inside it.
    pub inline: BTreeSet<String>,
    /// The ARNs of the policies that it refers to.
    pub attached: BTreeSet<String>,
    /// The names of the instance profiles that it is in.
    pub profiles: BTreeSet<String>,
    /// What the template says that can't be told from here, such as a name that is worked out from
    /// another part. Something on the role may then be the stack's own.
    pub untold: Vec<String>,
}

/// What stands for a name in templates, for the pseudo parameters of CloudFormation
/// (CloudFormation user guide, "Get AWS values using pseudo parameters").
#[derive(Clone, Debug)]
pub struct Stood<'a> {
    /// The stack's name.
    pub stack: &'a str,
    /// Its ARN: `arn:aws:cloudformation:REGION:ACCOUNT:stack/NAME/ID`.
    pub id: &'a str,
}

impl Owned {
    /// What a template and the parts that were made of it put on the role of this logical id.
    pub fn of(template: &Value, parts: &[StackResource], role: &str, stood: &Stood<'_>) -> Self {
        let mut owned = Self::default();
        let none = Map::new();
        let resources = template["Resources"].as_object().unwrap_or(&none);
        let here = resources.get(role).unwrap_or(&Value::Null);
        for policy in list(&here["Properties"]["Policies"]) {
            owned.take(&policy["PolicyName"], stood, parts, |owned| &mut owned.inline);
        }
        for arn in list(&here["Properties"]["ManagedPolicyArns"]) {
            owned.take(arn, stood, parts, |owned| &mut owned.attached);
        }
        for (name, resource) in resources {
            let properties = &resource["Properties"];
            let roles = list(&properties["Roles"]);
            let of_role = || roles.iter().any(|of| refers_to(of, role));
            match resource["Type"].as_str().unwrap_or_default() {
                "AWS::IAM::Policy" if of_role() => {
                    owned.take(&properties["PolicyName"], stood, parts, |owned| &mut owned.inline);
                }
                "AWS::IAM::RolePolicy" if refers_to(&properties["RoleName"], role) => {
                    owned.take(&properties["PolicyName"], stood, parts, |owned| &mut owned.inline);
                }
                "AWS::IAM::ManagedPolicy" if of_role() => {
                    // Its ARN is its physical id.
                    match physical(parts, name) {
                        Some(arn) => drop(owned.attached.insert(arn.to_owned())),
                        None => owned.untold.push(name.clone()),
                    }
                }
                "AWS::IAM::InstanceProfile" if of_role() => match physical(parts, name) {
                    Some(profile) => drop(owned.profiles.insert(profile.to_owned())),
                    None => owned.untold.push(name.clone()),
                },
                _ => (),
            }
        }
        if here["Properties"]["ManagedPolicyArns"].get("Fn::If").is_some()
            || here["Properties"]["Policies"].get("Fn::If").is_some()
        {
            owned.untold.push(role.to_owned());
        }
        owned
    }

    fn take(
        &mut self,
        said: &Value,
        stood: &Stood<'_>,
        parts: &[StackResource],
        to: impl Fn(&mut Self) -> &mut BTreeSet<String>,
    ) {
        match text(said, stood, parts) {
            Some(name) => drop(to(self).insert(name)),
            None => self.untold.push(said.to_string()),
        }
    }
}

/// A list, or what stands alone.
fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(all) => all.iter().collect(),
        _ => Vec::new(),
    }
}

fn physical<'a>(parts: &'a [StackResource], logical: &str) -> Option<&'a str> {
    let part = parts.iter().find(|part| part.logical_resource_id == logical)?;
    Some(&*part.physical_resource_id).filter(|id| !id.is_empty())
}

/// `{"Ref": "Role"}`, or the attribute of it.
fn refers_to(value: &Value, role: &str) -> bool {
    let attribute = &value["Fn::GetAtt"];
    let short = attribute.as_str().and_then(|short| short.split('.').next());
    value["Ref"] == *role || attribute[0] == *role || short == Some(role)
}

/// What a value of a template comes to: a text, `Ref`, `Fn::Sub` and `Fn::Join` of what is known.
fn text(value: &Value, stood: &Stood<'_>, parts: &[StackResource]) -> Option<String> {
    let reference =
        |name: &str| stood.value(name).or_else(|| physical(parts, name).map(str::to_owned));
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    let (function, argument) = value.as_object().filter(|all| all.len() == 1)?.iter().next()?;
    match (function.as_str(), argument) {
        ("Ref", Value::String(name)) => reference(name),
        ("Fn::Sub", Value::String(form)) => {
            let mut out = String::new();
            let mut rest = form.as_str();
            while let Some((before, after)) = rest.split_once("${") {
                let (name, after) = after.split_once('}')?;
                out += before;
                out += &match name.strip_prefix('!') {
                    Some(literal) => format!("${{{literal}}}"),
                    None => reference(name)?,
                };
                rest = after;
            }
            Some(out + rest)
        }
        ("Fn::Join", Value::Array(of)) => {
            let [Value::String(between), Value::Array(all)] = &of[..] else { return None };
            let all: Option<Vec<_>> = all.iter().map(|one| text(one, stood, parts)).collect();
            Some(all?.join(between))
        }
        _ => None,
    }
}

impl Stood<'_> {
    fn value(&self, name: &str) -> Option<String> {
        let mut arn = self.id.split(':').skip(1);
        let partition = arn.next();
        let (region, account) = (arn.nth(1), arn.next());
        let said = match name {
            "AWS::StackName" => Some(self.stack),
            "AWS::StackId" => Some(self.id),
            "AWS::Partition" => partition,
            "AWS::Region" => region,
            "AWS::AccountId" => account,
            "AWS::URLSuffix" if partition == Some("aws") => Some("amazonaws.com"),
            _ => None,
        };
        said.map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Owned, Stood};
    use crate::StackResource;

    const STOOD: Stood<'_> = Stood {
        stack: "eksctl-kf-nodegroup-cpu",
        id: "arn:aws:cloudformation:us-west-2:111122223333:stack/eksctl-kf-nodegroup-cpu/1",
    };

    #[test]
    fn what_eksctl_writes_is_read() {
        let arn = "arn:${AWS::Partition}:iam::aws:policy/AmazonEKSWorkerNodePolicy";
        let template = json!({ "Resources": {
            "NodeInstanceRole": { "Type": "AWS::IAM::Role", "Properties": {
                "ManagedPolicyArns": [{ "Fn::Sub": arn }] } },
            "NodeInstanceProfile": { "Type": "AWS::IAM::InstanceProfile",
                "Properties": { "Roles": [{ "Ref": "NodeInstanceRole" }] } },
            "PolicyAutoScaling": { "Type": "AWS::IAM::Policy", "Properties": {
                "PolicyName": { "Fn::Sub": "${AWS::StackName}-PolicyAutoScaling" },
                "Roles": [{ "Ref": "NodeInstanceRole" }] } } } });
        let profile = StackResource {
            logical_resource_id: "NodeInstanceProfile".to_owned(),
            physical_resource_id: "profile-1".to_owned(),
            ..StackResource::default()
        };
        let owned = Owned::of(&template, &[profile], "NodeInstanceRole", &STOOD);
        let is = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect();
        assert_eq!(owned.attached, is(&["arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy"]));
        assert_eq!(owned.inline, is(&["eksctl-kf-nodegroup-cpu-PolicyAutoScaling"]));
        assert_eq!(owned.profiles, is(&["profile-1"]));
        assert!(owned.untold.is_empty(), "{:?}", owned.untold);
    }

    #[test]
    fn what_can_not_be_worked_out_may_be_the_stacks_own() {
        let template = json!({ "Resources": { "Role": { "Type": "AWS::IAM::Role", "Properties": {
            "ManagedPolicyArns": [{ "Fn::ImportValue": "policy" }] } } } });
        assert_eq!(Owned::of(&template, &[], "Role", &STOOD).untold.len(), 1);
    }
}
