use std::collections::{BTreeMap, BTreeSet};

use crate::{Output, graph::Health};

/// More resources than these on one picture are not looked at.
const MANY: usize = 20;

/// More columns than these are not read on a screen.
const LONG: usize = 7;

/// A box of the picture: a resource, or several of which nothing is to be said.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Places in the path's resources. The first names the box, if `led`.
    pub(crate) members: Vec<usize>,
    /// Whether the others are what the first one stands on, rather than its like.
    pub(crate) led: bool,
    pub(crate) health: Health,
    pub(crate) entrance: bool,
    /// Whether a request gets here.
    pub(crate) on_way: bool,
}

/// The request path as it is drawn: without ways that a longer one makes clear, and with healthy
/// side branches folded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Picture {
    pub(crate) nodes: Vec<Node>,
    pub(crate) edges: BTreeSet<(usize, usize)>,
}

impl Picture {
    pub(crate) fn of(output: &Output) -> Self {
        let mut picture = Self::whole(output);
        picture.break_circles();
        picture.drop_shortcuts();
        picture.fold(output);
        picture
    }

    fn whole(output: &Output) -> Self {
        let path = &output.path;
        let index: BTreeMap<&str, usize> =
            path.resources.iter().zip(0..).map(|(r, at)| (r.id.as_str(), at)).collect();
        let ends = path.edges.iter().filter_map(|edge| {
            Some((*index.get(edge.from.as_str())?, *index.get(edge.to.as_str())?))
        });
        let edges: BTreeSet<_> = ends.filter(|(from, to)| from != to).collect();
        let entrances: BTreeSet<_> =
            path.entrances.iter().filter_map(|id| index.get(id.as_str())).copied().collect();
        let below = children(path.resources.len(), &edges);
        let on_way = reached(&below, &entrances);
        let node = |(at, resource)| Node {
            members: vec![at],
            led: true,
            health: Health::of(output, resource),
            entrance: entrances.contains(&at),
            on_way: on_way[at],
        };
        Self { nodes: path.resources.iter().enumerate().map(node).collect(), edges }
    }

    /// Where resources lean on each other in a circle, one edge of it is not drawn.
    fn break_circles(&mut self) {
        let below = children(self.nodes.len(), &self.edges);
        let mut state = vec![Visit::New; self.nodes.len()];
        let entrances = (0..self.nodes.len()).filter(|&at| self.nodes[at].entrance);
        let starts: Vec<_> = entrances.chain(0..self.nodes.len()).collect();
        for start in starts {
            let mut stack = vec![(start, 0)];
            while let Some((at, nth)) = stack.pop() {
                if nth == 0 {
                    if state[at] != Visit::New {
                        continue;
                    }
                    state[at] = Visit::Begun;
                }
                let Some(&next) = below[at].get(nth) else {
                    state[at] = Visit::Done;
                    continue;
                };
                stack.push((at, nth + 1));
                match state[next] {
                    Visit::New => stack.push((next, 0)),
                    Visit::Begun => {
                        self.edges.remove(&(at, next));
                    }
                    Visit::Done => (),
                }
            }
        }
    }

    /// An edge is dropped where another way leads to the same place.
    fn drop_shortcuts(&mut self) {
        let below = children(self.nodes.len(), &self.edges);
        for (from, to) in self.edges.clone() {
            let others = below[from].iter().copied().filter(|&next| next != to).collect();
            if reached(&below, &others)[to] {
                self.edges.remove(&(from, to));
            }
        }
    }

    fn fold(&mut self, output: &Output) {
        // What is beside the path and in order is no more than a number.
        while self.absorb_end(|node, _| !node.on_way) {}
        self.merge_alike(output);
        while self.nodes.len() > MANY || self.columns() > LONG {
            let last = self.columns() - 1;
            let crowded = self.nodes.len() > MANY;
            if !self.absorb_end(|_, layer| crowded || layer == last) && !self.join_run() {
                break;
            }
            self.merge_alike(output);
        }
    }

    fn columns(&self) -> usize {
        self.layers().iter().max().map_or(0, |last| last + 1)
    }

    /// How many steps each box is from where it begins, on the longest way.
    pub(crate) fn layers(&self) -> Vec<usize> {
        let below = children(self.nodes.len(), &self.edges);
        let mut missing = vec![0; self.nodes.len()];
        self.edges.iter().for_each(|(_, to)| missing[*to] += 1);
        let mut ready: Vec<_> = (0..self.nodes.len()).filter(|&at| missing[at] == 0).collect();
        let mut layers = vec![0; self.nodes.len()];
        while let Some(at) = ready.pop() {
            for &next in &below[at] {
                layers[next] = layers[next].max(layers[at] + 1);
                missing[next] -= 1;
                if missing[next] == 0 {
                    ready.push(next);
                }
            }
        }
        layers
    }

    /// Nothing was found here, and it is not where requests come in.
    fn is_quiet(&self, at: usize) -> bool {
        let node = &self.nodes[at];
        matches!(node.health, Health::Healthy | Health::Unjudged) && !node.entrance
    }

