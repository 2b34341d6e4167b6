//! The names that users type.

use std::{collections::BTreeSet, sync::Arc};

use kfcheck::{Cx, Fact, FactError, Fault};
use kfcheck_kube::{Entrances, Gateway, Target, within};
use kfcheck_probe::{DnsAnswer, DnsProbe};
use serde::Serialize;

use crate::{
    AlbIngresses, BalancedServices, Certificates, CognitoSignIns, Doors, FrontClassics,
    FrontLoadBalancers, HostedZone, HostedZones, RecordSets, Records, UserPoolClients,
    fronts::annotation, lean,
};

/// The names that users type. Ingresses for an ALB seldom say them; then it is who refers to the load
/// balancer that does: records, the certificate, the application that signs in.
#[derive(Clone, Serialize)]
pub struct Hosts;

impl Fact for Hosts {
    const NAME: &'static str = "aws.hosts";
    type Value = Vec<String>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<String>, FactError> {
        if let Some(host) = &cx.setting::<Target>().host {
            return Ok(vec![host.to_lowercase()]);
        }
        let said = said(cx).await?;
        if !said.is_empty() {
            return Ok(said);
        }
        // One of them that isn't known leaves the others.
        let mut unknown = None;
        for guessed in [by_client(cx).await, by_record(cx).await, by_certificate(cx).await] {
            let found: BTreeSet<_> = match guessed {
                Ok(found) => found.into_iter().collect(),
                Err(error) => {
                    unknown = unknown.or(Some(error));
                    continue;
                }
            };
            if !found.is_empty() {
                return Ok(found.into_iter().collect());
            }
        }
        let named = by_gateway(cx).await?;
        // That nobody has a name for it is not known then.
        match unknown {
            Some(error) if named.is_empty() => Err(error),
            _ => Ok(named),
        }
    }
}

/// By the entrance itself, or what it tells ExternalDNS.
async fn said(cx: &Cx) -> Result<Vec<String>, FactError> {
    let entrances = cx.get(Entrances).await?;
    let of_rules = entrances.iter().flat_map(kfcheck_kube::Entrance::hosts);
    let told = entrances.iter().filter_map(|entrance| {
        entrance.metadata().annotation(&["external-dns.alpha.kubernetes.io/hostname"])
    });
    let told = told.flat_map(|names| names.split(',')).map(|name| name.trim().to_owned());
    let services = cx.get(BalancedServices).await?;
    let of_services = services.iter().filter_map(|service| {
        service.metadata.annotation(&["external-dns.alpha.kubernetes.io/hostname"])
    });
    let of_services = of_services.flat_map(|names| names.split(','));
    let of_services = of_services.map(|name| name.trim().to_owned());
    let all = of_rules.chain(told).chain(of_services);
    let all = all.map(|name| name.trim_end_matches('.').to_lowercase());
    let all: BTreeSet<_> = all.filter(|name| is_host(name)).collect();
    Ok(all.into_iter().collect())
}

/// By where Cognito sends users back to.
async fn by_client(cx: &Cx) -> Result<Vec<String>, FactError> {
    let mut hosts = Vec::new();
    for sign_in in cx.get(CognitoSignIns).await?.iter() {
        let (pool, id) = (sign_in.pool().to_owned(), sign_in.user_pool_client_id.clone());
        for client in cx.get(UserPoolClients { pool, id }).await?.iter() {
            let urls = client.callback_urls.iter().filter_map(|url| url::Url::parse(url).ok());
            hosts.extend(urls.filter_map(|url| url.host_str().map(str::to_owned)));
        }
    }
    hosts.retain(|host| is_host(host));
    hosts.sort();
    hosts.dedup();
    // A client may serve several; the one that the certificate is for, and that leads here, is ours.
    if hosts.len() > 1
        && let Ok(certificates) = shown(cx).await
    {
        hosts = covered(hosts, &certificates);
    }
    only_leading_here(cx, hosts).await
}

/// Those that certificates are for; all of them where these are for none.
fn covered(hosts: Vec<String>, certificates: &[String]) -> Vec<String> {
    let is = |host: &&String| certificates.iter().any(|name| kfcheck_kube::covers(name, host));
    let covered: Vec<_> = hosts.iter().filter(is).cloned().collect();
    if covered.is_empty() { hosts } else { covered }
}

/// By the certificate that is shown, or is to be shown.
async fn by_certificate(cx: &Cx) -> Result<Vec<String>, FactError> {
    let names = shown(cx).await?;
    let mut hosts: Vec<_> = names.iter().filter(|name| is_host(name)).cloned().collect();
    // A certificate for all names of a domain bears the domain's as well, which is another site.
    hosts.retain(|host| !names.contains(&format!("*.{host}")));
    hosts.sort();
    hosts.dedup();
    only_leading_here(cx, hosts).await
}

