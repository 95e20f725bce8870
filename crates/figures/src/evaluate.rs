//! Evaluates claims: trees of [`Expression`] over [`Estimates`].
//!
//! An unknown value makes the result unknown only if it matters: one contradicting point is enough against *all*,
//! however many others are missing.

use crate::{
    Key,
    estimates::{Estimates, Stop, both},
    expression::{Expression, Operator, Over},
    points::Quantity,
    truth::{Number, Truth, comparison},
};
use measure::Metric;
use std::collections::{BTreeMap, BTreeSet};

/// Deepest nesting of calls; more means a definition that calls itself.
const DEPTH_MAX: usize = 32;

/// The value of an expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number.
    Number(Number),
    /// Whether something holds.
    Truth(Truth),
    /// An architecture, a workload and so on.
    Name(String),
    /// A list.
    List(Vec<Self>),
}

/// The names that expressions may use.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Vocabulary {
    /// Constants.
    pub constants: BTreeMap<String, Expression>,
    /// Definitions with their parameters.
    pub definitions: BTreeMap<String, (Vec<String>, Expression)>,
}

/// Computes expressions.
pub struct Evaluator<'a> {
    /// The source of numbers.
    pub estimates: &'a Estimates<'a>,
    /// Definitions of names.
    pub vocabulary: &'a Vocabulary,
    /// The quantity `T`: the rate in a common window, or the paper's sum of rates.
    pub rate: Quantity,
    /// The latency of `M`, `Q` and `KS`.
    pub latency: Metric,
    /// Leave missing points out of `max`, `min` and `median`, to show the result so far.
    pub lenient: bool,
}

/// Variables, the latest last.
pub type Scope = Vec<(String, Value)>;

type Outcome = Result<Value, Stop>;

fn wrong(text: impl Into<String>) -> Stop {
    Stop::Wrong(text.into())
}

