//! Resolves the names in an assertion to fields of a record: full paths, or short names of frequently used fields.

use super::{Kind, Quantity, units};
use crate::{LatencySummary, Metric, Record};
use serde_json::Value;
use std::{collections::BTreeSet, sync::LazyLock};

/// Parts of a record whose fields may be named by their last name alone, in this order.
const SHORT: [&str; 5] = ["integrity", "throughput", "harness", "backpressure", "status"];
/// Short names of fields, as in `--until` and `compare`.
const WORDS: [(&str, &str); 6] = [
    ("throughput", "throughput.messages_per_second"),
    ("bit_rate", "throughput.bits_per_second"),
    ("event_rate", "throughput.events_per_second"),
    ("sum_of_rates", "throughput.sum_of_rates_messages_per_second"),
    ("sum_of_rates_ratio", "throughput.sum_of_rates_ratio"),
    ("cpu_per_message", "harness.cpu_us_per_message"),
];

static SCHEMA: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(&Record::json_schema()).expect("a schema is JSON by construction"));

/// A field of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// As it was typed.
    pub written: String,
    path: String,
    /// The kind of its values.
    pub kind: Kind,
}

/// Counts of messages of which a percentage makes sense.
const MESSAGES: [&str; 5] =
    ["integrity.lost", "integrity.undetermined", "integrity.duplicated", "integrity.reordered", "integrity.corrupt"];

/// What the schema has at a path.
enum Found {
    Leaf(Kind),
    Several,
    Nothing,
}

impl Field {
    /// Whether it counts messages.
    pub fn counts_messages(&self) -> bool {
        MESSAGES.contains(&self.path.as_str())
    }

    /// Whether it has this path.
    pub fn is(&self, path: &str) -> bool {
        self.path == path
    }

    /// The field with a name.
    pub fn called(name: &str) -> Result<Self, String> {
        let found = |path: String, kind| Ok(Self { written: name.to_owned(), path, kind });
        if let Some(path) = word(name)
            && let Found::Leaf(kind) = at(&path)
        {
            return found(path, kind);
        }
        let several = match at(name) {
            Found::Leaf(kind) => return found(name.to_owned(), kind),
            Found::Several => true,
            Found::Nothing => false,
        };
        if !name.contains('.') && !several {
            for part in SHORT {
                let path = format!("{part}.{name}");
                if let Found::Leaf(kind) = at(&path) {
                    return found(path, kind);
                }
            }
        }
        let known = names();
        if several {
            let below = known.iter().filter(|known| known.starts_with(&format!("{name}."))).take(3);
            let below: Vec<String> = below.map(|known| format!("`{known}`")).collect();
            let such =
                if below.is_empty() { format!("`{name}.0`, by its number or its name") } else { below.join(", ") };
            return Err(format!("`{name}` is several values: name one of them, such as {such}"));
        }
        let mut near: Vec<(usize, &String)> =
            known.iter().map(|known| (strsim::damerau_levenshtein(name, known), known)).collect();
        near.sort();
        let near: Vec<String> = near
            .iter()
            .filter(|(distance, known)| *distance <= 1 + known.len().max(name.len()) / 4)
            .take(3)
            .map(|(_, known)| format!("`{known}`"))
            .collect();
        Err(match &near[..] {
            [] => format!("a record has no field `{name}`: docs/assertions.md lists the most useful ones"),
            [only] => format!("a record has no field `{name}`: did you mean {only}?"),
            [first, others @ ..] => {
                format!("a record has no field `{name}`: did you mean {first}? Near are {}, too", others.join(" and "))
            }
        })
    }

    /// Its value in a record.
    pub fn of(&self, record: &Value) -> Result<Quantity, String> {
        if self.undetermined(record) > 0 {
            return Ok(Quantity::Absent);
        }
        let pointer: String = self.path.split('.').map(|key| format!("/{key}")).collect();
        Ok(match record.pointer(&pointer) {
            None | Some(Value::Null) => Quantity::Absent,
            Some(Value::Bool(truth)) => Quantity::Truth(*truth),
            Some(Value::String(text)) => Quantity::Text(text.clone()),
            Some(Value::Number(number)) => {
                let (factor, dimension) = units::of_field(&self.path);
                Quantity::Number(number.as_f64().expect("numbers of a record are finite") * factor, dimension)
            }
            Some(Value::Array(_) | Value::Object(_)) => return Err(format!("{} is several values", self.written)),
        })
    }

    /// For a number of lost messages or replies: the number of undetermined ones.
    fn undetermined(&self, record: &Value) -> u64 {
        let Some((of, "lost")) = self.path.rsplit_once('.') else { return 0 };
        let pointer = format!("/{}/undetermined", of.replace('.', "/"));
        record.pointer(&pointer).and_then(Value::as_u64).unwrap_or(0)
    }

