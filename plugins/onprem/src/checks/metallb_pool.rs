use std::collections::BTreeSet;

use kfcheck::{Check, Cx, FactError, Findings, Named, Resource, Risk, async_trait, check};
use kfcheck_kube::{Namespace, Node, Service, all, resource, within};

use super::metallb_allocation::{addresses_asked, pool_asked};
use crate::{
    ConfigurationState, Fronts, Installation, IpAddressPool, MetalLbFronts, Pool, addresses,
    announcers::unreachable, objects::one_selects,
};

check! {
    /// ## What it checks
    /// MetalLB's pools of addresses, be they IPAddressPools or the ConfigMap `config` of before 0.13:
    /// that there is one, that every range is one, that no two pools share an address, that none has
    /// an address of a node, that an address is left for a Service that waits for one, and whether
    /// MetalLB itself calls its configuration valid.
    ///
    /// ## Why it matters
    /// MetalLB takes its configuration as a whole or not at all: one range that is wrong keeps every
    /// Service from getting an address. With the address of a node, two machines answer for it.
    ///
    /// ## How to fix it
    /// Correct the ranges. A range is `10.0.0.10-10.0.0.20` or `10.0.0.16/28`, of addresses in the
    /// nodes' network that nobody else has and no DHCP server gives away. Since 0.13, MetalLB doesn't
    /// read its ConfigMap any more.
    pub(crate) struct MetalLbPool;
    id: "onprem-metallb-pool",
    title: "MetalLB has a pool with an address that is free",
}

#[async_trait]
impl Check for MetalLbPool {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let fronts = cx.get(MetalLbFronts).await?;
        let Some(Fronts { metallb, services }) = &*fronts else {
            out.skip("MetalLB is not installed here");
            return Ok(());
        };
        if services.is_empty() {
            out.skip("no Service at the entrance has its address from MetalLB");
            return Ok(());
        }
        let pools = match &metallb.pools {
            Ok(pools) => pools,
            Err(error) => return Err(error.clone()),
        };
        let told = metallb.told_pools().and_then(|told| told.unreadable.as_ref());
        if let (Some(map), Some(says)) = (&metallb.config_map, told) {
            let finding = out.fail(&**map, "can't be read, so MetalLB has no pool");
            finding.evidence("at", says);
            finding.fix(Risk::None, "opens it", edit(metallb, &map.resource()));
            depend(services, &map.resource(), out);
            return Ok(());
        }
        if pools.is_empty() {
            report_none(cx, metallb, services, out).await;
            return Ok(());
        }
        let nodes = cx.get(all::<Node>()).await;
        let mut wrong = BTreeSet::new();
        for pool in pools {
            if examine_ranges(metallb, pool, pools, out) {
                continue;
            }
            wrong.insert(&pool.resource);
        }
        for pool in pools {
            // Without nodes, all else is known.
            if let Some(nodes) = out.known(&pool.resource, nodes.clone())
                && !examine_nodes(metallb, pool, &nodes, out)
            {
                wrong.insert(&pool.resource);
            }
        }
        let is_full = if wrong.is_empty() {
            examine_room(cx, metallb, services, out).await
        } else {
            // What is wrong with a pool comes before how full it is.
            BTreeSet::new()
        };
        for pool in pools.iter().filter(|pool| !wrong.contains(&pool.resource)) {
            if !is_full.contains(&pool.resource) {
                out.ok(&pool.resource);
            }
        }
        for pool in wrong.iter().copied().chain(&is_full) {
            depend(services, pool, out);
        }
        examine_state(cx, metallb, services, &wrong, out).await;
        Ok(())
    }
}

/// A Service gets no address while its pool is wrong.
fn depend(services: &[std::sync::Arc<Service>], pool: &Resource, out: &mut Findings) {
    for service in services {
        out.depends(&**service, pool);
    }
}

