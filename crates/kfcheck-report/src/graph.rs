use std::collections::{BTreeMap, BTreeSet};

use kfcheck::{Aspect, Status};

use crate::{Output, PathResource, headline::is_down};

/// How a resource on the path is, as a picture shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Health {
    /// Nobody examined it.
    Unjudged,
    Healthy,
    /// It could not be looked at.
    Unseen,
    Warned,
    /// It does not work, for what is wrong elsewhere.
    Suffers,
    /// A root cause.
    Broken,
}

impl Health {
    pub(crate) fn of(output: &Output, resource: &PathResource) -> Self {
        let found = resource.findings.iter().filter_map(|id| output.finding(id));
        let mut found = found.filter(|finding| output.is_told(finding));
        match resource.status {
            Status::Fail if found.any(|finding| output.cause(finding).is_some()) => Self::Broken,
            Status::Fail => Self::Suffers,
            // What was asked of it may have been answered, as where nobody is let in.
            _ if is_down(output, resource) => Self::Suffers,
            Status::Warn => Self::Warned,
            Status::Unknown | Status::Bug => Self::Unseen,
            Status::Pass => Self::Healthy,
            Status::Skip => Self::Unjudged,
        }
    }

    /// The same in words.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Unjudged => "not examined",
            Self::Healthy => "healthy",
            Self::Unseen => "not seen",
            Self::Warned => "warning",
            Self::Suffers => "affected",
            Self::Broken => "root cause",
        }
    }

    /// The sign that goes with it, since not everybody sees colours.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::Unjudged => "",
            Self::Healthy => "✓",
            Self::Unseen => "?",
            Self::Warned => "!",
            Self::Suffers => "✗",
            Self::Broken => "✖",
        }
    }
}

/// The request path in Graphviz's language.
pub fn dot(output: &Output) -> String {
    let mut page = String::from(
        "digraph kfcheck {\n  rankdir=LR\n  node [shape=box style=\"rounded,filled\" \
         fontname=\"sans-serif\" fillcolor=white]\n  edge [color=gray40]\n",
    );
    for resource in &output.path.resources {
        let health = Health::of(output, resource);
        let label = label(resource, health).map(|line| quoted(&line)).join("\\n");
        page.push_str(&format!(
            "  {} [label=\"{label}\"{}]\n",
            resource.id,
            match health {
                Health::Broken => " fillcolor=\"#c62828\" fontcolor=white penwidth=3",
                Health::Suffers => " fillcolor=\"#ffdad6\" color=\"#c62828\"",
                Health::Warned => " fillcolor=\"#ffe9b8\" color=\"#8a5a00\"",
                Health::Unseen => " style=\"rounded,dashed\"",
                Health::Healthy => " color=\"#2e7d32\"",
                Health::Unjudged => " color=gray60",
            }
        ));
    }
    let broken = broken_way(output);
    for edge in &output.path.edges {
        let style = match edge.kind {
            Aspect::Serving => "",
            Aspect::Being => " style=dotted",
            Aspect::Manner => " style=dashed",
        };
        let red = broken.contains(&(edge.from.as_str(), edge.to.as_str()));
        let colour = if red { " color=\"#c62828\" penwidth=2" } else { "" };
        let way = format!("  {} -> {}", edge.from, edge.to);
        page.push_str(&match (colour, style) {
            ("", "") => format!("{way}\n"),
            both => format!("{way} [{}]\n", format!("{}{}", both.0, both.1).trim()),
        });
    }
    page + "}\n"
}

