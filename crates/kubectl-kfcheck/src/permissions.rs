//! The permissions that a run takes, as the clouds' and the cluster's own policies. All of them come
//! from what facts say they need.

use std::collections::{BTreeMap, BTreeSet};

use kfcheck::FactMeta;
#[cfg(feature = "aws")]
use serde_json::Value;
use serde_json::json;

use crate::{
    Provider,
    args::{Only, Permissions},
    select::select,
};

/// Which facts each check asks for, its own questions' questions included; under `path` those that the
/// request path takes. A test writes it down from all scenarios.
const FACTS_OF_CHECKS: &str = include_str!("facts_of_checks.json");

/// The policy, as text.
pub(crate) fn policy(providers: &[Provider], of: &Permissions) -> Result<String, String> {
    match of {
        #[cfg(feature = "gcp")]
        Permissions::Gcp { only } => google(&needs(providers, Some("gcp"), only)?),
        #[cfg(feature = "aws")]
        Permissions::Aws { cleanup: true, .. } => pretty(&cleanup()),
        #[cfg(feature = "aws")]
        Permissions::Aws { only, .. } => {
            let actions = needs(providers, Some("aws"), only)?;
            pretty(&json!({ "Version": "2012-10-17", "Statement": [statement("Reads", actions)] }))
        }
        Permissions::Kubernetes { provider, exec, arp_from_node, only } => {
            let needs = needs(providers, provider.as_deref(), only)?;
            cluster(&needs, *exec, *arp_from_node)
        }
    }
}

#[cfg(feature = "aws")]
fn pretty(policy: &Value) -> Result<String, String> {
    let text = serde_json::to_string_pretty(policy).map_err(|error| error.to_string())?;
    Ok(text + "\n")
}

/// What the facts need that the checks of a provider ask for, or those of all providers. A fact that none
/// of them asks for in any scenario is none of theirs.
fn needs(
    providers: &[Provider],
    provider: Option<&str>,
    only: &Only,
) -> Result<BTreeSet<&'static str>, String> {
    let ours: Vec<_> =
        providers.iter().filter(|one| provider.is_none_or(|name| one.name == name)).collect();
    if ours.is_empty() {
        let names: Vec<_> = providers.iter().map(|provider| provider.name).collect();
        let asked = provider.unwrap_or_default();
        return Err(format!("there is no provider '{asked}'; there are {}", names.join(", ")));
    }
    let facts = ours.iter().flat_map(|provider| &provider.facts);
    let all = |fact: &FactMeta| fact.needs.iter().copied();
    let known: BTreeMap<String, BTreeSet<String>> =
        serde_json::from_str(FACTS_OF_CHECKS).map_err(|error| error.to_string())?;
    let mut checks = Vec::new();
    for check in ours.iter().flat_map(|provider| &provider.checks) {
        if !checks.iter().any(|one: &&dyn kfcheck::Check| one.meta().id == check.meta().id) {
            checks.push(*check);
        }
    }
    let ids = select(&checks, &only.check, &only.skip)?;
    let ids: Vec<_> = ids.iter().map(|check| check.meta().id).collect();
    // Of another team's check it isn't known what it asks for.
    if ids.iter().any(|id| !known.contains_key(*id)) {
        return Ok(facts.flat_map(all).collect());
    }
    let path = ours.iter().map(|provider| format!("path {}", provider.name));
    let asked: BTreeSet<_> = ids
        .iter()
        .map(|id| (*id).to_owned())
        .chain(path)
        .filter_map(|id| known.get(&id))
        .flatten()
        .collect();
    Ok(facts.filter(|fact| asked.contains(&fact.name.to_owned())).flat_map(all).collect())
}

/// A custom role (Google Cloud documentation, "Creating and managing custom roles").
#[cfg(feature = "gcp")]
fn google(needs: &BTreeSet<&'static str>) -> Result<String, String> {
    let is_ours = |need: &&&str| need.contains('.') && !need.contains([' ', ':', '/']);
    let role = json!({
        "title": "kfcheck",
        "description": "What kubectl kfcheck gcp reads",
        "stage": "GA",
        "includedPermissions": needs.iter().filter(is_ours).collect::<Vec<_>>(),
    });
    let role = serde_saphyr::to_string(&role).map_err(|error| error.to_string())?;
    Ok(format!(
        "# gcloud iam roles create kfcheck --project PROJECT --file role.yaml\n\
         # gcloud projects add-iam-policy-binding PROJECT --member MEMBER \\\n\
         #   --role projects/PROJECT/roles/kfcheck\n\
         # In the host project of a Shared VPC: roles/compute.networkViewer, or this role there too.\n\
         {role}"
    ))
}

