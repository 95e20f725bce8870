//! The report as one HTML file that needs no network: figures and styles are inside.

use crate::{
    Verdict,
    chart::Figure,
    draw::{panel_svg, swatch_svg},
    predicted,
    report::Report,
    survival,
    tables::{self, Row},
    windows,
};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::path::{Component, Path, PathBuf};

const STYLE: &str = include_str!("report.css");

/// The page. `at` is its future directory, so that links to records are right.
pub fn page(report: &Report, title: &str, at: &Path) -> String {
    let body = html! {
        h1 { (title) }
        section id="answer" {
            @for sentence in &report.answer { p { (sentence) } }
            p class="note" { (report.summary()) "." }
        }
        nav {
            a href="#figures" { "Figures" }
            a href="#points" { "Points" }
            a href="#environment" { "Environment" }
            a href="#runs" { "Runs" }
            a href="#claims" { "Claims" }
        }
        (notes("Left out", report.left_out.iter().map(|run| format!("{}: {}", run.dir.display(), run.reason))))
        (notes("Before comparing", report.warnings.iter().cloned()))
        section id="figures" {
            h2 { "Figures" }
            @for figure in &report.figures { (drawn(figure)) }
            @if !report.not_drawn.is_empty() {
                details open[report.figures.is_empty()] {
                    summary { (report.not_drawn.len()) " figure(s) not drawn" }
                    ul class="note" { @for figure in &report.not_drawn { li { (figure.sentence()) } } }
                }
            }
        }
        (points(report))
        (faults(report))
        (predictions(report))
        (distances(report))
        (effort(report))
        (environment(report))
        (runs(report, at))
        (claims(report))
    };
    whole_page(title, &body)
}

/// A page with its style around a body.
pub fn whole_page(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                // No request for an icon that is not there.
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    page.into_string()
}

fn notes(title: &str, lines: impl Iterator<Item = String>) -> Markup {
    let lines: Vec<String> = lines.collect();
    html! {
        @if !lines.is_empty() {
            div class="warning" { strong { (title) } ul { @for line in lines { li { (line) } } } }
        }
    }
}

fn claims(report: &Report) -> Markup {
    html! {
        section id="claims" {
            h2 { "The paper's claims" }
            // Folded where the runs are not of the paper's experiments: most claims say nothing about them.
            details open[report.is_of_the_paper] {
            summary { (report.claims.len()) " claims of the talk, judged by these runs" }
            div class="counts" {
                @for verdict in [Verdict::Reproduced, Verdict::NotReproduced, Verdict::NotTestable] {
                    div class=(verdict.class()) { b { (report.count(verdict)) } (verdict.name()) }
                }
            }
            table class="claims" {
                thead { tr { th { "claim" } th { "in the talk" } th { "verdict" } th { (report.source()) " here" } } }
                tbody {
                    @for judged in &report.claims {
                        @let claim = &judged.claim;
                        tr {
                            td { (claim.id) span class="interval" { "slide " (claim.slide) } }
                            td {
                                (claim.text)
                                @if !claim.note.is_empty() { span class="interval" { (claim.note) } }
                            }
                            td class={ "verdict " (judged.verdict.class()) } {
                                (judged.verdict.name())
                                @if let Some(caveat) = judged.caveat() { span class="interval" { (caveat) } }
                            }
                            td {
                                @for (label, value) in &judged.numbers { p { (label) " " strong { (value) } } }
                                @for why in &judged.why { p class="note" { (why) } }
                            }
                        }
                    }
                }
            }
            }
        }
    }
}

/// A figure with its legend and its notes.
pub fn drawn(figure: &Figure) -> Markup {
    html! {
        figure id=(figure.name) {
            h3 { (figure.title) }
            div class="legend" {
                @for entry in &figure.legend { span { (PreEscaped(swatch_svg(entry))) (entry.name) } }
            }
            div class={ "panels" @if figure.panels.len() > 1 { " many" } } {
                @for panel in &figure.panels { (PreEscaped(panel_svg(panel, figure.columns))) }
            }
            figcaption {
                @for note in &figure.notes { p { (note) } }
                p class="files" {
                    "As files: "
                    a href={ "figures/" (figure.name) ".svg" } { "SVG" } ", "
                    a href={ "figures/" (figure.name) ".png" } { "PNG" }
                }
            }
        }
    }
}

fn points(report: &Report) -> Markup {
    html! {
        section id="points" {
            h2 { "Points" }
            p class="note" {
                "Medians over runs, and below them the interval of the median. Rates count deliveries; round trips are those "
                "of the paper, from when the publish returned."
            }
            div class="wide" {
                table {
                    thead {
                        tr {
                            th { "architecture" } th class="number" { "consumers" } th class="number" { "runs" }
                            @for (name, ..) in tables::COLUMNS { th class="number" { (name) } }
                        }
                    }
                    @for group in report.rows.chunk_by(|a, b| of(a) == of(b)) {
                        tbody {
                            tr { th class="group" colspan=(3 + tables::COLUMNS.len()) { (of(&group[0])) } }
                            @for row in group { (point(row)) }
                        }
                    }
                }
            }
        }
    }
}

