//! The request path from the gateway to whoever signs users in.

use std::collections::BTreeSet;

use kfcheck::{Cx, FactError, Named, Path, Resource, Stretch, async_trait};
use kfcheck_kube::{FrontServices, Pod, Service, host_resource};

use crate::{AuthProxies, Dexes, Doors, checks::auth_proxy::is_meant};

/// Host, gateway → proxy → Dex → its configuration. Only what is there is drawn.
pub(crate) struct SignIn;

#[async_trait]
impl Stretch for SignIn {
    async fn draw(&self, cx: &Cx, path: &mut Path) -> Result<(), FactError> {
        cx.begin(Dexes);
        cx.begin(AuthProxies);
        let doors = cx.get(Doors).await;
        let hosts: BTreeSet<_> =
            doors.iter().flat_map(|all| all.iter()).map(|door| &door.host).collect();
        let hosts: Vec<_> = hosts.into_iter().map(|host| host_resource(host)).collect();
        let fronts = cx.get(FrontServices).await;
        let fronts: Vec<_> =
            fronts.iter().flat_map(|all| all.iter()).map(|s| s.resource()).collect();
        // Whoever cannot sign in sees Kubeflow's address answer all the same.
        let sets_up = |path: &mut Path, lower: &Resource| {
            for host in &hosts {
                path.set_up_by(host, lower);
            }
        };
        let is_asked = |path: &mut Path, lower: &Resource| {
            for host in &hosts {
                path.asks(host, lower);
            }
        };
        let mut proxies = Vec::new();
        let mut issuers = Vec::new();
        match cx.get(AuthProxies).await {
            Ok(all) => {
                // One that nobody asks may be left over.
                for proxy in all.iter().filter(|proxy| proxy.asked == Some(true)) {
                    for service in &proxy.services {
                        for front in &fronts {
                            path.needs(front, &**service);
                        }
                        draw_pods(path, service, &proxy.pods, &proxy.workload);
                        is_asked(path, &service.resource());
                        proxies.push(service.resource());
                    }
                    issuers.extend(proxy.issuer().map(|issuer| issuer.value.clone()));
                    is_asked(path, &proxy.workload);
                    for source in proxy.sources().filter(|source| **source != proxy.workload) {
                        path.built_from(&proxy.workload, source);
                        sets_up(path, source);
                    }
                }
            }
            Err(error) => path.gap(error),
        }
        for dex in cx.get(Dexes).await?.iter() {
            let workload = dex.workload();
            // Where people sign in with another provider, nobody misses a Dex that was left over.
            let is_meant = issuers.is_empty() || issuers.iter().any(|url| is_meant(url, dex));
            for service in &dex.services {
                draw_pods(path, service, &dex.pods, &workload);
                for proxy in proxies.iter().filter(|_| is_meant) {
                    path.needs(proxy, &**service);
                }
                if is_meant {
                    is_asked(path, &service.resource());
                }
            }
            if is_meant {
                is_asked(path, &workload);
            }
            sets_up(path, &workload);
            if let Ok(told) = &dex.told {
                path.built_from(&workload, told);
                sets_up(path, &told.resource());
            }
        }
        Ok(())
    }
}

fn draw_pods(
    path: &mut Path,
    service: &Service,
    pods: &[std::sync::Arc<Pod>],
    workload: &Resource,
) {
    path.needs(service, workload);
    for pod in pods.iter().filter(|pod| service.selects(pod)) {
        path.needs(service, &**pod);
        if pod.resource() != *workload {
            path.needs(&**pod, workload);
        }
    }
}

#[cfg(test)]
mod tests {
    use kfcheck::Runner;
    use kfcheck_report::{Style, text};

    use crate::{CHECKS, testing::Deployment};

    const VERBOSE: Style = Style { verbose: true, colour: false };

    #[tokio::test]
    async fn what_was_seen_of_secrets_is_written_down_without_them_and_says_the_same() {
        let mut deployment = Deployment::signing_in();
        // Dex has one client secret as it is, and the proxy another one.
        deployment.told("secretEnv: OIDC_CLIENT_SECRET", "secret: hunter5");
        deployment.told("hashFromEnv: DEX_USER_PASSWORD", "hash: HASH");
        let hash = "$2b$10$6O/60wZ6PARdGXPtcAT.HuvGFl9o6QRiG5bFoKDXakFMH8Bv68w9G";
        deployment.told("HASH", hash);
        deployment.told("hunter2", "hunter$2");
        let first = deployment.world();
        let report = text(&Runner::default().run(&first, CHECKS).await, VERBOSE);
        let bundle = first.bundle();
        for (name, text) in bundle.texts() {
            let text = text.unwrap();
            assert!(!text.contains("hunter") && !text.contains("$2b$"), "{name}: {text}");
        }
        for check in ["onprem-auth-proxy", "onprem-dex-password", "onprem-dex-env-expansion"] {
            assert!(report.contains(&format!("FAIL     {check}")), "{report}");
        }
        let second = deployment.over(bundle);
        let again = text(&Runner::default().run(&second, CHECKS).await, VERBOSE);
        assert_eq!(again, report);
    }
}
