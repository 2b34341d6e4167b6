//! The checks, one file each.

pub(crate) mod credentials;
