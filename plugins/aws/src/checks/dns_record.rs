use std::{collections::BTreeSet, sync::Arc};

use kfcheck::{Check, Cx, FactError, Fault, Finding, Findings, Resource, Risk, async_trait, check};
use kfcheck_kube::{Entrances, host_resource};
use kfcheck_probe::{DnsAnswer, DnsProbe, HttpAnswer, HttpProbe};

use crate::{
    CognitoSignIns, FrontClassics, FrontLoadBalancers, HostedZone, Hosts, Records,
    facts::{lean, upsert_alias},
    hosts::zones_of,
    redirect::{Leads, target},
    sign_in::{SignInAsked, sign_in_asked},
};

check! {
    /// ## What it checks
    /// That the name that users type leads to the load balancer of the entrance: by what Route 53 has
    /// on it, where its zone is in this account, and by what name servers answer.
    ///
    /// ## Why it matters
    /// Load balancers that are made anew get a new name, and records stay behind. Then requests go
    /// nowhere, or to something else.
    ///
    /// ## How to fix it
    /// Make an alias record for the load balancer's name, or a CNAME where the zone isn't Route 53's.
    /// Where ExternalDNS keeps the record, look at what it says.
    pub(crate) struct DnsRecord;
    id: "aws-dns-record",
    title: "The host's name leads to the load balancer",
}

#[async_trait]
impl Check for DnsRecord {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let hosts = cx.get(Hosts).await?;
        if hosts.is_empty() {
            out.skip("nothing says which host leads here; name it with --host");
        }
        for host in hosts.iter() {
            let subject = host_resource(host);
            let examined = Seen::of(cx, host).await;
            let Some(seen) = out.known(&subject, examined) else { continue };
            let judged = judge(cx, &subject, &seen, out).await;
            out.known(&subject, judged);
        }
        Ok(())
    }
}

/// Where a name leads, and where it should.
struct Seen {
    /// What the load balancers of the entrance are called, and the zone of each name.
    balancers: Vec<(String, String)>,
    /// What the cluster says that its entrances are reached by.
    entrances: BTreeSet<String>,
    /// The account's zones that the name is in.
    zones: Result<Vec<(HostedZone, Arc<Records>)>, FactError>,
    /// Where these say that it leads to.
    recorded: Vec<String>,
    /// What name servers answer.
    answers: Result<Arc<Vec<DnsAnswer>>, FactError>,
}

impl Seen {
    async fn of(cx: &Cx, host: &str) -> Result<Self, FactError> {
        let zones = zones_of(cx, host, false).await;
        let holding = zones.as_deref().unwrap_or_default();
        let recorded = holding.iter().flat_map(|(_, records)| records.ends(host)).collect();
        let answers = cx.get(DnsProbe { name: host.to_owned() }).await;
        let entrances = cx.get(Entrances).await?;
        let entrances = entrances
            .iter()
            .flat_map(|entrance| entrance.addresses().into_iter().map(lean).collect::<Vec<_>>());
        let entrances: BTreeSet<_> = entrances.collect();
        let fronts = cx.get(FrontLoadBalancers).await;
        let classics = cx.get(FrontClassics).await;
        // What the cluster says of its load balancers will do, if it says anything.
        if let (true, Some(error)) =
            (entrances.is_empty(), fronts.as_ref().err().or(classics.as_ref().err()))
        {
            return Err(error.clone());
        }
        let fronts = fronts.iter().flat_map(|all| all.iter());
        let classics = classics.iter().flat_map(|all| all.iter());
        let fronts = fronts.map(|front| {
            (lean(&front.balancer.dns_name), front.balancer.canonical_hosted_zone_id.clone())
        });
        let classics = classics.map(|front| {
            (lean(&front.balancer.dns_name), front.balancer.canonical_hosted_zone_name_id.clone())
        });
        let balancers = fronts.chain(classics).collect();
        Ok(Self { balancers, entrances, zones, recorded, answers })
    }

    fn is_ours(&self, name: &str) -> bool {
        self.entrances.contains(name) || self.balancers.iter().any(|(ours, _)| ours == name)
    }

    /// Every name or address that is right.
    fn right(&self) -> Vec<&str> {
        let names: BTreeSet<_> = self.balancers.iter().map(|(name, _)| name.as_str()).collect();
        let entrances = self.entrances.iter().map(String::as_str);
        // What the cluster says may be of a load balancer that is gone.
        let names = if names.is_empty() { entrances.collect() } else { names };
        names.into_iter().collect()
    }

