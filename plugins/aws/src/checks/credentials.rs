use kfcheck::{Check, Cx, FactError, Findings, async_trait, check};

use crate::{CallerIdentity, Scope, facts::resource};

check! {
    /// What it checks: the account of the AWS credentials in use (`sts:GetCallerIdentity`) is the one
    /// that the kubeconfig's cluster is in, as its context says.
    ///
    /// Why it matters: with credentials for another account nothing of the cluster's is found, and all
    /// of it would seem to be gone.
    ///
    /// How to fix it: choose a profile of the right account with `--profile` or `AWS_PROFILE`, and log
    /// in again with `aws sso login`. Without credentials at all, everything on AWS's side is unknown.
    pub struct Credentials;
    id: "aws-credentials",
    title: "The AWS credentials are for the account of the cluster",
}

#[async_trait]
impl Check for Credentials {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let scope = cx.get(Scope).await?;
        let caller = cx.get(CallerIdentity).await?;
        let account = resource("Account", &caller.account);
        if scope.account_id.is_empty() || scope.account_id == caller.account {
            out.ok(account);
            return Ok(());
        }
        out.fail(account, format!("is not the cluster's, which is in {}", scope.account_id))
            .evidence("credentials", &caller.arn)
            .fix(kfcheck::Risk::None, "lists the profiles that there are", "aws configure list-profiles");
        Ok(())
    }
}
