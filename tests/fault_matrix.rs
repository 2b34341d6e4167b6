//! Every fact of every provider with everything that can go wrong when it is asked for. With
//! `KFCHECK_MATRIX=full`, all of it, which takes a quarter of an hour; else every fact is denied and meets
//! one other trouble in turn. With `KFCHECK_MATRIX_FACT=kube.pods`, that fact alone.

#![allow(clippy::print_stdout, reason = "figures are for whoever runs it")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use kfcheck::{FactMeta, Fault as Reason, Report, Runner, Status, World, async_trait};
use kfcheck_mocks::{
    Api, Fault, FaultProxy,
    Times::{Always, First},
};
use kfcheck_probe::{ArpAnswer, AskArp, Dial, DnsAnswer, Resolve};
use kfcheck_report::{Scope, Style, Tool, json, output, text};
use kfcheck_tests::{Covering, Sky, covering, provider, root};
use serde_json::Value;
use tokio::net::TcpStream;

const VERBOSE: Style = Style { verbose: true, colour: false };
/// How many cells are tried at a time.
const CELLS: usize = 8;
/// The same of those that mostly wait.
const WAITING: usize = 48;
/// No fact takes longer where nobody answers: ten seconds until a way through the cluster is given up,
/// and what the other way takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// No run may take longer, on a busy machine.
const LONGEST: Duration = Duration::from_mins(2);

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    Denied,
    Credentials,
    NotFound,
    SlowDownOnce,
    SlowDown,
    Broken,
    Unavailable,
    Page,
    Truncated,
    WrongShape,
    Huge,
    Hang,
    Reset,
}

use Trouble::{
    Broken, Credentials, Denied, Hang, Huge, NotFound, Page, Reset, SlowDown, SlowDownOnce,
    Truncated, Unavailable, WrongShape,
};

const TROUBLES: usize = QUICK.len() + 2;
/// Those that neither wait nor are large.
const QUICK: [Trouble; 11] = [
    Denied,
    Credentials,
    NotFound,
    SlowDownOnce,
    SlowDown,
    Broken,
    Unavailable,
    Page,
    Truncated,
    WrongShape,
    Reset,
];

impl Trouble {
    /// As the API has it.
    fn fault(self, api: Api) -> Fault {
        let google = |status, reason, message: &str| {
            let message = message.to_owned();
            Fault::Google { status, reason, message }
        };
        let kubernetes =
            |status, reason| Fault::Kubernetes { status, reason, message: reason.to_owned() };
        match (self, api) {
            (Denied, api) => Fault::Denied(api),
            (Credentials, Api::Aws) => Fault::AwsExpiredToken,
            (Credentials, Api::Google) => google(401, "authError", "Invalid Credentials"),
            (Credentials, Api::Kubernetes) => kubernetes(401, "Unauthorized"),
            (NotFound, Api::Google) => google(404, "notFound", "The resource was not found"),
            (NotFound, Api::Kubernetes) => kubernetes(404, "NotFound"),
            (NotFound, Api::Aws) => Fault::Status(404),
            (SlowDown | SlowDownOnce, Api::Aws) => Fault::AwsThrottling,
            (SlowDown | SlowDownOnce, Api::Google) => {
                google(403, "rateLimitExceeded", "Quota exceeded for quota metric")
            }
            (SlowDown | SlowDownOnce, Api::Kubernetes) => Fault::RetryAfter(429, 0),
            (Broken, _) => Fault::Status(500),
            (Unavailable, _) => Fault::Status(503),
            (Page, _) => Fault::Page,
            (Truncated, _) => Fault::Truncate,
            (WrongShape, _) => Fault::WrongShape,
            (Huge, _) => Fault::Huge(50 << 20),
            (Hang, _) => Fault::Hang,
            (Reset, _) => Fault::Reset,
        }
    }
}

