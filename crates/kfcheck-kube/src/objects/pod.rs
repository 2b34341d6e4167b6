use serde::{Deserialize, Deserializer, Serialize};

use jiff::Timestamp;
use kfcheck::{Named, Resource, redact::redact};

use super::{
    Condition, Metadata, PROXY_SETTINGS, PROXY_VARIABLES, Port, lean, null_is_empty, resource,
};
use crate::object;

/// One Pod.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Its name and labels.
    pub metadata: Metadata,
    /// What it runs.
    #[serde(deserialize_with = "null_is_empty")]
    pub spec: PodSpec,
    /// How it goes.
    #[serde(deserialize_with = "null_is_empty")]
    pub status: PodStatus,
}

object!(Pod, core, "pods", "Pod", true);

/// What a pod runs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// Its containers.
    #[serde(deserialize_with = "containers")]
    pub containers: Vec<Container>,
    /// Where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// Who it is for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// Whether its ports are the node's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_network: Option<bool>,
    /// The Secrets that are files in it, and the ConfigMaps of those that sign users in.
    #[serde(deserialize_with = "of_secrets", skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
}

/// A Secret or a ConfigMap that is files in a pod.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Volume {
    /// Its name in the pod.
    pub name: String,
    /// The Secret.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "SecretFiles::is_none")]
    pub secret: SecretFiles,
    /// The ConfigMap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map: Option<SourceName>,
}

/// Which files are made of a Secret.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretFiles {
    /// The Secret, in the pod's namespace.
    pub secret_name: String,
    /// Which of its entries, and what the files are called; none at all: all, each by its own name.
    #[serde(deserialize_with = "lean", skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<SecretFile>,
}

impl SecretFiles {
    fn is_none(&self) -> bool {
        self.secret_name.is_empty()
    }
}

/// An entry of a Secret that is a file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SecretFile {
    /// The entry.
    pub key: String,
    /// The file's name.
    pub path: String,
}

/// Other volumes are of no concern, and there are many of them.
fn of_secrets<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Volume>, D::Error> {
    let mut all: Vec<Volume> = null_is_empty(from)?;
    let signs_in = |map: &SourceName| ["dex", "oauth2"].iter().any(|part| map.name.contains(part));
    for volume in &mut all {
        volume.config_map = volume.config_map.take().filter(signs_in);
    }
    all.retain(|volume| !volume.secret.is_none() || volume.config_map.is_some());
    all.shrink_to_fit();
    Ok(all)
}

/// What is told to those that sign users in matters more than what others are told.
fn containers<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Container>, D::Error> {
    let mut all: Vec<Container> = lean(from)?;
    for container in all.iter_mut().filter(|container| !container.signs_in()) {
        container.env.retain(|variable| PLAIN.contains(&variable.name.as_str()));
        container.env.shrink_to_fit();
        container.env_from = Vec::new();
    }
    Ok(all)
}

/// One container. Of what it is told (arguments, environment) only [`PLAIN`] is read: secrets are put
/// there. Where it signs users in, it is also kept which variables it has, and where they come from.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Its name in the pod.
    pub name: String,
    /// What it runs.
    pub image: String,
    /// Those of its command's arguments that are flags in [`PLAIN`], each with its value.
    #[serde(deserialize_with = "plain_flags", skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Those of its arguments that are flags in [`PLAIN`], each with its value.
    #[serde(deserialize_with = "plain_flags", skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Those of its variables that are in [`PLAIN`], and where they come from elsewhere, that they are
    /// there.
    #[serde(deserialize_with = "plain_variables", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<Variable>,
    /// What all of whose entries are variables of its.
    #[serde(deserialize_with = "lean", skip_serializing_if = "Vec::is_empty")]
    pub env_from: Vec<Source>,
    /// The ports it declares; it may listen on others.
    #[serde(deserialize_with = "lean")]
    pub ports: Vec<ContainerPort>,
    /// How the kubelet asks whether it is ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readiness_probe: Option<Probe>,
    /// Where it finds what.
    #[serde(deserialize_with = "without_token", skip_serializing_if = "Vec::is_empty")]
    pub volume_mounts: Vec<Mount>,
}

/// Where a container finds a volume.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Mount {
    /// The volume.
    pub name: String,
    /// The folder.
    pub mount_path: String,
}

/// Every container has its token.
fn without_token<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Mount>, D::Error> {
    let mut all: Vec<Mount> = null_is_empty(from)?;
    all.retain(|mount| mount.mount_path != "/var/run/secrets/kubernetes.io/serviceaccount");
    all.shrink_to_fit();
    Ok(all)
}

/// What controllers, web applications and the API server are told that checks read, and that is
/// never a secret.
pub const PLAIN: &[&str] = &[
    "--config",
    "--ignore-exclude-lb",
    "--ipvs-strict-arp",
    "--lb-class",
    "--oidc-client-id",
    "--oidc-issuer-url",
    "--service-account-issuer",
    "--service-account-signing-key-file",
    "--proxy-mode",
    "--service-cluster-ip-range",
    "--cluster-name",
    "--ingress-class",
    "--aws-region",
    "--aws-vpc-id",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "CLUSTER_NAME",
    "USERID_HEADER",
    "USERID_PREFIX",
];

