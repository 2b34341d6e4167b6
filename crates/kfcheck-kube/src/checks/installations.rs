use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use kfcheck::{Check, Cx, FactError, Findings, Named, Resource, Risk, async_trait, check};

use crate::{
    Deployment, FrontServices, Gateway, MutatingWebhook, Pod, Service, Webhook, all, find, on_path,
    resource, within,
};

check! {
    /// ## What it checks
    /// That there is a control plane of Istio's for the gateway, and only one for those namespaces
    /// that ask for sidecars: no `istio-pilot` of before 1.5 beside an `istiod`, and no two
    /// webhooks that give the same pods sidecars of two control planes.
    ///
    /// ## Why it matters
    /// A gateway gets its listeners from the control plane. Two of them overwrite each other's
    /// objects, and a pod with the sidecar of one is not trusted by the other. Kubeflow brings an
    /// Istio along; where there was one already, its installation ends so.
    ///
    /// ## How to fix it
    /// Keep one of the two. To move from one to the other, give the new one a revision, so that
    /// namespaces go over one by one.
    pub(crate) struct Installations;
    id: "istio-installations",
    title: "One Istio is installed",
}

#[async_trait]
impl Check for Installations {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let found = cx.get(on_path::<Gateway>()).await?;
        let gateways = found.seen(out);
        let configurations = cx.get(all::<MutatingWebhook>()).await;
        let configurations = match configurations {
            Ok(all) => all,
            Err(error) => {
                out.unseen(error);
                Arc::default()
            }
        };
        let injectors: Vec<_> = configurations.iter().filter(|c| injects(c).is_some()).collect();
        if gateways.is_empty() && injectors.is_empty() {
            return Ok(());
        }
        let planes = planes(cx, &injectors).await?;
        examine_injectors(cx, &injectors, out).await?;
        let is_old = |plane: &Arc<Deployment>| plane.metadata.name == "istio-pilot";
        let new = planes.iter().find(|plane| !is_old(plane));
        for plane in &planes {
            match new.filter(|_| is_old(plane)) {
                Some(new) => report_second(plane, &new.resource(), out),
                None => out.ok(&**plane),
            }
        }
        if planes.is_empty() && !gateways.is_empty() {
            examine_absence(cx, &injectors, out).await?;
        }
        Ok(())
    }
}

/// The control planes that are to run, where they usually are and where sidecars come from.
async fn planes(
    cx: &Cx,
    injectors: &[&Arc<MutatingWebhook>],
) -> Result<Vec<Arc<Deployment>>, FactError> {
    let services = injectors.iter().flat_map(|c| &c.webhooks).filter_map(service);
    let mut namespaces: BTreeSet<_> = services.map(|(namespace, _)| namespace).collect();
    namespaces.insert("istio-system");
    let mut found = Vec::new();
    for namespace in namespaces {
        let here = cx.get(within::<Deployment>(namespace)).await?;
        let is_plane = |deployment: &&Arc<Deployment>| {
            let name = &deployment.metadata.name;
            let named = name == "istiod" || name.starts_with("istiod-") || name == "istio-pilot";
            named && deployment.replicas() > 0
        };
        found.extend(here.iter().filter(is_plane).cloned());
    }
    Ok(found)
}

/// The webhook that gives sidecars to the pods of namespaces with `istio-injection: enabled`.
fn injects(configuration: &MutatingWebhook) -> Option<&Webhook> {
    let asked = BTreeMap::from([("istio-injection".to_owned(), "enabled".to_owned())]);
    configuration.webhooks.iter().find(|webhook| {
        webhook.name.ends_with("sidecar-injector.istio.io")
            && webhook.namespace_selector.misses(&asked).is_none()
    })
}

fn service(webhook: &Webhook) -> Option<(&str, &str)> {
    let service = webhook.client_config.service.as_ref()?;
    Some((&service.namespace, &service.name))
}

