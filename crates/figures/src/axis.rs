//! Axes: the place of values, the choice of ticks, and their labels. Pure arithmetic.

use crate::chart::{Axis, Panel, RuleKind, Scale, Shape, Unit};

/// An axis with its range.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapped {
    scale: Scale,
    from: f64,
    to: f64,
    /// Values of ticks, with their labels.
    pub ticks: Vec<(f64, String)>,
}

/// Approximate number of ticks of an axis.
const TICKS: f64 = 5.0;
/// A published value or a bound extends a linear axis by at most this factor; more would compress the data.
const STRETCH_MAX: f64 = 2.0;
/// The same, on a logarithmic axis.
const STRETCH_LOG_MAX: f64 = 30.0;

impl Mapped {
    /// The place of a value: 0 at the beginning of the axis, 1 at its end; outside of this range for values off the
    /// axis.
    pub fn place(&self, value: f64) -> f64 {
        let (value, from, to) = match self.scale {
            Scale::Linear | Scale::Category => (value, self.from, self.to),
            Scale::Log2 | Scale::Log10 => (value.max(f64::MIN_POSITIVE).ln(), self.from.ln(), self.to.ln()),
        };
        (value - from) / (to - from)
    }

    /// Whether a value is on the axis.
    pub fn holds(&self, value: f64) -> bool {
        (-1e-9..=1.0 + 1e-9).contains(&self.place(value))
    }
}

/// The axes of a panel, from its contents.
pub fn map(panel: &Panel) -> (Mapped, Mapped) {
    let marks = || panel.traces.iter().flat_map(|trace| trace.marks.iter().map(move |mark| (trace.shape, mark)));
    let (mut xs, mut ys) = (Vec::new(), Vec::new());
    for (shape, mark) in marks() {
        xs.push(mark.x);
        ys.push(mark.y);
        let along = if matches!(shape, Shape::Curve | Shape::Rows) { &mut xs } else { &mut ys };
        along.extend(mark.interval.into_iter().flat_map(|(low, high)| [low, high]));
    }
    let data_max = ys.iter().copied().fold(0.0, f64::max);
    let data_min = ys.iter().copied().fold(f64::INFINITY, f64::min);
    let stretch = if panel.y.scale == Scale::Linear { STRETCH_MAX } else { STRETCH_LOG_MAX };
    for rule in &panel.rules {
        let near = rule.y <= data_max * stretch && (panel.y.scale == Scale::Linear || rule.y >= data_min / stretch);
        if near || rule.kind == RuleKind::Base {
            ys.push(rule.y);
        }
    }
    if panel.traces.iter().any(|trace| trace.shape == Shape::Rows) {
        // A ratio is compared with 1.
        xs.push(1.0);
    }
    (fit(&panel.x, &xs, true), fit(&panel.y, &ys, false))
}

fn fit(axis: &Axis, values: &[f64], bottom: bool) -> Mapped {
    let positive = |value: &f64| *value > 0.0 && value.is_finite();
    let low = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().filter(|value| value.is_finite()).fold(f64::NEG_INFINITY, f64::max);
    let (from, to) = match (axis.range, axis.scale) {
        (Some(range), _) => range,
        (None, Scale::Linear) => {
            let to = if high > 0.0 { high } else { 1.0 };
            // A time axis ends at its last second.
            (low(&mut values.iter().copied()).min(0.0), if bottom && axis.unit == Unit::Plain { to } else { to * 1.06 })
        }
        (None, Scale::Category) => (-0.5, axis.ticks.len().max(1) as f64 - 0.5),
        (None, Scale::Log2) => {
            let from = low(&mut values.iter().copied().filter(positive));
            let (from, to) = if from.is_finite() { (from, high.max(from)) } else { (1.0, 2.0) };
            (from / 1.12, to * 1.12)
        }
        (None, Scale::Log10) => {
            let from = low(&mut values.iter().copied().filter(positive));
            let (from, to) = if from.is_finite() { (from, high.max(from)) } else { (1.0, 10.0) };
            // At least half a decade, so that noise does not look like a large change.
            let middle = (from * to).sqrt();
            ((from / 1.25).min(middle / 1.8), (to * 1.25).max(middle * 1.8))
        }
    };
    let ticks = if axis.ticks.is_empty() { chosen(axis, from, to) } else { axis.ticks.clone() };
    Mapped { scale: axis.scale, from, to, ticks }
}

