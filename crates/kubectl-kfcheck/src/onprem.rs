//! A deployment on one's own machines, as the command line has it.

use futures::FutureExt;
use kfcheck::World;
use kfcheck_kube::{Access, BareServices, CloudView, PortForward};
use kfcheck_onprem::{DexPasswords, OnPremises, Whereabouts};
use kfcheck_probe::{ArpWire, Ldap, Outside};
use kfcheck_report::Scope;

use crate::{Provider, provider::CloudArgs};

/// What is there beside the cluster.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "On premises")]
pub struct OnpremArgs {
    /// The address that users reach, where no Service has it: a proxy of one's own, or a node.
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<std::net::IpAddr>,
    /// The interface to ask through who has an address; without it, the one whose network holds it.
    #[arg(long, value_name = "NAME")]
    pub arp_interface: Option<String>,
}

impl CloudArgs for OnpremArgs {
    const NAME: &'static str = "onprem";

    fn connect(&self, world: World, _access: &Access) -> World {
        let address = self.address.map(|address| address.to_string());
        world
            .setting(Whereabouts { address, hostname: None })
            .client(Ok(Ldap::new(DexPasswords, PortForward)))
    }

    fn look(&self, outside: Outside) -> Outside {
        outside.arp(ArpWire { interface: self.arp_interface.clone() })
    }
}

pub(crate) fn provider() -> Provider {
    Provider {
        name: OnpremArgs::NAME,
        checks: [kfcheck_kube::CHECKS, kfcheck_onprem::CHECKS].concat(),
        path: [kfcheck_kube::PATH, kfcheck_onprem::PATH].concat(),
        prepare: |world| world.setting(CloudView(Some(&OnPremises))).setting(BareServices(true)),
        scope: |_| async { Scope::default() }.boxed(),
    }
}
