use kfcheck::{Cx, FactError, Resource, async_trait};

use crate::Service;

/// What the provider of a cluster knows that checks of the cluster need. A world is given one as a
/// setting; without it, those questions stay open.
#[derive(Clone, Copy, Default)]
pub struct CloudView(pub Option<&'static dyn Cloud>);

/// A provider, as far as the cluster's own checks ask it.
#[async_trait]
pub trait Cloud: Send + Sync {
    /// The audiences that the provider's sign-in writes into tokens for the entrance, with what
    /// stands for each. None: the provider has no such thing here.
    async fn token_audiences(&self, cx: &Cx) -> Result<Vec<(String, Resource)>, FactError>;

    /// The workloads that the load balancer does not reach although nothing in between is wrong.
    async fn unreached(&self, cx: &Cx) -> Result<Vec<Unreached>, FactError>;

    /// The name that users type, where somebody said it to the provider.
    async fn host(&self, _cx: &Cx) -> Option<String> {
        None
    }

    /// Whether the load balancer of a Service ends TLS itself. None: what the Service asks for
    /// tells as much.
    async fn ends_tls(&self, _cx: &Cx, _service: &Service) -> Result<Option<bool>, FactError> {
        Ok(None)
    }
}

/// A workload that is not reached for no visible reason.
#[derive(Clone, Debug)]
pub struct Unreached {
    /// The workload.
    pub workload: Resource,
    /// The port of its pods.
    pub port: u16,
    /// What says that it isn't reached.
    pub because: String,
}
