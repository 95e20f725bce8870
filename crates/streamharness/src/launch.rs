//! One launch, the same on every rank: resolve, open the route, carry out its runs, close.

pub mod launcher;
pub mod one_run;
pub mod signals;
pub mod world;

use crate::{
    cli::{
        arguments::{Around, Rerun, Run},
        flags,
    },
    commands::rerun::Before,
    launch::{
        one_run::Prepared,
        world::{RESOLVE_LIMIT, Stop, World},
    },
    rank0::{demands::Demands, repeat::Repeat, runs::Runs},
    route::{self, CLOSE_LIMIT, Connect, Own, Route},
    terminal::exit::{Exit, Failure},
};
use engine::ports::Comm;
use profile::{Plan, Profile};
use rand::{TryRng, rngs::SysRng};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What rank 0 read, and every rank resolves.
#[derive(Serialize, Deserialize)]
enum Written {
    /// A profile and the number of the run.
    Profile(Box<Profile>, u32),
    /// The plan of a record, as JSON, and the number of the run.
    Plan(String, u32),
}

/// What rank 0 knows besides.
struct Asked {
    profile: Profile,
    /// The run that is repeated.
    before: Option<Before>,
    written: Written,
}

/// Takes part in a launch as one of its ranks.
pub fn run(arguments: &Run) -> Result<Exit, Failure> {
    world::enter(|world| launched(world, &arguments.around, || read(arguments)))
}

/// The same, with the plan of a record.
pub fn rerun(arguments: &Rerun) -> Result<Exit, Failure> {
    world::enter(|world| launched(world, &arguments.around, || read_again(world, arguments)))
}

fn launched(world: &World, around: &Around, ask: impl FnOnce() -> Result<Asked, Failure>) -> Result<Exit, Stop> {
    let mut asked = None;
    let (mut repeat, mut demands) = (Repeat::once(), Demands::default());
    let written = world.by_rank_0(RESOLVE_LIMIT, || {
        (repeat, demands) = (Repeat::asked(around)?, Demands::asked(around)?);
        let Asked { profile, before, written } = ask()?;
        asked = Some((profile, before));
        Ok(written)
    })?;
    let plan = match written {
        Written::Profile(profile, run) => Plan::resolve_on(&profile, &world.hosts, run),
        Written::Plan(json, run) => {
            let plan: Plan = serde_json::from_str(&json).expect("rank 0 has read it, and ranks run the same binary");
            Ok(plan.with_run(run))
        }
    };
    let plan = plan.map_err(|error| world.stop(flags::failure(error)))?;
    let limits = plan.limits;
    let prepared = Prepared::new(world, plan)?;

    let mut runs = world.leads().then(|| Runs::new(&prepared.plan, world.comm.size(), around, repeat, demands));
    let mut own = Own::default();
    let mut opened: Option<Route> = None;
    let connect = world.by_rank_0(limits.route, || {
        let lead = runs.as_mut().expect("rank 0 leads").begin()?;
        lead.hear(&world.signals);
        let (profile, before) = asked.as_ref().expect("rank 0 has asked");
        let route = route::open(profile, &prepared.plan, &mut own, &mut |line| lead.say(line));
        let route = opened.insert(route.inspect_err(|failure| lead.refused(failure.clone()))?);
        for difference in before.iter().flat_map(|before| before.differs(&route.connect.hops)) {
            lead.say(&difference);
        }
        Ok(route.connect.clone())
    })?;
    if let (Some(runs), Some(route)) = (&mut runs, &mut opened) {
        runs.manage(route.management.take());
    }
    // What is wrong with it has been told: ranks were started with the same words.
    let idle = Repeat::asked(around).map_or(Duration::ZERO, |repeat| repeat.idle);
    let ran = carry_out(world, prepared, &connect, idle, runs.as_mut());
    if let Some(runs) = &mut runs {
        runs.end();
    }
    drop(opened);
    own.close();
    ran?;
    let exit = world.by_rank_0(limits.collective + CLOSE_LIMIT, || runs.as_ref().expect("rank 0 leads").exit())?;
    Ok(Exit::from_code(exit))
}

/// Carries out a plan as often as rank 0 wants it, with `idle` between.
fn carry_out(
    world: &World,
    first: Prepared,
    connect: &Connect,
    idle: Duration,
    mut runs: Option<&mut Runs>,
) -> Result<(), Stop> {
    let mut prepared = first;
    loop {
        let plan = prepared.plan.clone();
        prepared.carry_out(world, connect, runs.as_mut().and_then(|runs| runs.lead()))?;
        // What people ask for between two runs is done in order, too.
        world.signals.set_streaming(true);
        let limit = plan.limits.collective + idle;
        let next: Option<u32> = world.by_rank_0(limit, || runs.as_mut().expect("rank 0 leads").next(&world.signals))?;
        world.signals.set_streaming(false);
        let Some(run) = next else { return Ok(()) };
        prepared = Prepared::new(world, plan.with_run(run))?;
    }
}

/// Reads what was typed.
fn read(arguments: &Run) -> Result<Asked, Failure> {
    let profile = flags::profile(arguments)?;
    let written = Written::Profile(Box::new(profile.clone()), draw()?);
    Ok(Asked { profile, before: None, written })
}

/// Reads a record.
fn read_again(world: &World, arguments: &Rerun) -> Result<Asked, Failure> {
    let before = Before::read(&arguments.record)?;
    before.fits(world.comm.size(), &world.hosts)?;
    let profile = before.profile(arguments)?;
    let json = serde_json::to_string(&before.plan).expect("a plan is plain data");
    Ok(Asked { profile, before: Some(before), written: Written::Plan(json, draw()?) })
}

/// Draws a run's number.
pub fn draw() -> Result<u32, Failure> {
    SysRng
        .try_next_u32()
        .map_err(|error| Failure::new(Exit::Usage, format!("the system gives no random numbers: {error}")))
}
