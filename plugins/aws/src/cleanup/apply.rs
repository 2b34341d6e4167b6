//! Does what a plan says.

use std::{collections::BTreeSet, io, path::Path, time::Duration};

use kfcheck::{Cx, FactError, Fault};
use tokio::time::Instant;

use super::{
    Account,
    action::Action,
    estate::Estate,
    hand::{Acted, Found, Hand},
    journal::{Entry, Journal, Outcome, Progress, State, entries},
    plan::{Plan, Refusal, Step, sha256},
};
use crate::{Failed, StackEvent, conflict, is_in_use};

/// How often a stack is tried again that could not be deleted.
const AGAIN: usize = 3;

/// How fast it goes. One thing is done at a time.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How long is waited between two looks at something that goes on.
    pub look: Duration,
    /// How long something that is still in use, or still reported, is waited for.
    pub settle: Duration,
    /// How long a stack may take to be deleted.
    pub stack: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            look: Duration::from_secs(5),
            settle: Duration::from_mins(5),
            stack: Duration::from_hours(1),
        }
    }
}

/// What is to be shown while it goes on.
#[derive(Clone, Debug)]
pub enum Progressed<'a> {
    /// A step begins: which, of how many.
    Step(usize, usize, &'a Step),
    /// It is done.
    Done,
    /// There was nothing left to do.
    Already,
    /// It was left out, for a reason.
    Skipped(&'a str),
    /// CloudFormation said something of a stack.
    Event(&'a StackEvent),
    /// A stack could not be deleted; it is tried again after so many steps.
    Again(&'a [String], usize),
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// How many steps were done.
    pub done: usize,
    /// What was left out, and why.
    pub skipped: Vec<(String, String)>,
}

/// Why it didn't come to the end.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// Nothing was changed.
    #[error("nothing was changed: {0}")]
    Refused(String),
    /// It stopped on its way; the journal knows how far it came.
    #[error("stopped: {0}")]
    Stopped(String),
    /// The journal can't be read or written.
    #[error("the journal {0}: {1}")]
    Journal(String, io::Error),
}

impl From<FactError> for Halt {
    fn from(error: FactError) -> Self {
        Self::Refused(format!("not everything that decides could be read: {error}"))
    }
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.to_string())
    }
}

