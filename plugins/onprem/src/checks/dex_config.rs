use std::fmt::Write as _;

use kfcheck::{Check, Cx, FactError, Findings, Named, Risk, async_trait, check};
use kfcheck_kube::{
    CONNECTORS, DexClient, DexConfig, DexConnector, DexLdap, STORAGES, Slip, Wrong,
};

use crate::{Dex, Dexes, Told, dex::is_template};

check! {
    /// ## What it checks
    /// Dex's configuration, read as strictly as Dex doesn't: that it is YAML, that storage and
    /// connectors are of kinds that Dex has, that nothing is missing that Dex needs, that filters are in
    /// parentheses, and that every key is one that Dex reads where it stands.
    ///
    /// ## Why it matters
    /// With a mistake in it Dex does not start, or starts without the connector, and nobody signs in. A
    /// key in the wrong place it ignores without a word: `insecureNoSSL` beside `config` instead of
    /// inside has Dex speak TLS to a server that doesn't.
    ///
    /// ## How to fix it
    /// Change the ConfigMap or the Secret, and start Dex again: it reads its configuration once. Newer
    /// versions refuse unknown keys with `DEX_CONFIG_DISALLOW_UNKNOWN_FIELDS=true`.
    pub(crate) struct DexConfigured;
    id: "onprem-dex-config",
    title: "Dex reads its configuration as it is meant",
}

#[async_trait]
impl Check for DexConfigured {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let dexes = cx.get(Dexes).await?;
        if dexes.is_empty() {
            out.skip("there is no Dex here");
        }
        for dex in dexes.iter() {
            let Some((told, config)) = out.known(dex.workload(), dex.config()) else { continue };
            judge(dex, told, config, out);
        }
        Ok(())
    }
}

fn judge(dex: &Dex, told: &Told, config: &DexConfig, out: &mut Findings) {
    let subject = told.resource();
    if config.is_template {
        out.known::<()>(&subject, Err(is_template(told).into()));
        return;
    }
    if let Some(broken) = &config.broken {
        let finding = out.fail(&subject, "is not YAML, and Dex does not start with it");
        finding.evidence("entry", &config.entry);
        if broken.line > 0 {
            let mut place = format!("line {}, column {}", broken.line, broken.column);
            if let Some(key) = &broken.key {
                let _ = write!(place, ", near {key}");
            }
            finding.evidence("breaks at", place);
        }
        finding.fix(Risk::Restarts, "lets you mend it, and starts Dex again", dex.edit(told));
        return;
    }
    let mut mistakes = mistakes(config);
    let (unread, unknown): (Vec<_>, Vec<_>) = config
        .slips
        .iter()
        .filter(|slip| !is_refused(slip))
        .partition(|slip| is_meant(slip, config));
    // What stands elsewhere is not missing besides.
    mistakes.retain(|says| !unread.iter().any(|slip| says.starts_with(&better(slip))));
    let is_good = bare_filters(config).is_empty();
    if is_good && mistakes.is_empty() && unread.is_empty() && unknown.is_empty() {
        out.ok(&subject);
        return;
    }
    if !mistakes.is_empty() {
        let finding = out.fail(&subject, "is not what Dex can start with");
        for mistake in &mistakes {
            finding.evidence("mistake", mistake);
        }
        finding.fix(Risk::Restarts, "lets you mend it, and starts Dex again", dex.edit(told));
    }
    let bare = bare_filters(config);
    if !bare.is_empty() {
        let finding = out.fail(&subject, "has a filter that is none where Dex puts it");
        for (path, filter) in bare {
            finding.evidence("filter", format!("{path}: {filter}"));
            finding.evidence("right is", format!("({filter})"));
        }
        finding.fix(
            Risk::Restarts,
            "lets you put it in parentheses, and starts Dex again",
            dex.edit(told),
        );
    }
    if !unread.is_empty() {
        let finding = out.fail(&subject, "says something where Dex doesn't read it");
        for slip in unread {
            finding.evidence("ignored", &slip.path);
            finding.evidence("read is", better(slip));
        }
        finding.fix(Risk::Restarts, "lets you move it, and starts Dex again", dex.edit(told));
    }
    if !unknown.is_empty() {
        let finding = out.warn(&subject, "has keys that Dex doesn't know and ignores");
        for slip in unknown {
            finding.evidence("ignored", &slip.path);
        }
    }
}

/// The filters of LDAP connectors that are not in parentheses: Dex puts another one behind each and an
/// `&` before both (dexidp/dex, `connector/ldap/ldap.go`). What a variable holds isn't known.
fn bare_filters(config: &DexConfig) -> Vec<(String, &str)> {
    let mut found = Vec::new();
    for (at, connector) in config.connectors.iter().enumerate() {
        let Some(ldap) = &connector.ldap else { continue };
        let groups = ldap.group_search.as_ref().map_or("", |groups| groups.filter.as_str());
        for (search, filter) in [("user", ldap.user_search.filter.as_str()), ("group", groups)] {
            if !filter.is_empty() && !filter.starts_with(['(', '$']) {
                found.push((format!("connectors[{at}].config.{search}Search.filter"), filter));
            }
        }
    }
    found
}

