//! CloudFormation as it deletes, before a moto server, which deletes without looking.

mod account;
mod call;
mod deletion;
mod front;
mod lingering;
mod moto;
mod obstacles;
mod reads;
mod removal;
mod stack;
mod stale;
#[cfg(test)]
mod tests;
mod words;
mod worlds;

use std::{
    io,
    sync::{Arc, Mutex},
};

use futures::future::BoxFuture;
use tokio::sync::Mutex as Turn;

use crate::{
    Fault, FaultProxy, Models, Proxy, Server, Times,
    server::{Seen, lock},
};

use account::Account;
pub use call::{AwsCall, Moment, Then};
use lingering::Lingering;
use moto::Moto;
pub use stack::{Event, Output, Owned, Resource, Stack};
use stale::Stale;
pub use words::Wording;
pub use worlds::{World, Worlds};

/// What is told of each call, twice.
type OnCall = Arc<dyn Fn(AwsCall, Moment) -> BoxFuture<'static, Then> + Send + Sync>;

/// A CloudFormation with stacks of its own, and everything else as a moto server has it.
///
/// Whoever deletes a stack is told so at once; then the stack is `DELETE_IN_PROGRESS` for some
/// reads, and ends as it would at AWS. What the template owns is deleted at the server; what came
/// from outside makes it `DELETE_FAILED`.
pub struct CloudFormationMock {
    moto: String,
    models: Arc<Models>,
    stacks: Vec<Stack>,
    page_size: usize,
    reads_in_progress: usize,
    stale_reads: usize,
    lingering_for: usize,
    wording: Wording,
    copes: bool,
    faults: Vec<(String, Times, Fault)>,
    on_call: Option<OnCall>,
}

/// A [`CloudFormationMock`] on a port of the loopback interface that ends when it is dropped.
pub struct CloudFormation {
    proxy: Proxy,
    server: Server,
    cloud: Arc<Cloud>,
}

/// What is behind the port.
struct Cloud {
    moto: Moto,
    models: Arc<Models>,
    page_size: usize,
    reads_in_progress: usize,
    stale_reads: usize,
    lingering_for: usize,
    wording: Wording,
    copes: bool,
    on_call: Option<OnCall>,
    stale: Stale,
    lingering: Lingering,
    account: Turn<Account>,
    calls: Mutex<Vec<AwsCall>>,
    seen: Arc<Seen>,
}

impl CloudFormationMock {
    /// Before the moto server at a URL. CloudFormation's requests are read by its model.
    pub fn before(moto_url: &str, models: Arc<Models>) -> Self {
        Self {
            moto: moto_url.to_owned(),
            models,
            stacks: Vec::new(),
            page_size: 100,
            reads_in_progress: 1,
            stale_reads: 0,
            lingering_for: 0,
            wording: Wording::default(),
            copes: false,
            faults: Vec::new(),
            on_call: None,
        }
    }

    /// The stacks that there are.
    #[must_use]
    pub fn stacks(self, stacks: Vec<Stack>) -> Self {
        Self { stacks, ..self }
    }

    /// Puts no more than so many stacks, events or resources on a page.
    #[must_use]
    pub fn pages_of(self, page_size: usize) -> Self {
        Self { page_size: page_size.max(1), ..self }
    }

    /// How many reads that see a stack show it in the middle of its deletion; the next one shows
    /// what came of it.
    #[must_use]
    pub fn in_progress_for(self, reads: usize) -> Self {
        Self { reads_in_progress: reads, ..self }
    }

    /// How often IAM still lists what was taken from a role. Until then a deletion of the role by
    /// CloudFormation fails, which counts as a read.
    #[must_use]
    pub fn stale_reads(self, reads: usize) -> Self {
        Self { stale_reads: reads, ..self }
    }

