use std::collections::BTreeMap;

use crate::{
    layout::{Layout, MARGIN, Place, TITLE},
    picture::Picture,
};

const COLUMN: f64 = 160.0;
const BETWEEN_COLUMNS: f64 = 28.0;
const BETWEEN_BOXES: f64 = 16.0;
/// The room that a line takes which passes a column.
const LINE: f64 = 6.0;

/// A box, or where a line passes a column on its way to a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    Box(usize),
    Line(usize, usize),
}

/// From left to right, a column for each step from the entrance (after Sugiyama): what is on the way
/// first, and below it what is beside.
pub(crate) fn wide(picture: &Picture, heights: &[f64]) -> Layout {
    let mut layout =
        Layout { places: vec![Place::default(); picture.nodes.len()], ..Layout::default() };
    let layers = picture.layers();
    let mut top = MARGIN;
    for on_way in [true, false] {
        let part: Vec<_> =
            (0..picture.nodes.len()).filter(|&at| picture.nodes[at].on_way == on_way).collect();
        if part.is_empty() {
            continue;
        }
        if !on_way && layout.height > 0.0 {
            layout.beside = Some(top + BETWEEN_BOXES);
            top += TITLE + BETWEEN_BOXES;
        }
        top = draw(picture, &part, &layers, heights, top, &mut layout);
        layout.height = top + MARGIN;
        top += BETWEEN_BOXES;
    }
    layout.width += MARGIN;
    layout
}

/// Draws a part below `top` and says where it ends.
fn draw(
    picture: &Picture,
    part: &[usize],
    layers: &[usize],
    heights: &[f64],
    top: f64,
    layout: &mut Layout,
) -> f64 {
    let edges = picture.edges.iter().filter(|(from, to)| part.contains(from) && part.contains(to));
    let edges: Vec<_> = edges.copied().collect();
    let ways: Vec<Vec<Stop>> = edges
        .iter()
        .zip(0..)
        .map(|(&(from, to), nth)| {
            let passed = (layers[from] + 1..layers[to]).map(|layer| Stop::Line(nth, layer));
            [Stop::Box(from)].into_iter().chain(passed).chain([Stop::Box(to)]).collect()
        })
        .collect();
    let layer = |stop: &Stop| match *stop {
        Stop::Box(at) => layers[at],
        Stop::Line(_, layer) => layer,
    };
    let height = |stop: &Stop| match *stop {
        Stop::Box(at) => heights[at],
        Stop::Line(..) => LINE,
    };
    let steps: Vec<(Stop, Stop)> =
        ways.iter().flat_map(|way| way.windows(2).map(|two| (two[0], two[1]))).collect();
    let count = part.iter().map(|&at| layers[at]).max().map_or(0, |last| last + 1);
    let mut columns = vec![Vec::new(); count];
    let lines = ways.iter().flatten().filter(|stop| matches!(stop, Stop::Line(..)));
    let stops = part.iter().map(|&at| Stop::Box(at)).chain(lines.copied());
    stops.for_each(|stop| columns[layer(&stop)].push(stop));
    order(&mut columns, &steps);
    let middles = align(&columns, &steps, &height);
    let highest = middles.iter().map(|(stop, y)| y - height(stop) / 2.0).fold(f64::MAX, f64::min);
    let mut end = top;
    for (stop, middle) in &middles {
        let y = middle - height(stop) / 2.0 - highest + top;
        let x = MARGIN + step(layer(stop));
        if let Stop::Box(at) = *stop {
            layout.places[at] = Place { x, y, width: COLUMN, height: height(stop) };
            layout.width = layout.width.max(x + COLUMN);
        }
        end = end.max(y + height(stop));
    }
    for (edge, way) in edges.iter().zip(&ways) {
        let at = |stop: &Stop| (MARGIN + step(layer(stop)), middles[stop] - highest + top);
        layout.lines.insert(*edge, curve(&way.iter().map(at).collect::<Vec<_>>()));
    }
    end
}

#[allow(clippy::cast_precision_loss, reason = "there are a few columns")]
fn step(layer: usize) -> f64 {
    layer as f64 * (COLUMN + BETWEEN_COLUMNS)
}

/// A line through the middles of stops, each given by its left side.
fn curve(stops: &[(f64, f64)]) -> String {
    let mut line = String::new();
    for two in stops.windows(2) {
        let [(from_x, from_y), (to_x, to_y)] = [two[0], two[1]];
        let from_x = from_x + COLUMN;
        let half = f64::midpoint(from_x, to_x);
        if line.is_empty() {
            line = format!("M{from_x:.0} {from_y:.0}");
        } else {
            line.push_str(&format!("L{from_x:.0} {from_y:.0}"));
        }
        line.push_str(&format!("C{half:.0} {from_y:.0} {half:.0} {to_y:.0} {to_x:.0} {to_y:.0}"));
    }
    line
}

