//! The request path on AWS's side.

use std::collections::BTreeSet;

use kfcheck::{Cx, FactError, Named, Path, Stretch, async_trait};
use kfcheck_kube::{Deployment, FrontServices, Pod, Service, draw_sign_in, host_resource, within};

use crate::{
    AlbIngresses, CognitoSignIns, Doors, FrontClassics, FrontLoadBalancers, Hosts, Scope, Stacks,
    TargetGroups,
    controller::{NAMESPACES, deployments},
    facts::{certificate_resource, cluster_resource, resource},
    fronts::service_resource,
    hosts::shown_certificates,
};

/// Host → load balancer → listener → certificate, target group → Service.
pub(crate) struct FrontEnd;

#[async_trait]
impl Stretch for FrontEnd {
    async fn draw(&self, cx: &Cx, path: &mut Path) -> Result<(), FactError> {
        let hosts = cx.get(Hosts).await;
        let hosts: Vec<_> =
            hosts.iter().flat_map(|all| all.iter()).map(|h| host_resource(h)).collect();
        for ingress in cx.get(AlbIngresses).await?.iter() {
            path.stands_on(&**ingress);
            for host in &hosts {
                path.needs(host, &**ingress);
            }
        }
        let services = cx.get(FrontServices).await?;
        for front in cx.get(FrontLoadBalancers).await?.iter() {
            path.needs(&front.entrance, &front.balancer);
            path.built_from(&front.balancer, &front.entrance);
            for host in &hosts {
                path.needs(host, &front.balancer);
            }
            let load_balancer = front.balancer.load_balancer_arn.clone();
            match cx.get(TargetGroups { load_balancer }).await {
                Ok(groups) => groups.iter().for_each(|group| {
                    path.needs(&front.balancer, group);
                    services.iter().for_each(|service| path.needs(group, &**service));
                }),
                Err(error) => path.gap(error),
            }
        }
        for door in cx.get(Doors).await?.iter() {
            path.needs(&door.balancer, &door.listener);
            for shown in &door.listener.certificates {
                path.needs(&door.listener, certificate_resource(&shown.certificate_arn));
            }
        }
        for arn in shown_certificates(cx).await? {
            for host in &hosts {
                path.needs(host, certificate_resource(&arn));
            }
        }
        Ok(())
    }
}

/// Host → classic load balancer → Service.
pub(crate) struct Classic;

#[async_trait]
impl Stretch for Classic {
    async fn draw(&self, cx: &Cx, path: &mut Path) -> Result<(), FactError> {
        let fronts = cx.get(FrontClassics).await?;
        let hosts = cx.get(Hosts).await;
        let hosts: Vec<_> =
            hosts.iter().flat_map(|all| all.iter()).map(|h| host_resource(h)).collect();
        let services = cx.get(FrontServices).await?;
        for front in fronts.iter() {
            for host in &hosts {
                path.needs(host, &front.balancer);
            }
            path.built_from(&front.balancer, &front.entrance);
            let behind = |service: &&std::sync::Arc<Service>| service.resource() == front.entrance;
            for service in services.iter().filter(behind) {
                path.needs(&front.balancer, service_resource(service));
            }
        }
        Ok(())
    }
}

/// Host → the application that signs in → its pool, and the domain of the sign-in page; or who signs
/// users in within the cluster.
pub(crate) struct SignIn;

#[async_trait]
impl Stretch for SignIn {
    async fn draw(&self, cx: &Cx, path: &mut Path) -> Result<(), FactError> {
        let sign_ins = cx.get(CognitoSignIns).await?;
        let hosts = cx.get(Hosts).await;
        // Whom the load balancer has signed in, nobody in the cluster asks again.
        if sign_ins.is_empty() {
            let known = hosts.iter().flat_map(|all| all.iter());
            let known: Vec<_> = known.map(|host| host_resource(host)).collect();
            draw_sign_in(cx, path, &known).await?;
        }
        let hosts = hosts?;
        for sign_in in sign_ins.iter() {
            let client = resource("UserPoolClient", &sign_in.user_pool_client_id);
            let pool = resource("UserPool", sign_in.pool());
            let domain = resource("UserPoolDomain", sign_in.domain());
            for host in hosts.iter().map(|host| host_resource(host)) {
                path.needs(&host, &client);
                // The load balancer answers all the same, and nobody gets past the sign-in.
                path.set_up_by(&host, &client);
                path.needs(&host, &domain);
            }
            path.built_from(&client, &pool);
            path.built_from(&domain, &pool);
            path.needs(&client, &pool);
            path.needs(&domain, &pool);
            path.needs(&domain, host_resource(&sign_in.sign_in_host()));
        }
        Ok(())
    }
}

/// Ingress → AWS's controller, which makes the load balancer for it.
pub(crate) struct Controller;

#[async_trait]
impl Stretch for Controller {
    async fn draw(&self, cx: &Cx, path: &mut Path) -> Result<(), FactError> {
        let ingresses = cx.get(AlbIngresses).await?;
        if ingresses.is_empty() {
            return Ok(());
        }
        for namespace in NAMESPACES {
            cx.begin(within::<Deployment>(namespace));
            cx.begin(within::<Pod>(namespace));
        }
        for deployment in deployments(cx).await? {
            for ingress in ingresses.iter() {
                path.built_from(&**ingress, &*deployment);
            }
        }
        Ok(())
    }
}

/// What is judged without an entrance: the cluster, and the stacks that it is made of.
pub(crate) struct Ground;

#[async_trait]
impl Stretch for Ground {
    async fn draw(&self, cx: &Cx, path: &mut Path) -> Result<(), FactError> {
        let scope = cx.get(Scope).await?;
        if scope.cluster.is_empty() {
            return Ok(());
        }
        let cluster = cluster_resource(&scope.cluster);
        path.stands_on(&cluster);
        let stacks = cx.get(Stacks).await?;
        let ours = stacks.iter().filter(|stack| stack.eksctl_cluster() == Some(&scope.cluster));
        let ours: BTreeSet<_> = ours.map(Named::resource).collect();
        for stack in ours {
            // What a stack makes is there before it is; only the cluster itself comes of one.
            if stack.name.ends_with("-cluster") {
                path.built_from(&cluster, &stack);
            }
            path.stands_on(stack);
        }
        Ok(())
    }
}