/// Does what a plan says, if it is still the plan that the account calls for, and if whoever is asked
/// agrees. The journal must not be there yet.
pub async fn apply(
    account: &Account,
    plan: &Plan,
    journal: &Path,
    pace: Pace,
    agrees: impl AsyncFnOnce(&Plan) -> bool,
    mut watch: impl FnMut(Progressed<'_>),
) -> Result<Applied, Halt> {
    let world = account.world();
    let cx = world.cx("cleanup");
    let estate = survey(&cx, plan).await?;
    let now = Plan::of(&estate, &plan.wishes)?;
    if now.steps != plan.steps {
        return Err(Halt::Refused(format!("the plan is out of date: {}", difference(plan, &now))));
    }
    if !agrees(plan).await {
        return Err(Halt::Refused("nobody agreed".to_owned()));
    }
    let failed = |error| Halt::Journal(journal.display().to_string(), error);
    let mut written = Journal::create(journal).map_err(failed)?;
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let begun =
        Entry::Begun { plan: Box::new(plan.clone()), caller: estate.caller.clone(), version };
    written.write(begun.clone()).map_err(failed)?;
    let progress = Progress::of(&[begun]).unwrap_or_default();
    let hand = Hand::new(&cx, &plan.cluster).await?;
    Work { account, hand, progress, journal: written, pace, watch: &mut watch }.run().await
}

/// Goes on where a journal ends.
pub async fn resume(
    account: &Account,
    journal: &Path,
    pace: Pace,
    mut watch: impl FnMut(Progressed<'_>),
) -> Result<Applied, Halt> {
    let failed = |error| Halt::Journal(journal.display().to_string(), error);
    let mut written = Journal::open(journal).map_err(failed)?;
    let told = entries(journal).map_err(failed)?;
    let progress = Progress::of(&told)
        .ok_or_else(|| Halt::Refused(format!("{} begins with no plan", journal.display())))?;
    let world = account.world();
    let cx = world.cx("cleanup");
    let caller = check_account(&cx, &progress.plan).await?;
    let hand = Hand::new(&cx, &progress.plan.cluster).await?;
    if !progress.ended {
        written.write(Entry::Resumed { caller }).map_err(failed)?;
    }
    Work { account, hand, progress, journal: written, pace, watch: &mut watch }.run().await
}

/// Puts the policies and instance profiles back that a journal tells were taken off roles which are
/// still there. It says what could not be.
pub async fn restore(account: &Account, journal: &Path) -> Result<Applied, Halt> {
    let failed = |error| Halt::Journal(journal.display().to_string(), error);
    let mut written = Journal::open(journal).map_err(failed)?;
    let told = entries(journal).map_err(failed)?;
    let progress = Progress::of(&told)
        .ok_or_else(|| Halt::Refused(format!("{} begins with no plan", journal.display())))?;
    let world = account.world();
    let cx = world.cx("cleanup");
    check_account(&cx, &progress.plan).await?;
    let hand = Hand::new(&cx, &progress.plan.cluster).await?;
    let mut applied = Applied { done: 0, skipped: Vec::new() };
    // The last taken off is the first put back.
    for state in progress.steps.iter().rev().filter(|state| !state.restored) {
        let (Some(role), Some(found)) = (role_of(&state.step.action), &state.found) else {
            continue;
        };
        let stop = |fault: Fault| Halt::Stopped(fault.to_string());
        if !hand.has_role(role).await.map_err(stop)? {
            let because = format!("role {role} is gone");
            applied.skipped.push((state.step.action.says(), because));
            continue;
        }
        hand.put_back(&state.step.action, found).await.map_err(stop)?;
        written.write(Entry::Restored { step: state.id }).map_err(failed)?;
        applied.done += 1;
    }
    Ok(applied)
}

fn role_of(action: &Action) -> Option<&str> {
    match action {
        Action::DeleteRolePolicy { role, .. }
        | Action::DetachRolePolicy { role, .. }
        | Action::RemoveRoleFromInstanceProfile { role, .. } => Some(role),
        _ => None,
    }
}

async fn survey(cx: &Cx, plan: &Plan) -> Result<Estate, Halt> {
    check_account(cx, plan).await?;
    Ok(Estate::survey(cx, &plan.cluster).await?)
}

/// Whether the credentials are for where a plan is for; whose they are.
async fn check_account(cx: &Cx, plan: &Plan) -> Result<String, Halt> {
    if !plan.is_untouched() {
        return Err(Halt::Refused("the plan was edited since it was made".to_owned()));
    }
    let caller = cx.get(crate::CallerIdentity).await?;
    let region = cx.get(crate::Scope).await?.region.clone();
    if caller.account != plan.account_id || region != plan.region {
        return Err(Halt::Refused(format!(
            "the plan is for account {} in {}, and the credentials are for {} in {region}",
            plan.account_id, plan.region, caller.account
        )));
    }
    Ok(caller.arn.clone())
}

/// What two plans don't have in common, in words.
fn difference(old: &Plan, new: &Plan) -> String {
    let says = |plan: &Plan| -> BTreeSet<String> {
        plan.steps.iter().map(|step| step.action.says()).collect()
    };
    let (old_says, new_says) = (says(old), says(new));
    let gone = old_says.difference(&new_says).next().map(|s| format!("no need any more to {s}"));
    let more = new_says.difference(&old_says).next().map(|s| format!("there is also to {s}"));
    let order = || "what is on the list was changed, or its order".to_owned();
    gone.or(more).unwrap_or_else(order)
}

/// One run.
struct Work<'a> {
    account: &'a Account,
    hand: Hand,
    progress: Progress,
    journal: Journal,
    pace: Pace,
    watch: &'a mut dyn FnMut(Progressed<'_>),
}

/// How a stack ended that was to be deleted.
enum Deleted {
    Done,
    /// Something failed that can be mended.
    Failed(Vec<String>),
}

