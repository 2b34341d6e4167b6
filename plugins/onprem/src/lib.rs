//! The side of the request path that stands on one's own machines: MetalLB, Dex, LDAP.

mod announcers;
mod auth_proxy;
mod checks;
mod cloud;
mod dex;
mod discovery;
mod doors;
mod environment;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod known_users;
mod kube_proxy;
mod ldap;
mod metallb;
mod objects;
mod path;
mod range;
mod reached;
mod scope;
mod sign_in;
#[cfg(test)]
mod sign_in_testing;
#[cfg(test)]
mod testing;

use kfcheck::{Check, FactMeta, Stretch};
use kfcheck_kube::Objects;

pub use announcers::{Announcer, Announcers, EXCLUDED, Fronts, MetalLbFronts, Nodes, Why};
pub use auth_proxy::{AuthProxies, AuthProxy, Back, ProxyKind, Setting};
pub use cloud::OnPremises;
pub use dex::{Dex, Dexes, Told};
pub use doors::{
    Door, DoorAnswer, DoorAnswers, Doors, FrontBalancers, Known, address_resource, addresses,
};
pub use environment::{Environment, Variable};
pub use known_users::{KnownUser, KnownUsers};
pub use kube_proxy::{KubeProxy, ProxyMode};
pub use ldap::{DexPasswords, LdapConnector, LdapConnectors};
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
    &checks::oidc_redirect::OidcRedirect,
    &checks::auth_proxy::AuthProxyFitsDex,
    &checks::dex_config::DexConfigured,
    &checks::dex_stale_config::DexIsUpToDate,
    &checks::dex_env_expansion::DexExpansion,
    &checks::dex_issuer::DexIssuer,
    &checks::dex_password::DexPasswordIsOwn,
    &checks::ldap_connect::LdapConnects,
    &checks::ldap_bind::LdapBinds,
    &checks::ldap_user_search::LdapFindsUsers,
    &checks::ldap_group_search::LdapFindsGroups,
];

/// The stretches of the request path that this crate knows.
pub static PATH: &[&dyn Stretch] =
    &[&path::FrontEnd, &path::Announced, &path::Ground, &sign_in::SignIn];

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
    "onprem.authProxies",
    "onprem.dexes",
    "onprem.doorAnswers",
    "onprem.doors",
    "onprem.frontBalancers",
    "onprem.knownUsers",
    "onprem.kubeProxy",
    "onprem.ldapConnectors",
    "onprem.metalLb",
    "onprem.metalLbFronts",
];
