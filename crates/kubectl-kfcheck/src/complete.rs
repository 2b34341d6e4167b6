//! What a shell is told when somebody presses Tab.

use std::{
    env,
    ffi::{OsStr, OsString},
    io::{self, Write},
};

use clap_complete::{
    engine::{CompletionCandidate, complete},
    env::{Bash, EnvCompleter, Fish, Zsh},
};

use crate::{
    Provider,
    candidates::{Paths, Wanted, command},
};

/// What `kubectl_complete-kfcheck` asks this program for (Kubernetes documentation, "Extend kubectl
/// with plugins").
pub(crate) const ASKS: &str = "__complete";
/// What the script of a shell sets to the shell's name where it asks.
const VARIABLE: &str = "KFCHECK_COMPLETE";
/// The command that such a script completes.
const PROGRAM: &str = "kubectl-kfcheck";

/// Answers a shell. `None` where none asks, and the program is to do what it is for.
///
/// Whatever goes wrong, a shell would take for a candidate: so nothing is said, but for what can be
/// completed.
pub(crate) fn answer(providers: &[Provider]) -> Option<()> {
    let words: Vec<_> = env::args_os().skip(1).collect();
    let says = match (words.split_first(), env::var(VARIABLE)) {
        (Some((asks, words)), _) if asks == ASKS => for_kubectl(providers, words),
        (Some((_, words)), Ok(name)) => {
            let shell = shell(&name)?;
            let mut command = command(providers, words, None);
            let mut says = Vec::new();
            let here = env::current_dir().ok();
            let done =
                shell.write_complete(&mut command, words.to_vec(), here.as_deref(), &mut says);
            done.map(|()| says).unwrap_or_default()
        }
        _ => return None,
    };
    // Whoever doesn't read it doesn't want it.
    let _ = io::stdout().lock().write_all(&says);
    Some(())
}

/// The script that has a shell ask.
pub(crate) fn script(name: &str) -> Result<String, String> {
    let failed = || format!("there is no script for {name}");
    let shell = shell(name).ok_or_else(failed)?;
    let mut text = Vec::new();
    shell
        .write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut text)
        .map_err(|_| failed())?;
    String::from_utf8(text).map_err(|_| failed())
}

fn shell(name: &str) -> Option<&'static dyn EnvCompleter> {
    let shells: [&'static dyn EnvCompleter; 3] = [&Bash, &Zsh, &Fish];
    shells.into_iter().find(|shell| shell.name() == name)
}

/// As cobra has it, which kubectl is made with: a candidate a line, then what the shell is to do.
fn for_kubectl(providers: &[Provider], words: &[OsString]) -> Vec<u8> {
    let typed = words.last().cloned().unwrap_or_default();
    let paths = Paths::default();
    let mut command = command(providers, words, Some(&paths));
    let mut line: Vec<_> = std::iter::once(PROGRAM.into()).chain(words.iter().cloned()).collect();
    // Where a flag has two names, the longer one says more.
    match line.last_mut() {
        Some(last) if last == "-" => *last = "--".into(),
        _ if words.is_empty() => line.push(OsString::new()),
        _ => {}
    }
    let last = line.len() - 1;
    let candidates = complete(&mut command, line, last, None).unwrap_or_default();
    let mut says = String::new();
    let paths = paths.wanted();
    for candidate in wanted(&candidates, &typed, paths.is_some()) {
        says += &line_of(candidate, &typed);
    }
    // ShellCompDirectiveNoFileComp, unless files are what is wanted.
    says += match paths {
        None => ":4\n",
        Some(Wanted::Files) => ":0\n",
        Some(Wanted::Folders) => ":16\n",
    };
    says.into_bytes()
}

/// Flags are for whoever begins one, or where there is nothing else.
fn wanted<'a>(
    all: &'a [CompletionCandidate],
    typed: &OsStr,
    is_path: bool,
) -> Vec<&'a CompletionCandidate> {
    let is_flag = |one: &&CompletionCandidate| one.get_value().as_encoded_bytes().starts_with(b"-");
    let others: Vec<_> = all.iter().filter(|one| !is_flag(one)).collect();
    if typed.is_empty() && (is_path || !others.is_empty()) { others } else { all.iter().collect() }
}

fn line_of(candidate: &CompletionCandidate, typed: &OsStr) -> String {
    let value = candidate.get_value().to_string_lossy();
    // Of `--flag=value` kubectl's scripts want the value.
    let typed = typed.to_string_lossy();
    let flag = typed.split_once('=').filter(|(flag, _)| flag.starts_with('-'));
    let value = match flag {
        Some((flag, _)) => value.strip_prefix(flag).and_then(|rest| rest.strip_prefix('=')),
        None => None,
    }
    .unwrap_or(&value)
    .to_owned();
    let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
    match help.lines().next().map(str::trim).filter(|first| !first.is_empty()) {
        Some(first) => format!("{value}\t{}\n", first.replace('\t', " ")),
        None => format!("{value}\n"),
    }
}
