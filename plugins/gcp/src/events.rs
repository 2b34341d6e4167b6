//! What Google's controllers say about an Ingress, a Gateway or a Service.

use std::sync::{Arc, LazyLock};

use jiff::{Timestamp, ToSpan};
use kfcheck::{Cx, FactError, Now, Resource};
use kfcheck_kube::{Event, within};
use regex::Regex;

/// An Ingress that has an address is synced again within this time, in minutes; an error that
/// doesn't come again is over (ingress-gce, `--sync-period` and its back-off).
const RESYNC: i64 = 30;

/// The newest complaint of Google's controllers about `resource`, for one of these reasons or for
/// any, that nothing has answered since.
pub(crate) async fn complaint(
    cx: &Cx,
    resource: &Resource,
    is_up: bool,
    reasons: &[&str],
) -> Result<Option<Arc<Event>>, FactError> {
    let namespace = resource.namespace.as_deref().unwrap_or("default");
    let events = cx.get(within::<Event>(namespace)).await?;
    let ours = |event: &&Arc<Event>| event.is_about(resource) && is_googles(event.by());
    let about: Vec<_> = events.iter().filter(ours).collect();
    let meant = |reason: &str| reasons.is_empty() || reasons.contains(&reason);
    let warnings = about.iter().filter(|event| event.is_warning() && meant(&event.reason));
    let Some(newest) = warnings.max_by_key(|event| event.last_seen()) else { return Ok(None) };
    let last_good =
        about.iter().filter(|event| is_success(event)).filter_map(|event| event.last_seen()).max();
    let over = last_good.is_some_and(|good| newest.last_seen().is_some_and(|bad| bad <= good));
    let oldest = before(now(cx).await);
    let stale = is_up && newest.last_seen().is_some_and(|bad| bad < oldest);
    Ok((!over && !stale).then(|| Arc::clone(newest)))
}

/// Whether a controller is one of Google's, or unnamed. Others speak of the same Ingress.
fn is_googles(component: &str) -> bool {
    let known = [
        "loadbalancer-controller",
        "ingress-gce",
        "neg-controller",
        "managed-certificate",
        "gateway-controller",
    ];
    component.is_empty() || known.iter().any(|name| component.contains(name))
}

async fn now(cx: &Cx) -> Timestamp {
    cx.get(Now).await.map_or(Timestamp::MIN, |now| *now)
}

fn before(now: Timestamp) -> Timestamp {
    now.checked_sub(RESYNC.minutes()).unwrap_or(Timestamp::MIN)
}

/// Whether an event says that the load balancer was built. "Scheduled for sync" is a promise.
fn is_success(event: &Event) -> bool {
    // The controller of Gateways says SYNC for the promise, too.
    if event.by().contains("gateway-controller") {
        return event.kind == "Normal" && event.message.contains("was a success");
    }
    let built = ["CREATE", "Create", "ADD", "IPChanged", "Attach", "Sync"];
    event.kind == "Normal"
        && built.contains(&event.reason.as_str())
        && !event.message.contains("Scheduled for sync")
}

/// What an error of the controller's is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Complaint {
    /// A quota is used up: its metric, and the region if it is one's.
    Quota(String, Option<String>),
    /// A BackendConfig is missing for a port of a Service.
    BackendConfig,
    /// A Service is missing.
    Service(String),
    /// A port of a Service is missing.
    Port(String),
    /// A Secret is missing or holds no certificate.
    Secret(String),
    /// The reserved address is missing.
    Address(String),
    /// Google is still at work on something that this waits for.
    NotReady,
    /// The controller's service account may not do it.
    Denied,
    /// Something else.
    Other,
}