    /// The names that it is known to lead to.
    fn ends(&self) -> impl Iterator<Item = String> {
        let answers = self.answers.iter().flat_map(|answers| DnsAnswer::aliases(answers));
        self.recorded.iter().cloned().chain(answers.map(lean))
    }

    fn addresses(&self) -> Vec<&str> {
        self.answers.iter().flat_map(|answers| DnsAnswer::addresses(answers)).collect()
    }

    fn errors(&self) -> String {
        let errors = self.answers.iter().flat_map(|answers| DnsAnswer::errors(answers));
        errors.collect::<Vec<_>>().join(", ")
    }

    /// Whether nobody tells what name servers answer.
    fn is_undecided(&self) -> bool {
        let answers = self.answers.as_ref();
        answers.map_or(true, |all| DnsAnswer::is_undecided(all) || all.is_empty())
    }

    /// Whether the account's zone has nothing on a name, and nobody else can.
    fn has_no_record(&self, host: &str) -> bool {
        let zones = self.zones.as_deref().unwrap_or_default();
        let none = |(zone, records): &(HostedZone, Arc<Records>)| {
            records.on(host).is_empty() && !records.delegates(zone, host)
        };
        !zones.is_empty() && zones.iter().all(none)
    }

    /// The command that mends the record, where there is no doubt which.
    fn mend(&self, host: &str) -> Option<String> {
        let ([(zone, records)], [(name, zone_of_it)]) =
            (self.zones.as_deref().ok()?, self.balancers.as_slice())
        else {
            return None;
        };
        let change = match records.on(host).as_slice() {
            _ if zone_of_it.is_empty() => return None,
            // A record of another kind would stand in the way.
            [only] if only.r#type == "CNAME" && only.host() == *host => {
                serde_json::json!({ "Changes": [{ "Action": "UPSERT", "ResourceRecordSet": {
                    "Name": host, "Type": "CNAME", "TTL": 300,
                    "ResourceRecords": [{ "Value": name }] } }] })
            }
            [] | [_] => upsert_alias(host, zone_of_it, &format!("dualstack.{name}")),
            _ => return None,
        };
        Some(format!(
            "aws route53 change-resource-record-sets --hosted-zone-id {} --change-batch '{change}'",
            zone.short_id()
        ))
    }
}

async fn judge(
    cx: &Cx,
    subject: &Resource,
    seen: &Seen,
    out: &mut Findings,
) -> Result<(), FactError> {
    let host = &subject.name;
    let addresses = seen.addresses();
    let ends: Vec<_> = seen.ends().collect();
    let leads_here = ends.iter().any(|end| seen.is_ours(end))
        || addresses.iter().any(|address| seen.is_ours(address));
    if addresses.is_empty() && !seen.is_undecided() {
        return unresolved(cx, subject, seen, leads_here, out).await;
    }
    if leads_here {
        out.ok(subject);
        return Ok(());
    }
    // There is nothing to compare with before there is a load balancer.
    if seen.right().is_empty() {
        return Ok(());
    }
    if addresses.is_empty() {
        // Nobody was asked; what the zone says has to do.
        if seen.has_no_record(host) {
            return unresolved(cx, subject, seen, false, out).await;
        }
        if let Some(other) = ends.iter().find(|end| is_balancer(end)) {
            mend(subject, seen, leads(out, subject, other, seen), Risk::Deletes);
            return Ok(());
        }
        return undecided(seen, host);
    }
    let ours = balancer_addresses(cx, seen).await;
    if addresses.iter().any(|address| ours.contains(*address)) || reaches_sign_in(cx, host).await {
        out.ok(subject);
        return Ok(());
    }
    let other = ends.iter().find(|end| is_balancer(end));
    let names: Vec<_> =
        ends.iter().filter(|end| end.parse::<std::net::IpAddr>().is_err()).collect();
    // Something else's name may stand for a proxy, which passes requests on.
    if other.is_none() && !names.is_empty() {
        return Ok(());
    }
    if other.is_none() && ours.is_empty() {
        let says = format!("{}: nobody says which addresses it has", seen.right().join(", "));
        return Err(Fault::Unreachable(says).into());
    }
    let to = other.cloned().unwrap_or_else(|| addresses.join(", "));
    if answers_well(cx, host).await {
        out.warn(subject, format!("leads to {to}, which is not the load balancer's, and answers"))
            .evidence("load balancer", seen.right().join(", "));
        return Ok(());
    }
    mend(subject, seen, leads(out, subject, &to, seen), Risk::Deletes);
    Ok(())
}

fn leads<'a>(out: &'a mut Findings, subject: &Resource, to: &str, seen: &Seen) -> &'a mut Finding {
    let finding = out.fail(subject, format!("leads to {to}, not to the load balancer"));
    finding.evidence("should be", seen.right().join(", "))
}

