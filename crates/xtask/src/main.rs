//! Chores of this workspace: `cargo xtask new-check ID TITLE` starts a check, `cargo xtask krew` packs a
//! release.

mod krew;

use std::{
    env, fs,
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

const USAGE: &str = "\
usage: cargo xtask new-check ID TITLE
       cargo xtask krew VERSION FOLDER URL [PROGRAM]

new-check starts a check:
  ID     provider-subject, for example gcp-backend-health
  TITLE  the healthy state in up to 72 characters, without a full stop, for example
         \"Every backend service on the path has a healthy endpoint\"

krew packs the program for this machine's platform into FOLDER, and writes what krew takes:
  VERSION  v and the workspace's version, for example v0.1.0
  FOLDER   where archives of other platforms may be already; kfcheck.yaml names all of them
  URL      where the archives will be downloaded from, a folder of a release
  PROGRAM  the program, built for release; without it, it is built
";

/// Nothing was done, or not all of it.
const FAILED: u8 = 2;

/// A crate that has checks.
#[derive(Debug, PartialEq, Eq)]
struct Home {
    folder: &'static str,
    /// What the ids of its checks begin with.
    prefixes: &'static [&'static str],
    /// What a check of it imports.
    imports: &'static str,
    /// A scenario in which every check of it passes or has nothing to examine.
    healthy: &'static str,
}

static HOMES: [Home; 4] = [
    Home {
        healthy: HEALTHY,
        folder: "crates/kfcheck-kube",
        prefixes: &["kube", "istio", "kserve", "knative"],
        imports: "\nuse crate::FrontServices;",
    },
    Home {
        healthy: HEALTHY,
        folder: "plugins/gcp",
        prefixes: &["gcp"],
        imports: "use kfcheck_kube::FrontServices;",
    },
    Home {
        healthy: "tests/scenarios/aws-healthy-cognito/bundle",
        folder: "plugins/aws",
        prefixes: &["aws"],
        imports: "use kfcheck_kube::FrontServices;",
    },
    Home {
        healthy: "tests/scenarios/onprem-healthy-oauth2-proxy/bundle",
        folder: "plugins/onprem",
        prefixes: &["onprem"],
        imports: "use kfcheck_kube::FrontServices;",
    },
];

/// One that those of the cluster can be tried with.
const HEALTHY: &str = "tests/scenarios/gcp-healthy-instance-groups/bundle";

/// The check as it starts.
const TEMPLATE: &str = r#"use kfcheck::{Check, Cx, FactError, Findings, Risk, async_trait, check};
IMPORTS

// The sections describe the rule that this file starts with. Rewrite them together with it.
check! {
    /// ## What it checks
    /// That every Service that requests enter the cluster by has a port.
    ///
    /// ## Why it matters
    /// A Service without a port sends no request anywhere.
    ///
    /// ## How to fix it
    /// Write the port that the pods listen on into the Service's manifest.
    pub(crate) struct TYPE;
    id: "ID",
    title: TITLE,
}

#[async_trait]
impl Check for TYPE {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        for service in cx.get(FrontServices).await?.iter() {
            // Replace this condition by the rule of the check, and the finding below with it.
            if !service.spec.ports.is_empty() {
                out.ok(&**service);
                continue;
            }
            let (namespace, name) = (service.metadata.namespace(), &service.metadata.name);
            out.fail(&**service, "has no port").fix(
                Risk::None,
                "shows the Service",
                format!("kubectl get service {name} -n {namespace} -o yaml"),
            );
        }
        Ok(())
    }
}
"#;