/// There is no pool; maybe there is one where MetalLB doesn't look.
async fn report_none(
    cx: &Cx,
    metallb: &Installation,
    services: &[std::sync::Arc<Service>],
    out: &mut Findings,
) {
    let namespace = &metallb.namespace;
    if let Some(map) = metallb.config_map.as_ref().filter(|_| !metallb.reads_config_map) {
        depend(services, &map.resource(), out);
        let message = "is not read by this MetalLB, which takes IPAddressPools and has none";
        out.fail(&**map, message).fix(
            Risk::None,
            "shows what it says, to be written as an IPAddressPool and an L2Advertisement",
            format!("kubectl get configmap {} -n {namespace} -o yaml", map.metadata.name),
        );
        return;
    }
    let controller = metallb.controllers.iter().flatten().next();
    let subject = controller.map_or_else(
        || resource("Deployment", Some(namespace), "controller"),
        |controller| controller.resource(),
    );
    depend(services, &subject, out);
    let finding = out.fail(&subject, "has no pool to give addresses from");
    let strays = cx.get(all::<IpAddressPool>()).await;
    let strays = strays.iter().flat_map(|all| all.iter());
    let strays: Vec<_> = strays.map(|pool| pool.resource().to_string()).collect();
    if !strays.is_empty() {
        finding.evidence("elsewhere", strays.join(", "));
        finding.evidence("looks in", namespace);
    }
    let kind = if metallb.reads_config_map { "configmaps" } else { "ipaddresspools" };
    finding.fix(
        Risk::None,
        "shows where it looks",
        format!("kubectl get {kind} -n {namespace} -o yaml"),
    );
}

/// Whether every range is one, and of this pool alone.
fn examine_ranges(metallb: &Installation, pool: &Pool, pools: &[Pool], out: &mut Findings) -> bool {
    if let Some((text, why)) = pool.wrong.first() {
        let message = format!("has a range that is none: {text}");
        let finding = out.fail(&pool.resource, message);
        finding.evidence("because", why).evidence("pool", &pool.name);
        finding.fix(Risk::None, "opens it", edit(metallb, &pool.resource));
        return false;
    }
    if pool.ranges.is_empty() {
        let finding = out.fail(&pool.resource, format!("has no addresses in pool {}", pool.name));
        finding.fix(Risk::None, "opens it", edit(metallb, &pool.resource));
        return false;
    }
    let at = pools.iter().position(|other| std::ptr::eq(other, pool)).unwrap_or_default();
    for other in &pools[..at] {
        let shared = pool.ranges.iter().find_map(|range| {
            let shared = other.ranges.iter().find(|theirs| theirs.overlaps(range));
            shared.map(|theirs| (range, theirs))
        });
        if let Some((range, theirs)) = shared {
            let message = format!("shares addresses with pool {}", other.name);
            let finding = out.fail(&pool.resource, message);
            finding.evidence("its range", range).evidence("other's", theirs);
            finding.fix(Risk::None, "opens it", edit(metallb, &pool.resource));
            return false;
        }
    }
    true
}

/// Whether no node has an address of the pool.
fn examine_nodes(
    metallb: &Installation,
    pool: &Pool,
    nodes: &[std::sync::Arc<Node>],
    out: &mut Findings,
) -> bool {
    for node in nodes {
        let own = node.addresses("InternalIP").chain(node.addresses("ExternalIP"));
        let inside = own.filter_map(|address| address.parse().ok());
        let Some(address) = { inside }.find(|address| pool.contains(*address)) else { continue };
        let message = format!("has the address of a node: {address}");
        let finding = out.fail(&pool.resource, message);
        finding.evidence("node", &node.metadata.name);
        finding.fix(Risk::None, "opens it", edit(metallb, &pool.resource));
        return false;
    }
    true
}

/// The pools that are full while a Service waits for one of their addresses.
async fn examine_room(
    cx: &Cx,
    metallb: &Installation,
    services: &[std::sync::Arc<Service>],
    out: &mut Findings,
) -> BTreeSet<Resource> {
    let mut full = BTreeSet::new();
    for service in services.iter().filter(|service| addresses(service).is_empty()) {
        let (mut wanted, mut is_known) = (Vec::new(), true);
        for pool in metallb.pools.iter().flatten() {
            match out.known(&pool.resource, is_for(cx, pool, service).await) {
                Some(true) => wanted.push(pool),
                Some(false) => (),
                None => is_known = false,
            }
        }
        let services = cx.get(all::<Service>()).await.ok();
        let taken: Option<BTreeSet<_>> =
            services.map(|all| all.iter().flat_map(|service| addresses(service)).collect());
        if !is_known || wanted.iter().any(|pool| !pool.is_full(taken.as_ref())) {
            continue;
        }
        for pool in wanted.iter().filter(|pool| full.insert(pool.resource.clone())) {
            let finding = out.fail(&pool.resource, "has no address left");
            finding.evidence("addresses", pool.count());
            finding.evidence("waits", service.resource());
            finding.fix(Risk::None, "opens it", edit(metallb, &pool.resource));
        }
    }
    full
}

