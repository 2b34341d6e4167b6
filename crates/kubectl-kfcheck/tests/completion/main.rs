//! Tab, as bash and zsh have it: through kubectl's own completion, and the program's.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
#![cfg(feature = "onprem")]

mod home;

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    thread,
    time::Instant,
};

use home::{Home, KUBECONFIG, program, said};

/// An address where nobody listens.
const NOBODY: &str = "http://127.0.0.1:1";
const KUBECTL_BASH: &str = "kubectl completion bash";
const KUBECTL_ZSH: &str = "kubectl completion zsh";

#[test]
fn bash_completes_checks_and_contexts_through_kubectl() {
    let home = Home::new(NOBODY);
    let tab = |words: &[&str]| home.bash(KUBECTL_BASH, "__start_kubectl", words);
    assert_eq!(tab(&["kubectl", "kfcheck", "onp"]), ["onprem"]);
    assert_eq!(
        tab(&["kubectl", "kfcheck", "onprem", "--check", "istio-jwk"]),
        ["istio-jwks"],
        "kubectl 1.26 or later completes plugins; scripts/setup --tests sees to one"
    );
    // Not in a list: newer scripts of kubectl's compare what has a comma with itself, escaped.
    let twice = ["kubectl", "kfcheck", "onprem", "--check", "istio-jwks", "--check", "kube-im"];
    assert_eq!(tab(&twice), ["kube-image-pull"]);
    assert_eq!(tab(&["kubectl", "kfcheck", "onprem", "--context", "pr"]), ["prod"]);
    let several = tab(&["kubectl", "kfcheck", "explain", "onprem-ldap-"]);
    assert_eq!(several.len(), 4, "{several:?}");
    assert_eq!(several[0], "onprem-ldap-bind");
    // EKS names contexts so, and bash takes a colon for the end of a word.
    let arn = ["kubectl", "kfcheck", "onprem", "--context", "arn", ":", "aw"];
    assert_eq!(tab(&arn), ["aws:eks:eu-west-1:1:cluster/kf"]);
}

#[test]
fn bash_completes_the_program_itself() {
    let home = Home::new(NOBODY);
    let script = "kubectl-kfcheck completion bash";
    let tab = |words: &[&str]| home.bash(script, "_clap_complete_kubectl_kfcheck", words);
    assert_eq!(tab(&["kubectl-kfcheck", "explain", "istio-jwk"]), ["istio-jwks"]);
    assert_eq!(tab(&["kubectl-kfcheck", "onprem", "--context", "pr"]), ["prod"]);
}

#[test]
fn zsh_completes_checks_and_contexts_through_kubectl() {
    let home = Home::new(NOBODY);
    let line = home.zsh(KUBECTL_ZSH, r"kubectl kfcheck explain istio-jwk\t");
    assert_eq!(line.trim(), "kubectl kfcheck explain istio-jwks");
    let line = home.zsh(KUBECTL_ZSH, r"kubectl kfcheck onp\t--context pr\t--output=js\t");
    assert_eq!(line.trim(), "kubectl kfcheck onprem --context prod --output=json");
    let line = home.zsh(KUBECTL_ZSH, r"kubectl kfcheck onprem --skip istio-jwks,kube-im\t");
    assert_eq!(line.trim(), "kubectl kfcheck onprem --skip istio-jwks,kube-image-pull");
}

#[test]
fn zsh_completes_the_program_itself() {
    let home = Home::new(NOBODY);
    let script = "kubectl-kfcheck completion zsh";
    let line = home.zsh(script, r"kubectl-kfcheck explain istio-jwk\t");
    assert_eq!(line.trim(), "kubectl-kfcheck explain istio-jwks");
}

#[test]
fn the_script_for_fish_asks_the_program() {
    let home = Home::new(NOBODY);
    let script = said(&home.run(program(), &["completion", "fish"]));
    assert!(script.contains("--command kubectl-kfcheck"), "{script}");
    assert!(script.contains("KFCHECK_COMPLETE=fish"), "{script}");
}

#[test]
fn values_are_completed_where_they_stand() {
    let home = Home::new(NOBODY);
    let starts = |words: &[&str], first: &str| {
        let candidates = home.candidates(words);
        assert_eq!(candidates.first().map(String::as_str), Some(first), "{words:?}");
    };
    starts(&[""], if cfg!(feature = "gcp") { "gcp" } else { "onprem" });
    starts(&["onprem", "--fail-on", ""], "fail");
    starts(&["onprem", "-o", "j"], "json");
    starts(&["onprem", "-o=ya"], "yaml");
    starts(&["onprem", "--output=ya"], "yaml");
    starts(&["onprem", "--no-p"], "--no-probes");
    starts(&["collect", "onprem", "--anon"], "--anonymize");
    starts(&["onprem", "--cluster", ""], "kf");
    starts(&["onprem", "--user", ""], "me");
    starts(&["permissions", "kubernetes", "--for", "on"], "onprem");
    starts(&["onprem", "--skip=istio-jwks,kube-ima"], "istio-jwks,kube-image-pull");
    // A flag that is begun has its longer name.
    assert!(home.candidates(&["onprem", "-"]).iter().all(|flag| flag.starts_with("--")));
}

#[test]
fn a_provider_completes_its_own_checks_and_explain_all_of_them() {
    let home = Home::new(NOBODY);
    let of_onprem = home.candidates(&["onprem", "--check", ""]);
    assert!(of_onprem.contains(&"istio-jwks".to_owned()));
    assert!(of_onprem.iter().all(|id| !id.starts_with("gcp-") && !id.starts_with("aws-")));
    let all = home.candidates(&["explain", ""]);
    assert_eq!(all.iter().any(|id| id.starts_with("gcp-")), cfg!(feature = "gcp"));
    assert!(of_onprem.iter().all(|id| all.contains(id)));
}

