use kfcheck::{Check, Cx, FactError, Fault, Findings, Resource, Risk, async_trait, check};
use kfcheck_kube::{ContainerLog, DexClient, DexConfig};

use crate::{
    AuthProxies, AuthProxy, Back, Dex, Dexes, Setting,
    auth_proxy::{container, path_of},
    discovery::is_in_cluster,
    environment::kubectl_name,
};

check! {
    /// ## What it checks
    /// That what stands before Kubeflow and sends users to Dex (OIDC AuthService, or oauth2-proxy) is
    /// told the same as Dex: the issuer, letter by letter; a client that Dex has, with its secret; and
    /// an address to come back to that Dex has on that client's list.
    ///
    /// ## Why it matters
    /// With another issuer it refuses every token: "id token issued by a different provider". With a
    /// client or an address that Dex doesn't know, Dex refuses users before they can sign in; with
    /// another secret, after it.
    ///
    /// ## How to fix it
    /// Dex's `issuer` is what is right; give it to the proxy (`OIDC_PROVIDER`, `oidc_issuer_url`) and
    /// start that again. Client and secret are one pair of values in two Secrets.
    pub(crate) struct AuthProxyFitsDex;
    id: "onprem-auth-proxy",
    title: "The auth proxy and Dex are told the same",
}

#[async_trait]
impl Check for AuthProxyFitsDex {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let proxies = cx.get(AuthProxies).await?;
        let dexes = cx.get(Dexes).await?;
        if dexes.is_empty() {
            for proxy in proxies.iter().filter(|proxy| proxy.asked != Some(false)) {
                let issuer = proxy.issuer().map(|issuer| issuer.value.as_str());
                // Another provider is somebody's own choice.
                let Some(issuer) = issuer.filter(|issuer| is_dexs(issuer)) else { continue };
                let says = format!("no Dex was found where {issuer} leads");
                out.known::<()>(&proxy.workload, Err(Fault::Unreachable(says).into()));
            }
        }
        if proxies.is_empty() || dexes.is_empty() {
            out.skip("no auth proxy here sends users to a Dex");
            return Ok(());
        }
        for proxy in proxies.iter().filter(|proxy| proxy.asked != Some(false)) {
            if let Some(other) = fits_instead(proxy, &proxies, &dexes) {
                judge_beside(proxy, other, &dexes, out);
                continue;
            }
            if let Some((at, entry, line)) = &proxy.broken {
                let finding = out.fail(at, "is not TOML, and oauth2-proxy does not start with it");
                finding.evidence("entry", entry).evidence("breaks at", format!("line {line}"));
                let edit = format!("kubectl edit {} && {}", kubectl_name(at), restart(proxy));
                finding.fix(Risk::Restarts, "lets you mend it, and starts the proxy again", edit);
                continue;
            }
            let Some(issuer) = proxy.issuer() else {
                let missing = unseen(proxy, "oidc_issuer_url", "which issuer it is told");
                out.known::<()>(&proxy.workload, Err(missing));
                continue;
            };
            let Some(dex) = dexes.iter().find(|dex| is_meant(&issuer.value, dex)) else { continue };
            let Some((_, config)) = out.known(&proxy.workload, dex.readable()) else { continue };
            judge(cx, proxy, issuer, dex, config, out).await;
        }
        Ok(())
    }
}

/// The proxy that fits Dex, where it can't be told whether this one is asked at all.
fn fits_instead<'a>(
    proxy: &AuthProxy,
    all: &'a [AuthProxy],
    dexes: &[Dex],
) -> Option<&'a AuthProxy> {
    let mut others = all.iter().filter(|other| other.kind != proxy.kind);
    others.find(|other| proxy.asked.is_none() && fits(other, dexes) == Some(true))
}