/// A variable of a container's environment.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value; nothing where it comes from elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Where it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_from: Option<ValueFrom>,
}

/// Where a variable comes from.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ValueFrom {
    /// An entry of a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<EntryOf>,
    /// An entry of a ConfigMap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<EntryOf>,
}

/// An entry of a Secret or a ConfigMap.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EntryOf {
    /// Its name, in the pod's namespace.
    pub name: String,
    /// The entry.
    pub key: String,
}

/// A Secret or a ConfigMap of which all entries are variables.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Source {
    /// What stands before their names.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// The Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SourceName>,
    /// The ConfigMap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<SourceName>,
}

/// The name of a Secret or a ConfigMap.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceName {
    /// In the pod's namespace.
    pub name: String,
}

/// Flags and their values, be they one argument or two.
fn plain_flags<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let all: Vec<String> = null_is_empty(from)?;
    let mut kept = Vec::new();
    let mut args = all.into_iter().peekable();
    while let Some(arg) = args.next() {
        match arg.split_once('=') {
            Some((flag, value)) if is_plain(flag) => kept.push(plain_flag(flag, value)),
            None if is_plain(&arg) => {
                let value = args.next_if(|next| !next.starts_with('-'));
                kept.push(plain_flag(&arg, &value.unwrap_or_default()));
            }
            _ => (),
        }
    }
    kept.shrink_to_fit();
    Ok(kept)
}

/// Whether what a flag says is never a secret. Go's programs take them with one dash or two.
fn is_plain(flag: &str) -> bool {
    let bare = flag.trim_start_matches('-');
    PLAIN.contains(&flag)
        || bare.len() < flag.len() && PROXY_SETTINGS.contains(&&*bare.replace('-', "_"))
}

/// A flag with its value. Some programs take a whole configuration where others take its name.
fn plain_flag(flag: &str, value: &str) -> String {
    let named = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
    let value = if flag == "--config" && !value.chars().all(named) { "" } else { value };
    format!("{flag}={value}")
}

/// What a variable says is kept where that is never a secret; of the others, that they are there. There
/// are many of them.
fn plain_variables<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Variable>, D::Error> {
    let mut all: Vec<Variable> = null_is_empty(from)?;
    for variable in &mut all {
        let name = variable.name.as_str();
        let is_plain = PLAIN.contains(&name) || PROXY_VARIABLES.contains(&name);
        let from = variable.value_from.as_ref();
        let comes = from
            .is_some_and(|from| from.secret_key_ref.is_some() || from.config_map_key_ref.is_some());
        if !comes {
            variable.value_from = None;
        }
        variable.value = variable.value.take().filter(|_| is_plain);
    }
    all.shrink_to_fit();
    Ok(all)
}

impl Container {
    /// Whether it may be Dex, or a proxy that sends users there.
    fn signs_in(&self) -> bool {
        let names = ["dex", "authservice", "oauth2-proxy", "oauth2_proxy"];
        names.iter().any(|name| self.image.contains(name) || self.name.contains(name))
    }

    /// The value of a flag or a variable, where it is told one.
    pub fn told(&self, name: &str) -> Option<&str> {
        let flags = self.command.iter().chain(&self.args).filter_map(|arg| arg.split_once('='));
        let mut variables =
            self.env.iter().filter_map(|v| Some((v.name.as_str(), v.value.as_deref()?)));
        let flag = flags.filter(|(flag, _)| *flag == name).map(|(_, value)| value).next_back();
        flag.or_else(|| variables.find(|(known, _)| *known == name).map(|(_, value)| value))
    }
}

/// One port that a container declares.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerPort {
    /// What a Service may call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its number.
    pub container_port: u16,
    /// The port of the node that leads to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
}

/// How the kubelet asks.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Probe {
    /// Over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_get: Option<HttpGet>,
}

/// How the kubelet asks over HTTP. Any answer from 200 to 399 satisfies it (Kubernetes
/// documentation, "Configure Liveness, Readiness and Startup Probes").
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HttpGet {
    /// None: `/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Of the container.
    pub port: Port,
    /// None: `HTTP`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
}

impl HttpGet {
    /// The path asked.
    pub fn path(&self) -> &str {
        self.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/")
    }

    /// `HTTP` or `HTTPS`.
    pub fn scheme(&self) -> &str {
        self.scheme.as_deref().filter(|scheme| !scheme.is_empty()).unwrap_or("HTTP")
    }
}

/// How a pod goes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: String,
    /// Why it failed, where it did: `Evicted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its address.
    #[serde(rename = "podIP", skip_serializing_if = "Option::is_none")]
    pub pod_ip: Option<String>,
    /// For example `Ready`.
    #[serde(deserialize_with = "lean")]
    pub conditions: Vec<Condition>,
    /// How its containers go.
    #[serde(deserialize_with = "lean")]
    pub container_statuses: Vec<ContainerStatus>,
    /// How those go that run first.
    #[serde(deserialize_with = "lean")]
    pub init_container_statuses: Vec<ContainerStatus>,
}