fn main() -> ExitCode {
    let args: Vec<_> =
        env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["help" | "-h" | "--help"] | ["new-check" | "krew", "-h" | "--help"] => {
            Ok(USAGE.to_owned())
        }
        ["new-check", id, title] => new_check(&root(), id, title),
        ["krew", version, folder, url] => krew::pack(&root(), version, folder, url, None),
        ["krew", version, folder, url, program] => {
            krew::pack(&root(), version, folder, url, Some(program))
        }
        ["krew", ..] => Err(format!("krew takes a version, a folder and a URL\n\n{USAGE}")),
        ["new-check", ..] => Err(format!("new-check takes an id and a title\n\n{USAGE}")),
        [other, ..] => Err(format!("there is no `{other}`\n\n{USAGE}")),
        [] => Err(format!("say what to do\n\n{USAGE}")),
    };
    match done.and_then(|text| print(&text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // Where even that can't be said, the exit code has to do.
            let _ = writeln!(io::stderr(), "xtask: {}", message.trim_end());
            ExitCode::from(FAILED)
        }
    }
}

/// Writes to standard output. A reader that has seen enough is no error.
fn print(text: &str) -> Result<(), String> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| format!("cannot write to standard output: {error}")),
    }
}

/// The workspace that this program was built from.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new(".")).to_owned()
}

/// Starts a check and says what it did and what is left to do.
fn new_check(root: &Path, id: &str, title: &str) -> Result<String, String> {
    let names = Names::of(id)?;
    examine_title(title)?;
    let folder = names.home.folder;
    let check = format!("{folder}/src/checks/{}.rs", names.module);
    let modules = format!("{folder}/src/checks/mod.rs");
    let registry = format!("{folder}/src/lib.rs");
    if let Some(file) = declared_in(root, id)? {
        return Err(format!("{id} is a check already, in {file}"));
    }
    if root.join(&check).exists() {
        return Err(format!("{check} exists and stays as it is; choose another id"));
    }
    let modules_text = insert_module(&read(root, &modules)?, &names.module)
        .map_err(|error| format!("{modules}: {error}"))?;
    let registry_text = insert_entry(&read(root, &registry)?, &names.entry())
        .map_err(|error| format!("{registry}: {error}"))?;

    // Nothing is written before all of it is known to be possible.
    write_new(root, &check, &names.check(title))?;
    write(root, &modules, &modules_text)?;
    write(root, &registry, &registry_text)?;
    let Scenario { said, left } = new_scenario(root, id, names.home.healthy)
        .map_err(|error| format!("{check} is written and listed, its scenario is not: {error}"))?;
    Ok(format!(
        "wrote   {check}\nchanged {modules}\nchanged {registry}\n{said}\n\
         Left to do:\n  \
         1. Write the rule and its documentation in {check},\n     \
         and move its line in {registry} to where reports should have it.\n  \
         2. {left}\n  \
         3. UPDATE_EXPECT=1 cargo test -p kfcheck-tests\n     \
         and read the diff: {id} fails there, passes elsewhere and says what you mean.\n  \
         4. Add a line to CHANGELOG.md.\n"
    ))
}

/// What became of the scenario.
struct Scenario {
    said: String,
    left: String,
}

/// Copies the healthy bundle to where the scenario of a check goes.
fn new_scenario(root: &Path, id: &str, healthy: &str) -> Result<Scenario, String> {
    let folder = format!("tests/scenarios/{id}");
    let bundle = format!("{folder}/bundle");
    let broken = format!("Change {bundle} so that {id} fails there.");
    if root.join(&folder).exists() {
        return Ok(Scenario { said: format!("left    {folder} as it was\n"), left: broken });
    }
    if !root.join(healthy).is_dir() {
        let save = format!("kubectl kfcheck gcp --bundle OTHER --save {bundle}");
        let left = format!("Make {bundle} from one that there is:\n     {save}\n     {broken}");
        return Ok(Scenario { said: format!("no      {healthy} to copy\n"), left });
    }
    copy(&root.join(healthy), &root.join(&bundle))?;
    Ok(Scenario { said: format!("copied  {healthy}\n     to {bundle}\n"), left: broken })
}