impl Evaluator<'_> {
    /// Whether a predicate holds.
    pub fn truth(&self, expression: &Expression, scope: &Scope) -> Result<Truth, Stop> {
        as_truth(self.value(expression, scope, 0)?)
    }

    /// The number of an expression.
    pub fn number(&self, expression: &Expression, scope: &Scope) -> Result<Number, Stop> {
        as_number(self.value(expression, scope, 0)?)
    }

    fn value(&self, expression: &Expression, scope: &Scope, depth: usize) -> Outcome {
        if depth > DEPTH_MAX {
            return Err(wrong("a definition calls itself"));
        }
        match expression {
            Expression::Number(number) => Ok(Value::Number(Number::exact(*number))),
            Expression::Name(name) => self.name(name, scope, depth),
            Expression::List(items) => {
                Ok(Value::List(items.iter().map(|item| self.value(item, scope, depth)).collect::<Result<_, _>>()?))
            }
            Expression::Not(inside) => Ok(Value::Truth(as_truth(self.value(inside, scope, depth)?)?.opposite())),
            Expression::Negative(inside) => {
                let number = as_number(self.value(inside, scope, depth)?)?;
                Ok(Value::Number(Number::exact(0.0).combine(number, |zero, value| zero - value)))
            }
            Expression::Binary(Operator::And, sides) => {
                let sides = [&sides.0, &sides.1].map(|side| ("", self.value(side, scope, depth).and_then(as_truth)));
                all(sides.map(|(name, truth)| (name.to_owned(), truth)).into()).map(Value::Truth)
            }
            Expression::Binary(Operator::Or, sides) => {
                let sides = [&sides.0, &sides.1].map(|side| self.value(side, scope, depth).and_then(as_truth));
                any(sides.map(|truth| (String::new(), truth)).into()).map(Value::Truth)
            }
            Expression::Binary(operator, sides) => {
                let (one, other) = both(self.value(&sides.0, scope, depth), self.value(&sides.1, scope, depth))?;
                binary(*operator, one, other)
            }
            Expression::Call(name, arguments) => self.call(name, arguments, scope, depth),
            Expression::Over(over) => self.over(over, scope, depth),
        }
    }

    fn name(&self, name: &str, scope: &Scope, depth: usize) -> Outcome {
        if let Some((_, value)) = scope.iter().rev().find(|(variable, _)| variable == name) {
            return Ok(value.clone());
        }
        match self.vocabulary.constants.get(name) {
            Some(Expression::Name(itself)) => Ok(Value::Name(itself.clone())),
            Some(constant) => self.value(constant, scope, depth + 1),
            None => Ok(Value::Name(name.to_owned())),
        }
    }

    fn call(&self, name: &str, arguments: &[Expression], scope: &Scope, depth: usize) -> Outcome {
        let values = || arguments.iter().map(|argument| self.value(argument, scope, depth));
        if let Some((parameters, body)) = self.vocabulary.definitions.get(name) {
            if parameters.len() != arguments.len() {
                return Err(wrong(format!("{name} takes {} value(s)", parameters.len())));
            }
            // A definition sees the caller's workload and pattern; its other variables are its own.
            let mut inner: Scope =
                scope.iter().filter(|(name, _)| name == "workload" || name == "pattern").cloned().collect();
            for (parameter, value) in parameters.iter().zip(values()) {
                inner.push((parameter.clone(), value?));
            }
            return self.value(body, &inner, depth + 1);
        }
        let numbers = || -> Result<Vec<Number>, Stop> {
            let mut numbers = Vec::new();
            let mut missing = BTreeSet::new();
            for value in values() {
                match value.and_then(as_number) {
                    Ok(number) => numbers.push(number),
                    Err(Stop::Missing(more)) => missing.extend(more),
                    Err(stop) => return Err(stop),
                }
            }
            if missing.is_empty() { Ok(numbers) } else { Err(Stop::Missing(missing)) }
        };
        match (name, arguments) {
            ("max", [_, ..]) => Ok(Value::Number(fold(&numbers()?, f64::max))),
            ("min", [_, ..]) => Ok(Value::Number(fold(&numbers()?, f64::min))),
            ("firmly", [inside]) => {
                let truth = as_truth(self.value(inside, scope, depth)?)?;
                Ok(Value::Truth(Truth { holds: truth.holds && truth.firm, ..truth }))
            }
            ("T" | "E" | "M", [architecture, consumers]) => {
                let key = self.key(architecture, consumers, scope, depth)?;
                let quantity = match name {
                    "T" => self.rate,
                    "E" if self.rate == Quantity::SumOfRates => Quantity::SumOfEventRates,
                    "E" => Quantity::EventsPerSecond,
                    _ => Quantity::Median(self.latency),
                };
                self.estimates.value(&key, quantity).map(Value::Number)
            }
            ("R", [unit, architecture, consumers]) => {
                let unit = match self.value(unit, scope, depth)? {
                    Value::Name(unit) if unit == "messages" => "T",
                    Value::Name(unit) if unit == "events" => "E",
                    other => return Err(wrong(format!("{other:?} is not a unit: use messages or events"))),
                };
                self.call(unit, &[architecture.clone(), consumers.clone()], scope, depth)
            }
            ("Q", [architecture, consumers, share]) => {
                let key = self.key(architecture, consumers, scope, depth)?;
                let share = as_number(self.value(share, scope, depth)?)?.middle;
                self.estimates.quantile(&key, self.latency, share).map(Value::Number)
            }
            ("KS", [one, other, consumers]) => {
                let one = self.key(one, consumers, scope, depth)?;
                let other = self.key(other, consumers, scope, depth)?;
                self.estimates.gap(&one, &other, self.latency).map(Value::Number)
            }
            _ => Err(wrong(format!("`{name}` with {} value(s) is not defined", arguments.len()))),
        }
    }

    /// The point of an architecture and a number of consumers, of the workload and pattern at hand.
    fn key(&self, architecture: &Expression, consumers: &Expression, scope: &Scope, depth: usize) -> Result<Key, Stop> {
        let name = |name: &str| match self.name(name, scope, depth)? {
            Value::Name(value) if value != name => Ok(value),
            _ => Err(wrong(format!("{name} is undefined: bind it, or add it to the claim"))),
        };
        let architecture = match self.value(architecture, scope, depth)? {
            Value::Name(architecture) => architecture,
            other => return Err(wrong(format!("{other:?} is not an architecture"))),
        };
        let consumers = as_number(self.value(consumers, scope, depth)?)?.middle;
        if consumers.fract() != 0.0 || !(1.0..=1e6).contains(&consumers) {
            return Err(wrong(format!("{consumers} is not a valid number of consumers")));
        }
        Ok(Key { workload: name("workload")?, pattern: name("pattern")?, architecture, consumers: consumers as u32 })
    }

    fn over(&self, over: &Over, scope: &Scope, depth: usize) -> Outcome {
        let mut scopes = vec![scope.clone()];
        for (variable, list) in &over.variables {
            let mut longer = Vec::new();
            for scope in scopes {
                let Value::List(values) = self.value(list, &scope, depth)? else {
                    return Err(wrong(format!("{variable} in ... takes a list")));
                };
                longer.extend(values.into_iter().map(|value| {
                    let mut scope = scope.clone();
                    scope.push((variable.clone(), value));
                    scope
                }));
            }
            scopes = longer;
        }
        if let Some(only_if) = &over.only_if {
            let mut kept = Vec::new();
            for scope in scopes {
                if as_truth(self.value(only_if, &scope, depth)?)?.holds {
                    kept.push(scope);
                }
            }
            scopes = kept;
        }
        if scopes.is_empty() {
            return Err(wrong(format!("{} over nothing", over.how)));
        }
        let named = |inner: &Scope| {
            let bound = inner[scope.len()..].iter().map(|(variable, value)| match value {
                Value::Number(number) => format!("{variable} = {}", number.middle),
                Value::Name(name) => name.clone(),
                other => format!("{other:?}"),
            });
            bound.collect::<Vec<_>>().join(", ")
        };
        let bodies = || scopes.iter().map(|inner| (named(inner), self.value(&over.body, inner, depth)));
        let truths = || bodies().map(|(name, value)| (name, value.and_then(as_truth))).collect::<Vec<_>>();
        match over.how.as_str() {
            "all" => all(truths()).map(Value::Truth),
            "any" => any(truths()).map(Value::Truth),
            "most" | "half" => {
                let name = Expression::Name(over.how.clone());
                let share = as_number(self.value(&name, &Vec::new(), depth)?)?.middle;
                at_least(share, truths()).map(Value::Truth)
            }
            "max" | "min" | "median" | "rank_correlation" => {
                let (mut places, mut numbers, mut missing) = (Vec::new(), Vec::new(), BTreeSet::new());
                for (inner, (_, value)) in scopes.iter().zip(bodies()) {
                    match value.and_then(as_number) {
                        Ok(number) => {
                            numbers.push(number);
                            places.extend(inner.last().and_then(|(_, value)| as_number(value.clone()).ok()));
                        }
                        Err(Stop::Missing(more)) => missing.extend(more),
                        Err(stop) => return Err(stop),
                    }
                }
                if !missing.is_empty() && (numbers.is_empty() || !self.lenient) {
                    return Err(Stop::Missing(missing));
                }
                Ok(Value::Number(match over.how.as_str() {
                    "max" => fold(&numbers, f64::max),
                    "min" => fold(&numbers, f64::min),
                    "median" => median(&numbers),
                    _ => rank_correlation(&places, &numbers),
                }))
            }
            how => Err(wrong(format!("`{how}` over a list is not defined"))),
        }
    }
}

