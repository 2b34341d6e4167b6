//! A part of the path as an indented tree.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use crate::{
    Output, PathResource, Style,
    graph::{Health, reach},
    paint::paint,
    why::{Direction, edges},
};

/// So many of those that nothing is said of stand below one resource, and so deep they are shown.
const CROWD: usize = 4;
const DEPTH: usize = 3;
/// Deeper than this is no path that somebody could read.
const DEEPEST: usize = 30;

/// What lies one way from a resource, a line each; one that is there already is not gone into again.
pub(crate) fn tree(
    output: &Output,
    root: &PathResource,
    to: Direction,
    style: Style,
    indent: &str,
) -> String {
    let mut tree = Tree {
        output,
        worst: worst(output, to),
        edges: edges(output, to),
        style,
        seen: BTreeSet::from([root.id.as_str()]),
        out: String::new(),
    };
    tree.branch(&root.id, indent, 1);
    tree.out
}

/// One resource, with the sign and the word of how it is.
pub(crate) fn line(output: &Output, one: &PathResource, style: Style) -> String {
    let health = Health::of(output, one);
    let sign = match health.sign() {
        "" => "·",
        sign => sign,
    };
    let entrance = output.path.entrances.contains(&one.id);
    let words =
        [(health != Health::Healthy).then(|| health.word()), entrance.then_some("entrance")];
    let words: Vec<_> = words.into_iter().flatten().collect();
    let words = if words.is_empty() { String::new() } else { format!("  ({})", words.join(", ")) };
    format!("{} {}{words}", paint(sign, health.colour(), style), one.resource)
}

struct Tree<'a> {
    output: &'a Output,
    worst: BTreeMap<&'a str, Health>,
    edges: Vec<(&'a str, &'a str)>,
    style: Style,
    seen: BTreeSet<&'a str>,
    out: String,
}

impl<'a> Tree<'a> {
    fn branch(&mut self, of: &str, indent: &str, depth: usize) {
        if depth > DEEPEST {
            self.out.push_str(&format!("{indent}└ … and so on\n"));
            return;
        }
        let all = self.next(of);
        let shown = if self.style.verbose { all.len() } else { self.shown(&all, depth) };
        let (shown, rest) = all.split_at(shown);
        for (nth, one) in shown.iter().enumerate() {
            let last = nth + 1 == all.len();
            let again = !self.seen.insert(&one.id) && !self.next(&one.id).is_empty();
            let mark = if again { "  ↑ above" } else { "" };
            let twig = if last { "└ " } else { "├ " };
            let line = line(self.output, one, self.style);
            self.out.push_str(&format!("{indent}{twig}{line}{mark}\n"));
            if !again {
                let indent = format!("{indent}{}", if last { "  " } else { "│ " });
                self.branch(&one.id, &indent, depth + 1);
            }
        }
        if !rest.is_empty() {
            let words: BTreeSet<_> =
                rest.iter().map(|one| Health::of(self.output, one).word()).collect();
            let words: Vec<_> = words.into_iter().collect();
            let more = if shown.is_empty() { "" } else { " more" };
            let says = format!("… {}{more}, {}", rest.len(), words.join(" or "));
            self.out.push_str(&format!("{indent}└ {says}\n"));
        }
    }

    /// How many of these, the worst of which come first, are worth a line.
    fn shown(&self, all: &[&PathResource], depth: usize) -> usize {
        let trouble = all.iter().take_while(|one| self.is_troubled(one)).count();
        let quiet = all.len() - trouble;
        match quiet {
            1 => trouble + 1,
            _ if depth > DEPTH => trouble,
            quiet if quiet > CROWD => trouble + CROWD - 1,
            quiet => trouble + quiet,
        }
    }

    /// Whether something is to be said of it, or of what lies that way from it.
    fn is_troubled(&self, one: &PathResource) -> bool {
        self.worst[one.id.as_str()] > Health::Healthy
    }

    /// What comes next that way, the worst first.
    fn next(&self, of: &str) -> Vec<&'a PathResource> {
        let ids: BTreeSet<_> =
            self.edges.iter().filter(|(from, _)| *from == of).map(|(_, to)| *to).collect();
        let all = self.output.path.resources.iter();
        let mut next: Vec<_> = all.filter(|one| ids.contains(one.id.as_str())).collect();
        let rank =
            |one: &&PathResource| (self.worst[one.id.as_str()], Health::of(self.output, one));
        next.sort_by_key(|one| Reverse(rank(one)));
        next
    }
}

/// How the worst is that lies that way from each resource, or the resource itself.
fn worst(output: &Output, to: Direction) -> BTreeMap<&str, Health> {
    let back = match to {
        Direction::Below => edges(output, Direction::Above),
        Direction::Above => edges(output, Direction::Below),
    };
    let mut of: BTreeMap<Health, BTreeSet<&str>> = BTreeMap::new();
    for one in &output.path.resources {
        of.entry(Health::of(output, one)).or_default().insert(&one.id);
    }
    let mut worst = BTreeMap::new();
    for (health, those) in of {
        worst.extend(reach(&those, &back).into_iter().map(|id| (id, health)));
    }
    worst
}