/// What follows from the id of a check.
#[derive(Debug, PartialEq, Eq)]
struct Names {
    id: String,
    home: &'static Home,
    module: String,
    type_name: String,
}

impl Names {
    fn of(id: &str) -> Result<Self, String> {
        let shape = || format!("`{id}` is no id; write provider-subject, like gcp-backend-health");
        let (provider, subject) = id.split_once('-').ok_or_else(shape)?;
        if !id.split('-').all(is_word) || !subject.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Err(shape());
        }
        let home = HOMES.iter().find(|home| home.prefixes.contains(&provider));
        let home = home.ok_or_else(|| {
            let known: Vec<_> = HOMES.iter().flat_map(|home| home.prefixes).copied().collect();
            format!("no crate has checks of `{provider}`; there are {}", known.join(", "))
        })?;
        let (module, type_name) = (subject.replace('-', "_"), type_name(subject));
        if KEYWORDS.split(' ').any(|word| word == module) || USED.contains(&&*type_name) {
            return Err(format!("`{subject}` means something else in Rust; say more in the id"));
        }
        Ok(Self { id: id.to_owned(), home, module, type_name })
    }

    /// Its line in the list of checks.
    fn entry(&self) -> String {
        format!("&checks::{}::{}", self.module, self.type_name)
    }

    /// The text of its file.
    fn check(&self, title: &str) -> String {
        // The title comes last: whatever it says, nothing in it is replaced.
        let text = TEMPLATE.replace("IMPORTS", self.home.imports);
        let text = text.replace("TYPE", &self.type_name).replace("\"ID\"", &quoted(&self.id));
        text.replace("TITLE", &quoted(title))
    }
}

/// How long a title may be; a test of the whole says so, too.
const LONGEST: usize = 72;

/// What a module can't be named.
const KEYWORDS: &str = "abstract as async await become box break const continue crate do dyn else \
    enum extern false final fn for gen if impl in let loop macro match mod move mut override priv \
    pub ref return self static struct super trait true try type typeof unsafe unsized use virtual \
    where while yield";

/// What a check can't be named, because its file means something else by it.
const USED: [&str; 9] =
    ["Check", "Cx", "FactError", "Findings", "FrontServices", "Ok", "Result", "Risk", "Send"];

/// A part of an id.
fn is_word(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    !text.is_empty() && text.chars().all(plain)
}

