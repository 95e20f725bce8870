//! Assertions: boolean expressions over the fields of a record.
//!
//! `rtt_p99 < 5ms and integrity.lost == 0`. docs/assertions.md describes the language. Names, units and kinds are
//! checked when an expression is parsed, so that a mistake is reported before a run and not after it.

mod fields;
mod parse;
mod units;

use crate::{Record, record::AssertionOutcome};
use fields::Field;
use parse::{Expression, Operator};
use serde_json::Value;
use thiserror::Error;
use units::Dimension;

/// Why a text is not a valid assertion.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the assertion `{text}`: {problem}")]
pub struct AssertionError {
    /// The text.
    pub text: String,
    /// The error, and a correct form.
    pub problem: String,
}

/// An expression over the fields of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Assertion {
    text: String,
    expression: Expression,
}

/// The value of an expression, or of a part of it.
#[derive(Debug, Clone, PartialEq)]
enum Quantity {
    /// A number in seconds, bits or products of them.
    Number(f64, Dimension),
    Text(String),
    Truth(bool),
    /// It was not measured.
    Absent,
}

/// The kind of an expression's value, as far as it is known without a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number(Dimension),
    Text,
    Truth,
    /// A field of the plan, which may be anything.
    Any,
}

impl Assertion {
    /// Parses an expression. Every name in it must be a field of records, and units must match.
    ///
    /// # Errors
    ///
    /// [`AssertionError`] with what is wrong and a correct form.
    pub fn parse(text: &str) -> Result<Self, AssertionError> {
        let problem = |problem: String| AssertionError { text: text.to_owned(), problem };
        let expression = parse::parse(text).map_err(problem)?;
        match kind(&expression).map_err(problem)? {
            Kind::Truth | Kind::Any => Ok(Self { text: text.to_owned(), expression }),
            Kind::Number(_) | Kind::Text => Err(problem(
                "it is a value and no statement: compare it with something, such as rtt_p99 < 5ms".to_owned(),
            )),
        }
    }

    /// Whether it holds for a run. A comparison with an unmeasured field fails.
    pub fn of(&self, record: &Record) -> AssertionOutcome {
        let (value, mut seen) = self.value(record);
        let holds = value == Ok(Quantity::Truth(true));
        if let Err(problem) = value {
            seen.push(problem);
        }
        AssertionOutcome { expression: self.text.clone(), holds, measured: seen.join(", ") }
    }

    /// Whether it says how much may be lost.
    pub fn judges_loss(&self) -> bool {
        self.expression.has("integrity.lost")
    }

    /// Whether the run measured every field that the expression needs.
    pub fn is_known(&self, record: &Record) -> bool {
        self.value(record).0 != Ok(Quantity::Absent)
    }

    /// Its value, and the value of each field.
    fn value(&self, record: &Record) -> (Result<Quantity, String>, Vec<String>) {
        let record = serde_json::to_value(record).expect("a record has text keys only");
        let mut seen = Vec::new();
        (evaluate(&self.expression, &record, &mut seen), seen)
    }
}

/// The kind of its value, if the kinds of its parts match.
fn kind(expression: &Expression) -> Result<Kind, String> {
    let truth = |one: &Expression| match kind(one)? {
        Kind::Truth | Kind::Any => Ok(()),
        _ => Err(format!("`{one}` is a value and no statement: compare it with something")),
    };
    Ok(match expression {
        Expression::Number { dimension, .. } => Kind::Number(*dimension),
        Expression::Text(_) => Kind::Text,
        Expression::Truth(_) => Kind::Truth,
        Expression::Field(Field { kind, .. }) => *kind,
        Expression::Not(one) => truth(one).map(|()| Kind::Truth)?,
        Expression::Negative(one) => match kind(one)? {
            number @ (Kind::Number(_) | Kind::Any) => number,
            _ => return Err(format!("`{one}` is not a number")),
        },
        Expression::Binary(Operator::And | Operator::Or, one, other) => {
            truth(one)?;
            truth(other)?;
            Kind::Truth
        }
        Expression::Binary(operator, one, other) => {
            let (of_one, of_other) = (kind(one)?, kind(other)?);
            match (of_one, of_other) {
                (Kind::Number(a), Kind::Number(b)) => match operator.on(a, b, (one.is_bare(), other.is_bare())) {
                    Some(Some(dimension)) => Kind::Number(dimension),
                    Some(None) => Kind::Truth,
                    None => {
                        return Err(format!(
                            "`{one}` is {}, and `{other}` is {}{}",
                            a.noun(),
                            b.noun(),
                            a.or(b).remedy()
                        ));
                    }
                },
                (Kind::Any, _) | (_, Kind::Any) if operator.compares() => Kind::Truth,
                (Kind::Any, _) | (_, Kind::Any) => Kind::Any,
                (one, other) if one == other && operator.compares_equality() => Kind::Truth,
                _ => return Err(format!("`{one}` and `{other}` cannot be put together with `{operator}`")),
            }
        }
    })
}

