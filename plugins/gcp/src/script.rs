//! `collect` for somebody who may not run this program: a shell script of the facts' own commands.

use kfcheck::Fact;
use kfcheck_kube::{
    ApiGateway, ApiRoute, Certificate, ConfigMap, ContainerLog, Deployment, EndpointSlice,
    Endpoints, Event, Gateway, InferenceService, Ingress, MutatingWebhook, NAMESPACES, Namespace,
    Node, Object, Objects, Pod, Policy, RequestAuthentication, Secret, Service, StatefulSet,
    ValidatingWebhook, VirtualService, all, within,
};

use crate::{
    Addresses, BackendConfig, BackendHealth, BackendPolicy, BackendServices,
    CertificateManagerCertificates, CertificateMapEntries, CertificateMaps, CloudEndpoint,
    Clusters, ConfigConnectorObjects, EffectiveFirewalls, Firewalls, ForwardingRules, GoogleAccess,
    HealthCheckPolicy, HealthChecks, Instances, LogEntries, ManagedCertificate, ManagedZones,
    NetworkEndpointGroups, NetworkEndpoints, Networks, Operations, ProjectQuotas, RecordSets,
    Regions, RouterStatus, Routers, Routes, ServiceNetworkEndpointGroup, SslCertificates,
    Subnetworks, TargetHttpProxies, TargetHttpsProxies, UrlMaps,
};

/// What the script is to look at.
#[derive(Clone, Debug, Default)]
pub struct ScriptOptions {
    /// The context of the kubeconfig; without it, the current one.
    pub context: Option<String>,
    /// Namespaces beside the usual ones.
    pub namespaces: Vec<String>,
    /// Project and cluster, where they were said.
    pub google: GoogleAccess,
    /// Whether names are resolved and hosts asked.
    pub probes: bool,
}