/// Whether a Service may get an address of a pool (MetalLB's source, internal/allocator); an error says
/// why that isn't known.
pub(crate) async fn is_for(cx: &Cx, pool: &Pool, service: &Service) -> Result<bool, FactError> {
    let addresses = addresses_asked(service);
    let asks = match pool_asked(service) {
        Some(asked) => asked == pool.name,
        None if addresses.is_empty() => pool.auto_assign,
        None => addresses.iter().any(|at| at.parse().is_ok_and(|address| pool.contains(address))),
    };
    let Some(allocation) = pool.allocation.as_ref().filter(|_| asks) else { return Ok(asks) };
    let own = service.metadata.namespace();
    if !one_selects(&allocation.service_selectors, &service.metadata.labels) {
        return Ok(false);
    }
    let (names, selectors) = (&allocation.namespaces, &allocation.namespace_selectors);
    if names.is_empty() && selectors.is_empty() || names.iter().any(|name| name == own) {
        return Ok(true);
    }
    if selectors.is_empty() {
        return Ok(false);
    }
    let namespaces = cx.get(all::<Namespace>()).await?;
    let namespace = namespaces.iter().find(|namespace| namespace.metadata.name == own);
    let namespace = namespace
        .ok_or_else(|| unreachable(format!("the labels of namespace {own} were not seen")))?;
    Ok(one_selects(selectors, &namespace.metadata.labels))
}

/// What MetalLB itself says of its configuration.
async fn examine_state(
    cx: &Cx,
    metallb: &Installation,
    services: &[std::sync::Arc<Service>],
    wrong: &BTreeSet<&Resource>,
    out: &mut Findings,
) {
    // Before 0.15 there are none.
    let states = cx.get(within::<ConfigurationState>(&metallb.namespace)).await;
    for state in states.iter().flat_map(|all| all.iter()) {
        if state.status.result != "Invalid" {
            continue;
        }
        let finding = out.symptom(&**state, "says that MetalLB's configuration is not valid");
        if !state.status.last_error.is_empty() {
            finding.evidence("because", &state.status.last_error);
        }
        finding.fix(
            Risk::None,
            "shows all of what it says",
            format!(
                "kubectl get configurationstates -n {} {} -o yaml",
                metallb.namespace, state.metadata.name
            ),
        );
        depend(services, &state.resource(), out);
        for pool in wrong {
            out.depends(&**state, *pool);
        }
    }
}

