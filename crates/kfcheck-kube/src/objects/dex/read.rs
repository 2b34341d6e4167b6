//! From YAML to what checks read of it.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{
    super::{Hidden, Sealed},
    BrokenYaml, DexClient, DexConfig, DexConnector, DexGroupSearch, DexLdap, DexPassword,
    DexUserSearch, DexWeb, Expansion, PasswordHash, Slip, UserMatcher, Wrong,
    keys::{LDAP, ROOT, Sort},
};

/// How many slips are worth telling.
const SLIPS: usize = 50;

/// The values of an LDAP connector that are secret.
const SECRET: [&str; 1] = ["bindPW"];

/// Reads a configuration, broken or not.
pub(super) fn config(text: &str) -> DexConfig {
    DexConfig { is_template: text.contains("{{"), ..document(text) }
}

fn document(text: &str) -> DexConfig {
    let root = match parse(text) {
        Ok(Value::Object(root)) => root,
        Ok(Value::Null) => Map::new(),
        Ok(_) => return DexConfig { broken: Some(BrokenYaml::default()), ..DexConfig::default() },
        Err(broken) => return DexConfig { broken: Some(broken), ..DexConfig::default() },
    };
    let root = Keys(&root);
    let web = root.map("web");
    let mut slips = Vec::new();
    examine(root.0, ROOT, "", &mut slips);
    let connectors = root.list("connectors");
    for (at, connector) in connectors.iter().enumerate() {
        place(*connector, &format!("connectors[{at}]"), &mut slips);
    }
    // Those that keep users out come first.
    slips.sort_by_key(|slip| slip.wrong == Wrong::Unknown);
    slips.truncate(SLIPS);
    let mut storage_expansions = Vec::new();
    find_expansions(root.map("storage").map("config").0, "", false, &mut storage_expansions);
    DexConfig {
        issuer: root.some("issuer"),
        storage: root.map("storage").some("type"),
        storage_expansions,
        web: DexWeb {
            http: web.some("http"),
            https: web.some("https"),
            tls_cert: web.some("tlsCert"),
            tls_key: web.some("tlsKey"),
        },
        enable_password_db: root.flag("enablePasswordDB"),
        connectors: connectors.into_iter().map(connector).collect(),
        static_clients: root.list("staticClients").into_iter().map(client).collect(),
        static_passwords: root.list("staticPasswords").into_iter().map(password).collect(),
        slips,
        ..DexConfig::default()
    }
}

/// One document. Without aliases there is no more in it than its size says.
fn parse(text: &str) -> Result<Value, BrokenYaml> {
    let size = text.len().max(1000);
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
        budget: serde_saphyr::budget! {
            max_documents: size,
            max_events: 4 * size,
            max_nodes: size,
            max_total_scalar_bytes: 2 * size,
        },
    };
    let all: Result<Vec<Value>, _> = serde_saphyr::from_multiple_with_options(text, options);
    match all {
        // Dex reads the first.
        Ok(all) => Ok(all.into_iter().next().unwrap_or_default()),
        Err(error) => Err(broken(text, &error)),
    }
}

/// Where it is broken; what the parser says may quote a secret.
fn broken(text: &str, error: &serde_saphyr::Error) -> BrokenYaml {
    let Some(at) = error.location() else { return BrokenYaml::default() };
    let line = at.line();
    let nth = usize::try_from(line).unwrap_or_default().saturating_sub(1);
    let key = text.lines().nth(nth).and_then(|line| {
        let (key, _) = line.split_once(':')?;
        let key = key.trim().trim_start_matches("- ");
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        (!key.is_empty() && key.chars().all(plain)).then(|| key.to_owned())
    });
    BrokenYaml { line, column: at.column(), key }
}

/// The keys of a map, whatever their case.
#[derive(Clone, Copy)]
struct Keys<'a>(&'a Map<String, Value>);

impl<'a> Keys<'a> {
    fn of(value: Option<&'a Value>) -> Self {
        static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
        Self(value.and_then(Value::as_object).unwrap_or(&NONE))
    }

