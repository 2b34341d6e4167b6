use std::path::PathBuf;

use clap::Subcommand;
use kfcheck::Bundle;
use kfcheck_report::{Output, dot, find as find_resource, mermaid, why};

use crate::{
    Provider,
    args::{ASKS, Format, Inspect},
    find,
    guess::{self, Guessed},
    inspect::{look, style, threshold},
    print,
    provider::CloudArgs,
    reread,
    write::save,
};

pub(crate) const HELP: &str = "Examples:\n  \
    kubectl kfcheck why ingress/istio-system/envoy-ingress\n  \
    kubectl kfcheck why gcp svc/istio-system/istio-ingressgateway --context prod\n  \
    kubectl kfcheck why kf.example.com --bundle evidence.tar.gz\n  \
    kubectl kfcheck why deploy/auth/dex --report report.json\n  \
    kubectl kfcheck why deploy/auth/dex -o mermaid\n\n\
    A resource is kind/namespace/name, kind/name or name; a kind is as kubectl takes it. Without a \
    provider it is the one that bundle.yaml or the nodes name; with one, it takes its flags as \
    well.\n\n\
    Exit codes: 0 it works; 1 it doesn't; 2 usage, or it is not on the request path; 3 that is not \
    known.";

/// Of which resource, and where to look.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Why {
    /// Of which provider it is; it takes its flags as well.
    #[command(subcommand)]
    pub of: Option<WhyOf>,
    /// The resource: kind/namespace/name, kind/name or name.
    #[arg(required = true)]
    pub resource: Option<String>,
    /// Read this report of -o json or -o yaml, and inspect nothing; - is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "bundle", conflicts_with_all = ASKS)]
    pub report: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show it as the command's own text")]
    pub inspect: Inspect<Guessed>,
}

/// Of which provider a resource is.
#[derive(Debug, Subcommand)]
pub enum WhyOf {
    /// Of a deployment on Google Cloud.
    #[cfg(feature = "gcp")]
    #[command(
        mut_arg("bundle", |arg| arg.conflicts_with_all(["config_connector_context", "caller_address"])),
        mut_arg("output", formats), mut_arg("wait", hidden), mut_arg("watch", hidden),
        mut_arg("interval", hidden), after_help = HELP
    )]
    Gcp(Box<Asked<crate::google::GoogleArgs>>),
    /// Of a deployment on Amazon Web Services.
    #[cfg(feature = "aws")]
    #[command(
        mut_arg("bundle", |arg| arg.conflicts_with_all(["profile", "region", "endpoint_url"])),
        mut_arg("output", formats), mut_arg("wait", hidden), mut_arg("watch", hidden),
        mut_arg("interval", hidden), after_help = HELP
    )]
    Aws(Box<Asked<crate::amazon::AwsArgs>>),
    /// Of a deployment on your own machines.
    #[cfg(feature = "onprem")]
    #[command(
        mut_arg("output", formats), mut_arg("wait", hidden), mut_arg("watch", hidden),
        mut_arg("interval", hidden), after_help = HELP
    )]
    Onprem(Box<Asked<crate::onprem::OnpremArgs>>),
}

/// Of which resource of a provider, and where to look.
#[derive(Debug, clap::Args)]
pub struct Asked<C: CloudArgs> {
    /// The resource: kind/namespace/name, kind/name or name.
    pub resource: String,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show it as the command's own text")]
    pub inspect: Inspect<C>,
}

/// The formats that one resource has.
pub(crate) fn formats(arg: clap::Arg) -> clap::Arg {
    let help = "How to write it: text, json, yaml; or its part of the path as dot or mermaid";
    arg.hide_possible_values(true).help(help).long_help(help)
}

/// What a report has and one resource hasn't.
pub(crate) fn hidden(arg: clap::Arg) -> clap::Arg {
    arg.hide(true)
}

/// Prints what there is to say of a resource. The exit code says whether it works.
pub(crate) async fn run(args: Why, providers: &[Provider]) -> Result<u8, String> {
    match args.of {
        #[cfg(feature = "gcp")]
        Some(WhyOf::Gcp(asked)) => told(*asked, providers).await,
        #[cfg(feature = "aws")]
        Some(WhyOf::Aws(asked)) => told(*asked, providers).await,
        #[cfg(feature = "onprem")]
        Some(WhyOf::Onprem(asked)) => told(*asked, providers).await,
        None => guessed(args, providers).await,
    }
}

async fn told<C: CloudArgs>(asked: Asked<C>, providers: &[Provider]) -> Result<u8, String> {
    let inspect = asked.inspect.configured(providers)?;
    of(&asked.resource, &inspect, find(providers, C::NAME)?).await
}

async fn guessed(args: Why, providers: &[Provider]) -> Result<u8, String> {
    let resource = args.resource.as_deref().unwrap_or_default();
    refuse(&args.inspect)?;
    if let Some(path) = &args.report {
        return say(resource, &args.inspect, &reread::report(path)?);
    }
    let mut inspect = args.inspect.scoped(providers)?;
    let name = match &inspect.bundle {
        Some(path) => {
            let bundle = Bundle::open(path).map_err(|error| error.to_string())?;
            let name = guess::of_bundle(&bundle).map(str::to_owned);
            name.map_err(|why| {
                let path = path.display();
                format!("{path}: {why}; name it: kubectl kfcheck why PROVIDER {resource} --bundle {path}")
            })?
        }
        None => guess::of_nodes(&inspect.live, &inspect.entrance).await?.to_owned(),
    };
    let provider = find(providers, &name)?;
    let cloud = &inspect.live.cloud;
    let _ = cloud.provider.set(provider.name);
    inspect.live.cluster = inspect.live.cluster.or_else(|| guess::cluster(&name, &cloud.scope));
    of(resource, &inspect.selected(&name, providers)?, provider).await
}

async fn of<C: CloudArgs>(
    resource: &str,
    inspect: &Inspect<C>,
    provider: &Provider,
) -> Result<u8, String> {
    refuse(inspect)?;
    let output = look(inspect, provider).await?.output(provider);
    say(resource, inspect, &output)
}

fn say<C: CloudArgs>(resource: &str, inspect: &Inspect<C>, output: &Output) -> Result<u8, String> {
    let why = why(output, find_resource(output, resource)?);
    let text = match inspect.output {
        Format::Text => why.text(style(inspect)),
        Format::Json => why.json()?,
        Format::Yaml => why.yaml()?,
        Format::Dot => dot(&why.part()),
        Format::Mermaid => mermaid(&why.part()),
        _ => return Err(FORMATS.to_owned()),
    };
    match &inspect.output_file {
        Some(path) => save(&text, path)?,
        None => print(&text)?,
    }
    Ok(why.exit_code(threshold(inspect.fail_on.unwrap_or_default())))
}

const FORMATS: &str =
    "`why` can be written as text, json, yaml, dot and mermaid; the others are of reports";

/// Refuses what makes no sense for one resource, before anything is asked.
fn refuse<C: CloudArgs>(inspect: &Inspect<C>) -> Result<(), String> {
    use Format::{Dot, Json, Mermaid, Text, Yaml};
    if !matches!(inspect.output, Text | Json | Yaml | Dot | Mermaid) {
        return Err(FORMATS.to_owned());
    }
    if inspect.again.watch || inspect.again.wait.is_some() {
        return Err("`why` looks once; --wait and --watch are of `kubectl kfcheck PROVIDER`".into());
    }
    Ok(())
}
