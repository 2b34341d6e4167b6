use std::{collections::BTreeSet, sync::Arc};

use kfcheck::{Check, Cx, FactError, Findings, Named, Risk, async_trait, check};

use super::domain::is_local;
use crate::{
    Entrance, Entrances, FrontServices, Gateway, InferenceService, Ingress, Pod, Service,
    VirtualService, all, covers, on_path, selects, within,
};

check! {
    /// ## What it checks
    /// For every InferenceService that is ready and has a public address: that a VirtualService
    /// routes its host, at a Gateway that exists, takes the host and can be reached from outside,
    /// and that the entrance takes the host as well. One that switches its sidecar off is a
    /// warning: nobody asks who uses it.
    ///
    /// ## Why it matters
    /// A request for a host without a route falls through to whatever takes every host, as a rule
    /// the dashboard, or is answered 404, while the model is well.
    ///
    /// ## How to fix it
    /// Let KServe bind its routes to the Gateway that users come in by (`ingressGateway` in its
    /// ConfigMap `inferenceservice-config`), and let that Gateway and the Ingress in front of it
    /// take the models' hosts, with `*` for all of them.
    pub(crate) struct Route;
    id: "kserve-route",
    title: "Every public model can be reached by its host",
}

#[async_trait]
impl Check for Route {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let models = cx.get(all::<InferenceService>()).await?;
        if models.is_empty() {
            return Ok(());
        }
        let entrances = cx.get(Entrances).await?;
        let outside = Outside::of(cx, out).await?;
        for model in models.iter().filter(|m| m.is_ready() && !m.is_raw()) {
            let Some(host) = model.host().filter(|host| !is_local(host)) else { continue };
            let routed = examine(cx, model, host, &outside, out).await;
            let Some(at_entrance) = out.known(&**model, routed).flatten() else { continue };
            if at_entrance && !is_taken(cx, &entrances, host, &outside).await? {
                report_not_taken(model, host, &entrances, out);
            } else if model.metadata.annotations.get("sidecar.istio.io/inject")
                == Some(&"false".to_owned())
            {
                out.warn(&**model, "runs without a sidecar, so whoever reaches it may use it");
            } else {
                out.ok(&**model);
            }
        }
        Ok(())
    }
}

/// What requests from outside reach.
struct Outside {
    fronts: Arc<Vec<Arc<Service>>>,
    on_path: Vec<Arc<Gateway>>,
    all: Arc<Vec<Arc<Gateway>>>,
}

impl Outside {
    async fn of(cx: &Cx, out: &mut Findings) -> Result<Self, FactError> {
        let on_path = cx.get(on_path::<Gateway>()).await?;
        Ok(Self {
            fronts: cx.get(FrontServices).await?,
            on_path: on_path.seen(out).to_vec(),
            all: cx.get(all::<Gateway>()).await?,
        })
    }

    fn is_on_path(&self, gateway: &Gateway) -> bool {
        self.on_path.iter().any(|other| other.resource() == gateway.resource())
    }

