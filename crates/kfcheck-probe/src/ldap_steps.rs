//! A connector's steps, one after the other; each says itself how it went.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};

use kfcheck::{Cx, FactError, Fault, redact::redact, wire};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde_json::json;

use crate::{
    BindPassword, Ldap, LdapAnswer, LdapBind, LdapCode, LdapConnect, LdapEntry, LdapFound,
    LdapMatcher, LdapProbe, LdapPurpose, LdapRoots, LdapSearch, LdapSecurity, Outside, Stream, Way,
    ldap::{FROM_HERE, KEPT},
    ldap_wire::{Answer, Filter, Outcome, Search, Wire},
    outside::LAYER,
    tls::shake_hands,
};

/// How long signing in may take.
const BIND: Duration = Duration::from_secs(5);
/// How long searching may take.
const SEARCHES: Duration = Duration::from_secs(10);
/// How long the end may take.
const GOODBYE: Duration = Duration::from_secs(1);
/// How many users are looked at.
const USERS: usize = 10;
/// How many groups are looked through for these users.
const GROUPS: usize = 500;
/// How many groups are written down.
const SHOWN: usize = 10;
/// How many members of a group are written down beside the users that were looked at.
const OTHERS: usize = 3;
/// How much is read of what searches find, in bytes.
const MOST_READ: usize = 16 << 20;
/// No error is longer, in characters.
const LONGEST: usize = 300;

type Connected = Wire<Box<dyn Stream>>;

impl LdapProbe {
    /// Goes through the steps until one fails.
    pub(crate) async fn walk(&self, cx: &Cx) -> Result<LdapAnswer, FactError> {
        let (outside, ldap) = (cx.client::<Outside>()?, cx.client::<Ldap>()?);
        let (host, port) = split(&self.host);
        let port = port.unwrap_or_else(|| self.security.port());
        let mut answer = LdapAnswer {
            connector: self.connector.clone(),
            host: if host.contains(':') {
                format!("[{host}]:{port}")
            } else {
                format!("{host}:{port}")
            },
            ..LdapAnswer::default()
        };
        let way = ldap.services.reach(cx, &self.namespace, host, port).await?;
        let way = match way {
            Some(way) => way,
            None => match self.dial(&outside, host, port).await {
                Ok(stream) => Way::Open { stream, through: None, is_sure: false },
                Err(why) => Way::Closed { why, through: Some(FROM_HERE.to_owned()) },
            },
        };
        let mut is_known = false;
        let connection = match way {
            Way::Closed { why, through } => {
                answer.connect.through = through;
                Err(why)
            }
            Way::Open { stream, through, is_sure } => {
                is_known = is_sure;
                answer.connect.through = through;
                self.protect(&outside, stream, host, &mut answer.connect).await
            }
        };
        match connection {
            Ok(mut connection) => {
                answer.connect.ok = Some(true);
                match self.bind(cx, &ldap, &mut connection, &mut answer, is_known).await {
                    Ok(true) => answer.searches = self.search(&mut connection).await,
                    Ok(false) => {}
                    Err(why) => {
                        // What took the connection is no directory, or can't be reached through it.
                        answer.connect.ok = Some(false);
                        answer.connect.error = Some(format!("ldap: {why}"));
                    }
                }
                // It is over for us, whether the server hears of that or not.
                drop(tokio::time::timeout(GOODBYE, connection.unbind()).await);
            }
            Err(why) => {
                answer.connect.ok = Some(false);
                answer.connect.error = Some(why);
            }
        }
        // Read as a bundle is, so that what is nobody's business is taken out in one place.
        let answer = wire::read(json!(answer));
        Ok(answer.map_err(|error| Fault::Bug(format!("a probe's answer: {error}")))?)
    }

