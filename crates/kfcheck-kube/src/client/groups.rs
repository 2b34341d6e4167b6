//! Objects of kinds that nobody knows beforehand.

use std::{collections::BTreeSet, sync::Arc};

use futures::{StreamExt, stream};
use kfcheck::{Cx, FactError, Fault};
use serde::de::DeserializeOwned;

use super::{
    Connection, Discovery, KubeClient,
    discovery::{Groups, plurals},
    list::{Listed, pages},
};

/// How many lists are asked for at a time: there may be hundreds of kinds.
const AT_A_TIME: usize = 16;

/// The cluster that manages cloud resources for the one inspected, where it is another one.
pub struct ManagementCluster(pub KubeClient);

/// One kind, as far as its path goes.
struct Kind {
    group: String,
    version: String,
    plural: String,
}

/// All objects of every group that ends in `suffix`, from the management cluster if there is one.
/// A kind that can't be listed is noted as missing, and the others are there all the same.
pub async fn list_groups<T: DeserializeOwned + Send + Sync>(
    cx: &Cx,
    suffix: &str,
) -> Result<Vec<Arc<T>>, FactError> {
    let (connection, groups) = if let Ok(other) = cx.client::<ManagementCluster>() {
        let connection = other.0.connection().await?;
        let groups = Groups::of(cx, &connection).await?;
        (connection, Arc::new(groups))
    } else {
        let groups = cx.get(Discovery).await?;
        (cx.client::<KubeClient>()?.connection().await?, groups)
    };
    let kinds = kinds(cx, &connection, &groups, suffix).await?;
    if kinds.is_empty() {
        return Err(Fault::Absent(format!("the cluster has no objects of *{suffix}")).into());
    }
    let asked: Vec<_> = kinds.iter().map(|kind| list(cx, &connection, kind)).collect();
    let answers: Vec<_> = stream::iter(asked).buffered(AT_A_TIME).collect().await;
    let (mut all, mut failed) = (Vec::new(), Vec::new());
    for (kind, answer) in kinds.iter().zip(answers) {
        match answer {
            Ok(objects) => all.extend(objects),
            // It went away meanwhile.
            Err(FactError { fault: Fault::Absent(_), .. }) => (),
            Err(error) => failed.push((kind, error)),
        }
    }
    if failed.len() == kinds.len()
        && let Some((_, error)) = failed.pop()
    {
        return Err(error);
    }
    for (Kind { group, plural, .. }, error) in failed {
        cx.missing(format!("{plural}.{group}"), error.fault);
    }
    Ok(all)
}

/// The kinds of these groups, each in the version that the server would rather have.
async fn kinds(
    cx: &Cx,
    connection: &Connection,
    groups: &Groups,
    suffix: &str,
) -> Result<Vec<Kind>, Fault> {
    if groups.is_empty() {
        return Err(Fault::Denied { permission: "get /apis".to_owned() });
    }
    let (mut kinds, mut seen) = (Vec::new(), BTreeSet::new());
    for (group, version, known) in groups.ending_in(suffix) {
        let all = match known {
            Some(known) => known.to_vec(),
            None => match plurals(cx, connection, &format!("{group}/{version}")).await {
                Ok(all) => all,
                // The version is on its way out.
                Err(Fault::Absent(_)) => continue,
                Err(fault) => return Err(fault),
            },
        };
        // What has a slash is a part of objects that are listed.
        for plural in all.into_iter().filter(|plural| !plural.contains('/')) {
            if seen.insert((group.to_owned(), plural.clone())) {
                let (group, version) = (group.to_owned(), version.to_owned());
                kinds.push(Kind { group, version, plural });
            }
        }
    }
    Ok(kinds)
}

async fn list<T: DeserializeOwned>(
    cx: &Cx,
    connection: &Connection,
    Kind { group, version, plural }: &Kind,
) -> Result<Vec<Arc<T>>, FactError> {
    let (version, kind) = (format!("{group}/{version}"), format!("{plural}.{group}"));
    let permission = format!("list {kind}");
    let listed = Listed { version: &version, kind: &kind, permission: &permission };
    pages(cx, connection, &format!("/apis/{version}/{plural}"), &listed).await
}
