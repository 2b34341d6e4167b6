//! MetalLB, as far as it is installed: its pods, its pools, and what announces them.

use std::{collections::BTreeMap, collections::BTreeSet, net::IpAddr, sync::Arc};

use futures::future::join_all;
use kfcheck::{Cx, Fact, FactError, Fault, Named, Resource};
use kfcheck_kube::{
    AddressPoolEntry, AddressPools, ConfigMap, DaemonSet, Deployment, LabelSelector, Metadata,
    Names, Pod, all, find, within,
};
use serde::Serialize;

use crate::{
    AddressPool, AddressRange, BgpAdvertisement, IpAddressPool, L2Advertisement, PoolSpec,
    PoolStatus, objects::one_selects,
};

/// MetalLB, if it is installed.
#[derive(Clone, Serialize)]
pub struct MetalLb;

/// An installation of MetalLB.
#[derive(Clone, Debug)]
pub struct Installation {
    /// Where it is. Objects elsewhere are none of its own.
    pub namespace: String,
    /// What gives Services their addresses.
    pub controllers: Result<Vec<Arc<Deployment>>, FactError>,
    /// What announces them.
    pub speakers: Result<Vec<Arc<DaemonSet>>, FactError>,
    /// The pods of both.
    pub pods: Result<Vec<Arc<Pod>>, FactError>,
    /// Its pools.
    pub pools: Result<Vec<Pool>, FactError>,
    /// What it is told in a ConfigMap, as until 0.12.
    pub config_map: Option<Arc<ConfigMap>>,
    /// Whether the ConfigMap is what it reads.
    pub reads_config_map: bool,
}

/// A part of MetalLB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// It gives Services their addresses.
    Controller,
    /// It announces them.
    Speaker,
}

impl Part {
    /// By the labels that manifests and charts put on pods and workloads.
    pub fn of(labels: &BTreeMap<String, String>) -> Option<Self> {
        let label = |names: [&str; 2]| names.iter().find_map(|name| labels.get(*name));
        let app = label(["app.kubernetes.io/name", "app"])?;
        if app != "metallb" {
            return None;
        }
        match label(["app.kubernetes.io/component", "component"])?.as_str() {
            "controller" => Some(Self::Controller),
            "speaker" => Some(Self::Speaker),
            _ => None,
        }
    }
}

/// A pool of addresses.
#[derive(Clone, Debug)]
pub struct Pool {
    /// The object that declares it.
    pub resource: Resource,
    /// Its name.
    pub name: String,
    /// What advertisements look at.
    pub labels: BTreeMap<String, String>,
    /// Its addresses.
    pub ranges: Vec<AddressRange>,
    /// What is written there and is no range, with what is wrong with it.
    pub wrong: Vec<(String, String)>,
    /// Whether Services get its addresses without asking for them.
    pub auto_assign: bool,
    /// Whether addresses that end in 0 or 255 are left out.
    pub avoids_buggy: bool,
    /// How it is announced, where it says so itself.
    pub protocol: Option<String>,
    /// How many addresses are left, where MetalLB says so.
    pub left: PoolStatus,
    /// The Services that it is for; None: all.
    pub allocation: Option<crate::ServiceAllocation>,
}

impl Pool {
    /// Whether an address is one of its own.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.ranges.iter().any(|range| range.contains(address))
    }

    /// How many IPv4 addresses it has.
    pub fn count(&self) -> u64 {
        self.ranges.iter().filter_map(|range| range.count(self.avoids_buggy)).sum()
    }

    /// Whether it has no address left, of neither family that it has, where these are `taken`.
    pub fn is_full(&self, taken: Option<&BTreeSet<IpAddr>>) -> bool {
        let has = |four: bool| self.ranges.iter().any(|range| range.first.is_ipv4() == four);
        let counted = || {
            let own = |address: &&IpAddr| address.is_ipv4() && self.contains(**address);
            Some(self.count().saturating_sub(taken?.iter().filter(own).count() as u64))
        };
        let (four, six) = (has(true), has(false));
        let no_four = !four || self.left.available_v4.or_else(counted) == Some(0);
        // Of these there are more than anybody counts.
        let no_six = !six || self.left.available_v6 == Some(0);
        (four || six) && no_four && no_six
    }

    fn of(metadata: &Metadata, resource: Resource, spec: &PoolSpec) -> Self {
        let (ranges, wrong) = read_ranges(&spec.addresses);
        Self {
            resource,
            name: metadata.name.clone(),
            labels: metadata.labels.clone(),
            ranges,
            wrong,
            auto_assign: spec.auto_assign.unwrap_or(true),
            avoids_buggy: spec.avoid_buggy_ips.unwrap_or(false),
            protocol: spec.protocol.clone(),
            left: PoolStatus::default(),
            allocation: spec.service_allocation.clone(),
        }
    }

    fn of_entry(entry: &AddressPoolEntry, map: &ConfigMap) -> Self {
        let (ranges, wrong) = read_ranges(&entry.addresses);
        Self {
            resource: map.resource(),
            name: entry.name.clone(),
            labels: BTreeMap::new(),
            ranges,
            wrong,
            auto_assign: entry.auto_assign.unwrap_or(true),
            avoids_buggy: entry.avoid_buggy_ips.unwrap_or(false),
            protocol: Some(entry.protocol.clone()),
            left: PoolStatus::default(),
            allocation: None,
        }
    }
}