    /// A connection from this machine.
    async fn dial(
        &self,
        outside: &Outside,
        host: &str,
        port: u16,
    ) -> Result<Box<dyn Stream>, String> {
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) if host.is_empty() => return Err("dns: the connector names no host".to_owned()),
            Err(_) => outside.addresses(host).await?,
        };
        Ok(Box::new(outside.connect(&addresses, port).await?))
    }

    /// Sees to TLS, as the connector has it.
    async fn protect(
        &self,
        outside: &Outside,
        stream: Box<dyn Stream>,
        host: &str,
        connect: &mut LdapConnect,
    ) -> Result<Connected, String> {
        let mut wire = Wire::over(stream);
        connect.tls = Some(false);
        if self.security == LdapSecurity::Plain {
            return Ok(wire);
        }
        if self.security == LdapSecurity::StartTls {
            let asked = within(LAYER, wire.start_tls()).await;
            let outcome = asked.map_err(|why| format!("starttls: {why}"))?;
            if !outcome.is_success() {
                return Err(format!("starttls: {}", said(&outcome)));
            }
        }
        let roots = self.roots(outside)?;
        let shaking = shake_hands(wire.into_inner(), host, &roots, outside.clock);
        let Ok(shaken) = tokio::time::timeout(LAYER, shaking).await else {
            return Err(format!("tls: no answer within {LAYER:?}"));
        };
        let (stream, tls) = shaken.map_err(|(error, tls)| {
            let verdict = tls.and_then(|tls| tls.error);
            format!("tls: {}", verdict.unwrap_or(error))
        })?;
        connect.tls = Some(true);
        connect.verified = tls.verified;
        match tls.error {
            Some(verdict) if !self.skip_verify => Err(format!("tls: {verdict}")),
            _ => Ok(Wire::over(Box::new(stream))),
        }
    }

    fn roots(&self, outside: &Outside) -> Result<Arc<RootCertStore>, String> {
        match &self.roots {
            LdapRoots::Known => Ok(Arc::clone(&outside.roots)),
            LdapRoots::Unknown => Ok(Arc::new(RootCertStore::empty())),
            LdapRoots::Stated(pem) => {
                let found = CertificateDer::pem_slice_iter(pem.as_bytes()).flatten();
                let mut roots = RootCertStore::empty();
                let (added, _) = roots.add_parsable_certificates(found);
                if added == 0 {
                    return Err("tls: rootCAData holds no certificate".to_owned());
                }
                Ok(Arc::new(roots))
            }
        }
    }

    /// Signs in; whether searches may follow. An error: there was no answer.
    async fn bind(
        &self,
        cx: &Cx,
        ldap: &Ldap,
        connection: &mut Connected,
        answer: &mut LdapAnswer,
        is_known: bool,
    ) -> Result<bool, String> {
        let dn = self.bind_dn.clone();
        let connect = &answer.connect;
        // The password is for the directory, and not for whoever answers in its place.
        let is_known = connect.tls != Some(true)
            || connect.verified == Some(true)
            || self.skip_verify
            || is_known;
        if !dn.is_empty() && !is_known {
            let why =
                "the server's certificate can't be judged from here, so the password was not sent";
            cx.missing("bind", Fault::Unreachable(why.to_owned()));
            return Ok(false);
        }
        let password = if dn.is_empty() {
            Ok(BindPassword::default())
        } else {
            ldap.passwords.password(cx, &self.connector).await
        };
        let password = match password {
            Ok(password) => password,
            Err(error) => {
                cx.missing("bind", error.fault);
                return Ok(false);
            }
        };
        let mut may_go_on = false;
        let literal = password.literal.clone();
        let first = (password.secret, password.source);
        for (secret, source) in [Some(first), literal].into_iter().flatten() {
            let bind = sign_in(connection, &dn, &secret, source).await?;
            may_go_on = bind.ok == Some(true);
            let is_refused = bind.result_code == Some(LdapCode::INVALID_CREDENTIALS);
            answer.binds.push(bind);
            if !is_refused {
                break;
            }
        }
        Ok(may_go_on)
    }

    /// Makes both searches at once.
    async fn search(&self, connection: &mut Connected) -> Vec<LdapFound> {
        let wanted = [
            (LdapPurpose::UserSearch, &self.user_search, USERS),
            (LdapPurpose::GroupSearch, &self.group_search, GROUPS),
        ];
        let wanted = wanted.into_iter().filter_map(|(purpose, search, most)| {
            Some(Running::new(purpose, search.as_ref()?, most))
        });
        let mut running: Vec<_> = wanted.collect();
        let searching = async {
            for search in &mut running {
                search.start(connection).await?;
            }
            while running.iter().any(Running::is_open) {
                let (number, answer) = connection.next().await?;
                if let Some(search) = running.iter_mut().find(|s| s.number == Some(number)) {
                    search.take(answer);
                }
                if connection.read > MOST_READ {
                    return Err("it sent more than is read".to_owned());
                }
            }
            Ok(())
        };
        if let Err(why) = within(SEARCHES, searching).await {
            running.iter_mut().filter(|search| search.is_open()).for_each(|s| s.give_up(&why));
        }
        let mut found: Vec<_> = running.into_iter().map(|search| search.found).collect();
        // A server has them in any order.
        for found in &mut found {
            found.entries.sort_by(|a, b| a.dn.cmp(&b.dn));
        }
        if let Some(search) = &self.group_search {
            keep_what_is_compared(&mut found, &search.matchers);
        }
        found
    }
}

