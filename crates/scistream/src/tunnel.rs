//! A whole tunnel: an inbound request, an outbound one that leads to it, and the release of both.

use std::time::Duration;

use crate::error::SystemContext;
use crate::{Client, Result, Role, Uid};

/// One control server as its clients see it.
#[derive(Debug, Clone)]
pub struct Side {
    /// `HOST:PORT`.
    pub address: String,
    /// Its certificate (PEM).
    pub certificate: String,
    /// What it asks its callers for.
    pub token: Option<String>,
}

/// A tunnel to be built.
#[derive(Debug, Clone)]
pub struct TunnelRequest {
    /// Where applications connect.
    pub outbound: Side,
    /// Where the service is.
    pub inbound: Side,
    /// The service's addresses, `HOST:PORT` each.
    pub service: Vec<String>,
    /// Ports on each side.
    pub connections: u32,
    /// How long each call may take.
    pub limit: Duration,
    /// Whether both servers are ours, which do not need SciStream's pause between two calls.
    pub quick: bool,
}

/// A tunnel that is there.
#[derive(Debug, Clone)]
pub struct Tunnel {
    request: TunnelRequest,
    uid: Uid,
    /// Where applications connect to.
    pub entries: Vec<String>,
    /// Where the outbound data server connects to.
    pub exits: Vec<String>,
}

impl TunnelRequest {
    /// Makes both requests. What was begun is released if the other half fails.
    pub async fn open(self) -> Result<Tunnel> {
        let uid = Uid::random()?;
        let inbound = self.client(&self.inbound).await?;
        let outbound = self.client(&self.outbound).await?;
        let exits = inbound.open(&uid, Role::Inbound, self.connections, &self.service, None).await?;
        match outbound.open(&uid, Role::Outbound, self.connections, &self.service, Some(&exits)).await {
            Ok(entries) => Ok(Tunnel { request: self, uid, entries, exits }),
            Err(error) => {
                let _ = inbound.release(&uid).await;
                Err(error)
            }
        }
    }

    /// [`TunnelRequest::open`] for callers without a runtime. Starts no thread where the addresses are numbers.
    pub fn open_blocking(self) -> Result<Tunnel> {
        runtime()?.block_on(self.open())
    }

    async fn client(&self, side: &Side) -> Result<Client> {
        let client = Client::connect(&side.address, &side.certificate, side.token.as_deref(), self.limit).await?;
        Ok(if self.quick { client.without_delay() } else { client })
    }
}

impl Tunnel {
    /// Ends both halves, the first even if the second fails.
    pub async fn release(self) -> Result<()> {
        let outbound = self.release_one(&self.request.outbound).await;
        let inbound = self.release_one(&self.request.inbound).await;
        outbound.and(inbound)
    }

    async fn release_one(&self, side: &Side) -> Result<()> {
        self.request.client(side).await?.release(&self.uid).await
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().when("start a runtime")
}
