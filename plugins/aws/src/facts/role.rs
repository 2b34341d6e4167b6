//! IAM.

use aws_sdk_iam::{Client, types};
use kfcheck::{Named, Place, Resource};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{
    about, fact, found,
    shape::{Keep, shape},
};
use crate::client::asked;

shape! {
    /// A role.
    pub struct Role of types::Role in "PascalCase" {
        role_name: String,
        arn: String,
        assume_role_policy_document: Document,
    }

    /// The names of the policies inside a role.
    pub struct PolicyNames in "PascalCase" {
        policy_names: Vec<String>,
    }

    /// The policies that a role refers to.
    pub struct AttachedPolicies in "PascalCase" {
        attached_policies: Vec<AttachedPolicy>,
    }

    /// A policy that a role refers to.
    pub struct AttachedPolicy of types::AttachedPolicy in "PascalCase" {
        policy_name: String,
        policy_arn: String,
    }

    /// The instance profiles that a role is in.
    pub struct InstanceProfiles in "PascalCase" {
        instance_profiles: Vec<InstanceProfile>,
    }

    /// How machines get a role.
    pub struct InstanceProfile of types::InstanceProfile in "PascalCase" {
        instance_profile_name: String,
        arn: String,
    }

    /// A policy inside a role.
    pub struct RolePolicy in "PascalCase" {
        role_name: String,
        policy_name: String,
        policy_document: Document,
    }
}

/// A policy. It travels as encoded text, and the AWS CLI prints it as JSON.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document(pub Value);

impl Document {
    pub(crate) fn encoded(text: &str) -> Self {
        let text = percent_decode_str(text).decode_utf8_lossy();
        Self(serde_json::from_str(&text).unwrap_or_default())
    }

    /// Its statements; a document may have one that is in no list.
    pub fn statements(&self) -> Vec<&Value> {
        match &self.0["Statement"] {
            Value::Array(all) => all.iter().collect(),
            Value::Null => Vec::new(),
            one => vec![one],
        }
    }
}

impl Keep<Document> for Option<String> {
    fn keep(self) -> Document {
        Document::encoded(self.as_deref().unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(match Value::deserialize(from)? {
            Value::String(text) => Self::encoded(&text),
            document => Self(document),
        })
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

fact! {
    /// The role of a name, or none where there is none.
    Roles { name }, "role", "iam:GetRole" => Vec<Role>,
    Place::listed("aws/iam/list-roles", "Roles", [("RoleName", name)], "aws iam list-roles"),
    |cx, aws| {
        let client = Client::new(aws.config(cx).await);
        let call = found(client.get_role().role_name(name).send());
        let answer = asked(cx, format!("iam get-role {name}"), Self::NEEDS[0], call).await?;
        let there = answer.map(|answer| about(answer, Self::NEEDS[0], |answer| answer.role));
        Ok(there.transpose()?.map(Into::into).into_iter().collect())
    }
}

fact! {
    /// The names of the policies inside a role.
    RolePolicyNames { role }, "rolePolicyNames", "iam:ListRolePolicies" => PolicyNames,
    Place::entry("aws/iam/list-role-policies", role,
        format!("aws iam list-role-policies --role-name {role}")),
    |cx, aws| {
        let client = Client::new(aws.config(cx).await);
        let pages = client.list_role_policies().role_name(role).into_paginator().items().send();
        let call = found(pages.collect::<Result<Vec<_>, _>>());
        let answer = asked(cx, format!("iam list-role-policies {role}"), Self::NEEDS[0], call).await?;
        Ok(PolicyNames { policy_names: answer.ok_or_else(|| gone(role))? })
    }
}

fact! {
    /// The policies that a role refers to.
    AttachedRolePolicies { role }, "attachedRolePolicies",
    "iam:ListAttachedRolePolicies" => AttachedPolicies,
    Place::entry("aws/iam/list-attached-role-policies", role,
        format!("aws iam list-attached-role-policies --role-name {role}")),
    |cx, aws| {
        let client = Client::new(aws.config(cx).await);
        let call = client.list_attached_role_policies().role_name(role).into_paginator();
        let call = found(call.items().send().collect::<Result<Vec<_>, _>>());
        let what = format!("iam list-attached-role-policies {role}");
        let answer = asked(cx, what, Self::NEEDS[0], call).await?;
        Ok(AttachedPolicies { attached_policies: answer.ok_or_else(|| gone(role))?.keep() })
    }
}

fact! {
    /// The instance profiles that a role is in.
    RoleInstanceProfiles { role }, "roleInstanceProfiles",
    "iam:ListInstanceProfilesForRole" => InstanceProfiles,
    Place::entry("aws/iam/list-instance-profiles-for-role", role,
        format!("aws iam list-instance-profiles-for-role --role-name {role}")),
    |cx, aws| {
        let client = Client::new(aws.config(cx).await);
        let call = client.list_instance_profiles_for_role().role_name(role).into_paginator();
        let call = found(call.items().send().collect::<Result<Vec<_>, _>>());
        let what = format!("iam list-instance-profiles-for-role {role}");
        let answer = asked(cx, what, Self::NEEDS[0], call).await?;
        Ok(InstanceProfiles { instance_profiles: answer.ok_or_else(|| gone(role))?.keep() })
    }
}

fact! {
    /// A policy inside a role.
    RolePolicies { role, policy }, "rolePolicy", "iam:GetRolePolicy" => RolePolicy,
    Place::entry("aws/iam/get-role-policy", &format!("{role}/{policy}"),
        format!("aws iam get-role-policy --role-name {role} --policy-name {policy}")),
    |cx, aws| {
        let client = Client::new(aws.config(cx).await);
        let call = found(client.get_role_policy().role_name(role).policy_name(policy).send());
        let what = format!("iam get-role-policy {role} {policy}");
        let answer = asked(cx, what, Self::NEEDS[0], call).await?.ok_or_else(|| gone(role))?;
        Ok(RolePolicy {
            role_name: answer.role_name,
            policy_name: answer.policy_name,
            policy_document: Document::encoded(&answer.policy_document),
        })
    }
}

fn gone(role: &str) -> kfcheck::Fault {
    kfcheck::Fault::Absent(format!("role {role}"))
}

impl Named for Role {
    fn resource(&self) -> Resource {
        role_resource(&self.role_name)
    }
}

/// A role's name across layers, be it there or not.
pub(crate) fn role_resource(name: &str) -> Resource {
    super::resource("Role", name)
}

/// The name in a role's ARN, or what is a name already.
pub(crate) fn role_name(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}