/// One try to sign in. An error: there was no answer.
async fn sign_in(
    connection: &mut Connected,
    dn: &str,
    secret: &str,
    source: String,
) -> Result<LdapBind, String> {
    let password_source = Some(source).filter(|source| !source.is_empty());
    let mut bind = LdapBind { dn: dn.to_owned(), password_source, ..LdapBind::default() };
    if secret.is_empty() && !dn.is_empty() {
        // RFC 4513, section 5.1.2: many servers take that for nobody, and say that it worked.
        let why = "the password is empty, so it was not sent: servers take that for nobody";
        (bind.ok, bind.error) = (Some(false), Some(why.to_owned()));
        return Ok(bind);
    }
    let without = |text: String| match secret {
        "" => text,
        secret => text.replace(secret, kfcheck::redact::REDACTED),
    };
    let outcome = within(BIND, connection.bind(dn, secret)).await;
    let outcome = outcome.map_err(without)?;
    bind.ok = Some(outcome.is_success());
    bind.error = (!outcome.is_success()).then(|| without(said(&outcome)));
    bind.result_code = Some(outcome.code);
    Ok(bind)
}

/// A search that is under way.
struct Running<'a> {
    search: &'a LdapSearch,
    most: usize,
    /// By which number its answers go.
    number: Option<i64>,
    is_open: bool,
    found: LdapFound,
}

impl<'a> Running<'a> {
    fn new(purpose: LdapPurpose, search: &'a LdapSearch, most: usize) -> Self {
        let LdapSearch { base_dn, filter, .. } = search;
        let scope = if search.is_whole_tree() { "sub" } else { "one" };
        let found = LdapFound {
            purpose,
            base_dn: base_dn.clone(),
            scope: scope.to_owned(),
            filter: filter.clone(),
            ..LdapFound::default()
        };
        Self { search, most, number: None, is_open: true, found }
    }

    fn is_open(&self) -> bool {
        self.is_open
    }

    async fn start(&mut self, connection: &mut Connected) -> Result<(), String> {
        let filter = match Filter::compile(&self.search.filter) {
            Ok(filter) => filter,
            Err(why) => {
                self.give_up(&why);
                return Ok(());
            }
        };
        let matchers = self.search.matchers.iter().map(|matcher| &matcher.group_attr);
        let attributes = self.search.attributes.iter().chain(matchers).map(String::as_str);
        let mut attributes: BTreeSet<_> =
            attributes.filter(|name| !name.is_empty() && *name != "DN").collect();
        let known = KEPT.iter().copied().chain(["cn"]);
        let asked: Vec<_> = attributes.iter().map(|name| name.to_lowercase()).collect();
        attributes.extend(known.filter(|name| !asked.iter().any(|asked| asked == name)));
        let search = Search {
            base: &self.search.base_dn,
            whole_tree: self.search.is_whole_tree(),
            filter,
            attributes: attributes.into_iter().collect(),
            most: self.most as u64,
            seconds: SEARCHES.as_secs(),
        };
        self.number = Some(connection.search(&search).await?);
        Ok(())
    }

    fn take(&mut self, answer: Answer) {
        match answer {
            Answer::Entry(entry) if self.is_open => {
                if self.found.entries.len() < self.most {
                    self.found.entries.push(entry);
                } else {
                    // It was asked for no more than that.
                    self.end(LdapCode::SIZE_LIMIT_EXCEEDED);
                }
            }
            Answer::Done(outcome) if self.is_open => {
                self.end(outcome.code);
                if !self.found.is_answered() {
                    self.found.error = Some(said(&outcome));
                }
                self.found.matched_dn = Some(outcome.matched).filter(|dn| !dn.is_empty());
            }
            _ => {}
        }
    }

    fn end(&mut self, code: LdapCode) {
        self.is_open = false;
        self.found.result_code = Some(code);
        self.found.base_exists = match code {
            LdapCode::SUCCESS | LdapCode::SIZE_LIMIT_EXCEEDED => Some(true),
            LdapCode::NO_SUCH_OBJECT => Some(false),
            _ => None,
        };
    }

    fn give_up(&mut self, why: &str) {
        self.is_open = false;
        self.found.error = Some(why.to_owned());
    }
}

impl LdapSearch {
    fn is_whole_tree(&self) -> bool {
        self.scope != "one"
    }
}

