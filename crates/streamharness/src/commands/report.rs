//! `streamharness report`: tables, figures and an HTML page from the records of runs.

use crate::{
    files::whole,
    terminal::{
        exit::{Exit, Failure},
        stdout,
    },
};
use clap::Args;
use figures::{
    Failed, Report,
    beside::{self, Side},
    report::{self, Source},
};
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The options of a report.
#[derive(Debug, Clone, Args)]
pub struct ReportArguments {
    /// Directories that runs or sweeps wrote; records are found at any depth.
    #[arg(value_name = "DIR", required = true)]
    dirs: Vec<PathBuf>,
    /// Directory for the report [default: report, in the first DIR].
    #[arg(short, long, value_name = "OUT")]
    out: Option<PathBuf>,
    /// Draw in the terminal; writes files only with --out.
    #[arg(long)]
    text: bool,
    /// Draw only these figures, by name or as a TOML file; fails if one cannot be drawn.
    #[arg(long, value_name = "NAME", num_args = 1..)]
    figures: Vec<String>,
    /// Include failed runs; each figure with one is then marked.
    #[arg(long)]
    failed: bool,
    /// Show the verdicts on the paper's claims also for runs that are not of its experiments.
    #[arg(long)]
    claims: bool,
    /// Each DIR is a column: what it measured, and predicted, of the paper's claims, and its figures beside those of the others.
    #[arg(long)]
    side_by_side: bool,
    /// Open the page in the browser (`xdg-open`).
    #[arg(long, conflicts_with = "text")]
    open: bool,
}

/// Reads the records, draws the figures, writes the report.
pub fn report(arguments: &ReportArguments) -> Result<Exit, Failure> {
    let figures = if arguments.figures.is_empty() {
        report::shipped_figures()
    } else {
        report::chosen(&arguments.figures).map_err(wrong)?
    };
    let failed = if arguments.failed { Failed::Use } else { Failed::LeaveOut };
    if arguments.side_by_side {
        return side_by_side(arguments, &figures, failed);
    }
    let loaded = figures::load(&arguments.dirs, failed).map_err(wrong)?;
    let report = Report::of(loaded, &figures, !arguments.figures.is_empty()).map_err(wrong)?;
    let mut text = if arguments.text { report.text() } else { report.answer_text() };
    if arguments.claims || report.is_of_the_paper {
        text += &report.claims_text();
    }
    stdout::print(&text)?;
    if !arguments.text || arguments.out.is_some() {
        let out = arguments.out.clone().unwrap_or_else(|| arguments.dirs[0].join("report"));
        write(&report, &arguments.dirs, &out)?;
        if arguments.open {
            open(&out.join("report.html"))?;
        }
    }
    Ok(Exit::Pass)
}

/// The claims of each directory by themselves, beside each other.
fn side_by_side(arguments: &ReportArguments, figures: &[Source], failed: Failed) -> Result<Exit, Failure> {
    let mut sides = Vec::new();
    for dir in &arguments.dirs {
        let loaded = figures::load(std::slice::from_ref(dir), failed).map_err(wrong)?;
        let report = Report::of(loaded, figures, !arguments.figures.is_empty()).map_err(wrong)?;
        // Two folders of one name are told apart by their paths.
        let alone = arguments.dirs.iter().filter(|other| name(other) == name(dir)).count() == 1;
        sides.push(Side { name: if alone { name(dir) } else { dir.display().to_string() }, report });
    }
    stdout::print(&beside::text(&sides))?;
    if !arguments.text || arguments.out.is_some() {
        let out = arguments.out.clone().unwrap_or_else(|| arguments.dirs[0].join("side-by-side"));
        let page = out.join("report.html");
        let names: Vec<&str> = sides.iter().map(|side| side.name.as_str()).collect();
        let title = format!("{} - streamharness", names.join(" beside "));
        make_dir(&out, &out)?;
        keep(&page, beside::page(&sides, &title).as_bytes())?;
        crate::terminal::stderr::say(format_args!("{} set(s) of results in {}", sides.len(), page.display()));
        if arguments.open {
            open(&page)?;
        }
    }
    Ok(Exit::Pass)
}

fn wrong(error: figures::FiguresError) -> Failure {
    Failure::new(Exit::Usage, error)
}

/// The last part of a path: what people call their results.
fn name(dir: &Path) -> String {
    let whole = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    whole.file_name().map_or_else(|| dir.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// Hands the page to the desktop. The browser is left to itself.
fn open(page: &Path) -> Result<(), Failure> {
    let opened = Command::new("xdg-open").arg(page).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match opened {
        Ok(status) if status.success() => Ok(()),
        _ => {
            let sentence = format!("no browser could be started for `{}`: open the file in one", page.display());
            Err(Failure::new(Exit::Usage, sentence))
        }
    }
}

fn make_dir(top: &Path, dir: &Path) -> Result<(), Failure> {
    whole::make_dir(top, dir).map_err(|error| unwritten(dir, &error))
}

fn keep(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    whole::write(path, bytes).map_err(|error| unwritten(path, &error))
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failure {
    let path = path.display();
    Failure::new(Exit::Usage, format!("`{path}` cannot be written: {error}; give another folder with --out"))
}

fn write(report: &Report, dirs: &[PathBuf], out: &Path) -> Result<(), Failure> {
    let folder = out.join("figures");
    make_dir(out, &folder)?;
    for (figure, png) in report.figures.iter().zip(figures::pngs(&report.figures)) {
        keep(&folder.join(format!("{}.svg", figure.name)), figures::svg(figure).as_bytes())?;
        keep(&folder.join(format!("{}.png", figure.name)), &png)?;
    }
    let names: Vec<String> = dirs.iter().map(|dir| name(dir)).collect();
    let page = out.join("report.html");
    let title = format!("{} - streamharness", names.join(", "));
    keep(&page, figures::page(report, &title, out).as_bytes())?;
    crate::terminal::stderr::say(format_args!(
        "{}: {} figure(s) in {}",
        report.summary(),
        report.figures.len(),
        page.display()
    ));
    let (lacking, others): (Vec<_>, Vec<_>) = report.not_drawn.iter().partition(|figure| figure.lacks_runs);
    for figure in others {
        crate::terminal::stderr::say(format_args!("not drawn: {}", figure.sentence()));
    }
    if !lacking.is_empty() {
        let names: Vec<&str> = lacking.iter().map(|figure| figure.name.as_str()).collect();
        crate::terminal::stderr::say(format_args!(
            "no runs here for {}; the page lists what each needs",
            names.join(", ")
        ));
    }
    Ok(())
}