    /// Why the number is absent, if the record has the reason; for the end of a sentence.
    pub fn why_absent(&self, record: &Value) -> String {
        let undetermined = self.undetermined(record);
        if undetermined > 0 {
            return format!(": {undetermined} of the missing messages may still be in the service (`undetermined`)");
        }
        let Some((of, figure)) = self.path.rsplit_once('.') else { return String::new() };
        let Some((_, least)) = LatencySummary::LEAST_SAMPLES.iter().find(|(quantile, _)| *quantile == figure) else {
            return String::new();
        };
        let count = record.pointer(&format!("/{}/count", of.replace('.', "/"))).and_then(Value::as_u64);
        let short = count.filter(|count| count < least);
        short.map_or_else(String::new, |count| format!(": it takes {least} samples, and there were {count}"))
    }
}

/// The path of a short name: `throughput`, `confirm_p99`, `rtt_p50` (from the due time).
fn word(name: &str) -> Option<String> {
    if let Some((_, path)) = WORDS.iter().find(|(word, _)| *word == name) {
        return Some((*path).to_owned());
    }
    let (metric, figure) = name.rsplit_once('_')?;
    let metric = if metric == "rtt" { Metric::RttFromDue.name() } else { metric };
    Metric::ALL.iter().find(|known| known.name() == metric)?;
    let unit = if figure == "count" { "" } else { "_ns" };
    Some(format!("latency.{metric}.{figure}{unit}"))
}

/// Looks up a path in the schema.
fn at(path: &str) -> Found {
    let mut node: &Value = &SCHEMA;
    let mut keys = path.split('.');
    while let Some(key) = keys.next() {
        node = inside(node);
        if let Some(below) = node.get("properties").and_then(|fields| fields.get(key)) {
            node = below;
            if key == "plan" && path.starts_with("plan") {
                return if keys.next().is_some() { Found::Leaf(Kind::Any) } else { Found::Several };
            }
        } else if let Some(below) = node.get("additionalProperties").filter(|below| below.is_object()) {
            let of_latency = path.starts_with("latency.");
            if of_latency && !Metric::ALL.iter().any(|metric| metric.name() == key) {
                return Found::Nothing;
            }
            node = below;
        } else if let (Some(below), Ok(_)) = (node.get("items"), key.parse::<usize>()) {
            node = below;
        } else {
            return Found::Nothing;
        }
    }
    kind_of(inside(node), path)
}

/// Through a reference, and past the possibility that it is absent.
fn inside(node: &Value) -> &Value {
    let some = node.get("anyOf").and_then(|any| any.as_array()?.iter().find(|one| one.get("$ref").is_some()));
    match some.unwrap_or(node).get("$ref").and_then(Value::as_str) {
        Some(reference) => SCHEMA.pointer(reference.trim_start_matches('#')).expect("a schema refers to itself only"),
        None => node,
    }
}

fn kind_of(node: &Value, path: &str) -> Found {
    let types: Vec<&str> = match node.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let has = |name: &str| types.contains(&name);
    match () {
        () if has("number") || has("integer") => Found::Leaf(Kind::Number(units::of_field(path).1)),
        () if has("boolean") => Found::Leaf(Kind::Truth),
        () if has("string") || node.get("enum").is_some() || node.get("oneOf").is_some() => Found::Leaf(Kind::Text),
        () => Found::Several,
    }
}

/// All names, except in parts of a record whose keys vary.
fn names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    below(&SCHEMA, "", &mut names);
    let short: Vec<String> = names
        .iter()
        .filter_map(|path| path.split_once('.'))
        .filter(|(part, name)| SHORT.contains(part) && !name.contains('.'))
        .map(|(_, name)| name.to_owned())
        .collect();
    names.extend(short);
    names.extend(WORDS.iter().map(|(word, _)| (*word).to_owned()));
    for metric in Metric::ALL.iter().map(|metric| metric.name()).chain(["rtt"]) {
        names.extend(
            ["min", "p50", "p90", "p99", "p999", "max", "mean", "count"].map(|figure| format!("{metric}_{figure}")),
        );
    }
    names
}

fn below(node: &Value, path: &str, names: &mut BTreeSet<String>) {
    let node = inside(node);
    let longer = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    if path == "latency" {
        let summary = &node["additionalProperties"];
        return Metric::ALL.iter().for_each(|metric| below(summary, &longer(metric.name()), names));
    }
    match node.get("properties").and_then(Value::as_object) {
        Some(fields) => fields.iter().for_each(|(key, field)| below(field, &longer(key), names)),
        None if matches!(kind_of(node, path), Found::Leaf(_)) => {
            names.insert(path.to_owned());
        }
        None => {}
    }
}
