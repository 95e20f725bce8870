//! The record of a run, from what was known before it and what it came to. Pure: files and processes are the caller's.

mod complete;
mod counts;
mod faults;
mod left;
mod one_end;
mod packets;
mod unfinished;
mod verdict;

use measure::{
    Record,
    record::{
        CpuLimit, Effort, Environment, Hop, Labels, LeftBehind, Link, LoadBalancer, Neighbour, Point, Provisioned,
        Repetition, Route, SCHEMA, ServicePart, ServiceView,
    },
};
use profile::Plan;
use std::collections::BTreeMap;

pub use complete::complete;
pub(crate) use counts::{of_rank, per_message};
pub use left::{if_killed, undeleted};
pub use unfinished::{broken, cut_short, kept, leaves_all, refused};

/// The facts of a run beside its measurements.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The plan.
    pub plan: Plan,
    /// Names the run.
    pub run_id: String,
    /// When it began, RFC 3339.
    pub started: String,
    /// Where it runs.
    pub environment: Environment,
    /// Hops of the route.
    pub hops: Vec<Hop>,
    /// The managed service that was requested.
    pub provisioned: Option<Provisioned>,
    /// Seconds of the phases before the engine's, by name.
    pub before: BTreeMap<String, f64>,
    /// The parts of a service that the launch built over several hosts.
    pub parts: Vec<ServicePart>,
    /// What protects the connections between those parts.
    pub between_parts: Option<String>,
    /// What the firewall of the service's site lets through.
    pub firewall: Vec<String>,
    /// The effort behind the route.
    pub effort: Option<Effort>,
    /// How figures show what the profiles name.
    pub labels: Labels,
    /// The traffic of the testbed's links, once the stream is over.
    pub links: Vec<Link>,
    /// The testbed's parts whose CPU is limited, once the stream is over.
    pub cpu_limits: Vec<CpuLimit>,
    /// What other tenants of the service achieved.
    pub neighbours: Vec<Neighbour>,
    /// The faults that it has caused so far.
    pub faults: Vec<measure::record::Fault>,
    /// Which repetition it is, where there are several.
    pub repetition: Option<Repetition>,
    /// The cell of an experiment that it belongs to.
    pub point: Option<Point>,
    /// The service's reports about itself, once the stream is over.
    pub service: Option<ServiceView>,
    /// What the control plane of EJFAT reported about the load balancer.
    pub load_balancer: Option<LoadBalancer>,
    /// The queues and exchanges that it could not delete, and the sentence on them.
    pub left: Option<(Vec<LeftBehind>, String)>,
}

impl Facts {
    /// The facts that are known once the plan is resolved.
    pub fn new(plan: &Plan, run_id: String, started: String, environment: Environment) -> Self {
        Self {
            plan: plan.clone(),
            run_id,
            started,
            environment: Environment { seed: plan.seed, ..environment },
            hops: Vec::new(),
            provisioned: None,
            before: BTreeMap::new(),
            parts: Vec::new(),
            between_parts: None,
            firewall: Vec::new(),
            effort: None,
            labels: Labels::default(),
            links: Vec::new(),
            cpu_limits: Vec::new(),
            neighbours: Vec::new(),
            faults: Vec::new(),
            repetition: None,
            point: None,
            service: None,
            load_balancer: None,
            left: None,
        }
    }

    /// The record of a run that has measured nothing.
    fn record(&self) -> Record {
        let (left_behind, warnings) =
            self.left.clone().map(|(left, sentence)| (left, vec![sentence])).unwrap_or_default();
        Record {
            schema: SCHEMA.to_owned(),
            run_id: self.run_id.clone(),
            started: self.started.clone(),
            repetition: self.repetition.clone(),
            point: self.point.clone(),
            plan: serde_json::to_value(&self.plan).expect("a plan is plain data"),
            route: Route {
                architecture: self.plan.architecture.clone(),
                hops: self.hops.clone(),
                provisioned: self.provisioned.clone(),
                parts: self.parts.clone(),
                between_parts: self.between_parts.clone(),
                firewall: self.firewall.clone(),
                effort: self.effort.clone(),
                ..Route::default()
            },
            environment: self.environment.clone(),
            service: self.service.clone(),
            load_balancer: self.load_balancer.clone(),
            labels: self.labels.clone(),
            links: self.links.clone(),
            cpu_limits: self.cpu_limits.clone(),
            neighbours: self.neighbours.clone(),
            faults: self.faults.clone(),
            phases: self.before.clone(),
            left_behind,
            warnings,
            ..Record::default()
        }
    }
}
