//! The schema that is shipped holds for records that real runs left.

use serde_json::{Map, Value};
use std::{fs, path::Path};

/// Keywords without effect on validity.
const REMARKS: [&str; 6] = ["$schema", "$defs", "title", "description", "default", "format"];

/// Where a value breaks its schema, if it does. Knows what schemars writes, and refuses what it does not know.
fn broken(value: &Value, schema: &Value, root: &Value, at: &str) -> Option<String> {
    let rules = match schema {
        Value::Bool(true) => return None,
        Value::Object(rules) => rules,
        other => panic!("{other} is no schema"),
    };
    rules.iter().find_map(|(keyword, rule)| {
        let wrong = |what: &str| Some(format!("{at}: {what}: {value}"));
        match keyword.as_str() {
            remark if REMARKS.contains(&remark) => None,
            "$ref" => {
                let pointer = rule.as_str().and_then(|text| text.strip_prefix('#')).expect("a reference inside");
                broken(value, root.pointer(pointer).expect("the referred part"), root, at)
            }
            "type" => {
                let names: Vec<&str> = rule
                    .as_array()
                    .map_or_else(|| vec![rule], |list| list.iter().collect())
                    .iter()
                    .filter_map(|name| name.as_str())
                    .collect();
                if names.iter().any(|name| is(value, name)) { None } else { wrong(&format!("is no {names:?}")) }
            }
            "const" => {
                if value == rule {
                    None
                } else {
                    wrong("is another value")
                }
            }
            "minimum" => {
                if value.as_f64() >= rule.as_f64() || !value.is_number() {
                    None
                } else {
                    wrong("is below")
                }
            }
            "maximum" => {
                if value.as_f64() <= rule.as_f64() || !value.is_number() {
                    None
                } else {
                    wrong("is above")
                }
            }
            "required" => rule.as_array()?.iter().filter_map(|name| name.as_str()).find_map(|name| {
                if value.get(name).is_some() { None } else { Some(format!("{at}: `{name}` is missing")) }
            }),
            "properties" => entries(rule).find_map(|(name, rule)| {
                value.get(name).and_then(|inside| broken(inside, rule, root, &format!("{at}/{name}")))
            }),
            "additionalProperties" => entries(value)
                .filter(|(name, _)| rules.get("properties").is_none_or(|known| known.get(name).is_none()))
                .find_map(|(name, inside)| broken(inside, rule, root, &format!("{at}/{name}"))),
            "items" => value
                .as_array()?
                .iter()
                .enumerate()
                .find_map(|(index, item)| broken(item, rule, root, &format!("{at}/{index}"))),
            "anyOf" | "oneOf" => {
                let fails: Vec<String> =
                    rule.as_array()?.iter().filter_map(|one| broken(value, one, root, at)).collect();
                if fails.len() < rule.as_array()?.len() { None } else { Some(fails.join("; or ")) }
            }
            other => panic!("the keyword `{other}` is new: teach it to this test"),
        }
    })
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn is(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        other => panic!("the type `{other}` is new: teach it to this test"),
    }
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        .expect("JSON")
}

#[test]
fn records_of_real_runs_are_valid_and_broken_ones_are_not() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let schema = read(&top.join("docs/record.schema.json"));
    let mut records = 0;
    for run in fs::read_dir(top.join("analysis/example")).unwrap() {
        let path = run.unwrap().path().join("record.json");
        let record = read(&path);
        assert_eq!(broken(&record, &schema, &schema, ""), None, "{}", path.display());
        records += 1;
        let mut torn = record.clone();
        torn.as_object_mut().unwrap().remove("throughput");
        assert_eq!(broken(&torn, &schema, &schema, "").as_deref(), Some(": `throughput` is missing"));
        let mut odd = record;
        odd["latency"]["confirm"]["count"] = "many".into();
        let reason = broken(&odd, &schema, &schema, "").expect("a count is a number");
        assert!(reason.starts_with("/latency/confirm/count: is no"), "{reason}");
    }
    assert!(records >= 9, "{records}");
}