fn chosen(axis: &Axis, from: f64, to: f64) -> Vec<(f64, String)> {
    let values = match axis.scale {
        Scale::Linear | Scale::Category => {
            let step = nice((to - from) / TICKS);
            let first = (from / step).ceil() as i64;
            (first..=(to / step + 1e-9).floor() as i64).map(|step_index| step_index as f64 * step).collect()
        }
        Scale::Log2 | Scale::Log10 => {
            let decades = (to / from).log10();
            let within: &[f64] = if decades > 3.0 {
                &[1.0]
            } else if decades > 1.2 {
                &[1.0, 3.0]
            } else if decades > 0.8 {
                &[1.0, 2.0, 5.0]
            } else {
                &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0]
            };
            let exponents = from.log10().floor() as i32..=to.log10().floor() as i32;
            let all = exponents.flat_map(|exponent| within.iter().map(move |digit| digit * 10f64.powi(exponent)));
            all.filter(|value| (from..=to).contains(value)).collect::<Vec<f64>>()
        }
    };
    values.into_iter().map(|value| (value, written(axis.unit, value))).collect()
}

/// 1, 2 or 5 times a power of ten, not below.
fn nice(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power).into_iter().find(|nice| *nice >= step * 0.999).unwrap_or(power)
}

/// A value as text.
pub fn written(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Plain => si(value),
        Unit::Seconds => seconds(value),
        Unit::Times => format!("{}x", short(value, 3)),
        Unit::Share => format!("{} %", short(value * 100.0, 3)),
    }
}

fn si(value: f64) -> String {
    match value.abs() {
        large if large >= 999_500_000.0 => format!("{} G", short(value / 1e9, 3)),
        large if large >= 999_500.0 => format!("{} M", short(value / 1e6, 3)),
        large if large >= 9_995.0 => format!("{} k", short(value / 1e3, 3)),
        _ => short(value, 3),
    }
}

fn seconds(value: f64) -> String {
    match value.abs() {
        0.0 => "0 s".to_owned(),
        small if small < 0.999_5e-6 => format!("{} ns", short(value * 1e9, 3)),
        small if small < 0.999_5e-3 => format!("{} us", short(value * 1e6, 3)),
        small if small < 0.999_5 => format!("{} ms", short(value * 1e3, 3)),
        _ => format!("{} s", short(value, 3)),
    }
}

/// A number with this many significant digits, without trailing zeros.
pub fn short(value: f64, digits: i32) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { "0".to_owned() } else { value.to_string() };
    }
    let places = (digits - 1 - value.abs().log10().floor() as i32).clamp(0, 12) as usize;
    let text = format!("{value:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::{Mark, Rule, Style, Trace};

    #[test]
    fn values_are_written_short_and_with_their_unit() {
        for (unit, value, text) in [
            (Unit::Plain, 39_000.0, "39 k"),
            (Unit::Plain, 5_271.07, "5271"),
            (Unit::Plain, 0.0, "0"),
            (Unit::Plain, 1_008_092.0, "1.01 M"),
            (Unit::Seconds, 0.044_66, "44.7 ms"),
            (Unit::Seconds, 12.5, "12.5 s"),
            (Unit::Seconds, 0.000_5, "500 us"),
            (Unit::Times, 2.5, "2.5x"),
            (Unit::Share, 0.25, "25 %"),
        ] {
            assert_eq!(written(unit, value), text);
        }
    }

    fn panel(scale: Scale, values: &[f64], rule: f64) -> Panel {
        let axis = |scale| Axis { label: String::new(), scale, unit: Unit::Plain, ticks: Vec::new(), range: None };
        let marks = values.iter().map(|y| Mark { x: 1.0, y: *y, interval: None }).collect();
        Panel {
            title: String::new(),
            x: axis(Scale::Log2),
            y: axis(scale),
            traces: vec![Trace { style: Style::PALETTE[0], shape: Shape::Joined, marks }],
            rules: vec![Rule { kind: RuleKind::Bound, y: rule, x: None, text: String::new(), style: None }],
        }
    }

    #[test]
    fn linear_axes_begin_at_zero_and_are_not_squashed_by_what_is_far_off() {
        let (_, y) = map(&panel(Scale::Linear, &[80.0, 100.0], 150.0));
        assert!(y.place(0.0) == 0.0 && y.holds(150.0));
        let (_, y) = map(&panel(Scale::Linear, &[80.0, 100.0], 900.0));
        assert!(!y.holds(900.0) && y.place(100.0) > 0.9);
        let ticks: Vec<&str> = y.ticks.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(ticks, ["0", "50", "100"]);
    }

    #[test]
    fn logarithmic_axes_put_equal_factors_at_equal_distances() {
        let (_, y) = map(&panel(Scale::Log10, &[0.01, 1.0], 0.5));
        let step = y.place(0.1) - y.place(0.01);
        assert!((y.place(1.0) - y.place(0.1) - step).abs() < 1e-9);
        assert!(y.ticks.iter().any(|(value, _)| *value == 0.1));
        let (x, _) = map(&panel(Scale::Log10, &[], 0.5));
        assert!(x.place(1.0).is_finite(), "nothing to draw is no reason to fail");
    }
}
