//! The users of Dex's own that documentation names.

use kfcheck::{Cx, Fact, FactError, Fault, Named, Resource};
use kfcheck_kube::{Cost, PasswordHash};
use serde::Serialize;

use crate::Dexes;

/// The users that Kubeflow's manifests come with, and Dex's examples.
const USERS: [&str; 3] = ["admin@kubeflow.org", "user@example.com", "admin@example.com"];

/// Their passwords.
const PASSWORDS: [&str; 2] = ["12341234", "password"];

/// How many of them are looked at.
const ENOUGH: usize = 8;

/// The costs of bcrypt's that Dex takes (dexidp/dex, `server/passwords`).
pub(crate) const TAKEN: std::ops::RangeInclusive<u32> = 10..=16;

/// A user that documentation names.
#[derive(Clone, Debug)]
pub struct KnownUser {
    /// What it signs in with.
    pub email: String,
    /// What its password's hash stands in.
    pub at: Resource,
    /// The variable that has it, and the entry of the Secret.
    pub entry: Option<String>,
    /// Whether the password is the one that documentation gives.
    pub is_default: Result<bool, FactError>,
}

/// The users of Dex's that documentation names, and whether their passwords are those that it gives.
#[derive(Clone, Serialize)]
pub struct KnownUsers;

impl Fact for KnownUsers {
    const NAME: &'static str = "onprem.knownUsers";
    type Value = Vec<KnownUser>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<KnownUser>, FactError> {
        let mut found = Vec::new();
        for dex in cx.get(Dexes).await?.iter() {
            let (told, config) = dex.readable()?;
            let is_known =
                |email: &str| USERS.iter().any(|known| known.eq_ignore_ascii_case(email));
            let users = config.static_passwords.iter().filter(|user| is_known(&user.email));
            for user in users.take(ENOUGH) {
                let (hash, at) = match (&user.hash, &user.hash_from_env) {
                    (Some(hash), _) => (Ok(Some(hash.clone())), told.resource()),
                    (None, Some(name)) => match dex.hash_in(name) {
                        Ok(Some((hash, at))) => (Ok(Some(hash)), at),
                        Ok(None) => (Ok(None), told.resource()),
                        Err(error) => (Err(error), told.resource()),
                    },
                    (None, None) => continue,
                };
                // Dex takes these from nobody.
                if let Ok(Some(PasswordHash { cost: Cost::Bcrypt(cost), .. })) = &hash
                    && !TAKEN.contains(cost)
                {
                    continue;
                }
                let is_default = match hash {
                    Ok(Some(hash)) => is_default(hash).await,
                    Ok(None) => {
                        Err(unknown("no Secret that Dex is given has it as bcrypt hashes it"))
                    }
                    Err(error) => Err(error),
                };
                let entry = user.hash_from_env.clone().filter(|_| at.kind == "Secret");
                found.push(KnownUser { email: user.email.clone(), at, entry, is_default });
            }
        }
        Ok(found)
    }
}

/// Trying a password takes a while, and others wait for this thread.
async fn is_default(hash: PasswordHash) -> Result<bool, FactError> {
    let cost = hash.cost;
    let tried = tokio::task::spawn_blocking(move || hash.is_of(&PASSWORDS)).await;
    let known = tried.map_err(|_| Fault::Bug("trying a password panicked".to_owned()))?;
    known.ok_or_else(|| {
        unknown(&match cost {
            Cost::Bcrypt(cost) => format!("to try it takes too long at bcrypt's cost {cost}"),
            Cost::Other => "it is no hash of bcrypt's".to_owned(),
            Cost::Redacted => "it was taken out of what was collected".to_owned(),
        })
    })
}

fn unknown(why: &str) -> FactError {
    Fault::Unreachable(format!("the hash of a password was not tried: {why}")).into()
}
