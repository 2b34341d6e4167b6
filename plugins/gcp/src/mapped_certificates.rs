//! Judges the certificates that a certificate map shows for the hosts of an entrance.

use futures::future::join;
use jiff::Timestamp;
use kfcheck::{Cx, FactError, Fault, Findings, Now, Risk};
use kfcheck_kube::{Entrance, Target};
use kfcheck_probe::{HttpAnswer, HttpProbe};

use crate::{
    CertificateManagerCertificate, CertificateManagerCertificates, CertificateMapEntries,
    CertificateMapEntry, CertificateMaps,
    certificate_maps::{entry_for, maps_of},
    entrances::hosts_of,
    facts::resource,
    issuance::{examine, is_good},
};

/// Says of each host of an entrance whether a good certificate is shown for it. Where the host shows
/// one, nobody asks how it comes about.
pub(crate) async fn examine_maps(
    cx: &Cx,
    entrance: &Entrance,
    out: &mut Findings,
) -> Result<(), FactError> {
    for map in maps_of(cx, entrance).await {
        for host in hosts_of(&cx.setting::<Target>(), entrance) {
            let shown = Shown::of(cx, &map, &host).await;
            match shown {
                Ok(Shown::Good(certificate, now)) => examine(&certificate, &host, now, out),
                _ if shows_good_one(cx, &host).await => out.ok(entrance),
                shown => {
                    let Some(shown) = out.known(entrance, shown) else { continue };
                    shown.say(entrance, &map, &host, out);
                }
            }
        }
    }
    Ok(())
}

/// What a map shows for a host.
enum Shown {
    Good(CertificateManagerCertificate, Timestamp),
    /// None of these is good.
    Bad(Vec<CertificateManagerCertificate>, Timestamp),
    /// The entry was made a moment ago.
    NotYet,
    /// There are entries for these alone.
    Nothing(Vec<String>),
    NoMap,
}

impl Shown {
    async fn of(cx: &Cx, map: &str, host: &str) -> Result<Self, FactError> {
        let asked = join(cx.get(CertificateMapEntries), cx.get(CertificateManagerCertificates));
        let (entries, certificates) = asked.await;
        let entries = entries?;
        let of_map = |entry: &&CertificateMapEntry| entry.name.is("certificateMaps", map);
        let entries: Vec<_> = entries.iter().filter(of_map).collect();
        if entries.is_empty() {
            let maps = cx.get(CertificateMaps).await?;
            let is_there = maps.iter().any(|there| there.name.name() == map);
            return Ok(if is_there { Self::Nothing(Vec::new()) } else { Self::NoMap });
        }
        let Some(entry) = entry_for(&entries, host) else {
            let hosts = entries.iter().filter_map(|entry| entry.hostname.clone());
            return Ok(Self::Nothing(hosts.collect()));
        };
        let (certificates, now) = (certificates?, *cx.get(Now).await?);
        let mut named = Vec::new();
        for link in &entry.certificates {
            let is = |one: &&CertificateManagerCertificate| one.name.name() == link.name();
            named.push(certificates.iter().find(is).cloned().ok_or_else(|| unlisted(link.name()))?);
        }
        let good = named.iter().find(|certificate| is_good(certificate, host, now));
        Ok(match good {
            Some(_) if entry.state == "PENDING" => Self::NotYet,
            Some(certificate) => Self::Good(certificate.clone(), now),
            None => Self::Bad(named, now),
        })
    }

    fn say(self, entrance: &Entrance, map: &str, host: &str, out: &mut Findings) {
        let subject = resource("CertificateMap", map);
        let list = format!("gcloud certificate-manager maps entries list --map {map}");
        if !matches!(self, Self::NoMap) {
            out.depends(entrance, &subject);
        }
        match self {
            Self::Good(certificate, now) => examine(&certificate, host, now, out),
            Self::Bad(certificates, now) => {
                for certificate in &certificates {
                    out.depends(&subject, certificate);
                    examine(certificate, host, now, out);
                }
            }
            Self::NotYet => {
                out.warn(subject, format!("does not serve its entry for {host} yet")).fix(
                    Risk::None,
                    "shows whether it does by now",
                    list,
                );
            }
            Self::Nothing(hosts) => {
                let finding = out.fail(subject, format!("has no entry for {host}"));
                if !hosts.is_empty() {
                    finding.evidence("is for", hosts.join(", "));
                }
                let add = format!(
                    "gcloud certificate-manager maps entries create ENTRY --map {map} \
                     --hostname {host} --certificates CERTIFICATE"
                );
                let why = "adds one; put a name and a certificate for the host in";
                finding.fix(Risk::None, why, add);
            }
            Self::NoMap => {
                let message = format!("names certificate map {map}, which does not exist");
                out.fail(entrance, message).fix(
                    Risk::None,
                    "shows the maps that there are",
                    "gcloud certificate-manager maps list",
                );
            }
        }
    }
}

