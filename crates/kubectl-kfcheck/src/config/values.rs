//! The values that a configuration has, each read from text so that what is wrong with it is said
//! in our words, and at its line and column.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ipnet::IpNet;
use jiff::civil::Date;
use serde::Deserialize;

use crate::{args, live};

/// `kfcheck.config/v1`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Schema;

impl TryFrom<String> for Schema {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            super::SCHEMA => Ok(Self),
            _ => Err(format!("'{text}' is not known here; expected {}", super::SCHEMA)),
        }
    }
}

/// Text that says something.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Text(pub(crate) String);

impl TryFrom<String> for Text {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.trim().is_empty() {
            Err("it is empty; expected some text".to_owned())
        } else {
            Ok(Self(text))
        }
    }
}

/// `[NAMESPACE/]NAME`, as the flags have it.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Object(pub(crate) String, pub(crate) String);

impl TryFrom<String> for Object {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (namespace, name) = args::namespaced(&text).map_err(|error| no(&text, &error))?;
        Ok(Self(namespace, name))
    }
}

/// `NAMESPACE/NAME`.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Placed(pub(crate) String, pub(crate) String);

impl TryFrom<String> for Placed {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once('/') {
            Some((namespace, name)) if is_name(namespace) && is_name(name) => {
                Ok(Self(namespace.to_owned(), name.to_owned()))
            }
            _ => Err(no(&text, "expected NAMESPACE/NAME, for example kubeflow/kubeflow-gateway")),
        }
    }
}

/// What Kubernetes calls something, as a namespace or a Service.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Name(pub(crate) String);

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if is_name(&text) {
            return Ok(Self(text));
        }
        Err(no(&text, "expected a name of Kubernetes': small letters, digits and hyphens"))
    }
}

fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let inner = text.trim_start_matches('-').trim_end_matches('-');
    inner == text && (1..=63).contains(&text.len()) && text.chars().all(plain)
}

/// How long, as the flags have it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Time(pub(crate) Duration);

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        args::duration(&text).map(Self).map_err(|error| no(&text, &error))
    }
}

/// An address of a name server, as the flag has it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Server(pub(crate) SocketAddr);

impl TryFrom<String> for Server {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        live::name_server(&text).map(Self).map_err(|error| no(&text, &error))
    }
}

/// An address.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Address(pub(crate) IpAddr);

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let address = text.parse().map(Self);
        address.map_err(|_| no(&text, "expected an address, for example 192.0.2.1"))
    }
}

/// A range of addresses.
#[cfg_attr(not(feature = "gcp"), allow(dead_code, reason = "a file may be for other builds, too"))]
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Range(pub(crate) IpNet);

impl TryFrom<String> for Range {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let range = text.parse().map(|range: IpNet| Self(range.trunc()));
        range.map_err(|_| no(&text, "expected a range of addresses, for example 35.191.0.0/16"))
    }
}

/// A day.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Day(pub(crate) Date);

impl TryFrom<String> for Day {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // As it is written again, so that nothing behind it is passed over.
        match text.parse::<Date>() {
            Ok(day) if day.to_string() == text => Ok(Self(day)),
            _ => Err(no(&text, "expected a day, for example 2027-01-31")),
        }
    }
}

/// A whole number.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Number<const LEAST: u16, const MOST: u16>(pub(crate) u16);

impl<const LEAST: u16, const MOST: u16> TryFrom<String> for Number<LEAST, MOST> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.parse() {
            Ok(number) if (LEAST..=MOST).contains(&number) => Ok(Self(number)),
            _ => Err(no(&text, &format!("expected a whole number of {LEAST} to {MOST}"))),
        }
    }
}

fn no(text: &str, expected: &str) -> String {
    format!("'{text}' won't do; {expected}")
}
