use kfcheck::{Risk, Severity, Status};

use crate::{
    CheckOut, FindingOut, Output,
    headline::{Headline, count},
    text::command_lines,
};

/// The report as Markdown, for a ticket. Nothing that a resource is called or says can end a table,
/// a list or a fence, load a picture or call somebody.
pub fn markdown(output: &Output) -> String {
    let mut page = String::new();
    let (verdict, counts) = Headline::of(output).parts();
    page.push_str(&format!("# {}\n\n{counts}\n\n", words(&verdict)));
    page.push_str(&about(output));
    for (cause, finding) in output.causes() {
        let label = if cause.takes_down.is_empty() { "Broken" } else { "Root cause" };
        page.push_str(&format!("\n## {label}: {}\n", words(&finding.sentence())));
        if let Some(reason) = finding.suppression() {
            page.push_str(&format!("\nSuppressed: {}\n", words(&reason)));
        }
        page.push_str(&details(finding));
        page.push_str(&list(
            "Explains",
            cause.explains.iter().filter_map(|id| {
                let explained = output.finding(id)?;
                let aside = if explained.suppressed.is_some() { ", suppressed" } else { "" };
                let (says, check) = (words(&explained.sentence()), code(&explained.check));
                Some(format!("{says} ({check}{aside})"))
            }),
        ));
    }
    page.push_str(&section(output, "Symptoms", output.others(Severity::Fail)));
    page.push_str(&section(output, "Warnings", output.others(Severity::Warn)));
    page.push_str(&unseen(output));
    page.push_str(&suppressed(output));
    page.push_str(&list(
        "Warnings of the configuration",
        output.warnings.iter().map(|warning| {
            let place = warning.place.iter().map(|place| format!(" ({})", code(place)));
            words(&warning.sentence()) + &place.collect::<String>()
        }),
    ));
    page.push_str(&checks(output));
    page
}

/// What was inspected, as a table.
fn about(output: &Output) -> String {
    let mut rows = vec![("provider", output.provider.as_str())];
    rows.extend(output.scope.known());
    rows.extend(output.started_at.as_deref().map(|at| ("seen at", at)));
    let version = format!("{} {}", output.tool.name, output.tool.version);
    rows.push(("reported by", &version));
    let rows = rows.into_iter().map(|(name, value)| format!("| {name} | {} |\n", cell(value)));
    format!("| | |\n|---|---|\n{}", rows.collect::<String>())
}

fn section<'a>(
    output: &Output,
    title: &str,
    findings: impl Iterator<Item = &'a FindingOut>,
) -> String {
    let one = |finding: &FindingOut| {
        let causes = finding.caused_by.iter().filter_map(|id| output.finding(id));
        let causes = causes.map(|cause| words(&cause.sentence()));
        format!(
            "\n### {}\n{}{}",
            words(&finding.sentence()),
            details(finding),
            list("Explained by", causes)
        )
    };
    let all: String = findings.map(one).collect();
    if all.is_empty() { all } else { format!("\n## {title}\n{all}") }
}

/// What was seen of a finding, and what to do about it.
fn details(finding: &FindingOut) -> String {
    let mut text = format!("\nCheck {}\n", code(&finding.check));
    if !finding.evidence.is_empty() {
        text.push_str("\n| seen | |\n|---|---|\n");
    }
    for seen in &finding.evidence {
        text.push_str(&format!("| {} | {} |\n", words(&seen.name), cell(&seen.value)));
    }
    for remedy in &finding.remedies {
        let risk = match remedy.risk {
            Risk::None => "",
            Risk::Opens => " (lets somebody in)",
            Risk::Restarts => " (restarts something)",
            Risk::Deletes => " (deletes something)",
        };
        let fence = fence(&remedy.command);
        text.push_str(&format!(
            "\n**Fix**{risk}: {}\n\n{fence}sh\n{}\n{fence}\n",
            words(&remedy.why),
            command_lines(&remedy.command)
        ));
    }
    text
}

fn list(title: &str, items: impl Iterator<Item = String>) -> String {
    let items: Vec<_> = items.collect();
    if items.is_empty() {
        return String::new();
    }
    format!("\n**{title}**\n\n- {}\n", items.join("\n- "))
}

