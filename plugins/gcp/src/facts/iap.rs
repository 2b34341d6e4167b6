use kfcheck::{Cx, Fact, FactError, Place};
use kfcheck_probe::{Ask, HttpAnswer, Outside};
use serde::Serialize;

use super::OurProject;
use crate::client::Google;

/// A request that carries a token for Identity-Aware Proxy, and what comes back; nothing where no
/// token was given. What the bundle has of plain requests to the same address comes along.
#[derive(Clone, Serialize)]
pub struct IapProbe {
    /// The whole address.
    pub url: String,
}

impl Fact for IapProbe {
    const NAME: &'static str = "gcp.iapProbe";
    type Value = Vec<HttpAnswer>;

    fn place(&self) -> Option<Place<Vec<HttpAnswer>>> {
        let command = format!(
            "curl -sv -H \"Proxy-Authorization: Bearer $(gcloud auth print-identity-token)\" '{}'",
            self.url
        );
        Some(Place::members("probes/http", [("url", &*self.url)], command))
    }

    async fn fetch(&self, cx: &Cx) -> Result<Vec<HttpAnswer>, FactError> {
        let google = cx.client::<Google>()?;
        if !google.has_iap_token() {
            return Ok(Vec::new());
        }
        cx.get(OurProject).await?;
        let token = google.iap_token().await?;
        let outside = cx.client::<Outside>()?;
        let mut ask = Ask::get(&self.url);
        // Authorization may be the application's own (IAP documentation, "Programmatic
        // authentication").
        ask.headers.insert("Proxy-Authorization".to_owned(), format!("Bearer {token}"));
        Ok(vec![cx.call(format!("probe GET {} with a token", self.url), outside.ask(&ask)).await?])
    }
}
