use kfcheck::{Check, Cx, FactError, Findings, Risk, async_trait, check};
use kfcheck_kube::{DexConnector, Expansion};
use kfcheck_probe::LdapBind;

use crate::{Dex, Dexes, LdapConnectors, Told};

check! {
    /// ## What it checks
    /// Every value in the configuration of a connector in which a `$` stands before something that Dex
    /// takes for the name of a variable: that there is such a variable in Dex's environment.
    ///
    /// ## Why it matters
    /// Dex puts the variable in, and where there is none, nothing: of the password `Pa$word1` remains
    /// `Pa`. The server then refuses it, though the password in the configuration is right.
    ///
    /// ## How to fix it
    /// Set `DEX_EXPAND_ENV=false` in Dex's environment (since Dex 2.25), or give Dex the password as a
    /// variable and write `bindPW: $LDAP_BIND_PW`: what is in a variable is not expanded again.
    pub(crate) struct DexExpansion;
    id: "onprem-dex-env-expansion",
    title: "No `$` in Dex's configuration is taken for a variable that isn't there",
}

#[async_trait]
impl Check for DexExpansion {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let dexes = cx.get(Dexes).await?;
        if dexes.is_empty() {
            out.skip("there is no Dex here");
        }
        for dex in dexes.iter() {
            let Some((told, config)) = out.known(dex.workload(), dex.readable()) else { continue };
            if config.connectors.is_empty() {
                out.skip("Dex has no connectors, and expands nothing else");
                continue;
            }
            let mut wrong = Vec::new();
            let mut is_known = true;
            for (at, connector) in config.connectors.iter().enumerate() {
                for value in connector.expansions.iter().filter(|_| dex.expands()) {
                    match lost(dex, value) {
                        Ok(None) => (),
                        Ok(Some(why)) => wrong.push((at, connector, value, why)),
                        Err(error) => {
                            is_known = false;
                            out.known::<()>(told, Err(error));
                        }
                    }
                }
            }
            for connector in &config.connectors {
                let said = wrong.iter().any(|(_, one, ..)| one.id == connector.id);
                if !said && dex.expands() && seen_to_differ(cx, connector).await {
                    is_known = false;
                    let finding = out.fail(told, "has a bindPW that Dex makes another one of");
                    finding.evidence("connector", &connector.id);
                    finding.evidence(
                        "bind",
                        "the server accepts it as it is written, and not as Dex uses it",
                    );
                    finding.fix(
                        Risk::Restarts,
                        "lets you give Dex the value as a variable, and starts it again",
                        dex.edit(told),
                    );
                }
            }
            for (at, connector, value, why) in &wrong {
                fail(
                    cx,
                    dex,
                    told,
                    &format!("connectors[{at}].config.{}", value.path),
                    connector,
                    why,
                    out,
                )
                .await;
            }
            if wrong.is_empty() && is_known {
                out.ok(told);
            }
        }
        Ok(())
    }
}

/// What becomes of a value that Dex expands, if something gets lost.
fn lost(dex: &Dex, value: &Expansion) -> Result<Option<String>, FactError> {
    let mut missing = Vec::new();
    for name in &value.variables {
        if dex.environment.known(name)?.is_none() {
            missing.push(name.as_str());
        }
    }
    let workload = dex.workload();
    Ok(match (&missing[..], value.others) {
        ([], 0) => None,
        ([], _) => Some("what follows the $ is left out".to_owned()),
        (names, _) => Some(format!("{workload} has no variable {}", names.join(" or "))),
    })
}

async fn fail(
    cx: &Cx,
    dex: &Dex,
    told: &Told,
    path: &str,
    connector: &DexConnector,
    why: &str,
    out: &mut Findings,
) {
    let literal = works_literally(cx, connector).await;
    let finding = out.fail(told, "has a $ that Dex takes for a variable that isn't there");
    finding.evidence("in", path);
    finding.evidence("so", why);
    if literal {
        finding.evidence("bind", "the server accepts the password as it is written");
    }
    let (namespace, workload) = (&dex.namespace, dex.workload());
    let kind = workload.kind.to_lowercase();
    let uses_others = connector.expansions.iter().any(|value| !value.variables.is_empty());
    if kind == "pod" || uses_others {
        finding.fix(
            Risk::Restarts,
            "lets you give Dex the value as a variable, and starts it again",
            dex.edit(told),
        );
    } else {
        finding.fix(
            Risk::Restarts,
            "has Dex take every value as it is written",
            format!("kubectl set env {kind}/{} -n {namespace} DEX_EXPAND_ENV=false", workload.name),
        );
    }
}

/// Whether the server was seen to accept the password as it is written, and to refuse what Dex makes of
/// it.
async fn seen_to_differ(cx: &Cx, connector: &DexConnector) -> bool {
    let refused = |bind: &LdapBind| !is_literal(bind) && bind.is_ok() == Some(false);
    binds(cx, connector).await.iter().any(refused) && works_literally(cx, connector).await
}

/// Whether the server was seen to accept the password as it is written.
async fn works_literally(cx: &Cx, connector: &DexConnector) -> bool {
    let accepted = |bind: &LdapBind| is_literal(bind) && bind.is_ok() == Some(true);
    binds(cx, connector).await.iter().any(accepted)
}