    /// Boxes between the same others become one: all ends, and else those of one kind.
    fn merge_alike(&mut self, output: &Output) {
        let kind = |at: usize| {
            let resource = &output.path.resources[self.nodes[at].members[0]].resource;
            (resource.provider.as_str(), resource.kind.as_str())
        };
        let below = children(self.nodes.len(), &self.edges);
        let above = parents(self.nodes.len(), &self.edges);
        let mut alike: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for at in 0..self.nodes.len() {
            let node = &self.nodes[at];
            let unseen = node.health == Health::Unseen && !node.entrance;
            let is_silent = |at: &usize| output.path.resources[*at].findings.is_empty();
            if !(self.is_quiet(at) || unseen && node.members.iter().all(is_silent)) {
                continue;
            }
            let is_beside = !node.on_way && above[at].is_empty();
            let is_end = below[at].is_empty() && (is_beside || node.on_way);
            let kind = (unseen || !is_end).then(|| kind(at));
            let key = (&above[at], &below[at], node.on_way, unseen, kind);
            alike.entry(key).or_default().push(at);
        }
        let groups: Vec<_> = alike.into_values().filter(|group| group.len() > 1).collect();
        let mut gone = BTreeSet::new();
        for group in groups {
            for &other in &group[1..] {
                self.take(group[0], other, false);
                gone.insert(other);
            }
        }
        self.remove(&gone);
    }

    /// A quiet end is taken into the quiet box above it, the one that is furthest away first.
    fn absorb_end(&mut self, may: impl Fn(&Node, usize) -> bool) -> bool {
        let below = children(self.nodes.len(), &self.edges);
        let above = parents(self.nodes.len(), &self.edges);
        let layers = self.layers();
        let ends = (0..self.nodes.len()).filter(|&at| {
            let alone = matches!(&above[at][..], [only] if self.is_quiet(*only));
            below[at].is_empty() && alone && self.is_quiet(at) && may(&self.nodes[at], layers[at])
        });
        let Some(end) = ends.max_by_key(|&at| layers[at]) else { return false };
        self.take(above[end][0], end, true);
        self.remove(&BTreeSet::from([end]));
        true
    }

    /// Two quiet boxes of which one leads to nothing but the other become one.
    fn join_run(&mut self) -> bool {
        let below = children(self.nodes.len(), &self.edges);
        let above = parents(self.nodes.len(), &self.edges);
        let is_run = |(from, to): &(usize, usize)| {
            let only = below[*from].len() == 1 && above[*to].len() == 1;
            only && self.is_quiet(*from) && self.is_quiet(*to)
        };
        let Some((from, to)) = self.edges.iter().copied().find(is_run) else { return false };
        self.take(from, to, true);
        self.remove(&BTreeSet::from([to]));
        true
    }

    /// `taker` stands for `taken` as well, with what that one led to.
    fn take(&mut self, taker: usize, taken: usize, led: bool) {
        let Node { members, health, .. } = self.nodes[taken].clone();
        let node = &mut self.nodes[taker];
        node.members.extend(members);
        node.led &= led;
        // A box that is named after its first is as that one is; a crowd is healthy if all are.
        if !node.led {
            node.health = node.health.min(health);
        }
        let moved: Vec<_> = self.edges.iter().copied().filter(|(from, _)| *from == taken).collect();
        for (_, to) in moved {
            self.edges.insert((taker, to));
        }
    }

    fn remove(&mut self, gone: &BTreeSet<usize>) {
        let kept: Vec<_> = (0..self.nodes.len()).filter(|at| !gone.contains(at)).collect();
        let place: BTreeMap<_, _> = kept.iter().copied().zip(0..).collect();
        let ends =
            self.edges.iter().filter_map(|(from, to)| Some((*place.get(from)?, *place.get(to)?)));
        self.edges = ends.collect();
        self.nodes = kept.iter().map(|&at| self.nodes[at].clone()).collect();
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Visit {
    New,
    Begun,
    Done,
}

/// What each leads to.
pub(crate) fn children(count: usize, edges: &BTreeSet<(usize, usize)>) -> Vec<Vec<usize>> {
    let mut below = vec![Vec::new(); count];
    for (from, to) in edges {
        below[*from].push(*to);
    }
    below
}

/// What leads to each.
pub(crate) fn parents(count: usize, edges: &BTreeSet<(usize, usize)>) -> Vec<Vec<usize>> {
    let mut above = vec![Vec::new(); count];
    for (from, to) in edges {
        above[*to].push(*from);
    }
    above
}

/// Which can be reached from `starts`, these included.
fn reached(below: &[Vec<usize>], starts: &BTreeSet<usize>) -> Vec<bool> {
    let mut seen = vec![false; below.len()];
    let mut next: Vec<_> = starts.iter().copied().collect();
    while let Some(at) = next.pop() {
        if !std::mem::replace(&mut seen[at], true) {
            next.extend(&below[at]);
        }
    }
    seen
}