fn read_ranges(texts: &[String]) -> (Vec<AddressRange>, Vec<(String, String)>) {
    let (mut ranges, mut wrong) = (Vec::new(), Vec::new());
    for text in texts {
        match AddressRange::parse(text) {
            Ok(range) => ranges.push(range),
            Err(why) => wrong.push((text.clone(), why)),
        }
    }
    (ranges, wrong)
}

impl Installation {
    /// The pods of a part, without those that are over.
    pub fn pods_of(&self, part: Part) -> impl Iterator<Item = &Arc<Pod>> {
        let pods = self.pods.iter().flatten();
        pods.filter(move |pod| Part::of(&pod.metadata.labels) == Some(part) && !pod.is_over())
    }

    /// What a part is told, by flag or by variable.
    pub fn told(&self, part: Part, name: &str) -> Option<&str> {
        let mut containers = self.pods_of(part).flat_map(|pod| &pod.spec.containers);
        containers.find_map(|container| container.told(name))
    }

    /// The version in the tag of a part's image, where it has one.
    pub(crate) fn version(&self, part: Part) -> Option<(u32, u32, u32)> {
        let name = if part == Part::Speaker { "speaker" } else { "controller" };
        let pod = self.pods_of(part).next()?;
        let image = pod.spec.containers.iter().find(|container| container.image.contains(name))?;
        let tag = image.image.split('@').next()?.rsplit_once(':')?.1.trim_start_matches('v');
        let mut parts = tag.split(['.', '-', '+']).map(|part| part.parse().ok());
        Some((parts.next()??, parts.next()??, parts.next()??))
    }

    /// The pool that an address is of.
    pub fn pool_of(&self, address: IpAddr) -> Option<&Pool> {
        self.pools.iter().flatten().find(|pool| pool.contains(address))
    }

    /// Its ConfigMap's content, where that is what it reads.
    pub fn told_pools(&self) -> Option<&AddressPools> {
        let map = self.config_map.as_ref().filter(|_| self.reads_config_map)?;
        map.address_pools.as_ref()
    }
}

impl Fact for MetalLb {
    const NAME: &'static str = "onprem.metalLb";
    type Value = Option<Installation>;

