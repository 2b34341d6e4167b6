//! The names that users type.

use std::collections::BTreeSet;

use kfcheck::{Cx, Fact, FactError};
use kfcheck_kube::{Entrances, Target};
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
        for guessed in [by_client(cx).await, by_certificate(cx).await, by_record(cx).await] {
            let found: BTreeSet<_> = guessed.unwrap_or_default().into_iter().collect();
            if !found.is_empty() {
                return Ok(found.into_iter().collect());
            }
        }
        Ok(Vec::new())
    }
}

/// By the entrance itself, or what it tells ExternalDNS.
async fn said(cx: &Cx) -> Result<Vec<String>, FactError> {
    let entrances = cx.get(Entrances).await?;
    let of_rules = entrances.iter().flat_map(|entrance| entrance.hosts());
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
    let all: BTreeSet<_> = of_rules.chain(told).chain(of_services).filter(|n| is_host(n)).collect();
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
    // A client may serve several; the one that the certificate is for is ours.
    if hosts.len() > 1
        && let Ok(certificates) = shown(cx).await
        && !certificates.is_empty()
    {
        hosts.retain(|host| certificates.iter().any(|name| kfcheck_kube::covers(name, host)));
    }
    hosts.retain(|host| is_host(host));
    Ok(hosts)
}

/// By the certificate that is shown, or is to be shown.
async fn by_certificate(cx: &Cx) -> Result<Vec<String>, FactError> {
    let mut names = shown(cx).await?;
    names.retain(|name| is_host(name));
    Ok(names)
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
    let (fronts, classics) = (cx.get(FrontLoadBalancers).await, cx.get(FrontClassics).await);
    let names = fronts.iter().flat_map(|all| all.iter()).map(|front| &front.balancer.dns_name);
    let classics = classics.iter().flat_map(|all| all.iter());
    let names: Vec<_> = names.chain(classics.map(|front| &front.balancer.dns_name)).collect();
    let names: Vec<_> = names.into_iter().map(|name| lean(name)).collect();
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
    Ok(hosts)
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

/// The public zone that a name is in, with what it has on it; nothing where the account has none.
pub(crate) async fn zone_of(
    cx: &Cx,
    host: &str,
) -> Result<Option<(HostedZone, std::sync::Arc<Records>)>, FactError> {
    let zones = cx.get(HostedZones).await?;
    let holding = zones.iter().filter(|zone| !zone.is_private() && zone.holds(host));
    let Some(zone) = holding.max_by_key(|zone| zone.name.len()) else { return Ok(None) };
    let records = if is_small(zone) {
        cx.get(whole(zone)).await?
    } else {
        cx.get(RecordSets {
            zone: zone.short_id().to_owned(),
            names: names_of_interest(cx, zone).await,
        })
        .await?
    };
    Ok(Some((zone.clone(), records)))
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
