//! Cognito's user pools: `cognito-idp`.

use std::collections::BTreeMap;

use aws_sdk_cognitoidentityprovider::{Client, types};
use kfcheck::{Named, Place, Resource};

use super::{
    about, fact, found,
    shape::{IsThere, shape},
};
use crate::client::asked;

shape! {
    /// A user pool.
    pub struct UserPool of types::UserPoolType in "PascalCase" {
        id: String,
        name: String,
        arn: String,
        domain: String,
        custom_domain: String,
    }

    /// An application that signs users of a pool in.
    pub struct UserPoolClient of types::UserPoolClientType in "PascalCase" {
        user_pool_id: String,
        client_name: String,
        client_id: String,
        client_secret: IsThere,
        callback_urls as "CallbackURLs": Vec<String>,
        allowed_o_auth_flows as "AllowedOAuthFlows": Vec<String>,
        allowed_o_auth_scopes as "AllowedOAuthScopes": Vec<String>,
        allowed_o_auth_flows_user_pool_client as "AllowedOAuthFlowsUserPoolClient": Option<bool>,
        supported_identity_providers: Vec<String>,
    }

    /// Where the sign-in page of a pool is.
    pub struct UserPoolDomain of types::DomainDescriptionType in "PascalCase" {
        user_pool_id: String,
        domain: String,
        cloud_front_distribution: String,
        status: String,
        custom_domain_config: Option<CustomDomain>,
    }

    /// A domain of one's own.
    pub struct CustomDomain of types::CustomDomainConfigType in "PascalCase" {
        certificate_arn: String,
    }

    /// Somebody else who signs users in. How it is reached isn't read: secrets are put there.
    pub struct IdentityProvider of types::IdentityProviderType in "PascalCase" {
        user_pool_id: String,
        provider_name: String,
        provider_type: String,
        attribute_mapping: BTreeMap<String, String>,
    }
}

fact! {
    /// The user pool of an id, or none where there is none.
    UserPools { id }, "userPool", "cognito-idp:DescribeUserPool" => Vec<UserPool>,
    Place::listed("aws/cognito-idp/describe-user-pool", "UserPools", [("Id", id)],
        format!("aws cognito-idp describe-user-pool --user-pool-id {id}")),
    |cx, aws| {
        let client = Client::new(&aws.config_in(cx, region_of(id)).await);
        let call = found(client.describe_user_pool().user_pool_id(id).send());
        let what = format!("cognito-idp describe-user-pool {id}");
        let answer = asked(cx, what, Self::NEEDS[0], call).await?;
        let there = answer.map(|answer| about(answer, Self::NEEDS[0], |answer| answer.user_pool));
        Ok(there.transpose()?.map(Into::into).into_iter().collect())
    }
}

fact! {
    /// The application of an id in a pool, or none where there is none.
    UserPoolClients { pool, id }, "userPoolClient",
    "cognito-idp:DescribeUserPoolClient" => Vec<UserPoolClient>,
    Place::listed("aws/cognito-idp/describe-user-pool-client", "UserPoolClients",
        [("UserPoolId", pool), ("ClientId", id)],
        format!("aws cognito-idp describe-user-pool-client --user-pool-id {pool} --client-id {id}")),
    |cx, aws| {
        let client = Client::new(&aws.config_in(cx, region_of(pool)).await);
        let call = client.describe_user_pool_client().user_pool_id(pool).client_id(id);
        let what = format!("cognito-idp describe-user-pool-client {id}");
        let answer = asked(cx, what, Self::NEEDS[0], found(call.send())).await?;
        let there = answer.map(|answer| about(answer, Self::NEEDS[0], |answer| answer.user_pool_client));
        Ok(there.transpose()?.map(Into::into).into_iter().collect())
    }
}

fact! {
    /// A domain, of a pool in a region, or none where there is none.
    UserPoolDomains { region, domain }, "userPoolDomain",
    "cognito-idp:DescribeUserPoolDomain" => Vec<UserPoolDomain>,
    {
        let _ = region;
        Place::listed("aws/cognito-idp/describe-user-pool-domain", "DomainDescriptions",
            [("Domain", domain)],
            format!("aws cognito-idp describe-user-pool-domain --domain {domain}"))
    },
    |cx, aws| {
        let client = Client::new(&aws.config_in(cx, region).await);
        let call = found(client.describe_user_pool_domain().domain(domain).send());
        let what = format!("cognito-idp describe-user-pool-domain {domain}");
        let answer = asked(cx, what, Self::NEEDS[0], call).await?;
        let described =
            answer.map(|answer| about(answer, Self::NEEDS[0], |answer| answer.domain_description));
        let described = described.transpose()?;
        // One that doesn't exist is described by nothing (API reference, "DescribeUserPoolDomain").
        let there = described.filter(|description| description.domain.is_some());
        Ok(there.map(Into::into).into_iter().collect())
    }
}

fact! {
    /// Who else signs users of a pool in.
    IdentityProviders { pool }, "identityProviders",
    "cognito-idp:DescribeIdentityProvider" and "cognito-idp:ListIdentityProviders" => Vec<IdentityProvider>,
    Place::listed("aws/cognito-idp/describe-identity-provider", "IdentityProviders",
        [("UserPoolId", pool)],
        format!("aws cognito-idp describe-identity-provider --user-pool-id {pool} --provider-name NAME")),
    |cx, aws| {
        let client = Client::new(&aws.config_in(cx, region_of(pool)).await);
        let call = client.list_identity_providers().user_pool_id(pool).into_paginator();
        let pages = call.items().send().collect::<Result<Vec<_>, _>>();
        let what = format!("cognito-idp list-identity-providers {pool}");
        let named = asked(cx, what, "cognito-idp:ListIdentityProviders", pages).await?;
        let names = named.into_iter().filter_map(|provider| provider.provider_name);
        let all = names.map(async |name| {
            let call = client.describe_identity_provider().user_pool_id(pool).provider_name(&name);
            let what = format!("cognito-idp describe-identity-provider {name}");
            asked(cx, what, Self::NEEDS[0], call.send()).await
        });
        let all = futures::future::try_join_all(all).await?;
        let all = all.into_iter().map(|answer| about(answer, Self::NEEDS[0], |answer| answer.identity_provider));
        Ok(all.collect::<Result<Vec<_>, _>>()?.into_iter().map(Into::into).collect())
    }
}

/// A pool's id begins with its region.
pub(crate) fn region_of(pool: &str) -> &str {
    pool.split_once('_').map_or("", |(region, _)| region)
}

impl Named for UserPool {
    fn resource(&self) -> Resource {
        super::resource("UserPool", &self.id)
    }
}

impl Named for UserPoolClient {
    fn resource(&self) -> Resource {
        super::resource("UserPoolClient", &self.client_id)
    }
}

impl Named for UserPoolDomain {
    fn resource(&self) -> Resource {
        super::resource("UserPoolDomain", &self.domain)
    }
}
