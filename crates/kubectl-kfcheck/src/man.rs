//! `kubectl kfcheck man`.

use std::{fs, io, path::Path};

use clap::{Command, CommandFactory};
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};

use crate::{Args, print, write::save};

/// Writes a page for each command into a folder, which is made where it isn't there.
pub(crate) fn run(folder: &Path) -> Result<u8, String> {
    fs::create_dir_all(folder)
        .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let mut all = without_help(Args::command()).bin_name("kubectl kfcheck");
    all.build();
    let mut written = 0;
    pages(&all, "kubectl-kfcheck", folder, &mut written)?;
    print(&format!(
        "wrote {written} pages to {0}; man -l {0}/kubectl-kfcheck.1 shows the first\n",
        folder.display()
    ))?;
    Ok(0)
}

/// `help gcp` has no page of its own: `gcp` has.
fn without_help(command: Command) -> Command {
    command.disable_help_subcommand(true).mut_subcommands(without_help)
}

fn pages(command: &Command, name: &str, folder: &Path, written: &mut usize) -> Result<(), String> {
    let page = page(command, name).map_err(|error| format!("cannot write {name}.1: {error}"))?;
    save(&page, &folder.join(format!("{name}.1")))?;
    *written += 1;
    for inner in command.get_subcommands().filter(|one| !one.is_hide_set()) {
        pages(inner, &format!("{name}-{}", inner.get_name()), folder, written)?;
    }
    Ok(())
}

fn page(command: &Command, name: &str) -> io::Result<String> {
    let man = Man::new(command.clone().display_name(name));
    let mut text = Vec::new();
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    after(command).to_writer(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    // An empty line breaks a line anyhow.
    let text = text.replace("\n.br\n\n.br\n", "\n.sp\n");
    // Each section brings what defines an apostrophe.
    let is_preamble = |line: &str| line.starts_with(".ie ") || line.starts_with(".el ");
    let (preamble, body): (Vec<_>, Vec<_>) = text.lines().partition(|line| is_preamble(line));
    let title = format!(
        ".TH {} 1 \"\" \"kfcheck {}\" \"kubectl kfcheck\"",
        name.to_uppercase(),
        env!("CARGO_PKG_VERSION")
    );
    let lines = preamble.into_iter().take(2).chain([&*title]).chain(body);
    Ok(lines.map(|line| line.trim_end().to_owned() + "\n").collect())
}

/// What `--help` ends with: examples, which are shown as they are, and what exit codes mean.
fn after(command: &Command) -> Roff {
    let mut page = Roff::new();
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    for part in text.split("\n\n") {
        if let Some((heading, examples)) = part.split_once('\n')
            && heading.starts_with("Example")
        {
            page.control("SH", ["EXAMPLES"]).control("nf", []);
            examples.lines().for_each(|line| {
                page.text([roman(line.trim_start())]);
            });
            page.control("fi", []);
        } else if let Some(codes) = part.strip_prefix("Exit codes: ") {
            page.control("SH", ["EXIT STATUS"]).text([roman(codes)]);
        } else if !part.is_empty() {
            page.control("PP", []).text([roman(part)]);
        }
    }
    page
}
