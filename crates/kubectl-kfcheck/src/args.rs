use std::{path::PathBuf, time::Duration};

use clap::{Parser, Subcommand, ValueEnum};
use kfcheck_kube::Target;

#[cfg(feature = "gcp")]
use crate::google::GoogleArgs;
#[cfg(feature = "onprem")]
use crate::onprem::OnpremArgs;
use crate::{
    again::Again,
    completion::Completion,
    diff::{self, Diff},
    explain::Explain,
    live::LiveArgs,
    provider::CloudArgs,
    why::{self, Why},
};
#[cfg(feature = "aws")]
use crate::{amazon::AwsArgs, cleanup::Cleanup};

/// Says which one broken thing takes the endpoint of a Kubeflow deployment down, with evidence and
/// the command that mends it.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl kfcheck",
    bin_name = "kubectl kfcheck",
    version,
    max_term_width = 80,
    after_help = "Examples:\n  \
        kubectl kfcheck gcp                               # inspect the cluster of this context\n  \
        kubectl kfcheck collect gcp -o evidence.tar.gz    # write down what is seen, for others\n  \
        kubectl kfcheck gcp --bundle evidence.tar.gz      # inspect what somebody collected\n  \
        kubectl kfcheck gcp -o json                       # for programs\n  \
        kubectl kfcheck gcp -o html --output-file kf.html # a page, with the path as a picture\n  \
        kubectl kfcheck explain gcp-backend-health        # what a check looks for, and why\n  \
        kubectl kfcheck why ingress/istio-system/envoy-ingress  # of one resource alone\n  \
        kubectl kfcheck diff before.tar.gz after.tar.gz   # what changed\n  \
        kubectl kfcheck gcp --wait                        # until nothing fails; --watch\n\n\
        Exit codes: 0 nothing is broken; 1 something is; 2 usage; 3 nothing broken was found,\n\
        and not everything was seen."
)]
pub struct Args {
    #[command(subcommand)]
    /// What to do.
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Inspect a deployment on Google Cloud.
    #[cfg(feature = "gcp")]
    #[command(
        mut_arg("bundle", |arg| arg.conflicts_with_all(["config_connector_context", "caller_address"])),
        after_help = "Examples:\n  \
        kubectl kfcheck gcp                          # this context and its project\n  \
        kubectl kfcheck gcp --context prod --host kubeflow.example.com\n  \
        kubectl kfcheck gcp --exec --iap-audience 12-ab.apps.googleusercontent.com\n  \
        kubectl kfcheck gcp --bundle examples/gke-iap-502\n  \
        kubectl kfcheck gcp --bundle evidence.tar.gz --host kubeflow.example.com\n  \
        kubectl kfcheck gcp --bundle DIR --check 'gcp-iap-*,gcp-backend-*' -v\n  \
        kubectl kfcheck gcp --bundle DIR --skip gcp-quota -o yaml --fail-on warn\n  \
        kubectl kfcheck gcp -o html --output-file report.html\n  \
        kubectl kfcheck gcp -o markdown > ticket.md; kubectl kfcheck gcp -o mermaid\n  \
        kubectl kfcheck gcp --wait=20m               # until nothing fails; or --watch"
    )]
    Gcp(Inspect<GoogleArgs>),
    /// Inspect a deployment on Amazon Web Services.
    #[cfg(feature = "aws")]
    #[command(
        mut_arg("bundle", |arg| arg.conflicts_with_all(["profile", "region", "endpoint_url"])),
        after_help = "Examples:\n  \
        kubectl kfcheck aws                          # this context, its account and region\n  \
        kubectl kfcheck aws --context prod --profile prod --host kubeflow.example.com\n  \
        kubectl kfcheck aws --cluster kf --region us-west-2\n  \
        kubectl kfcheck aws --bundle examples/eks-cognito-callback\n  \
        kubectl kfcheck aws --bundle DIR --check 'aws-alb-*,aws-cognito-*' -v\n  \
        kubectl kfcheck aws -o html --output-file report.html\n  \
        kubectl kfcheck aws --wait=20m               # until nothing fails; or --watch\n  \
        kubectl kfcheck aws cleanup                  # what gone clusters left behind"
    )]
    Aws(Box<Amazon>),
    /// Inspect a deployment on your own machines.
    #[cfg(feature = "onprem")]
    #[command(after_help = "Examples:\n  \
        kubectl kfcheck onprem                       # this context\n  \
        kubectl kfcheck onprem --host kubeflow.example.com --exec\n  \
        kubectl kfcheck onprem --bundle DIR --check 'onprem-ldap-*,onprem-dex-*' -v\n  \
        kubectl kfcheck onprem -o html --output-file report.html\n  \
        kubectl kfcheck onprem -o junit --output-file kfcheck.xml; kubectl kfcheck onprem -o sarif\n  \
        kubectl kfcheck onprem --wait=20m            # until nothing fails; or --watch")]
    Onprem(Inspect<OnpremArgs>),
    /// Write down what an inspection sees, secrets left out, for others to inspect.
    Collect {
        /// Of what.
        #[command(subcommand)]
        of: Collected,
    },
    /// Say what a check looks for, why it matters and how to fix it.
    #[command(after_help = "Examples:\n  \
        kubectl kfcheck explain gcp-firewall-health-check\n  \
        kubectl kfcheck explain gcp-firewall-health-check -o markdown")]
    Explain(Explain),
    /// Say why one resource does not work, and print its part of the request path.
    #[command(
        mut_arg("output", why::formats), mut_arg("wait", why::hidden), mut_arg("watch", why::hidden),
        mut_arg("interval", why::hidden), after_help = why::HELP
    )]
    Why(Box<Why>),
    /// Say what changed between two bundles or reports.
    #[command(after_help = diff::HELP)]
    Diff(Diff),
    /// Print the permissions that an inspection takes, as the cloud's own policy.
    #[command(after_help = "Examples:\n  \
        kubectl kfcheck permissions gcp > role.yaml\n  \
        kubectl kfcheck permissions aws > policy.json\n  \
        kubectl kfcheck permissions kubernetes --for gcp > role.yaml\n  \
        kubectl kfcheck permissions aws --minimal --check 'aws-cognito-*'\n  \
        kubectl kfcheck permissions aws --cleanup      # for `kubectl kfcheck aws cleanup`")]
    Permissions {
        /// Of what.
        #[command(subcommand)]
        of: Permissions,
    },
    /// Check a configuration, or print the JSON Schema of all.
    #[command(after_help = "Examples:\n  \
        kubectl kfcheck config check                     # ./.kfcheck.yaml\n  \
        kubectl kfcheck config check prod.yaml\n  \
        kubectl kfcheck config schema > kfcheck.config.v1.schema.json")]
    Config {
        /// What to do with it.
        #[command(subcommand)]
        task: ConfigTask,
    },
    /// List the checks.
    #[command(after_help = "Example:\n  kubectl kfcheck checks --check 'gcp-neg-*'")]
    Checks {
        /// Only those whose ids match one of these globs.
        #[arg(long, value_name = "GLOB", value_delimiter = ',')]
        check: Vec<String>,
        /// Without those whose ids match one of these globs.
        #[arg(long, value_name = "GLOB", value_delimiter = ',')]
        skip: Vec<String>,
    },
    /// Have Tab complete `kubectl kfcheck`, or print a shell's script.
    #[command(after_help = "Examples:\n  \
        kubectl kfcheck completion install         # for kubectl 1.26 or later\n  \
        source <(kubectl-kfcheck completion bash)  # for the program alone")]
    Completion {
        /// Which.
        #[command(subcommand)]
        what: Completion,
    },
    /// Write the manual pages, one for each command.
    #[command(after_help = "Examples:\n  \
        kubectl kfcheck man ~/.local/share/man/man1; man kubectl-kfcheck\n  \
        kubectl kfcheck man pages; man -l pages/kubectl-kfcheck-onprem.1")]
    Man {
        /// The folder to write them into.
        #[arg(value_name = "FOLDER", value_hint = clap::ValueHint::DirPath)]
        folder: PathBuf,
    },
}

