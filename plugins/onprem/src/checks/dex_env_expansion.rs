use kfcheck::{Check, Cx, FactError, Fault, Findings, Risk, async_trait, check};
use kfcheck_kube::{DexConfig, DexConnector, Expansion, Hidden};
use kfcheck_probe::LdapBind;

use crate::{Dex, Dexes, LdapConnectors, Told};

check! {
    /// ## What it checks
    /// Every value in the configuration of the storage and of a connector in which a `$` stands before
    /// something that Dex takes for the name of a variable: that there is such a variable in Dex's
    /// environment.
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

/// A value that Dex expands.
struct Expanded<'a> {
    /// Where it stands: `connectors[0].config.bindPW`.
    path: String,
    value: &'a Expansion,
    /// The connector that it is of; nothing: it is the storage's.
    connector: Option<&'a DexConnector>,
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
            let expanded = expanded(dex, config);
            if config.connectors.is_empty() && expanded.is_empty() {
                out.skip("Dex has no connectors, and expands nothing else");
                continue;
            }
            let mut wrong = Vec::new();
            let mut is_known = true;
            for one in &expanded {
                let lost = match lost(dex, one.value) {
                    // That the server accepts what Dex makes of it says that nothing is missing.
                    Err(_) if is_accepted(cx, one).await => Ok(None),
                    lost => lost,
                };
                match lost {
                    Ok(None) => (),
                    Ok(Some(why)) => wrong.push((one, why)),
                    Err(error) => {
                        is_known = false;
                        out.known::<()>(told, Err(error));
                    }
                }
            }
            for connector in &config.connectors {
                let is = |one: &Expanded<'_>| one.connector.is_some_and(|of| of.id == connector.id);
                let said = wrong.iter().any(|(one, _)| is(one));
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
            // Where a variable is meant somewhere, Dex has to go on putting them in.
            let is_used = expanded.len() > wrong.len()
                || expanded.iter().any(|one| !one.value.variables.is_empty());
            for (one, why) in &wrong {
                fail(cx, dex, told, one, why, is_used, out).await;
            }
            if wrong.is_empty() && is_known {
                out.ok(told);
            }
        }
        Ok(())
    }
}

/// The values of a configuration that Dex expands.
fn expanded<'a>(dex: &Dex, config: &'a DexConfig) -> Vec<Expanded<'a>> {
    if !dex.expands() {
        return Vec::new();
    }
    let of = |above: String, value: &'a Expansion, connector| Expanded {
        path: format!("{above}.config.{}", value.path),
        value,
        connector,
    };
    let storage = config.storage_expansions.iter().map(|value| of("storage".into(), value, None));
    let connectors = config.connectors.iter().enumerate().flat_map(|(at, connector)| {
        let values = connector.expansions.iter();
        values.map(move |value| of(format!("connectors[{at}]"), value, Some(connector)))
    });
    storage.chain(connectors).collect()
}

/// What becomes of a value that Dex expands, if something gets lost.
fn lost(dex: &Dex, value: &Expansion) -> Result<Option<String>, FactError> {
    let mut missing = Vec::new();
    for name in &value.variables {
        if dex.environment.known(name)?.is_none() {
            missing.push(name.as_str());
        }
    }
    if !missing.is_empty() {
        let says = format!("{} has no variable {}", dex.workload(), missing.join(" or "));
        return Ok(Some(says));
    }
    Ok(loses_hidden(dex, value)?.then(|| "what follows the $ is left out".to_owned()))
}

