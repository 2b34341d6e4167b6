use std::{
    any::{Any, TypeId, type_name},
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use futures::{
    FutureExt,
    future::{BoxFuture, Either, Shared, select, try_join_all},
};
use serde_json::Value;
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    Bundle, Event, Fact, FactError, FactKey, Fault, Path, Place, Stretch, path::Joined, place::Spot,
};

type Answer = Result<Arc<dyn Any + Send + Sync>, FactError>;
type Flight = Shared<BoxFuture<'static, Answer>>;
/// How to put an answer back to its place.
type Keep = (Spot, Box<dyn Fn(&(dyn Any + Send + Sync)) -> Value + Send + Sync>);

/// All that one run knows. Dropping it cancels whatever it is still asking.
pub struct World {
    inner: Arc<Inner>,
}

struct Inner {
    replay: Option<Bundle>,
    stretches: Vec<&'static dyn Stretch>,
    clients: HashMap<TypeId, Result<Arc<dyn Any + Send + Sync>, Fault>>,
    patience: Duration,
    observer: Box<dyn Fn(Event) + Send + Sync>,
    flights: Mutex<BTreeMap<FactKey, (Flight, Option<Keep>)>>,
    /// Who asks for what.
    asked: Mutex<BTreeMap<FactKey, BTreeSet<FactKey>>>,
    /// What is missing of answers that are there.
    missing: Mutex<BTreeMap<FactKey, BTreeMap<String, Fault>>>,
    /// How many checks are running, those that wait for the others not counted.
    running: watch::Sender<usize>,
    cancelled: watch::Sender<bool>,
}

impl World {
    /// Asks the outside world, through the clients added with [`World::client`].
    pub fn live() -> Self {
        Self::new(None)
    }

    /// Answers from a bundle and never touches the outside world.
    pub fn replay(bundle: Bundle) -> Self {
        Self::new(Some(bundle))
    }

    fn new(replay: Option<Bundle>) -> Self {
        Self {
            inner: Arc::new(Inner {
                replay,
                stretches: Vec::new(),
                clients: HashMap::new(),
                patience: Duration::MAX,
                observer: Box::new(|_| ()),
                flights: Mutex::default(),
                asked: Mutex::default(),
                missing: Mutex::default(),
                running: watch::Sender::new(0),
                cancelled: watch::Sender::new(false),
            }),
        }
    }

    /// Adds a client for facts to use, or the reason why there is none: every fact that needs it
    /// then fails for that reason.
    #[must_use]
    pub fn client<T: Any + Send + Sync>(mut self, client: Result<T, Fault>) -> Self {
        let client = client.map(|client| Arc::new(client) as _);
        self.inner_mut().clients.insert(TypeId::of::<T>(), client);
        self
    }

    /// Lets no fact take longer than this, whatever it says of itself.
    #[must_use]
    pub fn patience(mut self, limit: Duration) -> Self {
        self.inner_mut().patience = limit;
        self
    }