/// What to do on Amazon Web Services: inspect, where nothing else is said.
#[cfg(feature = "aws")]
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Amazon {
    /// Something else.
    #[command(subcommand)]
    pub task: Option<AmazonTask>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show it as the command's own text")]
    pub inspect: Inspect<AwsArgs>,
}

/// What else there is to do on Amazon Web Services.
#[cfg(feature = "aws")]
#[derive(Debug, Subcommand)]
pub enum AmazonTask {
    /// Delete what a cluster that is gone left behind; without --apply it only says what it would do.
    #[command(after_help = "Examples:\n  \
        kubectl kfcheck aws cleanup                       # which clusters left what\n  \
        kubectl kfcheck aws cleanup --cluster kf          # what would be done, and why\n  \
        kubectl kfcheck aws cleanup --cluster kf --apply  # does it; asks for the name\n  \
        kubectl kfcheck aws cleanup --cluster kf --plan-out plan.json\n  \
        kubectl kfcheck aws cleanup --apply plan.json --yes\n  \
        kubectl kfcheck aws cleanup --resume kfcheck-cleanup-kf.jsonl\n  \
        kubectl kfcheck aws cleanup --restore-policies kfcheck-cleanup-kf.jsonl\n\n\
        What it takes is printed by `kubectl kfcheck permissions aws --cleanup`.\n\n\
        Exit codes: 0 done, or a plan; 1 not everything was done; 2 usage; 3 refused, as something\n\
        that decides is not known or not as it was; nothing was changed then.")]
    Cleanup(Box<Cleanup>),
}

