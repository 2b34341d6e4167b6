use google_cloud_certificatemanager_v1::{client::CertificateManager, model};
use jiff::Timestamp;
use kfcheck::{Cx, Fact, FactError, Fault, Named, Place, Resource};
use kfcheck_kube::null_is_empty;
use serde::{Deserialize, Serialize};

use super::{
    Link, OurProject, resource,
    wire::{redacted, time, words},
};
use crate::{
    certificate_maps::CertificateMapsInUse,
    client::{Google, convert, fault, unusable},
};

/// The items of a collection of Certificate Manager's, page by page.
macro_rules! pages {
    ($cx:expr, $project:expr, $parent:expr, $list:ident.$field:ident, $what:expr, $permission:expr) => {{
        let google = $cx.client::<Google>()?;
        let ready = google.set_up("certificatemanager", CertificateManager::builder()).await?;
        let client = ready.build().await.map_err(unusable)?;
        let (mut all, mut token) = (Vec::new(), String::new());
        loop {
            let request = client.$list().set_parent(&$parent).set_page_token(token);
            let asked = async {
                match request.send().await {
                    Ok(page) => Ok(Some(page)),
                    // What isn't there has nothing in it.
                    Err(error) if error.http_status_code() == Some(404) => Ok(None),
                    Err(e) => Err(fault(&e, "certificatemanager", $project, $permission)),
                }
            };
            let Some(page) = $cx.call($what.clone(), asked).await? else { break };
            for item in page.$field {
                all.push(convert(item, &$what)?);
            }
            for part in page.unreachable {
                $cx.missing(&part, Fault::Unreachable(format!("Google's {part} did not answer")));
            }
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        all
    }};
}

/// Declares a fact that lists one of the project's collections. Certificate maps are global, and so
/// are the certificates in them.
macro_rules! listed {
    ($(#[$doc:meta])+ $fact:ident, $collection:literal, $gcloud:literal, $permission:literal
        => $item:ty, $list:ident.$field:ident) => {
        $(#[$doc])+
        #[derive(Clone, Serialize)]
        pub struct $fact;

        impl Fact for $fact {
            const NAME: &'static str = concat!("gcp.certificateManager.", $collection);
            const NEEDS: &'static [&'static str] = &[$permission];
            type Value = Vec<$item>;

            fn place(&self) -> Option<Place<Vec<$item>>> {
                let command = concat!("gcloud certificate-manager ", $gcloud, " list --format=json");
                Some(Place::file(concat!("gcp/certificatemanager/", $collection), command))
            }

            async fn fetch(&self, cx: &Cx) -> Result<Vec<$item>, FactError> {
                let mut all = Vec::new();
                for project in cx.get(OurProject).await?.iter() {
                    let parent = format!("projects/{project}/locations/global");
                    let what = format!(concat!("certificatemanager.", $collection, ".list {}"), project);
                    all.extend(pages!(cx, project, parent, $list.$field, what, $permission));
                }
                Ok(all)
            }
        }
    };
}

listed! {
    /// The certificate maps of the project.
    CertificateMaps, "certificateMaps", "maps", "certificatemanager.certmaps.list"
        => CertificateMap, list_certificate_maps.certificate_maps
}

/// Which certificates a load balancer shows; the entries say for which host.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CertificateMap {
    /// Itself: `projects/PROJECT/locations/global/certificateMaps/MAP`.
    pub name: Link,
}

/// The entries of the certificate maps in use.
#[derive(Clone, Serialize)]
pub struct CertificateMapEntries;

/// One entry of a certificate map.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CertificateMapEntry {
    /// Itself, with the map that it is of.
    pub name: Link,
    /// The host that it is for, or `*.` and the rest of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// `PRIMARY`: it is for every other host.
    #[serde(deserialize_with = "matcher", skip_serializing_if = "String::is_empty")]
    pub matcher: String,
    /// What it shows: one of these.
    #[serde(deserialize_with = "null_is_empty")]
    pub certificates: Vec<Link>,
    /// `ACTIVE` or `PENDING`.
    #[serde(deserialize_with = "serving", skip_serializing_if = "String::is_empty")]
    pub state: String,
}

