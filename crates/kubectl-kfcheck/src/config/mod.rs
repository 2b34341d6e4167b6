//! The configuration file: what a team says once and for all, so that nobody types it.

mod apply;
mod file;
mod read;
mod values;

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use kfcheck::{Report, Suppression, World, suppress};
use kfcheck_kube::{Names, Thresholds};

pub use file::Deployment;

use crate::{Provider, args::ConfigTask};
use file::File;

/// The schema's name.
const SCHEMA: &str = "kfcheck.config/v1";

/// The JSON Schema of a configuration.
const JSON_SCHEMA: &str = include_str!("../../kfcheck.config.v1.schema.json");

/// The file that is read where none is named and it is there.
const USUAL: &str = ".kfcheck.yaml";

/// The variable that names a file.
const VARIABLE: &str = "KFCHECK_CONFIG";

/// Which configuration to read.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Configuration")]
pub struct ConfigArgs {
    /// The configuration; without it, the file that KFCHECK_CONFIG names, or ./.kfcheck.yaml if it
    /// is there. Flags win over what it says.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Read no configuration.
    #[arg(long, conflicts_with = "config")]
    pub no_config: bool,
    #[arg(skip)]
    pub(crate) read: Config,
}

/// What `kubectl kfcheck config` prints.
pub(crate) fn run(task: ConfigTask, providers: &[Provider]) -> Result<String, String> {
    match task {
        ConfigTask::Schema => Ok(JSON_SCHEMA.to_owned()),
        ConfigTask::Check { file: Some(path) } => Ok(Config::open(&path, providers)?.summary()),
        ConfigTask::Check { file: None } => {
            let config = Config::find(&ConfigArgs::default(), providers)?;
            if config.name.is_none() {
                return Err(format!("there is no {USUAL} here; name a file, or set {VARIABLE}"));
            }
            Ok(config.summary())
        }
    }
}

/// A configuration that was read; where there is none, one that says nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    file: File,
    suppressions: Vec<Suppression>,
    /// How it is called in messages.
    name: Option<String>,
}

impl Config {
    /// Reads the one that is meant, if any.
    pub(crate) fn find(args: &ConfigArgs, providers: &[Provider]) -> Result<Self, String> {
        if args.no_config {
            return Ok(Self::default());
        }
        let variable = env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        if let Some(path) = args.config.clone().or(variable) {
            return Self::open(&path, providers);
        }
        match fs::symlink_metadata(USUAL) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            _ => Self::open(Path::new(USUAL), providers),
        }
    }

    /// Reads this one.
    pub(crate) fn open(path: &Path, providers: &[Provider]) -> Result<Self, String> {
        let name = path.display().to_string();
        let text = fs::read_to_string(path);
        let text =
            text.map_err(|error| format!("cannot read the configuration {name}: {error}"))?;
        let (file, suppressions) = read::read(&text, &name, providers)?;
        Ok(Self { file, suppressions, name: Some(name) })
    }

    /// Marks what is suppressed in a report, of which some of the provider's checks were left out.
    pub(crate) fn suppress(&self, report: &mut Report, provider: &Provider) {
        let ran: Vec<_> = report.results.iter().map(|result| result.id).collect();
        let all = provider.checks.iter().map(|check| check.meta().id);
        let left_out: Vec<_> = all.filter(|id| !ran.contains(id)).collect();
        suppress(report, &self.suppressions, &left_out, Timestamp::now());
    }

    /// A world whose facts and checks know the names, thresholds and ranges.
    pub(crate) fn settle(&self, world: World) -> World {
        let world = world.setting(self.names()).setting(self.thresholds());
        #[cfg(feature = "gcp")]
        if !self.file.probes.google_ranges.is_empty() {
            let ranges = self.file.probes.google_ranges.iter().map(|range| range.0);
            return world.setting(kfcheck_gcp::Probers(ranges.collect()));
        }
        world
    }

    /// The names that differ.
    pub(crate) fn names(&self) -> Names {
        let names = &self.file.names;
        let all = |names: &[values::Name]| names.iter().map(|name| name.0.clone()).collect();
        Names {
            front: all(&names.gateway.namespaces),
            services: all(&names.gateway.services),
            gateway: names.gateway.istio.clone().map(|istio| (istio.0, istio.1)),
            dex: all(&names.dex),
            auth_proxy: all(&names.auth_proxy),
            metallb: names.metallb.clone().map(|name| name.0),
        }
    }

    fn thresholds(&self) -> Thresholds {
        let limits = self.file.thresholds;
        Thresholds {
            certificate_days: limits.certificate_days.map(|days| days.0),
            quota_percent: limits.quota_percent.and_then(|percent| percent.0.try_into().ok()),
            pod_minutes: limits.pod_minutes.map(|minutes| minutes.0),
            model_minutes: limits.model_minutes.map(|minutes| minutes.0),
            load_balancer_minutes: limits.load_balancer_minutes.map(|minutes| minutes.0),
            stack_days: limits.stack_days.map(|days| days.0),
        }
    }

    /// What is said of it once it was read: nothing is wrong with it.
    pub(crate) fn summary(&self) -> String {
        let name = self.name.as_deref().unwrap_or_default();
        match self.suppressions.len() {
            1 => format!("{name} is in order; it has 1 suppression.\n"),
            some => format!("{name} is in order; it has {some} suppressions.\n"),
        }
    }
}
