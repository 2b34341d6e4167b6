//! What is said about asking the outside world, and the clients that come of it.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use kfcheck::{Fault, World};
#[cfg(feature = "gcp")]
use kfcheck_kube::ManagementCluster;
use kfcheck_kube::{Access, KubeClient};
use kfcheck_probe::{Outside, Through};

use crate::args::EntranceArgs;

const CLUSTER: &str = "Which cluster, and as whom (kubectl's own flags)";
const PROBES: &str = "What is tried from here";
#[cfg(feature = "gcp")]
const GOOGLE: &str = "Google Cloud";

/// Which cluster and cloud to ask, and as whom.
#[derive(Debug, clap::Args)]
pub struct LiveArgs {
    /// The kubeconfig to read, instead of KUBECONFIG's.
    #[arg(long, value_name = "FILE", help_heading = CLUSTER)]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig; without it, the current one.
    #[arg(long, value_name = "NAME", help_heading = CLUSTER)]
    pub context: Option<String>,
    /// A cluster of the kubeconfig, or what the cloud calls it.
    #[arg(long, value_name = "NAME", help_heading = CLUSTER)]
    pub cluster: Option<String>,
    /// A user of the kubeconfig.
    #[arg(long, value_name = "NAME", help_heading = CLUSTER)]
    pub user: Option<String>,
    /// The user to act as.
    #[arg(long = "as", value_name = "NAME", help_heading = CLUSTER)]
    pub impersonate: Option<String>,
    /// A group to act as; may be given several times.
    #[arg(long = "as-group", value_name = "NAME", help_heading = CLUSTER)]
    pub impersonate_groups: Vec<String>,
    /// The UID to act as.
    #[arg(long = "as-uid", value_name = "UID", help_heading = CLUSTER)]
    pub impersonate_uid: Option<String>,
    /// How long one call to the API server may take, as 5s, 1m.
    #[arg(long, value_name = "DURATION", value_parser = request_timeout, help_heading = CLUSTER)]
    pub request_timeout: Option<Duration>,

    /// Resolve no names and send no requests; what only they show is then not seen.
    #[arg(long, help_heading = PROBES)]
    pub no_probes: bool,
    /// Run `cat /proc/net/tcp` in the pods at the front door, to see on which addresses they listen.
    #[arg(long, help_heading = PROBES)]
    pub exec: bool,
    /// The name server to ask, instead of this machine's.
    #[arg(long, value_name = "ADDRESS[:PORT]", value_parser = name_server, help_heading = PROBES)]
    pub dns_server: Option<SocketAddr>,
    /// Send every request to one of these addresses instead of where its name leads: that for TLS,
    /// and that for the others.
    #[arg(long, value_name = "TLS,PLAIN", value_delimiter = ',', hide = true)]
    pub connect_to: Vec<SocketAddr>,

    #[cfg(feature = "gcp")]
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show it as the command's own text")]
    pub google: GoogleArgs,
}

/// Which project, as whom, and where the APIs are.
#[cfg(feature = "gcp")]
#[derive(Debug, clap::Args)]
#[command(next_help_heading = GOOGLE)]
pub struct GoogleArgs {
    /// The project; without it, that of the context or the nodes.
    #[arg(long, value_name = "ID")]
    pub project: Option<String>,
    /// The context of the cluster that has Config Connector's objects, where it is another one.
    #[arg(long, value_name = "NAME")]
    pub config_connector_context: Option<String>,
    /// The public address that calls from here come from, to compare it with authorized networks.
    #[arg(long, value_name = "ADDRESS")]
    pub caller_address: Option<std::net::IpAddr>,
    /// The project that the network is in, where the cluster doesn't say.
    #[arg(long, value_name = "ID")]
    pub network_project: Option<String>,
    /// The zone or region of the cluster.
    #[arg(long, value_name = "NAME", alias = "zone", alias = "region")]
    pub location: Option<String>,
    /// The service account to act as.
    #[arg(long, value_name = "ACCOUNT")]
    pub impersonate_service_account: Option<String>,
    /// The project whose quota the calls count against.
    #[arg(long, value_name = "ID")]
    pub billing_project: Option<String>,
    /// Where an API is, as compute=https://… (also container, logging); gcloud's variables
    /// CLOUDSDK_API_ENDPOINT_OVERRIDES_… are read as well. One at http:// gets no credentials.
    #[arg(long, value_name = "API=URL", value_parser = endpoint)]
    pub endpoint: Vec<(String, String)>,
    /// A token for Identity-Aware Proxy, to see whether it lets it through.
    #[arg(long, value_name = "TOKEN", env = "KFCHECK_IAP_TOKEN", hide_env_values = true)]
    pub iap_token: Option<String>,
    /// The OAuth client to make such a token for, from the default credentials.
    #[arg(long, value_name = "CLIENT_ID", conflicts_with = "iap_token")]
    pub iap_audience: Option<String>,
}

