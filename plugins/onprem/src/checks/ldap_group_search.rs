use kfcheck::{Check, Cx, FactError, Findings, Risk, async_trait, check};
use kfcheck_kube::DexGroupSearch;
use kfcheck_probe::{LdapAnswer, LdapFound, LdapPurpose};

use super::ldap_user_search::{refused, search};
use crate::{LdapConnector, LdapConnectors};

check! {
    /// ## What it checks
    /// The search by which each LDAP connector finds the groups of a user: that there is something at
    /// `baseDN`, that the filter fits a group there, that groups have the attribute that names them, and
    /// that some user that was found is a member of some group by `userAttr` and `groupAttr`.
    ///
    /// ## Why it matters
    /// Where the search fails, or a group has no name, Dex refuses the sign-in. Where it only finds
    /// nothing, users sign in without groups, and whoever is let in by group is not let in.
    ///
    /// ## How to fix it
    /// Look at one group with `ldapsearch`. `member` holds whole names (`userAttr: DN`), `memberUid` of
    /// POSIX groups just logins (`userAttr: uid`).
    pub(crate) struct LdapFindsGroups;
    id: "onprem-ldap-group-search",
    title: "Dex finds the groups of users in its directory",
}

#[async_trait]
impl Check for LdapFindsGroups {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let connectors = cx.get(LdapConnectors).await?;
        if connectors.iter().all(|connector| connector.ldap.group_search.is_none()) {
            out.skip("no LDAP connector of Dex's looks for groups");
            return Ok(());
        }
        for connector in connectors.iter() {
            let Some(groups) = &connector.ldap.group_search else { continue };
            let answer = connector.answer(cx).await;
            let Some(answer) = out.known(&connector.told, answer) else { continue };
            let found = search(&answer, LdapPurpose::GroupSearch, &groups.base_dn, connector);
            let Some(found) = out.known(&connector.told, found) else { continue };
            judge(connector, groups, &found, &answer, out);
        }
        Ok(())
    }
}

fn judge(
    connector: &LdapConnector,
    groups: &DexGroupSearch,
    found: &LdapFound,
    answer: &LdapAnswer,
    out: &mut Findings,
) {
    let base = &groups.base_dn;
    let fix = "lets you put the search right, and starts Dex again";
    let edit = connector.edit.clone();
    if let Some(why) = refused(found) {
        let finding =
            out.fail(&connector.told, format!("has Dex look for groups below {base}, {why}"));
        finding.hearsay().evidence("connector", &connector.id);
        if let Some(matched) = &found.matched_dn {
            finding.evidence("there is", matched);
        }
        if let Some(error) = &found.error {
            finding.evidence("because", error);
        }
        finding.fix(Risk::Restarts, fix, edit);
        return;
    }
    if found.entries.is_empty() {
        let message = format!("has Dex look for groups below {base}, where the filter fits none");
        let finding = out.fail(&connector.told, message);
        let filter = if groups.filter.is_empty() { "(none)" } else { &groups.filter };
        finding.manner().hearsay();
        finding.evidence("connector", &connector.id).evidence("filter", filter);
        finding.fix(Risk::Restarts, fix, edit);
        return;
    }
    let name = &groups.name_attr;
    let nameless =
        found.entries.iter().filter(|group| !name.is_empty() && !group.has(name)).count();
    if nameless > 0 {
        let all = found.entries.len();
        // Only who is in such a group is refused.
        let finding = if nameless < all || found.is_cut() {
            out.warn(&connector.told, "has Dex name groups by an attribute that some don't have")
        } else {
            let message = "has Dex name groups by an attribute that they don't have";
            out.fail(&connector.told, message).hearsay()
        };
        finding.evidence("connector", &connector.id);
        finding.evidence(
            "lacking",
            format!("nameAttr {name}: {nameless} of {all} groups are without it"),
        );
        finding.fix(Risk::Restarts, fix, edit);
        return;
    }
    match membership(groups, found, answer) {
        Some(false) => {
            let message = "has Dex look for members in groups that none of the users found is in";
            let finding = out.fail(&connector.told, message);
            finding.manner().hearsay();
            finding.evidence("connector", &connector.id);
            for matcher in &groups.user_matchers {
                let pair =
                    format!("userAttr {} in groupAttr {}", matcher.user_attr, matcher.group_attr);
                finding.evidence("looks for", pair);
            }
            let named = found.entries.iter().flat_map(|group| group.attributes.keys());
            let named: std::collections::BTreeSet<_> = named.map(String::as_str).collect();
            finding.evidence("groups have", named.into_iter().collect::<Vec<_>>().join(", "));
            finding.fix(Risk::Restarts, fix, edit);
        }
        // That nobody is in one can't be said of users and groups of which not all were seen.
        Some(true) | None => out.ok(&connector.told),
    }
}

