//! What a world promises to checks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use kfcheck::{
    Bundle, Check, Cx, Fact, FactError, Fault, Findings, Now, Path, Place, Resource, Runner,
    Status, Stretch, World, async_trait, check,
};
use serde::Serialize;
use tokio::sync::Semaphore;

#[derive(Default)]
struct Calls {
    started: AtomicUsize,
    dropped: AtomicUsize,
}

struct Guard(Arc<Calls>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, SeqCst);
    }
}

/// Takes a second and counts how often it is asked.
#[derive(Clone, Serialize)]
struct Slow;

impl Fact for Slow {
    const NAME: &'static str = "test.slow";
    type Value = u32;

    fn place(&self) -> Option<Place<u32>> {
        Some(Place::file("test/slow", "slow"))
    }

    async fn fetch(&self, cx: &Cx) -> Result<u32, FactError> {
        let calls = cx.client::<Arc<Calls>>()?;
        let _guard = Guard(Arc::clone(&calls));
        calls.started.fetch_add(1, SeqCst);
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(7)
    }
}

#[derive(Clone, Serialize)]
struct Forbidden {
    project: String,
}

impl Fact for Forbidden {
    const NAME: &'static str = "test.forbidden";
    type Value = ();

    fn place(&self) -> Option<Place<()>> {
        Some(Place::entry("test/forbidden", &self.project, "forbidden"))
    }

    async fn fetch(&self, _: &Cx) -> Result<(), FactError> {
        Err(Fault::Denied { permission: "test.list".to_owned() }.into())
    }
}

/// A pure function of two other facts.
#[derive(Clone, Serialize)]
struct Doubled;

impl Fact for Doubled {
    const NAME: &'static str = "test.doubled";
    type Value = u32;

    async fn fetch(&self, cx: &Cx) -> Result<u32, FactError> {
        Ok(*cx.get(Slow).await? * 2)
    }
}

#[derive(Clone, Serialize)]
struct Chicken;
#[derive(Clone, Serialize)]
struct Egg;

impl Fact for Chicken {
    const NAME: &'static str = "test.chicken";
    type Value = ();
    async fn fetch(&self, cx: &Cx) -> Result<(), FactError> {
        cx.get(Egg).await.map(|_| ())
    }
}

impl Fact for Egg {
    const NAME: &'static str = "test.egg";
    type Value = ();
    async fn fetch(&self, cx: &Cx) -> Result<(), FactError> {
        cx.get(Chicken).await.map(|_| ())
    }
}

fn live() -> (World, Arc<Calls>) {
    let calls = Arc::new(Calls::default());
    (World::live().client(Ok(Arc::clone(&calls))), calls)
}

