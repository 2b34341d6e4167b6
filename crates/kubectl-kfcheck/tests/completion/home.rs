//! A folder from which the program is completed.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_kubectl-kfcheck"))
}

pub(crate) const KUBECONFIG: &str = "{apiVersion: v1, kind: Config, current-context: prod, \
    contexts: [{name: prod, context: {cluster: kf, user: me}}, \
    {name: 'arn:aws:eks:eu-west-1:1:cluster/kf', context: {cluster: kf, user: me}}], \
    clusters: [{name: kf, cluster: {server: 'SERVER'}}], users: [{name: me, user: {token: x}}]}";

/// A folder with `kubectl_complete-kfcheck` and a kubeconfig, and how commands find them.
pub(crate) struct Home(pub(crate) TempDir);

impl Home {
    pub(crate) fn new(server: &str) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        fs::write(home.0.path().join("config"), KUBECONFIG.replace("SERVER", server)).unwrap();
        let installed = home.run(program(), &["completion", "install", "--dir", home.path()]);
        assert!(installed.status.success(), "{}", said(&installed));
        home
    }

    pub(crate) fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    pub(crate) fn run(&self, program: &Path, args: &[&str]) -> Output {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/kubectl/bin");
        let own = [self.0.path(), self::program().parent().unwrap(), &tools];
        let others = env::var_os("PATH").unwrap();
        let path = own.into_iter().map(PathBuf::from).chain(env::split_paths(&others));
        let mut command = Command::new(program);
        command.args(args).env("PATH", env::join_paths(path).unwrap());
        command.env("KUBECONFIG", self.0.path().join("config")).env("HOME", self.0.path());
        // A shell that has something to ask would wait for ever.
        command.stdin(Stdio::null());
        let ended = command.output();
        ended.unwrap_or_else(|error| {
            panic!("{}: {error}; scripts/setup --tests installs it", program.display())
        })
    }

    /// What the program answers kubectl.
    pub(crate) fn answer(&self, words: &[&str]) -> String {
        let ended = self.run(program(), &[&["__complete"], words].concat());
        assert!(ended.status.success() && ended.stderr.is_empty(), "{}", said(&ended));
        String::from_utf8(ended.stdout).unwrap()
    }

    /// The candidates alone.
    pub(crate) fn candidates(&self, words: &[&str]) -> Vec<String> {
        let answer = self.answer(words);
        let lines = answer.lines().filter(|line| !line.starts_with(':'));
        lines.map(|line| line.split('\t').next().unwrap().to_owned()).collect()
    }

    /// What bash makes of Tab after these words.
    pub(crate) fn bash(&self, script: &str, function: &str, words: &[&str]) -> Vec<String> {
        let quoted: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
        let line = words.join(" ").replace(" : ", ":");
        let text = format!(
            "source /usr/share/bash-completion/bash_completion\nsource <({script})\n\
             COMP_WORDS=({}); COMP_CWORD={}; COMP_LINE='{line}'; COMP_POINT={}; COMP_TYPE=9\n\
             {function} '{}' '{}' '{}' 2>/dev/null\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
            quoted.join(" "),
            words.len() - 1,
            line.len(),
            words[0],
            words[words.len() - 1],
            words[words.len() - 2],
        );
        let ended = self.run(Path::new("bash"), &["--norc", "-c", &text]);
        let lines = said(&ended);
        lines.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
    }

    /// The line that zsh has after these keys, at a terminal.
    pub(crate) fn zsh(&self, script: &str, keys: &str) -> String {
        let text = format!(
            "zmodload zsh/zpty\nzpty inner 'TERM=dumb zsh -f -i'\n\
             zpty -w inner 'PS1=; autoload -Uz compinit; compinit -u -d $HOME/dump; \
             source <({script}); shown() {{ print -r -- \"LINE<$BUFFER>\"; BUFFER=; }}; \
             zle -N shown; bindkey \"^X\" shown; print REA\"\"DY'\n\
             zpty -r inner seen '*READY*'\n\
             zpty -w -n inner $'{keys}\\C-x'\nzpty -r inner seen '*LINE<*>*'\n\
             print -r -- \"$seen\"; zpty -d inner"
        );
        let ended = self.run(Path::new("timeout"), &["60", "zsh", "-f", "-c", &text]);
        let seen = said(&ended);
        let line = seen.rsplit_once("LINE<").and_then(|(_, rest)| rest.split_once('>'));
        line.unwrap_or_else(|| panic!("no line in {seen:?}")).0.to_owned()
    }
}

pub(crate) fn said(ended: &Output) -> String {
    String::from_utf8_lossy(&[&ended.stdout[..], &ended.stderr[..]].concat()).into_owned()
}
