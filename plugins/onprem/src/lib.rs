//! The side of the request path that stands on one's own machines: MetalLB, Dex, LDAP.

mod checks;

use kfcheck::{Check, FactMeta, Stretch};

/// The checks of this crate, in report order.
pub static CHECKS: &[&dyn Check] = &[];

/// The stretches of the request path that this crate knows.
pub static PATH: &[&dyn Stretch] = &[];

/// The facts of this crate that ask the outside world.
pub static FACTS: &[FactMeta] = &[];

/// The facts of this crate that are worked out from others, by name.
pub static DERIVED: &[&str] = &[];
