use std::{collections::BTreeSet, panic::AssertUnwindSafe};

use async_trait::async_trait;
use futures::FutureExt;
use serde::{Deserialize, Serialize};

use crate::{Cx, Fact, FactError, Fault, Named, Resource};

/// Draws a part of the request path. It is written like a check, is listed beside the checks, and
/// asks for facts like one; the core joins what all stretches draw.
#[async_trait]
pub trait Stretch: Send + Sync {
    /// Draws what it can see.
    ///
    /// An error ends the stretch and leaves a gap; what is drawn already is kept.
    async fn draw(&self, cx: &Cx, path: &mut Path) -> Result<(), FactError>;
}

/// A side of a resource that something else may depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Aspect {
    /// It is there, as declared, so that something can be built from it.
    Being,
    /// It answers. That takes its being, too.
    Serving,
    /// It answers as it should. What stands above it suffers when it doesn't; that it answers at
    /// all is not in doubt.
    Manner,
}

/// That one resource depends on another, and in which respect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edge {
    /// What depends.
    pub upper: Resource,
    /// What it depends on.
    pub lower: Resource,
    /// [`Aspect::Serving`]: the upper one answers only while the lower one does.
    /// [`Aspect::Being`]: the upper one is built only if the lower one is there.
    /// [`Aspect::Manner`]: the upper one answers as it should only if the lower one is there.
    pub aspect: Aspect,
    /// The side of the lower one that it takes.
    pub(crate) takes: Aspect,
}

impl Edge {
    pub(crate) fn new(upper: Resource, lower: Resource, aspect: Aspect) -> Self {
        let takes = if aspect == Aspect::Serving { aspect } else { Aspect::Being };
        Self { upper, lower, aspect, takes }
    }

    /// The upper one answers as it should only while the lower one does.
    fn asking(upper: Resource, lower: Resource) -> Self {
        Self { upper, lower, aspect: Aspect::Manner, takes: Aspect::Serving }
    }
}

/// What a request from outside goes through, and what each of these depends on.
#[derive(Clone, Debug, Default)]
pub struct Path {
    /// Who depends on whom.
    pub edges: BTreeSet<Edge>,
    /// What is judged even if nothing depends on it.
    pub ground: BTreeSet<Resource>,
    /// Why more of it isn't known.
    pub gaps: Vec<FactError>,
    members: BTreeSet<Resource>,
}

impl Path {
    /// `upper` answers only while `lower` does.
    pub fn needs(&mut self, upper: impl Into<Resource>, lower: impl Into<Resource>) {
        self.edges.insert(Edge::new(upper.into(), lower.into(), Aspect::Serving));
    }

    /// `upper` is built only if `lower` is there as declared.
    pub fn built_from(&mut self, upper: impl Into<Resource>, lower: impl Into<Resource>) {
        self.edges.insert(Edge::new(upper.into(), lower.into(), Aspect::Being));
    }

    /// `upper` answers as it should only if `lower` is there as declared.
    pub fn set_up_by(&mut self, upper: impl Into<Resource>, lower: impl Into<Resource>) {
        self.edges.insert(Edge::new(upper.into(), lower.into(), Aspect::Manner));
    }

    /// `upper` answers as it should only while `lower` does; without, it answers all the same.
    pub fn asks(&mut self, upper: impl Into<Resource>, lower: impl Into<Resource>) {
        self.edges.insert(Edge::asking(upper.into(), lower.into()));
    }

    /// `resource` is judged, whoever depends on it.
    pub fn stands_on(&mut self, resource: impl Into<Resource>) {
        self.ground.insert(resource.into());
    }

    /// A part of the path that can't be seen, and why; what is drawn already is kept.
    pub fn gap(&mut self, error: FactError) {
        if !matches!(error.fault, Fault::Absent(_)) {
            self.gaps.push(error);
        }
    }

    /// Whether a request depends on `resource`.
    pub fn contains(&self, resource: &Resource) -> bool {
        self.members.contains(resource) || self.drawn().any(|drawn| drawn == resource)
    }

