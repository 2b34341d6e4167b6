//! A bundle, served as a live world.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, OnceLock},
};

use kfcheck::{Bundle, Clock, ObjectKind, World};
use kfcheck_gcp::{BackendConfig, CloudEndpoint, Google, GoogleAccess};
use kfcheck_gcp::{ManagedCertificate, ServiceNetworkEndpointGroup};
use kfcheck_kube::{Access, Certificate, ConfigMap, Deployment, EndpointSlice, Endpoints, Event};
use kfcheck_kube::{Gateway, Ingress, KubeClient, MutatingWebhook, Node, Object, Pod, Policy};
use kfcheck_kube::{RequestAuthentication, Secret, Service, StatefulSet, ValidatingWebhook};
use kfcheck_kube::{Target, VirtualService};
use kfcheck_mocks::{Documents, GoogleMock, Kind, KubernetesMock, Outside, OutsideMock};
use kfcheck_mocks::{Served, Server};
use kfcheck_probe::Through;
use rustls::pki_types::{CertificateDer, pem::PemObject};

use crate::{gcp, root};

/// The kinds that a cluster with Kubeflow on Google Cloud has.
fn kinds() -> Vec<Kind> {
    fn kind<K: Object>() -> Vec<Kind> {
        let ObjectKind { groups, version, kind, plural, namespaced } = K::KIND;
        // Groups that a kind has left are in no cluster of today.
        let group = groups[0].to_owned();
        vec![Kind {
            group,
            version: version.to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
            namespaced,
        }]
    }
    let all = [
        kind::<BackendConfig>(),
        kind::<Certificate>(),
        kind::<CloudEndpoint>(),
        kind::<ConfigMap>(),
        kind::<Deployment>(),
        kind::<EndpointSlice>(),
        kind::<Endpoints>(),
        kind::<Event>(),
        kind::<Gateway>(),
        kind::<Ingress>(),
        kind::<ManagedCertificate>(),
        kind::<MutatingWebhook>(),
        kind::<Node>(),
        kind::<Pod>(),
        kind::<Policy>(),
        kind::<RequestAuthentication>(),
        kind::<Secret>(),
        kind::<Service>(),
        kind::<ServiceNetworkEndpointGroup>(),
        kind::<StatefulSet>(),
        kind::<ValidatingWebhook>(),
        kind::<VirtualService>(),
    ];
    all.into_iter().flatten().collect()
}

/// Google's discovery documents, which `scripts/setup --tests` fetches.
pub fn documents() -> Arc<Documents> {
    static ALL: OnceLock<Arc<Documents>> = OnceLock::new();
    let open = || {
        let folder = root().join("target/tools/google-api");
        let opened = Documents::open(&folder);
        Arc::new(opened.expect("Google's discovery documents; scripts/setup --tests fetches them"))
    };
    Arc::clone(ALL.get_or_init(open))
}

/// The servers that stand for a cluster, Google Cloud and the rest of the internet.
pub struct Sky {
    /// The API server.
    pub kubernetes: Server,
    /// Google's APIs.
    pub google: Server,
    /// Name servers and web servers.
    pub outside: Outside,
    served: Served,
    folder: tempfile::TempDir,
}

impl Sky {
    /// Serves the bundle in a folder.
    pub async fn over(bundle: &Path) -> Self {
        Self::of(&Bundle::open(bundle).expect("a bundle"), |mock| mock).await
    }

    /// Serves a bundle, by an API server that is set up further.
    pub async fn of(
        bundle: &Bundle,
        set_up: impl FnOnce(KubernetesMock) -> KubernetesMock,
    ) -> Self {
        let served = Served::of(bundle);
        let kubernetes = set_up(KubernetesMock::new(served.clone()).installing(kinds()));
        Self {
            kubernetes: kubernetes.start().await.expect("a port"),
            google: GoogleMock::new(served.clone(), documents()).start().await.expect("a port"),
            outside: OutsideMock::new(served.clone()).start().await.expect("a port"),
            served,
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    /// What the bundle says of itself, at `provider` and `name` there.
    fn said(&self, of: &str, name: &str) -> Option<String> {
        self.served.manifest()[of][name].as_str().map(str::to_owned)
    }

    /// How the cluster is reached, with its API server at `server`.
    pub fn access(&self, server: &str) -> Access {
        let context = self.said("kubernetes", "context").unwrap_or_else(|| "test".to_owned());
        let kubeconfig = serde_json::json!({ "apiVersion": "v1", "kind": "Config",
            "clusters": [{ "name": "c", "cluster": { "server": server } }],
            "users": [{ "name": "u", "user": {} }],
            "contexts": [{ "name": context, "context": { "cluster": "c", "user": "u" } }],
            "current-context": context });
        let file = self.folder.path().join("kubeconfig");
        std::fs::write(&file, kubeconfig.to_string()).expect("a file");
        Access { kubeconfig: Some(file), exec: true, ..Access::default() }
    }

    /// How Google is reached, with its APIs at `server`.
    pub fn google_access(&self, server: &str) -> GoogleAccess {
        let apis = ["compute", "container", "logging", "dns"];
        GoogleAccess {
            project: self.said("gcp", "project"),
            network_project: self.said("gcp", "networkProject"),
            location: self.said("gcp", "location"),
            cluster: self.said("gcp", "cluster"),
            endpoints: apis.map(|api| (api.to_owned(), server.to_owned())).into(),
            ..GoogleAccess::default()
        }
    }

    /// The way to the outside: every name and every connection leads to this machine.
    pub fn way_out(&self) -> kfcheck_probe::Outside {
        let authority = CertificateDer::from_pem_slice(self.outside.ca_pem().as_bytes());
        let (tls, plain) = (self.outside.https_address(), self.outside.http_address());
        let outside = kfcheck_probe::Outside::new(Some(self.outside.dns_address()))
            .expect("a resolver")
            .dialer(Through { tls, plain })
            .trusting(authority.expect("a certificate").into_owned());
        match self.time() {
            Some(time) => outside.at(time),
            None => outside,
        }
    }

    fn time(&self) -> Option<kfcheck_gcp::Timestamp> {
        self.served.manifest()["collectedAt"].as_str()?.parse().ok()
    }

    /// A world that asks these servers, set up as the program does.
    pub fn world(&self) -> World {
        self.world_of(self.access(&self.kubernetes.url()), self.google_access(&self.google.url()))
    }

    /// The same, reached in another way.
    pub fn world_of(&self, access: Access, google: GoogleAccess) -> World {
        let provider = gcp();
        let world = World::live()
            .path(&provider.path)
            .client(Ok(KubeClient::new(access)))
            .client(Ok(Google::new(google)))
            .client(Ok(self.way_out()))
            .setting(Clock(self.time()))
            .setting(Target::default());
        (provider.prepare)(world)
    }

    /// What a real server would not have known.
    pub fn unknown(&self) -> BTreeMap<&str, Vec<String>> {
        let all = [
            ("kubernetes", self.kubernetes.unknown()),
            ("google", self.google.unknown()),
            ("outside", self.outside.unasked()),
        ];
        all.into_iter().filter(|(_, unknown)| !unknown.is_empty()).collect()
    }
}
