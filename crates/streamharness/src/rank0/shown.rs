//! Where a launch is shown while it runs: `--metrics`, `--live`, `--expose`.

use crate::terminal::{
    exit::{Exit, Failure},
    stderr,
};
use clap::Args;
use live::Live;
use std::net::SocketAddr;

/// Where a launch is shown while it runs.
#[derive(Debug, Clone, Default, Args)]
pub struct Shown {
    /// Serve counters and latencies of all ranks at http://ADDR:PORT/metrics, for Prometheus; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics: Option<SocketAddr>,
    /// Show the running launch at http://ADDR:PORT/ in a browser; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT")]
    pub live: Option<SocketAddr>,
    /// The addresses of --metrics and --live may be such that other machines reach.
    #[arg(long)]
    pub expose: bool,
}

/// Serves at the addresses of the command line, and says where; `None` without any.
///
/// # Errors
///
/// [`Failure`] for an address that others reach or that is taken, before anything starts.
pub fn start(arguments: &Shown) -> Result<Option<Live>, Failure> {
    let addresses: Vec<_> = arguments.metrics.into_iter().chain(arguments.live).collect();
    if addresses.is_empty() {
        return match arguments.expose {
            true => Err(Failure::new(
                Exit::Usage,
                "--expose is for --metrics ADDR:PORT and --live ADDR:PORT: give one of them",
            )),
            false => Ok(None),
        };
    }
    let live = Live::start(&addresses, arguments.expose).map_err(|error| Failure::new(Exit::Usage, error))?;
    if let (Some(_), Some(address)) = (arguments.metrics, live.addresses().first()) {
        stderr::say(format_args!("metrics at http://{address}/metrics"));
    }
    if let (Some(_), Some(address)) = (arguments.live, live.addresses().last()) {
        stderr::say(format_args!("this launch is shown at http://{address}/"));
    }
    Ok(Some(live))
}
