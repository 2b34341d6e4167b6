//! Which finding explains which.

use kfcheck::{
    Check, Cx, FactError, Findings, Path, Resource, Runner, Stretch, World, async_trait, causes,
    check,
};

fn thing(name: &str) -> Resource {
    let provider = if name == "host" { "dns" } else { "test" };
    let kind = if name == "host" { "Host" } else { "Thing" };
    Resource { provider, kind, namespace: None, name: name.to_owned() }
}

/// host → balancer → health check; the balancer is built from a declaration, and serves by pods. The host
/// asks a sign-in.
struct Deployment;

#[async_trait]
impl Stretch for Deployment {
    async fn draw(&self, _: &Cx, path: &mut Path) -> Result<(), FactError> {
        path.needs(thing("host"), thing("balancer"));
        path.needs(thing("balancer"), thing("health check"));
        path.needs(thing("balancer"), thing("pods"));
        path.built_from(thing("balancer"), thing("declaration"));
        path.asks(thing("host"), thing("sign-in"));
        Ok(())
    }
}

#[derive(Clone, Debug, Default)]
struct Broken(Vec<(&'static str, &'static str)>);

check! {
    /// Says what it is told to.
    struct Told;
    id: "test-told",
    title: "Nothing is told",
}

#[async_trait]
impl Check for Told {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        for (how, name) in &cx.setting::<Broken>().0 {
            match *how {
                "fail" => out.fail(thing(name), "is wrong"),
                "fail manner" => out.fail(thing(name), "is rude").manner(),
                "fail serving" => out.fail(thing(name), "is deaf").serving(),
                "symptom" => out.symptom(thing(name), "does not answer"),
                _ => out.unbuilt(thing(name), "is not there"),
            };
        }
        Ok(())
    }
}

/// The root causes, each with what it explains and whether the host is down.
async fn roots(broken: &[(&'static str, &'static str)]) -> Vec<String> {
    let world = World::live().path(&[&Deployment]).setting(Broken(broken.to_vec()));
    let report = Runner::default().run(&world, &[&Told]).await;
    let causes = causes(&report);
    let line = |cause: &kfcheck::Cause<'_>| {
        let explained: Vec<_> = cause.explains.iter().map(|(_, f)| &*f.resource.name).collect();
        let down = if cause.takes_down.is_empty() { "up" } else { "down" };
        format!("{} explains [{}], {down}", cause.finding.resource.name, explained.join(", "))
    };
    causes.iter().map(line).collect()
}

#[tokio::test]
async fn what_is_below_explains_what_does_not_answer_above() {
    let roots = roots(&[("symptom", "host"), ("symptom", "balancer"), ("fail", "health check")]);
    assert_eq!(roots.await, ["health check explains [balancer, host], down"]);
}

#[tokio::test]
async fn a_balancer_that_is_set_up_wrong_is_no_symptom_of_its_health_check() {
    let roots = roots(&[("symptom", "balancer"), ("fail", "balancer"), ("fail", "health check")]);
    let expected = ["balancer explains [balancer], down", "health check explains [balancer], down"];
    assert_eq!(roots.await, expected);
}

#[tokio::test]
async fn pods_that_are_not_ready_do_not_keep_a_balancer_from_being_built() {
    let told = [("unbuilt", "balancer"), ("symptom", "pods"), ("fail", "declaration")];
    let expected = ["declaration explains [balancer], down", "pods explains [], down"];
    assert_eq!(roots(&told).await, expected);
    let told = [("unbuilt", "balancer"), ("fail serving", "declaration")];
    let expected = ["declaration explains [], up", "balancer explains [], down"];
    assert_eq!(roots(&told).await.into_iter().rev().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn on_one_side_of_a_resource_what_is_wrong_explains_what_does_not_work() {
    let roots = roots(&[("unbuilt", "balancer"), ("fail", "balancer"), ("symptom", "balancer")]);
    assert_eq!(roots.await, ["balancer explains [balancer, balancer], down"]);
}

#[tokio::test]
async fn what_takes_the_host_down_comes_before_what_does_not() {
    let roots = roots(&[("fail", "shed"), ("fail", "pods")]);
    assert_eq!(roots.await, ["pods explains [], down", "shed explains [], up"]);
}

#[tokio::test]
async fn how_a_balancer_answers_is_not_why_it_does_not() {
    let told = [("symptom", "host"), ("symptom", "balancer"), ("fail manner", "balancer")];
    let expected = ["balancer explains [host], down", "balancer explains [host], down"];
    assert_eq!(roots(&told).await, expected);
}

#[tokio::test]
async fn whom_a_host_asks_before_it_lets_people_in_explains_how_it_answers() {
    let told = [("fail manner", "host"), ("symptom", "sign-in")];
    assert_eq!(roots(&told).await, ["sign-in explains [host], down"]);
    let told = [("symptom", "host"), ("fail", "sign-in")];
    let expected = ["sign-in explains [], down", "host explains [], down"];
    assert_eq!(roots(&told).await, expected);
}
