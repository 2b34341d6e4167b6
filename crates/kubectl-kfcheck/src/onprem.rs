//! A deployment on one's own machines, as the command line has it.

use std::sync::{Mutex, PoisonError};

use futures::{FutureExt, future::BoxFuture};
use kfcheck::World;
use kfcheck_kube::{Access, BareServices, CloudView, DebugPod, PortForward};
use kfcheck_onprem::{DexPasswords, OnPremises, Whereabouts};
use kfcheck_probe::{ArpWire, Ldap, Outside};
use kfcheck_report::Scope;

use crate::{Provider, config::Deployment, provider::CloudArgs};

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
    /// Ask it from this node, in a pod with NET_RAW on the node's network, which is made for that and
    /// removed again.
    #[arg(long, value_name = "NODE", conflicts_with = "arp_interface")]
    pub arp_from_node: Option<String>,
    /// The image of that pod: a shell, `ip` and `arping`.
    #[arg(long, value_name = "IMAGE", default_value = "busybox:1.37")]
    pub arp_pod_image: String,
    /// The namespace of that pod.
    #[arg(long, value_name = "NAME", default_value = "kube-system")]
    pub arp_pod_namespace: String,
    #[arg(skip)]
    #[allow(missing_docs, reason = "none of the command line's")]
    pub pod: Mutex<Option<DebugPod>>,
}

impl CloudArgs for OnpremArgs {
    const NAME: &'static str = "onprem";

    fn connect(&self, world: World, _access: &Access) -> World {
        let address = self.address.map(|address| address.to_string());
        world
            .setting(Whereabouts { address, hostname: None })
            .client(Ok(Ldap::new(DexPasswords, PortForward)))
    }

    fn look(&self, outside: Outside, access: &Access) -> Outside {
        if let Some(node) = &self.arp_from_node {
            let (namespace, image) = (&self.arp_pod_namespace, &self.arp_pod_image);
            let new = || DebugPod::new(access.clone(), node, namespace, image);
            let mut pod = self.pod.lock().unwrap_or_else(PoisonError::into_inner);
            return outside.arp(pod.get_or_insert_with(new).clone());
        }
        match &self.arp_interface {
            Some(_) => outside.arp(ArpWire { interface: self.arp_interface.clone() }),
            None => outside,
        }
    }

    fn fill(&mut self, scope: &Deployment) {
        self.address = self.address.or(scope.onprem.address.map(|address| address.0));
        // A node has interfaces of its own.
        if self.arp_interface.is_none() && self.arp_from_node.is_none() {
            self.arp_interface = scope.onprem.arp_interface.clone().map(|name| name.0);
        }
    }

    fn leave(&self) -> BoxFuture<'_, Result<(), String>> {
        async {
            // The next inspection has a pod of its own.
            let pod = self.pod.lock().unwrap_or_else(PoisonError::into_inner).take();
            match pod {
                Some(pod) => pod.remove().await,
                None => Ok(()),
            }
        }
        .boxed()
    }
}

pub(crate) fn provider() -> Provider {
    Provider {
        name: OnpremArgs::NAME,
        checks: [kfcheck_kube::CHECKS, kfcheck_onprem::CHECKS].concat(),
        path: [kfcheck_kube::PATH, kfcheck_onprem::PATH].concat(),
        facts: [kfcheck_kube::FACTS, kfcheck_probe::FACTS, kfcheck_onprem::FACTS].concat(),
        prepare: |world| world.setting(CloudView(Some(&OnPremises))).setting(BareServices(true)),
        scope: |_| async { Scope::default() }.boxed(),
    }
}
