//! Cloud Logging.

use serde_json::Value;

use super::{Cloud, after, call::Call, failure::Failure, listed, page::Page};

/// Answers `logging.entries.list`. Of a filter, only the names of logs are honoured.
pub(super) fn answer(cloud: &Cloud, call: &Call<'_>) -> Result<Value, Failure> {
    if call.route.method.id != "logging.entries.list" {
        return Err(call.unanswered());
    }
    let filter = call.body["filter"].as_str().unwrap_or_default();
    let logs = logs_in(filter).map_err(Failure::Malformed)?;
    let mut entries = Vec::new();
    for project in projects(call)? {
        cloud.holdings.check_project(project)?;
        entries.extend(cloud.holdings.items("gcp/logging/entries", project)?);
    }
    entries.retain(|entry| {
        let name = entry["logName"].as_str().unwrap_or_default();
        logs.is_empty() || logs.iter().any(|log| log.is(name))
    });
    entries.sort_by(|a, b| a["timestamp"].as_str().cmp(&b["timestamp"].as_str()));
    match call.body["orderBy"].as_str() {
        None | Some("" | "timestamp" | "timestamp asc") => {}
        Some("timestamp desc") => entries.reverse(),
        Some(other) => {
            return Err(Failure::Malformed(format!("orderBy field '{other}' is invalid")));
        }
    }
    let size = &call.body["pageSize"];
    let size = size.as_u64().and_then(|size| usize::try_from(size).ok());
    let page = Page::of(size, call.body["pageToken"].as_str(), cloud.page_size);
    Ok(listed("entries", page.cut(entries)?))
}

/// The projects whose entries are asked for.
fn projects<'a>(call: &'a Call<'_>) -> Result<Vec<&'a str>, Failure> {
    let names =
        call.body["resourceNames"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let projects: Vec<_> = names.filter_map(|name| after(name, "projects/")).collect();
    if projects.is_empty() {
        return Err(Failure::Malformed("At least one resource name must be specified.".to_owned()));
    }
    Ok(projects)
}

/// A log that a filter names.
#[derive(Debug, PartialEq, Eq)]
enum Log {
    /// `log_id("compute.googleapis.com/firewall")`.
    Id(String),
    /// `logName="projects/p/logs/compute.googleapis.com%2Ffirewall"`.
    Name(String),
}

impl Log {
    fn is(&self, name: &str) -> bool {
        match self {
            Self::Name(whole) => whole == name,
            Self::Id(id) => name
                .split_once("/logs/")
                .is_some_and(|(_, log)| log.eq_ignore_ascii_case(&id.replace('/', "%2F"))),
        }
    }
}

/// The logs that a filter names; an error if its parentheses or quotes don't balance.
fn logs_in(filter: &str) -> Result<Vec<Log>, String> {
    let tokens = tokens_in(filter)?;
    let mut logs = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| tokens.get(at)).map(String::as_str);
        if matches!(before, Some("NOT" | "-")) {
            continue;
        }
        let rest: Vec<_> = tokens[at + 1..].iter().map(String::as_str).collect();
        match (token.as_str(), &rest[..]) {
            ("log_id", ["(", id, ")", ..]) => logs.push(Log::Id(unquoted(id))),
            ("logName", ["=", "(", names @ ..]) => {
                let names = names.iter().take_while(|token| **token != ")");
                let names = names.filter(|token| **token != "OR");
                logs.extend(names.map(|name| Log::Name(unquoted(name))));
            }
            ("logName", ["=", name, ..]) => logs.push(Log::Name(unquoted(name))),
            _ => {}
        }
    }
    Ok(logs)
}

fn unquoted(token: &str) -> String {
    token.trim_matches('"').to_owned()
}

/// Words, quoted texts and signs, in order.
fn tokens_in(filter: &str) -> Result<Vec<String>, String> {
    let (mut tokens, mut depth, mut rest) = (Vec::new(), 0_usize, filter.trim_start());
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '"' => quoted(rest).ok_or_else(|| format!("filter: unclosed quote in {filter}"))?,
            '(' | ')' | '=' | '-' => 1,
            _ => {
                rest.find(|c: char| "\"()=".contains(c) || c.is_whitespace()).unwrap_or(rest.len())
            }
        };
        depth = match first {
            '(' => depth + 1,
            ')' => depth.checked_sub(1).ok_or_else(|| format!("filter: stray ) in {filter}"))?,
            _ => depth,
        };
        tokens.push(rest[..end].to_owned());
        rest = rest[end..].trim_start();
    }
    if depth > 0 { Err(format!("filter: unclosed ( in {filter}")) } else { Ok(tokens) }
}

/// How long the quoted text is that `text` begins with.
fn quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return Some(at + 1),
            _ => escaped = c == '\\' && !escaped,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_names_logs() {
        let filter = r#"(log_id("compute.googleapis.com/healthchecks") OR log_id("b"))
            timestamp >= "2024-01-01T00:00:00Z" AND NOT log_id("c")"#;
        let ids = ["compute.googleapis.com/healthchecks", "b"].map(|id| Log::Id(id.to_owned()));
        assert_eq!(logs_in(filter).unwrap(), ids);
        let names = ["a", "b"].map(|name| Log::Name(name.to_owned()));
        assert_eq!(logs_in(r#"logName=("a" OR "b")"#).unwrap(), names);
        assert_eq!(logs_in(r#"logName = "a" severity>=ERROR"#).unwrap(), names[..1]);
        assert!(ids[0].is("projects/p/logs/compute.googleapis.com%2Fhealthchecks"));
    }

    #[test]
    fn a_filter_that_does_not_balance_is_refused() {
        for broken in [r#"log_id("a"#, r#"(log_id("a")"#, r#"log_id("a"))"#, r#""a\""#] {
            assert!(logs_in(broken).is_err(), "{broken}");
        }
        assert!(logs_in(r#"jsonPayload.text:"(\"""#).is_ok());
    }
}
