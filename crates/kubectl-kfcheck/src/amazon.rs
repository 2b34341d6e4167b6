//! Amazon Web Services, as the command line has them.

use futures::FutureExt;
use kfcheck::{Cx, World};
use kfcheck_aws::{AmazonCloud, Aws, AwsAccess, Location};
use kfcheck_kube::{Access, CloudView};
use kfcheck_report::Scope;

use crate::{Provider, config::Deployment, provider::CloudArgs};

/// Which account and region, as whom, and where the APIs are.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Amazon Web Services")]
pub struct AwsArgs {
    /// The profile of the AWS CLI's files; without it, AWS_PROFILE or what the kubeconfig's
    /// credential plugin runs with.
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// The region of the cluster; without it, that of the kubeconfig or the profile.
    #[arg(long, value_name = "NAME")]
    pub region: Option<String>,
    /// Where all of AWS's APIs are, if not at AWS; AWS_ENDPOINT_URL is read as well.
    #[arg(long, value_name = "URL")]
    pub endpoint_url: Option<String>,
}

impl CloudArgs for AwsArgs {
    const NAME: &'static str = "aws";

    fn connect(&self, world: World, access: &Access) -> World {
        world.client(Ok(Aws::new(AwsAccess {
            profile: self.profile.clone(),
            region: self.region.clone(),
            cluster: access.cluster.clone(),
            endpoint: self.endpoint_url.clone(),
            credentials: None,
        })))
    }

    fn fill(&mut self, scope: &Deployment) {
        for (flag, said) in
            [(&mut self.profile, &scope.aws.profile), (&mut self.region, &scope.aws.region)]
        {
            if flag.is_none() {
                *flag = said.clone().map(|text| text.0);
            }
        }
    }

    fn cluster(scope: &Deployment) -> Option<String> {
        scope.aws.cluster.clone().map(|text| text.0)
    }
}

pub(crate) fn provider() -> Provider {
    Provider {
        name: AwsArgs::NAME,
        checks: [kfcheck_kube::CHECKS, kfcheck_aws::CHECKS].concat(),
        path: [kfcheck_kube::PATH, kfcheck_aws::PATH].concat(),
        facts: [kfcheck_kube::FACTS, kfcheck_probe::FACTS, kfcheck_aws::FACTS].concat(),
        prepare: |world| world.setting(CloudView(Some(&AmazonCloud))),
        scope: |cx| scope(cx.clone()).boxed(),
    }
}

async fn scope(cx: Cx) -> Scope {
    let Ok(here) = cx.get(kfcheck_aws::Scope).await else { return Scope::default() };
    let Location { account_id, region, cluster } = (*here).clone();
    let there = |text: String| Some(text).filter(|text| !text.is_empty());
    Scope {
        account: there(account_id),
        region: there(region),
        cluster: there(cluster),
        ..Scope::default()
    }
}