/// How a fact is asked for.
#[derive(Clone, Debug)]
enum Way {
    /// By calls that take one of these permissions.
    Calls(Api, Vec<&'static str>),
    /// By calls on this route.
    Route(Api, &'static str),
    Names,
    Connections,
    Arp,
    /// Nobody is asked.
    None,
}

fn way(fact: &FactMeta) -> Way {
    match (fact.name, fact.needs) {
        ("kube.cluster", _) => Way::Route(Api::Kubernetes, "GET /version"),
        ("aws.callerIdentity", _) => Way::Route(Api::Aws, "sts:GetCallerIdentity"),
        ("probe.dns", _) => Way::Names,
        ("probe.http" | "probe.ldap" | "gcp.iapProbe", _) => Way::Connections,
        ("probe.arp", _) => Way::Arp,
        ("bundle.errors" | "gcp.scope" | "aws.scope" | "onprem.scope" | "gcp.callerAddress", _) => {
            Way::None
        }
        (_, needs) if needs[0].contains(':') => Way::Calls(Api::Aws, needs.to_vec()),
        (_, needs) if needs[0].contains(' ') => Way::Calls(Api::Kubernetes, needs.to_vec()),
        (_, needs) => Way::Calls(Api::Google, needs.to_vec()),
    }
}

/// Whether a fact meets a trouble where not all is tried: each meets being denied and one other, and
/// each trouble a twelfth of the facts.
fn is_turn(nth: usize, trouble: Trouble) -> bool {
    let others = TROUBLES - 1;
    trouble == Denied || nth % others + 1 == trouble as usize
}

struct Broke(Trouble);

impl Broke {
    async fn error(&self) -> io::Error {
        match self.0 {
            Hang => std::future::pending().await,
            Reset => io::ErrorKind::ConnectionReset.into(),
            _ => io::Error::other("broken"),
        }
    }
}

#[async_trait]
impl Resolve for Broke {
    async fn resolve(&self, name: &str) -> Vec<DnsAnswer> {
        self.error().await;
        let (name, kind) = (name.to_owned(), "A".to_owned());
        vec![DnsAnswer { name, kind, answers: None, error: Some("SERVFAIL".to_owned()) }]
    }
}

#[async_trait]
impl Dial for Broke {
    async fn dial(&self, _: SocketAddr) -> io::Result<TcpStream> {
        if self.0 == WrongShape {
            // Somebody answers, and it is neither TLS, HTTP nor LDAP.
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
            let address = listener.local_addr()?;
            tokio::spawn(async move {
                if let Ok((mut stream, _)) = listener.accept().await {
                    let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, &[0x37; 4096]).await;
                }
            });
            return TcpStream::connect(address).await;
        }
        Err(self.error().await)
    }
}

#[async_trait]
impl AskArp for Broke {
    async fn ask(&self, _: &str) -> Result<ArpAnswer, Reason> {
        Err(Reason::Unreachable(self.error().await.to_string()))
    }
}

/// A world of a scenario in which a fact meets trouble, with what stands before its APIs.
async fn world(
    sky: &Sky,
    name: &str,
    way: &Way,
    trouble: Trouble,
) -> (World, Vec<kfcheck_mocks::Proxy>) {
    let apis = [
        (Api::Kubernetes, sky.kubernetes.url()),
        (Api::Google, sky.google.url()),
        (Api::Aws, sky.amazon.url()),
    ];
    let mut proxies = Vec::new();
    for (api, url) in apis {
        let proxy = FaultProxy::before(&url);
        let times = if trouble == SlowDownOnce { First(1) } else { Always };
        let proxy = match way {
            Way::Calls(of, needs) if *of == api => {
                proxy.fault_on(api, needs, times, trouble.fault(api))
            }
            Way::Route(of, route) if *of == api => proxy.fault(*route, times, trouble.fault(api)),
            _ => proxy,
        };
        proxies.push(proxy.start().await.unwrap());
    }
    let access = sky.access(&proxies[0].url());
    let world = match name {
        "gcp" => sky.world_of(access, sky.google_access(&proxies[1].url())),
        "aws" => sky.aws_world_of(access, &proxies[2].url()),
        _ => sky.onprem_world_of(access),
    };
    let outside = sky.way_out(Duration::ZERO);
    let outside = match way {
        Way::Names => outside.resolver(Broke(trouble)),
        Way::Connections => outside.dialer(Broke(trouble)),
        Way::Arp => outside.arp(Broke(trouble)),
        _ => outside,
    };
    let world = world.client(Ok(outside));
    (if trouble == Hang { world.patience(PATIENCE) } else { world }, proxies)
}

fn statuses(report: &Report) -> BTreeMap<&'static str, Status> {
    report.results.iter().map(|result| (result.id, result.status)).collect()
}

struct Schema(jsonschema::Validator);

impl Schema {
    fn read() -> Self {
        let file = root().join("crates/kfcheck-report/kfcheck.v1.schema.json");
        let schema: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        Self(jsonschema::validator_for(&schema).unwrap())
    }

    fn complaint(&self, report: &Report, provider: &str) -> Option<String> {
        let tool = Tool { name: "kubectl-kfcheck", version: "0.0.0" };
        let written = json(&output(report, tool, provider, &Scope::default(), 1)).unwrap();
        let value: Value = serde_json::from_str(&written).unwrap();
        self.0.iter_errors(&value).next().map(|error| error.to_string())
    }
}

