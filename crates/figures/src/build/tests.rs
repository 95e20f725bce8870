//! Figures from runs made up for tests: what is selected, grouped, drawn and rejected.

use super::*;
use crate::{chart::RuleKind, sample, shipped};

fn run(dir: &str, record: measure::Record) -> Run {
    Run { dir: dir.into(), record }
}

/// Three runs of each route with 1, 2 and 4 consumers.
fn measured() -> Measured {
    let mut runs = Vec::new();
    for (architecture, factor) in [("dts", 1.0), ("prs-haproxy", 0.8), ("mss", 0.5)] {
        for (consumers, repetition) in
            [1, 2, 4].into_iter().flat_map(|consumers| [(consumers, 0), (consumers, 1), (consumers, 2)])
        {
            let rate = factor * (1000.0 * f64::from(consumers) + f64::from(repetition));
            runs.push(run(
                &format!("{architecture}-{consumers}-{repetition}"),
                sample::record(architecture, consumers, rate),
            ));
        }
    }
    Measured::of(runs)
}

fn drawn(name: &str, measured: &Measured) -> Result<Figure, FiguresError> {
    let text = shipped::FIGURES.iter().find(|(known, _)| *known == name).unwrap().1;
    let published = Published::read(shipped::PUBLISHED).unwrap();
    build(&Specification::read(name, text).unwrap(), measured, &published)
}

#[test]
fn a_mark_is_the_median_of_its_runs_with_their_interval() {
    let figure = drawn("throughput", &measured()).unwrap();
    let panel = &figure.panels[0];
    assert_eq!(panel.title, "Dstream");
    let names: Vec<&str> = figure.legend.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["DTS", "PRS, HAProxy", "MSS"]);
    let dts = &panel.traces[0].marks;
    assert_eq!(dts[2], Mark { x: 4.0, y: 4001.0, interval: Some((4000.0, 4002.0)) });
    assert!(
        figure.notes.iter().any(|note| note == "Medians of 3 runs a point; bars are 75 % intervals of the median.")
    );
    let ceiling = panel.rules.iter().find(|rule| rule.kind == RuleKind::Bound).unwrap();
    assert_eq!((ceiling.y, ceiling.text.as_str()), (900_000.0, "harness ceiling"));
    let paper = panel.rules.iter().find(|rule| rule.kind == RuleKind::Published).unwrap();
    assert!(paper.y == 39_000.0 && paper.text.ends_with("(slide 15)"), "{paper:?}");
}

#[test]
fn overhead_is_above_one_where_a_route_is_slower_and_the_base_is_a_line() {
    let figure = drawn("overhead", &measured()).unwrap();
    let panel = &figure.panels[0];
    assert_eq!(panel.traces.len(), 2, "DTS itself is the line at 1");
    let mss = panel.traces.iter().find(|trace| trace.style.marker == profile::Marker::Down).unwrap();
    assert!((mss.marks[0].y - 2.0).abs() < 0.01, "{:?}", mss.marks);
    assert!(panel.rules.iter().any(|rule| rule.kind == RuleKind::Base && rule.y == 1.0));
    assert!(figure.notes.iter().any(|note| note.starts_with("not measured: With feedback, Lstream")));
}

#[test]
fn the_link_bounds_messages_by_their_size() {
    let mut measured = measured();
    for run in &mut measured.runs {
        let link = measure::record::Link {
            host: "dsn1".to_owned(),
            rate_bits_per_second: Some(1_000_000_000),
            ..Default::default()
        };
        run.record.links = vec![link];
        run.record.totals.received = measure::Volume { messages: 10, bytes: 160_000, events: 80 };
    }
    let figure = drawn("throughput", &measured).unwrap();
    let link = figure.panels[0].rules.iter().find(|rule| rule.text.contains("link")).unwrap();
    assert_eq!((link.y, link.text.as_str()), (7812.5, "one service link, 1 Gbit/s"));
}

#[test]
fn predictions_beside_measurements_are_thin_lines_in_the_panel_and_in_the_legend() {
    let mut measured = measured();
    let mut predicted = sample::record("dts (predicted)", 2, 1.0);
    predicted.prediction = Some(measure::record::Prediction::default());
    measured.runs.push(run("predicted", predicted));
    let figure = drawn("throughput", &measured).unwrap();
    let thin = figure.panels[0].traces.iter().filter(|trace| trace.shape == Shape::Thin).count();
    assert_eq!(thin, 1);
    let thin: Vec<&str> = figure.legend.iter().filter(|entry| entry.thin).map(|entry| entry.name.as_str()).collect();
    assert_eq!(thin, ["dts (predicted)"]);
}

#[test]
fn plans_that_differ_in_one_point_are_rejected_by_name_and_separated_by_a_filter() {
    let mut measured = measured();
    let mut other = sample::record("dts", 2, 1.0);
    other.plan["service"]["prefetch"] = 1.into();
    measured.runs.push(run("prefetch-1", other));
    let error = drawn("throughput", &measured).unwrap_err().to_string();
    assert!(error.contains("`prefetch-1`") && error.contains("`service.prefetch`"), "{error}");
    let text = "title = 'T'\nkind = 'lines'\ny = 'messages_per_second'\n[where]\n'service.prefetch' = 64\n";
    build(&Specification::read("mine", text).unwrap(), &measured, &[]).unwrap();
    let text =
        "title = 'T'\nkind = 'lines'\nx = 'service.prefetch'\ny = 'messages_per_second'\n[where]\nconsumers = 2\n";
    let figure = build(&Specification::read("mine", text).unwrap(), &measured, &[]).unwrap();
    assert_eq!(figure.panels[0].x.ticks, [(1.0, "1".to_owned()), (64.0, "64".to_owned())]);
}

