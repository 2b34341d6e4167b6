use std::collections::BTreeMap;

use kfcheck::{Check, Cx, FactError, Findings, Named, Resource, Risk, async_trait, check};
use kfcheck_probe::{DnsAnswer, DnsProbe};

use crate::{
    AuthenticateCognito, CognitoSignIns, UserPoolDomain, UserPoolDomains, UserPools,
    facts::{lean, region_in, resource},
    hosts::zone_of,
};

check! {
    /// ## What it checks
    /// That the domain of the sign-in page exists, is active and belongs to the user pool, and, where
    /// it is one of your own, that its name leads to Cognito's distribution and that its certificate is
    /// in us-east-1.
    ///
    /// ## Why it matters
    /// It is where browsers are sent to. While it doesn't resolve, or is another pool's, nobody signs in.
    ///
    /// ## How to fix it
    /// A domain of your own needs an A record on the domain above it, of whatever value, before Cognito
    /// makes it, and a certificate in us-east-1; then an alias record that leads to the distribution that
    /// Cognito names. A domain that Cognito hosts needs nothing but to be made.
    pub(crate) struct CognitoDomain;
    id: "aws-cognito-domain",
    title: "The domain of the sign-in page is active and leads to Cognito",
}

/// The zone of every name of CloudFront's (Route 53 API reference, "AliasTarget").
const CLOUDFRONT_ZONE: &str = "Z2FDTNDATAQYW2";

#[async_trait]
impl Check for CognitoDomain {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let sign_ins = cx.get(CognitoSignIns).await?;
        if sign_ins.is_empty() {
            out.skip("the load balancer signs nobody in with Cognito");
        }
        let domains: BTreeMap<_, _> = sign_ins.iter().map(|s| (s.domain(), s)).collect();
        for (domain, sign_in) in domains {
            let subject = resource("UserPoolDomain", domain);
            let asked =
                UserPoolDomains { region: sign_in.region().to_owned(), domain: domain.to_owned() };
            let found = cx.get(asked).await;
            let Some(found) = out.known(&subject, found) else { continue };
            match found.first() {
                None => absent(cx, &subject, sign_in, out).await,
                Some(found) => examine(cx, found, sign_in, out).await,
            }
        }
        Ok(())
    }
}

async fn absent(cx: &Cx, subject: &Resource, sign_in: &AuthenticateCognito, out: &mut Findings) {
    let (pool, region, domain) = (sign_in.pool(), sign_in.region(), sign_in.domain());
    let above = parent_without_address(cx, domain).await;
    let finding = out.fail(subject, "does not exist");
    finding.evidence("user pool", pool);
    if let Some(above) = above {
        finding.evidence("needs first", format!("an A record on {above}, of whatever value"));
    }
    let what = format!("--domain {domain} --user-pool-id {pool} --region {region}");
    let pools = cx.get(UserPools { id: pool.to_owned() }).await;
    let has = pools.iter().flat_map(|pools| pools.iter());
    let has = has.flat_map(|pool| [&pool.custom_domain, &pool.domain]);
    let has: Vec<_> = has.filter(|has| !has.is_empty() && *has != domain).cloned().collect();
    if !has.is_empty() {
        // A pool has one domain of each kind, so that another can't simply be made.
        finding.evidence("its pool has", has.join(", "));
        let show =
            format!("aws cognito-idp describe-user-pool --user-pool-id {pool} --region {region}");
        finding.fix(Risk::None, "shows which domain the pool has", show);
    } else if domain.contains('.') {
        finding.fix(
            Risk::None,
            "shows which certificates there are for it; with one of them it can be made",
            "aws acm list-certificates --region us-east-1",
        );
    } else {
        let command = format!("aws cognito-idp create-user-pool-domain {what}");
        finding.fix(Risk::None, "makes it", command);
    }
}

