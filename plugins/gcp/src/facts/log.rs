use std::net::IpAddr;

use google_cloud_gax::options::RequestOptionsBuilder;
use jiff::{Timestamp, ToSpan};
use kfcheck::{Cx, Fact, FactError, Now, Place, wire};
use serde::{Deserialize, Serialize};

use super::OurProject;
use crate::client::{Google, convert, fault, unusable};

/// The logs read.
const LOGS: &str = "log_id(\"compute.googleapis.com/healthchecks\") OR \
                    log_id(\"compute.googleapis.com/firewall\")";
/// No more entries are read: the newest come first, and reading costs a quota that is small.
const MOST: i32 = 1000;

/// What the project's load balancers and firewalls have logged lately.
#[derive(Clone, Serialize)]
pub struct LogEntries;

/// One log entry.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogEntry {
    /// Which log.
    pub log_name: String,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp>,
    /// What.
    pub json_payload: Payload,
}

/// What is logged.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Payload {
    /// The result of a health check's probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check_probe_result: Option<ProbeResult>,
    /// A connection that a firewall rule has decided on (VPC documentation, "Firewall Rules Logging
    /// log format"), which spells its fields in another way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<Connection>,
    /// `ALLOWED` or `DENIED`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disposition: Option<String>,
    /// The rule.
    #[serde(rename = "rule_details", skip_serializing_if = "Option::is_none")]
    pub rule_details: Option<RuleDetails>,
}

/// A connection that a firewall rule has decided on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Connection {
    /// From where.
    pub src_ip: String,
    /// To where.
    pub dest_ip: String,
    /// To which port.
    #[serde(deserialize_with = "wire::number", skip_serializing_if = "Option::is_none")]
    pub dest_port: Option<u16>,
    /// By number: 6 is TCP.
    #[serde(deserialize_with = "wire::number", skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u8>,
}

/// The rule that has decided.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleDetails {
    /// `network:NETWORK/firewall:NAME`.
    pub reference: String,
    /// Its priority.
    #[serde(deserialize_with = "wire::number", skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
}

/// A connection that was denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// From where.
    pub from: IpAddr,
    /// To where.
    pub to: IpAddr,
    /// `tcp`, `udp`, …
    pub protocol: String,
    /// To which port.
    pub port: Option<u16>,
    /// By which rule.
    pub rule: String,
}

/// The result of a health check's probe (Load Balancing documentation, "Health check logging").
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProbeResult {
    /// `HEALTHY`, `UNHEALTHY`.
    pub health_state: String,
    /// The endpoint.
    pub ip_address: String,
    /// The address asked.
    pub target_ip: String,
    /// The port asked.
    #[serde(deserialize_with = "wire::number", skip_serializing_if = "Option::is_none")]
    pub target_port: Option<u16>,
    /// What was asked for.
    pub probe_request: String,
    /// What came back, in words.
    pub probe_result_text: String,
}

impl ProbeResult {
    /// The status that came back, as far as the text has one: `HTTP response: 204, Error: …`.
    pub fn status(&self) -> Option<u16> {
        let rest = self.probe_result_text.split("HTTP response:").nth(1)?;
        let digits = |c: char| c.is_ascii_digit();
        let text: String = rest
            .chars()
            .skip_while(|c| !digits(*c) && *c != ',')
            .take_while(|c| digits(*c))
            .collect();
        text.parse().ok()
    }
}

impl LogEntry {
    /// The connection that was denied, where the entry is about one.
    pub fn denied(&self) -> Option<Denied> {
        let Payload { connection, disposition, rule_details, .. } = &self.json_payload;
        let connection = connection.as_ref()?;
        let protocol = match connection.protocol? {
            1 => "icmp".to_owned(),
            6 => "tcp".to_owned(),
            17 => "udp".to_owned(),
            other => format!("protocol {other}"),
        };
        let rule = rule_details.as_ref().map(|rule| {
            let name = rule.reference.rsplit(':').next().unwrap_or_default();
            let priority = rule.priority.map(|p| format!(" (priority {p})")).unwrap_or_default();
            format!("{name}{priority}")
        });
        (disposition.as_deref() == Some("DENIED")).then_some(Denied {
            from: connection.src_ip.parse().ok()?,
            to: connection.dest_ip.parse().ok()?,
            protocol,
            port: connection.dest_port,
            rule: rule.unwrap_or_else(|| "a rule that isn't named".to_owned()),
        })
    }

    /// The latest probe result of every endpoint that `about` is true for.
    pub fn probes(all: &[Self], about: impl Fn(&ProbeResult) -> bool) -> Vec<&ProbeResult> {
        let probe = |entry: &'_ Self| entry.json_payload.health_check_probe_result.is_some();
        let mut entries: Vec<_> = all.iter().filter(|entry| probe(entry)).collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.timestamp));
        let mut seen = std::collections::BTreeSet::new();
        let results =
            entries.into_iter().filter_map(|e| e.json_payload.health_check_probe_result.as_ref());
        results
            .filter(|result| about(result) && seen.insert((&result.ip_address, result.target_port)))
            .collect()
    }
}

impl Fact for LogEntries {
    const NAME: &'static str = "gcp.logEntries";
    const NEEDS: &'static [&'static str] = &["logging.logEntries.list"];
    type Value = Vec<LogEntry>;

    fn place(&self) -> Option<Place<Vec<LogEntry>>> {
        let command = format!("gcloud logging read '{LOGS}' --freshness=1h --format=json");
        Some(Place::file("gcp/logging/entries", command))
    }

    async fn fetch(&self, cx: &Cx) -> Result<Vec<LogEntry>, FactError> {
        let projects = cx.get(OurProject).await?;
        let project = projects.first().cloned().unwrap_or_default();
        let since = cx.get(Now).await?.checked_sub(1.hour()).unwrap_or(Timestamp::UNIX_EPOCH);
        let google = cx.client::<Google>()?;
        let builder = google_cloud_logging_v2::client::LoggingServiceV2::builder();
        let client = google.set_up("logging", builder).await?.build().await.map_err(unusable)?;
        let request = client
            .list_log_entries()
            .set_resource_names([format!("projects/{project}")])
            .set_filter(format!("timestamp>=\"{since}\" AND ({LOGS})"))
            .set_order_by("timestamp desc")
            .set_page_size(MOST)
            .with_idempotency(true);
        let what = format!("logging.entries.list {project}");
        let asked = async {
            let answer = request.send().await;
            answer.map_err(|e| fault(&e, "logging", &project, Self::NEEDS[0]))
        };
        let answer = cx.call(what.clone(), asked).await?;
        let entries = answer.entries.into_iter().map(|entry| convert(entry, &what));
        Ok(entries.collect::<Result<_, _>>()?)
    }
}
