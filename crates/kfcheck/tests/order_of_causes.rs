//! What holds for root causes, whatever the path and whatever is found.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::collections::BTreeSet;

use kfcheck::{
    Check, Cx, FactError, Findings, Path, Report, Resource, Runner, Stretch, World, async_trait,
    causes, check,
};
use proptest::{
    collection::vec,
    prelude::{Just, Strategy, prop_assert, prop_assert_eq, proptest},
    sample::select,
};

const NAMES: &[&str] = &["host", "balancer", "backend", "pods", "policy", "network"];
const SAYS: &[&str] = &["fail", "hearsay", "manner", "serving", "symptom", "unbuilt"];

fn thing(name: &str) -> Resource {
    let provider = if name == "host" { "dns" } else { "test" };
    let kind = if name == "host" { "Host" } else { "Thing" };
    Resource { provider, kind, namespace: None, name: name.to_owned() }
}

/// Who depends on whom, and in which respect; there may be rings.
#[derive(Clone, Debug, Default)]
struct Drawn(Vec<(&'static str, &'static str, u8)>);

struct Deployment;

#[async_trait]
impl Stretch for Deployment {
    async fn draw(&self, cx: &Cx, path: &mut Path) -> Result<(), FactError> {
        for (upper, lower, how) in &cx.setting::<Drawn>().0 {
            match how {
                0 => path.needs(thing(upper), thing(lower)),
                1 => path.built_from(thing(upper), thing(lower)),
                _ => path.set_up_by(thing(upper), thing(lower)),
            }
        }
        Ok(())
    }
}

/// What is wrong with whom: its place among all is its name in a report.
type Told = (usize, &'static str, &'static str);

#[derive(Clone, Debug, Default)]
struct Broken(Vec<Told>);

fn tell(out: &mut Findings, (nth, how, name): Told) {
    let (thing, message) = (thing(name), nth.to_string());
    match how {
        "hearsay" => out.fail(thing, message).hearsay(),
        "manner" => out.fail(thing, message).manner(),
        "serving" => out.fail(thing, message).serving(),
        "symptom" => out.symptom(thing, message),
        "unbuilt" => out.unbuilt(thing, message),
        _ => out.fail(thing, message),
    };
}

check! {
    /// Says the half of it.
    struct Even;
    id: "test-even",
    title: "Nothing is told",
}

#[async_trait]
impl Check for Even {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let told = cx.setting::<Broken>();
        told.0.iter().filter(|told| told.0 % 2 == 0).for_each(|told| tell(out, *told));
        Ok(())
    }
}

check! {
    /// Says the other half.
    struct Odd;
    id: "test-odd",
    title: "Nothing is told",
}

#[async_trait]
impl Check for Odd {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let told = cx.setting::<Broken>();
        told.0.iter().filter(|told| told.0 % 2 == 1).for_each(|told| tell(out, *told));
        Ok(())
    }
}

fn report(drawn: &Drawn, broken: &[Told], checks: &[&'static dyn Check]) -> Report {
    let world = World::live().path(&[&Deployment]);
    let world = world.setting(drawn.clone()).setting(Broken(broken.to_vec()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(Runner::default().run(&world, checks))
}

/// A root cause, what it explains, and what it takes down.
type Root = (String, BTreeSet<String>, BTreeSet<String>);

fn roots(report: &Report) -> BTreeSet<Root> {
    let causes = causes(report);
    let root = |cause: &kfcheck::Cause<'_>| {
        let explains = cause.explains.iter().map(|(_, finding)| finding.message.clone());
        let down = cause.takes_down.iter().map(|entrance| entrance.name.clone());
        (cause.finding.message.clone(), explains.collect(), down.collect())
    };
    causes.iter().map(root).collect()
}

/// Whether the first of two findings explains the second, where there are no others.
fn explains(drawn: &Drawn, first: Told, second: Told) -> bool {
    let report = report(drawn, &[first, second], &[&Even, &Odd]);
    let found = roots(&report);
    let of_first = |root: &&Root| root.0 == first.0.to_string();
    found.iter().find(of_first).is_some_and(|root| root.1.contains(&second.0.to_string()))
}

fn deployments() -> impl Strategy<Value = (Drawn, Vec<Told>, Vec<Told>)> {
    let edges = vec((select(NAMES), select(NAMES), 0u8..3), 0..10);
    let broken = vec((select(SAYS), select(NAMES)), 1..6);
    (edges, broken).prop_flat_map(|(edges, broken)| {
        let told = broken.into_iter().enumerate().map(|(nth, (how, name))| (nth, how, name));
        let told: Vec<_> = told.collect();
        let shuffled = Just(told.clone()).prop_shuffle();
        (Just(Drawn(edges)), Just(told), shuffled)
    })
}

proptest! {
    #[test]
    fn what_fails_is_a_root_cause_or_explained_by_one_and_never_both((drawn, told, _) in deployments()) {
        let found = roots(&report(&drawn, &told, &[&Even, &Odd]));
        let are: BTreeSet<_> = found.iter().map(|root| &root.0).collect();
        let explained: BTreeSet<_> = found.iter().flat_map(|root| &root.1).collect();
        prop_assert!(are.is_disjoint(&explained), "{found:?}");
        prop_assert_eq!(are.len() + explained.len(), told.len(), "{:?}", found);
    }

    #[test]
    fn the_order_of_checks_and_findings_does_not_matter((drawn, told, shuffled) in deployments()) {
        let one = roots(&report(&drawn, &told, &[&Even, &Odd]));
        let other = roots(&report(&drawn, &shuffled, &[&Odd, &Even]));
        prop_assert_eq!(one, other);
    }

    #[test]
    fn explaining_is_a_strict_order_and_root_causes_are_where_it_begins((drawn, told, _) in deployments()) {
        let all = || 0..told.len();
        let explains = |a: usize, b: usize| a != b && explains(&drawn, told[a], told[b]);
        let order: Vec<Vec<bool>> = all().map(|a| all().map(|b| explains(a, b)).collect()).collect();
        for a in all() {
            for b in all() {
                prop_assert!(!(order[a][b] && order[b][a]), "{a} and {b} explain each other");
                for c in all() {
                    let broken = order[a][b] && order[b][c] && !order[a][c];
                    prop_assert!(!broken, "{a} explains {b}, that {c}, and {a} not {c}");
                }
            }
        }
        let begins = all().filter(|&b| !all().any(|a| order[a][b])).map(|b| b.to_string());
        let found = roots(&report(&drawn, &told, &[&Even, &Odd]));
        let are: BTreeSet<_> = found.into_iter().map(|root| root.0).collect();
        prop_assert_eq!(begins.collect::<BTreeSet<_>>(), are);
    }

    #[test]
    fn a_symptom_that_nobody_reports_changes_no_root_cause((drawn, told, _) in deployments()) {
        let found = roots(&report(&drawn, &told, &[&Even, &Odd]));
        let is_root = |told: &Told| found.iter().any(|root| root.0 == told.0.to_string());
        let only: Vec<_> = told.iter().copied().filter(is_root).collect();
        let names = |roots: BTreeSet<Root>| roots.into_iter().map(|root| (root.0, root.2)).collect::<BTreeSet<_>>();
        let left = names(roots(&report(&drawn, &only, &[&Even, &Odd])));
        prop_assert_eq!(left, names(found));
    }
}
