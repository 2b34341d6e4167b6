//! Which route packets take (VPC documentation, "Routing order").

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::{Network, Route, ground::Ground};

/// The routes of the cluster's network that its nodes take part in.
pub(crate) fn of_network<'a>(ground: &Ground, routes: &'a [Route]) -> Vec<&'a Route> {
    let ours = |route: &&Route| {
        let of = Network::of(&route.network, "");
        let project = of.project.is_empty() || of.project == ground.network.project;
        let tags = route.tags.is_empty()
            || ground.nodes.iter().all(|node| route.tags.iter().any(|t| node.tags().contains(t)));
        project && of.name == ground.network.name && tags
    };
    routes.iter().filter(ours).collect()
}

/// The route to an address: of those with the longest range, the one with the lowest priority.
pub(crate) fn winner<'a>(routes: &[&'a Route], to: Ipv4Addr) -> Option<&'a Route> {
    let range = |route: &Route| route.dest_range.parse::<Ipv4Net>().ok();
    let fits = routes.iter().filter_map(|route| Some((*route, range(route)?)));
    let fits = fits.filter(|(_, range)| range.contains(&to));
    let best = fits.min_by_key(|(route, range)| {
        (std::cmp::Reverse(range.prefix_len()), route.priority.unwrap_or(1000))
    });
    best.map(|(route, _)| route)
}
