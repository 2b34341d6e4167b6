//! As whom Google is asked.

use std::fmt;

use google_cloud_auth::credentials::{
    Builder, CacheableResource, Credentials, idtoken, impersonated,
};
use kfcheck::{Cx, Fact, FactError, Fault};
use serde::Serialize;

use super::{
    Google, GoogleAccess,
    fault::{no_credentials, no_token},
};

/// Reading is all that is ever done. Compute Engine and GKE take no token that is for
/// `cloud-platform.read-only` alone (the scopes in Google's discovery documents).
const SCOPES: [&str; 4] = [
    "https://www.googleapis.com/auth/compute.readonly",
    "https://www.googleapis.com/auth/container.read-only",
    "https://www.googleapis.com/auth/logging.read",
    "https://www.googleapis.com/auth/ndev.clouddns.readonly",
];
/// What making a token for another account takes, and any call to Certificate Manager, which has no
/// scope for reading.
const EVERYTHING: [&str; 1] = ["https://www.googleapis.com/auth/cloud-platform"];

/// A token for Identity-Aware Proxy. It is never shown.
#[derive(Clone)]
pub struct IapToken(pub String);

impl fmt::Debug for IapToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(kfcheck::redact::REDACTED)
    }
}

/// The credentials for calls of an API.
pub(super) fn find(access: &GoogleAccess, api: &str) -> Result<Credentials, Fault> {
    let scopes = if is_undivided(api) { &EVERYTHING[..] } else { &SCOPES };
    let scopes = scopes.iter().copied();
    let failed = |error: google_cloud_auth::build_errors::Error| no_credentials(&error.to_string());
    let quota = access.quota_project.as_ref();
    let Some(account) = &access.impersonate else {
        let builder = Builder::default().with_scopes(scopes);
        let builder = match quota {
            Some(project) => builder.with_quota_project_id(project),
            None => builder,
        };
        return builder.build().map_err(failed);
    };
    let builder = impersonated::Builder::from_source_credentials(impersonator().map_err(failed)?)
        .with_target_principal(account)
        .with_scopes(scopes);
    let builder = match quota {
        Some(project) => builder.with_quota_project_id(project),
        None => builder,
    };
    builder.build().map_err(failed)
}

/// Whether an API takes no token that is for a part of Google Cloud.
pub(super) fn is_undivided(api: &str) -> bool {
    api == "certificatemanager"
}

/// Whoever makes tokens for the account named by `--impersonate-service-account`.
fn impersonator() -> Result<Credentials, google_cloud_auth::build_errors::Error> {
    Builder::default().with_scopes(EVERYTHING).build()
}

/// That there are credentials. Everything that is asked of Google waits for this, so that missing
/// ones are said once.
#[derive(Clone, Serialize)]
pub struct GoogleCredentials;

impl Fact for GoogleCredentials {
    const NAME: &'static str = "gcp.credentials";
    type Value = ();

    async fn fetch(&self, cx: &Cx) -> Result<(), FactError> {
        let google = cx.client::<Google>()?;
        if !google.needs_credentials() {
            return Ok(());
        }
        let credentials = google.credentials("compute").await?;
        let asked = async {
            let headers = credentials.headers(http::Extensions::new()).await;
            headers.map_err(|error| no_token(&error, google.access.impersonate.as_deref()))
        };
        let found = cx.call("google credentials", asked).await?;
        match found {
            CacheableResource::New { .. } | CacheableResource::NotModified => Ok(()),
        }
    }
}

impl Google {
    /// Whether a token for Identity-Aware Proxy was given, or what to make one for.
    pub(crate) fn has_iap_token(&self) -> bool {
        self.access.iap_token.is_some() || self.access.iap_audience.is_some()
    }

    /// The token for Identity-Aware Proxy that was given, or one made for the audience given.
    pub(crate) async fn iap_token(&self) -> Result<String, Fault> {
        if let Some(IapToken(token)) = &self.access.iap_token {
            return Ok(token.clone());
        }
        let audience = self.access.iap_audience.as_deref().unwrap_or_default();
        let failed = |says: String| {
            Fault::Unreachable(format!(
                "no token for {audience} can be made: {says}; personal credentials can't make \
                 one, so name a service account by GOOGLE_APPLICATION_CREDENTIALS, or give a \
                 token with --iap-token"
            ))
        };
        let credentials = match &self.access.impersonate {
            Some(account) => impersonator().and_then(|own| {
                idtoken::impersonated::Builder::from_source_credentials(audience, account, own)
                    .with_include_email()
                    .build()
            }),
            None => idtoken::Builder::new(audience).with_include_email().build(),
        };
        let credentials = credentials.map_err(|error| failed(error.to_string()))?;
        credentials.id_token().await.map_err(|error| failed(error.to_string()))
    }
}
