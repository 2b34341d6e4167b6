use std::collections::BTreeMap;

use kfcheck::{Check, Cx, FactError, Findings, Risk, async_trait, check};

use crate::{
    AuthenticateCognito, CallerIdentity, CognitoSignIns, Door, Doors, Scope, UserPools,
    facts::{region_of, resource},
};

check! {
    /// ## What it checks
    /// That the user pool that the load balancer, or an Ingress, signs users in with exists, and is of
    /// the region and the account of the load balancer.
    ///
    /// ## Why it matters
    /// Without the pool nobody can sign in; and for a pool of another region or account AWS makes no
    /// sign-in at a load balancer, so that the controller ends in `InvalidLoadBalancerAction`.
    ///
    /// ## How to fix it
    /// Write the ARN of the right pool into the Ingress's `auth-idp-cognito` annotation, with the
    /// application and the domain that belong to it.
    pub(crate) struct CognitoUserPool;
    id: "aws-cognito-user-pool",
    title: "The user pool that users sign in with is there",
}

#[async_trait]
impl Check for CognitoUserPool {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let sign_ins = cx.get(CognitoSignIns).await?;
        if sign_ins.is_empty() {
            out.skip("the load balancer signs nobody in with Cognito");
        }
        let pools: BTreeMap<_, _> = sign_ins.iter().map(|s| (&s.user_pool_arn, s)).collect();
        for sign_in in pools.into_values() {
            examine(cx, sign_in, out).await?;
        }
        Ok(())
    }
}

async fn examine(
    cx: &Cx,
    sign_in: &AuthenticateCognito,
    out: &mut Findings,
) -> Result<(), FactError> {
    let (arn, id) = (&sign_in.user_pool_arn, sign_in.pool());
    let subject = resource("UserPool", id);
    let Some((region, account)) = parts(arn) else {
        out.fail(&subject, "is named by what is no ARN of a user pool").evidence("ARN", arn);
        return Ok(());
    };
    let list = format!("aws cognito-idp list-user-pools --max-results 60 --region {region}");
    if region_of(id) != region {
        out.fail(&subject, format!("is not of {region}, as its ARN says"))
            .evidence("ARN", arn)
            .fix(Risk::None, "shows the pools that there are", list);
        return Ok(());
    }
    // What a load balancer does already AWS has allowed.
    let doors = cx.get(Doors).await;
    let is_used = |door: &Door| door.cognito().any(|does| does.user_pool_arn == *arn);
    let in_use = doors.iter().flat_map(|doors| doors.iter()).any(is_used);
    let scope = cx.get(Scope).await?;
    if !in_use && !scope.region.is_empty() && region != scope.region {
        let says = "load balancers sign users in with pools of their own region only";
        out.fail(&subject, format!("is in {region}, and {says}"))
            .evidence("ARN", arn)
            .evidence("region", &scope.region)
            .fix(
                Risk::None,
                "shows the pools of the load balancer's region",
                format!(
                    "aws cognito-idp list-user-pools --max-results 60 --region {}",
                    scope.region
                ),
            );
        return Ok(());
    }
    let caller = cx.get(CallerIdentity).await;
    let Some(caller) = out.known(&subject, caller) else { return Ok(()) };
    if account != caller.account {
        // Only its own account knows whether it is there.
        if in_use {
            let says = format!("user pool {id} is of account {account}, which isn't asked");
            out.known::<()>(&subject, Err(kfcheck::Fault::Unreachable(says).into()));
        } else {
            let says = "load balancers sign users in with pools of their own account only";
            out.fail(&subject, format!("is of account {account}, and {says}"))
                .evidence("ARN", arn)
                .evidence("account", &caller.account);
        }
        return Ok(());
    }
    let found = cx.get(UserPools { id: id.to_owned() }).await;
    let Some(found) = out.known(&subject, found) else { return Ok(()) };
    if found.is_empty() {
        out.fail(&subject, "does not exist")
            .evidence(
                "named by",
                format!("sign-in with application {}", sign_in.user_pool_client_id),
            )
            .evidence("ARN", arn)
            .fix(Risk::None, "shows the pools that there are", list);
    } else {
        out.ok(&subject);
    }
    Ok(())
}

