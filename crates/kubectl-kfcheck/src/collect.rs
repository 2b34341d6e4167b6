use std::{
    io::{self, Write},
    path::Path,
};

use kfcheck::{Bundle, Fault, Runner, World};

use crate::{
    Provider,
    args::Collect,
    inspect::{TOOL, ask},
    print,
    provider::CloudArgs,
};

/// Inspects, and writes down what was seen instead of what is wrong.
#[allow(clippy::single_match_else, reason = "two sources, side by side")]
pub(crate) async fn run<C: CloudArgs>(
    args: &Collect<C>,
    provider: &Provider,
) -> Result<u8, String> {
    if args.script {
        let script = C::script(args);
        print(&script.ok_or_else(|| format!("there is no script that collects {}", C::NAME))?)?;
        return Ok(0);
    }
    let default = || format!("kfcheck-{}.tar.gz", C::NAME).into();
    let output = args.output.clone().unwrap_or_else(default);
    refuse_to_mix(&output)?;
    let config = &args.live.config.read;
    let runner = Runner::default();
    let runner = Runner { timeout: config.timeout().unwrap_or(runner.timeout), ..runner };
    let (world, report) = match &args.bundle {
        Some(path) => {
            let bundle = Bundle::open(path).map_err(|error| error.to_string())?;
            let world = World::replay(bundle).path(&provider.path).setting(args.entrance.target());
            let world = (provider.prepare)(config.settle(world));
            let report = runner.run(&world, &provider.checks).await;
            (world, report)
        }
        None => {
            let checks = &provider.checks;
            ask(provider, &args.live, &args.entrance, args.verbose, &runner, checks).await
        }
    };
    let bundle = world.bundle().made_by(provider.name, TOOL.name, TOOL.version);
    let bundle = if args.anonymize {
        let anonymized = bundle.anonymized();
        anonymized.map_err(|error| format!("cannot read what was collected: {error}"))?
    } else {
        bundle
    };
    bundle.write(&output).map_err(|error| {
        format!("cannot write {}: {error}; name another place with -o", output.display())
    })?;
    let mut says = format!(
        "{} holds what was seen, in {} files; secrets are left out{}.\n\
         kubectl kfcheck {} --bundle {} inspects it.\n",
        output.display(),
        bundle.texts().count(),
        if args.anonymize { ", and names are pseudonyms" } else { "" },
        provider.name,
        output.display(),
    );
    let unseen = report.unseen();
    let silent: Vec<_> =
        unseen.iter().filter(|(error, _)| !matches!(error.fault, Fault::Absent(_))).collect();
    if !silent.is_empty() {
        says += "Not seen:\n";
        for (error, _) in &silent {
            says += &format!("  {}\n", error.fault);
        }
    }
    // Standard output stays free, as the bundle is what was asked for.
    let _ = io::stderr().write_all(says.as_bytes());
    Ok(if silent.is_empty() { 0 } else { 3 })
}

/// What another run has written into a folder would be taken for this one's.
fn refuse_to_mix(output: &Path) -> Result<(), String> {
    let is_full = std::fs::read_dir(output).is_ok_and(|mut entries| entries.next().is_some());
    if is_full {
        return Err(format!(
            "{} is not empty, and a bundle is of one inspection; name another folder with -o",
            output.display()
        ));
    }
    Ok(())
}