/// Whether Dex does not start because of it.
fn is_refused(slip: &Slip) -> bool {
    matches!(slip.wrong, Wrong::IsNot { .. })
}

/// Whether it is clear what a key that Dex ignores was meant for.
fn is_meant(slip: &Slip, config: &DexConfig) -> bool {
    match slip.wrong {
        Wrong::Belongs(_) | Wrong::Misspelt(_) => true,
        Wrong::Unknown => is_port(slip, config),
        Wrong::IsNot { .. } => false,
    }
}

/// Whether it is the port of a server that is written beside its host, where Dex reads it behind.
fn is_port(slip: &Slip, config: &DexConfig) -> bool {
    let without_port = |connector: &DexConnector| {
        let ldap = connector.ldap.as_ref();
        ldap.is_some_and(|ldap| connector.server().as_deref() != Some(&*ldap.host))
    };
    slip.path.ends_with(".config.port") && config.connectors.iter().any(without_port)
}

/// What Dex would read.
fn better(slip: &Slip) -> String {
    let key = slip.path.rsplit('.').next().unwrap_or_default();
    match &slip.wrong {
        Wrong::Belongs(place) => format!("{place}.{key}"),
        Wrong::Misspelt(known) => {
            format!("{}{known}", slip.path.strip_suffix(key).unwrap_or_default())
        }
        _ => "host: HOST:PORT".to_owned(),
    }
}

/// What Dex does not start with, or without (dexidp/dex, `cmd/dex/config.go` and `serve.go`).
fn mistakes(config: &DexConfig) -> Vec<String> {
    let mut found = Vec::new();
    let web = &config.web;
    let mut wrong = |is_wrong: bool, says: &str| {
        if is_wrong {
            found.push(says.to_owned());
        }
    };
    wrong(config.issuer.is_none(), "issuer is missing");
    wrong(config.storage.is_none(), "storage.type is missing");
    wrong(web.http.is_none() && web.https.is_none(), "web.http is missing, and web.https too");
    wrong(
        web.https.is_some() && web.tls_cert.is_none(),
        "web.tlsCert is missing, which https needs",
    );
    wrong(web.https.is_some() && web.tls_key.is_none(), "web.tlsKey is missing, which https needs");
    let users = !config.static_passwords.is_empty();
    wrong(users && !config.enable_password_db, "staticPasswords needs enablePasswordDB: true");
    let nobody = config.connectors.is_empty() && !config.enable_password_db;
    let forgets = config.storage.as_deref() == Some("memory");
    wrong(nobody && forgets, "neither connectors nor enablePasswordDB: nobody can sign in");
    if let Some(storage) = config.storage.as_deref().filter(|kind| !STORAGES.contains(kind)) {
        found.push(format!("storage.type is {storage}, which Dex doesn't have"));
    }
    for (at, connector) in config.connectors.iter().enumerate() {
        found.extend(in_connector(connector).map(|says| format!("connectors[{at}]{says}")));
    }
    for (at, client) in config.static_clients.iter().enumerate() {
        found.extend(in_client(client).map(|says| format!("staticClients[{at}]{says}")));
    }
    let nameless =
        |user: &&kfcheck_kube::DexPassword| user.hash.is_none() && user.hash_from_env.is_none();
    if let Some(user) = config.static_passwords.iter().find(nameless) {
        found.push(format!("user {} has neither hash nor hashFromEnv", user.email));
    }
    for slip in &config.slips {
        if let Wrong::IsNot { is, wants } = &slip.wrong {
            found.push(format!("{} is {is}, and Dex takes {wants}", slip.path));
        }
    }
    found
}

fn in_connector(connector: &DexConnector) -> impl Iterator<Item = String> {
    let mut found = Vec::new();
    let kind = &connector.r#type;
    let fields = [("type", kind), ("id", &connector.id), ("name", &connector.name)];
    for (field, value) in fields {
        if value.is_empty() {
            found.push(format!(".{field} is missing"));
        }
    }
    if !kind.is_empty() && !CONNECTORS.contains(&kind.as_str()) {
        found.push(format!(".type is {kind}, which Dex doesn't have"));
    }
    found.extend(connector.ldap.iter().flat_map(in_ldap));
    found.into_iter()
}

