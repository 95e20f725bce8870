//! One launch, the same on every rank: the runs of an agenda one after another, each resolved, led over a route, and taken in.

pub mod agenda;
mod build;
pub mod launcher;
pub mod one_run;
pub mod part;
pub mod signals;
pub mod world;

use crate::{
    launch::{
        agenda::{Agenda, Assignment},
        one_run::Prepared,
        world::{RESOLVE_LIMIT, Stop, World},
    },
    rank0::faults::{self, Means},
    route::{self, CLOSE_LIMIT, Connect, Route, own::OwnTestbed},
    terminal::exit::{Exit, Failure},
};
use engine::ports::agree;
use profile::Role;
use std::{
    net::TcpStream,
    time::{Duration, Instant},
};

/// How long a host of the launch may take to accept a connection of another.
const REACH_LIMIT: Duration = Duration::from_secs(5);
/// The phase in which MPI starts.
const MPI: &str = "mpi";
/// The phase in which the route is opened, and a testbed built if there is none.
const ROUTE: &str = "route";
/// Only rank 0 works with the agenda.
const RANK_0: &str = "rank 0 has the agenda";

/// Takes part in a launch as one of its ranks. Rank 0 reads the agenda, within a limit.
pub fn carry_out<A: Agenda>(
    within: Duration,
    read: impl FnOnce(&Ranks) -> Result<A, Failure>,
) -> Result<Exit, Failure> {
    world::enter(|world| {
        let mut agenda = None;
        world.decide(&part::own(), within, |parts| {
            let ranks = Ranks { hosts: world.hosts.clone(), roles: part::roles(&parts)? };
            agenda = Some(read(&ranks)?);
            Ok(())
        })?;
        let routes = agenda.as_ref().map(A::routes).unwrap_or_default();
        let own = OwnTestbed::new(routes, world.known.clone());
        Launch { world, agenda, route: None, own }.carry_out()
    })
}

/// The ranks of a launch, on rank 0.
pub struct Ranks {
    /// For each rank the number of its host.
    pub hosts: Vec<u32>,
    /// The role that each has by its command line; empty if none has one.
    pub roles: Vec<Role>,
}

/// The state that outlasts a run.
struct Launch<'a, A> {
    world: &'a World,
    /// On rank 0.
    agenda: Option<A>,
    /// The route that is open, on rank 0.
    route: Option<Route>,
    own: OwnTestbed,
}

impl<A: Agenda> Launch<'_, A> {
    fn carry_out(mut self) -> Result<Exit, Stop> {
        let carried_out = self.runs();
        let Self { world, mut agenda, route, own } = self;
        let exit = agenda.as_mut().map(|agenda| match &carried_out {
            Ok(()) => agenda.end(),
            Err(stop) => {
                agenda.cut_short(stop);
                Ok(Exit::Partial)
            }
        });
        drop(route);
        own.close();
        carried_out?;
        let exit = world.by_rank_0(RESOLVE_LIMIT + CLOSE_LIMIT, || exit.expect(RANK_0).map(|exit| exit as u8))?;
        Ok(Exit::from_code(exit))
    }

    fn runs(&mut self) -> Result<(), Stop> {
        let mut within = RESOLVE_LIMIT;
        while let Some(assignment) = self.next(within)? {
            within = assignment.next_within;
            let done = self.run(&assignment);
            if let (Err(Stop::Together(failure)), Some(lead)) = (&done, self.agenda.as_mut().and_then(A::lead)) {
                lead.refused(failure.clone());
            }
            if A::APART {
                // A tunnel or cluster of the point is released.
                self.route = None;
            }
            match done {
                Err(Stop::Together(_)) if A::APART => {}
                done => done?,
            }
        }
        Ok(())
    }

    fn next(&mut self, within: Duration) -> Result<Option<Assignment>, Stop> {
        let signals = &self.world.signals;
        // A signal between two runs ends the launch in order, too.
        signals.set_streaming(true);
        let next = self.world.by_rank_0(within, || self.agenda.as_mut().expect(RANK_0).next(signals))?;
        signals.set_streaming(false);
        Ok(next)
    }

    /// One run, over the open route or one that is opened for it.
    fn run(&mut self, assignment: &Assignment) -> Result<(), Stop> {
        let Self { world, agenda, route, own } = self;
        let plan = assignment.resolve(&world.hosts).map_err(|failure| world.stop(failure))?;
        let prepared = Prepared::new(world, plan)?;
        let begun = Instant::now();
        let wish = world.by_rank_0(prepared.plan.limits.route, || {
            let lead = agenda.as_mut().expect(RANK_0).begin()?;
            lead.hear(&world.signals);
            let owns = lead.owns_the_service();
            faults::check(&assignment.profile, &prepared.plan, own.testbed(), &world.hosts, owns)?;
            if route.is_none() { own.wish(&assignment.profile, &prepared.plan, &world.hosts) } else { Ok(None) }
        })?;
        if let Some(wish) = wish {
            let mut lead = agenda.as_mut().and_then(A::lead);
            own.build(world, &wish, &mut |line| lead.iter_mut().for_each(|lead| lead.say(line)))?;
        }
        let connect = world.by_rank_0(prepared.plan.limits.route, || {
            let agenda = agenda.as_mut().expect(RANK_0);
            if route.is_none() {
                let lead = agenda.lead().expect("the run has begun");
                let opened = route::open(&assignment.profile, &prepared.plan, own, &mut |line| lead.say(line))?;
                agenda.opened(&opened.connect.hops);
                *route = Some(opened);
                agenda.lead().iter_mut().for_each(|lead| lead.took(ROUTE, begun.elapsed()));
            }
            let route = route.as_ref().expect("it is open");
            let lead = agenda.lead().expect("the run has a lead");
            lead.took(MPI, world.mpi_start);
            lead.manage(route.management.clone());
            lead.label(route.labels.clone());
            lead.show(&route.ways);
            lead.passed(&route.passed);
            if !prepared.plan.faults.is_empty() {
                let means = Means::new(&assignment.profile, &prepared.plan, own, &world.pids)?;
                let cluster = route.connect.provisioned.as_ref().map(|provisioned| provisioned.cluster.clone());
                lead.disturb(means.with_service(route.management.clone(), cluster));
            }
            let parts = own.parts(&prepared.plan, &world.hosts);
            Ok(Connect { parts, ..route.connect.clone() })
        })?;
        if prepared.plan.neighbours.as_ref().is_some_and(|neighbours| neighbours.tenants > 0) {
            world.by_rank_0(prepared.plan.limits.route, || {
                let lead = agenda.as_mut().and_then(A::lead).expect("the run has a lead");
                lead.meet(&assignment.profile, own)
            })?;
        }
        same_network(world, &connect)?;
        prepared.carry_out(world, &connect, agenda.as_mut().and_then(A::lead))
    }
}

/// Every rank tries to reach a testbed of the launch's own, which may be on another host.
fn same_network(world: &World, connect: &Connect) -> Result<(), Stop> {
    let Some(testbed) = connect.own_testbed else { return Ok(()) };
    let host = &world.place.machine.host;
    let mine = TcpStream::connect_timeout(&testbed.into(), REACH_LIMIT).map(drop).map_err(|error| {
        format!(
            "host {host} does not reach {testbed}, where rank 0 has built the service ({error}): choose another network \
             with --interface, or give the service's address with --url"
        )
    });
    agree(&world.comm, mine, RESOLVE_LIMIT)?
        .map_err(|mut failures| world.stop(Failure::new(Exit::Route, failures.remove(0).1)))
}
