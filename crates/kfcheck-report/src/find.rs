//! Which resource of the path somebody means.

use crate::{Output, PathResource, ResourceOut};

/// How kubectl abbreviates kinds, and how people do.
const SHORT: &[(&str, &str)] = &[
    ("cert", "Certificate"),
    ("cm", "ConfigMap"),
    ("crd", "CustomResourceDefinition"),
    ("deploy", "Deployment"),
    ("ds", "DaemonSet"),
    ("ep", "Endpoints"),
    ("gtw", "ApiGateway"),
    ("gw", "Gateway"),
    ("ing", "Ingress"),
    ("isvc", "InferenceService"),
    ("no", "Node"),
    ("ns", "Namespace"),
    ("po", "Pod"),
    ("rs", "ReplicaSet"),
    ("sa", "ServiceAccount"),
    ("sts", "StatefulSet"),
    ("svc", "Service"),
    ("vs", "VirtualService"),
];

/// How like a name has to be to be what was meant.
const LIKE: f64 = 0.6;

/// The resource that `typed` means: `kind/namespace/name`, `kind/name` or `name`, where a kind is as
/// kubectl takes it.
///
/// # Errors
/// There is none, with those that are called alike; or there are several.
pub fn find<'a>(output: &'a Output, typed: &str) -> Result<&'a PathResource, String> {
    let all = &output.path.resources;
    let found: Vec<_> = all.iter().filter(|one| is_meant(&one.resource, typed)).collect();
    match found[..] {
        [one] => Ok(one),
        [] if all.is_empty() => {
            Err(format!("'{typed}' is not on the request path, of which nothing was seen"))
        }
        [] => Err(format!("'{typed}' is not on the request path{}", alike(output, typed))),
        _ => {
            let names: Vec<_> = found.iter().map(|one| name(one)).collect();
            let names = names.join("\n  ");
            Err(format!("'{typed}' is the name of several; name one of them:\n  {names}"))
        }
    }
}

/// How a resource is typed.
fn name(one: &PathResource) -> String {
    format!("{}/{}", one.resource.kind.to_lowercase(), one.resource.full_name())
}

fn is_meant(resource: &ResourceOut, typed: &str) -> bool {
    let called = |text: &str| text == resource.name || text == resource.full_name();
    // Names of clouds have slashes of their own.
    let of_kind = || typed.split_once('/').filter(|(kind, _)| is_kind(resource, kind));
    called(typed) || of_kind().is_some_and(|(_, name)| called(name))
}

fn is_kind(resource: &ResourceOut, typed: &str) -> bool {
    let kind = resource.kind.to_lowercase();
    let short = SHORT.iter().any(|(short, of)| *of == resource.kind && is(typed, short));
    let spoken = typed.replace([' ', '-', '_'], "");
    // As `gateways.networking.istio.io`.
    let plain = spoken.split('.').next().unwrap_or_default();
    short || is(plain, &kind) || is(plain, &plural(&kind))
}

fn is(typed: &str, name: &str) -> bool {
    typed.eq_ignore_ascii_case(name)
}

fn plural(kind: &str) -> String {
    let vowel = |stem: &str| stem.ends_with(['a', 'e', 'i', 'o', 'u']);
    match kind.strip_suffix('y') {
        Some(stem) if !vowel(stem) => format!("{stem}ies"),
        _ if kind.ends_with(['s', 'x']) || kind.ends_with("ch") => format!("{kind}es"),
        _ => format!("{kind}s"),
    }
}

/// The names that are most like what was typed.
fn alike(output: &Output, typed: &str) -> String {
    let likeness = |one: &PathResource| {
        let forms = [one.resource.name.clone(), one.resource.full_name(), name(one)];
        let like = |form: &String| strsim::normalized_damerau_levenshtein(form, typed);
        // Whoever types a part of a name means one that has it.
        let part = typed.len() > 2 && forms[2].contains(&typed.to_lowercase());
        forms.iter().map(like).fold(if part { LIKE } else { 0.0 }, f64::max)
    };
    let all = output.path.resources.iter().map(|one| (likeness(one), one));
    let mut all: Vec<_> = all.filter(|(like, _)| *like >= LIKE).collect();
    all.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let names: Vec<_> = all.iter().take(3).map(|(_, one)| name(one)).collect();
    match names[..] {
        [] => format!("; `kubectl kfcheck {} -o dot` has all that is", output.provider),
        _ => format!("; did you mean {}?", names.join(" or ")),
    }
}

#[cfg(test)]
mod tests {
    use super::{is_kind, is_meant};
    use crate::ResourceOut;

    fn resource(kind: &str, namespace: Option<&str>, name: &str) -> ResourceOut {
        ResourceOut {
            kind: kind.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
            provider: "kubernetes".to_owned(),
        }
    }

    #[test]
    fn a_kind_is_taken_as_kubectl_takes_it() {
        for (kind, typed) in [
            ("Ingress", "ing"),
            ("Ingress", "ingresses"),
            ("Gateway", "gateways.networking.istio.io"),
            ("NetworkPolicy", "networkpolicies"),
            ("Service", "SVC"),
            ("Deployment", "deployment"),
            ("BackendService", "backend-service"),
            ("BackendService", "backend service"),
        ] {
            assert!(is_kind(&resource(kind, None, "x"), typed), "{typed} is no {kind}");
        }
        assert!(!is_kind(&resource("Service", None, "x"), "deploy"));
    }

    #[test]
    fn a_resource_is_named_by_as_much_as_it_takes() {
        let service = resource("Service", Some("istio-system"), "gateway");
        for typed in ["gateway", "istio-system/gateway", "svc/gateway", "svc/istio-system/gateway"]
        {
            assert!(is_meant(&service, typed), "{typed}");
        }
        for typed in ["istio-system", "pod/gateway", "svc/kubeflow/gateway", "svc/", "/", ""] {
            assert!(!is_meant(&service, typed), "{typed}");
        }
        let image = resource("TargetGroup", None, "arn:aws:x:targetgroup/k8s/73e2");
        assert!(is_meant(&image, "arn:aws:x:targetgroup/k8s/73e2"));
        assert!(is_meant(&image, "targetgroup/arn:aws:x:targetgroup/k8s/73e2"));
    }
}
