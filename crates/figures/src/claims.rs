//! The paper's claims, from `analysis/claims.toml`.

use crate::{
    FiguresError, chart::Unit, evaluate::Vocabulary, expression::Expression, points::Quantity,
    specification::in_one_line,
};
use measure::Metric;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The kind of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An order.
    Order,
    /// A trend.
    Shape,
    /// A factor.
    Ratio,
    /// A number with a unit: only comparable on hardware of the published class.
    Abs,
    /// A cause.
    Cause,
}

/// One statement of the paper.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// `C1` and so on.
    pub id: String,
    /// The slide that makes it; the title slide is 1.
    pub slide: u32,
    /// The text of the slide.
    pub text: String,
    /// Its kind.
    pub kind: Kind,
    /// A note on how it is tested.
    pub note: String,
    pub(crate) pattern: String,
    pub(crate) workloads: Vec<String>,
    /// Whether the predicate itself covers all workloads.
    pub(crate) together: bool,
    pub(crate) holds: Expression,
    pub(crate) otherwise: Option<Expression>,
    pub(crate) show: Vec<Shown>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shown {
    pub(crate) label: String,
    pub(crate) unit: Unit,
    pub(crate) value: Expression,
}

/// All claims, and the definitions of their terms.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims {
    pub(crate) claims: Vec<Claim>,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) latency: Metric,
    pub(crate) link_bits_per_second: u64,
    pub(crate) prefer: Vec<String>,
    /// The experiments that predictions of claims need.
    pub predicted: Vec<Predicted>,
    /// The quantity `T`.
    pub(crate) rate: Quantity,
}

/// An experiment of the claims, as a prediction takes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Predicted {
    /// Its name.
    pub experiment: String,
    /// How many messages each of its points sends: enough for a steady rate, few enough for many predictions.
    pub messages: u64,
    /// How many it sends as published.
    published: u64,
    /// How many are enough for long runs of each consumer.
    long: u64,
}

