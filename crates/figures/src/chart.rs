//! A figure ready to be drawn: panels, marks and words, in the units of the data. Knows no records and no pixels.

/// One figure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figure {
    /// Its name, which is that of its file.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// What a reader should know: how it was estimated, what was left out.
    pub notes: Vec<String>,
    /// Each series once, in the order of the legend.
    pub legend: Vec<Entry>,
    /// From left to right, then down.
    pub panels: Vec<Panel>,
    /// Panels in a row.
    pub columns: usize,
}

/// A series in the legend.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// As it is called.
    pub name: String,
    /// How it is drawn.
    pub style: Style,
}

/// How a series is drawn: an index into the palette. Colours and markers go together, so that print without colour can
/// still be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style(pub usize);

/// One pair of axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// Above it.
    pub title: String,
    /// Along the bottom.
    pub x: Axis,
    /// Along the left.
    pub y: Axis,
    /// What was measured.
    pub traces: Vec<Trace>,
    /// Bounds, and what the paper says.
    pub rules: Vec<Rule>,
}

/// How an axis maps values to places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Evenly.
    Linear,
    /// By powers of two.
    Log2,
    /// By powers of ten.
    Log10,
    /// Categories at 0, 1, 2 and so on.
    Category,
}

/// What is written at ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A plain number, with k and M where it is large.
    Plain,
    /// Seconds, written as ns, us, ms or s.
    Seconds,
    /// A factor: 2x.
    Times,
    /// A share, in per cent.
    Share,
}

/// One axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// What it is, with its unit.
    pub label: String,
    /// How it maps.
    pub scale: Scale,
    /// What is written at its ticks.
    pub unit: Unit,
    /// Names of the categories, or values that should have a tick; else ticks are chosen.
    pub ticks: Vec<(f64, String)>,
    /// From and to, where it is fixed; else it follows the data.
    pub range: Option<(f64, f64)>,
}

/// A value with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mark {
    /// Along the bottom.
    pub x: f64,
    /// Along the left.
    pub y: f64,
    /// The interval of what was measured; absent where there is one run.
    pub interval: Option<(f64, f64)>,
}

/// How marks are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Markers, joined by lines, with bars for the intervals.
    Joined,
    /// Markers with bars, not joined: the axis is no quantity.
    Apart,
    /// A curve of `x` over `y` with a band from the intervals, which are along x.
    Curve,
    /// A thin line.
    Thin,
    /// Markers with bars along x; y is a category.
    Rows,
}

/// The marks of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// How they are drawn.
    pub style: Style,
    /// How they are shown.
    pub shape: Shape,
    /// Ascending.
    pub marks: Vec<Mark>,
}

/// What a rule tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleKind {
    /// No run can be beyond it.
    Bound,
    /// The paper says so.
    Published,
    /// What others are compared with.
    Base,
}

/// A horizontal line (or, with `x` a single value, a cross) that was not measured in these runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// What it tells.
    pub kind: RuleKind,
    /// Where.
    pub y: f64,
    /// From and to along x; the whole width where absent.
    pub x: Option<(f64, f64)>,
    /// In few words.
    pub text: String,
    /// The series that it is about.
    pub style: Option<Style>,
}
