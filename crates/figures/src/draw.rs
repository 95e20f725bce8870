//! A figure as SVG and as PNG, by plotters.

use crate::{
    axis::{self, Mapped},
    canvas::{Canvas, FINE, Failed, Fonts, GREY, GRID, INK, PAPER, Side},
    chart::{Colour, Entry, Figure, Marker, Panel, RuleKind, Scale, Shape, Style, Trace, Unit},
};
use plotters::{
    backend::{BitMapBackend, SVGBackend},
    drawing::{DrawingAreaErrorKind, IntoDrawingArea},
    prelude::DrawingBackend,
    style::{Color, RGBAColor, RGBColor},
};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// So much line and so much gap.
type Dash = (f64, f64);

fn color_of(style: Style) -> RGBColor {
    let Colour([red, green, blue]) = style.colour;
    RGBColor(red, green, blue)
}

/// How the line of a series is dashed.
fn dash_of(style: Style) -> Option<Dash> {
    match style.marker {
        Marker::Disc | Marker::Square | Marker::Down => None,
        Marker::Diamond => Some((7.0, 3.0)),
        Marker::Up => Some((4.0, 2.5)),
        Marker::Ring => Some((9.0, 3.0)),
        Marker::Cross => Some((2.0, 2.0)),
    }
}

