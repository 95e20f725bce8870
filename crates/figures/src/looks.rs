//! Titles and styles of architectures and workloads in figures: from the records, else from the shipped profiles.

use crate::{Dimension, Level, Run, chart::Style};
use profile::{Colour, Kind, Layer, Marker, Origin, Profile, combine, list};
use std::collections::{BTreeMap, BTreeSet};

/// Titles and styles by name.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    titles: BTreeMap<String, String>,
    styles: BTreeMap<String, Style>,
}

impl Looks {
    /// Of the shipped profiles and, before them, of the runs themselves.
    pub fn of(runs: &[Run]) -> Self {
        let mut looks = Self::default();
        for shipped in list(Kind::Architecture) {
            let route = read(shipped.text).route;
            looks.know(shipped.name, route.title, route.colour, route.marker);
        }
        for shipped in list(Kind::Workload) {
            looks.know(shipped.name, read(shipped.text).message.title, None, None);
        }
        for run in runs {
            let labels = run.record.labels.clone();
            let name = |dimension: Dimension| match dimension.of(run) {
                Level::Text(name) => name,
                Level::Number(number) => number.to_string(),
            };
            let style =
                (labels.colour.and_then(|text| text.parse().ok()), labels.marker.and_then(|text| text.parse().ok()));
            looks.know(&name(Dimension::Architecture), labels.architecture, style.0, style.1);
            looks.know(&name(Dimension::Workload), labels.workload, None, None);
        }
        looks
    }

    fn know(&mut self, name: &str, title: Option<String>, colour: Option<Colour>, marker: Option<Marker>) {
        if let Some(title) = title {
            self.titles.insert(name.to_owned(), title);
        }
        if let (Some(colour), Some(marker)) = (colour, marker) {
            self.styles.insert(name.to_owned(), Style { colour, marker });
        }
    }

    /// As people read it: architectures, workloads and patterns by their titles.
    pub fn title(&self, level: &Level) -> String {
        match level {
            Level::Number(number) => number.to_string(),
            Level::Text(name) => match name.as_str() {
                "work-sharing" => "work sharing",
                "work-sharing-feedback" => "work sharing with feedback",
                "broadcast-gather" => "broadcast and gather",
                "" => "unset",
                other => self.titles.get(other).map_or(other, String::as_str),
            }
            .to_owned(),
        }
    }

    /// The style that a name has of its own, the same in every figure.
    pub fn own_style(&self, level: &Level) -> Option<Style> {
        match level {
            Level::Text(name) => self.styles.get(name).copied(),
            Level::Number(_) => None,
        }
    }

    /// The style of one of `all` series: its own, else by its place among those that have none, in styles left over.
    pub fn style(&self, level: &Level, all: &BTreeSet<Level>) -> Style {
        self.own_style(level).unwrap_or_else(|| {
            let taken: Vec<Style> = all.iter().filter_map(|level| self.own_style(level)).collect();
            let free: Vec<Style> = Style::PALETTE.into_iter().filter(|style| !taken.contains(style)).collect();
            let place = all.iter().filter(|other| self.own_style(other).is_none()).position(|other| other == level);
            free.get(place.unwrap_or_default() % free.len().max(1)).copied().unwrap_or(Style::PALETTE[0])
        })
    }
}

/// A shipped profile names no files.
fn read(text: &str) -> Profile {
    let read = Layer::parse(Origin::CommandLine, text)
        .and_then(|layer| combine(&[layer], |_| Err(std::io::ErrorKind::NotFound.into())));
    read.expect("a test of the crate `profile` resolves every shipped one")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn text(name: &str) -> Level {
        Level::Text(name.to_owned())
    }

    #[test]
    fn titles_and_styles_are_those_of_the_record_then_those_that_are_shipped_then_the_name() {
        let mut own = sample::record("ours", 1, 1.0);
        own.labels.architecture = Some("Ours, by tunnel".to_owned());
        own.labels.colour = Some("#010203".to_owned());
        own.labels.marker = Some("ring".to_owned());
        let mut renamed = sample::record("mss", 1, 1.0);
        renamed.labels.architecture = Some("Managed".to_owned());
        let runs = [own, renamed, sample::record("else", 1, 1.0)];
        let looks = Looks::of(&runs.map(|record| Run { dir: "a".into(), record }));
        for (name, title) in [
            ("ours", "Ours, by tunnel"),
            ("mss", "Managed"),
            ("dts", "DTS"),
            ("else", "else"),
            ("dstream", "Dstream"),
            ("work-sharing", "work sharing"),
            ("", "unset"),
        ] {
            assert_eq!(looks.title(&text(name)), title);
        }
        assert_eq!(looks.own_style(&text("ours")), Some(Style { colour: Colour([1, 2, 3]), marker: Marker::Ring }));
        assert_eq!(looks.own_style(&text("mss")).unwrap().marker, Marker::Down, "a title takes no colour away");
    }

    #[test]
    fn series_without_a_style_of_their_own_get_those_that_no_other_has() {
        let looks = Looks::of(&[]);
        let all: BTreeSet<Level> = ["dts", "one", "two", "mss"].map(text).into();
        let styles: Vec<Style> = all.iter().map(|level| looks.style(level, &all)).collect();
        for (index, style) in styles.iter().enumerate() {
            assert!(!styles[..index].contains(style), "{styles:?}");
        }
    }
}
