//! What load balancers at the entrance send requests to.

use std::{collections::BTreeSet, sync::Arc};

use kfcheck::{Cx, Fact, FactError, Named};
use kfcheck_kube::{FrontServices, Node, Pod, Port, Service, all, within};
use serde::Serialize;

use crate::{
    Action, AlbIngresses, FrontLoadBalancers, LoadBalancer, TargetGroup, TargetGroups,
    fronts::annotation, sign_in::doors_of,
};

/// A target group that a listener at the entrance sends requests to.
#[derive(Clone, Debug)]
pub struct FrontTargetGroup {
    /// The group.
    pub group: TargetGroup,
    /// The load balancer.
    pub balancer: LoadBalancer,
    /// The ports of its listeners that lead here.
    pub ports: BTreeSet<i32>,
    /// The Service behind it, as far as that can be told.
    pub service: Option<Arc<Service>>,
}

impl FrontTargetGroup {
    /// Whether users come by it. A gateway's Service has ports for other things as well.
    pub(crate) fn is_vital(&self) -> bool {
        self.balancer.r#type == "application" || self.ports.iter().any(|p| [80, 443].contains(p))
    }
}

/// The target groups that listeners at the entrance send requests to. Where several Ingresses share
/// a load balancer, those of the Services that lead to Kubeflow.
#[derive(Clone, Serialize)]
pub struct FrontTargetGroups;

impl Fact for FrontTargetGroups {
    const NAME: &'static str = "aws.frontTargetGroups";
    type Value = Vec<FrontTargetGroup>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<FrontTargetGroup>, FactError> {
        let services = cx.get(FrontServices).await?;
        let ingresses = cx.get(AlbIngresses).await?;
        let mut found: Vec<FrontTargetGroup> = Vec::new();
        for front in cx.get(FrontLoadBalancers).await?.iter() {
            let ingress = ingresses.iter().find(|ingress| ingress.resource() == front.entrance);
            let is_shared = ingress.is_some_and(|i| annotation(i, "group.name").is_some());
            let doors = doors_of(cx, &front.balancer).await?;
            let load_balancer = front.balancer.load_balancer_arn.clone();
            for group in cx.get(TargetGroups { load_balancer }).await?.iter() {
                let leads = |door: &&crate::Door| {
                    let mut targets = door.forwards().flatten().flat_map(Action::targets);
                    targets.any(|arn| arn == group.target_group_arn)
                };
                let ports: BTreeSet<_> =
                    doors.iter().filter(leads).filter_map(|door| door.listener.port).collect();
                let service = services.iter().find(|service| is_behind(group, service));
                let only = services.first().filter(|_| services.len() == 1 && !is_shared);
                let service = service.or(only).cloned();
                let known =
                    |f: &FrontTargetGroup| f.group.target_group_arn == group.target_group_arn;
                if ports.is_empty() || found.iter().any(known) || is_shared && service.is_none() {
                    continue;
                }
                let (group, balancer) = (group.clone(), front.balancer.clone());
                found.push(FrontTargetGroup { group, balancer, ports, service });
            }
        }
        Ok(found)
    }
}

/// Whether a group is for a Service, by its port.
fn is_behind(group: &TargetGroup, service: &Service) -> bool {
    let is = |port: Option<u16>| port.is_some() && port.map(i32::from) == group.port;
    service.spec.ports.iter().any(|port| match group.target_type.as_str() {
        "ip" => match &port.target_port {
            Some(Port::Number(number)) => is(Some(*number)),
            Some(Port::Name(_)) => false,
            None => is(Some(port.port)),
        },
        _ => is(port.node_port),
    })
}

/// The pods of a Service.
pub(crate) async fn pods_of(cx: &Cx, service: &Service) -> Result<Vec<Arc<Pod>>, FactError> {
    let pods = cx.get(within::<Pod>(service.metadata.namespace())).await?;
    Ok(pods.iter().filter(|pod| service.selects(pod) && !pod.is_over()).cloned().collect())
}

/// The machine that a pod runs on, as EC2 calls it, where its node says so.
pub(crate) async fn machine_of(cx: &Cx, pod: &Pod) -> Option<String> {
    let name = pod.spec.node_name.as_deref()?;
    let nodes = cx.get(all::<Node>()).await.ok()?;
    let node = nodes.iter().find(|node| node.metadata.name == name)?;
    // aws:///us-west-2a/i-1
    let id = node.spec.provider_id.as_deref()?.rsplit('/').next()?;
    id.starts_with("i-").then(|| id.to_owned())
}

/// The machines that run pods of a Service, as far as that can be told.
pub(crate) async fn machines_of(cx: &Cx, service: &Service) -> BTreeSet<String> {
    let mut machines = BTreeSet::new();
    for pod in pods_of(cx, service).await.iter().flatten() {
        machines.extend(machine_of(cx, pod).await);
    }
    machines
}
