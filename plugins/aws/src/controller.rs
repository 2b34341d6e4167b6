//! AWS's controller for load balancers, of both generations.

use std::sync::Arc;

use kfcheck::{Cx, Fact, FactError};
use kfcheck_kube::{Deployment, Pod, all, within};
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

/// The Deployments that are the controller: where it usually is, or else wherever it is.
pub(crate) async fn deployments(cx: &Cx) -> Result<Vec<Arc<Deployment>>, FactError> {
    let is_it = |deployment: &&Arc<Deployment>| is_controller(deployment);
    let mut found = Vec::new();
    let mut failed = None;
    for namespace in NAMESPACES {
        match cx.get(within::<Deployment>(namespace)).await {
            Ok(all) => found.extend(all.iter().filter(is_it).cloned()),
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        _ if !found.is_empty() => Ok(found),
        // That there is none is known only where every place was looked at.
        Some(error) => Err(error),
        None => {
            let everywhere = cx.get(all::<Deployment>()).await?;
            Ok(everywhere.iter().filter(is_it).cloned().collect())
        }
    }
}

/// A controller, with its pods.
#[derive(Clone, Debug)]
pub struct AlbController {
    /// The Deployment.
    pub deployment: Arc<Deployment>,
    /// Its pods.
    pub pods: Vec<Arc<Pod>>,
}

/// What a controller is told its cluster's name is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ToldCluster<'a> {
    /// By a flag: this.
    Flag(&'a str),
    /// By a variable of its environment: this.
    Variable(&'a str),
    /// By something that isn't seen here, or not at all.
    Unseen,
}

impl AlbController {
    /// Whether one of its pods is at work.
    pub(crate) fn is_ready(&self) -> bool {
        self.pods.iter().any(|pod| pod.is_ready())
    }

    /// What it is told its cluster's name is. The first generation takes a variable as well.
    pub(crate) fn told_cluster(&self) -> ToldCluster<'_> {
        let containers = self.pods.iter().flat_map(|pod| &pod.spec.containers);
        for container in containers {
            let flags = container.args.iter().filter_map(|arg| arg.split_once('='));
            let flag = flags.rev().find(|(name, _)| *name == "--cluster-name").map(|(_, v)| v);
            let variable = container.env.iter().find(|variable| variable.name == "CLUSTER_NAME");
            match (flag, variable) {
                // Such a flag takes its value from a variable, whose name isn't looked into.
                (Some(flag), _) if flag.starts_with("$(") && variable.is_none() => (),
                (Some(flag), None) => return ToldCluster::Flag(flag.trim()),
                (Some(flag), Some(_)) if !flag.starts_with("$(") => {
                    return ToldCluster::Flag(flag.trim());
                }
                (_, Some(variable)) => {
                    let value = variable.value.as_deref().map(str::trim);
                    return value.map_or(ToldCluster::Unseen, ToldCluster::Variable);
                }
                (None, None) => (),
            }
        }
        ToldCluster::Unseen
    }

    /// What the cluster tells it of its role: the ARN, and the service account that has it.
    pub(crate) fn role(&self) -> Option<(&str, &Pod)> {
        self.pods.iter().find_map(|pod| {
            let mut variables = pod.spec.containers.iter().flat_map(|container| &container.env);
            let arn =
                variables.find(|variable| variable.name == "AWS_ROLE_ARN")?.value.as_deref()?;
            Some((arn, &**pod))
        })
    }

    /// The version in its image's name, major and minor.
    pub(crate) fn version(&self) -> Option<(u32, u32)> {
        let containers = self.pods.iter().flat_map(|pod| &pod.spec.containers);
        let mut images = containers.map(|container| container.image.as_str());
        images.find_map(|image| {
            let image = image.split('@').next()?;
            let tag = image.rsplit('/').next()?.rsplit_once(':')?.1;
            let mut parts = tag.trim_start_matches('v').split(['.', '-']);
            Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
        })
    }
}

/// The controllers that there are.
#[derive(Clone, Serialize)]
pub struct AlbControllers;

impl Fact for AlbControllers {
    const NAME: &'static str = "aws.albControllers";
    type Value = Vec<AlbController>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<AlbController>, FactError> {
        let mut found = Vec::new();
        for deployment in deployments(cx).await? {
            let pods = cx.get(within::<Pod>(deployment.metadata.namespace())).await?;
            let ours = pods.iter().filter(|pod| {
                let labels = &deployment.spec.template.metadata.labels;
                kfcheck_kube::selects(labels, &pod.metadata.labels) && !pod.is_over()
            });
            let pods = ours.cloned().collect();
            found.push(AlbController { deployment, pods });
        }
        Ok(found)
    }
}
