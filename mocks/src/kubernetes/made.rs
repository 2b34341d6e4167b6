//! Pods that a client makes to ask ARP from, as far as the bundle knows who answers.

use std::{collections::BTreeMap, sync::Mutex};

use axum::{body::Body, response::Response};
use http::{Method, StatusCode, request::Parts};
use serde_json::{Value, json};

use super::{Cluster, Failure, Query, exec::print, json_answer};
use crate::server::lock;

/// The pods by namespace and name.
pub(super) type Made = Mutex<BTreeMap<String, Value>>;

impl Cluster {
    /// Answers what is asked about pods that were made here. None: it is asked about others.
    pub(super) async fn made(
        &self,
        namespace: &str,
        rest: &[&str],
        head: &mut Parts,
        body: Body,
    ) -> Option<Result<Response, Failure>> {
        let key = |name: &str| format!("{namespace}/{name}");
        let find = |name: &str| lock(&self.made).get(&key(name)).cloned();
        match (&head.method, rest) {
            (&Method::POST, []) => Some(self.make(namespace, head, body).await),
            (&Method::DELETE, [name]) => {
                let gone = lock(&self.made).remove(&key(name))?;
                Some(Ok(json_answer(&gone)))
            }
            (&Method::GET, [name]) => find(name).map(|pod| Ok(json_answer(&pod))),
            (&Method::GET, [name, "exec"]) => {
                let pod = find(name)?;
                Some(self.arping(&pod, head).await)
            }
            _ => None,
        }
    }

    async fn make(&self, namespace: &str, head: &Parts, body: Body) -> Result<Response, Failure> {
        Query::of(head, &[])?;
        let places = [format!("kubernetes/pods#{namespace} create")];
        self.admit_to_pod(&places, "create", "", (namespace, ""))?;
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap_or_default();
        let mut pod: Value = serde_json::from_slice(&body).unwrap_or_default();
        let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let spec = &pod["spec"];
        let capabilities = &spec["containers"][0]["securityContext"]["capabilities"];
        let asks_little = *capabilities == json!({ "drop": ["ALL"], "add": ["NET_RAW"] });
        if name.is_empty() || spec["hostNetwork"] != true || !asks_little {
            return Err(Failure::bad_parameter("no pod that ARP is asked from"));
        }
        // Nothing schedules it, so a node that isn't there never runs it.
        let objects = self.served.objects();
        let is_node = |object: &&Value| {
            object["kind"] == "Node" && object["metadata"]["name"] == spec["nodeName"]
        };
        let phase = if objects.iter().any(|o| is_node(&o)) { "Running" } else { "Pending" };
        pod["status"] = json!({ "phase": phase });
        lock(&self.made).insert(format!("{namespace}/{name}"), pod.clone());
        let mut response = json_answer(&pod);
        *response.status_mut() = StatusCode::CREATED;
        Ok(response)
    }

    /// Prints what `ip` and busybox's `arping` would have.
    async fn arping(&self, pod: &Value, head: &mut Parts) -> Result<Response, Failure> {
        let query = Query::of(head, &["command", "container", "stdin", "stdout", "stderr", "tty"])?;
        let command: Vec<_> = query.all("command").map(str::to_owned).collect();
        let ["sh", "-c", script, "sh", address] =
            &*command.iter().map(|w| &**w).collect::<Vec<_>>()
        else {
            return Err(Failure::unknown(format!("no such command: {command:?}")));
        };
        if !script.contains("arping -b -c 3") {
            return Err(Failure::unknown("no such script"));
        }
        let known = self.served.json("probes/arp").unwrap_or_default();
        let known = known.as_array().into_iter().flatten().find(|one| one["address"] == *address);
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        let printed = match known {
            None => format!("way {address} via 10.0.0.1 dev eth0 src 10.0.0.2\n"),
            Some(answer) => {
                let interface = answer["interface"].as_str().unwrap_or("eth0");
                let macs = answer["replies"].as_array().into_iter().flatten();
                let macs = macs.filter_map(|reply| reply["mac"].as_str());
                let lines = macs.fold(String::new(), |lines, mac| {
                    lines + &format!("Unicast reply from {address} [{mac}] 0.1ms\n")
                });
                format!(
                    "way {address} dev {interface} src 10.0.0.2\nARPING {address} from {node}\n\
                     {lines}Sent 3 probe(s) (3 broadcast(s))\n"
                )
            }
        };
        print(printed, head).await
    }
}
