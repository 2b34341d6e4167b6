//! The LDAP probe against OpenLDAP's server, and against servers that are none.

mod directory;
mod liars;

use std::{io, net::SocketAddr, time::Duration};

use kfcheck::{Clock, Cx, FactError, Fault, World, async_trait};
use kfcheck_probe::{
    BindPassword, BindPasswords, Dial, DnsAnswer, Ldap, LdapAnswer, LdapCode, LdapFound,
    LdapMatcher, LdapProbe, LdapPurpose, LdapRoots, LdapSearch, LdapSecurity, Outside,
    ReachServices, Resolve, Way,
};
use tokio::net::TcpStream;

use directory::{ADMIN, Directory, HOST, PASSWORD};

/// All names are this machine's, and no connection leaves it.
struct Here;

#[async_trait]
impl Resolve for Here {
    async fn resolve(&self, name: &str) -> Vec<DnsAnswer> {
        let (name, kind) = (name.to_owned(), "A".to_owned());
        let answers = Some(vec!["127.0.0.1".to_owned()]);
        vec![DnsAnswer { name, kind, answers, error: None }]
    }
}

#[async_trait]
impl Dial for Here {
    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        assert!(address.ip().is_loopback(), "{address}");
        TcpStream::connect(address).await
    }
}

#[async_trait]
impl ReachServices for Here {
    async fn reach(
        &self,
        _cx: &Cx,
        _namespace: &str,
        host: &str,
        port: u16,
    ) -> Result<Option<Way>, FactError> {
        Ok(match host {
            "inside" => {
                let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
                let through = Some("port-forward to pod auth/ldap-0".to_owned());
                Some(Way::Open { stream: Box::new(stream), through, is_sure: true })
            }
            "empty" => {
                let why = "connect: Service auth/empty has no ready endpoint".to_owned();
                Some(Way::Closed { why, through: None })
            }
            "forbidden" => {
                return Err(
                    Fault::Denied { permission: "create pods/portforward".to_owned() }.into()
                );
            }
            _ => None,
        })
    }
}

