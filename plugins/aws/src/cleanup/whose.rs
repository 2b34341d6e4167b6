//! Whose something is that no stack made.

use std::collections::BTreeSet;

use crate::{Tag, fronts::owners, shape::tag};

/// Whose something is, by its tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    Ours,
    Nobodys,
    Another(String),
    Stack(String),
}

pub(super) fn whose(cluster: &str, tags: &[Tag]) -> Whose {
    let mut clusters: BTreeSet<&str> = owners(tags).into_iter().collect();
    let more = ["aws:eks:cluster-name", "cluster.k8s.amazonaws.com/name", "eks:cluster-name"];
    clusters.extend(more.iter().filter_map(|key| tag(tags, key)));
    // Whoever shares it needs it as well.
    let shared = tags.iter().filter_map(|tag| tag.key.strip_prefix("kubernetes.io/cluster/"));
    let another = clusters.iter().copied().chain(shared).find(|name| *name != cluster);
    if let Some(another) = another {
        return Whose::Another(another.to_owned());
    }
    if let Some(stack) = tag(tags, "aws:cloudformation:stack-name") {
        return Whose::Stack(stack.to_owned());
    }
    if clusters.contains(cluster) { Whose::Ours } else { Whose::Nobodys }
}