fn as_truth(value: Value) -> Result<Truth, Stop> {
    match value {
        Value::Truth(truth) => Ok(truth),
        other => Err(wrong(format!("{other:?} neither holds nor not"))),
    }
}

fn as_number(value: Value) -> Result<Number, Stop> {
    match value {
        Value::Number(number) => Ok(number),
        other => Err(wrong(format!("{other:?} is not a number"))),
    }
}

fn binary(operator: Operator, one: Value, other: Value) -> Outcome {
    if let (Value::Name(one), Value::Name(other)) = (&one, &other) {
        return match operator {
            Operator::Equal => Ok(Value::Truth(Truth::plain(one == other))),
            Operator::Unequal => Ok(Value::Truth(Truth::plain(one != other))),
            _ => Err(wrong(format!("`{one}` and `{other}` are names; only == and != compare them"))),
        };
    }
    let (one, other) = (as_number(one)?, as_number(other)?);
    let mirrored =
        |or_equal, sign: &str| Truth { why: comparison(one, other, sign), ..Truth::less(other, one, or_equal, sign) };
    Ok(match operator {
        Operator::Add => Value::Number(one.combine(other, |a, b| a + b)),
        Operator::Subtract => Value::Number(one.combine(other, |a, b| a - b)),
        Operator::Multiply => Value::Number(one.combine(other, |a, b| a * b)),
        Operator::Divide => Value::Number(one.over(other)),
        Operator::Less => Value::Truth(Truth::less(one, other, false, "<")),
        Operator::AtMost => Value::Truth(Truth::less(one, other, true, "<=")),
        Operator::More => Value::Truth(mirrored(false, ">")),
        Operator::AtLeast => Value::Truth(mirrored(true, ">=")),
        Operator::Equal => Value::Truth(Truth::plain(one.middle == other.middle)),
        Operator::Unequal => Value::Truth(Truth::plain(one.middle != other.middle)),
        Operator::And | Operator::Or => return Err(wrong("`and` and `or` need booleans on both sides")),
    })
}

type Truths = Vec<(String, Result<Truth, Stop>)>;

struct Tally {
    known: Vec<(String, Truth)>,
    missing: BTreeSet<crate::estimates::Missing>,
    unknown: usize,
}

fn tally(truths: Truths) -> Result<Tally, Stop> {
    let mut tally = Tally { known: Vec::new(), missing: BTreeSet::new(), unknown: 0 };
    for (name, truth) in truths {
        match truth {
            Ok(truth) => tally.known.push((name, truth)),
            Err(Stop::Missing(missing)) => {
                tally.missing.extend(missing);
                tally.unknown += 1;
            }
            Err(stop) => return Err(stop),
        }
    }
    Ok(tally)
}

