//! A figure ready to be drawn: panels, marks and text, in the units of the data. Knows no records and no pixels.

pub use profile::{Colour, Marker};

/// One figure.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figure {
    /// Its name, from its file.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// Notes for the reader: how it was estimated, which runs were left out.
    pub notes: Vec<String>,
    /// Each series once, in the order of the legend.
    pub legend: Vec<Entry>,
    /// From left to right, then down.
    pub panels: Vec<Panel>,
    /// Panels in a row.
    pub columns: usize,
}

/// A series in the legend.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its style.
    pub style: Style,
    /// Whether it is drawn as thin lines without markers.
    pub thin: bool,
}

/// How a series is drawn. The marker decides how its line is dashed, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Of line and marker.
    pub colour: Colour,
    /// At each point.
    pub marker: Marker,
}

impl Style {
    /// For series without a style of their own: Okabe and Ito's palette, which colour-blind readers can distinguish.
    pub const PALETTE: [Self; 7] = [
        Self { colour: Colour([0x00, 0x72, 0xb2]), marker: Marker::Disc },
        Self { colour: Colour([0xd5, 0x5e, 0x00]), marker: Marker::Square },
        Self { colour: Colour([0xe6, 0x9f, 0x00]), marker: Marker::Diamond },
        Self { colour: Colour([0xcc, 0x79, 0xa7]), marker: Marker::Up },
        Self { colour: Colour([0x00, 0x9e, 0x73]), marker: Marker::Down },
        Self { colour: Colour([0x56, 0xb4, 0xe9]), marker: Marker::Ring },
        Self { colour: Colour([0x8c, 0x6d, 0x31]), marker: Marker::Cross },
    ];

    /// Its place in legends: as in the palette, those of people's own last.
    pub fn order(self) -> usize {
        Self::PALETTE.iter().position(|style| *style == self).unwrap_or(Self::PALETTE.len())
    }
}

/// One pair of axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// Above it.
    pub title: String,
    /// Along the bottom.
    pub x: Axis,
    /// Along the left.
    pub y: Axis,
    /// The measured series.
    pub traces: Vec<Trace>,
    /// Bounds, and the paper's values.
    pub rules: Vec<Rule>,
}

/// How an axis maps values to places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Linearly.
    Linear,
    /// By powers of two.
    Log2,
    /// By powers of ten.
    Log10,
    /// Categories at 0, 1, 2 and so on.
    Category,
}

/// The unit of tick labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A plain number, with k and M if it is large.
    Plain,
    /// Seconds, written as ns, us, ms or s.
    Seconds,
    /// A factor: 2x.
    Times,
    /// A fraction, in per cent.
    Share,
}

/// One axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// The quantity, with its unit.
    pub label: String,
    /// Its scale.
    pub scale: Scale,
    /// The unit of its tick labels.
    pub unit: Unit,
    /// Names of the categories, or values that should have a tick; else ticks are chosen.
    pub ticks: Vec<(f64, String)>,
    /// A fixed range, if any; otherwise it follows the data.
    pub range: Option<(f64, f64)>,
}

/// A value with its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    /// Along the bottom.
    pub x: f64,
    /// Along the left.
    pub y: f64,
    /// The interval of the estimate; absent for a single run.
    pub interval: Option<(f64, f64)>,
}

/// How marks are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Markers, joined by lines, with bars for the intervals.
    Joined,
    /// Markers with bars, not joined: the axis is not a quantity.
    Apart,
    /// A curve of `x` over `y` with a band from the intervals, which are along x.
    Curve,
    /// A thin line.
    Thin,
    /// Markers with bars along x; y is a category.
    Rows,
    /// Bars from 0 along x, solid or pale; y is a category.
    Bars {
        /// Whether they are solid.
        solid: bool,
    },
}

/// The marks of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Their style.
    pub style: Style,
    /// Their shape.
    pub shape: Shape,
    /// Ascending.
    pub marks: Vec<Mark>,
}

/// The kind of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleKind {
    /// No run can be beyond it.
    Bound,
    /// A value from the paper.
    Published,
    /// The base of a comparison.
    Base,
}

/// A horizontal line (or, with `x` a single value, a cross) that was not measured in these runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its kind.
    pub kind: RuleKind,
    /// Where.
    pub y: f64,
    /// From and to along x; the whole width where absent.
    pub x: Option<(f64, f64)>,
    /// A short label.
    pub text: String,
    /// The series that it belongs to.
    pub style: Option<Style>,
}