    /// Adds stretches of the request path.
    #[must_use]
    pub fn path(mut self, stretches: &[&'static dyn Stretch]) -> Self {
        self.inner_mut().stretches.extend(stretches);
        self
    }

    /// Sends every event of the run to `observer`.
    #[must_use]
    pub fn observe(mut self, observer: impl Fn(Event) + Send + Sync + 'static) -> Self {
        self.inner_mut().observer = Box::new(observer);
        self
    }

    /// Adds a choice of the user's, for facts to read with [`Cx::setting`].
    #[must_use]
    pub fn setting<T: Any + Send + Sync>(self, setting: T) -> Self {
        self.client(Ok(setting))
    }

    fn inner_mut(&mut self) -> &mut Inner {
        // Handles are weak, so a world that is not shared is always its only owner.
        #[expect(clippy::expect_used, reason = "nothing else holds a strong reference")]
        Arc::get_mut(&mut self.inner).expect("a world owns what is in it")
    }

    /// A handle for whoever goes by `name`.
    pub fn cx(&self, name: &str) -> Cx {
        Cx { world: Arc::downgrade(&self.inner), asker: FactKey(name.to_owned()) }
    }

    /// The facts that `asker` has asked for so far.
    pub fn asked_by(&self, asker: &str) -> Vec<FactKey> {
        let asked = lock(&self.inner.asked);
        asked.get(&FactKey(asker.to_owned())).into_iter().flatten().cloned().collect()
    }

    /// The names of the facts that `asker` has asked for, and of those that these have, however deep.
    pub fn facts_below(&self, asker: &str) -> BTreeSet<String> {
        let asked = lock(&self.inner.asked);
        let asker = FactKey(asker.to_owned());
        let mut below = vec![&asker];
        let mut seen = BTreeSet::new();
        while let Some(next) = below.pop() {
            for fact in asked.get(next).into_iter().flatten() {
                if seen.insert(fact) {
                    below.push(fact);
                }
            }
        }
        seen.into_iter().map(|fact| fact.name().to_owned()).collect()
    }

    /// Whether `asker` has asked for a fact of this name, or for one that has, however deep.
    pub(crate) fn leans_on(&self, asker: &str, name: &str) -> bool {
        let asked = lock(&self.inner.asked);
        let asker = FactKey(asker.to_owned());
        let mut below = vec![&asker];
        let mut seen = BTreeSet::new();
        while let Some(next) = below.pop() {
            if next.name() == name {
                return true;
            }
            if seen.insert(next) {
                below.extend(asked.get(next).into_iter().flatten());
            }
        }
        false
    }

    /// What is missing of the answers to facts that `asker` has asked for, however deep.
    pub(crate) fn missing_for(&self, asker: &str) -> Vec<FactError> {
        let missing = lock(&self.inner.missing).clone();
        let of = |(key, parts): (FactKey, BTreeMap<String, Fault>)| {
            let leans = self.leans_on(asker, key.name());
            let parts = parts.into_values().filter(move |_| leans);
            parts.map(move |fault| FactError { fact: Some(key.clone()), fault })
        };
        missing.into_iter().flat_map(of).collect()
    }

    /// Stops asking: whoever waits for an answer is told that the run ended.
    pub fn cancel(&self) {
        self.inner.cancelled.send_replace(true);
    }

    /// Notes that a check begins or, with `false`, ends.
    pub(crate) fn count_running(&self, begins: bool) {
        count(&self.inner.running, begins);
    }

    /// What the bundle holds and was not read: links, and paths that leave it.
    pub(crate) fn refused(&self) -> &[String] {
        self.inner.replay.as_ref().map_or(&[], Bundle::refused)
    }

    /// What has been observed so far, failures included, each answer at its place.
    pub fn bundle(&self) -> Bundle {
        let mut bundle = Bundle::new();
        for (flight, keep) in lock(&self.inner.flights).values() {
            // Also what came in without anybody waiting for it.
            let answer = flight.clone().now_or_never();
            let (Some((spot, encode)), Some(answer)) = (keep, answer) else { continue };
            let value = answer.as_ref().map(|value| encode(value.as_ref()));
            bundle.put(spot, value.map_err(|error| error.fault.clone()));
        }
        for (key, parts) in lock(&self.inner.missing).iter() {
            let flights = lock(&self.inner.flights);
            let Some((_, Some((spot, _)))) = flights.get(key) else { continue };
            for (part, fault) in parts {
                bundle.put_missing(spot, part, fault);
            }
        }
        bundle
    }

    pub(crate) fn emit(&self, event: Event) {
        (self.inner.observer)(event);
    }
}

/// The handle through which checks and facts ask for facts.
#[derive(Clone)]
pub struct Cx {
    world: Weak<Inner>,
    asker: FactKey,
}

impl Cx {
    /// The answer to `fact`, asked for at most once however many ask.
    pub async fn get<F: Fact>(&self, fact: F) -> Result<Arc<F::Value>, FactError> {
        let key = FactKey::of(&fact);
        let flight = self.flight(fact, &key)?;
        let cancelled = self.world.upgrade().ok_or(Fault::Cancelled)?.cancelled.subscribe();
        let answer = or_cancelled(flight, cancelled).await??;
        answer
            .downcast::<F::Value>()
            .map_err(|_| Fault::Bug(format!("two facts are named {}", F::NAME)).into())
    }