impl Claim {
    /// The workloads on which it is tested separately; one entry with all of them if the predicate covers them itself.
    pub(crate) fn tested_on(&self) -> &[String] {
        if self.together { &self.workloads[..1] } else { &self.workloads }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    latency: String,
    link_bits_per_second: u64,
    prefer: Vec<String>,
    predicted: Vec<Predicted>,
    constants: BTreeMap<String, Constant>,
    definitions: BTreeMap<String, String>,
    claim: Vec<ClaimFile>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Constant {
    Number(f64),
    Whole(i64),
    Text(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimFile {
    id: String,
    slide: u32,
    text: String,
    kind: Kind,
    pattern: String,
    workloads: Vec<String>,
    #[serde(default)]
    together: bool,
    holds: String,
    #[serde(rename = "else")]
    otherwise: Option<String>,
    #[serde(default)]
    note: String,
    #[serde(default)]
    show: Vec<[String; 3]>,
}

impl Claims {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// [`FiguresError::Specification`] with what is wrong.
    pub fn read(text: &str) -> Result<Self, FiguresError> {
        let wrong = |reason: String| FiguresError::Specification { file: "claims.toml".to_owned(), reason };
        let file: File = toml::from_str(text).map_err(|error| wrong(in_one_line(&error.to_string())))?;
        let read =
            |whose: &str, text: &str| Expression::read(text).map_err(|reason| wrong(format!("{whose}: {reason}")));
        let mut vocabulary = Vocabulary::default();
        for (name, constant) in file.constants {
            let value = match constant {
                Constant::Number(number) => Expression::Number(number),
                Constant::Whole(number) => Expression::Number(number as f64),
                Constant::Text(text) => read(&name, &text)?,
            };
            vocabulary.constants.insert(name, value);
        }
        for (head, body) in file.definitions {
            let Ok(Expression::Call(name, parameters)) = Expression::read(&head) else {
                return Err(wrong(format!("`{head}` is not a valid head of a definition; write name(x, y)")));
            };
            let parameters = parameters.into_iter().map(|parameter| match parameter {
                Expression::Name(name) => Ok(name),
                _ => Err(wrong(format!("`{head}` has a parameter that is not a name"))),
            });
            vocabulary.definitions.insert(name, (parameters.collect::<Result<_, _>>()?, read(&head, &body)?));
        }
        let mut claims = Vec::new();
        for written in file.claim {
            let id = &written.id;
            let mut show = Vec::new();
            for [label, unit, value] in &written.show {
                let unit = match unit.as_str() {
                    "/s" => Unit::Plain,
                    "s" => Unit::Seconds,
                    "x" => Unit::Times,
                    other => return Err(wrong(format!("{id}: `{other}` is not a valid unit; write /s, s or x"))),
                };
                show.push(Shown { label: label.clone(), unit, value: read(id, value)? });
            }
            claims.push(Claim {
                holds: read(id, &written.holds)?,
                otherwise: written.otherwise.as_ref().map(|text| read(id, text)).transpose()?,
                show,
                id: written.id,
                slide: written.slide,
                text: written.text,
                kind: written.kind,
                note: written.note,
                pattern: written.pattern,
                workloads: written.workloads,
                together: written.together,
            });
        }
        let latency = Metric::ALL.into_iter().find(|metric| metric.name() == file.latency);
        let latency = latency.ok_or_else(|| wrong(format!("`{}` is not a latency", file.latency)))?;
        Ok(Self {
            claims,
            vocabulary,
            latency,
            link_bits_per_second: file.link_bits_per_second,
            prefer: file.prefer,
            predicted: file.predicted,
            rate: Quantity::MessagesPerSecond,
        })
    }

    /// The text of a claim.
    pub fn text_of(&self, id: &str) -> Option<&str> {
        self.claims.iter().find(|claim| claim.id == id).map(|claim| claim.text.as_str())
    }

    /// The architectures whose order the claims are about.
    pub fn architectures(&self) -> Vec<String> {
        let Some(Expression::List(names)) = self.vocabulary.constants.get("series") else { return Vec::new() };
        names
            .iter()
            .filter_map(|name| if let Expression::Name(name) = name { Some(name.clone()) } else { None })
            .collect()
    }

    /// The same claims, read differently where the slides leave it open: `prs` is the tunnel that stands for PRS, `estimator`
    /// is `window` or `sum-of-rates`, `unit` is `any`, `messages` or `events`, and `run-length` is `published` or `long`.
    ///
    /// # Errors
    ///
    /// [`FiguresError::Specification`] if nothing else is left open.
    pub fn read_as(&self, key: &str, value: &str) -> Result<Self, FiguresError> {
        let mut read = self.clone();
        match (key, value) {
            ("prs", tunnel) if self.architectures().iter().any(|known| known == tunnel) => {
                read.vocabulary.constants.insert("prs".to_owned(), Expression::Name(tunnel.to_owned()));
                let three = ["dts", tunnel, "mss"].map(|name| Expression::Name(name.to_owned()));
                read.vocabulary.constants.insert("three".to_owned(), Expression::List(three.into()));
            }
            ("estimator", "window") => read.rate = Quantity::MessagesPerSecond,
            ("estimator", "sum-of-rates") => read.rate = Quantity::SumOfRates,
            ("unit", "any") => {}
            ("unit", "messages" | "events") => {
                let unit = Expression::List(vec![Expression::Name(value.to_owned())]);
                read.vocabulary.constants.insert("units".to_owned(), unit);
            }
            ("run-length", "published") => read.predicted.iter_mut().for_each(|one| one.messages = one.published),
            ("run-length", "long") => read.predicted.iter_mut().for_each(|one| one.messages = one.long),
            _ => {
                let reason = format!(
                    "`{key} = {value}` is not open: use prs = TUNNEL, estimator = window or sum-of-rates, unit = any, messages or \
                     events, or run-length = published or long"
                );
                return Err(FiguresError::Specification { file: "claims.toml".to_owned(), reason });
            }
        }
        Ok(read)
    }
}
