//! As whom Google is asked.

use std::fmt;

use google_cloud_auth::credentials::{
    Builder, CacheableResource, Credentials, idtoken, impersonated,
};
use kfcheck::{Cx, Fact, FactError, Fault};
use serde::Serialize;

use super::{Google, GoogleAccess, fault::no_credentials};

/// Reading is all that is ever done.
const SCOPES: [&str; 1] = ["https://www.googleapis.com/auth/cloud-platform.read-only"];
/// What making a token for another account takes.
const IMPERSONATING: [&str; 1] = ["https://www.googleapis.com/auth/cloud-platform"];

/// A token for Identity-Aware Proxy. It is never shown.
#[derive(Clone)]
pub struct IapToken(pub String);

impl fmt::Debug for IapToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(kfcheck::redact::REDACTED)
    }
}

pub(super) fn find(access: &GoogleAccess) -> Result<Credentials, Fault> {
    let failed = |error: google_cloud_auth::build_errors::Error| no_credentials(&error.to_string());
    let quota = access.quota_project.as_ref();
    let Some(account) = &access.impersonate else {
        let builder = Builder::default().with_scopes(SCOPES);
        let builder = match quota {
            Some(project) => builder.with_quota_project_id(project),
            None => builder,
        };
        return builder.build().map_err(failed);
    };
    let own = Builder::default().with_scopes(IMPERSONATING).build().map_err(failed)?;
    let builder = impersonated::Builder::from_source_credentials(own)
        .with_target_principal(account)
        .with_scopes(SCOPES);
    let builder = match quota {
        Some(project) => builder.with_quota_project_id(project),
        None => builder,
    };
    builder.build().map_err(failed)
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
        let credentials = google.credentials().await?;
        let asked = async {
            let headers = credentials.headers(http::Extensions::new()).await;
            headers.map_err(|error| no_credentials(&error.to_string()))
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
        let credentials = idtoken::Builder::new(audience).with_include_email().build();
        let credentials = credentials.map_err(|error| failed(error.to_string()))?;
        credentials.id_token().await.map_err(|error| failed(error.to_string()))
    }
}
