//! Which kinds an API server has.

use std::collections::BTreeMap;

use futures::future::join;
use kfcheck::{Cx, Fact, FactError, Fault, ObjectKind};
use serde::{Deserialize, Serialize};

use super::{Answer, Connection, KubeClient};

/// One document for a whole API (Kubernetes documentation, "Kubernetes API Concepts", "Aggregated
/// discovery"); a server before 1.26 answers with the names of the groups.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                          application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,\
                          application/json";

/// Which kinds the API server has. Everything else that is asked of it waits for this, so that a
/// server that does not answer is said once.
#[derive(Clone, Serialize)]
pub(crate) struct Discovery;

/// The versions of every group, in the server's order of preference, each with the plurals of its
/// kinds where the server says them along.
#[derive(Debug, Default)]
pub(crate) struct Groups(BTreeMap<String, Vec<Served>>);

/// One version of a group.
#[derive(Debug)]
struct Served {
    version: String,
    plurals: Option<Vec<String>>,
}

/// The kinds of one version of a group, for servers that list each on its own.
#[derive(Clone, Serialize)]
struct Resources {
    group_version: String,
}

impl Fact for Discovery {
    const NAME: &'static str = "kube.discovery";
    type Value = Groups;

    async fn fetch(&self, cx: &Cx) -> Result<Groups, FactError> {
        let connection = cx.client::<KubeClient>()?.connection().await?;
        Ok(Groups::of(cx, &connection).await?)
    }
}

#[derive(Deserialize)]
struct OnWire {
    /// Of aggregated discovery.
    #[serde(default)]
    items: Vec<Group>,
    /// Of plain discovery.
    #[serde(default)]
    groups: Vec<Group>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Group {
    metadata: Name,
    name: String,
    versions: Vec<Version>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Name {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Version {
    version: String,
    resources: Option<Vec<Resource>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resource {
    /// Of aggregated discovery.
    resource: String,
    /// Of plain discovery.
    name: String,
}

impl Resource {
    fn plural(self) -> String {
        if self.resource.is_empty() { self.name } else { self.resource }
    }
}

impl Groups {
    /// Asks an API server.
    pub(super) async fn of(cx: &Cx, connection: &Connection) -> Result<Self, Fault> {
        let (core, others) =
            join(connection.get(cx, "/api", AGGREGATED), connection.get(cx, "/apis", AGGREGATED))
                .await;
        let mut groups = Self::default();
        for (path, answer) in [("/api", core?), ("/apis", others?)] {
            // Who may not ask which kinds there are may well read some.
            if answer.status.as_u16() != 403 {
                groups.read(path, answer)?;
            }
        }
        Ok(groups)
    }

    /// Whether the server didn't say what it has.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The versions of every group that ends so, in the server's order of preference: group,
    /// version, and the plurals where they are known already.
    pub(super) fn ending_in(
        &self,
        suffix: &str,
    ) -> impl Iterator<Item = (&str, &str, Option<&[String]>)> {
        let groups = self.0.iter().filter(move |(group, _)| group.ends_with(suffix));
        groups.flat_map(|(group, versions)| {
            versions.iter().map(|v| (&**group, &*v.version, v.plurals.as_deref()))
        })
    }

    fn read(&mut self, path: &str, answer: Answer) -> Result<(), Fault> {
        let body = answer.body(path, &format!("get {path}"))?;
        let malformed = |error: serde_json::Error| Fault::Malformed {
            file: format!("the API server's answer to GET {path}"),
            detail: error.to_string(),
        };
        let wire: OnWire = serde_json::from_slice(&body).map_err(malformed)?;
        for Group { metadata, name, versions } in wire.items.into_iter().chain(wire.groups) {
            let plurals = |all: Vec<Resource>| all.into_iter().map(Resource::plural).collect();
            let versions = versions.into_iter();
            let versions = versions
                .map(|v| Served { version: v.version, plurals: v.resources.map(plurals) })
                .collect();
            let name = if name.is_empty() { metadata.name } else { name };
            self.0.insert(name, versions);
        }
        Ok(())
    }
}

impl Fact for Resources {
    const NAME: &'static str = "kube.resources";
    type Value = Vec<String>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<String>, FactError> {
        let connection = cx.client::<KubeClient>()?.connection().await?;
        Ok(plurals(cx, &connection, &self.group_version).await?)
    }
}

/// The plurals of one version of a group.
pub(super) async fn plurals(
    cx: &Cx,
    connection: &Connection,
    group_version: &str,
) -> Result<Vec<String>, Fault> {
    #[derive(Deserialize)]
    struct List {
        #[serde(default)]
        resources: Vec<Resource>,
    }
    let path = format!("/apis/{group_version}");
    let body = connection.get(cx, &path, "application/json").await?;
    let body = body.body(&path, &format!("get {path}"))?;
    let list: Result<List, _> = serde_json::from_slice(&body);
    let list = list.map_err(|error| Fault::Malformed {
        file: format!("the API server's answer to GET {path}"),
        detail: error.to_string(),
    })?;
    Ok(list.resources.into_iter().map(Resource::plural).collect())
}

/// Where a kind is served: `/api/v1` or `/apis/GROUP/VERSION`. Nowhere: it is absent.
pub(crate) async fn installed(
    cx: &Cx,
    kind: &ObjectKind,
) -> Result<(std::sync::Arc<Connection>, String), FactError> {
    let groups = cx.get(Discovery).await?;
    let connection = cx.client::<KubeClient>()?.connection().await?;
    for group in kind.groups {
        if group.is_empty() {
            return Ok((connection, "/api/v1".to_owned()));
        }
        for Served { version, plurals } in groups.0.get(*group).into_iter().flatten() {
            let group_version = format!("{group}/{version}");
            let is_there = if let Some(plurals) = plurals {
                plurals.iter().any(|plural| plural == kind.plural)
            } else {
                match cx.get(Resources { group_version: group_version.clone() }).await {
                    Ok(plurals) => plurals.iter().any(|plural| plural == kind.plural),
                    // The version is on its way out: the next may do.
                    Err(FactError { fault: Fault::Absent(_), .. }) => false,
                    Err(error) => return Err(error),
                }
            };
            if is_there {
                return Ok((connection, format!("/apis/{group_version}")));
            }
        }
    }
    if groups.0.is_empty() {
        return Ok((connection, format!("/apis/{}", kind.api_version())));
    }
    Err(absent(&kind.resource()).into())
}

pub(super) fn absent(kind: &str) -> Fault {
    Fault::Absent(format!("the cluster has no {kind}"))
}
