//! Deletes what a cluster that is gone left behind: reads all that decides ([`Estate`]), makes a
//! [`Plan`] of it, and does that with a journal ([`apply`]).
//!
//! Nothing here is within reach of checks: what they get can only read. A plan is made only of what
//! was read completely, is for one account and one region, and concerns only stacks that bear eksctl's
//! tag of a cluster of which EKS says itself that it does not exist.
//!
//! ```no_run
//! use std::path::Path;
//! use kfcheck_aws::{AwsAccess, cleanup::{Account, Pace, Wishes, apply}};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let account = Account::new(AwsAccess { region: Some("us-west-2".into()), ..AwsAccess::default() });
//! let plan = account.plan("kf-old", &Wishes::default()).await?;
//! let agrees = async |plan: &kfcheck_aws::cleanup::Plan| plan.steps.len() < 20;
//! apply(&account, &plan, Path::new("kf-old.jsonl"), Pace::default(), agrees, |_| ()).await?;
//! # Ok(())
//! # }
//! ```

mod action;
mod apply;
mod estate;
mod facts;
mod hand;
pub(crate) mod journal;
mod owned;
mod plan;
mod whose;

use std::{collections::BTreeMap, sync::Arc};

use kfcheck::{Event, World};

use crate::{Aws, AwsAccess, ClusterNames, Clusters, Scope, Stack, Stacks};

pub use action::Action;
pub use apply::{Applied, Halt, Pace, Progressed, apply, restore, resume};
pub use estate::{Estate, NetworkLeft, RoleLeft, StackLeft};
pub use facts::{FACTS, TaggedBalancer};
pub use hand::{BY_STACKS, CHANGES, LOOKS, RESTORES};
pub use journal::{Entry, Journal, entries};
pub use owned::{Owned, Stood};
pub use plan::{Kept, Plan, Refusal, Step, Wishes};

/// The account and region that are cleaned up.
#[derive(Clone)]
pub struct Account {
    access: AwsAccess,
    observer: Option<Arc<dyn Fn(Event) + Send + Sync>>,
}

/// A cluster that is gone, and its stacks.
#[derive(Clone, Debug)]
pub struct Orphan {
    /// Its name, as eksctl's tags have it.
    pub cluster: String,
    /// What is left.
    pub stacks: Vec<Stack>,
}

impl Account {
    /// What `access` leads to. The cluster in it is of no concern.
    pub fn new(access: AwsAccess) -> Self {
        Self { access, observer: None }
    }

    /// Shows every call that reads to `observer`.
    #[must_use]
    pub fn observe(mut self, observer: impl Fn(Event) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// A world that knows nothing yet.
    pub(crate) fn world(&self) -> World {
        let world = World::live().client(Ok(Aws::new(self.access.clone())));
        match &self.observer {
            Some(observer) => {
                let observer = Arc::clone(observer);
                world.observe(move |event| observer(event))
            }
            None => world,
        }
    }

    /// Where this is: account and region.
    pub async fn place(&self) -> Result<(String, String), Halt> {
        let world = self.world();
        let cx = world.cx("cleanup");
        let caller = cx.get(crate::CallerIdentity).await?;
        let scope = cx.get(Scope).await?;
        Ok((caller.account.clone(), scope.region.clone()))
    }

    /// The clusters that are gone and left stacks behind.
    pub async fn orphans(&self) -> Result<Vec<Orphan>, Halt> {
        let world = self.world();
        let cx = world.cx("cleanup");
        let stacks = cx.get(Stacks).await?;
        let names = cx.get(ClusterNames).await?;
        let mut all: BTreeMap<&str, Vec<Stack>> = BTreeMap::new();
        for stack in stacks.iter().filter(|stack| stack.stack_status != "DELETE_COMPLETE") {
            if let Some(cluster) = stack.eksctl_cluster() {
                all.entry(cluster).or_default().push(stack.clone());
            }
        }
        let mut orphans = Vec::new();
        for (cluster, stacks) in all {
            if names.iter().any(|name| name == cluster) {
                continue;
            }
            if cx.get(Clusters { name: cluster.to_owned() }).await?.is_empty() {
                orphans.push(Orphan { cluster: cluster.to_owned(), stacks });
            }
        }
        Ok(orphans)
    }

    /// The plan for one of them. It fails where anything that decides can't be read.
    pub async fn plan(&self, cluster: &str, wishes: &Wishes) -> Result<Plan, Halt> {
        let world = self.world();
        let estate = Estate::survey(&world.cx("cleanup"), cluster).await?;
        Ok(Plan::of(&estate, wishes)?)
    }
}
