//! The request path on one's own network.

use kfcheck::{Cx, FactError, Named, Path, Stretch, async_trait};
use kfcheck_kube::{host_resource, resource};

use crate::{Doors, FrontBalancers, KubeProxy, MetalLb, address_resource, addresses};

/// Host → Ingress, Gateway or Service; host → address → the Service that got it.
pub(crate) struct FrontEnd;

#[async_trait]
impl Stretch for FrontEnd {
    async fn draw(&self, cx: &Cx, path: &mut Path) -> Result<(), FactError> {
        let doors = cx.get(Doors).await?;
        for door in doors.iter() {
            path.needs(host_resource(&door.host), &door.entrance);
        }
        for service in cx.get(FrontBalancers).await?.iter() {
            for address in addresses(service) {
                let own = address_resource(address);
                path.built_from(&own, &**service);
                // Nobody announces the address of a Service without pods.
                path.needs(&own, &**service);
                for door in doors.iter() {
                    // Another address is somebody else's, who leads here in his own way.
                    let other =
                        door.host.parse().is_ok_and(|host: std::net::IpAddr| host != address);
                    if !other {
                        path.needs(host_resource(&door.host), &own);
                    }
                }
            }
        }
        Ok(())
    }
}

/// An address → MetalLB's pool, and what announces it.
pub(crate) struct Announced;

#[async_trait]
impl Stretch for Announced {
    async fn draw(&self, cx: &Cx, path: &mut Path) -> Result<(), FactError> {
        let Some(metallb) = &*cx.get(MetalLb).await? else { return Ok(()) };
        let balancers = cx.get(FrontBalancers).await?;
        for address in balancers.iter().flat_map(|service| addresses(service)) {
            let Some(pool) = metallb.pool_of(address) else { continue };
            let own = address_resource(address);
            path.needs(&own, &pool.resource);
            for speaker in metallb.speakers.iter().flatten() {
                path.needs(&own, &**speaker);
            }
            if let Some(proxy) = &*cx.get(KubeProxy).await? {
                path.needs(&own, &proxy.told_by);
            }
        }
        Ok(())
    }
}

/// What is judged without an entrance: MetalLB's workloads.
pub(crate) struct Ground;

#[async_trait]
impl Stretch for Ground {
    async fn draw(&self, cx: &Cx, path: &mut Path) -> Result<(), FactError> {
        let Some(metallb) = &*cx.get(MetalLb).await? else { return Ok(()) };
        let namespace = Some(metallb.namespace.as_str());
        for controller in metallb.controllers.iter().flatten() {
            path.stands_on(resource("Deployment", namespace, &controller.metadata.name));
        }
        for speaker in metallb.speakers.iter().flatten() {
            path.stands_on(speaker.resource());
        }
        Ok(())
    }
}
