use kfcheck::{Cx, FactError, Named, Resource, async_trait};
use kfcheck_kube::{Cloud, Service, Unreached};

use crate::{FrontClassics, FrontLoadBalancers, Listener, Listeners};

/// Amazon Web Services, for the checks of the cluster.
pub struct AmazonCloud;

#[async_trait]
impl Cloud for AmazonCloud {
    /// What the load balancer writes into its tokens names no audience.
    async fn token_audiences(&self, _cx: &Cx) -> Result<Vec<(String, Resource)>, FactError> {
        Ok(Vec::new())
    }

    /// Why a target is unhealthy is said by its own check.
    async fn unreached(&self, _cx: &Cx) -> Result<Vec<Unreached>, FactError> {
        Ok(Vec::new())
    }

    async fn ends_tls(&self, cx: &Cx, service: &Service) -> Result<Option<bool>, FactError> {
        let mut known = false;
        for front in cx.get(FrontClassics).await?.iter() {
            if front.entrance == service.resource() {
                known = true;
                let mut listeners = front.balancer.listeners();
                if listeners.any(|listener| ["HTTPS", "SSL"].contains(&listener.protocol.as_str()))
                {
                    return Ok(Some(true));
                }
            }
        }
        for front in cx.get(FrontLoadBalancers).await?.iter() {
            if front.entrance == service.resource() {
                known = true;
                let load_balancer = front.balancer.load_balancer_arn.clone();
                let listeners = cx.get(Listeners { load_balancer }).await?;
                let ends = |listener: &Listener| ["HTTPS", "TLS"].contains(&&*listener.protocol);
                if listeners.iter().any(ends) {
                    return Ok(Some(true));
                }
            }
        }
        Ok(known.then_some(false))
    }
}
