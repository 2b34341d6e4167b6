use std::{
    io::{IsTerminal, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use kfcheck::{Bundle, Check, Report, Runner, World};
use kfcheck_report::{
    Output, Scope, Style, Threshold, Tool, dot, exit_code, html, json, junit, markdown, mermaid,
    output, prometheus, sarif, text, yaml,
};

use crate::{
    Provider,
    args::{EntranceArgs, FailOn, Format, Inspect},
    live::LiveArgs,
    print,
    progress::Progress,
    provider::CloudArgs,
    select::{self, select},
    write::save,
};

pub(crate) const TOOL: Tool = Tool { name: "kubectl-kfcheck", version: env!("CARGO_PKG_VERSION") };

/// How long a check may take where nobody says it.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Inspects, prints the report and gives the exit code.
pub(crate) async fn run<C: CloudArgs>(
    args: &Inspect<C>,
    provider: &Provider,
) -> Result<u8, String> {
    let start = Instant::now();
    let checks = select(&provider.checks, &args.check, &args.skip)?;
    let runner = Runner { timeout: args.timeout.unwrap_or(TIMEOUT), ..Runner::default() };
    let (world, mut report) = match &args.bundle {
        Some(path) => {
            let bundle = Bundle::open(path).map_err(|error| error.to_string())?;
            let world = World::replay(bundle).path(&provider.path).setting(args.entrance.target());
            let world = (provider.prepare)(args.live.config.read.settle(world));
            let report = runner.run(&world, &checks).await;
            (world, report)
        }
        None => ask(provider, &args.live, &args.entrance, args.verbose, &runner, &checks).await,
    };
    args.live.config.read.suppress(&mut report, provider);
    let scope = scope(&world, provider).await;
    let duration = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    let machine = || output(&report, TOOL, provider.name, &scope, duration);
    let rendered = render(args, provider, &report, machine)?;
    match &args.output_file {
        Some(path) => save(&rendered, path)?,
        None => print(&rendered)?,
    }
    if let Some(folder) = &args.save {
        let saved = world.bundle().write(folder);
        saved.map_err(|error| format!("cannot write {}: {error}", folder.display()))?;
    }
    let threshold = match args.fail_on.unwrap_or(FailOn::Fail) {
        FailOn::Fail => Threshold::Fail,
        FailOn::Warn => Threshold::Warn,
    };
    Ok(exit_code(&report, threshold))
}

/// Runs checks over the outside world, and shows that it does. Ctrl-C ends it early: what is known
/// by then is reported.
pub(crate) async fn ask<C: CloudArgs>(
    provider: &Provider,
    live: &LiveArgs<C>,
    entrance: &EntranceArgs,
    verbose: bool,
    runner: &Runner,
    checks: &[&'static dyn Check],
) -> (World, Report) {
    let progress = Arc::new(Progress::new(verbose));
    let shown = Arc::clone(&progress);
    let world = World::live().path(&provider.path).setting(entrance.target());
    let world = live.connect(world, entrance).observe(move |event| shown.note(&event));
    let world = (provider.prepare)(world);
    let report = {
        let running = std::pin::pin!(runner.run(&world, checks));
        let stopped = std::pin::pin!(stopped());
        match futures::future::select(running, stopped).await {
            futures::future::Either::Left((report, _)) => report,
            futures::future::Either::Right(((), running)) => {
                world.cancel();
                running.await
            }
        }
    };
    let left = live.cloud.leave().await;
    progress.clear();
    if let Err(says) = left {
        // The report is what was asked for, and goes to standard output.
        let _ = writeln!(std::io::stderr(), "kfcheck: {says}");
    }
    (world, report)
}

/// Waits for Ctrl-C, or for being told to end.
async fn stopped() {
    let interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut ending) = signal(SignalKind::terminate()) {
            let told = std::pin::pin!(ending.recv());
            futures::future::select(interrupted, told).await;
            return;
        }
    }
    let _ = interrupted.await;
}

fn render<C: CloudArgs>(
    args: &Inspect<C>,
    provider: &Provider,
    report: &Report,
    machine: impl Fn() -> Output,
) -> Result<String, String> {
    // anstream takes the colours out again where NO_COLOR says so.
    let colour = args.output_file.is_none() && std::io::stdout().is_terminal();
    match args.output {
        Format::Text => Ok(text(report, Style { verbose: args.verbose, colour })),
        Format::Json => json(&machine()),
        Format::Yaml => yaml(&machine()),
        Format::Html => html(&machine()),
        Format::Markdown => Ok(markdown(&machine())),
        Format::Junit => junit(&machine()),
        Format::Sarif => sarif(&machine(), |id| select::page(provider, id)),
        Format::Prometheus => Ok(prometheus(&machine())),
        Format::Dot => Ok(dot(&machine())),
        Format::Mermaid => Ok(mermaid(&machine())),
    }
}

async fn scope(world: &World, provider: &Provider) -> Scope {
    let cx = world.cx("scope");
    let context = cx.get(kfcheck_kube::Cluster).await.ok();
    let context = context.and_then(|cluster| cluster.context.clone());
    Scope { context, ..(provider.scope)(&cx).await }
}
