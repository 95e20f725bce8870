//! Lines, areas and words on a page, by whichever plotters backend is under it: lengths are floats in CSS pixels.

use plotters::{
    coord::Shift,
    drawing::{DrawingArea, DrawingAreaErrorKind},
    element::{PathElement, Polygon},
    prelude::DrawingBackend,
    style::{
        Color, FontFamily, FontStyle, IntoFont, RGBAColor, RGBColor, ShapeStyle, TextStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};
use std::sync::Once;

/// The family as plotters looks it up and as CSS understands it.
const FAMILY: &str = "DejaVu Sans, Verdana, sans-serif";
/// plotters counts in pixels of a backend, which are whole; so everything is drawn larger and scaled back.
pub const FINE: f64 = 6.0;

/// Ink: what words and axes are drawn with. The report turns these for dark screens.
pub const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
/// Words of less weight.
pub const GREY: RGBColor = RGBColor(0x66, 0x66, 0x66);
/// The grid.
pub const GRID: RGBColor = RGBColor(0xe4, 0xe4, 0xe4);
/// The page.
pub const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xff);

/// On which side of its place a word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// It begins there.
    Right,
    /// It is around it.
    Middle,
    /// It ends there.
    Left,
}

/// The error of a backend.
pub type Failed<B> = DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>;

/// A page to draw on.
pub struct Canvas<B: DrawingBackend> {
    area: DrawingArea<B, Shift>,
    fonts: Fonts,
}

/// How a backend sets words: plotters' two differ.
#[derive(Debug, Clone, Copy)]
pub struct Fonts {
    /// What plotters calls the size of a font, over its em.
    pub size: f64,
    /// How far below its place a word has to be put to be in its middle, over its em.
    pub drop: f64,
}

fn at((x, y): (f64, f64)) -> (i32, i32) {
    ((x * FINE).round() as i32, (y * FINE).round() as i32)
}

impl<B: DrawingBackend> Canvas<B> {
    /// A page over a backend whose pixels are [`FINE`] times as many.
    pub fn new(area: DrawingArea<B, Shift>, fonts: Fonts) -> Self {
        static FONTS: Once = Once::new();
        FONTS.call_once(|| {
            for (style, font) in [(FontStyle::Normal, dejavu::sans::regular()), (FontStyle::Bold, dejavu::sans::bold())]
            {
                // Fails only for what is no font.
                let _ = plotters::style::register_font(FAMILY, style, font);
            }
        });
        Self { area, fonts }
    }

    /// Writes what was drawn.
    pub fn finish(&self) -> Result<(), Failed<B>> {
        self.area.present()
    }

    /// Joined by straight lines. With `dash`, so much line and so much gap in turn.
    pub fn path(
        &self,
        points: &[(f64, f64)],
        color: RGBAColor,
        width: f64,
        dash: Option<(f64, f64)>,
    ) -> Result<(), Failed<B>> {
        let style = ShapeStyle { color, filled: false, stroke_width: (width * FINE).round() as u32 };
        for part in dash.map_or_else(|| vec![points.to_vec()], |dash| dashes(points, dash)) {
            self.area.draw(&PathElement::new(part.into_iter().map(at).collect::<Vec<_>>(), style))?;
        }
        Ok(())
    }

    /// A filled area.
    pub fn polygon(&self, points: &[(f64, f64)], color: RGBAColor) -> Result<(), Failed<B>> {
        self.area.draw(&Polygon::new(points.iter().copied().map(at).collect::<Vec<_>>(), color.filled()))
    }

    /// A filled disc.
    pub fn disc(&self, centre: (f64, f64), radius: f64, color: RGBAColor) -> Result<(), Failed<B>> {
        let around = (0..32).map(|step| {
            let angle = f64::from(step) / 32.0 * std::f64::consts::TAU;
            (centre.0 + radius * angle.cos(), centre.1 + radius * angle.sin())
        });
        self.polygon(&around.collect::<Vec<_>>(), color)
    }

    /// Words, their middle at the height of `place`.
    pub fn text(
        &self,
        text: &str,
        place: (f64, f64),
        side: Side,
        size: f64,
        bold: bool,
        color: RGBColor,
    ) -> Result<(), Failed<B>> {
        let horizontal = match side {
            Side::Right => HPos::Left,
            Side::Middle => HPos::Center,
            Side::Left => HPos::Right,
        };
        let style = self.style(size, bold, color).pos(Pos::new(horizontal, VPos::Center));
        self.area.draw_text(text, &style, at((place.0, place.1 + size * self.fonts.drop)))
    }

    fn style(&self, size: f64, bold: bool, color: RGBColor) -> TextStyle<'static> {
        let weight = if bold { FontStyle::Bold } else { FontStyle::Normal };
        let font = (FontFamily::Name(FAMILY), size * FINE * self.fonts.size, weight).into_font();
        font.color(&color)
    }

    /// How wide words are.
    pub fn width(&self, text: &str, size: f64, bold: bool) -> f64 {
        let style = self.style(size, bold, INK);
        self.area.estimate_text_size(text, &style).map_or(0.0, |(width, _)| f64::from(width) / FINE)
    }
}

fn dashes(points: &[(f64, f64)], (on, off): (f64, f64)) -> Vec<Vec<(f64, f64)>> {
    let mut parts = Vec::new();
    let mut part = Vec::new();
    let mut phase = 0.0;
    for pair in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        let length = (x1 - x0).hypot(y1 - y0);
        let mut gone = 0.0;
        if phase < on && part.is_empty() {
            part.push((x0, y0));
        }
        while gone < length {
            let left = if phase < on { on - phase } else { on + off - phase };
            let step = left.min(length - gone);
            gone += step;
            let here = (x0 + (x1 - x0) * gone / length, y0 + (y1 - y0) * gone / length);
            if phase < on {
                part.push(here);
            }
            phase += step;
            if phase >= on && !part.is_empty() && step == left {
                parts.push(std::mem::take(&mut part));
            }
            if phase >= on + off - 1e-9 {
                phase = 0.0;
                part = vec![here];
            }
        }
    }
    if part.len() > 1 {
        parts.push(part);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_go_round_corners_and_leave_gaps() {
        let parts = dashes(&[(0.0, 0.0), (10.0, 0.0), (10.0, 10.0)], (6.0, 2.0));
        let first: Vec<_> = parts.iter().map(|part| part[0]).collect();
        assert_eq!(first, [(0.0, 0.0), (8.0, 0.0), (10.0, 6.0)]);
        assert_eq!(parts[1], [(8.0, 0.0), (10.0, 0.0), (10.0, 4.0)]);
    }
}
