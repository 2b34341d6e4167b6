//! A deployment on one's own machines, as the command line has it.

use futures::FutureExt;
use kfcheck::World;
use kfcheck_kube::Access;
use kfcheck_report::Scope;

use crate::{Provider, provider::CloudArgs};

/// What is there beside the cluster.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "On premises")]
pub struct OnpremArgs {}

impl CloudArgs for OnpremArgs {
    const NAME: &'static str = "onprem";

    fn connect(&self, world: World, _access: &Access) -> World {
        world
    }
}

pub(crate) fn provider() -> Provider {
    Provider {
        name: OnpremArgs::NAME,
        checks: [kfcheck_kube::CHECKS, kfcheck_onprem::CHECKS].concat(),
        path: [kfcheck_kube::PATH, kfcheck_onprem::PATH].concat(),
        prepare: |world| world,
        scope: |_| async { Scope::default() }.boxed(),
    }
}