    fn get(self, key: &str) -> Option<&'a Value> {
        let exact = self.0.get(key);
        exact.or_else(|| {
            self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(key)).map(|(_, value)| value)
        })
    }

    fn map(self, key: &str) -> Self {
        Self::of(self.get(key))
    }

    fn list(self, key: &str) -> Vec<Self> {
        let all = self.get(key).and_then(Value::as_array);
        all.into_iter().flatten().map(|one| Self::of(Some(one))).collect()
    }

    fn some(self, key: &str) -> Option<String> {
        let text = match self.get(key)? {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        Some(text).filter(|text| !text.is_empty())
    }

    fn text(self, key: &str) -> String {
        self.some(key).unwrap_or_default()
    }

    fn flag(self, key: &str) -> bool {
        match self.get(key) {
            Some(Value::Bool(flag)) => *flag,
            // What Dex's parser takes for true.
            Some(Value::String(word)) => ["yes", "on", "y"].contains(&&*word.to_ascii_lowercase()),
            _ => false,
        }
    }

    fn sealed(self, key: &str) -> Sealed {
        Sealed::read(&self.text(key))
    }
}

fn connector(keys: Keys<'_>) -> DexConnector {
    let config = keys.map("config");
    let r#type = keys.text("type");
    let is_ldap = r#type == "ldap";
    let mut expansions = Vec::new();
    find_expansions(config.0, "", is_ldap, &mut expansions);
    DexConnector {
        ldap: is_ldap.then(|| ldap(config)),
        r#type,
        id: keys.text("id"),
        name: keys.text("name"),
        expansions,
    }
}

fn ldap(keys: Keys<'_>) -> DexLdap {
    let users = keys.map("userSearch");
    let groups = keys.map("groupSearch");
    let pair = |keys: Keys<'_>| UserMatcher {
        user_attr: keys.text("userAttr"),
        group_attr: keys.text("groupAttr"),
    };
    let mut user_matchers: Vec<_> = groups.list("userMatchers").into_iter().map(pair).collect();
    let old = pair(groups);
    if !old.user_attr.is_empty() || !old.group_attr.is_empty() {
        user_matchers.push(old);
    }
    DexLdap {
        host: keys.text("host"),
        insecure_no_ssl: keys.flag("insecureNoSSL"),
        insecure_skip_verify: keys.flag("insecureSkipVerify"),
        start_tls: keys.flag("startTLS"),
        root_ca: keys.some("rootCA"),
        root_ca_data: keys.some("rootCAData").map(|text| certificates(&text)),
        client_cert: keys.some("clientCert"),
        bind_dn: keys.text("bindDN"),
        bind_pw: keys.sealed("bindPW"),
        password: Hidden::keep(&keys.text("bindPW")),
        user_search: DexUserSearch {
            base_dn: users.text("baseDN"),
            filter: users.text("filter"),
            scope: users.text("scope"),
            username: users.text("username"),
            id_attr: users.text("idAttr"),
            email_attr: users.text("emailAttr"),
            email_suffix: users.text("emailSuffix"),
            name_attr: users.text("nameAttr"),
            preferred_username_attr: users.text("preferredUsernameAttr"),
        },
        group_search: groups.some("baseDN").map(|base_dn| DexGroupSearch {
            base_dn,
            filter: groups.text("filter"),
            scope: groups.text("scope"),
            user_matchers,
            name_attr: groups.text("nameAttr"),
        }),
    }
}

/// The certificates in `rootCAData`, which is PEM in base64; empty where there are none.
fn certificates(text: &str) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};

    if text.contains("BEGIN CERTIFICATE") && !text.contains("PRIVATE KEY") {
        return text.to_owned();
    }
    let packed: String = text.split_whitespace().collect();
    let bytes = STANDARD.decode(packed).ok();
    let plain = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    let is_public = plain.contains("BEGIN CERTIFICATE") && !plain.contains("PRIVATE KEY");
    if is_public { plain } else { String::new() }
}