/// A box on the page.
#[derive(Debug, Clone, Copy)]
struct Frame {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

/// Lines of predictions beside measurements.
const THIN_WIDTH: f64 = 1.2;
const THIN_OPACITY: f64 = 0.8;
const TITLE: f64 = 14.0;
const PANEL_TITLE: f64 = 12.0;
const SMALL: f64 = 10.0;
const TINY: f64 = 9.0;
const MARGIN: f64 = 14.0;
/// Each takes some 60 MB while it is drawn.
const DRAWN_AT_ONCE_MAX: usize = 4;
/// Pixels of a PNG for each of a page: sharp in print at the width of a column.
const PNG_SCALE: f64 = 2.0;
/// Above and below a panel's axes, and right of them.
const ABOVE: f64 = 40.0;
const BELOW: f64 = 38.0;
const RIGHT: f64 = 12.0;
/// From one series to the next in a row of a ladder.
const ASIDE: f64 = 5.0;
/// A row of bars, and the part of it that a bar takes.
const BAR_ROW: f64 = 19.0;
const BAR: f64 = 12.0;
/// From one row of names below an axis to the next.
const NEXT_ROW: f64 = 12.0;

/// plotters' SVG backend sets fonts at their size over 1.24.
const SVG_FONTS: Fonts = Fonts { size: 1.24, drop: 0.0 };
/// Its bitmaps set fonts by ascent and descent, which DejaVu has 1.164 em of.
const BITMAP_FONTS: Fonts = Fonts { size: 1.164, drop: 0.14 };

fn panel_size(panel: &Panel, columns: usize) -> (f64, f64) {
    let bars = panel.traces.iter().any(|trace| matches!(trace.shape, Shape::Bars { .. }));
    match (rows(panel), columns) {
        (Some(rows), _) if bars => (440.0, ABOVE + BELOW + BAR_ROW * rows as f64),
        (Some(rows), _) => (520.0, ABOVE + BELOW + (18.0 + ASIDE * panel.traces.len() as f64).max(34.0) * rows as f64),
        (None, 3..) => (262.0, 240.0),
        (None, 1) => (560.0, 330.0),
        (None, _) => (404.0, 306.0),
    }
}

fn below(panel: &Panel) -> f64 {
    if panel.x.scale == Scale::Category { BELOW + NEXT_ROW } else { BELOW }
}

fn rows(panel: &Panel) -> Option<usize> {
    (panel.y.scale == Scale::Category).then_some(panel.y.ticks.len())
}

/// A whole figure, with title, legend and notes.
pub fn svg(figure: &Figure) -> String {
    svg_page(size(figure), |canvas| page(canvas, figure, size(figure)))
}

/// One panel alone, without title and legend of the figure: for pages that arrange panels themselves.
pub fn panel_svg(panel: &Panel, columns: usize) -> String {
    let (width, height) = panel_size(panel, columns);
    svg_page((width, height), |canvas| draw_panel(canvas, panel, Frame { left: 0.0, top: 0.0, width, height }))
}

/// The line and marker of a series alone.
pub fn swatch_svg(entry: &Entry) -> String {
    svg_page((30.0, 14.0), |canvas| swatch(canvas, entry, (0.0, 7.0)))
}

fn svg_page(
    (width, height): (f64, f64),
    draw: impl FnOnce(&Canvas<SVGBackend>) -> Result<(), DrawingAreaErrorKind<std::io::Error>>,
) -> String {
    let mut text = String::new();
    {
        let pixels = ((width * FINE) as u32, (height * FINE) as u32);
        let canvas = Canvas::new(SVGBackend::with_string(&mut text, pixels).into_drawing_area(), SVG_FONTS);
        draw(&canvas).and_then(|()| canvas.finish()).expect("writing into a text cannot fail");
    }
    // Coordinates stay as fine as they are; the size is that of the page.
    let from = format!("width=\"{}\" height=\"{}\"", (width * FINE) as u32, (height * FINE) as u32);
    let to = format!("width=\"{width}\" height=\"{height}\"");
    text.replacen(&from, &to, 1)
}

/// A whole figure as PNG.
pub fn png(figure: &Figure) -> Vec<u8> {
    let (width, height) = size(figure);
    let (fine_width, fine_height) = ((width * FINE) as usize, (height * FINE) as usize);
    let mut pixels = vec![0xff_u8; fine_width * fine_height * 3];
    {
        let backend = BitMapBackend::with_buffer(&mut pixels, (fine_width as u32, fine_height as u32));
        let canvas = Canvas::new(backend.into_drawing_area(), BITMAP_FONTS);
        page(&canvas, figure, (width, height)).and_then(|()| canvas.finish()).expect("drawing into memory cannot fail");
    }
    // plotters smooths no edges; the mean of several of its pixels does.
    let side = (FINE / PNG_SCALE) as usize;
    let (small_width, small_height) = (fine_width / side, fine_height / side);
    let mut small = Vec::with_capacity(small_width * small_height * 3);
    for y in 0..small_height {
        for x in 0..small_width {
            let mut sums = [0_u32; 3];
            for row in 0..side {
                let start = ((y * side + row) * fine_width + x * side) * 3;
                for pixel in pixels[start..start + side * 3].as_chunks::<3>().0 {
                    sums.iter_mut().zip(pixel).for_each(|(sum, channel)| *sum += u32::from(*channel));
                }
            }
            small.extend(sums.map(|sum| (sum / (side * side) as u32) as u8));
        }
    }
    encode(&small, small_width as u32, small_height as u32)
}

/// All figures as PNG, several at a time.
pub fn pngs(figures: &[Figure]) -> Vec<Vec<u8>> {
    let workers = thread::available_parallelism().map_or(1, usize::from).min(DRAWN_AT_ONCE_MAX);
    let next = AtomicUsize::new(0);
    let mut drawn: Vec<(usize, Vec<u8>)> = thread::scope(|scope| {
        let draw = || {
            let mut drawn = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(figure) = figures.get(index) else { return drawn };
                drawn.push((index, png(figure)));
            }
        };
        // This thread draws too, alone where the system has no other.
        let others: Vec<_> =
            (1..workers).filter_map(|_| thread::Builder::new().spawn_scoped(scope, draw).ok()).collect();
        let own = draw();
        own.into_iter()
            .chain(others.into_iter().flat_map(|other| other.join().expect("drawing does not panic")))
            .collect()
    });
    drawn.sort_by_key(|(index, _)| *index);
    drawn.into_iter().map(|(_, png)| png).collect()
}

fn encode(pixels: &[u8], width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    // Two pixels for each of 96 an inch.
    let per_metre = (96.0 * PNG_SCALE / 0.0254) as u32;
    encoder.set_pixel_dims(Some(png::PixelDimensions { xppu: per_metre, yppu: per_metre, unit: png::Unit::Meter }));
    let mut writer = encoder.write_header().expect("the size is not zero");
    writer.write_image_data(pixels).expect("as many pixels as the size has");
    writer.finish().expect("writing to memory cannot fail");
    bytes
}