/// `backend-health` is `BackendHealth`.
fn type_name(subject: &str) -> String {
    let mut name = String::new();
    for word in subject.split('-') {
        let mut letters = word.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    name
}

/// A string as Rust spells it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Whether a title is one line that the page of the check can end.
fn examine_title(title: &str) -> Result<(), String> {
    match title {
        _ if title.trim().is_empty() => Err("the title is empty".to_owned()),
        _ if title.trim() != title => Err("the title begins or ends with a space".to_owned()),
        _ if title.contains(char::is_control) => Err("the title is more than a line".to_owned()),
        _ if title.len() > LONGEST => {
            Err(format!("the title is {} characters long; {LONGEST} fit", title.len()))
        }
        _ if title.ends_with('.') => {
            Err("leave out the full stop of the title; its page adds one".to_owned())
        }
        _ => Ok(()),
    }
}

/// `text` of a `mod.rs` with one more module, in sorted order.
fn insert_module(text: &str, module: &str) -> Result<String, String> {
    let name = |line: &str| {
        let name = line.strip_prefix("pub(crate) mod ")?.strip_suffix(';')?;
        Some(name.to_owned())
    };
    let mut lines: Vec<_> = text.lines().collect();
    let modules: Vec<_> =
        lines.iter().enumerate().filter_map(|(at, line)| Some((at, name(line)?))).collect();
    if modules.iter().any(|(_, name)| name == module) {
        return Err(format!("it has a module {module} already"));
    }
    let next = modules.iter().find(|(_, name)| &**name > module).map(|(at, _)| *at);
    let after_last = modules.last().map(|(at, _)| at + 1);
    let line = format!("pub(crate) mod {module};");
    lines.insert(next.or(after_last).unwrap_or(lines.len()), &line);
    Ok(joined(&lines))
}

/// `text` of a `lib.rs` with one more check, at the end of the list of them.
fn insert_entry(text: &str, entry: &str) -> Result<String, String> {
    let mut lines: Vec<_> = text.lines().collect();
    let start = lines.iter().position(|line| line.starts_with("pub static CHECKS:"));
    let start = start.filter(|at| lines[*at].ends_with('[')).ok_or("it has no list `CHECKS`")?;
    let length = lines[start..].iter().position(|line| *line == "];");
    let end = start + length.ok_or("its list `CHECKS` does not end")?;
    let line = format!("    {entry},");
    if lines[start..end].contains(&&*line) {
        return Err(format!("it lists {entry} already"));
    }
    lines.insert(end, &line);
    Ok(joined(&lines))
}

fn joined(lines: &[&str]) -> String {
    lines.iter().flat_map(|line| [line, "\n"]).collect()
}

/// The file that declares a check of this id, if there is one.
fn declared_in(root: &Path, id: &str) -> Result<Option<String>, String> {
    for home in &HOMES {
        let folder = format!("{}/src/checks", home.folder);
        for entry in list(&root.join(&folder))? {
            let file = format!("{folder}/{}", entry.file_name().to_string_lossy());
            let is_rust = entry.path().extension().is_some_and(|extension| extension == "rs");
            if is_rust && declares(&read(root, &file)?, id) {
                return Ok(Some(file));
            }
        }
    }
    Ok(None)
}

/// Whether `text` declares a check of this id.
fn declares(text: &str, id: &str) -> bool {
    let line = format!("id: {},", quoted(id));
    text.lines().any(|other| other.trim() == line)
}

fn list(folder: &Path) -> Result<Vec<fs::DirEntry>, String> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect);
    entries.map_err(|error| format!("cannot read {}: {error}", folder.display()))
}

fn read(root: &Path, file: &str) -> Result<String, String> {
    fs::read_to_string(root.join(file)).map_err(|error| format!("cannot read {file}: {error}"))
}

fn write(root: &Path, file: &str, text: &str) -> Result<(), String> {
    fs::write(root.join(file), text).map_err(|error| format!("cannot write {file}: {error}"))
}

fn write_new(root: &Path, file: &str, text: &str) -> Result<(), String> {
    let new = fs::File::create_new(root.join(file));
    let written = new.and_then(|mut new| new.write_all(text.as_bytes()));
    written.map_err(|error| format!("cannot write {file}: {error}"))
}