fn is_literal(bind: &LdapBind) -> bool {
    bind.password_source.as_deref().is_some_and(|source| source.contains("literal"))
}

async fn binds(cx: &Cx, connector: &DexConnector) -> Vec<LdapBind> {
    let connectors = cx.get(LdapConnectors).await;
    let mut connectors = connectors.iter().flat_map(|all| all.iter());
    let Some(ours) = connectors.find(|one| one.id == connector.id) else { return Vec::new() };
    // It is asked for what it shows beside the rest.
    ours.answer(cx).await.map(|answer| answer.binds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::DexExpansion;
    use crate::testing::Deployment;

    async fn with(password: &str) -> String {
        let mut deployment = Deployment::signing_in();
        deployment.told("hunter2", password);
        let says = deployment.report(&DexExpansion).await;
        assert!(!says.contains("word1"), "{says}");
        says
    }

    #[tokio::test]
    async fn a_password_without_a_dollar_passes() {
        expect![[r#"
            10.64.140.43: nothing broken found. 0 root causes, 0 symptoms; 1 check passed, 0
            not seen.

            pass     onprem-dex-env-expansion
                     No `$` in Dex's configuration is taken for a variable that isn't there
        "#]]
        .assert_eq(&with("hunter2").await);
    }

    #[tokio::test]
    async fn a_dollar_in_a_password_loses_a_part_of_it() {
        let mut deployment = Deployment::signing_in();
        deployment.told("hunter2", "Pa$word1");
        let binds = &mut deployment.file("probes/ldap")[0]["binds"];
        *binds = json!([
            { "dn": "cn=dex,dc=example,dc=com", "passwordSource": "literal from the config", "ok": true },
            { "dn": "cn=dex,dc=example,dc=com", "passwordSource": "as Dex expands it", "ok": false,
                "resultCode": 49 }]);
        let both: &[&'static dyn kfcheck::Check] =
            &[&DexExpansion, &crate::checks::ldap_bind::LdapBinds];
        let says = deployment.reports(both).await;
        assert!(!says.contains("word1"), "{says}");
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 1 symptom; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-dex-env-expansion
              ConfigMap auth/dex has a $ that Dex takes for a variable that isn't there
                in        connectors[0].config.bindPW
                so        what follows the $ is left out
                bind      the server accepts the password as it is written
                fix       has Dex take every value as it is written
                          kubectl set env deployment/dex -n auth DEX_EXPAND_ENV=false
                explains  ConfigMap auth/dex has Dex bind as cn=dex,dc=example,dc=com, which
                          ldap.example.com:636 refuses
              kubectl kfcheck explain onprem-dex-env-expansion

            FAIL     onprem-dex-env-expansion
                     No `$` in Dex's configuration is taken for a variable that isn't there
            FAIL     onprem-ldap-bind
                     Dex's directory accepts the account that Dex searches with
        "#]]
        .assert_eq(&says);
    }

    #[tokio::test]
    async fn a_password_that_was_taken_out_can_be_seen_to_be_another_for_dex() {
        let mut deployment = Deployment::signing_in();
        deployment.told("hunter2", "redacted");
        let binds = &mut deployment.file("probes/ldap")[0]["binds"];
        *binds = json!([{ "passwordSource": "literal from the config", "ok": true },
            { "passwordSource": "after expansion", "ok": false, "resultCode": 49 }]);
        let says = deployment.report(&DexExpansion).await;
        assert!(says.contains("has a bindPW that Dex makes another one of"), "{says}");
    }

    #[tokio::test]
    async fn a_variable_that_is_there_is_no_loss() {
        let mut deployment = Deployment::signing_in();
        deployment.told("hunter2", "$LDAP_BIND_PW");
        let says = deployment.report(&DexExpansion).await;
        assert!(says.contains("Deployment auth/dex has no variable LDAP_BIND_PW"), "{says}");
        let pod = deployment.in_namespace("Pod", "auth", "dex-7d9f-x1");
        pod["spec"]["containers"][0]["env"] = json!([{ "name": "LDAP_BIND_PW", "value": "x" }]);
        let says = deployment.report(&DexExpansion).await;
        assert!(says.contains("pass     onprem-dex-env-expansion"), "{says}");
    }

    #[tokio::test]
    async fn a_dex_that_is_told_to_expand_nothing_expands_nothing() {
        let mut deployment = Deployment::signing_in();
        deployment.told("hunter2", "Pa$word1");
        let pod = deployment.in_namespace("Pod", "auth", "dex-7d9f-x1");
        pod["spec"]["containers"][0]["env"] =
            json!([{ "name": "DEX_EXPAND_ENV", "value": "false" }]);
        let says = deployment.report(&DexExpansion).await;
        assert!(says.contains("pass     onprem-dex-env-expansion"), "{says}");
    }

    #[tokio::test]
    async fn variables_that_nobody_may_see_are_unknown() {
        let mut deployment = Deployment::signing_in();
        deployment.told("hunter2", "$LDAP_BIND_PW");
        deployment.objects.retain(|object| object["kind"] != "Secret");
        let says = deployment.report(&DexExpansion).await;
        assert!(says.contains("unknown  onprem-dex-env-expansion"), "{says}");
    }
}
