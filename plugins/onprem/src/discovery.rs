//! What Dex publishes of itself.

use kfcheck::{Cx, FactError, Fault};
use kfcheck_kube::{DexConfig, Service};
use kfcheck_probe::{HttpAnswer, HttpProbe};
use serde::Deserialize;
use url::Url;

use crate::{Dex, auth_proxy::path_of};

/// Where providers publish it (OpenID Connect Discovery 1.0, section 4).
const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// What a provider publishes of itself.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Discovery {
    /// Who it is.
    pub(crate) issuer: String,
}

/// An answer to whoever asks for it.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    /// Where it was asked for.
    pub(crate) url: String,
    /// What came of it.
    pub(crate) answer: HttpAnswer,
}

impl Published {
    /// The document, if there is one.
    pub(crate) fn document(&self) -> Option<Discovery> {
        let body = self.answer.body_snippet.as_deref()?;
        if self.answer.status != Some(200) {
            return None;
        }
        let whole = serde_json::from_str(body).ok();
        whole.or_else(|| issuer_in(body).map(|issuer| Discovery { issuer }))
    }
}

/// The issuer in the beginning of a document of which no more was kept.
fn issuer_in(body: &str) -> Option<String> {
    let after = body.split_once("\"issuer\"")?.1.trim_start().strip_prefix(':')?;
    let text = after.trim_start().strip_prefix('"')?;
    Some(text.split('"').next()?.to_owned())
}

/// Where an issuer publishes it.
pub(crate) fn of_issuer(issuer: &str) -> String {
    format!("{}{WELL_KNOWN}", issuer.trim_end_matches('/'))
}

/// Where Dex's Service answers for it, in the cluster.
pub(crate) fn at_service(dex: &Dex, config: &DexConfig) -> Option<String> {
    let issuer = config.issuer.as_deref()?;
    if is_in_cluster(issuer) {
        return Some(of_issuer(issuer));
    }
    let service: &Service = dex.services.first()?;
    let scheme = if config.web.http.is_none() { "https" } else { "http" };
    let ports = &service.spec.ports;
    let port = ports.iter().find(|port| port.port == 5556).or(ports.first())?.port;
    let (name, namespace) = (&service.metadata.name, &dex.namespace);
    let path = path_of(issuer).trim_end_matches('/');
    Some(format!("{scheme}://{name}.{namespace}.svc.cluster.local:{port}{path}{WELL_KNOWN}"))
}

/// Whether an address is one that only the cluster knows.
pub(crate) fn is_in_cluster(url: &str) -> bool {
    let host = Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    let host = host.unwrap_or_default();
    let is_address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    !is_address && (!host.contains('.') || host.ends_with(".svc") || host.contains(".svc."))
}

/// What is answered to whoever asks for it there.
pub(crate) async fn ask(cx: &Cx, url: String) -> Result<Published, FactError> {
    let answers = cx.get(HttpProbe { url: url.clone() }).await?;
    // Who asked from a pod, because only pods can, asked as Dex's clients do.
    let answer = HttpAnswer::anonymous(&answers).or(answers.first()).cloned();
    let nobody = || FactError::from(Fault::Unreachable(format!("nobody asked {url}")));
    let answer = answer.ok_or_else(nobody)?;
    if answer.status.is_none() && is_in_cluster(&url) {
        let error = answer.error.unwrap_or_default();
        let says = format!("{url} is reached from within the cluster only: {error}");
        return Err(Fault::Unreachable(says).into());
    }
    Ok(Published { url, answer })
}
