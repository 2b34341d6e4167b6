//! Which permission a call takes, told from the wire alone (Kubernetes documentation, "Authorization
//! Overview"; Google Cloud documentation, "IAM permissions reference"; AWS's Service Authorization
//! Reference).

use crate::{Call, aws::wire::Errand};

/// Whose API is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// A cluster's.
    Kubernetes,
    /// Google Cloud's.
    Google,
    /// Amazon's.
    Aws,
}

/// What a call takes, if it takes anything that not everybody may.
pub(super) fn needed(api: Api, call: &Call, errand: Option<&Errand>) -> Option<String> {
    let path = call.path.trim_matches('/');
    let segments: Vec<_> = path.split('/').collect();
    match api {
        Api::Kubernetes => kubernetes(&call.method, &segments),
        Api::Google => google(&segments),
        Api::Aws => {
            let errand = errand?.to_string();
            let (service, action) = errand.split_once(':')?;
            let action = if action.is_empty() { by_path(&segments) } else { action };
            let service = match service {
                "elb" | "elbv2" => "elasticloadbalancing",
                other => other,
            };
            // Nobody can be kept from it.
            (action != "GetCallerIdentity").then(|| format!("{service}:{action}"))
        }
    }
}

fn kubernetes(method: &str, segments: &[&str]) -> Option<String> {
    let (group, rest) = match segments {
        [".well-known", ..] => return Some(format!("get /{}", segments.join("/"))),
        // Everybody may ask what they may.
        ["apis", "authorization.k8s.io", ..] => return None,
        ["api", _, rest @ ..] => ("", rest),
        ["apis", group, _, rest @ ..] => (*group, rest),
        _ => return None,
    };
    let (plural, name, below) = match *rest {
        [] => return None,
        ["namespaces", _, plural, name, below] => (plural, Some(name), Some(below)),
        ["namespaces", _, plural] | [plural] => (plural, None, None),
        ["namespaces", _, plural, name] | [plural, name, ..] => (plural, Some(name), None),
    };
    let verb = match (method, name, below) {
        (_, _, Some("exec" | "portforward")) | ("POST", ..) => "create",
        ("DELETE", ..) => "delete",
        (_, None, _) => "list",
        _ => "get",
    };
    let resource = below.map_or(plural.to_owned(), |below| format!("{plural}/{below}"));
    let dot = if group.is_empty() { "" } else { "." };
    Some(format!("{verb} {resource}{dot}{group}"))
}

/// What a service of Amazon's is asked for that has it in the path.
fn by_path(segments: &[&str]) -> &'static str {
    match segments {
        ["clusters"] => "ListClusters",
        ["clusters", _] => "DescribeCluster",
        ["clusters", _, "node-groups"] => "ListNodegroups",
        ["clusters", _, "node-groups", _] => "DescribeNodegroup",
        [_, "hostedzone"] => "ListHostedZones",
        [_, "hostedzone", _, "rrset"] => "ListResourceRecordSets",
        _ => "unknown",
    }
}

fn google(segments: &[&str]) -> Option<String> {
    let at = segments.iter().position(|segment| *segment == "projects");
    let Some(at) = at else {
        return segments.contains(&"entries:list").then(|| "logging.logEntries.list".to_owned());
    };
    let rest = segments.get(at + 2..).unwrap_or_default();
    let permission = match (segments.first(), rest) {
        (Some(&"compute"), []) => "compute.projects.get".to_owned(),
        (Some(&"compute"), ["regions"]) => "compute.regions.list".to_owned(),
        (
            Some(&"compute"),
            ["aggregated" | "global", collection] | ["regions" | "zones", _, collection],
        ) => format!("compute.{collection}.list"),
        (Some(&"compute"), [.., "getEffectiveFirewalls"]) => {
            "compute.networks.getEffectiveFirewalls".to_owned()
        }
        (
            Some(&"compute"),
            [.., collection, _, "getHealth" | "getRouterStatus" | "listNetworkEndpoints"],
        ) => format!("compute.{collection}.get"),
        (Some(&"dns"), ["managedZones"]) => "dns.managedZones.list".to_owned(),
        (Some(&"dns"), ["managedZones", _, "rrsets"]) => "dns.resourceRecordSets.list".to_owned(),
        (_, ["locations", _, "clusters"]) => "container.clusters.list".to_owned(),
        (_, ["locations", _, "operations"]) => "container.operations.list".to_owned(),
        (_, ["locations", _, "certificates"]) => "certificatemanager.certs.list".to_owned(),
        (_, ["locations", _, "certificateMaps"]) => "certificatemanager.certmaps.list".to_owned(),
        (_, [.., "certificateMapEntries"]) => "certificatemanager.certmapentries.list".to_owned(),
        _ => format!("unknown of {}", segments.join("/")),
    };
    Some(permission)
}

#[cfg(test)]
mod tests {
    use super::{Api, needed};
    use crate::Call;

    fn takes(api: Api, method: &str, path: &str) -> Option<String> {
        let (method, path) = (method.to_owned(), path.to_owned());
        needed(api, &Call { method, path, query: String::new(), status: 0 }, None)
    }

    #[test]
    fn the_api_server_authorizes_verbs_on_resources() {
        for (path, permission) in [
            ("/api/v1/namespaces/auth/pods", "list pods"),
            ("/api/v1/namespaces/auth/pods/dex", "get pods"),
            ("/api/v1/namespaces/auth/pods/dex/log", "get pods/log"),
            ("/api/v1/namespaces/auth/pods/dex/exec", "create pods/exec"),
            ("/api/v1/namespaces", "list namespaces"),
            ("/apis/apps/v1/deployments", "list deployments.apps"),
        ] {
            assert_eq!(takes(Api::Kubernetes, "GET", path).as_deref(), Some(permission));
        }
        assert_eq!(takes(Api::Kubernetes, "GET", "/apis/apps/v1"), None);
        assert_eq!(takes(Api::Kubernetes, "GET", "/version"), None);
        let review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        assert_eq!(takes(Api::Kubernetes, "POST", review), None);
    }

    #[test]
    fn google_authorizes_methods() {
        for (path, permission) in [
            ("/compute/v1/projects/p", "compute.projects.get"),
            ("/compute/v1/projects/p/aggregated/addresses", "compute.addresses.list"),
            (
                "/compute/v1/projects/p/global/backendServices/b/getHealth",
                "compute.backendServices.get",
            ),
            ("/dns/v1/projects/p/managedZones/z/rrsets", "dns.resourceRecordSets.list"),
            ("/v1/projects/p/locations/-/clusters", "container.clusters.list"),
            ("/v2/entries:list", "logging.logEntries.list"),
        ] {
            assert_eq!(takes(Api::Google, "GET", path).as_deref(), Some(permission));
        }
    }
}
