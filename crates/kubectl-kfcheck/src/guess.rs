//! Of which provider a deployment is, where nobody says it.

use std::sync::OnceLock;

use kfcheck::{Bundle, World};
use kfcheck_kube::{Access, Node, all};

use crate::{args::EntranceArgs, config::Deployment, live::LiveArgs, provider::CloudArgs};

/// A provider that the bundle or the nodes name; nothing is said of its cloud.
#[derive(Debug, clap::Args)]
pub struct Guessed {
    #[arg(skip)]
    #[allow(missing_docs, reason = "none of the command line's")]
    pub provider: OnceLock<&'static str>,
    #[arg(skip)]
    #[allow(missing_docs, reason = "none of the command line's")]
    pub scope: Deployment,
}

impl CloudArgs for Guessed {
    const NAME: &'static str = "PROVIDER";

    fn connect(&self, world: World, access: &Access) -> World {
        match self.provider.get().copied() {
            #[cfg(feature = "gcp")]
            Some("gcp") => connect::<crate::google::GoogleArgs>(world, access, &self.scope),
            #[cfg(feature = "aws")]
            Some("aws") => connect::<crate::amazon::AwsArgs>(world, access, &self.scope),
            #[cfg(feature = "onprem")]
            Some("onprem") => connect::<crate::onprem::OnpremArgs>(world, access, &self.scope),
            _ => {
                let _ = access;
                world
            }
        }
    }

    fn fill(&mut self, scope: &Deployment) {
        self.scope = scope.clone();
    }
}

/// The cluster that a configuration names for this provider.
pub(crate) fn cluster(provider: &str, scope: &Deployment) -> Option<String> {
    match provider {
        #[cfg(feature = "gcp")]
        "gcp" => crate::google::GoogleArgs::cluster(scope),
        #[cfg(feature = "aws")]
        "aws" => crate::amazon::AwsArgs::cluster(scope),
        _ => {
            let _ = scope;
            None
        }
    }
}

/// A world with the provider's clients, as they are where none of its flags is given.
#[cfg(any(feature = "gcp", feature = "aws", feature = "onprem"))]
fn connect<C: CloudArgs>(world: World, access: &Access, scope: &Deployment) -> World {
    let command = C::augment_args(clap::Command::new(C::NAME).no_binary_name(true));
    let none = command.try_get_matches_from(std::iter::empty::<&str>());
    match none.and_then(|none| C::from_arg_matches(&none)) {
        Ok(mut cloud) => {
            cloud.fill(scope);
            cloud.connect(world, access)
        }
        Err(_) => world,
    }
}

const NAME_IT: &str = "name it: kubectl kfcheck why gcp|aws|onprem RESOURCE";

/// The provider that a bundle is of.
pub(crate) fn of_bundle(bundle: &Bundle) -> Result<&str, String> {
    bundle.provider().ok_or_else(|| "its bundle.yaml names no provider".to_owned())
}

/// The provider whose machines the nodes are, as their `spec.providerID` says; a machine of nobody's
/// cloud is one's own.
pub(crate) async fn of_nodes(
    live: &LiveArgs<Guessed>,
    entrance: &EntranceArgs,
) -> Result<&'static str, String> {
    let world = live.connect(World::live(), entrance);
    let nodes = world.cx("provider").get(all::<Node>()).await.map_err(|error| {
        format!("the nodes would say which provider this is ({error}); {NAME_IT}")
    })?;
    let ids: Vec<_> = nodes.iter().filter_map(|node| node.spec.provider_id.as_deref()).collect();
    if nodes.is_empty() {
        return Err(format!("no node is there to say which provider this is; {NAME_IT}"));
    }
    Ok(of_ids(&ids))
}

fn of_ids(ids: &[&str]) -> &'static str {
    let clouds = [("gce://", "gcp"), ("aws://", "aws")];
    let of = |(scheme, _): &&(&str, _)| ids.iter().any(|id| id.starts_with(scheme));
    clouds.iter().find(of).map_or("onprem", |(_, provider)| provider)
}

#[cfg(test)]
mod tests {
    use super::of_ids;

    #[test]
    fn the_nodes_say_of_which_provider_they_are() {
        assert_eq!(of_ids(&["gce://ml-prod/europe-west1-b/node-1"]), "gcp");
        assert_eq!(of_ids(&["aws:///us-west-2a/i-1"]), "aws");
        assert_eq!(of_ids(&["k3s://office", "vsphere://4211"]), "onprem");
        assert_eq!(of_ids(&[]), "onprem");
    }
}
