//! AWS's APIs, asked live through AWS's own client libraries.

mod fault;

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use kfcheck::{Cx, FactError};
use kfcheck_kube::{Chosen, Context};
use tokio::sync::OnceCell;

use fault::no_credentials;
pub(crate) use fault::{asked, fault, is_absent};

/// How long a connection may take to make.
const CONNECT: Duration = Duration::from_secs(3);
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);
/// How long one call may take, its attempts together.
const OPERATION: Duration = Duration::from_secs(40);

/// Which account, region and cluster, as whom, and where the APIs are.
#[derive(Clone, Debug, Default)]
pub struct AwsAccess {
    /// `--profile`, of the files that the AWS CLI reads.
    pub profile: Option<String>,
    /// `--region`.
    pub region: Option<String>,
    /// `--cluster`, as EKS calls it.
    pub cluster: Option<String>,
    /// `--endpoint-url`: where all APIs are, if not where AWS has them.
    pub endpoint: Option<String>,
    /// Credentials, where they are not to be looked for where the AWS CLI looks.
    pub credentials: Option<SharedCredentialsProvider>,
}

/// AWS, for facts to ask. Nobody is asked before the first of them does.
pub struct Aws {
    pub(crate) access: AwsAccess,
    config: OnceCell<SdkConfig>,
}

impl Aws {
    /// A client for what `access` names.
    pub fn new(access: AwsAccess) -> Self {
        Self { access, config: OnceCell::new() }
    }

    /// What every client is made from, of the region that is inspected.
    pub(crate) async fn config(&self, cx: &Cx) -> &SdkConfig {
        self.config.get_or_init(async || self.load(cx).await).await
    }

    /// The same for another region, where that is said.
    pub(crate) async fn config_in(&self, cx: &Cx, region: &str) -> SdkConfig {
        let config = self.config(cx).await;
        if region.is_empty() {
            return config.clone();
        }
        config.to_builder().region(Region::new(region.to_owned())).build()
    }

    async fn load(&self, cx: &Cx) -> SdkConfig {
        let chosen = cx.get(Context).await.map(|chosen| (*chosen).clone()).unwrap_or_default();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(OPERATION)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::standard().with_max_attempts(4))
            .timeout_config(timeouts);
        let said = self.access.region.clone().or_else(|| Said::of(&chosen).region);
        if let Some(region) = said {
            loader = loader.region(Region::new(region));
        }
        // The environment's own credentials come before what the kubeconfig says of its plugin.
        let has_keys = std::env::var_os("AWS_ACCESS_KEY_ID").is_some();
        let of_plugin = chosen.plugin_profile.clone().filter(|_| !has_keys);
        let of_plugin = of_plugin.filter(|_| std::env::var_os("AWS_PROFILE").is_none());
        if let Some(profile) = self.access.profile.clone().or(of_plugin) {
            loader = loader.profile_name(profile);
        }
        if let Some(endpoint) = &self.access.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let Some(credentials) = &self.access.credentials {
            loader = loader.credentials_provider(credentials.clone());
        }
        loader.load().await
    }

    /// Fails where there are no credentials, without asking anybody but who keeps them.
    pub(crate) async fn find_credentials(&self, cx: &Cx) -> Result<(), FactError> {
        let config = self.config(cx).await;
        let missing = || no_credentials("none are set up");
        let provider = config.credentials_provider().ok_or_else(missing)?;
        let found = async {
            let found = provider.provide_credentials().await;
            found.map(|_| ()).map_err(|error| no_credentials(&fault::causes(&error)))
        };
        Ok(cx.call("aws credentials", found).await?)
    }
}

/// What a kubeconfig says of a cluster of EKS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// The cluster's name.
    pub(crate) cluster: Option<String>,
    /// Its region.
    pub(crate) region: Option<String>,
    /// Its account.
    pub(crate) account: Option<String>,
}

impl Said {
    /// By the plugin's arguments, by the context's name as `aws eks update-kubeconfig` and eksctl
    /// write it, or by the API server's name.
    pub(crate) fn of(chosen: &Chosen) -> Self {
        let names = [&chosen.cluster, &chosen.context];
        let named = names.into_iter().flatten().find_map(|name| Self::named(name));
        let named = named.unwrap_or_default();
        let told = |flags: &[&str]| {
            let mut args = chosen.plugin.iter();
            let mut value = None;
            while let Some(arg) = args.next() {
                if flags.contains(&arg.as_str()) {
                    value = args.next().cloned();
                } else if let Some((flag, said)) = arg.split_once('=')
                    && flags.contains(&flag)
                {
                    value = Some(said.to_owned());
                }
            }
            value
        };
        // https://ID.gr7.us-west-2.eks.amazonaws.com, with a slash behind it.
        let host = chosen.server.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let of_host = host.split_once(".eks.amazonaws.com").map(|(before, _)| before);
        let of_host = of_host.and_then(|before| before.rsplit('.').next());
        Self {
            // `aws-iam-authenticator token -i NAME`, `aws eks get-token --cluster-name NAME`.
            cluster: told(&["--cluster-name", "--cluster-id", "-i"]).or(named.cluster),
            region: told(&["--region"]).or(named.region).or(of_host.map(str::to_owned)),
            account: named.account,
        }
    }

    /// `arn:aws:eks:REGION:ACCOUNT:cluster/NAME`, `USER@NAME.REGION.eksctl.io`.
    fn named(context: &str) -> Option<Self> {
        if let Some(name) = context.strip_suffix(".eksctl.io") {
            let (cluster, region) = name.rsplit('@').next()?.rsplit_once('.')?;
            let (cluster, region) = (Some(cluster.to_owned()), Some(region.to_owned()));
            return Some(Self { cluster, region, account: None });
        }
        let parts: Vec<_> = context.splitn(6, ':').collect();
        let [_, _, "eks", region, account, name] = parts[..] else { return None };
        Some(Self {
            cluster: Some(name.strip_prefix("cluster/")?.to_owned()),
            region: Some(region.to_owned()),
            account: Some(account.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use kfcheck_kube::Chosen;

    use super::Said;

    fn said(context: &str, server: &str, plugin: &[&str]) -> (String, String) {
        let plugin = plugin.iter().map(|&arg| arg.to_owned()).collect();
        let (context, server) = (Some(context.to_owned()), server.to_owned());
        let said = Said::of(&Chosen { context, server, plugin, ..Chosen::default() });
        (said.cluster.unwrap_or_default(), said.region.unwrap_or_default())
    }

    #[test]
    fn the_cluster_and_its_region_are_read_from_every_usual_kubeconfig() {
        let same = ("kf".to_owned(), "us-west-2".to_owned());
        assert_eq!(said("arn:aws:eks:us-west-2:1:cluster/kf", "", &[]), same);
        assert_eq!(said("me@kf.us-west-2.eksctl.io", "", &[]), same);
        let server = "https://ABC.gr7.us-west-2.eks.amazonaws.com/";
        assert_eq!(said("prod", server, &["aws-iam-authenticator", "token", "-i", "kf"]), same);
        let told = ["aws", "--region", "us-west-2", "eks", "get-token", "--cluster-name", "kf"];
        assert_eq!(said("prod", "https://10.0.0.1/", &told), same);
    }
}
