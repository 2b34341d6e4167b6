use std::collections::BTreeMap;

/// Where something is drawn: its upper left corner, and its size.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Place {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Place {
    pub(crate) fn middle(&self) -> f64 {
        self.y + self.height / 2.0
    }
}

/// A drawing: where each box is, and the line of each edge as SVG's path data.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) places: Vec<Place>,
    pub(crate) lines: BTreeMap<(usize, usize), String>,
    /// Where what no request gets to begins, if there is such.
    pub(crate) beside: Option<f64>,
}

/// The room for the title of what is beside the path.
pub(crate) const TITLE: f64 = 34.0;

/// The room around all of it.
pub(crate) const MARGIN: f64 = 4.0;
