use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use kfcheck::{
    Cx, Fact, FactError, Place, async_trait,
    redact::{REDACTED, redact},
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};

/// Dex's LDAP connector, gone through step by step: connect, bind, search for users, search for
/// groups. It is named by connector and host; all else is as Dex's configuration has it. The
/// password is no part of it: whoever is set up as [`Ldap`] knows it by the connector's `id`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LdapProbe {
    /// The connector's `id`.
    pub connector: String,
    /// The server, as the configuration has it: `ldap.example.com` or `ldap.example.com:389`.
    pub host: String,
    /// The namespace of Dex, where names of Services that don't say theirs are looked for.
    #[serde(skip)]
    pub namespace: String,
    /// How the connection is protected.
    #[serde(skip)]
    pub security: LdapSecurity,
    /// Whether any certificate will do: `insecureSkipVerify`.
    #[serde(skip)]
    pub skip_verify: bool,
    /// Whose certificates are trusted.
    #[serde(skip)]
    pub roots: LdapRoots,
    /// Whom to bind as: `bindDN`. Empty: nobody, which Dex calls anonymous.
    #[serde(skip)]
    pub bind_dn: String,
    /// How users are found.
    #[serde(skip)]
    pub user_search: Option<LdapSearch>,
    /// How groups are found.
    #[serde(skip)]
    pub group_search: Option<LdapSearch>,
}

/// How a connection to an LDAP server is protected (dexidp/dex, `connector/ldap/ldap.go`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LdapSecurity {
    /// TLS from the first byte.
    #[default]
    Ldaps,
    /// TLS that is asked for on a plain connection: `startTLS`.
    StartTls,
    /// None: `insecureNoSSL`, whatever `startTLS` says.
    Plain,
}

impl LdapSecurity {
    /// The port where a host names none: Dex takes 636 for `startTLS`, too.
    pub fn port(self) -> u16 {
        match self {
            Self::Plain => 389,
            Self::Ldaps | Self::StartTls => 636,
        }
    }
}

/// Whose certificates a connector trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LdapRoots {
    /// Those of well-known authorities: nothing is stated.
    #[default]
    Known,
    /// Those of these authorities, in PEM: `rootCAData`, decoded.
    Stated(String),
    /// Those in a file of Dex's container's, which isn't known: `rootCA`. No verdict is given then.
    Unknown,
}

/// What asks LDAP servers, beside [`Outside`](crate::Outside): it knows passwords, and the way to
/// what only the cluster reaches.
pub struct Ldap {
    pub(crate) passwords: Arc<dyn BindPasswords>,
    pub(crate) services: Arc<dyn ReachServices>,
}

impl Ldap {
    /// One with these passwords and this way into the cluster.
    pub fn new(
        passwords: impl BindPasswords + 'static,
        services: impl ReachServices + 'static,
    ) -> Self {
        Self { passwords: Arc::new(passwords), services: Arc::new(services) }
    }
}

/// Knows the passwords of connectors, as Dex uses them: with variables of its environment put in.
#[async_trait]
pub trait BindPasswords: Send + Sync {
    /// The password of a connector; an error says why it isn't known.
    async fn password(&self, cx: &Cx, connector: &str) -> Result<BindPassword, FactError>;
}

/// A password, which is neither shown nor written.
#[derive(Clone, Default)]
pub struct BindPassword {
    pub(crate) secret: String,
    pub(crate) source: String,
    /// The same before variables were put in, and what it is called then.
    pub(crate) literal: Option<(String, String)>,
}

impl BindPassword {
    /// A password and where it came from, in words: `bindPW of ConfigMap auth/dex`.
    pub fn new(secret: impl Into<String>, source: impl Into<String>) -> Self {
        Self { secret: secret.into(), source: source.into(), literal: None }
    }

    /// The same, where variables were put in: as it is written it is tried as well if the server
    /// doesn't take the other. `source` says that it is the `literal` one.
    #[must_use]
    pub fn written(mut self, literal: impl Into<String>, source: impl Into<String>) -> Self {
        self.literal = Some((literal.into(), source.into()));
        self
    }
}

impl fmt::Debug for BindPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BindPassword")
    }
}

/// That a server was asked from the machine of whoever inspects. Where no connection comes about, that
/// says nothing of whether Dex gets one.
pub const FROM_HERE: &str = "this machine";