/// Evaluates; appends the value of each field to `seen`, for people.
fn evaluate(expression: &Expression, record: &Value, seen: &mut Vec<String>) -> Result<Quantity, String> {
    Ok(match expression {
        Expression::Number { value, dimension, .. } => Quantity::Number(*value, *dimension),
        Expression::Text(text) => Quantity::Text(text.clone()),
        Expression::Truth(truth) => Quantity::Truth(*truth),
        Expression::Field(field) => {
            let quantity = field.of(record)?;
            let sentence = match &quantity {
                Quantity::Number(value, dimension) => format!("{} is {}", field.written, dimension.show(*value)),
                Quantity::Text(text) => format!("{} is `{text}`", field.written),
                Quantity::Truth(truth) => format!("{} is {truth}", field.written),
                Quantity::Absent => format!("{} was not measured{}", field.written, field.why_absent(record)),
            };
            if !seen.contains(&sentence) {
                seen.push(sentence);
            }
            quantity
        }
        Expression::Not(one) => match evaluate(one, record, seen)? {
            Quantity::Truth(truth) => Quantity::Truth(!truth),
            Quantity::Absent => Quantity::Absent,
            _ => return Err(format!("`{one}` is neither true nor false")),
        },
        Expression::Negative(one) => match evaluate(one, record, seen)? {
            Quantity::Number(value, dimension) => Quantity::Number(-value, dimension),
            Quantity::Absent => Quantity::Absent,
            _ => return Err(format!("`{one}` is not a number")),
        },
        Expression::Binary(operator, one, other) => {
            let (a, b) = (evaluate(one, record, seen)?, evaluate(other, record, seen)?);
            let bare = (one.is_bare(), other.is_bare());
            match operator.apply(a, b, bare) {
                Some(quantity) => quantity,
                None => return Err(format!("`{one}` and `{other}` cannot be put together with `{operator}`")),
            }
        }
    })
}

impl Operator {
    fn compares_equality(self) -> bool {
        matches!(self, Self::Equal | Self::Unequal)
    }

    fn compares(self) -> bool {
        matches!(self, Self::Less | Self::AtMost | Self::Greater | Self::AtLeast) || self.compares_equality()
    }

    /// The dimension of its result for two numbers: the inner `None` for a comparison, the outer `None` if the
    /// dimensions do not match. A bare number may stand for a rate, which has only one unit.
    fn on(self, a: Dimension, b: Dimension, bare: (bool, bool)) -> Option<Option<Dimension>> {
        let alike = a == b || (bare.0 && b == Dimension::RATE) || (bare.1 && a == Dimension::RATE);
        match self {
            Self::Times => Some(Some(a.times(b))),
            Self::Over => Some(Some(a.over(b))),
            Self::Plus | Self::Minus => alike.then_some(Some(a.or(b))),
            Self::And | Self::Or => None,
            _ => alike.then_some(None),
        }
    }

