use std::sync::Arc;

use kfcheck::{Check, Cx, FactError, Fault, Findings, Named, Resource, Risk, async_trait, check};
use kfcheck_kube::{
    AuthorizationPolicy, Deployment, EnvoyFilter, FrontServices, Pod, RequestAuthentication,
    StatefulSet, Workload, resource, within,
};

use crate::CognitoSignIns;

check! {
    /// ## What it checks
    /// Where the load balancer signs users in with Cognito, that something in the cluster turns what it
    /// says of a user (header `x-amzn-oidc-data`) into the header that Kubeflow reads: the
    /// `authzadaptor` of Kubeflow 1.0 to 1.2, or a filter, a RequestAuthentication or another proxy in
    /// later ones.
    ///
    /// ## Why it matters
    /// Without it users sign in and arrive without a name: everybody is "anonymous" and sees the same,
    /// or nothing.
    ///
    /// ## How to fix it
    /// Install what your version of Kubeflow has for it. Where its pods are not ready, look at their
    /// log.
    pub struct AuthzAdaptor;
    id: "aws-authz-adaptor",
    title: "Kubeflow learns who signed in at the load balancer",
}

/// Where the gateway is, and what it asks.
const ISTIO: &str = "istio-system";

#[async_trait]
impl Check for AuthzAdaptor {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        if cx.get(CognitoSignIns).await?.is_empty() {
            out.skip("the load balancer doesn't sign users in with Cognito");
            return Ok(());
        }
        let header = match user_header(cx).await? {
            Dashboard::None => {
                out.skip("there is no dashboard to sign in to");
                return Ok(());
            }
            Dashboard::Reads(header) => header,
        };
        let services = cx.get(FrontServices).await?;
        let gateways: Vec<_> = services.iter().map(|service| service.resource()).collect();
        let deployments = cx.get(within::<Deployment>(ISTIO)).await?;
        if let Some(adaptor) = deployments.iter().find(|d| is_adaptor(d)) {
            if adaptor.status.ready_replicas > 0 {
                out.ok(&**adaptor);
                return Ok(());
            }
            for gateway in &gateways {
                out.set_up_by(gateway, &**adaptor);
            }
            out.symptom(&**adaptor, "has no pod that is ready, so users arrive without a name")
                .fix(
                    Risk::None,
                    "shows what it says",
                    format!("kubectl logs -n {ISTIO} deployment/{}", adaptor.metadata.name),
                );
            return Ok(());
        }
        // It reads what the load balancer itself says.
        if header.as_deref().is_some_and(|h| h.to_lowercase().starts_with("x-amzn-oidc")) {
            for gateway in gateways {
                out.ok(gateway);
            }
            return Ok(());
        }
        let is_old = is_old(&deployments);
        if others(cx, &deployments, is_old).await? {
            for gateway in gateways {
                out.ok(gateway);
            }
            return Ok(());
        }
        let reads = header.unwrap_or_else(|| "none that it is told".to_owned());
        let show =
            format!("kubectl get deployments,envoyfilters,requestauthentications -n {ISTIO}");
        if is_old {
            let adaptor = resource("Deployment", Some(ISTIO), "authzadaptor");
            for gateway in &gateways {
                out.set_up_by(gateway, &adaptor);
            }
            let message = "does not exist, so users who signed in arrive without a name";
            absent(out, &adaptor, message, &reads).fix(
                Risk::None,
                "shows what is there; aws/aws-istio-authz-adaptor of Kubeflow's manifests has it",
                format!("kubectl get deployments,envoyfilters -n {ISTIO}"),
            );
            return Ok(());
        }
        for gateway in &gateways {
            let message = "tells Kubeflow of no user, though the load balancer signs them in";
            absent(out, gateway, message, &reads).manner().fix(
                Risk::None,
                "shows what is there; a filter is to turn the one header into the other",
                show.clone(),
            );
        }
        Ok(())
    }
}

fn absent<'a>(
    out: &'a mut Findings,
    subject: &Resource,
    message: &str,
    reads: &str,
) -> &'a mut kfcheck::Finding {
    let finding = out.fail(subject, message);
    finding.evidence("given", "x-amzn-oidc-data, by the load balancer");
    finding.evidence("read", format!("{reads}, by the dashboard"));
    finding
}

/// What shows users their dashboard.
enum Dashboard {
    None,
    /// The header that it is told to read.
    Reads(Option<String>),
}