/// Whether the same pods get sidecars from two control planes.
async fn examine_injectors(
    cx: &Cx,
    injectors: &[&Arc<MutatingWebhook>],
    out: &mut Findings,
) -> Result<(), FactError> {
    let mut known: Vec<(&MutatingWebhook, (&str, &str))> = Vec::new();
    for configuration in injectors {
        let Some(asked) = injects(configuration).and_then(service) else { continue };
        let is_second = known.iter().any(|(_, other)| *other != asked);
        // One that nobody stands behind was left over, which another check says.
        if is_second && find::<Service>(cx, asked.0, asked.1).await?.is_none() {
            continue;
        }
        known.push((configuration, asked));
    }
    let Some((first, to)) = known.first() else { return Ok(()) };
    for (other, elsewhere) in known.iter().filter(|(_, elsewhere)| elsewhere != to) {
        let (mine, name) = (&first.metadata.name, &other.metadata.name);
        out.fail(*other, "gives sidecars to pods that another webhook gives them to as well")
            .evidence("asks", format!("{}/{}", elsewhere.0, elsewhere.1))
            .evidence("the other", format!("{mine} asks {}/{}", to.0, to.1))
            .fix(
                Risk::None,
                "shows whom they are for",
                format!("kubectl get mutatingwebhookconfigurations {mine} {name} -o yaml"),
            );
    }
    Ok(())
}

fn report_second(old: &Deployment, new: &Resource, out: &mut Findings) {
    out.fail(old, format!("is a second control plane beside {new}")).fix(
        Risk::None,
        "shows which proxies are still with the old one",
        "kubectl get pods -A -o custom-columns=NAMESPACE:.metadata.namespace,\
         NAME:.metadata.name,IMAGES:.spec.containers[*].image",
    );
}