/// Says of a proxy beside one that fits no more than that it may be left over.
fn judge_beside(proxy: &AuthProxy, other: &AuthProxy, dexes: &[Dex], out: &mut Findings) {
    match fits(proxy, dexes) {
        Some(true) => out.ok(&proxy.workload),
        Some(false) => {
            let finding = out.warn(&proxy.workload, "does not fit Dex, and may be left over");
            finding.evidence("fits", &other.workload);
        }
        None => {
            let says = "whether it fits Dex, and whether the gateway asks it, was not seen";
            out.known::<()>(&proxy.workload, Err(Fault::Unreachable(says.to_owned()).into()));
        }
    }
}

/// Whether a proxy and Dex are told the same, as far as that can be told.
fn fits(proxy: &AuthProxy, dexes: &[Dex]) -> Option<bool> {
    if proxy.broken.is_some() {
        return Some(false);
    }
    let issuer = &proxy.issuer()?.value;
    let dex = dexes.iter().find(|dex| is_meant(issuer, dex))?;
    let (_, config) = dex.readable().ok()?;
    let lenient = proxy.is_on("insecure_oidc_skip_issuer_verification");
    if !lenient && config.issuer.as_ref() != Some(issuer) {
        return Some(false);
    }
    let told = &proxy.client()?.value;
    let ids = config.static_clients.iter().map(|client| (client, dex.id_of(client).ok().flatten()));
    let ids: Vec<_> = ids.collect();
    let Some((client, _)) = ids.iter().find(|(_, id)| id.as_ref() == Some(told)) else {
        return ids.iter().all(|(_, id)| id.is_some()).then_some(false);
    };
    let secret = examine_secret(proxy, dex, client).ok()?.is_none();
    let (_, back) = back_of(proxy, client)?;
    Some(secret && back)
}

/// Whether an issuer is Dex, by whatever name: another provider is somebody's own choice.
pub(crate) fn is_meant(url: &str, dex: &Dex) -> bool {
    let right = dex.readable().ok().and_then(|(_, config)| config.issuer.as_deref());
    let host =
        |url: &str| url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    let labels = host(url).unwrap_or_default();
    let mut labels = labels.split('.');
    let by_service = labels.next() == Some("dex") || labels.any(|label| *label == dex.namespace);
    let same_host = right.is_some_and(|right| host(right).is_some() && host(right) == host(url));
    path_of(url).trim_end_matches('/').ends_with("/dex")
        || same_host
        || by_service && is_in_cluster(url)
        || labels_dex(url)
}

/// Whether an issuer is a Dex in the cluster, as its name says.
fn is_dexs(url: &str) -> bool {
    is_in_cluster(url) && (path_of(url).trim_end_matches('/').ends_with("/dex") || labels_dex(url))
}

/// Whether the host is named after Dex.
fn labels_dex(url: &str) -> bool {
    let host = url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    host.is_some_and(|host| host.split(['.', '-']).any(|part| part == "dex"))
}

async fn judge(
    cx: &Cx,
    proxy: &AuthProxy,
    issuer: &Setting,
    dex: &Dex,
    config: &DexConfig,
    out: &mut Findings,
) {
    let mut is_right = true;
    let lenient = proxy.is_on("insecure_oidc_skip_issuer_verification");
    if let Some(right) = config.issuer.as_deref().filter(|right| *right != issuer.value && !lenient)
    {
        is_right = false;
        let finding = out.fail(&issuer.at, "names another issuer than Dex has");
        finding.evidence("told", format!("{}: {}", issuer.name, issuer.value));
        finding.evidence("Dex is", right);
        if let Some(line) = refusal(cx, proxy).await {
            finding.evidence("log", line);
        }
        finding.fix(
            Risk::Restarts,
            "names Dex's issuer, and starts the proxy again",
            set(issuer, right, proxy),
        );
    }
    let Some(told) = proxy.client() else {
        let missing = unseen(proxy, "client_id", "as which client it comes");
        out.known::<()>(&proxy.workload, Err(missing));
        return;
    };
    let Some(client) = examine_client(dex, config, told, out) else { return };
    let secret = examine_secret(proxy, dex, client);
    let secret = out.known(&proxy.workload, secret).map(|wrong| say_secret(wrong, client, out));
    let back = examine_back(proxy, dex, told, client, out);
    if is_right && secret == Some(true) && back {
        out.ok(&issuer.at);
        if told.at != issuer.at {
            out.ok(&told.at);
        }
    }
}

