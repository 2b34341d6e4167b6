//! `kubectl kfcheck aws cleanup`.

use std::{
    fs,
    io::{self, BufRead, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use kfcheck_aws::{
    AwsAccess,
    cleanup::{
        Account, Applied, Halt, Orphan, Pace, Plan, Progressed, Wishes, apply, restore, resume,
    },
};
use kfcheck_report::wrap;

use crate::{amazon::AwsArgs, print, progress::Progress};

/// What to clean up, and how far to go.
#[derive(Debug, clap::Args)]
pub struct Cleanup {
    /// The cluster that is gone, as eksctl's tags name it; without it, all such are listed.
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// Do it: the plan for the cluster, after its name was typed, or the plan in a file.
    #[arg(long, value_name = "PLAN", num_args = 0..=1, conflicts_with = "plan_out")]
    pub apply: Option<Option<PathBuf>>,
    /// Write the plan to a file, to be looked at and applied by others.
    #[arg(long, value_name = "FILE", requires = "cluster")]
    pub plan_out: Option<PathBuf>,
    /// Ask nobody; only for a plan in a file, which was looked at before.
    #[arg(long, requires = "apply")]
    pub yes: bool,
    /// Where to write down what is done; without it, kfcheck-cleanup-CLUSTER.jsonl.
    #[arg(long, value_name = "FILE", requires = "apply")]
    pub journal: Option<PathBuf>,
    /// Go on with what a journal tells was begun.
    #[arg(long, value_name = "JOURNAL", conflicts_with_all = ["cluster", "apply", "restore_policies"])]
    pub resume: Option<PathBuf>,
    /// Put the policies back that a journal tells were taken off roles which are still there.
    #[arg(long, value_name = "JOURNAL", conflicts_with_all = ["cluster", "apply"])]
    pub restore_policies: Option<PathBuf>,
    /// Lift the termination protection of this stack; may be given several times.
    #[arg(long, value_name = "STACK", requires = "cluster")]
    pub disable_termination_protection: Vec<String>,
    /// Leave behind this part of a stack, which could not be deleted; may be given several times.
    #[arg(long, value_name = "STACK/PART", requires = "cluster", value_parser = part)]
    pub retain: Vec<(String, String)>,
    /// Delete this stack by force: what can't be deleted is left behind, and no stack knows it.
    #[arg(long, value_name = "STACK", requires = "cluster")]
    pub force_delete_stack: Vec<String>,
    /// Show each call that reads, with the time it took.
    #[arg(short, long)]
    pub verbose: bool,
    /// How long is waited between two looks at something that goes on, in milliseconds.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 5000, hide = true)]
    pub look_every: u64,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show it as the command's own text")]
    pub aws: AwsArgs,
}

fn part(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((stack, part)) if !stack.is_empty() && !part.is_empty() => {
            Ok((stack.to_owned(), part.to_owned()))
        }
        _ => Err("expected STACK/PART, for example eksctl-kf-cluster/VPC".to_owned()),
    }
}

/// Not everything that was to be done was.
const INCOMPLETE: u8 = 1;
/// Something that decides could not be seen.
const UNSEEN: u8 = 3;

/// What is asked for.
enum Task<'a> {
    Resume(&'a Path),
    Restore(&'a Path),
    ApplyFile(&'a Path),
    Apply(&'a str),
    Plan(&'a str),
    List,
}

impl<'a> Task<'a> {
    fn of(args: &'a Cleanup) -> Result<Self, String> {
        if let Some(journal) = &args.resume {
            return Ok(Self::Resume(journal));
        }
        if let Some(journal) = &args.restore_policies {
            return Ok(Self::Restore(journal));
        }
        let file = args.apply.as_ref().and_then(Option::as_deref);
        if args.yes && file.is_none() {
            return Err("--yes goes with a plan in a file only: --plan-out writes one".to_owned());
        }
        match (file, &args.apply, &args.cluster) {
            (Some(_), _, Some(_)) => {
                Err("--apply takes --cluster NAME or a plan in a file, not both".to_owned())
            }
            (Some(file), ..) => Ok(Self::ApplyFile(file)),
            (None, Some(_), Some(cluster)) => Ok(Self::Apply(cluster)),
            (None, Some(_), None) => {
                Err("--apply takes --cluster NAME, or a plan in a file".to_owned())
            }
            (None, None, Some(cluster)) => Ok(Self::Plan(cluster)),
            (None, None, None) => Ok(Self::List),
        }
    }
}

/// Lists, plans, or does it.
pub(crate) async fn run(args: &Cleanup) -> Result<u8, String> {
    let progress = Arc::new(Progress::new(args.verbose));
    let shown = Arc::clone(&progress);
    let account = account(args).observe(move |event| shown.note(&event));
    let outcome = match Task::of(args)? {
        Task::Resume(journal) => {
            let applied = resume(&account, journal, pace(args), show(&progress)).await;
            applied.map(|applied| told(&applied, journal))
        }
        Task::Restore(journal) => {
            restore(&account, journal).await.map(|applied| restored(&applied))
        }
        Task::ApplyFile(file) => {
            let plan = read(file)?;
            do_it(args, &account, &plan, &progress).await
        }
        Task::Apply(cluster) => match account.plan(cluster, &wishes(args)).await {
            Ok(plan) => do_it(args, &account, &plan, &progress).await,
            Err(halt) => Err(halt),
        },
        Task::Plan(cluster) => match account.plan(cluster, &wishes(args)).await {
            Ok(plan) => {
                if let Some(file) = &args.plan_out {
                    write(file, &plan)?;
                }
                Ok((describe(&plan, args.plan_out.as_deref()), 0))
            }
            Err(halt) => Err(halt),
        },
        Task::List => list(&account).await,
    };
    progress.clear();
    match outcome {
        Ok((says, code)) => {
            print(&says)?;
            Ok(code)
        }
        Err(halt) => {
            let mut says = wrap(&format!("kfcheck: {halt}"), "", "  ");
            if let (Halt::Stopped(_), Some(journal)) = (&halt, journal(args)) {
                let journal = journal.display();
                says += &wrap(
                    &format!("kubectl kfcheck aws cleanup --resume {journal} goes on from there."),
                    "",
                    "  ",
                );
            }
            let _ = io::stderr().write_all(says.as_bytes());
            Ok(if matches!(halt, Halt::Refused(_)) { UNSEEN } else { INCOMPLETE })
        }
    }
}

fn account(args: &Cleanup) -> Account {
    Account::new(AwsAccess {
        profile: args.aws.profile.clone(),
        region: args.aws.region.clone(),
        cluster: None,
        endpoint: args.aws.endpoint_url.clone(),
        credentials: None,
    })
}

fn pace(args: &Cleanup) -> Pace {
    Pace { look: Duration::from_millis(args.look_every), ..Pace::default() }
}

fn wishes(args: &Cleanup) -> Wishes {
    let mut wishes = Wishes {
        unprotect: args.disable_termination_protection.iter().cloned().collect(),
        force: args.force_delete_stack.iter().cloned().collect(),
        ..Wishes::default()
    };
    for (stack, part) in &args.retain {
        wishes.retain.entry(stack.clone()).or_default().insert(part.clone());
    }
    wishes
}

/// The journal of this run.
fn journal(args: &Cleanup) -> Option<PathBuf> {
    let named = args.resume.clone().or_else(|| args.journal.clone());
    let file = args.apply.as_ref().and_then(Option::as_deref);
    let cluster = || match file {
        Some(file) => read(file).ok().map(|plan| plan.cluster),
        None => args.cluster.clone(),
    };
    named.or_else(|| Some(format!("kfcheck-cleanup-{}.jsonl", cluster()?).into()))
}

async fn do_it(
    args: &Cleanup,
    account: &Account,
    plan: &Plan,
    progress: &Progress,
) -> Result<(String, u8), Halt> {
    let journal = journal(args).unwrap_or_else(|| "kfcheck-cleanup.jsonl".into());
    if plan.steps.is_empty() {
        return Ok((describe(plan, None), 0));
    }
    let agrees = async |plan: &Plan| {
        progress.clear();
        let _ = io::stderr().write_all(describe(plan, None).as_bytes());
        args.yes || is_typed(&plan.cluster)
    };
    let applied = apply(account, plan, &journal, pace(args), agrees, show(progress)).await?;
    Ok(told(&applied, &journal))
}

/// Whether somebody types the cluster's name.
fn is_typed(cluster: &str) -> bool {
    let asks =
        "\nThis can't be undone, but for what the plan says. Type the cluster's name to do it: ";
    let _ = io::stderr().write_all(asks.as_bytes());
    let mut typed = String::new();
    io::stdin().lock().read_line(&mut typed).is_ok() && typed.trim() == cluster
}

/// Shows what goes on, on standard error.
fn show(progress: &Progress) -> impl FnMut(Progressed<'_>) {
    progress.clear();
    |progressed| {
        let says = match progressed {
            Progressed::Step(nth, of, step) => {
                wrap(&format!("[{nth}/{of}] {}", step.action.says()), "", "        ")
            }
            Progressed::Done => "        done\n".to_owned(),
            Progressed::Already => "        nothing left to do\n".to_owned(),
            Progressed::Skipped(because) => {
                wrap(&format!("left out: {because}"), "        ", "          ")
            }
            Progressed::Event(event) => {
                let reason = match event.resource_status_reason.to_string() {
                    reason if reason.is_empty() => reason,
                    reason => format!(": {reason}"),
                };
                let says =
                    format!("{} {}{reason}", event.logical_resource_id, event.resource_status);
                wrap(&says, "        ", "          ")
            }
            Progressed::Again(because, steps) => {
                let says = format!(
                    "it could not be deleted: {}; it is tried again, {steps} more steps come first",
                    because.join("; ")
                );
                wrap(&says, "        ", "          ")
            }
        };
        // Where nobody can be told, the journal still is.
        let _ = io::stderr().write_all(says.as_bytes());
    }
}

fn told(applied: &Applied, journal: &Path) -> (String, u8) {
    let mut says = match applied.skipped.len() {
        0 => format!("All is done: {}.\n", steps(applied.done)),
        left => format!("{} done, {left} left out:\n", steps(applied.done)),
    };
    for (what, because) in &applied.skipped {
        says += &wrap(&format!("{what}: {because}"), "  - ", "    ");
    }
    says += &wrap(&format!("{} tells what was done.", journal.display()), "", "");
    (says, if applied.skipped.is_empty() { 0 } else { INCOMPLETE })
}

fn restored(applied: &Applied) -> (String, u8) {
    let mut says = match applied.done {
        1 => "1 thing was put back.\n".to_owned(),
        count => format!("{count} things were put back.\n"),
    };
    for (what, because) in &applied.skipped {
        says += &wrap(&format!("not undone: {what}: {because}"), "  - ", "    ");
    }
    (says, if applied.skipped.is_empty() { 0 } else { INCOMPLETE })
}

fn steps(count: usize) -> String {
    if count == 1 { "1 step".to_owned() } else { format!("{count} steps") }
}

async fn list(account: &Account) -> Result<(String, u8), Halt> {
    let (account_id, region) = account.place().await?;
    let orphans = account.orphans().await?;
    if orphans.is_empty() {
        let says = format!(
            "No cluster that is gone left stacks of eksctl's behind in account {account_id}, {region}."
        );
        return Ok((wrap(&says, "", ""), 0));
    }
    let mut says = wrap(&format!("Left behind in account {account_id}, {region}:"), "", "");
    for Orphan { cluster, stacks } in &orphans {
        says += &format!("\n{cluster}\n");
        for stack in stacks {
            let protected = if stack.enable_termination_protection { ", protected" } else { "" };
            let line = format!("{} ({}{protected})", stack.stack_name, stack.stack_status);
            says += &wrap(&line, "  ", "    ");
        }
        says += &wrap(&format!("kubectl kfcheck aws cleanup --cluster {cluster}"), "  ", "    ");
    }
    Ok((says, 0))
}

/// The plan, for people.
fn describe(plan: &Plan, file: Option<&Path>) -> String {
    let Plan { cluster, account_id, region, .. } = plan;
    let mut says = match plan.steps.len() {
        0 => wrap(
            &format!(
                "Nothing of cluster {cluster} is to be deleted in account {account_id}, {region}."
            ),
            "",
            "",
        ),
        count => wrap(
            &format!(
                "{} to delete what cluster {cluster} left behind in account {account_id}, {region}:",
                steps(count)
            ),
            "",
            "",
        ),
    };
    for (nth, step) in plan.steps.iter().enumerate() {
        says += "\n";
        says += &wrap(&step.action.says(), &format!("{:3}. ", nth + 1), "     ");
        says += &wrap(&step.because, "     because  ", "              ");
        says += &wrap(step.action.undo(), "     undo     ", "              ");
    }
    if !plan.kept.is_empty() {
        says += "\nNot touched:\n";
        for kept in &plan.kept {
            says += &wrap(&format!("{}: {}", kept.what, kept.because), "  - ", "    ");
        }
    }
    match file {
        Some(file) if !plan.steps.is_empty() => {
            let file = file.display();
            says += &wrap(
                &format!(
                    "\n{file} holds this plan; kubectl kfcheck aws cleanup --apply {file} does it."
                ),
                "",
                "",
            );
        }
        _ => (),
    }
    says
}

fn read(file: &Path) -> Result<Plan, String> {
    let text =
        fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    serde_json::from_slice(&text)
        .map_err(|error| format!("{} is no plan of the clean-up's: {error}", file.display()))
}

fn write(file: &Path, plan: &Plan) -> Result<(), String> {
    let failed = |error: String| format!("cannot write {}: {error}", file.display());
    let mut text = serde_json::to_vec_pretty(plan).map_err(|error| failed(error.to_string()))?;
    text.push(b'\n');
    fs::write(file, text).map_err(|error| failed(error.to_string()))
}
