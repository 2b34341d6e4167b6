use ipnet::IpNet;
use kfcheck::{Check, Cx, FactError, Fault, Findings, Resource, Risk, async_trait, check};
use kfcheck_kube::{CollectionErrors, Node, Recorded, all, resource};

use crate::{AuthorizedNetworks, CallerAddress, Cluster, OurCluster, Scope};

check! {
    /// ## What it checks
    /// Where the API server does not answer from here: whether it is set up to answer from here at
    /// all. It may have no public address, or answer authorized networks only.
    ///
    /// ## Why it matters
    /// To everybody else the API server is silent: it refuses nothing, calls run into their time
    /// limit. That looks like a cluster that is down.
    ///
    /// ## How to fix it
    /// Add the address that your calls come from to the authorized networks, or call from a machine
    /// that is in one of them. Which address that is, nobody is asked by default: say it with
    /// `--caller-address`.
    pub(crate) struct AuthorizedNetworksIncludeUs;
    id: "gcp-authorized-networks",
    title: "The API server is set up to answer from here",
}

#[async_trait]
impl Check for AuthorizedNetworksIncludeUs {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let cluster = cx.get(OurCluster).await?;
        let networks = networks(&cluster).filter(|networks| networks.enabled);
        let fault = match answers(cx).await {
            Answers::Silent(fault) => fault,
            Answers::Unknown(error) if networks.is_some() || is_private(&cluster) => {
                return Err(error);
            }
            Answers::Yes | Answers::Unknown(_) => {
                out.ok(&*cluster);
                return Ok(());
            }
        };
        // It is asked by a name, to which networks don't matter.
        let by_name = fault.to_string().contains(".gke.goog");
        let networks = networks.filter(|_| !by_name);
        let caller = cx.get(CallerAddress).await;
        let caller = caller.ok().map(|caller| caller.address);
        let says = format!("{fault}");
        if is_private(&cluster) && !by_name {
            let message = "has an API server without a public address, which may be why it does \
                           not answer from here";
            let finding = out.warn(&*cluster, message);
            finding.evidence("says", says);
            finding.evidence("addresses", endpoints(&cluster));
            finding.fix(
                Risk::None,
                "asks it by its name from now on, if it has one",
                command(cx, &cluster, "get-credentials", "--dns-endpoint").await,
            );
            return Ok(());
        }
        let Some(networks) = networks else {
            out.ok(&*cluster);
            return Ok(());
        };
        let ranges: Vec<_> = networks.cidr_blocks.iter().map(|block| &*block.cidr_block).collect();
        let parsed: Result<Vec<IpNet>, _> = ranges.iter().map(|range| range.parse()).collect();
        // Google's own machines may be let in wherever they are.
        let listed = parsed.ok().filter(|_| networks.gcp_public_cidrs_access_enabled != Some(true));
        let inside = caller
            .zip(listed)
            .map(|(caller, ranges)| ranges.iter().any(|range| range.contains(&caller)));
        let finding = match (inside, caller) {
            (Some(true), _) => {
                out.ok(&*cluster);
                return Ok(());
            }
            (Some(false), Some(caller)) => {
                let api = api_server(cx).await;
                out.built_from(api, &*cluster);
                let message = format!("has an API server that does not answer {caller}");
                out.fail(&*cluster, message)
            }
            _ => out.warn(
                &*cluster,
                "has an API server that answers authorized networks only, which may be why it \
                 does not answer from here",
            ),
        };
        finding.evidence("says", says);
        for block in &networks.cidr_blocks {
            let name = block.display_name.iter().map(|name| format!(" ({name})"));
            finding
                .evidence("network", format!("{}{}", block.cidr_block, name.collect::<String>()));
        }
        if networks.cidr_blocks.is_empty() {
            finding.evidence("network", "none");
        }
        let here = caller.map_or_else(|| "YOUR_ADDRESS".to_owned(), |caller| caller.to_string());
        let bits = if caller.is_some_and(|caller| caller.is_ipv6()) { 128 } else { 32 };
        let all = ranges.iter().map(|range| (*range).to_owned()).chain([format!("{here}/{bits}")]);
        let flags = format!(
            "--enable-master-authorized-networks --master-authorized-networks {}",
            all.collect::<Vec<_>>().join(",")
        );
        let command = command(cx, &cluster, "update", &flags).await;
        finding.fix(Risk::Opens, "lets calls from here in as well", command);
        Ok(())
    }
}

/// Whether the API server answers here.
enum Answers {
    Yes,
    /// Nothing comes back.
    Silent(Fault),
    /// Something else is in the way, or nobody asked.
    Unknown(FactError),
}