    fn apply(self, a: Quantity, b: Quantity, bare: (bool, bool)) -> Option<Quantity> {
        use Quantity::*;
        Some(match (self, a, b) {
            // An unknown side may be either: it does not matter only if the other side decides alone.
            (Self::And, Truth(false), _) | (Self::And, _, Truth(false)) => Truth(false),
            (Self::Or, Truth(true), _) | (Self::Or, _, Truth(true)) => Truth(true),
            (_, Absent, _) | (_, _, Absent) => Absent,
            (Self::And, Truth(a), Truth(b)) => Truth(a && b),
            (Self::Or, Truth(a), Truth(b)) => Truth(a || b),
            (Self::Equal, Text(a), Text(b)) => Truth(a == b),
            (Self::Unequal, Text(a), Text(b)) => Truth(a != b),
            (Self::Equal, Truth(a), Truth(b)) => Truth(a == b),
            (Self::Unequal, Truth(a), Truth(b)) => Truth(a != b),
            (_, Number(a, of_a), Number(b, of_b)) => match self.on(of_a, of_b, bare)? {
                Some(dimension) => Number(self.number(a, b)?, dimension),
                None => Truth(self.holds(a, b)?),
            },
            _ => return None,
        })
    }

    fn number(self, a: f64, b: f64) -> Option<f64> {
        match self {
            Self::Plus => Some(a + b),
            Self::Minus => Some(a - b),
            Self::Times => Some(a * b),
            Self::Over => Some(a / b),
            _ => None,
        }
    }

