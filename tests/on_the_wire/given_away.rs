//! What is given away says neither whose it is nor what is secret in it.

#![allow(clippy::print_stdout, reason = "figures are for whoever runs it")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use kfcheck::{Bundle, Report, Runner, causes};
use kfcheck_mocks::{Fault, FaultProxy, Times};
use kfcheck_tests::{Sky, all_texts, program, provider_of, replay_as, root, scenarios};
use serde_json::{Value, json};

/// Somebody's own domain and address in the place of those that are nobody's.
fn owned(text: &str) -> String {
    text.replace("example.com", "acme-corp.io")
        .replace("dc=example,dc=com", "dc=acme-corp,dc=io")
        .replace("203.0.113.", "34.107.22.")
        .replace("198.51.100.", "52.88.7.")
}

fn texts(bundle: &Bundle) -> BTreeMap<String, String> {
    bundle.texts().map(|(name, text)| (name.to_owned(), text.unwrap())).collect()
}

/// What is wrong, by check and kind, and how every check ended.
fn essence(report: &Report) -> (Vec<String>, Vec<String>) {
    let cause = |cause: &kfcheck::Cause<'_>| {
        let down = if cause.takes_down.is_empty() { "beside" } else { "down" };
        let (check, kind) = (cause.check, cause.finding.resource.kind);
        format!("{check} {kind} {down} {}", cause.explains.len())
    };
    let ended = report.results.iter().map(|result| format!("{} {:?}", result.id, result.status));
    (causes(report).iter().map(cause).collect(), ended.collect())
}

#[tokio::test]
async fn an_anonymous_bundle_has_the_same_causes_and_nobodys_names() {
    let mut tried = 0;
    for folder in scenarios() {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let provider = provider_of(&folder);
        let served = Bundle::open(&folder.join("bundle")).unwrap();
        let own = texts(&served).into_iter().fold(Bundle::default(), |bundle, (file, text)| {
            bundle.with_text(&owned(&file), owned(&text))
        });
        let world = replay_as(&provider, own);
        let before = Runner::default().run(&world, &provider.checks).await;
        let anonymous = world.bundle().anonymized().unwrap();
        let all = texts(&anonymous);
        for gone in ["acme-corp", "34.107.22.", "52.88.7."] {
            for (file, text) in &all {
                let at = text.to_lowercase().find(gone);
                let around = at.map(|at| text[at.saturating_sub(60)..].chars().take(160));
                let around = around.map(Iterator::collect::<String>);
                assert!(around.is_none() && !file.contains(gone), "{name}, {file}: {around:?}");
            }
        }
        let after = Runner::default().run(&replay_as(&provider, anonymous), &provider.checks).await;
        assert_eq!(essence(&after), essence(&before), "{name}");
        tried += 1;
    }
    assert!(tried > 80, "{tried}");
}

#[test]
fn somebody_elses_bundle_is_made_anonymous_too() {
    let place = tempfile::tempdir().unwrap();
    let to = place.path().join("anonymous.tar.gz");
    let mut command = Command::new(program());
    command.args(["collect", "aws", "--anonymize", "--bundle"]);
    command.arg(root().join("examples/eks-cognito-callback")).arg("-o").arg(&to);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("names are pseudonyms"), "{said}");
    let again = Command::new(program()).args(["aws", "--bundle"]).arg(&to).output().unwrap();
    let said = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(said.contains("ROOT CAUSE  aws-cognito"), "{said}");
}

const CANARY: &str = "c4n4ry-5up3r-s3cr3t";

