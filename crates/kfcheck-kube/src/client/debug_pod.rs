//! A pod of our own on a node, to ask from there who has an address. It is the one thing that is made
//! in a cluster, only where somebody asks for it, and it is removed again.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use k8s_openapi::api::core::v1::Pod;
use kfcheck::{Fault, async_trait};
use kfcheck_probe::{ARP_SCRIPT, ArpAnswer, AskArp, read_arp};
use kube::{
    Api,
    api::{AttachParams, DeleteParams, PostParams},
};
use serde_json::json;
use tokio::{io::AsyncReadExt, sync::OnceCell};

use super::{Access, KubeClient, TRIES, may_pass, refused, wait};

/// How long it may take until it runs: its image is fetched meanwhile.
const STARTING: Duration = Duration::from_secs(40);
/// How long one question may take: three, a second each, and the way there.
const ASKING: Duration = Duration::from_secs(20);
/// After this, the cluster itself stops a pod that nobody removed.
const LONGEST: u32 = 300;
/// How often it is looked whether it runs.
const PAUSE: Duration = Duration::from_millis(250);
const LABEL: (&str, &str) = ("app.kubernetes.io/managed-by", "kubectl-kfcheck");

/// A pod on a node's own network, with NET_RAW, from which ARP is asked (Kubernetes documentation,
/// "Pod Security Standards": a privileged pod).
///
/// It is made with the first question, and [`remove`](Self::remove) takes it away. It takes the
/// permissions to create, get and delete pods, and to create pods/exec, in its namespace.
#[derive(Clone)]
pub struct DebugPod(Arc<Inner>);

struct Inner {
    client: KubeClient,
    node: String,
    namespace: String,
    image: String,
    name: String,
    made: OnceLock<Made>,
    runs: OnceCell<Result<(), Fault>>,
}

type Made = Shared<BoxFuture<'static, Result<Api<Pod>, Fault>>>;

impl DebugPod {
    /// One on `node`, in `namespace`, of an image with a shell, `ip` and `arping`.
    pub fn new(access: Access, node: &str, namespace: &str, image: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(Arc::new(Inner {
            client: KubeClient::new(access),
            node: node.to_owned(),
            namespace: namespace.to_owned(),
            image: image.to_owned(),
            name: format!("kfcheck-arp-{:x}-{:x}", now.as_secs(), std::process::id()),
            made: OnceLock::new(),
            runs: OnceCell::new(),
        }))
    }

    /// Removes it, if it was made. What it says where it can't be: how to remove it by hand.
    pub async fn remove(&self) -> Result<(), String> {
        let Inner { name, namespace, made, .. } = &*self.0;
        let Some(made) = made.get() else { return Ok(()) };
        // Also where making it failed half-way: it may be there all the same.
        let pods = match made.clone().await {
            Ok(pods) => pods,
            Err(Fault::Denied { .. }) => return Ok(()),
            Err(_) => match self.pods().await {
                Ok(pods) => pods,
                Err(_) => return Ok(()),
            },
        };
        let mut tries = 0;
        loop {
            tries += 1;
            match pods.delete(name, &DeleteParams::default().grace_period(0)).await {
                Ok(_) => return Ok(()),
                Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
                Err(_) if tries < TRIES => wait(tries, None).await,
                Err(error) => {
                    let what = format!("delete pod {namespace}/{name}");
                    let fault = refused(&error, &what, "delete pods");
                    return Err(format!(
                        "the pod {namespace}/{name} is still there ({fault}); it stops by itself \
                         {LONGEST} s after it began; remove it: kubectl delete pod -n {namespace} \
                         {name}"
                    ));
                }
            }
        }
    }

    async fn pods(&self) -> Result<Api<Pod>, Fault> {
        let connection = self.0.client.connection().await?;
        Ok(Api::namespaced(connection.client.clone(), &self.0.namespace))
    }

    /// The pods of its namespace, once it is among them.
    async fn made(&self) -> Result<Api<Pod>, Fault> {
        let begin = || {
            let pod = self.clone();
            // It is gone on with when nobody waits any more, so that it is known whether it is there.
            let making = tokio::spawn(async move { pod.make().await });
            let panicked = |_| Err(Fault::Bug("making a pod panicked".to_owned()));
            making.map(move |made| made.unwrap_or_else(panicked)).boxed().shared()
        };
        self.0.made.get_or_init(begin).clone().await
    }