    async fn fetch(&self, cx: &Cx) -> Result<Option<Installation>, FactError> {
        let names = cx.setting::<Names>();
        let usual = names.metallb();
        cx.begin(all::<IpAddressPool>());
        cx.begin(within::<Pod>(usual));
        let everywhere = cx.get(all::<DaemonSet>()).await;
        let pools = cx.get(all::<IpAddressPool>()).await;
        let is_speaker = |set: &&Arc<DaemonSet>| {
            Part::of(&set.spec.template.metadata.labels) == Some(Part::Speaker)
        };
        let sets = everywhere.iter().flat_map(|all| all.iter()).filter(is_speaker);
        let mut namespaces: BTreeSet<_> =
            sets.map(|set| set.metadata.namespace().to_owned()).collect();
        // Where its pods are it is; pools may be in a wrong place.
        if namespaces.is_empty() {
            namespaces.insert(usual.to_owned());
            let pools = pools.iter().flat_map(|all| all.iter());
            namespaces.extend(pools.map(|pool| pool.metadata.namespace().to_owned()));
        }
        let looked = namespaces.into_iter().map(async |namespace| look(cx, namespace).await);
        let mut looked = join_all(looked).await;
        // The usual place first, unless there is more to be seen elsewhere.
        looked.sort_by_key(|found| {
            let pods = found.pods.as_ref().is_ok_and(|pods| !pods.is_empty());
            (!pods, found.namespace != usual)
        });
        let Some(mut found) = looked.into_iter().next() else { return Ok(None) };
        if let (Err(_), Ok(sets)) = (&found.speakers, &everywhere) {
            let own = sets.iter().filter(|set| set.metadata.namespace() == found.namespace);
            found.speakers = Ok(own.filter(is_speaker).cloned().collect());
        }
        read_pools(cx, &mut found, pools).await;
        let has_pools = found.pools.as_ref().is_ok_and(|pools| !pools.is_empty());
        let is_empty = |seen: Option<usize>| seen.is_none_or(|number| number == 0);
        let is_empty = is_empty(found.pods.as_ref().ok().map(Vec::len))
            && is_empty(found.controllers.as_ref().ok().map(Vec::len))
            && is_empty(found.speakers.as_ref().ok().map(Vec::len));
        match &found.pods {
            _ if !is_empty || has_pools => Ok(Some(found)),
            Err(error) if !matches!(error.fault, Fault::Absent(_)) => Err(error.clone()),
            _ => Ok(None),
        }
    }
}

/// What there is of it in a namespace, but for its pools.
async fn look(cx: &Cx, namespace: String) -> Installation {
    cx.begin(within::<Deployment>(&namespace));
    cx.begin(within::<DaemonSet>(&namespace));
    let ours = |labels: &BTreeMap<String, String>, part| Part::of(labels) == Some(part);
    let pods = cx.get(within::<Pod>(&namespace)).await.map(|pods| {
        let is = |pod: &&Arc<Pod>| Part::of(&pod.metadata.labels).is_some();
        pods.iter().filter(is).cloned().collect()
    });
    let controllers = cx.get(within::<Deployment>(&namespace)).await.map(|all| {
        let is = |d: &&Arc<Deployment>| ours(&d.spec.template.metadata.labels, Part::Controller);
        all.iter().filter(is).cloned().collect()
    });
    let speakers = cx.get(within::<DaemonSet>(&namespace)).await.map(|all| {
        let is = |set: &&Arc<DaemonSet>| ours(&set.spec.template.metadata.labels, Part::Speaker);
        all.iter().filter(is).cloned().collect()
    });
    Installation {
        namespace,
        controllers,
        speakers,
        pods,
        pools: Ok(Vec::new()),
        config_map: None,
        reads_config_map: false,
    }
}

/// Its pools, and what they are read from: objects since 0.13, a ConfigMap before.
async fn read_pools(
    cx: &Cx,
    found: &mut Installation,
    objects: Result<Arc<Vec<Arc<IpAddressPool>>>, FactError>,
) {
    let namespace = found.namespace.clone();
    let told = found.told(Part::Controller, "--config").filter(|name| !name.is_empty());
    let is_old = told.is_some();
    let name = told.unwrap_or("config").to_owned();
    let own = |metadata: &Metadata| metadata.namespace() == namespace;
    let mut pools: Vec<Pool> = Vec::new();
    for pool in objects.iter().flat_map(|all| all.iter()).filter(|pool| own(&pool.metadata)) {
        let left = pool.status.clone();
        pools.push(Pool { left, ..Pool::of(&pool.metadata, pool.resource(), &pool.spec) });
    }
    if let Err(FactError { fault: Fault::Absent(_) | Fault::NotCollected { .. }, .. }) | Ok(_) =
        &objects
    {
        // 0.13 and 0.14 have both.
        let legacy = cx.get(within::<AddressPool>(&namespace)).await;
        for pool in legacy.iter().flat_map(|all| all.iter()) {
            pools.push(Pool::of(&pool.metadata, pool.resource(), &pool.spec));
        }
    }
    if !pools.is_empty() && !is_old {
        found.pools = Ok(pools);
        return;
    }
    let map = find::<ConfigMap>(cx, &namespace, &name).await;
    let missing =
        |error: &FactError| matches!(error.fault, Fault::Absent(_) | Fault::NotCollected { .. });
    let has_kind = objects.is_ok();
    match map {
        Ok(map) => {
            found.config_map = map.filter(|map| map.address_pools.is_some());
            found.reads_config_map = is_old || !has_kind && !is_new(found);
        }
        Err(error) if is_old || !has_kind && !missing(&error) => {
            found.pools = Err(error);
            return;
        }
        Err(_) => (),
    }
    if let (true, Some(map)) = (found.reads_config_map, &found.config_map) {
        let entries = map.address_pools.iter().flat_map(|told| &told.address_pools);
        found.pools = Ok(entries.map(|entry| Pool::of_entry(entry, map)).collect());
        return;
    }
    // Who kept the ConfigMap, and nothing of objects, kept all that there was.
    let has_map = found.config_map.is_some();
    let is_trace = |error: &FactError| matches!(error.fault, Fault::NotCollected { .. });
    found.pools = match objects {
        Err(error) if has_map && is_trace(&error) => Ok(pools),
        Err(error) if !is_old && !matches!(error.fault, Fault::Absent(_)) => Err(error),
        _ => Ok(pools),
    };
}