impl Fact for CertificateMapEntries {
    const NAME: &'static str = "gcp.certificateManager.certificateMapEntries";
    const NEEDS: &'static [&'static str] = &["certificatemanager.certmapentries.list"];
    type Value = Vec<CertificateMapEntry>;

    fn place(&self) -> Option<Place<Vec<CertificateMapEntry>>> {
        let command = "gcloud certificate-manager maps entries list --map MAP --format=json";
        Some(Place::file("gcp/certificatemanager/certificateMapEntries", command))
    }

    async fn fetch(&self, cx: &Cx) -> Result<Vec<CertificateMapEntry>, FactError> {
        let mut all = Vec::new();
        for project in cx.get(OurProject).await?.iter() {
            for map in cx.get(CertificateMapsInUse).await?.iter() {
                let parent = format!("projects/{project}/locations/global/certificateMaps/{map}");
                let what = format!("certificatemanager.certificateMapEntries.list {project}/{map}");
                let list = pages!(
                    cx,
                    project,
                    parent,
                    list_certificate_map_entries.certificate_map_entries,
                    what,
                    Self::NEEDS[0]
                );
                all.extend(list);
            }
        }
        Ok(all)
    }
}

listed! {
    /// The certificates that Certificate Manager keeps.
    CertificateManagerCertificates, "certificates", "certificates", "certificatemanager.certs.list"
        => CertificateManagerCertificate, list_certificates.certificates
}

/// A certificate that Certificate Manager keeps. The certificate itself isn't read.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CertificateManagerCertificate {
    /// Itself.
    pub name: Link,
    /// The hosts that it is for.
    #[serde(deserialize_with = "null_is_empty")]
    pub san_dnsnames: Vec<String>,
    /// Until when it is good; none: it was never issued.
    #[serde(deserialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub expire_time: Option<Timestamp>,
    /// How one goes that Google obtains.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedByCertificateManager>,
}

/// How a certificate goes that Certificate Manager obtains.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ManagedByCertificateManager {
    /// The hosts that it is to be for.
    #[serde(deserialize_with = "null_is_empty")]
    pub domains: Vec<String>,
    /// By which records the domains are proven; none: by the load balancer.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub dns_authorizations: Vec<Link>,
    /// `PROVISIONING`, `FAILED` or `ACTIVE`.
    #[serde(deserialize_with = "state")]
    pub state: String,
    /// What holds it up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisioning_issue: Option<ProvisioningIssue>,
    /// The latest attempt to prove each domain.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub authorization_attempt_info: Vec<AuthorizationAttempt>,
}

/// What holds a managed certificate up.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProvisioningIssue {
    /// `AUTHORIZATION_ISSUE` or `RATE_LIMITED`.
    #[serde(deserialize_with = "issue")]
    pub reason: String,
    /// The same in words.
    #[serde(deserialize_with = "redacted", skip_serializing_if = "String::is_empty")]
    pub details: String,
}

/// How it went to prove that a domain is the project's.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuthorizationAttempt {
    /// The domain.
    pub domain: String,
    /// `AUTHORIZING`, `AUTHORIZED` or `FAILED`.
    #[serde(deserialize_with = "attempt")]
    pub state: String,
    /// `CONFIG`, `CAA` or `RATE_LIMITED`.
    #[serde(deserialize_with = "failure", skip_serializing_if = "String::is_empty")]
    pub failure_reason: String,
    /// The same in words.
    #[serde(deserialize_with = "redacted", skip_serializing_if = "String::is_empty")]
    pub details: String,
}

words! {
    attempt: model::certificate::managed_certificate::authorization_attempt_info::State,
    failure: model::certificate::managed_certificate::authorization_attempt_info::FailureReason,
    issue: model::certificate::managed_certificate::provisioning_issue::Reason,
    matcher: model::certificate_map_entry::Matcher,
    serving: model::ServingState,
    state: model::certificate::managed_certificate::State,
}

impl CertificateManagerCertificate {
    /// The hosts that it is for, or is to be for.
    pub fn hosts(&self) -> &[String] {
        let managed = self.managed.iter().map(|managed| &managed.domains[..]);
        managed.chain([&self.san_dnsnames[..]]).find(|hosts| !hosts.is_empty()).unwrap_or_default()
    }
}

impl Named for CertificateManagerCertificate {
    fn resource(&self) -> Resource {
        resource("CertificateManagerCertificate", self.name.name())
    }
}
