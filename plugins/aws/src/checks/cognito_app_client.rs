use kfcheck::{Check, Cx, FactError, Findings, Resource, Risk, async_trait, check};

use crate::{
    AuthenticateCognito, CognitoSignIns, Hosts, UserPoolClient, UserPoolClients,
    facts::{region_of, resource},
    redirect::{CALLBACK, callback},
};

check! {
    /// ## What it checks
    /// That the application (app client) of the user pool can be used by a load balancer: it is there,
    /// has a secret, lets users come back to exactly `https://HOST/oauth2/idpresponse`, and allows the
    /// `code` flow, the scopes that are asked for, and a provider to sign in with.
    ///
    /// ## Why it matters
    /// Cognito compares the address letter by letter and answers `redirect_mismatch` to everybody if it
    /// is another one; for the rest it answers `unauthorized_client` or `invalid_scope`, or the load
    /// balancer answers 500 after the sign-in.
    ///
    /// ## How to fix it
    /// Run the command. It gives all of the application's settings, since `update-user-pool-client` sets
    /// back what it isn't given. A secret can't be added to an application: make a new one, and write its
    /// id into the Ingress's `auth-idp-cognito` annotation.
    pub(crate) struct CognitoAppClient;
    id: "aws-cognito-app-client",
    title: "The application of the user pool fits the load balancer",
}

#[async_trait]
impl Check for CognitoAppClient {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let sign_ins = cx.get(CognitoSignIns).await?;
        if sign_ins.is_empty() {
            out.skip("the load balancer signs nobody in with Cognito");
        }
        for sign_in in sign_ins.iter() {
            let (pool, id) = (sign_in.pool().to_owned(), sign_in.user_pool_client_id.clone());
            let subject = resource("UserPoolClient", &id);
            let found = cx.get(UserPoolClients { pool: pool.clone(), id }).await;
            let Some(found) = out.known(&subject, found) else { continue };
            let Some(client) = found.first() else {
                let list = format!(
                    "aws cognito-idp list-user-pool-clients --user-pool-id {pool} --region {}",
                    region_of(&pool)
                );
                out.fail(&subject, format!("does not exist in user pool {pool}")).fix(
                    Risk::None,
                    "shows those that there are",
                    list,
                );
                continue;
            };
            let hosts = cx.get(Hosts).await;
            let Some(hosts) = out.known(&subject, hosts) else { continue };
            judge(&subject, client, sign_in, &hosts, sign_ins.len() > 1, out);
        }
        Ok(())
    }
}