#[test]
fn failed_and_limited_runs_are_never_drawn_in_silence() {
    let mut measured = measured();
    measured.runs[0].record.status =
        measure::record::Status { pass: false, reason: "3 messages were lost".into(), exit_code: 4 };
    measured.runs[1].record.harness.generator_limited = true;
    let notes = drawn("throughput", &measured).unwrap().notes.join("\n");
    assert!(notes.contains("1 of the runs drawn FAILED, dts-1-0 because: 3 messages were lost"), "{notes}");
    assert!(notes.contains("1 of the runs drawn were generator-limited"), "{notes}");
    let in_two_panels = [&measured.runs[1], &measured.runs[1]];
    assert!(caveats(&in_two_panels)[0].starts_with("1 of the runs drawn were generator-limited"));
}

#[test]
fn loss_is_drawn_against_the_offered_rate_and_shares_have_a_line_for_each_consumer() {
    let of_rate = |(rate, lost): (f64, u64)| {
        let mut record = sample::record("ejfat", 2, rate);
        record.point = Some(measure::record::Point { experiment: "ejfat".into(), name: format!("ejfat-{rate}") });
        record.plan["load"]["mean_messages_per_second"] = rate.into();
        (record.integrity.expected, record.integrity.lost) = (1000, lost);
        record.transport = [("events_taken".to_owned(), 10), ("assembly_us".to_owned(), 5_000)].into();
        let shares = |name: &str, slots: [u64; 2]| Shares { name: name.into(), slots: slots.into() };
        record.load_balancer = Some(measure::record::LoadBalancer {
            slots: 512,
            at_s: vec![0.5, 1.5],
            consumers: vec![shares("consumer-0", [256, 128]), shares("consumer-1", [256, 384])],
            ..Default::default()
        });
        run(&format!("run-{rate}"), record)
    };
    let measured = Measured::of([(500.0, 0), (4000.0, 20)].map(of_rate).into());
    let places = |figure: &Figure, panel: usize| -> Vec<(f64, f64)> {
        figure.panels[panel].traces[0].marks.iter().map(|mark| (mark.x, mark.y)).collect()
    };
    let figure = drawn("ejfat-rate", &measured).unwrap();
    assert_eq!(places(&figure, 1), [(500.0, 0.0), (4000.0, 2.0)], "per cent");
    let latency = drawn("ejfat-latency", &measured).unwrap();
    let last = latency.panels.len() - 1;
    assert_eq!(places(&latency, last), [(500.0, 0.0005), (4000.0, 0.0005)], "seconds");
    let shares = drawn("ejfat-shares", &measured).unwrap();
    assert_eq!(places(&shares, 0), [(0.5, 50.0), (1.5, 25.0)]);
    let traces = &shares.panels[0].traces;
    assert!(traces.len() == 2 && traces[0].style != traces[1].style);
}

#[test]
fn a_scatter_has_a_mark_for_each_run() {
    let text = "title = 'T'\nkind = 'scatter'\nx = 'messages_per_second'\ny = 'sum_of_rates_ratio'\n";
    let figure = build(&Specification::read("mine", text).unwrap(), &measured(), &[]).unwrap();
    let counts: Vec<usize> = figure.panels[0].traces.iter().map(|trace| trace.marks.len()).collect();
    assert_eq!(counts, [9, 9, 9]);
    assert!(figure.notes.iter().all(|note| !note.starts_with("Medians")), "{:?}", figure.notes);
}

#[test]
fn a_figure_without_runs_names_the_runs_that_it_needs() {
    let error = drawn("round-trip-cdf-lstream", &measured()).unwrap_err().to_string();
    assert!(error.contains("`round-trip-cdf-lstream` is empty") && error.contains("workload lstream"), "{error}");
}

#[test]
fn overhead_without_its_base_is_reported_as_not_drawn() {
    let mut measured = measured();
    measured.runs.retain(|run| Key::of(run).architecture != "dts");
    let error = drawn("overhead", &measured).unwrap_err().to_string();
    assert!(error.contains("(and over dts, which others are compared with)"), "{error}");
}

#[test]
fn a_distribution_ends_where_its_samples_end() {
    let mut measured = measured();
    for (index, run) in measured.runs.iter_mut().enumerate() {
        run.record.plan["pattern"] = "work-sharing-feedback".into();
        run.dir = format!("run-{index}").into();
    }
    let distribution = Distribution::of(&(1..=100).map(|value| (value * 1_000_000, 1)).collect());
    for index in 0..measured.runs.len() {
        measured.remember(index, vec![(Metric::RttFromSent, distribution.clone())]);
    }
    let figure = drawn("round-trip-cdf-dstream", &measured).unwrap();
    assert_eq!(
        figure.panels.iter().map(|panel| panel.title.as_str()).collect::<Vec<_>>(),
        ["1 consumer", "2 consumers", "4 consumers"]
    );
    let marks = &figure.panels[0].traces[0].marks;
    assert_eq!(marks.last().unwrap().y, 0.9, "ten of a hundred samples are beyond");
    assert!((marks[49].x - 0.05).abs() < 1e-9);
}
