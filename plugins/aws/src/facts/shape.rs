//! How answers of AWS's client libraries become what the AWS CLI prints.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    ops::Deref,
};

use aws_sdk_sts::primitives::DateTime;
use jiff::Timestamp;
use kfcheck::redact::{REDACTED, redact};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Declares what is read of AWS's types: structs whose fields are spelled as the API's reference has
/// them, and how they come of the client library's. What stands behind `;` comes from elsewhere.
macro_rules! shape {
    (@from [] $name:ident $($field:ident)+) => {};
    (@from [$sdk:ident :: $type_there:ident] $name:ident $($field:ident)+) => {
        impl From<$sdk::$type_there> for $name {
            fn from(given: $sdk::$type_there) -> Self {
                use $crate::facts::shape::Keep;
                let mut kept = Self::default();
                $( kept.$field = given.$field.keep(); )+
                kept
            }
        }

        impl $crate::facts::shape::Part<$name> for $sdk::$type_there {
            fn part(self) -> $name {
                self.into()
            }
        }
    };
    ($(
        $(#[doc = $doc:literal])+
        pub struct $name:ident $(of $sdk:ident :: $type_there:ident)? in $case:literal {
            $( $field:ident $(as $wire:literal)? : $type:ty ),+ $(,)?
            $(; $own:ident $(as $own_wire:literal)? : $own_type:ty )?
        }
    )+) => { $(
        $(#[doc = $doc])+
        #[allow(missing_docs, reason = "the fields are the API's, and its reference has them")]
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = $case, default)]
        pub struct $name {
            $(
                $(#[serde(rename = $wire)])?
                #[serde(
                    deserialize_with = "kfcheck_kube::null_is_empty",
                    skip_serializing_if = "crate::facts::shape::is_nothing"
                )]
                pub $field: $type,
            )+
            $(
                $(#[serde(rename = $own_wire)])?
                #[serde(
                    deserialize_with = "kfcheck_kube::null_is_empty",
                    skip_serializing_if = "crate::facts::shape::is_nothing"
                )]
                pub $own: $own_type,
            )?
        }

        $crate::facts::shape::shape!(@from [$($sdk :: $type_there)?] $name $($field)+);
    )+ };
}

pub(crate) use shape;

pub(crate) fn is_nothing<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What a field of the client library's type becomes.
pub(crate) trait Keep<T> {
    fn keep(self) -> T;
}

/// What a value in a field becomes.
pub(crate) trait Part<T> {
    fn part(self) -> T;
}

macro_rules! as_it_is {
    ($($type:ty),+) => { $(
        impl Part<$type> for $type {
            fn part(self) -> $type {
                self
            }
        }

        impl Keep<$type> for $type {
            fn keep(self) -> $type {
                self
            }
        }
    )+ };
}

as_it_is!(bool, i32, i64);

impl<T: AsRef<str>> Part<String> for T {
    fn part(self) -> String {
        self.as_ref().to_owned()
    }
}

impl<T: AsRef<str>> Keep<String> for Option<T> {
    fn keep(self) -> String {
        self.map(Part::part).unwrap_or_default()
    }
}

impl Keep<String> for String {
    fn keep(self) -> String {
        self
    }
}

impl Keep<bool> for Option<bool> {
    fn keep(self) -> bool {
        self.unwrap_or_default()
    }
}

impl<T: Part<B>, B> Keep<Option<B>> for Option<T> {
    fn keep(self) -> Option<B> {
        self.map(Part::part)
    }
}

impl<T: Part<B>, B> Keep<Vec<B>> for Option<Vec<T>> {
    fn keep(self) -> Vec<B> {
        self.into_iter().flatten().map(Part::part).collect()
    }
}

impl<T: Part<B>, B> Keep<Vec<B>> for Vec<T> {
    fn keep(self) -> Vec<B> {
        self.into_iter().map(Part::part).collect()
    }
}

impl Keep<BTreeMap<String, String>> for Option<HashMap<String, String>> {
    fn keep(self) -> BTreeMap<String, String> {
        self.into_iter().flatten().collect()
    }
}

/// A point in time. The AWS CLI prints some as text and, in its first version, some as seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Timestamp);

impl Part<Time> for DateTime {
    fn part(self) -> Time {
        let seconds = Timestamp::new(self.secs(), self.subsec_nanos().try_into().unwrap_or(0));
        Time(seconds.unwrap_or_default())
    }
}

impl Keep<Option<Time>> for DateTime {
    fn keep(self) -> Option<Time> {
        Some(self.part())
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum OnWire {
            Text(Timestamp),
            Seconds(f64),
        }
        let time = match OnWire::deserialize(from)? {
            OnWire::Text(time) => time,
            #[expect(clippy::cast_possible_truncation, reason = "what is lost is below a second")]
            OnWire::Seconds(seconds) => {
                Timestamp::from_second(seconds as i64).map_err(serde::de::Error::custom)?
            }
        };
        Ok(Self(time))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

/// What a service says in words, secrets taken out.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Words(String);

impl From<&str> for Words {
    fn from(text: &str) -> Self {
        Self(redact(text).into_owned())
    }
}

impl Deref for Words {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Keep<Words> for Option<String> {
    fn keep(self) -> Words {
        self.as_deref().unwrap_or_default().into()
    }
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(String::deserialize(from)?.as_str().into())
    }
}

impl Serialize for Words {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

/// Whether a secret is there. What it is isn't kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IsThere(pub bool);

impl Keep<IsThere> for Option<String> {
    fn keep(self) -> IsThere {
        IsThere(self.is_some_and(|secret| !secret.is_empty()))
    }
}

impl<'de> Deserialize<'de> for IsThere {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self(!String::deserialize(from)?.is_empty()))
    }
}

impl Serialize for IsThere {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(if self.0 { REDACTED } else { "" })
    }
}

/// A tag, however the service calls it in its own types.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Tag {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

macro_rules! tag {
    ($($sdk:ty),+) => { $(
        impl Part<Tag> for $sdk {
            fn part(self) -> Tag {
                Tag { key: self.key.keep(), value: self.value.keep() }
            }
        }
    )+ };
}

tag!(
    aws_sdk_cloudformation::types::Tag,
    aws_sdk_ec2::types::Tag,
    aws_sdk_elasticloadbalancing::types::Tag,
    aws_sdk_elasticloadbalancingv2::types::Tag
);

/// The value of a tag.
pub(crate) fn tag<'a>(tags: &'a [Tag], key: &str) -> Option<&'a str> {
    tags.iter().find(|tag| tag.key == key).map(|tag| tag.value.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{IsThere, Time, Words};

    #[test]
    fn times_are_read_as_both_versions_of_the_cli_print_them() {
        for printed in [json!("2020-08-07T08:00:00+00:00"), json!(1_596_787_200.25)] {
            let time: Time = serde_json::from_value(printed).unwrap();
            assert_eq!(serde_json::to_value(time).unwrap(), "2020-08-07T08:00:00Z");
        }
    }

    #[test]
    fn secrets_are_not_kept() {
        let there: IsThere = serde_json::from_value(json!("hunter2")).unwrap();
        assert_eq!(serde_json::to_value(there).unwrap(), "(redacted)");
        let words: Words = serde_json::from_value(json!("failed: password=hunter2")).unwrap();
        assert!(!words.contains("hunter2"));
    }
}