/// Certificate Manager keeps what an entry names, so that it is the list that is not whole.
fn unlisted(certificate: &str) -> FactError {
    let says = format!("certificate {certificate} is not among those that were listed");
    Fault::Unreachable(says).into()
}

async fn shows_good_one(cx: &Cx, host: &str) -> bool {
    let answers = cx.get(HttpProbe { url: format!("https://{host}/") }).await;
    answers.is_ok_and(|answers| {
        HttpAnswer::anonymous(&answers).is_some_and(|answer| {
            let refused = answer.tls.as_ref().is_some_and(|tls| tls.verified == Some(false));
            answer.status.is_some() && !refused
        })
    })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use crate::{
        checks::{dns_record::DnsRecord, managed_certificate::ManagedCertificateActive},
        testing::Deployment,
    };

    /// A Gateway with certificate map `map`, whose host shows no certificate. The map has an entry for
    /// `hostname` with this certificate.
    fn with(hostname: &str, certificate: &Value) -> Deployment {
        let mut deployment = Deployment::behind_gateway();
        let name = |rest: &str| format!("projects/p/locations/global/{rest}");
        deployment.object("Gateway")["metadata"]["annotations"]["networking.gke.io/certmap"] =
            "map".into();
        *deployment.file("probes/http") =
            json!([{ "url": "https://kf.example.com/", "error": "tls: handshake failure" }]);
        *deployment.file("gcp/certificatemanager/certificateMaps") =
            json!([{ "name": name("certificateMaps/map") }]);
        *deployment.file("gcp/certificatemanager/certificateMapEntries") = json!([
            { "name": name("certificateMaps/map/certificateMapEntries/kf"), "state": "ACTIVE",
                "hostname": hostname, "certificates": [name("certificates/kf")] },
            { "name": name("certificateMaps/other/certificateMapEntries/all"), "state": "ACTIVE",
                "matcher": "PRIMARY", "certificates": [name("certificates/kf")] }]);
        let mut certificate = certificate.clone();
        certificate["name"] = name("certificates/kf").into();
        *deployment.file("gcp/certificatemanager/certificates") = json!([certificate]);
        deployment
    }

    fn managed(state: &str) -> Value {
        json!({ "managed": { "domains": ["kf.example.com"], "state": state } })
    }

    /// Its domain could not be proven, for this reason.
    fn refused(reason: &str) -> Value {
        let mut certificate = managed("PROVISIONING");
        certificate["managed"]["provisioningIssue"] = json!({ "reason": "AUTHORIZATION_ISSUE" });
        certificate["managed"]["authorizationAttemptInfo"] = json!([{ "state": "FAILED",
            "domain": "kf.example.com", "failureReason": reason, "details": "It says why." }]);
        certificate
    }

    async fn report(deployment: &Deployment) -> String {
        deployment.report(&ManagedCertificateActive).await
    }

    #[tokio::test]
    async fn a_certificate_that_is_issued_for_the_host_is_fine() {
        let report = report(&with("*.example.com", &managed("ACTIVE"))).await;
        assert!(report.contains("pass     gcp-managed-certificate"), "{report}");
    }

    #[tokio::test]
    async fn a_domain_that_forbids_it_is_a_cause() {
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-managed-certificate
              certificate manager certificate kf is not issued for kf.example.com: CAA
                says      It says why.
                fix       shows whether it is still so
                          gcloud certificate-manager certificates describe kf
              kubectl kfcheck explain gcp-managed-certificate

            FAIL     gcp-managed-certificate
                     The host's managed certificate is attached and issued
        "#]]
        .assert_eq(&report(&with("kf.example.com", &refused("CAA"))).await);
    }

    #[tokio::test]
    async fn a_name_that_leads_elsewhere_is_another_ones_finding_unless_a_record_proves_it() {
        let mut certificate = refused("CONFIG");
        for (authorizations, causes) in [(json!([]), 1), (json!(["kf"]), 2)] {
            certificate["managed"]["dnsAuthorizations"] = authorizations;
            let mut deployment = with("kf.example.com", &certificate);
            deployment.file("probes/dns")[0]["answers"] = json!(["203.0.113.9"]);
            let report = deployment.report_of(&[&ManagedCertificateActive, &DnsRecord]).await;
            assert!(report.contains("kf.example.com: CONFIG"), "{report}");
            assert_eq!(report.matches("ROOT CAUSE").count(), causes, "{report}");
        }
    }

    #[tokio::test]
    async fn one_that_can_not_be_renewed_is_warned_of_until_it_expires() {
        let mut certificate = refused("CAA");
        certificate["expireTime"] = "2026-12-01T00:00:00Z".into();
        let warned = report(&with("kf.example.com", &certificate)).await;
        assert!(warned.contains("could not be renewed"), "{warned}");
        certificate["expireTime"] = "2026-11-01T00:00:00Z".into();
        let failed = report(&with("kf.example.com", &certificate)).await;
        assert!(failed.contains("expired on 2026-11-01T00:00:00Z"), "{failed}");
    }

    #[tokio::test]
    async fn one_for_another_host_is_named_with_what_it_is_for() {
        let mut certificate = managed("ACTIVE");
        certificate["managed"]["domains"] = json!(["www.example.com"]);
        let report = report(&with("kf.example.com", &certificate)).await;
        assert!(report.contains("is not for kf.example.com"), "{report}");
        assert!(report.contains("is for    www.example.com"), "{report}");
    }

    #[tokio::test]
    async fn a_map_without_an_entry_for_the_host_says_what_it_has_entries_for() {
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  gcp-managed-certificate
              certificate map map has no entry for kf.example.com
                is for    www.example.com
                fix       adds one; put a name and a certificate for the host in
                          gcloud certificate-manager maps entries create ENTRY --map map \
                            --hostname kf.example.com --certificates CERTIFICATE
              kubectl kfcheck explain gcp-managed-certificate

            FAIL     gcp-managed-certificate
                     The host's managed certificate is attached and issued
        "#]]
        .assert_eq(&report(&with("www.example.com", &managed("ACTIVE"))).await);
    }

    #[tokio::test]
    async fn a_map_that_does_not_exist_is_told_from_an_empty_one() {
        let mut deployment = with("kf.example.com", &managed("ACTIVE"));
        *deployment.file("gcp/certificatemanager/certificateMapEntries") = json!([]);
        let empty = report(&deployment).await;
        assert!(empty.contains("certificate map map has no entry for kf.example.com"), "{empty}");
        *deployment.file("gcp/certificatemanager/certificateMaps") = json!([]);
        let gone = report(&deployment).await;
        assert!(gone.contains("names certificate map map, which does not exist"), "{gone}");
    }

    #[tokio::test]
    async fn a_host_that_shows_a_good_certificate_needs_no_map_to_be_read() {
        let mut deployment = with("kf.example.com", &managed("ACTIVE"));
        deployment.without("gcp/certificatemanager/certificateMapEntries");
        deployment.file("bundle")["errors"]["gcp/certificatemanager/certificateMapEntries"] =
            json!({ "denied": { "permission": "certificatemanager.certmapentries.list" } });
        let unknown = report(&deployment).await;
        let denied = "permission certificatemanager.certmapentries.list denied";
        assert!(unknown.contains(denied), "{unknown}");
        *deployment.file("probes/http") = json!([{ "url": "https://kf.example.com/", "status": 200,
            "tls": { "verified": true } }]);
        let good = report(&deployment).await;
        assert!(good.contains("pass     gcp-managed-certificate"), "{good}");
    }

    #[tokio::test]
    async fn a_proxy_s_map_counts_where_nothing_names_it() {
        let mut deployment = with("kf.example.com", &refused("CAA"));
        let annotations = &mut deployment.object("Gateway")["metadata"]["annotations"];
        annotations.as_object_mut().unwrap().remove("networking.gke.io/certmap");
        let proxy = "projects/p/global/targetHttpsProxies/front";
        *deployment.file("gcp/compute/targetHttpsProxies") = json!([{ "name": "front",
            "selfLink": proxy, "certificateMap":
                "//certificatemanager.googleapis.com/projects/p/locations/global/certificateMaps/map" }]);
        deployment.file("gcp/compute/forwardingRules")[0]["target"] = proxy.into();
        let report = report(&deployment).await;
        assert!(report.contains("is not issued for kf.example.com: CAA"), "{report}");
    }
}
