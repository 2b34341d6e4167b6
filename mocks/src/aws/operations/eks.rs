//! Elastic Kubernetes Service.

use serde_json::{Value, json};

use super::{Ask, Failure, chosen, take};

/// Answers what is asked of clusters, their node groups and add-ons.
pub(super) fn answer(ask: &Ask<'_>) -> Result<Value, Failure> {
    let call = ask.call;
    let name = |name: &str| call.text(name).unwrap_or_default();
    match ask.operation() {
        "ListClusters" => {
            call.takes_only(&["maxResults", "nextToken"])?;
            paged(ask, "clusters", ask.list("list-clusters", "clusters")?)
        }
        "DescribeCluster" => {
            let clusters = ask.list("describe-cluster", "clusters")?;
            let found = chosen(clusters, "name", &[name("name")]).pop();
            let found = found.ok_or_else(|| no_cluster(name("name")))?;
            Ok(json!({ "cluster": found }))
        }
        "ListNodegroups" => names(ask, "nodegroup"),
        "ListAddons" => names(ask, "addon"),
        "DescribeNodegroup" => {
            let group = name("nodegroupName");
            let found = one(ask, "nodegroup", group)?;
            let absent = || absent(format!("No node group found for name: {group}."));
            Ok(json!({ "nodegroup": found.ok_or_else(absent)? }))
        }
        "DescribeAddon" => {
            let (cluster, addon) = (name("clusterName"), name("addonName"));
            let found = one(ask, "addon", addon)?;
            let absent = || absent(format!("No addon: {addon} found in cluster: {cluster}"));
            Ok(json!({ "addon": found.ok_or_else(absent)? }))
        }
        _ => Err(call.unanswered()),
    }
}

/// The names of what a cluster has: as listed, or else of those described.
fn names(ask: &Ask<'_>, kind: &str) -> Result<Value, Failure> {
    let cluster = ask.call.text("clusterName").unwrap_or_default();
    check_cluster(ask, cluster)?;
    let list = format!("{kind}s");
    let names = match ask.entry(&format!("list-{list}"), cluster) {
        Ok(mut listed) => take(&mut listed, &list),
        Err(Failure::NoFile(_)) => {
            let described = of_cluster(ask, kind, cluster)?.into_iter();
            described.map(|mut found| found[format!("{kind}Name")].take()).collect()
        }
        Err(failure) => return Err(failure),
    };
    paged(ask, &list, names)
}

/// What of a kind has a name, in the cluster that is asked about.
fn one(ask: &Ask<'_>, kind: &str, name: &str) -> Result<Option<Value>, Failure> {
    let cluster = ask.call.text("clusterName").unwrap_or_default();
    check_cluster(ask, cluster)?;
    let all = of_cluster(ask, kind, cluster)?;
    Ok(chosen(all, &format!("{kind}Name"), &[name]).pop())
}

fn of_cluster(ask: &Ask<'_>, kind: &str, cluster: &str) -> Result<Vec<Value>, Failure> {
    let all = ask.list(&format!("describe-{kind}"), &format!("{kind}s"))?;
    Ok(chosen(all, "clusterName", &[cluster]))
}

/// Whether there is such a cluster, where the bundle knows of clusters.
fn check_cluster(ask: &Ask<'_>, name: &str) -> Result<(), Failure> {
    let Ok(clusters) = ask.list("describe-cluster", "clusters") else { return Ok(()) };
    let known = clusters.iter().any(|cluster| cluster["name"] == name);
    if known { Ok(()) } else { Err(no_cluster(name)) }
}

fn paged(ask: &Ask<'_>, name: &str, all: Vec<Value>) -> Result<Value, Failure> {
    ask.page("maxResults", "nextToken").listed(name, all, "nextToken")
}

fn no_cluster(name: &str) -> Failure {
    absent(format!("No cluster found for name: {name}."))
}

fn absent(message: String) -> Failure {
    Failure::Said("ResourceNotFoundException", message)
}