async fn examine(
    cx: &Cx,
    found: &UserPoolDomain,
    sign_in: &AuthenticateCognito,
    out: &mut Findings,
) {
    let subject = found.resource();
    let show = format!(
        "aws cognito-idp describe-user-pool-domain --domain {} --region {}",
        found.domain,
        sign_in.region()
    );
    if !found.user_pool_id.is_empty() && found.user_pool_id != sign_in.pool() {
        out.fail(&subject, format!("belongs to user pool {}", found.user_pool_id))
            .evidence("should be", sign_in.pool())
            .fix(Risk::None, "shows whose it is", show);
        return;
    }
    let above = parent_without_address(cx, &found.domain).await;
    // One that is being changed goes on as it was.
    if !["", "ACTIVE", "UPDATING"].contains(&&*found.status) {
        let finding = out.fail(&subject, format!("is {}, not ACTIVE", found.status));
        if let Some(above) = above {
            finding.evidence("needs first", format!("an A record on {above}, of whatever value"));
        }
        finding.fix(Risk::None, "shows how it goes", show);
        return;
    }
    if !found.domain.contains('.') {
        out.ok(&subject);
        return;
    }
    let certificate = found.custom_domain_config.as_ref().map(|own| own.certificate_arn.as_str());
    let certificate = certificate.unwrap_or_default();
    // Other partitions have other regions for it.
    if certificate.starts_with("arn:aws:acm:") && region_in(certificate) != "us-east-1" {
        out.fail(&subject, format!("has a certificate of {}", region_in(certificate)))
            .evidence("certificate", certificate)
            .evidence("should be", "one of us-east-1")
            .fix(
                Risk::None,
                "shows which certificates there are",
                "aws acm list-certificates --region us-east-1",
            );
        return;
    }
    let name = judge_name(cx, found, &subject, out).await;
    let Some(is_right) = out.known(&subject, name) else { return };
    if let Some(above) = above.filter(|_| is_right) {
        out.warn(&subject, format!("works, and can't be made anew: {above} has no A record"));
    } else if is_right {
        out.ok(&subject);
    }
}

/// Whether a domain's name leads to its distribution, or to nothing else that is known to be wrong.
async fn judge_name(
    cx: &Cx,
    found: &UserPoolDomain,
    subject: &Resource,
    out: &mut Findings,
) -> Result<bool, FactError> {
    let name = found.domain.to_lowercase();
    let right = lean(&found.cloud_front_distribution);
    // A zone that may not be looked into leaves what name servers say.
    let zone = zone_of(cx, &name).await.unwrap_or_default();
    let recorded = zone.iter().flat_map(|(_, records)| records.ends(&name));
    let answers = cx.get(DnsProbe { name: name.clone() }).await;
    let aliases = answers.iter().flat_map(|answers| DnsAnswer::aliases(answers));
    let ends: Vec<_> = recorded.chain(aliases.map(lean)).collect();
    if !right.is_empty() && ends.contains(&right) {
        let resolves = answers.as_ref().is_ok_and(|a| !DnsAnswer::addresses(a).is_empty());
        if resolves || !is_absent(&answers) {
            return Ok(true);
        }
    }
    let fix = || match &zone {
        Some((zone, records)) if !right.is_empty() && records.on(&name).len() < 2 => Some(format!(
            "aws route53 change-resource-record-sets --hosted-zone-id {} --change-batch '{}'",
            zone.short_id(),
            crate::facts::upsert_alias(&name, CLOUDFRONT_ZONE, &right),
        )),
        _ => None,
    };
    let other = ends.iter().find(|end| end.ends_with(".cloudfront.net") || is_balancer(end));
    if let Some(other) = other.filter(|_| !right.is_empty() && !ends.contains(&right)) {
        let finding = out.fail(subject, format!("has its name lead to {other}, not to Cognito"));
        finding.serving().evidence("should be", &right);
        if let Some(command) = fix() {
            finding.fix(Risk::Deletes, "leads the name to Cognito instead", command);
        }
        return Ok(false);
    }
    // With no zone below it, nobody else has the record.
    let has_none = zone.as_ref().is_some_and(|(zone, records)| {
        records.on(&name).is_empty() && !records.delegates(zone, &name)
    });
    let unknown = answers.as_ref().map_or(true, |answers| DnsAnswer::is_undecided(answers));
    if is_absent(&answers) || (has_none && unknown) {
        let finding =
            out.fail(subject, "has no record that leads to it: its name does not resolve");
        finding.serving();
        if let Ok(answers) = &answers {
            finding.evidence("answer", DnsAnswer::errors(answers).join(", "));
        }
        if !right.is_empty() {
            finding.evidence("should be", &right);
        }
        match fix() {
            Some(command) => finding.fix(Risk::None, "leads the name to Cognito", command),
            None => finding.fix(Risk::None, "asks again", format!("dig +short {name}")),
        };
        return Ok(false);
    }
    let answers = answers?;
    if DnsAnswer::is_undecided(&answers) {
        let says = format!("{name}: {}", DnsAnswer::errors(&answers).join(", "));
        return Err(kfcheck::Fault::Unreachable(says).into());
    }
    Ok(true)
}

