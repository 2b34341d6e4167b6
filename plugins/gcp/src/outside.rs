//! What a deployment needs from the internet.

use std::collections::BTreeSet;

use kfcheck::Cx;
use kfcheck_kube::{RequestAuthentication, Workloads, on_path, registry};
use url::Url;

/// The hosts on the internet that the nodes and the mesh need: registries, and where the keys for
/// sign-in tokens are. Those that Google serves privately as well are left out.
pub(crate) async fn needs_internet(cx: &Cx) -> BTreeSet<String> {
    let mut hosts = BTreeSet::new();
    if let Ok(workloads) = cx.get(Workloads).await {
        let pods = workloads.workloads().iter().flat_map(|group| &group.pods);
        let images = pods.flat_map(|pod| &pod.spec.containers).map(|c| c.image.as_str());
        let others = images.filter(|image| !image.is_empty() && !is_googles(image));
        hosts.extend(others.map(registry).filter(|host| is_public(host)).map(str::to_owned));
    }
    if let Ok(rules) = cx.get(on_path::<RequestAuthentication>()).await {
        let urls = rules.objects().iter().flat_map(|rule| &rule.spec.jwt_rules);
        let keys = urls.filter_map(|rule| Url::parse(rule.jwks_uri.as_deref()?).ok());
        let keys = keys.filter_map(|url| url.host_str().map(str::to_owned));
        hosts.extend(keys.filter(|host| is_public(host) && !host.ends_with(".googleapis.com")));
    }
    hosts
}

/// Whether an image is in a registry that Google's private addresses serve (Artifact Registry
/// documentation, "Configure Private Google Access").
pub(crate) fn is_googles(image: &str) -> bool {
    let host = registry(image);
    host == "gcr.io" || host.ends_with(".gcr.io") || host.ends_with(".pkg.dev")
}

/// Whether a host is one of the internet's, going by its name.
fn is_public(host: &str) -> bool {
    let host = host.split(':').next().unwrap_or(host);
    let inside = [".local", ".internal", ".svc", ".cluster"];
    host.contains('.')
        && host.parse::<std::net::IpAddr>().is_err()
        && !inside.iter().any(|end| host.ends_with(end))
        && !host.contains(".svc.")
}