/// The script.
pub fn script(options: &ScriptOptions) -> String {
    let namespaces =
        NAMESPACES.iter().copied().chain(options.namespaces.iter().map(String::as_str));
    let namespaces = namespaces.collect::<std::collections::BTreeSet<_>>();
    let google = &options.google;
    let said = |value: &Option<String>| quoted(value.as_deref().unwrap_or_default());
    let health = |region: Option<&str>| BackendHealth {
        service: "$NAME".to_owned(),
        region: region.map(str::to_owned),
    };
    let endpoints = NetworkEndpoints { group: "$NAME".to_owned(), zone: "$ZONE".to_owned() };
    let guards = EffectiveFirewalls { project: "$PROJECT".to_owned(), network: "$NAME".to_owned() };
    let router = RouterStatus {
        project: "$PROJECT".to_owned(),
        region: "$REGION".to_owned(),
        router: "$NAME".to_owned(),
    };
    let records = RecordSets { project: "$project".to_owned(), zone: "$NAME".to_owned() };
    let log = ContainerLog {
        namespace: "$NAMESPACE".to_owned(),
        pod: "$POD".to_owned(),
        container: "$CONTAINER".to_owned(),
    };
    let probes = if options.probes { include_str!("collect_probes.sh") } else { "" };
    let parts = [
        ("@CONTEXT@", said(&options.context)),
        ("@PROJECT@", said(&google.project)),
        ("@LOCATION@", said(&google.location)),
        ("@CLUSTER@", said(&google.cluster)),
        ("@NAMESPACES@", namespaces.into_iter().collect::<Vec<_>>().join(" ")),
        ("@CLUSTER_OBJECTS@", cluster_objects()),
        ("@CONFIG_CONNECTOR@", config_connector()),
        ("@OBJECTS@", objects()),
        ("@LOG@", command(&log)),
        ("@LISTS@", lists()),
        ("@HOST_LISTS@", host_lists()),
        ("@REGIONAL_HEALTH@", command(&health(Some("$REGION")))),
        ("@HEALTH@", command(&health(None))),
        ("@ENDPOINTS@", command(&endpoints)),
        ("@GUARDS@", command(&guards)),
        ("@ROUTER_STATUS@", command(&router)),
        ("@RECORDS@", command(&records)),
        ("@CERTIFICATES@", certificates()),
        ("@MAP_ENTRIES@", map_entries()),
        ("@PROBES@", probes.to_owned()),
        ("@VERSION@", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let text = include_str!("collect.sh").to_owned();
    parts.iter().fold(text, |text, (name, value)| text.replace(name, value))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The command that prints the answer to a fact.
fn command<F: Fact>(fact: &F) -> String {
    fact.place().map(|place| place.command().to_owned()).unwrap_or_default()
}

/// A line that keeps one list of Google's; nothing for what has no place in a bundle.
fn list<F: Fact>(fact: &F) -> String {
    let Some(place) = fact.place() else { return String::new() };
    let (file, at, needs) = (place.file_name(), place.address(), F::NEEDS.join(" "));
    format!("keep {file} {at} {needs} . {}\n", place.command())
}

fn lists() -> String {
    let all = [
        list(&Addresses),
        list(&BackendServices),
        list(&Clusters),
        list(&Firewalls),
        list(&ForwardingRules),
        list(&ManagedZones),
        list(&Routers),
        list(&Routes),
        list(&HealthChecks),
        list(&Instances),
        list(&LogEntries),
        list(&NetworkEndpointGroups),
        list(&Networks),
        list(&Operations),
        list(&ProjectQuotas),
        list(&Regions),
        list(&SslCertificates),
        list(&Subnetworks),
        list(&TargetHttpProxies),
        list(&TargetHttpsProxies),
        list(&UrlMaps),
    ];
    all.concat().trim_end().to_owned()
}

fn certificates() -> String {
    let all = [list(&CertificateMaps), list(&CertificateManagerCertificates)].concat();
    all.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// What keeps the entries of one certificate map, behind the name of the file.
fn map_entries() -> String {
    let fact = CertificateMapEntries;
    let at = fact.place().map(|place| place.address()).unwrap_or_default();
    let command = command(&fact).replace("--map MAP", "--map \"$MAP\"");
    format!("{at} {} . {command}", CertificateMapEntries::NEEDS.join(" "))
}

/// The same in the project of the network.
fn host_lists() -> String {
    fn host<F: Fact>(fact: &F) -> String {
        let Some(place) = fact.place() else { return String::new() };
        let needs = F::NEEDS.join(" ");
        let at = place.address();
        let collection = at.rsplit('/').next().unwrap_or(&at);
        let command = place.command();
        format!(
            "      {collection}) keep host.json {at} {needs} . {command} --project \"$host\" ;;\n"
        )
    }
    [host(&Firewalls), host(&Networks), host(&Subnetworks)].concat().trim_end().to_owned()
}

/// The lines that keep the objects of one kind, by the newest of its groups that the cluster has.
fn object<K: Object>(objects: &Objects<K>, indent: &str, at: &str, filter: &str) -> String {
    let resource = K::KIND.resource();
    let (needs, folder) = (K::NEEDS.join(" "), at.trim_start_matches('#'));
    let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let place = format!("kubernetes/{resource}");
    let mut lines = String::new();
    for (nth, group) in K::KIND.groups.iter().enumerate() {
        let named = match *group {
            "" => K::KIND.plural.to_owned(),
            group => format!("{}.{group}", K::KIND.plural),
        };
        let word = if nth == 0 { "if" } else { "elif" };
        let command = command(objects).replace(" -o yaml", " -o json").replace(&resource, &named);
        lines += &format!(
            "{indent}{word} have {named}; then\n\
             {indent}  keep \"kubernetes/{folder}{resource}.json\" \"{place}{at}\" '{needs}' \\\n\
             {indent}    \"${filter}\" {command}\n"
        );
    }
    lines + &format!("{indent}else\n{indent}  absent {place}\n{indent}fi\n")
}

fn cluster_objects() -> String {
    let all = [
        object(&all::<Node>(), "", "", "plain"),
        object(&all::<MutatingWebhook>(), "", "", "plain"),
        object(&all::<ValidatingWebhook>(), "", "", "plain"),
        object(&all::<Gateway>(), "", "", "plain"),
        object(&all::<ApiGateway>(), "", "", "plain"),
        object(&all::<ApiRoute>(), "", "", "plain"),
        object(&all::<Namespace>(), "", "", "plain"),
        object(&all::<InferenceService>(), "", "", "plain"),
    ];
    all.concat().trim_end().to_owned()
}

/// The lines that keep Config Connector's objects, if the cluster has any kind of them.
fn config_connector() -> String {
    let fact = ConfigConnectorObjects;
    let Some(place) = fact.place() else { return String::new() };
    let (file, at) = (place.file_name(), place.address());
    let command = place.command().replace(" -o yaml", " -o json");
    let needs = ConfigConnectorObjects::NEEDS.join(" ");
    let group = at.rsplit('/').next().unwrap_or(&at).replace('.', r"\.");
    format!(
        "if [ ! -e \"$work/kinds\" ] || grep -q '\\.{group}$' \"$work/kinds\"; then\n  \
         keep {file} {at} '{needs}' \"$references\" {command}\n\
         else\n  absent {at}\nfi"
    )
}

fn objects() -> String {
    fn within_each<K: Object>(filter: &str) -> String {
        object(&within::<K>("$NAMESPACE"), "  ", "#$NAMESPACE", filter)
    }
    let all = [
        within_each::<BackendConfig>("plain"),
        within_each::<BackendPolicy>("plain"),
        within_each::<Certificate>("plain"),
        within_each::<CloudEndpoint>("plain"),
        within_each::<ConfigMap>("audiences"),
        within_each::<Deployment>("plain"),
        within_each::<EndpointSlice>("plain"),
        within_each::<Endpoints>("plain"),
        within_each::<Event>("plain"),
        within_each::<HealthCheckPolicy>("plain"),
        within_each::<Ingress>("plain"),
        within_each::<ManagedCertificate>("plain"),
        within_each::<Pod>("plain"),
        within_each::<Policy>("plain"),
        within_each::<RequestAuthentication>("plain"),
        within_each::<Secret>("secret"),
        within_each::<Service>("plain"),
        within_each::<ServiceNetworkEndpointGroup>("plain"),
        within_each::<StatefulSet>("plain"),
        within_each::<VirtualService>("plain"),
    ];
    all.concat().trim_end().to_owned()
}
