//! Builds a figure from a specification and runs: selects, groups and estimates. Draws nothing.

use crate::{
    Dimension, Distribution, Estimate, FiguresError, Key, Level, Measured, Run,
    chart::{Axis, Entry, Figure, Mark, Panel, Scale, Shape, Style, Trace, Unit},
    experiment::{self, preferred},
    load::PREDICTED,
    looks::Looks,
    points::{Quantity, comparable, difference},
    published::Published,
    quantity, rules,
    specification::{Filter, Kind, PanelSpecification, Specification, X, Y},
    statistics::{Interval, ratio},
    utilisation,
};
use measure::{Metric, record::Shares};
use std::collections::{BTreeMap, BTreeSet};

/// Least number of whole seconds of a run in a time series.
const SERIES_ROWS_MIN: usize = 3;
/// Most runs of each series in a panel.
const SERIES_RUNS_MAX: usize = 6;
/// Where a curve of a distribution is drawn, in hundredths.
const SHARES: std::ops::RangeInclusive<u32> = 1..=99;

/// Builds a figure from the runs that it selects.
///
/// # Errors
///
/// [`FiguresError`] if no run matches, if runs of one point differ in their plans, or if a file beside a record is
/// damaged.
pub fn build(
    specification: &Specification,
    measured: &Measured,
    published: &[Published],
) -> Result<Figure, FiguresError> {
    let mut builder = Builder {
        specification,
        measured,
        published,
        looks: Looks::of(&measured.runs),
        all_series: measured.runs.iter().map(|run| specification.series.of(run)).collect(),
        notes: Vec::new(),
        series: BTreeSet::new(),
        repeated: BTreeSet::new(),
    };
    let mut panels = Vec::new();
    let mut used: Vec<&Run> = Vec::new();
    for named in &specification.panels {
        let filter = specification.filter.and(&named.filter);
        let runs = measured.runs.iter().filter(|run| passes(&filter, run)).collect();
        let runs = preferred(runs, &specification.prefer);
        if runs.is_empty() && specification.panels.len() > 1 {
            let what = if named.title.is_empty() { filter.wanted() } else { named.title.clone() };
            let note = format!("not measured: {what}");
            // Two panels may show two quantities of the same runs.
            if !builder.notes.contains(&note) {
                builder.notes.push(note);
            }
        }
        for (title, runs) in builder.split(named, runs) {
            if let Some(panel) = builder.panel(title, named, &runs)? {
                panels.push(panel);
                used.extend(runs);
            }
        }
    }
    if panels.is_empty() {
        let wanted: BTreeSet<String> =
            specification.panels.iter().map(|panel| specification.filter.and(&panel.filter).wanted()).collect();
        let mut wanted = wanted.into_iter().collect::<Vec<_>>().join(", or ");
        if specification.kind == Kind::Series {
            wanted = format!("{}at least {SERIES_ROWS_MIN} s of streaming", if wanted.is_empty() { "" } else { ", " });
        }
        if specification.kind == Kind::Utilisation {
            wanted += ", predicted";
        }
        if let Some(base) = &specification.relative_to {
            wanted += &format!(" (and over {base}, which others are compared with)");
        }
        return Err(FiguresError::NothingToDraw { figure: specification.name.clone(), wanted });
    }
    if specification.kind == Kind::Cdf {
        share_range(&mut panels);
    }
    for panel in &mut panels {
        panel.traces.sort_by_key(|trace| trace.style.order());
    }
    let mut notes = vec![specification.caption.clone()];
    notes.extend(builder.repetitions());
    notes.extend(std::mem::take(&mut builder.notes));
    notes.extend(caveats(&used));
    notes.retain(|note| !note.is_empty());
    let legend = builder.legend();
    Ok(Figure {
        name: specification.name.clone(),
        title: specification.title.clone(),
        notes,
        legend,
        columns: specification.columns.min(panels.len()),
        panels,
    })
}

/// The same range along x for all panels, so that a shift between panels is visible.
fn share_range(panels: &mut [Panel]) {
    let values = panels.iter().flat_map(|panel| &panel.traces).flat_map(|trace| &trace.marks).map(|mark| mark.x);
    let (low, high) = values.fold((f64::INFINITY, 0.0_f64), |(low, high), x| (low.min(x), high.max(x)));
    for panel in panels {
        panel.x.range = Some((low / 1.25, high * 1.25));
    }
}

