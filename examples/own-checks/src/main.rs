//! A `kubectl-kfcheck` of one's own: all checks that there are, and one more.

mod image_registry;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut providers = kubectl_kfcheck::providers();
    for provider in &mut providers {
        provider.checks.push(&image_registry::ImageRegistry);
    }
    kubectl_kfcheck::main(&providers)
}
