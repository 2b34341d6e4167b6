use kfcheck::{Cx, Fact, FactError, Fault, Place};
use serde::{Deserialize, Serialize};

use crate::client::{Discovery, KubeClient};

/// Who the API server says that it is in the tokens of service accounts.
#[derive(Clone, Serialize)]
pub struct TokenIssuer;

/// What the API server publishes about its tokens.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Issuer {
    /// What stands in each token.
    pub issuer: String,
}

/// Where it publishes that (Kubernetes documentation, "Managing Service Accounts", "Service account
/// issuer discovery").
const PATH: &str = "/.well-known/openid-configuration";

impl Fact for TokenIssuer {
    const NAME: &'static str = "kube.tokenIssuer";
    const NEEDS: &'static [&'static str] = &["get /.well-known/openid-configuration"];
    type Value = Issuer;

    fn place(&self) -> Option<Place<Issuer>> {
        let command = format!("kubectl get --raw {PATH}");
        Some(Place::entry("bundle", "serviceAccountIssuer", command))
    }

    async fn fetch(&self, cx: &Cx) -> Result<Issuer, FactError> {
        cx.get(Discovery).await?;
        let connection = cx.client::<KubeClient>()?.connection().await?;
        let answer = connection.get(cx, PATH, "application/json").await?;
        let body = answer.body(PATH, Self::NEEDS[0])?;
        let malformed = |error: serde_json::Error| Fault::Malformed {
            file: format!("the API server's answer to GET {PATH}"),
            detail: error.to_string(),
        };
        Ok(serde_json::from_slice(&body).map_err(malformed)?)
    }
}
