//! Tables of a report: each point with its estimates, and the environment of the runs.

use crate::{
    Estimate, Key, Run,
    axis::{short, written},
    chart::Unit,
    points::{Quantity, comparable, difference},
};
use measure::{Metric, record::Effort};
use std::collections::BTreeMap;

/// Repetitions of one point, as a row.
#[derive(Debug, Clone)]
pub struct Row {
    /// Their common settings.
    pub key: Key,
    /// If runs of one key have several plans: the field in which this row differs from the first.
    pub variant: Option<String>,
    /// Number of runs.
    pub runs: usize,
    /// One for each of [`COLUMNS`]; absent if unmeasured.
    pub cells: Vec<Option<Cell>>,
}

/// An estimate as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// The median over runs.
    pub median: String,
    /// From and to; empty for a single run.
    pub interval: String,
}

/// The columns of the table of points, with their units.
pub const COLUMNS: [(&str, Quantity, Unit); 7] = [
    ("messages/s", Quantity::MessagesPerSecond, Unit::Plain),
    ("bit/s", Quantity::BitsPerSecond, Unit::Plain),
    ("sum of rates / rate", Quantity::SumOfRatesRatio, Unit::Times),
    ("confirm p50", Quantity::Median(Metric::Confirm), Unit::Seconds),
    ("round trip p50", Quantity::Median(Metric::RttFromSent), Unit::Seconds),
    ("round trip p99", Quantity::P99(Metric::RttFromSent), Unit::Seconds),
    ("CPU us/message", Quantity::CpuPerMessage, Unit::Plain),
];

/// One row for each point, or for each plan of a point with several plans.
pub fn rows(runs: &[Run]) -> Vec<Row> {
    let mut groups: BTreeMap<Key, Vec<Vec<&Run>>> = BTreeMap::new();
    for run in runs {
        let plans = groups.entry(Key::of(run)).or_default();
        let plan = comparable(run);
        match plans.iter_mut().find(|like| difference(&comparable(like[0]), &plan).is_none()) {
            Some(like) => like.push(run),
            None => plans.push(vec![run]),
        }
    }
    let rows = groups.iter().flat_map(|(key, plans)| {
        plans.iter().map(move |runs| {
            let variant = difference(&comparable(plans[0][0]), &comparable(runs[0])).map(|field| {
                let value = runs[0].record.plan.pointer(&format!("/{}", field.replace('.', "/")));
                format!("{field} = {}", value.map_or("none".to_owned(), ToString::to_string))
            });
            Row {
                key: key.clone(),
                variant,
                runs: runs.len(),
                cells: COLUMNS.map(|column| cell(column, runs)).to_vec(),
            }
        })
    });
    rows.collect()
}

fn cell((_, quantity, unit): (&str, Quantity, Unit), runs: &[&Run]) -> Option<Cell> {
    let values: Vec<f64> = runs.iter().filter_map(|run| quantity.of(run)).collect();
    let estimate = Estimate::of(&values)?;
    let write = |value: f64| if unit == Unit::Times { short(value, 3) } else { written(unit, value) };
    let interval = estimate
        .interval
        .map_or_else(String::new, |interval| format!("{} to {}", write(interval.low), write(interval.high)));
    Some(Cell { median: write(estimate.median), interval })
}

/// The environment of the runs: each property with its values and the number of runs that have each.
pub fn environment(runs: &[Run]) -> Vec<(&'static str, Vec<(String, usize)>)> {
    let count = |of: &dyn Fn(&Run) -> Option<String>| {
        let mut values: BTreeMap<String, usize> = BTreeMap::new();
        runs.iter().for_each(|run| *values.entry(of(run).unwrap_or_else(|| "unknown".to_owned())).or_default() += 1);
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_by_key(|(_, runs)| std::cmp::Reverse(*runs));
        values
    };
    vec![
        ("hosts", count(&|run| Some(run.record.environment.hosts.join(", ")))),
        (
            "processor",
            count(&|run| {
                let environment = &run.record.environment;
                Some(format!("{}, {} core(s)", environment.cpu_model.as_deref()?, environment.cores?))
            }),
        ),
        ("kernel", count(&|run| run.record.environment.kernel.clone())),
        ("MPI", count(&|run| run.record.environment.mpi_library.clone())),
        ("launcher", count(&|run| run.record.environment.launcher.clone())),
        ("ranks", count(&|run| Some(run.record.environment.world_size.to_string()))),
        (
            "service",
            count(&|run| {
                run.record.route.broker.as_ref().map(|broker| format!("{} {}", broker.product, broker.version))
            }),
        ),
        (
            "TLS of clients",
            count(&|run| {
                let route = &run.record.route;
                let known = route.broker.as_ref().map(|_| "none".to_owned());
                route.tls.as_ref().map(|tls| format!("{} {}", tls.version, tls.cipher)).or(known)
            }),
        ),
        ("links of the service", count(&|run| Some(links(run)))),
        (
            "streamharness",
            count(&|run| {
                let environment = &run.record.environment;
                let commit = environment.git_commit.as_deref().map_or(String::new(), |commit| format!(" ({commit})"));
                Some(format!("{}{commit}", environment.harness_version))
            }),
        ),
    ]
}