/// A secret in every place of an object that may hold one.
fn plant(object: &mut Value) -> usize {
    let mut places = 0;
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    if object["metadata"].is_object() {
        let last = "kubectl.kubernetes.io/last-applied-configuration";
        object["metadata"]["annotations"][last] = format!("{{\"password\":\"{CANARY}\"}}").into();
        object["metadata"]["annotations"]["vault.example/token"] = CANARY.into();
        object["metadata"]["labels"]["secret-token"] = CANARY.into();
        object["metadata"]["managedFields"] = json!([{ "manager": CANARY }]);
        places += 4;
    }
    match kind.as_str() {
        "Secret" => {
            let coded = STANDARD.encode(CANARY);
            for key in ["password", "LDAP_BINDPW", "tls.key", "client-secret", "OIDC_CLIENT_SECRET"]
            {
                if object["data"].get(key).is_none() {
                    object["data"][key] = coded.clone().into();
                    places += 1;
                }
            }
        }
        "ConfigMap" => {
            object["data"]["password"] = CANARY.into();
            object["data"]["application.properties"] =
                format!("db.password={CANARY}\nurl=postgres://kf:{CANARY}@db/kf\n").into();
            places += 3;
        }
        "Event" => {
            let message = object["message"].as_str().unwrap_or_default();
            object["message"] = format!(
                "{message}; token={CANARY} Authorization: Bearer {CANARY} https://u:{CANARY}@host/"
            )
            .into();
            places += 3;
        }
        "Pod" | "Deployment" | "StatefulSet" | "DaemonSet" => {
            let at = if kind == "Pod" { "/spec" } else { "/spec/template/spec" };
            let containers =
                object.pointer_mut(at).and_then(|spec| spec["containers"].as_array_mut());
            for container in containers.into_iter().flatten() {
                let variable = json!({ "name": "DB_PASSWORD", "value": CANARY });
                match container["env"].as_array_mut() {
                    Some(all) => all.push(variable),
                    None => container["env"] = json!([variable]),
                }
                match container["args"].as_array_mut() {
                    Some(all) => all.push(format!("--db-password={CANARY}").into()),
                    None => container["args"] = json!([format!("--token={CANARY}")]),
                }
                places += 2;
            }
        }
        _ => {}
    }
    places
}

/// The bundle with secrets wherever one can be; how many.
fn planted(bundle: &Bundle) -> (Bundle, usize) {
    let mut places = 0;
    let planted = texts(bundle).into_iter().fold(Bundle::default(), |to, (name, text)| {
        if name.contains("/logs/") {
            places += 4;
            let lines = format!(
                "{text}\nlevel=error password={CANARY}\nAuthorization: Bearer {CANARY}\n\
                 bindPW: {CANARY}\n{{\"client_secret\":\"{CANARY}\"}}\n"
            );
            return to.with_text(&name, lines);
        }
        let parsed: Option<Value> = match Path::new(&name).extension().and_then(|e| e.to_str()) {
            Some("json") => serde_json::from_str(&text).ok(),
            _ => None,
        };
        let Some(mut value) = parsed else { return to.with_text(&name, text) };
        if name.starts_with("kubernetes/") {
            match value["items"].as_array_mut() {
                Some(items) => items.iter_mut().for_each(|object| places += plant(object)),
                None => places += plant(&mut value),
            }
        }
        if name.starts_with("aws/cloudformation") {
            for stack in value["Stacks"].as_array_mut().into_iter().flatten() {
                stack["Parameters"] =
                    json!([{ "ParameterKey": "DbPassword", "ParameterValue": CANARY }]);
                stack["Outputs"] = json!([{ "OutputKey": "Token", "OutputValue": CANARY }]);
                places += 2;
            }
            for event in value["StackEvents"].as_array_mut().into_iter().flatten() {
                event["ResourceProperties"] = format!("{{\"Password\":\"{CANARY}\"}}").into();
                places += 1;
            }
        }
        if name.starts_with("aws/cognito") {
            for client in [&mut value["UserPoolClient"]] {
                if client.is_object() {
                    client["ClientSecret"] = CANARY.into();
                    places += 1;
                }
            }
        }
        to.with(&name, value)
    });
    (planted, places)
}

fn assert_clean(said: &str, what: &str) {
    let found = said.find(CANARY).or(said.find(&STANDARD.encode(CANARY)));
    let around = found.map(|at| said[at.saturating_sub(200)..].chars().take(300));
    assert!(found.is_none(), "{what}: {:?}", around.map(Iterator::collect::<String>));
}