/// A connection, whatever it goes through.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Reaches what Dex reaches, from outside of its cluster.
#[async_trait]
pub trait ReachServices: Send + Sync {
    /// The way to a port of what `host` names for Dex in `namespace`; none where there is no way but
    /// the one from this machine.
    async fn reach(
        &self,
        cx: &Cx,
        namespace: &str,
        host: &str,
        port: u16,
    ) -> Result<Option<Way>, FactError>;
}

/// How a server is reached.
pub enum Way {
    /// By this connection.
    Open {
        /// The connection.
        stream: Box<dyn Stream>,
        /// What it goes through, in words; none: nothing.
        through: Option<String>,
        /// Whether the way itself vouches for who is at its end.
        is_sure: bool,
    },
    /// Not at all, also for Dex: a Service that nothing stands behind.
    Closed {
        /// Why, layer first.
        why: String,
        /// From where it was tried, in words.
        through: Option<String>,
    },
}

/// A search to make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LdapSearch {
    /// Where it starts.
    pub base_dn: String,
    /// `sub` or `one`; empty is `sub`, as for Dex.
    pub scope: String,
    /// The filter, parentheses included; empty is everything.
    pub filter: String,
    /// The attributes that the connector reads.
    pub attributes: Vec<String>,
    /// For groups: which attribute of a user's stands in which of a group's.
    pub matchers: Vec<LdapMatcher>,
}

/// What makes a user a member of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LdapMatcher {
    /// The attribute of the user's: `userAttr`; `DN` is its name itself.
    pub user_attr: String,
    /// The attribute of the group's that holds it: `groupAttr`.
    pub group_attr: String,
}

/// What came of a connector's steps; those that weren't come to are not there.
///
/// Of entries, their names are kept, and the values of attributes that hold a login, a mail address
/// or a membership, since those are compared. Of all other attributes it is kept that they have a
/// value, and how many, but not which. A password is never part of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LdapAnswer {
    /// The connector's `id`.
    pub connector: String,
    /// The server asked, with its port.
    #[serde(deserialize_with = "or_default")]
    pub host: String,
    /// How the connection went.
    #[serde(deserialize_with = "or_default")]
    pub connect: LdapConnect,
    /// How signing in went.
    #[serde(deserialize_with = "or_default")]
    pub binds: Vec<LdapBind>,
    /// What was found.
    #[serde(deserialize_with = "or_default")]
    pub searches: Vec<LdapFound>,
}

/// How a connection went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LdapConnect {
    /// Whether it is there, protected as it was asked for, with a directory at its end.
    pub ok: Option<bool>,
    /// Whether it is protected by TLS.
    #[serde(deserialize_with = "protected")]
    pub tls: Option<bool>,
    /// Whether the certificate convinces somebody who trusts the stated authorities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
    /// Why not, layer first: `dns`, `connect`, `starttls`, `tls`, `ldap`.
    #[serde(deserialize_with = "clean")]
    pub error: Option<String>,
    /// How the server was reached, where it wasn't from this machine: `port-forward to pod …`, `nc in
    /// pod …`. [`FROM_HERE`] where no connection came about from this machine.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "clean")]
    pub through: Option<String>,
}

/// How signing in went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LdapBind {
    /// As whom; empty: as nobody.
    #[serde(deserialize_with = "or_default")]
    pub dn: String,
    /// Where the password came from, in words.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "clean")]
    pub password_source: Option<String>,
    /// Whether the server accepted it.
    pub ok: Option<bool>,
    /// The server's answer; none: there was none.
    #[serde(deserialize_with = "code")]
    pub result_code: Option<LdapCode>,
    /// Why not.
    #[serde(deserialize_with = "clean")]
    pub error: Option<String>,
}