    /// The answers to `facts`, asked for at the same time.
    pub async fn get_all<F: Fact>(
        &self,
        facts: impl IntoIterator<Item = F>,
    ) -> Result<Vec<Arc<F::Value>>, FactError> {
        try_join_all(facts.into_iter().map(|fact| self.get(fact))).await
    }

    /// Begins to ask for what will be wanted in a while, so that it need not be waited for then.
    pub fn begin<F: Fact>(&self, fact: F) {
        let key = FactKey::of(&fact);
        // Whoever wants the answer hears of the failure.
        let _ = self.flight(fact, &key);
    }

    /// Whether somebody has asked for `fact` already.
    pub fn is_asked<F: Fact>(&self, fact: &F) -> bool {
        let world = self.world.upgrade();
        world.is_some_and(|world| lock(&world.flights).contains_key(&FactKey::of(fact)))
    }

    /// What a request goes through. It has gaps where the world could not be seen.
    pub async fn path(&self) -> Result<Arc<Path>, FactError> {
        self.get(Joined).await
    }

    /// Notes that a part is missing of the answer that is being given, and why. What is there of it
    /// is judged; the report says that there may be more.
    pub fn missing(&self, part: impl Into<String>, fault: Fault) {
        if let Some(world) = self.world.upgrade() {
            let mut missing = lock(&world.missing);
            missing.entry(self.asker.clone()).or_default().insert(part.into(), fault);
        }
    }

    /// One call to the outside world, for whoever shows progress: `what` names it.
    pub async fn call<T, E: std::fmt::Display>(
        &self,
        what: impl Into<String>,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let (what, start) = (what.into(), Instant::now());
        emit(self, Event::CallStarted(what.clone()));
        let answer = call.await;
        let error = answer.as_ref().err().map(ToString::to_string);
        emit(self, Event::CallDone(what, start.elapsed(), error));
        answer
    }

    /// What has failed in this run, by its place in a bundle, once all checks but the one that
    /// waits for this are done.
    pub async fn faults(&self) -> Result<BTreeMap<String, Fault>, FactError> {
        let world = self.world.upgrade().ok_or(Fault::Cancelled)?;
        let mut running = world.running.subscribe();
        let cancelled = world.cancelled.subscribe();
        count(&world.running, false);
        let others = async { running.wait_for(|running| *running == 0).await.map(|_| ()) };
        let ended = or_cancelled(others, cancelled).await;
        count(&world.running, true);
        ended?.map_err(|_| Fault::Cancelled)?;
        let flights = lock(&world.flights);
        let failed = flights.values().filter_map(|(flight, keep)| {
            let (spot, _) = keep.as_ref()?;
            Some((spot.address(), flight.clone().now_or_never()?.err()?.fault))
        });
        Ok(failed.collect())
    }

    pub(crate) fn stretches(&self) -> Result<Vec<&'static dyn Stretch>, FactError> {
        Ok(self.world.upgrade().ok_or(Fault::Cancelled)?.stretches.clone())
    }

    /// The client that answers facts of one provider.
    pub fn client<T: Any + Send + Sync>(&self) -> Result<Arc<T>, FactError> {
        let world = self.world.upgrade().ok_or(Fault::Cancelled)?;
        let client = world.clients.get(&TypeId::of::<T>()).cloned();
        let missing = || Err(Fault::Unreachable(format!("no {} is set up", type_name::<T>())));
        let client = client.unwrap_or_else(missing)?;
        client.downcast().map_err(|_| Fault::Bug(format!("no {}", type_name::<T>())).into())
    }

    /// What the user chose, or else the default.
    pub fn setting<T: Any + Send + Sync + Default>(&self) -> Arc<T> {
        self.client().unwrap_or_default()
    }

