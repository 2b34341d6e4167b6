use std::collections::BTreeSet;

use crate::{
    Output,
    graph::{Health, broken_way, class},
    headline::count,
    layout::{Layout, Place},
    narrow::narrow,
    picture::{Node, Picture},
    wide::wide,
};

/// The picture for one width of the screen.
pub(crate) struct Drawing {
    pub(crate) class: &'static str,
    pub(crate) width: String,
    pub(crate) height: String,
    pub(crate) beside: Option<String>,
    pub(crate) lines: Vec<Line>,
    pub(crate) boxes: Vec<Hop>,
}

pub(crate) struct Line {
    pub(crate) path: String,
    pub(crate) class: &'static str,
}

pub(crate) struct Hop {
    pub(crate) target: String,
    pub(crate) class: &'static str,
    pub(crate) entrance: bool,
    pub(crate) label: String,
    pub(crate) title: String,
    pub(crate) x: String,
    pub(crate) y: String,
    pub(crate) width: String,
    pub(crate) height: String,
    pub(crate) sign: Option<&'static str>,
    pub(crate) sign_x: String,
    pub(crate) texts: Vec<Text>,
}

pub(crate) struct Text {
    pub(crate) x: String,
    pub(crate) y: String,
    pub(crate) class: &'static str,
    pub(crate) says: String,
}

pub(crate) fn pictures(output: &Output, picture: &Picture) -> Vec<Drawing> {
    if picture.nodes.is_empty() {
        return Vec::new();
    }
    let heights = picture.nodes.iter().map(|node| {
        let lines = wide_lines(output, node).len();
        if lines > 2 { 62.0 } else { 48.0 }
    });
    let heights: Vec<f64> = heights.collect();
    vec![
        drawing(output, picture, &wide(picture, &heights), "wide"),
        drawing(output, picture, &narrow(picture), "narrow"),
    ]
}

fn drawing(output: &Output, picture: &Picture, layout: &Layout, class: &'static str) -> Drawing {
    let way = broken_boxes(output, picture);
    let lines = layout.lines.iter().map(|(edge, path)| Line {
        path: path.clone(),
        class: if way.contains(edge) { "way" } else { "" },
    });
    let mut lines: Vec<_> = lines.collect();
    // Red lines are drawn over the others.
    lines.sort_by_key(|line| line.class.len());
    let boxes = picture.nodes.iter().zip(&layout.places);
    Drawing {
        class,
        width: round(layout.width),
        height: round(layout.height),
        beside: layout.beside.map(|y| round(y + 14.0)),
        lines,
        boxes: boxes.map(|(node, place)| boxed(output, node, *place, class == "wide")).collect(),
    }
}

/// The edges of the picture that stand for one on the broken way.
fn broken_boxes(output: &Output, picture: &Picture) -> BTreeSet<(usize, usize)> {
    let way = broken_way(output);
    let on_it: BTreeSet<&str> = way.iter().flat_map(|(from, to)| [*from, *to]).collect();
    let is_on = |at: usize| {
        let members = picture.nodes[at].members.iter();
        members.map(|&at| output.path.resources[at].id.as_str()).any(|id| on_it.contains(id))
    };
    picture.edges.iter().copied().filter(|&(from, to)| is_on(from) && is_on(to)).collect()
}

fn boxed(output: &Output, node: &Node, place: Place, wide: bool) -> Hop {
    let resources = node.members.iter().map(|&at| &output.path.resources[at]);
    let resources: Vec<_> = resources.collect();
    let first = resources[0];
    let found = resources.iter().flat_map(|resource| &resource.findings);
    let mut found: Vec<_> = found.filter_map(|id| output.finding(id)).collect();
    found.sort_by_key(|finding| {
        (!output.is_told(finding), output.cause(finding).is_none(), finding.symptom)
    });
    let names: Vec<_> = resources.iter().map(|resource| resource.resource.to_string()).collect();
    let said: Vec<_> = found.iter().map(|finding| finding.sentence()).collect();
    let title = if said.is_empty() {
        format!("{}: {}", names.join("\n"), node.health.word())
    } else {
        said.join("\n")
    };
    let label = match (&said[..], &names[..]) {
        ([], [name]) => format!("{name}: {}", node.health.word()),
        ([], [name, rest @ ..]) if node.led => {
            format!("{name} and {} below it: {}", rest.len(), node.health.word())
        }
        ([], _) => format!("{}: {}", crowd(output, node), node.health.word()),
        (said, _) => format!("{}: {}", node.health.word(), said.join("; ")),
    };
    let (lines, text_x) = if wide {
        (wide_lines(output, node), place.x + 10.0)
    } else {
        (narrow_lines(output, node, place.width), place.x + 12.0)
    };
    let texts = lines.into_iter().enumerate().map(|(nth, text)| Text {
        x: round(text_x),
        y: round(place.y + if nth == 0 { 17.0 } else { 20.0 + 15.0 * as_number(nth) }),
        class: if nth == 0 { "kind" } else { "name" },
        says: text,
    });
    Hop {
        target: found.first().map_or_else(|| first.id.clone(), |finding| finding.id.clone()),
        class: class(node.health),
        entrance: node.entrance,
        label,
        title,
        x: round(place.x),
        y: round(place.y),
        width: round(place.width),
        height: round(place.height),
        sign: sign(node.health),
        sign_x: round(place.x + place.width - 20.0),
        texts: texts.collect(),
    }
}