#[cfg(feature = "aws")]
fn statement(sid: &str, actions: impl IntoIterator<Item = &'static str>) -> Value {
    // What has no colon is Kubernetes' permission.
    let actions: BTreeSet<_> = actions.into_iter().filter(|action| action.contains(':')).collect();
    json!({ "Sid": sid, "Effect": "Allow", "Action": actions, "Resource": "*" })
}

#[cfg(feature = "aws")]
fn cleanup() -> Value {
    use kfcheck_aws::cleanup::{self, BY_STACKS, CHANGES, LOOKS, RESTORES};

    let facts = kfcheck_aws::FACTS.iter().flat_map(|fact| fact.needs).copied();
    let own = cleanup::FACTS.iter().flat_map(|fact| fact.needs).copied();
    let read = LOOKS.iter().copied().chain(["eks:ListClusters"]);
    let begins = ["cloudformation:", "ec2:Describe", "elasticloadbalancing:", "iam:"];
    let inspected = facts.filter(|action| begins.iter().any(|begin| action.starts_with(begin)));
    let statements = [
        statement("Reads", inspected.chain(own).chain(read)),
        statement("Changes", CHANGES.iter().copied()),
        statement("PutsBack", RESTORES.iter().copied()),
        statement("ByStacksWithoutRole", BY_STACKS.iter().copied()),
    ];
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// A ClusterRole, and for ARP from a node a Role (Kubernetes documentation, "Using RBAC
/// Authorization").
fn cluster(needs: &BTreeSet<&str>, exec: bool, arp: bool) -> Result<String, String> {
    let mut reads: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut rules = Vec::new();
    let mut notes = String::new();
    for need in needs {
        let Some((verb, resource)) = need.split_once(' ') else { continue };
        if let Some(group) = resource.strip_prefix("*.") {
            // RBAC has no wildcard for a part of a group's name.
            notes += &format!(
                "# The kinds of {group} are read with the ClusterRole cnrm-viewer, which Config\n\
                 # Connector installs; bind it as well where it is in use.\n"
            );
        } else if resource.starts_with('/') {
            rules.push(json!({ "nonResourceURLs": [resource], "verbs": [verb] }));
        } else if verb == "create" {
            if exec || resource != "pods/exec" {
                // By a WebSocket, it is authorized as `get` too.
                let verbs = ["create", "get"];
                rules.push(json!({ "apiGroups": [""], "resources": [resource], "verbs": verbs }));
            }
        } else if resource.contains('/') {
            rules.push(json!({ "apiGroups": [""], "resources": [resource], "verbs": [verb] }));
        } else {
            let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
            reads.entry(group).or_default().insert(plural);
        }
    }
    let reads = reads.into_iter().map(|(group, resources)| {
        json!({ "apiGroups": [group], "resources": resources, "verbs": ["get", "list"] })
    });
    let rules: Vec<_> = reads.chain(rules).collect();
    let version = "rbac.authorization.k8s.io/v1";
    let mut documents = vec![json!({ "apiVersion": version, "kind": "ClusterRole",
        "metadata": { "name": "kfcheck" }, "rules": rules })];
    if arp {
        documents.push(json!({ "apiVersion": version, "kind": "Role",
            "metadata": { "name": "kfcheck-arp", "namespace": "kube-system" },
            "rules": [
                { "apiGroups": [""], "resources": ["pods"], "verbs": ["create", "delete", "get"] },
                { "apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create", "get"] },
            ] }));
    }
    let mut text = format!(
        "# kubectl apply -f role.yaml\n\
         # kubectl create clusterrolebinding kfcheck --clusterrole kfcheck --user USER\n{notes}"
    );
    for (nth, document) in documents.iter().enumerate() {
        text += if nth > 0 { "---\n" } else { "" };
        text += &serde_saphyr::to_string(document).map_err(|error| error.to_string())?;
    }
    Ok(text)
}
