//! Two sites: each rank opens its connections at the site of its workers.

use crate::terminal::exit::{Exit, Failure};
use profile::Plan;
use testbed::Testbed;

/// Refuses a plan in which a rank would be at both sites, and a route that the firewall between them does not let through.
pub fn check(testbed: &Testbed, plan: &Plan, architecture: Option<&str>) -> Result<(), Failure> {
    let at_both = |rank: &usize| {
        let role = plan.placement.role(*rank);
        !role.producers.is_empty() && !role.consumers.is_empty()
    };
    match (0..plan.placement.world).find(at_both).filter(|_| testbed.has_sites()) {
        Some(rank) => Err(Failure::new(
            Exit::Usage,
            format!(
                "rank {rank} has producers and consumers, and the testbed has a site for each: start as many ranks as workers"
            ),
        )),
        None => architecture
            .map_or(Ok(()), |name| testbed.is_let_through(name).map_err(|error| Failure::new(Exit::Route, error))),
    }
}

/// Moves the calling thread back to the site of the service, from where the next route is opened.
pub fn leave() -> Result<(), String> {
    let running = testbed::find(&testbed::default_dir()).map_err(|error| error.to_string())?;
    running.map_or(Ok(()), |testbed| testbed.enter_site(false).map_err(|error| error.to_string()))
}

/// Moves the calling thread, and threads that it starts later, to the site of this rank, if the running testbed has two.
/// MPI has its connections already.
pub fn enter(plan: &Plan, rank: usize) -> Result<(), String> {
    let running = testbed::find(&testbed::default_dir()).map_err(|error| error.to_string())?;
    let produces = !plan.placement.role(rank).producers.is_empty();
    running.map_or(Ok(()), |testbed| testbed.enter_site(produces).map_err(|error| error.to_string()))
}