/// The command that opens what declares a pool.
fn edit(metallb: &Installation, pool: &Resource) -> String {
    format!("kubectl edit {} {} -n {}", pool.kind.to_lowercase(), pool.name, metallb.namespace)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::MetalLbPool;
    use crate::testing::{Deployment, node};

    #[tokio::test]
    async fn a_pool_of_either_generation_passes() {
        for deployment in [Deployment::healthy(), Deployment::old()] {
            let says = deployment.report(&MetalLbPool).await;
            assert!(says.contains("pass     onprem-metallb-pool"), "{says}");
        }
    }

    #[tokio::test]
    async fn a_range_that_ends_before_it_begins_is_none() {
        let mut deployment = Deployment::healthy();
        deployment.object("IPAddressPool")["spec"]["addresses"] = json!(["10.0.0.100-10.0.0.90"]);
        deployment.object("Service")["status"] = json!({});
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-metallb-pool
              IPAddressPool metallb-system/default has a range that is none:
                10.0.0.100-10.0.0.90
                because   it ends before it begins
                pool      default
                fix       opens it
                          kubectl edit ipaddresspool default -n metallb-system
              kubectl kfcheck explain onprem-metallb-pool

            FAIL     onprem-metallb-pool
                     MetalLB has a pool with an address that is free
        "#]]
        .assert_eq(&deployment.report(&MetalLbPool).await);
    }

    #[tokio::test]
    async fn two_pools_with_one_address_are_wrong() {
        let mut deployment = Deployment::healthy();
        deployment.add(json!({ "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
            "metadata": { "namespace": "metallb-system", "name": "second" },
            "spec": { "addresses": ["10.64.140.49/32"] } }));
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-metallb-pool
              IPAddressPool metallb-system/second shares addresses with pool default
                its range 10.64.140.49-10.64.140.49
                other's   10.64.140.43-10.64.140.49
                fix       opens it
                          kubectl edit ipaddresspool second -n metallb-system
              kubectl kfcheck explain onprem-metallb-pool

            FAIL     onprem-metallb-pool
                     MetalLB has a pool with an address that is free
        "#]]
        .assert_eq(&deployment.report(&MetalLbPool).await);
    }

    #[tokio::test]
    async fn a_nodes_address_is_not_to_be_given_away() {
        let mut deployment = Deployment::healthy();
        deployment.add(node("worker-3", "10.64.140.45"));
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-metallb-pool
              IPAddressPool metallb-system/default has the address of a node: 10.64.140.45
                node      worker-3
                fix       opens it
                          kubectl edit ipaddresspool default -n metallb-system
              kubectl kfcheck explain onprem-metallb-pool

            FAIL     onprem-metallb-pool
                     MetalLB has a pool with an address that is free
        "#]]
        .assert_eq(&deployment.report(&MetalLbPool).await);
    }

    #[tokio::test]
    async fn a_full_pool_matters_to_whoever_waits() {
        let mut deployment = Deployment::healthy();
        deployment.object("IPAddressPool")["spec"]["addresses"] = json!(["10.64.140.43/32"]);
        let says = deployment.report(&MetalLbPool).await;
        assert!(says.contains("pass     onprem-metallb-pool"), "{says}");
        let mut other = deployment.object("Service").clone();
        other["metadata"] = json!({ "namespace": "shop", "name": "shop" });
        deployment.object("Service")["status"] = json!({});
        deployment.add(other);
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-metallb-pool
              IPAddressPool metallb-system/default has no address left
                addresses 1
                waits     Service istio-system/istio-ingressgateway
                fix       opens it
                          kubectl edit ipaddresspool default -n metallb-system
              kubectl kfcheck explain onprem-metallb-pool

            FAIL     onprem-metallb-pool
                     MetalLB has a pool with an address that is free
        "#]]
        .assert_eq(&deployment.report(&MetalLbPool).await);
        // MetalLB's own word counts.
        deployment.object("IPAddressPool")["status"] =
            json!({ "assignedIPv4": 0, "availableIPv4": 1 });
        let says = deployment.report(&MetalLbPool).await;
        assert!(says.contains("pass     onprem-metallb-pool"), "{says}");
    }

    #[tokio::test]
    async fn a_config_map_that_nobody_reads_is_no_pool() {
        let mut deployment = Deployment::old();
        for list in ["ipaddresspools.metallb.io", "addresspools.metallb.io"] {
            *deployment.file(&format!("kubernetes/{list}")) = json!({ "items": [] });
        }
        deployment.object("Service")["status"] = json!({});
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-metallb-pool
              ConfigMap metallb-system/config is not read by this MetalLB, which takes
                IPAddressPools and has none
                fix       shows what it says, to be written as an IPAddressPool and an
                          L2Advertisement
                          kubectl get configmap config -n metallb-system -o yaml
              kubectl kfcheck explain onprem-metallb-pool

            FAIL     onprem-metallb-pool
                     MetalLB has a pool with an address that is free
        "#]]
        .assert_eq(&deployment.report(&MetalLbPool).await);
    }

    #[tokio::test]
    async fn a_pool_is_full_where_no_family_of_its_has_an_address_left() {
        let mut deployment = Deployment::healthy();
        deployment.object("Service")["status"] = json!({});
        let pool = deployment.object("IPAddressPool");
        pool["spec"]["addresses"] = json!(["fd00::/64"]);
        pool["status"] = json!({ "assignedIPv4": 0, "availableIPv4": 0,
            "assignedIPv6": 1, "availableIPv6": i64::MAX });
        let says = deployment.report(&MetalLbPool).await;
        assert!(says.contains("pass     onprem-metallb-pool"), "{says}");
        deployment.object("IPAddressPool")["status"]["availableIPv6"] = 0.into();
        let says = deployment.report(&MetalLbPool).await;
        assert!(says.contains("has no address left"), "{says}");
    }

    #[tokio::test]
    async fn a_full_pool_that_is_for_other_services_is_no_cause() {
        let mut deployment = Deployment::healthy();
        deployment.object("Service")["status"] = json!({});
        let pool = deployment.object("IPAddressPool");
        pool["status"] = json!({ "assignedIPv4": 7, "availableIPv4": 0 });
        let other = json!({ "matchLabels": { "team": "other" } });
        for allocation in [
            json!({ "namespaces": ["shop"] }),
            json!({ "serviceSelectors": [other] }),
            json!({ "namespaces": ["istio-system"], "serviceSelectors": [other] }),
        ] {
            deployment.object("IPAddressPool")["spec"]["serviceAllocation"] = allocation;
            let says = deployment.report(&MetalLbPool).await;
            assert!(says.contains("pass     onprem-metallb-pool"), "{says}");
        }
        let by_label = json!({ "namespaces": ["shop"], "namespaceSelectors": [other] });
        deployment.object("IPAddressPool")["spec"]["serviceAllocation"] = by_label;
        let says = deployment.report(&MetalLbPool).await;
        assert!(says.contains("unknown  onprem-metallb-pool"), "{says}");
        deployment.add(json!({ "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": "istio-system", "labels": { "team": "other" } } }));
        let says = deployment.report(&MetalLbPool).await;
        assert!(says.contains("has no address left"), "{says}");
    }

    #[tokio::test]
    async fn an_image_tells_where_nothing_else_does() {
        let mut deployment = Deployment::old();
        for (tag, says) in [("v0.12.1", "pass     onprem"), ("v0.13.4", "FAIL     onprem")] {
            let pod = deployment.named("Pod", "controller-0");
            pod["spec"]["containers"][0]["image"] =
                format!("quay.io/metallb/controller:{tag}").into();
            deployment.object("Service")["status"] = json!({});
            let report = deployment.report(&MetalLbPool).await;
            assert!(report.contains(says), "{tag}: {report}");
        }
    }

    #[tokio::test]
    async fn a_config_map_that_is_no_yaml_is_named_without_its_text() {
        let mut deployment = Deployment::old();
        let map = deployment.named("ConfigMap", "config");
        map["data"]["config"] = "address-pools:\n- name: a\n  addresses: hunter2\n".into();
        deployment.object("Service")["status"] = json!({});
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-metallb-pool
              ConfigMap metallb-system/config can't be read, so MetalLB has no pool
                at        line 3: not the YAML of pools
                fix       opens it
                          kubectl edit configmap config -n metallb-system
              kubectl kfcheck explain onprem-metallb-pool

            FAIL     onprem-metallb-pool
                     MetalLB has a pool with an address that is free
        "#]]
        .assert_eq(&deployment.report(&MetalLbPool).await);
    }

    #[tokio::test]
    async fn what_metallb_says_of_its_configuration_is_passed_on() {
        let mut deployment = Deployment::healthy();
        deployment.add(json!({ "apiVersion": "metallb.io/v1beta1", "kind": "ConfigurationState",
            "metadata": { "namespace": "metallb-system", "name": "controller" },
            "status": { "result": "Invalid", "lastError": "peer a referencing non existing bfd profile b" } }));
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-metallb-pool
              ConfigurationState metallb-system/controller says that MetalLB's configuration
                is not valid
                because   peer a referencing non existing bfd profile b
                fix       shows all of what it says
                          kubectl get configurationstates -n metallb-system controller \
                            -o yaml
              kubectl kfcheck explain onprem-metallb-pool

            FAIL     onprem-metallb-pool
                     MetalLB has a pool with an address that is free
        "#]]
        .assert_eq(&deployment.report(&MetalLbPool).await);
    }

    #[tokio::test]
    async fn pools_that_were_not_collected_are_not_seen() {
        let mut deployment = Deployment::healthy();
        deployment.objects.retain(|object| object["kind"] != "IPAddressPool");
        deployment.without("kubernetes/addresspools.metallb.io");
        deployment.add(json!({ "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "namespace": "metallb-system", "name": "kube-root-ca.crt" } }));
        let says = deployment.report(&MetalLbPool).await;
        assert!(says.contains("unknown  onprem-metallb-pool"), "{says}");
    }
}