/// Whether name servers say that there is no such name.
fn is_absent(answers: &Result<std::sync::Arc<Vec<DnsAnswer>>, FactError>) -> bool {
    answers.as_ref().is_ok_and(|answers| {
        DnsAnswer::addresses(answers).is_empty()
            && !DnsAnswer::errors(answers).is_empty()
            && !DnsAnswer::is_undecided(answers)
    })
}

fn is_balancer(name: &str) -> bool {
    name.contains(".elb.") && name.contains(".amazonaws.com")
}

/// The domain above one's own, if it is known to have no address, which Cognito asks for.
async fn parent_without_address(cx: &Cx, domain: &str) -> Option<String> {
    // The one that Cognito hosts has none.
    let (_, above) = domain.split_once('.').filter(|(_, above)| above.contains('.'))?;
    if let Ok(Some((zone, records))) = zone_of(cx, above).await
        && !records.delegates(&zone, above)
    {
        return records.on(above).is_empty().then(|| above.to_owned());
    }
    let answers = cx.get(DnsProbe { name: above.to_owned() }).await.ok()?;
    let none = !DnsAnswer::is_undecided(&answers) && DnsAnswer::addresses(&answers).is_empty();
    none.then(|| above.to_owned())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::CognitoDomain;
    use crate::testing::Deployment;

    async fn with(changes: Value) -> String {
        let mut deployment = Deployment::healthy();
        let domains = deployment.file("aws/cognito-idp/describe-user-pool-domain");
        let domain = domains["DomainDescriptions"][0].as_object_mut().unwrap();
        domain.extend(changes.as_object().unwrap().clone());
        deployment.report(&CognitoDomain).await
    }

    fn records(deployment: &mut Deployment) -> &mut Vec<Value> {
        deployment.file("aws/route53/list-resource-record-sets")["Z1"]["ResourceRecordSets"]
            .as_array_mut()
            .unwrap()
    }

    #[tokio::test]
    async fn an_active_domain_that_leads_to_its_distribution_passes() {
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     aws-cognito-domain
                     The domain of the sign-in page is active and leads to Cognito
        "#]]
        .assert_eq(&with(json!({})).await);
    }

    #[tokio::test]
    async fn a_domain_is_active_and_of_the_right_pool() {
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-cognito-domain
              user pool domain auth.example.com is CREATING, not ACTIVE
                fix       shows how it goes
                          aws cognito-idp describe-user-pool-domain \
                            --domain auth.example.com --region us-west-2
              kubectl kfcheck explain aws-cognito-domain

            FAIL     aws-cognito-domain
                     The domain of the sign-in page is active and leads to Cognito
        "#]]
        .assert_eq(&with(json!({ "Status": "CREATING" })).await);
        let says = with(json!({ "UserPoolId": "us-west-2_other" })).await;
        assert!(says.contains("belongs to user pool us-west-2_other"), "{says}");
        let certificate = "arn:aws:acm:us-west-2:111122223333:certificate/sign-in";
        let says = with(json!({ "CustomDomainConfig": { "CertificateArn": certificate } })).await;
        assert!(says.contains("has a certificate of us-west-2"), "{says}");
    }

    #[tokio::test]
    async fn the_domain_above_needs_an_address_before_cognito_makes_one() {
        let mut deployment = Deployment::healthy();
        deployment.file("aws/cognito-idp/describe-user-pool-domain")["DomainDescriptions"] =
            json!([]);
        records(&mut deployment).remove(0);
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-cognito-domain
              user pool domain auth.example.com does not exist
                user pool us-west-2_pool
                needs first
                          an A record on example.com, of whatever value
                fix       shows which certificates there are for it; with one of them it can
                          be made
                          aws acm list-certificates --region us-east-1
              kubectl kfcheck explain aws-cognito-domain

            FAIL     aws-cognito-domain
                     The domain of the sign-in page is active and leads to Cognito
        "#]]
        .assert_eq(&deployment.report(&CognitoDomain).await);
    }

    #[tokio::test]
    async fn the_pool_may_have_another_domain() {
        let mut deployment = Deployment::healthy();
        deployment.file("aws/cognito-idp/describe-user-pool-domain")["DomainDescriptions"] =
            json!([]);
        deployment.file("aws/cognito-idp/describe-user-pool")["UserPools"][0]["CustomDomain"] =
            "login.example.com".into();
        let says = deployment.report(&CognitoDomain).await;
        assert!(says.contains("its pool has") && says.contains("login.example.com"), "{says}");
    }

    #[tokio::test]
    async fn a_name_without_record_leads_nowhere() {
        let mut deployment = Deployment::healthy();
        records(&mut deployment).remove(2);
        deployment.file("probes/dns")[2] =
            json!({ "name": "auth.example.com", "type": "A", "error": "NXDOMAIN" });
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-cognito-domain
              user pool domain auth.example.com has no record that leads to it: its name
                does not resolve
                answer    NXDOMAIN
                should be d111111abcdef8.cloudfront.net
                fix       leads the name to Cognito
                          aws route53 change-resource-record-sets --hosted-zone-id Z1 \
                            --change-batch '{"Changes":[{"Action":"UPSERT","ResourceRecordSet":{"AliasTarget":{"DNSName":"d111111abcdef8.cloudfront.net","EvaluateTargetHealth":false,"HostedZoneId":"Z2FDTNDATAQYW2"},"Name":"auth.example.com","Type":"A"}}]}'
              kubectl kfcheck explain aws-cognito-domain

            FAIL     aws-cognito-domain
                     The domain of the sign-in page is active and leads to Cognito
        "#]].assert_eq(&deployment.report(&CognitoDomain).await);
    }

    #[tokio::test]
    async fn a_name_may_lead_to_another_distribution() {
        let mut deployment = Deployment::healthy();
        records(&mut deployment)[2]["AliasTarget"]["DNSName"] = "dother.cloudfront.net.".into();
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-cognito-domain
              user pool domain auth.example.com has its name lead to dother.cloudfront.net,
                not to Cognito
                should be d111111abcdef8.cloudfront.net
                fix       leads the name to Cognito instead
                          aws route53 change-resource-record-sets --hosted-zone-id Z1 \
                            --change-batch '{"Changes":[{"Action":"UPSERT","ResourceRecordSet":{"AliasTarget":{"DNSName":"d111111abcdef8.cloudfront.net","EvaluateTargetHealth":false,"HostedZoneId":"Z2FDTNDATAQYW2"},"Name":"auth.example.com","Type":"A"}}]}'
              kubectl kfcheck explain aws-cognito-domain

            FAIL     aws-cognito-domain
                     The domain of the sign-in page is active and leads to Cognito
        "#]].assert_eq(&deployment.report(&CognitoDomain).await);
    }

    #[tokio::test]
    async fn a_name_that_nobody_asked_for_is_unknown_where_the_zone_is_elsewhere() {
        let mut deployment = Deployment::healthy();
        deployment.file("aws/route53/list-hosted-zones")["HostedZones"] = json!([]);
        let says = deployment.report(&CognitoDomain).await;
        assert!(says.contains("pass     aws-cognito-domain"), "{says}");
        deployment.without("probes/dns");
        let says = deployment.report(&CognitoDomain).await;
        assert!(says.contains("NOT SEEN") && says.contains("dig auth.example.com"), "{says}");
    }
}