/// The common part of a group of rows.
fn of(row: &Row) -> String {
    format!("{}, {}", row.key.workload, row.key.pattern)
}

fn point(row: &Row) -> Markup {
    html! {
        tr {
            td {
                (row.key.architecture)
                @if let Some(variant) = &row.variant { span class="interval" { (variant) } }
            }
            td class="number" { (row.key.consumers) } td class="number" { (row.runs) }
            @for cell in &row.cells {
                td class="number" {
                    @if let Some(cell) = cell { (cell.median) span class="interval" { (cell.interval) } }
                }
            }
        }
    }
}

fn effort(report: &Report) -> Markup {
    table("effort", "Effort", tables::EFFORT_NOTE, &tables::effort_of(&report.runs))
}

fn faults(report: &Report) -> Markup {
    let (rows, sentence) = survival::table(&report.runs, &report.failed_by_fault).unwrap_or_default();
    table("survival", "What survives what", &format!("{sentence} {}", survival::NOTE), &rows)
}

fn predictions(report: &Report) -> Markup {
    let (rows, sentence) = predicted::table(&report.runs).unwrap_or_default();
    table("predicted", "Predicted and measured", &format!("{sentence} {}", predicted::NOTE), &rows)
}

fn distances(report: &Report) -> Markup {
    let (rows, sentence) = windows::table(&report.runs).unwrap_or_default();
    table("windows", "Windows over a distance", &format!("{sentence} {}", windows::NOTE), &rows)
}

/// A section with a table below its head; nothing without rows.
fn table(id: &str, title: &str, note: &str, rows: &[Vec<String>]) -> Markup {
    html! {
        @if let Some((head, rows)) = rows.split_first() {
            section id=(id) {
                h2 { (title) }
                p class="note" { (note) }
                div class="wide" {
                    table {
                        thead { tr { @for name in head { th { (name) } } } }
                        tbody { @for row in rows { tr { @for cell in row { td { (cell) } } } } }
                    }
                }
            }
        }
    }
}

fn environment(report: &Report) -> Markup {
    html! {
        section id="environment" {
            h2 { "Environment" }
            div class="wide" {
                table {
                    @for (name, values) in tables::environment(&report.runs) {
                        tr {
                            th { (name) }
                            td {
                                @for (value, runs) in &values {
                                    div {
                                        (value)
                                        @if values.len() > 1 { " " span class="note" { "in " (runs) " runs" } }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn runs(report: &Report, at: &Path) -> Markup {
    html! {
        section id="runs" {
            h2 { "Runs" }
            details {
                summary { (report.runs.len()) " records" }
                div class="wide" {
                    table {
                        thead { tr { th { "record" } th { "started" } th { "verdict" } } }
                        tbody {
                            @for run in &report.runs {
                                @let record = &run.record;
                                tr {
                                    td { a href=(link(at, &run.dir.join("record.json"))) { (run.dir.display()) } }
                                    td { (record.started.split('.').next().unwrap_or_default()) }
                                    td { @if !record.status.pass { strong { "FAILED: " } } (record.status.reason) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A path as a link relative to a directory.
fn link(from: &Path, to: &Path) -> String {
    let absolute = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or(path.to_owned());
    let (from, to) = (absolute(from), absolute(to));
    let common = from.components().zip(to.components()).take_while(|(one, other)| one == other).count();
    let up = from.components().skip(common).map(|_| Component::ParentDir);
    let path: PathBuf = up.chain(to.components().skip(common)).collect();
    let escaped = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    path.to_string_lossy().bytes().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Loaded, Run, report::shipped_figures, sample};

    fn report() -> Report {
        let record = |consumers| sample::record("dts", consumers, 1000.0);
        let run = |consumers: u32| Run { dir: format!("/r/<b> {consumers}").into(), record: record(consumers) };
        let loaded = Loaded { runs: vec![run(1), run(2)], ..Loaded::default() };
        Report::of(loaded, &shipped_figures(), false).unwrap()
    }

    #[test]
    fn the_page_loads_nothing_from_elsewhere_and_escapes_its_input() {
        let page = page(&report(), "A & B", Path::new("/r/report"));
        let outside = page.replace("http://www.w3.org/2000/svg", "");
        for wrong in ["http://", "https://", "<script", "<b> 1", "@import", "url("] {
            assert!(!outside.contains(wrong), "{wrong}");
        }
        assert!(page.contains("<title>A &amp; B</title>") && page.contains("name=\"viewport\""));
        assert!(page.contains("href=\"../%3Cb%3E%201/record.json\""), "records are linked");
        assert!(page.contains("id=\"throughput\"") && page.contains("2 records"));
    }

    #[test]
    fn the_style_turns_the_colours_that_figures_are_drawn_in() {
        let page = page(&report(), "A", Path::new("/r"));
        for colour in ["#222222", "#666666", "#E4E4E4"] {
            let drawn =
                page.contains(&format!("fill=\"{colour}\" ")) || page.contains(&format!("stroke=\"{colour}\" "));
            assert!(drawn && STYLE.contains(&format!("\"{colour}\"]")), "{colour}");
        }
    }
}