/// A prediction passes where its architecture does.
fn passes(filter: &Filter, run: &Run) -> bool {
    filter.0.iter().all(|(dimension, levels)| match dimension.of(run) {
        Level::Text(name) => levels.contains(&Level::Text(name.trim_end_matches(PREDICTED).to_owned())),
        number @ Level::Number(_) => levels.contains(&number),
    })
}

fn is_prediction(level: &Level) -> bool {
    matches!(level, Level::Text(name) if name.ends_with(PREDICTED))
}

/// Notes for the reader on the runs themselves, each counted once however many panels it is in.
fn caveats(runs: &[&Run]) -> Vec<String> {
    let mut caveats = Vec::new();
    let mut seen = BTreeSet::new();
    let runs: Vec<&Run> = runs.iter().copied().filter(|run| seen.insert(&run.dir)).collect();
    let experiments: BTreeSet<&str> =
        runs.iter().map(|run| experiment::name(run)).filter(|name| !name.is_empty()).collect();
    if !experiments.is_empty() {
        caveats.push(format!("Experiments: {}.", experiments.into_iter().collect::<Vec<_>>().join(", ")));
    }
    let failed: Vec<_> = runs.iter().filter(|run| !run.is_sound()).collect();
    if let Some(first) = failed.first() {
        caveats.push(format!(
            "{} of the runs drawn FAILED, {} because: {}",
            failed.len(),
            first.dir.display(),
            first.record.status.reason
        ));
    }
    let limited = runs.iter().filter(|run| run.record.harness.generator_limited).count();
    if limited > 0 {
        caveats.push(format!("{limited} of the runs drawn were generator-limited: they are no result about the route"));
    }
    caveats
}

struct Builder<'a> {
    specification: &'a Specification,
    measured: &'a Measured,
    published: &'a [Published],
    looks: Looks,
    /// All series that there are, drawn or not, so that each looks the same in every panel.
    all_series: BTreeSet<Level>,
    notes: Vec<String>,
    /// Series that were drawn.
    series: BTreeSet<Level>,
    /// The numbers of runs of the points.
    repeated: BTreeSet<usize>,
}

/// Repetitions, by series and place along x.
type Groups<'a> = BTreeMap<Level, BTreeMap<Level, Vec<&'a Run>>>;

/// What a series may show besides the columns of a run's series.
const SHARE: &str = "share";

impl<'a> Builder<'a> {
    fn split(&self, named: &PanelSpecification, runs: Vec<&'a Run>) -> Vec<(String, Vec<&'a Run>)> {
        let Some(split) = &self.specification.split else {
            return vec![(named.title.clone(), runs)];
        };
        let mut parts: BTreeMap<Level, Vec<&Run>> = BTreeMap::new();
        for run in runs {
            parts.entry(split.of(run)).or_default().push(run);
        }
        let title = |level: &Level| match (split, level) {
            (Dimension::Consumers, Level::Number(1)) => "1 consumer".to_owned(),
            (Dimension::Consumers, Level::Number(number)) => format!("{number} consumers"),
            (Dimension::Link, Level::Number(_)) => format!("Links of {} Gbit/s", split.tick(level)),
            _ => capital(&self.looks.title(level)),
        };
        parts.into_iter().map(|(level, runs)| (title(&level), runs)).collect()
    }

