//! Route 53.

use aws_sdk_route53::{Client, types};
use kfcheck::{Cx, Fact, FactError, Fault, Place};
use serde::Serialize;

use super::{
    fact,
    shape::{Keep, shape},
};
use crate::client::{Aws, asked};

shape! {
    /// A zone.
    pub struct HostedZone of types::HostedZone in "PascalCase" {
        id: String,
        name: String,
        config: Option<ZoneConfig>,
        resource_record_set_count: Option<i64>,
    }

    /// Whether it is for everybody.
    pub struct ZoneConfig of types::HostedZoneConfig in "PascalCase" {
        private_zone: bool,
    }

    /// What a name leads to.
    pub struct RecordSet of types::ResourceRecordSet in "PascalCase" {
        name: String,
        r#type: String,
        resource_records: Vec<Record>,
        alias_target: Option<AliasTarget>,
    }

    /// One value.
    pub struct Record of types::ResourceRecord in "PascalCase" {
        value: String,
    }

    /// A name of AWS's.
    pub struct AliasTarget of types::AliasTarget in "PascalCase" {
        hosted_zone_id: String,
        dns_name as "DNSName": String,
    }

    /// What a zone holds.
    pub struct Records in "PascalCase" {
        resource_record_sets: Vec<RecordSet>,
    }
}

impl Keep<String> for types::RrType {
    fn keep(self) -> String {
        self.as_str().to_owned()
    }
}

fact! {
    /// The account's zones.
    HostedZones, "hostedZones", "route53:ListHostedZones" => Vec<HostedZone>,
    Place::listed("aws/route53/list-hosted-zones", "HostedZones", [],
        "aws route53 list-hosted-zones"),
    |cx, aws| {
        let client = Client::new(aws.config(cx).await);
        let pages = client.list_hosted_zones().into_paginator().items().send();
        let what = "route53 list-hosted-zones".to_owned();
        let all = asked(cx, what, Self::NEEDS[0], pages.collect::<Result<Vec<_>, _>>()).await?;
        Ok(all.keep())
    }
}

impl HostedZone {
    /// Its id without the path that the API puts before it.
    pub fn short_id(&self) -> &str {
        self.id.rsplit('/').next().unwrap_or(&self.id)
    }

    /// Its name without the dot at its end.
    pub fn domain(&self) -> &str {
        self.name.trim_end_matches('.')
    }

    /// Whether it is for some networks only.
    pub fn is_private(&self) -> bool {
        self.config.as_ref().is_some_and(|config| config.private_zone)
    }

    /// Whether a name is in it.
    pub fn holds(&self, host: &str) -> bool {
        host == self.domain() || host.strip_suffix(self.domain()).is_some_and(|h| h.ends_with('.'))
    }
}

impl RecordSet {
    /// Its name, as people write it.
    pub fn host(&self) -> String {
        self.name.trim_end_matches('.').replace("\\052", "*").to_lowercase()
    }

    /// The name that it leads to, where it leads to a name.
    pub fn leads_to(&self) -> Option<String> {
        let alias = self.alias_target.as_ref().map(|alias| alias.dns_name.as_str());
        let name = match self.r#type.as_str() {
            "CNAME" => self.resource_records.first().map(|record| record.value.as_str()),
            _ => None,
        };
        alias.or(name).map(lean)
    }
}

/// How many names are followed from one to the next.
const CHAIN: usize = 5;