async fn user_header(cx: &Cx) -> Result<Dashboard, FactError> {
    let pods = cx.get(within::<Pod>("kubeflow")).await?;
    let is_dashboard = |pod: &&Arc<Pod>| {
        let labels = &pod.metadata.labels;
        labels.values().any(|value| value == "centraldashboard") && !pod.is_over()
    };
    let mut found = pods.iter().filter(is_dashboard).peekable();
    if found.peek().is_none() {
        return Ok(Dashboard::None);
    }
    let mut told =
        found.flat_map(|pod| &pod.spec.containers).filter_map(|c| c.told("USERID_HEADER"));
    Ok(Dashboard::Reads(told.next().map(str::to_owned)))
}

fn is_adaptor(deployment: &Deployment) -> bool {
    let lean = |name: &str| name.replace('-', "").contains("authzadaptor");
    lean(&deployment.metadata.name)
        || deployment.spec.template.metadata.labels.values().any(|label| lean(label))
}

/// Whether it is an Istio that asks adaptors.
fn is_old(deployments: &[Arc<Deployment>]) -> bool {
    let has = |name: &str| deployments.iter().any(|d| d.metadata.name.starts_with(name));
    (has("istio-pilot") || has("istio-policy")) && !has("istiod")
}

/// Whether something else may turn one header into the other.
async fn others(cx: &Cx, deployments: &[Arc<Deployment>], is_old: bool) -> Result<bool, FactError> {
    let knows = |workload: &Workload| {
        let name = &workload.metadata.name;
        // AWS's own only signs users out.
        let proxies = ["authservice", "oauth2-proxy", "oidc", "gatekeeper", "authz", "ext-auth"];
        name != "aws-authservice" && proxies.iter().any(|proxy| name.contains(proxy))
    };
    if deployments.iter().any(|deployment| knows(deployment)) {
        return Ok(true);
    }
    let filters = seen(cx.get(within::<EnvoyFilter>(ISTIO)).await, is_old)?;
    if filters.is_some_and(|filters| filters.iter().any(|filter| filter.spec.is_of_users())) {
        return Ok(true);
    }
    let sets = seen(cx.get(within::<StatefulSet>(ISTIO)).await, is_old)?;
    if sets.is_some_and(|sets| sets.iter().any(|set| knows(set))) {
        return Ok(true);
    }
    let proxies = seen(cx.get(within::<Deployment>("oauth2-proxy")).await, is_old)?;
    if proxies.is_some_and(|proxies| !proxies.is_empty()) {
        return Ok(true);
    }
    let policies = seen(cx.get(within::<AuthorizationPolicy>(ISTIO)).await, is_old)?;
    if policies.is_some_and(|all| all.iter().any(|policy| policy.spec.action == "CUSTOM")) {
        return Ok(true);
    }
    let rules = seen(cx.get(within::<RequestAuthentication>(ISTIO)).await, is_old)?;
    let rules = rules.iter().flat_map(|rules| rules.iter());
    let mut issuers = rules.flat_map(|rule| &rule.spec.jwt_rules).map(|rule| &rule.issuer);
    // One for tokens of the cluster's own service accounts says nothing of users.
    Ok(issuers.any(|issuer| !issuer.contains("kubernetes") && !issuer.contains("oidc.eks.")))
}

