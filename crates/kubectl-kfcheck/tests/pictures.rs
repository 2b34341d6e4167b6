//! The pictures in the documentation show what the program prints: `UPDATE_EXPECT=1 cargo test
//! --workspace --test pictures` makes them anew.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
#![cfg(any(feature = "gcp", feature = "onprem"))]

use std::path::Path;

use anstyle::{AnsiColor, RgbColor};
use anstyle_svg::{Palette, Term, VGA};
use expect_test::expect_file;
use kfcheck::{Bundle, Runner};
use kfcheck_report::{Style, text};

/// A terminal in which `kubectl kfcheck PROVIDER` was run.
async fn picture(provider: &str, bundle: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let ours = kubectl_kfcheck::provider(provider).unwrap();
    let world = ours.replay(Bundle::open(&root.join(bundle)).unwrap());
    let report = Runner::default().run(&world, &ours.checks).await;
    let printed = text(&report, Style { colour: true, verbose: false });
    let typed = format!("$ kubectl kfcheck {provider} --bundle {bundle}\n");
    drawn(&(typed + printed.trim_end()))
}

/// Dark as most terminals are, in colours that can be read there; a page around it may be light.
fn drawn(printed: &str) -> String {
    let Palette(mut colours) = VGA;
    for (colour, shown) in [
        (AnsiColor::Red, RgbColor(255, 123, 114)),
        (AnsiColor::Green, RgbColor(86, 211, 100)),
        (AnsiColor::Yellow, RgbColor(227, 179, 65)),
        (AnsiColor::Cyan, RgbColor(86, 212, 221)),
    ] {
        colours[colour as usize] = shown;
    }
    let (text, ground) = (RgbColor(230, 237, 243), RgbColor(22, 27, 34));
    let terminal = Term::new().palette(Palette(colours));
    terminal.fg_color(text.into()).bg_color(ground.into()).render_svg(printed)
}

#[cfg(feature = "gcp")]
#[tokio::test]
async fn the_picture_of_the_readme_is_what_the_example_prints() {
    let picture = picture("gcp", "examples/gke-iap-502").await;
    expect_file!["../../../docs/pictures/gke-iap-502.svg"].assert_eq(&picture);
}

#[cfg(feature = "onprem")]
#[tokio::test]
async fn the_picture_of_a_deployment_on_premises_is_what_its_scenario_prints() {
    let picture = picture("onprem", "tests/scenarios/onprem-ldap-bind-refused/bundle").await;
    expect_file!["../../../docs/pictures/onprem-ldap-bind-refused.svg"].assert_eq(&picture);
}
