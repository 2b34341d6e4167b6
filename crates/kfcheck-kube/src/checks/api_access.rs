use std::collections::BTreeSet;

use kfcheck::{Check, Cx, FactError, Fault, Findings, Risk, async_trait, check};

use crate::{Cluster, CollectionErrors, Recorded, resource};

check! {
    /// ## What it checks
    /// That the API server of the current context answers, takes the credentials in use, grants
    /// what the inspection reads, and is no older than Kubernetes 1.13.
    ///
    /// ## Why it matters
    /// What can't be read can't be judged, and a cause may hide there. On EKS, credentials that
    /// AWS accepts are refused until the cluster maps them to a user.
    ///
    /// ## How to fix it
    /// Log in again where the credentials are refused. Where a permission is missing, ask for it:
    /// `kubectl auth can-i VERB RESOURCE -A` says whether it is there.
    pub(crate) struct ApiAccess;
    id: "kube-api-access",
    title: "The API server answers and grants what is read",
}

/// Kubeflow's own minimum, as its installation pages have it.
const OLDEST: (u32, u32) = (1, 13);

#[async_trait]
impl Check for ApiAccess {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let version = cx.get(Cluster).await;
        let context = version.as_ref().ok().and_then(|version| version.context.clone());
        let subject = resource("Cluster", None, context.as_deref().unwrap_or("of this context"));
        let errors = match cx.get(CollectionErrors).await {
            Err(FactError { fault: Fault::NotCollected { .. }, .. }) => None,
            other => Some(other?),
        };
        let errors = errors.iter().flat_map(|errors| errors.iter());
        let faults = errors.filter(|(place, _)| place.starts_with("kubernetes/"));
        let (mut denied, mut refused, mut silent) = (BTreeSet::new(), None, None);
        for (_, fault) in faults {
            match fault {
                Recorded::Known(Fault::Denied { permission }) => {
                    denied.insert(permission.as_str());
                }
                Recorded::Known(Fault::Unreachable(detail)) => {
                    let login = ["Unauthorized", "401", "logged in", "credentials"];
                    let wrong = login.iter().any(|word| detail.contains(word));
                    *if wrong { &mut refused } else { &mut silent } = Some(detail);
                }
                Recorded::Known(_) | Recorded::Other(_) => (),
            }
        }
        if let Some(detail) = refused {
            out.fail(&subject, "does not take the credentials in use")
                .evidence("says", detail)
                .fix(Risk::None, "shows who the API server takes you for", "kubectl auth whoami");
        } else if let Some(detail) = silent {
            out.fail(&subject, "does not answer").evidence("says", detail).fix(
                Risk::None,
                "shows the address that is asked",
                "kubectl cluster-info",
            );
        }
        if !denied.is_empty() {
            let all: Vec<_> = denied.iter().copied().collect();
            let finding = out.fail(&subject, format!("denies {}", all.join(", ")));
            if let Some(first) = all.first() {
                let check = format!("kubectl auth can-i {first} --all-namespaces");
                finding.fix(Risk::None, "says whether the permission is there by now", check);
            }
        }
        let version = version?;
        match version.number() {
            Some(number) if number < OLDEST => {
                let (major, minor) = number;
                out.warn(&subject, format!("runs Kubernetes {major}.{minor}, older than 1.13"));
            }
            Some(_) if out.is_clean() => out.ok(&subject),
            _ => (),
        }
        Ok(())
    }
}