fn unseen(output: &Output) -> String {
    if output.unseen.is_empty() {
        return String::new();
    }
    let article = if output.causes().next().is_none() { "a" } else { "another" };
    let row = |unseen: &crate::Unseen| {
        let wanted = unseen.wanted_by.iter().map(|name| code(name)).collect::<Vec<_>>().join(", ");
        format!("| {} | {wanted} |\n", cell(&unseen.detail))
    };
    let rows: String = output.unseen.iter().map(row).collect();
    format!(
        "\n## Not seen, so {article} cause may hide there\n\n| what | who wanted it |\n|---|---|\n{rows}"
    )
}

fn suppressed(output: &Output) -> String {
    let row = |(finding, reason): (&FindingOut, String)| {
        format!(
            "| {} | {} | {} |\n",
            words(&finding.sentence()),
            code(&finding.check),
            cell(&reason)
        )
    };
    let rows: String = output.suppressed().map(row).collect();
    if rows.is_empty() {
        return rows;
    }
    format!("\n## Suppressed\n\n| what | check | why |\n|---|---|---|\n{rows}")
}

/// How the checks ended that found nothing; what the others found is above.
fn checks(output: &Output) -> String {
    let of = |status: Status| {
        let found = |check: &CheckOut| output.found_by(&check.id).next().is_some();
        let checks = output.checks.iter().filter(move |check| check.status == status);
        // What is suppressed is told above, and was something to examine.
        let checks = checks.filter(move |check| status != Status::Skip || !found(check));
        checks.map(|check| code(&check.id)).collect::<Vec<_>>()
    };
    let mut text = String::new();
    for (status, title) in [
        (Status::Pass, "passed"),
        (Status::Unknown, "could not see everything"),
        (Status::Bug, "failed by a mistake of kfcheck's"),
        (Status::Skip, "had nothing to examine"),
    ] {
        let ids = of(status);
        if !ids.is_empty() {
            let checks = count(ids.len(), "check");
            text.push_str(&format!(
                "\n<details><summary>{checks} {title}</summary>\n\n{}\n\n</details>\n",
                ids.join(", ")
            ));
        }
    }
    text
}

/// Text in which nothing is markup.
pub(crate) fn words(text: &str) -> String {
    let mut out = String::new();
    let mut before = ' ';
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '!' | '|' | '~' | '$' => {
                // Within a word it is no markup, and names are full of them.
                if !(c == '_' && before.is_alphanumeric()) {
                    out.push('\\');
                }
                out.push(c);
            }
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // Else the person of that name is called.
            '@' if !before.is_alphanumeric() => out.push_str("@<!-- -->"),
            c if c.is_control() || c == '\u{2028}' || c == '\u{2029}' => out.push(' '),
            c => out.push(c),
        }
        before = c;
    }
    let text = out.trim();
    // At the beginning of an item these begin a list or underline a heading.
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    match text.get(digits..) {
        Some(rest) if digits > 0 && (rest == "." || rest.starts_with(". ")) => {
            format!("{}\\{rest}", &text[..digits])
        }
        Some(rest) if digits == 0 && rest.starts_with(['-', '+', '=']) => format!("\\{rest}"),
        _ => text.to_owned(),
    }
}

/// Text as it is, between backticks of its own number, on one line.
fn code(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = line.trim();
    if line.is_empty() {
        return String::new();
    }
    let ticks = "`".repeat(longest_run(line) + 1);
    // A space that is next to a tick within keeps it from joining those around it.
    if line.starts_with('`') || line.ends_with('`') {
        format!("{ticks} {line} {ticks}")
    } else {
        format!("{ticks}{line}{ticks}")
    }
}

/// Text as it is, in a table: a bar would end the cell, also between backticks.
fn cell(text: &str) -> String {
    let lines = text.lines().map(|line| code(line).replace('|', r"\|"));
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    lines.join("<br>")
}

/// What opens and closes a block of this text: longer than any run of backticks in it.
fn fence(text: &str) -> String {
    "`".repeat((longest_run(text) + 1).max(3))
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or_default()
}
