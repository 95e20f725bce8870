//! Values of claims: numbers with intervals, and truth values that record whether noise could change them.

use crate::axis::short;

/// A number with its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number {
    /// The estimate.
    pub middle: f64,
    /// The interval's lower end; minus infinity for a single run, which has no interval.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

/// Whether something holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// By the estimates.
    pub holds: bool,
    /// Whether it is the same for every value inside the intervals.
    pub firm: bool,
    /// The deciding numbers.
    pub why: String,
}

impl Number {
    /// An exact number.
    pub fn exact(value: f64) -> Self {
        Self { middle: value, low: value, high: value }
    }

    /// The same arithmetic on all combinations of the ends.
    pub fn combine(self, other: Self, with: impl Fn(f64, f64) -> f64) -> Self {
        let ends = [self.low, self.high].into_iter().flat_map(|a| [other.low, other.high].map(|b| (a, b)));
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in ends.map(|(a, b)| with(a, b)) {
            // Infinity minus infinity and similar: unknown.
            let value = if value.is_nan() { None } else { Some(value) };
            low = low.min(value.unwrap_or(f64::NEG_INFINITY));
            high = high.max(value.unwrap_or(f64::INFINITY));
        }
        Self { middle: with(self.middle, other.middle), low, high }
    }

    /// The quotient; if the divisor may be zero, only the estimate is known.
    pub fn over(self, other: Self) -> Self {
        if other.low <= 0.0 && other.high >= 0.0 {
            let middle = self.middle / other.middle;
            return Self { middle, low: f64::NEG_INFINITY, high: f64::INFINITY };
        }
        self.combine(other, |a, b| a / b)
    }
}

impl Truth {
    /// A truth value without numbers.
    pub fn plain(holds: bool) -> Self {
        Self { holds, firm: true, why: String::new() }
    }

    /// `one < other`, or `<=`: if the difference matters, intervals touch and neither is firm.
    pub fn less(one: Number, other: Number, or_equal: bool, sign: &str) -> Self {
        let below = |a: f64, b: f64| if or_equal { a <= b } else { a < b };
        let holds = below(one.middle, other.middle);
        let firm = if holds { below(one.high, other.low) } else { !below(one.low, other.high) };
        Self { holds, firm, why: comparison(one, other, sign) }
    }

    /// The opposite.
    pub fn opposite(self) -> Self {
        Self { holds: !self.holds, ..self }
    }
}

/// Both sides of a comparison.
pub fn comparison(one: Number, other: Number, sign: &str) -> String {
    format!("{} {sign} {}", short(one.middle, 3), short(other.middle, 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NARROW: Number = Number { middle: 10.0, low: 9.0, high: 11.0 };
    const WIDE: Number = Number { middle: 12.0, low: 8.0, high: 20.0 };

    #[test]
    fn a_comparison_is_firm_where_intervals_are_apart() {
        let apart = Truth::less(NARROW, Number::exact(11.5), false, "<");
        assert!(apart.holds && apart.firm);
        let touching = Truth::less(NARROW, WIDE, false, "<");
        assert!(touching.holds && !touching.firm);
        let wrong = Truth::less(NARROW, Number::exact(5.0), false, "<");
        assert!(!wrong.holds && wrong.firm);
        assert_eq!(wrong.why, "10 < 5");
    }

    #[test]
    fn a_single_run_is_never_firm() {
        let single = Number { middle: 1.0, low: f64::NEG_INFINITY, high: f64::INFINITY };
        let truth = Truth::less(single, Number::exact(1e9), false, "<");
        assert!(truth.holds && !truth.firm);
        let product = single.combine(Number::exact(0.0), |a, b| a * b);
        assert_eq!((product.middle, product.low, product.high), (0.0, f64::NEG_INFINITY, f64::INFINITY));
    }

    #[test]
    fn quotients_hold_the_quotients_of_all_ends() {
        let ratio = NARROW.over(Number { middle: 2.0, low: 1.0, high: 4.0 });
        assert_eq!((ratio.middle, ratio.low, ratio.high), (5.0, 2.25, 11.0));
        let open = NARROW.over(Number { middle: 2.0, low: -1.0, high: 4.0 });
        assert_eq!((open.low, open.high), (f64::NEG_INFINITY, f64::INFINITY));
    }
}
