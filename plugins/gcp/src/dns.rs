//! Private zones for names of Google's.

use std::{net::IpAddr, sync::Arc};

use futures::future::join_all;
use kfcheck::{Cx, Fact, FactError};
use serde::Serialize;

use crate::{ManagedZone, ManagedZones, Network, RecordSet, RecordSets, ground::ClusterGround};

/// The private zones for names that Google serves privately, as the cluster's network sees them.
#[derive(Clone, Serialize)]
pub(crate) struct PrivateZones;

/// A private zone.
#[derive(Clone, Debug)]
pub(crate) struct ZoneSeen {
    /// The zone.
    pub(crate) zone: ManagedZone,
    /// Whether the cluster's network asks it.
    pub(crate) is_attached: bool,
    /// Its records, where the network asks it.
    pub(crate) records: Result<Arc<Vec<RecordSet>>, FactError>,
}

/// What Google serves at its private addresses and nodes need (GKE documentation, "Creating a
/// private cluster", and VPC documentation, "Configure Private Google Access", "Domain options").
const NAMES: [&str; 5] = [".", "gcr.io.", "pkg.dev.", "googleapis.com.", "io."];

impl Fact for PrivateZones {
    const NAME: &'static str = "gcp.privateZones";
    type Value = Vec<ZoneSeen>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<ZoneSeen>, FactError> {
        cx.begin(ManagedZones);
        let ground = cx.get(ClusterGround).await?;
        let zones = cx.get(ManagedZones).await?;
        let project = ground.cluster.self_link.project();
        let private = zones
            .iter()
            .filter(|zone| zone.visibility == "private" && NAMES.contains(&zone.dns_name.as_str()));
        let seen = private.map(|zone| async {
            let networks = zone.private_visibility_config.iter().flat_map(|v| &v.networks);
            let is_attached = networks
                .map(|network| Network::of(&network.network_url, project))
                .any(|of| of.name == ground.network.name && of.project == ground.network.project);
            let asked =
                RecordSets { project: ground.network.project.clone(), zone: zone.name.clone() };
            let records = if is_attached { cx.get(asked).await } else { Ok(Arc::default()) };
            ZoneSeen { zone: zone.clone(), is_attached, records }
        });
        Ok(join_all(seen).await)
    }
}

/// Whether an address is one that Google serves its APIs at privately: 199.36.153.4/30
/// (restricted) or 199.36.153.8/30 (private).
pub(crate) fn is_vip(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if matches!(v4.octets(), [199, 36, 153, 4..=11]))
}
