//! What is said about asking the outside world, and the clients that come of it.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use kfcheck::{Fault, World, async_trait};
use kfcheck_kube::{Access, KubeClient, PortForward};
use kfcheck_probe::{ArpAnswer, AskArp, Outside, Through};

use crate::{args::EntranceArgs, config::ConfigArgs, provider::CloudArgs};

const CLUSTER: &str = "Which cluster, and as whom (kubectl's own flags)";
const PROBES: &str = "What is tried from here";

/// Which cluster and cloud to ask, and as whom.
#[derive(Debug, clap::Args)]
pub struct LiveArgs<C: CloudArgs> {
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

    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show it as the command's own text")]
    pub config: ConfigArgs,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show it as the command's own text")]
    pub cloud: C,
}

impl<C: CloudArgs> LiveArgs<C> {
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
        let world = self.config.read.settle(world);
        let outside = self.outside(&access);
        let world = self.cloud.connect(world, &access);
        world.client(Ok(KubeClient::new(access))).client(outside)
    }

    fn outside(&self, access: &Access) -> Result<Outside, Fault> {
        if self.no_probes {
            let says = "--no-probes says that nothing is tried from here".to_owned();
            return Err(Fault::Unreachable(says));
        }
        let outside = Outside::new(self.dns_server)?;
        let outside = match self.connect_to[..] {
            [tls, plain] => outside.dialer(Through { tls, plain }).arp(Elsewhere),
            [both] => outside.dialer(Through { tls: both, plain: both }).arp(Elsewhere),
            // What stands in for the outside answers for the inside as well.
            _ => outside.inside(PortForward),
        };
        Ok(self.cloud.look(outside, access))
    }
}

/// Who is asked nothing, as what is here is not what is meant.
struct Elsewhere;

#[async_trait]
impl AskArp for Elsewhere {
    async fn ask(&self, address: &str) -> Result<ArpAnswer, Fault> {
        let says = format!("--connect-to leads elsewhere, and who has {address} here says nothing");
        Err(Fault::Unreachable(says))
    }
}

pub(crate) fn name_server(text: &str) -> Result<SocketAddr, String> {
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
