use std::{
    io::{IsTerminal, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use kfcheck::{Bundle, Check, Report, Runner, World};
use kfcheck_kube::Target;
use kfcheck_report::{
    Output, Scope, Style, Threshold, Tool, dot, exit_code, html, json, junit, markdown, mermaid,
    output, prometheus, sarif, text, yaml,
};

use crate::{
    Provider, again,
    args::{EntranceArgs, FailOn, Format, Inspect},
    config::Config,
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
    let seen = match (args.again.wait, args.again.watch) {
        (None, false) => look(args, provider).await?,
        (Some(limit), _) => again::wait(args, provider, limit).await?,
        (None, true) => return again::watch(args, provider).await,
    };
    let rendered = render(args, provider, &seen)?;
    match &args.output_file {
        Some(path) => save(&rendered, path)?,
        None => print(&rendered)?,
    }
    if let Some(folder) = &args.save {
        let saved = seen.world.bundle().write(folder);
        saved.map_err(|error| format!("cannot write {}: {error}", folder.display()))?;
    }
    let code = seen.exit_code(args.fail_on.unwrap_or_default());
    if args.bundle.is_some() {
        // The process ends here, and a large bundle takes long to take apart.
        std::mem::forget(seen);
    }
    Ok(code)
}

/// What one inspection saw.
pub(crate) struct Seen {
    world: World,
    pub(crate) report: Report,
    scope: Scope,
    duration_ms: u64,
}

impl Seen {
    pub(crate) fn output(&self, provider: &Provider) -> Output {
        output(&self.report, TOOL, provider.name, &self.scope, self.duration_ms)
    }

    pub(crate) fn exit_code(&self, fail_on: FailOn) -> u8 {
        exit_code(&self.report, threshold(fail_on))
    }
}

pub(crate) fn threshold(fail_on: FailOn) -> Threshold {
    match fail_on {
        FailOn::Fail => Threshold::Fail,
        FailOn::Warn => Threshold::Warn,
    }
}

/// Inspects a bundle, or the outside world.
pub(crate) async fn look<C: CloudArgs>(
    args: &Inspect<C>,
    provider: &Provider,
) -> Result<Seen, String> {
    let start = Instant::now();
    let checks = select(&provider.checks, &args.check, &args.skip)?;
    let runner = Runner { timeout: args.timeout.unwrap_or(TIMEOUT), ..Runner::default() };
    let (world, mut report) = match &args.bundle {
        Some(path) => {
            let bundle = Bundle::open(path).map_err(|error| error.to_string())?;
            replay(
                bundle,
                provider,
                &args.live.config.read,
                args.entrance.target(),
                &runner,
                &checks,
            )
            .await
        }
        None => ask(provider, &args.live, &args.entrance, args.verbose, &runner, &checks).await,
    };
    args.live.config.read.suppress(&mut report, provider);
    let scope = scope(&world, provider).await;
    let duration_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Seen { world, report, scope, duration_ms })
}

/// Inspects a bundle as nothing else was said than in the configuration.
pub(crate) async fn look_into(bundle: Bundle, provider: &Provider, config: &Config) -> Seen {
    let start = Instant::now();
    let (runner, target) = (Runner::default(), Target::default());
    let checks = &provider.checks;
    let (world, mut report) = replay(bundle, provider, config, target, &runner, checks).await;
    config.suppress(&mut report, provider);
    let scope = scope(&world, provider).await;
    let duration_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    Seen { world, report, scope, duration_ms }
}

/// Runs checks over a bundle.
async fn replay(
    bundle: Bundle,
    provider: &Provider,
    config: &Config,
    target: Target,
    runner: &Runner,
    checks: &[&'static dyn Check],
) -> (World, Report) {
    let world = World::replay(bundle).path(&provider.path).setting(target);
    let world = (provider.prepare)(config.settle(world));
    let report = runner.run(&world, checks).await;
    (world, report)
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
pub(crate) async fn stopped() {
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

/// How texts for a person are written.
pub(crate) fn style<C: CloudArgs>(args: &Inspect<C>) -> Style {
    // anstream takes the colours out again where NO_COLOR says so.
    let colour = args.output_file.is_none() && std::io::stdout().is_terminal();
    Style { verbose: args.verbose, colour }
}

pub(crate) fn render<C: CloudArgs>(
    args: &Inspect<C>,
    provider: &Provider,
    seen: &Seen,
) -> Result<String, String> {
    let machine = || seen.output(provider);
    match args.output {
        Format::Text => Ok(text(&seen.report, style(args))),
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