/// The client that a proxy comes as, if Dex has it.
fn examine_client<'a>(
    dex: &Dex,
    config: &'a DexConfig,
    told: &Setting,
    out: &mut Findings,
) -> Option<&'a DexClient> {
    let mut ids = Vec::new();
    let mut unknown = None;
    for client in &config.static_clients {
        match dex.id_of(client) {
            Ok(Some(id)) if id == told.value => return Some(client),
            Ok(Some(id)) => ids.push(id),
            Ok(None) => {
                let says = format!("the id of Dex's client {} could not be seen", client.name);
                unknown = Some(Fault::Unreachable(says).into());
            }
            Err(error) => unknown = Some(error),
        }
    }
    if let Some(error) = unknown {
        out.known::<()>(&told.at, Err(error));
    } else if ids.is_empty() {
        let says = "Dex has its clients elsewhere than in its configuration".to_owned();
        out.known::<()>(&told.at, Err(Fault::Unreachable(says).into()));
    } else {
        let finding = out.fail(&told.at, "names a client that Dex doesn't have");
        finding.evidence("told", format!("{}: {}", told.name, told.value));
        finding.evidence("Dex has", ids.join(", "));
        let show = format!("kubectl get {} -o yaml", kubectl_name(&told.at));
        finding.fix(Risk::None, "shows what the proxy is told", show);
    }
    None
}

/// Why something that a proxy is told isn't known.
fn unseen(proxy: &AuthProxy, name: &str, what: &str) -> FactError {
    let missing = proxy.unclear(name).or(proxy.missing.as_ref()).cloned();
    missing.unwrap_or_else(|| Fault::Unreachable(format!("{what} could not be seen")).into())
}

/// Two client secrets that have to be one, and where they stand.
struct Secrets<'a> {
    own_at: &'a Resource,
    right_at: Resource,
    differs_by_space: bool,
}

/// The secrets of a proxy and of Dex where they differ; an error says why that isn't known.
fn examine_secret<'a>(
    proxy: &'a AuthProxy,
    dex: &Dex,
    client: &DexClient,
) -> Result<Option<Secrets<'a>>, FactError> {
    if client.public {
        return Ok(None);
    }
    let unknown = |what: &str, missing: Option<&FactError>| {
        let says = || Fault::Unreachable(format!("{what} could not be seen")).into();
        missing.cloned().unwrap_or_else(says)
    };
    let (own, own_at) = proxy
        .secret()
        .ok_or_else(|| unknown("the client secret of the proxy", proxy.missing.as_ref()))?;
    let (right, right_at) = dex
        .secret_of(client)
        .ok_or_else(|| unknown("the client secret that Dex expects", dex.environment.missing()))?;
    match own.is_same(right) {
        Some(true) => Ok(None),
        Some(false) => {
            let differs_by_space = own.differs_by_space(right);
            Ok(Some(Secrets { own_at, right_at, differs_by_space }))
        }
        None => {
            let says = format!("the secret in {own_at} or {right_at} was taken out");
            Err(Fault::Unreachable(says).into())
        }
    }
}

/// Whether the secrets are one.
fn say_secret(wrong: Option<Secrets<'_>>, client: &DexClient, out: &mut Findings) -> bool {
    let Some(Secrets { own_at, right_at, differs_by_space }) = wrong else { return true };
    let finding = out.fail(own_at, "has another client secret than Dex");
    finding.evidence("client", &client.name);
    finding.evidence("Dex has", format!("the one in {right_at}"));
    if differs_by_space {
        finding.evidence("differs", "by white space at its end");
    }
    let show = |object: &Resource| format!("kubectl get {} -o yaml", kubectl_name(object));
    finding.fix(
        Risk::None,
        "shows both, of which one has to be put into the other's place",
        format!("{} && {}", show(own_at), show(&right_at)),
    );
    false
}