/// Of what a bundle is to be.
#[derive(Debug, Subcommand)]
pub enum Collected {
    /// Of a deployment on Google Cloud.
    #[cfg(feature = "gcp")]
    #[command(after_help = "Examples:\n  \
        kubectl kfcheck collect gcp                      # into kfcheck-gcp.tar.gz\n  \
        kubectl kfcheck collect gcp -o evidence/         # into a folder, to look into\n  \
        kubectl kfcheck collect gcp --anonymize          # to be given away\n  \
        kubectl kfcheck collect gcp --script > collect.sh  # for somebody who may not run this\n\n\
        What comes of it is inspected with `kubectl kfcheck gcp --bundle PATH`.")]
    Gcp(Collect<GoogleArgs>),
    /// Of a deployment on Amazon Web Services.
    #[cfg(feature = "aws")]
    #[command(mut_arg("script", |arg| arg.hide(true)), after_help = "Examples:\n  \
        kubectl kfcheck collect aws                      # into kfcheck-aws.tar.gz\n  \
        kubectl kfcheck collect aws -o evidence/         # into a folder, to look into\n\n\
        What comes of it is inspected with `kubectl kfcheck aws --bundle PATH`.")]
    Aws(Collect<AwsArgs>),
    /// Of a deployment on your own machines.
    #[cfg(feature = "onprem")]
    #[command(mut_arg("script", |arg| arg.hide(true)), after_help = "Examples:\n  \
        kubectl kfcheck collect onprem                   # into kfcheck-onprem.tar.gz\n  \
        kubectl kfcheck collect onprem -o evidence/      # into a folder, to look into\n\n\
        What comes of it is inspected with `kubectl kfcheck onprem --bundle PATH`.")]
    Onprem(Collect<OnpremArgs>),
}

/// What to do with a configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigTask {
    /// Say what is wrong with a configuration, at which line and column.
    Check {
        /// Without it, the file that an inspection would read here.
        file: Option<PathBuf>,
    },
    /// Print the JSON Schema, for editors.
    Schema,
}

/// Of what the permissions are printed.
#[derive(Debug, Subcommand)]
pub enum Permissions {
    /// A custom role.
    #[cfg(feature = "gcp")]
    Gcp {
        #[command(flatten)]
        #[allow(missing_docs, reason = "clap would show it as the command's own text")]
        only: Only,
    },
    /// A policy of IAM's.
    #[cfg(feature = "aws")]
    Aws {
        /// For the clean-up: what it reads, changes and may put back.
        #[arg(long, conflicts_with = "minimal")]
        cleanup: bool,
        #[command(flatten)]
        #[allow(missing_docs, reason = "clap would show it as the command's own text")]
        only: Only,
    },
    /// A ClusterRole.
    Kubernetes {
        /// For an inspection of this kind: gcp, aws or onprem; without it, for all.
        #[arg(long = "for", value_name = "PROVIDER")]
        provider: Option<String>,
        /// With what --exec takes.
        #[arg(long)]
        exec: bool,
        /// With what --arp-from-node takes.
        #[arg(long)]
        arp_from_node: bool,
        #[command(flatten)]
        #[allow(missing_docs, reason = "clap would show it as the command's own text")]
        only: Only,
    },
}

/// For which checks permissions are printed.
#[derive(Debug, clap::Args)]
pub struct Only {
    /// No more than the checks selected with --check and --skip take.
    #[arg(long)]
    pub minimal: bool,
    /// Only the checks whose ids match one of these globs.
    #[arg(long, value_name = "GLOB", value_delimiter = ',', requires = "minimal")]
    pub check: Vec<String>,
    /// Without the checks whose ids match one of these globs.
    #[arg(long, value_name = "GLOB", value_delimiter = ',', requires = "minimal")]
    pub skip: Vec<String>,
}

/// What to write down, and where.
#[derive(Debug, clap::Args)]
pub struct Collect<C: CloudArgs> {
    /// Where to: a folder, or a .tar.gz; without it, kfcheck-PROVIDER.tar.gz.
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Print a shell script instead, which needs kubectl, gcloud and jq and writes the same.
    #[arg(long)]
    pub script: bool,
    /// Put pseudonyms in the place of accounts, projects, e-mail addresses, host names and public
    /// addresses; the same one for the same name, so that the same is wrong.
    #[arg(long, conflicts_with = "script")]
    pub anonymize: bool,
    /// Take what this bundle holds, and touch no network.
    #[arg(long, value_name = "PATH", conflicts_with = "script", conflicts_with_all = ASKS)]
    pub bundle: Option<PathBuf>,
    /// Show each call, with the time it took.
    #[arg(short, long)]
    pub verbose: bool,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show it as the command's own text")]
    pub entrance: EntranceArgs,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show it as the command's own text")]
    pub live: LiveArgs<C>,
}

