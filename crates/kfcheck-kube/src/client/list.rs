//! Objects, page by page.

use std::sync::Arc;

use kfcheck::{Cx, FactError, Fault, Selection};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use url::form_urlencoded::Serializer;

use super::{Answer, Connection, discovery::absent, installed};
use crate::Object;

/// How many objects come at a time (kubectl's own `--chunk-size`).
const PAGE: &str = "500";
/// How often a list is begun anew before it is given up.
const RESTARTS: usize = 3;

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(default)]
    metadata: PageMetadata,
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PageMetadata {
    #[serde(rename = "continue")]
    resume: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    api_version: Option<String>,
}

/// The objects that are meant, from the API server.
pub(crate) async fn list<K: Object>(
    cx: &Cx,
    Selection { namespace, name }: &Selection,
) -> Result<Vec<Arc<K>>, FactError> {
    let (connection, api) = installed(cx, &K::KIND).await?;
    let version = api.strip_prefix("/apis/").or(api.strip_prefix("/api/")).unwrap_or(&api);
    let plural = K::KIND.plural;
    let group = version.split_once('/').map(|(group, _)| format!("{plural}.{group}"));
    // An older server has the kind in an older group.
    let of_group = |need: &&&str| group.as_ref().is_some_and(|group| need.ends_with(&**group));
    let listing = K::NEEDS.iter().find(of_group).copied().unwrap_or(K::NEEDS[0]);
    let path = match namespace.as_ref().filter(|_| K::KIND.namespaced) {
        Some(namespace) => format!("{api}/namespaces/{namespace}/{plural}"),
        None => format!("{api}/{plural}"),
    };
    if let Some(name) = name {
        let permission = listing.replacen("list ", "get ", 1);
        let answer = connection.get(cx, &format!("{path}/{name}"), JSON).await?;
        return match answer.body(&path, &permission) {
            Ok(body) => Ok(vec![read(&path, version, &body)?]),
            Err(Fault::Absent(_)) => Ok(Vec::new()),
            Err(fault) => Err(fault.into()),
        };
    }
    let kind = K::KIND.resource();
    pages(cx, &connection, &path, &Listed { version, kind: &kind, permission: listing }).await
}

/// What is listed.
pub(super) struct Listed<'a> {
    /// `apps/v1`.
    pub(super) version: &'a str,
    /// `deployments.apps`.
    pub(super) kind: &'a str,
    /// What it takes.
    pub(super) permission: &'a str,
}

const JSON: &str = "application/json";

/// All pages of the list at `path`.
pub(super) async fn pages<K: DeserializeOwned>(
    cx: &Cx,
    connection: &Connection,
    path: &str,
    listed: &Listed<'_>,
) -> Result<Vec<Arc<K>>, FactError> {
    let (mut all, mut resume, mut restarts) = (Vec::new(), String::new(), 0);
    loop {
        let answer = connection.get(cx, &next_page(path, &resume), JSON).await?;
        if answer.status.as_u16() == 410 && restarts < RESTARTS {
            restarts += 1;
            // The rest is listed as it is by now (Kubernetes documentation, "Kubernetes API
            // Concepts"); without a token to go on with, all of it.
            resume = answer.refusal().metadata.resume;
            if resume.is_empty() {
                all.clear();
            }
            continue;
        }
        let next = page(answer, path, listed, &mut all)?;
        match next.filter(|token| !token.is_empty()) {
            Some(token) => resume = token,
            None => return Ok(all),
        }
    }
}

fn next_page(path: &str, resume: &str) -> String {
    let mut query = Serializer::new(String::new());
    query.append_pair("limit", PAGE);
    if !resume.is_empty() {
        query.append_pair("continue", resume);
    }
    format!("{path}?{}", query.finish())
}

/// Adds the objects of one page, and gives the token of the next.
fn page<K: DeserializeOwned>(
    answer: Answer,
    path: &str,
    listed: &Listed<'_>,
    all: &mut Vec<Arc<K>>,
) -> Result<Option<String>, Fault> {
    let absent = |fault| match fault {
        Fault::Absent(_) => absent(listed.kind),
        other => other,
    };
    let body = answer.body(path, listed.permission).map_err(absent)?;
    let page: Page<'_> = serde_json::from_slice(&body).map_err(|e| malformed(path, &e))?;
    let items = page.items.unwrap_or_default();
    all.reserve(items.len());
    for item in items {
        all.push(read(path, listed.version, item.get().as_bytes())?);
    }
    Ok(page.metadata.resume)
}

/// One object. In a list of a built-in kind they don't say of what version they are.
fn read<K: DeserializeOwned>(path: &str, version: &str, text: &[u8]) -> Result<Arc<K>, Fault> {
    let header: Header = serde_json::from_slice(text).map_err(|e| malformed(path, &e))?;
    let object = if header.api_version.is_some() {
        serde_json::from_slice(text)
    } else {
        let mut whole = format!("{{\"apiVersion\":\"{version}\",").into_bytes();
        let from = text.iter().position(|byte| *byte == b'{').map_or(0, |at| at + 1);
        whole.extend(&text[from..]);
        serde_json::from_slice(&whole)
    };
    object.map(Arc::new).map_err(|e| malformed(path, &e))
}

fn malformed(path: &str, error: &serde_json::Error) -> Fault {
    Fault::Malformed {
        file: format!("the API server's answer to GET {path}"),
        detail: error.to_string(),
    }
}