/// None: nobody knows it.
struct Password(Option<&'static str>);

#[async_trait]
impl BindPasswords for Password {
    async fn password(&self, _cx: &Cx, connector: &str) -> Result<BindPassword, FactError> {
        let denied = || Fault::Denied { permission: "get secrets".to_owned() };
        let source = format!("bindPW of connector {connector}");
        let password = self.0.ok_or_else(denied)?;
        // What Dex makes of it, if it has a variable in it.
        let Some((expanded, _)) = password.split_once('$') else {
            return Ok(BindPassword::new(password, source));
        };
        Ok(BindPassword::new(expanded, &source).written(password, format!("literal {source}")))
    }
}

fn world(password: Option<&'static str>) -> World {
    let outside = Outside::new(None).expect("this machine has name servers");
    let ldap = Ldap::new(Password(password), Here);
    World::live()
        .client(Ok(outside.resolver(Here).dialer(Here)))
        .client(Ok(ldap))
        .setting(Clock::default())
}

async fn ask(probe: &LdapProbe, password: &'static str) -> LdapAnswer {
    let world = world(Some(password));
    let answers = world.cx("test").get(probe.clone()).await.expect("an answer");
    let written = serde_json::to_string(&*answers).expect("an answer is JSON");
    assert!(password.is_empty() || !written.contains(password), "{written}");
    answers[0].clone()
}

/// The connector that the directory is right for.
fn connector(server: SocketAddr, security: LdapSecurity, authority: &str) -> LdapProbe {
    let search = |base: &str, filter: &str, attributes: &[&str]| LdapSearch {
        base_dn: format!("{base},dc=example,dc=com"),
        filter: filter.to_owned(),
        attributes: attributes.iter().map(|name| (*name).to_owned()).collect(),
        ..LdapSearch::default()
    };
    let matcher = LdapMatcher { user_attr: "DN".to_owned(), group_attr: "member".to_owned() };
    let users = search("ou=people", "(objectClass=inetOrgPerson)", &["uid", "mail", "cn"]);
    let groups = search("ou=groups", "(objectClass=groupOfNames)", &["cn"]);
    LdapProbe {
        connector: "ldap".to_owned(),
        host: format!("{HOST}:{}", server.port()),
        security,
        roots: LdapRoots::Stated(authority.to_owned()),
        bind_dn: ADMIN.to_owned(),
        user_search: Some(users),
        group_search: Some(LdapSearch { matchers: vec![matcher], ..groups }),
        ..LdapProbe::default()
    }
}

fn plain(directory: &Directory) -> LdapProbe {
    connector(directory.plain, LdapSecurity::Plain, "")
}

fn only(answer: &LdapAnswer, purpose: LdapPurpose) -> &LdapFound {
    let mut found = answer.found(purpose);
    let first = found.next().expect("the search was made");
    assert!(found.next().is_none(), "it was made once");
    first
}

fn users(answer: &LdapAnswer) -> &LdapFound {
    only(answer, LdapPurpose::UserSearch)
}

fn groups(answer: &LdapAnswer) -> &LdapFound {
    only(answer, LdapPurpose::GroupSearch)
}

/// Whether both searches found what is there.
fn found_all(answer: &LdapAnswer) -> bool {
    users(answer).entries.len() == 2 && groups(answer).entries.len() == 1
}

#[tokio::test]
async fn a_directory_that_is_as_the_connector_says_is_gone_through_to_its_groups() {
    let directory = Directory::with("", "");
    let answer = ask(&plain(&directory), PASSWORD).await;
    assert_eq!(answer.host, format!("{HOST}:{}", directory.plain.port()));
    assert_eq!((answer.connect.ok, answer.connect.tls), (Some(true), Some(false)));
    let bind = &answer.binds[0];
    assert_eq!(
        (&*bind.dn, bind.ok, bind.result_code),
        (ADMIN, Some(true), Some(LdapCode::SUCCESS))
    );
    assert_eq!(bind.password_source.as_deref(), Some("bindPW of connector ldap"));

    let users = users(&answer);
    assert_eq!((users.base_exists, users.result_code), (Some(true), Some(LdapCode::SUCCESS)));
    let [jane, joe] = &users.entries[..] else { panic!("{users:?}") };
    assert_eq!(jane.dn, "uid=jane,ou=people,dc=example,dc=com");
    assert!(jane.has("cn") && jane.hides("cn"), "the name of a person is nobody's business");
    assert_eq!(jane.values("mail").collect::<Vec<_>>(), ["jane@example.com"]);
    assert!(!jane.has("telephoneNumber") && !jane.has("userPassword"), "they were not asked for");
    assert!(!joe.has("mail"), "he has none");

    let group = &groups(&answer).entries[0];
    assert_eq!(group.values("member").next(), Some(&*jane.dn));
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_are_told_by_their_code() {
    let directory = Directory::with("", "");
    let wrong = ask(&plain(&directory), "not-the-password").await;
    let bind = &wrong.binds[0];
    assert_eq!((bind.ok, bind.result_code), (Some(false), Some(LdapCode::INVALID_CREDENTIALS)));
    assert_eq!(bind.error.as_deref(), Some("invalidCredentials (49)"));
    assert!(wrong.searches.is_empty(), "Dex doesn't search either then");

    let nobody =
        LdapProbe { bind_dn: "cn=nobody,dc=example,dc=com".to_owned(), ..plain(&directory) };
    let answer = ask(&nobody, PASSWORD).await;
    assert_eq!(answer.binds[0].result_code, Some(LdapCode::INVALID_CREDENTIALS));
    let no_name = LdapProbe { bind_dn: "admin".to_owned(), ..plain(&directory) };
    let answer = ask(&no_name, PASSWORD).await;
    assert_eq!(answer.binds[0].result_code, Some(LdapCode(34)));
    assert_eq!(answer.binds[0].error.as_deref(), Some("invalidDNSyntax (34): invalid DN"));
}

#[tokio::test]
async fn a_password_that_dex_takes_a_part_of_for_a_variable_is_tried_as_it_is_written() {
    let account = "dn: cn=dex,dc=example,dc=com\nobjectClass: organizationalRole\n\
                   objectClass: simpleSecurityObject\ncn: dex\nuserPassword: pa$word\n\n";
    let directory = Directory::with(account, "");
    let bind_dn = "cn=dex,dc=example,dc=com".to_owned();
    let answer = ask(&LdapProbe { bind_dn, ..plain(&directory) }, "pa$word").await;
    let binds: Vec<_> =
        answer.binds.iter().map(|bind| (bind.password_source.as_deref(), bind.ok)).collect();
    let source = "bindPW of connector ldap";
    let literal = format!("literal {source}");
    assert_eq!(binds, [(Some(source), Some(false)), (Some(&literal), Some(true))]);
    assert!(found_all(&answer), "what Dex would find then");
}

#[tokio::test]
async fn an_empty_password_is_not_sent() {
    let directory = Directory::with("", "");
    let answer = ask(&plain(&directory), "").await;
    let bind = &answer.binds[0];
    assert_eq!((bind.ok, bind.result_code), (Some(false), None));
    let says = "the password is empty, so it was not sent: servers take that for nobody";
    assert_eq!(bind.error.as_deref(), Some(says));
}

#[tokio::test]
async fn who_signs_in_as_nobody_is_told_what_nobody_may() {
    let directory = Directory::with("", "");
    let answer = ask(&LdapProbe { bind_dn: String::new(), ..plain(&directory) }, PASSWORD).await;
    assert_eq!((&*answer.binds[0].dn, answer.binds[0].ok), ("", Some(true)));
    // OpenLDAP hides what one may not see.
    assert_eq!(users(&answer).result_code, Some(LdapCode::NO_SUCH_OBJECT));
}

#[tokio::test]
async fn a_base_that_is_not_there_says_how_much_of_it_is() {
    let directory = Directory::with("", "");
    let mut probe = plain(&directory);
    let search = probe.user_search.as_mut().unwrap();
    search.base_dn = "ou=staff,ou=people,dc=example,dc=com".to_owned();
    let answer = ask(&probe, PASSWORD).await;
    let users = users(&answer);
    assert_eq!(
        (users.base_exists, users.result_code),
        (Some(false), Some(LdapCode::NO_SUCH_OBJECT))
    );
    assert_eq!(users.matched_dn.as_deref(), Some("ou=people,dc=example,dc=com"));
    assert_eq!(users.error.as_deref(), Some("noSuchObject (32)"));
    assert_eq!(groups(&answer).entries.len(), 1, "the other search is another matter");
}

#[tokio::test]
async fn scope_and_filter_decide_who_is_found() {
    let directory = Directory::with("", "");
    let mut probe = plain(&directory);
    let search = probe.user_search.as_mut().unwrap();
    (search.base_dn, search.scope) = ("dc=example,dc=com".to_owned(), "one".to_owned());
    let answer = ask(&probe, PASSWORD).await;
    let found = users(&answer);
    assert_eq!((&*found.scope, found.base_exists, found.entries.len()), ("one", Some(true), 0));

    probe.user_search.as_mut().unwrap().filter = "(objectClass=person".to_owned();
    let answer = ask(&probe, PASSWORD).await;
    let found = users(&answer);
    assert_eq!(found.error.as_deref(), Some("(objectClass=person is no LDAP filter"));
    assert_eq!((found.result_code, found.base_exists), (None, None));
    assert_eq!(groups(&answer).entries.len(), 1);
}

#[tokio::test]
async fn tls_convinces_with_the_authority_that_signed_and_with_no_other() {
    let directory = Directory::with("", "");
    let ways = [(LdapSecurity::StartTls, directory.plain), (LdapSecurity::Ldaps, directory.tls)];
    for (security, server) in ways {
        let right = connector(server, security, &directory.authority);
        let answer = ask(&right, PASSWORD).await;
        let connect = &answer.connect;
        assert_eq!(
            (connect.ok, connect.tls, connect.verified),
            (Some(true), Some(true), Some(true))
        );
        assert!(found_all(&answer), "{answer:?}");

        let same_name = connector(server, security, &directory.other_authority("An authority"));
        let error = ask(&same_name, PASSWORD).await.connect.error;
        let says = "tls: certificate signed by an authority of a trusted name, with another key";
        assert_eq!(error.as_deref(), Some(says));

        let wrong = connector(server, security, &directory.other_authority("Another"));
        let answer = ask(&wrong, PASSWORD).await;
        let connect = &answer.connect;
        assert_eq!(
            (connect.ok, connect.tls, connect.verified),
            (Some(false), Some(true), Some(false))
        );
        let error = connect.error.as_deref().unwrap();
        assert!(error.starts_with("tls: certificate signed by an unknown authority"), "{error}");
        assert!(answer.binds.is_empty(), "the password is not for strangers");

        let answer = ask(&LdapProbe { skip_verify: true, ..wrong }, PASSWORD).await;
        assert_eq!((answer.connect.ok, answer.connect.verified), (Some(true), Some(false)));
        assert!(found_all(&answer), "{answer:?}");

        let host = format!("localhost:{}", server.port());
        let answer = ask(&LdapProbe { host, ..right.clone() }, PASSWORD).await;
        let error = answer.connect.error.as_deref();
        assert_eq!(error, Some("tls: certificate not valid for name localhost"));

        let roots = LdapRoots::Stated("MIIB".to_owned());
        let answer = ask(&LdapProbe { roots, ..right.clone() }, PASSWORD).await;
        let error = answer.connect.error.as_deref();
        assert_eq!(error, Some("tls: rootCAData holds no certificate"));

        // An authority that only Dex's container has.
        let unknown = LdapProbe { roots: LdapRoots::Unknown, ..right };
        let answer = ask(&unknown, PASSWORD).await;
        assert_eq!((answer.connect.ok, answer.connect.verified), (Some(true), None));
        assert!(answer.binds.is_empty(), "it may be a stranger");
    }
}

#[tokio::test]
async fn a_port_that_speaks_something_else_than_the_connector_is_told_by_the_layer() {
    let directory = Directory::with("", "");
    let tls_to_plain = connector(directory.plain, LdapSecurity::Ldaps, &directory.authority);
    let error = ask(&tls_to_plain, PASSWORD).await.connect.error.unwrap();
    assert!(error.starts_with("tls: "), "{error}");
    let plain_to_tls = connector(directory.tls, LdapSecurity::StartTls, &directory.authority);
    let error = ask(&plain_to_tls, PASSWORD).await.connect.error.unwrap();
    assert!(error.starts_with("starttls: "), "{error}");
}

#[tokio::test]
async fn a_server_that_does_not_do_tls_refuses_to_start_it() {
    let directory = Directory::with("", "disallow tls_2_anon\nrequire none\n");
    let probe = connector(directory.plain, LdapSecurity::StartTls, &directory.authority);
    assert!(found_all(&ask(&probe, PASSWORD).await));
    let strict = Directory::with("", "security ssf=128\n");
    let answer = ask(&plain(&strict), PASSWORD).await;
    assert_eq!(answer.binds[0].result_code, Some(LdapCode(13)));
    let says = answer.binds[0].error.as_deref().unwrap();
    assert!(says.starts_with("confidentialityRequired (13)"), "{says}");
}

#[tokio::test]
async fn of_a_large_directory_some_is_looked_at() {
    let mut people = String::new();
    for n in 0..600 {
        people += &format!(
            "dn: uid=u{n},ou=people,dc=example,dc=com\nobjectClass: inetOrgPerson\nuid: u{n}\n\
             cn: U\nsn: U\nmail: u{n}@example.com\n\n"
        );
        people += &format!(
            "dn: cn=g{n},ou=groups,dc=example,dc=com\nobjectClass: groupOfNames\ncn: g{n}\n\
             member: uid=u{n},ou=people,dc=example,dc=com\n\n"
        );
    }
    let directory = Directory::with(&people, "");
    let answer = ask(&plain(&directory), PASSWORD).await;
    for found in [users(&answer), groups(&answer)] {
        assert_eq!(found.result_code, Some(LdapCode::SIZE_LIMIT_EXCEEDED));
        assert!(found.is_cut() && found.is_answered() && found.base_exists == Some(true));
        assert_eq!((found.entries.len(), found.error.as_deref()), (10, None));
    }
    // The groups of those that were looked at come first.
    let looked_at: Vec<_> = users(&answer).entries.iter().map(|user| &*user.dn).collect();
    let member = groups(&answer).entries[0].values("member").next().unwrap();
    assert!(looked_at.contains(&member), "{member} is none of {looked_at:?}");
}

#[tokio::test]
async fn a_service_of_the_cluster_is_reached_through_it() {
    let directory = Directory::with("", "");
    let port = directory.plain.port();
    let inside = LdapProbe { host: format!("inside:{port}"), ..plain(&directory) };
    let answer = ask(&inside, PASSWORD).await;
    assert_eq!(answer.connect.through.as_deref(), Some("port-forward to pod auth/ldap-0"));
    assert!(found_all(&answer), "{answer:?}");

    let empty = LdapProbe { host: "empty".to_owned(), ..plain(&directory) };
    let answer = ask(&empty, PASSWORD).await;
    let error = answer.connect.error.as_deref();
    assert_eq!(error, Some("connect: Service auth/empty has no ready endpoint"));

    let forbidden = LdapProbe { host: "forbidden".to_owned(), ..plain(&directory) };
    let error = world(Some("")).cx("test").get(forbidden).await.unwrap_err();
    assert_eq!(error.fault, Fault::Denied { permission: "create pods/portforward".to_owned() });
}

#[tokio::test]
async fn a_password_that_nobody_tells_leaves_the_connection_known() {
    let directory = Directory::with("", "");
    let world = world(None);
    let answers = world.cx("test").get(plain(&directory)).await.unwrap();
    assert_eq!(answers[0].connect.ok, Some(true));
    assert!(answers[0].binds.is_empty() && answers[0].searches.is_empty());
    let bundle = world.bundle();
    let texts = bundle.texts().map(|(_, text)| text.unwrap());
    let written: String = texts.collect();
    assert!(written.contains("get secrets"), "that it is missing is written down: {written}");
}

#[tokio::test]
async fn what_does_not_speak_ldap_is_an_answer_that_says_so() {
    for (liar, expected) in [
        (
            liars::Sort::Web,
            "its answer is no LDAP: it begins with \"HTTP/1.1 400 Bad Request....\"",
        ),
        (liars::Sort::Garbage, "its answer is no LDAP"),
        (liars::Sort::Nested, "its answer is no LDAP"),
        (
            liars::Sort::Huge,
            "one message of its answer is 2147483647 bytes long, which is too much",
        ),
        (liars::Sort::HangsUp, "the server closed the connection instead of an answer"),
        (liars::Sort::HangsUpInside, "the server closed the connection in the middle of an answer"),
        (liars::Sort::Goodbye, "the server ends the connection: unavailable (52) shutting down"),
        (liars::Sort::Silent, "no answer within 5s"),
    ] {
        let address = liars::serve(liar).await;
        let answer = ask(&connector(address, LdapSecurity::Plain, ""), PASSWORD).await;
        assert_eq!(answer.connect.ok, Some(false));
        assert_eq!(answer.connect.error, Some(format!("ldap: {expected}")));
        assert!(answer.binds.is_empty());
    }
}

#[tokio::test]
async fn a_silent_port_costs_each_layer_its_time_and_no_more() {
    let address = liars::serve(liars::Sort::Silent).await;
    for (security, layer) in [(LdapSecurity::StartTls, "starttls"), (LdapSecurity::Ldaps, "tls")] {
        let start = std::time::Instant::now();
        let answer = ask(&connector(address, security, ""), PASSWORD).await;
        let error = answer.connect.error.unwrap();
        if security == LdapSecurity::StartTls {
            assert_eq!(error, format!("{layer}: no answer within 5s"));
        }
        assert!(error.starts_with(layer), "{error}");
        assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_an_answer() {
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let answer = ask(&connector(free, LdapSecurity::Ldaps, ""), PASSWORD).await;
    let error = answer.connect.error.unwrap();
    assert!(error.starts_with("connect: 127.0.0.1:") && error.contains("refused"), "{error}");
    assert_eq!((answer.connect.ok, answer.connect.tls), (Some(false), None));
}

#[tokio::test]
async fn entries_without_end_do_no_harm() {
    let address = liars::serve(liars::Sort::Endless).await;
    let answer = ask(&connector(address, LdapSecurity::Plain, ""), PASSWORD).await;
    let users = users(&answer);
    assert_eq!((users.entries.len(), users.result_code), (10, Some(LdapCode::SIZE_LIMIT_EXCEEDED)));
    let groups = groups(&answer);
    assert_eq!(
        (groups.result_code, groups.error.as_deref()),
        (None, Some("it sent more than is read"))
    );
}

#[tokio::test]
async fn probes_of_several_connectors_run_at_the_same_time() {
    let address = liars::serve(liars::Sort::Silent).await;
    let named = |name: usize| LdapProbe {
        connector: name.to_string(),
        ..connector(address, LdapSecurity::Plain, "")
    };
    let world = world(Some(PASSWORD));
    let start = std::time::Instant::now();
    world.cx("test").get_all((0..20).map(named)).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(9), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_server_that_repeats_the_password_does_not_give_it_away() {
    let address = liars::serve(liars::Sort::Parrot).await;
    let answer = ask(&connector(address, LdapSecurity::Plain, ""), PASSWORD).await;
    let says = answer.binds[0].error.as_deref();
    assert_eq!(says, Some("invalidCredentials (49): wrong: (redacted)!"));
}
