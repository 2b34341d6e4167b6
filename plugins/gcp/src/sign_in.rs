//! Whether Identity-Aware Proxy is what users sign in with here.

use kfcheck::{Cx, Fact, FactError};
use kfcheck_kube::{FrontServices, Policy, RequestAuthentication, Service, find, within};
use serde::Serialize;

use crate::{
    BackendConfig, BackendConfigNames, BackendPolicy, entrances::is_behind_gateways,
    policies::policies_for,
};

/// Who writes the tokens of Identity-Aware Proxy.
const ISSUER: &str = "https://cloud.google.com/iap";

/// What in the cluster counts on Identity-Aware Proxy, in words; none: nothing does, and users may
/// sign in by other means.
#[derive(Clone, Serialize)]
pub(crate) struct IapExpected {
    pub(crate) namespace: String,
    pub(crate) service: String,
}

impl IapExpected {
    pub(crate) fn of(service: &Service) -> Self {
        let namespace = service.metadata.namespace().to_owned();
        Self { namespace, service: service.metadata.name.clone() }
    }
}

impl Fact for IapExpected {
    const NAME: &'static str = "gcp.iapExpected";
    type Value = Option<String>;

    async fn fetch(&self, cx: &Cx) -> Result<Option<String>, FactError> {
        let Some(service) = find::<Service>(cx, &self.namespace, &self.service).await? else {
            return Ok(None);
        };
        for policy in policies_for::<BackendPolicy>(cx, &service).await? {
            if policy.iap().is_some() {
                let because = format!("GCPBackendPolicy {} asks for it", policy.metadata.name);
                return Ok(Some(because));
            }
        }
        let by_gateway = is_behind_gateways(cx, &service).await?;
        let names = BackendConfigNames::of(&service).and_then(Result::ok).unwrap_or_default();
        if !by_gateway && names.all().next().is_some() {
            for config in cx.get(within::<BackendConfig>(&self.namespace)).await?.iter() {
                let on = config.spec.iap.as_ref().is_some_and(|iap| iap.enabled);
                if on && names.all().any(|name| name == config.metadata.name) {
                    return Ok(Some(format!("BackendConfig {} asks for it", config.metadata.name)));
                }
            }
        }
        // Kubeflow's first proxy does nothing but check these tokens.
        if service.spec.selector.get("service").map(String::as_str) == Some("envoy") {
            return Ok(Some(format!(
                "the proxy behind Service {} checks its tokens",
                self.service
            )));
        }
        // A cluster has one of the two kinds, or neither.
        let policies = cx.get(within::<Policy>(&self.namespace)).await;
        let old = policies
            .iter()
            .flat_map(|all| all.iter())
            .find(|policy| policy.spec.origins.iter().any(|origin| origin.jwt.issuer == ISSUER));
        let rules = cx.get(within::<RequestAuthentication>(&self.namespace)).await;
        let new = rules
            .iter()
            .flat_map(|all| all.iter())
            .find(|rule| rule.spec.jwt_rules.iter().any(|rule| rule.issuer == ISSUER));
        let old = old.map(|policy| format!("Policy {} asks for its tokens", policy.metadata.name));
        let new = new.map(|rule| {
            format!("RequestAuthentication {} asks for its tokens", rule.metadata.name)
        });
        Ok(old.or(new))
    }
}

/// Whether anything at the entrance counts on Identity-Aware Proxy.
pub(crate) async fn is_expected(cx: &Cx) -> Result<bool, FactError> {
    for service in cx.get(FrontServices).await?.iter() {
        if cx.get(IapExpected::of(service)).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
