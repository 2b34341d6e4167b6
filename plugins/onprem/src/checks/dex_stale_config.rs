use std::sync::LazyLock;

use jiff::Timestamp;
use kfcheck::{Check, Cx, FactError, Fault, Findings, Named, Risk, async_trait, check};
use kfcheck_kube::{ContainerLog, DexConfig, DexLdap};
use regex::Regex;

use crate::{Dex, Dexes, Told, dex::container, environment::kubectl_name};

check! {
    /// ## What it checks
    /// That Dex was started after its configuration was changed last, which its ConfigMap or Secret
    /// keeps in `managedFields`; and that the searches that it writes into its log are those that the
    /// configuration asks for.
    ///
    /// ## Why it matters
    /// Dex reads its configuration when it starts and never again. What was changed since then does
    /// nothing, however right it is.
    ///
    /// ## How to fix it
    /// Start it again with `kubectl rollout restart`.
    pub(crate) struct DexIsUpToDate;
    id: "onprem-dex-stale-config",
    title: "Dex runs with the configuration that is there",
}

#[async_trait]
impl Check for DexIsUpToDate {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let dexes = cx.get(Dexes).await?;
        // One that doesn't run reads what is there when it is started.
        let runs =
            |dex: &&Dex| dex.started_at().is_some() || dex.pods.iter().any(|pod| pod.is_ready());
        if !dexes.iter().any(|dex| runs(&dex)) {
            out.skip("there is no Dex here that runs");
        }
        for dex in dexes.iter().filter(runs) {
            let workload = dex.workload();
            let Some((told, config)) = out.known(&workload, dex.config()) else { continue };
            judge(dex, told, config, &logged(cx, dex).await, out);
        }
        Ok(())
    }
}

fn judge(dex: &Dex, told: &Told, config: &DexConfig, logged: &[Logged], out: &mut Findings) {
    let workload = dex.workload();
    let searches = logged.iter().map(|search| (search, is_asked_for(search, config)));
    let searches: Vec<_> = searches.collect();
    let other = searches.iter().rev().find(|(_, is)| *is == Some(false)).map(|(search, _)| search);
    let started = dex.started_at();
    let age = age(told, started);
    if age == Age::Older || other.is_some() {
        let finding = out
            .fail(&workload, format!("runs with an older configuration than {}", told.resource()));
        if age == Age::Older {
            show_times(finding, told, started);
        }
        if let Some(search) = other {
            finding.evidence("searches", &search.filter);
            finding.evidence("is told", told_filters(config).join(", "));
        }
        finding.fix(Risk::Restarts, "starts it again, with what is there", dex.restart());
        return;
    }
    let is_seen = searches.iter().any(|(_, is)| *is == Some(true));
    match age {
        Age::MaybeOlder if !is_seen => {
            let message = format!("runs since before {} was written last", told.resource());
            let finding = out.warn(&workload, message);
            show_times(finding, told, started);
            finding.fix(Risk::Restarts, "starts it again, with what is there", dex.restart());
        }
        Age::Unknown if !is_seen => {
            let what = told.resource();
            let fault = Fault::NotCollected {
                file: format!("when {what} was changed, or when {workload} was started"),
                command: format!(
                    "kubectl get {} -o yaml --show-managed-fields",
                    kubectl_name(&what)
                ),
            };
            out.known::<()>(&workload, Err(fault.into()));
        }
        _ => out.ok(&workload),
    }
}

fn show_times(finding: &mut kfcheck::Finding, told: &Told, started: Option<Timestamp>) {
    let changed = told.metadata().data_changed.at.or(told.metadata().creation_timestamp);
    if let (Some(started), Some(changed)) = (started, changed) {
        finding.evidence("runs since", started);
        finding.evidence("changed", changed);
    }
}

/// How old what Dex runs with is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Age {
    /// Older than what is there.
    Older,
    /// Older, unless only labels or annotations were changed since.
    MaybeOlder,
    /// It was started afterwards.
    Current,
    /// That isn't known.
    Unknown,
}

fn age(told: &Told, started: Option<Timestamp>) -> Age {
    let Some(started) = started else { return Age::Unknown };
    let metadata = told.metadata();
    // What was made after Dex was started it can't have read.
    if metadata.creation_timestamp.is_some_and(|made| made > started) {
        return Age::Older;
    }
    match (metadata.data_changed.at, metadata.data_changed.is_sure) {
        (None, _) => Age::Unknown,
        (Some(changed), _) if changed <= started => Age::Current,
        (Some(_), true) => Age::Older,
        (Some(_), false) => Age::MaybeOlder,
    }
}