/// The deciding place, and its numbers.
fn at(name: &str, why: &str) -> String {
    match (name.is_empty(), why.is_empty()) {
        (true, _) => why.to_owned(),
        (_, true) => name.to_owned(),
        // A place inside a place.
        _ if why.contains(": ") => format!("{name}, {why}"),
        _ => format!("{name}: {why}"),
    }
}

fn all(truths: Truths) -> Result<Truth, Stop> {
    let tally = tally(truths)?;
    let against: Vec<_> = tally.known.iter().filter(|(_, truth)| !truth.holds).collect();
    if let Some((name, truth)) = against.first() {
        let others = match against.len() - 1 {
            0 => String::new(),
            others => format!(" (and at {others} more of {})", tally.known.len()),
        };
        let firm = against.iter().any(|(_, truth)| truth.firm);
        return Ok(Truth { holds: false, firm, why: format!("{}{others}", at(name, &truth.why)) });
    }
    if tally.unknown > 0 {
        return Err(Stop::Missing(tally.missing));
    }
    let firm = tally.known.iter().all(|(_, truth)| truth.firm);
    // The last one usually has the largest number of consumers, which is of most interest.
    let why = tally.known.last().map_or_else(String::new, |(name, truth)| at(name, &truth.why));
    Ok(Truth { holds: true, firm, why })
}

fn any(truths: Truths) -> Result<Truth, Stop> {
    let tally = tally(truths)?;
    if let Some((name, truth)) = tally.known.iter().find(|(_, truth)| truth.holds) {
        let firm = tally.known.iter().any(|(_, truth)| truth.holds && truth.firm);
        return Ok(Truth { holds: true, firm, why: at(name, &truth.why) });
    }
    if tally.unknown > 0 {
        return Err(Stop::Missing(tally.missing));
    }
    let firm = tally.known.iter().all(|(_, truth)| truth.firm);
    let why = tally.known.first().map_or_else(String::new, |(name, truth)| at(name, &truth.why));
    Ok(Truth { holds: false, firm, why })
}

/// Whether it holds for at least a fraction of them.
fn at_least(share: f64, truths: Truths) -> Result<Truth, Stop> {
    let total = truths.len();
    let tally = tally(truths)?;
    let needed = (share * total as f64 - 1e-9).ceil() as usize;
    let count = |of: &dyn Fn(&Truth) -> bool| tally.known.iter().filter(|(_, truth)| of(truth)).count();
    let holding = count(&|truth| truth.holds);
    let against = tally.known.iter().find(|(_, truth)| !truth.holds);
    let example = against.map_or_else(String::new, |(name, truth)| format!("; not {}", at(name, &truth.why)));
    let why = format!("at {holding} of {total}{example}");
    if holding >= needed {
        return Ok(Truth { holds: true, firm: count(&|truth| truth.holds && truth.firm) >= needed, why });
    }
    if holding + tally.unknown >= needed {
        return Err(Stop::Missing(tally.missing));
    }
    let firmly_against = count(&|truth| !truth.holds && truth.firm);
    Ok(Truth { holds: false, firm: firmly_against > total - needed, why })
}

fn fold(numbers: &[Number], with: impl Fn(f64, f64) -> f64) -> Number {
    let over = |part: fn(&Number) -> f64| numbers.iter().map(part).reduce(&with).unwrap_or(f64::NAN);
    Number { middle: over(|number| number.middle), low: over(|number| number.low), high: over(|number| number.high) }
}

fn median(numbers: &[Number]) -> Number {
    let over = |part: fn(&Number) -> f64| {
        let mut values: Vec<f64> = numbers.iter().map(part).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
    };
    Number { middle: over(|number| number.middle), low: over(|number| number.low), high: over(|number| number.high) }
}

/// Spearman's rank correlation of the estimates; the effect of noise on it is unknown.
fn rank_correlation(places: &[Number], numbers: &[Number]) -> Number {
    let ranks = |values: Vec<f64>| -> Vec<f64> {
        let below = |value: f64| values.iter().filter(|other| **other < value).count() as f64;
        let like = |value: f64| values.iter().filter(|other| **other == value).count() as f64;
        values.iter().map(|value| below(*value) + (like(*value) + 1.0) / 2.0).collect()
    };
    let x = ranks(places.iter().map(|number| number.middle).collect());
    let y = ranks(numbers.iter().map(|number| number.middle).collect());
    let mean = (x.len() as f64 + 1.0) / 2.0;
    let sum = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
    let middle = sum(&x, &y) / (sum(&x, &x) * sum(&y, &y)).sqrt();
    Number { middle: if middle.is_nan() { 0.0 } else { middle }, low: -1.0, high: 1.0 }
}