/// Where everything of a figure is, from the top.
struct Layout {
    width: f64,
    legend_top: f64,
    panels_top: f64,
    notes_top: f64,
    height: f64,
    legend: Vec<Vec<usize>>,
    notes: Vec<String>,
}

fn size(figure: &Figure) -> (f64, f64) {
    let layout = layout(figure);
    (layout.width, layout.height)
}

fn layout(figure: &Figure) -> Layout {
    let (panel_width, panel_height) = figure.panels.first().map_or((404.0, 40.0), |panel| largest(figure, panel));
    let columns = figure.columns.max(1);
    let width = (panel_width * columns as f64 + 2.0 * MARGIN).max(540.0);
    let inner = width - 2.0 * MARGIN;
    let mut legend: Vec<Vec<usize>> = vec![Vec::new()];
    let mut used = 0.0;
    for (index, entry) in figure.legend.iter().enumerate() {
        let wide = 36.0 + estimate(&entry.name, SMALL) + 16.0;
        if used + wide > inner && used > 0.0 {
            legend.push(Vec::new());
            used = 0.0;
        }
        legend.last_mut().expect("there is one row at least").push(index);
        used += wide;
    }
    let notes: Vec<String> = figure.notes.iter().flat_map(|note| wrapped(note, inner, TINY)).collect();
    let legend_top = MARGIN + 24.0;
    let panels_top = legend_top + 18.0 * legend.len() as f64 + 8.0;
    let lines = figure.panels.len().div_ceil(columns);
    let notes_top = panels_top + panel_height * lines as f64 + 6.0;
    let height = (notes_top + 13.0 * notes.len() as f64 + MARGIN).ceil();
    Layout { width, legend_top, panels_top, notes_top, height, legend, notes }
}

fn largest(figure: &Figure, first: &Panel) -> (f64, f64) {
    figure
        .panels
        .iter()
        .map(|panel| panel_size(panel, figure.columns))
        .fold(panel_size(first, figure.columns), |largest, size| (largest.0.max(size.0), largest.1.max(size.1)))
}

/// An estimate of the width of words, before there is a page that could measure them.
fn estimate(text: &str, size: f64) -> f64 {
    0.6 * size * text.chars().count() as f64
}

fn wrapped(text: &str, width: f64, size: f64) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is one line at least");
        if !line.is_empty() && estimate(line, size) + estimate(word, size) > width {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

fn page<B: DrawingBackend>(canvas: &Canvas<B>, figure: &Figure, (width, height): (f64, f64)) -> Result<(), Failed<B>> {
    let layout = layout(figure);
    canvas.polygon(&[(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)], PAPER.mix(1.0))?;
    canvas.text(&figure.title, (MARGIN, MARGIN + 8.0), Side::Right, TITLE, true, INK)?;
    for (row, entries) in layout.legend.iter().enumerate() {
        let mut x = MARGIN;
        let y = layout.legend_top + 18.0 * row as f64 + 7.0;
        for entry in entries.iter().map(|index| &figure.legend[*index]) {
            swatch(canvas, entry, (x, y))?;
            canvas.text(&entry.name, (x + 36.0, y), Side::Right, SMALL, false, INK)?;
            x += 36.0 + canvas.width(&entry.name, SMALL, false) + 16.0;
        }
    }
    let (panel_width, panel_height) = figure.panels.first().map_or((0.0, 0.0), |first| largest(figure, first));
    for (index, panel) in figure.panels.iter().enumerate() {
        let (column, row) = (index % figure.columns.max(1), index / figure.columns.max(1));
        let frame = Frame {
            left: MARGIN + panel_width * column as f64,
            top: layout.panels_top + panel_height * row as f64,
            width: panel_width,
            height: panel_height,
        };
        draw_panel(canvas, panel, frame)?;
    }
    for (line, note) in layout.notes.iter().enumerate() {
        let y = layout.notes_top + 13.0 * line as f64 + 6.0;
        canvas.text(note, (MARGIN, y), Side::Right, TINY, false, GREY)?;
    }
    Ok(())
}

fn swatch<B: DrawingBackend>(canvas: &Canvas<B>, entry: &Entry, (x, y): (f64, f64)) -> Result<(), Failed<B>> {
    let &Entry { style, thin, .. } = entry;
    if thin {
        return canvas.path(&[(x + 1.0, y), (x + 29.0, y)], color_of(style).mix(THIN_OPACITY), THIN_WIDTH, None);
    }
    let color = color_of(style).mix(1.0);
    canvas.path(&[(x + 1.0, y), (x + 29.0, y)], color, 1.6, dash_of(style))?;
    marker(canvas, style.marker, (x + 15.0, y), color)
}

/// A panel whose axes have been found.
struct Drawn<'a, B: DrawingBackend> {
    canvas: &'a Canvas<B>,
    panel: &'a Panel,
    plot: Frame,
    x: Mapped,
    y: Mapped,
}

