//! What goes wrong on the way to the world: what passes changes nothing, what lasts is named.

use std::time::Duration;

use kfcheck::{Report, Runner, Status};
use kfcheck_gcp::GoogleAccess;
use kfcheck_kube::Access;
use kfcheck_mocks::{
    Fault::{self, Google, Hang, Kubernetes, Malformed, Reset, RetryAfter, Truncate},
    FaultProxy,
    Times::{self, Always, Every, First},
};
use kfcheck_report::{Style, Threshold, exit_code, text};
use kfcheck_tests::{Sky, gcp, root};

const PLAIN: Style = Style { verbose: false, colour: false };

type Faults = Vec<(&'static str, Times, Fault)>;

/// A healthy deployment, with faults before the API server and before Google.
struct Trouble {
    shape: &'static str,
    kubernetes: Faults,
    google: Faults,
    access: fn(&mut Access),
    google_access: fn(&mut GoogleAccess),
}

impl Trouble {
    fn none() -> Self {
        let (access, google_access) = (|_: &mut Access| (), |_: &mut GoogleAccess| ());
        Self { shape: "negs", kubernetes: Vec::new(), google: Vec::new(), access, google_access }
    }

    async fn report(self) -> Report {
        let bundle = format!("tests/scenarios/gcp-healthy-{}/bundle", self.shape);
        let sky = Sky::over(&root().join(bundle)).await;
        let before = async |url: &str, faults: Faults| {
            let proxy = FaultProxy::before(url);
            let add = |proxy: FaultProxy, (route, times, fault)| proxy.fault(route, times, fault);
            faults.into_iter().fold(proxy, add).start().await.unwrap()
        };
        let kubernetes = before(&sky.kubernetes.url(), self.kubernetes).await;
        let google = before(&sky.google.url(), self.google).await;
        let mut access = sky.access(&kubernetes.url());
        (self.access)(&mut access);
        let mut google_access = sky.google_access(&google.url());
        (self.google_access)(&mut google_access);
        let world = sky.world_of(access, google_access);
        Runner::default().run(&world, &gcp().checks).await
    }
}

async fn kubernetes(faults: Faults) -> Report {
    Trouble { kubernetes: faults, ..Trouble::none() }.report().await
}

async fn google(faults: Faults) -> Report {
    Trouble { google: faults, ..Trouble::none() }.report().await
}

fn status(report: &Report, id: &str) -> Status {
    report.results.iter().find(|result| result.id == id).unwrap().status
}

/// What the report says in one line, as words may be on two.
fn said(report: &Report) -> String {
    text(report, PLAIN).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn refused(status: u16, reason: &'static str, message: &str) -> Fault {
    Google { status, reason, message: message.to_owned() }
}

fn denied(message: &str) -> Fault {
    Kubernetes { status: 403, reason: "Forbidden", message: message.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_changes_nothing_in_the_report() {
    let expected = text(&Trouble::none().report().await, PLAIN);
    assert!(expected.starts_with("kubeflow.example.com: nothing broken found."), "{expected}");
    let slow = || refused(403, "rateLimitExceeded", "Quota exceeded for quota metric");
    let troubles: [(Faults, Faults); 5] = [
        (vec![("", Every(10), Fault::Status(503))], vec![("", Every(10), Fault::Status(503))]),
        (vec![("", Every(10), RetryAfter(429, 0))], vec![("", Every(10), Fault::Status(429))]),
        (vec![("", Every(10), Reset)], vec![("", Every(10), Reset)]),
        (vec![("", First(1), Truncate)], vec![("", Every(10), slow())]),
        (Vec::new(), vec![("getHealth", First(1), Fault::Status(503))]),
    ];
    for (kubernetes, google) in troubles {
        let shown = format!("{kubernetes:?} {google:?}");
        let report = Trouble { kubernetes, google, ..Trouble::none() }.report().await;
        assert_eq!(text(&report, PLAIN), expected, "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_the_api_server_refuses_are_said_once_with_what_to_do() {
    let fault =
        Kubernetes { status: 401, reason: "Unauthorized", message: "Unauthorized".to_owned() };
    let report = kubernetes(vec![("", Always, fault)]).await;
    let said = said(&report);
    assert!(said.contains("does not take the credentials in use"), "{said}");
    assert!(said.contains("log in again"), "{said}");
    assert_eq!(said.matches("Unauthorized").count(), 2, "{said}");
    assert_eq!(status(&report, "kube-api-access"), Status::Fail);
    assert_eq!(exit_code(&report, Threshold::Fail), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_nobody_reaches_is_named_with_its_address() {
    let trouble = Trouble {
        access: |access| {
            let file = access.kubeconfig.clone().unwrap();
            let text = std::fs::read_to_string(&file).unwrap();
            let start = text.find("http://").unwrap();
            let end = start + text[start..].find('"').unwrap();
            // Port 1 of this machine is closed.
            let text = format!("{}http://127.0.0.1:1{}", &text[..start], &text[end..]);
            std::fs::write(file, text).unwrap();
        },
        ..Trouble::none()
    };
    let report = trouble.report().await;
    let said = said(&report);
    assert!(said.contains("does not answer"), "{said}");
    assert!(said.contains("http://127.0.0.1:1"), "{said}");
    assert_eq!(exit_code(&report, Threshold::Fail), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_kind_that_is_denied_hides_no_other() {
    let report = kubernetes(vec![("/events", Always, denied("events is forbidden"))]).await;
    let said = said(&report);
    assert!(said.contains("denies list events"), "{said}");
    assert!(said.contains("kubectl auth can-i list events"), "{said}");
    assert_eq!(status(&report, "gcp-ingress-sync"), Status::Unknown);
    assert_eq!(status(&report, "kube-service-endpoints"), Status::Pass);
    assert_eq!(status(&report, "gcp-backend-health"), Status::Pass);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_denied_is_not_empty_and_neither_is_it_in_what_is_collected() {
    let sky = Sky::over(&root().join("tests/scenarios/gcp-healthy-negs/bundle")).await;
    let proxy = FaultProxy::before(&sky.kubernetes.url());
    let proxy = proxy.fault("namespaces/istio-system/pods?", Always, denied("forbidden"));
    let proxy = proxy.start().await.unwrap();
    let access = sky.access(&proxy.url());
    let live = sky.world_of(access, sky.google_access(&sky.google.url()));
    let report = Runner::default().run(&live, &gcp().checks).await;
    assert_eq!(status(&report, "kube-workload-ready"), Status::Unknown);
    let again = Runner::default().run(&kfcheck_tests::replay(live.bundle()), &gcp().checks).await;
    assert_eq!(status(&again, "kube-workload-ready"), Status::Unknown);
    assert_eq!(text(&again, PLAIN), text(&report, PLAIN));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_hangs_or_talks_nonsense_ends_in_words_and_no_pass() {
    for fault in [Hang, Malformed, Fault::Status(503), Reset, Truncate] {
        let trouble = Trouble {
            kubernetes: vec![("", Always, fault.clone())],
            access: |access| access.request_timeout = Some(Duration::from_millis(300)),
            ..Trouble::none()
        };
        let report = trouble.report().await;
        assert_eq!(status(&report, "kube-service-endpoints"), Status::Unknown, "{fault:?}");
        // What GKE says of the cluster, it says itself.
        let of_google = ["gcp-gke-cluster", "gcp-gke-operations"];
        let passed = report.results.iter().filter(|result| result.status == Status::Pass);
        let passed: Vec<_> = passed.map(|r| r.id).filter(|id| !of_google.contains(id)).collect();
        assert!(passed.is_empty(), "{fault:?}: {passed:?}");
        assert_eq!(report.count(Status::Bug), 0, "{fault:?}");
        assert_ne!(exit_code(&report, Threshold::Fail), 0, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_google_refuses_for_good_is_named_with_what_to_do() {
    let not_found = "The resource 'projects/ml-prod' was not found";
    for (fault, says) in [
        (refused(401, "authError", "Invalid Credentials"), "gcloud auth application-default login"),
        (refused(404, "notFound", not_found), "name another one with --project"),
        (
            refused(403, "accessNotConfigured", "Compute Engine API has not been used"),
            "gcloud services enable compute.googleapis.com --project ml-prod",
        ),
        (refused(403, "BILLING_DISABLED", "billing is disabled"), "has no billing account"),
        (refused(403, "rateLimitExceeded", "Quota exceeded"), "is asked too often"),
        (Fault::Status(503), "compute.googleapis.com answered 503"),
        (Malformed, "cannot read the answer of compute.googleapis.com"),
        (Reset, "compute.googleapis.com does not answer"),
    ] {
        let report = google(vec![("/compute/", Always, fault.clone())]).await;
        let said = said(&report);
        assert!(said.contains(says), "{fault:?}: {said}");
        // Which of the answers could not be read is said of each.
        let once = matches!(fault, Malformed) || said.matches(says).count() == 1;
        assert!(once, "{fault:?}: {said}");
        assert_eq!(status(&report, "gcp-backend-health"), Status::Unknown, "{fault:?}");
        assert_eq!(status(&report, "kube-service-endpoints"), Status::Pass, "{fault:?}");
        assert_eq!(report.count(Status::Bug), 0, "{fault:?}");
        assert_eq!(exit_code(&report, Threshold::Fail), 3, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_that_google_denies_is_named_and_hides_no_other() {
    let message = "Required 'compute.healthChecks.list' permission for 'projects/ml-prod'";
    let fault = refused(403, "forbidden", message);
    let report = google(vec![("/aggregated/healthChecks", Always, fault)]).await;
    assert!(
        said(&report).contains("permission compute.healthChecks.list denied"),
        "{}",
        said(&report)
    );
    assert_eq!(status(&report, "gcp-backend-health"), Status::Pass);
    assert_eq!(exit_code(&report, Threshold::Fail), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_project_that_may_not_be_read_is_named_with_the_role_that_it_takes() {
    let fault = || refused(403, "forbidden", "Required permission for 'projects/ml-host'");
    let trouble = Trouble {
        shape: "shared-vpc",
        google: vec![("/projects/ml-host/", Always, fault())],
        ..Trouble::none()
    };
    let report = trouble.report().await;
    let said = said(&report);
    assert!(said.contains("compute.firewalls.list on project ml-host"), "{said}");
    assert!(said.contains("roles/compute.networkViewer there grants it"), "{said}");
    assert_ne!(status(&report, "gcp-firewall-webhook"), Status::Pass);
    assert_eq!(status(&report, "gcp-backend-health"), Status::Pass);
    assert_eq!(exit_code(&report, Threshold::Fail), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_stopped_reports_what_it_knows() {
    let sky = Sky::over(&root().join("tests/scenarios/gcp-healthy-negs/bundle")).await;
    let proxy = FaultProxy::before(&sky.google.url()).fault("/backendServices", Always, Hang);
    let proxy = proxy.start().await.unwrap();
    let access = sky.access(&sky.kubernetes.url());
    let world = sky.world_of(access, sky.google_access(&proxy.url()));
    let (quick, others): (Vec<_>, Vec<_>) =
        gcp().checks.into_iter().partition(|check| check.meta().id == "gcp-quota");
    // The quick one is done before the others begin to wait.
    let known = Runner::default().run(&world, &quick).await;
    assert_eq!(status(&known, "gcp-quota"), Status::Pass);
    world.cancel();
    let report = Runner::default().run(&world, &[quick, others].concat()).await;
    assert_eq!(status(&report, "gcp-backend-health"), Status::Unknown);
    assert!(said(&report).contains("cancelled"), "{}", said(&report));
}
