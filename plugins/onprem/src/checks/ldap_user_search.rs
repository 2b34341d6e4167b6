use kfcheck::{Check, Cx, FactError, Fault, Findings, Risk, async_trait, check};
use kfcheck_probe::{LdapAnswer, LdapFound, LdapPurpose};

use crate::{LdapConnector, LdapConnectors};

check! {
    /// ## What it checks
    /// The search by which each LDAP connector finds users: that there is something at `baseDN`, that
    /// the filter fits somebody there, and that those it fits have the attributes that Dex reads:
    /// `username`, `idAttr`, `emailAttr` and `nameAttr`.
    ///
    /// ## Why it matters
    /// A user that is not found is told that the password is wrong. One without a mail address, or
    /// whatever `idAttr` names, is refused with "missing following required attribute(s)".
    ///
    /// ## How to fix it
    /// Make the same search with `ldapsearch -x -D BINDDN -W -b BASEDN FILTER` and compare. OpenLDAP
    /// often has `objectClass=inetOrgPerson` with `uid`, Active Directory `objectClass=user` with
    /// `sAMAccountName`.
    pub(crate) struct LdapFindsUsers;
    id: "onprem-ldap-user-search",
    title: "Dex finds the users in its directory, with what it needs of them",
}

#[async_trait]
impl Check for LdapFindsUsers {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let connectors = cx.get(LdapConnectors).await?;
        if connectors.is_empty() {
            out.skip("Dex has no LDAP connector");
        }
        for connector in connectors.iter() {
            let answer = connector.answer(cx).await;
            let Some(answer) = out.known(&connector.told, answer) else { continue };
            let users = &connector.ldap.user_search;
            let found = search(&answer, LdapPurpose::UserSearch, &users.base_dn, connector);
            let Some(found) = out.known(&connector.told, found) else { continue };
            judge(connector, &found, out);
        }
        Ok(())
    }
}

/// The last search for `purpose` that is the connector's; an error says why there is none.
pub(super) fn search(
    answer: &LdapAnswer,
    purpose: LdapPurpose,
    base: &str,
    connector: &LdapConnector,
) -> Result<LdapFound, FactError> {
    let same = |dn: &str| {
        let bare =
            |dn: &str| dn.to_lowercase().split(',').map(str::trim).collect::<Vec<_>>().join(",");
        dn.is_empty() || bare(dn) == bare(base)
    };
    let found = answer.found(purpose).filter(|found| same(&found.base_dn)).last().cloned();
    found.ok_or_else(|| {
        let refused = answer.binds.iter().find_map(|bind| bind.error.as_deref());
        let why = answer.connect.error.as_deref().or(refused).unwrap_or("nobody made this search");
        Fault::Unreachable(format!("{} was not searched: {why}", connector.server)).into()
    })
}

/// What is wrong with a search as a whole.
pub(super) fn refused(found: &LdapFound) -> Option<String> {
    let is_gone =
        found.base_exists == Some(false) || found.result_code.is_some_and(|code| code.0 == 32);
    if is_gone {
        return Some("which does not exist".to_owned());
    }
    (!found.is_answered()).then(|| match found.result_code {
        Some(code) => format!("which the server does not do: {code}"),
        None => "which the server does not do".to_owned(),
    })
}

fn judge(connector: &LdapConnector, found: &LdapFound, out: &mut Findings) {
    let users = &connector.ldap.user_search;
    let filter = if users.filter.is_empty() { "(none)" } else { &users.filter };
    let message = match refused(found) {
        Some(why) => format!("has Dex look for users below {}, {why}", users.base_dn),
        None if found.entries.is_empty() => {
            format!("has Dex look for users below {}, where the filter fits nobody", users.base_dn)
        }
        None => return judge_attributes(connector, found, out),
    };
    let finding = out.fail(&connector.told, message);
    finding.hearsay();
    finding.evidence("connector", &connector.id).evidence("filter", filter);
    if let Some(matched) = &found.matched_dn {
        finding.evidence("there is", matched);
    }
    if let Some(error) = &found.error {
        finding.evidence("because", error);
    }
    finding.fix(
        Risk::Restarts,
        "lets you put the search right, and starts Dex again",
        connector.edit.clone(),
    );
}

