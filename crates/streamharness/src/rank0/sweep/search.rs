//! The searches of a sweep: for each cell the highest value of a setting at which something still holds.

use crate::{
    rank0::sweep::cell::Searched,
    terminal::exit::{Exit, Failure},
};
use measure::{Assertion, Record};
use profile::{Experiment, Point, Search};
use std::collections::BTreeMap;

/// A search of one cell.
struct Searching {
    cell: Point,
    /// Each value, and whether the condition held.
    tried: Vec<(f64, bool)>,
    /// Why the result is unknown: a run did not measure the condition, and it held in no run before.
    unknown: Option<String>,
}

/// The same search in every cell.
pub struct Searches {
    /// The setting and the condition.
    pub search: Search,
    keeps: Assertion,
    cells: BTreeMap<Searched, Searching>,
}

impl Searches {
    /// Those of an experiment, if it is one of searches; none has a cell yet.
    pub fn of(experiment: &Experiment) -> Result<Option<Self>, Failure> {
        let Some(search) = experiment.search.clone() else { return Ok(None) };
        let keeps = Assertion::parse(&search.keeps)
            .map_err(|error| Failure::new(Exit::Profile, format!("{}: search.keeps: {error}", experiment.name)))?;
        Ok(Some(Self { search, keeps, cells: BTreeMap::new() }))
    }

    /// Begins one.
    pub fn begin(&mut self, cell: Point) -> Searched {
        let searched = (cell.name.clone(), cell.repetition);
        self.cells.insert(searched.clone(), Searching { cell, tried: Vec::new(), unknown: None });
        searched
    }

    /// The cell and the value to try next, if the search goes on.
    pub fn next(&self, searched: &Searched) -> Option<(&Point, f64)> {
        let one = &self.cells[searched];
        let value = if one.unknown.is_some() { None } else { self.search.next(&one.tried) };
        value.map(|value| (&one.cell, value))
    }

    /// Takes in the result of a try, and returns it in a few words.
    pub fn tried(&mut self, (searched, value): &(Searched, f64), record: Option<&Record>) -> String {
        let one = self.cells.get_mut(searched).expect("its search has begun");
        let sound = record.filter(|record| record.status.pass);
        let came_to = sound.map(|record| self.keeps.of(record));
        let measured = came_to.as_ref().map_or("", |outcome| &outcome.measured);
        // Above a value that held, a run with too few samples has fallen behind.
        if sound.is_some_and(|record| !self.keeps.is_known(record)) && !one.tried.iter().any(|(_, held)| *held) {
            one.unknown = Some(format!("with {}, {measured}", self.search.word(*value)));
            return format!(" ({measured})");
        }
        let held = came_to.as_ref().is_some_and(|outcome| outcome.holds);
        one.tried.push((*value, held));
        if held { " (holds)".to_owned() } else { format!(" (does not hold: {measured})") }
    }

    /// The highest value that held in each search, if there is one, or why it is unknown.
    pub fn found(&self) -> impl Iterator<Item = (&Searched, Result<Option<String>, &str>)> {
        let highest = |one: &Searching| self.search.found(&one.tried).map(|value| self.search.word(value));
        self.cells.iter().map(move |(of, one)| (of, one.unknown.as_deref().map_or_else(|| Ok(highest(one)), Err)))
    }
}
