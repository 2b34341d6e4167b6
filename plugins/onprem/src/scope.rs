use std::net::IpAddr;

use kfcheck::{Cx, Fact, FactError, Place};
use serde::{Deserialize, Serialize};

/// Where users find a deployment, as far as somebody says so. A world is given it as a setting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Whereabouts {
    /// The address that users reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The name that they type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
}

/// Where users find the deployment, where somebody said so.
#[derive(Clone, Serialize)]
pub struct Scope;

impl Fact for Scope {
    const NAME: &'static str = "onprem.scope";
    type Value = Whereabouts;

    fn place(&self) -> Option<Place<Whereabouts>> {
        Some(Place::entry("bundle", "onprem", "kubectl get services -A -o wide"))
    }

    async fn fetch(&self, cx: &Cx) -> Result<Whereabouts, FactError> {
        Ok((*cx.setting::<Whereabouts>()).clone())
    }
}

impl Scope {
    /// What was said; nothing where nobody did.
    pub(crate) async fn said(cx: &Cx) -> Whereabouts {
        cx.get(Self).await.map(|said| (*said).clone()).unwrap_or_default()
    }
}

impl Whereabouts {
    /// The address, where it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.as_deref().and_then(|address| address.trim().parse().ok())
    }
}