impl Complaint {
    /// Reads it off the words of the controller and of the Compute API.
    pub(crate) fn of(message: &str) -> Self {
        static QUOTA: LazyLock<Option<Regex>> = LazyLock::new(|| {
            Regex::new(r"Quota '([A-Z0-9_]+)' exceeded(?:.*?in region ([a-z0-9-]+))?").ok()
        });
        static GONE: LazyLock<Option<Regex>> =
            LazyLock::new(|| Regex::new(r"(services?|secrets?) (\S+/\S+) not found").ok());
        static QUOTED: LazyLock<Option<Regex>> =
            LazyLock::new(|| Regex::new(r#"["'`]([^"'`]+)["'`]"#).ok());
        let quoted = |from: &str| {
            let rest = message.find(from).map_or(message, |at| &message[at..]);
            let found = QUOTED.as_ref().and_then(|quoted| quoted.captures(rest));
            found.map(|found| found[1].to_owned()).unwrap_or_default()
        };
        let lower = message.to_lowercase();
        if let Some(found) = GONE.as_ref().and_then(|gone| gone.captures(&lower)) {
            let name = found[2].trim_matches('"').to_owned();
            return match &found[1] {
                "secret" | "secrets" => Self::Secret(name),
                _ => Self::Service(name),
            };
        }
        if let Some(found) = QUOTA.as_ref().and_then(|quota| quota.captures(message)) {
            return Self::Quota(found[1].to_owned(), found.get(2).map(|m| m.as_str().to_owned()));
        }
        if lower.contains("backendconfig") {
            Self::BackendConfig
        } else if lower.contains("could not find port") {
            Self::Port(quoted("could not find port"))
        } else if lower.contains("could not find service") || lower.contains("service not found") {
            Self::Service(quoted("service"))
        } else if lower.contains("static ip") || lower.contains("static-ip") {
            Self::Address(quoted("static"))
        } else if lower.contains("address \"") && lower.contains("does not exist") {
            Self::Address(quoted("address \""))
        } else if lower.contains("secret") {
            Self::Secret(quoted("secret"))
        } else if lower.contains("resourcenotready") || lower.contains("is not ready") {
            Self::NotReady
        } else if lower.contains("required '") && lower.contains("permission")
            || lower.contains("forbidden")
        {
            Self::Denied
        } else {
            Self::Other
        }
    }

    /// The complaint as a clause that continues "Ingress x can't be synced".
    pub(crate) fn clause(&self) -> String {
        match self {
            Self::Quota(metric, Some(region)) => format!(": quota {metric} of {region} is used up"),
            Self::Quota(metric, None) => format!(": quota {metric} is used up"),
            Self::BackendConfig => ": a BackendConfig that its Service names is missing".to_owned(),
            Self::Service(name) if !name.is_empty() => format!(": Service {name} does not exist"),
            Self::Service(_) => ": a Service does not exist".to_owned(),
            Self::Port(port) if !port.is_empty() => format!(": no Service has the port {port}"),
            Self::Port(_) => ": a port of its Service does not exist".to_owned(),
            Self::Secret(name) if !name.is_empty() => format!(": Secret {name} can't be used"),
            Self::Secret(_) => ": a Secret can't be used".to_owned(),
            Self::Address(name) if !name.is_empty() => format!(": address {name} does not exist"),
            Self::Address(_) => ": its reserved address does not exist".to_owned(),
            Self::NotReady => ": Google is still at work on a part of it".to_owned(),
            Self::Denied => ": the cluster's service account may not change it".to_owned(),
            Self::Other => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Complaint;

    #[test]
    fn the_controllers_words_are_understood() {
        for (message, about) in [
            (
                "Error during sync: googleapi: Error 403: Quota 'BACKEND_SERVICES' exceeded. Limit: 5.0 globally., quotaExceeded",
                Complaint::Quota("BACKEND_SERVICES".into(), None),
            ),
            (
                "googleapi: Error 403: Quota 'IN_USE_ADDRESSES' exceeded.  Limit: 8.0 in region us-east1., quotaExceeded",
                Complaint::Quota("IN_USE_ADDRESSES".into(), Some("us-east1".into())),
            ),
            (
                "error while evaluating the ingress spec: error getting BackendConfig for port \"80\" on service \"istio-system/istio-ingressgateway\", err: no BackendConfig for service port exists.",
                Complaint::BackendConfig,
            ),
            (
                "Translation failed: invalid ingress spec: could not find service \"kubeflow/envoy\"",
                Complaint::Service("kubeflow/envoy".into()),
            ),
            (
                "error while evaluating the ingress spec: could not find port \"8080\" in service \"kubeflow/envoy\"",
                Complaint::Port("8080".into()),
            ),
            (
                "the given static IP name kf-ip doesn't translate to an existing static IP.",
                Complaint::Address(String::new()),
            ),
            (
                "Error syncing to GCP: googleapi: Error 400: The resource 'projects/p/global/backendServices/x' is not ready, resourceNotReady",
                Complaint::NotReady,
            ),
            (
                "could not initialize: secret \"tls\" does not exist",
                Complaint::Secret("tls".into()),
            ),
            (
                "failed to translate Gateway \"kf/front\": Error GWCER106: Gateway \"kf/front\" is invalid, err: address \"kf-ip\" does not exist.",
                Complaint::Address("kf-ip".into()),
            ),
            (
                "error cause: reference-not-found: Error GWCER104: HTTPRoute \"kf/r\" is misconfigured, err: Error GWCER102: services kf/gateway not found",
                Complaint::Service("kf/gateway".into()),
            ),
            ("something new", Complaint::Other),
        ] {
            assert_eq!(Complaint::of(message), about, "{message}");
        }
    }
}