fn client(keys: Keys<'_>) -> DexClient {
    let uris = keys.get("redirectURIs").and_then(Value::as_array).into_iter().flatten();
    DexClient {
        id: keys.text("id"),
        id_env: keys.text("idEnv"),
        name: keys.text("name"),
        secret: keys.sealed("secret"),
        secret_env: keys.text("secretEnv"),
        redirect_uris: uris.filter_map(|uri| uri.as_str().map(str::to_owned)).collect(),
        public: keys.flag("public"),
    }
}

fn password(keys: Keys<'_>) -> DexPassword {
    DexPassword {
        email: keys.text("email"),
        username: keys.text("username"),
        hash: keys.some("hash").map(|text| PasswordHash::read(&text)),
        hash_from_env: keys.some("hashFromEnv"),
    }
}

/// What Dex puts variables into. What other connectors are told is all taken for secret.
fn find_expansions(
    map: &Map<String, Value>,
    above: &str,
    is_ldap: bool,
    found: &mut Vec<Expansion>,
) {
    for (key, value) in map {
        let path = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        let is_secret = !is_ldap || SECRET.iter().any(|known| known.eq_ignore_ascii_case(&path));
        match value {
            Value::Object(map) => find_expansions(map, &path, is_ldap, found),
            Value::Array(all) => {
                for (at, one) in all.iter().enumerate() {
                    let path = format!("{path}[{at}]");
                    match one {
                        Value::Object(map) => find_expansions(map, &path, is_ldap, found),
                        Value::String(text) => found.extend(Expansion::of(&path, text, is_secret)),
                        _ => (),
                    }
                }
            }
            Value::String(text) => found.extend(Expansion::of(&path, text, is_secret)),
            _ => (),
        }
    }
}

/// What is not as Dex reads it.
fn examine(map: &Map<String, Value>, keys: &[(&str, Sort)], above: &str, slips: &mut Vec<Slip>) {
    for (key, value) in map {
        if slips.len() >= SLIPS {
            return;
        }
        let path: Cow<'_, str> =
            if above.is_empty() { key.into() } else { format!("{above}.{key}").into() };
        let known = keys.iter().find(|(known, _)| known.eq_ignore_ascii_case(key));
        let Some((_, sort)) = known else {
            let wrong = misspelt(map, keys, key).map_or(Wrong::Unknown, Wrong::Misspelt);
            slips.push(Slip { path: path.into_owned(), wrong });
            continue;
        };
        match (sort, value) {
            (_, Value::Null) => (),
            (Sort::Map(keys), Value::Object(map)) => examine(map, keys, &path, slips),
            (Sort::List(keys), Value::Array(all)) => {
                for (at, one) in all.iter().enumerate() {
                    let path = format!("{path}[{at}]");
                    match one {
                        Value::Object(map) => examine(map, keys, &path, slips),
                        other => is_not(&path, other, "keys and values", slips),
                    }
                }
            }
            (sort, value) => {
                if let Some(wants) = wants(*sort, value) {
                    is_not(&path, value, wants, slips);
                }
            }
        }
    }
}

/// What should be there instead of a value, if anything.
fn wants(sort: Sort, value: &Value) -> Option<&'static str> {
    let words = ["yes", "no", "on", "off", "y", "n"];
    match (sort, value) {
        (Sort::Any, _)
        | (Sort::Flag | Sort::Loose, Value::Bool(_))
        | (Sort::Text | Sort::Loose, Value::String(_))
        | (Sort::Loose, Value::Number(_)) => None,
        (Sort::Flag, Value::String(word)) if words.contains(&&*word.to_ascii_lowercase()) => None,
        (Sort::Texts, Value::Array(all)) if all.iter().all(Value::is_string) => None,
        (Sort::Text | Sort::Loose, _) => Some("text"),
        (Sort::Flag, _) => Some("true or false"),
        (Sort::Texts, _) => Some("a list of texts"),
        (Sort::Map(_), _) => Some("keys and values"),
        (Sort::List(_), _) => Some("a list"),
    }
}

fn is_not(path: &str, value: &Value, wants: &str, slips: &mut Vec<Slip>) {
    let is = match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "keys and values",
    };
    let wrong = Wrong::IsNot { is: is.to_owned(), wants: wants.to_owned() };
    slips.push(Slip { path: path.to_owned(), wrong });
}

