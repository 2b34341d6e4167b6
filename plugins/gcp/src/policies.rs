//! The policies of Google's that hang at Services behind a Gateway.

use std::sync::Arc;

use kfcheck::{Cx, FactError, Fault, Findings, Named, Path, Risk, Stretch, async_trait};
use kfcheck_kube::{FrontServices, Object, Secret, Service, find, resource, within};

use crate::{
    BackendHealth, BackendInUse, BackendPolicy, BackendsInUse, GroupHealth, Health,
    HealthCheckPolicy, HealthChecks, Policy, backends::pods_of, entrances::is_behind_gateways,
    health::examine, sign_in::IapExpected,
};

/// The policies of a kind in the namespace of a Service; none where there is no such kind.
pub(crate) async fn policies<P: Object>(
    cx: &Cx,
    service: &Service,
) -> Result<Vec<Arc<P>>, FactError> {
    match cx.get(within::<P>(service.metadata.namespace())).await {
        Ok(all) => Ok(all.to_vec()),
        Err(FactError { fault: Fault::Absent(_), .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Those of a kind that are for a Service. Without a Gateway before it they have no effect.
pub(crate) async fn policies_for<P: Object + Policy>(
    cx: &Cx,
    service: &Service,
) -> Result<Vec<Arc<P>>, FactError> {
    if !is_behind_gateways(cx, service).await? {
        return Ok(Vec::new());
    }
    let mut all = policies::<P>(cx, service).await?;
    all.retain(|policy| policy.is_for(service));
    Ok(all)
}

/// Backend service → GCPBackendPolicy → the OAuth client's Secret, health check →
/// HealthCheckPolicy.
pub(crate) struct Policies;

#[async_trait]
impl Stretch for Policies {
    async fn draw(&self, cx: &Cx, path: &mut Path) -> Result<(), FactError> {
        for BackendInUse { backend, service, .. } in cx.get(BackendsInUse).await?.iter() {
            for policy in policies_for::<BackendPolicy>(cx, service).await? {
                path.set_up_by(backend, &*policy);
                if let Some(secret) = policy.iap().and_then(|iap| iap.secret.as_ref()) {
                    let namespace = Some(service.metadata.namespace());
                    path.built_from(&*policy, resource("Secret", namespace, &secret.name));
                }
            }
            let policies = policies_for::<HealthCheckPolicy>(cx, service).await?;
            if policies.is_empty() {
                continue;
            }
            let checks = cx.get(HealthChecks).await?;
            let on = |name: &str| backend.health_checks.iter().any(|link| link.name() == name);
            for check in checks.iter().filter(|check| on(&check.name)) {
                for policy in &policies {
                    path.built_from(check, &**policy);
                }
            }
        }
        Ok(())
    }
}

/// Says of every policy for a Service behind a Gateway whether it took effect, and of every health
/// check that one asks for whether the pods serve it.
pub(crate) async fn examine_policies(cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
    for service in cx.get(FrontServices).await?.iter() {
        if !is_behind_gateways(cx, service).await? {
            continue;
        }
        let used = cx.get(BackendsInUse).await?;
        let used = used.iter().filter(|used| used.service.resource() == service.resource());
        let (mut open, mut unhealthy) = (false, false);
        for used in used {
            open |= !used.backend.iap.as_ref().is_some_and(|iap| iap.enabled);
            unhealthy |= !is_healthy(cx, used).await;
        }
        let all = policies::<BackendPolicy>(cx, service).await;
        if let Some(all) = out.known(&**service, all) {
            examine_attached(service, &all, |policy| open && policy.iap().is_some(), out);
            examine_astray(cx, service, &all, out).await;
        }
        let all = policies::<HealthCheckPolicy>(cx, service).await;
        if let Some(all) = out.known(&**service, all) {
            examine_attached(service, &all, |_| unhealthy, out);
            for policy in in_effect(service, &all) {
                examine_health_check(cx, policy, out).await?;
            }
        }
    }
    Ok(())
}

/// Those for a Service that the controller has not refused.
fn in_effect<'a, P: Policy>(
    service: &'a Service,
    all: &'a [Arc<P>],
) -> impl Iterator<Item = &'a Arc<P>> {
    all.iter().filter(|policy| policy.is_for(service) && policy.status().refused().is_none())
}

/// Says whether the policies for a Service took effect. One that did not is wrong only where it is
/// missed, and no other one of the sort is in its place: the oldest counts.
fn examine_attached<P: Object + Policy>(
    service: &Service,
    all: &[Arc<P>],
    is_missed: impl Fn(&P) -> bool,
    out: &mut Findings,
) {
    let is_done = in_effect(service, all).next().is_some();
    for policy in all.iter().filter(|policy| policy.is_for(service)) {
        let Some(refused) = policy.status().refused() else {
            // What it asks of the pods is looked at next.
            if P::KIND != HealthCheckPolicy::KIND {
                out.ok(&**policy);
            }
            continue;
        };
        let message = format!("is not attached to Service {}", service.metadata.name);
        let finding = if is_missed(policy) && !is_done {
            out.fail(&**policy, message)
        } else {
            out.warn(&**policy, message)
        };
        finding.evidence("because", refused.says()).fix(
            Risk::None,
            "shows what the controller says",
            command("describe", &**policy),
        );
    }
}

/// Finds a policy that asks for the sign-in that a Service lacks, for a Service that isn't there.
async fn examine_astray(
    cx: &Cx,
    service: &Service,
    all: &[Arc<BackendPolicy>],
    out: &mut Findings,
) {
    // Who can't be asked is asked by the check of the sign-in.
    let Ok(Some((used, _))) = without_sign_in(cx, service).await else { return };
    if all.iter().any(|policy| policy.is_for(service)) {
        return;
    }
    for policy in all.iter().filter(|policy| policy.iap().is_some()) {
        let target = &policy.spec.target_ref.name;
        let there = find::<Service>(cx, service.metadata.namespace(), target).await;
        if !matches!(there, Ok(None)) {
            continue;
        }
        out.set_up_by(&used.backend, &**policy);
        let name = &service.metadata.name;
        out.fail(&**policy, format!("is for Service {target}, which does not exist"))
            .evidence("without it", format!("Service {name} has Identity-Aware Proxy off"))
            .fix(Risk::None, "attaches it to the Service at the Gateway", retarget(policy, name));
    }
}

/// The backend service of a Service that has no sign-in where something counts on it, and what
/// does.
async fn without_sign_in(
    cx: &Cx,
    service: &Service,
) -> Result<Option<(BackendInUse, String)>, FactError> {
    let Some(because) = (*cx.get(IapExpected::of(service)).await?).clone() else {
        return Ok(None);
    };
    let used = cx.get(BackendsInUse).await?;
    let off = |used: &&BackendInUse| {
        used.service.resource() == service.resource()
            && !used.backend.iap.as_ref().is_some_and(|iap| iap.enabled)
    };
    Ok(used.iter().find(off).map(|used| (used.clone(), because)))
}

/// Whether the pods serve what a policy lets the health check ask. What works is not wrong,
/// whatever it looks like.
async fn examine_health_check(
    cx: &Cx,
    policy: &HealthCheckPolicy,
    out: &mut Findings,
) -> Result<(), FactError> {
    let Some(config) = &policy.spec.default.config else {
        out.ok(policy);
        return Ok(());
    };
    for used in cx.get(BackendsInUse).await?.iter().filter(|used| policy.is_for(&used.service)) {
        let pods = pods_of(cx, &used.service).await;
        let Some(pods) = out.known(policy, pods) else { continue };
        match examine(used, config, &pods) {
            Some(wrong) if !is_healthy(cx, used).await => {
                out.fail(policy, wrong.message).evidence("because", wrong.because).fix(
                    Risk::None,
                    "opens it for correction",
                    command("edit", policy),
                );
            }
            _ if pods.is_empty() => (),
            _ => out.ok(policy),
        }
    }
    Ok(())
}

/// Whether a backend service is known to have a healthy endpoint.
async fn is_healthy(cx: &Cx, used: &BackendInUse) -> bool {
    let health = cx.get(BackendHealth::of(&used.backend)).await;
    matches!(health.map(|health| GroupHealth::judge(&health)), Ok(Health::Healthy(..)))
}

/// The client id that the policies for a Service name, once their Secrets have been looked at.
pub(crate) async fn examine_client(
    cx: &Cx,
    service: &Service,
    out: &mut Findings,
) -> Result<Option<String>, FactError> {
    let namespace = service.metadata.namespace();
    let mut client = None;
    for policy in policies_for::<BackendPolicy>(cx, service).await? {
        let Some(iap) = policy.iap() else { continue };
        client = client.or(iap.client_id.clone().filter(|id| !id.trim().is_empty()));
        let Some(name) = iap.secret.as_ref().map(|secret| &secret.name) else { continue };
        let secret = find::<Secret>(cx, namespace, name).await;
        let Some(secret) = out.known(&*policy, secret) else { continue };
        match secret {
            None => {
                out.fail(&*policy, format!("names Secret {name}, which does not exist")).fix(
                    Risk::None,
                    "makes it; put your client's secret into the file",
                    format!(
                        "kubectl create secret generic {name} -n {namespace} --from-file=key=FILE"
                    ),
                );
            }
            Some(secret) if secret.entries.keys().any(|key| secret.has(key)) => out.ok(&*policy),
            Some(_) => {
                out.fail(&*policy, format!("names Secret {name}, which is empty")).fix(
                    Risk::None,
                    "shows what is in it",
                    format!("kubectl describe secret -n {namespace} {name}"),
                );
            }
        }
    }
    Ok(client)
}

/// A policy that asks for Identity-Aware Proxy in the namespace of a Service, for another one.
pub(crate) async fn for_another(cx: &Cx, service: &Service) -> Option<Arc<BackendPolicy>> {
    if !is_behind_gateways(cx, service).await.unwrap_or(false) {
        return None;
    }
    let all = policies::<BackendPolicy>(cx, service).await.ok()?;
    if all.iter().any(|policy| policy.is_for(service)) {
        return None;
    }
    all.into_iter().find(|policy| policy.iap().is_some())
}

/// The command that attaches a policy to a Service.
pub(crate) fn retarget(policy: &BackendPolicy, service: &str) -> String {
    let patch = serde_json::json!({ "spec": { "targetRef": { "name": service } } });
    command("patch", policy) + &format!(" --type merge -p '{patch}'")
}

fn command<P: Object + Policy>(verb: &str, policy: &P) -> String {
    let (kind, metadata) = (P::KIND.resource(), policy.metadata());
    format!("kubectl {verb} {kind} {} -n {}", metadata.name, metadata.namespace())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use crate::{
        checks::{backendconfig::BackendConfigs, iap_enabled::IapEnabled},
        testing::Deployment,
    };

    /// A policy that asks for sign-in, for a Service.
    fn policy(name: &str, service: &str, conditions: &Value) -> Value {
        json!({ "apiVersion": "networking.gke.io/v1", "kind": "GCPBackendPolicy",
            "metadata": { "namespace": "istio-system", "name": name },
            "spec": { "default": { "iap": { "enabled": true, "clientID": "1-a",
                    "oauth2ClientSecret": { "name": "client" } } },
                "targetRef": { "group": "", "kind": "Service", "name": service } },
            "status": { "conditions": conditions } })
    }

    fn refused() -> Value {
        json!([{ "type": "Attached", "status": "False", "reason": "Conflicted",
            "message": "another policy is older" }])
    }

    #[tokio::test]
    async fn the_second_policy_for_a_service_is_a_warning_beside_the_first() {
        let mut deployment = Deployment::behind_gateway();
        deployment.add(policy("first", "gateway", &json!([])));
        deployment.add(policy("second", "gateway", &refused()));
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            WARNING  gcp-backendconfig
              GCPBackendPolicy istio-system/second is not attached to Service gateway
                because   Conflicted: another policy is older
                fix       shows what the controller says
                          kubectl describe gcpbackendpolicies.networking.gke.io second \
                            -n istio-system

            warn     gcp-backendconfig
                     Every BackendConfig that a Service names exists
        "#]]
        .assert_eq(&deployment.report(&BackendConfigs).await);
    }

    #[tokio::test]
    async fn the_only_one_that_is_refused_leaves_the_host_open() {
        let mut deployment = Deployment::behind_gateway();
        deployment.add(policy("only", "gateway", &refused()));
        let open = deployment.report(&BackendConfigs).await;
        deployment.file("gcp/compute/backendServices")[0]["iap"] = json!({ "enabled": true });
        let by_hand = deployment.report(&BackendConfigs).await;
        assert!(by_hand.contains("warn     gcp-backendconfig"), "{by_hand}");
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-backendconfig
              GCPBackendPolicy istio-system/only is not attached to Service gateway
                because   Conflicted: another policy is older
                fix       shows what the controller says
                          kubectl describe gcpbackendpolicies.networking.gke.io only \
                            -n istio-system
              kubectl kfcheck explain gcp-backendconfig

            FAIL     gcp-backendconfig
                     Every BackendConfig that a Service names exists
        "#]]
        .assert_eq(&open);
    }

    #[tokio::test]
    async fn one_for_a_service_that_is_gone_was_meant_for_this_one() {
        let mut deployment = Deployment::behind_gateway();
        deployment.add(policy("iap", "gone", &json!([])));
        // Without anything that counts on it, it is a leftover.
        let nobody = deployment.report(&BackendConfigs).await;
        assert!(!nobody.contains("GCPBackendPolicy"), "{nobody}");
        deployment.add(
            json!({ "apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication",
            "metadata": { "namespace": "istio-system", "name": "tokens" },
            "spec": { "jwtRules": [{ "issuer": "https://cloud.google.com/iap" }] } }),
        );
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-backendconfig
              GCPBackendPolicy istio-system/iap is for Service gone, which does not exist
                without it
                          Service gateway has Identity-Aware Proxy off
                fix       attaches it to the Service at the Gateway
                          kubectl patch gcpbackendpolicies.networking.gke.io iap \
                            -n istio-system --type merge \
                            -p '{"spec":{"targetRef":{"name":"gateway"}}}'
              kubectl kfcheck explain gcp-backendconfig

            FAIL     gcp-backendconfig
                     Every BackendConfig that a Service names exists
        "#]]
        .assert_eq(&deployment.report(&BackendConfigs).await);
    }

    #[tokio::test]
    async fn what_an_ingress_would_be_told_means_nothing_to_a_gateway() {
        let mut deployment = Deployment::behind_gateway();
        deployment.object("Service")["metadata"]["annotations"]["cloud.google.com/backend-config"] =
            r#"{"default": "gone"}"#.into();
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            skip     gcp-backendconfig
                     Every BackendConfig that a Service names exists
                     (there is nothing of the kind here)
        "#]]
        .assert_eq(&deployment.report(&BackendConfigs).await);
    }

    #[tokio::test]
    async fn a_policy_needs_the_secret_that_it_names() {
        let mut deployment = Deployment::behind_gateway();
        deployment.add(policy("iap", "gateway", &json!([])));
        *deployment.file("kubernetes/secrets") = json!({ "items": [] });
        deployment.file("gcp/compute/backendServices")[0]["iap"] =
            json!({ "enabled": true, "oauth2ClientId": "1-a" });
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-iap-enabled
              GCPBackendPolicy istio-system/iap names Secret client, which does not exist
                fix       makes it; put your client's secret into the file
                          kubectl create secret generic client -n istio-system \
                            --from-file=key=FILE
              kubectl kfcheck explain gcp-iap-enabled

            FAIL     gcp-iap-enabled
                     Identity-Aware Proxy is on where it is counted on
        "#]]
        .assert_eq(&deployment.report(&IapEnabled).await);
    }
}
