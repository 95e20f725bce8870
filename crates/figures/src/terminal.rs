//! A figure drawn with characters, for terminals and batch logs.

use crate::{
    axis::{self, Mapped},
    chart::{Figure, Marker, Panel, RuleKind, Scale, Shape},
};
use std::fmt::Write;

const COLUMNS: usize = 64;
const ROWS: usize = 15;
/// Room for what is written at ticks.
const GUTTER: usize = 10;

/// The figure with its legend and notes.
pub fn text(figure: &Figure) -> String {
    let mut text = format!("{}\n{}\n", figure.title, "=".repeat(figure.title.chars().count()));
    let legend: Vec<String> =
        figure.legend.iter().map(|entry| format!("{} {}", character(entry.style.marker), entry.name)).collect();
    let _ = writeln!(text, "{}", legend.join("   "));
    for panel in &figure.panels {
        text.push('\n');
        text.push_str(&draw(panel));
    }
    text.push('\n');
    for note in &figure.notes {
        let _ = writeln!(text, "  {note}");
    }
    text
}

fn character(marker: Marker) -> char {
    match marker {
        Marker::Disc => '●',
        Marker::Square => '■',
        Marker::Diamond => '◆',
        Marker::Up => '▲',
        Marker::Down => '▼',
        Marker::Ring => '○',
        Marker::Cross => '×',
    }
}

struct Grid<'a> {
    cells: Vec<Vec<char>>,
    panel: &'a Panel,
    x: Mapped,
    y: Mapped,
}

fn draw(panel: &Panel) -> String {
    let (x, y) = axis::map(panel);
    let rows = if panel.y.scale == Scale::Category { 2 * panel.y.ticks.len().max(1) } else { ROWS };
    let mut grid = Grid { cells: vec![vec![' '; COLUMNS]; rows], panel, x, y };
    let mut beyond = Vec::new();
    for rule in &panel.rules {
        let dash = match rule.kind {
            RuleKind::Bound => '─',
            RuleKind::Published => '┄',
            RuleKind::Base => '·',
        };
        let point = rule.x.filter(|(from, to)| from == to).is_some();
        if !point && grid.y.holds(rule.y) {
            let row = grid.row(rule.y);
            grid.cells[row].iter_mut().for_each(|cell| *cell = dash);
            beyond.push(format!("{dash}{dash} {}", rule.text));
        } else {
            beyond.push(format!("{} ({})", rule.text, axis::written(panel.y.unit, rule.y)));
        }
    }
    // Series stand beside each other, so that none hides another.
    let aside = |index: usize, column: usize| (column + index).saturating_sub(panel.traces.len() / 2).min(COLUMNS - 1);
    for (index, trace) in panel.traces.iter().enumerate() {
        let points = matches!(trace.shape, Shape::Joined | Shape::Apart);
        for mark in &trace.marks {
            let column = if points { aside(index, grid.column(mark.x)) } else { grid.column(mark.x) };
            if let Some((low, high)) = mark.interval.filter(|_| points) {
                let (top, bottom) = (grid.row(high), grid.row(low));
                (top..=bottom).for_each(|row| grid.cells[row][column] = '│');
            }
            let row = grid.row(mark.y);
            grid.cells[row][column] = character(trace.style.marker);
        }
    }
    grid.lines(&beyond)
}

impl Grid<'_> {
    fn row(&self, y: f64) -> usize {
        let place = self.y.place(y).clamp(0.0, 1.0);
        let place = if self.panel.y.scale == Scale::Category { place } else { 1.0 - place };
        (place * (self.cells.len() - 1) as f64).round() as usize
    }

    fn column(&self, x: f64) -> usize {
        (self.x.place(x).clamp(0.0, 1.0) * (COLUMNS - 1) as f64).round() as usize
    }

    fn lines(&self, beyond: &[String]) -> String {
        let Panel { title, x, y, .. } = self.panel;
        let mut text = format!("{title}{}{}\n", if y.label.is_empty() { "" } else { ": " }, y.label);
        let gutter = self.y.ticks.iter().map(|(_, tick)| tick.chars().count()).max().unwrap_or(0).max(GUTTER);
        for (row, cells) in self.cells.iter().enumerate() {
            let tick = self.y.ticks.iter().find(|(value, _)| self.y.holds(*value) && self.row(*value) == row);
            let tick = tick.map_or("", |(_, tick)| tick.as_str());
            let cells: String = cells.iter().collect();
            let _ = writeln!(text, "{tick:>gutter$} │{}", cells.trim_end());
        }
        let mut names = vec![' '; COLUMNS + GUTTER];
        let mut free = 0;
        for (value, tick) in self.x.ticks.iter().filter(|(value, _)| self.x.holds(*value)) {
            let wide = tick.chars().count();
            let start = self.column(*value).saturating_sub(wide / 2);
            if start >= free {
                tick.chars().zip(&mut names[start..]).for_each(|(letter, cell)| *cell = letter);
                free = start + wide + 1;
            }
        }
        let names: String = names.iter().collect();
        let _ = writeln!(text, "{:>gutter$} └{}", "", "─".repeat(COLUMNS));
        let _ = writeln!(text, "{:>gutter$}  {}   {}", "", names.trim_end(), x.label);
        beyond.iter().for_each(|line| text += &format!("{:>gutter$}  {line}\n", ""));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::{Axis, Mark, Rule, Style, Trace, Unit};

    #[test]
    fn marks_bars_and_bounds_are_where_they_belong() {
        let axis =
            |label: &str, scale, ticks| Axis { label: label.to_owned(), scale, unit: Unit::Plain, ticks, range: None };
        let places = [1.0, 2.0, 4.0].map(|place| (place, place.to_string())).to_vec();
        let mark = |x: f64, y: f64| Mark { x, y, interval: Some((y - 10.0, y + 10.0)) };
        let panel = Panel {
            title: "Dstream".to_owned(),
            x: axis("consumers", Scale::Log2, places),
            y: axis("messages/s", Scale::Linear, Vec::new()),
            traces: vec![Trace {
                style: Style::PALETTE[0],
                shape: Shape::Joined,
                marks: vec![mark(1.0, 40.0), mark(4.0, 90.0)],
            }],
            rules: vec![Rule { kind: RuleKind::Bound, y: 900.0, x: None, text: "the link".to_owned(), style: None }],
        };
        let text = draw(&panel);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "Dstream: messages/s");
        assert!(lines[3].ends_with('●') && lines[2].ends_with('│'), "{text}");
        assert!(lines.iter().any(|line| line.starts_with("       100 │")), "{text}");
        assert!(text.contains("the link (900)") && text.contains("1 ") && text.contains("consumers"), "{text}");
    }
}