/// One name is taken for what it is; of several, those that lead to a load balancer of the entrance.
async fn only_leading_here(cx: &Cx, hosts: Vec<String>) -> Result<Vec<String>, FactError> {
    if hosts.len() < 2 {
        return Ok(hosts);
    }
    let recorded = by_record(cx).await.unwrap_or_default();
    let mut here: Vec<_> = hosts.iter().filter(|host| recorded.contains(host)).cloned().collect();
    if here.is_empty() {
        let ours = addresses_of(cx, &balancer_names(cx).await).await;
        for host in hosts.into_iter().take(ASKED) {
            let found = addresses_of(cx, std::slice::from_ref(&host)).await;
            if !found.is_disjoint(&ours) {
                here.push(host);
            }
        }
    }
    Ok(here)
}

/// The most names that name servers are asked for, to tell which of them leads here.
const ASKED: usize = 20;

/// The addresses that name servers have for names, as far as they tell.
async fn addresses_of(cx: &Cx, names: &[String]) -> BTreeSet<String> {
    let asked = names.iter().map(async |name| cx.get(DnsProbe { name: name.clone() }).await);
    let answers = futures::future::join_all(asked).await;
    let answers = answers.iter().flatten().flat_map(|answers| DnsAnswer::addresses(answers));
    answers.map(str::to_owned).collect()
}

/// What the load balancers of the entrance are called, as far as they are known.
async fn balancer_names(cx: &Cx) -> Vec<String> {
    let (fronts, classics) = (cx.get(FrontLoadBalancers).await, cx.get(FrontClassics).await);
    let names = fronts.iter().flat_map(|all| all.iter()).map(|front| &front.balancer.dns_name);
    let classics = classics.iter().flat_map(|all| all.iter());
    let names = names.chain(classics.map(|front| &front.balancer.dns_name));
    names.map(|name| lean(name)).collect()
}

/// By what Istio's Gateway for Kubeflow lets in.
async fn by_gateway(cx: &Cx) -> Result<Vec<String>, FactError> {
    let gateways = match cx.get(within::<Gateway>("kubeflow")).await {
        Err(FactError { fault: Fault::Absent(_), .. }) => return Ok(Vec::new()),
        read => read?,
    };
    let hosts = gateways.iter().flat_map(|gateway| &gateway.spec.servers);
    let hosts = hosts.flat_map(|server| &server.hosts);
    // A namespace may stand before a name.
    let hosts = hosts.map(|host| host.rsplit('/').next().unwrap_or(host).to_lowercase());
    let hosts: BTreeSet<_> = hosts.filter(|host| is_host(host)).collect();
    only_leading_here(cx, hosts.into_iter().collect()).await
}

/// The names of the certificates that are shown, or are to be shown.
async fn shown(cx: &Cx) -> Result<Vec<String>, FactError> {
    let mut names = Vec::new();
    for arn in shown_certificates(cx).await? {
        if arn.contains(":acm:") {
            let found = cx.get(Certificates { arn }).await?;
            names.extend(found.iter().flat_map(|c| c.names().map(str::to_lowercase)));
        }
    }
    Ok(names)
}

/// The ARNs of the certificates that listeners show, or that Ingresses and Services ask for.
pub(crate) async fn shown_certificates(cx: &Cx) -> Result<BTreeSet<String>, FactError> {
    let mut arns = BTreeSet::new();
    for ingress in cx.get(AlbIngresses).await?.iter() {
        let asked = annotation(ingress, "certificate-arn").unwrap_or_default();
        arns.extend(asked.split(',').map(|arn| arn.trim().to_owned()));
    }
    for service in cx.get(BalancedServices).await?.iter() {
        let asked = ["service.beta.kubernetes.io/aws-load-balancer-ssl-cert"];
        let asked = service.metadata.annotation(&asked).unwrap_or_default();
        arns.extend(asked.split(',').map(|arn| arn.trim().to_owned()));
    }
    for door in cx.get(Doors).await.iter().flat_map(|doors| doors.iter()) {
        arns.extend(door.listener.certificates.iter().map(|c| c.certificate_arn.clone()));
    }
    for front in cx.get(FrontClassics).await.iter().flat_map(|fronts| fronts.iter()) {
        arns.extend(front.balancer.listeners().map(|listener| listener.ssl_certificate_id.clone()));
    }
    arns.retain(|arn| arn.starts_with("arn:"));
    Ok(arns)
}

/// By the records that lead to the load balancer, where there are not too many zones to look into.
async fn by_record(cx: &Cx) -> Result<Vec<String>, FactError> {
    let names = balancer_names(cx).await;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let zones = cx.get(HostedZones).await?;
    let zones = zones.iter().filter(|zone| !zone.is_private() && is_small(zone));
    let mut hosts = Vec::new();
    for zone in zones.take(ZONES) {
        let records = cx.get(whole(zone)).await?;
        let ours = records
            .resource_record_sets
            .iter()
            .filter(|set| set.leads_to().is_some_and(|name| names.contains(&name)));
        hosts.extend(ours.map(crate::RecordSet::host).filter(|host| is_host(host)));
    }
    match shown(cx).await {
        Ok(certificates) => Ok(covered(hosts, &certificates)),
        Err(_) => Ok(hosts),
    }
}

/// The most zones that are looked into for a name that nothing else says.
const ZONES: usize = 10;
/// The most records of a zone that is read as a whole.
const RECORDS: i64 = 1_000;

