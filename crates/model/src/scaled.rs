//! A hypothesis on a testbed whose links are slower by a factor: times are longer by it, and limits of CPU smaller.
//!
//! So shares of time stay what they are: a client that works for half of the time that a message takes on a link does so at any scale.

use profile::{Delay, Span};
use std::time::Duration;
use toml::{Table, Value};

/// Keys of times, of delays that are drawn, and of cores.
const TIMES: [&str; 1] = ["delay"];
const DELAYS: [&str; 2] = ["think_time", "service_time"];
const CORES: [&str; 2] = ["cpu", "cpu_limit"];

/// Changes every time and every number of cores in a table, at any depth.
///
/// # Errors
///
/// A sentence on a value that cannot be read.
pub fn scale(table: &mut Table, factor: f64) -> Result<(), String> {
    for (key, value) in table.iter_mut() {
        let longer = |time: Duration| {
            let scaled = Duration::try_from_secs_f64(time.as_secs_f64() / factor);
            scaled.map_err(|_| format!("`{key}` cannot be scaled by {factor}: use a number above 0"))
        };
        match value {
            Value::String(text) if TIMES.contains(&key.as_str()) => {
                *text = Span(longer(text.parse::<Span>()?.0)?).to_string()
            }
            Value::String(text) if DELAYS.contains(&key.as_str()) => {
                let scaled = match text.parse()? {
                    Delay::Constant(time) => Delay::Constant(longer(time)?),
                    Delay::Exponential(time) => Delay::Exponential(longer(time)?),
                    Delay::Uniform(from, to) => Delay::Uniform(longer(from)?, longer(to)?),
                };
                *text = scaled.to_string();
            }
            Value::Float(cores) if CORES.contains(&key.as_str()) => *cores *= factor,
            Value::Table(parts) if CORES.contains(&key.as_str()) => {
                for cores in parts
                    .iter_mut()
                    .filter_map(|(_, cores)| if let Value::Float(cores) = cores { Some(cores) } else { None })
                {
                    *cores *= factor;
                }
            }
            Value::Table(inside) => scale(inside, factor)?,
            _ => {}
        }
    }
    Ok(())
}

/// What a table sets, each as `path=value`.
pub fn assignments(table: &Table) -> Vec<String> {
    let mut all = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inside) => all.extend(assignments(inside).into_iter().map(|rest| format!("{key}.{rest}"))),
            Value::String(text) => all.push(format!("{key}={text}")),
            other => all.push(format!("{key}={other}")),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_a_fifth_times_are_five_times_as_long_and_limits_a_fifth() {
        let mut table: Table = "think_time = 'constant:400us'\nhosts.clients.delay = '1ms'\nparts.ingress.cpu = 0.5\n\
                                cpu_limit.s2cs = 0.3\nroute.nodes = 1\nhosts.lb.link = '1Gbit/s'"
            .parse()
            .unwrap();
        scale(&mut table, 0.2).unwrap();
        let set = assignments(&table);
        let near = |name: &str| set.iter().find_map(|one| one.strip_prefix(name)).unwrap().parse::<f64>().unwrap();
        assert!(
            (near("parts.ingress.cpu=") - 0.1).abs() < 1e-9 && (near("cpu_limit.s2cs=") - 0.06).abs() < 1e-9,
            "{set:?}"
        );
        for expected in ["think_time=constant:2ms", "hosts.clients.delay=5ms", "route.nodes=1", "hosts.lb.link=1Gbit/s"]
        {
            assert!(set.iter().any(|one| one == expected), "{set:?}");
        }
        let mut wrong: Table = "delay = 'soon'".parse().unwrap();
        assert!(scale(&mut wrong, 0.2).is_err());
        let mut right: Table = "delay = '1s'".parse().unwrap();
        assert!([0.0, -1.0, 1e-300].into_iter().all(|factor| scale(&mut right, factor).is_err()));
    }
}
