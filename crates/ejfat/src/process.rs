//! Control plane and load balancer as processes: until SIGTERM or SIGINT.

use crate::{
    balance::Balancing,
    control::{Client, Server, Trust, follow},
    error::{Error, Result},
    plane::Settings,
    uri::Uri,
};
use grpc::SelfSigned;
use std::{future::Future, io, net::SocketAddr, time::Duration};
use tokio::signal::unix::{SignalKind, signal};

const CALL_LIMIT: Duration = Duration::from_secs(10);

/// Runs a control plane on this thread. `ready` gets its address.
///
/// # Errors
///
/// [`Error`] if it cannot listen.
pub fn serve(
    listen: SocketAddr,
    settings: Settings,
    identity: Option<&SelfSigned>,
    ready: impl FnOnce(SocketAddr),
) -> Result<()> {
    on_this_thread("start the control plane", async {
        let stop = stopped()?;
        let server = Server::bind(listen, settings, identity).await?;
        let address = server.address().map_err(short("listen"))?;
        ready(address);
        server.serve(stop).await
    })
}

/// Passes packets on by the tables of a control plane, with `balancing`. `ready` is called once
/// the first tables are there, `report` with each failure after that.
///
/// # Errors
///
/// [`Error`] if the control plane cannot be reached at first.
pub fn balance(
    uri: &Uri,
    trust: &Trust,
    number: u32,
    balancing: &Balancing,
    ready: impl FnOnce(),
    report: impl Fn(&Error),
) -> Result<()> {
    on_this_thread("start the load balancer", async {
        let stop = stopped()?;
        let client = Client::connect(uri, trust, CALL_LIMIT).await?;
        tokio::select! {
            failed = follow(&client, number, balancing, ready, report) => failed,
            () = stop => Ok(()),
        }
    })
}

fn on_this_thread<T>(action: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = shortage::runtime(|| tokio::runtime::Builder::new_current_thread().enable_all().build());
    runtime.map_err(short(action))?.block_on(work)
}

/// Resolves at SIGTERM or SIGINT.
fn stopped() -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).map_err(short("handle signals"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(short("handle signals"))?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
        }
    })
}

fn short(action: &'static str) -> impl Fn(io::Error) -> Error {
    move |reason| Error::Short { action, reason }
}
