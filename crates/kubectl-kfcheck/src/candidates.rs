//! What may stand where on the command line, beyond what clap knows by itself.

use std::{
    ffi::{OsStr, OsString},
    sync::{Arc, OnceLock},
    time::Duration,
};

use clap::{Arg, Command, CommandFactory, ValueHint};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use kfcheck::Meta;
use kfcheck_kube::{Access, KubeconfigNames};

use crate::{Args, Provider, select::metas};

/// How long the cluster may take to name its namespaces. Whoever presses Tab waits for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// What of a file system the shell is to complete; said once the candidates are asked for.
#[derive(Clone, Default)]
pub(crate) struct Paths(Arc<OnceLock<Wanted>>);

impl Paths {
    /// Files, or folders alone; `None` where it is neither.
    pub(crate) fn wanted(&self) -> Option<Wanted> {
        self.0.get().copied()
    }
}

/// What of a file system is wanted.
#[derive(Clone, Copy)]
pub(crate) enum Wanted {
    /// Any file.
    Files,
    /// A folder.
    Folders,
}

/// The command line with what completes it. `line` is what was typed; `paths` says whether the shell
/// itself looks for files, and without it they are candidates like others.
pub(crate) fn command(providers: &[Provider], line: &[OsString], paths: Option<&Paths>) -> Command {
    let line = Line(Arc::new(line.iter().map(|word| word.to_string_lossy().into()).collect()));
    let names: Vec<_> = providers.iter().map(|provider| provider.name).collect();
    dress(Args::command(), providers, &Dresser { line, names, paths, checks: metas(providers) })
}

struct Dresser<'a> {
    line: Line,
    names: Vec<&'static str>,
    paths: Option<&'a Paths>,
    /// Those that the command has.
    checks: Vec<&'static Meta>,
}

fn dress(command: Command, providers: &[Provider], with: &Dresser<'_>) -> Command {
    let inside = command.get_name().to_owned();
    command.mut_args(|arg| with.complete(arg, &inside)).mut_subcommands(|sub| {
        let own = providers.iter().find(|provider| provider.name == sub.get_name());
        let checks = own.map_or_else(
            || with.checks.clone(),
            |own| own.checks.iter().map(|check| check.meta()).collect(),
        );
        let (line, names, paths) = (with.line.clone(), with.names.clone(), with.paths);
        dress(sub, providers, &Dresser { line, names, paths, checks })
    })
}

impl Dresser<'_> {
    /// An argument goes by its name, so that one that is added is completed like the others.
    fn complete(&self, arg: Arg, inside: &str) -> Arg {
        let line = self.line.clone();
        match arg.get_id().as_str() {
            "check" | "skip" => {
                let checks = self.checks.clone();
                arg.add(ArgValueCompleter::new(move |typed: &OsStr| {
                    let described = |meta: &&Meta| (meta.id.to_owned(), Some(meta.title));
                    matching(checks.iter().map(described), typed)
                }))
            }
            "context" | "config_connector_context" => of_kubeconfig(arg, line, |all| all.contexts),
            // What the clean-up takes is the name of a cluster that no kubeconfig leads to.
            "cluster" if inside != "cleanup" => of_kubeconfig(arg, line, |all| all.clusters),
            "user" => of_kubeconfig(arg, line, |all| all.users),
            "namespace" | "arp_pod_namespace" => {
                arg.add(ArgValueCompleter::new(move |typed: &OsStr| {
                    matching(namespaces(line.access()).into_iter().map(|name| (name, None)), typed)
                }))
            }
            "provider" => {
                let names = self.names.clone();
                arg.add(ArgValueCompleter::new(move |typed: &OsStr| {
                    matching(names.iter().map(|name| ((*name).to_owned(), None)), typed)
                }))
            }
            _ => self.path(arg),
        }
    }

    /// Where the shell completes paths, it is told so; it knows `~` and the like.
    fn path(&self, arg: Arg) -> Arg {
        let wanted = match arg.get_value_hint() {
            ValueHint::AnyPath | ValueHint::FilePath => Wanted::Files,
            ValueHint::DirPath => Wanted::Folders,
            _ => return arg,
        };
        let Some(paths) = self.paths.cloned() else { return arg };
        arg.add(ArgValueCompleter::new(move |_: &OsStr| {
            paths.0.get_or_init(|| wanted);
            Vec::new()
        }))
    }
}

fn of_kubeconfig(arg: Arg, line: Line, pick: fn(KubeconfigNames) -> Vec<String>) -> Arg {
    arg.add(ArgValueCompleter::new(move |typed: &OsStr| {
        let names = pick(line.access().names());
        matching(names.into_iter().map(|name| (name, None)), typed)
    }))
}

fn matching(
    all: impl Iterator<Item = (String, Option<&'static str>)>,
    typed: &OsStr,
) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    let begins = all.filter(|(value, _)| value.starts_with(&*typed));
    let candidate = |(value, help): (String, Option<&'static str>)| {
        CompletionCandidate::new(value).help(help.map(Into::into))
    };
    let mut candidates: Vec<_> = begins.map(candidate).collect();
    candidates.sort();
    candidates.dedup();
    candidates
}

/// The namespaces of the cluster; none where it doesn't say in time.
fn namespaces(access: Access) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return Vec::new() };
    let access = Access { request_timeout: Some(PATIENCE), ..access };
    let asked = runtime.block_on(async {
        tokio::time::timeout(PATIENCE, access.namespaces()).await.ok().and_then(Result::ok)
    });
    // A credential plugin that hangs is not waited for.
    runtime.shutdown_background();
    asked.unwrap_or_default()
}

/// The words of the command line.
#[derive(Clone)]
struct Line(Arc<Vec<String>>);

impl Line {
    /// The cluster that the line names so far.
    fn access(&self) -> Access {
        Access {
            kubeconfig: self.value("--kubeconfig").map(Into::into),
            context: self.value("--context"),
            cluster: self.value("--cluster"),
            user: self.value("--user"),
            impersonate: self.value("--as"),
            impersonate_uid: self.value("--as-uid"),
            impersonate_groups: self.value("--as-group").into_iter().collect(),
            ..Access::default()
        }
    }

    /// What follows a flag.
    fn value(&self, flag: &str) -> Option<String> {
        let mut words = self.0.iter();
        while let Some(word) = words.next() {
            let rest = word.strip_prefix(flag);
            match rest.map(|rest| (rest, rest.strip_prefix('='))) {
                Some((_, Some(value))) => return Some(value.to_owned()),
                Some(("", None)) => return words.next().cloned(),
                _ => {}
            }
        }
        None
    }
}
