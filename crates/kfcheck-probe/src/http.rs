use std::collections::BTreeMap;

use jiff::Timestamp;
use kfcheck::{Cx, Fact, FactError, Place, redact::redact};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{Ask, Outside};

/// A request to an address, and what comes back; redirects are not followed.
#[derive(Clone, Debug, Serialize)]
pub struct HttpProbe {
    /// The whole address.
    pub url: String,
}

/// What a request was answered.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpAnswer {
    /// The address asked.
    pub url: String,
    /// `GET` where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// What was sent along.
    #[serde(rename = "requestHeaders", skip_serializing_if = "is_none")]
    pub credentials: Credentials,
    /// The status; none if it didn't come to that.
    pub status: Option<u16>,
    /// The headers, names in lower case, secrets taken out.
    #[serde(deserialize_with = "headers")]
    pub headers: BTreeMap<String, String>,
    /// How the body begins, secrets taken out.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "clean")]
    pub body_snippet: Option<String>,
    /// Why there is no answer, layer first: `dns`, `connect`, `tls`, `http`.
    #[serde(deserialize_with = "clean")]
    pub error: Option<String>,
    /// The TLS handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// How the request was made, where it wasn't made from outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Whether a request carried credentials; what they were isn't kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Option<BTreeMap<String, String>>", into = "BTreeMap<String, String>")]
pub enum Credentials {
    /// It carried none.
    #[default]
    None,
    /// It carried a token.
    Token,
}

impl From<Option<BTreeMap<String, String>>> for Credentials {
    fn from(headers: Option<BTreeMap<String, String>>) -> Self {
        let carries = |name: &String| name.to_ascii_lowercase().ends_with("authorization");
        let token = headers.iter().flat_map(BTreeMap::keys).any(carries);
        if token { Self::Token } else { Self::None }
    }
}

impl From<Credentials> for BTreeMap<String, String> {
    fn from(credentials: Credentials) -> Self {
        let header = ("Authorization".to_owned(), format!("Bearer {}", kfcheck::redact::REDACTED));
        match credentials {
            Credentials::None => Self::new(),
            Credentials::Token => Self::from([header]),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks like that")]
fn is_none(credentials: &Credentials) -> bool {
    *credentials == Credentials::None
}

/// What was seen of the handshake, also when the certificate did not convince.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tls {
    /// For example `TLSv1.3`.
    pub version: Option<String>,
    /// Whose certificate it is.
    pub subject: Option<String>,
    /// The names it is for.
    pub dns_names: Option<Vec<String>>,
    /// Until when.
    pub not_after: Option<Timestamp>,
    /// Whether a client would trust it.
    pub verified: Option<bool>,
    /// Why not.
    pub error: Option<String>,
    /// Whose certificates came along, nearest first.
    #[serde(deserialize_with = "subjects", skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
}

/// Subjects; what isn't one, as somebody else may have written it down, is left out.
fn subjects<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let all: serde_json::Value = Deserialize::deserialize(from)?;
    let texts = all.as_array().into_iter().flatten().filter_map(|one| one.as_str());
    Ok(texts.map(str::to_owned).collect())
}

impl Fact for HttpProbe {
    const NAME: &'static str = "probe.http";
    type Value = Vec<HttpAnswer>;

    fn place(&self) -> Option<Place<Vec<HttpAnswer>>> {
        let command = format!("curl -sv '{}'", self.url);
        Some(Place::members("probes/http", [("url", &*self.url)], command))
    }

    async fn fetch(&self, cx: &Cx) -> Result<Vec<HttpAnswer>, FactError> {
        let outside = cx.client::<Outside>()?;
        let ask = Ask::get(&self.url);
        // What follows may be a secret of somebody's sign-in.
        let shown = self.url.split('?').next().unwrap_or_default();
        Ok(vec![cx.call(format!("probe GET {shown}"), outside.ask_anywhere(cx, &ask)).await?])
    }
}

impl HttpAnswer {
    /// A header, its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Where a redirect leads.
    pub fn redirect(&self) -> Option<&str> {
        self.status.filter(|status| (300..400).contains(status))?;
        self.header("location")
    }

    /// The first answer to a plain request from outside.
    pub fn anonymous(all: &[Self]) -> Option<&Self> {
        all.iter().find(|answer| answer.credentials == Credentials::None && answer.note.is_none())
    }

    /// The first answer to a request that carried a token.
    pub fn with_token(all: &[Self]) -> Option<&Self> {
        all.iter().find(|answer| answer.credentials == Credentials::Token)
    }
}

fn headers<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    let all: Option<BTreeMap<String, Text>> = Option::deserialize(from)?;
    let secret = |name: &str| name.contains("cookie") || name.contains("auth");
    let header = |(name, Text(value)): (String, Text)| {
        let name = name.to_ascii_lowercase();
        let plain = !secret(&name) || name == "www-authenticate";
        let value =
            if plain { redact(&value).into_owned() } else { kfcheck::redact::REDACTED.to_owned() };
        (name, value)
    };
    Ok(all.into_iter().flatten().map(header).collect())
}

/// A header's value; one that comes several times is a list.
#[derive(Deserialize)]
#[serde(from = "OneOrMore")]
struct Text(String);

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl From<OneOrMore> for Text {
    fn from(value: OneOrMore) -> Self {
        Self(match value {
            OneOrMore::One(text) => text,
            OneOrMore::More(all) => all.join(", "),
        })
    }
}

fn clean<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text: Option<String> = Option::deserialize(from)?;
    Ok(text.map(|text| redact(&text).into_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::HttpAnswer;

    #[test]
    fn tokens_and_cookies_are_neither_kept_nor_written() {
        let recorded = json!({ "url": "https://a/", "status": 200,
            "requestHeaders": { "Authorization": "Bearer hunter2hunter2" },
            "headers": { "Set-Cookie": ["a=hunter2"], "Location": "/x" },
            "bodySnippet": "password=hunter2" });
        let answer: HttpAnswer = serde_json::from_value(recorded).unwrap();
        assert_eq!(answer.header("location"), Some("/x"));
        let written = serde_json::to_string(&answer).unwrap();
        assert!(!written.contains("hunter2"), "{written}");
        let again: HttpAnswer = serde_json::from_str(&written).unwrap();
        assert_eq!(again.credentials, answer.credentials);
        assert!(HttpAnswer::anonymous(std::slice::from_ref(&again)).is_none());
    }
}
