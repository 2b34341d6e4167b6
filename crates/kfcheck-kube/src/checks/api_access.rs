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
        // A log is kept by a kubelet, which says nothing about the API server.
        let is_log = |place: &str| place.starts_with("kubernetes/logs/");
        let (mut denied, mut refused, mut silent) = (BTreeSet::new(), None, None);
        for (place, fault) in faults {
            match fault {
                Recorded::Known(Fault::Denied { permission }) => {
                    denied.insert(permission.as_str());
                }
                Recorded::Known(fault @ Fault::Unreachable(detail)) if is_login(detail) => {
                    refused = Some(fault);
                }
                Recorded::Known(fault @ (Fault::Unreachable(_) | Fault::TimedOut(_)))
                    if !is_log(place) =>
                {
                    silent = Some(fault);
                }
                Recorded::Known(_) | Recorded::Other(_) => (),
            }
        }
        let answered = version.as_ref().is_ok_and(|version| version.server_version.is_some());
        if let Some(fault) = refused {
            out.fail(&subject, "does not take the credentials in use").evidence("says", fault).fix(
                Risk::None,
                "shows which credentials are in use; log in again with what made them",
                "kubectl config view --minify",
            );
        } else if let Some(fault) = silent {
            if answered {
                // It answers, and not everything.
                out.unseen(fault.clone().into());
            } else {
                out.fail(&subject, "does not answer").evidence("says", fault).fix(
                    Risk::None,
                    "shows the address that is asked",
                    "kubectl cluster-info",
                );
            }
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
            Some(_) if out.is_clean() && silent.is_none() => out.ok(&subject),
            _ => (),
        }
        Ok(())
    }
}

/// Whether an API server's words are about who asks.
fn is_login(says: &str) -> bool {
    let words = ["Unauthorized", "must be logged in", "provide credentials", "bearer token"];
    words.iter().any(|word| says.contains(word))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::ApiAccess;
    use crate::testing::report;

    async fn with(errors: Value) -> String {
        let manifest = json!({ "collectedAt": "2026-11-21T12:00:00Z", "errors": errors,
            "kubernetes": { "context": "test", "serverVersion": "v1.30.1" } });
        let none = ["ingresses.networking.k8s.io", "services"];
        let none = none.map(|name| format!("kubernetes/{name}.json"));
        let [ingresses, services] = none.each_ref().map(|name| (&**name, json!({ "items": [] })));
        report(&ApiAccess, &[], &[("bundle.json", manifest), ingresses, services]).await
    }

    #[tokio::test]
    async fn a_kind_that_the_cluster_does_not_have_is_no_refusal() {
        let errors =
            json!({ "kubernetes/certificates.cert-manager.io": { "absent": "no such kind" } });
        expect![[r#"
            No entrance to a deployment was found. 0 root causes, 0 symptoms; 1 check
            passed, 0 not seen.

            pass     kube-api-access
                     The API server answers and grants what is read
        "#]]
        .assert_eq(&with(errors).await);
    }

    #[tokio::test]
    async fn every_permission_that_is_denied_is_named_once() {
        let denied = |permission: &str| json!({ "denied": { "permission": permission } });
        let errors = json!({ "kubernetes/secrets": denied("list secrets"),
            "kubernetes/logs/kubeflow/a/a.log": denied("get pods/log"),
            "kubernetes/logs/kubeflow/b/b.log": denied("get pods/log") });
        expect![[r#"
            Something is broken; no entrance to a deployment was found. 1 root cause, 0
            symptoms; 0 checks passed, 0 not seen.

            BROKEN  kube-api-access
              Cluster test denies get pods/log, list secrets
                fix       says whether the permission is there by now
                          kubectl auth can-i get pods/log --all-namespaces
              kubectl kfcheck explain kube-api-access

            FAIL     kube-api-access
                     The API server answers and grants what is read
        "#]]
        .assert_eq(&with(errors).await);
    }

    #[tokio::test]
    async fn credentials_that_are_refused_are_told_from_silence() {
        let says = "You must be logged in to the server (Unauthorized)";
        let errors = json!({ "kubernetes/pods": { "unreachable": says } });
        expect![[r#"
            Something is broken; no entrance to a deployment was found. 1 root cause, 0
            symptoms; 0 checks passed, 0 not seen.

            BROKEN  kube-api-access
              Cluster test does not take the credentials in use
                says      unreachable: You must be logged in to the server (Unauthorized)
                fix       shows which credentials are in use; log in again with what made
                          them
                          kubectl config view --minify
              kubectl kfcheck explain kube-api-access

            FAIL     kube-api-access
                     The API server answers and grants what is read
        "#]]
        .assert_eq(&with(errors).await);
    }
}