fn examine_back(
    proxy: &AuthProxy,
    dex: &Dex,
    told: &Setting,
    client: &DexClient,
    out: &mut Findings,
) -> bool {
    let listed = &client.redirect_uris;
    let Some((back, is_there)) = back_of(proxy, client) else {
        let missing = unseen(proxy, "redirect_url", "where it has users come back to");
        out.known::<()>(&proxy.workload, Err(missing));
        return false;
    };
    // One that is public and lists none may come back to its own machine, which this isn't.
    if is_there {
        return true;
    }
    let setting = proxy.told("redirect_url");
    let at = setting.map_or(&told.at, |setting| &setting.at);
    let finding =
        out.fail(at, "has users come back to an address that Dex doesn't have on its list");
    finding.evidence(
        "told",
        match setting {
            Some(setting) => format!("{}: {}", setting.name, setting.value),
            None => format!("nothing, which is {back}"),
        },
    );
    let list = if listed.is_empty() { "none".to_owned() } else { listed.join(", ") };
    finding.evidence("Dex has", list);
    if let Ok((dex_told, _)) = dex.readable() {
        finding.fix(
            Risk::Restarts,
            &format!(
                "lets you add {back} to redirectURIs of {}, and starts Dex again",
                client.name
            ),
            dex.edit(dex_told),
        );
    }
    false
}

/// Where a proxy has users come back to, and whether that is on the client's list.
fn back_of(proxy: &AuthProxy, client: &DexClient) -> Option<(String, bool)> {
    let listed = &client.redirect_uris;
    match proxy.sends_back_to() {
        Back::Exactly(uri) => Some((uri.clone(), listed.contains(&uri))),
        Back::SomeHost(path) => {
            let is = |uri: &String| uri.contains("://") && path_of(uri) == path;
            Some((format!("https://HOST{path}"), listed.iter().any(is)))
        }
        Back::Unknown => None,
    }
}

/// What the proxy last said about tokens that it refuses.
async fn refusal(cx: &Cx, proxy: &AuthProxy) -> Option<String> {
    let says = ["issued by a different provider", "issuer did not match", "id token issued by"];
    for pod in &proxy.pods {
        let (_, container) = container(pod)?;
        let log = ContainerLog {
            namespace: pod.metadata.namespace().to_owned(),
            pod: pod.metadata.name.clone(),
            container: container.name.clone(),
        };
        let Ok(lines) = cx.get(log).await else { continue };
        let mut lines = lines.lines().rev();
        let line = lines.find(|line| says.iter().any(|words| line.contains(words)));
        if let Some(line) = line {
            return Some(line.trim().to_owned());
        }
    }
    None
}

/// The commands that change a setting and start the proxy again.
fn set(setting: &Setting, value: &str, proxy: &AuthProxy) -> String {
    let Setting { name, at, .. } = setting;
    let restart = restart(proxy);
    let is_variable =
        name.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit());
    match (at.kind, is_variable) {
        ("ConfigMap", true) => format!(
            "kubectl patch {} --type merge -p '{{\"data\":{{\"{name}\":\"{value}\"}}}}' && {restart}",
            kubectl_name(at)
        ),
        ("StatefulSet" | "Deployment", true) => format!(
            "kubectl set env {}/{} -n {} {name}={value}",
            at.kind.to_lowercase(),
            at.name,
            at.namespace.as_deref().unwrap_or_default()
        ),
        _ => format!("kubectl edit {} && {restart}", kubectl_name(at)),
    }
}