fn mend(subject: &Resource, seen: &Seen, finding: &mut Finding, risk: Risk) {
    let host = &subject.name;
    if let Some(command) = seen.mend(host) {
        finding.fix(risk, "leads the name to this cluster's load balancer", command);
    } else {
        let why = "asks again; the record is to be changed where it is kept";
        finding.fix(Risk::None, why, format!("dig +short {host}"));
    }
}

/// Name servers know no address, or nobody asked them and the zone has none.
async fn unresolved(
    cx: &Cx,
    subject: &Resource,
    seen: &Seen,
    leads_here: bool,
    out: &mut Findings,
) -> Result<(), FactError> {
    let host = &subject.name;
    let private = zones_of(cx, host, true).await.unwrap_or_default();
    if let Some((zone, records)) = private.iter().find(|(_, r)| !r.on(host).is_empty()) {
        if records.ends(host).iter().any(|end| seen.is_ours(end)) {
            out.ok(subject);
            return Ok(());
        }
        let says =
            format!("{host} is in private zone {} only; ask from its network", zone.domain());
        return Err(Fault::Unreachable(says).into());
    }
    let none = seen.has_no_record(host);
    let zone = seen.zones.iter().flatten().next().map(|(zone, _)| zone.domain().to_owned());
    let message = match &zone {
        Some(zone) if none => format!("has no record in zone {zone}, and does not resolve"),
        _ => "does not resolve".to_owned(),
    };
    let waits = seen.right().is_empty();
    // What it leads to may be what is gone.
    let target_is_gone = leads_here && !balancers_resolve(cx, seen).await;
    let finding = if waits || target_is_gone {
        out.unbuilt(subject, message)
    } else {
        out.fail(subject, message)
    };
    if !seen.errors().is_empty() {
        finding.evidence("answer", seen.errors());
    }
    if let Some(to) = seen.recorded.first() {
        finding.evidence("record", to);
    }
    if let Some(zone) = zone.filter(|_| leads_here && !target_is_gone) {
        let says = format!("what is above {zone} does not lead to the name servers of its zone");
        finding.evidence("because", says);
        finding.fix(Risk::None, "shows which are asked", format!("dig +short NS {zone}"));
    } else if waits {
        finding.fix(Risk::None, "asks again", format!("dig +short {host}"));
    } else {
        finding.evidence("should be", seen.right().join(", "));
        mend(subject, seen, finding, Risk::None);
    }
    if waits {
        // Whoever makes the record waits for the load balancer.
        for entrance in cx.get(Entrances).await?.iter() {
            out.built_from(subject, entrance);
        }
    }
    Ok(())
}

fn undecided(seen: &Seen, host: &str) -> Result<(), FactError> {
    match &seen.answers {
        Err(error) => Err(error.clone()),
        Ok(_) => Err(Fault::Unreachable(format!("{host}: {}", seen.errors())).into()),
    }
}

/// The addresses that name servers have for the load balancers.
async fn balancer_addresses(cx: &Cx, seen: &Seen) -> BTreeSet<String> {
    let mut addresses = BTreeSet::new();
    for name in seen.right() {
        let answers = cx.get(DnsProbe { name: name.to_owned() }).await;
        let found = answers.iter().flat_map(|answers| DnsAnswer::addresses(answers));
        addresses.extend(found.map(str::to_owned));
    }
    addresses
}

/// Whether the load balancers' names are not known to lead nowhere.
async fn balancers_resolve(cx: &Cx, seen: &Seen) -> bool {
    for name in seen.right() {
        let answers = cx.get(DnsProbe { name: name.to_owned() }).await;
        let gone = answers.as_ref().is_ok_and(|answers| {
            DnsAnswer::addresses(answers).is_empty() && !DnsAnswer::is_undecided(answers)
        });
        if !gone {
            return true;
        }
    }
    false
}

fn is_balancer(name: &str) -> bool {
    name.contains(".elb.") && name.contains(".amazonaws.com")
}

async fn asked(cx: &Cx, host: &str) -> Option<HttpAnswer> {
    let answers = cx.get(HttpProbe { url: format!("https://{host}/") }).await.ok()?;
    HttpAnswer::anonymous(&answers).cloned()
}