impl Work<'_> {
    async fn run(mut self) -> Result<Applied, Halt> {
        let outcome = self.steps().await;
        if let Err(Halt::Stopped(because)) = &outcome {
            self.note(Entry::Stopped { because: because.clone() })?;
        }
        outcome?;
        let skipped: Vec<_> =
            self.progress.steps.iter().filter(|s| is(s, Outcome::Skipped)).collect();
        let applied = Applied {
            done: self.progress.steps.iter().filter(|s| is(s, Outcome::Done)).count(),
            skipped: skipped
                .iter()
                .map(|state| (state.step.action.says(), state.step.because.clone()))
                .collect(),
        };
        if !self.progress.ended {
            self.note(Entry::Ended { complete: applied.skipped.is_empty() })?;
        }
        Ok(applied)
    }

    async fn steps(&mut self) -> Result<(), Halt> {
        while let Some(at) = self.progress.steps.iter().position(|s| s.outcome.is_none()) {
            let state = self.progress.steps[at].clone();
            let total = self.progress.steps.len();
            (self.watch)(Progressed::Step(at + 1, total, &state.step));
            self.check_gone().await?;
            if let Some(because) = self.is_pointless(&state) {
                self.skip(&state, &because)?;
                continue;
            }
            self.step(&state).await?;
        }
        Ok(())
    }

    /// That the cluster is still gone.
    async fn check_gone(&self) -> Result<(), Halt> {
        let cluster = &self.progress.plan.cluster;
        match self.hand.is_gone().await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Halt::Stopped(format!("cluster {cluster} exists again"))),
            Err(fault) => Err(Halt::Stopped(format!(
                "whether cluster {cluster} is gone is not known: {fault}"
            ))),
        }
    }

    /// Why a stack can't be deleted any more: something before it was left out.
    fn is_pointless(&self, state: &State) -> Option<String> {
        let Action::DeleteStack { .. } = &state.step.action else { return None };
        let before = self.progress.steps.iter().take_while(|other| other.id != state.id);
        let mut skipped = before.filter(|other| is(other, Outcome::Skipped));
        let needed = skipped.find(|other| {
            let is_stack = matches!(other.step.action, Action::DeleteStack { .. });
            is_stack || other.step.stack == state.step.stack
        })?;
        Some(format!("it needs what was left out: {}", needed.step.action.says()))
    }

    async fn step(&mut self, state: &State) -> Result<(), Halt> {
        let action = &state.step.action;
        let token = self.token(state);
        let stopped = |fault: Fault| Halt::Stopped(format!("to {}: {fault}", action.says()));
        match self.hand.look(action, &token).await.map_err(stopped)? {
            Found::Done => self.done(state, true),
            Found::Differs(because) => self.skip(state, &because),
            Found::AsPlanned(found) => {
                self.note(Entry::Doing { step: state.id, found })?;
                let until = Instant::now() + self.pace.settle;
                while self.hand.act(action, &token).await.map_err(stopped)? == Acted::InUse {
                    if Instant::now() > until {
                        let says = format!("to {}: it is still in use", action.says());
                        return Err(Halt::Stopped(says));
                    }
                    tokio::time::sleep(self.pace.look).await;
                }
                let Action::DeleteStack { stack_id, .. } = action else {
                    self.settle(action, &token).await?;
                    return self.done(state, false);
                };
                match self.follow(stack_id, &token).await? {
                    Deleted::Done => self.done(state, false),
                    Deleted::Failed(because) => self.again(state, because).await,
                }
            }
        }
    }

    /// Waits until what was changed is seen to be: IAM and load balancers take a while.
    async fn settle(&self, action: &Action, token: &str) -> Result<(), Halt> {
        let until = Instant::now() + self.pace.settle;
        loop {
            match self.hand.is_seen(action, token).await {
                Ok(true) => return Ok(()),
                Ok(false) if Instant::now() < until => (),
                Ok(false) => {
                    let says = format!("to {}: it was done and is not seen to be", action.says());
                    return Err(Halt::Stopped(says));
                }
                Err(fault) => {
                    return Err(Halt::Stopped(format!("to {}: {fault}", action.says())));
                }
            }
            tokio::time::sleep(self.pace.look).await;
        }
    }

    /// Waits for a stack, and tells what CloudFormation says meanwhile.
    async fn follow(&mut self, id: &str, token: &str) -> Result<Deleted, Halt> {
        let until = Instant::now() + self.pace.stack;
        let stopped = |fault: Fault| Halt::Stopped(format!("waiting for stack {id}: {fault}"));
        let mut told = BTreeSet::new();
        loop {
            let stack = self.hand.stack(id).await.map_err(stopped)?;
            let mut events = self.hand.events(id).await.map_err(stopped)?;
            events.retain(|event| event.client_request_token == token);
            for event in events.iter().rev() {
                if told.insert(event.event_id.clone()) {
                    (self.watch)(Progressed::Event(event));
                    self.note(Entry::Event {
                        part: event.logical_resource_id.clone(),
                        status: event.resource_status.clone(),
                        reason: event.resource_status_reason.to_string(),
                    })?;
                }
            }
            match stack {
                None => return Ok(Deleted::Done),
                // Before it is heard, the status is the one that the last try left.
                Some(stack) if stack.stack_status == "DELETE_FAILED" && !events.is_empty() => {
                    return Self::read(&events);
                }
                Some(stack) if !stack.is_under_way() && !events.is_empty() => {
                    let says = format!("stack {id} is {} now", stack.stack_status);
                    return Err(Halt::Stopped(says));
                }
                Some(_) if Instant::now() > until => {
                    return Err(Halt::Stopped(format!("stack {id} takes very long")));
                }
                Some(_) => (),
            }
            tokio::time::sleep(self.pace.look).await;
        }
    }

    /// What failed, if all of it is of a kind that can be mended.
    fn read(events: &[StackEvent]) -> Result<Deleted, Halt> {
        let failed = Failed::of(events);
        let parts: Vec<_> = failed.all().collect();
        let says = |part: &StackEvent| {
            format!("{}: {}", part.logical_resource_id, part.resource_status_reason)
        };
        let is_known = |part: &&StackEvent| {
            let reason = &part.resource_status_reason;
            conflict(reason).is_some() || is_in_use(reason)
        };
        match parts.iter().find(|part| !is_known(part)) {
            Some(part) => {
                Err(Halt::Stopped(format!("what keeps a stack is not understood: {}", says(part))))
            }
            None if parts.is_empty() => {
                let says = "a stack could not be deleted, and no event says why";
                Err(Halt::Stopped(says.to_owned()))
            }
            None => Ok(Deleted::Failed(parts.into_iter().map(says).collect())),
        }
    }

    /// Plans once more what keeps a stack.
    async fn again(&mut self, state: &State, because: Vec<String>) -> Result<(), Halt> {
        self.note(Entry::Failed { step: state.id, because: because.clone() })?;
        if state.failures + 1 > AGAIN {
            return Err(Halt::Stopped(format!(
                "it was tried {} times to {}: {}",
                AGAIN + 1,
                state.step.action.says(),
                because.join("; ")
            )));
        }
        let world = self.account.world();
        let plan = &self.progress.plan;
        let read = async {
            let estate = Estate::survey(&world.cx("cleanup"), &plan.cluster).await?;
            Ok::<_, Halt>(Plan::of(&estate, &plan.wishes)?)
        };
        let fresh = match read.await {
            Ok(fresh) => fresh,
            Err(Halt::Refused(because)) => return Err(Halt::Stopped(because)),
            Err(halt) => return Err(halt),
        };
        let is_again = |step: &&Step| step.action == state.step.action;
        if !fresh.steps.iter().any(|step| is_again(&step)) {
            let kept = fresh.kept.iter().map(|kept| format!("{}: {}", kept.what, kept.because));
            let says = kept.collect::<Vec<_>>().join("; ");
            return Err(Halt::Stopped(format!("to {}: {says}", state.step.action.says())));
        }
        let is_new = |step: &&Step| {
            let is_for_it = step.stack.is_none() || step.stack == state.step.stack;
            is_for_it && !is_again(step)
        };
        let steps: Vec<_> = fresh.steps.iter().filter(is_new).cloned().collect();
        (self.watch)(Progressed::Again(&because, steps.len()));
        if steps.is_empty() {
            // What is going may still be seen in its place.
            tokio::time::sleep(self.pace.look).await;
        } else {
            self.note(Entry::Added { before: state.id, steps })?;
        }
        Ok(())
    }

    /// The same for each call of one try, so that CloudFormation takes a second one for the first.
    fn token(&self, state: &State) -> String {
        let text = format!("{} {} {}", self.progress.plan.digest, state.id, state.failures);
        format!("kfcheck-{}", &sha256(text.as_bytes())[..32])
    }

    fn done(&mut self, state: &State, already: bool) -> Result<(), Halt> {
        self.note(Entry::Done { step: state.id, already })?;
        (self.watch)(if already { Progressed::Already } else { Progressed::Done });
        Ok(())
    }

    fn skip(&mut self, state: &State, because: &str) -> Result<(), Halt> {
        self.note(Entry::Skipped { step: state.id, because: because.to_owned() })?;
        (self.watch)(Progressed::Skipped(because));
        Ok(())
    }

    fn note(&mut self, entry: Entry) -> Result<(), Halt> {
        self.progress.take(&entry);
        let path = self.journal.path().display().to_string();
        self.journal.write(entry).map_err(|error| Halt::Journal(path, error))
    }
}

fn is(state: &State, outcome: Outcome) -> bool {
    state.outcome == Some(outcome)
}