/// What a search is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LdapPurpose {
    /// To find users.
    UserSearch,
    /// To find the groups of users.
    GroupSearch,
    /// Something else that somebody else has tried.
    #[default]
    #[serde(other)]
    Other,
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LdapFound {
    /// What it was for.
    #[serde(deserialize_with = "or_default")]
    pub purpose: LdapPurpose,
    /// Where it started.
    #[serde(rename = "baseDN", deserialize_with = "or_default")]
    pub base_dn: String,
    /// `sub` or `one`.
    #[serde(deserialize_with = "or_default")]
    pub scope: String,
    /// The filter.
    #[serde(deserialize_with = "or_default")]
    pub filter: String,
    /// Whether there is something at `baseDN`.
    pub base_exists: Option<bool>,
    /// The server's answer; none: there was none. 4 says that there are more entries than asked for.
    #[serde(deserialize_with = "code")]
    pub result_code: Option<LdapCode>,
    /// How much of `baseDN` there is, where there isn't all of it.
    #[serde(rename = "matchedDN", skip_serializing_if = "Option::is_none")]
    pub matched_dn: Option<String>,
    /// Some of what was found.
    #[serde(deserialize_with = "or_default")]
    pub entries: Vec<LdapEntry>,
    /// Why it failed.
    #[serde(deserialize_with = "clean")]
    pub error: Option<String>,
}

/// An entry of a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LdapEntry {
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub dn: String,
    /// Its attributes that have a value; what is nobody else's business is `(redacted)`.
    #[serde(deserialize_with = "attributes")]
    pub attributes: BTreeMap<String, Vec<String>>,
}

/// A result code (RFC 4511, appendix A).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct LdapCode(pub u32);

impl LdapCode {
    /// It worked.
    pub const SUCCESS: Self = Self(0);
    /// There is more than was asked for.
    pub const SIZE_LIMIT_EXCEEDED: Self = Self(4);
    /// There is nothing of that name.
    pub const NO_SUCH_OBJECT: Self = Self(32);
    /// Wrong name or wrong password.
    pub const INVALID_CREDENTIALS: Self = Self(49);

    /// What RFC 4511 calls it.
    pub fn name(self) -> Option<&'static str> {
        CODES.iter().find(|(code, _)| *code == self.0).map(|(_, name)| *name)
    }
}

impl fmt::Display for LdapCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.0),
            None => write!(f, "result code {}", self.0),
        }
    }
}

/// RFC 4511, section 4.1.9 and appendix A.
const CODES: [(u32, &str); 39] = [
    (0, "success"),
    (1, "operationsError"),
    (2, "protocolError"),
    (3, "timeLimitExceeded"),
    (4, "sizeLimitExceeded"),
    (5, "compareFalse"),
    (6, "compareTrue"),
    (7, "authMethodNotSupported"),
    (8, "strongerAuthRequired"),
    (10, "referral"),
    (11, "adminLimitExceeded"),
    (12, "unavailableCriticalExtension"),
    (13, "confidentialityRequired"),
    (14, "saslBindInProgress"),
    (16, "noSuchAttribute"),
    (17, "undefinedAttributeType"),
    (18, "inappropriateMatching"),
    (19, "constraintViolation"),
    (20, "attributeOrValueExists"),
    (21, "invalidAttributeSyntax"),
    (32, "noSuchObject"),
    (33, "aliasProblem"),
    (34, "invalidDNSyntax"),
    (36, "aliasDereferencingProblem"),
    (48, "inappropriateAuthentication"),
    (49, "invalidCredentials"),
    (50, "insufficientAccessRights"),
    (51, "busy"),
    (52, "unavailable"),
    (53, "unwillingToPerform"),
    (54, "loopDetect"),
    (64, "namingViolation"),
    (65, "objectClassViolation"),
    (66, "notAllowedOnNonLeaf"),
    (67, "notAllowedOnRDN"),
    (68, "entryAlreadyExists"),
    (69, "objectClassModsProhibited"),
    (71, "affectsMultipleDSAs"),
    (80, "other"),
];

impl Fact for LdapProbe {
    const NAME: &'static str = "probe.ldap";
    const NEEDS: &'static [&'static str] = &["create pods/portforward", "create pods/exec"];
    // A little more than its steps may take one after the other.
    const TIMEOUT: Duration = Duration::from_secs(50);
    type Value = Vec<LdapAnswer>;

    fn place(&self) -> Option<Place<Vec<LdapAnswer>>> {
        let command = format!("ldapsearch -H ldap://{} -x", self.host);
        Some(Place::members("probes/ldap", [("connector", &*self.connector)], command))
    }

    async fn fetch(&self, cx: &Cx) -> Result<Vec<LdapAnswer>, FactError> {
        let what = format!("probe LDAP {} of connector {}", self.host, self.connector);
        Ok(vec![cx.call(what, self.walk(cx)).await?])
    }
}

