use futures::{FutureExt, future::BoxFuture};
use kfcheck::{Bundle, Check, Cx, FactMeta, Stretch, World};
use kfcheck_kube::Access;
use kfcheck_probe::Outside;
use kfcheck_report::Scope;

use crate::{args::Collect, config::Deployment};

/// A provider: what runs when its name is the command.
pub struct Provider {
    /// The command.
    pub name: &'static str,
    /// Its checks, those of the cluster first.
    pub checks: Vec<&'static dyn Check>,
    /// Its stretches of the request path, those of the cluster first.
    pub path: Vec<&'static dyn Stretch>,
    /// The facts that its checks ask the outside world for, those of the cluster first.
    pub facts: Vec<FactMeta>,
    /// What it adds to a world before it is used.
    pub prepare: fn(World) -> World,
    /// Which deployment of its it is, for the report.
    pub scope: fn(&Cx) -> BoxFuture<'static, Scope>,
}

impl Provider {
    /// A world that answers from a bundle, with the provider's request path drawn in it.
    pub fn replay(&self, bundle: Bundle) -> World {
        (self.prepare)(World::replay(bundle).path(&self.path))
    }
}

/// What a provider is told on the command line.
pub trait CloudArgs: clap::Args {
    /// The provider's command.
    const NAME: &'static str;

    /// A world with what the provider's facts ask.
    fn connect(&self, world: World, access: &Access) -> World;

    /// What looks from outside, as the provider's facts have it look.
    fn look(&self, outside: Outside, access: &Access) -> Outside {
        let _ = access;
        outside
    }

    /// Takes away what was made to look, once it was looked. What it says: what is left, and how to
    /// take it away by hand.
    fn leave(&self) -> BoxFuture<'_, Result<(), String>> {
        std::future::ready(Ok(())).boxed()
    }

    /// Takes from a configuration what the command line leaves open.
    fn fill(&mut self, scope: &Deployment) {
        let _ = scope;
    }

    /// The cluster that a configuration names.
    fn cluster(scope: &Deployment) -> Option<String> {
        let _ = scope;
        None
    }

    /// A shell script that collects the same as this program, where there is one.
    fn script(args: &Collect<Self>) -> Option<String> {
        let _ = args;
        None
    }
}

/// The providers that this program was built with.
pub fn providers() -> Vec<Provider> {
    vec![
        #[cfg(feature = "gcp")]
        crate::google::provider(),
        #[cfg(feature = "aws")]
        crate::amazon::provider(),
        #[cfg(feature = "onprem")]
        crate::onprem::provider(),
    ]
}

/// The provider of this name; `None` where this program was built without it.
///
/// ```
/// # #[cfg(feature = "onprem")]
/// assert!(kubectl_kfcheck::provider("onprem").is_some());
/// assert!(kubectl_kfcheck::provider("elsewhere").is_none());
/// ```
pub fn provider(name: &str) -> Option<Provider> {
    providers().into_iter().find(|provider| provider.name == name)
}
