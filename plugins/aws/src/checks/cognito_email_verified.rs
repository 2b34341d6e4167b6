use std::{collections::BTreeSet, sync::Arc};

use kfcheck::{Check, Cx, FactError, Fault, Findings, Risk, async_trait, check};
use kfcheck_kube::{ContainerLog, Pod, within};

use crate::{
    CognitoSignIns, IdentityProvider, IdentityProviders, UserPoolClients,
    facts::{region_of, resource},
};

check! {
    /// ## What it checks
    /// That users who come to the user pool from another identity provider have a verified e-mail
    /// address, where the cluster lets in nobody else: the provider's attribute mapping, and the logs of
    /// who decides (`authzadaptor`, oauth2-proxy).
    ///
    /// ## Why it matters
    /// Cognito takes an address from elsewhere for unverified unless the provider says otherwise and the
    /// mapping passes that on. Such users sign in and are then turned away with `PERMISSION_DENIED`.
    ///
    /// ## How to fix it
    /// Have the provider say that addresses are verified, and map that attribute to `email_verified`.
    pub(crate) struct CognitoEmailVerified;
    id: "aws-cognito-email-verified",
    title: "Users of other identity providers have a verified e-mail address",
}

/// Where those who decide by the e-mail address usually are.
const NAMESPACES: [&str; 2] = ["istio-system", "oauth2-proxy"];
/// Their names. The first never lets anybody in without, the others only where they are not told to.
const DECIDING: [&str; 3] = ["authzadaptor", "oauth2-proxy", "authservice"];

#[async_trait]
impl Check for CognitoEmailVerified {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let sign_ins = cx.get(CognitoSignIns).await?;
        let pools: BTreeSet<_> = sign_ins.iter().map(|s| s.pool().to_owned()).collect();
        if pools.is_empty() {
            out.skip("the load balancer signs nobody in with Cognito");
            return Ok(());
        }
        let pods = deciding(cx).await?;
        if pods.is_empty() {
            out.skip("nothing in the cluster looks at users' e-mail addresses");
            return Ok(());
        }
        let refusal = refusal(cx, &pods).await;
        for pool in pools {
            let subject = resource("UserPool", &pool);
            let used = used(cx, &pool).await;
            let others = used.iter().flatten().filter(|name| *name != "COGNITO");
            let others: Vec<_> = others.map(String::as_str).collect();
            // Users of the pool's own are verified, or not, one by one.
            if used.is_some() && others.is_empty() && refusal.is_none() {
                out.ok(&subject);
                continue;
            }
            let providers = cx.get(IdentityProviders { pool: pool.clone() }).await;
            if let (Err(_), Some((pod, line))) = (&providers, &refusal)
                && !others.is_empty()
            {
                let says = turned_away(&others.join(", "));
                let finding = out.fail(&subject, says).manner();
                finding.evidence("log", format!("{}: {line}", pod.metadata.name));
            }
            let Some(providers) = out.known(&subject, providers) else { continue };
            let is_seen = |name: &&&str| providers.iter().any(|p| p.provider_name == **name);
            let unseen: Vec<_> = others.iter().filter(|name| !is_seen(name)).copied().collect();
            if !unseen.is_empty() && refusal.is_none() {
                let says = format!("what {} says of users was not seen", unseen.join(", "));
                out.known::<()>(&subject, Err(Fault::Unreachable(says).into()));
                continue;
            }
            let drops = |p: &&IdentityProvider| {
                let mapped = |attribute| p.attribute_mapping.contains_key(attribute);
                used.as_ref().is_none_or(|used| used.contains(&p.provider_name))
                    && mapped("email")
                    && !mapped("email_verified")
            };
            let dropping: Vec<_> = providers.iter().filter(drops).collect();
            let names: Vec<_> = dropping.iter().map(|p| p.provider_name.as_str()).collect();
            let names = names.join(", ");
            let finding = match (&refusal, dropping.is_empty()) {
                (Some(_), false) => out.fail(&subject, turned_away(&names)).manner(),
                (Some(_), true) => {
                    out.warn(&subject, "has users whose e-mail address isn't verified")
                }
                // Others may have been told to let them in.
                (None, false) if pods.iter().any(|(_, name)| *name == DECIDING[0]) => {
                    let says = format!(
                        "takes users of {names} for unverified, and {} lets only others in",
                        DECIDING[0]
                    );
                    out.warn(&subject, says)
                }
                (None, _) => {
                    out.ok(&subject);
                    continue;
                }
            };
            for provider in &dropping {
                let keys: Vec<_> = provider.attribute_mapping.keys().map(String::as_str).collect();
                let kind = &provider.provider_type;
                let says = format!("{} ({kind}) gives {}", provider.provider_name, keys.join(", "));
                finding.evidence("mapping", says);
            }
            if let Some((pod, line)) = &refusal {
                finding.evidence("log", format!("{}: {line}", pod.metadata.name));
            }
            for provider in dropping {
                let why = "maps it, if that is what the provider calls it";
                finding.fix(Risk::Opens, why, map(&pool, provider));
            }
        }
        Ok(())
    }
}

