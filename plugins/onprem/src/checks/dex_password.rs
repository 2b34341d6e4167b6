use kfcheck::{Check, Cx, FactError, Findings, Named, Risk, async_trait, check};
use kfcheck_kube::{Cost, DexConfig, DexPassword};

use crate::{
    Dex, Dexes, KnownUser, KnownUsers, Told, environment::kubectl_name, known_users::TAKEN,
};

check! {
    /// ## What it checks
    /// The users that Dex has of its own: whether one that the documentation of Kubeflow or Dex comes
    /// with still has the password that it gives (bcrypt tells), and whether the hashes are of a kind
    /// and cost that Dex takes. Hashes don't leave the program.
    ///
    /// ## Why it matters
    /// Everybody knows `user@example.com` and `12341234`. Dex refuses hashes whose cost is less than 10
    /// or more than 16 when users sign in, and does not start with one that isn't bcrypt's.
    ///
    /// ## How to fix it
    /// Make a new hash with `htpasswd -nbBC 12 '' PASSWORD`, put it into the Secret or the ConfigMap
    /// that has the old one, and start Dex again.
    pub(crate) struct DexPasswordIsOwn;
    id: "onprem-dex-password",
    title: "Dex's own users have passwords of their own",
}

#[async_trait]
impl Check for DexPasswordIsOwn {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let dexes = cx.get(Dexes).await?;
        let mut has_users = false;
        for dex in dexes.iter() {
            let Some((told, config)) = out.known(dex.workload(), dex.readable()) else {
                has_users = true;
                continue;
            };
            if !config.static_passwords.is_empty() {
                has_users = true;
                judge_hashes(dex, told, config, out);
            }
        }
        if !has_users {
            out.skip("Dex has no users of its own");
            return Ok(());
        }
        if dexes.iter().any(|dex| dex.readable().is_err()) {
            return Ok(());
        }
        for user in cx.get(KnownUsers).await?.iter() {
            let Some(is_default) = out.known(&user.at, user.is_default.clone()) else { continue };
            if !is_default {
                out.ok(&user.at);
                continue;
            }
            let dex = dexes.iter().find(|dex| user.at.namespace.as_ref() == Some(&dex.namespace));
            let restart = dex.map_or_else(String::new, Dex::restart);
            let finding =
                out.fail(&user.at, "lets everybody in by a password that documentation gives");
            finding.manner().evidence("user", &user.email);
            finding.fix(
                Risk::Restarts,
                "gives it a password of your own, and starts Dex again",
                replace(user, &restart),
            );
        }
        Ok(())
    }
}

fn replace(user: &KnownUser, restart: &str) -> String {
    let object = kubectl_name(&user.at);
    let hash = "hash=$(htpasswd -nbBC 12 '' 'NEW PASSWORD' | tr -d ':\\n')";
    match &user.entry {
        Some(entry) => format!(
            "{hash} && kubectl patch {object} -p \
             \"{{\\\"stringData\\\":{{\\\"{entry}\\\":\\\"$hash\\\"}}}}\" && {restart}"
        ),
        None => format!("{hash} && echo $hash && kubectl edit {object} && {restart}"),
    }
}

fn judge_hashes(dex: &Dex, told: &Told, config: &DexConfig, out: &mut Findings) {
    let subject = told.resource();
    let cost = |user: &DexPassword| {
        let hash = user.hash.clone();
        let from = || dex.hash_in(user.hash_from_env.as_deref()?).ok()?.map(|(hash, _)| hash);
        hash.or_else(from).map(|hash| hash.cost)
    };
    let costs: Vec<_> =
        config.static_passwords.iter().filter_map(|user| Some((user, cost(user)?))).collect();
    let of = |is: &dyn Fn(Cost) -> bool| -> Vec<&str> {
        let some = costs.iter().filter(|(_, cost)| is(*cost));
        some.map(|(user, _)| user.email.as_str()).collect()
    };
    let other = of(&|cost| cost == Cost::Other);
    let refused = of(&|cost| matches!(cost, Cost::Bcrypt(cost) if !TAKEN.contains(&cost)));
    let read = of(&|cost| cost != Cost::Redacted);
    let edit = dex.edit(told);
    if !other.is_empty() {
        let is_up = dex.pods.iter().any(|pod| pod.is_ready());
        let message = "has passwords whose hash is not bcrypt's, and Dex does not start with them";
        // One that runs has them from elsewhere, or will stumble over them when it starts again.
        let finding = if is_up || dex.pods.is_empty() {
            out.warn(&subject, message)
        } else {
            out.fail(&subject, message)
        };
        finding.evidence("users", some_of(&other));
        finding.fix(Risk::Restarts, "lets you replace them, and starts Dex again", edit.clone());
    }
    if !refused.is_empty() {
        let seen = costs.iter().find_map(|(_, cost)| match cost {
            Cost::Bcrypt(cost) if !TAKEN.contains(cost) => Some(*cost),
            _ => None,
        });
        let finding = out.warn(
            &subject,
            "has passwords that Dex refuses: their hashes cost less than 10 or more than 16",
        );
        finding.evidence("users", some_of(&refused));
        finding.evidence("cost", seen.unwrap_or_default());
        finding.fix(Risk::Restarts, "lets you replace them, and starts Dex again", edit);
    }
    if other.is_empty() && refused.is_empty() && !read.is_empty() {
        out.ok(&subject);
    }
}