/// The key that is meant by one that Dex doesn't know, if it isn't there by itself.
fn misspelt(map: &Map<String, Value>, keys: &[(&str, Sort)], key: &str) -> Option<String> {
    let is_there = |known: &str| map.keys().any(|key| key.eq_ignore_ascii_case(known));
    let distance = |known: &str| {
        strsim::damerau_levenshtein(&known.to_ascii_lowercase(), &key.to_ascii_lowercase())
    };
    let near = keys.iter().map(|(known, _)| *known).filter(|known| !is_there(known));
    let near = near.min_by_key(|known| distance(known))?;
    (distance(near) <= 2 && near.len() > 4).then(|| near.to_owned())
}

/// What of an LDAP connector is not where Dex reads it.
fn place(connector: Keys<'_>, path: &str, slips: &mut Vec<Slip>) {
    if connector.text("type") != "ldap" {
        return;
    }
    let config = connector.map("config");
    let mut inside = Vec::new();
    examine(config.0, LDAP, &format!("{path}.config"), &mut inside);
    slips.append(&mut inside);
    let ours = format!("{path}.");
    for slip in slips.iter_mut().filter(|slip| slip.path.starts_with(&ours)) {
        if let Wrong::IsNot { .. } = slip.wrong {
            continue;
        }
        let key = slip.path.rsplit('.').next().unwrap_or_default();
        let above = slip.path.strip_suffix(key).unwrap_or_default().trim_end_matches('.');
        if let Some(home) = home(key).map(|home| format!("{path}.config{home}"))
            && home != above
        {
            slip.wrong = Wrong::Belongs(home);
        }
    }
}

