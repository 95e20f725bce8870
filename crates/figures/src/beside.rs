//! Several sets of results side by side: what each says about the paper's claims, measured and predicted.

use crate::{
    Judged, Report, Verdict,
    html::{drawn, whole_page},
    tables,
};
use maud::{Markup, html};
use std::collections::BTreeMap;

/// Results under a name.
#[derive(Debug)]
pub struct Side {
    /// What people call them.
    pub name: String,
    /// Their own report.
    pub report: Report,
}

/// The verdicts of one column.
struct Column<'a> {
    name: &'a str,
    source: &'static str,
    judged: &'a [Judged],
}

impl Column<'_> {
    fn held(&self) -> usize {
        self.judged.iter().filter(|judged| judged.verdict == Verdict::Reproduced).count()
    }

    fn judged(&self) -> usize {
        self.judged.iter().filter(|judged| judged.verdict != Verdict::NotTestable).count()
    }
}

fn columns(sides: &[Side]) -> Vec<Column<'_>> {
    let mut columns = Vec::new();
    for Side { name, report } in sides {
        if let Some(judged) = &report.predicted_claims {
            columns.push(Column { name, source: "predicted", judged });
        }
        columns.push(Column { name, source: report.source(), judged: &report.claims });
    }
    columns
}

/// A sentence on each column.
pub fn sentences(sides: &[Side]) -> Vec<String> {
    let columns = columns(sides);
    let sentence = |column: &Column| {
        let (held, judged, all) = (column.held(), column.judged(), column.judged.len());
        format!("{}, {}: {held} of {all} claims hold, {judged} could be judged.", column.name, column.source)
    };
    columns.iter().map(sentence).collect()
}

/// The claims as text: one line each, one column for each set of results and source.
pub fn text(sides: &[Side]) -> String {
    let columns = columns(sides);
    let mut lines = vec![vec!["claim".to_owned()]];
    lines[0].extend(columns.iter().map(|column| format!("{} {}", column.name, column.source)));
    lines[0].push("in the talk".to_owned());
    for (place, first) in columns[0].judged.iter().enumerate() {
        let mut line = vec![first.claim.id.clone()];
        line.extend(columns.iter().map(|column| in_a_word(&column.judged[place])));
        line.push(first.claim.text.clone());
        lines.push(line);
    }
    let mut text = tables::aligned(&lines);
    text.push('\n');
    sentences(sides).iter().for_each(|sentence| text += &format!("{sentence}\n"));
    text
}

/// The page: claims, then each figure of all sides.
pub fn page(sides: &[Side], title: &str) -> String {
    let mut figures: BTreeMap<&str, Vec<(&str, Markup)>> = BTreeMap::new();
    let mut order = Vec::new();
    for Side { name, report } in sides {
        for figure in &report.figures {
            let all = figures.entry(&figure.name).or_default();
            if all.is_empty() {
                order.push(figure.name.as_str());
            }
            all.push((name, drawn(figure)));
        }
    }
    let body = html! {
        h1 { (title) }
        section id="answer" { @for sentence in sentences(sides) { p { (sentence) } } }
        nav { a href="#claims" { "Claims" } a href="#figures" { "Figures" } }
        (claims(sides))
        section id="figures" {
            h2 { "Figures" }
            @for name in order {
                @for (side, figure) in &figures[name] { h3 { (side) } (figure) }
            }
        }
    };
    whole_page(title, &body)
}

fn claims(sides: &[Side]) -> Markup {
    let columns = columns(sides);
    html! {
        section id="claims" {
            h2 { "The paper's claims" }
            table class="claims beside" {
                thead { tr {
                    th { "claim" } th { "in the talk" }
                    @for column in &columns { th { (column.name) span class="interval" { (column.source) } } }
                } }
                tbody {
                    @for (place, first) in columns[0].judged.iter().enumerate() {
                        tr {
                            td { (first.claim.id) span class="interval" { "slide " (first.claim.slide) } }
                            td { (first.claim.text) }
                            @for column in &columns {
                                @let judged = &column.judged[place];
                                td {
                                    span class={ "verdict " (judged.verdict.class()) } { (in_a_word(judged)) }
                                    @for (label, value) in &judged.numbers { p { (label) " " strong { (value) } } }
                                    @if let Some(caveat) = judged.caveat() { span class="interval" { (caveat) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn in_a_word(judged: &Judged) -> String {
    match judged.verdict {
        Verdict::Reproduced => "holds",
        Verdict::NotReproduced => "does not",
        Verdict::NotTestable => "not testable",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Loaded, Run, report::shipped_figures, sample};

    /// PRS and MSS with these rates, and with predictions of the same points if there are others for them.
    fn side(name: &str, measured: [f64; 2], predicted: Option<[f64; 2]>) -> Side {
        let mut runs = Vec::new();
        for (rates, is_prediction) in std::iter::once((measured, false)).chain(predicted.map(|rates| (rates, true))) {
            for (architecture, rate) in ["prs-haproxy", "mss"].into_iter().zip(rates) {
                for consumers in [1, 2, 4, 8, 16, 32, 64] {
                    let mut record = sample::record(architecture, consumers, rate);
                    record.prediction = is_prediction.then(measure::record::Prediction::default);
                    runs.push(Run { dir: format!("{architecture}-{consumers}-{is_prediction}").into(), record });
                }
            }
        }
        crate::load::set_predictions_apart(&mut runs);
        let report = Report::of(Loaded { runs, ..Loaded::default() }, &shipped_figures(), false).unwrap();
        Side { name: name.to_owned(), report }
    }

    #[test]
    fn each_set_of_results_has_its_measured_and_its_predicted_verdicts() {
        let sides = [side("base", [1000.0, 2000.0], Some([2000.0, 1000.0])), side("other", [2000.0, 1000.0], None)];
        let text = text(&sides);
        let head = text.lines().next().unwrap();
        let heads = ["claim", "base predicted", "base measured", "other measured", "in the talk"];
        let places: Vec<usize> =
            heads.iter().map(|one| head.find(one).unwrap_or_else(|| panic!("{one}: {head}"))).collect();
        assert!(places.is_sorted(), "{head}");
        // C6: MSS has the lowest throughput.
        let c6 = text.lines().find(|line| line.starts_with("C6 ")).unwrap();
        let words: Vec<&str> = c6.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect();
        assert_eq!(words[1..4], ["holds", "does not", "holds"], "{c6}");
        assert_eq!(sentences(&sides).len(), 3);
        let page = page(&sides, "two");
        let count = |what: &str| page.matches(what).count();
        assert_eq!((count("<h3>base</h3>"), count("<h3>other</h3>")), (2, 2), "figures of both");
        assert_eq!(count(r#"class="verdict "#), 3 * 44);
    }
}