impl LdapAnswer {
    /// What a search for `purpose` found, each time it was made.
    pub fn found(&self, purpose: LdapPurpose) -> impl Iterator<Item = &LdapFound> {
        self.searches.iter().filter(move |search| search.purpose == purpose)
    }
}

impl LdapConnect {
    /// Whether the connection is there; none: nobody says.
    pub fn is_ok(&self) -> Option<bool> {
        self.ok.or_else(|| self.error.is_some().then_some(false))
    }

    /// Whether all that is known is that no connection comes about from where somebody inspects.
    pub fn is_unreached_from_here(&self) -> bool {
        self.through.as_deref() == Some(FROM_HERE) && self.is_ok() == Some(false)
    }
}

impl LdapBind {
    /// Whether the server accepted it; none: nobody says.
    pub fn is_ok(&self) -> Option<bool> {
        let by_code = self.result_code.map(|code| code == LdapCode::SUCCESS);
        self.ok.or(by_code).or_else(|| self.error.is_some().then_some(false))
    }
}

impl LdapFound {
    /// Whether there may be more entries than were looked at.
    pub fn is_cut(&self) -> bool {
        self.result_code == Some(LdapCode::SIZE_LIMIT_EXCEEDED)
    }

    /// Whether the server went through with it, be it to the size that was asked for.
    pub fn is_answered(&self) -> bool {
        let codes = [LdapCode::SUCCESS, LdapCode::SIZE_LIMIT_EXCEEDED];
        self.result_code.map_or(self.error.is_none(), |code| codes.contains(&code))
    }
}

impl LdapEntry {
    /// Whether it has a value for an attribute. `DN` is its name, as for Dex.
    pub fn has(&self, attribute: &str) -> bool {
        attribute == "DN" && !self.dn.is_empty()
            || self.of(attribute).any(|value| !value.is_empty())
    }

    /// The values of an attribute that were kept.
    pub fn values<'a>(&'a self, attribute: &'a str) -> impl Iterator<Item = &'a str> {
        let name = Some(&*self.dn).filter(|_| attribute == "DN");
        name.into_iter().chain(self.of(attribute).filter(|value| *value != REDACTED))
    }

    /// Whether it has values for an attribute that were not kept.
    pub fn hides(&self, attribute: &str) -> bool {
        self.of(attribute).any(|value| value == REDACTED)
    }

    fn of<'a>(&'a self, attribute: &'a str) -> impl Iterator<Item = &'a str> {
        // RFC 4512, section 2.5: names are case insensitive.
        let named = self.attributes.iter().filter(|(name, _)| name.eq_ignore_ascii_case(attribute));
        named.flat_map(|(_, values)| values.iter().map(String::as_str))
    }
}

/// The attributes whose values are kept: logins, mail addresses and memberships. They are asked for
/// in any case, as a connector may name the wrong one.
pub(crate) const KEPT: [&str; 11] = [
    "uid",
    "samaccountname",
    "userprincipalname",
    "mail",
    "distinguishedname",
    "objectclass",
    "member",
    "uniquemember",
    "memberuid",
    "memberof",
    "roleoccupant",
];

fn attributes<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<String, Vec<String>>, D::Error> {
    let all: Option<BTreeMap<String, Value>> = Option::deserialize(from)?;
    let text = |value: Value| match value {
        Value::String(text) => Some(text),
        Value::Null => None,
        other => Some(other.to_string()),
    };
    let attribute = |(name, value): (String, Value)| {
        let values = match value {
            Value::Array(all) => all.into_iter().filter_map(text).collect(),
            one => text(one).into_iter().collect::<Vec<_>>(),
        };
        let is_kept = KEPT.contains(&&*name.to_ascii_lowercase());
        let shown = |text: String| match &*text {
            "" => text,
            _ if is_kept => text,
            _ => REDACTED.to_owned(),
        };
        (name, values.into_iter().map(shown).collect())
    };
    Ok(all.into_iter().flatten().map(attribute).collect())
}