fn is_small(zone: &HostedZone) -> bool {
    zone.resource_record_set_count.is_none_or(|count| count <= RECORDS)
}

fn whole(zone: &HostedZone) -> RecordSets {
    RecordSets { zone: zone.short_id().to_owned(), names: Vec::new() }
}

/// The public zone that a name is in, with what it has on it; nothing where the account has none, or
/// several, of which only one is asked by the world.
pub(crate) async fn zone_of(
    cx: &Cx,
    host: &str,
) -> Result<Option<(HostedZone, Arc<Records>)>, FactError> {
    let mut zones = zones_of(cx, host, false).await?;
    Ok(zones.pop().filter(|_| zones.is_empty()))
}

/// The zones that a name is in, public or private.
pub(crate) async fn zones_of(
    cx: &Cx,
    host: &str,
    private: bool,
) -> Result<Vec<(HostedZone, Arc<Records>)>, FactError> {
    let zones = cx.get(HostedZones).await?;
    let holding = zones.iter().filter(|zone| zone.is_private() == private && zone.holds(host));
    let holding: Vec<_> = holding.collect();
    let nearest = holding.iter().map(|zone| zone.domain().len()).max();
    let nearest = holding.into_iter().filter(|zone| Some(zone.domain().len()) == nearest);
    let mut found = Vec::new();
    for zone in nearest {
        let records = if is_small(zone) {
            cx.get(whole(zone)).await?
        } else {
            cx.get(RecordSets {
                zone: zone.short_id().to_owned(),
                names: names_of_interest(cx, zone).await,
            })
            .await?
        };
        found.push((zone.clone(), records));
    }
    Ok(found)
}

/// The names in a zone that a request depends on, and the domains above them.
async fn names_of_interest(cx: &Cx, zone: &HostedZone) -> Vec<String> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    names.extend(cx.get(Hosts).await.iter().flat_map(|hosts| hosts.iter().cloned()));
    for sign_in in cx.get(CognitoSignIns).await.iter().flat_map(|all| all.iter()) {
        names.insert(sign_in.sign_in_host());
    }
    let above: Vec<_> = names.iter().filter_map(|name| name.split_once('.')).collect();
    let above: Vec<_> =
        above.into_iter().flat_map(|(_, rest)| [rest.to_owned(), format!("*.{rest}")]).collect();
    names.extend(above);
    names.retain(|name| zone.holds(name));
    names.into_iter().collect()
}

/// A whole name of the internet's, no pattern.
fn is_host(name: &str) -> bool {
    name.contains('.') && !name.contains('*') && !name.ends_with(".local") && name != "localhost"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{checks::dns_record::DnsRecord, testing::Deployment};

    /// Which hosts are meant, by the first line of a report.
    async fn meant(deployment: &Deployment) -> String {
        let report = deployment.report(&DnsRecord).await;
        report.split(": nothing").next().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn of_several_that_an_application_serves_the_one_that_leads_here_is_meant() {
        let mut deployment = Deployment::healthy();
        deployment.file("aws/acm/describe-certificate")["Certificates"][0]["DomainName"] =
            "*.example.com".into();
        deployment.file("aws/cognito-idp/describe-user-pool-client")["UserPoolClients"][0]["CallbackURLs"] =
            json!([
                "https://grafana.example.com/oauth2/idpresponse",
                "https://kf.example.com/oauth2/idpresponse"
            ]);
        assert_eq!(meant(&deployment).await, "kf.example.com");
        // Where the zone is somebody else's, name servers tell.
        deployment.file("aws/route53/list-hosted-zones")["HostedZones"] = json!([]);
        assert_eq!(meant(&deployment).await, "kf.example.com");
    }

    #[tokio::test]
    async fn a_certificate_for_a_whole_domain_does_not_name_a_host() {
        let mut deployment = Deployment::classic();
        deployment.object("Service")["metadata"]["annotations"] = json!({
            "service.beta.kubernetes.io/aws-load-balancer-ssl-cert": crate::testing::CERTIFICATE });
        let certificate = &mut deployment.file("aws/acm/describe-certificate")["Certificates"][0];
        certificate["DomainName"] = "*.example.com".into();
        certificate["SubjectAlternativeNames"] = json!(["*.example.com", "example.com"]);
        assert_eq!(meant(&deployment).await, "kf.example.com");
        deployment.file("aws/route53/list-hosted-zones")["HostedZones"] = json!([]);
        assert!(!meant(&deployment).await.contains("example.com"));
    }

    #[tokio::test]
    async fn a_gateway_may_say_it() {
        let mut deployment = Deployment::classic();
        deployment.file("aws/route53/list-hosted-zones")["HostedZones"] = json!([]);
        deployment.add(json!({ "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
            "metadata": { "namespace": "kubeflow", "name": "kubeflow-gateway" },
            "spec": { "selector": { "istio": "ingressgateway" }, "servers": [
                { "hosts": ["*/KF.example.com"], "port": { "number": 443, "protocol": "HTTPS" } }] } }));
        assert_eq!(meant(&deployment).await, "kf.example.com");
    }
}