/// What makes no sense where nobody is asked.
pub(crate) const ASKS: &[&str] = &[
    "kubeconfig",
    "context",
    "cluster",
    "user",
    "impersonate",
    "impersonate_groups",
    "impersonate_uid",
    "exec",
    "no_probes",
];

/// What to inspect, and how to say what was found.
#[derive(Debug, clap::Args)]
pub struct Inspect<C: CloudArgs> {
    /// Inspect what this bundle holds, a folder or a .tar.gz, and touch no network.
    #[arg(long, value_name = "PATH", conflicts_with_all = ASKS)]
    pub bundle: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show it as the command's own text")]
    pub entrance: EntranceArgs,
    /// Run only the checks whose ids match one of these globs.
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    pub check: Vec<String>,
    /// Leave out the checks whose ids match one of these globs.
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    pub skip: Vec<String>,
    /// How to write the report.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub output: Format,
    /// Write the report to this file instead; it is there whole, or as it was.
    #[arg(long, value_name = "PATH")]
    pub output_file: Option<PathBuf>,
    /// Show every check, also those that pass, and each call with the time it took.
    #[arg(short, long)]
    pub verbose: bool,
    /// How long a check may take, in seconds or as 90s, 2m [default: 60s].
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// What makes the exit code 1 [default: fail].
    #[arg(long, value_enum)]
    pub fail_on: Option<FailOn>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show it as the command's own text")]
    pub again: Again,
    /// Write what the inspection read, and no more, as a bundle: a folder, or a .tar.gz.
    #[arg(long, value_name = "PATH", hide = true)]
    pub save: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show it as the command's own text")]
    pub live: LiveArgs<C>,
}

/// Where the request path begins.
#[derive(Debug, clap::Args)]
pub struct EntranceArgs {
    /// The name that users type; without it, Kubeflow's usual Ingress is looked for, or a Gateway.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["ingress", "gateway", "service"])]
    pub host: Option<String>,
    /// The Ingress to begin at.
    #[arg(long, value_name = "[NAMESPACE/]NAME", value_parser = namespaced, conflicts_with_all = ["gateway", "service"])]
    pub ingress: Option<(String, String)>,
    /// The Gateway of the Gateway API to begin at (not Istio's).
    #[arg(long, value_name = "[NAMESPACE/]NAME", value_parser = namespaced, conflicts_with = "service")]
    pub gateway: Option<(String, String)>,
    /// The Service to begin at.
    #[arg(long, value_name = "[NAMESPACE/]NAME", value_parser = namespaced)]
    pub service: Option<(String, String)>,
    /// The namespace of the entrance; without it, those that Kubeflow usually has it in.
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
}

impl EntranceArgs {
    /// The same for facts.
    pub(crate) fn target(&self) -> Target {
        Target {
            host: self.host.clone(),
            ingress: self.ingress.clone(),
            gateway: self.gateway.clone(),
            service: self.service.clone(),
            namespace: self.namespace.clone(),
        }
    }
}

/// How to write the report.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs; `kfcheck/v1`.
    Json,
    /// The same as JSON.
    Yaml,
    /// A page for people: the request path as a picture, and all that was found; one file.
    Html,
    /// For a ticket.
    Markdown,
    /// For build servers: a check is a test case.
    Junit,
    /// For what collects the findings of many tools; SARIF 2.1.0.
    Sarif,
    /// For a textfile collector or a push gateway.
    Prometheus,
    /// The request path, for Graphviz.
    Dot,
    /// The request path, for Mermaid.
    Mermaid,
}

/// What makes the exit code 1.
#[derive(Clone, Copy, Debug, Default, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FailOn {
    /// Something that takes the endpoint down.
    #[default]
    Fail,
    /// A warning, too.
    Warn,
}

pub(crate) fn namespaced(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        None if !text.is_empty() => Ok((String::new(), text.to_owned())),
        _ => Err("expected NAMESPACE/NAME, for example istio-system/envoy-ingress".to_owned()),
    }
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (digits, unit) =
        text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => 0,
    };
    let number: u64 = digits.parse().unwrap_or_default();
    match number.checked_mul(seconds).filter(|seconds| (1..=86_400).contains(seconds)) {
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None => Err("expected a duration of 1s to 24h, for example 90s or 2m".to_owned()),
    }
}