/// The answer, or nothing where there is no such kind, or where an old installation has none.
fn seen<T>(answer: Result<T, FactError>, is_old: bool) -> Result<Option<T>, FactError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if matches!(error.fault, Fault::Absent(_)) => Ok(None),
        Err(error) if is_old && matches!(error.fault, Fault::NotCollected { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::AuthzAdaptor;
    use crate::testing::Deployment;

    /// A dashboard that reads this header, behind an Istio with this control plane.
    fn with(header: &str, control_plane: &str) -> Deployment {
        let mut deployment = Deployment::healthy();
        deployment.add(json!({ "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": "kubeflow", "name": "centraldashboard-0",
                "labels": { "app": "centraldashboard" } },
            "spec": { "containers": [{ "name": "centraldashboard",
                "env": [{ "name": "USERID_HEADER", "value": header }] }] } }));
        deployment.add(workload(control_plane, 1));
        deployment
    }

    fn workload(name: &str, ready: u32) -> Value {
        json!({ "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "namespace": "istio-system", "name": name },
            "status": { "readyReplicas": ready } })
    }

    fn filter(code: &str) -> Value {
        json!({ "items": [{ "apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter",
            "metadata": { "namespace": "istio-system", "name": "a" },
            "spec": { "configPatches": [{ "patch": { "value": code } }] } }] })
    }

    #[tokio::test]
    async fn an_old_istio_needs_the_adaptor() {
        let mut deployment = with("kubeflow-userid", "istio-pilot");
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-authz-adaptor
              Deployment istio-system/authzadaptor does not exist, so users who signed in
                arrive without a name
                given     x-amzn-oidc-data, by the load balancer
                read      kubeflow-userid, by the dashboard
                fix       shows what is there; aws/aws-istio-authz-adaptor of Kubeflow's
                          manifests has it
                          kubectl get deployments,envoyfilters -n istio-system
              kubectl kfcheck explain aws-authz-adaptor

            FAIL     aws-authz-adaptor
                     Kubeflow learns who signed in at the load balancer
        "#]]
        .assert_eq(&deployment.report(&AuthzAdaptor).await);
        deployment.add(workload("authzadaptor", 1));
        let report = deployment.report(&AuthzAdaptor).await;
        assert!(report.contains("pass     aws-authz-adaptor"), "{report}");
    }

    #[tokio::test]
    async fn an_adaptor_that_is_not_ready_tells_nobody() {
        let mut deployment = with("kubeflow-userid", "istio-pilot");
        deployment.add(workload("authzadaptor", 0));
        expect![[r#"
            kf.example.com: nothing broken on the way; something beside it is. 1 root cause,
            0 symptoms; 0 checks passed, 0 not seen.

            BROKEN  aws-authz-adaptor
              Deployment istio-system/authzadaptor has no pod that is ready, so users arrive
                without a name
                fix       shows what it says
                          kubectl logs -n istio-system deployment/authzadaptor
              kubectl kfcheck explain aws-authz-adaptor

            FAIL     aws-authz-adaptor
                     Kubeflow learns who signed in at the load balancer
        "#]]
        .assert_eq(&deployment.report(&AuthzAdaptor).await);
    }

    #[tokio::test]
    async fn a_new_istio_needs_a_filter() {
        let mut deployment = with("kubeflow-userid", "istiod");
        for kind in [
            "authorizationpolicies.security.istio.io",
            "requestauthentications.security.istio.io",
            "statefulsets.apps",
        ] {
            *deployment.file(&format!("kubernetes/{kind}")) = json!({ "items": [] });
        }
        let filters = "kubernetes/envoyfilters.networking.istio.io";
        *deployment.file(filters) = filter("istio.stats");
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-authz-adaptor
              Service istio-system/istio-ingressgateway tells Kubeflow of no user, though
                the load balancer signs them in
                given     x-amzn-oidc-data, by the load balancer
                read      kubeflow-userid, by the dashboard
                fix       shows what is there; a filter is to turn the one header into the
                          other
                          kubectl get deployments,envoyfilters,requestauthentications \
                            -n istio-system
              kubectl kfcheck explain aws-authz-adaptor

            FAIL     aws-authz-adaptor
                     Kubeflow learns who signed in at the load balancer
        "#]]
        .assert_eq(&deployment.report(&AuthzAdaptor).await);
        *deployment.file(filters) = filter("get('x-amzn-oidc-data')");
        let report = deployment.report(&AuthzAdaptor).await;
        assert!(report.contains("pass     aws-authz-adaptor"), "{report}");
    }

    #[tokio::test]
    async fn a_filter_may_be_where_it_was_not_looked_for() {
        let report = with("kubeflow-userid", "istiod").report(&AuthzAdaptor).await;
        assert!(report.contains("unknown  aws-authz-adaptor"), "{report}");
    }

    #[tokio::test]
    async fn a_dashboard_may_read_what_the_load_balancer_says() {
        let report = with("x-amzn-oidc-identity", "istiod").report(&AuthzAdaptor).await;
        assert!(report.contains("pass     aws-authz-adaptor"), "{report}");
    }

    #[tokio::test]
    async fn without_cognito_there_is_nothing_to_turn() {
        let report = Deployment::classic().report(&AuthzAdaptor).await;
        assert!(report.contains("skip     aws-authz-adaptor"), "{report}");
    }
}