    fn panel(
        &mut self,
        title: String,
        named: &PanelSpecification,
        runs: &[&'a Run],
    ) -> Result<Option<Panel>, FiguresError> {
        if runs.is_empty() {
            return Ok(None);
        }
        match (self.specification.kind, &named.x, &named.y) {
            (Kind::Utilisation, ..) => Ok(self.utilisation_panel(&title, runs)),
            (Kind::Series, _, Y::Column(column)) if column == SHARE => Ok(self.shares_panel(title, runs)),
            (Kind::Series, _, Y::Column(column)) => self.series_panel(title, column, runs),
            (Kind::Cdf, _, Y::Quantity(Quantity::Median(metric) | Quantity::P99(metric))) => {
                self.cdf_panel(title, *metric, runs)
            }
            (Kind::Lines, X::Dimension(x), Y::Quantity(of)) => self.lines_panel(title, x, *of, runs),
            (Kind::Ladder, _, Y::Quantity(of)) => self.ladder_panel(title, *of, runs),
            (Kind::Scatter, X::Quantity(x), Y::Quantity(of)) => Ok(self.scatter_panel(title, *x, *of, runs)),
            (kind, _, y) => Err(FiguresError::Specification {
                file: format!("{}.toml", self.specification.name),
                reason: format!("a figure of kind {kind:?} cannot draw {y:?}; a cdf draws latencies"),
            }),
        }
    }

    /// Groups repetitions; those of one place must have the same plan.
    fn groups(&mut self, series: &Dimension, x: &Dimension, runs: &[&'a Run]) -> Result<Groups<'a>, FiguresError> {
        let mut groups: Groups = BTreeMap::new();
        for run in runs {
            let group = groups.entry(series.of(run)).or_default().entry(x.of(run)).or_default();
            if let Some(first) = group.first()
                && let Some(field) = difference(&comparable(first), &comparable(run))
            {
                return Err(FiguresError::MixedPlans {
                    point: Key::of(run).to_string(),
                    one: first.dir.clone(),
                    other: run.dir.clone(),
                    field,
                });
            }
            group.push(run);
        }
        self.repeated.extend(groups.values().flat_map(|places| places.values().map(Vec::len)));
        Ok(groups)
    }

    fn lines_panel(
        &mut self,
        title: String,
        x: &Dimension,
        of: Quantity,
        runs: &[&'a Run],
    ) -> Result<Option<Panel>, FiguresError> {
        let groups = self.groups(&self.specification.series, x, runs)?;
        let places: BTreeSet<&Level> = groups.values().flat_map(|places| places.keys()).collect();
        let numeric = places.iter().all(|level| level.number().is_some());
        let places: Vec<&Level> = places.into_iter().collect();
        let along = |level: &Level| match level.number() {
            Some(number) if numeric => number,
            _ => places.iter().position(|place| *place == level).unwrap_or_default() as f64,
        };
        let mut traces = Vec::new();
        for (level, group) in &groups {
            let marks: Vec<Mark> = group
                .iter()
                .filter_map(|(place, runs)| {
                    let (y, interval) =
                        self.value(of, runs, groups.get(&self.base()).and_then(|base| base.get(place)))?;
                    Some(Mark { x: along(place), y, interval: interval.map(|interval| (interval.low, interval.high)) })
                })
                .collect();
            // The base divided by itself is drawn as a line at 1.
            let base = self.specification.relative_to.is_some() && *level == self.base();
            if !marks.is_empty() && !base {
                let shape = match numeric {
                    // Beside measurements, predictions are thin lines without markers.
                    true if is_prediction(level) => Shape::Thin,
                    true => Shape::Joined,
                    false => Shape::Apart,
                };
                traces.push(Trace { style: self.draws(level), shape, marks });
            }
        }
        if traces.is_empty() {
            let lacks_base = self.specification.relative_to.is_some() && !groups.contains_key(&self.base());
            let why = if lacks_base {
                format!("no {} to compare with", self.looks.title(&self.base()))
            } else {
                not_taken(of)
            };
            self.notes.push(format!("{title}: {why}"));
            return Ok(None);
        }
        let x_axis = Axis {
            label: x.label(),
            scale: if numeric { self.specification.scale_x } else { Scale::Category },
            unit: Unit::Plain,
            ticks: places.iter().map(|place| (along(place), x.tick(place))).collect(),
            range: None,
        };
        let relative = self.specification.relative_to.is_some();
        let rules = rules::rules(self.specification, self.published, &self.looks, of, runs);
        Ok(Some(Panel { title, x: x_axis, y: self.value_axis(of, relative), traces, rules }))
    }

    fn scatter_panel(&mut self, title: String, x: Quantity, of: Quantity, runs: &[&'a Run]) -> Option<Panel> {
        let mut groups: BTreeMap<Level, Vec<Mark>> = BTreeMap::new();
        for run in runs {
            if let (Some(x), Some(y)) = (x.of(run), of.of(run)) {
                groups.entry(self.specification.series.of(run)).or_default().push(Mark { x, y, interval: None });
            }
        }
        let traces: Vec<Trace> = groups
            .into_iter()
            .map(|(level, marks)| Trace { style: self.draws(&level), shape: Shape::Apart, marks })
            .collect();
        if traces.is_empty() {
            self.notes.push(format!("{title}: {}", not_taken(of)));
            return None;
        }
        let along = Axis {
            label: quantity::label(x),
            scale: self.specification.scale_x,
            unit: quantity::unit(x),
            ticks: Vec::new(),
            range: None,
        };
        Some(Panel { title, x: along, y: self.value_axis(of, false), traces, rules: Vec::new() })
    }

    /// How busy the parts of a route were.
    fn utilisation_panel(&mut self, title: &str, runs: &[&'a Run]) -> Option<Panel> {
        let style = self.style_of(&self.specification.series.of(runs.first()?));
        let (panel, sentence) = utilisation::panel(title, style, runs)?;
        self.notes.push(sentence);
        Some(panel)
    }

    /// The share of a load balancer's slots that each consumer had, in the run with the most samples.
    fn shares_panel(&mut self, title: String, runs: &[&'a Run]) -> Option<Panel> {
        let balanced = runs.iter().filter_map(|run| run.record.load_balancer.as_ref()).filter(|one| one.slots > 0);
        let Some(balancer) = balanced.max_by_key(|balancer| balancer.at_s.len()) else {
            self.notes.push(format!("{title}: no run through a load balancer of EJFAT"));
            return None;
        };
        let level = |consumer: &Shares| Level::Text(consumer.name.clone());
        self.all_series = balancer.consumers.iter().map(level).collect();
        let mut traces = Vec::new();
        for consumer in &balancer.consumers {
            let share = |slots: &u64| 100.0 * *slots as f64 / balancer.slots as f64;
            let places = balancer.at_s.iter().zip(&consumer.slots);
            let marks = places.map(|(at, slots)| Mark { x: *at, y: share(slots), interval: None }).collect();
            traces.push(Trace { style: self.draws(&level(consumer)), shape: Shape::Joined, marks });
        }
        let axis = |label: &str, range| Axis {
            label: label.to_owned(),
            scale: Scale::Linear,
            unit: Unit::Plain,
            ticks: Vec::new(),
            range,
        };
        let (x, y) = (axis("s since the start", None), axis("share of slots, %", Some((0.0, 100.0))));
        (!traces.is_empty()).then_some(Panel { title, x, y, traces, rules: Vec::new() })
    }

    fn ladder_panel(&mut self, title: String, of: Quantity, runs: &[&'a Run]) -> Result<Option<Panel>, FiguresError> {
        let groups = self.groups(&self.specification.series, &Dimension::Architecture, runs)?;
        let rungs = &self.specification.rungs;
        let mut traces = Vec::new();
        let mut seen = BTreeSet::new();
        for (level, routes) in &groups {
            let base = routes.get(&self.base());
            let mut marks = Vec::new();
            for (row, (architecture, _)) in rungs.iter().enumerate() {
                let Some(runs) = routes.get(&Level::Text(architecture.clone())) else { continue };
                let Some((x, interval)) = self.value(of, runs, base) else { continue };
                // The base divided by itself is exactly 1.
                let interval = interval.filter(|_| *architecture != self.base().to_string());
                let interval = interval.map(|interval| (interval.low, interval.high));
                marks.push(Mark { x, y: row as f64, interval });
                seen.insert(row);
            }
            if marks.len() > 1 {
                traces.push(Trace { style: self.draws(level), shape: Shape::Rows, marks });
            }
        }
        if traces.is_empty() {
            return Ok(None);
        }
        // Unmeasured rungs leave no gap.
        let rows: Vec<usize> = seen.into_iter().collect();
        let row = |y: f64| rows.iter().position(|row| *row as f64 == y).unwrap_or_default() as f64;
        for mark in traces.iter_mut().flat_map(|trace| &mut trace.marks) {
            mark.y = row(mark.y);
        }
        let y = Axis {
            label: String::new(),
            scale: Scale::Category,
            unit: Unit::Plain,
            ticks: rows.iter().enumerate().map(|(row, rung)| (row as f64, rungs[*rung].1.clone())).collect(),
            range: None,
        };
        let x = self.value_axis(of, self.specification.relative_to.is_some());
        Ok(Some(Panel { title, x, y, traces, rules: Vec::new() }))
    }

    fn cdf_panel(&mut self, title: String, metric: Metric, runs: &[&'a Run]) -> Result<Option<Panel>, FiguresError> {
        let groups = self.groups(&self.specification.series, &Dimension::Pattern, runs)?;
        let mut traces = Vec::new();
        for (level, group) in &groups {
            let mut distributions: Vec<Distribution> = Vec::new();
            for run in group.values().flatten() {
                distributions.extend(self.measured.distribution(run, metric)?);
            }
            let marks: Vec<Mark> = SHARES
                .filter_map(|hundredth| {
                    let share = f64::from(hundredth) / 100.0;
                    let quantiles = distributions.iter().map(|distribution| distribution.reliable_quantile(share));
                    let estimate = Estimate::of(&quantiles.collect::<Option<Vec<f64>>>()?)?;
                    let interval = estimate.interval.map(|interval| (interval.low, interval.high));
                    Some(Mark { x: estimate.median, y: share, interval })
                })
                .collect();
            if !marks.is_empty() {
                traces.push(Trace { style: self.draws(level), shape: Shape::Curve, marks });
            }
        }
        if traces.is_empty() {
            self.notes.push(format!("{title}: no {}", quantity::latency(metric)));
            return Ok(None);
        }
        let x = Axis {
            label: quantity::latency(metric).to_owned(),
            scale: Scale::Log10,
            unit: Unit::Seconds,
            ticks: Vec::new(),
            range: None,
        };
        let y = Axis {
            label: "share of round trips within".to_owned(),
            scale: Scale::Linear,
            unit: Unit::Share,
            ticks: [0.0, 0.25, 0.5, 0.75, 1.0].map(|share| (share, format!("{:.0} %", share * 100.0))).to_vec(),
            range: Some((0.0, 1.0)),
        };
        let rules =
            rules::published(self.specification, self.published, &self.looks, Quantity::Median(metric), runs, true);
        Ok(Some(Panel { title, x, y, traces, rules }))
    }

    fn series_panel(&mut self, title: String, column: &str, runs: &[&'a Run]) -> Result<Option<Panel>, FiguresError> {
        let mut courses: BTreeMap<Level, Vec<Vec<(f64, f64)>>> = BTreeMap::new();
        let (mut short, mut more) = (0, 0);
        for run in runs {
            let mut rows = self.measured.series(run, column)?;
            // The last row is not a whole second.
            rows.pop();
            if rows.len() < SERIES_ROWS_MIN {
                short += 1;
            } else {
                courses.entry(self.specification.series.of(run)).or_default().push(rows);
            }
        }
        let mut traces = Vec::new();
        for (level, mut courses) in courses {
            courses.sort_by_key(|rows| std::cmp::Reverse(rows.len()));
            more += courses.len().saturating_sub(SERIES_RUNS_MAX);
            for rows in courses.into_iter().take(SERIES_RUNS_MAX) {
                let taken = rows.into_iter().filter(|(_, y)| y.is_finite());
                let marks = taken.map(|(x, y)| Mark { x, y, interval: None }).collect();
                traces.push(Trace { style: self.draws(&level), shape: Shape::Thin, marks });
            }
        }
        if short > 0 {
            self.notes
                .push(format!("{title}: {short} run(s) of less than {SERIES_ROWS_MIN} whole seconds are not drawn"));
        }
        if more > 0 {
            self.notes.push(format!("{title}: the {SERIES_RUNS_MAX} longest runs of each series, and not {more} more"));
        }
        let axis = |label: &str, unit| Axis {
            label: label.to_owned(),
            scale: Scale::Linear,
            unit,
            ticks: Vec::new(),
            range: None,
        };
        let y = if column == "messages_per_second" { "messages/s".to_owned() } else { format!("{column} in a second") };
        let panel = Panel {
            title,
            x: axis("s since the start", Unit::Plain),
            y: axis(&y, Unit::Plain),
            traces,
            rules: Vec::new(),
        };
        Ok((!panel.traces.is_empty()).then_some(panel))
    }

    fn base(&self) -> Level {
        Level::Text(self.specification.relative_to.clone().unwrap_or_default())
    }

    /// The estimate of a point, or its overhead relative to the base.
    fn value(&self, of: Quantity, runs: &[&Run], base: Option<&Vec<&Run>>) -> Option<(f64, Option<Interval>)> {
        let values = |runs: &[&Run]| runs.iter().filter_map(|run| of.of(run)).collect::<Vec<f64>>();
        if self.specification.relative_to.is_none() {
            let estimate = Estimate::of(&values(runs))?;
            return Some((estimate.median, estimate.interval));
        }
        let (own, base) = (values(runs), values(base?));
        if of.more_is_better() { ratio(&base, &own) } else { ratio(&own, &base) }
    }

    fn value_axis(&self, of: Quantity, relative: bool) -> Axis {
        let (label, unit) = match relative {
            true if of.more_is_better() => {
                (format!("{}: {} / route", quantity::label(of), self.looks.title(&self.base())), Unit::Times)
            }
            true => (format!("{}: route / {}", quantity::label(of), self.looks.title(&self.base())), Unit::Times),
            false => (quantity::label(of), quantity::unit(of)),
        };
        Axis { label, scale: self.specification.scale_y, unit, ticks: Vec::new(), range: None }
    }

    /// The style of a series; records that it is drawn.
    fn draws(&mut self, level: &Level) -> Style {
        self.series.insert(level.clone());
        self.style_of(level)
    }

    fn style_of(&self, level: &Level) -> Style {
        self.looks.style(level, &self.all_series)
    }

    fn legend(&self) -> Vec<Entry> {
        let mut legend: Vec<Entry> = self
            .series
            .iter()
            .map(|level| {
                let name = match (&self.specification.series, level) {
                    (Dimension::Architecture | Dimension::Workload | Dimension::Pattern | Dimension::Fault, _) => {
                        self.looks.title(level)
                    }
                    (Dimension::Consumers, Level::Number(1)) => "1 consumer".to_owned(),
                    (dimension, level) => format!("{} {dimension}", self.looks.title(level)),
                };
                Entry { name, style: self.style_of(level), thin: is_prediction(level) }
            })
            .collect();
        if self.specification.series == Dimension::Architecture {
            legend.sort_by_key(|entry| entry.style.order());
        }
        legend
    }

    /// The number of runs per mark, and the coverage of its bar.
    fn repetitions(&self) -> Vec<String> {
        if matches!(self.specification.kind, Kind::Series | Kind::Utilisation) {
            return Vec::new();
        }
        let what = if self.specification.kind == Kind::Cdf { "bands" } else { "bars" };
        let (Some(least), Some(most)) = (self.repeated.first(), self.repeated.last()) else { return Vec::new() };
        let runs = if least == most { format!("{least}") } else { format!("{least} to {most}") };
        if *most == 1 {
            return vec!["One run a point, which has no interval.".to_owned()];
        }
        let coverage = |runs: usize| {
            let values: Vec<f64> = (0..runs).map(|value| value as f64).collect();
            Some(Estimate::of(&values)?.interval?.coverage)
        };
        let intervals = match (coverage(*least), coverage(*most)) {
            (None, most) => {
                let most = most.unwrap_or_default() * 100.0;
                format!("{what} are intervals of up to {most:.0} % coverage, absent for single runs")
            }
            (Some(least), most) => {
                let most = most.unwrap_or(least);
                let (low, high) = (least.min(most) * 100.0, least.max(most) * 100.0);
                if (high - low).abs() < 0.5 {
                    format!("{what} are {low:.0} % intervals of the median")
                } else {
                    format!("{what} are {low:.0} to {high:.0} % intervals of the median")
                }
            }
        };
        vec![format!("Medians of {runs} runs a point; {intervals}.")]
    }
}

fn not_taken(of: Quantity) -> String {
    format!("{} was not taken", quantity::label(of))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests;