fn draw_panel<B: DrawingBackend>(canvas: &Canvas<B>, panel: &Panel, frame: Frame) -> Result<(), Failed<B>> {
    let (x, y) = axis::map(panel);
    let widest = y.ticks.iter().map(|(_, text)| canvas.width(text, SMALL, false)).fold(0.0, f64::max);
    let left = widest + 12.0;
    let plot = Frame {
        left: frame.left + left,
        top: frame.top + ABOVE,
        width: frame.width - left - RIGHT,
        height: frame.height - ABOVE - below(panel) - 8.0,
    };
    let drawn = Drawn { canvas, panel, plot, x, y };
    drawn.axes(frame)?;
    panel.traces.iter().enumerate().try_for_each(|(index, trace)| drawn.trace(index, trace))?;
    drawn.rules(frame)
}

impl<B: DrawingBackend> Drawn<'_, B> {
    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (self.along(x), self.up(y))
    }

    fn along(&self, x: f64) -> f64 {
        self.plot.left + self.plot.width * self.x.place(x).clamp(0.0, 1.0)
    }

    fn up(&self, y: f64) -> f64 {
        let place = self.y.place(y).clamp(0.0, 1.0);
        // Categories are read from the top.
        let place = if self.panel.y.scale == Scale::Category { 1.0 - place } else { place };
        self.plot.top + self.plot.height * (1.0 - place)
    }

    fn axes(&self, frame: Frame) -> Result<(), Failed<B>> {
        let Frame { left, top, width, height } = self.plot;
        let (right, bottom) = (left + width, top + height);
        let canvas = self.canvas;
        for (value, text) in &self.y.ticks {
            let y = self.up(*value);
            canvas.path(&[(left, y), (right, y)], GRID.mix(1.0), 1.0, None)?;
            canvas.text(text, (left - 6.0, y), Side::Left, SMALL, false, GREY)?;
        }
        // Where one row is full, names of categories take the next; numbers can do without some.
        let rows = if self.panel.x.scale == Scale::Category { 2 } else { 1 };
        let mut free = vec![f64::NEG_INFINITY; rows];
        for (value, text) in &self.x.ticks {
            let x = self.along(*value);
            canvas.path(&[(x, top), (x, bottom)], GRID.mix(1.0), 1.0, None)?;
            let half = canvas.width(text, SMALL, false) / 2.0;
            if let Some(row) = free.iter().position(|free| x - half > *free) {
                let y = bottom + 11.0 + NEXT_ROW * row as f64;
                canvas.text(text, (x, y), Side::Middle, SMALL, false, GREY)?;
                free[row] = x + half + 4.0;
            }
        }
        let label = bottom + 27.0 + NEXT_ROW * (rows - 1) as f64;
        canvas.path(&[(left, bottom), (right, bottom)], INK.mix(0.7), 1.0, None)?;
        canvas.text(&self.panel.x.label, (left + width / 2.0, label), Side::Middle, SMALL, false, INK)?;
        canvas.text(&self.panel.title, (frame.left + 2.0, frame.top + 10.0), Side::Right, PANEL_TITLE, true, INK)?;
        canvas.text(&self.panel.y.label, (frame.left + 2.0, frame.top + 27.0), Side::Right, SMALL, false, INK)
    }

    fn rules(&self, frame: Frame) -> Result<(), Failed<B>> {
        let Frame { left, top, width, height } = self.plot;
        let right = left + width;
        if self.panel.x.unit == Unit::Times {
            // A ratio is read against 1.
            let x = self.along(1.0);
            self.canvas.path(&[(x, top), (x, top + height)], GREY.mix(1.0), 1.2, None)?;
        }
        let mut taken: Vec<f64> = Vec::new();
        let mut off: Vec<String> = Vec::new();
        for rule in &self.panel.rules {
            let (color, dash, weight) = match rule.kind {
                RuleKind::Bound => (INK, None, 1.2),
                RuleKind::Published => (rule.style.map_or(GREY, color_of), Some((2.0, 3.0)), 1.6),
                RuleKind::Base => (rule.style.map_or(GREY, color_of), None, 1.4),
            };
            let point = rule.x.filter(|(from, to)| from == to && self.panel.y.range.is_some());
            if let Some((x, _)) = point {
                if !self.x.holds(x) {
                    let way = if self.x.place(x) > 1.0 { "right" } else { "left" };
                    off.push(format!("off to the {way}: {}", rule.text));
                    continue;
                }
                let (x, y) = self.at(x, rule.y);
                for (dx, dy) in [(5.0, 0.0), (0.0, 5.0)] {
                    self.canvas.path(&[(x - dx, y - dy), (x + dx, y + dy)], color.mix(1.0), 2.0, None)?;
                }
                self.label(&rule.text, (right - 2.0, Side::Left), y, &mut taken)?;
                continue;
            }
            if !self.y.holds(rule.y) {
                let way = if self.y.place(rule.y) > 1.0 { "above" } else { "below" };
                let value = axis::written(self.panel.y.unit, rule.y);
                off.push(format!("{way}: {}, {value}", rule.text));
                continue;
            }
            let (from, to) = match rule.x {
                Some((from, to)) => (self.along(from), self.along(to)),
                None => (left, right),
            };
            let y = self.up(rule.y);
            self.canvas.path(&[(from, y), (to, y)], color.mix(1.0), weight, dash)?;
            // Beside its beginning, where it does not go all the way.
            let label = rule.x.map_or((right - 2.0, Side::Left), |_| (from + 2.0, Side::Right));
            self.label(&rule.text, label, y, &mut taken)?;
        }
        // Beside the label of the axis and the title where there is room, else inside.
        let canvas = self.canvas;
        let taken_by = [
            (27.0, canvas.width(&self.panel.y.label, SMALL, false)),
            (10.0, canvas.width(&self.panel.title, PANEL_TITLE, true)),
        ];
        let mut rows = taken_by.into_iter().peekable();
        let mut inside = top + 8.0;
        for text in &off {
            let wide = canvas.width(text, TINY, false);
            while rows.next_if(|(_, used)| frame.width - RIGHT - used - 16.0 < wide).is_some() {}
            match rows.next() {
                Some((row, _)) => canvas.text(text, (right, frame.top + row), Side::Left, TINY, false, GREY)?,
                // To the left, as most curves rise to the right.
                None => {
                    self.words(text, (left + 4.0, inside), Side::Right, GREY)?;
                    inside += 12.0;
                }
            }
        }
        Ok(())
    }

    /// Above its line, or below where another word is there.
    fn label(&self, text: &str, (x, side): (f64, Side), y: f64, taken: &mut Vec<f64>) -> Result<(), Failed<B>> {
        let free =
            |y: f64, taken: &[f64]| y > self.plot.top + 5.0 && taken.iter().all(|other| (other - y).abs() > 10.0);
        let places = [y - 7.0, y + 8.0, y - 18.0, y + 19.0];
        let y = places.into_iter().find(|y| free(*y, taken)).unwrap_or(y - 7.0);
        taken.push(y);
        self.words(text, (x, y), side, INK)
    }

    /// Words that data may pass behind.
    fn words(&self, text: &str, (x, y): (f64, f64), side: Side, color: RGBColor) -> Result<(), Failed<B>> {
        let wide = self.canvas.width(text, TINY, false) + 2.0;
        let (left, right) = if side == Side::Left { (x - wide, x + 1.0) } else { (x - 1.0, x + wide) };
        let around = [(left, y - 5.5), (right, y - 5.5), (right, y + 5.5), (left, y + 5.5)];
        self.canvas.polygon(&around, PAPER.mix(0.8))?;
        self.canvas.text(text, (x, y), side, TINY, false, color)
    }

    fn trace(&self, index: usize, trace: &Trace) -> Result<(), Failed<B>> {
        let (color, kind, dash) = (color_of(trace.style), trace.style.marker, dash_of(trace.style));
        let solid = color.mix(1.0);
        let aside = index as f64 - (self.panel.traces.len() as f64 - 1.0) / 2.0;
        // Beside each other, so that bars can be distinguished.
        let (dx, dy) = match trace.shape {
            Shape::Joined | Shape::Apart => (2.2 * aside, 0.0),
            Shape::Rows => (0.0, ASIDE * aside),
            Shape::Curve | Shape::Thin | Shape::Bars { .. } => (0.0, 0.0),
        };
        let place = |x: f64, y: f64| {
            let (x, y) = self.at(x, y);
            (x + dx, y + dy)
        };
        let points: Vec<(f64, f64)> = trace.marks.iter().map(|mark| place(mark.x, mark.y)).collect();
        match trace.shape {
            Shape::Curve => {
                let banded: Vec<_> =
                    trace.marks.iter().filter_map(|mark| mark.interval.map(|ends| (ends, mark.y))).collect();
                let mut band: Vec<_> = banded.iter().map(|((low, _), y)| place(*low, *y)).collect();
                band.extend(banded.iter().rev().map(|((_, high), y)| place(*high, *y)));
                if !band.is_empty() {
                    self.canvas.polygon(&band, color.mix(0.16))?;
                }
                self.canvas.path(&points, solid, 1.6, dash)?;
                // Markers at the quartiles, so that print without colour can be read.
                for (mark, point) in trace.marks.iter().zip(&points) {
                    if [0.25, 0.5, 0.75].iter().any(|share| (share - mark.y).abs() < 1e-6) {
                        marker(self.canvas, kind, *point, solid)?;
                    }
                }
            }
            Shape::Bars { solid: full } => {
                let paint = color.mix(if full { 1.0 } else { 0.35 });
                for (x, y) in points {
                    let (from, [top, bottom]) = (self.along(0.0), [y - BAR / 2.0, y + BAR / 2.0]);
                    self.canvas.polygon(&[(from, top), (x, top), (x, bottom), (from, bottom)], paint)?;
                }
            }
            Shape::Thin => self.canvas.path(&points, color.mix(THIN_OPACITY), THIN_WIDTH, None)?,
            Shape::Joined | Shape::Apart | Shape::Rows => {
                for mark in &trace.marks {
                    let Some((low, high)) = mark.interval else { continue };
                    let (from, to) = if trace.shape == Shape::Rows {
                        (place(low, mark.y), place(high, mark.y))
                    } else {
                        (place(mark.x, low), place(mark.x, high))
                    };
                    self.bar(from, to, color.mix(0.75))?;
                }
                if trace.shape == Shape::Joined {
                    self.canvas.path(&points, solid, 1.6, dash)?;
                }
                for point in points {
                    marker(self.canvas, kind, point, solid)?;
                }
            }
        }
        Ok(())
    }

    /// An interval, with a stroke at each end.
    fn bar(&self, from: (f64, f64), to: (f64, f64), color: RGBAColor) -> Result<(), Failed<B>> {
        let (dx, dy) = if from.0 == to.0 { (2.5, 0.0) } else { (0.0, 2.5) };
        self.canvas.path(&[from, to], color, 1.1, None)?;
        for (x, y) in [from, to] {
            self.canvas.path(&[(x - dx, y - dy), (x + dx, y + dy)], color, 1.1, None)?;
        }
        Ok(())
    }
}