/// Copies a folder with all that is in it. A bundle has no links.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let failed = |error| format!("cannot copy {} to {}: {error}", from.display(), to.display());
    fs::create_dir_all(to).map_err(failed)?;
    for entry in list(from)? {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            copy(&from, &to)?;
        } else if kind.is_file() {
            fs::copy(&from, &to).map_err(failed)?;
        } else {
            return Err(format!("cannot copy {}: it is neither file nor folder", from.display()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::PathBuf, process};

    use super::{
        HEALTHY, Names, declares, examine_title, insert_entry, insert_module, new_check, quoted,
    };

    #[test]
    fn an_id_names_crate_file_and_type() {
        let names = Names::of("gcp-backend-health").unwrap();
        assert_eq!(names.home.folder, "plugins/gcp");
        assert_eq!(names.module, "backend_health");
        assert_eq!(names.entry(), "&checks::backend_health::BackendHealth");
        for id in ["kube-jwks", "istio-jwks", "kserve-jwks", "knative-jwks"] {
            let names = Names::of(id).unwrap();
            assert_eq!(names.home.folder, "crates/kfcheck-kube");
            assert_eq!(names.entry(), "&checks::jwks::Jwks");
        }
        assert_eq!(Names::of("gcp-http2-port-80").unwrap().type_name, "Http2Port80");
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let wrong = ["", "gcp", "gcp-", "-gcp", "gcp--a", "gcp-A", "GCP-a", "gcp-a_b", "gcp-a-"];
        for id in wrong.iter().chain(&["gcp-../a", "gcp-a b", "gcp-ä", "gcp-2nd"]) {
            assert!(Names::of(id).unwrap_err().contains("is no id"), "{id}");
        }
        for id in ["gcp-mod", "kube-type", "kube-check", "gcp-front-services"] {
            assert!(Names::of(id).unwrap_err().contains("something else"), "{id}");
        }
        assert_eq!(
            Names::of("azure-dns").unwrap_err(),
            "no crate has checks of `azure`; there are kube, istio, kserve, knative, gcp, aws, onprem"
        );
    }

    #[test]
    fn a_title_is_one_line_without_its_full_stop() {
        assert_eq!(examine_title("Every \"Service\" is there"), Ok(()));
        assert_eq!(examine_title(&"x".repeat(72)), Ok(()));
        for title in ["", " ", "Two\nlines", "It ends.", " It begins", &"x".repeat(73)] {
            assert!(examine_title(title).is_err(), "{title:?}");
        }
    }

    #[test]
    fn modules_stay_sorted() {
        let text = "//! All.\n\npub(crate) mod backend_health;\npub(crate) mod quota;\n";
        let with = |module| insert_module(text, module).unwrap();
        let (head, health, quota) =
            ("//! All.\n\n", "pub(crate) mod backend_health;\n", "pub(crate) mod quota;\n");
        assert_eq!(with("address"), format!("{head}pub(crate) mod address;\n{health}{quota}"));
        assert_eq!(
            with("backendconfig"),
            format!("{head}{health}pub(crate) mod backendconfig;\n{quota}")
        );
        assert_eq!(with("static_ip"), format!("{head}{health}{quota}pub(crate) mod static_ip;\n"));
        assert_eq!(insert_module("", "jwks").unwrap(), "pub(crate) mod jwks;\n");
        assert!(insert_module(text, "quota").is_err());
    }

    #[test]
    fn an_entry_ends_the_list_of_checks() {
        let list = "pub static CHECKS: &[&dyn Check] = &[\n    &checks::a::A,\n];\n";
        let facts = "\npub static FACTS: &[FactMeta] = &[\n    FactMeta::of::<A>(),\n];\n";
        let added =
            "pub static CHECKS: &[&dyn Check] = &[\n    &checks::a::A,\n    &checks::b::B,\n];\n";
        let text = format!("{list}{facts}");
        assert_eq!(insert_entry(&text, "&checks::b::B").unwrap(), format!("{added}{facts}"));
        let after = insert_entry(&format!("{facts}{list}"), "&checks::b::B").unwrap();
        assert_eq!(after, format!("{facts}{added}"));
        let empty = "pub static CHECKS: &[&dyn Check] = &[\n];\n";
        assert!(insert_entry(empty, "&checks::a::A").unwrap().contains("[\n    &checks::a::A,\n]"));
        assert!(insert_entry(&text, "&checks::a::A").is_err());
        assert!(insert_entry(facts, "&checks::a::A").is_err());
        assert!(insert_entry("pub static CHECKS: &[&dyn Check] = &[\n", "&checks::a::A").is_err());
        assert!(
            insert_entry("pub static CHECKS: &[&dyn Check] = &[];\n", "&checks::a::A").is_err()
        );
    }

    #[test]
    fn a_check_is_documented_and_says_its_title_as_it_is() {
        let title = r#"No "TYPE" is ID or C:\IMPORTS"#;
        let text = Names::of("gcp-a-b").unwrap().check(title);
        assert!(text.contains("pub(crate) struct AB;\n    id: \"gcp-a-b\",\n"), "{text}");
        assert!(text.contains(r#"title: "No \"TYPE\" is ID or C:\\IMPORTS","#), "{text}");
        assert!(
            text.contains("async_trait, check};\nuse kfcheck_kube::FrontServices;\n\n"),
            "{text}"
        );
        for heading in ["## What it checks", "## Why it matters", "## How to fix it"] {
            assert!(text.contains(heading), "{text}");
        }
        assert!(declares(&text, "gcp-a-b") && !declares(&text, "gcp-a"));
        let text = Names::of("kube-a").unwrap().check("A");
        assert!(text.contains("async_trait, check};\n\nuse crate::FrontServices;\n\n"), "{text}");
        assert_eq!(quoted("a"), "\"a\"");
    }

    /// A workspace as far as `new-check` sees it, gone with its owner.
    struct Workspace(PathBuf);

    impl Workspace {
        fn new(name: &str) -> Self {
            let root = env::temp_dir().join(format!("xtask-{name}-{}", process::id()));
            for folder in ["crates/kfcheck-kube", "plugins/gcp", "plugins/aws", "plugins/onprem"] {
                let checks = root.join(folder).join("src/checks");
                fs::create_dir_all(&checks).unwrap();
                fs::write(checks.join("mod.rs"), "pub(crate) mod old;\n").unwrap();
                fs::write(checks.join("old.rs"), "check! {\n    id: \"kube-old\",\n}\n").unwrap();
                let list = "pub static CHECKS: &[&dyn Check] = &[\n    &checks::old::Old,\n];\n";
                fs::write(checks.join("../lib.rs"), list).unwrap();
            }
            Self(root)
        }

        fn read(&self, file: &str) -> String {
            fs::read_to_string(self.0.join(file)).unwrap()
        }
    }

    impl Drop for Workspace {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_new_check_is_written_listed_and_has_its_scenario() {
        let workspace = Workspace::new("new");
        let deep = workspace.0.join(HEALTHY).join("gcp/compute");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("addresses.json"), "[]").unwrap();

        let said = new_check(&workspace.0, "gcp-new-one", "All is well").unwrap();
        let ours = "tests/scenarios/gcp-new-one/bundle";
        assert!(said.contains(&format!("Change {ours} so that gcp-new-one fails")), "{said}");
        assert!(declares(&workspace.read("plugins/gcp/src/checks/new_one.rs"), "gcp-new-one"));
        assert!(
            workspace.read("plugins/gcp/src/checks/mod.rs").starts_with("pub(crate) mod new_one")
        );
        assert!(
            workspace.read("plugins/gcp/src/lib.rs").contains("    &checks::new_one::NewOne,\n")
        );
        assert_eq!(workspace.read(&format!("{ours}/gcp/compute/addresses.json")), "[]");

        let again = new_check(&workspace.0, "gcp-new-one", "All is well").unwrap_err();
        assert_eq!(again, "gcp-new-one is a check already, in plugins/gcp/src/checks/new_one.rs");
    }

    #[test]
    fn what_is_there_stays_as_it_is() {
        let workspace = Workspace::new("there");
        let modules = workspace.read("crates/kfcheck-kube/src/checks/mod.rs");
        let taken = new_check(&workspace.0, "istio-old", "All is well").unwrap_err();
        assert!(taken.contains("checks/old.rs exists"), "{taken}");
        assert_eq!(workspace.read("crates/kfcheck-kube/src/checks/mod.rs"), modules);

        // Without a healthy bundle to copy, it says how to make one; a scenario is never touched.
        let said = new_check(&workspace.0, "kube-a", "All is well").unwrap();
        assert!(said.contains("--save tests/scenarios/kube-a/bundle"), "{said}");
        fs::create_dir_all(workspace.0.join("tests/scenarios/kube-b")).unwrap();
        let said = new_check(&workspace.0, "kube-b", "All is well").unwrap();
        assert!(said.contains("left    tests/scenarios/kube-b as it was"), "{said}");
    }
}