#[tokio::test(start_paused = true)]
async fn many_ask_and_one_call_goes_out() {
    let (world, calls) = live();
    let cx = world.cx("test");
    let (a, b, c) = tokio::join!(cx.get(Slow), cx.get(Slow), cx.get(Doubled));
    assert_eq!((*a.unwrap(), *b.unwrap(), *c.unwrap()), (7, 7, 14));
    assert_eq!(calls.started.load(SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_threads_ask_and_one_call_goes_out() {
    let (world, calls) = live();
    let asking: Vec<_> = (0..100)
        .map(|_| {
            let cx = world.cx("test");
            tokio::spawn(async move { *cx.get(Slow).await.unwrap() })
        })
        .collect();
    for answer in asking {
        assert_eq!(answer.await.unwrap(), 7);
    }
    assert_eq!(calls.started.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn the_first_to_ask_gives_up_and_the_call_goes_on() {
    let (world, calls) = live();
    let cx = world.cx("test");
    let impatient = tokio::time::timeout(Duration::from_millis(10), cx.get(Slow));
    let (first, second) = tokio::join!(impatient, cx.get(Slow));
    assert!(first.is_err());
    assert_eq!(*second.unwrap(), 7);
    assert_eq!(calls.started.load(SeqCst), 1);
}

/// Holds the only connection while it waits.
#[derive(Clone, Serialize)]
struct Queued {
    seconds: u64,
}

impl Fact for Queued {
    const NAME: &'static str = "test.queued";
    type Value = ();

    async fn fetch(&self, cx: &Cx) -> Result<(), FactError> {
        let connections = cx.client::<Semaphore>()?;
        let _connection = connections.acquire().await;
        tokio::time::sleep(Duration::from_secs(self.seconds)).await;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_everyone_gave_up_on_frees_its_connection() {
    let world = World::live().client(Ok(Semaphore::new(1)));
    let cx = world.cx("test");
    let abandoned = tokio::time::timeout(Duration::from_millis(10), cx.get(Queued { seconds: 2 }));
    assert!(abandoned.await.is_err());
    assert_eq!(cx.get(Queued { seconds: 1 }).await.as_deref(), Ok(&()));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_world_cancels_what_it_asks() {
    let (world, calls) = live();
    let cx = world.cx("test");
    let _ = tokio::time::timeout(Duration::from_millis(10), cx.get(Slow)).await;
    assert_eq!(calls.dropped.load(SeqCst), 0);
    drop(world);
    tokio::task::yield_now().await;
    assert_eq!(calls.dropped.load(SeqCst), 1);
    assert_eq!(cx.get(Slow).await.unwrap_err().fault, Fault::Cancelled);
}

#[tokio::test]
async fn an_error_names_the_fact_and_reaches_everyone() {
    let (world, _) = live();
    let cx = world.cx("test");
    let forbidden = Forbidden { project: "p1".to_owned() };
    let (a, b) = tokio::join!(cx.get(forbidden.clone()), cx.get(forbidden));
    assert_eq!(a, b);
    assert_text(
        &a.unwrap_err().to_string(),
        r#"permission test.list denied (asking for test.forbidden {"project":"p1"})"#,
    );
}

#[tokio::test]
async fn without_credentials_every_fact_says_so() {
    let no_login = Fault::Unreachable("no credentials: run gcloud auth login".to_owned());
    let world = World::live().client::<Arc<Calls>>(Err(no_login.clone()));
    assert_eq!(world.cx("test").get(Slow).await.unwrap_err().fault, no_login);
}

#[tokio::test(start_paused = true)]
async fn facts_that_wait_for_each_other_are_a_bug_and_not_a_hang() {
    let (world, _) = live();
    let cx = world.cx("test");
    let (a, b) = tokio::join!(cx.get(Chicken), cx.get(Egg));
    assert!(matches!(a.unwrap_err().fault, Fault::Bug(_)));
    assert!(matches!(b.unwrap_err().fault, Fault::Bug(_)));
}

#[tokio::test(start_paused = true)]
async fn a_bundle_replays_answers_and_failures_and_computes_the_rest() {
    let (world, calls) = live();
    let cx = world.cx("test");
    let forbidden = Forbidden { project: "p1".to_owned() };
    assert_eq!(*cx.get(Doubled).await.unwrap(), 14);
    let refused = cx.get(forbidden.clone()).await.unwrap_err();

    let folder = tempfile::tempdir().unwrap();
    world.bundle().write(folder.path()).unwrap();
    let bundle = Bundle::open(folder.path()).unwrap();

    let replayed = World::replay(bundle);
    let cx = replayed.cx("test");
    assert_eq!(*cx.get(Doubled).await.unwrap(), 14);
    assert_eq!(cx.get(forbidden).await.unwrap_err(), refused);
    assert_eq!(calls.started.load(SeqCst), 1);

    let other = Forbidden { project: "p2".to_owned() };
    assert_eq!(cx.get(other).await.unwrap_err().fault.reason(), "notCollected");
}

#[derive(Clone, Serialize)]
struct Panicking;

impl Fact for Panicking {
    const NAME: &'static str = "test.panicking";
    type Value = ();
    async fn fetch(&self, _: &Cx) -> Result<(), FactError> {
        panic!("on purpose")
    }
}

#[tokio::test]
async fn a_fact_that_panics_is_a_bug_for_everyone_who_asks() {
    let (world, _) = live();
    let cx = world.cx("test");
    let (a, b) = tokio::join!(cx.get(Panicking), cx.get(Panicking));
    assert_eq!(a, b);
    assert_text(&a.unwrap_err().to_string(), "bug: panicked (asking for test.panicking)");
}

check! {
    /// Fails on one thing, then cannot see the rest.
    struct HalfBlind;
    id: "test-half-blind",
    title: "Both halves are visible",
}

#[async_trait]
impl Check for HalfBlind {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        out.fail(thing("left"), "is broken");
        cx.get(Forbidden { project: "p1".to_owned() }).await?;
        Ok(())
    }
}

check! {
    /// Sees nothing.
    struct Blind;
    id: "test-blind",
    title: "It is visible",
}

#[async_trait]
impl Check for Blind {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        cx.get(Forbidden { project: "p1".to_owned() }).await?;
        out.ok(thing("right"));
        Ok(())
    }
}

check! {
    /// Examines nothing at all.
    struct Vacuous;
    id: "test-vacuous",
    title: "Everything is fine",
}

#[async_trait]
impl Check for Vacuous {
    async fn run(&self, _: &Cx, _: &mut Findings) -> Result<(), FactError> {
        Ok(())
    }
}

check! {
    /// Panics.
    struct Broken;
    id: "test-broken",
    title: "It works",
}

#[async_trait]
impl Check for Broken {
    async fn run(&self, _: &Cx, _: &mut Findings) -> Result<(), FactError> {
        panic!("on purpose")
    }
}

check! {
    /// Never ends.
    struct Endless;
    id: "test-endless",
    title: "It ends",
}

#[async_trait]
impl Check for Endless {
    async fn run(&self, _: &Cx, out: &mut Findings) -> Result<(), FactError> {
        out.ok(thing("first"));
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn one_bad_check_does_not_spoil_the_others() {
    let (world, _) = live();
    let checks: [&dyn Check; 5] = [&Endless, &HalfBlind, &Blind, &Vacuous, &Broken];
    let report = Runner::default().run(&world, &checks).await;
    let statuses: Vec<_> = report.results.iter().map(|r| r.status).collect();
    let expected = [Status::Unknown, Status::Fail, Status::Unknown, Status::Skip, Status::Bug];
    assert_eq!(statuses, expected);
    assert_eq!(report.results[1].findings.len(), 1, "what was found before the error is kept");
    assert_eq!(report.results[1].unknown.len(), 1);
}

check! {
    /// Sees one of two subjects.
    struct OneDenied;
    id: "test-one-denied",
    title: "Both are healthy",
}

#[async_trait]
impl Check for OneDenied {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let denied = cx.get(Forbidden { project: "p1".to_owned() }).await;
        assert!(out.known(thing("left"), denied).is_none());
        out.ok(thing("right"));
        Ok(())
    }
}

struct Start;
struct Foggy;

#[async_trait]
impl Stretch for Start {
    async fn draw(&self, _: &Cx, path: &mut Path) -> Result<(), FactError> {
        path.needs(thing("host"), thing("door"));
        Ok(())
    }
}

#[async_trait]
impl Stretch for Foggy {
    async fn draw(&self, cx: &Cx, path: &mut Path) -> Result<(), FactError> {
        path.needs(thing("door"), thing("room"));
        cx.get(Forbidden { project: "p1".to_owned() }).await?;
        path.needs(thing("room"), thing("lamp"));
        Ok(())
    }
}

check! {
    /// Looks at lamps on the path.
    struct Lamps;
    id: "test-lamps",
    title: "Lamps are lit",
}

#[async_trait]
impl Check for Lamps {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        if cx.path().await?.contains(&thing("lamp")) {
            out.ok(thing("lamp"));
        }
        Ok(())
    }
}

#[tokio::test]
async fn what_lies_behind_a_gap_in_the_path_is_unknown() {
    let world = World::live().path(&[&Start, &Foggy]);
    let report = Runner::default().run(&world, &[&Lamps, &OneDenied]).await;
    assert_eq!(report.path.edges.len(), 2, "what was drawn before the gap is kept");
    assert_eq!(report.path.entrances(), [&thing("host")]);
    assert_eq!(report.results[0].status, Status::Unknown, "not skipped: there may be lamps");
    assert_eq!(report.results[1].status, Status::Unknown, "one subject of two was seen");
    assert_eq!(report.results[1].healthy, [thing("right")]);
    let wanted: Vec<_> = report.unseen().into_iter().flat_map(|(_, by)| by).collect();
    assert_eq!(wanted, ["request path", "test-lamps", "test-one-denied"], "one fault, one line");
}

#[tokio::test]
async fn a_run_may_be_a_task_of_its_own() {
    let run = async {
        let world = World::live().path(&[&Start]);
        Runner::default().run(&world, &[&Lamps]).await
    };
    assert_eq!(tokio::spawn(run).await.unwrap().results[0].status, Status::Skip);
}

#[tokio::test]
async fn time_is_a_fact() {
    let bundle = Bundle::default()
        .with("bundle.json", serde_json::json!({ "collectedAt": "2020-10-23T15:00:00Z" }));
    let now = World::replay(bundle).cx("test").get(Now).await.unwrap();
    assert_eq!(now.to_string(), "2020-10-23T15:00:00Z");
}

fn thing(name: &str) -> Resource {
    Resource { provider: "test", kind: "Thing", namespace: None, name: name.to_owned() }
}

#[track_caller]
fn assert_text(actual: &str, expected: &str) {
    assert_eq!(actual, expected);
}