fn restart(proxy: &AuthProxy) -> String {
    let Resource { kind, name, namespace, .. } = &proxy.workload;
    let namespace = namespace.as_deref().unwrap_or_default();
    format!("kubectl rollout restart {}/{name} -n {namespace}", kind.to_lowercase())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::AuthProxyFitsDex;
    use crate::testing::Deployment;

    async fn report(deployment: &Deployment) -> String {
        let says = deployment.report(&AuthProxyFitsDex).await;
        assert!(!says.contains("hunter"), "{says}");
        says
    }

    #[tokio::test]
    async fn a_proxy_that_is_told_what_dex_is_told_passes() {
        expect![[r#"
            10.64.140.43: nothing broken found. 0 root causes, 0 symptoms; 1 check passed, 0
            not seen.

            pass     onprem-auth-proxy
                     The auth proxy and Dex are told the same
        "#]]
        .assert_eq(&report(&Deployment::signing_in()).await);
    }

    #[tokio::test]
    async fn another_issuer_than_dexs_is_said_where_it_stands() {
        let mut deployment = Deployment::signing_in();
        deployment.told("http://dex.auth.svc.cluster.local:5556/dex", "https://kf.example.com/dex");
        let log = "[oauthproxy.go] Error: oidc: id token issued by a different provider\n";
        let name = "oauth2-proxy/oauth2-proxy-7d9f-x1/oauth2-proxy".to_owned();
        deployment.logs.push((name, log.to_owned()));
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-auth-proxy
              ConfigMap oauth2-proxy/oauth2-proxy names another issuer than Dex has
                told      oidc_issuer_url: http://dex.auth.svc.cluster.local:5556/dex
                Dex is    https://kf.example.com/dex
                log       [oauthproxy.go] Error: oidc: id token issued by a different
                          provider
                fix       names Dex's issuer, and starts the proxy again
                          kubectl edit configmap \
                            -n oauth2-proxy oauth2-proxy && kubectl rollout restart deployment/oauth2-proxy \
                            -n oauth2-proxy
              kubectl kfcheck explain onprem-auth-proxy

            FAIL     onprem-auth-proxy
                     The auth proxy and Dex are told the same
        "#]].assert_eq(&report(&deployment).await);
    }

    #[tokio::test]
    async fn a_slash_at_the_end_is_another_issuer() {
        let mut deployment = Deployment::signing_in();
        deployment.proxy_told(":5556/dex\"\nup", ":5556/dex/\"\nup");
        assert!(report(&deployment).await.contains("names another issuer than Dex has"));
        deployment
            .proxy_told("upstreams", "insecure_oidc_skip_issuer_verification = true\nupstreams");
        assert!(!report(&deployment).await.contains("names another issuer"));
    }

    #[tokio::test]
    async fn a_client_that_dex_does_not_have_is_said() {
        let mut deployment = Deployment::signing_in();
        let secret = deployment.in_namespace("Secret", "oauth2-proxy", "oauth2-proxy");
        secret["stringData"]["client-id"] = "kubeflow".into();
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-auth-proxy
              Secret oauth2-proxy/oauth2-proxy names a client that Dex doesn't have
                told      OAUTH2_PROXY_CLIENT_ID: kubeflow
                Dex has   kubeflow-oidc-authservice
                fix       shows what the proxy is told
                          kubectl get secret -n oauth2-proxy oauth2-proxy -o yaml
              kubectl kfcheck explain onprem-auth-proxy

            FAIL     onprem-auth-proxy
                     The auth proxy and Dex are told the same
        "#]]
        .assert_eq(&report(&deployment).await);
    }

    #[tokio::test]
    async fn two_secrets_that_differ_are_said_and_not_shown() {
        let mut deployment = Deployment::signing_in();
        let secret = deployment.in_namespace("Secret", "oauth2-proxy", "oauth2-proxy");
        secret["stringData"]["client-secret"] = "hunter9".into();
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-auth-proxy
              Secret oauth2-proxy/oauth2-proxy has another client secret than Dex
                client    Kubeflow
                Dex has   the one in Secret auth/dex-oidc-client
                fix       shows both, of which one has to be put into the other's place
                          kubectl get secret -n oauth2-proxy oauth2-proxy \
                            -o yaml && kubectl get secret -n auth dex-oidc-client -o yaml
              kubectl kfcheck explain onprem-auth-proxy

            FAIL     onprem-auth-proxy
                     The auth proxy and Dex are told the same
        "#]]
        .assert_eq(&report(&deployment).await);
        let secret = deployment.in_namespace("Secret", "oauth2-proxy", "oauth2-proxy");
        secret["stringData"]["client-secret"] = "redacted".into();
        let says = report(&deployment).await;
        assert!(says.contains("unknown  onprem-auth-proxy"), "{says}");
        assert!(!says.contains("FAIL"), "{says}");
    }

    #[tokio::test]
    async fn a_secret_that_was_not_seen_is_no_pass() {
        let mut deployment = Deployment::signing_in();
        deployment.proxy_told("upstreams", "client_id = \"kubeflow-oidc-authservice\"\nupstreams");
        let pod = deployment.in_namespace("Pod", "oauth2-proxy", "oauth2-proxy-7d9f-x1");
        pod["spec"]["containers"][0]["env"].as_array_mut().unwrap().remove(0);
        assert!(report(&deployment).await.contains("pass     "));
        let is = |object: &serde_json::Value| {
            object["kind"] == "Secret" && object["metadata"]["namespace"] == "oauth2-proxy"
        };
        let mut without = deployment.clone();
        without.objects.retain(|object| !is(object));
        assert!(report(&without).await.contains("unknown  onprem-auth-proxy"));
        // Its name doesn't say that it is one.
        let secret = deployment.in_namespace("Secret", "oauth2-proxy", "oauth2-proxy");
        secret["stringData"] = json!({ "oidcpass": "hunter9" });
        let pod = deployment.in_namespace("Pod", "oauth2-proxy", "oauth2-proxy-7d9f-x1");
        pod["spec"]["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"]["key"] =
            "oidcpass".into();
        assert!(report(&deployment).await.contains("unknown  onprem-auth-proxy"));
    }

    #[tokio::test]
    async fn a_line_feed_at_the_end_makes_another_secret() {
        let mut deployment = Deployment::signing_in();
        let secret = deployment.in_namespace("Secret", "oauth2-proxy", "oauth2-proxy");
        secret["stringData"]["client-secret"] = "hunter3\n".into();
        let says = report(&deployment).await;
        assert!(says.contains("has another client secret than Dex"), "{says}");
        assert!(says.contains("differs   by white space at its end"), "{says}");
    }

    #[tokio::test]
    async fn an_address_with_a_host_is_used_as_it_is() {
        let mut deployment = Deployment::signing_in();
        deployment.told("/oauth2/callback", "https://kf.example.com/oauth2/callback");
        deployment.proxy_told("/oauth2/callback", "https://kf.example.com/oauth2/callback");
        assert!(report(&deployment).await.contains("pass     "), "though it is to be relative");
        deployment.proxy_told("relative_redirect_url = true\n", "");
        assert!(report(&deployment).await.contains("pass     "));
        // Without a path it gets oauth2-proxy's own.
        deployment.proxy_told("https://kf.example.com/oauth2/callback", "https://kf.example.com");
        assert!(report(&deployment).await.contains("pass     "));
        deployment.proxy_told("https://kf.example.com", "https://kf.example.com/");
        assert!(report(&deployment).await.contains("FAIL"));
    }

    #[tokio::test]
    async fn of_several_files_the_one_counts_that_its_pods_have() {
        let mut deployment = Deployment::signing_in();
        let mut old = deployment.in_namespace("ConfigMap", "oauth2-proxy", "oauth2-proxy").clone();
        old["metadata"]["name"] = "oauth2-proxy-6t4m9k8f5c".into();
        let text = old["data"]["oauth2_proxy.cfg"].as_str().unwrap();
        let text =
            text.replace("http://dex.auth.svc.cluster.local:5556", "https://old.example.com");
        old["data"]["oauth2_proxy.cfg"] = text.into();
        deployment.objects.insert(0, old);
        let says = report(&deployment).await;
        assert!(says.contains("unknown  onprem-auth-proxy"), "{says}");
        let pod = deployment.in_namespace("Pod", "oauth2-proxy", "oauth2-proxy-7d9f-x1");
        pod["spec"]["volumes"] =
            json!([{ "name": "config", "configMap": { "name": "oauth2-proxy" } }]);
        assert!(report(&deployment).await.contains("pass     "));
    }

    #[tokio::test]
    async fn a_variable_in_a_flag_is_put_in_or_not_known() {
        let mut deployment = Deployment::signing_in();
        let issuer = "http://dex.auth.svc.cluster.local:5556/dex";
        let told = |deployment: &mut Deployment, flag: &str| {
            let pod = deployment.in_namespace("Pod", "oauth2-proxy", "oauth2-proxy-7d9f-x1");
            pod["spec"]["containers"][0]["args"] = json!([flag]);
        };
        told(&mut deployment, "--client-id=$(OAUTH2_PROXY_CLIENT_ID)");
        assert!(report(&deployment).await.contains("pass     "));
        let pod = deployment.in_namespace("Pod", "oauth2-proxy", "oauth2-proxy-7d9f-x1");
        let env = pod["spec"]["containers"][0]["env"].as_array_mut().unwrap();
        env.push(json!({ "name": "ISSUER", "value": issuer }));
        for flag in ["--oidc-issuer-url=$(ISSUER)", "--redirect-url=$(ISSUER)"] {
            told(&mut deployment, flag);
            let says = report(&deployment).await;
            assert!(says.contains("unknown  onprem-auth-proxy"), "{says}");
            assert!(!says.contains("FAIL"), "{says}");
        }
    }

    #[tokio::test]
    async fn an_address_to_come_back_to_is_compared_letter_by_letter() {
        let mut deployment = Deployment::signing_in();
        deployment.told("/oauth2/callback", "/login/oidc");
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-auth-proxy
              ConfigMap oauth2-proxy/oauth2-proxy has users come back to an address that Dex
                doesn't have on its list
                told      redirect_url: /oauth2/callback
                Dex has   /login/oidc
                fix       lets you add /oauth2/callback to redirectURIs of Kubeflow, and
                          starts Dex again
                          kubectl edit configmap \
                            -n auth dex && kubectl rollout restart deployment/dex -n auth
              kubectl kfcheck explain onprem-auth-proxy

            FAIL     onprem-auth-proxy
                     The auth proxy and Dex are told the same
        "#]]
        .assert_eq(&report(&deployment).await);
        let mut deployment = Deployment::signing_in();
        deployment.told("/oauth2/callback", "https://kf.example.com/oauth2/callback");
        assert!(report(&deployment).await.contains("FAIL"));
        deployment.proxy_told("relative_redirect_url = true\n", "");
        assert!(report(&deployment).await.contains("pass     "));
    }

    #[tokio::test]
    async fn authservice_is_told_by_variables() {
        let mut deployment = Deployment::signing_in();
        deployment.objects.retain(|object| object["metadata"]["namespace"] != "oauth2-proxy");
        deployment.add(json!({ "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "namespace": "istio-system", "name": "oidc-authservice-parameters" },
            "data": { "OIDC_PROVIDER": "https://kf.example.com/dex", "REDIRECT_URL": "/oauth2/callback" } }));
        deployment.add(json!({ "apiVersion": "v1", "kind": "Secret",
            "metadata": { "namespace": "istio-system", "name": "oidc-authservice-client" },
            "stringData": { "CLIENT_ID": "kubeflow-oidc-authservice", "CLIENT_SECRET": "hunter3" } }));
        deployment.add(json!({ "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": "istio-system", "name": "authservice-0",
                "ownerReferences": [{ "kind": "StatefulSet", "name": "authservice" }] },
            "spec": { "containers": [{ "name": "authservice",
                "image": "gcr.io/arrikto/kubeflow/oidc-authservice:28c59ef", "envFrom": [
                    { "configMapRef": { "name": "oidc-authservice-parameters" } },
                    { "secretRef": { "name": "oidc-authservice-client" } }] }] } }));
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-auth-proxy
              ConfigMap istio-system/oidc-authservice-parameters names another issuer than
                Dex has
                told      OIDC_PROVIDER: https://kf.example.com/dex
                Dex is    http://dex.auth.svc.cluster.local:5556/dex
                fix       names Dex's issuer, and starts the proxy again
                          kubectl patch configmap \
                            -n istio-system oidc-authservice-parameters --type merge \
                            -p '{"data":{"OIDC_PROVIDER":"http://dex.auth.svc.cluster.local:5556/dex"}}' && kubectl rollout restart statefulset/authservice \
                            -n istio-system
              kubectl kfcheck explain onprem-auth-proxy

            FAIL     onprem-auth-proxy
                     The auth proxy and Dex are told the same
        "#]].assert_eq(&report(&deployment).await);
    }

    #[tokio::test]
    async fn a_proxy_that_nobody_asks_is_left_over() {
        let mut deployment = Deployment::signing_in();
        deployment.add(json!({ "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "namespace": "istio-system", "name": "oidc-authservice-parameters" },
            "data": { "OIDC_PROVIDER": "https://old.example.com/dex", "REDIRECT_URL": "/login/oidc" } }));
        deployment.add(json!({ "apiVersion": "v1", "kind": "Pod",
            "metadata": { "namespace": "istio-system", "name": "authservice-0" },
            "spec": { "containers": [{ "name": "authservice", "image": "oidc-authservice:28c59ef",
                "envFrom": [{ "configMapRef": { "name": "oidc-authservice-parameters" } }] }] } }));
        let says = report(&deployment).await;
        assert!(says.contains("does not fit Dex, and may be left over"), "{says}");
        assert!(!says.contains("FAIL"), "{says}");
        *deployment.file("kubernetes/envoyfilters.networking.istio.io") = json!({ "items": [] });
        deployment.add(json!({ "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
            "metadata": { "namespace": "istio-system", "name": "istio-ingressgateway-oauth2-proxy" },
            "spec": { "action": "CUSTOM", "provider": { "name": "oauth2-proxy" } } }));
        let says = report(&deployment).await;
        assert!(says.contains("pass     onprem-auth-proxy"), "{says}");
        // Where it is asked, it is to fit.
        deployment.without("kubernetes/envoyfilters.networking.istio.io");
        deployment.add(json!({ "apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter",
            "metadata": { "namespace": "istio-system", "name": "authn-filter" },
            "spec": { "configPatches": [{ "patch": { "value": {
                "server_uri": { "uri": "http://authservice.istio-system.svc.cluster.local" } } } }] } }));
        let says = report(&deployment).await;
        assert!(says.contains("FAIL     onprem-auth-proxy"), "{says}");
    }

    #[tokio::test]
    async fn dex_is_looked_for_where_the_proxy_asks_it() {
        let mut deployment = Deployment::signing_in();
        deployment.told("http://dex.auth.svc", "http://dex.identity.svc");
        deployment.proxy_told("http://dex.auth.svc", "http://dex.identity.svc");
        for object in &mut deployment.objects {
            if object["metadata"]["namespace"] == "auth" {
                object["metadata"]["namespace"] = "identity".into();
            }
        }
        let says = report(&deployment).await;
        assert!(says.contains("pass     onprem-auth-proxy"), "{says}");
        deployment.objects.retain(|object| object["metadata"]["namespace"] != "identity");
        for kind in ["configmaps", "secrets"] {
            *deployment.file(&format!("kubernetes/identity/{kind}")) = json!({ "items": [] });
        }
        let says = report(&deployment).await;
        assert!(says.contains("unknown  onprem-auth-proxy"), "{says}");
    }

    #[tokio::test]
    async fn another_provider_than_dex_is_ones_own_choice() {
        let mut deployment = Deployment::signing_in();
        deployment
            .proxy_told("http://dex.auth.svc.cluster.local:5556/dex", "https://login.example.com");
        let says = report(&deployment).await;
        assert!(!says.contains("FAIL"), "{says}");
    }

    #[tokio::test]
    async fn a_file_that_is_no_toml_is_said_with_its_line() {
        let mut deployment = Deployment::signing_in();
        deployment.proxy_told("\"oidc\"", "oidc");
        let says = report(&deployment).await;
        assert!(says.contains("is not TOML"), "{says}");
    }
}