/// A gateway without a control plane that anybody sees.
async fn examine_absence(
    cx: &Cx,
    injectors: &[&Arc<MutatingWebhook>],
    out: &mut Findings,
) -> Result<(), FactError> {
    let managed = injectors.iter().filter_map(|c| injects(c)).any(|w| service(w).is_none());
    for front in cx.get(FrontServices).await?.iter() {
        let namespace = front.metadata.namespace();
        let pods = cx.get(within::<Pod>(namespace)).await?;
        let ours: Vec<_> = pods.iter().filter(|pod| front.selects(pod) && !pod.is_over()).collect();
        // A proxy gets ready only after a control plane has told it something.
        if managed || ours.iter().any(|pod| pod.is_ready()) {
            out.skip("the control plane is not in this cluster");
        } else if !ours.is_empty() {
            let plane = resource("Deployment", Some("istio-system"), "istiod");
            out.depends(&**front, &plane);
            out.fail(&plane, "does not exist, and its gateway waits for it").fix(
                Risk::None,
                "shows what there is of Istio",
                "kubectl get deployments -n istio-system",
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::Installations;
    use crate::testing::{ingress, report};

    fn plane(name: &str) -> Value {
        json!({ "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "namespace": "istio-system", "name": name }, "spec": { "replicas": 1 } })
    }

    fn injector(name: &str, namespace: &str, selector: &Value) -> Value {
        json!({ "apiVersion": "admissionregistration.k8s.io/v1", "metadata": { "name": name },
            "kind": "MutatingWebhookConfiguration",
            "webhooks": [{ "name": "namespace.sidecar-injector.istio.io",
                "namespaceSelector": selector,
                "clientConfig": { "service": { "namespace": namespace, "name": "istiod" } } }] })
    }

    fn istiod(namespace: &str) -> Value {
        json!({ "apiVersion": "v1", "kind": "Service",
            "metadata": { "namespace": namespace, "name": "istiod" } })
    }

    fn enabled() -> Value {
        json!({ "matchLabels": { "istio-injection": "enabled" } })
    }

    /// These objects beside a gateway, whose pod is ready or not.
    async fn beside(objects: &[Value], ready: &str) -> String {
        let named = |name: &str| json!({ "namespace": "kubeflow", "name": name });
        let service = json!({ "apiVersion": "v1", "kind": "Service", "metadata": named("gateway"),
            "spec": { "selector": { "istio": "a" }, "ports": [{ "port": 80 }] } });
        let mut pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": named("gateway-0"),
            "status": { "conditions": [{ "type": "Ready", "status": ready }] } });
        pod["metadata"]["labels"] = json!({ "istio": "a" });
        let gateway = json!({ "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
            "metadata": named("kubeflow-gateway"), "spec": { "selector": { "istio": "a" } } });
        let own = [ingress("gateway"), service, pod, gateway];
        let objects = [&own[..], objects].concat();
        let none = [
            "deployments.apps",
            "virtualservices.networking.istio.io",
            "mutatingwebhookconfigurations.admissionregistration.k8s.io",
        ];
        let none = none.map(|name| format!("kubernetes/{name}.json"));
        let none = none.each_ref().map(|name| (name.as_str(), json!({ "items": [] })));
        report(&Installations, &objects, &none).await
    }

    #[tokio::test]
    async fn one_control_plane_is_what_there_should_be() {
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     istio-installations
                     One Istio is installed
        "#]]
        .assert_eq(&beside(&[plane("istiod")], "True").await);
    }

    #[tokio::test]
    async fn an_old_control_plane_beside_a_new_one_is_a_second() {
        expect![[r#"
            kf.example.com: nothing broken on the way; something beside it is. 1 root cause,
            0 symptoms; 0 checks passed, 0 not seen.

            BROKEN  istio-installations
              Deployment istio-system/istio-pilot is a second control plane beside
                Deployment istio-system/istiod
                fix       shows which proxies are still with the old one
                          kubectl get pods -A \
                            -o custom-columns=NAMESPACE:.metadata.namespace,NAME:.metadata.name,IMAGES:.spec.containers[*].image
              kubectl kfcheck explain istio-installations

            FAIL     istio-installations
                     One Istio is installed
        "#]].assert_eq(&beside(&[plane("istiod"), plane("istio-pilot")], "True").await);
    }

    #[tokio::test]
    async fn two_webhooks_for_the_same_pods_are_two_installations() {
        let mine = injector("istio-sidecar-injector", "istio-system", &enabled());
        let theirs = injector("istio-sidecar-injector-mesh", "mesh", &enabled());
        let mut objects = vec![plane("istiod"), istiod("istio-system"), mine, theirs];
        // Without a Service it was left over.
        assert!(beside(&objects, "True").await.contains("pass     "));
        objects.push(istiod("mesh"));
        expect![[r#"
            kf.example.com: nothing broken on the way; something beside it is. 1 root cause,
            0 symptoms; 0 checks passed, 0 not seen.

            BROKEN  istio-installations
              MutatingWebhookConfiguration istio-sidecar-injector-mesh gives sidecars to
                pods that another webhook gives them to as well
                asks      mesh/istiod
                the other istio-sidecar-injector asks istio-system/istiod
                fix       shows whom they are for
                          kubectl get mutatingwebhookconfigurations istio-sidecar-injector istio-sidecar-injector-mesh \
                            -o yaml
              kubectl kfcheck explain istio-installations

            FAIL     istio-installations
                     One Istio is installed
        "#]].assert_eq(&beside(&objects, "True").await);
    }

    #[tokio::test]
    async fn revisions_stand_side_by_side() {
        let mine = injector("istio-sidecar-injector", "istio-system", &enabled());
        let revision = json!({ "matchLabels": { "istio.io/rev": "canary" } });
        let canary = injector("istio-sidecar-injector-canary", "canary", &revision);
        let objects = [plane("istiod"), plane("istiod-canary"), mine, canary];
        assert!(beside(&objects, "True").await.contains("pass     "));
    }

    #[tokio::test]
    async fn a_gateway_waits_for_its_control_plane() {
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  istio-installations
              Deployment istio-system/istiod does not exist, and its gateway waits for it
                fix       shows what there is of Istio
                          kubectl get deployments -n istio-system
              kubectl kfcheck explain istio-installations

            FAIL     istio-installations
                     One Istio is installed
        "#]]
        .assert_eq(&beside(&[], "False").await);
        assert!(beside(&[], "True").await.contains("skip     "));
    }

    #[tokio::test]
    async fn without_an_istio_there_is_nothing_to_say() {
        let none = [
            "ingresses.networking.k8s.io",
            "services",
            "mutatingwebhookconfigurations.admissionregistration.k8s.io",
        ];
        let none = none.map(|name| format!("kubernetes/{name}.json"));
        let none = none.each_ref().map(|name| (name.as_str(), json!({ "items": [] })));
        assert!(report(&Installations, &[], &none).await.contains("skip     "));
        assert!(report(&Installations, &[], &none[..2]).await.contains("unknown  "));
    }
}