fn in_ldap(ldap: &DexLdap) -> Vec<String> {
    let mut found = Vec::new();
    let needed = [
        ("host", &ldap.host),
        ("userSearch.baseDN", &ldap.user_search.base_dn),
        ("userSearch.username", &ldap.user_search.username),
    ];
    for (field, value) in needed {
        if value.is_empty() {
            found.push(format!(".config.{field} is missing"));
        }
    }
    if let Some((scheme, _)) = ldap.host.split_once("://") {
        found.push(format!(".config.host begins with {scheme}://, and Dex takes HOST:PORT"));
    }
    let groups = ldap.group_search.as_ref();
    let scopes = [("user", Some(&ldap.user_search.scope)), ("group", groups.map(|g| &g.scope))];
    for (search, scope) in scopes {
        if let Some(scope) = scope.filter(|scope| !["", "sub", "one"].contains(&scope.as_str())) {
            found
                .push(format!(".config.{search}Search.scope is {scope}, and Dex takes sub or one"));
        }
    }
    if groups.is_some_and(|groups| groups.name_attr.is_empty()) {
        found.push(".config.groupSearch.nameAttr is missing".to_owned());
    }
    if ldap.root_ca_data.as_deref() == Some("") {
        found.push(".config.rootCAData holds no certificate, as PEM in base64".to_owned());
    }
    found
}

