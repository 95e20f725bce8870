//! The specification of a figure: a file in `analysis/figures`.

use crate::{
    FiguresError,
    chart::Scale,
    dimension::{Dimension, Level},
    points::Quantity,
    quantity,
};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The kind of a panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An estimate against a dimension.
    Lines,
    /// The distribution of a latency.
    Cdf,
    /// An estimate for each of a list of routes, one below the other.
    Ladder,
    /// A column of each run's series against time.
    Series,
    /// One quantity of each run against another.
    Scatter,
    /// How busy each part of a route was by prediction.
    Utilisation,
}

/// An upper bound to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// The rate of one service link.
    Link,
    /// The harness's own ceiling, over a transport that does nothing.
    Harness,
}

/// A figure to draw.
#[derive(Debug, Clone)]
pub struct Specification {
    /// The name of its file, without the extension.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// Its caption.
    pub caption: String,
    /// The kind of its panels.
    pub kind: Kind,
    /// Conditions on the runs.
    pub filter: Filter,
    /// Experiments whose runs have precedence.
    pub prefer: Vec<String>,
    /// The dimension of series.
    pub series: Dimension,
    /// One panel for each value of it, beside the panels that are named.
    pub split: Option<Dimension>,
    /// Named panels; one without a name if there are none.
    pub panels: Vec<PanelSpecification>,
    /// Panels in a row.
    pub columns: usize,
    /// The scale of an axis.
    pub scale_x: Scale,
    /// The scale of an axis.
    pub scale_y: Scale,
    /// The architecture by which others are divided.
    pub relative_to: Option<String>,
    /// Upper bounds.
    pub bounds: Vec<Bound>,
    /// Whether the paper's values are drawn.
    pub published: bool,
    /// The rungs of a ladder: architecture and what it adds.
    pub rungs: Vec<(String, String)>,
}

/// A panel with a name.
#[derive(Debug, Clone)]
pub struct PanelSpecification {
    /// Above it.
    pub title: String,
    /// Conditions on its runs, in addition to those of the figure.
    pub filter: Filter,
    /// Along the bottom.
    pub x: X,
    /// The quantity.
    pub y: Y,
}

/// The quantity along the left (for a CDF: along the bottom).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Y {
    /// An estimate over runs.
    Quantity(Quantity),
    /// A column of the series.
    Column(String),
}

/// The quantity along the bottom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum X {
    /// A dimension.
    Dimension(Dimension),
    /// A measured quantity of each run.
    Quantity(Quantity),
}

/// A condition on runs: for each dimension, the accepted values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter(pub Vec<(Dimension, Vec<Level>)>);

impl Filter {
    /// Both conditions together.
    pub fn and(&self, other: &Self) -> Self {
        Self(self.0.iter().chain(&other.0).cloned().collect())
    }

