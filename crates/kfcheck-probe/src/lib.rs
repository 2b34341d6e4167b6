//! What a deployment looks like from outside: DNS answers, HTTP over TLS, who answers ARP, what a
//! directory holds.

mod arp;
mod arp_script;
mod arp_wire;
mod ask;
mod dns;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod ldap;
mod ldap_steps;
mod ldap_wire;
mod outside;
mod tls;

use kfcheck::FactMeta;

pub use arp::{ArpAnswer, ArpProbe, ArpReply, Asked};
pub use arp_script::{ARP_SCRIPT, read_arp};
pub use arp_wire::ArpWire;
pub use ask::Ask;
pub use dns::{DnsAnswer, DnsProbe};
pub use http::{Credentials, HttpAnswer, HttpProbe, Tls};
pub use ldap::{
    BindPassword, BindPasswords, FROM_HERE, Ldap, LdapAnswer, LdapBind, LdapCode, LdapConnect,
    LdapEntry, LdapFound, LdapMatcher, LdapProbe, LdapPurpose, LdapRoots, LdapSearch, LdapSecurity,
    ReachServices, Stream, Way,
};
pub use outside::{AskArp, Dial, Outside, Resolve, Through};

/// The facts of this crate that ask the outside world.
pub static FACTS: &[FactMeta] = &[
    FactMeta::of::<ArpProbe>(),
    FactMeta::of::<DnsProbe>(),
    FactMeta::of::<HttpProbe>(),
    FactMeta::of::<LdapProbe>(),
];