    fn flight<F: Fact>(&self, fact: F, key: &FactKey) -> Result<Flight, FactError> {
        let world = self.world.upgrade().ok_or(Fault::Cancelled)?;
        world.record_asking(&self.asker, key)?;
        let mut flights = lock(&world.flights);
        if let Some((flight, _)) = flights.get(key) {
            return Ok(flight.clone());
        }
        let place = fact.place();
        let flight = if let (Some(bundle), Some(place)) = (&world.replay, &place) {
            let parts = bundle.missing_parts(&place.spot);
            if !parts.is_empty() {
                lock(&world.missing).insert(key.clone(), parts);
            }
            let answer = replay(bundle, place).map_err(|e| FactError::from(e).blame(key));
            (world.observer)(Event::FactDone(key.clone(), answer.as_ref().err().cloned()));
            std::future::ready(answer).boxed()
        } else {
            let cx = Cx { world: self.world.clone(), asker: key.clone() };
            // What is worked out from other facts takes as long as they do.
            let limit = place.as_ref().map_or(Duration::MAX, |_| F::TIMEOUT.min(world.patience));
            answer_of(AbortOnDrop(tokio::spawn(fetch(fact, cx, limit))), key.clone()).boxed()
        };
        let flight = flight.shared();
        flights.insert(key.clone(), (flight.clone(), place.map(keep)));
        Ok(flight)
    }
}

impl Inner {
    /// Notes who asks for what, and refuses a question that waits for its own answer.
    fn record_asking(&self, asker: &FactKey, key: &FactKey) -> Result<(), FactError> {
        let mut asked = lock(&self.asked);
        let mut below = vec![key];
        let mut seen = BTreeSet::new();
        while let Some(next) = below.pop() {
            if next == asker {
                return Err(Fault::Bug(format!("{asker} and {key} ask for each other")).into());
            }
            if seen.insert(next) {
                below.extend(asked.get(next).into_iter().flatten());
            }
        }
        asked.entry(asker.clone()).or_default().insert(key.clone());
        Ok(())
    }
}

/// Asks, in a task of its own: it goes on when whoever asked first gives up.
async fn fetch<F: Fact>(fact: F, cx: Cx, limit: Duration) -> Answer {
    emit(&cx, Event::FactStarted(cx.asker.clone()));
    let answer = within(limit, fact.fetch(&cx)).await.flatten();
    let answer = answer.map_err(|error| error.blame(&cx.asker));
    emit(&cx, Event::FactDone(cx.asker.clone(), answer.as_ref().err().cloned()));
    Ok(Arc::new(answer?))
}

/// A task that ends with the last one who could still want its answer.
struct AbortOnDrop(JoinHandle<Answer>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn answer_of(mut task: AbortOnDrop, key: FactKey) -> Answer {
    match (&mut task.0).await {
        Ok(answer) => answer,
        Err(error) if error.is_panic() => {
            Err(FactError::from(Fault::Bug("panicked".to_owned())).blame(&key))
        }
        Err(_aborted) => Err(Fault::Cancelled.into()),
    }
}

/// What comes of `f`, or that the run ended first.
async fn or_cancelled<T>(
    f: impl Future<Output = T>,
    mut cancelled: watch::Receiver<bool>,
) -> Result<T, FactError> {
    let ended = std::pin::pin!(cancelled.wait_for(|cancelled| *cancelled));
    match select(std::pin::pin!(f), ended).await {
        Either::Left((answer, _)) => Ok(answer),
        Either::Right(_) => Err(Fault::Cancelled.into()),
    }
}

fn count(running: &watch::Sender<usize>, begins: bool) {
    running.send_modify(|n| *n = if begins { *n + 1 } else { n.saturating_sub(1) });
}

pub(crate) async fn within<T>(limit: Duration, f: impl Future<Output = T>) -> Result<T, FactError> {
    tokio::time::timeout(limit, f).await.map_err(|_| Fault::TimedOut(limit).into())
}

fn emit(cx: &Cx, event: Event) {
    if let Some(world) = cx.world.upgrade() {
        (world.observer)(event);
    }
}

fn replay<V: Send + Sync + 'static>(
    bundle: &Bundle,
    place: &Place<V>,
) -> Result<Arc<dyn Any + Send + Sync>, Fault> {
    Ok(Arc::new(bundle.read(&place.spot, place.decode)?))
}

fn keep<V: 'static>(place: Place<V>) -> Keep {
    let encode = place.encode;
    let stored =
        move |value: &(dyn Any + Send + Sync)| value.downcast_ref().map(encode).unwrap_or_default();
    (place.spot, Box::new(stored))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