fn in_client(client: &DexClient) -> impl Iterator<Item = String> {
    let has_id = (!client.id.is_empty(), !client.id_env.is_empty());
    let has_secret = (client.secret.is_set(), !client.secret_env.is_empty());
    let wrongs = [
        (client.name.is_empty(), ".name is missing"),
        (has_id == (false, false), ".id is missing, and .idEnv too"),
        (has_id == (true, true), " has id and idEnv, of which Dex takes one"),
        (has_secret == (false, false) && !client.public, ".secret is missing, and .secretEnv too"),
        (has_secret == (true, true), " has secret and secretEnv, of which Dex takes one"),
    ];
    wrongs.into_iter().filter(|(is, _)| *is).map(|(_, says)| says.to_owned())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::DexConfigured;
    use crate::testing::Deployment;

    async fn with(changes: &[(&str, &str)]) -> String {
        let mut deployment = Deployment::signing_in();
        for (from, to) in changes {
            deployment.told(from, to);
        }
        deployment.report(&DexConfigured).await
    }

    #[tokio::test]
    async fn what_dex_reads_as_it_is_meant_passes() {
        expect![[r#"
            10.64.140.43: nothing broken found. 0 root causes, 0 symptoms; 1 check passed, 0
            not seen.

            pass     onprem-dex-config
                     Dex reads its configuration as it is meant
        "#]]
        .assert_eq(&with(&[]).await);
    }

    #[tokio::test]
    async fn a_key_in_the_wrong_place_is_ignored_by_dex_and_not_by_us() {
        let moved = ("  name: LDAP\n", "  name: LDAP\n  insecureNoSSL: true\n");
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-dex-config
              ConfigMap auth/dex says something where Dex doesn't read it
                ignored   connectors[0].insecureNoSSL
                read is   connectors[0].config.insecureNoSSL
                fix       lets you move it, and starts Dex again
                          kubectl edit configmap \
                            -n auth dex && kubectl rollout restart deployment/dex -n auth
              kubectl kfcheck explain onprem-dex-config

            FAIL     onprem-dex-config
                     Dex reads its configuration as it is meant
        "#]]
        .assert_eq(&with(&[moved]).await);
    }

    #[tokio::test]
    async fn searches_beside_config_are_missing_inside() {
        let text = crate::sign_in_testing::CONFIG;
        let searches = &text[text.find("    userSearch").unwrap()..];
        let out = searches.replace("\n  ", "\n").replacen("  ", "", 1);
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-dex-config
              ConfigMap auth/dex says something where Dex doesn't read it
                ignored   connectors[0].groupSearch
                read is   connectors[0].config.groupSearch
                ignored   connectors[0].userSearch
                read is   connectors[0].config.userSearch
                fix       lets you move it, and starts Dex again
                          kubectl edit configmap \
                            -n auth dex && kubectl rollout restart deployment/dex -n auth
              kubectl kfcheck explain onprem-dex-config

            FAIL     onprem-dex-config
                     Dex reads its configuration as it is meant
        "#]]
        .assert_eq(&with(&[(searches, &out)]).await);
    }

    #[tokio::test]
    async fn a_port_of_its_own_is_behind_the_host() {
        let port = ("ldap.example.com:636", "ldap.example.com\n    port: 3890");
        let says = with(&[port]).await;
        assert!(says.contains("connectors[0].config.port"), "{says}");
        assert!(says.contains("host: HOST:PORT"), "{says}");
    }

    #[tokio::test]
    async fn what_is_no_yaml_is_said_with_its_place_and_without_its_text() {
        let says = with(&[("    bindPW: hunter2", "\t bindPW: [hunter2")]).await;
        assert!(!says.contains("hunter"), "{says}");
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-dex-config
              ConfigMap auth/dex is not YAML, and Dex does not start with it
                entry     config.yaml
                breaks at line 27, column 13, near bindDN
                fix       lets you mend it, and starts Dex again
                          kubectl edit configmap \
                            -n auth dex && kubectl rollout restart deployment/dex -n auth
              kubectl kfcheck explain onprem-dex-config

            FAIL     onprem-dex-config
                     Dex reads its configuration as it is meant
        "#]]
        .assert_eq(&says);
    }

    #[tokio::test]
    async fn all_that_dex_does_not_start_with_is_said_at_once() {
        let changes = [
            ("type: ldap", "type: openldap"),
            ("type: kubernetes", "type: kubernets"),
            ("enablePasswordDB: true\n", ""),
            ("  secretEnv: OIDC_CLIENT_SECRET\n", ""),
            ("userID: '1'", "userID: 1"),
        ];
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-dex-config
              ConfigMap auth/dex is not what Dex can start with
                mistake   staticPasswords needs enablePasswordDB: true
                mistake   storage.type is kubernets, which Dex doesn't have
                mistake   connectors[0].type is openldap, which Dex doesn't have
                mistake   staticClients[0].secret is missing, and .secretEnv too
                mistake   staticPasswords[0].userID is a number, and Dex takes text
                fix       lets you mend it, and starts Dex again
                          kubectl edit configmap \
                            -n auth dex && kubectl rollout restart deployment/dex -n auth
              kubectl kfcheck explain onprem-dex-config

            FAIL     onprem-dex-config
                     Dex reads its configuration as it is meant
        "#]]
        .assert_eq(&with(&changes).await);
    }

    #[tokio::test]
    async fn a_filter_without_parentheses_is_none_behind_an_and() {
        let bare = ("(objectClass=inetOrgPerson)", "objectClass=inetOrgPerson");
        let says = with(&[bare]).await;
        assert!(says.contains("has a filter that is none where Dex puts it"), "{says}");
        assert!(says.contains("right is  (objectClass=inetOrgPerson)"), "{says}");
        let says = with(&[("(objectClass=groupOfNames)", "objectClass=groupOfNames")]).await;
        assert!(says.contains("connectors[0].config.groupSearch.filter"), "{says}");
        let says = with(&[("(objectClass=inetOrgPerson)", "$USER_FILTER")]).await;
        assert!(says.contains("pass     onprem-dex-config"), "{says}");
    }

    #[tokio::test]
    async fn what_nobody_knows_may_be_of_a_newer_version() {
        let says = with(&[("web:", "somethingNew: 1\nweb:")]).await;
        assert!(says.contains("WARNING  onprem-dex-config"), "{says}");
    }

    #[tokio::test]
    async fn a_password_that_is_a_number_is_no_text() {
        let says = with(&[("hunter2", "12345")]).await;
        assert!(says.contains("config.bindPW is a number, and Dex takes text"), "{says}");
    }

    #[tokio::test]
    async fn a_configuration_that_nobody_collected_is_unknown() {
        let mut deployment = Deployment::signing_in();
        deployment.objects.retain(|object| object["kind"] != "ConfigMap");
        let says = deployment.report(&DexConfigured).await;
        assert!(says.contains("unknown  onprem-dex-config"), "{says}");
        let says = Deployment::healthy().report(&DexConfigured).await;
        assert!(!says.contains("pass     onprem-dex-config"), "{says}");
    }

    #[tokio::test]
    async fn a_template_is_no_configuration_yet() {
        for value in ["{{ .Env.LDAP_PW }}", "'{{ getenv \"LDAP_PW\" }}'"] {
            let says = with(&[("hunter2", value)]).await;
            assert!(says.contains("unknown  onprem-dex-config"), "{says}");
        }
    }

    #[tokio::test]
    async fn a_secret_may_hold_it_as_well() {
        let mut deployment = Deployment::signing_in();
        let map = deployment.in_namespace("ConfigMap", "auth", "dex");
        let text = map["data"]["config.yaml"].as_str().unwrap().replace("type: ldap", "type: lpad");
        map["kind"] = "Secret".into();
        map["data"] = json!(null);
        map["stringData"] = json!({ "config.yaml": text });
        let pod = deployment.in_namespace("Pod", "auth", "dex-7d9f-x1");
        pod["spec"]["volumes"] = json!([{ "name": "config", "secret": { "secretName": "dex" } }]);
        let says = deployment.report(&DexConfigured).await;
        assert!(says.contains("Secret auth/dex is not what Dex can start with"), "{says}");
        assert!(says.contains("connectors[0].type is lpad"), "{says}");
        // Its other entries stay, and nothing is left in a folder.
        assert!(says.contains("f=$(mktemp)") && says.contains("rm -f \"$f\""), "{says}");
        assert!(says.contains("kubectl patch secret"), "{says}");
    }
}
