//! A check as a team has it that mirrors all images: what comes from elsewhere may be gone tomorrow.

use std::collections::BTreeSet;

use kfcheck::{Check, Cx, FactError, Findings, Risk, async_trait, check};
use kfcheck_kube::{Workloads, registry};

/// The registry that this company's images come from.
const OURS: &str = "registry.acme.example";

// The id begins with the company's name, so that it is never one of kfcheck's own.
check! {
    /// ## What it checks
    /// That what the endpoint stands on runs images of registry.acme.example, which keeps them for
    /// as long as we need them.
    ///
    /// ## Why it matters
    /// Others delete images and limit how often they are pulled. A new node then starts without the
    /// gateway.
    ///
    /// ## How to fix it
    /// Mirror the image, and name the copy in the manifest.
    pub(crate) struct ImageRegistry;
    id: "acme-image-registry",
    title: "Every image comes from our registry",
}

#[async_trait]
impl Check for ImageRegistry {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        // A fact is asked for once in a run, however many checks want it. Where it can't be had, `?`
        // ends the check, and the report says so.
        let workloads = cx.get(Workloads).await?;
        for group in workloads.seen(out) {
            let containers = group.pods.iter().flat_map(|pod| &pod.spec.containers);
            let images: BTreeSet<_> = containers.map(|container| &*container.image).collect();
            let foreign: Vec<_> =
                images.into_iter().filter(|image| registry(image) != OURS).collect();
            if foreign.is_empty() {
                // A check passes only if it has examined something and all of it was well.
                if !group.pods.is_empty() {
                    out.ok(&group.resource);
                }
                continue;
            }
            // It works, and may not for long: a warning. What is broken now is `out.fail(…)`.
            let finding = out.warn(&group.resource, "runs images from elsewhere");
            for image in foreign {
                finding.evidence("image", image);
                let (_, path) = image.split_once('/').unwrap_or(("", image));
                let copy = format!("skopeo copy docker://{image} docker://{OURS}/{path}");
                finding.fix(Risk::None, "mirrors it; then name the copy", copy);
            }
        }
        Ok(())
    }
}