#[test]
fn no_output_shows_a_secret_that_a_bundle_holds() {
    let formats = ["text", "json", "yaml", "html", "markdown", "junit", "sarif", "prometheus"];
    let mut places = 0;
    let mut of: BTreeSet<&str> = BTreeSet::new();
    let meant = [
        "aws-02-cognito-callback-idresponse-typo",
        "aws-09-node-role-policy-blocks-deletion",
        "gcp-01-health-check-root-path-iap-off",
        "gcp-gateway-crashes",
        "onprem-ldap-bind-refused",
        "onprem-client-secrets-differ",
        "onprem-healthy-oauth2-proxy",
    ];
    for name in meant {
        let provider = name.split('-').next().unwrap();
        let bundle =
            Bundle::open(&root().join("tests/scenarios").join(name).join("bundle")).unwrap();
        let (bundle, planted) = planted(&bundle);
        places += planted;
        of.insert(provider);
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("planted");
        bundle.write(&folder).unwrap();
        for format in formats {
            let mut command = Command::new(program());
            command.args([provider, "-v", "-o", format, "--bundle"]).arg(&folder);
            let output = command.output().unwrap();
            assert_clean(&String::from_utf8_lossy(&output.stdout), &format!("{name} -o {format}"));
            assert_clean(&String::from_utf8_lossy(&output.stderr), &format!("{name} -o {format}"));
        }
        let collected = place.path().join("collected");
        let mut command = Command::new(program());
        command.args(["collect", provider, "--bundle"]).arg(&folder).arg("-o").arg(&collected);
        let output = command.output().unwrap();
        assert_clean(&String::from_utf8_lossy(&output.stderr), name);
        assert_clean(&all_texts(&collected), &format!("{name}, collected"));
    }
    println!("{places} canaries in {} bundles", meant.len());
    assert!(places > 300 && of.len() == 3, "{places}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_run_shows_no_secret_of_its_cluster_its_kubeconfig_or_of_errors() {
    for name in ["gcp-gateway-crashes", "onprem-ldap-bind-refused"] {
        let provider = name.split('-').next().unwrap();
        let folder = root().join("tests/scenarios").join(name).join("bundle");
        let (bundle, _) = planted(&Bundle::open(&folder).unwrap());
        let sky = Sky::of(bundle, |mock| mock).await;
        let message = format!("no: password={CANARY} Authorization: Bearer {CANARY}");
        let fault =
            Fault::Kubernetes { status: 500, reason: "InternalError", message: message.clone() };
        let cluster =
            FaultProxy::before(&sky.kubernetes.url()).fault("/events", Times::Always, fault);
        let cluster = cluster.start().await.unwrap();
        let fault = Fault::Google { status: 403, reason: "forbidden", message };
        let google =
            FaultProxy::before(&sky.google.url()).fault("/firewalls", Times::Always, fault);
        let google = google.start().await.unwrap();
        let place = tempfile::tempdir().unwrap();
        let collected = place.path().join("collected");
        for args in [vec![provider, "-v"], vec![provider, "-o", "json"], vec!["collect", provider]]
        {
            let mut command = Command::new(program());
            command.args(&args);
            if provider == "gcp" {
                sky.lead(&mut command, &cluster.url(), &google.url());
            } else {
                sky.lead_to_all_but_google(&mut command, &cluster.url());
            }
            let kubeconfig = command.get_args().skip_while(|arg| *arg != "--kubeconfig").nth(1);
            let kubeconfig = std::path::PathBuf::from(kubeconfig.unwrap());
            let mut config: Value =
                serde_json::from_str(&fs::read_to_string(&kubeconfig).unwrap()).unwrap();
            config["users"][0]["user"]["token"] = CANARY.into();
            fs::write(&kubeconfig, config.to_string()).unwrap();
            if args[0] == "collect" {
                command.arg("-o").arg(&collected);
            }
            command.env("RUST_LOG", "trace");
            let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await;
            let output = output.unwrap();
            assert_clean(&String::from_utf8_lossy(&output.stdout), &format!("{name} {args:?}"));
            assert_clean(&String::from_utf8_lossy(&output.stderr), &format!("{name} {args:?}"));
        }
        assert_clean(&all_texts(&collected), name);
    }
}
