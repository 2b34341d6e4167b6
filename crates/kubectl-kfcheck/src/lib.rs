//! The front end as a library: a team that has checks of its own builds its own binary from it.
//!
//! ```no_run
//! # mod image_registry {
//! #     use kfcheck::{Check, Cx, FactError, Findings, async_trait, check};
//! #     check! {
//! #         /// Ours.
//! #         pub(crate) struct ImageRegistry;
//! #         id: "acme-image-registry",
//! #         title: "Every image comes from our registry",
//! #     }
//! #     #[async_trait]
//! #     impl Check for ImageRegistry {
//! #         async fn run(&self, _: &Cx, _: &mut Findings) -> Result<(), FactError> {
//! #             Ok(())
//! #         }
//! #     }
//! # }
//! use std::process::ExitCode;
//!
//! fn main() -> ExitCode {
//!     let mut providers = kubectl_kfcheck::providers();
//!     for provider in &mut providers {
//!         provider.checks.push(&image_registry::ImageRegistry);
//!     }
//!     kubectl_kfcheck::main(&providers)
//! }
//! ```
//!
//! The crate `examples/own-checks` is all of it, with the check. Without the front end, a
//! [`Provider`] has what a run takes; `examples/root_causes.rs` shows one.

mod again;
#[cfg(feature = "aws")]
mod amazon;
mod args;
mod candidates;
#[cfg(feature = "aws")]
mod cleanup;
mod collect;
mod complete;
mod completion;
mod config;
mod diff;
mod explain;
#[cfg(feature = "gcp")]
mod google;
mod guess;
mod inspect;
mod live;
mod man;
#[cfg(feature = "onprem")]
mod onprem;
mod permissions;
mod progress;
mod provider;
mod reread;
mod select;
mod why;
mod write;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;

pub use again::Again;
#[cfg(feature = "aws")]
pub use amazon::AwsArgs;
#[cfg(feature = "aws")]
pub use args::{Amazon, AmazonTask};
pub use args::{
    Args, Collect, Collected, Command, ConfigTask, EntranceArgs, FailOn, Format, Inspect, Only,
    Permissions,
};
#[cfg(feature = "aws")]
pub use cleanup::Cleanup;
pub use completion::Completion;
pub use config::{ConfigArgs, Deployment};
pub use diff::{Diff, DiffFormat};
pub use explain::{Explain, PageFormat};
#[cfg(feature = "gcp")]
pub use google::GoogleArgs;
pub use guess::Guessed;
pub use live::LiveArgs;
#[cfg(feature = "onprem")]
pub use onprem::OnpremArgs;
pub use provider::{CloudArgs, Provider, provider, providers};
pub use why::{Asked, Why, WhyOf};
pub(crate) use write::print;

/// Nothing was inspected, because what was asked for makes no sense.
const USAGE: u8 = 2;

/// Runs the program on its command line.
pub fn main(providers: &[Provider]) -> ExitCode {
    if complete::answer(providers).is_some() {
        return ExitCode::SUCCESS;
    }
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let code = match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(run(args.command, providers));
            // A credential plugin that hangs is not waited for.
            runtime.shutdown_background();
            code
        }
        Err(error) => Err(format!("cannot start: {error}")),
    };
    match code {
        Ok(code) => ExitCode::from(code),
        Err(message) => {
            // Where even that can't be said, the exit code has to do.
            let _ = writeln!(io::stderr(), "kfcheck: {message}");
            ExitCode::from(USAGE)
        }
    }
}

async fn run(command: Command, providers: &[Provider]) -> Result<u8, String> {
    match command {
        #[cfg(feature = "gcp")]
        Command::Gcp(args) => {
            inspect::run(&args.configured(providers)?, find(providers, "gcp")?).await
        }
        #[cfg(feature = "aws")]
        Command::Aws(args) => match args.task {
            Some(AmazonTask::Cleanup(args)) => cleanup::run(&args).await,
            None => {
                inspect::run(&args.inspect.configured(providers)?, find(providers, "aws")?).await
            }
        },
        #[cfg(feature = "onprem")]
        Command::Onprem(args) => {
            inspect::run(&args.configured(providers)?, find(providers, "onprem")?).await
        }
        #[cfg(feature = "gcp")]
        Command::Collect { of: Collected::Gcp(args) } => {
            collect::run(&args.configured(providers)?, find(providers, "gcp")?).await
        }
        #[cfg(feature = "aws")]
        Command::Collect { of: Collected::Aws(args) } => {
            collect::run(&args.configured(providers)?, find(providers, "aws")?).await
        }
        #[cfg(feature = "onprem")]
        Command::Collect { of: Collected::Onprem(args) } => {
            collect::run(&args.configured(providers)?, find(providers, "onprem")?).await
        }
        Command::Permissions { of } => {
            print(&permissions::policy(providers, &of)?)?;
            Ok(0)
        }
        Command::Config { task } => {
            print(&config::run(task, providers)?)?;
            Ok(0)
        }
        Command::Explain(args) => explain::run(&args, providers),
        Command::Why(args) => Box::pin(why::run(*args, providers)).await,
        Command::Diff(args) => diff::run(args, providers).await,
        Command::Checks { check, skip } => {
            print(&select::list(providers, &check, &skip)?)?;
            Ok(0)
        }
        Command::Completion { what } => completion::run(&what),
        Command::Man { folder } => man::run(&folder),
    }
}

fn find<'a>(providers: &'a [Provider], name: &str) -> Result<&'a Provider, String> {
    let found = providers.iter().find(|provider| provider.name == name);
    found
        .ok_or_else(|| format!("this program was built without {name}; build it with that feature"))
}
