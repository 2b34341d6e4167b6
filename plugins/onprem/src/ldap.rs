//! The LDAP connectors of Dex's: what to ask their servers, and what came of it.

use kfcheck::{Cx, Fact, FactError, Fault, Named, Resource, async_trait};
use kfcheck_kube::{DexConnector, DexLdap, Hidden, expand_env};
use kfcheck_probe::{
    BindPassword, BindPasswords, LdapAnswer, LdapMatcher, LdapProbe, LdapRoots, LdapSearch,
    LdapSecurity,
};
use serde::Serialize;

use crate::{Dex, Dexes, Told};

/// A connector to a directory.
#[derive(Clone, Debug)]
pub struct LdapConnector {
    /// What has it in its configuration.
    pub told: Resource,
    /// The command that changes that.
    pub edit: String,
    /// The connector's `id`.
    pub id: String,
    /// Its server, with the port that Dex dials.
    pub server: String,
    /// What it is told.
    pub ldap: DexLdap,
    /// What to ask its server.
    pub probe: LdapProbe,
}

impl LdapConnector {
    /// What its server said; nothing where nobody asked this one.
    pub(crate) async fn answer(&self, cx: &Cx) -> Result<LdapAnswer, FactError> {
        let answers = cx.get(self.probe.clone()).await?;
        answers.last().cloned().ok_or_else(|| {
            let says = format!("the server of connector {} was not asked", self.id);
            Fault::Unreachable(says).into()
        })
    }
}

/// Every LDAP connector of every Dex.
#[derive(Clone, Serialize)]
pub struct LdapConnectors;

impl Fact for LdapConnectors {
    const NAME: &'static str = "onprem.ldapConnectors";
    type Value = Vec<LdapConnector>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<LdapConnector>, FactError> {
        let mut found = Vec::new();
        for dex in cx.get(Dexes).await?.iter() {
            let (told, config) = dex.readable()?;
            let connectors = config.connectors.iter();
            found.extend(connectors.filter_map(|connector| of(dex, told, connector)));
        }
        Ok(found)
    }
}

fn of(dex: &Dex, told: &Told, connector: &DexConnector) -> Option<LdapConnector> {
    let ldap = connector.ldap.clone()?;
    // Without a server there is nobody to ask; that it is missing is found elsewhere.
    if ldap.host.is_empty() {
        return None;
    }
    Some(LdapConnector {
        told: told.resource(),
        edit: dex.edit(told),
        id: connector.id.clone(),
        server: connector.server()?,
        probe: probe(dex, connector, &ldap),
        ldap,
    })
}

/// What to ask the server of a connector, as Dex would.
fn probe(dex: &Dex, connector: &DexConnector, ldap: &DexLdap) -> LdapProbe {
    let users = &ldap.user_search;
    let some = |names: &[&str]| -> Vec<String> {
        let all = names.iter().flat_map(|name| name.split(',')).map(str::trim);
        let mut all: Vec<_> =
            all.filter(|name| !name.is_empty() && *name != "DN").map(str::to_owned).collect();
        all.sort();
        all.dedup();
        all
    };
    let groups = ldap.group_search.as_ref();
    let matched = groups.iter().flat_map(|groups| &groups.user_matchers);
    let mut read = vec![users.username.as_str(), users.id_attr(), users.email_attr()];
    read.extend([&*users.name_attr, &*users.preferred_username_attr]);
    read.extend(matched.clone().map(|matcher| &*matcher.user_attr));
    // What sort of entry it is tells which other attributes it may have.
    read.push("objectClass");
    let roots = match (&ldap.root_ca_data, &ldap.root_ca) {
        (Some(pem), _) if !pem.is_empty() => LdapRoots::Stated(pem.clone()),
        (_, Some(_)) => LdapRoots::Unknown,
        _ => LdapRoots::Known,
    };
    LdapProbe {
        connector: connector.id.clone(),
        host: ldap.host.clone(),
        namespace: dex.namespace.clone(),
        security: match (ldap.insecure_no_ssl, ldap.start_tls) {
            (true, _) => LdapSecurity::Plain,
            (false, true) => LdapSecurity::StartTls,
            (false, false) => LdapSecurity::Ldaps,
        },
        skip_verify: ldap.insecure_skip_verify,
        roots,
        bind_dn: ldap.bind_dn.clone(),
        user_search: Some(LdapSearch {
            base_dn: users.base_dn.clone(),
            scope: users.scope.clone(),
            filter: users.filter.clone(),
            attributes: some(&read),
            matchers: Vec::new(),
        }),
        group_search: groups.map(|groups| LdapSearch {
            base_dn: groups.base_dn.clone(),
            scope: groups.scope.clone(),
            filter: groups.filter.clone(),
            attributes: some(
                &groups
                    .user_matchers
                    .iter()
                    .map(|matcher| &*matcher.group_attr)
                    .chain([&*groups.name_attr, "objectClass"])
                    .collect::<Vec<_>>(),
            ),
            matchers: matched
                .map(|matcher| LdapMatcher {
                    user_attr: matcher.user_attr.clone(),
                    group_attr: matcher.group_attr.clone(),
                })
                .collect(),
        }),
    }
}

/// Knows the passwords in Dex's configuration, with the variables of its environment put in as Dex
/// does it.
pub struct DexPasswords;

#[async_trait]
impl BindPasswords for DexPasswords {
    async fn password(&self, cx: &Cx, connector: &str) -> Result<BindPassword, FactError> {
        for dex in cx.get(Dexes).await?.iter() {
            let (told, config) = dex.readable()?;
            let ours = config.connectors.iter().find(|one| one.id == connector);
            let Some(ldap) = ours.and_then(|one| one.ldap.as_ref()) else { continue };
            let source = format!("bindPW of {}", told.resource());
            if !ldap.bind_pw.is_set() {
                return Ok(BindPassword::new("", source));
            }
            let Some(text) = ldap.password.reveal() else {
                let says =
                    format!("the password of connector {connector} was taken out of {source}");
                return Err(Fault::Unreachable(says).into());
            };
            let expanded = expanded(dex, text)?;
            let is_changed = expanded != *text;
            let literal = format!("literal {source}");
            let password = BindPassword::new(expanded, source);
            return Ok(if is_changed { password.written(text, literal) } else { password });
        }
        let says = format!("no Dex has a connector {connector}");
        Err(Fault::Unreachable(says).into())
    }
}

/// What Dex makes of a password.
fn expanded(dex: &Dex, text: &str) -> Result<String, FactError> {
    if !dex.expands() || !text.contains('$') {
        return Ok(text.to_owned());
    }
    let mut unknown = None;
    let password = expand_env(text, |name| match dex.environment.known(name) {
        Ok(variable) => {
            let variable = variable?;
            let entry = variable.entry().and_then(|(secret, key)| secret.ldap.get(key));
            let value = entry.and_then(Hidden::reveal).map(str::to_owned);
            let value = value.or_else(|| variable.value.clone());
            if value.is_none() {
                let says = format!("the value of variable {name} was not kept");
                unknown = Some(Fault::Unreachable(says).into());
            }
            value
        }
        Err(error) => {
            unknown = Some(error);
            None
        }
    });
    unknown.map_or(Ok(password), Err)
}
