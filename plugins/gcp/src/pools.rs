//! What stands below everything else, whether or not there is an entrance.

use kfcheck::{Cx, FactError, Path, Resource, Stretch, async_trait};
use kfcheck_kube::{Node, all};

use crate::{BackendsInUse, Instances, OurCluster, facts::resource};

/// Machines → the cluster, and its node pools: a machine that is there doesn't need its own any more.
pub(crate) struct Pools;

/// The name of a node pool across layers.
pub fn pool_resource(name: &str) -> Resource {
    resource("NodePool", name)
}

#[async_trait]
impl Stretch for Pools {
    async fn draw(&self, cx: &Cx, path: &mut Path) -> Result<(), FactError> {
        // Who wants to judge the cluster says that it can't be seen.
        let Ok(cluster) = cx.get(OurCluster).await else { return Ok(()) };
        path.stands_on(&*cluster);
        for pool in &cluster.node_pools {
            path.stands_on(pool_resource(&pool.name));
        }
        // In these states its machines go on as they were.
        let is_usable = ["DEGRADED", "RECONCILING"].contains(&&*cluster.status);
        let used = cx.get(BackendsInUse).await;
        if is_usable || used.is_ok_and(|used| used.is_empty()) {
            return Ok(());
        }
        let (instances, nodes) = (cx.get(Instances).await, cx.get(all::<Node>()).await);
        for node in nodes.iter().flat_map(|all| all.iter()) {
            let mut instances = instances.iter().flat_map(|all| all.iter());
            let instance = instances.find(|instance| instance.name == node.metadata.name);
            if let Some(instance) = instance {
                path.built_from(instance, &*cluster);
            }
        }
        Ok(())
    }
}