fn links(run: &Run) -> String {
    let links = run.record.links.iter().filter(|link| link.host.starts_with("dsn"));
    let rates: std::collections::BTreeSet<String> = links
        .map(|link| {
            link.rate_bits_per_second
                .map_or("unlimited".to_owned(), |rate| format!("{} bit/s", written(Unit::Plain, rate as f64)))
        })
        .collect();
    if rates.is_empty() { "not known".to_owned() } else { rates.into_iter().collect::<Vec<_>>().join(", ") }
}

/// The effort behind each architecture, below the names of the columns; empty without any.
pub fn effort<'a>(each: impl IntoIterator<Item = (&'a str, &'a Effort)>) -> Vec<Vec<String>> {
    let names = [
        "architecture",
        "ports",
        "rules",
        "certificates",
        "secrets",
        "processes there",
        "processes here",
        "parties *",
        "steps *",
    ];
    let rows: BTreeMap<&str, &Effort> = each.into_iter().collect();
    let row = |(architecture, effort): (&&str, &&Effort)| {
        let numbers = [
            effort.ports,
            effort.rules,
            effort.certificates.len(),
            effort.secrets.len(),
            effort.processes_of_producers,
            effort.processes_of_service,
            effort.parties.len(),
            effort.steps.len(),
        ];
        let numbers = numbers.iter().map(ToString::to_string).chain([format!("{:.1}", effort.set_up_s)]);
        std::iter::once((*architecture).to_owned()).chain(numbers).collect()
    };
    let head = names.iter().map(|name| (*name).to_owned()).chain(["set up in s".to_owned()]).collect();
    if rows.is_empty() { Vec::new() } else { [vec![head], rows.iter().map(row).collect()].concat() }
}

/// What the columns of the effort mean.
pub const EFFORT_NOTE: &str = "Ports and rules are those of the firewall of the service's site; there is the producers' site. \
    * stated in the talk; all else is what the testbed had.";

/// Those that runs have recorded.
pub fn effort_of(runs: &[Run]) -> Vec<Vec<String>> {
    effort(
        runs.iter().filter_map(|run| Some((run.record.route.architecture.as_str(), run.record.route.effort.as_ref()?))),
    )
}

/// Aligned columns, the first to the left and the others to the right.
pub fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn run(dir: &str, record: measure::Record) -> Run {
        Run { dir: dir.into(), record }
    }

    #[test]
    fn each_point_is_a_row_and_each_plan_of_it_another() {
        let mut other = sample::record("dts", 2, 300.0);
        other.plan["service"]["prefetch"] = 1.into();
        let rows = rows(&[
            run("a", sample::record("dts", 2, 100.0)),
            run("b", sample::record("dts", 2, 120.0)),
            run("c", other),
        ]);
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].runs, &rows[0].variant), (2, &None));
        let cell = rows[0].cells[0].as_ref().unwrap();
        assert_eq!((cell.median.as_str(), cell.interval.as_str()), ("110", "100 to 120"));
        assert_eq!(rows[1].variant.as_deref(), Some("service.prefetch = 1"));
        assert_eq!(rows[0].cells[4], None, "no round trips in work sharing");
    }

    #[test]
    fn the_environment_counts_its_runs() {
        let mut reached = sample::record("dts", 1, 1.0);
        reached.route.broker = Some(measure::record::Broker::default());
        let runs = [run("a", reached.clone()), run("b", reached), run("c", sample::record("dts", 2, 1.0))];
        let environment = environment(&runs);
        let (_, values) = environment.iter().find(|(name, _)| *name == "TLS of clients").unwrap();
        assert_eq!(values, &[("none".to_owned(), 2), ("unknown".to_owned(), 1)], "the last one reached no service");
    }

    #[test]
    fn the_effort_behind_each_architecture_is_a_row_and_there_is_none_without_a_firewall() {
        let mut behind = sample::record("mss", 1, 1.0);
        behind.route.effort =
            Some(Effort { ports: 10, rules: 1, secrets: vec!["token".into()], set_up_s: 17.64, ..Effort::default() });
        let rows = effort_of(&[run("a", sample::record("dts", 1, 1.0)), run("b", behind)]);
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1].join(" "), "mss 10 1 0 1 0 0 0 0 17.6");
        assert_eq!(rows[0].len(), rows[1].len());
        assert_eq!(effort_of(&[run("a", sample::record("dts", 1, 1.0))]), [] as [Vec<String>; 0]);
    }

    #[test]
    fn columns_line_up() {
        let line = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect();
        assert_eq!(aligned(&[line(&["a", "1"]), line(&["bcd", "22"])]), "a     1\nbcd  22\n");
    }
}
