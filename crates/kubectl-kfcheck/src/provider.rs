use kfcheck::{Check, Stretch, World};

/// A provider: what runs when its name is the command.
pub struct Provider {
    /// The command.
    pub name: &'static str,
    /// Its checks, those of the cluster first.
    pub checks: Vec<&'static dyn Check>,
    /// Its stretches of the request path, those of the cluster first.
    pub path: Vec<&'static dyn Stretch>,
    /// What it adds to a world before it is used.
    pub prepare: fn(World) -> World,
}

/// The providers that this program was built with.
pub fn providers() -> Vec<Provider> {
    vec![
        #[cfg(feature = "gcp")]
        Provider {
            name: "gcp",
            checks: [kfcheck_kube::CHECKS, kfcheck_gcp::CHECKS].concat(),
            path: [kfcheck_kube::PATH, kfcheck_gcp::PATH].concat(),
            prepare: |world| {
                world.setting(kfcheck_kube::CloudView(Some(&kfcheck_gcp::GoogleCloud)))
            },
        },
    ]
}