impl LiveArgs {
    /// A world with the clients that these name.
    pub(crate) fn connect(&self, world: World, entrance: &EntranceArgs) -> World {
        let access = Access {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
            namespace: entrance.namespace.clone(),
            cluster: self.cluster.clone(),
            user: self.user.clone(),
            impersonate: self.impersonate.clone(),
            impersonate_uid: self.impersonate_uid.clone(),
            impersonate_groups: self.impersonate_groups.clone(),
            request_timeout: self.request_timeout,
            exec: self.exec,
        };
        #[cfg(feature = "gcp")]
        let world = self.google_world(world, &access);
        world.client(Ok(KubeClient::new(access))).client(self.outside())
    }

    fn outside(&self) -> Result<Outside, Fault> {
        if self.no_probes {
            let says = "--no-probes says that nothing is tried from here".to_owned();
            return Err(Fault::Unreachable(says));
        }
        let outside = Outside::new(self.dns_server)?;
        Ok(match self.connect_to[..] {
            [tls, plain] => outside.dialer(Through { tls, plain }),
            [both] => outside.dialer(Through { tls: both, plain: both }),
            _ => outside,
        })
    }

    /// A world with what Google's facts ask.
    #[cfg(feature = "gcp")]
    fn google_world(&self, world: World, access: &Access) -> World {
        let world = world.client(Ok(kfcheck_gcp::Google::new(self.google())));
        let Some(context) = self.google.config_connector_context.clone() else { return world };
        // Who asks there, that context says.
        let (context, cluster, user) = (Some(context), None, None);
        let other = KubeClient::new(Access { context, cluster, user, ..access.clone() });
        world.client(Ok(ManagementCluster(other)))
    }

    #[cfg(feature = "gcp")]
    pub(crate) fn google(&self) -> kfcheck_gcp::GoogleAccess {
        let google = &self.google;
        kfcheck_gcp::GoogleAccess {
            project: google.project.clone(),
            network_project: google.network_project.clone(),
            location: google.location.clone(),
            cluster: self.cluster.clone(),
            impersonate: google.impersonate_service_account.clone(),
            quota_project: google.billing_project.clone(),
            endpoints: google.endpoint.iter().cloned().collect(),
            iap_audience: google.iap_audience.clone(),
            iap_token: google.iap_token.clone().map(kfcheck_gcp::IapToken),
            caller_address: google.caller_address,
        }
    }
}

fn name_server(text: &str) -> Result<SocketAddr, String> {
    let whole = text.parse().or_else(|_| Ok(SocketAddr::new(text.parse()?, 53)));
    whole.map_err(|_: std::net::AddrParseError| {
        "expected an address, for example 8.8.8.8 or 127.0.0.1:5353".to_owned()
    })
}

/// As kubectl reads it: `0` means no limit, a bare number seconds.
fn request_timeout(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::from_hours(24));
    }
    crate::args::duration(text)
}

#[cfg(feature = "gcp")]
fn endpoint(text: &str) -> Result<(String, String), String> {
    let known = ["compute", "container", "logging", "dns"];
    match text.split_once('=') {
        Some((api, url)) if known.contains(&api) && url.starts_with("http") => {
            Ok((api.to_owned(), url.to_owned()))
        }
        _ => Err(format!("expected one of {} and a URL, as compute=https://…", known.join(", "))),
    }
}