/// Where anything was read, it answers; and a refusal is an answer.
async fn answers(cx: &Cx) -> Answers {
    let error = match cx.get(kfcheck_kube::Cluster).await {
        Ok(version) if version.server_version.is_some() => return Answers::Yes,
        Ok(_) => Fault::NotCollected {
            file: "bundle.yaml".to_owned(),
            command: "kubectl version".to_owned(),
        }
        .into(),
        Err(error) => error,
    };
    match &error.fault {
        fault if is_silence(fault) => return Answers::Silent(fault.clone()),
        Fault::Denied { .. } => return Answers::Yes,
        Fault::Unreachable(says) if says.contains("does not take the credentials") => {
            return Answers::Yes;
        }
        Fault::NotCollected { .. } => (),
        _ => return Answers::Unknown(error),
    }
    if cx.get(all::<Node>()).await.is_ok() {
        return Answers::Yes;
    }
    let errors = cx.get(CollectionErrors).await;
    let errors = errors.iter().flat_map(|errors| errors.iter());
    let of_cluster = errors.filter(|(place, _)| place.starts_with("kubernetes/"));
    let silence = of_cluster.filter_map(|(_, recorded)| match recorded {
        Recorded::Known(fault) if is_silence(fault) => Some(fault.clone()),
        _ => None,
    });
    silence.into_iter().next().map_or(Answers::Unknown(error), Answers::Silent)
}

/// Whether nothing came back at all: packets from elsewhere are dropped, not refused.
fn is_silence(fault: &Fault) -> bool {
    match fault {
        Fault::TimedOut(_) => true,
        Fault::Unreachable(says) => {
            let says = says.to_lowercase();
            let silent = ["timed out", "timeout", "deadline"];
            silent.iter().any(|word| says.contains(word)) && !says.contains("plugin")
        }
        _ => false,
    }
}

/// What the API server of this context is called by the checks of the cluster.
async fn api_server(cx: &Cx) -> Resource {
    let version = cx.get(kfcheck_kube::Cluster).await;
    let context = version.ok().and_then(|version| version.context.clone());
    resource("Cluster", None, context.as_deref().unwrap_or("of this context"))
}

/// Whose calls are answered, in whichever spelling it is said.
fn networks(cluster: &Cluster) -> Option<&AuthorizedNetworks> {
    let by_address = cluster.control_plane_endpoints_config.as_ref();
    let by_address = by_address.and_then(|all| all.ip_endpoints_config.as_ref());
    let newer = by_address.and_then(|all| all.authorized_networks_config.as_ref());
    newer.or(cluster.master_authorized_networks_config.as_ref())
}

/// Whether the API server has no public address.
fn is_private(cluster: &Cluster) -> bool {
    let newer = cluster.control_plane_endpoints_config.as_ref();
    let newer = newer.and_then(|all| all.ip_endpoints_config.as_ref()?.enable_public_endpoint);
    let older = cluster.private_cluster_config.as_ref().map(|c| c.enable_private_endpoint);
    newer.map_or(older.unwrap_or_default(), |has| !has)
}

/// Where the API server is.
fn endpoints(cluster: &Cluster) -> String {
    let older = cluster.private_cluster_config.as_ref();
    let newer = cluster.control_plane_endpoints_config.as_ref();
    let private = older.and_then(|config| config.private_endpoint.clone());
    let private = private
        .or_else(|| newer?.ip_endpoints_config.as_ref()?.private_endpoint.clone())
        .or_else(|| Some(cluster.endpoint.clone()).filter(|endpoint| !endpoint.is_empty()));
    let name = newer.and_then(|all| all.dns_endpoint_config.as_ref()?.endpoint.clone());
    let all: Vec<_> = private.into_iter().chain(name).collect();
    if all.is_empty() { "none are said".to_owned() } else { all.join(", ") }
}

