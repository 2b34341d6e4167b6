use std::fmt::Display;

use globset::Glob;
use kfcheck::Suppression;
use serde_saphyr::{Error, Location, Spanned};

use super::file::{Deployment, File, Rule};
use crate::{Provider, select::similar};

/// The providers that there are, whether this program was built with them or not.
const PROVIDERS: [&str; 3] = ["gcp", "aws", "onprem"];

/// Reads a configuration that is called `name`. An error says where in it something is wrong, what,
/// and what was expected.
pub(crate) fn read(
    text: &str,
    name: &str,
    providers: &[Provider],
) -> Result<(File, Vec<Suppression>), String> {
    let options = serde_saphyr::options! { reject_unsupported_tags: true };
    let file = serde_saphyr::from_str_with_options(text, options);
    let file: File = file.map_err(|error| said(name, &error))?;
    one_entrance(name, &file.scope)?;
    let ids: Vec<_> = ids(providers);
    for glob in file.checks.only.iter().chain(&file.checks.skip) {
        check_glob(name, glob, &ids, providers)?;
    }
    let suppressions = file.suppressions.iter().map(|rule| {
        check_glob(name, &rule.check, &ids, providers)?;
        suppression(name, rule)
    });
    let suppressions = suppressions.collect::<Result<_, _>>()?;
    Ok((file, suppressions))
}

fn ids(providers: &[Provider]) -> Vec<&'static str> {
    let checks = providers.iter().flat_map(|provider| &provider.checks);
    checks.map(|check| check.meta().id).collect()
}

fn suppression(name: &str, rule: &Rule) -> Result<Suppression, String> {
    let (check, resource) = (&rule.check.value, &rule.resource.value);
    let made = Suppression::new(check, resource, &rule.reason.0, rule.expires.0);
    // That of the check is a glob, somebody has made sure of.
    let made = made.map_err(|says| at(name, rule.resource.referenced, says))?;
    Ok(made.written_at(place(name, rule.check.referenced)))
}

/// A glob that matches no check is a slip of the pen.
fn check_glob(
    name: &str,
    glob: &Spanned<String>,
    ids: &[&str],
    providers: &[Provider],
) -> Result<(), String> {
    let text = glob.value.as_str();
    let wrong = |says: String| at(name, glob.referenced, says);
    let parsed = Glob::new(text);
    let parsed = parsed.map_err(|error| wrong(format!("'{text}' is no glob: {}", error.kind())))?;
    let matcher = parsed.compile_matcher();
    // One of a provider that this program was built without can't be looked up.
    let unbuilt = PROVIDERS.iter().any(|unbuilt| {
        let is_of = text.strip_prefix(unbuilt).is_some_and(|rest| rest.starts_with('-'));
        is_of && providers.iter().all(|provider| provider.name != *unbuilt)
    });
    if unbuilt || ids.iter().any(|id| matcher.is_match(id)) {
        return Ok(());
    }
    Err(wrong(format!(
        "no check matches '{text}'{}; `kubectl kfcheck checks` lists them all",
        similar(ids, text)
    )))
}

fn one_entrance(name: &str, scope: &Deployment) -> Result<(), String> {
    let entrances = [
        ("host", scope.host.as_ref().map(|host| host.referenced)),
        ("ingress", scope.ingress.as_ref().map(|ingress| ingress.referenced)),
        ("gateway", scope.gateway.as_ref().map(|gateway| gateway.referenced)),
        ("service", scope.service.as_ref().map(|service| service.referenced)),
    ];
    let mut said = entrances.into_iter().filter_map(|(key, place)| Some((key, place?)));
    match (said.next(), said.next()) {
        (Some((first, _)), Some((second, place))) => {
            let says = format!("`{second}` beside `{first}`; expected one entrance");
            Err(at(name, place, says))
        }
        _ => Ok(()),
    }
}

fn place(name: &str, place: Location) -> String {
    format!("{name}:{}:{}", place.line(), place.column())
}

fn at(name: &str, location: Location, says: impl Display) -> String {
    format!("{}: {says}", place(name, location))
}

/// What the parser says, in words for whoever wrote the file.
fn said(name: &str, error: &Error) -> String {
    let error = error.without_snippet();
    let says = match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            let keys = listed(expected);
            format!("`{field}` is no key here{}; expected {keys}", similar(expected, field))
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            format!("'{variant}' won't do; expected {}", listed(expected))
        }
        Error::SerdeMissingField { field, .. } => format!("a `{field}` is missing beside this"),
        Error::DuplicateMappingKey { key, .. } => {
            format!("`{}` is there twice; expected once", key.as_deref().unwrap_or("a key"))
        }
        Error::MultipleDocuments { .. } => "a second document; expected one".to_owned(),
        Error::NullIntoString { .. } => "nothing is written here; expected some text".to_owned(),
        other => {
            let text = other.to_string();
            let text = text.split(" at line ").next().unwrap_or(&text);
            let text = text.replace("mapping start", "keys and values");
            let text = text.replace("sequence start", "a list, each item after a hyphen");
            let quote = "anchor or alias; quote what begins with an asterisk, as '*'";
            text.replace("string scalar", "some text").replace("anchor or alias", quote)
        }
    };
    match error.location() {
        Some(location) => at(name, location, says),
        None => format!("{name}: {says}"),
    }
}

fn listed(keys: &[&str]) -> String {
    match keys {
        [] => "none".to_owned(),
        [one] => (*one).to_owned(),
        [all @ .., last] => format!("{} or {last}", all.join(", ")),
    }
}
