use std::{io::IsTerminal, time::Instant};

use kfcheck::{Bundle, Report, Runner, World};
use kfcheck_report::{Output, Scope, Style, Threshold, Tool, exit_code, json, output, text, yaml};

use crate::{
    Provider,
    args::{FailOn, Format, Inspect},
    print,
    select::select,
};

const TOOL: Tool = Tool { name: "kubectl-kfcheck", version: env!("CARGO_PKG_VERSION") };

/// Inspects, prints the report and gives the exit code.
pub(crate) async fn run(args: &Inspect, provider: &Provider) -> Result<u8, String> {
    let start = Instant::now();
    let checks = select(&provider.checks, &args.check, &args.skip)?;
    let Some(path) = &args.bundle else {
        return Err(format!(
            "{} is inspected from a bundle in this version; name one with --bundle PATH, for \
             example examples/gke-iap-502",
            provider.name
        ));
    };
    let bundle = Bundle::open(path).map_err(|error| error.to_string())?;
    let world = World::replay(bundle).path(&provider.path).setting(args.target());
    let world = (provider.prepare)(world);
    let runner = Runner { timeout: args.timeout, ..Runner::default() };
    let report = runner.run(&world, &checks).await;
    let scope = scope(&world).await;
    let duration = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    let machine = || output(&report, TOOL, provider.name, &scope, duration);
    print(&render(args, &report, machine)?)?;
    if let Some(folder) = &args.save {
        let saved = world.bundle().write(folder);
        saved.map_err(|error| format!("cannot write {}: {error}", folder.display()))?;
    }
    let threshold = match args.fail_on {
        FailOn::Fail => Threshold::Fail,
        FailOn::Warn => Threshold::Warn,
    };
    Ok(exit_code(&report, threshold))
}

fn render<'a>(
    args: &Inspect,
    report: &Report,
    machine: impl Fn() -> Output<'a>,
) -> Result<String, String> {
    // anstream takes the colours out again where NO_COLOR says so.
    let style = Style { verbose: args.verbose, colour: std::io::stdout().is_terminal() };
    match args.output {
        Format::Text => Ok(text(report, style)),
        Format::Json => json(&machine()),
        Format::Yaml => yaml(&machine()),
    }
}

async fn scope(world: &World) -> Scope {
    let cx = world.cx("scope");
    let context = cx.get(kfcheck_kube::Cluster).await.ok();
    let context = context.and_then(|cluster| cluster.context.clone());
    #[cfg(feature = "gcp")]
    if let Ok(here) = cx.get(kfcheck_gcp::Scope).await {
        let kfcheck_gcp::Location { project, location, cluster, .. } = (*here).clone();
        let project = Some(project).filter(|project| !project.is_empty());
        return Scope { context, project, location, cluster };
    }
    Scope { context, ..Scope::default() }
}
