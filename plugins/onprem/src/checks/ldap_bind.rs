use kfcheck::{Check, Cx, FactError, Fault, Findings, Risk, async_trait, check};
use kfcheck_probe::{LdapAnswer, LdapBind, LdapCode};

use crate::{LdapConnector, LdapConnectors};

check! {
    /// ## What it checks
    /// That the server of each LDAP connector accepts `bindDN` with `bindPW`, by a simple bind as Dex
    /// makes it.
    ///
    /// ## Why it matters
    /// As this account Dex looks for users and groups. Refused, it finds nobody, and users see "Internal
    /// error" instead of a sign-in.
    ///
    /// ## How to fix it
    /// Try it with `ldapwhoami -x -D BINDDN -W`. `invalidCredentials` is a wrong password or a wrong
    /// name, servers don't say which; `invalidDNSyntax` a name that is no DN. A `$` in the password Dex
    /// takes for a variable: see onprem-dex-env-expansion.
    pub(crate) struct LdapBinds;
    id: "onprem-ldap-bind",
    title: "Dex's directory accepts the account that Dex searches with",
}

#[async_trait]
impl Check for LdapBinds {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let connectors = cx.get(LdapConnectors).await?;
        if connectors.is_empty() {
            out.skip("Dex has no LDAP connector");
        }
        for connector in connectors.iter() {
            let answer = connector.answer(cx).await;
            let Some(answer) = out.known(&connector.told, answer) else { continue };
            judge(connector, &answer, out);
        }
        Ok(())
    }
}

fn judge(connector: &LdapConnector, answer: &LdapAnswer, out: &mut Findings) {
    let unknown = |why: &str, out: &mut Findings| {
        let says = format!("{} was not asked to accept an account: {why}", connector.server);
        out.known::<()>(&connector.told, Err(Fault::Unreachable(says).into()));
    };
    let Some(bind) = as_dex(&answer.binds) else {
        let error = answer.connect.error.as_deref().unwrap_or("nobody tried");
        return unknown(error, out);
    };
    match bind.is_ok() {
        Some(true) => out.ok(&connector.told),
        None => unknown(bind.error.as_deref().unwrap_or("nobody says how it went"), out),
        Some(false) => {
            let who = if bind.dn.is_empty() { "nobody" } else { &bind.dn };
            let message = format!("has Dex bind as {who}, which {} refuses", connector.server);
            let finding = out.fail(&connector.told, message);
            finding.hearsay();
            finding.evidence("connector", &connector.id);
            if let Some(code) = bind.result_code {
                finding.evidence("result", code);
                if let Some(hint) = hint(code) {
                    finding.evidence("that is", hint);
                }
            }
            let code = bind.result_code.map(|code| code.to_string());
            if let Some(error) = bind.error.as_ref().filter(|error| code.as_ref() != Some(error)) {
                finding.evidence("because", error);
            }
            finding.fix(
                Risk::Restarts,
                "lets you put bindDN and bindPW right, and starts Dex again",
                connector.edit.clone(),
            );
        }
    }
}

/// The bind as Dex makes it: one with the password as it is written is another, where both were made.
fn as_dex(binds: &[LdapBind]) -> Option<&LdapBind> {
    let is_literal = |bind: &&LdapBind| {
        let source = bind.password_source.as_deref().unwrap_or_default();
        source.contains("literal")
    };
    let mut others = binds.iter().filter(|bind| !is_literal(bind));
    others.next_back().or(binds.last())
}

/// What a result code means here, in words.
fn hint(code: LdapCode) -> Option<&'static str> {
    match code.0 {
        8 | 13 => Some("the server wants TLS first"),
        32 => Some("there is no account of that name"),
        34 => Some("bindDN is not the name of an entry, as in cn=NAME,dc=EXAMPLE,dc=COM"),
        48 => Some("the account has no password, or the server lets nobody bind so"),
        49 => Some("the password or the name is wrong"),
        53 => Some("the server refuses to try: the password may be empty, or the account locked"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::LdapBinds;
    use crate::testing::Deployment;

    async fn with(bind: serde_json::Value) -> String {
        let mut deployment = Deployment::signing_in();
        let binds = &mut deployment.file("probes/ldap")[0]["binds"];
        *binds = if bind.is_null() { json!([]) } else { json!([bind]) };
        deployment.report(&LdapBinds).await
    }

    #[tokio::test]
    async fn an_account_that_is_accepted_passes() {
        expect![[r#"
            10.64.140.43: nothing broken found. 0 root causes, 0 symptoms; 1 check passed, 0
            not seen.

            pass     onprem-ldap-bind
                     Dex's directory accepts the account that Dex searches with
        "#]]
        .assert_eq(&Deployment::signing_in().report(&LdapBinds).await);
    }

    #[tokio::test]
    async fn one_that_is_refused_is_said_with_the_servers_word_for_it() {
        let refused = json!({ "dn": "cn=dex,dc=example,dc=com", "ok": false, "resultCode": 49 });
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-ldap-bind
              ConfigMap auth/dex has Dex bind as cn=dex,dc=example,dc=com, which
                ldap.example.com:636 refuses
                connector ldap
                result    invalidCredentials (49)
                that is   the password or the name is wrong
                fix       lets you put bindDN and bindPW right, and starts Dex again
                          kubectl edit configmap \
                            -n auth dex && kubectl rollout restart deployment/dex -n auth
              kubectl kfcheck explain onprem-ldap-bind

            FAIL     onprem-ldap-bind
                     Dex's directory accepts the account that Dex searches with
        "#]]
        .assert_eq(&with(refused).await);
        let says = with(json!({ "dn": "dex", "ok": false, "resultCode": 34 })).await;
        assert!(says.contains("invalidDNSyntax (34)"), "{says}");
    }

    #[tokio::test]
    async fn one_that_nobody_tried_is_unknown() {
        for bind in [json!(null), json!({ "dn": "cn=dex" })] {
            let says = with(bind).await;
            assert!(says.contains("unknown  onprem-ldap-bind"), "{says}");
        }
    }
}
