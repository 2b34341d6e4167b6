//! What Google Cloud's APIs answer, as far as checks read it.

mod backend;
mod cluster;
mod firewall;
mod frontend;
mod link;
mod log;
mod neg;
mod objects;
mod quota;

pub use self::{
    backend::*, cluster::*, firewall::*, frontend::*, link::Link, log::*, neg::*, objects::*,
    quota::*,
};

use kfcheck::Resource;

/// Declares a fact that lists one collection of the Compute API.
macro_rules! compute {
    ($(#[$doc:meta])+ $fact:ident, $collection:literal, $gcloud:literal => $item:ty) => {
        $(#[$doc])+
        #[derive(Clone, Serialize)]
        pub struct $fact;

        impl kfcheck::Fact for $fact {
            const NAME: &'static str = concat!("gcp.", $collection);
            const NEEDS: &'static [&'static str] = &[concat!("compute.", $collection, ".list")];
            type Value = Vec<$item>;

            fn place(&self) -> Option<kfcheck::Place<Vec<$item>>> {
                let command = concat!("gcloud compute ", $gcloud, " list --format=json");
                Some(kfcheck::Place::file(concat!("gcp/compute/", $collection), command))
            }
        }
    };
}

/// Declares that things of a type go by their name, and by their project and region where that
/// isn't the cluster's own.
macro_rules! named {
    ($($type:ident),+) => { $(
        impl kfcheck::Named for $type {
            fn resource(&self) -> kfcheck::Resource {
                $crate::facts::resource(stringify!($type), &self.name)
            }
        }
    )+ };
}

pub(crate) use {compute, named};

/// The name of a thing of this project's across layers.
pub(crate) fn resource(kind: &'static str, name: &str) -> Resource {
    Resource { provider: "gcp", kind, namespace: None, name: name.to_owned() }
}
