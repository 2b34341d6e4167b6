//! What a deployment looks like from outside: DNS answers, HTTP over TLS.

mod ask;
mod dns;
mod http;
mod outside;
mod tls;

use kfcheck::FactMeta;

pub use ask::Ask;
pub use dns::{DnsAnswer, DnsProbe};
pub use http::{Credentials, HttpAnswer, HttpProbe, Tls};
pub use outside::{Dial, Outside, Resolve, Through};

/// The facts of this crate that ask the outside world.
pub static FACTS: &[FactMeta] = &[FactMeta::of::<DnsProbe>(), FactMeta::of::<HttpProbe>()];
