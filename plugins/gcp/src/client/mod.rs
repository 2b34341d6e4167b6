//! Google Cloud's APIs, asked live through Google's own client libraries.

mod collect;
mod credentials;
mod fault;
mod retry;

use std::{collections::BTreeMap, env, time::Duration};

use google_cloud_auth::credentials::{Credentials, anonymous};
use google_cloud_gax::{client_builder::ClientBuilder, exponential_backoff::ExponentialBackoff};
use kfcheck::Fault;
use tokio::sync::OnceCell;

pub(crate) use collect::{aggregated, convert, is_unreachable, listed, location};
use credentials::is_undivided;
pub use credentials::{GoogleCredentials, IapToken};
pub(crate) use fault::fault;

/// The APIs that are asked, as `--endpoint` names them.
pub const APIS: [&str; 5] = ["certificatemanager", "compute", "container", "dns", "logging"];

/// How long one call may take.
const CALL: Duration = Duration::from_secs(10);

/// Which project and cluster, as whom, and where the APIs are.
#[derive(Clone, Debug, Default)]
pub struct GoogleAccess {
    /// `--project`.
    pub project: Option<String>,
    /// `--network-project`: where the network is, if that is another one.
    pub network_project: Option<String>,
    /// `--location`: a zone or a region.
    pub location: Option<String>,
    /// `--cluster`, as GKE calls it.
    pub cluster: Option<String>,
    /// `--impersonate-service-account`.
    pub impersonate: Option<String>,
    /// `--billing-project`: whose quota the calls count against.
    pub quota_project: Option<String>,
    /// `--endpoint API=URL`: where an API is, if not where Google has it.
    pub endpoints: BTreeMap<String, String>,
    /// `--iap-audience`: the OAuth client that a token for Identity-Aware Proxy is made for.
    pub iap_audience: Option<String>,
    /// `--iap-token`: such a token.
    pub iap_token: Option<IapToken>,
    /// `--caller-address`: where calls from here come from, as the outside sees it.
    pub caller_address: Option<std::net::IpAddr>,
}

/// Google Cloud, for facts to ask. Nobody is asked before the first of them does.
pub struct Google {
    pub(crate) access: GoogleAccess,
    credentials: OnceCell<Result<Credentials, Fault>>,
    /// For the API that takes no others.
    undivided: OnceCell<Result<Credentials, Fault>>,
}

impl Google {
    /// A client for what `access` names.
    pub fn new(access: GoogleAccess) -> Self {
        Self { access, credentials: OnceCell::new(), undivided: OnceCell::new() }
    }

    /// Where an API is, if not where Google has it: as said by flag, or else by the variable that
    /// gcloud reads, `CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE`.
    fn endpoint(&self, api: &str) -> Option<String> {
        let variable = format!("CLOUDSDK_API_ENDPOINT_OVERRIDES_{}", api.to_uppercase());
        let said = self.access.endpoints.get(api).cloned().or_else(|| env::var(variable).ok())?;
        // gcloud's end with the path that is in every request of the client library as well.
        let said = said.trim_end_matches('/');
        let bare = ["/compute/v1", "/dns/v1"].iter().find_map(|path| said.strip_suffix(path));
        Some(bare.unwrap_or(said).to_owned()).filter(|url| !url.is_empty())
    }

    /// The builder of a client of `api`, with everything said that all of them need.
    pub(crate) async fn set_up<F>(
        &self,
        api: &str,
        builder: ClientBuilder<F, Credentials>,
    ) -> Result<ClientBuilder<F, Credentials>, Fault> {
        let backoff = ExponentialBackoff::default();
        let mut builder = builder
            .with_retry_policy(retry::policy())
            .with_backoff_policy(retry::backoff().unwrap_or(backoff))
            .with_retry_throttler(retry::Unthrottled)
            .with_attempt_timeout(CALL);
        let endpoint = self.endpoint(api);
        // A token is for nobody to read on the way.
        let is_plain = endpoint.as_ref().is_some_and(|url| url.starts_with("http://"));
        if let Some(endpoint) = endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let credentials = if is_plain {
            anonymous::Builder::new().build()
        } else {
            self.credentials(api).await?
        };
        Ok(builder.with_credentials(credentials))
    }

    async fn credentials(&self, api: &str) -> Result<Credentials, Fault> {
        let kept = if is_undivided(api) { &self.undivided } else { &self.credentials };
        let found = kept.get_or_init(async || credentials::find(&self.access, api)).await;
        found.clone()
    }

    /// Whether any API would be asked with credentials.
    fn needs_credentials(&self) -> bool {
        let plain = |api| self.endpoint(api).is_some_and(|url| url.starts_with("http://"));
        !APIS.into_iter().all(plain)
    }
}

/// Why a client could not be made.
#[expect(clippy::needless_pass_by_value, reason = "map_err asks like that")]
pub(crate) fn unusable(error: google_cloud_gax::client_builder::Error) -> Fault {
    Fault::Unreachable(format!("Google's client library can't be set up: {error}"))
}
