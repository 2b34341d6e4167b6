//! `kubectl kfcheck completion`.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use clap::{Subcommand, ValueHint};

use crate::{
    complete::{ASKS, script},
    print,
    write::save,
};

/// The program as kubectl looks for it.
const PROGRAM: &str = "kubectl-kfcheck";
/// What kubectl asks, so that the plugin is completed.
const ASKED: &str = "kubectl_complete-kfcheck";

/// Which completion.
#[derive(Debug, Subcommand)]
pub enum Completion {
    /// Put kubectl_complete-kfcheck where kubectl finds it, so that Tab completes `kubectl kfcheck`.
    #[command(after_help = "Examples:\n  \
        kubectl kfcheck completion install                  # beside the program\n  \
        kubectl kfcheck completion install --dir ~/bin      # where that is on your PATH\n\n\
        In bash, newer kubectl completes nothing after a comma; say --check twice there.")]
    Install {
        /// The folder to put it into, one that is on your PATH; without it, the program's own.
        #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
    },
    /// Print a script for bash that completes `kubectl-kfcheck`.
    #[command(after_help = "Example:\n  source <(kubectl-kfcheck completion bash)")]
    Bash,
    /// Print a script for zsh that completes `kubectl-kfcheck`.
    #[command(after_help = "Example:\n  source <(kubectl-kfcheck completion zsh)")]
    Zsh,
    /// Print a script for fish that completes `kubectl-kfcheck`.
    #[command(after_help = "Example:\n  kubectl-kfcheck completion fish | source")]
    Fish,
}

/// Installs it, or prints the script.
pub(crate) fn run(what: &Completion) -> Result<u8, String> {
    let text = match what {
        Completion::Install { dir } => install(dir.as_deref())?,
        Completion::Bash => script("bash")?,
        Completion::Zsh => script("zsh")?,
        Completion::Fish => script("fish")?,
    };
    print(&text)?;
    Ok(0)
}

fn install(folder: Option<&Path>) -> Result<String, String> {
    let folder = match folder {
        Some(folder) => folder.to_owned(),
        None => beside_the_program()?,
    };
    if !folder.is_dir() {
        return Err(format!("{} is no folder; make it, or name another", folder.display()));
    }
    let file = folder.join(ASKED);
    let text = format!("#!/bin/sh\nexec {PROGRAM} {ASKS} \"$@\"\n");
    let before = fs::read_to_string(&file);
    if before.is_err() && fs::symlink_metadata(&file).is_ok()
        || before.is_ok_and(|there| !there.contains(ASKS))
    {
        let file = file.display();
        return Err(format!("{file} is not of kfcheck's making and stays; move it away"));
    }
    save(&text, &file).map_err(|error| format!("{error}; name another folder with --dir"))?;
    executable(&file).map_err(|error| format!("cannot make {} run: {error}", file.display()))?;
    Ok(format!("wrote {}\n{}{HOW}", file.display(), off_the_path(&folder)))
}

/// How kubectl's own completion is turned on (`kubectl completion --help`).
const HOW: &str = "\
kubectl 1.26 and later asks it where kubectl's own completion is on:
  bash  source <(kubectl completion bash)   # in ~/.bashrc; needs the package bash-completion
  zsh   source <(kubectl completion zsh)    # in ~/.zshrc, after compinit
  fish  kubectl completion fish | source    # in ~/.config/fish/config.fish
Open a new shell, and try  kubectl kfcheck <TAB>
";

/// Where the program is found, not where a link leads: krew has one in the folder on PATH.
fn beside_the_program() -> Result<PathBuf, String> {
    let own = env::current_exe()
        .map_err(|error| format!("cannot tell where this program is: {error}; say --dir"))?;
    let found = folders().into_iter().find(|folder| {
        fs::canonicalize(folder.join(PROGRAM)).is_ok_and(|there| Some(there) == whole(&own))
    });
    let parent = || own.parent().map(Path::to_owned);
    found.or_else(parent).ok_or_else(|| "cannot tell where this program is; say --dir".to_owned())
}

fn whole(path: &Path) -> Option<PathBuf> {
    fs::canonicalize(path).ok()
}

fn folders() -> Vec<PathBuf> {
    env::var_os("PATH").iter().flat_map(env::split_paths).collect()
}

fn off_the_path(folder: &Path) -> String {
    let is_on = |what: &Path| folders().iter().any(|other| whole(other) == whole(what));
    let mut says = String::new();
    if !is_on(folder) {
        says += &format!("kubectl doesn't look there: {} is not on your PATH\n", folder.display());
    }
    if !folders().iter().any(|folder| folder.join(PROGRAM).is_file()) {
        says += &format!("no {PROGRAM} is on your PATH, and it is what this runs\n");
    }
    says
}

#[cfg(unix)]
fn executable(file: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    // As many as may read it may run it.
    let mode = fs::metadata(file)?.permissions().mode();
    fs::set_permissions(file, fs::Permissions::from_mode(mode | (mode & 0o444) >> 2))
}

#[cfg(not(unix))]
fn executable(_: &Path) -> std::io::Result<()> {
    Ok(())
}
