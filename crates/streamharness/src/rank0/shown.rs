//! Where a launch is shown while it runs: `--metrics`, `--live`, `--expose`.

use crate::{
    cli::arguments::Shown,
    terminal::{
        exit::{Exit, Failure},
        stderr,
    },
};
use live::Live;

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