async fn command(cx: &Cx, cluster: &Cluster, verb: &str, flags: &str) -> String {
    let project = cx.get(Scope).await.map(|scope| format!(" --project {}", scope.project));
    let Cluster { name, location, .. } = cluster;
    format!(
        "gcloud container clusters {verb} {name} --location {location}{} {flags}",
        project.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::AuthorizedNetworksIncludeUs;
    use crate::testing::Deployment;

    fn with(cluster: &Value, manifest: &Value) -> Deployment {
        let mut deployment = Deployment::healthy();
        for (name, value) in cluster.as_object().unwrap() {
            deployment.file("gcp/container/clusters")[0][name] = value.clone();
        }
        for (name, value) in manifest.as_object().unwrap() {
            deployment.file("bundle")[name] = value.clone();
        }
        deployment
    }

    fn authorized() -> Value {
        json!({ "masterAuthorizedNetworksConfig": { "enabled": true, "cidrBlocks": [
            { "displayName": "office", "cidrBlock": "198.51.100.0/24" }] } })
    }

    /// Nothing came back.
    fn silent() -> Value {
        json!({ "kubernetes": null, "errors": {
            "bundle#kubernetes": { "timedOut": { "secs": 5, "nanos": 0 } } } })
    }

    async fn report(deployment: &mut Deployment) -> String {
        let manifest = deployment.file("bundle");
        if manifest["kubernetes"].is_null() {
            manifest.as_object_mut().unwrap().remove("kubernetes");
            deployment.objects.clear();
        }
        deployment.report(&AuthorizedNetworksIncludeUs).await
    }

    #[tokio::test]
    async fn an_api_server_that_answers_lets_us_in() {
        let report = report(&mut with(&authorized(), &json!({}))).await;
        assert!(report.contains("pass     gcp-authorized-networks"), "{report}");
    }

    #[tokio::test]
    async fn a_refusal_is_no_silence() {
        for (says, status) in [
            ("the API server at https://x does not answer: connection refused", "unknown "),
            ("the API server does not take the credentials: x", "pass    "),
        ] {
            let refused = json!({ "kubernetes": null,
                "errors": { "bundle#kubernetes": { "unreachable": says } } });
            let report = report(&mut with(&authorized(), &refused)).await;
            let expected = format!("{status} gcp-authorized-networks");
            assert!(report.contains(&expected), "{says}: {report}");
        }
    }

    #[tokio::test]
    async fn where_everybody_may_call_silence_has_another_reason() {
        for config in [json!({}), json!({ "masterAuthorizedNetworksConfig": {} })] {
            let report = report(&mut with(&config, &silent())).await;
            assert!(report.contains("pass     gcp-authorized-networks"), "{report}");
        }
    }

    #[tokio::test]
    async fn without_the_callers_address_networks_may_be_the_reason() {
        expect![[r#"
            No entrance to a deployment was found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            WARNING  gcp-authorized-networks
              cluster c has an API server that answers authorized networks only, which may
                be why it does not answer from here
                says      no answer within 5s
                network   198.51.100.0/24 (office)
                fix       lets calls from here in as well
                          gcloud container clusters update c --location z --project p \
                            --enable-master-authorized-networks \
                            --master-authorized-networks 198.51.100.0/24,YOUR_ADDRESS/32

            NOT SEEN, so a cause may hide there
              request path
                not collected: kubernetes/ingresses.networking.k8s.io.json
                  kubectl get ingresses.networking.k8s.io -n istio-system -o yaml

            warn     gcp-authorized-networks
                     The API server is set up to answer from here
        "#]]
        .assert_eq(&report(&mut with(&authorized(), &silent())).await);
    }

    #[tokio::test]
    async fn a_caller_outside_of_them_is_not_answered() {
        let mut outside = silent();
        outside["caller"] = json!({ "address": "203.0.113.9" });
        expect![[r#"
            Something is broken; no entrance to a deployment was found. 1 root cause, 0
            symptoms; 0 checks passed, 0 not seen.

            BROKEN  gcp-authorized-networks
              cluster c has an API server that does not answer 203.0.113.9
                says      no answer within 5s
                network   198.51.100.0/24 (office)
                fix       lets calls from here in as well
                          gcloud container clusters update c --location z --project p \
                            --enable-master-authorized-networks \
                            --master-authorized-networks 198.51.100.0/24,203.0.113.9/32
              kubectl kfcheck explain gcp-authorized-networks

            NOT SEEN, so another cause may hide there
              request path
                not collected: kubernetes/ingresses.networking.k8s.io.json
                  kubectl get ingresses.networking.k8s.io -n istio-system -o yaml

            FAIL     gcp-authorized-networks
                     The API server is set up to answer from here
        "#]]
        .assert_eq(&report(&mut with(&authorized(), &outside)).await);
        outside["caller"] = json!({ "address": "198.51.100.9" });
        let report = report(&mut with(&authorized(), &outside)).await;
        assert!(report.contains("pass     gcp-authorized-networks"), "{report}");
    }

    #[tokio::test]
    async fn an_api_server_in_the_network_only_is_said_to_be_there() {
        let private = json!({ "privateClusterConfig": { "enablePrivateEndpoint": true,
            "privateEndpoint": "172.16.0.2" } });
        expect![[r#"
            No entrance to a deployment was found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            WARNING  gcp-authorized-networks
              cluster c has an API server without a public address, which may be why it does
                not answer from here
                says      no answer within 5s
                addresses 172.16.0.2
                fix       asks it by its name from now on, if it has one
                          gcloud container clusters get-credentials c --location z \
                            --project p --dns-endpoint

            NOT SEEN, so a cause may hide there
              request path
                not collected: kubernetes/ingresses.networking.k8s.io.json
                  kubectl get ingresses.networking.k8s.io -n istio-system -o yaml

            warn     gcp-authorized-networks
                     The API server is set up to answer from here
        "#]]
        .assert_eq(&report(&mut with(&private, &silent())).await);
    }
}