fn turned_away(providers: &str) -> String {
    format!("takes users of {providers} for unverified, who are turned away")
}

/// The pods that decide by users' e-mail addresses.
async fn deciding(cx: &Cx) -> Result<Vec<(Arc<Pod>, &'static str)>, FactError> {
    let mut found = Vec::new();
    for namespace in NAMESPACES {
        for pod in cx.get(within::<Pod>(namespace)).await?.iter().filter(|pod| !pod.is_over()) {
            let is = |name: &&&str| pod.metadata.name.contains(**name);
            found.extend(DECIDING.iter().find(is).map(|name| (Arc::clone(pod), *name)));
        }
    }
    Ok(found)
}

/// What one of them says of an address that isn't verified.
async fn refusal(cx: &Cx, pods: &[(Arc<Pod>, &'static str)]) -> Option<(Arc<Pod>, String)> {
    for (pod, _) in pods {
        // Others of the pod's containers are Istio's.
        let own = pod.spec.containers.iter().filter(|container| container.name != "istio-proxy");
        for container in own {
            let log = ContainerLog {
                namespace: pod.metadata.namespace().to_owned(),
                pod: pod.metadata.name.clone(),
                container: container.name.clone(),
            };
            // A log that isn't there leaves what the mapping says.
            let Ok(log) = cx.get(log).await else { continue };
            let says = |line: &&str| {
                let line = line.to_lowercase();
                let refused = ["not verified", "isn't verified", "unverified"];
                line.contains("email") && refused.iter().any(|word| line.contains(word))
            };
            if let Some(line) = log.lines().rfind(says) {
                return Some((Arc::clone(pod), without_address(line)));
            }
        }
    }
    None
}

/// A line without whose address it is.
fn without_address(line: &str) -> String {
    let hide =
        |word: &str| if word.contains('@') { "(address)".to_owned() } else { word.to_owned() };
    line.split(' ').map(hide).collect::<Vec<_>>().join(" ")
}

/// The providers that the pool's applications let users come from; nothing where that isn't known.
async fn used(cx: &Cx, pool: &str) -> Option<BTreeSet<String>> {
    let mut used = BTreeSet::new();
    for sign_in in cx.get(CognitoSignIns).await.ok()?.iter().filter(|s| s.pool() == pool) {
        let id = sign_in.user_pool_client_id.clone();
        let found = cx.get(UserPoolClients { pool: pool.to_owned(), id }).await.ok()?;
        used.extend(found.iter().flat_map(|c| c.supported_identity_providers.iter().cloned()));
    }
    Some(used)
}

/// The command that maps the attribute and keeps what is mapped.
fn map(pool: &str, provider: &IdentityProvider) -> String {
    let mut mapping = provider.attribute_mapping.clone();
    mapping.insert("email_verified".to_owned(), "email_verified".to_owned());
    format!(
        "aws cognito-idp update-identity-provider --region {} --user-pool-id {pool} --provider-name \
         '{}' --attribute-mapping '{}'",
        region_of(pool),
        provider.provider_name,
        serde_json::json!(mapping)
    )
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::CognitoEmailVerified;
    use crate::testing::Deployment;

    /// Users come from Okta, with these attributes; authzadaptor decides, and has written this.
    async fn with(mapping: Value, log: Option<&str>) -> String {
        let mut deployment = Deployment::healthy();
        deployment.add(json!({ "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": "istio-system", "name": "authzadaptor-0" },
            "spec": { "containers": [{ "name": "authzadaptor", "image": "authzadaptor:0.1" }] },
            "status": { "phase": "Running" } }));
        deployment.file("aws/cognito-idp/describe-user-pool-client")["UserPoolClients"][0]["SupportedIdentityProviders"] =
            json!(["COGNITO", "Okta"]);
        deployment.file("aws/cognito-idp/describe-identity-provider")["IdentityProviders"] = json!([{ "UserPoolId": "us-west-2_pool", "ProviderName": "Okta",
                "ProviderType": "SAML", "AttributeMapping": mapping }]);
        let name = "kubernetes/logs/istio-system/authzadaptor-0/authzadaptor.log";
        if let Some(log) = log {
            *deployment.file(name) = log.into();
        }
        deployment.report(&CognitoEmailVerified).await
    }

    #[tokio::test]
    async fn users_that_are_turned_away_are_seen_in_the_log() {
        let log = "time=\"2020-11-20T14:32:33Z\" level=error msg=\"Email is not verified false\"\n";
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-cognito-email-verified
              user pool us-west-2_pool takes users of Okta for unverified, who are turned
                away
                mapping   Okta (SAML) gives email
                log       authzadaptor-0: time="2020-11-20T14:32:33Z" level=error msg="Email
                          is not verified false"
                fix       maps it, if that is what the provider calls it
                          aws cognito-idp update-identity-provider --region us-west-2 \
                            --user-pool-id us-west-2_pool --provider-name 'Okta' \
                            --attribute-mapping '{"email":"mail","email_verified":"email_verified"}'
              kubectl kfcheck explain aws-cognito-email-verified

            FAIL     aws-cognito-email-verified
                     Users of other identity providers have a verified e-mail address
        "#]]
        .assert_eq(&with(json!({ "email": "mail" }), Some(log)).await);
        let says = with(json!({ "email": "mail", "email_verified": "verified" }), Some(log)).await;
        assert!(says.contains("has users whose e-mail address isn't verified"), "{says}");
    }

    #[tokio::test]
    async fn a_mapping_that_leaves_it_out_is_a_warning() {
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            WARNING  aws-cognito-email-verified
              user pool us-west-2_pool takes users of Okta for unverified, and authzadaptor
                lets only others in
                mapping   Okta (SAML) gives email
                fix       maps it, if that is what the provider calls it
                          aws cognito-idp update-identity-provider --region us-west-2 \
                            --user-pool-id us-west-2_pool --provider-name 'Okta' \
                            --attribute-mapping '{"email":"mail","email_verified":"email_verified"}'

            warn     aws-cognito-email-verified
                     Users of other identity providers have a verified e-mail address
        "#]]
        .assert_eq(&with(json!({ "email": "mail" }), None).await);
    }

    #[tokio::test]
    async fn a_mapping_that_passes_it_on_is_right() {
        let both = json!({ "email": "mail", "email_verified": "verified" });
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     aws-cognito-email-verified
                     Users of other identity providers have a verified e-mail address
        "#]]
        .assert_eq(&with(both, None).await);
    }

    #[tokio::test]
    async fn where_nobody_looks_at_addresses_it_does_not_matter() {
        let says = Deployment::healthy().report(&CognitoEmailVerified).await;
        assert!(says.contains("skip     aws-cognito-email-verified"), "{says}");
    }
}