impl Records {
    /// What answers a question for the addresses of a name: its own records, or those of the pattern
    /// that it falls under (RFC 4592, section 3.3).
    pub fn on(&self, host: &str) -> Vec<&RecordSet> {
        let at = |name: &str| {
            let sets = self.resource_record_sets.iter();
            sets.filter(|set| set.host() == name).collect::<Vec<_>>()
        };
        let mut found = at(host);
        let mut name = host;
        while found.is_empty()
            && let Some((_, above)) = name.split_once('.')
        {
            found = at(&format!("*.{above}"));
            let inside = format!(".{above}");
            let known = |set: &RecordSet| set.host() == above || set.host().ends_with(&inside);
            if self.resource_record_sets.iter().any(known) {
                break;
            }
            name = above;
        }
        found.retain(|set| ["A", "AAAA", "CNAME"].contains(&&*set.r#type));
        found
    }

    /// The names and addresses that a name leads to in the end, as far as the zone says.
    pub fn ends(&self, host: &str) -> Vec<String> {
        let mut ends = Vec::new();
        let mut names = vec![host.to_owned()];
        for _ in 0..CHAIN {
            let mut next = Vec::new();
            for name in names {
                let sets = self.on(&name);
                if sets.is_empty() && name != host {
                    ends.push(name);
                }
                for set in sets {
                    let values = set.resource_records.iter().map(|record| record.value.clone());
                    match set.leads_to() {
                        Some(to) => next.push(to),
                        None => ends.extend(values),
                    }
                }
            }
            names = next;
        }
        ends.sort();
        ends.dedup();
        ends
    }

    /// Whether other name servers than the zone's are asked for a name below it.
    pub fn delegates(&self, zone: &HostedZone, host: &str) -> bool {
        self.resource_record_sets.iter().any(|set| {
            let name = set.host();
            let is_below = host == name || host.ends_with(&format!(".{name}"));
            set.r#type == "NS" && name != zone.domain().to_lowercase() && is_below
        })
    }
}

/// A name of a load balancer's, without what aliases add to it.
pub(crate) fn lean(name: &str) -> String {
    let name = name.trim_end_matches('.').to_lowercase();
    name.strip_prefix("dualstack.").map(str::to_owned).unwrap_or(name)
}

/// The change that has a name lead to a name of AWS's, as the AWS CLI takes it.
pub(crate) fn upsert_alias(name: &str, zone: &str, target: &str) -> serde_json::Value {
    serde_json::json!({ "Changes": [{ "Action": "UPSERT", "ResourceRecordSet": {
        "Name": name, "Type": "A", "AliasTarget": {
            "HostedZoneId": zone, "DNSName": target, "EvaluateTargetHealth": false } } }] })
}

/// What a zone holds: all of it, or, where it is large, what it has on the names that matter.
#[derive(Clone, Debug, Serialize)]
pub struct RecordSets {
    /// Its id, without a path.
    pub zone: String,
    /// The names, where the whole would be too much.
    pub names: Vec<String>,
}

impl Fact for RecordSets {
    const NAME: &'static str = "aws.recordSets";
    const NEEDS: &'static [&'static str] = &["route53:ListResourceRecordSets"];
    const TIMEOUT: std::time::Duration = super::TIMEOUT;
    type Value = Records;

    fn place(&self) -> Option<Place<Records>> {
        let zone = &self.zone;
        let command = format!("aws route53 list-resource-record-sets --hosted-zone-id {zone}");
        Some(Place::entry("aws/route53/list-resource-record-sets", zone, command))
    }

    async fn fetch(&self, cx: &Cx) -> Result<Records, FactError> {
        cx.get(super::AccountReady).await?;
        let aws = cx.client::<Aws>()?;
        let client = Client::new(aws.config(cx).await);
        if self.names.is_empty() {
            return self.all(cx, &client).await;
        }
        let asked = self.names.iter().map(async |name| {
            let call = client.list_resource_record_sets().hosted_zone_id(&self.zone);
            let call = call.start_record_name(name).max_items(OF_ONE_NAME).send();
            let what = format!("route53 list-resource-record-sets {} {name}", self.zone);
            let answer = asked(cx, what, Self::NEEDS[0], call).await?;
            let all: Vec<RecordSet> = answer.resource_record_sets.keep();
            let is_it = |set: &RecordSet| set.host() == *name;
            Ok::<_, FactError>(all.into_iter().filter(is_it).collect::<Vec<_>>())
        });
        let all = futures::future::try_join_all(asked).await?;
        Ok(Records { resource_record_sets: all.into_iter().flatten().collect() })
    }
}

/// More types than a name has records of that matter.
const OF_ONE_NAME: i32 = 20;
/// More pages than a zone has that is read as a whole.
const PAGES: usize = 10;

impl RecordSets {
    async fn all(&self, cx: &Cx, client: &Client) -> Result<Records, FactError> {
        let mut all = Vec::new();
        let (mut name, mut kind, mut identifier) = (None, None, None);
        for page in 1..=PAGES {
            let call = client.list_resource_record_sets().hosted_zone_id(&self.zone);
            let call = call.set_start_record_name(name).set_start_record_type(kind);
            let call = call.set_start_record_identifier(identifier).send();
            let what = format!("route53 list-resource-record-sets {} page {page}", self.zone);
            let answer = asked(cx, what, Self::NEEDS[0], call).await?;
            all.extend(answer.resource_record_sets);
            if !answer.is_truncated {
                return Ok(Records { resource_record_sets: all.keep() });
            }
            name = answer.next_record_name;
            kind = answer.next_record_type;
            identifier = answer.next_record_identifier;
        }
        let says = format!("zone {} has more than {PAGES} pages of records", self.zone);
        Err(Fault::Unreachable(says).into())
    }
}