/// Whether a user that was found is in a group that was found; nothing where that can't be told.
fn membership(groups: &DexGroupSearch, found: &LdapFound, answer: &LdapAnswer) -> Option<bool> {
    let users: Vec<_> = answer.found(LdapPurpose::UserSearch).last()?.entries.iter().collect();
    let cut = found.is_cut() || answer.found(LdapPurpose::UserSearch).any(LdapFound::is_cut);
    if users.is_empty() || groups.user_matchers.is_empty() {
        return None;
    }
    let mut is_hidden = false;
    for matcher in &groups.user_matchers {
        let (of_user, of_group) = (matcher.user_attr.as_str(), matcher.group_attr.as_str());
        is_hidden |= users.iter().any(|user| user.hides(of_user));
        is_hidden |= found.entries.iter().any(|group| group.hides(of_group));
        for group in &found.entries {
            let members: Vec<_> = group.values(of_group).map(str::to_lowercase).collect();
            let is_member = |value: &str| members.contains(&value.to_lowercase());
            if users.iter().any(|user| user.values(of_user).any(is_member)) {
                return Some(true);
            }
        }
    }
    (!cut && !is_hidden).then_some(false)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::LdapFindsGroups;
    use crate::testing::Deployment;

    async fn with(found: serde_json::Value) -> String {
        let mut deployment = Deployment::signing_in();
        let search = &mut deployment.file("probes/ldap")[0]["searches"][1];
        search.as_object_mut().unwrap().extend(found.as_object().unwrap().clone());
        deployment.report(&LdapFindsGroups).await
    }

    #[tokio::test]
    async fn groups_with_members_and_names_pass() {
        expect![[r#"
            10.64.140.43: nothing broken found. 0 root causes, 0 symptoms; 1 check passed, 0
            not seen.

            pass     onprem-ldap-group-search
                     Dex finds the groups of users in its directory
        "#]]
        .assert_eq(&Deployment::signing_in().report(&LdapFindsGroups).await);
    }

    #[tokio::test]
    async fn a_base_that_is_not_there_keeps_everybody_out() {
        let gone = json!({ "baseExists": false, "resultCode": 32, "entries": [] });
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-ldap-group-search
              ConfigMap auth/dex has Dex look for groups below ou=groups,dc=example,dc=com,
                which does not exist
                connector ldap
                fix       lets you put the search right, and starts Dex again
                          kubectl edit configmap \
                            -n auth dex && kubectl rollout restart deployment/dex -n auth
              kubectl kfcheck explain onprem-ldap-group-search

            FAIL     onprem-ldap-group-search
                     Dex finds the groups of users in its directory
        "#]]
        .assert_eq(&with(gone).await);
    }

    #[tokio::test]
    async fn members_that_are_named_otherwise_are_not_found() {
        let posix = json!({ "entries": [{ "dn": "cn=ml", "attributes": {
            "cn": ["ml"], "memberUid": ["jane"] } }] });
        expect![[r#"
            10.64.140.43: nothing broken on the way; something beside it is. 1 root cause, 0
            symptoms; 0 checks passed, 0 not seen.

            BROKEN  onprem-ldap-group-search
              ConfigMap auth/dex has Dex look for members in groups that none of the users
                found is in
                connector ldap
                looks for userAttr DN in groupAttr member
                groups have
                          cn, memberUid
                fix       lets you put the search right, and starts Dex again
                          kubectl edit configmap \
                            -n auth dex && kubectl rollout restart deployment/dex -n auth
              kubectl kfcheck explain onprem-ldap-group-search

            FAIL     onprem-ldap-group-search
                     Dex finds the groups of users in its directory
        "#]]
        .assert_eq(&with(posix).await);
    }

    #[tokio::test]
    async fn a_group_without_a_name_is_refused_by_dex() {
        let nameless = json!({ "entries": [{ "dn": "cn=ml", "attributes": {
            "member": ["uid=jane,ou=people,dc=example,dc=com"] } }] });
        let says = with(nameless).await;
        assert!(says.contains("nameAttr cn: 1 of 1 groups are without it"), "{says}");
    }

    #[tokio::test]
    async fn one_group_without_a_name_keeps_only_its_own_out() {
        let member = json!(["uid=jane,ou=people,dc=example,dc=com"]);
        let two = json!({ "entries": [
            { "dn": "cn=ml", "attributes": { "cn": ["ml"], "member": member } },
            { "dn": "ou=old", "attributes": { "member": member } }] });
        let says = with(two).await;
        assert!(says.contains("WARNING  onprem-ldap-group-search"), "{says}");
        assert!(says.contains("nameAttr cn: 1 of 2 groups are without it"), "{says}");
    }

    #[tokio::test]
    async fn of_groups_that_were_not_all_seen_nothing_is_said_to_be_missing() {
        let cut = json!({ "resultCode": 4, "entries": [{ "dn": "cn=ml", "attributes": {
            "cn": ["ml"], "member": ["uid=joe,ou=people,dc=example,dc=com"] } }] });
        let says = with(cut).await;
        assert!(says.contains("pass     onprem-ldap-group-search"), "{says}");
    }

    #[tokio::test]
    async fn a_connector_without_groups_is_not_looked_at() {
        let mut deployment = Deployment::signing_in();
        let text = crate::sign_in_testing::CONFIG;
        deployment.told(&text[text.find("    groupSearch").unwrap()..], "");
        let says = deployment.report(&LdapFindsGroups).await;
        assert!(says.contains("skip     onprem-ldap-group-search"), "{says}");
    }
}