/// The sign of a box, drawn, as not every machine has letters for it.
fn sign(health: Health) -> Option<&'static str> {
    match health {
        Health::Broken => Some("M2 2L12 12M12 2L2 12"),
        Health::Suffers => Some("M8 1L3 8H7L6 13L11 6H7Z"),
        Health::Warned => Some("M7 1V8M7 11V13"),
        Health::Unseen => Some("M4 4C4 0 11 1 10 5C9 7 7 7 7 9M7 12V13"),
        Health::Healthy => Some("M2 7L6 11L12 3"),
        Health::Unjudged => None,
    }
}

/// So many characters fit into a box of the wide picture, and so many bold ones.
const WIDE: usize = 18;
const BOLD: usize = 16;

fn wide_lines(output: &Output, node: &Node) -> Vec<String> {
    let [kind, name] = said_of(output, node, false);
    let bold = node.entrance || node.health == Health::Broken;
    let most = if bold { BOLD } else { WIDE };
    let mut lines = vec![shortened(&kind, WIDE - 3)];
    match name.char_indices().nth(most).map(|(at, _)| at) {
        None => lines.push(name),
        Some(cut) => {
            let fits = |at: &usize| *at > 5 || name[at + 1..].chars().count() <= most;
            let breaks = name[..cut].rfind(['-', '.', '/', ':', '_', ' ']).filter(fits);
            let at = breaks.map_or(cut, |at| at + 1);
            lines.push(name[..at].to_owned());
            lines.push(shortened(&name[at..], most));
        }
    }
    lines
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a width is small")]
fn narrow_lines(output: &Output, node: &Node, width: f64) -> Vec<String> {
    let fits = ((width - 24.0) / 8.4).max(8.0) as usize;
    said_of(output, node, true).iter().map(|line| shortened(line, fits)).collect()
}

/// What stands in a box: a kind and a name, or what the crowd in it is.
fn said_of(output: &Output, node: &Node, full: bool) -> [String; 2] {
    let resource = |at: usize| &output.path.resources[at].resource;
    let first = resource(node.members[0]);
    let more = node.members.len() - 1;
    if more > 0 && !node.led {
        let kinds: BTreeSet<_> = node.members.iter().map(|&at| resource(at).kind()).collect();
        let names = node.members.iter().map(|&at| resource(at).name.clone());
        let kinds: Vec<_> = kinds.into_iter().collect();
        let names = if kinds.len() == 1 { names.collect() } else { kinds };
        return [crowd(output, node), names.join(", ")];
    }
    let kind = match more {
        0 => first.kind(),
        more => format!("{} +{more}", first.kind()),
    };
    [kind, if full { first.full_name() } else { first.name.clone() }]
}

/// How a crowd is called: by their kind if they have one in common.
fn crowd(output: &Output, node: &Node) -> String {
    let kinds = node.members.iter().map(|&at| output.path.resources[at].resource.kind());
    let kinds: BTreeSet<_> = kinds.collect();
    match (kinds.first(), kinds.len()) {
        (Some(kind), 1) if kind.ends_with('s') => format!("{} × {kind}", node.members.len()),
        (Some(kind), 1) => count(node.members.len(), kind),
        _ if node.health == Health::Unjudged => format!("{} others", node.members.len()),
        _ => format!("{} {}", node.members.len(), node.health.word()),
    }
}

/// At most so many characters, without those in the middle.
fn shortened(text: &str, most: usize) -> String {
    let all: Vec<char> = text.chars().collect();
    if all.len() <= most {
        return text.to_owned();
    }
    let head = most * 3 / 5;
    let tail = most - head - 1;
    let cut = all[..head].iter().chain(['…'].iter()).chain(&all[all.len() - tail..]);
    cut.collect()
}

#[allow(clippy::cast_precision_loss, reason = "a box has three lines")]
fn as_number(nth: usize) -> f64 {
    nth as f64
}

fn round(number: f64) -> String {
    format!("{number:.0}")
}

/// The colours that are in the picture, the worst first.
pub(crate) fn legend(picture: &Picture) -> Vec<(&'static str, &'static str)> {
    let all: BTreeSet<_> = picture.nodes.iter().map(|node| node.health).collect();
    all.into_iter().rev().map(|health| (class(health), health.word())).collect()
}