    async fn make(&self) -> Result<Api<Pod>, Fault> {
        let Inner { node, image, name, .. } = &*self.0;
        let pods = self.pods().await?;
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": name, "labels": { LABEL.0: LABEL.1 } },
            "spec": {
                "nodeName": node,
                "hostNetwork": true,
                "restartPolicy": "Never",
                "activeDeadlineSeconds": LONGEST,
                "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": false,
                "enableServiceLinks": false,
                "tolerations": [{ "operator": "Exists" }],
                "containers": [{
                    "name": "arp",
                    "image": image,
                    "command": ["sleep", LONGEST.to_string()],
                    "securityContext": {
                        "allowPrivilegeEscalation": false,
                        "readOnlyRootFilesystem": true,
                        "runAsUser": 0,
                        "capabilities": { "drop": ["ALL"], "add": ["NET_RAW"] },
                    },
                    "resources": { "limits": { "cpu": "100m", "memory": "32Mi" } },
                }],
            },
        });
        let pod = serde_json::from_value(pod).map_err(|error| Fault::Bug(error.to_string()))?;
        let made = pods.create(&PostParams::default(), &pod).await;
        made.map_err(|error| self.not_made(&error))?;
        Ok(pods)
    }

    fn not_made(&self, error: &kube::Error) -> Fault {
        let Inner { node, namespace, .. } = &*self.0;
        let what = format!("create a pod in {namespace} on node {node}");
        match error {
            // 403 is also what an admission plugin says, and that is no matter of RBAC.
            kube::Error::Api(status)
                if status.code == 403 && !status.message.contains(" cannot create resource ") =>
            {
                Fault::Unreachable(format!(
                    "{what}: {}; --arp-pod-namespace names one where pods may use the node's \
                     network",
                    status.message
                ))
            }
            other => refused(other, &what, "create pods"),
        }
    }

    /// Waits until it runs.
    async fn start(&self) -> Result<(), Fault> {
        let pods = self.made().await?;
        let Inner { node, name, .. } = &*self.0;
        let mut why = String::new();
        let starting = async {
            loop {
                let pod = match pods.get(name).await {
                    Ok(pod) => pod,
                    Err(error) if may_pass(&error) => {
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                    Err(error) => {
                        return Err(refused(&error, &format!("get pod {name}"), "get pods"));
                    }
                };
                let status = pod.status.unwrap_or_default();
                match status.phase.as_deref() {
                    Some("Running") => return Ok(()),
                    Some("Failed" | "Succeeded") => {
                        let says = [status.reason, status.message].into_iter().flatten();
                        let says = says.collect::<Vec<_>>().join(": ");
                        let says = format!("the pod ended on node {node}: {says}");
                        return Err(Fault::Unreachable(says));
                    }
                    _ => {}
                }
                let waiting = status.container_statuses.into_iter().flatten();
                let waiting = waiting.filter_map(|container| container.state?.waiting);
                why = waiting
                    .flat_map(|waiting| [waiting.reason, waiting.message])
                    .flatten()
                    .collect::<Vec<_>>()
                    .join(": ");
                tokio::time::sleep(PAUSE).await;
            }
        };
        let started = tokio::time::timeout(STARTING, starting).await;
        started.unwrap_or_else(|_| {
            let why = if why.is_empty() { "is there such a node?" } else { &*why };
            Err(Fault::Unreachable(format!(
                "the pod on node {node} did not start within {STARTING:?}: {why}"
            )))
        })
    }

    async fn run(&self, address: &str) -> Result<String, Fault> {
        self.0.runs.get_or_init(|| self.start()).await.clone()?;
        let pods = self.made().await?;
        let Inner { node, name, .. } = &*self.0;
        let what = format!("arping {address} on node {node}");
        let command = ["sh", "-c", ARP_SCRIPT, "sh", address];
        let parameters = AttachParams::default().stdin(false).stderr(false);
        let mut tries = 0;
        let mut process = loop {
            tries += 1;
            match pods.exec(name, command, &parameters).await {
                Err(error) if tries < TRIES && may_pass(&error) => wait(tries, None).await,
                started => {
                    break started.map_err(|error| refused(&error, &what, "create pods/exec"))?;
                }
            }
        };
        let mut printed = String::new();
        if let Some(out) = process.stdout() {
            let read = out.take(1 << 16).read_to_string(&mut printed).await;
            read.map_err(|error| Fault::Unreachable(format!("{what}: {error}")))?;
        }
        Ok(printed)
    }
}

impl fmt::Debug for DebugPod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { node, namespace, name, .. } = &*self.0;
        write!(f, "pod {namespace}/{name} on node {node}")
    }
}

#[async_trait]
impl AskArp for DebugPod {
    async fn ask(&self, address: &str) -> Result<ArpAnswer, Fault> {
        if address.parse::<std::net::Ipv4Addr>().is_err() {
            return Err(Fault::Unreachable(format!("{address} is no address of IPv4")));
        }
        let asking = tokio::time::timeout(STARTING + ASKING, self.run(address));
        let printed = asking.await.map_err(|_| Fault::TimedOut(STARTING + ASKING))??;
        read_arp(&printed, address, &self.0.node)
    }
}
