//! The contents of a report, before it becomes HTML or text.

use crate::{
    Claims, FiguresError, Judged, LeftOut, Loaded, Measured, Points, Run, Verdict, answer, build,
    chart::Figure,
    experiment::preferred,
    input,
    load::PREDICTED,
    predicted,
    published::Published,
    shipped,
    specification::Specification,
    survival,
    tables::{self, Row},
    terminal, windows,
};
use measure::foreign;
use std::path::PathBuf;

/// A figure to draw: its name and the text of its specification.
pub type Source = (String, String);

/// A figure that could not be drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotDrawn {
    /// Its name.
    pub name: String,
    /// Why, in one sentence.
    pub reason: String,
    /// Whether only matching runs are missing.
    pub lacks_runs: bool,
}

/// A complete report.
#[derive(Debug)]
pub struct Report {
    /// What the runs say in all.
    pub answer: Vec<String>,
    /// Whether runs are of the experiments that the claims are about.
    pub is_of_the_paper: bool,
    /// Figures that could be drawn.
    pub figures: Vec<Figure>,
    /// Figures that could not be drawn, and why.
    pub not_drawn: Vec<NotDrawn>,
    /// Each claim of the paper with its verdict.
    pub claims: Vec<Judged>,
    /// The verdicts by predictions alone, where they are beside measurements.
    pub predicted_claims: Option<Vec<Judged>>,
    /// Warnings for the reader.
    pub warnings: Vec<String>,
    /// Every point with its estimates.
    pub rows: Vec<Row>,
    /// The runs, ordered by directory.
    pub runs: Vec<Run>,
    /// Runs that failed.
    pub left_out: Vec<LeftOut>,
    /// Those of them that had faults on purpose.
    pub failed_by_fault: Vec<Run>,
}

impl NotDrawn {
    /// In one line.
    pub fn sentence(&self) -> String {
        if self.lacks_runs { self.reason.clone() } else { format!("figure `{}`: {}", self.name, self.reason) }
    }
}

/// The figures that are compiled in.
pub fn shipped_figures() -> Vec<Source> {
    shipped::FIGURES.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

/// The requested figures: shipped ones by name, others by the path of a TOML file.
///
/// # Errors
///
/// [`FiguresError::UnknownFigure`] for an unknown name, [`FiguresError::Read`] for an unreadable file.
pub fn chosen(names: &[String]) -> Result<Vec<Source>, FiguresError> {
    let find = |name: &String| {
        let path = PathBuf::from(name);
        if path.extension().is_some_and(|ending| ending == "toml") {
            let text = input::profile(&path);
            let text = text.map_err(|source| FiguresError::Read { path: path.clone(), source })?;
            return Ok((path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), text));
        }
        let known = || shipped::FIGURES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let shipped = shipped::FIGURES.iter().find(|(known, _)| known == name);
        let (name, text) = shipped.ok_or_else(|| FiguresError::UnknownFigure { name: name.clone(), known: known() })?;
        Ok(((*name).to_owned(), (*text).to_owned()))
    };
    names.iter().map(find).collect()
}

impl Report {
    /// Makes the report. With `all`, every figure must be drawn; otherwise figures without matching runs, or that
    /// cannot be drawn from these runs, are listed and left out.
    ///
    /// # Errors
    ///
    /// [`FiguresError`] if a figure that must be drawn cannot be, or if the input cannot be used.
    pub fn of(loaded: Loaded, figures: &[Source], all: bool) -> Result<Self, FiguresError> {
        let Loaded { runs, left_out, failed_by_fault } = loaded;
        let claims = Claims::read(shipped::CLAIMS)?;
        // Different experiments must not be compared point by point.
        let comparable: Vec<Run> = preferred(runs.iter().collect(), &claims.prefer).into_iter().cloned().collect();
        let of_experiments = comparable.iter().all(|run| run.record.point.is_some());
        let failed = runs.iter().filter(|run| !run.is_sound()).count();
        let mut warnings = match Points::of(comparable) {
            Ok(points) => points.warnings,
            // Its cells differ by its axes.
            Err(FiguresError::MixedPlans { .. }) if of_experiments => Vec::new(),
            Err(error) => vec![error.to_string()],
        };
        let predicted = runs.iter().filter(|run| run.record.prediction.is_some()).count();
        if predicted > 0 {
            let all = runs.len();
            warnings.insert(
                0,
                format!("{predicted} of {all} runs are predictions of a model (`predict`), not measurements"),
            );
        }
        if failed > 0 {
            warnings.insert(0, format!("{failed} of the runs FAILED; their numbers are in all that follows"));
        }
        let (mut answer, is_of_the_paper) = (answer::answer(&runs), answer::is_of_the_paper(&runs, &claims.prefer));
        answer.extend(survival::promise(&runs, &failed_by_fault));
        let published = Published::read(shipped::PUBLISHED)?;
        let measured = Measured::of(runs);
        let (mut drawn, mut not_drawn) = (Vec::new(), Vec::new());
        for (name, text) in figures {
            match build(&Specification::read(name, text)?, &measured, &published) {
                Ok(figure) => drawn.push(figure),
                Err(error) if all => return Err(error),
                Err(error @ (FiguresError::MixedPlans { .. } | FiguresError::NothingToDraw { .. })) => {
                    let lacks_runs = matches!(error, FiguresError::NothingToDraw { .. });
                    not_drawn.push(NotDrawn { name: name.clone(), reason: error.to_string(), lacks_runs });
                }
                Err(error) => return Err(error),
            }
        }
        let predicted_claims = judge_predictions(&claims, &measured.runs)?;
        let claims = claims.judge(&measured)?;
        Ok(Self {
            answer,
            is_of_the_paper,
            figures: drawn,
            not_drawn,
            claims,
            predicted_claims,
            warnings,
            rows: tables::rows(&measured.runs),
            runs: measured.runs,
            left_out,
            failed_by_fault,
        })
    }

