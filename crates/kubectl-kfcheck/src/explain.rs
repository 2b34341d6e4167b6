use std::io::{self, IsTerminal};

use clap::ValueEnum;

use crate::{Provider, print, select};

/// No line is longer, whatever the terminal; a pipe has no width of its own.
const WIDTH: usize = 80;

/// Which page to print, and how.
#[derive(Debug, clap::Args)]
pub struct Explain {
    /// The check's id, as reports name it.
    pub check: String,
    /// How to write the page.
    #[arg(short, long, value_enum, default_value_t = PageFormat::Text)]
    pub output: PageFormat,
}

/// How to write a check's page.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PageFormat {
    /// For people.
    Text,
    /// As it is in docs/checks.
    Markdown,
}

pub(crate) fn run(args: &Explain, providers: &[Provider]) -> Result<u8, String> {
    let markdown = select::explain(providers, &args.check)?;
    let page = match args.output {
        PageFormat::Markdown => markdown,
        PageFormat::Text => {
            // anstream takes the bold out again where NO_COLOR says so.
            kfcheck_report::page(&markdown, width(), io::stdout().is_terminal())
        }
    };
    print(&page)?;
    Ok(0)
}

fn width() -> usize {
    let terminal = terminal_size::terminal_size_of(io::stdout());
    terminal.map_or(WIDTH, |(width, _)| usize::from(width.0).min(WIDTH))
}
