//! `streamharness hold`, for a run's own use: the process that holds a tunnel or a managed service.

use crate::{
    route::{
        cluster, ejfat,
        holder::{Held, NEVER, Parent},
        tunnel,
    },
    terminal::exit::{Exit, Failure},
};
use nix::sys::signal::{SigHandler, Signal, signal};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Opens the tunnel, cluster or load balancer that standard input orders, reports it, and releases it when standard input closes.
pub fn hold() -> Result<Exit, Failure> {
    // These signals are meant for the run; this process waits for the run's end.
    for one in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGPIPE] {
        ignore(one);
    }
    let (parent, order) = Parent::connect();
    let (held, order) = order.ok_or_else(misused)?;
    let runtime = shortage::runtime(|| tokio::runtime::Builder::new_current_thread().enable_all().build())
        .map_err(|error| Failure::new(Exit::Route, error))?;
    match held {
        Held::Tunnel => {
            let order: tunnel::Order = read(order)?;
            let opened = runtime.block_on(order.open());
            parent.hold(opened, |_| NEVER, |tunnel| runtime.block_on(order.release(tunnel)))
        }
        Held::Cluster => {
            let order: cluster::Order = read(order)?;
            let opened = order.open(&runtime, &parent);
            parent.hold(opened, |held| order.tend(held), |held| order.release(&held))
        }
        Held::LoadBalancer => {
            let order: ejfat::Order = read(order)?;
            let opened = runtime.block_on(order.open());
            parent.hold(opened, |_| NEVER, |reserved| runtime.block_on(ejfat::free(reserved)))
        }
    }
}

fn read<Order: DeserializeOwned>(order: Value) -> Result<Order, Failure> {
    serde_json::from_value(order).map_err(|_| misused())
}

fn misused() -> Failure {
    Failure::new(Exit::Usage, "hold is for a run's own use: use s2uc or s3m")
}

#[expect(unsafe_code, reason = "ignoring a signal runs no handler; the call is unsafe for those that do")]
fn ignore(one: Signal) {
    // SAFETY: no handler is installed.
    let _ = unsafe { signal(one, SigHandler::SigIgn) };
}
