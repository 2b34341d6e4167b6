use std::{collections::BTreeSet, sync::Arc};

use kfcheck::{Check, Cx, FactError, Findings, Risk, async_trait, check};

use crate::{FrontServices, Gateway, Pod, on_path, selects, within};

check! {
    /// ## What it checks
    /// That the selector of every Istio Gateway on the request path matches a pod, and that one of
    /// these is ready.
    ///
    /// ## Why it matters
    /// A Gateway that selects no pod configures nobody: the gateway answers nothing on its ports,
    /// or 404. Installing Istio by Helm labels the pods `istio: ingress`, and by `istioctl`
    /// `istio: ingressgateway`.
    ///
    /// ## How to fix it
    /// Write the labels that the pods have into the Gateway's selector.
    pub(crate) struct GatewaySelector;
    id: "istio-gateway-selector",
    title: "Every Gateway selects pods that are ready",
}

#[async_trait]
impl Check for GatewaySelector {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let found = cx.get(on_path::<Gateway>()).await?;
        let gateways = found.seen(out);
        let fronts = cx.get(FrontServices).await?;
        if gateways.is_empty() {
            return Ok(());
        }
        // A Gateway selects pods of whatever namespace; these are where gateways are.
        let mut namespaces: BTreeSet<&str> =
            fronts.iter().map(|service| service.metadata.namespace()).collect();
        namespaces.insert("istio-system");
        namespaces.extend(gateways.iter().map(|gateway| gateway.metadata.namespace()));
        let mut pods: Vec<Arc<Pod>> = Vec::new();
        for namespace in &namespaces {
            let here = cx.get(within::<Pod>(namespace)).await?;
            pods.extend(here.iter().filter(|pod| !pod.is_over()).cloned());
        }
        for gateway in gateways {
            let selector = &gateway.spec.selector;
            let matches = |pod: &&Arc<Pod>| {
                // Without a selector it is for every gateway.
                let any = selector.is_empty() && fronts.iter().any(|front| front.selects(pod));
                any || selects(selector, &pod.metadata.labels)
            };
            let matching: Vec<_> = pods.iter().filter(matches).collect();
            if matching.iter().any(|pod| pod.is_ready()) {
                out.ok(&**gateway);
            } else if matching.is_empty() {
                report(gateway, &pods, &fronts, out);
            } else {
                for pod in &matching {
                    out.depends(&**gateway, &***pod);
                }
                out.symptom(&**gateway, format!("selects no ready pod (0 of {})", matching.len()));
            }
        }
        Ok(())
    }
}

fn report(
    gateway: &Gateway,
    pods: &[Arc<Pod>],
    fronts: &[Arc<crate::Service>],
    out: &mut Findings,
) {
    let selector = &gateway.spec.selector;
    let text: Vec<_> = selector.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let finding = out.fail(gateway, format!("selects no pod ({})", text.join(",")));
    let front = pods.iter().find(|pod| fronts.iter().any(|service| service.selects(pod)));
    let (namespace, name) = (gateway.metadata.namespace(), &gateway.metadata.name);
    let Some(labels) = front.map(|pod| &pod.metadata.labels) else {
        finding.fix(
            Risk::None,
            "shows the labels that there are",
            "kubectl get pods -n istio-system --show-labels",
        );
        return;
    };
    let shown: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    finding.evidence("pods have", shown.join(", "));
    let right: serde_json::Map<String, serde_json::Value> = selector
        .keys()
        .filter_map(|name| Some((name.clone(), labels.get(name)?.clone().into())))
        .collect();
    if right.len() == selector.len() {
        let patch = serde_json::json!({ "spec": { "selector": right } });
        finding.fix(
            Risk::None,
            "selects the pods that there are",
            format!(
                "kubectl patch gateways.networking.istio.io {name} -n {namespace} --type merge \
                 -p '{patch}'"
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::GatewaySelector;
    use crate::testing::{ingress, report};

    /// The Gateway's selector, and a pod that has the label `istio: ingress`.
    async fn with(selector: Value) -> String {
        let named = |namespace, name| json!({ "namespace": namespace, "name": name });
        let gateway = json!({ "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
            "metadata": named("kubeflow", "kubeflow-gateway"), "spec": { "selector": selector } });
        let service = json!({ "apiVersion": "v1", "kind": "Service",
            "metadata": named("istio-system", "istio-ingress"),
            "spec": { "selector": { "istio": "ingress" }, "ports": [{ "port": 80 }] } });
        let mut pod = json!({ "apiVersion": "v1", "kind": "Pod",
            "metadata": named("istio-system", "istio-ingress-0"),
            "status": { "conditions": [{ "type": "Ready", "status": "True" }] } });
        pod["metadata"]["labels"] = json!({ "istio": "ingress", "app": "istio-ingress" });
        let mut front = ingress("istio-ingress");
        front["metadata"]["namespace"] = "istio-system".into();
        let none = json!({ "items": [] });
        let files = [
            ("kubernetes/deployments.apps.json", none.clone()),
            ("kubernetes/virtualservices.networking.istio.io.json", none),
        ];
        report(&GatewaySelector, &[front, service, pod, gateway], &files).await
    }

    #[tokio::test]
    async fn the_pods_may_be_in_another_namespace() {
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     istio-gateway-selector
                     Every Gateway selects pods that are ready
        "#]]
        .assert_eq(&with(json!({ "istio": "ingress" })).await);
    }

    #[tokio::test]
    async fn without_a_selector_it_is_for_every_gateway() {
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     istio-gateway-selector
                     Every Gateway selects pods that are ready
        "#]]
        .assert_eq(&with(json!({})).await);
    }

    #[tokio::test]
    async fn the_label_of_another_way_to_install_is_replaced() {
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  istio-gateway-selector
              Gateway kubeflow/kubeflow-gateway selects no pod (istio=ingressgateway)
                pods have app=istio-ingress, istio=ingress
                fix       selects the pods that there are
                          kubectl patch gateways.networking.istio.io kubeflow-gateway \
                            -n kubeflow --type merge \
                            -p '{"spec":{"selector":{"istio":"ingress"}}}'
              kubectl kfcheck explain istio-gateway-selector

            FAIL     istio-gateway-selector
                     Every Gateway selects pods that are ready
        "#]]
        .assert_eq(&with(json!({ "istio": "ingressgateway" })).await);
    }
}