/// Where in an LDAP connector's `config` Dex reads a key: the only place, or the first.
fn home(key: &str) -> Option<String> {
    let has = |keys: &[(&str, Sort)]| keys.iter().any(|(known, _)| known.eq_ignore_ascii_case(key));
    if has(LDAP) {
        return Some(String::new());
    }
    LDAP.iter().find_map(|(name, sort)| match sort {
        Sort::Map(keys) if has(keys) => Some(format!(".{name}")),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Cost, DexConfig, Slip, Wrong},
        config,
    };

    const LDAP: &str = "\
issuer: https://kf.example.com/dex
storage:
  type: kubernetes
  config: {inCluster: true}
web: {http: 0.0.0.0:5556}
connectors:
- type: ldap
  id: ldap
  name: LDAP
  config:
    host: ldap.example.com:389
    insecureNoSSL: true
    bindDN: cn=admin,dc=example,dc=com
    bindPW: hunter2
    usersearch:
      baseDN: ou=people,dc=example,dc=com
      username: uid
staticClients:
- idEnv: OIDC_CLIENT_ID
  redirectURIs: [/oauth2/callback]
  name: Kubeflow
  secret: hunter3
";

    /// The configuration with a text in place of another, and what is wrong with it.
    fn slips(from: &str, to: &str) -> Vec<(String, Wrong)> {
        assert!(LDAP.contains(from), "{from}");
        let slips = config(&LDAP.replace(from, to)).slips;
        slips.into_iter().map(|Slip { path, wrong }| (path, wrong)).collect()
    }

    #[test]
    fn what_is_secret_is_neither_kept_nor_written() {
        let read = config(LDAP);
        assert_eq!(read.slips, []);
        let ldap = read.connectors[0].ldap.as_ref().unwrap();
        assert_eq!(ldap.password.reveal(), Some("hunter2"));
        assert_eq!(ldap.user_search.username, "uid");
        assert_eq!(read.connectors[0].server().as_deref(), Some("ldap.example.com:389"));
        for shown in [read.write(), format!("{read:?}")] {
            assert!(!shown.contains("hunter"), "{shown}");
        }
        let again = DexConfig::read("config.yaml", &read.write());
        assert_eq!(again.write(), read.write());
        let (one, other) = (read.static_clients[0].secret, again.static_clients[0].secret);
        assert_eq!(one.is_same(other), Some(true));
    }

    #[test]
    fn a_key_in_the_wrong_place_is_told_from_one_that_nobody_knows() {
        let belongs = |path: &str, to: &str| vec![(path.to_owned(), Wrong::Belongs(to.to_owned()))];
        assert_eq!(
            slips("  name: LDAP\n", "  name: LDAP\n  insecureSkipVerify: true\n"),
            belongs("connectors[0].insecureSkipVerify", "connectors[0].config")
        );
        assert_eq!(
            slips("    bindPW", "    filter: (a=b)\n    bindPW"),
            belongs("connectors[0].config.filter", "connectors[0].config.userSearch")
        );
        let misspelt =
            vec![("connectors[0].config.bindD".to_owned(), Wrong::Misspelt("bindDN".to_owned()))];
        assert_eq!(slips("bindDN", "bindD"), misspelt);
        let unknown = vec![("connectors[0].config.port".to_owned(), Wrong::Unknown)];
        assert_eq!(slips("    bindPW", "    port: 3890\n    bindPW"), unknown);
        let unknown = vec![("x".to_owned(), Wrong::Unknown)];
        assert_eq!(slips("web:", "x: 1\nweb:"), unknown);
    }

    #[test]
    fn a_number_is_no_text_where_dex_reads_a_part_by_itself() {
        let is_not = |is: &str, wants: &str| Wrong::IsNot { is: is.into(), wants: wants.into() };
        let number = vec![("connectors[0].config.bindPW".to_owned(), is_not("a number", "text"))];
        assert_eq!(slips("hunter2", "12345"), number);
        let flag = vec![(
            "connectors[0].config.insecureNoSSL".to_owned(),
            is_not("text", "true or false"),
        )];
        assert_eq!(slips("insecureNoSSL: true", "insecureNoSSL: \"true\""), flag);
        assert_eq!(slips("name: Kubeflow", "name: 1"), []);
    }

    #[test]
    fn text_that_is_no_yaml_is_broken_where_it_is_and_nothing_of_it_is_kept() {
        let text = LDAP.replace("    bindPW: hunter2", "\t bindPW: [hunter2");
        let read = config(&text);
        let broken = read.broken.as_ref().unwrap();
        assert_eq!((broken.line, broken.key.as_deref()), (13, Some("bindDN")));
        assert!(!read.write().contains("hunter"));
        assert!(config("just text").broken.is_some());
        assert!(config("- a\n- b\n").broken.is_some());
        assert!(config("").broken.is_none());
    }

    #[test]
    fn ten_thousand_users_are_read() {
        let hash = "$2y$31$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyz01234";
        let users = (0..10_000).fold(String::new(), |users, n| {
            users + &format!("- {{email: u{n}@example.com, hash: '{hash}', userID: 'x'}}\n")
        });
        let read = config(&format!("{LDAP}enablePasswordDB: true\nstaticPasswords:\n{users}"));
        assert_eq!(read.static_passwords.len(), 10_000);
        assert_eq!(read.static_passwords[9_999].hash.as_ref().unwrap().cost, Cost::Bcrypt(31));
    }

    #[test]
    fn an_alias_bomb_is_no_configuration() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..12 {
            let before = vec![format!("*a{}", n - 1); 8].join(", ");
            text += &format!("a{n}: &a{n} [{before}]\n");
        }
        assert!(config(&text).broken.is_some());
    }

    #[test]
    fn a_port_is_where_dex_looks_for_it() {
        let server = |from: &str, to: &str| {
            let read = config(&LDAP.replace(from, to));
            read.connectors[0].server().unwrap()
        };
        assert_eq!(server(":389\n", "\n"), "ldap.example.com:389");
        assert_eq!(server(":389\n    insecureNoSSL: true", ""), "ldap.example.com:636");
        assert_eq!(
            server(":389\n    insecureNoSSL: true", "\n    startTLS: true"),
            "ldap.example.com:636"
        );
        assert_eq!(server("ldap.example.com:389", "'[::1]:1389'"), "[::1]:1389");
    }
}