/// Whether a request to the host ends at the load balancer's own sign-in, by whatever way.
async fn reaches_sign_in(cx: &Cx, host: &str) -> bool {
    let Some(answer) = asked(cx, host).await else { return false };
    let Some(to) = answer.redirect().and_then(|to| target(&answer.url, to)) else { return false };
    let Ok(from) = url::Url::parse(&answer.url) else { return false };
    let Leads::Cognito { client, .. } = Leads::of(&from, &to) else { return false };
    let sign_ins = cx.get(CognitoSignIns).await;
    let mut clients = sign_ins.iter().flat_map(|all| all.iter()).map(|s| &s.user_pool_client_id);
    clients.any(|known| *known == client)
}

/// Whether the host answers as it may, where it isn't the load balancer that signs users in.
async fn answers_well(cx: &Cx, host: &str) -> bool {
    let Some(answer) = asked(cx, host).await else { return false };
    let trusted = answer.tls.as_ref().is_none_or(|tls| tls.verified != Some(false));
    let fine = answer.status.is_some_and(|status| matches!(status, 200..=399 | 401 | 403));
    trusted && fine && sign_in_asked(cx).await.is_ok_and(|asked| asked == SignInAsked::No)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::DnsRecord;
    use crate::testing::Deployment;

    fn records(deployment: &mut Deployment) -> &mut Vec<Value> {
        deployment.file("aws/route53/list-resource-record-sets")["Z1"]["ResourceRecordSets"]
            .as_array_mut()
            .unwrap()
    }

    fn nowhere(deployment: &mut Deployment) {
        deployment.file("probes/dns")[0] =
            json!({ "name": "kf.example.com", "type": "A", "error": "NXDOMAIN" });
        deployment.file("probes/http")[0] =
            json!({ "url": "https://kf.example.com/", "error": "dns: NXDOMAIN" });
    }

    #[tokio::test]
    async fn an_alias_of_the_load_balancer_passes() {
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     aws-dns-record
                     The host's name leads to the load balancer
        "#]]
        .assert_eq(&Deployment::healthy().report(&DnsRecord).await);
        let says = Deployment::classic().report(&DnsRecord).await;
        assert!(says.contains("pass     aws-dns-record"), "{says}");
    }

    #[tokio::test]
    async fn a_pattern_and_a_chain_of_names_lead_there_as_well() {
        let mut deployment = Deployment::healthy();
        records(&mut deployment)[1]["Name"] = "lb.example.com.".into();
        records(&mut deployment).push(json!({ "Name": "\\052.example.com.", "Type": "CNAME",
            "ResourceRecords": [{ "Value": "lb.example.com" }] }));
        deployment.without("probes/dns");
        let says = deployment.report(&DnsRecord).await;
        assert!(says.contains("pass     aws-dns-record"), "{says}");
    }

    #[tokio::test]
    async fn a_name_without_record_does_not_resolve() {
        let mut deployment = Deployment::healthy();
        records(&mut deployment).remove(1);
        nowhere(&mut deployment);
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-dns-record
              host kf.example.com has no record in zone example.com, and does not resolve
                answer    NXDOMAIN
                should be k8s-front-1.us-west-2.elb.amazonaws.com
                fix       leads the name to this cluster's load balancer
                          aws route53 change-resource-record-sets --hosted-zone-id Z1 \
                            --change-batch '{"Changes":[{"Action":"UPSERT","ResourceRecordSet":{"AliasTarget":{"DNSName":"dualstack.k8s-front-1.us-west-2.elb.amazonaws.com","EvaluateTargetHealth":false,"HostedZoneId":"Z1H1FL5HABSF5"},"Name":"kf.example.com","Type":"A"}}]}'
              kubectl kfcheck explain aws-dns-record

            FAIL     aws-dns-record
                     The host's name leads to the load balancer
        "#]].assert_eq(&deployment.report(&DnsRecord).await);
    }

    #[tokio::test]
    async fn a_record_may_be_of_a_load_balancer_that_is_no_more() {
        let mut deployment = Deployment::healthy();
        records(&mut deployment)[1]["AliasTarget"]["DNSName"] =
            "dualstack.old-9.us-west-2.elb.amazonaws.com.".into();
        nowhere(&mut deployment);
        let says = deployment.report(&DnsRecord).await;
        assert!(says.contains("old-9") && says.contains("does not resolve"), "{says}");
        deployment.file("probes/dns")[0] =
            json!({ "name": "kf.example.com", "type": "A", "answers": ["203.0.113.9"] });
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-dns-record
              host kf.example.com leads to old-9.us-west-2.elb.amazonaws.com, not to the
                load balancer
                should be k8s-front-1.us-west-2.elb.amazonaws.com
                fix       leads the name to this cluster's load balancer
                          aws route53 change-resource-record-sets --hosted-zone-id Z1 \
                            --change-batch '{"Changes":[{"Action":"UPSERT","ResourceRecordSet":{"AliasTarget":{"DNSName":"dualstack.k8s-front-1.us-west-2.elb.amazonaws.com","EvaluateTargetHealth":false,"HostedZoneId":"Z1H1FL5HABSF5"},"Name":"kf.example.com","Type":"A"}}]}'
              kubectl kfcheck explain aws-dns-record

            FAIL     aws-dns-record
                     The host's name leads to the load balancer
        "#]].assert_eq(&deployment.report(&DnsRecord).await);
    }

    #[tokio::test]
    async fn what_stands_for_a_proxy_is_not_compared() {
        let mut deployment = Deployment::healthy();
        records(&mut deployment)[1]["AliasTarget"]["DNSName"] = "d1.cloudfront.net.".into();
        deployment.file("probes/dns")[0]["answers"] = json!(["13.224.9.9"]);
        deployment.file("probes/http")[0] =
            json!({ "url": "https://kf.example.com/", "status": 502 });
        let says = deployment.report(&DnsRecord).await;
        assert!(says.contains("nothing broken found"), "{says}");
    }

    #[tokio::test]
    async fn addresses_of_somebody_elses_are_wrong_unless_requests_get_here() {
        let mut deployment = Deployment::healthy();
        deployment.file("aws/route53/list-hosted-zones")["HostedZones"] = json!([]);
        deployment.file("probes/dns")[0]["answers"] = json!(["203.0.113.9"]);
        let says = deployment.report(&DnsRecord).await;
        assert!(says.contains("pass     aws-dns-record"), "{says}");
        deployment.file("probes/http")[0] =
            json!({ "url": "https://kf.example.com/", "status": 404 });
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-dns-record
              host kf.example.com leads to 203.0.113.9, not to the load balancer
                should be k8s-front-1.us-west-2.elb.amazonaws.com
                fix       asks again; the record is to be changed where it is kept
                          dig +short kf.example.com
              kubectl kfcheck explain aws-dns-record

            FAIL     aws-dns-record
                     The host's name leads to the load balancer
        "#]]
        .assert_eq(&deployment.report(&DnsRecord).await);
    }

    #[tokio::test]
    async fn a_resolver_that_fails_says_nothing() {
        let mut deployment = Deployment::healthy();
        deployment.file("aws/route53/list-hosted-zones")["HostedZones"] = json!([]);
        deployment.file("probes/dns")[0] =
            json!({ "name": "kf.example.com", "type": "A", "error": "SERVFAIL" });
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 1 not seen.

            NOT SEEN, so a cause may hide there
              aws-dns-record
                unreachable: kf.example.com: SERVFAIL

            unknown  aws-dns-record
                     The host's name leads to the load balancer
                     (unreachable: kf.example.com: SERVFAIL)
        "#]]
        .assert_eq(&deployment.report(&DnsRecord).await);
    }

    #[tokio::test]
    async fn what_the_cluster_says_of_its_load_balancer_will_do() {
        let mut deployment = Deployment::healthy();
        deployment.without("aws/elbv2/describe-load-balancers");
        let says = deployment.report(&DnsRecord).await;
        assert!(says.contains("pass     aws-dns-record"), "{says}");
        deployment.object("Ingress")["status"] = json!({});
        let says = deployment.report(&DnsRecord).await;
        assert!(says.contains("unknown  aws-dns-record"), "{says}");
    }

    #[tokio::test]
    async fn before_there_is_a_load_balancer_the_name_waits() {
        let mut deployment = Deployment::healthy();
        deployment.object("Ingress")["status"] = json!({});
        deployment.file("aws/elbv2/describe-load-balancers")["LoadBalancers"] = json!([]);
        records(&mut deployment).remove(1);
        nowhere(&mut deployment);
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-dns-record
              host kf.example.com has no record in zone example.com, and does not resolve
                answer    NXDOMAIN
                fix       asks again
                          dig +short kf.example.com
              kubectl kfcheck explain aws-dns-record

            FAIL     aws-dns-record
                     The host's name leads to the load balancer
        "#]]
        .assert_eq(&deployment.report(&DnsRecord).await);
    }

    #[tokio::test]
    async fn a_private_zone_is_for_who_is_inside() {
        let mut deployment = Deployment::healthy();
        deployment.file("aws/route53/list-hosted-zones")["HostedZones"][0]["Config"]["PrivateZone"] =
            true.into();
        nowhere(&mut deployment);
        let says = deployment.report(&DnsRecord).await;
        assert!(says.contains("pass     aws-dns-record"), "{says}");
    }
}
