//! The root causes of a bundle, without the front end:
//! `cargo run --example root_causes -- onprem BUNDLE`.

#![allow(clippy::print_stdout, reason = "it is what an example is for")]

use std::{env, error::Error, path::Path};

use kfcheck::{Bundle, Runner, causes};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = env::args().collect();
    let [_, name, path] = &args[..] else { return Err("say which provider and bundle".into()) };
    let provider = kubectl_kfcheck::provider(name).ok_or("it was built without this provider")?;
    let world = provider.replay(Bundle::open(Path::new(path))?);
    let report = Runner::default().run(&world, &provider.checks).await;
    for cause in causes(&report) {
        println!("{}: {} {}", cause.check, cause.finding.resource, cause.finding.message);
        for down in cause.takes_down {
            println!("  takes down {down}");
        }
    }
    Ok(())
}
