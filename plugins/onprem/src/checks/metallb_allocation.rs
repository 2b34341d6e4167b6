use std::net::IpAddr;

use kfcheck::{Check, Cx, FactError, Findings, Named, Now, Risk, async_trait, check};
use kfcheck_kube::{Event, Service, Thresholds, all, is_new};

use crate::{
    Fronts, Installation, MetalLbFronts, addresses, announcers::last_event,
    checks::metallb_pool::is_for,
};

check! {
    /// ## What it checks
    /// That every Service of type LoadBalancer at the entrance has got its address from MetalLB: that
    /// the address or the pool that it asks for is there, and what MetalLB's controller says where it
    /// gives none.
    ///
    /// ## Why it matters
    /// Without an address the gateway is `<pending>`, and only the ports of the nodes lead to it.
    ///
    /// ## How to fix it
    /// The event says what is in the way: a pool without a free address, an address that is in no
    /// pool or that another Service has, a pool that no Service gets addresses from unasked.
    pub(crate) struct MetalLbAllocation;
    id: "onprem-metallb-allocation",
    title: "MetalLB has given the gateway's Service an address",
}

/// Where a Service asks for a pool.
const POOL: [&str; 2] = ["metallb.io/address-pool", "metallb.universe.tf/address-pool"];
/// Where a Service asks for addresses.
const ADDRESSES: [&str; 2] = ["metallb.io/loadBalancerIPs", "metallb.universe.tf/loadBalancerIPs"];

/// How long the controller may take, in minutes.
const PATIENCE: i64 = 2;

/// The pool that a Service asks for.
pub(crate) fn pool_asked(service: &Service) -> Option<&str> {
    service.metadata.annotation(&POOL).map(str::trim).filter(|pool| !pool.is_empty())
}

/// The addresses that a Service asks for.
pub(crate) fn addresses_asked(service: &Service) -> Vec<&str> {
    let annotated = service.metadata.annotation(&ADDRESSES).unwrap_or_default().split(',');
    let asked = annotated.chain(service.spec.load_balancer_ip.as_deref());
    asked.map(str::trim).filter(|address| !address.is_empty()).collect()
}

#[async_trait]
impl Check for MetalLbAllocation {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let fronts = cx.get(MetalLbFronts).await?;
        let Some(Fronts { metallb, services }) = &*fronts else {
            out.skip("MetalLB is not installed here");
            return Ok(());
        };
        if services.is_empty() {
            out.skip("no Service at the entrance has its address from MetalLB");
        }
        for service in services {
            let given = addresses(service);
            if given.is_empty() {
                report_pending(cx, metallb, service, out).await;
            } else if let Some(stale) = given.iter().find(|address| is_stale(metallb, **address)) {
                report_stale(metallb, service, *stale, out);
            } else {
                out.ok(&**service);
            }
        }
        Ok(())
    }
}

/// Whether an address that MetalLB gave away is none of its own any more.
fn is_stale(metallb: &Installation, address: IpAddr) -> bool {
    let pools = metallb.pools.as_ref().is_ok_and(|pools| !pools.is_empty());
    pools && metallb.pool_of(address).is_none()
}

fn report_stale(metallb: &Installation, service: &Service, address: IpAddr, out: &mut Findings) {
    let message = format!("has {address}, which is in no pool any more, so nobody announces it");
    let finding = out.fail(service, message).serving();
    for pool in metallb.pools.iter().flatten() {
        let ranges: Vec<_> = pool.ranges.iter().map(ToString::to_string).collect();
        finding.evidence("pool", format!("{} of {}", pool.name, ranges.join(", ")));
    }
    finding.fix(
        Risk::None,
        "shows the pools",
        format!("kubectl get ipaddresspools -n {} -o yaml", metallb.namespace),
    );
}

