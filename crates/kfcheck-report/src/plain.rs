//! Findings in plain text, for where a format has room for nothing else.

use crate::{FindingOut, Output};

/// What was found, with all that goes with it.
pub(crate) fn findings(output: &Output, found: &[&FindingOut]) -> String {
    let found: Vec<_> = found.iter().map(|finding| self::finding(output, finding)).collect();
    found.join("\n")
}

/// A finding, its evidence, what explains it, what it explains, and what to do.
pub(crate) fn finding(output: &Output, finding: &FindingOut) -> String {
    let mut text = finding.sentence() + "\n";
    if let Some(reason) = finding.suppression() {
        text.push_str(&format!("  suppressed: {reason}\n"));
    }
    for evidence in &finding.evidence {
        text.push_str(&format!("  {}: {}\n", evidence.name, evidence.value));
    }
    for cause in finding.caused_by.iter().filter_map(|id| output.finding(id)) {
        text.push_str(&format!("  explained by: {} ({})\n", cause.sentence(), cause.check));
    }
    let explained = output.cause(finding).into_iter().flat_map(|cause| &cause.explains);
    for other in explained.filter_map(|id| output.finding(id)) {
        text.push_str(&format!("  explains: {} ({})\n", other.sentence(), other.check));
    }
    for remedy in &finding.remedies {
        text.push_str(&format!("  fix: {}\n    {}\n", remedy.why, remedy.command));
    }
    text
}