/// What was seen of a fact where nothing is wrong, and where it is denied.
struct Known {
    plain: Report,
    denied: Report,
}

impl Known {
    /// Whether the fact only adds to what is said where there is something to say.
    fn is_extra(&self) -> bool {
        let others = |report: &Report| {
            let mut all = statuses(report);
            // It is about how the API server answers, whatever it is asked for.
            all.remove("kube-api-access");
            all
        };
        let unseen = |report: &Report| report.unseen().len();
        others(&self.denied) == others(&self.plain) && unseen(&self.denied) == unseen(&self.plain)
    }
}

/// What is wrong with a report, given trouble with a fact.
fn complaint(
    report: &Report,
    known: &Known,
    fact: &FactMeta,
    way: &Way,
    trouble: Trouble,
) -> Option<String> {
    let (plain, denied) = (statuses(&known.plain), statuses(&known.denied));
    let by_call = matches!(way, Way::Calls(..) | Way::Route(..));
    // What has become a stream has no body to be cut off.
    let is_stream = fact.needs.iter().any(|need| need.starts_with("create pods/"));
    let by_call = by_call && !(is_stream && trouble == Truncated);
    if report.count(Status::Bug) > known.plain.count(Status::Bug) {
        let bug = report.results.iter().find(|result| result.status == Status::Bug)?;
        return Some(format!("{} has a bug: {:?}", bug.id, bug.reason()));
    }
    if trouble == SlowDownOnce {
        let (was, is) = (text(&known.plain, VERBOSE), text(report, VERBOSE));
        return (by_call && was != is).then(|| "what passes changes the report".to_owned());
    }
    for (id, status) in statuses(report) {
        if status == Status::Pass && plain[id] != Status::Pass {
            return Some(format!("{id} passes, and did not before"));
        }
        if !by_call || trouble == NotFound {
            continue;
        }
        // It is about how the API server answers, whatever it is asked for.
        if id == "kube-api-access" {
            continue;
        }
        // Credentials that nobody takes are a finding themselves.
        let may_fail = trouble == Credentials || denied[id] == Status::Fail;
        if status == Status::Fail && plain[id] != Status::Fail && !may_fail {
            return Some(format!("{id} fails, and did not before"));
        }
        if status == Status::Pass && denied[id] != Status::Pass {
            return Some(format!("{id} needs it and passes"));
        }
        if denied[id] == plain[id] && status != plain[id] {
            let result = report.results.iter().find(|result| result.id == id)?;
            let why = result.reason().unwrap_or_default();
            return Some(format!("{id} was {:?} and is {status:?} ({why})", plain[id]));
        }
    }
    if !by_call || trouble == NotFound || known.is_extra() {
        return None;
    }
    if report.is_complete() && report.count(Status::Fail) == known.plain.count(Status::Fail) {
        return Some("nothing says that something was not seen".to_owned());
    }
    let words: String = text(report, VERBOSE).split_whitespace().collect::<Vec<_>>().join(" ");
    let is_named = fact.needs.iter().any(|need| {
        let of = need.trim_start_matches("list *").trim_start_matches("list ");
        words.contains(of)
    });
    (trouble == Denied && matches!(way, Way::Calls(..)) && !is_named)
        .then(|| "the permission is not named".to_owned())
}

async fn run(sky: &Sky, name: &str, way: &Way, trouble: Trouble) -> Result<Report, String> {
    let (world, proxies) = world(sky, name, way, trouble).await;
    let checks = provider(name).checks;
    let runner = Runner::default();
    let running = tokio::time::timeout(LONGEST, runner.run(&world, &checks));
    let report = running.await.map_err(|_| format!("it did not end within {LONGEST:?}"));
    drop(proxies);
    report
}

