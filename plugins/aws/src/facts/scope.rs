//! Which account, region and cluster.

use aws_sdk_sts::Client;
use kfcheck::{Cx, Fact, FactError, Fault, Place};
use kfcheck_kube::Context;
use serde::{Deserialize, Serialize};

use super::shape::{Keep, shape};
use crate::client::{Aws, Said, asked};

/// The account, the region and the cluster in it.
#[derive(Clone, Serialize)]
pub struct Scope;

/// Where the cluster is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Location {
    /// The account's number; nothing where only the credentials say it.
    #[serde(deserialize_with = "kfcheck::wire::text", skip_serializing_if = "String::is_empty")]
    pub account_id: String,
    /// For example `us-west-2`.
    #[serde(deserialize_with = "kfcheck_kube::null_is_empty")]
    pub region: String,
    /// As EKS calls it.
    #[serde(deserialize_with = "kfcheck_kube::null_is_empty")]
    pub cluster: String,
}

impl Fact for Scope {
    const NAME: &'static str = "aws.scope";
    type Value = Location;

    fn place(&self) -> Option<Place<Location>> {
        Some(Place::entry("bundle", "aws", "aws configure list"))
    }

    async fn fetch(&self, cx: &Cx) -> Result<Location, FactError> {
        let aws = cx.client::<Aws>()?;
        let chosen = cx.get(Context).await.map(|chosen| (*chosen).clone()).unwrap_or_default();
        let said = Said::of(&chosen);
        // One of the kubeconfig's is EKS's only if it is called so.
        let flag = aws.access.cluster.clone();
        let flag = flag.filter(|name| chosen.cluster.as_ref() != Some(name));
        let region = aws.config(cx).await.region().map(|region| region.as_ref().to_owned());
        let region = region.filter(|region| !region.is_empty()).ok_or_else(|| {
            let says = "neither the kubeconfig nor the AWS profile says which region the cluster \
                        is in; name it with --region";
            Fault::Unreachable(says.to_owned())
        })?;
        let account_id = said.account.unwrap_or_default();
        Ok(Location { account_id, region, cluster: flag.or(said.cluster).unwrap_or_default() })
    }
}

shape! {
    /// Whose credentials are in use.
    pub struct Caller in "PascalCase" {
        account: String,
        arn: String,
    }
}

/// Whose credentials are in use. It takes no permission (API reference, "GetCallerIdentity").
#[derive(Clone, Serialize)]
pub struct CallerIdentity;

impl Fact for CallerIdentity {
    const NAME: &'static str = "aws.callerIdentity";
    const TIMEOUT: std::time::Duration = super::TIMEOUT;
    type Value = Caller;

    fn place(&self) -> Option<Place<Caller>> {
        Some(Place::file("aws/sts/get-caller-identity", "aws sts get-caller-identity"))
    }

    async fn fetch(&self, cx: &Cx) -> Result<Caller, FactError> {
        cx.get(Scope).await?;
        let aws = cx.client::<Aws>()?;
        aws.find_credentials(cx).await?;
        let client = Client::new(aws.config(cx).await);
        let (what, action) = ("sts get-caller-identity".to_owned(), "sts:GetCallerIdentity");
        let answer = asked(cx, what, action, client.get_caller_identity().send()).await?;
        Ok(Caller { account: answer.account.keep(), arn: answer.arn.keep() })
    }
}

/// That there are credentials, and that they are for the account that the cluster is in. Everything
/// that is asked of AWS waits for this, so that what is wrong with them is said once, and another
/// account's things are never taken for the cluster's.
#[derive(Clone, Serialize)]
pub struct AccountReady;

impl Fact for AccountReady {
    const NAME: &'static str = "aws.accountReady";
    type Value = ();

    async fn fetch(&self, cx: &Cx) -> Result<(), FactError> {
        let (scope, caller) = (cx.get(Scope).await?, cx.get(CallerIdentity).await?);
        if scope.account_id.is_empty() || caller.account == scope.account_id {
            return Ok(());
        }
        let says = format!(
            "the credentials are for account {}, and the context's cluster is in {}; choose others \
             with --profile",
            caller.account, scope.account_id
        );
        Err(Fault::Unreachable(says).into())
    }
}
