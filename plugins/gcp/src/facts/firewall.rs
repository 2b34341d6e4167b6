use ipnet::IpNet;
use kfcheck::{Cx, Fact, FactError, Place, wire};
use kfcheck_kube::null_is_empty;
use serde::{Deserialize, Serialize};

use super::{Link, OurProject, compute, named};
use crate::client::{Google, convert, fault, unusable};

compute! {
    /// The firewall rules of the projects that the networks are in.
    Firewalls, "firewalls", "firewall-rules" => Firewall, OurProjects, listed Firewalls
}

/// One firewall rule of a network.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Firewall {
    /// Unique in the project.
    pub name: String,
    /// The network it guards.
    pub network: Link,
    /// `INGRESS` or `EGRESS`.
    pub direction: String,
    /// The lowest wins.
    #[serde(deserialize_with = "wire::number", skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// It counts for nothing.
    pub disabled: bool,
    /// What it lets in.
    pub allowed: Vec<Traffic>,
    /// What it keeps out.
    pub denied: Vec<Traffic>,
    /// From where; nothing at all means from anywhere.
    pub source_ranges: Vec<Range>,
    /// From machines with these tags.
    pub source_tags: Vec<String>,
    /// From machines with these service accounts.
    pub source_service_accounts: Vec<String>,
    /// To where, of what goes out; nothing at all means to anywhere.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub destination_ranges: Vec<Range>,
    /// Whether it logs what it decides on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_config: Option<super::LogConfig>,
    /// To machines with these tags.
    pub target_tags: Vec<String>,
    /// To machines with these service accounts.
    pub target_service_accounts: Vec<String>,
}

named!(Firewall);

impl Firewall {
    /// Whether it logs what it decides on.
    pub fn logs(&self) -> bool {
        self.log_config.is_some_and(|config| config.enable)
    }
}

/// A protocol and ports of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    /// By name or number, or `all`.
    #[serde(rename = "IPProtocol")]
    pub protocol: String,
    /// Single ones and ranges; none means all.
    pub ports: Vec<String>,
}

/// A range of addresses; one that can't be read stays as it is and matches nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Range {
    /// A range, or a single address.
    Net(IpNet),
    /// Something else.
    Text(String),
}

impl Range {
    /// The range, if it is one.
    pub fn net(&self) -> Option<IpNet> {
        match self {
            Self::Net(net) => Some(net.trunc()),
            Self::Text(text) => text.parse::<std::net::IpAddr>().ok().map(IpNet::from),
        }
    }
}

/// Everything that guards one network, the organization's and the folders' policies included.
#[derive(Clone, Serialize)]
pub struct EffectiveFirewalls {
    /// The project that the network is in.
    pub project: String,
    /// Its name.
    pub network: String,
}

/// What guards a network, in the order that it is asked in.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Guards {
    /// The rules of the network itself.
    pub firewalls: Vec<Firewall>,
    /// The policies of organization, folders and network.
    pub firewall_policys: Vec<FirewallPolicy>,
}

/// A policy of rules.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FirewallPolicy {
    /// Its number, or its name where that is all it has.
    pub name: String,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The same, in a newer answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short_name: Option<String>,
    /// `HIERARCHY`, `NETWORK`, `NETWORK_REGIONAL`, `SYSTEM_GLOBAL`, `SYSTEM_REGIONAL`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its rules.
    pub rules: Vec<PolicyRule>,
}

impl FirewallPolicy {
    /// What people call it.
    pub fn called(&self) -> &str {
        self.display_name.as_ref().or(self.short_name.as_ref()).unwrap_or(&self.name)
    }
}

/// One rule of a policy.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyRule {
    /// The lowest wins.
    #[serde(deserialize_with = "wire::number", skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// `INGRESS` or `EGRESS`.
    pub direction: String,
    /// `allow`, `deny`, `goto_next`, `apply_security_profile_group`.
    pub action: String,
    /// It counts for nothing.
    pub disabled: bool,
    /// What it is about.
    #[serde(rename = "match")]
    pub matches: PolicyMatch,
    /// To which networks; none: all.
    pub target_resources: Vec<Link>,
    /// To machines with these service accounts.
    pub target_service_accounts: Vec<String>,
    /// To machines with these secure tags, which an instance doesn't show.
    pub target_secure_tags: Vec<SecureTag>,
}

/// A secure tag.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SecureTag {
    /// Its number, as `tagValues/…`.
    pub name: String,
}

/// What a rule of a policy is about.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyMatch {
    /// From where.
    pub src_ip_ranges: Vec<Range>,
    /// To where.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dest_ip_ranges: Vec<Range>,
    /// Which protocols and ports.
    pub layer4_configs: Vec<Layer4>,
    /// By secure tags, names, regions, threat lists or address groups, which aren't modelled.
    #[serde(flatten)]
    pub others: std::collections::BTreeMap<String, serde_json::Value>,
}

/// A protocol and ports of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Layer4 {
    /// By name or number, or `all`.
    pub ip_protocol: String,
    /// Single ones and ranges; none means all.
    pub ports: Vec<String>,
}

impl Fact for EffectiveFirewalls {
    const NAME: &'static str = "gcp.effectiveFirewalls";
    const NEEDS: &'static [&'static str] = &["compute.networks.getEffectiveFirewalls"];
    type Value = Guards;

    fn place(&self) -> Option<Place<Guards>> {
        let Self { project, network } = self;
        let command = format!(
            "gcloud compute networks get-effective-firewalls {network} --project {project} \
             --format=json"
        );
        Some(Place::entry("gcp/compute/effectiveFirewalls", network, command))
    }

    async fn fetch(&self, cx: &Cx) -> Result<Guards, FactError> {
        let own = cx.get(OurProject).await?;
        let own = own.first().map_or("", String::as_str);
        let Self { project, network } = self;
        let google = cx.client::<Google>()?;
        let builder = google_cloud_compute_v1::client::Networks::builder();
        let client = google.set_up("compute", builder).await?.build().await.map_err(unusable)?;
        let request = client.get_effective_firewalls().set_project(project).set_network(network);
        let what = format!("compute.networks.getEffectiveFirewalls {project}/{network}");
        let asked = async {
            let answer = request.send().await;
            answer.map_err(|e| fault(&e, "compute", project, Self::NEEDS[0]))
        };
        let answer = cx.call(what.clone(), asked).await;
        let answer = answer.map_err(|fault| super::say_where(fault.into(), own, project))?;
        Ok(convert(answer, &what)?)
    }
}

compute! {
    /// The networks of the projects.
    Networks, "networks", "networks" => NetworkOrder, OurProjects, listed Networks
}

/// In which order a network's guards are asked.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkOrder {
    /// Its name.
    pub name: String,
    /// Itself.
    pub self_link: Link,
    /// `AFTER_CLASSIC_FIREWALL`, which is the default, or `BEFORE_CLASSIC_FIREWALL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_firewall_policy_enforcement_order: Option<String>,
}
