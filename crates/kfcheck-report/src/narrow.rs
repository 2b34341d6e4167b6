use std::collections::BTreeMap;

use crate::{
    graph::Health,
    layout::{Layout, MARGIN, Place, TITLE},
    picture::{Picture, children, parents},
};

/// How wide the drawing for a narrow screen is; it is made larger or smaller to fit.
const NARROW: f64 = 358.0;
const ROW: f64 = 44.0;
const BETWEEN_ROWS: f64 = 8.0;
/// The room on the right for lines to what is drawn elsewhere.
const GUTTER: f64 = 14.0;

/// From top to bottom, a row each, below the first that leads to it and a little to the right.
pub(crate) fn narrow(picture: &Picture) -> Layout {
    let count = picture.nodes.len();
    let below = children(count, &picture.edges);
    let above = parents(count, &picture.edges);
    let mut rows = Rows {
        picture,
        below: &below,
        tree: BTreeMap::new(),
        depths: BTreeMap::new(),
        order: Vec::new(),
    };
    let begins = |at: &usize| above[*at].is_empty();
    let starts = (0..count).filter(|&at| picture.nodes[at].entrance);
    let starts: Vec<_> = starts.chain((0..count).filter(begins)).collect();
    let mut first_beside = None;
    for on_way in [true, false] {
        for &start in starts.iter().filter(|&&at| picture.nodes[at].on_way == on_way) {
            rows.visit(start, 0);
        }
        first_beside.get_or_insert(rows.order.len());
    }
    let first_beside = first_beside.unwrap_or_default();
    let deepest = rows.depths.values().max().copied().unwrap_or_default();
    let indent = |depth: usize| shift(depth, deepest);
    let mut layout =
        Layout { width: NARROW, places: vec![Place::default(); count], ..Layout::default() };
    let mut y = MARGIN;
    for (nth, &at) in rows.order.iter().enumerate() {
        if nth == first_beside && nth > 0 {
            layout.beside = Some(y + BETWEEN_ROWS);
            y += TITLE + BETWEEN_ROWS;
        }
        let x = MARGIN + indent(rows.depths[&at]);
        layout.places[at] = Place { x, y, width: NARROW - GUTTER - x, height: ROW };
        y += ROW + BETWEEN_ROWS;
    }
    layout.height = y - BETWEEN_ROWS + MARGIN;
    let place = |at: usize| layout.places[at];
    let mut lines = BTreeMap::new();
    for &to in &rows.order {
        for &from in &above[to] {
            let (upper, lower) = (place(from), place(to));
            let line = if rows.tree.get(&to) == Some(&from) {
                let x = upper.x + 10.0;
                format!("M{x:.0} {:.0}V{:.0}H{:.0}", upper.y + ROW, lower.middle(), lower.x)
            } else {
                let (right, out) = (NARROW - GUTTER, NARROW - 3.0);
                let (a, b) = (upper.middle(), lower.middle());
                format!("M{right:.0} {a:.0}C{out:.0} {a:.0} {out:.0} {b:.0} {right:.0} {b:.0}")
            };
            lines.insert((from, to), line);
        }
    }
    layout.lines = lines;
    layout
}

#[allow(clippy::cast_precision_loss, reason = "a path is not that deep")]
fn shift(depth: usize, deepest: usize) -> f64 {
    depth as f64 * f64::min(20.0, 140.0 / deepest.max(1) as f64)
}

struct Rows<'a> {
    picture: &'a Picture,
    below: &'a [Vec<usize>],
    /// Below whom each is drawn.
    tree: BTreeMap<usize, usize>,
    depths: BTreeMap<usize, usize>,
    order: Vec<usize>,
}

impl Rows<'_> {
    /// What is in trouble comes first.
    fn visit(&mut self, start: usize, depth: usize) {
        let mut stack = vec![(start, None, depth)];
        while let Some((at, above, depth)) = stack.pop() {
            if self.depths.contains_key(&at) {
                continue;
            }
            self.depths.insert(at, depth);
            self.tree.extend(above.map(|above| (at, above)));
            self.order.push(at);
            let mut next = self.below[at].clone();
            next.sort_by_key(|&at| self.worst(at));
            stack.extend(next.into_iter().map(|next| (next, Some(at), depth + 1)));
        }
    }

    fn worst(&self, at: usize) -> Health {
        let mut worst = self.picture.nodes[at].health;
        let (mut seen, mut stack) = (vec![false; self.below.len()], vec![at]);
        while let Some(at) = stack.pop() {
            if !std::mem::replace(&mut seen[at], true) {
                worst = worst.max(self.picture.nodes[at].health);
                stack.extend(&self.below[at]);
            }
        }
        worst
    }
}