/// Region and account of `arn:aws:cognito-idp:REGION:ACCOUNT:userpool/ID`.
fn parts(arn: &str) -> Option<(&str, &str)> {
    let parts: Vec<_> = arn.split(':').collect();
    let ["arn", _, "cognito-idp", region, account, pool] = parts[..] else { return None };
    pool.strip_prefix("userpool/").filter(|id| id.contains('_'))?;
    Some((region, account))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::CognitoUserPool;
    use crate::testing::{Deployment, POOL};

    /// The Ingress asks for a pool that no load balancer signs users in with so far.
    fn asking(arn: &str) -> Deployment {
        let mut deployment = Deployment::healthy();
        let asked = json!({ "userPoolARN": arn, "userPoolClientID": "client",
            "userPoolDomain": "auth.example.com" });
        deployment.object("Ingress")["metadata"]["annotations"]["alb.ingress.kubernetes.io/auth-idp-cognito"] =
            asked.to_string().into();
        deployment.file("aws/elbv2/describe-rules")["Rules"] = json!([]);
        deployment
    }

    #[tokio::test]
    async fn a_pool_that_is_gone_is_named() {
        let mut deployment = Deployment::healthy();
        deployment.file("aws/cognito-idp/describe-user-pool")["UserPools"] = json!([]);
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-cognito-user-pool
              user pool us-west-2_pool does not exist
                named by  sign-in with application client
                ARN       arn:aws:cognito-idp:us-west-2:111122223333:userpool/us-west-2_pool
                fix       shows the pools that there are
                          aws cognito-idp list-user-pools --max-results 60 \
                            --region us-west-2
              kubectl kfcheck explain aws-cognito-user-pool

            FAIL     aws-cognito-user-pool
                     The user pool that users sign in with is there
        "#]]
        .assert_eq(&deployment.report(&CognitoUserPool).await);
    }

    #[tokio::test]
    async fn a_pool_of_another_region_or_account_is_of_no_use() {
        let elsewhere = POOL.replace("us-west-2", "eu-west-1");
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-cognito-user-pool
              user pool eu-west-1_pool is in eu-west-1, and load balancers sign users in
                with pools of their own region only
                ARN       arn:aws:cognito-idp:eu-west-1:111122223333:userpool/eu-west-1_pool
                region    us-west-2
                fix       shows the pools of the load balancer's region
                          aws cognito-idp list-user-pools --max-results 60 \
                            --region us-west-2
              kubectl kfcheck explain aws-cognito-user-pool

            FAIL     aws-cognito-user-pool
                     The user pool that users sign in with is there
        "#]]
        .assert_eq(&asking(&elsewhere).report(&CognitoUserPool).await);
        let elsewhere = POOL.replace("111122223333", "999900001111");
        let says = asking(&elsewhere).report(&CognitoUserPool).await;
        assert!(says.contains("is of account 999900001111"), "{says}");
        let says = asking("us-west-2_pool").report(&CognitoUserPool).await;
        assert!(says.contains("what is no ARN of a user pool"), "{says}");
    }

    #[tokio::test]
    async fn the_right_pool_passes() {
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     aws-cognito-user-pool
                     The user pool that users sign in with is there
        "#]]
        .assert_eq(&asking(POOL).report(&CognitoUserPool).await);
    }

    #[tokio::test]
    async fn a_pool_that_may_not_be_looked_at_is_unknown() {
        let mut deployment = Deployment::healthy();
        deployment.without("aws/cognito-idp/describe-user-pool");
        deployment.file("bundle")["errors"] = json!({ "aws/cognito-idp/describe-user-pool": {
            "denied": { "permission": "cognito-idp:DescribeUserPool" } } });
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 1 not seen.

            NOT SEEN, so a cause may hide there
              aws-cognito-user-pool
                permission cognito-idp:DescribeUserPool denied

            unknown  aws-cognito-user-pool
                     The user pool that users sign in with is there
                     (permission cognito-idp:DescribeUserPool denied (asking for
                     aws.userPool {"id":"us-west-2_pool"}))
        "#]]
        .assert_eq(&deployment.report(&CognitoUserPool).await);
    }

    #[tokio::test]
    async fn without_cognito_there_is_nothing_to_check() {
        let says = Deployment::classic().report(&CognitoUserPool).await;
        assert!(says.contains("skip     aws-cognito-user-pool"), "{says}");
    }
}