/// How a container goes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// Its name in the pod.
    pub name: String,
    /// What it runs.
    pub image: String,
    /// Whether the kubelet finds it ready.
    pub ready: bool,
    /// How often it was started again.
    pub restart_count: u32,
    /// What it does.
    #[serde(deserialize_with = "null_is_empty")]
    pub state: ContainerState,
    /// What it did before.
    #[serde(deserialize_with = "null_is_empty")]
    pub last_state: ContainerState,
}

/// What a container does.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    /// It runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
    /// It can't be started, or not yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Stopped>,
    /// It ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminated: Option<Stopped>,
}

/// That a container runs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Running {
    /// Since when.
    pub started_at: Option<Timestamp>,
}

/// Why a container doesn't run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Stopped {
    /// In one word: `CrashLoopBackOff`, `OOMKilled`.
    pub reason: Option<String>,
    /// In full.
    pub message: Option<String>,
    /// With what it ended.
    pub exit_code: Option<i32>,
    /// When.
    pub finished_at: Option<Timestamp>,
}

impl Stopped {
    /// The reason in one word, or nothing.
    pub fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or_default()
    }

    /// What the kubelet says of it, secrets taken out.
    pub fn says(&self) -> String {
        let message = self.message.as_deref().map(str::trim).filter(|text| !text.is_empty());
        let parts = [self.reason.as_deref(), message].into_iter().flatten();
        redact(&parts.collect::<Vec<_>>().join(": ")).into_owned()
    }
}

impl Pod {
    /// The Secret that a file in this pod comes from, and the entry of it.
    pub fn secret_of<'a>(&'a self, file: &'a str) -> Option<(&'a str, &'a str)> {
        let mounts = self.spec.containers.iter().flat_map(|container| &container.volume_mounts);
        let inside = |mount: &Mount| {
            let rest = file.strip_prefix(mount.mount_path.trim_end_matches('/'))?;
            rest.strip_prefix('/').map(|rest| (mount.name.clone(), rest.len()))
        };
        let (volume, length) = mounts.filter_map(inside).min_by_key(|(_, length)| *length)?;
        let mut volumes = self.spec.volumes.iter().filter(|v| v.config_map.is_none());
        let secret = &volumes.find(|v| v.name == volume)?.secret;
        let name = &file[file.len() - length..];
        let entry = match &secret.items[..] {
            [] => name,
            items => items.iter().find(|item| item.path == name).map_or(name, |item| &item.key),
        };
        Some((&secret.secret_name, entry))
    }

    /// Whether Services may send requests to it.
    pub fn is_ready(&self) -> bool {
        let ready = |c: &Condition| c.kind == "Ready" && c.status == "True";
        self.metadata.deletion_timestamp.is_none() && self.status.conditions.iter().any(ready)
    }

    /// Whether it has done what it was there for, or was put away: nobody waits for it.
    pub fn is_over(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
            || self.status.phase == "Succeeded"
            || self.status.phase == "Failed"
    }

    /// The number of a port that a container declares by name.
    pub fn port_named(&self, name: &str) -> Option<u16> {
        let mut ports = self.spec.containers.iter().flat_map(|container| &container.ports);
        ports.find(|port| port.name.as_deref() == Some(name)).map(|port| port.container_port)
    }

    /// How the kubelet asks over HTTP, each with the port's number.
    pub fn http_probes(&self) -> impl Iterator<Item = (u16, &HttpGet)> {
        self.spec.containers.iter().filter_map(|container| {
            let probe = container.readiness_probe.as_ref()?.http_get.as_ref()?;
            let port = match &probe.port {
                Port::Number(port) => *port,
                Port::Name(name) => self.port_named(name)?,
            };
            Some((port, probe))
        })
    }

    /// What keeps it running: the Deployment, StatefulSet, … or, if nothing does, the pod itself.
    pub fn workload(&self) -> Resource {
        let Some(owner) = self.metadata.owner_references.first() else { return self.resource() };
        let named = |kind, name: &str| resource(kind, self.metadata.namespace.as_deref(), name);
        match owner.kind.as_str() {
            // A Deployment's ReplicaSets bear its name and a hash.
            "ReplicaSet" => {
                let hash = self.metadata.labels.get("pod-template-hash");
                let deployment =
                    hash.and_then(|hash| owner.name.strip_suffix(hash.as_str())?.strip_suffix('-'));
                match deployment {
                    Some(name) => named("Deployment", name),
                    None => named("ReplicaSet", &owner.name),
                }
            }
            "StatefulSet" => named("StatefulSet", &owner.name),
            "DaemonSet" => named("DaemonSet", &owner.name),
            "Job" => named("Job", &owner.name),
            _ => self.resource(),
        }
    }

    /// Every container that can't run or did not, those that run first included.
    pub fn statuses(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.status.init_container_statuses.iter().chain(&self.status.container_statuses)
    }
}