async fn report_pending(cx: &Cx, metallb: &Installation, service: &Service, out: &mut Findings) {
    // What speakers say is of addresses that it had.
    let is_meant = |event: &Event| {
        let by = event.by();
        by.contains("metallb")
            && (event.reason == "AllocationFailed" || event.is_warning() && !by.contains("speaker"))
    };
    let said = last_event(cx, &service.resource(), is_meant).await;
    let said = said.ok().flatten();
    let says = said.as_ref().map(|event| format!("{}: {}", event.reason, event.message));
    let show = format!(
        "kubectl describe service -n {} {}",
        service.metadata.namespace(),
        service.metadata.name
    );
    for controller in metallb.controllers.iter().flatten() {
        out.depends(service, &**controller);
    }
    let pools = metallb.pools.as_ref().map_or(&[][..], Vec::as_slice);
    let mut is_any_for = pools.is_empty();
    for pool in pools {
        if is_for(cx, pool, service).await.ok() != Some(false) {
            is_any_for = true;
            out.depends(service, &pool.resource);
        }
    }
    let wrong = match asked_in_vain(metallb, service) {
        Some(wrong) => Some(wrong),
        None => asked_of_another(cx, service).await,
    };
    let wrong = wrong.or_else(|| {
        (!is_any_for).then(|| "is not one of those that MetalLB's pools are for".to_owned())
    });
    if let Some(wrong) = wrong {
        let finding = out.fail(service, wrong).serving();
        if let Some(says) = says {
            finding.evidence("says", says);
        }
        let pools: Vec<_> = pools.iter().map(|pool| pool.name.as_str()).collect();
        finding.evidence("pools", pools.join(", "));
        finding.fix(Risk::None, "shows what it asks for", show);
        return;
    }
    let since = service.metadata.creation_timestamp;
    let minutes = cx.setting::<Thresholds>().load_balancer_minutes(PATIENCE);
    let is_new = cx.get(Now).await.is_ok_and(|now| is_new(since, minutes, *now));
    let finding = if is_new && said.is_none() {
        out.warn(service, "has no address from MetalLB yet")
    } else {
        out.symptom(service, "has no address from MetalLB")
    };
    if let Some(says) = says {
        finding.evidence("says", says);
    }
    finding.fix(Risk::None, "shows what MetalLB says of it", show);
}

/// Where a Service says with which others it shares its address.
const SHARES: [&str; 2] = ["metallb.io/allow-shared-ip", "metallb.universe.tf/allow-shared-ip"];

/// What a Service asks for that another one has and doesn't share.
async fn asked_of_another(cx: &Cx, service: &Service) -> Option<String> {
    let asked = addresses_asked(service);
    let asked: Vec<IpAddr> = asked.iter().filter_map(|address| address.parse().ok()).collect();
    let services = cx.get(all::<Service>()).await.ok().filter(|_| !asked.is_empty())?;
    let key = |service: &Service| service.metadata.annotation(&SHARES).map(str::to_owned);
    let own = service.resource();
    services.iter().filter(|other| other.resource() != own).find_map(|other| {
        let has = addresses(other).into_iter().find(|address| asked.contains(address))?;
        let shared = key(service).is_some() && key(service) == key(other);
        (!shared).then(|| format!("asks for {has}, which {} has", other.resource()))
    })
}

