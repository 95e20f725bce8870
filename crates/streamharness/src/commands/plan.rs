//! `streamharness plan`: prints the plan of a run, without running it.

use crate::{
    cli::{arguments::Run, flags},
    terminal::{
        exit::{Exit, Failure},
        stdout,
    },
};
use payload::Workload;
use profile::{Plan, RunLength};

/// Prints the resolved plan as TOML comments and JSON.
pub fn plan(run: &Run, ranks: usize) -> Result<Exit, Failure> {
    let plan = Plan::resolve(&flags::profile(run)?, ranks, 0).map_err(flags::failure)?;
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
    text += &serde_json::to_string_pretty(&plan).expect("a plan is plain data");
    stdout::print(&(text + "\n"))?;
    Ok(Exit::Pass)
}