/// Leaves some groups, first those that hold one of the users, and some members of each, first these
/// users.
fn keep_what_is_compared(found: &mut [LdapFound], matchers: &[LdapMatcher]) {
    let users = found.iter().filter(|found| found.purpose == LdapPurpose::UserSearch);
    let users: Vec<LdapEntry> = users.flat_map(|found| found.entries.clone()).collect();
    let ours = |matcher: &LdapMatcher| -> BTreeSet<String> {
        users
            .iter()
            .flat_map(|user| user.values(&matcher.user_attr))
            .map(str::to_lowercase)
            .collect()
    };
    let ours: Vec<_> =
        matchers.iter().map(|matcher| (&*matcher.group_attr, ours(matcher))).collect();
    for found in found.iter_mut().filter(|found| found.purpose == LdapPurpose::GroupSearch) {
        let mut groups = Vec::new();
        for mut group in std::mem::take(&mut found.entries) {
            let mut holds_ours = false;
            for (name, values) in &mut group.attributes {
                let is_ours = |value: &String| {
                    let value = value.to_lowercase();
                    ours.iter().any(|(attr, ours)| {
                        attr.eq_ignore_ascii_case(name) && ours.contains(&value)
                    })
                };
                let (mut kept, others): (Vec<_>, Vec<_>) = values.drain(..).partition(is_ours);
                holds_ours |= !kept.is_empty();
                kept.extend(others.into_iter().take(OTHERS));
                *values = kept;
            }
            groups.push((!holds_ours, group));
        }
        groups.sort_by_key(|(is_other, _)| *is_other);
        found.entries = groups.into_iter().map(|(_, group)| group).take(SHOWN).collect();
    }
}

/// A host, and the port where it names one.
fn split(host: &str) -> (&str, Option<u16>) {
    let host = host.trim();
    if host.parse::<IpAddr>().is_ok() {
        return (host, None);
    }
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) => (name, port.parse().ok()),
        None => (host, None),
    };
    (name.trim_matches(['[', ']']), port)
}

/// What a server says to something that didn't work.
fn said(outcome: &Outcome) -> String {
    let says: String = outcome.says.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    let says = redact(says.trim()).into_owned();
    if says.is_empty() { outcome.code.to_string() } else { format!("{}: {says}", outcome.code) }
}

async fn within<T>(
    limit: Duration,
    step: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    let late = |_| Err(format!("no answer within {limit:?}"));
    tokio::time::timeout(limit, step).await.unwrap_or_else(late)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_host_may_name_its_port() {
        assert_eq!(split("ldap.example.com"), ("ldap.example.com", None));
        assert_eq!(split("ldap.example.com:389"), ("ldap.example.com", Some(389)));
        assert_eq!(split("[::1]:636"), ("::1", Some(636)));
        assert_eq!(split("::1"), ("::1", None));
        assert_eq!(split("10.0.0.1"), ("10.0.0.1", None));
        assert_eq!(split(""), ("", None));
    }

    #[test]
    fn of_a_large_group_the_users_that_were_looked_at_are_kept() {
        let entry = |dn: &str, attributes: &[(&str, &[&str])]| LdapEntry {
            dn: dn.to_owned(),
            attributes: attributes
                .iter()
                .map(|(name, all)| {
                    ((*name).to_owned(), all.iter().map(|v| (*v).to_owned()).collect())
                })
                .collect::<BTreeMap<_, _>>(),
        };
        let members: Vec<_> = (0..100).map(|n| format!("uid=u{n},dc=a")).collect();
        let members: Vec<_> = members.iter().map(String::as_str).collect();
        let mut groups = vec![entry("cn=none,dc=a", &[("member", &["uid=x,dc=a"])]); 20];
        groups.push(entry("cn=all,dc=a", &[("member", &members), ("cn", &["all"])]));
        let user = entry("UID=u42,dc=a", &[]);
        let mut found = [
            LdapFound {
                purpose: LdapPurpose::UserSearch,
                entries: vec![user],
                ..LdapFound::default()
            },
            LdapFound {
                purpose: LdapPurpose::GroupSearch,
                entries: groups,
                ..LdapFound::default()
            },
        ];
        let matcher = LdapMatcher { user_attr: "DN".to_owned(), group_attr: "Member".to_owned() };
        keep_what_is_compared(&mut found, &[matcher]);
        let groups = &found[1].entries;
        assert_eq!(groups.len(), SHOWN);
        assert_eq!(groups[0].dn, "cn=all,dc=a");
        assert_eq!(groups[0].attributes["member"][0], "uid=u42,dc=a");
        assert_eq!(groups[0].attributes["member"].len(), 1 + OTHERS);
    }
}
