use kfcheck::{Check, Cx, FactError, Findings, Named, Resource, Risk, async_trait, check};
use kfcheck_kube::{Cost, DexConfig, DexPassword};

use crate::{Dex, Dexes, KnownUsers, Told, environment::kubectl_name};

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

/// Which costs Dex takes (dexidp/dex, `server/passwords`).
const TAKEN: std::ops::RangeInclusive<u32> = 10..=16;

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
                "replaces the hash by one that `htpasswd -nbBC 12 '' PASSWORD` prints, and starts Dex again",
                replace(&user.at, &restart),
            );
        }
        Ok(())
    }
}

fn replace(at: &Resource, restart: &str) -> String {
    format!("kubectl edit {} && {restart}", kubectl_name(at))
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