/// What a Service asks for that MetalLB doesn't have.
fn asked_in_vain(metallb: &Installation, service: &Service) -> Option<String> {
    let pools = metallb.pools.as_ref().ok()?;
    if let Some(asked) = pool_asked(service)
        && !pools.is_empty()
        && !pools.iter().any(|pool| pool.name == asked)
    {
        return Some(format!("asks for pool {asked}, which does not exist"));
    }
    for asked in addresses_asked(service) {
        let Ok(address) = asked.parse::<IpAddr>() else {
            return Some(format!("asks for {asked}, which is no address"));
        };
        if !pools.is_empty() && metallb.pool_of(address).is_none() {
            return Some(format!("asks for {address}, which is in no pool"));
        }
    }
    let asks = pool_asked(service).is_some() || !addresses_asked(service).is_empty();
    (!asks && !pools.is_empty() && pools.iter().all(|pool| !pool.auto_assign))
        .then(|| "asks for no pool, and none gives addresses unasked".to_owned())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::MetalLbAllocation;
    use crate::testing::{Deployment, event};

    /// The gateway's Service waits for an address.
    fn pending() -> Deployment {
        let mut deployment = Deployment::healthy();
        deployment.object("Service")["status"] = json!({});
        deployment
    }

    #[tokio::test]
    async fn a_service_with_an_address_passes() {
        let says = Deployment::healthy().report(&MetalLbAllocation).await;
        assert!(says.contains("pass     onprem-metallb-allocation"), "{says}");
    }

    #[tokio::test]
    async fn what_the_controller_says_is_shown() {
        let mut deployment = pending();
        deployment.add(event(
            "AllocationFailed",
            "Warning",
            "Failed to allocate IP for \"istio-system/istio-ingressgateway\": no available IPs",
            "2026-11-21T11:59:00Z",
        ));
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-metallb-allocation
              Service istio-system/istio-ingressgateway has no address from MetalLB
                says      AllocationFailed: Failed to allocate IP for
                          "istio-system/istio-ingressgateway": no available IPs
                fix       shows what MetalLB says of it
                          kubectl describe service -n istio-system istio-ingressgateway
              kubectl kfcheck explain onprem-metallb-allocation

            FAIL     onprem-metallb-allocation
                     MetalLB has given the gateway's Service an address
        "#]]
        .assert_eq(&deployment.report(&MetalLbAllocation).await);
    }

    #[tokio::test]
    async fn an_address_that_is_in_no_pool_is_never_given() {
        let mut deployment = pending();
        deployment.object("Service")["spec"]["loadBalancerIP"] = "10.64.141.43".into();
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-metallb-allocation
              Service istio-system/istio-ingressgateway asks for 10.64.141.43, which is in
                no pool
                pools     default
                fix       shows what it asks for
                          kubectl describe service -n istio-system istio-ingressgateway
              kubectl kfcheck explain onprem-metallb-allocation

            FAIL     onprem-metallb-allocation
                     MetalLB has given the gateway's Service an address
        "#]]
        .assert_eq(&deployment.report(&MetalLbAllocation).await);
        let mut deployment = pending();
        deployment.object("Service")["metadata"]["annotations"] =
            json!({ "metallb.universe.tf/address-pool": "public" });
        let says = deployment.report(&MetalLbAllocation).await;
        assert!(says.contains("asks for pool public, which does not"), "{says}");
        let mut deployment = pending();
        deployment.object("IPAddressPool")["spec"]["autoAssign"] = false.into();
        let says = deployment.report(&MetalLbAllocation).await;
        assert!(says.contains("asks for no pool, and none gives"), "{says}");
    }

    #[tokio::test]
    async fn an_address_that_another_service_has_is_told_with_it() {
        let mut deployment = pending();
        deployment.object("Service")["spec"]["loadBalancerIP"] = "10.64.140.44".into();
        let other = json!({ "apiVersion": "v1", "kind": "Service",
            "metadata": { "namespace": "shop", "name": "shop" }, "spec": { "type": "LoadBalancer" },
            "status": { "loadBalancer": { "ingress": [{ "ip": "10.64.140.44" }] } } });
        deployment.add(other);
        let says = deployment.report(&MetalLbAllocation).await;
        let says = says.replace("\n    ", " ");
        assert!(says.contains("asks for 10.64.140.44, which Service shop/shop has"), "{says}");
        let shares = json!({ "metallb.io/allow-shared-ip": "front" });
        deployment.object("Service")["metadata"]["annotations"] = shares.clone();
        deployment.named("Service", "shop")["metadata"]["annotations"] = shares;
        let says = deployment.report(&MetalLbAllocation).await;
        assert!(!says.contains("asks for"), "{says}");
    }

    #[tokio::test]
    async fn pools_that_are_for_other_services_are_told() {
        let mut deployment = pending();
        deployment.object("IPAddressPool")["spec"]["serviceAllocation"] =
            json!({ "serviceSelectors": [{ "matchLabels": { "team": "other" } }] });
        deployment.add(event("nodeAssigned", "Normal", "announcing", "2026-11-21T11:59:00Z"));
        let says = deployment.report(&MetalLbAllocation).await;
        assert!(says.contains("is not one of those that MetalLB's"), "{says}");
        assert!(!says.contains("nodeAssigned"), "{says}");
    }

    #[tokio::test]
    async fn an_address_of_a_pool_that_was_changed_is_told() {
        let mut deployment = Deployment::healthy();
        deployment.object("Service")["metadata"]["annotations"] =
            json!({ "metallb.io/ip-allocated-from-pool": "default" });
        deployment.object("IPAddressPool")["spec"]["addresses"] = json!(["10.64.150.0/28"]);
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-metallb-allocation
              Service istio-system/istio-ingressgateway has 10.64.140.43, which is in no
                pool any more, so nobody announces it
                pool      default of 10.64.150.0-10.64.150.15
                fix       shows the pools
                          kubectl get ipaddresspools -n metallb-system -o yaml
              kubectl kfcheck explain onprem-metallb-allocation

            FAIL     onprem-metallb-allocation
                     MetalLB has given the gateway's Service an address
        "#]]
        .assert_eq(&deployment.report(&MetalLbAllocation).await);
    }

    #[tokio::test]
    async fn a_new_service_is_waited_for() {
        let mut deployment = pending();
        deployment.object("Service")["metadata"]["creationTimestamp"] =
            "2026-11-21T11:59:00Z".into();
        let says = deployment.report(&MetalLbAllocation).await;
        assert!(says.contains("warn     onprem-metallb-allocation"), "{says}");
    }

    #[tokio::test]
    async fn another_load_balancers_service_is_left_alone() {
        let mut deployment = pending();
        deployment.object("Service")["spec"]["loadBalancerClass"] = "kube-vip.io/kube-vip".into();
        expect![[r#"
            10.64.140.43: nothing broken found. 0 root causes, 0 symptoms; 0 checks passed,
            0 not seen.

            skip     onprem-metallb-allocation
                     MetalLB has given the gateway's Service an address
                     (no Service at the entrance has its address from MetalLB)
        "#]]
        .assert_eq(&deployment.report(&MetalLbAllocation).await);
        let mut deployment = Deployment::healthy();
        deployment.object("Service")["status"]["loadBalancer"]["ingress"][0]["ip"] =
            "10.64.140.12".into();
        let says = deployment.report(&MetalLbAllocation).await;
        assert!(says.contains("skip     onprem-metallb-allocation"), "{says}");
    }
}
