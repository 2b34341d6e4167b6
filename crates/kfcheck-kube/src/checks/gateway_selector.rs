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
            // Without a selector it is for every gateway.
            let matches =
                |pod: &&Arc<Pod>| selector.is_empty() || selects(selector, &pod.metadata.labels);
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