/// A search that Dex wrote into its log.
#[derive(Clone, Debug)]
struct Logged {
    base: Option<String>,
    filter: String,
}

/// The searches in the logs of Dex's pods, oldest first. A log is of the container that runs, so each
/// was made with what that one read.
async fn logged(cx: &Cx, dex: &Dex) -> Vec<Logged> {
    let mut found = Vec::new();
    for pod in &dex.pods {
        let Some(container) = container(pod) else { continue };
        let log = ContainerLog {
            namespace: dex.namespace.clone(),
            pod: pod.metadata.name.clone(),
            container: container.name.clone(),
        };
        // It is asked for what it says beside the rest.
        if let Ok(lines) = cx.get(log).await {
            found.extend(lines.lines().filter_map(search_in));
        }
    }
    found
}

/// Reads a line as Dex writes it, before 2.40 and since (dexidp/dex, `connector/ldap/ldap.go`).
fn search_in(line: &str) -> Option<Logged> {
    static OLD: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r#"performing ldap search (.+?) (?:base|one|sub) (\(.*\))"?\s*$"#).ok()
    });
    static NEW: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(
            r#"performing ldap search.*?base_?dn"?[=:]"?([^"]*?)"? .*?filter"?[=:]"?(\([^"]*\))"#,
        )
        .ok()
    });
    static NONE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r#"no results returned for filter.*?(\([^"\\]*\))"#).ok());
    let two = |regex: &LazyLock<Option<Regex>>| {
        let found = regex.as_ref()?.captures(line)?;
        Some(Logged { base: Some(found[1].to_owned()), filter: found[2].to_owned() })
    };
    let none = || {
        let found = NONE.as_ref()?.captures(line)?;
        Some(Logged { base: None, filter: found[1].to_owned() })
    };
    two(&OLD).or_else(|| two(&NEW)).or_else(none)
}

/// Whether one of the connectors asks for a search; nothing where that can't be told.
fn is_asked_for(search: &Logged, config: &DexConfig) -> Option<bool> {
    let ldaps: Vec<_> = config.connectors.iter().filter_map(|one| one.ldap.as_ref()).collect();
    let expanded = |one: &kfcheck_kube::DexConnector| {
        one.expansions.iter().any(|value| value.path.contains("Search"))
    };
    if config.broken.is_some() || config.connectors.iter().any(expanded) {
        return None;
    }
    Some(ldaps.iter().any(|ldap| asks_for(ldap, search)))
}

fn asks_for(ldap: &DexLdap, search: &Logged) -> bool {
    let users = &ldap.user_search;
    let names = users.username.split(',').map(str::trim);
    let by_user = is_search(search, &users.base_dn, &users.filter, names);
    let by_group = ldap.group_search.as_ref().is_some_and(|groups| {
        let names = groups.user_matchers.iter().map(|matcher| matcher.group_attr.as_str());
        is_search(search, &groups.base_dn, &groups.filter, names)
    });
    by_user || by_group
}

fn is_search<'a>(
    search: &Logged,
    base: &str,
    filter: &str,
    mut names: impl Iterator<Item = &'a str>,
) -> bool {
    let is_there = search.base.as_deref().is_none_or(|searched| searched == base);
    let inner = match filter {
        "" => Some(search.filter.as_str()),
        filter => search.filter.strip_prefix("(&").and_then(|rest| rest.strip_prefix(filter)),
    };
    // Several names make several conditions of which one is enough.
    let inner = inner.map(|inner| inner.strip_prefix("(|").unwrap_or(inner));
    let named = |inner: &str| names.any(|name| inner.starts_with(&format!("({name}=")));
    is_there && inner.is_some_and(named)
}