    /// A sentence on the runs that were read.
    pub fn summary(&self) -> String {
        let failed = match self.left_out.len() {
            0 => "none failed".to_owned(),
            failed => format!("{failed} more failed and are left out"),
        };
        format!("{} runs of {} points; {failed}", self.runs.len(), self.rows.len())
    }

    /// Number of claims with a verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.claims.iter().filter(|judged| judged.verdict == verdict).count()
    }

    /// What the numbers of claims are: measured, or predicted if there are predictions only.
    pub fn source(&self) -> &'static str {
        let predicted = self.runs.iter().all(|run| run.record.prediction.is_some());
        if predicted { "predicted" } else { "measured" }
    }

    /// What was run and what it says, for a terminal.
    pub fn answer_text(&self) -> String {
        let mut text = format!("{}\n", self.summary());
        self.answer.iter().for_each(|sentence| text += &format!("{sentence}\n"));
        text + "\n"
    }

    /// The verdict on each claim, with what was measured.
    pub fn claims_text(&self) -> String {
        let counts = [Verdict::Reproduced, Verdict::NotReproduced, Verdict::NotTestable]
            .map(|verdict| format!("{} {}", self.count(verdict), verdict.name()));
        let mut text = format!("Claims of the paper: {}\n", counts.join(", "));
        for judged in &self.claims {
            let Judged { claim, verdict, why, .. } = judged;
            text += &format!("{:<4} {:<18} {} (slide {})\n", claim.id, verdict.name(), claim.text, claim.slide);
            let mut more: Vec<String> = why.clone();
            if !judged.numbers.is_empty() {
                let numbers = judged.numbers.iter().map(|(label, value)| format!("{label} {value}"));
                more.push(format!("{}: {}", self.source(), numbers.collect::<Vec<_>>().join("; ")));
            }
            more.extend(judged.caveat());
            more.iter().filter(|line| !line.is_empty()).for_each(|line| text += &format!("{:24}{line}\n", ""));
        }
        text
    }

    /// The report as text for a terminal.
    pub fn text(&self) -> String {
        let mut text = self.answer_text();
        for figure in &self.figures {
            text += &terminal::text(figure);
            text.push('\n');
        }
        text += &self.points_text();
        text.push('\n');
        if let Some((rows, sentence)) = survival::table(&self.runs, &self.failed_by_fault) {
            text += &format!("What survives what\n{}{sentence}\n{}\n\n", tables::aligned(&rows), survival::NOTE);
        }
        if let Some((rows, sentence)) = predicted::table(&self.runs) {
            text += &format!("Predicted and measured\n{}{sentence}\n{}\n\n", tables::aligned(&rows), predicted::NOTE);
        }
        if let Some((rows, sentence)) = windows::table(&self.runs) {
            text += &format!("Windows over a distance\n{}{sentence}\n{}\n\n", tables::aligned(&rows), windows::NOTE);
        }
        let effort = tables::effort_of(&self.runs);
        if !effort.is_empty() {
            text += &format!("Effort\n{}{}\n\n", tables::aligned(&effort), tables::EFFORT_NOTE);
        }
        for (title, lines) in [
            ("Not drawn", self.not_drawn.iter().map(NotDrawn::sentence).collect()),
            ("Before comparing", self.warnings.clone()),
            ("Left out", self.left_out.iter().map(|run| format!("{}: {}", run.dir.display(), run.reason)).collect()),
        ] {
            if !lines.is_empty() {
                text += &format!("{title}\n");
                lines.iter().for_each(|line| text += &format!("  {}\n", foreign::line(line)));
                text.push('\n');
            }
        }
        text
    }

    fn points_text(&self) -> String {
        let mut lines = vec![vec!["Points (medians over runs)".to_owned(), "consumers".to_owned(), "runs".to_owned()]];
        lines[0].extend(tables::COLUMNS.iter().map(|(name, ..)| (*name).to_owned()));
        for row in &self.rows {
            let key = &row.key;
            let variant = row.variant.as_ref().map_or(String::new(), |variant| format!(", {variant}"));
            let mut line = vec![
                format!("{} {} {}{variant}", key.workload, key.pattern, key.architecture),
                key.consumers.to_string(),
                row.runs.to_string(),
            ];
            line.extend(row.cells.iter().map(|cell| cell.as_ref().map_or("-".to_owned(), |cell| cell.median.clone())));
            lines.push(line);
        }
        tables::aligned(&lines)
    }
}