    /// Whether a Service that others than the cluster's own pods reach leads to a Gateway's pods.
    async fn reaches(&self, cx: &Cx, gateway: &Gateway) -> Result<bool, FactError> {
        if self.is_on_path(gateway) {
            return Ok(true);
        }
        let fronts = self.fronts.iter().map(|front| front.metadata.namespace());
        let own = [gateway.metadata.namespace(), "istio-system"];
        for namespace in fronts.chain(own).collect::<BTreeSet<_>>() {
            let pods = cx.get(within::<Pod>(namespace)).await?;
            let ours = |pod: &&Arc<Pod>| {
                let selector = &gateway.spec.selector;
                selector.is_empty() || selects(selector, &pod.metadata.labels)
            };
            let services = cx.get(within::<Service>(namespace)).await?;
            let open = |s: &&Arc<Service>| ["LoadBalancer", "NodePort"].contains(&&*s.spec.kind);
            let mut open = services.iter().filter(open);
            if open.any(|service| pods.iter().filter(ours).any(|pod| service.selects(pod))) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether a model's host is routed, and if so, whether at the entrance. What is wrong is reported.
async fn examine(
    cx: &Cx,
    model: &InferenceService,
    host: &str,
    outside: &Outside,
    out: &mut Findings,
) -> Result<Option<bool>, FactError> {
    let here = cx.get(within::<VirtualService>(model.metadata.namespace())).await?;
    let is_for =
        |route: &&Arc<VirtualService>| route.spec.hosts.iter().any(|name| covers(name, host));
    let routes: Vec<_> = here.iter().filter(is_for).collect();
    let Some(first) = routes.first() else {
        let name = &model.metadata.name;
        let about = |route: &Arc<VirtualService>| route.metadata.name.starts_with(name.as_str());
        // Where Istio has no routes of this model at all, somebody else has.
        if here.iter().any(about) {
            out.fail(model, format!("has the host {host}, which no VirtualService routes")).fix(
                Risk::None,
                "shows the routes that there are",
                format!(
                    "kubectl get virtualservices.networking.istio.io -n {}",
                    model.metadata.namespace()
                ),
            );
        }
        return Ok(None);
    };
    let bound: BTreeSet<_> = routes.iter().flat_map(|route| route.gateways()).collect();
    let is_bound = |gateway: &&Arc<Gateway>| {
        bound.contains(&(gateway.metadata.namespace(), gateway.metadata.name.as_str()))
    };
    let names = |all: &[&Arc<Gateway>]| {
        let names = all.iter().map(|g| format!("{}/{}", g.metadata.namespace(), g.metadata.name));
        names.collect::<Vec<_>>().join(", ")
    };
    let known: Vec<_> = outside.all.iter().filter(is_bound).collect();
    let takes = |gateway: &&Arc<Gateway>| gateway.spec.servers.iter().any(|s| s.takes(host));
    let taking: Vec<_> = known.iter().copied().filter(takes).collect();
    let mut open = Vec::new();
    for gateway in &taking {
        if outside.reaches(cx, gateway).await? {
            open.push(*gateway);
        }
    }
    let there: Vec<_> = outside.on_path.iter().collect();
    let (message, evidence) = if known.is_empty() {
        let wanted: Vec<_> = bound.iter().map(|(ns, name)| format!("{ns}/{name}")).collect();
        let wanted = wanted.join(", ");
        if wanted.is_empty() {
            (format!("routes {host} at no Gateway"), ("at the entrance", names(&there)))
        } else {
            let message = format!("routes {host} at Gateway {wanted}, which does not exist");
            (message, ("at the entrance", names(&there)))
        }
    } else if taking.is_empty() {
        let servers = known.iter().flat_map(|gateway| &gateway.spec.servers);
        let hosts: BTreeSet<_> = servers.flat_map(|server| server.hosts.clone()).collect();
        let hosts = hosts.into_iter().collect::<Vec<_>>().join(", ");
        let message = format!("routes {host} at Gateway {}, which is for others", names(&known));
        (message, ("it takes", hosts))
    } else if open.is_empty() {
        let message = format!("routes {host} at Gateway {}, which is closed", names(&taking));
        (message, ("at the entrance", names(&there)))
    } else {
        return Ok(Some(open.iter().all(|gateway| outside.is_on_path(gateway))));
    };
    out.depends(model, &***first);
    let finding = out.fail(&***first, message);
    if !evidence.1.is_empty() {
        finding.evidence(evidence.0, evidence.1);
    }
    finding.evidence("model", &model.metadata.name).fix(
        Risk::None,
        "shows at which Gateway KServe binds its routes",
        "kubectl get configmap inferenceservice-config -n kubeflow -o jsonpath='{.data.ingress}'",
    );
    Ok(None)
}

/// Whether whoever stands in front of the gateway takes a host.
async fn is_taken(
    cx: &Cx,
    entrances: &[Entrance],
    host: &str,
    outside: &Outside,
) -> Result<bool, FactError> {
    let any = |hosts: &[String]| hosts.is_empty() || hosts.iter().any(|name| covers(name, host));
    // A load balancer of the gateway's own takes whatever comes.
    let own = |front: &Arc<Service>| front.spec.kind == "LoadBalancer";
    if entrances.iter().any(|e| any(&e.hosts())) || outside.fronts.iter().any(own) {
        return Ok(true);
    }
    // Another Ingress may be there for the models.
    let ingresses = cx.get(all::<Ingress>()).await?;
    let hosts = |ingress: &Ingress| ingress.hosts().map(str::to_owned).collect::<Vec<_>>();
    Ok(ingresses.iter().any(|ingress| any(&hosts(ingress))))
}

fn report_not_taken(
    model: &InferenceService,
    host: &str,
    entrances: &[Entrance],
    out: &mut Findings,
) {
    let Some(entrance) = entrances.first() else { return };
    let hosts: Vec<_> = entrances.iter().flat_map(Entrance::hosts).collect();
    out.fail(model, format!("has the host {host}, which {} does not take", entrance.resource()))
        .serving()
        .evidence("it takes", hosts.join(", "))
        .fix(Risk::None, "shows what it takes", entrance.describe());
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::Route;
    use crate::{
        models::testing::{model, none},
        testing::{ingress, report},
    };

    /// Istio's gateway behind an Ingress that takes `*.example.com`, with Kubeflow's Gateway for
    /// `hosts`, and a model's route bound to a Gateway.
    fn world(hosts: &Value, bound: &str) -> Vec<Value> {
        let named = |namespace: &str, name: &str| json!({ "namespace": namespace, "name": name });
        let mut front = ingress("gateway");
        front["spec"]["rules"][0].as_object_mut().unwrap().remove("host");
        let service = json!({ "apiVersion": "v1", "kind": "Service",
            "metadata": named("kubeflow", "gateway"),
            "spec": { "type": "NodePort", "selector": { "istio": "ingressgateway" },
                "ports": [{ "port": 80 }] } });
        let mut inner = service.clone();
        inner["metadata"]["name"] = "local".into();
        inner["spec"]["type"] = "ClusterIP".into();
        inner["spec"]["selector"]["istio"] = "local".into();
        let pod = |label: &str| {
            let mut metadata = named("kubeflow", label);
            metadata["labels"] = json!({ "istio": label });
            json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata })
        };
        let gateway = |name: &str, label: &str, hosts: &Value| {
            let server = json!({ "hosts": hosts, "port": { "number": 80, "protocol": "HTTP" } });
            json!({ "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
                "metadata": named("kubeflow", name),
                "spec": { "selector": { "istio": label }, "servers": [server] } })
        };
        let route = json!({ "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": named("team", "iris"),
            "spec": { "hosts": ["iris.team.example.com"], "gateways": [bound, "mesh"] } });
        let outer = gateway("kubeflow-gateway", "ingressgateway", hosts);
        let local = gateway("local", "local", &json!(["*"]));
        vec![
            front,
            service,
            inner,
            pod("ingressgateway"),
            pod("local"),
            outer,
            local,
            route,
            model("True"),
        ]
    }

    async fn says(objects: &[Value]) -> String {
        let files = none(["deployments.apps"]);
        let mut files: Vec<_> = files.iter().map(|(name, none)| (&**name, none.clone())).collect();
        // The gateways are outside of Istio's own namespace here.
        files.push(("kubernetes/services.json", json!({ "items": [] })));
        files.push(("kubernetes/pods.json", json!({ "items": [] })));
        report(&Route, objects, &files).await
    }

    #[tokio::test]
    async fn a_route_at_the_entrance_is_enough() {
        let objects = world(&json!(["*"]), "kubeflow/kubeflow-gateway");
        expect![[r#"
            front: nothing broken found. 0 root causes, 0 symptoms; 1 check passed, 0 not
            seen.

            pass     kserve-route
                     Every public model can be reached by its host
        "#]]
        .assert_eq(&says(&objects).await);
    }

    #[tokio::test]
    async fn a_gateway_inside_the_cluster_is_the_wrong_one() {
        expect![[r#"
            front: nothing broken on the way; something beside it is. 1 root cause, 0
            symptoms; 0 checks passed, 0 not seen.

            BROKEN  kserve-route
              VirtualService team/iris routes iris.team.example.com at Gateway
                kubeflow/local, which is closed
                at the entrance
                          kubeflow/kubeflow-gateway
                model     iris
                fix       shows at which Gateway KServe binds its routes
                          kubectl get configmap inferenceservice-config -n kubeflow \
                            -o jsonpath='{.data.ingress}'
              kubectl kfcheck explain kserve-route

            FAIL     kserve-route
                     Every public model can be reached by its host
        "#]]
        .assert_eq(&says(&world(&json!(["*"]), "kubeflow/local")).await);
    }

    #[tokio::test]
    async fn a_gateway_that_does_not_exist_routes_nothing() {
        expect![[r#"
            front: nothing broken on the way; something beside it is. 1 root cause, 0
            symptoms; 0 checks passed, 0 not seen.

            BROKEN  kserve-route
              VirtualService team/iris routes iris.team.example.com at Gateway
                knative-serving/gone, which does not exist
                at the entrance
                          kubeflow/kubeflow-gateway
                model     iris
                fix       shows at which Gateway KServe binds its routes
                          kubectl get configmap inferenceservice-config -n kubeflow \
                            -o jsonpath='{.data.ingress}'
              kubectl kfcheck explain kserve-route

            FAIL     kserve-route
                     Every public model can be reached by its host
        "#]]
        .assert_eq(&says(&world(&json!(["*"]), "knative-serving/gone")).await);
    }

    #[tokio::test]
    async fn a_gateway_may_be_for_other_hosts() {
        let objects = world(&json!(["kf.example.com"]), "kubeflow/kubeflow-gateway");
        expect![[r#"
            front: nothing broken on the way; something beside it is. 1 root cause, 0
            symptoms; 0 checks passed, 0 not seen.

            BROKEN  kserve-route
              VirtualService team/iris routes iris.team.example.com at Gateway
                kubeflow/kubeflow-gateway, which is for others
                it takes  kf.example.com
                model     iris
                fix       shows at which Gateway KServe binds its routes
                          kubectl get configmap inferenceservice-config -n kubeflow \
                            -o jsonpath='{.data.ingress}'
              kubectl kfcheck explain kserve-route

            FAIL     kserve-route
                     Every public model can be reached by its host
        "#]]
        .assert_eq(&says(&objects).await);
    }

    #[tokio::test]
    async fn the_entrance_has_to_take_the_host() {
        let mut objects = world(&json!(["*"]), "kubeflow/kubeflow-gateway");
        objects[0] = ingress("gateway");
        expect![[r#"
            kf.example.com: nothing broken on the way; something beside it is. 1 root cause,
            0 symptoms; 0 checks passed, 0 not seen.

            BROKEN  kserve-route
              InferenceService team/iris has the host iris.team.example.com, which Ingress
                kubeflow/front does not take
                it takes  kf.example.com
                fix       shows what it takes
                          kubectl describe ingress -n kubeflow front
              kubectl kfcheck explain kserve-route

            FAIL     kserve-route
                     Every public model can be reached by its host
        "#]]
        .assert_eq(&says(&objects).await);
    }

    #[tokio::test]
    async fn without_a_sidecar_nobody_asks_who_comes() {
        let mut objects = world(&json!(["*"]), "kubeflow/kubeflow-gateway");
        objects[8]["metadata"]["annotations"] = json!({ "sidecar.istio.io/inject": "false" });
        expect![[r#"
            front: nothing broken found. 0 root causes, 0 symptoms; 0 checks passed, 0 not
            seen.

            WARNING  kserve-route
              InferenceService team/iris runs without a sidecar, so whoever reaches it may
                use it

            warn     kserve-route
                     Every public model can be reached by its host
        "#]]
        .assert_eq(&says(&objects).await);
    }

    #[tokio::test]
    async fn a_model_for_the_cluster_needs_no_route() {
        let mut objects = world(&json!(["*"]), "kubeflow/local");
        objects[8]["status"]["url"] = "http://iris.team.svc.cluster.local".into();
        assert!(says(&objects).await.contains("skip     "));
    }

    #[tokio::test]
    async fn without_its_routes_nothing_is_known_of_a_model() {
        let mut objects = world(&json!(["*"]), "kubeflow/local");
        objects.remove(7);
        assert!(says(&objects).await.contains("unknown  "));
    }
}