/// What the configuration asks for, for people.
fn told_filters(config: &DexConfig) -> Vec<String> {
    let ldaps = config.connectors.iter().filter_map(|one| one.ldap.as_ref());
    let filters = ldaps.map(|ldap| {
        let users = &ldap.user_search;
        let name = format!("({}=…)", users.username.split(',').next().unwrap_or_default());
        if users.filter.is_empty() { name } else { format!("(&{}{name})", users.filter) }
    });
    filters.collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::DexIsUpToDate;
    use crate::testing::Deployment;

    async fn changed(at: &str, log: &str) -> String {
        let mut deployment = Deployment::signing_in();
        let map = deployment.in_namespace("ConfigMap", "auth", "dex");
        map["metadata"]["managedFields"][0]["time"] = at.into();
        deployment.logs.push(("auth/dex-7d9f-x1/dex".to_owned(), log.to_owned()));
        deployment.report(&DexIsUpToDate).await
    }

    #[tokio::test]
    async fn a_dex_that_was_started_afterwards_passes() {
        expect![[r#"
            10.64.140.43: nothing broken found. 0 root causes, 0 symptoms; 1 check passed, 0
            not seen.

            pass     onprem-dex-stale-config
                     Dex runs with the configuration that is there
        "#]]
        .assert_eq(&changed("2026-11-19T08:00:00Z", "").await);
    }

    #[tokio::test]
    async fn a_dex_that_was_started_before_runs_with_what_was_there_then() {
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-dex-stale-config
              Deployment auth/dex runs with an older configuration than ConfigMap auth/dex
                runs since
                          2026-11-20T08:00:00Z
                changed   2026-11-20T10:00:00Z
                fix       starts it again, with what is there
                          kubectl rollout restart deployment/dex -n auth
              kubectl kfcheck explain onprem-dex-stale-config

            FAIL     onprem-dex-stale-config
                     Dex runs with the configuration that is there
        "#]]
        .assert_eq(&changed("2026-11-20T10:00:00Z", "").await);
    }

    #[tokio::test]
    async fn searches_of_another_configuration_give_it_away_in_any_versions_log() {
        let old = "time=\"x\" level=info msg=\"performing ldap search ou=people,dc=example,dc=com sub (&(objectClass=person)(uid=jane))\"\n";
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-dex-stale-config
              Deployment auth/dex runs with an older configuration than ConfigMap auth/dex
                searches  (&(objectClass=person)(uid=jane))
                is told   (&(objectClass=inetOrgPerson)(uid=…))
                fix       starts it again, with what is there
                          kubectl rollout restart deployment/dex -n auth
              kubectl kfcheck explain onprem-dex-stale-config

            FAIL     onprem-dex-stale-config
                     Dex runs with the configuration that is there
        "#]]
        .assert_eq(&changed("2026-11-19T08:00:00Z", old).await);
        let new = "level=INFO msg=\"performing ldap search\" base_dn=\"ou=people,dc=example,dc=com\" scope=sub filter=\"(&(objectClass=person)(uid=jane))\"\n";
        assert!(changed("2026-11-19T08:00:00Z", new).await.contains("FAIL"));
        let none = "level=error msg=\"ldap: no results returned for filter: \\\"(&(objectClass=user)(name=jane))\\\"\"\n";
        assert!(changed("2026-11-19T08:00:00Z", none).await.contains("FAIL"));
    }

    #[tokio::test]
    async fn searches_that_the_configuration_asks_for_are_no_sign_of_age() {
        let ours = "msg=\"performing ldap search ou=people,dc=example,dc=com sub (&(objectClass=inetOrgPerson)(uid=jane))\"\nmsg=\"performing ldap search ou=groups,dc=example,dc=com sub (&(objectClass=groupOfNames)(member=uid=jane))\"\n";
        assert!(changed("2026-11-19T08:00:00Z", ours).await.contains("pass     "));
    }

    #[tokio::test]
    async fn a_label_that_was_changed_is_no_change_of_the_configuration() {
        let mut deployment = Deployment::signing_in();
        let map = deployment.in_namespace("ConfigMap", "auth", "dex");
        map["metadata"]["managedFields"][0]["time"] = "2026-11-20T10:00:00Z".into();
        map["metadata"]["managedFields"][0]["fieldsV1"]["f:metadata"] = json!({ "f:labels": {} });
        let says = deployment.report(&DexIsUpToDate).await;
        assert!(says.contains("WARNING  onprem-dex-stale-config"), "{says}");
    }

    #[tokio::test]
    async fn when_nobody_wrote_down_when_it_was_changed_it_is_unknown() {
        let mut deployment = Deployment::signing_in();
        let map = deployment.in_namespace("ConfigMap", "auth", "dex");
        map["metadata"].as_object_mut().unwrap().remove("managedFields");
        let says = deployment.report(&DexIsUpToDate).await;
        assert!(says.contains("unknown  onprem-dex-stale-config"), "{says}");
    }
}
