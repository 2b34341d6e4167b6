//! What an Ingress asks Google's controller for, and what that wrote down.

use std::{collections::BTreeSet, sync::Arc};

use kfcheck::{Cx, Fact, FactError};
use kfcheck_kube::{EntranceIngresses, Ingress, covers, within};
use serde::Serialize;

use crate::ManagedCertificate;

/// The Ingresses at the entrance that Google's controller is for.
#[derive(Clone, Serialize)]
pub struct GceIngresses;

impl Fact for GceIngresses {
    const NAME: &'static str = "gcp.ingresses";
    type Value = Vec<Arc<Ingress>>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<Arc<Ingress>>, FactError> {
        let ingresses = cx.get(EntranceIngresses).await?;
        Ok(ingresses.iter().filter(|ingress| is_gce(ingress)).cloned().collect())
    }
}

/// Whether an Ingress is for Google's controller.
pub(crate) fn is_gce(ingress: &Ingress) -> bool {
    ingress.class().is_none_or(|class| class == "gce" || class == "gce-internal")
}

/// The reserved address that an Ingress asks for, by name.
pub(crate) fn static_address(ingress: &Ingress) -> Option<&str> {
    let global = "kubernetes.io/ingress.global-static-ip-name";
    let names = [global, "networking.gke.io/static-ip", regional_address()];
    ingress.metadata.annotation(&names).filter(|name| !name.is_empty())
}

/// The annotation that asks for a regional address, on an internal Ingress.
pub(crate) fn regional_address() -> &'static str {
    "kubernetes.io/ingress.regional-static-ip-name"
}

/// The names in a list that an annotation holds.
pub(crate) fn listed(annotation: Option<&str>) -> impl Iterator<Item = &str> {
    let names = annotation.into_iter().flat_map(|text| text.split(','));
    names.map(str::trim).filter(|name| !name.is_empty())
}

/// The ManagedCertificates that an Ingress names.
pub(crate) fn managed_certificates(ingress: &Ingress) -> impl Iterator<Item = &str> {
    let names =
        ["networking.gke.io/managed-certificates", "gke.googleapis.com/managed-certificates"];
    listed(ingress.metadata.annotation(&names))
}

/// The certificates of the load balancer that an Ingress names.
pub(crate) fn shared_certificates(ingress: &Ingress) -> impl Iterator<Item = &str> {
    listed(ingress.metadata.annotation(&["ingress.gcp.kubernetes.io/pre-shared-cert"]))
}

/// The backend services that the controller says it made for an Ingress, by name.
pub(crate) fn backends_said(ingress: &Ingress) -> BTreeSet<String> {
    let text = ingress.metadata.annotation(&["ingress.kubernetes.io/backends"]);
    let all: Option<std::collections::BTreeMap<String, serde_json::Value>> =
        text.and_then(|text| serde_json::from_str(text).ok());
    all.into_iter().flatten().map(|(name, _)| name).collect()
}

/// The ManagedCertificates that an Ingress names or should: those for a host of its.
pub(crate) async fn certificates_of(
    cx: &Cx,
    ingress: &Ingress,
) -> Result<Vec<Arc<ManagedCertificate>>, FactError> {
    let named: Vec<_> = managed_certificates(ingress).collect();
    let other = !ingress.spec.tls.is_empty() || shared_certificates(ingress).next().is_some();
    if named.is_empty() && other {
        return Ok(Vec::new());
    }
    let all = cx.get(within::<ManagedCertificate>(ingress.metadata.namespace())).await?;
    let wanted = |certificate: &&Arc<ManagedCertificate>| {
        named.contains(&&*certificate.metadata.name)
            || ingress.hosts().any(|host| is_for(certificate, host))
    };
    Ok(all.iter().filter(wanted).cloned().collect())
}

pub(crate) fn is_for(certificate: &ManagedCertificate, host: &str) -> bool {
    certificate.spec.domains.iter().any(|domain| covers(domain, host))
}
