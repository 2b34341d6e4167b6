use kfcheck::{Check, Cx, FactError, Fault, Findings, Named, Resource, Risk, async_trait, check};
use kfcheck_kube::DexConfig;

use crate::{
    Dex, Dexes, Doors, Told,
    discovery::{Published, ask, at_service, is_in_cluster, of_issuer},
};

check! {
    /// ## What it checks
    /// What Dex publishes at `/.well-known/openid-configuration`: that it answers, that it says it is
    /// who its configuration says, and, where Dex has a name of its own, that the certificate there is
    /// one that clients trust.
    ///
    /// ## Why it matters
    /// Everybody who takes Dex's tokens (the auth proxy, Istio's RequestAuthentication, the API server)
    /// compares the issuer letter by letter and fetches Dex's keys by this document.
    ///
    /// ## How to fix it
    /// Let `issuer` be the address at which Dex is reached, path included, and give the same to everybody
    /// who takes its tokens. A certificate of one's own authority has to be given to them as well.
    pub(crate) struct DexIssuer;
    id: "onprem-dex-issuer",
    title: "Dex publishes itself as who it is",
}

#[async_trait]
impl Check for DexIssuer {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let dexes = cx.get(Dexes).await?;
        if dexes.is_empty() {
            out.skip("there is no Dex here");
        }
        for dex in dexes.iter() {
            let Some((told, config)) = out.known(dex.workload(), dex.readable()) else { continue };
            // That there is none is found elsewhere.
            let Some(issuer) = &config.issuer else { continue };
            let seen = published(cx, dex, config, issuer).await;
            let Some(seen) = out.known(service_of(dex), seen) else { continue };
            judge(dex, told, issuer, &seen, out);
        }
        Ok(())
    }
}

/// What Dex answers with: at its Service, or else at its own name. A host that leads to the whole
/// deployment is looked at by others.
async fn published(
    cx: &Cx,
    dex: &Dex,
    config: &DexConfig,
    issuer: &str,
) -> Result<Published, FactError> {
    let doors = cx.get(Doors).await;
    let hosts = doors.iter().flat_map(|all| all.iter()).map(|door| door.host.clone());
    let named = url::Url::parse(issuer).ok().and_then(|url| url.host_str().map(str::to_owned));
    let is_own = !is_in_cluster(issuer) && !hosts.into_iter().any(|host| Some(host) == named);
    let inside = match at_service(dex, config) {
        Some(url) => ask(cx, url).await,
        None => Err(Fault::Unreachable("Dex has no Service".to_owned()).into()),
    };
    match inside {
        Ok(inside) if inside.document().is_none() || !is_own => Ok(inside),
        inside => {
            if is_in_cluster(issuer) {
                return inside;
            }
            let outside = ask(cx, of_issuer(issuer)).await;
            outside.or(inside)
        }
    }
}

fn service_of(dex: &Dex) -> Resource {
    dex.services.first().map_or_else(|| dex.workload(), |service| service.resource())
}

fn judge(dex: &Dex, told: &Told, issuer: &str, seen: &Published, out: &mut Findings) {
    let (answer, subject) = (&seen.answer, service_of(dex));
    let untrusted = answer.tls.as_ref().filter(|tls| tls.verified == Some(false));
    if let Some(tls) = untrusted {
        let finding = out.warn(told, "names an issuer whose certificate is not trusted everywhere");
        finding.evidence("address", &seen.url);
        if let Some(error) = &tls.error {
            finding.evidence("because", error);
        }
        finding.fix(Risk::None, "shows the certificate", format!("curl -sv '{}'", seen.url));
        return;
    }
    if let Some(document) = seen.document() {
        if document.issuer == issuer {
            out.ok(&subject);
            return;
        }
        let finding =
            out.fail(dex.workload(), "publishes another issuer than its configuration has");
        // Why it does so, somebody else may know.
        finding.hearsay();
        finding.evidence("publishes", document.issuer).evidence("is told", issuer);
        finding.fix(Risk::Restarts, "starts it again, with what is there", dex.restart());
        return;
    }
    let message = match (answer.status, &answer.error) {
        (Some(404), _) => "has nothing where its issuer leads".to_owned(),
        // A sign-in that stands before it says nothing of Dex.
        (Some(300..=399 | 401 | 403), _) => {
            let says = format!("{} leads to a sign-in before it comes to Dex", seen.url);
            out.known::<()>(&subject, Err(Fault::Unreachable(says).into()));
            return;
        }
        (Some(200), _) => "publishes nothing that is an OpenID configuration".to_owned(),
        (Some(status), _) => format!("answers {status} to whoever asks who it is"),
        (None, _) => "does not answer to whoever asks who it is".to_owned(),
    };
    let finding = out.symptom(&subject, message);
    finding.evidence("address", &seen.url);
    if let Some(error) = &answer.error {
        finding.evidence("because", error);
    }
    let (kind, name) = (dex.workload().kind.to_lowercase(), dex.workload().name);
    let show = format!("kubectl logs -n {} {kind}/{name} --tail=50", dex.namespace);
    finding.fix(Risk::None, "shows what Dex says", show);
}
