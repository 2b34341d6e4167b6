use std::{
    io::{self, IsTerminal},
    path::PathBuf,
};

use clap::ValueEnum;
use kfcheck::Bundle;
use kfcheck_report::{Output, Style, diff};

use crate::{
    Provider,
    config::{Config, ConfigArgs},
    find, guess,
    inspect::look_into,
    print,
    reread::{self, Written},
};

pub(crate) const HELP: &str = "Examples:\n  \
    kubectl kfcheck diff before.tar.gz after.tar.gz\n  \
    kubectl kfcheck diff yesterday.json evidence/ -o markdown\n  \
    kubectl kfcheck gcp -o json | kubectl kfcheck diff yesterday.json -\n\n\
    A finding is the same where its check and its resource are, and where it says the same but for \
    how long something lasts. One that can't be seen any more is not said to be gone.\n\n\
    Exit codes: 0 nothing changed; 1 something did; 2 usage, or one of them can't be read.";

/// What to compare.
#[derive(Debug, clap::Args)]
pub struct Diff {
    /// Before: a bundle, a folder or a .tar.gz, or a report of -o json or -o yaml; - is standard input.
    #[arg(value_name = "A")]
    pub before: PathBuf,
    /// After: the same.
    #[arg(value_name = "B")]
    pub after: PathBuf,
    /// The provider of the bundles; without it, the one that bundle.yaml names.
    #[arg(long, value_name = "PROVIDER")]
    pub provider: Option<String>,
    /// How to write what changed.
    #[arg(short, long, value_enum, default_value_t = DiffFormat::Text)]
    pub output: DiffFormat,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show it as the command's own text")]
    pub config: ConfigArgs,
}

/// How to write what changed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum DiffFormat {
    /// For people.
    Text,
    /// For programs; `kfcheck.diff/v1`.
    Json,
    /// For a ticket.
    Markdown,
}

/// One of the two, before it is inspected.
enum Side<'a> {
    Bundle(Bundle, &'a Provider),
    Report(Box<Output>),
}

impl Side<'_> {
    fn provider(&self) -> &str {
        match self {
            Self::Bundle(_, provider) => provider.name,
            Self::Report(report) => &report.provider,
        }
    }

    async fn report(self, config: &Config) -> Output {
        match self {
            Self::Bundle(bundle, provider) => {
                look_into(bundle, provider, config).await.output(provider)
            }
            Self::Report(report) => *report,
        }
    }
}

/// Prints what changed. The exit code says whether anything did.
pub(crate) async fn run(args: Diff, providers: &[Provider]) -> Result<u8, String> {
    if args.before == args.after && args.before.as_os_str() == "-" {
        return Err("standard input can't be both; name a file for one of them".to_owned());
    }
    let (before, after) =
        (side(&args, &args.before, providers)?, side(&args, &args.after, providers)?);
    let config = Config::find(&args.config, providers)?;
    let names = [before.provider(), after.provider()];
    if names[0] != names[1] {
        return Err(format!(
            "{} is of {} and {} of {}, and nothing of them can be compared",
            args.before.display(),
            names[0],
            args.after.display(),
            names[1]
        ));
    }
    let changes = diff(&before.report(&config).await, &after.report(&config).await)?;
    let style = Style { verbose: false, colour: io::stdout().is_terminal() };
    print(&match args.output {
        DiffFormat::Text => changes.text(style),
        DiffFormat::Json => changes.json()?,
        DiffFormat::Markdown => changes.markdown(),
    })?;
    Ok(u8::from(changes.changed))
}

fn side<'a>(
    args: &Diff,
    path: &std::path::Path,
    providers: &'a [Provider],
) -> Result<Side<'a>, String> {
    let bundle = match reread::read(path)? {
        Written::Bundle(bundle) => bundle,
        Written::Report(report) => return Ok(Side::Report(report)),
    };
    let name = match &args.provider {
        Some(name) => name,
        None => guess::of_bundle(&bundle)
            .map_err(|why| format!("{}: {why}; name it with --provider", path.display()))?,
    };
    let provider = find(providers, name)?;
    Ok(Side::Bundle(bundle, provider))
}
