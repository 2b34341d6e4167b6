//! What a deployment looks like from outside: DNS answers, HTTP over TLS, open sockets.

mod dns;
mod http;
mod listen;

use kfcheck::FactMeta;

pub use dns::{DnsAnswer, DnsProbe};
pub use http::{Credentials, HttpAnswer, HttpProbe, Tls};
pub use listen::{ListenProbe, Listening, Socket};

/// The facts of this crate that ask the outside world.
pub static FACTS: &[FactMeta] =
    &[FactMeta::of::<DnsProbe>(), FactMeta::of::<HttpProbe>(), FactMeta::of::<ListenProbe>()];
