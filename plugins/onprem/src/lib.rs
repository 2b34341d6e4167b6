//! The side of the request path that stands on one's own machines: MetalLB, Dex, LDAP.

mod announcers;
mod checks;
mod cloud;
mod doors;
mod kube_proxy;
mod metallb;
mod objects;
mod path;
mod range;
mod reached;
mod scope;
#[cfg(test)]
#[allow(dead_code, reason = "checks come one by one")]
mod testing;

use kfcheck::{Check, FactMeta, Stretch};
use kfcheck_kube::Objects;

pub use announcers::{Announcer, Announcers, EXCLUDED, Fronts, MetalLbFronts, Nodes, Why};
pub use cloud::OnPremises;
pub use doors::{
    Door, DoorAnswer, DoorAnswers, Doors, FrontBalancers, Known, address_resource, addresses,
};
pub use kube_proxy::{KubeProxy, ProxyMode};
pub use metallb::{
    Advertisement, Advertisements, AdvertisementsSeen, Installation, MetalLb, Part, Pool,
};
pub use objects::*;
pub use range::AddressRange;
pub use scope::{Scope, Whereabouts};

/// The checks of this crate, in report order.
pub static CHECKS: &[&dyn Check] = &[
    &checks::gateway_service::GatewayService,
    &checks::metallb_pods::MetalLbPods,
    &checks::metallb_pool::MetalLbPool,
    &checks::metallb_advertisement::MetalLbAdvertisement,
    &checks::metallb_allocation::MetalLbAllocation,
    &checks::metallb_announce::MetalLbAnnounce,
    &checks::metallb_arp::MetalLbArp,
    &checks::metallb_excluded_nodes::MetalLbExcludedNodes,
    &checks::kube_proxy_strict_arp::KubeProxyStrictArp,
    &checks::endpoint::Endpoint,
];

/// The stretches of the request path that this crate knows.
pub static PATH: &[&dyn Stretch] = &[&path::FrontEnd, &path::Announced, &path::Ground];

/// The facts of this crate that ask the outside world.
pub static FACTS: &[FactMeta] = &[
    FactMeta::of::<Objects<AddressPool>>(),
    FactMeta::of::<Objects<BgpAdvertisement>>(),
    FactMeta::of::<Objects<BgpPeer>>(),
    FactMeta::of::<Objects<ConfigurationState>>(),
    FactMeta::of::<Objects<IpAddressPool>>(),
    FactMeta::of::<Objects<L2Advertisement>>(),
    FactMeta::of::<Objects<ServiceL2Status>>(),
    FactMeta::of::<Scope>(),
];

/// The facts of this crate that are worked out from others, by name.
pub static DERIVED: &[&str] = &[
    "onprem.advertisements",
    "onprem.announcers",
    "onprem.doorAnswers",
    "onprem.doors",
    "onprem.frontBalancers",
    "onprem.kubeProxy",
    "onprem.metalLb",
    "onprem.metalLbFronts",
];