#[test]
fn contexts_come_from_the_kubeconfig_that_the_line_names() {
    let home = Home::new(NOBODY);
    let other = home.0.path().join("other");
    fs::write(&other, KUBECONFIG.replace("prod", "staging")).unwrap();
    let other = other.to_str().unwrap();
    assert!(home.candidates(&["onprem", "--context", "pr"]).contains(&"prod".to_owned()));
    let named = ["onprem", "--kubeconfig", other, "--context", "st"];
    assert_eq!(home.candidates(&named), ["staging"]);
    let missing = ["onprem", "--kubeconfig=/none", "--context", ""];
    assert_eq!(home.answer(&missing), ":4\n");
}

#[test]
fn the_shell_completes_files_and_folders_by_itself() {
    let home = Home::new(NOBODY);
    assert_eq!(home.answer(&["onprem", "--bundle", ""]), ":0\n");
    assert_eq!(home.answer(&["onprem", "--output-file=r"]), ":0\n");
    assert_eq!(home.answer(&["onprem", "--kubeconfig", "~/.k"]), ":0\n");
    assert_eq!(home.answer(&["man", ""]), ":16\n");
    assert_eq!(home.answer(&["completion", "install", "--dir", "b"]), ":16\n");
}

#[test]
fn what_makes_no_sense_is_not_completed_and_nothing_else_is_said() {
    let home = Home::new(NOBODY);
    assert_eq!(home.answer(&[]), home.answer(&[""]));
    for words in [&["nothing", ""][..], &["onprem", "--host", ""], &["explain", "zz"]] {
        let answer = home.answer(words);
        assert!(answer.ends_with(":4\n") && !answer.contains("error"), "{words:?}: {answer}");
    }
}

/// An API server that has two namespaces.
fn namespaces() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap();
            // kubectl itself may ask for the version.
            let is_ours = request[..length].starts_with(b"GET /api/v1/namespaces ");
            let status = if is_ours { "200 OK" } else { "404 Not Found" };
            let body =
                r#"{"items":[{"metadata":{"name":"kubeflow"}},{"metadata":{"name":"auth"}}]}"#;
            let head = format!("Content-Type: application/json\r\nContent-Length: {}", body.len());
            let _ =
                write!(stream, "HTTP/1.1 {status}\r\n{head}\r\nConnection: close\r\n\r\n{body}");
        }
    });
    format!("http://{address}")
}

#[test]
fn namespaces_are_those_of_the_cluster() {
    let home = Home::new(&namespaces());
    assert_eq!(home.candidates(&["onprem", "-n", ""]), ["auth", "kubeflow"]);
    assert_eq!(home.candidates(&["onprem", "--namespace=ku"]), ["kubeflow"]);
    let words = ["kubectl", "kfcheck", "onprem", "--namespace", "ku"];
    assert_eq!(home.bash(KUBECTL_BASH, "__start_kubectl", &words), ["kubeflow"]);
}

#[test]
fn a_cluster_that_does_not_answer_names_no_namespaces_and_holds_nobody_up() {
    // It takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let home = Home::new(&format!("http://{}", silent.local_addr().unwrap()));
    let start = Instant::now();
    assert_eq!(home.answer(&["onprem", "-n", ""]), ":4\n");
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
    assert_eq!(Home::new(NOBODY).answer(&["onprem", "-n", ""]), ":4\n");
}

#[test]
fn installing_says_where_and_how_it_is_turned_on() {
    let home = Home::new(NOBODY);
    let installed = said(&home.run(program(), &["completion", "install", "--dir", home.path()]));
    assert!(installed.contains("/kubectl_complete-kfcheck\n"), "{installed}");
    assert!(installed.contains("source <(kubectl completion zsh)"), "{installed}");
    assert!(!installed.contains("not on your PATH"), "{installed}");
    let other = tempfile::tempdir().unwrap();
    let folder = other.path().to_str().unwrap();
    let off = said(&home.run(program(), &["completion", "install", "--dir", folder]));
    assert!(off.contains("is not on your PATH"), "{off}");
}

#[test]
fn without_a_folder_it_goes_to_where_the_program_is_found_and_not_where_a_link_leads() {
    let home = Home::new(NOBODY);
    let file = home.0.path().join("kubectl_complete-kfcheck");
    fs::remove_file(&file).unwrap();
    // As krew has it.
    let link = home.0.path().join("kubectl-kfcheck");
    std::os::unix::fs::symlink(program(), &link).unwrap();
    let installed = home.run(&link, &["completion", "install"]);
    assert!(installed.status.success() && file.is_file(), "{}", said(&installed));
}

#[test]
fn a_file_of_others_is_not_written_over() {
    let home = Home::new(NOBODY);
    let file = home.0.path().join("kubectl_complete-kfcheck");
    fs::write(&file, "#!/bin/sh\necho mine\n").unwrap();
    let refused = home.run(program(), &["completion", "install", "--dir", home.path()]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said(&refused).contains("is not of kfcheck's making"), "{}", said(&refused));
    assert!(fs::read_to_string(&file).unwrap().contains("mine"));
}

#[test]
fn kubectl_lists_and_runs_the_plugin() {
    let home = Home::new(NOBODY);
    let listed = said(&home.run(Path::new("kubectl"), &["plugin", "list"]));
    assert!(listed.contains("/kubectl-kfcheck"), "{listed}");
    // What completes it is none.
    assert!(!listed.contains("kubectl_complete"), "{listed}");
    let page = said(&home.run(Path::new("kubectl"), &["kfcheck", "explain", "istio-jwks"]));
    assert!(page.contains("istio-jwks"), "{page}");
}
