//! Google Cloud, as the command line has it.

use futures::FutureExt;
use kfcheck::{Cx, World};
use kfcheck_gcp::{Google, GoogleAccess, GoogleCloud, IapToken, Location, ScriptOptions};
use kfcheck_kube::{Access, CloudView, KubeClient, ManagementCluster};
use kfcheck_report::Scope;

use crate::{Provider, args::Collect, config::Deployment, provider::CloudArgs};

/// Which project, as whom, and where the APIs are.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Google Cloud")]
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

impl CloudArgs for GoogleArgs {
    const NAME: &'static str = "gcp";

    fn connect(&self, world: World, access: &Access) -> World {
        let google = GoogleAccess { cluster: access.cluster.clone(), ..self.access() };
        let world = world.client(Ok(Google::new(google)));
        let Some(context) = self.config_connector_context.clone() else { return world };
        // Who asks there, that context says.
        let (context, cluster, user) = (Some(context), None, None);
        let other = KubeClient::new(Access { context, cluster, user, ..access.clone() });
        world.client(Ok(ManagementCluster(other)))
    }

    fn fill(&mut self, scope: &Deployment) {
        let from = &scope.gcp;
        for (flag, said) in [
            (&mut self.project, &from.project),
            (&mut self.location, &from.location),
            (&mut self.network_project, &from.network_project),
            (&mut self.config_connector_context, &from.config_connector_context),
        ] {
            if flag.is_none() {
                *flag = said.clone().map(|text| text.0);
            }
        }
    }

    fn cluster(scope: &Deployment) -> Option<String> {
        scope.gcp.cluster.clone().map(|text| text.0)
    }

    fn script(args: &Collect<Self>) -> Option<String> {
        let live = &args.live;
        let names = live.config.read.names();
        let namespace = args.entrance.namespace.as_deref();
        Some(kfcheck_gcp::script(&ScriptOptions {
            context: live.context.clone(),
            namespaces: names.namespaces().chain(namespace).map(str::to_owned).collect(),
            google: GoogleAccess { cluster: live.cluster.clone(), ..live.cloud.access() },
            probes: !live.no_probes,
        }))
    }
}

impl GoogleArgs {
    fn access(&self) -> GoogleAccess {
        GoogleAccess {
            project: self.project.clone(),
            network_project: self.network_project.clone(),
            location: self.location.clone(),
            cluster: None,
            impersonate: self.impersonate_service_account.clone(),
            quota_project: self.billing_project.clone(),
            endpoints: self.endpoint.iter().cloned().collect(),
            iap_audience: self.iap_audience.clone(),
            iap_token: self.iap_token.clone().map(IapToken),
            caller_address: self.caller_address,
        }
    }
}

pub(crate) fn provider() -> Provider {
    Provider {
        name: GoogleArgs::NAME,
        checks: [kfcheck_kube::CHECKS, kfcheck_gcp::CHECKS].concat(),
        path: [kfcheck_kube::PATH, kfcheck_gcp::PATH].concat(),
        facts: [kfcheck_kube::FACTS, kfcheck_probe::FACTS, kfcheck_gcp::FACTS].concat(),
        prepare: |world| world.setting(CloudView(Some(&GoogleCloud))),
        scope: |cx| scope(cx.clone()).boxed(),
    }
}

async fn scope(cx: Cx) -> Scope {
    let Ok(here) = cx.get(kfcheck_gcp::Scope).await else { return Scope::default() };
    let Location { project, location, cluster, .. } = (*here).clone();
    let project = Some(project).filter(|project| !project.is_empty());
    Scope { project, location, cluster, ..Scope::default() }
}

fn endpoint(text: &str) -> Result<(String, String), String> {
    let known = kfcheck_gcp::APIS;
    match text.split_once('=') {
        Some((api, url)) if known.contains(&api) && url.starts_with("http") => {
            Ok((api.to_owned(), url.to_owned()))
        }
        _ => Err(format!("expected one of {} and a URL, as compute=https://…", known.join(", "))),
    }
}
