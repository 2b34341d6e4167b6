//! AWS's controller for load balancers, of both generations.

use std::sync::Arc;

use kfcheck::{Cx, Fact, FactError};
use kfcheck_kube::{Deployment, Pod, within};
use serde::Serialize;

/// Where it is: with Kubeflow's own manifests, or as its documentation installs it.
pub(crate) const NAMESPACES: [&str; 2] = ["kubeflow", "kube-system"];

/// Whether a Deployment is the controller, by what it is called.
pub(crate) fn is_controller(deployment: &Deployment) -> bool {
    let name = &deployment.metadata.name;
    let labels = &deployment.spec.template.metadata.labels;
    let known = ["alb-ingress-controller", "aws-load-balancer-controller"];
    let labelled = ["app", "app.kubernetes.io/name"].iter().filter_map(|key| labels.get(*key));
    known.iter().any(|known| name.contains(known))
        || labelled.clone().any(|label| known.iter().any(|known| label.contains(known)))
}

/// A controller, with its pods.
#[derive(Clone, Debug)]
pub struct AlbController {
    /// The Deployment.
    pub deployment: Arc<Deployment>,
    /// Its pods.
    pub pods: Vec<Arc<Pod>>,
}

/// The controllers that there are.
#[derive(Clone, Serialize)]
pub struct AlbControllers;

impl Fact for AlbControllers {
    const NAME: &'static str = "aws.albControllers";
    type Value = Vec<AlbController>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<AlbController>, FactError> {
        let mut found = Vec::new();
        let mut failed = None;
        for namespace in NAMESPACES {
            match cx.get(within::<Deployment>(namespace)).await {
                Ok(all) => {
                    for deployment in all.iter().filter(|deployment| is_controller(deployment)) {
                        let pods = cx.get(within::<Pod>(namespace)).await?;
                        let ours = pods.iter().filter(|pod| {
                            let labels = &deployment.spec.template.metadata.labels;
                            kfcheck_kube::selects(labels, &pod.metadata.labels) && !pod.is_over()
                        });
                        let pods = ours.cloned().collect();
                        found.push(AlbController { deployment: Arc::clone(deployment), pods });
                    }
                }
                Err(error) => failed = Some(error),
            }
        }
        // That there is none is known only where every place was looked at.
        match failed {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }
}
