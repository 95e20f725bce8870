//! Synchronization packets from a thread of their own, so that no event delays them.

use crate::{
    error::{Error, Result},
    wire::Sync,
};
use std::{
    net::{SocketAddr, UdpSocket},
    sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    thread::{self, JoinHandle},
    time::{Duration, UNIX_EPOCH},
};

/// Ticks are microseconds since 1970.
const HERTZ: u32 = 1_000_000;

/// Sends a packet at once and then after each period, until it is dropped; then a last one.
pub struct Syncing {
    end: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Syncing {
    /// To a load balancer's address for synchronization.
    ///
    /// # Errors
    ///
    /// [`Error`] if there is no socket or thread for it.
    pub fn start(to: SocketAddr, source: u32, period: Duration) -> Result<Self> {
        let failed = |source| Error::Socket { action: "send synchronization to", address: to.to_string(), source };
        let any: SocketAddr = if to.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
        let socket = UdpSocket::bind(any).map_err(failed)?;
        socket.connect(to).map_err(failed)?;
        let (end, ended) = sync_channel(1);
        let work = move || {
            loop {
                // Lost ones are made up by the next.
                let _ = socket.send(&now(source).encode());
                if !matches!(ended.recv_timeout(period), Err(RecvTimeoutError::Timeout)) {
                    let _ = socket.send(&now(source).encode());
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("ejfat-sync".to_owned()).spawn(work);
        let short = |reason| Error::Short { action: "start the thread for synchronization", reason };
        Ok(Self { end: Some(end), thread: Some(thread.map_err(short)?) })
    }
}

impl Drop for Syncing {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn now(source: u32) -> Sync {
    let unix_ns = u64::try_from(UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos()).unwrap_or(u64::MAX);
    Sync { source, tick: unix_ns / 1000, hertz: HERTZ, unix_ns }
}