/// Orders the stops of each column so that few lines cross: each goes to where its neighbours are,
/// from the left and from the right in turn.
fn order(columns: &mut [Vec<Stop>], steps: &[(Stop, Stop)]) {
    let mut best = columns.to_vec();
    for round in 0..8 {
        let forth = round % 2 == 0;
        let walk: Vec<usize> =
            if forth { (1..columns.len()).collect() } else { (0..columns.len()).rev().collect() };
        for at in walk {
            let places = places(columns);
            let middle = |stop: &Stop| {
                let near = steps.iter().filter_map(|(from, to)| {
                    let (near, far) = if forth { (to, from) } else { (from, to) };
                    (near == stop).then_some(far)
                });
                mean(near.map(|other| places[other])).unwrap_or(places[stop])
            };
            let mut sorted: Vec<_> = columns[at].iter().map(|stop| (middle(stop), *stop)).collect();
            sorted.sort_by(|(a, _), (b, _)| a.total_cmp(b));
            columns[at] = sorted.into_iter().map(|(_, stop)| stop).collect();
        }
        if crossings(columns, steps) < crossings(&best, steps) {
            best = columns.to_vec();
        }
    }
    columns.clone_from_slice(&best);
}

#[allow(clippy::cast_precision_loss, reason = "a column is short")]
fn places(columns: &[Vec<Stop>]) -> BTreeMap<Stop, f64> {
    let column = |column: &Vec<Stop>| {
        let stops = column.iter().enumerate();
        stops.map(|(nth, stop)| (*stop, nth as f64)).collect::<Vec<_>>()
    };
    columns.iter().flat_map(column).collect()
}

fn crossings(columns: &[Vec<Stop>], steps: &[(Stop, Stop)]) -> usize {
    let places = places(columns);
    let layer: BTreeMap<Stop, usize> = columns
        .iter()
        .zip(0..)
        .flat_map(|(all, n)| all.iter().map(move |stop| (*stop, n)))
        .collect();
    let mut count = 0;
    for (nth, (from, to)) in steps.iter().enumerate() {
        for (other_from, other_to) in &steps[nth + 1..] {
            let beside = layer[from] == layer[other_from];
            let before = places[from].total_cmp(&places[other_from]);
            let after = places[to].total_cmp(&places[other_to]);
            count += usize::from(beside && before.is_ne() && after.is_ne() && before != after);
        }
    }
    count
}

#[allow(clippy::cast_precision_loss, reason = "there are a few")]
fn mean(all: impl Iterator<Item = f64>) -> Option<f64> {
    let all: Vec<_> = all.collect();
    (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
}

/// The middle of each stop: as near to those of its neighbours as the others in its column let it.
fn align(
    columns: &[Vec<Stop>],
    steps: &[(Stop, Stop)],
    height: &impl Fn(&Stop) -> f64,
) -> BTreeMap<Stop, f64> {
    let mut middles = BTreeMap::new();
    for column in columns {
        let wanted: Vec<_> = column.iter().map(|stop| (*stop, 0.0)).collect();
        middles.extend(spread(&wanted, height));
    }
    for round in 0..12 {
        let walk: Vec<usize> = if round % 2 == 0 {
            (0..columns.len()).collect()
        } else {
            (0..columns.len()).rev().collect()
        };
        for at in walk {
            let wish = |stop: &Stop| {
                let near = steps.iter().filter_map(|(from, to)| {
                    (to == stop).then_some(from).or_else(|| (from == stop).then_some(to))
                });
                mean(near.map(|other| middles[other])).unwrap_or(middles[stop])
            };
            let wanted: Vec<_> = columns[at].iter().map(|stop| (*stop, wish(stop))).collect();
            middles.extend(spread(&wanted, height));
        }
    }
    middles
}

/// As near to what each one wants as their order and sizes allow: stops that would overlap share what
/// is wanted on the average (the pool of adjacent violators).
fn spread(wanted: &[(Stop, f64)], height: &impl Fn(&Stop) -> f64) -> Vec<(Stop, f64)> {
    let mut offsets = Vec::new();
    let mut offset = 0.0;
    let mut before: Option<Stop> = None;
    for (stop, _) in wanted {
        if let Some(before) = before {
            let lines = matches!((before, stop), (Stop::Line(..), Stop::Line(..)));
            let gap = if lines { LINE } else { BETWEEN_BOXES };
            offset += f64::midpoint(height(&before), height(stop)) + gap;
        }
        offsets.push(offset);
        before = Some(*stop);
    }
    let mut pools: Vec<(f64, f64)> = Vec::new();
    for ((_, middle), offset) in wanted.iter().zip(&offsets) {
        let mut pool = (middle - offset, 1.0);
        while let Some(last) = pools.last().copied().filter(|last| last.0 > pool.0) {
            let size = last.1 + pool.1;
            pool = ((last.0 * last.1 + pool.0 * pool.1) / size, size);
            pools.pop();
        }
        pools.push(pool);
    }
    let mut based = Vec::new();
    for (base, size) in pools {
        let mut left = size;
        while left > 0.5 {
            based.push(base);
            left -= 1.0;
        }
    }
    let middles = based.iter().zip(&offsets).map(|(base, offset)| base + offset);
    wanted.iter().map(|(stop, _)| *stop).zip(middles).collect()
}
