//! One launch, the same on every rank: resolve, open the route, carry out its runs, close.

use crate::{
    arguments::Run,
    demands::Demands,
    exit::{Exit, Failure},
    flags,
    one_run::Prepared,
    repeat::Repeat,
    route::{self, Connect, Own, Route},
    runs::Runs,
    world::{self, RESOLVE_LIMIT, Stop, World},
};
use engine::ports::Comm;
use profile::{Plan, Profile};
use rand::{TryRng, rngs::SysRng};
use serde::{Deserialize, Serialize};

/// What rank 0 read, and every rank resolves.
#[derive(Serialize, Deserialize)]
struct Written {
    profile: Profile,
    run: u32,
}

/// Takes part in a launch as one of its ranks.
pub fn run(arguments: &Run) -> Result<Exit, Failure> {
    world::enter(|world| launched(world, arguments))
}

fn launched(world: &World, arguments: &Run) -> Result<Exit, Stop> {
    let (mut repeat, mut demands) = (Repeat::once(), Demands::default());
    let written = world.by_rank_0(RESOLVE_LIMIT, || {
        (repeat, demands) = (Repeat::asked(arguments)?, Demands::asked(arguments)?);
        Ok(Written { profile: flags::profile(arguments)?, run: draw()? })
    })?;
    let plan = Plan::resolve_on(&written.profile, &world.hosts, written.run)
        .map_err(|error| world.stop(flags::failure(error)))?;
    let limits = plan.limits;
    let prepared = Prepared::new(world, plan)?;

    let mut runs = world.leads().then(|| Runs::new(&prepared.plan, world.comm.size(), arguments, repeat, demands));
    let mut own = Own::default();
    let mut opened: Option<Route> = None;
    let connect = world.by_rank_0(limits.route, || {
        let lead = runs.as_mut().expect("rank 0 leads").begin()?;
        let route = opened.insert(route::open(&written.profile, &prepared.plan, &mut own, &mut |line| lead.say(line))?);
        Ok(route.connect.clone())
    })?;
    if let (Some(runs), Some(route)) = (&mut runs, &mut opened) {
        runs.manage(route.management.take());
    }
    let ran = carry_out(world, prepared, &connect, runs.as_mut());
    if let Some(runs) = &mut runs {
        runs.end();
    }
    drop(opened);
    own.close();
    ran?;
    let exit = world.by_rank_0(limits.collective, || runs.as_ref().expect("rank 0 leads").exit())?;
    Ok(Exit::from_code(exit))
}

/// Carries out a plan as often as rank 0 wants it.
fn carry_out(world: &World, first: Prepared, connect: &Connect, mut runs: Option<&mut Runs>) -> Result<(), Stop> {
    let mut prepared = first;
    loop {
        let plan = prepared.plan.clone();
        prepared.carry_out(world, connect, runs.as_mut().and_then(|runs| runs.lead()))?;
        // What people ask for between two runs is done in order, too.
        world.signals.set_streaming(true);
        let limit = plan.limits.collective + Repeat::IDLE_MAX;
        let next: Option<u32> = world.by_rank_0(limit, || runs.as_mut().expect("rank 0 leads").next(&world.signals))?;
        world.signals.set_streaming(false);
        let Some(run) = next else { return Ok(()) };
        prepared = Prepared::new(world, plan.with_run(run))?;
    }
}

/// Draws a run's number.
pub fn draw() -> Result<u32, Failure> {
    SysRng
        .try_next_u32()
        .map_err(|error| Failure::new(Exit::Usage, format!("the system gives no random numbers: {error}")))
}
