//! How busy the parts of a route were by prediction: a bar for each, and the full ones solid.

use crate::{
    Key, Run,
    chart::{Axis, Mark, Panel, Scale, Shape, Style, Trace, Unit},
};
use measure::record::Utilisation;

/// Parts of a route in a panel, the busiest first.
const PARTS_MAX: usize = 7;
/// From this part of its time on a part counts as full, as in the sentence of a prediction.
const FULL: f64 = 0.9;

/// The panel of the prediction with the most consumers, and its bottleneck in one sentence; `None` without a prediction.
pub fn panel(title: &str, style: Style, runs: &[&Run]) -> Option<(Panel, String)> {
    let predicted = runs.iter().filter_map(|run| Some((Key::of(run).consumers, run.record.prediction.as_ref()?)));
    let (consumers, prediction) = predicted.max_by_key(|(consumers, _)| *consumers)?;
    let parts: Vec<&Utilisation> = prediction.utilisation.iter().take(PARTS_MAX).collect();
    let bars = |solid: bool| {
        let rows = parts.iter().enumerate().filter(|(_, part)| (part.share >= FULL) == solid);
        let marks: Vec<Mark> = rows.map(|(row, part)| Mark { x: part.share, y: row as f64, interval: None }).collect();
        (!marks.is_empty()).then_some(Trace { style, shape: Shape::Bars { solid }, marks })
    };
    let quarters = [0.0, 0.25, 0.5, 0.75, 1.0].map(|share: f64| (share, format!("{:.0} %", share * 100.0)));
    let named =
        |(row, part): (usize, &&Utilisation)| (row as f64, format!("{}, {:.0} %", part.part, part.share * 100.0));
    let panel = Panel {
        title: format!("{title}, {consumers} consumer(s)"),
        x: Axis {
            label: "share of the time at work".to_owned(),
            scale: Scale::Linear,
            unit: Unit::Share,
            ticks: quarters.to_vec(),
            range: Some((0.0, 1.0)),
        },
        y: Axis {
            label: String::new(),
            scale: Scale::Category,
            unit: Unit::Plain,
            ticks: parts.iter().enumerate().map(named).collect(),
            range: None,
        },
        traces: [true, false].into_iter().filter_map(bars).collect(),
        rules: Vec::new(),
    };
    (!parts.is_empty()).then(|| (panel, format!("{title}: {}.", prediction.bottleneck)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use measure::record::Prediction;

    #[test]
    fn the_run_with_the_most_consumers_shows_its_parts_and_which_of_them_are_full() {
        let run = |consumers: u32, share: f64| {
            let mut record = sample::record("dts", consumers, 1.0);
            let part = |part: &str, share| Utilisation { part: part.to_owned(), share };
            let utilisation = vec![part("dsn1 out", share), part("dsn1 in", 0.6)];
            let bottleneck = format!("dsn1 out at {:.0} %", share * 100.0);
            record.prediction = Some(Prediction { utilisation, bottleneck, ..Prediction::default() });
            Run { dir: consumers.to_string().into(), record }
        };
        let runs = [run(1, 0.7), run(8, 0.97)];
        let (drawn, sentence) = panel("DTS", Style::PALETTE[0], &runs.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!((drawn.title.as_str(), sentence.as_str()), ("DTS, 8 consumer(s)", "DTS: dsn1 out at 97 %."));
        let ticks: Vec<&str> = drawn.y.ticks.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(ticks, ["dsn1 out, 97 %", "dsn1 in, 60 %"]);
        let shapes: Vec<(Shape, f64)> =
            drawn.traces.iter().flat_map(|trace| trace.marks.iter().map(|mark| (trace.shape, mark.y))).collect();
        assert_eq!(shapes, [(Shape::Bars { solid: true }, 0.0), (Shape::Bars { solid: false }, 1.0)]);
        let measured = Run { dir: "m".into(), record: sample::record("dts", 9, 1.0) };
        assert_eq!(panel("DTS", Style::PALETTE[0], &[&measured]), None);
    }
}