/// What predictions that are beside measurements say by themselves.
fn judge_predictions(claims: &Claims, runs: &[Run]) -> Result<Option<Vec<Judged>>, FiguresError> {
    let (mut predicted, measured): (Vec<Run>, Vec<Run>) =
        runs.iter().cloned().partition(|run| run.record.prediction.is_some());
    if predicted.is_empty() || measured.is_empty() {
        return Ok(None);
    }
    for run in &mut predicted {
        let architecture = &mut run.record.route.architecture;
        *architecture = architecture.trim_end_matches(PREDICTED).to_owned();
    }
    claims.judge(&Measured::of(predicted)).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn loaded() -> Loaded {
        let run = |dir: &str, record| Run { dir: dir.into(), record };
        let runs = ["dts", "mss"].into_iter().flat_map(|architecture| {
            [1, 2].map(|consumers| {
                let record = sample::record(architecture, consumers, 1000.0 * f64::from(consumers));
                run(&format!("{architecture}-{consumers}"), record)
            })
        });
        let left_out = vec![LeftOut { dir: "lost".into(), reason: "3 messages were lost".to_owned() }];
        Loaded { runs: runs.collect(), left_out, ..Loaded::default() }
    }

    #[test]
    fn a_report_lists_the_figures_that_it_drew_and_those_that_it_could_not() {
        let report = Report::of(loaded(), &shipped_figures(), false).unwrap();
        let names: Vec<&str> = report.figures.iter().map(|figure| figure.name.as_str()).collect();
        assert_eq!(names, ["throughput", "overhead", "estimator-bias"]);
        assert!(
            report.not_drawn.iter().any(|figure| figure.name == "round-trip" && figure.lacks_runs),
            "{:?}",
            report.not_drawn
        );
        assert_eq!(report.summary(), "4 runs of 4 points; 1 more failed and are left out");
        let text = report.text();
        for part in [
            "Work sharing: throughput",
            "● DTS",
            "lost: 3 messages were lost",
            "dstream work-sharing mss",
            "4 runs of 4 points",
            "DTS carries 2000 messages/s with 2 consumer(s); MSS against DTS: the same throughput.",
        ] {
            assert!(text.contains(part), "{part} is missing from {text}");
        }
        assert!(report.claims_text().contains("C44  not testable here") && !report.is_of_the_paper);
    }

    #[test]
    fn cells_of_an_experiment_may_differ_in_any_setting_and_other_runs_of_one_point_may_not() {
        let warnings = |of_experiment: bool| {
            let runs = ["window:4", "window:16"].map(|confirms| {
                let mut record = sample::record("dts", 1, 1000.0);
                record.plan["service"]["confirms"] = confirms.into();
                let name = confirms.to_owned();
                record.point =
                    of_experiment.then(|| measure::record::Point { experiment: "distance".to_owned(), name });
                Run { dir: confirms.into(), record }
            });
            let loaded = Loaded { runs: runs.into(), ..Loaded::default() };
            Report::of(loaded, &[], false).unwrap().warnings
        };
        assert_eq!(warnings(true), [""; 0]);
        assert!(warnings(false)[0].contains("their plans differ in `service.confirms`"), "{:?}", warnings(false));
    }

    #[test]
    fn a_requested_figure_has_to_be_drawn() {
        let sources = chosen(&["round-trip".to_owned()]).unwrap();
        let error = Report::of(loaded(), &sources, true).unwrap_err().to_string();
        assert!(error.contains("`round-trip` is empty"), "{error}");
        let error = chosen(&["roundtrip".to_owned()]).unwrap_err().to_string();
        assert!(
            error.contains("no figure is called `roundtrip`") && error.contains("round-trip-cdf-dstream"),
            "{error}"
        );
        let error = chosen(&["missing.toml".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("`missing.toml` cannot be read"), "{error}");
    }

    #[test]
    fn failed_runs_that_are_used_are_reported_at_the_head() {
        let mut loaded = loaded();
        loaded.runs[0].record.status =
            measure::record::Status { pass: false, reason: "3 messages were lost".into(), exit_code: 4 };
        let report = Report::of(loaded, &shipped_figures(), false).unwrap();
        assert!(report.warnings[0].starts_with("1 of the runs FAILED"), "{:?}", report.warnings);
    }

    #[test]
    fn mixed_plans_cost_the_figure_and_not_the_report() {
        let mut loaded = loaded();
        let mut other = loaded.runs[0].clone();
        other.dir = "other".into();
        other.record.plan["service"]["prefetch"] = 1.into();
        loaded.runs.push(other);
        let report = Report::of(loaded, &shipped_figures(), false).unwrap();
        let throughput = &report.not_drawn[0];
        assert!(!throughput.lacks_runs && throughput.sentence().starts_with("figure `throughput`: "), "{throughput:?}");
        assert!(throughput.reason.contains("`other`"), "{throughput:?}");
        assert_eq!(report.rows.len(), 5);
    }
}
