//! Every scenario once more, live: served by stand-ins for the clouds, seen through real clients.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::{collections::BTreeMap, fs, path::Path};

use kfcheck::{Report, Runner, World};
use kfcheck_report::{Style, text};
use kfcheck_tests::{Sky, checks, scenarios, world};

const VERBOSE: Style = Style { verbose: true, colour: false };

async fn run(world: &World) -> Report {
    Runner::default().run(world, &checks()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_scenario_reports_live_what_its_bundle_reports() {
    for folder in scenarios() {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        if std::env::var("ONLY").is_ok_and(|only| !name.contains(&only)) {
            continue;
        }
        let sky = Sky::over(&folder.join("bundle")).await;
        let live = sky.world();
        let start = std::time::Instant::now();
        let report = text(&run(&live).await, VERBOSE);
        eprintln!("{name} {:?}", start.elapsed());
        let expected = fs::read_to_string(folder.join("report.txt")).unwrap();
        if report != expected {
            fs::write(format!("/tmp/live/{name}.txt"), &report).unwrap();
            eprintln!("{name}: differs");
        }
        if !sky.unknown().is_empty() {
            eprintln!("{name}: {:#?}", sky.unknown());
        }
    }
}
