//! A configuration as it is written. What it means is in `docs/configuration.md` and in the JSON
//! Schema, which say the same.

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::values::{
    Address, Day, Name, Number, Object, Placed, Range, Schema, Server, Text, Time,
};
use crate::args::FailOn;

/// Days or minutes.
type Some16 = Option<Number<0, 10_000>>;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct File {
    schema: Option<Schema>,
    pub(crate) scope: Deployment,
    pub(crate) checks: Checks,
    pub(crate) fail_on: Option<FailOn>,
    pub(crate) timeout: Option<Time>,
    pub(crate) thresholds: Limits,
    pub(crate) names: Names,
    pub(crate) probes: Probes,
    pub(crate) suppressions: Vec<Rule>,
}

/// Which deployment it is, as a configuration says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Deployment {
    pub(crate) context: Option<Text>,
    pub(crate) host: Option<Spanned<Text>>,
    pub(crate) ingress: Option<Spanned<Object>>,
    pub(crate) gateway: Option<Spanned<Object>>,
    pub(crate) service: Option<Spanned<Object>>,
    pub(crate) namespace: Option<Name>,
    pub(crate) gcp: GoogleScope,
    pub(crate) aws: AmazonScope,
    pub(crate) onprem: OnpremScope,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct GoogleScope {
    pub(crate) project: Option<Text>,
    pub(crate) location: Option<Text>,
    pub(crate) cluster: Option<Text>,
    pub(crate) network_project: Option<Text>,
    pub(crate) config_connector_context: Option<Text>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AmazonScope {
    pub(crate) profile: Option<Text>,
    pub(crate) region: Option<Text>,
    pub(crate) cluster: Option<Text>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct OnpremScope {
    pub(crate) address: Option<Address>,
    pub(crate) arp_interface: Option<Text>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Checks {
    pub(crate) only: Vec<Spanned<String>>,
    pub(crate) skip: Vec<Spanned<String>>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Limits {
    pub(crate) certificate_days: Some16,
    pub(crate) quota_percent: Option<Number<1, 100>>,
    pub(crate) pod_minutes: Some16,
    pub(crate) model_minutes: Some16,
    pub(crate) load_balancer_minutes: Some16,
    pub(crate) stack_days: Some16,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Names {
    pub(crate) gateway: GatewayNames,
    pub(crate) dex: Vec<Name>,
    pub(crate) auth_proxy: Vec<Name>,
    pub(crate) metallb: Option<Name>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct GatewayNames {
    pub(crate) namespaces: Vec<Name>,
    pub(crate) services: Vec<Name>,
    pub(crate) istio: Option<Placed>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Probes {
    pub(crate) dns_server: Option<Server>,
    pub(crate) google_ranges: Vec<Range>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Rule {
    pub(crate) check: Spanned<String>,
    pub(crate) resource: Spanned<String>,
    pub(crate) reason: Text,
    pub(crate) expires: Day,
}
