//! Requests of the query protocol and EC2's, which are forms.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::{Map, Value};

use super::{
    models::Protocol,
    request::scalar,
    shape::{Kind, Shape},
};

/// The fields of a form by the parts of their names: `Filter.1.Value.2` is four levels deep.
#[derive(Default)]
struct Tree {
    text: Option<String>,
    below: BTreeMap<String, Tree>,
}

/// What a form says, as the shape has it, or what of it no such form would have.
pub(super) fn read(
    shape: Shape<'_>,
    protocol: Protocol,
    fields: &[(String, String)],
) -> Result<Value, String> {
    let mut tree = Tree::default();
    for (name, value) in fields {
        if ["Action", "Version"].contains(&name.as_str()) {
            continue;
        }
        let mut at = &mut tree;
        for part in name.split('.') {
            at = at.below.entry(part.to_owned()).or_default();
        }
        if at.text.replace(value.clone()).is_some() {
            return Err(format!("parameter {name} twice"));
        }
    }
    value(shape, protocol, &tree, "")
}

fn value(shape: Shape<'_>, protocol: Protocol, tree: &Tree, at: &str) -> Result<Value, String> {
    match shape.kind() {
        Kind::Structure => structure(shape, protocol, tree, at),
        Kind::List => list(shape, protocol, tree, at),
        Kind::Map | Kind::Document => Err(format!("parameter {at}: maps are not read here")),
        _ if !tree.below.is_empty() => Err(format!("parameter {at} has no parts")),
        kind => Ok(scalar(kind, tree.text.as_deref().unwrap_or_default())),
    }
}

fn structure(shape: Shape<'_>, protocol: Protocol, tree: &Tree, at: &str) -> Result<Value, String> {
    let mut found = Map::new();
    for (part, below) in &tree.below {
        let at = if at.is_empty() { part.clone() } else { format!("{at}.{part}") };
        let mut members = shape.members();
        let named = members.find(|(name, member)| *part == wire_name(name, *member, protocol));
        let (name, member) = named.ok_or_else(|| format!("no parameter {at}"))?;
        found.insert(name.to_owned(), value(member, protocol, below, &at)?);
    }
    Ok(Value::Object(found))
}

fn list(shape: Shape<'_>, protocol: Protocol, tree: &Tree, at: &str) -> Result<Value, String> {
    let wrong = || format!("parameter {at} is no list");
    let (item, flat) = (shape.item(), shape.flattened() || protocol == Protocol::Ec2);
    let items = if flat || tree.below.is_empty() {
        tree
    } else {
        let name = item.wire_name().unwrap_or("member");
        tree.below.get(name).filter(|_| tree.below.len() == 1).ok_or_else(wrong)?
    };
    // An empty list has the name alone.
    let numbered = items.below.iter().map(|(nth, item)| Some((nth.parse::<usize>().ok()?, item)));
    let numbered = numbered.collect::<Option<BTreeMap<_, _>>>().ok_or_else(wrong)?;
    if !numbered.keys().copied().eq(1..=numbered.len()) {
        return Err(wrong());
    }
    let each = |(nth, tree)| value(item, protocol, tree, &format!("{at}.{nth}"));
    numbered.into_iter().map(each).collect()
}

/// EC2 has its own way: <https://smithy.io/2.0/aws/protocols/aws-ec2-query-protocol.html>.
fn wire_name<'a>(name: &'a str, member: Shape<'a>, protocol: Protocol) -> Cow<'a, str> {
    if protocol != Protocol::Ec2 {
        return Cow::Borrowed(member.wire_name().unwrap_or(name));
    }
    if let Some(name) = member.query_name() {
        return Cow::Borrowed(name);
    }
    let mut letters = member.wire_name().unwrap_or(name).chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    Cow::Owned(first.into_iter().chain(letters).collect())
}
