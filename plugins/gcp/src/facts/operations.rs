//! What GKE is doing to clusters and node pools, and what came of it.

use google_cloud_container_v1::model;
use jiff::Timestamp;

use kfcheck_kube::null_is_empty;
use serde::{Deserialize, Serialize};

use super::{
    Cluster, Link, StatusCondition, container, named,
    wire::{redacted, time, words},
};

container! {
    /// The operations on the project's clusters, as far back as GKE remembers them.
    Operations, "operations" => Operation, list_operations.operations
}

words! {
    status: model::operation::Status,
    kind: model::operation::Type,
}

/// One operation.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Operation {
    /// Its name.
    #[serde(deserialize_with = "null_is_empty")]
    pub name: String,
    /// `CREATE_CLUSTER`, `UPGRADE_NODES`, …
    #[serde(deserialize_with = "kind", skip_serializing_if = "String::is_empty")]
    pub operation_type: String,
    /// `PENDING`, `RUNNING`, `ABORTING` or `DONE`.
    #[serde(deserialize_with = "status", skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// What went wrong, in older answers.
    #[serde(deserialize_with = "redacted", skip_serializing_if = "String::is_empty")]
    pub status_message: String,
    /// How it goes, in words.
    #[serde(deserialize_with = "redacted", skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// When it began.
    #[serde(deserialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Timestamp>,
    /// When it ended.
    #[serde(deserialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Timestamp>,
    /// The cluster or node pool.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Link::is_empty")]
    pub target_link: Link,
    /// The zone or region to ask in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The same, as older answers have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// What it consists of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Stage>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<OperationError>,
    /// What isn't right with the cluster.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub cluster_conditions: Vec<StatusCondition>,
    /// What isn't right with the node pool.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub nodepool_conditions: Vec<StatusCondition>,
}

/// A part of an operation.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Stage {
    /// What it is called.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// How it goes.
    #[serde(deserialize_with = "status", skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// What it consists of.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<Self>,
}

/// Why an operation failed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OperationError {
    /// A number of gRPC's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
    /// In words.
    #[serde(deserialize_with = "redacted", skip_serializing_if = "String::is_empty")]
    pub message: String,
}

named!(Operation);

/// The number with which gRPC says that somebody stopped it.
const CANCELLED: i64 = 1;

impl Operation {
    /// Whether its target is this cluster or a part of it. The project may be its number there.
    pub fn is_on(&self, cluster: &Cluster) -> bool {
        let link = &self.target_link;
        let place = ["locations", "zones", "regions"].into_iter().find_map(|part| link.after(part));
        link.is("clusters", &cluster.name) && place == Some(&*cluster.location)
    }

    /// The node pool that it is about, if it isn't about the cluster.
    pub fn pool(&self) -> Option<&str> {
        self.target_link.after("nodePools")
    }

    /// Whether it has not ended yet.
    pub fn is_running(&self) -> bool {
        ["PENDING", "RUNNING", "ABORTING"].contains(&&*self.status)
    }

    /// What went wrong, if it has ended and something did. That somebody stopped it is nothing wrong.
    pub fn failure(&self) -> Option<&str> {
        if self.status != "DONE" {
            return None;
        }
        match &self.error {
            Some(OperationError { code: Some(CANCELLED), .. }) => None,
            Some(error) if error.code.unwrap_or_default() != 0 || !error.message.is_empty() => {
                Some(if error.message.is_empty() { &self.status_message } else { &error.message })
            }
            _ => Some(&*self.status_message).filter(|text| !text.is_empty()),
        }
    }

    /// Whether it has ended and did what it was to do.
    pub fn succeeded(&self) -> bool {
        let cancelled = self.error.as_ref().is_some_and(|error| error.code == Some(CANCELLED));
        self.status == "DONE" && self.failure().is_none() && !cancelled
    }

    /// Its last sign of life.
    pub fn last_seen(&self) -> Option<Timestamp> {
        self.end_time.or(self.start_time)
    }

    /// The innermost parts that have begun and not ended, each with what it is a part of.
    pub fn open_stages(&self) -> Vec<String> {
        let mut open = Vec::new();
        if let Some(stage) = &self.progress {
            stage.open(&mut Vec::new(), &mut open);
        }
        open
    }

    /// What GKE says of it, the most telling first.
    pub fn says(&self) -> Vec<String> {
        let error = self.error.iter().map(|error| error.message.clone());
        let conditions = self.nodepool_conditions.iter().chain(&self.cluster_conditions);
        let conditions = conditions.map(StatusCondition::says);
        let words = [self.status_message.clone(), self.detail.clone()];
        let mut all: Vec<_> = error.chain(conditions).chain(words).collect();
        all.retain(|text| !text.is_empty());
        all.dedup();
        all
    }
}

impl Stage {
    fn open<'a>(&'a self, above: &mut Vec<&'a str>, found: &mut Vec<String>) {
        if !["RUNNING", "ABORTING"].contains(&&*self.status) {
            return;
        }
        above.extend(Some(self.name.as_str()).filter(|name| !name.is_empty()));
        let before = found.len();
        for stage in &self.stages {
            stage.open(above, found);
        }
        if found.len() == before && !above.is_empty() {
            found.push(above.join(" › "));
        }
        if !self.name.is_empty() {
            above.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Cluster, Operation};

    fn operation(fields: serde_json::Value) -> Operation {
        serde_json::from_value(fields).unwrap()
    }

    #[test]
    fn a_target_is_ours_by_name_and_place_whatever_the_project_is_called() {
        let cluster =
            Cluster { name: "kf".into(), location: "us-east1-b".into(), ..<_>::default() };
        let on = |target: &str| operation(json!({ "targetLink": target })).is_on(&cluster);
        assert!(on("https://container.googleapis.com/v1/projects/12/zones/us-east1-b/clusters/kf"));
        assert!(on("projects/p/locations/us-east1-b/clusters/kf/nodePools/a"));
        assert!(!on("projects/p/locations/us-east1-b/clusters/kf-2"));
        assert!(!on("projects/p/locations/us-east1/clusters/kf"));
        assert!(!on(""));
    }

    #[test]
    fn what_somebody_stopped_neither_failed_nor_succeeded() {
        let stopped =
            operation(json!({ "status": "DONE", "error": { "code": 1, "message": "x" } }));
        assert!(stopped.failure().is_none() && !stopped.succeeded());
        let done = operation(json!({ "status": "DONE", "error": {}, "detail": null }));
        assert!(done.failure().is_none() && done.succeeded());
        let odd = operation(json!({ "status": "SOMETHING_NEW", "operationType": 999 }));
        assert!(odd.failure().is_none() && !odd.succeeded() && !odd.is_running());
    }

    #[test]
    fn the_innermost_open_stage_is_named_with_what_it_is_a_part_of() {
        let running = operation(
            json!({ "status": 2, "progress": { "status": "RUNNING", "stages": [
            { "name": "NETWORK", "status": "DONE" },
            { "name": "NODES", "status": 2, "stages": [
                { "name": "REGISTER", "status": "RUNNING" }, { "name": "LATER", "status": "PENDING" } ] },
        ] } }),
        );
        assert!(running.is_running());
        assert_eq!(running.open_stages(), ["NODES › REGISTER"]);
    }
}
