use std::collections::{BTreeMap, VecDeque};

use crate::{Aspect, Finding, Report, Resource, Severity};

/// A finding that no other finding explains, and what follows from it.
#[derive(Clone, Debug)]
pub struct Cause<'a> {
    /// The check that found it.
    pub check: &'static str,
    /// What is wrong.
    pub finding: &'a Finding,
    /// The findings that follow from it, nearest first.
    pub explains: Vec<(&'static str, &'a Finding)>,
    /// The entrances that do not answer because of it, or not as they should. One that was seen to
    /// answer is none that doesn't.
    pub takes_down: Vec<&'a Resource>,
    /// All that does not answer because of it, or not as it should, in their order; entrances and
    /// what it is about among them. What was seen to answer is none of it.
    pub affects: Vec<&'a Resource>,
}

impl Cause<'_> {
    /// Whether it is to be told: it counts, or explains something that does. Where somebody
    /// suppressed all of it, it is among what is suppressed only.
    pub fn is_told(&self) -> bool {
        let mut explained = self.explains.iter();
        self.finding.suppressed.is_none() || explained.any(|(_, f)| f.suppressed.is_none())
    }
}

/// Splits what fails into root causes, each with the symptoms above it. Those that take an entrance
/// down come first, then those that explain most.
///
/// Every resource has three sides ([`Aspect`]): it is there, it answers, and it answers as it
/// should. A finding sits on one of them. It explains another when the other's side depends on its own, and not the other way round;
/// on one side of one resource, what is wrong explains what somebody says of it, and both what does
/// not work. That is a strict order,
/// so whatever fails has at least one root cause.
pub fn causes(report: &Report) -> Vec<Cause<'_>> {
    let graph = Graph::of(report);
    let failed: Vec<_> = report.findings().filter(|(_, f)| f.severity == Severity::Fail).collect();
    let nodes: Vec<_> = failed.iter().map(|(_, f)| graph.node(&f.resource, f.aspect)).collect();
    let distances: Vec<Vec<usize>> = nodes.iter().map(|node| graph.distances(*node)).collect();
    let explains = |a: usize, b: usize| {
        if nodes[a] == nodes[b] {
            return failed[a].1.depth() < failed[b].1.depth();
        }
        distances[a][nodes[b]] != FAR && distances[b][nodes[a]] == FAR
    };
    let entrances = report.path.entrances();
    let all = 0..failed.len();
    let roots = all.clone().filter(|&b| !all.clone().any(|a| explains(a, b)));
    let mut causes: Vec<_> = roots
        .map(|root| {
            let distance = |other: usize| distances[root][nodes[other]];
            let mut explained: Vec<_> =
                all.clone().filter(|&other| explains(root, other)).collect();
            explained.sort_by_key(|&other| (distance(other), failed[other].1.symptom, other));
            let down = |resource: &&&Resource| {
                let answers = report.results.iter().any(|r| r.answering.contains(**resource));
                let reaches = |side| distances[root][graph.node(resource, side)] != FAR;
                reaches(Aspect::Manner) || !answers && reaches(Aspect::Serving)
            };
            let (check, finding) = failed[root];
            Cause {
                check,
                finding,
                explains: explained.into_iter().map(|other| failed[other]).collect(),
                takes_down: entrances.iter().filter(down).copied().collect(),
                affects: graph.index.keys().filter(down).copied().collect(),
            }
        })
        .collect();
    causes.sort_by_key(|cause| {
        let beside = cause.takes_down.is_empty();
        (beside, cause.finding.symptom, std::cmp::Reverse(cause.explains.len()))
    });
    causes
}

/// How many sides a resource has.
const SIDES: usize = 3;

/// What can't be reached.
const FAR: usize = usize::MAX;

/// The sides of all resources, and which sides depend on each: three nodes a resource.
struct Graph<'a> {
    index: BTreeMap<&'a Resource, usize>,
    above: Vec<Vec<usize>>,
}

impl<'a> Graph<'a> {
    fn of(report: &'a Report) -> Self {
        let added = report.results.iter().flat_map(|result| &result.edges);
        let edges: Vec<_> = report.path.edges.iter().chain(added).collect();
        let ends = edges.iter().flat_map(|edge| [&edge.upper, &edge.lower]);
        let found = report.findings().map(|(_, finding)| &finding.resource);
        let entrances = report.path.entrances();
        let mut index = BTreeMap::new();
        for resource in ends.chain(found).chain(entrances) {
            let next = index.len();
            index.entry(resource).or_insert(next);
        }
        let mut graph = Self { above: vec![Vec::new(); SIDES * index.len()], index };
        for resource in graph.index.values() {
            let side = |aspect| SIDES * resource + aspect as usize;
            graph.above[side(Aspect::Being)].push(side(Aspect::Serving));
        }
        for edge in edges {
            let upper = graph.node(&edge.upper, edge.aspect);
            let lower = graph.node(&edge.lower, edge.takes);
            graph.above[lower].push(upper);
            if edge.takes == Aspect::Serving {
                let manner = graph.node(&edge.lower, Aspect::Manner);
                graph.above[manner].push(upper);
            }
        }
        graph
    }

    fn node(&self, resource: &Resource, aspect: Aspect) -> usize {
        SIDES * self.index[resource] + aspect as usize
    }

    /// How many steps each node is above `start`. The sides of one resource count as one.
    fn distances(&self, start: usize) -> Vec<usize> {
        let mut distances = vec![FAR; self.above.len()];
        distances[start] = 0;
        let mut queue = VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            for &above in &self.above[node] {
                if distances[above] == FAR {
                    distances[above] = distances[node] + 1;
                    queue.push_back(above);
                }
            }
        }
        distances
    }
}
