//! The names that a command line may take, for a shell to complete.

use kfcheck::{Fault, World};
use kube::config::Kubeconfig;
use serde::Deserialize;

use super::{Access, KubeClient};

/// What a kubeconfig has names for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KubeconfigNames {
    /// Its contexts.
    pub contexts: Vec<String>,
    /// Its clusters.
    pub clusters: Vec<String>,
    /// Its users.
    pub users: Vec<String>,
}

impl Access {
    /// What the kubeconfig has names for. Nobody is asked; nothing of it where it can't be read.
    pub fn names(&self) -> KubeconfigNames {
        let Ok(Some(Kubeconfig { contexts, clusters, auth_infos, .. })) = self.kubeconfig() else {
            return KubeconfigNames::default();
        };
        KubeconfigNames {
            contexts: contexts.into_iter().map(|named| named.name).collect(),
            clusters: clusters.into_iter().map(|named| named.name).collect(),
            users: auth_infos.into_iter().map(|named| named.name).collect(),
        }
    }

    /// The cluster's namespaces, in one list without asking what else there is.
    pub async fn namespaces(self) -> Result<Vec<String>, Fault> {
        #[derive(Deserialize)]
        struct List {
            items: Vec<Item>,
        }
        #[derive(Deserialize)]
        struct Item {
            metadata: Metadata,
        }
        #[derive(Deserialize)]
        struct Metadata {
            name: String,
        }
        const PATH: &str = "/api/v1/namespaces";
        // Of an object nothing but its name comes, where the server can do that.
        const NAMES: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,\
            application/json";
        let connection = KubeClient::new(self).connection().await?;
        let answer = connection.get(&World::live().cx("namespaces"), PATH, NAMES).await?;
        let body = answer.body(PATH, "list namespaces")?;
        let list: List = serde_json::from_slice(&body).map_err(|error| Fault::Malformed {
            file: format!("the API server's answer to GET {PATH}"),
            detail: error.to_string(),
        })?;
        Ok(list.items.into_iter().map(|item| item.metadata.name).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::Access;

    #[test]
    fn a_kubeconfig_that_cannot_be_read_names_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        let access = Access { kubeconfig: Some(file.clone()), ..Access::default() };
        assert!(access.names().contexts.is_empty());
        fs::write(&file, "contexts: {").unwrap();
        assert!(access.names().contexts.is_empty());
        let named = "{apiVersion: v1, kind: Config, contexts: [{name: a, context: {cluster: c, user: u}}], \
            clusters: [{name: c, cluster: {server: 'https://10.0.0.1'}}], users: [{name: u}]}";
        fs::write(&file, named).unwrap();
        let names = access.names();
        assert_eq!(names.contexts, ["a"]);
        assert_eq!((names.clusters, names.users), (vec!["c".to_owned()], vec!["u".to_owned()]));
    }
}