    /// How many deletions of security groups, subnets and networks still fail because of a load
    /// balancer that is deleted already, as its interfaces go later.
    #[must_use]
    pub fn lingering_for(self, deletions: usize) -> Self {
        Self { lingering_for: deletions, ..self }
    }

    /// How events say what other services said.
    #[must_use]
    pub fn wording(self, wording: Wording) -> Self {
        Self { wording, ..self }
    }

    /// Takes from a role that is deleted also the policies that came from outside, as newer
    /// versions of CloudFormation sometimes do.
    #[must_use]
    pub fn copes_with_policies(self) -> Self {
        Self { copes: true, ..self }
    }

    /// Lets calls go wrong: `iam:DeleteRolePolicy`, `eks:`; see [`FaultProxy::fault`]. They come to
    /// nothing else: they are not among the calls, and change nothing.
    #[must_use]
    pub fn fault(mut self, route: impl Into<String>, times: Times, fault: Fault) -> Self {
        self.faults.push((route.into(), times, fault));
        self
    }

    /// Tells of each call when it has come and when it is done, and lets it be lost. A call goes
    /// its way also if its sender is gone meanwhile, as it does at AWS.
    #[must_use]
    pub fn on_call<H>(self, hook: H) -> Self
    where
        H: Fn(AwsCall, Moment) -> BoxFuture<'static, Then> + Send + Sync + 'static,
    {
        Self { on_call: Some(Arc::new(hook)), ..self }
    }

    /// Starts on a free port.
    pub async fn start(self) -> io::Result<CloudFormation> {
        let seen = Arc::new(Seen::default());
        let cloud = Arc::new(Cloud {
            moto: Moto::at(&self.moto)?,
            models: self.models,
            page_size: self.page_size,
            reads_in_progress: self.reads_in_progress,
            stale_reads: self.stale_reads,
            lingering_for: self.lingering_for,
            wording: self.wording,
            copes: self.copes,
            on_call: self.on_call,
            stale: Stale::default(),
            lingering: Lingering::default(),
            account: Turn::new(Account::of(self.stacks)),
            calls: Mutex::default(),
            seen: Arc::clone(&seen),
        });
        let own = Arc::clone(&cloud);
        let server = Server::start(seen, move |request| front::answer(Arc::clone(&own), request));
        let server = server.await?;
        let mut proxy = FaultProxy::before(&server.url());
        for (route, times, fault) in self.faults {
            proxy = proxy.fault(route, times, fault);
        }
        Ok(CloudFormation { proxy: proxy.start().await?, server, cloud })
    }
}

impl CloudFormation {
    /// The beginning of a URL, for `AWS_ENDPOINT_URL`.
    pub fn url(&self) -> String {
        self.proxy.url()
    }

    /// The calls that reached AWS so far, in the order in which they came.
    pub fn calls(&self) -> Vec<AwsCall> {
        lock(&self.cloud.calls).clone()
    }

    /// Those of them that change something.
    pub fn changes(&self) -> Vec<AwsCall> {
        self.calls().into_iter().filter(AwsCall::changes).collect()
    }

    /// How many calls came, with those that went wrong on purpose, whose route has that in it.
    pub fn count(&self, route: &str) -> usize {
        self.proxy.count(route)
    }

    /// What CloudFormation was asked that it would not know: a test fails if there is any.
    pub fn unknown(&self) -> Vec<String> {
        self.server.unknown()
    }

    /// The stacks as they are now, also those that are deleted. Nothing goes on by that.
    pub async fn stacks(&self) -> Vec<Stack> {
        self.cloud.account.lock().await.stacks.clone()
    }

    /// One of them, by name or ARN.
    pub async fn stack(&self, meant: &str) -> Option<Stack> {
        self.stacks().await.into_iter().find(|stack| stack.is(meant))
    }

    /// Changes the stacks, as somebody else might at any time.
    pub async fn change(&self, change: impl FnOnce(&mut Vec<Stack>)) {
        change(&mut self.cloud.account.lock().await.stacks);
    }
}