    /// In words; a list of architectures is left out, because any of them is accepted.
    pub fn wanted(&self) -> String {
        let part = |(dimension, levels): &(Dimension, Vec<Level>)| {
            let levels: Vec<String> = levels.iter().map(Level::to_string).collect();
            format!("{dimension} {}", levels.join(" or "))
        };
        let any =
            |(dimension, levels): &&(Dimension, Vec<Level>)| *dimension == Dimension::Architecture && levels.len() > 1;
        self.0.iter().filter(|choice| !any(choice)).map(part).collect::<Vec<_>>().join(", ")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct SpecificationFile {
    title: String,
    #[serde(default)]
    caption: String,
    kind: Kind,
    x: Option<String>,
    y: Option<String>,
    #[serde(default = "architecture")]
    series: String,
    panels: Option<String>,
    columns: Option<usize>,
    scale_x: Option<WrittenScale>,
    scale_y: Option<WrittenScale>,
    relative_to: Option<String>,
    #[serde(default)]
    bounds: Vec<Bound>,
    #[serde(default)]
    published: bool,
    #[serde(default)]
    prefer: Vec<String>,
    #[serde(default, rename = "where")]
    filter: BTreeMap<String, Choice>,
    #[serde(default)]
    panel: Vec<WrittenPanel>,
    #[serde(default)]
    rung: Vec<Rung>,
}

fn architecture() -> String {
    "architecture".to_owned()
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WrittenScale {
    Linear,
    Log2,
    Log10,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPanel {
    #[serde(default)]
    title: String,
    x: Option<String>,
    y: Option<String>,
    #[serde(default, rename = "where")]
    filter: BTreeMap<String, Choice>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rung {
    architecture: String,
    adds: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Choice {
    One(Name),
    Any(Vec<Name>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Name {
    Number(u64),
    Text(String),
}

impl Specification {
    /// Reads a file; `name` is that of the figure.
    ///
    /// # Errors
    ///
    /// [`FiguresError::Specification`] with what is wrong.
    pub fn read(name: &str, text: &str) -> Result<Self, FiguresError> {
        let wrong = |reason: String| FiguresError::Specification { file: format!("{name}.toml"), reason };
        let written: SpecificationFile =
            toml::from_str(text).map_err(|error| wrong(in_one_line(&error.to_string())))?;
        let dimension = |name: &str| {
            Dimension::named(name).ok_or_else(|| {
                wrong(format!(
                    "`{name}` is not a valid dimension; write architecture, workload, pattern, consumers, producers, experiment, \
                     delay, loss, rate, fault, link or a path in the plan such as service.prefetch"
                ))
            })
        };
        let filter = |choices: BTreeMap<String, Choice>| {
            let choices = choices.into_iter().map(|(name, choice)| Ok((dimension(&name)?, choice.levels())));
            Ok(Filter(choices.collect::<Result<_, FiguresError>>()?))
        };
        let measured = |name: &str| {
            quantity::named(name).ok_or_else(|| {
                wrong(format!(
                    "`{name}` cannot be drawn; write messages_per_second, bits_per_second, events_per_second, \
                     sum_of_rates, sum_of_rates_ratio, cpu_us_per_message or a latency such as rtt_from_sent.p50"
                ))
            })
        };
        let what = |name: Option<String>| {
            if written.kind == Kind::Utilisation {
                return Ok(Y::Column("share".to_owned()));
            }
            let name = name.ok_or_else(|| wrong("`y` is missing; set it to the quantity to draw".to_owned()))?;
            if written.kind == Kind::Series { Ok(Y::Column(name)) } else { measured(&name).map(Y::Quantity) }
        };
        let along = |own: Option<String>| {
            let name = own.as_ref().or(written.x.as_ref()).map_or("consumers", String::as_str);
            if written.kind == Kind::Scatter {
                measured(name).map(X::Quantity)
            } else {
                dimension(name).map(X::Dimension)
            }
        };
        let mut panels = Vec::new();
        for panel in written.panel {
            panels.push(PanelSpecification {
                title: panel.title,
                filter: filter(panel.filter)?,
                x: along(panel.x)?,
                y: what(panel.y.or_else(|| written.y.clone()))?,
            });
        }
        if panels.is_empty() {
            panels.push(PanelSpecification {
                title: String::new(),
                filter: Filter::default(),
                x: along(None)?,
                y: what(written.y.clone())?,
            });
        }
        if written.kind == Kind::Ladder && written.rung.is_empty() {
            return Err(wrong("a ladder needs rungs; add [[rung]] with architecture and adds".to_owned()));
        }
        Ok(Self {
            name: name.to_owned(),
            title: written.title,
            caption: written.caption,
            kind: written.kind,
            filter: filter(written.filter)?,
            series: dimension(&written.series)?,
            split: written.panels.as_deref().map(dimension).transpose()?,
            panels,
            columns: written.columns.unwrap_or(2).max(1),
            scale_x: scale(written.scale_x, Scale::Log2),
            scale_y: scale(written.scale_y, Scale::Linear),
            relative_to: written.relative_to,
            bounds: written.bounds,
            published: written.published,
            prefer: written.prefer,
            rungs: written.rung.into_iter().map(|rung| (rung.architecture, rung.adds)).collect(),
        })
    }
}

fn scale(written: Option<WrittenScale>, otherwise: Scale) -> Scale {
    match written {
        None => otherwise,
        Some(WrittenScale::Linear) => Scale::Linear,
        Some(WrittenScale::Log2) => Scale::Log2,
        Some(WrittenScale::Log10) => Scale::Log10,
    }
}

impl Choice {
    fn levels(self) -> Vec<Level> {
        let level = |name| match name {
            Name::Number(number) => Level::Number(number),
            Name::Text(text) => Level::Text(text),
        };
        match self {
            Self::One(name) => vec![level(name)],
            Self::Any(names) => names.into_iter().map(level).collect(),
        }
    }
}

/// A parser's error of several lines in one line.
pub(crate) fn in_one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let words = lines.filter(|line| !line.starts_with(['|', '^']) && !line.contains(" | "));
    words.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIGURE: &str = "title = 'T'\nkind = 'lines'\ny = 'messages_per_second'\n";

    #[test]
    fn a_figure_selects_runs_and_a_quantity() {
        let text = format!("{FIGURE}[where]\npattern = 'work-sharing'\nconsumers = [1, 2]\n");
        let figure = Specification::read("throughput", &text).unwrap();
        assert_eq!(figure.filter.wanted(), "consumers 1 or 2, pattern work-sharing");
        let text = format!("{FIGURE}[where]\narchitecture = ['dts', 'mss']\nconsumers = 1\n");
        assert_eq!(Specification::read("any", &text).unwrap().filter.wanted(), "consumers 1");
        assert_eq!(figure.panels[0].y, Y::Quantity(Quantity::MessagesPerSecond));
        assert_eq!(figure.panels[0].x, X::Dimension(Dimension::Consumers));
        assert_eq!(figure.series, Dimension::Architecture);
    }

    #[track_caller]
    fn refused(text: &str, expected: &str) {
        let error = Specification::read("mine", text).unwrap_err().to_string();
        assert!(error.starts_with("`mine.toml`: ") && error.contains(expected), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }

    #[test]
    fn a_file_that_is_not_understood_is_named_with_the_word() {
        refused("title = 'T'", "missing field `kind`");
        refused(&format!("{FIGURE}colour = 'red'"), "unknown field `colour`");
        refused(&FIGURE.replace("messages_per_second", "speed"), "`speed` cannot be drawn");
        refused(&format!("{FIGURE}series = 'arch'"), "`arch` is not a valid dimension");
        refused(&format!("{FIGURE}[where]\nworkloads = 'x'"), "`workloads` is not a valid dimension");
        refused(&FIGURE.replace("lines", "ladder"), "needs rungs");
        refused("title = 'T'\nkind = 'lines'", "`y` is missing");
    }
}
