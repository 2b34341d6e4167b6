//! Images that can't be pulled, and why.

use std::net::IpAddr;

use kfcheck::{Cx, Fact, FactError, Resource};
use serde::Serialize;

use crate::{ContainerStatus, Pod, Workloads};

/// What keeps an image away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PullTrouble {
    /// The registry refuses.
    Refused,
    /// The registry has no such image.
    Missing,
    /// The image's name is not valid.
    Name,
    /// The registry limits the rate.
    Rate,
    /// The registry can't be reached.
    Network,
    /// The kubelet doesn't say.
    Unsaid,
}

impl PullTrouble {
    /// Reads it off the words of the container runtimes and registries.
    pub(crate) fn of(says: &str) -> Self {
        let says = says.to_lowercase();
        let any = |words: &[&str]| words.iter().any(|word| says.contains(word));
        if any(&["toomanyrequests", "too many requests", "rate limit", " 429"]) {
            Self::Rate
        } else if any(&[
            "i/o timeout",
            "no such host",
            "connection refused",
            "connection reset",
            "network is unreachable",
            "no route to host",
            "deadline exceeded",
            "tls handshake timeout",
            "client.timeout",
            "server misbehaving",
        ]) {
            Self::Network
        } else if any(&["invalidimagename", "invalid reference"]) {
            Self::Name
        } else if any(&["manifest unknown", "not found"]) {
            Self::Missing
        } else if any(&[
            "unauthorized",
            "forbidden",
            "denied",
            "authentication required",
            "no basic auth",
            " 401",
            " 403",
        ]) {
            Self::Refused
        } else {
            Self::Unsaid
        }
    }
}

/// The image that a container of a pod waits for, and what the kubelet says of it.
pub(crate) fn waits_for_image(pod: &Pod) -> Option<(&ContainerStatus, String)> {
    let reasons = ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"];
    pod.statuses().find_map(|status| {
        let waiting = status.state.waiting.as_ref()?;
        reasons.contains(&waiting.reason()).then(|| (status, waiting.says()))
    })
}

/// The first address in a text that is neither private nor one of Google's private ones.
pub(crate) fn public_address(says: &str) -> Option<IpAddr> {
    // `dial tcp 54.1.2.3:443`, or after the arrow where the own address comes first.
    let from = ["dial tcp ", "->"]
        .iter()
        .find_map(|before| says.rfind(before).map(|at| at + before.len()))?;
    let digits = |c: char| c.is_ascii_digit() || c == '.';
    let word: String = says[from..].chars().take_while(|c| digits(*c)).collect();
    let addresses = word.parse::<IpAddr>().into_iter();
    let mut public = addresses.filter(|address| match address {
        IpAddr::V4(v4) => {
            let google = v4.octets()[..3] == [199, 36, 153];
            let carrier = v4.octets()[0] == 100 && (64..128).contains(&v4.octets()[1]);
            !(carrier || v4.is_private() || v4.is_loopback() || v4.is_link_local() || google)
        }
        IpAddr::V6(_) => false,
    });
    public.next()
}

/// The workloads whose images the nodes can't get for want of a way to the registry.
#[derive(Clone, Serialize)]
pub struct UnreachedRegistries;

/// An image that the nodes can't get for want of a way to its registry.
#[derive(Clone, Debug)]
pub struct UnreachedRegistry {
    /// Whose image.
    pub workload: Resource,
    /// The image.
    pub image: String,
    /// The address that was tried, where it is a public one.
    pub address: Option<IpAddr>,
}

impl Fact for UnreachedRegistries {
    const NAME: &'static str = "kube.unreachedRegistries";
    type Value = Vec<UnreachedRegistry>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<UnreachedRegistry>, FactError> {
        let workloads = cx.get(Workloads).await?;
        let mut all = Vec::new();
        for group in workloads.workloads() {
            let waits = group.pods.iter().find_map(|pod| waits_for_image(pod));
            let Some((status, says)) = waits else { continue };
            if PullTrouble::of(&says) == PullTrouble::Network {
                all.push(UnreachedRegistry {
                    workload: group.resource.clone(),
                    image: status.image.clone(),
                    address: public_address(&says),
                });
            }
        }
        Ok(all)
    }
}

/// The registry of an image: `docker.io` where none is said.
pub fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "docker.io",
    }
}

#[cfg(test)]
mod tests {
    use super::registry;

    #[test]
    fn an_image_without_a_host_is_of_docker_hub() {
        for (image, host) in [
            ("nginx:1", "docker.io"),
            ("library/nginx", "docker.io"),
            ("gcr.io/p/x@sha256:0", "gcr.io"),
            ("localhost:5000/x", "localhost:5000"),
        ] {
            assert_eq!(registry(image), host);
        }
    }
}