/// The request path in Mermaid's language, which Markdown of many places shows as a picture.
pub fn mermaid(output: &Output) -> String {
    let mut page = String::from("flowchart LR\n");
    let mut classes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for resource in &output.path.resources {
        let health = Health::of(output, resource);
        let label = label(resource, health).map(|line| entities(&line)).join("<br/>");
        page.push_str(&format!("  {}[\"{label}\"]\n", resource.id));
        classes.entry(class(health)).or_default().push(&resource.id);
    }
    let broken = broken_way(output);
    let mut red = Vec::new();
    for (nth, edge) in output.path.edges.iter().enumerate() {
        let arrow = if edge.kind == Aspect::Serving { "-->" } else { "-.->" };
        page.push_str(&format!("  {} {arrow} {}\n", edge.from, edge.to));
        if broken.contains(&(edge.from.as_str(), edge.to.as_str())) {
            red.push(nth.to_string());
        }
    }
    for (class, style) in [
        ("broken", "fill:#c62828,stroke:#7f0000,color:#fff,stroke-width:3px"),
        ("suffers", "fill:#ffdad6,stroke:#c62828,color:#410002"),
        ("warned", "fill:#ffe9b8,stroke:#8a5a00,color:#2a1800"),
        ("unseen", "fill:#fff,stroke:#555,color:#222,stroke-dasharray:5 4"),
        ("healthy", "fill:#fff,stroke:#2e7d32,color:#222"),
        ("unjudged", "fill:#fff,stroke:#999,color:#444"),
    ] {
        if let Some(of) = classes.get(class) {
            page.push_str(&format!(
                "  classDef {class} {style}\n  class {} {class}\n",
                of.join(",")
            ));
        }
    }
    if !red.is_empty() {
        page.push_str(&format!("  linkStyle {} stroke:#c62828,stroke-width:3px\n", red.join(",")));
    }
    page
}

/// How a class of resources is called in what is made of a picture.
pub(crate) fn class(health: Health) -> &'static str {
    match health {
        Health::Unjudged => "unjudged",
        Health::Healthy => "healthy",
        Health::Unseen => "unseen",
        Health::Warned => "warned",
        Health::Suffers => "suffers",
        Health::Broken => "broken",
    }
}

/// The edges on the way from an entrance that is down to what takes it down: each goes between
/// resources that do not work, or leads to one that is a root cause.
pub(crate) fn broken_way(output: &Output) -> BTreeSet<(&str, &str)> {
    let path = &output.path;
    let causes: BTreeSet<&str> = path
        .resources
        .iter()
        .filter(|resource| Health::of(output, resource) == Health::Broken)
        .map(|resource| resource.id.as_str())
        .collect();
    let down = output.causes().flat_map(|(cause, _)| &cause.takes_down);
    let down: BTreeSet<&str> = down.map(String::as_str).collect();
    let edges: Vec<_> =
        path.edges.iter().map(|edge| (edge.from.as_str(), edge.to.as_str())).collect();
    let below = reach(&down, &edges);
    let turned: Vec<_> = edges.iter().map(|(from, to)| (*to, *from)).collect();
    let above = reach(&causes, &turned);
    let on_the_way = |(from, to): &(&str, &str)| below.contains(from) && above.contains(to);
    edges.into_iter().filter(on_the_way).collect()
}

/// All that can be reached from there, with where it begins.
pub(crate) fn reach<'a>(
    from: &BTreeSet<&'a str>,
    edges: &[(&'a str, &'a str)],
) -> BTreeSet<&'a str> {
    let mut reached = from.clone();
    let mut next: Vec<_> = from.iter().copied().collect();
    let mut after: BTreeMap<&str, Vec<&'a str>> = BTreeMap::new();
    for (from, to) in edges {
        after.entry(from).or_default().push(to);
    }
    while let Some(at) = next.pop() {
        for to in after.get(at).into_iter().flatten() {
            if reached.insert(to) {
                next.push(to);
            }
        }
    }
    reached
}

/// Who it is and how it is, for people.
fn label(resource: &PathResource, health: Health) -> [String; 2] {
    let sign = match health.sign() {
        "" => String::new(),
        sign => format!("{sign} "),
    };
    let word = match health {
        Health::Broken | Health::Suffers | Health::Warned | Health::Unseen => {
            format!(" ({})", health.word())
        }
        Health::Healthy | Health::Unjudged => String::new(),
    };
    [format!("{sign}{}{word}", resource.resource.kind()), resource.resource.full_name()]
}

fn quoted(text: &str) -> String {
    let text = text.replace('\\', r"\\").replace('"', "\\\"");
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// What is no letter, digit or harmless sign as an entity of Mermaid's.
fn entities(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || " -_./:,()✓?!✗✖".contains(c);
    text.chars().map(|c| if plain(c) { c.to_string() } else { format!("#{};", c as u32) }).collect()
}
