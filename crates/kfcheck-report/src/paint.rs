//! What the texts for people have in common: colours, and findings as paragraphs.

use anstyle::AnsiColor::{self, Cyan, Green, Red, Yellow};

use crate::{
    Evidence, FindingOut, Style,
    graph::Health,
    text::{command, first_lines, wrap},
};

/// Where values of a finding begin.
const COLUMN: &str = "              ";

impl Health {
    /// The colour of its sign.
    pub(crate) fn colour(self) -> Option<AnsiColor> {
        match self {
            Self::Unjudged => None,
            Self::Healthy => Some(Green),
            Self::Unseen => Some(Cyan),
            Self::Warned => Some(Yellow),
            Self::Suffers | Self::Broken => Some(Red),
        }
    }
}

/// A text in bold and in a colour, where there are colours.
pub(crate) fn paint(text: &str, colour: Option<AnsiColor>, style: Style) -> String {
    match colour {
        Some(colour) if style.colour => {
            let style = anstyle::Style::new().bold().fg_color(Some(colour.into()));
            format!("{style}{text}{style:#}")
        }
        _ => text.to_owned(),
    }
}

/// A finding, what was seen of it and what to do about it.
pub(crate) fn paragraph(finding: &FindingOut) -> String {
    let mut out = wrap(&finding.sentence(), "  ", "    ");
    if let Some(reason) = &finding.suppressed {
        out.push_str(&labelled("suppressed", reason));
    }
    for Evidence { name, value } in &finding.evidence {
        out.push_str(&labelled(name, &first_lines(value)));
    }
    for remedy in &finding.remedies {
        out.push_str(&labelled("fix", &remedy.why));
        out.push_str(&command(&remedy.command, COLUMN));
    }
    out
}

/// A value with its label; a long label has a line of its own, so that values stay in one column.
pub(crate) fn labelled(label: &str, value: &str) -> String {
    if label.chars().count() < 10 {
        return wrap(value, &format!("    {label:10}"), COLUMN);
    }
    format!("    {label}\n{}", wrap(value, COLUMN, COLUMN))
}
