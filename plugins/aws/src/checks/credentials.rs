use kfcheck::{Check, Cx, FactError, Findings, async_trait, check};

use crate::{CallerIdentity, Scope, facts::resource};

check! {
    /// ## What it checks
    /// That the account of the AWS credentials in use (`sts:GetCallerIdentity`) is the one that the
    /// kubeconfig's cluster is in, as its context says.
    ///
    /// ## Why it matters
    /// With credentials for another account nothing of the cluster's is found, and all of it would
    /// seem to be gone. Without any, everything on AWS's side is unknown.
    ///
    /// ## How to fix it
    /// Choose a profile of the right account with `--profile` or `AWS_PROFILE`, and log in again with
    /// `aws sso login`.
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
            .fix(
                kfcheck::Risk::None,
                "lists the profiles that there are",
                "aws configure list-profiles",
            );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::Credentials;
    use crate::testing::Deployment;

    #[tokio::test]
    async fn credentials_for_another_account_are_named() {
        let mut deployment = Deployment::healthy();
        deployment.file("bundle")["aws"]["accountId"] = "999900001111".into();
        expect![[r#"
            kf.example.com: nothing broken on the way; something beside it is. 1 root cause,
            0 symptoms; 0 checks passed, 0 not seen.

            BROKEN  aws-credentials
              account 111122223333 is not the cluster's, which is in 999900001111
                credentials
                          arn:aws:iam::111122223333:user/ops
                fix       lists the profiles that there are
                          aws configure list-profiles
              kubectl kfcheck explain aws-credentials

            FAIL     aws-credentials
                     The AWS credentials are for the account of the cluster
        "#]]
        .assert_eq(&deployment.report(&Credentials).await);
    }

    #[tokio::test]
    async fn the_account_of_the_cluster_is_right() {
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     aws-credentials
                     The AWS credentials are for the account of the cluster
        "#]]
        .assert_eq(&Deployment::healthy().report(&Credentials).await);
    }
}