    /// Every resource that a request depends on.
    pub fn resources(&self) -> BTreeSet<&Resource> {
        self.members.iter().chain(self.drawn()).collect()
    }

    /// Every resource, each as often as it is drawn.
    fn drawn(&self) -> impl Iterator<Item = &Resource> {
        // Once joined, all of them are members.
        let edges = self.edges.iter().take(if self.members.is_empty() { usize::MAX } else { 0 });
        edges.flat_map(|edge| [&edge.upper, &edge.lower]).chain(&self.ground)
    }

    /// The resources of a kind, which is a kind of this provider.
    pub fn of_kind(&self, provider: &str, kind: &str) -> BTreeSet<&Resource> {
        let members = self.members.iter().chain(self.drawn());
        members.filter(|r| r.provider == provider && r.kind == kind).collect()
    }

    /// Those of `all` that a request depends on.
    pub fn on<'a, T: Named>(&self, all: impl IntoIterator<Item = &'a T>) -> Vec<&'a T> {
        all.into_iter().filter(|thing| self.contains(&thing.resource())).collect()
    }

    /// Those of `all` that `upper` leans on directly, whatever for.
    pub fn below<'a, T: Named>(
        &self,
        upper: impl Into<Resource>,
        all: impl IntoIterator<Item = &'a T>,
    ) -> Vec<&'a T> {
        let upper = upper.into();
        let edges = self.edges.iter().filter(|edge| edge.upper == upper);
        let lower: BTreeSet<_> = edges.map(|edge| &edge.lower).collect();
        all.into_iter().filter(|thing| lower.contains(&thing.resource())).collect()
    }

    /// What leans on `lower` directly.
    pub fn above(&self, lower: impl Into<Resource>) -> BTreeSet<&Resource> {
        let lower = lower.into();
        self.edges.iter().filter(|edge| edge.lower == lower).map(|edge| &edge.upper).collect()
    }

    /// The host names that requests come in by; without one, whatever nothing else leans on.
    pub fn entrances(&self) -> Vec<&Resource> {
        // Others are names that something on the way depends on.
        let leaned_on = |host: &Resource| {
            let serving = self.edges.iter().filter(|edge| edge.aspect == Aspect::Serving);
            serving.map(|edge| &edge.lower).any(|lower| lower == host)
        };
        let hosts = self.of_kind("dns", "Host").into_iter();
        let hosts: Vec<_> = hosts.filter(|host| !leaned_on(host)).collect();
        if !hosts.is_empty() {
            return hosts;
        }
        let lower: BTreeSet<_> = self.edges.iter().map(|edge| &edge.lower).collect();
        let upper: BTreeSet<_> = self.edges.iter().map(|edge| &edge.upper).collect();
        upper.difference(&lower).copied().collect()
    }

    /// Joins what all stretches draw.
    async fn join(cx: &Cx) -> Result<Self, FactError> {
        let drawn = cx.stretches()?.into_iter();
        let drawn = drawn.map(async |stretch| {
            let mut path = Self::default();
            let drawing = AssertUnwindSafe(stretch.draw(cx, &mut path)).catch_unwind().await;
            let ended = drawing.unwrap_or_else(|_| Err(Fault::Bug("panicked".to_owned()).into()));
            ended.err().into_iter().for_each(|error| path.gap(error));
            path
        });
        let mut whole = Self::default();
        for path in futures::future::join_all(drawn).await {
            whole.edges.extend(path.edges);
            whole.ground.extend(path.ground);
            whole.gaps.extend(path.gaps);
        }
        whole.gaps.sort();
        whole.gaps.dedup();
        whole.members = whole.drawn().cloned().collect();
        Ok(whole)
    }
}

/// The whole path, which [`Cx::path`] asks for.
#[derive(Clone, Serialize)]
pub(crate) struct Joined;

impl Fact for Joined {
    const NAME: &'static str = "path";
    type Value = Path;

    async fn fetch(&self, cx: &Cx) -> Result<Path, FactError> {
        Path::join(cx).await
    }
}