/// Whether a controller shows that it takes objects: it judges them before they are stored. Where
/// nothing was kept of what it is told, its image has to do: the ConfigMap ended with 0.12.
fn is_new(found: &Installation) -> bool {
    let containers = found.pods_of(Part::Controller).flat_map(|pod| &pod.spec.containers);
    let mut ports = containers.flat_map(|container| &container.ports);
    ports.any(|port| port.container_port == 9443)
        || found.version(Part::Controller).is_some_and(|version| version >= (0, 13, 0))
}

/// That pools are announced, and how.
#[derive(Clone, Debug)]
pub struct Advertisement {
    /// The object.
    pub resource: Resource,
    /// Whether it is by ARP; otherwise by BGP.
    pub is_layer2: bool,
    /// Which pools, from where.
    pub spec: crate::AdvertisementSpec,
}

impl Advertisement {
    /// Whether it is for a pool. With no word about pools it is for all.
    pub fn is_for(&self, pool: &Pool) -> bool {
        let spec = &self.spec;
        let (names, selectors) = (&spec.ip_address_pools, &spec.ip_address_pool_selectors);
        if names.is_empty() && selectors.is_empty() {
            return true;
        }
        let labels = |selector: &LabelSelector| selector.misses(&pool.labels).is_none();
        names.contains(&pool.name) || selectors.iter().any(labels)
    }

    /// Whether a node with these labels announces.
    pub fn is_from(&self, labels: &BTreeMap<String, String>) -> bool {
        one_selects(&self.spec.node_selectors, labels)
    }
}

/// What announces MetalLB's pools.
#[derive(Clone, Serialize)]
pub struct Advertisements;

/// The advertisements that are MetalLB's own, and what is known of the others.
#[derive(Clone, Debug, Default)]
pub struct AdvertisementsSeen {
    /// In MetalLB's namespace.
    pub own: Vec<Advertisement>,
    /// In another namespace, where MetalLB doesn't look.
    pub strays: Vec<Advertisement>,
    /// Why there may be more.
    pub missing: Vec<FactError>,
}

impl Fact for Advertisements {
    const NAME: &'static str = "onprem.advertisements";
    type Value = AdvertisementsSeen;

    async fn fetch(&self, cx: &Cx) -> Result<AdvertisementsSeen, FactError> {
        cx.begin(all::<L2Advertisement>());
        cx.begin(all::<BgpAdvertisement>());
        let mut seen = AdvertisementsSeen::default();
        let Some(metallb) = &*cx.get(MetalLb).await? else { return Ok(seen) };
        let mut take = |metadata: &Metadata, advertisement| {
            let own = metadata.namespace() == metallb.namespace;
            if own { &mut seen.own } else { &mut seen.strays }.push(advertisement);
        };
        let layer2 = cx.get(all::<L2Advertisement>()).await;
        for found in layer2.iter().flat_map(|all| all.iter()) {
            let (resource, spec) = (found.resource(), found.spec.clone());
            take(&found.metadata, Advertisement { resource, is_layer2: true, spec });
        }
        let bgp = cx.get(all::<BgpAdvertisement>()).await;
        for found in bgp.iter().flat_map(|all| all.iter()) {
            let (resource, spec) = (found.resource(), found.spec.clone());
            take(&found.metadata, Advertisement { resource, is_layer2: false, spec });
        }
        let missing = [layer2.err(), bgp.err()].into_iter().flatten();
        // Where there is no such kind, there is none of it.
        seen.missing = missing.filter(|e| !matches!(e.fault, Fault::Absent(_))).collect();
        Ok(seen)
    }
}