fn marker<B: DrawingBackend>(
    canvas: &Canvas<B>,
    kind: Marker,
    (x, y): (f64, f64),
    color: RGBAColor,
) -> Result<(), Failed<B>> {
    let shape = |corners: &[(f64, f64)]| {
        let corners: Vec<_> = corners.iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
        canvas.polygon(&corners, color)
    };
    match kind {
        Marker::Disc => canvas.disc((x, y), 3.4, color),
        Marker::Ring => {
            canvas.disc((x, y), 3.6, color)?;
            canvas.disc((x, y), 1.9, PAPER.mix(1.0))
        }
        Marker::Square => shape(&[(-3.1, -3.1), (3.1, -3.1), (3.1, 3.1), (-3.1, 3.1)]),
        Marker::Diamond => shape(&[(0.0, -4.3), (4.3, 0.0), (0.0, 4.3), (-4.3, 0.0)]),
        Marker::Up => shape(&[(0.0, -4.2), (4.0, 3.0), (-4.0, 3.0)]),
        Marker::Down => shape(&[(0.0, 4.2), (4.0, -3.0), (-4.0, -3.0)]),
        Marker::Cross => {
            for (dx, dy) in [(3.0, 3.0), (3.0, -3.0)] {
                canvas.path(&[(x - dx, y - dy), (x + dx, y + dy)], color, 1.6, None)?;
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::{Axis, Entry, Mark, Rule};

    fn figure() -> Figure {
        let axis = |label: &str, scale| Axis {
            label: label.to_owned(),
            scale,
            unit: Unit::Plain,
            ticks: Vec::new(),
            range: None,
        };
        let mark = |x: f64, y: f64| Mark { x, y, interval: Some((y * 0.9, y * 1.1)) };
        let panel = Panel {
            title: "Dstream".to_owned(),
            x: axis("consumers", Scale::Log2),
            y: axis("messages/s", Scale::Linear),
            traces: vec![Trace {
                style: Style::PALETTE[0],
                shape: Shape::Joined,
                marks: vec![mark(1.0, 10.0), mark(2.0, 20.0)],
            }],
            rules: vec![
                Rule { kind: RuleKind::Bound, y: 25.0, x: None, text: "the link".to_owned(), style: None },
                Rule { kind: RuleKind::Published, y: 900.0, x: None, text: "the paper".to_owned(), style: None },
            ],
        };
        Figure {
            name: "tiny".to_owned(),
            title: "A <title> & more".to_owned(),
            notes: vec!["a note".to_owned()],
            legend: vec![Entry { name: "DTS".to_owned(), style: Style::PALETTE[0], thin: false }],
            panels: vec![panel],
            columns: 1,
        }
    }

    #[test]
    fn an_svg_has_every_word_and_the_size_of_its_page() {
        let svg = svg(&figure());
        for words in [
            "A &lt;title&gt; &amp; more",
            "Dstream",
            "messages/s",
            "the link",
            "above: the paper, 900",
            "a note",
            "DTS",
        ] {
            assert!(svg.contains(words), "{words}");
        }
        let (width, height) = size(&figure());
        assert!(
            svg.starts_with(&format!("<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 ")),
            "{}",
            &svg[..80]
        );
        assert!(svg.trim_end().ends_with("</svg>"));
        assert!(!panel_svg(&figure().panels[0], 1).contains("A &lt;title"), "a panel alone has no title of the figure");
    }

    #[test]
    fn a_png_is_twice_as_large_and_has_the_ink_of_its_marks() {
        let small = Figure { panels: Vec::new(), ..figure() };
        let bytes = pngs(&[figure(), small.clone()]).remove(1);
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        let (width, height) = size(&small);
        assert_eq!((f64::from(info.width), f64::from(info.height)), (width * 2.0, height * 2.0));
        let blue = pixels.as_chunks::<3>().0.iter().filter(|pixel| **pixel == [0x00, 0x72, 0xb2]).count();
        assert!(blue > 50, "the swatch of the legend: {blue}");
    }
}