/// Tries one scenario's share; what is wrong, by fact and trouble.
async fn share(of: &Covering, name: &'static str, schema: &Schema) -> (usize, usize, Vec<String>) {
    let sky = Arc::new(of.sky().await);
    let plain = run(&sky, name, &Way::None, Denied).await.unwrap();
    let again = stream::iter(0..3).map(async |_| run(&sky, name, &Way::None, Denied).await);
    let again: Vec<_> = again.buffer_unordered(CELLS).collect().await;
    for report in again {
        let (was, is) = (text(&plain, VERBOSE), text(&report.unwrap(), VERBOSE));
        let line = was.lines().zip(is.lines()).find(|(was, is)| was != is);
        assert!(was == is, "{} is not the same each time: {line:?}", of.name());
    }
    let (mut cells, mut extras, mut wrong) = (0, 0, Vec::new());
    let mut known = BTreeMap::new();
    let facts: Vec<_> = of.facts.iter().map(|fact| (*fact, way(fact))).collect();
    let only = std::env::var("KFCHECK_MATRIX_FACT").ok();
    let is_meant = |fact: &str| only.as_deref().is_none_or(|only| only == fact);
    let asked = facts.iter().filter(|(_, way)| !matches!(way, Way::None));
    let asked: Vec<_> = asked.filter(|(fact, _)| is_meant(fact.name)).collect();
    let denials = stream::iter(&asked)
        .map(async |(fact, way)| (fact.name, run(&sky, name, way, Denied).await));
    let denials: Vec<_> = denials.buffer_unordered(CELLS).collect().await;
    for (fact, denied) in denials {
        match denied {
            Ok(denied) => {
                let known_of = Known { plain: plain.clone(), denied };
                extras += usize::from(known_of.is_extra());
                known.insert(fact, known_of);
            }
            Err(error) => wrong.push(format!("{fact} × Denied: {error}")),
        }
    }
    let full = only.is_some() || std::env::var("KFCHECK_MATRIX").is_ok_and(|how| how == "full");
    // What waits does so beside others that wait, and what is large keeps everything else waiting.
    for (at_a_time, troubles) in [(WAITING, &[Hang][..]), (CELLS, &QUICK), (1, &[Huge])] {
        let start = Instant::now();
        let all = asked.iter().enumerate().flat_map(|(nth, one)| {
            let meant = troubles.iter().filter(move |trouble| full || is_turn(nth, **trouble));
            meant.map(|trouble| (*one, *trouble))
        });
        let tried = stream::iter(all.collect::<Vec<_>>()).map(async |((fact, way), trouble)| {
            let known = known.get(fact.name)?;
            let report = match trouble {
                Denied => Ok(known.denied.clone()),
                _ => run(&sky, name, way, trouble).await,
            };
            let says = match report {
                Err(error) => Some(error),
                Ok(report) => complaint(&report, known, fact, way, trouble)
                    .or_else(|| schema.complaint(&report, name)),
            };
            Some((*fact, way, trouble, says))
        });
        let tried: Vec<_> = tried.buffer_unordered(at_a_time).collect().await;
        for (fact, way, trouble, says) in tried.into_iter().flatten() {
            cells += 1;
            let Some(says) = says else { continue };
            // Beside many others, a probe may time out, which is not about the fact.
            let alone = run(&sky, name, way, Denied).await;
            let alone = (alone, run(&sky, name, way, trouble).await);
            let says = match alone {
                (Ok(denied), Ok(report)) => {
                    let known = Known { plain: plain.clone(), denied };
                    complaint(&report, &known, &fact, way, trouble)
                        .or_else(|| schema.complaint(&report, name))
                }
                _ => Some(says),
            };
            let cell = format!("{} × {trouble:?} in {}", fact.name, of.name());
            wrong.extend(says.map(|says| format!("{cell}: {says}")));
        }
        println!("{}: {} troubles in {:.1?}", of.name(), troubles.len(), start.elapsed());
    }
    wrong.sort();
    (cells, extras, wrong)
}

async fn matrix(name: &'static str) {
    let start = Instant::now();
    let schema = Schema::read();
    let all = covering(name).await;
    let (mut cells, mut extras, mut wrong, mut facts) = (0, 0, Vec::new(), 0);
    for of in &all {
        let (some, extra, complaints) = share(of, name, &schema).await;
        facts += of.facts.len();
        cells += some;
        extras += extra;
        wrong.extend(complaints);
    }
    let says = format!(
        "fault matrix, {name}: {facts} facts in {} scenarios, {TROUBLES} troubles: {cells} cells, {} wrong; \
         {extras} facts only add to findings; {:.0?}",
        all.len(),
        wrong.len(),
        start.elapsed(),
    );
    println!("{says}");
    assert!(wrong.is_empty(), "{says}\n{}", wrong.join("\n"));
    let known: Vec<_> = all.iter().flat_map(|of| &of.facts).map(|fact| fact.name).collect();
    let all = provider(name).facts;
    let untried: Vec<_> = all.iter().map(|f| f.name).filter(|fact| !known.contains(fact)).collect();
    println!("asked for in no scenario of {name}: {untried:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_trouble_with_google_makes_a_check_pass_or_hides_another() {
    matrix("gcp").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_trouble_with_aws_makes_a_check_pass_or_hides_another() {
    matrix("aws").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_trouble_on_premises_makes_a_check_pass_or_hides_another() {
    matrix("onprem").await;
}
