//! `streamharness sweep`: every point of an experiment in one launch of the largest size; ranks that a point does not need
//! sleep through it.

use crate::{
    cli::{arguments, flags},
    launch::{
        one_run::Prepared,
        world::{self, RESOLVE_LIMIT, Stop, World},
    },
    rank0::sweep::{Sweep, Written},
    route::{self, CLOSE_LIMIT, Own, Route},
    terminal::{
        exit::{Exit, Failure},
        stdout,
    },
};
use engine::ports::Comm;
use profile::Plan;
use std::time::Duration;

/// How long rank 0 may take to find, in results of an earlier launch, what is left to do.
const FIND_LIMIT: Duration = Duration::from_secs(120);

/// Takes part in a sweep as one of its ranks, or says what one would do.
pub fn sweep(arguments: &arguments::Sweep) -> Result<Exit, Failure> {
    if arguments.plan {
        let hosts = vec![0; arguments.ranks];
        stdout::print(&Sweep::new(arguments, &hosts)?.plan())?;
        return Ok(Exit::Pass);
    }
    world::enter(|world| launched(world, arguments))
}

fn launched(world: &World, arguments: &arguments::Sweep) -> Result<Exit, Stop> {
    let mut sweep: Option<Sweep> = None;
    world.by_rank_0(FIND_LIMIT, || {
        let mut found = Sweep::new(arguments, &world.hosts)?;
        found.find_done(arguments.resume)?;
        found.announce(world.comm.size());
        sweep = Some(found);
        Ok(())
    })?;
    let mut own = Own::with_routes(sweep.as_ref().map(Sweep::routes).unwrap_or_default());
    loop {
        // What people ask for between two points is done in order, too.
        world.signals.set_streaming(true);
        let next: Option<Written> = world.by_rank_0(RESOLVE_LIMIT + CLOSE_LIMIT, || {
            sweep.as_mut().expect("rank 0 leads").next(world.signals.requested())
        })?;
        world.signals.set_streaming(false);
        let Some(written) = next else { break };
        match point(world, &written, &mut own, sweep.as_mut()) {
            Err(Stop::Together(failure)) => {
                if let Some(sweep) = &mut sweep {
                    sweep.refused(failure);
                }
            }
            ended => ended?,
        }
    }
    own.close();
    let exit = world.by_rank_0(RESOLVE_LIMIT + CLOSE_LIMIT, || {
        sweep.as_mut().expect("rank 0 leads").end().map(|exit| exit as u8)
    })?;
    Ok(Exit::from_code(exit))
}

/// Carries out one point. A failure that all ranks share is the point's, not the sweep's.
fn point(world: &World, written: &Written, own: &mut Own, mut sweep: Option<&mut Sweep>) -> Result<(), Stop> {
    let plan = Plan::resolve_on(&written.profile, &world.hosts, written.run)
        .map_err(|error| world.stop(flags::failure(error)))?;
    let limit = plan.limits.route;
    let prepared = Prepared::new(world, plan)?;
    // Ends when the point does: what was provisioned for it is released.
    let mut opened: Option<Route> = None;
    let connect = world.by_rank_0(limit, || {
        let lead = sweep.as_mut().expect("rank 0 leads").lead();
        lead.hear(&world.signals);
        let mut route = route::open(&written.profile, &prepared.plan, own, &mut |line| lead.say(line))?;
        lead.manage(route.management.take());
        Ok(opened.insert(route).connect.clone())
    })?;
    prepared.carry_out(world, &connect, sweep.map(Sweep::lead))
}
