use kfcheck::{Cx, FactError, Resource, async_trait};
use kfcheck_kube::{Cloud, Unreached};

use crate::Scope;

/// One's own machines, for the checks of the cluster.
pub struct OnPremises;

#[async_trait]
impl Cloud for OnPremises {
    /// Nothing before the gateway writes tokens.
    async fn token_audiences(&self, _cx: &Cx) -> Result<Vec<(String, Resource)>, FactError> {
        Ok(Vec::new())
    }

    /// Nothing before the gateway looks whether it is well.
    async fn unreached(&self, _cx: &Cx) -> Result<Vec<Unreached>, FactError> {
        Ok(Vec::new())
    }

    async fn host(&self, cx: &Cx) -> Option<String> {
        Scope::said(cx).await.hostname
    }
}