fn judge_attributes(connector: &LdapConnector, found: &LdapFound, out: &mut Findings) {
    let users = &connector.ldap.user_search;
    let email = if users.email_suffix.is_empty() { users.email_attr() } else { "" };
    let name = users.username.split(',').next().unwrap_or_default().trim();
    let read = [
        ("username", name),
        ("idAttr", users.id_attr()),
        ("emailAttr", email),
        ("nameAttr", &users.name_attr),
        ("preferredUsernameAttr", &users.preferred_username_attr),
    ];
    let read = read.iter().filter(|(_, attribute)| !attribute.is_empty());
    let lacking: Vec<_> = read
        .map(|(setting, attribute)| {
            let without = found.entries.iter().filter(|entry| !entry.has(attribute)).count();
            (*setting, *attribute, without)
        })
        .filter(|(_, _, without)| *without > 0)
        .collect();
    let all = found.entries.len();
    let nobody: Vec<_> = lacking.iter().filter(|(_, _, without)| *without == all).collect();
    if nobody.is_empty() && lacking.is_empty() {
        out.ok(&connector.told);
        return;
    }
    let shown = |(setting, attribute, without): &(&str, &str, usize)| {
        format!("{setting} {attribute}: {without} of {all} users are without it")
    };
    // Of a few that came first, none may have what the others have.
    let finding = if nobody.is_empty() || found.is_cut() {
        out.warn(&connector.told, "has Dex read attributes that some users don't have")
    } else {
        let finding = out.fail(&connector.told, "has Dex read attributes that no user has");
        finding.hearsay()
    };
    finding.evidence("connector", &connector.id);
    for one in &lacking {
        finding.evidence("lacking", shown(one));
    }
    if let Some(entry) = found.entries.first() {
        let names: Vec<_> = entry.attributes.keys().map(String::as_str).collect();
        finding.evidence("there are", names.join(", "));
    }
    finding.fix(
        Risk::Restarts,
        "lets you name attributes that they have, and starts Dex again",
        connector.edit.clone(),
    );
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::LdapFindsUsers;
    use crate::testing::Deployment;

    async fn with(found: serde_json::Value) -> String {
        let mut deployment = Deployment::signing_in();
        let search = &mut deployment.file("probes/ldap")[0]["searches"][0];
        search.as_object_mut().unwrap().extend(found.as_object().unwrap().clone());
        deployment.report(&LdapFindsUsers).await
    }

    #[tokio::test]
    async fn users_with_all_that_dex_reads_pass() {
        expect![[r#"
            10.64.140.43: nothing broken found. 0 root causes, 0 symptoms; 1 check passed, 0
            not seen.

            pass     onprem-ldap-user-search
                     Dex finds the users in its directory, with what it needs of them
        "#]]
        .assert_eq(&Deployment::signing_in().report(&LdapFindsUsers).await);
    }

    #[tokio::test]
    async fn a_base_that_is_not_there_is_said_with_what_is() {
        let gone = json!({ "baseExists": false, "resultCode": 32, "entries": [],
            "matchedDN": "dc=example,dc=com" });
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-ldap-user-search
              ConfigMap auth/dex has Dex look for users below ou=people,dc=example,dc=com,
                which does not exist
                connector ldap
                filter    (objectClass=inetOrgPerson)
                there is  dc=example,dc=com
                fix       lets you put the search right, and starts Dex again
                          kubectl edit configmap \
                            -n auth dex && kubectl rollout restart deployment/dex -n auth
              kubectl kfcheck explain onprem-ldap-user-search

            FAIL     onprem-ldap-user-search
                     Dex finds the users in its directory, with what it needs of them
        "#]]
        .assert_eq(&with(gone).await);
    }

    #[tokio::test]
    async fn a_filter_that_fits_nobody_is_said() {
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-ldap-user-search
              ConfigMap auth/dex has Dex look for users below ou=people,dc=example,dc=com,
                where the filter fits nobody
                connector ldap
                filter    (objectClass=inetOrgPerson)
                fix       lets you put the search right, and starts Dex again
                          kubectl edit configmap \
                            -n auth dex && kubectl rollout restart deployment/dex -n auth
              kubectl kfcheck explain onprem-ldap-user-search

            FAIL     onprem-ldap-user-search
                     Dex finds the users in its directory, with what it needs of them
        "#]]
        .assert_eq(&with(json!({ "entries": [] })).await);
    }

    #[tokio::test]
    async fn attributes_that_nobody_has_keep_everybody_out() {
        let entry = |attributes| json!({ "dn": "uid=jane", "attributes": attributes });
        let without = json!({ "uid": ["jane"], "cn": ["Jane"] });
        let says = with(json!({ "entries": [entry(without.clone())] })).await;
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-ldap-user-search
              ConfigMap auth/dex has Dex read attributes that no user has
                connector ldap
                lacking   emailAttr mail: 1 of 1 users are without it
                there are cn, uid
                fix       lets you name attributes that they have, and starts Dex again
                          kubectl edit configmap \
                            -n auth dex && kubectl rollout restart deployment/dex -n auth
              kubectl kfcheck explain onprem-ldap-user-search

            FAIL     onprem-ldap-user-search
                     Dex finds the users in its directory, with what it needs of them
        "#]]
        .assert_eq(&says);
        let whole = json!({ "uid": ["joe"], "cn": ["Joe"], "mail": ["joe@example.com"] });
        let says = with(json!({ "entries": [entry(without), entry(whole)] })).await;
        assert!(says.contains("WARNING  onprem-ldap-user-search"), "{says}");
    }

    #[tokio::test]
    async fn a_few_of_many_users_are_not_all_of_them() {
        let without =
            json!({ "dn": "cn=svc", "attributes": { "uid": ["svc"], "cn": ["Service"] } });
        let says = with(json!({ "resultCode": 4, "entries": [without] })).await;
        assert!(says.contains("WARNING  onprem-ldap-user-search"), "{says}");
        assert!(!says.contains("FAIL"), "{says}");
    }

    #[tokio::test]
    async fn a_search_for_something_else_says_nothing() {
        let says = with(json!({ "baseDN": "ou=machines,dc=example,dc=com" })).await;
        assert!(says.contains("unknown  onprem-ldap-user-search"), "{says}");
    }
}
