//! Cognito user pools. What is of a pool is seen in the pool's region alone.

use serde_json::{Value, json};

use super::{Ask, Failure, chosen, take};

/// Answers what is asked of pools, their clients, domains and identity providers.
pub(super) fn answer(ask: &Ask<'_>) -> Result<Value, Failure> {
    let call = ask.call;
    let pool = call.text("UserPoolId").unwrap_or_default();
    let here = |pool: &str| pool.split('_').next() == Some(call.region.as_str());
    match ask.operation() {
        "DescribeUserPool" => {
            let pools = chosen(ask.list("describe-user-pool", "UserPools")?, "Id", &[pool]);
            let pool = pools.into_iter().find(|_| here(pool)).ok_or_else(|| no_pool(pool))?;
            Ok(json!({ "UserPool": pool }))
        }
        "DescribeUserPoolClient" => {
            let id = call.text("ClientId").unwrap_or_default();
            check_pool(ask, pool)?;
            let clients = ask.list("describe-user-pool-client", "UserPoolClients")?;
            let clients = chosen(chosen(clients, "UserPoolId", &[pool]), "ClientId", &[id]);
            let client = clients.into_iter().find(|_| here(pool));
            let absent = || absent(format!("User pool client {id} does not exist."));
            Ok(json!({ "UserPoolClient": client.ok_or_else(absent)? }))
        }
        "DescribeUserPoolDomain" => {
            let domain = call.text("Domain").unwrap_or_default();
            let mut domains = ask.list("describe-user-pool-domain", "DomainDescriptions")?;
            domains.retain(|found| found["UserPoolId"].as_str().is_some_and(here));
            // A domain that isn't there is described all the same.
            let found = chosen(domains, "Domain", &[domain]).pop().unwrap_or_else(|| json!({}));
            Ok(json!({ "DomainDescription": found }))
        }
        "DescribeIdentityProvider" => {
            let name = call.text("ProviderName").unwrap_or_default();
            check_pool(ask, pool)?;
            let providers = chosen(providers(ask)?, "UserPoolId", &[pool]);
            let found = chosen(providers, "ProviderName", &[name]).into_iter().find(|_| here(pool));
            let absent = || absent(format!("Identity provider {name} does not exist."));
            Ok(json!({ "IdentityProvider": found.ok_or_else(absent)? }))
        }
        "ListIdentityProviders" => {
            check_pool(ask, pool)?;
            let mut all = match ask.entry("list-identity-providers", pool) {
                Ok(mut listed) => take(&mut listed, "Providers"),
                Err(Failure::NoFile(_)) => chosen(providers(ask)?, "UserPoolId", &[pool]),
                Err(failure) => return Err(failure),
            };
            all.retain(|_| here(pool));
            let known = ["ProviderName", "ProviderType", "LastModifiedDate", "CreationDate"];
            let brief = all.into_iter().map(|provider| {
                let fields = known.map(|name| (name.to_owned(), provider[name].clone()));
                Value::Object(fields.into_iter().collect())
            });
            ask.page("MaxResults", "NextToken").listed("Providers", brief.collect(), "NextToken")
        }
        _ => Err(call.unanswered()),
    }
}

fn providers(ask: &Ask<'_>) -> Result<Vec<Value>, Failure> {
    ask.list("describe-identity-provider", "IdentityProviders")
}

/// Whether there is such a pool, where the bundle knows of pools.
fn check_pool(ask: &Ask<'_>, pool: &str) -> Result<(), Failure> {
    let Ok(pools) = ask.list("describe-user-pool", "UserPools") else { return Ok(()) };
    let known = pools.iter().any(|found| found["Id"] == pool);
    if known { Ok(()) } else { Err(no_pool(pool)) }
}

fn no_pool(pool: &str) -> Failure {
    absent(format!("User pool {pool} does not exist."))
}

fn absent(message: String) -> Failure {
    Failure::Said("ResourceNotFoundException", message)
}
