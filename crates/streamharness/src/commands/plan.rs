//! `streamharness plan`: prints the plan of a run, without running it.

use crate::{
    cli::{arguments::Run, flags},
    route::own,
    terminal::{
        exit::{Exit, Failure},
        stdout,
    },
};
use payload::Workload;
use profile::{Plan, RunLength};

/// Prints the resolved plan as TOML comments and JSON.
pub fn plan(run: &Run, ranks: usize, hosts: usize) -> Result<Exit, Failure> {
    if hosts == 0 || hosts > ranks {
        return Err(Failure::new(
            Exit::Usage,
            format!("--hosts {hosts} does not go with {ranks} rank(s): use 1 to {ranks}"),
        ));
    }
    flags::without_role(run.role)?;
    let profile = flags::profile(run)?;
    let of_ranks: Vec<u32> = (0..ranks).map(|rank| (rank * hosts / ranks) as u32).collect();
    let plan = Plan::resolve_on(&profile, &of_ranks, 0).map_err(flags::failure)?;
    let placed = own::placed(&profile, &plan, &of_ranks)?;
    // Errors that only building the bodies can find.
    Workload::new(&plan).map_err(|error| Failure::new(Exit::Profile, error))?;
    let (ring, prefetched) = plan.body_memory();
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let mut text = String::new();
    if let RunLength::Messages(messages) = plan.length {
        text += &format!(
            "# bytes to send: {:.1} MiB\n",
            mebibytes((messages as f64 * plan.message.mean_body_bytes()) as u64)
        );
    }
    text += &format!(
        "# bodies in memory: {:.1} MiB for each producer, {:.1} MiB for each consumer\n",
        mebibytes(ring),
        mebibytes(prefetched)
    );
    for rank in 0..ranks {
        let role = plan.placement.role(rank);
        text += &format!("# rank {rank}: {role}, producers {:?}, consumers {:?}\n", role.producers, role.consumers);
    }
    for (host, parts) in placed.iter().enumerate().filter(|(_, parts)| !parts.is_empty()) {
        text += &format!("# host {host}: {}\n", parts.join(", "));
    }
    text += &serde_json::to_string_pretty(&plan).expect("a plan is plain data");
    stdout::print(&(text + "\n"))?;
    Ok(Exit::Pass)
}