/// Whether something gets lost that may be a part of a password.
fn loses_hidden(dex: &Dex, value: &Expansion) -> Result<bool, FactError> {
    if value.no_names > 0 {
        return Ok(true);
    }
    let names: Vec<_> = value.hidden.iter().filter_map(Hidden::reveal).collect();
    if names.len() == value.others {
        for name in names {
            if !dex.environment.has_any(|other| other == name)? {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    // Of what was written down, only the sort of the names is known.
    let is_small = |name: &str| name.contains(|c: char| c.is_ascii_lowercase());
    if value.small > 0 && !dex.environment.has_any(is_small)? {
        return Ok(true);
    }
    let says = format!("what follows the $ in {} was not kept", value.path);
    Err(Fault::Unreachable(says).into())
}

/// Whether it is a password that the server was seen to accept as Dex sends it.
async fn is_accepted(cx: &Cx, one: &Expanded<'_>) -> bool {
    let Some(connector) = one.connector else { return false };
    let accepted = |bind: &LdapBind| !is_literal(bind) && bind.is_ok() == Some(true);
    one.value.path.eq_ignore_ascii_case("bindPW") && binds(cx, connector).await.iter().any(accepted)
}

async fn fail(
    cx: &Cx,
    dex: &Dex,
    told: &Told,
    one: &Expanded<'_>,
    why: &str,
    is_used: bool,
    out: &mut Findings,
) {
    let literal = match one.connector {
        Some(connector) => works_literally(cx, connector).await,
        None => false,
    };
    let finding = out.fail(told, "has a $ that Dex takes for a variable that isn't there");
    finding.evidence("in", &one.path);
    finding.evidence("so", why);
    if literal {
        finding.evidence("bind", "the server accepts the password as it is written");
    }
    let (namespace, workload) = (&dex.namespace, dex.workload());
    let kind = workload.kind.to_lowercase();
    if kind == "pod" || is_used {
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
    async fn a_variable_without_an_underscore_is_looked_up_and_is_not_shown() {
        let mut deployment = Deployment::signing_in();
        deployment.told("hunter2", "$ECRET");
        let says = deployment.report(&DexExpansion).await;
        assert!(says.contains("FAIL     onprem-dex-env-expansion"), "{says}");
        assert!(says.contains("what follows the $ is left out"), "{says}");
        assert!(!says.contains("ECRET"), "{says}");
        let pod = deployment.in_namespace("Pod", "auth", "dex-7d9f-x1");
        pod["spec"]["containers"][0]["env"] = json!([{ "name": "ECRET", "value": "x" }]);
        let says = deployment.report(&DexExpansion).await;
        assert!(says.contains("pass     onprem-dex-env-expansion"), "{says}");
        // Nothing says of it what a ConfigMap might set.
        deployment.file("probes/ldap")[0]["binds"] = json!([]);
        let pod = deployment.in_namespace("Pod", "auth", "dex-7d9f-x1");
        pod["spec"]["containers"][0]["env"] = json!([]);
        pod["spec"]["containers"][0]["envFrom"] = json!([{ "configMapRef": { "name": "dex" } }]);
        let says = deployment.report(&DexExpansion).await;
        assert!(says.contains("unknown  onprem-dex-env-expansion"), "{says}");
        assert!(!says.contains("ECRET"), "{says}");
    }

    #[tokio::test]
    async fn what_was_written_down_of_a_name_is_not_enough_to_call_it_lost() {
        let mut deployment = Deployment::signing_in();
        deployment.told("hunter2", "$LDAPPW");
        let pod = deployment.in_namespace("Pod", "auth", "dex-7d9f-x1");
        pod["spec"]["containers"][0]["env"] = json!([{ "name": "LDAPPW", "value": "x" }]);
        let first = deployment.world();
        kfcheck::Runner::default().run(&first, &[&DexExpansion]).await;
        let text = first.bundle().texts().map(|(_, text)| text.unwrap()).collect::<String>();
        assert!(text.contains("LDAPPW"), "the pod has it: {text}");
        let second = deployment.over(first.bundle());
        let report = kfcheck::Runner::default().run(&second, &[&DexExpansion]).await;
        assert_eq!(report.results[0].status, kfcheck::Status::Pass, "the server accepts it");
        deployment.file("probes/ldap")[0]["binds"] = json!([]);
        let first = deployment.world();
        kfcheck::Runner::default().run(&first, &[&DexExpansion]).await;
        let second = deployment.over(first.bundle());
        let report = kfcheck::Runner::default().run(&second, &[&DexExpansion]).await;
        assert_eq!(report.results[0].status, kfcheck::Status::Unknown);
    }

    #[tokio::test]
    async fn the_storage_is_expanded_too() {
        let mut deployment = Deployment::signing_in();
        deployment.told("inCluster: true", "{host: $DB_SERVICE_HOST, password: 'p$2word1'}");
        let says = deployment.report(&DexExpansion).await;
        assert!(says.contains("in        storage.config.password"), "{says}");
        assert!(!says.contains("word1"), "{says}");
        let text = crate::sign_in_testing::CONFIG;
        let connectors = &text[text.find("connectors:").unwrap()..];
        deployment.told(connectors, "");
        let says = deployment.report(&DexExpansion).await;
        assert!(says.contains("FAIL     onprem-dex-env-expansion"), "{says}");
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
        assert!(says.contains("pass     "), "the server accepts what is in it: {says}");
        deployment.file("probes/ldap")[0]["binds"] = json!([]);
        let says = deployment.report(&DexExpansion).await;
        assert!(says.contains("unknown  onprem-dex-env-expansion"), "{says}");
    }
}
