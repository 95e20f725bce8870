//! A resolved point of a sweep, or one try of its search: the bytes that it sends, and its shortest possible time.

use crate::{
    cli::flags,
    files::replayed,
    launch::part,
    terminal::exit::{Exit, Failure},
};
use measure::record;
use profile::{Layer, Plan, Point, Profile, ProfileError, Role, RunLength, Search};
use std::time::Duration;

/// The link of the paper's data streaming nodes, for the times in the plan of a sweep.
const LINK_BITS_PER_SECOND: f64 = 1e9;
/// The time of a point outside streaming, measured over loopback.
const BESIDES: Duration = Duration::from_millis(700);

/// Which search of a sweep: the cell's name and the repetition.
pub type Searched = (String, u32);

/// A point, resolved.
pub struct Cell {
    /// Its name in the record.
    pub point: record::Point,
    /// From 1.
    pub repetition: u32,
    /// The profile that was resolved.
    pub profile: Profile,
    /// For the ranks of this launch.
    pub plan: Plan,
    /// Of a search: which search, and the value that it tries.
    pub tries: Option<(Searched, f64)>,
}

/// Why a point has no plan.
pub enum Unresolved {
    /// Its route or its queues do not have what its fault is about.
    FaultElsewhere(String),
    /// Something is wrong with it.
    Failed(Failure),
}

impl Unresolved {
    /// As a failure of the whole sweep.
    pub fn failure(self) -> Failure {
        match self {
            Self::FaultElsewhere(sentence) => Failure::new(Exit::Profile, sentence),
            Self::Failed(failure) => failure,
        }
    }
}

/// The common part of all points of a sweep.
pub struct Common {
    /// The experiment.
    pub experiment: String,
    /// Its description.
    pub about: String,
    /// For each rank the number of its host.
    pub hosts: Vec<u32>,
    /// The role of each rank by its command line; empty if none has one.
    pub roles: Vec<Role>,
    /// Settings of all points.
    pub set: Vec<Layer>,
}

impl Common {
    /// A point, or one try of its search, resolved.
    pub fn resolve(&self, point: &Point, tries: Option<(&Search, f64)>) -> Result<Cell, Unresolved> {
        let mut name = point.name.clone();
        let mut layers = vec![point.base.clone()];
        layers.extend_from_slice(&self.set);
        layers.push(point.cell.clone());
        if let Some((search, value)) = tries {
            let key = search.key.rsplit('.').next().unwrap_or(&search.key);
            name += &format!("_{key}-{value}");
            layers.push(search.layer(value).map_err(|error| Unresolved::Failed(flags::failure(error)))?);
        }
        let named =
            |failure: Failure| Unresolved::Failed(Failure::new(failure.exit, format!("{name}: {}", failure.sentence)));
        let failed = |error| match error {
            ProfileError::FaultElsewhere(why) => Unresolved::FaultElsewhere(why),
            error => named(flags::failure(error)),
        };
        let mut profile = replayed::combined(&layers).map_err(failed)?;
        part::place(&mut profile, &self.roles).map_err(named)?;
        let plan = Plan::resolve_on(&profile, &self.hosts, 0).map_err(failed)?;
        Ok(Cell {
            point: record::Point { experiment: self.experiment.clone(), name },
            repetition: point.repetition,
            profile,
            plan,
            tries: tries.map(|(_, value)| ((point.name.clone(), point.repetition), value)),
        })
    }
}

impl Cell {
    /// Bytes of bodies that producers send, and that the service delivers, replies included; zero for a run that ends by
    /// time.
    pub fn bytes(&self) -> [f64; 2] {
        let RunLength::Messages(messages) = self.plan.length else { return [0.0, 0.0] };
        let sent = messages as f64 * self.plan.message.mean_body_bytes();
        let delivered = sent * f64::from(self.plan.flow.copies);
        let replies = if self.plan.flow.replies == 0 { 0.0 } else { delivered };
        [sent, delivered + replies]
    }

    /// Its shortest possible time over a link of a gigabit per second in each direction.
    pub fn least_time(&self) -> Duration {
        let streaming = match self.plan.length {
            RunLength::Messages(_) => {
                let [sent, delivered] = self.bytes();
                Duration::from_secs_f64(sent.max(delivered) * 8.0 / LINK_BITS_PER_SECOND)
            }
            RunLength::Window(window) => Duration::from_nanos(window.total_ns()),
        };
        streaming + BESIDES
    }

    /// Memory for bodies of all its workers.
    pub fn memory(&self) -> u64 {
        let (producer, consumer) = self.plan.body_memory();
        let placement = &self.plan.placement;
        producer * u64::from(placement.producers) + consumer * u64::from(placement.consumers)
    }

    /// For people.
    pub fn title(&self) -> String {
        format!("{} {}", self.point.name, self.repetition)
    }
}