/// Written as a number, in digits, or by its name.
fn code<'de, D: Deserializer<'de>>(from: D) -> Result<Option<LdapCode>, D::Error> {
    let value: Option<Value> = Option::deserialize(from)?;
    let number = |text: &str| {
        let digits: String = text
            .chars()
            .skip_while(|c| !c.is_ascii_digit())
            .take_while(char::is_ascii_digit)
            .collect();
        digits.parse().ok()
    };
    let named = |text: &str| {
        let name = |known: &&(u32, &str)| {
            text.split(|c: char| !c.is_ascii_alphabetic())
                .any(|word| word.eq_ignore_ascii_case(known.1))
        };
        CODES.iter().find(name).map(|(code, _)| *code)
    };
    let code = match value {
        Some(Value::Number(code)) => code.as_u64().and_then(|code| code.try_into().ok()),
        Some(Value::String(text)) => number(&text).or_else(|| named(&text)),
        _ => None,
    };
    Ok(code.map(LdapCode))
}

/// Whether there is TLS: yes or no, the name of what there is, or what is known of it.
fn protected<'de, D: Deserializer<'de>>(from: D) -> Result<Option<bool>, D::Error> {
    let value: Option<Value> = Option::deserialize(from)?;
    Ok(match value {
        Some(Value::Bool(tls)) => Some(tls),
        Some(Value::String(text)) => {
            let none = ["", "none", "plain", "no", "false", "off"];
            Some(!none.contains(&&*text.to_ascii_lowercase()))
        }
        Some(Value::Object(_)) => Some(true),
        _ => None,
    })
}

fn or_default<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

fn clean<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text: Option<String> = Option::deserialize(from)?;
    Ok(text.filter(|text| !text.is_empty()).map(|text| redact(&text).into_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{LdapAnswer, LdapCode, LdapPurpose};

    #[test]
    fn what_others_wrote_down_is_read() {
        let answer: LdapAnswer = serde_json::from_value(json!({
            "connector": "ldap", "host": null, "connect": { "ok": true, "tls": "StartTLS" },
            "binds": [{ "dn": "cn=a", "passwordSource": "bindPW: hunter2", "resultCode": "49" },
                      { "dn": null, "resultCode": "invalidCredentials", "ok": null }],
            "searches": [{ "purpose": "userSearch", "entries": null, "resultCode": 32 },
                         { "purpose": "whoami", "attempts": 3 }, {}],
            "note": "from a pod" }))
        .unwrap();
        assert_eq!(answer.connect.tls, Some(true));
        let codes: Vec<_> = answer.binds.iter().filter_map(|bind| bind.result_code).collect();
        assert_eq!(codes, [LdapCode::INVALID_CREDENTIALS; 2]);
        assert_eq!(codes[0].to_string(), "invalidCredentials (49)");
        assert_eq!(answer.binds[1].is_ok(), Some(false));
        assert_eq!(answer.found(LdapPurpose::UserSearch).count(), 1);
        assert!(!answer.searches[0].is_answered() && answer.searches[1].is_answered());
        assert!(!serde_json::to_string(&answer).unwrap().contains("hunter2"));
        let empty: LdapAnswer = serde_json::from_value(json!({ "connector": "x" })).unwrap();
        assert_eq!(empty.connect.is_ok(), None);
    }

    #[test]
    fn of_a_person_only_name_login_and_mail_are_kept() {
        let recorded = json!({ "connector": "ldap", "searches": [{ "purpose": "userSearch",
            "entries": [{ "dn": "uid=jane,dc=example,dc=com", "attributes": {
                "uid": ["jane"], "mail": "jane@example.com", "userPassword": ["hunter2"],
                "telephoneNumber": ["1", "2"], "displayName": "Jane Doe", "uidNumber": 1000,
                "description": null, "sn": [""] } }] }] });
        let answer: LdapAnswer = serde_json::from_value(recorded).unwrap();
        let entry = &answer.searches[0].entries[0];
        assert_eq!(entry.values("UID").collect::<Vec<_>>(), ["jane"]);
        assert_eq!(entry.values("DN").collect::<Vec<_>>(), ["uid=jane,dc=example,dc=com"]);
        assert_eq!(entry.attributes["telephoneNumber"].len(), 2);
        assert!(entry.has("displayname") && entry.hides("displayName") && entry.has("uidNumber"));
        assert!(!entry.has("description") && !entry.has("sn") && !entry.has("cn"));
        let written = serde_json::to_string(&answer).unwrap();
        assert!(!written.contains("hunter2") && !written.contains("Doe"), "{written}");
        let again: LdapAnswer = serde_json::from_str(&written).unwrap();
        assert_eq!(again.searches, answer.searches);
    }
}