    fn holds(self, a: f64, b: f64) -> Option<bool> {
        // Bounds are typed in one unit and measured in another: 5ms must not differ from 5000000 ns in the last bit.
        let same = (a - b).abs() <= 4.0 * f64::EPSILON * a.abs().max(b.abs());
        match self {
            Self::Less => Some(a < b && !same),
            Self::AtMost => Some(a <= b || same),
            Self::Greater => Some(a > b && !same),
            Self::AtLeast => Some(a >= b || same),
            Self::Equal => Some(same),
            Self::Unequal => Some(!same),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[track_caller]
    fn holds(text: &str, expected: bool) -> String {
        let outcome = Assertion::parse(text).unwrap_or_else(|error| panic!("{error}")).of(&sample::record());
        assert_eq!(outcome.holds, expected, "{outcome:?}");
        outcome.measured
    }

    #[test]
    fn fields_units_and_operators() {
        for (text, expected) in [
            ("confirm_p99 < 5ms", true),
            ("confirm_p99<1ms", false),
            ("latency.confirm.p99_ns <= 5ms", true),
            ("confirm_p50 > 0.9ms and confirm_p50 < 1100us", true),
            ("confirm_max == 2ms", true),
            ("not confirm_max = 2000 us", false),
            ("integrity.lost == 1 and lost = 1", true),
            ("lost / sent <= 0.01%", true),
            ("delivered >= sent - 1", true),
            ("throughput > 4000 and throughput > 4000/s", true),
            ("bit_rate > 0.6Gbit/s and bit_rate < 80MB/s + 1kbit/s", true),
            ("bit_rate / throughput == 16kB", true),
            ("throughput.messages_per_second * 1s > 10 * 100", true),
            ("(throughput < 1 or lost < 2) and not status.pass", true),
            ("throughput < 1 or lost < 2 and status.pass", false),
            ("-1 < 0 - 0.5 and 2 * (1 + 1) == 4 and 1 - 1 - 1 == -1", true),
            ("route.architecture == \"dts\" and plan.pattern != 'broadcast'", true),
            ("plan.placement.consumers == 1 and plan.message.body_bytes == 16kB", true),
            ("ranks.1.received == 19999 and harness.generator_limited == false", true),
            ("environment.clock_error_ns < 1us and phases.stream == 4s", true),
            ("cpu_per_message < 13us", true),
        ] {
            holds(text, expected);
        }
    }

    #[test]
    fn the_measured_value_is_reported() {
        assert_eq!(holds("confirm_p99<1ms", false), "confirm_p99 is 1.98 ms");
        assert_eq!(holds("throughput > 1e9 and lost == 0", false), "throughput is 4999.5/s, lost is 1");
        assert_eq!(holds("bit_rate > 10Gbit/s", false), "bit_rate is 639.936 Mbit/s");
        assert_eq!(holds("lost/sent < 0.001%", false), "lost is 1, sent is 20000");
    }

    #[test]
    fn what_was_not_measured_meets_no_bound_and_no_denial_of_one() {
        for text in ["rtt_p99 < 5ms", "not rtt_p99 < 5ms", "rtt_p99 < 5ms and lost == 1", "rtt_p99 < 5ms or lost == 0"]
        {
            assert!(holds(text, false).contains("rtt_p99 was not measured"), "{text}");
        }
        holds("rtt_p99 < 5ms or lost == 1", true);
        let known = |text| Assertion::parse(text).unwrap().is_known(&sample::record());
        assert!(!known("rtt_p99 < 5ms") && known("rtt_p99 < 5ms or lost == 1") && known("lost == 7"));
        assert!(holds("plan.nothing == 1", false).contains("plan.nothing was not measured"));
        assert!(holds("plan.pattern == 1", false).contains("cannot be put together"));
    }

    #[test]
    fn how_many_are_lost_is_not_known_where_some_are_undetermined() {
        let mut record = sample::record();
        record.integrity.undetermined = 3;
        let outcome_of = |text: &str| Assertion::parse(text).unwrap().of(&record);
        let outcome = outcome_of("lost == 1");
        assert!(
            !outcome.holds && outcome.measured.starts_with("lost was not measured: 3 of the missing"),
            "{outcome:?}"
        );
        assert!(!outcome_of("not integrity.lost == 0").holds && outcome_of("undetermined == 3").holds);
    }

    #[test]
    fn a_quantile_with_too_few_samples_is_reported_with_the_number_that_it_needs() {
        let mut record = sample::record();
        let confirm = record.latency.get_mut("confirm").unwrap();
        (confirm.count, confirm.p99_ns) = (500, None);
        let measured = |record: &Record| Assertion::parse("confirm_p99 < 5ms").unwrap().of(record).measured;
        assert_eq!(measured(&record), "confirm_p99 was not measured: it takes 1000 samples, and there were 500");
        // With samples enough it is for another reason.
        record.latency.get_mut("confirm").unwrap().count = 5_000;
        assert_eq!(measured(&record), "confirm_p99 was not measured");
    }

    #[test]
    fn mistakes_are_reported_with_the_right_form() {
        for (text, expected) in [
            ("rtt_p9 < 5ms", "`rtt_p99`"),
            ("confrim_p99 < 5ms", "did you mean `confirm_p99`?"),
            ("latency.confirm.p98_ns < 5ms", "`latency.confirm.p99_ns`"),
            ("latency.confirn.p99_ns < 5ms", "did you mean `latency.confirm.p99_ns`?"),
            ("integrity.lots == 0", "did you mean `integrity.lost`?"),
            ("integrity == 0", "several"),
            ("rtt_p99 < 5", "give it a unit, such as 5ms"),
            ("rtt_p99 < 5Mbit/s", "is a time, and `5Mbit/s` is a bit rate"),
            ("bit_rate > 8", "such as 8Gbit/s"),
            ("rtt_p99 < 5 parsecs", "`parsecs`"),
            ("rtt_p99", "no statement"),
            ("rtt_p99 <", "ends where a value"),
            ("rtt_p99 < 5ms and", "ends where a value"),
            ("(rtt_p99 < 5ms", "`)`"),
            ("rtt_p99 << 5ms", "`<`"),
            ("1ms < rtt_p50 < 5ms", "`and`"),
            ("lost == 0 lost == 1", "`lost`"),
            ("lost == 'none'", "cannot be put together"),
            ("status.reason < 'a'", "cannot be put together"),
            ("lost == 0 & sent > 1", "`&` means nothing here"),
            ("route.architecture == \"dts", "quote"),
            ("lost == 1.2.3", "number"),
            ("", "ends where a value"),
        ] {
            let error = Assertion::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected) && error.starts_with("the assertion `"), "{text}: {error}");
        }
    }

    #[test]
    fn every_field_of_a_record_can_be_asserted_by_its_path() {
        fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
            let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            match value {
                Value::Object(fields) => fields.iter().for_each(|(key, value)| leaves(value, &below(key), found)),
                Value::Array(items) => {
                    items.iter().enumerate().for_each(|(index, item)| leaves(item, &below(&index.to_string()), found));
                }
                // What is absent here may be several values elsewhere.
                Value::Null => {}
                _ => found.push(path.to_owned()),
            }
        }
        let mut found = Vec::new();
        leaves(&serde_json::to_value(sample::record()).unwrap(), "", &mut found);
        assert!(found.len() > 100, "{}", found.len());
        for path in found {
            Assertion::parse(&format!("{path} == {path}")).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}