/// A few of them, and how many more there are.
fn some_of(all: &[&str]) -> String {
    let shown = all.iter().take(3).copied().collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(3) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::DexPasswordIsOwn;
    use crate::testing::Deployment;

    /// Of `12341234`, at a cost that is quick to try.
    const KNOWN: &str = "$2b$10$6O/60wZ6PARdGXPtcAT.HuvGFl9o6QRiG5bFoKDXakFMH8Bv68w9G";

    async fn with_hash(hash: &str) -> String {
        let mut deployment = Deployment::signing_in();
        let secret = deployment.in_namespace("Secret", "auth", "dex-passwords");
        secret["stringData"] = json!({ "DEX_USER_PASSWORD": hash });
        deployment.report(&DexPasswordIsOwn).await
    }

    #[tokio::test]
    async fn a_password_of_ones_own_passes() {
        expect![[r#"
            10.64.140.43: nothing broken found. 0 root causes, 0 symptoms; 1 check passed, 0
            not seen.

            pass     onprem-dex-password
                     Dex's own users have passwords of their own
        "#]]
        .assert_eq(&Deployment::signing_in().report(&DexPasswordIsOwn).await);
    }

    #[tokio::test]
    async fn the_password_that_documentation_gives_is_recognized_wherever_its_hash_stands() {
        let says = with_hash(KNOWN).await;
        assert!(!says.contains("$2"), "{says}");
        expect![[r#"
            10.64.140.43: nothing broken on the way; something beside it is. 1 root cause, 0
            symptoms; 0 checks passed, 0 not seen.

            BROKEN  onprem-dex-password
              Secret auth/dex-passwords lets everybody in by a password that documentation
                gives
                user      user@example.com
                fix       gives it a password of your own, and starts Dex again
                          hash=$(htpasswd -nbBC 12 '' 'NEW PASSWORD' | tr \
                            -d ':\n') && kubectl patch secret -n auth dex-passwords \
                            -p "{\"stringData\":{\"DEX_USER_PASSWORD\":\"$hash\"}}" && kubectl rollout restart deployment/dex \
                            -n auth
              kubectl kfcheck explain onprem-dex-password

            FAIL     onprem-dex-password
                     Dex's own users have passwords of their own
        "#]]
        .assert_eq(&says);
        let mut deployment = Deployment::signing_in();
        deployment.told("hashFromEnv: DEX_USER_PASSWORD", &format!("hash: {KNOWN}"));
        let says = deployment.report(&DexPasswordIsOwn).await;
        assert!(says.contains("ConfigMap auth/dex lets everybody in"), "{says}");
    }

    #[tokio::test]
    async fn a_hash_that_takes_hours_is_not_tried() {
        let slow = KNOWN.replacen("$10$", "$31$", 1);
        expect![[r#"
            10.64.140.43: nothing broken found. 0 root causes, 0 symptoms; 0 checks passed,
            0 not seen.

            WARNING  onprem-dex-password
              ConfigMap auth/dex has passwords that Dex refuses: their hashes cost less than
                10 or more than 16
                users     user@example.com
                cost      31
                fix       lets you replace them, and starts Dex again
                          kubectl edit configmap \
                            -n auth dex && kubectl rollout restart deployment/dex -n auth

            warn     onprem-dex-password
                     Dex's own users have passwords of their own
        "#]]
        .assert_eq(&with_hash(&slow).await);
    }

    #[tokio::test]
    async fn a_cheap_hash_is_one_that_dex_refuses() {
        let cheap = KNOWN.replacen("$10$", "$04$", 1);
        let says = with_hash(&cheap).await;
        assert!(says.contains("WARNING  onprem-dex-password"), "{says}");
    }

    #[tokio::test]
    async fn a_hash_that_was_taken_out_is_unknown() {
        let says = with_hash("redacted").await;
        assert!(says.contains("unknown  onprem-dex-password"), "{says}");
    }

    #[tokio::test]
    async fn ten_thousand_users_are_no_trouble() {
        let mut deployment = Deployment::signing_in();
        let hash = KNOWN.replacen("$10$", "$31$", 1);
        let users = (0..10_000).fold(String::new(), |users, n| {
            users + &format!("- {{email: u{n}@example.com, hash: '{hash}', userID: 'x'}}\n")
        });
        deployment.told("staticPasswords:\n", &format!("staticPasswords:\n{users}"));
        let says = deployment.report(&DexPasswordIsOwn).await;
        assert!(says.contains("and 9997 more"), "{says}");
    }

    #[tokio::test]
    async fn without_users_of_dexs_own_there_is_nothing_to_see() {
        let mut deployment = Deployment::signing_in();
        let text = crate::sign_in_testing::CONFIG;
        let users = &text[text.find("staticPasswords").unwrap()..text.find("connectors").unwrap()];
        deployment.told(users, "");
        let says = deployment.report(&DexPasswordIsOwn).await;
        assert!(says.contains("skip     onprem-dex-password"), "{says}");
    }
}