/// Something wrong with an application.
#[derive(Default)]
struct Wrong {
    messages: Vec<String>,
    evidence: Vec<(&'static str, String)>,
    /// What `jq` is to do to its settings.
    edits: Vec<String>,
}

impl Wrong {
    fn add(&mut self, message: impl Into<String>, edit: impl Into<String>) {
        self.messages.push(message.into());
        self.edits.push(edit.into());
    }
}

fn judge(
    subject: &Resource,
    client: &UserPoolClient,
    sign_in: &AuthenticateCognito,
    hosts: &[String],
    several: bool,
    out: &mut Findings,
) {
    let mut wrong = Wrong::default();
    let missing: Vec<_> = hosts.iter().map(|host| callback(host)).collect();
    let missing: Vec<_> =
        missing.into_iter().filter(|url| !client.callback_urls.contains(url)).collect();
    // Which host it is may not be known; that load balancers come back to this path is.
    let has_none = !client.callback_urls.iter().any(|url| url.ends_with(CALLBACK));
    let nobody = missing.len() == hosts.len();
    if let Some(first) = missing.first().filter(|_| nobody) {
        wrong
            .add(format!("does not let users come back to {first}"), add("CallbackURLs", &missing));
        wrong.evidence.push(("callback URLs", or_none(&client.callback_urls)));
        wrong.evidence.push(("should have", missing.join(", ")));
    } else if hosts.is_empty() && has_none {
        let message =
            format!("lets users come back to no load balancer, at https://HOST{CALLBACK}");
        wrong.messages.push(message);
        wrong.evidence.push(("callback URLs", or_none(&client.callback_urls)));
    }
    if !client.allowed_o_auth_flows.iter().any(|flow| flow == "code") {
        wrong.add("does not allow the code flow", add("AllowedOAuthFlows", &["code"]));
        wrong.evidence.push(("OAuth flows", or_none(&client.allowed_o_auth_flows)));
    }
    let asked = if sign_in.scope.trim().is_empty() { "openid" } else { &sign_in.scope };
    let allows = |scope: &&str| client.allowed_o_auth_scopes.iter().any(|allowed| allowed == scope);
    let scopes: Vec<_> = asked.split_whitespace().filter(|scope| !allows(scope)).collect();
    if !scopes.is_empty() {
        let message = format!("does not allow scope {}", scopes.join(" and "));
        wrong.add(message, add("AllowedOAuthScopes", &scopes));
        wrong.evidence.push(("OAuth scopes", or_none(&client.allowed_o_auth_scopes)));
    }
    if client.allowed_o_auth_flows_user_pool_client == Some(false) {
        wrong.add("has OAuth turned off", ".AllowedOAuthFlowsUserPoolClient = true");
        wrong.evidence.push(("AllowedOAuthFlowsUserPoolClient", "false".to_owned()));
    }
    if client.supported_identity_providers.is_empty() {
        let edit = add("SupportedIdentityProviders", &["COGNITO"]);
        wrong.add("has no identity provider to sign in with", edit);
    }
    let has_secret = client.client_secret.0;
    if !has_secret {
        wrong.messages.push("has no secret, which load balancers need".to_owned());
    }
    if wrong.messages.is_empty() {
        // With several applications, each may be for one of the names.
        if missing.is_empty() || several {
            out.ok(subject);
        } else {
            // Others of its names may do no more than lead to the one that it is for.
            out.warn(subject, format!("does not let users come back to {}", missing.join(" or ")))
                .evidence("callback URLs", or_none(&client.callback_urls))
                .fix(
                    Risk::None,
                    "adds it, and keeps every other setting",
                    update(sign_in, &[add("CallbackURLs", &missing)]),
                );
        }
        return;
    }
    let finding = out.fail(subject, wrong.messages.join(", and "));
    for (name, value) in wrong.evidence {
        finding.evidence(name, value);
    }
    if !has_secret && !hosts.is_empty() {
        finding.fix(
            Risk::None,
            "makes a new one that has a secret",
            create(sign_in, client, hosts),
        );
    } else if has_secret && !wrong.edits.is_empty() {
        let why = "puts this right, and keeps every other setting";
        finding.fix(Risk::None, why, update(sign_in, &wrong.edits));
    }
}

fn or_none(values: &[String]) -> String {
    if values.is_empty() { "none".to_owned() } else { values.join(", ") }
}

/// What has `jq` add values to a list.
fn add(list: &str, values: &[impl AsRef<str>]) -> String {
    let values: Vec<_> = values.iter().map(|value| format!("\"{}\"", value.as_ref())).collect();
    format!(".{list} += [{}]", values.join(", "))
}

/// The command that changes some settings and gives the others as they are.
fn update(sign_in: &AuthenticateCognito, edits: &[String]) -> String {
    let pool = sign_in.pool();
    let region = region_of(pool);
    let id = &sign_in.user_pool_client_id;
    // These are said about it and can't be set.
    let unset = "del(.ClientSecret, .CreationDate, .LastModifiedDate)";
    let edits = edits.join(" | ");
    format!(
        "aws cognito-idp update-user-pool-client --region {region} --cli-input-json \"$(aws \
         cognito-idp describe-user-pool-client --region {region} --user-pool-id {pool} --client-id \
         {id} --query UserPoolClient --output json | jq '{unset} | {edits}')\""
    )
}

fn create(sign_in: &AuthenticateCognito, client: &UserPoolClient, hosts: &[String]) -> String {
    let pool = sign_in.pool();
    let name = if client.client_name.is_empty() { "kubeflow" } else { &client.client_name };
    let urls: Vec<_> = hosts.iter().map(|host| callback(host)).collect();
    let urls = urls.join(" ");
    let scopes = if sign_in.scope.trim().is_empty() { "openid" } else { &sign_in.scope };
    let providers = match client.supported_identity_providers.as_slice() {
        [] => "COGNITO".to_owned(),
        some => some.join(" "),
    };
    format!(
        "aws cognito-idp create-user-pool-client --region {} --user-pool-id {pool} --client-name \
         '{name}' --generate-secret --callback-urls {urls} --allowed-o-auth-flows code \
         --allowed-o-auth-scopes {scopes} --allowed-o-auth-flows-user-pool-client \
         --supported-identity-providers {providers}",
        region_of(pool)
    )
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::CognitoAppClient;
    use crate::testing::Deployment;

    async fn with(changes: Value) -> String {
        let mut deployment = Deployment::healthy();
        let clients = deployment.file("aws/cognito-idp/describe-user-pool-client");
        let client = clients["UserPoolClients"][0].as_object_mut().unwrap();
        client.extend(changes.as_object().unwrap().clone());
        deployment.report(&CognitoAppClient).await
    }

    #[tokio::test]
    async fn the_address_to_come_back_to_is_compared_letter_by_letter() {
        let typo = json!({ "CallbackURLs": ["https://kf.example.com/oauth2/idresponse"] });
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-cognito-app-client
              user pool client client does not let users come back to
                https://kf.example.com/oauth2/idpresponse
                callback URLs
                          https://kf.example.com/oauth2/idresponse
                should have
                          https://kf.example.com/oauth2/idpresponse
                fix       puts this right, and keeps every other setting
                          aws cognito-idp update-user-pool-client --region us-west-2 \
                            --cli-input-json "$(aws cognito-idp describe-user-pool-client --region us-west-2 --user-pool-id us-west-2_pool --client-id client --query UserPoolClient --output json | jq 'del(.ClientSecret, .CreationDate, .LastModifiedDate) | .CallbackURLs += ["https://kf.example.com/oauth2/idpresponse"]')"
              kubectl kfcheck explain aws-cognito-app-client

            FAIL     aws-cognito-app-client
                     The application of the user pool fits the load balancer
        "#]].assert_eq(&with(typo).await);
        for almost in [
            "http://kf.example.com/oauth2/idpresponse",
            "https://kf.example.com/oauth2/idpresponse/",
            "https://KF.example.com/oauth2/idpresponse",
        ] {
            let says = with(json!({ "CallbackURLs": [almost] })).await;
            assert!(says.contains("does not let users come back"), "{says}");
        }
    }

    #[tokio::test]
    async fn what_sign_in_at_a_load_balancer_takes_is_said_at_once() {
        let bare = json!({ "AllowedOAuthFlows": ["implicit"], "AllowedOAuthScopes": ["email"],
            "AllowedOAuthFlowsUserPoolClient": false, "SupportedIdentityProviders": null });
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-cognito-app-client
              user pool client client does not allow the code flow, and does not allow scope
                openid, and has OAuth turned off, and has no identity provider to sign in
                with
                OAuth flows
                          implicit
                OAuth scopes
                          email
                AllowedOAuthFlowsUserPoolClient
                          false
                fix       puts this right, and keeps every other setting
                          aws cognito-idp update-user-pool-client --region us-west-2 \
                            --cli-input-json "$(aws cognito-idp describe-user-pool-client --region us-west-2 --user-pool-id us-west-2_pool --client-id client --query UserPoolClient --output json | jq 'del(.ClientSecret, .CreationDate, .LastModifiedDate) | .AllowedOAuthFlows += ["code"] | .AllowedOAuthScopes += ["openid"] | .AllowedOAuthFlowsUserPoolClient = true | .SupportedIdentityProviders += ["COGNITO"]')"
              kubectl kfcheck explain aws-cognito-app-client

            FAIL     aws-cognito-app-client
                     The application of the user pool fits the load balancer
        "#]].assert_eq(&with(bare).await);
    }

    #[tokio::test]
    async fn one_without_a_secret_is_of_no_use() {
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-cognito-app-client
              user pool client client has no secret, which load balancers need
                fix       makes a new one that has a secret
                          aws cognito-idp create-user-pool-client --region us-west-2 \
                            --user-pool-id us-west-2_pool --client-name 'kubeflow' \
                            --generate-secret \
                            --callback-urls https://kf.example.com/oauth2/idpresponse \
                            --allowed-o-auth-flows code --allowed-o-auth-scopes openid \
                            --allowed-o-auth-flows-user-pool-client \
                            --supported-identity-providers COGNITO
              kubectl kfcheck explain aws-cognito-app-client

            FAIL     aws-cognito-app-client
                     The application of the user pool fits the load balancer
        "#]]
        .assert_eq(&with(json!({ "ClientSecret": null })).await);
    }

    #[tokio::test]
    async fn one_that_is_gone_is_named() {
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-cognito-app-client
              user pool client client does not exist in user pool us-west-2_pool
                fix       shows those that there are
                          aws cognito-idp list-user-pool-clients \
                            --user-pool-id us-west-2_pool --region us-west-2
              kubectl kfcheck explain aws-cognito-app-client

            FAIL     aws-cognito-app-client
                     The application of the user pool fits the load balancer
        "#]]
        .assert_eq(&with(json!({ "ClientId": "other" })).await);
    }

    #[tokio::test]
    async fn one_that_fits_passes() {
        let others = json!({ "CallbackURLs": ["https://kf.example.com/oauth2/idpresponse",
            "http://localhost:8080/callback", "myapp://callback"] });
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     aws-cognito-app-client
                     The application of the user pool fits the load balancer
        "#]]
        .assert_eq(&with(others).await);
    }

    #[tokio::test]
    async fn one_of_several_names_may_lead_to_the_other() {
        let mut deployment = Deployment::healthy();
        deployment.object("Ingress")["spec"]["rules"] =
            json!([{ "host": "kf.example.com" }, { "host": "www.example.com" }]);
        let says = deployment.report(&CognitoAppClient).await;
        assert!(says.contains("WARNING") && says.contains("https://www.example.com/"), "{says}");
    }

    #[tokio::test]
    async fn one_that_nobody_looked_at_is_unknown() {
        let mut deployment = Deployment::healthy();
        deployment.without("aws/cognito-idp/describe-user-pool-client");
        let says = deployment.report(&CognitoAppClient).await;
        assert!(says.contains("UNKNOWN") || says.contains("unknown"), "{says}");
        let says = Deployment::classic().report(&CognitoAppClient).await;
        assert!(says.contains("skip     aws-cognito-app-client"), "{says}");
    }
}
