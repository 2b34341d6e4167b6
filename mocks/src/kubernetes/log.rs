use std::fmt::Write;

use super::{Cluster, Failure, Query, access::pods, typed_answer};
use axum::response::Response;
use http::request::Parts;

const PARAMETERS: [&str; 5] = ["container", "tailLines", "limitBytes", "previous", "timestamps"];

impl Cluster {
    /// What a container has written.
    pub(super) fn log(
        &self,
        namespace: &str,
        pod: &str,
        head: &Parts,
    ) -> Result<Response, Failure> {
        let query = Query::of(head, &PARAMETERS)?;
        let container = match query.get("container") {
            Some(container) => container,
            None => self.only_container(namespace, pod)?,
        };
        let path = format!("kubernetes/logs/{namespace}/{pod}/{container}.log");
        self.admit_to_pod(std::slice::from_ref(&path), "get", "log", (namespace, pod))?;
        let Some(text) = self.served.text(&path) else {
            let message = format!("the bundle holds no log of {namespace}/{pod}/{container}");
            return Err(Failure::silent_kubelet(message));
        };
        if query.is_set("previous") {
            let message =
                format!("previous terminated container \"{container}\" in pod \"{pod}\" not found");
            return Err(Failure::bad_request(message));
        }
        let mut lines: Vec<_> = text.split_inclusive('\n').collect();
        if let Some(tail) = query.number("tailLines")? {
            lines.drain(..lines.len().saturating_sub(tail));
        }
        let mut log = String::new();
        for line in lines {
            if query.is_set("timestamps") {
                // Nobody has noted when a line was written: not later than this.
                let collected = self.manifest["collectedAt"].as_str();
                let _ = write!(log, "{} ", collected.unwrap_or("1970-01-01T00:00:00Z"));
            }
            log.push_str(line);
        }
        let mut log = log.into_bytes();
        log.truncate(query.number("limitBytes")?.unwrap_or(usize::MAX));
        Ok(typed_answer("text/plain", log))
    }

    /// The container that is meant if none is named.
    fn only_container(&self, namespace: &str, pod: &str) -> Result<&str, Failure> {
        let key = format!("{namespace}/{pod}");
        let all = self.installed.find("", "v1", "pods");
        let found = all.and_then(|all| all.objects.iter().find(|object| object.key == key));
        let Some(found) = found else { return Err(Failure::not_found(&pods(), pod)) };
        let containers = found.body["spec"]["containers"].as_array();
        let names = containers.into_iter().flatten().filter_map(|one| one["name"].as_str());
        match &*names.collect::<Vec<_>>() {
            [only] => Ok(only),
            several => Err(Failure::bad_request(format!(
                "a container name must be specified for pod {pod}, choose one of: {several:?}"
            ))),
        }
    }
}
